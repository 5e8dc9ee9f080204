//! What is asked, as far as it matters here: by whom, in which language, signed in as whom, from where.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use axum::http::header::{ACCEPT_LANGUAGE, COOKIE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use ipnet::IpNet;

use super::base::Base;
use super::limits::Who;
use super::signer::hash;
use crate::people::Locale;
use crate::store::Hash;

/// Proxies in one `X-Forwarded-For` that are looked at.
const HOPS_MAX: usize = 16;

/// Requests after which a proxy that is not trusted is told of.
const UNTRUSTED_MAX: u32 = 50;

/// Watches for a proxy that the operator has forgotten to trust: behind it everybody is one client, and all hear "too many requests".
#[derive(Debug, Default)]
pub(super) struct Proxies(Mutex<Option<(IpAddr, u32)>>);

impl Proxies {
    /// The peer of this request if it is time to tell of it: that is once.
    pub(super) fn forgotten(&self, parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
        let peer = parts.extensions.get::<Peer>()?.0.to_canonical();
        let is_private = match peer {
            IpAddr::V4(address) => address.is_private() || address.is_loopback(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
        };
        let is_forwarded = parts.headers.contains_key("x-forwarded-for");
        if !is_private || !is_forwarded || trusted.iter().any(|net| net.contains(&peer)) {
            return None;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match *last {
            Some((before, count)) if before == peer || count >= UNTRUSTED_MAX => count.saturating_add(1),
            _ => 1,
        };
        *last = Some((peer, count));
        (count == UNTRUSTED_MAX).then_some(peer)
    }
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    /// Who asks.
    pub(super) client: Who,
    /// In which language, until it is known who.
    pub(super) locale: Locale,
    /// The hash of the session's word.
    pub(super) session: Option<Hash>,
    /// The last part of the path.
    pub(super) token: String,
    /// What stands behind the question mark.
    pub(super) query: Fields,
    /// What the form says.
    pub(super) form: Fields,
    /// Whether nobody will read the answer's body.
    pub(super) is_head: bool,
    /// Whether the browser does not say that another site has sent it here.
    pub(super) is_own: bool,
}

/// Names and values, each name any number of times.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn read(octets: &[u8]) -> Self {
        Self(form_urlencoded::parse(octets).into_owned().collect())
    }

    /// The first value of a name.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter().filter(move |(key, _)| key == name);
        fields.map(|(_, value)| value.as_str())
    }
}

impl Ask {
    /// All but the form, which is read later.
    pub(super) fn new(parts: &Parts, base: &Base, trusted: &[IpNet]) -> Self {
        let headers = &parts.headers;
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let query = Fields::read(parts.uri.query().unwrap_or_default().as_bytes());
        let chosen = query.one("lang").and_then(|lang| lang.parse().ok());
        Self {
            client: peer.map_or(Who::All, |peer| client(peer, headers, trusted).into()),
            locale: chosen.unwrap_or_else(|| language(headers)),
            session: cookie(headers, base.cookie).map(hash),
            token: parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
            query,
            form: Fields::default(),
            is_head: parts.method == Method::HEAD,
            is_own: is_own(headers, &base.origin),
        }
    }
}

/// The client: who is at the other end or, behind proxies that are trusted, whom the first of them names that is not trusted itself.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    let named = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect::<Vec<_>>();
    for named in named.into_iter().rev().take(HOPS_MAX) {
        if !is_trusted(&client) {
            break;
        }
        let named = named.trim().trim_matches(['[', ']']);
        let Ok(address) = named.parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
    }
    client
}

/// The language that comes first of those which there are; weights are not looked at, for browsers list languages by them.
fn language(headers: &HeaderMap) -> Locale {
    let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let mut tags = wanted.unwrap_or_default().split(',');
    let known = tags.find_map(|tag| {
        let tag = tag.trim_start().to_ascii_lowercase();
        let is = |language: &str| {
            let rest = tag.strip_prefix(language);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ';']))
        };
        if is("zh") {
            Some(Locale::ZhCn)
        } else {
            is("en").then_some(Locale::En)
        }
    });
    known.unwrap_or(Locale::En)
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// Browsers say from where a form was sent. `no-referrer`, which these pages ask for, makes the origin `null` in their own forms
/// (Fetch, "append a request Origin header"), so that Sec-Fetch-Site goes first; what says neither has the form's seal to show.
fn is_own(headers: &HeaderMap, origin: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    headers
        .get(ORIGIN)
        .is_none_or(|from| from == origin || from == "null")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// Catches a client who names the address under which it is counted, and a proxy behind which all are one.
    #[test]
    fn forwarded_addresses() {
        let trusted: Vec<IpNet> = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:127.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("127.0.0.1", &["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            ("127.0.0.1", &["6.6.6.6", "192.0.2.7, 10.1.1.1"], "192.0.2.7"),
            ("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("127.0.0.1", &["nonsense"], "127.0.0.1"),
            ("192.0.2.9", &["6.6.6.6"], "192.0.2.9"),
        ] {
            let pairs: Vec<_> = forwarded
                .iter()
                .map(|value| ("x-forwarded-for", *value))
                .collect();
            let found = client(peer.parse().unwrap(), &headers(&pairs), &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    /// Catches a proxy that is not trusted and not told of, is told of again and again, and a stranger's word or a trusted proxy that is.
    #[test]
    fn forgotten_proxies() {
        let trusted: Vec<IpNet> = vec!["10.0.0.1/32".parse().unwrap()];
        let told = |peer: &str, is_forwarded: bool| {
            let proxies = Proxies::default();
            let mut request = axum::http::Request::new(()).into_parts().0;
            request.extensions.insert(Peer(peer.parse().unwrap()));
            if is_forwarded {
                request.headers = headers(&[("x-forwarded-for", "192.0.2.7")]);
            }
            let asked = (0..200).filter_map(|_| proxies.forgotten(&request, &trusted));
            asked.collect::<Vec<_>>()
        };
        assert_eq!(told("10.0.0.2", true), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        for (peer, is_forwarded) in [("10.0.0.2", false), ("10.0.0.1", true), ("192.0.2.9", true)] {
            assert!(told(peer, is_forwarded).is_empty(), "{peer}");
        }
    }

    /// Catches a page in a language that the reader did not ask for.
    #[test]
    fn languages() {
        for (wanted, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Locale::ZhCn),
            ("en-GB,en;q=0.9,zh;q=0.8", Locale::En),
            ("de, zh", Locale::ZhCn),
            ("zhx,fr", Locale::En),
            ("", Locale::En),
        ] {
            let map = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_str(wanted).unwrap())]);
            assert_eq!(language(&map), expected, "{wanted}");
        }
    }

    /// Catches a form of another site that is taken for one of ours.
    #[test]
    fn where_forms_come_from() {
        let own = "https://calls.test";
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", own)], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", own)], true),
            (&[("origin", "https://evil.test")], false),
            (&[("origin", "http://calls.test")], false),
            (&[("origin", "null")], true),
            (&[], true),
        ] {
            assert_eq!(is_own(&headers(pairs), own), expected, "{pairs:?}");
        }
    }

    /// Catches a cookie that is taken for another whose name ends alike.
    #[test]
    fn cookies() {
        let map = headers(&[
            ("cookie", "a=1; xringtap=2"),
            ("cookie", "b=3; ringtap=4; ringtap=5"),
        ]);
        assert_eq!(cookie(&map, "ringtap"), Some("4"));
        assert_eq!(cookie(&map, "ring"), None);
    }
}

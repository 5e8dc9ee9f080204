//! URIs: `sip:`, `sips:`, `tel:`, `urn:` taken apart, everything else opaque (RFC 3261 §19.1, RFC 3966).
//!
//! Nothing is decoded or compared here: that a percent escape is a plus sign, and which two URIs name the
//! same person, is the business of `ringtap-identity` (semantics.md §3.5).

use memchr::memrchr;
use nom::Parser;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::satisfy;
use nom::combinator::recognize;
use nom::sequence::terminated;

use crate::find::{find, find2};
use crate::lex::{Parsed, lws, number, split_around, trim};
use crate::params::Params;

/// The schemes that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `urn:`
    Urn,
    /// Any other: opaque, never a known identity (semantics.md §6).
    Other,
}

/// A URI in its parts. Nothing is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// `sip:` and `sips:`: the user without password and parameters, `None` if there is no `@`. Others: the
    /// number or the opaque part.
    pub user: Option<&'a [u8]>,
    /// Parameters within the user part of a `sip:` URI (RFC 3261 §19.1.6): those of a telephone-subscriber.
    pub user_params: Params<'a>,
    /// `sip:` and `sips:`: the host, brackets of an IPv6 address kept. Others: empty.
    pub host: &'a [u8],
    /// The port, if one stands there that fits.
    pub port: Option<u16>,
    /// The URI's parameters; those of the number for `tel:`.
    pub params: Params<'a>,
    /// What stands behind `?` (escaped header fields).
    pub headers: &'a [u8],
    /// The whole URI, without `<>` and white space around it.
    pub raw: &'a [u8],
}

/// A URI in its parts; `None` if there is no scheme. White space and `<>` around it are tolerated
/// (RFC 4475 §3.1.2.7 to §3.1.2.9).
#[must_use]
pub fn uri(bytes: &[u8]) -> Option<Uri<'_>> {
    let raw = without_angles(trim(bytes));
    let (scheme, rest) = usual_scheme(raw).or_else(|| {
        let (rest, name) = scheme_name(raw).ok()?;
        Some((scheme(name), rest))
    })?;
    Some(match scheme {
        Scheme::Sip | Scheme::Sips => sip(scheme, raw, rest),
        Scheme::Tel | Scheme::Urn => opaque(scheme, raw, rest),
        Scheme::Other => Uri {
            user: Some(rest),
            ..empty(scheme, raw)
        },
    })
}

/// `text` without one pair of angle brackets around it.
fn without_angles(text: &[u8]) -> &[u8] {
    match text {
        [b'<', inner @ .., b'>'] => trim(inner),
        _ => text,
    }
}

/// The two schemes that nearly every URI has, in lower case as nearly everybody writes them.
fn usual_scheme(text: &[u8]) -> Option<(Scheme, &[u8])> {
    match text.split_first_chunk()? {
        (b"sip:", rest) => Some((Scheme::Sip, rest)),
        (b"tel:", rest) => Some((Scheme::Tel, rest)),
        _ => None,
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":"` (RFC 3986 §3.1), without the colon.
fn scheme_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let first = satisfy(|first| first.is_ascii_alphabetic());
    let others = take_while(|byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    terminated(recognize((first, others)), (lws, tag(&b":"[..]))).parse(input)
}

/// The scheme of a name, in any case.
fn scheme(name: &[u8]) -> Scheme {
    const KNOWN: [(&[u8], Scheme); 4] = [
        (b"sip", Scheme::Sip),
        (b"sips", Scheme::Sips),
        (b"tel", Scheme::Tel),
        (b"urn", Scheme::Urn),
    ];
    let known = KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    known.map_or(Scheme::Other, |(_, scheme)| *scheme)
}

/// A URI of which nothing is known yet.
const fn empty(scheme: Scheme, raw: &[u8]) -> Uri<'_> {
    Uri {
        scheme,
        user: None,
        user_params: Params::new(&[]),
        host: &[],
        port: None,
        params: Params::new(&[]),
        headers: &[],
        raw,
    }
}

/// `[ userinfo "@" ] hostport uri-parameters [ headers ]` (RFC 3261 §19.1.1).
fn sip<'a>(scheme: Scheme, raw: &'a [u8], rest: &'a [u8]) -> Uri<'a> {
    let (userinfo, rest) = match last_at(rest) {
        Some(at) => {
            let (userinfo, rest) = split_around(rest, at);
            (Some(userinfo), rest)
        }
        None => (None, rest),
    };
    let (user, user_params) = userinfo.map(user_and_params).unzip();
    let (hostport, params, headers) = parts(rest);
    let (host, port) = host_and_port(trim(hostport));
    Uri {
        user,
        user_params: user_params.unwrap_or_default(),
        host,
        port,
        params: Params::new(params),
        headers,
        ..empty(scheme, raw)
    }
}

/// `subscriber *( ";" par )` (RFC 3966 §3), and the like for `urn:`. A `?` is not part of either grammar, but
/// appears where equipment escapes header fields into History-Info.
fn opaque<'a>(scheme: Scheme, raw: &'a [u8], rest: &'a [u8]) -> Uri<'a> {
    let (user, params, headers) = parts(rest);
    Uri {
        user: Some(trim(user)),
        params: Params::new(params),
        headers,
        ..empty(scheme, raw)
    }
}

/// Where the userinfo ends: the last `@` (RFC 4475 §3.1.1.9), except that an `@` behind the `?` that opens
/// the headers is one that somebody forgot to escape in them (a Call-ID within Replaces, mostly). A `?`
/// before the first `@` belongs to the user.
fn last_at(rest: &[u8]) -> Option<usize> {
    let first = find(b'@', rest)?;
    let (_, behind) = split_around(rest, first);
    let Some(next) = find2(b'@', b'?', behind) else {
        return Some(first);
    };
    let headers = match find(b'?', behind.get(next..)?) {
        Some(at) => first + 1 + next + at,
        None => rest.len(),
    };
    memrchr(b'@', rest.get(..headers)?)
}

/// The user without its password, and the parameters within it.
fn user_and_params(userinfo: &[u8]) -> (&[u8], Params<'_>) {
    if find2(b':', b';', userinfo).is_none() {
        return (trim(userinfo), Params::default());
    }
    let (user, _password) = split_at(userinfo, b':');
    let (user, params) = split_at(user, b';');
    (trim(user), Params::new(params))
}

/// `host [ ":" port ]`, where the host may be an IPv6 address in brackets (RFC 5118 §4).
fn host_and_port(hostport: &[u8]) -> (&[u8], Option<u16>) {
    if hostport.first() != Some(&b'[') && find(b':', hostport).is_none() {
        return (hostport, None);
    }
    let bracket = if hostport.first() == Some(&b'[') {
        find(b']', hostport).map_or(0, |at| at + 1)
    } else {
        0
    };
    let (address, behind) = hostport.split_at_checked(bracket).unwrap_or((hostport, &[]));
    let (name, port) = split_at(behind, b':');
    let host = if address.is_empty() { trim(name) } else { address };
    (host, port_number(port))
}

/// A port that fits 16 bits.
fn port_number(text: &[u8]) -> Option<u16> {
    if text.is_empty() {
        return None;
    }
    let (rest, port) = number(trim(text)).ok()?;
    if rest.is_empty() {
        u16::try_from(port).ok()
    } else {
        None
    }
}

/// What stands before the parameters, the parameters, and what stands behind the first `?`.
fn parts(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let at = find2(b';', b'?', text).unwrap_or(text.len());
    let (first, behind) = text.split_at_checked(at).unwrap_or((text, &[]));
    match behind {
        [b';', behind @ ..] => {
            let (params, headers) = split_at(behind, b'?');
            (first, params, headers)
        }
        [b'?', headers @ ..] => (first, &[], headers),
        _ => (first, &[], &[]),
    }
}

/// `text` before and after the first `separator`, which belongs to neither.
fn split_at(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    split_around(text, find(separator, text).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scheme, user, user parameters, host, port, parameters, headers.
    type Parts = (
        Scheme,
        Option<&'static str>,
        &'static str,
        &'static str,
        Option<u16>,
        &'static str,
        &'static str,
    );

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// Catches any part of a URI that ends up in another part.
    #[test]
    fn parts() {
        use Scheme::{Other, Sip, Sips, Tel, Urn};
        let cases: &[(&'static str, Parts)] = &[
            ("sip:a@b", (Sip, Some("a"), "", "b", None, "", "")),
            (
                "SIPS:a:secret@b:5061;lr",
                (Sips, Some("a"), "", "b", Some(5061), "lr", ""),
            ),
            (
                "sip:b;transport=tcp",
                (Sip, None, "", "b", None, "transport=tcp", ""),
            ),
            (
                "sip:+861@b;user=phone?Reason=x",
                (Sip, Some("+861"), "", "b", None, "user=phone", "Reason=x"),
            ),
            (
                "sip:8001;phone-context=+8625;x:pw@b",
                (Sip, Some("8001"), "phone-context=+8625;x", "b", None, "", ""),
            ),
            (
                "sip:user;par=u%40x@b",
                (Sip, Some("user"), "par=u%40x", "b", None, "", ""),
            ),
            (
                "sip:a?,/;p&x=1,w*(it)@b",
                (Sip, Some("a?,/"), "p&x=1,w*(it)", "b", None, "", ""),
            ),
            ("sip:a@b@c", (Sip, Some("a@b"), "", "c", None, "", "")),
            (
                "sip:a@b?Replaces=id@10.0.0.1",
                (Sip, Some("a"), "", "b", None, "", "Replaces=id@10.0.0.1"),
            ),
            ("sip:%2B861%00@b", (Sip, Some("%2B861%00"), "", "b", None, "", "")),
            (
                "sip:a@[2001:db8::1]:5062;lr",
                (Sip, Some("a"), "", "[2001:db8::1]", Some(5062), "lr", ""),
            ),
            (
                "sip:[2001:db8::1]",
                (Sip, None, "", "[2001:db8::1]", None, "", ""),
            ),
            ("sip:a@b:99999", (Sip, Some("a"), "", "b", None, "", "")),
            ("sip:a@[2001:db8::1", (Sip, Some("a"), "", "[2001", None, "", "")),
            (" < sip:a@b ; lr > ", (Sip, Some("a"), "", "b", None, " lr", "")),
            (
                "tel:+86-25-8309;phone-context=x",
                (Tel, Some("+86-25-8309"), "", "", None, "phone-context=x", ""),
            ),
            (
                "urn:service:sos.police",
                (Urn, Some("service:sos.police"), "", "", None, "", ""),
            ),
            (
                "nobodyKnowsThisScheme:totallyopaque;a?b",
                (Other, Some("totallyopaque;a?b"), "", "", None, "", ""),
            ),
            (
                "soap.beep://192.0.2.103:3002",
                (Other, Some("//192.0.2.103:3002"), "", "", None, "", ""),
            ),
            ("sip:", (Sip, None, "", "", None, "", "")),
            ("sip:@b", (Sip, Some(""), "", "b", None, "", "")),
        ];
        for (whole, wanted) in cases {
            let found = uri(whole.as_bytes()).unwrap_or_else(|| panic!("{whole} is a URI"));
            let parts: Parts = (
                found.scheme,
                found.user.map(text),
                text(found.user_params.raw()),
                text(found.host),
                found.port,
                text(found.params.raw()),
                text(found.headers),
            );
            assert_eq!(parts, *wanted, "{whole}");
        }
    }

    /// Catches a scheme made up.
    #[test]
    fn no_scheme() {
        for text in ["", "<>", "alan@jasomi.com", "*", ":a@b", "1a:b", "@b"] {
            assert_eq!(uri(text.as_bytes()), None, "{text}");
        }
    }
}

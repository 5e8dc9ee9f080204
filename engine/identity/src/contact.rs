//! The contact of a phone, in the one form under which it is recognised again.
//!
//! A registrar is told a contact in REGISTER and puts it into the Request-URI of calls; on the way
//! parameters are added and dropped. What stays is user, host and port (RFC 3261 §19.1.4 as far as it
//! matters here). Who has the contact is not known here.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use arrayvec::ArrayString;
use ringtap_sip::percent_decode;
use ringtap_sip::uri::{Scheme, Uri, uri};

/// Longest contact that is recognised; longer ones are none.
pub const CONTACT_BYTES_MAX: usize = 192;

/// RFC 3261 §19.1.2. That of `sips` is another, but equipment writes neither when it means the default, and
/// the scheme does not tell phones apart.
const DEFAULT_PORT: u16 = 5060;

/// `user@host:port` of a `sip:` or `sips:` URI: escapes resolved, host in lower case and addresses in their
/// usual form, the port always there. Parameters, password and headers are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contact(ArrayString<CONTACT_BYTES_MAX>);

impl Contact {
    /// The contact that a URI names; `None` if it is no SIP URI or too long.
    #[must_use]
    pub fn of(uri_bytes: &[u8]) -> Option<Self> {
        Self::of_uri(&uri(uri_bytes)?)
    }

    pub(crate) fn of_uri(uri: &Uri<'_>) -> Option<Self> {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.host.is_empty() {
            return None;
        }
        let mut text = ArrayString::new();
        if let Some(user) = uri.user {
            for octet in percent_decode(user) {
                // An escaped `@` or an octet beyond ASCII is kept apart from one that is written out.
                match octet {
                    b'@' | b'%' | ..=b' ' | 0x7F.. => write!(text, "%{octet:02X}").ok()?,
                    _ => text.try_push(char::from(octet)).ok()?,
                }
            }
            text.try_push('@').ok()?;
        }
        push_host(&mut text, uri.host)?;
        write!(text, ":{}", uri.port.unwrap_or(DEFAULT_PORT)).ok()?;
        Some(Self(text))
    }

    /// The form as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_host(text: &mut ArrayString<CONTACT_BYTES_MAX>, host: &[u8]) -> Option<()> {
    let host = std::str::from_utf8(host).ok().filter(|host| host.is_ascii())?;
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match inner.parse::<IpAddr>() {
            Ok(address) => write!(text, "[{address}]").ok(),
            Err(_) => None,
        };
    }
    for letter in host.strip_suffix('.').unwrap_or(host).chars() {
        text.try_push(letter.to_ascii_lowercase()).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Option<String> {
        Contact::of(uri.as_bytes()).map(|contact| contact.to_string())
    }

    /// Catches two writings of one contact that are not recognised as the same.
    #[test]
    fn writings_of_one_contact() {
        for group in [
            &[
                "sip:bob@10.1.1.1",
                "sip:bob@10.1.1.1:5060",
                "sips:bob@10.1.1.1;transport=udp;ob",
                "<sip:bob@10.1.1.1:5060;rinstance=a?x=y>",
                "SIP:%62ob@10.1.1.1",
                "sip:bob:secret@10.1.1.1",
            ][..],
            &["sip:Bob@Host.Example.", "sip:Bob@host.example:5060;gr=urn:x"],
            &["sip:a@[2001:DB8:0:0::1]:5070", "sip:a@[2001:db8::1]:5070;lr"],
            &["sip:10.1.1.1", "sip:10.1.1.1:5060"],
        ] {
            let first = of(group[0]);
            assert!(first.is_some(), "{group:?}");
            for other in group {
                assert_eq!(of(other), first, "{other}");
            }
        }
    }

    /// Catches two phones taken for one, and what is no contact taken for one.
    #[test]
    fn different_contacts() {
        let all = [
            "sip:bob@10.1.1.1",
            "sip:Bob@10.1.1.1",
            "sip:bob@10.1.1.2",
            "sip:bob@10.1.1.1:5061",
            "sip:10.1.1.1",
            "sip:@10.1.1.1",
            "sip:b%40c@10.1.1.1",
            "sip:b@c@10.1.1.1",
        ]
        .map(|uri| of(uri).expect(uri));
        for (at, one) in all.iter().enumerate() {
            // The last two are the same user written in two ways (RFC 4475 §3.1.1.9).
            let same = all.iter().filter(|other| *other == one).count();
            assert_eq!(same, if at < 6 { 1 } else { 2 }, "{one}");
        }
        let long = format!("sip:{}@h", "a".repeat(CONTACT_BYTES_MAX));
        for uri in [
            "tel:+862583091001",
            "sip:",
            "*",
            "",
            "sip:a@[zz]",
            "sip:a@李.cn",
            &long,
        ] {
            assert_eq!(of(uri), None, "{uri}");
        }
    }
}

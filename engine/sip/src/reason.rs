//! The Reason header field (RFC 3326; several values: RFC 9366).
//!
//! Which value decides is a rule of the verdict (semantics.md §2.2), not of the parser: all are given, in
//! order.

use memchr::memchr;
use nom::Parser;
use nom::combinator::all_consuming;

use crate::header::Header;
use crate::lex::{number, split_around, trim};
use crate::message::Message;
use crate::params::Params;

/// Whose cause codes a value uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SIP status codes.
    Sip,
    /// ISUP cause values.
    Q850,
    /// Any other.
    Other,
}

/// One value of a Reason header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Whose cause codes these are.
    pub protocol: Protocol,
    /// The cause, if it is a number that fits.
    pub cause: Option<u16>,
    /// The text, without the quotes around it, escapes still in. Empty if there is none.
    pub text: &'a [u8],
}

/// The Reason values of `message`, over all lines and comma lists.
pub fn reasons<'a>(message: &Message<'a>) -> impl Iterator<Item = Reason<'a>> {
    message.values(Header::Reason).filter_map(reason)
}

/// One value: `SIP ;cause = 200 ;text="..."`. `None` if no protocol is named.
#[must_use]
pub fn reason(value: &[u8]) -> Option<Reason<'_>> {
    let (protocol, params) = split_around(value, memchr(b';', value).unwrap_or(value.len()));
    let protocol = match trim(protocol) {
        [] => return None,
        name if name.eq_ignore_ascii_case(b"SIP") => Protocol::Sip,
        name if name.eq_ignore_ascii_case(b"Q.850") => Protocol::Q850,
        _ => Protocol::Other,
    };
    let params = Params::new(params);
    Some(Reason {
        protocol,
        cause: params.get(b"cause").and_then(cause),
        text: params.get(b"text").unwrap_or_default(),
    })
}

/// A cause that fits 16 bits.
fn cause(text: &[u8]) -> Option<u16> {
    let (_, cause) = all_consuming(number).parse(text).ok()?;
    u16::try_from(cause).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a cause taken out of the quoted text, white space not tolerated, and protocols confused.
    #[test]
    fn values() {
        let cases = [
            (
                "SIP ;cause = 200 ;text=\"x;cause=16\"",
                Protocol::Sip,
                Some(200),
                "x;cause=16",
            ),
            (
                "SIP;text=\"x;cause=16, y\";cause=600",
                Protocol::Sip,
                Some(600),
                "x;cause=16, y",
            ),
            ("q.850;cause=026", Protocol::Q850, Some(26), ""),
            ("SIP", Protocol::Sip, None, ""),
            ("SIP;cause=70000", Protocol::Sip, None, ""),
            ("SIP;cause=2x", Protocol::Sip, None, ""),
            ("preemption;cause=1", Protocol::Other, Some(1), ""),
        ];
        for (value, protocol, cause, text) in cases {
            let wanted = Reason {
                protocol,
                cause,
                text: text.as_bytes(),
            };
            assert_eq!(reason(value.as_bytes()), Some(wanted), "{value}");
        }
        assert_eq!(reason(b";cause=200"), None);
    }
}

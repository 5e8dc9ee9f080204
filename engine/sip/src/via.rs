//! Via values and what they tell a transaction by (RFC 3261 §20.42, §17.1.3, §17.2.3).

use nom::Parser;
use nom::bytes::complete::tag;
use nom::sequence::preceded;

use crate::find::find;
use crate::lex::{Parsed, is_lws, lws, split_around, token, trim};
use crate::params::Params;

/// What branches of RFC 3261 start with (§8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// Host and port of the hop's sender, as they stand there.
    pub sent_by: &'a [u8],
    /// The branch parameter, if there is one with a value. Compared octet by octet, case-sensitive
    /// (semantics.md §6).
    pub branch: Option<&'a [u8]>,
    /// The whole value, folds included.
    pub value: &'a [u8],
}

impl<'a> Via<'a> {
    /// Whether the branch is one of RFC 3261: unique in space and time, so branch and sent-by name the
    /// transaction. The cookie alone makes nothing unique (RFC 4475 §3.3.10).
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.branch
            .is_some_and(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))
    }

    /// The octets that take part in matching transactions: branch (empty if there is none) and sent-by;
    /// `received` and `rport` never do.
    ///
    /// With [`has_cookie`](Self::has_cookie) these and the CSeq's method (ACK as INVITE) are the whole key.
    /// Without, RFC 3261 §17.2.3 also compares Request-URI, tags, Call-ID and CSeq number.
    #[must_use]
    pub fn key_bytes(&self) -> [&'a [u8]; 2] {
        [self.branch.unwrap_or_default(), self.sent_by]
    }

    /// The parts of one value of a Via list.
    pub(crate) fn of(value: &'a [u8]) -> Option<Self> {
        let (rest, ()) = sent_protocol(value).ok()?;
        let end = find(b';', rest).unwrap_or(rest.len());
        let (sent_by, params) = split_around(rest, end);
        let sent_by = trim(sent_by);
        let branch = usual_branch(params)
            .or_else(|| Params::new(params).get(b"branch"))
            .filter(|branch| !branch.is_empty());
        (!sent_by.is_empty()).then_some(Self {
            sent_by,
            branch,
            value,
        })
    }
}

/// `sent-protocol = protocol-name SLASH protocol-version SLASH transport`, white space around the slashes
/// allowed.
fn sent_protocol(input: &[u8]) -> Parsed<'_, ()> {
    match usual_protocol(input) {
        Some(rest) => Ok((rest, ())),
        None => any_protocol(input).map(|(rest, _)| (rest, ())),
    }
}

/// `SIP/2.0/UDP` or another of three letters, without white space and in capitals, which is what everybody
/// sends: what follows.
fn usual_protocol(input: &[u8]) -> Option<&[u8]> {
    let ([b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', transport @ ..], rest) =
        input.split_first_chunk::<11>()?
    else {
        return None;
    };
    let whole = matches!(transport, b"UDP" | b"TCP" | b"TLS") && rest.first() == Some(&b' ');
    whole.then_some(rest)
}

/// The branch where it is the first parameter, without white space and quotes, as in most topmost Vias.
fn usual_branch(params: &[u8]) -> Option<&[u8]> {
    let text = params.strip_prefix(b"branch=")?;
    let branch = text.get(..find(b';', text).unwrap_or(text.len()))?;
    let plain = !is_lws(*branch.last()?) && !is_lws(*branch.first()?) && branch.first() != Some(&b'"');
    plain.then_some(branch)
}

/// Any protocol, white space wherever the grammar allows it (RFC 4475 §3.1.1.1).
fn any_protocol(input: &[u8]) -> Parsed<'_, &[u8]> {
    let slash = || (lws, tag(&b"/"[..]));
    preceded((token, slash(), token, slash()), token).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches sent-by or branch cut wrong, and white space that hides them.
    #[test]
    fn parts() {
        let cases = [
            (
                "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
                "192.0.2.1",
                Some("z9hG4bK1"),
                true,
            ),
            (
                "SIP/2.0/TCP h.example:5060 ; rport;Branch = z9hG4bK%f",
                "h.example:5060",
                Some("z9hG4bK%f"),
                true,
            ),
            (
                "SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw",
                "192.0.2.2",
                Some("390skdjuw"),
                false,
            ),
            (
                "SIP/2.0/UDP 192.0.2.2;branch=\r\n z9hG4bK3",
                "192.0.2.2",
                Some("z9hG4bK3"),
                true,
            ),
            ("SIP/2.0/UDP 192.0.2.5", "192.0.2.5", None, false),
            (
                "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK",
                "192.0.2.1",
                Some("z9hG4bK"),
                false,
            ),
            (
                "SIP/2.0/UDP 192.0.2.1;branch=Z9HG4BK1",
                "192.0.2.1",
                Some("Z9HG4BK1"),
                false,
            ),
            ("SIP/2.0/UDP 192.0.2.1;branch=", "192.0.2.1", None, false),
            (
                "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
                "[2001:db8::9:1]",
                Some("z9hG4bKas3"),
                true,
            ),
        ];
        for (value, sent_by, branch, cookie) in cases {
            let via = Via::of(value.as_bytes()).unwrap_or_else(|| panic!("{value} is a Via"));
            assert_eq!(via.sent_by, sent_by.as_bytes(), "{value}");
            assert_eq!(via.branch, branch.map(str::as_bytes), "{value}");
            assert_eq!(via.has_cookie(), cookie, "{value}");
        }
    }

    /// Catches a Via made up.
    #[test]
    fn no_via() {
        for value in [
            "",
            ";",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ;branch=z9hG4bK1",
            "SIP/2.0 192.0.2.1",
            "192.0.2.1",
        ] {
            assert_eq!(Via::of(value.as_bytes()), None, "{value}");
        }
    }
}

//! The start line: Request-Line or Status-Line (RFC 3261 §7.1, §7.2).

use memchr::memrchr;
use nom::Parser;
use nom::bytes::complete::{take, take_till, take_while, take_while1};
use nom::combinator::verify;
use nom::sequence::{delimited, preceded, terminated};

use crate::fault::Fault;
use crate::find::find;
use crate::lex::{Parsed, is_lws, is_token, split_around, trim};
use crate::message::Start;
use crate::method::Method;

/// A start line, and the request's method as it stands there (empty for a response).
pub(crate) fn start_line(line: &[u8]) -> Result<(Start<'_>, &[u8]), Fault> {
    if let Some(found) = usual(line) {
        return Ok(found);
    }
    match version(line) {
        Ok((rest, number)) => Ok((status_line(rest, number)?, &[])),
        Err(_) => request_line(line),
    }
}

/// Whether a line with its end is a start line, or was meant to be one.
pub(crate) fn is_start_line(line: &[u8]) -> bool {
    !matches!(start_line(trim(line)), Err(Fault::NotSip))
}

/// A line with single spaces, the version in capitals and a known method, which is what everybody sends. The
/// combinators behind it read the same out of it, at three times the cost.
fn usual(line: &[u8]) -> Option<(Start<'_>, &[u8])> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let ([class @ b'1'..=b'6', tens @ b'0'..=b'9', ones @ b'0'..=b'9'], rest) =
            rest.split_first_chunk::<3>()?
        else {
            return None;
        };
        let reason = rest.strip_prefix(b" ")?;
        let status = digit(*class) * 100 + digit(*tens) * 10 + digit(*ones);
        let reason = trim(reason);
        return Some((Start::Response { status, reason }, &[]));
    }
    let (token, uri) = split_around(line.strip_suffix(b" SIP/2.0")?, find(b' ', line)?);
    let method = Method::of(token);
    let plain = method != Method::Other && trim(uri).len() == uri.len() && !uri.is_empty();
    plain.then_some((Start::Request { method, uri }, token))
}

/// `SIP-Version`: the text behind the slash. The name is compared in any case (RFC 3261 §7.1).
fn version(input: &[u8]) -> Parsed<'_, &[u8]> {
    preceded(sip_slash, take_till(is_lws)).parse(input)
}

/// `SIP/` in any case. Four octets compared at once instead of `tag_no_case`, which folds them one by one.
fn sip_slash(input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(take(4usize), |name: &[u8]| name.eq_ignore_ascii_case(b"SIP/")).parse(input)
}

/// `SIP-Version SP Status-Code SP Reason-Phrase`, behind the version. Codes above 699 have no class
/// (semantics.md §6).
fn status_line<'a>(rest: &'a [u8], version: &[u8]) -> Result<Start<'a>, Fault> {
    if version != b"2.0" {
        return Err(Fault::BadVersion);
    }
    let (reason, digits) = code(rest).map_err(|_| Fault::BadStartLine)?;
    let status = match digits {
        [class @ b'1'..=b'6', tens, ones] => digit(*class) * 100 + digit(*tens) * 10 + digit(*ones),
        _ => return Err(Fault::BadStatus),
    };
    Ok(Start::Response {
        status,
        reason: trim(reason),
    })
}

/// Digits between white space.
fn code(input: &[u8]) -> Parsed<'_, &[u8]> {
    delimited(
        take_while1(is_space),
        take_while1(|byte: u8| byte.is_ascii_digit()),
        take_while(is_space),
    )
    .parse(input)
}

/// `Method SP Request-URI SP SIP-Version`. The version is looked for from the end: with several spaces, or
/// spaces within the URI, everything between is the URI (RFC 4475 §3.1.2.7 to §3.1.2.10).
fn request_line(line: &[u8]) -> Result<(Start<'_>, &[u8]), Fault> {
    let (rest, token) = method(line).map_err(|_| Fault::NotSip)?;
    let rest = trim(rest);
    let method = Method::of(token);
    let split = memrchr(b' ', rest).unwrap_or(0);
    let (uri, last) = rest.split_at_checked(split).unwrap_or((&[], rest));
    let Ok((_, number)) = version(trim(last)) else {
        return Err(if method == Method::Other {
            Fault::NotSip
        } else {
            Fault::BadStartLine
        });
    };
    if number != b"2.0" {
        return Err(Fault::BadVersion);
    }
    let uri = trim(uri);
    if uri.is_empty() {
        return Err(Fault::BadStartLine);
    }
    Ok((Start::Request { method, uri }, token))
}

/// The method and the space behind it.
fn method(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(take_while1(is_token), take_while1(is_space)).parse(input)
}

/// The white space between the parts of a start line: no folds there.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The value of an ASCII digit.
fn digit(byte: u8) -> u16 {
    u16::from(byte.wrapping_sub(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches lenience lost: every spacing that is accepted, and what the URI is then.
    #[test]
    fn requests() {
        let cases: &[(&str, &str, Method, &str)] = &[
            ("INVITE sip:a@b SIP/2.0", "INVITE", Method::Invite, "sip:a@b"),
            ("INVITE  sip:a@b  SIP/2.0", "INVITE", Method::Invite, "sip:a@b"),
            ("OPTIONS sip:a@b SIP/2.0  ", "OPTIONS", Method::Options, "sip:a@b"),
            ("INVITE <sip:a@b> SIP/2.0", "INVITE", Method::Invite, "<sip:a@b>"),
            (
                "INVITE sip:a@b; lr SIP/2.0",
                "INVITE",
                Method::Invite,
                "sip:a@b; lr",
            ),
            ("BYE tel:+861 sip/2.0", "BYE", Method::Bye, "tel:+861"),
            (
                "!odd_*+`.%'~ sip:a@b SIP/2.0",
                "!odd_*+`.%'~",
                Method::Other,
                "sip:a@b",
            ),
            (
                "RE%47IST%45R sip:b SIP/2.0",
                "RE%47IST%45R",
                Method::Other,
                "sip:b",
            ),
        ];
        for (line, token, method, uri) in cases {
            let wanted = (
                Start::Request {
                    method: *method,
                    uri: uri.as_bytes(),
                },
                token.as_bytes(),
            );
            assert_eq!(start_line(line.as_bytes()), Ok(wanted), "{line}");
        }
    }

    /// Catches codes misread and reason phrases cut.
    #[test]
    fn responses() {
        let cases: &[(&str, u16, &str)] = &[
            ("SIP/2.0 200 OK", 200, "OK"),
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 699", 699, ""),
            ("sip/2.0  180   Ringing there ", 180, "Ringing there"),
            ("SIP/2.0 200 = 2**3 * 5**2 но", 200, "= 2**3 * 5**2 но"),
        ];
        for (line, status, reason) in cases {
            let wanted = Start::Response {
                status: *status,
                reason: reason.as_bytes(),
            };
            assert_eq!(start_line(line.as_bytes()), Ok((wanted, &b""[..])), "{line}");
        }
    }

    /// Catches a line that is counted under the wrong fault, or accepted.
    #[test]
    fn faults() {
        let cases = [
            ("", Fault::NotSip),
            ("GET / HTTP/1.1", Fault::NotSip),
            ("v=0", Fault::NotSip),
            ("INVITE sip:a@b", Fault::BadStartLine),
            ("INVITE SIP/2.0", Fault::BadStartLine),
            ("SIP/2.0", Fault::BadStartLine),
            ("SIP/2.0 OK", Fault::BadStartLine),
            ("OPTIONS sip:a@b SIP/7.0", Fault::BadVersion),
            ("SIP/7.0 200 OK", Fault::BadVersion),
            ("SIP/2.0 4294967301 better not", Fault::BadStatus),
            ("SIP/2.0 700 x", Fault::BadStatus),
            ("SIP/2.0 099 x", Fault::BadStatus),
            ("SIP/2.0 20 x", Fault::BadStatus),
        ];
        for (line, fault) in cases {
            assert_eq!(start_line(line.as_bytes()), Err(fault), "{line}");
        }
    }
}

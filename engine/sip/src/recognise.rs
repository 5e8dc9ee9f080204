//! What a payload is at first sight: SIP, a keep-alive, or neither (semantics.md §5 "UDP ports",
//! "Keep-alives", "SigComp").

use memchr::{memchr, memmem};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::satisfy;
use nom::combinator::recognize;
use nom::sequence::terminated;

use crate::fault::Fault;
use crate::lex::Parsed;
use crate::limits::LINE_BYTES_MAX;

/// Whether `bytes` begin like a SIP message, leading line ends skipped: `[A-Z]{3,16} \S.* SIP/2.0` or
/// `SIP/2.0 [1-6]\d\d`, whatever the port. Stricter than [`parse`](crate::parse), which is told that it is
/// SIP.
#[must_use]
pub fn is_sip_start(bytes: &[u8]) -> bool {
    let bytes = without_line_ends(bytes);
    status_start(bytes).is_ok() || request_start(bytes)
}

/// `bytes` without the CR and LF before a message (RFC 3261 §7.5).
pub(crate) fn without_line_ends(bytes: &[u8]) -> &[u8] {
    let message = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    message.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// The fault of a payload that is known not to be SIP by its first octets, leading line ends skipped.
pub(crate) fn other_than_sip(bytes: &[u8]) -> Option<Fault> {
    match bytes {
        [] => Some(Fault::KeepAlive),
        // Five one bits open a SigComp message (RFC 3320 §7).
        [0xf8..=0xff, ..] => Some(Fault::SigComp),
        [b'j', b'a', b'K', rest @ ..] if is_filler(rest) => Some(Fault::KeepAlive),
        [0, ..] if is_filler(bytes) => Some(Fault::KeepAlive),
        // STUN: two zero bits, and the magic cookie behind type and length (RFC 8489 §5).
        [0..=0x3f, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => Some(Fault::KeepAlive),
        _ => None,
    }
}

/// Only zero octets and line ends.
fn is_filler(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}

/// `SIP/2.0 [1-6]\d\d` and the end of the word.
fn status_start(input: &[u8]) -> Parsed<'_, &[u8]> {
    let digit = || satisfy(|digit| digit.is_ascii_digit());
    let code = (satisfy(|class| matches!(class, '1'..='6')), digit(), digit());
    let end = alt((tag(&b" "[..]), tag(&b"\r"[..]), tag(&b"\n"[..])));
    recognize((tag(&b"SIP/2.0 "[..]), code, end)).parse(input)
}

/// `[A-Z]{3,16} \S.* SIP/2\.0` within the first line; several spaces pass for one.
fn request_start(input: &[u8]) -> bool {
    let Ok((rest, _)) = upper_case_word(input) else {
        return false;
    };
    let bounded = rest.get(..LINE_BYTES_MAX).unwrap_or(rest);
    let line = memchr(b'\n', bounded)
        .and_then(|end| bounded.get(..end))
        .unwrap_or(bounded);
    // `\S`: at least one octet of URI stands before the version, since a space opens it.
    memmem::find(line, b" SIP/2.0").is_some_and(|at| at > 0)
}

/// `[A-Z]{3,16}` and the spaces behind it.
fn upper_case_word(input: &[u8]) -> Parsed<'_, &[u8]> {
    let word = take_while_m_n(3, 16, |byte: u8| byte.is_ascii_uppercase());
    terminated(word, take_while1(|byte| byte == b' ')).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches content detection that misses SIP on an odd port, or takes other traffic for it.
    #[test]
    fn sip_start() {
        for text in [
            "INVITE sip:a@b SIP/2.0\r\n",
            "\r\n\r\nBYE tel:+861 SIP/2.0\r\n",
            "INVITE  sip:a@b  SIP/2.0\r\n",
            "SIP/2.0 200 OK\r\n",
            "\r\nSIP/2.0 699 \r\n",
            "OPTIONS sip:a@b SIP/2.0",
        ] {
            assert!(is_sip_start(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "\r\n\r\n",
            "INVITE sip:a@b\r\nVia: SIP/2.0 SIP/2.0\r\n",
            "INVITE SIP/2.0\r\n",
            "invite sip:a@b SIP/2.0\r\n",
            "AB sip:a@b SIP/2.0\r\n",
            "ABCDEFGHIJKLMNOPQ sip:a@b SIP/2.0\r\n",
            "GET / HTTP/1.1\r\n",
            "SIP/2.0 700 x\r\n",
            "SIP/2.0 2000 x\r\n",
            "SIP/7.0 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert!(!is_sip_start(text.as_bytes()), "{text}");
        }
    }

    /// Catches keep-alives counted as damage.
    #[test]
    fn keep_alives() {
        let stun = [
            0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ];
        let cases: &[(&[u8], Option<Fault>)] = &[
            (b"", Some(Fault::KeepAlive)),
            (b"\0", Some(Fault::KeepAlive)),
            (b"\0\0\0\0", Some(Fault::KeepAlive)),
            (b"jaK", Some(Fault::KeepAlive)),
            (b"jaK\0", Some(Fault::KeepAlive)),
            (&stun, Some(Fault::KeepAlive)),
            (&[0xf8, 1, 2], Some(Fault::SigComp)),
            (b"jaKob sip:a@b SIP/2.0", None),
            (b"\0\0x", None),
            (b"INVITE sip:a@b SIP/2.0", None),
        ];
        for (bytes, fault) in cases {
            assert_eq!(other_than_sip(without_line_ends(bytes)), *fault, "{bytes:?}");
        }
    }
}

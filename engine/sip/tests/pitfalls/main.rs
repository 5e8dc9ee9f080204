//! Every row of the parsing pitfalls (semantics.md §6), each with a message of our own that is as bad as the one of
//! RFC 4475 or RFC 5118 that the row names. Those messages themselves are read by `torture.rs`, where they are at hand.
//!
//! Tests are named after their rows. Rows about the meaning of a value are held by `ringtap-identity`: P-Asserted-Identity
//! and unknown schemes (`tests/messages.rs`), History-Info sorted by index (there too), Privacy (`src/privacy.rs`). What a
//! missing branch cookie means for matching is held by `ringtap-calls`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helper a panic is a failed test"
)]

mod framing;
mod values;

use ringtap_sip::{Fault, Message, parse};

/// The fields without which nothing is believed, each a line.
pub(crate) const FIELDS: [&str; 5] = [
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1",
    "From: \"Zhang\" <sip:zhang@ims.test>;tag=f1",
    "To: <sip:li@ims.test>",
    "Call-ID: call-1@192.0.2.1",
    "CSeq: 7 INVITE",
];

/// A message of a start line, [`FIELDS`] with those of the same name as in `lines` replaced, `lines`, and a
/// body.
pub(crate) fn message(start: &str, lines: &[&str], body: &str) -> String {
    let name = |line: &str| line.split(':').next().unwrap().trim().to_lowercase();
    let mut text = format!("{start}\r\n");
    for field in FIELDS
        .iter()
        .filter(|field| !lines.iter().any(|line| name(line) == name(field)))
    {
        text += &format!("{field}\r\n");
    }
    for line in lines {
        text += &format!("{line}\r\n");
    }
    text + "\r\n" + body
}

/// An INVITE with these lines and no body.
pub(crate) fn invite(lines: &[&str]) -> String {
    message("INVITE sip:li@ims.test SIP/2.0", lines, "")
}

pub(crate) fn read(text: &str) -> Message<'_> {
    parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

pub(crate) fn fault(text: &str) -> Fault {
    parse(text.as_bytes()).map(|_| ()).expect_err(text)
}

/// Values as text.
pub(crate) fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
    values.map(|value| std::str::from_utf8(value).unwrap()).collect()
}

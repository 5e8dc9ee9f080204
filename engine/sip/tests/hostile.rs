//! Whatever the octets, the parser neither panics nor points outside them, and its work stays in proportion.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helper a panic is a failed test"
)]

mod everything;

use proptest::prelude::*;
use ringtap_sip::{Fault, is_sip_start, limits, parse};

/// Valid messages to be spoilt: every form of value that the parser knows stands in one of them.
const VALID: [&str; 3] = [
    "INVITE sip:+861;phone-context=x:pw@[2001:db8::1]:5062;user=phone?Reason=SIP%3Bcause%3D302 SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport, SIP / 2.0 / TCP b ;\r\n branch = z9hG4bKb\r\n\
     From: \"Zhang \\\"San\\\", X\" <sip:zhang@ims.test;a=b>;tag=f1\r\nTo: li <tel:+861;ext=1>;tag=\"t1\"\r\n\
     Call-ID: call-1@192.0.2.1\r\nCSeq : 007\r\n INVITE\r\nP-Asserted-Identity: <tel:+861>, \"a,b\" <sip:c,d@e>\r\n\
     History-Info: <sip:li@x?Privacy=history>;index=1.1;mp=1,<sip:b@c>;index=1\r\nPrivacy: id;user\r\n\
     Replaces: id@h;to-tag=1;from-tag=2;early-only\r\nContent-Type: multipart/mixed;boundary=\"b 1\"\r\n\
     Content-Length: 93\r\n\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\n\
     m=message 9 x\r\n--b 1--\r\n",
    "SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1\r\nf: sip:a@b;tag=1\r\nt: <sip:c@d>;tag=2\r\n\
     i: x\r\nCSeq: 1 INVITE\r\nm: *\r\nl: 0\r\n\r\n",
    "CANCEL tel:+861 SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: \"Mr. J <sip:a@b>\nTo: x<sip:c@d>\nCall-ID: y\n\
     CSeq: 3 CANCEL\nReason: SIP ;cause = 200 ;text=\"x;cause=16\", Q.850;cause=26\n\n",
];

/// Pieces that mean something to the parser: spoiling with them goes deeper than with any octet.
const PIECES: [&str; 16] = [
    "\"",
    "<",
    ">",
    ",",
    ";",
    "=",
    ":",
    "\r\n",
    "\n ",
    "\\",
    "@",
    "?",
    "%00",
    "\r\n\r\n",
    "Via: ,\r\n",
    "\u{80}",
];

/// Parses, and checks that every slice of the message lies within the octets.
fn check(bytes: &[u8]) {
    let _ = is_sip_start(bytes);
    let Ok(message) = parse(bytes) else { return };
    let range = bytes.as_ptr_range();
    everything::slices(&message, &mut |slice| {
        let part = slice.as_ptr_range();
        assert!(
            slice.is_empty() || range.start <= part.start && part.end <= range.end,
            "{} lies elsewhere",
            slice.escape_ascii()
        );
    });
    assert!(!message.call_id().is_empty() && !message.top_via().sent_by.is_empty());
    assert_eq!(format!("{message:?}"), format!("{:?}", message.clone()));
}

/// A change to a message: where, how many octets go, what comes.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let piece = prop_oneof![
        prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<prop::sample::Index>(), 0..12usize, piece)
}

/// Catches samples that were never valid, so that spoiling them tests nothing.
#[test]
fn the_valid_ones_are() {
    for text in VALID {
        let message = parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        assert!(!message.truncated() && !message.body_truncated());
        check(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Catches panics and stray slices on octets of any kind.
    #[test]
    fn any_octets(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
    }

    /// The same, with octets that begin like SIP and consist of what the parser looks for.
    #[test]
    fn any_pieces(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..200),
        at in 0..VALID.len(),
    ) {
        let head = VALID[at].split_once("\r\nPrivacy").map_or(VALID[at], |(head, _)| head);
        check(format!("{head}\r\nContact: {}\r\n\r\n", pieces.concat()).as_bytes());
        check(format!("{}{}", head.trim_end(), pieces.concat()).as_bytes());
    }

    /// Catches panics and stray slices on messages that were valid before a few changes, and on every cut of
    /// them.
    #[test]
    fn spoilt_messages(
        at in 0..VALID.len(),
        changes in prop::collection::vec(change(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = VALID[at].as_bytes().to_vec();
        for (place, gone, come) in changes {
            let from = place.index(bytes.len() + 1);
            let to = (from + gone).min(bytes.len());
            bytes.splice(from..to, come);
        }
        check(&bytes);
        check(&bytes[..cut.index(bytes.len() + 1)]);
    }
}

/// Catches a cut that changes what an uncut field says: a prefix either is a fault, or agrees with the whole.
#[test]
fn cuts_agree() {
    for text in VALID {
        let whole = parse(text.as_bytes()).unwrap();
        for cut in 0..text.len() {
            match parse(&text.as_bytes()[..cut]) {
                Ok(part) => everything::agree(&part, &whole),
                Err(fault) => assert!(
                    matches!(fault, Fault::Truncated | Fault::NotSip | Fault::KeepAlive),
                    "{cut} of {} octets: {fault}",
                    text.len()
                ),
            }
        }
    }
}

/// Catches scanning that is quadratic in what an attacker sends: with unclosed quotes, brackets and commas
/// everywhere, each of these would take minutes. Nothing is timed; the test's own limit is the harness's.
#[test]
fn work_stays_linear() {
    let line = |piece: &str| piece.repeat((limits::LINE_BYTES_MAX - 64) / piece.len());
    for piece in [
        "\"\\", "\\\"", "<", "\",", "<,", ",", ";", "\"<", "\r\n ", ";a=\"", ";a\"", "%4", "--b\r\n ", "@?",
    ] {
        let filler = line(piece);
        let mut text = VALID[1].trim_end().to_owned();
        for _ in 0..6 {
            text += &format!("\r\nContact: {filler}");
        }
        check(format!("{text}\r\n\r\n").as_bytes());
    }
    let nested = "Content-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n".repeat(1000);
    check(
        format!(
            "{}\r\nc: multipart/mixed;boundary=b\r\n\r\n--b\r\n{nested}",
            VALID[1].trim_end().replace("\r\nl: 0", "")
        )
        .as_bytes(),
    );
    let ends = "--b--\r\n".repeat(8000);
    check(
        format!(
            "{}\r\nc: multipart/mixed;boundary=b\r\n\r\n{ends}",
            VALID[1].trim_end().replace("\r\nl: 0", "")
        )
        .as_bytes(),
    );
}

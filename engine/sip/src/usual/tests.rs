//! The usual way against the general one.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::scan::in_general;

/// Messages that are read in the usual way; each has something that the others have not.
const USUAL: [&str; 6] = [
    "INVITE sip:+8613715917932@10.187.64.8:5060;user=phone SIP/2.0\r\n\
     Via: SIP/2.0/UDP 10.187.16.15:5060;branch=z9hG4bKi4d4673ef77ba057421af8c\r\n\
     Via: SIP/2.0/UDP 10.187.48.8:5060;received=10.187.48.8;branch=z9hG4bKpi4d4673ef77ba\r\n\
     Record-Route: <sip:10.187.16.15:5060;lr;Hpt=8f06_16>\r\n\
     To: <sip:+8613715917932@ims.mnc011.mcc460.3gppnetwork.org;user=phone>\r\n\
     From: \"+8618983933131\" <sip:+8618983933131@ims.mnc011.mcc460.3gppnetwork.org;user=phone>;tag=e4d9303221373073\r\n\
     CSeq: 1400 INVITE\r\nCall-ID: ab27a171-dca0-4b54-3c82-a7ff0d3886871\r\n\
     P-Asserted-Identity: <sip:+8618983933131@ims.mnc011.mcc460.3gppnetwork.org;user=phone>\r\n\
     P-Charging-Vector: icid-value=\"f55540b2bff06252e028.1\";orig-ioi=ims.mnc011.mcc460.3gppnetwork.org\r\n\
     X-A-Name-That-Is-Longer-Than-A-Head: 1\r\nAllow: INVITE,ACK,BYE\r\n\
     Content-Type: application/sdp\r\nContent-Length: 19\r\n\r\nv=0\r\nc=IN IP4 1.2\r\n\r\n",
    "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/TCP h;rport;received=1.2.3.4;branch=z9hG4bKa1;x=\"a;b\"\r\nf: <sip:a@b>;tag=1;x=y\r\n\
     t: \"a b\"<sip:c@d>;tag=2\r\ni: x\r\nCSeq: 0001 INVITE\r\nMax-Forwards: 70\r\nServer: y\r\nl: 0\r\n\r\n",
    "ACK tel:+861 SIP/2.0\r\nVia: SIP/2.0/TLS h\r\nFrom: <sip:a@b>\r\nTo: <sip:c@d>\r\nCall-ID:x\r\n\
     CSeq: 3 ACK\r\nSupported: timer\r\n\r\nthe rest",
    "REGISTER sip:h SIP/2.0\r\nCALL-ID: y\r\nVIA: SIP/2.0/UDP host.example.com:5060;branch=z9hG4bKab;Role=3;Dpt=7a54_16;TRC=ffffffff\r\n\
     From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCSeq: 9999999 REGISTER\r\nContent-Length: 5\r\n\r\nabc",
    "SIP/2.0 487 Request Terminated\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\n\
     i: c1\r\nCSeq: 1 CANCEL\r\nReason: SIP;cause=200;text=\"elsewhere\",Q.850;cause=26\r\nContent-Length: 000\r\n\r\n",
    "BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP 1;branch=z9\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 BYE\n\
     Server: this message is long enough, and not usual, since its lines end otherwise\n\n",
];

/// Pieces that mean something in one of the ways.
const PIECES: [&str; 24] = [
    "\"",
    "<",
    ">",
    ",",
    ";",
    "=",
    ":",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\\",
    "\n ",
    "0",
    "12345678",
    "\r\n\r\n",
    "Via: ,\r\n",
    "l: 3\r\n",
    "To: <x>\r\n",
    ";tag=",
    ";branch=",
    "\u{80}",
    "BYE",
];

/// Whether a message is read in the usual way. Panics if the general way reads it otherwise.
fn is_usual_and_agrees(bytes: &[u8]) -> bool {
    let Some(usual) = parse(bytes) else { return false };
    let shown = bytes.escape_ascii();
    let general = in_general(bytes).unwrap_or_else(|fault| panic!("{fault}: {shown}"));
    assert_eq!(usual.frame, general.frame);
    assert_eq!(usual.start(), general.start(), "{shown}");
    let texts = |message: &Message<'_>| {
        [
            message.call_id(),
            message.from(),
            message.to(),
            message.method_token(),
            message.body(),
        ]
        .map(<[u8]>::to_vec)
    };
    assert_eq!(texts(&usual), texts(&general), "{shown}");
    assert_eq!(
        (usual.from_tag(), usual.to_tag()),
        (general.from_tag(), general.to_tag()),
        "{shown}"
    );
    assert_eq!(
        (usual.cseq(), usual.method()),
        (general.cseq(), general.method()),
        "{shown}"
    );
    assert_eq!(usual.top_via(), general.top_via(), "{shown}");
    let lengths = |message: &Message<'_>| {
        (
            message.content_length(),
            message.body_truncated(),
            message.truncated(),
        )
    };
    assert_eq!(lengths(&usual), lengths(&general), "{shown}");
    assert!(usual.headers().eq(general.headers()), "{shown}");
    true
}

/// Catches a usual way that takes nothing, so that the other tests compare nothing.
#[test]
fn the_usual_ones_are() {
    for text in &USUAL[..5] {
        assert!(is_usual_and_agrees(text.as_bytes()), "{text}");
    }
}

/// A change to a message: where, how many octets go, what comes.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let piece = prop_oneof![
        prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    (
        any::<prop::sample::Index>(),
        prop_oneof![Just(0), Just(1), 0..20usize],
        piece,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Catches anything read otherwise, or read where the general way finds a fault, in messages that were usual before a few changes.
    #[test]
    fn spoilt(at in 0..USUAL.len(), changes in prop::collection::vec(change(), 1..4)) {
        let mut bytes = USUAL[at].as_bytes().to_vec();
        for (place, gone, come) in changes {
            let from = place.index(bytes.len() + 1);
            let to = (from + gone).min(bytes.len());
            bytes.splice(from..to, come);
        }
        is_usual_and_agrees(&bytes);
    }

    /// The same with values of From, To and Via out of pieces that mean something in them.
    #[test]
    fn any_values(
        address in prop::collection::vec(prop::sample::select(vec![
            "\"\\\"", "\"", "\\", " <sip:a@b>", "<sip:a>", "<", ">", ";tag=1", ";tag=", ";", "x", " ", "\"n\" <sip:a>;tag=",
        ]), 0..8),
        via in prop::collection::vec(prop::sample::select(vec![
            "SIP/2.0/UDP h", "SIP/2.0/UDP ", " ", ";", ";branch=", ";branch=z9hG4bK1", ",", "\"", "x", "=", ":5060", "0123456789abcdef",
        ]), 0..12),
    ) {
        let (address, via) = (address.concat(), via.concat());
        for text in [
            format!("BYE a SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: {address}\r\nTo: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n"),
            format!("BYE a SIP/2.0\r\nVia: {via}\r\nFrom: <sip:b>\r\nTo: <sip:b>;{address}\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n"),
        ] {
            is_usual_and_agrees(text.as_bytes());
        }
    }
}

/// Catches limits passed: as many lines, Via values and octets as are taken, and one more.
#[test]
fn limits_hold() {
    let (head, rest) = USUAL[3].split_once("CALL-ID").unwrap();
    for count in 0..300 {
        for line in [
            "x:\r\n",
            "Via: a\r\n",
            "Via: a,a,a,a,a,a,a,a\r\n",
            "Route: <a>\r\n",
        ] {
            let lines = format!("{}From", line.repeat(count));
            is_usual_and_agrees(format!("{head}CALL-ID{}", rest.replacen("From", &lines, 1)).as_bytes());
        }
    }
    for octets in LINE_BYTES_MAX - 700..LINE_BYTES_MAX + 10 {
        let filler = "x".repeat(octets);
        is_usual_and_agrees(format!("{head}Subject: {filler}\r\nCALL-ID{rest}").as_bytes());
        is_usual_and_agrees(format!("{head}CALL-ID{rest}{filler}").as_bytes());
    }
}

/// Other people's messages, as they are and with pieces put over each part of them.
#[test]
fn of_other_people() {
    let data = std::env::var_os("RINGTAP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let mut folders = vec![data.join("open/messages")];
    let (mut usual, mut seen) = (0, 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            eprintln!("SKIPPED: no messages in {} (set RINGTAP_DATA)", folder.display());
            return;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            seen += 1;
            usual += u32::from(is_usual_and_agrees(&bytes));
            for at in (seen % 5..bytes.len().min(3000)).step_by(11) {
                for piece in PIECES {
                    let rest = bytes.get(at + piece.len()..).unwrap_or_default();
                    is_usual_and_agrees(&[&bytes[..at], piece.as_bytes(), rest].concat());
                }
            }
        }
    }
    assert!(usual > 20, "only {usual} of {seen} are read in the usual way");
}

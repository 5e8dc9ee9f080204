//! What every generated message must satisfy, and what single rows must look like.
//!
//! The tests read the messages with a few lines of their own, not with the product's parser.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a fault in what the generator wrote must stop the test"
)]

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use ringtap_testkit::notation::Segment;
use ringtap_testkit::{BASE, Case, Scenario, Wire, all, messages, messages_salted, sample, transmitted};

/// A message cut into start line, headers and body.
struct Sip {
    start: String,
    headers: Vec<(String, String)>,
    body_bytes: usize,
}

impl Sip {
    fn of(wire: &Wire) -> Self {
        let text = String::from_utf8(wire.payload.clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| {
                line.split_once(": ")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .unwrap()
            })
            .collect();
        Self {
            start,
            headers,
            body_bytes: body.len(),
        }
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|header| header.0 == name)
            .map(|header| header.1.as_str())
            .collect()
    }

    fn one(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {}", self.start);
        values[0]
    }

    fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?[..3].parse().ok()
    }

    fn method(&self) -> &str {
        self.one("CSeq").split_once(' ').unwrap().1
    }

    fn to_tag(&self) -> Option<&str> {
        self.one("To").split_once(";tag=").map(|(_, tag)| tag)
    }

    fn branch(&self) -> &str {
        self.all("Via")[0].split_once(";branch=").unwrap().1
    }
}

fn cases() -> Vec<Case> {
    all().iter().flat_map(Scenario::cases).collect()
}

fn case(name: &str) -> Case {
    sample::find(name).unwrap()
}

/// `a/GI INVITE 1` for each message.
fn labels(wires: &[Wire]) -> Vec<String> {
    wires
        .iter()
        .map(|wire| format!("{}/{} {}", wire.label.leg, wire.label.segment, wire.label.message))
        .collect()
}

/// The first message with this label.
fn find(wires: &[Wire], label: &str) -> Sip {
    let index = labels(wires).iter().position(|other| other == label);
    Sip::of(&wires[index.unwrap_or_else(|| panic!("no {label}"))])
}

/// Catches a message too many or too few anywhere in the corpus: semantics.md §8.5 counts 1 118
/// messages (its trials of a single loss).
#[test]
fn the_corpus_has_as_many_messages_as_the_specification() {
    let mut datagrams = 0;
    for case in cases() {
        let distinct: BTreeSet<u64> = messages(&case).iter().map(|wire| wire.datagram).collect();
        datagrams += distinct.len();
    }
    assert_eq!(datagrams, 1_118);
}

/// Catches S01 told wrong: the one row that is written out by hand here.
#[test]
fn s01_by_hand() {
    let wires = messages(&case("S01"));
    let told: Vec<String> = wires
        .iter()
        .zip(labels(&wires))
        .map(|(wire, label)| format!("{:.3} {label}", (wire.time - BASE) as f64 / 1e6))
        .collect();
    assert_eq!(
        told,
        [
            "0.000 a/GI INVITE 1",
            "0.010 a/MT INVITE 1",
            "0.020 a/GT INVITE 1",
            "0.050 a/GI 100/INVITE 1",
            "0.400 a/GT 180/INVITE 1",
            "0.410 a/MT 180/INVITE 1",
            "0.420 a/GI 180/INVITE 1",
            "25.000 a/GI CANCEL 1",
            "25.003 a/GI 200/CANCEL 1",
            "25.010 a/MT CANCEL 1",
            "25.013 a/MT 200/CANCEL 1",
            "25.020 a/GT CANCEL 1",
            "25.023 a/GT 200/CANCEL 1",
            "25.050 a/GT 487/INVITE 1",
            "25.053 a/GT ACK 1",
            "25.060 a/MT 487/INVITE 1",
            "25.063 a/MT ACK 1",
            "25.070 a/GI 487/INVITE 1",
            "25.073 a/GI ACK 1",
        ]
    );
    assert_eq!(BASE.to_string(), "2024-05-06T02:23:41.000000Z");
    let ends = (wires[0].source.to_string(), wires[0].destination.to_string());
    assert_eq!(ends, ("10.40.0.1:5060".to_owned(), "10.30.0.1:5060".to_owned()));
    assert_eq!(wires[2].destination.to_string(), "10.10.1.1:5060");
}

/// Catches a message that is no SIP message: a wrong length, a header missing or doubled, time out of order.
#[test]
fn every_message_is_well_formed() {
    for case in cases() {
        let wires = messages(&case);
        assert!(wires.is_sorted_by_key(|wire| wire.time), "{}", case.name);
        for wire in &wires {
            let sip = Sip::of(wire);
            assert_eq!(
                sip.one("Content-Length"),
                sip.body_bytes.to_string(),
                "{}",
                wire.label
            );
            for name in ["From", "To", "Call-ID", "CSeq"] {
                assert!(!sip.one(name).is_empty(), "{}", wire.label);
            }
            assert!(sip.one("From").contains(";tag="), "{}", wire.label);
            if sip.status().is_none() {
                assert_eq!(sip.start.split(' ').next(), Some(sip.method()), "{}", wire.label);
                assert!(sip.start.ends_with(" SIP/2.0"));
                let sent_by = format!("SIP/2.0/UDP {};", wire.source);
                assert!(sip.all("Via")[0].starts_with(&sent_by), "{}", wire.label);
                assert!((60..=70).contains(&sip.one("Max-Forwards").parse::<u8>().unwrap()));
            }
        }
    }
}

/// Where a request of a transaction is known from.
type Key = (SocketAddr, SocketAddr, String, String);

/// Catches a response whose Via stack, From, Call-ID or To do not repeat its request on the same hop
/// (RFC 3261 §8.2.6.2), and a request that reuses the branch of another.
#[test]
fn responses_repeat_their_requests() {
    for case in cases() {
        let wires = transmitted(&case, 0);
        let mut requests: HashMap<Key, Sip> = HashMap::new();
        for wire in &wires {
            let sip = Sip::of(wire);
            if sip.status().is_none() {
                let key = (
                    wire.source,
                    wire.destination,
                    sip.branch().to_owned(),
                    sip.one("CSeq").to_owned(),
                );
                requests.insert(key, sip);
            }
        }
        for wire in &wires {
            let sip = Sip::of(wire);
            let Some(status) = sip.status() else { continue };
            let key = (
                wire.destination,
                wire.source,
                sip.branch().to_owned(),
                sip.one("CSeq").to_owned(),
            );
            let request = requests
                .get(&key)
                .unwrap_or_else(|| panic!("{}: no request", wire.label));
            assert_eq!(sip.all("Via"), request.all("Via"), "{}", wire.label);
            assert_eq!(sip.one("From"), request.one("From"), "{}", wire.label);
            assert_eq!(sip.one("Call-ID"), request.one("Call-ID"), "{}", wire.label);
            match request.to_tag() {
                Some(_) => assert_eq!(sip.one("To"), request.one("To"), "{}", wire.label),
                None => {
                    let to = sip.one("To").split(";tag=").next();
                    assert_eq!(to, Some(request.one("To")), "{}", wire.label);
                    assert_eq!(sip.to_tag().is_some(), status > 100, "{}", wire.label);
                }
            }
        }
    }
}

/// Catches the one difference by which an answered call is told from a failed one when the final response
/// is lost (semantics.md A2): the ACK of a failure has the branch of the INVITE, that of a 2xx its own.
/// CANCEL shares the branch and has one Via (RFC 3261 §9.1).
#[test]
fn branches_of_cancel_and_ack() {
    let (mut hop_acks, mut own_acks, mut cancels) = (0, 0, 0);
    for case in cases() {
        let wires = transmitted(&case, 0);
        let sips: Vec<Sip> = wires.iter().map(Sip::of).collect();
        let invites: BTreeSet<&str> = sips
            .iter()
            .filter(|sip| sip.start.starts_with("INVITE "))
            .map(Sip::branch)
            .collect();
        let accepted = sips
            .iter()
            .any(|sip| sip.status() == Some(200) && sip.method() == "INVITE");
        for (sip, wire) in sips.iter().zip(&wires) {
            let shares = invites.contains(sip.branch());
            if sip.start.starts_with("CANCEL ") {
                cancels += 1;
                assert!(
                    shares && sip.all("Via").len() == 1 && sip.to_tag().is_none(),
                    "{}",
                    wire.label
                );
            } else if sip.start.starts_with("ACK ") {
                assert!(sip.to_tag().is_some(), "{}", wire.label);
                if shares {
                    hop_acks += 1;
                    assert_eq!(sip.all("Via").len(), 1, "{}", wire.label);
                } else {
                    own_acks += 1;
                    assert!(accepted, "{}", wire.label);
                }
            } else if sip.status().is_none() && !sip.start.starts_with("INVITE ") {
                assert!(!shares, "{}", wire.label);
            }
        }
    }
    assert!(
        hop_acks > 100 && own_acks > 10 && cancels > 50,
        "{hop_acks} {own_acks} {cancels}"
    );
}

/// Catches To-tags that are not those of semantics.md §8.2: forks have their own, the leg above passes them
/// up, a 200 from elsewhere does not carry the phone's.
#[test]
fn to_tags() {
    let tag = |wires: &[Wire], label: &str| find(wires, label).to_tag().unwrap().to_owned();

    for row in ["S10", "S11"] {
        let wires = messages(&case(row));
        assert_eq!(tag(&wires, "a/GI 180/INVITE 1"), tag(&wires, "b/GT 180/INVITE 1"));
        assert_ne!(tag(&wires, "b/GT 180/INVITE 1"), tag(&wires, "c/GT 180/INVITE 1"));
        assert_eq!(tag(&wires, "b/MT 180/INVITE 1"), tag(&wires, "b/MT 487/INVITE 1"));
    }
    let fork = messages(&case("S10"));
    assert_eq!(tag(&fork, "a/GI 200/INVITE 1"), tag(&fork, "c/GT 180/INVITE 1"));
    assert_eq!(tag(&fork, "a/GI BYE 2"), tag(&fork, "c/GT 200/INVITE 1"));
    assert_eq!(tag(&fork, "c/GT ACK 1"), tag(&fork, "c/GT 200/INVITE 1"));

    for row in ["S22", "E05", "S28"] {
        let wires = messages(&case(row));
        assert_eq!(
            tag(&wires, "a/GI 180/INVITE 1"),
            tag(&wires, "b/GT 180/INVITE 1"),
            "{row}"
        );
        assert_ne!(
            tag(&wires, "a/GI 200/INVITE 1"),
            tag(&wires, "b/GT 180/INVITE 1"),
            "{row}"
        );
    }
    let challenged = messages(&case("S13/407"));
    assert_ne!(
        tag(&challenged, "a/GO 407/INVITE 1"),
        tag(&challenged, "a/GO 180/INVITE 2")
    );
    assert_eq!(
        tag(&challenged, "a/GO 180/INVITE 2"),
        tag(&challenged, "a/GO 487/INVITE 2")
    );
}

/// Catches counters that do not count on, or a request of the callee with From and To of the caller.
#[test]
fn requests_within_a_dialog() {
    let early = messages(&case("S34"));
    let numbered: BTreeSet<String> = early.iter().map(|wire| wire.label.message.clone()).collect();
    for wanted in [
        "INVITE 1",
        "PRACK 2",
        "200/PRACK 2",
        "UPDATE 3",
        "CANCEL 1",
        "487/INVITE 1",
    ] {
        assert!(numbered.contains(wanted), "{wanted}");
    }
    let prack = find(&early, "a/GI PRACK 2");
    assert_eq!(prack.to_tag(), find(&early, "a/GI 183/INVITE 1").to_tag());

    let answered = messages(&case("S02"));
    let (invite, ok) = (
        find(&answered, "a/GT INVITE 1"),
        find(&answered, "a/GT 200/INVITE 1"),
    );
    let bye = find(&answered, "a/GT BYE 1");
    assert_eq!(
        (bye.one("From"), bye.one("To")),
        (ok.one("To"), invite.one("From"))
    );
    assert!(labels(&answered).iter().any(|label| label == "a/GI 200/BYE 1"));

    let retried = labels(&messages(&case("E07")));
    assert!(retried.contains(&"a/MO 484/INVITE 1".to_owned()));
    assert!(retried.contains(&"a/GT CANCEL 2".to_owned()));
    assert!(!retried.contains(&"a/GT INVITE 1".to_owned()));
}

/// Catches a header on a segment where semantics.md §3.1 does not have it.
#[test]
fn headers_per_segment() {
    let wires = messages(&case("S15"));
    for (segment, uri, asserted, called, charging) in [
        ("GO", "sip:1001@", 0, 0, 0),
        ("MO", "sip:1001@", 2, 0, 1),
        ("MT", "sip:line1-1@10.10.1.1", 2, 1, 1),
        ("GT", "sip:line1-1@10.10.1.1", 2, 1, 0),
    ] {
        let invite = find(&wires, &format!("a/{segment} INVITE 1"));
        assert!(
            invite.start.starts_with(&format!("INVITE {uri}")),
            "{}",
            invite.start
        );
        assert_eq!(invite.all("P-Asserted-Identity").len(), asserted, "{segment}");
        assert_eq!(invite.all("P-Called-Party-ID").len(), called, "{segment}");
        assert_eq!(invite.all("P-Charging-Vector").len(), charging, "{segment}");
        assert_eq!(
            invite.all("Via").len(),
            usize::from(70 - invite.one("Max-Forwards").parse::<u8>().unwrap()) + 1
        );
    }
    let gateway = find(&messages(&case("S23")), "b/GJ INVITE 1");
    assert!(gateway.start.starts_with("INVITE tel:+861085091234 "));
    assert_eq!(gateway.one("To"), "<tel:+862583091001>");
    assert!(gateway.one("History-Info").ends_with(";cause=302>;index=1.1"));
    assert_eq!(
        gateway.all("Via")[1].split(';').next(),
        Some("SIP/2.0/UDP 10.30.0.50:5060")
    );
}

/// Catches a withheld number that reaches the callee's phone, where the engine must not look for it either.
#[test]
fn a_withheld_number_stays_in_the_core() {
    for wire in messages(&case("S32")) {
        let sip = Sip::of(&wire);
        let shown = String::from_utf8_lossy(&wire.payload).contains("13912345678");
        let trusted = sip.start.starts_with("INVITE ") && wire.label.segment != Segment::Gt;
        assert_eq!(shown, trusted, "{}", wire.label);
        if sip.start.starts_with("INVITE ") {
            assert_eq!(sip.one("Privacy"), "id");
        }
    }
}

/// Catches a copy that differs, or that comes at another time.
#[test]
fn doubled_frames_are_copies() {
    let wires = messages(&case("S15"));
    assert_eq!(wires.len(), 48);
    for first in &wires {
        let copies: Vec<&Wire> = wires
            .iter()
            .filter(|wire| wire.datagram == first.datagram)
            .collect();
        let [early, late] = copies[..] else {
            panic!("{}: {} copies", first.label, copies.len())
        };
        assert_eq!((late.time - early.time, &late.payload), (200, &early.payload));
    }
}

/// Catches a hidden message that is captured, or its automatic answer that is not.
#[test]
fn hidden_messages_leave_their_answers() {
    let methods = |name: &str| {
        messages(&case(name))
            .iter()
            .map(|wire| wire.label.message.clone())
            .collect::<BTreeSet<String>>()
    };
    assert_eq!(
        Vec::from_iter(methods("S35")),
        ["200/CANCEL 1", "487/INVITE 1", "ACK 1", "CANCEL 1"]
    );
    assert!(methods("S36/plain").contains("ACK 1"));
    assert!(!methods("S36/hidden").contains("ACK 1"));
    assert!(!methods("S36/plain").contains("200/INVITE 1"));
}

/// Catches a hostile name that became harmless on the way out, or an INVITE that needs no fragments.
#[test]
fn the_hostile_invite() {
    let wires = messages(&case("S40"));
    let invite = find(&wires, "a/GT INVITE 1");
    assert!(
        invite
            .one("From")
            .starts_with("\"<b>总经理</b>\\\"\\, http://evil.test/ \u{202E}321\" <sip:")
    );
    assert_eq!(invite.one("P-Asserted-Identity"), "<tel:+8613912345678>");
    assert!(
        (3_000..3_500).contains(&wires[0].payload.len()),
        "{}",
        wires[0].payload.len()
    );
}

/// Catches a retransmission that differs from the first (S38).
#[test]
fn retransmissions_repeat_every_byte() {
    let wires = messages(&case("S38"));
    let sent: Vec<&Wire> = wires.iter().filter(|wire| wire.label.leg == "b").collect();
    assert_eq!(sent.len(), 6);
    assert!(sent.iter().all(|wire| wire.payload == sent[0].payload));
}

/// Catches two runs that differ, and two salts or cases that share a name: then two interleaved calls
/// would be one. Only the useless ICID of S20 is meant to be shared.
#[test]
fn names_are_stable_and_separate() {
    let names = |wires: &[Wire]| {
        let mut names = BTreeSet::new();
        for sip in wires.iter().map(Sip::of) {
            names.insert(sip.one("Call-ID").to_owned());
            names.extend(sip.one("From").split_once(";tag=").map(|(_, tag)| tag.to_owned()));
            names.extend(sip.to_tag().map(str::to_owned));
            names.extend(sip.all("Via").iter().map(|via| (*via).to_owned()));
            names.extend(
                sip.all("P-Charging-Vector")
                    .iter()
                    .map(|value| (*value).to_owned()),
            );
            names.extend(sip.all("Replaces").iter().map(|value| (*value).to_owned()));
        }
        names.retain(|name| !name.contains("icid-value=\"0\""));
        names
    };
    let mut seen: HashMap<String, String> = HashMap::new();
    for case in cases() {
        let wires = messages(&case);
        assert_eq!(wires, messages(&case));
        let salted = messages_salted(&case, 1);
        assert_eq!(labels(&wires), labels(&salted));
        assert_eq!(
            names(&wires).intersection(&names(&salted)).next(),
            None,
            "{}",
            case.name
        );
        // Alternatives of a row share the ICID that the row gives; they are never in one capture unsalted.
        for name in names(&wires) {
            if let Some(other) = seen.insert(name.clone(), case.id.clone()) {
                assert_eq!(other, case.id, "{name}");
            }
        }
    }
}

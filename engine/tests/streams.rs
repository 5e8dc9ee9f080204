//! SIP over TCP and SCTP through the whole pipeline: the records that UDP gives, on any number of cores.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod corpus;
mod lab;

use std::collections::BTreeMap;

use ringtap_testkit::{Format, Transport, Wire, capture, capture_over, messages_salted, scenario};

use lab::{Lab, Replayed, of_families};

/// Families of counters that do not depend on the number of cores.
const STEADY: [&str; 8] = [
    "frame", "tcp", "sctp", "request", "response", "target", "no", "fragment",
];

/// The records of a replay, and the steady counts of the summary.
fn replay(lab: &Lab, capture: &[u8], more: &[&str]) -> Replayed {
    let (records, counts) = lab.replay("ringtap.toml", capture, more);
    (records, of_families(counts, &STEADY))
}

/// One message in each segment, cut into many, several in one, picked up in the middle; SCTP whole and in pieces.
const TRANSPORTS: [Transport; 6] = [
    tcp(true, None, 0),
    tcp(true, Some(150), 0),
    tcp(false, None, 0),
    tcp(true, Some(3000), 15_000),
    Transport::Sctp { chunk_bytes: 60_000 },
    Transport::Sctp { chunk_bytes: 400 },
];

const fn tcp(is_opened: bool, segment_bytes: Option<usize>, together_us: i64) -> Transport {
    Transport::Tcp {
        is_opened,
        segment_bytes,
        together_us,
    }
}

/// What a record says without its times: who, whom, what became of it.
fn outcome(record: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    let targets: Vec<_> = record["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| [&target["identity"], &target["outcome"], &target["diverted_to"]])
        .collect();
    format!(
        "{} {} {} {targets:?} {}",
        record["call"], record["caller"], record["dialled"], record["flags"]
    )
}

fn outcomes(records: &[String]) -> Vec<String> {
    records.iter().map(|record| outcome(record)).collect()
}

/// Catches a verdict that depends on what carries the messages: every scenario over each, and the same on two cores.
#[test]
fn the_same_outcomes_over_every_transport() {
    let lab = Lab::new();
    let wires = corpus::wires();
    let (records, counts) = replay(&lab, &capture(&wires, Format::Pcap), &[]);
    assert!(records.len() >= 55, "{} records", records.len());
    let wanted = outcomes(&records);
    for transport in TRANSPORTS {
        let file = capture_over(&wires, transport, 1, Format::Pcap);
        let (found, found_counts) = replay(&lab, &file, &[]);
        for (found, wanted) in outcomes(&found).iter().zip(&wanted) {
            assert_eq!(found, wanted, "{transport:?}: {found_counts:?}");
        }
        assert_eq!(found.len(), wanted.len(), "{transport:?}");
        let messages = |counts: &BTreeMap<String, u64>| {
            counts
                .iter()
                .filter(|(name, _)| name.starts_with("request") || name.starts_with("response"))
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        let copies = match transport {
            Transport::Tcp { .. } => "tcp segment copy",
            Transport::Sctp { .. } => "sctp data copy",
        };
        let copies = found_counts.get(copies).copied().unwrap_or(0);
        assert!(
            messages(&found_counts) <= messages(&counts)
                && messages(&found_counts) + copies >= messages(&counts),
            "{transport:?}: {found_counts:?} {counts:?}"
        );
        let two = replay(&lab, &file, &["--cores", "0,1"]);
        assert_eq!(two, (found, found_counts), "{transport:?} on two cores");
    }
}

/// Catches streams of which only one direction is mirrored and that are not read.
#[test]
fn one_direction_only() {
    let lab = Lab::new();
    let wires: Vec<Wire> = corpus::wires()
        .into_iter()
        .filter(|wire| wire.source > wire.destination)
        .collect();
    let (records, _) = replay(&lab, &capture(&wires, Format::Pcap), &[]);
    assert!(records.len() > 20);
    for transport in TRANSPORTS {
        let (found, _) = replay(&lab, &capture_over(&wires, transport, 2, Format::Pcap), &[]);
        for (found, wanted) in outcomes(&found).iter().zip(&outcomes(&records)) {
            assert_eq!(found, wanted, "{transport:?}");
        }
        assert_eq!(found.len(), records.len(), "{transport:?}");
    }
}

/// Catches a lost segment that is no known gap: a call without an end would be mailed as possibly missed (semantics.md
/// D37).
#[test]
fn a_lost_segment_is_a_known_gap() {
    let lab = Lab::new();
    let case = |row: &str| scenario(row).unwrap().cases()[0].clone();
    // A phone rings, and no end is seen; other calls go on meanwhile over the same streams.
    let mut wires = messages_salted(&case("E10"), 0);
    for salt in 1..10 {
        let other = messages_salted(&case("S01"), salt);
        let offset_us = i64::try_from(salt).unwrap() * 30_000_000;
        wires = ringtap_testkit::mutate::interleaved(&wires, &other, offset_us);
    }
    for transport in [TRANSPORTS[0], TRANSPORTS[4]] {
        let file = capture_over(&wires, transport, 3, Format::Pcap);
        let (header, mut rest) = file.split_at(24);
        let (mut lossy, mut is_lost) = (header.to_vec(), false);
        while let Some(len) = rest.get(8..12) {
            let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
            let (frame, others) = rest.split_at(16 + len);
            rest = others;
            // The INVITE of the call in the middle, on one hop.
            let is_invite = frame.windows(7).any(|octets| octets == b"INVITE ");
            let at = u32::from_le_bytes(frame[..4].try_into().unwrap());
            let is_late = i64::from(at) > wires[0].time.as_micros() / 1_000_000 + 65;
            if is_invite && is_late && !is_lost {
                is_lost = true;
            } else {
                lossy.extend(frame);
            }
        }
        assert!(is_lost);
        for (capture, is_gap) in [(&file, false), (&lossy, true)] {
            let (records, counts) = replay(&lab, capture, &[]);
            let open = records.iter().filter(|line| line.contains("UNDETERMINED"));
            let flagged = open.filter(|line| line.contains("\"loss\"")).count();
            assert_eq!(flagged > 0, is_gap, "{transport:?}: {counts:?} {records:#?}");
        }
    }
}

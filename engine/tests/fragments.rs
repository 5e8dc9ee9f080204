//! Fragmented messages through the whole pipeline: the records of whole ones, on any number of cores.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod corpus;
mod lab;

use std::collections::BTreeMap;
use std::process::Command;

use ringtap_testkit::mutate::interleaved;
use ringtap_testkit::{Format, Wire, capture, messages_salted};

use lab::{Lab, Replayed, of_families};

const SEEDS: u64 = 3;
/// Families of counters that do not depend on the number of cores.
const STEADY: [&str; 7] = [
    "frame", "fragment", "datagram", "request", "response", "leg", "target",
];

/// The same messages, each in fragments of another size, or in one piece.
fn fragmented(wires: &[Wire], random: &mut fastrand::Rng) -> Vec<Wire> {
    let mut wires = wires.to_vec();
    for wire in &mut wires {
        wire.link.fragment_bytes = random.choice([None, Some(64), Some(256), Some(552)]).unwrap();
        wire.link.reversed = random.bool();
    }
    wires
}

/// A little-endian pcap file as frames and back.
struct Pcap {
    header: Vec<u8>,
    /// Each with its packet header.
    frames: Vec<Vec<u8>>,
}

impl Pcap {
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    const ETHERNET: usize = 14;

    fn of(wires: &[Wire]) -> Self {
        let bytes = capture(wires, Format::Pcap);
        let (header, mut rest) = bytes.split_at(Self::FILE_HEADER);
        let mut frames = Vec::new();
        while let Some(len) = rest.get(8..12) {
            let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
            let (frame, others) = rest.split_at(Self::PACKET_HEADER + len);
            frames.push(frame.to_vec());
            rest = others;
        }
        Self {
            header: header.to_vec(),
            frames,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.header.clone(), self.frames.concat()].concat()
    }

    /// Offset in octets and whether more fragments follow, of an untagged IPv4 frame.
    fn place(frame: &[u8]) -> (usize, bool) {
        let at = Self::PACKET_HEADER + Self::ETHERNET + 6;
        let field = u16::from_be_bytes([frame[at], frame[at + 1]]);
        (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0)
    }
}

/// With a configuration besides that reads no beginnings.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.configure("sparing.toml", "fragment_salvage = false");
    lab
}

/// The records of a replay, and the steady counts of the summary.
fn replay(lab: &Lab, config: &str, capture: &[u8], more: &[&str]) -> Replayed {
    let (records, counts) = lab.replay(config, capture, more);
    (records, of_families(counts, &STEADY))
}

/// How many frames a family of counters has.
fn sum(counts: &BTreeMap<String, u64>, of: &str) -> u64 {
    counts
        .iter()
        .filter(|(name, _)| name.split(' ').next() == Some(of))
        .map(|(_, count)| count)
        .sum()
}

/// Each datagram that was begun has had one end.
fn assert_ended(counts: &BTreeMap<String, u64>) {
    let apart = ["datagram begun", "datagram salvaged"].map(|name| counts.get(name).copied().unwrap_or(0));
    assert_eq!(
        sum(counts, "datagram") - apart[0] - apart[1],
        apart[0],
        "{counts:?}"
    );
}

/// Catches calls that are judged otherwise because their messages travelled in fragments, and records that depend
/// on which worker found which fragment.
#[test]
fn fragments_change_no_record() {
    let lab = lab();
    let wires = corpus::wires();
    let (wanted, _) = replay(&lab, "ringtap.toml", &capture(&wires, Format::Pcap), &[]);
    assert!(wanted.len() > 50, "{} records", wanted.len());
    for seed in 1..=SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let capture = capture(&fragmented(&wires, &mut random), Format::Pcap);
        let (records, counts) = replay(&lab, "ringtap.toml", &capture, &[]);
        assert_eq!(records, wanted, "seed {seed}");
        assert!(counts["datagram reassembled"] > 500, "{counts:?}");
        assert_eq!(sum(&counts, "fragment"), counts["frame fragment"], "{counts:?}");
        assert_eq!(
            counts["datagram reassembled"], counts["datagram begun"],
            "{counts:?}"
        );
        let two = replay(&lab, "ringtap.toml", &capture, &["--cores", "0,1"]);
        assert_eq!(two, (records, counts), "two cores, seed {seed}");
    }
}

/// Catches records, or counts, that depend on the number of cores when fragments are missing, late and doubled.
#[test]
fn lost_fragments_give_the_same_records_on_any_number_of_cores() {
    let lab = lab();
    let wires = corpus::wires();
    for seed in 1..=SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pcap = Pcap::of(&fragmented(&wires, &mut random));
        pcap.frames.retain(|_| random.u8(..) > 7);
        let copies = pcap
            .frames
            .iter()
            .flat_map(|frame| vec![frame.clone(); random.usize(1..3)]);
        pcap.frames = copies.collect();
        for _ in 0..pcap.frames.len() {
            let at = random.usize(1..pcap.frames.len());
            pcap.frames.swap(at - 1, at);
        }
        let one = replay(&lab, "ringtap.toml", &pcap.bytes(), &[]);
        assert_eq!(sum(&one.1, "fragment"), one.1["frame fragment"]);
        assert_ended(&one.1);
        assert!(
            one.1["datagram expired"] > 10 && one.1["datagram salvaged"] > 10,
            "{:?}",
            one.1
        );
        for run in 0..2 {
            let two = replay(&lab, "ringtap.toml", &pcap.bytes(), &["--cores", "0,1"]);
            assert_eq!(two, one, "seed {seed}, run {run}");
        }
    }
}

/// Catches an INVITE whose last fragment is lost and whose beginning is not read, or is read though the operator
/// does not want it.
#[test]
fn the_beginning_of_an_invite_is_salvaged() {
    let lab = lab();
    let mut wires = messages_salted(&ringtap_testkit::scenario("S01").unwrap().cases()[0], 0);
    for wire in &mut wires {
        if wire.payload.starts_with(b"INVITE") {
            let body = wire
                .payload
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 12;
            wire.link.fragment_bytes = Some(u16::try_from(body.next_multiple_of(8)).unwrap());
        }
    }
    let mut pcap = Pcap::of(&wires);
    let before = pcap.frames.len();
    pcap.frames.retain(|frame| {
        let (offset, more) = Pcap::place(frame);
        offset == 0 || more
    });
    assert_eq!(before - pcap.frames.len(), 3, "one on each segment");
    for (config, partial, salvaged) in [("ringtap.toml", false, Some(&3)), ("sparing.toml", true, None)] {
        let (records, counts) = replay(&lab, config, &pcap.bytes(), &[]);
        assert_eq!(records.len(), 1, "{config}: {records:?}");
        assert_eq!(
            records[0].contains("\"partial\""),
            partial,
            "{config}: {}",
            records[0]
        );
        assert_eq!(counts.get("datagram salvaged"), salvaged, "{config}: {counts:?}");
        assert_eq!(counts["datagram expired"], 3, "{config}: {counts:?}");
    }
}

/// Catches a message that could not be read because a fragment was lost, and that is no known gap: a call without an
/// end would be mailed as possibly missed (semantics.md D37). And a gap that is told though the message was read.
#[test]
fn a_message_given_up_is_a_known_gap() {
    let lab = lab();
    let case = |row: &str| ringtap_testkit::scenario(row).unwrap().cases()[0].clone();
    // A phone rings, and no end is seen; other calls go on meanwhile, of which the second is in fragments.
    let mut wires = messages_salted(&case("E10"), 0);
    let frames_of_e10 = wires.len();
    for salt in 1..10 {
        let mut other = messages_salted(&case("S01"), salt);
        if salt == 2 {
            other.truncate(1);
            other[0].link.fragment_bytes = Some(552);
        }
        wires = interleaved(&wires, &other, i64::try_from(salt).unwrap() * 30_000_000);
    }
    let mut pcap = Pcap::of(&wires);
    let before = pcap.frames.len();
    pcap.frames.retain(|frame| {
        let (offset, more) = Pcap::place(frame);
        offset == 0 || more
    });
    assert_eq!((before - pcap.frames.len(), frames_of_e10), (1, 6));
    for (config, salvaged, is_gap) in [("ringtap.toml", 1, false), ("sparing.toml", 0, true)] {
        let (records, counts) = replay(&lab, config, &pcap.bytes(), &[]);
        assert_eq!(counts["datagram expired"], 1, "{counts:?}");
        assert_eq!(counts.get("datagram salvaged").copied().unwrap_or(0), salvaged);
        let open: Vec<&String> = records
            .iter()
            .filter(|line| line.contains("UNDETERMINED"))
            .collect();
        // With its beginning read, the second call is another one without an end: closed by the same gap, if any.
        let flagged = open.iter().filter(|line| line.contains("\"loss\""));
        assert_eq!(flagged.count(), usize::from(is_gap), "{config}: {open:#?}");
        assert!(!open.is_empty());
        let page = Command::new(env!("CARGO_BIN_EXE_ringtap"))
            .args(["explain", "--config"])
            .arg(lab.path(config))
            .arg("--pcap")
            .arg(lab.path("capture.pcap"))
            .output()
            .expect("the program starts");
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        let wanted = "gap at 60.000 s: fragments given up\n\n+862583091001: UNDETERMINED";
        assert_eq!(page.contains(wanted), is_gap, "{config}: {page}");
        let two = replay(&lab, config, &pcap.bytes(), &["--cores", "0,1"]);
        assert_eq!(two, (records, counts), "two cores");
    }
}

/// Catches fragments that wait for others when the capture ends, and are forgotten: uncounted, or unread.
#[test]
fn the_end_of_a_capture_gives_up_what_waits() {
    let lab = lab();
    let mut wires = messages_salted(&ringtap_testkit::scenario("S01").unwrap().cases()[0], 0);
    wires.truncate(1);
    wires[0].link.fragment_bytes = Some(552);
    let mut pcap = Pcap::of(&wires);
    pcap.frames.pop();
    let (records, counts) = replay(&lab, "ringtap.toml", &pcap.bytes(), &[]);
    assert_ended(&counts);
    assert_eq!(
        (counts["datagram unfinished"], counts["datagram salvaged"]),
        (1, 1)
    );
    assert_eq!(counts["request INVITE"], 1);
    assert_eq!(records.len(), 1, "{records:?}");
}

/// Catches fragments of one file that do not find those of the next, when a capture is split over several files.
#[test]
fn a_capture_split_within_a_datagram() {
    let lab = lab();
    let mut wires = messages_salted(&ringtap_testkit::scenario("S01").unwrap().cases()[0], 0);
    for wire in &mut wires {
        wire.link.fragment_bytes = Some(256);
    }
    let whole = Pcap::of(&wires);
    let (wanted, counts) = replay(&lab, "ringtap.toml", &whole.bytes(), &[]);
    assert_eq!(counts["datagram reassembled"], counts["datagram begun"]);
    let (first, second) = whole.frames.split_at(1);
    let part = |frames: &[Vec<u8>]| [whole.header.clone(), frames.concat()].concat();
    let name = lab.path("first.pcap");
    std::fs::write(&name, part(first)).expect("written");
    let (records, split) = replay(&lab, "ringtap.toml", &part(second), &[name.to_str().unwrap()]);
    assert_eq!((records, split), (wanted, counts));
}

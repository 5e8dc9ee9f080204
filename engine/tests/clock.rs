//! Replays of captures whose stamps jump: what people are told must not depend on one wild stamp.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::process::Command;

use ringtap_testkit::{Format, capture, fixtures, messages_salted, mutate, scenario};
use serde_json::Value;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
const YEAR_S: u32 = 365 * 86_400;
/// Header of a classic capture file, and of a packet in it.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// A few scenarios behind one another, some of them ringing for long.
fn calls(salt: u64) -> Vec<ringtap_testkit::Wire> {
    let mut all = Vec::new();
    for (at, id) in ["S01", "S03", "S05", "S06", "S10"].into_iter().enumerate() {
        let case = &scenario(id).unwrap().cases()[0];
        let offset_us = i64::try_from(at).unwrap() * 9 * SECOND_US;
        all = mutate::interleaved(&all, &messages_salted(case, salt + at as u64), offset_us);
    }
    all
}

fn shifted(wires: &[ringtap_testkit::Wire], us: i64) -> Vec<ringtap_testkit::Wire> {
    let mut wires = wires.to_vec();
    for wire in &mut wires {
        wire.time = wire.time.plus_us(us);
    }
    wires
}

/// The packets of a classic capture, headers included.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut rest) = (Vec::new(), &file[FILE_HEADER..]);
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize + PACKET_HEADER;
        packets.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    packets
}

fn file(header: &[u8], packets: &[Vec<u8>]) -> Vec<u8> {
    [&header[..FILE_HEADER], &packets.concat()].concat()
}

/// What a replay records and what it says in its summary.
fn replay(captures: &[Vec<u8>], more: &[&str]) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ringtap.toml");
    let toml = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
    std::fs::write(&config, toml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtap"));
    command
        .args(["replay", "--stats", "--records", "-", "--records-all", "--config"])
        .arg(&config)
        .args(more);
    for (at, bytes) in captures.iter().enumerate() {
        let path = folder.path().join(format!("{at}.cap"));
        std::fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let mut lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    let records = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    (records.collect(), said)
}

fn outcomes(records: &[Value]) -> Vec<&str> {
    let targets = records
        .iter()
        .flat_map(|record| record["targets"].as_array().unwrap());
    targets
        .map(|target| target["outcome"].as_str().unwrap())
        .collect()
}

/// Catches a verdict that changes because one frame, of calls or not, has a wild stamp, wherever it stands.
#[test]
fn one_wild_stamp_changes_no_record() {
    let whole = capture(&calls(0), Format::Pcap);
    let packets = packets(&whole);
    let (wanted, _) = replay(std::slice::from_ref(&whole), &[]);
    assert!(wanted.len() >= 5);
    let mut options = calls(0)[0].clone();
    options.payload = b"OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKw\r\n\
        From: <sip:a@b.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: wild\r\nCSeq: 1 OPTIONS\r\n\
        Content-Length: 0\r\n\r\n"
        .to_vec();
    let sip = capture(&[options], Format::Pcap)[FILE_HEADER..].to_vec();
    let junk = [&[0; 8][..], &[60, 0, 0, 0], &[60, 0, 0, 0], &[0; 60]].concat();
    for at in (0..packets.len()).step_by(packets.len() / 12) {
        let seconds = u32::from_le_bytes(packets[at][..4].try_into().unwrap());
        for (wild, stamp) in [
            (&sip, seconds + YEAR_S),
            (&junk, seconds + YEAR_S),
            (&junk, seconds + 150),
            (&sip, 1),
        ] {
            let mut wild = wild.clone();
            wild[..4].copy_from_slice(&stamp.to_le_bytes());
            let mut packets = packets.clone();
            packets.insert(at, wild);
            for cores in [&[][..], &["--cores", "0"]] {
                let (records, said) = replay(&[file(&whole, &packets)], cores);
                assert_eq!(records, wanted, "a stamp of {stamp} before packet {at}\n{said}");
            }
        }
    }
}

/// Catches a call that is called missed because the capture has a gap, and calls behind the gap that suffer.
#[test]
fn a_gap_leaves_open_calls_undetermined() {
    let ringing = &messages_salted(&scenario("S01").unwrap().cases()[0], 9)[..3];
    let later = shifted(&calls(0), DAY_US);
    let (wanted, _) = replay(&[capture(&later, Format::Pcap)], &[]);
    let both = [ringing, &later].concat();
    for captures in [
        vec![capture(&both, Format::Pcap)],
        vec![capture(ringing, Format::Pcap), capture(&later, Format::Pcap)],
    ] {
        let (records, said) = replay(&captures, &[]);
        let (cut, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| !wanted.contains(record));
        assert_eq!(rest, wanted, "{said}");
        assert_eq!(outcomes(&cut), ["UNDETERMINED"], "{said}");
        assert!(cut[0]["flags"].as_array().unwrap().contains(&"loss".into()));
        assert!(said.contains("restarts 1"), "{said}");
    }
}

/// Catches calls that are never judged, or judged at once, because the stamps have stepped back: captures joined
/// end to end in one file.
#[test]
fn an_older_capture_in_the_same_file() {
    let (newer, older) = (calls(0), shifted(&calls(100), -DAY_US));
    let (newer, older) = (capture(&newer, Format::Pcap), capture(&older, Format::Pcap));
    let (wanted, _) = replay(&[newer.clone(), older.clone()], &[]);
    let joined = [&newer[..], &older[FILE_HEADER..]].concat();
    let (records, said) = replay(&[joined], &[]);
    assert_eq!(records, wanted, "{said}");
    assert!(said.contains("restarts 1"), "{said}");
}

/// Catches arithmetic that overflows because an interface's offset puts all stamps at an end of time.
#[test]
fn stamps_at_the_ends_of_time() {
    let file = capture(&calls(0), Format::PcapNg);
    let block = |at: usize| u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
    let (interface, packets) = (block(0), block(0) + block(block(0)));
    let (first, last) = ("1970-01-01T00:00:00.000000Z", "2200-01-01T00:00:00.000000Z");
    for (offset_s, started) in [
        (i64::MIN, first),
        (-4_000_000_000, first),
        (400_000_000_000, last),
        (i64::MAX, last),
    ] {
        let options = [&[14, 0, 8, 0][..], &offset_s.to_le_bytes(), &[0; 4]].concat();
        let len = u32::try_from(20 + options.len()).unwrap().to_le_bytes();
        let with_offset = [
            &file[..interface],
            &[1, 0, 0, 0],
            &len,
            &file[interface + 8..interface + 16],
            &options,
            &len,
            &file[packets..],
        ]
        .concat();
        let (records, said) = replay(&[with_offset], &[]);
        assert!(!records.is_empty(), "{said}");
        for record in records {
            assert_eq!(record["started"], started, "{offset_s}");
        }
    }
}

//! Files that are cut, damaged, unreadable or no captures at all.

use std::fs;
use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::super::written::Order::{Big, Little};
use super::super::written::{block, interface, pcap_header, pcap_packet, section, simple, stamped};
use super::super::{CaptureError, CaptureFile, Damage, open_error};
use super::{MICROS, NANOS, kept, ng_file, read, read_from};
use crate::capture::Link;

/// Catches a cut file that is refused, or cut without a word. Cut at every place: the packets before it
/// come out, and the tail is told unless the cut falls between two packets.
#[test]
fn truncated_tail_is_told() {
    let packets: Vec<Vec<u8>> = (0..4)
        .map(|i| pcap_packet(Little, (i, 0), &[7; 30], 30))
        .collect();
    let classic = [pcap_header(Little, MICROS, 1), packets.concat()].concat();
    for len in 24..classic.len() {
        let reading = read(&classic[..len], 4096).unwrap();
        assert_eq!(reading.frames.len(), (len - 24) / 46, "{len}");
        assert_eq!(reading.truncated_tail, !(len - 24).is_multiple_of(46), "{len}");
        assert!(reading.fault.is_none());
    }
    let ng = ng_file(Little);
    let mut told = 0;
    for len in 24..ng.len() {
        let reading = read(&ng[..len], 4096).unwrap();
        assert!(reading.fault.is_none(), "{len}: {:?}", reading.fault);
        told += usize::from(reading.truncated_tail);
    }
    // Ten blocks: nine cuts fall between two of them.
    assert_eq!(told, ng.len() - 24 - 9);
    assert!(!read(&ng, 4096).unwrap().truncated_tail);
}

/// Catches damage that goes unseen, is reported at the wrong place, or swallows the packets before it.
#[test]
fn damage_names_its_offset() {
    let good = [
        pcap_header(Little, MICROS, 1),
        pcap_packet(Little, (0, 0), &[1; 20], 20),
    ]
    .concat();
    let absurd = pcap_packet(Little, (0, 0), &[], 0);
    for claimed in [256 * 1024 + 1, u32::MAX] {
        let mut bad = absurd.clone();
        bad[8..12].copy_from_slice(&claimed.to_le_bytes());
        let file = [&good[..], &bad, &[0; 4096]].concat();
        expect_damage(&file, 1, good.len(), |damage| {
            matches!(damage, Damage::PacketTooLong { .. })
        });
    }

    let good = ng_file(Big);
    let with = |block: &[u8]| [&good[..], block, &good].concat();
    let mut lengths_differ = stamped(Big, 6, 0, 0, b"data", 4);
    *lengths_differ.last_mut().unwrap() = 48;
    let mut odd_length = block(Big, 5, &[0; 16]);
    odd_length[7] = 27;
    let mut longer_than_block = stamped(Big, 6, 0, 0, b"data", 4);
    longer_than_block[23] = 200;
    let mut huge_packet = stamped(Big, 6, 0, 0, b"data", 4);
    huge_packet[4..8].copy_from_slice(&0x7fff_fff0_u32.to_be_bytes());
    let mut huge_block = block(Big, 0x99, b"data");
    huge_block[4..8].copy_from_slice(&0x7fff_fff0_u32.to_be_bytes());
    let mut too_short = block(Big, 0x99, b"");
    too_short[4..8].copy_from_slice(&8_u32.to_be_bytes());
    let no_order = block(Big, 0x0a0d_0d0a, &[0; 16]);
    for (block, damage) in [
        (lengths_differ, Damage::BlockLength),
        (odd_length, Damage::BlockLength),
        (longer_than_block, Damage::BlockContent),
        (huge_packet, Damage::BlockTooLong { claimed: 0x7fff_fff0 }),
        (huge_block, Damage::BlockTooLong { claimed: 0x7fff_fff0 }),
        (too_short, Damage::BlockLength),
        (no_order, Damage::BlockContent),
        (
            stamped(Big, 6, 2, 0, b"data", 4),
            Damage::UnknownInterface { interface: 2 },
        ),
        (block(Big, 1, b"1234"), Damage::BlockContent),
        (block(Big, 6, &[0; 8]), Damage::BlockContent),
        (interface(Big, 1, 0, &[]).repeat(5000), Damage::TooManyInterfaces),
    ] {
        let expected = damage;
        let file = with(&block);
        let before = if expected == Damage::TooManyInterfaces {
            4094 * 20
        } else {
            0
        };
        expect_damage(&file, 4, good.len() + before, |damage| damage == expected);
    }
}

fn expect_damage(file: &[u8], frames: usize, at: usize, expected: impl Fn(Damage) -> bool) {
    for room_bytes in [16, 4096, 1 << 20] {
        let reading = read(file, room_bytes).unwrap();
        assert_eq!(reading.frames.len(), frames);
        match reading.fault {
            Some(CaptureError::Damaged { file, offset, damage }) => {
                assert_eq!(file, "made");
                assert_eq!(offset, at as u64);
                assert!(expected(damage), "{damage:?}");
            }
            other => panic!("{other:?} instead of damage"),
        }
    }
}

/// Found by `any_file_is_read_or_refused`: the second length of a block without packets was compared only
/// if the block was whole in the chunk, so that the same file was damaged or not as the chunks fell.
#[test]
fn second_length_of_a_passed_over_block_is_never_asked() {
    let mut odd = block(Little, 0x0bad, &[0; 200]);
    *odd.last_mut().unwrap() = 1;
    let file = [
        section(Little),
        interface(Little, 1, 0, &[]),
        odd,
        simple(Little, b"x", 1),
    ]
    .concat();
    for room_bytes in [16, 100, 4096] {
        let reading = read(&file, room_bytes).unwrap();
        assert_eq!(reading.frames, [kept(0, Link::Ethernet, b"x", 1)]);
        assert!(reading.fault.is_none());
    }
}

/// Catches an unclear error: each names the file and says what is wrong with it.
#[test]
fn unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder.pcap")).unwrap();
    for (name, content) in [
        ("empty.pcap", &b""[..]),
        ("text.pcap", b"INVITE sip:bob@example.com SIP/2.0\r\n\r\n"),
        ("two.pcap", b"\xd4\xc3"),
        ("cut.pcap", b"\xd4\xc3\xb2\xa1\x02\x00"),
        ("cut.pcapng", b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c"),
        ("small.pcap.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    ] {
        fs::write(path(name), content).unwrap();
    }
    for (name, expected) in [
        ("missing.pcap", "no such file"),
        ("folder.pcap", "is a directory"),
        ("empty.pcap", "empty file"),
        ("text.pcap", "not a capture file"),
        ("two.pcap", "not a capture file"),
        ("cut.pcap", "ends within its header"),
        ("cut.pcapng", "ends within its header"),
        ("small.pcap.gz", "compressed with gzip: decompress it first"),
    ] {
        let text = CaptureFile::open(&path(name)).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(expected), "{name}: {text}");
    }
}

/// Catches "cannot be opened" where the remedy is known. Root may read everything, so the mapping is
/// tested and not a file.
#[test]
fn permission_is_its_own_error() {
    let denied = open_error("secret.pcap", io::Error::from(io::ErrorKind::PermissionDenied));
    assert!(matches!(denied, CaptureError::Permission { .. }), "{denied:?}");
    assert!(denied.to_string().starts_with("secret.pcap: permission denied"));
}

/// Catches a failing disk taken for the end of the file.
#[test]
fn read_errors_are_told() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let file = [
        pcap_header(Little, MICROS, 1),
        pcap_packet(Little, (0, 0), b"data", 4),
    ]
    .concat();
    let len = file.len() as u64;
    let source = Cursor::new(file).chain(Failing);
    let reading = read_from(Box::new(source), 4096).unwrap();
    assert_eq!(reading.frames.len(), 1);
    match reading.fault {
        Some(CaptureError::Read { offset, .. }) => assert_eq!(offset, len),
        other => panic!("{other:?}"),
    }
}

/// A valid file with some bytes overwritten and its end cut.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let classic = [
        pcap_header(Little, NANOS, 1),
        pcap_packet(Little, (5, 6), &[3; 40], 40),
        pcap_packet(Little, (5, 7), &[4; 3], 90),
    ];
    let valid = prop_oneof![Just(ng_file(Little)), Just(ng_file(Big)), Just(classic.concat())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (valid, changes, any::<prop::sample::Index>()).prop_map(|(mut file, changes, end)| {
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(file.len() - end.index(file.len()) / 2);
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Catches a panic, an endless loop or a result that depends on the chunk's size, for files of noise
    /// and for good files with a few bytes wrong.
    #[test]
    fn any_file_is_read_or_refused(
        file in prop_oneof![
            mangled(),
            prop::collection::vec(any::<u8>(), 0..400),
            prop::collection::vec(any::<u8>(), 0..400)
                .prop_map(|noise| [&pcap_header(Big, MICROS, 1)[..], &noise].concat()),
            prop::collection::vec(any::<u8>(), 0..400).prop_map(|noise| [&ng_file(Big)[..], &noise].concat()),
        ],
        room_bytes in 0_usize..100,
    ) {
        match (read(&file, room_bytes), read(&file, 1 << 16)) {
            (Ok(small), Ok(large)) => {
                prop_assert_eq!(&small.frames, &large.frames);
                prop_assert_eq!(small.truncated_tail, large.truncated_tail);
                prop_assert_eq!(small.position, large.position);
                prop_assert!(small.position <= file.len() as u64);
                prop_assert_eq!(
                    small.fault.map(|fault| fault.to_string()),
                    large.fault.map(|fault| fault.to_string())
                );
            }
            (Err(small), Err(large)) => prop_assert_eq!(small.to_string(), large.to_string()),
            (small, large) => prop_assert!(false, "{small:?} and {large:?}"),
        }
    }
}

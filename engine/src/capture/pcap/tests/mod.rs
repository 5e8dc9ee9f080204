//! Tests of the capture reader over files that [`super::written`] makes and over real ones.

mod faults;

use std::fs;
use std::io::{self, Cursor, Read};

use ringtap_record::Time;

use super::written::Order::{self, Big, Little};
use super::written::{block, interface, option, pcap_header, pcap_packet, section, simple, stamped};
use super::{CaptureError, CaptureFile, Damage, PACKET_BYTES_MAX, TIME_MAX, TIME_MIN};
use crate::capture::real::{index_rows, real_captures};
use crate::capture::{Chunk, Frame, Link};

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

/// A frame that outlives its chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    time_us: i64,
    link: Link,
    bytes: Vec<u8>,
    wire_len: u32,
}

impl Kept {
    fn of(frame: Frame<'_>) -> Self {
        Self {
            time_us: frame.time.as_micros(),
            link: frame.link,
            bytes: frame.bytes.to_vec(),
            wire_len: frame.wire_len,
        }
    }
}

/// What a file gave from its begin to its end.
#[derive(Debug)]
struct Reading {
    frames: Vec<Kept>,
    truncated_tail: bool,
    position: u64,
    format: &'static str,
    fault: Option<CaptureError>,
}

fn read(file: &[u8], room_bytes: usize) -> Result<Reading, CaptureError> {
    read_from(Box::new(Cursor::new(file.to_vec())), room_bytes)
}

fn read_from(source: Box<dyn Read + Send>, room_bytes: usize) -> Result<Reading, CaptureError> {
    let mut file = CaptureFile::from_reader("made", source)?;
    let mut chunk = Chunk::with_room(room_bytes);
    let mut frames = Vec::new();
    let fault = loop {
        match file.next_chunk(&mut chunk) {
            Ok(true) => {
                assert!(!chunk.is_empty());
                assert_eq!(chunk.frames().count(), chunk.len());
                frames.extend(chunk.frames().map(Kept::of));
            }
            Ok(false) => break None,
            Err(fault) => break Some(fault),
        }
    };
    assert!(!file.next_chunk(&mut chunk).unwrap(), "the end is not the end");
    assert!(chunk.is_empty());
    Ok(Reading {
        frames,
        truncated_tail: file.truncated_tail(),
        position: file.position(),
        format: file.format(),
        fault,
    })
}

fn kept(time_us: i64, link: Link, bytes: &[u8], wire_len: u32) -> Kept {
    Kept {
        time_us,
        link,
        bytes: bytes.to_vec(),
        wire_len,
    }
}

/// Three packets in each classic flavour: catches a wrong byte order, resolution or link type, and a
/// clock that is not passed on as it is when it steps backwards.
#[test]
fn classic_files() {
    for (order, magic, name) in [
        (Little, MICROS, "pcap"),
        (Big, MICROS, "pcap, big-endian"),
        (Little, NANOS, "pcap, nanoseconds"),
        (Big, NANOS, "pcap, nanoseconds, big-endian"),
    ] {
        let fraction = if magic == NANOS { 654_321_999 } else { 654_321 };
        let mut file = pcap_header(order, magic, 101);
        file.extend(pcap_packet(order, (1_714_962_221, fraction), b"first", 5));
        file.extend(pcap_packet(order, (1_714_962_220, 0), b"", 0));
        file.extend(pcap_packet(order, (4_294_967_295, 0), b"cut", 1500));
        let reading = read(&file, 4096).unwrap();
        assert_eq!(
            reading.frames,
            [
                kept(1_714_962_221_654_321, Link::RawIp, b"first", 5),
                kept(1_714_962_220_000_000, Link::RawIp, b"", 0),
                kept(4_294_967_295_000_000, Link::RawIp, b"cut", 1500),
            ],
            "{name}"
        );
        assert_eq!(reading.format, name);
        assert_eq!(reading.position, file.len() as u64);
        assert!(!reading.truncated_tail && reading.fault.is_none());
    }
}

/// Catches a stamp beyond the range in which times can be reckoned with.
#[test]
fn stamps_are_kept_within_their_range() {
    let second = option(Little, 9, &[0]);
    for (offset_s, ticks, expected) in [
        (i64::MIN, 5, TIME_MIN),
        (i64::MAX, 5, TIME_MAX),
        (-6, 5, TIME_MIN),
        (0, u64::MAX, TIME_MAX),
        (1, 5, Time::from_micros(6_000_000)),
    ] {
        let offset = option(Little, 14, &offset_s.to_le_bytes());
        let file = [
            section(Little),
            interface(Little, 1, 0, &[second.clone(), offset]),
            stamped(Little, 6, 0, ticks, b"data", 4),
        ]
        .concat();
        let frames = read(&file, 4096).unwrap().frames;
        assert_eq!(frames[0].time_us, expected.as_micros(), "{offset_s} {ticks}");
    }
}

/// Catches the eight extra bytes of Kuznetzov's variant taken for packet data.
#[test]
fn modified_classic_file() {
    let mut file = pcap_header(Little, MODIFIED, 1);
    for data in [&b"one"[..], b"two"] {
        let mut packet = pcap_packet(Little, (1, 2), data, 3);
        let data_at = packet.len() - data.len();
        packet.splice(data_at..data_at, [9; 8]);
        file.extend(packet);
    }
    let frames = read(&file, 4096).unwrap().frames;
    assert_eq!(
        frames,
        [
            kept(1_000_002, Link::Ethernet, b"one", 3),
            kept(1_000_002, Link::Ethernet, b"two", 3)
        ]
    );
}

/// Catches a link type that is taken for another, and the frame check sequence bits read as part of it.
#[test]
fn link_types() {
    for (number, link) in [
        (0, Link::Null),
        (1, Link::Ethernet),
        (12, Link::RawIp),
        (14, Link::RawIp),
        (101, Link::RawIp),
        (108, Link::Loop),
        (113, Link::LinuxSll),
        (127, Link::Other(127)),
        (228, Link::RawIpv4),
        (229, Link::RawIpv6),
        (276, Link::LinuxSll2),
        (0x2400_0001, Link::Ethernet),
    ] {
        let file = [
            pcap_header(Big, MICROS, number),
            pcap_packet(Big, (0, 0), b"x", 1),
        ]
        .concat();
        assert_eq!(
            read(&file, 64).unwrap().frames,
            [kept(0, link, b"x", 1)],
            "{number}"
        );
        let Ok(number) = u16::try_from(number) else {
            continue;
        };
        let file = [
            section(Big),
            interface(Big, number, 0, &[]),
            stamped(Big, 6, 0, 0, b"x", 1),
        ]
        .concat();
        assert_eq!(
            read(&file, 64).unwrap().frames,
            [kept(0, link, b"x", 1)],
            "{number}"
        );
    }
}

fn ng_file(order: Order) -> Vec<u8> {
    [
        section(order),
        interface(order, 1, 0, &[]),
        interface(
            order,
            113,
            60,
            &[option(order, 2, b"eth0"), option(order, 9, &[9])],
        ),
        block(order, 4, b"name resolution"),
        stamped(order, 6, 0, 1_714_962_221_000_001, b"micro", 5),
        block(order, 0x0bad, b"custom"),
        stamped(order, 6, 1, 1_714_962_221_000_001_999, b"nano", 1400),
        stamped(order, 2, 1, 1_714_962_220_000_000_000, b"obsolete", 8),
        simple(order, b"simple", 6),
        block(order, 5, &[0; 12]),
    ]
    .concat()
}

/// Catches: a section's byte order not followed, interfaces mixed up, blocks without packets counted as
/// packets, a Simple Packet Block that throws the clock back to 1970, interfaces that outlive their section.
#[test]
fn ng_files() {
    let expected = [
        kept(1_714_962_221_000_001, Link::Ethernet, b"micro", 5),
        kept(1_714_962_221_000_001, Link::LinuxSll, b"nano", 1400),
        kept(1_714_962_220_000_000, Link::LinuxSll, b"obsolete", 8),
        kept(1_714_962_220_000_000, Link::Ethernet, b"simple", 6),
    ];
    for order in [Little, Big] {
        let reading = read(&ng_file(order), 4096).unwrap();
        assert_eq!(reading.frames, expected);
        assert_eq!(reading.format, "pcapng");
        assert!(!reading.truncated_tail && reading.fault.is_none());
    }
    let two_sections = [ng_file(Big), ng_file(Little)].concat();
    assert_eq!(
        read(&two_sections, 4096).unwrap().frames,
        [expected.clone(), expected].concat()
    );
    let stale = [ng_file(Big), section(Big), stamped(Big, 6, 0, 0, b"x", 1)].concat();
    assert!(matches!(
        read(&stale, 4096).unwrap().fault,
        Some(CaptureError::Damaged {
            damage: Damage::UnknownInterface { interface: 0 },
            ..
        })
    ));
}

/// Catches the snap length left out: a Simple Packet Block says only how long the packet was.
#[test]
fn simple_packets_are_cut_at_the_snap_length() {
    let file = [
        section(Little),
        interface(Little, 1, 4, &[]),
        simple(Little, b"four", 1500),
    ]
    .concat();
    assert_eq!(
        read(&file, 4096).unwrap().frames,
        [kept(0, Link::Ethernet, b"four", 1500)]
    );
}

/// Catches a resolution or offset misread, in either byte order.
#[test]
fn ng_time_resolutions() {
    let day_s = 86_400_i64;
    for order in [Little, Big] {
        for (resolution, offset_s, ticks, time_us) in [
            (0, 0, 7, 7_000_000),
            (3, 0, 1_234, 1_234_000),
            (6, 0, 1_234, 1_234),
            (6, day_s, 1_234, 86_400_001_234),
            (6, -1, 5_001_234, 4_001_234),
            (9, 0, 1_234_999, 1_234),
            (12, 0, 5_000_000, 5),
            (19, 0, 10_000_000_000_000_000_000, 1_000_000),
            (127, 0, u64::MAX, 0),
            (0x80, 0, 7, 7_000_000),
            (0x80 | 20, 0, (3 << 20) + (1 << 19), 3_500_000),
            (0x80 | 32, 0, 3 << 31, 1_500_000),
            (0x80 | 127, 0, u64::MAX, 0),
            (0, 0, u64::MAX, TIME_MAX.as_micros()),
        ] {
            let offset = order.u64(offset_s.cast_unsigned());
            let options = [option(order, 14, &offset), option(order, 9, &[resolution])];
            let file = [
                section(order),
                interface(order, 1, 0, &options),
                stamped(order, 6, 0, ticks, b"x", 1),
            ]
            .concat();
            let frames = read(&file, 4096).unwrap().frames;
            assert_eq!(
                frames[0].time_us, time_us,
                "{order:?} {resolution:#x} {offset_s} {ticks}"
            );
        }
    }
}

/// Catches a frame lost, doubled or torn where one chunk ends and the next begins, and a chunk that does
/// not grow for a frame larger than itself.
#[test]
fn chunk_size_does_not_matter() {
    let sizes = [0_usize, 1, 60, 300, 1500, 9000, 40_000, PACKET_BYTES_MAX, 3, 0];
    let data: Vec<Vec<u8>> = (0..60)
        .map(|i| {
            (0..sizes[i % 10])
                .map(|byte| (i + byte).to_le_bytes()[0])
                .collect()
        })
        .collect();
    let mut classic = pcap_header(Little, MICROS, 1);
    let mut ng = [section(Big), interface(Big, 1, 0, &[])].concat();
    for (second, data) in (0_u32..).zip(&data) {
        let len = u32::try_from(data.len()).unwrap();
        classic.extend(pcap_packet(Little, (second, 0), data, len));
        ng.extend(block(Big, 0x77, &data[..data.len().min(100_000)]));
        ng.extend(stamped(Big, 6, 0, u64::from(second) * 1_000_000, data, len));
    }
    for file in [classic, ng] {
        let whole = read(&file, 1 << 24).unwrap();
        assert_eq!(whole.frames.len(), data.len());
        assert!(whole.frames.iter().map(|frame| &frame.bytes).eq(&data));
        for room_bytes in [0, 1, 7, 1000, 65_536, 300_000] {
            let small = read(&file, room_bytes).unwrap();
            assert_eq!(small.frames, whole.frames, "{room_bytes}");
            assert_eq!(small.position, file.len() as u64);
        }
        let trickling = read_from(
            Box::new(Trickle {
                source: Cursor::new(file),
                reads: 0,
            }),
            1000,
        )
        .unwrap();
        assert_eq!(trickling.frames, whole.frames);
    }
}

/// Gives a few bytes with each read, and is interrupted by signals in between: a pipe.
struct Trickle {
    source: Cursor<Vec<u8>>,
    reads: usize,
}

impl Read for Trickle {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let few = room.len().min([1, 997, 15, 2000][self.reads % 4]);
        self.source.read(&mut room[..few])
    }
}

/// Catches a block of no interest that is held in memory instead of passed over.
#[test]
fn large_blocks_without_packets_are_passed_over() {
    let large = block(Little, 0x0bad, &vec![0; 5_000_000]);
    let file = [
        section(Little),
        interface(Little, 1, 0, &[]),
        large,
        stamped(Little, 6, 0, 1, b"x", 1),
    ]
    .concat();
    let mut capture = CaptureFile::from_reader("made", Box::new(Cursor::new(file))).unwrap();
    let mut chunk = Chunk::with_room(4096);
    assert!(capture.next_chunk(&mut chunk).unwrap());
    assert_eq!(chunk.frame(0).unwrap().bytes, b"x");
    assert_eq!(chunk.frame(0).unwrap().time, Time::from_micros(1));
    assert_eq!(chunk.frame(1), None);
    assert!(chunk.room_bytes() <= 8192, "{}", chunk.room_bytes());
}

/// A source out of memory, such as a test's, has no size; a file has.
#[test]
fn size_is_known_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.pcap");
    let content = [
        pcap_header(Little, MICROS, 1),
        pcap_packet(Little, (0, 0), b"data", 4),
    ]
    .concat();
    fs::write(&path, &content).unwrap();
    let mut file = CaptureFile::open(&path).unwrap();
    assert_eq!(file.size(), Some(content.len() as u64));
    assert_eq!(file.position(), 24);
    let mut chunk = Chunk::new();
    assert!(file.next_chunk(&mut chunk).unwrap());
    assert_eq!(file.position(), content.len() as u64);
    assert!(!file.next_chunk(&mut chunk).unwrap());
}

/// Catches packets of real captures that are lost, invented or given another time: their numbers and the
/// first stamp are those that other programs found.
#[test]
fn real_captures_are_read_whole() {
    let Some(folder) = real_captures() else { return };
    let mut read = 0;
    for (path, row) in index_rows(&folder) {
        let mut file = CaptureFile::open(&path).unwrap();
        let mut chunk = Chunk::with_room(10_000);
        let (mut packets, mut first) = (0_u64, None);
        while file.next_chunk(&mut chunk).unwrap() {
            packets += chunk.len() as u64;
            first = first.or(chunk.frame(0).map(|frame| frame.time));
        }
        assert_eq!(packets.to_string(), row["packets"], "{}", path.display());
        let stamp = row["first_packet_epoch"].replace('.', "");
        let stamp_us: i64 = stamp[..stamp.len() - 3].parse().unwrap();
        assert_eq!(first, Some(Time::from_micros(stamp_us)), "{}", path.display());
        assert_eq!(Some(file.position()), file.size());
        assert!(!file.truncated_tail());
        read += 1;
    }
    assert!(read > 0, "the index names no capture");
}

//! The packet path allocates nothing per message (design: "per message, no allocation and no copy").
//!
//! An allocator that counts stands below everything here. Whole captures are read into memory first; then
//! decode and parse run over every frame, and the table takes every message a second time: all facts are
//! known then, as they are for the copies and retransmissions that make up most of a mirror's traffic.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};

use ringtap::capture::Chunk;
use ringtap::capture::pcap::CaptureFile;
use ringtap::decode::{Around, Decoded, Decoder, PortSet};
use ringtap::replay::{Options, Speed, table};
use ringtap::worker::{Shared, Worker};
use ringtap_calls::{Harvest, Rules};
use ringtap_config::Config;
use ringtap_record::Time;
use ringtap_testkit::{Format, Transport, capture_over, messages_salted};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "an allocator can only be written so; it passes everything on to the system's"
)]
// SAFETY: every method passes its arguments on to `System` unchanged, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.with(Cell::get);
    let result = work();
    (ALLOCATIONS.with(Cell::get) - before, result)
}

fn chunks(path: &Path) -> Vec<Chunk> {
    let mut file = CaptureFile::open(path).expect("the capture opens");
    let mut chunks = Vec::new();
    loop {
        let mut chunk = Chunk::new();
        if !file.next_chunk(&mut chunk).expect("the capture reads") {
            return chunks;
        }
        chunks.push(chunk);
    }
}

/// SIP ports of the captures beside 5060.
const PORTS: [u16; 8] = [5060, 5061, 5062, 5070, 5080, 5082, 6060, 4060];

fn path_of_one_capture(path: &Path) -> (u64, u64, u64) {
    let chunks = chunks(path);
    let decoder = Decoder::new(PORTS.into_iter().collect::<PortSet>());
    let options = Options {
        speed: Speed::Max,
        cores: Vec::new(),
        legs_max: 10_000,
        keep_all: true,
        time_batches: false,
    };
    let shared = Shared {
        table: table(&options),
        rules: Rules::new(&Config::default()),
    };
    // Copies are to be joined, not dropped.
    let mut worker = Worker::new(decoder.clone().with_duplicates(0));
    let mut dropping = Worker::new(decoder.clone());
    let mut counters = ringtap::decode::DecodeCounters::new();
    let (parsing, messages) = counted(|| {
        let frames = chunks.iter().flat_map(Chunk::frames);
        let datagrams = frames.filter_map(|frame| decoder.decode(&frame, &mut counters));
        datagrams
            .filter(|datagram| ringtap_sip::parse(datagram.octets).is_ok())
            .count() as u64
    });
    // What finds no leg waits for the end of the epoch, and leaves the room that it took.
    let mut harvest = Harvest::default();
    let mut pass = || {
        for chunk in &chunks {
            for worker in [&mut worker, &mut dropping] {
                worker.process(chunk.frames(), &shared);
                let table = &shared.table;
                table.join_early(worker.early(), Time::MAX, &shared.rules, &mut harvest);
            }
        }
    };
    pass();
    let (joining, ()) = counted(pass);
    (parsing, joining, messages)
}

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = std::env::var_os("RINGTAP_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let listed = std::fs::read_dir(data.join("open/pcap")).map(|entries| {
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>()
    });
    listed.unwrap_or_else(|_| {
        println!("SKIPPED for real captures: RINGTAP_DATA is not there");
        Vec::new()
    })
}

/// Catches any allocation per message, in decode and parse over whole real captures, and in the table for
/// copies.
#[test]
fn decode_parse_and_known_legs_allocate_nothing() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sample.pcap");
    let mut all = 0;
    for path in captures().into_iter().chain([sample]) {
        let (parsing, joining, messages) = path_of_one_capture(&path);
        assert_eq!(
            parsing,
            0,
            "{}: decode and parse of {messages} messages",
            path.display()
        );
        assert_eq!(
            joining,
            0,
            "{}: second sight of {messages} messages",
            path.display()
        );
        all += messages;
    }
    assert!(all > 100, "only {all} messages were looked at");
    println!("{all} messages without an allocation");
}

/// Catches an allocation per message in streams that come in order: messages that stand whole in their segments and chunks,
/// and, over TCP, those cut into several.
#[test]
fn streams_in_order_allocate_nothing() {
    let case = &ringtap_testkit::scenario("S02").unwrap().cases()[0];
    let mut wires: Vec<_> = (0..25_u64).flat_map(|salt| messages_salted(case, salt)).collect();
    wires
        .iter_mut()
        .zip(0..)
        .for_each(|(wire, at)| wire.time = wire.time.plus_ms(at * 10));
    wires.sort_by_key(|wire| wire.time);
    let tcp = |segment_bytes| Transport::Tcp {
        is_opened: true,
        segment_bytes,
        together_us: 0,
    };
    for transport in [tcp(None), tcp(Some(200)), Transport::Sctp { chunk_bytes: 60_000 }] {
        let bytes = capture_over(&wires, transport, 1, Format::Pcap);
        let mut file = CaptureFile::from_reader("made", Box::new(std::io::Cursor::new(bytes))).unwrap();
        let mut chunk = Chunk::new();
        assert!(file.next_chunk(&mut chunk).unwrap());
        let decoder = Decoder::new([5060].into_iter().collect::<PortSet>());
        let (mut streams, mut associations) = (decoder.streams(), decoder.associations());
        let mut found = 0;
        let mut pass = |from: usize, to: usize| {
            for at in from..to {
                let (decoded, _) = decoder.look(&chunk.frame(at).unwrap(), Around::default());
                match decoded {
                    Decoded::Tcp(segment) => streams.put(&segment, &mut |_| found += 1),
                    Decoded::Sctp(packet) => associations.put(&packet, &mut |_| found += 1),
                    other => panic!("{other:?}"),
                }
            }
        };
        // Streams begin, and buffers grow to what is needed.
        let warm = chunk.len() / 2;
        pass(0, warm);
        let (allocations, ()) = counted(|| pass(warm, chunk.len()));
        assert_eq!(allocations, 0, "{transport:?}");
        assert_eq!(found, wires.len(), "{transport:?}: {:?}", streams.counters());
    }
}

/// Catches a counter that counts nothing.
#[test]
fn the_counter_counts() {
    assert_eq!(counted(|| std::hint::black_box(Box::new(1))).0, 1);
}

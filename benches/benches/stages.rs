//! What each stage costs per message: decode, parse, join into the table, judge.
//!
//! The workload is the generator's when `RINGTAP_BENCH_PCAP` names its file, else all scenarios. A floor
//! runs beside: counting line feeds, which every parser must at least look at.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtap::capture::Chunk;
use ringtap::capture::pcap::CaptureFile;
use ringtap::decode::{DecodeCounters, Decoder, PortSet};
use ringtap::replay::{Options, Speed, table};
use ringtap::worker::{Shared, Worker};
use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_testkit::{Format, capture, messages_salted};

/// Messages looked at: more than fit into the caches.
const MESSAGES_MAX: usize = 200_000;

fn chunks() -> Vec<Chunk> {
    let mut file = match std::env::var("RINGTAP_BENCH_PCAP") {
        Ok(path) => CaptureFile::open(Path::new(&path)),
        Err(_) => CaptureFile::from_reader("scenarios", Box::new(std::io::Cursor::new(scenarios()))),
    }
    .expect("a capture");
    let (mut chunks, mut frames) = (Vec::new(), 0);
    while frames < MESSAGES_MAX {
        let mut chunk = Chunk::new();
        if !file.next_chunk(&mut chunk).expect("readable") {
            break;
        }
        frames += chunk.len();
        chunks.push(chunk);
    }
    chunks
}

fn scenarios() -> Vec<u8> {
    let cases: Vec<_> = ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .collect();
    let mut wires: Vec<_> = (0..20)
        .flat_map(|round| cases.iter().flat_map(move |case| messages_salted(case, round)))
        .collect();
    wires.sort_by_key(|wire| wire.time);
    capture(&wires, Format::Pcap)
}

fn stages(criterion: &mut Criterion) {
    let chunks = chunks();
    let decoder = Decoder::new(PortSet::from_iter([5060]));
    let frames = || chunks.iter().flat_map(Chunk::frames);
    let payloads: Vec<&[u8]> = {
        let mut counters = DecodeCounters::new();
        frames()
            .filter_map(|frame| Some(decoder.decode(&frame, &mut counters)?.octets))
            .collect()
    };
    let mut group = criterion.benchmark_group("stages");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(payloads.len() as u64));
    group.bench_function("floor: count line feeds", |bencher| {
        bencher.iter(|| {
            payloads
                .iter()
                .map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
                .sum::<usize>()
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut counters = DecodeCounters::new();
            frames()
                .filter(|frame| black_box(decoder.decode(frame, &mut counters)).is_some())
                .count()
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            payloads
                .iter()
                .filter(|bytes| black_box(ringtap_sip::parse(bytes)).is_ok())
                .count()
        });
    });
    group.bench_function("decode, parse and join", |bencher| {
        bencher.iter(|| {
            let options = Options {
                speed: Speed::Max,
                cores: Vec::new(),
                legs_max: 1_000_000,
                keep_all: false,
            };
            let shared = Shared {
                table: table(&options),
                rules: Rules::new(&Config::default()),
            };
            let mut worker = Worker::new(decoder.clone());
            for chunk in &chunks {
                worker.process(chunk.frames(), &shared);
            }
            worker.counters().messages()
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);

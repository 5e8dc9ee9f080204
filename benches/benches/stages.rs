//! What each stage costs per message: decode, parse, join into the table, judge.
//!
//! The workload is the generator's when `RINGTAP_BENCH_PCAP` names its file, else all scenarios. A floor
//! runs beside: counting line feeds, which every parser must at least look at.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtap::capture::{Chunk, Frame};
use ringtap::decode::{Around, DecodeCounters, Decoded, Decoder, Payload};
use ringtap::replay::{Options, Speed, table};
use ringtap::worker::{Shared, Worker};
use ringtap_benches::workload::{COLD_MESSAGES, chunks, chunks_in, decoder, scenarios};
use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_testkit::{Format, Transport, capture_over};

/// Messages out of all streams in there.
fn streamed<'c>(decoder: &Decoder, frames: impl Iterator<Item = Frame<'c>>) -> u64 {
    let (mut streams, mut associations) = (decoder.streams(), decoder.associations());
    let mut messages = 0;
    let mut sink = |payload: &Payload<'_>| messages += u64::from(!black_box(payload).truncated);
    for frame in frames {
        match decoder.look(&frame, Around::default()).0 {
            Decoded::Tcp(segment) => streams.put(&segment, &mut sink),
            Decoded::Sctp(packet) => associations.put(&packet, &mut sink),
            _ => {}
        }
    }
    messages
}

const fn tcp(segment_bytes: Option<usize>) -> Transport {
    Transport::Tcp {
        is_opened: true,
        segment_bytes,
        together_us: 0,
    }
}

/// The scenarios over another transport.
fn chunks_over(transport: Transport) -> Vec<Chunk> {
    chunks_in(capture_over(&scenarios(20), transport, 1, Format::Pcap))
}

fn stages(criterion: &mut Criterion) {
    let chunks = chunks(COLD_MESSAGES);
    let decoder = decoder();
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
    for (name, transport) in [
        ("TCP, a segment each", tcp(None)),
        ("TCP, in segments of up to 500 octets", tcp(Some(500))),
        ("SCTP, a chunk each", Transport::Sctp { chunk_bytes: 60_000 }),
    ] {
        let chunks = chunks_over(transport);
        let frames = || chunks.iter().flat_map(Chunk::frames);
        let messages = streamed(&decoder, frames());
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| black_box(streamed(&decoder, frames())));
        });
    }
    group.throughput(Throughput::Elements(payloads.len() as u64));
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
                time_batches: false,
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

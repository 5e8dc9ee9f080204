//! What stands behind the parser, each by itself: the leg table, its look for what is due, and the settler.
//!
//! ```text
//! RINGTAP_BENCH_PCAP=target/bench/ims-100000.pcap cargo bench -p ringtap-benches --bench calls
//! ```
//!
//! A *leg event* is what the settler hears: news of an open leg, or a closed one. The settler's figure holds the verdicts.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringtap::capture::Chunk;
use ringtap_benches::pipeline::{Calls, Observations, Payloads, decode, decoding, parse};
use ringtap_benches::workload::chunks;
use ringtap_calls::table::BATCH_MAX;
use ringtap_calls::{Harvest, Observation};
use ringtap_record::Time;

/// Frames: parsed messages are larger than what they were read from.
const FRAMES: usize = 50_000;
const LEGS_MAX: usize = 100_000;

fn observations(chunks: &[Chunk]) -> Vec<Observation<'_>> {
    let (decoder, mut counters) = decoding();
    let mut frames = chunks.iter().flat_map(Chunk::frames).take(FRAMES);
    let (mut payloads, mut batch) = (Payloads::new(), Observations::new());
    let mut all = Vec::new();
    while decode(&decoder, &mut frames, &mut counters, &mut payloads) {
        parse(&payloads, &mut batch);
        all.extend(batch.drain(..));
    }
    all
}

/// All that the table gives to the settler, by the time of the tick.
fn harvests(calls: &mut Calls, observations: &[Observation<'_>]) -> Vec<(Time, Harvest)> {
    let mut harvests = Vec::new();
    for batch in observations.chunks(BATCH_MAX) {
        if let Some(first) = batch.first()
            && let Some(now) = calls.is_due(first.time)
        {
            harvests.push((now, calls.expire(now)));
        }
        calls.join(batch);
    }
    if let Some(last) = observations.last() {
        harvests.push((last.time, calls.close_all()));
    }
    harvests
}

fn events(harvests: &[(Time, Harvest)]) -> usize {
    let each = harvests.iter();
    each.map(|(_, harvest)| harvest.news.len() + harvest.closed.len())
        .sum()
}

fn calls(criterion: &mut Criterion) {
    let chunks = chunks(FRAMES);
    let observations = observations(&chunks);
    let mut group = criterion.benchmark_group("calls");
    group.sample_size(10);
    group.throughput(Throughput::Elements(observations.len() as u64));
    let fresh = || Calls::new(LEGS_MAX);
    group.bench_function("leg table, join", |bencher| {
        bencher.iter_batched(
            fresh,
            |mut calls| {
                for batch in observations.chunks(BATCH_MAX) {
                    black_box(calls.join(batch));
                }
                calls
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("leg table, join and expire", |bencher| {
        bencher.iter_batched(
            fresh,
            |mut calls| black_box((harvests(&mut calls, &observations), calls)),
            BatchSize::PerIteration,
        );
    });
    let count = events(&harvests(&mut fresh(), &observations));
    println!("{count} leg events out of {} messages", observations.len());
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("settler, leg events", |bencher| {
        bencher.iter_batched(
            || {
                let mut calls = fresh();
                let harvests = harvests(&mut calls, &observations);
                (calls, harvests)
            },
            |(mut calls, harvests)| {
                let mut judged = Vec::new();
                for (now, harvest) in harvests {
                    calls.settle(now, harvest, &mut judged);
                }
                calls.finish(&mut judged);
                assert!(!judged.is_empty());
                (calls, judged)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);

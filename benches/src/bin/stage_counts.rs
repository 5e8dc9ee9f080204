//! A capture through the stages one by one, for a profiler that counts instructions: `scripts/instructions.sh` reads what each
//! function of `ringtap_benches::pipeline` took, and `record` and `write_journal` here.
//!
//! `stage-counts CAPTURE JOURNAL` prints how often each unit came, as one JSON object.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::path::Path;

use ringtap::capture::Chunk;
use ringtap_benches::pipeline::{Calls, Observations, Payloads, decode, decoding, parse};
use ringtap_benches::workload::chunks_at;
use ringtap_calls::Judged;
use ringtap_journal::{Options, Writer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("usage: stage-counts CAPTURE JOURNAL");
    let (capture, journal) = (next(), next());
    let chunks = chunks_at(Path::new(&capture), usize::MAX);
    let mut frames = chunks.iter().flat_map(Chunk::frames);
    let (decoder, mut counters) = decoding();
    let mut calls = Calls::new(100_000);
    let (mut payloads, mut batch, mut judged) = (Payloads::new(), Observations::new(), Vec::new());
    let (mut messages, mut last) = (0, None);
    while decode(&decoder, &mut frames, &mut counters, &mut payloads) {
        parse(&payloads, &mut batch);
        messages += batch.len();
        last = batch.last().map(|seen| seen.time).or(last);
        calls.take(&batch, &mut judged);
    }
    if let Some(last) = last {
        let harvest = calls.close_all();
        calls.settle(last, harvest, &mut judged);
    }
    calls.finish(&mut judged);
    // As the engine does it if it is not told to record all.
    judged.retain(|judged| judged.record.is_missed_by_somebody());
    let records = judged.len();
    write_journal(Path::new(&journal), judged);
    println!(
        "{{\"frames\":{},\"messages\":{messages},\"legs\":{},\"records\":{records}}}",
        counters.frames(),
        calls.table.counters().legs_made
    );
}

/// All records through the journal's writer, whose thread does the work.
fn write_journal(path: &Path, judged: Vec<Judged>) {
    let writer = Writer::spawn(path, Options::default()).expect("a journal");
    for Judged { record, explanation } in judged {
        writer.send_explained(record, explanation).expect("written");
    }
    writer.finish().expect("written");
}

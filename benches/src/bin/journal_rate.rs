//! What the journal's writer takes to the disk: records a second as fast as they come, and how long a single one takes.
//!
//! `journal-rate FOLDER RECORDS [SINGLE]` writes two new journals in FOLDER, one with RECORDS records and one with SINGLE (500)
//! that come one by one, and prints one JSON object. A single record waits for company first (20 ms).

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringtap_benches::records::{record, story};
use ringtap_journal::{Options, Writer};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records that come one by one, if not told otherwise.
const SINGLE: u64 = 500;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .expect("usage: journal-rate FOLDER RECORDS [SINGLE]")
    };
    let (folder, records) = (next(), next());
    let single: u64 = arguments
        .next()
        .map_or(SINGLE, |text| text.parse().expect("a number"));
    let folder = Path::new(&folder);
    let records: u64 = records.parse().expect("a number");

    let writer = Writer::spawn(&folder.join("many.db"), Options::default()).expect("a journal");
    let began = Instant::now();
    for n in 0..records {
        writer.send_explained(record(n), story(n)).expect("written");
    }
    writer.finish().expect("written");
    let seconds = began.elapsed().as_secs_f64();

    let writer = Writer::spawn(&folder.join("single.db"), Options::default()).expect("a journal");
    let mut took_us = Histogram::<u64>::new(3).expect("a histogram");
    for n in 0..single {
        let began = Instant::now();
        writer.send_explained(record(n), story(n)).expect("written");
        while writer.totals().written <= n {
            thread::sleep(Duration::from_micros(200));
        }
        let us = u64::try_from(began.elapsed().as_micros()).expect("not for ever");
        took_us.record(us).expect("in range");
    }
    writer.finish().expect("written");
    println!(
        "{{\"records\":{records},\"seconds\":{seconds:.2},\"single_us\":{{\"p50\":{},\"p99\":{}}}}}",
        took_us.value_at_quantile(0.5),
        took_us.value_at_quantile(0.99)
    );
}

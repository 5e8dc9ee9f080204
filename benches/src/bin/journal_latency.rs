//! How long a call takes from its last packet to its row in the journal, less the time that it has to wait for by
//! rule: follows a journal that a live capture writes, and looks when each row can be read.
//!
//! `journal-latency JOURNAL SETTLE_MS SECONDS` counts the calls that their caller gave up (D21: settled `settle_ms` after
//! the end) and prints one JSON object, times in microseconds.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use ringtap_journal::Reader;
use ringtap_record::Outcome;

/// How finely is looked.
const PAUSE: Duration = Duration::from_micros(500);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .expect("usage: journal-latency JOURNAL SETTLE_MS SECONDS")
    };
    let (journal, settle_ms, seconds) = (next(), next(), next());
    let settle_ms: i64 = settle_ms.parse().expect("milliseconds");
    let until = Instant::now() + Duration::from_secs(seconds.parse().expect("seconds"));
    let reader = Reader::open(Path::new(&journal)).expect("a journal");
    let mut latency_us = Histogram::<u64>::new(3).expect("a histogram");
    let mut cursor = 0;
    while let Some((seq, _)) = reader.after(cursor, 1000).expect("readable").last() {
        cursor = *seq;
    }
    while Instant::now() < until {
        let batch = reader.after(cursor, 1000).expect("readable");
        let now_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_micros();
        let now_us = i64::try_from(now_us).expect("before the year 292277");
        for (seq, record) in batch {
            cursor = seq;
            if record
                .targets
                .iter()
                .all(|target| target.outcome == Outcome::CallerHungUp)
            {
                let due_us = record.ended.as_micros() + settle_ms * 1000;
                latency_us
                    .record(u64::try_from(now_us - due_us).unwrap_or_default())
                    .expect("in range");
            }
        }
        thread::sleep(PAUSE);
    }
    let at = |quantile| latency_us.value_at_quantile(quantile);
    println!(
        "{{\"calls\":{},\"p50\":{},\"p99\":{},\"p99.9\":{},\"max\":{}}}",
        latency_us.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        latency_us.max()
    );
}

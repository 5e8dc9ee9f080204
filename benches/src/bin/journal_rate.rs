//! What the journal's writer takes to the disk: records a second as fast as they come, and how long a single one takes.
//!
//! `journal-rate FOLDER RECORDS` writes two new journals in FOLDER, one with RECORDS records and one with 500 that come one
//! by one, and prints one JSON object. A single record waits for company first (20 ms).

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringtap_journal::{
    CallRecord, Caller, Explanation, Flag, NameSource, Options, Outcome, Target, Time, Writer,
};
use ringtap_record::{HopStory, LegStory, Ruling};

/// Records that come one by one.
const SINGLE: u64 = 500;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("usage: journal-rate FOLDER RECORDS");
    let (folder, records) = (next(), next());
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
    for n in 0..SINGLE {
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

fn record(n: u64) -> CallRecord {
    let started = Time::from_micros(1_714_962_221_000_000).plus_ms(i64::try_from(n).unwrap_or(0));
    CallRecord {
        // Names are hashes: each falls elsewhere in the index.
        call: format!("{:016x}{n:048x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        started,
        ended: started.plus_ms(25_050),
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: Some("Zhang San".into()),
            name_source: NameSource::Asserted,
            withheld: false,
        },
        dialled: Some("+862583091000".into()),
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: "+862583091001".into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 24_600,
            diverted_to: None,
            group: None,
            started,
            ended: started.plus_ms(25_000),
        }],
        legs: 1,
        flags: vec![Flag::Partial],
    }
}

fn story(n: u64) -> Explanation {
    let hop = |segment: &str| HopStory {
        segment: segment.into(),
        cseq: 1,
        target: Some("+862583091001".into()),
        invite_ms: Some(0),
        sent: 1,
        alert_ms: Some(400),
        cancel_ms: Some(25_000),
        final_ms: Some(25_010),
        status: 487,
        ack_ms: Some(25_020),
        ..HopStory::default()
    };
    Explanation {
        legs: vec![LegStory {
            name: format!("{n:016x}"),
            closing: "complete".into(),
            hops: ["MO", "GI", "GT", "MT"].map(hop).into(),
            caller_bye_ms: None,
            callee_bye_ms: None,
        }],
        rulings: vec![Ruling {
            row: "D21".into(),
            base_row: None,
        }],
        ..Explanation::default()
    }
}

//! How cost grows: with calls that are open at once, with legs of a call, with records in the journal. One point a run, so that
//! each has memory of its own; prints one JSON object.
//!
//! ```text
//! growth calls OPEN PACKETS [LEGS] # packets of calls picked at random, while OPEN are open, of LEGS legs each (1); what they occupy
//! growth legs LEGS CALLS           # calls of LEGS legs each, from INVITE to verdict
//! growth journal FOLDER RECORDS STEP   # the time of each STEP records, until there are RECORDS
//! ```

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use ringtap_benches::pipeline::Calls;
use ringtap_benches::records::{record, story};
use ringtap_calls::Observation;
use ringtap_calls::table::BATCH_MAX;
use ringtap_journal::{Options, Writer};
use ringtap_record::Time;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: growth calls OPEN PACKETS [LEGS] | legs LEGS CALLS | journal FOLDER RECORDS STEP";
const BEGIN_US: i64 = 1_714_962_221_000_000;
/// All calls begin within this time, and are still open after it: an INVITE waits longer for its first response (Timer B).
const BEGIN_SPAN_US: u64 = 10_000_000;
/// Ticks whose time is taken.
const TICKS: u32 = 20;
const TICK_MS: i64 = 128;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["calls", open, packets] => open_calls(number(open), number(packets), 1),
        ["calls", open, packets, legs] => open_calls(number(open), number(packets), number(legs).max(1)),
        ["legs", legs, calls] => legs_of_a_call(number(legs), number(calls)),
        ["journal", folder, records, step] => {
            journal(Path::new(folder), number(records), number(step));
        }
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
}

/// Packets of random calls, half of them new to the call and half sent again, in the midst of many.
fn open_calls(open: u64, packets: u64, legs_each: u64) {
    // The number of a leg: that of its call and, in it, its own.
    let legs = open * legs_each;
    let of = |leg: u64| (leg / legs_each, leg % legs_each);
    // A shard is full before the table is: keys do not fall evenly.
    let legs_max = usize::try_from(legs + legs / 4 + 1_000).expect("as many as fit");
    let before = kib("VmRSS:");
    let mut calls = Calls::new(legs_max);
    let mut judged = Vec::new();
    let mut texts = vec![String::new(); BATCH_MAX];
    let batch_max = BATCH_MAX as u64;
    let filling = Instant::now();
    for first in (0..legs).step_by(BATCH_MAX) {
        let numbers: Vec<u64> = (first..legs.min(first + batch_max)).collect();
        write_all(&mut texts, &numbers, |text, leg| {
            let (n, leg) = of(leg);
            invite(text, n, leg);
        });
        let began = |leg: u64| time(leg * BEGIN_SPAN_US / legs.max(1));
        let batch = read(&texts, &numbers, began);
        calls.take(&batch, &mut judged);
    }
    let mut now = time(BEGIN_SPAN_US);
    // News of all these calls are told here, and not in what is measured.
    let harvest = calls.expire(now);
    calls.settle(now, harvest, &mut judged);
    let filled = filling.elapsed();
    let bytes_per_leg = kib("VmRSS:").saturating_sub(before) * 1024 / legs.max(1);
    let mut random = fastrand::Rng::with_seed(1);
    let (mut took, mut seen) = (Duration::ZERO, 0);
    while seen < packets {
        let numbers: Vec<u64> = (0..batch_max / 2)
            .map(|_| random.u64(0..legs.max(1)))
            .flat_map(|n| [n, n])
            .collect();
        write_all(&mut texts, &numbers, |text, leg| {
            let (n, leg) = of(leg);
            response(text, n, leg, 180, "Ringing");
        });
        let began = Instant::now();
        let batch = read(&texts, &numbers, |_| now);
        let applied = calls.join(&batch);
        took += began.elapsed();
        assert_eq!(applied.joined, batch.len() as u64, "calls that are not open");
        seen += batch.len() as u64;
    }
    let mut ticks = Duration::ZERO;
    for _ in 0..TICKS {
        now = now.plus_ms(TICK_MS);
        let began = Instant::now();
        let harvest = calls.expire(now);
        ticks += began.elapsed();
        calls.settle(now, harvest, &mut judged);
    }
    let counters = calls.table.counters();
    assert_eq!((counters.legs_open, counters.evicted_open), (legs, 0));
    println!(
        "{{\"open\":{open},\"legs\":{legs_each},\"packets\":{seen},\"ns_per_packet\":{:.1},\"tick_us\":{:.1},\"fill_ns_per_call\":{:.1},\"bytes_per_leg\":{bytes_per_leg},\"peak_mib\":{}}}",
        per(took, seen),
        per(ticks, u64::from(TICKS)) / 1e3,
        per(filled, open),
        peak_mib()
    );
}

/// Calls through so many legs, each of which rings and is refused, all at the same time in every leg.
fn legs_of_a_call(legs: u64, count: u64) {
    let messages = |leg: u64, n: u64| {
        let mut texts = vec![String::new(); 4];
        if let [first, ringing, last, ack] = texts.as_mut_slice() {
            invite(first, n, leg);
            response(ringing, n, leg, 180, "Ringing");
            response(last, n, leg, 486, "Busy Here");
            acknowledge(ack, n, leg);
        }
        texts
    };
    let mut calls = Calls::new(100_000);
    let mut judged = Vec::new();
    let (mut took, mut packets) = (Duration::ZERO, 0);
    for n in 0..count {
        // A new call each 10 ms: some hundreds are not settled yet at any time.
        let begins_us = n * 10_000;
        let per_leg: Vec<Vec<String>> = (0..legs).map(|leg| messages(leg, n)).collect();
        for step in 0..4 {
            let texts: Vec<&String> = per_leg.iter().filter_map(|texts| texts.get(step)).collect();
            let step_us = u64::try_from(step).unwrap_or(0) * 1_000;
            let at = |leg: usize| time(begins_us + step_us + u64::try_from(leg).unwrap_or(0) * 20);
            let began = Instant::now();
            for (first, texts) in texts.chunks(BATCH_MAX).enumerate() {
                let batch: Vec<Observation<'_>> = texts
                    .iter()
                    .enumerate()
                    .map(|(leg, text)| observation(text, at(first * BATCH_MAX + leg)))
                    .collect();
                calls.take(&batch, &mut judged);
                packets += batch.len() as u64;
            }
            took += began.elapsed();
        }
    }
    let began = Instant::now();
    // Beyond every timer.
    let now = time(count * 10_000 + 3_600_000_000);
    let harvest = calls.expire(now);
    calls.settle(now, harvest, &mut judged);
    calls.finish(&mut judged);
    took += began.elapsed();
    println!(
        "{{\"legs\":{legs},\"calls\":{count},\"judged\":{},\"packets\":{packets},\"ns_per_packet\":{:.1},\"ns_per_call\":{:.1},\"peak_mib\":{}}}",
        judged.len(),
        per(took, packets),
        per(took, count),
        peak_mib()
    );
}

/// A journal that grows.
fn journal(folder: &Path, records: u64, step: u64) {
    let path = folder.join("growth.db");
    let writer = Writer::spawn(&path, Options::default()).expect("a journal");
    let mut points = String::new();
    for first in (0..records).step_by(usize::try_from(step).expect("a step")) {
        let end = records.min(first + step);
        let began = Instant::now();
        for n in first..end {
            writer.send_explained(record(n), story(n)).expect("written");
        }
        while writer.totals().written < end {
            std::thread::sleep(Duration::from_micros(200));
        }
        let took = began.elapsed();
        // What was committed last stands in the write-ahead log, not yet in the file.
        let bytes: u64 = [path.clone(), folder.join("growth.db-wal")]
            .iter()
            .map(|file| std::fs::metadata(file).map_or(0, |file| file.len()))
            .sum();
        let comma = if points.is_empty() { "" } else { "," };
        let us = per(took, end - first) / 1e3;
        write!(
            points,
            "{comma}{{\"records\":{end},\"us_per_record\":{us:.2},\"bytes\":{bytes}}}"
        )
        .expect("memory");
    }
    writer.finish().expect("written");
    println!("[{points}]");
}

fn time(us: u64) -> Time {
    Time::from_micros(BEGIN_US.saturating_add_unsigned(us))
}

/// Nanoseconds each.
#[expect(clippy::cast_precision_loss, reason = "a mean for people")]
fn per(took: Duration, count: u64) -> f64 {
    took.as_secs_f64() * 1e9 / count.max(1) as f64
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    kib("VmHWM:") / 1024
}

/// What the kernel says of this process's memory under that name, in KiB.
fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0)
}

fn write_all(texts: &mut [String], numbers: &[u64], write: impl Fn(&mut String, u64)) {
    for (text, n) in texts.iter_mut().zip(numbers) {
        write(text, *n);
    }
}

fn read<'t>(texts: &'t [String], numbers: &[u64], at: impl Fn(u64) -> Time) -> Vec<Observation<'t>> {
    let both = texts.iter().zip(numbers);
    both.map(|(text, n)| observation(text, at(*n))).collect()
}

fn observation(text: &str, at: Time) -> Observation<'_> {
    Observation {
        time: at,
        source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        message: ringtap_sip::parse(text.as_bytes()).expect("a message"),
    }
}

/// The header of all messages of a leg. Numbers of people: as many callers and called as calls, so that nothing but the keys
/// ties legs.
fn header(text: &mut String, n: u64, leg: u64, to_tag: &str, cseq: &str) {
    let (caller, called) = (20_000_000_000 + n, 30_000_000_000 + n);
    write!(
        text,
        "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{n:x}-{leg}\r\n\
         Max-Forwards: 68\r\n\
         From: <sip:+{caller}@ims.example.net;user=phone>;tag=f{n:x}-{leg}\r\n\
         To: <sip:+{called}@ims.example.net;user=phone>{to_tag}\r\n\
         Call-ID: {n:016x}-{leg}@10.0.0.1\r\n\
         CSeq: 1 {cseq}\r\n"
    )
    .expect("memory");
}

fn invite(text: &mut String, n: u64, leg: u64) {
    text.clear();
    let (caller, called) = (20_000_000_000 + n, 30_000_000_000 + n);
    write!(
        text,
        "INVITE sip:+{called}@ims.example.net;user=phone SIP/2.0\r\n"
    )
    .expect("memory");
    header(text, n, leg, "", "INVITE");
    write!(
        text,
        "P-Asserted-Identity: <sip:+{caller}@ims.example.net;user=phone>\r\n\
         P-Charging-Vector: icid-value=icid-{n:016x};icid-generated-at=10.0.0.1\r\n\
         Contact: <sip:10.0.0.1:5060>\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .expect("memory");
}

fn response(text: &mut String, n: u64, leg: u64, status: u16, reason: &str) {
    text.clear();
    write!(text, "SIP/2.0 {status} {reason}\r\n").expect("memory");
    header(text, n, leg, &format!(";tag=t{n:x}-{leg}"), "INVITE");
    text.push_str("Content-Length: 0\r\n\r\n");
}

fn acknowledge(text: &mut String, n: u64, leg: u64) {
    text.clear();
    let called = 30_000_000_000 + n;
    write!(text, "ACK sip:+{called}@ims.example.net;user=phone SIP/2.0\r\n").expect("memory");
    header(text, n, leg, &format!(";tag=t{n:x}-{leg}"), "ACK");
    text.push_str("Content-Length: 0\r\n\r\n");
}

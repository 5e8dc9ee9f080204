//! What it costs to read a message, beside other people's parsers and beside floors, in one run.
//!
//! ```text
//! sip-messages CAPTURE 200000 messages && RINGTAP_BENCH_MESSAGES=messages cargo bench --bench parsers
//! ```
//!
//! Each parser reads the fields that the leg table wants of a message. Before anything is measured all of them have to have found
//! the same. *Cold* is the whole stream, meant to be larger than the caches, *hot* its first 1,000 messages, which fit into them.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtap_bench_parsers::{self as peers, Fields, Messages};

type Parser = fn(&[u8]) -> Option<Fields>;

const PARSERS: [(&str, Parser); 4] = [
    ("ringtap", peers::ringtap),
    ("ringtap, without users", peers::ringtap_of_each),
    ("rsip 0.4.0", peers::rsip),
    ("rsipstack 0.7.14", peers::rsipstack),
];

/// Messages of the hot set.
const HOT: usize = 1_000;

/// What a parser finds in all messages, and how many it refuses.
fn read(parser: Parser, messages: &[&[u8]]) -> (Fields, usize) {
    let (mut sum, mut refused) = (Fields::default(), 0);
    for message in messages {
        match parser(message) {
            Some(fields) => sum.add(fields),
            None => refused += 1,
        }
    }
    (sum, refused)
}

/// Ends the benchmark if parsers do not do the same work.
fn compare(messages: &[&[u8]]) {
    let (expected, refused) = read(peers::ringtap, messages);
    assert_eq!(refused, 0, "the messages are those that ringtap reads");
    for (name, parser) in PARSERS {
        let (found, refused) = read(parser, messages);
        let same = Fields {
            users: found.users,
            ..expected
        };
        // Scenarios hold forms that others do not read; the generator's messages are read by all.
        if refused == 0 {
            assert_eq!(found, same, "{name}");
        }
        println!(
            "{name}: {refused} of {} messages refused, {} octets of users",
            messages.len(),
            found.users
        );
    }
}

fn parsers(criterion: &mut Criterion) {
    let path =
        std::env::var("RINGTAP_BENCH_MESSAGES").expect("RINGTAP_BENCH_MESSAGES names a file of sip-messages");
    let stream = Messages::read(path.as_ref()).expect("a file of sip-messages");
    let cold: Vec<&[u8]> = stream.iter().collect();
    let hot = cold.get(..HOT).unwrap_or(&cold);
    compare(&cold);
    for (name, messages) in [("parsers cold", cold.as_slice()), ("parsers hot", hot)] {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .throughput(Throughput::Elements(messages.len() as u64));
        group.bench_function("floor, sum of words", |bencher| {
            bencher.iter(|| {
                let words = messages.iter().flat_map(|message| message.as_chunks::<8>().0);
                let sum = words.fold(0_u64, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)));
                black_box(sum)
            });
        });
        group.bench_function("floor, line feeds by memchr", |bencher| {
            bencher.iter(|| {
                let lines = messages
                    .iter()
                    .map(|message| memchr::memchr_iter(b'\n', message).count());
                black_box(lines.sum::<usize>())
            });
        });
        group.bench_function("parsip 0.1.0, lines only", |bencher| {
            bencher.iter(|| {
                black_box(
                    messages
                        .iter()
                        .filter_map(|message| peers::parsip(message))
                        .sum::<u64>(),
                )
            });
        });
        for (name, parser) in PARSERS {
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(read(black_box(parser), messages)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, parsers);
criterion_main!(benches);

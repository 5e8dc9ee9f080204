//! What it costs to get to a datagram that does not lie open: in a tunnel, in fragments, behind copies.
//!
//! ```text
//! cargo bench -p ringtap-benches --bench tunnels
//! ```
//!
//! The same messages each time, those of all scenarios; what they cost as they are stands first.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtap::capture::Chunk;
use ringtap::decode::{Around, DecodeCounters, Decoded, Decoder, PortSet};
use ringtap_benches::workload::{chunks_in, scenarios};
use ringtap_testkit::wrap::{Wrap, hep, wrapped};
use ringtap_testkit::{Format, Wire, capture, mutate};

fn wires() -> Vec<Wire> {
    let mut wires = scenarios(5);
    for wire in &mut wires {
        wire.link = ringtap_testkit::Link::default();
    }
    wires
}

fn tunnels(criterion: &mut Criterion) {
    let wires = wires();
    let decoder = Decoder::new(PortSet::from_iter([5060]));
    let mut group = criterion.benchmark_group("tunnels");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(wires.len() as u64));
    let stack = [Wrap::GtpU, Wrap::Mpls, Wrap::Vxlan, Wrap::ErspanII];
    let captures = [
        ("none", capture(&wires, Format::Pcap)),
        ("GRE", wrapped(&wires, &[Wrap::Gre], None)),
        ("ERSPAN II", wrapped(&wires, &[Wrap::ErspanII], None)),
        ("VXLAN", wrapped(&wires, &[Wrap::Vxlan], None)),
        (
            "GTP-U with extension",
            wrapped(&wires, &[Wrap::GtpUExtended], None),
        ),
        ("MPLS", wrapped(&wires, &[Wrap::Mpls], None)),
        ("HEP", capture(&hep(&wires), Format::Pcap)),
        ("four, one in the other", wrapped(&wires, &stack, None)),
    ];
    for (name, pcap) in captures {
        let chunks = chunks_in(pcap);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut counters = DecodeCounters::new();
                let frames = chunks.iter().flat_map(Chunk::frames);
                let found = frames.filter(|frame| black_box(decoder.decode(frame, &mut counters)).is_some());
                assert_eq!(found.count(), wires.len());
            });
        });
    }
    group.finish();
}

fn reassembly(criterion: &mut Criterion) {
    let wires = wires();
    let decoder = Decoder::new(PortSet::from_iter([5060]));
    let mut group = criterion.benchmark_group("reassembly");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(wires.len() as u64));
    let in_pieces = |fragment_bytes| {
        let mut wires = wires.clone();
        for wire in &mut wires {
            wire.link.fragment_bytes = Some(fragment_bytes);
        }
        capture(&wires, Format::Pcap)
    };
    let captures = [
        ("pieces of 512", in_pieces(512)),
        ("pieces of 128", in_pieces(128)),
        (
            "VXLAN in pieces of 512",
            wrapped(&wires, &[Wrap::Vxlan], Some(532)),
        ),
    ];
    for (name, pcap) in captures {
        let chunks = chunks_in(pcap);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (mut counters, mut packets) = (DecodeCounters::new(), Vec::new());
                let (mut reassembler, mut whole) = (decoder.reassembler(), 0);
                for frame in chunks.iter().flat_map(Chunk::frames) {
                    match decoder.sort(&frame, &mut counters) {
                        Decoded::Fragment(piece) => reassembler.put(&piece, &mut packets),
                        Decoded::Payload(_) => whole += 1,
                        _ => {}
                    }
                    for packet in packets.drain(..) {
                        let (decoded, _) = decoder.look(&packet.frame(), Around::default());
                        whole += usize::from(matches!(black_box(decoded), Decoded::Payload(_)));
                    }
                }
                // What a second tap shows under the same identification is a copy.
                assert!(whole * 20 > wires.len() * 19, "{whole} of {}", wires.len());
            });
        });
    }
    group.finish();
}

fn duplicates(criterion: &mut Criterion) {
    let wires = wires();
    let mut group = criterion.benchmark_group("duplicates");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(wires.len() as u64));
    let (once, twice) = (
        chunks_in(capture(&wires, Format::Pcap)),
        mutate::duplicated(&wires),
    );
    let twice = chunks_in(capture(&twice, Format::Pcap));
    for (name, chunks, duplicate_ms) in [
        ("no copies, not looked for", &once, 0),
        ("no copies", &once, 5),
        ("everything twice", &twice, 5),
    ] {
        let decoder = Decoder::new(PortSet::from_iter([5060])).with_duplicates(duplicate_ms);
        let mut duplicates = decoder.duplicates();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut counters = DecodeCounters::new();
                let frames = chunks.iter().flat_map(Chunk::frames);
                frames
                    .filter(|frame| {
                        decoder
                            .sort_once(black_box(frame), &mut duplicates, &mut counters)
                            .is_aside()
                    })
                    .count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tunnels, reassembly, duplicates);
criterion_main!(benches);

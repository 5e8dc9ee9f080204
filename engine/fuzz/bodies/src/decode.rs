//! Decoder and reassembly over a sequence of frames: each frame is counted once, payloads lie in their frame, fragments
//! and datagrams add up, and memory stays within its bound.

use ringtap::decode::reassembly::{Limits, Packet, Piece};
use ringtap::decode::{Datagram, DecodeCounters, Decoded, Decoder};
use ringtap::{capture::Frame, decode::PortSet};

use crate::{assert_within, frames};

/// Small, so that datagrams have to leave.
const REASSEMBLY_BYTES_MAX: usize = 16 * 1024;

/// A sequence of frames, as `frames` reads it.
pub fn run(data: &[u8]) {
    let frames = frames::read(data);
    let mut ports = PortSet::new();
    ports.insert(5060);
    ports.insert(5061);
    let limits = Limits {
        bytes_max: REASSEMBLY_BYTES_MAX,
        salvage: data.first().is_some_and(|octet| octet & 1 == 1),
    };
    let decoder = Decoder::new(ports).with_reassembly(limits);
    let mut reassembler = decoder.reassembler();
    let (mut counters, mut of_packets) = (DecodeCounters::new(), DecodeCounters::new());
    let (mut fragments, mut packets) = (0, 0);
    let mut out: Vec<Packet> = Vec::new();
    let mut take = |out: &mut Vec<Packet>| {
        for packet in out.drain(..) {
            packets += 1;
            sort(&decoder, &packet.frame(), &mut of_packets);
        }
    };
    for frame in &frames {
        reassembler.advance(frame.time, &mut out);
        if sort(&decoder, frame, &mut counters) {
            let Some(piece) = Piece::of(frame) else {
                panic!("a fragment that is none");
            };
            fragments += 1;
            reassembler.put(&piece, &mut out);
        }
        take(&mut out);
        assert!(reassembler.held_bytes() <= REASSEMBLY_BYTES_MAX);
    }
    reassembler.clear(&mut out);
    take(&mut out);
    let told = reassembler.counters();
    assert_eq!(counters.frames(), frames.len() as u64);
    assert_eq!(
        told.fragments.iter().map(|(_, count, _)| count).sum::<u64>(),
        fragments
    );
    let of_begun = |begun: bool| {
        told.datagrams
            .iter()
            .filter(move |(name, ..)| (*name == "begun") == begun && *name != "salvaged")
            .map(|(_, count, _)| count)
            .sum::<u64>()
    };
    assert_eq!(of_begun(true), of_begun(false), "each datagram has one end");
    assert_eq!(told.handed_on(), packets);
    assert_eq!(reassembler.held_bytes(), 0);
}

/// Counts a frame, checks what it is said to hold, and says whether it is a fragment.
fn sort(decoder: &Decoder, frame: &Frame<'_>, counters: &mut DecodeCounters) -> bool {
    match decoder.sort(frame, counters) {
        Decoded::Datagram(Datagram {
            payload,
            source,
            destination,
            ..
        }) => {
            assert_within(frame.bytes, payload);
            assert_eq!(source.is_ipv4(), destination.is_ipv4());
            false
        }
        Decoded::Fragment => true,
        Decoded::Nothing => false,
    }
}

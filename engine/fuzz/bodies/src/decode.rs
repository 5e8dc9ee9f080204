//! Decoder and reassembly over a sequence of frames: each frame is counted once, payloads lie in their frame, fragments
//! and datagrams add up, memory stays within its bound, and what is found within something found ends.

use ringtap::capture::Frame;
use ringtap::decode::reassembly::{Limits, Packet, Reassembler};
use ringtap::decode::{DecodeCounters, Decoded, Decoder, PortSet};

use ringtap_classify::Take;

use crate::{assert_within, frames};

/// Small, so that datagrams have to leave.
const REASSEMBLY_BYTES_MAX: usize = 16 * 1024;

/// Packets that one frame may lead to: far more than any depth of encapsulation has.
const PACKETS_MAX: usize = 4096;

/// A sequence of frames, as `frames` reads it.
pub fn run(data: &[u8]) {
    let frames = frames::read(data);
    let limits = Limits {
        bytes_max: REASSEMBLY_BYTES_MAX,
        salvage: data.first().is_some_and(|octet| octet & 1 == 1),
    };
    let decoder = decoder().with_reassembly(limits);
    let mut line = Line {
        reassembler: decoder.reassembler(),
        decoder,
        counters: DecodeCounters::new(),
        of_packets: DecodeCounters::new(),
        fragments: 0,
        packets: 0,
    };
    for frame in &frames {
        line.take(frame);
        assert!(line.reassembler.held_bytes() <= REASSEMBLY_BYTES_MAX);
    }
    line.finish();
    assert_eq!(line.counters.frames(), frames.len() as u64);
}

/// What takes the usual ports, and opens whatever can be opened.
pub(crate) fn decoder() -> Decoder {
    let mut ports = PortSet::new();
    ports.insert(5060);
    ports.insert(5061);
    Decoder::new(ports).with_take(Take::ALL)
}

struct Line {
    decoder: Decoder,
    reassembler: Reassembler,
    counters: DecodeCounters,
    of_packets: DecodeCounters,
    fragments: u64,
    packets: u64,
}

impl Line {
    fn take(&mut self, frame: &Frame<'_>) {
        let mut out = Vec::new();
        self.reassembler.advance(frame.time, &mut out);
        let decoded = self.decoder.sort(frame, &mut self.counters);
        self.put(frame, &decoded, &mut out);
        self.work_off(out);
    }

    fn put(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, out: &mut Vec<Packet>) {
        match decoded {
            Decoded::Payload(payload) => {
                assert_within(frame.bytes, payload.octets);
                assert_eq!(payload.source.is_ipv4(), payload.destination.is_ipv4());
            }
            Decoded::Fragment(piece) => {
                self.fragments += 1;
                self.reassembler.put(piece, out);
            }
            Decoded::Tcp(segment) => {
                assert_within(frame.bytes, segment.octets);
                assert!(segment.octets.len() <= segment.len);
            }
            Decoded::Sctp(_) | Decoded::Nothing => {}
        }
    }

    /// What fragments add up to may be fragments again.
    fn work_off(&mut self, mut out: Vec<Packet>) {
        let mut seen = 0;
        while let Some(packet) = out.pop() {
            seen += 1;
            assert!(seen <= PACKETS_MAX, "packets within packets without end");
            self.packets += 1;
            let frame = packet.frame();
            let decoded = self
                .decoder
                .sort_within(&frame, packet.around, &mut self.of_packets);
            self.put(&frame, &decoded, &mut out);
        }
    }

    fn finish(&mut self) {
        loop {
            let mut out = Vec::new();
            self.reassembler.clear(&mut out);
            if out.is_empty() {
                break;
            }
            self.work_off(out);
        }
        let told = self.reassembler.counters();
        let of_fragments: u64 = told.fragments.iter().map(|(_, count, _)| count).sum();
        assert_eq!(of_fragments, self.fragments);
        let count = |begun: bool| -> u64 {
            let ends = told
                .datagrams
                .iter()
                .filter(move |(name, ..)| (*name == "begun") == begun && *name != "salvaged");
            ends.map(|(_, count, _)| count).sum()
        };
        assert_eq!(count(true), count(false), "each datagram has one end");
        assert_eq!(told.handed_on(), self.packets);
        assert_eq!(self.of_packets.frames(), self.packets);
        assert_eq!(self.reassembler.held_bytes(), 0);
    }
}

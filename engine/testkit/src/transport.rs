//! The same messages over TCP and SCTP: segments and chunks as a mirror would show them.
//!
//! Each direction between two nodes is one stream, or one direction of one association, from the first message to the last.
//! How messages lie in segments is chosen: one in each, cut into several, or several in one.

use std::collections::HashMap;
use std::net::SocketAddr;

use fastrand::Rng;

use crate::capture::{Format, of_frames};
use crate::frame::{Frame, checksum, ethernet, ipv4, v4};
use crate::wire::Wire;

const TCP: u8 = 6;
const SCTP: u8 = 132;
/// The segments or packets of one message follow each other at this distance.
const PIECE_US: i64 = 3;
/// The receiver acknowledges after this time.
const ACK_US: i64 = 1;
/// A connection is opened so long before its first message.
const OPEN_US: i64 = 1_000;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Connections open within the capture; else they are older than it.
        is_opened: bool,
        /// Octets of a segment at most; one segment for each message if there is no such number.
        segment_bytes: Option<usize>,
        /// Messages of one stream that follow within this time leave together.
        together_us: i64,
    },
    /// SCTP, data in chunks of so many octets at most.
    Sctp {
        /// Octets of a chunk's data at most.
        chunk_bytes: usize,
    },
}

/// A capture file with all messages over `transport`. Copies of a datagram become copies of segments; where there is something to
/// choose, `seed` chooses.
///
/// # Panics
/// If a message has no place in IPv4.
#[must_use]
pub fn capture_over(wires: &[Wire], transport: Transport, seed: u64, format: Format) -> Vec<u8> {
    let mut frames = match transport {
        Transport::Tcp {
            is_opened,
            segment_bytes,
            together_us,
        } => Tcp {
            is_opened,
            segment_bytes,
            random: Rng::with_seed(seed),
            sent: HashMap::new(),
            datagrams: HashMap::new(),
            frames: Vec::new(),
        }
        .frames(wires, together_us),
        Transport::Sctp { chunk_bytes } => sctp(wires, chunk_bytes, seed),
    };
    frames.sort_by_key(|frame| frame.time);
    of_frames(&frames, format)
}

/// Who sends to whom, in which VLAN: addresses mean something within one only.
type Way = (SocketAddr, SocketAddr, Option<(u16, u16)>);

fn way(wire: &Wire) -> Way {
    (wire.source, wire.destination, wire.link.vlan)
}

/// What copies of a datagram share. Stories that were put together number their datagrams each for itself.
type Name<'a> = (u64, Way, &'a [u8]);

fn name(wire: &Wire) -> Name<'_> {
    (wire.datagram, way(wire), &wire.payload)
}

/// A number that a node chooses at random for each way.
fn chosen((source, destination, _): Way, seed: u64) -> u32 {
    let mut random = Rng::with_seed(seed);
    for address in [source, destination] {
        let mixed = u64::from(u32::from(v4(address))) << 16 | u64::from(address.port());
        random = Rng::with_seed(random.u64(..) ^ mixed);
    }
    random.u32(..)
}

struct Tcp<'a> {
    is_opened: bool,
    segment_bytes: Option<usize>,
    random: Rng,
    /// The next sequence number of each stream.
    sent: HashMap<Way, u32>,
    /// The segments of each datagram, for its copies: their place among the frames.
    datagrams: HashMap<Name<'a>, (usize, usize)>,
    frames: Vec<Frame>,
}

impl<'a> Tcp<'a> {
    fn frames(mut self, wires: &'a [Wire], together_us: i64) -> Vec<Frame> {
        // What waits to leave with the next message of its stream.
        let mut waiting: HashMap<Way, Vec<u8>> = HashMap::new();
        for (at, wire) in wires.iter().enumerate() {
            if let Some((from, to)) = self.datagrams.get(&name(wire)).copied() {
                self.copy(from, to, wire);
                continue;
            }
            let octets = waiting.entry(way(wire)).or_default();
            octets.extend(&wire.payload);
            let next = wires
                .get(at + 1..)
                .unwrap_or_default()
                .iter()
                .find(|next| way(next) == way(wire));
            let is_followed =
                next.is_some_and(|next| name(next) != name(wire) && next.time - wire.time < together_us);
            if is_followed {
                continue;
            }
            let octets = waiting.remove(&way(wire)).unwrap_or_default();
            let from = self.frames.len();
            self.send(wire, &octets);
            self.datagrams.insert(name(wire), (from, self.frames.len()));
        }
        self.frames
    }

    /// A copy of what an earlier datagram became.
    fn copy(&mut self, from: usize, to: usize, wire: &Wire) {
        let began = self.frames[from].time;
        for at in from..to {
            let late = self.frames[at].time - began;
            let bytes = self.frames[at].bytes.clone();
            self.frames.push(Frame {
                time: wire.time.plus_us(late),
                bytes,
            });
        }
    }

    /// Segments of these octets, each acknowledged.
    fn send(&mut self, wire: &Wire, mut octets: &[u8]) {
        let (to, back) = (way(wire), (wire.destination, wire.source, wire.link.vlan));
        for way in [to, back] {
            if self.sent.contains_key(&way) {
                continue;
            }
            let first = chosen(way, 1);
            if self.is_opened {
                let opening = segment(way, first, 0, 0x02, &[]);
                self.frames.push(Frame {
                    time: wire.time.plus_us(-OPEN_US),
                    bytes: opening,
                });
            }
            self.sent
                .insert(way, first.wrapping_add(u32::from(self.is_opened)));
        }
        let mut time = wire.time;
        while !octets.is_empty() {
            let size = self
                .segment_bytes
                .map_or(octets.len(), |max| self.random.usize(1..=max).min(octets.len()));
            let (now, rest) = octets.split_at(size);
            octets = rest;
            let (first, answered) = (self.sent[&to], self.sent[&back]);
            // Pushed where a message ends.
            let flags = if octets.is_empty() { 0x18 } else { 0x10 };
            let behind = first.wrapping_add(now.len() as u32);
            self.sent.insert(to, behind);
            self.frames.push(Frame {
                time,
                bytes: segment(to, first, answered, flags, now),
            });
            self.frames.push(Frame {
                time: time.plus_us(ACK_US),
                bytes: segment(back, answered, behind, 0x10, &[]),
            });
            time = time.plus_us(PIECE_US);
        }
    }
}

/// One segment (RFC 9293 §3.1) in its frame.
fn segment((source, destination, vlan): Way, first: u32, answered: u32, flags: u8, octets: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(first.to_be_bytes());
    bytes.extend(answered.to_be_bytes());
    // Eight words: with time stamps, as most senders have them (RFC 7323 §3.2).
    bytes.extend([0x80, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1]);
    bytes.extend(octets);
    let (source, destination) = (v4(source), v4(destination));
    let mut covered = [source.octets(), destination.octets()].concat();
    covered.extend([0, TCP]);
    covered.extend((bytes.len() as u16).to_be_bytes());
    covered.extend(&bytes);
    let sum = checksum(&covered);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(source, destination, vlan);
    frame.extend(ipv4((source, destination), TCP, 0, 0, false, &bytes));
    frame
}

/// Packets with one chunk of data each (RFC 9260 §3).
fn sctp(wires: &[Wire], chunk_bytes: usize, seed: u64) -> Vec<Frame> {
    let mut sent: HashMap<Way, (u32, u16)> = HashMap::new();
    let mut datagrams: HashMap<Name<'_>, (u32, u16)> = HashMap::new();
    let mut frames = Vec::new();
    for wire in wires {
        let count = wire.payload.len().div_ceil(chunk_bytes) as u32;
        let (first, number) = *datagrams.entry(name(wire)).or_insert_with(|| {
            let next = sent.entry(way(wire)).or_insert((chosen(way(wire), seed), 0));
            let now = *next;
            *next = (now.0.wrapping_add(count), now.1.wrapping_add(1));
            now
        });
        for (at, octets) in (0_u32..).zip(wire.payload.chunks(chunk_bytes)) {
            let (source, destination) = (v4(wire.source), v4(wire.destination));
            let mut bytes = Vec::new();
            bytes.extend(wire.source.port().to_be_bytes());
            bytes.extend(wire.destination.port().to_be_bytes());
            // The receiver's tag. The checksum is left to the NIC, as offload does.
            bytes.extend(chosen(way(wire), seed ^ 1).to_be_bytes());
            bytes.extend([0; 4]);
            // A selective acknowledgement travels along.
            bytes.extend([3, 0, 0, 16]);
            bytes.extend([0; 12]);
            let flags = u8::from(at == 0) << 1 | u8::from(at + 1 == count);
            bytes.extend([0, flags]);
            bytes.extend((16 + octets.len() as u16).to_be_bytes());
            bytes.extend(first.wrapping_add(at).to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(number.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(octets);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let mut frame = ethernet(source, destination, wire.link.vlan);
            frame.extend(ipv4((source, destination), SCTP, 0, 0, false, &bytes));
            frames.push(Frame {
                time: wire.time.plus_us(i64::from(at) * PIECE_US),
                bytes: frame,
            });
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches streams that do not hold what was sent: the octets of every segment, put where its sequence number says.
    #[test]
    fn segments_add_up_to_the_messages() {
        let wires = crate::messages(&crate::scenario("S01").unwrap().cases()[0]);
        for segment_bytes in [None, Some(200)] {
            let tcp = Tcp {
                is_opened: true,
                segment_bytes,
                random: Rng::with_seed(1),
                sent: HashMap::new(),
                datagrams: HashMap::new(),
                frames: Vec::new(),
            };
            let frames = tcp.frames(&wires, 0);
            let (source, destination, _) = way(&wires[0]);
            let from = |frame: &&Frame| {
                let ip = &frame.bytes[14..];
                ip[12..16] == v4(source).octets()
                    && ip[16..20] == v4(destination).octets()
                    && ip[20..22] == source.port().to_be_bytes()
            };
            let mut stream: Vec<u8> = Vec::new();
            let mut next = None;
            for frame in frames.iter().filter(from) {
                let tcp = &frame.bytes[34..];
                let first = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
                let syn = u32::from(tcp[13] & 2) / 2;
                assert_eq!(*next.get_or_insert(first), first);
                next = Some(first.wrapping_add(syn + tcp.len() as u32 - 32));
                stream.extend(&tcp[32..]);
            }
            let sent = wires.iter().filter(|wire| way(wire) == way(&wires[0]));
            let wanted: Vec<u8> = sent.flat_map(|wire| wire.payload.clone()).collect();
            assert_eq!(stream, wanted);
        }
    }
}

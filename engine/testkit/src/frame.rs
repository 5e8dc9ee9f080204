//! Frames out of messages: UDP, IPv4 with its fragments, QinQ, Ethernet. TCP and SCTP are [`crate::transport`]'s.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ringtap_record::Time;

use crate::wire::Wire;

/// One Ethernet frame.
pub(crate) struct Frame {
    pub(crate) time: Time,
    pub(crate) bytes: Vec<u8>,
}

const IPV4_HEADER_BYTES: usize = 20;
const UDP: u8 = 17;
/// Fragments of one datagram follow each other at this distance.
const FRAGMENT_US: i64 = 2;

/// The frames of all messages, ordered by time. Every datagram has its own IP identification, which copies
/// of it repeat, as a mirror that shows both directions would.
pub(crate) fn frames(wires: &[Wire]) -> Vec<Frame> {
    let mut identifications = Identifications::default();
    let mut frames: Vec<Frame> = wires
        .iter()
        .flat_map(|wire| frames_of(wire, identifications.of(wire)))
        .collect();
    frames.sort_by_key(|frame| frame.time);
    frames
}

/// The frames of one message. What is written as it comes cannot remember every datagram for its copies: the
/// identification is part of the datagram's name.
pub(crate) fn frames_by_name(wire: &Wire) -> Vec<Frame> {
    frames_of(wire, wire.datagram as u16)
}

/// Each sender counts its datagrams.
#[derive(Default)]
struct Identifications {
    last: HashMap<IpAddr, u16>,
    given: HashMap<u64, u16>,
}

impl Identifications {
    fn of(&mut self, wire: &Wire) -> u16 {
        *self.given.entry(wire.datagram).or_insert_with(|| {
            let last = self.last.entry(wire.source.ip()).or_insert(0);
            *last = last.wrapping_add(1);
            *last
        })
    }
}

fn frames_of(wire: &Wire, identification: u16) -> Vec<Frame> {
    let (source, destination) = (v4(wire.source), v4(wire.destination));
    let datagram = udp(wire);
    // All fragments but the last carry a multiple of eight bytes (RFC 791 §3.2).
    let piece_bytes = wire
        .link
        .fragment_bytes
        .map_or(datagram.len(), |bytes| usize::from(bytes) & !7);
    let pieces = datagram.chunks(piece_bytes.max(8)).enumerate();
    let mut packets: Vec<Vec<u8>> = pieces
        .map(|(index, piece)| {
            let offset_bytes = index * piece_bytes;
            let more = offset_bytes + piece.len() < datagram.len();
            let mut bytes = ethernet(source, destination, wire.link.vlan);
            bytes.extend(ipv4(
                (source, destination),
                UDP,
                identification,
                offset_bytes,
                more,
                piece,
            ));
            bytes
        })
        .collect();
    if wire.link.reversed {
        packets.reverse();
    }
    let frame = |(bytes, order)| Frame {
        time: wire.time.plus_us(order * FRAGMENT_US),
        bytes,
    };
    packets.into_iter().zip(0_i64..).map(frame).collect()
}

pub(crate) fn v4(address: SocketAddr) -> Ipv4Addr {
    match address.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("the fixtures have no IPv6 node: {address}"),
    }
}

pub(crate) fn ethernet(source: Ipv4Addr, destination: Ipv4Addr, vlan: Option<(u16, u16)>) -> Vec<u8> {
    // Locally administered MAC addresses which repeat the IP address.
    let mac = |address: Ipv4Addr| [&[0x02, 0x00][..], &address.octets()].concat();
    let mut bytes = [mac(destination), mac(source)].concat();
    if let Some((outer, inner)) = vlan {
        bytes.extend([0x88, 0xa8]);
        bytes.extend(outer.to_be_bytes());
        bytes.extend([0x81, 0x00]);
        bytes.extend(inner.to_be_bytes());
    }
    bytes.extend([0x08, 0x00]);
    bytes
}

pub(crate) fn ipv4(
    (source, destination): (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    identification: u16,
    offset_bytes: usize,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let total = u16::try_from(IPV4_HEADER_BYTES + payload.len()).expect("a datagram fits into IPv4");
    let offset = u16::try_from(offset_bytes / 8).expect("offset of a datagram that fits into IPv4");
    let mut header = vec![0x45, 0x00];
    header.extend(total.to_be_bytes());
    header.extend(identification.to_be_bytes());
    header.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(payload);
    header
}

fn udp(wire: &Wire) -> Vec<u8> {
    let length = u16::try_from(8 + wire.payload.len()).expect("a SIP message fits into UDP");
    let mut datagram = Vec::new();
    datagram.extend(wire.source.port().to_be_bytes());
    datagram.extend(wire.destination.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(&wire.payload);
    let mut covered = Vec::new();
    covered.extend(v4(wire.source).octets());
    covered.extend(v4(wire.destination).octets());
    covered.extend([0, UDP]);
    covered.extend(length.to_be_bytes());
    covered.extend(&datagram);
    // A sum of zero is sent as ones: zero means "no checksum" (RFC 768).
    let sum = match checksum(&covered) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wires(id: &str) -> Vec<Wire> {
        crate::messages(&crate::scenario(id).unwrap().cases()[0])
    }

    /// Catches wrong lengths or checksums: a header with its checksum in place sums to zero.
    #[test]
    fn headers_are_right() {
        for frame in frames(&wires("S01")) {
            let packet = &frame.bytes[14..];
            assert_eq!(
                usize::from(u16::from_be_bytes([packet[2], packet[3]])),
                packet.len()
            );
            assert_eq!(checksum(&packet[..20]), 0);
            assert_eq!(
                usize::from(u16::from_be_bytes([packet[24], packet[25]])),
                packet.len() - 20
            );
            let mut covered = packet[12..20].to_vec();
            covered.extend([0, UDP, packet[24], packet[25]]);
            covered.extend(&packet[20..]);
            assert_eq!(checksum(&covered), 0);
        }
    }

    /// Catches fragments that overlap, leave a hole, come in the wrong order or lose their VLAN tags.
    #[test]
    fn fragments_reassemble_to_the_payload() {
        let wires = wires("S40");
        let invite = &wires[0];
        assert!(invite.payload.len() > 3_000);
        let pieces = frames_of(invite, 9);
        assert_eq!(pieces.len(), 3);
        assert_eq!(
            pieces[0].bytes[12..22],
            [0x88, 0xa8, 0, 100, 0x81, 0, 0, 200, 8, 0]
        );

        let mut datagram: Vec<u8> = Vec::new();
        for (index, piece) in pieces.iter().rev().enumerate() {
            let packet = &piece.bytes[22..];
            let flags = u16::from_be_bytes([packet[6], packet[7]]);
            assert_eq!(usize::from(flags & 0x1fff) * 8, datagram.len());
            assert_eq!(flags & 0x2000 != 0, index < 2);
            assert_eq!(packet[4..6], [0, 9]);
            datagram.extend(&packet[20..]);
        }
        assert_eq!(datagram[8..], invite.payload);
    }

    /// Catches a frame copy that looks like a retransmission, or the other way round.
    #[test]
    fn copies_repeat_the_identification() {
        let calm = wires("S38");
        let identification = |frame: &Frame| (frame.bytes[26..30].to_vec(), frame.bytes[18..20].to_vec());
        let distinct = |wires: &[Wire]| {
            frames(wires)
                .iter()
                .map(identification)
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        assert_eq!(distinct(&calm), calm.len());
        assert_eq!(distinct(&crate::mutate::duplicated(&calm)), calm.len());
    }
}

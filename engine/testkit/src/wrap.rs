//! Encapsulations: the same traffic as mirrors far away, mobile networks and providers' lines would bring it.
//!
//! Written from the specifications, octet by octet: nothing here is shared with what reads it.

use std::net::IpAddr;

use crate::capture::{self, Format};
use crate::frame::{self, Frame};
use crate::wire::Wire;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Ends of every tunnel.
const ENDS: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];
const ENDS_V6: [[u8; 16]; 2] = [
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
];

/// A way to wrap a frame in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrap {
    /// GRE around the packet (RFC 2784).
    Gre,
    /// The same with checksum, key and sequence number (RFC 2890).
    GreFull,
    /// GRE around the frame.
    GreEthernet,
    /// PPTP: GRE version 1 around PPP (RFC 2637).
    Pptp,
    /// GRE 0x88be without sequence number.
    ErspanI,
    /// GRE 0x88be with sequence number.
    ErspanII,
    /// GRE 0x22eb.
    ErspanIII,
    /// The same with a platform's words.
    ErspanIIIPlatform,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926, around the frame, with an option.
    Geneve,
    /// TS 29.281, shortest header.
    GtpU,
    /// TS 29.281, with a PDU session container and a sequence number.
    GtpUExtended,
    /// The packet in IPv4.
    InIpv4,
    /// The packet in IPv6.
    InIpv6,
    /// Two labels around the packet.
    Mpls,
    /// One label and a control word around the frame.
    Pseudowire,
    /// One label around the frame.
    PseudowireBare,
    /// RFC 2516.
    Pppoe,
    /// TZSP with a few tags.
    Tzsp,
    /// IEEE 802.3 with LLC and SNAP headers instead of an ethertype.
    Snap,
    /// ESP in transport mode that encrypts nothing (RFC 2410), with a check of 12 octets.
    EspNull,
    /// The same in tunnel mode, in UDP (RFC 3948), with a check of 16 octets.
    EspNullTunnel,
}

impl Wrap {
    /// Every one.
    pub const ALL: [Self; 22] = [
        Self::Gre,
        Self::GreFull,
        Self::GreEthernet,
        Self::Pptp,
        Self::ErspanI,
        Self::ErspanII,
        Self::ErspanIII,
        Self::ErspanIIIPlatform,
        Self::Vxlan,
        Self::Geneve,
        Self::GtpU,
        Self::GtpUExtended,
        Self::InIpv4,
        Self::InIpv6,
        Self::Mpls,
        Self::Pseudowire,
        Self::PseudowireBare,
        Self::Pppoe,
        Self::Tzsp,
        Self::Snap,
        Self::EspNull,
        Self::EspNullTunnel,
    ];

    /// The frame around `frame`; `number` counts frames.
    ///
    /// # Panics
    /// If the wrap wants a packet of IP and the frame holds none.
    #[must_use]
    pub fn around(self, frame: &[u8], number: u32) -> Vec<u8> {
        let (ethertype, packet) = packet_of(frame);
        let (kind, n) = (ethertype.to_be_bytes(), number.to_be_bytes());
        let is_ip = [IPV4, IPV6].contains(&ethertype);
        let wants_ip = || assert!(is_ip, "{self:?} around {ethertype:#06x}");
        match self {
            Self::Gre => gre(number, &[&[0, 0][..], &kind, packet].concat()),
            Self::GreFull => gre(
                number,
                &[&[0xb0, 0][..], &kind, &[0xba, 0xd0, 0, 0, 0, 0, 0, 7], &n, packet].concat(),
            ),
            Self::GreEthernet => gre(number, &[&[0, 0, 0x65, 0x58][..], frame].concat()),
            Self::Pptp => {
                wants_ip();
                let len = (packet.len() as u16 + 3).to_be_bytes();
                // With an acknowledgement; PPP with address and control, and a protocol of one octet.
                let protocol = if ethertype == IPV4 { 0x21 } else { 0x57 };
                let header = [
                    &[0x30, 0x81, 0x88, 0x0b][..],
                    &len,
                    &[0, 5],
                    &n,
                    &[0, 0, 0, 1, 0xff, 3, protocol],
                ];
                gre(number, &[&header.concat()[..], packet].concat())
            }
            Self::ErspanI => gre(number, &[&[0, 0, 0x88, 0xbe][..], frame].concat()),
            // Version 1, VLAN 100, session 5, index 0.
            Self::ErspanII => gre(
                number,
                &[
                    &[0x10, 0, 0x88, 0xbe][..],
                    &n,
                    &[0x10, 100, 0, 5, 0, 0, 0, 0],
                    frame,
                ]
                .concat(),
            ),
            // Version 2, session 5, a time, no group, Ethernet.
            Self::ErspanIII => gre(
                number,
                &[
                    &[0x10, 0, 0x22, 0xeb][..],
                    &n,
                    &[0x20, 100, 0, 5],
                    &n,
                    &[0, 0, 0, 0],
                    frame,
                ]
                .concat(),
            ),
            Self::ErspanIIIPlatform => gre(
                number,
                &[
                    &[0x10, 0, 0x22, 0xeb][..],
                    &n,
                    &[0x20, 100, 0, 5],
                    &n,
                    &[0, 0, 0, 1],
                    &[9; 8],
                    frame,
                ]
                .concat(),
            ),
            Self::Vxlan => udp(number, 4789, &[&[8, 0, 0, 0, 0, 0, 42, 0][..], frame].concat()),
            Self::Geneve => udp(
                number,
                6081,
                &[&[1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 0][..], frame].concat(),
            ),
            Self::GtpU => {
                wants_ip();
                let len = (packet.len() as u16).to_be_bytes();
                udp(
                    number,
                    2152,
                    &[&[0x30, 255][..], &len, &[0, 0, 0, 99], packet].concat(),
                )
            }
            Self::GtpUExtended => {
                wants_ip();
                let len = (packet.len() as u16 + 8).to_be_bytes();
                let more = [0, 1, 0, 0x85, 1, 0, 9, 0];
                udp(
                    number,
                    2152,
                    &[&[0x36, 255][..], &len, &[0, 0, 0, 99], &more, packet].concat(),
                )
            }
            Self::InIpv4 | Self::InIpv6 => {
                wants_ip();
                let protocol = if ethertype == IPV4 { 4 } else { 41 };
                match self {
                    Self::InIpv4 => ethernet(IPV4, &ipv4(number, protocol, packet)),
                    _ => ethernet(IPV6, &ipv6(protocol, packet)),
                }
            }
            Self::Mpls => {
                wants_ip();
                ethernet(0x8847, &[&[0, 1, 0x20, 64, 0, 1, 0x31, 64][..], packet].concat())
            }
            Self::Pseudowire => ethernet(0x8847, &[&[0, 1, 0x21, 64, 0, 0][..], &n[2..], frame].concat()),
            Self::PseudowireBare => ethernet(0x8847, &[&[0, 1, 0x21, 64][..], frame].concat()),
            Self::Pppoe => {
                wants_ip();
                let len = (packet.len() as u16 + 2).to_be_bytes();
                let protocol = if ethertype == IPV4 { [0, 0x21] } else { [0, 0x57] };
                ethernet(0x8864, &[&[0x11, 0, 0, 3][..], &len, &protocol, packet].concat())
            }
            // A received frame of Ethernet; signal, padding, channel, end.
            Self::Tzsp => udp(
                number,
                37_008,
                &[&[1, 0, 0, 1, 10, 1, 0xb0, 0, 18, 1, 6, 1][..], frame].concat(),
            ),
            Self::Snap => {
                let len = (packet.len() as u16 + 8).min(1500);
                ethernet(len, &[&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind, packet].concat())
            }
            Self::EspNull => {
                assert_eq!(ethertype, IPV4, "transport mode here is IPv4's");
                // In the packet's own header; a fragment has no transport header of its own.
                let mut inside = esp(packet[9], number, &packet[20..], 12);
                let mut header = packet[..20].to_vec();
                header[9] = 50;
                header[2..4].copy_from_slice(&(20 + inside.len() as u16).to_be_bytes());
                header.append(&mut inside);
                ethernet(IPV4, &header)
            }
            Self::EspNullTunnel => {
                wants_ip();
                let protocol = if ethertype == IPV4 { 4 } else { 41 };
                udp(number, 4500, &esp(protocol, number, packet, 16))
            }
        }
    }
}

/// A capture of these messages, each frame wrapped in `stack`, the innermost first. What is longer than
/// `outer_bytes` then as a packet of IPv4 travels in fragments.
#[must_use]
pub fn wrapped(wires: &[Wire], stack: &[Wrap], outer_bytes: Option<usize>) -> Vec<u8> {
    let mut number = 0;
    let frames = frame::frames(wires).into_iter().flat_map(|frame| {
        let bytes = stack.iter().fold(frame.bytes, |bytes, wrap| {
            number += 1;
            wrap.around(&bytes, number)
        });
        let pieces = match outer_bytes {
            Some(outer_bytes) => fragments(&bytes, outer_bytes),
            None => vec![bytes],
        };
        pieces.into_iter().map(move |bytes| Frame {
            time: frame.time,
            bytes,
        })
    });
    capture::of_frames(&frames.collect::<Vec<_>>(), Format::Pcap)
}

/// The messages as an agent of a capturing system sends them on: HEP version 3, with addresses and time, and a name for itself.
#[must_use]
pub fn hep(wires: &[Wire]) -> Vec<Wire> {
    let chunk = |vendor: u16, kind: u16, content: &[u8]| {
        let len = (content.len() as u16 + 6).to_be_bytes();
        [&vendor.to_be_bytes()[..], &kind.to_be_bytes(), &len, content].concat()
    };
    let packet = |wire: &Wire| {
        let address = |kind: [u16; 2], address: IpAddr| match address {
            IpAddr::V4(address) => chunk(0, kind[0], &address.octets()),
            IpAddr::V6(address) => chunk(0, kind[1], &address.octets()),
        };
        let family = if wire.source.is_ipv4() { 2 } else { 10 };
        let chunks = [
            chunk(0, 1, &[family]),
            chunk(0, 2, &[17]),
            address([3, 5], wire.source.ip()),
            address([4, 6], wire.destination.ip()),
            chunk(0, 7, &wire.source.port().to_be_bytes()),
            chunk(0, 8, &wire.destination.port().to_be_bytes()),
            // A clock that is wrong by decades.
            chunk(0, 9, &[0, 0, 0, 1]),
            chunk(0, 0xa, &[0, 0, 0, 1]),
            chunk(0, 0xb, &[1]),
            chunk(0, 0xc, &[0, 0, 7, 0xd1]),
            chunk(0xcafe, 0xf, b"of another vendor"),
            chunk(0, 0xf, &wire.payload),
        ]
        .concat();
        let len = (chunks.len() as u16 + 6).to_be_bytes();
        [&b"HEP3"[..], &len, &chunks].concat()
    };
    let sent = |wire: &Wire| Wire {
        source: (IpAddr::from(ENDS[0]), 40_000).into(),
        destination: (IpAddr::from(ENDS[1]), 9060).into(),
        payload: packet(wire),
        ..wire.clone()
    };
    wires.iter().map(sent).collect()
}

/// The ethertype behind VLAN tags and SNAP, and what follows it up to the end that IPv4 gives itself.
fn packet_of(frame: &[u8]) -> (u16, &[u8]) {
    let mut at = 12;
    while [[0x81, 0], [0x88, 0xa8]].contains(&[frame[at], frame[at + 1]]) {
        at += 4;
    }
    (u16::from_be_bytes([frame[at], frame[at + 1]]), &frame[at + 2..])
}

fn gre(number: u32, content: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(number, 47, content))
}

fn udp(number: u32, port: u16, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u16 + 8).to_be_bytes();
    let header = [&[0xc0, 0][..], &port.to_be_bytes(), &len, &[0, 0]].concat();
    ethernet(IPV4, &ipv4(number, 17, &[&header, content].concat()))
}

fn ethernet(ethertype: u16, content: &[u8]) -> Vec<u8> {
    [
        &[2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1][..],
        &ethertype.to_be_bytes(),
        content,
    ]
    .concat()
}

fn ipv4(number: u32, protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u16 + 20).to_be_bytes();
    let id = (number as u16).to_be_bytes();
    let header = [&[0x45, 0][..], &len, &id, &[0, 0, 64, protocol, 0, 0]].concat();
    [&header[..], &ENDS.concat(), content].concat()
}

fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u16).to_be_bytes();
    [
        &[0x60, 0, 0, 0][..],
        &len,
        &[next, 64],
        &ENDS_V6.concat(),
        content,
    ]
    .concat()
}

/// RFC 4303 with the NULL cipher: padded to a multiple of four, the check made up.
fn esp(next: u8, number: u32, content: &[u8], check_len: usize) -> Vec<u8> {
    let pad_len = (4 - (content.len() + 2) % 4) % 4;
    let padding: Vec<u8> = (1..=pad_len as u8).collect();
    let check: Vec<u8> = (0..check_len)
        .map(|at| (number as u8) ^ (at * 37 + 11) as u8)
        .collect();
    let spi = [0xc0, 0xff, 0xee, 1];
    [
        &spi[..],
        &number.to_be_bytes(),
        content,
        &padding,
        &[pad_len as u8, next],
        &check,
    ]
    .concat()
}

/// The packet of a frame in fragments, if it is IPv4 without options, untagged, and too long.
fn fragments(frame: &[u8], packet_bytes_max: usize) -> Vec<Vec<u8>> {
    let (link, packet) = frame.split_at(14);
    if link[12..] != IPV4.to_be_bytes() || packet.len() <= packet_bytes_max {
        return vec![frame.to_vec()];
    }
    let (header, content) = packet.split_at(20);
    let piece_bytes = (packet_bytes_max - 20) & !7;
    let pieces = content.chunks(piece_bytes).enumerate();
    pieces
        .map(|(index, piece)| {
            let mut header = header.to_vec();
            let more = (index + 1) * piece_bytes < content.len();
            let place = (index * piece_bytes / 8) as u16 | u16::from(more) << 13;
            header[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
            header[6..8].copy_from_slice(&place.to_be_bytes());
            [link, &header, piece].concat()
        })
        .collect()
}

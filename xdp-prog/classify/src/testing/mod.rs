//! Frames for tests, header by header, and the [`verdicts`] on every shape of frame: the host's tests and those of the
//! loaded XDP program go through the same table. Only with the feature `testing`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "as in tests: a frame that does not fit its own length fields is a fault of the test"
)]

mod verdicts;

pub use verdicts::{Case, Taken, verdicts};

use crate::MAX_EXTENSION_HEADERS;

/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;

/// Source and destination of every IPv4 packet made here.
pub const V4_PAIR: ([u8; 4], [u8; 4]) = ([10, 20, 0, 1], [10, 30, 0, 2]);
/// Source and destination of every IPv6 packet made here.
pub const V6_PAIR: ([u8; 16], [u8; 16]) = (
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
);

/// Two addresses before what begins with an ethertype.
#[must_use]
pub fn ethernet_frame(content: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], content].concat()
}

/// VLAN tags (type and control word, outermost first), then the ethertype and its content.
#[must_use]
pub fn tagged(tags: &[(u16, u16)], ethertype: u16, content: &[u8]) -> Vec<u8> {
    let tags = tags
        .iter()
        .flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()].concat());
    tags.chain(ethertype.to_be_bytes())
        .chain(content.iter().copied())
        .collect()
}

/// IPv4 without options.
#[must_use]
pub fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    ipv4_with_options(protocol, &[], content)
}

/// IPv4 with options, whose length is a multiple of 4.
#[must_use]
pub fn ipv4_with_options(protocol: u8, options: &[u8], content: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let total = u16::try_from(20 + options.len() + content.len()).unwrap();
    let mut packet = vec![0x40 | words, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend([V4_PAIR.0, V4_PAIR.1].concat());
    packet.extend(options);
    packet.extend(content);
    packet
}

/// A piece of an IPv4 datagram; `offset` in bytes.
#[must_use]
pub fn ipv4_fragment(protocol: u8, id: u16, offset: u16, more: bool, piece: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, piece);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
    packet
}

/// IPv6; `content` begins with the header that `next` names.
#[must_use]
pub fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([V6_PAIR.0, V6_PAIR.1].concat());
    packet.extend(content);
    packet
}

/// An extension header of the common form, `units` times 8 bytes beyond the first 8.
#[must_use]
pub fn extension(next: u8, units: u8) -> Vec<u8> {
    let mut header = vec![next, units];
    header.resize((usize::from(units) + 1) * 8, 0xaa);
    header
}

/// An authentication header, `words` times 4 bytes beyond the first 8.
#[must_use]
pub fn authentication(next: u8, words: u8) -> Vec<u8> {
    let mut header = vec![next, words];
    header.resize((usize::from(words) + 2) * 4, 0xbb);
    header
}

/// The IPv6 fragment header; `offset` in bytes.
#[must_use]
pub fn fragment_header(next: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let place = (offset & 0xfff8 | u16::from(more)).to_be_bytes();
    [&[next, 0][..], &place, &id.to_be_bytes()].concat()
}

/// A UDP datagram, its checksum left to the NIC.
#[must_use]
pub fn udp(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = Vec::new();
    for field in [source_port, destination_port, len, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    datagram
}

/// A name, its content, the ethertype it goes under, and its address pair.
pub type Shape = (&'static str, Vec<u8>, u16, (&'static [u8], &'static [u8]));

/// IP packets around one UDP datagram in every way that has to be followed.
#[must_use]
pub fn shapes(datagram: &[u8]) -> Vec<Shape> {
    let v4: (&[u8], &[u8]) = (&V4_PAIR.0, &V4_PAIR.1);
    let v6: (&[u8], &[u8]) = (&V6_PAIR.0, &V6_PAIR.1);
    let chain = |parts: &[Vec<u8>]| [&parts.concat()[..], datagram].concat();
    let longest = chain(
        &vec![extension(60, 3); MAX_EXTENSION_HEADERS - 1]
            .into_iter()
            .chain([extension(UDP, 0)])
            .collect::<Vec<_>>(),
    );
    let mixed = chain(&[
        extension(43, 0),
        extension(60, 1),
        extension(51, 2),
        authentication(135, 4),
        extension(44, 0),
        fragment_header(UDP, 0, false, 77),
    ]);
    vec![
        ("IPv4", ipv4(UDP, datagram), IPV4, v4),
        (
            "IPv4 with 4 bytes of options",
            ipv4_with_options(UDP, &[1; 4], datagram),
            IPV4,
            v4,
        ),
        (
            "IPv4 with 40 bytes of options",
            ipv4_with_options(UDP, &[1; 40], datagram),
            IPV4,
            v4,
        ),
        ("IPv6", ipv6(UDP, datagram), IPV6, v6),
        ("IPv6 hop-by-hop", ipv6(0, &chain(&[extension(UDP, 0)])), IPV6, v6),
        ("IPv6 routing", ipv6(43, &chain(&[extension(UDP, 2)])), IPV6, v6),
        (
            "IPv6 destination options",
            ipv6(60, &chain(&[extension(UDP, 255)])),
            IPV6,
            v6,
        ),
        ("IPv6 mobility", ipv6(135, &chain(&[extension(UDP, 1)])), IPV6, v6),
        (
            "IPv6 authentication",
            ipv6(51, &chain(&[authentication(UDP, 4)])),
            IPV6,
            v6,
        ),
        (
            "IPv6 atomic fragment",
            ipv6(44, &chain(&[fragment_header(UDP, 0, false, 9)])),
            IPV6,
            v6,
        ),
        ("IPv6 mixed chain", ipv6(0, &mixed), IPV6, v6),
        ("IPv6 longest chain", ipv6(60, &longest), IPV6, v6),
    ]
}

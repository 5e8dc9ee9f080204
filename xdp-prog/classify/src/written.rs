//! Frames for the tests, header by header.

/// Source and destination of every IPv4 packet made here.
pub(crate) const V4_PAIR: ([u8; 4], [u8; 4]) = ([10, 20, 0, 1], [10, 30, 0, 2]);
/// Source and destination of every IPv6 packet made here.
pub(crate) const V6_PAIR: ([u8; 16], [u8; 16]) = (
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
);

/// Two addresses before what begins with an ethertype.
pub(crate) fn ethernet_frame(content: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], content].concat()
}

/// VLAN tags (type and control word, outermost first), then the ethertype and its content.
pub(crate) fn tagged(tags: &[(u16, u16)], ethertype: u16, content: &[u8]) -> Vec<u8> {
    let tags = tags
        .iter()
        .flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()].concat());
    tags.chain(ethertype.to_be_bytes())
        .chain(content.iter().copied())
        .collect()
}

/// IPv4 without options.
pub(crate) fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    ipv4_with_options(protocol, &[], content)
}

/// IPv4 with options, whose length is a multiple of 4.
pub(crate) fn ipv4_with_options(protocol: u8, options: &[u8], content: &[u8]) -> Vec<u8> {
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
pub(crate) fn ipv4_fragment(protocol: u8, id: u16, offset: u16, more: bool, piece: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, piece);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
    packet
}

/// IPv6; `content` begins with the header that `next` names.
pub(crate) fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([V6_PAIR.0, V6_PAIR.1].concat());
    packet.extend(content);
    packet
}

/// An extension header of the common form, `units` times 8 bytes beyond the first 8.
pub(crate) fn extension(next: u8, units: u8) -> Vec<u8> {
    let mut header = vec![next, units];
    header.resize((usize::from(units) + 1) * 8, 0xaa);
    header
}

/// An authentication header, `words` times 4 bytes beyond the first 8.
pub(crate) fn authentication(next: u8, words: u8) -> Vec<u8> {
    let mut header = vec![next, words];
    header.resize((usize::from(words) + 2) * 4, 0xbb);
    header
}

/// The IPv6 fragment header; `offset` in bytes.
pub(crate) fn fragment_header(next: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let place = (offset & 0xfff8 | u16::from(more)).to_be_bytes();
    [&[next, 0][..], &place, &id.to_be_bytes()].concat()
}

/// A UDP datagram, its checksum left to the NIC.
pub(crate) fn udp(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = Vec::new();
    for field in [source_port, destination_port, len, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    datagram
}

//! Capture files for the tests, byte by byte: no writer of others, so that a misreading is not shared.

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        if self == Self::Little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    }
}

/// Header of a classic file. `magic` also says whether stamps are µs or ns.
pub(crate) fn pcap_header(order: Order, magic: u32, linktype: u32) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(order.u32(magic));
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    file.extend([0; 8]);
    file.extend(order.u32(65535));
    file.extend(order.u32(linktype));
    file
}

/// One packet of a classic file.
pub(crate) fn pcap_packet(order: Order, stamp: (u32, u32), data: &[u8], wire_len: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(order.u32(stamp.0));
    packet.extend(order.u32(stamp.1));
    packet.extend(order.u32(u32::try_from(data.len()).unwrap()));
    packet.extend(order.u32(wire_len));
    packet.extend(data);
    packet
}

/// A pcapng block around `content`, which is padded.
pub(crate) fn block(order: Order, kind: u32, content: &[u8]) -> Vec<u8> {
    let padding = content.len().next_multiple_of(4) - content.len();
    let len = order.u32(u32::try_from(content.len() + padding + 12).unwrap());
    [&order.u32(kind)[..], &len, content, &vec![0; padding], &len].concat()
}

/// A section header, of unknown section length.
pub(crate) fn section(order: Order) -> Vec<u8> {
    let content = [
        &order.u32(0x1a2b_3c4d)[..],
        &order.u16(1),
        &order.u16(0),
        &[0xff; 8],
    ]
    .concat();
    block(order, 0x0a0d_0d0a, &content)
}

/// An option of a pcapng block.
pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let padding = value.len().next_multiple_of(4) - value.len();
    let len = order.u16(u16::try_from(value.len()).unwrap());
    [&order.u16(code)[..], &len, value, &vec![0; padding]].concat()
}

/// An interface description with the given options.
pub(crate) fn interface(order: Order, linktype: u16, snap_len: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let options = if options.is_empty() {
        Vec::new()
    } else {
        [options.concat(), vec![0; 4]].concat()
    };
    let content = [&order.u16(linktype)[..], &[0, 0], &order.u32(snap_len), &options].concat();
    block(order, 1, &content)
}

/// An Enhanced Packet Block (6) or, with `kind` 2, an obsolete Packet Block.
pub(crate) fn stamped(
    order: Order,
    kind: u32,
    interface: u16,
    ticks: u64,
    data: &[u8],
    wire_len: u32,
) -> Vec<u8> {
    let mut content = Vec::new();
    if kind == 2 {
        content.extend(order.u16(interface));
        content.extend(order.u16(7));
    } else {
        content.extend(order.u32(u32::from(interface)));
    }
    content.extend(order.u32(u32::try_from(ticks >> 32).unwrap()));
    content.extend(order.u32(u32::try_from(ticks & 0xffff_ffff).unwrap()));
    content.extend(order.u32(u32::try_from(data.len()).unwrap()));
    content.extend(order.u32(wire_len));
    content.extend(data);
    block(order, kind, &content)
}

/// A Simple Packet Block.
pub(crate) fn simple(order: Order, data: &[u8], wire_len: u32) -> Vec<u8> {
    block(order, 3, &[&order.u32(wire_len)[..], data].concat())
}

//! The classic pcap format: one header, then packets with µs or ns stamps, in either byte order.

use pcap_parser::nom;
use pcap_parser::pcap::{
    LegacyPcapBlock, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};
use ringtap_record::Time;

use super::super::Link;
use super::super::chunk::Place;
use super::{Damage, PACKET_BYTES_MAX, Step};

/// What the file's header says.
pub(super) struct Classic {
    layout: Layout,
    nanoseconds: bool,
    link: Link,
}

/// How packet headers are laid out.
#[derive(Clone, Copy)]
enum Layout {
    LittleEndian,
    BigEndian,
    /// Alexey Kuznetzov's patched libpcap: 8 more bytes for each packet.
    Modified,
}

impl Layout {
    fn packet_header_len(self) -> usize {
        if matches!(self, Self::Modified) { 24 } else { 16 }
    }
}

impl Classic {
    /// Whether a file which begins with `magic` is of this format.
    pub(super) fn is_magic(magic: [u8; 4]) -> bool {
        matches!(
            u32::from_le_bytes(magic),
            0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0xa1b2_cd34
        )
    }

    /// From the file's header.
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        let (_, header) = parse_pcap_header(head).ok()?;
        let layout = match (header.is_modified_format(), header.is_bigendian()) {
            (true, _) => Layout::Modified,
            (false, true) => Layout::BigEndian,
            (false, false) => Layout::LittleEndian,
        };
        // The upper half of the field holds the length of the frame check sequence, if any.
        let [low, high, ..] = header.network.0.to_le_bytes();
        let link = Link::from_linktype(u16::from_le_bytes([low, high]));
        Some(Self {
            layout,
            nanoseconds: header.is_nanosecond_precision(),
            link,
        })
    }

    /// The format's name, for people.
    pub(super) fn name(&self) -> &'static str {
        match (self.layout, self.nanoseconds) {
            (Layout::LittleEndian, false) => "pcap",
            (Layout::LittleEndian, true) => "pcap, nanoseconds",
            (Layout::BigEndian, false) => "pcap, big-endian",
            (Layout::BigEndian, true) => "pcap, nanoseconds, big-endian",
            (Layout::Modified, _) => "pcap, modified",
        }
    }

    /// What stands at the front of `input`.
    #[inline]
    pub(super) fn step(&self, input: &[u8]) -> Step {
        let parsed = match self.layout {
            Layout::LittleEndian => parse_pcap_frame(input),
            Layout::BigEndian => parse_pcap_frame_be(input),
            Layout::Modified => parse_pcap_frame_modified(input),
        };
        match parsed {
            Ok((rest, packet)) => self.packet(input.len() - rest.len(), &packet),
            Err(nom::Err::Incomplete(nom::Needed::Size(missing))) => {
                let wanted = input.len().saturating_add(missing.get());
                match wanted.saturating_sub(self.layout.packet_header_len()) {
                    claimed if claimed > PACKET_BYTES_MAX => too_long(claimed),
                    _ => Step::More(wanted),
                }
            }
            Err(_) => Step::Damaged(Damage::BlockContent),
        }
    }

    #[inline]
    fn packet(&self, block_len: usize, packet: &LegacyPcapBlock<'_>) -> Step {
        if packet.data.len() > PACKET_BYTES_MAX {
            return too_long(packet.data.len());
        }
        let fraction_us = i64::from(if self.nanoseconds {
            packet.ts_usec / 1000
        } else {
            packet.ts_usec
        });
        let time = Time::from_micros(i64::from(packet.ts_sec) * 1_000_000 + fraction_us);
        // Files of before format 2.4 have the two lengths swapped now and then: the wire is the longer.
        let wire_len = packet.origlen.max(packet.caplen);
        let place = Place {
            time,
            link: self.link,
            at: 0,
            len: packet.caplen,
            wire_len,
        };
        Step::Packet {
            block_len,
            at: block_len - packet.data.len(),
            place,
        }
    }
}

fn too_long(claimed: usize) -> Step {
    Step::Damaged(Damage::PacketTooLong {
        claimed: claimed as u64,
    })
}

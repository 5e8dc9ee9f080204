//! pcapng: sections of blocks, each section with its own byte order and interfaces.
//!
//! Section headers and interface descriptions are read by `pcap-parser`'s typed functions. Packet blocks
//! are taken from its generic block instead: the typed ones gather the options of each packet in a vector,
//! and there is no allocation per packet here. Two options of an interface are read here as well:
//! `if_tsoffset`, which the crate (0.17) takes as little-endian always, and powers of two in
//! `if_tsresol`, which it refuses.

use pcap_parser::pcapng::{
    BOM_MAGIC, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, SHB_MAGIC, SPB_MAGIC,
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le, parse_sectionheaderblock,
    parse_unknownblock_be, parse_unknownblock_le,
};
use ringtap_record::Time;

use super::super::Link;
use super::super::chunk::Place;
use super::{BLOCK_BYTES_MAX, Damage, INTERFACES_MAX, PACKET_BYTES_MAX, SKIPPED_BLOCK_BYTES_MAX, Step};

/// The Packet Block of early pcapng, obsoleted by the Enhanced Packet Block.
const OBSOLETE_PACKET_MAGIC: u32 = 2;
/// Type and length before a block's content.
const BLOCK_HEADER_LEN: usize = 8;
/// Type and both lengths: the smallest block.
const BLOCK_FRAME_LEN: usize = 12;

/// The section that is being read.
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the last packet: what a Simple Packet Block, which has none, is given.
    last_time: Time,
}

/// What matters of an interface description.
#[derive(Clone, Copy)]
struct Interface {
    link: Link,
    snap_len: u32,
    resolution: Resolution,
    /// Added to each stamp.
    offset_us: i64,
}

/// How many ticks of a packet's stamp make a microsecond, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// Microseconds per tick.
    Multiply(u64),
    /// Ticks per microsecond.
    Divide(u64),
    /// Ticks per second, as a power of two.
    Shift(u32),
}

impl Section {
    /// Whether a file which begins with `magic` is of this format.
    pub(super) fn is_magic(magic: [u8; 4]) -> bool {
        u32::from_le_bytes(magic) == SHB_MAGIC
    }

    /// Before the first section header.
    pub(super) fn new() -> Self {
        Self {
            big_endian: false,
            interfaces: Vec::new(),
            last_time: Time::default(),
        }
    }

    /// What stands at the front of `input`.
    #[inline]
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        if input.first_chunk().is_some_and(|magic| Self::is_magic(*magic)) {
            return self.section_header(input);
        }
        let (Some(kind), Some(len)) = (self.u32_at(input, 0), self.u32_at(input, 4)) else {
            return Step::More(BLOCK_FRAME_LEN);
        };
        if let Some(step) = bounded(kind, len, input.len()) {
            return step;
        }
        let parsed = if self.big_endian {
            parse_unknownblock_be(input)
        } else {
            parse_unknownblock_le(input)
        };
        match parsed {
            Ok((rest, block)) if block.block_len1 == block.block_len2 => {
                let whole = input.get(..input.len() - rest.len()).unwrap_or_default();
                self.block(kind, whole, block.data)
            }
            _ => Step::Damaged(Damage::BlockLength),
        }
    }

    /// A packet or interface description which is there as a whole.
    #[inline]
    fn block(&mut self, kind: u32, whole: &[u8], content: &[u8]) -> Step {
        let packet = match kind {
            EPB_MAGIC => self.enhanced_packet(content),
            SPB_MAGIC => self.simple_packet(content),
            OBSOLETE_PACKET_MAGIC => self.obsolete_packet(content),
            _ => return self.interface_description(whole),
        };
        match packet {
            Ok((at, place)) => {
                self.last_time = place.time;
                Step::Packet {
                    block_len: whole.len(),
                    at: BLOCK_HEADER_LEN + at,
                    place,
                }
            }
            Err(damage) => Step::Damaged(damage),
        }
    }

    fn section_header(&mut self, input: &[u8]) -> Step {
        let (Some(len), Some(order)) = (
            input.get(4..).and_then(<[u8]>::first_chunk),
            input.get(8..).and_then(<[u8]>::first_chunk),
        ) else {
            return Step::More(BLOCK_FRAME_LEN);
        };
        let len = match u32::from_be_bytes(*order) {
            BOM_MAGIC => u32::from_be_bytes(*len),
            order if order.swap_bytes() == BOM_MAGIC => u32::from_le_bytes(*len),
            _ => return Step::Damaged(Damage::BlockContent),
        };
        if let Some(step) = bounded(SHB_MAGIC, len, input.len()) {
            return step;
        }
        match parse_sectionheaderblock(input) {
            Ok((_, header)) if header.block_len1 != header.block_len2 => Step::Damaged(Damage::BlockLength),
            Ok((rest, header)) => {
                self.big_endian = header.big_endian();
                self.interfaces.clear();
                Step::Skip(input.len() - rest.len())
            }
            Err(_) => Step::Damaged(Damage::BlockContent),
        }
    }

    fn interface_description(&mut self, whole: &[u8]) -> Step {
        let parsed = if self.big_endian {
            parse_interfacedescriptionblock_be(whole)
        } else {
            parse_interfacedescriptionblock_le(whole)
        };
        let Ok((_, description)) = parsed else {
            return Step::Damaged(Damage::BlockContent);
        };
        if self.interfaces.len() == INTERFACES_MAX {
            return Step::Damaged(Damage::TooManyInterfaces);
        }
        self.interfaces
            .push(Interface::new(&description, self.big_endian));
        Step::Skip(whole.len())
    }

    /// Interface, stamp (two words, the upper first), captured length, length, data.
    #[inline]
    fn enhanced_packet(&self, content: &[u8]) -> Result<(usize, Place), Damage> {
        let interface = self.u32_at(content, 0).ok_or(Damage::BlockContent)?;
        self.stamped_packet(interface, content)
    }

    /// As the enhanced block, but half of the first word counts drops.
    fn obsolete_packet(&self, content: &[u8]) -> Result<(usize, Place), Damage> {
        let number = content.first_chunk::<2>().ok_or(Damage::BlockContent)?;
        let number = if self.big_endian {
            u16::from_be_bytes(*number)
        } else {
            u16::from_le_bytes(*number)
        };
        self.stamped_packet(u32::from(number), content)
    }

    #[inline]
    fn stamped_packet(&self, number: u32, content: &[u8]) -> Result<(usize, Place), Damage> {
        const DATA_AT: usize = 20;
        let word = |at| self.u32_at(content, at).ok_or(Damage::BlockContent);
        let interface = self.interface(number)?;
        let ticks = u64::from(word(4)?) << 32 | u64::from(word(8)?);
        let (captured, wire_len) = (word(12)?, word(16)?);
        let place = interface.place(interface.time(ticks), captured, wire_len)?;
        if captured as usize > content.len() - DATA_AT {
            return Err(Damage::BlockContent);
        }
        Ok((DATA_AT, place))
    }

    /// Length and data; always of the first interface, and without a stamp: it gets the last one seen.
    fn simple_packet(&self, content: &[u8]) -> Result<(usize, Place), Damage> {
        const DATA_AT: usize = 4;
        let wire_len = self.u32_at(content, 0).ok_or(Damage::BlockContent)?;
        let interface = self.interface(0)?;
        // The captured length is not said. A snap length of 0 is none.
        let limit = if interface.snap_len == 0 {
            u32::MAX
        } else {
            interface.snap_len
        };
        let there = u32::try_from(content.len() - DATA_AT).map_err(|_| Damage::BlockContent)?;
        let captured = wire_len.min(limit).min(there);
        Ok((DATA_AT, interface.place(self.last_time, captured, wire_len)?))
    }

    #[inline]
    fn interface(&self, number: u32) -> Result<&Interface, Damage> {
        self.interfaces
            .get(number as usize)
            .ok_or(Damage::UnknownInterface { interface: number })
    }

    /// The word at `at` in the section's byte order.
    #[inline]
    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u32::from_be_bytes(*word)
        } else {
            u32::from_le_bytes(*word)
        })
    }
}

/// What follows from a block's kind and length alone, before anything is read or kept for it: `None` if it
/// has to be looked into and is there as a whole. A block of no interest is passed over by its first
/// length; whether the second agrees is not asked, for it may lie far beyond what was read.
#[inline]
fn bounded(kind: u32, len: u32, there: usize) -> Option<Step> {
    let looked_into = matches!(
        kind,
        EPB_MAGIC | SPB_MAGIC | OBSOLETE_PACKET_MAGIC | IDB_MAGIC | SHB_MAGIC
    );
    let max = if looked_into {
        BLOCK_BYTES_MAX
    } else {
        SKIPPED_BLOCK_BYTES_MAX
    };
    match len as usize {
        short if short < BLOCK_FRAME_LEN || short % 4 != 0 => Some(Step::Damaged(Damage::BlockLength)),
        long if long > max => Some(Step::Damaged(Damage::BlockTooLong { claimed: long as u64 })),
        len if !looked_into => Some(Step::Skip(len)),
        len if len > there => Some(Step::More(len)),
        _ => None,
    }
}

impl Interface {
    fn new(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let [low, high, ..] = description.linktype.0.to_le_bytes();
        let mut resolution = Resolution::DEFAULT;
        let mut offset_s = 0;
        for option in &description.options {
            match (option.code, option.as_bytes()) {
                (OptionCode::EndOfOpt, _) => break,
                (OptionCode::IfTsresol, Ok(&[code])) => resolution = Resolution::from_option(code),
                (OptionCode::IfTsoffset, Ok(value)) => {
                    offset_s = value.try_into().map_or(0, |value| {
                        if big_endian {
                            i64::from_be_bytes(value)
                        } else {
                            i64::from_le_bytes(value)
                        }
                    });
                }
                _ => {}
            }
        }
        Self {
            link: Link::from_linktype(u16::from_le_bytes([low, high])),
            snap_len: description.snaplen,
            resolution,
            offset_us: offset_s.saturating_mul(1_000_000),
        }
    }

    #[inline]
    fn time(&self, ticks: u64) -> Time {
        let us = i64::try_from(self.resolution.micros(ticks)).unwrap_or(i64::MAX);
        Time::from_micros(us.saturating_add(self.offset_us))
    }

    #[inline]
    fn place(&self, time: Time, captured: u32, wire_len: u32) -> Result<Place, Damage> {
        if captured as usize > PACKET_BYTES_MAX {
            return Err(Damage::PacketTooLong {
                claimed: u64::from(captured),
            });
        }
        Ok(Place {
            time,
            link: self.link,
            at: 0,
            len: captured,
            wire_len: wire_len.max(captured),
        })
    }
}

impl Resolution {
    /// Microseconds.
    const DEFAULT: Self = Self::Multiply(1);

    /// `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set. What does not fit 64 bits
    /// gives ticks too short to matter: all stamps are 0.
    fn from_option(code: u8) -> Self {
        let exponent = u32::from(code & 0x7f);
        match (code & 0x80 != 0, exponent) {
            (true, exponent) => Self::Shift(exponent),
            (false, 0..=6) => Self::Multiply(10_u64.pow(6 - exponent)),
            (false, _) => 10_u64
                .checked_pow(exponent - 6)
                .map_or(Self::Shift(u32::MAX), Self::Divide),
        }
    }

    #[inline]
    fn micros(self, ticks: u64) -> u64 {
        match self {
            Self::Multiply(factor) => ticks.saturating_mul(factor),
            Self::Divide(divisor) => ticks / divisor,
            Self::Shift(bits) => {
                let us = (u128::from(ticks) * 1_000_000).checked_shr(bits).unwrap_or(0);
                u64::try_from(us).unwrap_or(u64::MAX)
            }
        }
    }
}

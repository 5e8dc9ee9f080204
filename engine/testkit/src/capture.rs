//! Capture files: pcap in its four kinds, and pcapng.

use std::io::{self, Write};

use ringtap_record::Time;

use crate::frame::{self, Frame};
use crate::wire::Wire;

/// Kind of capture file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// pcap, microseconds, little endian: what most tools write.
    #[default]
    Pcap,
    /// pcap, nanoseconds, little endian.
    PcapNanos,
    /// pcap, microseconds, big endian.
    PcapBigEndian,
    /// pcap, nanoseconds, big endian.
    PcapNanosBigEndian,
    /// pcapng with one section and one interface.
    PcapNg,
}

impl Format {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Pcap,
        Self::PcapNanos,
        Self::PcapBigEndian,
        Self::PcapNanosBigEndian,
        Self::PcapNg,
    ];
}

const LINKTYPE_ETHERNET: u16 = 1;
const SNAPLEN_BYTES: u32 = 262_144;

/// A capture file with the frames of all messages, ordered by time.
#[must_use]
pub fn capture(wires: &[Wire], format: Format) -> Vec<u8> {
    of_frames(&frame::frames(wires), format)
}

/// A capture file with these frames.
pub(crate) fn of_frames(frames: &[Frame], format: Format) -> Vec<u8> {
    match format {
        Format::Pcap => pcap(frames, Bytes { big_endian: false }, false),
        Format::PcapNanos => pcap(frames, Bytes { big_endian: false }, true),
        Format::PcapBigEndian => pcap(frames, Bytes { big_endian: true }, false),
        Format::PcapNanosBigEndian => pcap(frames, Bytes { big_endian: true }, true),
        Format::PcapNg => pcapng(frames),
    }
}

/// Byte order of a file.
#[derive(Clone, Copy)]
struct Bytes {
    big_endian: bool,
}

impl Bytes {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }
}

fn pcap(frames: &[Frame], order: Bytes, nanos: bool) -> Vec<u8> {
    let mut file = pcap_head(order, nanos);
    for frame in frames {
        file.extend(pcap_record(frame, order, nanos));
    }
    file
}

fn pcap_head(order: Bytes, nanos: bool) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(order.u32(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    head.extend(order.u16(2));
    head.extend(order.u16(4));
    head.extend([0; 8]);
    head.extend(order.u32(SNAPLEN_BYTES));
    head.extend(order.u32(u32::from(LINKTYPE_ETHERNET)));
    head
}

fn pcap_record(frame: &Frame, order: Bytes, nanos: bool) -> Vec<u8> {
    let mut record = Vec::with_capacity(16 + frame.bytes.len());
    let us = frame.time.as_micros();
    let fraction = us.rem_euclid(1_000_000) as u32;
    record.extend(order.u32(us.div_euclid(1_000_000) as u32));
    record.extend(order.u32(if nanos { fraction * 1_000 } else { fraction }));
    record.extend(order.u32(frame.bytes.len() as u32));
    record.extend(order.u32(frame.bytes.len() as u32));
    record.extend(&frame.bytes);
    record
}

/// A pcap file (microseconds, little endian) that is written message by message.
pub struct PcapWriter<W: Write> {
    out: W,
    frames: u64,
}

impl<W: Write> PcapWriter<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&pcap_head(Bytes { big_endian: false }, false))?;
        Ok(Self { out, frames: 0 })
    }

    /// Adds the frames of one message.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write(&mut self, wire: &Wire) -> io::Result<()> {
        for frame in frame::frames_by_name(wire) {
            self.write_frame(frame)?;
        }
        Ok(())
    }

    /// Adds an Ethernet frame as it is.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write_octets(&mut self, time: Time, octets: &[u8]) -> io::Result<()> {
        self.write_frame(Frame {
            time,
            bytes: octets.to_vec(),
        })
    }

    fn write_frame(&mut self, frame: Frame) -> io::Result<()> {
        self.frames += 1;
        self.out
            .write_all(&pcap_record(&frame, Bytes { big_endian: false }, false))
    }

    /// Ends the file; gives the number of frames.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.frames)
    }
}

fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let order = Bytes { big_endian: false };
    let mut section = Vec::new();
    section.extend(order.u32(0x1a2b_3c4d));
    section.extend(order.u16(1));
    section.extend(order.u16(0));
    section.extend(u64::MAX.to_le_bytes());
    let mut interface = Vec::new();
    interface.extend(order.u16(LINKTYPE_ETHERNET));
    interface.extend(order.u16(0));
    interface.extend(order.u32(SNAPLEN_BYTES));

    let mut file = block(0x0a0d_0d0a, &section);
    file.extend(block(1, &interface));
    for frame in frames {
        let us = frame.time.as_micros() as u64;
        let mut packet = Vec::new();
        packet.extend(order.u32(0));
        packet.extend(order.u32((us >> 32) as u32));
        packet.extend(order.u32(us as u32));
        packet.extend(order.u32(frame.bytes.len() as u32));
        packet.extend(order.u32(frame.bytes.len() as u32));
        packet.extend(&frame.bytes);
        packet.resize(packet.len().next_multiple_of(4), 0);
        file.extend(block(6, &packet));
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a file whose records do not end where the file ends, or a lost frame.
    #[test]
    fn records_fill_the_file() {
        let wires = crate::messages(&crate::scenario("S01").unwrap().cases()[0]);
        for (format, big_endian) in [(Format::Pcap, false), (Format::PcapNanosBigEndian, true)] {
            let file = capture(&wires, format);
            let word = |at: usize| {
                let word: [u8; 4] = file[at..at + 4].try_into().unwrap();
                if big_endian {
                    u32::from_be_bytes(word)
                } else {
                    u32::from_le_bytes(word)
                }
            };
            let (mut at, mut records) = (24, 0);
            while at < file.len() {
                assert!(word(at) >= 1_714_962_221);
                at += 16 + word(at + 8) as usize;
                records += 1;
            }
            assert_eq!((at, records), (file.len(), wires.len()));
        }
    }

    /// Catches a pcapng block whose two lengths differ or are not a multiple of four.
    #[test]
    fn pcapng_blocks_close() {
        let wires = crate::messages(&crate::scenario("S02").unwrap().cases()[0]);
        let file = capture(&wires, Format::PcapNg);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (mut at, mut blocks) = (0, 0);
        while at < file.len() {
            let length = word(at + 4);
            assert_eq!((length % 4, word(at + length - 4)), (0, length));
            at += length;
            blocks += 1;
        }
        assert_eq!(blocks, wires.len() + 2);
    }
}

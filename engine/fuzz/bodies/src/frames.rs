//! How a sequence of frames is written as octets: two of length, one of link type, one of time, then the frame.

use ringtap::capture::{Frame, Link};
use ringtap_record::Time;

/// Link types that occur, by the octet's lowest bits.
const LINKS: [u16; 8] = [1, 113, 276, 101, 228, 229, 0, 108];

/// Octets before each frame.
const HEAD: usize = 4;

/// The frames, in order; a last one that is cut is as short as what is there.
pub(crate) fn read(mut data: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut time = Time::from_micros(1_714_962_221_000_000);
    while let Some((&[high, low, link, pause], rest)) = data.split_first_chunk::<HEAD>() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (bytes, behind) = rest.split_at(len);
        data = behind;
        time = time.plus_ms(i64::from(pause) * i64::from(pause));
        let linktype = LINKS.get(usize::from(link & 7)).copied().unwrap_or(1);
        frames.push(Frame {
            time,
            link: Link::from_linktype(linktype),
            bytes,
            wire_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        });
    }
    frames
}

/// Frames of Ethernet in that form, one millisecond apart.
pub(crate) fn write<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut data = Vec::new();
    for frame in frames {
        let len = u16::try_from(frame.len()).unwrap_or(u16::MAX);
        data.extend(len.to_be_bytes());
        data.extend([0, 1]);
        data.extend(frame.iter().take(usize::from(len)));
    }
    data
}

/// A TCP segment in IPv4 in an Ethernet frame, from one SIP port to another.
pub(crate) fn tcp(sequence: u32, flags: u8, octets: &[u8]) -> Vec<u8> {
    let len = u16::try_from(40 + octets.len()).unwrap_or(u16::MAX);
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 20, 0, 1, 10, 30, 0, 1]);
    frame.extend(5060_u16.to_be_bytes().repeat(2));
    frame.extend(sequence.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(octets);
    frame
}

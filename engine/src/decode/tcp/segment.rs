//! One TCP segment as the streams take it.

use std::net::SocketAddr;

use ringtap_classify::{IpSpan, IpVersion};
use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::{Around, Network, transport};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Who sends.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The network in which these addresses are valid.
    pub network: Network,
}

/// One segment, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// When it was captured.
    pub time: Time,
    /// The stream that it belongs to.
    pub flow: Flow,
    /// The sequence number of its first octet (of SYN, if it has one).
    pub sequence: u32,
    /// SYN, FIN and so on, as the header has them (RFC 9293 §3.1).
    pub flags: u8,
    /// How much it carried on the wire, in octets.
    pub len: usize,
    /// As much of that as was captured.
    pub octets: &'a [u8],
}

/// Flags of the header (RFC 9293 §3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
/// The shortest header.
const HEADER_BYTES: usize = 20;

impl<'a> Segment<'a> {
    /// Opens a stream.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.flags & SYN != 0
    }

    /// Ends a stream.
    #[must_use]
    pub const fn is_fin(&self) -> bool {
        self.flags & FIN != 0
    }

    /// Breaks a connection off.
    #[must_use]
    pub const fn is_rst(&self) -> bool {
        self.flags & RST != 0
    }

    /// The sequence number of the first octet that it carries: SYN counts as one before that (RFC 9293 §3.4).
    #[must_use]
    pub fn first(&self) -> u32 {
        self.sequence.wrapping_add(u32::from(self.is_syn()))
    }

    /// The sequence number behind what it carries.
    #[must_use]
    pub fn behind(&self) -> u32 {
        self.first()
            .wrapping_add(u32::try_from(self.len).unwrap_or_default())
    }

    /// The sequence number behind what was captured of it.
    #[must_use]
    pub fn behind_octets(&self) -> u32 {
        self.first()
            .wrapping_add(u32::try_from(self.octets.len()).unwrap_or_default())
    }

    /// The segment that the walk found in `frame`; `None` if its header contradicts itself or was cut.
    pub(in crate::decode) fn read(
        frame: &Frame<'a>,
        around: Around,
        segment: &ringtap_classify::Segment,
    ) -> Option<Self> {
        let (source, destination, bytes) = transport(frame, segment)?;
        let span = segment.segment;
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
        let [_, _, _, _, s0, s1, s2, s3, _, _, _, _, offset, flags, ..] = header;
        let header_bytes = usize::from(offset >> 4) * 4;
        // What is whole says by itself how long it is: in ESP the IP header counts what protects the segment as well.
        let on_wire = span.cut.then(|| wire_len(frame.bytes, segment)).flatten();
        let len = on_wire
            .unwrap_or(span.len)
            .max(span.len)
            .checked_sub(header_bytes)?;
        if header_bytes < HEADER_BYTES {
            return None;
        }
        Some(Self {
            time: frame.time,
            flow: Flow {
                source,
                destination,
                network: around.network_of(frame.link, segment.vlans),
            },
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            flags,
            len,
            // Options may have been cut as well: then nothing is there of what it carried.
            octets: bytes.get(header_bytes..).unwrap_or_default(),
        })
    }
}

/// How long a segment that was cut was on the wire, its header included, by the IP header; `None` if that does not say (offloaded or
/// jumbo packets: what was captured is all there is).
fn wire_len(bytes: &[u8], segment: &ringtap_classify::Segment) -> Option<usize> {
    let IpSpan {
        version, source_at, ..
    } = segment.ip;
    let at = segment.segment.at;
    let field = |at: usize| {
        let octets: [u8; 2] = *bytes.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(octets))).filter(|len| *len > 0)
    };
    match version {
        // Total length, of header and all (RFC 791 §3.1).
        IpVersion::V4 => {
            let header_at = source_at.checked_sub(12)?;
            (header_at + field(header_at + 2)?).checked_sub(at)
        }
        // What follows the fixed header, extension headers included (RFC 8200 §3).
        IpVersion::V6 => {
            let header_at = source_at.checked_sub(8)?;
            (header_at + 40 + field(header_at + 4)?).checked_sub(at)
        }
    }
}

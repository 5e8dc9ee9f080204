//! One TCP segment as the streams take it.

use std::net::SocketAddr;

use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::{Around, Network, addresses};

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

impl<'a> Segment<'a> {
    /// The segment that the walk found in `frame`; `None` if its header contradicts itself or was cut.
    pub(in crate::decode) fn read(
        frame: &Frame<'a>,
        around: Around,
        segment: &ringtap_classify::Segment,
    ) -> Option<Self> {
        let (source, destination) = addresses(
            frame.bytes,
            segment.ip,
            segment.source_port,
            segment.destination_port,
        )?;
        let span = segment.segment;
        let bytes = frame.bytes.get(span.at..span.at + span.len)?;
        let header: [u8; 20] = *bytes.first_chunk()?;
        let [_, _, _, _, s0, s1, s2, s3, _, _, _, _, offset, flags, ..] = header;
        let octets = bytes.get(usize::from(offset >> 4).max(5) * 4..)?;
        Some(Self {
            time: frame.time,
            flow: Flow {
                source,
                destination,
                network: around.network_of(frame.link, segment.vlans),
            },
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            flags,
            len: octets.len(),
            octets,
        })
    }
}

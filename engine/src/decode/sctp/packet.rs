//! One SCTP packet as the associations take it.

use std::net::SocketAddr;

use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::{Around, Network, addresses};

/// One packet, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Time,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The network in which these addresses are valid.
    pub network: Network,
    /// The verification tag of the association's receiver.
    pub tag: u32,
    /// The chunks, as far as they were captured.
    pub chunks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The packet that the walk found in `frame`; `None` if its header was cut.
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
        let ([_, _, _, _, t0, t1, t2, t3, _, _, _, _], chunks) = bytes.split_first_chunk::<12>()?;
        Some(Self {
            time: frame.time,
            source,
            destination,
            network: around.network_of(frame.link, segment.vlans),
            tag: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            chunks,
        })
    }
}

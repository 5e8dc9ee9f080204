//! From a frame to what the SIP parser reads.
//!
//! Owns the link headers that only capture files have, the choice by port and the counters. The walk
//! through VLAN tags, IP and UDP is `ringtap-classify`'s, the same code that the XDP program runs. What makes sense only
//! with other frames is told from the rest here, and kept by others: fragments by [`reassembly`], TCP segments by [`tcp`],
//! SCTP packets by [`sctp`].

#[macro_use]
mod tally;

mod counters;
mod link;
mod network;
pub mod reassembly;
pub mod sctp;
pub mod tcp;
#[cfg(test)]
mod tests;

pub use counters::DecodeCounters;
pub use network::{Around, Network};
pub use ringtap_classify::{PortSet, Reason};

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ringtap_classify::{IpSpan, IpVersion, Udp, Walk};
use ringtap_record::Time;

use crate::capture::Frame;
use reassembly::{Piece, Reassembler};

/// What the SIP parser is given: the content of a datagram, or one message out of a stream or an association. Borrowed
/// from its frame, or from whoever put it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// When its first octet was captured.
    pub time: Time,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// As much of it as was captured.
    pub octets: &'a [u8],
    /// It was longer on the wire.
    pub truncated: bool,
}

/// What a frame is to who looks for SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Something to be parsed.
    Payload(Payload<'a>),
    /// An IP fragment: what is in it shows when the others are there, too.
    Fragment(Piece<'a>),
    /// A TCP segment from or to a SIP port: messages do not keep to segments.
    Tcp(tcp::Segment<'a>),
    /// An SCTP packet from or to a SIP port: messages do not keep to packets.
    Sctp(sctp::Packet<'a>),
    /// Nothing that is wanted.
    Nothing,
}

impl Decoded<'_> {
    /// Whether it makes sense only together with other frames.
    #[inline]
    #[must_use]
    pub const fn is_aside(&self) -> bool {
        matches!(self, Self::Fragment(_) | Self::Tcp(_) | Self::Sctp(_))
    }
}

/// Finds SIP datagrams in frames. Never allocates, and never looks at a checksum: offload makes them
/// wrong on a mirror (semantics.md §5).
#[derive(Clone, Debug)]
pub struct Decoder {
    ports: PortSet,
    reassembly: reassembly::Limits,
    tcp: tcp::Limits,
    sctp: sctp::Limits,
}

impl Decoder {
    /// A decoder which takes datagrams from or to one of `ports`.
    #[must_use]
    pub fn new(ports: PortSet) -> Self {
        Self {
            ports,
            reassembly: reassembly::Limits::default(),
            tcp: tcp::Limits::default(),
            sctp: sctp::Limits::default(),
        }
    }

    /// This decoder with other limits for fragments.
    #[must_use]
    pub fn with_reassembly(self, reassembly: reassembly::Limits) -> Self {
        Self { reassembly, ..self }
    }

    /// This decoder with other limits for TCP streams.
    #[must_use]
    pub fn with_tcp(self, tcp: tcp::Limits) -> Self {
        Self { tcp, ..self }
    }

    /// This decoder with other limits for SCTP associations.
    #[must_use]
    pub fn with_sctp(self, sctp: sctp::Limits) -> Self {
        Self { sctp, ..self }
    }

    /// What `frame` is. Each call counts the frame under exactly one reason.
    #[inline]
    pub fn sort<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Decoded<'a> {
        self.sort_within(frame, Around::default(), counters)
    }

    /// What `frame` is that was found within others. Counts as [`sort`](Self::sort) does.
    #[inline]
    pub fn sort_within<'a>(
        &self,
        frame: &Frame<'a>,
        around: Around,
        counters: &mut DecodeCounters,
    ) -> Decoded<'a> {
        let (decoded, reason) = self.look(frame, around);
        counters.count(
            reason,
            matches!(decoded, Decoded::Payload(Payload { truncated: true, .. })),
        );
        decoded
    }

    /// What `frame` is, and why. Counts nothing.
    #[inline]
    pub fn look<'a>(&self, frame: &Frame<'a>, around: Around) -> (Decoded<'a>, Reason) {
        let walk = link::walk(frame.link, frame.bytes);
        let is_sip = |port| self.ports.contains(port);
        let reason = walk.reason(is_sip);
        let decoded = match (&walk, reason) {
            (Walk::Udp(udp), Reason::Delivered) => datagram(frame, udp).map(Decoded::Payload),
            (Walk::Fragment(fragment), _) => Piece::read(frame, around, fragment).map(Decoded::Fragment),
            (Walk::Tcp(segment), _) if is_sip(segment.source_port) || is_sip(segment.destination_port) => {
                tcp::Segment::read(frame, around, segment).map(Decoded::Tcp)
            }
            (Walk::Sctp(segment), _) if is_sip(segment.source_port) || is_sip(segment.destination_port) => {
                sctp::Packet::read(frame, around, segment).map(Decoded::Sctp)
            }
            _ => None,
        };
        (decoded.unwrap_or(Decoded::Nothing), reason)
    }

    /// The payload of `frame`, if it holds a whole one that is wanted. Counts as [`sort`](Self::sort) does.
    #[inline]
    pub fn decode<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Option<Payload<'a>> {
        match self.sort(frame, counters) {
            Decoded::Payload(payload) => Some(payload),
            _ => None,
        }
    }

    /// What keeps the TCP streams in which this decoder finds segments.
    #[must_use]
    pub fn streams(&self) -> tcp::Streams {
        tcp::Streams::new(self.tcp)
    }

    /// What keeps the SCTP associations in which this decoder finds packets.
    #[must_use]
    pub fn associations(&self) -> sctp::Associations {
        sctp::Associations::new(self.sctp)
    }

    /// A reassembler for the fragments which this decoder finds: it wants what the decoder wants.
    #[must_use]
    pub fn reassembler(&self) -> Reassembler {
        Reassembler::new(self.ports.clone(), self.reassembly)
    }
}

#[inline]
fn datagram<'a>(frame: &Frame<'a>, udp: &Udp) -> Option<Payload<'a>> {
    let (source, destination) = addresses(frame.bytes, udp.ip, udp.source_port, udp.destination_port)?;
    let octets = frame
        .bytes
        .get(udp.payload.at..udp.payload.at + udp.payload.len)?;
    Some(Payload {
        time: frame.time,
        source,
        destination,
        octets,
        truncated: udp.payload.cut,
    })
}

#[inline]
fn addresses(
    bytes: &[u8],
    ip: IpSpan,
    source_port: u16,
    destination_port: u16,
) -> Option<(SocketAddr, SocketAddr)> {
    let IpSpan {
        version,
        source_at,
        destination_at,
    } = ip;
    let at = |at: usize, port| match version {
        IpVersion::V4 => {
            let octets: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), port)))
        }
        IpVersion::V6 => {
            let octets: [u8; 16] = *bytes.get(at..)?.first_chunk()?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(octets),
                port,
                0,
                0,
            )))
        }
    };
    Some((at(source_at, source_port)?, at(destination_at, destination_port)?))
}

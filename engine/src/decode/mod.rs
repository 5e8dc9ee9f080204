//! From a frame to the UDP payload on a SIP port.
//!
//! Owns the link headers that only capture files have, the choice by port and the counters. The walk
//! through VLAN tags, IP and UDP is `ringtap-classify`'s, the same code that the XDP program runs. Fragments
//! are told from the rest here and put together in [`reassembly`]. Tunnels, TCP and SCTP are recognised and
//! counted; they are not opened here.

mod counters;
mod link;
pub mod reassembly;
#[cfg(test)]
mod tests;

pub use counters::DecodeCounters;
pub use ringtap_classify::{PortSet, Reason};

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ringtap_classify::{IpSpan, IpVersion, Udp, Walk};
use ringtap_record::Time;

use crate::capture::Frame;
use reassembly::Reassembler;

/// The content of one UDP datagram from or to a SIP port, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it was captured.
    pub time: Time,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The payload, as much of it as was captured.
    pub payload: &'a [u8],
    /// The payload was longer on the wire.
    pub truncated: bool,
}

/// What a frame is to who looks for SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A datagram that is wanted.
    Datagram(Datagram<'a>),
    /// An IP fragment: what is in it shows when the others are there, too.
    Fragment,
    /// Nothing that is wanted.
    Nothing,
}

/// Finds SIP datagrams in frames. Never allocates, and never looks at a checksum: offload makes them
/// wrong on a mirror (semantics.md §5).
#[derive(Clone, Debug)]
pub struct Decoder {
    ports: PortSet,
    reassembly: reassembly::Limits,
}

impl Decoder {
    /// A decoder which takes datagrams from or to one of `ports`.
    #[must_use]
    pub fn new(ports: PortSet) -> Self {
        Self {
            ports,
            reassembly: reassembly::Limits::default(),
        }
    }

    /// This decoder with other limits for fragments.
    #[must_use]
    pub fn with_reassembly(self, reassembly: reassembly::Limits) -> Self {
        Self { reassembly, ..self }
    }

    /// What `frame` is. Each call counts the frame under exactly one reason.
    #[inline]
    pub fn sort<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Decoded<'a> {
        let walk = link::walk(frame.link, frame.bytes);
        let reason = walk.reason(|port| self.ports.contains(port));
        let decoded = match (&walk, reason) {
            (Walk::Udp(udp), Reason::Delivered) => {
                datagram(frame, udp).map_or(Decoded::Nothing, Decoded::Datagram)
            }
            (Walk::Fragment(_), _) => Decoded::Fragment,
            _ => Decoded::Nothing,
        };
        counters.count(
            reason,
            matches!(decoded, Decoded::Datagram(Datagram { truncated: true, .. })),
        );
        decoded
    }

    /// The datagram in `frame`, if it holds a whole one that is wanted. Counts as [`sort`](Self::sort) does.
    #[inline]
    pub fn decode<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Option<Datagram<'a>> {
        match self.sort(frame, counters) {
            Decoded::Datagram(datagram) => Some(datagram),
            Decoded::Fragment | Decoded::Nothing => None,
        }
    }

    /// A reassembler for the fragments which this decoder finds: it wants what the decoder wants.
    #[must_use]
    pub fn reassembler(&self) -> Reassembler {
        Reassembler::new(self.ports.clone(), self.reassembly)
    }
}

#[inline]
fn datagram<'a>(frame: &Frame<'a>, udp: &Udp) -> Option<Datagram<'a>> {
    let (source, destination) = addresses(frame.bytes, udp)?;
    let payload = frame
        .bytes
        .get(udp.payload.at..udp.payload.at + udp.payload.len)?;
    Some(Datagram {
        time: frame.time,
        source,
        destination,
        payload,
        truncated: udp.payload.cut,
    })
}

#[inline]
fn addresses(bytes: &[u8], udp: &Udp) -> Option<(SocketAddr, SocketAddr)> {
    let IpSpan {
        version,
        source_at,
        destination_at,
    } = udp.ip;
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
    Some((
        at(source_at, udp.source_port)?,
        at(destination_at, udp.destination_port)?,
    ))
}

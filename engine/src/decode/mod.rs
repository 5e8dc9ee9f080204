//! From a frame to the UDP payload on a SIP port.
//!
//! Owns the link headers that only capture files have, the choice by port and the counters. The walk
//! through VLAN tags, IP and UDP is `ringtap-classify`'s, the same code that the XDP program runs.
//! Fragments, tunnels, TCP and SCTP are recognised and counted; they are not opened here.

mod counters;
mod link;
#[cfg(test)]
mod tests;

pub use counters::DecodeCounters;
pub use ringtap_classify::{PortSet, Reason};

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ringtap_classify::{IpSpan, IpVersion, Udp, Walk};
use ringtap_record::Time;

use crate::capture::Frame;

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

/// Finds SIP datagrams in frames. Never allocates, and never looks at a checksum: offload makes them
/// wrong on a mirror (semantics.md §5).
#[derive(Clone, Debug)]
pub struct Decoder {
    ports: PortSet,
}

impl Decoder {
    /// A decoder which takes datagrams from or to one of `ports`.
    #[must_use]
    pub fn new(ports: PortSet) -> Self {
        Self { ports }
    }

    /// The datagram in `frame`, if it holds one that is wanted. Each call counts the frame under exactly
    /// one reason.
    #[inline]
    pub fn decode<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Option<Datagram<'a>> {
        let walk = link::walk(frame.link, frame.bytes);
        let reason = walk.reason(|port| self.ports.contains(port));
        let datagram = match (&walk, reason) {
            (Walk::Udp(udp), Reason::Delivered) => datagram(frame, udp),
            _ => None,
        };
        counters.count(reason, datagram.is_some_and(|datagram| datagram.truncated));
        datagram
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

//! From a frame to what the SIP parser reads.
//!
//! Owns the link headers that only capture files have, the choice by port and content, and the counters. The walk
//! through VLAN tags, IP and UDP is `ringtap-classify`'s, the same code that the XDP program runs; encapsulations are opened by
//! [`tunnel`], copies found by [`duplicates`]. What makes sense only with other frames is told from the rest here, and kept by
//! others: fragments by [`reassembly`], TCP segments by [`tcp`], SCTP packets by [`sctp`].

#[macro_use]
mod tally;

mod counters;
pub mod duplicates;
mod holes;
mod link;
mod network;
pub mod reassembly;
pub mod sctp;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod tunnel;

pub use counters::DecodeCounters;
pub use network::{Around, Network};
pub use ringtap_classify::{PortSet, Reason, Take, TunnelKind};

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use ringtap_classify::{self as classify, IpSpan, IpVersion, Octets as _, Segment, Udp, Walk};
use ringtap_record::Time;

use crate::capture::Frame;
use duplicates::Duplicates;
use reassembly::{Piece, Reassembler};
use tunnel::{Capsule, Closed, Inside, Layer, Layers, Opening, TunnelCounters};

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

/// What a frame is, and what it is counted as.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    decoded: Decoded<'a>,
    reason: Reason,
    /// The identification that the sender gave a datagram, by which copies of it are known; 0 if it gave none.
    id: u16,
}

/// Finds SIP datagrams in frames. Never allocates, and never looks at a checksum: offload makes them
/// wrong on a mirror (semantics.md §5).
#[derive(Clone, Debug)]
pub struct Decoder {
    ports: PortSet,
    take: Take,
    network: Arc<ringtap_config::Network>,
    duplicate_ms: u32,
    reassembly: reassembly::Limits,
    tcp: tcp::Limits,
    sctp: sctp::Limits,
}

impl Decoder {
    /// A decoder which takes datagrams from or to one of `ports`. The rest is as in a configuration that says nothing of it.
    #[must_use]
    pub fn new(ports: PortSet) -> Self {
        Self {
            ports,
            take: Take::ALL.without(Take::ESP | Take::CONTENT),
            network: Arc::default(),
            duplicate_ms: 5,
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

    /// This decoder, which looks for SIP in what `take` says: the same set that the XDP program is given.
    #[must_use]
    pub fn with_take(self, take: Take) -> Self {
        Self { take, ..self }
    }

    /// This decoder, which knows who is who: tunnels that phones send are not opened.
    #[must_use]
    pub fn with_network(self, network: ringtap_config::Network) -> Self {
        Self {
            network: Arc::new(network),
            ..self
        }
    }

    /// This decoder, whose workers drop copies within that time; 0 keeps them all.
    #[must_use]
    pub fn with_duplicates(self, duplicate_ms: u32) -> Self {
        Self { duplicate_ms, ..self }
    }

    /// What `frame` is. Each call counts the frame under exactly one reason.
    #[inline]
    pub fn sort<'a>(&self, frame: &Frame<'a>, counters: &mut DecodeCounters) -> Decoded<'a> {
        self.sort_within(frame, Around::default(), counters)
    }

    /// As [`sort`](Self::sort), but for copies of datagrams that `duplicates` remembers: they are counted as such, and nothing.
    #[inline]
    pub fn sort_once<'a>(
        &self,
        frame: &Frame<'a>,
        duplicates: &mut Duplicates,
        counters: &mut DecodeCounters,
    ) -> Decoded<'a> {
        let mut found = self.find(frame, Around::default(), &mut counters.tunnels);
        if let Decoded::Payload(payload) = &found.decoded
            && found.id != 0
            && duplicates.is_copy(found.id, payload)
        {
            found.decoded = Decoded::Nothing;
            found.reason = Reason::Duplicate;
        }
        count(&found, counters);
        found.decoded
    }

    /// Whether `frame` holds a copy of a datagram that `duplicates` remembers. Counts nothing.
    #[inline]
    pub(crate) fn is_copy(&self, frame: &Frame<'_>, duplicates: &mut Duplicates) -> bool {
        let found = self.find(frame, Around::default(), &mut TunnelCounters::default());
        match &found.decoded {
            Decoded::Payload(payload) => found.id != 0 && duplicates.is_copy(found.id, payload),
            _ => false,
        }
    }

    /// Counts `frame` as the copy that it was found to be.
    #[cold]
    pub(crate) fn count_copy(&self, frame: &Frame<'_>, counters: &mut DecodeCounters) {
        let mut found = self.find(frame, Around::default(), &mut counters.tunnels);
        found.reason = Reason::Duplicate;
        count(&found, counters);
    }

    /// What `frame` is that was found within others. Counts as [`sort`](Self::sort) does.
    #[inline]
    pub fn sort_within<'a>(
        &self,
        frame: &Frame<'a>,
        around: Around,
        counters: &mut DecodeCounters,
    ) -> Decoded<'a> {
        let found = self.find(frame, around, &mut counters.tunnels);
        count(&found, counters);
        found.decoded
    }

    /// What `frame` is, and why. Counts nothing.
    #[inline]
    pub fn look<'a>(&self, frame: &Frame<'a>, around: Around) -> (Decoded<'a>, Reason) {
        let found = self.find(frame, around, &mut TunnelCounters::default());
        (found.decoded, found.reason)
    }

    #[inline]
    fn find<'a>(&self, frame: &Frame<'a>, around: Around, tunnels: &mut TunnelCounters) -> Found<'a> {
        let walk = link::walk(frame.link, frame.bytes);
        // Nearly everything is this.
        if let Walk::Udp(udp) = &walk
            && (self.is_sip(udp.source_port) || self.is_sip(udp.destination_port))
        {
            return found(frame, udp);
        }
        self.find_within(frame, walk, around, tunnels)
    }

    /// What is in there, through all encapsulations that are switched on.
    #[inline(never)]
    fn find_within<'a>(
        &self,
        frame: &Frame<'a>,
        mut walk: Walk,
        around: Around,
        tunnels: &mut TunnelCounters,
    ) -> Found<'a> {
        let mut layers = Layers::new(around);
        // Ends where the innermost packet does; positions count from the beginning of the outermost.
        let mut frame = *frame;
        loop {
            let reason = classify::reason(frame.bytes, &walk, |port| self.is_sip(port), self.take);
            let Some(capsule) = self.capsule(&walk, reason) else {
                return self.plain(&frame, &walk, reason, &layers);
            };
            if layers.is_deepest() {
                return Found::nothing(Reason::TooDeep);
            }
            if self.is_from_phone(&frame, &capsule) {
                tunnels.count(capsule.kind, Opening::FromPhone);
                return Found::nothing(reason);
            }
            let opened = capsule.open(&frame, |port| self.is_sip(port));
            tunnels.count(
                capsule.kind,
                match opened {
                    Ok(_) => Opening::Opened,
                    Err(Closed::NothingInside) => Opening::Empty,
                    Err(Closed::Compressed) => Opening::Compressed,
                    Err(Closed::Malformed) => Opening::Malformed,
                },
            );
            match opened {
                Ok(Inside::Walked {
                    walk: inside,
                    end,
                    id,
                }) => {
                    layers.push(Layer::new(&capsule, id));
                    frame.bytes = frame.bytes.get(..end).unwrap_or(frame.bytes);
                    walk = inside;
                }
                Ok(Inside::Payload(payload)) => {
                    return Found {
                        decoded: Decoded::Payload(payload),
                        reason: Reason::Delivered,
                        id: 0,
                    };
                }
                Err(_) => return Found::nothing(reason),
            }
        }
    }

    /// What is no encapsulation, or one that is not opened.
    fn plain<'a>(&self, frame: &Frame<'a>, walk: &Walk, mut reason: Reason, layers: &Layers) -> Found<'a> {
        let on_sip_port = |segment: &Segment| segment.is_on(|port| self.is_sip(port));
        let decoded = match walk {
            Walk::Udp(udp) if reason == Reason::Delivered => return self.datagram(frame, udp),
            Walk::Fragment(fragment) => {
                Piece::read(frame, layers.around(frame), fragment).map(Decoded::Fragment)
            }
            Walk::Tcp(segment) | Walk::Sctp(segment) if on_sip_port(segment) => {
                let around = layers.around(frame);
                let decoded = match walk {
                    Walk::Tcp(_) => tcp::Segment::read(frame, around, segment).map(Decoded::Tcp),
                    _ => sctp::Packet::read(frame, around, segment).map(Decoded::Sctp),
                };
                if decoded.is_none() {
                    reason = if segment.segment.cut {
                        Reason::TooShort
                    } else {
                        Reason::BadHeader
                    };
                }
                decoded
            }
            _ => None,
        };
        Found {
            decoded: decoded.unwrap_or(Decoded::Nothing),
            reason,
            id: 0,
        }
    }

    /// The datagram, which is on a SIP port or begins like SIP at first sight.
    fn datagram<'a>(&self, frame: &Frame<'a>, udp: &Udp) -> Found<'a> {
        let found = found(frame, udp);
        match &found.decoded {
            Decoded::Payload(payload)
                if !self.is_sip(udp.source_port)
                    && !self.is_sip(udp.destination_port)
                    && !ringtap_sip::is_sip_start(payload.octets) =>
            {
                Found::nothing(Reason::NotSipPort)
            }
            _ => found,
        }
    }

    /// Whether a phone sent it: anybody in the access network could else write packets in the network's own name. ESP is what phones
    /// send.
    fn is_from_phone(&self, frame: &Frame<'_>, capsule: &Capsule) -> bool {
        let source = capsule
            .ip
            .filter(|_| capsule.kind != TunnelKind::Esp)
            .and_then(|ip| addresses(frame.bytes, ip, 0, 0));
        source.is_some_and(|(source, _)| self.network.is_phone(source.ip()))
    }

    /// The encapsulation that was found, if it is one that is opened.
    fn capsule(&self, walk: &Walk, reason: Reason) -> Option<Capsule> {
        let capsule = match (walk, reason) {
            (Walk::Tunnel(tunnel), _) => Capsule::of_tunnel(tunnel),
            (Walk::Udp(udp), Reason::Esp) => Capsule::of_udp(TunnelKind::Esp, udp),
            (Walk::Udp(udp), Reason::UdpTunnel) => {
                Capsule::of_udp(TunnelKind::over_udp(udp.destination_port)?, udp)
            }
            _ => return None,
        };
        let is_on = capsule.kind == TunnelKind::Snap || self.take.any_of(Take::tunnel(capsule.kind));
        is_on.then_some(capsule)
    }

    #[inline]
    fn is_sip(&self, port: u16) -> bool {
        self.ports.contains(port)
    }

    /// Whether the beginning of a packet, which `frame` holds, shows something that is looked for. Of a tunnel it mostly shows already what
    /// is inside: a mobile network's fragments are nearly all somebody's pictures.
    fn wants(&self, frame: &Frame<'_>, around: Around) -> bool {
        let walk = link::walk(frame.link, frame.bytes);
        let reason = classify::reason(frame.bytes, &walk, |port| self.is_sip(port), self.take);
        match &walk {
            Walk::Tcp(segment) | Walk::Sctp(segment) => segment.is_on(|port| self.is_sip(port)),
            Walk::Udp(_) if reason == Reason::Delivered => true,
            _ => self.capsule(&walk, reason).is_some() && self.may_lead_on(frame, around),
        }
    }

    /// Whether something that is looked for may be inside, as far as can be seen.
    fn may_lead_on(&self, frame: &Frame<'_>, around: Around) -> bool {
        let certain = [
            Reason::NotSipPort,
            Reason::Tcp,
            Reason::Sctp,
            Reason::Tls,
            Reason::Icmp,
            Reason::OtherProtocol,
            Reason::Arp,
            Reason::Llc,
            Reason::NotIp,
            Reason::TooDeep,
        ];
        match self.look(frame, around) {
            (Decoded::Nothing, reason) => !certain.contains(&reason),
            _ => true,
        }
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
        Reassembler::new(self.clone(), self.reassembly)
    }

    /// What remembers the datagrams of one worker.
    #[must_use]
    pub fn duplicates(&self) -> Duplicates {
        Duplicates::new(self.duplicate_ms)
    }
}

impl Found<'_> {
    const fn nothing(reason: Reason) -> Self {
        Self {
            decoded: Decoded::Nothing,
            reason,
            id: 0,
        }
    }
}

/// The datagram, for who looks for it.
#[inline]
fn found<'a>(frame: &Frame<'a>, udp: &Udp) -> Found<'a> {
    match datagram(frame, udp) {
        Some(payload) => Found {
            decoded: Decoded::Payload(payload),
            reason: Reason::Delivered,
            id: identification(frame.bytes, udp.ip),
        },
        None => Found::nothing(Reason::Delivered),
    }
}

#[inline]
fn count(found: &Found<'_>, counters: &mut DecodeCounters) {
    let truncated = matches!(found.decoded, Decoded::Payload(Payload { truncated: true, .. }));
    counters.count(found.reason, truncated);
}

/// What the sender numbered a datagram with. In IPv6 only fragments have that.
#[inline]
fn identification(bytes: &[u8], ip: IpSpan) -> u16 {
    /// From there to the source address.
    const BEFORE_SOURCE: usize = 8;
    match ip.version {
        IpVersion::V4 => ip
            .source_at
            .checked_sub(BEFORE_SOURCE)
            .and_then(|at| bytes.be16_at(at))
            .unwrap_or(0),
        IpVersion::V6 => 0,
    }
}

/// Who sent a TCP segment or SCTP packet, to whom, and its octets, the transport's header first.
fn transport<'a>(frame: &Frame<'a>, segment: &Segment) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
    let (source, destination) = addresses(
        frame.bytes,
        segment.ip,
        segment.source_port,
        segment.destination_port,
    )?;
    let span = segment.segment;
    let octets = frame.bytes.get(span.at..span.at + span.len)?;
    Some((source, destination, octets))
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

//! Encapsulations, opened in place: from the header of a tunnel to where the packet or frame in it begins
//! (semantics.md §5, "Remote mirrors", "GTP-U", "VLAN / L2", "IPsec on Gm").
//!
//! Nothing is copied: what is inside is walked where it stands, by the same `ringtap-classify` that walked the frame. Which tunnels are
//! opened, and how deep, is left to [`Decoder`](super::Decoder), which also knows what is wanted of what is inside.

mod counters;
mod esp;
mod gre;
mod hep;
mod layers;
mod shim;
mod udp;

pub use counters::{Opening, TunnelCounters};
pub(super) use layers::{Layer, Layers};

use ringtap_classify::{
    self as classify, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IpSpan, Octets, Span, Tunnel, TunnelKind, Udp, Vlans,
    Walk,
};

use super::Payload;
use crate::capture::Frame;

/// An encapsulation that was found in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capsule {
    pub(super) kind: TunnelKind,
    /// The header of the packet that it travels in, if that is an IP packet.
    pub(super) ip: Option<IpSpan>,
    pub(super) vlans: Vlans,
    /// Its own header (if any) and what is inside.
    pub(super) span: Span,
}

/// What is in there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inside<'a> {
    /// A packet or frame that was walked.
    Walked {
        walk: Walk,
        /// Where it ends.
        end: usize,
        /// Tells tunnels between the same ends apart; `None` if what is inside belongs to the network around the tunnel.
        id: Option<u32>,
    },
    /// What an agent made of the packets that it saw: a message with the addresses that it went between.
    Payload(Payload<'a>),
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// What the ends of the tunnel say to each other, or a protocol that leads nowhere.
    NothingInside,
    /// Compressed by the agent that sent it.
    Compressed,
    /// A header that contradicts itself or was cut off, or of a version that is not read.
    Malformed,
}

impl Capsule {
    pub(super) const fn of_tunnel(tunnel: &Tunnel) -> Self {
        Self {
            kind: tunnel.kind,
            ip: tunnel.ip,
            vlans: tunnel.vlans,
            span: tunnel.inner,
        }
    }

    pub(super) const fn of_udp(kind: TunnelKind, udp: &Udp) -> Self {
        Self {
            kind,
            ip: Some(udp.ip),
            vlans: udp.vlans,
            span: udp.payload,
        }
    }

    /// Looks inside. `frame` holds the capsule and ends where what is around it ends; `is_sip` answers for one port.
    pub(super) fn open<'a>(
        &self,
        frame: &Frame<'a>,
        is_sip: impl Fn(u16) -> bool,
    ) -> Result<Inside<'a>, Closed> {
        let Span { at, len, .. } = self.span;
        let bytes = frame.bytes.get(..at + len).ok_or(Closed::Malformed)?;
        match self.kind {
            TunnelKind::Gre | TunnelKind::Erspan => gre::open(bytes, at),
            TunnelKind::Ipv4 => Ok(walked(classify::network(bytes, ETHERTYPE_IPV4, at), bytes, 0)),
            TunnelKind::Ipv6 => Ok(walked(classify::network(bytes, ETHERTYPE_IPV6, at), bytes, 0)),
            TunnelKind::Mpls => shim::mpls(bytes, at),
            TunnelKind::Pppoe => shim::pppoe(bytes, at),
            TunnelKind::Vxlan => udp::vxlan(bytes, at),
            TunnelKind::Geneve => udp::geneve(bytes, at),
            TunnelKind::GtpU => udp::gtp_u(bytes, at),
            TunnelKind::Tzsp => udp::tzsp(bytes, at),
            TunnelKind::Hep => hep::open(frame, &self.span).map(Inside::Payload),
            TunnelKind::Esp => esp::open(bytes, self, is_sip),
            TunnelKind::Snap => shim::snap(bytes, at),
        }
    }
}

/// What was found in `bytes`, which end where it does.
fn walked<'a>(walk: Walk, bytes: &[u8], id: u32) -> Inside<'a> {
    Inside::Walked {
        walk,
        end: bytes.len(),
        id: Some(id),
    }
}

/// The bytes up to `end`, or as many as there are.
fn until(bytes: &[u8], end: usize) -> &[u8] {
    bytes.get(..end).unwrap_or(bytes)
}

/// What an ethertype stands for, from `at` on. Below the first ethertype there are lengths elsewhere, and nothing here.
fn of_ethertype<'a>(bytes: &[u8], ethertype: u16, at: usize, id: u32) -> Result<Inside<'a>, Closed> {
    /// Transparent Ethernet bridging (RFC 1701).
    const ETHERNET: u16 = 0x6558;
    const FIRST: u16 = 0x0600;
    match ethertype {
        ETHERNET => Ok(walked(classify::ethernet_at(bytes, at), bytes, id)),
        0..FIRST => Err(Closed::NothingInside),
        _ => Ok(walked(classify::network(bytes, ethertype, at), bytes, id)),
    }
}

/// The octets from `at` on, which are a part of the tunnel's header.
fn header<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Closed> {
    bytes.chunk(at).ok_or(Closed::Malformed)
}

//! Whether a frame is taken from the kernel: the decision that the XDP program makes, and that the host can repeat.

use core::ops::BitOr;

use crate::ip::{PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_SCTP, PROTOCOL_TCP};
use crate::{Fragment, Octets, PROTOCOL_UDP, Reason, Segment, TunnelKind, Walk, ethernet};

/// What is taken beside UDP datagrams on SIP ports and fragments of UDP, which always are. A set with one bit
/// for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Take(u32);

impl Take {
    /// Nothing more.
    pub const NOTHING: Self = Self(0);
    /// TCP segments from or to a SIP port.
    pub const TCP: Self = Self(1);
    /// SCTP packets from or to a SIP port.
    pub const SCTP: Self = Self(1 << 1);
    /// GRE packets, but for ERSPAN.
    pub const GRE: Self = Self(1 << 2);
    /// ERSPAN I, II and III.
    pub const ERSPAN: Self = Self(1 << 3);
    /// VXLAN.
    pub const VXLAN: Self = Self(1 << 4);
    /// Geneve.
    pub const GENEVE: Self = Self(1 << 5);
    /// GTP-U.
    pub const GTPU: Self = Self(1 << 6);
    /// IPv4 or IPv6 in IP.
    pub const IPIP: Self = Self(1 << 7);
    /// MPLS frames.
    pub const MPLS: Self = Self(1 << 8);
    /// Frames of PPPoE sessions.
    pub const PPPOE: Self = Self(1 << 9);
    /// All of these.
    pub const ALL: Self = Self((1 << 10) - 1);

    /// As a number, one bit for each kind: what the XDP program is given.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that a number stands for; unknown bits are left out.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether anything of `other` is in.
    #[inline(always)]
    #[must_use]
    pub const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// This set and what is in `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without what is in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kind under which an encapsulation is taken.
    #[inline(always)]
    #[must_use]
    pub const fn tunnel(kind: TunnelKind) -> Self {
        match kind {
            TunnelKind::Gre => Self::GRE,
            TunnelKind::Erspan => Self::ERSPAN,
            TunnelKind::Vxlan => Self::VXLAN,
            TunnelKind::Geneve => Self::GENEVE,
            TunnelKind::GtpU => Self::GTPU,
            TunnelKind::Ipv4 | TunnelKind::Ipv6 => Self::IPIP,
            TunnelKind::Mpls => Self::MPLS,
            TunnelKind::Pppoe => Self::PPPOE,
        }
    }
}

impl BitOr for Take {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a frame is, and whether it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The counter it belongs under.
    pub reason: Reason,
    /// It may carry SIP, and what carries it so is wanted.
    pub takes: bool,
}

/// Judges a frame that begins with an Ethernet header. `is_sip` answers for one port.
#[inline(always)]
pub fn judge<O: Octets + ?Sized>(frame: &O, is_sip: impl Fn(u16) -> bool, take: Take) -> Judgement {
    let walk = ethernet(frame);
    let reason = walk.reason(&is_sip);
    let on_sip_port = |segment: &Segment| is_sip(segment.source_port) || is_sip(segment.destination_port);
    let takes = match &walk {
        Walk::Udp(udp) => match (reason, TunnelKind::over_udp(udp.destination_port)) {
            (Reason::UdpTunnel, Some(kind)) => take.any_of(Take::tunnel(kind)),
            (reason, _) => matches!(reason, Reason::Delivered),
        },
        Walk::Tcp(segment) => take.any_of(Take::TCP) && on_sip_port(segment),
        Walk::Sctp(segment) => take.any_of(Take::SCTP) && on_sip_port(segment),
        Walk::Fragment(fragment) => takes_fragment(fragment, take),
        Walk::Tunnel(tunnel) => take.any_of(Take::tunnel(tunnel.kind)),
        Walk::Other(_) => false,
    };
    Judgement { reason, takes }
}

/// Only the first fragment shows ports, or what kind of GRE it is: all that may hold what is taken are. A mirror's
/// encapsulation makes full frames too long for their way, so its outer packets come in fragments.
#[inline(always)]
fn takes_fragment(fragment: &Fragment, take: Take) -> bool {
    fragment.may_hold(PROTOCOL_UDP)
        || match fragment.protocol {
            PROTOCOL_TCP => take.any_of(Take::TCP),
            PROTOCOL_SCTP => take.any_of(Take::SCTP),
            PROTOCOL_GRE => take.any_of(Take(Take::GRE.0 | Take::ERSPAN.0)),
            PROTOCOL_IPV4 | PROTOCOL_IPV6 => take.any_of(Take::IPIP),
            _ => false,
        }
}

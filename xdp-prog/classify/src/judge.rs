//! Whether a frame is taken from the kernel: the decision that the XDP program makes, and that the host can repeat.

use core::ops::BitOr;

use crate::ip::{PROTOCOL_ESP, PROTOCOL_GRE, PROTOCOL_SCTP};
use crate::{
    Fragment, IpVersion, Octets, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, Reason,
    TunnelKind, Udp, Walk, begins_like_sip, ethernet,
};

/// ESP and its key exchange share this port (RFC 3948 §2), at either end: translators change the other one.
const ESP_PORT: u16 = 4500;

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
    /// HEP.
    pub const HEP: Self = Self(1 << 10);
    /// TZSP.
    pub const TZSP: Self = Self(1 << 11);
    /// ESP, in IP or in UDP.
    pub const ESP: Self = Self(1 << 12);
    /// UDP datagrams on any ports that begin like SIP.
    pub const CONTENT: Self = Self(1 << 13);
    /// All of these.
    pub const ALL: Self = Self((1 << 14) - 1);

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

    /// This set without what is in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kind under which an encapsulation is taken; none for SNAP, which always is.
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
            TunnelKind::Hep => Self::HEP,
            TunnelKind::Tzsp => Self::TZSP,
            TunnelKind::Esp => Self::ESP,
            TunnelKind::Snap => Self::NOTHING,
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
    let by_port = walk.reason(&is_sip);
    let takes = match &walk {
        Walk::Udp(udp) if !matches!(by_port, Reason::Delivered) => {
            return other_ports(frame, udp, by_port, take);
        }
        Walk::Udp(_) => true,
        Walk::Tcp(segment) => take.any_of(Take::TCP) && segment.is_on(is_sip),
        Walk::Sctp(segment) => take.any_of(Take::SCTP) && segment.is_on(is_sip),
        Walk::Fragment(fragment) => take.fragment(fragment),
        // Hardly any network has these, so it costs nothing not to look at their ports.
        Walk::Tunnel(tunnel) if matches!(tunnel.kind, TunnelKind::Snap) => true,
        Walk::Tunnel(tunnel) => take.any_of(Take::tunnel(tunnel.kind)),
        Walk::Other(_) => false,
    };
    let reason = by_port;
    Judgement { reason, takes }
}

/// Judges a datagram on other ports than SIP's.
#[inline(always)]
fn other_ports<O: Octets + ?Sized>(frame: &O, udp: &Udp, by_port: Reason, take: Take) -> Judgement {
    let tunnel = TunnelKind::over_udp(udp.destination_port);
    let takes_tunnel = tunnel.is_some_and(|kind| take.any_of(Take::tunnel(kind)));
    let known = [
        udp.payload.at,
        usize::from(matches!(by_port, Reason::UdpTunnel)),
        usize::from(takes_tunnel),
        usize::from(may_be_esp(udp)),
    ];
    frame.afresh(
        known,
        |frame, [at, is_tunnel, takes_tunnel, may_be_esp]| match shows(frame, at, may_be_esp != 0, take) {
            Some(reason @ Reason::Esp) => Judgement {
                reason,
                takes: take.any_of(Take::ESP),
            },
            Some(reason) => Judgement { reason, takes: true },
            None if is_tunnel != 0 => Judgement {
                reason: Reason::UdpTunnel,
                takes: takes_tunnel != 0,
            },
            None => Judgement {
                reason: Reason::NotSipPort,
                takes: false,
            },
        },
    )
}

/// The counter that what `walk` found in `frame` belongs under: what [`judge`] says, for a frame that was walked already.
#[inline(always)]
pub fn reason<O: Octets + ?Sized>(
    frame: &O,
    walk: &Walk,
    is_sip: impl Fn(u16) -> bool,
    take: Take,
) -> Reason {
    match (walk.reason(is_sip), walk) {
        (by_port @ (Reason::NotSipPort | Reason::UdpTunnel), Walk::Udp(udp)) => {
            shows(frame, udp.payload.at, may_be_esp(udp), take).unwrap_or(by_port)
        }
        (by_port, _) => by_port,
    }
}

/// What a datagram on other ports than SIP's shows by its first octets to be.
#[inline(always)]
fn shows<O: Octets + ?Sized>(frame: &O, at: usize, may_be_esp: bool, take: Take) -> Option<Reason> {
    if take.any_of(Take::CONTENT) && begins_like_sip(frame, at) {
        return Some(Reason::Delivered);
    }
    // ESP begins with its SPI, which is never 0; the key exchange begins with four zero octets there, and what keeps a
    // translator's binding alive is shorter (RFC 3948 §2).
    (may_be_esp && frame.chunk(at).is_some_and(|spi| spi != [0; 4])).then_some(Reason::Esp)
}

/// What goes to a tunnel's port is the tunnel's: its source port may be any, this one as well.
#[inline(always)]
const fn may_be_esp(udp: &Udp) -> bool {
    TunnelKind::over_udp(udp.destination_port).is_none()
        && (udp.source_port == ESP_PORT || udp.destination_port == ESP_PORT)
}

impl Take {
    /// Whether a fragment may hold something that is taken. Only the first one shows ports, or what kind of GRE it is. A mirror's
    /// encapsulation makes full frames too long for their way, so its outer packets come in fragments.
    #[inline(always)]
    #[must_use]
    pub const fn fragment(self, fragment: &Fragment) -> bool {
        self.fragment_of(fragment.ip.version, fragment.protocol)
    }

    /// As [`fragment`](Self::fragment), by the IP header.
    #[inline(always)]
    #[must_use]
    pub const fn fragment_of(self, version: IpVersion, protocol: u8) -> bool {
        version.fragment_may_hold(protocol, PROTOCOL_UDP)
            || match protocol {
                PROTOCOL_TCP => self.any_of(Self::TCP),
                PROTOCOL_SCTP => self.any_of(Self::SCTP),
                PROTOCOL_GRE => self.any_of(Self(Self::GRE.0 | Self::ERSPAN.0)),
                PROTOCOL_IPV4 | PROTOCOL_IPV6 => self.any_of(Self::IPIP),
                PROTOCOL_ESP => self.any_of(Self::ESP),
                _ => false,
            }
    }
}

//! What the walk reports, and its first part: Ethernet and VLAN tags.

use crate::{Octets, Reason};

/// VLAN tags that are followed; provider bridging stacks two, mirrors add more (semantics.md §5).
pub const MAX_VLAN_TAGS: usize = 4;

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// 802.1Q, 802.1ad, and what bridges used before 802.1ad.
const VLAN_TYPES: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Below this an 802.3 type field is a length (IEEE 802.3 clause 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;

const ETHERTYPE_AT: usize = 12;
const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
const VLAN_ID_MASK: u16 = 0x0fff;
/// Where a SNAP header has its ethertype, counted from the LLC header.
const SNAP_ETHERTYPE_AT: usize = 6;

/// What a frame is. All positions count from the frame's first byte, and every span lies inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// A whole UDP datagram.
    Udp(Udp),
    /// A TCP segment.
    Tcp(Segment),
    /// An SCTP packet.
    Sctp(Segment),
    /// A piece of an IP datagram: only the first has ports.
    Fragment(Fragment),
    /// Another packet or frame inside.
    Tunnel(Tunnel),
    /// Nothing that could carry SIP, or unreadable.
    Other(Reason),
}

impl Walk {
    /// The counter this frame belongs under, by its headers alone. `is_sip` answers for one port; a datagram is SIP's
    /// if either of its ports is. What [`reason`](crate::reason) adds are datagrams that show by their content what they are.
    #[inline(always)]
    pub fn reason(&self, is_sip: impl Fn(u16) -> bool) -> Reason {
        match self {
            Self::Udp(udp) if is_sip(udp.source_port) || is_sip(udp.destination_port) => Reason::Delivered,
            Self::Udp(udp) if TunnelKind::over_udp(udp.destination_port).is_some() => Reason::UdpTunnel,
            Self::Udp(_) => Reason::NotSipPort,
            Self::Tcp(segment) if segment.may_be_tls() && !segment.is_on(is_sip) => Reason::Tls,
            Self::Tcp(_) => Reason::Tcp,
            Self::Sctp(_) => Reason::Sctp,
            Self::Fragment(_) => Reason::Fragment,
            Self::Tunnel(tunnel) if matches!(tunnel.kind, TunnelKind::Esp) => Reason::Esp,
            Self::Tunnel(tunnel) if matches!(tunnel.kind, TunnelKind::Snap) => Reason::Llc,
            Self::Tunnel(_) => Reason::Tunnel,
            Self::Other(reason) => *reason,
        }
    }
}

/// A whole UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// The IP header it came with.
    pub ip: IpSpan,
    /// The VLAN tags around it.
    pub vlans: Vlans,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub destination_port: u16,
    /// What follows the UDP header.
    pub payload: Span,
}

/// A TCP segment or SCTP packet, whole as far as IP is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The IP header it came with.
    pub ip: IpSpan,
    /// The VLAN tags around it.
    pub vlans: Vlans,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The segment, beginning with its transport header.
    pub segment: Span,
}

impl Segment {
    /// SIP over TLS (RFC 3261 §19.1.2): which TCP port it has unless somebody says otherwise.
    const TLS_PORT: u16 = 5061;

    /// Whether either of its ports is one of these.
    #[inline(always)]
    pub fn is_on(&self, is_port: impl Fn(u16) -> bool) -> bool {
        is_port(self.source_port) || is_port(self.destination_port)
    }

    #[inline(always)]
    const fn may_be_tls(&self) -> bool {
        self.source_port == Self::TLS_PORT || self.destination_port == Self::TLS_PORT
    }
}

/// A piece of an IP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The IP header it came with.
    pub ip: IpSpan,
    /// The VLAN tags around it.
    pub vlans: Vlans,
    /// Protocol of the whole datagram (IPv6: the fragment header's next header).
    pub protocol: u8,
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Where this piece belongs in the datagram, in bytes.
    pub offset: u16,
    /// Pieces follow.
    pub more: bool,
    /// The piece itself.
    pub piece: Span,
    /// How long the piece is by its IP header; more than `piece` holds if the capture cut it.
    pub piece_len: usize,
}

impl Fragment {
    /// Whether this is the piece which holds the transport header.
    #[inline(always)]
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether a transport protocol may be in there.
    #[inline(always)]
    #[must_use]
    pub const fn may_hold(&self, protocol: u8) -> bool {
        self.ip.version.fragment_may_hold(self.protocol, protocol)
    }
}

/// A packet or frame inside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What wraps it.
    pub kind: TunnelKind,
    /// The outer IP header, if the tunnel runs over IP.
    pub ip: Option<IpSpan>,
    /// The VLAN tags around it.
    pub vlans: Vlans,
    /// The tunnel's own header (if any) and what it wraps.
    pub inner: Span,
}

/// Encapsulations. The walk finds those that show without looking at ports; for those over UDP there is
/// [`TunnelKind::over_udp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// GRE (IP protocol 47), but for ERSPAN.
    Gre,
    /// IPv4 in IP (protocol 4).
    Ipv4,
    /// IPv6 in IP (protocol 41).
    Ipv6,
    /// MPLS label stack (ethertypes 0x8847 and 0x8848).
    Mpls,
    /// PPPoE session (ethertype 0x8864).
    Pppoe,
    /// ERSPAN: GRE with protocol type 0x88be (types I and II) or 0x22eb (type III).
    Erspan,
    /// VXLAN (RFC 7348), on the port that IANA gave it or the one that Linux had before.
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GTP-U (TS 29.281).
    GtpU,
    /// HEP, in which agents of a capturing system send the messages that they saw.
    Hep,
    /// TZSP, in which access points and routers send the frames that they saw.
    Tzsp,
    /// ESP (IP protocol 50), in which packets may be readable though they are protected (RFC 2410).
    Esp,
    /// LLC and SNAP headers (RFC 1042), behind which an ethertype follows. What is inside begins with that. The kernel's verifier does
    /// not bear another way to IP, so the walk ends here.
    Snap,
}

impl TunnelKind {
    /// The encapsulation that goes to a UDP port. Replies and the other direction of a tunnel have the same
    /// destination: source ports are only there to spread flows.
    #[inline(always)]
    #[must_use]
    pub const fn over_udp(destination_port: u16) -> Option<Self> {
        match destination_port {
            4789 | 8472 => Some(Self::Vxlan),
            6081 => Some(Self::Geneve),
            2152 => Some(Self::GtpU),
            9060 => Some(Self::Hep),
            37_008 => Some(Self::Tzsp),
            _ => None,
        }
    }
}

/// Where an IP header has its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpSpan {
    /// IPv4 or IPv6: addresses of 4 or 16 bytes.
    pub version: IpVersion,
    /// Position of the source address.
    pub source_at: usize,
    /// Position of the destination address.
    pub destination_at: usize,
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// Addresses of 4 bytes.
    V4,
    /// Addresses of 16 bytes.
    V6,
}

impl IpVersion {
    /// Whether `wanted` may be in a fragment whose header says `protocol`. In IPv6 that counts in the first
    /// fragment only (RFC 8200 §4.5), and may be an extension header even there: any fragment may hold anything.
    #[inline(always)]
    #[must_use]
    pub const fn fragment_may_hold(self, protocol: u8, wanted: u8) -> bool {
        matches!(self, Self::V6) || protocol == wanted
    }
}

/// A run of bytes inside the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Position of the first byte.
    pub at: usize,
    /// How many bytes are there.
    pub len: usize,
    /// The headers promised more than was captured (mirror truncation, snap length).
    pub cut: bool,
}

/// The VLAN tags of a frame, packed: part of the key under which fragments belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlans(u64);

impl Vlans {
    const ID_BITS: usize = 12;
    const COUNT_SHIFT: usize = 48;

    /// How many tags there were.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> Self::COUNT_SHIFT
    }

    /// All tags as one number: the count in bits 48 and up, the ids below, innermost lowest.
    #[inline(always)]
    #[must_use]
    pub const fn key(self) -> u64 {
        self.0
    }

    /// These tags with one more inside. At most [`MAX_VLAN_TAGS`] ids fit.
    #[inline(always)]
    const fn with(self, id: u16) -> Self {
        let ids = self.0 & ((1 << Self::COUNT_SHIFT) - 1);
        let ids = (ids << Self::ID_BITS | id as u64) & ((1 << Self::COUNT_SHIFT) - 1);
        Self((self.count() + 1) << Self::COUNT_SHIFT | ids)
    }
}

/// Ids of all tags fit below the count.
const _: () = assert!(MAX_VLAN_TAGS * Vlans::ID_BITS <= Vlans::COUNT_SHIFT);

/// Walks a frame that begins with an Ethernet header.
#[inline(always)]
pub fn ethernet<O: Octets + ?Sized>(frame: &O) -> Walk {
    ethernet_at(frame, 0)
}

/// Walks a frame from `at`, where an Ethernet header begins: one inside a tunnel.
#[inline(always)]
pub fn ethernet_at<O: Octets + ?Sized>(frame: &O, at: usize) -> Walk {
    match frame.be16_at(at + ETHERTYPE_AT) {
        Some(ethertype) => network(frame, ethertype, at + ETHERNET_LEN),
        None => Walk::Other(Reason::TooShort),
    }
}

/// Walks a frame from `at`, where the payload of the given ethertype begins (VLAN tags included):
/// what follows the header of a Linux "cooked" capture, for instance.
#[inline(always)]
pub fn network<O: Octets + ?Sized>(frame: &O, ethertype: u16, at: usize) -> Walk {
    let (mut ethertype, mut at, mut vlans) = (ethertype, at, Vlans::default());
    for _ in 0..MAX_VLAN_TAGS {
        if !VLAN_TYPES.contains(&ethertype) {
            break;
        }
        let Some([c0, c1, t0, t1]) = frame.chunk(at) else {
            return Walk::Other(Reason::TooShort);
        };
        vlans = vlans.with(u16::from_be_bytes([c0, c1]) & VLAN_ID_MASK);
        ethertype = u16::from_be_bytes([t0, t1]);
        at += VLAN_TAG_LEN;
    }
    at = frame.position(at);
    let walk = match ethertype {
        ETHERTYPE_IPV4 => crate::ip::ipv4(frame, at, vlans),
        ETHERTYPE_IPV6 => crate::ip::ipv6(frame, at, vlans),
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => Ok(shim(frame, TunnelKind::Mpls, at, vlans)),
        ETHERTYPE_PPPOE_SESSION => Ok(shim(frame, TunnelKind::Pppoe, at, vlans)),
        ETHERTYPE_ARP => Err(Reason::Arp),
        length if length < FIRST_ETHERTYPE => snap(frame, at, vlans),
        tag if VLAN_TYPES.contains(&tag) => Err(Reason::TooManyTags),
        _ => Err(Reason::NotIp),
    };
    walk.unwrap_or_else(Walk::Other)
}

/// A frame with a length instead of an ethertype. How long it is by that does not matter: IP has a length of its own.
#[inline(always)]
fn snap<O: Octets + ?Sized>(frame: &O, at: usize, vlans: Vlans) -> Result<Walk, Reason> {
    match frame.chunk(at) {
        Some([0xaa, 0xaa, 0x03, 0, 0, 0, _, _]) => {
            Ok(shim(frame, TunnelKind::Snap, at + SNAP_ETHERTYPE_AT, vlans))
        }
        _ => Err(Reason::Llc),
    }
}

/// An encapsulation directly over the link layer: everything to the frame's end is inside.
#[inline(always)]
fn shim<O: Octets + ?Sized>(frame: &O, kind: TunnelKind, at: usize, vlans: Vlans) -> Walk {
    let at = at.min(frame.len());
    let inner = Span {
        at,
        len: frame.len() - at,
        cut: false,
    };
    Walk::Tunnel(Tunnel {
        kind,
        ip: None,
        vlans,
        inner,
    })
}

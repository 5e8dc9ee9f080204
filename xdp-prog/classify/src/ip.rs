//! The walk's second part: IPv4, IPv6 and its extension headers, transport ports.

use crate::walk::{Fragment, IpSpan, IpVersion, Segment, Span, Tunnel, TunnelKind, Udp, Vlans, Walk};
use crate::{Octets, Reason};

/// IPv6 extension headers that are followed. Real chains have one or two; the bound keeps the
/// kernel's verifier and a hostile sender in check.
pub const MAX_EXTENSION_HEADERS: usize = 8;

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const FRAGMENT_HEADER_LEN: usize = 8;
const UDP_HEADER_LEN: usize = 8;

const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_OFFSET_MASK: u16 = 0x1fff;
const IPV6_MORE_FRAGMENTS: u16 = 0x0001;
const IPV6_OFFSET_MASK: u16 = 0xfff8;

const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ICMP: u8 = 1;
/// Protocol number of IPv4 in IP.
pub const PROTOCOL_IPV4: u8 = 4;
/// Protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Protocol number of IPv6 in IP.
pub const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_ROUTING: u8 = 43;
const PROTOCOL_FRAGMENT: u8 = 44;
pub(crate) const PROTOCOL_GRE: u8 = 47;
pub(crate) const PROTOCOL_ESP: u8 = 50;
const PROTOCOL_AUTHENTICATION: u8 = 51;
const PROTOCOL_ICMPV6: u8 = 58;
const PROTOCOL_DESTINATION_OPTIONS: u8 = 60;
pub(crate) const PROTOCOL_SCTP: u8 = 132;
const PROTOCOL_MOBILITY: u8 = 135;

/// GRE protocol type of ERSPAN I and II.
const GRE_ERSPAN: u16 = 0x88be;
/// GRE protocol type of ERSPAN III.
const GRE_ERSPAN_III: u16 = 0x22eb;

/// Walks a frame from `at`, where an IP header of either version begins (raw link types).
#[inline(always)]
pub fn ip<O: Octets + ?Sized>(frame: &O, at: usize) -> Walk {
    let walk = match frame.u8_at(at).map(|first| first >> 4) {
        Some(4) => ipv4(frame, at, Vlans::default()),
        Some(6) => ipv6(frame, at, Vlans::default()),
        Some(_) => Err(Reason::BadHeader),
        None => Err(Reason::TooShort),
    };
    walk.unwrap_or_else(Walk::Other)
}

/// What the transport part of the walk needs to know of the IP header before it.
#[derive(Clone, Copy)]
struct Packet {
    ip: IpSpan,
    vlans: Vlans,
    /// Where the packet ends by its own length; the capture may end before.
    end: usize,
}

impl Packet {
    /// From `at` to `end`, cut where the capture ends.
    #[inline(always)]
    fn span<O: Octets + ?Sized>(&self, frame: &O, at: usize, end: usize) -> Span {
        let there = end.min(self.end).min(frame.len());
        Span {
            at: at.min(there),
            len: there.saturating_sub(at),
            cut: there < end,
        }
    }
}

/// Walks a frame from `at`, where the header of a transport protocol begins that was found behind an IP header and
/// something that the walk does not follow, and that ends at `end`.
#[inline(always)]
pub fn transport_at<O: Octets + ?Sized>(
    frame: &O,
    (ip, vlans): (IpSpan, Vlans),
    protocol: u8,
    at: usize,
    end: usize,
) -> Walk {
    transport(frame, &Packet { ip, vlans, end }, protocol, at).unwrap_or_else(Walk::Other)
}

/// RFC 791 §3.1.
#[inline(always)]
pub(crate) fn ipv4<O: Octets + ?Sized>(frame: &O, at: usize, vlans: Vlans) -> Result<Walk, Reason> {
    let header: [u8; IPV4_HEADER_LEN] = frame.chunk(at).ok_or(Reason::TooShort)?;
    let [first, _, l0, l1, i0, i1, f0, f1, _, protocol, ..] = header;
    let header_len = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_len < IPV4_HEADER_LEN {
        return Err(Reason::BadHeader);
    }
    let total_len = usize::from(u16::from_be_bytes([l0, l1]));
    let id = u16::from_be_bytes([i0, i1]);
    let fragment = u16::from_be_bytes([f0, f1]);
    if header_len > IPV4_HEADER_LEN && !frame.reaches(at + header_len) {
        return Err(Reason::TooShort);
    }
    let end = match total_len {
        // Segmentation offload leaves the length to the NIC: what was captured is all there is.
        0 => frame.len(),
        short if short < header_len => return Err(Reason::BadHeader),
        _ => at + total_len,
    };
    let end = frame.position(end);
    let ip = IpSpan {
        version: IpVersion::V4,
        source_at: at + 12,
        destination_at: at + 16,
    };
    let packet = Packet { ip, vlans, end };
    let at = frame.position(at + header_len);
    if fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK) != 0 {
        return Ok(Walk::Fragment(Fragment {
            ip,
            vlans,
            protocol,
            id: u32::from(id),
            offset: (fragment & IPV4_OFFSET_MASK) << 3,
            more: fragment & IPV4_MORE_FRAGMENTS != 0,
            piece: packet.span(frame, at, end),
            piece_len: end.saturating_sub(at),
        }));
    }
    transport(frame, &packet, protocol, at)
}

/// RFC 8200 §3 and §4.
#[inline(always)]
pub(crate) fn ipv6<O: Octets + ?Sized>(frame: &O, at: usize, vlans: Vlans) -> Result<Walk, Reason> {
    let [first, _, _, _, l0, l1, next, _] = frame.chunk(at).ok_or(Reason::TooShort)?;
    if first >> 4 != 6 {
        return Err(Reason::BadHeader);
    }
    if !frame.reaches(at + IPV6_HEADER_LEN) {
        return Err(Reason::TooShort);
    }
    let payload_len = usize::from(u16::from_be_bytes([l0, l1]));
    let mut next = next;
    let ip = IpSpan {
        version: IpVersion::V6,
        source_at: at + 8,
        destination_at: at + 24,
    };
    let mut at = at + IPV6_HEADER_LEN;
    // Zero is a jumbogram (RFC 2675) or segmentation offload.
    let end = if payload_len == 0 {
        frame.len()
    } else {
        at + payload_len
    };
    let end = frame.position(end);
    let packet = Packet { ip, vlans, end };
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let is_fragment = match next {
            PROTOCOL_FRAGMENT => true,
            PROTOCOL_HOP_BY_HOP
            | PROTOCOL_ROUTING
            | PROTOCOL_AUTHENTICATION
            | PROTOCOL_DESTINATION_OPTIONS
            | PROTOCOL_MOBILITY => false,
            protocol => return transport(frame, &packet, protocol, at),
        };
        // The shortest header has 8 octets.
        let header: [u8; 8] = frame.chunk(at).ok_or(Reason::TooShort)?;
        let [following, units, ..] = header;
        let header_len = if is_fragment {
            let fragment = ipv6_fragment(frame, &packet, at, header);
            // An atomic fragment is a whole datagram (RFC 6946 §4).
            if fragment.more || !fragment.is_first() {
                return Ok(Walk::Fragment(fragment));
            }
            FRAGMENT_HEADER_LEN
        } else if next == PROTOCOL_AUTHENTICATION {
            // RFC 4302 §2.2 counts in words of 4, less 2.
            (usize::from(units) + 2) * 4
        } else {
            (usize::from(units) + 1) * 8
        };
        next = following;
        at += header_len;
        if at > end {
            return Err(Reason::BadHeader);
        }
        at = frame.position(at);
    }
    Err(Reason::TooManyHeaders)
}

/// RFC 8200 §4.5.
#[inline(always)]
fn ipv6_fragment<O: Octets + ?Sized>(frame: &O, packet: &Packet, at: usize, header: [u8; 8]) -> Fragment {
    let [protocol, _, f0, f1, id @ ..] = header;
    let fragment = u16::from_be_bytes([f0, f1]);
    let at = at + FRAGMENT_HEADER_LEN;
    Fragment {
        ip: packet.ip,
        vlans: packet.vlans,
        protocol,
        id: u32::from_be_bytes(id),
        offset: fragment & IPV6_OFFSET_MASK,
        more: fragment & IPV6_MORE_FRAGMENTS != 0,
        piece: packet.span(frame, at, packet.end),
        piece_len: packet.end.saturating_sub(at),
    }
}

#[inline(always)]
fn transport<O: Octets + ?Sized>(
    frame: &O,
    packet: &Packet,
    protocol: u8,
    at: usize,
) -> Result<Walk, Reason> {
    match protocol {
        PROTOCOL_UDP => udp(frame, packet, at),
        PROTOCOL_TCP => segment(frame, packet, at).map(Walk::Tcp),
        PROTOCOL_SCTP => segment(frame, packet, at).map(Walk::Sctp),
        PROTOCOL_GRE => Ok(tunnel(frame, packet, gre(frame, packet, at), at)),
        PROTOCOL_IPV4 => Ok(tunnel(frame, packet, TunnelKind::Ipv4, at)),
        PROTOCOL_IPV6 => Ok(tunnel(frame, packet, TunnelKind::Ipv6, at)),
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => Err(Reason::Icmp),
        PROTOCOL_ESP => Ok(tunnel(frame, packet, TunnelKind::Esp, at)),
        _ => Err(Reason::OtherProtocol),
    }
}

/// RFC 768. The checksum is not looked at: on a mirror it is often not yet computed.
#[inline(always)]
fn udp<O: Octets + ?Sized>(frame: &O, packet: &Packet, at: usize) -> Result<Walk, Reason> {
    let payload_at = at + UDP_HEADER_LEN;
    if payload_at > packet.end {
        return Err(Reason::BadHeader);
    }
    let [s0, s1, d0, d1, l0, l1, _, _] = frame.chunk(at).ok_or(Reason::TooShort)?;
    let end = match usize::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram's length does not fit (RFC 2675 §4).
        0 => packet.end,
        short if short < UDP_HEADER_LEN => return Err(Reason::BadHeader),
        len => at + len,
    };
    let payload = packet.span(frame, payload_at, end);
    Ok(Walk::Udp(Udp {
        ip: packet.ip,
        vlans: packet.vlans,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        payload,
    }))
}

/// TCP (RFC 9293 §3.1) and SCTP (RFC 9260 §3.1) both begin with their ports.
#[inline(always)]
fn segment<O: Octets + ?Sized>(frame: &O, packet: &Packet, at: usize) -> Result<Segment, Reason> {
    if at + 4 > packet.end {
        return Err(Reason::BadHeader);
    }
    let [s0, s1, d0, d1] = frame.chunk(at).ok_or(Reason::TooShort)?;
    let segment = packet.span(frame, at, packet.end);
    Ok(Segment {
        ip: packet.ip,
        vlans: packet.vlans,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        segment,
    })
}

/// GRE (RFC 2784 §2) or ERSPAN, by the protocol type. Of a header that is cut off nothing is believed.
#[inline(always)]
fn gre<O: Octets + ?Sized>(frame: &O, packet: &Packet, at: usize) -> TunnelKind {
    match frame.be16_at(at + 2) {
        Some(GRE_ERSPAN | GRE_ERSPAN_III) if at + 4 <= packet.end => TunnelKind::Erspan,
        _ => TunnelKind::Gre,
    }
}

#[inline(always)]
fn tunnel<O: Octets + ?Sized>(frame: &O, packet: &Packet, kind: TunnelKind, at: usize) -> Walk {
    let inner = packet.span(frame, at, packet.end);
    Walk::Tunnel(Tunnel {
        kind,
        ip: Some(packet.ip),
        vlans: packet.vlans,
        inner,
    })
}

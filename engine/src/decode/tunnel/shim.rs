//! Encapsulations directly over the link layer: MPLS, PPPoE (and PPP, wherever it is carried), SNAP.

use ringtap_classify::{self as classify, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Octets as _, Walk};

use super::{Closed, Inside, header, until, walked};

/// Labels that are followed. Services stack two or three, segment routing some more.
const LABELS_MAX: usize = 16;
const LABEL_LEN: usize = 4;
const BOTTOM_OF_STACK: u8 = 1;
const ETHERTYPE_AT: usize = 12;
const PPPOE_SESSION: u16 = 0x8864;
/// Version 1, type 1.
const PPPOE_VERSION: u8 = 0x11;

/// What is behind the SNAP header whose ethertype is at `at`.
pub(super) fn snap<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    let ethertype = u16::from_be_bytes(header(bytes, at)?);
    Ok(Inside::Walked {
        walk: classify::network(bytes, ethertype, at + 2),
        end: bytes.len(),
        id: None,
    })
}

/// What is behind the label stack at `at` (RFC 3032). No label says what that is: it is guessed.
pub(super) fn mpls<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    /// Announces an entropy label (RFC 6790 §3), which spreads the flows of one service.
    const ENTROPY_INDICATOR: u32 = 7;
    let (mut at, mut service, mut is_entropy) = (at, 0, false);
    for _ in 0..LABELS_MAX {
        let entry: [u8; LABEL_LEN] = header(bytes, at)?;
        at += LABEL_LEN;
        let label = u32::from_be_bytes(entry) >> 12;
        let announces = label == ENTROPY_INDICATOR;
        if !announces && !is_entropy {
            service = label;
        }
        is_entropy = announces;
        let [_, _, flags, _] = entry;
        if flags & BOTTOM_OF_STACK != 0 {
            return Ok(walked(behind_labels(bytes, at)?, bytes, service));
        }
    }
    Err(Closed::Malformed)
}

/// A packet shows by its lengths; Ethernet by an ethertype and what must follow it, with or without the control word of a pseudowire
/// before it (RFC 4385). What a capture cut shows least, and is asked last.
fn behind_labels(bytes: &[u8], at: usize) -> Result<Walk, Closed> {
    const CONTROL_WORD_LEN: usize = 4;
    let [first] = header(bytes, at)?;
    let is_ip = is_ip(bytes, at);
    if !is_ip && is_ethernet(bytes, at) {
        return Ok(classify::ethernet_at(bytes, at));
    }
    match first >> 4 {
        0 if is_ethernet(bytes, at + CONTROL_WORD_LEN) => {
            Ok(classify::ethernet_at(bytes, at + CONTROL_WORD_LEN))
        }
        4 => Ok(classify::network(bytes, ETHERTYPE_IPV4, at)),
        6 => Ok(classify::network(bytes, ETHERTYPE_IPV6, at)),
        // A channel of the pseudowire's own (RFC 4385 §5), or a frame that leads nowhere.
        _ => Err(Closed::NothingInside),
    }
}

/// Whether a packet of IP begins at `at` for certain: it is as long as it says, or its header's checksum is right. Addresses of Ethernet
/// may begin with a version, too.
fn is_ip(bytes: &[u8], at: usize) -> bool {
    const IPV4_HEADER_LEN: usize = 20;
    const IPV6_HEADER_LEN: usize = 40;
    /// The shortest frame is filled up behind its packet, and may have been captured with its check sequence.
    const PADDED_LEN_MAX: usize = 46 - LABEL_LEN + 4;
    let field = |at: usize| bytes.be16_at(at).map(usize::from);
    let len = match bytes.u8_at(at) {
        Some(first @ 0x45..=0x4f) => {
            let header_len = usize::from(first & 0x0f) * 4;
            let len = field(at + 2).filter(|len| *len >= header_len.max(IPV4_HEADER_LEN));
            if len.is_some() && bytes.get(at..at + header_len).is_some_and(checksum_is_right) {
                return true;
            }
            len
        }
        Some(0x60..=0x6f) => field(at + 4).map(|len| len + IPV6_HEADER_LEN),
        _ => None,
    };
    let there = bytes.len().saturating_sub(at);
    len.is_some_and(|len| len == there || len < there && there <= PADDED_LEN_MAX)
}

/// Over a header of IPv4 (RFC 1071).
fn checksum_is_right(header: &[u8]) -> bool {
    let words = header.as_chunks::<2>().0;
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    sum > 0 && sum.is_multiple_of(0xffff)
}

/// Whether a frame of IP begins at `at`, or of what it is wrapped in.
fn is_ethernet(bytes: &[u8], at: usize) -> bool {
    const SOURCE_AT: usize = 6;
    const GROUP: u8 = 0x01;
    // Groups send nothing (IEEE 802.3 clause 3.2.3). There an IPv6 header says 17 for UDP.
    let is_from_one = bytes
        .u8_at(at + SOURCE_AT)
        .is_some_and(|first| first & GROUP == 0);
    is_from_one && leads_on(bytes, at + ETHERTYPE_AT)
}

/// Whether what follows the ethertype at `at` is what it says, VLAN tags stepped over.
fn leads_on(bytes: &[u8], at: usize) -> bool {
    const LEN: usize = 2;
    const TAG_LEN: usize = 4;
    let mut at = at;
    for _ in 0..=classify::MAX_VLAN_TAGS {
        let begins = |octet| bytes.u8_at(at + LEN).is_some_and(|first| first >> 4 == octet);
        match bytes.be16_at(at) {
            Some(ETHERTYPE_IPV4) => return begins(4),
            Some(ETHERTYPE_IPV6) => return begins(6),
            Some(PPPOE_SESSION) => return bytes.u8_at(at + LEN) == Some(PPPOE_VERSION),
            Some(0x8847) => return true,
            Some(0x8100 | 0x88a8 | 0x9100) => at += TAG_LEN,
            _ => return false,
        }
    }
    false
}

/// What is in the PPPoE frame at `at` (RFC 2516 §4): the packet of a session.
pub(super) fn pppoe<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    const HEADER_LEN: usize = 6;
    let [version, code, s0, s1, l0, l1] = header(bytes, at)?;
    if version != PPPOE_VERSION || code != 0 {
        return Err(Closed::Malformed);
    }
    let at = at + HEADER_LEN;
    // Behind that is padding of Ethernet's.
    let bytes = until(bytes, at + usize::from(u16::from_be_bytes([l0, l1])));
    ppp(bytes, at, u32::from(u16::from_be_bytes([s0, s1])))
}

/// What is in the PPP frame at `at` (RFC 1661), whose address and control fields may be left out, and its protocol written in one
/// octet.
pub(super) fn ppp<'a>(bytes: &[u8], at: usize, id: u32) -> Result<Inside<'a>, Closed> {
    const ADDRESS_CONTROL: [u8; 2] = [0xff, 0x03];
    const IPV4: u8 = 0x21;
    const IPV6: u8 = 0x57;
    let at = match header(bytes, at)? {
        ADDRESS_CONTROL => at + 2,
        _ => at,
    };
    // Only the last octet of a protocol's number is odd.
    let (protocol, at) = match header(bytes, at)? {
        [0] => (header(bytes, at + 1)?, at + 2),
        protocol => (protocol, at + 1),
    };
    let walk = match protocol {
        [IPV4] => classify::network(bytes, ETHERTYPE_IPV4, at),
        [IPV6] => classify::network(bytes, ETHERTYPE_IPV6, at),
        _ => return Err(Closed::NothingInside),
    };
    Ok(walked(walk, bytes, id))
}

//! Encapsulations directly over the link layer: MPLS, PPPoE (and PPP, wherever it is carried), SNAP.

use ringtap_classify::{self as classify, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Octets as _, Walk};

use super::{Closed, Inside, header, until, walked};

/// Labels that are followed. Services stack two or three, segment routing some more.
const LABELS_MAX: usize = 16;
const LABEL_LEN: usize = 4;
const BOTTOM_OF_STACK: u8 = 1;
const ETHERTYPE_AT: usize = 12;
const ETHERNET_LEN: usize = 14;
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
    let mut at = at;
    for _ in 0..LABELS_MAX {
        let label: [u8; LABEL_LEN] = header(bytes, at)?;
        at += LABEL_LEN;
        let [l0, l1, l2, _] = label;
        if l2 & BOTTOM_OF_STACK != 0 {
            let id = u32::from_be_bytes([0, l0, l1, l2 >> 4]);
            return Ok(walked(behind_labels(bytes, at)?, bytes, id));
        }
    }
    Err(Closed::Malformed)
}

/// Ethernet shows by an ethertype and what must follow it, with or without the control word of a pseudowire before it (RFC 4385).
/// That is asked first: addresses may begin like an IP header, but headers hardly ever look like frames.
fn behind_labels(bytes: &[u8], at: usize) -> Result<Walk, Closed> {
    const CONTROL_WORD_LEN: usize = 4;
    let [first] = header(bytes, at)?;
    if is_ethernet(bytes, at) {
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

/// Whether a frame of IP begins at `at`, or of what it is wrapped in.
fn is_ethernet(bytes: &[u8], at: usize) -> bool {
    let begins = |octet| {
        bytes
            .u8_at(at + ETHERNET_LEN)
            .is_some_and(|first| first >> 4 == octet)
    };
    match bytes.be16_at(at + ETHERTYPE_AT) {
        Some(ETHERTYPE_IPV4) => begins(4),
        Some(ETHERTYPE_IPV6) => begins(6),
        Some(PPPOE_SESSION) => bytes.u8_at(at + ETHERNET_LEN) == Some(PPPOE_VERSION),
        Some(0x8100 | 0x88a8 | 0x9100 | 0x8847) => true,
        _ => false,
    }
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

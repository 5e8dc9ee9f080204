//! Link headers that only capture files have; Ethernet is walked by `ringtap-classify` itself.

use ringtap_classify::{self as classify, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Octets, Reason, Walk};

use crate::capture::Link;

/// LINKTYPE_LINUX_SLL: the protocol is the last field of 16 bytes.
const SLL_PROTOCOL_AT: usize = 14;
const SLL_LEN: usize = 16;
/// LINKTYPE_LINUX_SLL2: the protocol is the first field of 20 bytes.
const SLL2_PROTOCOL_AT: usize = 0;
const SLL2_LEN: usize = 20;
/// LINKTYPE_NULL and LINKTYPE_LOOP: an address family of 4 bytes.
const FAMILY_LEN: usize = 4;

/// Walks the bytes of a frame that begins with a header of the given link type.
#[inline]
pub(super) fn walk(link: Link, bytes: &[u8]) -> Walk {
    match link {
        Link::Ethernet => classify::ethernet(bytes),
        Link::LinuxSll => cooked(bytes, SLL_PROTOCOL_AT, SLL_LEN),
        Link::LinuxSll2 => cooked(bytes, SLL2_PROTOCOL_AT, SLL2_LEN),
        Link::RawIp => classify::ip(bytes, 0),
        Link::RawIpv4 => classify::network(bytes, ETHERTYPE_IPV4, 0),
        Link::RawIpv6 => classify::network(bytes, ETHERTYPE_IPV6, 0),
        Link::Null | Link::Loop => loopback(bytes),
        Link::Other(_) => Walk::Other(Reason::UnsupportedLink),
    }
}

fn cooked(bytes: &[u8], protocol_at: usize, header_len: usize) -> Walk {
    match bytes.be16_at(protocol_at) {
        Some(ethertype) => classify::network(bytes, ethertype, header_len),
        None => Walk::Other(Reason::TooShort),
    }
}

/// The family's byte order is that of the capturing machine, which the file does not say: a family is a
/// small number in one of the two orders. IPv6 has another number on each system.
fn loopback(bytes: &[u8]) -> Walk {
    let Some(family) = bytes.first_chunk().copied().map(u32::from_be_bytes) else {
        return Walk::Other(Reason::TooShort);
    };
    match family.min(family.swap_bytes()) {
        2 => classify::network(bytes, ETHERTYPE_IPV4, FAMILY_LEN),
        // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 23 | 24 | 28 | 30 => classify::network(bytes, ETHERTYPE_IPV6, FAMILY_LEN),
        _ => Walk::Other(Reason::NotIp),
    }
}

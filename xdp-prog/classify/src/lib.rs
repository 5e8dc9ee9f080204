//! Frame walk shared by the XDP program and the host: Ethernet, VLAN tags, IP, transport ports.
//!
//! One piece of code tells both sides what a frame is, so that they cannot disagree. It owns the
//! walk ([`ethernet`], [`network`], [`ip`]), what is taken ([`judge`], [`begins_like_sip`]), the counters' names and order ([`Reason`],
//! [`Action`]) and the set of ports taken as SIP ([`PortSet`]). It leaves to others what is done with the answer: the
//! XDP program redirects or passes, `ringtap`'s `decode` cuts the payload out.
//!
//! The walk never allocates, never panics and has bounded loops only. It reads through the small
//! trait [`Octets`], which the host implements for `[u8]` and the kernel side for its packet pointers.
//! Checksums are never looked at: offload makes them wrong on a mirror (semantics.md §5).

#![cfg_attr(not(any(test, feature = "testing")), no_std)]
#![forbid(unsafe_code)]

mod content;
mod ip;
mod judge;
mod octets;
mod ports;
mod reason;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use content::begins_like_sip;
pub use ip::{
    MAX_EXTENSION_HEADERS, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, ip, transport_at,
};
pub use judge::{Judgement, Take, judge, reason};
pub use octets::Octets;
pub use ports::PortSet;
pub use reason::{Action, Reason};
pub use walk::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, Fragment, IpSpan, IpVersion, MAX_VLAN_TAGS, Segment, Span, Tunnel,
    TunnelKind, Udp, Vlans, Walk, ethernet, ethernet_at, network,
};

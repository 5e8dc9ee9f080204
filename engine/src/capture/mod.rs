//! Where frames come from: capture files now, AF_XDP rings beside them.
//!
//! Owns [`Frame`], which is all that the layers above know of a source, and [`Chunk`], which holds many
//! of them. What is inside a frame is left to [`crate::decode`].

pub(crate) mod ahead;
mod chunk;
pub mod pcap;
#[cfg(test)]
pub(crate) mod real;

pub use chunk::Chunk;
pub use pcap::{CaptureError, CaptureFile};

use ringtap_record::Time;

/// One captured frame, borrowed from the chunk or ring that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured; a file's clock may step backwards and is passed on as it is, within
    /// [`pcap::TIME_MIN`] and [`pcap::TIME_MAX`].
    pub time: Time,
    /// What its first header is.
    pub link: Link,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// How long it was on the wire, in bytes; more than `bytes` holds if the capture cut it.
    pub wire_len: u32,
}

/// Link type of a frame: the LINKTYPE_ values of the capture formats, as far as they are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet (1).
    Ethernet,
    /// Linux "cooked" capture (113).
    LinuxSll,
    /// Linux "cooked" capture, version 2 (276).
    LinuxSll2,
    /// IP of either version without a link header (101, and 12 and 14 of old systems).
    RawIp,
    /// IPv4 without a link header (228).
    RawIpv4,
    /// IPv6 without a link header (229).
    RawIpv6,
    /// BSD loopback: address family in the byte order of the machine that captured (0).
    Null,
    /// OpenBSD loopback: address family in network order (108).
    Loop,
    /// Another link type: its frames are counted and not looked into.
    Other(u16),
}

impl Link {
    /// The link type of that number in pcap and pcapng files.
    #[must_use]
    pub const fn from_linktype(linktype: u16) -> Self {
        match linktype {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            228 => Self::RawIpv4,
            229 => Self::RawIpv6,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

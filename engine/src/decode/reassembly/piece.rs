//! One fragment as the reassembler takes it, and the packet that it gives back.

use std::fmt::{self, Debug, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringtap_classify::{Fragment, IpVersion, Take};
use ringtap_record::Time;

use crate::capture::{Frame, Link};
use crate::decode::{Around, Network};

/// An IP packet's length is a field of 16 bits; in IPv4 it counts the header too.
const PACKET_BYTES_MAX: usize = 65_535;
const IPV4_HEADER_BYTES: usize = 20;
const HOP_LIMIT: u8 = 64;

/// Which fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// IPv4: the protocol (RFC 791 §3.2). IPv6: 0, for there fragments belong together by addresses and
    /// identification alone, and only the first one's next header counts (RFC 8200 §4.5).
    pub protocol: u8,
    /// Identification, of 16 bits in IPv4 and 32 in IPv6.
    pub id: u32,
    /// The network in which these addresses are valid.
    pub network: Network,
}

impl Key {
    /// Most that fragments may add up to, in octets.
    pub(super) const fn content_bytes_max(&self) -> usize {
        match self.source {
            IpAddr::V4(_) => PACKET_BYTES_MAX - IPV4_HEADER_BYTES,
            IpAddr::V6(_) => PACKET_BYTES_MAX,
        }
    }
}

/// One fragment, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// When it was captured.
    pub time: Time,
    /// The datagram that it is a part of.
    pub key: Key,
    /// How many encapsulations are around it.
    pub depth: u8,
    /// Protocol of what the fragments add up to. Only the first fragment's counts.
    pub protocol: u8,
    /// Where it belongs, in octets.
    pub offset: u16,
    /// Others follow behind it.
    pub more: bool,
    /// How long it was on the wire, in octets.
    pub len: usize,
    /// As much of it as was captured.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The fragment that the walk found in `frame`.
    pub(in crate::decode) fn read(frame: &Frame<'a>, around: Around, fragment: &Fragment) -> Option<Self> {
        let address = |at: usize| -> Option<IpAddr> {
            let octets = frame.bytes.get(at..)?;
            Some(match fragment.ip.version {
                IpVersion::V4 => Ipv4Addr::from(*octets.first_chunk()?).into(),
                IpVersion::V6 => Ipv6Addr::from(*octets.first_chunk()?).into(),
            })
        };
        let Fragment { piece, piece_len, .. } = *fragment;
        Some(Self {
            time: frame.time,
            key: Key {
                source: address(fragment.ip.source_at)?,
                destination: address(fragment.ip.destination_at)?,
                protocol: match fragment.ip.version {
                    IpVersion::V4 => fragment.protocol,
                    IpVersion::V6 => 0,
                },
                id: fragment.id,
                network: around.network_of(frame.link, fragment.vlans),
            },
            depth: around.depth,
            protocol: fragment.protocol,
            offset: fragment.offset,
            more: fragment.more,
            len: piece_len.max(piece.len),
            bytes: frame.bytes.get(piece.at..piece.at + piece.len)?,
        })
    }

    /// Where it ends, in octets of the datagram.
    pub(super) fn end(&self) -> usize {
        usize::from(self.offset) + self.len
    }

    /// Every fragment but the last one ends on a multiple of 8 octets, and none is empty.
    pub(super) const fn is_malformed(&self) -> bool {
        self.len == 0 || (self.more && !self.len.is_multiple_of(8))
    }

    /// Whether something that is taken may be in there, as the XDP program sees it too. In IPv6 the first fragment decides.
    pub(super) const fn may_be_wanted(&self, take: Take) -> bool {
        let version = match self.key.source {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        };
        take.fragment_of(version, self.protocol)
    }
}

/// What fragments added up to: an IP packet with a header of its own, to be decoded like a captured one.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// When the first of its fragments was captured, in the order in which they came.
    pub time: Time,
    /// What is around it: the network of its fragments.
    pub around: Around,
    bytes: Vec<u8>,
}

impl Packet {
    /// Begins with the header; `content` is added behind it. `len` is how long the content should be: more than
    /// is added if the rest is missing.
    pub(super) fn new(
        time: Time,
        key: &Key,
        depth: u8,
        protocol: u8,
        len: usize,
        content: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let field = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let mut bytes = Vec::new();
        match (key.source, key.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [high, low] = field(IPV4_HEADER_BYTES + len);
                // Version and header length; neither fragment nor identification; checksums are not looked at.
                bytes.extend([0x45, 0, high, low, 0, 0, 0, 0, HOP_LIMIT, protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            (source, destination) => {
                let [high, low] = field(len);
                bytes.extend([0x60, 0, 0, 0, high, low, protocol, HOP_LIMIT]);
                for address in [source, destination] {
                    bytes.extend(match address {
                        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                        IpAddr::V6(address) => address.octets(),
                    });
                }
            }
        }
        content(&mut bytes);
        let around = Around {
            network: Some(key.network),
            depth,
        };
        Self { time, around, bytes }
    }

    /// As a frame without a link header.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            time: self.time,
            link: Link::RawIp,
            bytes: &self.bytes,
            wire_len: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Debug for Packet {
    /// What was in it stays out of logs.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({}, {} octets)", self.time, self.bytes.len())
    }
}

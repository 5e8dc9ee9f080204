//! One SCTP packet as the associations take it, and the chunks in it (RFC 9260 §3).

use std::net::SocketAddr;

use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::{Around, Network, transport};

/// One packet, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Time,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The network in which these addresses are valid.
    pub network: Network,
    /// The verification tag of the association's receiver.
    pub tag: u32,
    /// The chunks, as far as they were captured.
    pub chunks: &'a [u8],
    /// There were more of them on the wire.
    pub cut: bool,
}

/// One direction of an association. Its ends may have several addresses, so these are left out (RFC 9260 §6.4); the tag is a random
/// number, and two associations on the same ports of one network have the same one by chance once in 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Association {
    network: Network,
    tag: u32,
    ports: [u16; 2],
}

impl<'a> Packet<'a> {
    /// The association that it belongs to.
    #[must_use]
    pub fn association(&self) -> Association {
        Association {
            network: self.network,
            tag: self.tag,
            ports: [self.source.port(), self.destination.port()],
        }
    }

    /// The packet that the walk found in `frame`; `None` if its header was cut.
    pub(in crate::decode) fn read(
        frame: &Frame<'a>,
        around: Around,
        segment: &ringtap_classify::Segment,
    ) -> Option<Self> {
        let (source, destination, bytes) = transport(frame, segment)?;
        let span = segment.segment;
        let ([_, _, _, _, t0, t1, t2, t3, _, _, _, _], chunks) = bytes.split_first_chunk::<12>()?;
        Some(Self {
            time: frame.time,
            source,
            destination,
            network: around.network_of(frame.link, segment.vlans),
            tag: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            chunks,
            cut: span.cut,
        })
    }

    /// Its chunks in order, up to one that contradicts itself.
    pub(super) fn iter(&self) -> Chunks<'a> {
        Chunks {
            rest: self.chunks,
            cut: self.cut,
        }
    }
}

/// What a chunk is to who looks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk<'a> {
    Data(Data<'a>),
    /// The sender has given up everything up to this number (RFC 3758 §3.2, RFC 8260 §2.3.1).
    Forward(u32),
    /// The association ends.
    End,
    Other,
    /// Data whose header is cut or contradicts itself.
    Malformed,
}

/// A message, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data<'a> {
    /// Transmission sequence number.
    pub(super) tsn: u32,
    pub(super) message: MessageKey,
    /// Its place in a message, if that does not go by TSN.
    pub(super) fragment: Option<u32>,
    /// The first piece.
    pub(super) is_begin: bool,
    /// The last piece.
    pub(super) is_end: bool,
    /// What the payload is said to be. RFC 4168 gives SIP none; 0 says nothing.
    pub(super) protocol: u32,
    /// As much of it as was captured.
    pub(super) octets: &'a [u8],
    /// It was longer on the wire.
    pub(super) is_cut: bool,
}

/// What pieces of one message have in common. Of those without order it is not enough, but then B and E bits part them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MessageKey {
    /// As `I-DATA` (RFC 8260 §2.1).
    is_interleaved: bool,
    stream: u16,
    is_unordered: bool,
    /// Stream sequence number, or message identifier.
    number: u32,
}

/// See [`Packet::iter`].
pub(super) struct Chunks<'a> {
    rest: &'a [u8],
    cut: bool,
}

const DATA: u8 = 0;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const SHUTDOWN_COMPLETE: u8 = 14;
const I_DATA: u8 = 64;
const FORWARD_TSN: u8 = 192;
const I_FORWARD_TSN: u8 = 194;

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let ([kind, flags, l0, l1], value) = self.rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let is_cut = len > self.rest.len();
        if len < 4 || (is_cut && !self.cut) {
            self.rest = &[];
            return Some(match *kind {
                DATA | I_DATA => Chunk::Malformed,
                _ => Chunk::Other,
            });
        }
        let value = value.get(..len - 4).unwrap_or(value);
        // Chunks are padded to words; the padding is not in their length (RFC 9260 §3.2).
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(match *kind {
            DATA => data(*flags, value, is_cut).map_or(Chunk::Malformed, Chunk::Data),
            I_DATA => interleaved(*flags, value, is_cut).map_or(Chunk::Malformed, Chunk::Data),
            FORWARD_TSN | I_FORWARD_TSN => match value.first_chunk() {
                Some(tsn) => Chunk::Forward(u32::from_be_bytes(*tsn)),
                None => Chunk::Other,
            },
            ABORT | SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => Chunk::End,
            _ => Chunk::Other,
        })
    }
}

/// RFC 9260 §3.3.1.
fn data(flags: u8, value: &[u8], is_cut: bool) -> Option<Data<'_>> {
    let ([t0, t1, t2, t3, s0, s1, n0, n1, p0, p1, p2, p3], octets) = value.split_first_chunk::<12>()?;
    let is_unordered = flags & 4 != 0;
    // Of those without order the receiver must not look at it (§3.3.1).
    let number = if is_unordered { [0; 2] } else { [*n0, *n1] };
    Some(Data {
        tsn: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
        message: MessageKey {
            is_interleaved: false,
            stream: u16::from_be_bytes([*s0, *s1]),
            is_unordered,
            number: u32::from(u16::from_be_bytes(number)),
        },
        fragment: None,
        is_begin: flags & 2 != 0,
        is_end: flags & 1 != 0,
        protocol: u32::from_be_bytes([*p0, *p1, *p2, *p3]),
        octets,
        is_cut,
    })
    .filter(|data| !data.octets.is_empty() || is_cut)
}

/// RFC 8260 §2.1.
fn interleaved(flags: u8, value: &[u8], is_cut: bool) -> Option<Data<'_>> {
    let ([t0, t1, t2, t3, s0, s1, _, _, m0, m1, m2, m3, f0, f1, f2, f3], octets) =
        value.split_first_chunk::<16>()?;
    let is_begin = flags & 2 != 0;
    // The first piece has the protocol where the others have their place.
    let shared = u32::from_be_bytes([*f0, *f1, *f2, *f3]);
    Some(Data {
        tsn: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
        message: MessageKey {
            is_interleaved: true,
            stream: u16::from_be_bytes([*s0, *s1]),
            is_unordered: flags & 4 != 0,
            number: u32::from_be_bytes([*m0, *m1, *m2, *m3]),
        },
        fragment: Some(if is_begin { 0 } else { shared }),
        is_begin,
        is_end: flags & 1 != 0,
        protocol: if is_begin { shared } else { 0 },
        octets,
        is_cut,
    })
    .filter(|data| !data.octets.is_empty() || is_cut)
}

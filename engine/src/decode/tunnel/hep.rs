//! HEP version 3: what the agents of a capturing system (Homer's and others) send of the messages that they saw.
//!
//! A packet is a list of chunks. Those that say between which addresses the message went and what it is are read, the rest is stepped over.
//! The time of the message is that of the frame which brought it: each agent has a clock of its own, and what several
//! of them saw of one call, and what came without them, must stand on one line of time. It is late by the way here, which
//! is the same for all messages of an agent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringtap_classify::Span;

use super::Closed;
use crate::capture::Frame;
use crate::decode::Payload;

const MAGIC: &[u8] = b"HEP3";
/// Generic chunks; others are a vendor's own.
const GENERIC: u16 = 0;
const CHUNK_HEADER_LEN: usize = 6;
/// Protocol type of SIP.
const SIP: u8 = 1;
/// Agents send some fifteen.
const CHUNKS_MAX: usize = 64;

const SOURCE_V4: u16 = 0x0003;
const DESTINATION_V4: u16 = 0x0004;
const SOURCE_V6: u16 = 0x0005;
const DESTINATION_V6: u16 = 0x0006;
const SOURCE_PORT: u16 = 0x0007;
const DESTINATION_PORT: u16 = 0x0008;
const PROTOCOL_TYPE: u16 = 0x000b;
const PAYLOAD: u16 = 0x000f;
const COMPRESSED_PAYLOAD: u16 = 0x0010;

/// What the chunks said so far.
#[derive(Default)]
struct Found<'a> {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: u16,
    destination_port: u16,
    protocol_type: Option<u8>,
    payload: Option<(&'a [u8], bool)>,
    compressed: bool,
}

/// The message that the packet in `span` brings.
pub(super) fn open<'a>(frame: &Frame<'a>, span: &Span) -> Result<Payload<'a>, Closed> {
    let packet = frame
        .bytes
        .get(span.at..span.at + span.len)
        .ok_or(Closed::Malformed)?;
    let ([_, _, _, _, l0, l1], _) = packet.split_first_chunk().ok_or(Closed::Malformed)?;
    if !packet.starts_with(MAGIC) {
        return Err(Closed::Malformed);
    }
    let len = usize::from(u16::from_be_bytes([*l0, *l1]));
    let chunks = packet.get(..len).unwrap_or(packet);
    let found = read(chunks.get(MAGIC.len() + 2..).ok_or(Closed::Malformed)?)?;
    if found.protocol_type != Some(SIP) {
        return Err(Closed::NothingInside);
    }
    let (octets, truncated) = match found.payload {
        Some(payload) => payload,
        None if found.compressed => return Err(Closed::Compressed),
        None => return Err(Closed::Malformed),
    };
    let (Some(source), Some(destination)) = (found.source, found.destination) else {
        return Err(Closed::Malformed);
    };
    Ok(Payload {
        time: frame.time,
        source: SocketAddr::new(source, found.source_port),
        destination: SocketAddr::new(destination, found.destination_port),
        octets,
        truncated,
    })
}

/// Reads chunks to the end. The payload is the one that the capture may have cut: agents send it last.
fn read(mut rest: &[u8]) -> Result<Found<'_>, Closed> {
    let mut found = Found::default();
    for _ in 0..CHUNKS_MAX {
        let Some(([v0, v1, t0, t1, l0, l1], behind)) = rest.split_first_chunk::<CHUNK_HEADER_LEN>() else {
            break;
        };
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let len = len.checked_sub(CHUNK_HEADER_LEN).ok_or(Closed::Malformed)?;
        let (content, following) = behind.split_at_checked(len).unwrap_or((behind, &[]));
        rest = following;
        if u16::from_be_bytes([*v0, *v1]) != GENERIC {
            continue;
        }
        let kind = u16::from_be_bytes([*t0, *t1]);
        match (kind, content) {
            (SOURCE_V4, [a, b, c, d]) => found.source = Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
            (DESTINATION_V4, [a, b, c, d]) => found.destination = Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
            (SOURCE_V6, _) => found.source = Some(v6(content)?),
            (DESTINATION_V6, _) => found.destination = Some(v6(content)?),
            (SOURCE_PORT, [high, low]) => found.source_port = u16::from_be_bytes([*high, *low]),
            (DESTINATION_PORT, [high, low]) => found.destination_port = u16::from_be_bytes([*high, *low]),
            (PROTOCOL_TYPE, [kind]) => found.protocol_type = Some(*kind),
            (PAYLOAD, _) => found.payload = Some((content, content.len() < len)),
            (COMPRESSED_PAYLOAD, _) => found.compressed = true,
            (SOURCE_V4 | DESTINATION_V4 | SOURCE_PORT | DESTINATION_PORT | PROTOCOL_TYPE, _) => {
                return Err(Closed::Malformed);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn v6(content: &[u8]) -> Result<IpAddr, Closed> {
    let octets: [u8; 16] = content.try_into().map_err(|_| Closed::Malformed)?;
    Ok(Ipv6Addr::from(octets).into())
}

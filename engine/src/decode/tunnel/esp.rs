//! ESP that protects without encrypting (RFC 2410), as the phones of an IMS often use it (TS 33.203). Nothing in a packet says so: it is
//! tried whether what would stand where fits together (RFC 5879).

use ringtap_classify::{
    self as classify, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Octets as _, PROTOCOL_IPV4, PROTOCOL_IPV6,
    PROTOCOL_TCP, PROTOCOL_UDP, Span,
};

use super::{Capsule, Closed, Inside, header};

/// Security parameters index and sequence number.
const HEADER_LEN: usize = 8;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;
/// What stands at the end: HMAC-MD5-96 and HMAC-SHA-1-96 (TS 33.203 annex H), and those of 128 bits.
const CHECK_LENS: [usize; 2] = [12, 16];
const UDP_HEADER_LEN: usize = 8;
const TCP_HEADER_LEN: usize = 20;
const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

/// What is in there, if it can be read. What was cut cannot: the end says what it is.
pub(super) fn open<'a>(
    bytes: &[u8],
    capsule: &Capsule,
    is_sip: impl Fn(u16) -> bool,
) -> Result<Inside<'a>, Closed> {
    let Span { at, cut, .. } = capsule.span;
    let spi: [u8; 4] = header(bytes, at)?;
    if cut {
        return Err(Closed::Malformed);
    }
    let inside = CHECK_LENS
        .iter()
        .find_map(|check_len| content(bytes, at + HEADER_LEN, *check_len, &is_sip));
    let (next, end) = inside.ok_or(Closed::Malformed)?;
    let (at, inner) = (at + HEADER_LEN, bytes.get(..end).ok_or(Closed::Malformed)?);
    let spi = u32::from_be_bytes(spi);
    // A tunnel's packets have addresses of their own; else they are those around it.
    let (walk, id) = match (next, capsule.ip) {
        (PROTOCOL_IPV4, _) => (classify::network(inner, ETHERTYPE_IPV4, at), Some(spi)),
        (PROTOCOL_IPV6, _) => (classify::network(inner, ETHERTYPE_IPV6, at), Some(spi)),
        (protocol, Some(ip)) => (
            classify::transport_at(inner, (ip, capsule.vlans), protocol, at, end),
            None,
        ),
        (_, None) => return Err(Closed::Malformed),
    };
    Ok(Inside::Walked { walk, end, id })
}

/// What the content that begins at `at` is and where it ends, if all that can be checked fits.
fn content(bytes: &[u8], at: usize, check_len: usize, is_sip: impl Fn(u16) -> bool) -> Option<(u8, usize)> {
    let trailer_at = bytes.len().checked_sub(check_len + TRAILER_LEN)?;
    let [pad_len, next] = bytes.chunk(trailer_at)?;
    let end = trailer_at.checked_sub(usize::from(pad_len))?;
    let content = bytes.get(at..end)?;
    // RFC 4303 §2.4: 1, 2, 3 and so on.
    let padding = bytes.get(end..trailer_at)?;
    let pads = padding
        .iter()
        .zip(1..=u8::MAX)
        .all(|(octet, number)| *octet == number);
    let fits = match next {
        PROTOCOL_UDP => {
            content.len() >= UDP_HEADER_LEN && content.be16_at(4).map(usize::from) == Some(content.len())
        }
        // The length of a segment stands nowhere. Where nobody looks for SIP nothing is lost by not believing it.
        PROTOCOL_TCP => {
            let offset = content.u8_at(12)?;
            let header_len = usize::from(offset >> 4) * 4;
            let on_sip_port = [0, 2]
                .into_iter()
                .any(|at| content.be16_at(at).is_some_and(&is_sip));
            offset & 0x0f == 0 && (TCP_HEADER_LEN..=content.len()).contains(&header_len) && on_sip_port
        }
        PROTOCOL_IPV4 => {
            content.u8_at(0)? >> 4 == 4
                && content.len() >= IPV4_HEADER_LEN
                && content.be16_at(2).map(usize::from) == Some(content.len())
        }
        PROTOCOL_IPV6 => {
            content.u8_at(0)? >> 4 == 6
                && content.be16_at(4).map(|len| usize::from(len) + IPV6_HEADER_LEN) == Some(content.len())
        }
        _ => false,
    };
    (pads && fits).then_some((next, end))
}

//! Encapsulations inside UDP that carry packets or frames: VXLAN, Geneve, GTP-U, TZSP.

use ringtap_classify::{self as classify, Octets as _};

use super::{Closed, Inside, header, of_ethertype, until, walked};

/// RFC 7348 §5.
pub(super) fn vxlan<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    const HAS_NETWORK: u8 = 0x08;
    let [flags, _, _, _, v0, v1, v2, _] = header(bytes, at)?;
    if flags & HAS_NETWORK == 0 {
        return Err(Closed::Malformed);
    }
    let network = u32::from_be_bytes([0, v0, v1, v2]);
    Ok(walked(classify::ethernet_at(bytes, at + 8), bytes, network))
}

/// RFC 8926 §3.4. What options say changes nothing of what is inside.
pub(super) fn geneve<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    const CONTROL: u8 = 0x80;
    let [first, flags, p0, p1, v0, v1, v2, _] = header(bytes, at)?;
    if first >> 6 != 0 {
        return Err(Closed::Malformed);
    }
    if flags & CONTROL != 0 {
        return Err(Closed::NothingInside);
    }
    let at = at + 8 + usize::from(first & 0x3f) * 4;
    let network = u32::from_be_bytes([0, v0, v1, v2]);
    of_ethertype(bytes, u16::from_be_bytes([p0, p1]), at, network)
}

/// TS 29.281 §5. Only G-PDUs carry a user's packet.
pub(super) fn gtp_u<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    /// Version 1, GTP and not GTP'.
    const VERSION: u8 = 0x30;
    const VERSION_MASK: u8 = 0xf0;
    const EXTENDED: u8 = 0x04;
    const OPTIONAL: u8 = 0x07;
    const G_PDU: u8 = 255;
    /// Real chains have one header, or two.
    const EXTENSIONS_MAX: usize = 8;
    let [flags, message, l0, l1, teid @ ..] = header::<8>(bytes, at)?;
    if flags & VERSION_MASK != VERSION {
        return Err(Closed::Malformed);
    }
    if message != G_PDU {
        return Err(Closed::NothingInside);
    }
    let mut at = at + 8;
    let bytes = until(bytes, at + usize::from(u16::from_be_bytes([l0, l1])));
    if flags & OPTIONAL != 0 {
        let [_, _, _, mut next] = header(bytes, at)?;
        at += 4;
        // What stands in these fields counts only if its own flag is set (§5.1).
        if flags & EXTENDED == 0 {
            next = 0;
        }
        for _ in 0..EXTENSIONS_MAX {
            if next == 0 {
                break;
            }
            // Of a length in words of four octets, whose last one names what follows (§5.2.1).
            let [words] = header(bytes, at)?;
            if words == 0 {
                return Err(Closed::Malformed);
            }
            at += usize::from(words) * 4;
            [next] = header(bytes, at - 1)?;
        }
        if next != 0 {
            return Err(Closed::Malformed);
        }
    }
    match bytes.u8_at(at).map(|first| first >> 4) {
        Some(4 | 6) => Ok(walked(classify::ip(bytes, at), bytes, u32::from_be_bytes(teid))),
        // A session of PPP or Ethernet.
        Some(_) => Err(Closed::NothingInside),
        None => Err(Closed::Malformed),
    }
}

/// Version and type, the kind of frame, tagged fields up to the one that says that the frame begins.
pub(super) fn tzsp<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    const VERSION: u8 = 1;
    const ETHERNET: u16 = 1;
    const PADDING: u8 = 0;
    const END: u8 = 1;
    /// Sensors tell of signal, rate, channel, time and some more.
    const TAGS_MAX: usize = 64;
    let [version, message, p0, p1] = header(bytes, at)?;
    if version != VERSION {
        return Err(Closed::Malformed);
    }
    // A frame that was received, or is to be sent; the rest keeps the two in touch.
    if message > 1 || u16::from_be_bytes([p0, p1]) != ETHERNET {
        return Err(Closed::NothingInside);
    }
    let mut at = at + 4;
    for _ in 0..TAGS_MAX {
        match header(bytes, at)? {
            [PADDING] => at += 1,
            [END] => return Ok(walked(classify::ethernet_at(bytes, at + 1), bytes, 0)),
            _ => {
                let [_, len] = header(bytes, at)?;
                at += 2 + usize::from(len);
            }
        }
    }
    Err(Closed::Malformed)
}

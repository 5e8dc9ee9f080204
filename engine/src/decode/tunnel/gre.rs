//! GRE (RFC 2784, RFC 2890), ERSPAN in it, and the form of it that carries PPP (RFC 2637).

use ringtap_classify as classify;

use super::{Closed, Inside, header, of_ethertype, shim, until, walked};

const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const VERSION_MASK: u8 = 0x07;
/// ERSPAN I and II.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
/// The low ten bits of an ERSPAN header's second word.
const SESSION_MASK: u16 = 0x03ff;

/// What is in the GRE packet at `at`. Source routes (RFC 1701) nobody uses.
pub(super) fn open<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    let [flags, version, p0, p1] = header(bytes, at)?;
    match version & VERSION_MASK {
        0 => {}
        1 => return of_ppp(bytes, at, flags, version),
        _ => return Err(Closed::Malformed),
    }
    if flags & ROUTING != 0 {
        return Err(Closed::Malformed);
    }
    let mut at = at + 4;
    if flags & CHECKSUM != 0 {
        at += 4;
    }
    let mut key = [0; 4];
    if flags & KEY != 0 {
        key = header(bytes, at)?;
        at += 4;
    }
    let has_sequence = flags & SEQUENCE != 0;
    if has_sequence {
        at += 4;
    }
    match u16::from_be_bytes([p0, p1]) {
        // Type I has no header of its own, and no sequence numbers.
        ERSPAN if !has_sequence => Ok(walked(
            classify::ethernet_at(bytes, at),
            bytes,
            u32::from_be_bytes(key),
        )),
        ERSPAN => erspan_ii(bytes, at),
        ERSPAN_III => erspan_iii(bytes, at),
        ethertype => of_ethertype(bytes, ethertype, at, u32::from_be_bytes(key)),
    }
}

/// Version 1 (RFC 2637 §4.1): the key is the length of what is carried, and the call's number. An acknowledgement alone carries
/// nothing.
fn of_ppp<'a>(bytes: &[u8], at: usize, flags: u8, version: u8) -> Result<Inside<'a>, Closed> {
    const ACKNOWLEDGEMENT: u8 = 0x80;
    const PPP: u16 = 0x880b;
    let [_, _, p0, p1, l0, l1, c0, c1] = header(bytes, at)?;
    if flags & (CHECKSUM | ROUTING | KEY) != KEY || u16::from_be_bytes([p0, p1]) != PPP {
        return Err(Closed::Malformed);
    }
    if flags & SEQUENCE == 0 {
        return Err(Closed::NothingInside);
    }
    let at = at + 12 + if version & ACKNOWLEDGEMENT == 0 { 0 } else { 4 };
    let bytes = until(bytes, at + usize::from(u16::from_be_bytes([l0, l1])));
    shim::ppp(bytes, at, u32::from(u16::from_be_bytes([c0, c1])))
}

/// Version 1 and VLAN; class of service and session; index.
fn erspan_ii<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    let [version, _, s0, s1, _, _, _, _] = header(bytes, at)?;
    if version >> 4 != 1 {
        return Err(Closed::Malformed);
    }
    let walk = classify::ethernet_at(bytes, at + 8);
    Ok(walked(walk, bytes, session([s0, s1])))
}

/// Version 2 and VLAN; session; timestamp; group tag; what the frame is, and whether a platform's words follow.
fn erspan_iii<'a>(bytes: &[u8], at: usize) -> Result<Inside<'a>, Closed> {
    let [version, _, s0, s1, _, _, _, _, _, _, kind, last] = header(bytes, at)?;
    if version >> 4 != 2 {
        return Err(Closed::Malformed);
    }
    let at = at + 12 + usize::from(last & 1) * 8;
    let walk = match kind >> 2 & 0x1f {
        0 => classify::ethernet_at(bytes, at),
        2 => classify::ip(bytes, at),
        _ => return Err(Closed::NothingInside),
    };
    Ok(walked(walk, bytes, session([s0, s1])))
}

fn session(field: [u8; 2]) -> u32 {
    u32::from(u16::from_be_bytes(field) & SESSION_MASK)
}

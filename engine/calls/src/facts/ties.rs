//! What ties a leg to legs of other Call-IDs: the keys K2, K3, K5, K6 and the dialog that an INVITE takes
//! over (K4), read off its INVITEs (semantics.md §4.1).
//!
//! Only hashes are kept: a key is compared, never shown. What two legs with an equal key are to each other
//! is decided in [`crate::settler`].

use std::net::IpAddr;

use arrayvec::ArrayVec;
use ringtap_identity::Segment;
use ringtap_sip::dialog::{DialogRef, replaces};
use ringtap_sip::sdp::Offer;
use ringtap_sip::{Header, Message, Params};

use super::observe::Context;
use crate::hash::{HashKey, LegKey};

/// Keys kept of one leg. A leg over four segments with media anchored on the way has eight.
pub(crate) const TIES_MAX: usize = 16;
/// A charging id shorter than this identifies nothing (K2).
const ICID_BYTES_MIN: usize = 8;
/// An SDP session id shorter than this is a counter or a constant, not an identifier.
const SDP_ID_BYTES_MIN: usize = 6;

/// Which of the keys of §4.1, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum TieKind {
    /// K2: `icid-value`, or the `related-icid` that names another session's.
    Icid,
    /// K3: the originator's half of Session-ID.
    Session,
    /// K5: a configured header.
    Header,
    /// K6: `o=` of the offer, or the address of its first stream.
    Sdp,
}

/// A key: its kind and 62 bits of a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tie(u64);

impl Tie {
    const KIND_SHIFT: u32 = 62;

    fn new<const N: usize>(kind: TieKind, keys: &HashKey, parts: [&[u8]; N]) -> Self {
        Self((kind as u64) << Self::KIND_SHIFT | keys.short_text(parts) >> 2)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Of what [`bits`](Self::bits) gave.
    pub(crate) const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn kind(self) -> TieKind {
        match self.0 >> Self::KIND_SHIFT {
            0 => TieKind::Icid,
            1 => TieKind::Session,
            2 => TieKind::Header,
            _ => TieKind::Sdp,
        }
    }
}

/// The ties of one leg: a set that any order of its INVITEs gives.
#[derive(Clone, Debug)]
pub(crate) enum Ties {
    /// In place, or none if its bits are 0.
    One(Tie),
    /// Just as many as there are: they take memory for as long as the leg is open.
    Many(Box<[Tie]>),
}

/// Ties while an INVITE is read.
struct Reading(ArrayVec<Tie, { TIES_MAX + 1 }>);

impl Reading {
    fn add(&mut self, tie: Tie) {
        if let Err(at) = self.0.binary_search(&tie) {
            self.0.insert(at, tie);
            self.0.truncate(TIES_MAX);
        }
    }
}

impl Default for Ties {
    fn default() -> Self {
        Self::One(Tie(0))
    }
}

impl Ties {
    pub(crate) const fn keys(&self) -> &[Tie] {
        match self {
            Self::One(Tie(0)) => &[],
            Self::One(tie) => std::slice::from_ref(tie),
            Self::Many(ties) => ties,
        }
    }

    fn of(ties: &[Tie]) -> Self {
        match ties {
            [] => Self::default(),
            [tie] if tie.0 != 0 => Self::One(*tie),
            _ => Self::Many(Box::from(ties)),
        }
    }

    /// Reads an initial INVITE.
    pub(crate) fn read(
        &mut self,
        invite: &Message<'_>,
        offer: Option<&Offer<'_>>,
        segment: Segment,
        context: &Context<'_>,
    ) {
        let mut found = Reading(self.keys().iter().copied().collect());
        found.read(invite, offer, segment, context);
        // The greatest give way where there are too many, so as many as before may be others.
        if *found.0 != *self.keys() {
            *self = Self::of(&found.0);
        }
    }
}

impl Reading {
    fn read(
        &mut self,
        invite: &Message<'_>,
        offer: Option<&Offer<'_>>,
        segment: Segment,
        context: &Context<'_>,
    ) {
        let keys = context.keys;
        // On Gm the phone could write it itself; there the legs are tied by K1 anyway (§4.1, K2).
        if !matches!(segment, Segment::Go | Segment::Gt)
            && let Some(vector) = invite.header(Header::PChargingVector)
        {
            for name in [&b"icid-value"[..], b"related-icid"] {
                if let Some(icid) = Params::new(vector)
                    .get(name)
                    .filter(|v| v.len() >= ICID_BYTES_MIN)
                {
                    self.add(Tie::new(TieKind::Icid, keys, [icid]));
                }
            }
        }
        if let Some(uuid) = invite.header(Header::SessionId).and_then(originator) {
            self.add(Tie::new(TieKind::Session, keys, [&uuid]));
        }
        for name in context.rules.correlation_headers() {
            if let Some(value) = invite.field(name.as_bytes()).filter(|value| !value.is_empty()) {
                self.add(Tie::new(TieKind::Header, keys, [name.as_bytes(), value]));
            }
        }
        if let Some(offer) = offer.map(|offer| offer.origin) {
            if let Some([user, id, address]) = offer.session
                && id.len() >= SDP_ID_BYTES_MIN
                && !is_nowhere(address)
            {
                self.add(Tie::new(TieKind::Sdp, keys, [b"o", user, id, address]));
            }
            // Port 9 is what an offer without addresses yet says (RFC 8839 §4.3.1).
            if let Some((address, port)) = offer.stream
                && !is_nowhere(address)
                && port != b"9"
            {
                self.add(Tie::new(TieKind::Sdp, keys, [b"m", address, port]));
            }
        }
    }
}

/// The dialog that an INVITE takes over, under either tag as the caller's.
pub(super) fn replaced(invite: &Message<'_>, keys: &HashKey) -> Option<[LegKey; 2]> {
    let dialog = invite.header(Header::Replaces).and_then(replaces)?;
    Some(either_way(&dialog, keys))
}

/// An address that is nobody's: unspecified or loopback.
fn is_nowhere(address: &[u8]) -> bool {
    // Most begin otherwise than `0.0.0.0`, `127.0.0.1`, `::`, `::1` and their longer forms.
    if !matches!(address, [b'0' | b':', ..] | [b'1', b'2', b'7', ..]) {
        return false;
    }
    let parsed = std::str::from_utf8(address)
        .ok()
        .and_then(|text| text.parse::<IpAddr>().ok());
    parsed.is_some_and(|address| address.is_unspecified() || address.is_loopback())
}

fn either_way(dialog: &DialogRef<'_>, keys: &HashKey) -> [LegKey; 2] {
    [
        keys.leg(dialog.call_id, dialog.from_tag),
        keys.leg(dialog.call_id, dialog.to_tag),
    ]
}

/// The originator's UUID of a Session-ID (RFC 7989 §5; RFC 7329 has only the one), in lower case. The nil
/// UUID says nothing.
fn originator(value: &[u8]) -> Option<[u8; 32]> {
    let local = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let uuid: [u8; 32] = local.try_into().ok()?;
    let is_one = uuid.iter().all(u8::is_ascii_hexdigit) && uuid.iter().any(|digit| *digit != b'0');
    is_one.then(|| uuid.map(|digit| digit.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches the nil UUID, the remote half and half a UUID taken for the originator's.
    #[test]
    fn session_ids() {
        let uuid = *b"ab30317f1a784dc48ff824d0d3715d86";
        assert_eq!(
            originator(b"AB30317f1a784dc48ff824d0d3715d86 ;remote=00000000000000000000000000000000"),
            Some(uuid)
        );
        assert_eq!(originator(b"ab30317f1a784dc48ff824d0d3715d86"), Some(uuid));
        assert_eq!(originator(b"00000000000000000000000000000000;remote=x"), None);
        assert_eq!(originator(b"ab30317f"), None);
    }

    /// Catches an address of somebody taken for nobody's, and any form of nobody's taken for somebody's.
    #[test]
    fn addresses_of_nobody() {
        for (address, is) in [
            ("0.0.0.0", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::", true),
            ("::1", true),
            ("0:0:0:0:0:0:0:1", true),
            ("0000:0000:0000:0000:0000:0000:0000:0000", true),
            ("10.0.0.1", false),
            ("1270.0.0.1", false),
            ("0.0.0.1", false),
            ("::2", false),
            ("0:0::2", false),
            ("2001:db8::1", false),
            ("", false),
        ] {
            assert_eq!(is_nowhere(address.as_bytes()), is, "{address}");
        }
    }

    /// Catches ties lost or made up between none, one and several, one of the bits that stand for none among them.
    #[test]
    fn as_many_as_there_are() {
        for ties in [&[][..], &[7], &[0], &[0, 7], &[7, 8, 9]] {
            let ties: Vec<Tie> = ties.iter().map(|bits| Tie(*bits)).collect();
            assert_eq!(Ties::of(&ties).keys(), ties);
        }
        assert!(size_of::<Ties>() <= 16);
    }

    /// Catches kinds that are mixed up.
    #[test]
    fn a_tie_knows_its_kind() {
        let keys = HashKey::random();
        for kind in [TieKind::Icid, TieKind::Session, TieKind::Header, TieKind::Sdp] {
            assert_eq!(Tie::new(kind, &keys, [b"x"]).kind(), kind);
        }
    }
}

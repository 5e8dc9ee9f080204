//! Whether a leg is still what its last sketch told, apart from ends.
//!
//! When a leg closes, mostly nothing has happened since the table last told of it but that it ended. Then the sketch that
//! the registry has is right in all by which a leg is found and remembered, and a new one, for which every
//! identity has to be hashed again, need not be made unless the leg is weighed against others.

use ringtap_identity::ClaimSource;
use ringtap_record::Time;

use crate::facts::LegFacts;
use crate::facts::hop::Hop;
use crate::tick::Tick;

/// Hops that are compared; of a leg that has more a sketch is always made anew.
const HOPS_MAX: usize = 6;

/// What a leg's sketch hangs on, beside its start, that can change without the table having news to tell. Everything else
/// that stands in a sketch, ends left out, changes only together with [`LegFacts::has_news`] or by a registration, which
/// shows in the caller's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    to: u8,
    caller: Option<(ClaimSource, u8)>,
    /// Role, target and whether the INVITE was seen, of each hop that counts.
    hops: [u16; HOPS_MAX],
    /// How many hops count: those beyond `hops` too.
    count: u8,
}

/// It is kept with each sketch.
const _: () = assert!(size_of::<Shape>() <= 16);

impl Shape {
    /// Without its hops.
    pub(super) fn of(leg: &LegFacts) -> Self {
        Self {
            to: octet(leg.to.place()),
            caller: leg.claim.source,
            hops: [0; HOPS_MAX],
            count: 0,
        }
    }

    /// Adds a hop that counts.
    pub(super) fn add(&mut self, hop: &Hop) {
        if let Some(place) = self.hops.get_mut(usize::from(self.count)) {
            *place = of_hop(hop);
        }
        self.count = self.count.saturating_add(1);
    }

    /// Whether a leg that had this shape, and began at that time, is the same still.
    pub(super) fn is_still_of(&self, start: Time, leg: &LegFacts) -> bool {
        let (mut shape, mut invite) = (Self::of(leg), Tick::NEVER);
        for hop in leg.invite_hops() {
            invite.earliest(hop.invite);
            shape.add(hop);
        }
        let began = invite.time(leg.base).unwrap_or_else(|| leg.first_sign());
        usize::from(self.count) <= HOPS_MAX && *self == shape && start == began
    }
}

fn of_hop(hop: &Hop) -> u16 {
    let target = u16::from(octet(hop.target.place()));
    let role = hop.segment as u16;
    target << 8 | role << 1 | u16::from(hop.has(Hop::INVITE))
}

/// Indices of identities are octets.
fn octet(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

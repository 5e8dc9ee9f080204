//! A timer wheel over slots of a slab: each entry in at most one place, no allocation after the start.

use ringtap_record::Time;

/// End of a list.
const NIL: u32 = u32::MAX;
/// In place of the entry before: this one is in no list.
const OUT: u32 = u32::MAX - 1;
/// Width of a slot: that of a live tick, the finest that anybody asks for.
const SLOT_US: i64 = 32_000;
/// Slots of the wheel: 262 s, beyond every timer; later deadlines go around and are put in again.
const SLOTS: u32 = 8192;

/// An entry's place in the wheel. It stands in the owner's slab element, so that a deadline costs no
/// memory access of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
    /// Number of the slot since the epoch, the low 32 bits: see [`is_by`].
    slot: u32,
}

impl Links {
    /// Whether the entry stands in the wheel.
    pub(crate) const fn is_armed(&self) -> bool {
        self.previous != OUT
    }

    pub(crate) const OUT: Self = Self {
        previous: OUT,
        next: NIL,
        slot: 0,
    };
}

/// The low bits of a slot's number. They tell its place among the heads, of which there is a power of two.
fn low(slot: i64) -> u32 {
    u32::try_from(slot.rem_euclid(1 << 32)).unwrap_or_default()
}

/// Whether `armed` comes no later than `slot`. Both lie within one turn of the wheel, once that has turned at all; before,
/// they may be further apart, which 2³¹ slots (two years) have room for, and then the first turn empties every list.
const fn is_by(armed: u32, slot: u32) -> bool {
    slot.wrapping_sub(armed) <= u32::MAX / 2
}

/// Gives the wheel access to the links in the slab.
pub(crate) trait Linked {
    fn links(&mut self, index: u32) -> Option<&mut Links>;
}

/// The heads of the slots' lists.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Vec<u32>,
    /// All slots before this one have been emptied.
    now: Option<i64>,
    /// Entries in it: without any, no slot has to be looked at, however long it was.
    armed: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            heads: vec![NIL; usize::try_from(SLOTS).unwrap_or_default()],
            now: None,
            armed: 0,
        }
    }

    fn head(&mut self, slot: u32) -> &mut u32 {
        let at = usize::try_from(slot % SLOTS).unwrap_or_default();
        // The remainder is below the length by construction.
        #[expect(clippy::indexing_slicing, reason = "the remainder bounds it")]
        &mut self.heads[at]
    }

    /// Puts an entry where its deadline is due, and takes it out of where it was. An entry that is due
    /// later than its slot may stay: it is looked at again when the slot comes.
    pub(crate) fn arm(&mut self, slab: &mut impl Linked, index: u32, deadline: Time) {
        let due = deadline.as_micros().div_euclid(SLOT_US) + 1;
        let turn = i64::from(SLOTS - 1);
        let first = self.now.unwrap_or(due.saturating_sub(turn));
        let slot = low(due.clamp(first, first.saturating_add(turn)));
        let Some(links) = slab.links(index) else { return };
        if links.is_armed() && is_by(links.slot, slot) {
            return;
        }
        self.disarm(slab, index);
        self.armed += 1;
        let head = std::mem::replace(self.head(slot), index);
        if let Some(links) = slab.links(head) {
            links.previous = index;
        }
        if let Some(links) = slab.links(index) {
            *links = Links {
                previous: NIL,
                next: head,
                slot,
            };
        }
    }

    /// Takes an entry out.
    pub(crate) fn disarm(&mut self, slab: &mut impl Linked, index: u32) {
        let Some(links) = slab.links(index).filter(|links| links.is_armed()) else {
            return;
        };
        let Links { previous, next, slot } = std::mem::replace(links, Links::OUT);
        self.armed = self.armed.saturating_sub(1);
        match slab.links(previous) {
            Some(links) => links.next = next,
            None => *self.head(slot) = next,
        }
        if let Some(links) = slab.links(next) {
            links.previous = previous;
        }
    }

    /// Takes out one entry whose slot has come by `now`. The owner looks at its real deadline and arms it
    /// again if that is later.
    pub(crate) fn pop(&mut self, slab: &mut impl Linked, now: Time) -> Option<u32> {
        let due = now.as_micros().div_euclid(SLOT_US);
        let turned = due.saturating_sub(i64::from(SLOTS - 1));
        let mut slot = self.now.unwrap_or(turned).max(turned);
        while slot <= due && self.armed > 0 {
            let head = *self.head(low(slot));
            if head != NIL {
                self.now = Some(slot);
                self.disarm(slab, head);
                return Some(head);
            }
            slot += 1;
        }
        self.now = Some(due.saturating_add(1));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    impl Linked for Vec<Links> {
        fn links(&mut self, index: u32) -> Option<&mut Links> {
            self.get_mut(usize::try_from(index).ok()?)
        }
    }

    /// Catches a slot taken for a later one where the low bits of their numbers begin anew between them.
    #[test]
    fn slots_have_an_order_where_numbers_begin_anew() {
        for slot in [0, 1, SLOTS, u32::MAX - 1, u32::MAX] {
            assert!(is_by(slot, slot));
            assert!(is_by(slot, slot.wrapping_add(SLOTS)));
            assert!(!is_by(slot.wrapping_add(1), slot));
        }
        assert_eq!(low((13 << 32) + 5), 5);
    }

    /// Catches entries lost or left behind, against a sorted map as the obvious wheel.
    #[test]
    fn gives_out_what_a_sorted_map_does() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut wheel, mut slab, mut model) = (Wheel::new(), vec![Links::OUT; 40], BTreeMap::new());
            // Half of them over the moment at which the low bits of a slot's number begin anew: the last was in August 2026.
            let anew = (13 << 32) * SLOT_US;
            let mut now = anew - [200_000_000, 80_000_000_000_000][usize::from(seed % 2 == 0)];
            for _ in 0..400 {
                let index = random.u32(0..40);
                let deadline = Time::from_micros(now + random.i64(0..400_000_000));
                if let Entry::Vacant(free) = model.entry(index) {
                    wheel.arm(&mut slab, index, deadline);
                    free.insert(deadline);
                } else {
                    match random.u8(0..4) {
                        0 => {
                            wheel.disarm(&mut slab, index);
                            model.remove(&index);
                        }
                        1 => {
                            wheel.arm(&mut slab, index, deadline);
                            model.insert(index, deadline);
                        }
                        _ => {}
                    }
                }
                now += random.i64(0..60_000_000);
                while let Some(index) = wheel.pop(&mut slab, Time::from_micros(now)) {
                    let due = *model.get(&index).expect("only armed entries come out");
                    if due.as_micros() > now {
                        wheel.arm(&mut slab, index, due);
                    } else {
                        model.remove(&index);
                    }
                }
                assert!(
                    model.values().all(|due| due.as_micros() > now - 2 * SLOT_US),
                    "seed {seed}: left behind"
                );
            }
        }
    }
}

//! A timer wheel over slots of a slab: each entry in at most one place, no allocation after the start.

use ringtap_record::Time;

/// End of a list.
const NIL: u32 = u32::MAX;
/// Width of a slot: that of a live tick, the finest that anybody asks for.
const SLOT_US: i64 = 32_000;
/// Slots of the wheel: 262 s, beyond every timer; later deadlines go around and are put in again.
const SLOTS: i64 = 8192;

/// An entry's place in the wheel. It stands in the owner's slab element, so that a deadline costs no
/// memory access of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
    /// Number of the slot since the epoch; `None` while not in the wheel.
    slot: Option<i64>,
}

impl Links {
    /// Whether the entry stands in the wheel.
    pub(crate) const fn is_armed(&self) -> bool {
        self.slot.is_some()
    }

    pub(crate) const OUT: Self = Self {
        previous: NIL,
        next: NIL,
        slot: None,
    };
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

    fn head(&mut self, slot: i64) -> &mut u32 {
        let at = usize::try_from(slot.rem_euclid(SLOTS)).unwrap_or_default();
        // The remainder is below the length by construction.
        #[expect(clippy::indexing_slicing, reason = "rem_euclid bounds it")]
        &mut self.heads[at]
    }

    /// Puts an entry where its deadline is due, and takes it out of where it was. An entry that is due
    /// later than its slot may stay: it is looked at again when the slot comes.
    pub(crate) fn arm(&mut self, slab: &mut impl Linked, index: u32, deadline: Time) {
        let due = deadline.as_micros().div_euclid(SLOT_US) + 1;
        let first = self.now.unwrap_or(due.saturating_sub(SLOTS - 1));
        let slot = due.clamp(first, first.saturating_add(SLOTS - 1));
        let Some(links) = slab.links(index) else { return };
        if links.slot.is_some_and(|armed| armed <= slot) {
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
                slot: Some(slot),
            };
        }
    }

    /// Takes an entry out.
    pub(crate) fn disarm(&mut self, slab: &mut impl Linked, index: u32) {
        let Some(links) = slab.links(index) else { return };
        let Links {
            previous,
            next,
            slot: Some(slot),
        } = std::mem::replace(links, Links::OUT)
        else {
            return;
        };
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
        let mut slot = self
            .now
            .unwrap_or(due.saturating_sub(SLOTS - 1))
            .max(due.saturating_sub(SLOTS - 1));
        while slot <= due && self.armed > 0 {
            let head = *self.head(slot);
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

    /// Catches entries lost, given out early or left behind, against a sorted map as the obvious wheel.
    #[test]
    fn gives_out_what_a_sorted_map_does() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut wheel, mut slab, mut model) = (Wheel::new(), vec![Links::OUT; 40], BTreeMap::new());
            let mut now = 1_700_000_000_000_000;
            for _ in 0..400 {
                let index = random.u32(0..40);
                let deadline = Time::from_micros(now + random.i64(0..400_000_000));
                if let Entry::Vacant(free) = model.entry(index) {
                    wheel.arm(&mut slab, index, deadline);
                    free.insert(deadline);
                } else if random.u8(0..4) == 0 {
                    wheel.disarm(&mut slab, index);
                    model.remove(&index);
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

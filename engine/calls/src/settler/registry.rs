//! The legs that the settler knows of: open ones by their sketch, closed ones until their call is judged.
//!
//! It answers one question: which legs may be of one call with this one? What it gives is bounded, whatever
//! the traffic: of many calls by one caller to one callee the nearest in time.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use hashbrown::HashTable;
use ringtap_record::Time;
use smallvec::SmallVec;

use super::hashed::{Hashed, HashedMap};
use super::index::{Index, Key, Legs};
use super::sketch::{OpenLeg, Sketch, short_name};
use crate::facts::ClosedLeg;
use crate::facts::ties::Tie;
use crate::hash::{HashKey, LegKey};
use crate::rules::Rules;

/// Legs looked at together. The largest group the corpus knows has five; a group of forty phones behind
/// one pilot has forty-one.
const NEIGHBOURS_MAX: usize = 96;
/// Legs taken from one key's list on each side of the asking leg in time.
const NEAREST: usize = 24;
/// So many legs with the same caller and called at once are a crowd: no switchboard makes them, a flood does. Of a crowd fewer
/// are weighed, for weighing costs by the pair.
const CROWD: usize = 256;
/// Legs taken from a crowd on each side of the asking leg in time.
const NEAREST_OF_CROWD: usize = 8;
/// Legs looked at together where one of them is of a crowd.
const NEIGHBOURS_OF_CROWD_MAX: usize = 32;
/// How far back in such a list an origin is looked for.
const ORIGIN_AFTER: usize = 1024;
/// Legs that waited for the one that closes, and are weighed with it: a queue's agents.
const WAITED_MAX: usize = 1024;
/// Keys of a leg for which place is set aside: who called whom, and its dialog. How many ties there are depends on the network.
const KEYS: usize = 2;
/// A tie that so many legs have at once is a constant and identifies nothing (K2, degenerate values).
const TIE_LEGS_MAX: usize = 64;

/// A leg's place in the registry.
pub(super) type Slot = u32;

/// A leg that is known.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sketch: OpenLeg,
    /// The whole leg, once it is closed.
    pub(super) facts: Option<ClosedLeg>,
}

const _: () = assert!(size_of::<Option<Entry>>() <= 16);

/// A leg that was known.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) sketch: OpenLeg,
    pub(super) facts: Option<ClosedLeg>,
    /// Closed legs that waited for it, if it was open.
    pub(super) waiters: Vec<Slot>,
}

impl Entry {
    /// An open leg that asks for a colleague's call (D49).
    const fn is_open_code(&self) -> bool {
        self.sketch.is_pickup && self.facts.is_none()
    }

    /// The leg is closed, and its sketch is one of the time before: it lacks the ends.
    fn is_rough(&self) -> bool {
        self.facts.is_some() && self.sketch.until() == Time::MAX
    }
}

#[derive(Debug)]
pub(super) struct Registry {
    entries: Entries,
    free: Vec<Slot>,
    /// Open legs of pickup codes.
    open_codes: usize,
    by_id: HashTable<Slot>,
    /// Legs by key.
    index: Index,
    /// Closed legs that wait for an open one, by that. Most legs are never waited for.
    waiters: HashedMap<u64, Vec<Slot>>,
    /// Legs that found a list full, so that they are not found by every key.
    left_out: HashSet<u64, BuildHasherDefault<Hashed>>,
}

#[derive(Debug, Default)]
struct Entries(Vec<Option<Entry>>);

impl Entries {
    fn get(&self, slot: Slot) -> Option<&Entry> {
        self.0.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<Entry>> {
        self.0.get_mut(usize::try_from(slot).ok()?)
    }

    /// When the leg in this slot began.
    fn start(&self, slot: Slot) -> Time {
        self.get(slot).map_or(Time::MAX, |entry| entry.sketch.start)
    }
}

/// A slot as a key of [`HashedMap`]: its bits, spread over all 64.
const fn spread(slot: Slot) -> u64 {
    (slot as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Legs for which place is set aside at the start, at most: some 9 MiB.
const SET_ASIDE_MAX: usize = 1 << 17;

impl Registry {
    /// Place for so many legs is set aside, up to what costs little where few come: what grows by doubling keeps everybody waiting while
    /// it moves.
    pub(super) fn new(legs: usize) -> Self {
        let legs = legs.min(SET_ASIDE_MAX);
        Self {
            entries: Entries(Vec::with_capacity(legs)),
            free: Vec::new(),
            open_codes: 0,
            by_id: HashTable::with_capacity(legs),
            index: Index::new(legs.saturating_mul(KEYS)),
            waiters: HashedMap::default(),
            left_out: HashSet::default(),
        }
    }

    /// Forgets all legs.
    pub(super) fn clear(&mut self) {
        self.entries.0.clear();
        self.free.clear();
        self.open_codes = 0;
        self.by_id.clear();
        self.index.clear();
        self.waiters.clear();
        self.left_out.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.0.len() - self.free.len()
    }

    /// Open legs that ask for a colleague's call (D49).
    pub(super) const fn open_codes(&self) -> usize {
        self.open_codes
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot)
    }

    fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.place(slot)?.as_mut()
    }

    /// Learns of an open leg, or of what is new of it.
    pub(super) fn note(&mut self, sketch: OpenLeg) {
        self.put(sketch, None);
    }

    /// Takes a closed leg in.
    pub(super) fn close(&mut self, facts: ClosedLeg, keys: &HashKey, rules: &Rules) -> Slot {
        if let Some(slot) = self.slot_of(id(facts.key, short_name(&facts.name)))
            && !self.left_out.contains(&spread(slot))
            && let Some(entry) = self.entry_mut(slot)
            && entry.facts.is_none()
            && entry.sketch.is_still_of(&facts)
        {
            debug_assert!(
                entry
                    .sketch
                    .is_same_but_for_ends(&Sketch::of(&facts, keys, rules, false))
            );
            let was_open_code = entry.is_open_code();
            entry.facts = Some(facts);
            self.open_codes -= usize::from(was_open_code);
            return slot;
        }
        let sketch = Box::new(Sketch::of(&facts, keys, rules, false));
        self.put(sketch, Some(facts))
    }

    /// Sees to it that the sketch of a closed leg tells of its ends, as who weighs it needs it to.
    pub(super) fn refine(&mut self, slot: Slot, keys: &HashKey, rules: &Rules) {
        if let Some(entry) = self.entry_mut(slot).filter(|entry| entry.is_rough())
            && let Some(facts) = &entry.facts
        {
            *entry.sketch = Sketch::of(facts, keys, rules, false);
        }
    }

    /// A closed leg waits for this open one.
    pub(super) fn wait(&mut self, open: Slot, waiter: Slot) {
        if self.entry(open).is_some() {
            self.waiters.entry(spread(open)).or_default().push(waiter);
        }
    }

    /// The legs that waited for this one, which wait no longer.
    pub(super) fn take_waiters(&mut self, slot: Slot) -> Vec<Slot> {
        self.waiters.remove(&spread(slot)).unwrap_or_default()
    }

    fn slot_of(&self, id: u64) -> Option<Slot> {
        let is_it = |slot: &Slot| self.entry(*slot).is_some_and(|entry| id_of(&entry.sketch) == id);
        self.by_id.find(id, is_it).copied()
    }

    fn put(&mut self, sketch: OpenLeg, facts: Option<ClosedLeg>) -> Slot {
        let known = self.slot_of(id_of(&sketch));
        // A leg that was closed and still waits keeps what it knows: the table forgot it meanwhile, and a late
        // frame made it anew.
        if let Some(slot) = known
            && self.entry(slot).is_some_and(|entry| entry.facts.is_some())
        {
            return slot;
        }
        // Mostly a leg is found by the same keys as before: then the indices stay as they are. Where one was full there may be room by now.
        if let Some(slot) = known
            && !self.left_out.contains(&spread(slot))
            && let Some(entry) = self.entry_mut(slot)
            && entry.sketch.start == sketch.start
            && entry.sketch.is_found_alike(&sketch)
        {
            let was_open_code = entry.is_open_code();
            (entry.sketch, entry.facts) = (sketch, facts);
            let is_open_code = entry.is_open_code();
            self.open_codes = self.open_codes + usize::from(is_open_code) - usize::from(was_open_code);
            return slot;
        }
        if let Some(slot) = known {
            self.unlink(slot);
        }
        let slot = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.entries.0.push(None);
            Slot::try_from(self.entries.0.len() - 1).unwrap_or(Slot::MAX)
        });
        let mut is_left_out = false;
        for key in keys_of(&sketch) {
            let entries = &self.entries;
            let place = (sketch.start, slot);
            is_left_out |= !self.index.add(key, place, |other| entries.start(other));
        }
        if is_left_out {
            self.left_out.insert(spread(slot));
        }
        let (id, entry) = (id_of(&sketch), Entry { sketch, facts });
        self.open_codes += usize::from(entry.is_open_code());
        if let Some(place) = self.entries.place(slot) {
            *place = Some(entry);
        }
        if known.is_none() {
            let entries = &self.entries;
            self.by_id.insert_unique(id, slot, |slot| {
                entries.get(*slot).map_or(0, |entry| id_of(&entry.sketch))
            });
        }
        slot
    }

    /// Takes a leg out of the indices and off its slot, which stays its own.
    fn unlink(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.place(slot)?.take()?;
        for key in keys_of(&entry.sketch) {
            self.index.remove(key, (entry.sketch.start, slot));
        }
        self.left_out.remove(&spread(slot));
        self.open_codes -= usize::from(entry.is_open_code());
        Some(entry)
    }

    /// Takes a leg out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Gone> {
        let Entry { sketch, facts } = self.unlink(slot)?;
        self.free_slot(slot, &sketch);
        let waiters = self.take_waiters(slot);
        Some(Gone {
            sketch,
            facts,
            waiters,
        })
    }

    /// Gives the slot of a leg that is in no index any more to another.
    fn free_slot(&mut self, slot: Slot, of: &Sketch) {
        if let Ok(known) = self.by_id.find_entry(id_of(of), |other| *other == slot) {
            known.remove();
        }
        self.free.push(slot);
    }

    /// Takes a closed leg out that shares no key with any other, that no other waits for, and that is no pickup code's (D49).
    pub(super) fn take_lone(&mut self, slot: Slot) -> Option<(OpenLeg, ClosedLeg)> {
        let at = spread(slot);
        let is_wanted = self.waiters.contains_key(&at) || self.left_out.contains(&at);
        let place = self.entries.place(slot)?;
        let entry = place.as_ref()?;
        if is_wanted
            || entry.facts.is_none()
            || entry.sketch.is_pickup
            || !self.index.remove_lone(&keys_of(&entry.sketch), slot)
        {
            return None;
        }
        let Entry { sketch, facts } = place.take()?;
        self.free_slot(slot, &sketch);
        Some((sketch, facts?))
    }

    /// Every leg that may be of one call with this one, directly or through others, in the order of
    /// [`Sketch::order`]; those that `waited` for it at any rate. Whether some had to be left out.
    pub(super) fn neighbours(&self, of: Slot, waited: &[Slot]) -> (Vec<Slot>, bool) {
        let mut found: Vec<Slot> = vec![of];
        let waited = waited
            .iter()
            .filter(|slot| **slot != of && self.entry(**slot).is_some());
        found.extend(waited.take(WAITED_MAX));
        let waited = found.len();
        let mut most = NEIGHBOURS_MAX.max(waited);
        let (mut at, mut is_cut) = (0, false);
        while let Some(slot) = found.get(at).copied() {
            at += 1;
            let Some(entry) = self.entry(slot) else { continue };
            for key in keys_of(&entry.sketch) {
                let asking = (entry.sketch.start, slot);
                let lone;
                let list = match self.index.legs(key) {
                    None => continue,
                    Some(Legs::One(slot)) => {
                        lone = [(self.entries.start(slot), slot)];
                        &lone
                    }
                    Some(Legs::Many(list)) => list,
                };
                let is_tie = entry.sketch.has_tie(Tie::of_bits(key));
                if is_tie && list.len() > TIE_LEGS_MAX {
                    continue;
                }
                let is_crowd = list.len() > CROWD;
                if is_crowd {
                    most = most.min(NEIGHBOURS_OF_CROWD_MAX.max(waited));
                }
                let reach = if is_crowd { NEAREST_OF_CROWD } else { NEAREST };
                let here = list.partition_point(|place| *place < asking);
                let nearest = here.saturating_sub(reach)..(here + reach).min(list.len());
                // A call may have begun long before its latest leg: a queue's, say.
                let origin = list
                    .get(here.saturating_sub(ORIGIN_AFTER)..nearest.start)
                    .unwrap_or_default()
                    .iter()
                    .rfind(|(_, other)| self.is_origin(*other));
                let nearest = list.get(nearest).unwrap_or_default().iter();
                for (is_origin, (_, other)) in origin
                    .into_iter()
                    .map(|place| (true, place))
                    .chain(nearest.map(|place| (false, place)))
                {
                    if found.contains(other) {
                        continue;
                    }
                    // Without its origin a leg is a call of its own.
                    let most = if is_origin { NEIGHBOURS_MAX.max(most) } else { most };
                    if found.len() >= most {
                        is_cut = true;
                        break;
                    }
                    found.push(*other);
                }
            }
        }
        found.sort_by_key(|slot| self.entry(*slot).map(|entry| entry.sketch.order()));
        (found, is_cut)
    }

    fn is_origin(&self, slot: Slot) -> bool {
        self.entry(slot)
            .is_some_and(|entry| entry.sketch.roles.has_origin())
    }

    /// The first sign of the oldest leg known, found by a walk over all.
    pub(super) fn earliest(&self) -> Option<Time> {
        let entries = self.entries.0.iter().flatten();
        let starts = entries.map(|entry| match &entry.facts {
            Some(facts) => facts.first_sign().min(entry.sketch.start),
            None => entry.sketch.start,
        });
        starts.min()
    }

    /// Every leg, the earliest first.
    pub(super) fn closed(&self) -> Vec<Slot> {
        let mut slots: Vec<(_, Slot)> = self
            .by_id
            .iter()
            .filter_map(|slot| {
                let entry = self.entry(*slot)?;
                entry.facts.is_some().then(|| (entry.sketch.order(), *slot))
            })
            .collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// Under which keys a leg is found.
fn keys_of(sketch: &Sketch) -> SmallVec<[Key; 12]> {
    // By pushes, which cost a fourth of what `extend` does for so few.
    let mut keys = SmallVec::new();
    for tie in sketch.ties() {
        keys.push(tie.bits());
    }
    keys.push(dialog(sketch.key));
    for caller in sketch.callers() {
        // Whom History-Info names is among the called.
        for callee in sketch.callees() {
            keys.push(caller.rotate_left(23) ^ callee);
        }
    }
    for taken in sketch.takes_over.iter().flat_map(|either| either.iter()) {
        keys.push(dialog(*taken));
    }
    keys
}

/// What tells a leg from all others: nobody outside can choose it, for the key is a keyed hash.
const fn id(key: LegKey, name: u64) -> u64 {
    dialog(key) ^ name
}

const fn id_of(sketch: &Sketch) -> u64 {
    id(sketch.key, sketch.name)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half of a 128-bit hash is a 64-bit hash"
)]
const fn dialog(key: LegKey) -> Key {
    key as u64
}

#[cfg(test)]
mod tests {
    use ringtap_config::Config;

    use super::*;
    use crate::facts::LegFacts;
    use crate::settler::index::LIST_MAX;

    /// A leg of the one caller to the one callee, by its sketch.
    fn sketch(number: u32, keys: &HashKey, rules: &Rules) -> OpenLeg {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&number.to_le_bytes());
        let leg = LegFacts::new(name, keys.leg(&name, b"1"), Time::from_micros(i64::from(number)));
        Box::new(Sketch::of(&leg, keys, rules, true).between(1, 2))
    }

    /// Catches a leg that has closed and goes on looking open to those it is weighed against.
    #[test]
    fn who_closed_tells_of_its_end_when_weighed() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new(0);
        let mut leg = LegFacts::new([0; 32], keys.leg(b"a", b"1"), Time::from_micros(1));
        leg.has_news = false;
        registry.note(Box::new(Sketch::of(&leg, &keys, &rules, true)));
        let slot = registry.close(Box::new(leg), &keys, &rules);
        assert_eq!(
            registry.entry(slot).unwrap().sketch.until(),
            Time::MAX,
            "not the quick way"
        );
        registry.refine(slot, &keys, &rules);
        let whole = Sketch::of(
            registry.entry(slot).unwrap().facts.as_ref().unwrap(),
            &keys,
            &rules,
            false,
        );
        assert_ne!(whole.until(), Time::MAX);
        assert_eq!(registry.entry(slot).unwrap().sketch.until(), whole.until());
    }

    /// Catches a leg that found a list full and is not looked for a place again, when it is told of the next time and there is one.
    #[test]
    fn who_found_a_list_full_is_taken_in_later() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new(0);
        let most = u32::try_from(LIST_MAX).unwrap();
        let slots: Vec<Slot> = (0..=most)
            .map(|number| registry.put(sketch(number, &keys, &rules), None))
            .collect();
        let listed = |registry: &Registry| {
            let key = keys_of(&sketch(0, &keys, &rules))[1];
            let Some(Legs::Many(list)) = registry.index.legs(key) else {
                panic!("there are several")
            };
            (
                list.len(),
                list.iter().any(|(_, slot)| Some(slot) == slots.last()),
            )
        };
        assert_eq!(listed(&registry), (LIST_MAX, false));
        registry.remove(slots[0]).unwrap();
        registry.put(sketch(most, &keys, &rules), None);
        assert_eq!(listed(&registry), (LIST_MAX, true));
        // Who stands in the lists stays there as it is told of again, once.
        registry.put(sketch(most, &keys, &rules), None);
        assert_eq!(listed(&registry), (LIST_MAX, true));
    }
}

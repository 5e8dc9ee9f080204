//! The legs that the settler knows of: open ones by their sketch, closed ones until their call is judged.
//!
//! It answers one question: which legs may be of one call with this one? What it gives is bounded, whatever
//! the traffic: of many calls by one caller to one callee the nearest in time.

use ringtap_record::Time;
use smallvec::SmallVec;

use super::hashed::HashedMap;
use super::sketch::{OpenLeg, Sketch};
use crate::facts::ClosedLeg;
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
/// Legs that a list holds; what comes then is not found by that key any more. A list is kept in order, which costs by its length.
const LIST_MAX: usize = 4096;
/// How far back in such a list an origin is looked for.
const ORIGIN_AFTER: usize = 1024;
/// Legs that waited for the one that closes, and are weighed with it: a queue's agents.
const WAITED_MAX: usize = 1024;
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
    /// Closed legs that wait for this open one.
    pub(super) waiters: Vec<Slot>,
    /// A list was full, so that it is not found by every key.
    is_left_out: bool,
}

impl Entry {
    /// An open leg that asks for a colleague's call (D49).
    const fn is_open_code(&self) -> bool {
        self.sketch.is_pickup && self.facts.is_none()
    }
}

/// What legs are found by: a hash of a tie, of caller and called, of a dialog. Two that meet by chance only
/// cost a look.
type Key = u64;

/// Legs with one key, ordered by start.
type List = SmallVec<[(Time, Slot); 1]>;

#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: Vec<Option<Entry>>,
    free: Vec<Slot>,
    /// Open legs of pickup codes.
    open_codes: usize,
    by_id: HashedMap<u64, Slot>,
    /// Legs by key, ordered by start.
    index: HashedMap<Key, List>,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Open legs that ask for a colleague's call (D49).
    pub(super) const fn open_codes(&self) -> usize {
        self.open_codes
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    pub(super) fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(slot).ok()?)?.as_mut()
    }

    /// Learns of an open leg, or of what is new of it.
    pub(super) fn note(&mut self, sketch: OpenLeg) {
        self.put(sketch, None);
    }

    /// Takes a closed leg in.
    pub(super) fn close(&mut self, facts: ClosedLeg, keys: &HashKey, rules: &Rules) -> Slot {
        let sketch = Box::new(Sketch::of(&facts, keys, rules, false));
        self.put(sketch, Some(facts))
    }

    fn put(&mut self, sketch: OpenLeg, facts: Option<ClosedLeg>) -> Slot {
        let known = self.by_id.get(&id(&sketch)).copied();
        // A leg that was closed and still waits keeps what it knows: the table forgot it meanwhile, and a late
        // frame made it anew.
        if let Some(slot) = known
            && self.entry(slot).is_some_and(|entry| entry.facts.is_some())
        {
            return slot;
        }
        // Mostly a leg is found by the same keys as before: then the indices stay as they are. Where one was full there may be room by now.
        if let Some(slot) = known
            && let Some(entry) = self.entry_mut(slot)
            && !entry.is_left_out
            && entry.sketch.start == sketch.start
            && keys_of(&entry.sketch) == keys_of(&sketch)
        {
            let was_open_code = entry.is_open_code();
            (entry.sketch, entry.facts) = (sketch, facts);
            let is_open_code = entry.is_open_code();
            self.open_codes = self.open_codes + usize::from(is_open_code) - usize::from(was_open_code);
            return slot;
        }
        let waiters = known.and_then(|slot| self.unlink(slot));
        let slot = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.entries.push(None);
            Slot::try_from(self.entries.len() - 1).unwrap_or(Slot::MAX)
        });
        let mut is_left_out = false;
        for key in keys_of(&sketch) {
            let list = self.index.entry(key).or_default();
            let place = (sketch.start, slot);
            if let Err(at) = list.binary_search(&place) {
                if list.len() < LIST_MAX {
                    list.insert(at, place);
                } else {
                    is_left_out = true;
                }
            }
        }
        self.by_id.insert(id(&sketch), slot);
        let entry = Entry {
            sketch,
            facts,
            waiters: waiters.map(|entry| entry.waiters).unwrap_or_default(),
            is_left_out,
        };
        self.open_codes += usize::from(entry.is_open_code());
        if let Some(place) = usize::try_from(slot).ok().and_then(|at| self.entries.get_mut(at)) {
            *place = Some(entry);
        }
        slot
    }

    /// Takes a leg out of the indices and off its slot, which stays its own.
    fn unlink(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.get_mut(usize::try_from(slot).ok()?)?.take()?;
        for key in keys_of(&entry.sketch) {
            if let std::collections::hash_map::Entry::Occupied(mut list) = self.index.entry(key) {
                if let Ok(at) = list.get().binary_search(&(entry.sketch.start, slot)) {
                    list.get_mut().remove(at);
                }
                if list.get().is_empty() {
                    list.remove();
                }
            }
        }
        self.open_codes -= usize::from(entry.is_open_code());
        Some(entry)
    }

    /// Takes a leg out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.unlink(slot)?;
        self.by_id.remove(&id(&entry.sketch));
        self.free.push(slot);
        Some(entry)
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
                let Some(list) = self.index.get(&key) else {
                    continue;
                };
                let is_tie = entry.sketch.ties.iter().any(|tie| tie.bits() == key);
                if is_tie && list.len() > TIE_LEGS_MAX {
                    continue;
                }
                let is_crowd = list.len() > CROWD;
                if is_crowd {
                    most = most.min(NEIGHBOURS_OF_CROWD_MAX.max(waited));
                }
                let reach = if is_crowd { NEAREST_OF_CROWD } else { NEAREST };
                let here = list.partition_point(|place| *place < (entry.sketch.start, slot));
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
        let entries = self.entries.iter().flatten();
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
            .values()
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
    for tie in &sketch.ties {
        keys.push(tie.bits());
    }
    keys.push(dialog(sketch.key));
    for caller in sketch.callers() {
        // Whom History-Info names is among the called.
        for callee in &sketch.callees {
            keys.push(caller.rotate_left(23) ^ callee);
        }
    }
    for taken in sketch.takes_over.into_iter().flatten() {
        keys.push(dialog(taken));
    }
    keys
}

/// What tells a leg from all others: nobody outside can choose it, for the key is a keyed hash.
fn id(sketch: &Sketch) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sketch.name;
    dialog(sketch.key) ^ u64::from_le_bytes([a, b, c, d, e, f, g, h])
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

    /// A leg of the one caller to the one callee, by its sketch.
    fn sketch(number: u32, keys: &HashKey, rules: &Rules) -> OpenLeg {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&number.to_le_bytes());
        let leg = LegFacts::new(name, keys.leg(&name, b"1"), Time::from_micros(i64::from(number)));
        let mut sketch = Sketch::of(&leg, keys, rules, true);
        (sketch.caller, sketch.callees) = (1, SmallVec::from_slice(&[2]));
        Box::new(sketch)
    }

    /// Catches a leg that found a list full and is not looked for a place again, when it is told of the next time and there is one.
    #[test]
    fn who_found_a_list_full_is_taken_in_later() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::default();
        let most = u32::try_from(LIST_MAX).unwrap();
        let slots: Vec<Slot> = (0..=most)
            .map(|number| registry.put(sketch(number, &keys, &rules), None))
            .collect();
        let listed = |registry: &Registry| {
            let key = keys_of(&sketch(0, &keys, &rules))[1];
            let list = registry.index.get(&key).unwrap();
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

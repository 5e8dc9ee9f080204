//! Legs by their keys: which have one in common.
//!
//! Nearly every key is one leg's alone or that of two, and all of them change with every leg. So they stand in a map that has an entry for
//! each leg under each of its keys, and only what many legs share has a list.

use ringtap_record::Time;
use smallvec::SmallVec;

use super::blocks::Slot;
use super::multimap::{Multimap, NUMBERS, Run};

/// What legs are found by: a hash of a tie, of caller and called, of a dialog. The index keeps 38 bits of it, so a leg of another key may
/// stand among those of this one: who looks for kin compares keys.
pub(super) type Key = u64;

/// A leg's place in a list.
pub(super) type Place = (Time, Slot);

/// Legs that a list holds; what comes then is not found by that key any more. A list is kept in order, which costs by its length.
pub(super) const LIST_MAX: usize = 4096;

/// Legs under one key that do without a list.
const FEW: usize = 8;

/// Legs with one key, ordered by start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Legs<'i> {
    Few(SmallVec<[Place; 2]>),
    Many(&'i [Place]),
}

impl std::ops::Deref for Legs<'_> {
    type Target = [Place];

    fn deref(&self) -> &[Place] {
        match self {
            Self::Few(few) => few,
            Self::Many(many) => many,
        }
    }
}

/// In the map: a list's number instead of a slot. Slots beyond are never given: the memory for as many legs is nowhere.
const LISTED: u32 = 1 << 31;

const _: () = assert!(NUMBERS > LISTED);

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    map: Multimap,
    lists: Vec<Vec<Place>>,
    free: Vec<u32>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            map: Multimap::new(),
            lists: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.map.clear();
        self.lists.clear();
        self.free.clear();
    }

    /// The legs with this key. `start` tells when one began.
    pub(super) fn legs(&self, key: Key, start: impl Fn(Slot) -> Time) -> Legs<'_> {
        let run = self.map.find(key);
        match self.listed(&run).and_then(list_at).map(|at| self.lists.get(at)) {
            Some(list) => Legs::Many(list.map_or(&[], Vec::as_slice)),
            None => Legs::Few(self.few(&run, start)),
        }
    }

    /// No leg stands under this key, nor under another of the same bits.
    pub(super) fn is_free(&self, key: Key) -> bool {
        self.map.cells(&self.map.find(key)).is_empty()
    }

    /// The slots of the legs with this key; of many the latest first.
    pub(super) fn slots(&self, key: Key) -> impl Iterator<Item = Slot> {
        let run = self.map.find(key);
        let list = self
            .listed(&run)
            .and_then(list_at)
            .and_then(|at| self.lists.get(at));
        let few = self.map.cells(&run).iter().map(|cell| cell.number());
        let few = few.filter(|number| number & LISTED == 0);
        few.chain(list.into_iter().flatten().rev().map(|(_, slot)| *slot))
    }

    fn few(&self, run: &Run, start: impl Fn(Slot) -> Time) -> SmallVec<[Place; 2]> {
        let mut few = SmallVec::new();
        for cell in self.map.cells(run) {
            few.push((start(cell.number()), cell.number()));
        }
        few.sort_unstable();
        few
    }

    /// The list that stands for a run, as it stands in the map.
    fn listed(&self, run: &Run) -> Option<u32> {
        let first = self.map.cells(run).first();
        first
            .map(|cell| cell.number())
            .filter(|number| number & LISTED != 0)
    }

    /// Adds a leg, once. False if `most` stand there already. `start` tells when another began.
    pub(super) fn add(&mut self, key: Key, place: Place, most: usize, start: impl Fn(Slot) -> Time) -> bool {
        if self.map.push_first(key, place.1) {
            return true;
        }
        let run = self.map.find(key);
        if let Some(at) = self.listed(&run).and_then(list_at) {
            return self
                .lists
                .get_mut(at)
                .is_some_and(|list| insert(list, place, most));
        }
        let few = self.map.cells(&run);
        if few.iter().any(|cell| cell.number() == place.1) {
            return true;
        }
        if few.len() < FEW {
            self.map.push(&run, place.1);
            return true;
        }
        let mut list = self.few(&run, start).into_vec();
        let is_in = insert(&mut list, place, most);
        let number = self.keep(list);
        self.map.replace(&run, number);
        is_in
    }

    /// Gives a list its number.
    fn keep(&mut self, list: Vec<Place>) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.lists.push(Vec::new());
            u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX) | LISTED
        });
        if let Some(place) = list_at(number).and_then(|at| self.lists.get_mut(at)) {
            *place = list;
        }
        number
    }

    /// Takes a leg out, if it is there.
    pub(super) fn remove(&mut self, key: Key, place: Place) {
        let run = self.map.find(key);
        let Some(number) = self.listed(&run) else {
            let mut few = self.map.cells(&run).iter();
            if let Some(at) = few.position(|cell| cell.number() == place.1) {
                self.map.remove(&run, at);
            }
            return;
        };
        let Some(list) = list_at(number).and_then(|at| self.lists.get_mut(at)) else {
            return;
        };
        if let Ok(at) = list.binary_search(&place) {
            list.remove(at);
        }
        if list.len() < FEW / 2 {
            let list = std::mem::take(list);
            self.free.push(number);
            self.dissolve(key, &list);
        } else if list.len() < list.capacity() / 4 {
            list.shrink_to(list.capacity() / 2);
        }
    }

    /// Has legs stand in the map again whose list is gone.
    fn dissolve(&mut self, key: Key, list: &[Place]) {
        let Some(((_, first), others)) = list.split_first() else {
            return;
        };
        self.map.replace(&self.map.find(key), *first);
        for (_, slot) in others {
            self.map.push(&self.map.find(key), *slot);
        }
    }

    /// Takes a leg out that stands under all of these keys, if no other has any of them; else leaves all as it is.
    /// Whether it did.
    pub(super) fn remove_lone(&mut self, keys: &[Key], slot: Slot) -> bool {
        // The same key again finds nothing.
        let kept = keys.iter().position(|key| !self.map.remove_only(*key, slot));
        // It was alone under the keys before that one.
        for key in keys.iter().take(kept.unwrap_or(0)) {
            self.map.push_first(*key, slot);
        }
        kept.is_none()
    }
}

/// Where a list stands whose number is in the map.
fn list_at(number: u32) -> Option<usize> {
    usize::try_from(number & !LISTED).ok()
}

/// False if the list is full.
fn insert(list: &mut Vec<Place>, place: Place, most: usize) -> bool {
    match list.binary_search(&place) {
        Ok(_) => true,
        Err(at) if list.len() < most => {
            list.insert(at, place);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Catches a crowd that leaves and whose list keeps the memory, as far as it left or but for two.
    #[test]
    fn a_crowd_takes_its_list_along() {
        let mut index = Index::new();
        let place = |slot: Slot| (Time::from_micros(i64::from(slot)), slot);
        let start = |slot| place(slot).0;
        let many = Slot::try_from(LIST_MAX).unwrap();
        for slot in 0..many {
            assert!(index.add(7, place(slot), LIST_MAX, start));
        }
        for slot in (2..many).rev() {
            index.remove(7, place(slot));
            let left = usize::try_from(slot).unwrap();
            let room: usize = index.lists.iter().map(Vec::capacity).sum();
            assert!(room <= 4 * left, "room for {room} of {left}");
        }
        assert_eq!((index.lists.len(), index.free.len()), (1, 1));
        assert_eq!(index.lists[0].capacity(), 0);
        assert_eq!(
            index.legs(7, start),
            Legs::Few(SmallVec::from_slice(&[place(0), place(1)]))
        );
        // The next crowd has that list's number.
        for slot in 0..many {
            assert!(index.add(8, place(slot), LIST_MAX, start));
        }
        assert_eq!((index.lists.len(), index.legs(8, start).len()), (1, LIST_MAX));
        assert_eq!(index.legs(7, start).len(), 2);
    }

    /// Catches legs that are lost, found twice, out of order or under another's key, and a lone one that is not told from others, by comparison
    /// with plain lists.
    #[test]
    fn as_plain_lists() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut is_listed = false;
        for _ in 0..50 {
            let (mut index, mut lists) = (Index::new(), BTreeMap::<Key, Vec<Place>>::new());
            // A leg has its start for good, and three keys of its own choice among few or among many.
            let mut legs: Vec<Option<[Key; 3]>> = vec![None; 24];
            let keys = random.u64(1..40);
            let start = |slot: Slot| Time::from_micros(i64::from(slot % 5));
            for _ in 0..400 {
                let slot = random.u32(0..24);
                let place = (start(slot), slot);
                let at = usize::try_from(slot).unwrap();
                let Some(own) = legs[at] else {
                    // They differ in the upper octet or in the lower one.
                    let own = [0; 3].map(|_| {
                        let key = random.u64(0..keys);
                        if key.is_multiple_of(2) { key << 57 } else { key }
                    });
                    legs[at] = Some(own);
                    for key in own {
                        assert!(index.add(key, place, LIST_MAX, start));
                        let list = lists.entry(key).or_default();
                        list.retain(|other| *other != place);
                        list.push(place);
                        list.sort_unstable();
                    }
                    continue;
                };
                let is_lone = own.iter().all(|key| lists[key] == [place]);
                if random.bool() {
                    assert_eq!(index.remove_lone(&own, slot), is_lone);
                    if !is_lone {
                        continue;
                    }
                } else {
                    own.iter().for_each(|key| index.remove(*key, place));
                }
                legs[at] = None;
                lists
                    .values_mut()
                    .for_each(|list| list.retain(|other| *other != place));
                for (key, list) in &lists {
                    assert_eq!(&*index.legs(*key, start), list.as_slice());
                    let mut slots: Vec<Slot> = index.slots(*key).collect();
                    slots.sort_unstable();
                    let mut expected: Vec<Slot> = list.iter().map(|(_, slot)| *slot).collect();
                    expected.sort_unstable();
                    assert_eq!(slots, expected);
                    is_listed |= matches!(index.legs(*key, start), Legs::Many(_));
                }
            }
        }
        assert!(is_listed, "no list");
    }
}

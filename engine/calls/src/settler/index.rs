//! Legs by their keys: which have one in common.
//!
//! Nearly every key is one leg's alone, and all of them change with every leg. So a key takes 12 octets, and only what
//! several legs share has a list.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use ringtap_record::Time;

use super::registry::Slot;

/// What legs are found by: a hash of a tie, of caller and called, of a dialog. Two that meet by chance only
/// cost a look.
pub(super) type Key = u64;

/// A leg's place in a list.
pub(super) type Place = (Time, Slot);

/// Legs that a list holds; what comes then is not found by that key any more. A list is kept in order, which costs by its length.
pub(super) const LIST_MAX: usize = 4096;

/// Legs with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Legs<'i> {
    One(Slot),
    /// Two at least, ordered by start.
    Many(&'i [Place]),
}

#[derive(Clone, Copy, Debug)]
enum Who {
    One(Slot),
    /// The list's number.
    Many(u32),
}

/// What stands in the table. There are several of each leg for as long as it is known, so it is packed.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    /// As octets, which may stand anywhere.
    key: [u8; 8],
    /// A slot, or [`LISTED`] and a list's number.
    who: u32,
}

const _: () = assert!(size_of::<Keyed>() <= 12);

/// Slots beyond are never given: the memory for as many legs is nowhere.
const LISTED: u32 = 1 << 31;

impl Keyed {
    fn new(key: Key, who: Who) -> Self {
        let mut keyed = Self {
            key: key.to_ne_bytes(),
            who: 0,
        };
        keyed.set(who);
        keyed
    }

    const fn key(&self) -> Key {
        Key::from_ne_bytes(self.key)
    }

    const fn who(&self) -> Who {
        if self.who & LISTED == 0 {
            Who::One(self.who)
        } else {
            Who::Many(self.who & !LISTED)
        }
    }

    const fn set(&mut self, who: Who) {
        self.who = match who {
            Who::One(slot) => slot & !LISTED,
            Who::Many(list) => list | LISTED,
        };
    }
}

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    keyed: HashTable<Keyed>,
    lists: Vec<Vec<Place>>,
    free: Vec<u32>,
}

impl Index {
    /// Place for so many keys is set aside.
    pub(super) fn new(keys: usize) -> Self {
        Self {
            keyed: HashTable::with_capacity(keys),
            lists: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.keyed.clear();
        self.lists.clear();
        self.free.clear();
    }

    /// The legs with this key.
    pub(super) fn legs(&self, key: Key) -> Option<Legs<'_>> {
        let keyed = self.keyed.find(key, |keyed| keyed.key() == key)?;
        Some(match keyed.who() {
            Who::One(slot) => Legs::One(slot),
            Who::Many(list) => Legs::Many(self.list(list)?),
        })
    }

    fn list(&self, number: u32) -> Option<&[Place]> {
        let list = self.lists.get(usize::try_from(number).ok()?)?;
        Some(list)
    }

    /// Adds a leg, once. False if there is no room for it. `start` tells when another began.
    pub(super) fn add(&mut self, key: Key, place: Place, start: impl Fn(Slot) -> Time) -> bool {
        let entry = self
            .keyed
            .entry(key, |keyed| keyed.key() == key, |keyed| keyed.key());
        match entry {
            Entry::Vacant(vacant) => {
                vacant.insert(Keyed::new(key, Who::One(place.1)));
                true
            }
            Entry::Occupied(mut occupied) => match occupied.get().who() {
                Who::One(slot) if slot == place.1 => true,
                Who::One(slot) => {
                    let mut both = [(start(slot), slot), place];
                    both.sort_unstable();
                    let number = self.free.pop().unwrap_or_else(|| {
                        self.lists.push(Vec::new());
                        u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX)
                    });
                    if let Some(list) = usize::try_from(number).ok().and_then(|at| self.lists.get_mut(at)) {
                        list.extend(both);
                    }
                    occupied.get_mut().set(Who::Many(number));
                    true
                }
                Who::Many(number) => {
                    let list = usize::try_from(number).ok().and_then(|at| self.lists.get_mut(at));
                    list.is_some_and(|list| insert(list, place))
                }
            },
        }
    }

    /// Takes a leg out, if it is there.
    pub(super) fn remove(&mut self, key: Key, place: Place) {
        let Ok(mut occupied) = self.keyed.find_entry(key, |keyed| keyed.key() == key) else {
            return;
        };
        match occupied.get().who() {
            Who::One(slot) => {
                if slot == place.1 {
                    occupied.remove();
                }
            }
            Who::Many(number) => {
                let list = usize::try_from(number).ok().and_then(|at| self.lists.get_mut(at));
                let Some(list) = list else { return };
                if let Ok(at) = list.binary_search(&place) {
                    list.remove(at);
                }
                if let [(_, last)] = list.as_slice() {
                    occupied.get_mut().set(Who::One(*last));
                    // A crowd's list is given back.
                    *list = Vec::new();
                    self.free.push(number);
                }
            }
        }
    }

    /// Takes a leg out that stands under all of these keys, if no other has any of them; else leaves all as it is.
    /// Whether it did.
    pub(super) fn remove_lone(&mut self, keys: &[Key], slot: Slot) -> bool {
        for (at, key) in keys.iter().enumerate() {
            let Ok(occupied) = self.keyed.find_entry(*key, |keyed| keyed.key() == *key) else {
                // The same key again.
                continue;
            };
            if matches!(occupied.get().who(), Who::One(only) if only == slot) {
                occupied.remove();
            } else {
                // It was alone under the keys before this one.
                for key in keys.get(..at).unwrap_or_default() {
                    self.add(*key, (Time::MIN, slot), |_| Time::MIN);
                }
                return false;
            }
        }
        true
    }
}

/// False if the list is full.
fn insert(list: &mut Vec<Place>, place: Place) -> bool {
    match list.binary_search(&place) {
        Ok(_) => true,
        Err(at) if list.len() < LIST_MAX => {
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

    /// Catches legs that are lost, found twice, out of order or under another's key, and a lone one that is not told from others, by comparison
    /// with plain lists.
    #[test]
    fn as_plain_lists() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..50 {
            let (mut index, mut lists) = (Index::new(0), BTreeMap::<Key, Vec<Place>>::new());
            // A leg has its start for good, and three keys of its own choice among few or among many.
            let mut legs: Vec<Option<[Key; 3]>> = vec![None; 12];
            let keys = random.u64(1..40);
            let start = |slot: Slot| Time::from_micros(i64::from(slot % 5));
            for _ in 0..400 {
                let slot = random.u32(0..12);
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
                        assert!(index.add(key, place, start));
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
                    let expected = match list.as_slice() {
                        [] => None,
                        [(_, slot)] => Some(Legs::One(*slot)),
                        several => Some(Legs::Many(several)),
                    };
                    assert_eq!(index.legs(*key), expected);
                }
            }
        }
    }
}

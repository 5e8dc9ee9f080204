//! The legs that the settler knows of: open ones by their sketch, closed ones until their call is judged.
//!
//! It answers one question: which legs may be of one call with this one? What it gives is bounded, whatever
//! the traffic: of many calls by one caller to one callee the nearest in time.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use ringtap_record::Time;
use smallvec::SmallVec;

use super::blocks::Blocks;
pub(super) use super::blocks::Slot;
use super::hashed::{Hashed, HashedMap};
use super::index::{Index, Key, LIST_MAX, Legs};
use super::sketch::{Sketch, short_name};
use crate::facts::ties::Tie;
use crate::facts::{Closed, ClosedLeg};
use crate::hash::HashKey;
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
/// A tie that so many legs have at once is a constant and identifies nothing (K2, degenerate values).
const TIE_LEGS_MAX: usize = 64;

/// A leg that is known.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sketch: Sketch,
    /// The whole leg, once it is closed.
    pub(super) facts: Option<ClosedLeg>,
}

const _: () = assert!(size_of::<Option<Entry>>() <= 80);

/// A leg that was known.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) sketch: Sketch,
    pub(super) facts: Option<ClosedLeg>,
    /// Closed legs that waited for it, if it was open.
    pub(super) waiters: Vec<Slot>,
}

impl Entry {
    /// An open leg that asks for a colleague's call (D49).
    const fn is_open_code(&self) -> bool {
        self.sketch.is_pickup() && self.facts.is_none()
    }

    /// It takes a dialog over (K4).
    fn is_taker(&self) -> bool {
        !self.sketch.takes_over().is_empty()
    }

    /// The leg is closed, and its sketch is one of the time before: it lacks the ends.
    fn is_rough(&self) -> bool {
        self.facts.is_some() && self.sketch.until() == Time::MAX
    }
}

#[derive(Debug)]
pub(super) struct Registry {
    entries: Blocks<Entry>,
    /// Open legs of pickup codes.
    open_codes: usize,
    /// Legs that take a dialog over (K4). Nearly always there is none: then nobody has to be asked for.
    takers: usize,
    /// Legs by key.
    index: Index,
    /// Closed legs that wait for an open one, by that. Most legs are never waited for.
    waiters: HashedMap<u64, Vec<Slot>>,
    /// Legs that found a list full, so that they are not found by every key.
    left_out: HashSet<u64, BuildHasherDefault<Hashed>>,
}

/// When the leg in this slot began.
fn start(entries: &Blocks<Entry>, slot: Slot) -> Time {
    entries.get(slot).map_or(Time::MAX, |entry| entry.sketch.start)
}

/// A slot as a key of [`HashedMap`]: its bits, spread over all 64.
const fn spread(slot: Slot) -> u64 {
    (slot as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            entries: Blocks::new(),
            open_codes: 0,
            takers: 0,
            index: Index::new(),
            waiters: HashedMap::default(),
            left_out: HashSet::default(),
        }
    }

    /// Forgets all legs.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        (self.open_codes, self.takers) = (0, 0);
        self.index.clear();
        self.waiters.clear();
        self.left_out.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
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
    pub(super) fn note(&mut self, sketch: Sketch) {
        self.put(sketch, None);
    }

    /// Takes a closed leg in.
    pub(super) fn close(&mut self, closed: Closed, keys: &HashKey, rules: &Rules) -> Slot {
        let Closed { dialog, leg: facts } = closed;
        if let Some(slot) = self.slot_of(dialog, short_name(&facts.name))
            && !self.left_out.contains(&spread(slot))
            && let Some(entry) = self.entry_mut(slot)
            && entry.facts.is_none()
            && entry.sketch.is_still_of(&facts)
        {
            debug_assert!(
                entry
                    .sketch
                    .is_same_but_for_ends(&Sketch::of(&facts, dialog, keys, rules, false))
            );
            let was_open_code = entry.is_open_code();
            entry.facts = Some(facts);
            self.open_codes -= usize::from(was_open_code);
            return slot;
        }
        let sketch = Sketch::of(&facts, dialog, keys, rules, false);
        self.put(sketch, Some(facts))
    }

    /// Sees to it that the sketch of a closed leg tells of its ends, as who weighs it needs it to.
    pub(super) fn refine(&mut self, slot: Slot, keys: &HashKey, rules: &Rules) {
        if let Some(entry) = self.entry_mut(slot).filter(|entry| entry.is_rough())
            && let Some(facts) = &entry.facts
        {
            entry.sketch = Sketch::of(facts, entry.sketch.dialog, keys, rules, false);
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

    /// The leg with this name. It stands under its dialog, and with it only those that tried again in it (D90).
    fn slot_of(&self, dialog: u64, name: u64) -> Option<Slot> {
        self.index.slots(dialog).find(|slot| {
            let entry = self.entry(*slot);
            entry.is_some_and(|entry| entry.sketch.dialog == dialog && entry.sketch.name == name)
        })
    }

    fn put(&mut self, sketch: Sketch, facts: Option<ClosedLeg>) -> Slot {
        let known = self.slot_of(sketch.dialog, sketch.name);
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
        let slot = known.unwrap_or_else(|| self.entries.give());
        let mut is_left_out = false;
        for key in keys_of(&sketch) {
            let entries = &self.entries;
            let place = (sketch.start, slot);
            // By its own dialog it is found however often it tried.
            let most = if key == sketch.dialog {
                usize::MAX
            } else {
                LIST_MAX
            };
            is_left_out |= !self.index.add(key, place, most, |other| start(entries, other));
        }
        if is_left_out {
            self.left_out.insert(spread(slot));
        }
        let entry = Entry { sketch, facts };
        self.open_codes += usize::from(entry.is_open_code());
        self.takers += usize::from(entry.is_taker());
        if let Some(place) = self.entries.place(slot) {
            *place = Some(entry);
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
        self.takers -= usize::from(entry.is_taker());
        Some(entry)
    }

    /// Takes a leg out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Gone> {
        let Entry { sketch, facts } = self.unlink(slot)?;
        self.entries.take_back(slot);
        let waiters = self.take_waiters(slot);
        Some(Gone {
            sketch,
            facts,
            waiters,
        })
    }

    /// Takes a closed leg out that shares no key with any other, that no other waits for, and that is no pickup code's (D49).
    pub(super) fn take_lone(&mut self, slot: Slot) -> Option<(Sketch, ClosedLeg)> {
        let at = spread(slot);
        let is_wanted = self.waiters.contains_key(&at) || self.left_out.contains(&at);
        let place = self.entries.place(slot)?;
        let entry = place.as_ref()?;
        if is_wanted
            || entry.facts.is_none()
            || entry.sketch.is_pickup()
            || (self.takers > 0 && is_met(&self.index, &entry.sketch))
            || !self.index.remove_lone(&keys_of(&entry.sketch), slot)
        {
            return None;
        }
        let entry = place.take()?;
        self.takers -= usize::from(entry.is_taker());
        let Entry { sketch, facts } = entry;
        self.entries.take_back(slot);
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
            for key in keys_asked(&entry.sketch, self.takers > 0) {
                let asking = (entry.sketch.start, slot);
                let mut list = self.index.legs(key, |other| start(&self.entries, other));
                // Who shares but bits of the key is no kin, and counts nowhere.
                if let Legs::Few(few) = &mut list {
                    few.retain(|(_, other)| self.has_key(*other, key));
                }
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
                    if found.contains(other) || !self.has_key(*other, key) {
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

    fn has_key(&self, slot: Slot, key: Key) -> bool {
        self.entry(slot)
            .is_some_and(|entry| keys_of(&entry.sketch).contains(&key))
    }

    fn is_origin(&self, slot: Slot) -> bool {
        self.entry(slot)
            .is_some_and(|entry| entry.sketch.roles().has_origin())
    }

    /// The first sign of the oldest leg known, found by a walk over all.
    pub(super) fn earliest(&self) -> Option<Time> {
        let entries = self.entries.iter();
        let starts = entries.map(|(_, entry)| match &entry.facts {
            Some(facts) => facts.first_sign().min(entry.sketch.start),
            None => entry.sketch.start,
        });
        starts.min()
    }

    /// Every closed leg, the earliest first.
    pub(super) fn closed(&self) -> Vec<Slot> {
        let closed = self.entries.iter().filter(|(_, entry)| entry.facts.is_some());
        let mut slots: Vec<(_, Slot)> = closed.map(|(slot, entry)| (entry.sketch.order(), slot)).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// Under which keys a leg is found.
fn keys_of(sketch: &Sketch) -> SmallVec<[Key; 12]> {
    keys_asked(sketch, false)
}

/// Under which keys the kin of a leg is found: those of the leg itself, and `with_takers` whose dialog it takes over and who takes its own over.
#[inline]
fn keys_asked(sketch: &Sketch, with_takers: bool) -> SmallVec<[Key; 12]> {
    // By pushes, which cost a fourth of what `extend` does for so few.
    let mut keys = SmallVec::new();
    for tie in sketch.ties() {
        keys.push(tie.bits());
    }
    keys.push(sketch.dialog);
    if with_takers {
        keys.push(takers_key(sketch.dialog));
    }
    for caller in sketch.callers() {
        // Whom History-Info names is among the called.
        for callee in sketch.callees() {
            keys.push(caller.rotate_left(23) ^ callee);
        }
    }
    for taken in sketch.takes_over() {
        if with_takers {
            keys.push(*taken);
        }
        keys.push(takers_key(*taken));
    }
    keys
}

/// Under which key legs stand that take this dialog over (K4). Anybody may send what does, in any number: so it is not the dialog itself, where a
/// leg is looked for whenever it is told of.
const fn takers_key(dialog: u64) -> Key {
    dialog.rotate_left(1) ^ 0x7461_6b65_6e5f_6279
}

/// Whether there may be a leg that takes this one's dialog over, or whose dialog this one takes.
fn is_met(index: &Index, sketch: &Sketch) -> bool {
    !index.is_free(takers_key(sketch.dialog))
        || sketch.takes_over().iter().any(|taken| !index.is_free(*taken))
}

#[cfg(test)]
mod tests {
    use ringtap_config::Config;

    use super::*;
    use crate::facts::LegFacts;

    /// A leg of the one caller to the one callee, by its sketch.
    fn sketch(number: u32, keys: &HashKey, rules: &Rules) -> Sketch {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&number.to_le_bytes());
        let leg = LegFacts::new(name, Time::from_micros(i64::from(number)));
        Sketch::of(&leg, u64::from(number) + 1000, keys, rules, true).between(1, 2)
    }

    /// Catches a leg that has closed and goes on looking open to those it is weighed against.
    #[test]
    fn who_closed_tells_of_its_end_when_weighed() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new();
        let mut leg = LegFacts::new([0; 32], Time::from_micros(1));
        leg.has_news = false;
        registry.note(Sketch::of(&leg, 1, &keys, &rules, true));
        let closed = Closed {
            dialog: 1,
            leg: Box::new(leg),
        };
        let slot = registry.close(closed, &keys, &rules);
        assert_eq!(
            registry.entry(slot).unwrap().sketch.until(),
            Time::MAX,
            "not the quick way"
        );
        registry.refine(slot, &keys, &rules);
        let whole = Sketch::of(
            registry.entry(slot).unwrap().facts.as_ref().unwrap(),
            1,
            &keys,
            &rules,
            false,
        );
        assert_ne!(whole.until(), Time::MAX);
        assert_eq!(registry.entry(slot).unwrap().sketch.until(), whole.until());
    }

    /// Catches legs that are taken for kin because bits of their keys are equal, and so count where kin is too much.
    #[test]
    fn who_shares_but_bits_of_a_key_is_no_neighbour() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new();
        // The inverse of what hashes are spread by: they differ in what is not kept of that.
        let dialogs = [1_u64, 2].map(|low| {
            let product = (7777 << 24 | low).wrapping_mul(0xF1DE_83E1_9937_733D);
            product ^ product >> 32
        });
        let slots = dialogs.map(|dialog| {
            let leg = LegFacts::new(
                dialog.to_le_bytes().repeat(4).try_into().unwrap(),
                Time::from_micros(1),
            );
            registry.put(Sketch::of(&leg, dialog, &keys, &rules, true), None)
        });
        assert_eq!(registry.index.slots(dialogs[0]).count(), 2, "they stand together");
        for slot in slots {
            assert_eq!(registry.neighbours(slot, &[]), (vec![slot], false));
        }
    }

    /// Catches a leg that is not known any more when it is told of again, because more legs would take its dialog over than a list holds; and
    /// one that is looked for among all of those.
    #[test]
    fn who_is_taken_over_by_a_crowd_is_known() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new();
        let most = u32::try_from(LIST_MAX).unwrap();
        for number in 0..=most {
            registry.note(sketch(number, &keys, &rules).taking(7));
        }
        assert_eq!(registry.len(), LIST_MAX + 1);
        let leg = LegFacts::new([1; 32], Time::from_micros(1));
        let slot = registry.put(Sketch::of(&leg, 7, &keys, &rules, true), None);
        assert!(registry.index.slots(7).eq([slot]));
        registry.note(Sketch::of(&leg, 7, &keys, &rules, true));
        let name = short_name(&leg.name);
        let leg = Box::new(leg);
        assert_eq!(registry.close(Closed { dialog: 7, leg }, &keys, &rules), slot);
        assert_eq!(registry.len(), LIST_MAX + 2);
        registry.remove(slot).unwrap();
        assert_eq!(registry.slot_of(7, name), None);
    }

    /// Catches a leg that is not known any more when it is told of again, because it tried more often than a list holds (D90).
    #[test]
    fn who_tries_ever_again_is_known() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new();
        let most = u32::try_from(LIST_MAX).unwrap();
        let attempt = |number| {
            let mut sketch = sketch(number, &keys, &rules);
            sketch.dialog = 7;
            sketch
        };
        let slots: Vec<Slot> = (0..=most)
            .map(|number| registry.put(attempt(number), None))
            .collect();
        assert_eq!(registry.put(attempt(most), None), slots[LIST_MAX]);
        assert_eq!(registry.len(), LIST_MAX + 1);
        // It is the latest that is told of.
        assert_eq!(registry.index.slots(7).next(), slots.last().copied());
    }

    /// Catches a leg that is taken for one without kin though another takes its dialog over, or though it takes another's, and such as do not
    /// find each other; whichever of the two was known first.
    #[test]
    fn who_is_taken_over_or_takes_is_not_lone() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        for taker_first in [false, true] {
            let mut registry = Registry::new();
            let mut close = |dialog: u64, sketch: Sketch| {
                let leg = LegFacts::new([u8::try_from(dialog).unwrap(); 32], sketch.start);
                registry.put(sketch, Some(Box::new(leg)))
            };
            let own = |dialog| {
                let mut sketch = sketch(1, &keys, &rules).between(dialog, dialog);
                sketch.dialog = dialog;
                sketch
            };
            let (taken, taker, other) = if taker_first {
                let taker = close(9, own(9).taking(7));
                (close(7, own(7)), taker, close(3, own(3)))
            } else {
                let taken = close(7, own(7));
                (taken, close(9, own(9).taking(7)), close(3, own(3)))
            };
            for (slot, kin) in [(taken, taker), (taker, taken)] {
                assert!(registry.take_lone(slot).is_none());
                let (mut found, _) = registry.neighbours(slot, &[]);
                found.sort_unstable();
                let mut both = vec![slot, kin];
                both.sort_unstable();
                assert_eq!(found, both);
            }
            assert!(registry.take_lone(other).is_some(), "a taker of somebody else's");
            registry.remove(taken).unwrap();
            assert!(registry.take_lone(taker).is_some());
            assert_eq!((registry.len(), registry.takers), (0, 0));
        }
    }

    /// Catches a leg that found a list full and is not looked for a place again, when it is told of the next time and there is one.
    #[test]
    fn who_found_a_list_full_is_taken_in_later() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut registry = Registry::new();
        let most = u32::try_from(LIST_MAX).unwrap();
        let slots: Vec<Slot> = (0..=most)
            .map(|number| registry.put(sketch(number, &keys, &rules), None))
            .collect();
        let listed = |registry: &Registry| {
            let key = keys_of(&sketch(0, &keys, &rules))[1];
            let Legs::Many(list) = registry.index.legs(key, |_| Time::MAX) else {
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

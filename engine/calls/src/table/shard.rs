//! One shard: an index, a slab of fixed size, rules, and what has to leave when it is full.

use std::collections::VecDeque;

use hashbrown::HashTable;
use ringtap_record::Time;
use ringtap_sip::{Message, Method, Start};
use sha2::{Digest, Sha256};

use super::attempt::{Attempt, Before, Visit};
use super::{Observation, TableCounters};
use crate::facts::deadline::Deadline;
use crate::facts::observe::Context;
use crate::facts::{Closed, ClosedLeg, Closing, LegFacts, dialog};
use crate::hash::{HashKey, LegKey};
use crate::rules::Rules;
use crate::settler::Sketch;
use crate::wheel::{Linked, Links, Wheel};

/// Whether a message found its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Joined,
    No,
}

/// Idle legs that are passed over in search of one without a response, before any idle one will do. A flood of
/// INVITEs fills the table with such legs, and calls that ring outlive it.
const SPARED_MAX: usize = 64;
/// Slots that are looked at for such a leg before a finished one has to go.
const LOOKED_MAX: usize = 64;
/// Which finished legs: see [`Shard::finished`].
const UNINVITED: usize = 0;
const INVITED: usize = 1;

/// What has become of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    None,
    /// Over, and answered: nothing that was sent in it is news.
    Answered,
    Other,
}

#[derive(Debug)]
pub(super) struct Shard {
    index: HashTable<u32>,
    slab: Slab,
    wheel: Wheel,
    /// Open legs of which the settler has to be told.
    news: Vec<u32>,
    /// Finished legs by slot and bucket, the oldest first; entries whose leg has left or come back to life are stale. First those of
    /// which no INVITE was seen, which a flood of responses makes and hardly anything else.
    finished: [VecDeque<(u32, u64)>; 2],
    /// Where the search for an idle leg goes on (second-chance clock).
    hand: u32,
    legs_max: usize,
    counters: TableCounters,
}

#[derive(Debug)]
struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// What is left of a leg that is over, and where the facts of an open one stand: those are handed on as they are when
/// it closes.
#[derive(Debug)]
struct Slot {
    key: LegKey,
    state: State,
    links: Links,
    attempt: u32,
    /// Of the attempt that was over last, if one was.
    before: Before,
    /// Written by every message after the first, cleared by the clock's hand: a flood speaks of no leg twice.
    touched: bool,
    /// Stands in the list of legs with news.
    listed: bool,
}

/// A slot is as large as a line of the cache. What an open leg costs beside it: [`LegFacts`].
const _: () = assert!(size_of::<Slot>() <= 64);

#[derive(Debug)]
enum State {
    Free,
    Open(ClosedLeg),
    /// Remembered until `until`, so that retransmissions do not make a new leg.
    Finished {
        until: Time,
    },
}

impl Slot {
    /// The facts of an open leg.
    fn facts(&self) -> Option<&LegFacts> {
        match &self.state {
            State::Open(facts) => Some(facts),
            State::Free | State::Finished { .. } => None,
        }
    }

    const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished { .. })
    }
}

impl Linked for Slab {
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.slot_mut(index).map(|slot| &mut slot.links)
    }
}

impl Slab {
    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(index).ok()?)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
}

/// The bits of a key that choose the bucket; the key is a hash already.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half of a 128-bit hash is a 64-bit hash"
)]
const fn bucket(key: LegKey) -> u64 {
    key as u64
}

/// SHA-256 over Call-ID, caller's tag and the attempt's ordinal, one a line (semantics.md §4.5).
fn name(message: &Message<'_>, attempt: u32) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(message.call_id());
    sha.update(b"\n");
    sha.update(message.from_tag().unwrap_or_default());
    if attempt == 0 {
        sha.update(b"\n0");
    } else {
        sha.update(format!("\n{attempt}"));
    }
    sha.finalize().into()
}

/// A leg of which nothing is known yet but who it is.
fn facts(seen: &Observation<'_>, attempt: u32) -> ClosedLeg {
    Box::new(LegFacts::new(name(&seen.message, attempt), seen.time))
}

impl Shard {
    pub(super) fn new(legs_max: usize) -> Self {
        // Reserved, not touched: memory becomes resident as legs come.
        Self {
            index: HashTable::with_capacity(legs_max),
            slab: Slab {
                slots: Vec::with_capacity(legs_max),
                free: Vec::new(),
            },
            wheel: Wheel::new(),
            news: Vec::new(),
            finished: [VecDeque::new(), VecDeque::new()],
            hand: 0,
            legs_max,
            counters: TableCounters::default(),
        }
    }

    /// Where the leg with this key stands.
    pub(super) fn find(&self, key: LegKey) -> Option<u32> {
        let is_it = |index: &u32| self.slab.slot(*index).is_some_and(|slot| slot.key == key);
        self.index.find(bucket(key), is_it).copied()
    }

    pub(super) fn standing(&self, key: LegKey) -> Standing {
        let slot = self.find(key).and_then(|index| self.slab.slot(index));
        match slot.map(|slot| (&slot.state, slot.before)) {
            None | Some((State::Free, _)) => Standing::None,
            Some((State::Finished { .. }, Before { answered: true, .. })) => Standing::Answered,
            Some((State::Finished { .. } | State::Open(_), _)) => Standing::Other,
        }
    }

    /// Reads of the facts of all these legs, so that those that are not in the cache are fetched side by side: a tenth less time a message
    /// with a million calls open, no more with ten thousand.
    pub(super) fn look_at(&self, known: &[Option<u32>]) -> u32 {
        let slots = known.iter().flatten().filter_map(|index| self.slab.slot(*index));
        let facts = slots.filter_map(Slot::facts);
        facts.fold(0, |sum, facts| sum ^ facts.first_look())
    }

    /// Joins a message into the leg with this key. `known` is what `find` said a moment ago; the leg may
    /// have come or gone since.
    pub(super) fn observe(
        &mut self,
        key: LegKey,
        known: Option<u32>,
        visit: Visit<'_, '_>,
        context: &Context<'_>,
        evicted: &mut Vec<Closed>,
    ) -> Found {
        let Visit {
            seen,
            by_callee,
            make,
            ..
        } = visit;
        let still = |index: &u32| {
            self.slab
                .slot(*index)
                .is_some_and(|slot| slot.key == key && !matches!(slot.state, State::Free))
        };
        let (index, is_new) = match known.filter(still).or_else(|| self.find(key)) {
            Some(index) => (index, false),
            None if make => (self.make(key, seen, context.rules, evicted), true),
            None => return Found::No,
        };
        let Some(slot) = self.slab.slot_mut(index) else {
            return Found::No;
        };
        slot.touched = !is_new;
        let before = slot.before;
        let of = match &slot.state {
            State::Open(_) if slot.attempt == 0 => Attempt::This,
            State::Open(facts) => visit.attempt_with(facts, before, context.keys),
            State::Finished { .. } if visit.begins_attempt(before.cseq) => {
                slot.attempt += 1;
                slot.state = State::Open(facts(seen, slot.attempt));
                self.counters.further_attempts += 1;
                self.counters.legs_finished -= 1;
                self.counters.legs_open += 1;
                self.wheel.disarm(&mut self.slab, index);
                Attempt::This
            }
            State::Finished { .. } => visit.attempt_after(before),
            State::Free => return Found::No,
        };
        match of {
            Attempt::This => self.join(index, seen, by_callee, context),
            Attempt::Before => {
                let contradicts = !before.answered && proves_answer(seen, by_callee, before.cseq);
                self.counters.late_contradictions += u64::from(contradicts);
            }
            Attempt::Unsure => return Found::No,
        }
        Found::Joined
    }

    fn join(&mut self, index: u32, seen: &Observation<'_>, by_callee: bool, context: &Context<'_>) {
        let Some(slot) = self.slab.slot_mut(index) else {
            return;
        };
        let State::Open(facts) = &mut slot.state else {
            return;
        };
        let is_sooner = facts.observe(seen, by_callee, context);
        if facts.has_news && !slot.listed {
            slot.listed = true;
            self.news.push(index);
        }
        if is_sooner || !slot.links.is_armed() {
            let due = facts.deadline(context.rules).at;
            self.wheel.arm(&mut self.slab, index, due);
        }
    }

    fn make(&mut self, key: LegKey, seen: &Observation<'_>, rules: &Rules, evicted: &mut Vec<Closed>) -> u32 {
        if self.slab.free.is_empty() && self.slab.slots.len() >= self.legs_max {
            self.evict(rules, evicted);
        }
        let slot = Slot {
            key,
            state: State::Open(facts(seen, 0)),
            links: Links::OUT,
            attempt: 0,
            before: Before::default(),
            touched: false,
            listed: false,
        };
        let index = match self.slab.free.pop() {
            Some(index) => {
                if let Some(place) = self.slab.slot_mut(index) {
                    *place = slot;
                }
                index
            }
            None => {
                self.slab.slots.push(slot);
                u32::try_from(self.slab.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let slab = &self.slab;
        self.index.insert_unique(bucket(key), index, |other| {
            slab.slot(*other).map_or(0, |slot| bucket(slot.key))
        });
        self.counters.legs_made += 1;
        self.counters.legs_open += 1;
        index
    }

    /// Makes room for one leg (design decision 3). In this order: the oldest finished one without an INVITE; an idle open one that lacks an INVITE or a
    /// response, if one is near by; the oldest finished one; an idle open one, first such as lack either. A flood makes legs that lack
    /// something, and of a call that is over it has to be known that it is.
    fn evict(&mut self, rules: &Rules, evicted: &mut Vec<Closed>) {
        if self.forget_finished(UNINVITED)
            || self.evict_open(LOOKED_MAX, LOOKED_MAX, rules, evicted)
            || self.forget_finished(INVITED)
        {
            return;
        }
        let slots = self.slab.slots.len();
        // Two rounds suffice: the first clears every mark.
        self.evict_open(slots * 2, SPARED_MAX.min(slots.saturating_sub(1)), rules, evicted);
    }

    /// Forgets the oldest finished leg of a kind; whether there was one.
    fn forget_finished(&mut self, kind: usize) -> bool {
        while let Some((index, of)) = self.finished.get_mut(kind).and_then(VecDeque::pop_front) {
            if !self.is_stale(index, of) {
                self.counters.evicted_finished += 1;
                self.forget(index);
                return true;
            }
        }
        false
    }

    /// Whether the finished leg that stood in this slot has left it or come back to life.
    fn is_stale(&self, index: u32, of: u64) -> bool {
        let slot = self.slab.slot(index);
        slot.is_none_or(|slot| bucket(slot.key) != of || !slot.is_finished())
    }

    /// Looks at so many slots, from where it last stopped, for an open leg that was not spoken of since, and lets it go; of those that
    /// lack neither INVITE nor response it passes over as many as it is `to_spare`. Whether there was one.
    fn evict_open(
        &mut self,
        slots: usize,
        mut to_spare: usize,
        rules: &Rules,
        evicted: &mut Vec<Closed>,
    ) -> bool {
        for _ in 0..slots {
            let index = self.hand;
            self.hand = if usize::try_from(self.hand).unwrap_or_default() + 1 >= self.slab.slots.len() {
                0
            } else {
                self.hand + 1
            };
            let Some(slot) = self.slab.slot_mut(index) else {
                continue;
            };
            let State::Open(facts) = &slot.state else {
                continue;
            };
            if std::mem::take(&mut slot.touched) {
                continue;
            }
            if to_spare > 0 && facts.is_invited_and_responded() {
                to_spare -= 1;
                continue;
            }
            self.counters.evicted_open += 1;
            let deadline = facts.deadline(rules);
            self.close(index, deadline, rules, Closing::Evicted, evicted);
            self.forget(index);
            return true;
        }
        false
    }

    /// Sketches of the open legs that have changed since the last time.
    pub(super) fn tell_news(&mut self, keys: &HashKey, rules: &Rules, news: &mut Vec<Sketch>) {
        for index in self.news.drain(..) {
            let Some(slot) = self.slab.slot_mut(index) else {
                continue;
            };
            slot.listed = false;
            if let State::Open(facts) = &mut slot.state
                && std::mem::take(&mut facts.has_news)
            {
                news.push(Sketch::of(facts, dialog(slot.key), keys, rules, true));
            }
        }
    }

    pub(super) fn expire(&mut self, now: Time, rules: &Rules, closed: &mut Vec<Closed>) {
        while let Some(index) = self.wheel.pop(&mut self.slab, now) {
            let Some(slot) = self.slab.slot(index) else {
                continue;
            };
            match &slot.state {
                State::Free => {}
                State::Finished { until, .. } if *until <= now => {
                    self.forget(index);
                    self.drop_stale();
                }
                State::Finished { until, .. } => {
                    let until = *until;
                    self.wheel.arm(&mut self.slab, index, until);
                }
                State::Open(facts) => {
                    let deadline = facts.deadline(rules);
                    if deadline.at > now {
                        self.wheel.arm(&mut self.slab, index, deadline.at);
                        continue;
                    }
                    let closing = if deadline.complete {
                        Closing::Complete
                    } else {
                        Closing::Expired
                    };
                    self.close(index, deadline, rules, closing, closed);
                }
            }
        }
    }

    pub(super) fn close_all(&mut self, rules: &Rules, closed: &mut Vec<Closed>) {
        for index in 0..u32::try_from(self.slab.slots.len()).unwrap_or(u32::MAX) {
            let open = self.slab.slot(index).and_then(Slot::facts);
            let Some(deadline) = open.map(|facts| facts.deadline(rules)) else {
                continue;
            };
            let closing = if deadline.complete {
                Closing::Complete
            } else {
                Closing::EndOfInput
            };
            self.close(index, deadline, rules, closing, closed);
        }
    }

    pub(super) fn reset(&mut self) {
        self.index.clear();
        self.slab.slots.clear();
        self.slab.free.clear();
        self.wheel = Wheel::new();
        self.finished.iter_mut().for_each(VecDeque::clear);
        self.news.clear();
        self.hand = 0;
        self.counters.legs_open = 0;
        self.counters.legs_finished = 0;
    }

    /// Gives the leg's facts away and keeps its tombstone.
    fn close(
        &mut self,
        index: u32,
        deadline: Deadline,
        rules: &Rules,
        closing: Closing,
        closed: &mut Vec<Closed>,
    ) {
        let Some(slot) = self.slab.slot_mut(index) else {
            return;
        };
        if slot.facts().is_none() {
            return;
        }
        let State::Open(mut facts) = std::mem::replace(&mut slot.state, State::Free) else {
            return;
        };
        facts.set_closing(closing);
        self.counters.legs_overflowed += u64::from(facts.rare().overflowed);
        let tombstone_ms = i64::try_from(rules.timers.tombstone_ms).unwrap_or(i64::MAX);
        let until = deadline.at.plus_ms(tombstone_ms);
        slot.before = Before {
            cseq: facts.callers_last_cseq().unwrap_or(0),
            tag: facts.callees_tag(),
            answered: facts.answered_at().seen(),
        };
        slot.state = State::Finished { until };
        let (of, dialog) = (bucket(slot.key), dialog(slot.key));
        self.counters.legs_open -= 1;
        self.counters.legs_finished += 1;
        let kind = if facts.is_invited() { INVITED } else { UNINVITED };
        if let Some(finished) = self.finished.get_mut(kind) {
            finished.push_back((index, of));
        }
        self.wheel.disarm(&mut self.slab, index);
        self.wheel.arm(&mut self.slab, index, until);
        closed.push(Closed { dialog, leg: facts });
    }

    /// Takes a finished leg out of the table.
    fn forget(&mut self, index: u32) {
        self.wheel.disarm(&mut self.slab, index);
        let Some(slot) = self.slab.slot_mut(index) else {
            return;
        };
        if slot.is_finished() {
            self.counters.legs_finished -= 1;
        }
        slot.state = State::Free;
        let key = slot.key;
        if let Ok(entry) = self.index.find_entry(bucket(key), |other| *other == index) {
            entry.remove();
        }
        self.slab.free.push(index);
    }

    /// Tombstones end in the order in which legs were closed, so stale entries gather at the front.
    fn drop_stale(&mut self) {
        for kind in [UNINVITED, INVITED] {
            while let Some((index, of)) = self.finished.get(kind).and_then(VecDeque::front)
                && self.is_stale(*index, *of)
            {
                if let Some(finished) = self.finished.get_mut(kind) {
                    finished.pop_front();
                }
            }
        }
    }

    pub(super) const fn counters(&self) -> TableCounters {
        self.counters
    }
}

/// Whether a message on a finished, unanswered leg proves that it was answered after all (A1, A3).
fn proves_answer(seen: &Observation<'_>, by_callee: bool, cseq: u32) -> bool {
    match seen.message.start() {
        Start::Response {
            status: 200..=299, ..
        } => !by_callee && seen.message.cseq() <= cseq,
        Start::Request {
            method: Method::Bye | Method::Invite,
            ..
        } => by_callee,
        _ => false,
    }
}

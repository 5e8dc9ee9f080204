//! The leg table: messages in, closed legs out.
//!
//! Mirrored traffic has few address pairs, and the directions, taps and hops of one call land on different
//! queues; so any worker may bring any message. Legs are spread over shards by a keyed hash of Call-ID and
//! caller's tag; a worker brings its messages in batches and locks each shard once per batch.

mod attempt;
mod early;
mod shard;

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use ringtap_record::Time;

use crate::facts::Closed;
use crate::facts::observe::Context;
pub use crate::facts::observe::Observation;
use crate::gaps::Gap;
use crate::hash::{HashKey, LegKey};
use crate::learner::{self, Heard, Hearing, Registration};
use crate::rules::Rules;
use crate::settler::Sketch;
use attempt::{Stage, Visit};
pub use early::Early;
use early::Kept;
use shard::{Found, Shard, Standing};

/// Messages that a worker brings at once. Large enough to save locks, small enough to stay in L1/L2.
pub const BATCH_MAX: usize = 64;

/// What became of the messages of a batch, but for those that wait ([`Early`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Joined into a leg.
    pub joined: u64,
    /// Says nothing about call attempts (REGISTER, OPTIONS, answers to PRACK, ...).
    pub not_of_calls: u64,
    /// Tells of registrations (D71): among those above.
    pub registrations: u64,
    /// Was to tell of registrations and could not be read, or its sender is not to be believed.
    pub registrations_refused: u64,
    /// Belongs to a dialog that is not tracked (began before the capture, or ended long ago).
    pub of_no_leg: u64,
    /// Was to wait for its leg, and there was no room for it.
    pub left_out: u64,
}

/// What the table gives to the settler at a tick.
#[derive(Debug, Default)]
pub struct Harvest {
    /// Open legs that are new or have changed in what ties them to others.
    pub news: Vec<Sketch>,
    /// Legs that were closed.
    pub closed: Vec<Closed>,
    /// What was told of registrations.
    pub registrations: Vec<Registration>,
    /// Gaps in the capture that have come to light. They count for the calls that are settled with them or later.
    pub gaps: Vec<Gap>,
}

impl Harvest {
    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.news.is_empty()
            && self.closed.is_empty()
            && self.registrations.is_empty()
            && self.gaps.is_empty()
    }

    /// Adds another share.
    pub fn append(&mut self, mut other: Self) {
        self.news.append(&mut other.news);
        self.closed.append(&mut other.closed);
        self.registrations.append(&mut other.registrations);
        self.gaps.append(&mut other.gaps);
    }
}

impl Applied {
    /// Adds another batch's counts.
    pub fn add(&mut self, other: Self) {
        self.joined += other.joined;
        self.not_of_calls += other.not_of_calls;
        self.registrations += other.registrations;
        self.registrations_refused += other.registrations_refused;
        self.of_no_leg += other.of_no_leg;
        self.left_out += other.left_out;
    }
}

/// Counters of the whole table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Legs ever made.
    pub legs_made: u64,
    /// Legs open now.
    pub legs_open: u64,
    /// Finished legs still remembered to absorb retransmissions.
    pub legs_finished: u64,
    /// Finished legs that had to leave before T_tombstone.
    pub evicted_finished: u64,
    /// Open legs that had to leave: their calls are recorded with the flag `evicted`.
    pub evicted_open: u64,
    /// Proofs of an answer that came after the verdict (semantics.md §4.5).
    pub late_contradictions: u64,
    /// Legs of more hops than are kept: verdicts on their branches are cautious.
    pub legs_overflowed: u64,
    /// Attempts on a leg that had ended (D90).
    pub further_attempts: u64,
}

impl TableCounters {
    fn add(&mut self, other: &Self) {
        self.legs_made += other.legs_made;
        self.legs_open += other.legs_open;
        self.legs_finished += other.legs_finished;
        self.evicted_finished += other.evicted_finished;
        self.evicted_open += other.evicted_open;
        self.late_contradictions += other.late_contradictions;
        self.legs_overflowed += other.legs_overflowed;
        self.further_attempts += other.further_attempts;
    }
}

/// All legs, in shards of fixed size.
#[derive(Debug)]
pub struct LegTable {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    keys: HashKey,
    legs_max: usize,
}

/// A worker's working space, reused for every batch.
#[derive(Debug, Default)]
pub struct Routing {
    /// (shard, message, key) of the messages to join, in the order of the messages.
    places: Vec<Place>,
    /// The same, sorted by shard, those of one shard in the order of the messages.
    sorted: Vec<Place>,
    /// Where the next place of each shard goes to among the sorted.
    next: Vec<usize>,
    /// Where the legs of one shard's messages stand, as of the batch's beginning.
    known: Vec<Option<u32>>,
    /// Messages whose leg does not stand under their sender's tag.
    turned: Vec<Place>,
    /// Legs that had to leave the table.
    pub evicted: Vec<Closed>,
    /// What was told of registrations.
    pub registrations: Vec<Registration>,
    heard: Heard,
    /// Messages that came before their leg.
    pub early: Early,
}

impl Routing {
    /// Sorts the places by counting: there are as many shards as a batch has messages, about.
    fn sort(&mut self, shards: usize) {
        self.next.clear();
        self.next.resize(shards, 0);
        for place in &self.places {
            if let Some(count) = self.next.get_mut(place.shard) {
                *count += 1;
            }
        }
        let mut begin = 0;
        for next in &mut self.next {
            begin += std::mem::replace(next, begin);
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.places);
        for place in &self.places {
            if let Some(next) = self.next.get_mut(place.shard)
                && let Some(to) = self.sorted.get_mut(*next)
            {
                *to = *place;
                *next += 1;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    shard: usize,
    message: usize,
    key: LegKey,
}

impl LegTable {
    /// A table for `legs_max` legs, all shards together, spread for `workers` workers.
    #[must_use]
    pub fn new(legs_max: usize, workers: usize) -> Self {
        let shards = (workers.max(1) * 8).next_power_of_two();
        let each = legs_max.div_ceil(shards).max(1);
        Self {
            shards: (0..shards)
                .map(|_| CachePadded::new(Mutex::new(Shard::new(each))))
                .collect(),
            keys: HashKey::random(),
            legs_max,
        }
    }

    /// Hashes as another process does, which told its secret. To be called before the first message.
    #[must_use]
    pub fn hashing_with(mut self, secret: [u8; 16]) -> Self {
        self.keys = HashKey::of(secret);
        self
    }

    /// The secret with which it hashes. Whoever knows it can aim messages at one shard.
    #[must_use]
    pub const fn secret(&self) -> [u8; 16] {
        self.keys.octets()
    }

    /// How many shards there are: `expire` takes their numbers.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    fn shard_of(&self, key: LegKey) -> usize {
        let mask = self.shards.len() - 1;
        // The low bits choose the bucket within the shard's index, so take others here.
        usize::try_from((key >> 64) & u128::from(u32::MAX)).unwrap_or_default() & mask
    }

    /// Joins a batch of messages into their legs.
    pub fn apply(&self, batch: &[Observation<'_>], rules: &Rules, routing: &mut Routing) -> Applied {
        let context = Context {
            rules,
            keys: &self.keys,
        };
        let mut applied = Applied::default();
        routing.places.clear();
        routing.turned.clear();
        for (message, seen) in batch.iter().enumerate() {
            if seen.concerns_calls() {
                let key = self.keys.leg(
                    seen.message.call_id(),
                    seen.message.from_tag().unwrap_or_default(),
                );
                routing.places.push(Place {
                    shard: self.shard_of(key),
                    message,
                    key,
                });
            } else {
                applied.not_of_calls += 1;
                match learner::hear(seen, &context, &mut routing.heard) {
                    Hearing::Other => {}
                    Hearing::Known => applied.registrations += 1,
                    Hearing::New(registration) => {
                        applied.registrations += 1;
                        routing.registrations.push(registration);
                    }
                    Hearing::Refused => applied.registrations_refused += 1,
                }
            }
        }
        routing.sort(self.shards.len());
        let mut evicted = std::mem::take(&mut routing.evicted);
        for run in routing.sorted.chunk_by(|a, b| a.shard == b.shard) {
            let Some(shard) = run.first().and_then(|place| self.shards.get(place.shard)) else {
                continue;
            };
            let mut shard = shard.lock();
            // First all lookups, then all facts, then all joins: the lookups wait for memory side by side, not in a row, and so do the facts.
            routing.known.clear();
            routing
                .known
                .extend(run.iter().map(|place| shard.find(place.key)));
            std::hint::black_box(shard.look_at(&routing.known));
            for (place, known) in run.iter().zip(&routing.known) {
                let Some(seen) = batch.get(place.message) else {
                    continue;
                };
                let visit = Visit {
                    seen,
                    by_callee: false,
                    make: seen.makes_leg() && seen.message.to_tag().is_none(),
                    stage: Stage::First,
                };
                match shard.observe(place.key, *known, visit, &context, &mut evicted) {
                    Found::Joined => applied.joined += 1,
                    Found::No => routing.turned.push(*place),
                }
            }
        }
        for place in &routing.turned {
            let Some(seen) = batch.get(place.message) else {
                continue;
            };
            let turned = self.turned_key(seen, place.key);
            match self.observe_turned(turned, place.key, seen, Stage::First, &context, &mut evicted) {
                Found::Joined => applied.joined += 1,
                Found::No => routing.early.push(seen, place.key, turned),
            }
        }
        routing.evicted = evicted;
        applied
    }

    /// Joins what found no leg and was seen before `before`: everything that was seen until then has to be joined, and no shard to be expired yet.
    /// Legs that have to leave the table for it go into the harvest.
    pub fn join_early(
        &self,
        early: &mut Early,
        before: Time,
        rules: &Rules,
        harvest: &mut Harvest,
    ) -> Applied {
        let context = Context {
            rules,
            keys: &self.keys,
        };
        let mut applied = Applied {
            left_out: early.take_left_out(),
            ..Applied::default()
        };
        early.drain(before, |kept, text| {
            let found = match self.standing(kept) {
                // Most of them: BYEs of dialogs that have left the table, or of legs that are closed since they were answered.
                Standing::None if !kept.makes_leg => Found::No,
                Standing::Answered => Found::Joined,
                Standing::None | Standing::Other => kept.read(text).map_or(Found::No, |seen| {
                    self.observe_late(kept, &seen, &context, &mut harvest.closed)
                }),
            };
            match found {
                Found::Joined => applied.joined += 1,
                Found::No => applied.of_no_leg += 1,
            }
        });
        applied
    }

    /// How the leg stands now to which the message belongs.
    fn standing(&self, kept: &Kept) -> Standing {
        let of = |key: LegKey| {
            self.shard(key)
                .map_or(Standing::None, |shard| shard.lock().standing(key))
        };
        match of(kept.key) {
            Standing::None if kept.turned != kept.key => of(kept.turned),
            known => known,
        }
    }

    fn observe_late(
        &self,
        kept: &Kept,
        seen: &Observation<'_>,
        context: &Context<'_>,
        evicted: &mut Vec<Closed>,
    ) -> Found {
        let visit = Visit {
            seen,
            by_callee: false,
            make: false,
            stage: Stage::Last,
        };
        let Some(shard) = self.shard(kept.key) else {
            return Found::No;
        };
        match shard.lock().observe(kept.key, None, visit, context, evicted) {
            Found::Joined => return Found::Joined,
            Found::No => {}
        }
        self.observe_turned(kept.turned, kept.key, seen, Stage::Last, context, evicted)
    }

    /// Under which a leg stands that the other side of this dialog made; `key` itself if the message does not name it.
    fn turned_key(&self, seen: &Observation<'_>, key: LegKey) -> LegKey {
        seen.message
            .to_tag()
            .map_or(key, |tag| self.keys.leg(seen.message.call_id(), tag))
    }

    /// A message whose leg does not stand under its From-tag: sent by the callee, so that the caller's tag stands in To (semantics.md §3.2), or, if
    /// nothing comes any more that could be before it, the first that was captured of its leg.
    fn observe_turned(
        &self,
        turned: LegKey,
        key: LegKey,
        seen: &Observation<'_>,
        stage: Stage,
        context: &Context<'_>,
        evicted: &mut Vec<Closed>,
    ) -> Found {
        let mut visit = |key: LegKey, by_callee: bool, make: bool| {
            let visit = Visit {
                seen,
                by_callee,
                make,
                stage,
            };
            let shard = self.shard(key)?;
            Some(shard.lock().observe(key, None, visit, context, evicted))
        };
        if turned != key && visit(turned, true, false) == Some(Found::Joined) {
            return Found::Joined;
        }
        if stage == Stage::First || !seen.makes_leg() {
            return Found::No;
        }
        visit(key, false, true).unwrap_or(Found::No)
    }

    fn shard(&self, key: LegKey) -> Option<&Mutex<Shard>> {
        self.shards.get(self.shard_of(key)).map(|shard| &**shard)
    }

    /// Closes the legs of one shard whose deadline has come by `now`, tells what is new of those that stay
    /// open, and forgets finished ones after T_tombstone.
    pub fn expire(&self, shard: usize, now: Time, rules: &Rules, harvest: &mut Harvest) {
        if let Some(shard) = self.shards.get(shard) {
            let mut shard = shard.lock();
            shard.expire(now, rules, &mut harvest.closed);
            shard.tell_news(&self.keys, rules, &mut harvest.news);
        }
    }

    /// The same for every shard.
    pub fn expire_all(&self, now: Time, rules: &Rules, harvest: &mut Harvest) {
        for shard in 0..self.shards() {
            self.expire(shard, now, rules, harvest);
        }
    }

    /// For whoever is the table's only worker: the end of the epoch before `now`, and all that goes with it.
    pub fn end_epoch(&self, now: Time, rules: &Rules, routing: &mut Routing) -> Harvest {
        let mut harvest = self.take(rules, routing);
        self.expire_all(now, rules, &mut harvest);
        harvest
    }

    /// The same for the end of input: every leg is closed.
    pub fn end(&self, rules: &Rules, routing: &mut Routing) -> Harvest {
        let mut harvest = self.take(rules, routing);
        self.close_all(rules, &mut harvest.closed);
        harvest
    }

    fn take(&self, rules: &Rules, routing: &mut Routing) -> Harvest {
        let mut harvest = Harvest {
            closed: std::mem::take(&mut routing.evicted),
            registrations: std::mem::take(&mut routing.registrations),
            ..Harvest::default()
        };
        self.join_early(&mut routing.early, Time::MAX, rules, &mut harvest);
        harvest
    }

    /// Legs that the table holds at most.
    #[must_use]
    pub const fn legs_max(&self) -> usize {
        self.legs_max
    }

    /// The secret that the settler needs to compare legs with those still open.
    pub(crate) fn keys(&self) -> HashKey {
        self.keys.clone()
    }

    /// Closes every leg at the end of input (or at shutdown): a known gap for those without an end.
    pub fn close_all(&self, rules: &Rules, closed: &mut Vec<Closed>) {
        for shard in &self.shards {
            shard.lock().close_all(rules, closed);
        }
    }

    /// Forgets every leg, finished ones too, for a clock that starts anew. Counters go on.
    pub fn reset(&self) {
        for shard in &self.shards {
            shard.lock().reset();
        }
    }

    /// The sum of all shards' counters.
    #[must_use]
    pub fn counters(&self) -> TableCounters {
        let mut sum = TableCounters::default();
        for shard in &self.shards {
            sum.add(&shard.lock().counters());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a place that is lost, doubled or not where sorting puts it.
    #[test]
    fn sorted_as_by_comparing() {
        let mut routing = Routing::default();
        for shards in [1, 2, 8, 512] {
            for count in 0..=BATCH_MAX {
                routing.places = (0..count)
                    .map(|message| Place {
                        shard: fastrand::usize(..shards),
                        message,
                        key: fastrand::u128(..),
                    })
                    .collect();
                routing.sort(shards);
                let mut wanted = routing.places.clone();
                wanted.sort_by_key(|place| place.shard);
                let plain = |places: &[Place]| -> Vec<_> {
                    places
                        .iter()
                        .map(|place| (place.shard, place.message, place.key))
                        .collect()
                };
                assert_eq!(plain(&routing.sorted), plain(&wanted));
            }
        }
    }
}

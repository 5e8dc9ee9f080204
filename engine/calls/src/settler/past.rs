//! Calls judged lately: what came too late for them.
//!
//! A mail cannot be recalled, so a leg that turns up after its call was judged can change nothing any more. Two
//! things are still done: a proof of an answer is counted, and a second story of the same attempt is
//! swallowed (semantics.md §4.5, 3 and 4).

use std::collections::VecDeque;

use ringtap_record::{CallRecord, Time};
use smallvec::SmallVec;

use super::hashed::HashedMap;
use super::sketch::{Roles, Sketch};
use crate::facts::ties::{Tie, TieKind};
use crate::hash::HashKey;
use crate::rules::Rules;
use crate::verdict::Judged;

/// How long a judged call is remembered, in capture time, and how many are.
const KEPT_MS: i64 = 30_000;
const CALLS_MAX: usize = 100_000;

/// Of each target caller and called in one; `None` if the caller is unknown, or the target missed nothing.
pub(super) type Prints = SmallVec<[Option<u64>; 2]>;

/// A call that was judged.
#[derive(Clone, Debug)]
struct Told {
    at: Time,
    start: Time,
    roles: Roles,
    /// Fingerprints of those who were told of it: caller and called in one hash.
    missed: SmallVec<[u64; 2]>,
    caller: Option<u64>,
    ties: SmallVec<[Tie; 4]>,
}

/// The calls that were judged lately.
#[derive(Debug, Default)]
pub(super) struct Past {
    calls: VecDeque<Told>,
    /// How many calls were dropped from the front: numbers in the indices count from the beginning.
    dropped: u64,
    by_fingerprint: HashedMap<u64, u64>,
    by_tie: HashedMap<Tie, u64>,
}

impl Past {
    /// Takes those targets out of a record of which a call judged before has told: same caller and called,
    /// overlapping, begun within T_leg, and seen on the other side of the core. How many there were. `prints` are the
    /// record's, and stay so.
    pub(super) fn swallow(
        &self,
        legs: &[Sketch],
        judged: &mut Judged,
        prints: &mut Prints,
        rules: &Rules,
    ) -> u64 {
        let (roles, start) = (roles_of(legs), start_of(legs));
        let leg_us = i64::try_from(rules.timers.leg_ms)
            .unwrap_or(i64::MAX / 1000)
            .saturating_mul(1000);
        let is_told = |print: &Option<u64>| {
            let told = print.and_then(|print| self.call(*self.by_fingerprint.get(&print)?));
            told.is_some_and(|told| {
                // Both were open at their starts: each has lasted until it was judged.
                // and §4.2 rule 5 holds here too.
                !differ_in_session(&told.ties, legs)
                    && (told.start - start).abs() <= leg_us
                    && start <= told.at
                    && (told.roles.complement(roles) || roles.complement(told.roles))
            })
        };
        if !prints.iter().any(is_told) {
            return 0;
        }
        let before = prints.len();
        let told: SmallVec<[bool; 8]> = prints.iter().map(is_told).collect();
        let kept = || {
            let mut told = told.iter();
            move || told.next() != Some(&true)
        };
        let (mut target, mut ruling, mut print) = (kept(), kept(), kept());
        judged.record.targets.retain(|_| target());
        judged.explanation.rulings.retain(|_| ruling());
        prints.retain(|_| print());
        u64::try_from(before - prints.len()).unwrap_or(0)
    }

    /// Whether an answered call hangs together with one of which somebody was told (§4.5, 4).
    pub(super) fn contradicts(&self, legs: &[Sketch], record: &CallRecord) -> bool {
        let answered = !record.targets.is_empty() && !record.targets.iter().any(|t| t.outcome.is_missed());
        answered
            && legs
                .iter()
                .flat_map(|leg| leg.ties())
                .filter(|tie| tie.kind() != TieKind::Sdp)
                .filter_map(|tie| self.call(*self.by_tie.get(&tie)?))
                .any(|told| told.caller.is_some() && told.caller == caller_of(legs))
    }

    /// Remembers a call of which `prints` tell who missed it.
    pub(super) fn remember(&mut self, legs: &[Sketch], record: &CallRecord, prints: &Prints) {
        let number = self.dropped + u64::try_from(self.calls.len()).unwrap_or(0);
        let missed: SmallVec<[u64; 2]> = prints.iter().flatten().copied().collect();
        if missed.is_empty() {
            return;
        }
        let ties: SmallVec<[Tie; 4]> = legs.iter().flat_map(|leg| leg.ties()).collect();
        for print in &missed {
            self.by_fingerprint.insert(*print, number);
        }
        for tie in &ties {
            self.by_tie.insert(*tie, number);
        }
        self.calls.push_back(Told {
            at: record.ended,
            start: start_of(legs),
            roles: roles_of(legs),
            caller: caller_of(legs),
            missed,
            ties,
        });
        if self.calls.len() > CALLS_MAX {
            self.drop_first();
        }
    }

    /// Forgets what is old at `now`.
    pub(super) fn forget(&mut self, now: Time) {
        while self
            .calls
            .front()
            .is_some_and(|call| call.at.plus_ms(KEPT_MS) < now)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(call) = self.calls.pop_front() else {
            return;
        };
        let number = self.dropped;
        self.dropped += 1;
        for print in call.missed {
            if self.by_fingerprint.get(&print) == Some(&number) {
                self.by_fingerprint.remove(&print);
            }
        }
        for tie in call.ties {
            if self.by_tie.get(&tie) == Some(&number) {
                self.by_tie.remove(&tie);
            }
        }
    }

    fn call(&self, number: u64) -> Option<&Told> {
        let at = number.checked_sub(self.dropped)?;
        self.calls.get(usize::try_from(at).ok()?)
    }
}

/// Both have a Session-ID, and none in common.
fn differ_in_session(told: &[Tie], legs: &[Sketch]) -> bool {
    let is_session = |tie: &Tie| tie.kind() == TieKind::Session;
    let mut own = legs
        .iter()
        .flat_map(|leg| leg.ties().filter(is_session))
        .peekable();
    own.peek().is_some() && told.iter().any(is_session) && !own.any(|tie| told.contains(&tie))
}

fn roles_of(legs: &[Sketch]) -> Roles {
    legs.iter()
        .fold(Roles::default(), |roles, leg| roles.union(leg.roles()))
}

fn start_of(legs: &[Sketch]) -> Time {
    legs.iter().map(|leg| leg.start).min().unwrap_or_default()
}

fn caller_of(legs: &[Sketch]) -> Option<u64> {
    let anonymous = legs.iter().find(|leg| leg.is_anonymous());
    let leg = anonymous.or_else(|| legs.iter().find(|leg| leg.caller != 0))?;
    leg.callers().last()
}

/// The fingerprints of a record's targets.
pub(super) fn prints(legs: &[Sketch], record: &CallRecord, keys: &HashKey) -> Prints {
    // All who withhold their number are one here: some legs do not show it at all.
    let caller = caller_of(legs);
    let mut prints = Prints::new();
    for target in &record.targets {
        let missed = caller.filter(|_| target.outcome.is_missed());
        prints.push(missed.map(|caller| caller.rotate_left(23) ^ keys.identity(&target.identity)));
    }
    prints
}

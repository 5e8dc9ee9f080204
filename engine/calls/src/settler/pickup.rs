//! Which call a feature code picked up (semantics.md D49).
//!
//! A colleague dials a code, and an application server in the core connects the two; nothing in the messages
//! says whose call it was. Only time does: the code is answered when the caller is. So calls that nothing
//! else explains are held back for a moment while somebody is dialling a code, and then calls and codes are
//! paired one to one, the nearest first.

use ringtap_identity::Identity;
use ringtap_record::Time;

use super::registry::Slot;
use super::{Call, Group};
use crate::nature::Nature;
use crate::rules::Rules;
use crate::verdict;

/// How far the answer to the code and the answer to the caller may be apart.
const TOGETHER_US: i64 = 1_000_000;
/// Two calls that fit one code equally well, within this: then it explains neither.
const AMBIGUOUS_US: i64 = 10_000;
/// Two calls at the ends of one code's second, a rival's own code beyond that, and a little for ticks: so much
/// longer than its closing a call is held, until every code and every other call that could matter is known.
const CALL_HELD_MS: u64 = 3_500;
/// A code is held longer than each call that it could explain.
const CODE_HELD_MS: u64 = 5_000;

/// `ms` after the longest time in which a leg closes that has ended.
fn held_until(at: Time, ms: u64, rules: &Rules) -> Time {
    let held_ms = rules.closes_within_ms().saturating_add(ms);
    at.plus_ms(i64::try_from(held_ms).unwrap_or(i64::MAX / 1000))
}

/// A call, or a code, that waits to be paired.
#[derive(Debug)]
struct Held {
    group: Group,
    /// When the caller, or the code, was answered; of a call without a visible caller's side the cancel.
    at: Time,
    until: Time,
    /// The called ones, or the picker.
    people: Vec<Identity>,
}

/// Calls and codes that are held back.
#[derive(Debug, Default)]
pub(super) struct Pickups {
    calls: Vec<Held>,
    codes: Vec<Held>,
}

impl Pickups {
    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.codes.is_empty()
    }

    /// Whether this closed leg is held already.
    pub(super) fn holds(&self, slot: Slot) -> bool {
        let mut held = self.calls.iter().chain(&self.codes);
        held.any(|held| held.group.legs.contains(&slot))
    }

    /// Lets go of what has a leg in common with this group. The other legs of that are nobody's then.
    pub(super) fn release(&mut self, group: &Group) -> Vec<Slot> {
        let has = |slot: Slot| group.slots().any(|other| other == slot);
        let let_go = self.calls.extract_if(.., |held| held.group.slots().any(has));
        let slots = let_go.flat_map(|held| held.group.slots().collect::<Vec<_>>());
        slots.filter(|slot| !has(*slot)).collect()
    }

    /// Whether anything is known that a call would have to be held for: codes that were answered, or `open`
    /// ones that may be.
    pub(super) fn may_matter(&self, open_codes: usize) -> bool {
        open_codes > 0 || !self.codes.is_empty()
    }

    /// Holds a call back that a pickup may explain, or the leg of a code. False if it is neither.
    pub(super) fn take(&mut self, call: &Call, group: &Group, open_codes: usize, rules: &Rules) -> bool {
        let [leg, others @ ..] = call.legs.as_slice() else {
            return false;
        };
        if others.is_empty() && leg.nature.has(Nature::PICKUP_CODE) {
            let Some(at) = leg.answered_at().time(leg.base) else {
                return false;
            };
            self.codes.push(Held {
                group: group.clone(),
                at,
                until: held_until(at, CODE_HELD_MS, rules),
                people: leg.caller.identity.iter().cloned().collect(),
            });
            return true;
        }
        let Some((at, people)) = verdict::unexplained(call, rules) else {
            return false;
        };
        if open_codes == 0 && !self.codes.iter().any(|code| fits(at, code)) {
            return false;
        }
        self.calls.push(Held {
            group: group.clone(),
            at,
            until: held_until(at, CALL_HELD_MS, rules),
            people,
        });
        true
    }

    /// What is held no longer at `now`, each call with the leg that picked it up.
    pub(super) fn due(&mut self, now: Time, rules: &Rules) -> Vec<(Group, Option<Slot>)> {
        let is_due = |held: &Held| held.until <= now;
        if !self.calls.iter().chain(&self.codes).any(is_due) {
            return Vec::new();
        }
        let order = |held: &Held| (held.at, held.group.order);
        self.calls.sort_by_key(order);
        self.codes.sort_by_key(order);
        let (pairs, tied) = pair(&self.calls, &self.codes, rules);
        let (mut due, mut used) = (Vec::new(), Vec::new());
        for (at, call) in self.calls.iter().enumerate().filter(|(_, call)| is_due(call)) {
            let code = pairs.iter().find(|(call, _)| *call == at).map(|(_, code)| *code);
            used.extend(code);
            // A tie that this call took part in is decided for good: the code explains nobody.
            for tie in &tied {
                if let Some(held) = self.codes.get(*tie).filter(|held| fits(call.at, held))
                    && code.is_none()
                    && !used.contains(tie)
                {
                    used.push(*tie);
                    due.push((call.until, held.group.clone(), None));
                }
            }
            let code = code.and_then(|code| self.codes.get(code)?.group.legs.first().copied());
            due.push((call.until, call.group.clone(), code));
        }
        for (at, code) in self.codes.iter().enumerate() {
            if is_due(code) && !used.contains(&at) {
                due.push((code.until, code.group.clone(), None));
                used.push(at);
            }
        }
        self.calls.retain(|call| !is_due(call));
        let mut at = 0;
        self.codes.retain(|_| {
            at += 1;
            !used.contains(&(at - 1))
        });
        due.sort_by_key(|(until, group, _)| (*until, group.order));
        due.into_iter().map(|(_, group, code)| (group, code)).collect()
    }
}

fn fits(at: Time, code: &Held) -> bool {
    (at - code.at).abs() <= TOGETHER_US
}

/// One to one, the nearest first, as indices of call and code; and the codes that two calls fit alike.
fn pair(calls: &[Held], codes: &[Held], rules: &Rules) -> (Vec<(usize, usize)>, Vec<usize>) {
    let mut near: Vec<(bool, i64, usize, usize)> = Vec::new();
    for (c, call) in calls.iter().enumerate() {
        for (p, code) in codes.iter().enumerate().filter(|(_, code)| fits(call.at, code)) {
            let said = grouped(code, call, rules);
            if said != Some(false) {
                near.push((said.is_none(), (call.at - code.at).abs(), c, p));
            }
        }
    }
    // A configured group decides before time does.
    near.sort_unstable();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let (mut spent, mut tied): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (undecided, distance_us, c, p) in &near {
        if spent.contains(p) || pairs.iter().any(|(call, _)| call == c) {
            continue;
        }
        spent.push(*p);
        let is_rival = |(other_undecided, other_us, other, code): &(bool, i64, usize, usize)| {
            code == p
                && other != c
                && other_undecided == undecided
                && !pairs.iter().any(|(call, _)| call == other)
                && (other_us - distance_us).abs() <= AMBIGUOUS_US
        };
        if near.iter().any(is_rival) {
            tied.push(*p);
        } else {
            pairs.push((*c, *p));
        }
    }
    (pairs, tied)
}

/// What the configured groups say of a picker and the called ones.
fn grouped(code: &Held, call: &Held, rules: &Rules) -> Option<bool> {
    let picker = code.people.first()?;
    let said: Vec<bool> = call
        .people
        .iter()
        .filter_map(|called| rules.may_pick_up(picker, called))
        .collect();
    (!said.is_empty()).then(|| said.contains(&true))
}

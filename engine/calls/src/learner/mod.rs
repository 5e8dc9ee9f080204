//! The identity learner of semantics.md §3.6: what registrations tell, and what follows for a leg.
//!
//! Workers make [`Registration`]s of the few messages that tell of registrations (`hear`); the settler's thread
//! feeds them here in the order of time, and asks before it judges a leg (`resolve`): whose the phone is that
//! was called by its contact, and whose the one that calls. Whose a contact is stands in `bindings`. What is
//! registered together becomes a set, for the operator and the notifier to make something of.
//!
//! Bounded in everything; a table that is full gives up what expires first.

mod bindings;
mod hear;
mod knowledge;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use ringtap_identity::Identity;
use ringtap_record::{ImplicitSet, Time};

use crate::rules::Rules;
use bindings::{Bindings, Set, Telling};
pub use hear::Registration;
pub(crate) use hear::{Heard, Hearing, hear};
pub use knowledge::Knowledge;

/// A set is told again after this time though nothing has changed, so that who keeps it knows that it holds.
const RETELL_US: i64 = 24 * 3_600_000_000;

/// What the learner did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnerCounters {
    /// Registrations learned from, mirror copies and repetitions left out.
    pub registrations: u64,
    /// Contacts known now, expired ones included.
    pub bindings: u64,
    /// Contacts that had to leave the full table.
    pub bindings_evicted: u64,
    /// Sets told, new and changed ones and those told again.
    pub sets: u64,
    /// Wildcarded identities left out.
    pub wildcards: u64,
    /// Called identities that a contact's registration gave.
    pub resolved: u64,
    /// Called identities that the callee's side asserted.
    pub asserted: u64,
    /// Contacts that several parties had at once: nothing was concluded.
    pub ambiguous: u64,
    /// Callers whom their phone's registration named.
    pub callers: u64,
}

/// What registrations have told so far.
#[derive(Debug, Default)]
pub struct Learner {
    bindings: Bindings,
    sets: HashMap<Identity, Known>,
    told: Vec<ImplicitSet>,
    counters: LearnerCounters,
}

#[derive(Debug)]
struct Known {
    set: Set,
    retell: Time,
}

impl Learner {
    /// Learns from a registration. They should come in their own order; each may come any number of times.
    pub fn learn(&mut self, registration: &Registration, rules: &Rules) {
        let time = registration.time;
        self.counters.registrations += 1;
        self.counters.wildcards += u64::from(registration.wildcards);
        let sets: Vec<(Identity, Set)> = registration
            .sets
            .iter()
            .filter_map(|set| Some((set.aor.clone(), self.know(set, time, rules)?)))
            .collect();
        let mut lost = Vec::new();
        for told in &registration.told {
            let set = sets
                .iter()
                .find(|(aor, set)| *aor == told.aor || set.contains(&told.aor));
            for contact in &told.contacts {
                let telling = Telling {
                    key: contact.key,
                    aor: &told.aor,
                    time,
                    until: hear::Told::until(contact, time),
                    route: registration.route,
                    explicit: told.explicit,
                    set: set.map(|(_, set)| set),
                };
                self.bindings.tell(&telling, rules.bindings_max, &mut lost);
            }
            if told.complete {
                let listed: Vec<u64> = told.contacts.iter().map(|contact| contact.key).collect();
                self.bindings
                    .keep_only(&told.aor, &listed, registration.route, time);
            }
        }
        // Sets are bounded by the contacts: without one, nothing is known of whom it belongs to.
        let unbound = sets.into_iter().map(|(aor, _)| aor);
        for aor in lost.into_iter().chain(unbound) {
            if !self.bindings.knows(&aor) {
                self.sets.remove(&aor);
            }
        }
    }

    /// The set as it is kept; told on if it is new, has changed or is due. Numbers of groups, machines and
    /// services belong to nobody and are left out.
    fn know(&mut self, told: &ringtap_identity::ImplicitSet, time: Time, rules: &Rules) -> Option<Set> {
        let is_persons = |member: &&Identity| !rules.is_nobodys(member);
        let members: Vec<Identity> = told.members.iter().filter(is_persons).cloned().collect();
        if members.is_empty() {
            return None;
        }
        let known = self.sets.get(&told.aor);
        let set = match known.filter(|known| *known.set == *members) {
            Some(known) if time < known.retell => return Some(Arc::clone(&known.set)),
            Some(known) => Arc::clone(&known.set),
            None => Set::from(members),
        };
        self.counters.sets += 1;
        self.told.push(ImplicitSet {
            aor: told.aor.as_str().into(),
            members: set.iter().map(|member| member.as_str().into()).collect(),
            seen: time,
        });
        let known = Known {
            set: Arc::clone(&set),
            retell: time.plus_us(RETELL_US),
        };
        self.sets.insert(told.aor.clone(), known);
        Some(set)
    }

    /// The sets that were learned since this was last asked.
    pub fn take_sets(&mut self) -> Vec<ImplicitSet> {
        std::mem::take(&mut self.told)
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> LearnerCounters {
        LearnerCounters {
            bindings: self.bindings.len() as u64,
            bindings_evicted: self.bindings.evicted(),
            ..self.counters
        }
    }
}

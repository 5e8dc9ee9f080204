//! Closed legs to calls to records.
//!
//! A call is a set of legs with one origin. For now every leg is a call of its own: forks, challenges and
//! proxies keep Call-ID and caller's tag, so their branches meet in one leg (semantics.md K1). The other
//! keys of §4.1 join legs of several Call-IDs; they have their place here, between a leg's closing and the
//! verdict.

use ringtap_record::CallRecord;

use crate::facts::LegFacts;
use crate::learner::Learner;
use crate::rules::Rules;
use crate::verdict;

/// One attempt of one caller to reach somebody: all its legs.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) legs: Vec<LegFacts>,
}

/// What the settler has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlerCounters {
    /// Legs taken in.
    pub legs: u64,
    /// Calls judged, those without a verdict (requests within dialogs) not counted.
    pub calls: u64,
    /// Calls of which nobody missed anything.
    pub answered: u64,
}

/// Turns closed legs into records.
#[derive(Debug, Default)]
pub struct Settler {
    /// What registrations told, to be fed with those before a leg's first message.
    pub learner: Learner,
    counters: SettlerCounters,
}

impl Settler {
    /// Takes one closed leg; gives the record of the call that is settled with it. `None` for legs that
    /// are no call (D60).
    pub fn settle(&mut self, mut leg: LegFacts, rules: &Rules) -> Option<CallRecord> {
        self.learner.resolve(&mut leg);
        self.counters.legs += 1;
        let record = verdict::judge(&Call { legs: vec![leg] }, rules)?;
        self.counters.calls += 1;
        if !record.is_missed_by_somebody() {
            self.counters.answered += 1;
        }
        Some(record)
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> SettlerCounters {
        self.counters
    }
}

//! Of which attempt a message is, on a leg that was over and was begun anew under the same Call-ID (D90).

use super::Observation;
use crate::facts::LegFacts;
use crate::hash::HashKey;
use crate::tick::Tick;

/// Of which attempt on a leg a message is (D90).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Of one that is over: it is absorbed.
    Before,
    This,
    /// It has to wait.
    Unsure,
}

/// What is remembered of an attempt that is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// The last of its INVITEs.
    pub(super) cseq: u32,
    /// Of the callee who answered, hashed; 0 if nobody did or it is not known.
    pub(super) tag: u32,
    pub(super) answered: bool,
}

/// When a message is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// As it is read: another worker may be about to bring what came before it.
    First,
    /// At the end of its epoch: nothing comes any more that was before it.
    Last,
}

/// A message at a leg's door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'v, 'm> {
    pub(super) seen: &'v Observation<'m>,
    /// The tags stand the other way round: the callee's request, or the answer to one.
    pub(super) by_callee: bool,
    /// Whether a leg is made if there is none.
    pub(super) make: bool,
    pub(super) stage: Stage,
}

impl Visit<'_, '_> {
    /// Whether this begins another attempt on a leg that is over (D90), whose INVITEs went up to `cseq`: a redial that reuses the Call-ID.
    pub(super) fn begins_attempt(&self, cseq: u32) -> bool {
        self.seen.is_initial_invite() && !self.by_callee && self.seen.message.cseq() > cseq
    }

    /// Of which attempt this is on a leg that is over, if it begins none.
    pub(super) fn attempt_after(&self, before: Before) -> Attempt {
        // The callee numbers requests as he likes.
        let may_be_of_next = self.by_callee || self.seen.message.cseq() > before.cseq;
        if may_be_of_next && self.stage == Stage::First {
            Attempt::Unsure
        } else {
            Attempt::Before
        }
    }

    /// Of which attempt this is on a leg that was over once (D90) and of whose present attempt these facts are: what bears the caller's numbers by
    /// those, the callee's by his tag, if that is known, or its time. What does not say so of itself waits until all INVITEs of the epoch are known.
    pub(super) fn attempt_with(&self, facts: &LegFacts, before: Before, keys: &HashKey) -> Attempt {
        let is_before = if self.by_callee {
            let tag = self.seen.message.from_tag().map_or(0, |tag| keys.short(tag));
            if tag != 0 && tag == before.tag {
                return Attempt::Before;
            }
            // What was seen with the INVITE does not answer it.
            let at = Tick::of(self.seen.time, facts.base);
            facts.first_invite().is_some_and(|invite| at <= invite)
        } else {
            let cseq = self.seen.message.cseq();
            if cseq <= before.cseq {
                return Attempt::Before;
            }
            if self.seen.is_initial_invite() || facts.first_cseq().is_none_or(|first| cseq >= first) {
                return Attempt::This;
            }
            // A BYE, say, of the dialog that was answered then.
            true
        };
        match (self.stage, is_before) {
            (Stage::First, _) => Attempt::Unsure,
            (Stage::Last, true) => Attempt::Before,
            (Stage::Last, false) => Attempt::This,
        }
    }
}

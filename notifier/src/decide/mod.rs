//! From a call record to what one person is told of it: semantics.md §2.8 steps 4 and 5, as a pure function.
//!
//! The engine has judged each called identity. Which identities are one person's, and what that person
//! wants to hear of, is known only here: `own` finds what of the record is the person's, this file comes to
//! one verdict for all of it (step 4), `permit` asks the person's policy (step 5).

mod own;
mod permit;

use ringtap_config::{GroupMember, Policy};
use ringtap_record::{CallRecord, Outcome};

pub use own::Interest;
use own::{Case, Own};
pub use permit::tells;

/// A missed call that is worth a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The code the person is told.
    pub reason: Outcome,
    /// The target that gave it, as index into the record's targets.
    pub target: usize,
    /// The person's accounts that were tried; that target's account first.
    pub accounts: Vec<String>,
    /// The call was answered for no longer than this, which counts as missed (D01).
    pub talk_ms: Option<u64>,
}

/// Why a person is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No target is the person's.
    NotCalled,
    /// The person called their own number (D62).
    OwnCall,
    /// The person answered, on whatever account (step 4a).
    Answered,
    /// Another device or member answered (step 4b).
    AnsweredElsewhere,
    /// The switch of this code is off.
    SwitchedOff(Outcome),
    /// It rang for less than `min_ring_s`.
    TooShort,
    /// The beginning was not captured and `partial_evidence` is `drop`.
    Partial,
    /// The end was not seen, and a capture gap explains that (D37, D89).
    Gap,
}

impl Silence {
    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotCalled => "not_called",
            Self::OwnCall => "own_call",
            Self::Answered => "answered",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::SwitchedOff(_) => "switched_off",
            Self::TooShort => "too_short",
            Self::Partial => "partial",
            Self::Gap => "gap",
        }
    }
}

/// What the person with `interest` is told of `record`: one mail at most, however many accounts rang.
pub fn decide(record: &CallRecord, interest: &Interest, policy: &Policy) -> Result<Missed, Silence> {
    let case = Case::of(record, interest)?;
    if let Some(own) = case.answered() {
        let talk_ms = short_answer(record, policy).ok_or(Silence::Answered)?;
        permit::short_answer(&case, own, policy)?;
        return Ok(Missed {
            reason: Outcome::NoAnswer,
            target: own.index,
            accounts: case.accounts(own),
            talk_ms: Some(talk_ms),
        });
    }
    let members_too = policy.group_member == GroupMember::Always;
    if case.own.iter().any(|own| case.is_over(own, members_too)) {
        return Err(Silence::AnsweredElsewhere);
    }
    let own = case.best().ok_or(Silence::NotCalled)?;
    Ok(Missed {
        reason: permit::reason(&case, own, case.code(own), policy)?,
        target: own.index,
        accounts: case.accounts(own),
        talk_ms: None,
    })
}

/// D01: answered, but for so short that it counts as missed. A machine's answer is no talk.
fn short_answer(record: &CallRecord, policy: &Policy) -> Option<u64> {
    let longest_ms = u64::from(policy.short_answer_s).saturating_mul(1000);
    record
        .talk_ms
        .filter(|talk_ms| longest_ms > 0 && *talk_ms <= longest_ms && !record.machine)
}

impl<'a> Case<'a> {
    /// Step 4b: another device (D03) or another member (D45) answered. With `members_too` that does not end
    /// the matter for a member; a group's own number that is the person's too has no say then.
    fn is_over(&self, own: &Own<'_>, members_too: bool) -> bool {
        let is_member = own.target.group.is_some() && !self.is_pilot_of_other(own);
        let also_member = || self.own.iter().any(|other| other.target.group.is_some());
        match members_too {
            true if is_member || (self.is_pilot(own) && also_member() && !self.is_pilot_of_other(own)) => {
                false
            }
            _ => self.is_elsewhere(own),
        }
    }

    fn is_elsewhere(&self, own: &Own<'_>) -> bool {
        own.is(Outcome::AnsweredElsewhere)
            // D52: the queue's own answer, and what it means for those whom it tried in vain.
            || (matches!(own.target.outcome, Outcome::Voicemail | Outcome::DivertedUnseen | Outcome::Answered)
                && self.is_answered_in_group(own))
    }

    /// The target that speaks for the person. Steps 4c to 4e speak of the call as a whole and go before the
    /// codes of single branches (4f), of which one that left the person goes first.
    fn best(&self) -> Option<Own<'a>> {
        let first = |test: &dyn Fn(&Own<'_>) -> bool| self.own.iter().find(|own| test(own)).copied();
        first(&|own| own.is(Outcome::PickedUp)) // D48, D49
            .or_else(|| first(&|own| own.target.group.is_some() && self.is_elsewhere(own))) // D45, D47
            .or_else(|| first(&|own| own.is(Outcome::DivertedAnswered))) // D40
            .or_else(|| first(&|own| own.is(Outcome::Voicemail))) // D02, D42
            .or_else(|| first(&|own| own.is(Outcome::DivertedUnseen))) // D43
            .or_else(|| first(&|own| self.is_sent_away(own.target))) // D05, D44
            .or_else(|| self.own.iter().find(|own| !self.is_elsewhere(own)).copied()) // D05 to D39, D46
    }

    /// The code for the person: that of the target, but for what only the person's ownership tells.
    fn code(&self, own: Own<'_>) -> Outcome {
        let (outcome, base) = (own.target.outcome, own.target.base);
        if self.is_pilot_of_other(&own) {
            return for_pilot(outcome); // D46
        }
        if self.is_elsewhere(&own) {
            // D45, D47 with `group_member = "always"`.
            return base
                .filter(|base| !matches!(base, Outcome::Answered | Outcome::AnsweredElsewhere))
                .unwrap_or(Outcome::NoAnswer);
        }
        if outcome == Outcome::ForwardedUnanswered && !self.is_sent_away(own.target) {
            return base.unwrap_or(Outcome::NoAnswer); // step 4f: a diversion to oneself is none
        }
        outcome
    }
}

/// What a member's code says to the owner of the group's number: that nobody answered, and nothing of that
/// member (D46, §7.4).
const fn for_pilot(member: Outcome) -> Outcome {
    match member {
        Outcome::CallerHungUp
        | Outcome::NoAnswer
        | Outcome::Busy
        | Outcome::Unreachable
        | Outcome::AutoRejected
        | Outcome::NetworkFailure
        | Outcome::Declined
        | Outcome::ForwardedUnanswered => Outcome::GroupUnanswered,
        other => other,
    }
}

//! From a call record to what one person is told of it: semantics.md §2.8 steps 4 and 5, as a pure function.
//!
//! The engine has judged each called identity. Which identities are one person's, and what that person
//! wants to hear of, is known only here. The caller's own attempts never come up: only called identities
//! are looked at (D62).

use ringtap_config::{GroupMember, PartialEvidence, Policy, Undetermined};
use ringtap_record::{CallRecord, Flag, Outcome, Target};

/// What one person owns of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Identities of the record that are the person's, each with the account it belongs to.
    pub identities: Vec<(String, String)>,
}

/// A missed call that is worth a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The code the person is told.
    pub reason: Outcome,
    /// The target that gave it, as index into the record's targets.
    pub target: usize,
    /// The person's accounts that were tried; that target's account first.
    pub accounts: Vec<String>,
}

/// Why a person is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No target is the person's.
    NotCalled,
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

/// What the person with `interest` is told of `record`: one mail at most, however many accounts rang.
pub fn decide(record: &CallRecord, interest: &Interest, policy: &Policy) -> Result<Missed, Silence> {
    let own: Vec<(usize, &Target)> = record
        .targets
        .iter()
        .enumerate()
        .filter(|(_, target)| interest.owns(&target.identity) && !target.outcome.is_no_attempt())
        .collect();
    let has = |outcome| own.iter().any(|(_, target)| target.outcome == outcome);
    if has(Outcome::Answered) {
        return Err(Silence::Answered);
    }
    let members_too = policy.group_member == GroupMember::Always;
    if own
        .iter()
        .any(|(_, target)| elsewhere(target) && !(members_too && target.group.is_some()))
    {
        return Err(Silence::AnsweredElsewhere);
    }
    // Steps 4c to 4e speak of the call as a whole and go before the codes of single branches (4f).
    let first = |wanted: &[Outcome]| own.iter().find(|(_, target)| wanted.contains(&target.outcome));
    let &(index, target) = first(&[Outcome::PickedUp, Outcome::DivertedAnswered])
        .or_else(|| first(&[Outcome::Voicemail]))
        .or_else(|| first(&[Outcome::DivertedUnseen]))
        .or_else(|| own.first())
        .ok_or(Silence::NotCalled)?;
    let code = code_of(target, interest);
    let reason = permitted(record, target, code, policy)?;
    Ok(Missed {
        reason,
        target: index,
        accounts: interest.accounts(target, &own),
    })
}

impl Interest {
    fn account_of(&self, identity: &str) -> Option<&str> {
        self.identities
            .iter()
            .find(|(own, _)| own == identity)
            .map(|(_, account)| account.as_str())
    }

    fn owns(&self, identity: &str) -> bool {
        self.account_of(identity).is_some()
    }

    fn accounts(&self, first: &Target, own: &[(usize, &Target)]) -> Vec<String> {
        let mut accounts: Vec<String> = Vec::with_capacity(own.len());
        for target in std::iter::once(first).chain(own.iter().map(|(_, target)| *target)) {
            if let Some(account) = self.account_of(&target.identity)
                && !accounts.iter().any(|known| known == account)
            {
                accounts.push(account.to_owned());
            }
        }
        accounts
    }
}

fn elsewhere(target: &Target) -> bool {
    target.outcome == Outcome::AnsweredElsewhere
}

/// The code of step 4f. A diversion to another account of the same person is none for that person: what
/// the branch itself came to holds then.
fn code_of(target: &Target, interest: &Interest) -> Outcome {
    let changed = matches!(
        target.outcome,
        Outcome::ForwardedUnanswered | Outcome::GroupUnanswered
    );
    let to_self = target.diverted_to.as_deref().is_some_and(|to| interest.owns(to));
    match target.base {
        Some(base) if changed && to_self => base,
        // Only `group_member = "always"` comes here with this code (D45).
        base if elsewhere(target) => base.unwrap_or(Outcome::NoAnswer),
        _ => target.outcome,
    }
}

/// The policy's word on `code` (semantics.md §2.7), and the code that is told.
fn permitted(
    record: &CallRecord,
    target: &Target,
    code: Outcome,
    policy: &Policy,
) -> Result<Outcome, Silence> {
    if record.has(Flag::Partial) && policy.partial_evidence == PartialEvidence::Drop {
        return Err(Silence::Partial);
    }
    if code == Outcome::Undetermined {
        return undetermined(record, policy);
    }
    let switched_on = switch(code, record, target, policy)
        && (policy.diverted_to_missed || !is_diverted_to(record, target))
        && group_permits(record, target, policy);
    if !switched_on {
        return Err(Silence::SwitchedOff(code));
    }
    let too_short = target.ring_ms < u64::from(policy.min_ring_s).saturating_mul(1000);
    if code == Outcome::CallerHungUp && target.alerted && too_short {
        return Err(Silence::TooShort);
    }
    Ok(code)
}

/// D37, D39: a known gap explains why the end was not seen, and then only `always` speaks.
fn undetermined(record: &CallRecord, policy: &Policy) -> Result<Outcome, Silence> {
    let gap = record.has(Flag::Loss) || record.has(Flag::Evicted);
    match policy.undetermined {
        Undetermined::Off => Err(Silence::SwitchedOff(Outcome::Undetermined)),
        Undetermined::Auto if gap => Err(Silence::Gap),
        Undetermined::Auto | Undetermined::Always => Ok(Outcome::PossiblyMissed),
    }
}

fn switch(code: Outcome, record: &CallRecord, target: &Target, policy: &Policy) -> bool {
    match code {
        // Whether it rang is not known of a call whose beginning was not captured.
        Outcome::CallerHungUp if target.alerted || record.has(Flag::Partial) => policy.caller_hung_up,
        Outcome::CallerHungUp => policy.abandoned_before_ring,
        Outcome::NoAnswer => policy.no_answer,
        Outcome::Busy => policy.busy,
        Outcome::Unreachable => policy.unreachable,
        Outcome::AutoRejected => policy.auto_rejected,
        Outcome::NetworkFailure => policy.network_failure,
        Outcome::Voicemail => policy.voicemail,
        Outcome::DivertedUnseen => policy.unseen_answerer,
        Outcome::ForwardedUnanswered => policy.forwarded_unanswered,
        Outcome::GroupUnanswered => policy.group_member != GroupMember::Never,
        Outcome::Declined => policy.declined,
        Outcome::PossiblyMissed => policy.undetermined != Undetermined::Off,
        Outcome::DivertedAnswered => policy.diverted_answered,
        Outcome::PickedUp => policy.picked_up,
        Outcome::Blocked => policy.blocked,
        Outcome::InvalidNumber => policy.invalid_number,
        Outcome::Incompatible => policy.incompatible,
        Outcome::Answered
        | Outcome::AnsweredElsewhere
        | Outcome::AuthFailed
        | Outcome::InDialog
        | Outcome::NotACall
        | Outcome::Undetermined => false,
    }
}

/// Whether the call came to this target by a diversion (D44, the other half).
fn is_diverted_to(record: &CallRecord, target: &Target) -> bool {
    record
        .targets
        .iter()
        .any(|other| other.diverted_to.as_ref() == Some(&target.identity))
}

/// D45 to D47: a member of a group hears of calls that nobody took, of all it did not take, or of none.
fn group_permits(record: &CallRecord, target: &Target, policy: &Policy) -> bool {
    let answered = record.answered_by.is_some()
        || record
            .targets
            .iter()
            .any(|other| other.outcome == Outcome::Answered);
    match policy.group_member {
        _ if target.group.is_none() => true,
        GroupMember::Never => false,
        GroupMember::IfGroupUnanswered => !answered,
        GroupMember::Always => true,
    }
}

//! The policy's word on a verdict (semantics.md §2.7, §2.8 step 5): which switch governs which code, and what
//! groups, diversions and thin evidence have to say besides.

use ringtap_config::{GroupMember, PartialEvidence, Policy, Undetermined};
use ringtap_record::{Flag, Outcome, Target};

use super::Silence;
use super::own::{Case, Own};

/// The code that is told of `code`, or why nothing is.
pub(super) fn reason(
    case: &Case<'_>,
    own: Own<'_>,
    code: Outcome,
    policy: &Policy,
) -> Result<Outcome, Silence> {
    evidence(case, policy)?;
    if !diversion(case, policy) || !group(case, &own, code, policy) {
        return Err(Silence::SwitchedOff(code));
    }
    if code == Outcome::Undetermined {
        return undetermined(case, policy);
    }
    if !switch(case, code, own.target, policy) {
        return Err(Silence::SwitchedOff(code));
    }
    if is_too_short(case, &own, code, policy) {
        return Err(Silence::TooShort);
    }
    Ok(code)
}

/// D01: a short answer is told as NO_ANSWER, if that is told at all. That nobody else answered in the group
/// is not asked: it was this person's phone.
pub(super) fn short_answer(case: &Case<'_>, own: Own<'_>, policy: &Policy) -> Result<(), Silence> {
    evidence(case, policy)?;
    let in_group = own.target.group.is_some() || case.is_pilot(&own);
    let is_wanted = policy.no_answer
        && diversion(case, policy)
        && !(in_group && policy.group_member == GroupMember::Never);
    is_wanted
        .then_some(())
        .ok_or(Silence::SwitchedOff(Outcome::NoAnswer))
}

/// D80.
fn evidence(case: &Case<'_>, policy: &Policy) -> Result<(), Silence> {
    match policy.partial_evidence {
        PartialEvidence::Drop if case.record.has(Flag::Partial) => Err(Silence::Partial),
        PartialEvidence::Drop | PartialEvidence::Notify => Ok(()),
    }
}

/// D44, the half of the one to whom a call was diverted.
fn diversion(case: &Case<'_>, policy: &Policy) -> bool {
    policy.diverted_to_missed || !case.is_only_diverted_here()
}

/// D45 to D47, D52: a member hears of group calls that nobody took, of all that the member did not take, or
/// of none; the owner of the group's number of those that nobody took, or of none.
fn group(case: &Case<'_>, own: &Own<'_>, code: Outcome, policy: &Policy) -> bool {
    let is_pilot = case.is_pilot(own);
    if own.target.group.is_none() && !is_pilot {
        return true;
    }
    match policy.group_member {
        GroupMember::Never => false,
        // Each has a switch of its own, off unless somebody asks for it, and says that there was an answer.
        _ if matches!(code, Outcome::PickedUp | Outcome::DivertedAnswered) => true,
        GroupMember::Always if !is_pilot => true,
        GroupMember::Always | GroupMember::IfGroupUnanswered => !is_answered(case),
    }
}

/// Whether a person took the call. What answers unseen is no person (D43), and neither is a machine.
fn is_answered(case: &Case<'_>) -> bool {
    let any = |outcomes: &[Outcome]| {
        let mut targets = case.record.targets.iter();
        targets.any(|target| outcomes.contains(&target.outcome))
    };
    let is_named = case.record.answered_by.is_some() && !case.record.machine;
    any(&[
        Outcome::Answered,
        Outcome::AnsweredElsewhere,
        Outcome::DivertedAnswered,
        Outcome::PickedUp,
    ]) || (is_named && !any(&[Outcome::DivertedUnseen]))
}

/// D37, D39: a known gap explains why the end was not seen, and then only `always` speaks.
fn undetermined(case: &Case<'_>, policy: &Policy) -> Result<Outcome, Silence> {
    let gap = case.record.has(Flag::Loss) || case.record.has(Flag::Evicted);
    match policy.undetermined {
        Undetermined::Off => Err(Silence::SwitchedOff(Outcome::Undetermined)),
        Undetermined::Auto if gap => Err(Silence::Gap),
        Undetermined::Auto | Undetermined::Always => Ok(Outcome::PossiblyMissed),
    }
}

/// D21: the caller gave up before it had rung for long. A group whose members rang is no different; the group's
/// own number has no ringing of its own.
fn is_too_short(case: &Case<'_>, own: &Own<'_>, code: Outcome, policy: &Policy) -> bool {
    let gave_up = match code {
        Outcome::CallerHungUp => true,
        Outcome::GroupUnanswered => {
            own.target.base == Some(Outcome::CallerHungUp) && !case.is_pilot_of_other(own)
        }
        _ => false,
    };
    let shortest_ms = u64::from(policy.min_ring_s).saturating_mul(1000);
    gave_up && own.target.alerted && own.target.ring_ms < shortest_ms
}

fn switch(case: &Case<'_>, code: Outcome, target: &Target, policy: &Policy) -> bool {
    match code {
        // D21, D24. Whether it rang is not known of a call whose beginning was not captured.
        Outcome::CallerHungUp if target.alerted || case.record.has(Flag::Partial) => policy.caller_hung_up,
        Outcome::CallerHungUp => policy.abandoned_before_ring, // D23
        code => tells(policy, code),
    }
}

/// Whether `policy` tells of any call with this code.
#[must_use]
pub const fn tells(policy: &Policy, code: Outcome) -> bool {
    match code {
        Outcome::CallerHungUp => policy.caller_hung_up || policy.abandoned_before_ring,
        Outcome::NoAnswer => policy.no_answer,      // D11, D13, D22, D28
        Outcome::Busy => policy.busy,               // D16
        Outcome::Unreachable => policy.unreachable, // D12, D14, D36
        Outcome::AutoRejected => policy.auto_rejected, // D15, D19
        Outcome::NetworkFailure => policy.network_failure, // D29
        Outcome::Voicemail => policy.voicemail,     // D02, D42
        Outcome::DivertedUnseen => policy.unseen_answerer, // D43
        Outcome::ForwardedUnanswered => policy.forwarded_unanswered, // D05, D44
        Outcome::GroupUnanswered => !matches!(policy.group_member, GroupMember::Never), // D46
        Outcome::Declined => policy.declined,       // D17, D18
        Outcome::PossiblyMissed => !matches!(policy.undetermined, Undetermined::Off), // pooling d
        Outcome::DivertedAnswered => policy.diverted_answered, // D40
        Outcome::PickedUp => policy.picked_up,      // D48, D49
        Outcome::Blocked => policy.blocked,         // D31, D32
        Outcome::InvalidNumber => policy.invalid_number, // D08, D10
        Outcome::Incompatible => policy.incompatible, // D27, D33
        // D03, D07, D60 to D71; UNDETERMINED has its own way.
        Outcome::Answered
        | Outcome::AnsweredElsewhere
        | Outcome::AuthFailed
        | Outcome::InDialog
        | Outcome::NotACall
        | Outcome::Undetermined => false,
    }
}

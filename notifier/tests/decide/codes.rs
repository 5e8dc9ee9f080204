//! Codes, switches, evidence, and the order of step 4 over several accounts.

use Outcome::*;
use ringtap_config::{PartialEvidence, Policy, Undetermined};
use ringtap_notifier::decide::{Missed, Silence, decide};
use ringtap_record::{CallRecord, Flag, Outcome, Target};

use crate::{ALIAS, DESK, MOBILE, OTHER, person, record, target, told};

/// Catches a code that has another default, or that another switch governs.
#[test]
fn each_code_has_its_switch() {
    type Switch = fn(&mut Policy) -> &mut bool;
    let table: [(Outcome, bool, Switch); 16] = [
        (CallerHungUp, true, |p| &mut p.caller_hung_up),
        (NoAnswer, true, |p| &mut p.no_answer),
        (Busy, true, |p| &mut p.busy),
        (Unreachable, true, |p| &mut p.unreachable),
        (AutoRejected, true, |p| &mut p.auto_rejected),
        (NetworkFailure, true, |p| &mut p.network_failure),
        (Voicemail, true, |p| &mut p.voicemail),
        (DivertedUnseen, true, |p| &mut p.unseen_answerer),
        (ForwardedUnanswered, true, |p| &mut p.forwarded_unanswered),
        (Declined, false, |p| &mut p.declined),
        (DivertedAnswered, false, |p| &mut p.diverted_answered),
        (PickedUp, false, |p| &mut p.picked_up),
        (Blocked, false, |p| &mut p.blocked),
        (InvalidNumber, false, |p| &mut p.invalid_number),
        (Incompatible, false, |p| &mut p.incompatible),
        (Busy, true, |p| &mut p.busy),
    ];
    for (code, default, switch) in table {
        let record = record(vec![target(DESK, code)]);
        let mut policy = Policy::default();
        assert_eq!(told(&record, &policy).is_ok(), default, "{code} by default");
        for on in [true, false] {
            *switch(&mut policy) = on;
            assert_eq!(
                told(&record, &policy),
                if on {
                    Ok(code)
                } else {
                    Err(Silence::SwitchedOff(code))
                }
            );
        }
    }
    for code in [AuthFailed, Answered, AnsweredElsewhere, InDialog, NotACall] {
        assert!(
            told(&record(vec![target(DESK, code)]), &Policy::default()).is_err(),
            "{code}"
        );
    }
}

/// Catches the order of step 4: an answer on any account beats whatever the others came to.
#[test]
fn one_verdict_for_all_accounts() {
    let policy = Policy::default();
    let of = |targets: &[(&str, Outcome)]| {
        told(
            &record(
                targets
                    .iter()
                    .map(|(identity, code)| target(identity, *code))
                    .collect(),
            ),
            &policy,
        )
    };
    assert_eq!(
        of(&[(DESK, CallerHungUp), (MOBILE, Answered)]),
        Err(Silence::Answered)
    );
    assert_eq!(
        of(&[(DESK, Busy), (MOBILE, AnsweredElsewhere)]),
        Err(Silence::AnsweredElsewhere)
    );
    assert_eq!(of(&[(DESK, NoAnswer), (OTHER, Answered)]), Ok(NoAnswer));
    assert_eq!(of(&[(MOBILE, NoAnswer), (DESK, Busy)]), Ok(NoAnswer));
    assert_eq!(of(&[(DESK, NoAnswer), (MOBILE, Voicemail)]), Ok(Voicemail));
    assert_eq!(
        of(&[(DESK, NoAnswer), (MOBILE, PickedUp)]),
        Err(Silence::SwitchedOff(PickedUp))
    );
    assert_eq!(of(&[(DESK, NotACall), (MOBILE, Busy)]), Ok(Busy));
    assert_eq!(of(&[(OTHER, CallerHungUp)]), Err(Silence::NotCalled));
    assert_eq!(of(&[]), Err(Silence::NotCalled));
}

/// Catches a mail that forgets an account, names one twice under its alias, or begins with another one
/// than the reason speaks of.
#[test]
fn all_accounts_are_listed_once() {
    let targets = [ALIAS, MOBILE, OTHER, DESK].map(|one| target(one, CallerHungUp));
    let missed = decide(&record(targets.to_vec()), &person(), &Policy::default()).unwrap();
    assert_eq!(missed.accounts, [DESK, MOBILE]);
    let targets = vec![target(DESK, CallerHungUp), target(MOBILE, Voicemail)];
    let Missed { accounts, target, .. } = decide(&record(targets), &person(), &Policy::default()).unwrap();
    assert_eq!((accounts, target), (vec![MOBILE.to_owned(), DESK.to_owned()], 1));
}

/// Catches a call whose end a capture gap hides being mailed as missed (D37, D89), or the reverse.
#[test]
fn undetermined() {
    use Undetermined::{Always, Auto, Off};
    for (code, flags, off, auto, always) in [
        (Undetermined, vec![], false, true, true),
        (Undetermined, vec![Flag::Loss], false, false, true),
        (Undetermined, vec![Flag::Evicted], false, false, true),
        (PossiblyMissed, vec![Flag::Loss], false, true, true),
    ] {
        let record = CallRecord {
            flags,
            ..record(vec![target(DESK, code)])
        };
        for (choice, mailed) in [(Off, off), (Auto, auto), (Always, always)] {
            let policy = Policy {
                undetermined: choice,
                ..Policy::default()
            };
            let told = told(&record, &policy);
            assert_eq!(told.is_ok(), mailed, "{choice:?} {record:?}");
            assert!(told.is_err() || told == Ok(PossiblyMissed));
        }
    }
}

/// Catches `partial_evidence`, `min_ring_s` and `abandoned_before_ring` acting on each other's calls.
#[test]
fn evidence_and_ringing() {
    let partial = CallRecord {
        flags: vec![Flag::Partial],
        ..record(vec![target(DESK, CallerHungUp)])
    };
    assert!(told(&partial, &Policy::default()).is_ok());
    let drop = Policy {
        partial_evidence: PartialEvidence::Drop,
        ..Policy::default()
    };
    assert_eq!(told(&partial, &drop), Err(Silence::Partial));

    let min = Policy {
        min_ring_s: 11,
        ..Policy::default()
    };
    let rang = record(vec![target(DESK, CallerHungUp)]);
    assert_eq!(told(&rang, &min), Err(Silence::TooShort));
    assert!(
        told(
            &rang,
            &Policy {
                min_ring_s: 10,
                ..Policy::default()
            }
        )
        .is_ok()
    );
    assert!(told(&record(vec![target(DESK, NoAnswer)]), &min).is_ok());

    let silent = record(vec![Target {
        alerted: false,
        ring_ms: 0,
        ..target(DESK, CallerHungUp)
    }]);
    assert!(told(&silent, &min).is_ok());
    let off = Policy {
        abandoned_before_ring: false,
        ..Policy::default()
    };
    assert_eq!(told(&silent, &off), Err(Silence::SwitchedOff(CallerHungUp)));
    assert!(told(&rang, &off).is_ok());
}

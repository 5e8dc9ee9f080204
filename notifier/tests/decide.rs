//! What one person is told of one call, row by row (semantics.md §2.7, §2.8 steps 4 and 5).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use Outcome::*;
use ringtap_config::{GroupMember, PartialEvidence, Policy, Undetermined};
use ringtap_notifier::decide::{Interest, Missed, Silence, decide};
use ringtap_record::{CallRecord, Caller, Flag, Outcome, Target, Time};

const DESK: &str = "+862583091001";
const MOBILE: &str = "+8613800001001";
const OTHER: &str = "+862583091002";
const GROUP: &str = "+862583091000";

fn target(identity: &str, outcome: Outcome) -> Target {
    Target {
        identity: identity.into(),
        outcome,
        base: None,
        alerted: true,
        ring_ms: 10_000,
        diverted_to: None,
        group: None,
        started: Time::default(),
        ended: Time::default(),
    }
}

fn record(targets: Vec<Target>) -> CallRecord {
    CallRecord {
        call: "c".to_owned(),
        started: Time::default(),
        ended: Time::default(),
        caller: Caller::default(),
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets,
        legs: 1,
        flags: Vec::new(),
    }
}

/// A person who owns a desk phone (known by an alias too) and a mobile.
fn person() -> Interest {
    let own = [
        (DESK, DESK),
        (MOBILE, MOBILE),
        ("sip:liming@ims.office.test", DESK),
    ];
    Interest {
        identities: own.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
    }
}

fn told(record: &CallRecord, policy: &Policy) -> Result<Outcome, Silence> {
    decide(record, &person(), policy).map(|missed| missed.reason)
}

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
    let targets = ["sip:liming@ims.office.test", MOBILE, OTHER, DESK].map(|one| target(one, CallerHungUp));
    let missed = decide(&record(targets.to_vec()), &person(), &Policy::default()).unwrap();
    assert_eq!(missed.accounts, [DESK, MOBILE]);
    let targets = vec![target(DESK, CallerHungUp), target(MOBILE, Voicemail)];
    let Missed { accounts, target, .. } = decide(&record(targets), &person(), &Policy::default()).unwrap();
    assert_eq!((accounts, target), (vec![MOBILE.to_owned(), DESK.to_owned()], 1));
}

/// Catches a person told of having forwarded a call to somebody, when it was to their own mobile (S29, D41).
#[test]
fn diversion_to_oneself_is_none() {
    let mut diverted = target(DESK, ForwardedUnanswered);
    diverted.base = Some(NoAnswer);
    for (to, code) in [(MOBILE, NoAnswer), (OTHER, ForwardedUnanswered)] {
        diverted.diverted_to = Some(to.into());
        let record = record(vec![diverted.clone(), target(to, CallerHungUp)]);
        assert_eq!(told(&record, &Policy::default()), Ok(code), "to {to}");
    }
}

/// Catches `diverted_to_missed` being applied to the one who diverted, or not at all.
#[test]
fn who_was_diverted_to_has_an_own_switch() {
    let mut diverted = target(OTHER, ForwardedUnanswered);
    diverted.diverted_to = Some(DESK.into());
    let record = record(vec![diverted, target(DESK, CallerHungUp)]);
    assert_eq!(told(&record, &Policy::default()), Ok(CallerHungUp));
    let policy = Policy {
        diverted_to_missed: false,
        ..Policy::default()
    };
    assert_eq!(told(&record, &policy), Err(Silence::SwitchedOff(CallerHungUp)));
}

/// Catches the three-way choice of groups (D45 to D47).
#[test]
fn group_members() {
    use GroupMember::{Always, IfGroupUnanswered, Never};
    let member = |outcome, base| Target {
        group: Some(GROUP.into()),
        base,
        ..target(DESK, outcome)
    };
    let call = |outcome, base, other| record(vec![member(outcome, base), target(OTHER, other)]);
    let unanswered = call(GroupUnanswered, Some(NoAnswer), NoAnswer);
    let hunted = call(NoAnswer, None, Answered);
    let elsewhere = call(AnsweredElsewhere, Some(CallerHungUp), Answered);
    for (choice, record, expected) in [
        (Never, &unanswered, Err(Silence::SwitchedOff(GroupUnanswered))),
        (IfGroupUnanswered, &unanswered, Ok(GroupUnanswered)),
        (Always, &unanswered, Ok(GroupUnanswered)),
        (Never, &hunted, Err(Silence::SwitchedOff(NoAnswer))),
        (IfGroupUnanswered, &hunted, Err(Silence::SwitchedOff(NoAnswer))),
        (Always, &hunted, Ok(NoAnswer)),
        (IfGroupUnanswered, &elsewhere, Err(Silence::AnsweredElsewhere)),
        (Always, &elsewhere, Ok(CallerHungUp)),
    ] {
        let policy = Policy {
            group_member: choice,
            ..Policy::default()
        };
        assert_eq!(told(record, &policy), expected, "{choice:?} {record:?}");
    }
    let pilot = record(vec![target(DESK, GroupUnanswered)]);
    assert!(
        told(
            &pilot,
            &Policy {
                group_member: Never,
                ..Policy::default()
            }
        )
        .is_err()
    );
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

//! D01's switch: answered, but for so short that it counts as missed.

use Outcome::*;
use ringtap_config::{GroupMember, Policy};
use ringtap_notifier::decide::{Silence, decide};
use ringtap_record::{CallRecord, Outcome, Target};

use crate::{DESK, MOBILE, diverted, member, person, record, target, told};

fn talked(talk_ms: impl Into<Option<u64>>, targets: Vec<Target>) -> CallRecord {
    CallRecord {
        talk_ms: talk_ms.into(),
        ..record(targets)
    }
}

/// Catches a bound taken otherwise than "no longer than", one that holds while the switch is off, and a call
/// of unknown length taken for a short one.
#[test]
fn how_short_is_short() {
    let answered = || vec![target(DESK, Answered)];
    for (switch_s, talk_ms, is_missed) in [
        (0, Some(0), false),
        (3, Some(0), true),
        (3, Some(3_000), true),
        (3, Some(3_001), false),
        (3, None, false),
        (u32::MAX, Some(u64::MAX), false),
    ] {
        let policy = Policy {
            short_answer_s: switch_s,
            ..Policy::default()
        };
        let expected = if is_missed {
            Ok(NoAnswer)
        } else {
            Err(Silence::Answered)
        };
        assert_eq!(
            told(&talked(talk_ms, answered()), &policy),
            expected,
            "{switch_s} s, {talk_ms:?} ms"
        );
    }
}

/// Catches a short answer that says nothing of how short, forgets the account that answered, or is told
/// against the switches that govern it.
#[test]
fn what_is_told_of_it() {
    let policy = Policy {
        short_answer_s: 5,
        ..Policy::default()
    };
    let two = talked(
        1_200,
        vec![target(DESK, AnsweredElsewhere), target(MOBILE, Answered)],
    );
    let missed = decide(&two, &person(), &policy).unwrap();
    assert_eq!(
        (missed.reason, missed.talk_ms, missed.target),
        (NoAnswer, Some(1_200), 1)
    );
    assert_eq!(missed.accounts, [MOBILE, DESK]);
    assert_eq!(
        decide(&record(vec![target(DESK, Busy)]), &person(), &policy)
            .unwrap()
            .talk_ms,
        None
    );

    let off = Policy {
        no_answer: false,
        ..policy.clone()
    };
    assert_eq!(told(&two, &off), Err(Silence::SwitchedOff(NoAnswer)));
    let machine = CallRecord { machine: true, ..two };
    assert_eq!(told(&machine, &policy), Err(Silence::Answered));
}

/// Catches the person's own short answer judged by whether the group was answered, and one after a diversion
/// to oneself overlooked.
#[test]
fn in_groups_and_after_diversions() {
    let in_group = talked(900, vec![member(DESK, Answered, None)]);
    for (choice, expected) in [
        (GroupMember::Never, Err(Silence::SwitchedOff(NoAnswer))),
        (GroupMember::IfGroupUnanswered, Ok(NoAnswer)),
        (GroupMember::Always, Ok(NoAnswer)),
    ] {
        let policy = Policy {
            short_answer_s: 5,
            group_member: choice,
            ..Policy::default()
        };
        assert_eq!(told(&in_group, &policy), expected, "{choice:?}");
    }
    let policy = Policy {
        short_answer_s: 5,
        ..Policy::default()
    };
    let sent_on = talked(
        900,
        vec![diverted(DESK, DivertedAnswered, MOBILE, Some(NoAnswer))],
    );
    assert_eq!(told(&sent_on, &policy), Ok(NoAnswer));
}

//! D45 to D47 and D52: members of groups, and the owners of their numbers.

use GroupMember::{Always, IfGroupUnanswered, Never};
use Outcome::*;
use ringtap_config::{GroupMember, Policy};
use ringtap_notifier::decide::{Interest, Silence, decide};
use ringtap_record::{CallRecord, Outcome, Target};

use crate::{DESK, GROUP, MOBILE, OTHER, THIRD, member, owner_of, person, record, target, told_to};

type Told = Result<Outcome, Silence>;

const ELSEWHERE: Told = Err(Silence::AnsweredElsewhere);

const fn off(code: Outcome) -> Told {
    Err(Silence::SwitchedOff(code))
}

/// Asserts what each choice of `group_member` says: never, if nobody answered, always.
fn check(name: &str, interest: &Interest, record: &CallRecord, expected: [Told; 3]) {
    for (choice, expected) in [Never, IfGroupUnanswered, Always].into_iter().zip(expected) {
        let policy = Policy {
            group_member: choice,
            ..Policy::default()
        };
        assert_eq!(told_to(interest, record, &policy), expected, "{name}, {choice:?}");
    }
}

/// Catches the three-way choice of members taken otherwise than D45 to D47 say, in any state of the others.
#[test]
fn members() {
    let me = |outcome, base| member(DESK, outcome, base);
    let them = |outcome| member(OTHER, outcome, None);
    let table: Vec<(&str, Vec<Target>, [Told; 3])> = vec![
        // D46.
        (
            "nobody answers",
            vec![me(GroupUnanswered, Some(NoAnswer)), them(GroupUnanswered)],
            [off(GroupUnanswered), Ok(GroupUnanswered), Ok(GroupUnanswered)],
        ),
        (
            "busy itself",
            vec![me(Busy, None), them(GroupUnanswered)],
            [off(Busy), Ok(Busy), Ok(Busy)],
        ),
        (
            "declined itself",
            vec![me(Declined, None), them(GroupUnanswered)],
            [off(Declined), off(Declined), off(Declined)],
        ),
        // D45.
        (
            "another answers",
            vec![me(AnsweredElsewhere, Some(CallerHungUp)), them(Answered)],
            [ELSEWHERE, ELSEWHERE, Ok(CallerHungUp)],
        ),
        (
            "somebody answers",
            vec![me(AnsweredElsewhere, None)],
            [ELSEWHERE, ELSEWHERE, Ok(NoAnswer)],
        ),
        (
            "busy, another answers",
            vec![me(Busy, None), them(Answered)],
            [off(Busy), off(Busy), Ok(Busy)],
        ),
        (
            "busy, somebody answers",
            vec![me(Busy, None), them(AnsweredElsewhere)],
            [off(Busy), off(Busy), Ok(Busy)],
        ),
        // D47, S27.
        (
            "rang out, a later one answers",
            vec![me(AnsweredElsewhere, Some(NoAnswer)), them(Answered)],
            [ELSEWHERE, ELSEWHERE, Ok(NoAnswer)],
        ),
        (
            "rang out, as engines said it before",
            vec![me(NoAnswer, None), them(Answered)],
            [off(NoAnswer), off(NoAnswer), Ok(NoAnswer)],
        ),
        // D42, D43: no person answered.
        (
            "voicemail",
            vec![me(Voicemail, None), them(Voicemail)],
            [off(Voicemail), Ok(Voicemail), Ok(Voicemail)],
        ),
        (
            "unseen",
            vec![me(DivertedUnseen, None), them(DivertedUnseen)],
            [off(DivertedUnseen), Ok(DivertedUnseen), Ok(DivertedUnseen)],
        ),
        // D52: the queue answered first.
        (
            "queue, another answers",
            vec![me(Voicemail, Some(NoAnswer)), them(Answered)],
            [ELSEWHERE, ELSEWHERE, Ok(NoAnswer)],
        ),
        (
            "answered it",
            vec![me(Answered, None), them(AnsweredElsewhere)],
            [Err(Silence::Answered); 3],
        ),
        // D40, D48 have switches of their own, which are off.
        (
            "picked up",
            vec![me(PickedUp, None), them(GroupUnanswered)],
            [off(PickedUp); 3],
        ),
        // Two phones of one person, in and beside the group.
        (
            "two members of one person, one answers",
            vec![me(AnsweredElsewhere, None), member(MOBILE, Answered, None)],
            [Err(Silence::Answered); 3],
        ),
        (
            "the person's own phone beside the group was not the one that answered",
            vec![
                me(AnsweredElsewhere, Some(NoAnswer)),
                target(MOBILE, AnsweredElsewhere),
            ],
            [ELSEWHERE; 3],
        ),
    ];
    for (name, targets, expected) in table {
        check(name, &person(), &record(targets), expected);
    }
    let named = CallRecord {
        answered_by: Some(THIRD.into()),
        ..record(vec![me(Busy, None)])
    };
    check(
        "busy, and an answerer only named",
        &person(),
        &named,
        [off(Busy), off(Busy), Ok(Busy)],
    );
    let voicemail = CallRecord {
        answered_by: Some("+862583091999".into()),
        machine: true,
        ..record(vec![me(Voicemail, None)])
    };
    check(
        "voicemail with a name",
        &person(),
        &voicemail,
        [off(Voicemail), Ok(Voicemail), Ok(Voicemail)],
    );
}

/// Catches pickups and diversions within a group kept from who asked for them.
#[test]
fn members_who_ask_for_pickups() {
    let picked = record(vec![
        member(DESK, PickedUp, None),
        member(OTHER, AnsweredElsewhere, None),
    ]);
    for (choice, expected) in [
        (Never, off(PickedUp)),
        (IfGroupUnanswered, Ok(PickedUp)),
        (Always, Ok(PickedUp)),
    ] {
        let policy = Policy {
            group_member: choice,
            picked_up: true,
            ..Policy::default()
        };
        assert_eq!(told_to(&person(), &picked, &policy), expected, "{choice:?}");
    }
}

/// Catches the owner of a group's number told of calls that a member took, not told of those that nobody took,
/// or told what a member did (D46, D52, §7.4).
#[test]
fn owners_of_the_pilot_number() {
    let owner = owner_of(&[(GROUP, GROUP)]);
    let pilot = |outcome, base| Target {
        base,
        ..target(GROUP, outcome)
    };
    let them = |outcome| member(OTHER, outcome, None);
    let unanswered = [off(GroupUnanswered), Ok(GroupUnanswered), Ok(GroupUnanswered)];
    let table: Vec<(&str, Vec<Target>, [Told; 3])> = vec![
        (
            "nobody answers",
            vec![pilot(GroupUnanswered, Some(NoAnswer)), them(GroupUnanswered)],
            unanswered,
        ),
        (
            "nobody answers, no member seen",
            vec![pilot(GroupUnanswered, Some(NoAnswer))],
            unanswered,
        ),
        (
            "a member answers",
            vec![pilot(AnsweredElsewhere, None), them(Answered)],
            [ELSEWHERE; 3],
        ),
        (
            "all busy",
            vec![pilot(Busy, None), them(Busy)],
            [off(Busy), Ok(Busy), Ok(Busy)],
        ),
        (
            "voicemail",
            vec![pilot(Voicemail, None), them(GroupUnanswered)],
            [off(Voicemail), Ok(Voicemail), Ok(Voicemail)],
        ),
        (
            "queue, then a member",
            vec![pilot(Voicemail, None), them(Answered)],
            [ELSEWHERE; 3],
        ),
        // The pilot number itself does not show: what its members came to is told as the group's.
        (
            "by name, nobody answers",
            vec![them(GroupUnanswered), them(Busy)],
            unanswered,
        ),
        ("by name, declined", vec![them(Declined)], unanswered),
        (
            "by name, a member answers",
            vec![them(Answered), them(AnsweredElsewhere)],
            [ELSEWHERE; 3],
        ),
        (
            "by name, busy, another answers",
            vec![them(Busy), member(THIRD, Answered, None)],
            [off(GroupUnanswered), off(GroupUnanswered), off(GroupUnanswered)],
        ),
        (
            "by name, voicemail",
            vec![them(Voicemail)],
            [off(Voicemail), Ok(Voicemail), Ok(Voicemail)],
        ),
        (
            "by name, not offered",
            vec![them(AuthFailed)],
            [off(AuthFailed); 3],
        ),
        (
            "by name, no call",
            vec![them(NotACall)],
            [Err(Silence::NotCalled); 3],
        ),
    ];
    for (name, targets, expected) in table {
        check(name, &owner, &record(targets), expected);
    }
    let by_name = record(vec![them(Busy)]);
    let missed = decide(&by_name, &owner, &Policy::default()).unwrap();
    assert_eq!(missed.accounts, [GROUP], "the owner's account, not the member's");
}

/// Catches the owner of the pilot number who is a member too told twice over, by the wrong rule, or of what
/// another member took though `always` was not asked for.
#[test]
fn an_owner_who_is_a_member_too() {
    let both = owner_of(&[(DESK, DESK), (GROUP, GROUP)]);
    let taken = record(vec![
        target(GROUP, AnsweredElsewhere),
        member(DESK, AnsweredElsewhere, Some(NoAnswer)),
        member(OTHER, Answered, None),
    ]);
    check(
        "another answers",
        &both,
        &taken,
        [ELSEWHERE, ELSEWHERE, Ok(NoAnswer)],
    );
    let missed = record(vec![
        target(GROUP, GroupUnanswered),
        member(DESK, GroupUnanswered, Some(NoAnswer)),
    ]);
    check(
        "nobody answers",
        &both,
        &missed,
        [off(GroupUnanswered), Ok(GroupUnanswered), Ok(GroupUnanswered)],
    );
    let told = decide(&missed, &both, &Policy::default()).unwrap();
    assert_eq!(told.accounts, [GROUP, DESK]);
}

/// Catches `min_ring_s` and thin evidence passing by because the code is the group's.
#[test]
fn a_caller_who_gave_up_soon() {
    let call = |base| record(vec![member(DESK, GroupUnanswered, base)]);
    let policy = Policy {
        min_ring_s: 11,
        ..Policy::default()
    };
    assert_eq!(
        told_to(&person(), &call(Some(CallerHungUp)), &policy),
        Err(Silence::TooShort)
    );
    assert_eq!(
        told_to(&person(), &call(Some(NoAnswer)), &policy),
        Ok(GroupUnanswered)
    );
    let unclear = record(vec![member(DESK, Undetermined, None)]);
    check(
        "undetermined",
        &person(),
        &unclear,
        [off(Undetermined), Ok(PossiblyMissed), Ok(PossiblyMissed)],
    );
}

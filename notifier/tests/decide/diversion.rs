//! D40 to D44 and D48 to D51: calls that were sent on, by the person or to the person, and calls of one's own.

use Outcome::*;
use ringtap_config::Policy;
use ringtap_notifier::decide::{Silence, decide};
use ringtap_record::{CallRecord, Caller, Outcome, Target};

use crate::{ALIAS, DESK, MOBILE, OTHER, THIRD, diverted, person, record, target, told};

const SILENT: Result<Outcome, Silence> = Err(Silence::Answered);

/// Catches a person told of having forwarded a call to somebody when it went to their own mobile (S29, D41),
/// over however many numbers, and one who is not told because the way led over an own number.
#[test]
fn each_way_a_diversion_can_go() {
    let away = |from, to| diverted(from, ForwardedUnanswered, to, Some(NoAnswer));
    let taken = |from, to| diverted(from, DivertedAnswered, to, Some(NoAnswer));
    let off = Err(Silence::SwitchedOff(DivertedAnswered));
    let cases: Vec<(&str, Vec<Target>, Result<Outcome, Silence>)> = vec![
        // D44, and step 4f: a diversion to oneself is none.
        (
            "to another",
            vec![away(DESK, OTHER), target(OTHER, CallerHungUp)],
            Ok(ForwardedUnanswered),
        ),
        (
            "to oneself",
            vec![away(DESK, MOBILE), target(MOBILE, CallerHungUp)],
            Ok(NoAnswer),
        ),
        (
            "to another name of oneself",
            vec![away(MOBILE, ALIAS), target(DESK, Busy)],
            Ok(NoAnswer),
        ),
        (
            "to oneself, and on to another",
            vec![away(DESK, MOBILE), away(MOBILE, OTHER), target(OTHER, Busy)],
            Ok(ForwardedUnanswered),
        ),
        (
            "to another, and back to oneself",
            vec![
                away(DESK, OTHER),
                away(OTHER, MOBILE),
                target(MOBILE, CallerHungUp),
            ],
            Ok(ForwardedUnanswered),
        ),
        (
            "in a circle",
            vec![away(DESK, MOBILE), away(MOBILE, DESK)],
            Ok(NoAnswer),
        ),
        (
            "to where nobody may know",
            vec![Target {
                base: Some(NoAnswer),
                ..target(DESK, ForwardedUnanswered)
            }],
            Ok(ForwardedUnanswered),
        ),
        // D05: nothing follows.
        ("to oneself, never tried", vec![away(DESK, MOBILE)], Ok(NoAnswer)),
        // D40, D41.
        (
            "answered by another",
            vec![taken(DESK, OTHER), target(OTHER, Answered)],
            off,
        ),
        (
            "answered by oneself",
            vec![taken(DESK, MOBILE), target(MOBILE, Answered)],
            SILENT,
        ),
        ("answered by oneself, unseen", vec![taken(DESK, MOBILE)], SILENT),
        ("answered under another name", vec![taken(MOBILE, ALIAS)], SILENT),
        (
            "over another to oneself",
            vec![taken(DESK, OTHER), taken(OTHER, MOBILE), target(MOBILE, Answered)],
            SILENT,
        ),
        (
            "over oneself to another",
            vec![taken(DESK, MOBILE), taken(MOBILE, OTHER)],
            off,
        ),
        (
            "answered in a circle",
            vec![taken(DESK, MOBILE), taken(MOBILE, DESK)],
            off,
        ),
        // D41 does not hold against the own phone's verdict.
        (
            "the own phone did not answer",
            vec![taken(DESK, MOBILE), target(MOBILE, CallerHungUp)],
            off,
        ),
        // D42, D43.
        (
            "to voicemail",
            vec![Target {
                base: Some(NoAnswer),
                ..target(DESK, Voicemail)
            }],
            Ok(Voicemail),
        ),
        (
            "to somebody unseen",
            vec![target(DESK, DivertedUnseen)],
            Ok(DivertedUnseen),
        ),
    ];
    for (name, targets, expected) in cases {
        let record = record(targets);
        assert_eq!(told(&record, &Policy::default()), expected, "{name}");
        if expected == off {
            let asked = Policy {
                diverted_answered: true,
                ..Policy::default()
            };
            assert_eq!(told(&record, &asked), Ok(DivertedAnswered), "{name}");
        }
        if expected == Ok(ForwardedUnanswered) {
            let off = Policy {
                forwarded_unanswered: false,
                ..Policy::default()
            };
            assert_eq!(
                told(&record, &off),
                Err(Silence::SwitchedOff(ForwardedUnanswered)),
                "{name}"
            );
        }
    }
}

/// Catches the account that sent the call away not standing first, or one left out.
#[test]
fn the_account_that_diverted_speaks() {
    let record = record(vec![
        target(DESK, NoAnswer),
        diverted(MOBILE, ForwardedUnanswered, OTHER, Some(Busy)),
    ]);
    let missed = decide(&record, &person(), &Policy::default()).unwrap();
    assert_eq!((missed.reason, missed.target), (ForwardedUnanswered, 1));
    assert_eq!(missed.accounts, [MOBILE, DESK]);
}

/// Catches `diverted_to_missed` being applied to the one who diverted, to one's own diversions, to calls that
/// were dialled, or not at all.
#[test]
fn who_was_diverted_to_has_an_own_switch() {
    let away = |from, to| diverted(from, ForwardedUnanswered, to, Some(NoAnswer));
    let other_sent = vec![away(OTHER, DESK), target(DESK, CallerHungUp)];
    let under_another_name = vec![away(OTHER, ALIAS), target(DESK, CallerHungUp)];
    let sent_twice = vec![
        away(OTHER, DESK),
        away(DESK, MOBILE),
        target(MOBILE, CallerHungUp),
    ];
    let own = vec![away(DESK, MOBILE), target(MOBILE, CallerHungUp)];
    let circle = vec![away(DESK, MOBILE), away(MOBILE, DESK)];
    let also_directly = vec![away(OTHER, DESK), target(MOBILE, NoAnswer), target(DESK, Busy)];
    let dialled = vec![away(DESK, OTHER), away(OTHER, MOBILE), target(MOBILE, NoAnswer)];
    for (name, targets, by_default, suppressed) in [
        ("diverted by another", other_sent, CallerHungUp, true),
        ("under another name", under_another_name, CallerHungUp, true),
        ("diverted by another, then by oneself", sent_twice, NoAnswer, true),
        ("diverted by oneself", own, NoAnswer, false),
        ("in a circle of one's own", circle, NoAnswer, false),
        ("called beside it", also_directly, NoAnswer, false),
        (
            "dialled, and back over another",
            dialled,
            ForwardedUnanswered,
            false,
        ),
    ] {
        let record = CallRecord {
            dialled: name.starts_with("dialled").then(|| DESK.into()),
            ..record(targets)
        };
        assert_eq!(told(&record, &Policy::default()), Ok(by_default), "{name}");
        let off = Policy {
            diverted_to_missed: false,
            ..Policy::default()
        };
        let expected = if suppressed {
            Err(Silence::SwitchedOff(by_default))
        } else {
            Ok(by_default)
        };
        assert_eq!(told(&record, &off), expected, "{name}");
    }
    let diverter = record(vec![away(DESK, OTHER), target(OTHER, CallerHungUp)]);
    let off = Policy {
        diverted_to_missed: false,
        ..Policy::default()
    };
    assert_eq!(told(&diverter, &off), Ok(ForwardedUnanswered));
}

/// Catches a record that leads to itself in many ways being followed for ever.
#[test]
fn a_tangle_of_diversions_ends() {
    let names: Vec<String> = (0..32).map(|n| format!("+86258309{n:04}")).collect();
    let own: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), DESK)).collect();
    for outcome in [ForwardedUnanswered, DivertedAnswered] {
        let tangle = (0..32).map(|n| diverted(&names[n], outcome, &names[(n * 7 + 5) % 32], Some(Busy)));
        let off = Policy {
            diverted_to_missed: false,
            ..Policy::default()
        };
        let told = decide(&record(tangle.collect()), &crate::owner_of(&own), &off);
        assert_eq!(told.is_ok(), outcome == ForwardedUnanswered);
    }
}

/// Catches an answerer whom only the network names being overlooked, or believed against a verdict or of a
/// machine.
#[test]
fn who_is_named_as_connected() {
    let by = |answered_by: &str, machine, targets| CallRecord {
        answered_by: Some(answered_by.into()),
        machine,
        ..record(targets)
    };
    let unseen = || vec![target(DESK, DivertedUnseen)];
    let policy = Policy::default();
    assert_eq!(told(&by(MOBILE, false, unseen()), &policy), SILENT);
    assert_eq!(told(&by(ALIAS, false, unseen()), &policy), Ok(DivertedUnseen));
    assert_eq!(told(&by(OTHER, false, unseen()), &policy), Ok(DivertedUnseen));
    assert_eq!(
        told(&by(MOBILE, true, vec![target(DESK, Voicemail)]), &policy),
        Ok(Voicemail)
    );
}

/// Catches a pickup told although it is no missed call, not told to who asked for it, or told to who picked up
/// on another phone (D48, D49).
#[test]
fn pickups() {
    let by = |answered_by: &str| CallRecord {
        answered_by: Some(answered_by.into()),
        ..record(vec![target(DESK, PickedUp)])
    };
    let asked = Policy {
        picked_up: true,
        ..Policy::default()
    };
    assert_eq!(
        told(&by(OTHER), &Policy::default()),
        Err(Silence::SwitchedOff(PickedUp))
    );
    assert_eq!(told(&by(OTHER), &asked), Ok(PickedUp));
    assert_eq!(told(&by(MOBILE), &asked), SILENT);
}

/// Catches a mail to somebody about a call to their own number, and none to who was called from a phone that
/// happens to be theirs as well (D62).
#[test]
fn calls_of_ones_own() {
    let from = |caller: &str, targets| CallRecord {
        caller: Caller {
            identity: Some(caller.into()),
            ..Caller::default()
        },
        ..record(targets)
    };
    let policy = Policy::default();
    let own = Err(Silence::OwnCall);
    assert_eq!(told(&from(DESK, vec![target(DESK, Voicemail)]), &policy), own);
    assert_eq!(told(&from(ALIAS, vec![target(DESK, NoAnswer)]), &policy), own);
    assert_eq!(
        told(&from(DESK, vec![target(THIRD, NoAnswer)]), &policy),
        Err(Silence::NotCalled)
    );
    // A shared desk may have called its owner.
    assert_eq!(
        told(&from(MOBILE, vec![target(DESK, NoAnswer)]), &policy),
        Ok(NoAnswer)
    );
    let both = from(DESK, vec![target(DESK, Busy), target(MOBILE, CallerHungUp)]);
    let missed = decide(&both, &person(), &policy).unwrap();
    assert_eq!(
        (missed.reason, missed.accounts),
        (CallerHungUp, vec![MOBILE.to_owned()])
    );
}

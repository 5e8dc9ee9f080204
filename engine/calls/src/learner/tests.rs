//! The table of contacts and the sets, fed directly.

use std::net::IpAddr;

use ringtap_config::from_toml;
use ringtap_identity::{Contact, Identity, ImplicitSet, RegisteredContact};

use super::hear::{Registration, Told, ToldContact};
use super::*;

const START: Time = Time::from_micros(1_714_962_221_000_000);

fn rules(text: &str) -> Rules {
    Rules::new(&from_toml(text, "test").unwrap())
}

fn identity(text: &str) -> Identity {
    Identity::from_canonical(text).unwrap()
}

fn key(contact: &str) -> u64 {
    contact.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte))
}

fn at(s: i64) -> Time {
    START.plus_us(s * 1_000_000)
}

/// `aor` has these contacts for so many seconds from `s` on.
fn told(s: i64, aor: &str, contacts: &[(&str, u32)]) -> Registration {
    let contacts = contacts.iter().map(|(contact, expires_s)| ToldContact {
        contact: RegisteredContact {
            contact: Contact::of(format!("sip:{contact}").as_bytes()).unwrap(),
            expires_s: *expires_s,
        },
        key: key(contact),
    });
    Registration {
        time: at(s),
        route: (IpAddr::from([10, 20, 0, 1]), IpAddr::from([10, 10, 1, 1])),
        told: vec![Told {
            aor: identity(aor),
            explicit: true,
            complete: true,
            contacts: contacts.collect(),
        }],
        sets: Vec::new(),
        wildcards: 0,
    }
}

fn with_set(mut registration: Registration, members: &[&str]) -> Registration {
    let aor = registration.told[0].aor.clone();
    let members = members.iter().map(|member| identity(member)).collect();
    registration.sets.push(ImplicitSet { aor, members });
    registration
}

fn learned(registrations: &[Registration]) -> Learner {
    let (mut learner, rules) = (Learner::default(), rules(""));
    for registration in registrations {
        learner.learn(registration, &rules);
    }
    learner
}

/// Who has the contact then: owners, `?` if several who do not belong together.
fn owner(learner: &Learner, contact: &str, s: i64) -> String {
    let owners: Vec<_> = learner.bindings.at(key(contact), at(s)).collect();
    match owners.as_slice() {
        [] => "-".to_owned(),
        [one] => one.aor.to_string(),
        several => several
            .iter()
            .map(|one| one.aor.to_string())
            .collect::<Vec<_>>()
            .join("?"),
    }
}

const A: &str = "+862583091001";
const B: &str = "+862583091002";

/// Catches a call judged by what was registered after it, or by what had ended before.
#[test]
fn what_held_when_the_call_came() {
    let learner = learned(&[
        told(0, A, &[("p@1", 100)]),
        told(50, A, &[("p@1", 100)]),
        told(80, A, &[("p@1", 0)]),
        told(90, B, &[("p@1", 60)]),
    ]);
    for (s, wanted) in [
        (-1, "-"),
        (0, A),
        (79, A),
        (80, "-"),
        (89, "-"),
        (90, B),
        (150, B),
        (181, B),
        (183, "-"),
    ] {
        assert_eq!(owner(&learner, "p@1", s), wanted, "at {s} s");
    }
}

/// Catches an older word, told late, that overrules a newer one.
#[test]
fn what_is_told_late() {
    let learner = learned(&[
        told(0, A, &[("p@1", 100)]),
        told(50, A, &[("p@1", 500)]),
        told(20, A, &[("p@1", 1)]),
        told(30, A, &[]),
    ]);
    assert_eq!(owner(&learner, "p@1", 400), A);
}

/// Catches contacts that stay though a complete list leaves them out, and those that go though only another
/// node's list does, or another's registration.
#[test]
fn lists_that_leave_out() {
    let elsewhere = |mut registration: Registration| {
        registration.route.1 = IpAddr::from([10, 10, 2, 2]);
        registration
    };
    let learner = learned(&[
        told(0, A, &[("old@1", 1000), ("p@1", 1000)]),
        elsewhere(told(1, A, &[("p@2", 1000)])),
        told(2, B, &[("p@3", 1000)]),
        told(10, A, &[("p@1", 1000)]),
        // Not A's to end.
        told(11, A, &[("p@1", 1000), ("p@3", 0)]),
    ]);
    let now = |contact| owner(&learner, contact, 20);
    assert_eq!([now("old@1"), now("p@1"), now("p@2"), now("p@3")], ["-", A, A, B]);
    assert_eq!(owner(&learner, "old@1", 9), A);
    let none = learned(&[told(0, A, &[("p@1", 1000)]), told(10, A, &[])]);
    assert_eq!([owner(&none, "p@1", 9), owner(&none, "p@1", 10)], [A, "-"]);
}

/// Catches a table without bound, and one that gives up live contacts before dead ones.
#[test]
fn a_full_table() {
    let rules = rules("[limits]\nbindings_max = 3");
    let mut learner = Learner::default();
    for (s, contact, expires_s) in [(0, "a@1", 1000), (1, "b@1", 10), (2, "c@1", 500), (3, "d@1", 100)] {
        let aor = format!("sip:{contact}");
        learner.learn(
            &with_set(told(s, &aor, &[(contact, expires_s)]), &[&aor, B]),
            &rules,
        );
    }
    let found = ["a@1", "b@1", "c@1", "d@1"].map(|contact| owner(&learner, contact, 4));
    assert_eq!(found, ["sip:a@1", "-", "sip:c@1", "sip:d@1"]);
    assert_eq!(
        (learner.counters().bindings, learner.counters().bindings_evicted),
        (3, 1)
    );
    assert_eq!(learner.sets.len(), 3, "sets outlive what they are bound by");
    // One contact with many owners, one owner with many contacts.
    for s in 10..200 {
        learner.learn(&told(s, &format!("sip:u{s}@h"), &[("a@1", 1000)]), &rules);
        learner.learn(&told(s, A, &[(&format!("x{s}@1"), 1000)]), &rules);
    }
    assert_eq!(learner.counters().bindings, 3);
    assert!(learner.bindings.at(key("a@1"), at(200)).count() <= 8);
}

/// Catches a result that depends on how often something was told, or on the order within an epoch.
#[test]
fn repetition_and_order_do_not_show() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let mut all: Vec<Registration> = (0..random.usize(1..14))
            .map(|_| {
                let contacts: Vec<_> = (0..random.usize(0..3))
                    .map(|_| {
                        (
                            ["p@1", "q@1", "r@1"][random.usize(0..3)],
                            [0, 5, 40][random.usize(0..3)],
                        )
                    })
                    .collect();
                let one = told(random.i64(0..12), [A, B][random.usize(0..2)], &contacts);
                // A set comes with a contact that lives.
                let is_live = contacts.iter().any(|(_, expires_s)| *expires_s > 0);
                if is_live && random.bool() {
                    with_set(one, &[A, B])
                } else {
                    one
                }
            })
            .collect();
        let see = |all: &[Registration]| {
            let learner = learned(all);
            let owners: Vec<_> = (0..60)
                .flat_map(|s| ["p@1", "q@1", "r@1"].map(|contact| owner(&learner, contact, s)))
                .collect();
            (owners, learner.told.clone())
        };
        all.sort_unstable();
        let wanted = see(&all);
        let mut again: Vec<_> = all.iter().chain(all.iter()).cloned().collect();
        random.shuffle(&mut again);
        again.sort_unstable();
        assert_eq!(see(&again), wanted, "{all:#?}");
    }
}

/// Catches sets told again and again, changes that are not told, and numbers of machines taken for a person's.
#[test]
fn sets_are_told_when_they_are_new() {
    let rules = rules("[identities]\nvoicemail_numbers = ['+862583091999']");
    let mut learner = Learner::default();
    let mut tell = |s: i64, members: &[&str]| {
        learner.learn(&with_set(told(s, A, &[("p@1", 100_000)]), members), &rules);
        let sets = learner.take_sets();
        let words = sets
            .iter()
            .map(|set| format!("{}: {}", set.aor, set.members.join(" ")));
        words.collect::<Vec<_>>()
    };
    let both = format!("{A}: {A} {B}");
    assert_eq!(tell(0, &[A, B, "+862583091999"]), std::slice::from_ref(&both));
    assert_eq!(tell(60, &[A, B]), [""; 0]);
    assert_eq!(tell(120, &[A]), [format!("{A}: {A}")]);
    assert_eq!(tell(180, &[A, B]), std::slice::from_ref(&both));
    assert_eq!(tell(86_400, &[A, B]), [""; 0]);
    assert_eq!(tell(90_000, &[A, B]), [both]);
    assert_eq!(tell(90_001, &["+862583091999"]), [""; 0]);
}

//! What a mirror or a configuration that shows less than the fixtures must not do: invent missed calls.

use ringtap_config::{Config, Network};
use ringtap_testkit::messages;
use ringtap_testkit::notation::Segment;

use crate::green;
use crate::memory::{Told, config, mails};

/// The fixtures with one part of `[network]` missing, or all of it.
fn poorer_configurations() -> Vec<(&'static str, Config)> {
    let full = || config(&[]);
    let without = |forget: fn(&mut Network)| {
        let mut config = full();
        forget(&mut config.network);
        config
    };
    let domains = full().network.home_domains;
    let mut nothing = full();
    nothing.network = Network {
        home_domains: domains,
        ..Network::default()
    };
    vec![
        ("no roles", nothing),
        ("no pcscf", without(|network| network.pcscf.clear())),
        ("no mgcf", without(|network| network.mgcf.clear())),
        ("no core", without(|network| network.core.clear())),
        ("no ue", without(|network| network.ue.clear())),
    ]
}

/// Catches a mail to somebody who is not mailed when every role is known: with fewer roles a reason may be
/// coarser and a mail may be missing, but nobody hears of a missed call that was none.
#[test]
fn fewer_roles_invent_no_missed_call() {
    let full = config(&[]);
    for (name, poorer) in poorer_configurations() {
        for case in green() {
            let wires = messages(&case);
            let users: Vec<_> = mails(&wires, &full).into_iter().map(|told| told.user).collect();
            let got: Vec<_> = mails(&wires, &poorer).into_iter().map(|told| told.user).collect();
            let invented: Vec<_> = got.iter().filter(|user| !users.contains(user)).collect();
            assert!(
                invented.is_empty(),
                "{name}, {}: {invented:?} were told, {users:?} should be",
                case.name
            );
            if users != got {
                println!("{name}, {}: {got:?} instead of {users:?}", case.name);
            }
        }
    }
}

/// The mirrors that show less than both ports, each with the segments it has (semantics.md §8.5).
const VIEWS: [(&str, &[Segment]); 4] = [
    (
        "P-CSCF only",
        &[Segment::Go, Segment::Mo, Segment::Mt, Segment::Gt],
    ),
    ("MGCF only", &[Segment::Gi, Segment::Gj]),
    (
        "Gm encrypted",
        &[Segment::Mo, Segment::Mt, Segment::Gi, Segment::Gj],
    ),
    ("Gm only", &[Segment::Go, Segment::Gt]),
];

/// A person and the reason told.
type Pair = (&'static str, &'static str);

/// The view table of §8.5 where it differs from what both ports show: row, view, who is told what.
const DIFFERENT: &[(&str, &str, &[Pair])] = &[
    ("S22", "P-CSCF only", &[("U1", "CALLER_HUNG_UP")]),
    ("S22", "Gm only", &[("U1", "CALLER_HUNG_UP")]),
    ("E05", "P-CSCF only", &[("U1", "CALLER_HUNG_UP")]),
    ("E05", "Gm only", &[("U1", "CALLER_HUNG_UP")]),
    ("E05", "MGCF only", &[]),
    ("S24", "MGCF only", &[("U1", "CALLER_HUNG_UP")]),
    (
        "S26",
        "P-CSCF only",
        &[("U2", "CALLER_HUNG_UP"), ("U3", "CALLER_HUNG_UP")],
    ),
    (
        "S26",
        "Gm only",
        &[("U2", "CALLER_HUNG_UP"), ("U3", "CALLER_HUNG_UP")],
    ),
    ("S26", "MGCF only", &[]),
    ("S29", "P-CSCF only", &[("U1", "CALLER_HUNG_UP")]),
    ("S29", "Gm only", &[("U1", "CALLER_HUNG_UP")]),
    ("S30", "P-CSCF only", &[("U1", "CALLER_HUNG_UP")]),
    ("S30", "Gm only", &[("U1", "CALLER_HUNG_UP")]),
];

/// Catches a verdict that hangs on a segment which says nothing about it, or one that a poorer view should
/// not have been able to give.
#[test]
fn each_view_knows_what_the_table_says() {
    let config = config(&[]);
    let mut faults = Vec::new();
    for case in green() {
        let wires = messages(&case);
        let full = reasons(&mails(&wires, &config));
        for (view, segments) in VIEWS {
            let seen: Vec<_> = wires
                .iter()
                .filter(|wire| segments.contains(&wire.label.segment))
                .cloned()
                .collect();
            let called = seen
                .iter()
                .any(|wire| !wire.label.leg.starts_with('p') && wire.label.message.contains("INVITE"));
            if !called {
                continue;
            }
            let row = DIFFERENT
                .iter()
                .find(|(id, name, _)| *id == case.id && *name == view);
            let wanted = row.map_or_else(
                || full.clone(),
                |(_, _, told)| {
                    told.iter()
                        .map(|(user, reason)| ((*user).to_owned(), (*reason).to_owned()))
                        .collect()
                },
            );
            let got = reasons(&mails(&seen, &config));
            if got != wanted {
                faults.push(format!("{} {view}: {got:?}, not {wanted:?}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn reasons(told: &[Told]) -> Vec<(String, String)> {
    told.iter()
        .map(|told| (told.user.clone(), told.reason.to_string()))
        .collect()
}

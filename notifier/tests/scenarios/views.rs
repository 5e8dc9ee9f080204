//! What a mirror or a configuration that shows less than the fixtures must not do: invent missed calls.

use ringtap_config::{Config, Network};
use ringtap_testkit::messages;

use crate::green;
use crate::memory::{config, mails};

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

//! Turns, domains and servers that are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::{ANNA, BO, LIMING, World, ZHANG, missed, time};

/// Catches a flood for one person that another has to wait for, be it read from the outbox before the other's call came, and one
/// that holds up those of another domain.
#[test]
fn a_flood_for_one_delays_nobody_else() {
    for domains in [100, 1] {
        let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
        world.config.notifier.smtp.per_domain_max = domains;
        let mut world = world.restart();
        let begin = time("2024-05-06T02:00:00Z");
        world.write((0..20_000).map(|n| missed(&format!("{n:05}"), begin, ZHANG, LIMING)));
        let now = begin.plus_ms(12_000);
        assert_eq!(world.take(now).queued, 20_000);
        // Some have gone, some were read and wait.
        let mut totals = Default::default();
        world.some(now, 100, &mut totals);
        let before = world.taken.lock().unwrap().len();
        world.write([missed("anna", begin, ZHANG, ANNA), missed("bo", begin, ZHANG, BO)]);
        world.take(now);
        world.some(now, 100, &mut totals);
        let taken = world.taken.lock().unwrap();
        for user in ["anna", "bo"] {
            let place = taken[before..].iter().position(|one| one.user == user);
            assert!(
                place.is_some_and(|place| place < 64),
                "{user}, {domains}: {place:?}"
            );
        }
    }
}

/// Catches two people whose turns do not alternate, and one whose messages overtake each other.
#[test]
fn two_floods_share() {
    let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
    let begin = time("2024-05-06T02:00:00Z");
    world.write((0..300).map(|n| missed(&format!("a{n:03}"), begin, ZHANG, LIMING)));
    world.take(begin.plus_ms(12_000));
    world.write((0..300).map(|n| missed(&format!("b{n:03}"), begin, ZHANG, ANNA)));
    world.at(begin.plus_ms(12_000));
    let taken = world.taken.lock().unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in taken.iter().take(200) {
        *counts.entry(&one.user).or_default() += 1;
    }
    assert!(
        counts.values().all(|count| (85..=115).contains(count)),
        "{counts:?}"
    );
    assert_eq!(taken.len(), 600);
}

/// Catches more messages on their way to one domain than may be.
#[test]
fn domains_have_bounds() {
    for most in [1, 2] {
        let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
        world.config.notifier.smtp.per_domain_max = most;
        let mut world = world.restart();
        world.answers.lock().unwrap().takes = Duration::from_millis(2);
        let begin = time("2024-05-06T02:00:00Z");
        world.write((0..60).map(|n| {
            missed(
                &format!("{n}"),
                begin,
                ZHANG,
                if n % 2 == 0 { LIMING } else { ANNA },
            )
        }));
        assert_eq!(world.at(begin.plus_ms(12_000)).len(), 60);
        assert_eq!(world.answers.lock().unwrap().at_once_max, most as usize);
    }
}

/// Catches a server that is hammered while it is gone, and messages that are lost or doubled by that.
#[test]
fn a_server_that_is_gone_is_left_alone() {
    let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
    let begin = time("2024-05-06T02:00:00Z");
    world.write((0..10_000).map(|n| missed(&format!("{n}"), begin, ZHANG, LIMING)));
    world.answers.lock().unwrap().is_gone = true;
    let now = begin.plus_ms(12_000);
    for _ in 0..50 {
        world.at(now);
    }
    let tries = world.answers.lock().unwrap().tries;
    assert!((1..=20).contains(&tries), "{tries}");
    assert_eq!(world.store.depth().unwrap().pending, 10_000);
    world.answers.lock().unwrap().is_gone = false;
    let mut world = world.restart();
    assert_eq!(world.at(now).len(), 10_000);
    let mut calls: Vec<_> = world
        .taken
        .lock()
        .unwrap()
        .iter()
        .flat_map(|one| one.calls.clone())
        .collect();
    calls.sort_unstable();
    calls.dedup();
    assert_eq!(calls.len(), 10_000);
}

/// Catches a domain on whose messages the server hangs, for that it takes the server for gone, and everybody else waits behind all of them.
#[test]
fn a_domain_that_hangs_is_not_asked_again_and_again() {
    let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
    let begin = time("2024-05-06T02:00:00Z");
    world.answers.lock().unwrap().hangs_on = Some("office.test");
    world.write((0..20).map(|n| {
        missed(
            &format!("{n:02}"),
            begin,
            ZHANG,
            if n % 2 == 0 { LIMING } else { ANNA },
        )
    }));
    let now = begin.plus_ms(12_000);
    world.at(now);
    let before = world.answers.lock().unwrap().tried.len();
    world.write([missed("bo", begin, ZHANG, BO)]);
    world.take(now);
    // Behind all others.
    world.sql("UPDATE outbox SET turn = 1000 WHERE call = 'bo'");
    while world.answers.lock().unwrap().tried.len() == before {
        world.at(now);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(world.answers.lock().unwrap().tried[before], "bo");
}

/// Catches mails that a server takes its time over, or that were in hand when it died without a word, and for which all others wait.
#[test]
fn who_is_kept_waiting_holds_up_nobody() {
    let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
    world.config.notifier.smtp.per_domain_max = 100;
    world.answers.lock().unwrap().late_after = Some(Duration::from_millis(100));
    let mut world = world.restart();
    let begin = time("2024-05-06T02:00:00Z");
    let now = begin.plus_ms(12_000);
    world.answers.lock().unwrap().stalls_on = Some("office.test");
    // As many as work at once.
    world.write((0..4).map(|n| {
        missed(
            &format!("{n}"),
            begin,
            ZHANG,
            if n % 2 == 0 { LIMING } else { ANNA },
        )
    }));
    world.take(now);
    world.hand_out(now);
    while world.answers.lock().unwrap().at_once < 4 {
        std::thread::sleep(Duration::from_millis(1));
    }
    world.write([missed("bo", begin, ZHANG, BO)]);
    world.take(now);
    world.some(now, 1, &mut Default::default());
    assert_eq!(world.taken.lock().unwrap()[0].user, "bo");
    world.answers.lock().unwrap().stalls_on = None;
    assert_eq!(world.at(now).len(), 4);
    assert_eq!(world.answers.lock().unwrap().at_once_max, 5);
    // Those who stood in stand by again.
    world.answers.lock().unwrap().at_once_max = 0;
    world.answers.lock().unwrap().takes = Duration::from_millis(2);
    world.write((10..60).map(|n| missed(&format!("{n}"), begin, ZHANG, LIMING)));
    world.at(now);
    let at_once = world.answers.lock().unwrap().at_once_max;
    assert!(at_once < 8, "{at_once}: all work");
}

//! What a message keeps through retries, quiet hours, restarts and servers that are gone.

use ringtap_notifier::store::{Channel, End, Kind, OutboxRow, Queued};
use ringtap_record::{CallRecord, Caller, Time};

use crate::world::{LIMING, WANG, World, ZHANG, missed, time};

const HOUR_MS: i64 = 3_600_000;
const PUT_OFF_MAX_MS: i64 = 6 * HOUR_MS;

fn begin() -> Time {
    time("2024-05-06T02:00:00Z")
}

fn after_s(seconds: i64) -> Time {
    begin().plus_ms(seconds * 1000)
}

fn rows(world: &World) -> Vec<OutboxRow> {
    world.store.outbox(true, 100).unwrap()
}

/// The message whose turn is next, which has to be there.
fn next(world: &mut World, now: Time) -> Queued {
    while world.store.call_up(now, 100).unwrap() {}
    world
        .store
        .next_turns(Channel::Mail, (0, 0), 10)
        .unwrap()
        .remove(0)
}

/// A digest of one call that is due at 790 s.
fn with_digest() -> World {
    let mut world = World::new("mails_per_hour_max = 1\ncoalesce_window_s = 0");
    world.write([
        missed("a", begin(), ZHANG, LIMING),
        missed("b", after_s(100), WANG, LIMING),
    ]);
    world.at(after_s(190));
    assert_eq!(rows(&world)[0].kind, "digest");
    world
}

/// Catches a call that is told under the name of a message which was sent, or may have been: whoever has that one will not look at it again.
#[test]
fn what_may_have_been_sent_is_closed() {
    // A night falls on a digest that was dead and is tried again, or was handed over when the process before this one died.
    for is_retried in [true, false] {
        let mut world = with_digest();
        let night = after_s(900);
        let digest = next(&mut world, after_s(800));
        assert_eq!(digest.kind, Kind::Digest);
        if is_retried {
            world
                .store
                .settle(&[(digest.id, End::Dead("no".to_owned()))], after_s(800))
                .unwrap();
            assert!(world.store.retry(digest.id, after_s(801)).unwrap());
            next(&mut world, after_s(801));
        } else {
            world = world.restart();
            world.store.take_over(after_s(801), PUT_OFF_MAX_MS).unwrap();
        }
        world
            .store
            .settle(&[(digest.id, End::Quiet(after_s(2_000)))], night)
            .unwrap();
        world.config.notifier.delivery.quiet_hours = "10:00-18:00".parse().ok();
        let mut world = world.restart();
        world.write([missed("c", night, ZHANG, LIMING)]);
        world.at(night.plus_ms(11_000));
        let bundles = rows(&world).into_iter().filter(|row| row.kind == "digest");
        let first_calls: Vec<_> = bundles.map(|row| row.call).collect();
        assert_eq!(first_calls, ["c", "b"], "retried: {is_retried}");
    }
}

/// Catches a digest that gathers no more because quiet hours have put it off, though nobody has seen it.
#[test]
fn what_was_not_sent_stays_open() {
    let mut world = with_digest();
    let digest = next(&mut world, after_s(800));
    world
        .store
        .settle(&[(digest.id, End::Quiet(after_s(2_000)))], after_s(800))
        .unwrap();
    world.config.notifier.delivery.quiet_hours = "10:00-18:00".parse().ok();
    let mut world = world.restart();
    world.write([missed("c", after_s(900), ZHANG, LIMING)]);
    world.at(after_s(911));
    let (_, calls) = world.store.outbox_row(digest.id).unwrap().unwrap();
    assert_eq!(calls.len(), 2);
}

/// Catches a message that waits for hours at the first word of a server that had been gone for some minutes, because it was the one that the
/// server was looked for with.
#[test]
fn looking_for_a_server_is_one_attempt() {
    let mut world = World::new("");
    world.write([missed("a", begin(), ZHANG, LIMING)]);
    world.take(after_s(12));
    let id = next(&mut world, after_s(12)).id;
    for n in 0..10 {
        world
            .store
            .settle(&[(id, End::Kept("nobody there".to_owned()))], after_s(20 + n))
            .unwrap();
    }
    assert_eq!(rows(&world)[0].attempts, 1);
    assert_eq!(
        next(&mut world, after_s(60)).since,
        after_s(20),
        "given up after that"
    );
}

/// Catches a message that is given up for the hours in which nobody was to be disturbed.
#[test]
fn quiet_hours_are_no_time_of_trying() {
    let mut world = World::new("");
    world.write([missed("a", begin(), ZHANG, LIMING)]);
    world.take(after_s(12));
    let id = next(&mut world, after_s(12)).id;
    let (tried, dusk, dawn) = (after_s(20), after_s(50), after_s(30_000));
    world
        .store
        .settle(&[(id, End::PutOff("busy".to_owned(), dusk))], tried)
        .unwrap();
    next(&mut world, dusk);
    world.store.settle(&[(id, End::Quiet(dawn))], dusk).unwrap();
    // A restart in the night.
    let mut world = world.restart();
    world
        .store
        .take_over(dusk.plus_ms(60_000), PUT_OFF_MAX_MS)
        .unwrap();
    let queued = next(&mut world, dawn);
    assert_eq!(dawn - queued.since, dusk - tried);
}

/// Catches a dead letter that cannot be tried again because all of its calls that are left are only counted.
#[test]
fn what_is_only_counted_can_be_tried_again() {
    let mut world = with_digest();
    let digest = next(&mut world, after_s(800));
    world.sql("UPDATE gathered SET notice = ''");
    world
        .store
        .settle(&[(digest.id, End::Dead("no".to_owned()))], after_s(800))
        .unwrap();
    assert!(world.store.retry(digest.id, after_s(801)).unwrap());
    let told = world.at(after_s(802));
    assert_eq!((told.len(), told[0].more), (1, 1));
}

/// Catches a call that has nothing to wait for and waits a day for another one's caller, and a flood of messages because none waits.
#[test]
fn a_call_does_not_wait_for_another_for_long() {
    let mut world = World::with(
        "suppress_if_reached_within_s = 86400",
        "mails_per_hour_max = 1\ncoalesce_window_s = 0",
    );
    let withheld = |name: &str, at: i64| CallRecord {
        caller: Caller {
            withheld: true,
            ..Caller::default()
        },
        ..missed(name, after_s(at), ZHANG, LIMING)
    };
    // Who withholds the number is not known when he gets through.
    world.write([withheld("a", 0), withheld("b", 100)]);
    world.at(after_s(115));
    for n in 0..20 {
        world.write([missed(&format!("c{n}"), after_s(120 + n * 5), WANG, LIMING)]);
        world.at(after_s(131 + n * 5));
    }
    let told = world.at(after_s(720));
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].kind, &told[0].calls),
        (Kind::Digest, &vec!["b".to_owned()])
    );
    assert_eq!(rows(&world).len(), 3, "the others are in one");
}

/// Catches a call that has nothing to wait for and is put off by one call after the other, each a little longer; and one that waits for hours
/// for the callers of later ones because all were read at once.
#[test]
fn pushes_do_not_add_up() {
    let mut world = World::with(
        "suppress_if_reached_within_s = 1190",
        "mails_per_hour_max = 1\ncoalesce_window_s = 0",
    );
    let withheld = |name: &str, at: i64| CallRecord {
        caller: Caller {
            withheld: true,
            ..Caller::default()
        },
        ..missed(name, after_s(at), ZHANG, LIMING)
    };
    world.write([withheld("a", 0), withheld("b", 100)]);
    world.at(after_s(110));
    for n in 0..110 {
        world.write([missed(&format!("c{n}"), after_s(105 + n * 5), WANG, LIMING)]);
        world.at(after_s(116 + n * 5));
    }
    let told = world.at(after_s(110 + 1_200));
    assert!(
        told.iter().any(|one| one.calls.contains(&"b".to_owned())),
        "{told:?}"
    );

    let mut world = World::with(
        "suppress_if_reached_within_s = 3600",
        "mails_per_hour_max = 1\ncoalesce_window_s = 0",
    );
    world.write((0..100).map(|n| missed(&format!("{n:03}"), after_s(n * 300), WANG, LIMING)));
    world.take(after_s(30_000));
    // The last calls may still be followed by one that gets through; the first ones were told long ago if not for those.
    let told = world.send(after_s(30_000 + 1_300));
    assert!(told.sent > 0, "{:?}", rows(&world));
}

/// Catches a bundle that every call pushes on, or a message that is never given up, because a clock that was ahead said when it was queued
/// and tried.
#[test]
fn another_clock_is_not_believed() {
    let mut world = World::new("");
    world.write([missed("a", begin(), ZHANG, LIMING)]);
    world.take(after_s(12));
    let id = next(&mut world, after_s(12)).id;
    let year = after_s(365 * 86_400);
    world
        .store
        .settle(&[(id, End::PutOff("busy".to_owned(), year))], year)
        .unwrap();
    let mut world = world.restart();
    world.store.take_over(after_s(100), PUT_OFF_MAX_MS).unwrap();
    let queued = next(&mut world, after_s(100 + PUT_OFF_MAX_MS / 1000));
    assert_eq!(queued.since, after_s(100));
    world.sql("UPDATE outbox SET created_ms = created_ms + 1000000");
    world.store.take_over(after_s(100), PUT_OFF_MAX_MS).unwrap();
    assert_eq!(rows(&world)[0].created, after_s(100));
}

//! Quiet hours: whose, in which zone, and over the days on which clocks change.

use ringtap_notifier::store::Kind;

use crate::world::{ANNA, LIMING, World, ZHANG, missed, time};

/// Catches quiet hours by the clock of the machine or of somebody else, and an end that is an hour off where daylight saving
/// begins or ends in them.
#[test]
fn each_by_their_own_clock() {
    for (missed_at, berlin_end) in [
        // 23:30 in Berlin in winter, 06:30 in Shanghai: both are quiet.
        ("2024-01-10T22:30:00Z", "2024-01-11T06:00:00Z"),
        // The night in which summer begins, and the one in which it ends.
        ("2024-03-30T22:30:00Z", "2024-03-31T05:00:00Z"),
        ("2024-10-26T22:30:00Z", "2024-10-27T06:00:00Z"),
    ] {
        let mut world = World::new("quiet_hours = \"22:00-07:00\"");
        let at = time(missed_at);
        world.write([missed("a", at, ZHANG, ANNA), missed("b", at, ZHANG, LIMING)]);
        assert_eq!(world.at(at.plus_ms(12_000)).len(), 0);
        world = world.restart();
        // Seven in Shanghai is half an hour later all year round.
        let told = world.at(at.plus_ms(1_800_000));
        assert_eq!(
            told.iter().map(|one| one.user.as_str()).collect::<Vec<_>>(),
            ["liming"]
        );
        world.write([missed("c", at.plus_ms(3_600_000), ZHANG, ANNA)]);
        let end = time(berlin_end);
        assert_eq!(world.at(end.plus_ms(-1)).len(), 0, "{missed_at}");
        let told = world.at(end);
        assert_eq!(told.len(), 1, "{missed_at}");
        assert_eq!((told[0].kind, told[0].calls.len()), (Kind::Digest, 2));
    }
}

/// Catches a person's own hours that do not go before the operator's, "off" that is not heeded, and a message that is put off into
/// quiet hours and sent in them.
#[test]
fn own_hours_go_first() {
    let noon = time("2024-05-06T04:30:00Z");
    let night = time("2024-05-06T15:30:00Z");
    let mut world = World::new("quiet_hours = \"22:00-07:00\"");
    world
        .store
        .set_wish("liming", "quiet_hours", Some("12:00-13:00"))
        .unwrap();
    world.write([missed("a", noon, ZHANG, LIMING)]);
    assert_eq!(world.at(noon.plus_ms(12_000)).len(), 0);
    assert_eq!(world.at(noon.plus_ms(1_800_000)).len(), 1);
    world.write([missed("b", night, ZHANG, LIMING)]);
    assert_eq!(world.at(night.plus_ms(12_000)).len(), 1);

    let mut world = World::new("quiet_hours = \"22:00-07:00\"");
    world
        .store
        .set_wish("liming", "quiet_hours", Some("off"))
        .unwrap();
    world.write([missed("b", night, ZHANG, LIMING)]);
    assert_eq!(world.at(night.plus_ms(12_000)).len(), 1);

    // Queued by day, tried by night.
    let evening = time("2024-05-06T13:59:00Z");
    let mut world = World::new("quiet_hours = \"22:00-07:00\"");
    world.write([missed("a", evening, ZHANG, LIMING)]);
    world.answers.lock().unwrap().is_gone = true;
    assert_eq!(world.at(evening.plus_ms(12_000)).len(), 0);
    world.answers.lock().unwrap().is_gone = false;
    let mut world = world.restart();
    assert_eq!(world.at(night).len(), 0);
    assert_eq!(
        world.store.depth().unwrap().pending + world.store.depth().unwrap().held,
        1
    );
    assert_eq!(world.at(time("2024-05-06T23:00:00Z")).len(), 1);
}

/// Catches a digest that waits for the morning of a day to which the clock was set by mistake.
#[test]
fn a_morning_in_a_week_is_none() {
    let wrong = time("2024-05-12T15:30:00Z");
    let mut world = World::new("quiet_hours = \"22:00-07:00\"");
    world.write([missed("a", wrong, ZHANG, LIMING)]);
    assert_eq!(world.at(wrong.plus_ms(12_000)).len(), 0);
    let right = time("2024-05-06T15:31:00Z");
    world
        .store
        .clock_was_set(right.as_micros() / 1000 - wrong.as_micros() / 1000, right)
        .unwrap();
    let sent = world.at(time("2024-05-07T23:00:00Z").plus_ms(-1)).len()
        + world.at(time("2024-05-07T23:00:00Z")).len();
    assert_eq!(sent, 1);
}

/// Catches a digest that leaves quiet hours early or late because the clock was set: they end by the clock on the wall.
#[test]
fn a_clock_that_is_set_moves_no_morning() {
    for by_ms in [5 * 3_600_000, -5 * 3_600_000] {
        let night = time("2024-05-06T15:30:00Z");
        let mut world = World::new("quiet_hours = \"22:00-07:00\"");
        world.write([missed("a", night, ZHANG, LIMING)]);
        assert_eq!(world.at(night.plus_ms(12_000)).len(), 0);
        world.store.clock_was_set(by_ms, night).unwrap();
        let morning = time("2024-05-06T23:00:00Z");
        assert_eq!(world.at(morning.plus_ms(-1)).len(), 0);
        assert_eq!(world.at(morning).len(), 1, "{by_ms}");
    }
}

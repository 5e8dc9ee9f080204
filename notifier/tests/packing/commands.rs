//! `outbox` and `user delivery`, through the program.

use crate::sink::Reply;
use crate::whole::{House, just_missed};
use crate::world::{ANNA, LIMING};

/// Catches a dead letter that is not listed, that shows a number to who has not asked for it, or that `retry` does not send; a
/// message that is sent though it was dropped; and a command that says it has done what it has not.
#[test]
fn dead_letters_are_looked_at_tried_again_and_dropped() {
    let house = House::new("[notifier.delivery]\ncoalesce_window_s = 0\n");
    house
        .sink
        .answer(&[Reply::Code(550), Reply::Code(550), Reply::Code(451)]);
    house.write([
        just_missed("a", LIMING),
        just_missed("b", LIMING),
        just_missed("c", ANNA),
    ]);
    let (status, _, said) = house.program(&["once"]);
    assert_eq!(status, 1, "{said}");
    let (status, listed, _) = house.program(&["outbox", "list"]);
    assert_eq!((status, listed.lines().count()), (0, 3), "{listed}");
    let fields: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    let dead: Vec<&str> = fields
        .iter()
        .filter(|row| row[1] == "dead")
        .map(|row| row[0])
        .collect();
    let waits: Vec<&str> = fields
        .iter()
        .filter(|row| row[1] == "pending")
        .map(|row| row[0])
        .collect();
    assert_eq!((dead.len(), waits.len()), (2, 1), "{listed}");
    assert!(
        fields
            .iter()
            .all(|row| row.len() == 9 && row[2] == "mail" && row[5] == "call"),
        "{listed}"
    );
    assert_eq!(
        house
            .program(&["outbox", "list", "--limit", "1"])
            .1
            .lines()
            .count(),
        1
    );

    let (status, shown, _) = house.program(&["outbox", "show", dead[0]]);
    assert_eq!(status, 0);
    assert!(
        shown.contains("550") && shown.contains("+86********678") && !shown.contains("13912345678"),
        "{shown}"
    );
    let shown = house.program(&["outbox", "show", dead[0], "--numbers"]).1;
    assert!(shown.contains("+8613912345678"), "{shown}");
    assert_eq!(house.program(&["outbox", "show", "999"]).0, 1);

    let (status, said, _) = house.program(&["outbox", "drop", waits[0]]);
    assert_eq!((status, said.trim()), (0, "1 messages dropped"));
    let (status, said, fault) = house.program(&["outbox", "retry", dead[0], waits[0]]);
    assert_eq!((status, said.trim()), (1, "1 messages put back into the queue"));
    assert!(fault.contains(waits[0]), "{fault}");
    assert_eq!(
        house.program(&["outbox", "retry", "--dead"]).1.trim(),
        "1 messages put back into the queue"
    );
    assert_eq!(house.program(&["once"]).0, 0);
    assert_eq!(house.sink.mails().len(), 2);
    assert_eq!(house.program(&["outbox", "list"]).1, "");
    let all = house.program(&["outbox", "list", "--all"]).1;
    assert!(
        all.contains("dropped by the operator") && all.matches("\tsent\t").count() == 2,
        "{all}"
    );
    assert_eq!(house.program(&["outbox", "drop", dead[0]]).0, 1, "it was sent");
    for nothing in [
        &["outbox", "retry"][..],
        &["outbox", "drop"],
        &["outbox", "retry", "x"],
    ] {
        assert_eq!(house.program(nothing).0, 2, "{nothing:?}");
    }
}

/// Catches a gathered message that cannot be sent before its time, or that `show` does not tell whole.
#[test]
fn what_is_gathered_is_shown_and_can_be_sent_at_once() {
    let house = House::new("");
    house.write([
        just_missed("a", LIMING),
        just_missed("b", LIMING),
        just_missed("c", LIMING),
    ]);
    let (status, said, fault) = house.program(&["once"]);
    assert_eq!(status, 0, "{fault}");
    assert!(said.contains("2 calls gathered"), "{said}");
    let listed = house.program(&["outbox", "list"]).1;
    let id = listed.split('\t').next().unwrap();
    let shown = house.program(&["outbox", "show", id]).1;
    let calls: Vec<_> = shown.lines().filter(|line| line.starts_with("call\t")).collect();
    assert_eq!(calls.len(), 2, "{shown}");
    assert!(shown.contains("summary"), "{shown}");
    assert_eq!(house.program(&["outbox", "retry", id]).0, 0);
    assert_eq!(house.once().sent, 1);
    assert_eq!(house.sink.mails().len(), 2);
}

/// Catches a wish that is not kept, not heeded or not given back, half of several, and a channel that leads nowhere.
#[test]
fn people_say_how_they_are_told() {
    let house = House::new("[notifier.delivery]\nquiet_hours = \"22:00-07:00\"\n");
    let delivery = |arguments: &[&str]| house.program(&[&["user", "delivery"], arguments].concat());
    assert_eq!(
        delivery(&["liming"]).1,
        "channels\tmail\toperator\nquiet_hours\t22:00-07:00\toperator\n"
    );
    assert_eq!(
        delivery(&["liming", "quiet_hours=off"]).1,
        "channels\tmail\toperator\nquiet_hours\toff\town\n"
    );
    for bad in [
        &["nobody"][..],
        &["liming", "channels=webhook"],
        &["liming", "channels=mail,pigeon"],
        &["liming", "quiet_hours=25:00-07:00"],
        &["liming", "quiet_hours=12:00-13:00", "colour=red"],
        &["liming", "quiet_hours"],
        &["liming", "--unset", "colour"],
    ] {
        let (status, _, said) = delivery(bad);
        assert_eq!(status, 2, "{bad:?}: {said}");
    }
    assert!(
        delivery(&["liming"]).1.contains("off\town"),
        "nothing of what was refused was done"
    );
    assert_eq!(
        delivery(&["liming", "--unset", "quiet_hours"]).1,
        "channels\tmail\toperator\nquiet_hours\t22:00-07:00\toperator\n"
    );
}

//! Summaries and digests.

use ringtap_notifier::store::{Channel, Kind};
use ringtap_record::{CallRecord, Caller, Flag, Time};

use crate::world::{ANNA, BO, LIMING, WANG, World, ZHANG, answered, missed, time};

const BEGIN: &str = "2024-05-06T02:00:00Z";

fn begin() -> Time {
    time(BEGIN)
}

fn after_s(seconds: i64) -> Time {
    begin().plus_ms(seconds * 1000)
}

/// Catches a first mail that waits, repeats that are mailed one by one, counted or timed wrong, in the wrong language or outside the
/// thread, and gathered calls that a restart loses or tells twice.
#[test]
fn repeats_are_told_in_one_summary() {
    for (called, count, times, subject) in [
        (
            LIMING,
            "另有 2 次来电",
            ["05-06(周一)10:00:30", "05-06(周一)10:01:00"],
            "Content-Language: zh-CN",
        ),
        (
            ANNA,
            "2 more calls",
            ["Mon 6 May, 04:00:30", "Mon 6 May, 04:01:00"],
            "Content-Language: en",
        ),
    ] {
        let mut world = World::new("");
        world.write([missed("a", begin(), ZHANG, called)]);
        let first = world.at(after_s(12));
        assert_eq!((first.len(), first[0].kind), (1, Kind::Call));
        world.write([missed("b", after_s(30), ZHANG, called)]);
        assert_eq!(world.at(after_s(42)).len(), 0);
        world = world.restart();
        world.write([missed("c", after_s(60), ZHANG, called)]);
        assert_eq!(world.at(after_s(72)).len(), 0);
        assert_eq!(world.store.depth().unwrap().held, 1);
        assert_eq!(world.at(after_s(131)).len(), 0);
        let second = world.at(after_s(132));
        assert_eq!(second.len(), 1, "two minutes from the first mail");
        let summary = &second[0];
        assert_eq!((summary.kind, summary.more), (Kind::Summary, 0));
        assert_eq!(summary.calls, ["b", "c"]);
        assert_eq!(summary.header("References:"), first[0].header("References:"));
        assert_ne!(summary.header("Message-ID:"), first[0].header("Message-ID:"));
        assert_eq!(summary.header("X-Ringtap-Count:"), "2");
        assert_eq!(summary.header("X-Ringtap-Call:"), "b, c");
        assert!(summary.mail.contains(subject));
        assert!(summary.text.contains(count), "{}", summary.text);
        for time in times {
            assert!(summary.text.contains(time), "{}", summary.text);
        }
        world.write([missed("d", after_s(300), ZHANG, called)]);
        let third = world.at(after_s(312));
        assert_eq!((third.len(), third[0].kind), (1, Kind::Call));
        assert_eq!(world.restart().at(after_s(100_000)).len(), 0);
    }
}

/// Catches repeats that are told one by one, or in a summary each, where the notifier had not looked for longer than the window,
/// and where records come in another order than the calls.
#[test]
fn late_and_in_disorder() {
    for order in [[0, 30, 60], [60, 30, 0], [30, 0, 60]] {
        let mut world = World::new("");
        world.write([missed("x", after_s(order[0]), ZHANG, LIMING)]);
        assert_eq!(world.at(after_s(75)).len(), 1);
        world.write([
            missed("y", after_s(order[1]), ZHANG, LIMING),
            missed("z", after_s(order[2]), ZHANG, LIMING),
        ]);
        let late = world.at(after_s(9000));
        assert_eq!(late.len(), 1, "{order:?}");
        assert_eq!(
            (late[0].kind, late[0].calls.len()),
            (Kind::Summary, 2),
            "{order:?}"
        );
    }
}

/// Catches a thread that breaks at midnight, or where the caller calls from another number of the same account.
#[test]
fn a_summary_stays_in_its_thread() {
    let mut world = World::new("");
    let evening = time("2024-05-06T15:59:30Z");
    world.write([missed("a", evening, "+862583091005", LIMING)]);
    let first = world.at(evening.plus_ms(12_000));
    world.write([missed("b", evening.plus_ms(60_000), "+862583091005", LIMING)]);
    let second = world.at(evening.plus_ms(200_000));
    assert_eq!((second.len(), second[0].kind), (1, Kind::Summary));
    assert!(
        second[0].text.contains("05-07(周二)00:00:30"),
        "{}",
        second[0].text
    );
    assert_eq!(second[0].header("References:"), first[0].header("References:"));
}

/// Catches callers who cannot be told apart, or who differ, in one summary; a call-back of an emergency service that waits for
/// anything; and anything that waits though coalescing is off.
#[test]
fn who_is_not_gathered() {
    let withheld = |name: &str, at: i64| {
        let record = missed(name, after_s(at), ZHANG, LIMING);
        CallRecord {
            caller: Caller {
                withheld: true,
                ..Caller::default()
            },
            ..record
        }
    };
    let unknown = |name: &str, at: i64| CallRecord {
        caller: Caller::default(),
        ..missed(name, after_s(at), ZHANG, LIMING)
    };
    let mut world = World::new("quiet_hours = \"23:00-07:00\"");
    world.write([
        withheld("a", 0),
        withheld("b", 5),
        unknown("c", 10),
        unknown("d", 15),
    ]);
    world.write([
        missed("e", after_s(0), ZHANG, LIMING),
        missed("f", after_s(0), WANG, LIMING),
    ]);
    let told = world.at(after_s(60));
    assert_eq!(told.len(), 6);
    assert!(told.iter().all(|one| one.kind == Kind::Call));

    let psap = |name: &str, at: Time| {
        let mut record = missed(name, at, "+86110", LIMING);
        record.flags = vec![Flag::Psap];
        record
    };
    let night = time("2024-05-06T18:00:00Z");
    let mut world = World::with(
        "suppress_if_reached_within_s = 60",
        "mails_per_hour_max = 1\nquiet_hours = \"23:00-07:00\"",
    );
    world.write((0..5).map(|n| psap(&format!("p{n}"), night.plus_ms(n * 1000))));
    let told = world.at(night.plus_ms(20_000));
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|one| one.kind == Kind::Call));

    let mut world = World::new("coalesce_window_s = 0\nmails_per_hour_max = 0");
    world.write((0..50).map(|n| missed(&n.to_string(), after_s(n), ZHANG, LIMING)));
    assert_eq!(world.at(after_s(80)).len(), 50);
}

/// Catches a flood that becomes a flood of mails, one that loses calls or lists without end, and a person who pays for another's.
#[test]
fn beyond_the_hourly_number_there_are_digests() {
    let mut world = World::new("mails_per_hour_max = 3\ncoalesce_window_s = 0");
    world.write((0..70).map(|n| missed(&format!("{n}"), after_s(n), ZHANG, LIMING)));
    world.write([missed("other", after_s(0), ZHANG, ANNA)]);
    let told = world.at(after_s(90));
    let kinds: Vec<_> = told.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Call; 4]);
    assert_eq!(world.at(after_s(689)).len(), 0);
    world.write([missed("late", after_s(650), WANG, LIMING)]);
    let told = world.at(after_s(690));
    assert_eq!((told.len(), told[0].kind), (1, Kind::Digest));
    assert_eq!((told[0].calls.len(), told[0].more), (50, 18));
    assert_eq!(told[0].header("X-Ringtap-Count:"), "68");
    assert!(
        told[0].text.contains("您有 68 个未接来电") && told[0].text.contains("另有 18 次来电未列出"),
        "{}",
        told[0].text
    );
    assert!(told[0].mail.lines().all(|line| line.len() < 4000));
    assert_eq!(world.at(after_s(2000)).len(), 0);
    // An hour later the person has a fresh share.
    world.write([missed("fresh", after_s(4000), ZHANG, LIMING)]);
    assert_eq!(world.at(after_s(4012))[0].kind, Kind::Call);
}

/// Catches a summary that does not say that the two have talked meanwhile, or says who called whom the wrong way round.
#[test]
fn whether_they_have_talked() {
    for (called, by_caller, by_person) in [
        (
            LIMING,
            "对方之后于 05-06(周一)10:01:30 再次来电,已接通",
            "您之后于 05-06(周一)10:01:30 回拨,已接通",
        ),
        (
            ANNA,
            "has reached you since (Mon 6 May, 04:01:30)",
            "you have called back since (Mon 6 May, 04:01:30)",
        ),
    ] {
        for (back, said) in [(false, by_caller), (true, by_person)] {
            let mut world = World::new("");
            world.write([missed("a", begin(), WANG, called)]);
            world.at(after_s(12));
            world.write([
                missed("b", after_s(30), WANG, called),
                missed("c", after_s(100), WANG, called),
            ]);
            world.at(after_s(111));
            world.write([if back {
                answered("t", after_s(90), called, WANG)
            } else {
                answered("t", after_s(90), WANG, called)
            }]);
            let told = world.at(after_s(140));
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].calls, ["b", "c"]);
            assert_eq!(told[0].text.matches(said).count(), 1, "{}\n{said}", told[0].text);
        }
    }
}

/// Catches a gathered call that is told although its caller got through in time, a summary that is sent without a call in it, one that
/// goes out before it is known who gets through, and a count that takes two channels for two calls.
#[test]
fn gathered_calls_of_callers_who_got_through() {
    let mut world = World::with("suppress_if_reached_within_s = 60", "");
    world
        .store
        .set_wish("liming", "channels", Some("mail,webhook"))
        .unwrap();
    world.write([missed("a", begin(), ZHANG, LIMING)]);
    assert_eq!(world.at(after_s(12)).len(), 0);
    assert_eq!(world.at(after_s(80)).len(), 2);
    // The window ends at 132, but who calls at 100 may get through until 170.
    world.write([
        missed("b", after_s(40), ZHANG, LIMING),
        missed("c", after_s(100), ZHANG, LIMING),
    ]);
    assert_eq!(world.at(after_s(140)).len(), 0);
    world.write([answered("t", after_s(150), ZHANG, LIMING)]);
    let totals = world.take(after_s(165));
    assert_eq!(totals.suppressed, 1);
    let told = world.at(after_s(300));
    assert!(told.iter().all(|one| one.calls == ["b"]), "{told:?}");
    assert_eq!(told.len(), 2);
    assert_eq!(world.store.depth().unwrap().pending, 0);
    // One of which nothing is left.
    world.write([
        missed("d", after_s(1_000), ZHANG, LIMING),
        missed("e", after_s(1_040), ZHANG, LIMING),
        answered("u", after_s(1_060), ZHANG, LIMING),
    ]);
    assert_eq!(world.take(after_s(1_070)).suppressed, 2);
    let ends = world.send(after_s(1_300));
    assert_eq!((ends.sent, ends.dropped), (0, 2));
    assert_eq!(world.store.depth().unwrap().pending, 0);
}

/// Catches a flood that becomes a flood of messages because each call waits for its caller to get through a little longer than the one
/// before.
#[test]
fn calls_that_are_held_are_gathered_all_the_same() {
    let mut world = World::with("suppress_if_reached_within_s = 600", "mails_per_hour_max = 1");
    for n in 0..60 {
        world.write([missed(
            &format!("{n:02}"),
            after_s(n * 60),
            if n % 2 == 0 { ZHANG } else { WANG },
            LIMING,
        )]);
        world.at(after_s(n * 60 + 12));
    }
    world.at(after_s(9_000));
    let rows = world.store.outbox(true, 1_000).unwrap();
    assert!(rows.len() < 10, "{} messages", rows.len());
}

/// Catches a flood whose listed calls are needless while others, which are only counted, are not: those are people's calls too.
#[test]
fn what_is_only_counted_is_not_dropped_with_what_is_listed() {
    let mut world = World::with(
        "suppress_if_reached_within_s = 60",
        "quiet_hours = \"09:00-12:00\"\ncoalesce_window_s = 0",
    );
    world.write((0..60).map(|n| {
        let caller = if n < 50 { ZHANG } else { WANG };
        missed(&format!("{n:02}"), after_s(n), caller, LIMING)
    }));
    world.write([answered("t", after_s(65), ZHANG, LIMING)]);
    assert_eq!(world.take(after_s(80)).suppressed, 50);
    let told = world.at(time("2024-05-06T04:00:01Z"));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].calls.len(), told[0].more), (0, 10));
    assert!(told[0].text.contains("10 个未接来电"), "{}", told[0].text);
}

/// Catches a person on both channels who is told on one only, or counted twice, and one channel's caps that are the other's.
#[test]
fn both_channels() {
    let mut world = World::new("");
    world
        .store
        .set_wish("bo", "channels", Some("mail,webhook"))
        .unwrap();
    world.write([missed("a", begin(), ZHANG, BO)]);
    let totals = world.take(after_s(12));
    assert_eq!((totals.queued, totals.gathered), (1, 0));
    world.send(after_s(12));
    world.write([missed("b", after_s(30), ZHANG, BO)]);
    let totals = world.take(after_s(42));
    assert_eq!((totals.queued, totals.gathered), (0, 1));
    world.send(after_s(200));
    let taken = world.taken.lock().unwrap().clone();
    for channel in Channel::ALL {
        let kinds: Vec<_> = taken
            .iter()
            .filter(|one| one.channel == channel)
            .map(|one| one.kind)
            .collect();
        assert_eq!(kinds, [Kind::Call, Kind::Summary], "{channel}");
    }
    let names: Vec<_> = taken.iter().map(|one| &one.name).collect();
    assert_eq!(
        names.iter().filter(|name| **name == names[0]).count(),
        2,
        "one name on both ways"
    );
}

/// Catches a message to somebody who left while it was gathered, one to somebody who is gone, and a row that stays for ever.
#[test]
fn people_who_leave() {
    for leave in [
        "UPDATE user SET subscribed = 0 WHERE key = 'liming'",
        "PRAGMA foreign_keys = 1; DELETE FROM user WHERE key = 'liming'",
    ] {
        let mut world = World::new("");
        world.write([missed("a", begin(), ZHANG, LIMING)]);
        world.at(after_s(12));
        world.write([missed("b", after_s(30), ZHANG, LIMING)]);
        world.at(after_s(42));
        world.sql(leave);
        assert_eq!(world.at(after_s(200)).len(), 0);
        assert_eq!(
            world.count("SELECT count(*) FROM outbox WHERE state = 'pending'"),
            0
        );
        world.write([missed("c", after_s(300), ZHANG, LIMING)]);
        assert_eq!(world.at(after_s(312)).len(), 0);
    }
}

//! `suppress_if_reached_within_s`: mails that a caller who gets through makes needless.

use std::time::{SystemTime, UNIX_EPOCH};

use ringtap_journal::Reader;
use ringtap_notifier::intake::Rules;
use ringtap_record::{CallRecord, Caller, Flag, Outcome, Time};

use crate::{DESK, DUTY, Lab, MOBILE, SUN, answered, call, call_at, from, missed, wait_until};

/// Catches a mail about a call whose caller got through in time, on whatever account; and none although it was
/// another caller, another person, too late, before, or not answered.
#[test]
fn who_got_through_is_not_told_of() {
    let far = "+861085091234";
    // Missed from 0 to 10 s, so the minute ends at 70 s.
    for (name, then, is_dropped) in [
        ("in time", answered("n", 40, DESK), true),
        ("on another account", answered("n", 40, MOBILE), true),
        ("at the last moment", answered("n", 70, DESK), true),
        ("too late", answered("n", 71, DESK), false),
        ("at the same time", answered("n", 0, MOBILE), false),
        ("before", answered("n", -5, DESK), false),
        ("another caller", from(far, answered("n", 40, DESK)), false),
        ("another person", answered("n", 40, SUN), false),
        (
            "a machine",
            CallRecord {
                machine: true,
                ..call("n", 40, &[(DESK, Outcome::Voicemail)])
            },
            false,
        ),
    ] {
        for turned in [false, true] {
            let lab = Lab::new("suppress_if_reached_within_s = 60\nvoicemail = false");
            let mut records = vec![missed("m", 0, DESK), then.clone()];
            if turned {
                // A call that is still ringing while its caller gets through is recorded after it.
                records.reverse();
            }
            lab.write(records);
            let totals = lab.once();
            let expected = if is_dropped { vec![] } else { vec!["liming"] };
            assert_eq!(lab.told(), expected, "{name}, turned: {turned}");
            assert_eq!(
                totals.suppressed,
                u64::from(is_dropped),
                "{name}, turned: {turned}"
            );
            let (_, state, why) = &lab.outbox()[0];
            assert_eq!(state == "dropped", is_dropped, "{name}");
            if is_dropped {
                let when = then.started.to_string();
                assert!(why.contains("reached") && why.contains(&when), "{why}");
                let listed = lab.program(&["outbox", "list", "--all"]).1;
                assert!(listed.contains("dropped") && listed.contains(&when), "{listed}");
            }
            // The same records again, from a journal written anew, change nothing.
            std::fs::remove_file(lab.path("j.db")).unwrap();
            lab.write([then.clone(), missed("m", 0, DESK)]);
            lab.once();
            assert_eq!(lab.told(), expected, "{name}, again");
        }
    }
}

/// Catches suppression of those who must not be (D64), of those who cannot be told apart (§3.4), and of calls
/// whose caller goes by two names taken for two callers.
#[test]
fn who_is_suppressed_and_who_is_not() {
    let withheld = |record: CallRecord| CallRecord {
        caller: Caller {
            withheld: true,
            ..Caller::default()
        },
        ..record
    };
    let unavailable = |record: CallRecord| CallRecord {
        caller: Caller::default(),
        ..record
    };
    let psap = |record: CallRecord| CallRecord {
        flags: vec![Flag::Psap],
        ..record
    };
    let both = || (missed("m", 0, DESK), answered("n", 40, DESK));
    let (m, n) = both();
    for (name, missed, answered, mails) in [
        ("withheld", withheld(m.clone()), withheld(n.clone()), 1),
        ("withheld at first", withheld(m.clone()), n.clone(), 1),
        ("unavailable", unavailable(m.clone()), unavailable(n.clone()), 1),
        ("an emergency service", psap(m.clone()), psap(n.clone()), 1),
        (
            "one caller, two names",
            from(SUN, m.clone()),
            from("sip:sunli@ims.office.test", n.clone()),
            0,
        ),
        ("one caller", m, n, 0),
    ] {
        let lab = Lab::new("suppress_if_reached_within_s = 60");
        lab.write([missed, answered]);
        lab.once();
        assert_eq!(lab.told().len(), mails, "{name}");
    }
}

/// Catches one person's waiting time applied to another, and a shared desk whose answer counts for one owner
/// only.
#[test]
fn each_person_waits_as_they_like() {
    let lab = Lab::new("");
    lab.policy(&["sun", "suppress_if_reached_within_s=60"]);
    lab.write([missed("m", 0, DUTY), answered("n", 40, DUTY)]);
    lab.once();
    assert_eq!(lab.told(), ["zhao"]);
    let states: Vec<_> = lab.outbox().into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, ["dropped", "sent"]);
}

/// Catches a mail of a live call that goes out before its time, is never sent, counts as a failure while it
/// waits, or is sent although the answer was in the journal by then.
#[test]
fn a_live_mail_waits() {
    let lab = Lab::new("suppress_if_reached_within_s = 600");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Time::from_micros(i64::try_from(now.as_micros()).unwrap());
    let just = |name, outcome| call_at(name, now.plus_ms(-20_000), &[(DESK, outcome)]);
    lab.write([just("a", Outcome::CallerHungUp), just("b", Outcome::CallerHungUp)]);
    let (status, said, _) = lab.program(&["once"]);
    assert!(status == 0 && said.contains("2 held back"), "{status} {said}");
    let depth = lab.store().depth().unwrap();
    assert_eq!((depth.pending, depth.held), (0, 2));
    // Nobody was there when its time came, and the caller got through meanwhile.
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    sql.execute_batch(
        "UPDATE outbox SET next_attempt_ms = 0; UPDATE outbox SET held_until = held_after WHERE call = 'a'",
    )
    .unwrap();
    lab.write([call_at("c", now.plus_ms(-5_000), &[(MOBILE, Outcome::Answered)])]);
    let running = lab.start();
    wait_until("the held mails", || lab.store().depth().unwrap().held == 0);
    wait_until("the sent mail", || lab.store().depth().unwrap().pending == 0);
    running.stop();
    let states: Vec<_> = lab
        .outbox()
        .into_iter()
        .map(|(call, state, _)| (call, state))
        .collect();
    let row = |call: &str, state: &str| (call.to_owned(), state.to_owned());
    assert_eq!(states, [row("a", "sent"), row("b", "dropped")]);
}

/// Catches a clock of the capture that runs ahead keeping a mail back for as long as it is ahead.
#[test]
fn a_clock_that_runs_ahead() {
    let lab = Lab::new("suppress_if_reached_within_s = 60");
    lab.write([missed("m", 0, DESK)]);
    let (config, journal) = (lab.config(), Reader::open(&lab.path("j.db")).unwrap());
    let rules = Rules {
        learn: ringtap_config::Learn::Off,
        policy: &config.policy,
        stale_after_h: 0,
        queue: ringtap_notifier::store::Rules {
            packing: ringtap_notifier::packing::Packing::new(&config.notifier.delivery),
            quiet: None,
        },
    };
    let now: Time = "2024-05-05T00:00:00Z".parse().unwrap();
    rules.take_batch(&journal, "j", &mut lab.store(), now).unwrap();
    let row = &lab.store().outbox(true, 1).unwrap()[0];
    assert_eq!(row.next_attempt, now.plus_ms(63_000));
}

/// Catches a drop without its cursor, or a cursor without the drop: the answer would be forgotten.
#[test]
fn drop_and_cursor_move_together() {
    let lab = Lab::new("suppress_if_reached_within_s = 60");
    lab.write([missed("m", 0, DESK)]);
    let (config, journal) = (lab.config(), Reader::open(&lab.path("j.db")).unwrap());
    let rules = Rules {
        learn: ringtap_config::Learn::Off,
        policy: &config.policy,
        stale_after_h: 0,
        queue: ringtap_notifier::store::Rules {
            packing: ringtap_notifier::packing::Packing::new(&config.notifier.delivery),
            quiet: None,
        },
    };
    let mut store = lab.store();
    let now = Time::from_micros(1);
    rules.take_batch(&journal, "j", &mut store, now).unwrap();
    lab.write([answered("n", 40, DESK), missed("o", 2000, SUN)]);
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    sql.execute_batch(
        "CREATE TRIGGER fail BEFORE INSERT ON outbox WHEN NEW.call = 'o' BEGIN SELECT RAISE(ABORT, 'disk'); END",
    )
    .unwrap();
    let facts = || -> (u64, String, i64) {
        let state = sql
            .query_row("SELECT state FROM outbox WHERE call = 'm'", (), |row| row.get(0))
            .unwrap();
        let reached = sql
            .query_row("SELECT count(*) FROM reached", (), |row| row.get(0))
            .unwrap();
        (lab.store().cursor(journal.id()).unwrap(), state, reached)
    };
    assert!(rules.take_batch(&journal, "j", &mut store, now).is_err());
    assert_eq!(facts(), (1, "pending".to_owned(), 0));
    sql.execute_batch("DROP TRIGGER fail").unwrap();
    rules.take_batch(&journal, "j", &mut store, now).unwrap();
    assert_eq!(facts(), (3, "dropped".to_owned(), 1));
}

/// Catches callers' numbers kept for longer than anything needs them.
#[test]
fn who_got_through_is_forgotten() {
    let lab = Lab::new("suppress_if_reached_within_s = 60");
    lab.write([missed("m", 0, DESK), answered("n", 40, DESK)]);
    lab.once();
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    let count = |what: &str| -> i64 {
        sql.query_row(&format!("SELECT count(*) FROM {what}"), (), |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        (count("reached"), count("outbox WHERE held_caller IS NOT NULL")),
        (1, 1)
    );
    sql.execute_batch(
        "UPDATE reached SET at_ms = at_ms - 2 * 86400000 - 1000;
         UPDATE outbox SET done_ms = done_ms - 30 * 86400000 - 1000",
    )
    .unwrap();
    lab.once();
    assert_eq!(
        (count("reached"), count("outbox WHERE held_caller IS NOT NULL")),
        (0, 0)
    );
}

//! Journal to mail server: once each, whatever the server answers and however often the journal is read.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod sink;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringtap_config::{Config, Learn};
use ringtap_journal::{Options, Reader, Writer};
use ringtap_notifier::deliver::DeliveryTotals;
use ringtap_notifier::intake::Rules;
use ringtap_notifier::packing::Packing;
use ringtap_notifier::service::Service;
use ringtap_notifier::store::{self, Batch, Store, StoreError};
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, NameSource, Outcome, Target, Time};
use sink::{Reply, Sink};

const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+8613800001001,手机,
zhao,赵强,zhao@office.test,zh-CN,Asia/Shanghai,yes,+862583091010,,
sun,Sun Li,sun@office.test,en,Asia/Shanghai,yes,+862583091010,,
chen,陈洁,chen@office.test,zh-CN,Asia/Shanghai,no,+862583091004,,
";

struct Lab {
    dir: tempfile::TempDir,
    sink: Sink,
}

impl Lab {
    fn new(script: &[Reply]) -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
            sink: Sink::start(script),
        };
        let people = subscriptions::read(Path::new("p.csv"), PEOPLE.as_bytes(), &lab.config().plan).unwrap();
        lab.store().import(&people, false).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> Config {
        let text = format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[notifier.smtp]\nurl = \"smtp://{}\"\nfrom = \"M <m@office.test>\"\nconnections = 1\n\
             [notifier.delivery]\ncoalesce_window_s = 0\n",
            self.sink.address
        );
        ringtap_config::from_toml(&text, "test").unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.path("n.db")).unwrap()
    }

    fn write(&self, calls: &[(&str, &[&str])]) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        for (call, targets) in calls {
            writer.send(record(call, targets)).unwrap();
        }
        writer.finish().unwrap();
    }

    fn service(&self, config: Config) -> Service {
        Service::new(config, &self.path("j.db"), &self.path("n.db")).unwrap()
    }

    fn once(&self) -> DeliveryTotals {
        self.service(self.config()).once().unwrap().1
    }

    /// Makes everything that was put off due now.
    fn hurry(&self) {
        let sql = rusqlite::Connection::open(self.path("n.db")).unwrap();
        sql.execute_batch("UPDATE outbox SET next_attempt_ms = 0")
            .unwrap();
    }
}

fn record(call: &str, targets: &[&str]) -> CallRecord {
    let started: Time = "2024-05-06T02:23:41Z".parse().unwrap();
    CallRecord {
        call: call.to_owned(),
        started,
        ended: started.plus_ms(25_000),
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: None,
            name_source: NameSource::None,
            withheld: false,
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: targets
            .iter()
            .map(|identity| Target {
                identity: (*identity).into(),
                outcome: Outcome::CallerHungUp,
                base: None,
                alerted: true,
                ring_ms: 20_000,
                diverted_to: None,
                group: None,
                started,
                ended: started,
            })
            .collect(),
        legs: 1,
        flags: Vec::new(),
    }
}

fn rules_of_queue(config: &Config) -> store::Rules {
    store::Rules {
        packing: Packing::new(&config.notifier.delivery),
        quiet: None,
    }
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    mail.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap()
        .trim()
}

/// Catches a mail whose final dot waits 40 ms for an acknowledgement of the rest, and with it a second mail
/// for a person's second account, a missing one for a second owner, one for somebody
/// who has not subscribed, and any mail at all when the same capture is replayed into the journal.
#[test]
fn each_person_is_told_once() {
    let lab = Lab::new(&[]);
    let calls: &[(&str, &[&str])] = &[
        ("c1", &["+862583091001", "+8613800001001"]),
        ("c2", &["+862583091010"]),
        ("c3", &["+862583091004"]),
        ("c4", &["+862583099999"]),
    ];
    lab.write(calls);
    assert_eq!(lab.once().sent, 3);
    assert_eq!(lab.sink.in_pieces(), 0);
    let told: Vec<_> = lab
        .sink
        .mails()
        .iter()
        .map(|mail| header(mail, "To:").to_owned())
        .collect();
    assert!(
        told[0].contains("liming@") && told[1].contains("zhao@") && told[2].contains("sun@"),
        "{told:?}"
    );
    assert_eq!(
        header(&lab.sink.mails()[0], "X-Ringtap-Account:"),
        "+862583091001, +8613800001001"
    );
    lab.write(calls);
    assert_eq!(lab.once(), DeliveryTotals::default());
    // A journal written anew has other cursors, but the calls are the same.
    std::fs::remove_file(lab.path("j.db")).unwrap();
    lab.write(calls);
    let (taken, sent) = lab.service(lab.config()).once().unwrap();
    assert_eq!((taken.records, taken.queued, taken.repeated), (4, 0, 3));
    assert_eq!(sent, DeliveryTotals::default());
}

/// Catches a mail lost or doubled by the server's answers: 4xx and lost connections are tried again under
/// the same Message-ID, 5xx is given up, and one mail's fate does not touch another's.
#[test]
fn the_servers_answers() {
    let lab = Lab::new(&[Reply::Code(451), Reply::Code(550), Reply::TakeAndDrop]);
    lab.write(&[
        ("a", &["+862583091001"]),
        ("b", &["+862583091001"]),
        ("c", &["+862583091001"]),
        ("d", &["+862583091001"]),
    ]);
    let totals = lab.once();
    assert_eq!(
        totals,
        DeliveryTotals {
            sent: 1,
            put_off: 2,
            dead: 1,
            dropped: 0
        }
    );
    let depth = lab.store().depth().unwrap();
    assert_eq!((depth.pending, depth.dead), (2, 1));
    assert_eq!(
        lab.once(),
        DeliveryTotals::default(),
        "what was put off is not due yet"
    );
    let row = lab
        .store()
        .outbox(false, 10)
        .unwrap()
        .into_iter()
        .find(|row| row.call == "b")
        .unwrap();
    assert!(row.state == "dead" && row.last_error.unwrap().contains("550"));
    lab.hurry();
    assert_eq!(lab.once().sent, 2);
    let ids: Vec<_> = lab
        .sink
        .mails()
        .iter()
        .map(|mail| header(mail, "Message-ID:").to_owned())
        .collect();
    assert_eq!(
        ids.len(),
        4,
        "c went out twice, because its first answer was lost"
    );
    assert_eq!(ids.iter().filter(|id| **id == ids[0]).count(), 2);
    assert_eq!(lab.store().depth().unwrap().pending, 0);
}

/// Catches mails tried for ever, and mails to people who have left in the meantime.
#[test]
fn giving_up() {
    let lab = Lab::new(&[Reply::Code(451), Reply::Code(451)]);
    lab.write(&[("a", &["+862583091001"]), ("b", &["+862583091010"])]);
    lab.sink
        .answer(&[Reply::Code(451), Reply::Code(451), Reply::Code(451)]);
    assert_eq!(lab.once().put_off, 3);
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    sql.execute_batch(
        "UPDATE outbox SET next_attempt_ms = 0, tried_ms = tried_ms - 49 * 3600000 WHERE call = 'a';
         UPDATE outbox SET next_attempt_ms = 0 WHERE call = 'b';
         UPDATE user SET subscribed = 0 WHERE key = 'zhao'",
    )
    .unwrap();
    lab.sink.answer(&[Reply::Code(451)]);
    let totals = lab.once();
    assert_eq!(
        totals,
        DeliveryTotals {
            sent: 1,
            put_off: 0,
            dead: 1,
            dropped: 1
        }
    );
}

/// Catches a server that is down costing mails or stopping the program.
#[test]
fn no_server() {
    let lab = Lab::new(&[]);
    lab.write(&[("a", &["+862583091001"])]);
    let mut config = lab.config();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    config.notifier.smtp.url = format!("smtp://{closed}");
    assert_eq!(lab.service(config).once().unwrap().1.put_off, 1);
    lab.hurry();
    assert_eq!(lab.once().sent, 1);
}

/// Catches a cursor that moves without its mails, or mails without the cursor: both are one transaction.
#[test]
fn cursor_and_outbox_move_together() {
    let lab = Lab::new(&[]);
    lab.write(&[("a", &["+862583091001"]), ("b", &["+862583091010"])]);
    let journal = Reader::open(&lab.path("j.db")).unwrap();
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    let counts = || -> (u64, i64, i64) {
        let count = |table| {
            sql.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0))
                .unwrap()
        };
        (
            lab.store().cursor(journal.id()).unwrap(),
            count("notified"),
            count("outbox"),
        )
    };
    // The second record's outbox row cannot be written: nothing of the batch may stay.
    sql.execute_batch(
        "CREATE TRIGGER fail BEFORE INSERT ON outbox WHEN NEW.call = 'b' BEGIN SELECT RAISE(ABORT, 'disk'); END",
    )
    .unwrap();
    let config = lab.config();
    let rules = Rules {
        policy: &config.policy,
        stale_after_h: 0,
        learn: Learn::Suggest,
        queue: rules_of_queue(&config),
    };
    let mut store = lab.store();
    let now = Time::from_micros(1);
    assert!(rules.take_batch(&journal, "j", &mut store, now).is_err());
    assert_eq!(counts(), (0, 0, 0));
    sql.execute_batch("DROP TRIGGER fail").unwrap();
    let fails: Result<(), StoreError> = store.intake(
        Batch {
            journal: journal.id(),
            path: "j",
            seq: 9,
        },
        |_| {
            Err(StoreError::Sqlite {
                path: "x".into(),
                doing: "x",
                source: rusqlite::Error::InvalidQuery,
            })
        },
    );
    assert!(fails.is_err());
    assert_eq!(counts(), (0, 0, 0));
    assert_eq!(
        rules
            .take_batch(&journal, "j", &mut store, now)
            .unwrap()
            .unwrap()
            .queued,
        3
    );
    assert_eq!(counts(), (2, 3, 3));
    assert_eq!(rules.take_batch(&journal, "j", &mut store, now).unwrap(), None);
}

/// Catches old calls of a replayed capture being mailed although the operator said not to, and the reverse.
#[test]
fn stale_calls() {
    let lab = Lab::new(&[]);
    lab.write(&[("a", &["+862583091001"])]);
    let journal = Reader::open(&lab.path("j.db")).unwrap();
    let config = lab.config();
    let later = |hours: i64| record("a", &[]).ended.plus_ms(hours * 3_600_000 + 1);
    for (stale_after_h, hours, queued) in [(24, 24, 0), (24, 23, 1), (0, 90_000, 1)] {
        let rules = Rules {
            policy: &config.policy,
            stale_after_h,
            learn: Learn::Suggest,
            queue: rules_of_queue(&config),
        };
        let mut store = Store::open(&lab.path(&format!("{stale_after_h}-{hours}.db"))).unwrap();
        let people = subscriptions::read(Path::new("p"), PEOPLE.as_bytes(), &config.plan).unwrap();
        store.import(&people, false).unwrap();
        let totals = rules
            .take_batch(&journal, "j", &mut store, later(hours))
            .unwrap()
            .unwrap();
        assert_eq!((totals.queued, totals.stale), (queued, 1 - queued));
    }
}

/// Catches `run` giving up on a journal that is not there yet, missing live records, or not stopping.
#[test]
fn run_waits_follows_and_stops() {
    let lab = Lab::new(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut service = lab.service(lab.config());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || service.run(&told));
    let wait = |count: usize| {
        while lab.sink.mails().len() < count {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    lab.write(&[("a", &["+862583091001"])]);
    wait(1);
    lab.write(&[("b", &["+862583091001"])]);
    wait(2);
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    assert_eq!(lab.sink.mails().len(), 2);
}

/// Catches `run` clinging to a journal that was removed or replaced under it: its reader still has the old file
/// and would wait there for ever.
#[test]
fn run_turns_to_a_journal_put_in_place_of_another() {
    let lab = Lab::new(&[]);
    lab.write(&[("a", &["+862583091001"])]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut service = lab.service(lab.config());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || service.run(&told));
    let wait = |count: usize| {
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        while lab.sink.mails().len() < count {
            assert!(std::time::Instant::now() < patience, "mail {count} did not come");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait(1);
    std::fs::rename(lab.path("j.db"), lab.path("old.db")).unwrap();
    lab.write(&[("a", &["+862583091001"]), ("b", &["+862583091001"])]);
    wait(2);
    std::fs::remove_file(lab.path("j.db")).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    lab.write(&[("c", &["+862583091001"])]);
    wait(3);
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    assert_eq!(lab.sink.mails().len(), 3);
}

/// Catches one row that cannot be read holding back the mails of everybody, and one that is tried for ever.
#[test]
fn an_unreadable_notice_is_set_aside() {
    for damage in [
        "UPDATE outbox SET notice = '{\"call\"' WHERE call = 'a'",
        "UPDATE outbox SET notice = x'ff' WHERE call = 'a'",
    ] {
        let lab = Lab::new(&[Reply::Code(451), Reply::Code(451)]);
        lab.write(&[("a", &["+862583091001"]), ("b", &["+862583091001"])]);
        assert_eq!(lab.once().put_off, 2);
        lab.hurry();
        let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
        sql.execute_batch(damage).unwrap();
        let totals = lab.once();
        assert_eq!((totals.sent, totals.dead), (1, 1), "{damage}");
        let rows = lab.store().outbox(false, 10).unwrap();
        let why = rows[0].last_error.clone().unwrap();
        assert!(rows[0].call == "a" && rows[0].state == "dead", "{rows:?}");
        assert!(why.contains("cannot be read"), "{why}");
    }
}

/// Catches a damaged record of the journal that keeps everybody from hearing of the calls after it.
#[test]
fn a_damaged_record_is_passed_over() {
    let lab = Lab::new(&[]);
    lab.write(&[
        ("a", &["+862583091001"]),
        ("b", &["+862583091001"]),
        ("c", &["+862583091001"]),
    ]);
    let sql = rusqlite::Connection::open(lab.path("j.db")).unwrap();
    sql.execute_batch("UPDATE target SET outcome = 'X' WHERE seq = 2")
        .unwrap();
    let (taken, sent) = lab.service(lab.config()).once().unwrap();
    assert_eq!((taken.records, taken.damaged, taken.queued), (3, 1, 2));
    assert_eq!(sent.sent, 2);
    let (again, _) = lab.service(lab.config()).once().unwrap();
    assert_eq!(again.records, 0, "the cursor has passed it");
}

/// Catches calls, numbers and names kept for ever; forgetting a mail that is still to be sent; and forgetting
/// that a person was told while a journal may still tell of the call.
#[test]
fn what_is_old_is_forgotten() {
    let lab = Lab::new(&[]);
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    let age = |call: &str, days: u32| {
        sql.execute_batch(&format!(
            "UPDATE notified SET at_ms = at_ms - {days} * 86400000 WHERE call = '{call}';
             UPDATE outbox SET created_ms = created_ms - {days} * 86400000,
             done_ms = done_ms - {days} * 86400000 WHERE call = '{call}'"
        ))
        .unwrap();
    };
    // Per call: told, rows in the outbox, of these with content.
    let left = |call: &str| -> (i64, i64, i64) {
        sql.query_row(
            "SELECT (SELECT count(*) FROM notified WHERE call = ?1), count(*), ifnull(sum(notice != ''), 0) \
             FROM outbox WHERE call = ?1",
            [call],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap()
    };
    lab.write(&[
        ("new", &["+862583091001"]),
        ("month", &["+862583091001"]),
        ("older", &["+862583091001"]),
    ]);
    assert_eq!(lab.once().sent, 3);
    age("new", 29);
    age("month", 30);
    age("older", 31);
    lab.once();
    assert_eq!(left("new"), (1, 1, 1));
    assert_eq!(left("month"), (1, 1, 0));
    assert_eq!(left("older"), (0, 0, 0));
    // What was sent is still listed, and told once, without its content.
    std::fs::remove_file(lab.path("j.db")).unwrap();
    lab.write(&[("month", &["+862583091001"])]);
    assert_eq!(lab.once().sent, 0);
    assert_eq!(lab.store().outbox(true, 10).unwrap().len(), 2);
    // A mail that waits is kept, and so is the memory of its call.
    lab.write(&[("waits", &["+862583091001"])]);
    lab.sink.answer(&[Reply::Code(451)]);
    assert_eq!(lab.once().put_off, 1);
    age("waits", 90);
    age("new", 90);
    lab.once();
    assert_eq!(left("waits"), (1, 1, 1));
    // `run` sweeps as it starts.
    sql.execute_batch("UPDATE outbox SET state = 'sent', done_ms = created_ms WHERE call = 'waits'")
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut service = lab.service(lab.config());
    let told = Arc::clone(&stop);
    let running = std::thread::spawn(move || service.run(&told));
    while left("waits") != (0, 0, 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
}

/// Catches a database of a later program being opened, or refused without saying which file and versions.
#[test]
fn newer_database_is_refused() {
    let lab = Lab::new(&[]);
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    sql.execute_batch("PRAGMA user_version = 77").unwrap();
    let refused = Store::open(&lab.path("n.db")).unwrap_err().to_string();
    assert!(
        refused.contains("n.db") && refused.contains("77") && refused.contains("upgrade"),
        "{refused}"
    );
}

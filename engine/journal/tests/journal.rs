//! The journal as its two sides see it: what goes in comes out, once, in order, whoever else holds the file.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use ringtap_journal::{
    CallRecord, Caller, Explanation, Flag, ImplicitSet, JournalError, Moments, NameSource, Options, Outcome,
    Reader, Target, Time, Totals, Writer,
};

fn record(n: u32) -> CallRecord {
    let started = Time::from_micros(1_714_962_221_000_000 + i64::from(n));
    CallRecord {
        call: format!("{n:064x}"),
        started,
        ended: started.plus_ms(25_050),
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: Some("张三 'x'".into()),
            name_source: NameSource::From,
            withheld: false,
        },
        dialled: Some("+862583091000".into()),
        answered_by: None,
        machine: n % 2 == 1,
        talk_ms: None,
        referred_by: None,
        targets: (0..n % 4)
            .map(|rank| Target {
                identity: format!("+86258309100{rank}").into(),
                outcome: Outcome::ALL[(n as usize + rank as usize) % Outcome::ALL.len()],
                base: (rank == 1).then_some(Outcome::NoAnswer),
                alerted: rank == 0,
                ring_ms: u64::from(n) * 100,
                diverted_to: (rank == 2).then(|| "sip:liming@ims.office.test".into()),
                group: (rank == 1).then(|| "+862583091000".into()),
                started,
                ended: started.plus_ms(20_000),
            })
            .collect(),
        legs: n,
        flags: Flag::ALL.into_iter().take((n % 7) as usize).collect(),
    }
}

fn write(path: &Path, records: impl Iterator<Item = CallRecord>) -> Totals {
    let writer = Writer::spawn(path, Options::default()).unwrap();
    for record in records {
        writer.send(record).unwrap();
    }
    writer.finish().unwrap()
}

/// Catches a column that is dropped, mixed up or rounded, and targets or flags in another order.
#[test]
fn every_field_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut nobody = record(2);
    nobody.caller = Caller {
        withheld: true,
        ..Caller::default()
    };
    nobody.dialled = None;
    nobody.answered_by = Some("+862583091004".into());
    let records: Vec<_> = (10..60).map(record).chain([nobody]).collect();
    write(&path, records.clone().into_iter());
    let read: Vec<_> = Reader::open(&path).unwrap().after(0, usize::MAX).unwrap();
    assert_eq!(
        records,
        read.into_iter().map(|(_, record)| record).collect::<Vec<_>>()
    );
}

/// Catches a second reading of the same capture that adds rows, or that moves the cursors.
#[test]
fn the_same_capture_twice_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    assert_eq!(
        write(&path, (0..100).map(record)),
        Totals {
            written: 100,
            already_there: 0,
            ..Totals::default()
        }
    );
    let first = Reader::open(&path).unwrap().after(0, 1000).unwrap();
    assert_eq!(
        write(&path, (0..101).map(record)),
        Totals {
            written: 1,
            already_there: 100,
            ..Totals::default()
        }
    );
    let reader = Reader::open(&path).unwrap();
    let second = reader.after(0, 1000).unwrap();
    assert_eq!(second[..100], first);
    assert_eq!(second.len(), 101);
    assert!(second.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(reader.after(first[40].0, 2).unwrap(), second[41..43]);
    assert_eq!(reader.named(&record(7).call).unwrap(), Some(record(7)));
    assert_eq!(reader.named("no such call").unwrap(), None);
}

/// Catches a live record that waits in a batch until more calls come in, and a follower that sleeps over it.
#[test]
fn a_single_record_becomes_visible_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.has_changed().unwrap());
    assert!(!reader.has_changed().unwrap());
    writer.try_send(record(1));
    assert!(reader.wait(Duration::from_secs(60)).unwrap());
    assert_eq!(reader.after(0, 10).unwrap().len(), 1);
    drop(writer);
}

/// Catches live capture waiting for a locked journal, losses that are not counted, and records counted twice.
#[test]
fn a_locked_journal_costs_the_oldest_unsaved_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let options = Options {
        queue: 3,
        batch: 1,
        linger: Duration::ZERO,
        ..Options::default()
    };
    let writer = Writer::spawn(&path, options).unwrap();
    let watch = writer.watch();
    assert_eq!((watch.queue_max(), watch.lost_at()), (3, None));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 0..50 {
        writer.try_send(record(n));
    }
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let totals = writer.finish().unwrap();
    assert_eq!(totals.written + totals.lost, 50);
    assert!(totals.lost > 0 && totals.written >= 3, "{totals:?}");
    assert_eq!(watch.totals(), totals);
    assert!(watch.lost_at().is_some() && watch.queued() == 0);
    let kept = Reader::open(&path).unwrap().after(0, 100).unwrap();
    assert_eq!(kept.last().unwrap().1, record(49), "the newest must survive");
}

/// Catches a commit that fails between its tables and leaves calls without their explanations, counts them, or does not write them all once it
/// can; and rows that refer to nothing.
#[test]
fn what_fails_between_the_tables_is_written_whole_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    write(&path, (0..5).map(record));
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON explanation WHEN (SELECT count(*) FROM explanation) >= 20
             BEGIN SELECT RAISE(ABORT, 'no more of them'); END",
        )
        .unwrap();
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    let watch = writer.watch();
    // A name that is known among them, so that some rows are inserted many at once and some one by one.
    for n in (0..40).chain([3]).chain(40..80) {
        writer.send_explained(record(n), Explanation::default()).unwrap();
    }
    while watch.fault().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let reader = Reader::open(&path).unwrap();
    assert_eq!(
        reader.after(0, 1000).unwrap().len() as u64,
        5 + watch.totals().written
    );
    other.execute_batch("DROP TRIGGER broken").unwrap();
    while watch.fault().is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let totals = writer.finish().unwrap();
    assert_eq!((totals.written, totals.already_there, totals.lost), (75, 6, 0));
    let read = reader.after(0, 1000).unwrap();
    assert!(
        read.iter()
            .map(|(_, found)| found)
            .eq(&(0..80).map(record).collect::<Vec<_>>())
    );
    for (_, found) in read.iter().skip(5) {
        assert_eq!(reader.story(&found.call).unwrap(), Some(Explanation::default()));
    }
    let mut check = other.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!check.exists(()).unwrap(), "rows that refer to nothing");
}

/// Catches times that are not counted from when the call ended or was due, are counted before the record is saved, or of records that tell
/// none.
#[test]
fn how_long_records_took() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::spawn(&dir.path().join("journal.db"), Options::default()).unwrap();
    let watch = writer.watch();
    let ago = |s| Instant::now().checked_sub(Duration::from_secs(s)).unwrap();
    let moments = Moments {
        ended: ago(50),
        due: ago(7),
    };
    writer
        .send_timed(record(0), Explanation::default(), moments)
        .unwrap();
    writer.try_send_timed(record(1), Explanation::default(), moments);
    writer.send(record(2)).unwrap();
    assert_eq!(writer.finish().unwrap().written, 3);
    let within = |s| Duration::from_secs(s);
    watch.latency(|latency| {
        assert_eq!((latency.from_end.count(), latency.from_due.count()), (2, 2));
        assert_eq!(latency.from_end.within(within(45)), 0);
        assert_eq!(latency.from_end.within(within(3_600)), 2);
        assert_eq!(latency.from_due.within(within(6)), 0);
        assert!(latency.from_due.sum() >= within(14));
    });
    assert_eq!(watch.unsaved(), Duration::ZERO);
}

/// Catches a retention that deletes by capture time (a replayed old capture would vanish), that never
/// deletes, or that lets a cursor be given twice.
#[test]
fn retention_counts_from_the_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    write(&path, (0..5000).map(record));
    let last = Reader::open(&path).unwrap().after(4999, 10).unwrap()[0].0;
    let keep = Options {
        retention_days: 30,
        ..Options::default()
    };
    let sweep = |n| {
        let writer = Writer::spawn(&path, keep).unwrap();
        writer.send(record(n)).unwrap();
        // A first commit sweeps; the second is only there to come after it.
        while writer.totals().written == 0 {
            std::thread::yield_now();
        }
        writer.send(record(n + 1)).unwrap();
        writer.finish().unwrap();
    };
    sweep(6000);
    assert_eq!(Reader::open(&path).unwrap().after(0, 10_000).unwrap().len(), 5002);
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute_batch("UPDATE call SET written = written - 31 * 86400000000")
        .unwrap();
    sweep(7000);
    let left = Reader::open(&path).unwrap().after(0, 10_000).unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!(left[0].0, last + 3);
    let orphans: i64 = sql
        .query_row(
            "SELECT count(*) FROM target WHERE seq NOT IN (SELECT seq FROM call)",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(orphans, 0);
}

/// Catches a journal that keeps the size of its worst day for ever.
#[test]
fn what_is_swept_out_makes_the_file_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    write(&path, (0..20_000).map(record));
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute_batch(
        "UPDATE call SET written = written - 31 * 86400000000; PRAGMA wal_checkpoint(truncate)",
    )
    .unwrap();
    let full = std::fs::metadata(&path).unwrap().len();
    let options = Options {
        retention_days: 30,
        ..Options::default()
    };
    let writer = Writer::spawn(&path, options).unwrap();
    writer.send(record(20_000)).unwrap();
    while writer.totals().written == 0 {
        std::thread::yield_now();
    }
    writer.finish().unwrap();
    sql.execute_batch("PRAGMA wal_checkpoint(truncate)").unwrap();
    let left = std::fs::metadata(&path).unwrap().len();
    // Four million free octets are kept for what comes.
    assert!(full > 7_000_000 && left < 4_500_000, "{left} of {full}");
    assert_eq!(Reader::open(&path).unwrap().after(0, 10).unwrap().len(), 1);
}

/// Catches an error text that does not name the file, and a missing journal taken for a fatal fault.
#[test]
fn what_is_no_journal_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.db");
    let missing = Reader::open(&none).unwrap_err();
    assert!(
        missing.is_not_there_yet() && missing.to_string().contains("none.db"),
        "{missing}"
    );
    let blank = dir.path().join("blank.db");
    std::fs::write(&blank, "").unwrap();
    assert!(Reader::open(&blank).unwrap_err().is_not_there_yet());
    let path = dir.path().join("journal.db");
    write(&path, (0..1).map(record));
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute_batch("UPDATE target SET outcome = 'X'; UPDATE call SET flags = 'odd'")
        .unwrap();
    let damaged = Reader::open(&path).unwrap().after(0, 1).unwrap_err().to_string();
    assert!(
        damaged.contains("record 1") && damaged.contains("odd"),
        "{damaged}"
    );
    sql.execute_batch("PRAGMA user_version = 99").unwrap();
    for newer in [
        Reader::open(&path).map(drop),
        Writer::spawn(&path, Options::default()).map(drop),
    ] {
        let text = newer.unwrap_err().to_string();
        assert!(
            text.contains("journal.db") && text.contains("99") && text.contains("this program knows up to"),
            "{text}"
        );
    }
    assert!(matches!(
        Writer::spawn(dir.path(), Options::default()),
        Err(JournalError::File(_))
    ));
}

/// Catches a damaged record that hides the ones after it, whatever is wrong with it: an unknown word, a value
/// of another type, a number out of range.
#[test]
fn a_damaged_record_stands_among_the_others() {
    for damage in [
        "UPDATE call SET flags = 'odd' WHERE seq = 2",
        "UPDATE call SET flags = x'ff00' WHERE seq = 2",
        "UPDATE call SET legs = -1 WHERE seq = 2",
        "UPDATE call SET caller = x'07' WHERE seq = 2",
        "UPDATE target SET started = 'noon' WHERE seq = 2",
        "UPDATE target SET outcome = CAST(x'ff' AS TEXT) WHERE seq = 2",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        write(&path, (5..8).map(record));
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.execute_batch(damage).unwrap();
        let found = Reader::open(&path).unwrap().each_after(0, 10).unwrap();
        let read: Vec<_> = found.iter().map(|(seq, record)| (*seq, record.is_ok())).collect();
        assert_eq!(read, [(1, true), (2, false), (3, true)], "{damage}");
        let text = found[1].1.as_ref().unwrap_err().to_string();
        assert!(
            text.contains("journal.db") && text.contains("record 2"),
            "{damage}: {text}"
        );
    }
}

/// Catches a reader that takes a removed or replaced journal for the one it has open.
#[test]
fn a_replaced_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("journal.db"), dir.path().join("other.db"));
    write(&path, (0..1).map(record));
    write(&other, (0..2).map(record));
    let reader = Reader::open(&path).unwrap();
    assert!(reader.is_in_place());
    std::fs::rename(&other, &path).unwrap();
    assert!(!reader.is_in_place());
    let reader = Reader::open(&path).unwrap();
    assert!(reader.is_in_place());
    std::fs::remove_file(&path).unwrap();
    assert!(!reader.is_in_place());
}

/// Catches a set that an older word overwrites, members that stay though a newer word leaves them out, sets that
/// are not found by a member, and records that are miscounted because of them.
#[test]
fn sets_take_each_others_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let set = |aor: &str, members: &[&str], us: i64| ImplicitSet {
        aor: aor.into(),
        members: members.iter().map(|member| (*member).into()).collect(),
        seen: Time::from_micros(us),
    };
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    for told in [
        set("+1", &["+1", "sip:a@h"], 5),
        set("+1", &["+1", "sip:b@h", "sip:c@h"], 7),
        set("+1", &["+1", "sip:d@h"], 6),
        set("+2", &["+2", "sip:c@h"], 1),
        set("+3", &["+3"], 1),
    ] {
        writer.send_set(told).unwrap();
        writer.send(record(1)).unwrap();
    }
    let totals = writer.finish().unwrap();
    assert_eq!((totals.written, totals.already_there, totals.lost), (1, 4, 0));
    let (one, two) = (
        set("+1", &["+1", "sip:b@h", "sip:c@h"], 7),
        set("+2", &["+2", "sip:c@h"], 1),
    );
    let reader = Reader::open(&path).unwrap();
    assert_eq!(
        reader.sets().unwrap(),
        [one.clone(), two.clone(), set("+3", &["+3"], 1)]
    );
    assert_eq!(reader.sets_of("sip:c@h").unwrap(), [one, two]);
    assert_eq!(reader.sets_of("sip:a@h").unwrap(), []);
}

/// Catches a writer that makes, opens or changes the journal while another process writes it, that loses what came meanwhile, or that cannot be told to end.
#[test]
fn one_that_waits_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let never = Writer::spawn_waiting(&path, Options::default()).unwrap();
    never.send(record(1)).unwrap();
    drop(never);
    assert!(!path.exists(), "it was never its turn");

    let writer = Writer::spawn_waiting(&path, Options::default()).unwrap();
    write(&path, (1..4).map(record));
    for n in 3..6 {
        writer.send(record(n)).unwrap();
    }
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.last().unwrap(), 3);
    writer.begin();
    let totals = writer.finish().unwrap();
    assert_eq!((totals.written, totals.already_there, totals.lost), (2, 1, 0));
    assert_eq!(reader.last().unwrap(), 5);
}

/// Catches a process that finds out only when it has taken over that it cannot write the journal.
#[test]
fn one_that_waits_looks_whether_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::fs::write(
        &path,
        "something else, and long enough not to be taken for an empty file",
    )
    .unwrap();
    assert!(Writer::spawn_waiting(&path, Options::default()).is_err());
}

/// Catches a process that takes over although it may read the journal and not write it, and loses every record: a file or a folder of another user's.
#[test]
fn one_that_waits_looks_whether_it_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Who is root may do everything: so, in a thread of its own, as nobody.
    let waits_as_nobody = |path: &std::path::Path| {
        let path = path.to_owned();
        let wait = move || {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            Writer::spawn_waiting(&path, Options::default()).map(drop)
        };
        std::thread::spawn(wait).join().unwrap()
    };
    set_mode(dir.path(), 0o777);
    let path = dir.path().join("journal.db");
    assert!(waits_as_nobody(&path).is_ok(), "it can be made");
    write(&path, (1..4).map(record));
    set_mode(&path, 0o444);
    let refused = waits_as_nobody(&path).unwrap_err().to_string();
    assert!(refused.contains("may not be written"), "{refused}");
    set_mode(dir.path(), 0o755);
    std::fs::remove_file(&path).unwrap();
    let refused = waits_as_nobody(&path).unwrap_err().to_string();
    assert!(refused.contains("may not be written"), "{refused}");
    set_mode(dir.path(), 0o777);
}

/// Catches a journal of another page size than new ones have that is not written or read any more: those that were made before.
#[test]
fn a_journal_of_other_pages_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let page_bytes = || -> i64 {
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.pragma_query_value(None, "page_size", |row| row.get(0))
            .unwrap()
    };
    write(&path, (0..200).map(record));
    assert_eq!(page_bytes(), 4096);
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute_batch("PRAGMA journal_mode = delete; PRAGMA page_size = 8192; VACUUM")
        .unwrap();
    drop(sql);
    write(&path, (100..300).map(record));
    assert_eq!(page_bytes(), 8192);
    let read = Reader::open(&path).unwrap().after(0, 1000).unwrap();
    assert!(read.into_iter().map(|(_, found)| found).eq((0..300).map(record)));
}

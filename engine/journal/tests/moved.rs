//! A journal that is removed, moved away or replaced while it is being written and read: both ends go on in what the path
//! names then.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_journal::{CallRecord, Caller, JOURNAL, Options, Reader, Time, Writer};

/// How long a writer may take to notice, by what is promised of it, on a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

fn record(n: u64) -> CallRecord {
    let started: Time = "2024-05-06T02:23:41Z".parse().unwrap();
    CallRecord {
        call: format!("c{n}"),
        started,
        ended: started.plus_ms(1000),
        caller: Caller::default(),
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: Vec::new(),
        legs: 1,
        flags: Vec::new(),
    }
}

fn calls(journal: &Path) -> Vec<String> {
    let records = Reader::open(journal).unwrap().after(0, usize::MAX).unwrap();
    records.into_iter().map(|(_, record)| record.call).collect()
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Catches a journal that was restored from a backup, and for that is taken for one that somebody has replaced while it was written:
/// its first batch is written twice, and counted as there already.
#[test]
fn a_restored_backup_is_nobodys_doing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.db");
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    writer.send(record(1)).unwrap();
    writer.finish().unwrap();
    // As `backup` leaves its copies.
    let copy = rusqlite::Connection::open(&path).unwrap();
    copy.pragma_update(None, "journal_mode", "delete").unwrap();
    drop(copy);
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    writer.send(record(2)).unwrap();
    let totals = writer.finish().unwrap();
    assert_eq!((totals.written, totals.already_there, totals.moved), (1, 0, 0));
    assert_eq!(calls(&path), ["c1", "c2"]);
}

/// Somebody's doing.
struct Case {
    name: &'static str,
    /// What is done in the folder.
    done: fn(&Path),
    /// Where the old journal is afterwards, if it is anywhere.
    old: Option<&'static str>,
    /// What the path holds by then.
    there: &'static [&'static str],
}

const CASES: [Case; 5] = [
    Case {
        name: "removed alone",
        done: |folder| fs::remove_file(folder.join("j.db")).unwrap(),
        old: None,
        there: &[],
    },
    Case {
        name: "removed with what lies beside it",
        done: |folder| {
            for ending in ["", "-wal", "-shm"] {
                fs::remove_file(folder.join(format!("j.db{ending}"))).unwrap();
            }
        },
        old: None,
        there: &[],
    },
    Case {
        name: "moved away alone",
        done: |folder| fs::rename(folder.join("j.db"), folder.join("old.db")).unwrap(),
        old: Some("old.db"),
        there: &[],
    },
    Case {
        name: "replaced",
        done: |folder| fs::rename(folder.join("other.db"), folder.join("j.db")).unwrap(),
        old: None,
        there: &["c100"],
    },
    Case {
        name: "moved away and replaced",
        done: |folder| {
            fs::rename(folder.join("j.db"), folder.join("old.db")).unwrap();
            fs::rename(folder.join("other.db"), folder.join("j.db")).unwrap();
        },
        old: Some("old.db"),
        there: &["c100"],
    },
];

/// Catches records written where nobody finds them any more, or lost between two files; a new file that takes the old one's
/// log for its own; and a journal that was moved away without its last records.
#[test]
fn the_writer_goes_on_in_what_is_there_now() {
    for case in CASES {
        for is_read in [false, true] {
            check(&case, is_read);
        }
    }
}

fn check(case: &Case, is_read: bool) {
    let name = format!("{}, read: {is_read}", case.name);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let other = Writer::spawn(&dir.path().join("other.db"), Options::default()).unwrap();
    other.send(record(100)).unwrap();
    other.finish().unwrap();

    let writer = Writer::spawn(&path, Options::default()).unwrap();
    for n in 0..10 {
        writer.send(record(n)).unwrap();
    }
    wait(&name, || writer.totals().written == 10);
    let mut reader = is_read.then(|| Reader::open(&path).unwrap());
    if let Some(reader) = &mut reader {
        assert_eq!(reader.after(0, 100).unwrap().len(), 10);
    }
    (case.done)(dir.path());
    for n in 10..20 {
        writer.send(record(n)).unwrap();
    }
    let mut expected: Vec<String> = case.there.iter().map(|call| (*call).to_owned()).collect();
    expected.extend((10..20).map(|n| format!("c{n}")));
    wait(&name, || writer.totals().written == 20);
    assert_eq!(calls(&path), expected, "{name}");
    assert!(reader.is_none_or(|reader| !reader.is_in_place()), "{name}");
    assert!(writer.totals().moved >= 1, "{name}");
    writer.send(record(20)).unwrap();
    assert_eq!(writer.finish().unwrap().written, 21, "{name}");

    expected.push("c20".to_owned());
    assert_eq!(calls(&path), expected, "{name}");
    assert_eq!(JOURNAL.examine(&path).unwrap().faults, [""; 0], "{name}");
    if let Some(old) = case.old {
        let old: PathBuf = dir.path().join(old);
        assert_eq!(JOURNAL.examine(&old).unwrap().faults, [""; 0], "{name}");
        assert_eq!(calls(&old).len(), 10, "{name}");
    }
}

/// Catches a reader that opens a new journal with the old one's log, in the moment before the writer has cleared that away, and
/// keeps reading the old one's pages.
#[test]
fn a_reader_that_was_quicker_than_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let other = Writer::spawn(&dir.path().join("other.db"), Options::default()).unwrap();
    other.send(record(100)).unwrap();
    other.finish().unwrap();
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    writer.send(record(0)).unwrap();
    wait("written", || writer.totals().written == 1);
    fs::rename(dir.path().join("other.db"), &path).unwrap();
    let reader = Reader::open(&path);
    wait("noticed", || writer.totals().moved == 1);
    assert!(reader.is_err() || !reader.unwrap().is_in_place());
    let reader = Reader::open(&path).unwrap();
    assert!(reader.is_in_place());
    assert_eq!(calls(&path), ["c100"]);
}

/// Catches a writer that notices only when it has something to write: readers would wait for a file that does not come.
#[test]
fn an_idle_writer_notices_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.db");
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    fs::remove_file(&path).unwrap();
    wait("made anew", || Reader::open(&path).is_ok());
    wait("counted", || writer.totals().moved == 1);
    assert!(!writer.is_stalled());
}

/// Catches records lost because their file cannot be made anew at once, and a writer that keeps quiet about it.
#[test]
fn a_folder_that_is_gone_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("j.db");
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    let watch = writer.watch();
    writer.send(record(0)).unwrap();
    wait("written", || writer.totals().written == 1);
    wait("nothing in hand", || watch.unsaved().is_zero());
    assert!(watch.fault().is_none());
    fs::remove_dir_all(&folder).unwrap();
    writer.send(record(1)).unwrap();
    wait("stalled", || writer.is_stalled());
    let (fault, _) = watch.fault().expect("the fault");
    assert!(fault.contains("j.db"), "{fault}");
    assert!(!watch.unsaved().is_zero(), "the record waits");
    fs::create_dir(&folder).unwrap();
    wait("written again", || writer.totals().written == 2);
    assert!(!writer.is_stalled());
    assert!(watch.fault().is_none());
    assert_eq!(writer.finish().unwrap().lost, 0);
    assert_eq!(calls(&path), ["c1"]);
}

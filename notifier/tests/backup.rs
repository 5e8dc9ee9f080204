//! `backup` beside programs that work, and what a restored pair of files leads to.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ringtap_journal::{CallRecord, JOURNAL, Options, Reader, Writer};
use ringtap_notifier::store::{DATABASE, Store};
use rusqlite::Connection;
use sink::Sink;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");
const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,,
";

struct Lab {
    dir: tempfile::TempDir,
    sink: Sink,
}

impl Lab {
    fn new() -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
            sink: Sink::start(&[]),
        };
        let text = format!(
            "[journal]\npath = {:?}\n[notifier]\ndatabase = {:?}\n[numbering]\ncountry = \"86\"\narea = \"25\"\n\
             [notifier.smtp]\nurl = \"smtp://{}\"\nfrom = \"M <m@office.test>\"\n\
             [notifier.delivery]\ncoalesce_window_s = 0\nmails_per_hour_max = 1000000\n",
            lab.path("j.db"),
            lab.path("n.db"),
            lab.sink.address
        );
        fs::write(lab.path("ringtap.toml"), text).unwrap();
        fs::write(lab.path("people.csv"), PEOPLE).unwrap();
        lab.done(&["import", "people.csv"]);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(self.dir.path())
            .args(["--config", "ringtap.toml"])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let text = [stdout, stderr].concat();
        (status.code(), String::from_utf8(text).unwrap())
    }

    fn done(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    fn write(&self, numbers: std::ops::Range<u32>) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        for number in numbers {
            writer.send(record(number)).unwrap();
        }
        writer.finish().unwrap();
    }

    /// The calls of the mails that came, in that order, each with its Message-ID.
    fn mails(&self) -> Vec<(String, String)> {
        let header = |mail: &str, name: &str| {
            mail.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .to_owned()
        };
        let mails = self.sink.mails();
        mails
            .iter()
            .map(|mail| (header(mail, "X-Ringtap-Call: "), header(mail, "Message-ID: ")))
            .collect()
    }

    fn restore(&self, copy: &str, to: &str) {
        for ending in ["-wal", "-shm"] {
            let _absent = fs::remove_file(self.path(&format!("{to}{ending}")));
        }
        fs::copy(self.path(copy), self.path(to)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn record(number: u32) -> CallRecord {
    let text = format!(
        r#"{{"call":"{number:064x}","started":"2024-05-06T02:23:41Z","ended":"2024-05-06T02:24:06Z",
            "caller":{{"identity":"+86139123{number:05}","name":null,"name_source":"none","withheld":false}},
            "dialled":null,"answered_by":null,"machine":false,"talk_ms":null,"referred_by":null,
            "targets":[{{"identity":"+862583091001","outcome":"CALLER_HUNG_UP","base":null,"alerted":true,"ring_ms":20000,
            "diverted_to":null,"group":null,"started":"2024-05-06T02:23:41Z","ended":"2024-05-06T02:24:06Z"}}],
            "legs":1,"flags":[]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// Catches a backup that waits for, stops or is spoiled by programs that write meanwhile; one that others may read, that is not
/// one whole file, or whose cursor is ahead of the journal that was copied with it.
#[test]
fn beside_programs_that_write() {
    let lab = Lab::new();
    lab.write(0..100);
    let mut notifier = lab.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    let (journal, stop) = (lab.path("j.db"), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop);
    let engine = thread::spawn(move || {
        let writer = Writer::spawn(&journal, Options::default()).unwrap();
        let mut number = 100;
        while !told.load(Ordering::Relaxed) {
            writer.send(record(number)).unwrap();
            number += 1;
            thread::sleep(Duration::from_millis(1));
        }
        writer.finish().unwrap();
        number
    });
    for round in 0..5 {
        thread::sleep(Duration::from_millis(200));
        let (ours, theirs) = (format!("n-{round}.db"), format!("j-{round}.db"));
        let said = lab.done(&["backup", &ours, "--journal-copy", &theirs]);
        assert!(
            said.contains(&ours) && said.contains(&theirs) && said.contains("octets"),
            "{said}"
        );
        for (name, schema) in [(&ours, DATABASE), (&theirs, JOURNAL)] {
            assert_eq!(fs::metadata(lab.path(name)).unwrap().mode() & 0o777, 0o600);
            let examined = schema.examine(&lab.path(name)).unwrap();
            assert_eq!((examined.faults, examined.strays), (Vec::new(), Vec::new()));
        }
        let journal = Reader::open(&lab.path(&theirs)).unwrap();
        let cursor = Store::open_as_it_is(&lab.path(&ours))
            .unwrap()
            .cursor(journal.id())
            .unwrap();
        assert!(
            cursor <= journal.last().unwrap(),
            "{cursor} > {}",
            journal.last().unwrap()
        );
        assert!(round == 0 || cursor > 0);
    }
    stop.store(true, Ordering::Relaxed);
    let last = engine.join().unwrap();
    while lab.mails().len() < last as usize {
        thread::sleep(Duration::from_millis(20));
    }
    notifier.kill().unwrap();
    notifier.wait().unwrap();
    assert!(
        !lab.names().iter().any(|name| name.contains(".part")),
        "{:?}",
        lab.names()
    );
}

/// Catches a restored pair under which a call is never mailed, or is mailed again as another mail; also when more calls were
/// recorded after the restoration than were lost by it.
#[test]
fn a_restored_pair_loses_no_mail() {
    let lab = Lab::new();
    lab.write(0..20);
    lab.done(&["once"]);
    lab.write(20..30);
    lab.done(&["backup", "n-copy.db", "--journal-copy", "j-copy.db"]);
    lab.write(30..40);
    lab.done(&["once"]);
    let before: BTreeSet<_> = lab.mails().into_iter().collect();
    assert_eq!(before.len(), 40);
    lab.restore("n-copy.db", "n.db");
    lab.restore("j-copy.db", "j.db");
    lab.write(40..70);
    lab.done(&["once"]);
    let mails = lab.mails();
    // What was mailed after the backup, and is in both copies, comes once more; nothing else does.
    let again: BTreeSet<_> = mails[40..]
        .iter()
        .filter(|mail| before.contains(*mail))
        .cloned()
        .collect();
    assert_eq!(again.len(), 10);
    let all: BTreeSet<_> = mails.iter().cloned().collect();
    assert_eq!((all.len(), mails.len()), (70, 80), "each call has one Message-ID");
}

/// Catches calls that are passed over after the journal alone was brought back from an older copy and gives its numbers again,
/// and mails that come a second time for it.
#[test]
fn a_restored_journal_gives_its_numbers_again() {
    let lab = Lab::new();
    lab.write(0..20);
    lab.done(&["backup", "n-copy.db", "--journal-copy", "j-copy.db"]);
    lab.write(20..30);
    lab.done(&["once"]);
    lab.restore("j-copy.db", "j.db");
    let (code, said) = lab.run(&["doctor", "--no-network"]);
    assert!(
        code == Some(0) && said.contains("ends at record 20, but 30 were read"),
        "{said}"
    );
    // As docs/operations.md has it: the notifier first.
    let said = lab.done(&["once"]);
    assert!(said.contains("earlier copy"), "{said}");
    lab.write(30..35);
    lab.done(&["once"]);
    let mails: BTreeSet<_> = lab.mails().into_iter().collect();
    assert_eq!((mails.len(), lab.mails().len()), (35, 35));
}

/// Catches a database that is lost by being restored alone: who was mailed since the backup is mailed again, under the same name.
#[test]
fn a_restored_database_reads_the_journal_again() {
    let lab = Lab::new();
    lab.write(0..20);
    lab.done(&["once"]);
    lab.done(&["backup", "n-copy.db"]);
    lab.write(20..30);
    lab.done(&["once"]);
    lab.restore("n-copy.db", "n.db");
    lab.done(&["once"]);
    let mails: BTreeSet<_> = lab.mails().into_iter().collect();
    assert_eq!((mails.len(), lab.mails().len()), (30, 40));
}

/// Catches a backup that overwrites anything, leaves half of itself, keeps one file of a pair, or is made of a damaged database
/// as if nothing were wrong.
#[test]
fn what_a_backup_refuses() {
    let lab = Lab::new();
    lab.write(0..2000);
    lab.done(&["once"]);
    let there = lab.names().len();
    fs::write(lab.path("taken.db"), "mine").unwrap();
    for arguments in [
        &["backup", "taken.db"][..],
        &["backup", "n.db"],
        &["backup", "new.db", "--journal-copy", "taken.db"],
        &["backup", "new.db", "--journal-copy", "j.db"],
    ] {
        let (code, said) = lab.run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("overwrites nothing"), "{said}");
    }
    assert_eq!(fs::read(lab.path("taken.db")).unwrap(), b"mine");
    let (code, said) = lab.run(&["backup", "same.db", "--journal-copy", "same.db"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = lab.run(&["backup", "no-such-folder/new.db"]);
    assert!(code == Some(1) && said.contains("no-such-folder"), "{said}");
    let (code, said) = lab.run(&["backup", "new.db", "--database", "no-such.db"]);
    assert!(code == Some(1) && said.contains("no-such.db"), "{said}");
    // A page in the midst of the outbox is overwritten.
    let sql = Connection::open(lab.path("n.db")).unwrap();
    sql.execute_batch("PRAGMA wal_checkpoint(truncate)").unwrap();
    let page: u64 = sql
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox'",
            (),
            |row| row.get::<_, i64>(0),
        )
        .unwrap()
        .unsigned_abs();
    drop(sql);
    let mut bytes = fs::read(lab.path("n.db")).unwrap();
    let at = usize::try_from((page - 1) * 4096).unwrap();
    bytes[at + 100..at + 4000].fill(0xff);
    fs::write(lab.path("n.db"), bytes).unwrap();
    let (code, said) = lab.run(&["backup", "new.db"]);
    assert!(
        code == Some(1) && said.contains("n.db") && said.contains("damaged"),
        "{said}"
    );
    let (code, said) = lab.run(&["doctor", "--no-network"]);
    assert!(
        code == Some(1) && said.contains("FAIL\tnotifier database") && said.contains("restore"),
        "{said}"
    );
    let mut left = lab.names();
    left.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    assert!(
        left.len() <= there + 1
            && !left
                .iter()
                .any(|name| name.contains("new.db") || name.contains("same.db")),
        "{left:?}"
    );
}

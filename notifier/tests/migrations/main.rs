//! Files of earlier programs under this one: every schema that was ever on the main branch, of both files.
//!
//! `journal/` and `notifier/` hold what those programs made of the sample capture, as SQL. `N.sql` is schema version N; a name with
//! more to it is another schema that bore the same number for a while, or the same one filled by an earlier program.
//! A new version needs one more file there, and nothing here.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod files;
mod newer;
#[path = "../sink/mod.rs"]
#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use files::{Old, rows, version};
use ringtap_journal::schema::{Schema, outline};
use ringtap_journal::{CallRecord, JOURNAL, Options, Reader, Writer};
use ringtap_notifier::store::{DATABASE, Store};
use rusqlite::Connection;
use sink::Sink;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");

/// Runs the program; its exit status, and what it said on both outputs.
pub fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(PROGRAM)
        .arg("--config")
        .arg(folder.join("ringtap.toml"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Writes a configuration for journal `j.db`, database `n.db` and a mail server.
pub fn configure(folder: &Path, server: &str) {
    let text = format!(
        "[journal]\npath = {:?}\n[notifier]\ndatabase = {:?}\n[numbering]\ncountry = \"86\"\narea = \"25\"\n\
         [notifier.smtp]\nurl = \"smtp://{server}\"\nfrom = \"M <m@office.test>\"\n",
        folder.join("j.db"),
        folder.join("n.db")
    );
    fs::write(folder.join("ringtap.toml"), text).unwrap();
}

/// What has to hold of any file that was brought up to date.
fn is_as_if_made_now(schema: &Schema, path: &Path, old: &Old) {
    let name = &old.name;
    let sql = Connection::open(path).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let fresh = schema.open(&fresh.path().join("fresh.db")).unwrap();
    assert_eq!(outline(&sql).unwrap(), outline(&fresh).unwrap(), "{name}");
    assert_eq!(version(&sql), schema.migrations.len(), "{name}");
    let said: String = sql
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(said, "ok", "{name}");
    let orphans = sql
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .exists(())
        .unwrap();
    assert!(!orphans, "{name}");
    assert_eq!(rows(&sql, &old.columns()), old.rows(), "{name}");
}

/// Catches a version without a fixture, with which nothing here would say anything of it.
#[test]
fn every_version_has_its_file() {
    for (kind, schema) in [("journal", JOURNAL), ("notifier", DATABASE)] {
        let numbers: Vec<_> = Old::all(kind).iter().map(|old| old.name.clone()).collect();
        for number in 1..=schema.migrations.len() {
            assert!(
                numbers.contains(&format!("{kind}/{number}.sql")),
                "{kind} {number}: {numbers:?}"
            );
        }
    }
}

/// Catches a migration that fails, loses or changes rows, leaves a schema that fresh files do not have, or is done over again.
#[test]
fn every_file_is_brought_up_to_date() {
    for (kind, schema) in [("journal", JOURNAL), ("notifier", DATABASE)] {
        for old in Old::all(kind) {
            let dir = tempfile::tempdir().unwrap();
            let path = old.put(dir.path());
            drop(schema.open(&path).unwrap());
            is_as_if_made_now(&schema, &path, &old);
            let before = fs::read(&path).unwrap();
            drop(schema.open(&path).unwrap());
            assert!(before == fs::read(&path).unwrap(), "{}: written again", old.name);
        }
    }
}

/// Catches a reader that takes a file of another schema for its own, and fails later with SQLite's words or reads it wrongly.
#[test]
fn readers_ask_for_the_writer_first() {
    for old in Old::all("journal") {
        let dir = tempfile::tempdir().unwrap();
        let path = old.put(dir.path());
        let is_present = old.name == format!("journal/{}.sql", JOURNAL.migrations.len());
        match Reader::open(&path) {
            Ok(_) => assert!(is_present, "{}", old.name),
            Err(fault) => {
                let said = fault.to_string();
                assert!(!is_present, "{}: {said}", old.name);
                assert!(
                    said.contains("old.db")
                        && said.contains("version")
                        && said.contains("start the program that writes it"),
                    "{}: {said}",
                    old.name
                );
                assert!(!fault.is_not_there_yet());
            }
        }
    }
}

/// Catches records of an earlier program that cannot be read any more, cursors that move or are given again, and explanations
/// and sets that are lost.
#[test]
fn records_of_earlier_programs() {
    for old in Old::all("journal") {
        let name = &old.name;
        let dir = tempfile::tempdir().unwrap();
        let path = old.put(dir.path());
        let id: String = old
            .connection
            .query_row("SELECT id FROM journal", (), |row| row.get(0))
            .unwrap();
        Writer::spawn(&path, Options::default())
            .unwrap()
            .finish()
            .unwrap();
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.id(), id, "{name}");
        let found = reader.after(0, 100).unwrap();
        assert_eq!(
            found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
            [3, 5, 8, 11],
            "{name}"
        );
        assert_eq!(reader.last().unwrap(), 11, "{name}");
        let (_, last) = &found[3];
        assert_eq!(last.caller.identity.as_deref(), Some("+8613912345678"), "{name}");
        assert_eq!(last.targets[0].ring_ms, 24_620, "{name}");
        let stories = if old.has("explanation") { 4 } else { 0 };
        let told = found.iter().filter(|(_, record)| {
            let story = reader.story(&record.call).unwrap();
            story.is_some_and(|story| !story.rulings.is_empty())
        });
        assert_eq!(told.count(), stories, "{name}");
        assert_eq!(
            reader.sets().unwrap().len(),
            usize::from(old.has("implicit_set")),
            "{name}"
        );
        // The same capture read again adds nothing, and a new call gets a new number.
        let writer = Writer::spawn(&path, Options::default()).unwrap();
        for (_, record) in &found {
            writer.send(record.clone()).unwrap();
        }
        let new = CallRecord {
            call: "f".repeat(64),
            ..last.clone()
        };
        writer.send(new).unwrap();
        let totals = writer.finish().unwrap();
        assert_eq!((totals.written, totals.already_there), (1, 4), "{name}");
        assert_eq!(reader.after(11, 10).unwrap()[0].0, 12, "{name}");
    }
}

/// Catches subscriptions, queued mails, dead letters and memories of an earlier program that are lost or cannot be used.
#[test]
fn subscriptions_and_mails_of_earlier_programs() {
    for old in Old::all("notifier") {
        let name = &old.name;
        let dir = tempfile::tempdir().unwrap();
        fs::rename(old.put(dir.path()), dir.path().join("n.db")).unwrap();
        let sink = Sink::start(&[]);
        configure(dir.path(), &sink.address.to_string());
        let (code, people, said) = run(dir.path(), &["export"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        assert_eq!(people, include_str!("people.csv"), "{name}");
        let mails = old.mails();
        let store = Store::open(&dir.path().join("n.db")).unwrap();
        let listed: Vec<_> = store.outbox(true, 100).unwrap();
        assert_eq!(listed.len(), mails.len(), "{name}");
        for mail in &mails {
            let row = listed.iter().find(|row| row.id == mail.id).unwrap();
            assert_eq!((&row.call, &row.state), (&mail.call, &mail.state), "{name}");
            assert_eq!(
                row.last_error.is_some(),
                mail.state != "sent" && row.attempts > 0,
                "{name}: {row:?}"
            );
        }
        for state in ["pending", "sent", "dead"] {
            assert!(mails.iter().any(|mail| mail.state == state), "{name}: {state}");
        }
        drop(store);
        // What waited goes out now; nobody is told again of what the journal still holds.
        Connection::open(dir.path().join("n.db"))
            .unwrap()
            // At whatever hour this runs.
            .execute_batch("UPDATE outbox SET next_attempt_ms = 0; UPDATE user SET quiet_hours = 'off'")
            .unwrap();
        Writer::spawn(&dir.path().join("j.db"), Options::default())
            .unwrap()
            .finish()
            .unwrap();
        let (code, out, said) = run(dir.path(), &["once"]);
        assert_eq!(code, Some(0), "{name}: {out}{said}");
        let mut due: Vec<_> = mails
            .iter()
            .filter(|mail| mail.state == "pending")
            .map(|mail| mail.call.clone())
            .collect();
        let mut sent: Vec<_> = sink
            .mails()
            .iter()
            .map(|mail| {
                mail.lines()
                    .find_map(|line| line.strip_prefix("X-Ringtap-Call: "))
                    .unwrap()
                    .to_owned()
            })
            .collect();
        due.sort();
        sent.sort();
        assert_eq!(due, sent, "{name}");
    }
}

/// Catches a journal and a database of one time that, brought up together, mail again what was mailed, or pass over what was not.
#[test]
fn both_files_of_one_time() {
    for (journal, database) in [("1-autoincrement", "1-first"), ("2-unexplained", "1"), ("3", "2")] {
        let dir = tempfile::tempdir().unwrap();
        let files = [("journal", journal, "j.db"), ("notifier", database, "n.db")].map(|(kind, name, to)| {
            let old = Old::named(kind, name);
            fs::rename(old.put(dir.path()), dir.path().join(to)).unwrap();
            old
        });
        // The cursor stands at the journal's end: only what comes behind it is mailed, beside what waits.
        let cursor = files[1]
            .connection
            .query_row("SELECT seq FROM cursor", (), |row| row.get::<_, i64>(0))
            .unwrap();
        assert_eq!(cursor, 11, "{database}");
        let sink = Sink::start(&[]);
        configure(dir.path(), &sink.address.to_string());
        let writer = Writer::spawn(&dir.path().join("j.db"), Options::default()).unwrap();
        let (_, record) = Reader::open(&dir.path().join("j.db"))
            .unwrap()
            .after(8, 1)
            .unwrap()
            .remove(0);
        writer
            .send(CallRecord {
                call: "f".repeat(64),
                ..record
            })
            .unwrap();
        writer.finish().unwrap();
        let waiting = files[1]
            .mails()
            .iter()
            .filter(|mail| mail.state == "pending")
            .count();
        Connection::open(dir.path().join("n.db"))
            .unwrap()
            .execute_batch("UPDATE outbox SET next_attempt_ms = 0")
            .unwrap();
        let (code, out, said) = run(dir.path(), &["once"]);
        assert_eq!(code, Some(0), "{journal}: {out}{said}");
        let mails = sink.mails();
        let of = |call: &str| {
            mails
                .iter()
                .filter(|mail| mail.contains(&format!("X-Ringtap-Call: {call}")))
                .count()
        };
        assert_eq!((of(&"f".repeat(64)), mails.len()), (1, waiting + 1), "{journal}");
    }
}

/// Catches a migration that is half done when it fails or its process is killed.
#[test]
fn an_interrupted_migration_leaves_the_old_file() {
    for (kind, schema) in [("journal", JOURNAL), ("notifier", DATABASE)] {
        for old in Old::all(kind).into_iter().filter(|old| !old.is_of(&schema)) {
            let name = &old.name;
            let dir = tempfile::tempdir().unwrap();
            let path = old.put(dir.path());
            let was = old.outline();
            let is_old = |path: &Path| {
                let sql = Connection::open(path).unwrap();
                assert_eq!(outline(&sql).unwrap(), was, "{name}");
                assert_eq!(version(&sql), old.version(), "{name}");
                assert_eq!(rows(&sql, &old.columns()), old.rows(), "{name}");
            };
            // It fails behind the last step.
            let mut steps = schema.migrations.to_vec();
            steps.push("CREATE TABLE one_too_many (x); INSERT INTO no_such_table VALUES (1);");
            let broken = Schema {
                migrations: steps.leak(),
                ..schema
            };
            let fault = broken.open(&path).unwrap_err().to_string();
            assert!(
                fault.contains("old.db") && fault.contains("no_such_table"),
                "{fault}"
            );
            is_old(&path);
            // It is killed before the commit: what is on the disk then are the file and its log.
            let mut killed = Connection::open(&path).unwrap();
            killed
                .execute_batch(
                    "PRAGMA cache_size = 1; PRAGMA foreign_keys = off; PRAGMA wal_autocheckpoint = 0",
                )
                .unwrap();
            let transaction = killed.transaction().unwrap();
            for draft in schema.drafts {
                if transaction.query_row(draft.is, (), |row| row.get(0)).unwrap() {
                    transaction.execute_batch(draft.mend).unwrap();
                }
            }
            for migration in schema.migrations.iter().skip(old.version()) {
                transaction.execute_batch(migration).unwrap();
            }
            let after = tempfile::tempdir().unwrap();
            for ending in ["", "-wal"] {
                let file = format!("old.db{ending}");
                fs::copy(dir.path().join(&file), after.path().join(&file)).unwrap();
            }
            drop(transaction);
            let path = after.path().join("old.db");
            is_old(&path);
            drop(schema.open(&path).unwrap());
            is_as_if_made_now(&schema, &path, &old);
        }
    }
}

//! What the notifier's database forgets, and what it keeps whatever the time.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::path::PathBuf;

use ringtap_config::Config;
use ringtap_notifier::store::{Retention, Store};
use ringtap_record::Time;
use rusqlite::{Connection, params};

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 1_780_000_000_000;

struct Lab {
    dir: tempfile::TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("n.db")).unwrap();
        let lab = Self { dir, store };
        lab.sql()
            .execute_batch(
                "INSERT INTO user (id, key, name, email, locale, timezone, subscribed, policy) VALUES (1, 'u', 'U', 'u@office.test', 'en', 'Asia/Shanghai', 1, NULL)",
            )
            .unwrap();
        lab
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("n.db")
    }

    fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// A mail that has been in this state for so many days, and the memory of it.
    fn put(&self, call: &str, state: &str, days: i64) {
        let at = NOW_MS - days * DAY_MS;
        let done = (state != "pending").then_some(at);
        let sql = self.sql();
        sql.execute(
            "INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, done_ms) \
             VALUES (1, ?1, ?2, ?3, 1, ?4, ?4, ?5)",
            params![call, "x".repeat(3000), state, at, done],
        )
        .unwrap();
        sql.execute(
            "INSERT INTO notified VALUES (1, ?1, 'BUSY', ?2)",
            params![call, at],
        )
        .unwrap();
    }

    fn sweep(&mut self) {
        let retention = Retention::new(&Config::default());
        self.store
            .sweep(retention, Time::from_micros(NOW_MS * 1000))
            .unwrap();
    }

    /// Whether there are a row, its content, and the memory of a call.
    fn left(&self, call: &str) -> (bool, bool, bool) {
        let sql = self.sql();
        let is = |statement: &str| sql.prepare(statement).unwrap().exists([call]).unwrap();
        (
            is("SELECT 1 FROM outbox WHERE call = ?1"),
            is("SELECT 1 FROM outbox WHERE call = ?1 AND notice != ''"),
            is("SELECT 1 FROM notified WHERE call = ?1"),
        )
    }
}

/// Catches a mail that waits and is forgotten for its age, or whose call would be told a second time.
#[test]
fn what_waits_stays_however_old() {
    let mut lab = Lab::new();
    lab.put("year", "pending", 365);
    lab.put("sent since", "sent", 40);
    lab.sweep();
    assert_eq!(lab.left("year"), (true, true, true));
    // The mail that waits may be of a journal as old as itself: everything since is remembered with it.
    assert_eq!(lab.left("sent since"), (false, false, true));
}

/// Catches a dead letter that cannot be tried again because its content is gone, one that stays for ever, and one that was
/// dropped and is kept like one that was not.
#[test]
fn dead_letters_stay_whole_until_they_go() {
    let mut lab = Lab::new();
    for (state, days) in [("dead", 30), ("dropped", 30), ("sent", 30), ("sent", 29)] {
        lab.put(&format!("{state} {days}"), state, days);
    }
    let age = |lab: &Lab| {
        lab.sql()
            .execute_batch("UPDATE outbox SET done_ms = done_ms - 1; UPDATE notified SET at_ms = at_ms - 1")
            .unwrap();
    };
    age(&lab);
    lab.sweep();
    assert_eq!(lab.left("dead 30"), (true, true, true));
    assert_eq!(lab.left("dropped 30"), (true, false, true));
    assert_eq!(lab.left("sent 30"), (true, false, true));
    assert_eq!(lab.left("sent 29"), (true, true, true));
    // The limits of the default: 30 days for contents, 31 for all else, to the millisecond.
    lab.put("dead 31", "dead", 31);
    lab.sweep();
    assert_eq!(lab.left("dead 31"), (true, true, true));
    age(&lab);
    lab.sweep();
    assert_eq!(lab.left("dead 31"), (false, false, false));
    assert_eq!(lab.left("dead 30"), (true, true, true));
}

/// Catches a database that keeps the size of its worst day for ever.
#[test]
fn a_flood_gives_its_room_back() {
    let mut lab = Lab::new();
    let sql = lab.sql();
    sql.execute_batch(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 8000)
         INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, done_ms)
         SELECT 1, n, hex(zeroblob(1000)), 'sent', 1, {0}, {0}, {0} FROM n",
        NOW_MS - 40 * DAY_MS
    ))
    .unwrap();
    let size = |sql: &Connection| {
        sql.execute_batch("PRAGMA wal_checkpoint(truncate)").unwrap();
        fs::metadata(lab.dir.path().join("n.db")).unwrap().len()
    };
    let full = size(&sql);
    assert!(full > 16_000_000, "{full}");
    let retention = Retention::new(&Config::default());
    lab.store
        .sweep(retention, Time::from_micros(NOW_MS * 1000))
        .unwrap();
    let after = size(&sql);
    // A thousand free pages are kept for what comes.
    assert!(after < 4_500_000, "{after} of {full}");
    let said: String = sql
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(said, "ok");
}

/// Catches an audit log, or a removed person's wish for no messages, that is kept for ever, and one that is gone before its year is over.
#[test]
fn who_did_what_is_known_for_a_year() {
    let mut lab = Lab::new();
    let sql = lab.sql();
    for (n, age_ms) in [364 * DAY_MS, 365 * DAY_MS, 365 * DAY_MS + 1, 4000 * DAY_MS]
        .into_iter()
        .enumerate()
    {
        let at_ms = NOW_MS - age_ms;
        sql.execute(
            "INSERT INTO audit (at_ms, who, did, whom, detail) VALUES (?1, 'x', 'y', ?2, '')",
            params![at_ms, n.to_string()],
        )
        .unwrap();
        sql.execute(
            "INSERT INTO opted_out (email_hash, at_ms) VALUES (?1, ?2)",
            params![n.to_string(), at_ms],
        )
        .unwrap();
    }
    lab.sweep();
    for query in [
        "SELECT group_concat(whom, ' ') FROM audit",
        "SELECT group_concat(email_hash, ' ') FROM opted_out",
    ] {
        let left: String = sql.query_row(query, (), |row| row.get(0)).unwrap();
        assert_eq!(left, "0 1", "{query}");
    }
}

//! The SQLite journal of call records: one writer, many readers.
//!
//! The engine appends through [`Writer`]; the notifier, and whoever else wants to know, follows with a
//! [`Reader`] and keeps its own cursor: the `seq` of the last record it has dealt with. A record's name
//! is unique in the file, so reading the same capture twice adds nothing (semantics.md §4.5). What a
//! record means is not known here; its types are those of `ringtap-record`, named again for the reader.
//!
//! [`schema`] holds what any of our SQLite files needs, and serves the notifier's database too.
#![forbid(unsafe_code)]

mod backup;
mod error;
mod examine;
mod insert;
mod place;
mod reader;
mod row;
pub mod schema;
mod sets;
mod state;
mod story;
mod sweep;
mod wait;
mod watch;
mod work;
mod writer;

pub use backup::{BackupError, Copy};
pub use error::JournalError;
pub use examine::Examined;
pub use reader::{Found, Reader};
pub use ringtap_record::{
    CallRecord, Caller, Explanation, Flag, ImplicitSet, NameSource, Outcome, Target, Time,
};
pub use state::Totals;
pub use watch::{Durations, Latency, Moments, Watch};
pub use writer::{Options, Writer};

use schema::{Draft, Schema};

/// The journal's file format. `seq` is the readers' cursor: it only grows, and a number is never given
/// twice, not even after the retention has removed the newest rows: `seq_last` remembers it, once per batch
/// where AUTOINCREMENT would once per row. Times are microseconds since the
/// epoch in UTC; `written` alone is wall-clock time, for the retention: a replayed capture of last year
/// must not be swept away as it comes in. `implicit_set` holds, for each identity that was registered, the
/// latest word on what was registered with it.
pub const JOURNAL: Schema = Schema {
    what: "journal",
    // Its readers may be of its group.
    mode_max: 0o660,
    application_id: 0x5269_6e67,
    migrations: &[
        "
        CREATE TABLE journal (id TEXT NOT NULL, seq_last INTEGER NOT NULL);
        INSERT INTO journal (id, seq_last) VALUES (lower(hex(randomblob(16))), 0);
        CREATE TABLE call (
            seq INTEGER PRIMARY KEY,
            call TEXT NOT NULL UNIQUE,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            caller TEXT,
            caller_name TEXT,
            name_source TEXT NOT NULL,
            withheld INTEGER NOT NULL,
            dialled TEXT,
            answered_by TEXT,
            machine INTEGER NOT NULL,
            legs INTEGER NOT NULL,
            flags TEXT NOT NULL,
            written INTEGER NOT NULL
        );
        CREATE TABLE target (
            seq INTEGER NOT NULL REFERENCES call (seq) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            identity TEXT NOT NULL,
            outcome TEXT NOT NULL,
            base TEXT,
            alerted INTEGER NOT NULL,
            ring_ms INTEGER NOT NULL,
            diverted_to TEXT,
            group_number TEXT,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            PRIMARY KEY (seq, rank)
        ) WITHOUT ROWID;
    ",
        "
        ALTER TABLE call ADD COLUMN talk_ms INTEGER;
        ALTER TABLE call ADD COLUMN referred_by TEXT;
        CREATE TABLE explanation (
            seq INTEGER PRIMARY KEY REFERENCES call (seq) ON DELETE CASCADE,
            story TEXT NOT NULL
        );
    ",
        "
        CREATE TABLE implicit_set (
            aor TEXT NOT NULL,
            member TEXT NOT NULL,
            seen INTEGER NOT NULL,
            written INTEGER NOT NULL,
            PRIMARY KEY (aor, member)
        ) WITHOUT ROWID;
        CREATE INDEX implicit_set_member ON implicit_set (member);
    ",
    ],
    drafts: &[
        // `seq` was kept by AUTOINCREMENT before there was `seq_last`.
        Draft {
            is: "SELECT NOT EXISTS (SELECT 1 FROM pragma_table_info('journal') WHERE name = 'seq_last')",
            mend: "
        CREATE TABLE journal_now (id TEXT NOT NULL, seq_last INTEGER NOT NULL);
        INSERT INTO journal_now (id, seq_last)
            SELECT id, max(ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'call'), 0),
                ifnull((SELECT max(seq) FROM call), 0)) FROM journal;
        DROP TABLE journal;
        ALTER TABLE journal_now RENAME TO journal;
    ",
        },
        Draft {
            is: "SELECT (SELECT user_version FROM pragma_user_version) = 1
                AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'call' AND sql LIKE '%AUTOINCREMENT%')",
            mend: "
        CREATE TABLE call_now (
            seq INTEGER PRIMARY KEY,
            call TEXT NOT NULL UNIQUE,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            caller TEXT,
            caller_name TEXT,
            name_source TEXT NOT NULL,
            withheld INTEGER NOT NULL,
            dialled TEXT,
            answered_by TEXT,
            machine INTEGER NOT NULL,
            legs INTEGER NOT NULL,
            flags TEXT NOT NULL,
            written INTEGER NOT NULL
        );
        INSERT INTO call_now SELECT * FROM call;
        DROP TABLE call;
        ALTER TABLE call_now RENAME TO call;
    ",
        },
        // Version 2 came without explanations at first.
        Draft {
            is: "SELECT (SELECT user_version FROM pragma_user_version) >= 2
                AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'explanation')",
            mend: "
        CREATE TABLE explanation (
            seq INTEGER PRIMARY KEY REFERENCES call (seq) ON DELETE CASCADE,
            story TEXT NOT NULL
        );
    ",
        },
    ],
};

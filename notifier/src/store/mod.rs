//! The notifier's database: who is to be told of what, what was said, and what is still to be sent.
//!
//! `people` holds subscribers, accounts and aliases, `import` changes them, `audit` has who did and `forget` all about one of them; `switches` holds what they want, `holders` which identities are
//! known, `journals` how far each was worked off, `packing` how calls become messages, `outbox` what becomes of those
//! (`turns` whose turn it is, `told` what they tell, `by_hand` what the operator does), `reached` who got through after all,
//! `missed` what each person missed, `own` what the person has chosen, `opted_out` who wants nothing though removed, `sessions` who is signed in,
//! `retention` what is forgotten; `claim` lets one worker in at a time, `health` tells how it stands with all that. Every change that must not be half done is one transaction here.

mod audit;
mod by_hand;
mod claim;
#[cfg(test)]
mod cost;
mod directory;
mod forget;
mod health;
mod holders;
mod import;
mod journals;
mod missed;
mod opted_out;
mod outbox;
mod own;
mod packing;
mod people;
mod reached;
mod retention;
mod sessions;
mod switches;
mod told;
mod turns;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringtap_journal::schema::{Schema, SchemaError};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub use audit::AuditRow;
pub use by_hand::OutboxRow;
pub use claim::Claim;
pub use directory::Listing;
pub use forget::Forgotten;
pub use health::Backlog;
pub use import::{Import, Imported, Revision};
pub use journals::{Batch, Intake};
pub use missed::{MISSED_MAX, MissedCall, MissedCount};
pub use outbox::{Channel, Depth, End, Kind, LISTED_MAX, State};
pub use own::{Asked, Own, Visitor};
pub use packing::{Attempt, Rules};
pub use people::{AccountRow, OwnWord, PeopleError};
pub use reached::{Hold, Placed};
pub use retention::{Retention, Swept};
pub use sessions::{Hash, Revoked};
pub use told::{Reached, Told, ToldCall};
pub use turns::Queued;

/// The notifier's file format. `user.policy` is the place of per-user switches (JSON), `known_as` maps
/// every canonical identity, alias or number, to the one account it belongs to. A mail that is held back for
/// its caller to get through names that caller and the capture times, in microseconds, between which a call
/// that reaches the person makes it needless; `reached` has such calls, for mails queued after them, and those in which
/// the person has called `back`.
///
/// A row of `outbox` is one message on one channel. It waits for `next_attempt_ms`, then it has a `turn`; `tried_ms` is when it was first tried. Its `kind` is
/// `call`, one missed call with its notice in the row; `link`, which tells no call but how the own page is opened; or `summary` or `digest`: then `gathered` has the calls, and the row is named
/// after the first of them. The notice in the row of a summary is that of the call which it follows.
///
/// Of a `user`, `locale` and `subscribed` are the administrator's word; `own_locale` and `opted_out_ms` are the person's and stand
/// above it, through every import; `muted` names the reasons, as a JSON list, of which the person does not want to hear; links to the person's page that were sent before `links_from_ms` are void. `source` is `file`, `ldap` or `hand`: a
/// source that is read again removes nobody of another. `missed` has what the person missed, for the person to look at. `directory` has the
/// names of known callers. A `token` is kept as the hash of what was given out; `secret` has what they are signed with. `audit` says who changed what.
/// `opted_out` has, under a keyed hash, the mail addresses of people who were removed and want no messages, whoever brings them again.
pub const DATABASE: Schema = Schema {
    what: "notifier database",
    mode_max: 0o600,
    application_id: 0x5269_6e6e,
    migrations: &[
        "
        CREATE TABLE user (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            email TEXT NOT NULL,
            locale TEXT NOT NULL,
            timezone TEXT NOT NULL,
            subscribed INTEGER NOT NULL,
            policy TEXT
        );
        CREATE TABLE account (
            id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE
        );
        CREATE TABLE owner (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            label TEXT NOT NULL,
            PRIMARY KEY (user_id, account_id)
        ) WITHOUT ROWID;
        CREATE INDEX owner_account ON owner (account_id);
        CREATE TABLE alias (
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (account_id, text)
        ) WITHOUT ROWID;
        CREATE TABLE known_as (
            identity TEXT PRIMARY KEY,
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE
        ) WITHOUT ROWID;
        CREATE INDEX known_as_account ON known_as (account_id);
        CREATE TABLE cursor (
            journal TEXT PRIMARY KEY,
            path TEXT NOT NULL,
            seq INTEGER NOT NULL
        );
        CREATE TABLE notified (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            reason TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            PRIMARY KEY (user_id, call)
        ) WITHOUT ROWID;
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            next_attempt_ms INTEGER NOT NULL,
            done_ms INTEGER,
            last_error TEXT
        );
        CREATE INDEX outbox_due ON outbox (next_attempt_ms) WHERE state = 'pending';
    ",
        "
        ALTER TABLE outbox ADD COLUMN held_caller TEXT;
        ALTER TABLE outbox ADD COLUMN held_after INTEGER;
        ALTER TABLE outbox ADD COLUMN held_until INTEGER;
        CREATE INDEX outbox_held ON outbox (user_id, held_caller)
            WHERE state = 'pending' AND held_caller IS NOT NULL;
        CREATE TABLE reached (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            caller TEXT NOT NULL,
            started INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,
            PRIMARY KEY (user_id, caller, started)
        ) WITHOUT ROWID;
        CREATE INDEX reached_at ON reached (at_ms);
    ",
        "
        ALTER TABLE user ADD COLUMN quiet_hours TEXT;
        ALTER TABLE user ADD COLUMN channels TEXT;
        ALTER TABLE reached ADD COLUMN back INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'mail';
        ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'call';
        ALTER TABLE outbox ADD COLUMN caller TEXT;
        ALTER TABLE outbox ADD COLUMN ended INTEGER;
        ALTER TABLE outbox ADD COLUMN turn INTEGER;
        ALTER TABLE outbox ADD COLUMN tried_ms INTEGER;
        DROP INDEX outbox_due;
        CREATE INDEX outbox_waiting ON outbox (next_attempt_ms) WHERE state = 'pending' AND turn IS NULL;
        CREATE INDEX outbox_turn ON outbox (channel, turn, id) WHERE state = 'pending' AND turn IS NOT NULL;
        CREATE INDEX outbox_user_turn ON outbox (user_id, channel, turn) WHERE state = 'pending' AND turn IS NOT NULL;
        CREATE INDEX outbox_open ON outbox (created_ms) WHERE state = 'pending';
        CREATE INDEX outbox_bundle ON outbox (user_id, channel) WHERE state = 'pending' AND kind != 'call';
        CREATE INDEX outbox_recent ON outbox (user_id, channel, created_ms);
        CREATE INDEX outbox_of_caller ON outbox (user_id, caller, ended) WHERE kind = 'call' AND caller IS NOT NULL;
        CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
        CREATE INDEX outbox_done ON outbox (done_ms) WHERE state != 'pending';
        CREATE TABLE gathered (
            outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            caller TEXT,
            held_caller TEXT,
            held_after INTEGER,
            held_until INTEGER,
            PRIMARY KEY (outbox_id, call)
        ) WITHOUT ROWID;
        CREATE INDEX gathered_held ON gathered (held_caller) WHERE held_caller IS NOT NULL;
    ",
        "
        ALTER TABLE user ADD COLUMN source TEXT NOT NULL DEFAULT 'file';
        ALTER TABLE user ADD COLUMN own_locale TEXT;
        ALTER TABLE user ADD COLUMN muted TEXT;
        ALTER TABLE user ADD COLUMN opted_out_ms INTEGER;
        ALTER TABLE user ADD COLUMN links_from_ms INTEGER;
        CREATE TABLE missed (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            started INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,
            done_ms INTEGER,
            UNIQUE (user_id, call)
        );
        CREATE INDEX missed_of_user ON missed (user_id, started, id, done_ms);
        CREATE INDEX missed_at ON missed (at_ms);
        CREATE TABLE directory (
            identity TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            department TEXT NOT NULL,
            label TEXT NOT NULL,
            source TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE secret (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE token (
            hash BLOB PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            purpose TEXT NOT NULL,
            made_ms INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX token_of_user ON token (user_id);
        CREATE INDEX token_expires ON token (expires_ms);
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ms INTEGER NOT NULL,
            who TEXT NOT NULL,
            did TEXT NOT NULL,
            whom TEXT NOT NULL,
            detail TEXT NOT NULL
        );
        CREATE INDEX audit_at ON audit (at_ms);
        CREATE TABLE opted_out (
            email_hash BLOB PRIMARY KEY,
            at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
    ",
    ],
    drafts: &[],
};

/// What an import changes or goes by, in an order in which rows refer to such as are there.
const PEOPLE_TABLES: [&str; 8] = [
    "secret",
    "opted_out",
    "user",
    "account",
    "owner",
    "alias",
    "known_as",
    "directory",
];

/// A fault of the database, with its file's name.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no database, and this is not for making one.
    #[error("notifier database {}: no such file; `ringtap-notifier import FILE.csv` makes it, or name another by --database or notifier.database", .0.display())]
    Absent(PathBuf),
    /// The file cannot serve: missing, foreign, newer, or not to be opened.
    #[error(transparent)]
    File(#[from] SchemaError),
    /// Another process works off this database.
    #[error(
        "notifier database {path}: another ringtap-notifier (`run` or `once`) is sending its mails; \
         stop that one first, or name another database",
        path = path.display()
    )]
    Claimed {
        /// The database.
        path: PathBuf,
    },
    /// The lock file beside the database cannot be used.
    #[error("lock file {path}: {source}; this user must be able to create and write it", path = path.display())]
    Claim {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("notifier database {path}: {doing}: {source}", path = path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Whether another program was writing for longer than this one waited: later it may work.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let Self::Sqlite { source, .. } = self else {
            return false;
        };
        matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    clocks: turns::Clocks,
    called: turns::CalledUp,
}

impl Store {
    /// Opens the database at `path`, creating it (mode 0600) or bringing it up to date as needed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = DATABASE.open(path)?;
        connection.set_prepared_statement_cache_capacity(64);
        let clocks = turns::Clocks::read(&connection).map_err(|source| StoreError::Sqlite {
            path: path.to_owned(),
            doing: "read the outbox",
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            clocks,
            called: turns::CalledUp::default(),
        })
    }

    /// As [`Store::open`], but makes no database: what is asked of one that is not there is asked of a wrong path.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            Self::open(path)
        } else {
            Err(StoreError::Absent(path.to_owned()))
        }
    }

    /// From now on changes wait for other programs' for so long, before they fail.
    pub fn wait_for_others(&mut self, wait: Duration) -> Result<(), StoreError> {
        let waits = self.connection.busy_timeout(wait);
        waits.map_err(self.fault("set how long changes wait"))
    }

    /// A copy in memory of who is subscribed, as of one moment, and of nothing else.
    fn rehearsal(&self) -> Result<Self, StoreError> {
        let copy = || -> rusqlite::Result<Connection> {
            let copy = Connection::open_in_memory()?;
            for migration in DATABASE.migrations {
                copy.execute_batch(migration)?;
            }
            let from = self.path.to_string_lossy();
            copy.execute("ATTACH ?1 AS original", [from])?;
            let mut all = "BEGIN;".to_owned();
            for table in PEOPLE_TABLES {
                all.push_str(&format!(
                    "INSERT INTO main.{table} SELECT * FROM original.{table};"
                ));
            }
            copy.execute_batch(&format!("{all}COMMIT; DETACH original; PRAGMA foreign_keys = on"))?;
            Ok(copy)
        };
        Ok(Self {
            path: self.path.clone(),
            connection: copy().map_err(self.fault("copy the people"))?,
            clocks: self.clocks,
            called: turns::CalledUp::default(),
        })
    }

    /// Runs `work` in one transaction which is committed only if it succeeds.
    fn atomically<T, E: From<StoreError>>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.path.clone();
        let fault = |source| StoreError::Sqlite {
            path: path.clone(),
            doing,
            source,
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(fault)?;
        Ok(done)
    }

    fn fault(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::Sqlite {
            path: path.clone(),
            doing,
            source,
        }
    }
}

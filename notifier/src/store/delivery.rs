//! Cursors, what was told, and the outbox.

use std::fmt;

use ringtap_record::Time;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::reached::{Hold, Placed, why};
use super::{Store, StoreError};
use crate::notice::Notice;

/// Which records a transaction of intake covers.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The journal's own name.
    pub journal: &'a str,
    /// Where it lies, for people to read.
    pub path: &'a str,
    /// Cursor of the last record of the batch.
    pub seq: u64,
}

/// What may be done within a transaction of intake.
#[derive(Debug)]
pub struct Intake<'a> {
    pub(super) sql: &'a Connection,
    store_path: &'a std::path::Path,
}

/// Where a queued mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be sent, for the first time or again.
    Pending,
    /// The server took it.
    Sent,
    /// Given up: refused for good, or tried too long.
    Dead,
    /// Not wanted any more: the person has unsubscribed or is gone, or the caller got through.
    Dropped,
}

/// A queued mail whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Row number.
    pub id: i64,
    /// Whom it is for.
    pub user_id: i64,
    /// What it tells.
    pub notice: Notice,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was queued.
    pub created: Time,
}

/// A pending mail that cannot be sent because its row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Row number.
    pub id: i64,
    /// What is wrong with it.
    pub why: String,
}

/// A row of the outbox, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row number.
    pub id: i64,
    /// The person's key.
    pub user: String,
    /// The call.
    pub call: String,
    /// `pending`, `sent`, `dead` or `dropped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt: Time,
    /// What the server said last, or why the mail was dropped.
    pub last_error: Option<String>,
}

/// How much lies in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Mails still to be sent, those held back not counted.
    pub pending: u64,
    /// Mails not tried yet because their caller may still get through.
    pub held: u64,
    /// Mails given up.
    pub dead: u64,
}

impl State {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Store {
    /// How far the journal of this name has been worked off; 0 if not at all.
    pub fn cursor(&self, journal: &str) -> Result<u64, StoreError> {
        self.connection
            .prepare_cached("SELECT seq FROM cursor WHERE journal = ?1")
            .and_then(|mut select| select.query_row([journal], |row| row.get::<_, i64>(0)).optional())
            .map(|seq| seq.unwrap_or(0).unsigned_abs())
            .map_err(self.fault("read the journal's cursor"))
    }

    /// Runs `work` and moves the journal's cursor, both or neither.
    pub fn intake<T>(
        &mut self,
        batch: Batch<'_>,
        work: impl FnOnce(&Intake<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = self.fault("move the journal's cursor");
        let store_path = self.path.clone();
        self.atomically("take records in", |sql| {
            let done = work(&Intake {
                sql,
                store_path: &store_path,
            })?;
            sql.prepare_cached(
                "INSERT INTO cursor (journal, path, seq) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (journal) DO UPDATE SET path = ?2, seq = ?3",
            )
            .and_then(|mut upsert| {
                upsert.execute(params![
                    batch.journal,
                    batch.path,
                    i64::try_from(batch.seq).unwrap_or(i64::MAX)
                ])
            })
            .map_err(&fault)?;
            Ok(done)
        })
    }

    /// Pending mails whose time has come, the longest waiting first. One that cannot be read says so in its
    /// place and keeps none of the others back.
    pub fn due(&self, now: Time, limit: u32) -> Result<Vec<Result<Queued, Unreadable>>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Result<Queued, Unreadable>>> {
            let mut select = self.connection.prepare_cached(
                "SELECT id, user_id, notice, attempts, created_ms FROM outbox \
                 WHERE state = 'pending' AND next_attempt_ms <= ?1 ORDER BY next_attempt_ms, id LIMIT ?2",
            )?;
            let rows = select.query_map(params![millis(now), limit], |row| {
                let id = row.get(0)?;
                Ok(read_queued(row).map_err(|fault| Unreadable {
                    id,
                    why: format!("the queued notice cannot be read: {fault}"),
                }))
            })?;
            rows.collect()
        };
        read().map_err(self.fault("read the outbox"))
    }

    /// The server took the mail, or it ended otherwise; its own commit.
    pub fn close(&mut self, id: i64, state: State, error: Option<&str>, now: Time) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE outbox SET state = ?2, last_error = ?3, done_ms = ?4, attempts = attempts + ?5 \
                 WHERE id = ?1",
            )
            .and_then(|mut update| {
                let tried = state != State::Dropped;
                update.execute(params![id, state.as_str(), error, millis(now), tried])
            })
            .map(drop)
            .map_err(self.fault("mark a mail as done"))
    }

    /// The mail could not be sent now and is to be tried again at `next`.
    pub fn put_off(&mut self, id: i64, error: &str, next: Time) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE outbox SET attempts = attempts + 1, last_error = ?2, next_attempt_ms = ?3 WHERE id = ?1",
            )
            .and_then(|mut update| update.execute(params![id, error, millis(next)]))
            .map(drop)
            .map_err(self.fault("put a mail off"))
    }

    /// How much lies in the outbox.
    pub fn depth(&self) -> Result<Depth, StoreError> {
        let count = |state: State, held: bool| {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM outbox \
                     WHERE state = ?1 AND (held_caller IS NOT NULL AND attempts = 0) = ?2",
                )
                .and_then(|mut count| {
                    count.query_row(params![state.as_str(), held], |row| row.get::<_, i64>(0))
                })
                .map(i64::unsigned_abs)
                .map_err(self.fault("count the outbox"))
        };
        Ok(Depth {
            pending: count(State::Pending, false)?,
            held: count(State::Pending, true)?,
            dead: count(State::Dead, false)?,
        })
    }

    /// The outbox, newest first; sent mails only if `all`.
    pub fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<OutboxRow>> {
            let mut select = self.connection.prepare(
                "SELECT outbox.id, user.key, call, state, attempts, next_attempt_ms, last_error \
                 FROM outbox JOIN user ON user.id = user_id \
                 WHERE ?1 OR state IN ('pending', 'dead') ORDER BY outbox.id DESC LIMIT ?2",
            )?;
            let rows = select.query_map(params![all, limit], |row| {
                Ok(OutboxRow {
                    id: row.get(0)?,
                    user: row.get(1)?,
                    call: row.get(2)?,
                    state: row.get(3)?,
                    attempts: row.get(4)?,
                    next_attempt: from_millis(row.get(5)?),
                    last_error: row.get(6)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(self.fault("read the outbox"))
    }
}

impl Intake<'_> {
    /// The subscribed owners of `identity`, each with the account it is.
    pub fn owners_of(&self, identity: &str) -> Result<Vec<(i64, String)>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(i64, String)>> {
            let mut select = self.sql.prepare_cached(
                "SELECT user.id, account.identity FROM known_as \
                 JOIN account ON account.id = known_as.account_id \
                 JOIN owner ON owner.account_id = account.id \
                 JOIN user ON user.id = owner.user_id \
                 WHERE known_as.identity = ?1 AND user.subscribed ORDER BY user.id",
            )?;
            select
                .query_map([identity], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().map_err(|source| self.fault("look up an account", source))
    }

    /// The account that `identity` is known as, whether its owners are subscribed or not.
    pub fn account_of(&self, identity: &str) -> Result<Option<String>, StoreError> {
        super::holders::account_of(self.sql, identity)
            .map_err(|source| self.fault("look up an account", source))
    }

    /// Queues a mail, unless this person was told of this call before, or the caller has got through since.
    /// With `hold` it waits for that a while.
    pub fn queue(
        &self,
        user: i64,
        notice: &Notice,
        hold: Option<&Hold>,
        now: Time,
    ) -> Result<Placed, StoreError> {
        let put = || -> rusqlite::Result<Placed> {
            let told = self
                .sql
                .prepare_cached(
                    "INSERT INTO notified (user_id, call, reason, at_ms) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (user_id, call) DO NOTHING",
                )?
                .execute(params![user, notice.call, notice.reason.as_str(), millis(now)])?;
            if told == 0 {
                return Ok(Placed::Repeated);
            }
            let json = serde_json::to_string(notice)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let reached = hold
                .map(|hold| self.reached_within(user, hold))
                .transpose()?
                .flatten();
            let (state, placed) = match reached {
                Some(_) => (State::Dropped, Placed::Suppressed),
                None => (State::Pending, Placed::Queued),
            };
            self.sql
                .prepare_cached(
                    "INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, \
                     held_caller, held_after, held_until, last_error, done_ms) \
                     VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    user,
                    notice.call,
                    json,
                    state.as_str(),
                    millis(now),
                    millis(hold.map_or(now, |hold| hold.due)),
                    hold.map(|hold| hold.caller.as_str()),
                    hold.map(|hold| hold.after.as_micros()),
                    hold.map(|hold| hold.until.as_micros()),
                    reached.map(why),
                    reached.map(|_| millis(now)),
                ])?;
            Ok(placed)
        };
        put().map_err(|source| self.fault("queue a mail", source))
    }

    pub(super) fn fault(&self, doing: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite {
            path: self.store_path.to_owned(),
            doing,
            source,
        }
    }
}

fn read_queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let json: String = row.get(2)?;
    let notice = serde_json::from_str(&json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(Queued {
        id: row.get(0)?,
        user_id: row.get(1)?,
        notice,
        attempts: row.get(3)?,
        created: from_millis(row.get(4)?),
    })
}

pub(super) fn millis(at: Time) -> i64 {
    at.as_micros().div_euclid(1000)
}

fn from_millis(ms: i64) -> Time {
    Time::from_micros(ms.saturating_mul(1000))
}

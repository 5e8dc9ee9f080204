//! The outbox as the operator sees it, and what he does with messages by hand.

use ringtap_record::Time;
use rusqlite::{OptionalExtension as _, Row, params};

use super::audit::Hand;
use super::outbox::{from_millis, millis};
use super::told::read_notice;
use super::{Store, StoreError};
use crate::notice::Notice;

/// A row of the outbox, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row number.
    pub id: i64,
    /// The person's key.
    pub user: String,
    /// `mail` or `webhook`.
    pub channel: String,
    /// `call`, `summary`, `digest` or `link`.
    pub kind: String,
    /// The call, or the first of several.
    pub call: String,
    /// `pending`, `sent`, `dead` or `dropped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was queued.
    pub created: Time,
    /// When it is tried next.
    pub next_attempt: Time,
    /// When it was done with.
    pub done: Option<Time>,
    /// What the server said last, or why the message was dropped.
    pub last_error: Option<String>,
}

impl Store {
    /// The outbox, newest first; sent and dropped messages only if `all`.
    pub fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<OutboxRow>> {
            let mut select = self.connection.prepare(&format!(
                "SELECT {ROW} FROM outbox JOIN user ON user.id = user_id \
                 WHERE ?1 OR state IN ('pending', 'dead') ORDER BY outbox.id DESC LIMIT ?2"
            ))?;
            let rows = select.query_map(params![all, limit], read_row)?;
            rows.collect()
        };
        read().map_err(self.fault("read the outbox"))
    }

    /// One row, and what it tells as far as that is kept.
    pub fn outbox_row(&self, id: i64) -> Result<Option<(OutboxRow, Vec<Notice>)>, StoreError> {
        let read = || -> rusqlite::Result<Option<(OutboxRow, Vec<Notice>)>> {
            let row = self
                .connection
                .prepare(&format!(
                    "SELECT {ROW} FROM outbox JOIN user ON user.id = user_id WHERE outbox.id = ?1"
                ))?
                .query_row([id], read_row)
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            let notices = self
                .connection
                .prepare(
                    "SELECT CAST(notice AS TEXT) FROM outbox WHERE id = ?1 AND notice != '' AND kind = 'call' \
                     UNION ALL SELECT CAST(notice AS TEXT) FROM gathered WHERE outbox_id = ?1 AND notice != ''",
                )?
                .query_map([id], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let notices = notices.iter().filter_map(|notice| read_notice(notice).ok());
            Ok(Some((row, notices.collect())))
        };
        read().map_err(self.fault("read the outbox"))
    }

    /// The rows of all dead letters.
    pub fn dead(&self) -> Result<Vec<i64>, StoreError> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            self.connection
                .prepare("SELECT id FROM outbox WHERE state = 'dead' ORDER BY id")?
                .query_map((), |row| row.get(0))?
                .collect()
        };
        read().map_err(self.fault("read the outbox"))
    }

    /// Tries a message again now, as if it had just been queued; false if it is not there, was sent or dropped, or if what it tells
    /// is forgotten.
    pub fn retry(&mut self, id: i64, now: Time) -> Result<bool, StoreError> {
        self.by_hand(
            "outbox retry",
            // Nothing is gathered into what may have been sent once.
            "UPDATE outbox SET state = 'pending', attempts = iif(kind = 'call', 0, -1), turn = NULL, next_attempt_ms = ?2, \
             created_ms = ?2, tried_ms = NULL, done_ms = NULL, held_caller = NULL \
             WHERE id = ?1 AND state IN ('pending', 'dead') AND ((kind = 'call' AND notice != '') OR kind = 'link' \
             OR EXISTS (SELECT 1 FROM gathered WHERE outbox_id = ?1))",
            id,
            now,
        )
    }

    /// Never sends a message; false if it is not there, was sent or dropped.
    pub fn drop_message(&mut self, id: i64, now: Time) -> Result<bool, StoreError> {
        self.by_hand(
            "outbox drop",
            "UPDATE outbox SET state = 'dropped', last_error = 'dropped by the operator', done_ms = ?2 \
             WHERE id = ?1 AND state IN ('pending', 'dead')",
            id,
            now,
        )
    }

    /// Does something to one message, and writes down that somebody did.
    fn by_hand(
        &mut self,
        did: &'static str,
        statement: &str,
        id: i64,
        now: Time,
    ) -> Result<bool, StoreError> {
        let fault = self.fault(did);
        self.atomically(did, |sql| {
            let act = || -> rusqlite::Result<bool> {
                if sql.execute(statement, params![id, millis(now)])? == 0 {
                    return Ok(false);
                }
                let whom: String = sql.query_row(
                    "SELECT key FROM user JOIN outbox ON user.id = user_id WHERE outbox.id = ?1",
                    [id],
                    |row| row.get(0),
                )?;
                Hand::new(sql, did).note(&whom, &format!("message {id}"))?;
                Ok(true)
            };
            act().map_err(&fault)
        })
    }
}

const ROW: &str = "outbox.id, user.key, channel, kind, call, state, max(attempts, 0), created_ms, next_attempt_ms, \
                   done_ms, last_error";

fn read_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.get(0)?,
        user: row.get(1)?,
        channel: row.get(2)?,
        kind: row.get(3)?,
        call: row.get(4)?,
        state: row.get(5)?,
        attempts: row.get(6)?,
        created: from_millis(row.get(7)?),
        next_attempt: from_millis(row.get(8)?),
        done: row.get::<_, Option<i64>>(9)?.map(from_millis),
        last_error: row.get(10)?,
    })
}

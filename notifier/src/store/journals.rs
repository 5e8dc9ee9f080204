//! Journals: how far each was worked off, and what is done in the transaction that moves on.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::turns::{CalledUp, Clocks};
use super::{Store, StoreError};

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
    pub(super) clocks: Clocks,
    pub(super) called: &'a CalledUp,
    store_path: &'a std::path::Path,
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
        let (store_path, clocks) = (self.path.clone(), self.clocks);
        let called = CalledUp::default();
        let done = self.atomically("take records in", |sql| -> Result<T, StoreError> {
            let done = work(&Intake {
                sql,
                clocks,
                called: &called,
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
        })?;
        self.called.add(&called);
        Ok(done)
    }
}

impl Intake<'_> {
    /// The owners of `identity` who are subscribed and have not opted out, each with the account it is.
    pub fn owners_of(&self, identity: &str) -> Result<Vec<(i64, String)>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(i64, String)>> {
            let mut select = self.sql.prepare_cached(
                "SELECT user.id, account.identity FROM known_as \
                 JOIN account ON account.id = known_as.account_id \
                 JOIN owner ON owner.account_id = account.id \
                 JOIN user ON user.id = owner.user_id \
                 WHERE known_as.identity = ?1 AND user.subscribed AND user.opted_out_ms IS NULL ORDER BY user.id",
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

    pub(super) fn fault(&self, doing: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite {
            path: self.store_path.to_owned(),
            doing,
            source,
        }
    }
}

//! Who is signed in, and what links are signed with. Of what was given out only hashes are kept.

use std::fmt;

use ringtap_record::Time;
use rusqlite::{OptionalExtension as _, params};

use super::audit::Hand;
use super::outbox::millis;
use super::{Store, StoreError};

/// The only purpose of a token at present.
const SESSION: &str = "session";

/// A SHA-256.
pub type Hash = [u8; 32];

/// What was made void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// People whose links open the page no more.
    pub people: usize,
    /// Sessions that were open.
    pub sessions: usize,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, sessions } = self;
        write!(f, "links of {people} people are void, {sessions} sessions ended")
    }
}

impl Store {
    /// The secret of this name, which is `fresh` from now on if there is none yet.
    pub fn secret(&mut self, name: &str, fresh: Hash) -> Result<Vec<u8>, StoreError> {
        let fault = self.fault("read a secret");
        self.atomically("read a secret", |sql| {
            sql.execute(
                "INSERT INTO secret (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![name, fresh],
            )
            .and_then(|_| {
                sql.query_row("SELECT value FROM secret WHERE name = ?1", [name], |row| {
                    row.get(0)
                })
            })
            .map_err(&fault)
        })
    }

    /// Somebody has signed in as the person with this row number.
    pub fn open_session(&mut self, hash: &Hash, user: i64, now: Time, until: Time) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT INTO token (hash, user_id, purpose, made_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![hash, user, SESSION, millis(now), millis(until)],
            )
            .map(drop)
            .map_err(self.fault("open a session"))
    }

    /// Whose session that is, if it is one at `now`.
    pub fn session(&self, hash: &Hash, now: Time) -> Result<Option<i64>, StoreError> {
        self.connection
            .prepare_cached(
                "SELECT user_id FROM token WHERE hash = ?1 AND purpose = ?2 AND made_ms <= ?3 AND expires_ms > ?3",
            )
            .and_then(|mut select| {
                select
                    .query_row(params![hash, SESSION, millis(now)], |row| row.get(0))
                    .optional()
            })
            .map_err(self.fault("read a session"))
    }

    /// Signs out.
    pub fn end_session(&mut self, hash: &Hash) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM token WHERE hash = ?1", params![hash])
            .map(drop)
            .map_err(self.fault("end a session"))
    }

    /// Signs the person out everywhere, but for the session of this hash.
    pub fn end_sessions(&mut self, user: i64, but: Option<&Hash>) -> Result<(), StoreError> {
        self.connection
            .execute(
                "DELETE FROM token WHERE user_id = ?1 AND hash IS NOT ?2",
                params![user, but],
            )
            .map(drop)
            .map_err(self.fault("end sessions"))
    }

    /// Signs out the person with this key, or everybody, by the operator's word: as [`void_links`](Self::void_links). Nobody may be of that key.
    pub fn revoke_links(&mut self, user: Option<&str>, now: Time) -> Result<Revoked, StoreError> {
        let fault = self.fault("void links");
        self.atomically("void links", |sql| {
            let revoke = || -> rusqlite::Result<Revoked> {
                let sessions = sql.execute(
                    "DELETE FROM token WHERE ?1 IS NULL OR user_id = (SELECT id FROM user WHERE key = ?1)",
                    [user],
                )?;
                let people = sql.execute(
                    "UPDATE user SET links_from_ms = ?2 WHERE ?1 IS NULL OR key = ?1",
                    params![user, millis(now)],
                )?;
                let revoked = Revoked { people, sessions };
                if user.is_none() || people > 0 {
                    Hand::new(sql, "page revoke").note(user.unwrap_or_default(), &revoked.to_string())?;
                }
                Ok(revoked)
            };
            revoke().map_err(&fault)
        })
    }

    /// As [`end_sessions`](Self::end_sessions), and links that were sent up to `now` open the page no more.
    pub fn void_links(&mut self, user: i64, now: Time) -> Result<(), StoreError> {
        let fault = self.fault("void a person's links");
        self.atomically("void a person's links", |sql| {
            sql.execute("DELETE FROM token WHERE user_id = ?1", [user])
                .and_then(|_| {
                    sql.execute(
                        "UPDATE user SET links_from_ms = ?2 WHERE id = ?1",
                        params![user, millis(now)],
                    )
                })
                .map(drop)
                .map_err(&fault)
        })
    }
}

//! Mails that are held back, and dropped if their caller gets through (`suppress_if_reached_within_s`,
//! semantics.md §2.7).
//!
//! Capture time decides, and either call may come out of the journal first: one that is still ringing while
//! its caller gets through on another line is recorded later than the answer. So a mail looks back when it
//! is queued, and an answer looks for mails that are held.

use std::collections::HashSet;

use ringtap_record::Time;
use rusqlite::{OptionalExtension as _, params};

use super::outbox::{State, millis};
use super::{Intake, StoreError};

/// What may make a mail needless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The caller; never a withheld one, who cannot be told from others.
    pub caller: String,
    /// When the missed call began: only a later one counts.
    pub after: Time,
    /// The last moment at which that later one may begin.
    pub until: Time,
    /// When the mail goes out if there was none.
    pub due: Time,
}

/// What became of a mail that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It waits to be sent.
    Queued,
    /// It is gathered with others.
    Gathered,
    /// The caller has got through already: it is in the outbox, dropped.
    Suppressed,
    /// The person was told of this call before.
    Repeated,
    /// The person does not want to hear of such calls.
    Muted,
}

impl Placed {
    /// What became of it on one more channel: a message of its own on any of them matters most.
    #[must_use]
    pub(super) const fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gathered, Self::Queued) => Self::Queued,
            _ => self,
        }
    }
}

impl Intake<'_> {
    /// The account that `identity` is, or the identity itself if it is nobody's here: two calls are of one
    /// caller if they agree in this.
    pub fn one_name(&self, identity: &str) -> Result<String, StoreError> {
        Ok(self.account_of(identity)?.unwrap_or_else(|| identity.to_owned()))
    }

    /// `caller` and the person talked in a call that began at `started`, in which the person called `back` or not. Gives of how
    /// many missed calls that makes it needless to tell.
    pub fn reached(
        &self,
        user: i64,
        caller: &str,
        started: Time,
        back: bool,
        now: Time,
    ) -> Result<usize, StoreError> {
        let put = || -> rusqlite::Result<usize> {
            let at = started.as_micros();
            self.sql
                .prepare_cached(
                    "INSERT INTO reached (user_id, caller, started, at_ms, back) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![user, caller, at, millis(now), back])?;
            if back {
                return Ok(0);
            }
            // On two channels it is one call all the same.
            let mut calls = HashSet::new();
            let mut dropped = |rows: rusqlite::Rows<'_>| -> rusqlite::Result<()> {
                rows.mapped(|row| row.get::<_, String>(0)).try_for_each(|call| {
                    calls.insert(call?);
                    Ok(())
                })
            };
            let mut gathered = self.sql.prepare_cached(
                "DELETE FROM gathered WHERE held_caller = ?2 AND held_after < ?3 AND held_until >= ?3 \
                     AND outbox_id IN (SELECT id FROM outbox INDEXED BY outbox_bundle WHERE user_id = ?1 AND state = 'pending' \
                     AND kind != 'call' AND turn IS NULL AND attempts = 0) RETURNING call",
            )?;
            dropped(gathered.query(params![user, caller, at])?)?;
            let mut held = self.sql.prepare_cached(
                "UPDATE outbox SET state = ?4, last_error = ?5, done_ms = ?6 \
                     WHERE user_id = ?1 AND held_caller = ?2 AND state = 'pending' \
                     AND held_after < ?3 AND held_until >= ?3 RETURNING call",
            )?;
            dropped(held.query(params![
                user,
                caller,
                at,
                State::Dropped.as_str(),
                why(started),
                millis(now)
            ])?)?;
            Ok(calls.len())
        };
        put().map_err(|source| self.fault("drop mails of a caller who got through", source))
    }

    /// When the caller has got through, if that makes a mail held by `hold` needless.
    pub(super) fn reached_within(&self, user: i64, hold: &Hold) -> rusqlite::Result<Option<Time>> {
        self.sql
            .prepare_cached(
                "SELECT started FROM reached WHERE user_id = ?1 AND caller = ?2 AND started > ?3 \
                 AND started <= ?4 AND NOT back LIMIT 1",
            )?
            .query_row(
                params![user, hold.caller, hold.after.as_micros(), hold.until.as_micros()],
                |row| row.get(0).map(Time::from_micros),
            )
            .optional()
    }
}

/// What the outbox says of a dropped mail.
pub(super) fn why(reached: Time) -> String {
    format!("the same caller reached this person in a call that began at {reached}")
}

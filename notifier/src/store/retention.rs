//! What the database forgets, and when.

use ringtap_config::Config;
use ringtap_journal::schema::give_back;
use ringtap_record::Time;
use rusqlite::params;

use super::outbox::millis;
use super::{Store, StoreError};

/// A day.
const DAY_MS: i64 = 86_400_000;
/// Rows per statement, so that no sweep holds the lock for long.
pub(super) const ROWS: u32 = 2000;
/// How long it is known who got through: longer than any mail is held back (`suppress_if_reached_within_s`).
const REACHED_MS: i64 = 2 * DAY_MS;
/// How long it is known who changed what: whoever asks does so within a year, whatever becomes of the calls.
const AUDIT_MS: i64 = 365 * DAY_MS;

/// How long is remembered what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The content of a mail that was sent or dropped, and what a person missed, for the person to look at.
    pub content_ms: i64,
    /// That a person was told of a call, and that there was a mail; and a dead letter whole, for the operator to look at and
    /// to try again. Longer than the journal keeps a call, so
    /// that a journal which is read again tells nobody twice.
    pub told_ms: i64,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Mails of which only the row is left.
    pub contents: usize,
    /// Calls that were told together with others.
    pub gathered: usize,
    /// Rows of the outbox, dead letters not counted.
    pub mails: usize,
    /// Dead letters.
    pub dead: usize,
    /// Calls of which people were told.
    pub told: usize,
    /// Calls in which people were reached.
    pub reached: usize,
    /// Lines of the audit log.
    pub audit: usize,
    /// Removed people's wishes for no messages.
    pub opted_out: usize,
    /// Calls that people could look at.
    pub missed: usize,
    /// Sessions that had ended.
    pub sessions: usize,
}

impl Retention {
    /// As configured: content lives as long as the journal's records. The fact of having told lives for `T_once`
    /// (semantics.md §4.5), but never shorter than the records and a day, as the journal is swept by the hour and
    /// only while it is written to.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let content_ms = i64::from(config.journal.retention_days).saturating_mul(DAY_MS);
        let once_ms = i64::try_from(config.timers.once_ms).unwrap_or(i64::MAX);
        Self {
            content_ms,
            told_ms: once_ms.max(content_ms.saturating_add(DAY_MS)),
        }
    }
}

impl Store {
    /// Forgets what is older at `now` than `retention` allows, and gives unused pages back. Mails that are still to be sent
    /// stay, however old, and so does the memory of every call as old as the oldest of them. Dead letters count as to be
    /// sent until they are forgotten themselves: the operator may try them again.
    pub fn sweep(&mut self, retention: Retention, now: Time) -> Result<Swept, StoreError> {
        let content_before = millis(now).saturating_sub(retention.content_ms);
        let told_before = millis(now).saturating_sub(retention.told_ms);
        let dead = self.sweep_all(
            "DELETE FROM outbox WHERE id IN \
             (SELECT id FROM outbox WHERE state = 'dead' AND done_ms < ?1 LIMIT ?2)",
            told_before,
        )?;
        if dead > 0 {
            tracing::warn!(
                dead,
                "mails that were given up long ago, and neither tried again nor dropped, are forgotten"
            );
        }
        let swept = Swept {
            dead,
            told: self.sweep_all(
                "DELETE FROM notified WHERE (user_id, call) IN (SELECT user_id, call FROM notified \
                 WHERE at_ms < min(?1, ifnull((SELECT min(created_ms) FROM outbox WHERE state = 'pending'), ?1), \
                 ifnull((SELECT min(created_ms) FROM outbox WHERE state = 'dead'), ?1)) \
                 LIMIT ?2)",
                told_before,
            )?,
            mails: self.sweep_all(
                "DELETE FROM outbox WHERE id IN \
                 (SELECT id FROM outbox WHERE state != 'pending' AND state != 'dead' AND done_ms < ?1 LIMIT ?2)",
                told_before,
            )?,
            gathered: self.sweep_all(
                "DELETE FROM gathered WHERE (outbox_id, call) IN (SELECT outbox_id, gathered.call FROM gathered \
                 JOIN outbox ON id = outbox_id WHERE state != 'pending' AND state != 'dead' AND done_ms < ?1 LIMIT ?2)",
                content_before,
            )?,
            contents: self.sweep_all(
                "UPDATE outbox SET notice = '', held_caller = NULL WHERE id IN \
                 (SELECT id FROM outbox WHERE state != 'pending' AND state != 'dead' AND done_ms < ?1 AND notice != '' \
                 LIMIT ?2)",
                content_before,
            )?,
            reached: self.sweep_all(
                "DELETE FROM reached WHERE (user_id, caller, started) IN \
                 (SELECT user_id, caller, started FROM reached WHERE at_ms < ?1 LIMIT ?2)",
                millis(now).saturating_sub(REACHED_MS),
            )?,
            audit: self.sweep_all(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ms < ?1 LIMIT ?2)",
                millis(now).saturating_sub(AUDIT_MS),
            )?,
            opted_out: self.sweep_all(
                "DELETE FROM opted_out WHERE email_hash IN (SELECT email_hash FROM opted_out WHERE at_ms < ?1 LIMIT ?2)",
                millis(now).saturating_sub(AUDIT_MS),
            )?,
            missed: self.sweep_all(
                "DELETE FROM missed WHERE id IN (SELECT id FROM missed WHERE at_ms < ?1 LIMIT ?2)",
                content_before,
            )? + self.trim_missed()?,
            sessions: self.sweep_all(
                "DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE expires_ms <= ?1 LIMIT ?2)",
                millis(now),
            )?,
        };
        give_back(&self.connection).map_err(self.fault("give unused pages back"))?;
        Ok(swept)
    }

    /// Runs `statement`, which takes a time and a number of rows, until it finds none.
    fn sweep_all(&mut self, statement: &str, before_ms: i64) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let changed = self
                .connection
                .execute(statement, params![before_ms, ROWS])
                .map_err(self.fault("forget what is old"))?;
            all += changed;
            if changed == 0 {
                return Ok(all);
            }
        }
    }
}

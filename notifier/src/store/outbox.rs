//! The outbox: what is to be sent, and what became of it. Whose turn it is: `turns`; what a message tells: `told`; what the
//! operator does with it: `by_hand`.

use std::fmt;
use std::str::FromStr;

use ringtap_record::Time;
use rusqlite::{Connection, params};

use super::{Store, StoreError};

/// Calls that a message tells one by one. More are counted.
pub const LISTED_MAX: u32 = 50;

/// No quiet hours end later than that, a day of 25 hours included.
const QUIET_MAX_MS: i64 = 25 * 3_600_000;
/// Nothing waits on purpose for longer: quiet hours, or a day for its caller to get through and a day of gathering.
const WAIT_MAX_MS: i64 = 50 * 3_600_000;

/// Where a queued message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be sent, for the first time or again.
    Pending,
    /// The server took it.
    Sent,
    /// Given up: refused for good, or tried too long.
    Dead,
    /// Not wanted any more: the person has unsubscribed or is gone, the caller got through, or the operator says so.
    Dropped,
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

/// A way to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// To the address of the person, over the mail server.
    Mail,
    /// To the operator's endpoint.
    Webhook,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// The word in the database and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no channel; there are mail and webhook"))
    }
}

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One missed call.
    Call,
    /// Further calls of one caller, some minutes after the first one's own message (semantics.md §7.3).
    Summary,
    /// Calls that were gathered: of quiet hours, or beyond what a person is sent in an hour.
    Digest,
    /// No call: the link to the own page, which somebody has asked for in the person's name.
    Link,
}

impl Kind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Summary => "summary",
            Self::Digest => "digest",
            Self::Link => "link",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        [Self::Call, Self::Summary, Self::Digest, Self::Link]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// What became of a message that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server took it.
    Sent,
    /// It will never be.
    Dead(String),
    /// It is not wanted any more.
    Dropped(String),
    /// It failed, and is tried again at that time.
    PutOff(String, Time),
    /// It was not tried for want of a server, and keeps its turn.
    Kept(String),
    /// It was not tried: the person's quiet hours last until then.
    Quiet(Time),
}

/// How much lies in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages still to be sent, those held back not counted.
    pub pending: u64,
    /// Messages not tried yet because their caller may still get through, or because more is gathered with them.
    pub held: u64,
    /// Messages given up.
    pub dead: u64,
    /// When the oldest pending one was queued.
    pub oldest: Option<Time>,
}

impl Store {
    /// Whether a message is still to be sent.
    pub fn is_pending(&self, id: i64) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND state = 'pending'")
            .and_then(|mut select| select.exists([id]))
            .map_err(self.fault("read the outbox"))
    }

    /// Writes down what became of messages: all of it or nothing.
    pub fn settle(&mut self, ends: &[(i64, End)], now: Time) -> Result<(), StoreError> {
        let fault = self.fault("write down what became of messages");
        self.atomically("write down what became of messages", |sql| {
            for (id, end) in ends {
                settle(sql, *id, end, now).map_err(&fault)?;
            }
            Ok(())
        })
    }

    /// How much lies in the outbox. Costs by the number of pending rows, some eighty milliseconds for a million.
    pub fn depth(&self) -> Result<Depth, StoreError> {
        let count = |index: &str, condition: &str| {
            self.connection
                .prepare_cached(&format!("SELECT count(*) FROM outbox {index} WHERE {condition}"))
                .and_then(|mut count| count.query_row((), |row| row.get::<_, i64>(0)))
                .map(i64::unsigned_abs)
        };
        let read = || -> rusqlite::Result<Depth> {
            // Left to itself SQLite goes through all that is pending, row by row.
            let held = count(
                "INDEXED BY outbox_waiting",
                "state = 'pending' AND turn IS NULL AND attempts <= 0 \
                 AND (held_caller IS NOT NULL OR kind != 'call' OR last_error = 'quiet hours')",
            )?;
            let oldest = self
                .connection
                .prepare_cached("SELECT min(created_ms) FROM outbox WHERE state = 'pending'")?
                .query_row((), |row| row.get::<_, Option<i64>>(0))?;
            Ok(Depth {
                pending: count("", "state = 'pending'")?.saturating_sub(held),
                held,
                dead: count("", "state = 'dead'")?,
                oldest: oldest.map(from_millis),
            })
        };
        read().map_err(self.fault("count the outbox"))
    }

    /// The clock was set anew, to `now`: what waits for a time keeps waiting as long as it would have, and is as old as it was. Quiet hours
    /// end by the clock, whatever it shows, and never later than in a day.
    pub fn clock_was_set(&mut self, by_ms: i64, now: Time) -> Result<usize, StoreError> {
        self.connection
            .execute(
                "UPDATE outbox SET created_ms = created_ms + ?1, tried_ms = tried_ms + ?1, \
                 next_attempt_ms = iif(last_error IS 'quiet hours', min(next_attempt_ms, ?2), next_attempt_ms + ?1) \
                 WHERE state = 'pending'",
                [by_ms, millis(now).saturating_add(QUIET_MAX_MS)],
            )
            .map_err(self.fault("follow the clock"))
    }

    /// Before the first message is sent: what a process before this one may have left.
    ///
    /// What was put off for longer than `most_ms` was put off by another clock, and waits that long at most; quiet hours, and what is held or
    /// gathered, have longer times of their own. What was queued or tried in the future is as of now. What has a turn may have been handed
    /// over: nothing more is gathered into it.
    pub fn take_over(&mut self, now: Time, most_ms: i64) -> Result<(), StoreError> {
        let fault = self.fault("look at what waits");
        let at = millis(now);
        self.atomically("look at what waits", |sql| {
            let bound = |statement: &str, values: &[i64]| {
                let values = rusqlite::params_from_iter(values);
                sql.execute(statement, values).map(drop).map_err(&fault)
            };
            bound(
                "UPDATE outbox SET next_attempt_ms = iif(attempts > 0 AND last_error IS NOT 'quiet hours', ?1, ?2) \
                 WHERE state = 'pending' AND turn IS NULL \
                 AND next_attempt_ms > iif(attempts > 0 AND last_error IS NOT 'quiet hours', ?1, ?2)",
                &[at.saturating_add(most_ms), at.saturating_add(WAIT_MAX_MS)],
            )?;
            bound(
                "UPDATE outbox SET created_ms = ?1 WHERE state = 'pending' AND created_ms > ?1",
                &[at],
            )?;
            bound(
                // Quiet hours have moved it on, up to their end at most.
                "UPDATE outbox SET tried_ms = iif(last_error IS 'quiet hours', max(?1, next_attempt_ms), ?1) WHERE state = 'pending' \
                 AND tried_ms > iif(last_error IS 'quiet hours', max(?1, next_attempt_ms), ?1)",
                &[at],
            )?;
            bound(
                "UPDATE outbox SET attempts = -1 WHERE state = 'pending' AND turn IS NOT NULL AND kind != 'call' \
                 AND attempts = 0",
                &[],
            )
        })
    }
}

fn settle(sql: &Connection, id: i64, end: &End, now: Time) -> rusqlite::Result<()> {
    let done = |state: State, error: Option<&str>, tried: bool| {
        // What was sent was sent, though the operator dropped it meanwhile.
        sql.prepare_cached(
            "UPDATE outbox SET state = ?2, last_error = ?3, done_ms = ?4, attempts = max(attempts, 0) + ?5 \
             WHERE id = ?1 AND (state = 'pending' OR ?2 = 'sent')",
        )?
        .execute(params![id, state.as_str(), error, millis(now), tried])
        .map(drop)
    };
    match end {
        End::Sent => done(State::Sent, None, true),
        End::Dead(error) => done(State::Dead, Some(error), true),
        End::Dropped(why) => done(State::Dropped, Some(why), false),
        End::PutOff(error, next) => sql
            .prepare_cached(
                "UPDATE outbox SET tried_ms = ifnull(tried_ms, ?3), attempts = max(attempts, 0) + 1, last_error = ?2, \
                 turn = NULL, next_attempt_ms = ?4 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute(params![id, error, millis(now), millis(*next)])
            .map(drop),
        // However often a server is looked for, that is one attempt of the message: it puts nothing off for longer.
        End::Kept(error) => sql
            .prepare_cached(
                "UPDATE outbox SET tried_ms = ifnull(tried_ms, ?3), attempts = max(attempts, 1), last_error = ?2 \
                 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute(params![id, error, millis(now)])
            .map(drop),
        // Quiet hours are no part of the time for which a message is tried.
        End::Quiet(until) => sql
            .prepare_cached(
                "UPDATE outbox SET tried_ms = tried_ms + ?3, last_error = ?2, turn = NULL, next_attempt_ms = ?4 \
                 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute(params![
                id,
                QUIET,
                millis(*until).saturating_sub(millis(now)).max(0),
                millis(*until)
            ])
            .map(drop),
    }
}

/// What stands in the row of a message that waits for the end of quiet hours.
pub(super) const QUIET: &str = "quiet hours";

pub(super) fn millis(at: Time) -> i64 {
    at.as_micros().div_euclid(1000)
}

pub(super) fn from_millis(ms: i64) -> Time {
    Time::from_micros(ms.saturating_mul(1000))
}

//! Whose turn it is.
//!
//! A row waits until its time has come; then it gets a turn. Turns are those of self-clocked fair queueing: a row stands
//! behind the rows of the same person that have a turn, and not before the one that is being sent now. So of two people each
//! has every other turn, however many rows one of them has, and finding out costs no more with a million rows than with ten.

use std::cell::Cell;

use ringtap_record::Time;
use rusqlite::{Connection, Row, params};

use super::outbox::{Channel, Kind, from_millis, millis};
use super::{Store, StoreError};

/// A message whose turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Row number.
    pub id: i64,
    /// Whom it is for.
    pub user_id: i64,
    /// What it tells.
    pub kind: Kind,
    /// The call, or the first of them: it names the message.
    pub call: String,
    /// When that ended.
    pub ended: Option<Time>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried, or queued if it was not: what waited on purpose is not given up for that.
    pub since: Time,
    /// Its place.
    pub turn: i64,
    /// The domain of the person's address.
    pub domain: String,
    pub(super) notice: String,
}

impl Store {
    /// Gives those a turn whose time has come, some at a time; whether there were any.
    pub fn call_up(&mut self, now: Time, limit: u32) -> Result<bool, StoreError> {
        let fault = self.fault("call up what is due");
        let clocks = self.clocks;
        let due = || -> rusqlite::Result<Vec<(i64, i64, String)>> {
            self.connection
                .prepare_cached(
                    "SELECT id, user_id, channel FROM outbox WHERE state = 'pending' AND turn IS NULL \
                     AND next_attempt_ms <= ?1 ORDER BY next_attempt_ms, id LIMIT ?2",
                )?
                .query_map(params![millis(now), limit], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        };
        let due = due().map_err(&fault)?;
        if due.is_empty() {
            return Ok(false);
        }
        let called = CalledUp::default();
        self.atomically("call up what is due", |sql| -> Result<(), StoreError> {
            for (id, user, channel) in &due {
                let channel = channel.parse().unwrap_or(Channel::Mail);
                called.note(
                    channel,
                    take_turn(sql, *id, *user, channel, clocks).map_err(&fault)?,
                );
            }
            Ok(())
        })?;
        self.called.add(&called);
        Ok(true)
    }

    /// Those whose turn is next on a channel, behind the one with this turn and number.
    pub fn next_turns(
        &self,
        channel: Channel,
        behind: (i64, i64),
        limit: u32,
    ) -> Result<Vec<Queued>, StoreError> {
        let (turn, id) = behind;
        let read = || -> rusqlite::Result<Vec<Queued>> {
            self.connection
                .prepare_cached(
                    "SELECT outbox.id, user_id, kind, call, ended, max(attempts, 0), ifnull(tried_ms, created_ms), turn, \
                     CAST(notice AS TEXT), email FROM outbox CROSS JOIN user ON user.id = user_id \
                     WHERE state = 'pending' AND turn IS NOT NULL AND channel = ?1 \
                     AND (turn, outbox.id) > (?2, ?3) ORDER BY turn, outbox.id LIMIT ?4",
                )?
                .query_map(params![channel.as_str(), turn, id, limit], read_queued)?
                .collect()
        };
        read().map_err(self.fault("read the outbox"))
    }

    /// The first of the turns that were given on a channel since this was asked last.
    pub fn called_since(&mut self, channel: Channel) -> Option<i64> {
        self.called.take(channel)
    }

    /// A row is being sent whose turn is this: later ones do not come before it.
    pub fn clock(&mut self, channel: Channel, turn: i64) {
        let clock = self.clocks.of_mut(channel);
        *clock = turn.max(*clock);
    }
}

/// On each channel, the turn of what was sent last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks([i64; Channel::ALL.len()]);

impl Clocks {
    /// Those after a restart: what has a turn already is next.
    pub(super) fn read(sql: &Connection) -> rusqlite::Result<Self> {
        let mut clocks = Self::default();
        for channel in Channel::ALL {
            *clocks.of_mut(channel) = sql
                .query_row(
                    "SELECT min(turn) FROM outbox WHERE state = 'pending' AND turn IS NOT NULL AND channel = ?1",
                    [channel.as_str()],
                    |row| row.get::<_, Option<i64>>(0),
                )?
                .unwrap_or(0);
        }
        Ok(clocks)
    }

    pub(super) const fn of(self, channel: Channel) -> i64 {
        let [mail, webhook] = self.0;
        match channel {
            Channel::Mail => mail,
            Channel::Webhook => webhook,
        }
    }

    const fn of_mut(&mut self, channel: Channel) -> &mut i64 {
        let [mail, webhook] = &mut self.0;
        match channel {
            Channel::Mail => mail,
            Channel::Webhook => webhook,
        }
    }
}

/// On each channel, the first of the turns that were given.
#[derive(Debug, Default)]
pub(super) struct CalledUp([Cell<Option<i64>>; Channel::ALL.len()]);

impl CalledUp {
    pub(super) fn note(&self, channel: Channel, turn: i64) {
        let first = self.of(channel);
        first.set(Some(first.get().map_or(turn, |first| first.min(turn))));
    }

    /// Those of `other` too.
    pub(super) fn add(&self, other: &Self) {
        for channel in Channel::ALL {
            if let Some(turn) = other.take(channel) {
                self.note(channel, turn);
            }
        }
    }

    fn take(&self, channel: Channel) -> Option<i64> {
        self.of(channel).take()
    }

    const fn of(&self, channel: Channel) -> &Cell<Option<i64>> {
        let [mail, webhook] = &self.0;
        match channel {
            Channel::Mail => mail,
            Channel::Webhook => webhook,
        }
    }
}

/// Gives a row a turn: behind the person's others, and not before what is being sent.
pub(super) fn take_turn(
    sql: &Connection,
    id: i64,
    user: i64,
    channel: Channel,
    clocks: Clocks,
) -> rusqlite::Result<i64> {
    sql.prepare_cached(
        "UPDATE outbox SET turn = max(?4, 1 + ifnull((SELECT max(turn) FROM outbox WHERE user_id = ?2 \
         AND channel = ?3 AND state = 'pending' AND turn IS NOT NULL), -1)) WHERE id = ?1 RETURNING turn",
    )?
    .query_row(params![id, user, channel.as_str(), clocks.of(channel)], |row| {
        row.get(0)
    })
}

fn read_queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let kind: String = row.get(2)?;
    let email: String = row.get(9)?;
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    Ok(Queued {
        id: row.get(0)?,
        user_id: row.get(1)?,
        kind: Kind::read(&kind).unwrap_or(Kind::Call),
        call: row.get(3)?,
        ended: row.get::<_, Option<i64>>(4)?.map(Time::from_micros),
        attempts: row.get(5)?,
        since: from_millis(row.get(6)?),
        turn: row.get(7)?,
        domain: domain.to_ascii_lowercase(),
        notice: String::from_utf8_lossy(row.get_ref(8)?.as_bytes().unwrap_or_default()).into_owned(),
    })
}

//! The outbox: what is to be sent, whose turn it is, and what became of it.
//!
//! A row waits until its time has come; then it gets a turn. Turns are those of self-clocked fair queueing: a row stands
//! behind the rows of the same person that have a turn, and not before the one that is being sent now. So of two people each
//! has every other turn, however many rows one of them has, and finding out costs no more with a million rows than with ten.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use ringtap_record::Time;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Store, StoreError};
use crate::notice::Notice;

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
}

impl Kind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Summary => "summary",
            Self::Digest => "digest",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Call, Self::Summary, Self::Digest]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

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
    notice: String,
}

/// The calls of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Those that are told one by one, in the order of their beginning.
    pub calls: Vec<ToldCall>,
    /// How many more there were.
    pub more: u64,
    /// Of a summary, the call that had a message of its own before.
    pub first: Option<Notice>,
}

/// The notice of a gathered call, and whether the two have talked since.
type Gathered = (String, Option<Reached>);

/// A call, and whether the two have talked since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCall {
    /// The facts.
    pub notice: Notice,
    /// The caller has got through to the person, or the person has called back, in a call that began then.
    pub reached: Option<Reached>,
}

/// How two people talked after a missed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// When that call began.
    pub at: Time,
    /// The person has called back.
    pub back: bool,
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

/// A row of the outbox, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row number.
    pub id: i64,
    /// The person's key.
    pub user: String,
    /// `mail` or `webhook`.
    pub channel: String,
    /// `call`, `summary` or `digest`.
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

    /// Whether a message is still to be sent.
    pub fn is_pending(&self, id: i64) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND state = 'pending'")
            .and_then(|mut select| select.exists([id]))
            .map_err(self.fault("read the outbox"))
    }

    /// What a message tells; an error in words if its row cannot be read.
    pub fn told(&self, queued: &Queued) -> Result<Result<Told, String>, StoreError> {
        if queued.kind == Kind::Call {
            return Ok(read_notice(&queued.notice).map(|notice| Told {
                calls: vec![ToldCall {
                    notice,
                    reached: None,
                }],
                more: 0,
                first: None,
            }));
        }
        let first = read_notice(&queued.notice).ok();
        let fault = self.fault("read what was gathered");
        let (calls, count) = self.gathered(queued).map_err(fault)?;
        let told: Result<Vec<_>, String> = calls
            .into_iter()
            .map(|(notice, reached)| {
                let notice = read_notice(&notice)?;
                Ok(ToldCall { notice, reached })
            })
            .collect();
        Ok(told.map(|mut calls| {
            calls.sort_by(|a, b| (a.notice.started, &a.notice.call).cmp(&(b.notice.started, &b.notice.call)));
            let more = count.saturating_sub(calls.len() as u64);
            Told { calls, more, first }
        }))
    }

    /// The calls of a bundle that are told one by one, and how many there are in all.
    fn gathered(&self, queued: &Queued) -> rusqlite::Result<(Vec<Gathered>, u64)> {
        let calls = self
            .connection
            .prepare_cached(
                "SELECT CAST(notice AS TEXT), caller FROM gathered WHERE outbox_id = ?1 AND notice != '' LIMIT ?2",
            )?
            .query_map(params![queued.id, LISTED_MAX], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let calls = calls
            .into_iter()
            .map(|(notice, caller)| {
                let reached = match (&caller, read_notice(&notice)) {
                    (Some(caller), Ok(notice)) => {
                        self.reached_since(queued.user_id, caller, notice.started)?
                    }
                    _ => None,
                };
                Ok((notice, reached))
            })
            .collect::<rusqlite::Result<_>>()?;
        let count = self
            .connection
            .prepare_cached("SELECT count(*) FROM gathered WHERE outbox_id = ?1")?
            .query_row([queued.id], |row| row.get::<_, i64>(0))?;
        Ok((calls, count.unsigned_abs()))
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
                "state = 'pending' AND turn IS NULL AND attempts = 0 \
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

    /// What was put off for longer than `most_ms` was put off by another clock: it waits that long at most. Quiet hours, and what is held or
    /// gathered, have longer times of their own.
    pub fn bound_waits(&mut self, now: Time, most_ms: i64) -> Result<usize, StoreError> {
        self.connection
            .execute(
                "UPDATE outbox SET next_attempt_ms = iif(attempts > 0 AND last_error IS NOT 'quiet hours', ?1, ?2) \
                 WHERE state = 'pending' AND turn IS NULL \
                 AND next_attempt_ms > iif(attempts > 0 AND last_error IS NOT 'quiet hours', ?1, ?2)",
                [
                    millis(now).saturating_add(most_ms),
                    millis(now).saturating_add(WAIT_MAX_MS),
                ],
            )
            .map_err(self.fault("look at what waits"))
    }

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
        self.connection
            .execute(
                // Nothing is gathered into what may have been sent once.
                "UPDATE outbox SET state = 'pending', attempts = iif(kind = 'call', 0, -1), turn = NULL, next_attempt_ms = ?2, \
                 created_ms = ?2, tried_ms = NULL, done_ms = NULL, held_caller = NULL \
                 WHERE id = ?1 AND state IN ('pending', 'dead') AND ((kind = 'call' AND notice != '') \
                 OR EXISTS (SELECT 1 FROM gathered WHERE outbox_id = ?1 AND gathered.notice != ''))",
                params![id, millis(now)],
            )
            .map(|changed| changed > 0)
            .map_err(self.fault("retry a message"))
    }

    /// Never sends a message; false if it is not there, was sent or dropped.
    pub fn drop_message(&mut self, id: i64, now: Time) -> Result<bool, StoreError> {
        self.connection
            .execute(
                "UPDATE outbox SET state = 'dropped', last_error = 'dropped by the operator', done_ms = ?2 \
                 WHERE id = ?1 AND state IN ('pending', 'dead')",
                params![id, millis(now)],
            )
            .map(|changed| changed > 0)
            .map_err(self.fault("drop a message"))
    }

    /// The first call after `started` in which the two talked.
    fn reached_since(&self, user: i64, caller: &str, started: Time) -> rusqlite::Result<Option<Reached>> {
        self.connection
            .prepare_cached(
                "SELECT started, back FROM reached WHERE user_id = ?1 AND caller = ?2 AND started > ?3 \
                 ORDER BY started LIMIT 1",
            )?
            .query_row(params![user, caller, started.as_micros()], |row| {
                Ok(Reached {
                    at: Time::from_micros(row.get(0)?),
                    back: row.get(1)?,
                })
            })
            .optional()
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
    let again = |error: &str, tried: bool, next: Option<Time>| {
        sql.prepare_cached(
            "UPDATE outbox SET tried_ms = iif(?3, ifnull(tried_ms, ?5), tried_ms), \
             attempts = max(attempts, 0) + ?3, last_error = ?2, \
             turn = iif(?4 IS NULL, turn, NULL), next_attempt_ms = ifnull(?4, next_attempt_ms) \
             WHERE id = ?1 AND state = 'pending'",
        )?
        .execute(params![id, error, tried, next.map(millis), millis(now)])
        .map(drop)
    };
    match end {
        End::Sent => done(State::Sent, None, true),
        End::Dead(error) => done(State::Dead, Some(error), true),
        End::Dropped(why) => done(State::Dropped, Some(why), false),
        End::PutOff(error, next) => again(error, true, Some(*next)),
        End::Kept(error) => again(error, true, None),
        End::Quiet(until) => again(QUIET, false, Some(*until)),
    }
}

/// What stands in the row of a message that waits for the end of quiet hours.
pub(super) const QUIET: &str = "quiet hours";

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

fn read_notice(json: &str) -> Result<Notice, String> {
    serde_json::from_str(json).map_err(|fault| format!("the queued notice cannot be read: {fault}"))
}

pub(super) fn millis(at: Time) -> i64 {
    at.as_micros().div_euclid(1000)
}

pub(super) fn from_millis(ms: i64) -> Time {
    Time::from_micros(ms.saturating_mul(1000))
}

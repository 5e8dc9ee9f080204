//! Queues missed calls: each is told once, in a message of its own or gathered with others as [`Packing`] says.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use ringtap_config::QuietHours;
use ringtap_record::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit::Hand;
use super::outbox::{Channel, Kind, LISTED_MAX, QUIET, State, from_millis, millis};
use super::own::read_muted;
use super::reached::{Hold, Placed, why as reached_why};
use super::turns::take_turn;
use super::{Intake, Store, StoreError, missed};
use crate::notice::Notice;
use crate::packing::{Packing, Place, Situation};
use crate::quiet::{self, Quiet};

/// An hour.
const HOUR_MS: i64 = 3_600_000;

/// A missed call that is to be told.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Whom.
    pub user: i64,
    /// What.
    pub notice: &'a Notice,
    /// When it ended, in capture time.
    pub ended: Time,
    /// Its caller by one name; nobody if withheld or not known, who is never the same as another.
    pub caller: Option<&'a str>,
    /// Whether it waits for its caller to get through.
    pub hold: Option<&'a Hold>,
}

/// How it is packed.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How much together.
    pub packing: Packing,
    /// Quiet hours of people who have none of their own.
    pub quiet: Option<QuietHours>,
}

/// How a person wants to be told.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    pub(super) channels: Vec<Channel>,
    pub(super) quiet: Option<Quiet>,
    pub(super) zone: TimeZone,
    /// Reasons of which the person does not want to hear.
    pub(super) muted: BTreeSet<&'static str>,
}

impl Wishes {
    /// Those of the person with this row number.
    pub(super) fn read(sql: &Connection, user: i64) -> rusqlite::Result<Self> {
        sql.prepare_cached("SELECT channels, quiet_hours, timezone, muted FROM user WHERE id = ?1")?
            .query_row([user], |row| {
                let channels: Option<String> = row.get(0)?;
                let quiet: Option<String> = row.get(1)?;
                let zone: String = row.get(2)?;
                let muted: Option<String> = row.get(3)?;
                Ok(Self {
                    channels: channels_of(channels.as_deref()),
                    quiet: quiet.and_then(|quiet| quiet.parse().ok()),
                    zone: TimeZone::get(&zone).unwrap_or(TimeZone::UTC),
                    muted: read_muted(muted.as_deref()),
                })
            })
    }

    /// When the quiet hours end that have begun, if they have.
    pub(super) fn quiet_until(&self, operators: Option<QuietHours>, now: Time) -> Option<Time> {
        let hours = match self.quiet {
            Some(Quiet::Off) => None,
            Some(Quiet::Hours(hours)) => Some(hours),
            None => operators,
        };
        quiet::until(hours?, now, &self.zone)
    }
}

/// What is stored, or mail.
pub(super) fn channels_of(stored: Option<&str>) -> Vec<Channel> {
    let words = stored.unwrap_or_default().split(',');
    let mut channels: Vec<Channel> = words.filter_map(|word| word.trim().parse().ok()).collect();
    if channels.is_empty() {
        channels.push(Channel::Mail);
    }
    channels.sort_unstable();
    channels.dedup();
    channels
}

impl Store {
    /// What the person with this key has set of `keys`, which are columns; `None` if there is no such person.
    pub fn wishes<const N: usize>(
        &self,
        user: &str,
        keys: [&'static str; N],
    ) -> Result<Option<[Option<String>; N]>, StoreError> {
        let mut found = [const { None }; N];
        for (key, found) in keys.into_iter().zip(&mut found) {
            let read = self
                .connection
                .query_row(&format!("SELECT {key} FROM user WHERE key = ?1"), [user], |row| {
                    row.get(0)
                })
                .optional()
                .map_err(self.fault("read a person's wishes"))?;
            match read {
                Some(value) => *found = value,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Sets one of them, or gives it back to the operator.
    pub fn set_wish(&mut self, user: &str, key: &'static str, value: Option<&str>) -> Result<(), StoreError> {
        let fault = self.fault("change a person's wishes");
        self.atomically("change a person's wishes", |sql| {
            let set = || -> rusqlite::Result<()> {
                let update = format!("UPDATE user SET {key} = ?2 WHERE key = ?1");
                if sql.execute(&update, params![user, value])? > 0 {
                    let detail = format!("{key}={}", value.unwrap_or("the operator's"));
                    Hand::new(sql, "user delivery").note(user, &detail)?;
                }
                Ok(())
            };
            set().map_err(&fault)
        })
    }

    /// How many people want to be told on a channel, of those who say so themselves.
    pub fn wishing(&self, channel: Channel) -> Result<u64, StoreError> {
        self.connection
            .query_row(
                "SELECT count(*) FROM user WHERE subscribed AND opted_out_ms IS NULL \
                 AND instr(',' || channels || ',', ',' || ?1 || ',')",
                [channel.as_str()],
                |row| row.get::<_, i64>(0),
            )
            .map(i64::unsigned_abs)
            .map_err(self.fault("read people's wishes"))
    }

    /// When the quiet hours of the person with this row number end, if they have begun.
    pub fn quiet_until(
        &self,
        user: i64,
        operators: Option<QuietHours>,
        now: Time,
    ) -> Result<Option<Time>, StoreError> {
        Wishes::read(&self.connection, user)
            .map(|wishes| wishes.quiet_until(operators, now))
            .map_err(self.fault("read a person's wishes"))
    }
}

impl Intake<'_> {
    /// Queues what tells of an attempt on each channel of the person, unless they were told of this call before, the caller has
    /// got through since, or the person does not want to hear of its reason. In each case but the first it is among what the person missed.
    pub fn queue(&self, attempt: &Attempt<'_>, rules: &Rules, now: Time) -> Result<Placed, StoreError> {
        let put = || -> rusqlite::Result<Placed> {
            let Attempt {
                user, notice, hold, ..
            } = *attempt;
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
            missed::keep(self.sql, user, notice, &json, now)?;
            let wishes = Wishes::read(self.sql, user)?;
            // An emergency service that calls back is told whatever else holds (D64).
            if wishes.muted.contains(notice.reason.as_str()) && !notice.psap {
                return Ok(Placed::Muted);
            }
            let mut placed: Option<Placed> = None;
            for channel in &wishes.channels {
                let row = Row {
                    attempt,
                    channel: *channel,
                    json: &json,
                    why: None,
                    now,
                };
                if let Some(reached) = reached {
                    self.insert(&row, Kind::Call, now, Some(reached))?;
                    placed = Some(Placed::Suppressed);
                    continue;
                }
                let first = self.first(&row, rules.packing.window_ms)?;
                let quiet_until = wishes.quiet_until(rules.quiet, now);
                let place = rules.packing.place(&Situation {
                    now,
                    is_psap: notice.psap,
                    quiet_until,
                    in_last_hour: self.in_last_hour(&row, rules.packing.per_hour_max)?,
                    first: first.as_ref().map(|(queued, _)| *queued),
                    held_until: hold.map(|hold| hold.due),
                });
                let here = match place {
                    Place::Alone(due) => {
                        self.insert(&row, Kind::Call, due, None)?;
                        Placed::Queued
                    }
                    Place::Summary(due) => {
                        let first = first.as_ref().map_or("", |(_, notice)| notice);
                        self.gather(
                            &Row { json: first, ..row },
                            (Kind::Summary, rules.packing.window_ms),
                            due,
                            &json,
                        )?
                    }
                    Place::Digest(due) => {
                        let why = quiet_until.map(|_| QUIET);
                        self.gather(
                            &Row { json: "", why, ..row },
                            (Kind::Digest, rules.packing.digest_ms),
                            due,
                            &json,
                        )?
                    }
                };
                placed = Some(placed.map_or(here, |other| other.with(here)));
            }
            Ok(placed.unwrap_or(Placed::Repeated))
        };
        put().map_err(|source| self.fault("queue a message", source))
    }

    /// A row of its own; without calls if it is to gather them. Then it gets no turn yet, so that further calls of the same moment
    /// find it.
    fn insert(&self, row: &Row<'_>, kind: Kind, due: Time, reached: Option<Time>) -> rusqlite::Result<i64> {
        let Row {
            attempt,
            channel,
            json,
            why,
            now,
        } = *row;
        let hold = attempt.hold.filter(|_| kind == Kind::Call);
        let state = if reached.is_some() {
            State::Dropped
        } else {
            State::Pending
        };
        self.sql
            .prepare_cached(
                "INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, \
                 held_caller, held_after, held_until, last_error, done_ms, channel, kind, caller, ended) \
                 VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                attempt.user,
                attempt.notice.call,
                json,
                state.as_str(),
                millis(now),
                millis(due),
                hold.map(|hold| hold.caller.as_str()),
                hold.map(|hold| hold.after.as_micros()),
                // Of what gathers, until when the first call waits.
                attempt.hold.map(|hold| hold.until.as_micros()),
                reached.map(reached_why).as_deref().or(why),
                reached.map(|_| millis(now)),
                channel.as_str(),
                kind.as_str(),
                // A digest is of several callers.
                attempt.caller.filter(|_| kind != Kind::Digest),
                attempt.ended.as_micros(),
            ])?;
        let id = self.sql.last_insert_rowid();
        if state == State::Pending && kind == Kind::Call && due <= now {
            let turn = take_turn(self.sql, id, attempt.user, channel, self.clocks)?;
            self.called.note(channel, turn);
        }
        Ok(id)
    }

    /// Adds the call to what is being gathered, which begins now if it has not, and is usually open for `span_ms`.
    fn gather(
        &self,
        row: &Row<'_>,
        (kind, span_ms): (Kind, i64),
        due: Time,
        json: &str,
    ) -> rusqlite::Result<Placed> {
        let Row { attempt, channel, .. } = *row;
        // What has a turn or was tried is on its way, and stays as it is. What goes out later than this call need wait is not for it. What goes
        // out before it is known whether this caller gets through waits for that, as long as it has not been open for its usual time, and if
        // that is no more than as long again: the call that it was opened for has less to wait for, or nothing.
        let held_until = attempt.hold.map_or(i64::MIN, |hold| millis(hold.due));
        let now = millis(row.now);
        let open = self
            .sql
            .prepare_cached(
                "SELECT id FROM outbox WHERE user_id = ?1 AND channel = ?2 AND state = 'pending' AND kind = ?3 \
                 AND kind != 'call' AND caller IS ?4 AND turn IS NULL AND attempts = 0 AND next_attempt_ms <= ?5 \
                 AND (next_attempt_ms >= ?6 OR (created_ms BETWEEN ?7 AND ?8 \
                 AND iif(held_until IS NULL, created_ms + 2 * ?9 >= ?6, held_until + 1000 * ?9 >= ?10))) \
                 ORDER BY next_attempt_ms, id LIMIT 1",
            )?
            .query_row(
                params![
                    attempt.user,
                    channel.as_str(),
                    kind.as_str(),
                    attempt.caller.filter(|_| kind != Kind::Digest),
                    millis(due),
                    held_until,
                    now.saturating_sub(span_ms),
                    now,
                    span_ms,
                    attempt.hold.map_or(i64::MIN, |hold| hold.until.as_micros()),
                ],
                |row| row.get::<_, i64>(0),
            )
            .optional()?;
        let id = match open {
            Some(id) => {
                self.sql
                    .prepare_cached(
                        "UPDATE outbox SET next_attempt_ms = ?2 WHERE id = ?1 AND next_attempt_ms < ?2",
                    )?
                    .execute(params![id, held_until])?;
                id
            }
            None => self.insert(row, kind, due, None)?,
        };
        // A flood is counted, not kept.
        let is_listed = !self
            .sql
            .prepare_cached("SELECT 1 FROM gathered WHERE outbox_id = ?1 LIMIT 1 OFFSET ?2")?
            .exists(params![id, LISTED_MAX - 1])?;
        self.sql
            .prepare_cached(
                "INSERT INTO gathered (outbox_id, call, notice, caller, held_caller, held_after, held_until) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                id,
                attempt.notice.call,
                if is_listed { json } else { "" },
                attempt.caller,
                attempt.hold.map(|hold| hold.caller.as_str()),
                attempt.hold.map(|hold| hold.after.as_micros()),
                attempt.hold.map(|hold| hold.until.as_micros()),
            ])?;
        Ok(Placed::Gathered)
    }

    /// Messages of the last hour; not beyond `most`, where it does not matter any more.
    fn in_last_hour(&self, row: &Row<'_>, most: u32) -> rusqlite::Result<u32> {
        self.sql
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE user_id = ?1 AND channel = ?2 \
                 AND created_ms > ?3 AND created_ms <= ?4 AND kind IN ('call', 'summary') AND state != 'dropped' LIMIT ?5)",
            )?
            .query_row(
                params![
                    row.attempt.user,
                    row.channel.as_str(),
                    millis(row.now).saturating_sub(HOUR_MS),
                    millis(row.now),
                    most
                ],
                |row| row.get(0),
            )
    }

    /// When the message about the caller's first call was queued, and what it tells, if this one belongs to its window.
    fn first(&self, row: &Row<'_>, window_ms: i64) -> rusqlite::Result<Option<(Time, String)>> {
        let Some(caller) = row.attempt.caller.filter(|_| window_ms > 0) else {
            return Ok(None);
        };
        let ended = row.attempt.ended;
        self.sql
            .prepare_cached(
                "SELECT created_ms, CAST(notice AS TEXT) FROM outbox WHERE kind = 'call' AND caller IS NOT NULL AND user_id = ?1 \
                 AND caller = ?2 AND ended >= ?3 AND ended <= ?4 AND channel = ?5 AND state != 'dropped' \
                 ORDER BY ended LIMIT 1",
            )?
            .query_row(
                params![
                    row.attempt.user,
                    caller,
                    ended.plus_ms(-window_ms).as_micros(),
                    ended.plus_ms(window_ms).as_micros(),
                    row.channel.as_str()
                ],
                |row| Ok((from_millis(row.get(0)?), row.get(1)?)),
            )
            .optional()
    }
}

/// What is to be put into a row.
#[derive(Clone, Copy)]
struct Row<'a> {
    attempt: &'a Attempt<'a>,
    channel: Channel,
    /// What stands in the row itself.
    json: &'a str,
    /// Why it waits.
    why: Option<&'a str>,
    now: Time,
}

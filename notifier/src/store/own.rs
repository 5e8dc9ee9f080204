//! What a person says of the own mails: language, quiet hours, channels, reasons, whether there are to be any; and the link that the
//! person asks for.

use std::collections::BTreeSet;

use ringtap_record::{Outcome, Time};
use rusqlite::{OptionalExtension as _, params};

use super::audit::Hand;
use super::outbox::{Channel, Kind, State, millis};
use super::packing::channels_of;
use super::{Store, StoreError, opted_out};
use crate::people::{Account, Locale, Person};
use crate::quiet::Quiet;

/// An hour.
const HOUR_MS: i64 = 3_600_000;
/// A day.
const DAY_MS: i64 = 24 * HOUR_MS;
/// People at one address who are each sent a link at one wish: those whose turn it is.
const AT_ADDRESS_MAX: u32 = 8;

/// A person who may look at the own page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Row number.
    pub id: i64,
    /// The person, in the language that the person has chosen.
    pub person: Person,
    /// What the person owns.
    pub accounts: Vec<Account>,
    /// Whether the person wants no messages.
    pub has_opted_out: bool,
    /// What the person has chosen.
    pub own: Own,
    /// Links that were sent before open nothing, in milliseconds since 1970.
    pub links_from_ms: i64,
}

/// What a person has chosen; the rest is as the administrator has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The language.
    pub locale: Option<Locale>,
    /// Quiet hours, or that there are none.
    pub quiet: Option<Quiet>,
    /// The ways to the person.
    pub channels: Option<Vec<Channel>>,
    /// Reasons of which the person does not want to hear.
    pub muted: BTreeSet<&'static str>,
}

/// What became of the wish for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is on its way.
    Queued,
    /// There were as many within the hour, or the day, as there may be.
    TooMany,
}

impl Store {
    /// The person with this row number, if there is one whom the administrator has subscribed.
    pub fn visitor(&self, user: i64) -> Result<Option<Visitor>, StoreError> {
        let Some((mut person, accounts)) = self.person(user)? else {
            return Ok(None);
        };
        let read = || -> rusqlite::Result<Option<(Own, bool, i64)>> {
            self.connection
                .prepare_cached(
                    "SELECT own_locale, quiet_hours, channels, muted, opted_out_ms IS NOT NULL, ifnull(links_from_ms, 0) \
                     FROM user WHERE id = ?1 AND subscribed",
                )?
                .query_row([user], |row| {
                    let (locale, quiet, channels): (Option<String>, Option<String>, Option<String>) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    let muted: Option<String> = row.get(3)?;
                    let own = Own {
                        locale: locale.and_then(|locale| locale.parse().ok()),
                        quiet: quiet.and_then(|quiet| quiet.parse().ok()),
                        channels: channels.map(|channels| channels_of(Some(&channels))),
                        muted: read_muted(muted.as_deref()),
                    };
                    Ok((own, row.get(4)?, row.get(5)?))
                })
                .optional()
        };
        let Some((own, has_opted_out, links_from_ms)) =
            read().map_err(self.fault("read what a person has chosen"))?
        else {
            return Ok(None);
        };
        person.locale = own.locale.unwrap_or(person.locale);
        Ok(Some(Visitor {
            id: user,
            person,
            accounts,
            has_opted_out,
            own,
            links_from_ms,
        }))
    }

    /// Writes down what a person has chosen, all of it.
    pub fn choose(&mut self, user: i64, own: &Own) -> Result<(), StoreError> {
        let channels = own.channels.as_ref().map(|channels| {
            let words: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
            words.join(",")
        });
        let muted: Vec<_> = own.muted.iter().collect();
        // A list of plain words always serialises.
        let muted = (!muted.is_empty()).then(|| serde_json::to_string(&muted).unwrap_or_default());
        let fault = self.fault("write down what a person has chosen");
        self.atomically("write down what a person has chosen", |sql| {
            let [locale, quiet] = [own.locale.map(|l| l.to_string()), own.quiet.map(|quiet| quiet.to_string())];
            let choose = || -> rusqlite::Result<()> {
                // A form that is sent as it was shown changes nothing.
                let changed: Option<String> = sql
                    .prepare_cached(
                        "UPDATE user SET own_locale = ?2, quiet_hours = ?3, channels = ?4, muted = ?5 WHERE id = ?1 \
                         AND (own_locale, quiet_hours, channels, muted) IS NOT (?2, ?3, ?4, ?5) RETURNING key",
                    )?
                    .query_row(params![user, locale, quiet, channels, muted], |row| row.get(0))
                    .optional()?;
                let Some(key) = changed else { return Ok(()) };
                let chosen = [
                    ("locale", &locale),
                    ("quiet_hours", &quiet),
                    ("channels", &channels),
                    ("muted", &muted),
                ];
                let chosen = chosen.map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")));
                Hand::own(sql, "page settings").note_last(&key, &chosen.join(" "))
            };
            choose().map_err(&fault)
        })
    }

    /// The person wants no messages any more, or wants them again. What waits is dropped when its turn comes.
    pub fn opt_out(&mut self, user: i64, is_out: bool, now: Time) -> Result<(), StoreError> {
        let fault = self.fault("write down that a person wants no messages");
        self.atomically("write down that a person wants no messages", |sql| {
            let opt_out = || -> rusqlite::Result<()> {
                let changed: Option<String> = sql
                    .prepare_cached(
                        "UPDATE user SET opted_out_ms = iif(?2, ?3, NULL) \
                         WHERE id = ?1 AND (opted_out_ms IS NOT NULL) IS NOT ?2 RETURNING key",
                    )?
                    .query_row(params![user, is_out, millis(now)], |row| row.get(0))
                    .optional()?;
                let Some(key) = changed else { return Ok(()) };
                if !is_out {
                    opted_out::end(sql, user)?;
                }
                let detail = if is_out { "opted out" } else { "subscribed again" };
                Hand::own(sql, "page subscription").note_last(&key, detail)
            };
            opt_out().map_err(&fault)
        })
    }

    /// Those whom the administrator has subscribed with this mail address, written in whatever case; the first of them if there are many,
    /// who never had a link or whose last is the oldest.
    pub fn people_at(&self, email: &str) -> Result<Vec<i64>, StoreError> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            self.connection
                .prepare_cached(
                    "SELECT id FROM user WHERE email = ?1 COLLATE NOCASE AND subscribed \
                     ORDER BY (SELECT max(created_ms) FROM outbox WHERE user_id = user.id AND channel = ?3 AND kind = ?4) \
                     NULLS FIRST, id LIMIT ?2",
                )?
                .query_map(
                    params![email, AT_ADDRESS_MAX, Channel::Mail.as_str(), Kind::Link.as_str()],
                    |row| row.get(0),
                )?
                .collect()
        };
        read().map_err(self.fault("look up a mail address"))
    }

    /// Queues a mail with a link to the own page, unless there were `per_hour_max` within the hour or `per_day_max` within the day.
    pub fn ask_for_link(
        &mut self,
        user: i64,
        per_hour_max: u32,
        per_day_max: u32,
        now: Time,
    ) -> Result<Asked, StoreError> {
        let fault = self.fault("queue a link");
        self.atomically("queue a link", |sql| {
            let queue = || -> rusqlite::Result<Asked> {
                let (in_hour, in_day): (u32, u32) = sql
                    .prepare_cached(
                        "SELECT count(*) FILTER (WHERE created_ms > ?5), count(*) FROM outbox \
                         WHERE user_id = ?1 AND channel = ?2 AND created_ms > ?3 AND kind = ?4",
                    )?
                    .query_row(
                        params![
                            user,
                            Channel::Mail.as_str(),
                            millis(now).saturating_sub(DAY_MS),
                            Kind::Link.as_str(),
                            millis(now).saturating_sub(HOUR_MS),
                        ],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )?;
                if in_hour >= per_hour_max || in_day >= per_day_max {
                    return Ok(Asked::TooMany);
                }
                // No two are the same mail.
                sql.prepare_cached(
                    "INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, channel, kind) \
                     VALUES (?1, ?2, '', ?3, 0, ?4, ?4, ?5, ?6)",
                )?
                .execute(params![
                    user,
                    format!("link-{}-{in_day}", now.as_micros()),
                    State::Pending.as_str(),
                    millis(now),
                    Channel::Mail.as_str(),
                    Kind::Link.as_str(),
                ])?;
                Ok(Asked::Queued)
            };
            queue().map_err(&fault)
        })
    }
}

/// Reads `user.muted`; what is no code of ours is left out.
pub(super) fn read_muted(stored: Option<&str>) -> BTreeSet<&'static str> {
    let words: Vec<String> = stored
        .and_then(|stored| serde_json::from_str(stored).ok())
        .unwrap_or_default();
    let known = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    known
        .filter(|code| words.iter().any(|word| word == code))
        .collect()
}

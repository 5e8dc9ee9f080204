//! What a message tells: one call, or those that were gathered, each with whether the two have talked since.

use ringtap_record::Time;
use rusqlite::{OptionalExtension as _, params};

use super::outbox::{Kind, LISTED_MAX};
use super::turns::Queued;
use super::{Store, StoreError};
use crate::notice::Notice;

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

impl Told {
    /// Whom the calls name, as often as they do: callers, unless withheld, and where a call went on to.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let notices = self.calls.iter().map(|call| &call.notice).chain(&self.first);
        notices.flat_map(|notice| {
            let caller = notice.caller.identity.as_deref();
            caller
                .filter(|_| !notice.caller.withheld)
                .into_iter()
                .chain(notice.forwarded_to.as_deref())
                .chain(notice.via.as_deref())
                .chain(notice.group.as_deref())
        })
    }
}

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

/// The notice of a gathered call, and whether the two have talked since.
type Gathered = (String, Option<Reached>);

impl Store {
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
        if queued.kind == Kind::Link {
            return Ok(Ok(Told {
                calls: Vec::new(),
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

pub(super) fn read_notice(json: &str) -> Result<Notice, String> {
    serde_json::from_str(json).map_err(|fault| format!("the queued notice cannot be read: {fault}"))
}

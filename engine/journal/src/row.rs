//! Rows of `call`, `target` and `explanation` into records, and where they stand.

use std::path::Path;

use compact_str::CompactString;
use ringtap_record::{CallRecord, Caller, Explanation, Flag, NameSource, Outcome, Target, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::JournalError;
use crate::reader::Found;

const CALL: &str = "SELECT seq, call, started, ended, caller, caller_name, name_source, withheld, dialled, \
     answered_by, machine, legs, flags, talk_ms, referred_by FROM call";
const TARGETS: &str = "SELECT identity, outcome, base, alerted, ring_ms, diverted_to, group_number, started, \
     ended FROM target WHERE seq = ?1 ORDER BY rank";

/// The records after `seq`, oldest first, at most `limit`; damaged ones in their place.
pub(crate) fn after(
    connection: &Connection,
    path: &Path,
    seq: u64,
    limit: usize,
) -> Result<Vec<Found>, JournalError> {
    let doing = JournalError::sqlite(path, "read records");
    let transaction = connection
        .unchecked_transaction()
        .map_err(JournalError::sqlite(path, "read records"))?;
    let read = || -> rusqlite::Result<Vec<Found>> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut calls =
            transaction.prepare_cached(&format!("{CALL} WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
        let mut rows = calls.query((seq, limit))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)?.unsigned_abs();
            let record = match RawCall::read(row).and_then(|call| call.with_targets(&transaction)) {
                Ok(raw) => raw.checked(path).map(|(_, record)| record),
                Err(fault) => Err(damage(path, seq, fault)?),
            };
            found.push((seq, record));
        }
        Ok(found)
    };
    read().map_err(doing)
}

/// A value that has not the type of its column harms this record alone; any other fault is handed back.
fn damage(path: &Path, seq: u64, fault: rusqlite::Error) -> rusqlite::Result<JournalError> {
    use rusqlite::Error;
    match fault {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => Ok(JournalError::Damaged {
            path: path.to_owned(),
            seq,
            what: fault.to_string(),
        }),
        other => Err(other),
    }
}

/// The record named `call`.
pub(crate) fn named(
    connection: &Connection,
    path: &Path,
    call: &str,
) -> Result<Option<CallRecord>, JournalError> {
    let transaction = connection
        .unchecked_transaction()
        .map_err(JournalError::sqlite(path, "find a record"))?;
    let raw = transaction
        .query_row(&format!("{CALL} WHERE call = ?1"), [call], RawCall::read)
        .and_then(|call| call.with_targets(&transaction))
        .optional()
        .map_err(JournalError::sqlite(path, "find a record"))?;
    raw.map(|raw| raw.checked(path).map(|(_, record)| record))
        .transpose()
}

/// The calls whose name begins with `prefix`, at most `limit`.
pub(crate) fn names(
    connection: &Connection,
    path: &Path,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, JournalError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut select = connection
            .prepare_cached("SELECT call FROM call WHERE call >= ?1 AND call < ?2 ORDER BY call LIMIT ?3")?;
        // Names are hex digits, before `g`.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![prefix, format!("{prefix}g"), limit], |row| row.get(0))?;
        rows.collect()
    };
    read().map_err(JournalError::sqlite(path, "find records by name"))
}

/// How the record named `call` came about, if that was kept.
pub(crate) fn story(
    connection: &Connection,
    path: &Path,
    call: &str,
) -> Result<Option<Explanation>, JournalError> {
    let found: Option<(i64, String)> = connection
        .query_row(
            "SELECT call.seq, story FROM explanation JOIN call ON call.seq = explanation.seq WHERE call = ?1",
            [call],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(JournalError::sqlite(path, "find an explanation"))?;
    found
        .map(|(seq, text)| {
            serde_json::from_str(&text).map_err(|error| JournalError::Damaged {
                path: path.to_owned(),
                seq: seq.unsigned_abs(),
                what: format!("explanation: {error}"),
            })
        })
        .transpose()
}

/// A record as stored, its code words not looked at yet.
struct RawCall {
    seq: i64,
    record: CallRecord,
    name_source: String,
    flags: String,
    outcomes: Vec<(String, Option<String>)>,
}

impl RawCall {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            record: CallRecord {
                call: row.get(1)?,
                started: Time::from_micros(row.get(2)?),
                ended: Time::from_micros(row.get(3)?),
                caller: Caller {
                    identity: compact(row, 4)?,
                    name: compact(row, 5)?,
                    name_source: NameSource::None,
                    withheld: row.get(7)?,
                },
                dialled: compact(row, 8)?,
                answered_by: compact(row, 9)?,
                machine: row.get(10)?,
                talk_ms: row.get::<_, Option<i64>>(13)?.map(i64::unsigned_abs),
                referred_by: compact(row, 14)?,
                legs: row.get(11)?,
                targets: Vec::new(),
                flags: Vec::new(),
            },
            name_source: row.get(6)?,
            flags: row.get(12)?,
            outcomes: Vec::new(),
        })
    }

    fn with_targets(mut self, connection: &Connection) -> rusqlite::Result<Self> {
        let mut targets = connection.prepare_cached(TARGETS)?;
        let mut rows = targets.query([self.seq])?;
        while let Some(row) = rows.next()? {
            self.outcomes.push((row.get(1)?, row.get(2)?));
            self.record.targets.push(Target {
                identity: compact(row, 0)?.unwrap_or_default(),
                outcome: Outcome::Undetermined,
                base: None,
                alerted: row.get(3)?,
                ring_ms: row.get::<_, i64>(4)?.unsigned_abs(),
                diverted_to: compact(row, 5)?,
                group: compact(row, 6)?,
                started: Time::from_micros(row.get(7)?),
                ended: Time::from_micros(row.get(8)?),
            });
        }
        Ok(self)
    }

    fn checked(mut self, path: &Path) -> Result<(u64, CallRecord), JournalError> {
        let seq = self.seq.unsigned_abs();
        let damaged = |what| JournalError::Damaged {
            path: path.to_owned(),
            seq,
            what,
        };
        self.record.caller.name_source = source_of(&self.name_source).map_err(damaged)?;
        self.record.flags = self
            .flags
            .split_terminator(' ')
            .map(flag_of)
            .collect::<Result<_, _>>()
            .map_err(damaged)?;
        for (target, (outcome, base)) in self.record.targets.iter_mut().zip(&self.outcomes) {
            target.outcome = outcome_of(outcome).map_err(damaged)?;
            target.base = base.as_deref().map(outcome_of).transpose().map_err(damaged)?;
        }
        Ok((seq, self.record))
    }
}

fn compact(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<CompactString>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(CompactString::from))
}

fn outcome_of(word: &str) -> Result<Outcome, String> {
    word.parse()
        .map_err(|unknown: ringtap_record::UnknownOutcome| unknown.to_string())
}

pub(crate) const fn source_word(source: NameSource) -> &'static str {
    match source {
        NameSource::Asserted => "asserted",
        NameSource::From => "from",
        NameSource::None => "none",
    }
}

fn source_of(word: &str) -> Result<NameSource, String> {
    [NameSource::Asserted, NameSource::From, NameSource::None]
        .into_iter()
        .find(|source| source_word(*source) == word)
        .ok_or_else(|| format!("unknown name source {word:?}"))
}

fn flag_of(word: &str) -> Result<Flag, String> {
    Flag::ALL
        .into_iter()
        .find(|flag| flag.as_str() == word)
        .ok_or_else(|| format!("unknown flag {word:?}"))
}

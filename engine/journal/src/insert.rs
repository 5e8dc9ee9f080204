//! Records into rows of `call`, `target` and `explanation`, a batch at a time.
//!
//! What a row costs is mostly what SQLite does around it: finding the statement, starting and ending it, opening and closing its tables. So each
//! table is filled by itself, many rows by one statement. Whether what a row refers to is there is not asked: it came just before.

use std::borrow::Cow;
use std::sync::LazyLock;

use ringtap_record::{CallRecord, Explanation, Flag, Outcome, Target};
use rusqlite::{CachedStatement, Connection, Error, Statement, ToSql, ffi};

use crate::row::source_word;
use crate::story::StoryText;

/// Rows that one statement inserts. More gain little, and what SQLite makes of the statement leaves the nearest cache.
const TOGETHER: usize = 16;

static CALL: LazyLock<Insert> = LazyLock::new(|| {
    Insert::under_cursor(
        "call",
        "call, started, ended, caller, caller_name, name_source, withheld, dialled, answered_by, machine, legs, flags, \
         written, talk_ms, referred_by",
        "ON CONFLICT (call) DO NOTHING",
    )
});
static TARGET: LazyLock<Insert> = LazyLock::new(|| {
    let columns =
        "seq, rank, identity, outcome, base, alerted, ring_ms, diverted_to, group_number, started, ended";
    Insert {
        many: Insert::text("target", columns, TOGETHER),
        one: Insert::text("target", columns, 1),
    }
});
static STORY: LazyLock<Insert> = LazyLock::new(|| Insert::under_cursor("explanation", "story", ""));

/// A record, and how it came about if that is to be kept.
pub(crate) type Told<'a> = (&'a CallRecord, Option<&'a Explanation>);

/// Inserts `records` under the cursors after `last`, but for those whose name is there already; gives the last cursor that is in use then.
pub(crate) fn all(
    sql: &Connection,
    records: &[Told<'_>],
    last: i64,
    written_us: i64,
) -> rusqlite::Result<i64> {
    let added = calls(sql, records, last, written_us)?;
    targets(sql, &added)?;
    stories(sql, &added)?;
    Ok(added.last().map_or(last, |&(_, seq)| seq))
}

/// Fills `call`; gives those records that were not there, with their cursors.
fn calls<'a>(
    sql: &Connection,
    records: &[Told<'a>],
    last: i64,
    written_us: i64,
) -> rusqlite::Result<Vec<(Told<'a>, i64)>> {
    let mut added = Vec::with_capacity(records.len());
    let mut free = last + 1..;
    // After a sweep the newest row may be an older one.
    let mut newest = newest(sql, "call")?;
    let mut rest = records;
    let (mut many, mut one) = CALL.prepare(sql)?;
    let mut is_one_known = false;
    while let Some((first, behind)) = rest.split_first() {
        let group = rest
            .get(..TOGETHER)
            .filter(|_| !is_one_known && newest.checked_add(1) == Some(free.start));
        let inserted = if let Some(group) = group {
            let inserted = put_calls(sql, &mut many, group, written_us)?;
            // Where one is known more are, as of a capture that is read again: from here each by itself.
            is_one_known = inserted < group.len();
            expect_newest(sql, inserted, newest)?;
            inserted
        } else {
            let mut values = Values::of(&mut one);
            values.put(free.start)?;
            put_call(&mut values, first.0, written_us)?;
            one.raw_execute()?
        };
        added.extend(rest.iter().copied().take(inserted).zip(free.by_ref()));
        newest = added.last().map_or(newest, |&(_, seq)| seq);
        rest = match group {
            Some(_) => rest.get(inserted..).unwrap_or_default(),
            None => behind,
        };
    }
    Ok(added)
}

/// An error if the rows that were just inserted have other numbers than the readers' cursors: targets and explanations would go to other calls.
fn expect_newest(sql: &Connection, inserted: usize, newest: i64) -> rusqlite::Result<()> {
    let expected = i64::try_from(inserted)
        .ok()
        .and_then(|rows| newest.checked_add(rows));
    if inserted > 0 && expected != Some(sql.last_insert_rowid()) {
        return Err(Error::StatementChangedRows(inserted));
    }
    Ok(())
}

/// Inserts the calls of a group up to the first whose name is there already; gives how many.
fn put_calls(
    sql: &Connection,
    many: &mut Statement<'_>,
    group: &[Told<'_>],
    written_us: i64,
) -> rusqlite::Result<usize> {
    let mut values = Values::of(many);
    for (record, _) in group {
        put_call(&mut values, record, written_us)?;
    }
    match many.raw_execute() {
        Err(fault) if is_name_known(&fault) => Ok(usize::try_from(sql.changes()).unwrap_or(0)),
        done => done,
    }
}

fn targets(sql: &Connection, added: &[(Told<'_>, i64)]) -> rusqlite::Result<()> {
    let rows: Vec<_> = added
        .iter()
        .flat_map(|&((record, _), seq)| (0_i64..).zip(&record.targets).map(move |place| (seq, place)))
        .collect();
    let (mut many, mut one) = TARGET.prepare(sql)?;
    let (groups, rest) = rows.as_chunks::<TOGETHER>();
    for group in groups {
        let mut values = Values::of(&mut many);
        for &(seq, (rank, target)) in group {
            put_target(&mut values, seq, rank, target)?;
        }
        many.raw_execute()?;
    }
    for &(seq, (rank, target)) in rest {
        put_target(&mut Values::of(&mut one), seq, rank, target)?;
        one.raw_execute()?;
    }
    Ok(())
}

fn stories(sql: &Connection, added: &[(Told<'_>, i64)]) -> rusqlite::Result<()> {
    let rows: Vec<_> = added
        .iter()
        .filter_map(|&((_, story), seq)| Some((story?, seq)))
        .collect();
    let mut text = StoryText::default();
    let mut newest = newest(sql, "explanation")?;
    let mut rest = rows.as_slice();
    let (mut many, mut one) = STORY.prepare(sql)?;
    while let Some((&(story, seq), behind)) = rest.split_first() {
        let group = rest.first_chunk::<TOGETHER>();
        if let Some(group) = group.filter(|group| follows(newest, *group)) {
            let mut values = Values::of(&mut many);
            for (story, _) in group {
                values.put(text.of(story))?;
            }
            many.raw_execute()?;
            rest = rest.get(TOGETHER..).unwrap_or_default();
            newest = group.last().map_or(newest, |&(_, seq)| seq);
        } else {
            let mut values = Values::of(&mut one);
            values.put(seq)?;
            values.put(text.of(story))?;
            one.raw_execute()?;
            rest = behind;
            newest = seq;
        }
    }
    Ok(())
}

/// Whether the rows of a group have the cursors that come next.
fn follows(newest: i64, group: &[(&Explanation, i64)]) -> bool {
    (newest.saturating_add(1)..)
        .zip(group)
        .all(|(next, &(_, seq))| next == seq)
}

/// The highest cursor in a table: the next row gets the one after it, if it brings none itself.
fn newest(sql: &Connection, table: &str) -> rusqlite::Result<i64> {
    let newest: Option<i64> = sql
        .prepare_cached(&format!("SELECT max(seq) FROM {table}"))?
        .query_row((), |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

fn is_name_known(fault: &Error) -> bool {
    // The name is all that is unique in `call`, but for the cursor, which has a code of its own.
    fault.sqlite_error().map(|fault| fault.extended_code) == Some(ffi::SQLITE_CONSTRAINT_UNIQUE)
}

fn put_call(values: &mut Values<'_, '_>, record: &CallRecord, written_us: i64) -> rusqlite::Result<()> {
    let caller = &record.caller;
    values.put(&record.call)?;
    values.put(record.started.as_micros())?;
    values.put(record.ended.as_micros())?;
    values.put(caller.identity.as_deref())?;
    values.put(caller.name.as_deref())?;
    values.put(source_word(caller.name_source))?;
    values.put(caller.withheld)?;
    values.put(record.dialled.as_deref())?;
    values.put(record.answered_by.as_deref())?;
    values.put(record.machine)?;
    values.put(record.legs)?;
    values.put(flag_words(&record.flags).as_ref())?;
    values.put(written_us)?;
    values.put(record.talk_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))?;
    values.put(record.referred_by.as_deref())
}

fn put_target(values: &mut Values<'_, '_>, seq: i64, rank: i64, target: &Target) -> rusqlite::Result<()> {
    values.put(seq)?;
    values.put(rank)?;
    values.put(target.identity.as_str())?;
    values.put(target.outcome.as_str())?;
    values.put(target.base.map(Outcome::as_str))?;
    values.put(target.alerted)?;
    values.put(i64::try_from(target.ring_ms).unwrap_or(i64::MAX))?;
    values.put(target.diverted_to.as_deref())?;
    values.put(target.group.as_deref())?;
    values.put(target.started.as_micros())?;
    values.put(target.ended.as_micros())
}

fn flag_words(flags: &[Flag]) -> Cow<'static, str> {
    match flags {
        [] => Cow::Borrowed(""),
        [flag] => Cow::Borrowed(flag.as_str()),
        _ => Cow::Owned(
            flags
                .iter()
                .map(|flag| flag.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        ),
    }
}

/// How rows come into a table.
struct Insert {
    /// [`TOGETHER`] of them. One that cannot be inserted ends it and leaves those before it, so that SQLite need not note what to take back.
    many: String,
    /// One.
    one: String,
}

impl Insert {
    /// `one` is told the cursor, `many` rows get those after the newest: SQLite has to note what to take back as soon as a value is to be the
    /// row's number, which might be none.
    fn under_cursor(table: &str, columns: &str, otherwise: &str) -> Self {
        let one = Self::text(table, &format!("seq, {columns}"), 1);
        Self {
            many: Self::text(table, columns, TOGETHER),
            one: format!("{one} {otherwise}"),
        }
    }

    fn text(table: &str, columns: &str, rows: usize) -> String {
        let row = vec!["?"; columns.split(',').count()].join(", ");
        let rows = vec![format!("({row})"); rows].join(", ");
        format!("INSERT OR FAIL INTO {table} ({columns}) VALUES {rows}")
    }

    fn prepare<'c>(
        &self,
        sql: &'c Connection,
    ) -> rusqlite::Result<(CachedStatement<'c>, CachedStatement<'c>)> {
        Ok((sql.prepare_cached(&self.many)?, sql.prepare_cached(&self.one)?))
    }
}

/// The values of a statement, from the first to the last.
struct Values<'s, 'c> {
    statement: &'s mut Statement<'c>,
    place: usize,
}

impl<'s, 'c> Values<'s, 'c> {
    const fn of(statement: &'s mut Statement<'c>) -> Self {
        Self { statement, place: 0 }
    }

    #[inline]
    fn put(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.place += 1;
        self.statement.raw_bind_parameter(self.place, value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use ringtap_record::{Caller, Outcome, Ruling, Target, Time};
    use rusqlite::params;

    use super::*;
    use crate::{JOURNAL, row};

    fn record(name: u16, targets: usize, flags: usize) -> CallRecord {
        let started = Time::from_micros(1_714_962_221_000_000 + i64::from(name));
        let target = |rank: usize| Target {
            identity: format!("+8625830910{name}").into(),
            outcome: *Outcome::ALL.get(rank).unwrap(),
            base: (rank == 1).then_some(Outcome::NoAnswer),
            alerted: rank == 0,
            ring_ms: u64::from(name),
            diverted_to: (rank == 2).then(|| "sip:liming@ims.office.test".into()),
            group: (rank == 1).then(|| "+862583091000".into()),
            started,
            ended: started.plus_ms(20_000),
        };
        CallRecord {
            call: format!("{:064x}", u64::from(name).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            started,
            ended: started.plus_ms(25_050),
            caller: Caller::default(),
            dialled: name.is_multiple_of(2).then(|| "+862583091000".into()),
            answered_by: None,
            machine: name.is_multiple_of(3),
            talk_ms: name.is_multiple_of(5).then_some(7),
            referred_by: None,
            targets: (0..targets).map(target).collect(),
            legs: u32::from(name),
            flags: Flag::ALL.into_iter().take(flags).collect(),
        }
    }

    fn story(name: u16) -> Explanation {
        Explanation {
            rulings: vec![Ruling {
                row: format!("D{name}").into(),
                base_row: None,
            }],
            ..Explanation::default()
        }
    }

    /// What a batch holds: its records' names in order, how many targets and flags each has, whether it is explained; and what goes before it: rows
    /// newer than this share of the present ones (a sweep).
    type Batch = (Vec<(u16, usize, usize, bool)>, Option<u8>);

    fn batches() -> impl Strategy<Value = Vec<Batch>> {
        let explained = prop_oneof![30 => Just(true), 1 => Just(false)];
        // Few names, so that most are known; or many, so that few are.
        let names = prop_oneof![0..40_u16, any::<u16>(), any::<u16>()];
        let told = (names, 0..3_usize, 0..3_usize, explained);
        vec(
            (vec(told, 0..70), proptest::option::weighted(0.2, any::<u8>())),
            1..5,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Catches what many rows by one statement make of a record that one by one would not: another cursor, a record that is there
        /// twice or is not, targets or an explanation of another record or of one that was there before.
        #[test]
        fn many_at_once_are_as_one_by_one(batches in batches()) {
            let folder = tempfile::tempdir().unwrap();
            let sql = JOURNAL.open(&folder.path().join("j.db")).unwrap();
            sql.pragma_update(None, "foreign_keys", false).unwrap();
            let (mut names, mut last) = (HashSet::new(), 0);
            let mut wanted: Vec<(i64, CallRecord, Option<Explanation>)> = Vec::new();
            for (batch, swept) in batches {
                if let Some(share) = swept {
                    let from = last * i64::from(share) / 255;
                    for table in ["call", "target", "explanation"] {
                        sql.execute(&format!("DELETE FROM {table} WHERE seq > ?1"), params![from]).unwrap();
                    }
                    wanted.retain(|(seq, ..)| *seq <= from);
                    names = wanted.iter().map(|(_, record, _)| record.call.clone()).collect();
                }
                let batch: Vec<_> = batch
                    .into_iter()
                    .map(|(name, targets, flags, explained)| (record(name, targets, flags), explained.then(|| story(name))))
                    .collect();
                let told: Vec<Told<'_>> = batch.iter().map(|(record, story)| (record, story.as_ref())).collect();
                let now = all(&sql, &told, last, 5).unwrap();
                for (record, story) in batch {
                    if names.insert(record.call.clone()) {
                        last += 1;
                        wanted.push((last, record, story));
                    }
                }
                prop_assert_eq!(now, last);
            }
            let path = Path::new("j.db");
            let found: Vec<_> = row::after(&sql, path, 0, usize::MAX)
                .unwrap()
                .into_iter()
                .map(|(seq, record)| {
                    let record = record.unwrap();
                    let story = row::story(&sql, path, &record.call).unwrap();
                    (i64::try_from(seq).unwrap(), record, story)
                })
                .collect();
            prop_assert_eq!(found, wanted);
            let rows: i64 = sql.query_row("SELECT count(*) FROM pragma_foreign_key_check", (), |row| row.get(0)).unwrap();
            prop_assert_eq!(rows, 0);
        }
    }
}

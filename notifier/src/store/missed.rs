//! What each person missed, for the person to look at: written with the mark that the person was told, so each call once; kept as long
//! as the content of mails (`retention`), and no more of them than can be looked at.

use ringtap_record::Time;
use rusqlite::{Connection, params};

use super::outbox::millis;
use super::retention::ROWS;
use super::told::read_notice;
use super::{Store, StoreError};
use crate::notice::Notice;

/// Calls that are kept for each person; the oldest beyond are forgotten, for whoever is flooded with calls looks at the latest.
pub const MISSED_MAX: u32 = 10_000;
/// One call in so many that are kept has its person's oldest ones forgotten: to step over what stays costs as much as hundreds of
/// insertions. A prime, so that calls which always come for several people meet each of them.
const TRIM_EVERY: i64 = 251;

/// A call that a person missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedCall {
    /// Row number; later calls have greater ones.
    pub id: i64,
    /// What there is to tell.
    pub notice: Notice,
    /// Whether the person has seen to it.
    pub is_done: bool,
}

/// How many calls a person missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissedCount {
    /// All that are kept, up to [`MISSED_MAX`].
    pub all: u64,
    /// Those that the person has not seen to.
    pub open: u64,
    /// The row number of the last that was written; 0 if there is none.
    pub last: i64,
}

/// Counts a person's calls out of the index alone, and no more than are shown.
const COUNT: &str = "SELECT count(*), count(*) - count(done_ms), ifnull(max(id), 0) FROM \
                     (SELECT id, done_ms FROM missed WHERE user_id = ?1 ORDER BY started DESC, id DESC LIMIT ?2)";

impl Store {
    /// Forgets what each person has missed beyond [`MISSED_MAX`]; how many calls these were.
    pub(super) fn trim_missed(&mut self) -> Result<usize, StoreError> {
        let fault = self.fault("forget what is beyond what is shown");
        let trim_all = || -> rusqlite::Result<usize> {
            let flooded: Vec<i64> = self
                .connection
                .prepare_cached("SELECT user_id FROM missed GROUP BY user_id HAVING count(*) > ?1")?
                .query_map([MISSED_MAX], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let mut all = 0;
            for user in flooded {
                loop {
                    let trimmed = trim(&self.connection, user)?;
                    all += trimmed;
                    if trimmed == 0 {
                        break;
                    }
                }
            }
            Ok(all)
        };
        trim_all().map_err(fault)
    }

    /// What the person with this row number missed, the latest first, without the first `skip`; at most `limit`. Rows that cannot be read
    /// are left out.
    pub fn missed(&self, user: i64, skip: u32, limit: u32) -> Result<Vec<MissedCall>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(i64, String, bool)>> {
            self.connection
                .prepare_cached(
                    "SELECT id, notice, done_ms IS NOT NULL FROM missed WHERE user_id = ?1 \
                     ORDER BY started DESC, id DESC LIMIT ?3 OFFSET ?2",
                )?
                .query_map(params![user, skip, limit], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        };
        let rows = read().map_err(self.fault("read missed calls"))?;
        let calls = rows.into_iter().filter_map(|(id, notice, is_done)| {
            let notice = read_notice(&notice).ok()?;
            Some(MissedCall { id, notice, is_done })
        });
        Ok(calls.collect())
    }

    /// How many calls the person missed.
    pub fn missed_count(&self, user: i64) -> Result<MissedCount, StoreError> {
        self.connection
            .prepare_cached(COUNT)
            .and_then(|mut count| {
                count.query_row(params![user, MISSED_MAX], |row| {
                    Ok(MissedCount {
                        all: row.get::<_, i64>(0)?.unsigned_abs(),
                        open: row.get::<_, i64>(1)?.unsigned_abs(),
                        last: row.get(2)?,
                    })
                })
            })
            .map_err(self.fault("count missed calls"))
    }

    /// The person has seen to one of their calls, or has not after all; false if there is no such call of theirs.
    pub fn mark_missed(&mut self, user: i64, id: i64, is_done: bool, now: Time) -> Result<bool, StoreError> {
        self.connection
            .execute(
                "UPDATE missed SET done_ms = ?3 WHERE id = ?2 AND user_id = ?1",
                params![user, id, is_done.then(|| millis(now))],
            )
            .map(|changed| changed > 0)
            .map_err(self.fault("mark a missed call"))
    }

    /// The person has seen to all calls up to the one with that row number.
    pub fn mark_all_missed(&mut self, user: i64, up_to: i64, now: Time) -> Result<usize, StoreError> {
        self.connection
            .execute(
                "UPDATE missed SET done_ms = ?3 WHERE user_id = ?1 AND id <= ?2 AND done_ms IS NULL",
                params![user, up_to, millis(now)],
            )
            .map_err(self.fault("mark missed calls"))
    }
}

/// Keeps a call, whose notice is `json`, for the person to look at.
pub(super) fn keep(
    sql: &Connection,
    user: i64,
    notice: &Notice,
    json: &str,
    now: Time,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO missed (user_id, call, notice, started, at_ms) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )?
    .execute(params![user, notice.call, json, notice.started.as_micros(), millis(now)])?;
    if sql.last_insert_rowid() % TRIM_EVERY == 0 {
        trim(sql, user)?;
    }
    Ok(())
}

/// Forgets the person's oldest calls beyond [`MISSED_MAX`]; how many these were, and no more than a sweep takes at once.
fn trim(sql: &Connection, user: i64) -> rusqlite::Result<usize> {
    sql.prepare_cached(
        "DELETE FROM missed WHERE id IN (SELECT id FROM missed WHERE user_id = ?1 \
         ORDER BY started DESC, id DESC LIMIT ?3 OFFSET ?2)",
    )?
    .execute(params![user, MISSED_MAX, ROWS])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a count that reads the rows themselves, of which each is a kilobyte, and a list that is sorted anew for every look.
    #[test]
    fn counting_reads_the_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("n.db")).unwrap();
        let plan = |query: &str| -> String {
            let mut plan = store
                .connection
                .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
                .unwrap();
            let lines = plan.query_map([1, 1], |row| row.get::<_, String>(3)).unwrap();
            lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
        };
        let count = plan(COUNT);
        assert!(count.contains("USING COVERING INDEX missed_of_user"), "{count}");
        assert!(!count.contains("TEMP B-TREE"), "{count}");
    }
}

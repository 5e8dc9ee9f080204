//! The retention: records that were written long ago go, a few at a time and only while none wait to be written.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use crate::schema::give_back;
use crate::work::{Work, wall_clock_us};

/// How often old records are swept out.
const SWEEP: Duration = Duration::from_secs(3600);
/// Rows looked at per sweeping transaction, so that no sweep holds the lock for long.
const SWEEP_ROWS: i64 = 2000;

impl Work {
    /// Removes what is older than the retention. `seq` grows with `written`, so the oldest rows stand first
    /// and the sweep ends at the first one young enough.
    pub(crate) fn sweep(&mut self) {
        if self.options.retention_days == 0 || self.swept.is_some_and(|last| last.elapsed() < SWEEP) {
            return;
        }
        // A disk that hangs now holds up what comes meanwhile.
        *self.state.unsaved_since.lock() = Some(Instant::now());
        let is_through = self.sweep_some();
        *self.state.unsaved_since.lock() = None;
        if is_through {
            self.swept = Some(Instant::now());
        }
    }

    /// As much of it as can be done while no record waits; whether that was the rest.
    fn sweep_some(&mut self) -> bool {
        let kept_us = i64::from(self.options.retention_days).saturating_mul(86_400_000_000);
        let before_us = wall_clock_us().saturating_sub(kept_us);
        // What is told again every day would be younger.
        if let Err(fault) = self
            .connection
            .execute("DELETE FROM implicit_set WHERE written < ?1", [before_us])
        {
            tracing::warn!(path = %self.path.display(), %fault, "old sets could not be removed");
        }
        loop {
            match sweep_once(&mut self.connection, before_us) {
                Ok(0) => break,
                Ok(removed) => {
                    tracing::debug!(removed, "records past their retention removed");
                    if !self.queue.is_empty() {
                        return false;
                    }
                }
                Err(fault) => {
                    tracing::warn!(path = %self.path.display(), %fault, "old records could not be removed");
                    break;
                }
            }
        }
        match give_back(&self.connection) {
            Ok(0) => {}
            Ok(pages) => tracing::debug!(pages, "unused pages given back"),
            Err(fault) => {
                tracing::warn!(path = %self.path.display(), %fault, "unused pages could not be given back");
            }
        }
        true
    }
}

fn sweep_once(connection: &mut Connection, before_us: i64) -> rusqlite::Result<usize> {
    // What refers to the rows goes with them.
    connection.pragma_update(None, "foreign_keys", true)?;
    let removed = remove_some(connection, before_us);
    connection.pragma_update(None, "foreign_keys", false)?;
    removed
}

fn remove_some(connection: &mut Connection, before_us: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = transaction.execute(
        "DELETE FROM call WHERE seq IN \
         (SELECT seq FROM (SELECT seq, written FROM call ORDER BY seq LIMIT ?1) WHERE written < ?2)",
        (SWEEP_ROWS, before_us),
    )?;
    transaction.commit()?;
    Ok(removed)
}

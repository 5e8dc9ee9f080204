//! The writer's thread: takes what is queued, and commits it in batches.
//!
//! A write that fails is tried again as long as the writer lives, so a disk that was full for a minute
//! costs at most what did not fit in the queue. A file that is removed or replaced under the writer is noticed before each
//! commit, and when there is nothing to write: it goes on in what the path names then, or makes it anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::JournalError;
use crate::place::Place;
use crate::schema::SchemaError;
use crate::state::{Entry, State};
use crate::wait::settle_in;
use crate::writer::Options;
use crate::{JOURNAL, insert, sets};

/// Pause after a failed write.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How often a writer without work looks whether its file is still in place.
const LOOK: Duration = Duration::from_millis(500);

/// What the thread owns.
pub(crate) struct Work {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) place: Place,
    pub(crate) options: Options,
    pub(crate) queue: Receiver<Entry>,
    pub(crate) state: Arc<State>,
    pub(crate) swept: Option<Instant>,
}

impl Work {
    /// Stays a function of its own: `scripts/instructions.sh` tells what it takes.
    #[inline(never)]
    pub(crate) fn run(mut self) {
        let mut batch = Vec::with_capacity(self.options.batch);
        loop {
            let open = self.gather(&mut batch);
            let saved = self.save(&mut batch);
            let closing = self.state.closing.load(Ordering::Acquire);
            if !open || (closing && !saved) {
                break;
            }
            self.sweep();
        }
        let unsaved = batch.len() + self.queue.len();
        if unsaved > 0 {
            self.state.count_lost(u64::try_from(unsaved).unwrap_or(u64::MAX));
        } else {
            // What is left of a sweep that records came between.
            self.sweep();
        }
    }

    /// Fills `batch`; false once the senders are gone and the queue is empty.
    fn gather(&self, batch: &mut Vec<Entry>) -> bool {
        if batch.is_empty() {
            match self.queue.recv_timeout(LOOK) {
                Ok(entry) => batch.push(entry),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        let now = Instant::now();
        self.state.unsaved_since.lock().get_or_insert(now);
        let until = now + self.options.linger;
        let waiting = batch.len() + self.queue.len();
        // What comes later waits for the next commit, even if it comes all the while: what is written beside those who bring it need not be
        // written when they have ended.
        while batch.len() < self.options.batch.max(1) && (batch.len() < waiting || Instant::now() < until) {
            match self.queue.recv_deadline(until) {
                Ok(entry) => batch.push(entry),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    /// Writes `batch` in one transaction and empties it; false, with the batch kept, if that failed.
    fn save(&mut self, batch: &mut Vec<Entry>) -> bool {
        match self.write(batch) {
            Ok(added) => {
                let is_record = |entry: &&Entry| matches!(entry, Entry::Record(..));
                let records = batch.iter().filter(is_record).count();
                let known = u64::try_from(records).unwrap_or(u64::MAX).saturating_sub(added);
                self.state.written.fetch_add(added, Ordering::Relaxed);
                self.state.already_there.fetch_add(known, Ordering::Relaxed);
                self.take_times(batch);
                batch.clear();
                if self.queue.len() < self.options.queue / 2 {
                    self.state.losing.store(false, Ordering::Relaxed);
                }
                self.state.recover(&self.path);
                true
            }
            Err(fault) => {
                self.state.stall(fault);
                thread::sleep(RETRY);
                false
            }
        }
    }

    /// Keeps how long the records of a batch took that has just been committed.
    fn take_times(&self, batch: &[Entry]) {
        let committed = Instant::now();
        *self.state.unsaved_since.lock() = None;
        let mut latency = self.state.latency.lock();
        for entry in batch {
            if let Entry::Record(_, _, Some(moments)) = entry {
                latency.add(*moments, committed);
            }
        }
    }

    /// Writes `batch` to the file that the path names; how many records of it are new there.
    fn write(&mut self, batch: &[Entry]) -> Result<u64, JournalError> {
        loop {
            if !self.place.is_kept() {
                self.go_on_elsewhere()?;
            }
            if batch.is_empty() {
                return Ok(0);
            }
            let added = write(&mut self.connection, batch)
                .map_err(JournalError::sqlite(&self.path, "write records"))?;
            // Whoever took the file away in that moment has taken the batch with it.
            if self.place.is_kept() {
                return Ok(added);
            }
        }
    }

    /// The path names another file, or none: opens or makes what is to be there.
    fn go_on_elsewhere(&mut self) -> Result<(), JournalError> {
        // Whole, wherever it is now: what was committed to it last may stand in its log alone, and that is left behind.
        let emptied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
        if !matches!(emptied, Ok(0)) {
            tracing::warn!(path = %self.path.display(), "the journal that was here may lack its last records");
        }
        self.place.clear_leftovers().map_err(|source| SchemaError::Io {
            what: JOURNAL.what,
            path: self.path.clone(),
            source,
        })?;
        // SQLite leaves the files of this name alone as it closes one that was moved.
        (self.connection, self.place) = settle_in(&self.path)?;
        self.state.moved.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            path = %self.path.display(),
            "the journal was removed or replaced while it was being written; going on in what is there now"
        );
        Ok(())
    }
}

/// Writes a batch; how many records of it are new.
fn write(connection: &mut Connection, batch: &[Entry]) -> rusqlite::Result<u64> {
    let written_us = wall_clock_us();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first: i64 = transaction
        .prepare_cached("SELECT seq_last FROM journal")?
        .query_row((), |row| row.get(0))?;
    let mut records = Vec::with_capacity(batch.len());
    for entry in batch {
        match entry {
            Entry::Record(record, story, _) => records.push((record, story.as_ref())),
            Entry::Set(set) => sets::put(&transaction, set, written_us)?,
        }
    }
    let last = insert::all(&transaction, &records, first, written_us)?;
    transaction
        .prepare_cached("UPDATE journal SET seq_last = ?1")?
        .execute([last])?;
    transaction.commit()?;
    Ok(last.abs_diff(first))
}

pub(crate) fn wall_clock_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

//! The journal's only writer: a thread that owns the connection and commits in batches.
//!
//! A replay sends and is held back when the disk is slower than the capture; live capture must never wait
//! and uses [`Writer::try_send`], which gives up the oldest unsaved record when the queue is full and counts
//! it. A write that fails is tried again as long as the writer lives, so a disk that was full for a minute
//! costs at most what did not fit in the queue. A file that is removed or replaced under the writer is noticed before each
//! commit, and when there is nothing to write: it goes on in what the path names then, or makes it anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use ringtap_record::{CallRecord, Explanation, ImplicitSet};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::JournalError;
use crate::place::Place;
use crate::schema::{SchemaError, give_back};
use crate::watch::{Latency, Moments, Watch};
use crate::{JOURNAL, row, sets};

/// Pause after a failed write.
const RETRY: Duration = Duration::from_millis(500);
/// How often a sender that waits for room looks whether the writer is in trouble.
const SEND_SLICE: Duration = Duration::from_millis(100);
/// How often a writer without work looks whether its file is still in place.
const LOOK: Duration = Duration::from_millis(500);
/// How often old records are swept out.
const SWEEP: Duration = Duration::from_secs(3600);
/// Rows looked at per sweeping transaction, so that no sweep holds the lock for long.
const SWEEP_ROWS: i64 = 2000;

/// Call names are random, so every insert lands on another page of their index: the index must fit.
const CACHE_KIB: i64 = 65_536;
/// A checkpoint moves each page once, however often it changed, and waits for the disk: rarely is cheap.
const CHECKPOINT_PAGES: i64 = 16_384;

/// How the writer works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Records older than this, counted from when they were written, are removed; 0 keeps them for ever.
    pub retention_days: u32,
    /// Records that may wait to be written.
    pub queue: usize,
    /// Records in one commit at most.
    pub batch: usize,
    /// How long a commit waits for company: a live record is visible to readers after this time.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention_days: 0,
            queue: 16_384,
            batch: 4096,
            linger: Duration::from_millis(20),
        }
    }
}

/// What the writer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records added.
    pub written: u64,
    /// Records that were there already, from an earlier reading of the same capture.
    pub already_there: u64,
    /// Records given up: by `try_send` for want of room, or still unsaved at the end.
    pub lost: u64,
    /// How often the file was removed or replaced under the writer, which went on in another.
    pub moved: u64,
}

/// The handle of the writer's thread. Dropping it without [`finish`](Self::finish) still writes what is
/// queued, but nobody hears of errors.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    sender: Option<Sender<Entry>>,
    queue: Receiver<Entry>,
    queue_max: usize,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What may be written.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every entry is a record: boxing it would cost each an allocation"
)]
pub(crate) enum Entry {
    /// A call, with how it came about if that is to be kept, and with what its time until it is saved is counted from if that is to be known.
    Record(CallRecord, Option<Explanation>, Option<Moments>),
    Set(ImplicitSet),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    written: AtomicU64,
    already_there: AtomicU64,
    lost: AtomicU64,
    moved: AtomicU64,
    pub(crate) stalled: AtomicBool,
    pub(crate) stalled_since: Mutex<Option<SystemTime>>,
    /// Since when the oldest record of the batch in hand waits.
    pub(crate) unsaved_since: Mutex<Option<Instant>>,
    /// Records are being given up, which has been told.
    losing: AtomicBool,
    /// When that was so last.
    pub(crate) lost_at: Mutex<Option<Instant>>,
    /// The journal may be opened.
    begun: AtomicBool,
    closing: AtomicBool,
    pub(crate) fault: Mutex<Option<JournalError>>,
    pub(crate) latency: Mutex<Latency>,
}

impl Writer {
    /// Opens or creates the journal at `path` and starts the thread.
    pub fn spawn(path: &Path, options: Options) -> Result<Self, JournalError> {
        let opened = settle_in(path)?;
        Self::start(path, options, Some(opened))
    }

    /// As [`spawn`](Self::spawn), but opens the journal, and brings it up to date, only at [`begin`](Self::begin): another process writes it
    /// until then. What is sent before waits.
    ///
    /// # Errors
    /// If the journal could not be opened or written now: it is another program's, a newer version's, another user's, or of a file system that is only
    /// read. One that is not there will be made.
    pub fn spawn_waiting(path: &Path, options: Options) -> Result<Self, JournalError> {
        match JOURNAL.open_as_it_is(path) {
            Ok(_) | Err(SchemaError::Missing { .. } | SchemaError::Empty { .. }) => {}
            Err(refused) => return Err(refused.into()),
        }
        Place::of(path)
            .look_whether_writable()
            .map_err(|(place, source)| JournalError::Shut {
                path: path.to_owned(),
                place,
                source,
            })?;
        Self::start(path, options, None)
    }

    fn start(
        path: &Path,
        options: Options,
        opened: Option<(Connection, Place)>,
    ) -> Result<Self, JournalError> {
        let (sender, queue) = bounded(options.queue.max(1));
        let state = Arc::new(State::default());
        state.begun.store(opened.is_some(), Ordering::Relaxed);
        let wait = Wait {
            path: path.to_owned(),
            options,
            queue: queue.clone(),
            state: Arc::clone(&state),
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                if let Some(work) = wait.work(opened) {
                    work.run();
                }
            })
            .map_err(|source| JournalError::Thread {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            sender: Some(sender),
            queue,
            queue_max: options.queue.max(1),
            state,
            thread: Some(thread),
        })
    }

    /// Queues a record; waits for room. Fails only if there is no room and the journal cannot be written.
    pub fn send(&self, record: CallRecord) -> Result<(), JournalError> {
        self.queue_up(Entry::Record(record, None, None))
    }

    /// As [`send`](Self::send), with how the record came about.
    pub fn send_explained(&self, record: CallRecord, story: Explanation) -> Result<(), JournalError> {
        self.queue_up(Entry::Record(record, Some(story), None))
    }

    /// As [`send_explained`](Self::send_explained); how long it took until the record was saved goes into [`Watch::latency`].
    pub fn send_timed(
        &self,
        record: CallRecord,
        story: Explanation,
        moments: Moments,
    ) -> Result<(), JournalError> {
        self.queue_up(Entry::Record(record, Some(story), Some(moments)))
    }

    /// Queues a set of identities that are registered together, as [`send`](Self::send) does a record. It takes
    /// the place of what was told before under the same identity.
    pub fn send_set(&self, set: ImplicitSet) -> Result<(), JournalError> {
        self.queue_up(Entry::Set(set))
    }

    fn queue_up(&self, entry: Entry) -> Result<(), JournalError> {
        let mut entry = entry;
        while let Some(sender) = &self.sender {
            match sender.send_timeout(entry, SEND_SLICE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) if !self.is_stalled() && self.is_alive() => {
                    entry = back;
                }
                Err(_) => break,
            }
        }
        self.state.count_lost(1);
        Err(JournalError::Stalled {
            path: self.path.clone(),
            queued: self.queue.len(),
        })
    }

    /// Queues a record without ever waiting: when the queue is full, the oldest unsaved record is given up
    /// and counted as lost.
    pub fn try_send(&self, record: CallRecord) {
        self.push(Entry::Record(record, None, None));
    }

    /// As [`try_send`](Self::try_send), with how the record came about.
    pub fn try_send_explained(&self, record: CallRecord, story: Explanation) {
        self.push(Entry::Record(record, Some(story), None));
    }

    /// As [`send_timed`](Self::send_timed), without ever waiting.
    pub fn try_send_timed(&self, record: CallRecord, story: Explanation, moments: Moments) {
        self.push(Entry::Record(record, Some(story), Some(moments)));
    }

    /// Queues a set as [`try_send`](Self::try_send) does a record.
    pub fn try_send_set(&self, set: ImplicitSet) {
        self.push(Entry::Set(set));
    }

    fn push(&self, entry: Entry) {
        let mut entry = entry;
        while let Some(sender) = &self.sender {
            match sender.try_send(entry) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) => {
                    entry = back;
                    if self.queue.try_recv().is_ok() {
                        self.state.count_lost(1);
                        if !self.state.losing.swap(true, Ordering::Relaxed) {
                            tracing::error!(
                                path = %self.path.display(),
                                "the journal cannot be written fast enough: the oldest records that wait are lost"
                            );
                        }
                    }
                }
                Err(TrySendError::Disconnected(_)) => break,
            }
        }
    }

    /// The journal is this writer's from now on. For one that did not wait, nothing changes.
    pub fn begin(&self) {
        self.state.begun.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.state.totals()
    }

    /// For whoever wants to know how it is doing, from another thread.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            path: self.path.clone(),
            state: Arc::clone(&self.state),
            queue: self.queue.clone(),
            queue_max: self.queue_max,
        }
    }

    /// Records waiting to be written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Records that may come at once without any being given up.
    #[must_use]
    pub fn room(&self) -> usize {
        self.queue_max.saturating_sub(self.queue.len())
    }

    /// Whether the last attempt to write failed; writing is tried again by itself.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.state.stalled.load(Ordering::Acquire)
    }

    /// Writes what is queued, stops the thread, and tells what was done; or the fault that kept records
    /// from being saved.
    pub fn finish(mut self) -> Result<Totals, JournalError> {
        self.join();
        match self.state.fault.lock().take() {
            Some(fault) => Err(fault),
            None => Ok(self.state.totals()),
        }
    }

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn join(&mut self) {
        self.state.closing.store(true, Ordering::Release);
        self.sender = None;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the journal's writer panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.join();
    }
}

impl State {
    /// Writing failed.
    fn stall(&self, fault: JournalError) {
        if !self.stalled.load(Ordering::Acquire) {
            tracing::error!(%fault, "the journal cannot be written, trying again");
            *self.stalled_since.lock() = Some(SystemTime::now());
        }
        *self.fault.lock() = Some(fault);
        // Last: whoever finds it set finds the fault.
        self.stalled.store(true, Ordering::Release);
    }

    /// Writing did not fail.
    fn recover(&self, path: &Path) {
        if self.stalled.swap(false, Ordering::AcqRel) {
            tracing::info!(path = %path.display(), "the journal can be written again");
            *self.fault.lock() = None;
        }
    }

    fn count_lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
        *self.lost_at.lock() = Some(Instant::now());
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            written: self.written.load(Ordering::Relaxed),
            already_there: self.already_there.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            moved: self.moved.load(Ordering::Relaxed),
        }
    }
}

/// What the thread has before the journal is open.
struct Wait {
    path: PathBuf,
    options: Options,
    queue: Receiver<Entry>,
    state: Arc<State>,
}

impl Wait {
    /// Waits until the journal may be opened, and opens it, however often that takes; `None` if it is told to end before.
    fn work(self, opened: Option<(Connection, Place)>) -> Option<Work> {
        let (connection, place) = match opened {
            Some(opened) => opened,
            None => self.open_late()?,
        };
        let Self {
            path,
            options,
            queue,
            state,
        } = self;
        Some(Work {
            path,
            connection,
            place,
            options,
            queue,
            state,
            swept: None,
        })
    }

    fn open_late(&self) -> Option<(Connection, Place)> {
        let is_closing = || self.state.closing.load(Ordering::Acquire);
        while !self.state.begun.load(Ordering::Acquire) {
            if is_closing() {
                return None;
            }
            thread::park();
        }
        loop {
            match settle_in(&self.path) {
                Ok(opened) => {
                    self.state.recover(&self.path);
                    return Some(opened);
                }
                Err(fault) => self.state.stall(fault),
            }
            if is_closing() {
                let unsaved = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
                self.state.count_lost(unsaved);
                return None;
            }
            thread::sleep(RETRY);
        }
    }
}

/// What the thread owns.
struct Work {
    path: PathBuf,
    connection: Connection,
    place: Place,
    options: Options,
    queue: Receiver<Entry>,
    state: Arc<State>,
    swept: Option<Instant>,
}

impl Work {
    fn run(mut self) {
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
        while batch.len() < self.options.batch.max(1) {
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

    /// Removes what is older than the retention. `seq` grows with `written`, so the oldest rows stand first
    /// and the sweep ends at the first one young enough.
    fn sweep(&mut self) {
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

/// Opens or makes the journal at `path`, and notes which file that is.
fn settle_in(path: &Path) -> Result<(Connection, Place), JournalError> {
    let before = Place::of(path);
    let connection = connect(path)?;
    // The log beside it is made when the file is first looked into, not when it is opened: one that came later would be taken for somebody's
    // doing. A backup has none.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))
        .map_err(JournalError::sqlite(path, "read it"))?;
    let mut place = if before.is_taken() {
        before
    } else {
        Place::of(path)
    };
    place.look_beside();
    Ok((connection, place))
}

/// The writer's connection. Each commit waits for the disk: readers go on from the number of the last record that they saw, so
/// a record that was seen and is gone after a power cut would leave its number to another call, which they would pass over.
/// Commits are batches, so this costs a millisecond or two each, and nothing beside the rest (docs/performance.md).
fn connect(path: &Path) -> Result<Connection, JournalError> {
    let connection = JOURNAL.open(path)?;
    connection.set_prepared_statement_cache_capacity(16);
    connection
        .pragma_update(None, "cache_size", -CACHE_KIB)
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .map_err(JournalError::sqlite(path, "set up its cache"))?;
    Ok(connection)
}

/// Writes a batch; how many records of it are new.
fn write(connection: &mut Connection, batch: &[Entry]) -> rusqlite::Result<u64> {
    let written_us = wall_clock_us();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first: i64 = transaction
        .prepare_cached("SELECT seq_last FROM journal")?
        .query_row((), |row| row.get(0))?;
    let mut last = first;
    for entry in batch {
        match entry {
            Entry::Record(record, story, _) => {
                last += i64::from(row::insert(
                    &transaction,
                    last + 1,
                    record,
                    story.as_ref(),
                    written_us,
                )?);
            }
            Entry::Set(set) => sets::put(&transaction, set, written_us)?,
        }
    }
    transaction
        .prepare_cached("UPDATE journal SET seq_last = ?1")?
        .execute([last])?;
    transaction.commit()?;
    Ok(last.abs_diff(first))
}

fn sweep_once(connection: &mut Connection, before_us: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = transaction.execute(
        "DELETE FROM call WHERE seq IN \
         (SELECT seq FROM (SELECT seq, written FROM call ORDER BY seq LIMIT ?1) WHERE written < ?2)",
        (SWEEP_ROWS, before_us),
    )?;
    transaction.commit()?;
    Ok(removed)
}

fn wall_clock_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches commits that a power cut may take back after readers have seen them: FULL is 2, NORMAL 1.
    #[test]
    fn commits_wait_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let connection = connect(&dir.path().join("j.db")).unwrap();
        let mode: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, 2);
    }
}

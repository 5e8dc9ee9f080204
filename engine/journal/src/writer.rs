//! The journal's only writer, as those see it who have something to write: a queue before a thread that owns the connection and commits in
//! batches (`work`).
//!
//! A replay sends and is held back when the disk is slower than the capture; live capture must never wait
//! and uses [`Writer::try_send`], which gives up the oldest unsaved record when the queue is full and counts
//! it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use ringtap_record::{CallRecord, Explanation, ImplicitSet};
use rusqlite::Connection;

use crate::JOURNAL;
use crate::error::JournalError;
use crate::place::Place;
use crate::schema::SchemaError;
use crate::state::{Entry, State, Totals};
use crate::wait::{Wait, settle_in};
use crate::watch::{Moments, Watch};

/// How often a sender that waits for room looks whether the writer is in trouble.
const SEND_SLICE: Duration = Duration::from_millis(100);

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
            batch: 16_384,
            linger: Duration::from_millis(20),
        }
    }
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

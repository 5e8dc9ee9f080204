//! What the writer's handle, its thread and those who watch it have in common: what is to be written, how far that is, what is in its way.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use ringtap_record::{CallRecord, Explanation, ImplicitSet};

use crate::error::JournalError;
use crate::watch::{Latency, Moments};

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
    /// As in [`Totals`].
    pub(crate) written: AtomicU64,
    pub(crate) already_there: AtomicU64,
    lost: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) stalled: AtomicBool,
    pub(crate) stalled_since: Mutex<Option<SystemTime>>,
    /// Since when the oldest record of the batch in hand waits.
    pub(crate) unsaved_since: Mutex<Option<Instant>>,
    /// Records are being given up, which has been told.
    pub(crate) losing: AtomicBool,
    /// When that was so last.
    pub(crate) lost_at: Mutex<Option<Instant>>,
    /// The journal may be opened.
    pub(crate) begun: AtomicBool,
    pub(crate) closing: AtomicBool,
    pub(crate) fault: Mutex<Option<JournalError>>,
    pub(crate) latency: Mutex<Latency>,
}

impl State {
    /// Writing failed.
    pub(crate) fn stall(&self, fault: JournalError) {
        if !self.stalled.load(Ordering::Acquire) {
            tracing::error!(%fault, "the journal cannot be written, trying again");
            *self.stalled_since.lock() = Some(SystemTime::now());
        }
        *self.fault.lock() = Some(fault);
        // Last: whoever finds it set finds the fault.
        self.stalled.store(true, Ordering::Release);
    }

    /// Writing did not fail.
    pub(crate) fn recover(&self, path: &Path) {
        if self.stalled.swap(false, Ordering::AcqRel) {
            tracing::info!(path = %path.display(), "the journal can be written again");
            *self.fault.lock() = None;
        }
    }

    pub(crate) fn count_lost(&self, records: u64) {
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

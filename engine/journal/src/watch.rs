//! The writer from outside: how far it is, what keeps it, and how long records took until they were saved. For whoever tells an operator
//! how the program is; asking costs the writer nothing but a lock that is held for a moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::Receiver;
use hdrhistogram::Histogram;

use crate::state::{Entry, State, Totals};

/// Longest time that is told apart: what took longer counts as this.
const LONGEST_US: u64 = 24 * 3_600_000_000;
/// Two decimal digits of a time are kept: a hundredth is finer than any bucket that is told.
const DIGITS: u8 = 2;

/// When a record's call ended and when its verdict was due: what the time until it is saved is counted from.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The last frame of the call came.
    pub ended: Instant,
    /// Its verdict was due.
    pub due: Instant,
}

/// How long something took, many times over.
#[derive(Debug)]
pub struct Durations {
    histogram: Histogram<u64>,
    sum_us: u64,
}

impl Default for Durations {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants that the library takes"
        )]
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("bounds of a histogram");
        Self { histogram, sum_us: 0 }
    }
}

impl Durations {
    pub(crate) fn add(&mut self, took: Duration) {
        let took_us = u64::try_from(took.as_micros())
            .unwrap_or(u64::MAX)
            .min(LONGEST_US);
        self.histogram.saturating_record(took_us);
        self.sum_us = self.sum_us.saturating_add(took_us);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// How many took no longer than this, to a hundredth of it.
    #[must_use]
    pub fn within(&self, bound: Duration) -> u64 {
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        self.histogram.count_between(0, bound_us.min(LONGEST_US))
    }
}

/// How long records took until they were committed.
#[derive(Debug, Default)]
pub struct Latency {
    /// From the last frame of the call.
    pub from_end: Durations,
    /// From when the verdict was due.
    pub from_due: Durations,
}

impl Latency {
    pub(crate) fn add(&mut self, moments: Moments, committed: Instant) {
        self.from_end
            .add(committed.saturating_duration_since(moments.ended));
        self.from_due
            .add(committed.saturating_duration_since(moments.due));
    }
}

/// A view of the writer, which may outlive it.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<State>,
    pub(crate) queue: Receiver<Entry>,
    pub(crate) queue_max: usize,
}

impl Watch {
    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.state.totals()
    }

    /// Records and sets that wait to be taken by the writer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many may.
    #[must_use]
    pub const fn queue_max(&self) -> usize {
        self.queue_max
    }

    /// How long the oldest record that the writer has in hand has waited to be saved; zero if it has none.
    #[must_use]
    pub fn unsaved(&self) -> Duration {
        self.state
            .unsaved_since
            .lock()
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Why the last attempt to write failed, and since when they fail; `None` if it did not.
    #[must_use]
    pub fn fault(&self) -> Option<(String, SystemTime)> {
        if !self.state.stalled.load(Ordering::Acquire) {
            return None;
        }
        let fault = self.state.fault.lock();
        let since = *self.state.stalled_since.lock();
        fault
            .as_ref()
            .map(|fault| (fault.to_string(), since.unwrap_or_else(SystemTime::now)))
    }

    /// When a record was lost last.
    #[must_use]
    pub fn lost_at(&self) -> Option<Instant> {
        *self.state.lost_at.lock()
    }

    /// Looks how long records took.
    pub fn latency<T>(&self, look: impl FnOnce(&Latency) -> T) -> T {
        look(&self.state.latency.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches times that are counted in a wrong bucket, more than once or not at all.
    #[test]
    fn every_time_is_counted_once() {
        let mut durations = Durations::default();
        for took_ms in [0, 1, 5, 90, 2_000, 400_000_000] {
            durations.add(Duration::from_millis(took_ms));
        }
        assert_eq!(durations.count(), 6);
        let bounds_ms = [1, 10, 100, 1_000, 10_000, u64::MAX / 2];
        let within = bounds_ms.map(|bound_ms| durations.within(Duration::from_millis(bound_ms)));
        assert_eq!(within, [2, 3, 4, 4, 5, 6]);
        let longest = Duration::from_micros(LONGEST_US);
        assert_eq!(durations.sum(), Duration::from_millis(2_096) + longest);
    }
}

//! How long batches of messages take: what a packet waits at most behind those that came with it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Longest time that is told apart, 60 s: what took longer counts as this.
const LONGEST_NS: u64 = 60_000_000_000;
/// Two decimal digits of a time are kept.
const DIGITS: u8 = 2;

/// The times of one worker's batches, or of several workers'.
#[derive(Debug)]
pub struct BatchTimes {
    nanoseconds: Histogram<u64>,
    messages: u64,
}

impl Default for BatchTimes {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants that the library takes"
        )]
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("bounds of a histogram");
        Self {
            nanoseconds,
            messages: 0,
        }
    }
}

impl BatchTimes {
    /// Counts a batch of so many messages that began at `began` and ends now; gives the end, which is where the next one begins.
    pub(crate) fn end(&mut self, began: Instant, messages: usize) -> Instant {
        let now = Instant::now();
        self.add(now - began, messages);
        now
    }

    fn add(&mut self, took: Duration, messages: usize) {
        if messages > 0 {
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.nanoseconds.saturating_record(took.min(LONGEST_NS));
            self.messages += messages as u64;
        }
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        let added = self.nanoseconds.add(&other.nanoseconds);
        debug_assert!(added.is_ok(), "all have the same bounds");
        self.messages += other.messages;
    }

    /// How many batches there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// How many messages were in them.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// What so many per cent of the batches did not exceed, to a hundredth of it.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.nanoseconds.value_at_percentile(percent))
    }

    /// The longest.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches batches of nothing that are counted, workers that are left out, and a percentile of other units.
    #[test]
    fn times_of_all_workers_are_told() {
        let (mut one, mut other) = (BatchTimes::default(), BatchTimes::default());
        for _ in 0..98 {
            one.add(Duration::from_micros(10), 64);
        }
        one.add(Duration::from_secs(1), 0);
        other.add(Duration::from_micros(500), 3);
        other.add(Duration::from_secs(3_600), 1);
        one.merge(&other);
        assert_eq!((one.count(), one.messages()), (100, 98 * 64 + 4));
        let near = |told: Duration, wanted: Duration| told >= wanted && told <= wanted + wanted / 100;
        assert!(near(one.percentile(50.0), Duration::from_micros(10)));
        assert!(near(one.percentile(99.0), Duration::from_micros(500)));
        assert!(near(one.longest(), Duration::from_secs(60)));
    }
}

//! How far the readers are: up to which time everything that came has been joined into the leg table.
//!
//! Legs may be closed at a time only when every reader has joined what it got before. A reader says so by its mark,
//! in a cache line of its own. One that has nothing to read is parked and holds nobody up.

use std::sync::atomic::{AtomicI64, Ordering, fence};

use crossbeam::utils::CachePadded;
use ringtap_record::Time;

/// Mark of a reader that sleeps: whatever it reads next, it will stamp later than now.
const PARKED: i64 = i64::MAX;

/// The marks of all readers.
#[derive(Debug)]
pub(super) struct Marks(Box<[CachePadded<AtomicI64>]>);

impl Marks {
    /// Marks of readers that have not begun yet.
    pub(super) fn new(readers: usize) -> Self {
        Self(
            (0..readers)
                .map(|_| CachePadded::new(AtomicI64::new(PARKED)))
                .collect(),
        )
    }

    /// All that reader `number` stamped up to `now` is joined, and what it reads next it will stamp no earlier.
    #[inline]
    pub(super) fn advance(&self, number: usize, now: Time) {
        if let Some(mark) = self.0.get(number) {
            mark.store(now.as_micros(), Ordering::Release);
        }
    }

    /// The reader sleeps.
    pub(super) fn park(&self, number: usize) {
        if let Some(mark) = self.0.get(number) {
            mark.store(PARKED, Ordering::SeqCst);
        }
    }

    /// The reader is awake again; `last` is where its mark stood. To be called before it looks at the clock: whoever
    /// finds it parked looked at the clock before, so what the reader stamps is later than that.
    pub(super) fn wake(&self, number: usize, last: Time) {
        if let Some(mark) = self.0.get(number) {
            mark.store(last.as_micros(), Ordering::SeqCst);
        }
        // The look at the clock that follows must not be taken before the store is seen.
        fence(Ordering::SeqCst);
    }

    /// Whether everything stamped before `until` has been joined. `until` must not be later than a look at the clock
    /// before this call.
    pub(super) fn have_passed(&self, until: Time) -> bool {
        self.0
            .iter()
            .all(|mark| mark.load(Ordering::SeqCst) >= until.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a slow reader that is not waited for, and a sleeping one that is.
    #[test]
    fn the_slowest_reader_counts() {
        let at = Time::from_micros;
        let marks = Marks::new(2);
        assert!(marks.have_passed(at(10)), "nobody has begun");
        marks.wake(0, at(0));
        assert!(!marks.have_passed(at(10)));
        marks.advance(0, at(10));
        assert!(marks.have_passed(at(10)));
        marks.wake(1, at(9));
        assert!(!marks.have_passed(at(10)));
        marks.park(1);
        assert!(marks.have_passed(at(10)));
    }
}

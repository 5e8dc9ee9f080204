//! What time it is for live capture: wall-clock time that only goes forward evenly.
//!
//! Deadlines are judged by the time of the frames, so a wall clock that is set anew must not fire or stop them.
//! Time here runs with the monotonic clock, from what the wall clock said at the start; once in a while the two are
//! compared. Everything above takes the time as a value.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ringtap_record::Time;

/// A wall clock farther off than this has been set; below, it has been read at an unlucky moment.
const STEP_US: i64 = 500_000;

/// Shared by all threads of a capture.
#[derive(Debug)]
pub(super) struct WallClock {
    began: Instant,
    /// What is added to the microseconds since `began`.
    offset_us: AtomicI64,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            offset_us: AtomicI64::new(wall_us()),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> Time {
        Time::from_micros(self.offset_us.load(Ordering::Relaxed) + self.run_us())
    }

    fn run_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }

    /// By how much the wall clock is ahead, in microseconds, if it was set since the last time.
    pub(super) fn step_us(&self) -> Option<i64> {
        let ahead_us = wall_us() - self.now().as_micros();
        (ahead_us.abs() > STEP_US).then_some(ahead_us)
    }

    /// Goes along with a step.
    pub(super) fn follow(&self, step_us: i64) {
        self.offset_us.fetch_add(step_us, Ordering::Relaxed);
    }
}

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a step that is not seen, or seen again after it was followed, and time that is not the wall's.
    #[test]
    fn steps_are_seen_once() {
        let clock = WallClock::new();
        assert_eq!(clock.step_us(), None);
        clock.follow(-3_600_000_000);
        let ahead_us = clock.step_us().unwrap();
        assert!((ahead_us - 3_600_000_000).abs() < STEP_US, "{ahead_us}");
        clock.follow(ahead_us);
        assert_eq!(clock.step_us(), None);
        assert!((clock.now().as_micros() - wall_us()).abs() < STEP_US);
    }
}

//! What time it is for live capture.
//!
//! Deadlines are judged by the time of the frames, so a wall clock that is set anew must not fire or stop them. Time
//! here runs with the monotonic clock, from what the wall clock said at the start, and never goes back or ahead. Steps
//! of the wall clock are kept beside it, and records are dated by them ([`WallClock::dated`]) when they are written.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ringtap_record::Time;
use rustix::time::{ClockId, clock_gettime};

use super::hand_over::ClockReading;

/// A wall clock farther off than this has been set.
const STEP_US: i64 = 500_000;
/// A look at both clocks that took longer says nothing: this thread lost its core between them.
const LOOK_MAX: Duration = Duration::from_millis(5);
/// Steps that are remembered. A clock that is set more often dates the oldest records a little wrongly.
const STEPS_MAX: usize = 64;

/// Shared by all threads of a capture.
#[derive(Debug)]
pub(super) struct WallClock {
    began: Instant,
    origin_us: i64,
    /// By how much the wall clock is ahead of this one.
    ahead_us: AtomicI64,
    /// Since when, and by how much, for each time that it was set.
    steps: Mutex<Vec<(Time, i64)>>,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            origin_us: wall_us(),
            ahead_us: AtomicI64::new(0),
            steps: Mutex::new(Vec::new()),
        }
    }

    /// One that goes on as another process's did, so that both stamp a moment alike.
    pub(super) fn following(reading: &ClockReading) -> Self {
        let clock = Self::new();
        let since_us = monotonic_us().saturating_sub(reading.monotonic_us);
        let at = |us: &i64| Time::from_micros(*us);
        Self {
            origin_us: reading.time_us.saturating_add(since_us),
            ahead_us: AtomicI64::new(reading.steps.last().map_or(0, |(_, ahead_us)| *ahead_us)),
            steps: Mutex::new(
                reading
                    .steps
                    .iter()
                    .take(STEPS_MAX)
                    .map(|(since, ahead_us)| (at(since), *ahead_us))
                    .collect(),
            ),
            ..clock
        }
    }

    /// For a process that is to follow.
    pub(super) fn reading(&self) -> ClockReading {
        let steps = self.steps.lock();
        let steps = steps
            .iter()
            .map(|(since, ahead_us)| (since.as_micros(), *ahead_us));
        ClockReading {
            monotonic_us: monotonic_us(),
            time_us: self.now().as_micros(),
            steps: steps.collect(),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> Time {
        self.at(self.began.elapsed())
    }

    fn at(&self, elapsed: Duration) -> Time {
        Time::from_micros(self.origin_us + i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX / 2))
    }

    /// When by the monotonic clock it was that time of this one; what was before the beginning counts as that.
    pub(super) fn instant(&self, at: Time) -> Instant {
        let after_us = u64::try_from(at.as_micros().saturating_sub(self.origin_us)).unwrap_or(0);
        self.began
            .checked_add(Duration::from_micros(after_us))
            .unwrap_or(self.began)
    }

    /// By how many microseconds the wall clock was set since the last look, if it was.
    pub(super) fn look(&self) -> Option<i64> {
        let before = self.began.elapsed();
        let wall_us = wall_us();
        let after = self.began.elapsed();
        (after - before < LOOK_MAX)
            .then(|| self.compare(self.at(after), wall_us))
            .flatten()
    }

    fn compare(&self, now: Time, wall_us: i64) -> Option<i64> {
        let ahead_us = wall_us - now.as_micros();
        let step_us = ahead_us - self.ahead_us.load(Ordering::Relaxed);
        if step_us.abs() <= STEP_US {
            return None;
        }
        self.ahead_us.store(ahead_us, Ordering::Relaxed);
        let mut steps = self.steps.lock();
        if steps.len() == STEPS_MAX {
            steps.remove(0);
        }
        steps.push((now, ahead_us));
        Some(step_us)
    }

    /// What the wall clock said at a time of this clock.
    pub(super) fn dated(&self, at: Time) -> Time {
        if self.ahead_us.load(Ordering::Relaxed) == 0 {
            return at;
        }
        let steps = self.steps.lock();
        let ahead_us = steps.iter().rev().find(|(since, _)| *since <= at);
        at.plus_us(ahead_us.map_or(0, |(_, ahead_us)| *ahead_us))
    }
}

/// By the clock that [`Instant`] goes by.
fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1000)
}

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a step that moves deadlines, is not seen, is seen twice, or dates what came before it.
    #[test]
    fn a_step_dates_what_comes_after_it() {
        let clock = WallClock::new();
        let now = clock.now();
        assert_eq!(clock.look(), None);
        let hour_us = 3_600_000_000;
        for (after_us, ahead_us, step_us) in [(0, hour_us, hour_us), (1_000_000, -hour_us, -2 * hour_us)] {
            let now = now.plus_us(after_us);
            assert_eq!(clock.compare(now, now.as_micros() + ahead_us), Some(step_us));
            assert_eq!(clock.compare(now, now.as_micros() + ahead_us + 1000), None);
        }
        assert!(clock.now() - now < hour_us, "time goes on as before");
        assert_eq!(clock.dated(now.plus_us(-1)), now.plus_us(-1));
        assert_eq!(clock.dated(now), now.plus_us(hour_us));
        assert_eq!(
            clock.dated(now.plus_us(1_000_000)),
            now.plus_us(1_000_000 - hour_us)
        );
    }

    /// Catches two processes that stamp the same moment apart, or forget how the wall clock was set.
    #[test]
    fn one_clock_follows_another() {
        let clock = WallClock::new();
        let now = clock.now();
        assert_eq!(
            clock.compare(now, now.as_micros() + 3_600_000_000),
            Some(3_600_000_000)
        );
        std::thread::sleep(Duration::from_millis(30));
        let heir = WallClock::following(&clock.reading());
        std::thread::sleep(Duration::from_millis(30));
        let (before, its, after) = (clock.now(), heir.now(), clock.now());
        // Two clocks of the system are read one after the other.
        let slack_us = 5_000;
        assert!(
            its.plus_us(slack_us) >= before && its <= after.plus_us(slack_us),
            "{before} {its} {after}"
        );
        assert_eq!(heir.dated(now), clock.dated(now));
        assert_eq!(heir.dated(now.plus_us(-1)), now.plus_us(-1));
    }

    /// Catches time that does not begin with the wall's.
    #[test]
    fn it_begins_with_the_wall_clock() {
        assert!((WallClock::new().now().as_micros() - wall_us()).abs() < STEP_US);
    }
}

//! When a server cannot be talked to, there is no use in trying every message: one is tried now and then, the others wait.

use std::time::{Duration, Instant};

/// First and longest wait before a server is tried again.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// So many messages in a row that were cut off on their way are the server's fault, not theirs.
const INTERRUPTIONS_MAX: u32 = 3;

/// Whether a server is believed to be there.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    interruptions: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// How many messages may be on their way at `now`, of `slots`: one if the server has to prove itself first.
    pub(super) fn slots(&self, slots: usize, now: Instant) -> usize {
        match self.until {
            None => slots,
            Some(until) if until <= now => slots.min(1),
            Some(_) => 0,
        }
    }

    /// Whether the server is believed to be gone.
    pub(super) const fn is_open(&self) -> bool {
        self.until.is_some()
    }

    /// The server has answered. Whether it had been gone.
    pub(super) fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        *self = Self::default();
        was_open
    }

    /// There is no server. Whether that is news.
    pub(super) fn gone(&mut self, now: Instant, jitter: f64) -> bool {
        let is_news = !self.is_open();
        // Those that were under way together have failed together.
        if self.until.is_none_or(|until| until <= now) {
            let wait = WAIT.0.saturating_mul(1 << self.failures.min(16)).min(WAIT.1);
            self.until = Some(now + wait.mul_f64(0.8 + 0.4 * jitter));
            self.failures += 1;
        }
        is_news
    }

    /// A message was cut off on its way. Whether it is news that there is no server.
    pub(super) fn interrupted(&mut self, now: Instant, jitter: f64) -> bool {
        self.interruptions += 1;
        (self.is_open() || self.interruptions >= INTERRUPTIONS_MAX) && self.gone(now, jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a server that is hammered while it is gone, one that is never tried again, and one message that stops all others.
    #[test]
    fn a_server_goes_and_comes() {
        let (mut breaker, begin) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.slots(4, begin), 4);
        assert!(!breaker.interrupted(begin, 0.5) && !breaker.interrupted(begin, 0.5));
        assert!(!breaker.answered());
        assert!(breaker.gone(begin, 0.5), "news");
        for _ in 0..3 {
            assert!(!breaker.gone(begin, 0.5), "those that were under way");
        }
        let (mut now, mut waits) = (begin, Vec::new());
        for _ in 0..9 {
            let until = breaker.until.unwrap();
            assert_eq!(breaker.slots(4, until - Duration::from_millis(1)), 0);
            assert_eq!(breaker.slots(4, until), 1);
            waits.push((until - now).as_secs());
            now = until;
            breaker.gone(now, 0.5);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(breaker.answered());
        assert_eq!(breaker.slots(4, now), 4);
        assert!(!breaker.interrupted(now, 0.5) && !breaker.interrupted(now, 0.5));
        assert!(breaker.interrupted(now, 0.5));
    }
}

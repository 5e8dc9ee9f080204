//! Times within a leg: 32 bits instead of 64, because a leg holds dozens of them.

use ringtap_record::Time;

/// Microseconds in a tick.
const TICK_US: i64 = 10;

/// A time in ticks of 10 µs after the leg's base. It reaches 5.9 hours either way and saturates there,
/// which no INVITE transaction lives to see (Timer C, RFC 3261 §16.6). Times are cut to whole ticks of
/// the epoch, not of the base, so that the order in which messages arrive does not show in any record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(i32);

impl Tick {
    /// The event has not been seen. Later than every tick.
    pub(crate) const NEVER: Self = Self(i32::MAX);

    /// The tick of `at` in a leg whose first message came at `base`.
    pub(crate) fn of(at: Time, base: Time) -> Self {
        let ticks = at.as_micros().div_euclid(TICK_US) - base.as_micros().div_euclid(TICK_US);
        Self(i32::try_from(ticks.clamp(i64::from(i32::MIN), i64::from(i32::MAX) - 1)).unwrap_or(i32::MAX - 1))
    }

    /// Back to capture time; `None` if the event has not been seen.
    pub(crate) fn time(self, base: Time) -> Option<Time> {
        let whole = base.as_micros().div_euclid(TICK_US) + i64::from(self.0);
        self.seen().then(|| Time::from_micros(whole * TICK_US))
    }

    /// Whether the event has been seen.
    pub(crate) const fn seen(self) -> bool {
        self.0 != Self::NEVER.0
    }

    /// Joins another sighting of the same event: the earliest one counts. True if that changed anything.
    pub(crate) fn earliest(&mut self, at: Self) -> bool {
        let earlier = at.0 < self.0;
        if earlier {
            *self = at;
        }
        earlier
    }

    /// Joins another sighting of which the latest counts. True if that changed anything.
    pub(crate) fn latest(&mut self, at: Self) -> bool {
        let later = !self.seen() || at.0 > self.0;
        if later {
            *self = at;
        }
        later
    }

    /// Milliseconds from `earlier` to this one, negative if it came before.
    pub(crate) fn since_ms(self, earlier: Self) -> i64 {
        (i64::from(self.0) - i64::from(earlier.0)) * TICK_US / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches times that depend on which message of a leg came first.
    #[test]
    fn a_time_is_the_same_from_every_base() {
        let at = Time::from_micros(1_714_962_221_123_456);
        let seen: Vec<_> = [-7, 0, 3, 9, 1_000_001]
            .map(|offset| {
                let base = at.plus_us(offset);
                Tick::of(at, base).time(base)
            })
            .into();
        assert!(
            seen.iter()
                .all(|time| *time == Some(Time::from_micros(1_714_962_221_123_450))),
            "{seen:?}"
        );
    }

    /// Catches an overflow on absurd capture times.
    #[test]
    fn far_times_saturate() {
        assert!(Tick::of(Time::MAX, Time::from_micros(0)).seen());
        assert!(Tick::of(Time::from_micros(0), Time::MAX) < Tick::of(Time::MAX, Time::from_micros(0)));
        assert_eq!(Tick::NEVER.time(Time::from_micros(0)), None);
    }
}

//! Capture time: microseconds since the epoch, in UTC.

use std::fmt;
use std::ops::{Add, Sub};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in capture time, in microseconds since 1970-01-01T00:00:00Z. Never the time of processing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// Later than every message.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than every message.
    pub const MIN: Self = Self(i64::MIN);

    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time and `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// This time and `us` microseconds, saturating.
    #[must_use]
    pub const fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this time (negative if it is later), saturating.
    #[must_use]
    pub const fn since_us(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<std::time::Duration> for Time {
    type Output = Self;

    fn add(self, rhs: std::time::Duration) -> Self {
        self.plus_us(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Sub for Time {
    type Output = i64;

    /// Microseconds between two times.
    fn sub(self, rhs: Self) -> i64 {
        self.since_us(rhs)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC with microseconds: `2024-05-06T02:23:41.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        write!(f, "{at:.6}")
    }
}

impl std::str::FromStr for Time {
    type Err = BadTime;

    /// Reads RFC 3339, which is what `Display` writes.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let at: Timestamp = text.parse().map_err(|_| BadTime(text.to_owned()))?;
        Ok(Self(at.as_microsecond()))
    }
}

/// A text that is no time of the form `2024-05-06T02:23:41.000000Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTime(String);

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a UTC time: {:?}", self.0)
    }
}

impl std::error::Error for BadTime {}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an error in the calendar arithmetic: leap days, century years, times before the epoch.
    #[test]
    fn known_times() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_714_962_221_000_000, "2024-05-06T02:23:41.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        ] {
            assert_eq!(Time::from_micros(us).to_string(), text);
            assert_eq!(text.parse::<Time>(), Ok(Time::from_micros(us)));
        }
        assert!("yesterday".parse::<Time>().is_err());
    }
}

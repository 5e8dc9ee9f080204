//! How missed calls are packed into messages (semantics.md §7.3): the first call of a caller at once, his next ones of the same
//! few minutes together, what exceeds a person's share of an hour or falls into quiet hours together. Calls are counted one by one all the same: this is
//! about messages.
//!
//! Nothing here is kept: the outbox says what was sent and what is being gathered, so all of it outlives a restart.

use ringtap_config::DeliveryConfig;
use ringtap_record::Time;

/// How much is packed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Further calls of a caller within this time of his first are gathered; 0 is off.
    pub window_ms: i64,
    /// Messages to one person in an hour; 0 is any number.
    pub per_hour_max: u32,
    /// What exceeds that is gathered for so long.
    pub digest_ms: i64,
}

/// What is known when a call is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The time.
    pub now: Time,
    /// An emergency service called back: nothing keeps that (D64).
    pub is_psap: bool,
    /// When the person's quiet hours end, if they have begun.
    pub quiet_until: Option<Time>,
    /// Messages of the last hour.
    pub in_last_hour: u32,
    /// When the message about the caller's first call was queued, if this one is within its window.
    pub first: Option<Time>,
    /// Until when the call is held back in case its caller gets through.
    pub held_until: Option<Time>,
}

/// The message in which a call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its own, at that time.
    Alone(Time),
    /// One about further calls of this caller, at that time if there is none yet.
    Summary(Time),
    /// One of whatever is gathered, at that time if there is none yet.
    Digest(Time),
}

impl Packing {
    /// As configured.
    #[must_use]
    pub fn new(config: &DeliveryConfig) -> Self {
        let ms = |s: u32| i64::from(s) * 1000;
        Self {
            window_ms: ms(config.coalesce_window_s),
            per_hour_max: config.mails_per_hour_max,
            digest_ms: ms(config.digest_every_s),
        }
    }

    /// Where a call is told.
    #[must_use]
    pub fn place(&self, situation: &Situation) -> Place {
        let now = situation.now;
        let due = situation.held_until.map_or(now, |held| held.max(now));
        if situation.is_psap {
            return Place::Alone(due);
        }
        if let Some(end) = situation.quiet_until {
            return Place::Digest(end.max(due));
        }
        if self.per_hour_max > 0 && situation.in_last_hour >= self.per_hour_max {
            return Place::Digest(due.max(now.plus_ms(self.digest_ms)));
        }
        match situation.first {
            // The clock may have gone back since, and must not keep the call for longer than the window.
            Some(first) if self.window_ms > 0 => {
                Place::Summary(due.max(first.min(now).plus_ms(self.window_ms)))
            }
            _ => Place::Alone(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_700_000_000_000_000);
    const PACKING: Packing = Packing {
        window_ms: 120_000,
        per_hour_max: 30,
        digest_ms: 600_000,
    };
    const CALM: Situation = Situation {
        now: NOW,
        is_psap: false,
        quiet_until: None,
        in_last_hour: 0,
        first: None,
        held_until: None,
    };

    /// Catches a first call that waits, a second one that does not, and an emergency service's that does.
    #[test]
    fn where_calls_are_told() {
        let morning = NOW.plus_ms(9 * 3_600_000);
        let night = Some(morning);
        let first = Some(NOW.plus_ms(-20_000));
        for (what, situation, place) in [
            ("a first call", CALM, Place::Alone(NOW)),
            (
                "a second",
                Situation { first, ..CALM },
                Place::Summary(NOW.plus_ms(100_000)),
            ),
            (
                "the clock went back",
                Situation { first: night, ..CALM },
                Place::Summary(NOW.plus_ms(120_000)),
            ),
            (
                "one below the cap",
                Situation {
                    in_last_hour: 29,
                    ..CALM
                },
                Place::Alone(NOW),
            ),
            (
                "the cap",
                Situation {
                    in_last_hour: 30,
                    first,
                    ..CALM
                },
                Place::Digest(NOW.plus_ms(600_000)),
            ),
            (
                "quiet",
                Situation {
                    quiet_until: night,
                    first,
                    ..CALM
                },
                Place::Digest(morning),
            ),
            (
                "held",
                Situation {
                    held_until: Some(NOW.plus_ms(5_000)),
                    ..CALM
                },
                Place::Alone(NOW.plus_ms(5_000)),
            ),
            (
                "an emergency service",
                Situation {
                    is_psap: true,
                    quiet_until: night,
                    in_last_hour: 99,
                    first,
                    ..CALM
                },
                Place::Alone(NOW),
            ),
        ] {
            assert_eq!(PACKING.place(&situation), place, "{what}");
        }
        let off = Packing {
            window_ms: 0,
            per_hour_max: 0,
            ..PACKING
        };
        assert_eq!(
            off.place(&Situation {
                in_last_hour: 99,
                first,
                ..CALM
            }),
            Place::Alone(NOW)
        );
    }
}

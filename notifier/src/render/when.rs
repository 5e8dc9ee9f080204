//! Times as the reader's clock and calendar have them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ringtap_record::Time;

use super::wording;
use crate::people::Locale;

/// When something was, on the reader's clock.
pub(super) struct When(jiff::Zoned);

/// What the lines of one message have in common, and need not say each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// All are of the year in which the message is sent.
    this_year: bool,
    /// All are of one offset to UTC, which is told once for all.
    pub(super) one_zone: bool,
}

impl Span {
    /// Of these times, in a message of `sent`.
    pub(super) fn of(times: impl Iterator<Item = When> + Clone, sent: &When) -> Self {
        let mut offsets = times.clone().map(|when| when.0.offset());
        let first = offsets.next();
        Self {
            this_year: times.clone().all(|when| when.0.year() == sent.0.year()),
            one_zone: offsets.all(|other| Some(other) == first),
        }
    }
}

/// `at` on the clock of `zone`.
pub(super) fn local(at: Time, zone: &TimeZone) -> When {
    let at = Timestamp::from_microsecond(at.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
    When(at.to_zoned(zone.clone()))
}

impl When {
    /// `10:23`.
    pub(super) fn clock(&self) -> String {
        self.0.strftime("%H:%M").to_string()
    }

    /// `2024-05-06`.
    pub(super) fn day(&self) -> String {
        self.0.strftime("%Y-%m-%d").to_string()
    }

    /// `05-06(周一)10:23:41`, `Mon 6 May, 10:23:41`; with the year unless all are of the one in which the message is sent, with the zone if others have another.
    pub(super) fn brief(&self, locale: Locale, span: Span) -> String {
        let at = &self.0;
        let year = !span.this_year;
        let zone = if span.one_zone {
            String::new()
        } else {
            format!(" ({})", self.zone())
        };
        match locale {
            Locale::ZhCn => {
                let day = at.strftime(if year { "%Y-%m-%d" } else { "%m-%d" });
                format!("{day}({}){}{zone}", self.weekday_zh(), at.strftime("%H:%M:%S"))
            }
            Locale::En => {
                let form = if year {
                    "%a %-d %b %Y, %H:%M:%S"
                } else {
                    "%a %-d %b, %H:%M:%S"
                };
                format!("{}{zone}", at.strftime(form))
            }
        }
    }

    /// `UTC+8`.
    pub(super) fn zone(&self) -> String {
        wording::zone(self.0.offset().seconds())
    }

    /// With weekday and zone.
    pub(super) fn full(&self, locale: Locale) -> String {
        let (day, clock) = (self.long_day(locale), self.long_clock(locale));
        match locale {
            Locale::ZhCn => format!("{day}{clock}"),
            Locale::En => format!("{day}, {clock}"),
        }
    }

    /// `2024-05-06(周一)`, `Monday 6 May 2024`.
    pub(super) fn long_day(&self, locale: Locale) -> String {
        match locale {
            Locale::ZhCn => format!("{}({})", self.day(), self.weekday_zh()),
            Locale::En => self.0.strftime("%A %-d %B %Y").to_string(),
        }
    }

    /// `10:23:41(UTC+8)`, `10:23:41 (UTC+8)`.
    pub(super) fn long_clock(&self, locale: Locale) -> String {
        let (clock, zone) = (self.0.strftime("%H:%M:%S"), self.zone());
        match locale {
            Locale::ZhCn => format!("{clock}({zone})"),
            Locale::En => format!("{clock} ({zone})"),
        }
    }

    fn weekday_zh(&self) -> &'static str {
        wording::weekday_zh(self.0.weekday().to_monday_zero_offset())
    }
}

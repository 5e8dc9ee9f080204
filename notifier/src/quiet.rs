//! Quiet hours: when nobody wants to be mailed, by the clock on the person's wall (semantics.md §7.3).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ringtap_config::QuietHours;
use ringtap_record::Time;

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// None.
    Off,
    /// These.
    Hours(QuietHours),
}

/// When the quiet hours end into which `now` falls, if it does. Where the clock leaps over the end (daylight saving), they end
/// as much later; where it shows the end twice, they end at the first time.
#[must_use]
pub fn until(hours: QuietHours, now: Time, zone: &TimeZone) -> Option<Time> {
    let at = Timestamp::from_microsecond(now.as_micros())
        .ok()?
        .to_zoned(zone.clone());
    let minute = u16::try_from(i32::from(at.hour()) * 60 + i32::from(at.minute())).ok()?;
    if !hours.hold_at(minute) {
        return None;
    }
    let is_before_midnight = hours.from_min > hours.to_min && minute >= hours.from_min;
    let day = if is_before_midnight {
        at.date().tomorrow().ok()?
    } else {
        at.date()
    };
    let (hour, minute) = (
        i8::try_from(hours.to_min / 60).ok()?,
        i8::try_from(hours.to_min % 60).ok()?,
    );
    let end = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
    let end = Time::from_micros(end.timestamp().as_microsecond());
    (end > now).then_some(end)
}

impl FromStr for Quiet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            hours => match hours.parse() {
                Ok(hours) => Ok(Self::Hours(hours)),
                Err(fault) => Err(format!("{fault}, or \"off\"")),
            },
        }
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Hours(hours) => hours.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(hours: &str, zone: &str, now: &str) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        let now: jiff::Zoned = now.parse().unwrap();
        let now = Time::from_micros(now.timestamp().as_microsecond());
        let hours: QuietHours = hours.parse().unwrap();
        super::until(hours, now, &zone).map(|end| {
            let end = Timestamp::from_microsecond(end.as_micros()).unwrap();
            end.to_zoned(zone.clone()).strftime("%m-%dT%H:%M%:z").to_string()
        })
    }

    /// Catches hours that begin or end a minute off, or on the wrong day.
    #[test]
    fn hours_over_midnight_and_within_a_day() {
        let night = |now: &str| {
            until(
                "22:00-07:00",
                "Asia/Shanghai",
                &format!("2024-05-06T{now}+08:00[Asia/Shanghai]"),
            )
        };
        assert_eq!(night("21:59:59"), None);
        assert_eq!(night("22:00").unwrap(), "05-07T07:00+08:00");
        assert_eq!(night("00:00").unwrap(), "05-06T07:00+08:00");
        assert_eq!(night("06:59:59").unwrap(), "05-06T07:00+08:00");
        assert_eq!(night("07:00"), None);
        let noon = |now: &str| {
            until(
                "12:00-13:30",
                "Asia/Shanghai",
                &format!("2024-05-06T{now}+08:00[Asia/Shanghai]"),
            )
        };
        assert_eq!(noon("11:59"), None);
        assert_eq!(noon("12:00").unwrap(), "05-06T13:30+08:00");
        assert_eq!(noon("13:30"), None);
        // The reader's clock counts, not that of the machine.
        assert_eq!(
            until(
                "22:00-07:00",
                "Europe/Berlin",
                "2024-05-06T22:30+08:00[Asia/Shanghai]"
            ),
            None
        );
    }

    /// Catches an end that is an hour off on the days on which clocks change, or that never comes.
    #[test]
    fn clocks_change() {
        let berlin = |hours, now: &str| until(hours, "Europe/Berlin", &format!("{now}[Europe/Berlin]"));
        // 02:00 to 03:00 is left out on 2024-03-31.
        assert_eq!(
            berlin("22:00-07:00", "2024-03-30T23:00+01:00").unwrap(),
            "03-31T07:00+02:00"
        );
        assert_eq!(
            berlin("22:00-02:30", "2024-03-30T23:00+01:00").unwrap(),
            "03-31T03:30+02:00"
        );
        assert_eq!(berlin("22:00-02:30", "2024-03-31T03:00+02:00"), None);
        // 02:00 to 03:00 comes twice on 2024-10-27.
        assert_eq!(
            berlin("22:00-07:00", "2024-10-26T23:00+02:00").unwrap(),
            "10-27T07:00+01:00"
        );
        assert_eq!(
            berlin("22:00-02:30", "2024-10-26T23:00+02:00").unwrap(),
            "10-27T02:30+02:00"
        );
        assert_eq!(
            berlin("22:00-02:30", "2024-10-27T02:10+01:00"),
            None,
            "they were over once"
        );
    }

    /// Catches a word that is read as something else.
    #[test]
    fn wishes() {
        assert_eq!("off".parse::<Quiet>().unwrap(), Quiet::Off);
        assert_eq!("22:00-07:00".parse::<Quiet>().unwrap().to_string(), "22:00-07:00");
        assert!("never".parse::<Quiet>().unwrap_err().contains("off"));
    }
}

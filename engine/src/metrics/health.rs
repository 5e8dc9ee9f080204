//! When a part of a capture is all right.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use ringtap_journal::Watch;
use ringtap_telemetry::{Health, Part};

use crate::live::Look;

/// Calls are settled ten times a second and more: later than this, something hangs.
const SETTLER_LAG_MAX: Duration = Duration::from_secs(10);
/// A record is written within a tenth of a second: later than this, the disk hangs.
const JOURNAL_LAG_MAX: Duration = Duration::from_secs(10);
/// Losses are reported as long as the last one is no older than this.
const LOSS_AGE_MAX: Duration = Duration::from_secs(60);

/// The parts, and how each was when it was looked at last.
#[derive(Debug)]
pub(super) struct Parts {
    silence: Duration,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    parts: Vec<Part>,
    /// How much had been given up, and when that grew last.
    given_up: u64,
    given_up_at: Option<Instant>,
}

impl Parts {
    /// Interfaces are reported if no frame comes for `silence`; never, if that is zero.
    pub(super) fn new(silence: Duration) -> Self {
        Self {
            silence,
            memory: Mutex::default(),
        }
    }

    /// How they are now. A part that is as it was at the last look keeps its date.
    pub(super) fn look(&self, look: &Look, journal: &Watch) -> Health {
        let mut memory = self.memory.lock();
        if look.given_up > memory.given_up {
            memory.given_up = look.given_up;
            memory.given_up_at = Some(Instant::now());
        }
        let mut parts = vec![capture(look)];
        for port in &look.ports {
            let name = &port.report.interface;
            let state = port.state.clone().map_err(|why| format!("{name} {why}"));
            parts.push(part(format!("interface {name}"), state, port.since));
            if !self.silence.is_zero() {
                parts.push(self.frames(name, port.silent));
            }
        }
        parts.push(settler(look.lag()));
        parts.push(writer(journal));
        parts.push(records(look, journal, memory.given_up_at));
        for part in &mut parts {
            let before = memory.parts.iter().find(|before| before.name == part.name);
            if let Some(before) = before.filter(|before| before.state.is_ok() == part.state.is_ok()) {
                part.since = before.since;
            }
        }
        memory.parts.clone_from(&parts);
        Health { parts }
    }

    fn frames(&self, interface: &str, silent: Duration) -> Part {
        let state = if silent < self.silence {
            Ok(())
        } else {
            Err(format!(
                "no frame on {interface} for {} s: is the mirror port set up? (capture.silence_s)",
                silent.as_secs()
            ))
        };
        part(
            format!("frames {interface}"),
            state,
            ago(silent.saturating_sub(self.silence)),
        )
    }
}

fn capture(look: &Look) -> Part {
    let state = match look.now {
        Some(_) => Ok(()),
        None => Err("has not begun yet".to_owned()),
    };
    let for_us = look.now.zip(look.began).map_or(0, |(now, began)| now - began);
    let since = ago(Duration::from_micros(u64::try_from(for_us).unwrap_or(0)));
    part("capture", state, since)
}

fn settler(lag: Duration) -> Part {
    let state = if lag < SETTLER_LAG_MAX {
        Ok(())
    } else {
        Err(format!("no call has been settled for {} s", lag.as_secs()))
    };
    part("settler", state, ago(lag.saturating_sub(SETTLER_LAG_MAX)))
}

fn writer(journal: &Watch) -> Part {
    let unsaved = journal.unsaved();
    let (state, since) = match journal.fault() {
        Some((fault, since)) => (Err(fault), since),
        None if unsaved < JOURNAL_LAG_MAX => (Ok(()), SystemTime::now()),
        None => (
            Err(format!(
                "{}: a record has waited {} s to be written",
                journal.path().display(),
                unsaved.as_secs()
            )),
            ago(unsaved),
        ),
    };
    part("journal", state, since)
}

/// Lost by the journal's writer, or before the settler.
fn records(look: &Look, journal: &Watch, given_up_at: Option<Instant>) -> Part {
    let lost_at = journal.lost_at().max(given_up_at);
    let state = if lost_at.is_some_and(|at| at.elapsed() < LOSS_AGE_MAX) {
        Err(format!(
            "being lost: {} records that could not be written in time, {} legs that could not be settled",
            journal.totals().lost,
            look.given_up
        ))
    } else {
        Ok(())
    };
    part("records", state, SystemTime::now())
}

fn part(name: impl Into<Cow<'static, str>>, state: Result<(), String>, since: SystemTime) -> Part {
    Part {
        name: name.into(),
        state,
        since,
    }
}

fn ago(time: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(time).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use ringtap_journal::{Options, Writer};
    use ringtap_record::Time;

    use super::*;
    use crate::live::Board;

    /// Names of the parts that are at fault, with what is said of them.
    fn faults(health: &Health) -> Vec<(String, String)> {
        let at_fault = health.parts.iter().filter_map(|part| {
            let why = part.state.clone().err()?;
            Some((part.name.clone().into_owned(), why))
        });
        at_fault.collect()
    }

    /// Catches each reason for a 503 that is not one, and a fault where there is none.
    #[test]
    fn each_reason_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::spawn(&folder.path().join("journal.db"), Options::default()).unwrap();
        let watch = writer.watch();
        let told = |look: &Look, silence_s| {
            let parts = Parts::new(Duration::from_secs(silence_s));
            faults(&parts.look(look, &watch))
        };
        let well = || Board::example(Ok(())).look();
        assert_eq!(told(&well(), 60), []);
        let before = Board::new(1).look();
        assert_eq!(
            told(&before, 60),
            [("capture".into(), "has not begun yet".into())]
        );
        let down = Board::example(Err("is down".to_owned())).look();
        let down_said = ("interface mirror0".into(), "mirror0 is down".into());
        assert_eq!(told(&down, 60), [down_said]);
        let mut silent = well();
        silent.ports[0].silent = Duration::from_secs(61);
        assert_eq!(told(&silent, 0), []);
        let said = told(&silent, 60);
        assert_eq!(
            (said.len(), said[0].0.as_str()),
            (1, "frames mirror0"),
            "{said:?}"
        );
        assert!(said[0].1.contains("for 61 s"), "{said:?}");
        let mut behind = well();
        let lag_us = i64::try_from(SETTLER_LAG_MAX.as_micros()).unwrap();
        behind.settled_until = behind.now.map(|now| now.plus_us(-lag_us));
        let said = told(&behind, 60);
        assert_eq!((said.len(), said[0].0.as_str()), (1, "settler"), "{said:?}");
        let mut losing = well();
        losing.given_up = 3;
        let said = told(&losing, 60);
        assert_eq!((said.len(), said[0].0.as_str()), (1, "records"), "{said:?}");
    }

    /// Catches losses that stand for ever, or as long as nobody asks, and a date that moves while nothing changes.
    #[test]
    fn what_passes_is_well_again() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::spawn(&folder.path().join("journal.db"), Options::default()).unwrap();
        let (parts, watch) = (Parts::new(Duration::ZERO), writer.watch());
        let mut look = Board::example(Ok(())).look();
        look.given_up = 3;
        assert!(!parts.look(&look, &watch).is_ok());
        let began = parts.look(&look, &watch).parts;
        assert_eq!(parts.look(&look, &watch).parts, began);
        parts.memory.lock().given_up_at = Instant::now().checked_sub(LOSS_AGE_MAX);
        let health = parts.look(&look, &watch);
        assert!(health.is_ok(), "{health:?}");
        let records = |parts: &[Part]| parts.last().map(|part| part.since);
        assert!(records(&health.parts) >= records(&began));
        assert!(records(&began) > Some(UNIX_EPOCH));
        look.began = Some(Time::from_micros(0));
        assert_eq!(parts.look(&look, &watch).parts[0].since, began[0].since);
    }
}

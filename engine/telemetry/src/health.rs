//! How a program is, by parts, and the JSON that says so.
//!
//! One rule: a program is `ok` if each of its parts is, else `degraded`. A part that is at fault says why and
//! since when; whether that is worth a restart is for whoever asks.

use std::borrow::Cow;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

/// Longest text of a fault that is passed on, in characters.
const FAULT_CHARS_MAX: usize = 300;

/// How a program is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its parts, in the order in which they are told.
    pub parts: Vec<Part>,
}

/// How a part of a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name; the same word always, for scripts.
    pub name: Cow<'static, str>,
    /// Nothing, or what is wrong with it: one line, for people. Whoever can reach the address reads it, so it
    /// names no caller and no secret.
    pub state: Result<(), String>,
    /// Since when it is as it is, by the wall clock.
    pub since: SystemTime,
}

impl Health {
    /// Whether each part is all right.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.parts.iter().all(|part| part.state.is_ok())
    }

    /// `{"state":"ok|degraded","parts":[{"name":…,"state":"ok|failed","since":…,"error":null|…}]}`.
    pub(crate) fn json(&self) -> String {
        let parts = self.parts.iter().map(PartJson::new).collect();
        let state = if self.is_ok() { "ok" } else { "degraded" };
        // Texts and nothing else: there is nothing that could not be written.
        serde_json::to_string(&HealthJson { state, parts }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct HealthJson<'a> {
    state: &'static str,
    parts: Vec<PartJson<'a>>,
}

#[derive(Serialize)]
struct PartJson<'a> {
    name: &'a str,
    state: &'static str,
    since: Option<String>,
    error: Option<String>,
}

impl<'a> PartJson<'a> {
    fn new(part: &'a Part) -> Self {
        let error = part.state.as_ref().err().map(|error| {
            let plain = error.chars().map(|c| if c.is_control() { ' ' } else { c });
            plain.take(FAULT_CHARS_MAX).collect()
        });
        Self {
            name: &part.name,
            state: if error.is_none() { "ok" } else { "failed" },
            since: Timestamp::try_from(part.since)
                .ok()
                .map(|since| format!("{since:.3}")),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn part(name: &'static str, state: Result<(), &str>) -> Part {
        Part {
            name: name.into(),
            state: state.map_err(str::to_owned),
            since: UNIX_EPOCH + Duration::from_millis(1_714_962_221_500),
        }
    }

    /// Catches a form other than the documented one, a fault that is lost among parts that are well, and one
    /// that floods or breaks the answer.
    #[test]
    fn one_part_at_fault_is_enough() {
        let mut health = Health::default();
        assert!(health.is_ok());
        assert_eq!(health.json(), r#"{"state":"ok","parts":[]}"#);
        health.parts.push(part("journal", Ok(())));
        assert_eq!(
            health.json(),
            r#"{"state":"ok","parts":[{"name":"journal","state":"ok","since":"2024-05-06T02:23:41.500Z","error":null}]}"#
        );
        health.parts.push(part("server", Err("gone\n\"away\"")));
        health.parts.push(part("database", Ok(())));
        assert!(!health.is_ok());
        let json = health.json();
        assert!(
            json.starts_with(r#"{"state":"degraded","parts":[{"name":"journal","state":"ok","#),
            "{json}"
        );
        assert!(
            json.contains(r#""state":"failed","since":"2024-05-06T02:23:41.500Z","error":"gone \"away\"""#),
            "{json}"
        );
        let long = Health {
            parts: vec![part("server", Err(&"错".repeat(10_000)))],
        };
        assert_eq!(long.json().matches('错').count(), FAULT_CHARS_MAX);
    }
}

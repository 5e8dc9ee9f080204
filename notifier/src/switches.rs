//! One person's own switches, laid over the operator's `[policy.notify]` (semantics.md §2.7).
//!
//! They are kept as the JSON object of `user.policy`, with the names and values of the configuration. What a
//! switch means is `decide`'s.

use std::borrow::Cow;

use ringtap_config::Policy;
use serde_json::{Map, Value};

/// Switches that cannot be one person's, and what the engine decides by them.
const ENGINE_WIDE: [(&str, &str); 3] = [
    ("media_required", "which sessions are calls at all"),
    ("treat_183_as_alerting", "what counts as ringing behind a gateway"),
    ("q850_13_elsewhere", "how a release cause is read"),
];

/// The switches that a person has set; the operator's hold for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches(Map<String, Value>);

/// One switch as it holds for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Name, as in the configuration.
    pub key: String,
    /// Value, as in `KEY=VALUE`.
    pub value: String,
    /// Whether the person has set it.
    pub is_own: bool,
}

/// Why a switch cannot be set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// No `=` in it.
    #[error("{0:?} sets nothing; write KEY=VALUE, for instance busy=false")]
    Form(String),
    /// There is no switch of that name.
    #[error("{key}: there is no such switch; there are {known}", known = keys().join(", "))]
    Unknown {
        /// The name given.
        key: String,
    },
    /// One of the engine's.
    #[error(
        "{key}: cannot be one person's: the engine decides by it {what}, before it is known whose call it is; \
         it stands in [policy.notify] for everybody"
    )]
    EngineWide {
        /// The name given.
        key: String,
        /// What is decided by it.
        what: &'static str,
    },
    /// The switch has no such value.
    #[error("{key}: {value:?} is not one of its values; {wanted}")]
    Value {
        /// The switch.
        key: String,
        /// The value given.
        value: String,
        /// What can be given instead.
        wanted: String,
    },
}

impl Switches {
    /// Reads the stored form. What this program does not know or cannot use is left out, and told: a switch
    /// of a newer program must not take the others with it.
    #[must_use]
    pub fn read(json: &str) -> (Self, Vec<String>) {
        let stored = match serde_json::from_str::<Map<String, Value>>(json) {
            Ok(stored) => stored,
            Err(fault) => return (Self::default(), vec![fault.to_string()]),
        };
        let mut faults = Vec::new();
        let usable = stored
            .into_iter()
            .filter(
                |(key, value)| match personal(key).and_then(|()| usable(key, value)) {
                    Ok(()) => true,
                    Err(fault) => {
                        faults.push(fault.to_string());
                        false
                    }
                },
            )
            .collect();
        (Self(usable), faults)
    }

    /// The stored form; nothing if the person has no switches.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| Value::Object(self.0.clone()).to_string())
    }

    /// Reads `KEY=VALUE`.
    pub fn parse(text: &str) -> Result<(String, Value), SwitchError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| SwitchError::Form(text.to_owned()))?;
        let (key, value) = (key.trim(), value.trim());
        personal(key)?;
        // What a word means follows from the default's type.
        let read = match all(&Policy::default()).get(key) {
            Some(Value::Bool(_)) => value.parse().ok().map(Value::Bool),
            Some(Value::Number(_)) => value.parse::<u32>().ok().map(Value::from),
            _ => None,
        };
        let read = read.unwrap_or_else(|| Value::String(value.to_owned()));
        usable(key, &read)?;
        Ok((key.to_owned(), read))
    }

    /// Sets a switch that [`parse`](Self::parse) has read.
    pub fn set(&mut self, (key, value): (String, Value)) {
        self.0.insert(key, value);
    }

    /// Gives one switch back to the operator.
    pub fn unset(&mut self, key: &str) -> Result<(), SwitchError> {
        personal(key)?;
        self.0.remove(key);
        Ok(())
    }

    /// The policy that holds for the person.
    #[must_use]
    pub fn over<'a>(&self, policy: &'a Policy) -> Cow<'a, Policy> {
        if self.0.is_empty() {
            return Cow::Borrowed(policy);
        }
        let mut merged = all(policy);
        merged.extend(self.0.clone());
        match serde_json::from_value(Value::Object(merged)) {
            Ok(merged) => Cow::Owned(merged),
            // Each of the values was tried on its own.
            Err(_) => Cow::Borrowed(policy),
        }
    }

    /// Every switch that can be a person's, as it holds, by name.
    #[must_use]
    pub fn effective(&self, policy: &Policy) -> Vec<Effective> {
        let merged = all(&self.over(policy));
        let personal = merged.into_iter().filter(|(key, _)| personal(key).is_ok());
        personal
            .map(|(key, value)| Effective {
                is_own: self.0.contains_key(&key),
                value: word(&value),
                key,
            })
            .collect()
    }
}

fn all(policy: &Policy) -> Map<String, Value> {
    match serde_json::to_value(policy) {
        Ok(Value::Object(all)) => all,
        // A struct of plain values always serialises to an object.
        _ => Map::new(),
    }
}

fn keys() -> Vec<String> {
    let all = all(&Policy::default());
    all.into_iter()
        .map(|(key, _)| key)
        .filter(|key| !ENGINE_WIDE.iter().any(|(engine, _)| engine == key))
        .collect()
}

/// Whether a person can have that switch.
fn personal(key: &str) -> Result<(), SwitchError> {
    let owned = || key.to_owned();
    match ENGINE_WIDE.iter().find(|(engine, _)| *engine == key) {
        Some((_, what)) => Err(SwitchError::EngineWide { key: owned(), what }),
        None if all(&Policy::default()).contains_key(key) => Ok(()),
        None => Err(SwitchError::Unknown { key: owned() }),
    }
}

/// Whether the switch has that value.
fn usable(key: &str, value: &Value) -> Result<(), SwitchError> {
    let fault = |wanted: String| SwitchError::Value {
        key: key.to_owned(),
        value: word(value),
        wanted,
    };
    let one = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
    let policy = serde_json::from_value::<Policy>(one).map_err(|error| {
        fault(match all(&Policy::default()).get(key) {
            Some(Value::Bool(_)) => "give true or false".to_owned(),
            Some(Value::Number(_)) => "give a whole number of seconds, 0 for none".to_owned(),
            // An unknown variant; the values are behind the comma.
            _ => {
                let text = error.to_string();
                text.split_once(", ")
                    .map_or(text.clone(), |(_, values)| values.to_owned())
            }
        })
    })?;
    policy.check().map_err(|(_, problem)| fault(problem))
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use ringtap_config::{GroupMember, Undetermined};

    use super::*;

    fn set(pairs: &[&str]) -> Switches {
        let mut switches = Switches::default();
        for pair in pairs {
            switches.set(Switches::parse(pair).unwrap());
        }
        switches
    }

    /// Catches a switch of one kind that cannot be set, and one that changes another.
    #[test]
    fn every_kind_of_switch_is_laid_over() {
        let global = Policy {
            busy: false,
            treat_183_as_alerting: vec!["10.40.0.1/32".parse().unwrap()],
            ..Policy::default()
        };
        let switches = set(&[
            "declined=true",
            "group_member = always",
            "min_ring_s=7",
            "undetermined=off",
        ]);
        let expected = Policy {
            declined: true,
            group_member: GroupMember::Always,
            min_ring_s: 7,
            undetermined: Undetermined::Off,
            ..global.clone()
        };
        assert_eq!(*switches.over(&global), expected);
        let (again, faults) = Switches::read(&switches.to_json().unwrap());
        assert_eq!((again, faults), (switches, Vec::new()));
        assert_eq!(Switches::default().to_json(), None);
    }

    /// Catches a wrong key or value that is taken, or refused without naming it and what there is instead.
    #[test]
    fn faults_help() {
        for (pair, words) in [
            ("busy", &["KEY=VALUE"][..]),
            ("bussy=true", &["bussy", "busy", "group_member"]),
            ("media_required=audio", &["media_required", "engine"]),
            ("treat_183_as_alerting=[]", &["treat_183_as_alerting", "engine"]),
            ("q850_13_elsewhere=true", &["q850_13_elsewhere", "engine"]),
            ("busy=yes", &["busy", "\"yes\"", "true or false"]),
            ("min_ring_s=-1", &["min_ring_s", "\"-1\"", "whole number"]),
            (
                "group_member=all",
                &["group_member", "\"all\"", "`if_group_unanswered`"],
            ),
            ("partial_evidence=", &["partial_evidence", "`notify`"]),
            (
                "suppress_if_reached_within_s=86401",
                &["suppress_if_reached_within_s", "86400"],
            ),
        ] {
            let said = Switches::parse(pair).unwrap_err().to_string();
            for word in words {
                assert!(said.contains(word), "{pair}: {said}");
            }
        }
        let unknown = Switches::parse("x=1").unwrap_err().to_string();
        assert!(!unknown.contains("media_required"), "{unknown}");
        assert!(Switches::default().unset("x").is_err());
    }

    /// Catches one switch that a newer program wrote taking all others with it.
    #[test]
    fn unusable_switches_are_left_out_and_told() {
        let (switches, faults) = Switches::read(r#"{"busy":false,"chimes":3,"declined":"very"}"#);
        assert_eq!(switches, set(&["busy=false"]));
        assert!(faults.len() == 2 && faults[0].contains("chimes") && faults[1].contains("declined"));
        let (none, faults) = Switches::read("[");
        assert!(none == Switches::default() && faults.len() == 1);
    }
}

//! The file as it is written: every section with its keys, types told by serde, nothing checked yet.

use std::path::PathBuf;

use ringtap_identity::Numbering;
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::capture::Capture;
use crate::identities::RawIdentities;
use crate::network::Network;
use crate::notifier::NotifierConfig;
use crate::place::Source;
use crate::policy::Policy;
use crate::timers::{Limits, Timers};

/// `ringtap.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    pub(crate) capture: Capture,
    pub(crate) network: Network,
    pub(crate) numbering: Numbering,
    pub(crate) identities: RawIdentities,
    pub(crate) timers: Timers,
    pub(crate) limits: Limits,
    pub(crate) journal: JournalConfig,
    pub(crate) policy: RawPolicy,
    pub(crate) notifier: NotifierConfig,
}

/// `[policy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawPolicy {
    pub(crate) notify: Policy,
}

/// `[journal]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// The database.
    pub path: PathBuf,
    /// Which calls are written.
    pub keep: Keep,
    /// Days after which a record is deleted.
    pub retention_days: u32,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/ringtap/journal.db"),
            keep: Keep::Missed,
            retention_days: 30,
        }
    }
}

/// Which calls the journal keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Calls of which at least one target was not answered by a person.
    #[default]
    Missed,
    /// Every call.
    All,
}

/// Parses the text; errors name the key by its whole path.
pub(crate) fn read(source: &Source<'_>) -> Result<Raw, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        file: source.name.to_owned(),
        line: source.line(error.span()),
        problem: error.message().to_owned(),
    };
    let deserializer = toml::Deserializer::parse(source.text).map_err(syntax)?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        source.fault_at(error.span(), &path, error.message())
    })
}

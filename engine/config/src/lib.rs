//! ringtap.toml: raw text to checked configuration, for both programs.
//!
//! [`load`] gives either a [`Config`] whose every value holds what the programs rely on (numbers
//! normalised by the numbering plan, addresses parsed, times within bounds), or a [`ConfigError`] that
//! names file, line and key. The keys are those of interfaces.md; an unknown one is an error.
//!
//! Nothing here opens sockets, databases or the files with passwords and keys: that a path or an address can be
//! used is found out by who uses it.

#![forbid(unsafe_code)]

mod capture;
mod check;
mod error;
mod identities;
mod ldap;
mod network;
mod notifier;
mod page;
mod place;
mod policy;
mod raw;
mod timers;

use std::path::{Path, PathBuf};

use ringtap_identity::Plan;

pub use capture::{
    Capture, DUPLICATE_MS_MAX, FrameBytes, PORTS_MAX, PortList, RING_FRAMES_MAX, RING_FRAMES_MIN,
    SILENCE_S_MAX, Tunnel,
};
pub use error::ConfigError;
pub use identities::{Identities, Learn};
pub use ldap::{LdapConfig, LdapDirectory, LdapUsers};
pub use network::Network;
pub use notifier::{
    DeliveryConfig, DkimConfig, NoQuietHours, NotifierConfig, QuietHours, SmtpConfig, WebhookConfig,
};
pub use page::PageConfig;
pub use policy::{GroupMember, MediaRequired, PartialEvidence, Policy, Undetermined};
pub use raw::{JournalConfig, Keep};
pub use timers::{Limits, Timers};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_PATH: &str = "/etc/ringtap/ringtap.toml";

/// The whole of `ringtap.toml`, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[capture]`: what is taken for SIP.
    pub capture: Capture,
    /// `[network]`: who is who on the mirrored segments.
    pub network: Network,
    /// `[numbering]`, compiled, with the home domains, gateways and emergency numbers that it needs.
    pub plan: Plan,
    /// `[identities]`: numbers that are not people's, normalised by the plan.
    pub identities: Identities,
    /// `[timers]`.
    pub timers: Timers,
    /// `[limits]`.
    pub limits: Limits,
    /// `[journal]`.
    pub journal: JournalConfig,
    /// `[policy.notify]`.
    pub policy: Policy,
    /// `[notifier]`.
    pub notifier: NotifierConfig,
}

impl Default for Config {
    /// What an empty file gives.
    fn default() -> Self {
        match from_toml("", "built-in defaults") {
            Ok(config) => config,
            Err(error) => panic!("the defaults must pass their own checks: {error}"),
        }
    }
}

impl Config {
    /// Whether answered calls are recorded too: because the operator wants all calls, or because whether a
    /// caller got through a little later decides about a mail (`suppress_if_reached_within_s`).
    #[must_use]
    pub fn records_answered_calls(&self) -> bool {
        self.journal.keep == Keep::All || self.policy.suppress_if_reached_within_s > 0
    }
}

/// Reads the configuration from `path`, or from [`DEFAULT_PATH`] if none is named. The default file
/// may be absent: then everything is at its default.
///
/// # Errors
/// The file cannot be read (or a named one is absent), is no TOML, or has a key that is unknown or
/// has no usable value.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let file = path.map_or_else(|| PathBuf::from(DEFAULT_PATH), Path::to_owned);
    match std::fs::read_to_string(&file) {
        Ok(text) => from_toml(&text, &file.display().to_string()),
        Err(source) if path.is_none() && source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Config::default())
        }
        Err(source) => Err(ConfigError::Read { file, source }),
    }
}

/// Reads the configuration from `text`; errors call it `name`.
///
/// # Errors
/// The text is no TOML, or has a key that is unknown or has no usable value.
pub fn from_toml(text: &str, name: &str) -> Result<Config, ConfigError> {
    let source = place::Source { text, name };
    check::check(raw::read(&source)?, &source)
}

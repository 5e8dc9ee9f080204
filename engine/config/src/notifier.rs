//! `[notifier]`: its database, the way to the mail server, and how mails are packed.

use std::path::PathBuf;

use serde::Deserialize;

/// `[notifier]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// Subscriptions and outbox.
    pub database: PathBuf,
    /// `[notifier.smtp]`.
    pub smtp: SmtpConfig,
    /// `[notifier.delivery]`.
    pub delivery: DeliveryConfig,
    /// Where the notifier's own pages are reached from outside.
    pub public_url: Option<String>,
    /// The page on which a user changes settings, linked in every mail.
    pub settings_url: Option<String>,
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            database: PathBuf::from("/var/lib/ringtap/notifier.db"),
            smtp: SmtpConfig::default(),
            delivery: DeliveryConfig::default(),
            public_url: None,
            settings_url: None,
        }
    }
}

/// `[notifier.smtp]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// `smtp://host:port`, `smtps://...` (TLS from the start) or `smtp+starttls://...`.
    pub url: String,
    /// The mails' From.
    pub from: String,
    /// File that holds user and password; without one the server is used without.
    pub credentials_file: Option<PathBuf>,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            url: "smtp://127.0.0.1:25".to_owned(),
            from: "Missed calls <no-reply@localhost>".to_owned(),
            credentials_file: None,
        }
    }
}

impl SmtpConfig {
    /// The schemes that `url` may have.
    pub(crate) const SCHEMES: [&str; 3] = ["smtp://", "smtps://", "smtp+starttls://"];
}

/// `[notifier.delivery]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Further calls of one caller to one user within this time make one mail; 0 is off.
    pub coalesce_window_s: u32,
    /// Mails to one user in an hour; beyond it they are gathered.
    pub mails_per_hour_max: u32,
    /// Calls older than this are not mailed any more; 0 is never.
    pub stale_after_h: u32,
    /// How long a mail is tried that the server puts off.
    pub giveup_h: u32,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            coalesce_window_s: 120,
            mails_per_hour_max: 30,
            stale_after_h: 0,
            giveup_h: 48,
        }
    }
}

//! `[notifier]`: its database, the ways to the people (mail server, webhook), and how mails are packed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::ldap::LdapConfig;
use crate::page::{PageConfig, public_url};

/// `[notifier]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// Subscriptions and outbox.
    pub database: PathBuf,
    /// `[notifier.smtp]`.
    pub smtp: SmtpConfig,
    /// `[notifier.webhook]`.
    pub webhook: WebhookConfig,
    /// `[notifier.delivery]`.
    pub delivery: DeliveryConfig,
    /// `[notifier.ldap]`.
    pub ldap: LdapConfig,
    /// Folder of the operator's own mail templates, each of which replaces the built-in one of its name.
    pub templates: Option<PathBuf>,
    /// Where people reach their own page from outside, over the operator's proxy; without it there is none.
    pub public_url: Option<String>,
    /// `[notifier.page]`.
    pub page: PageConfig,
    /// The page on which a user changes settings, linked in every mail.
    pub settings_url: Option<String>,
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            database: PathBuf::from("/var/lib/ringtap/notifier.db"),
            smtp: SmtpConfig::default(),
            webhook: WebhookConfig::default(),
            delivery: DeliveryConfig::default(),
            ldap: LdapConfig::default(),
            templates: None,
            public_url: None,
            page: PageConfig::default(),
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
    /// PEM file of the authorities that may vouch for the server, instead of the system's own.
    pub ca_file: Option<PathBuf>,
    /// `[notifier.smtp.dkim]`: mails are signed with it, if it is there.
    pub dkim: Option<DkimConfig>,
    /// Connections to the server at once.
    pub connections: u32,
    /// Mails on their way to one domain of recipients at once.
    pub per_domain_max: u32,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            url: "smtp://127.0.0.1:25".to_owned(),
            from: "Missed calls <no-reply@localhost>".to_owned(),
            credentials_file: None,
            ca_file: None,
            dkim: None,
            connections: 4,
            per_domain_max: 3,
        }
    }
}

/// `[notifier.smtp.dkim]`: with what mails are signed (RFC 6376). All of it must be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimConfig {
    /// The key's name in the domain's DNS: `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// The domain that signs.
    pub domain: String,
    /// File with the private key.
    pub key_file: PathBuf,
}

/// `[notifier.webhook]`: where notifications go beside or instead of mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// `http://` or `https://` address that takes them; without one nobody can be told this way. It may
    /// hold a token, so neither errors nor logs repeat it whole.
    pub url: Option<String>,
    /// File with the key of the signature; without one notifications are not signed.
    pub secret_file: Option<PathBuf>,
    /// PEM file of the authorities that may vouch for the server, instead of the system's own.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for the whole exchange.
    pub timeout_s: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            secret_file: None,
            ca_file: None,
            timeout_s: 10,
        }
    }
}

/// `[notifier.delivery]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Further calls of one caller to one user within this time make one mail; 0 is off.
    pub coalesce_window_s: u32,
    /// Mails to one user in an hour; beyond it they are gathered. 0 is any number.
    pub mails_per_hour_max: u32,
    /// How often what was gathered beyond that goes out as one mail.
    pub digest_every_s: u32,
    /// When users are left alone who have not said otherwise, as [`QuietHours`] are written.
    pub quiet_hours: Option<String>,
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
            digest_every_s: 600,
            quiet_hours: None,
            stale_after_h: 0,
            giveup_h: 48,
        }
    }
}

impl DeliveryConfig {
    /// The quiet hours of those who have not said otherwise.
    #[must_use]
    pub fn quiet(&self) -> Option<QuietHours> {
        // Whether they can be read was checked when the configuration was.
        self.quiet_hours.as_deref().and_then(|hours| hours.parse().ok())
    }
}

/// A part of each day, by the clock of whom it concerns: `22:00-07:00`, the end not included. It may go past
/// midnight; beginning and end are never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// Beginning, in minutes since midnight.
    pub from_min: u16,
    /// End, in minutes since midnight.
    pub to_min: u16,
}

impl QuietHours {
    /// Whether they hold at `at_min` minutes since midnight.
    #[must_use]
    pub const fn hold_at(self, at_min: u16) -> bool {
        if self.from_min < self.to_min {
            self.from_min <= at_min && at_min < self.to_min
        } else {
            self.from_min <= at_min || at_min < self.to_min
        }
    }
}

/// Said of a text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part of a day; write it like \"22:00-07:00\"")]
pub struct NoQuietHours(String);

impl FromStr for QuietHours {
    type Err = NoQuietHours;

    fn from_str(text: &str) -> Result<Self, NoQuietHours> {
        let parse = || {
            let (from, to) = text.split_once('-')?;
            let (from_min, to_min) = (minutes(from)?, minutes(to)?);
            (from_min != to_min).then_some(Self { from_min, to_min })
        };
        parse().ok_or_else(|| NoQuietHours(text.to_owned()))
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_min, to_min } = self;
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from_min / 60,
            from_min % 60,
            to_min / 60,
            to_min % 60
        )
    }
}

/// `HH:MM`, from 00:00 to 23:59.
fn minutes(clock: &str) -> Option<u16> {
    let (hour, minute) = clock.split_once(':')?;
    let two_digits = |text: &str, below: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|value| digits && *value < below)
    };
    Some(two_digits(hour, 24)? * 60 + two_digits(minute, 60)?)
}

const DAY_S: u32 = 86_400;
/// More would be a burden to the server, and faster nowhere.
const CONNECTIONS_MAX: u32 = 64;
/// A server that takes longer does its work before it answers; deliveries would pile up behind it.
const WEBHOOK_TIMEOUT_S_MAX: u32 = 120;

/// The key at fault, without `notifier.`, and what is wrong with it.
pub(crate) type Fault = (&'static str, String);

impl NotifierConfig {
    /// Whether every value can be used, as far as that can be told without files and network.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        not_empty("database", &self.database)?;
        self.smtp.check()?;
        self.webhook.check()?;
        self.delivery.check()?;
        self.ldap.check()?;
        self.page.check()?;
        if let Some(url) = &self.public_url {
            public_url(url)?;
        }
        given_not_empty("templates", self.templates.as_ref())?;
        for (key, url) in [
            ("public_url", &self.public_url),
            ("settings_url", &self.settings_url),
        ] {
            if let Some(url) = url.as_ref().filter(|url| web_address(url).is_none()) {
                return Err((key, format!("{url:?} is not an http:// or https:// address")));
            }
        }
        Ok(())
    }
}

impl SmtpConfig {
    /// The schemes that `url` may have.
    const SCHEMES: [&str; 3] = ["smtp://", "smtps://", "smtp+starttls://"];

    fn check(&self) -> Result<(), Fault> {
        // Passwords do not belong into a file that everybody may read, nor into errors and logs.
        if self.url.contains('@') {
            let problem = "user and password belong into the file that credentials_file names";
            return Err(("smtp.url", problem.to_owned()));
        }
        let server = Self::SCHEMES
            .iter()
            .find_map(|scheme| self.url.strip_prefix(scheme));
        if !server.is_some_and(|server| !server.is_empty() && is_plain(server)) {
            let forms = Self::SCHEMES
                .map(|scheme| format!("{scheme}HOST:PORT"))
                .join(", ");
            let problem = format!("{:?} is not a server; write {forms}", self.url);
            return Err(("smtp.url", problem));
        }
        if !self.from.contains('@') || self.from.contains(|c: char| c.is_control()) {
            return Err(("smtp.from", format!("{:?} is not a mail address", self.from)));
        }
        given_not_empty("smtp.credentials_file", self.credentials_file.as_ref())?;
        given_not_empty("smtp.ca_file", self.ca_file.as_ref())?;
        if let Some(dkim) = &self.dkim {
            dkim.check()?;
        }
        within("smtp.connections", self.connections, 1, CONNECTIONS_MAX)?;
        at_least_one("smtp.per_domain_max", self.per_domain_max)
    }
}

impl DkimConfig {
    fn check(&self) -> Result<(), Fault> {
        for (key, name) in [
            ("smtp.dkim.selector", &self.selector),
            ("smtp.dkim.domain", &self.domain),
        ] {
            let label = |label: &str| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                (1..=63).contains(&label.len()) && label.bytes().all(plain)
            };
            if !name.split('.').all(label) {
                return Err((key, format!("{name:?} is no name of the DNS")));
            }
        }
        not_empty("smtp.dkim.key_file", &self.key_file)
    }
}

impl WebhookConfig {
    fn check(&self) -> Result<(), Fault> {
        if let Some(url) = &self.url {
            let address = web_address(url).ok_or_else(|| {
                let problem = "is not an http:// or https:// address";
                ("webhook.url", problem.to_owned())
            })?;
            let host = address.split(['/', '?', '#']).next().unwrap_or_default();
            if host.contains('@') {
                let problem = "user and password are not sent; sign with secret_file instead";
                return Err(("webhook.url", problem.to_owned()));
            }
            if host.is_empty() || address.contains('#') {
                let problem = "wanted is a host, perhaps a port, a path and a query";
                return Err(("webhook.url", problem.to_owned()));
            }
        }
        given_not_empty("webhook.secret_file", self.secret_file.as_ref())?;
        given_not_empty("webhook.ca_file", self.ca_file.as_ref())?;
        within("webhook.timeout_s", self.timeout_s, 1, WEBHOOK_TIMEOUT_S_MAX)
    }
}

impl DeliveryConfig {
    fn check(&self) -> Result<(), Fault> {
        within("delivery.digest_every_s", self.digest_every_s, 1, DAY_S)?;
        if let Some(hours) = &self.quiet_hours {
            hours
                .parse::<QuietHours>()
                .map_err(|error| ("delivery.quiet_hours", error.to_string()))?;
        }
        at_least_one("delivery.giveup_h", self.giveup_h)
    }
}

/// What follows the scheme of an `http://` or `https://` address.
pub(crate) fn web_address(url: &str) -> Option<&str> {
    let address = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    address.filter(|address| !address.is_empty() && is_plain(address))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn at_least_one(key: &'static str, value: u32) -> Result<(), Fault> {
    if value == 0 {
        return Err((key, "0 is out of bounds; give at least 1".to_owned()));
    }
    Ok(())
}

pub(crate) fn within(key: &'static str, value: u32, min: u32, max: u32) -> Result<(), Fault> {
    if !(min..=max).contains(&value) {
        return Err((key, format!("{value} is out of bounds; give {min} to {max}")));
    }
    Ok(())
}

fn given_not_empty(key: &'static str, path: Option<&PathBuf>) -> Result<(), Fault> {
    path.map_or(Ok(()), |path| not_empty(key, path))
}

fn not_empty(key: &'static str, path: &std::path::Path) -> Result<(), Fault> {
    if path.as_os_str().is_empty() {
        return Err((key, "is empty".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a night that ends at midnight, an end that still counts, and forms that are read as something
    /// else than they mean.
    #[test]
    fn quiet_hours() {
        let night: QuietHours = "22:00-07:00".parse().unwrap();
        assert_eq!((night.from_min, night.to_min), (1320, 420));
        assert_eq!(night.to_string(), "22:00-07:00");
        for (at_min, quiet) in [
            (1319, false),
            (1320, true),
            (1439, true),
            (0, true),
            (419, true),
            (420, false),
        ] {
            assert_eq!(night.hold_at(at_min), quiet, "{at_min}");
        }
        let noon: QuietHours = "12:30-13:15".parse().unwrap();
        for (at_min, quiet) in [(749, false), (750, true), (794, true), (795, false), (0, false)] {
            assert_eq!(noon.hold_at(at_min), quiet, "{at_min}");
        }
        for wrong in [
            "",
            "22:00",
            "22-7",
            "22:00-7:00",
            "24:00-07:00",
            "22:60-07:00",
            "22:00-22:00",
            "+2:00-07:00",
            "22:00 - 07:00",
            "22:00-07:00-08:00",
        ] {
            assert!(wrong.parse::<QuietHours>().is_err(), "{wrong}");
        }
    }
}

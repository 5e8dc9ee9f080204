//! Handing a mail to the server, and what its answer means for the outbox.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Message, SmtpTransport, Transport as _};
use ringtap_config::SmtpConfig;
use serde::Deserialize;

/// Longest wait for the server, for any one command.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Connections kept open.
const POOL: u32 = 4;
/// Longest text of an error kept.
const ERROR_CHARS_MAX: usize = 300;

/// Why there is no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The address of the server.
    #[error("notifier.smtp.url: {url:?}: {reason}")]
    Url {
        /// What stands there.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with user and password.
    #[error("notifier.smtp.credentials_file: {path}: {reason}", path = path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server took it.
    Sent,
    /// Not now: the server put it off (4xx).
    Later(String),
    /// The server could not be talked to, whatever the mail.
    NoServer(String),
    /// Never: the server refused this mail (5xx).
    Refused(String),
}

/// The way to the mail server; connections are kept and reused.
pub struct Mailer {
    transport: SmtpTransport,
}

impl Mailer {
    /// A mailer as configured. Nothing is sent yet, not even a greeting.
    pub fn new(config: &SmtpConfig) -> Result<Self, MailerError> {
        let bad = |reason: String| MailerError::Url {
            url: config.url.clone(),
            reason,
        };
        let mut builder = SmtpTransport::from_url(&library_url(&config.url).map_err(bad)?)
            .map_err(|error| bad(error.to_string()))?
            .timeout(Some(TIMEOUT))
            .pool_config(PoolConfig::new().max_size(POOL));
        if let Some(path) = &config.credentials_file {
            let reason = |reason| MailerError::Credentials {
                path: path.clone(),
                reason,
            };
            builder = builder.credentials(credentials(path).map_err(reason)?);
        }
        Ok(Self {
            transport: builder.build(),
        })
    }

    /// Hands one mail to the server.
    #[must_use]
    pub fn send(&self, mail: &Message) -> Answer {
        let Err(error) = self.transport.send(mail) else {
            return Answer::Sent;
        };
        let text = error.to_string();
        let text = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(ERROR_CHARS_MAX)
            .collect();
        match error.status().map(u16::from) {
            // Wrong or missing credentials (RFC 4954 §6) say nothing about the mail.
            Some(530 | 534 | 535 | 538) => Answer::NoServer(text),
            // 421: the server closes the connection (RFC 5321 §3.8).
            Some(421) => Answer::NoServer(text),
            Some(500..) => Answer::Refused(text),
            Some(_) => Answer::Later(text),
            None => Answer::NoServer(text),
        }
    }
}

/// The library writes STARTTLS as a parameter.
fn library_url(url: &str) -> Result<String, String> {
    if url.contains(['?', '#']) {
        return Err("takes no parameters".to_owned());
    }
    match url.split_once("://") {
        Some(("smtp" | "smtps", _)) => Ok(url.to_owned()),
        Some(("smtp+starttls", server)) => Ok(format!("smtp://{server}?tls=required")),
        _ => Err("wanted is smtp://, smtps:// or smtp+starttls:// and a server".to_owned()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    user: String,
    password: String,
}

fn credentials(path: &Path) -> Result<Credentials, String> {
    let mode = fs::metadata(path)
        .map_err(|error| error.to_string())?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read it (mode {:03o}); chmod 600 it",
            mode & 0o777
        ));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The parser's own message would quote the line, and with it the password.
    let file: CredentialsFile = toml::from_str(&text)
        .map_err(|_| "wanted are two lines: user = \"…\" and password = \"…\"".to_owned())?;
    Ok(Credentials::new(file.user, file.password))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a URL that would quietly lose its TLS.
    #[test]
    fn schemes() {
        assert_eq!(library_url("smtp://h:25").unwrap(), "smtp://h:25");
        assert_eq!(library_url("smtps://h").unwrap(), "smtps://h");
        assert_eq!(
            library_url("smtp+starttls://h:587").unwrap(),
            "smtp://h:587?tls=required"
        );
        for bad in ["h:25", "http://h", "smtp+starttls://h?tls=opportunistic"] {
            assert!(library_url(bad).is_err(), "{bad}");
        }
    }

    /// Catches a password file that others can read being used, and one that leaks into an error.
    #[test]
    fn credentials_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("smtp.toml");
        fs::write(&path, "user = \"u\"\npassword = \"secret\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(credentials(&path).unwrap_err().contains("640"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            credentials(&path).unwrap(),
            Credentials::new("u".to_owned(), "secret".to_owned())
        );
        fs::write(&path, "password = secret\n").unwrap();
        assert!(!credentials(&path).unwrap_err().contains("secret"));
    }
}

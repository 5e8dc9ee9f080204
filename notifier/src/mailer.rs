//! Handing a mail to the server, and what its answer means for the outbox.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lettre::Message;
use lettre::transport::smtp::authentication::Credentials;
use ringtap_config::SmtpConfig;
use serde::Deserialize;

use crate::link::{Link, LinkError};

/// Longest text of an error kept.
const ERROR_CHARS_MAX: usize = 300;

/// Why there is no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The address of the server.
    #[error("notifier.smtp.url: {reason}")]
    Url {
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

/// The way to the mail server.
pub struct Mailer {
    link: Link,
}

impl Mailer {
    /// A mailer as configured. Nothing is sent yet, not even a greeting.
    pub fn new(config: &SmtpConfig) -> Result<Self, MailerError> {
        let credentials = match &config.credentials_file {
            None => None,
            Some(path) => Some(credentials(path).map_err(|reason| MailerError::Credentials {
                path: path.clone(),
                reason,
            })?),
        };
        let link = Link::new(&config.url, credentials).map_err(|reason| MailerError::Url { reason })?;
        Ok(Self { link })
    }

    /// Hands one mail to the server.
    #[must_use]
    pub fn send(&mut self, mail: &Message) -> Answer {
        let Err(error) = self.link.send(mail) else {
            return Answer::Sent;
        };
        let text = error.to_string();
        let text = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(ERROR_CHARS_MAX)
            .collect();
        let LinkError::Smtp(error) = error else {
            return Answer::Refused(text);
        };
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

    /// There is nothing to send at present: an unused connection need not stay open for long.
    pub fn rest(&mut self) {
        self.link.rest();
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

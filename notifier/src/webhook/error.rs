//! What can go wrong, and the words for it: bounded, in one line, and without the address's secrets.

use std::io;
use std::path::PathBuf;

use ureq::http::Uri;
use ureq::{Error, Timeout};

use crate::deliver::Answer;

/// Longest text of an error kept, in characters.
const ERROR_CHARS_MAX: usize = 300;
/// A piece of the address shorter than this is no token, but may be part of any word.
const TOKEN_CHARS_MIN: usize = 8;

/// Why there is no way to the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A key of the configuration.
    #[error("notifier.webhook.{key}: {reason}")]
    Key {
        /// Its name.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that a key names.
    #[error("notifier.webhook.{key}: {path}: {reason}", path = path.display())]
    File {
        /// The key's name.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a fault on the way means.
pub(super) fn judge(error: &Error, words: &Words) -> Answer {
    let interrupted = match error {
        // The notification itself cannot be put into a request.
        Error::Http(error) => return Answer::Broken(words.say(&error.to_string())),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        Error::Timeout(_) | Error::Protocol(_) | Error::LargeResponseHeader(..) => true,
        Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
        ),
        _ => false,
    };
    let why = words.say(&match error {
        Error::Io(error) => error.to_string(),
        Error::Timeout(_) if interrupted => "no answer in time".to_owned(),
        Error::Timeout(_) => "no connection in time".to_owned(),
        error => error.to_string(),
    });
    match interrupted {
        true => Answer::Interrupted(why),
        false => Answer::NoServer(why),
    }
}

/// Makes texts that may be kept and logged.
pub(super) struct Words {
    /// Who is talked to.
    server: String,
    /// What of the address may be a secret, the longest first.
    secrets: Vec<String>,
}

impl Words {
    pub(super) fn new(uri: &Uri) -> Self {
        let whole = uri.path_and_query().map_or("", |path| path.as_str());
        let query = uri.query().unwrap_or_default();
        let pieces = whole.split(['/', '?', '&', '=']);
        let mut secrets: Vec<String> = pieces
            .filter(|piece| piece.len() >= TOKEN_CHARS_MIN)
            .chain(
                [whole, uri.path(), query]
                    .into_iter()
                    .filter(|part| part.len() > 1),
            )
            .map(str::to_owned)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            server: uri.authority().map_or_else(String::new, ToString::to_string),
            secrets,
        }
    }

    /// `text` in one line, behind the server's name. A server may repeat the address that it was asked for.
    pub(super) fn say(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "…");
        }
        format!("{}: {text}", self.server)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(ERROR_CHARS_MAX)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a token of the address in what is logged, and a text that floods or breaks the log.
    #[test]
    fn texts_are_safe() {
        let words = |url: &str| Words::new(&url.parse().unwrap());
        let chat = words("https://chat.test:8443/services/T0001/secret-of-mine?key=another-secret&v=1");
        for said in [
            "cannot POST /services/T0001/secret-of-mine?key=another-secret&v=1",
            "no such hook: secret-of-mine",
            "key another-secret is unknown",
            "/services/T0001/secret-of-mine",
            "key=another-secret&v=1",
        ] {
            let text = chat.say(said);
            assert!(text.starts_with("chat.test:8443: "), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert_eq!(words("http://h").say("a / b\r\nc\u{1b}"), "h: a / b  c ");
        let long = chat.say(&"错".repeat(1000));
        assert_eq!(long.chars().count(), ERROR_CHARS_MAX);
    }
}

//! Handing a mail to the server, and what its answer means for the outbox.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::HeaderName;
use lettre::transport::smtp::authentication::Credentials;
use ringtap_config::SmtpConfig;
use serde::Deserialize;

use crate::deliver::{Answer, Carrier, Parcel};
use crate::link::{Link, LinkError, Route};
use crate::private;
use crate::render::Renderer;

/// Longest text of an error kept.
const ERROR_CHARS_MAX: usize = 300;
/// What a signature covers: all that the reader sees, and what threads and filters go by. Not Content-Type: the library keeps
/// that with the body and would sign that there is none, which no verifier finds to be so.
const SIGNED: [&str; 8] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "References",
    "MIME-Version",
    "Auto-Submitted",
];

/// And in mails that have them (RFC 8058 §4).
const SIGNED_LINKS: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];

/// Why there is no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// A key of the configuration.
    #[error("notifier.smtp.{key}: {reason}")]
    Key {
        /// Its name.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that a key names.
    #[error("notifier.smtp.{key}: {path}: {reason}", path = path.display())]
    File {
        /// The key's name.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The way to the mail server, for any number of mailers.
pub struct MailRoute {
    route: Arc<Route>,
    signature: Option<Arc<Signatures>>,
    renderer: Arc<Renderer>,
}

/// Makes mails and hands them over, one connection's worth.
pub struct Mailer {
    link: Link,
    signature: Option<Arc<Signatures>>,
    renderer: Arc<Renderer>,
}

impl MailRoute {
    /// As configured. Nothing is sent yet, not even a greeting.
    pub fn new(config: &SmtpConfig, renderer: Arc<Renderer>) -> Result<Self, MailerError> {
        let file = |key, path: &PathBuf, reason| MailerError::File {
            key,
            path: path.clone(),
            reason,
        };
        let credentials = match &config.credentials_file {
            None => None,
            Some(path) => Some(credentials(path).map_err(|reason| file("credentials_file", path, reason))?),
        };
        let signature = match &config.dkim {
            None => None,
            Some(dkim) => Some(Arc::new(
                Signatures::new(dkim).map_err(|reason| file("dkim.key_file", &dkim.key_file, reason))?,
            )),
        };
        let route =
            Route::new(config, credentials).map_err(|(key, reason)| MailerError::Key { key, reason })?;
        Ok(Self {
            route: Arc::new(route),
            signature,
            renderer,
        })
    }

    /// Greets the server, with TLS, user and password if they are asked for; why that cannot be done.
    pub fn greet(&self, patience: Duration) -> Result<(), String> {
        self.route.greet(patience).map_err(|fault| {
            let mut text = fault.to_string();
            let mut cause = fault.source();
            while let Some(deeper) = cause {
                let said = deeper.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
                cause = deeper.source();
            }
            bounded(&text)
        })
    }

    /// One more mailer.
    #[must_use]
    pub fn mailer(&self) -> Mailer {
        Mailer {
            link: Link::new(Arc::clone(&self.route)),
            signature: self.signature.clone(),
            renderer: Arc::clone(&self.renderer),
        }
    }
}

impl Carrier for Mailer {
    fn carry(&mut self, parcel: &Parcel) -> Answer {
        match self.renderer.mail(parcel) {
            Ok(mut mail) => {
                if let Some(signature) = &self.signature {
                    mail.sign(signature.of(&mail));
                }
                self.send(&mail)
            }
            Err(fault) => Answer::Broken(fault.to_string()),
        }
    }

    fn rest(&mut self) {
        self.link.rest();
    }
}

impl Mailer {
    /// Hands one mail to the server.
    fn send(&mut self, mail: &Message) -> Answer {
        let Err(fault) = self.link.send(mail) else {
            return Answer::Sent;
        };
        let text = bounded(&fault.to_string());
        match fault {
            LinkError::NoServer(_) => Answer::NoServer(text),
            LinkError::Lacks(_) => Answer::Refused(text),
            LinkError::Recipient(error) => answer(&error, At::Recipient, text),
            LinkError::Smtp(error) => answer(&error, At::Mail, text),
        }
    }
}

/// What the server's words mean for the mail.
fn answer(error: &lettre::transport::smtp::Error, at: At, text: String) -> Answer {
    match error.status().map(u16::from) {
        None | Some(421) => Answer::Interrupted(text),
        Some(code) => match judge(code, at, &text) {
            // The server has taken our sender: what it says now may be of this recipient alone, and must keep nobody else waiting.
            Judgement::Sender => Answer::Unwelcome(text),
            Judgement::Temporary => Answer::Later {
                why: text,
                after: None,
            },
            Judgement::Permanent => Answer::Refused(text),
        },
    }
}

/// A text from elsewhere as it may be kept.
fn bounded(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(ERROR_CHARS_MAX).collect()
}

/// What an answer that is no success speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// Perhaps not of the mail, but of us.
    Sender,
    /// Of the mail, for now.
    Temporary,
    /// Of the mail, for good.
    Permanent,
}

/// Words of servers that do not pass on our mails: Exim's "relay not permitted", qmail's "rcpthosts", anybody's "authentication required".
const SENDER_WORDS: [&str; 3] = ["relay", "rcpthosts", "authenticat"];

/// How far the server was told of the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// To whom it goes.
    Recipient,
    /// More, or all of it.
    Mail,
}

/// Reads a code, and the enhanced one (RFC 3463) if the text has one. That says more: its class counts where the two differ, a
/// mailbox that is full (X.2.2) or a system that takes nothing at present (X.3.1, X.3.2) will be better, and who has not
/// proved who he is (X.7.8 and its like, RFC 4954 §6) may be anybody. Servers put off what they have against the sender until
/// they know the recipient (Postfix: `smtpd_delay_reject`), and then say that it is not permitted (X.7), or so in words.
fn judge(code: u16, at: At, text: &str) -> Judgement {
    if matches!(code, 530 | 534 | 535 | 538) {
        return Judgement::Sender;
    }
    if at == At::Recipient {
        let text = text.to_ascii_lowercase();
        if SENDER_WORDS.iter().any(|word| text.contains(word)) {
            return Judgement::Sender;
        }
    }
    match (enhanced(text), at) {
        (Some((_, 7, 8 | 9 | 11)), _) | (Some((5, 7, _)), At::Recipient) => Judgement::Sender,
        (Some((5, 2, 2) | (5, 3, 1 | 2)), _) => Judgement::Temporary,
        (Some((4, ..)), _) => Judgement::Temporary,
        (Some((5, ..)), _) => Judgement::Permanent,
        (None, At::Recipient) if code == 554 => Judgement::Sender,
        // RFC 5321 §4.2.3: "exceeded storage allocation".
        _ if code == 552 => Judgement::Temporary,
        _ if code >= 500 => Judgement::Permanent,
        _ => Judgement::Temporary,
    }
}

/// The enhanced status code at the head of a server's text, which the library puts behind its own words. Some servers write `#5.1.1`,
/// qmail at the end.
fn enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let said = text.split_once("): ").map_or(text, |(_, said)| said);
    let mut words = said.split_ascii_whitespace();
    let first = words.next()?;
    let marked = |word: &'_ str| word.trim_matches(['(', ')']).starts_with('#');
    let word = if marked(first) {
        first
    } else {
        words.find(|word| marked(word)).unwrap_or(first)
    };
    let mut parts = word.trim_matches(['(', ')', '#']).split('.');
    let class: u8 = parts.next()?.parse().ok()?;
    let code = (class, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && matches!(class, 2 | 4 | 5)).then_some(code)
}

/// Ways to sign: what a mail does not have is not signed.
struct Signatures {
    plain: DkimConfig,
    with_links: DkimConfig,
}

impl Signatures {
    fn new(dkim: &ringtap_config::DkimConfig) -> Result<Self, String> {
        Ok(Self {
            plain: signature(dkim, SIGNED.into_iter())?,
            with_links: signature(dkim, SIGNED.into_iter().chain(SIGNED_LINKS))?,
        })
    }

    fn of(&self, mail: &Message) -> &DkimConfig {
        let has = |name: &str| mail.headers().get_raw(name).is_some();
        if SIGNED_LINKS.into_iter().all(has) {
            &self.with_links
        } else {
            &self.plain
        }
    }
}

/// The signature of the operator's domain (RFC 6376), over the headers `signed`.
fn signature(
    dkim: &ringtap_config::DkimConfig,
    signed: impl Iterator<Item = &'static str>,
) -> Result<DkimConfig, String> {
    let key = private::read(&dkim.key_file)?;
    let (algorithm, key) = if key.contains("BEGIN RSA PRIVATE KEY") {
        (DkimSigningAlgorithm::Rsa, key)
    } else {
        (DkimSigningAlgorithm::Ed25519, key.trim().to_owned())
    };
    let key = DkimSigningKey::new(&key, algorithm).map_err(|error| {
        format!(
            "{error}; wanted is an RSA key as PKCS #1 PEM (\"BEGIN RSA PRIVATE KEY\"), or the 32 octets of an Ed25519 key \
             in Base64"
        )
    })?;
    let relaxed = DkimCanonicalization {
        header: DkimCanonicalizationType::Relaxed,
        body: DkimCanonicalizationType::Relaxed,
    };
    let signed = signed.map(HeaderName::new_from_ascii_str).collect();
    Ok(DkimConfig::new(
        dkim.selector.clone(),
        dkim.domain.clone(),
        key,
        signed,
        relaxed,
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    user: String,
    password: String,
}

fn credentials(path: &Path) -> Result<Credentials, String> {
    let text = private::read(path)?;
    // The parser's own message would quote the line, and with it the password.
    let file: CredentialsFile = toml::from_str(&text)
        .map_err(|_| "wanted are two lines: user = \"…\" and password = \"…\"".to_owned())?;
    Ok(Credentials::new(file.user, file.password))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

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

    /// Catches a signature over a header that the library writes behind its back: it signs that there is none, and no verifier
    /// agrees.
    #[test]
    fn what_is_signed_is_there() {
        let address = || "m@office.test".parse().unwrap();
        let mail = Message::builder()
            .from(address())
            .to(address())
            .subject("s")
            .message_id(Some("<1@office.test>".to_owned()))
            .references("<2@office.test>".to_owned())
            .raw_header(lettre::message::header::HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(lettre::message::MultiPart::alternative_plain_html(
                "t".to_owned(),
                "h".to_owned(),
            ))
            .unwrap();
        for name in SIGNED {
            assert!(mail.headers().get_raw(name).is_some(), "{name}");
        }
    }

    /// Catches links to unsubscribe by that nobody vouches for (RFC 8058 §4), and a signature over ones that a mail does not have.
    #[test]
    fn links_are_signed_where_there_are_any() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("key");
        fs::write(&key_file, "A".repeat(43) + "=").unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let signatures = Signatures::new(&ringtap_config::DkimConfig {
            selector: "s".to_owned(),
            domain: "office.test".to_owned(),
            key_file,
        })
        .unwrap();
        let signed = |links: &[&'static str]| {
            let address = || "m@office.test".parse().unwrap();
            let mut mail = Message::builder().from(address()).to(address()).subject("s");
            for name in links {
                mail = mail.raw_header(lettre::message::header::HeaderValue::new(
                    HeaderName::new_from_ascii_str(name),
                    "<https://calls.test/u/x>".to_owned(),
                ));
            }
            let mut mail = mail.body("b".to_owned()).unwrap();
            let signature = signatures.of(&mail);
            mail.sign(signature);
            mail.headers().get_raw("DKIM-Signature").unwrap().to_owned()
        };
        let both = signed(&SIGNED_LINKS);
        for name in SIGNED_LINKS {
            assert!(both.contains(&name.to_ascii_lowercase()), "{both}");
        }
        assert!(!signed(&[]).contains("list-"));
        assert!(
            !signed(&["List-Unsubscribe"]).contains("List-"),
            "it is not one click"
        );
    }

    /// Catches a mail given up that a fuller word would have saved, one tried for two days that will never be taken, and a wrong
    /// password that costs mails.
    #[test]
    fn codes() {
        for (code, text, judgement) in [
            (
                451,
                "transient error (451): 4.7.1 greylisted",
                Judgement::Temporary,
            ),
            (
                550,
                "permanent error (550): 5.1.1 no such user",
                Judgement::Permanent,
            ),
            (550, "permanent error (550): no such user", Judgement::Permanent),
            (
                552,
                "permanent error (552): 5.2.2 over quota",
                Judgement::Temporary,
            ),
            (550, "permanent error (550): 4.2.1 busy", Judgement::Temporary),
            (450, "transient error (450): 5.1.1 gone", Judgement::Permanent),
            (554, "permanent error (554): 5.3.2 not now", Judgement::Temporary),
            (554, "permanent error (554): 5.3.4 too big", Judgement::Permanent),
            (535, "permanent error (535): no", Judgement::Sender),
            (554, "permanent error (554): 5.7.8 no", Judgement::Sender),
            (554, "permanent error (554): 5.7.1 spam", Judgement::Permanent),
            (554, "permanent error (554): no", Judgement::Permanent),
            (552, "permanent error (552): full", Judgement::Temporary),
            (552, "permanent error (552): #5.2.2 full", Judgement::Temporary),
            (552, "permanent error (552): 5.3.4 too big", Judgement::Permanent),
            (450, "transient error (450): 4.2 not a code", Judgement::Temporary),
            (
                550,
                "permanent error (550): 10.0.0.1 is listed",
                Judgement::Permanent,
            ),
        ] {
            assert_eq!(judge(code, At::Mail, text), judgement, "{text}");
        }
        for (code, text, judgement) in [
            (
                554,
                "permanent error (554): 5.7.1 <host>: Client host rejected",
                Judgement::Sender,
            ),
            (554, "permanent error (554): denied", Judgement::Sender),
            (
                550,
                "permanent error (550): relay not permitted",
                Judgement::Sender,
            ),
            (
                550,
                "permanent error (550): 5.7.54 SMTP; Unable to relay",
                Judgement::Sender,
            ),
            (
                553,
                "permanent error (553): sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
                Judgement::Sender,
            ),
            (
                550,
                "permanent error (550): Authentication is required",
                Judgement::Sender,
            ),
            (
                454,
                "transient error (454): 4.7.1 <a@b>: Relay access denied",
                Judgement::Sender,
            ),
            (
                450,
                "transient error (450): 4.7.1 greylisted",
                Judgement::Temporary,
            ),
            (
                550,
                "permanent error (550): sorry, no mailbox here by that name. (#5.1.1)",
                Judgement::Permanent,
            ),
            (550, "permanent error (550): 5.1.1 who?", Judgement::Permanent),
            (550, "permanent error (550): no such user", Judgement::Permanent),
            (450, "transient error (450): 4.7.1 later", Judgement::Temporary),
        ] {
            assert_eq!(judge(code, At::Recipient, text), judgement, "{text}");
        }
    }
}

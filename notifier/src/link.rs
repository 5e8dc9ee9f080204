//! One connection to the mail server, kept between mails. What an answer means is the mailer's to say.
//!
//! The library's own transport writes a mail and its final dot one after the other: the kernel holds the dot
//! back until the mail is acknowledged (Nagle, RFC 1122 §4.2.3.4), the server acknowledges only after 40 ms as
//! it still waits for more (delayed ACK, §4.2.3.2), and no more than some twenty mails go out in a second.
//! Here both are one write.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, Tls, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use ringtap_config::SmtpConfig;

/// Longest wait for the server, for a command that costs nothing if it is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// For its good-bye, which nobody needs.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);
/// For its word on a recipient, whom it may have to ask others about, and on whether it wants the mail (RFC 5321 §4.5.3.2.3).
const RECIPIENT_TIMEOUT: Duration = Duration::from_secs(300);
/// For its word on the whole mail, which it may filter first (§4.5.3.2.6): to give up sooner is to send twice what it has taken.
const MAIL_TIMEOUT: Duration = Duration::from_secs(600);
/// An unused connection is closed after this time, before the server wonders.
const IDLE: Duration = Duration::from_secs(60);

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// There is no connection, or none on which we may send: nothing was said of the mail.
    #[error("{0}")]
    NoServer(Error),
    /// What the server says to this mail's recipient.
    #[error("{0}")]
    Recipient(Error),
    /// The server's answer to this mail, or its end on the way.
    #[error(transparent)]
    Smtp(#[from] Error),
    /// The server lacks what this mail needs.
    #[error("the server does not offer {0}, which this mail needs")]
    Lacks(&'static str),
}

/// Where the server is, and how one talks to it.
#[derive(Debug)]
pub(crate) struct Route {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
}

impl Route {
    /// The way to the server at `smtp.url` (`smtp://`, `smtps://` or `smtp+starttls://`, a host, perhaps a port). Of the errors, the key at
    /// fault and what is wrong.
    pub(crate) fn new(
        smtp: &SmtpConfig,
        credentials: Option<Credentials>,
    ) -> Result<Self, (&'static str, String)> {
        let url = &smtp.url;
        let wanted = || {
            (
                "url",
                format!("{url:?}: wanted is smtp://, smtps:// or smtp+starttls:// and a server"),
            )
        };
        let (scheme, server) = url.split_once("://").ok_or_else(wanted)?;
        let (host, port) = host_and_port(server.trim_end_matches('/')).ok_or_else(wanted)?;
        let parameters = || -> Result<TlsParameters, (&'static str, String)> {
            trusted(smtp, TlsParameters::builder(host.to_owned()))?
                .build()
                .map_err(|error| ("url", error.to_string()))
        };
        let (standard_port, tls) = match scheme {
            "smtp" => (SMTP_PORT, Tls::None),
            "smtp+starttls" => (SUBMISSION_PORT, Tls::Required(parameters()?)),
            "smtps" => (SUBMISSIONS_PORT, Tls::Wrapper(parameters()?)),
            _ => return Err(wanted()),
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.unwrap_or(standard_port),
            tls,
            credentials,
        })
    }

    /// Greets the server, proves who we are if that is asked for, and hangs up.
    pub(crate) fn greet(&self, patience: Duration) -> Result<(), Error> {
        self.connect(patience).map(close)
    }

    /// A new connection on which mails can be sent.
    fn connect(&self, patience: Duration) -> Result<SmtpConnection, Error> {
        let hello = ClientId::default();
        let server = (self.host.as_str(), self.port);
        let wrapper = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters),
            _ => None,
        };
        let mut connection = SmtpConnection::connect(server, Some(patience), &hello, wrapper, None)?;
        if let Tls::Required(parameters) = &self.tls {
            connection.starttls(parameters, &hello)?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials)?;
        }
        Ok(connection)
    }
}

/// With the operator's own authorities instead of the system's, if there are any.
fn trusted(
    smtp: &SmtpConfig,
    builder: TlsParametersBuilder,
) -> Result<TlsParametersBuilder, (&'static str, String)> {
    let Some(path) = &smtp.ca_file else {
        return Ok(builder);
    };
    let fault = |what: String| ("ca_file", format!("{}: {what}", path.display()));
    let pem = fs::read(path).map_err(|error| fault(error.to_string()))?;
    let certificate = Certificate::from_pem(&pem).map_err(|error| fault(error.to_string()))?;
    Ok(builder
        .certificate_store(CertificateStore::None)
        .add_root_certificate(certificate))
}

/// The server and, once there was a mail, the connection to it.
pub(crate) struct Link {
    route: Arc<Route>,
    open: Option<(SmtpConnection, Instant)>,
}

impl Link {
    /// Nothing is sent yet, not even a greeting.
    pub(crate) const fn new(route: Arc<Route>) -> Self {
        Self { route, open: None }
    }

    /// Hands one mail over. The connection lives on if the server took the mail, or refused it in words.
    pub(crate) fn send(&mut self, mail: &Message) -> Result<(), LinkError> {
        if let Some((mut connection, _)) = self.open.take() {
            // The server may have closed it meanwhile, or closes it now as it has had enough (421): then a new one is as good, for
            // nothing of the mail was said.
            match begin(&mut connection, mail) {
                Err(LinkError::Smtp(error)) if is_closed(&error) => drop(connection),
                begun => return self.finish(connection, mail, begun),
            }
        }
        let mut connection = self.route.connect(TIMEOUT).map_err(LinkError::NoServer)?;
        let begun = begin(&mut connection, mail);
        self.finish(connection, mail, begun)
    }

    fn finish(
        &mut self,
        mut connection: SmtpConnection,
        mail: &Message,
        begun: Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let done = match begun {
            Ok(()) => hand_over(&mut connection, mail),
            // Nothing was said of the mail but from whom it is.
            Err(LinkError::Smtp(error)) => Err(LinkError::NoServer(error)),
            Err(fault) => Err(fault),
        };
        let is_usable = match &done {
            Ok(()) => true,
            // Who has gone, or is about to, is told nothing more: to wait for his good-bye is to wait for nothing.
            Err(LinkError::Smtp(error) | LinkError::Recipient(error)) if is_closed(error) => false,
            Err(LinkError::NoServer(error)) if is_closed(error) => false,
            Err(LinkError::NoServer(_)) => {
                close(connection);
                return done;
            }
            Err(_) => wait_up_to(&mut connection, TIMEOUT).command(Rset).is_ok(),
        };
        if is_usable {
            self.open = Some((connection, Instant::now()));
        }
        done
    }

    /// Closes the connection if it has been idle for long.
    pub(crate) fn rest(&mut self) {
        if let Some((connection, _)) = self.open.take_if(|(_, used)| used.elapsed() > IDLE) {
            close(connection);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some((connection, _)) = self.open.take() {
            close(connection);
        }
    }
}

/// Says good-bye, and does not wait long for an answer.
fn close(mut connection: SmtpConnection) {
    wait_up_to(&mut connection, GOODBYE_TIMEOUT).abort();
}

/// `host`, `host:port` or `[address]:port`.
fn host_and_port(server: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            (
                address,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':')?)
                },
            )
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/?#@[]".contains(c));
    let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
    match port {
        Some(None) => None,
        port => is_host.then_some((host, port.flatten())),
    }
}

/// Whether the server has closed the connection, or is about to (421, RFC 5321 §3.8).
fn is_closed(error: &Error) -> bool {
    error.status().is_none_or(|code| u16::from(code) == 421)
}

/// MAIL (RFC 5321 §3.3): before it the server has heard nothing of the mail.
fn begin(connection: &mut SmtpConnection, mail: &Message) -> Result<(), LinkError> {
    let envelope = mail.envelope();
    let has = |feature| connection.server_info().supports_feature(feature);
    let mut parameters = Vec::new();
    let mut addresses = envelope.from().into_iter().chain(envelope.to());
    if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !has(Extension::SmtpUtfEight) {
            return Err(LinkError::Lacks("SMTPUTF8"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !mail.formatted().is_ascii() {
        if !has(Extension::EightBitMime) {
            return Err(LinkError::Lacks("8BITMIME"));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    wait_up_to(connection, TIMEOUT).command(Mail::new(envelope.from().cloned(), parameters))?;
    Ok(())
}

/// RCPT, DATA and the mail.
fn hand_over(connection: &mut SmtpConnection, mail: &Message) -> Result<(), LinkError> {
    wait_up_to(connection, RECIPIENT_TIMEOUT);
    for to in mail.envelope().to() {
        let told = connection.command(Rcpt::new(to.clone(), Vec::new()));
        told.map_err(LinkError::Recipient)?;
    }
    connection.command(Data)?;
    // A command is one write, and a mail with its dot is one to the server.
    wait_up_to(connection, MAIL_TIMEOUT).command(with_dot(&String::from_utf8_lossy(&mail.formatted())))?;
    Ok(())
}

/// From now on waits so long for an answer. A socket refuses no time but none at all.
fn wait_up_to(connection: &mut SmtpConnection, time: Duration) -> &mut SmtpConnection {
    let _set = connection.set_timeout(Some(time));
    connection
}

/// The mail as it stands on the wire: dots that begin a line doubled (RFC 5321 §4.5.2), a last line that
/// ends, and the dot.
fn with_dot(text: &str) -> String {
    let mut wire = text.replace("\r\n.", "\r\n..");
    if wire.starts_with('.') {
        wire.insert(0, '.');
    }
    if !wire.ends_with("\r\n") {
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a mail that is cut short at a line of a single dot, or one that never ends.
    #[test]
    fn dots_are_doubled_and_the_mail_ends() {
        for (text, wire) in [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("", "\r\n.\r\n"),
            (".\r\n.\r\n..b\r\nc.\r\n", "..\r\n..\r\n...b\r\nc.\r\n.\r\n"),
        ] {
            assert_eq!(with_dot(text), wire, "{text:?}");
        }
    }

    /// Catches a URL that would quietly lose its TLS, its port, or a part that nobody heeds.
    #[test]
    fn urls() {
        let link = |url: &str| {
            let smtp = SmtpConfig {
                url: url.to_owned(),
                ..SmtpConfig::default()
            };
            Route::new(&smtp, None)
        };
        for (url, host, port, secure) in [
            ("smtp://h", "h", 25, false),
            ("smtp://h:2525/", "h", 2525, false),
            ("smtp://[::1]:25", "::1", 25, false),
            ("smtps://h", "h", 465, true),
            ("smtp+starttls://h", "h", 587, true),
            ("smtp+starttls://h.test:26", "h.test", 26, true),
        ] {
            let link = link(url).unwrap_or_else(|error| panic!("{error:?}"));
            let tls = matches!(link.tls, Tls::Required(_) | Tls::Wrapper(_));
            assert_eq!(
                (link.host.as_str(), link.port, tls),
                (host, port, secure),
                "{url}"
            );
        }
        for bad in [
            "h:25",
            "http://h",
            "smtp://",
            "smtp://h:0",
            "smtp://h:x",
            "smtp://u:p@h",
            "smtp://h/name",
            "smtp+starttls://h?tls=opportunistic",
            "smtp://[::1",
            "smtp://[::1]25",
        ] {
            assert!(link(bad).is_err(), "{bad}");
        }
    }
}

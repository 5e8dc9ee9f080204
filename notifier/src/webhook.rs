//! Handing a notification to an HTTP endpoint of the operator's, and what its answer means for the outbox.
//!
//! What is handed over is the JSON of [`Body`], signed with the operator's key (docs/webhook.md). Nothing else
//! is believed to be there than what the configuration names: no redirect is followed, and no proxy of the
//! environment is used. The address may hold a token, as chat services have it, so it stands in no text of ours.

mod body;
mod error;

use std::fmt::{self, Write as _};
use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ringtap_config::WebhookConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use sha2::Sha256;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{self, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, RequestExt as _};

use crate::deliver::Answer;
use crate::private;
pub use body::{Body, Call, Directory, Kind, Reached, User};
pub use error::WebhookError;
use error::{Words, judge};

/// Longest wait that an endpoint can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(4 * 3600);
/// As much of an answer's body is read, so that the connection can be used again; longer ones cost it.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// The answer is known by then; its body is not worth more of a wait.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);
/// An unused connection is closed after this time.
const IDLE: Duration = Duration::from_secs(30);
/// Unused connections that are kept.
const IDLE_MAX: usize = 16;

/// The way to the operator's endpoint. It can be shared: each message that is on its way has a connection of
/// its own meanwhile.
pub struct Webhook {
    agent: Agent,
    uri: Uri,
    words: Words,
    /// Keyed already: nothing of the key itself is kept.
    signer: Option<Hmac<Sha256>>,
}

impl Webhook {
    /// As configured. Nothing is sent yet.
    ///
    /// # Errors
    /// There is no address, the key's file is missing or others may read it, or there is nobody to vouch for
    /// the endpoint.
    pub fn new(config: &WebhookConfig) -> Result<Self, WebhookError> {
        let key = |reason: &str| WebhookError::Key {
            key: "url",
            reason: reason.to_owned(),
        };
        let url = config.url.as_deref().ok_or_else(|| key("is not set"))?;
        // The library's own message is as good as none, and the address is not to be repeated.
        let uri: Uri = url.parse().map_err(|_| key("is no address"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(key("has no host"));
        }
        let signer = match &config.secret_file {
            None => None,
            Some(path) => Some(signer(path)?),
        };
        let timeout = Duration::from_secs(config.timeout_s.into());
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("ringtap-notifier/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            // So that who does not answer can be told from who is not there.
            .timeout_connect(Some(timeout / 2))
            .timeout_recv_body(Some(timeout.min(ANSWER_WAIT_MAX)))
            .max_idle_age(IDLE)
            .max_idle_connections(IDLE_MAX)
            .max_idle_connections_per_host(IDLE_MAX)
            .tls_config(tls(config, &uri)?)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            words: Words::new(&uri),
            uri,
            signer,
        })
    }

    /// Whether anything listens at the address; nothing is said to it.
    ///
    /// # Errors
    /// Its name is not known, or there is no connection within `patience`.
    pub fn knock(&self, patience: Duration) -> std::io::Result<()> {
        let is_https = self.uri.scheme_str() == Some("https");
        let port = self.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Hands one notification over.
    #[must_use]
    pub fn send(&self, body: &Body) -> Answer {
        let now = SystemTime::now();
        let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = match self.request(body, now_s) {
            Ok(request) => request,
            Err(fault) => return Answer::Broken(self.words.say(&fault)),
        };
        match request.with_agent(&self.agent).run() {
            Ok(response) => self.read(response, now),
            Err(error) => judge(&error, &self.words),
        }
    }

    fn request(&self, body: &Body, now_s: u64) -> Result<http::Request<Vec<u8>>, String> {
        let json = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let mut request = http::Request::post(&self.uri)
            .header("Content-Type", "application/json")
            .header("X-Ringtap-Delivery", &body.id)
            .header("X-Ringtap-Timestamp", now_s);
        if let Some(signer) = &self.signer {
            request = request.header("X-Ringtap-Signature", signature(signer.clone(), now_s, &json));
        }
        request.body(json).map_err(|error| error.to_string())
    }

    /// What the endpoint's answer means.
    fn read(&self, mut response: http::Response<ureq::Body>, now: SystemTime) -> Answer {
        let mut said = Vec::new();
        // What was read counts, even if it ends in a fault: the status is the answer.
        let _ = response
            .body_mut()
            .as_reader()
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut said);
        let status = response.status();
        if status.is_success() {
            return Answer::Sent;
        }
        if status.is_redirection() {
            return Answer::Unwelcome(self.words.say(&format!("{status}: redirects are not followed")));
        }
        let said = String::from_utf8_lossy(&said);
        let why = self.words.say(&format!("{status}: {}", said.trim()));
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {}
            status if status.is_server_error() => {}
            // Of the address, or of who we are: once that is mended the message is welcome.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::GONE => return Answer::Unwelcome(why),
            _ => return Answer::Refused(why),
        }
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, now));
        Answer::Later { why, after }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.uri.host())
            .field("signs", &self.signer.is_some())
            .finish_non_exhaustive()
    }
}

/// `v1=` and the HMAC-SHA256 of "timestamp.body" in hex.
fn signature(mut signer: Hmac<Sha256>, now_s: u64, json: &[u8]) -> String {
    signer.update(now_s.to_string().as_bytes());
    signer.update(b".");
    signer.update(json);
    let mut text = "v1=".to_owned();
    for byte in signer.finalize().into_bytes() {
        // A String takes all.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn signer(path: &Path) -> Result<Hmac<Sha256>, WebhookError> {
    let fault = |reason: String| WebhookError::File {
        key: "secret_file",
        path: path.to_owned(),
        reason,
    };
    let text = private::read(path).map_err(fault)?;
    let key = text.trim_end_matches(['\r', '\n']);
    if key.is_empty() {
        return Err(fault("is empty".to_owned()));
    }
    // Any length will do (RFC 2104 §3).
    Hmac::new_from_slice(key.as_bytes()).map_err(|error| fault(error.to_string()))
}

fn tls(config: &WebhookConfig, uri: &Uri) -> Result<TlsConfig, WebhookError> {
    let authorities = match &config.ca_file {
        Some(path) => own_authorities(path).map_err(|reason| WebhookError::File {
            key: "ca_file",
            path: path.clone(),
            reason,
        })?,
        None if uri.scheme_str() == Some("https") => system_authorities()?,
        None => Vec::new(),
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&authorities))
        .build())
}

/// The certificates of a PEM file, each of which must be one: the library would leave out in silence those
/// that are none.
fn own_authorities(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut authorities = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            RootCertStore::empty()
                .add(CertificateDer::from(certificate.der()))
                .map_err(|error| format!("certificate {}: {error}", authorities.len() + 1))?;
            authorities.push(certificate);
        }
    }
    if authorities.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(authorities)
}

fn system_authorities() -> Result<Vec<Certificate<'static>>, WebhookError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(WebhookError::Key {
            key: "ca_file",
            reason: format!(
                "is not set, and this system knows no certificate authorities{}",
                why.unwrap_or_default()
            ),
        });
    }
    let to_owned = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
    Ok(found.certs.iter().map(to_owned).collect())
}

/// How long a Retry-After asks to wait: seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // More digits than a number holds: still a number.
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => RETRY_AFTER_MAX,
        Err(_) => {
            let date: Timestamp = rfc2822::parse(value).ok()?.timestamp();
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a wait that is misread, goes beyond its bound, or into the past.
    #[test]
    fn waits_that_endpoints_ask_for() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, wait_s) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("14401", Some(14_400)),
            ("99999999999999999999999999", Some(14_400)),
            // The example of RFC 9110 §5.6.7 is 784111777.
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Tue, 06 Nov 2040 08:49:37 GMT", Some(14_400)),
            ("-1", None),
            ("", None),
            ("soon", None),
            ("1.5", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                wait_s.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    /// Catches another construction than HMAC-SHA256, by RFC 4231 §4.3's key and a text with our dot.
    #[test]
    fn signatures() {
        // From `printf 1714962221.{} | openssl dgst -sha256 -hmac Jefe`.
        let signer = Hmac::new_from_slice(b"Jefe").unwrap();
        assert_eq!(
            signature(signer, 1_714_962_221, b"{}"),
            "v1=164ec8a76a12a126a0b1f6d15f7dbddec2e703bae0fa378f7c95fbdc8e4dbef0"
        );
    }
}

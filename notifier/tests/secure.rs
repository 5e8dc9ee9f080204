//! The way to the mail server under TLS and with a password, against a server that really speaks both.
//!
//! The program runs as its user would run it; the certificate's authority is made known by `SSL_CERT_FILE`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use ringtap_journal::{Options, Writer};
use ringtap_testkit::fixtures;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// `user\0password` as AUTH PLAIN sends it: `\0ringtap\0s3cret`.
const RIGHT_PASSWORD: &str = "AHJpbmd0YXAAczNjcmV0";

/// What the server has seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    mails_under_tls: usize,
    mails_in_clear: usize,
    logins: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS after STARTTLS.
    StartTls,
    /// TLS from the first octet.
    Tls,
    /// No TLS, and none offered.
    None,
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

struct Server {
    security: Security,
    tls: Arc<ServerConfig>,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let secured = |stream| -> Box<dyn Wire> {
            Box::new(StreamOwned::new(
                ServerConnection::new(Arc::clone(&self.tls)).unwrap(),
                stream,
            ))
        };
        if self.security == Security::Tls {
            return self.talk(BufReader::new(secured(stream)), true, true);
        }
        let mut plain = BufReader::new(Box::new(stream.try_clone()?) as Box<dyn Wire>);
        plain.get_mut().write_all(b"220 test\r\n")?;
        loop {
            let mut line = String::new();
            plain.read_line(&mut line)?;
            if line.starts_with("EHLO") && self.security == Security::StartTls {
                plain.get_mut().write_all(b"250-test\r\n250 STARTTLS\r\n")?;
            } else if line.starts_with("STARTTLS") && self.security == Security::StartTls {
                plain.get_mut().write_all(b"220 go\r\n")?;
                return self.talk(BufReader::new(secured(stream)), true, false);
            } else {
                return self
                    .command(&mut plain, &line, false)
                    .and_then(|()| self.talk(plain, false, false));
            }
        }
    }

    fn talk(&self, mut wire: BufReader<Box<dyn Wire>>, tls: bool, greet: bool) -> std::io::Result<()> {
        if greet {
            wire.get_mut().write_all(b"220 test\r\n")?;
        }
        loop {
            let mut line = String::new();
            if wire.read_line(&mut line)? == 0 {
                return Ok(());
            }
            self.command(&mut wire, &line, tls)?;
        }
    }

    fn command(&self, wire: &mut BufReader<Box<dyn Wire>>, line: &str, tls: bool) -> std::io::Result<()> {
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            "EHLO" => b"250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" if line.trim_end().ends_with(RIGHT_PASSWORD) => {
                self.seen.lock().unwrap().logins += 1;
                b"235 welcome\r\n"
            }
            "AUTH" => b"535 5.7.8 no\r\n",
            "DATA" => {
                wire.get_mut().write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                while text != ".\r\n" {
                    text.clear();
                    wire.read_line(&mut text)?;
                }
                let mut seen = self.seen.lock().unwrap();
                *if tls {
                    &mut seen.mails_under_tls
                } else {
                    &mut seen.mails_in_clear
                } += 1;
                b"250 taken\r\n"
            }
            _ => b"250 ok\r\n",
        };
        wire.get_mut().write_all(answer)?;
        wire.get_mut().flush()
    }
}

/// A server, one missed call in a journal, one subscriber.
struct Lab {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Seen>>,
    port: u16,
}

impl Lab {
    fn new(security: Security) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let server = Arc::new(Server {
            security,
            tls: Arc::new(tls),
            seen: Arc::clone(&seen),
        });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&server);
                thread::spawn(move || drop(server.serve(stream)));
            }
        });
        let lab = Self { folder, seen, port };
        lab.write("subscribers.csv", &fixtures::subscribers_csv(), 0o600);
        lab.write(
            "credentials.toml",
            "user = \"ringtap\"\npassword = \"s3cret\"\n",
            0o600,
        );
        lab.journal();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn journal(&self) {
        let line = r#"{"call":"c1","started":"2024-05-06T02:23:41.000000Z","ended":"2024-05-06T02:24:06.050000Z",
            "caller":{"identity":"+8613912345678","name":null,"name_source":"none","withheld":false},
            "dialled":"+862583091001","answered_by":null,"machine":false,
            "targets":[{"identity":"+862583091001","outcome":"CALLER_HUNG_UP","alerted":true,"ring_ms":24600,
            "diverted_to":null,"group":null,"started":"2024-05-06T02:23:41Z","ended":"2024-05-06T02:24:06Z"}],
            "legs":1,"flags":[]}"#;
        let writer = Writer::spawn(&self.path("journal.db"), Options::default()).unwrap();
        writer.send(serde_json::from_str(line).unwrap()).unwrap();
        writer.finish().unwrap();
    }

    fn notifier(&self, command: &[&str], trusted: bool) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"));
        program
            .current_dir(self.folder.path())
            .args(["--config", "ringtap.toml"])
            .args(command);
        // Without the authority the system's own ones remain, which never signed this certificate.
        if trusted {
            program.env("SSL_CERT_FILE", self.path("ca.pem"));
        }
        program.output().unwrap()
    }

    /// Imports and runs `once`; its exit code, what it said, and what the server saw.
    fn once(&self, scheme: &str, credentials: bool, trusted: bool) -> (Option<i32>, String, Seen) {
        let url = format!("{scheme}://localhost:{}", self.port);
        let mut config = fixtures::config_toml("journal.db", "notifier.db", &url);
        if credentials {
            config = config.replace(
                "[notifier.smtp]\n",
                "[notifier.smtp]\ncredentials_file = \"credentials.toml\"\n",
            );
            assert!(config.contains("credentials_file"), "{config}");
        }
        self.write("ringtap.toml", &config, 0o600);
        let imported = self.notifier(&["import", "subscribers.csv"], trusted);
        assert!(
            imported.status.success(),
            "{}",
            String::from_utf8_lossy(&imported.stderr)
        );
        let output = self.notifier(&["once"], trusted);
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
            seen,
        )
    }
}

/// Catches a STARTTLS or TLS connection that is not made, and a password that is not used.
#[test]
fn mails_go_under_tls_with_a_password() {
    for (security, scheme) in [(Security::StartTls, "smtp+starttls"), (Security::Tls, "smtps")] {
        let (code, said, seen) = Lab::new(security).once(scheme, true, true);
        assert_eq!(code, Some(0), "{scheme}: {said}");
        assert_eq!(
            seen,
            Seen {
                mails_under_tls: 1,
                mails_in_clear: 0,
                logins: 1
            },
            "{scheme}: {said}"
        );
    }
}

/// Catches a mail or a password sent in clear because the server offers no TLS, and one sent to a server
/// whose certificate nobody vouches for. The mail stays queued.
#[test]
fn nothing_goes_to_a_server_that_cannot_be_trusted() {
    for (security, scheme, trusted) in [
        (Security::None, "smtp+starttls", true),
        (Security::StartTls, "smtp+starttls", false),
        (Security::Tls, "smtps", false),
    ] {
        let lab = Lab::new(security);
        let (code, said, seen) = lab.once(scheme, true, trusted);
        assert_eq!(code, Some(1), "{scheme}: {said}");
        assert_eq!(seen, Seen::default(), "{scheme}: {said}");
        let listed = lab.notifier(&["outbox", "list"], trusted);
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(
            listed.contains("liming"),
            "{scheme}: the mail is still queued: {listed}"
        );
    }
}

/// Catches a wrong password taken for the mail's fault, and credentials that others may read.
#[test]
fn wrong_and_loose_credentials() {
    let lab = Lab::new(Security::StartTls);
    lab.write(
        "credentials.toml",
        "user = \"ringtap\"\npassword = \"wrong\"\n",
        0o600,
    );
    let (code, said, seen) = lab.once("smtp+starttls", true, true);
    assert_eq!((code, seen), (Some(1), Seen::default()), "{said}");
    assert!(
        !said.contains("wrong\"") && !said.contains("s3cret"),
        "no password in the log: {said}"
    );

    let lab = Lab::new(Security::StartTls);
    lab.write(
        "credentials.toml",
        "user = \"ringtap\"\npassword = \"s3cret\"\n",
        0o644,
    );
    let (code, said, seen) = lab.once("smtp+starttls", true, true);
    assert_eq!((code, seen), (Some(2), Seen::default()), "{said}");
    assert!(
        said.contains("credentials.toml") && said.contains("600"),
        "{said}"
    );
}

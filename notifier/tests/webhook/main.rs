//! Notifications at an operator's endpoint: what it gets, and what its answers mean. The endpoint is a real
//! HTTP server, under TLS where that is tried.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod recipes;
mod server;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringtap_config::WebhookConfig;
use ringtap_notifier::deliver::Answer;
use ringtap_notifier::directory::Entry;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::{self, Locale, Person};
use ringtap_notifier::webhook::{Body, Call, Directory, Kind, Reached, Webhook, WebhookError};
use ringtap_record::{Caller, NameSource, Outcome};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use server::{Endpoint, Reply};
use sha2::{Digest, Sha256};

const SECRET: &str = "correct horse battery staple";

struct Lab {
    dir: tempfile::TempDir,
    config: WebhookConfig,
}

impl Lab {
    fn new(url: String) -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
            config: WebhookConfig {
                url: Some(url),
                timeout_s: 2,
                ..WebhookConfig::default()
            },
        };
        lab.write("secret", format!("{SECRET}\n").as_bytes(), 0o600);
        lab
    }

    fn at(endpoint: &Endpoint) -> Self {
        Self::new(format!("http://{}/hook?key=token-of-the-chat", endpoint.address))
    }

    fn write(&self, name: &str, octets: &[u8], mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, octets).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn signed(mut self) -> Self {
        self.config.secret_file = Some(self.dir.path().join("secret"));
        self
    }

    fn webhook(&self) -> Webhook {
        Webhook::new(&self.config).unwrap()
    }

    fn send(&self) -> Answer {
        self.webhook().send(&body())
    }
}

fn notice(caller: Caller) -> Notice {
    Notice {
        call: "cbfb7fdd".to_owned(),
        reason: Outcome::CallerHungUp,
        started: "2024-05-06T02:23:41Z".parse().unwrap(),
        alerted: true,
        ring_ms: 24_620,
        talk_ms: None,
        caller,
        account: "+862583091001".to_owned(),
        accounts: vec!["+862583091001".to_owned(), "+8613800001001".to_owned()],
        forwarded_to: None,
        group: None,
        via: None,
        partial: false,
        conference: false,
        psap: false,
    }
}

fn zhang(withheld: bool) -> Caller {
    Caller {
        identity: Some("+8613912345678".into()),
        name: Some("Zhang\u{202e} San".into()),
        name_source: NameSource::Asserted,
        withheld,
    }
}

fn body() -> Body {
    let person = Person {
        key: "liming".to_owned(),
        name: "李明".to_owned(),
        email: people::address("liming@office.test").unwrap(),
        locale: Locale::ZhCn,
        timezone: people::timezone("Asia/Shanghai").unwrap(),
        subscribed: true,
    };
    let mut body = Body::new("d-17".to_owned(), Kind::Call, &person, "未接来电\n".to_owned());
    let notice = notice(zhang(false));
    let entry = Entry {
        name: "张三".to_owned(),
        department: "销售部".to_owned(),
        label: "手机".to_owned(),
    };
    let identity = notice.caller.identity.as_deref().unwrap();
    let known = BTreeMap::from([(identity.to_owned(), entry)]);
    let mut call = Call::new(&notice, "对方已挂断".to_owned());
    call.directory = Directory::of(&notice, &known);
    body.calls.push(call);
    body
}

/// HMAC-SHA256 by RFC 2104 §2, of nothing but the hash.
fn hmac(key: &[u8], text: &[u8]) -> String {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> Vec<u8> {
        (0..64)
            .map(|at| key.get(at).copied().unwrap_or(0) ^ with)
            .collect()
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Catches a request that differs from docs/webhook.md, and a signature that nobody else can verify.
#[test]
fn requests_are_as_documented() {
    let endpoint = Endpoint::start(&[], None);
    let mut told = body();
    told.calls[0].reached = Some(Reached {
        at: "2024-05-06T03:00:00Z".parse().unwrap(),
        back: true,
    });
    told.more = 3;
    assert_eq!(Lab::at(&endpoint).signed().webhook().send(&told), Answer::Sent);
    let taken = endpoint.taken().remove(0);
    assert_eq!(taken.first_line, "POST /hook?key=token-of-the-chat HTTP/1.1");
    let header = |name: &str| taken.headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(
        header("user-agent"),
        concat!("ringtap-notifier/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(header("x-ringtap-delivery"), "d-17");
    let timestamp = header("x-ringtap-timestamp");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(
        (now_s - 60..=now_s).contains(&timestamp.parse().unwrap()),
        "{timestamp}"
    );
    let signed = [timestamp.as_bytes(), b".", &taken.body].concat();
    assert_eq!(
        header("x-ringtap-signature"),
        format!("v1={}", hmac(SECRET.as_bytes(), &signed))
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&taken.body).unwrap(),
        json!({
            "version": 1, "id": "d-17", "kind": "call",
            "user": {"key": "liming", "name": "李明", "locale": "zh-CN", "timezone": "Asia/Shanghai"},
            "calls": [{
                "call": "cbfb7fdd", "reason": "CALLER_HUNG_UP", "started": "2024-05-06T02:23:41.000000Z",
                "alerted": true, "ring_ms": 24620, "talk_ms": null,
                "caller": {"identity": "+8613912345678", "name": "Zhang San", "name_source": "asserted",
                           "withheld": false},
                "directory": {"name": "张三", "department": "销售部", "label": "手机"},
                "account": "+862583091001", "accounts": ["+862583091001", "+8613800001001"],
                "forwarded_to": null, "group": null, "via": null,
                "partial": false, "conference": false, "psap": false, "outcome": "对方已挂断",
                "reached": {"at": "2024-05-06T03:00:00.000000Z", "back": true},
            }],
            "more": 3,
            "text": "未接来电\n",
        })
    );
}

/// Catches a signature that pretends to be one though there is no key.
#[test]
fn without_a_key_nothing_is_signed() {
    let endpoint = Endpoint::start(&[], None);
    assert_eq!(Lab::at(&endpoint).send(), Answer::Sent);
    let taken = endpoint.taken().remove(0);
    assert!(!taken.headers.contains_key("x-ringtap-signature"));
    assert!(taken.headers.contains_key("x-ringtap-timestamp"));
}

/// Catches a withheld caller's number or name on its way to a chat.
#[test]
fn withheld_callers_stay_withheld() {
    let notice = notice(zhang(true));
    let known = BTreeMap::from([("+8613912345678".to_owned(), Entry::default())]);
    let mut call = Call::new(&notice, "对方已挂断".to_owned());
    call.directory = Directory::of(&notice, &known);
    assert_eq!(call.directory, None);
    let json = serde_json::to_string(&call).unwrap();
    assert!(
        json.contains(r#""caller":{"identity":null,"name":null,"name_source":"none","withheld":true}"#),
        "{json}"
    );
    assert!(!json.contains("139") && !json.contains("Zhang"), "{json}");
}

/// Catches a refusal that is tried for days, a passing trouble that costs the notification, and a redirect
/// that takes it to somebody else.
#[test]
fn what_each_status_means() {
    #[derive(Debug, PartialEq)]
    enum Class {
        Sent,
        Later,
        Unwelcome,
        Refused,
    }
    let cases = [
        ("200 OK", Class::Sent),
        ("201 Created", Class::Sent),
        ("202 Accepted", Class::Sent),
        ("204 No Content", Class::Sent),
        ("301 Moved", Class::Unwelcome),
        ("302 Found", Class::Unwelcome),
        ("303 See Other", Class::Unwelcome),
        ("307 Temporary Redirect", Class::Unwelcome),
        ("308 Permanent Redirect", Class::Unwelcome),
        ("400 Bad Request", Class::Refused),
        ("401 Unauthorized", Class::Unwelcome),
        ("403 Forbidden", Class::Unwelcome),
        ("404 Not Found", Class::Unwelcome),
        ("405 Method Not Allowed", Class::Unwelcome),
        ("407 Proxy Authentication Required", Class::Unwelcome),
        ("408 Request Timeout", Class::Later),
        ("410 Gone", Class::Unwelcome),
        ("413 Too Large", Class::Refused),
        ("425 Too Early", Class::Later),
        ("429 Too Many", Class::Later),
        ("500 Oops", Class::Later),
        ("501 Not Implemented", Class::Later),
        ("502 Bad Gateway", Class::Later),
        ("503 Unavailable", Class::Later),
        ("504 Gateway Timeout", Class::Later),
        ("599 Odd", Class::Later),
    ];
    let elsewhere = Endpoint::start(&[], None);
    let location = format!("Location: http://{}/\r\n", elsewhere.address);
    let script: Vec<_> = cases
        .iter()
        .map(|(status, _)| Reply::Say(status, location.clone().leak(), String::new()))
        .collect();
    let endpoint = Endpoint::start(&script, None);
    let webhook = Lab::at(&endpoint).webhook();
    for (status, class) in cases {
        let (found, why) = match webhook.send(&body()) {
            Answer::Sent => (Class::Sent, status.to_owned()),
            Answer::Later { why, after: None } => (Class::Later, why),
            Answer::Unwelcome(why) => (Class::Unwelcome, why),
            Answer::Refused(why) => (Class::Refused, why),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(found, class, "{status}");
        assert!(why.contains(&status[..3]), "{status}: {why}");
        assert_eq!(
            status.starts_with('3'),
            why.contains("redirects are not followed"),
            "{why}"
        );
    }
    assert!(elsewhere.taken().is_empty(), "a redirect was followed");
    assert_eq!(endpoint.taken().len(), script.len(), "each was sent once");
}

/// Catches a Retry-After that is not passed on.
#[test]
fn endpoints_can_ask_for_a_wait() {
    let script = [
        Reply::Say("429 Too Many", "Retry-After: 7\r\n", String::new()),
        Reply::Say("503 Unavailable", "Retry-After: 999999\r\n", String::new()),
        Reply::Say(
            "503 Unavailable",
            "Retry-After: Mon, 06 May 2024 02:23:41 GMT\r\n",
            String::new(),
        ),
        Reply::Say("503 Unavailable", "Retry-After: later\r\n", String::new()),
    ];
    let endpoint = Endpoint::start(&script, None);
    let webhook = Lab::at(&endpoint).webhook();
    for wait_s in [Some(7), Some(4 * 3600), Some(0), None] {
        let Answer::Later { after, .. } = webhook.send(&body()) else {
            panic!("not put off");
        };
        assert_eq!(after, wait_s.map(Duration::from_secs));
    }
}

/// Catches a connection, and under TLS a handshake, for each notification, and one that is used again though
/// the endpoint has closed it.
#[test]
fn connections_are_used_again() {
    let script = [
        Reply::Say("200 OK", "", "{\"ok\":true}".to_owned()),
        Reply::Say("500 Oops", "", "<html>\n".repeat(100)),
        Reply::status("204 No Content"),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Reply::status("200 OK"),
    ];
    let endpoint = Endpoint::start(&script, None);
    let webhook = Lab::at(&endpoint).webhook();
    for sent in [true, false, true, true, true] {
        assert_eq!(webhook.send(&body()) == Answer::Sent, sent);
    }
    let connections: Vec<_> = endpoint.taken().iter().map(|taken| taken.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1]);
}

/// Catches a request that leaves in pieces, of which one waits 40 ms for an acknowledgement of another.
#[test]
fn requests_do_not_wait_for_acknowledgements() {
    let endpoint = Endpoint::start(&[], None);
    let webhook = Lab::at(&endpoint).webhook();
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(webhook.send(&body()), Answer::Sent);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    eprintln!("100 notifications one after the other: {:?}", begun.elapsed());
}

/// Catches a webhook that lets one sender wait for another.
#[test]
fn senders_do_not_wait_for_each_other() {
    let endpoint = Endpoint::start(&[Reply::Stall], None);
    let webhook = Arc::new(Lab::at(&endpoint).webhook());
    let stalled = std::thread::spawn({
        let webhook = Arc::clone(&webhook);
        move || webhook.send(&body())
    });
    while endpoint.taken().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(webhook.send(&body()), Answer::Sent);
    assert!(!stalled.is_finished(), "it was waited for");
    assert!(matches!(stalled.join().unwrap(), Answer::Interrupted(_)));
}

/// Catches a message taken for sent or refused that nobody answered for, one that waits for ever, and an
/// endpoint that is not there mixed up with one that is.
#[test]
fn faults_of_the_network() {
    let script = [
        Reply::Close,
        Reply::Raw(b"220 mail.test ESMTP\r\n"),
        Reply::Raw(b"HTTP/1.1 200"),
        Reply::Stall,
    ];
    let endpoint = Endpoint::start(&script, None);
    let webhook = Lab::at(&endpoint).webhook();
    for reply in &script {
        let begun = Instant::now();
        let answer = webhook.send(&body());
        assert!(
            matches!(&answer, Answer::Interrupted(why) if !why.is_empty()),
            "{reply:?}: {answer:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{reply:?}: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(endpoint.taken().len(), script.len(), "each was sent once");

    let nobody = format!("http://{}/", server::nobody());
    let (listener, _filling) = server::deaf();
    let deaf = format!("http://{}/", listener.local_addr().unwrap());
    for url in [&nobody, &deaf, "http://no-such-host.invalid/"] {
        let begun = Instant::now();
        let answer = Lab::new(url.to_owned()).send();
        assert!(
            matches!(&answer, Answer::NoServer(why) if !why.is_empty()),
            "{url}: {answer:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{url}: {:?}",
            begun.elapsed()
        );
    }
}

/// Catches a status that is thrown away because its body does not end, and a wait for that end.
#[test]
fn the_status_is_the_answer() {
    let endpoint = Endpoint::start(&[Reply::Trickle("200 OK"), Reply::Trickle("400 No")], None);
    let mut lab = Lab::at(&endpoint);
    lab.config.timeout_s = 60;
    let begun = Instant::now();
    assert_eq!(lab.send(), Answer::Sent);
    let answer = lab.send();
    assert!(
        matches!(&answer, Answer::Refused(why) if why.contains("400")),
        "{answer:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Catches the token of the address, the key, or control characters in what is kept and logged, and an answer
/// that floods it.
#[test]
fn errors_are_short_and_safe() {
    let flood = format!(
        "no POST /hook?key=token-of-the-chat\r\n\u{1b}[31m{}",
        "很长".repeat(1_000_000)
    );
    let endpoint = Endpoint::start(&[Reply::Say("400 No", "", flood)], None);
    let Answer::Refused(why) = Lab::at(&endpoint).signed().send() else {
        panic!("not refused");
    };
    assert_eq!(why.chars().count(), 300, "{why}");
    assert!(why.starts_with(&endpoint.address.to_string()), "{why}");
    assert!(!why.contains("token") && !why.contains(SECRET), "{why}");
    assert!(!why.contains(|c: char| c.is_control()), "{why:?}");

    let mut broken = body();
    broken.id = "a\nb".to_owned();
    let answer = Lab::at(&endpoint).webhook().send(&broken);
    assert!(
        matches!(&answer, Answer::Broken(why) if !why.contains("token")),
        "{answer:?}"
    );
    assert_eq!(endpoint.taken().len(), 1);
}

/// Catches a key that others may read being used, and errors that do not name key and file, or name a secret.
#[test]
fn faults_of_the_configuration() {
    let lab = Lab::new("https://localhost/token-of-the-chat".to_owned());
    let fail = |change: &dyn Fn(&mut WebhookConfig)| -> String {
        let mut config = lab.config.clone();
        change(&mut config);
        let error: WebhookError = Webhook::new(&config).unwrap_err();
        error.to_string()
    };
    let loose = lab.write("loose", SECRET.as_bytes(), 0o640);
    let empty = lab.write("empty", b"\n", 0o600);
    let long = lab.write("long", &[b'x'; 70_000], 0o600);
    let no_pem = lab.write("no.pem", b"nothing", 0o644);
    let bad_pem = lab.write(
        "bad.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        0o644,
    );
    let gone = lab.dir.path().join("gone");
    for (path, is_key, word) in [
        (&loose, true, "640"),
        (&empty, true, "empty"),
        (&long, true, "longer"),
        (&gone, true, "No such file"),
        (&no_pem, false, "no certificate"),
        (&bad_pem, false, "certificate 1"),
        (&gone, false, "No such file"),
    ] {
        let error = fail(&|config| match is_key {
            true => config.secret_file = Some(path.clone()),
            false => config.ca_file = Some(path.clone()),
        });
        let key = if is_key { "secret_file" } else { "ca_file" };
        assert!(error.starts_with(&format!("notifier.webhook.{key}: ")), "{error}");
        assert!(
            error.contains(path.to_str().unwrap()) && error.contains(word),
            "{error}"
        );
        assert!(!error.contains(SECRET), "{error}");
    }
    for url in [None, Some("https://a b/token"), Some("/token"), Some("")] {
        let error = fail(&|config| config.url = url.map(str::to_owned));
        assert!(
            error.starts_with("notifier.webhook.url: ") && !error.contains("token"),
            "{error}"
        );
    }
    let debug = format!("{:?}", Lab::new("http://h/token".to_owned()).signed().webhook());
    assert!(!debug.contains("token") && !debug.contains("correct"), "{debug}");
}

/// A certificate for `name` that is valid until that year, and its authority's PEM.
fn certificate(name: &str, until_year: i32) -> (Arc<ServerConfig>, String) {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(until_year, 1, 1);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, &authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (Arc::new(config), pem)
}

/// Catches a certificate that is not verified, by its authority, its time or its name, and an authority of the
/// operator's own that is not heeded. Nothing reaches an endpoint that is not to be trusted.
#[test]
fn endpoints_have_to_prove_themselves() {
    let (_, stranger) = certificate("localhost", 2099);
    for (name, until_year, own_authority, expected) in [
        ("localhost", 2099, true, None),
        // The stranger has the authority's name, but not its key.
        ("localhost", 2099, false, Some("BadSignature")),
        ("localhost", 2002, true, Some("xpired")),
        ("other.test", 2099, true, Some("not valid for name")),
    ] {
        let (tls, authority) = certificate(name, until_year);
        let endpoint = Endpoint::start(&[], Some(tls));
        let mut lab = Lab::new(format!("https://localhost:{}/", endpoint.address.port()));
        let pem = if own_authority { &authority } else { &stranger };
        lab.config.ca_file = Some(lab.write("ca.pem", pem.as_bytes(), 0o644));
        let webhook = lab.webhook();
        match (webhook.send(&body()), expected) {
            (Answer::Sent, None) => {
                assert_eq!(webhook.send(&body()), Answer::Sent);
                let connections: Vec<_> = endpoint.taken().iter().map(|taken| taken.connection).collect();
                assert_eq!(connections, [0, 0]);
            }
            (Answer::NoServer(why), Some(word)) => {
                assert!(why.contains(word), "{name} {until_year}: {why}");
                assert!(endpoint.taken().is_empty());
            }
            (answer, _) => panic!("{name} {until_year}: {answer:?}"),
        }
    }
}

/// Catches an endpoint of the system's authorities that cannot be reached, and one of another authority that
/// can: the system's are those of SSL_CERT_FILE here, in a process of its own.
#[test]
fn the_systems_authorities_hold_without_an_own_one() {
    const ROLE: &str = "RINGTAP_TEST_WEBHOOK_URL";
    if let Ok(url) = std::env::var(ROLE) {
        let answer = Lab::new(url).send();
        println!("answer: {answer:?}");
        return;
    }
    let (tls, authority) = certificate("localhost", 2099);
    let (_, stranger) = certificate("localhost", 2099);
    let endpoint = Endpoint::start(&[], Some(tls));
    for (pem, expected) in [(&authority, "answer: Sent"), (&stranger, "answer: NoServer")] {
        let lab = Lab::new(String::new());
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_systems_authorities_hold_without_an_own_one",
                "--nocapture",
            ])
            .env(ROLE, format!("https://localhost:{}/", endpoint.address.port()))
            .env("SSL_CERT_FILE", lab.write("system.pem", pem.as_bytes(), 0o644))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(expected), "{said}");
    }
}

//! The service as it is, with servers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use ringtap_journal::{Options, Writer};
use ringtap_notifier::deliver::DeliveryTotals;
use ringtap_notifier::service::Service;
use ringtap_notifier::store::Store;
use ringtap_record::{CallRecord, Time};

use crate::server::{Endpoint, Reply};
use crate::sink::{self, Sink};
use crate::world::{ANNA, LIMING, PEOPLE, ZHANG, missed};

pub struct House {
    dir: tempfile::TempDir,
    pub sink: Sink,
}

impl House {
    /// With these lines at the end of the configuration.
    pub fn new(more: &str) -> Self {
        let sink = Sink::start(&[]);
        let address = sink.address;
        Self::on(sink, address, more)
    }

    /// Whose mail server is said to be at `address`.
    pub fn on(sink: Sink, address: SocketAddr, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self { dir, sink };
        let toml = format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[journal]\npath = {:?}\n[notifier]\ndatabase = {:?}\n\
             [notifier.smtp]\nurl = \"smtp://{address}\"\nfrom = \"M <m@office.test>\"\nconnections = 1\n{more}",
            house.path("j.db"),
            house.path("n.db"),
        );
        fs::write(house.path("ringtap.toml"), toml).unwrap();
        fs::write(house.path("people.csv"), PEOPLE).unwrap();
        let file = house.path("people.csv");
        assert_eq!(house.program(&["import", file.to_str().unwrap()]).0, 0);
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"));
        command.arg("--config").arg(self.path("ringtap.toml"));
        command
    }

    /// Exit status, what was printed, what it complained of.
    pub fn program(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command().args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code().unwrap(), text(&stdout), text(&stderr))
    }

    pub fn write(&self, records: impl IntoIterator<Item = CallRecord>) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        for record in records {
            writer.send(record).unwrap();
        }
        writer.finish().unwrap();
    }

    pub fn once(&self) -> DeliveryTotals {
        let config = ringtap_config::load(Some(&self.path("ringtap.toml"))).unwrap();
        let mut service = Service::new(config, &self.path("j.db"), &self.path("n.db")).unwrap();
        service.once().unwrap().1
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("n.db")).unwrap()
    }

    /// What waits is due.
    pub fn hurry(&self) {
        let sql = rusqlite::Connection::open(self.path("n.db")).unwrap();
        sql.execute_batch("UPDATE outbox SET next_attempt_ms = 0")
            .unwrap();
    }
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// A call that has just ended.
pub fn just_missed(name: &str, called: &str) -> CallRecord {
    missed(name, now().plus_ms(-10_000), ZHANG, called)
}

/// Catches, from the configuration to the endpoint: a post that is not signed with the operator's key, a wait that is not the
/// endpoint's, a retry under another name, a refused post that is tried again or not kept, and a mail to somebody who wants none.
#[test]
fn the_webhook_end_to_end() {
    let endpoint = Endpoint::start(
        &[
            Reply::Say("503 Busy", "Retry-After: 7200\r\n", String::new()),
            Reply::status("200 OK"),
            Reply::Say("400 No", "", "what is this".to_owned()),
        ],
        None,
    );
    let secret = tempfile::tempdir().unwrap();
    let key = secret.path().join("secret");
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&key)
        .unwrap();
    file.write_all(b"Jefe\n").unwrap();
    let house = House::new(&format!(
        "[notifier.webhook]\nurl = \"http://{}/ringtap\"\nsecret_file = {key:?}\n",
        endpoint.address
    ));
    let said = house.program(&["user", "delivery", "liming", "channels=webhook"]);
    assert_eq!(said.0, 0, "{}", said.2);
    house.write([just_missed("a", LIMING)]);
    assert_eq!(house.once().put_off, 1);
    let row = house.store().outbox(false, 9).unwrap().remove(0);
    assert_eq!((row.channel.as_str(), row.state.as_str()), ("webhook", "pending"));
    assert!(row.next_attempt - row.created >= 7_190_000_000, "{row:?}");
    house.hurry();
    assert_eq!(house.once().sent, 1);
    let taken = endpoint.taken();
    let ids: Vec<_> = taken
        .iter()
        .map(|one| one.headers["x-ringtap-delivery"].clone())
        .collect();
    assert_eq!((ids.len(), ids[0] == ids[1]), (2, true));
    for one in &taken {
        let mut signer = Hmac::<sha2::Sha256>::new_from_slice(b"Jefe").unwrap();
        signer.update(one.headers["x-ringtap-timestamp"].as_bytes());
        signer.update(b".");
        signer.update(&one.body);
        let hex: String = signer
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(one.headers["x-ringtap-signature"], format!("v1={hex}"));
        let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(
            (&body["kind"], &body["calls"][0]["call"]),
            (&"call".into(), &"a".into())
        );
    }
    let mut withheld = just_missed("b", LIMING);
    withheld.caller = ringtap_record::Caller {
        withheld: true,
        ..Default::default()
    };
    house.write([withheld]);
    assert_eq!(house.once().dead, 1);
    let row = house.store().outbox(false, 9).unwrap().remove(0);
    assert!(row.state == "dead" && row.last_error.unwrap().contains("400"));
    assert_eq!(house.program(&["outbox", "retry", "--dead"]).0, 0);
    assert_eq!(house.once().sent, 1);
    assert_eq!(house.sink.mails().len(), 0);
    assert!(
        endpoint
            .taken()
            .iter()
            .all(|one| one.first_line.contains("/ringtap"))
    );
}

/// What `address` answers: status line and body.
fn ask(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lets connections to `listener` through to `server`.
fn let_through(listener: TcpListener, server: SocketAddr) {
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(server).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
}

/// A program that is ended with the test.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Catches a metric that docs/metrics.md promises and that is not there or counts wrong, a text that Prometheus' own tool finds fault
/// with, and a state of health that does not follow the mail server.
#[test]
fn metrics_and_health() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let house = House::on(Sink::start(&[sink::Reply::Code(550)]), address, "");
    let log = house.path("log");
    let mut program = Program(
        house
            .command()
            .args(["--metrics", "127.0.0.1:0", "run"])
            .env("RUST_LOG", "info")
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    let mut at = String::new();
    wait_until("the address of the metrics", || {
        let said = fs::read_to_string(&log).unwrap();
        at = said
            .lines()
            .find_map(|line| line.split("address=").nth(1))
            .unwrap_or_default()
            .trim()
            .to_owned();
        !at.is_empty()
    });
    // Of the journal nobody knows yet.
    let mut busy = just_missed("d", ANNA);
    busy.targets[0].outcome = ringtap_record::Outcome::Declined;
    house.write([
        just_missed("a", LIMING),
        just_missed("b", LIMING),
        just_missed("c", ANNA),
        busy,
    ]);
    wait_until("503 for want of a server", || {
        let (status, body) = ask(&at, "/health");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let parts = body["parts"].as_array().unwrap();
        let state = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap()["state"].clone();
        status.contains("503") && state("mail") == "failed" && state("journal") == "ok"
    });
    let metric = |name: &str| -> Option<f64> {
        let (_, text) = ask(&at, "/metrics");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")))?;
        line.parse().ok()
    };
    assert_eq!(metric("ringtap_notifier_server_up{channel=\"mail\"}"), Some(0.0));
    wait_until("the count of what waits", || {
        metric("ringtap_notifier_outbox_pending") == Some(2.0)
    });
    assert_eq!(metric("ringtap_notifier_outbox_held"), Some(1.0));
    assert!(metric("ringtap_notifier_outbox_oldest_seconds").unwrap() > 0.0);
    let_through(TcpListener::bind(address).unwrap(), house.sink.address);
    wait_until("200 as the server has come", || {
        ask(&at, "/health").0.contains("200")
    });
    wait_until("the mails", || house.sink.mails().len() == 1);
    let count = |name: &str| metric(&format!("ringtap_notifier_{name}"));
    wait_until("the count of what was given up", || {
        count("outbox_dead") == Some(1.0)
    });
    for (name, is) in [
        ("outbox_pending", 0.0),
        ("journal_lag_records", 0.0),
        ("server_up{channel=\"mail\"}", 1.0),
        ("deliveries_total{channel=\"mail\",result=\"sent\"}", 1.0),
        ("deliveries_total{channel=\"mail\",result=\"refused\"}", 1.0),
        ("records_total", 4.0),
        ("records_damaged_total", 0.0),
        ("queued_total", 2.0),
        ("coalesced_total", 1.0),
        ("suppressed_total{reason=\"switched_off\"}", 1.0),
        ("call_end_to_accepted_seconds_count", 1.0),
    ] {
        assert_eq!(count(name), Some(is), "{name}\n{}", ask(&at, "/metrics").1);
    }
    let (_, text) = ask(&at, "/metrics");
    let documented = include_str!("../../../docs/metrics.md");
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ringtap_notifier_"))
    {
        let name = line.split(' ').next().unwrap();
        assert!(
            documented.contains(&format!("ringtap_notifier_{name}")),
            "{name} is not documented"
        );
    }
    check_with_promtool(&text);
    let _ = program.0.kill();
    assert_eq!(house.store().depth().unwrap().held, 1);
}

fn check_with_promtool(text: &str) {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut tool = match tool {
        Ok(tool) => tool,
        Err(error) => {
            let why = format!("promtool (Debian: prometheus) cannot be run: {error}");
            let is_wanted = std::env::var_os("RINGTAP_LIVE").is_some_and(|live| live == "1");
            assert!(
                !is_wanted,
                "{why}, and RINGTAP_LIVE=1 wants the metrics tried by it"
            );
            eprintln!("SKIPPED: {why}");
            return;
        }
    };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let said_text =
        String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{said_text}");
}

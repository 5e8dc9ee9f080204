//! A caller who asks for privacy, though the network shows us who it is: from the capture to all that is written down or sent,
//! neither number nor name is in it (semantics.md §3.4).
//!
//! Every acceptance scenario is played with its outside caller withheld, and with that caller's number and name in every header
//! in which a network may leave them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../mime/mod.rs"]
mod mime;
#[path = "../webhook/server.rs"]
#[allow(
    dead_code,
    reason = "this test needs an endpoint that takes everything; another scripts its answers"
)]
mod server;
#[path = "../sink/mod.rs"]
#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringtap::decode::{Decoder, PortSet};
use ringtap::replay::{Options, Speed, open, replay, table};
use ringtap::sink::JournalSink;
use ringtap::worker::Shared;
use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_journal::Reader;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_testkit::{Format, Wire, capture, fixtures, messages};

use server::Endpoint;
use sink::Sink;

/// The outside caller of the scenarios, without what stands around the number.
const NUMBER: &str = "13912345678";
/// What must be nowhere: the number as it travels and as people write it, the name, and the directory's word for the caller.
const SECRETS: [&str; 6] = [
    NUMBER,
    "139 1234",
    "1391234",
    "1234 5678",
    "Zhang",
    "DirectoryWord",
];
/// After this the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");

/// Where networks leave who calls, beside P-Asserted-Identity.
const HEADERS: &str = "Privacy: id;user;header;history\r\n\
    P-Asserted-Identity: \"Zhang San\" <sip:+8613912345678@ims.office.test;user=phone>\r\n\
    P-Preferred-Identity: \"Zhang San\" <sip:+8613912345678@ims.office.test>\r\n\
    Remote-Party-ID: \"Zhang San\" <sip:+8613912345678@ims.office.test>;party=calling;screen=yes;privacy=full\r\n\
    Referred-By: \"Zhang San\" <sip:+8613912345678@ims.office.test>\r\n\
    Reply-To: \"Zhang San\" <sip:+8613912345678@ims.office.test>\r\n\
    Organization: Zhang San\r\n\
    Subject: Zhang San, 139 1234 5678\r\n\
    User-Agent: Zhang/13912345678\r\n";
/// For a call that nothing has diverted: it says that the caller's own number was, on its way.
const HISTORY: &str = "History-Info: \"Zhang San\" <sip:+8613912345678@ims.office.test?Privacy=history>;index=1\r\n\
    Diversion: \"Zhang San\" <sip:+8613912345678@ims.office.test>;reason=unconditional;privacy=full\r\n";

/// Every scenario with its caller withheld, one after the other, and the plain withheld one with a history beside.
fn wires() -> Vec<Wire> {
    let mut all = Vec::new();
    let mut rows: Vec<(String, Vec<Wire>)> = ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .filter(|case| case.waits.is_none() && case.waits_pcap.is_none())
        .map(|case| (HEADERS.to_owned(), messages(&case)))
        .filter(|(_, wires)| !wires.iter().any(|wire| is_to_the_caller(&wire.payload)))
        .collect();
    assert!(rows.len() > 40, "only {} scenarios", rows.len());
    let plain = &ringtap_testkit::scenario("S32").unwrap().cases()[0];
    let mut diverted = messages(plain);
    for wire in &mut diverted {
        // Another call than the one above.
        let text = String::from_utf8(wire.payload.clone()).unwrap();
        wire.payload = text.replace("Call-ID: ", "Call-ID: again-").into_bytes();
    }
    rows.push((format!("{HEADERS}{HISTORY}"), diverted));
    for (n, (headers, mut wires)) in (0_i64..).zip(rows) {
        for wire in &mut wires {
            wire.time = wire.time.plus_ms(n * 600_000);
            wire.payload = withheld(&wire.payload, &headers);
        }
        all.extend(wires);
    }
    all
}

/// Whether an INVITE goes to the number: whom one calls is no secret.
fn is_to_the_caller(payload: &[u8]) -> bool {
    let text = String::from_utf8_lossy(payload);
    let is_dialled =
        |line: &str| line.starts_with("INVITE ") || line.starts_with("To:") || line.starts_with("Refer-To:");
    text.starts_with("INVITE ") && text.lines().any(|line| is_dialled(line) && line.contains(NUMBER))
}

/// The message with an anonymous From, as the caller's own network writes it, and these headers if it begins a call.
fn withheld(payload: &[u8], headers: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(payload) else {
        return payload.to_vec();
    };
    let mut lines = text.split_inclusive("\r\n");
    let mut made = lines.next().unwrap().to_owned();
    if made.starts_with("INVITE ") {
        made.push_str(headers);
    }
    for line in lines {
        let name = line.split(':').next().unwrap_or_default();
        let is_of_caller = line.contains(NUMBER) && ["From", "To", "f", "t"].contains(&name);
        if is_of_caller {
            let tag = line.find(";tag=").map_or("\r\n", |at| &line[at..]);
            made.push_str(&format!(
                "{name}: \"Anonymous\" <sip:anonymous@anonymous.invalid>{tag}"
            ));
        } else if name != "Privacy" {
            made.push_str(line);
        }
    }
    made.into_bytes()
}

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn record(folder: &Path, config: &Config) {
    let file = folder.join("capture.pcap");
    fs::write(&file, capture(&wires(), Format::Pcap)).unwrap();
    let options = Options {
        speed: Speed::Max,
        cores: Vec::new(),
        legs_max: 10_000,
        keep_all: true,
        time_batches: false,
    };
    let shared = Shared {
        table: table(&options),
        rules: Rules::new(config),
    };
    let writer =
        ringtap_journal::Writer::spawn(&folder.join("journal.db"), ringtap_journal::Options::default());
    let sinks: Vec<Box<dyn ringtap::sink::RecordSink>> = vec![Box::new(JournalSink::new(writer.unwrap()))];
    let decoder = Decoder::new(PortSet::from_iter([5060]));
    let inputs = open(std::slice::from_ref(&file)).unwrap();
    replay(inputs, shared, &decoder, &options, sinks, &mut |_, _| {}).unwrap();
    fs::remove_file(file).unwrap();
}

/// `ringtap-notifier run`, with all that it says.
struct Running {
    child: Child,
    log: Log,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("run")
            .arg("--config")
            .arg(folder.join("ringtap.toml"))
            .arg("--journal")
            .arg(folder.join("journal.db"))
            .arg("--database")
            .arg(folder.join("notifier.db"))
            // Masked, a number that should not be there could not be found.
            .args(["--metrics", "127.0.0.1:0", "--log-numbers", "full"])
            .env("RUST_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Log::default();
        let mut kept = log.clone();
        thread::spawn(move || {
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let _ = kept.write_all(&line);
                line.clear();
            }
        });
        Self { child, log }
    }

    /// What is served at `path` beside the metrics.
    fn get(&self, path: &str) -> String {
        let served = wait_for(|| {
            let log = self.log.text();
            let line = log
                .lines()
                .find(|line| line.contains("health are served"))?
                .to_owned();
            let address = line.split("address=").nth(1)?;
            Some(address.split_whitespace().next()?.to_owned())
        });
        let mut stream = TcpStream::connect(&served).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {served}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
        self.log.text()
    }
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited for in vain");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the whole journal was worked off and nothing waits.
fn is_done(folder: &Path, last: u64) -> Option<()> {
    let sql = rusqlite::Connection::open(folder.join("notifier.db")).unwrap();
    sql.busy_timeout(PATIENCE).unwrap();
    let read: i64 = sql
        .query_row("SELECT coalesce(max(seq), 0) FROM cursor", [], |row| row.get(0))
        .unwrap();
    let waiting: i64 = sql
        .query_row("SELECT count(*) FROM outbox WHERE state = 'pending'", [], |row| {
            row.get(0)
        })
        .unwrap();
    (u64::try_from(read) == Ok(last) && waiting == 0).then_some(())
}

fn assert_none(what: &str, octets: &[u8]) {
    for secret in SECRETS {
        let at = octets
            .windows(secret.len())
            .position(|part| part == secret.as_bytes());
        if let Some(at) = at {
            let around = &octets[at.saturating_sub(200)..(at + 200).min(octets.len())];
            panic!("{secret} in {what}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

/// Catches who a withheld caller is, or what the directory calls that number, in the journal, the notifier's database, mails
/// (decoded too), webhook bodies, metrics, health, or logs at their most talkative.
#[test]
fn nowhere() {
    let (log, folder) = (Log::default(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let kept = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter("trace")
        .with_writer(move || kept.clone())
        .with_ansi(false)
        .init();
    let (sink, endpoint) = (Sink::start(&[]), Endpoint::start(&[], None));
    let text = fixtures::config_toml("unused.db", "unused.db", &format!("smtp://{}", sink.address)).replace(
        "coalesce_window_s = 0",
        "coalesce_window_s = 120\nmails_per_hour_max = 4\ndigest_every_s = 1",
    );
    let text = format!(
        "{text}\n[notifier.webhook]\nurl = \"http://{}/\"\n",
        endpoint.address
    );
    let config = ringtap_config::from_toml(&text, "fixtures").unwrap();
    fs::write(folder.join("ringtap.toml"), text).unwrap();
    record(folder, &config);
    assert_none("the engine's log", log.text().as_bytes());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_none(&path.display().to_string(), &fs::read(&path).unwrap());
    }

    let people = subscriptions::read(
        Path::new("p.csv"),
        fixtures::subscribers_csv().as_bytes(),
        &config.plan,
    );
    let database = folder.join("notifier.db");
    Store::open(&database)
        .unwrap()
        .import(&people.unwrap(), false)
        .unwrap();
    let sql = rusqlite::Connection::open(&database).unwrap();
    sql.execute_batch(
        "UPDATE user SET channels = 'mail,webhook';
         INSERT INTO directory VALUES ('+8613912345678', 'DirectoryWord', 'DirectoryWord', 'DirectoryWord', 'file');",
    )
    .unwrap();
    drop(sql);
    let last = Reader::open(&folder.join("journal.db")).unwrap().last().unwrap();
    let running = Running::start(folder);
    wait_for(|| is_done(folder, last));
    for path in ["/metrics", "/health"] {
        let answer = running.get(path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_none(path, answer.as_bytes());
    }
    let said = running.stop();
    assert!(said.contains("TRACE") || said.contains("DEBUG"), "{said}");
    assert_none("the notifier's log", said.as_bytes());

    // The directory may have the number; nothing else may.
    let sql = rusqlite::Connection::open(&database).unwrap();
    let gathered: i64 = sql
        .query_row("SELECT count(*) FROM outbox WHERE kind = 'digest'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(gathered > 0, "nothing was gathered");
    sql.execute_batch(
        "PRAGMA secure_delete = on; DELETE FROM directory; VACUUM; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
    drop(sql);
    for name in ["notifier.db", "journal.db"] {
        assert_none(name, &fs::read(folder.join(name)).unwrap());
    }

    let posts = endpoint.taken();
    assert!(
        posts
            .iter()
            .any(|post| post.body.windows(15).any(|part| part == b"\"withheld\":true"))
    );
    for post in &posts {
        assert_none("a webhook's body", &post.body);
    }
    let mails = sink.mails();
    let told = mails
        .iter()
        .filter(|mail| mail.contains("X-Ringtap-Caller: withheld"))
        .count();
    assert!(
        told > 10,
        "{told} of {} mails are of withheld callers",
        mails.len()
    );
    let letters = tempfile::tempdir().unwrap();
    for (n, mail) in mails.iter().enumerate() {
        assert_none("a mail", mail.as_bytes());
        fs::write(letters.path().join(format!("{n}.eml")), mail).unwrap();
    }
    mime::check_without(letters.path(), mails.len(), &SECRETS);
}

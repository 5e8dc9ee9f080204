//! The program itself on files of its own, killed and asked from outside as an operator would.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_journal::{CallRecord, Caller, NameSource, Options, Outcome, Target, Time, Writer};
use rustix::process::{Pid, Signal};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");
/// How long anything may take that happens by itself, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a fault can be made that takes a superuser. Where it cannot, that is said; with `RINGTAP_LIVE=1` it is a failure.
pub fn may_meddle() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).output();
    if tried.is_ok_and(|tried| tried.status.success()) {
        return true;
    }
    let why = "this fault takes root and mount namespaces";
    assert!(
        std::env::var_os("RINGTAP_LIVE").is_none_or(|live| live != "1"),
        "{why}, and RINGTAP_LIVE=1 wants it tested"
    );
    eprintln!("SKIPPED: {why}");
    false
}

/// A person of these tests.
pub struct Person {
    pub key: String,
    pub email: String,
    pub number: String,
}

impl Person {
    pub fn new(n: usize, domain: &str) -> Self {
        Self {
            key: format!("p{n}"),
            email: format!("p{n}@{domain}"),
            number: format!("+86258309{n:04}"),
        }
    }
}

/// A folder with journal, database, configuration and people.
pub struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// `smtp` and `delivery` are further keys of their tables.
    pub fn new(people: &[Person], url: &str, smtp: &str, delivery: &str) -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(lab.path("data")).unwrap();
        fs::create_dir(lab.path("journal")).unwrap();
        let config = format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[notifier.smtp]\nurl = \"{url}\"\n\
             from = \"Missed calls <missed@office.test>\"\n{smtp}\n[notifier.delivery]\n{delivery}\n"
        );
        fs::write(lab.path("ringtap.toml"), config).unwrap();
        let mut csv = String::from("user,name,email,locale,timezone,subscribed,account,label,aliases\n");
        for Person { key, email, number } in people {
            csv.push_str(&format!("{key},{key},{email},en,UTC,yes,{number},,\n"));
        }
        fs::write(lab.path("people.csv"), csv).unwrap();
        lab.import();
        lab
    }

    /// One with one person, `p1`, whose mails go one at a time and alone.
    pub fn of_one(url: &str, smtp: &str) -> (Self, Person) {
        let person = Person::new(1, "office.test");
        let delivery = "coalesce_window_s = 0";
        let smtp = format!("connections = 1\n{smtp}");
        let lab = Self::new(std::slice::from_ref(&person), url, &smtp, delivery);
        (lab, person)
    }

    pub fn import(&self) {
        let people = self.path("people.csv");
        let done = self.command().arg("import").arg(people).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn journal(&self) -> PathBuf {
        self.path("journal/journal.db")
    }

    pub fn database(&self) -> PathBuf {
        self.path("data/notifier.db")
    }

    pub fn arguments(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, path) in [
            ("--config", self.path("ringtap.toml")),
            ("--journal", self.journal()),
            ("--database", self.database()),
        ] {
            all.extend([name.to_owned(), path.to_str().unwrap().to_owned()]);
        }
        all
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments());
        command
    }

    pub fn writer(&self) -> Writer {
        Writer::spawn(&self.journal(), Options::default()).unwrap()
    }

    /// Starts `ringtap-notifier run`.
    pub fn run(&self) -> Running {
        Running::start(self.command())
    }

    pub fn sql(&self) -> rusqlite::Connection {
        let sql = rusqlite::Connection::open(self.database()).unwrap();
        sql.busy_timeout(PATIENCE).unwrap();
        sql
    }

    /// Makes what was put off due now.
    pub fn hurry(&self) {
        self.sql()
            .execute_batch(
                "UPDATE outbox SET next_attempt_ms = 0 WHERE state = 'pending' AND turn IS NULL AND attempts > 0",
            )
            .unwrap();
    }

    /// How many messages are in that state.
    pub fn count(&self, state: &str) -> i64 {
        self.sql()
            .query_row("SELECT count(*) FROM outbox WHERE state = ?1", [state], |row| {
                row.get(0)
            })
            .unwrap()
    }
}

/// A missed call from a minute ago to each of `numbers`.
pub fn missed(call: &str, numbers: &[&str]) -> CallRecord {
    let started: Time = "2024-05-06T02:23:41Z".parse().unwrap();
    let ended = started.plus_ms(25_000);
    let target = |number: &&str| Target {
        identity: (*number).into(),
        outcome: Outcome::CallerHungUp,
        base: None,
        alerted: true,
        ring_ms: 20_000,
        diverted_to: None,
        group: None,
        started,
        ended,
    };
    CallRecord {
        call: call.to_owned(),
        started,
        ended,
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: None,
            name_source: NameSource::None,
            withheld: false,
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: numbers.iter().map(target).collect(),
        legs: 1,
        flags: Vec::new(),
    }
}

/// The program at work. It is killed when this goes.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Runs what `command` begins, be it the program itself or one that makes its surroundings.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .args(["--metrics", "127.0.0.1:0", "run"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How many lines of the log have all of `parts`.
    pub fn said(&self, parts: &[&str]) -> usize {
        let log = self.log();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines().filter(has_all).count()
    }

    pub fn wait_said(&self, parts: &[&str]) {
        self.wait(&format!("a line with {parts:?}"), || self.said(parts) > 0);
    }

    /// As [`wait`], with the log if it was in vain.
    pub fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < until,
                "waited in vain: {what}\n{}\n{:?}",
                self.log(),
                self.health()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, path: &str) -> (u16, String) {
        self.wait_said(&["metrics and health are served"]);
        let log = self.log();
        let address = log.split("address=").nth(1).unwrap();
        let address: SocketAddr = address.split_whitespace().next().unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }

    /// Status and text of `/health`.
    pub fn health(&self) -> (u16, String) {
        self.ask("/health")
    }

    /// What is wrong with a part, as `/health` says it; nothing if it is all right or not known yet.
    pub fn trouble(&self, part: &str) -> Option<String> {
        let (status, text) = self.health();
        let health: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parts = health["parts"].as_array().unwrap();
        let error = parts
            .iter()
            .find(|one| one["name"] == part)
            .and_then(|one| one["error"].as_str().map(str::to_owned));
        assert!(error.is_none() || status == 503, "{status}: {text}");
        error
    }

    pub fn wait_trouble(&self, part: &str, words: &str) {
        self.wait(&format!("{part}: {words}"), || {
            self.trouble(part).is_some_and(|why| why.contains(words))
        });
    }

    pub fn wait_well(&self) {
        self.wait("all is well", || self.health().0 == 200);
    }

    /// The value of a metric with its labels, if there is one.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (status, text) = self.ask("/metrics");
        assert_eq!(status, 200);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ringtap_notifier_")?.strip_prefix(name));
        line.map(|value| value.trim().parse().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small file system at a folder, until this goes.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(at: &Path, kib: u32) -> Self {
        let size = format!("size={kib}k,mode=0700");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "ringtap-test"])
            .arg(at)
            .status()
            .unwrap();
        assert!(done.success());
        Self(at.to_owned())
    }

    /// Takes all room that is left.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filling")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn make_room(&self) {
        fs::remove_file(self.0.join("filling")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

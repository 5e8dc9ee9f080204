//! The program itself on files of its own, as an operator has it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ringtap_journal::{CallRecord, Caller, NameSource, Options, Outcome, Target, Time, Writer};
use rusqlite::Connection;

use crate::sink::Sink;

pub const HEADER: &str = "user,name,email,locale,timezone,subscribed,account,label,aliases\n";
pub const LIMING: &str = "+862583091001";
pub const ZHANG: &str = "+8613912345678";
/// How long anything may take that happens by itself, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct House {
    dir: tempfile::TempDir,
    pub sink: Sink,
}

impl House {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With these lines at the end of the configuration.
    pub fn with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start(&[]);
        let toml = format!(
            "[network]\nhome_domains = [\"ims.office.test\"]\n[numbering]\ncountry = \"86\"\narea = \"25\"\n\
             [[numbering.rule]]\nname = \"ext4\"\nmatch = '^(1\\d{{3}})$'\nto = \"+86258309$1\"\n\
             [notifier.smtp]\nurl = \"smtp://{}\"\nfrom = \"M <m@office.test>\"\n\
             [notifier.delivery]\ncoalesce_window_s = 0\n{more}",
            sink.address
        );
        fs::write(dir.path().join("ringtap.toml"), toml).unwrap();
        Self { dir, sink }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"));
        for (name, file) in [
            ("--config", "ringtap.toml"),
            ("--journal", "j.db"),
            ("--database", "n.db"),
        ] {
            command.arg(name).arg(self.path(file));
        }
        // Whoever runs the tests by sudo is not whom they are about.
        command.env_remove("SUDO_USER");
        command.current_dir(self.dir.path()).args(arguments);
        command
    }

    /// Exit status, standard output, standard error.
    pub fn program(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    }

    /// What a command that must succeed says.
    pub fn done(&self, arguments: &[&str]) -> String {
        let (status, out, error) = self.program(arguments);
        assert_eq!(status, 0, "{arguments:?}: {out}{error}");
        out
    }

    /// What a command that must fail with this status says.
    pub fn refused(&self, status: i32, arguments: &[&str]) -> String {
        let (found, out, error) = self.program(arguments);
        assert_eq!(found, status, "{arguments:?}: {out}{error}");
        assert_eq!(out, "", "{arguments:?}");
        error
    }

    /// Imports these rows.
    pub fn import(&self, rows: &str, more: &[&str]) -> String {
        self.write("people.csv", &format!("{HEADER}{rows}"));
        self.done(&[&["import", "people.csv"], more].concat())
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn sql(&self) -> Connection {
        let sql = Connection::open(self.path("n.db")).unwrap();
        sql.busy_timeout(PATIENCE).unwrap();
        sql
    }

    /// One call of Zhang's to `number` that was missed just now.
    pub fn miss(&self, call: &str, number: &str) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        writer.send(missed(call, number)).unwrap();
        writer.finish().unwrap();
    }

    /// Starts `run`, and waits until it works.
    pub fn run(&self) -> Running {
        let mut child = self.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let running = Running { child, lines };
        running.says("ready");
        running
    }
}

pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Waits for a line of the log that has this in it.
    pub fn says(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("never said: {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Waits until something is so.
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All octets of the database and of what lies beside it.
pub fn octets(database: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for ending in ["", "-wal"] {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        all.extend(fs::read(name).unwrap_or_default());
    }
    all
}

pub fn missed(call: &str, number: &str) -> CallRecord {
    let started: Time = "2026-05-06T02:23:41Z".parse().unwrap();
    let ended = started.plus_ms(20_000);
    CallRecord {
        call: call.to_owned(),
        started,
        ended,
        caller: Caller {
            identity: Some(ZHANG.into()),
            name: Some("Zhang San".into()),
            name_source: NameSource::From,
            withheld: false,
        },
        dialled: Some(number.into()),
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: number.into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 20_000,
            diverted_to: None,
            group: None,
            started,
            ended,
        }],
        legs: 1,
        flags: Vec::new(),
    }
}

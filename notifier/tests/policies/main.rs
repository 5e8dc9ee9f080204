//! People's own switches, and mails that a caller who gets through makes needless: journal to mail server.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../sink/mod.rs"]
#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;

mod reached;
mod switches;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringtap_journal::{Options, Writer};
use ringtap_notifier::intake::IntakeTotals;
use ringtap_notifier::service::Service;
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, NameSource, Outcome, Target, Time};
use sink::Sink;

const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+8613800001001,手机,
sun,Sun Li,sun@office.test,en,Asia/Shanghai,yes,+862583091005,office phone,sip:sunli@ims.office.test
sun,Sun Li,sun@office.test,en,Asia/Shanghai,yes,+862583091010,duty desk,
zhao,赵强,zhao@office.test,zh-CN,Asia/Shanghai,yes,+862583091010,,
zhao,赵强,zhao@office.test,zh-CN,Asia/Shanghai,yes,+862583091000,,
";
const DESK: &str = "+862583091001";
const MOBILE: &str = "+8613800001001";
const SUN: &str = "+862583091005";
const DUTY: &str = "+862583091010";
const GROUP: &str = "+862583091000";
const CALLER: &str = "+8613912345678";
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap-notifier");

struct Lab {
    dir: tempfile::TempDir,
    sink: Sink,
    switches: &'static str,
}

impl Lab {
    /// With these lines in `[policy.notify]`.
    fn new(switches: &'static str) -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
            sink: Sink::start(&[]),
            switches,
        };
        let config = lab.config();
        let people = subscriptions::read(Path::new("p.csv"), PEOPLE.as_bytes(), &config.plan).unwrap();
        lab.store().import(&people, false).unwrap();
        std::fs::write(lab.path("ringtap.toml"), lab.toml()).unwrap();
        std::fs::write(lab.path("people.csv"), PEOPLE).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn toml(&self) -> String {
        format!(
            "[numbering]\ncountry = \"86\"\narea = \"25\"\n[policy.notify]\n{}\n\
             [journal]\npath = {:?}\n[notifier]\ndatabase = {:?}\n\
             [notifier.smtp]\nurl = \"smtp://{}\"\nfrom = \"M <m@office.test>\"\nconnections = 1\n\
             [notifier.delivery]\ncoalesce_window_s = 0\n",
            self.switches,
            self.path("j.db"),
            self.path("n.db"),
            self.sink.address
        )
    }

    fn config(&self) -> ringtap_config::Config {
        ringtap_config::from_toml(&self.toml(), "test").unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.path("n.db")).unwrap()
    }

    fn write(&self, records: impl IntoIterator<Item = CallRecord>) {
        let writer = Writer::spawn(&self.path("j.db"), Options::default()).unwrap();
        for record in records {
            writer.send(record).unwrap();
        }
        writer.finish().unwrap();
    }

    fn once(&self) -> IntakeTotals {
        let mut service = Service::new(self.config(), &self.path("j.db"), &self.path("n.db")).unwrap();
        service.once().unwrap().0
    }

    /// Starts a service that runs until it is stopped.
    fn start(&self) -> Running {
        let mut service = Service::new(self.config(), &self.path("j.db"), &self.path("n.db")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Running {
            stop,
            thread: std::thread::spawn(move || service.run(&told)),
        }
    }

    /// Runs the program: its exit status, what it printed, what it complained of.
    fn program(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(PROGRAM)
            .arg("--config")
            .arg(self.path("ringtap.toml"))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code().unwrap(), text(&stdout), text(&stderr))
    }

    fn policy(&self, arguments: &[&str]) -> (i32, String, String) {
        self.program(&[&["user", "policy"], arguments].concat())
    }

    /// Who got mails, in order: the address before the at sign.
    fn told(&self) -> Vec<String> {
        let to = |mail: &String| {
            let line = mail.lines().find_map(|line| line.strip_prefix("To:")).unwrap();
            let address = line.rsplit('<').next().unwrap();
            address.split('@').next().unwrap().trim().to_owned()
        };
        self.sink.mails().iter().map(to).collect()
    }

    /// Call, state and last error of each row of the outbox, oldest first.
    fn outbox(&self) -> Vec<(String, String, String)> {
        let mut rows = self.store().outbox(true, 100).unwrap();
        rows.reverse();
        rows.into_iter()
            .map(|row| (row.call, row.state, row.last_error.unwrap_or_default()))
            .collect()
    }
}

/// A service in a thread.
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Waits until `is_so`; a minute is patience enough for what takes milliseconds.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A call that began so many seconds after some moment, rang for ten, and ended as `outcome` for `targets`.
fn call(name: &str, began_s: i64, targets: &[(&str, Outcome)]) -> CallRecord {
    let moment: Time = "2024-05-06T02:00:00Z".parse().unwrap();
    call_at(name, moment.plus_ms(began_s * 1000), targets)
}

fn call_at(name: &str, started: Time, targets: &[(&str, Outcome)]) -> CallRecord {
    let ended = started.plus_ms(10_000);
    let target = |(identity, outcome): &(&str, Outcome)| Target {
        identity: (*identity).into(),
        outcome: *outcome,
        base: None,
        alerted: true,
        ring_ms: 10_000,
        diverted_to: None,
        group: None,
        started,
        ended,
    };
    CallRecord {
        call: name.to_owned(),
        started,
        ended,
        caller: Caller {
            identity: Some(CALLER.into()),
            name: None,
            name_source: NameSource::None,
            withheld: false,
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: targets.iter().map(target).collect(),
        legs: 1,
        flags: Vec::new(),
    }
}

fn missed(name: &str, began_s: i64, identity: &str) -> CallRecord {
    call(name, began_s, &[(identity, Outcome::CallerHungUp)])
}

fn answered(name: &str, began_s: i64, identity: &str) -> CallRecord {
    call(name, began_s, &[(identity, Outcome::Answered)])
}

fn from(caller: &str, record: CallRecord) -> CallRecord {
    CallRecord {
        caller: Caller {
            identity: Some(caller.into()),
            ..record.caller
        },
        ..record
    }
}

/// Catches owners of a group's number who are looked up only where it was dialled, and a transferor who is
/// shown in the caller's words, or beside a withheld caller.
#[test]
fn who_is_looked_up() {
    let lab = Lab::new("");
    let member = |name, referred_by: Option<&str>| {
        let mut record = call(name, 0, &[(SUN, Outcome::GroupUnanswered)]);
        record.targets[0].group = Some(GROUP.into());
        record.referred_by = referred_by.map(Into::into);
        record
    };
    lab.write([member("a", None)]);
    lab.once();
    assert_eq!(lab.told(), ["sun", "zhao"]);
    let of_zhao = lab.sink.mails()[1].clone();
    assert!(
        of_zhao.contains("X-Ringtap-Account: +862583091000\r\n"),
        "{of_zhao}"
    );

    let line = |by: &str, is_withheld| {
        let lab = Lab::new("");
        let mut record = member("t", Some(by));
        record.caller.withheld = is_withheld;
        lab.write([record]);
        lab.once();
        let mail = lab.sink.mails()[0].clone();
        let note = mail.lines().find(|line| line.contains("Note:")).map(str::trim);
        note.map(str::to_owned)
    };
    // 李明, whose desk it is, by the name in the directory.
    let shown = Some("Note:    via =E6=9D=8E=E6=98=8E 025-8309 1001".to_owned());
    assert_eq!(line(DESK, false), shown);
    assert_eq!(line(DESK, true), None);
    assert_eq!(line("+8613912345678", false), None);
    assert_eq!(line("sip:boss@evil.test", false), None);
}

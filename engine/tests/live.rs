//! `ringtap run` on a line of its own: queues and workers, how it ends, what becomes of the interface, and what it says
//! when it cannot capture.
//!
//! Needs root and network namespaces, so these tests run only when asked for: `scripts/test.sh` does, or
//! `cargo nextest run -p ringtap --test live --run-ignored only`. The calls themselves are tested live by the
//! notifier's scenarios.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use ringtap_journal::Reader;
use ringtap_record::CallRecord;
use ringtap_testkit::lab::{Lab, MIRROR, Running, finish};
use ringtap_testkit::play::{Options, Pace, Reel, Spread};
use ringtap_testkit::{Format, Wire, capture, fixtures, messages_salted, sample};
use tempfile::TempDir;

/// How many times as fast as life.
const FACTOR: u32 = 10;

/// A lab, and a folder for what the tap writes.
struct Bench {
    lab: Lab,
    folder: TempDir,
}

impl Bench {
    fn new(label: &str, queues: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25")
            + &fixtures::timers_toml(FACTOR);
        std::fs::write(folder.path().join("ringtap.toml"), config).expect("written");
        Self {
            lab: Lab::up(label, queues).expect("a lab"),
            folder,
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// `ringtap run` on this interface, not started yet.
    fn command(&self, interface: &str, cores: &str) -> Command {
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_ringtap"));
        self.arguments(&mut command, interface, cores);
        command
    }

    fn arguments(&self, command: &mut Command, interface: &str, cores: &str) {
        command
            .args([
                "run",
                "--interface",
                interface,
                "--cores",
                cores,
                "--stats",
                "--config",
            ])
            .arg(self.folder.path().join("ringtap.toml"))
            .arg("--journal")
            .arg(self.journal());
    }

    /// A tap that captures.
    fn tap(&self, cores: &str) -> Running {
        let tap = Running::start(&mut self.command(MIRROR, cores)).expect("started");
        tap.wait_for("capturing", 1).expect("it captures");
        tap
    }

    fn play(&self, wires: &[Wire]) {
        let reel = Reel::read("wires", &capture(wires, Format::Pcap)[..]).expect("a reel");
        let options = Options {
            pace: Pace::Speed(f64::from(FACTOR)),
            rounds: 1,
            spread: Spread::Queue,
        };
        let played = self.lab.play(&reel, &options).expect("played");
        assert_eq!(played.frames, reel.len() as u64);
    }

    /// What the journal holds.
    fn records(&self) -> Vec<CallRecord> {
        let found = Reader::open(&self.journal()).and_then(|reader| reader.after(0, 1000));
        found
            .expect("a journal")
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    }
}

/// A call that is busy at once.
fn short_call(salt: u64) -> Vec<Wire> {
    messages_salted(&sample::find("S03/486").expect("a case"), salt)
}

/// A record without what differs from run to run: times.
fn told(record: &CallRecord) -> String {
    let targets: Vec<_> = record
        .targets
        .iter()
        .map(|target| {
            (
                &target.identity,
                target.outcome,
                target.base,
                target.alerted,
                &target.diverted_to,
            )
        })
        .collect();
    format!(
        "{} {:?} {:?} {:?} {} {:?} {targets:?}",
        record.call, record.caller, record.dialled, record.answered_by, record.legs, record.flags
    )
}

fn all_told(records: &[CallRecord]) -> Vec<String> {
    let mut all: Vec<_> = records.iter().map(told).collect();
    all.sort();
    all
}

/// Catches a call that falls apart when its directions come on different queues, to different workers.
#[test]
#[ignore = "needs root"]
fn two_workers_tell_what_one_tells() {
    let (one, two) = (Bench::new("one", 1), Bench::new("two", 2));
    let wires = sample::messages();
    let bench = |bench: &Bench, cores: &str| {
        let tap = bench.tap(cores);
        bench.play(&wires);
        thread::sleep(Duration::from_secs(1));
        let (status, _) = tap.end().expect("it ends");
        assert!(status.success(), "{status}");
        all_told(&bench.records())
    };
    let (of_one, of_two) = thread::scope(|scope| {
        let of_one = scope.spawn(|| bench(&one, "0"));
        let of_two = scope.spawn(|| bench(&two, "0,1"));
        (of_one.join().expect("one"), of_two.join().expect("two"))
    });
    assert!(of_one.len() >= 10, "{of_one:#?}");
    assert_eq!(of_two, of_one);
}

/// Catches an XDP program that outlives the process which loaded it, even one that could not tidy up: the interface
/// would go on losing SIP to sockets that are gone.
#[test]
#[ignore = "needs root"]
fn a_killed_tap_leaves_no_program() {
    let bench = Bench::new("kill", 2);
    assert!(!bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    let tap = bench.tap("0");
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    tap.kill().expect("killed");
    // The kernel takes it away when the last descriptor is closed, which a dying process does at leisure.
    let gone = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        !bench.lab.describe_mirror().expect("there").contains("prog/xdp")
    });
    assert!(gone, "{}", bench.lab.describe_mirror().expect("there"));
}

/// Catches an end that takes longer than a service manager waits, fails, or loses the call that is open.
#[test]
#[ignore = "needs root"]
fn sigterm_ends_it_within_three_seconds() {
    let bench = Bench::new("term", 2);
    let tap = bench.tap("0,1");
    bench.play(&short_call(1));
    let mut ringing = messages_salted(&sample::find("S01").expect("a case"), 2);
    ringing.retain(|wire| !wire.label.message.contains("CANCEL") && !wire.label.message.starts_with("487"));
    bench.play(&ringing[..6]);
    let (status, took) = tap.end().expect("it ends");
    assert_eq!(status.code(), Some(0));
    // An operator's requirement, not a measurement.
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(bench.records().len(), 2, "{:#?}", bench.records());
    assert!(!bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
}

/// Whether a call is recorded that is made now; one is made again and again for half a minute.
fn sees_calls(bench: &Bench, salt: u64) -> bool {
    let before = bench.records().len();
    (0..30).any(|attempt| {
        bench.play(&short_call(salt + attempt));
        thread::sleep(Duration::from_secs(1));
        bench.records().len() > before
    })
}

/// Catches a tap that stays deaf after its interface was down.
#[test]
#[ignore = "needs root"]
fn an_interface_that_was_down_is_heard_again() {
    let bench = Bench::new("down", 2);
    let tap = bench.tap("0,1");
    assert!(sees_calls(&bench, 1));
    bench.lab.set_mirror("down").expect("down");
    thread::sleep(Duration::from_secs(1));
    bench.lab.set_mirror("up").expect("up");
    assert!(sees_calls(&bench, 101), "{}", tap.said());
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
}

/// Catches a tap that ends, or waits for ever, when its interface goes away and comes back.
#[test]
#[ignore = "needs root"]
fn an_interface_made_anew_is_heard_again() {
    let bench = Bench::new("anew", 2);
    let tap = bench.tap("0,1");
    assert!(sees_calls(&bench, 1));
    bench.lab.remove_pair().expect("removed");
    thread::sleep(Duration::from_secs(1));
    bench.lab.up_again(2).expect("made anew");
    assert!(sees_calls(&bench, 101), "{}", tap.said());
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
}

/// It failed as a program does that cannot do its work, and said what is at fault, and one of the words of the remedy.
fn refused(output: &Output, fault: &str, remedies: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}: {said}",
        output.status
    );
    assert!(said.contains(fault), "{said}");
    let has_remedy = remedies.iter().any(|word| said.contains(word));
    assert!(has_remedy, "none of {remedies:?}: {said}");
}

/// Catches two taps that take each other's frames.
#[test]
#[ignore = "needs root"]
fn a_second_tap_is_refused() {
    let bench = Bench::new("second", 2);
    let tap = bench.tap("0");
    let other = Bench::new("other", 1);
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    other.arguments(&mut command, MIRROR, "1");
    refused(
        &finish(&mut command).expect("it ends"),
        MIRROR,
        &["another", "already", "busy", "in use"],
    );
    // The first one goes on.
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    assert!(sees_calls(&bench, 1));
    tap.end().expect("it ends");
}

/// Catches a message that leaves the operator guessing what is not allowed.
#[test]
#[ignore = "needs root"]
fn nobody_may_not_capture() {
    let bench = Bench::new("nobody", 2);
    let program = bench.folder.path().join("ringtap");
    std::fs::copy(env!("CARGO_BIN_EXE_ringtap"), &program).expect("copied");
    for path in [bench.folder.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("set");
    }
    let mut command = bench.lab.command("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program);
    bench.arguments(&mut command, MIRROR, "0");
    // What is missing is missing on any interface.
    refused(
        &finish(&mut command).expect("it ends"),
        "permitted",
        &["run as root", "CAP_NET_ADMIN"],
    );
}

/// Catches an interface that is not there and is waited for in silence, or whose name is not told.
#[test]
#[ignore = "needs root"]
fn an_absent_interface_is_named() {
    let bench = Bench::new("absent", 1);
    refused(
        &finish(&mut bench.command("nosuch0", "0")).expect("it ends"),
        "nosuch0",
        &[
            "ip link",
            "no such",
            "not there",
            "does not exist",
            "No such",
            "no interface",
        ],
    );
    assert!(!Path::new("/sys/class/net/nosuch0").exists());
}

//! `ringtap run` on a line of its own: queues and workers, what is lost, how it ends. What becomes of its interfaces is in
//! [`interfaces`], how one process takes over from another in [`hand_over`] and [`partings`], who may capture and what is said to the others in [`refusals`], what a capture may do besides in [`privileges`], what it
//! tells of itself in [`telling`], and what `ringtap doctor` finds in [`doctor`].
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

mod doctor;
mod hand_over;
mod interfaces;
mod partings;
mod privileges;
mod refusals;
mod telling;

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use ringtap_journal::Reader;
use ringtap_record::{CallRecord, Flag};
use ringtap_testkit::lab::{Lab, MIRROR, Running, SPAN};
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

    /// Adds lines to the configuration.
    fn configure(&self, lines: &str) {
        let file = self.folder.path().join("ringtap.toml");
        let config = std::fs::read_to_string(&file).expect("the configuration");
        std::fs::write(file, format!("{config}\n{lines}")).expect("written");
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// `ringtap run` on this interface, not started yet.
    fn command(&self, interface: &str, cores: &str) -> Command {
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_ringtap"));
        self.arguments(&mut command, interface, cores);
        // A machine on which Ringtap is installed has the user that root becomes, who may not write here.
        command.args(["--user", "root"]);
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
        capturing(&mut self.command(MIRROR, cores))
    }

    /// Plays at the bench's speed.
    fn play(&self, wires: &[Wire]) {
        self.play_into(SPAN, Pace::Speed(f64::from(FACTOR)), wires);
    }

    fn play_into(&self, span: &str, pace: Pace, wires: &[Wire]) {
        let reel = Reel::read("wires", &capture(wires, Format::Pcap)[..]).expect("a reel");
        let options = Options {
            pace,
            rounds: 1,
            spread: Spread::Queue,
        };
        let played = self.lab.play_into(span, &reel, &options).expect("played");
        assert_eq!(played.frames, reel.len() as u64);
    }

    /// Whether a call is recorded that is made now; one is made again and again for half a minute.
    fn hears_calls(&self, span: &str, salt: u64) -> bool {
        let before = self.records().len();
        (0..30).any(|attempt| {
            self.play_into(span, Pace::Speed(f64::from(FACTOR)), &short_call(salt + attempt));
            thread::sleep(Duration::from_secs(1));
            self.records().len() > before
        })
    }

    /// What the journal holds.
    fn records(&self) -> Vec<CallRecord> {
        self.records_max(1000)
    }

    fn records_max(&self, most: usize) -> Vec<CallRecord> {
        let found = Reader::open(&self.journal()).and_then(|reader| reader.after(0, most));
        found
            .expect("a journal")
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    }
}

/// A tap that was started so, and captures.
fn capturing(command: &mut Command) -> Running {
    let tap = Running::start(command).expect("started");
    tap.wait_for("capturing", 1).expect("it captures");
    tap
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

/// Catches a call that falls apart when its directions come on different queues, to different workers; and a line on
/// which they do not, where this test would show nothing.
#[test]
#[ignore = "needs root"]
fn two_workers_tell_what_one_tells() {
    let (one, two) = (Bench::new("one", 1), Bench::new("two", 2));
    let wires = sample::messages();
    let bench = |bench: &Bench, cores: &str| {
        let tap = bench.tap(cores);
        bench.play(&wires);
        thread::sleep(Duration::from_secs(1));
        let (status, said) = tap.end_and_tell().expect("it ends");
        assert!(status.success(), "{said}");
        (all_told(&bench.records()), said)
    };
    let ((of_one, _), (of_two, said)) = thread::scope(|scope| {
        let of_one = scope.spawn(|| bench(&one, "0"));
        let of_two = scope.spawn(|| bench(&two, "0,1"));
        (of_one.join().expect("one"), of_two.join().expect("two"))
    });
    assert!(of_one.len() >= 10, "{of_one:#?}");
    assert_eq!(of_two, of_one);
    for queue in ["queue 0 received", "queue 1 received"] {
        assert!(count(&said, queue) > 0, "{said}");
    }
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

/// The number behind a name in the summary of `--stats`; 0 where the line is left out.
fn count(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        line.strip_prefix(name).map(str::to_owned)
    });
    line.map_or(0, |number| number.trim().parse().expect("a number"))
}

/// Catches frames that are lost and not counted, a call of that moment that is not flagged, a flag on a call after it, and
/// a ring that does not recover: the tap stands still while more comes than its rings hold.
#[test]
#[ignore = "needs root"]
fn an_overrun_is_counted_and_flagged() {
    let bench = Bench::new("overrun", 1);
    bench.configure("[capture]\nring_frames = 64\n");
    let tap = bench.tap("0");
    let (during, after) = (short_call(1), short_call(2));
    bench.play(&during[..1]);
    thread::sleep(Duration::from_millis(300));
    let paused = tap.pause().expect("paused");
    bench.play_into(SPAN, Pace::Max, &sample::messages());
    drop(paused);
    thread::sleep(Duration::from_millis(300));
    bench.play(&during[1..]);
    thread::sleep(Duration::from_secs(2));
    bench.play(&after);
    thread::sleep(Duration::from_secs(2));
    let records = bench.records();
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
    let (received, dropped) = (count(&said, "socket received"), count(&said, "socket dropped"));
    assert!(dropped > 100, "{said}");
    assert_eq!(count(&said, "xdp frames"), received + dropped, "{said}");
    assert!(is_flagged(&records, &during), "{records:#?}");
    assert!(!is_flagged(&records, &after), "{records:#?}");
}

/// Catches a gap that ends while frames from before the loss wait to be read: they are stamped then, and a call that begins
/// with them, and may have lost its end, would not be flagged.
#[test]
#[ignore = "needs root"]
fn a_call_at_the_tail_of_a_full_ring_is_flagged() {
    let bench = Bench::new("tail", 1);
    bench.configure("[capture]\nring_frames = 4096\n");
    let tap = bench.tap("0");
    let (call, others) = (short_call(1), sample::messages());
    let fill = |frames: usize| -> Vec<Wire> { others.iter().cycle().take(frames).cloned().collect() };
    thread::sleep(Duration::from_millis(300));
    let paused = tap.pause().expect("paused");
    bench.play_into(SPAN, Pace::Max, &fill(3800));
    bench.play_into(SPAN, Pace::Max, &call[..1]);
    bench.play_into(SPAN, Pace::Max, &fill(1000));
    drop(paused);
    thread::sleep(Duration::from_millis(500));
    bench.play(&call[1..]);
    thread::sleep(Duration::from_secs(2));
    let records = bench.records();
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
    assert!(count(&said, "socket dropped") > 100, "{said}");
    assert!(is_flagged(&records, &call), "{said}");
}

/// Whether the record of this call has the flag `loss`.
fn is_flagged(records: &[CallRecord], wires: &[Wire]) -> bool {
    let name = wires[0].call_name();
    let record = records.iter().find(|record| record.call == name);
    let record = record.unwrap_or_else(|| panic!("no record of {name}: {records:#?}"));
    record.has(Flag::Loss)
}

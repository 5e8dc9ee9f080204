//! `ringtap replay` killed at random moments, and started again over the same file until it gets to its end: the journal is
//! what an undisturbed run makes.
//!
//! `RINGTAP_KILLS` and `RINGTAP_SEED` make it longer, or the same again; `scripts/kill_engine.sh` sets them.
#![allow(clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Instant;

use ringtap_journal::{CallRecord, Explanation, ImplicitSet, JOURNAL, Reader};
use ringtap_testkit::PcapWriter;
use ringtap_testkit::workload::{Event, Options, Workload};

const KILLS: u32 = 10;
/// So many kills have to find the journal in the midst of being written; there are more kills until they have.
const HITS_MIN: u32 = 3;

/// What a journal holds, whatever the order.
#[derive(Debug, PartialEq)]
struct Content {
    calls: BTreeMap<String, (CallRecord, Option<Explanation>)>,
    sets: Vec<ImplicitSet>,
}

/// Catches a record that is lost or doubled or comes out differently when the engine dies and starts again, a file that does
/// not survive that, and a reader's cursor under which something is passed over or found twice.
#[test]
fn killed_and_started_again() {
    let seed = from_environment("RINGTAP_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = from_environment("RINGTAP_KILLS").unwrap_or(KILLS);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().expect("a folder");
    let lab = Lab::new(dir.path());

    let undisturbed = dir.path().join("undisturbed.db");
    let began = Instant::now();
    assert!(lab.replay(&undisturbed).wait().expect("ends").success());
    let mut takes = began.elapsed();
    let wanted = content(&undisturbed);
    assert!(wanted.calls.len() > 300, "{}", wanted.calls.len());

    let (mut killed, mut hits, mut rounds) = (0, 0, 0);
    while killed < kills || hits < HITS_MIN {
        assert!(
            rounds < kills + 100,
            "seed {seed}: {hits} of {killed} kills in {rounds} rounds hit"
        );
        rounds += 1;
        // Each journal is killed a few times, then it may be finished.
        let journal = dir.path().join(format!("killed-{rounds}.db"));
        let mut follower = Follower::default();
        for _ in 0..4 {
            let mut child = lab.replay(&journal);
            // The first records are settled some time after the beginning.
            thread::sleep(takes.mul_f64(1.0 - 0.8 * random.f64() * random.f64()));
            child.kill().expect("still ours");
            let status = child.wait().expect("ends");
            killed += u32::from(!status.success());
            let found = follower.follow(&journal);
            hits += u32::from(found > 0 && found < wanted.calls.len());
            // The machine was slower, or faster, when that was measured.
            if status.success() {
                takes = takes.mul_f64(0.7);
            } else if found == 0 {
                takes = takes.mul_f64(1.2);
            }
        }
        assert!(
            lab.replay(&journal).wait().expect("ends").success(),
            "seed {seed}"
        );
        follower.follow(&journal);
        let examined = JOURNAL.examine(&journal).expect("readable");
        assert_eq!(examined.faults, [""; 0], "seed {seed}");
        let got = content(&journal);
        let lost: Vec<_> = wanted
            .calls
            .keys()
            .filter(|call| !got.calls.contains_key(*call))
            .collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
        for (call, (record, story)) in &got.calls {
            let (wanted, wanted_story) = wanted
                .calls
                .get(call)
                .unwrap_or_else(|| panic!("seed {seed}: {call}"));
            assert_eq!(record, wanted, "seed {seed}");
            assert_eq!(story, wanted_story, "seed {seed}");
        }
        assert_eq!(got.sets, wanted.sets, "seed {seed}");
        let mut followed = follower.calls;
        followed.sort();
        assert!(followed.iter().eq(wanted.calls.keys()), "seed {seed}");
    }
    eprintln!("{killed} kills, {hits} of them while the journal was written");
}

fn from_environment<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// A capture to replay, and its configuration.
struct Lab {
    capture: PathBuf,
    config: PathBuf,
}

impl Lab {
    fn new(folder: &Path) -> Self {
        let workload = Workload::new(Options {
            calls: 1_200,
            users: 400,
            seed: 6,
            ..Options::default()
        });
        let lab = Self {
            capture: folder.join("calls.pcap"),
            config: folder.join("ringtap.toml"),
        };
        let config = workload
            .office()
            .config_toml("unused.db", "unused-too.db", "smtp://127.0.0.1:9");
        std::fs::write(&lab.config, config).expect("written");
        let file = std::fs::File::create(&lab.capture).expect("made");
        let mut pcap = PcapWriter::new(std::io::BufWriter::new(file)).expect("begun");
        for event in workload.stream() {
            if let Event::Captured(wire) = event {
                pcap.write(&wire).expect("written");
            }
        }
        pcap.finish().expect("whole");
        lab
    }

    fn replay(&self, journal: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_ringtap"))
            .arg("replay")
            .arg("--config")
            .arg(&self.config)
            .arg("--journal")
            .arg(journal)
            .arg(&self.capture)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }
}

fn content(journal: &Path) -> Content {
    let reader = Reader::open(journal).expect("a journal");
    let found = reader.after(0, usize::MAX).expect("readable");
    let calls = found.into_iter().map(|(_, record)| {
        let story = reader.story(&record.call).expect("readable");
        (record.call.clone(), (record, story))
    });
    Content {
        calls: calls.collect(),
        sets: reader.sets().expect("readable"),
    }
}

/// Reads on from where it was, as the notifier does.
#[derive(Default)]
struct Follower {
    cursor: u64,
    calls: Vec<String>,
}

impl Follower {
    /// How many records there have been so far.
    fn follow(&mut self, journal: &Path) -> usize {
        // Killed before there was a journal: it may be missing, or empty.
        let reader = match Reader::open(journal) {
            Ok(reader) => reader,
            Err(fault) => {
                assert!(fault.is_not_there_yet(), "{fault}");
                return 0;
            }
        };
        for (seq, record) in reader.after(self.cursor, usize::MAX).expect("readable") {
            assert!(seq > self.cursor);
            self.cursor = seq;
            self.calls.push(record.call);
        }
        self.calls.len()
    }
}

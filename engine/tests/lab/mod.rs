//! A folder with a configuration, and replays in it: records, and what was counted.

#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringtap_testkit::fixtures;
use tempfile::TempDir;

/// Records, sorted, and the summary's counts by name: `frame delivered`.
pub(crate) type Replayed = (Vec<String>, BTreeMap<String, u64>);

pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    /// With the fixtures' configuration.
    pub(crate) fn new() -> Self {
        let lab = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        lab.configure("ringtap.toml", "");
        lab
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("written");
        self.path(name)
    }

    /// Writes the fixtures' configuration with these lines in `[capture]`.
    pub(crate) fn configure(&self, name: &str, settings: &str) {
        let config = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
        self.write(name, format!("{config}\n[capture]\n{settings}\n").as_bytes());
    }

    /// Replays a capture under a configuration, answered calls too.
    pub(crate) fn replay_file(&self, config: &str, capture: &Path, more: &[&str]) -> Replayed {
        let output = ringtap(|command| {
            command
                .args(["replay", "--records", "-", "--records-all", "--stats", "--config"])
                .arg(self.path(config))
                .args(more)
                .arg(capture);
        });
        let summary = text(&output.stderr);
        assert!(output.status.success(), "{summary}");
        let mut records: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
        records.sort();
        let counts = summary.lines().filter_map(|line| {
            let (name, count) = line.trim().rsplit_once(' ')?;
            let words: Vec<_> = name.split_whitespace().collect();
            Some((words.join(" "), count.parse().ok()?))
        });
        (records, counts.collect())
    }

    /// The records of a replay under the fixtures' configuration.
    pub(crate) fn records(&self, capture: &Path, more: &[&str]) -> Vec<String> {
        self.replay_file("ringtap.toml", capture, more).0
    }

    /// Replays what a capture file would hold.
    pub(crate) fn replay(&self, config: &str, capture: &[u8], more: &[&str]) -> Replayed {
        let file = self.write("capture.pcap", capture);
        self.replay_file(config, &file, more)
    }
}

/// Runs the program.
pub(crate) fn ringtap(arguments: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtap"));
    arguments(&mut command);
    command.output().expect("the program starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The counts of some families, which do not depend on the number of cores.
pub(crate) fn of_families(counts: BTreeMap<String, u64>, families: &[&str]) -> BTreeMap<String, u64> {
    let is_of = |name: &str| families.contains(&name.split(' ').next().unwrap_or_default());
    counts.into_iter().filter(|(name, _)| is_of(name)).collect()
}

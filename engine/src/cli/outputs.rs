//! Where `ringtap replay` writes: looked at before anything is created, opened with the journal last.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringtap_config::Config;
use ringtap_journal::Writer;

use super::Failure;
use crate::sink::{JournalSink, JsonLines, MissedTable, RecordSink};

/// How long the journal gathers records for a commit: nobody waits for a record of a replay as for one of a network, and each commit has
/// the same pages of the index of names to write again.
const LINGER: Duration = Duration::from_millis(50);

/// The outputs that were asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outputs<'a> {
    pub(super) journal: Option<&'a Path>,
    pub(super) records: Option<&'a Path>,
}

impl Outputs<'_> {
    /// Refuses an output that is one of the inputs, or both outputs in one file: either would be lost.
    pub(super) fn check(self, inputs: &[PathBuf]) -> Result<(), Failure> {
        let outputs = [("--journal", self.journal), ("--records", self.records)];
        for (option, output) in outputs {
            let Some((output, file)) = output.and_then(|path| Some((path, output_file(path)?))) else {
                continue;
            };
            let clash = inputs
                .iter()
                .find(|input| input_file(input).is_some_and(|input| same(&input, &file)));
            if let Some(input) = clash {
                return Err(Failure::Usage(format!(
                    "{option} {}: is the same file as the capture {}: name another",
                    output.display(),
                    display(input)
                )));
            }
        }
        if let Some(records) = self.records.filter(|path| holds_something_else(path)) {
            return Err(Failure::Usage(format!(
                "--records {}: there is a file with other content: name another, or remove it",
                records.display()
            )));
        }
        match (self.journal, self.records) {
            (Some(journal), Some(records)) if is_same_place(journal, records) => {
                Err(Failure::Usage(format!(
                    "--records {}: is the journal: name another file",
                    records.display()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Opens them. If one fails, nothing is left of the others.
    pub(super) fn open(self, config: &Config) -> Result<Vec<Box<dyn RecordSink>>, Failure> {
        let mut sinks: Vec<Box<dyn RecordSink>> = Vec::new();
        if let Some(path) = self.records {
            sinks.push(Box::new(JsonLines::create(path).map_err(Failure::work)?));
        }
        // Last, for a journal that was made stays.
        if let Some(path) = self.journal {
            let options = ringtap_journal::Options {
                retention_days: config.journal.retention_days,
                linger: LINGER,
                ..ringtap_journal::Options::default()
            };
            let writer = Writer::spawn(path, options).map_err(Failure::work)?;
            sinks.push(Box::new(JournalSink::new(writer)));
        }
        if sinks.is_empty() {
            sinks.push(Box::new(MissedTable::default()));
        }
        Ok(sinks)
    }
}

/// A capture's name, for people.
pub(super) fn display(input: &Path) -> String {
    if input == Path::new("-") {
        "standard input".to_owned()
    } else {
        input.display().to_string()
    }
}

/// The file behind an input; `-` may have been redirected from one.
fn input_file(path: &Path) -> Option<Metadata> {
    if path == Path::new("-") {
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        fs::File::from(descriptor).metadata().ok()
    } else {
        fs::metadata(path).ok()
    }
}

/// The file behind an output, if there is one already.
fn output_file(path: &Path) -> Option<Metadata> {
    (path != Path::new("-")).then(|| fs::metadata(path).ok())?
}

/// Whether a file is there that no `--records` has written: a configuration, a database, a capture.
fn holds_something_else(path: &Path) -> bool {
    let Some(there) = output_file(path).filter(Metadata::is_file) else {
        return false;
    };
    let mut first = [0];
    there.len() > 0
        && !fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok() && first == *b"{")
}

/// Devices and pipes may be read and written at once.
fn same(a: &Metadata, b: &Metadata) -> bool {
    a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn is_same_place(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => same(&a, &b),
        // Neither is there yet: the same name in the same folder.
        (Err(_), Err(_)) => a.file_name() == b.file_name() && folder(a) == folder(b),
        _ => false,
    }
}

fn folder(path: &Path) -> Option<PathBuf> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => fs::canonicalize(".").ok(),
        Some(parent) => fs::canonicalize(parent).ok(),
        None => None,
    }
}

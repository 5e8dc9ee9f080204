//! Where call records go: the journal, JSON lines, or a table to read.

mod lines;

pub use lines::JsonLines;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringtap_journal::{JournalError, Moments, Totals, Writer};
use ringtap_record::{CallRecord, Explanation, ImplicitSet, Target, Time};
use thiserror::Error;

/// Records could not be brought to their place.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file of `--records`, or standard output.
    #[error("cannot write call records to {place}: {source}")]
    Write {
        /// The file's name.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever read standard output has read enough. Not a failure.
    #[error("standard output is read no more")]
    NotRead,
}

impl SinkError {
    /// A failure at that place; a pipe that nobody reads is none.
    pub(crate) fn write(place: &str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::NotRead;
        }
        Self::Write {
            place: place.to_owned(),
            source,
        }
    }
}

/// Takes records one by one.
pub trait RecordSink: Send {
    /// Takes a record, and how it came about.
    fn put(&mut self, record: &CallRecord, explanation: &Explanation) -> Result<(), SinkError>;

    /// As [`put`](Self::put), if nobody else takes it. Who keeps records need not copy it.
    fn put_owned(&mut self, record: CallRecord, explanation: Explanation) -> Result<(), SinkError> {
        self.put(&record, &explanation)
    }

    /// What is put from now on was due at that time of the capture. Who keeps no times need not know.
    fn due(&mut self, _due: Time) {}

    /// As [`put`](Self::put), by whoever knows when the call ended and was due. Who keeps no times takes the record as any other.
    fn put_timed(
        &mut self,
        record: &CallRecord,
        explanation: &Explanation,
        _moments: Moments,
    ) -> Result<(), SinkError> {
        self.put(record, explanation)
    }

    /// Takes a set of identities that are registered together. Most sinks have no place for it.
    fn put_set(&mut self, _set: &ImplicitSet) -> Result<(), SinkError> {
        Ok(())
    }

    /// Records may be brought to their place from now on: whoever holds them back says so before the first. Without that, they may at once.
    fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// How many records and sets may come at once without any being given up.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// A lot is done with. Who holds records back may let them go now.
    fn pass(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Brings everything to its place. Journal totals, if this is the journal.
    fn finish(&mut self) -> Result<Option<Totals>, SinkError>;
}

/// The SQLite journal.
#[derive(Debug)]
pub struct JournalSink {
    writer: Option<Writer>,
    waits: Waits,
}

/// Whether a sink waits for the disk.
#[derive(Debug)]
enum Waits {
    Always,
    /// Once this is set: nothing comes any more that waiting could cost.
    AtTheEnd(Arc<AtomicBool>),
}

impl JournalSink {
    /// Hands records to `writer`, and waits for it where the disk is slower than the capture.
    #[must_use]
    pub const fn new(writer: Writer) -> Self {
        Self {
            writer: Some(writer),
            waits: Waits::Always,
        }
    }

    /// Hands records to `writer` and does not wait before `has_ended` is set: if it cannot write for so long that its queue
    /// is full, the oldest unsaved records are given up and counted. For live capture, where waiting would cost more.
    #[must_use]
    pub const fn live(writer: Writer, has_ended: Arc<AtomicBool>) -> Self {
        Self {
            writer: Some(writer),
            waits: Waits::AtTheEnd(has_ended),
        }
    }

    fn waits(&self) -> bool {
        match &self.waits {
            Waits::Always => true,
            Waits::AtTheEnd(has_ended) => has_ended.load(Ordering::Relaxed),
        }
    }
}

impl RecordSink for JournalSink {
    fn put(&mut self, record: &CallRecord, explanation: &Explanation) -> Result<(), SinkError> {
        self.put_owned(record.clone(), explanation.clone())
    }

    fn put_owned(&mut self, record: CallRecord, explanation: Explanation) -> Result<(), SinkError> {
        match &self.writer {
            Some(writer) if self.waits() => Ok(writer.send_explained(record, explanation)?),
            Some(writer) => {
                writer.try_send_explained(record, explanation);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn put_timed(
        &mut self,
        record: &CallRecord,
        explanation: &Explanation,
        moments: Moments,
    ) -> Result<(), SinkError> {
        match &self.writer {
            Some(writer) if self.waits() => {
                Ok(writer.send_timed(record.clone(), explanation.clone(), moments)?)
            }
            Some(writer) => {
                writer.try_send_timed(record.clone(), explanation.clone(), moments);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn open(&mut self) -> Result<(), SinkError> {
        if let Some(writer) = &self.writer {
            writer.begin();
        }
        Ok(())
    }

    fn room(&self) -> usize {
        match &self.writer {
            Some(writer) if !self.waits() => writer.room(),
            _ => usize::MAX,
        }
    }

    fn put_set(&mut self, set: &ImplicitSet) -> Result<(), SinkError> {
        match &self.writer {
            Some(writer) if self.waits() => Ok(writer.send_set(set.clone())?),
            Some(writer) => {
                writer.try_send_set(set.clone());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        Ok(self.writer.take().map(Writer::finish).transpose()?)
    }
}

/// A table of the missed calls for people, in the order in which they began.
#[derive(Debug, Default)]
pub struct MissedTable {
    rows: Vec<(ringtap_record::Time, [String; 6])>,
}

impl RecordSink for MissedTable {
    fn put(&mut self, record: &CallRecord, _: &Explanation) -> Result<(), SinkError> {
        let missed = record.targets.iter().filter(|target| target.outcome.is_missed());
        self.rows
            .extend(missed.map(|target| (record.started, row(record, target))));
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        self.rows.sort();
        let text = self.text();
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(|source| SinkError::write("standard output", source))?;
        Ok(None)
    }
}

impl MissedTable {
    const HEAD: [&'static str; 6] = ["started (UTC)", "caller", "called", "outcome", "ring s", "notes"];

    fn text(&self) -> String {
        if self.rows.is_empty() {
            return "no missed calls\n".to_owned();
        }
        let mut widths = Self::HEAD.map(|head| head.chars().count());
        for (_, row) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let mut text = line(&mut Self::HEAD.into_iter());
        for (_, row) in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }
}

fn row(record: &CallRecord, target: &Target) -> [String; 6] {
    let caller = match (&record.caller.identity, record.caller.withheld) {
        (_, true) => "withheld".to_owned(),
        (None, false) => "unavailable".to_owned(),
        (Some(identity), false) => identity.to_string(),
    };
    let mut notes: Vec<String> = record.flags.iter().map(|flag| flag.as_str().to_owned()).collect();
    notes.extend(target.diverted_to.iter().map(|to| format!("to {to}")));
    let ring = target.ring_ms;
    [
        record
            .started
            .to_string()
            .get(..19)
            .unwrap_or_default()
            .replace('T', " "),
        caller,
        target.identity.to_string(),
        target.outcome.to_string(),
        format!("{}.{}", ring / 1000, ring % 1000 / 100),
        notes.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap_record::Caller;

    fn record(number: usize) -> CallRecord {
        let at = Time::from_micros(1_700_000_000_000_000);
        serde_json::from_value(serde_json::json!({
            "call": format!("{number:064x}"), "started": at, "ended": at, "caller": Caller::default(),
            "dialled": null, "answered_by": null, "machine": false, "targets": [], "legs": 1, "flags": [],
        }))
        .unwrap()
    }

    /// Catches records of calls that all end with a capture and are given up, though nothing but the disk is left to wait for.
    #[test]
    fn at_the_end_a_live_journal_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let options = ringtap_journal::Options {
            queue: 4,
            batch: 4,
            ..ringtap_journal::Options::default()
        };
        let writer = Writer::spawn(&folder.path().join("journal.db"), options).unwrap();
        let mut sink = JournalSink::live(writer, Arc::new(AtomicBool::new(true)));
        for number in 0..200 {
            sink.put(&record(number), &Explanation::default()).unwrap();
        }
        let totals = sink.finish().unwrap().unwrap();
        assert_eq!((totals.written, totals.lost), (200, 0));
    }
}

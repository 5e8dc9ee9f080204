//! Records held back: those of an heir, as long as its predecessor writes them.
//!
//! Both judge the same calls at the same times of one clock. Those that are due before the change are the predecessor's, those after it the
//! heir's. What is held is as much as may be wanted: the newest. When the gate opens, what was due a little before the change is
//! written too; the journal knows the names of calls and takes none twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ringtap_journal::Totals;
use ringtap_record::{CallRecord, Explanation, ImplicitSet, Time};

use crate::sink::{RecordSink, SinkError};

/// How much is held: far more than a change takes.
pub(super) const HELD_MS: i64 = 160_000;
/// Records and sets that are held at most.
const HELD_MAX: usize = 1 << 18;
/// What part of the journal's room is taken in one go: the rest is for what comes meanwhile.
const ROOM_SHARE: usize = 2;
/// What was due so long before the change is the predecessor's for certain.
const OVERLAP_MS: i64 = 2_000;

/// Whether records may pass, and from when on.
#[derive(Debug)]
pub(in crate::live) struct Gate(AtomicI64);

impl Gate {
    pub(in crate::live) fn shut() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(i64::MAX)))
    }

    /// The sink, behind this gate.
    pub(in crate::live) fn hold(self: &Arc<Self>, inner: Box<dyn RecordSink>) -> Box<dyn RecordSink> {
        Box::new(Held::new(inner, self))
    }

    /// The predecessor has written what was due until then.
    pub(super) fn open(&self, until: Time) {
        self.0
            .store(until.plus_ms(-OVERLAP_MS).as_micros(), Ordering::Release);
    }

    /// The predecessor has ended without saying what it has written: all that is held may pass.
    pub(super) fn open_wide(&self) {
        self.0.store(i64::MIN, Ordering::Release);
    }

    fn from(&self) -> Option<Time> {
        let from = self.0.load(Ordering::Acquire);
        (from < i64::MAX).then(|| Time::from_micros(from))
    }
}

/// A sink behind a gate.
struct Held {
    inner: Box<dyn RecordSink>,
    gate: Arc<Gate>,
    is_open: bool,
    due: Time,
    kept: VecDeque<(Time, Kept)>,
}

enum Kept {
    Record(Box<(CallRecord, Explanation)>),
    Set(ImplicitSet),
}

impl Held {
    fn new(inner: Box<dyn RecordSink>, gate: &Arc<Gate>) -> Self {
        Self {
            inner,
            gate: Arc::clone(gate),
            is_open: false,
            due: Time::MIN,
            kept: VecDeque::new(),
        }
    }

    /// Lets go what is held, if the gate is open. Whether nothing is held any more.
    fn look(&mut self) -> Result<bool, SinkError> {
        if self.is_open && self.kept.is_empty() {
            return Ok(true);
        }
        let Some(from) = self.gate.from() else {
            return Ok(false);
        };
        if !self.is_open {
            self.is_open = true;
            self.kept.retain(|(due, _)| *due >= from);
            tracing::debug!(held = self.kept.len(), "records that were held back are written");
            self.inner.open()?;
        }
        // All at once would be more than the journal's queue takes, and it gives up what it has no room for.
        self.release(self.inner.room() / ROOM_SHARE)?;
        Ok(self.kept.is_empty())
    }

    /// Lets so many go, the oldest first.
    fn release(&mut self, most: usize) -> Result<(), SinkError> {
        for _ in 0..most {
            let Some((due, kept)) = self.kept.pop_front() else {
                break;
            };
            self.inner.due(due);
            match kept {
                Kept::Record(kept) => self.inner.put(&kept.0, &kept.1)?,
                Kept::Set(set) => self.inner.put_set(&set)?,
            }
        }
        self.inner.due(self.due);
        Ok(())
    }

    fn keep(&mut self, kept: Kept) -> Result<(), SinkError> {
        if self.is_open {
            // What has no place here is the journal's affair, which counts what it loses.
            if self.kept.len() >= HELD_MAX {
                self.release(1)?;
            }
            self.kept.push_back((self.due, kept));
            return Ok(());
        }
        let horizon = self.due.plus_ms(-HELD_MS);
        while let Some((due, _)) = self.kept.front()
            && (*due < horizon || self.kept.len() >= HELD_MAX)
        {
            self.kept.pop_front();
        }
        self.kept.push_back((self.due, kept));
        Ok(())
    }
}

impl RecordSink for Held {
    fn due(&mut self, due: Time) {
        self.due = due;
        if self.is_open && self.kept.is_empty() {
            self.inner.due(due);
        }
    }

    fn put(&mut self, record: &CallRecord, explanation: &Explanation) -> Result<(), SinkError> {
        if self.look()? {
            return self.inner.put(record, explanation);
        }
        self.keep(Kept::Record(Box::new((record.clone(), explanation.clone()))))
    }

    fn put_set(&mut self, set: &ImplicitSet) -> Result<(), SinkError> {
        if self.look()? {
            return self.inner.put_set(set);
        }
        self.keep(Kept::Set(set.clone()))
    }

    fn pass(&mut self) -> Result<(), SinkError> {
        self.look().map(drop)
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        if self.gate.from().is_some() {
            self.look()?;
            self.release(self.kept.len())?;
        }
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use parking_lot::Mutex;
    use ringtap_journal::Writer;

    use super::*;
    use crate::sink::JournalSink;

    type Log = Arc<Mutex<Vec<(Time, String)>>>;

    struct Noted(Log, Time);

    impl RecordSink for Noted {
        fn due(&mut self, due: Time) {
            self.1 = due;
        }

        fn open(&mut self) -> Result<(), SinkError> {
            self.0.lock().push((Time::MIN, "opened".into()));
            Ok(())
        }

        fn put(&mut self, record: &CallRecord, _: &Explanation) -> Result<(), SinkError> {
            self.0.lock().push((self.1, record.call.to_string()));
            Ok(())
        }

        fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
            Ok(None)
        }
    }

    fn record(name: &str) -> CallRecord {
        serde_json::from_value(serde_json::json!({
            "call": name, "started": "2024-05-06T02:23:41.000000Z", "ended": "2024-05-06T02:24:06.050000Z",
            "caller": {"identity": null, "name": null, "name_source": "none", "withheld": true}, "dialled": null,
            "answered_by": null, "machine": false, "targets": [], "legs": 1, "flags": [],
        }))
        .unwrap()
    }

    fn at(ms: i64) -> Time {
        Time::from_micros(1_714_962_221_000_000).plus_ms(ms)
    }

    /// Catches a record that is written while the predecessor writes, or a journal that is opened and brought up to date then; a record that is lost at
    /// the change, written twice or dated wrong, or that waits for the next call; and a memory without bounds.
    #[test]
    fn what_is_due_after_the_change_is_written() {
        let log = Log::default();
        let gate = Gate::shut();
        let mut held = Held::new(Box::new(Noted(Arc::clone(&log), Time::MIN)), &gate);
        let story = Explanation::default();
        for (ms, name) in [
            (0, "old"),
            (170_000, "theirs"),
            (175_000, "both"),
            (176_000, "ours"),
        ] {
            held.due(at(ms));
            held.put(&record(name), &story).unwrap();
            held.pass().unwrap();
        }
        assert_eq!(held.kept.len(), 3, "what is old is forgotten");
        assert!(log.lock().is_empty());
        gate.open(at(175_500));
        held.due(at(177_000));
        held.pass().unwrap();
        let opened = (Time::MIN, "opened".into());
        assert_eq!(
            *log.lock(),
            [opened, (at(175_000), "both".into()), (at(176_000), "ours".into())]
        );
        held.put(&record("later"), &story).unwrap();
        held.finish().unwrap();
        let last = log.lock().last().cloned();
        assert_eq!((log.lock().len(), last), (4, Some((at(177_000), "later".into()))));
    }

    /// Catches records that neither process writes, for the predecessor was killed with them in its hands.
    #[test]
    fn after_a_death_all_that_is_held_is_written() {
        let log = Log::default();
        let gate = Gate::shut();
        let mut held = Held::new(Box::new(Noted(Arc::clone(&log), Time::MIN)), &gate);
        for (ms, name) in [(0, "unwritten"), (30_000, "ours")] {
            held.due(at(ms));
            held.put(&record(name), &Explanation::default()).unwrap();
        }
        gate.open_wide();
        held.pass().unwrap();
        let written = log.lock().split_off(1);
        assert_eq!(
            written,
            [(at(0), "unwritten".into()), (at(30_000), "ours".into())]
        );
    }

    /// Catches records that are lost because all that was held goes to the journal at once, while that is only being opened.
    #[test]
    fn what_is_held_is_let_go_as_the_journal_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let options = ringtap_journal::Options {
            queue: 16,
            batch: 8,
            ..ringtap_journal::Options::default()
        };
        let writer = Writer::spawn_waiting(&folder.path().join("journal.db"), options).unwrap();
        let has_ended = Arc::new(AtomicBool::new(false));
        let gate = Gate::shut();
        let journal = Box::new(JournalSink::live(writer, Arc::clone(&has_ended)));
        let mut held = Held::new(journal, &gate);
        let story = Explanation::default();
        for number in 0..500 {
            held.put(&record(&format!("held {number}")), &story).unwrap();
        }
        gate.open_wide();
        let mut later = 0;
        while !held.kept.is_empty() {
            // In their order, with what comes meanwhile.
            if later < 20 {
                held.put(&record(&format!("later {later}")), &story).unwrap();
                later += 1;
            }
            held.pass().unwrap();
            std::thread::yield_now();
        }
        has_ended.store(true, Ordering::Relaxed);
        let totals = held.finish().unwrap().unwrap();
        assert_eq!((totals.written, totals.lost), (500 + later, 0));
    }

    /// Catches an heir that gives up before the change and writes all the same.
    #[test]
    fn who_never_takes_over_writes_nothing() {
        let log = Log::default();
        let mut held = Held::new(Box::new(Noted(Arc::clone(&log), Time::MIN)), &Gate::shut());
        held.put(&record("theirs"), &Explanation::default()).unwrap();
        held.finish().unwrap();
        assert!(log.lock().is_empty());
    }
}

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
const HELD_MS: i64 = 60_000;
/// Records and sets that are held at most.
const HELD_MAX: usize = 1 << 18;
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

    /// Lets go what is held, if the gate is open.
    fn look(&mut self) -> Result<bool, SinkError> {
        if self.is_open {
            return Ok(true);
        }
        let Some(from) = self.gate.from() else {
            return Ok(false);
        };
        self.is_open = true;
        let mut passed = 0_u64;
        for (due, kept) in std::mem::take(&mut self.kept) {
            if due < from {
                continue;
            }
            passed += 1;
            self.inner.due(due);
            match kept {
                Kept::Record(kept) => self.inner.put(&kept.0, &kept.1)?,
                Kept::Set(set) => self.inner.put_set(&set)?,
            }
        }
        self.inner.due(self.due);
        tracing::debug!(passed, "records that were held back are written");
        Ok(true)
    }

    fn keep(&mut self, kept: Kept) {
        let horizon = self.due.plus_ms(-HELD_MS);
        while let Some((due, _)) = self.kept.front()
            && (*due < horizon || self.kept.len() >= HELD_MAX)
        {
            self.kept.pop_front();
        }
        self.kept.push_back((self.due, kept));
    }
}

impl RecordSink for Held {
    fn due(&mut self, due: Time) {
        self.due = due;
        if self.is_open {
            self.inner.due(due);
        }
    }

    fn put(&mut self, record: &CallRecord, explanation: &Explanation) -> Result<(), SinkError> {
        if self.look()? {
            return self.inner.put(record, explanation);
        }
        self.keep(Kept::Record(Box::new((record.clone(), explanation.clone()))));
        Ok(())
    }

    fn put_set(&mut self, set: &ImplicitSet) -> Result<(), SinkError> {
        if self.look()? {
            return self.inner.put_set(set);
        }
        self.keep(Kept::Set(set.clone()));
        Ok(())
    }

    fn pass(&mut self) -> Result<(), SinkError> {
        self.look().map(drop)
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        self.look()?;
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    type Log = Arc<Mutex<Vec<(Time, String)>>>;

    struct Noted(Log, Time);

    impl RecordSink for Noted {
        fn due(&mut self, due: Time) {
            self.1 = due;
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

    /// Catches a record that is written while the predecessor writes, that is lost at the change, written twice or dated wrong, or that waits for the next
    /// call; and a memory without bounds.
    #[test]
    fn what_is_due_after_the_change_is_written() {
        let log = Log::default();
        let gate = Gate::shut();
        let mut held = Held::new(Box::new(Noted(Arc::clone(&log), Time::MIN)), &gate);
        let story = Explanation::default();
        for (ms, name) in [(0, "old"), (70_000, "theirs"), (75_000, "both"), (76_000, "ours")] {
            held.due(at(ms));
            held.put(&record(name), &story).unwrap();
            held.pass().unwrap();
        }
        assert_eq!(held.kept.len(), 3, "what is old is forgotten");
        assert!(log.lock().is_empty());
        gate.open(at(75_500));
        held.due(at(77_000));
        held.pass().unwrap();
        assert_eq!(
            *log.lock(),
            [(at(75_000), "both".into()), (at(76_000), "ours".into())]
        );
        held.put(&record("later"), &story).unwrap();
        held.finish().unwrap();
        let last = log.lock().last().cloned();
        assert_eq!((log.lock().len(), last), (3, Some((at(77_000), "later".into()))));
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

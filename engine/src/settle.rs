//! The settler's thread: closed legs and registrations in over a channel, records and learned sets out to the
//! sinks.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use ringtap_calls::Settler;
use ringtap_calls::learner::LearnerCounters;
use ringtap_calls::settler::SettlerCounters;
use ringtap_journal::Totals;
use ringtap_record::{CallRecord, Outcome};

use crate::sink::{RecordSink, SinkError};
use crate::worker::{Lot, Shared};

/// Lots of closed legs that may wait. A lot is what one worker closed in one tick.
const LOTS_MAX: usize = 64;

/// What the settler did.
#[derive(Debug, Default)]
pub struct Settled {
    /// Legs and calls.
    pub counters: SettlerCounters,
    /// What was learned of registrations.
    pub learned: LearnerCounters,
    /// Records handed to the sinks.
    pub records: u64,
    /// Targets by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<u64>,
    /// What the journal says, if there is one.
    pub journal: Option<Totals>,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct SettlerThread {
    sender: Sender<Lot>,
    thread: JoinHandle<Result<Settled, SinkError>>,
}

impl SettlerThread {
    /// Starts it. With `keep_all` answered calls are recorded too.
    pub fn spawn(
        shared: Arc<Shared>,
        sinks: Vec<Box<dyn RecordSink>>,
        keep_all: bool,
    ) -> std::io::Result<Self> {
        let (sender, lots) = bounded(LOTS_MAX);
        let work = Work {
            shared,
            sinks,
            keep_all,
            settled: Settled::default(),
        };
        let thread = thread::Builder::new()
            .name("settler".to_owned())
            .spawn(move || work.run(&lots))?;
        Ok(Self { sender, thread })
    }

    /// Where workers send the legs they closed and the registrations they heard of.
    #[must_use]
    pub const fn sender(&self) -> &Sender<Lot> {
        &self.sender
    }

    /// Waits until every leg sent so far is settled and recorded.
    pub fn finish(self) -> Result<Settled, SinkError> {
        drop(self.sender);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    sinks: Vec<Box<dyn RecordSink>>,
    keep_all: bool,
    settled: Settled,
}

impl Work {
    fn run(mut self, lots: &Receiver<Lot>) -> Result<Settled, SinkError> {
        let mut settler = Settler::default();
        self.settled.outcomes = vec![0; Outcome::ALL.len()];
        // A sink that fails ends the thread, and so does the last reader that went away; senders notice
        // because the channel closes.
        for lot in lots {
            // First what was told: a leg of this lot began no earlier than its registration.
            for registration in &lot.registrations {
                settler.learner.learn(registration, &self.shared.rules);
            }
            for set in settler.learner.take_sets() {
                self.give(|sink| sink.put_set(&set))?;
            }
            for leg in lot.legs {
                if let Some(record) = settler.settle(leg, &self.shared.rules) {
                    self.record(&record)?;
                }
            }
            if self.sinks.is_empty() {
                break;
            }
        }
        self.settled.counters = settler.counters();
        self.settled.learned = settler.learner.counters();
        for sink in &mut self.sinks {
            match sink.finish() {
                Ok(Some(totals)) => self.settled.journal = Some(totals),
                Ok(None) | Err(SinkError::NotRead) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.settled)
    }

    /// Counts a record and gives it on if it is one that is kept.
    fn record(&mut self, record: &CallRecord) -> Result<(), SinkError> {
        for target in &record.targets {
            if let Some(count) = self.settled.outcomes.get_mut(target.outcome as usize) {
                *count += 1;
            }
        }
        if !(self.keep_all || record.is_missed_by_somebody()) || self.sinks.is_empty() {
            return Ok(());
        }
        self.settled.records += 1;
        self.give(|sink| sink.put(record))
    }

    /// Gives something to every sink. One whose reader went away has done its work.
    fn give(&mut self, put: impl Fn(&mut dyn RecordSink) -> Result<(), SinkError>) -> Result<(), SinkError> {
        let mut failed = None;
        self.sinks.retain_mut(|sink| match put(sink.as_mut()) {
            Err(SinkError::NotRead) => false,
            Err(error) => {
                failed = Some(error);
                true
            }
            Ok(()) => true,
        });
        failed.map_or(Ok(()), Err)
    }
}

//! The settler's thread: closed legs and registrations in over a channel, records and learned sets out to the
//! sinks.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use ringtap_calls::learner::LearnerCounters;
use ringtap_calls::settler::SettlerCounters;
use ringtap_calls::{Harvest, Judged, Learner, Settler};
use ringtap_journal::Totals;
use ringtap_record::{Outcome, Time};

use crate::shown::Shown;
use crate::sink::{RecordSink, SinkError};
use crate::worker::Shared;

/// Lots that may wait.
const LOTS_MAX: usize = 64;

/// Outcomes that are counted.
const OUTCOMES: usize = Outcome::ALL.len();

/// What the leg table gave at one tick.
#[derive(Debug)]
pub struct Lot {
    /// Capture time of the tick; `None` at the end of a capture, when nothing stays open.
    pub now: Option<Time>,
    /// Legs closed, and news of those that are open.
    pub harvest: Harvest,
}

/// What the settler did.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Legs and calls.
    pub counters: SettlerCounters,
    /// What was learned of registrations.
    pub learned: LearnerCounters,
    /// Records handed to the sinks.
    pub records: u64,
    /// Targets by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; OUTCOMES],
    /// What the mirror showed of the legs that were closed.
    pub shown: Shown,
    /// What the journal says, if there is one.
    pub journal: Option<Totals>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Everything that was due up to this time of the capture is settled and handed to the sinks; `None` if nothing is yet.
    pub until: Option<Time>,
    /// Lots that wait.
    pub waiting: usize,
}

/// Is told, by the settler's thread, after each lot what it has done, and may look at the settler.
pub type Told = Box<dyn FnMut(&Settled, Progress, &Settler) + Send>;

/// The handle of the thread.
#[derive(Debug)]
pub struct SettlerThread {
    sender: Sender<Lot>,
    thread: JoinHandle<Result<Settled, SinkError>>,
}

impl SettlerThread {
    /// Starts it. It knows already what `learned` does. With `keep_all` answered calls are recorded too. After each lot `told` is, if there is
    /// somebody to tell.
    pub fn spawn(
        shared: Arc<Shared>,
        learned: Learner,
        sinks: Vec<Box<dyn RecordSink>>,
        keep_all: bool,
        told: Option<Told>,
    ) -> std::io::Result<Self> {
        let (sender, lots) = bounded(LOTS_MAX);
        let work = Work {
            shared,
            sinks,
            keep_all,
            told,
            settled: Settled::default(),
        };
        let thread = thread::Builder::new()
            .name("settler".to_owned())
            .spawn(move || work.run(learned, &lots))?;
        Ok(Self { sender, thread })
    }

    /// Where lots are sent.
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
    told: Option<Told>,
    settled: Settled,
}

impl Work {
    fn run(mut self, learned: Learner, lots: &Receiver<Lot>) -> Result<Settled, SinkError> {
        let mut settler = Settler::new(&self.shared.table)
            .knowing(learned)
            .explaining_all(self.keep_all || self.shared.rules.short_answer_ms > 0);
        let shared = Arc::clone(&self.shared);
        let (mut records, mut progress) = (Vec::new(), Progress::default());
        // A sink that fails ends the thread, and so does the last reader that went away; senders notice
        // because the channel closes.
        for Lot { now, harvest } in lots {
            for leg in &harvest.closed {
                self.settled.shown.count(leg);
            }
            if let Some(due) = now {
                self.sinks.iter_mut().for_each(|sink| sink.due(due));
            }
            settler.settle(now.unwrap_or(Time::MAX), harvest, &shared.rules, &mut records);
            if now.is_none() {
                settler.finish(&shared.rules, &mut records);
            }
            for set in settler.learner.take_sets() {
                self.give_sinks(|sink| sink.put_set(&set))?;
            }
            for judged in records.drain(..) {
                self.take(&judged)?;
            }
            self.give_sinks(|sink| sink.pass())?;
            self.settled.counters = settler.counters();
            self.settled.learned = settler.learner.counters();
            if let Some(told) = &mut self.told {
                // At the end of a capture, where there is no time, it has got no further.
                progress = Progress {
                    until: now.or(progress.until),
                    waiting: lots.len(),
                };
                told(&self.settled, progress, &settler);
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

    /// Counts a record and keeps it if it is one to keep.
    fn take(&mut self, judged: &Judged) -> Result<(), SinkError> {
        let record = &judged.record;
        for target in &record.targets {
            if let Some(count) = self.settled.outcomes.get_mut(target.outcome as usize) {
                *count += 1;
            }
        }
        let short_ms = self.shared.rules.short_answer_ms;
        let is_short = record.talk_ms.is_some_and(|ms| ms <= short_ms && short_ms > 0);
        if !(self.keep_all || is_short || record.is_missed_by_somebody()) || self.sinks.is_empty() {
            return Ok(());
        }
        self.settled.records += 1;
        self.give_sinks(|sink| sink.put(record, &judged.explanation))
    }

    /// Gives something to every sink. One whose reader went away has done its work.
    fn give_sinks(
        &mut self,
        put: impl Fn(&mut dyn RecordSink) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
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

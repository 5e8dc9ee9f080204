//! The settler's thread: closed legs and registrations in over a channel, records and learned sets out to the
//! sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Whether all that was to be sent has been.
    is_whole: Arc<AtomicBool>,
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
        let is_whole = Arc::new(AtomicBool::new(false));
        let work = Work {
            is_whole: Arc::clone(&is_whole),
            shared,
            sinks,
            keep_all,
            told,
            settled: Settled::default(),
        };
        let thread = thread::Builder::new()
            .name("settler".to_owned())
            .spawn(move || work.run(learned, &lots))?;
        Ok(Self {
            sender,
            is_whole,
            thread,
        })
    }

    /// Where lots are sent.
    #[must_use]
    pub const fn sender(&self) -> &Sender<Lot> {
        &self.sender
    }

    /// Waits until every leg sent so far is settled and recorded. Without it the sinks are dropped when nobody can send any more, and what
    /// they made of half the legs is not taken for all of it.
    pub fn finish(self) -> Result<Settled, SinkError> {
        self.is_whole.store(true, Ordering::Release);
        drop(self.sender);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Work {
    is_whole: Arc<AtomicBool>,
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
                self.take(judged)?;
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
        if !self.is_whole.load(Ordering::Acquire) {
            return Ok(self.settled);
        }
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
    fn take(&mut self, judged: Judged) -> Result<(), SinkError> {
        let Judged { record, explanation } = judged;
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
        // Nearly always there is one sink, which is spared a copy.
        let only = self.sinks.len() == 1;
        if !only {
            return self.give_sinks(|sink| sink.put(&record, &explanation));
        }
        let mut owned = Some((record, explanation));
        self.give_sinks(|sink| match owned.take() {
            Some((record, explanation)) => sink.put_owned(record, explanation),
            None => Ok(()),
        })
    }

    /// Gives something to every sink. One whose reader went away has done its work.
    fn give_sinks(
        &mut self,
        mut put: impl FnMut(&mut dyn RecordSink) -> Result<(), SinkError>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap_calls::{LegTable, Rules};
    use ringtap_record::{CallRecord, Explanation};

    struct Finished(Arc<AtomicBool>);

    impl RecordSink for Finished {
        fn put(&mut self, _: &CallRecord, _: &Explanation) -> Result<(), SinkError> {
            Ok(())
        }

        fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
            self.0.store(true, Ordering::Release);
            Ok(None)
        }
    }

    /// Catches a file of records that comes to its place though whoever sent the legs failed in their midst.
    #[test]
    fn what_is_not_whole_is_not_finished() {
        for is_whole in [true, false] {
            let shared = Arc::new(Shared {
                table: LegTable::new(10, 1),
                rules: Rules::new(&ringtap_config::from_toml("", "defaults").unwrap()),
            });
            let finished = Arc::new(AtomicBool::new(false));
            let sink = Box::new(Finished(Arc::clone(&finished)));
            let settler = SettlerThread::spawn(shared, Learner::default(), vec![sink], false, None).unwrap();
            if is_whole {
                settler.finish().unwrap();
            } else {
                let SettlerThread { sender, thread, .. } = settler;
                drop(sender);
                thread.join().unwrap().unwrap();
            }
            assert_eq!(finished.load(Ordering::Acquire), is_whole);
        }
    }
}

//! The workers of a replay: one in the reader's thread, or several in threads of their own.
//!
//! Work is given out epoch by epoch, and each call returns when all workers are done with it: that is what makes
//! a replay give the same records on any number of cores. When an epoch ends is left to [`crate::replay`].

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};
use ringtap_calls::{EarlyAcks, Harvest};
use ringtap_record::Time;

use crate::asides::Asides;
use crate::batches::BatchTimes;
use crate::capture::Chunk;
use crate::cores;
use crate::decode::Decoder;
use crate::decode::duplicates::Sieve;
use crate::replay::ReplayError;
use crate::worker::{Shared, Taken, Worker, WorkerCounters};

/// The workers, and who puts together what any of them sets aside: what belongs together may fall
/// into the shares of several workers.
pub(crate) struct Crew {
    workers: Workers,
    asides: Asides,
    /// ACKs of the present epoch that came before their legs.
    early_acks: EarlyAcks,
}

/// The workers: one in this thread, or several in threads of their own.
enum Workers {
    One(Box<Worker>),
    Many(Box<Sieve>, Vec<Hand>),
}

/// A worker in its own thread.
struct Hand {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: thread::JoinHandle<Box<Worker>>,
}

enum Job {
    /// These frames, without the copies at these places, which ascend.
    Process(Arc<Chunk>, Range<usize>, Vec<usize>),
    Expire(Time),
}

/// What a job led to.
#[derive(Default)]
struct Done {
    /// Legs that were closed, or that had to leave, and news of others; early ACKs.
    taken: Taken,
    /// Fragments by their place in the chunk, in that order.
    asides: Vec<usize>,
}

impl Crew {
    /// One worker on each of these cores; none named: one worker in this thread, not pinned.
    /// `timed`: how long batches take is wanted.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        decoder: &Decoder,
        cores: &[usize],
        timed: bool,
    ) -> Result<Self, ReplayError> {
        Ok(Self {
            workers: Workers::new(shared, decoder, cores, timed)?,
            asides: Asides::new(decoder),
            early_acks: EarlyAcks::default(),
        })
    }

    /// Joins the messages of these frames; returns when all are joined. The legs that had to leave a full
    /// table meanwhile.
    pub(crate) fn process(&mut self, chunk: &Arc<Chunk>, frames: Range<usize>, shared: &Shared) -> Harvest {
        let Done { mut taken, asides } = self.workers.process(chunk, frames, shared);
        if !asides.is_empty() {
            let frames = asides.into_iter().filter_map(|at| chunk.frame(at));
            taken.append(self.asides.process(frames, shared));
        }
        self.keep_acks(taken)
    }

    /// Closes what is due by `now`, and tells what is new of the rest. What is left of datagrams whose other
    /// parts do not come belongs to the time before, and so do ACKs that came before their legs.
    pub(crate) fn expire(&mut self, now: Time, shared: &Shared) -> Harvest {
        let taken = self.asides.advance(now, shared);
        let mut harvest = self.join_all(taken, shared);
        harvest.append(self.workers.expire(now, shared));
        harvest
    }

    /// Nothing will come that belongs to what came before: gives up what is not whole, and joins what has waited.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Harvest {
        let taken = self.asides.give_up(shared);
        self.join_all(taken, shared)
    }

    fn keep_acks(&mut self, taken: Taken) -> Harvest {
        self.early_acks.append(taken.early_acks);
        taken.harvest
    }

    fn join_all(&mut self, taken: Taken, shared: &Shared) -> Harvest {
        let harvest = self.keep_acks(taken);
        let early = std::mem::take(&mut self.early_acks);
        shared.table.join_early_acks(early, &shared.rules);
        harvest
    }

    /// Ends the threads. What all workers counted, and how long their batches took, if that was wanted.
    pub(crate) fn finish(self) -> (WorkerCounters, Option<BatchTimes>) {
        let (mut sum, times) = self.workers.finish();
        self.asides.add_to(&mut sum);
        (sum, times)
    }
}

impl Workers {
    fn new(
        shared: &Arc<Shared>,
        decoder: &Decoder,
        cores: &[usize],
        timed: bool,
    ) -> Result<Self, ReplayError> {
        let workers = cores.len();
        if workers <= 1 {
            if let Some(core) = cores.first() {
                cores::pin(*core)?;
            }
            let worker = Worker::new(decoder.clone()).timed(timed);
            return Ok(Self::One(Box::new(worker)));
        }
        let once = decoder.clone().with_duplicates(0);
        let hands = cores.iter().enumerate().map(|(share, core)| {
            Hand::start(
                share,
                workers,
                *core,
                Worker::new(once.clone()).timed(timed),
                Arc::clone(shared),
            )
        });
        let hands = hands.collect::<Result<_, _>>()?;
        Ok(Self::Many(Box::new(Sieve::new(decoder)), hands))
    }

    fn process(&mut self, chunk: &Arc<Chunk>, frames: Range<usize>, shared: &Shared) -> Done {
        match self {
            Self::One(worker) => process(worker, chunk, frames, &[], shared),
            Self::Many(sieve, hands) => {
                let each = frames.len().div_ceil(hands.len()).max(1);
                let mut busy = Vec::with_capacity(hands.len());
                for (hand, from) in hands.iter().zip(frames.clone().step_by(each)) {
                    let part = from..(from + each).min(frames.end);
                    let is_copy = |at: &usize| chunk.frame(*at).is_some_and(|frame| sieve.is_copy(&frame));
                    let copies = part.clone().filter(is_copy).collect();
                    let job = Job::Process(Arc::clone(chunk), part, copies);
                    if hand.jobs.send(job).is_ok() {
                        busy.push(hand);
                    }
                }
                gather(busy)
            }
        }
    }

    fn expire(&mut self, now: Time, shared: &Shared) -> Harvest {
        match self {
            Self::One(worker) => {
                let mut harvest = Harvest::default();
                worker.expire(0, 1, now, shared, &mut harvest);
                harvest
            }
            Self::Many(_, hands) => {
                let asked = hands
                    .iter()
                    .filter(|hand| hand.jobs.send(Job::Expire(now)).is_ok());
                gather(asked.collect()).taken.harvest
            }
        }
    }

    fn finish(self) -> (WorkerCounters, Option<BatchTimes>) {
        let mut sum = WorkerCounters::default();
        let mut times: Option<BatchTimes> = None;
        let mut add = |worker: &Worker| {
            sum.merge(worker.counters());
            if let Some(its) = worker.times() {
                times.get_or_insert_default().merge(its);
            }
        };
        match self {
            Self::One(worker) => add(&worker),
            Self::Many(sieve, hands) => {
                for hand in hands {
                    drop(hand.jobs);
                    match hand.thread.join() {
                        Ok(worker) => add(&worker),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                sum.frames.merge(sieve.counters());
                sum.bytes += sieve.bytes();
            }
        }
        (sum, times)
    }
}

impl Hand {
    fn start(
        share: usize,
        of: usize,
        core: usize,
        mut worker: Worker,
        shared: Arc<Shared>,
    ) -> Result<Self, ReplayError> {
        let (jobs, inbox) = bounded::<Job>(1);
        let (outbox, done) = bounded(1);
        let (pinned, is_pinned) = bounded(1);
        let thread = thread::Builder::new()
            .name(format!("worker {core}"))
            .spawn(move || {
                let _starter_gone = pinned.send(cores::pin(core));
                for job in inbox {
                    let mut done = Done::default();
                    match job {
                        Job::Process(chunk, frames, copies) => {
                            done = process(&mut worker, &chunk, frames, &copies, &shared);
                            // Given back before the answer, so that the reader can fill it again.
                            drop(chunk);
                        }
                        Job::Expire(now) => worker.expire(share, of, now, &shared, &mut done.taken.harvest),
                    }
                    if outbox.send(done).is_err() {
                        break;
                    }
                }
                Box::new(worker)
            })?;
        match is_pinned.recv() {
            Ok(Err(error)) => Err(error.into()),
            _ => Ok(Self { jobs, done, thread }),
        }
    }
}

/// `copies` are passed over: whoever found them has counted them.
fn process(
    worker: &mut Worker,
    chunk: &Chunk,
    frames: Range<usize>,
    copies: &[usize],
    shared: &Shared,
) -> Done {
    let kept = || {
        let mut copies = copies.iter().peekable();
        frames
            .clone()
            .filter(move |at| copies.next_if(|copy| *copy == at).is_none())
    };
    worker.process(kept().filter_map(|at| chunk.frame(at)), shared);
    let taken = worker.take();
    let mut asides = worker.asides().iter().peekable();
    let places = kept().enumerate();
    Done {
        taken,
        asides: places
            .filter(|(place, _)| asides.next_if_eq(&place).is_some())
            .map(|(_, at)| at)
            .collect(),
    }
}

/// What the hands give back for the jobs they were given, in the order in which those were given out.
fn gather(busy: Vec<&Hand>) -> Done {
    let mut all = Done::default();
    for mut done in busy.into_iter().filter_map(|hand| hand.done.recv().ok()) {
        all.taken.append(done.taken);
        all.asides.append(&mut done.asides);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureFile;
    use ringtap_calls::{LegTable, Rules, Settler};
    use ringtap_record::Outcome;
    use ringtap_testkit::{Format, Wire, capture, messages, scenario};

    /// Catches early ACKs that are joined after the legs have been closed, at a tick and at the end of a capture.
    #[test]
    fn an_ack_read_before_its_invite_proves_the_answer() {
        let mut wires = messages(&scenario("S02").unwrap().cases()[0]);
        let start = |wire: &Wire| wire.payload.iter().copied().take(11).collect::<Vec<_>>();
        // The 200 is lost.
        wires.retain(|wire| {
            [&b"ACK"[..], b"INVITE", b"SIP/2.0 180"]
                .iter()
                .any(|word| start(wire).starts_with(word))
        });
        let due = wires[0].time.plus_ms(600_000);
        let bytes = std::io::Cursor::new(capture(&wires, Format::Pcap));
        let mut file = CaptureFile::from_reader("made", Box::new(bytes)).unwrap();
        let mut chunk = Chunk::new();
        assert!(file.next_chunk(&mut chunk).unwrap());
        let chunk = Arc::new(chunk);
        for is_end in [false, true] {
            let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
            let table = LegTable::new(100, 1);
            let shared = Arc::new(Shared { table, rules });
            let decoder = Decoder::new([5060].into_iter().collect());
            let mut crew = Crew::new(&shared, &decoder, &[], false).unwrap();
            // Backwards, so that the ACKs come first.
            let mut harvest = Harvest::default();
            for at in (0..wires.len()).rev() {
                harvest.append(crew.process(&chunk, at..at + 1, &shared));
            }
            if is_end {
                harvest.append(crew.give_up(&shared));
                shared.table.close_all(&shared.rules, &mut harvest.closed);
            } else {
                harvest.append(crew.expire(due, &shared));
            }
            let (mut settler, mut judged) = (Settler::new(&shared.table), Vec::new());
            settler.settle(due, harvest, &shared.rules, &mut judged);
            let outcome = judged[0].record.targets[0].outcome;
            assert_eq!((judged.len(), outcome), (1, Outcome::Answered), "end: {is_end}");
        }
    }
}

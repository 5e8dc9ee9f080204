//! Hands: workers in threads of their own, who help the reader's with a piece of work.
//!
//! Nothing is dealt out: each takes the next small piece, so that a hand whose core is wanted by another thread holds nobody up, and one
//! that wakes too late has missed nothing. The reader's thread works too, and waits only for pieces that a hand is in the midst of.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use parking_lot::{Condvar, Mutex};

use super::job::{Done, Job};
use crate::cores;
use crate::replay::ReplayError;
use crate::worker::{Shared, Worker};

/// How long the last pieces are waited for without sleeping: what a short piece takes, and what waking up costs. Not longer, for settler and
/// journal may want the core.
const SPIN: Duration = Duration::from_micros(50);

/// The hands, and their board.
#[derive(Debug)]
pub(super) struct Hands {
    board: Arc<Board>,
    threads: Vec<thread::JoinHandle<Worker>>,
}

/// Where they find work, and leave what it led to.
#[derive(Debug, Default)]
struct Board {
    state: Mutex<State>,
    is_posted: Condvar,
    is_left: Condvar,
    /// Hands who are at work. Changes only while the state is locked; read without that.
    busy: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    job: Option<Arc<Job>>,
    done: Done,
    has_ended: bool,
    /// One panicked, and what it had read is gone.
    has_failed: bool,
}

impl Hands {
    /// One on each of these cores.
    pub(super) fn start(
        cores: &[usize],
        shared: &Arc<Shared>,
        worker: impl Fn() -> Worker,
    ) -> Result<Self, ReplayError> {
        let mut hands = Self {
            board: Arc::default(),
            threads: Vec::with_capacity(cores.len()),
        };
        for core in cores {
            hands.add(*core, Arc::clone(shared), worker())?;
        }
        Ok(hands)
    }

    fn add(&mut self, core: usize, shared: Arc<Shared>, worker: Worker) -> Result<(), ReplayError> {
        let board = Arc::clone(&self.board);
        let (pinned, is_pinned) = bounded(1);
        let thread = thread::Builder::new()
            .name(format!("worker {core}"))
            .spawn(move || {
                let _starter_gone = pinned.send(cores::pin(core));
                board.help(worker, &shared)
            })?;
        self.threads.push(thread);
        match is_pinned.recv() {
            Ok(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Does the job together with so many hands, if they come before it is done; returns when it is.
    ///
    /// # Panics
    ///
    /// If one of them did.
    pub(super) fn share(&self, mut job: Job, wanted: usize, worker: &mut Worker, shared: &Shared) -> Done {
        // Half of what each would get.
        job.part = 2 * (wanted + 1);
        let job = Arc::new(job);
        self.board.post(&job, wanted);
        let mut done = job.work(worker, shared);
        self.board.wait();
        let state = &mut *self.board.state.lock();
        assert!(!state.has_failed, "a worker panicked: what it read is missing");
        done.append(std::mem::take(&mut state.done));
        // They are fed in the order of the frames, whoever found them.
        done.asides.sort_unstable();
        done
    }

    /// Ends the threads; gives their workers back.
    pub(super) fn finish(mut self) -> Vec<Worker> {
        self.end();
        let threads = std::mem::take(&mut self.threads).into_iter();
        threads
            .map(|thread| match thread.join() {
                Ok(worker) => worker,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    }

    fn end(&self) {
        self.board.state.lock().has_ended = true;
        self.board.is_posted.notify_all();
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.end();
    }
}

impl Board {
    fn post(&self, job: &Arc<Job>, wanted: usize) {
        self.state.lock().job = Some(Arc::clone(job));
        for _ in 0..wanted {
            self.is_posted.notify_one();
        }
    }

    /// Takes the job down, all of which is taken, and waits for those who are at work on it.
    fn wait(&self) {
        self.state.lock().job = None;
        let until = Instant::now() + SPIN;
        while self.busy.load(Ordering::Acquire) > 0 && Instant::now() < until {
            hint::spin_loop();
        }
        let mut state = self.state.lock();
        while self.busy.load(Ordering::Acquire) > 0 {
            self.is_left.wait(&mut state);
        }
    }

    /// A hand's life.
    fn help(&self, mut worker: Worker, shared: &Shared) -> Worker {
        while let Some(job) = self.join() {
            // Left also by a panic: whoever waits would do so for ever.
            let mut leaving = Leaving {
                board: self,
                done: Done::default(),
            };
            leaving.done = job.work(&mut worker, shared);
            // Given back before the hand leaves, so that the reader can fill the chunk again.
            drop(job);
        }
        worker
    }

    /// Waits for a job and joins it.
    fn join(&self) -> Option<Arc<Job>> {
        let mut state = self.state.lock();
        loop {
            if state.has_ended {
                return None;
            }
            if let Some(job) = state.job.as_ref().filter(|job| !job.is_taken()) {
                self.busy.fetch_add(1, Ordering::AcqRel);
                return Some(Arc::clone(job));
            }
            self.is_posted.wait(&mut state);
        }
    }
}

/// A hand at work.
struct Leaving<'a> {
    board: &'a Board,
    done: Done,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.board.state.lock();
        state.done.append(std::mem::take(&mut self.done));
        state.has_failed |= thread::panicking();
        if self.board.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.board.is_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ringtap_calls::{LegTable, Rules, Settler};
    use ringtap_testkit::{Format, Transport, Wire, capture, capture_over, messages_salted, mutate};

    use ringtap_record::Time;

    use super::super::job::Pieces;
    use super::*;
    use crate::capture::{CaptureFile, Chunk};
    use crate::decode::{DecodeCounters, Decoder};
    use crate::worker::Taken;

    /// All scenarios, each a few seconds after the one before, so that calls are mixed.
    fn wires() -> Vec<Wire> {
        let cases = ringtap_testkit::all();
        let cases = cases.iter().flat_map(|row| row.cases()).enumerate();
        cases.fold(Vec::new(), |all, (at, case)| {
            mutate::interleaved(
                &all,
                &messages_salted(&case, at as u64),
                i64::try_from(at).unwrap() * 3_700_000,
            )
        })
    }

    fn chunk(capture: Vec<u8>) -> Arc<Chunk> {
        let mut file = CaptureFile::from_reader("made", Box::new(Cursor::new(capture))).unwrap();
        let mut chunk = Chunk::with_room(16 << 20);
        assert!(file.next_chunk(&mut chunk).unwrap());
        Arc::new(chunk)
    }

    fn decoder() -> Decoder {
        Decoder::new([5060].into_iter().collect()).with_duplicates(5)
    }

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            table: LegTable::new(10_000, 3),
            rules: Rules::new(&ringtap_config::from_toml("", "defaults").unwrap()),
        })
    }

    /// What was counted, what was set aside, and the records.
    type Outcome = (DecodeCounters, u64, u64, Vec<usize>, Vec<String>);

    fn outcome(workers: &[Worker], taken: Taken, asides: Vec<usize>, shared: &Shared, now: Time) -> Outcome {
        let (mut frames, mut bytes, mut messages) = (DecodeCounters::new(), 0, 0);
        for worker in workers {
            frames.merge(&worker.counters().frames);
            bytes += worker.counters().bytes;
            messages += worker.counters().messages();
        }
        let (mut settler, mut judged) = (Settler::new(&shared.table), Vec::new());
        settler.settle(now, taken.harvest, &shared.rules, &mut judged);
        settler.finish(&shared.rules, &mut judged);
        let mut records: Vec<_> = judged
            .iter()
            .map(|judged| serde_json::to_string(&judged.record).unwrap())
            .collect();
        records.sort();
        (frames, bytes, messages, asides, records)
    }

    fn join_early(taken: &mut Taken, shared: &Shared) {
        let Taken { harvest, early } = taken;
        shared.table.join_early(early, Time::MAX, &shared.rules, harvest);
    }

    fn alone(chunk: &Chunk, now: Time) -> Outcome {
        let (shared, mut worker) = (shared(), Worker::new(decoder()));
        worker.process(chunk.frames(), &shared);
        let asides = worker.asides().to_vec();
        let mut taken = worker.take();
        join_early(&mut taken, &shared);
        shared.table.expire_all(now, &shared.rules, &mut taken.harvest);
        outcome(&[worker], taken, asides, &shared, now)
    }

    /// Does a job with hands alone, whoever of them comes first.
    fn by_hands(hands: &Hands, mut job: Job) -> Done {
        job.part = 4;
        let job = Arc::new(job);
        hands.board.post(&job, hands.len());
        while !job.is_taken() {
            thread::yield_now();
        }
        hands.board.wait();
        assert_eq!(Arc::strong_count(&job), 1, "nobody holds the chunk any more");
        let mut done = std::mem::take(&mut hands.board.state.lock().done);
        done.asides.sort_unstable();
        done
    }

    /// With three hands; `by_all`: the first worker takes part.
    fn together(chunk: &Arc<Chunk>, now: Time, pieces: Pieces, by_all: bool) -> Outcome {
        let (shared, mut first) = (shared(), Worker::new(decoder()));
        let core = *crate::cores::Anywhere::of_now().numbers().first().unwrap();
        let hand = || Worker::new(decoder().with_duplicates(0));
        let hands = Hands::start(&[core; 3], &shared, hand).unwrap();
        let work = |first: &mut Worker, job| match by_all {
            true => hands.share(job, 3, first, &shared),
            false => by_hands(&hands, job),
        };
        // In one epoch: whatever may be joined in any order is.
        let copies = (0..chunk.len()).filter(|at| first.is_copy(&chunk.frame(*at).unwrap()));
        let job = Job::process(Arc::clone(chunk), 0..chunk.len(), copies.collect(), pieces);
        let Done { mut taken, asides } = work(&mut first, job);
        join_early(&mut taken, &shared);
        taken.append(work(&mut first, Job::expire(now, shared.table.shards())).taken);
        let mut workers = hands.finish();
        workers.push(first);
        outcome(&workers, taken, asides, &shared, now)
    }

    /// Catches frames that nobody joins or two do, copies that are joined or counted twice, frames set aside that are named wrongly or out of
    /// their order, shards that are not closed, and what a hand leaves that nobody takes.
    #[test]
    fn several_give_what_one_gives() {
        let wires = wires();
        let now = wires[wires.len() - 1].time.plus_ms(600_000);
        let tcp = Transport::Tcp {
            is_opened: true,
            segment_bytes: Some(700),
            together_us: 0,
        };
        for capture in [
            capture(&mutate::duplicated(&wires), Format::Pcap),
            capture_over(&wires, tcp, 1, Format::Pcap),
        ] {
            let chunk = chunk(capture);
            let wanted = alone(&chunk, now);
            let (records, asides) = (wanted.4.len(), wanted.3.len());
            assert!(
                records > 40 || asides > 500,
                "{} frames, {records} records, {asides} asides",
                chunk.len()
            );
            for (frames_min, frames_max) in [(1, 1), (5, 19), (32, 256)] {
                let pieces = Pieces {
                    frames_min,
                    frames_max,
                    ..Pieces::default()
                };
                for by_all in [false, true] {
                    assert_eq!(together(&chunk, now, pieces, by_all), wanted, "{pieces:?}");
                }
            }
        }
    }
    /// Catches a hand whose panic nobody notices: what it had read would be missing from every record to come.
    #[test]
    fn a_hand_that_panics_is_noticed() {
        let (shared, mut first) = (shared(), Worker::new(decoder()));
        let hands = Hands::start(&[], &shared, || Worker::new(decoder())).unwrap();
        let board = Arc::clone(&hands.board);
        let panics = thread::spawn(move || {
            board.busy.fetch_add(1, Ordering::AcqRel);
            let _leaving = Leaving {
                board: &board,
                done: Done::default(),
            };
            std::panic::resume_unwind(Box::new("a fault"));
        });
        assert!(panics.join().is_err());
        let job = || Job::expire(Time::MIN, shared.table.shards());
        let shares = AssertUnwindSafe(|| hands.share(job(), 0, &mut first, &shared));
        assert!(catch_unwind(shares).is_err());
    }
}

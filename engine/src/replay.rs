//! Capture files through the whole pipeline.
//!
//! Time is capture time. It is cut into epochs; at each boundary, when every message before it has been
//! joined and none after it, legs are closed whose deadline has come. Because boundaries are fixed points
//! of capture time, a replay gives the same records at any speed and on any number of cores.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use ringtap_calls::LegFacts;
use ringtap_calls::LegTable;
use ringtap_calls::table::TableCounters;
use ringtap_record::Time;
use thiserror::Error;

use crate::capture::pcap::{CaptureError, CaptureFile};
use crate::capture::{Chunk, Frame};
use crate::decode::Decoder;
use crate::settle::{Settled, SettlerThread};
use crate::sink::{RecordSink, SinkError};
use crate::worker::{Shared, Worker, WorkerCounters};

/// Width of an epoch: how finely deadlines are kept.
const EPOCH_US: i64 = 128_000;
/// A file that begins this much before the end of the one before is another capture, not its continuation.
const REWIND_US: i64 = 1_000_000;

/// How fast to replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it was captured.
    Times(f64),
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Speed.
    pub speed: Speed,
    /// Cores to pin one worker each to; empty: one worker, not pinned.
    pub cores: Vec<usize>,
    /// Legs tracked at once.
    pub legs_max: usize,
    /// Record answered calls too.
    pub keep_all: bool,
}

/// A replay failed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Reading a capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Writing records.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A core that does not exist, or that this process may not use.
    #[error("cannot use core {core}: {source} (--cores)")]
    Core {
        /// Its number.
        core: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a replay saw and did.
#[derive(Debug)]
pub struct Outcome {
    /// Counters of all workers.
    pub seen: WorkerCounters,
    /// Counters of the leg table.
    pub table: TableCounters,
    /// What the settler did.
    pub settled: Settled,
    /// Files whose last packet was cut off.
    pub truncated: Vec<PathBuf>,
    /// First and last capture time.
    pub span: Option<(Time, Time)>,
    /// Time on the wall.
    pub elapsed: Duration,
}

/// How far a replay is: octets read of the file that is being read.
pub type Progress<'a> = &'a mut dyn FnMut(&Path, u64);

/// Replays files one after the other into the sinks.
pub fn replay(
    files: &[PathBuf],
    shared: Shared,
    decoder: &Decoder,
    options: &Options,
    sinks: Vec<Box<dyn RecordSink>>,
    progress: Progress<'_>,
) -> Result<Outcome, ReplayError> {
    let began = Instant::now();
    // Opened first, so that a name that is wrong is told before anything is written.
    let files = files
        .iter()
        .map(|path| Ok((path, CaptureFile::open(path)?)))
        .collect::<Result<Vec<_>, CaptureError>>()?;
    let shared = Arc::new(shared);
    let settler = SettlerThread::spawn(Arc::clone(&shared), sinks, options.keep_all)?;
    let mut run = Run {
        crew: Crew::new(&shared, decoder, options)?,
        shared: &shared,
        legs: settler.sender().clone(),
        pace: Pace::new(options.speed),
        epoch: None,
        span: None,
    };
    let mut truncated = Vec::new();
    let mut failed = None;
    for (path, mut file) in files {
        let read = run.file(&mut file, &mut |at| progress(path, at));
        if file.truncated_tail() {
            truncated.push(path.clone());
        }
        if let Err(error) = read {
            failed = Some(error);
            break;
        }
    }
    run.end();
    let (span, seen) = (run.span, run.crew.finish());
    drop(run.legs);
    // What was read before a damaged block is settled and kept all the same.
    let settled = settler.finish()?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Outcome {
            seen,
            table: shared.table.counters(),
            settled,
            truncated,
            span,
            elapsed: began.elapsed(),
        }),
    }
}

/// The state of a replay between frames.
struct Run<'a> {
    crew: Crew,
    shared: &'a Arc<Shared>,
    legs: Sender<Vec<LegFacts>>,
    pace: Pace,
    /// The epoch that is being gathered.
    epoch: Option<i64>,
    span: Option<(Time, Time)>,
}

impl Run<'_> {
    fn file(&mut self, file: &mut CaptureFile, progress: &mut dyn FnMut(u64)) -> Result<(), CaptureError> {
        let mut first = true;
        let mut spare: Vec<Arc<Chunk>> = Vec::new();
        loop {
            let mut chunk = spare.pop().unwrap_or_else(|| Arc::new(Chunk::new()));
            let Some(writable) = Arc::get_mut(&mut chunk) else {
                continue;
            };
            if !file.next_chunk(writable)? {
                return Ok(());
            }
            if std::mem::take(&mut first) {
                self.begin_file(chunk.frame(0).map(|frame| frame.time));
            }
            self.chunk(&chunk);
            progress(file.position());
            spare.push(chunk);
        }
    }

    /// A file that begins earlier than the last one ended is a capture of its own: the clock starts anew.
    fn begin_file(&mut self, starts: Option<Time>) {
        let rewinds = match (starts, self.span) {
            (Some(starts), Some((_, last))) => last - starts > REWIND_US,
            _ => false,
        };
        if rewinds {
            self.end();
            self.epoch = None;
        }
    }

    /// Gives the chunk's frames to the workers, epoch by epoch.
    fn chunk(&mut self, chunk: &Arc<Chunk>) {
        let mut from = 0;
        for (at, frame) in chunk.frames().enumerate() {
            self.note(frame.time);
            let epoch = frame.time.as_micros().div_euclid(EPOCH_US);
            match self.epoch {
                Some(current) if epoch <= current => {}
                _ => {
                    self.work(chunk, from..at);
                    from = at;
                    if self.epoch.is_some() {
                        self.tick(Time::from_micros(epoch.saturating_mul(EPOCH_US)));
                    }
                    self.epoch = Some(epoch);
                    self.pace.wait(frame.time);
                }
            }
        }
        self.work(chunk, from..chunk.len());
    }

    fn note(&mut self, time: Time) {
        self.span = Some(match self.span {
            None => (time, time),
            Some((first, last)) => (first.min(time), last.max(time)),
        });
    }

    fn work(&mut self, chunk: &Arc<Chunk>, frames: Range<usize>) {
        if !frames.is_empty() {
            self.crew.process(chunk, frames, self.shared);
        }
    }

    fn tick(&mut self, now: Time) {
        for closed in self.crew.expire(now, self.shared) {
            self.send(closed);
        }
    }

    /// The end of input: whatever is open now stays without an end.
    fn end(&mut self) {
        // A tick at the last message's own time gives up nothing and brings in evicted legs.
        if let Some((_, last)) = self.span {
            self.tick(last);
        }
        let mut closed = Vec::new();
        self.shared.table.close_all(&self.shared.rules, &mut closed);
        self.send(closed);
        self.shared.table.reset();
    }

    fn send(&self, closed: Vec<LegFacts>) {
        if !closed.is_empty() {
            // Fails only when a sink failed; `finish` reports that.
            let _settler_gone = self.legs.send(closed);
        }
    }
}

/// Keeps a replay at a multiple of the speed of capture.
struct Pace {
    speed: Speed,
    origin: Option<(Instant, Time)>,
}

impl Pace {
    const fn new(speed: Speed) -> Self {
        Self { speed, origin: None }
    }

    fn wait(&mut self, at: Time) {
        let Speed::Times(times) = self.speed else { return };
        let (began, first) = *self.origin.get_or_insert_with(|| (Instant::now(), at));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a span of captured time fits 52 bits of microseconds"
        )]
        let due = Duration::try_from_secs_f64((at - first).max(0) as f64 / 1e6 / times).unwrap_or_default();
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// The workers: one in this thread, or several in threads of their own.
enum Crew {
    One(Box<Worker>),
    Many(Vec<Hand>),
}

/// A worker in its own thread.
struct Hand {
    jobs: Sender<Job>,
    done: Receiver<Vec<LegFacts>>,
    thread: thread::JoinHandle<WorkerCounters>,
}

enum Job {
    Process(Arc<Chunk>, Range<usize>),
    Expire(Time),
}

impl Crew {
    fn new(shared: &Arc<Shared>, decoder: &Decoder, options: &Options) -> Result<Self, ReplayError> {
        let workers = options.cores.len();
        if workers <= 1 {
            if let Some(core) = options.cores.first() {
                pin(*core)?;
            }
            return Ok(Self::One(Box::new(Worker::new(decoder.clone()))));
        }
        let hands = options.cores.iter().enumerate().map(|(share, core)| {
            Hand::start(
                share,
                workers,
                *core,
                Worker::new(decoder.clone()),
                Arc::clone(shared),
            )
        });
        Ok(Self::Many(hands.collect::<Result<_, _>>()?))
    }

    /// Joins the messages of these frames; returns when all are joined.
    fn process(&mut self, chunk: &Arc<Chunk>, frames: Range<usize>, shared: &Shared) {
        match self {
            Self::One(worker) => worker.process(select(chunk, frames), shared),
            Self::Many(hands) => {
                let each = frames.len().div_ceil(hands.len()).max(1);
                let mut busy = Vec::with_capacity(hands.len());
                for (hand, from) in hands.iter().zip(frames.clone().step_by(each)) {
                    let part = from..(from + each).min(frames.end);
                    if hand.jobs.send(Job::Process(Arc::clone(chunk), part)).is_ok() {
                        busy.push(hand);
                    }
                }
                for hand in busy {
                    let _nothing_closed = hand.done.recv();
                }
            }
        }
    }

    fn expire(&mut self, now: Time, shared: &Shared) -> Vec<Vec<LegFacts>> {
        match self {
            Self::One(worker) => {
                let mut closed = Vec::new();
                worker.expire(0, 1, now, shared, &mut closed);
                vec![closed]
            }
            Self::Many(hands) => {
                let asked: Vec<_> = hands
                    .iter()
                    .filter(|hand| hand.jobs.send(Job::Expire(now)).is_ok())
                    .collect();
                asked
                    .into_iter()
                    .filter_map(|hand| hand.done.recv().ok())
                    .collect()
            }
        }
    }

    fn finish(self) -> WorkerCounters {
        let mut sum = WorkerCounters::default();
        match self {
            Self::One(worker) => sum.merge(worker.counters()),
            Self::Many(hands) => {
                for hand in hands {
                    drop(hand.jobs);
                    match hand.thread.join() {
                        Ok(counters) => sum.merge(&counters),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            }
        }
        sum
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
                let _starter_gone = pinned.send(pin(core));
                for job in inbox {
                    let mut closed = Vec::new();
                    match job {
                        Job::Process(chunk, frames) => {
                            worker.process(select(&chunk, frames), &shared);
                            // Given back before the answer, so that the reader can fill it again.
                            drop(chunk);
                        }
                        Job::Expire(now) => worker.expire(share, of, now, &shared, &mut closed),
                    }
                    if outbox.send(closed).is_err() {
                        break;
                    }
                }
                worker.counters().clone()
            })?;
        match is_pinned.recv() {
            Ok(Err(error)) => Err(error),
            _ => Ok(Self { jobs, done, thread }),
        }
    }
}

fn select(chunk: &Chunk, frames: Range<usize>) -> impl Iterator<Item = Frame<'_>> {
    frames.filter_map(|at| chunk.frame(at))
}

/// Pins this thread to one core.
fn pin(core: usize) -> Result<(), ReplayError> {
    let failed = |source| ReplayError::Core { core, source };
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(failed(std::io::Error::from(std::io::ErrorKind::InvalidInput)));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|errno| failed(errno.into()))
}

/// A table fit for these options.
#[must_use]
pub fn table(options: &Options) -> LegTable {
    let workers = NonZeroUsize::new(options.cores.len()).map_or(1, NonZeroUsize::get);
    LegTable::new(options.legs_max, workers)
}

/// Whether a file can be replayed: it exists, may be read, and is a capture. Standard input is not looked at.
pub fn check(path: &Path) -> Result<(), ReplayError> {
    if path != Path::new("-") {
        CaptureFile::open(path)?;
    }
    Ok(())
}

//! Capture files through the whole pipeline.
//!
//! Time is capture time. It is cut into epochs; at each boundary, when every message before it has been
//! joined and none after it, legs are closed whose deadline has come. Because boundaries are fixed points
//! of capture time, a replay gives the same records at any speed and on any number of cores. Which stamps
//! move the time is for the clock to say, and dividing the work is left to the crew.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use ringtap_calls::table::TableCounters;
use ringtap_calls::{Gap, GapKind, Harvest, Learner, LegTable};
use ringtap_record::Time;
use thiserror::Error;

use crate::batches::BatchTimes;
use crate::capture::Chunk;
use crate::capture::ahead::{Chunks, Read};
use crate::capture::pcap::{CaptureError, CaptureFile};
use crate::clock::{Clock, ClockCounters, Step};
use crate::cores::{self, Anywhere, CoreError};
use crate::crew::Crew;
use crate::decode::Decoder;
use crate::settle::{Lot, Settled, SettlerThread};
use crate::sink::{RecordSink, SinkError};
use crate::worker::{Shared, WorkerCounters};

/// A file that begins this much before the end of the one before is another capture, not its continuation.
const REWIND_US: i64 = 1_000_000;
/// Frames at a file's begin of which one must continue the file before, if it is a continuation: so many may
/// have a wild stamp.
const BEGIN_FRAMES: usize = 4;

/// Lots that may wait before the settler counts as behind: it has had no time yet to take the last.
const LOTS_AT_EASE: usize = 1;

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
    /// Tell how long batches took.
    pub time_batches: bool,
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
    #[error(transparent)]
    Core(#[from] CoreError),
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
    /// Stamps far from the clock.
    pub clock: ClockCounters,
    /// First and last stamp, wild ones too.
    pub span: Option<(Time, Time)>,
    /// How long batches took, if that was asked for.
    pub batches: Option<BatchTimes>,
    /// Time on the wall.
    pub elapsed: Duration,
}

/// How far a replay is: octets read of the file that is being read.
pub type Progress<'a> = &'a mut dyn FnMut(&Path, u64);

/// A capture that is about to be replayed.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    file: CaptureFile,
}

/// Opens captures, all before anything is written: a name that is wrong is told first. Each is opened once, for
/// what was read of a pipe does not come again.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Input>, ReplayError> {
    let opened = paths.iter().map(|path| {
        Ok(Input {
            path: path.clone(),
            file: CaptureFile::open(path)?,
        })
    });
    opened.collect()
}

/// Whether the options can be met on this machine.
pub fn check(options: &Options) -> Result<(), ReplayError> {
    Ok(cores::check(&options.cores)?)
}

/// Replays captures one after the other into the sinks.
pub fn replay(
    inputs: Vec<Input>,
    shared: Shared,
    decoder: &Decoder,
    options: &Options,
    sinks: Vec<Box<dyn RecordSink>>,
    progress: Progress<'_>,
) -> Result<Outcome, ReplayError> {
    let began = Instant::now();
    check(options)?;
    let shared = Arc::new(shared);
    let anywhere = Anywhere::of_now();
    let crew = Crew::new(&shared, decoder, &options.cores, options.time_batches)?;
    // A settler on the first worker's core would take turns with it, and the others wait for both.
    let behind = match *options.cores {
        [first, _, ..] => anywhere.without(first),
        _ => anywhere,
    };
    let settler = behind.start(|| {
        SettlerThread::spawn(
            Arc::clone(&shared),
            Learner::default(),
            sinks,
            options.keep_all,
            None,
        )
    })?;
    let mut run = Run {
        crew,
        is_tight: usize::try_from(anywhere.cores()).is_ok_and(|cores| cores <= options.cores.len()),
        shared: &shared,
        lots: Some(settler.sender().clone()),
        harvest: Harvest::default(),
        pace: Pace::new(options.speed),
        clock: Clock::new(shared.rules.timers.ring_max_ms),
        due: None,
        held: Vec::new(),
        span: None,
    };
    // Who names one core wants one worker's work on it, reading included; and where there is but one, nothing is to be won.
    let reads_ahead = options.cores.len() != 1 && anywhere.cores() > 1;
    let mut truncated = Vec::new();
    let mut failed = None;
    for Input { path, file } in inputs {
        let chunks = if reads_ahead {
            Chunks::ahead(file, behind)
        } else {
            Ok(Chunks::here(file))
        };
        let read = chunks
            .map_err(ReplayError::from)
            .and_then(|chunks| Ok(run.file(&path, chunks, &mut |at| progress(&path, at))?));
        match read {
            Ok(false) => {}
            Ok(true) => truncated.push(path),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let last = run.clock.end();
    run.end(last);
    let (span, clock) = (run.span, run.clock.counters());
    let (seen, batches) = run.crew.finish();
    drop(run.lots);
    // What was read before a damaged block is settled and kept all the same.
    let settled = settler.finish()?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Outcome {
            seen,
            table: shared.table.counters(),
            settled,
            truncated,
            clock,
            span,
            batches,
            elapsed: began.elapsed(),
        }),
    }
}

/// The state of a replay between frames.
struct Run<'a> {
    crew: Crew,
    /// Workers have all the cores there are.
    is_tight: bool,
    shared: &'a Arc<Shared>,
    /// The way to the settler; `None` once that is gone.
    lots: Option<Sender<Lot>>,
    /// What the next lot will hold.
    harvest: Harvest,
    pace: Pace,
    clock: Clock,
    /// Frames of the present epoch that are still to be worked on.
    due: Option<(Arc<Chunk>, Range<usize>)>,
    /// Frames of which the clock does not know yet what to think.
    held: Vec<Held>,
    span: Option<(Time, Time)>,
}

struct Held {
    chunk: Arc<Chunk>,
    at: usize,
    stamp: Time,
}

impl Run<'_> {
    /// Replays one file; whether it ended within a packet.
    fn file(
        &mut self,
        path: &Path,
        mut chunks: Chunks,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool, CaptureError> {
        let mut first = true;
        // Without a settler there is nobody to work for: its sinks failed, or nobody reads them any more.
        while self.lots.is_some() {
            let (chunk, position) = match chunks.next() {
                Read::Frames(chunk, position) => (chunk, position),
                Read::End { truncated_tail } => return Ok(truncated_tail),
                Read::Failed(error) => return Err(error),
            };
            if std::mem::take(&mut first) {
                self.begin_file(path, &chunk);
            }
            for (at, frame) in chunk.frames().enumerate() {
                self.note(frame.time);
                self.frame(&chunk, at, frame.time);
            }
            self.work();
            progress(position);
            chunks.give_back(chunk);
        }
        Ok(false)
    }

    /// A file that begins earlier than the last one ended is a capture of its own: the clock starts anew.
    fn begin_file(&mut self, path: &Path, chunk: &Chunk) {
        let begins = chunk.frames().take(BEGIN_FRAMES).map(|frame| frame.time).max();
        if let (Some(begins), Some(now)) = (begins, self.clock.now())
            && now - begins > REWIND_US
        {
            tracing::warn!(
                path = %path.display(),
                "begins {} s before the end of the file before it, so it is taken for another capture: if they overlap in time, merge them first (mergecap)",
                Duration::from_micros((now - begins).unsigned_abs()).as_secs()
            );
            let last = self.clock.end();
            self.end(last);
        }
    }

    fn note(&mut self, time: Time) {
        self.span = Some(match self.span {
            None => (time, time),
            Some((first, last)) => (first.min(time), last.max(time)),
        });
    }

    /// Puts a frame into its epoch.
    fn frame(&mut self, chunk: &Arc<Chunk>, at: usize, stamp: Time) {
        loop {
            match self.clock.feed(stamp) {
                Step::Go => return self.add(chunk, at),
                Step::Start => {
                    // Of a call that is ringing now the beginning was missed, and more than that, perhaps (D37, D88).
                    self.harvest.gaps.push(Gap {
                        from: Time::MIN,
                        until: stamp,
                        kind: GapKind::Began,
                    });
                    self.pace.wait(stamp);
                    return self.add(chunk, at);
                }
                Step::Tick(now) => {
                    self.work();
                    self.tick(now);
                    self.pace.wait(stamp);
                    return self.add(chunk, at);
                }
                Step::Hold => {
                    let chunk = Arc::clone(chunk);
                    return self.held.push(Held { chunk, at, stamp });
                }
                Step::Outliers => self.release(),
                Step::Follow(now) => {
                    self.work();
                    self.tick(now);
                    self.pace.wait(now);
                    self.again();
                }
                Step::Restart(last) => {
                    let held = std::mem::take(&mut self.held);
                    self.end(Some(last));
                    self.held = held;
                    self.again();
                }
            }
        }
    }

    /// Feeds the frames that were held once more.
    fn again(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.frame(&held.chunk, held.at, held.stamp);
        }
    }

    /// Takes the frames that were held into the present epoch.
    fn release(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.add(&held.chunk, held.at);
        }
    }

    fn add(&mut self, chunk: &Arc<Chunk>, at: usize) {
        match &mut self.due {
            Some((due, frames)) if frames.end == at && Arc::ptr_eq(due, chunk) => frames.end += 1,
            _ => {
                self.work();
                self.due = Some((Arc::clone(chunk), at..at + 1));
            }
        }
    }

    /// Gives the frames that are due to the workers.
    fn work(&mut self) {
        if let Some((chunk, frames)) = self.due.take() {
            self.spare_cores();
            let evicted = self.crew.process(&chunk, frames, self.shared);
            self.harvest.append(evicted);
        }
    }

    /// Leaves the settler, and the journal behind it, a core while they are behind: a worker there would only take it from them.
    fn spare_cores(&mut self) {
        let are_behind = self.lots.as_ref().is_some_and(|lots| lots.len() > LOTS_AT_EASE);
        self.crew.spare(usize::from(self.is_tight && are_behind));
    }

    fn tick(&mut self, now: Time) {
        self.spare_cores();
        let harvest = self.crew.expire(now, self.shared);
        self.harvest.append(harvest);
        self.send(Some(now));
    }

    /// The end of input, or a gap: whatever is open now stays without an end (semantics.md D89). `last` is
    /// where the clock stood.
    fn end(&mut self, last: Option<Time>) {
        self.work();
        if let Some(last) = last {
            self.tick(last);
        }
        // After the last tick: no deadline is judged by a stamp that nothing confirmed.
        self.release();
        self.work();
        let left = self.crew.give_up(self.shared);
        self.harvest.append(left);
        self.shared
            .table
            .close_all(&self.shared.rules, &mut self.harvest.closed);
        self.send(None);
        self.shared.table.reset();
        self.pace.restart();
    }

    /// Sends on what was gathered: at a tick, or at the end of a capture.
    fn send(&mut self, now: Option<Time>) {
        let harvest = std::mem::take(&mut self.harvest);
        // Fails only when a sink failed, which the settler reports at the end.
        if let Some(lots) = &self.lots
            && lots.send(Lot { now, harvest }).is_err()
        {
            self.lots = None;
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

    /// A gap is not waited for.
    const fn restart(&mut self) {
        self.origin = None;
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

/// A table fit for these options.
#[must_use]
pub fn table(options: &Options) -> LegTable {
    table_for(options.legs_max, options.cores.len())
}

/// A table for so many legs, with a worker on each of so many cores.
#[must_use]
pub fn table_for(legs_max: usize, cores: usize) -> LegTable {
    LegTable::new(legs_max, NonZeroUsize::new(cores).map_or(1, NonZeroUsize::get))
}

//! Puts captures on a line: the frames of a [`Reel`] go out of an interface, at their own pace or another.
//!
//! It stands for the network that a mirror port shows, so it is exact in what Ringtap decides by: the order of frames
//! and their distances in time. Deadlines are absolute, so nothing drifts; a frame that is late is followed at once
//! by those that are due. Frames of different senders can go out on different CPUs and so, on a veth pair, arrive on
//! different queues, as a network card would spread them.
//!
//! What a capture file holds is read in `reel`, the socket is `line`'s.

mod line;
mod reel;

pub use line::Line;
pub use reel::{Reel, ReelError};

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::line::{BATCH_MAX, Sent};

/// A sleep may end so much too late; the rest is waited for awake.
const SLEEP_SLACK: Duration = Duration::from_micros(150);
/// From the beginning until the first frame is due: by then every CPU's thread waits for it.
const LEAD_IN: Duration = Duration::from_millis(2);
/// At full speed no CPU is more frames ahead of the slowest than this, or a call's answers would come before its
/// questions.
const AHEAD_MAX: usize = 256;
/// Priority of the senders, as nice(1) counts.
const URGENT: i32 = -15;
/// How often in a row there may be no room before this is an error.
const NO_ROOM_MAX: u32 = 100_000;

/// How fast frames go out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many times as fast as captured.
    Speed(f64),
    /// So many frames in a second, evenly.
    Rate(f64),
    /// As fast as it goes.
    Max,
}

/// Which CPUs, and so which queues, frames go out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each sender's on one CPU, neighbouring senders' on different ones.
    Queue,
    /// All on one.
    One,
}

/// How to play.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How fast.
    pub pace: Pace,
    /// How often.
    pub rounds: usize,
    /// On which CPUs.
    pub spread: Spread,
}

/// What went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Frames sent.
    pub frames: u64,
    /// Their octets, from the Ethernet header on.
    pub octets: u64,
    /// How often there was no room on the way out; the frame was tried again.
    pub no_room: u64,
    /// Frames that were left out because the interface's MTU is too small for them.
    pub too_long: u64,
    /// From when the first frame was due until the last was out.
    pub took: Duration,
}

/// Why playing ended early.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The line cannot be opened.
    #[error("cannot open a packet socket on {interface}: {source}")]
    Open {
        /// The interface.
        interface: String,
        /// What the system says.
        source: io::Error,
    },
    /// A frame cannot be sent.
    #[error("cannot send on {interface}: {source}")]
    Send {
        /// The interface.
        interface: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Sends all frames of `reel` out of `interface`.
///
/// # Errors
/// If the interface cannot be opened, goes down meanwhile, or takes nothing any more.
pub fn play(interface: &str, reel: &Reel, options: &Options) -> Result<Played, PlayError> {
    let cpus = cpus(options.spread);
    let lines: Vec<Line> = cpus
        .iter()
        .map(|_| Line::sending(interface))
        .collect::<io::Result<_>>()
        .map_err(|source| PlayError::Open {
            interface: interface.to_owned(),
            source,
        })?;
    let stage = Stage {
        reel,
        options,
        begin: Instant::now() + LEAD_IN,
        progress: cpus.iter().map(|_| AtomicUsize::new(0)).collect(),
        failed: AtomicBool::new(false),
    };
    let parts: Vec<io::Result<Played>> = thread::scope(|scope| {
        let hands: Vec<_> = cpus
            .iter()
            .zip(&lines)
            .enumerate()
            .map(|(number, (cpu, line))| {
                let stage = &stage;
                scope.spawn(move || stage.run(number, *cpu, line))
            })
            .collect();
        hands
            .into_iter()
            .map(|hand| {
                hand.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut all = Played::default();
    for part in parts {
        let part = part.map_err(|source| PlayError::Send {
            interface: interface.to_owned(),
            source,
        })?;
        all.frames += part.frames;
        all.octets += part.octets;
        all.no_room += part.no_room;
        all.too_long += part.too_long;
        all.took = all.took.max(part.took);
    }
    Ok(all)
}

/// The CPUs to send from, of those that this process may use.
fn cpus(spread: Spread) -> Vec<usize> {
    let usable = sched_getaffinity(None).map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
    );
    match spread {
        Spread::Queue => usable,
        Spread::One => usable.into_iter().take(1).collect(),
    }
}

/// What the senders on several CPUs share.
struct Stage<'r> {
    reel: &'r Reel,
    options: &'r Options,
    begin: Instant,
    /// Which frame each CPU is at.
    progress: Vec<AtomicUsize>,
    failed: AtomicBool,
}

impl Stage<'_> {
    /// Sends the frames of CPU number `hand`, in the order of time.
    fn run(&self, hand: usize, cpu: usize, line: &Line) -> io::Result<Played> {
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only)?;
        // Woken at once on a machine with other work; without the privilege it may have to wait for its turn.
        let _ = setpriority_process(None, URGENT);
        let played = self.send_all(hand, line);
        if played.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        // Nobody waits for this one any more.
        self.progress[hand].store(usize::MAX, Ordering::Release);
        played
    }

    fn send_all(&self, hand: usize, line: &Line) -> io::Result<Played> {
        let mut played = Played::default();
        let mut next = self.next_of(hand, 0);
        let mut batch: Vec<&[u8]> = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = next {
            self.progress[hand].store(first, Ordering::Release);
            let until = self.wait_for(hand, first);
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            batch.clear();
            // The first is due, or it would not have been waited for; the others may be.
            while let Some(at) = next
                && batch.len() < BATCH_MAX
                && (batch.is_empty() || self.is_due(at, until))
            {
                batch.push(self.reel.frame(at % self.reel.len()));
                next = self.next_of(hand, at + 1);
            }
            send(line, &batch, &mut played)?;
            played.took = Instant::now().saturating_duration_since(self.begin);
        }
        Ok(played)
    }

    /// The first frame of `hand` from number `at` on. Numbers go on counting from round to round.
    fn next_of(&self, hand: usize, at: usize) -> Option<usize> {
        let all = self.reel.len() * self.options.rounds;
        (at..all).find(|at| self.reel.sender(at % self.reel.len()) % self.progress.len() == hand)
    }

    /// Waits until frame number `at` is due. Gives up to when others are due as well: a time, or a number of frames.
    fn wait_for(&self, hand: usize, at: usize) -> Until {
        if let Some(due) = self.due(at) {
            let due = self.begin + due;
            let left = due.saturating_duration_since(Instant::now());
            if left > SLEEP_SLACK {
                thread::sleep(left - SLEEP_SLACK);
            }
            loop {
                let now = Instant::now();
                if now >= due {
                    return Until::Time(now.saturating_duration_since(self.begin));
                }
                std::hint::spin_loop();
            }
        }
        loop {
            let others = self
                .progress
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != hand);
            let slowest = others.map(|(_, at)| at.load(Ordering::Acquire)).min();
            let end = slowest.unwrap_or(usize::MAX).saturating_add(AHEAD_MAX);
            if at < end || self.failed.load(Ordering::Relaxed) {
                return Until::Frame(end);
            }
            thread::yield_now();
        }
    }

    /// When frame number `at` is due, counted from the beginning; at full speed never in particular.
    fn due(&self, at: usize) -> Option<Duration> {
        let seconds = match self.options.pace {
            Pace::Max => return None,
            Pace::Rate(rate) => at as f64 / rate,
            Pace::Speed(factor) => {
                let (round, at) = (at / self.reel.len(), at % self.reel.len());
                (round as f64 * self.reel.period_ns() as f64 + self.reel.at_ns(at) as f64) / factor / 1e9
            }
        };
        // A year is as good as never.
        Some(Duration::from_secs_f64(seconds.min(3e7)))
    }

    fn is_due(&self, at: usize, until: Until) -> bool {
        match until {
            Until::Time(now) => self.due(at).is_some_and(|due| due <= now),
            Until::Frame(end) => at < end,
        }
    }
}

/// How far a batch may go.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Frame(usize),
}

/// Sends a batch, whatever number of calls that takes.
fn send(line: &Line, mut batch: &[&[u8]], played: &mut Played) -> io::Result<()> {
    let mut no_room = 0;
    while let Some(first) = batch.first() {
        match line.send(batch)? {
            Sent::Frames(sent) => {
                let (gone, left) = batch.split_at(sent);
                played.frames += sent as u64;
                played.octets += gone.iter().map(|frame| frame.len() as u64).sum::<u64>();
                batch = left;
                no_room = 0;
            }
            Sent::TooLong => {
                played.too_long += 1;
                batch = &batch[1..];
            }
            Sent::NoRoom if no_room < NO_ROOM_MAX => {
                played.no_room += 1;
                no_room += 1;
                thread::yield_now();
            }
            Sent::NoRoom => {
                let what = format!("no room for a frame of {} octets for too long", first.len());
                return Err(io::Error::other(what));
            }
        }
    }
    Ok(())
}

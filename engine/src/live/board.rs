//! What the threads of a capture tell of themselves while it runs.
//!
//! Each thread counts for itself, in memory that is its own, and puts a copy up here a few times a second: readers and the settler
//! when they have a moment, the ticker for the interfaces, the table and what readers share. Whoever wants to know ([`Board::look`]) reads the
//! copies. So a frame costs nothing by being asked about, and asking, however often, touches no cache line and no lock of the packet path: a
//! reader that finds its place taken passes over it until the next time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use ringtap_calls::TableCounters;
use ringtap_record::Time;
use ringtap_xsk::Statistics;

use super::hand_over::{HandOverLook, Standing};
use super::port::PortReport;
use crate::settle::{Progress, Settled};
use crate::worker::WorkerCounters;

/// Frames of a batch, at most, for each of [`Look::batches`].
pub const BATCH_BOUNDS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Part of a ring that is full, at most, for each of [`Look::rings`], in millionths.
pub const RING_BOUNDS_PPM: [u32; 8] = [0, 10_000, 50_000, 100_000, 250_000, 500_000, 750_000, 1_000_000];

/// Where a capture tells how it is doing.
#[derive(Debug)]
pub struct Board {
    readers: Box<[CachePadded<Mutex<ReaderNotice>>]>,
    ticker: Mutex<Option<TickerNotice>>,
    settler: Mutex<(Settled, Progress)>,
    pub(super) hand_over: Standing,
}

/// Of one reader.
#[derive(Clone, Debug, Default)]
pub(super) struct ReaderNotice {
    pub(super) seen: WorkerCounters,
    pub(super) tally: Tally,
    pub(super) queues: Vec<QueueNotice>,
}

/// What a reader counts of its work beside what is in the frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    batches: [u64; BATCH_BOUNDS.len()],
    batched: u64,
    rings: [u64; RING_BOUNDS_PPM.len()],
    rings_ppm: u64,
}

/// Of one queue; of one that is closed, its counts remain.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueNotice {
    pub(super) port: usize,
    pub(super) queue: u32,
    pub(super) statistics: Statistics,
    /// Unless it is closed.
    pub(super) ring: Option<Ring>,
}

/// A ring that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Frames that it holds at most.
    pub frames: u32,
    /// Frames that waited in it at the last look.
    pub waiting: u32,
}

/// Of the ticker.
#[derive(Debug)]
pub(super) struct TickerNotice {
    /// When it was put up, by both clocks.
    pub(super) at: (Instant, Time),
    pub(super) began: Time,
    pub(super) ports: Vec<PortNotice>,
    pub(super) table: TableCounters,
    /// What was counted of what readers share, and of packets that were put together.
    pub(super) shared: WorkerCounters,
    pub(super) given_up: u64,
}

/// Of one interface.
#[derive(Clone, Debug)]
pub(super) struct PortNotice {
    pub(super) report: PortReport,
    pub(super) state: Result<(), String>,
    /// Since when it is so.
    since: SystemTime,
    /// When a frame was there last, or when the capture began.
    frame_at: Instant,
}

/// How a capture is doing.
#[derive(Debug)]
pub struct Look {
    /// The present, by the clock of the capture; `None` if that has not begun.
    pub now: Option<Time>,
    /// When it began.
    pub began: Option<Time>,
    /// Readers.
    pub readers: usize,
    /// Counters of all workers.
    pub seen: WorkerCounters,
    /// Batches that readers took, by the bounds in [`BATCH_BOUNDS`].
    pub batches: [u64; BATCH_BOUNDS.len()],
    /// Frames in them.
    pub batched: u64,
    /// How full rings were, looked at ten times a second, by the bounds in [`RING_BOUNDS_PPM`].
    pub rings: [u64; RING_BOUNDS_PPM.len()],
    /// Sum of all these, in millionths.
    pub rings_ppm: u64,
    /// Interfaces.
    pub ports: Vec<PortLook>,
    /// The leg table.
    pub table: TableCounters,
    /// Legs and registrations that were lost because the settler hung.
    pub given_up: u64,
    /// What the settler did.
    pub settled: Settled,
    /// Up to which time of the capture it is done; when the capture began, at first.
    pub settled_until: Option<Time>,
    /// What waits for it: one lot for each tick of 32 ms.
    pub lots_waiting: usize,
    /// How a hand-over stands.
    pub hand_over: HandOverLook,
}

/// How an interface is doing.
#[derive(Debug)]
pub struct PortLook {
    /// What was counted.
    pub report: PortReport,
    /// Its rings, by queue.
    pub rings: BTreeMap<u32, Ring>,
    /// Whether frames can come; else why not.
    pub state: Result<(), String>,
    /// Since when that is so.
    pub since: SystemTime,
    /// For how long no frame has come, of whatever kind.
    pub silent: Duration,
}

impl Board {
    /// For a capture with so many readers.
    #[must_use]
    pub fn new(readers: usize) -> Self {
        Self {
            // One more for who hears what a predecessor captures.
            readers: (0..=readers.max(1)).map(|_| CachePadded::default()).collect(),
            ticker: Mutex::default(),
            settler: Mutex::default(),
            hand_over: Standing::default(),
        }
    }

    /// Lets a reader write its notice, unless somebody reads it.
    pub(super) fn reader(&self, number: usize, write: impl FnOnce(&mut ReaderNotice)) {
        if let Some(mut notice) = self.readers.get(number).and_then(|place| place.try_lock()) {
            write(&mut notice);
        }
    }

    /// Takes the ticker's notice.
    pub(super) fn ticker(&self, mut new: TickerNotice) {
        let mut place = self.ticker.lock();
        if let Some(old) = &*place {
            for (port, before) in new.ports.iter_mut().zip(&old.ports) {
                port.go_on_from(before);
            }
        }
        *place = Some(new);
    }

    /// Takes the settler's.
    pub(super) fn settler(&self, settled: &Settled, progress: Progress) {
        *self.settler.lock() = (settled.clone(), progress);
    }

    /// How the capture is doing; a fraction of a second ago, for the ticker's part a second.
    #[must_use]
    pub fn look(&self) -> Look {
        let (settled, progress) = self.settler.lock().clone();
        let mut look = Look {
            now: None,
            began: None,
            readers: self.readers.len() - 1,
            seen: WorkerCounters::default(),
            batches: Default::default(),
            batched: 0,
            rings: Default::default(),
            rings_ppm: 0,
            ports: Vec::new(),
            table: TableCounters::default(),
            given_up: 0,
            settled,
            settled_until: progress.until,
            lots_waiting: progress.waiting,
            hand_over: self.hand_over.look(),
        };
        if let Some(ticker) = &*self.ticker.lock() {
            let (at, time) = ticker.at;
            look.now = Some(time + at.elapsed());
            look.began = Some(ticker.began);
            look.settled_until.get_or_insert(ticker.began);
            look.seen.merge(&ticker.shared);
            look.table = ticker.table;
            look.given_up = ticker.given_up;
            look.ports = ticker.ports.iter().map(PortNotice::look).collect();
        }
        for reader in &self.readers {
            look.add(&reader.lock());
        }
        look
    }
}

impl Look {
    /// How far behind the present calls are settled.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let lag_us = self
            .now
            .zip(self.settled_until)
            .map_or(0, |(now, until)| now - until);
        Duration::from_micros(u64::try_from(lag_us).unwrap_or(0))
    }

    fn add(&mut self, reader: &ReaderNotice) {
        self.seen.merge(&reader.seen);
        let counts = self.batches.iter_mut().chain(&mut self.rings);
        for (sum, count) in counts.zip(reader.tally.batches.iter().chain(&reader.tally.rings)) {
            *sum += count;
        }
        self.rings_ppm += reader.tally.rings_ppm;
        self.batched += reader.tally.batched;
        for notice in &reader.queues {
            let Some(port) = self.ports.get_mut(notice.port) else {
                continue;
            };
            let sockets = &mut port.report.sockets;
            sockets.entry(notice.queue).or_default().add(notice.statistics);
            if let Some(ring) = notice.ring {
                port.rings.insert(notice.queue, ring);
            }
        }
    }
}

impl Tally {
    /// A batch was taken that held frames.
    #[inline]
    pub(super) fn batch(&mut self, frames: usize) {
        self.batched += frames as u64;
        let place = usize::BITS - frames.saturating_sub(1).leading_zeros();
        if let Some(count) = self.batches.get_mut(place as usize) {
            *count += 1;
        }
    }

    /// A ring was looked at.
    pub(super) fn ring(&mut self, ring: Ring) {
        let full_ppm = u64::from(ring.waiting) * 1_000_000 / u64::from(ring.frames.max(1));
        self.rings_ppm += full_ppm;
        let place = RING_BOUNDS_PPM.partition_point(|bound| u64::from(*bound) < full_ppm);
        if let Some(count) = self.rings.get_mut(place) {
            *count += 1;
        }
    }
}

impl PortNotice {
    pub(super) fn new(report: PortReport, state: Result<(), String>) -> Self {
        Self {
            report,
            state,
            since: SystemTime::now(),
            frame_at: Instant::now(),
        }
    }

    /// What has not changed since the last notice, goes on.
    fn go_on_from(&mut self, before: &Self) {
        if self.state == before.state {
            self.since = before.since;
        }
        if self.report.program.frames() == before.report.program.frames() {
            self.frame_at = before.frame_at;
        }
    }

    fn look(&self) -> PortLook {
        PortLook {
            report: self.report.clone(),
            rings: BTreeMap::new(),
            state: self.state.clone(),
            since: self.since,
            silent: self.frame_at.elapsed(),
        }
    }
}

#[cfg(test)]
impl Board {
    /// With one interface, `mirror0`, in that state, and one queue.
    pub(crate) fn example(state: Result<(), String>) -> Self {
        let board = Self::new(1);
        board.ticker(tests::notice(state));
        board.reader(0, |notice| {
            notice.queues = vec![QueueNotice {
                port: 0,
                queue: 0,
                statistics: Statistics::default(),
                ring: Some(Ring {
                    frames: 64,
                    waiting: 1,
                }),
            }];
        });
        board
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn notice(state: Result<(), String>) -> TickerNotice {
        let report = PortReport {
            interface: "mirror0".to_owned(),
            program: ringtap_xdp::Counters::default(),
            sockets: BTreeMap::new(),
            nic_lost: 0,
        };
        TickerNotice {
            at: (Instant::now(), Time::from_micros(7)),
            began: Time::from_micros(3),
            ports: vec![PortNotice::new(report, state)],
            table: TableCounters::default(),
            shared: WorkerCounters::default(),
            given_up: 0,
        }
    }

    /// Catches a reader that is left out or counted twice, counts of a closed queue that are lost, and a reader that waits for
    /// whoever looks.
    #[test]
    fn a_look_adds_up_all_readers() {
        let board = Board::new(2);
        assert!(board.look().now.is_none());
        board.ticker(notice(Ok(())));
        let queue = |received, ring| QueueNotice {
            port: 0,
            queue: 1,
            statistics: Statistics {
                received,
                ..Statistics::default()
            },
            ring,
        };
        let ring = Ring {
            frames: 64,
            waiting: 16,
        };
        for (number, notices) in [vec![queue(5, None), queue(7, Some(ring))], vec![queue(1, None)]]
            .into_iter()
            .enumerate()
        {
            board.reader(number, |notice| {
                notice.seen.bytes = 10;
                notice.tally.batch(3);
                notice.queues = notices;
            });
        }
        let held = board.readers[1].lock();
        board.reader(1, |notice| notice.seen.bytes = 1_000_000);
        drop(held);
        let look = board.look();
        assert_eq!(look.seen.bytes, 20);
        assert_eq!(look.batches.iter().sum::<u64>(), 2);
        let port = &look.ports[0];
        assert_eq!(port.report.sockets[&1].received, 13);
        assert_eq!(port.rings[&1], ring);
        assert_eq!(look.settled_until, Some(Time::from_micros(3)));
    }

    /// Catches a batch or a ring in a bucket that is too small or too large for it.
    #[test]
    fn each_in_its_bucket() {
        let mut tally = Tally::default();
        for frames in [1, 2, 3, 4, 5, 33, 64] {
            tally.batch(frames);
        }
        assert_eq!(tally.batches, [1, 1, 2, 1, 0, 0, 2]);
        for waiting in [0, 1, 20, 64, 100] {
            tally.ring(Ring { frames: 100, waiting });
        }
        assert_eq!(tally.rings, [1, 1, 0, 0, 1, 0, 1, 1]);
        assert_eq!(tally.rings_ppm, 1_850_000);
    }

    /// Catches a state that seems new with each notice.
    #[test]
    fn what_stays_is_as_old_as_it_is() {
        let board = Board::new(1);
        let mut first = notice(Err("is down".to_owned()));
        let since = SystemTime::UNIX_EPOCH;
        first.ports[0].since = since;
        board.ticker(first);
        board.ticker(notice(Err("is down".to_owned())));
        assert_eq!(board.look().ports[0].since, since);
        board.ticker(notice(Ok(())));
        assert!(board.look().ports[0].since > since);
    }
}

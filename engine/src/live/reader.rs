//! One reader: a thread, pinned to its core, that takes frames from its queues and joins what they say into the leg
//! table. It owns its queues; whatever it leaves for others goes through an outbox.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use parking_lot::Mutex;
use ringtap_calls::{Early, Gap, GapKind};
use ringtap_record::Time;
use ringtap_xsk::{Queue, Ready, Statistics};

use super::board::{Board, QueueNotice, Ring, Tally};
use super::hand_over::{Deserted, Feed};
use super::marks::Marks;
use super::time::WallClock;
use crate::asides::Asides;
use crate::capture::{Frame, Link};
use crate::worker::{Shared, Taken, Worker, WorkerCounters};

/// Batches taken from one queue before the next has its turn.
const TURN_BATCHES: usize = 8;
/// How often a reader looks what its sockets lost.
const LOOK: Duration = Duration::from_millis(100);
/// How often losses of one queue are told.
const TELL: Duration = Duration::from_secs(10);
/// How long a reader sleeps at most: orders and the end are found within this time.
const SLEEP: Duration = Duration::from_millis(100);
/// How long an heir that has not read what came before is waited for at the end.
const END_PATIENCE: Duration = Duration::from_secs(2);
const END_PAUSE: Duration = Duration::from_millis(2);
/// Legs that had to leave a full table, and registrations, that wait for the ticker. If that does not come (its settler
/// hangs), later ones are given up.
const OUTBOX_MAX: usize = 1 << 16;
/// Gaps that wait for it; later ones make the last one longer.
const OUTBOX_GAPS_MAX: usize = 64;

/// What a reader is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Read this queue too; the number is that of its port.
    Add(usize, Box<Queue>),
    /// Close the queues of a port.
    Remove(usize),
    /// Feed all that is read from now on to an heir.
    Feed(OwnedFd),
    /// There is no heir any more.
    Unfeed,
    /// Read what is left in the rings, for nothing comes any more, and feed it. Answer then, and close all queues.
    LetGo(Sender<()>),
    /// Answer, for all orders before have been heeded then.
    Answer(Sender<()>),
}

/// What a reader leaves for the ticker.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    taken: Mutex<Taken>,
    given_up: AtomicU64,
}

impl Outbox {
    pub(super) fn take(&self) -> Taken {
        std::mem::take(&mut *self.taken.lock())
    }

    /// Legs and registrations that nobody came for in time.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Puts something in, if it is something.
    #[inline]
    pub(super) fn give(&self, taken: Taken) {
        if !(taken.harvest.is_empty() && taken.early.is_empty()) {
            self.put(taken);
        }
    }

    /// Puts messages in that came before their legs. Whoever found them keeps room for more.
    pub(super) fn give_early(&self, early: &mut Early) {
        if !early.is_empty() {
            self.taken.lock().early.append(early);
        }
    }

    fn put(&self, mut taken: Taken) {
        let mut kept = self.taken.lock();
        let mut given_up = cut(&mut taken.harvest.closed, kept.harvest.closed.len());
        given_up += cut(&mut taken.harvest.registrations, kept.harvest.registrations.len());
        self.given_up.fetch_add(given_up, Ordering::Relaxed);
        for gap in taken.harvest.gaps.drain(..) {
            kept.put_gap(gap);
        }
        kept.append(taken);
    }

    pub(super) fn put_gap(&self, gap: Gap) {
        self.taken.lock().put_gap(gap);
    }
}

impl Taken {
    fn put_gap(&mut self, gap: Gap) {
        let gaps = &mut self.harvest.gaps;
        let is_full = gaps.len() >= OUTBOX_GAPS_MAX;
        match gaps
            .iter_mut()
            .rev()
            .find(|last| is_full && last.kind == gap.kind)
        {
            Some(last) => {
                last.from = last.from.min(gap.from);
                last.until = last.until.max(gap.until);
            }
            None => gaps.push(gap),
        }
    }
}

/// Leaves as much of `new` as there is room for beside what waits already; how much that was too much.
fn cut<T>(new: &mut Vec<T>, waiting: usize) -> u64 {
    let room = OUTBOX_MAX.saturating_sub(waiting);
    let too_many = new.len().saturating_sub(room);
    new.truncate(room);
    too_many as u64
}

/// What is known at the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) seen: WorkerCounters,
    /// What the sockets counted.
    pub(super) sockets: Vec<Counted>,
}

/// What the socket of one queue counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) port: usize,
    pub(super) queue: u32,
    pub(super) statistics: Statistics,
}

/// What all readers share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: WallClock,
    pub(super) marks: Marks,
    pub(super) stop: AtomicBool,
    pub(super) board: Arc<Board>,
}

/// One reader.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) number: usize,
    pub(super) common: Arc<Common>,
    pub(super) orders: Receiver<Order>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) worker: Worker,
    pub(super) asides: Asides,
    /// Asks again at once instead of sleeping.
    pub(super) is_busy: bool,
    pub(super) lanes: Vec<Lane>,
    /// What queues counted that are closed.
    pub(super) closed: Vec<Counted>,
    pub(super) tally: Tally,
    /// The way to an heir.
    pub(super) feed: Option<Feed>,
    /// What of its counts has been told.
    pub(super) fed_told: (u64, u64),
}

/// A queue that is read.
#[derive(Debug)]
pub(super) struct Lane {
    port: usize,
    queue: Box<Queue>,
    /// Its interface is gone.
    is_dead: bool,
    /// What its socket had counted at the last look, and what waited in its ring.
    last: Counted,
    ring: Ring,
    /// How much it had lost then, and when that was.
    lost: u64,
    well_at: Time,
    /// Since when frames have been lost, until the ring has been empty.
    losing_since: Option<Time>,
    /// The ring has been empty since the last loss.
    is_empty: bool,
    /// How much of what it lost has been told, and when more is.
    told: u64,
    tell_at: Instant,
}

impl Reader {
    /// Reads until it is told to stop, then what is left in the rings.
    pub(super) fn run(mut self) -> Report {
        let common = Arc::clone(&self.common);
        let mut now = common.clock.now();
        let mut looked = Instant::now();
        let mut ready = Vec::new();
        while !common.stop.load(Ordering::Relaxed) {
            self.heed_orders(&mut now);
            common.marks.wake(self.number, now);
            let came = self.pass(&mut now);
            if looked.elapsed() >= LOOK {
                self.look();
                looked = Instant::now();
            }
            if came == 0 && !(self.is_busy && self.has_live_lanes()) {
                common.marks.park(self.number);
                self.sleep(&mut ready);
            }
        }
        // Nothing comes any more, for the programs have been detached: what is left are the frames in the rings.
        self.heed_orders(&mut now);
        self.drain(&mut now);
        self.look();
        common.marks.park(self.number);
        self.report()
    }

    fn has_live_lanes(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_dead)
    }

    fn heed_orders(&mut self, now: &mut Time) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Add(port, queue) => self.lanes.push(Lane {
                    port,
                    last: Counted {
                        port,
                        queue: queue.number(),
                        statistics: Statistics::default(),
                    },
                    ring: Ring {
                        frames: queue.in_force().ring_frames,
                        waiting: 0,
                    },
                    queue,
                    is_dead: false,
                    lost: 0,
                    well_at: self.common.clock.now(),
                    losing_since: None,
                    is_empty: true,
                    told: 0,
                    tell_at: Instant::now(),
                }),
                Order::Remove(port) => {
                    self.drain(now);
                    self.look();
                    self.close(|lane| lane.port == port);
                }
                Order::Feed(socket) => {
                    self.feed = Feed::begin(socket, self.common.clock.now()).ok();
                    self.fed_told = (0, 0);
                }
                Order::Unfeed => {
                    self.tell_fed();
                    self.feed = None;
                }
                Order::LetGo(done) => {
                    self.drain(now);
                    self.look();
                    self.end_feed();
                    // Nothing more is read, and to close queues takes the kernel long on a busy machine: nobody has to wait for that here.
                    self.common.marks.park(self.number);
                    let _nobody_waits = done.send(());
                    self.close(|_| true);
                }
                Order::Answer(done) => {
                    let _nobody_waits = done.send(());
                }
            }
        }
    }

    /// Closes these queues, and keeps what they counted.
    fn close(&mut self, which: impl Fn(&Lane) -> bool) {
        for lane in self.lanes.iter().filter(|lane| which(lane)) {
            let counted = lane.counted();
            // An interface may come and go for years.
            let known = self
                .closed
                .iter_mut()
                .find(|other| (other.port, other.queue) == (counted.port, counted.queue));
            match known {
                Some(known) => known.statistics.add(counted.statistics),
                None => self.closed.push(counted),
            }
        }
        self.lanes.retain(|lane| !which(lane));
        // Its counts are among the others now.
        self.put_up();
    }

    /// Tells the heir that nothing comes any more.
    fn end_feed(&mut self) {
        let began = Instant::now();
        while let Some(feed) = &mut self.feed
            && feed.end(self.common.clock.now()) == Ok(false)
            && began.elapsed() < END_PATIENCE
        {
            std::thread::sleep(END_PAUSE);
        }
        self.tell_fed();
        self.feed = None;
    }

    /// Puts up what was fed since the last time.
    fn tell_fed(&mut self) {
        if let Some(feed) = &self.feed {
            let (fed, not_fed) = feed.counts();
            let (told, not_told) = std::mem::replace(&mut self.fed_told, (fed, not_fed));
            self.common.board.hand_over.fed(fed - told, not_fed - not_told);
        }
    }

    /// Reads what is in the rings, and not more than they hold: others may come meanwhile.
    fn drain(&mut self, now: &mut Time) {
        let rings = self.lanes.iter().map(|lane| lane.queue.in_force().ring_frames);
        let mut left = rings.map(|frames| frames as usize).sum::<usize>();
        while left > 0 {
            match self.pass(now) {
                0 => break,
                came => left = left.saturating_sub(came),
            }
        }
    }

    /// Gives each queue a turn. `now` becomes the time of the last batch, or the present.
    fn pass(&mut self, now: &mut Time) -> usize {
        let Self {
            number,
            common,
            outbox,
            worker,
            asides,
            lanes,
            tally,
            feed,
            ..
        } = self;
        let mut came = 0;
        *now = common.clock.now();
        for lane in lanes {
            for _ in 0..TURN_BATCHES {
                let batch = lane.queue.receive();
                if batch.is_empty() {
                    lane.is_empty = true;
                    break;
                }
                came += batch.len();
                tally.batch(batch.len());
                *now = common.clock.now();
                let time = *now;
                if let Some(heir) = feed
                    && heir.frames(time, batch.packets()) == Err(Deserted)
                {
                    *feed = None;
                }
                join(time, batch.packets(), worker, asides, outbox, &common.shared);
                common.marks.advance(*number, time);
            }
        }
        common.marks.advance(*number, *now);
        came
    }

    /// Looks at the sockets, and tells how it is doing.
    fn look(&mut self) {
        self.look_for_losses();
        self.tell_fed();
        // Without a frame for long the heir still wants to know that nothing was left out.
        if let Some(feed) = &mut self.feed
            && feed.mark(self.common.clock.now()) == Err(Deserted)
        {
            self.feed = None;
        }
        self.put_up();
    }

    /// Puts what was counted onto the board.
    fn put_up(&mut self) {
        let Self {
            number,
            common,
            worker,
            asides,
            lanes,
            closed,
            tally,
            ..
        } = self;
        for lane in &mut *lanes {
            lane.ring.waiting = lane.queue.waiting();
            tally.ring(lane.ring);
        }
        common.board.reader(*number, |notice| {
            notice.seen.clone_from(worker.counters());
            asides.add_packets_to(&mut notice.seen);
            notice.tally = *tally;
            notice.queues.clear();
            let of = |counted: Counted, ring| QueueNotice {
                port: counted.port,
                queue: counted.queue,
                statistics: counted.statistics,
                ring,
            };
            notice
                .queues
                .extend(closed.iter().map(|closed| of(*closed, None)));
            notice
                .queues
                .extend(lanes.iter().map(|lane| of(lane.last, Some(lane.ring))));
        });
    }

    /// Looks whether sockets lost frames since the last time, and tells that as a gap. Frames are stamped when they are
    /// read, so those that came before a loss may have later stamps: the gap lasts until the ring has been seen empty.
    fn look_for_losses(&mut self) {
        for lane in &mut self.lanes {
            // An interface that failed for a moment is waited for again.
            lane.is_dead = false;
            let Ok(statistics) = lane.queue.statistics() else {
                continue;
            };
            // After the look: what it found came before.
            let now = self.common.clock.now();
            if statistics.lost() > lane.lost {
                lane.losing_since.get_or_insert(lane.well_at);
                lane.is_empty = false;
            }
            if let Some(from) = lane.losing_since {
                self.outbox.put_gap(Gap {
                    from,
                    until: now,
                    kind: GapKind::FramesLost,
                });
            }
            if lane.is_empty {
                lane.losing_since = None;
            }
            lane.lost = statistics.lost();
            lane.last.statistics = statistics;
            lane.well_at = now;
            lane.tell_losses();
        }
    }

    fn sleep(&mut self, ready: &mut Vec<Ready>) {
        let alive: Vec<BorrowedFd<'_>> = self
            .lanes
            .iter()
            .filter(|lane| !lane.is_dead)
            .map(|lane| lane.queue.fd())
            .collect();
        if let Err(error) = ringtap_xsk::wait(&alive, SLEEP, ready) {
            tracing::error!(%error, "cannot wait for frames");
            std::thread::sleep(SLEEP);
        }
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.is_dead);
        for (lane, ready) in lanes.zip(ready.iter()) {
            lane.is_dead = ready.failed;
        }
    }

    fn report(self) -> Report {
        let mut seen = self.worker.counters().clone();
        self.asides.add_packets_to(&mut seen);
        let mut sockets = self.closed;
        sockets.extend(self.lanes.iter().map(Lane::counted));
        Report { seen, sockets }
    }
}

impl Lane {
    /// Says how much was lost, now and then.
    fn tell_losses(&mut self) {
        if self.lost > self.told && Instant::now() >= self.tell_at {
            tracing::warn!(
                "{} queue {}: {} frames lost, for they came faster than they were read: more queues and cores, \
                 or larger capture.ring_frames",
                self.queue.interface(),
                self.queue.number(),
                self.lost - self.told
            );
            self.told = self.lost;
            self.tell_at = Instant::now() + TELL;
        }
    }

    fn counted(&self) -> Counted {
        Counted {
            port: self.port,
            queue: self.queue.number(),
            // What was told last, if it is not told now: a count never goes back.
            statistics: self.queue.statistics().unwrap_or(self.last.statistics),
        }
    }
}

/// Joins what frames say, and gives away what comes of it.
pub(super) fn join<'c>(
    time: Time,
    frames: impl Iterator<Item = &'c [u8]> + Clone,
    worker: &mut Worker,
    asides: &mut Asides,
    outbox: &Outbox,
    shared: &Shared,
) {
    let frames = frames.map(|bytes| Frame {
        time,
        link: Link::Ethernet,
        bytes,
        wire_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    });
    worker.process(frames.clone(), shared);
    if !worker.asides().is_empty() {
        let taken = asides.process(pick(frames, worker.asides()), shared);
        outbox.give(taken);
    }
    outbox.give_early(worker.early());
    outbox.give(worker.take());
}

/// The frames at these places, which ascend.
fn pick<'c>(frames: impl Iterator<Item = Frame<'c>>, places: &[usize]) -> impl Iterator<Item = Frame<'c>> {
    let mut places = places.iter().peekable();
    frames
        .enumerate()
        .filter(move |(at, _)| places.next_if(|place| *place == at).is_some())
        .map(|(_, frame)| frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an outbox without bounds, and what it cannot hold going uncounted.
    #[test]
    fn an_outbox_is_bounded() {
        let outbox = Outbox::default();
        let at = Time::from_micros;
        for n in 0..1000 {
            outbox.put_gap(Gap {
                from: at(n),
                until: at(n + 1),
                kind: GapKind::FramesLost,
            });
        }
        let gaps = outbox.take().harvest.gaps;
        assert_eq!(gaps.len(), OUTBOX_GAPS_MAX);
        assert_eq!((gaps[0].from, gaps[gaps.len() - 1].until), (at(0), at(1000)));
        let mut new = vec![0; 10];
        assert_eq!(cut(&mut new, OUTBOX_MAX - 4), 6);
        assert_eq!(new.len(), 4);
        assert_eq!(cut(&mut new, 0), 0);
    }

    /// Catches a fragment that is left out, or a whole frame that is taken for one.
    #[test]
    fn fragments_are_picked_by_their_places() {
        let bytes: Vec<[u8; 1]> = (0..6).map(|n| [n]).collect();
        let frames = bytes.iter().map(|bytes| Frame {
            time: Time::from_micros(0),
            link: Link::Ethernet,
            bytes,
            wire_len: 1,
        });
        let picked: Vec<u8> = pick(frames, &[0, 3, 5]).map(|frame| frame.bytes[0]).collect();
        assert_eq!(picked, [0, 3, 5]);
    }
}

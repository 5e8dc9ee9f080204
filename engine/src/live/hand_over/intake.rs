//! What an heir hears: its predecessor's feeds, and the bridges while queues change hands.
//!
//! One thread that does a reader's work on frames that it does not take off a queue itself. What comes over a bridge is younger than all that was
//! fed, and is joined after that. The thread begins before the heir is confined to what it may still do, and ends when the bridges have fallen silent.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;
use ringtap_xdp::{Settings, judge};
use ringtap_xsk::{BRIDGE_FRAME_BYTES_MAX, Bridge};

use super::feed::{self, Fed, MESSAGE_BYTES_MAX};
use crate::asides::Asides;
use crate::live::board::Tally;
use crate::live::reader::{Common, Outbox, Report, join};
use crate::worker::Worker;

/// How long it sleeps at most: orders are found within this time.
const SLEEP: Duration = Duration::from_millis(20);
/// How often it tells how it is doing.
const LOOK: Duration = Duration::from_millis(100);
/// How long bridges are read at most after it was told to end: over these something may come for ever.
const DRAIN: Duration = Duration::from_secs(1);
/// Octets of frames from bridges that wait for the end of the feeds.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Messages, or frames, taken from one place before the next has its turn.
const TURN: usize = 64;

/// What it has heard, for who decides.
#[derive(Debug)]
pub(in crate::live) struct Heard {
    /// Since when everything has come, in microseconds; before the feeds have begun, the least.
    since_us: AtomicI64,
    /// Up to when everything has been heard that was fed.
    until_us: AtomicI64,
    begun: AtomicUsize,
    ended: AtomicUsize,
    feeds: usize,
    is_faulty: AtomicBool,
    bridged_us: AtomicI64,
}

impl Heard {
    /// Since when everything that the predecessor reads has come; `None` as long as not all of its readers have begun to feed.
    pub(super) fn since(&self) -> Option<Time> {
        let has_begun = self.begun.load(Ordering::Acquire) >= self.feeds;
        has_begun.then(|| Time::from_micros(self.since_us.load(Ordering::Acquire)))
    }

    /// Up to when everything has been heard that was fed, and is known that was left out.
    pub(super) fn until(&self) -> Time {
        Time::from_micros(self.until_us.load(Ordering::Acquire))
    }

    /// Whether all feeds have come to their end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) >= self.feeds
    }

    /// Whether something came that is no feed's.
    pub(super) fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::Relaxed)
    }

    /// When a frame came over a bridge last.
    pub(super) fn bridged(&self) -> Time {
        Time::from_micros(self.bridged_us.load(Ordering::Acquire))
    }
}

enum Order {
    Bridge(Bridge),
    /// Read the feeds to their ends, but no longer than this.
    End(Duration),
}

/// The thread, from outside.
pub(in crate::live) struct Intake {
    orders: Sender<Order>,
    pub(in crate::live) heard: Arc<Heard>,
    pub(super) outbox: Arc<Outbox>,
    thread: JoinHandle<Report>,
}

impl Intake {
    /// Starts it. `number` is its place among the readers.
    pub(in crate::live) fn start(
        number: usize,
        feeds: Vec<OwnedFd>,
        common: &Arc<Common>,
        (worker, asides): (Worker, Asides),
        wanted: Settings,
    ) -> io::Result<Self> {
        let (orders, inbox) = unbounded();
        let work = Work::new(number, feeds, common, (worker, asides), wanted, inbox);
        let (heard, outbox) = (Arc::clone(&work.heard), Arc::clone(&work.outbox));
        let thread = thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            orders,
            heard,
            outbox,
            thread,
        })
    }

    /// Has it listen there too.
    pub(super) fn listen(&self, bridge: Bridge) {
        let _ended = self.orders.send(Order::Bridge(bridge));
    }

    /// Whether it is gone, though nobody told it to end.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells it to read what has come by now, for so long at most, and to end. `None`: by a fault of the program, it had ended before.
    pub(super) fn end(self, patience: Duration) -> Option<Report> {
        let _ended = self.orders.send(Order::End(patience));
        self.thread.join().ok()
    }
}

/// One feed.
struct Lane {
    socket: OwnedFd,
    has_begun: bool,
    is_open: bool,
    /// When it was whole for the last time, and what had been left out by then.
    last: Time,
    not_fed: u64,
}

impl Lane {
    const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            has_begun: false,
            is_open: true,
            last: Time::MIN,
            not_fed: 0,
        }
    }
}

/// One bridge.
struct Bridged {
    bridge: Bridge,
    /// What it had no room for, as far as that is told.
    dropped: u64,
    /// Its interface was down: since when nothing has come for certain. Whether it is up again, only a frame tells.
    deaf_since: Option<Time>,
}

struct Work {
    number: usize,
    common: Arc<Common>,
    orders: Receiver<Order>,
    heard: Arc<Heard>,
    outbox: Arc<Outbox>,
    worker: Worker,
    asides: Asides,
    wanted: Settings,
    feeds: Vec<Lane>,
    bridges: Vec<Bridged>,
    /// What came over them while something was still fed.
    held: VecDeque<(Time, Box<[u8]>)>,
    held_bytes: usize,
    /// When the last pass began.
    passed: Time,
    tally: Tally,
}

impl Drop for Work {
    /// However it ends, the ticker does not wait for it.
    fn drop(&mut self) {
        self.common.marks.park(self.number);
    }
}

impl Work {
    fn new(
        number: usize,
        feeds: Vec<OwnedFd>,
        common: &Arc<Common>,
        (worker, asides): (Worker, Asides),
        wanted: Settings,
        orders: Receiver<Order>,
    ) -> Self {
        let heard = Heard {
            since_us: AtomicI64::new(i64::MIN),
            until_us: AtomicI64::new(i64::MIN),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            feeds: feeds.len(),
            is_faulty: AtomicBool::new(false),
            bridged_us: AtomicI64::new(i64::MIN),
        };
        Self {
            number,
            common: Arc::clone(common),
            orders,
            heard: Arc::new(heard),
            outbox: Arc::new(Outbox::default()),
            worker,
            asides,
            wanted,
            feeds: feeds.into_iter().map(Lane::new).collect(),
            bridges: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            passed: common.clock.now(),
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Report {
        let mut room = vec![0; MESSAGE_BYTES_MAX];
        let mut frame = Box::new([0; BRIDGE_FRAME_BYTES_MAX]);
        let (mut looked, mut ready) = (Instant::now(), Vec::new());
        loop {
            let mut end = None;
            for order in self.orders.try_iter() {
                match order {
                    Order::Bridge(bridge) => self.bridges.push(Bridged {
                        bridge,
                        dropped: 0,
                        deaf_since: None,
                    }),
                    Order::End(patience) => end = Some(patience),
                }
            }
            let came = self.pass(&mut room, &mut frame);
            if let Some(patience) = end {
                let began = Instant::now();
                while self.pass(&mut room, &mut frame)
                    && began.elapsed() < if self.is_fed() { patience } else { DRAIN }
                {}
                if !patience.is_zero() {
                    self.forsake();
                }
                self.join_held();
                break;
            }
            if looked.elapsed() >= LOOK {
                self.look();
                looked = Instant::now();
            }
            if !came {
                let feeds = self.feeds.iter().filter(|lane| lane.is_open);
                let sockets: Vec<BorrowedFd<'_>> = feeds
                    .map(|lane| lane.socket.as_fd())
                    .chain(self.bridges.iter().map(|bridged| bridged.bridge.as_fd()))
                    .collect();
                if ringtap_xsk::wait(&sockets, SLEEP, &mut ready).is_err() {
                    thread::sleep(SLEEP);
                }
            }
        }
        self.look();
        let mut seen = self.worker.counters().clone();
        self.asides.add_packets_to(&mut seen);
        Report {
            seen,
            sockets: Vec::new(),
        }
    }

    /// What is fed and was not read in time is not read any more.
    fn forsake(&self) {
        for lane in self.feeds.iter().filter(|lane| lane.is_open) {
            self.outbox.put_gap(Gap {
                from: lane.last,
                until: self.common.clock.now(),
                kind: GapKind::FramesLost,
            });
        }
    }

    /// Whether something may still be fed.
    fn is_fed(&self) -> bool {
        self.feeds.iter().any(|lane| lane.is_open)
    }

    /// Gives each a turn; whether anything came.
    fn pass(&mut self, room: &mut [u8], frame: &mut [u8; BRIDGE_FRAME_BYTES_MAX]) -> bool {
        let now = self.common.clock.now();
        let mut came = false;
        for at in 0..self.feeds.len() {
            for _ in 0..TURN {
                if !self.hear(at, room) {
                    break;
                }
                came = true;
            }
        }
        let until = self.feeds.iter().map(|lane| lane.last).min();
        let until = until.unwrap_or(Time::MIN);
        self.heard.until_us.store(until.as_micros(), Ordering::Release);
        if !self.is_fed() {
            self.join_held();
        }
        // What waits, in a feed or for its end, is older than the present: no leg may be closed before it is joined.
        let open = self.feeds.iter().filter(|lane| lane.is_open);
        let waiting = open.map(|lane| lane.last);
        let waiting = waiting.chain(self.held.front().map(|(time, _)| *time)).min();
        self.common.marks.advance(self.number, waiting.unwrap_or(now));
        for at in 0..self.bridges.len() {
            for _ in 0..TURN {
                if !self.cross(at, frame) {
                    break;
                }
                came = true;
            }
        }
        self.passed = now;
        came
    }

    /// Takes one message of a feed; whether there was one.
    fn hear(&mut self, at: usize, room: &mut [u8]) -> bool {
        let Some(lane) = self.feeds.get_mut(at).filter(|lane| lane.is_open) else {
            return false;
        };
        let message = match feed::receive(lane.socket.as_fd(), room) {
            Ok(Some(message)) => message,
            Ok(None) => return false,
            // An end that did not fit, or that of the predecessor, of which its connection tells: what was fed last may be missing.
            Err(_) => {
                lane.is_open = false;
                self.outbox.put_gap(Gap {
                    from: lane.last,
                    until: self.common.clock.now(),
                    kind: GapKind::FramesLost,
                });
                self.heard.ended.fetch_add(1, Ordering::Release);
                return false;
            }
        };
        let Ok(fed) = Fed::parse(message) else {
            self.heard.is_faulty.store(true, Ordering::Relaxed);
            lane.is_open = false;
            return false;
        };
        if fed.not_fed > lane.not_fed {
            let missing = fed.not_fed - lane.not_fed;
            tracing::warn!("{missing} frames came faster than they were heard: listening begins anew");
            let standing = &self.common.board.hand_over;
            standing.lost(missing);
            standing.restart();
            self.outbox.put_gap(Gap {
                from: lane.last,
                until: fed.time,
                kind: GapKind::FramesLost,
            });
            self.heard
                .since_us
                .fetch_max(fed.time.as_micros(), Ordering::AcqRel);
            lane.not_fed = fed.not_fed;
        }
        if !lane.has_begun {
            lane.has_begun = true;
            self.heard
                .since_us
                .fetch_max(fed.time.as_micros(), Ordering::AcqRel);
            self.heard.begun.fetch_add(1, Ordering::Release);
        }
        lane.last = fed.time;
        if fed.is_end {
            lane.is_open = false;
            self.heard.ended.fetch_add(1, Ordering::Release);
        }
        let count = fed.frames().count();
        if count > 0 {
            self.tally.batch(count);
            self.common.board.hand_over.heard(count as u64);
            join(
                fed.time,
                fed.frames(),
                &mut self.worker,
                &mut self.asides,
                &self.outbox,
                &self.common.shared,
            );
        }
        true
    }

    /// Takes one frame of a bridge; whether there was one.
    fn cross(&mut self, at: usize, room: &mut [u8; BRIDGE_FRAME_BYTES_MAX]) -> bool {
        let Some(bridged) = self.bridges.get_mut(at) else {
            return false;
        };
        let len = match bridged.bridge.receive(room) {
            Ok(Some(len)) => len,
            Ok(None) => return false,
            // It was down. Nobody watches the interface while it changes hands.
            Err(_) => {
                let since = *bridged.deaf_since.get_or_insert(self.passed);
                tell_deaf(&self.outbox, since, self.common.clock.now());
                return false;
            }
        };
        if let Some(since) = bridged.deaf_since.take() {
            tell_deaf(&self.outbox, since, self.common.clock.now());
        }
        let frame = room.get(..len).unwrap_or_default();
        // The rest of what passes to the stack does so at all times.
        if !judge(frame, |port| self.wanted.ports.contains(port), self.wanted.take).takes {
            return true;
        }
        let now = self.common.clock.now();
        self.common.board.hand_over.bridged(1);
        self.heard.bridged_us.fetch_max(now.as_micros(), Ordering::AcqRel);
        if !self.is_fed() {
            self.join_one(now, frame);
        } else if self.held_bytes + len <= HELD_BYTES_MAX {
            self.held_bytes += len;
            self.held.push_back((now, frame.into()));
        } else {
            self.tell_lost(1, now, now);
        }
        true
    }

    /// Joins what came over the bridges before the feeds had ended.
    fn join_held(&mut self) {
        while let Some((time, frame)) = self.held.pop_front() {
            self.join_one(time, &frame);
        }
        self.held_bytes = 0;
    }

    fn join_one(&mut self, time: Time, frame: &[u8]) {
        join(
            time,
            std::iter::once(frame),
            &mut self.worker,
            &mut self.asides,
            &self.outbox,
            &self.common.shared,
        );
    }

    fn tell_lost(&self, frames: u64, from: Time, until: Time) {
        self.common.board.hand_over.lost(frames);
        self.outbox.put_gap(Gap {
            from,
            until,
            kind: GapKind::FramesLost,
        });
    }

    /// Looks what bridges have lost, and tells how it is doing.
    fn look(&mut self) {
        let now = self.common.clock.now();
        for Bridged {
            bridge,
            dropped: told,
            deaf_since,
        } in &mut self.bridges
        {
            if let Some(since) = deaf_since {
                tell_deaf(&self.outbox, *since, now);
            }
            let dropped = bridge.dropped();
            let lost = dropped - *told;
            if lost > 0 {
                tracing::warn!(
                    "{lost} frames lost on the way from the one before: verdicts of this moment are flagged"
                );
                self.common.board.hand_over.lost(lost);
                self.outbox.put_gap(Gap {
                    from: now.plus_ms(-1_000),
                    until: now,
                    kind: GapKind::FramesLost,
                });
            }
            *told = dropped;
        }
        let Self {
            worker,
            asides,
            tally,
            ..
        } = self;
        self.common.board.reader(self.number, |notice| {
            notice.seen.clone_from(worker.counters());
            asides.add_packets_to(&mut notice.seen);
            notice.tally = *tally;
        });
    }
}

fn tell_deaf(outbox: &Outbox, since: Time, until: Time) {
    outbox.put_gap(Gap {
        from: since,
        until,
        kind: GapKind::InterfaceDown,
    });
}

#[cfg(test)]
mod tests {
    use ringtap_calls::{LegTable, Rules};
    use ringtap_xdp::Take;

    use super::*;
    use crate::decode::Decoder;
    use crate::live::board::Board;
    use crate::live::hand_over::Feed;
    use crate::live::marks::Marks;
    use crate::live::time::WallClock;
    use crate::worker::Shared;

    fn common() -> Arc<Common> {
        let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
        let table = LegTable::new(100, 1);
        Arc::new(Common {
            shared: Arc::new(Shared { table, rules }),
            clock: WallClock::new(),
            marks: Marks::new(1),
            stop: AtomicBool::new(false),
            board: Arc::new(Board::new(1)),
        })
    }

    fn work(common: &Arc<Common>, from: OwnedFd, orders: Receiver<Order>) -> Work {
        let decoder = Decoder::new([5060].into_iter().collect());
        let worker = (Worker::new(decoder.clone()), Asides::new(&decoder));
        let wanted = Settings {
            ports: [5060].into_iter().collect(),
            take: Take::TCP,
            dedicated: false,
            queues: 1,
        };
        Work::new(0, vec![from], common, worker, wanted, orders)
    }

    fn wait_for(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not come");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Catches legs that are closed before what waits in a feed is joined, and a feed that breaks off and is taken for whole.
    #[test]
    fn nothing_passes_what_is_fed() {
        let at = Time::from_micros;
        let (common, (into, from)) = (common(), feed::pair().unwrap());
        let (orders, inbox) = unbounded();
        let work = work(&common, from, inbox);
        let (heard, outbox) = (Arc::clone(&work.heard), Arc::clone(&work.outbox));
        let thread = thread::spawn(move || work.run());
        let mut feed = Feed::begin(into, at(10)).unwrap();
        wait_for(|| heard.since() == Some(at(10)) && common.marks.have_passed(at(10)));
        assert!(!common.marks.have_passed(at(11)), "more may come");
        feed.mark(at(20)).unwrap();
        wait_for(|| common.marks.have_passed(at(20)));
        assert!(!common.marks.have_passed(at(21)) && !heard.has_ended());
        drop(feed);
        wait_for(|| heard.has_ended() && common.marks.have_passed(at(21)));
        let gaps = outbox.take().harvest.gaps;
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].from, gaps[0].kind), (at(20), GapKind::FramesLost));
        orders.send(Order::End(Duration::ZERO)).unwrap();
        thread.join().unwrap();
    }

    /// Catches legs that are closed before what came over a bridge is joined, which waits for the end of the feeds; and what is not joined then.
    #[test]
    fn nothing_passes_what_came_over_a_bridge() {
        let at = Time::from_micros;
        let (common, (into, from)) = (common(), feed::pair().unwrap());
        let mut work = work(&common, from, unbounded().1);
        let mut feed = Feed::begin(into, at(10)).unwrap();
        let (mut room, mut frame) = (vec![0; MESSAGE_BYTES_MAX], Box::new([0; BRIDGE_FRAME_BYTES_MAX]));
        work.held.push_back((at(20), Box::new([0; 60])));
        feed.mark(at(30)).unwrap();
        work.pass(&mut room, &mut frame);
        assert!(common.marks.have_passed(at(20)) && !common.marks.have_passed(at(21)));
        assert_eq!(feed.end(at(40)), Ok(true));
        work.pass(&mut room, &mut frame);
        assert!(work.held.is_empty() && common.marks.have_passed(at(41)));
    }

    /// Catches a process that does not end as long as something waits that was fed to it, though nobody asks for that any more.
    #[test]
    fn it_ends_although_more_is_fed() {
        let (common, (into, from)) = (common(), feed::pair().unwrap());
        let mut feed = Feed::begin(into, Time::from_micros(10)).unwrap();
        while feed.counts().1 == 0 {
            let frames = std::iter::repeat_n(&[0_u8; 60][..], 64);
            feed.frames(Time::from_micros(20), frames).unwrap();
        }
        let (orders, inbox) = unbounded();
        orders.send(Order::End(Duration::ZERO)).unwrap();
        work(&common, from, inbox).run();
        let heard = common.board.hand_over.look().heard;
        assert!(
            heard > 0 && heard < feed.counts().0,
            "{heard} of {}",
            feed.counts().0
        );
    }
}

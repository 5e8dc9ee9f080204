//! What an heir hears: its predecessor's feeds, and the bridges while queues change hands.
//!
//! One thread that does a reader's work on frames that it does not take off a queue itself. It begins before the heir is confined to what it may
//! still do, and ends when the bridges have fallen silent.

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
    End,
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
        let heard = Arc::new(Heard {
            since_us: AtomicI64::new(i64::MIN),
            until_us: AtomicI64::new(i64::MIN),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            feeds: feeds.len(),
            is_faulty: AtomicBool::new(false),
            bridged_us: AtomicI64::new(i64::MIN),
        });
        let outbox = Arc::new(Outbox::default());
        let work = Work {
            number,
            common: Arc::clone(common),
            orders: inbox,
            heard: Arc::clone(&heard),
            outbox: Arc::clone(&outbox),
            worker,
            asides,
            wanted,
            feeds: feeds.into_iter().map(Lane::new).collect(),
            bridges: Vec::new(),
            tally: Tally::default(),
        };
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

    /// Tells it to read what has come by now, and to end. `None`: by a fault of the program, it had ended before.
    pub(super) fn end(self) -> Option<Report> {
        let _ended = self.orders.send(Order::End);
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
    bridges: Vec<(Bridge, u64)>,
    tally: Tally,
}

impl Work {
    fn run(mut self) -> Report {
        let mut room = vec![0; MESSAGE_BYTES_MAX];
        let mut frame = Box::new([0; BRIDGE_FRAME_BYTES_MAX]);
        let (mut looked, mut ready) = (Instant::now(), Vec::new());
        loop {
            let mut is_end = false;
            for order in self.orders.try_iter() {
                match order {
                    Order::Bridge(bridge) => self.bridges.push((bridge, 0)),
                    Order::End => is_end = true,
                }
            }
            let came = self.pass(&mut room, &mut frame);
            if is_end {
                while self.pass(&mut room, &mut frame) {}
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
                    .chain(self.bridges.iter().map(|(bridge, _)| bridge.as_fd()))
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

    /// Gives each a turn; whether anything came.
    fn pass(&mut self, room: &mut [u8], frame: &mut [u8; BRIDGE_FRAME_BYTES_MAX]) -> bool {
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
        self.heard
            .until_us
            .store(until.unwrap_or(Time::MIN).as_micros(), Ordering::Release);
        for at in 0..self.bridges.len() {
            for _ in 0..TURN {
                if !self.cross(at, frame) {
                    break;
                }
                came = true;
            }
        }
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
            // An end that did not fit, or that of the predecessor, of which its connection tells.
            Err(_) => {
                lane.is_open = false;
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
        let Some((bridge, _)) = self.bridges.get(at) else {
            return false;
        };
        let len = match bridge.receive(room) {
            Ok(Some(len)) => len,
            Ok(None) => return false,
            // It was down: what was missed then is told by who watches the interface.
            Err(_) => return true,
        };
        let frame = room.get(..len).unwrap_or_default();
        // The rest of what passes to the stack does so at all times.
        if !judge(frame, |port| self.wanted.ports.contains(port), self.wanted.take).takes {
            return true;
        }
        let now = self.common.clock.now();
        self.common.board.hand_over.bridged(1);
        self.heard.bridged_us.fetch_max(now.as_micros(), Ordering::AcqRel);
        join(
            now,
            std::iter::once(frame),
            &mut self.worker,
            &mut self.asides,
            &self.outbox,
            &self.common.shared,
        );
        true
    }

    /// Looks what bridges have lost, and tells how it is doing.
    fn look(&mut self) {
        let now = self.common.clock.now();
        for (bridge, told) in &mut self.bridges {
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

//! All readers, from outside: who reads which queue, orders, and their end.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Sender, bounded, unbounded};
use ringtap_xsk::{Queue, Wakeup};

use super::board::Tally;
use super::port::PortReport;
use super::reader::{Common, Order, Outbox, Reader, Report};
use super::ticker::Ticker;
use super::{LiveError, Options};
use crate::asides::Asides;
use crate::cores;
use crate::decode::Decoder;
use crate::worker::{Worker, WorkerCounters};

/// How often outboxes are emptied while readers read the last frames.
const GATHER_PAUSE: Duration = Duration::from_millis(2);

/// All readers, from outside.
#[derive(Debug)]
pub(super) struct Hands {
    hands: Vec<Hand>,
    outboxes: Vec<Arc<Outbox>>,
}

#[derive(Debug)]
struct Hand {
    orders: Sender<Order>,
    thread: JoinHandle<Report>,
    /// The ports of the queues that it reads.
    queues: Vec<usize>,
}

/// What is left of the readers.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) seen: WorkerCounters,
    pub(super) given_up: u64,
    pub(super) has_panicked: bool,
}

impl Hands {
    pub(super) fn start(
        common: &Arc<Common>,
        decoder: &Decoder,
        asides: &Asides,
        options: &Options,
    ) -> Result<Self, LiveError> {
        let cores: Vec<Option<usize>> = match options.cores.as_slice() {
            [] => vec![None],
            cores => cores.iter().copied().map(Some).collect(),
        };
        let (mut hands, mut outboxes) = (Vec::new(), Vec::new());
        for (number, core) in cores.into_iter().enumerate() {
            let (orders, inbox) = unbounded();
            let outbox = Arc::new(Outbox::default());
            let reader = Reader {
                number,
                common: Arc::clone(common),
                orders: inbox,
                outbox: Arc::clone(&outbox),
                worker: Worker::new(decoder.clone()),
                asides: asides.sharing(decoder),
                is_busy: options.port.queue.wakeup == Wakeup::Busy,
                lanes: Vec::new(),
                closed: Vec::new(),
                tally: Tally::default(),
                feed: None,
                fed_told: (0, 0),
            };
            hands.push(Hand {
                orders,
                thread: start(reader, core)?,
                queues: Vec::new(),
            });
            outboxes.push(outbox);
        }
        Ok(Self { hands, outboxes })
    }

    /// Gives a queue to the reader that has the fewest.
    pub(super) fn add(&mut self, port: usize, queue: Queue) {
        if let Some(hand) = self.hands.iter_mut().min_by_key(|hand| hand.queues.len()) {
            hand.queues.push(port);
            // A reader that has ended ends the capture.
            let _ended = hand.orders.send(Order::Add(port, Box::new(queue)));
        }
    }

    /// Closes the queues of a port.
    pub(super) fn remove(&mut self, port: usize) {
        for hand in &mut self.hands {
            hand.queues.retain(|of| *of != port);
            let _ended = hand.orders.send(Order::Remove(port));
        }
    }

    /// Has each reader feed one of these.
    pub(super) fn feed(&self, sockets: Vec<OwnedFd>) {
        for (hand, socket) in self.hands.iter().zip(sockets) {
            let _ended = hand.orders.send(Order::Feed(socket));
        }
    }

    pub(super) fn unfeed(&self) {
        for hand in &self.hands {
            let _ended = hand.orders.send(Order::Unfeed);
        }
    }

    /// Has all readers read what is left, and close their queues; returns when all is read.
    pub(super) fn let_go(&mut self) {
        for hand in &mut self.hands {
            hand.queues.clear();
        }
        self.ask(Order::LetGo);
    }

    /// Returns when all readers have heeded what they were told.
    pub(super) fn answer(&self) {
        self.ask(Order::Answer);
    }

    fn ask(&self, order: impl Fn(Sender<()>) -> Order) {
        let (done, all_done) = unbounded();
        for hand in &self.hands {
            // One that has ended does not answer, and ends the capture.
            let _ended = hand.orders.send(order(done.clone()));
        }
        drop(done);
        while all_done.recv().is_ok() {}
    }

    pub(super) fn outboxes(&self) -> &[Arc<Outbox>] {
        &self.outboxes
    }

    /// Whether a reader is gone, though nobody told it to stop.
    pub(super) fn has_one_ended(&self) -> bool {
        self.hands.iter().any(|hand| hand.thread.is_finished())
    }

    pub(super) fn given_up(&self) -> u64 {
        self.outboxes.iter().map(|outbox| outbox.given_up()).sum()
    }

    /// Waits until the readers have ended, and takes what they left.
    pub(super) fn finish(self, ticker: &mut Ticker, ports: &mut [PortReport]) -> Ended {
        let mut ended = Ended::default();
        for Hand { orders, thread, .. } in self.hands {
            drop(orders);
            // The rings may hold more than the outboxes.
            while !thread.is_finished() {
                ticker.gather(&self.outboxes);
                thread::sleep(GATHER_PAUSE);
            }
            let Ok(report) = thread.join() else {
                ended.has_panicked = true;
                continue;
            };
            ended.seen.merge(&report.seen);
            for counted in report.sockets {
                if let Some(port) = ports.get_mut(counted.port) {
                    port.sockets
                        .entry(counted.queue)
                        .or_default()
                        .add(counted.statistics);
                }
            }
        }
        ticker.gather(&self.outboxes);
        ended.given_up = self.outboxes.iter().map(|outbox| outbox.given_up()).sum();
        ended
    }
}

fn start(reader: Reader, core: Option<usize>) -> Result<JoinHandle<Report>, LiveError> {
    let (pinned, is_pinned) = bounded(1);
    let name = core.map_or_else(|| "reader".to_owned(), |core| format!("reader {core}"));
    let thread = thread::Builder::new().name(name).spawn(move || {
        let result = core.map_or(Ok(()), cores::pin);
        let is_fit = result.is_ok();
        let _starter_gone = pinned.send(result);
        if is_fit { reader.run() } else { Report::default() }
    })?;
    match is_pinned.recv() {
        Ok(Err(error)) => Err(error.into()),
        _ => Ok(thread),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use ringtap_calls::{LegTable, Rules};

    use super::*;
    use crate::live::board::Board;
    use crate::live::marks::Marks;
    use crate::live::time::WallClock;
    use crate::worker::Shared;

    /// Catches a reader's panic that nobody notices, so that no call is ever settled again, and one that keeps what the
    /// other readers saw from being recorded.
    #[test]
    fn a_readers_panic_ends_the_capture_in_order() {
        let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
        let table = LegTable::new(100, 1);
        let common = Arc::new(Common {
            shared: Arc::new(Shared { table, rules }),
            clock: WallClock::new(),
            marks: Marks::new(2),
            stop: AtomicBool::new(false),
            board: Arc::new(Board::new(2)),
        });
        let hand = |work: fn() -> Report| Hand {
            orders: unbounded().0,
            thread: thread::spawn(work),
            queues: Vec::new(),
        };
        let well: fn() -> Report = || Report {
            seen: WorkerCounters {
                bytes: 7,
                ..WorkerCounters::default()
            },
            sockets: Vec::new(),
        };
        let hands = Hands {
            hands: vec![hand(|| panic!("on purpose")), hand(well)],
            outboxes: Vec::new(),
        };
        while !hands.has_one_ended() {
            thread::yield_now();
        }
        let decoder = Decoder::new([5060].into_iter().collect());
        let (lots, settler) = bounded(4);
        let mut ticker = Ticker::new(&common, Asides::new(&decoder), lots);
        let ended = hands.finish(&mut ticker, &mut []);
        assert!(ended.has_panicked);
        assert_eq!(ended.seen.bytes, 7);
        ticker.end();
        let ends = settler.try_iter().filter(|lot| lot.now.is_none()).count();
        assert_eq!(ends, 1, "what was seen is settled");
    }
}

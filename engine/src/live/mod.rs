//! Live capture: frames from the queues of network interfaces through the whole pipeline, until told to stop.
//!
//! Readers, one thread for each core, take frames from their queues and join what they say into the leg table. The ticker,
//! in the caller's thread, advances the time, closes what is due and hands it to the settler; it also looks after
//! the interfaces. Readers never wait for it, and it waits for them only until they have joined what came before the
//! time to which it advances: as in a replay, a leg is closed when everything before its deadline has been joined,
//! whichever reader got it.

mod board;
mod dated;
mod marks;
mod opened;
mod port;
mod reader;
mod ticker;
mod time;

pub use board::{BATCH_BOUNDS, Board, Look, PortLook, RING_BOUNDS_PPM, Ring};
pub use port::{PortError, PortOptions, PortReport};

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded, unbounded};
use ringtap_calls::table::TableCounters;
use ringtap_telemetry::TelemetryError;
use ringtap_xsk::{Interface, Queue, Wakeup};
use thiserror::Error;

use crate::asides::Asides;
use crate::confine::{self, ConfineError};
use crate::cores::{self, CoreError, Precedence};
use crate::decode::Decoder;
use crate::settle::{Settled, SettlerThread, Told};
use crate::sink::{RecordSink, SinkError};
use crate::worker::{Shared, Worker, WorkerCounters};
use board::Tally;
use dated::Dated;
use marks::Marks;
use port::Port;
use reader::{Common, Order, Outbox, Reader, Report};
use ticker::Ticker;
use time::WallClock;

/// A queue that was closed a moment ago, by a process that is restarted, is still taken for a while.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);

/// How often outboxes are emptied while readers read the last frames.
const GATHER_PAUSE: Duration = Duration::from_millis(2);

/// How to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Interfaces, by name.
    pub interfaces: Vec<String>,
    /// Cores to pin one reader each to; empty: one reader, not pinned.
    pub cores: Vec<usize>,
    /// How interfaces are opened.
    pub port: PortOptions,
    /// Record answered calls too.
    pub keep_all: bool,
    /// What is left to the process once interfaces are open; `None` leaves it as it is.
    pub confine: Option<confine::Settings>,
    /// End after this time.
    pub stop_after: Option<Duration>,
}

impl Options {
    /// How many readers there will be.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.cores.len().max(1)
    }
}

/// A live capture could not be begun, or failed.
#[derive(Debug, Error)]
pub enum LiveError {
    /// An interface.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A core that does not exist, or that this process may not use.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// Privileges could not be dropped.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// Writing records.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Metrics and health cannot be asked for.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A fault of the program: the thread's panic has been told before. What had been seen by then is recorded.
    #[error("a reader ended by a fault of the program; please report what it said")]
    Reader,
}

/// What a capture saw and did.
#[derive(Debug)]
pub struct Outcome {
    /// Counters of all workers.
    pub seen: WorkerCounters,
    /// Counters of the leg table.
    pub table: TableCounters,
    /// What the settler did.
    pub settled: Settled,
    /// What each interface counted.
    pub ports: Vec<PortReport>,
    /// Legs that had to leave a full table, and registrations, that were lost because the settler hung.
    pub given_up: u64,
    /// Time on the wall.
    pub elapsed: Duration,
}

/// Whether the cores and interfaces are there, before anything is made.
///
/// # Errors
/// The first that is not.
pub fn check(options: &Options) -> Result<(), LiveError> {
    cores::check(&options.cores)?;
    for name in &options.interfaces {
        let interface = Interface::find(name).map_err(PortError::from)?;
        options.port.check(&interface)?;
    }
    Ok(())
}

/// Captures until `stop` is set; if it ends for another reason, it sets it. Everything that came by then is settled as far as it can be and recorded before this
/// returns. Sinks are made by `sinks` once privileges are dropped. Meanwhile `board` says how it is doing; it is made for
/// [`Options::readers`].
///
/// # Errors
/// If an interface cannot be opened at the start. Later it is told in the log, and tried again.
pub fn run(
    shared: Shared,
    decoder: &Decoder,
    options: &Options,
    sinks: impl FnOnce() -> Result<Vec<Box<dyn RecordSink>>, LiveError>,
    board: &Arc<Board>,
    stop: &AtomicBool,
) -> Result<Outcome, LiveError> {
    let began = Instant::now();
    check(options)?;
    ringtap_xsk::raise_memlock();
    let shared = Arc::new(shared);
    let readers = options.readers();
    let common = Arc::new(Common {
        shared: Arc::clone(&shared),
        clock: WallClock::new(),
        marks: Marks::new(readers),
        stop: AtomicBool::new(false),
        board: Arc::clone(board),
    });
    let mut ports = Vec::new();
    let mut opened = Vec::new();
    for (number, name) in options.interfaces.iter().enumerate() {
        let mut port = Port::new(name, &options.port);
        let queues = port.open(&common.clock, PATIENCE_AT_START)?;
        opened.extend(queues.into_iter().map(|queue| (number, queue)));
        ports.push(port);
    }
    let confined = options.confine.as_ref().map(confine::begin).transpose()?;
    // Readers inherit it: they could not take it themselves any more.
    let precedence = (!options.cores.is_empty()).then(Precedence::take);
    if let Some((keeper, rest)) = confined {
        rest.finish()?;
        for port in &mut ports {
            port.leave_to(keeper.clone());
        }
    }
    let asides = Asides::for_several(decoder);
    let mut hands = Hands::start(&common, decoder, &asides, options)?;
    drop(precedence);
    if opened.len() < readers {
        tracing::warn!(
            "{readers} cores, but only {} queues: the rest of the cores stays idle; `ethtool -L` sets the number of queues",
            opened.len()
        );
    }
    for (port, queue) in opened {
        hands.add(port, queue);
    }
    let dated = |inner| -> Box<dyn RecordSink> {
        let common = Arc::clone(&common);
        Box::new(Dated {
            inner,
            common,
            due: None,
        })
    };
    let sinks = sinks()?.into_iter().map(dated).collect();
    let told = Arc::clone(board);
    let told: Told = Box::new(move |settled, progress| told.settler(settled, progress));
    let settler = SettlerThread::spawn(Arc::clone(&shared), sinks, options.keep_all, Some(told))?;
    tracing::info!(
        "capturing on {} with {readers} {}",
        options.interfaces.join(", "),
        if readers == 1 { "reader" } else { "readers" }
    );
    let mut ticker = Ticker::new(&common, asides, settler.sender().clone());
    while !stop.load(Ordering::Relaxed) && options.stop_after.is_none_or(|after| began.elapsed() < after) {
        ticker.sleep();
        ticker.watch(&mut ports, &mut hands, stop);
        ticker.tick(hands.outboxes());
        // Without the settler, a sink failed, which it reports below.
        if ticker.is_alone() || hands.has_one_ended() {
            break;
        }
    }
    tracing::info!("stopping");
    stop.store(true, Ordering::Relaxed);
    for port in &mut ports {
        port.detach(common.clock.now(), ticker.gaps());
    }
    let mut ports: Vec<PortReport> = ports.iter().map(Port::report).collect();
    common.stop.store(true, Ordering::Relaxed);
    let ended = hands.finish(&mut ticker, &mut ports);
    ticker.end();
    let mut seen = ended.seen;
    ticker.into_asides().add_to(&mut seen);
    let settled = settler.finish()?;
    if ended.has_panicked {
        return Err(LiveError::Reader);
    }
    Ok(Outcome {
        seen,
        table: shared.table.counters(),
        settled,
        ports,
        given_up: ended.given_up,
        elapsed: began.elapsed(),
    })
}

/// All readers, from outside.
#[derive(Debug)]
struct Hands {
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
struct Ended {
    seen: WorkerCounters,
    given_up: u64,
    has_panicked: bool,
}

impl Hands {
    fn start(
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
    fn add(&mut self, port: usize, queue: Queue) {
        if let Some(hand) = self.hands.iter_mut().min_by_key(|hand| hand.queues.len()) {
            hand.queues.push(port);
            // A reader that has ended ends the capture.
            let _ended = hand.orders.send(Order::Add(port, Box::new(queue)));
        }
    }

    /// Closes the queues of a port.
    fn remove(&mut self, port: usize) {
        for hand in &mut self.hands {
            hand.queues.retain(|of| *of != port);
            let _ended = hand.orders.send(Order::Remove(port));
        }
    }

    fn outboxes(&self) -> &[Arc<Outbox>] {
        &self.outboxes
    }

    /// Whether a reader is gone, though nobody told it to stop.
    fn has_one_ended(&self) -> bool {
        self.hands.iter().any(|hand| hand.thread.is_finished())
    }

    fn given_up(&self) -> u64 {
        self.outboxes.iter().map(|outbox| outbox.given_up()).sum()
    }

    /// Waits until the readers have ended, and takes what they left.
    fn finish(self, ticker: &mut Ticker, ports: &mut [PortReport]) -> Ended {
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
    use super::*;
    use ringtap_calls::{LegTable, Rules};

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

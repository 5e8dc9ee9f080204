//! Live capture: frames from the queues of network interfaces through the whole pipeline, until told to stop.
//!
//! Readers, one thread for each core, take frames from their queues and join what they say into the leg table. The ticker,
//! in the caller's thread, advances the time, closes what is due and hands it to the settler; it also looks after
//! the interfaces. Readers never wait for it, and it waits for them only until they have joined what came before the
//! time to which it advances: as in a replay, a leg is closed when everything before its deadline has been joined,
//! whichever reader got it.

mod board;
mod dated;
mod hand_over;
mod marks;
mod opened;
mod port;
mod reader;
mod ticker;
mod time;

pub use board::{BATCH_BOUNDS, Board, Look, PortLook, RING_BOUNDS_PPM, Ring};
pub use hand_over::{HandOver, HandOverError, HandOverLook, Phase};
pub use port::{PortError, PortOptions, PortReport};

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded, unbounded};
use ringtap_calls::Learner;
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
use hand_over::{Door, Estate, Gate, Heir, Intake, Met, Predecessor, Takes, socket_path};
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
    /// Whether it takes over from a running capture, and where another may from this one.
    pub hand_over: HandOver,
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
    /// Taking over from a running capture.
    #[error(transparent)]
    HandOver(#[from] HandOverError),
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
    let readers = options.readers();
    let takes = Takes::of(&options.port.program);
    let socket = options
        .hand_over
        .folder
        .as_deref()
        .map(|folder| socket_path(folder, &options.interfaces));
    let mut met = match &socket {
        Some(socket) if options.hand_over.takes_over => Met::at(socket, &options.interfaces, takes.clone())?,
        _ => None,
    };
    let mut shared = shared;
    if let Some(secret) = met.as_ref().and_then(Met::secret) {
        shared.table = shared.table.hashing_with(secret);
    }
    let shared = Arc::new(shared);
    let common = Arc::new(Common {
        shared: Arc::clone(&shared),
        clock: met
            .as_ref()
            .map_or_else(WallClock::new, |met| WallClock::following(met.clock())),
        marks: Marks::new(readers + usize::from(met.is_some())),
        stop: AtomicBool::new(false),
        board: Arc::clone(board),
    });
    let mut ports = Vec::new();
    let mut opened = Vec::new();
    for (number, name) in options.interfaces.iter().enumerate() {
        if met.is_some() {
            ports.push(Port::awaiting(name, &options.port));
            continue;
        }
        let mut port = Port::new(name, &options.port);
        let queues = port.open(&common.clock, PATIENCE_AT_START)?;
        opened.extend(queues.into_iter().map(|queue| (number, queue)));
        ports.push(port);
    }
    // An heir is left its predecessor's.
    let mut door = match &socket {
        Some(socket) if met.is_none() => Door::make(socket),
        _ => None,
    };
    let confined = options.confine.as_ref().map(confine::begin).transpose()?;
    // Readers inherit it: they could not take it themselves any more.
    let precedence = (!options.cores.is_empty()).then(Precedence::take);
    let mut keeper = None;
    if let Some((kept, rest)) = confined {
        rest.finish()?;
        for port in &mut ports {
            port.leave_to(kept.clone());
        }
        keeper = Some(kept);
    }
    let asides = Asides::for_several(decoder);
    let mut hands = Hands::start(&common, decoder, &asides, options)?;
    let intake = match &mut met {
        Some(met) => {
            let worker = (Worker::new(decoder.clone()), asides.sharing(decoder));
            let wanted = options.port.program.clone();
            Some(Intake::start(readers, met.take_feeds(), &common, worker, wanted)?)
        }
        None => None,
    };
    drop(precedence);
    if opened.len() < readers && met.is_none() {
        tracing::warn!(
            "{readers} cores, but only {} queues: the rest of the cores stays idle; `ethtool -L` sets the number of queues",
            opened.len()
        );
    }
    for (port, queue) in opened {
        hands.add(port, queue);
    }
    let learned = match &mut met {
        Some(met) => met.learned(&shared.rules)?,
        None => Learner::default(),
    };
    let gate = Gate::shut();
    let dated = |inner| -> Box<dyn RecordSink> {
        let common = Arc::clone(&common);
        let dated = Box::new(Dated {
            inner,
            common,
            due: None,
        });
        if met.is_some() { gate.hold(dated) } else { dated }
    };
    let sinks = sinks()?.into_iter().map(dated).collect();
    let legacy = Predecessor::legacy();
    let (told, heirs) = (Arc::clone(board), Arc::clone(&legacy));
    let told: Told = Box::new(move |settled, progress, settler| {
        told.settler(settled, progress);
        heirs.tell_state(settler);
    });
    let settler = SettlerThread::spawn(Arc::clone(&shared), learned, sinks, options.keep_all, Some(told))?;
    let mut heir = None;
    let mut ticker = match (met, intake) {
        (Some(met), Some(intake)) => {
            let since = met.since(&intake.heard)?;
            let mut ticker = Ticker::beginning_at(since, &common, asides, settler.sender().clone());
            ticker.stay_behind(hand_over::lag_us());
            let warm_up = options
                .hand_over
                .after
                .unwrap_or_else(|| Duration::from_millis(shared.rules.warm_up_ms()));
            board.hand_over.enter(Phase::WarmingUp);
            tracing::info!(
                "listening on {}: takes over in {} s at the earliest",
                options.interfaces.join(", "),
                warm_up.as_secs()
            );
            heir = Some(Heir::new(met, intake, &gate, warm_up)?);
            ticker
        }
        _ => {
            tracing::info!(
                "capturing on {} with {readers} {}",
                options.interfaces.join(", "),
                if readers == 1 { "reader" } else { "readers" }
            );
            Ticker::new(&common, asides, settler.sender().clone())
        }
    };
    ticker.tell(&legacy);
    let estate = || Estate {
        interfaces: options.interfaces.clone(),
        takes: takes.clone(),
        readers,
        keeper: keeper.clone(),
    };
    let mut predecessor = match heir {
        Some(_) => None,
        None => Some(Predecessor::start(door.take(), estate(), &common, &legacy)?),
    };
    let mut outboxes = hands.outboxes().to_vec();
    outboxes.extend(heir.as_ref().map(|heir| Arc::clone(heir.outbox())));
    let mut failed = None;
    let mut is_left = false;
    while !stop.load(Ordering::Relaxed) && options.stop_after.is_none_or(|after| began.elapsed() < after) {
        ticker.sleep();
        ticker.watch(&mut ports, &mut hands, stop);
        let has_let_go = predecessor.as_ref().is_some_and(Predecessor::has_let_go);
        if !has_let_go {
            ticker.tick(&outboxes);
        }
        if let Some(heir) = &mut heir {
            if let Err(error) = heir.step(&mut ports, &mut hands, &mut ticker, &common) {
                failed = Some(error);
                break;
            }
            if heir.is_over() && predecessor.is_none() {
                predecessor = Some(Predecessor::start(heir.take_door(), estate(), &common, &legacy)?);
            }
        }
        if let Some(predecessor) = &mut predecessor
            && predecessor.heed(&mut ports, &mut hands, &mut ticker, &common)
        {
            is_left = true;
            break;
        }
        // Without the settler, a sink failed, which it reports below.
        if ticker.is_alone() || hands.has_one_ended() {
            break;
        }
    }
    if is_left {
        tracing::info!("handed over: another process captures now; stopping");
    } else {
        tracing::info!("stopping");
    }
    stop.store(true, Ordering::Relaxed);
    for port in &mut ports {
        port.detach(common.clock.now(), ticker.gaps());
    }
    let mut ports: Vec<PortReport> = ports.iter().map(Port::report).collect();
    common.stop.store(true, Ordering::Relaxed);
    let mut ended = hands.finish(&mut ticker, &mut ports);
    if let Some(heir) = heir.take() {
        let (outbox, report) = heir.conclude();
        ticker.gather(&[outbox]);
        ended.seen.merge(&report.unwrap_or_default().seen);
    }
    if is_left {
        ticker.leave();
    } else {
        ticker.end();
    }
    let mut seen = ended.seen;
    ticker.into_asides().add_to(&mut seen);
    let settled = settler.finish()?;
    if let Some(error) = failed {
        return Err(error);
    }
    if ended.has_panicked {
        return Err(LiveError::Reader);
    }
    // Until here, where the journal is written: an heir waits for its end.
    drop(predecessor);
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

    /// Has each reader feed one of these.
    fn feed(&self, sockets: Vec<OwnedFd>) {
        for (hand, socket) in self.hands.iter().zip(sockets) {
            let _ended = hand.orders.send(Order::Feed(socket));
        }
    }

    fn unfeed(&self) {
        for hand in &self.hands {
            let _ended = hand.orders.send(Order::Unfeed);
        }
    }

    /// Has all readers read what is left, and close their queues; returns when they have.
    fn let_go(&mut self) {
        for hand in &mut self.hands {
            hand.queues.clear();
        }
        self.ask(Order::LetGo);
    }

    /// Returns when all readers have heeded what they were told.
    fn answer(&self) {
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

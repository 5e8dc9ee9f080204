//! Live capture: frames from the queues of network interfaces through the whole pipeline, until told to stop.
//!
//! Readers, one thread for each core, take frames from their queues and join what they say into the leg table. The ticker,
//! in the caller's thread, advances the time, closes what is due and hands it to the settler; it also looks after
//! the interfaces. Readers never wait for it, and it waits for them only until they have joined what came before the
//! time to which it advances: as in a replay, a leg is closed when everything before its deadline has been joined,
//! whichever reader got it.

mod marks;
mod port;
mod reader;
mod ticker;
mod time;

pub use port::{PortError, PortOptions, PortReport};

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded, unbounded};
use ringtap_calls::table::TableCounters;
use ringtap_xsk::{Queue, Wakeup};
use thiserror::Error;

use crate::cores::{self, CoreError};
use crate::decode::Decoder;
use crate::fragments::Fragments;
use crate::settle::{Settled, SettlerThread};
use crate::sink::{RecordSink, SinkError};
use crate::worker::{Shared, Worker, WorkerCounters};
use marks::Marks;
use port::Port;
use reader::{Common, Order, Outbox, Reader, Report};
use ticker::Ticker;
use time::WallClock;

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
    /// End after this time.
    pub stop_after: Option<Duration>,
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
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// Writing records.
    #[error(transparent)]
    Sink(#[from] SinkError),
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
    /// Legs that had to leave a full table and were lost, because the settler hung.
    pub legs_given_up: u64,
    /// Time on the wall.
    pub elapsed: Duration,
}

/// Captures until `stop` is set. Everything that came by then is settled as far as it can be and recorded before this
/// returns.
///
/// # Errors
/// If an interface cannot be opened at the start. Later it is told in the log, and tried again.
pub fn run(
    shared: Shared,
    decoder: &Decoder,
    options: &Options,
    sinks: Vec<Box<dyn RecordSink>>,
    stop: &AtomicBool,
) -> Result<Outcome, LiveError> {
    let began = Instant::now();
    cores::check(&options.cores)?;
    ringtap_xsk::raise_memlock();
    let shared = Arc::new(shared);
    let readers = options.cores.len().max(1);
    let common = Arc::new(Common {
        shared: Arc::clone(&shared),
        clock: WallClock::new(),
        marks: Marks::new(readers),
        stop: AtomicBool::new(false),
    });
    let mut ports = Vec::new();
    let mut opened = Vec::new();
    for (number, name) in options.interfaces.iter().enumerate() {
        let mut port = Port::new(name, &options.port);
        let queues = port.open(common.clock.now())?;
        opened.extend(queues.into_iter().map(|queue| (number, queue)));
        ports.push(port);
    }
    let fragments = Fragments::new(decoder);
    let hands = Hands::start(&common, decoder, &fragments, options)?;
    if opened.len() < readers {
        tracing::warn!(
            "{readers} cores, but only {} queues: the rest of the cores stays idle; `ethtool -L` sets the number of queues",
            opened.len()
        );
    }
    for (port, queue) in opened {
        hands.add(port, queue);
    }
    let settler = SettlerThread::spawn(Arc::clone(&shared), sinks, options.keep_all)?;
    tracing::info!(
        "capturing on {} with {readers} {}",
        options.interfaces.join(", "),
        if readers == 1 { "reader" } else { "readers" }
    );
    let mut ticker = Ticker::new(&common, fragments, settler.sender().clone());
    while !stop.load(Ordering::Relaxed) && options.stop_after.is_none_or(|after| began.elapsed() < after) {
        ticker.sleep();
        ticker.watch(&mut ports, &hands);
        ticker.tick(hands.outboxes());
        if ticker.is_alone() {
            // The settler ended: a sink failed, which it reports below.
            break;
        }
    }
    tracing::info!("stopping");
    for port in &mut ports {
        port.detach();
    }
    let mut ports: Vec<PortReport> = ports.iter().map(Port::report).collect();
    common.stop.store(true, Ordering::Relaxed);
    let (mut seen, legs_given_up) = hands.finish(&mut ticker, &mut ports);
    ticker.end();
    ticker.into_fragments().add_to(&mut seen);
    let settled = settler.finish()?;
    Ok(Outcome {
        seen,
        table: shared.table.counters(),
        settled,
        ports,
        legs_given_up,
        elapsed: began.elapsed(),
    })
}

/// All readers, from outside.
#[derive(Debug)]
struct Hands {
    hands: Vec<Hand>,
    outboxes: Vec<Arc<Outbox>>,
    next: std::cell::Cell<usize>,
}

#[derive(Debug)]
struct Hand {
    orders: Sender<Order>,
    thread: JoinHandle<Report>,
}

impl Hands {
    fn start(
        common: &Arc<Common>,
        decoder: &Decoder,
        fragments: &Fragments,
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
                fragments: fragments.sharing(decoder),
                is_busy: options.port.queue.wakeup == Wakeup::Busy,
                lanes: Vec::new(),
                closed: Vec::new(),
            };
            hands.push(Hand {
                orders,
                thread: start(reader, core)?,
            });
            outboxes.push(outbox);
        }
        Ok(Self {
            hands,
            outboxes,
            next: std::cell::Cell::new(0),
        })
    }

    /// Gives a queue to the reader whose turn it is.
    fn add(&self, port: usize, queue: Queue) {
        let turn = self.next.replace(self.next.get() + 1);
        let hand = self.hands.get(turn % self.hands.len().max(1));
        // A reader ends only at the end of the capture, when queues are closed anyway.
        let _ended = hand.map(|hand| hand.orders.send(Order::Add(port, Box::new(queue))));
    }

    /// Closes the queues of a port.
    fn remove(&self, port: usize) {
        for hand in &self.hands {
            let _ended = hand.orders.send(Order::Remove(port));
        }
    }

    fn outboxes(&self) -> &[Arc<Outbox>] {
        &self.outboxes
    }

    /// Waits until the readers have ended; what they counted, and how many legs were given up.
    fn finish(self, ticker: &mut Ticker, ports: &mut [PortReport]) -> (WorkerCounters, u64) {
        let mut seen = WorkerCounters::default();
        for Hand { orders, thread } in self.hands {
            drop(orders);
            let report = match thread.join() {
                Ok(report) => report,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            seen.merge(&report.seen);
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
        let given_up = self.outboxes.iter().map(|outbox| outbox.given_up()).sum();
        (seen, given_up)
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

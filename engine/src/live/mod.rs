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
mod hands;
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringtap_calls::Learner;
use ringtap_calls::table::TableCounters;
use ringtap_telemetry::TelemetryError;
use ringtap_xsk::Interface;
use thiserror::Error;

use crate::asides::Asides;
use crate::confine::{self, ConfineError};
use crate::cores::{self, CoreError, Precedence};
use crate::decode::Decoder;
use crate::settle::{Settled, SettlerThread, Told};
use crate::sink::{RecordSink, SinkError};
use crate::worker::{Shared, Worker, WorkerCounters};
use dated::Dated;
use hand_over::{Door, Estate, Gate, Heir, Intake, Met, Predecessor, Takes, socket_path};
use hands::Hands;
use marks::Marks;
use port::Port;
use reader::Common;
use ticker::Ticker;
use time::WallClock;

/// A queue that was closed a moment ago, by a process that is restarted, is still taken for a while.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);

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
/// returns. Sinks are made by `sinks` once privileges are dropped; it is told whether records are held back for now, so that nothing may be
/// touched yet ([`RecordSink::open`]), and given what is set once nothing comes any more that waiting for a disk could cost: a process that is told to
/// stop may go on for a while, until an heir has its queues. Meanwhile `board` says how it is doing; it is made for [`Options::readers`].
///
/// # Errors
/// If an interface cannot be opened at the start. Later it is told in the log, and tried again.
pub fn run(
    shared: Shared,
    decoder: &Decoder,
    options: &Options,
    sinks: impl FnOnce(bool, &Arc<AtomicBool>) -> Result<Vec<Box<dyn RecordSink>>, LiveError>,
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
        Some(socket) if options.hand_over.takes_over => {
            let own = rustix::process::geteuid().as_raw();
            let account = options.confine.as_ref().map(|confine| confine.account.uid());
            let users = [own, account.unwrap_or(own)];
            Met::at(socket, &users, &options.interfaces, takes.clone())?
        }
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
    let has_ended = Arc::new(AtomicBool::new(false));
    let sinks = sinks(met.is_some(), &has_ended)?.into_iter().map(dated).collect();
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
            ticker.stay_behind(Heir::lag_us());
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
    let mut ending_since = None;
    loop {
        if stop.load(Ordering::Relaxed) || options.stop_after.is_some_and(|after| began.elapsed() >= after) {
            let since = *ending_since.get_or_insert_with(Instant::now);
            // An heir that listens is to have the queues first, and the calls that are open.
            let predecessor = predecessor.as_ref();
            if !predecessor.is_some_and(|predecessor| predecessor.waits(since.elapsed())) {
                break;
            }
            legacy.tell_ending();
        }
        ticker.sleep();
        // As long as it waits for an heir, it captures as ever.
        let is_awaited = predecessor
            .as_ref()
            .is_some_and(|predecessor| predecessor.waits(Duration::ZERO));
        ticker.watch(&mut ports, &mut hands, (!is_awaited).then_some(stop));
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
    has_ended.store(true, Ordering::Relaxed);
    for port in &mut ports {
        port.detach(common.clock.now(), ticker.gaps());
    }
    ticker.tell_gaps(hands.outboxes());
    let mut ports: Vec<PortReport> = ports.iter().map(Port::report).collect();
    common.stop.store(true, Ordering::Relaxed);
    let mut ended = hands.finish(&mut ticker, &mut ports);
    if let (false, Some(predecessor)) = (is_left, &mut predecessor) {
        predecessor.leave(&legacy);
    }
    if let Some(heir) = heir.take() {
        let (outbox, report) = heir.conclude();
        ticker.gather(&[outbox]);
        ended.seen.merge(&report.unwrap_or_default().seen);
    }
    // Queues that are let go are an heir's already, though it has not said so yet.
    if is_left || predecessor.as_ref().is_some_and(Predecessor::has_let_go) {
        ticker.leave();
    } else {
        ticker.end();
    }
    let mut seen = ended.seen;
    ticker.end_counting(&mut seen);
    let settled = settler.finish()?;
    if let Some(error) = failed {
        return Err(error);
    }
    if ended.has_panicked {
        return Err(LiveError::Reader);
    }
    // Until here, where the journal is written: an heir waits for its end.
    if let Some(predecessor) = predecessor {
        predecessor.conclude();
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

//! Handing over: the side of the process that captures, in the thread that ticks.
//!
//! Who answers heirs (`host`) asks it for what concerns readers, interfaces and legs, and it heeds that between two ticks ([`Predecessor`]). What
//! others have to tell an heir waits in [`Legacy`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, never, unbounded};
use ringtap_calls::{Gap, GapKind, Knowledge, Settler};
use ringtap_record::Time;
use ringtap_xdp::Attached;
use rustix::process::Pid;

use super::door::Door;
use super::host::{Host, WORK_PATIENCE};
use super::standing::Phase;
use super::wire::{LinkOf, Message, Takes, Talker};
use crate::confine::Keeper;
use crate::live::opened::Inherited;
use crate::live::port::{Port, await_landing};
use crate::live::reader::Common;
use crate::live::ticker::Ticker;
use crate::live::{Hands, PortError};

/// How long a process that is told to end waits for an heir that listens to ask for the queues.
const HEIR_PATIENCE: Duration = Duration::from_secs(20);
/// Gaps that wait to be told.
const GAPS_MAX: usize = 1024;
const NONE_OPEN: i64 = i64::MAX;

/// What a capture is, to somebody who wants to take over.
#[derive(Clone)]
pub(in crate::live) struct Estate {
    pub(in crate::live) interfaces: Vec<String>,
    pub(in crate::live) takes: Takes,
    pub(in crate::live) readers: usize,
    pub(in crate::live) keeper: Option<Keeper>,
}

/// What the ticking thread is asked for. Whoever asks waits for the answer.
pub(super) enum Request {
    /// Have readers feed these, one each.
    Feed(Vec<OwnedFd>, Sender<()>),
    /// Take no more frames.
    LetGo(Sender<Result<Gone, String>>),
    /// The heir, this process, is gone, or stands still.
    Abandoned(Pid),
    /// The heir captures; its connection ends with the process.
    Done(Talker),
}

/// Queues are let go.
pub(super) struct Gone {
    pub(super) links: Vec<(LinkOf, OwnedFd)>,
    pub(super) settled: Time,
}

/// The ticking thread's part.
pub(in crate::live) struct Predecessor {
    requests: Receiver<Request>,
    /// An heir listens.
    is_heard: bool,
    /// Queues are let go: nothing is heard, and nothing may be judged.
    has_let_go: bool,
    /// Ends with the process: by that the heir knows that the journal is written.
    heir: Option<Talker>,
}

impl Predecessor {
    /// Begins to answer at the door; without one, nobody comes.
    pub(in crate::live) fn start(
        door: Option<Door>,
        estate: Estate,
        common: &Arc<Common>,
        legacy: &Arc<Legacy>,
    ) -> io::Result<Self> {
        let (requests, inbox) = unbounded();
        if let Some(Door(door)) = door {
            let host = Host::new(door, estate, common, legacy, requests);
            thread::Builder::new()
                .name("hand-over".to_owned())
                .spawn(move || host.answer())?;
        }
        Ok(Self {
            requests: inbox,
            is_heard: false,
            has_let_go: false,
            heir: None,
        })
    }

    pub(in crate::live) fn legacy() -> Arc<Legacy> {
        Arc::new(Legacy::new())
    }

    /// Whether queues are let go: nothing may be judged then.
    pub(in crate::live) const fn has_let_go(&self) -> bool {
        self.has_let_go
    }

    /// Whether a process that was told to end so long ago waits for an heir, which is to have its queues and its open calls.
    pub(in crate::live) fn waits(&self, since: Duration) -> bool {
        // Who has let them go is told in time whether the heir captures.
        self.has_let_go || (self.is_heard && since < HEIR_PATIENCE)
    }

    /// Does what it is asked for. Whether an heir captures now: then this process is to end.
    pub(in crate::live) fn heed(
        &mut self,
        ports: &mut [Port],
        hands: &mut Hands,
        ticker: &mut Ticker,
        common: &Common,
    ) -> bool {
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Feed(sockets, done) => {
                    hands.feed(sockets);
                    self.is_heard = true;
                    let _nobody_waits = done.send(());
                }
                Request::LetGo(done) => {
                    common.board.hand_over.enter(Phase::Changing);
                    self.has_let_go = true;
                    let gone = let_go(ports, hands, ticker, common);
                    let _nobody_waits = done.send(gone.map_err(|error| error.to_string()));
                }
                Request::Abandoned(heir) => {
                    hands.unfeed();
                    self.is_heard = false;
                    if self.has_let_go {
                        self.has_let_go = false;
                        tracing::warn!("the one that was to take over is gone: taking the queues back");
                        let now = common.clock.now();
                        for (number, port) in ports.iter_mut().enumerate() {
                            if port.take_back(heir, now, ticker.gaps()) {
                                hands.remove(number);
                            }
                        }
                    }
                }
                Request::Done(talker) => {
                    self.heir = Some(talker);
                    return true;
                }
            }
        }
        false
    }

    /// The end, before the journal is written, of a process that captures no more and has handed nothing over: an heir that listens need not wait for a
    /// disk to know that.
    pub(in crate::live) fn leave(&mut self, legacy: &Legacy) {
        legacy.is_leaving.store(true, Ordering::Release);
        // Who asks for something hears at once that nobody answers.
        self.requests = never();
    }

    /// The end, when the journal is written: an heir that waits for it is told.
    pub(in crate::live) fn conclude(self) {
        if let Some(heir) = self.heir {
            let _may_be_gone = heir.send(&Message::Written);
        }
    }
}

/// Lets the queues go: what comes from now on passes to the network stack. All that came before is joined, and what was due is settled.
fn let_go(
    ports: &mut [Port],
    hands: &mut Hands,
    ticker: &mut Ticker,
    common: &Common,
) -> Result<Gone, PortError> {
    let now = common.clock.now();
    for port in &mut *ports {
        port.let_go(now, ticker.gaps())?;
    }
    await_landing();
    hands.let_go();
    let began = Instant::now();
    let last = common.clock.now();
    while ticker.settled().plus_ms(64) < last && began.elapsed() < WORK_PATIENCE {
        ticker.sleep();
        ticker.tick(hands.outboxes());
    }
    ticker.tell_gaps(hands.outboxes());
    let mut links = Vec::new();
    for port in ports {
        match port.inheritance() {
            Ok(Some(Inherited { link, attached })) => links.push((
                LinkOf {
                    interface: port.name().to_owned(),
                    is_native: attached == Attached::Native,
                },
                link,
            )),
            Ok(None) => {}
            // Two programs have no place on one interface, and the heir attaches its own.
            Err(error) => {
                tracing::warn!("{}: its program cannot be passed on: {error}", port.name());
                port.make_way();
            }
        }
    }
    Ok(Gone {
        links,
        settled: ticker.settled(),
    })
}

/// What other threads leave for an heir. Costs them a look at a flag as long as there is none.
#[derive(Debug)]
pub(in crate::live) struct Legacy {
    is_wanted: AtomicBool,
    is_ending: AtomicBool,
    is_leaving: AtomicBool,
    wants_knowledge: AtomicBool,
    oldest_us: AtomicI64,
    knowledge: (Sender<Knowledge>, Receiver<Knowledge>),
    gaps: (Sender<Gap>, Receiver<Gap>),
}

impl Legacy {
    fn new() -> Self {
        Self {
            is_wanted: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            wants_knowledge: AtomicBool::new(false),
            oldest_us: AtomicI64::new(NONE_OPEN),
            knowledge: bounded(1),
            gaps: bounded(GAPS_MAX),
        }
    }

    /// The ticking thread's: this process was told to end.
    pub(in crate::live) fn tell_ending(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// The ticker's: what was missed. What streams and fragments lack, an heir finds by itself.
    pub(in crate::live) fn tell_gaps(&self, gaps: &[Gap]) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let missed = gaps
            .iter()
            .filter(|gap| matches!(gap.kind, GapKind::FramesLost | GapKind::InterfaceDown));
        for gap in missed {
            if self.gaps.0.try_send(*gap).is_err() {
                tracing::warn!("the heir does not take what is told to it");
            }
        }
    }

    /// The settler's, after each lot.
    pub(in crate::live) fn tell_state(&self, settler: &Settler) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let oldest = settler.earliest().map_or(NONE_OPEN, Time::as_micros);
        self.oldest_us.store(oldest, Ordering::Relaxed);
        if self.wants_knowledge.swap(false, Ordering::AcqRel) {
            let _nobody_waits = self.knowledge.0.try_send(settler.learner.knowledge());
        }
    }

    /// Whether there is an heir who wants all this. What was left for the one before is forgotten.
    pub(super) fn is_wanted(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        if !is_wanted {
            self.gaps().for_each(drop);
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Whether this process captures no more, and has handed nothing over.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// What the settler knows now; `None` if it does not say so in time.
    pub(super) fn knowledge(&self, patience: Duration) -> Option<Knowledge> {
        self.knowledge.1.try_iter().for_each(drop);
        self.wants_knowledge.store(true, Ordering::Release);
        self.knowledge.1.recv_timeout(patience).ok()
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.gaps.1.try_iter()
    }

    pub(super) fn oldest_us(&self) -> Option<i64> {
        let oldest = self.oldest_us.load(Ordering::Relaxed);
        (oldest != NONE_OPEN).then_some(oldest)
    }
}

//! Taking over: the side of the new process.
//!
//! It meets its predecessor before it drops privileges ([`Met`]), then does its own work on what that feeds, and after each tick looks what is
//! next ([`Heir::step`]): when it knows enough, it has the queues let go, takes them, and once the predecessor has ended it lets its records
//! pass. Whatever fails before that ends it, and the predecessor goes on.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, unbounded};
use ringtap_calls::{Gap, GapKind, HASHES, Knowledge, Learner, Rules};
use ringtap_record::Time;
use ringtap_xdp::Attached;
use thiserror::Error;

use super::held::Gate;
use super::intake::{Heard, Intake};
use super::predecessor::Door;
use super::standing::Phase as Told;
use super::wire::{
    Connection, DESCRIPTORS_MAX, Hello, LinkOf, Message, PROTOCOL, Received, Takes, Talker, Welcome,
};
use super::{ClockReading, feed};
use crate::live::opened::Inherited;
use crate::live::port::{Port, PortError};
use crate::live::reader::{Common, Outbox, Report};
use crate::live::ticker::Ticker;
use crate::live::{Hands, LiveError};

/// How long a predecessor may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a look at what it says takes at most.
const SLICE: Duration = Duration::from_millis(500);
/// How far an heir stays behind the present: by then, what its predecessor reads has come.
const LAG_US: i64 = 250_000;
/// How old what is heard may be when it takes over: one that is behind does not know yet what was left out.
const BEHIND_MAX_MS: i64 = 1_000;
/// How long queues that the predecessor has closed may still be taken for.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing has to have come over the bridges before they are closed, and how long they stay at most.
const QUIET_MS: i64 = 250;
const BRIDGE_MAX: Duration = Duration::from_secs(5);
/// How long the predecessor may take to write its journal. Records wait as long.
const FLUSH_MAX: Duration = Duration::from_secs(30);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(15);

/// A new process cannot take over.
#[derive(Debug, Error)]
pub enum HandOverError {
    /// The running one says no.
    #[error("the running process does not hand over: {0}")]
    Refused(String),
    /// It cannot be spoken with.
    #[error("{}: cannot speak with the running process: {source}", .path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It said something that makes no sense, or not what was due. It goes on.
    #[error("the running process goes on, and this one ends: {0}")]
    Broken(String),
}

/// A predecessor that was met.
pub(in crate::live) struct Met {
    path: PathBuf,
    connection: Connection,
    talker: Talker,
    welcome: Welcome,
    feeds: Vec<OwnedFd>,
}

impl Met {
    /// Knocks at the socket of a running capture. `None`, which is told, if there is none: then there is nothing to take over.
    pub(in crate::live) fn at(
        path: &Path,
        interfaces: &[String],
        takes: Takes,
    ) -> Result<Option<Self>, HandOverError> {
        let silent = |source| HandOverError::Silent {
            path: path.to_owned(),
            source,
        };
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                tracing::info!("{}: nobody to take over from: starting afresh", path.display());
                return Ok(None);
            }
            Err(error) => return Err(silent(error)),
        };
        let mut connection = Connection::new(stream).map_err(silent)?;
        let talker = connection.sender().map_err(silent)?;
        talker
            .send(&Message::Hello(Hello {
                protocol: PROTOCOL,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                interfaces: interfaces.to_vec(),
                takes,
            }))
            .map_err(silent)?;
        let welcome = match connection.receive(ANSWER_PATIENCE).map_err(silent)? {
            Some(Received::Message(Message::Welcome(welcome))) => welcome,
            Some(Received::Message(Message::Refused { why })) => return Err(HandOverError::Refused(why)),
            _ => return Err(HandOverError::Refused("it does not answer".to_owned())),
        };
        if welcome.protocol != PROTOCOL || welcome.readers > DESCRIPTORS_MAX {
            return Err(HandOverError::Refused(format!(
                "it speaks protocol {} with {} readers, and this one speaks {PROTOCOL}",
                welcome.protocol, welcome.readers
            )));
        }
        tracing::info!(
            "taking over from process {} (version {}): listening to what it captures",
            welcome.process,
            welcome.version
        );
        let pairs = (0..welcome.readers)
            .map(|_| feed::pair())
            .collect::<io::Result<Vec<_>>>();
        let (into, feeds): (Vec<OwnedFd>, Vec<OwnedFd>) = pairs.map_err(silent)?.into_iter().unzip();
        let descriptors: Vec<BorrowedFd<'_>> = into.iter().map(OwnedFd::as_fd).collect();
        talker.send_with(&Message::Feed, &descriptors).map_err(silent)?;
        Ok(Some(Self {
            path: path.to_owned(),
            connection,
            talker,
            welcome,
            feeds,
        }))
    }

    /// Its clock.
    pub(in crate::live) const fn clock(&self) -> &ClockReading {
        &self.welcome.clock
    }

    /// What it hashes with, if both hash alike.
    pub(in crate::live) fn secret(&self) -> Option<[u8; 16]> {
        let key = &self.welcome.key;
        if self.welcome.hashes != HASHES || key.len() != 32 {
            return None;
        }
        let mut secret = [0; 16];
        for (at, octet) in secret.iter_mut().enumerate() {
            *octet = u8::from_str_radix(key.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(secret)
    }

    /// The feeds, for the intake.
    pub(in crate::live) fn take_feeds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.feeds)
    }

    /// Waits for what it has learned of registrations.
    pub(in crate::live) fn learned(&mut self, rules: &Rules) -> Result<Learner, HandOverError> {
        let is_alike = self.secret().is_some();
        let until = Instant::now() + 2 * ANSWER_PATIENCE;
        while Instant::now() < until {
            match self.connection.receive(SLICE) {
                Ok(Some(Received::Knowledge(octets))) => {
                    let knowledge = serde_json::from_slice::<Knowledge>(&octets);
                    return Ok(match knowledge {
                        Ok(knowledge) if is_alike => {
                            tracing::info!("{} contacts are known from it", knowledge.len());
                            Learner::knowing(knowledge, rules)
                        }
                        _ => {
                            tracing::warn!(
                                "what it has learned of registrations cannot be used: phones that are called by their contacts are not known until \
                                 they register again"
                            );
                            Learner::default()
                        }
                    });
                }
                Ok(_) => {}
                Err(source) => {
                    return Err(HandOverError::Silent {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        Err(HandOverError::Broken("it does not tell what it knows".to_owned()))
    }

    /// Waits until all of its readers feed; since when they do.
    pub(in crate::live) fn since(&self, heard: &Heard) -> Result<Time, HandOverError> {
        let until = Instant::now() + ANSWER_PATIENCE;
        while Instant::now() < until {
            if let Some(since) = heard.since() {
                return Ok(since);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(HandOverError::Broken("not all of its readers feed".to_owned()))
    }
}

/// What the predecessor said, or that it is gone.
enum Event {
    Message(Message, Vec<OwnedFd>),
    Ended(io::Error),
}

/// How far it is.
enum Phase {
    /// It listens.
    WarmingUp,
    /// It has asked for the queues, and hears what comes over bridges meanwhile.
    Asking { since: Instant },
    /// It captures, and waits for the bridges to fall silent and for the predecessor to have written its journal.
    Parting { since: Instant, settled: Time },
    /// It is alone.
    Over,
}

/// The ticking thread's part.
pub(in crate::live) struct Heir {
    phase: Phase,
    events: Receiver<Event>,
    /// Ends the connection when it is dropped, but for what the thread that reads holds.
    talker: Option<Talker>,
    stream: UnixStream,
    intake: Option<Intake>,
    outbox: Arc<Outbox>,
    report: Option<Report>,
    gate: Arc<Gate>,
    warm_up: Duration,
    oldest: Option<Time>,
    has_parted: bool,
    door: Option<Door>,
    told_at: Instant,
    is_waiting_told: bool,
}

impl Heir {
    /// `warm_up` is how long to listen at least.
    pub(in crate::live) fn new(
        met: Met,
        intake: Intake,
        gate: &Arc<Gate>,
        warm_up: Duration,
    ) -> io::Result<Self> {
        let Met {
            mut connection,
            talker,
            ..
        } = met;
        let stream = connection.stream().try_clone()?;
        let (said, events) = unbounded();
        thread::Builder::new()
            .name("predecessor".to_owned())
            .spawn(move || {
                loop {
                    let event = match connection.receive(SLICE) {
                        Ok(None) => continue,
                        Ok(Some(Received::Message(message))) => {
                            let count = match &message {
                                Message::Gone { links, door, .. } => links.len() + usize::from(*door),
                                _ => 0,
                            };
                            match connection.take_descriptors(count) {
                                Ok(descriptors) => Event::Message(message, descriptors),
                                Err(error) => Event::Ended(error),
                            }
                        }
                        Ok(Some(Received::Knowledge(_))) => continue,
                        Err(error) => Event::Ended(error),
                    };
                    let is_end = matches!(event, Event::Ended(_));
                    if said.send(event).is_err() || is_end {
                        break;
                    }
                }
            })?;
        Ok(Self {
            phase: Phase::WarmingUp,
            events,
            talker: Some(talker),
            stream,
            outbox: Arc::clone(&intake.outbox),
            intake: Some(intake),
            report: None,
            gate: Arc::clone(gate),
            warm_up,
            oldest: None,
            has_parted: false,
            door: None,
            told_at: Instant::now(),
            is_waiting_told: false,
        })
    }

    /// Where the intake leaves legs and gaps.
    pub(in crate::live) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The place where the next heir may knock, once the predecessor is gone.
    pub(in crate::live) fn take_door(&mut self) -> Option<Door> {
        matches!(self.phase, Phase::Over)
            .then(|| self.door.take())
            .flatten()
    }

    /// Whether it has taken over, and all that came of that is done.
    pub(in crate::live) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Looks what is next, and does it.
    pub(in crate::live) fn step(
        &mut self,
        ports: &mut [Port],
        hands: &mut Hands,
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        if self.is_over() {
            return Ok(());
        }
        let is_faulty = self
            .intake
            .as_ref()
            .is_some_and(|intake| intake.heard.is_faulty() || intake.is_gone());
        if is_faulty && !self.has_parted {
            return Err(broken("what it feeds cannot be read"));
        }
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Message(message, descriptors) => {
                    self.heed(message, descriptors, ports, hands, ticker, common)?;
                }
                Event::Ended(error) => self.left_alone(&error, ports, ticker, common)?,
            }
        }
        match self.phase {
            Phase::WarmingUp => self.warm_up(ports, common),
            Phase::Asking { since } if since.elapsed() > ANSWER_PATIENCE => {
                Err(broken("it does not let its queues go"))
            }
            Phase::Parting { since, settled } => {
                self.part(since, settled, ticker, common);
                Ok(())
            }
            Phase::Asking { .. } | Phase::Over => Ok(()),
        }
    }

    /// The end of this process. What it owes by then is written, if it has taken over.
    pub(in crate::live) fn conclude(mut self) -> (Arc<Outbox>, Option<Report>) {
        if let Phase::Parting { settled, .. } = self.phase {
            self.gate.open(settled);
        }
        let report = self.report.take();
        (self.outbox.clone(), report.or_else(|| self.intake.take()?.end()))
    }

    fn heed(
        &mut self,
        message: Message,
        descriptors: Vec<OwnedFd>,
        ports: &mut [Port],
        hands: &mut Hands,
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        match message {
            Message::State { oldest_us } => self.oldest = oldest_us.map(Time::from_micros),
            Message::Gap {
                from_us,
                until_us,
                is_down,
            } => ticker.gaps().push(Gap {
                from: Time::from_micros(from_us),
                until: Time::from_micros(until_us),
                kind: if is_down {
                    GapKind::InterfaceDown
                } else {
                    GapKind::FramesLost
                },
            }),
            Message::Gone {
                links,
                door,
                settled_us,
            } if matches!(self.phase, Phase::Asking { .. }) => {
                let mut descriptors = descriptors.into_iter();
                let links: Vec<(LinkOf, OwnedFd)> = links.into_iter().zip(descriptors.by_ref()).collect();
                if door {
                    self.door = descriptors.next().map(Door::left_by_another);
                }
                self.change(links, ports, hands, common)?;
                self.phase = Phase::Parting {
                    since: Instant::now(),
                    settled: Time::from_micros(settled_us),
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks for the queues, if it knows enough.
    fn warm_up(&mut self, ports: &mut [Port], common: &Common) -> Result<(), LiveError> {
        let Some(intake) = &self.intake else { return Ok(()) };
        let Some(since) = intake.heard.since() else {
            return Ok(());
        };
        let warm_up_ms = i64::try_from(self.warm_up.as_millis()).unwrap_or(i64::MAX);
        let left_ms = (since.plus_ms(warm_up_ms) - common.clock.now()) / 1000;
        common.board.hand_over.left(left_ms);
        // Calls that began before are waited for, but not without end: a caller may wait in a queue for an hour.
        let is_awaited = self.oldest.is_some_and(|oldest| oldest < since);
        let longer_ms = left_ms.saturating_add(warm_up_ms);
        if left_ms > 0 || (is_awaited && longer_ms > 0) {
            if self.told_at.elapsed() >= TELL || (left_ms <= 0 && !self.is_waiting_told) {
                self.told_at = Instant::now();
                if left_ms > 0 {
                    tracing::info!("listening: takes over in {} s", left_ms / 1000 + 1);
                } else {
                    self.is_waiting_told = true;
                    tracing::info!(
                        "listening: waits for a call that began before, for {} s at most",
                        longer_ms / 1000 + 1
                    );
                }
            }
            return Ok(());
        }
        if intake.heard.until().plus_ms(BEHIND_MAX_MS) < common.clock.now() {
            return Ok(());
        }
        if is_awaited {
            tracing::warn!("taking over although a call is open that began before: it will be flagged");
        }
        for port in &mut *ports {
            port.prepare()?;
        }
        for port in ports {
            intake.listen(port.bridge()?);
        }
        common.board.hand_over.enter(Told::Changing);
        self.say(&Message::LetGo)?;
        self.phase = Phase::Asking {
            since: Instant::now(),
        };
        Ok(())
    }

    /// Takes the queues, which nobody has now: what comes meanwhile comes over the bridges.
    fn change(
        &mut self,
        mut links: Vec<(LinkOf, OwnedFd)>,
        ports: &mut [Port],
        hands: &mut Hands,
        common: &Common,
    ) -> Result<(), LiveError> {
        let began = Instant::now();
        for (number, port) in ports.iter_mut().enumerate() {
            let place = links.iter().position(|(of, _)| of.interface == port.name());
            let inherited = place.map(|place| {
                let (of, link) = links.swap_remove(place);
                let attached = if of.is_native {
                    Attached::Native
                } else {
                    Attached::Generic
                };
                Inherited { link, attached }
            });
            let queues = match port.open_after(inherited, &common.clock, QUEUE_PATIENCE) {
                Err(error @ PortError::Link { .. }) => {
                    tracing::warn!("{error}: it is taken off, and this one's put on");
                    self.say(&Message::Detach {
                        interface: port.name().to_owned(),
                    })?;
                    self.wait_for_detached()?;
                    port.open_after(None, &common.clock, QUEUE_PATIENCE)
                }
                opened => opened,
            }?;
            let sockets = queues
                .iter()
                .map(|queue| Ok((queue.number(), queue.fd().try_clone_to_owned()?)))
                .collect::<io::Result<Vec<_>>>()?;
            for queue in queues {
                hands.add(number, queue);
            }
            hands.answer();
            port.receive_by(&sockets)?;
        }
        self.say(&Message::Done)?;
        self.has_parted = true;
        tracing::info!(
            "capturing: the queues changed hands in {} ms",
            began.elapsed().as_millis()
        );
        Ok(())
    }

    fn wait_for_detached(&self) -> Result<(), LiveError> {
        let until = Instant::now() + ANSWER_PATIENCE;
        loop {
            match self.events.recv_deadline(until) {
                Ok(Event::Message(Message::Detached, _)) => return Ok(()),
                Ok(Event::Message(..)) => {}
                Ok(Event::Ended(_)) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(broken("it does not take its program off"));
                }
            }
        }
    }

    /// Closes the bridges when they are silent, and lets records pass when the predecessor has written its own.
    fn part(&mut self, since: Instant, settled: Time, ticker: &mut Ticker, common: &Common) {
        if let Some(intake) = &self.intake {
            let quiet_since = common.clock.now().plus_ms(-QUIET_MS);
            let is_quiet = intake.heard.has_ended() && intake.heard.bridged() < quiet_since;
            let has_settled_down = since.elapsed() > Duration::from_millis(QUIET_MS.unsigned_abs());
            if (is_quiet && has_settled_down) || since.elapsed() > BRIDGE_MAX {
                self.report = self.intake.take().and_then(Intake::end);
                ticker.stay_behind(0);
            }
        }
        let is_written = self.talker.is_none();
        if !is_written && since.elapsed() > FLUSH_MAX {
            tracing::warn!("the one before has not ended: records are written beside it");
            self.talker = None;
        }
        if self.intake.is_none() && self.talker.is_none() {
            self.gate.open(settled);
            self.phase = Phase::Over;
            let look = common.board.hand_over.look();
            common.board.hand_over.enter(Told::Alone);
            tracing::info!(
                "took over: {} frames heard from the one before, {} over the bridge, {} lost",
                look.heard,
                look.bridged,
                look.lost
            );
        }
    }

    /// The predecessor has ended.
    fn left_alone(
        &mut self,
        error: &io::Error,
        ports: &mut [Port],
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        self.talker = None;
        match self.phase {
            Phase::Parting { .. } | Phase::Over => return Ok(()),
            Phase::Asking { .. } | Phase::WarmingUp if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(broken(&error.to_string()));
            }
            Phase::Asking { .. } | Phase::WarmingUp => {}
        }
        tracing::warn!(
            "the one before has ended without handing over: capturing at once; calls of this moment are flagged"
        );
        let now = common.clock.now();
        // What it read last may not have come: nobody knows.
        let since = now.plus_us(-LAG_US);
        for port in ports {
            port.seize(since);
        }
        self.report = self.intake.take().and_then(Intake::end);
        self.has_parted = true;
        ticker.stay_behind(0);
        self.phase = Phase::Parting {
            since: Instant::now(),
            settled: since,
        };
        Ok(())
    }

    fn say(&self, message: &Message) -> Result<(), LiveError> {
        let sent = self.talker.as_ref().map(|talker| talker.send(message));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(broken(&error.to_string())),
            None => Err(broken("it is gone")),
        }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // The thread that reads has the connection too.
        let _may_be_gone = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// How far an heir's ticker stays behind.
pub(in crate::live) const fn lag_us() -> i64 {
    LAG_US
}

fn broken(what: &str) -> LiveError {
    HandOverError::Broken(what.to_owned()).into()
}

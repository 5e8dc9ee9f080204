//! One interface under capture: opened, watched, and opened again when it has come back.
//! How it is opened stands in [`opened`](super::opened); how it passes from one process to the next, in `passing`.

mod passing;

pub(super) use passing::await_landing;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;
use ringtap_xdp::{Action, Attached, Counters, Mode, Program, Settings, XdpError};
use ringtap_xsk::{Interface, Link, Promiscuous, Queue, QueueOptions, Statistics, XskError};
use rustix::process::Pid;
use thiserror::Error;

use super::opened::{Opened, Prepared};
use super::time::WallClock;
use crate::confine::Keeper;

/// How often an interface that is not there is looked for.
const SEARCH: Duration = Duration::from_millis(250);
/// How often it is tried to open one that is there but refuses.
const RETRY: Duration = Duration::from_secs(2);
/// How often in a row it has to refuse for that to be told.
const COMPLAIN_AT: u32 = 3;
/// How often the program's counters and the queues are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// An interface cannot be captured.
#[derive(Debug, Error)]
pub enum PortError {
    /// The interface or a queue.
    #[error(transparent)]
    Xsk(#[from] XskError),
    /// What was said to carry nothing but a mirror is the host's own way to the network.
    #[error(
        "interface {interface}: the host uses it, for it has an address or is the loopback: --dedicated would cut it off; \
         name another, or take its addresses away (`ip addr flush dev {interface}`)"
    )]
    InUse {
        /// The interface.
        interface: String,
    },
    /// A fault of the program: the thread's panic has been told before.
    #[error(
        "the thread that keeps privileges is gone, without which no interface can be opened; please report what it said"
    )]
    NoKeeper,
    /// The attachment that a predecessor has passed on.
    #[error("interface {interface}: the program of the one before cannot be replaced: {source}")]
    Link {
        /// The interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program.
    #[error("{}", told(.interface, .source))]
    Xdp {
        /// The interface.
        interface: String,
        /// What it says.
        source: XdpError,
    },
}

/// What the program says of an interface, whose name it does not always know, and what the kernel said.
fn told(interface: &str, error: &XdpError) -> String {
    let mut text = error.to_string();
    if !text.contains(interface) {
        text = format!("interface {interface}: {text}");
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{text} ({source})"),
        None => text,
    }
}

impl PortError {
    fn is_gone(&self) -> bool {
        match self {
            Self::Xsk(error) => error.is_gone(),
            Self::Xdp { source, .. } => matches!(source, XdpError::NoSuchInterface(_)),
            Self::InUse { .. } | Self::NoKeeper | Self::Link { .. } => false,
        }
    }
}

/// How interfaces are opened.
#[derive(Clone, Debug)]
pub struct PortOptions {
    /// What the program takes. The number of queues is that of each interface.
    pub program: Settings,
    /// Where it runs.
    pub mode: Mode,
    /// Sockets.
    pub queue: QueueOptions,
}

impl PortOptions {
    /// Refuses to cut the host off.
    pub(super) fn check(&self, interface: &Interface) -> Result<(), PortError> {
        if self.program.dedicated && interface.is_used_by_host() {
            return Err(PortError::InUse {
                interface: interface.name().to_owned(),
            });
        }
        Ok(())
    }
}

/// What an interface counted.
#[derive(Clone, Debug)]
pub struct PortReport {
    /// Its name.
    pub interface: String,
    /// What the program counted.
    pub program: Counters,
    /// What its sockets counted, by queue.
    pub sockets: BTreeMap<u32, Statistics>,
    /// Frames that the NIC lost for want of room, where it tells.
    pub nic_lost: u64,
}

/// One interface.
#[derive(Debug)]
pub(super) struct Port {
    name: String,
    options: PortOptions,
    keeper: Option<Keeper>,
    holder: Holder,
    prepared: Option<Prepared>,
    open: Option<Open>,
    /// Since when nothing comes, by the time of the frames.
    down_since: Option<Time>,
    /// When all was well for the last time.
    well_at: Option<Time>,
    try_at: Instant,
    /// It was not tried to open it since it was seized.
    is_untried: bool,
    /// Whom it was taken back from.
    heir: Option<Pid>,
    /// Why it is not captured, and how often in a row that was so.
    complaint: Option<(String, u32)>,
    /// What programs counted that are gone.
    counted: Counters,
    nic_lost: u64,
}

/// Who captures an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// This process.
    Us,
    /// A predecessor: it is not opened yet.
    Predecessor,
    /// An heir: what is still open is there for it.
    Heir,
}

/// What is there while an interface is captured.
#[derive(Debug)]
struct Open {
    // In this order: the program is detached first.
    program: Program,
    _promiscuous: Promiscuous,
    interface: Interface,
    link: Link,
    attached: Attached,
    queues: u32,
    look_at: Instant,
    looked: Time,
    unserved: u64,
    nic_missed: Option<u64>,
}

/// What has to be done about a port's queues.
#[derive(Debug)]
pub(super) enum Change {
    None,
    /// They are there: read them.
    Opened(Vec<Queue>),
    /// Nothing will come of them any more: close them.
    Closed,
}

impl Port {
    /// An interface that is not captured yet.
    pub(super) fn new(name: &str, options: &PortOptions) -> Self {
        Self {
            name: name.to_owned(),
            options: options.clone(),
            keeper: None,
            holder: Holder::Us,
            prepared: None,
            open: None,
            down_since: None,
            well_at: None,
            try_at: Instant::now(),
            is_untried: false,
            heir: None,
            complaint: None,
            counted: Counters::default(),
            nic_lost: 0,
        }
    }

    /// From now on it is opened by who keeps privileges.
    pub(super) fn leave_to(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// Begins to capture. Queues that are taken are waited for as long as `patience` goes.
    pub(super) fn open(&mut self, clock: &WallClock, patience: Duration) -> Result<Vec<Queue>, PortError> {
        let (name, options) = (self.name.clone(), self.options.clone());
        let opened = self.privileged(move || Opened::new(&name, &options, patience))?;
        Ok(self.begin(opened, clock.now()))
    }

    /// Does what takes privileges: whoever keeps them does it, if somebody does.
    fn privileged<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        match &self.keeper {
            None => work(),
            Some(keeper) => keeper.have(work).unwrap_or(Err(PortError::NoKeeper)),
        }
    }

    /// It is open, and all was well until `now`.
    fn begin(&mut self, opened: Opened, now: Time) -> Vec<Queue> {
        if opened.link == Link::Running {
            self.well_at = Some(now);
        } else {
            self.say_link(opened.link);
            self.down_since.get_or_insert(now);
        }
        let queues = opened.queues;
        self.open = Some(Open {
            program: opened.program,
            _promiscuous: opened.promiscuous,
            link: opened.link,
            attached: opened.attached,
            queues: opened.count,
            look_at: Instant::now() + LOOK,
            looked: now,
            unserved: 0,
            nic_missed: opened.nic_missed,
            interface: opened.interface,
        });
        self.complaint = None;
        self.heir = None;
        self.holder = Holder::Us;
        queues
    }

    /// Looks after it: what became of its link, and what was lost since the last time.
    pub(super) fn watch(&mut self, clock: &WallClock, gaps: &mut Vec<Gap>) -> Change {
        if self.holder != Holder::Us {
            return Change::None;
        }
        let now = clock.now();
        let Some(open) = &mut self.open else {
            return self.search(clock, gaps);
        };
        let link = match open.interface.link() {
            Ok(link) => link,
            Err(error) => return self.complain(&error.into()),
        };
        let was = std::mem::replace(&mut open.link, link);
        let is_changed = link == Link::Running && open.look(now, gaps, &mut self.nic_lost);
        if link == Link::Gone {
            self.say_link(link);
            return self.close(now, gaps);
        }
        if is_changed {
            tracing::warn!("{}: its number of queues has changed: opening it anew", self.name);
            self.try_at = Instant::now();
            return self.close(now, gaps);
        }
        if link != was {
            self.say_link(link);
            if link != Link::Running {
                self.begin_gap(now);
            }
        }
        if link == Link::Running {
            self.end_gap(now, gaps);
            self.well_at = Some(now);
        } else if let Some(since) = self.down_since {
            // As far as it goes: a call may be settled meanwhile.
            tell_down(gaps, since, now);
        }
        Change::None
    }

    /// Stops capturing: what comes from now on passes to the kernel.
    pub(super) fn detach(&mut self, now: Time, gaps: &mut Vec<Gap>) {
        if let Some(mut open) = self.open.take() {
            open.program.detach();
            if self.holder == Holder::Heir {
                // What found no socket found a bridge.
                return self.keep_counts(&open);
            }
            open.look_at = Instant::now();
            let _queues_may_have_changed = open.look(now, gaps, &mut self.nic_lost);
            self.keep_counts(&open);
        }
    }

    /// What was counted so far, but for its sockets, which readers own.
    pub(super) fn report(&self) -> PortReport {
        let mut program = self.counted.clone();
        if let Some(counters) = self.open.as_ref().and_then(|open| open.program.counters().ok()) {
            program.add(&counters);
        }
        PortReport {
            interface: self.name.clone(),
            program,
            sockets: BTreeMap::new(),
            nic_lost: self.nic_lost,
        }
    }

    /// Whether frames can come; else why not, for people.
    pub(super) fn state(&self) -> Result<(), String> {
        if self.holder == Holder::Predecessor {
            return Err("is still the predecessor's: this one listens to it".to_owned());
        }
        let why = match (&self.open, &self.complaint) {
            (Some(open), _) => match open.link {
                Link::Running => return Ok(()),
                Link::NoCarrier => "has no carrier".to_owned(),
                Link::Down => format!("is down (`ip link set {} up`)", self.name),
                Link::Gone => "is gone".to_owned(),
            },
            (None, Some((complaint, _))) => format!("is not captured: {complaint}"),
            (None, None) => "is gone".to_owned(),
        };
        Err(why)
    }

    fn close(&mut self, now: Time, gaps: &mut Vec<Gap>) -> Change {
        self.begin_gap(now);
        self.detach(now, gaps);
        Change::Closed
    }

    fn keep_counts(&mut self, open: &Open) {
        if let Ok(counters) = open.program.counters() {
            self.counted.add(&counters);
        }
    }

    /// Looks for one that is not there.
    fn search(&mut self, clock: &WallClock, gaps: &mut Vec<Gap>) -> Change {
        if let Some(since) = self.down_since {
            tell_down(gaps, since, clock.now());
        }
        if Instant::now() < self.try_at {
            return Change::None;
        }
        self.is_untried = false;
        match self.open(clock, Duration::ZERO) {
            Ok(queues) => {
                tracing::info!("{}: is back: capturing again", self.name);
                if self.open.as_ref().is_some_and(|open| open.link == Link::Running) {
                    self.end_gap(clock.now(), gaps);
                }
                Change::Opened(queues)
            }
            Err(error) => {
                // What was closed a moment ago is taken for a moment still.
                let is_passing =
                    error.is_gone() || matches!(error, PortError::Xsk(XskError::QueueBusy { .. }));
                self.try_at = Instant::now() + if is_passing { SEARCH } else { RETRY };
                self.complain(&error)
            }
        }
    }

    /// Says why it is not captured: once, and not at the first time, which may pass.
    fn complain(&mut self, error: &PortError) -> Change {
        if error.is_gone() {
            return Change::None;
        }
        let text = match (error, self.heir) {
            (PortError::Xsk(XskError::QueueBusy { .. }), Some(heir)) => format!(
                "{error}; process {heir}, which was to take over, stands still with it if it is there: `kill -KILL {heir}` frees the queue"
            ),
            _ => error.to_string(),
        };
        match &mut self.complaint {
            Some((before, times)) if *before == text => {
                *times += 1;
                if *times == COMPLAIN_AT {
                    tracing::error!("{}: not captured: {text}", self.name);
                }
            }
            _ => self.complaint = Some((text, 1)),
        }
        Change::None
    }

    /// Nothing comes since the last time that all was well.
    fn begin_gap(&mut self, now: Time) {
        self.down_since.get_or_insert(self.well_at.unwrap_or(now));
    }

    fn end_gap(&mut self, now: Time, gaps: &mut Vec<Gap>) {
        if let Some(since) = self.down_since.take() {
            tell_down(gaps, since, now);
        }
    }

    fn say_link(&self, link: Link) {
        let interface = &self.name;
        match link {
            Link::Running => tracing::info!("{interface}: is up again"),
            Link::NoCarrier => tracing::warn!("{interface}: has no carrier: nothing comes until it has"),
            Link::Down => {
                tracing::warn!(
                    "{interface}: is down: nothing comes until it is up (`ip link set {interface} up`)"
                )
            }
            Link::Gone => tracing::warn!("{interface}: is gone: waiting for it to come back"),
        }
    }
}

impl Open {
    /// Looks what the program and the NIC lost. Whether the interface has another number of queues than are open.
    fn look(&mut self, now: Time, gaps: &mut Vec<Gap>, nic_lost: &mut u64) -> bool {
        if Instant::now() < self.look_at {
            return false;
        }
        self.look_at = Instant::now() + LOOK;
        let mut has_lost = false;
        if let Ok(counters) = self.program.counters() {
            let unserved = counters.action(Action::NoSocket);
            has_lost |= unserved > self.unserved;
            if unserved > self.unserved {
                tracing::warn!(
                    "{}: {} frames lost, for nobody reads their queue",
                    self.interface.name(),
                    unserved - self.unserved
                );
            }
            self.unserved = unserved;
        }
        if let (Some(before), Some(missed)) = (self.nic_missed, self.interface.missed_frames()) {
            // A driver that is reset begins at 0.
            let lost = missed.saturating_sub(before);
            has_lost |= lost > 0;
            if lost > 0 && *nic_lost == 0 {
                tracing::warn!(
                    "{}: the NIC loses frames, for its own ring is full (`ethtool -G`); --stats tells how many",
                    self.interface.name()
                );
            }
            *nic_lost += lost;
            self.nic_missed = Some(missed);
        }
        if has_lost {
            gaps.push(Gap {
                from: self.looked,
                until: now,
                kind: GapKind::FramesLost,
            });
        }
        self.looked = now;
        self.interface
            .queues()
            .is_some_and(|queues| queues != self.queues)
    }
}

/// Tells that nothing comes since then. What was told before of the same time becomes longer.
fn tell_down(gaps: &mut Vec<Gap>, since: Time, now: Time) {
    let kind = GapKind::InterfaceDown;
    match gaps.iter_mut().find(|gap| gap.kind == kind && gap.from == since) {
        Some(gap) => gap.until = now,
        None => gaps.push(Gap {
            from: since,
            until: now,
            kind,
        }),
    }
}

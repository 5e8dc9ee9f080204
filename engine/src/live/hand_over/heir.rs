//! Taking over: the steps of the new process, in the thread that ticks.
//!
//! It does its own work on what its predecessor feeds, and after each tick looks what is next ([`Heir::step`]): when it knows enough, it has
//! the queues let go, takes them, and once the predecessor has ended it lets its records pass. Whatever fails before that ends it, and the
//! predecessor goes on. What the two say to each other stands in `met` and `wire`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;
use ringtap_xdp::Attached;

use super::door::Door;
use super::held::{Gate, HELD_MS};
use super::host::CHANGE_PATIENCE;
use super::intake::Intake;
use super::met::{ANSWER_PATIENCE, Event, HandOverError, Line, Met, is_end};
use super::standing::Phase as Told;
use super::wire::{LinkOf, Message};
use crate::live::opened::Inherited;
use crate::live::port::Port;
use crate::live::reader::{Common, Outbox, Report};
use crate::live::ticker::Ticker;
use crate::live::{Hands, LiveError};

/// How far an heir stays behind the present: by then, what its predecessor reads has come.
const LAG_US: i64 = 250_000;
/// How old what is heard may be when it takes over: one that is behind does not know yet what was left out.
const BEHIND_MAX_MS: i64 = 1_000;
const BEHIND_PATIENCE: Duration = Duration::from_secs(120);
/// How long the intake may take for what the predecessor fed last.
const FEED_PATIENCE: Duration = Duration::from_secs(5);
const FEED_PAUSE: Duration = Duration::from_millis(2);
/// How long queues that the predecessor has closed may still be taken for, all together: on a machine that is short of time the kernel closes them late. Who calls the
/// change off has lost all that came over the bridges.
const QUEUE_PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to have come over the bridges before they are closed, and how long they stay at most.
const QUIET_MS: i64 = 250;
const BRIDGE_MAX: Duration = Duration::from_secs(5);
/// How long the predecessor may take to write its journal. Records wait as long.
const FLUSH_MAX: Duration = Duration::from_secs(90);
/// Who takes them in time is not taken for one that stands still.
const _: () =
    assert!(CHANGE_PATIENCE.as_millis() > FEED_PATIENCE.as_millis() + QUEUE_PATIENCE.as_millis() + 10_000);
/// By then the predecessor has taken its queues back, should it do so; and what is held reaches back to the change.
const _: () = assert!(
    FLUSH_MAX.as_millis() > CHANGE_PATIENCE.as_millis() + 10_000
        && FLUSH_MAX.as_millis() + CHANGE_PATIENCE.as_millis() + 5_000 < HELD_MS.unsigned_abs() as u128
);
/// How long interfaces may refuse to be opened after the predecessor's end seems to be certain.
const REFUSED_MAX: Duration = Duration::from_secs(20);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(15);

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
    line: Line,
    door: Option<Door>,
    intake: Option<Intake>,
    outbox: Arc<Outbox>,
    report: Option<Report>,
    gate: Arc<Gate>,
    warm_up: Duration,
    oldest: Option<Time>,
    /// The predecessor was told to end.
    is_hurried: bool,
    is_prepared: bool,
    /// It would take over, and is behind with what it hears.
    behind_since: Option<Instant>,
    /// The predecessor writes nothing any more.
    has_written: bool,
    /// It ended before it had said that.
    is_bereaved: bool,
    /// It has said that it captures no more: when it ends, it has written.
    is_left: bool,
    /// It was taken for dead, which is certain only when the interfaces could be opened.
    is_in_doubt: bool,
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
        let (line, door) = met.listen()?;
        Ok(Self {
            phase: Phase::WarmingUp,
            line,
            door: Some(door),
            outbox: Arc::clone(&intake.outbox),
            intake: Some(intake),
            report: None,
            gate: Arc::clone(gate),
            warm_up,
            oldest: None,
            is_hurried: false,
            is_prepared: false,
            behind_since: None,
            has_written: false,
            is_bereaved: false,
            is_left: false,
            is_in_doubt: false,
            told_at: Instant::now(),
            is_waiting_told: false,
        })
    }

    /// How far an heir's ticker stays behind.
    pub(in crate::live) const fn lag_us() -> i64 {
        LAG_US
    }

    /// Where the intake leaves legs and gaps.
    pub(in crate::live) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The place where the next heir may knock, once the predecessor is gone.
    pub(in crate::live) fn take_door(&mut self) -> Option<Door> {
        self.is_over().then(|| self.door.take()).flatten()
    }

    /// Whether it has taken over, and all that came of that is done.
    pub(in crate::live) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the queues are its own.
    const fn has_parted(&self) -> bool {
        matches!(self.phase, Phase::Parting { .. } | Phase::Over)
    }

    /// Looks what is next, and does it.
    pub(in crate::live) fn step(
        &mut self,
        ports: &mut [Port],
        hands: &mut Hands,
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        let intake = self.intake.as_ref();
        let is_faulty = intake.is_some_and(|intake| intake.heard.is_faulty() || intake.is_gone());
        if is_faulty && !self.has_parted() {
            return Err(broken("what it feeds cannot be read"));
        }
        let events = self.line.events();
        // First of all, and at any time: who goes on has taken its queues back, whatever it had said before, and its records are those that count.
        let farewell = events.iter().find_map(|event| match event {
            Event::Message(Message::Farewell { why }, _) => Some(why),
            _ => None,
        });
        if let Some(why) = farewell {
            self.phase = Phase::WarmingUp;
            return Err(broken(why));
        }
        if self.is_over() {
            return Ok(());
        }
        for event in events {
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
            Phase::Parting { since, settled } => self.part(since, settled, ports, ticker, common),
            Phase::Asking { .. } | Phase::Over => Ok(()),
        }
    }

    /// The end of this process. What it owes by then is written, if it has taken over.
    pub(in crate::live) fn conclude(mut self) -> (Arc<Outbox>, Option<Report>) {
        let patience = match self.phase {
            Phase::Parting { settled, .. } if !self.is_in_doubt => {
                self.open_gate(settled);
                FEED_PATIENCE
            }
            // Nobody asks what was heard: the predecessor's records are those that count.
            _ => Duration::ZERO,
        };
        let report = self.report.take();
        let outbox = Arc::clone(&self.outbox);
        (outbox, report.or_else(|| self.intake.take()?.end(patience)))
    }

    fn open_gate(&self, settled: Time) {
        if self.is_bereaved {
            self.gate.open_wide();
        } else {
            self.gate.open(settled);
        }
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
            Message::State { oldest_us, is_ending } => {
                self.oldest = oldest_us.map(Time::from_micros);
                if is_ending && !self.is_hurried {
                    tracing::info!("the one before is told to end: taking over at once");
                }
                self.is_hurried |= is_ending;
            }
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
            Message::Written => self.has_written = true,
            // With the queues on their way, all is as if it had handed over; it is only not known what it writes.
            Message::Leaving if !self.has_parted() => {
                self.succeed(ports, ticker, common);
                self.is_left = true;
                self.has_written = false;
                // It has said that it captures no more: however late the kernel closes its queues, they are for nobody else.
                self.is_in_doubt = false;
            }
            Message::Gone { links, settled_us } if matches!(self.phase, Phase::Asking { .. }) => {
                let links = links.into_iter().zip(descriptors).collect();
                if let Err(error) = self.change(links, ports, hands, common) {
                    // Who stood still meanwhile finds everything taken back.
                    return Err(self.line.farewell().map_or(error, |why| broken(&why)));
                }
                self.phase = Phase::Parting {
                    since: Instant::now(),
                    settled: Time::from_micros(settled_us),
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks for the queues, if it knows enough, or has to know enough.
    fn warm_up(&mut self, ports: &mut [Port], common: &Common) -> Result<(), LiveError> {
        let Some(intake) = &self.intake else { return Ok(()) };
        // In this order: what was left out by then has been told, and begun the listening anew.
        let until = intake.heard.until();
        let Some(since) = intake.heard.since() else {
            return Ok(());
        };
        let warm_up_ms = i64::try_from(self.warm_up.as_millis()).unwrap_or(i64::MAX);
        let left_ms = (since.plus_ms(warm_up_ms) - common.clock.now()) / 1000;
        common.board.hand_over.left(left_ms);
        // Calls that began before are waited for, but not without end: a caller may wait in a queue for an hour.
        let is_awaited = self.oldest.is_some_and(|oldest| oldest < since);
        let longer_ms = left_ms.saturating_add(warm_up_ms);
        let is_due = left_ms <= 0 && (longer_ms <= 0 || !is_awaited);
        if !(is_due || self.is_hurried) {
            self.behind_since = None;
            self.tell(left_ms, longer_ms);
            return Ok(());
        }
        if !self.is_prepared {
            for port in ports {
                port.prepare()?;
            }
            self.is_prepared = true;
            // That took long, and what is true now is looked at anew: all that comes is still the predecessor's.
            return Ok(());
        }
        if until.plus_ms(BEHIND_MAX_MS) < common.clock.now() {
            let behind_since = *self.behind_since.get_or_insert_with(Instant::now);
            if behind_since.elapsed() > BEHIND_PATIENCE {
                return Err(broken(
                    "what it captures is heard more than a second late: more cores, or a quieter hour",
                ));
            }
            return Ok(());
        }
        if is_awaited {
            tracing::warn!("taking over although a call is open that began before: it will be flagged");
        }
        for port in ports {
            intake.listen(port.bridge()?);
        }
        common.board.hand_over.enter(Told::Changing);
        // If it is gone, the next event tells.
        let said = self.line.say(&Message::LetGo);
        said.map_err(|error| broken(&error.to_string()))?;
        tracing::info!("asked for the queues");
        self.phase = Phase::Asking {
            since: Instant::now(),
        };
        Ok(())
    }

    fn tell(&mut self, left_ms: i64, longer_ms: i64) {
        if left_ms > 0 && self.told_at.elapsed() >= TELL {
            tracing::info!("listening: takes over in {} s", left_ms / 1000 + 1);
        } else if left_ms <= 0 && (!self.is_waiting_told || self.told_at.elapsed() >= TELL) {
            self.is_waiting_told = true;
            tracing::info!(
                "listening: waits for a call that began before, for {} s at most",
                longer_ms / 1000 + 1
            );
        } else {
            return;
        }
        self.told_at = Instant::now();
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
        self.hear_out();
        let until = Instant::now() + QUEUE_PATIENCE;
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
            let queues = port.open_after(inherited, &common.clock, until)?;
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
        match self.line.say(&Message::Done) {
            Ok(true) => {}
            // By its death, or with a farewell, which is heeded next.
            Ok(false) => tracing::warn!("the one before has ended during the change"),
            Err(error) => return Err(broken(&error.to_string())),
        }
        tracing::info!(
            "capturing: the queues changed hands in {} ms",
            began.elapsed().as_millis()
        );
        Ok(())
    }

    /// Waits until the intake has joined all that was fed, so that nothing of the queues is joined before.
    fn hear_out(&self) {
        let Some(intake) = &self.intake else { return };
        let began = Instant::now();
        while !intake.heard.has_ended() && !intake.is_gone() {
            if began.elapsed() > FEED_PATIENCE {
                tracing::warn!(
                    "what the one before fed last is not read yet: messages of this moment may be in disorder"
                );
                return;
            }
            thread::sleep(FEED_PAUSE);
        }
    }

    /// Closes the bridges when they are silent, and lets records pass when the predecessor has written its own.
    fn part(
        &mut self,
        since: Instant,
        settled: Time,
        ports: &[Port],
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        if let Some(intake) = &self.intake {
            let quiet_since = common.clock.now().plus_ms(-QUIET_MS);
            let is_quiet = intake.heard.has_ended() && intake.heard.bridged() < quiet_since;
            let has_settled_down = since.elapsed() > Duration::from_millis(QUIET_MS.unsigned_abs());
            if (is_quiet && has_settled_down) || since.elapsed() > BRIDGE_MAX {
                self.report = self.intake.take().and_then(|intake| intake.end(FEED_PATIENCE));
                ticker.stay_behind(0);
            }
        }
        if !self.has_written && since.elapsed() > FLUSH_MAX {
            tracing::warn!("the one before has not ended: records are written beside it");
            self.has_written = true;
            self.is_bereaved = true;
        }
        // Somebody may have the queues: a predecessor that lives after all, whose records count.
        let is_refused = ports.iter().any(Port::is_refused);
        // One that is not there tells nothing.
        self.is_in_doubt &= is_refused || !ports.iter().any(Port::is_open);
        if self.is_in_doubt {
            if is_refused && since.elapsed() > REFUSED_MAX {
                self.phase = Phase::WarmingUp;
                return Err(broken(
                    "interfaces cannot be opened, although it seemed to have ended",
                ));
            }
            return Ok(());
        }
        if self.intake.is_none() && self.has_written {
            self.open_gate(settled);
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
        Ok(())
    }

    /// The predecessor has ended.
    fn left_alone(
        &mut self,
        error: &io::Error,
        ports: &mut [Port],
        ticker: &mut Ticker,
        common: &Common,
    ) -> Result<(), LiveError> {
        if self.has_parted() {
            self.is_bereaved |= !(self.has_written || self.is_left);
            self.has_written = true;
            return Ok(());
        }
        if !is_end(error) {
            return Err(broken(&error.to_string()));
        }
        self.succeed(ports, ticker, common);
        Ok(())
    }

    /// Opens the queues, which the predecessor has not handed over and does not read any more.
    fn succeed(&mut self, ports: &mut [Port], ticker: &mut Ticker, common: &Common) {
        tracing::warn!(
            "the one before has ended without handing over: capturing at once; calls of this moment are flagged"
        );
        let heard = self.intake.as_ref().map(|intake| Arc::clone(&intake.heard));
        // Its feeds have come to an end with it.
        self.report = self.intake.take().and_then(|intake| intake.end(FEED_PATIENCE));
        let now = common.clock.now();
        // Its readers end before it does. What they read last may not have come: nobody knows.
        let lately = now.plus_us(-LAG_US);
        let begun = heard.filter(|heard| heard.since().is_some());
        let since = begun.as_ref().map_or(lately, |heard| heard.until().min(lately));
        for port in ports {
            port.seize(since, now, ticker.gaps());
        }
        self.is_in_doubt = true;
        // Of calls that began before it listened, this one knows a part.
        let warm_up_ms = i64::try_from(self.warm_up.as_millis()).unwrap_or(i64::MAX);
        self.is_bereaved = begun
            .and_then(|heard| heard.since())
            .is_some_and(|since| since.plus_ms(warm_up_ms) <= now);
        self.has_written = true;
        ticker.stay_behind(0);
        self.phase = Phase::Parting {
            since: Instant::now(),
            settled: since,
        };
    }
}

fn broken(what: &str) -> LiveError {
    HandOverError::Broken(what.to_owned()).into()
}

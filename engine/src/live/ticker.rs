//! The ticker: advances the time, closes what is due, and hands it on to the settler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{SendTimeoutError, Sender};
use ringtap_calls::{Applied, Early, Gap, GapKind, Harvest};
use ringtap_record::Time;

use super::Hands;
use super::board::{PortNotice, TickerNotice};
use super::hand_over::Legacy;
use super::port::{Change, Port};
use super::reader::{Common, Outbox};
use crate::asides::Asides;
use crate::settle::Lot;
use crate::worker::{Shared, Taken, WorkerCounters};

/// How finely deadlines are kept: well below every timer, and enough for a mail to be on its way at once.
const TICK_US: i64 = 32_000;
/// How often interfaces are looked after.
const WATCH: Duration = Duration::from_millis(100);
/// How often it is told how interfaces and table are doing.
const PUT_UP: Duration = Duration::from_secs(1);
/// How long a tick waits for readers before it looks after other things.
const PATIENCE: Duration = Duration::from_millis(50);
const PATIENCE_PAUSE: Duration = Duration::from_micros(200);
/// How long readers, or the settler, may be behind before that is told.
const BEHIND: Duration = Duration::from_secs(1);
/// How long is waited for the settler before it is looked whether that has to be told.
const SEND_SLICE: Duration = Duration::from_millis(100);
/// How often losses and delays are told.
const TELL: Duration = Duration::from_secs(10);

/// What ends epochs.
#[derive(Debug)]
pub(super) struct Ticker {
    common: Arc<Common>,
    asides: Asides,
    /// The way to the settler; `None` once that is gone.
    lots: Option<Sender<Lot>>,
    harvest: Harvest,
    /// Messages that came before their legs.
    early: Early,
    /// Who may leave some.
    readers: usize,
    /// What became of them.
    joined_early: Applied,
    /// The last boundary that was settled.
    settled: Time,
    watch_at: Instant,
    put_up_at: Instant,
    began: Time,
    /// Since when readers have been behind.
    behind_since: Option<Instant>,
    given_up_told: u64,
    tell_losses_at: Instant,
    tell_delays_at: Instant,
    /// How far behind the present it stays: frames that come from another process are older than those that are read here.
    lag_us: i64,
    /// Who is told of gaps, should it listen.
    legacy: Option<Arc<Legacy>>,
}

impl Ticker {
    pub(super) fn new(common: &Arc<Common>, asides: Asides, lots: Sender<Lot>) -> Self {
        let now = common.clock.now();
        Self::beginning_at(now, common, asides, lots)
    }

    /// Of a capture that hears everything from `now` on.
    pub(super) fn beginning_at(now: Time, common: &Arc<Common>, asides: Asides, lots: Sender<Lot>) -> Self {
        let harvest = Harvest {
            gaps: vec![Gap {
                from: Time::MIN,
                until: now,
                kind: GapKind::Began,
            }],
            ..Harvest::default()
        };
        Self {
            common: Arc::clone(common),
            asides,
            lots: Some(lots),
            harvest,
            early: Early::default(),
            readers: 0,
            joined_early: Applied::default(),
            settled: boundary(now),
            watch_at: Instant::now(),
            put_up_at: Instant::now(),
            began: now,
            behind_since: None,
            given_up_told: 0,
            tell_losses_at: Instant::now(),
            tell_delays_at: Instant::now(),
            lag_us: 0,
            legacy: None,
        }
    }

    /// Stays so far behind the present from now on.
    pub(super) const fn stay_behind(&mut self, lag_us: i64) {
        self.lag_us = lag_us;
    }

    /// Tells an heir of gaps.
    pub(super) fn tell(&mut self, legacy: &Arc<Legacy>) {
        self.legacy = Some(Arc::clone(legacy));
    }

    /// Up to when legs have been closed and handed on.
    pub(super) const fn settled(&self) -> Time {
        self.settled
    }

    /// Until the next boundary.
    pub(super) fn sleep(&self) {
        let now_us = self.common.clock.now().as_micros();
        let left_us = TICK_US - now_us.rem_euclid(TICK_US);
        thread::sleep(Duration::from_micros(left_us.unsigned_abs()));
    }

    /// Whether nobody takes what is settled.
    pub(super) const fn is_alone(&self) -> bool {
        self.lots.is_none()
    }

    /// Looks after the interfaces and the clock; not after the rest of them once `stop` is set.
    pub(super) fn watch(&mut self, ports: &mut [Port], hands: &mut Hands, stop: Option<&AtomicBool>) {
        if Instant::now() < self.watch_at {
            return;
        }
        self.watch_at = Instant::now() + WATCH;
        for (number, port) in ports.iter_mut().enumerate() {
            // To open one anew may take a moment.
            if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return;
            }
            match port.watch(&self.common.clock, &mut self.harvest.gaps) {
                Change::None => {}
                Change::Closed => hands.remove(number),
                Change::Opened(queues) => {
                    for queue in queues {
                        hands.add(number, queue);
                    }
                }
            }
        }
        if let Some(step_us) = self.common.clock.look() {
            let seconds = Duration::from_micros(step_us.unsigned_abs()).as_secs_f64();
            let whither = if step_us > 0 { "ahead" } else { "back" };
            tracing::warn!(
                "the system's clock was set {seconds:.1} s {whither}: calls that began before keep the old time"
            );
        }
        self.tell_losses(hands);
        self.put_up(ports, hands);
    }

    /// Puts onto the board how interfaces, table and what readers share are doing. Their locks are taken here, where they are taken
    /// at each tick, so that nobody who asks need take them.
    fn put_up(&mut self, ports: &[Port], hands: &Hands) {
        if Instant::now() < self.put_up_at {
            return;
        }
        self.put_up_at = Instant::now() + PUT_UP;
        let mut shared = WorkerCounters::default();
        self.add_to(&mut shared);
        let notice = |port: &Port| PortNotice::new(port.report(), port.state());
        self.common.board.ticker(TickerNotice {
            at: (Instant::now(), self.common.clock.now()),
            began: self.began,
            ports: ports.iter().map(notice).collect(),
            table: self.common.shared.table.counters(),
            shared,
            given_up: hands.given_up(),
        });
    }

    /// Says, now and then, what is lost for want of room.
    fn tell_losses(&mut self, hands: &Hands) {
        let given_up = hands.given_up();
        if given_up > self.given_up_told && Instant::now() >= self.tell_losses_at {
            tracing::error!(
                "{} legs and registrations are lost: more left the full table than could be settled",
                given_up - self.given_up_told
            );
            self.given_up_told = given_up;
            self.tell_losses_at = Instant::now() + TELL;
        }
    }

    /// Gaps that the next lot will hold.
    pub(super) const fn gaps(&mut self) -> &mut Vec<Gap> {
        &mut self.harvest.gaps
    }

    /// Closes what is due at the last boundary that has passed, unless that was done, or a reader is behind.
    pub(super) fn tick(&mut self, outboxes: &[Arc<Outbox>]) {
        let boundary = boundary(self.common.clock.now().plus_us(-self.lag_us));
        if boundary <= self.settled || !self.readers_have_passed(boundary) {
            return;
        }
        self.settled = boundary;
        self.gather(outboxes);
        let shared = Arc::clone(&self.common.shared);
        let taken = self.asides.advance(boundary, &shared);
        self.keep(taken);
        // Every reader has joined what came until then; the tick before that is for stamps, which are those of reading.
        self.join_early(boundary.plus_us(-TICK_US));
        shared
            .table
            .expire_all(boundary, &shared.rules, &mut self.harvest);
        self.send(Some(boundary));
    }

    /// Tells an heir of gaps that no tick will tell of any more.
    pub(super) fn tell_gaps(&mut self, outboxes: &[Arc<Outbox>]) {
        self.gather(outboxes);
        if let Some(legacy) = &self.legacy {
            legacy.tell_gaps(&self.harvest.gaps);
        }
    }

    /// Takes what readers have left.
    pub(super) fn gather(&mut self, outboxes: &[Arc<Outbox>]) {
        self.readers = self.readers.max(outboxes.len());
        for outbox in outboxes {
            self.keep(outbox.take());
        }
    }

    /// The end, after all readers have ended: whatever is open now stays without an end (semantics.md D89).
    pub(super) fn end(&mut self) {
        let shared = Arc::clone(&self.common.shared);
        let now = self.common.clock.now();
        let taken = self.asides.advance(now, &shared);
        self.keep(taken);
        let taken = self.asides.give_up(&shared);
        self.keep(taken);
        self.join_early(Time::MAX);
        shared.table.expire_all(now, &shared.rules, &mut self.harvest);
        self.send(Some(now));
        shared.table.close_all(&shared.rules, &mut self.harvest.closed);
        self.send(None);
    }

    /// The end, after an heir has taken over: what is open now is the heir's to tell of.
    pub(super) fn leave(&mut self) {
        let mut early = std::mem::take(&mut self.early);
        self.joined_early.left_out += early.take_left_out();
        self.joined_early.of_no_leg += early.len();
        self.lots = None;
    }

    /// The last that is heard of it, and the end of its way to the settler, who waits for that. Adds what was counted.
    pub(super) fn end_counting(self, seen: &mut WorkerCounters) {
        self.add_to(seen);
    }

    /// Adds what was counted here: of what readers share, and of what came before its leg.
    fn add_to(&self, seen: &mut WorkerCounters) {
        self.asides.add_to(seen);
        seen.applied.add(self.joined_early);
    }

    fn readers_have_passed(&mut self, boundary: Time) -> bool {
        let began = Instant::now();
        while !self.common.marks.have_passed(boundary) {
            if began.elapsed() > PATIENCE {
                let since = *self.behind_since.get_or_insert(began);
                if since.elapsed() > BEHIND && Instant::now() >= self.tell_delays_at {
                    tracing::warn!(
                        "readers are {:.1} s behind: no call is settled",
                        since.elapsed().as_secs_f64()
                    );
                    self.tell_delays_at = Instant::now() + TELL;
                }
                return false;
            }
            thread::sleep(PATIENCE_PAUSE);
        }
        self.behind_since = None;
        true
    }

    fn keep(&mut self, mut taken: Taken) {
        self.harvest.append(taken.harvest);
        // Twice, for they stay longer than a tick; and what the ticker itself finds.
        let workers = 2 * (self.readers + 1);
        self.early.append_one_of(&mut taken.early, workers);
    }

    fn join_early(&mut self, before: Time) {
        let Shared { table, rules } = &*self.common.shared;
        let applied = table.join_early(&mut self.early, before, rules, &mut self.harvest);
        self.joined_early.add(applied);
    }

    /// Hands on what was gathered. Waits for the settler, if that is behind: then the table holds what comes meanwhile.
    fn send(&mut self, now: Option<Time>) {
        let Some(lots) = self.lots.take() else { return };
        if let Some(legacy) = &self.legacy {
            legacy.tell_gaps(&self.harvest.gaps);
        }
        let mut lot = Lot {
            now,
            harvest: std::mem::take(&mut self.harvest),
        };
        let began = Instant::now();
        loop {
            match lots.send_timeout(lot, SEND_SLICE) {
                Ok(()) => break self.lots = Some(lots),
                // Only when a sink failed, which the settler reports at the end.
                Err(SendTimeoutError::Disconnected(_)) => break,
                Err(SendTimeoutError::Timeout(back)) => lot = back,
            }
            if began.elapsed() > BEHIND && Instant::now() >= self.tell_delays_at {
                tracing::warn!(
                    "the settler is {:.1} s behind: mails come late",
                    began.elapsed().as_secs_f64()
                );
                self.tell_delays_at = Instant::now() + TELL;
            }
        }
    }
}

/// The last boundary.
fn boundary(now: Time) -> Time {
    Time::from_micros(now.as_micros().div_euclid(TICK_US) * TICK_US)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use crossbeam::channel::bounded;
    use ringtap_calls::{LegTable, Rules, Settler};
    use ringtap_record::Outcome;
    use ringtap_testkit::{Format, Wire, capture, messages, scenario};

    use super::*;
    use crate::capture::{CaptureFile, Chunk};
    use crate::decode::Decoder;
    use crate::live::board::Board;
    use crate::live::marks::Marks;
    use crate::live::time::WallClock;
    use crate::worker::Worker;

    /// Catches early messages that are used up at the tick at which they were gathered, when another reader may not have
    /// joined the INVITE yet.
    #[test]
    fn an_early_message_waits_for_the_other_readers() {
        let mut wires = messages(&scenario("S02").unwrap().cases()[0]);
        let is = |wire: &Wire, word: &[u8]| wire.payload.starts_with(word);
        // The 200 is lost, so that the ACK alone proves the answer.
        wires.retain(|wire| {
            [&b"ACK"[..], b"INVITE", b"SIP/2.0 180"]
                .iter()
                .any(|word| is(wire, word))
        });
        // Read within one tick.
        let now = WallClock::new().now();
        for (wire, at) in wires.iter_mut().zip(0..) {
            wire.time = now.plus_us(100 * at);
        }
        let acks = wires.iter().filter(|wire| is(wire, b"ACK")).count();
        let bytes = std::io::Cursor::new(capture(&wires, Format::Pcap));
        let mut chunk = Chunk::new();
        let mut file = CaptureFile::from_reader("made", Box::new(bytes)).unwrap();
        assert!(file.next_chunk(&mut chunk).unwrap());
        let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
        let common = Arc::new(Common {
            shared: Arc::new(Shared {
                table: LegTable::new(100, 1),
                rules,
            }),
            clock: WallClock::new(),
            marks: Marks::new(2),
            stop: AtomicBool::new(false),
            board: Arc::new(Board::new(2)),
        });
        let decoder = Decoder::new([5060].into_iter().collect());
        let (lots, settler_inbox) = bounded(1024);
        let mut ticker = Ticker::new(&common, Asides::new(&decoder), lots);
        let outboxes = [Arc::new(Outbox::default()), Arc::new(Outbox::default())];
        let before = wires.len() - acks;
        let (first, rest) = (chunk.frames().skip(before), chunk.frames().take(before));
        let mut worker = Worker::new(decoder.clone());
        worker.process(first, &common.shared);
        let taken = worker.take();
        assert!(!taken.early.is_empty());
        outboxes[0].give(taken);
        ticker.sleep();
        ticker.tick(&outboxes);
        // On a machine that stood still meanwhile it was its turn already.
        let has_waited = ticker.settled() - now > TICK_US;
        assert!(
            has_waited || ticker.joined_early == Applied::default(),
            "it waits"
        );
        let mut other = Worker::new(decoder);
        other.process(rest, &common.shared);
        outboxes[1].give(other.take());
        while !ticker.early.is_empty() {
            ticker.sleep();
            ticker.tick(&outboxes);
        }
        let joined = ticker.joined_early.joined;
        assert!(has_waited || joined == acks as u64, "{joined} of {acks}");
        ticker.end();
        let (mut settler, mut judged) = (Settler::new(&common.shared.table), Vec::new());
        for lot in settler_inbox.try_iter() {
            settler.settle(
                lot.now.unwrap_or(Time::MAX),
                lot.harvest,
                &common.shared.rules,
                &mut judged,
            );
        }
        settler.finish(&common.shared.rules, &mut judged);
        assert_eq!(judged.len(), 1);
        assert!(has_waited || judged[0].record.targets[0].outcome == Outcome::Answered);
    }
}

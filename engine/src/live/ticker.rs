//! The ticker: advances the time, closes what is due, and hands it on to the settler.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use ringtap_calls::{EarlyAcks, Gap, GapKind, Harvest};
use ringtap_record::Time;

use super::Hands;
use super::port::{Change, Port};
use super::reader::{Common, Outbox};
use crate::fragments::Fragments;
use crate::settle::Lot;
use crate::worker::Taken;

/// How finely deadlines are kept: well below every timer, and enough for a mail to be on its way at once.
const TICK_US: i64 = 32_000;
/// How often interfaces are looked after.
const WATCH: Duration = Duration::from_millis(100);
/// How long a tick waits for readers before it looks after other things.
const PATIENCE: Duration = Duration::from_millis(50);
const PATIENCE_PAUSE: Duration = Duration::from_micros(200);
/// A wall clock that is set by more than this begins a new capture; by less, time goes along, and where it went back,
/// deadlines wait until it has caught up. As for the stamps of a capture file.
const RESTART_US: i64 = 60_000_000;

/// What ends epochs.
#[derive(Debug)]
pub(super) struct Ticker {
    common: Arc<Common>,
    fragments: Fragments,
    /// The way to the settler; `None` once that is gone.
    lots: Option<Sender<Lot>>,
    harvest: Harvest,
    early_acks: EarlyAcks,
    /// The last boundary that was settled.
    settled: Time,
    watch_at: Instant,
}

impl Ticker {
    pub(super) fn new(common: &Arc<Common>, fragments: Fragments, lots: Sender<Lot>) -> Self {
        let now = common.clock.now();
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
            fragments,
            lots: Some(lots),
            harvest,
            early_acks: EarlyAcks::default(),
            settled: boundary(now),
            watch_at: Instant::now(),
        }
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

    /// Looks after the interfaces and the clock.
    pub(super) fn watch(&mut self, ports: &mut [Port], hands: &Hands) {
        if Instant::now() < self.watch_at {
            return;
        }
        self.watch_at = Instant::now() + WATCH;
        let now = self.common.clock.now();
        for (number, port) in ports.iter_mut().enumerate() {
            match port.watch(now, &mut self.harvest.gaps) {
                Change::None => {}
                Change::Closed => hands.remove(number),
                Change::Opened(queues) => {
                    for queue in queues {
                        hands.add(number, queue);
                    }
                }
            }
        }
        if let Some(step_us) = self.common.clock.step_us() {
            tracing::warn!(
                "the system's clock was set by {:.1} s",
                Duration::from_micros(step_us.unsigned_abs()).as_secs_f64()
            );
            if step_us.abs() > RESTART_US {
                self.end();
                self.common.clock.follow(step_us);
                self.settled = boundary(self.common.clock.now());
                self.harvest.gaps.push(Gap {
                    from: Time::MIN,
                    until: self.common.clock.now(),
                    kind: GapKind::Began,
                });
            } else {
                self.common.clock.follow(step_us);
            }
        }
    }

    /// Closes what is due at the last boundary that has passed, unless that was done, or a reader is behind.
    pub(super) fn tick(&mut self, outboxes: &[Arc<Outbox>]) {
        let boundary = boundary(self.common.clock.now());
        if boundary <= self.settled || !self.readers_have_passed(boundary) {
            return;
        }
        self.settled = boundary;
        self.gather(outboxes);
        let Common { shared, .. } = &*self.common;
        let taken = self.fragments.advance(boundary, shared);
        self.keep(taken);
        self.join_early_acks();
        let Common { shared, .. } = &*self.common;
        for shard in 0..shared.table.shards() {
            shared
                .table
                .expire(shard, boundary, &shared.rules, &mut self.harvest);
        }
        self.send(Some(boundary));
    }

    /// Takes what readers have left.
    pub(super) fn gather(&mut self, outboxes: &[Arc<Outbox>]) {
        for outbox in outboxes {
            self.keep(outbox.take());
        }
    }

    /// The end: whatever is open now stays without an end (semantics.md D89).
    pub(super) fn end(&mut self) {
        let shared = Arc::clone(&self.common.shared);
        let now = self.common.clock.now();
        let taken = self.fragments.advance(now, &shared);
        self.keep(taken);
        let taken = self.fragments.give_up(&shared);
        self.keep(taken);
        self.join_early_acks();
        for shard in 0..shared.table.shards() {
            shared.table.expire(shard, now, &shared.rules, &mut self.harvest);
        }
        self.send(Some(now));
        shared.table.close_all(&shared.rules, &mut self.harvest.closed);
        self.send(None);
        shared.table.reset();
    }

    pub(super) fn into_fragments(self) -> Fragments {
        self.fragments
    }

    fn readers_have_passed(&self, boundary: Time) -> bool {
        let began = Instant::now();
        while !self.common.marks.have_passed(boundary) {
            if began.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(PATIENCE_PAUSE);
        }
        true
    }

    fn keep(&mut self, taken: Taken) {
        self.harvest.append(taken.harvest);
        self.early_acks.append(taken.early_acks);
    }

    fn join_early_acks(&mut self) {
        let early = std::mem::take(&mut self.early_acks);
        self.common
            .shared
            .table
            .join_early_acks(early, &self.common.shared.rules);
    }

    fn send(&mut self, now: Option<Time>) {
        let harvest = std::mem::take(&mut self.harvest);
        // Fails only when a sink failed, which the settler reports at the end.
        if let Some(lots) = &self.lots
            && lots.send(Lot { now, harvest }).is_err()
        {
            self.lots = None;
        }
    }
}

/// The last boundary.
fn boundary(now: Time) -> Time {
    Time::from_micros(now.as_micros().div_euclid(TICK_US) * TICK_US)
}

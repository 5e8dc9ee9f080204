//! The engine's stages one by one, each in a function of its own that is never compiled into another: what a profiler or a
//! clock is to see apart.
//!
//! The order is a worker's and the settler's, in one thread: batches of messages, ticks of the clock at the replay's epochs.
//! What the engine does between the stages (channels, threads, the capture's clock) is not here; whole programs are measured
//! for that.

use arrayvec::ArrayVec;
use ringtap::capture::Frame;
use ringtap::decode::{DecodeCounters, Decoder, Payload};
use ringtap_calls::table::{BATCH_MAX, Routing};
use ringtap_calls::{Applied, Harvest, Judged, LegTable, Observation, Rules, Settler};
use ringtap_config::Config;
use ringtap_record::Time;

use crate::workload::decoder;

/// As the replay's.
const EPOCH_US: i64 = 128_000;

/// Datagrams of a batch.
pub type Payloads<'c> = ArrayVec<Payload<'c>, BATCH_MAX>;

/// Messages of a batch.
pub type Observations<'c> = ArrayVec<Observation<'c>, BATCH_MAX>;

/// Fills the batch with the next datagrams. False if there are no more frames.
#[inline(never)]
pub fn decode<'c>(
    decoder: &Decoder,
    frames: &mut dyn Iterator<Item = Frame<'c>>,
    counters: &mut DecodeCounters,
    batch: &mut Payloads<'c>,
) -> bool {
    batch.clear();
    while !batch.is_full() {
        let Some(frame) = frames.next() else {
            return !batch.is_empty();
        };
        batch.extend(decoder.decode(&frame, counters));
    }
    true
}

/// Reads the messages of these datagrams.
#[inline(never)]
pub fn parse<'c>(payloads: &Payloads<'c>, batch: &mut Observations<'c>) {
    batch.clear();
    batch.extend(payloads.iter().filter_map(|payload| {
        Some(Observation {
            time: payload.time,
            source: payload.source.ip(),
            destination: payload.destination.ip(),
            message: ringtap_sip::parse(payload.octets).ok()?,
        })
    }));
}

/// What stands behind the parser: leg table and settler.
#[derive(Debug)]
pub struct Calls {
    /// The legs.
    pub table: LegTable,
    /// What is configured: nothing.
    pub rules: Rules,
    routing: Routing,
    settler: Settler,
    /// When the table is to be looked through next.
    due: Option<Time>,
}

impl Calls {
    /// A table for so many legs, and its settler.
    #[must_use]
    pub fn new(legs_max: usize) -> Self {
        let table = LegTable::new(legs_max, 1);
        Self {
            settler: Settler::new(&table),
            table,
            rules: Rules::new(&Config::default()),
            routing: Routing::default(),
            due: None,
        }
    }

    /// The end of the epoch that this message closes, if it does.
    pub fn is_due(&mut self, now: Time) -> Option<Time> {
        let end = |at: Time| Time::from_micros((at.as_micros().div_euclid(EPOCH_US) + 1) * EPOCH_US);
        match self.due {
            Some(due) if now < due => None,
            due => {
                self.due = Some(end(now));
                due
            }
        }
    }

    /// Joins messages into the table.
    #[inline(never)]
    pub fn join(&mut self, batch: &[Observation<'_>]) -> Applied {
        self.table.apply(batch, &self.rules, &mut self.routing)
    }

    /// Closes what is due by `now`, and tells what is new.
    #[inline(never)]
    pub fn expire(&mut self, now: Time) -> Harvest {
        self.table.end_epoch(now, &self.rules, &mut self.routing)
    }

    /// Gives all legs that are still open away.
    pub fn close_all(&mut self) -> Harvest {
        self.table.end(&self.rules, &mut self.routing)
    }

    /// Judges the calls that are settled with this.
    #[inline(never)]
    pub fn settle(&mut self, now: Time, harvest: Harvest, judged: &mut Vec<Judged>) {
        self.settler.settle(now, harvest, &self.rules, judged);
    }

    /// Judges what is left.
    pub fn finish(&mut self, judged: &mut Vec<Judged>) {
        self.settler.finish(&self.rules, judged);
    }

    /// Takes a batch in, and all that becomes due with it.
    pub fn take(&mut self, batch: &[Observation<'_>], judged: &mut Vec<Judged>) {
        if let Some(first) = batch.first()
            && let Some(now) = self.is_due(first.time)
        {
            let harvest = self.expire(now);
            self.settle(now, harvest, judged);
        }
        self.join(batch);
    }
}

/// The engine's decoder and its counters, for those who need no other.
#[must_use]
pub fn decoding() -> (Decoder, DecodeCounters) {
    (decoder(), DecodeCounters::new())
}

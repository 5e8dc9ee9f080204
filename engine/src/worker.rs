//! One core's share of the work: frames → datagrams → messages → leg table.
//!
//! Nothing here allocates or copies per message: a batch of parsed messages borrows from the frames and
//! lives on the stack until it has been joined into the table.

use std::time::Instant;

use arrayvec::ArrayVec;
use ringtap_calls::table::{BATCH_MAX, Routing};
use ringtap_calls::{Applied, Early, Harvest, LegTable, Observation, Rules};
use ringtap_sip::{Fault, Message, Method, Start};

use crate::batches::BatchTimes;
use crate::capture::Frame;
use crate::decode::duplicates::Duplicates;
use crate::decode::{Around, DecodeCounters, Decoded, Decoder, Payload};

/// What the workers share.
#[derive(Debug)]
pub struct Shared {
    /// All legs.
    pub table: LegTable,
    /// What the operator configured.
    pub rules: Rules,
}

/// Methods, and faults, that are counted.
const METHODS: usize = Method::ALL.len();
const FAULTS: usize = Fault::ALL.len();

/// What one worker has counted. Owned by its thread: others are given copies.
#[derive(Clone, Debug)]
pub struct WorkerCounters {
    /// Frames by what became of them.
    pub frames: DecodeCounters,
    /// Octets of all frames as captured.
    pub bytes: u64,
    /// Requests by method, in the order of [`Method::ALL`].
    pub requests: [u64; METHODS],
    /// Responses by class 1xx to 6xx.
    pub responses: [u64; 6],
    /// Datagrams that are no usable SIP message, in the order of [`Fault::ALL`].
    pub faults: [u64; FAULTS],
    /// What became of the messages.
    pub applied: Applied,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            frames: DecodeCounters::new(),
            bytes: 0,
            requests: [0; METHODS],
            responses: [0; 6],
            faults: [0; FAULTS],
            applied: Applied::default(),
        }
    }
}

impl WorkerCounters {
    /// SIP messages read.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.requests.iter().chain(&self.responses).sum()
    }

    /// Adds another worker's counts.
    pub fn merge(&mut self, other: &Self) {
        self.frames.merge(&other.frames);
        self.bytes += other.bytes;
        self.merge_messages(other);
    }

    /// Adds the counts of a worker that worked on what had been set aside. The frames themselves have been counted by those
    /// who found them.
    pub fn merge_set_aside(&mut self, other: &Self) {
        self.frames.merge_set_aside(&other.frames);
        self.merge_messages(other);
    }

    fn merge_messages(&mut self, other: &Self) {
        add(&mut self.requests, &other.requests);
        add(&mut self.responses, &other.responses);
        add(&mut self.faults, &other.faults);
        self.applied.add(other.applied);
    }

    fn count_message(&mut self, message: &Message<'_>) {
        let counter = match message.start() {
            Start::Request { method, .. } => self.requests.get_mut(method as usize),
            Start::Response { status, .. } => self
                .responses
                .get_mut(usize::from(status / 100).saturating_sub(1)),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
    }
}

fn add(sums: &mut [u64], others: &[u64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// What a worker gives away.
#[derive(Debug, Default)]
pub struct Taken {
    /// For the settler: legs that had to leave a full table, and what was told of registrations.
    pub harvest: Harvest,
    /// For whoever ends the epoch: they are joined into the table when every worker is done with it, and before any
    /// expires its share.
    pub early: Early,
}

impl Taken {
    /// Adds another worker's.
    pub fn append(&mut self, mut other: Self) {
        self.harvest.append(other.harvest);
        self.early.append(&mut other.early);
    }
}

/// One worker. It owns no legs: any worker may see any message.
#[derive(Debug)]
pub struct Worker {
    decoder: Decoder,
    duplicates: Duplicates,
    /// Remembers nothing: for frames that have been sifted.
    sifted: Duplicates,
    routing: Routing,
    counters: WorkerCounters,
    asides: Vec<usize>,
    /// If they are asked for.
    times: Option<BatchTimes>,
}

impl Worker {
    /// A worker that takes what `decoder` lets through.
    #[must_use]
    pub fn new(decoder: Decoder) -> Self {
        Self {
            duplicates: decoder.duplicates(),
            sifted: Duplicates::new(0),
            decoder,
            routing: Routing::default(),
            counters: WorkerCounters::default(),
            asides: Vec::new(),
            times: None,
        }
    }

    /// Tells how long its batches take.
    #[must_use]
    pub(crate) fn timed(mut self, timed: bool) -> Self {
        self.times = timed.then(BatchTimes::default);
        self
    }

    /// Joins all messages of these frames into the table. What makes sense only with other frames is left to whoever sees
    /// those of all workers: [`asides`](Self::asides) says which they are.
    pub fn process<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared) {
        self.work(frames, shared, false);
    }

    /// As [`process`](Self::process), for frames among which [`is_copy`](Self::is_copy), of whichever worker, has found the copies.
    pub(crate) fn process_sifted<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared) {
        self.work(frames, shared, true);
    }

    /// Whether the next frame holds a copy; then it is counted here. Which datagrams are copies depends on those before them, so where several
    /// workers share frames out, one has to look at all in their order: else it would depend on the number of workers, and with it when a call
    /// was last heard of.
    pub(crate) fn is_copy(&mut self, frame: &Frame<'_>) -> bool {
        if !self.duplicates.is_on() {
            return false;
        }
        let is_copy = self.decoder.is_copy(frame, &mut self.duplicates);
        if is_copy {
            self.decoder.count_copy(frame, &mut self.counters.frames);
            self.counters.bytes += frame.bytes.len() as u64;
        }
        is_copy
    }

    #[inline]
    fn work<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared, are_sifted: bool) {
        let mut batch: ArrayVec<Observation<'c>, BATCH_MAX> = ArrayVec::new();
        self.asides.clear();
        let mut began = self.times.as_ref().map(|_| Instant::now());
        for (at, frame) in frames.enumerate() {
            self.counters.bytes += frame.bytes.len() as u64;
            let counters = &mut self.counters.frames;
            let duplicates = if are_sifted {
                &mut self.sifted
            } else {
                &mut self.duplicates
            };
            let decoded = self.decoder.sort_once(&frame, duplicates, counters);
            let Decoded::Payload(payload) = decoded else {
                if decoded.is_aside() {
                    self.asides.push(at);
                }
                continue;
            };
            batch.extend(self.parse(&payload));
            if batch.is_full() {
                self.apply(&batch, shared);
                self.time(&mut began, batch.len());
                batch.clear();
            }
        }
        self.apply(&batch, shared);
        self.time(&mut began, batch.len());
    }

    fn time(&mut self, began: &mut Option<Instant>, messages: usize) {
        if let (Some(times), Some(began)) = (&mut self.times, began) {
            *began = times.end(*began, messages);
        }
    }

    /// What a frame is that was put together. Counts it.
    pub(crate) fn sort<'c>(&mut self, frame: &Frame<'c>, around: Around) -> Decoded<'c> {
        self.decoder.sort_within(frame, around, &mut self.counters.frames)
    }

    /// Joins one message into the table.
    pub(crate) fn read(&mut self, payload: &Payload<'_>, shared: &Shared) {
        if let Some(observation) = self.parse(payload) {
            self.apply(&[observation], shared);
        }
    }

    /// The message in there. Counts it, or why there is none.
    #[inline]
    fn parse<'c>(&mut self, payload: &Payload<'c>) -> Option<Observation<'c>> {
        let message = match ringtap_sip::parse(payload.octets) {
            Ok(message) => message,
            Err(fault) => {
                if let Some(counter) = self.counters.faults.get_mut(fault.index()) {
                    *counter += 1;
                }
                return None;
            }
        };
        self.counters.count_message(&message);
        Some(Observation {
            time: payload.time,
            source: payload.source.ip(),
            destination: payload.destination.ip(),
            message,
        })
    }

    fn apply(&mut self, batch: &[Observation<'_>], shared: &Shared) {
        let applied = shared.table.apply(batch, &shared.rules, &mut self.routing);
        self.counters.applied.add(applied);
    }

    /// Which of the frames last [`process`](Self::process)ed make sense only with others: their places among those,
    /// ascending.
    #[must_use]
    pub fn asides(&self) -> &[usize] {
        &self.asides
    }

    /// What processing led to. To be asked after each piece of work: what stays here
    /// is counted by nobody's limit.
    pub fn take(&mut self) -> Taken {
        Taken {
            harvest: Harvest {
                closed: std::mem::take(&mut self.routing.evicted),
                registrations: std::mem::take(&mut self.routing.registrations),
                ..Harvest::default()
            },
            early: self.routing.early.take(),
        }
    }

    /// Messages that came before their legs. Whoever takes them from here leaves the room that they had.
    pub fn early(&mut self) -> &mut Early {
        &mut self.routing.early
    }

    /// How long batches took, if that was asked for.
    pub(crate) const fn times(&self) -> Option<&BatchTimes> {
        self.times.as_ref()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &WorkerCounters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureFile, Chunk};
    use crate::decode::Reason;
    use ringtap_calls::Settler;
    use ringtap_record::{Outcome, Time};
    use ringtap_testkit::{Format, Wire, capture, messages, messages_salted, scenario};

    const CALLS: u64 = 200;

    /// Catches legs that leave a full table and are not handed over at once, or twice.
    #[test]
    fn evicted_legs_are_handed_over() {
        let case = &scenario("S01").unwrap().cases()[0];
        let invites: Vec<_> = (0..CALLS)
            .map(|salt| messages_salted(case, salt)[0].clone())
            .collect();
        let shared = shared(8);
        let mut worker = worker();
        worker.process(chunk(&invites).frames(), &shared);
        let counters = shared.table.counters();
        assert_eq!(counters.legs_made, CALLS);
        assert!(counters.evicted_open > CALLS / 2);
        assert_eq!(worker.take().harvest.closed.len() as u64, counters.evicted_open);
        assert!(worker.take().harvest.is_empty());
    }

    /// Catches copies of a mirror that are parsed again and again, or messages that are dropped with them.
    #[test]
    fn copies_are_dropped_early() {
        let once = messages(&scenario("S01").unwrap().cases()[0]);
        let twice = ringtap_testkit::mutate::duplicated(&once);
        for (duplicate_ms, dropped) in [(0, 0), (100, twice.len() - once.len() - 1)] {
            let decoder = Decoder::new([5060].into_iter().collect()).with_duplicates(duplicate_ms);
            let mut worker = Worker::new(decoder);
            worker.process(chunk(&twice).frames(), &shared(100));
            let counters = worker.counters();
            // The first copy tells that there are any.
            assert_eq!(
                counters.frames.of(Reason::Duplicate),
                dropped as u64,
                "{duplicate_ms}"
            );
            assert_eq!(
                counters.messages(),
                (twice.len() - dropped) as u64,
                "{duplicate_ms}"
            );
            assert_eq!(counters.frames.frames(), twice.len() as u64);
        }
    }

    /// Catches an ACK that one worker read before another brought its INVITE, and that is lost on its way to the end of the
    /// epoch: the answer that it proves (A2) would be missed.
    #[test]
    fn early_messages_of_all_workers_are_joined() {
        let answered = messages(&scenario("S02").unwrap().cases()[0]);
        let is_of = |wire: &Wire, start: &[u8]| wire.payload.starts_with(start);
        let pick = |starts: &[&[u8]]| -> Vec<Wire> {
            let picked = answered.iter();
            picked
                .filter(|wire| starts.iter().any(|start| is_of(wire, start)))
                .cloned()
                .collect()
        };
        let acks = chunk(&pick(&[b"ACK"]));
        // The 200 is lost: nothing else proves the answer.
        let others = chunk(&pick(&[b"INVITE", b"SIP/2.0 180"]));
        let due = answered[0].time.plus_ms(600_000);
        let shared = shared(100);
        let mut workers = [worker(), worker()];
        workers[0].process(acks.frames(), &shared);
        workers[1].process(others.frames(), &shared);
        let mut taken = Taken::default();
        for worker in &mut workers {
            taken.append(worker.take());
        }
        let Taken { harvest, early } = &mut taken;
        assert!(!early.is_empty());
        shared.table.join_early(early, Time::MAX, &shared.rules, harvest);
        shared.table.expire_all(due, &shared.rules, harvest);
        let (mut settler, mut judged) = (Settler::new(&shared.table), Vec::new());
        settler.settle(due, taken.harvest, &shared.rules, &mut judged);
        let outcome = judged[0].record.targets[0].outcome;
        assert_eq!((judged.len(), outcome), (1, Outcome::Answered));
    }

    fn chunk(wires: &[Wire]) -> Chunk {
        let bytes = std::io::Cursor::new(capture(wires, Format::Pcap));
        let mut file = CaptureFile::from_reader("made", Box::new(bytes)).unwrap();
        let mut chunk = Chunk::new();
        assert!(file.next_chunk(&mut chunk).unwrap());
        chunk
    }

    fn shared(legs_max: usize) -> Shared {
        Shared {
            table: LegTable::new(legs_max, 1),
            rules: Rules::new(&ringtap_config::from_toml("", "defaults").unwrap()),
        }
    }

    fn worker() -> Worker {
        Worker::new(Decoder::new([5060].into_iter().collect()))
    }
}

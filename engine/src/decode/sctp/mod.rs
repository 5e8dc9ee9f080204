//! SIP messages out of SCTP packets (RFC 4168, RFC 9260, semantics.md §5 "SCTP").
//!
//! A message is a user message: mostly one chunk of data, which is read in place. Larger ones come in pieces with numbers that follow
//! on one another (TSN, or the piece's own in `I-DATA`, RFC 8260). Owns the pieces, and which numbers were seen, in a bounded memory: `association`
//! follows one direction of an association, `seen` tells copies. It reads no clock: whoever feeds it says what time it is.

mod association;
mod counters;
mod packet;
mod seen;
#[cfg(test)]
mod tests;

pub use counters::{AssociationCounters, ChunkCounters, MessageCounters, SctpCounters};
pub use packet::{Association, Packet};

use std::collections::BTreeMap;

use hashlink::LinkedHashMap;
use ringtap_record::Time;

use super::Payload;
use association::{AGE_MS, Desk, State};
use packet::Chunk;

/// How long an association is remembered that sends no data. One that was forgotten loses nothing but the knowledge of what are copies.
const IDLE_MS: i64 = 3_600_000;
/// What an association costs beside its pieces: in the table, which may just have grown, and among those that wait.
const ENTRY_BYTES: usize =
    2 * size_of::<(Association, State)>() + 2 * size_of::<((Time, u64), Association)>() + 64;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for all associations and the pieces of messages; one piece more than fits is there for a moment.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// As in a configuration that says nothing of it.
    fn default() -> Self {
        Self {
            bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// All associations.
#[derive(Debug)]
pub struct Associations {
    limits: Limits,
    /// The one least recently heard of first.
    states: LinkedHashMap<Association, State>,
    /// Those that wait for something, by since when.
    waiting: BTreeMap<(Time, u64), Association>,
    waits: u64,
    /// The last time it was told.
    now: Option<Time>,
    /// Memory for pieces.
    held_bytes: usize,
    scratch: Vec<u8>,
    missed: Vec<Time>,
    counters: SctpCounters,
}

impl Associations {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            states: LinkedHashMap::new(),
            waiting: BTreeMap::new(),
            waits: 0,
            now: None,
            held_bytes: 0,
            scratch: Vec::new(),
            missed: Vec::new(),
            counters: SctpCounters::default(),
        }
    }

    /// These, none of which has begun, as `shards` parts that share the memory allowed.
    #[must_use]
    pub fn into_shards(self, shards: usize) -> Vec<Self> {
        let bytes_max = self.limits.bytes_max / shards.max(1);
        (0..shards).map(|_| Self::new(Limits { bytes_max })).collect()
    }

    /// Takes a packet. Each message that became whole by it is given to `sink`.
    pub fn put(&mut self, packet: &Packet<'_>, sink: &mut impl FnMut(&Payload<'_>)) {
        self.counters.packets += 1;
        let association = packet.association();
        let used = self.now.unwrap_or(packet.time);
        for chunk in packet.iter() {
            match chunk {
                Chunk::Data(data) => {
                    if !self.states.contains_key(&association) {
                        self.counters.associations.begun += 1;
                        self.states.insert(association, State::begin(data.tsn, used));
                    }
                    self.on(association, used, sink, |state, desk| {
                        state.used = used;
                        state.put(packet, &data, desk);
                    });
                    self.make_room(sink);
                }
                Chunk::Forward(tsn) => {
                    self.on(association, used, sink, |state, desk| state.forward(tsn, desk));
                    self.make_room(sink);
                }
                Chunk::End => self.on(association, used, sink, |state, desk| state.end(desk)),
                Chunk::Malformed => self.counters.chunks.malformed += 1,
                Chunk::Other => {}
            }
        }
    }

    /// Time goes on: gives up what has been missing for too long. `now` is capture time and never goes back, except
    /// after [`clear`](Self::clear).
    pub fn advance(&mut self, now: Time, sink: &mut impl FnMut(&Payload<'_>)) {
        if self.now.replace(now).is_none() {
            self.begin_time(now);
        }
        while let Some((wait, association)) = self.waiting.first_key_value()
            && wait.0.plus_ms(AGE_MS) < now
        {
            let (wait, association) = (*wait, *association);
            self.stop_waiting(association);
            self.waiting.remove(&wait);
            self.on(association, now, sink, |state, desk| state.give_up_old(desk));
        }
        while let Some((_, state)) = self.states.front()
            && state.used.plus_ms(IDLE_MS) < now
        {
            self.counters.associations.forgotten += 1;
            self.remove_oldest(now, sink);
        }
    }

    /// The end, or a gap: gives up everything and forgets the time.
    pub fn clear(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        let before = self.missed.len();
        let now = self.now.unwrap_or(Time::MIN);
        while !self.states.is_empty() {
            self.remove_oldest(now, sink);
        }
        // That the end leaves something unfinished is a gap of its own.
        self.missed.truncate(before);
        self.now = None;
    }

    /// When something was given up since this was asked last that may have told something of a call (semantics.md D37). Not of
    /// what the end of the capture leaves incomplete, which is a gap of its own. Never more than there were chunks.
    pub fn take_missed(&mut self) -> Vec<Time> {
        std::mem::take(&mut self.missed)
    }

    /// What became of the packets.
    #[must_use]
    pub const fn counters(&self) -> &SctpCounters {
        &self.counters
    }

    /// Memory that is taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.states.len() * ENTRY_BYTES + self.held_bytes
    }

    /// Stamps are not the clock, whose first time this is.
    fn begin_time(&mut self, now: Time) {
        self.waiting.clear();
        for (association, state) in &mut self.states {
            state.begin_time(now);
            if let Some((since, number)) = &mut state.waits {
                *since = now;
                self.waiting.insert((now, *number), *association);
            }
        }
    }

    /// Does something with an association, if it is known, and keeps account of what that changed.
    fn on<S: FnMut(&Payload<'_>)>(
        &mut self,
        association: Association,
        now: Time,
        sink: &mut S,
        work: impl FnOnce(&mut State, &mut Desk<'_, S>),
    ) {
        let Some(state) = self.states.to_back(&association) else {
            return;
        };
        let before = state.held_bytes();
        work(
            state,
            &mut Desk {
                now,
                counters: &mut self.counters,
                scratch: &mut self.scratch,
                missed: &mut self.missed,
                sink,
            },
        );
        self.held_bytes = self.held_bytes + state.held_bytes() - before;
        match (state.waits, state.is_waiting()) {
            (None, true) => {
                self.waits += 1;
                let wait = (state.waits_since().unwrap_or(now), self.waits);
                state.waits = Some(wait);
                self.waiting.insert(wait, association);
            }
            (Some(_), false) => self.stop_waiting(association),
            // An early look does no harm.
            (Some(_), true) | (None, false) => {}
        }
    }

    fn stop_waiting(&mut self, association: Association) {
        let state = self.states.get_mut(&association);
        if let Some(wait) = state.and_then(|state| state.waits.take()) {
            self.waiting.remove(&wait);
        }
    }

    /// Drops what was least recently used until memory suffices.
    fn make_room(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        let now = self.now.unwrap_or(Time::MIN);
        while self.held_bytes() > self.limits.bytes_max && !self.states.is_empty() {
            self.counters.associations.evicted += 1;
            self.remove_oldest(now, sink);
        }
    }

    /// Takes out the association least recently heard of, and hands on what is there.
    fn remove_oldest(&mut self, now: Time, sink: &mut impl FnMut(&Payload<'_>)) {
        let Some(association) = self.states.front().map(|(association, _)| *association) else {
            return;
        };
        self.on(association, now, sink, |state, desk| state.end(desk));
        self.stop_waiting(association);
        if let Some(state) = self.states.remove(&association) {
            self.held_bytes -= state.held_bytes();
        }
    }
}

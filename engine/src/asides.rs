//! What the workers of a crew set aside, because it makes sense only together with other frames, and what it adds up to:
//! fragments, TCP segments, SCTP packets.
//!
//! There is one of each kind of memory for all workers, since what belongs together may come to any of them. A replay feeds
//! them in the thread that gives out the work, in the order of the frames: so what becomes of them does not depend on the number of
//! cores. In live capture each reader feeds them what it finds. What comes out is parsed and joined here, by a worker of
//! their own. How things are put together is left to [`crate::decode`].
//!
//! Messages are parsed and joined while the memory that they come from is locked, for they borrow from it: the table's locks
//! come after these, never before. Where several readers feed them, streams are therefore dealt out to shards by a keyed hash: a network
//! that speaks nothing but TCP would else wait at one lock. A replay has one shard, since which stream has to leave a full memory must not
//! depend on a random key.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::reassembly::{Packet, Reassembler};
use crate::decode::{Around, Decoded, Decoder, Payload, sctp, tcp};
use crate::worker::{Shared, Taken, Worker, WorkerCounters};

/// Puts together what was set aside and joins what it says into the table. Its methods return what that led to.
#[derive(Debug)]
pub(crate) struct Asides {
    memory: Arc<Memory>,
    decoder: Decoder,
    worker: Worker,
    packets: Vec<Packet>,
    missed: Vec<Gap>,
}

/// What is not whole yet.
#[derive(Debug)]
struct Memory {
    fragments: Mutex<Reassembler>,
    streams: Shards<tcp::Streams>,
    associations: Shards<sctp::Associations>,
}

/// Shards of live capture: several for each reader that there may be. SCTP has few associations, and a smaller part of the memory.
const STREAM_SHARDS: usize = 16;
const ASSOCIATION_SHARDS: usize = 4;

/// Parts of one memory, each behind a lock of its own.
#[derive(Debug)]
struct Shards<T> {
    shards: Box<[Mutex<T>]>,
    /// Keyed, so that nobody can aim at one shard who sends the traffic.
    state: RandomState,
}

impl<T> Shards<T> {
    fn new(shards: Vec<T>) -> Self {
        Self {
            shards: shards.into_iter().map(Mutex::new).collect(),
            state: RandomState::new(),
        }
    }

    /// The shard of whatever has this key.
    fn of(&self, key: &impl Hash) -> Option<&Mutex<T>> {
        let shards = self.shards.len() as u64;
        // As many of the upper bits as there are shards (Lemire's multiplication): no division.
        let place = if shards > 1 {
            (u128::from(self.state.hash_one(key)) * u128::from(shards)) >> 64
        } else {
            0
        };
        self.shards.get(usize::try_from(place).ok()?)
    }
}

impl Asides {
    /// For one thread, which feeds it in the order of the frames.
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self::with_shards(decoder, 1, 1)
    }

    /// For several threads: [`sharing`](Self::sharing) gives each its own.
    pub(crate) fn for_several(decoder: &Decoder) -> Self {
        Self::with_shards(decoder, STREAM_SHARDS, ASSOCIATION_SHARDS)
    }

    fn with_shards(decoder: &Decoder, streams: usize, associations: usize) -> Self {
        let memory = Memory {
            fragments: Mutex::new(decoder.reassembler()),
            streams: Shards::new(decoder.streams().into_shards(streams)),
            associations: Shards::new(decoder.associations().into_shards(associations)),
        };
        Self::with_memory(Arc::new(memory), decoder)
    }

    /// Another that feeds the same memory, for another thread.
    pub(crate) fn sharing(&self, decoder: &Decoder) -> Self {
        Self::with_memory(Arc::clone(&self.memory), decoder)
    }

    fn with_memory(memory: Arc<Memory>, decoder: &Decoder) -> Self {
        Self {
            memory,
            decoder: decoder.clone(),
            worker: Worker::new(decoder.clone()),
            packets: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// Takes the next frames that were set aside.
    pub(crate) fn process<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared) -> Taken {
        for frame in frames {
            let (decoded, _) = self.decoder.look(&frame, Around::default());
            self.put(&decoded, shared);
            self.work_off(shared);
        }
        self.take()
    }

    /// Time goes on.
    pub(crate) fn advance(&mut self, now: Time, shared: &Shared) -> Taken {
        let mut fragments = self.memory.fragments.lock();
        fragments.advance(now, &mut self.packets);
        note(
            &mut self.missed,
            GapKind::FragmentsGivenUp,
            fragments.take_missed(),
        );
        drop(fragments);
        self.work_off(shared);
        let mut read = |payload: &Payload<'_>| self.worker.read(payload, shared);
        for shard in &self.memory.streams.shards {
            let mut streams = shard.lock();
            streams.advance(now, &mut read);
            note(&mut self.missed, GapKind::StreamBroken, streams.take_missed());
        }
        for shard in &self.memory.associations.shards {
            let mut associations = shard.lock();
            associations.advance(now, &mut read);
            note(
                &mut self.missed,
                GapKind::StreamBroken,
                associations.take_missed(),
            );
        }
        self.take()
    }

    /// A gap, or the end.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Taken {
        loop {
            self.memory.fragments.lock().clear(&mut self.packets);
            if self.packets.is_empty() {
                break;
            }
            // What comes out may be fragments in a tunnel, or segments.
            self.work_off(shared);
        }
        let mut read = |payload: &Payload<'_>| self.worker.read(payload, shared);
        for shard in &self.memory.streams.shards {
            shard.lock().clear(&mut read);
        }
        for shard in &self.memory.associations.shards {
            shard.lock().clear(&mut read);
        }
        self.take()
    }

    /// Adds what was counted here, and what is counted of the memory.
    pub(crate) fn add_to(&self, sum: &mut WorkerCounters) {
        self.add_packets_to(sum);
        let memory = &self.memory;
        sum.frames.merge_reassembly(memory.fragments.lock().counters());
        for shard in &memory.streams.shards {
            sum.frames.merge_tcp(shard.lock().counters());
        }
        for shard in &memory.associations.shards {
            sum.frames.merge_sctp(shard.lock().counters());
        }
    }

    /// Adds what was counted here alone: the memory's counts are added once, by [`add_to`](Self::add_to).
    pub(crate) fn add_packets_to(&self, sum: &mut WorkerCounters) {
        sum.merge_set_aside(self.worker.counters());
    }

    /// Puts something into the memory where its kind is kept, and joins what became whole by it.
    fn put(&mut self, decoded: &Decoded<'_>, shared: &Shared) {
        let Self {
            memory,
            worker,
            packets,
            missed,
            ..
        } = self;
        let mut read = |payload: &Payload<'_>| worker.read(payload, shared);
        match decoded {
            Decoded::Payload(payload) => read(payload),
            Decoded::Fragment(piece) => {
                let mut fragments = memory.fragments.lock();
                fragments.put(piece, packets);
                note(missed, GapKind::FragmentsGivenUp, fragments.take_missed());
            }
            Decoded::Tcp(segment) => {
                if let Some(shard) = memory.streams.of(&segment.flow) {
                    let mut streams = shard.lock();
                    streams.put(segment, &mut read);
                    note(missed, GapKind::StreamBroken, streams.take_missed());
                }
            }
            Decoded::Sctp(packet) => {
                if let Some(shard) = memory.associations.of(&packet.association()) {
                    let mut associations = shard.lock();
                    associations.put(packet, &mut read);
                    note(missed, GapKind::StreamBroken, associations.take_missed());
                }
            }
            Decoded::Nothing => {}
        }
    }

    /// Works on what fragments added up to, which may be fragments in a tunnel again. That ends, for each is deeper than
    /// the one that it was a part of.
    fn work_off(&mut self, shared: &Shared) {
        while !self.packets.is_empty() {
            for packet in std::mem::take(&mut self.packets) {
                let decoded = self.worker.sort(&packet.frame(), packet.around);
                self.put(&decoded, shared);
            }
        }
    }

    /// What all that led to.
    fn take(&mut self) -> Taken {
        let mut taken = self.worker.take();
        taken.harvest.gaps.append(&mut self.missed);
        taken
    }
}

/// Known gaps at these times. They are taken while what told them is locked, so that no look at all locks is needed for it.
fn note(missed: &mut Vec<Gap>, kind: GapKind, times: Vec<Time>) {
    missed.extend(times.into_iter().map(|at| Gap {
        from: at,
        until: at,
        kind,
    }));
}

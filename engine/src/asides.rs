//! What the workers of a crew set aside, because it makes sense only together with other frames, and what it adds up to:
//! fragments, TCP segments, SCTP packets.
//!
//! There is one of each kind of memory for all workers, since what belongs together may come to any of them. A replay feeds
//! them in the thread that gives out the work, in the order of the frames: so what becomes of them does not depend on the number of
//! cores. In live capture each reader feeds them what it finds. What comes out is parsed and joined here, by a worker of
//! their own. How things are put together is left to [`crate::decode`].

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
}

/// What is not whole yet.
#[derive(Debug)]
struct Memory {
    fragments: Mutex<Reassembler>,
    streams: Mutex<tcp::Streams>,
    associations: Mutex<sctp::Associations>,
}

impl Asides {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        let memory = Memory {
            fragments: Mutex::new(decoder.reassembler()),
            streams: Mutex::new(decoder.streams()),
            associations: Mutex::new(decoder.associations()),
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
        self.memory.fragments.lock().advance(now, &mut self.packets);
        self.work_off(shared);
        let mut read = |payload: &Payload<'_>| self.worker.read(payload, shared);
        self.memory.streams.lock().advance(now, &mut read);
        self.memory.associations.lock().advance(now, &mut read);
        self.take()
    }

    /// A gap, or the end.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Taken {
        loop {
            self.memory.fragments.lock().clear(&mut self.packets);
            if self.packets.is_empty() {
                break;
            }
            // What comes out may be fragments in a tunnel.
            self.work_off(shared);
        }
        let mut read = |payload: &Payload<'_>| self.worker.read(payload, shared);
        self.memory.streams.lock().clear(&mut read);
        self.memory.associations.lock().clear(&mut read);
        self.take()
    }

    /// Adds what was counted here, and what is counted of the memory.
    pub(crate) fn add_to(&self, sum: &mut WorkerCounters) {
        self.add_packets_to(sum);
        let memory = &self.memory;
        sum.frames.merge_reassembly(memory.fragments.lock().counters());
        sum.frames.merge_tcp(memory.streams.lock().counters());
        sum.frames.merge_sctp(memory.associations.lock().counters());
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
            ..
        } = self;
        let mut read = |payload: &Payload<'_>| worker.read(payload, shared);
        match decoded {
            Decoded::Payload(payload) => read(payload),
            Decoded::Fragment(piece) => memory.fragments.lock().put(piece, packets),
            Decoded::Tcp(segment) => memory.streams.lock().put(segment, &mut read),
            Decoded::Sctp(packet) => memory.associations.lock().put(packet, &mut read),
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
        let memory = &self.memory;
        let missed = [
            (GapKind::FragmentsGivenUp, memory.fragments.lock().take_missed()),
            (GapKind::StreamBroken, memory.streams.lock().take_missed()),
            (GapKind::StreamBroken, memory.associations.lock().take_missed()),
        ];
        for (kind, times) in missed {
            taken.harvest.gaps.extend(times.into_iter().map(|at| Gap {
                from: at,
                until: at,
                kind,
            }));
        }
        taken
    }
}

//! The fragments that the workers of a crew find, and what they add up to.
//!
//! There is one reassembler for all, since fragments of one datagram may come to any worker. A replay feeds it in the
//! thread that gives out the work, in the order of the frames: so what becomes of them does not depend on the number of
//! cores. In live capture each reader feeds it what it finds. The packets that come out go the way of any frame, through a worker of
//! their own. How fragments are put together is left to [`crate::decode::reassembly`].

use std::sync::Arc;

use parking_lot::Mutex;
use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::Decoder;
use crate::decode::reassembly::{Packet, Piece, Reassembler, ReassemblyCounters};
use crate::worker::{Shared, Taken, Worker, WorkerCounters};

/// Puts fragments together and joins what they say into the table. Its methods return what that led to.
#[derive(Debug)]
pub(crate) struct Fragments {
    reassembler: Arc<Mutex<Reassembler>>,
    worker: Worker,
    packets: Vec<Packet>,
}

impl Fragments {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self {
            reassembler: Arc::new(Mutex::new(decoder.reassembler())),
            worker: Worker::new(decoder.clone()),
            packets: Vec::new(),
        }
    }

    /// Another that feeds the same reassembler, for another thread.
    pub(crate) fn sharing(&self, decoder: &Decoder) -> Self {
        Self {
            reassembler: Arc::clone(&self.reassembler),
            worker: Worker::new(decoder.clone()),
            packets: Vec::new(),
        }
    }

    /// Takes the next fragments.
    pub(crate) fn process<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared) -> Taken {
        self.with(shared, |reassembler, packets| {
            for piece in frames.filter_map(|frame| Piece::of(&frame)) {
                reassembler.put(&piece, packets);
            }
        })
    }

    /// Time goes on.
    pub(crate) fn advance(&mut self, now: Time, shared: &Shared) -> Taken {
        self.with(shared, |reassembler, packets| reassembler.advance(now, packets))
    }

    /// A gap, or the end.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Taken {
        self.with(shared, Reassembler::clear)
    }

    /// Adds what was counted here, and what the reassembler counted.
    pub(crate) fn add_to(&self, sum: &mut WorkerCounters) {
        sum.merge_reassembled(self.worker.counters(), self.reassembler.lock().counters());
    }

    /// Adds what was counted here alone: the reassembler's counts are added once, by [`add_to`](Self::add_to).
    pub(crate) fn add_packets_to(&self, sum: &mut WorkerCounters) {
        sum.merge_reassembled(self.worker.counters(), &ReassemblyCounters::default());
    }

    /// Does something with the reassembler, and joins what comes out of it.
    fn with(&mut self, shared: &Shared, work: impl FnOnce(&mut Reassembler, &mut Vec<Packet>)) -> Taken {
        let missed = {
            let mut reassembler = self.reassembler.lock();
            work(&mut reassembler, &mut self.packets);
            reassembler.take_missed()
        };
        let mut taken = Taken::default();
        if !self.packets.is_empty() {
            self.worker
                .process(self.packets.iter().map(Packet::frame), shared);
            self.packets.clear();
            taken = self.worker.take();
        }
        taken.harvest.gaps.extend(missed.into_iter().map(|at| Gap {
            from: at,
            until: at,
            kind: GapKind::FragmentsGivenUp,
        }));
        taken
    }
}

//! The fragments that the workers of a crew find, and what they add up to.
//!
//! There is one of these for all workers, in the thread that gives out the work, and it is given the fragments in
//! the order of the frames: so what becomes of them does not depend on the number of cores. The packets that come
//! out go the way of any frame, through a worker of their own. How fragments are put together is left to
//! [`crate::decode::reassembly`].

use ringtap_calls::{Gap, GapKind};
use ringtap_record::Time;

use crate::capture::Frame;
use crate::decode::Decoder;
use crate::decode::reassembly::{Packet, Piece, Reassembler};
use crate::worker::{Shared, Taken, Worker, WorkerCounters};

/// Puts fragments together and joins what they say into the table. Its methods return what that led to.
pub(crate) struct Fragments {
    reassembler: Reassembler,
    worker: Worker,
    packets: Vec<Packet>,
}

impl Fragments {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self {
            reassembler: decoder.reassembler(),
            worker: Worker::new(decoder.clone()),
            packets: Vec::new(),
        }
    }

    /// Takes the next fragments.
    pub(crate) fn process<'c>(&mut self, frames: impl Iterator<Item = Frame<'c>>, shared: &Shared) -> Taken {
        for frame in frames {
            if let Some(piece) = Piece::of(&frame) {
                self.reassembler.put(&piece, &mut self.packets);
            }
        }
        self.join(shared)
    }

    /// Time goes on.
    pub(crate) fn advance(&mut self, now: Time, shared: &Shared) -> Taken {
        self.reassembler.advance(now, &mut self.packets);
        self.join(shared)
    }

    /// A gap, or the end.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Taken {
        self.reassembler.clear(&mut self.packets);
        self.join(shared)
    }

    /// Adds what was counted here.
    pub(crate) fn add_to(&self, sum: &mut WorkerCounters) {
        sum.merge_reassembled(self.worker.counters(), self.reassembler.counters());
    }

    fn join(&mut self, shared: &Shared) -> Taken {
        let missed = self.reassembler.take_missed().into_iter();
        let gaps = missed.map(|at| Gap {
            from: at,
            until: at,
            kind: GapKind::FragmentsGivenUp,
        });
        let mut taken = Taken::default();
        if !self.packets.is_empty() {
            self.worker
                .process(self.packets.iter().map(Packet::frame), shared);
            self.packets.clear();
            taken = self.worker.take();
        }
        taken.harvest.gaps.extend(gaps);
        taken
    }
}

//! A piece of work that several workers share: each takes the next part of it, and all are small.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringtap_calls::table::BATCH_MAX;
use ringtap_record::Time;

use crate::capture::Chunk;
use crate::worker::{Shared, Taken, Worker};

/// How small work is cut: into less and less as it comes to an end, so that all are done at about the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// Frames in the smallest piece.
    pub(super) frames_min: usize,
    /// Frames in the largest.
    pub(super) frames_max: usize,
    /// Frames to join for which it is worth calling another hand.
    pub(super) frames_to_join: usize,
    /// Frames behind a tick for which it is.
    pub(super) frames_to_expire: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        // Tests have few frames: they try the sharing of all of them.
        if cfg!(debug_assertions) {
            return Self {
                frames_min: 1,
                frames_max: 3,
                frames_to_join: 1,
                frames_to_expire: 1,
            };
        }
        Self {
            frames_min: BATCH_MAX / 2,
            frames_max: 4 * BATCH_MAX,
            // Half a millisecond of work: below that, calling and being waited for costs more than is won.
            frames_to_join: 8 * BATCH_MAX,
            frames_to_expire: 2_048,
        }
    }
}

/// What work led to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Legs that were closed, or that had to leave, and news of others; messages that came before their legs.
    pub(super) taken: Taken,
    /// Frames that make sense only with others by their place in the chunk, ascending.
    pub(super) asides: Vec<usize>,
}

impl Done {
    pub(super) fn append(&mut self, mut other: Self) {
        self.taken.append(other.taken);
        self.asides.append(&mut other.asides);
    }
}

/// Work that is taken piece by piece.
#[derive(Debug)]
pub(super) struct Job {
    task: Task,
    /// Frames of the chunk, or shards.
    all: Range<usize>,
    /// The first that nobody has taken yet.
    next: AtomicUsize,
    /// How many a piece holds at least and at most.
    piece: (usize, usize),
    /// A piece is this part of what is left.
    pub(super) part: usize,
}

#[derive(Debug)]
enum Task {
    /// Frames, without the copies at these places, which ascend.
    Process(Arc<Chunk>, Vec<usize>),
    /// Shards.
    Expire(Time),
}

impl Job {
    /// Frames. Whoever found the `copies` among them has counted them.
    pub(super) fn process(
        chunk: Arc<Chunk>,
        frames: Range<usize>,
        copies: Vec<usize>,
        pieces: Pieces,
    ) -> Self {
        let piece = (pieces.frames_min, pieces.frames_max);
        Self::new(Task::Process(chunk, copies), frames, piece)
    }

    /// All shards of the table.
    pub(super) fn expire(now: Time, shards: usize) -> Self {
        Self::new(Task::Expire(now), 0..shards, (1, 1))
    }

    fn new(task: Task, all: Range<usize>, piece: (usize, usize)) -> Self {
        Self {
            task,
            next: AtomicUsize::new(all.start),
            all,
            piece,
            part: 1,
        }
    }

    /// Takes the next piece, if anything is left.
    fn piece(&self) -> Option<Range<usize>> {
        let (least, most) = self.piece;
        let end = |from: usize| {
            let left = self.all.end.saturating_sub(from);
            let taken = (left / self.part).min(most).max(least).max(1);
            (left > 0).then(|| from + taken.min(left))
        };
        // Who takes a piece learns nothing by it of what others did.
        let from = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, end)
            .ok()?;
        Some(from..end(from)?)
    }

    pub(super) fn is_taken(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.all.end
    }

    /// Works on pieces until all are taken.
    pub(super) fn work(&self, worker: &mut Worker, shared: &Shared) -> Done {
        let mut done = Done::default();
        while let Some(piece) = self.piece() {
            match &self.task {
                Task::Process(chunk, copies) => {
                    process(worker, chunk, piece, copies, shared, &mut done.asides);
                }
                Task::Expire(now) => {
                    for shard in piece {
                        shared
                            .table
                            .expire(shard, *now, &shared.rules, &mut done.taken.harvest);
                    }
                }
            }
        }
        done.taken.append(worker.take());
        done
    }
}

fn process(
    worker: &mut Worker,
    chunk: &Chunk,
    frames: Range<usize>,
    copies: &[usize],
    shared: &Shared,
    asides: &mut Vec<usize>,
) {
    let before = copies.partition_point(|at| *at < frames.start);
    let copies = copies.get(before..).unwrap_or_default();
    let kept = || {
        let mut copies = copies.iter().peekable();
        frames.clone().filter(move |at| copies.next_if_eq(&at).is_none())
    };
    worker.process_sifted(kept().filter_map(|at| chunk.frame(at)), shared);
    let mut places = worker.asides().iter().peekable();
    if places.peek().is_some() {
        let kept = kept().enumerate();
        asides.extend(
            kept.filter(|(place, _)| places.next_if_eq(&place).is_some())
                .map(|(_, at)| at),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Catches pieces that overlap, leave something out, or are of another size than they may be.
        #[test]
        fn pieces_are_the_whole(
            (start, len) in (0..100_usize, 0..5_000_usize),
            (least, more) in (0..100_usize, 0..300_usize),
            part in 1..10_usize,
        ) {
            let mut job = Job::new(Task::Expire(Time::MIN), start..start + len, (least, least + more));
            job.part = part;
            let mut next = start;
            while let Some(piece) = job.piece() {
                prop_assert_eq!(piece.start, next);
                next = piece.end;
                let is_last = next == start + len;
                prop_assert!(!piece.is_empty() && piece.len() <= (least + more).max(1));
                prop_assert!(piece.len() >= least || is_last);
            }
            prop_assert_eq!(next, start + len);
            prop_assert!(job.is_taken());
        }
    }
}

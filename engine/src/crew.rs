//! The workers of a replay: one in the reader's thread, and for each further core another in a thread of its own.
//!
//! Work is given out epoch by epoch, and each call returns when it is done: that is what makes a replay give the same records on any number of
//! cores. When an epoch ends is left to [`crate::replay`]; how several share a piece of work, to [`hands`].

mod hands;
mod job;

use std::ops::Range;
use std::sync::Arc;

use ringtap_calls::{Applied, Early, Harvest};
use ringtap_record::Time;

use crate::asides::Asides;
use crate::batches::BatchTimes;
use crate::capture::Chunk;
use crate::cores;
use crate::decode::Decoder;
use crate::replay::ReplayError;
use crate::worker::{Shared, Taken, Worker, WorkerCounters};
use hands::Hands;
use job::{Done, Job, Pieces};

/// Messages of the present epoch that came before their legs, and what became of those before.
#[derive(Default)]
struct Waiting {
    early: Early,
    applied: Applied,
}

impl Waiting {
    /// Leaves them for the end of the epoch, unless there are too many in it.
    fn keep(&mut self, early: &mut Early, shared: &Shared, harvest: &mut Harvest) {
        if !self.early.has_room_for(early) {
            self.join(shared, harvest);
        }
        self.early.append(early);
    }

    fn join(&mut self, shared: &Shared, harvest: &mut Harvest) {
        let applied = shared
            .table
            .join_early(&mut self.early, Time::MAX, &shared.rules, harvest);
        self.applied.add(applied);
    }
}

/// The workers, and who puts together what any of them sets aside: what belongs together may fall
/// into the shares of several workers.
pub(crate) struct Crew {
    /// This thread's. It alone knows which datagrams are copies, for it sees all in their order.
    first: Worker,
    hands: Hands,
    /// Helpers that are not called, for other threads want their cores.
    spared: usize,
    /// Frames since the last tick.
    frames: usize,
    pieces: Pieces,
    asides: Asides,
    waiting: Waiting,
}

impl Crew {
    /// One worker on each of these cores, the first of them in this thread; none named: one worker in this thread, not pinned.
    /// `timed`: how long batches take is wanted.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        decoder: &Decoder,
        cores: &[usize],
        timed: bool,
    ) -> Result<Self, ReplayError> {
        let (own, others) = cores
            .split_first()
            .map_or((None, &[][..]), |(own, others)| (Some(*own), others));
        let once = decoder.clone().with_duplicates(0);
        let hands = Hands::start(others, shared, || Worker::new(once.clone()).timed(timed))?;
        // After the hands are there, who would inherit it.
        own.map(cores::pin).transpose()?;
        Ok(Self {
            first: Worker::new(decoder.clone()).timed(timed),
            hands,
            spared: 0,
            frames: 0,
            pieces: Pieces::default(),
            asides: Asides::new(decoder),
            waiting: Waiting::default(),
        })
    }

    /// How many hands are not to be called from now on, for threads behind the workers need their cores. Results do not depend on it.
    pub(crate) fn spare(&mut self, hands: usize) {
        self.spared = hands;
    }

    /// Joins the messages of these frames; returns when all are joined. The legs that had to leave a full
    /// table meanwhile.
    pub(crate) fn process(&mut self, chunk: &Arc<Chunk>, frames: Range<usize>, shared: &Shared) -> Harvest {
        self.frames += frames.len();
        let wanted = self.wanted(frames.len(), self.pieces.frames_to_join);
        let Done { mut taken, asides } = if wanted == 0 {
            self.process_alone(chunk, frames, shared)
        } else {
            let first = &mut self.first;
            let mut is_copy = |at: &usize| chunk.frame(*at).is_some_and(|frame| first.is_copy(&frame));
            let copies = frames.clone().filter(&mut is_copy).collect();
            let job = Job::process(Arc::clone(chunk), frames, copies, self.pieces);
            self.hands.share(job, wanted, &mut self.first, shared)
        };
        if !asides.is_empty() {
            let frames = asides.into_iter().filter_map(|at| chunk.frame(at));
            taken.append(self.asides.process(frames, shared));
        }
        self.keep_early(taken, shared)
    }

    /// In this thread, copies among the frames left out.
    fn process_alone(&mut self, chunk: &Chunk, frames: Range<usize>, shared: &Shared) -> Done {
        let from = frames.start;
        self.first
            .process(frames.filter_map(|at| chunk.frame(at)), shared);
        let mut harvest = Harvest::default();
        self.waiting.keep(self.first.early(), shared, &mut harvest);
        let mut taken = self.first.take();
        taken.harvest.append(harvest);
        let asides = self.first.asides().iter().map(|place| from + place);
        Done {
            taken,
            asides: asides.collect(),
        }
    }

    /// Closes what is due by `now`, and tells what is new of the rest. What is left of datagrams whose other
    /// parts do not come belongs to the time before, and so do messages that came before their legs.
    pub(crate) fn expire(&mut self, now: Time, shared: &Shared) -> Harvest {
        let taken = self.asides.advance(now, shared);
        let mut harvest = self.join_all(taken, shared);
        let frames = std::mem::take(&mut self.frames);
        let wanted = self.wanted(frames, self.pieces.frames_to_expire);
        if wanted == 0 {
            shared.table.expire_all(now, &shared.rules, &mut harvest);
        } else {
            let job = Job::expire(now, shared.table.shards());
            let done = self.hands.share(job, wanted, &mut self.first, shared);
            harvest.append(done.taken.harvest);
        }
        harvest
    }

    /// Nothing will come that belongs to what came before: gives up what is not whole, and joins what has waited.
    pub(crate) fn give_up(&mut self, shared: &Shared) -> Harvest {
        let taken = self.asides.give_up(shared);
        self.join_all(taken, shared)
    }

    /// How many hands so many frames are worth, if each works on so many at least.
    fn wanted(&self, frames: usize, each: usize) -> usize {
        let useful = (frames / each.max(1)).saturating_sub(1);
        useful.min(self.hands.len().saturating_sub(self.spared))
    }

    fn keep_early(&mut self, taken: Taken, shared: &Shared) -> Harvest {
        let Taken {
            mut harvest,
            mut early,
        } = taken;
        self.waiting.keep(&mut early, shared, &mut harvest);
        harvest
    }

    fn join_all(&mut self, taken: Taken, shared: &Shared) -> Harvest {
        let mut harvest = self.keep_early(taken, shared);
        self.waiting.join(shared, &mut harvest);
        harvest
    }

    /// Ends the threads. What all workers counted, and how long their batches took, if that was wanted.
    pub(crate) fn finish(self) -> (WorkerCounters, Option<BatchTimes>) {
        let mut sum = WorkerCounters::default();
        let mut times: Option<BatchTimes> = None;
        for worker in self.hands.finish().iter().chain([&self.first]) {
            sum.merge(worker.counters());
            if let Some(its) = worker.times() {
                times.get_or_insert_default().merge(its);
            }
        }
        self.asides.add_to(&mut sum);
        sum.applied.add(self.waiting.applied);
        (sum, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureFile;
    use ringtap_calls::{LegTable, Rules, Settler};
    use ringtap_record::Outcome;
    use ringtap_testkit::{Format, Wire, capture, messages, scenario};

    /// Catches early messages that are joined after the legs have been closed, at a tick and at the end of a capture.
    #[test]
    fn what_is_read_before_its_invite_proves_the_answer() {
        let mut wires = messages(&scenario("S02").unwrap().cases()[0]);
        let start = |wire: &Wire| wire.payload.iter().copied().take(11).collect::<Vec<_>>();
        // The 200 is lost.
        wires.retain(|wire| {
            [&b"ACK"[..], b"INVITE", b"SIP/2.0 180"]
                .iter()
                .any(|word| start(wire).starts_with(word))
        });
        let due = wires[0].time.plus_ms(600_000);
        let bytes = std::io::Cursor::new(capture(&wires, Format::Pcap));
        let mut file = CaptureFile::from_reader("made", Box::new(bytes)).unwrap();
        let mut chunk = Chunk::new();
        assert!(file.next_chunk(&mut chunk).unwrap());
        let chunk = Arc::new(chunk);
        for is_end in [false, true] {
            let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
            let table = LegTable::new(100, 1);
            let shared = Arc::new(Shared { table, rules });
            let decoder = Decoder::new([5060].into_iter().collect());
            let mut crew = Crew::new(&shared, &decoder, &[], false).unwrap();
            // Backwards, so that the ACKs come first.
            let mut harvest = Harvest::default();
            for at in (0..wires.len()).rev() {
                harvest.append(crew.process(&chunk, at..at + 1, &shared));
            }
            if is_end {
                harvest.append(crew.give_up(&shared));
                shared.table.close_all(&shared.rules, &mut harvest.closed);
            } else {
                harvest.append(crew.expire(due, &shared));
            }
            let (mut settler, mut judged) = (Settler::new(&shared.table), Vec::new());
            settler.settle(due, harvest, &shared.rules, &mut judged);
            let outcome = judged[0].record.targets[0].outcome;
            assert_eq!((judged.len(), outcome), (1, Outcome::Answered), "end: {is_end}");
        }
    }
}

//! Leg table and settler over any sequence of messages from a small vocabulary: few calls, tags, branches, nodes and
//! people, so that whatever can collide does.
//!
//! What must hold: nothing panics; each message is counted once; each leg made is open or was closed once, each closed
//! one reaches the settler, and at the end nothing is left; a full table stays within its size; the same messages give
//! the same records, and so do messages of which each is seen twice (semantics.md §2.1, D86).

mod vocabulary;

use ringtap_calls::table::Routing;
use ringtap_calls::{Applied, Harvest, Judged, LegTable, Observation, Settler};
use ringtap_record::{CallRecord, Time};
use ringtap_sip::parse;

use crate::office;
pub(crate) use vocabulary::{STEP_BYTES, Said};

/// Steps of one run; longer ones find no more.
const STEPS_MAX: usize = 160;

/// Legs that never fill a shard with this vocabulary.
const ROOMY: usize = 512;
/// A leg for each shard.
const CRAMPED: usize = 8;

/// Steps of eight octets; the vocabulary says what each means.
pub fn run(data: &[u8]) {
    let story = vocabulary::story(data, STEPS_MAX);
    let once = play(&story, ROOMY, 1);
    let again = play(&story, ROOMY, 1);
    assert_eq!(once, again, "the same messages, other records");
    let twice = play(&story, ROOMY, 2);
    assert_eq!(
        records(once),
        records(twice),
        "a second copy of each message changed a record"
    );
    play(&story, CRAMPED, 1);
}

fn records(judged: Vec<Judged>) -> Vec<CallRecord> {
    judged.into_iter().map(|judged| judged.record).collect()
}

/// Everything from the leg table on, as a worker and the settler's thread drive it.
struct Line {
    table: LegTable,
    settler: Settler,
    routing: Routing,
    records: Vec<Judged>,
    /// Legs that the table gave away.
    closed: u64,
    now: Time,
}

/// Plays the story into a table for `legs_max` legs, each message `copies` times.
fn play(story: &[Said], legs_max: usize, copies: usize) -> Vec<Judged> {
    let table = LegTable::new(legs_max, 1);
    let mut line = Line {
        settler: Settler::new(&table).explaining_all(true),
        table,
        routing: Routing::default(),
        records: Vec::new(),
        closed: 0,
        now: Time::MIN,
    };
    for said in story {
        line.tick(said.time);
        for _ in 0..copies {
            line.apply(said);
        }
    }
    line.finish();
    line.records
}

impl Line {
    fn apply(&mut self, said: &Said) {
        let Ok(message) = parse(&said.octets) else {
            panic!("the vocabulary makes no SIP: {}", said.octets.escape_ascii());
        };
        let seen = Observation {
            time: said.time,
            source: said.source,
            destination: said.destination,
            message,
        };
        let waited = self.routing.early.len();
        let Applied {
            joined,
            not_of_calls,
            registrations,
            registrations_refused,
            of_no_leg,
            left_out,
        } = self.table.apply(&[seen], office::rules(), &mut self.routing);
        let waits = self.routing.early.len() - waited;
        assert_eq!(joined + not_of_calls + of_no_leg + left_out + waits, 1);
        assert!(registrations + registrations_refused <= not_of_calls);
    }

    /// The end of an epoch.
    fn tick(&mut self, now: Time) {
        self.now = now;
        let harvest = self.table.end_epoch(now, office::rules(), &mut self.routing);
        self.settle(now, harvest);
        self.bounds();
    }

    fn settle(&mut self, now: Time, harvest: Harvest) {
        self.closed += harvest.closed.len() as u64;
        self.settler
            .settle(now, harvest, office::rules(), &mut self.records);
    }

    /// What must hold at any time.
    fn bounds(&self) {
        let counters = self.table.counters();
        let room = (self.table.legs_max().div_ceil(self.table.shards()) * self.table.shards()) as u64;
        assert!(
            counters.legs_open + counters.legs_finished <= room,
            "{counters:?}"
        );
        assert_eq!(
            counters.legs_made + counters.further_attempts,
            counters.legs_open + self.closed
        );
        assert_eq!(self.settler.counters().legs, self.closed);
        assert!(
            self.settler.legs_known() as u64 <= 3 * room,
            "{} legs known",
            self.settler.legs_known()
        );
    }

    fn finish(&mut self) {
        self.tick(self.now);
        let rest = self.table.end(office::rules(), &mut self.routing);
        self.settle(Time::MAX, rest);
        self.settler.finish(office::rules(), &mut self.records);
        self.bounds();
        assert_eq!(self.table.counters().legs_open, 0);
        assert_eq!(self.settler.legs_known(), 0);
        let legs: u64 = self
            .records
            .iter()
            .map(|judged| u64::from(judged.record.legs))
            .sum();
        // Beside those of the records there are legs of no attempt, and those swallowed with a call told before.
        assert!(legs <= self.closed);
        assert!(self.records.len() as u64 <= self.settler.counters().calls);
        for Judged { record, .. } in &self.records {
            assert!(record.started <= record.ended, "{record:?}");
            assert_eq!(record.call.len(), 64);
        }
    }
}

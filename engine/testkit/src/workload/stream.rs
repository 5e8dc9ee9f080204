//! Plays all calls at once and merges them by time, holding only those that are open.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use ringtap_record::Time;

use super::Options;
use super::noise::Noise;
use super::office::Office;
use super::plan::{Plan, Planned};
use super::truth::CallTruth;
use crate::generate::{BASE, Story};
use crate::wire::Wire;

/// The second copy of a frame comes after this time.
const COPY_US: i64 = 200;

/// What the stream yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The mirror shows a message.
    Captured(Box<Wire>),
    /// A call is over; all its messages have been yielded.
    Ended(Box<CallTruth>),
}

/// All events of a workload, in order of time.
pub struct Stream<'o> {
    office: &'o Office,
    plan: Plan<'o>,
    noise: Noise<'o>,
    mirror: Mirror,
    /// What comes next, by time and then in the order in which it was found.
    agenda: BTreeMap<(Time, u64), Item>,
    sequence: u64,
    open: HashMap<u64, Open<'o>>,
    ended: Option<Box<CallTruth>>,
    wires: Vec<Wire>,
}

enum Item {
    /// The next step of this call.
    Step(u64),
    /// A message of this call, or of none.
    Wire(Option<u64>, Box<Wire>),
}

struct Open<'o> {
    story: Story<'o>,
    truth: CallTruth,
    /// Messages that are in the agenda.
    under_way: u32,
}

/// What the mirror does to frames.
struct Mirror {
    random: Rng,
    loss: f64,
    duplication: f64,
    reorder_us: i64,
}

impl<'o> Stream<'o> {
    pub(super) fn new(office: &'o Office, options: &Options) -> Self {
        Self {
            office,
            plan: Plan::new(office, options),
            noise: Noise::new(office, options),
            mirror: Mirror {
                random: Rng::with_seed(options.seed ^ 0x6d69_7272_6f72),
                loss: options.loss,
                duplication: options.duplication,
                reorder_us: i64::from(options.reorder_ms) * 1_000,
            },
            agenda: BTreeMap::new(),
            sequence: 0,
            open: HashMap::new(),
            ended: None,
            wires: Vec::new(),
        }
    }

    fn put(&mut self, time: Time, item: Item) {
        self.sequence += 1;
        self.agenda.insert((time, self.sequence), item);
    }

    /// Begins every call and exchange that begins before what is next in the agenda. The noise ends with the
    /// calls.
    fn fill(&mut self) {
        while let Some(call_us) = self.plan.next_start() {
            let noise_us = self.noise.next_start().filter(|noise_us| *noise_us < call_us);
            let next = BASE.plus_us(noise_us.unwrap_or(call_us));
            let first = self.agenda.first_key_value().map(|((time, _), _)| *time);
            if first.is_some_and(|first| first < next) {
                return;
            }
            if noise_us.is_some() {
                self.noise.next(&mut self.wires);
                for wire in std::mem::take(&mut self.wires) {
                    self.capture(None, wire);
                }
            } else if let Some(planned) = self.plan.next() {
                self.open_call(planned);
            }
        }
    }

    fn open_call(&mut self, planned: Planned) {
        let Planned {
            number,
            start_us,
            written,
            salt,
        } = planned;
        let begins = BASE.plus_us(start_us);
        let story = Story::new(Cow::Owned(written.case.clone()), salt, self.office, begins);
        let truth = CallTruth::new(self.office, number, begins, &written, &story.dialogs());
        let first = story.next_at();
        self.open.insert(
            number,
            Open {
                story,
                truth,
                under_way: 0,
            },
        );
        self.put(first.unwrap_or(begins), Item::Step(number));
    }

    /// Plays the next step of a call.
    fn step(&mut self, number: u64) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        open.story.play_next(&mut self.wires);
        if let Some(next) = open.story.next_at() {
            self.put(next, Item::Step(number));
        }
        for wire in std::mem::take(&mut self.wires) {
            self.capture(Some(number), wire);
        }
        self.close_if_over(number);
    }

    /// Puts what the mirror shows of a message into the agenda.
    fn capture(&mut self, number: Option<u64>, wire: Wire) {
        let copies = if self.mirror.happens(self.mirror.duplication) {
            2
        } else {
            1
        };
        for copy in 0..copies {
            let lost = self.mirror.happens(self.mirror.loss);
            let late_us = copy * COPY_US + self.mirror.late_us();
            if let Some(open) = number.and_then(|number| self.open.get_mut(&number)) {
                open.truth.frames += 1;
                if lost {
                    let label = &wire.label;
                    open.truth
                        .lost
                        .push(format!("{}:{} {}", label.leg, label.segment, label.message));
                } else {
                    open.under_way += 1;
                }
            }
            if !lost {
                let mut wire = Box::new(wire.clone());
                wire.time = wire.time.plus_us(late_us);
                self.put(wire.time, Item::Wire(number, wire));
            }
        }
    }

    fn close_if_over(&mut self, number: u64) {
        let over = |open: &Open<'_>| open.under_way == 0 && open.story.next_at().is_none();
        if self.open.get(&number).is_some_and(over) {
            self.ended = self.open.remove(&number).map(|open| Box::new(open.truth));
        }
    }

    /// How many calls are open.
    #[must_use]
    pub fn open_calls(&self) -> usize {
        self.open.len()
    }
}

impl Iterator for Stream<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(call) = self.ended.take() {
                return Some(Event::Ended(call));
            }
            self.fill();
            match self.agenda.pop_first()?.1 {
                Item::Step(number) => self.step(number),
                Item::Wire(number, wire) => {
                    if let Some(number) = number {
                        if let Some(open) = self.open.get_mut(&number) {
                            open.under_way -= 1;
                        }
                        self.close_if_over(number);
                    }
                    return Some(Event::Captured(wire));
                }
            }
        }
    }
}

impl Mirror {
    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }

    fn late_us(&mut self) -> i64 {
        if self.reorder_us == 0 {
            return 0;
        }
        self.random.i64(0..=self.reorder_us)
    }
}

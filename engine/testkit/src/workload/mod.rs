//! A workload with truth: any number of calls of every kind, thousands at once, and who must be told of what.
//!
//! Each call is a story of its own (`scene`, `calls`) with its own people out of an [`Office`], played by the
//! same generator that plays the acceptance corpus. The truth follows from how a call is built, by the rows
//! of semantics.md that its recipe names, never from the product. Calls begin at Poisson times (`plan`), are
//! played step by step and merged by time, so that memory holds the calls that are open and no more
//! ([`Stream`]); the mirror's faults (loss, copies, order) are put on top, from a seed of their own.
//!
//! ```
//! use ringtap_testkit::workload::{Options, Workload};
//!
//! let workload = Workload::new(Options { calls: 20, users: 60, ..Options::default() });
//! let (wires, calls) = workload.in_memory();
//! assert_eq!(calls.len(), 20);
//! assert!(wires.is_sorted_by_key(|wire| wire.time));
//! ```

mod acts;
mod calls;
mod noise;
mod office;
mod plan;
mod scene;
mod stream;
pub(crate) mod truth;

pub use office::{Office, Person, USERS_MAX, USERS_MIN};
pub use stream::{Event, Stream};
pub use truth::{CallTruth, ExpectedMail, TruthError, read_truth};

use crate::wire::Wire;

/// How much, how fast, and what the mirror does to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How many calls.
    pub calls: u64,
    /// How many begin in a second, on average.
    pub cps: f64,
    /// How many people the office has.
    pub users: usize,
    /// Everything that is random follows from it.
    pub seed: u64,
    /// Probability that a captured frame is lost.
    pub loss: f64,
    /// Probability that a frame is captured twice.
    pub duplication: f64,
    /// Frames are captured up to this much late, in milliseconds.
    pub reorder_ms: u32,
    /// REGISTER and OPTIONS for each call, on average.
    pub noise: f64,
    /// Kinds of calls, by the beginning of their names; empty for all.
    pub mix: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            calls: 10_000,
            cps: 100.0,
            users: 2_000,
            seed: 1,
            loss: 0.0,
            duplication: 0.0,
            reorder_ms: 0,
            noise: 0.5,
            mix: Vec::new(),
        }
    }
}

/// A number of calls in an office.
#[derive(Debug)]
pub struct Workload {
    options: Options,
    office: Office,
}

impl Workload {
    /// Prepares the people; no call is made yet.
    ///
    /// # Panics
    /// If the office has too few or too many people, or no kind of call is in the mix.
    #[must_use]
    pub fn new(options: Options) -> Self {
        assert!(
            !plan::kinds(&options.mix).is_empty(),
            "no kind of call begins with any of {:?}",
            options.mix
        );
        Self {
            office: Office::new(options.users, options.seed),
            options,
        }
    }

    /// Who calls and is called.
    #[must_use]
    pub const fn office(&self) -> &Office {
        &self.office
    }

    /// What was asked for.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The names of all kinds of calls.
    #[must_use]
    pub fn kinds() -> Vec<&'static str> {
        plan::kinds(&[]).iter().map(|kind| kind.name).collect()
    }

    /// Messages as the mirror shows them and finished calls, in order of time.
    #[must_use]
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(&self.office, &self.options)
    }

    /// The whole of [`Workload::stream`]: messages by time, and calls in the order in which they began.
    #[must_use]
    pub fn in_memory(&self) -> (Vec<Wire>, Vec<CallTruth>) {
        let (mut wires, mut calls) = (Vec::new(), Vec::new());
        for event in self.stream() {
            match event {
                Event::Captured(wire) => wires.push(*wire),
                Event::Ended(call) => calls.push(*call),
            }
        }
        calls.sort_by_key(|call| call.number);
        (wires, calls)
    }
}

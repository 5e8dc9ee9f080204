//! From SIP messages to call records: leg table, settler, verdict.
//!
//! Input is (capture time, addresses, message), output is [`ringtap_record::CallRecord`]. There is no
//! I/O here and no clock: time comes with the messages and with explicit ticks, so a replay gives the
//! same records at whatever speed and on however many cores.
//!
//! | module | holds |
//! |---|---|
//! | [`rules`] | what the operator configured, ready for use |
//! | [`facts`] | what the messages of one leg have proved: a join of idempotent facts, free of order |
//! | [`table`] | the leg table: fixed-size shards, timers, eviction |
//! | [`learner`] | registrations → whose a contact is, and which identities belong together |
//! | [`gaps`] | when the capture missed something |
//! | [`settler`] | closed legs → calls |
//! | [`verdict`] | calls → outcome per target (semantics.md §§2.2, 2.4, 2.8) |
#![forbid(unsafe_code)]

pub mod facts;
pub mod gaps;
mod hash;
pub mod learner;
mod nature;
mod reason;
pub mod rules;
pub mod settler;
pub mod table;
mod tick;
pub mod verdict;
mod wheel;

pub use facts::{Closed, ClosedLeg, Closing, HopSeen, LegFacts};
pub use gaps::{Gap, GapKind};
pub use hash::HASHES;
pub use learner::{Knowledge, Learner, Registration};
pub use rules::{Node, Rules};
pub use settler::{Settler, Sketch};
pub use table::{Applied, Early, Harvest, LegTable, Observation, TableCounters};
pub use verdict::Judged;

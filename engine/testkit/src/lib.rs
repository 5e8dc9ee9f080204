//! Test support: scenario notation, message and capture generator.
//!
//! The acceptance corpus of semantics.md §8 stands in `scenarios/*.scn` as readable text. This crate
//! reads it ([`mod@scenario`], [`notation`], [`expected`]), makes the SIP messages of each case as they would
//! cross the mirrored ports ([`messages`]), disturbs them ([`mutate`]), wraps them in tunnels ([`wrap`]) and writes them into
//! capture files ([`mod@capture`]), over UDP or, by [`transport`], over TCP and SCTP. [`fixtures`] has the people, numbers and
//! configuration that go with them.
//!
//! [`workload`] makes any number of calls at once and says who must be told of what; [`mod@score`] compares that
//! with the mails that [`sink`] has taken. [`mod@attack`] is hostile traffic to go beside it.
//!
//! [`play`] puts a capture on a line, frame by frame in its own time; [`lab`] has a line for it, for tests of live
//! capture. [`exposition`] reads metrics, and what the documentation says of them; [`mod@manual`] a program's man pages.
//!
//! Everything is deterministic: the same case gives the same bytes in every run, on every machine. The
//! generator writes SIP by itself and knows nothing of the product's parser, so that one cannot hide an
//! error of the other. What a case means is judged elsewhere; here is only what must come out.
//!
//! ```
//! let scenario = ringtap_testkit::scenario("S01").unwrap();
//! let case = &scenario.cases()[0];
//! let wires = ringtap_testkit::messages(case);
//! assert_eq!(wires.len(), 19);
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test support: its input is the corpus in this repository, and a fault there must stop the test"
)]

pub mod attack;
pub mod capture;
pub mod cast;
mod compose;
pub mod expected;
pub mod exposition;
pub mod fixtures;
mod frame;
mod generate;
mod header;
pub mod lab;
pub mod manual;
mod message;
pub mod mutate;
pub mod notation;
pub mod play;
mod route;
pub mod sample;
pub mod scenario;
pub mod score;
pub mod sink;
pub mod transport;
mod wire;
pub mod workload;
pub mod wrap;

pub use capture::{Format, PcapWriter, capture};
pub use cast::Cast;
pub use expected::{Expected, ExpectedCaller, ExpectedMail};
pub use generate::{BASE, messages, messages_salted, transmitted};
pub use scenario::{Case, Scenario, ScenarioError, all, scenario};
pub use transport::{Transport, capture_over};
pub use wire::{Label, Link, Wire};

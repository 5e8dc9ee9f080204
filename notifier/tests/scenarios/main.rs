//! The acceptance scenarios of semantics.md §8.3 and §8.4, from the messages to what each person is told.
//!
//! [`memory`] runs them without files: messages → leg table → settler → decision per person. The rows and
//! the disturbances come from `ringtap-testkit`. Rows that wait for a later capability stand in the same
//! files, marked with their reason; `waiting_rows_say_why` lists them.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod invariance;
mod live;
mod memory;
mod pcap;
mod rows;
#[path = "../sink/mod.rs"]
#[allow(
    dead_code,
    reason = "this test needs a server that takes everything; others script its answers"
)]
mod sink;
mod views;
mod workload;

use ringtap_testkit::Case;

/// The cases that run now, every alternative of every row.
fn green() -> Vec<Case> {
    ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .filter(|case| case.waits.is_none())
        .collect()
}

//! People's own page, over real sockets: who gets in and who does not, what a form may change, and what is said to whom.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod bounds;
mod calls;
mod choices;
mod forms;
mod kept;
mod lab;
mod leaving;
mod links;
#[allow(dead_code, reason = "each test program uses what it needs")]
#[path = "../sink/mod.rs"]
mod sink;

//! The service under real faults: what dies, fills, is locked, goes away, expires or is set wrong. It says what is wrong, in its
//! log and at `/health`, and goes on by itself.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod clock;
mod disk;
#[path = "../webhook/server.rs"]
#[expect(dead_code, reason = "the webhook's tests use all of it")]
mod endpoint;
mod files;
mod kill;
mod kill_packed;
mod lab;
mod network;
mod postfix;
mod server;
mod shutdown;
mod words;

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
mod files;
mod kill;
mod lab;
mod network;
mod postfix;
mod server;
mod shutdown;

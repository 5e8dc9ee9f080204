//! How missed calls become messages, from the journal to what arrives: summaries, digests, quiet hours, turns, the commands for the
//! outbox, and what Prometheus is told of it.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

#[path = "../webhook/server.rs"]
mod server;
#[path = "../sink/mod.rs"]
mod sink;

mod bundles;
mod commands;
mod fair;
mod kept;
mod property;
mod quiet;
mod whole;
mod world;

//! People as the operator and they themselves have them: whose word holds, commands, imports, the directory of callers, and what
//! is kept, shown and forgotten.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod care;
mod choices;
mod commands;
mod directory;
mod house;
mod imports;
mod ldap;
mod live;
#[path = "../sink/mod.rs"]
#[allow(dead_code, reason = "shared with tests that look at more of it")]
mod sink;

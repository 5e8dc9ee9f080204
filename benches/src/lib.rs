//! What the benchmarks share: the workload, and records for those that begin behind the engine.
//!
//! Benchmarks measure; nothing here asserts a speed. `scripts/bench.sh` runs them all and writes the report.

#![allow(
    clippy::expect_used,
    reason = "a benchmark whose input cannot be read has nothing to do"
)]
#![forbid(unsafe_code)]

pub mod pipeline;
pub mod records;
pub mod workload;

//! The XDP program in the kernel: what it says, what it counts, how it is attached.
//!
//! Where the kernel or missing privileges do not let a program be loaded, each test says that it is skipped, and fails with
//! `RINGTAP_LIVE=1`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod attachment;
mod noise;
mod privileges;
mod setting;
mod table;

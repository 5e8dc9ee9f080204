//! What is tried with hostile octets, and what must hold of it.
//!
//! Each module is one *body*: `run` takes any octets and panics if something that was promised does not hold. The
//! coverage-guided fuzzer in `engine/fuzz` calls it millions of times, an ordinary test of this crate with the seeds of
//! [`seeds`] and changes to them; so what a body promises is checked on machines that have no fuzzer, too.
//!
//! Nothing here is product. A crash that a body finds becomes a named test in the crate that it belongs to.

#![forbid(unsafe_code)]

pub mod classify;
pub mod config;
pub mod csv;
pub mod decode;
mod frames;
pub mod history_reason;
pub mod identity;
mod office;
pub mod pcap;
pub mod seeds;
pub mod sip;
pub mod streams;
pub mod tracker;

/// A body: takes any octets, and panics if something that was promised does not hold.
pub type Body = fn(&[u8]);

/// Every body by the name of its target.
pub const BODIES: &[(&str, Body)] = &[
    ("classify", classify::run),
    ("config", config::run),
    ("csv", csv::run),
    ("decode", decode::run),
    ("history_reason", history_reason::run),
    ("identity", identity::run),
    ("pcap", pcap::run),
    ("sip", sip::run),
    ("streams", streams::run),
    ("tracker", tracker::run),
];

/// Panics unless `part` lies within `whole`; an empty slice may be of nowhere.
fn assert_within(whole: &[u8], part: &[u8]) {
    let (range, part) = (whole.as_ptr_range(), part.as_ptr_range());
    assert!(
        part.is_empty() || range.start <= part.start && part.end <= range.end,
        "a slice of something else than the input"
    );
}

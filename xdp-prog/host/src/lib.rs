//! The XDP program's host side.
//!
//! Owns the compiled program (built from the folder above by `scripts/ebpf.sh`, committed and embedded here), its
//! settings, its attachment to an interface and its counters. It leaves to others the `AF_XDP` sockets that frames go
//! to, and what is done with the frames. What is taken is decided by `ringtap-classify`, the code that the host
//! decodes with.

mod counters;
mod error;
mod program;

pub use counters::Counters;
pub use error::{Attempt, XdpError};
pub use program::{Attached, InForce, LinkPlace, Mode, Program, Settings, TestRun, Verdict};
pub use ringtap_classify::{Action, Judgement, PortSet, Reason, Take, judge};

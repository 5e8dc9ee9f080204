//! Ringtap's engine: frames in, call records out.
//!
//! Layers, lowest first: [`capture`] brings frames, [`decode`] finds the UDP payload in them. What is
//! said in the payload is read by `ringtap-sip` and judged by `ringtap-calls`; this crate ties them
//! into workers, a settler thread and the journal.

pub mod capture;
pub mod decode;

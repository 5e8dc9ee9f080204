//! SIP messages out of bytes: zero-copy, one pass, no I/O.
//!
//! [`parse`] reads one message in one pass over its header lines and keeps spans into the frame: it
//! allocates nothing and copies nothing. What every message needs (start line, Call-ID, CSeq, the
//! tags, the top Via) is read during the pass; everything else is read when somebody asks for it.
//!
//! The crate reads liberally and believes strictly (semantics.md §6): a malformed message is used if
//! the fields that matter are unambiguous, otherwise it is a [`Fault`], which is data to be counted.
//! Decoding of character sets, identities, privacy and the meaning of responses are left to others.

#![forbid(unsafe_code)]

pub mod addr;
pub mod dialog;
mod digits;
mod fault;
mod fields;
mod find;
pub mod framing;
mod global;
mod header;
mod lex;
mod lines;
mod message;
mod method;
mod name;
mod params;
pub mod reason;
mod recognise;
mod scan;
pub mod sdp;
mod span;
mod start;
pub mod uri;
mod usual;
mod via;

pub use fault::Fault;
pub use global::Global;
pub use header::Header;
pub use lex::percent_decode;
pub use message::{ContentLength, Message, Start};
pub use method::Method;
pub use params::{ParamIter, Params};
pub use recognise::is_sip_start;
pub use scan::parse;
pub use via::Via;

/// Bounds on what is read (semantics.md §6, "very long values"). Beyond them a message is a [`Fault`].
pub mod limits {
    /// Octets of a message. One less than 64 KiB, so that an offset fits 16 bits; more than any UDP payload.
    pub const MESSAGE_BYTES_MAX: usize = 65_535;
    /// Octets of the start line and of one header field with all its folds.
    pub const LINE_BYTES_MAX: usize = 8 * 1024;
    /// Header fields of a message.
    pub const HEADERS_MAX: usize = 256;
    /// Header fields of a message whose name is one of [`Header`](crate::Header).
    pub const KNOWN_HEADERS_MAX: usize = 96;
    /// Via values of a message, over all lines and comma lists.
    pub const VIAS_MAX: usize = 64;
}

//! SIP messages out of TCP segments (semantics.md §5 "TCP").
//!
//! Each direction of a connection is a stream of its own: often only one is mirrored.

mod segment;

pub use segment::{Flow, Segment};

use ringtap_record::Time;

use super::Payload;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for all streams together.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// As in a configuration that says nothing of it.
    fn default() -> Self {
        Self {
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// All streams.
#[derive(Debug)]
pub struct Streams {
    limits: Limits,
    counters: TcpCounters,
}

/// What became of the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Segments.
    pub segments: u64,
}

impl TcpCounters {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.segments += other.segments;
    }
}

impl Streams {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: TcpCounters::default(),
        }
    }

    /// Takes a segment. Each message that became whole by it is given to `sink`.
    pub fn put(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(&Payload<'_>)) {
        let _ = (segment, sink, self.limits);
        self.counters.segments += 1;
    }

    /// Time goes on: gives up what has been missing for too long. `now` is capture time and never goes back, except
    /// after [`clear`](Self::clear).
    pub fn advance(&mut self, now: Time, sink: &mut impl FnMut(&Payload<'_>)) {
        let _ = (now, sink);
    }

    /// The end, or a gap: gives up everything and forgets the time.
    pub fn clear(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        let _ = sink;
    }

    /// When something was given up since this was asked last that may have told something of a call (semantics.md D37).
    pub fn take_missed(&mut self) -> Vec<Time> {
        Vec::new()
    }

    /// What became of the segments.
    #[must_use]
    pub const fn counters(&self) -> &TcpCounters {
        &self.counters
    }
}

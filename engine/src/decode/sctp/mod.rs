//! SIP messages out of SCTP packets (RFC 4168, RFC 9260, semantics.md §5 "SCTP").

mod packet;

pub use packet::Packet;

use ringtap_record::Time;

use super::Payload;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for pieces of messages.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// As in a configuration that says nothing of it.
    fn default() -> Self {
        Self {
            bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// All associations.
#[derive(Debug)]
pub struct Associations {
    limits: Limits,
    counters: SctpCounters,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpCounters {
    /// Packets.
    pub packets: u64,
}

impl SctpCounters {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
    }
}

impl Associations {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: SctpCounters::default(),
        }
    }

    /// Takes a packet. Each message that became whole by it is given to `sink`.
    pub fn put(&mut self, packet: &Packet<'_>, sink: &mut impl FnMut(&Payload<'_>)) {
        let _ = (packet, sink, self.limits);
        self.counters.packets += 1;
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

    /// What became of the packets.
    #[must_use]
    pub const fn counters(&self) -> &SctpCounters {
        &self.counters
    }
}

//! What became of SCTP packets, of the data in them, and of the messages in that.

counters! {
    /// Chunks of data by what became of each. They add up to the data in packets from or to a SIP port.
    ChunkCounters {
        /// A whole message, which was read.
        whole,
        /// A piece of a message, which was held.
        piece,
        /// Known already: a frame copy or a retransmission.
        copy,
        /// Said to be of another protocol (payload protocol identifier), and does not begin like SIP.
        other_protocol,
        /// Its header is cut or contradicts itself.
        malformed,
    }
}

counters! {
    /// Associations, each one direction, and what befell them.
    AssociationCounters {
        /// Associations of which data was seen.
        begun,
        /// Runs of data that did not come within four seconds, or fell far behind.
        holes,
        /// Messages of which pieces were missing after four seconds, at the end, or when there were too many pieces.
        given_up,
        /// Forgotten as the one least recently heard of, because memory was full (`limits.stream_bytes_max`).
        evicted,
        /// Forgotten after an hour without data.
        forgotten,
    }
}

counters! {
    /// Messages by how they were read.
    MessageCounters {
        /// Read where it stood in its frame.
        in_place,
        /// Put together of several pieces.
        joined,
        /// Read without its end, which was lost or cut off.
        truncated,
    }
}

/// What was counted of SCTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpCounters {
    /// Packets.
    pub packets: u64,
    /// By chunk of data.
    pub chunks: ChunkCounters,
    /// By association.
    pub associations: AssociationCounters,
    /// By message.
    pub messages: MessageCounters,
}

impl SctpCounters {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.chunks.add(&other.chunks);
        self.associations.add(&other.associations);
        self.messages.add(&other.messages);
    }

    /// Messages that were handed on, whole or not.
    #[must_use]
    pub const fn handed_on(&self) -> u64 {
        self.messages.in_place + self.messages.joined + self.messages.truncated
    }
}

//! What became of TCP segments, of the streams that they belong to, and of the messages in them.

counters! {
    /// Segments from or to a SIP port by what became of each. They add up to the segments that the streams were given.
    SegmentCounters {
        /// Carried nothing: acknowledgements, and what opens and closes a connection.
        empty,
        /// Brought what its stream was waiting for.
        in_order,
        /// Came before what belongs in front of it, and was held.
        ahead,
        /// Came when it had been given up, and was read.
        late,
        /// Brought nothing new: a frame copy, a retransmission, a TCP keep-alive.
        copy,
        /// Of a stream that is encrypted (TLS): not looked at.
        tls,
        /// Of a stream that speaks another protocol than SIP: not looked at.
        foreign,
    }
}

counters! {
    /// Streams, each one direction of a connection, and what befell them.
    StreamCounters {
        /// Streams that were seen to open, or first seen in their middle.
        begun,
        /// Of those, the ones first seen in their middle.
        picked_up,
        /// Streams that turned out to be encrypted (TLS).
        tls,
        /// Streams that turned out to speak another protocol than SIP.
        foreign,
        /// Holes that did not fill within a second or would have let too much wait behind them, or that a cut capture left.
        holes,
        /// Octets in those holes.
        hole_octets,
        /// How often a stream had lost its framing and a message had to be searched for.
        out_of_step,
        /// Forgotten as the one least recently heard of, because memory was full (`limits.stream_bytes_max`).
        evicted,
        /// Forgotten after an hour without a segment.
        forgotten,
    }
}

counters! {
    /// Messages by how they were read, and what stood between them.
    MessageCounters {
        /// Read where it stood in its frame.
        in_place,
        /// Put together of several segments.
        joined,
        /// Read without its end, which was lost, cut off, or is too long.
        truncated,
        /// Line ends between messages that keep connections alive (RFC 5626). No message.
        keep_alives,
    }
}

/// What was counted of TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// By segment.
    pub segments: SegmentCounters,
    /// By stream.
    pub streams: StreamCounters,
    /// By message.
    pub messages: MessageCounters,
}

impl TcpCounters {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.segments.add(&other.segments);
        self.streams.add(&other.streams);
        self.messages.add(&other.messages);
    }

    /// Messages that were handed on, whole or not.
    #[must_use]
    pub const fn handed_on(&self) -> u64 {
        self.messages.in_place + self.messages.joined + self.messages.truncated
    }
}

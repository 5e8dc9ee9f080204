//! What became of fragments, and of the datagrams that they are parts of.

counters! {
    /// Fragments by what became of each. They add up to the frames counted as `fragment` which a reassembler
    /// was given.
    FragmentCounters {
        /// Taken into its datagram.
        taken,
        /// Repeats what is there already: a frame copy.
        copy,
        /// Of a protocol that cannot lead to SIP, or of a tunnel that is not opened.
        other_protocol,
        /// Of a packet on other ports, or of another content.
        other_ports,
        /// Of a datagram that was refused.
        refused,
        /// Empty, or not the last one and no multiple of 8 octets long (RFC 791 §3.2, RFC 8200 §4.5).
        malformed,
    }
}

counters! {
    /// Fragmented datagrams by their ends. All but `begun` and `salvaged` add up to `begun`, once no datagram
    /// is open any more.
    DatagramCounters {
        /// Datagrams of which a fragment was seen.
        begun,
        /// Put together and handed on.
        reassembled,
        /// Neither port is a SIP port, and the first fragment shows nothing else that is looked for.
        other_ports,
        /// Refused: fragments overlap with different content, or disagree about the datagram's end (RFC 5722).
        overlap,
        /// Refused: longer than an IP packet can be.
        oversize,
        /// Refused: in more fragments than are kept.
        too_many_fragments,
        /// Given up because fragments were still missing after 10 seconds of capture time, or when the identification was used again.
        expired,
        /// Given up as the oldest because memory was full (`limits.reassembly_bytes_max`).
        evicted,
        /// Given up because the capture ended, or had a gap, before the missing fragments came.
        unfinished,
        /// Of those given up: the beginning was there and was handed on as a truncated datagram.
        salvaged,
    }
}

/// What a reassembler has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounters {
    /// By fragment.
    pub fragments: FragmentCounters,
    /// By datagram.
    pub datagrams: DatagramCounters,
}

impl ReassemblyCounters {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.fragments.add(&other.fragments);
        self.datagrams.add(&other.datagrams);
    }

    /// Datagrams that were handed on, whole or not.
    #[must_use]
    pub const fn handed_on(&self) -> u64 {
        self.datagrams.reassembled + self.datagrams.salvaged
    }
}

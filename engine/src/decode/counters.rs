//! What became of the frames: one counter for each reason, and their sum is the number of frames. Frames that
//! are fragments have counters of their own beside that: the reassembler's.

use ringtap_classify::Reason;

use super::reassembly::ReassemblyCounters;
use super::sctp::SctpCounters;
use super::tcp::TcpCounters;
use super::tunnel::TunnelCounters;

/// Counters of one worker. Add those of several with [`DecodeCounters::merge`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodeCounters {
    by_reason: [u64; Reason::COUNT],
    /// Of IP packets that were put together, likewise.
    put_together: [u64; Reason::COUNT],
    truncated: u64,
    pub(super) tunnels: TunnelCounters,
    reassembly: ReassemblyCounters,
    tcp: TcpCounters,
    sctp: SctpCounters,
}

impl DecodeCounters {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Frames of one reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.by_reason.get(reason.index()).copied().unwrap_or_default()
    }

    /// All frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.by_reason.iter().sum()
    }

    /// How many of the delivered datagrams were not captured whole. Not a reason of its own.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// What became of the frames that are fragments, and of the datagrams that they are parts of.
    #[must_use]
    pub const fn reassembly(&self) -> &ReassemblyCounters {
        &self.reassembly
    }

    /// What became of encapsulations.
    #[must_use]
    pub const fn tunnels(&self) -> &TunnelCounters {
        &self.tunnels
    }

    /// What the IP packets were that were put together of fragments: each reason's name with its packets, zeros included.
    /// Together they are those that a reassembler handed on.
    pub fn put_together(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = Reason::ALL.iter().map(|reason| reason.as_str());
        names.zip(self.put_together.iter().copied())
    }

    /// What became of TCP segments from or to a SIP port, and of the messages in them.
    #[must_use]
    pub const fn tcp(&self) -> &TcpCounters {
        &self.tcp
    }

    /// What became of SCTP packets from or to a SIP port, and of the messages in them.
    #[must_use]
    pub const fn sctp(&self) -> &SctpCounters {
        &self.sctp
    }

    /// Datagrams that were handed on: those of one frame, and those of several.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        let put_together = self.put_together.get(Reason::Delivered.index());
        self.of(Reason::Delivered) + put_together.copied().unwrap_or_default()
    }

    /// Each reason's name with its frames, zeros included, in the order of [`Reason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reason::ALL
            .iter()
            .map(|reason| (reason.as_str(), self.of(*reason)))
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.by_reason, &other.by_reason);
        add(&mut self.put_together, &other.put_together);
        self.truncated += other.truncated;
        self.tunnels.merge(&other.tunnels);
        self.reassembly.merge(&other.reassembly);
        self.tcp.merge(&other.tcp);
        self.sctp.merge(&other.sctp);
    }

    /// Adds what packets that were put together turned out to be: they are no frames.
    pub fn merge_set_aside(&mut self, packets: &Self) {
        add(&mut self.put_together, &packets.by_reason);
        self.truncated += packets.truncated;
        self.tunnels.merge(&packets.tunnels);
    }

    /// Adds what a reassembler counted.
    pub fn merge_reassembly(&mut self, reassembly: &ReassemblyCounters) {
        self.reassembly.merge(reassembly);
    }

    /// Adds what was counted of TCP streams.
    pub fn merge_tcp(&mut self, tcp: &TcpCounters) {
        self.tcp.merge(tcp);
    }

    /// Adds what was counted of SCTP associations.
    pub fn merge_sctp(&mut self, sctp: &SctpCounters) {
        self.sctp.merge(sctp);
    }

    /// Counts one frame.
    #[inline]
    pub(super) fn count(&mut self, reason: Reason, truncated: bool) {
        if let Some(counter) = self.by_reason.get_mut(reason.index()) {
            *counter += 1;
        }
        self.truncated += u64::from(truncated);
    }
}

fn add(sums: &mut [u64], others: &[u64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeCounters, Reason};

    /// Catches a reason that is lost or mixed up in `merge` or `iter`.
    #[test]
    fn merge_adds_reason_by_reason() {
        let (mut left, mut right) = (DecodeCounters::new(), DecodeCounters::new());
        for (place, reason) in Reason::ALL.iter().enumerate() {
            left.count(*reason, false);
            for _ in 0..place {
                right.count(*reason, true);
            }
        }
        left.merge(&right);
        let expected = (1..=Reason::COUNT as u64).collect::<Vec<_>>();
        assert_eq!(left.iter().map(|(_, n)| n).collect::<Vec<_>>(), expected);
        assert_eq!(left.frames(), expected.iter().sum::<u64>());
        assert_eq!(left.truncated(), right.frames());
    }
}

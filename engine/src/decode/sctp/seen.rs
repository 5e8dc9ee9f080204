//! Which TSNs of one direction of an association were seen: each of the newest, and of older ones those that were not, so that
//! nothing is read twice, and one number far ahead, forged or damaged, does not make copies of all before it.

use crate::decode::holes::{Hole, Holes};

/// How many of the newest are known one by one.
const WINDOW: u64 = 128;
/// A TSN further ahead than that is of another association that has the tag now.
const AHEAD_MAX: u16 = u16::MAX;
/// And one further back than that. More, for whoever leads an association astray may do so step by step.
const BACK_MAX: u32 = 1 << 20;
/// TSNs are counted on beyond 32 bits, from here.
const FIRST: u64 = 1 << 33;

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// The first, as long as nothing came that is older than the window and that.
    first: u64,
    /// The newest, counted on.
    newest: u64,
    /// Which TSNs up to that were seen: the lowest bit is that of the newest.
    bits: u128,
    /// Those before the window that were not.
    holes: Holes,
}

impl Seen {
    /// Nothing yet. The first that will be has that TSN.
    pub(super) fn begin(tsn: u32) -> Self {
        // The low half is the TSN.
        let first = FIRST + u64::from(tsn);
        Self {
            first,
            newest: first - 1,
            bits: 0,
            holes: Holes::default(),
        }
    }

    /// Memory that it takes beside itself.
    pub(super) const fn held_bytes(&self) -> usize {
        self.holes.held_bytes()
    }

    /// The newest TSN.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// The oldest of those that are known one by one.
    pub(super) const fn oldest(&self) -> u64 {
        self.newest + 1 - WINDOW
    }

    /// A TSN counted on beyond 32 bits, unless it is too far away.
    pub(super) fn count_on(&self, tsn: u32) -> Option<u64> {
        let ahead = tsn.wrapping_sub(low(self.newest));
        if ahead <= u32::from(AHEAD_MAX) {
            return Some(self.newest + u64::from(ahead));
        }
        let back = ahead.wrapping_neg();
        (back <= BACK_MAX).then(|| self.newest - u64::from(back))
    }

    /// Whether a TSN was seen, or is too old to tell.
    pub(super) const fn is_seen(&self, tsn: u64) -> bool {
        let back = self.newest - tsn;
        back >= WINDOW || self.bits >> back & 1 == 1
    }

    /// Notes that a TSN was seen. Whether it is new.
    pub(super) fn note(&mut self, tsn: u64) -> bool {
        self.reach(tsn);
        let back = self.newest - tsn;
        if back >= WINDOW {
            self.note_past(tsn);
            return self.holes.take(low(tsn), low(tsn + 1)).is_some();
        }
        let is_new = !self.is_seen(tsn);
        self.bits |= 1 << back;
        is_new
    }

    /// What is older than anything that was seen was not: what was seen first may have been a lie.
    fn note_past(&mut self, tsn: u64) {
        if tsn < self.first {
            self.holes.add_before(Hole {
                from: low(self.first - u64::from(BACK_MAX)),
                to: low(self.first.min(self.oldest())),
            });
            self.first = 0;
        }
    }

    /// A TSN is known to have been sent.
    pub(super) fn reach(&mut self, tsn: u64) {
        let by = tsn.saturating_sub(self.newest);
        if by == 0 {
            return;
        }
        let leaving = by.min(WINDOW);
        let gone = self.bits >> (WINDOW - leaving);
        if u64::from(gone.count_ones()) < leaving {
            self.leave(self.oldest() + leaving);
        }
        // What never was within the window.
        self.miss(self.newest + 1, tsn.saturating_sub(WINDOW - 1));
        self.bits = u32::try_from(by)
            .ok()
            .and_then(|by| self.bits.checked_shl(by))
            .unwrap_or(0);
        self.newest = tsn;
    }

    /// Of those before `end`, which leave the window, some were not seen.
    fn leave(&mut self, end: u64) {
        let (mut at, mut bits) = (self.oldest(), self.bits);
        while at < end {
            let unseen = bits.leading_zeros();
            let to = end.min(at + u64::from(unseen));
            self.miss(at, to);
            bits = bits.checked_shl(unseen).unwrap_or(0);
            let seen = bits.leading_ones();
            bits = bits.checked_shl(seen).unwrap_or(0);
            at = to + u64::from(seen);
        }
    }

    /// These were not seen, and are not in the window any more.
    fn miss(&mut self, from: u64, to: u64) {
        let from = from.max(self.first);
        if from < to {
            self.holes
                .forget(low(to), usize::try_from(BACK_MAX).unwrap_or(usize::MAX));
            self.holes.add(Hole {
                from: low(from),
                to: low(to),
            });
        }
    }
}

/// A TSN as it is sent.
fn low(tsn: u64) -> u32 {
    u32::try_from(tsn & u64::from(u32::MAX)).unwrap_or_default()
}

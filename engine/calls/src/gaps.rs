//! Known gaps in the capture: when something was, or may have been, missed (semantics.md D37, D89).
//!
//! Who captures tells of them, in a [`Harvest`](crate::Harvest); the settler keeps them as long as a call may
//! reach back to them, and gives each call those that fall into it. What a gap means for the outcome is left to
//! [`crate::verdict`].

use ringtap_record::Time;

/// Gaps nearer together than this are one. Counters are read, and deadlines kept, no finer; and what is lost in one
/// burst is so told once.
const NEAR_US: i64 = 128_000;
/// Gaps remembered of each kind: an hour, the longest call (a queue's), has 28,125 times [`NEAR_US`], and gaps that
/// lie so close all the time mean that every call has several.
const GAPS_MAX: usize = 4096;
/// How often is looked for gaps that no call can reach any more. Looking costs a walk over all open legs.
const LOOK_MS: i64 = 60_000;

/// What made a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapKind {
    /// The kernel, a ring or the network card dropped frames: their counter moved.
    FramesLost,
    /// An interface was down, or not there.
    InterfaceDown,
    /// Fragments were given up whose datagram was not whole: one message, if it was one at all.
    FragmentsGivenUp,
    /// Octets of a TCP stream or of an SCTP message did not come: some messages, if they were any.
    StreamBroken,
    /// The capture began, or its clock was set anew: nothing is known of the time before.
    Began,
}

impl GapKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::FramesLost,
        Self::InterfaceDown,
        Self::FragmentsGivenUp,
        Self::StreamBroken,
        Self::Began,
    ];

    /// In the words of an explanation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FramesLost => "frames lost",
            Self::InterfaceDown => "interface down",
            Self::FragmentsGivenUp => "fragments given up",
            Self::StreamBroken => "stream broken",
            Self::Began => "capture began",
        }
    }

    /// Whether any number of frames of anybody may be missing. Of fragments one datagram is, and one lost message never
    /// decides who is told of a call (semantics.md §8.5). A hole in a stream is that of one connection, and its size is
    /// whatever that one's sender says: who leaps ahead once a second must not change the verdicts of all others.
    pub(crate) const fn is_blind(self) -> bool {
        !matches!(self, Self::FragmentsGivenUp | Self::StreamBroken)
    }
}

/// A stretch of capture time in which frames are known, or have to be feared, to be missing; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When all was well for the last time; [`Time::MIN`] if nothing is known of the time before.
    pub from: Time,
    /// When all was well again.
    pub until: Time,
    /// What made it.
    pub kind: GapKind,
}

impl Gap {
    /// Whether it has a moment in common with `from..=until`.
    pub(crate) fn touches(&self, from: Time, until: Time) -> bool {
        self.from <= until && from <= self.until
    }
}

/// The gaps that a call may still reach back to.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// By kind, ordered by time, each farther than [`NEAR_US`] from the next unless memory was short.
    kept: [Vec<Gap>; GapKind::ALL.len()],
    /// When it is looked for old ones next.
    look_at: Option<Time>,
}

impl Gaps {
    /// Takes a gap in, in any order; neighbours become one. Whether it is one of its own.
    pub(crate) fn add(&mut self, gap: Gap) -> bool {
        let Some(kept) = self.kept.get_mut(gap.kind as usize) else {
            return false;
        };
        let mut gap = Gap {
            from: gap.from.min(gap.until),
            until: gap.from.max(gap.until),
            ..gap
        };
        let first = kept.partition_point(|other| other.until.plus_us(NEAR_US) < gap.from);
        let beyond = kept.partition_point(|other| other.from <= gap.until.plus_us(NEAR_US));
        for other in kept.get(first..beyond).unwrap_or_default() {
            gap.from = gap.from.min(other.from);
            gap.until = gap.until.max(other.until);
        }
        let is_new = first == beyond;
        drop(kept.splice(first..beyond, [gap]));
        if kept.len() > GAPS_MAX {
            join_nearest(kept);
        }
        is_new
    }

    /// The gaps which have a moment in common with `from..=until`, the earliest first.
    pub(crate) fn within(&self, from: Time, until: Time) -> Vec<Gap> {
        let mut found: Vec<Gap> = Vec::new();
        for kept in &self.kept {
            let first = kept.partition_point(|gap| gap.until < from);
            let later = kept.get(first..).unwrap_or_default().iter();
            found.extend(later.take_while(|gap| gap.touches(from, until)));
        }
        found.sort_by_key(|gap| (gap.from, gap.kind));
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.iter().all(Vec::is_empty)
    }

    /// Now and then forgets the gaps that ended more than `reach_ms` before `now` and before `earliest`, the first
    /// sign of the oldest call that is not judged yet.
    pub(crate) fn forget(&mut self, now: Time, reach_ms: u64, earliest: impl FnOnce() -> Option<Time>) {
        if self.is_empty() || self.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_at = Some(now.plus_ms(LOOK_MS));
        let reach_ms = i64::try_from(reach_ms).unwrap_or(i64::MAX);
        let oldest = earliest().map_or(now, |earliest| earliest.min(now));
        let horizon = oldest.plus_ms(reach_ms.saturating_neg());
        for kept in &mut self.kept {
            let old = kept.partition_point(|gap| gap.until < horizon);
            kept.drain(..old);
        }
    }
}

/// Makes one of the two gaps that lie nearest together: what is taken for a gap grows by the least.
fn join_nearest(kept: &mut Vec<Gap>) {
    let pairs = kept.iter().zip(kept.iter().skip(1));
    let distances = pairs.map(|(a, b)| b.from - a.until).enumerate();
    let Some((at, _)) = distances.min_by_key(|(_, us)| *us) else {
        return;
    };
    let later = kept.remove(at + 1);
    if let Some(gap) = kept.get_mut(at) {
        gap.until = gap.until.max(later.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_micros(1_714_962_221_000_000).plus_ms(ms)
    }

    fn gap(from_ms: i64, until_ms: i64) -> Gap {
        Gap {
            from: at(from_ms),
            until: at(until_ms),
            kind: GapKind::FramesLost,
        }
    }

    fn all(gaps: &Gaps) -> Vec<Gap> {
        gaps.within(Time::MIN, Time::MAX)
    }

    /// Catches neighbours that stay apart or strangers that are joined, in whatever order they come, by a plain
    /// comparison with the union of all.
    #[test]
    fn neighbours_are_one_in_any_order() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let told: Vec<Gap> = (0..random.usize(1..40))
                .map(|_| {
                    let from = random.i64(0..20_000);
                    gap(from, from + random.i64(0..600))
                })
                .collect();
            let mut gaps = Gaps::default();
            for one in &told {
                gaps.add(*one);
            }
            let kept = all(&gaps);
            assert!(
                kept.windows(2).all(|pair| pair[1].from - pair[0].until > NEAR_US),
                "{kept:?}"
            );
            for ms in 0..21_000 {
                let is_told = told.iter().any(|one| one.touches(at(ms), at(ms)));
                let is_kept = kept.iter().any(|one| one.touches(at(ms), at(ms)));
                let is_between = |near: &Gap| near.touches(at(ms - 128), at(ms + 128));
                assert!(is_kept || !is_told, "{ms} is lost in {kept:?}");
                assert!(
                    !is_kept || told.iter().any(is_between),
                    "{ms} is too much in {kept:?}"
                );
            }
        }
    }

    /// Catches kinds that are mixed up, and a look that misses the ends of a gap.
    #[test]
    fn a_call_is_given_what_falls_into_it() {
        let mut gaps = Gaps::default();
        assert!(gaps.is_empty());
        let down = Gap {
            kind: GapKind::InterfaceDown,
            ..gap(900, 2_000)
        };
        for one in [gap(5_000, 6_000), gap(1_000, 1_000), down] {
            gaps.add(one);
        }
        let found = |from: i64, until: i64| gaps.within(at(from), at(until));
        assert_eq!(found(0, 899), []);
        assert_eq!(found(0, 900), [down]);
        assert_eq!(found(0, 1_000), [down, gap(1_000, 1_000)]);
        assert_eq!(found(2_000, 5_000), [down, gap(5_000, 6_000)]);
        assert_eq!(found(2_001, 4_999), []);
        assert_eq!(found(6_000, 9_000), [gap(5_000, 6_000)]);
        assert_eq!(found(6_001, 9_000), []);
    }

    /// Catches a list that grows without bound, or that loses a gap when it is full.
    #[test]
    fn a_full_list_joins_the_nearest() {
        let mut gaps = Gaps::default();
        let count = i64::try_from(GAPS_MAX).unwrap() + 500;
        // One pair lies nearer together than the others.
        let times: Vec<i64> = (0..count)
            .map(|n| n * 1_000 + if n == 77 { 500 } else { 0 })
            .collect();
        for ms in &times {
            gaps.add(gap(*ms, *ms));
        }
        assert_eq!(all(&gaps).len(), GAPS_MAX);
        for ms in &times {
            assert_eq!(gaps.within(at(*ms), at(*ms)).len(), 1, "{ms}");
        }
        assert!(gaps.within(at(77_501), at(77_999)).len() == 1);
        assert_eq!(gaps.within(at(count * 1_000 - 999), at(count * 1_000)).len(), 0);
    }

    /// Catches a gap forgotten while a call reaches back to it, or kept for ever.
    #[test]
    fn old_gaps_are_forgotten() {
        let mut gaps = Gaps::default();
        gaps.add(gap(0, 100));
        gaps.add(gap(50_000, 50_100));
        gaps.forget(at(300_000), 200_000, || Some(at(200_000)));
        assert_eq!(all(&gaps).len(), 2, "a call of 200 s may reach back to 0 s");
        gaps.forget(at(300_001), 200_000, || None);
        assert_eq!(all(&gaps).len(), 2, "it is not looked at every tick");
        gaps.forget(at(360_000), 100_000, || Some(at(150_000)));
        assert_eq!(all(&gaps), [gap(50_000, 50_100)]);
        gaps.forget(at(420_000), 200_000, || None);
        assert!(gaps.is_empty());
    }
}

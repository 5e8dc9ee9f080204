//! The clock of a replay: which epoch a frame belongs to, and what to think of a stamp far from the others.
//!
//! Deadlines are judged by this clock, so one wild stamp must not move it: a stamp ahead would give up calls
//! that are still ringing, and afterwards every honest frame would lie in the past. A frame far from the clock
//! is therefore held until those behind it agree. What a frame says, and what closing a leg means, is left to
//! [`crate::replay`].

use ringtap_record::Time;

/// Width of an epoch: how finely deadlines are kept.
const EPOCH_US: i64 = 128_000;
/// A step of the stamps by more than this has to be confirmed. Two taps may differ by seconds and a small
/// network may be silent for half a minute between two keep-alives; the shortest timer whose end means a mail
/// (`noresp_ms`, 40 s) is of the same size, so that a wild stamp within this distance does little harm. After
/// a smaller step backwards (NTP, taps merged by hand) the clock waits until the stamps have caught up: no leg
/// is given up meanwhile, and none has to be cut in two.
const STEP_US: i64 = 60_000_000;
/// Frames in a row, near to one another, that confirm a step forward: a silence, then traffic again.
const FORWARD_FRAMES: usize = 2;
/// Frames in a row that confirm a step backwards, which is rarer (captures joined end to end) and costs more:
/// every open call is given up.
const BACKWARD_FRAMES: usize = 3;

/// What a frame's stamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the first frame.
    Start,
    /// It belongs to the present epoch.
    Go,
    /// It begins an epoch, at this time.
    Tick(Time),
    /// Keep the frame: what comes behind it decides.
    Hold,
    /// The frames that were kept are outliers and belong to the present epoch. Ask again for this one.
    Outliers,
    /// The frames that were kept go on after a silence: an epoch begins, at this time. Ask again for them, then
    /// for this one.
    Follow(Time),
    /// The frames that were kept begin anew after a gap, or before the last time, which is this. Ask again for
    /// them, then for this one.
    Restart(Time),
}

/// How often stamps were far from the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounters {
    /// Frames whose stamps no other frame agreed with; the clock did not follow them.
    pub outliers: u64,
    /// Silences of more than a minute, shorter than a gap.
    pub silences: u64,
    /// Gaps and steps backwards: calls open then have no known end.
    pub restarts: u64,
}

impl ClockCounters {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("outliers", self.outliers),
            ("silences", self.silences),
            ("restarts", self.restarts),
        ]
        .into_iter()
    }
}

/// Follows the stamps of the frames.
#[derive(Debug)]
pub(crate) struct Clock {
    /// A silence longer than this is a gap in the capture (semantics.md D89): nothing can be ringing that
    /// long, so whatever ended did so unseen.
    gap_us: i64,
    /// The latest stamp that was believed.
    now: Option<Time>,
    suspect: Option<Suspect>,
    counters: ClockCounters,
}

/// Frames in a row that are far from the clock and near to one another.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    first: Time,
    frames: usize,
}

impl Clock {
    /// A clock for which silence of more than `ring_max_ms` is a gap.
    pub(crate) fn new(ring_max_ms: u64) -> Self {
        Self {
            gap_us: i64::try_from(ring_max_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            now: None,
            suspect: None,
            counters: ClockCounters::default(),
        }
    }

    /// The latest stamp that was believed.
    pub(crate) const fn now(&self) -> Option<Time> {
        self.now
    }

    pub(crate) const fn counters(&self) -> ClockCounters {
        self.counters
    }

    /// Takes the next frame's stamp. Every answer but [`Step::Go`], [`Step::Tick`], [`Step::Start`] and
    /// [`Step::Hold`] is followed by the same question.
    #[inline]
    pub(crate) fn feed(&mut self, stamp: Time) -> Step {
        let Some(now) = self.now else {
            self.now = Some(stamp);
            return Step::Start;
        };
        if !near(stamp, now) {
            return self.far(stamp, now);
        }
        if self.suspect.is_some() {
            return self.dismiss();
        }
        self.now = Some(now.max(stamp));
        if epoch(stamp) > epoch(now) {
            Step::Tick(boundary(stamp))
        } else {
            Step::Go
        }
    }

    /// Forgets where it stood. Frames that are kept still are outliers. The last time, if there was one.
    pub(crate) fn end(&mut self) -> Option<Time> {
        if self.suspect.is_some() {
            let _kept = self.dismiss();
        }
        self.now.take()
    }

    fn far(&mut self, stamp: Time, now: Time) -> Step {
        let Some(suspect) = &mut self.suspect else {
            self.suspect = Some(Suspect {
                first: stamp,
                frames: 1,
            });
            return Step::Hold;
        };
        if !near(stamp, suspect.first) {
            return self.dismiss();
        }
        suspect.frames += 1;
        let (first, frames) = (suspect.first, suspect.frames);
        let ahead_us = first - now;
        let wanted = if ahead_us > 0 {
            FORWARD_FRAMES
        } else {
            BACKWARD_FRAMES
        };
        if frames < wanted {
            return Step::Hold;
        }
        self.suspect = None;
        if (0..=self.gap_us).contains(&ahead_us) {
            self.now = Some(first);
            self.counters.silences += 1;
            Step::Follow(boundary(first))
        } else {
            self.now = None;
            self.counters.restarts += 1;
            Step::Restart(now)
        }
    }

    fn dismiss(&mut self) -> Step {
        let frames = self.suspect.take().map_or(0, |suspect| suspect.frames);
        self.counters.outliers += frames as u64;
        Step::Outliers
    }
}

fn near(a: Time, b: Time) -> bool {
    (-STEP_US..=STEP_US).contains(&(a - b))
}

fn epoch(at: Time) -> i64 {
    at.as_micros().div_euclid(EPOCH_US)
}

/// When the epoch of this time begins.
fn boundary(at: Time) -> Time {
    Time::from_micros(epoch(at).saturating_mul(EPOCH_US))
}

#[cfg(test)]
mod tests {
    use super::Step::{Follow, Go, Hold, Outliers, Restart, Start, Tick};
    use super::*;

    const RING_MAX_MS: u64 = 200_000;
    /// Whole epochs, so that boundaries are the times themselves.
    const BEGIN_US: i64 = 13_000_000_000 * EPOCH_US;

    fn at(epochs: i64) -> Time {
        Time::from_micros(BEGIN_US + epochs * EPOCH_US)
    }

    const MINUTE: i64 = 60_000_000 / EPOCH_US;
    const YEAR: i64 = 365 * 24 * 60 * MINUTE;

    /// The answers to these stamps, each asked as `feed` wants it, with held frames counted by their place.
    fn answers(epochs: &[i64]) -> (Vec<Step>, ClockCounters) {
        let mut clock = Clock::new(RING_MAX_MS);
        let mut answers = Vec::new();
        let mut held: Vec<i64> = Vec::new();
        for stamp in epochs {
            let mut again = vec![*stamp];
            while let Some(stamp) = again.pop() {
                let step = clock.feed(at(stamp));
                answers.push(step);
                match step {
                    Hold => held.push(stamp),
                    Outliers => {
                        held.clear();
                        again.push(stamp);
                    }
                    Follow(_) | Restart(_) => {
                        again.push(stamp);
                        again.extend(held.drain(..).rev());
                    }
                    Start | Go | Tick(_) => {}
                }
            }
        }
        (answers, clock.counters())
    }

    /// Catches a clock that follows one wild stamp, in either direction, or that stops ticking behind it.
    #[test]
    fn a_single_outlier_moves_nothing() {
        for wild in [YEAR, -YEAR, 2 * MINUTE, -2 * MINUTE] {
            let (answers, counters) = answers(&[0, 1, wild, 2, 3]);
            assert_eq!(
                answers,
                [Start, Tick(at(1)), Hold, Outliers, Tick(at(2)), Tick(at(3))],
                "{wild}"
            );
            assert_eq!(counters.outliers, 1);
        }
    }

    /// Catches wild stamps that confirm one another though they disagree, and more of them held than one.
    #[test]
    fn outliers_that_disagree_stay_outliers() {
        let (answers, counters) = answers(&[0, YEAR, 2 * YEAR, 3 * YEAR, -YEAR, 1]);
        assert_eq!(
            answers,
            [
                Start,
                Hold,
                Outliers,
                Hold,
                Outliers,
                Hold,
                Outliers,
                Hold,
                Outliers,
                Tick(at(1))
            ]
        );
        assert_eq!(counters.outliers, 4);
        assert_eq!(counters.restarts + counters.silences, 0);
    }

    /// Catches two interleaved clocks (taps that disagree) between which ours would flutter.
    #[test]
    fn interleaved_clocks_do_not_flutter() {
        let stamps: Vec<i64> = (0..50).flat_map(|n| [n, n + YEAR]).collect();
        let (_, counters) = answers(&stamps);
        assert_eq!(counters.restarts + counters.silences, 0);
        assert_eq!(counters.outliers, 49, "the last is held still");
    }

    /// Catches a silence taken for a gap, or one behind which the clock does not go on.
    #[test]
    fn a_silence_is_followed_and_a_gap_restarts() {
        let silence = 3 * MINUTE;
        let (seen, counters) = answers(&[0, silence, silence + 1]);
        assert_eq!(
            seen,
            [Start, Hold, Follow(at(silence)), Go, Tick(at(silence + 1))]
        );
        assert_eq!((counters.silences, counters.outliers), (1, 0));
        let gap = 4 * MINUTE;
        let (seen, counters) = answers(&[0, gap, gap + 1]);
        assert_eq!(seen, [Start, Hold, Restart(at(0)), Start, Tick(at(gap + 1))]);
        assert_eq!(counters.restarts, 1);
    }

    /// Catches a capture behind another in one file, older than it, that is never clocked; and a small step
    /// backwards that gives up every call.
    #[test]
    fn a_step_backwards_restarts_once_it_is_sure() {
        let (seen, counters) = answers(&[0, -YEAR, 1 - YEAR, 2 - YEAR]);
        assert_eq!(
            seen,
            [
                Start,
                Hold,
                Hold,
                Restart(at(0)),
                Start,
                Tick(at(1 - YEAR)),
                Tick(at(2 - YEAR))
            ]
        );
        assert_eq!(counters.restarts, 1);
        let (seen, counters) = answers(&[0, -16, -15, -14, -13, 1]);
        assert_eq!(seen, [Start, Go, Go, Go, Go, Tick(at(1))]);
        assert_eq!(counters, ClockCounters::default());
    }

    /// Catches a file whose very first stamp is the wild one.
    #[test]
    fn a_wild_beginning_is_left_behind() {
        for wild in [YEAR, -YEAR] {
            let (seen, counters) = answers(&[wild, 0, 1, 2, 3]);
            assert_eq!(seen.last(), Some(&Tick(at(3))), "{wild}");
            assert_eq!(counters.restarts, 1, "{wild}");
        }
    }
}

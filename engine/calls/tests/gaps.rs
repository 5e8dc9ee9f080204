//! Known gaps in the capture (semantics.md D37, D89): which calls they concern, and what becomes of those.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod story;

use ringtap_calls::{Gap, GapKind, Harvest, Judged};
use ringtap_record::{Flag, GapStory, Outcome, Time};

use story::{Hop, START, Story, branch, fixtures_config, gi};

const ALL: [GapKind; 5] = GapKind::ALL;

fn gap(kind: GapKind, from_ms: i64, until_ms: i64) -> Gap {
    Gap {
        from: START.plus_ms(from_ms),
        until: START.plus_ms(until_ms),
        kind,
    }
}

/// The only call's record and explanation: gaps are told as time goes by, each when it is over.
fn judged(lines: &[(i64, &Hop, &str)], gaps: &[Gap], end_ms: i64) -> Judged {
    let mut story = Story::new(&fixtures_config());
    let mut told: Vec<(i64, Option<Gap>, usize)> =
        (0..lines.len()).map(|at| (lines[at].0, None, at)).collect();
    told.extend(gaps.iter().map(|gap| ((gap.until - START) / 1000, Some(*gap), 0)));
    told.sort_by_key(|(ms, gap, at)| (*ms, gap.is_none(), *at));
    for (ms, gap, at) in told {
        match gap {
            Some(gap) => story.tell(ms, gap),
            None => story.see(lines[at].0, lines[at].1, lines[at].2),
        }
    }
    story.tick(end_ms);
    story.finish();
    assert_eq!(story.records.len(), 1, "{:#?}", story.records);
    story.records.remove(0)
}

/// The outcome, and whether the record says that a gap is known.
fn outcome(judged: &Judged) -> (Outcome, bool) {
    (judged.record.targets[0].outcome, judged.record.has(Flag::Loss))
}

/// D37: catches a call whose end may have been missed and that is mailed all the same; and one that is kept silent
/// for a gap before it began or after it was closed.
#[test]
fn a_gap_within_a_call_explains_a_missing_end() {
    // Closed 200 s after the 180.
    let gi = gi("a");
    let ringing = [(0, &gi, "INVITE"), (400, &gi, "180#t")];
    let plain = judged(&ringing, &[], 210_000);
    assert_eq!(outcome(&plain), (Outcome::Undetermined, false));
    assert!(plain.explanation.gaps.is_empty());
    for kind in ALL {
        for (from_ms, until_ms, falls) in [
            (-9_000, -1, false),
            (-9_000, 0, true),
            (3_100, 3_200, true),
            (100_000, 100_000, true),
            (200_399, 205_000, true),
            (200_401, 205_000, false),
        ] {
            let told = judged(&ringing, &[gap(kind, from_ms, until_ms)], 210_000);
            assert_eq!(
                outcome(&told),
                (Outcome::Undetermined, falls),
                "{kind:?} {from_ms} to {until_ms}"
            );
            let story = GapStory {
                kind: kind.as_str().into(),
                from_ms: Some(from_ms),
                until_ms,
            };
            assert_eq!(
                told.explanation.gaps,
                if falls { vec![story] } else { Vec::new() }
            );
        }
    }
}

/// D89: catches an outcome that was seen and is thrown away for a gap, or a record that does not tell of it.
#[test]
fn a_clear_end_stands() {
    let gi = gi("a");
    for (lines, wanted) in [
        (
            vec![(0, "INVITE"), (400, "180#t"), (5_000, "200#t")],
            Outcome::Answered,
        ),
        (
            vec![(0, "INVITE"), (400, "180#t"), (9_000, "CANCEL"), (9_100, "487#t")],
            Outcome::CallerHungUp,
        ),
        (vec![(0, "INVITE"), (400, "486#t")], Outcome::Busy),
    ] {
        let lines: Vec<_> = lines.into_iter().map(|(ms, word)| (ms, &gi, word)).collect();
        let told = judged(&lines, &[gap(GapKind::FramesLost, 300, 350)], 60_000);
        assert_eq!(outcome(&told), (wanted, true));
        assert_eq!(outcome(&judged(&lines, &[], 60_000)), (wanted, false));
    }
}

/// D36: catches silence taken for the proof that nobody is there, when nobody was listening; and a phone that is
/// plainly gone, but not told of because a frame was lost.
#[test]
fn silence_proves_nothing_in_a_gap() {
    let (mt, _) = branch("1", "10.10.1.1", "x");
    let once = [(0, &mt, "INVITE")];
    let often = [0, 500, 1_500, 3_500, 7_500, 15_500].map(|ms| (ms, &mt, "INVITE"));
    let all = |kind, from_ms, until_ms| vec![gap(kind, from_ms, until_ms)];
    for (lines, gaps, wanted) in [
        (&once[..], Vec::new(), Outcome::Unreachable),
        (&once, all(GapKind::FramesLost, 200, 900), Outcome::Undetermined),
        (
            &once,
            all(GapKind::InterfaceDown, 30_000, 39_000),
            Outcome::Undetermined,
        ),
        (&once, all(GapKind::Began, 30_000, 39_000), Outcome::Undetermined),
        // One datagram: no more than any frame that the mirror may lose.
        (
            &once,
            all(GapKind::FragmentsGivenUp, 200, 200),
            Outcome::Unreachable,
        ),
        // One connection's, whose sender may have left it out.
        (&once, all(GapKind::StreamBroken, 200, 900), Outcome::Unreachable),
        // Who sends again has heard nothing before.
        (
            &often[..4],
            all(GapKind::FramesLost, 600, 3_400),
            Outcome::Unreachable,
        ),
        (
            &often[..4],
            all(GapKind::FramesLost, 600, 3_500),
            Outcome::Undetermined,
        ),
        // Near Timer B, nobody answers who did not before.
        (
            &often,
            all(GapKind::FramesLost, 20_000, 39_000),
            Outcome::Unreachable,
        ),
    ] {
        let told = judged(lines, &gaps, 150_000);
        assert_eq!(outcome(&told), (wanted, !gaps.is_empty()), "{gaps:?}");
    }
}

/// D38, D39: catches a BYE soon after the 180 taken for a caller who gave up, though the answer may lie in a gap.
#[test]
fn a_bye_behind_a_gap_may_end_an_answered_call() {
    let gi = gi("a");
    let lines = [(0, &gi, "INVITE"), (5_000, &gi, "180#t"), (7_000, &gi, "BYE#t")];
    for (gaps, wanted) in [
        (vec![], Outcome::CallerHungUp),
        (
            vec![gap(GapKind::FramesLost, 5_500, 6_500)],
            Outcome::Undetermined,
        ),
        (
            vec![gap(GapKind::FragmentsGivenUp, 6_000, 6_000)],
            Outcome::CallerHungUp,
        ),
        (
            vec![gap(GapKind::FramesLost, 1_000, 2_000)],
            Outcome::CallerHungUp,
        ),
    ] {
        assert_eq!(
            outcome(&judged(&lines, &gaps, 60_000)),
            (wanted, !gaps.is_empty()),
            "{gaps:?}"
        );
    }
}

/// D88: catches a call that was ringing when the capture began, as if its beginning had been seen; and a call that
/// began afterwards and is said to have a gap.
#[test]
fn what_rang_before_the_capture_began() {
    let gi = gi("a");
    let began = Gap {
        from: Time::MIN,
        ..gap(GapKind::Began, 0, 0)
    };
    let rang = [(100, &gi, "180#t")];
    let told = judged(&rang, &[began], 210_000);
    assert_eq!(outcome(&told), (Outcome::Undetermined, true));
    assert_eq!(told.explanation.gaps[0].from_ms, None);
    let later = [(201_000, &gi, "180#t")];
    assert_eq!(
        outcome(&judged(&later, &[began], 410_000)),
        (Outcome::Undetermined, false)
    );
    let whole = [(0, &gi, "INVITE"), (100, &gi, "180#t")];
    assert_eq!(
        outcome(&judged(&whole, &[began], 210_000)),
        (Outcome::Undetermined, false)
    );
}

/// Catches a gap that is forgotten while a call of any age waits, one that outlives all, and one that is carried into
/// the next capture.
#[test]
fn a_gap_is_kept_for_the_oldest_call() {
    let gi = gi("a");
    let mut lines = vec![(0, &gi, "INVITE")];
    // A phone may ring for long if it says so.
    lines.extend((0..60).map(|minute| (500 + minute * 60_000, &gi, "180#t")));
    let told = judged(&lines, &[gap(GapKind::FramesLost, 1_000, 1_100)], 4_000_000);
    assert_eq!(outcome(&told), (Outcome::Undetermined, true));

    // Somebody may reach back to it until the end of a capture; nobody of the next one does.
    let mut story = Story::new(&fixtures_config());
    let early = gap(GapKind::FramesLost, 0, 1_000);
    story.tell(1_000, early);
    story.see(1_000, &gi, "INVITE");
    story.finish();
    assert_eq!(story.records.remove(0).explanation.gaps.len(), 1);
    for (ms, word) in [(0, "INVITE"), (400, "180#t"), (900, "CANCEL"), (950, "487#t")] {
        story.see(ms, &gi, word);
    }
    story.tick(20_000);
    assert_eq!(outcome_of(&story), (Outcome::CallerHungUp, false));
    story.finish();

    // In the next capture too: frames that are hours late would find a gap only if somebody still remembered it.
    story.tell(1_000, early);
    story.tick(20_000_000);
    story.see_more(0, &gi, "INVITE", 7, "");
    story.finish();
    let late = story.records.pop().unwrap();
    assert!(late.explanation.gaps.is_empty(), "{late:#?}");
}

fn outcome_of(story: &Story) -> (Outcome, bool) {
    outcome(&story.records[0])
}

/// Catches a gap that comes too late for the legs which were closed at the same time.
#[test]
fn a_gap_counts_for_what_is_settled_with_it() {
    let gi = gi("a");
    let mut story = Story::new(&fixtures_config());
    story.see(0, &gi, "INVITE");
    story.see(400, &gi, "180#t");
    let mut harvest = Harvest {
        gaps: vec![gap(GapKind::InterfaceDown, 150_000, 201_000)],
        ..Harvest::default()
    };
    assert!(!harvest.is_empty());
    let mut whole = Harvest::default();
    for shard in 0..story.table.shards() {
        let now = START.plus_ms(201_000);
        story.table.expire(shard, now, &story.rules, &mut harvest);
    }
    whole.append(harvest);
    assert_eq!(whole.closed.len(), 1);
    story.settle(201_000, whole);
    assert_eq!(outcome_of(&story), (Outcome::Undetermined, true));
    assert_eq!(
        (story.settler.counters().gaps, story.settler.counters().gapped),
        (1, 1)
    );
}

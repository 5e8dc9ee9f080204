//! From a judged call to the story of its verdict: the facts that `ringtap explain` shows.

use compact_str::CompactString;
use data_encoding::HEXLOWER;
use ringtap_record::{Explanation, GapStory, HopStory, LegStory, PickupStory, Ruling, Time};

use super::Verdict;
use crate::facts::hop::Hop;
use crate::facts::{Closing, LegFacts};
use crate::gaps::Gap;
use crate::settler::Call;
use crate::tick::Tick;

/// Hops told of one leg.
const HOPS_MAX: usize = 24;
/// Gaps told of one call.
const GAPS_MAX: usize = 8;

/// The story of a call whose record starts at `started`.
pub(super) fn story(call: &Call, verdicts: &[Verdict], started: Time) -> Explanation {
    Explanation {
        legs: call.legs.iter().map(|leg| of_leg(leg, started)).collect(),
        joins: call
            .joins
            .iter()
            .map(|join| (join.legs.0, join.legs.1, join.by.as_str().into()))
            .collect(),
        pickup: call.pickup.as_ref().map(|pickup| PickupStory {
            by: pickup.by.map_or("D49", |by| by.as_str()).into(),
            at_ms: pickup
                .leg
                .answered_at()
                .time(pickup.leg.base)
                .map_or(0, |at| (at - started) / 1000),
        }),
        gaps: call
            .gaps
            .iter()
            .take(GAPS_MAX)
            .map(|gap| of_gap(gap, started))
            .collect(),
        rulings: verdicts
            .iter()
            .map(|verdict| Ruling {
                row: verdict.rows.0.into(),
                base_row: verdict.rows.1.map(CompactString::from),
            })
            .collect(),
    }
}

fn of_gap(gap: &Gap, started: Time) -> GapStory {
    GapStory {
        kind: gap.kind.as_str().into(),
        from_ms: (gap.from > Time::MIN).then(|| (gap.from - started) / 1000),
        until_ms: (gap.until - started) / 1000,
    }
}

fn of_leg(leg: &LegFacts, started: Time) -> LegStory {
    let at = |tick: Tick| tick.time(leg.base).map(|time| (time - started) / 1000);
    let mut hops: Vec<&Hop> = leg.invite_hops().collect();
    hops.sort_by_key(|hop| (hop.segment.rank(), hop.depth, hop.cseq, hop.started()));
    let (name, _) = leg.name.split_at(8);
    LegStory {
        name: HEXLOWER.encode(name),
        closing: match leg.rare().closing {
            Closing::Complete => "complete",
            Closing::Expired => "expired",
            Closing::EndOfInput => "end of input",
            Closing::Evicted => "evicted",
        }
        .into(),
        hops: hops
            .into_iter()
            .take(HOPS_MAX)
            .map(|hop| HopStory {
                segment: hop.segment.as_str().into(),
                cseq: hop.cseq,
                target: leg.identity(hop.target).map(|target| target.as_str().into()),
                invite_ms: at(hop.invite),
                sent: hop.sent,
                alert_ms: at(hop.alert),
                cancel_ms: at(hop.cancel),
                final_ms: at(hop.final_at),
                status: hop.status,
                ack_ms: at(hop.ack),
                reason_line: hop.line as u8,
                q850: hop.q850,
            })
            .collect(),
        caller_bye_ms: at(leg.rare().caller_bye),
        callee_bye_ms: at(leg.rare().callee_bye),
    }
}

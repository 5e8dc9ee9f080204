//! Records for what begins behind the engine: the journal, and growth of it.

use ringtap_journal::{CallRecord, Caller, Explanation, Flag, NameSource, Outcome, Target, Time};
use ringtap_record::{HopStory, LegStory, Ruling};

/// A missed call, the `n`th. The same `n` gives the same call, hence one row.
#[must_use]
pub fn record(n: u64) -> CallRecord {
    let started = Time::from_micros(1_714_962_221_000_000).plus_ms(i64::try_from(n).unwrap_or(0));
    CallRecord {
        // Names are hashes: each falls elsewhere in the index.
        call: format!("{:016x}{n:048x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        started,
        ended: started.plus_ms(25_050),
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: Some("Zhang San".into()),
            name_source: NameSource::Asserted,
            withheld: false,
        },
        dialled: Some("+862583091000".into()),
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: "+862583091001".into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 24_600,
            diverted_to: None,
            group: None,
            started,
            ended: started.plus_ms(25_000),
        }],
        legs: 1,
        flags: vec![Flag::Partial],
    }
}

/// How it came about: four hops, one ruling.
#[must_use]
pub fn story(n: u64) -> Explanation {
    let hop = |segment: &str| HopStory {
        segment: segment.into(),
        cseq: 1,
        target: Some("+862583091001".into()),
        invite_ms: Some(0),
        sent: 1,
        alert_ms: Some(400),
        cancel_ms: Some(25_000),
        final_ms: Some(25_010),
        status: 487,
        ack_ms: Some(25_020),
        ..HopStory::default()
    };
    Explanation {
        legs: vec![LegStory {
            name: format!("{n:016x}"),
            closing: "complete".into(),
            hops: ["MO", "GI", "GT", "MT"].map(hop).into(),
            caller_bye_ms: None,
            callee_bye_ms: None,
        }],
        rulings: vec![Ruling {
            row: "D21".into(),
            base_row: None,
        }],
        ..Explanation::default()
    }
}

//! How a verdict came about: what `ringtap explain` tells, kept beside the record in the journal.
//!
//! Facts only, in the words of the specification: legs with their hops and times, what joined them, and the
//! rule behind each target's outcome. Keys are short because every record has one. Neither Call-IDs nor
//! addresses are here, and of a withheld caller nothing.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The evidence behind one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The legs: the one that names the call first.
    pub legs: Vec<LegStory>,
    /// What joined legs, as indices into `legs`: first leg, second leg, key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<(usize, usize, CompactString)>,
    /// Somebody else took the call over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup: Option<PickupStory>,
    /// Known gaps in the capture that fall into the call, the earliest first; not all of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapStory>,
    /// One ruling for each target of the record, in the same order.
    pub rulings: Vec<Ruling>,
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegStory {
    /// First 16 hex digits of the leg's name: SHA-256 over Call-ID, caller's tag and attempt.
    pub name: String,
    /// How it was closed: `complete`, `expired`, `end of input`, `evicted`.
    pub closing: CompactString,
    /// Its hops, nearest to the caller first.
    pub hops: Vec<HopStory>,
    /// When the caller sent a BYE, and the callee, in milliseconds from the record's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_bye_ms: Option<i64>,
    /// The callee's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee_bye_ms: Option<i64>,
}

/// One INVITE transaction on one hop. Times are milliseconds from the record's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopStory {
    /// Segment: `GO`, `MO`, `GI`, `MT`, `GT`, `GJ` or `UNKNOWN`.
    #[serde(rename = "s")]
    pub segment: CompactString,
    /// CSeq.
    #[serde(rename = "c")]
    pub cseq: u32,
    /// Whom it was to reach.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<CompactString>,
    /// INVITE.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub invite_ms: Option<i64>,
    /// How often it was sent.
    #[serde(rename = "n", default, skip_serializing_if = "is_once")]
    pub sent: u8,
    /// First 180.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub alert_ms: Option<i64>,
    /// CANCEL.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub cancel_ms: Option<i64>,
    /// Final response.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub final_ms: Option<i64>,
    /// Its status; 0 if none was seen.
    #[serde(rename = "st", default, skip_serializing_if = "is_zero")]
    pub status: u16,
    /// ACK under the INVITE's branch.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub ack_ms: Option<i64>,
    /// Line of the table of Reason values (semantics.md §2.2) that CANCEL and final matched; 9 is none.
    #[serde(rename = "r", default = "plain", skip_serializing_if = "is_plain")]
    pub reason_line: u8,
    /// Q.850 cause of the final, 0 if none.
    #[serde(rename = "q", default, skip_serializing_if = "is_zero_cause")]
    pub q850: u8,
}

/// Who took the call over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupStory {
    /// By `K4 Replaces` or by the feature code, `D49`.
    pub by: CompactString,
    /// When that was answered, in milliseconds from the record's start.
    pub at_ms: i64,
}

/// A known gap in the capture (semantics.md D89). Times are milliseconds from the record's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapStory {
    /// `frames lost`, `interface down`, `fragments given up` or `capture began`.
    pub kind: CompactString,
    /// When all was well for the last time; `None` if nothing is known of the time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    /// When all was well again.
    pub until_ms: i64,
}

/// The rule behind one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Row of the decision table, or step of §2.8.
    pub row: CompactString,
    /// The row of the code before rules for diversion and groups changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row: Option<CompactString>,
}

const fn is_once(sent: &u8) -> bool {
    *sent <= 1
}

const fn is_zero(status: &u16) -> bool {
    *status == 0
}

const fn is_zero_cause(cause: &u8) -> bool {
    *cause == 0
}

const fn plain() -> u8 {
    9
}

const fn is_plain(line: &u8) -> bool {
    *line == 9
}

//! The call record: what the engine says about one call and what the notifier reads.
//!
//! These types are the contract between the two programs. They have no behaviour beyond their own
//! text form: who decides a verdict lives in `ringtap-calls`, who stores it in `ringtap-journal`,
//! who mails it in `ringtap-notifier`. The JSON shape is the one of `--records` and is stable:
//! keys may be added, never renamed.

mod explain;
mod outcome;
mod time;

pub use explain::{Explanation, GapStory, HopStory, LegStory, PickupStory, Ruling};
pub use outcome::{Outcome, UnknownOutcome};
pub use time::Time;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// One settled call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Stable name: SHA-256 in hex over Call-ID, the caller's tag and the attempt's ordinal
    /// (semantics.md §4.5). The same capture gives the same name each time it is read.
    pub call: String,
    /// First INVITE of the call, or the first message seen of it.
    pub started: Time,
    /// Last end of a branch of the call.
    pub ended: Time,
    /// Who called.
    pub caller: Caller,
    /// The identity that the caller asked for, as seen nearest to the caller.
    pub dialled: Option<CompactString>,
    /// The identity that took the call, when one did and it is known.
    pub answered_by: Option<CompactString>,
    /// A machine (voicemail, announcement) answered.
    pub machine: bool,
    /// From the answer to the BYE, in milliseconds, if both were seen before the call was settled: what
    /// `short_answer_s` asks for (semantics.md D01).
    #[serde(default)]
    pub talk_ms: Option<u64>,
    /// Who transferred the caller here, as the new INVITE's Referred-By says (D51). A claim, not a proof.
    #[serde(default)]
    pub referred_by: Option<CompactString>,
    /// Each called identity with its outcome, best evidence first (semantics.md §2.8 step 4f).
    pub targets: Vec<Target>,
    /// How many legs (Call-ID + caller's tag) the call was made of.
    pub legs: u32,
    /// What is to be known about the evidence.
    pub flags: Vec<Flag>,
}

impl CallRecord {
    /// Whether at least one target was not answered by a person: such a record is always kept.
    #[must_use]
    pub fn is_missed_by_somebody(&self) -> bool {
        self.targets
            .iter()
            .any(|target| !target.outcome.is_no_attempt() && target.outcome != Outcome::Answered)
    }

    /// Whether the record carries `flag`.
    #[must_use]
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }
}

/// Identities that are registered together, as a registrar told it (semantics.md §3.6): most likely one
/// person's, which only the operator can know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImplicitSet {
    /// The identity under which the set is told; a later set under the same one takes its place.
    pub aor: CompactString,
    /// All of them, sorted, that of `aor` mostly among them.
    pub members: Vec<CompactString>,
    /// When it was told last.
    pub seen: Time,
}

/// Who called. `identity` is `None` both for a withheld and for an unavailable number;
/// `withheld` tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Canonical identity (`+8613912345678`, `sip:user@host`), never that of a withheld caller.
    pub identity: Option<CompactString>,
    /// Display name, sanitised of control and bidi characters, never that of a withheld caller.
    pub name: Option<CompactString>,
    /// Where the name comes from: how far it can be believed.
    pub name_source: NameSource,
    /// The caller asked for privacy (semantics.md §3.4).
    pub withheld: bool,
}

/// Where a caller's name comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// From a header that the network vouches for (P-Asserted-Identity, Remote-Party-ID).
    Asserted,
    /// From the From header: supplied by the caller.
    From,
    /// There is no name.
    #[default]
    None,
}

/// One called identity and how the attempt ended for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Canonical identity.
    pub identity: CompactString,
    /// The verdict.
    pub outcome: Outcome,
    /// The verdict before diversion and group rules changed it: what holds for a user who owns the
    /// diverted-to identity too (semantics.md §2.8 step 4f).
    #[serde(default)]
    pub base: Option<Outcome>,
    /// A 180 was seen on a branch of this target.
    pub alerted: bool,
    /// From the first 180 to the branch's end, as seen nearest to the callee, in milliseconds.
    pub ring_ms: u64,
    /// Where the call was diverted to from here.
    pub diverted_to: Option<CompactString>,
    /// The group number through which this target was tried.
    pub group: Option<CompactString>,
    /// First INVITE towards this target.
    pub started: Time,
    /// End of this target's branch.
    pub ended: Time,
}

/// What is to be known about the evidence of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The INVITE was not captured (semantics.md D80, D81, D84).
    Partial,
    /// A capture gap is known within the call: loss, restart, end of input (D89, D37).
    Loss,
    /// The call is a conference focus dialling out (D67).
    Conference,
    /// The call is a PSAP call-back: never coalesced, never held back (D64).
    Psap,
    /// The leg had to leave the full table before its end was seen.
    Evicted,
    /// A message proved an answer after the record had been written (§4.5).
    LateContradiction,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 6] = [
        Self::Partial,
        Self::Loss,
        Self::Conference,
        Self::Psap,
        Self::Evicted,
        Self::LateContradiction,
    ];

    /// The word of the record for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Loss => "loss",
            Self::Conference => "conference",
            Self::Psap => "psap",
            Self::Evicted => "evicted",
            Self::LateContradiction => "late_contradiction",
        }
    }
}

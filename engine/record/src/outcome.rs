//! The reason codes of semantics.md §2.3.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the codes once: variant, text and documentation stand in one line each.
macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal,)*) => {
        /// How an attempt ended for one target (semantics.md §2.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Outcome { $($(#[$doc])* $variant,)* }

        impl Outcome {
            /// Every code, in the order of semantics.md §2.3.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as records and mail headers spell it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

outcomes! {
    /// The caller gave up before an answer.
    CallerHungUp = "CALLER_HUNG_UP",
    /// A ring timer ended the ringing.
    NoAnswer = "NO_ANSWER",
    /// Busy before alerting.
    Busy = "BUSY",
    /// Offline, not registered, or no response at all.
    Unreachable = "UNREACHABLE",
    /// Rejected without alerting (do not disturb, barring).
    AutoRejected = "AUTO_REJECTED",
    /// A network failure before alerting.
    NetworkFailure = "NETWORK_FAILURE",
    /// A machine answered.
    Voicemail = "VOICEMAIL",
    /// Answered upstream, by nothing that is visible on the mirrored ports.
    DivertedUnseen = "DIVERTED_UNSEEN",
    /// Diverted, and the next target did not answer.
    ForwardedUnanswered = "FORWARDED_UNANSWERED",
    /// Nobody of the group answered.
    GroupUnanswered = "GROUP_UNANSWERED",
    /// The called person pressed reject.
    Declined = "DECLINED",
    /// The end of the call was not observed.
    PossiblyMissed = "POSSIBLY_MISSED",
    /// Answered by a person at this target.
    Answered = "ANSWERED",
    /// Answered on another device of the same identity or by another member of the group.
    AnsweredElsewhere = "ANSWERED_ELSEWHERE",
    /// Diverted, and the next target answered.
    DivertedAnswered = "DIVERTED_ANSWERED",
    /// Picked up by a colleague.
    PickedUp = "PICKED_UP",
    /// Barred.
    Blocked = "BLOCKED",
    /// The number does not exist or is incomplete.
    InvalidNumber = "INVALID_NUMBER",
    /// Media or extensions did not fit.
    Incompatible = "INCOMPATIBLE",
    /// Challenged and never retried: the call was not offered.
    AuthFailed = "AUTH_FAILED",
    /// Not a new call: a request within a dialog.
    InDialog = "IN_DIALOG",
    /// Not a call attempt to this target (chat session, emergency, click-to-dial, ...).
    NotACall = "NOT_A_CALL",
    /// The evidence does not suffice for a verdict.
    Undetermined = "UNDETERMINED",
}

impl Outcome {
    /// Whether it is one of those that tell of a missed call (semantics.md §2.3, DECLINED left out).
    #[must_use]
    pub const fn is_missed(self) -> bool {
        matches!(
            self,
            Self::CallerHungUp
                | Self::NoAnswer
                | Self::Busy
                | Self::Unreachable
                | Self::AutoRejected
                | Self::NetworkFailure
                | Self::Voicemail
                | Self::DivertedUnseen
                | Self::ForwardedUnanswered
                | Self::GroupUnanswered
                | Self::PossiblyMissed
        )
    }

    /// Whether the target was not called at all in the sense of semantics.md D60 to D71.
    #[must_use]
    pub const fn is_no_attempt(self) -> bool {
        matches!(self, Self::InDialog | Self::NotACall)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no reason code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOutcome(pub String);

impl fmt::Display for UnknownOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown reason code {:?}", self.0)
    }
}

impl std::error::Error for UnknownOutcome {}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a code whose text and parser disagree.
    #[test]
    fn every_code_reads_back() {
        for code in Outcome::ALL {
            assert_eq!(code.as_str().parse::<Outcome>(), Ok(*code));
        }
        assert!("MISSED".parse::<Outcome>().is_err());
    }
}

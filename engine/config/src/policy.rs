//! `[policy.notify]`: what is worth a mail (semantics.md §2.7).

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::network::nets;

/// `[policy.notify]`. The switches named after an outcome say whether it is mailed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// CALLER_HUNG_UP after ringing.
    pub caller_hung_up: bool,
    /// CALLER_HUNG_UP before any ringing (D23).
    pub abandoned_before_ring: bool,
    /// NO_ANSWER.
    pub no_answer: bool,
    /// BUSY.
    pub busy: bool,
    /// UNREACHABLE.
    pub unreachable: bool,
    /// AUTO_REJECTED.
    pub auto_rejected: bool,
    /// NETWORK_FAILURE.
    pub network_failure: bool,
    /// VOICEMAIL.
    pub voicemail: bool,
    /// DIVERTED_UNSEEN.
    pub unseen_answerer: bool,
    /// FORWARDED_UNANSWERED, to who diverted.
    pub forwarded_unanswered: bool,
    /// A diverted call that was missed, to whom it was diverted.
    pub diverted_to_missed: bool,
    /// DECLINED.
    pub declined: bool,
    /// DIVERTED_ANSWERED.
    pub diverted_answered: bool,
    /// PICKED_UP.
    pub picked_up: bool,
    /// BLOCKED.
    pub blocked: bool,
    /// INCOMPATIBLE.
    pub incompatible: bool,
    /// INVALID_NUMBER.
    pub invalid_number: bool,
    /// Which members of a group are mailed.
    pub group_member: GroupMember,
    /// What becomes of a call whose end was not observed.
    pub undetermined: Undetermined,
    /// What becomes of a call whose INVITE was not captured.
    pub partial_evidence: PartialEvidence,
    /// Shorter ringing is not mailed.
    pub min_ring_s: u32,
    /// An answered call shorter than this counts as missed (D01); 0 is off.
    pub short_answer_s: u32,
    /// Wait, and mail nothing if the same caller reaches the user within this time; 0 is off.
    pub suppress_if_reached_within_s: u32,
    /// Media without which a session is no call (D61).
    pub media_required: MediaRequired,
    /// Gateways whose 183 means alerting because they never send 180 (§2.2).
    #[serde(deserialize_with = "nets")]
    pub treat_183_as_alerting: Vec<IpNet>,
    /// `Q.850;cause=13` means answered elsewhere (§2.2).
    pub q850_13_elsewhere: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            caller_hung_up: true,
            abandoned_before_ring: true,
            no_answer: true,
            busy: true,
            unreachable: true,
            auto_rejected: true,
            network_failure: true,
            voicemail: true,
            unseen_answerer: true,
            forwarded_unanswered: true,
            diverted_to_missed: true,
            declined: false,
            diverted_answered: false,
            picked_up: false,
            blocked: false,
            incompatible: false,
            invalid_number: false,
            group_member: GroupMember::default(),
            undetermined: Undetermined::default(),
            partial_evidence: PartialEvidence::default(),
            min_ring_s: 0,
            short_answer_s: 0,
            suppress_if_reached_within_s: 0,
            media_required: MediaRequired::default(),
            treat_183_as_alerting: Vec::new(),
            q850_13_elsewhere: false,
        }
    }
}

/// Nobody waits for a mail longer than a day.
const SUPPRESS_S_MAX: u32 = 86_400;

impl Policy {
    /// Whether every value is within its bounds; else the key at fault, and what is wrong with it.
    ///
    /// # Errors
    /// A value is out of bounds.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.suppress_if_reached_within_s > SUPPRESS_S_MAX {
            let problem = format!(
                "{} is out of bounds; give 0 to {SUPPRESS_S_MAX} seconds",
                self.suppress_if_reached_within_s
            );
            return Err(("suppress_if_reached_within_s", problem));
        }
        Ok(())
    }
}

/// Which members of a group are mailed (D45 to D47).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupMember {
    /// None, ever.
    Never,
    /// Every member tried, if nobody answered.
    #[default]
    IfGroupUnanswered,
    /// Every member that did not answer.
    Always,
}

/// What becomes of a call whose end was not observed (D37, D39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undetermined {
    /// Never mailed.
    Off,
    /// Mailed unless a capture gap explains it.
    #[default]
    Auto,
    /// Mailed.
    Always,
}

/// What becomes of a call whose INVITE was not captured (D80).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialEvidence {
    /// Mailed, and marked so.
    #[default]
    Notify,
    /// Not mailed.
    Drop,
}

/// Media without which a session is no call (D61).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaRequired {
    /// Audio or video.
    #[default]
    Any,
    /// Audio.
    Audio,
    /// Video.
    Video,
}

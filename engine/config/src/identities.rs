//! `[identities]`: numbers that are not people's.

use ringtap_identity::Identity;
use serde::Deserialize;

use crate::network::hosts;

/// `[identities]`, every number in canonical form (semantics.md §2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// Pilot numbers of hunt groups.
    pub group_numbers: Vec<Identity>,
    /// Queues, IVRs, announcements: who answers there is no person (D52).
    pub machine_numbers: Vec<Identity>,
    /// Voicemail.
    pub voicemail_numbers: Vec<Identity>,
    /// Hosts of voicemail servers, in lower case.
    pub voicemail_hosts: Vec<String>,
    /// Click-to-dial controllers (D65).
    pub service_callers: Vec<Identity>,
    /// Codes dialled to pick up a colleague's call, compared with the user part as keyed (D49).
    pub pickup_codes: Vec<String>,
    /// Who may pick up whose calls: each group with its members' numbers (D49). Where the picker or the
    /// called person stands in a group, only a common group explains a pickup.
    pub pickup_groups: Vec<Vec<Identity>>,
    /// Paging and intercom (D69).
    pub paging_numbers: Vec<Identity>,
    /// Emergency numbers (D63).
    pub emergency_numbers: Vec<Identity>,
    /// What becomes of identities that are registered together (semantics.md §3.6).
    pub learn: Learn,
}

/// What becomes of identities that are seen to be registered together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learn {
    /// Nothing is kept of it.
    Off,
    /// It is shown to the operator.
    #[default]
    Suggest,
    /// An identity that no subscription names counts as the account that it is registered with.
    Auto,
}

/// `[identities]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawIdentities {
    pub(crate) group_numbers: Vec<String>,
    pub(crate) machine_numbers: Vec<String>,
    pub(crate) voicemail_numbers: Vec<String>,
    #[serde(deserialize_with = "hosts")]
    pub(crate) voicemail_hosts: Vec<String>,
    pub(crate) service_callers: Vec<String>,
    pub(crate) pickup_codes: Vec<String>,
    pub(crate) pickup_groups: Vec<Vec<String>>,
    pub(crate) paging_numbers: Vec<String>,
    pub(crate) emergency_numbers: Vec<String>,
    pub(crate) learn: Learn,
}

impl Default for RawIdentities {
    fn default() -> Self {
        Self {
            group_numbers: Vec::new(),
            machine_numbers: Vec::new(),
            voicemail_numbers: Vec::new(),
            voicemail_hosts: Vec::new(),
            service_callers: Vec::new(),
            pickup_codes: Vec::new(),
            pickup_groups: Vec::new(),
            paging_numbers: Vec::new(),
            emergency_numbers: ["110", "119", "120", "122"].map(str::to_owned).to_vec(),
            learn: Learn::default(),
        }
    }
}

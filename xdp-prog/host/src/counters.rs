//! What the program counted, summed over CPUs.

use ringtap_classify::{Action, Reason};

/// Frames by what they are and by what was done with them. Each of the two adds up to the frames seen, except while
/// frames come: the counters are read one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub(crate) reasons: [u64; Reason::COUNT],
    pub(crate) actions: [u64; Action::COUNT],
}

impl Counters {
    /// Frames of one reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.index()).copied().unwrap_or_default()
    }

    /// Frames with which one thing was done.
    #[must_use]
    pub fn action(&self, action: Action) -> u64 {
        self.actions.get(action.index()).copied().unwrap_or_default()
    }

    /// Adds what another program counted.
    pub fn add(&mut self, other: &Self) {
        let mine = self.reasons.iter_mut().chain(&mut self.actions);
        for (mine, theirs) in mine.zip(other.reasons.iter().chain(&other.actions)) {
            *mine += theirs;
        }
    }

    /// All frames, counted by reason.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.reasons.iter().sum()
    }

    /// Each reason's name with its frames, zeros included, in the order of [`Reason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reason::ALL
            .iter()
            .map(|reason| (reason.as_str(), self.of(*reason)))
    }

    /// Each action's name with its frames, zeros included, in the order of [`Action::ALL`].
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Action::ALL
            .iter()
            .map(|action| (action.as_str(), self.action(*action)))
    }
}

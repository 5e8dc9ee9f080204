//! What most legs never have while they are open: the use of their dialog, diversions, a takeover, an end that was not seen.

use ringtap_identity::Diversion;

use super::{Closing, IdentityIndex, LegFacts};
use crate::hash::LegKey;
use crate::reason::ReasonLine;
use crate::tick::Tick;

/// Facts that take memory only once there is one of them.
#[derive(Clone, Debug)]
pub(crate) struct Rare {
    /// A BYE from the caller / from the callee.
    pub(crate) caller_bye: Tick,
    pub(crate) callee_bye: Tick,
    /// To-tag of the caller's BYE: the early dialog that it ends (RFC 3261 §15).
    pub(crate) caller_bye_tag: u32,
    /// A re-INVITE from the callee (A3).
    pub(crate) callee_request: Tick,
    /// The callee's tag in the callee's own request: the branch that spoke.
    pub(crate) callee_tag: u32,
    /// Latest re-INVITE, REFER or INFO in the dialog, from either side (A4).
    pub(crate) in_dialog: Tick,
    /// The 2xx of a hop that was left out.
    pub(crate) left_out_answer: Tick,
    pub(crate) diversions: Vec<Diversion>,
    /// The dialog that the INVITE takes over (K4), under either tag as the caller's: who sends Replaces may be on
    /// either side of it.
    pub(crate) replaced: Option<Box<[LegKey; 2]>>,
    /// Reason of a BYE.
    pub(crate) bye_line: ReasonLine,
    /// Who transferred the caller here (Referred-By, D51).
    pub(crate) referred_by: IdentityIndex,
    /// Hops had to be left out: a branch that answered may be one of them.
    pub(crate) overflowed: bool,
    pub(crate) closing: Closing,
}

const _: () = assert!(size_of::<Rare>() <= 64);

impl Rare {
    const NONE: Self = Self {
        caller_bye: Tick::NEVER,
        callee_bye: Tick::NEVER,
        caller_bye_tag: 0,
        callee_request: Tick::NEVER,
        callee_tag: 0,
        in_dialog: Tick::NEVER,
        left_out_answer: Tick::NEVER,
        diversions: Vec::new(),
        replaced: None,
        bye_line: ReasonLine::Plain,
        referred_by: IdentityIndex::NONE,
        overflowed: false,
        closing: Closing::Complete,
    };
}

impl LegFacts {
    pub(crate) fn rare(&self) -> &Rare {
        static NONE: Rare = Rare::NONE;
        self.rare.as_deref().unwrap_or(&NONE)
    }

    /// Why it was closed. Most legs come to their end, so that takes no memory.
    pub(crate) fn set_closing(&mut self, closing: Closing) {
        if closing != self.rare().closing {
            self.rare_mut().closing = closing;
        }
    }

    /// As [`rare`](Self::rare), to join a fact.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::NONE))
    }
}

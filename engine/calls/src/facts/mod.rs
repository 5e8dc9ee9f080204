//! What the messages of one leg have proved so far.
//!
//! A leg is everything with one Call-ID and one caller's tag (semantics.md K1). Its knowledge is a set of
//! facts, each joined by "the earliest sighting counts" or "the union counts": feeding a message twice, or
//! two messages in swapped order, gives the same facts (semantics.md §2.1, D86). Copies on several hops,
//! mirrored twice, retransmitted or late therefore need no treatment of their own.
//!
//! `hop` holds the facts of one hop transaction, `ties` what connects the leg to others, `observe` turns a message into facts, `sides`
//! tells the caller's side from the callees', `deadline` says until when the leg stays open, `rare` holds what most legs never have, `few` is a list that mostly holds one. What the facts mean is not decided here but in [`crate::verdict`].

pub(crate) mod deadline;
pub(crate) mod few;
pub(crate) mod hop;
pub(crate) mod observe;
mod rare;
mod seen;
pub(crate) mod sides;
pub(crate) mod ties;

use compact_str::CompactString;
use ringtap_identity::{CallerClaim, ClaimSource, Diversion, Identity, NameFrom, Privacy, Segment};
use ringtap_record::Time;

use crate::hash::LegKey;
use crate::nature::Nature;
use few::Few;
use hop::{Hop, ViaHash};
use rare::Rare;
pub use seen::HopSeen;
use ties::Ties;

/// Hop transactions kept of one leg. A challenged call over four segments with a three-way fork has 14, a
/// parallel group of forty phones behind one Call-ID 81.
const HOPS_MAX: usize = 96;
/// Identities kept of one leg.
pub(crate) const IDENTITIES_MAX: usize = 32;
/// Diversions kept of one leg.
pub(crate) const DIVERSIONS_MAX: usize = 16;

/// Why a leg was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Every branch came to its end.
    Complete,
    /// A timer of semantics.md §2.1 ran out before an end was seen.
    Expired,
    /// The input ended first: a known gap (D37, D89).
    EndOfInput,
    /// The leg had to make room in a full table: a known gap.
    Evicted,
}

/// The facts of one leg.
#[derive(Clone, Debug)]
pub struct LegFacts {
    /// SHA-256 over Call-ID, caller's tag and attempt (semantics.md §4.5).
    pub(crate) name: [u8; 32],
    pub(crate) base: Time,
    pub(crate) hops: Few<Hop>,
    pub(crate) identities: Few<Identity>,
    pub(crate) caller: CallerFacts,
    pub(crate) claim: ClaimFacts,
    pub(crate) nature: Nature,
    /// To, which nobody rewrites: what was dialled first, as an index into `identities`.
    pub(crate) to: IdentityIndex,
    pub(crate) ties: Ties,
    /// Something that the settler must know of while the leg is open has changed since it was last told.
    pub(crate) has_news: bool,
    /// See [`LegFacts::rare`].
    rare: Option<Box<Rare>>,
}

/// What a leg of one hop costs with what a name takes elsewhere (32 octets) and ties do where there are several (8 each), identities of up to 24
/// octets included. The memory of a million calls hangs on it, and that the allocator has a block for it that is hardly larger (one of 224; for 217 it takes one of 256): what is to
/// be added goes to [`Rare`], or something else has to leave.
const _: () = assert!(size_of::<LegFacts>() <= 216);

/// An index into a leg's identities; 255 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentityIndex(u8);

impl IdentityIndex {
    pub(crate) const NONE: Self = Self(u8::MAX);

    pub(crate) const fn is_none(self) -> bool {
        self.0 == u8::MAX
    }

    /// Where it stands among the leg's identities; beyond them if it is none.
    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// Who calls, by the claim of the best header on the best segment (semantics.md §3.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct CallerFacts {
    pub(crate) identity: Option<Identity>,
    pub(crate) name: Option<Box<CallerName>>,
}

/// How the caller is called. Many networks never say it, so it stands beside.
#[derive(Clone, Debug)]
pub(crate) struct CallerName {
    pub(crate) text: CompactString,
    pub(crate) from: NameFrom,
}

/// What is known of the claims that tell who calls: apart from [`CallerFacts`], because it would take twice as much there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClaimFacts {
    pub(crate) source: Option<(ClaimSource, u8)>,
    pub(crate) privacy: Privacy,
    pub(crate) from_anonymous: bool,
}

impl LegFacts {
    /// Joins the claim of one message: privacy and anonymity are unions, identity and name come from the
    /// best-ranked claim, the smaller text breaking ties so that order does not matter.
    pub(crate) fn join_caller(&mut self, claim: CallerClaim, segment: Segment) {
        let (caller, known) = (&mut self.caller, &mut self.claim);
        known.privacy = known.privacy.union(claim.privacy);
        known.from_anonymous |= claim.from_anonymous;
        let rank = Some((claim.source, segment.rank()));
        let better = rank > known.source || (rank == known.source && claim.identity < caller.identity);
        if claim.identity.is_some() && (caller.identity.is_none() || better) {
            caller.identity = claim.identity;
            known.source = rank;
        } else if known.source.is_none() {
            known.source = rank;
        }
        if let Some(text) = claim.name {
            let from = claim.name_source;
            let better = |known: &CallerName| {
                from > known.from || (from == known.from && text.as_str() < known.text.as_str())
            };
            if caller.name.as_deref().is_none_or(better) {
                caller.name = Some(Box::new(CallerName { text, from }));
            }
        }
    }

    /// Semantics.md §3.4: whether nothing of the caller may be shown.
    pub(crate) fn is_withheld(&self) -> bool {
        let ClaimFacts {
            source,
            privacy,
            from_anonymous,
        } = self.claim;
        let source = source.map_or(ClaimSource::From, |(source, _)| source);
        ringtap_identity::withheld(privacy, source, from_anonymous)
    }
}

/// What a dialog is known by among legs: half of its hash.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half of a 128-bit hash is a 64-bit hash"
)]
pub(crate) const fn dialog(key: LegKey) -> u64 {
    key as u64
}

/// A leg off the table. It is handed on several times, so it stands in a place of its own from then on.
pub type ClosedLeg = Box<LegFacts>;

/// A closed leg as the table gives it away.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Call-ID and caller's tag, hashed: what a Replaces names (K4). The table knows it, and so does the settler.
    pub(crate) dialog: u64,
    pub(crate) leg: ClosedLeg,
}

impl std::ops::Deref for Closed {
    type Target = LegFacts;

    fn deref(&self) -> &LegFacts {
        &self.leg
    }
}

impl std::ops::DerefMut for Closed {
    fn deref_mut(&mut self) -> &mut LegFacts {
        &mut self.leg
    }
}

impl LegFacts {
    /// A key that puts legs into the same order in every run, whichever message came first.
    #[must_use]
    pub fn order(&self) -> (Time, [u8; 32]) {
        (self.first_sign(), self.name)
    }

    /// No facts yet.
    pub(crate) fn new(name: [u8; 32], base: Time) -> Self {
        Self {
            name,
            base,
            hops: Few::None,
            identities: Few::None,
            caller: CallerFacts::default(),
            claim: ClaimFacts::default(),
            nature: Nature::default(),
            to: IdentityIndex::NONE,
            ties: Ties::default(),
            has_news: true,
            rare: None,
        }
    }

    /// The hop transaction with this key, made if it is new. When the leg holds too many, those of a lower
    /// CSeq leave first; `None` if that does not help.
    fn hop_mut(&mut self, via: ViaHash, cseq: u32) -> Option<&mut Hop> {
        let known = self
            .hops
            .iter()
            .position(|hop| hop.via == via && hop.cseq == cseq);
        let at = known.or_else(|| {
            if self.hops.len() >= HOPS_MAX {
                self.hops.retain(|hop| hop.cseq >= cseq);
            }
            if self.hops.len() >= HOPS_MAX {
                self.rare_mut().overflowed = true;
                return None;
            }
            self.hops.push(Hop::new(via, cseq));
            Some(self.hops.len() - 1)
        })?;
        self.hops.get_mut(at)
    }

    /// Something out of each line of the cache that a message is likely to want.
    pub(crate) fn first_look(&self) -> u32 {
        let hop = self.hops.iter().next();
        hop.map_or(0, |hop| hop.cseq ^ u32::from(hop.sent)) ^ u32::from(self.has_news)
    }

    /// The index of an identity, which is kept if it is new.
    pub(crate) fn remember(&mut self, identity: Identity) -> IdentityIndex {
        let at = match self.identities.iter().position(|known| *known == identity) {
            Some(at) => at,
            None if self.identities.len() < IDENTITIES_MAX => {
                self.identities.push(identity);
                self.identities.len() - 1
            }
            None => return IdentityIndex::NONE,
        };
        u8::try_from(at).map_or(IdentityIndex::NONE, IdentityIndex)
    }

    /// The first thing seen of the leg.
    pub(crate) fn first_sign(&self) -> Time {
        let hops = self.hops.iter().map(Hop::started);
        hops.min()
            .and_then(|first| first.time(self.base))
            .unwrap_or(self.base)
    }

    /// The least CSeq of its INVITEs that were captured.
    pub(crate) fn first_cseq(&self) -> Option<u32> {
        let invited = self.hops.iter().filter(|hop| hop.has(Hop::INVITE));
        invited.map(|hop| hop.cseq).min()
    }

    /// When the first of them was seen.
    pub(crate) fn first_invite(&self) -> Option<crate::tick::Tick> {
        let invites = self.hops.iter().map(|hop| hop.invite);
        invites.filter(|invite| invite.seen()).min()
    }

    /// The tag of the callee who answered, hashed; 0 if it is not known.
    pub(crate) fn callees_tag(&self) -> u32 {
        let answered = self.hops.iter().filter(|hop| hop.is_answered());
        let answered = answered.map(|hop| hop.final_tag).find(|tag| *tag != 0);
        answered.unwrap_or(self.rare().callee_tag)
    }

    /// The greatest CSeq of the caller's INVITEs, those within the dialog too. The callee's are numbered otherwise.
    pub(crate) fn callers_last_cseq(&self) -> Option<u32> {
        let is_callees = |hop: &&Hop| hop.has(Hop::IN_DIALOG) && !hop.has(Hop::CALLERS_REINVITE);
        let callers = self.hops.iter().filter(|hop| !is_callees(hop));
        callers.map(|hop| hop.cseq).max()
    }

    /// Whether no INVITE of it was captured (D80, D81, D84).
    pub(crate) fn is_partial(&self) -> bool {
        !self.hops.iter().any(|hop| hop.has(Hop::INVITE))
    }

    /// Whether an INVITE of this leg was seen.
    pub(crate) fn is_invited(&self) -> bool {
        self.hops.iter().any(|hop| hop.invite.seen())
    }

    /// Whether an INVITE of this leg was seen, and that anybody has responded. A flood rarely has both.
    pub(crate) fn is_invited_and_responded(&self) -> bool {
        let mut hops = self.hops.iter();
        self.is_invited() && hops.any(|hop| hop.first.seen() || hop.final_at.seen())
    }

    /// The identity behind an index.
    pub(crate) fn identity(&self, index: IdentityIndex) -> Option<&Identity> {
        self.identities.get(index.place())
    }

    fn remember_diversions(&mut self, found: Vec<Diversion>) {
        for diversion in found {
            let known = &mut self.rare_mut().diversions;
            if known.len() < DIVERSIONS_MAX && !known.contains(&diversion) {
                // In an order of their own: that of arrival says nothing.
                let key = |step: &Diversion| (step.from.clone(), step.to.clone(), step.cause);
                let at = known.partition_point(|known| key(known) < key(&diversion));
                known.insert(at, diversion);
            }
        }
    }
}

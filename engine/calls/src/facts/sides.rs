//! Which hops count, and on whose side they lie.

use ringtap_identity::Segment;

use super::LegFacts;
use super::hop::Hop;
use crate::rules::Rules;
use crate::tick::Tick;

/// Where the caller's side ends, as far as depth (the number of Vias) tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    /// Fewest Vias of a hop whose role is an originating one.
    originating: Option<u8>,
    /// Fewest and most Vias of all hops, and how many hops have the fewest.
    fewest: u8,
    most: u8,
    at_fewest: usize,
}

impl LegFacts {
    /// The hops that tell of the dialog-creating INVITE: neither requests within the dialog (D60; if the
    /// caller sent one, every hop with its CSeq is one) nor bare ACKs.
    pub(crate) fn invite_hops(&self) -> impl Iterator<Item = &Hop> + Clone {
        let is_reinvited = self.hops.iter().any(|hop| hop.has(Hop::CALLERS_REINVITE));
        self.hops.iter().filter(move |hop| {
            !(hop.is_bare_ack() || hop.has(Hop::IN_DIALOG) || (is_reinvited && self.is_in_dialog(hop.cseq)))
        })
    }

    /// Whether the caller sent a request within the dialog under this CSeq.
    pub(crate) fn is_in_dialog(&self, cseq: u32) -> bool {
        self.hops
            .iter()
            .any(|hop| hop.cseq == cseq && hop.has(Hop::CALLERS_REINVITE))
    }

    /// Whether a queue or an announcement answered (D52), by its own identity, by the number that was called, or
    /// by To where no INVITE was seen.
    pub(crate) fn is_queue(&self, rules: &Rules) -> bool {
        let is_one = |index| {
            self.identity(index)
                .is_some_and(|identity| rules.is_queue(identity))
        };
        rules.has_queues()
            && self.invite_hops().filter(|hop| hop.is_answered()).any(|hop| {
                is_one(hop.target) || is_one(hop.other) || (!hop.has(Hop::INVITE) && is_one(self.to))
            })
    }

    /// Whether the leg was seen where calls come into the core.
    pub(crate) fn holds_origin(&self) -> bool {
        self.invite_hops().any(|hop| hop.segment.is_originating())
    }

    /// The highest CSeq of an INVITE: the attempt that counts after challenges (D06, D09).
    pub(crate) fn last_cseq(&self) -> Option<u32> {
        self.invite_hops().map(|hop| hop.cseq).max()
    }

    pub(crate) fn sides(&self) -> Sides {
        let mut sides = Sides {
            originating: None,
            fewest: u8::MAX,
            most: 0,
            at_fewest: 0,
        };
        let cseq = self.last_cseq();
        for hop in self
            .invite_hops()
            .filter(|hop| hop.depth > 0 && Some(hop.cseq) == cseq)
        {
            if hop.segment.is_originating() {
                sides.originating = Some(sides.originating.map_or(hop.depth, |depth| depth.min(hop.depth)));
            }
            if hop.depth < sides.fewest {
                (sides.fewest, sides.at_fewest) = (hop.depth, 0);
            }
            sides.at_fewest += usize::from(hop.depth == sides.fewest);
            sides.most = sides.most.max(hop.depth);
        }
        sides
    }

    /// Whether the hop lies on the caller's side, so that what happens there is not the doing of one called
    /// phone. Where the role is unknown, depth decides: nearer to the caller than every hop of an
    /// originating role; without any such, the one hop nearest to the caller, if it leads to another that
    /// was seen or lies at least two hops before the deepest one. Several nearest ones are branches of a
    /// fork whose root is not visible.
    pub(crate) fn is_upstream(&self, hop: &Hop, sides: Sides) -> bool {
        if hop.segment != Segment::Unknown {
            return hop.segment.is_originating();
        }
        if hop.depth == 0 {
            return false;
        }
        if let Some(originating) = sides.originating {
            return hop.depth < originating;
        }
        // What forks is on the caller's side of the fork. The phone's own hop has one Via, and a phone that
        // tries again has several such.
        let children = self.children(hop);
        let is_nearest = hop.depth == sides.fewest && (sides.at_fewest == 1 || hop.depth == 1);
        children > 1 || (is_nearest && (children > 0 || sides.most >= hop.depth.saturating_add(2)))
    }

    /// How many visible hops this one leads to.
    fn children(&self, hop: &Hop) -> usize {
        self.hops
            .iter()
            .filter(|other| other.parent == hop.via && other.cseq == hop.cseq)
            .count()
    }

    /// Whether two hops carry the same branch: one leads to the other and to no third, the same phone
    /// answers them, or they reach the same contact. The contact only tells it while the hop before the
    /// deeper one was not seen: flows of one device share a contact, and so may two behind address
    /// translators.
    pub(crate) fn is_same_branch(&self, a: &Hop, b: &Hop) -> bool {
        let leads = |from: &Hop, to: &Hop| to.parent == from.via && self.children(from) == 1;
        let is_rooted = |hop: &Hop| self.hops.iter().any(|other| other.via == hop.parent);
        let same_contact = || {
            let deeper = if a.depth > b.depth { a } else { b };
            a.contact != 0 && a.contact == b.contact && a.segment != b.segment && !is_rooted(deeper)
        };
        leads(a, b) || leads(b, a) || (a.tag != 0 && a.tag == b.tag) || same_contact()
    }

    /// A bare ACK that proves an answer (A2): it has a To-tag, its branch is no INVITE's, and no non-2xx
    /// final is known that it could belong to.
    pub(crate) fn is_answer_ack(&self, ack: &Hop, sides: Sides) -> bool {
        ack.is_bare_ack()
            && ack.tag != 0
            && self.invite_hops().any(|hop| hop.cseq == ack.cseq)
            && !self.invite_hops().any(|hop| {
                hop.cseq == ack.cseq
                    && hop.is_refused()
                    && (hop.final_tag == ack.tag || (hop.final_at <= ack.ack && self.is_upstream(hop, sides)))
            })
    }

    /// The earliest proof that somebody or something answered (A1 to A4), wherever it was seen.
    pub(crate) fn answered_at(&self) -> Tick {
        let mut at = Tick::NEVER;
        for hop in self.invite_hops().filter(|hop| hop.is_answered()) {
            at.earliest(hop.final_at);
        }
        if self.hops.iter().any(Hop::is_bare_ack) {
            let sides = self.sides();
            for hop in self.hops.iter().filter(|hop| self.is_answer_ack(hop, sides)) {
                at.earliest(hop.ack);
            }
        }
        let rare = self.rare();
        at.earliest(rare.left_out_answer);
        at.earliest(rare.callee_bye);
        at.earliest(rare.callee_request);
        if self.is_answered_by_use() {
            at.earliest(rare.in_dialog);
        }
        at
    }

    /// The first BYE, whoever sent it.
    pub(crate) fn bye(&self) -> Tick {
        self.rare().caller_bye.min(self.rare().callee_bye)
    }

    /// A4: the dialog was used after its first second and ended by a BYE, while no final was ever seen.
    fn is_answered_by_use(&self) -> bool {
        let (bye, in_dialog) = (self.bye(), self.rare().in_dialog);
        if !(in_dialog.seen() && bye.seen() && bye >= in_dialog) {
            return false;
        }
        let first = self
            .invite_hops()
            .map(|hop| hop.invite.min(hop.first))
            .min()
            .unwrap_or(Tick::NEVER);
        first.seen() && in_dialog.since_ms(first) >= 1000 && !self.invite_hops().any(Hop::is_refused)
    }

    /// Whether the caller's BYE ends the attempt: it ends one early dialog (RFC 3261 §15), so not while a
    /// phone is known that answers under another tag, or that has not answered at all.
    pub(crate) fn ends_by_bye(&self) -> bool {
        if !self.rare().caller_bye.seen() {
            return false;
        }
        let bye_tag = self.rare().caller_bye_tag;
        let cseq = self.last_cseq();
        self.invite_hops()
            .filter(|hop| Some(hop.cseq) == cseq)
            .all(|hop| {
                let is_other = |tag: u32| tag != 0 && bye_tag != 0 && tag != bye_tag;
                let is_waiting =
                    hop.has(Hop::INVITE) && hop.tag == 0 && !hop.end().seen() && self.children(hop) == 0;
                !hop.has(Hop::SEVERAL_TAGS) && !is_other(hop.tag) && !is_other(hop.final_tag) && !is_waiting
            })
    }
}

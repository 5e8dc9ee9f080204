//! The verdict on one called identity.

use std::cmp::Reverse;

use compact_str::CompactString;
use ringtap_identity::{Identity, Segment};
use ringtap_record::{Outcome, Target, Time};
use smallvec::SmallVec;

use super::branch::{Branch, Seen};
use super::codes::{self, Refusal, Ruling, by};
use super::{Case, Verdict, is_unanswered_ringing};
use crate::facts::hop::Hop;
use crate::facts::{ClosedLeg, Closing};
use crate::nature::Nature;
use crate::reason::ReasonLine;

/// D21: the caller's side is cancelled "at the same time" if no later than a second after the branch.
const TOGETHER_US: i64 = 1_000_000;
/// D39: a BYE this long after the last provisional response may end an answered call.
const EARLY_BYE_MS: i64 = 3_000;
/// D36: an INVITE sent so often and so long without any response proves that nobody is there.
const UNHEARD_SENT: u8 = 3;
const UNHEARD_MS: i64 = 3_000;
/// The input ended before T_noresp, or had a gap: an INVITE sent so often and so long is near its Timer B, and nobody
/// answers the last transmission who did not answer those before.
const GIVEN_UP_SENT: u8 = 5;
const GIVEN_UP_MS: i64 = 15_000;

impl<'a> Case<'a> {
    /// Steps 3 and 4 of §2.8, for a target as if it were one user's only account; `ranked` if there are others.
    pub(super) fn verdict(&self, identity: &'a Identity, ranked: bool) -> Verdict {
        let mut own: SmallVec<[&Branch<'a>; 4]> = SmallVec::new();
        for branch in &self.paths.branches {
            if self.target_of(branch) == Some(identity) {
                own.push(branch);
            }
        }
        // Without a branch of its own a target is judged by what the caller's side shows; if that is not
        // visible either, by the branch the call went on to.
        let mut best = self.strongest(own.iter().copied());
        if best.is_none() && self.paths.upstream.is_empty() {
            best = self.strongest(self.paths.branches.iter());
        }
        let best = best.unwrap_or(&self.paths.upstream_branch);
        let diverted = self.diverted_to(identity, &own);
        let group = self.group_of(identity);
        let base = self.base(identity, &own, best);
        let ruling = self.override_base(identity, base, diverted.is_some());
        let outcome = ruling.outcome;
        // What a member came to by itself is told with `group_member = "always"` (D45, D47).
        let base = if outcome == Outcome::AnsweredElsewhere && !own.is_empty() && self.is_in_group(identity) {
            self.unanswered(best, best.line())
        } else {
            base
        };
        let is_own = !own.is_empty() || self.paths.is_originating_view();
        let ended = self.ended(best);
        Verdict {
            rank: (ranked && !own.is_empty()).then(|| evidence(best)),
            rows: (ruling.row, (base.row != ruling.row).then_some(base.row)),
            target: Target {
                identity: identity.as_str().into(),
                outcome,
                base: (base.outcome != outcome).then_some(base.outcome),
                alerted: is_own && (best.is_alerted() || own.iter().any(|branch| branch.is_alerted())),
                ring_ms: if is_own { best.ring_ms(Some(ended)) } else { 0 },
                diverted_to: diverted.flatten().map(|to| CompactString::from(to.as_str())),
                group: group.map(|group| CompactString::from(group.as_str())),
                started: best.started().min(ended),
                ended,
            },
        }
    }

    /// Of several branches the one with the best evidence, an answer before all.
    fn strongest<'b>(&self, branches: impl Iterator<Item = &'b Branch<'a>> + Clone) -> Option<&'b Branch<'a>>
    where
        'a: 'b,
    {
        let mut others = branches.clone();
        let first = others.next()?;
        if others.next().is_none() {
            return Some(first);
        }
        branches.max_by_key(|branch| (self.is_answered(branch), evidence(branch)))
    }

    /// The verdict before diversion and group rules.
    fn base(&self, identity: &Identity, own: &[&Branch<'a>], best: &Branch<'a>) -> Ruling {
        if own.iter().any(|branch| self.is_answered(branch)) {
            return if self.machine {
                by("D02", Outcome::Voicemail)
            } else {
                by("D01", Outcome::Answered)
            };
        }
        if let Some(row) = self.no_attempt() {
            return by(row, Outcome::NotACall);
        }
        // Pooling b: the Reason of a BYE that ended the attempt tells as much as a CANCEL's.
        let byes = || {
            self.call
                .legs
                .iter()
                .filter(|leg| leg.ends_by_bye())
                .map(|leg| leg.rare().bye_line)
        };
        let lines = own
            .iter()
            .map(|branch| branch.line())
            .min()
            .unwrap_or_else(|| best.line());
        let line = byes().fold(lines, ReasonLine::min);
        let was_cancelled = own.iter().any(|branch| branch.cancelled().is_some()) || byes().next().is_some();
        if was_cancelled && codes::says_elsewhere(line) {
            return by("D20, Reason lines 1 and 2", Outcome::AnsweredElsewhere);
        }
        if self.is_picked_up() {
            let by_dialog = self
                .call
                .pickup
                .as_ref()
                .is_some_and(|pickup| pickup.by.is_some());
            return by(if by_dialog { "D48" } else { "D49" }, Outcome::PickedUp);
        }
        if self.answered_at.is_some() && !self.queued {
            return self.taken_by_another(identity, own);
        }
        if self.queued && own.is_empty() {
            // The queue itself: people were tried behind it, and none took the call.
            return by("D52", Outcome::NoAnswer);
        }
        if let Some(at) = best.cancelled()
            && own.iter().any(|branch| self.is_declined_before(branch, at))
        {
            // One of the devices said no, and the others were called off.
            return by("D17, D18 on another device", Outcome::Declined);
        }
        self.unanswered(best, line)
    }

    /// Step d: somebody else took the call over, and no machine did.
    fn is_picked_up(&self) -> bool {
        let Some(pickup) = &self.call.pickup else {
            return false;
        };
        let taken = pickup.leg.answered_at().time(pickup.leg.base);
        let gave_up = self.gave_up.iter().min();
        !self.machine
            && self.answered.is_empty()
            && (self.answered_at.is_some() || gave_up.is_none_or(|gave_up| taken < Some(*gave_up)))
    }

    /// D17, D18 on this branch, no later than `at`.
    fn is_declined_before(&self, branch: &Branch<'a>, at: Time) -> bool {
        let refusal = branch.refusal().filter(|seen| seen.hop.status != 487);
        refusal.is_some_and(|seen| {
            let refused = seen.at(seen.hop.final_at);
            // A 6xx speaks for every device; after another code the others ring on, unless they are called off
            // because of it.
            let is_why = seen.hop.status >= 600 || at - refused <= TOGETHER_US;
            refused <= at.plus_us(TOGETHER_US)
                && is_why
                && self.refused(branch, seen).outcome == Outcome::Declined
        })
    }

    fn is_answered(&self, branch: &Branch<'a>) -> bool {
        let mut answered = self.answered.iter().filter_map(|at| self.paths.branches.get(*at));
        answered.any(|other| std::ptr::eq(other, branch))
    }

    /// Something answered, but no branch of this target (steps c, d and e).
    fn taken_by_another(&self, identity: &Identity, own: &[&Branch<'a>]) -> Ruling {
        if self.machine {
            return by("2.8 step d, D42", Outcome::Voicemail);
        }
        if !self.answered.is_empty() {
            // Step c. Who did not have a phone ringing was only a way to those who had.
            let diverted = self.diverted_to(identity, own).is_some();
            return if !diverted && (own.is_empty() || self.is_in_group(identity)) {
                by("2.8 step c, D45", Outcome::AnsweredElsewhere)
            } else {
                by("2.8 step c, D40", Outcome::DivertedAnswered)
            };
        }
        if self.paths.is_originating_view() {
            by("2.8 step e, only the caller's side is visible", Outcome::Answered)
        } else if self.call.legs.iter().any(|leg| leg.rare().overflowed) {
            // The branch that answered is one of those left out.
            by("2.8 step e, branches left out", Outcome::AnsweredElsewhere)
        } else {
            by("2.8 step e, D43", Outcome::DivertedUnseen)
        }
    }

    /// Step f: nobody answered; the rows of §2.4 over the best branch.
    fn unanswered(&self, branch: &Branch<'a>, line: ReasonLine) -> Ruling {
        if self.call.is_cut && self.paths.upstream.is_empty() {
            // Whoever answered may be among the legs left out.
            return by("4, legs left out", Outcome::Undetermined);
        }
        if self.may_be_of_a_dialog() {
            return by("D81, as a re-INVITE fails", Outcome::Undetermined);
        }
        if let Some(seen) = branch.refusal().filter(|seen| seen.hop.status != 487) {
            return self.refused(branch, seen);
        }
        if let Some(at) = branch.cancelled() {
            return codes::cancelled(line, branch.is_alerted())
                .unwrap_or_else(|| self.plainly_cancelled(branch, at));
        }
        if let Some(outcome) = self.early_bye(branch) {
            return codes::cancelled(line, branch.is_alerted()).unwrap_or(outcome);
        }
        if !self.gave_up.is_empty() {
            return by("D21, the branch's own CANCEL was not seen", Outcome::CallerHungUp);
        }
        if let Some(refusal) = self.refused_upstream(branch) {
            return refusal;
        }
        if branch.is_acknowledged() {
            return self.acknowledged(branch); // pooling d
        }
        self.without_end(branch)
    }

    fn refused(&self, branch: &Branch<'a>, seen: &Seen<'a>) -> Ruling {
        let hop = seen.hop;
        let is_paging = || self.call.legs.iter().any(|leg| leg.nature.has(Nature::PAGING));
        if (400..500).contains(&hop.status) && is_paging() {
            return by("D69", Outcome::NotACall);
        }
        let ended = seen.at(hop.final_at);
        // D17 compares with the 180 of the same branch, on the same hop if that shows it.
        let alerted = if hop.alert.seen() {
            Some(seen.at(hop.alert))
        } else {
            branch.alerted_at()
        };
        let refusal = Refusal {
            status: hop.status,
            q850: hop.q850,
            segment: hop.segment,
            alerted_ms: alerted.map(|alerted| (ended - alerted) / 1000),
        };
        codes::refused(
            refusal,
            i64::try_from(self.rules.timers.reject_min_ms).unwrap_or(i64::MAX),
        )
    }

    /// D21 to D24: a cancel without a telling Reason.
    fn plainly_cancelled(&self, branch: &Branch<'a>, at: Time) -> Ruling {
        let is_upstream = self.paths.is_originating_view();
        // A proxy may hold the CANCEL back until the phone has sent a 1xx (RFC 3261 §9.1): a caller who gave
        // up earlier explains it too.
        let explains = |gave_up: &Time| *gave_up - at <= TOGETHER_US;
        let network_gave_up = !is_upstream
            && !self.paths.upstream.is_empty()
            && !branch.hops.is_empty()
            && !self.gave_up.iter().any(explains);
        if network_gave_up {
            by("D22", Outcome::NoAnswer)
        } else if branch.is_alerted() {
            by("D21", Outcome::CallerHungUp)
        } else {
            by("D23", Outcome::CallerHungUp)
        }
    }

    /// D38 and D39: a BYE from the caller before any proof of an answer, and no 487 after it.
    fn early_bye(&self, branch: &Branch<'a>) -> Option<Ruling> {
        let legs = self.call.legs.iter().filter(|leg| leg.ends_by_bye());
        let bye = legs
            .filter_map(|leg| leg.rare().caller_bye.time(leg.base))
            .min()?;
        let last = branch
            .hops
            .iter()
            .filter_map(|seen| seen.hop.last.time(seen.leg.base))
            .max();
        // The 2xx of an answer so early is hardly lost with its ACK and all, unless nothing was captured then.
        let long_after =
            last.is_none_or(|last| (bye - last) / 1000 >= EARLY_BYE_MS || self.was_blind(last, bye));
        let ended_upstream = self.paths.upstream.iter().any(|seen| seen.hop.is_refused());
        Some(if long_after && !ended_upstream {
            by("D39", Outcome::Undetermined)
        } else {
            by("D38", Outcome::CallerHungUp)
        })
    }

    /// A branch without an end of its own ended when the caller's side did (D36 "or upstream final").
    fn refused_upstream(&self, branch: &Branch<'a>) -> Option<Ruling> {
        let seen = self
            .paths
            .upstream
            .iter()
            .rev()
            .find(|seen| seen.hop.is_refused())?;
        if !branch.has_response() && !branch.hops.is_empty() {
            return Some(by("D36", Outcome::Unreachable));
        }
        Some(self.refused(branch, seen))
    }

    /// Pooling d: only the ACK of a non-2xx final is known of the end.
    fn acknowledged(&self, branch: &Branch<'a>) -> Ruling {
        let only_go = self.paths.hops.iter().all(|seen| seen.hop.segment == Segment::Go);
        if branch.is_alerted() {
            by("2.2 pooling d, D28", Outcome::NoAnswer)
        } else if only_go {
            by("2.2 pooling d, GO only", Outcome::Undetermined)
        } else {
            by("2.2 pooling d", Outcome::PossiblyMissed)
        }
    }

    /// D36 and D37: a timer ran out, or the input ended. That no response came is proved by nothing but having
    /// listened: a gap behind the last INVITE is as good as the end of input. One before it proves nothing, for
    /// who had heard a response would not have sent the INVITE again.
    fn without_end(&self, branch: &Branch<'a>) -> Ruling {
        let sent = branch
            .hops
            .iter()
            .filter_map(|seen| seen.hop.invite_last.time(seen.leg.base));
        let last_sent = sent.max().unwrap_or(Time::MIN);
        let expired = self
            .call
            .legs
            .iter()
            .all(|leg| leg.rare().closing == Closing::Expired)
            && !self.was_blind(last_sent, Time::MAX);
        let terminating = branch.hops.iter().any(|seen| seen.hop.segment.is_terminating());
        let unheard = |sent: u8, ms: i64| {
            branch.hops.iter().any(|seen| {
                seen.hop.sent >= sent
                    && seen.hop.invite.seen()
                    && seen.hop.invite_last.since_ms(seen.hop.invite) >= ms
            })
        };
        let is_over = if expired {
            terminating || unheard(UNHEARD_SENT, UNHEARD_MS)
        } else {
            unheard(GIVEN_UP_SENT, GIVEN_UP_MS)
        };
        if !branch.has_response() && is_over {
            by("D36", Outcome::Unreachable)
        } else if self.was_not_taken_in() {
            by("D37, GO only", Outcome::Undetermined)
        } else {
            by("D37", Outcome::Undetermined)
        }
    }

    /// The overrides of step 4f and D44: diverted to somebody else, or nobody in the group.
    fn override_base(&self, identity: &Identity, base: Ruling, diverted: bool) -> Ruling {
        let missed = !matches!(
            base.outcome,
            Outcome::Answered
                | Outcome::AnsweredElsewhere
                | Outcome::DivertedAnswered
                | Outcome::DivertedUnseen
                | Outcome::PickedUp
                | Outcome::Voicemail
                | Outcome::NotACall
                | Outcome::Undetermined
        );
        // Whether somebody else of the group took the call shows on the caller's side only.
        let is_seen_whole = !self.paths.upstream.is_empty() || self.is_group(identity);
        if missed && diverted {
            by("2.8 step f, D44", Outcome::ForwardedUnanswered)
        } else if is_seen_whole && self.is_in_group(identity) && is_unanswered_ringing(base.outcome) {
            by("2.8 step f, D46", Outcome::GroupUnanswered)
        } else {
            base
        }
    }

    /// Where the call went from here (§2.5): by History-Info or Diversion, or by the phone's own 302. The
    /// inner `None` is a diversion whose goal is private or unknown.
    fn diverted_to(&self, identity: &Identity, own: &[&Branch<'a>]) -> Option<Option<&'a Identity>> {
        let told = self
            .diversions
            .iter()
            .find(|diversion| diversion.is_of_person() && diversion.from == *identity);
        if let Some(diversion) = told {
            return Some((!diversion.private).then_some(&diversion.to));
        }
        let redirect = own
            .iter()
            .filter_map(|branch| branch.refusal())
            .find(|seen| (300..400).contains(&seen.hop.status));
        if let Some(redirect) = redirect {
            return Some(redirect.leg.identity(redirect.hop.other));
        }
        // §2.5 source 4: the caller was told that the dialled number sends the call on.
        let is_told = self.dialled == Some(identity)
            && self
                .paths
                .upstream
                .iter()
                .any(|seen| seen.hop.has(Hop::FORWARDED));
        is_told.then_some(None)
    }

    /// Whether this target is a group's number, or was tried as a member of one (D45, D46).
    fn is_in_group(&self, identity: &Identity) -> bool {
        self.is_group(identity)
            || self.group_of(identity).is_some()
            || self.dialled.is_some_and(|dialled| self.is_group(dialled))
    }

    fn has_queue(&self) -> bool {
        self.call.legs.iter().any(|leg| leg.is_queue(self.rules))
    }

    /// A group's pilot number, or a queue's (D52).
    fn is_group(&self, identity: &Identity) -> bool {
        self.rules.is_group(identity) || (self.has_queue() && self.rules.is_queue(identity))
    }

    /// The group number through which this target was tried: its parent in History-Info without a cause,
    /// else what was dialled.
    fn group_of(&self, identity: &Identity) -> Option<&'a Identity> {
        let named = self
            .diversions
            .iter()
            .find(|diversion| diversion.to == *identity && self.is_group(&diversion.from))
            .map(|diversion| &diversion.from);
        named.or_else(|| {
            self.dialled
                .filter(|dialled| *dialled != identity && self.is_group(dialled))
        })
    }

    /// The row by which the INVITE is no call attempt to its target, or one whose failure is not told.
    pub(super) fn no_attempt(&self) -> Option<&'static str> {
        let of = |leg: &ClosedLeg| leg.nature.no_attempt(leg.holds_origin());
        // Most have no mark at all.
        let mut marked = self
            .call
            .legs
            .iter()
            .filter(|leg| leg.nature != Nature::default());
        marked.find_map(of)
    }

    /// End of the branch; of the caller's side where the branch shows none.
    fn ended(&self, branch: &Branch<'a>) -> Time {
        let answered = branch
            .hops
            .iter()
            .find(|seen| seen.hop.is_answered())
            .map(|seen| seen.at(seen.hop.final_at));
        answered
            .or_else(|| branch.ended())
            .or_else(|| self.paths.upstream_branch.ended())
            .or_else(|| self.gave_up.iter().copied().min())
            .or(self.answered_at)
            .unwrap_or_else(|| self.last_seen())
    }

    /// The last sign of life of a call whose end was not seen.
    fn last_seen(&self) -> Time {
        self.paths
            .hops
            .iter()
            .flat_map(|seen| [seen.hop.last, seen.hop.invite_last].map(|tick| tick.time(seen.leg.base)))
            .flatten()
            .max()
            .unwrap_or_else(|| {
                self.call
                    .legs
                    .iter()
                    .map(|leg| leg.base)
                    .max()
                    .unwrap_or_default()
            })
    }
}

/// How good a branch's evidence is (§2.8 step 4f). Of phones that rang later is what ended later:
/// those that are called together begin within a moment of each other, in whatever order, and the one that rang on tells how it ended.
/// (Where roles are not known, branches may be hops of one way, of which the last one to begin is nearest to the phone.) The last three
/// only break ties, so that the order in which their messages came does not show.
pub(super) type Evidence = (
    bool,
    u8,
    bool,
    Option<Time>,
    Time,
    Reverse<Option<Time>>,
    Option<Time>,
    u16,
);

fn evidence(branch: &Branch<'_>) -> Evidence {
    let status = branch.refusal().map_or(0, |seen| seen.hop.status);
    // D26: a merged request says nothing of the phone.
    let inconclusive = codes::invites_retry(status) || status == 482;
    let is_phone = branch.is_alerted() && branch.rank() >= Segment::Gj.rank();
    (
        branch.is_alerted(),
        branch.rank(),
        !inconclusive,
        branch.ended().filter(|_| is_phone),
        branch.started(),
        Reverse(branch.alerted_at()),
        branch.ended(),
        status,
    )
}

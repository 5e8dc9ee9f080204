//! The verdict on one called identity.

use std::cmp::Reverse;

use compact_str::CompactString;
use ringtap_identity::{Identity, Segment};
use ringtap_record::{Outcome, Target, Time};

use super::branch::{Branch, Seen};
use super::codes::{self, Refusal};
use super::{Case, Verdict, is_diverting, is_unanswered_ringing};
use crate::facts::Closing;
use crate::nature::Nature;
use crate::reason::ReasonLine;

/// D21: the caller's side is cancelled "at the same time" if no later than a second after the branch.
const TOGETHER_US: i64 = 1_000_000;
/// D39: a BYE this long after the last provisional response may end an answered call.
const EARLY_BYE_MS: i64 = 3_000;
/// D36: an INVITE sent so often and so long without any response proves that nobody is there.
const UNHEARD_SENT: u8 = 3;
const UNHEARD_MS: i64 = 3_000;

impl<'a> Case<'a> {
    /// Steps 3 and 4 of §2.8, for a target as if it were one user's only account.
    pub(super) fn verdict(&self, identity: &'a Identity) -> Verdict {
        let own: Vec<&Branch<'a>> = self
            .paths
            .branches
            .iter()
            .filter(|branch| self.target_of(branch) == Some(identity))
            .collect();
        let upstream = self.paths.upstream_branch();
        let strength = |branch: &&Branch<'a>| (self.is_answered(branch), evidence(branch));
        // Without a branch of its own a target is judged by what the caller's side shows; if that is not
        // visible either, by the branch the call went on to.
        let substitute = if self.paths.upstream.is_empty() {
            self.paths
                .branches
                .iter()
                .max_by_key(strength)
                .unwrap_or(&upstream)
        } else {
            &upstream
        };
        let best = own.iter().copied().max_by_key(strength).unwrap_or(substitute);
        let diverted = self.diverted_to(identity, &own);
        let group = self.group_of(identity);
        let base = self.base(identity, &own, best);
        let outcome = self.override_base(identity, base, diverted.is_some(), group.is_some());
        let is_own = !own.is_empty() || self.paths.is_originating_view();
        let ended = self.ended(best);
        Verdict {
            rank: (!own.is_empty()).then(|| evidence(best)),
            target: Target {
                identity: identity.as_str().into(),
                outcome,
                base: (base != outcome).then_some(base),
                alerted: is_own && (best.is_alerted() || own.iter().any(|branch| branch.is_alerted())),
                ring_ms: if is_own { best.ring_ms(Some(ended)) } else { 0 },
                diverted_to: diverted.flatten().map(|to| CompactString::from(to.as_str())),
                group: group.map(|group| CompactString::from(group.as_str())),
                started: best.started().min(ended),
                ended,
            },
        }
    }

    /// The verdict before diversion and group rules.
    fn base(&self, identity: &Identity, own: &[&Branch<'a>], best: &Branch<'a>) -> Outcome {
        if own.iter().any(|branch| self.is_answered(branch)) {
            return if self.machine {
                Outcome::Voicemail
            } else {
                Outcome::Answered
            }; // D01, D02
        }
        if self.is_no_attempt() {
            return Outcome::NotACall; // D50, D61, D63, D65, D66, D68, D69, D70
        }
        // Pooling b: the Reason of a BYE that ended the attempt tells as much as a CANCEL's.
        let byes = || {
            self.call
                .legs
                .iter()
                .filter(|leg| leg.ends_by_bye())
                .map(|leg| leg.bye_line)
        };
        let lines = own
            .iter()
            .map(|branch| branch.line())
            .min()
            .unwrap_or_else(|| best.line());
        let line = byes().fold(lines, ReasonLine::min);
        let was_cancelled = own.iter().any(|branch| branch.cancelled().is_some()) || byes().next().is_some();
        if was_cancelled && codes::cancelled(line, false) == Some(Outcome::AnsweredElsewhere) {
            return Outcome::AnsweredElsewhere; // D03, D20 lines 1 and 2
        }
        if self.answered_at.is_some() {
            return self.taken_by_another(identity, own);
        }
        if let Some(at) = best.cancelled()
            && own.iter().any(|branch| self.is_declined_before(branch, at))
        {
            return Outcome::Declined; // one of the devices said no, and the others were called off
        }
        self.unanswered(best, line)
    }

    /// D17, D18 on this branch, no later than `at`.
    fn is_declined_before(&self, branch: &Branch<'a>, at: Time) -> bool {
        let refusal = branch.refusal().filter(|seen| seen.hop.status != 487);
        refusal.is_some_and(|seen| {
            seen.at(seen.hop.final_at) <= at.plus_us(TOGETHER_US)
                && self.refused(branch, seen) == Outcome::Declined
        })
    }

    fn is_answered(&self, branch: &Branch<'a>) -> bool {
        let mut answered = self.answered.iter().filter_map(|at| self.paths.branches.get(*at));
        answered.any(|other| std::ptr::eq(other, branch))
    }

    /// Something answered, but no branch of this target (steps c, d and e).
    fn taken_by_another(&self, identity: &Identity, own: &[&Branch<'a>]) -> Outcome {
        if self.machine {
            return Outcome::Voicemail; // step d, D42
        }
        if !self.answered.is_empty() {
            // Step c. Who did not have a phone ringing was only a way to those who had.
            let diverted = self.diverted_to(identity, own).is_some();
            return if !diverted && (own.is_empty() || self.is_in_group(identity)) {
                Outcome::AnsweredElsewhere // D45
            } else {
                Outcome::DivertedAnswered // D40
            };
        }
        if self.paths.is_originating_view() {
            Outcome::Answered // step e
        } else if self.call.legs.iter().any(|leg| leg.overflowed) {
            Outcome::AnsweredElsewhere // the branch that answered is one of those left out
        } else {
            Outcome::DivertedUnseen // step e, D43
        }
    }

    /// Step f: nobody answered; the rows of §2.4 over the best branch.
    fn unanswered(&self, branch: &Branch<'a>, line: ReasonLine) -> Outcome {
        if self.may_be_of_a_dialog() {
            return Outcome::Undetermined;
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
            return Outcome::CallerHungUp; // D21: the branch's own CANCEL was lost
        }
        if let Some(refusal) = self.refused_upstream(branch) {
            return refusal;
        }
        if branch.is_acknowledged() {
            return self.acknowledged(branch); // pooling d
        }
        self.without_end(branch)
    }

    fn refused(&self, branch: &Branch<'a>, seen: &Seen<'a>) -> Outcome {
        let hop = seen.hop;
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
    fn plainly_cancelled(&self, branch: &Branch<'a>, at: Time) -> Outcome {
        let is_upstream = self.paths.is_originating_view();
        // A proxy may hold the CANCEL back until the phone has sent a 1xx (RFC 3261 §9.1): a caller who gave
        // up earlier explains it too.
        let explains = |gave_up: &Time| *gave_up - at <= TOGETHER_US;
        let network_gave_up = !is_upstream
            && !self.paths.upstream.is_empty()
            && !branch.hops.is_empty()
            && !self.gave_up.iter().any(explains);
        if network_gave_up {
            Outcome::NoAnswer
        } else {
            Outcome::CallerHungUp
        }
    }

    /// D38 and D39: a BYE from the caller before any proof of an answer, and no 487 after it.
    fn early_bye(&self, branch: &Branch<'a>) -> Option<Outcome> {
        let legs = self.call.legs.iter().filter(|leg| leg.ends_by_bye());
        let bye = legs.filter_map(|leg| leg.caller_bye.time(leg.base)).min()?;
        let last = branch
            .hops
            .iter()
            .filter_map(|seen| seen.hop.last.time(seen.leg.base))
            .max();
        let long_after = last.is_none_or(|last| (bye - last) / 1000 >= EARLY_BYE_MS);
        let ended_upstream = self.paths.upstream.iter().any(|seen| seen.hop.is_refused());
        Some(if long_after && !ended_upstream {
            Outcome::Undetermined
        } else {
            Outcome::CallerHungUp
        })
    }

    /// A branch without an end of its own ended when the caller's side did (D36 "or upstream final").
    fn refused_upstream(&self, branch: &Branch<'a>) -> Option<Outcome> {
        let seen = self
            .paths
            .upstream
            .iter()
            .rev()
            .find(|seen| seen.hop.is_refused())?;
        if !branch.has_response() && !branch.hops.is_empty() {
            return Some(Outcome::Unreachable); // D36
        }
        Some(self.refused(branch, seen))
    }

    /// Pooling d: only the ACK of a non-2xx final is known of the end.
    fn acknowledged(&self, branch: &Branch<'a>) -> Outcome {
        let only_go = self.paths.hops().all(|seen| seen.hop.segment == Segment::Go);
        if branch.is_alerted() {
            Outcome::NoAnswer // D28
        } else if only_go {
            Outcome::Undetermined
        } else {
            Outcome::PossiblyMissed
        }
    }

    /// D36 and D37: a timer ran out, or the input ended.
    fn without_end(&self, branch: &Branch<'a>) -> Outcome {
        let expired = self.call.legs.iter().all(|leg| leg.closing == Closing::Expired);
        let terminating = branch.hops.iter().any(|seen| seen.hop.segment.is_terminating());
        let unheard = branch.hops.iter().any(|seen| {
            seen.hop.sent >= UNHEARD_SENT
                && seen.hop.invite.seen()
                && seen.hop.invite_last.since_ms(seen.hop.invite) >= UNHEARD_MS
        });
        if expired && !branch.has_response() && (terminating || unheard) {
            Outcome::Unreachable
        } else {
            Outcome::Undetermined
        }
    }

    /// The overrides of step 4f and D44: diverted to somebody else, or nobody in the group.
    fn override_base(&self, identity: &Identity, base: Outcome, diverted: bool, in_group: bool) -> Outcome {
        let missed = !matches!(
            base,
            Outcome::Answered
                | Outcome::AnsweredElsewhere
                | Outcome::DivertedAnswered
                | Outcome::DivertedUnseen
                | Outcome::Voicemail
                | Outcome::NotACall
                | Outcome::Undetermined
        );
        let through_group = in_group
            || self.rules.is_group(identity)
            || self.dialled.is_some_and(|dialled| self.rules.is_group(dialled));
        if missed && diverted {
            Outcome::ForwardedUnanswered
        } else if through_group && is_unanswered_ringing(base) {
            Outcome::GroupUnanswered // D46
        } else {
            base
        }
    }

    /// Where the call went from here (§2.5): by History-Info or Diversion, or by the phone's own 302. The
    /// inner `None` is a diversion whose goal is private or unknown.
    fn diverted_to(&self, identity: &Identity, own: &[&Branch<'a>]) -> Option<Option<&'a Identity>> {
        let told = self
            .diversions()
            .find(|diversion| is_diverting(diversion) && diversion.from == *identity);
        if let Some(diversion) = told {
            return Some((!diversion.private).then_some(&diversion.to));
        }
        let redirect = own
            .iter()
            .filter_map(|branch| branch.refusal())
            .find(|seen| (300..400).contains(&seen.hop.status))?;
        Some(redirect.leg.identity(redirect.hop.other))
    }

    /// Whether this target is a group's number, or was tried as a member of one (D45, D46).
    fn is_in_group(&self, identity: &Identity) -> bool {
        self.rules.is_group(identity)
            || self.group_of(identity).is_some()
            || self.dialled.is_some_and(|dialled| self.rules.is_group(dialled))
    }

    /// The group number through which this target was tried: its parent in History-Info without a cause.
    fn group_of(&self, identity: &Identity) -> Option<&'a Identity> {
        self.diversions()
            .find(|diversion| diversion.to == *identity && self.rules.is_group(&diversion.from))
            .map(|diversion| &diversion.from)
    }

    fn is_no_attempt(&self) -> bool {
        self.call
            .legs
            .iter()
            .any(|leg| leg.nature.is_no_attempt() || leg.nature.has(Nature::PAGING))
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
            .or_else(|| self.paths.upstream_branch().ended())
            .or_else(|| self.gave_up.iter().copied().min())
            .or(self.answered_at)
            .unwrap_or_else(|| self.last_seen())
    }

    /// The last sign of life of a call whose end was not seen.
    fn last_seen(&self) -> Time {
        self.paths
            .hops()
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

/// How good a branch's evidence is (§2.8 step 4f). The last three only break ties between branches that
/// began together, so that the order in which their messages came does not show.
pub(super) type Evidence = (bool, u8, bool, Time, Reverse<Option<Time>>, Option<Time>, u16);

fn evidence(branch: &Branch<'_>) -> Evidence {
    let status = branch.refusal().map_or(0, |seen| seen.hop.status);
    // D26: a merged request says nothing of the phone.
    let inconclusive = codes::invites_retry(status) || status == 482;
    (
        branch.is_alerted(),
        branch.rank(),
        !inconclusive,
        branch.started(),
        Reverse(branch.alerted_at()),
        branch.ended(),
        status,
    )
}

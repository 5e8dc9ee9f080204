//! From the legs of a call to the outcome for each called identity (semantics.md §2.8 steps 1 to 4).
//!
//! A pure function of facts. `branch` gathers hops into branches, `target` decides for one called
//! identity, `codes` holds the rows that look at one branch alone. Which targets are one person's, and
//! what that person wants to hear of, is the notifier's to decide.

mod branch;
mod codes;
mod explain;
mod target;

use compact_str::CompactString;
use data_encoding::HEXLOWER;
use ringtap_identity::{Diversion, Identity, NameFrom, Segment};
use ringtap_record::{CallRecord, Caller, Explanation, Flag, NameSource, Outcome, Target, Time};
use smallvec::SmallVec;

use crate::facts::hop::Hop;
use crate::facts::{CallerFacts, Closing, LegFacts};
use crate::nature::Nature;
use crate::reason::ReasonLine;
use crate::rules::Rules;
use crate::settler::Call;
use branch::{Branch, Paths, Row, Seen};

/// Places in the list of branches.
type Places = SmallVec<[usize; 4]>;
/// Times of one kind of event, on several hops.
type Times = SmallVec<[Time; 4]>;

/// Everything about a call that the verdict on one target may need.
#[derive(Debug)]
struct Case<'a> {
    call: &'a Call,
    rules: &'a Rules,
    paths: Paths<'a>,
    /// Indices of the branches that were answered.
    answered: Places,
    /// What took the caller's side is a queue, behind which agents were tried (D52).
    queued: bool,
    /// When the first proof of an answer was seen, wherever.
    answered_at: Option<Time>,
    /// The answering party is a machine (§2.6).
    machine: bool,
    /// When the caller gave up: CANCEL, 487 or early BYE on the caller's side (pooling c).
    gave_up: Times,
    dialled: Option<&'a Identity>,
    /// Those of all legs.
    diversions: SmallVec<[&'a Diversion; 2]>,
}

/// A call's record, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is recorded.
    pub record: CallRecord,
    /// The evidence and the rules applied; empty for a call that nobody missed, unless all are explained.
    pub explanation: Explanation,
}

/// Judges a call. `None` if it is no call attempt at all (only requests within a dialog: D60, D87).
#[must_use]
pub fn judge(call: &Call, rules: &Rules, explains_all: bool) -> Option<Judged> {
    let row = Row::of(call);
    let case = Case::of(call, &row, rules);
    let first = case.paths.hops.first()?;
    let caller = caller_facts(call).and_then(|caller| caller.identity.as_ref());
    let mut called = case.targets(first.leg);
    // D62: never a missed call for the caller.
    called.retain(|identity| Some(&**identity) != caller);
    let mut verdicts: SmallVec<[Verdict; 1]> = SmallVec::new();
    for identity in &called {
        verdicts.push(case.verdict(identity, called.len() > 1));
    }
    if verdicts.len() > 1 {
        verdicts.sort_by(|a, b| {
            b.rank
                .cmp(&a.rank)
                .then_with(|| a.target.identity.cmp(&b.target.identity))
        });
    }
    let origin = call.legs.first()?;
    let started = case.started().unwrap_or(origin.base);
    let is_told = verdicts.iter().any(|verdict| {
        !verdict.target.outcome.is_no_attempt() && verdict.target.outcome != Outcome::Answered
    });
    let explanation = if explains_all || is_told {
        explain::story(call, &verdicts, started)
    } else {
        Explanation::default()
    };
    let mut targets: Vec<Target> = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        targets.push(verdict.target);
    }
    let ended = targets.iter().map(|target| target.ended).max().unwrap_or(started);
    let flags = flags(call, &case, &targets);
    let record = CallRecord {
        call: HEXLOWER.encode(&origin.name),
        // Of two capture queues the one that brings the end may be ahead of the one that brings the INVITE.
        started: started.min(ended),
        ended,
        caller: caller_of(call),
        dialled: case
            .dialled
            .map(|identity| CompactString::from(identity.as_str())),
        answered_by: case
            .answered_by()
            .map(|identity| CompactString::from(identity.as_str())),
        machine: case.machine,
        talk_ms: talk_ms(call, &case),
        // Who transfers may be the caller, so a withheld one hides it (§3.4).
        referred_by: call
            .legs
            .iter()
            .filter(|_| !is_withheld(call))
            .find_map(|leg| leg.identity(leg.rare().referred_by))
            .map(|identity| CompactString::from(identity.as_str())),
        targets,
        legs: u32::try_from(call.legs.len() + usize::from(call.pickup.is_some())).unwrap_or(u32::MAX),
        flags,
    };
    Some(Judged { record, explanation })
}

impl<'a> Case<'a> {
    fn of(call: &'a Call, row: &'a Row<'_>, rules: &'a Rules) -> Self {
        let paths = Paths::of(row);
        let answered_at = call
            .legs
            .iter()
            .filter_map(|leg| leg.answered_at().time(leg.base))
            .min();
        let answered = if answered_at.is_some() {
            answering_branches(call, &paths)
        } else {
            Answered::default()
        };
        let machine = answered_at.is_some() && is_machine(&paths, &answered, rules);
        let queued = machine && call.legs.iter().any(|leg| leg.is_queue(rules)) && !paths.branches.is_empty();
        let answered = answered.branches;
        let gave_up = gave_up(call, &paths);
        // What the caller asked for, as the segment nearest to the caller shows it.
        let dialled = paths.upstream.iter().find_map(Seen::target).or_else(|| {
            call.legs
                .iter()
                .filter(|leg| leg.is_partial())
                .find_map(|leg| leg.identity(leg.to))
        });
        let dialled = dialled.or_else(|| paths.branches.first().and_then(|branch| branch.target));
        let mut diversions = SmallVec::new();
        for leg in &call.legs {
            for diversion in &leg.rare().diversions {
                diversions.push(diversion);
            }
        }
        Self {
            call,
            rules,
            paths,
            answered,
            answered_at,
            machine,
            queued,
            gave_up,
            dialled,
            diversions,
        }
    }

    /// Step 2: identities of terminating branches, the dialled one, and those that were diverted from.
    fn targets(&self, leg: &'a LegFacts) -> SmallVec<[&'a Identity; 4]> {
        let mut targets: SmallVec<[&Identity; 4]> = SmallVec::new();
        let mut add = |identity: &'a Identity| {
            if !targets.contains(&identity) {
                targets.push(identity);
            }
        };
        for branch in &self.paths.branches {
            self.target_of(branch).into_iter().for_each(&mut add);
        }
        self.dialled.into_iter().for_each(&mut add);
        let diverting = self
            .diversions
            .iter()
            .filter(|diversion| diversion.is_of_person());
        diverting.for_each(|diversion| add(&diversion.from));
        if targets.is_empty() {
            targets.extend(leg.identity(leg.to).filter(|_| leg.is_partial()));
        }
        targets
    }

    /// The identity a branch leads to; what was dialled where no frame of the branch says it (D81).
    fn target_of(&self, branch: &Branch<'a>) -> Option<&'a Identity> {
        branch.target.or(self.dialled)
    }

    fn answered_by(&self) -> Option<&'a Identity> {
        if self.answered.is_empty()
            && let Some(pickup) = self.call.pickup.as_ref().filter(|_| !self.machine)
        {
            return pickup.picker();
        }
        let by_branch = self
            .answered
            .iter()
            .find_map(|at| self.paths.branches.get(*at))
            .and_then(|branch| self.target_of(branch));
        by_branch.or_else(|| {
            let answered = self.paths.upstream.iter().find(|seen| seen.hop.is_answered())?;
            answered.leg.identity(answered.hop.other)
        })
    }

    /// D60, D81: of the whole leg only a final was seen, and one with which a request within a dialog fails
    /// as well. Who calls again after a re-INVITE failed would be told of a call that never was; so the
    /// evidence is too thin for more than "undetermined".
    fn may_be_of_a_dialog(&self) -> bool {
        let hops = || self.paths.hops.iter().map(|seen| seen.hop);
        let only_a_final = hops().all(|hop| {
            !hop.has(Hop::INVITE) && !hop.cancel.seen() && !hop.alert.seen() && !hop.has(Hop::FORWARDED)
        });
        only_a_final
            && hops().any(Hop::is_refused)
            && hops()
                .filter(|hop| hop.is_refused())
                .all(|hop| codes::fails_within_dialogs(hop.status))
    }

    /// Pooling d: an ACK whose final was not captured on any hop is itself a known gap.
    fn lost_a_final(&self) -> bool {
        let acknowledged = self.paths.hops.iter().any(|seen| seen.hop.ack.seen());
        acknowledged && !self.paths.hops.iter().any(|seen| seen.hop.final_at.seen())
    }

    /// D37 on the access side alone: nothing shows that the network took the INVITE in, neither a response nor the next hop's
    /// copy. Anybody there can send such requests in any other's name, so alone they are no more than what an ACK on GO is
    /// to pooling d.
    fn was_not_taken_in(&self) -> bool {
        let hops = || self.paths.hops.iter();
        hops().next().is_some()
            && hops().all(|seen| {
                seen.hop.segment == Segment::Go && !seen.hop.first.seen() && !seen.hop.final_at.seen()
            })
    }

    /// Whether any number of messages may have been missed between these times, or at one of them.
    fn was_blind(&self, from: Time, until: Time) -> bool {
        let mut gaps = self.call.gaps.iter();
        gaps.any(|gap| gap.kind.is_blind() && gap.touches(from, until))
    }

    /// The first INVITE; the first sign of the call if none was captured.
    fn started(&self) -> Option<Time> {
        let invited = self
            .paths
            .hops
            .iter()
            .map(|seen| seen.at(seen.hop.invite))
            .min()
            .filter(|time| *time < Time::MAX);
        invited.or_else(|| self.paths.hops.iter().map(Seen::started).min())
    }
}

/// The branches that took the call.
#[derive(Debug, Default)]
struct Answered {
    branches: Places,
    /// A message names them; else they are those of which no end is known.
    is_proven: bool,
}

/// The branches which the proofs of §2.2 point to: a 2xx on one of their hops (A1); their To-tag in a 2xx
/// seen upstream, in the ACK of a 2xx (A2) or in the callee's own request (A3). An answer that names no
/// branch belongs to those which show no end at all: their 2xx was lost.
fn answering_branches(call: &Call, paths: &Paths<'_>) -> Answered {
    let mut tags: SmallVec<[u32; 8]> = SmallVec::new();
    for leg in &call.legs {
        if leg.hops.iter().any(Hop::is_bare_ack) {
            let sides = leg.sides();
            let acks = leg.hops.iter().filter(|hop| leg.is_answer_ack(hop, sides));
            acks.for_each(|hop| tags.push(hop.tag));
        }
        let finals = leg.invite_hops().filter(|hop| hop.is_answered());
        finals.for_each(|hop| tags.push(hop.final_tag));
        tags.push(leg.rare().callee_tag);
    }
    let of = |test: &dyn Fn(&Branch<'_>) -> bool| {
        let mut places = Places::new();
        for (at, branch) in paths.branches.iter().enumerate() {
            if test(branch) {
                places.push(at);
            }
        }
        places
    };
    let mut named = of(&|branch| branch.is_answered() || tags.iter().any(|tag| branch.has_tag(*tag)));
    // A leg of its own Call-ID that was answered names its branch by itself.
    for leg in call.legs.iter().filter(|leg| leg.answered_at().seen()) {
        let own = of(&|branch| branch.is_of(leg));
        if !own.is_empty() && !own.iter().any(|at| named.contains(at)) {
            named.extend(of(&|branch| {
                branch.is_of(leg) && !branch.has_ended() && !leg.holds_origin()
            }));
        }
    }
    let is_proven = !named.is_empty();
    let branches = if is_proven {
        named
    } else {
        of(&|branch| !branch.has_ended())
    };
    Answered { branches, is_proven }
}

/// §2.6: the answering branches lead to machines, or what answered upstream is one.
fn is_machine(paths: &Paths<'_>, answered: &Answered, rules: &Rules) -> bool {
    let is_machine = |branch: &Branch<'_>| {
        branch.has_flag(Hop::MACHINE)
            || branch.has_flag(Hop::VOICEMAIL_URI)
            || branch
                .target
                .is_some_and(|target| rules.is_machine_identity(target))
    };
    let mut branches = answered.branches.iter().filter_map(|at| paths.branches.get(*at));
    if answered.is_proven {
        return branches.all(is_machine);
    }
    branches.any(is_machine)
        || paths.upstream.iter().any(|seen| {
            let is_one = |identity: &Identity| rules.is_machine_identity(identity);
            seen.hop.has(Hop::MACHINE)
                || (seen.hop.is_answered()
                    && (seen.leg.identity(seen.hop.other).is_some_and(is_one)
                        || seen.target().is_some_and(is_one)))
        })
}

/// From the answer to the first BYE (D01), of the leg that shows both first.
fn talk_ms(call: &Call, case: &Case<'_>) -> Option<u64> {
    let answered = case.answered_at?;
    let byes = call.legs.iter().filter_map(|leg| leg.bye().time(leg.base));
    u64::try_from((byes.min()? - answered) / 1000).ok()
}

/// D49: when something that is not visible took the call, and who was called, if nothing else explains it:
/// a terminating branch is visible, none of them was answered, and whatever cancelled them gave no reason.
/// Without a visible caller's side the cancel stands for the answer.
pub(crate) fn unexplained(call: &Call, rules: &Rules) -> Option<(Time, Vec<Identity>)> {
    let row = Row::of(call);
    let case = Case::of(call, &row, rules);
    let branches = &case.paths.branches;
    let plain = branches
        .iter()
        .all(|branch| branch.cancelled().is_none() || branch.line() == ReasonLine::Plain);
    let is_open = call.pickup.is_none()
        && !branches.is_empty()
        && case.answered.is_empty()
        && !case.machine
        && case.no_attempt().is_none()
        && case.gave_up.is_empty()
        && plain;
    if !is_open {
        return None;
    }
    let at = if case.paths.upstream.is_empty() {
        // A lone 487, say, tells of no phone that rang: it must not make a real pickup ambiguous.
        let was_tried = |branch: &&Branch<'_>| {
            branch.is_alerted() || branch.hops.iter().any(|seen| seen.hop.has(Hop::INVITE))
        };
        let tried = branches.iter().filter(was_tried);
        tried.filter_map(Branch::cancelled).min()?
    } else {
        let answers = case.paths.upstream.iter().filter(|seen| seen.hop.is_answered());
        // Where the 2xx itself was lost, the proof that stands for it.
        answers
            .map(|seen| seen.at(seen.hop.final_at))
            .min()
            .or(case.answered_at)?
    };
    let called = branches.iter().filter_map(|branch| case.target_of(branch));
    Some((at, called.cloned().collect()))
}

/// The times at which the caller's side was cancelled; several hops show it a few milliseconds apart.
fn gave_up(call: &Call, paths: &Paths<'_>) -> Times {
    // Only the first hops: a proxy may call off a try of its own while the caller waits on.
    let is_first = |seen: &&Seen<'_>| {
        !paths
            .upstream
            .iter()
            .any(|other| other.hop.via == seen.hop.parent)
    };
    let mut times = Times::new();
    for seen in paths.upstream.iter().filter(is_first) {
        times.extend(seen.hop.cancel.time(seen.leg.base));
        if seen.hop.status == 487 {
            times.extend(seen.hop.final_at.time(seen.leg.base));
        }
    }
    for leg in call.legs.iter().filter(|leg| leg.ends_by_bye()) {
        times.extend(leg.rare().caller_bye.time(leg.base));
    }
    times
}

fn is_withheld(call: &Call) -> bool {
    call.legs.iter().any(|leg| leg.is_withheld())
}

/// Who called: by the best header; among equals by the leg that holds the origin, for behind a diversion others may
/// stand there (§3.3); then by the best segment.
fn caller_facts(call: &Call) -> Option<&CallerFacts> {
    let legs = call.legs.iter().enumerate();
    let known = legs.filter(|(_, leg)| leg.caller.identity.is_some());
    known
        .max_by_key(|(at, leg)| {
            let source = leg.claim.source;
            let header = source.map(|(header, _)| header);
            (header, *at == 0, source, std::cmp::Reverse(*at))
        })
        .map(|(_, leg)| &leg.caller)
        .or_else(|| call.legs.first().map(|leg| &leg.caller))
}

fn caller_of(call: &Call) -> Caller {
    if is_withheld(call) {
        return Caller {
            withheld: true,
            ..Caller::default()
        };
    }
    let Some(facts) = caller_facts(call) else {
        return Caller::default();
    };
    Caller {
        identity: facts.identity.as_ref().map(|identity| identity.as_str().into()),
        name: facts.name.as_ref().map(|name| name.text.clone()),
        name_source: match facts.name.as_ref().map(|name| name.from) {
            Some(NameFrom::Asserted) => NameSource::Asserted,
            Some(NameFrom::From) => NameSource::From,
            _ => NameSource::None,
        },
        withheld: false,
    }
}

fn flags(call: &Call, case: &Case<'_>, targets: &[Target]) -> Vec<Flag> {
    let legs = || call.legs.iter();
    let is_undetermined = targets
        .iter()
        .any(|target| target.outcome == Outcome::Undetermined);
    let partial = legs().all(|leg| leg.is_partial());
    let mut flags = Vec::new();
    for (flag, holds) in [
        (Flag::Partial, partial),
        (
            Flag::Loss,
            legs().any(|leg| matches!(leg.rare().closing, Closing::EndOfInput | Closing::Evicted))
                || !call.gaps.is_empty()
                || case.lost_a_final()
                || (is_undetermined && case.was_not_taken_in())
                || call.is_cut
                || case.may_be_of_a_dialog(),
        ),
        (
            Flag::Conference,
            legs().any(|leg| leg.nature.has(Nature::CONFERENCE)),
        ),
        (
            Flag::Psap,
            legs().any(|leg| leg.nature.has(Nature::PSAP_CALLBACK)),
        ),
        (
            Flag::Evicted,
            legs().any(|leg| leg.rare().closing == Closing::Evicted),
        ),
    ] {
        if holds {
            flags.push(flag);
        }
    }
    flags
}

/// A target's verdict.
#[derive(Debug)]
struct Verdict {
    target: Target,
    /// Where there are several: how good its evidence is; none without a branch of its own.
    rank: Option<target::Evidence>,
    /// The rule that gave the outcome, and the one that gave the base code if that is another.
    rows: (&'static str, Option<&'static str>),
}

/// Whether an outcome is one of an unanswered call in which nobody of a group took it (D46).
const fn is_unanswered_ringing(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::NoAnswer | Outcome::CallerHungUp)
}

//! Closed legs to calls to records.
//!
//! A call is a set of legs with one origin (semantics.md §4). The settler hears of every leg twice: of an open
//! one by its sketch as soon as it is there, so that a sibling that ends earlier waits for it; and of the
//! whole leg when it is closed. When the last leg of a group has closed, the group is judged.
//!
//! | module | holds |
//! |---|---|
//! | `sketch` | what has to be known of a leg to find its like |
//! | `shape` | whether a sketch is still right when its leg closes |
//! | `registry` | the legs known, and how they are found |
//! | `index` | legs by key |
//! | `multimap` | what the index stands in: some three entries of every open leg |
//! | `blocks` | where what is known of a leg stands |
//! | `group` | which legs of a neighbourhood are one call: K1 to K7, §4.1a, §4.4 |
//! | `pickup` | which call a feature code picked up: D49 |
//! | `hashed` | maps by keyed hashes |
//! | `past` | calls judged lately: late proofs, and the second net of §4.5 |

mod blocks;
pub(crate) mod group;
mod hashed;
mod index;
mod multimap;
mod past;
mod pickup;
mod registry;
mod shape;
mod sketch;
#[cfg(test)]
mod tests;

use ringtap_identity::Identity;
use ringtap_record::Time;
use smallvec::{SmallVec, smallvec};

use crate::facts::ClosedLeg;
use crate::gaps::{Gap, Gaps};
use crate::hash::HashKey;
use crate::learner::Learner;
use crate::rules::Rules;
use crate::table::{Harvest, LegTable};
use crate::verdict::{self, Judged};
use group::{Evidence, Groups, Join, group};
use past::Past;
use pickup::Pickups;
use registry::{Registry, Slot};
pub use sketch::Sketch;

/// One attempt of one caller to reach somebody: all its legs.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The one that holds the origin first, then by time.
    pub(crate) legs: SmallVec<[ClosedLeg; 1]>,
    /// By what the legs were found to belong together, as indices into `legs`.
    pub(crate) joins: Vec<Join>,
    /// Somebody else took the call over before anybody called answered it (D48, D49).
    pub(crate) pickup: Option<Takeover>,
    /// Further legs may belong to it: there were too many to look at.
    pub(crate) is_cut: bool,
    /// The known gaps in the capture that fall into it (D89), the earliest first.
    pub(crate) gaps: Vec<Gap>,
}

impl Call {
    /// The gaps that fall between the first sign and the closing of any leg. A leg whose INVITE was not captured may
    /// have begun T_ring_max earlier: no phone that rings is silent for longer. One whose INVITE was, did not begin
    /// before the capture.
    fn gaps(&self, gaps: &Gaps, rules: &Rules) -> Vec<Gap> {
        let (from, until) = self.span(rules);
        let mut found = gaps.within(from, until);
        found.retain(|gap| gap.from > Time::MIN || self.legs.iter().any(|leg| leg.is_partial()));
        found
    }

    fn span(&self, rules: &Rules) -> (Time, Time) {
        let reach_ms = i64::try_from(rules.timers.ring_max_ms).unwrap_or(i64::MAX);
        let began = self.legs.iter().map(|leg| {
            let before_ms = if leg.is_partial() { reach_ms } else { 0 };
            leg.first_sign().plus_ms(-before_ms)
        });
        let closed = self.legs.iter().map(|leg| leg.deadline(rules).at);
        (
            began.min().unwrap_or(Time::MAX),
            closed.max().unwrap_or(Time::MIN),
        )
    }
}

/// A pickup.
#[derive(Clone, Debug)]
pub(crate) struct Takeover {
    pub(crate) leg: ClosedLeg,
    /// K4, or the feature code.
    pub(crate) by: Option<Evidence>,
}

impl Takeover {
    /// Who took it, unless that is withheld.
    pub(crate) fn picker(&self) -> Option<&Identity> {
        let caller = self.leg.caller.identity.as_ref();
        caller.filter(|_| !self.leg.is_withheld())
    }
}

/// What the settler has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlerCounters {
    /// Legs taken in.
    pub legs: u64,
    /// Calls judged, those without a verdict (requests within dialogs) not counted.
    pub calls: u64,
    /// Calls of which nobody missed anything.
    pub answered: u64,
    /// Calls of more than one leg.
    pub joined: u64,
    /// Legs joined to another by nothing but time and people (K7). A network whose application servers keep
    /// a key of §4.1 has none.
    pub heuristic_joins: u64,
    /// Targets left out because a call judged before told of the same attempt (§4.5).
    pub swallowed: u64,
    /// Calls that proved an answer to another which had been judged as missed (§4.5).
    pub late_contradictions: u64,
    /// Legs that were judged without waiting for an open one, because too many waited.
    pub hurried: u64,
    /// Gaps in the capture that were told of; one that lasts counts once.
    pub gaps: u64,
    /// Calls into which such a gap falls (D89).
    pub gapped: u64,
}

/// Turns closed legs into records.
#[derive(Debug)]
pub struct Settler {
    /// What registrations told (§3.6).
    pub learner: Learner,
    keys: HashKey,
    registry: Registry,
    pickups: Pickups,
    past: Past,
    gaps: Gaps,
    /// Answered calls get an explanation too.
    explains_all: bool,
    /// Closed legs that wait for an open one, at most.
    waiting_max: usize,
    waiting: usize,
    counters: SettlerCounters,
    /// No leg is taken for a lone one without being weighed: for comparison.
    #[cfg(test)]
    is_always_weighed: bool,
    /// Legs that were not weighed.
    #[cfg(test)]
    lone: u64,
}

impl Settler {
    /// A settler of the legs of this table.
    #[must_use]
    pub fn new(table: &LegTable) -> Self {
        Self {
            learner: Learner::default(),
            keys: table.keys(),
            registry: Registry::new(),
            pickups: Pickups::default(),
            past: Past::default(),
            gaps: Gaps::default(),
            explains_all: false,
            waiting_max: table.legs_max(),
            waiting: 0,
            counters: SettlerCounters::default(),
            #[cfg(test)]
            is_always_weighed: false,
            #[cfg(test)]
            lone: 0,
        }
    }

    /// Begins with what another has learned.
    #[must_use]
    pub fn knowing(mut self, learner: Learner) -> Self {
        self.learner = learner;
        self
    }

    /// Explains answered calls too, for those who record them.
    #[must_use]
    pub const fn explaining_all(mut self, all: bool) -> Self {
        self.explains_all = all;
        self
    }

    /// Takes in what the table gave at `now`; adds the records of the calls that are settled with it.
    /// Records come in the same order in every run.
    pub fn settle(&mut self, now: Time, harvest: Harvest, rules: &Rules, records: &mut Vec<Judged>) {
        let Harvest {
            mut news,
            mut closed,
            mut registrations,
            gaps,
        } = harvest;
        for gap in gaps {
            // One that lasts is told again and again, and grows.
            self.counters.gaps += u64::from(self.gaps.add(gap));
        }
        registrations.sort_unstable();
        registrations.dedup();
        // First what was told: a leg of this harvest began no earlier than its registration.
        for registration in &registrations {
            self.learner.learn(registration, rules);
        }
        for leg in &mut closed {
            self.learner.resolve(leg);
        }
        news.sort_unstable_by_key(|sketch| sketch.order());
        closed.sort_by_cached_key(|leg| leg.order());
        for sketch in news {
            self.registry.note(sketch);
        }
        let slots: Vec<Slot> = closed
            .into_iter()
            .map(|leg| {
                self.counters.legs += 1;
                self.registry.close(leg, &self.keys, rules)
            })
            .collect();
        self.weigh_all(slots, rules, records);
        self.settle_held(now, rules, records);
        self.past.forget(now);
        let timers = &rules.timers;
        let reach_ms = timers.ring_max_ms.saturating_add(timers.noresp_gm_ms);
        self.gaps.forget(now, reach_ms, || self.registry.earliest());
    }

    /// Looks at closed legs; those of pickup codes first, for they explain others (D49).
    fn weigh_all(&mut self, mut slots: Vec<Slot>, rules: &Rules, records: &mut Vec<Judged>) {
        slots.sort_by_key(|slot| {
            let entry = self.registry.entry(*slot);
            !entry.is_some_and(|entry| entry.sketch.is_pickup())
        });
        for slot in slots {
            self.weigh(slot, rules, records);
        }
    }

    /// Settles everything: the end of input, after which a capture of other calls may come. What gaps are known is
    /// forgotten as well.
    pub fn finish(&mut self, rules: &Rules, records: &mut Vec<Judged>) {
        self.weigh_all(self.registry.closed(), rules, records);
        self.settle_held(Time::MAX, rules, records);
        self.registry.clear();
        self.past = Past::default();
        self.gaps = Gaps::default();
        self.waiting = 0;
    }

    /// Looks at a closed leg's group: judges it, or lets it wait for a leg that is still open.
    fn weigh(&mut self, slot: Slot, rules: &Rules, records: &mut Vec<Judged>) {
        if self.judge_lone(slot, rules, records) {
            return;
        }
        let mut todo = vec![slot];
        while let Some(slot) = todo.pop() {
            let entry = self.registry.entry(slot);
            if entry.is_none_or(|entry| entry.facts.is_none()) {
                continue;
            }
            let waiters = self.registry.take_waiters(slot);
            self.waiting = self.waiting.saturating_sub(waiters.len());
            todo.extend(waiters.iter().rev());
            todo.extend(self.weigh_one(slot, &waiters, rules, records));
        }
    }

    /// A closed leg that has no key in common with any other is a call of its own: it is judged at once, as weighing it
    /// would end. Most legs are. False if it has to be weighed, be it because a pickup code may be about (D49).
    fn judge_lone(&mut self, slot: Slot, rules: &Rules, records: &mut Vec<Judged>) -> bool {
        #[cfg(test)]
        if self.is_always_weighed {
            return false;
        }
        if !self.pickups.is_empty() || self.registry.open_codes() > 0 {
            return false;
        }
        let Some((sketch, facts)) = self.registry.take_lone(slot) else {
            return false;
        };
        #[cfg(test)]
        {
            self.lone += 1;
        }
        let call = Call {
            legs: smallvec![facts],
            ..Call::default()
        };
        self.judge(call, std::slice::from_ref(&sketch), rules, records);
        true
    }

    /// Gives legs that have to be looked at again.
    fn weigh_one(
        &mut self,
        slot: Slot,
        waited: &[Slot],
        rules: &Rules,
        records: &mut Vec<Judged>,
    ) -> Vec<Slot> {
        if self.pickups.holds(slot) {
            return Vec::new();
        }
        let (neighbours, is_cut) = self.registry.neighbours(slot, waited);
        for neighbour in &neighbours {
            self.registry.refine(*neighbour, &self.keys, rules);
        }
        let sketches: Vec<&Sketch> = neighbours
            .iter()
            .filter_map(|slot| Some(&self.registry.entry(*slot)?.sketch))
            .collect();
        let groups = group(&sketches, &rules.timers);
        let Some(own) = neighbours.iter().position(|other| *other == slot) else {
            return Vec::new();
        };
        // A leg that takes over a dialog goes with the leg whose dialog it is.
        let own = groups
            .takeovers
            .iter()
            .find(|(pickup, _)| *pickup == own)
            .map_or(own, |(_, taken)| *taken);
        let mut group = Group::of(&groups, own, &neighbours, &sketches);
        group.is_cut = is_cut;
        let open = group.slots().find(|slot| {
            self.registry
                .entry(*slot)
                .is_some_and(|entry| entry.facts.is_none())
        });
        if let Some(open) = open {
            if self.waiting < self.waiting_max {
                self.waiting += 1;
                self.registry.wait(open, slot);
                return Vec::new();
            }
            self.counters.hurried += 1;
        }
        self.settle_group(&group, rules, records)
    }

    /// Judges a group, or holds it back as long as a pickup may explain it (D49).
    fn settle_group(&mut self, group: &Group, rules: &Rules, records: &mut Vec<Judged>) -> Vec<Slot> {
        // A leg that came late joins a call that is held: it is weighed anew as a whole.
        let released = self.pickups.release(group);
        let open_codes = self.registry.open_codes();
        let is_code = group.legs.iter().any(|slot| {
            self.registry
                .entry(*slot)
                .is_some_and(|entry| entry.sketch.is_pickup())
        });
        if (is_code || self.pickups.may_matter(open_codes))
            && let Some(call) = group.call(|slot| self.registry.entry(slot)?.facts.clone())
            && self.pickups.take(&call, group, open_codes, rules)
        {
            return released;
        }
        let mut left = self.judge_group(group, None, rules, records);
        left.extend(released);
        left
    }

    fn settle_held(&mut self, now: Time, rules: &Rules, records: &mut Vec<Judged>) {
        for (group, code) in self.pickups.due(now, rules) {
            let code = code.and_then(|slot| self.registry.remove(slot)?.facts);
            for slot in self.judge_group(&group, code, rules, records) {
                self.weigh(slot, rules, records);
            }
        }
    }

    /// Judges a group and forgets its legs. `code` is the leg of the feature code that picked it up. Gives the
    /// legs that waited for one of the group which is still open: nobody else will wake them.
    fn judge_group(
        &mut self,
        group: &Group,
        code: Option<ClosedLeg>,
        rules: &Rules,
        records: &mut Vec<Judged>,
    ) -> Vec<Slot> {
        let legs = group.legs.len();
        let (mut removed, mut sketches) = (Vec::with_capacity(legs), Vec::with_capacity(legs));
        let mut orphans = Vec::new();
        for slot in group.slots() {
            let Some(entry) = self.registry.remove(slot) else {
                continue;
            };
            // Only an open leg that was not waited for has any left.
            orphans.extend(entry.waiters);
            if group.legs.contains(&slot) {
                sketches.push(entry.sketch);
            }
            if let Some(facts) = entry.facts {
                removed.push((slot, facts));
            }
        }
        self.waiting = self.waiting.saturating_sub(orphans.len());
        let mut take = |slot| {
            let at = removed.iter().position(|(other, _)| *other == slot)?;
            Some(removed.swap_remove(at).1)
        };
        if let Some(mut call) = group.call(&mut take) {
            if let Some(leg) = code {
                call.pickup = Some(Takeover { leg, by: None });
            }
            self.judge(call, &sketches, rules, records);
        }
        orphans
    }

    fn judge(&mut self, mut call: Call, sketches: &[Sketch], rules: &Rules, records: &mut Vec<Judged>) {
        let heuristic = call.joins.iter().filter(|join| join.by == Evidence::Heuristic);
        self.counters.heuristic_joins += u64::try_from(heuristic.count()).unwrap_or(0);
        self.counters.joined += u64::from(call.legs.len() > 1);
        if !self.gaps.is_empty() {
            call.gaps = call.gaps(&self.gaps, rules);
        }
        let Some(mut judged) = verdict::judge(&call, rules, self.explains_all) else {
            return;
        };
        self.counters.calls += 1;
        self.counters.gapped += u64::from(!call.gaps.is_empty());
        let mut prints = past::prints(sketches, &judged.record, &self.keys);
        let swallowed = self.past.swallow(sketches, &mut judged, &mut prints, rules);
        self.counters.swallowed += swallowed;
        let record = &judged.record;
        if swallowed > 0 && record.targets.is_empty() {
            return;
        }
        self.counters.late_contradictions += u64::from(self.past.contradicts(sketches, record));
        self.past.remember(sketches, record, &prints);
        if !record.is_missed_by_somebody() {
            self.counters.answered += 1;
        }
        records.push(judged);
    }

    /// The first sign of the oldest leg that is open or waits to be judged. Costs a walk over all of them.
    #[must_use]
    pub fn earliest(&self) -> Option<Time> {
        self.registry.earliest()
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> SettlerCounters {
        self.counters
    }

    /// Legs known now: open ones, and closed ones that wait.
    #[must_use]
    pub fn legs_known(&self) -> usize {
        self.registry.len()
    }
}

/// The legs of one call and those that took it over, by their slots.
#[derive(Clone, Debug)]
struct Group {
    legs: Vec<Slot>,
    takeovers: Vec<Slot>,
    /// As indices into `legs`.
    joins: Vec<Join>,
    /// Legs that may belong to it were too many to look at.
    is_cut: bool,
    /// What puts groups into the same order in every run.
    order: (Time, u64),
}

impl Group {
    fn of(groups: &Groups, own: usize, neighbours: &[Slot], sketches: &[&Sketch]) -> Self {
        let members = groups.members(own);
        let slot = |at: &usize| neighbours.get(*at).copied();
        let place = |of: usize| members.iter().position(|member| *member == of);
        Self {
            is_cut: false,
            order: members
                .first()
                .and_then(|first| sketches.get(*first))
                .map_or((Time::MAX, 0), |sketch| sketch.order()),
            legs: members.iter().filter_map(slot).collect(),
            takeovers: groups
                .takeovers
                .iter()
                .filter(|(_, taken)| members.contains(taken))
                .filter_map(|(pickup, _)| slot(pickup))
                .collect(),
            joins: groups
                .joins
                .iter()
                .filter_map(|join| {
                    Some(Join {
                        legs: (place(join.legs.0)?, place(join.legs.1)?),
                        by: join.by,
                    })
                })
                .collect(),
        }
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        self.legs.iter().chain(&self.takeovers).copied()
    }

    /// The call of this group, whose legs are all closed; `leg` gives them.
    fn call(&self, mut leg: impl FnMut(Slot) -> Option<ClosedLeg>) -> Option<Call> {
        let legs = self.legs.iter().filter_map(|slot| leg(*slot));
        let mut order: Vec<(usize, ClosedLeg)> = legs.enumerate().collect();
        // §4.5: the leg that holds the origin names the call, else the earliest.
        if order.len() > 1 {
            order.sort_by_cached_key(|(_, leg)| (!leg.holds_origin(), leg.order()));
        }
        let place = |of: usize| order.iter().position(|(at, _)| *at == of);
        let joins = self
            .joins
            .iter()
            .filter_map(|join| {
                Some(Join {
                    legs: (place(join.legs.0)?, place(join.legs.1)?),
                    by: join.by,
                })
            })
            .collect();
        // Several may have tried; the one that was answered has the call.
        let pickup = self
            .takeovers
            .iter()
            .filter_map(|slot| leg(*slot))
            .filter(|leg| leg.answered_at().seen())
            .min_by_key(|leg| leg.order())
            .map(|leg| Takeover {
                leg,
                by: Some(Evidence::Replaces),
            });
        let legs: SmallVec<_> = order.into_iter().map(|(_, leg)| leg).collect();
        (!legs.is_empty()).then_some(Call {
            legs,
            joins,
            pickup,
            is_cut: self.is_cut,
            gaps: Vec::new(),
        })
    }
}

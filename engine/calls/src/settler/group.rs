//! Which legs are one call: the keys of semantics.md §4, over the sketches of a neighbourhood.
//!
//! A pure function: legs in, groups and the reasons for them out. The strong keys (K2, K3, K5) go first, then
//! the weak ones in the order of their worth, each time the nearest pair in time before others. Two sentences
//! of §4.1a keep real attempts apart: a call has one origin, and weak evidence only gives a group what it
//! lacks.

use ringtap_config::Timers;
use smallvec::SmallVec;

use super::sketch::{Roles, Sketch};
use crate::facts::ties::TieKind;

/// By what two legs were found to be of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    /// K2: the same charging id.
    Icid,
    /// K3: the same Session-ID.
    Session,
    /// K4: one takes over a dialog of the other.
    Replaces,
    /// K5: the same value of a configured header.
    Header,
    /// §4.4: History-Info or Diversion names the other's target.
    Naming,
    /// K6: the same session description.
    Sdp,
    /// K7: same people, same time, complementary roles.
    Heuristic,
    /// §4.4: both name the same one as diverting, and neither has an origin.
    Siblings,
    /// §4.4: a leg without INVITE whose To is the other's target.
    Partial,
}

impl Evidence {
    /// For people who ask how a verdict came about.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Icid => "K2 icid-value",
            Self::Session => "K3 Session-ID",
            Self::Replaces => "K4 Replaces",
            Self::Header => "K5 configured header",
            Self::Naming => "4.4 naming",
            Self::Sdp => "K6 SDP",
            Self::Heuristic => "K7 same people and time",
            Self::Siblings => "4.4 same diverting number",
            Self::Partial => "4.4 To of a partial leg",
        }
    }
}

/// Two legs and what joined them, as indices into the neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) legs: (usize, usize),
    pub(crate) by: Evidence,
}

/// The groups of a neighbourhood.
#[derive(Debug)]
pub(crate) struct Groups {
    /// For each leg the first leg of its group.
    parent: Vec<usize>,
    /// For each first leg of a group, the roles of all its legs.
    roles: Vec<Roles>,
    /// Legs that take over a dialog of another leg: the pickup, and whose dialog it is (K4). They are no
    /// part of the group, for each has an origin of its own.
    pub(crate) takeovers: Vec<(usize, usize)>,
    pub(crate) joins: Vec<Join>,
}

impl Groups {
    fn root(&self, leg: usize) -> usize {
        let mut at = leg;
        while let Some(parent) = self.parent.get(at).filter(|parent| **parent != at) {
            at = *parent;
        }
        at
    }

    fn roles(&self, leg: usize) -> Roles {
        self.roles.get(self.root(leg)).copied().unwrap_or_default()
    }

    fn are_joined(&self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    fn join(&mut self, a: usize, b: usize, by: Evidence) {
        let (a_root, b_root) = (self.root(a), self.root(b));
        let (first, second) = (a_root.min(b_root), a_root.max(b_root));
        let roles = self.roles(a).union(self.roles(b));
        if let Some(parent) = self.parent.get_mut(second) {
            *parent = first;
        }
        if let Some(place) = self.roles.get_mut(first) {
            *place = roles;
        }
        self.joins.push(Join { legs: (a, b), by });
    }

    /// The legs of one leg's group, in order.
    pub(crate) fn members(&self, leg: usize) -> Vec<usize> {
        (0..self.parent.len())
            .filter(|other| self.are_joined(leg, *other))
            .collect()
    }
}

/// Sorts the legs of a neighbourhood into groups. `legs` must be in the order of [`Sketch::order`], so that
/// the same legs always give the same groups.
pub(crate) fn group(legs: &[&Sketch], timers: &Timers) -> Groups {
    let mut groups = Groups {
        parent: (0..legs.len()).collect(),
        roles: legs.iter().map(|leg| leg.roles()).collect(),
        takeovers: takeovers(legs),
        joins: Vec::new(),
    };
    if legs.len() < 2 {
        return groups;
    }
    join_by_ties(legs, timers, &mut groups);
    let weak: [(Evidence, Weigh); 5] = [
        (Evidence::Naming, naming),
        (Evidence::Sdp, same_sdp),
        (Evidence::Heuristic, heuristic),
        (Evidence::Siblings, siblings),
        (Evidence::Partial, partial),
    ];
    for (by, weigh) in weak {
        join_nearest(legs, timers, &mut groups, by, weigh);
    }
    groups
}

/// K4. Who takes a dialog over is no caller of the one whose dialog it is.
fn takeovers(legs: &[&Sketch]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, leg) in legs.iter().enumerate() {
        let keys = leg.takes_over();
        let taken = legs
            .iter()
            .enumerate()
            .find(|(other, taken)| *other != at && keys.contains(&taken.dialog));
        found.extend(taken.map(|(taken, _)| (at, taken)));
    }
    found
}

/// Legs that ask for somebody else's call belong to that call by K4 or D49 alone.
fn is_apart(leg: &Sketch) -> bool {
    !leg.takes_over().is_empty() || leg.is_pickup()
}

/// K2, K3, K5.
fn join_by_ties(legs: &[&Sketch], timers: &Timers, groups: &mut Groups) {
    for kind in [TieKind::Icid, TieKind::Session, TieKind::Header] {
        for (b, late) in legs.iter().enumerate() {
            for (a, early) in legs.iter().enumerate().take(b) {
                let tied = early.ties().any(|tie| tie.kind() == kind && late.has_tie(tie));
                if !tied
                    || groups.are_joined(a, b)
                    || is_apart(early)
                    || is_apart(late)
                    || !early.overlaps(late, timers.successor_ms)
                {
                    continue;
                }
                let one_origin = !groups.roles(a).share_origin(groups.roles(b));
                let (allowed, by) = match kind {
                    // Degenerate values exist: a constant one ties strangers (K2).
                    TieKind::Icid => (one_origin && !early.is_other_caller(late), Evidence::Icid),
                    // Exempt from §4.1a: it is the originator's own, end to end.
                    TieKind::Session => (true, Evidence::Session),
                    _ => (one_origin, Evidence::Header),
                };
                if allowed {
                    groups.join(a, b, by);
                }
            }
        }
    }
}

/// How far apart two legs are in time that fit each other, in microseconds; `None` if they do not fit.
type Weigh = fn(&Sketch, &Sketch, &Timers) -> Option<i64>;

/// Joins pairs that fit, the nearest first, as long as each only gives the other what it lacks (§4.1a).
fn join_nearest(legs: &[&Sketch], timers: &Timers, groups: &mut Groups, by: Evidence, weigh: Weigh) {
    let mut pairs: SmallVec<[(i64, usize, usize); 8]> = SmallVec::new();
    for (a, one) in legs.iter().enumerate() {
        for (b, other) in legs.iter().enumerate() {
            if a != b
                && !is_apart(one)
                && !is_apart(other)
                && let Some(distance_us) = weigh(one, other, timers)
            {
                pairs.push((distance_us, a, b));
            }
        }
    }
    pairs.sort_unstable();
    // Whoever is named in History-Info is named by one call: the nearest (§4.4, candidate choice).
    let mut named: SmallVec<[usize; 8]> = SmallVec::new();
    for (_, a, b) in pairs {
        let is_spent = by == Evidence::Naming && named.contains(&a);
        let is_redial = || by == Evidence::Siblings && share_target(legs, groups, a, b);
        if !is_spent
            && !groups.are_joined(a, b)
            && permits(by, groups.roles(a), groups.roles(b))
            && !is_redial()
        {
            groups.join(a, b, by);
            named.push(a);
        }
    }
}

/// Whether both groups ring the same phone: then one is a redial (§4.3).
fn share_target(legs: &[&Sketch], groups: &Groups, a: usize, b: usize) -> bool {
    let targets = |of: usize| -> Vec<u64> {
        let members = groups.members(of);
        let legs = members.iter().filter_map(|leg| legs.get(*leg));
        legs.flat_map(|leg| leg.targets().iter().copied()).collect()
    };
    let of_a = targets(a);
    targets(b).iter().any(|target| of_a.contains(target))
}

/// What weak evidence may do: `a` is the leg that the evidence speaks of first (the named leg, the caller's
/// side, the partial leg).
const fn permits(by: Evidence, a: Roles, b: Roles) -> bool {
    match by {
        Evidence::Naming => !a.has_origin(),
        Evidence::Siblings => !a.has_origin() && !b.has_origin(),
        Evidence::Heuristic => !a.has_end() && !b.has_origin(),
        Evidence::Partial => a.are_disjoint(b) && !(a.has_origin() && b.has_origin()),
        _ => {
            let gives_origin = a.has_origin() != b.has_origin();
            let gives_end = a.has_end() != b.has_end();
            !(a.has_origin() && b.has_origin()) && (gives_origin || gives_end)
        }
    }
}

/// §4.4: `leg` has no origin and names, above itself, a target of `other`: after that target's branch (in
/// sequence) or beside it (in parallel).
fn naming(leg: &Sketch, other: &Sketch, timers: &Timers) -> Option<i64> {
    if leg.roles().has_origin() || !leg.is_same_caller(other) || !follows(leg, other, timers) {
        return None;
    }
    let named = |target: &u64| leg.named().contains(target);
    if !other.targets().iter().any(named) {
        return None;
    }
    let in_parallel = (leg.start - other.start).abs();
    let in_sequence = other
        .ends()
        .filter(|(target, _)| named(target))
        .map(|(_, end)| (leg.start - end).abs());
    in_sequence.chain([in_parallel]).min()
}

/// Two members of a group, or a diverting target and its successor, of which the origin is not visible.
fn siblings(leg: &Sketch, other: &Sketch, timers: &Timers) -> Option<i64> {
    let common = leg.named().iter().any(|named| other.named().contains(named));
    (common && leg.is_same_caller(other) && follows(leg, other, timers))
        .then(|| (leg.start - other.start).abs())
}

/// The lifetimes overlap (plus T_successor), and `leg` does not start before `other` does.
fn follows(leg: &Sketch, other: &Sketch, timers: &Timers) -> bool {
    leg.start.plus_us(micros(timers.reorder_ms)) >= other.start && leg.overlaps(other, timers.successor_ms)
}

/// K6: the offers are the same, and the lifetimes overlap, for ports are used again. Constant descriptions
/// exist, so the people must not contradict.
fn same_sdp(leg: &Sketch, other: &Sketch, _: &Timers) -> Option<i64> {
    let is_same = leg
        .ties()
        .any(|tie| tie.kind() == TieKind::Sdp && other.has_tie(tie));
    let fits = is_same
        && !leg.is_other_caller(other)
        && leg
            .callees()
            .iter()
            .any(|callee| other.callees().contains(callee))
        && leg.overlaps(other, 0);
    fits.then(|| (leg.start - other.start).abs())
}

/// K7: `leg` is the caller's side and `other` the called one's.
fn heuristic(leg: &Sketch, other: &Sketch, timers: &Timers) -> Option<i64> {
    let fits = leg.roles().complement(other.roles())
        && leg.is_same_caller(other)
        && leg
            .callees()
            .iter()
            .any(|callee| other.callees().contains(callee))
        && !differ_in_session(leg, other);
    let after_us = other.start - leg.start;
    // Of a partial leg the start is unknown (§4.2 rule 2).
    let in_time = if leg.is_partial() || other.is_partial() {
        leg.overlaps(other, 0)
    } else {
        (-micros(timers.reorder_ms)..=micros(timers.leg_ms)).contains(&after_us)
            && leg.until().plus_us(micros(timers.reorder_ms)) >= other.start
    };
    (fits && in_time).then_some(after_us.abs())
}

/// §4.2 rule 5: both have a Session-ID, and not the same.
fn differ_in_session(leg: &Sketch, other: &Sketch) -> bool {
    let of = |sketch: &Sketch| sketch.ties().find(|tie| tie.kind() == TieKind::Session);
    of(leg).zip(of(other)).is_some_and(|(a, b)| a != b)
}

/// §4.4, last sentence: no INVITE of `leg` was captured, and its To is a target of `other`.
fn partial(leg: &Sketch, other: &Sketch, _: &Timers) -> Option<i64> {
    let fits = leg.is_partial()
        && leg.is_same_caller(other)
        && leg.to().is_some_and(|to| other.targets().contains(&to))
        && leg.overlaps(other, 0);
    fits.then(|| (leg.start - other.start).abs())
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 1000).saturating_mul(1000)
}

//! Which call comes when, and that what must come of it is well-defined.
//!
//! Calls arrive at Poisson times. Whoever did not get through calls again within seconds, or somebody else does
//! from the same number meanwhile. Two things would leave open what is right, and are kept apart here:
//! a call of several Call-IDs beside another of the same two people (semantics.md §4.2 and §4.4 may take either for
//! the other's part), and a pickup by feature code within a fraction of a second of another call that it might
//! explain (D49).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use fastrand::Rng;

use super::Options;
use super::calls::{KINDS, Kind, Nature};
use super::office::Office;
use super::scene::{MS, Missed, Pair, S, Scene, Written};

/// A pickup by feature code is this far from everything else that it might explain: more than twice the
/// distance to its own call, jitter included.
const PICKUP_APART: i64 = 200 * MS;
/// Before and after a call of several Call-IDs the two people do not speak for this long: above the timers of
/// §2.1 by which legs are joined.
const JOINED_APART: i64 = 6 * S;
/// How often the dice are cast before another kind is taken.
const TRIES: u32 = 20;

/// The kinds that are in the mix.
pub(super) fn kinds(mix: &[String]) -> Vec<&'static Kind> {
    let wanted =
        |kind: &&Kind| mix.is_empty() || mix.iter().any(|start| kind.name.starts_with(start.as_str()));
    KINDS.iter().filter(wanted).collect()
}

/// The next call.
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) start_us: i64,
    pub(super) written: Written,
    /// Names the call's Call-IDs and tags; no other call has it.
    pub(super) salt: u64,
}

pub(super) struct Plan<'o> {
    office: &'o Office,
    kinds: Vec<&'static Kind>,
    random: Rng,
    seed: u64,
    cps: f64,
    wanted: u64,
    made: u64,
    arrival_us: i64,
    /// Calls that follow from others: start, a number for the order, and what.
    agenda: BinaryHeap<Reverse<(i64, u64)>>,
    follow_ups: HashMap<u64, (Pair, &'static Kind)>,
    next_follow_up: u64,
    /// When two people speak, and whether over several Call-IDs.
    pairs: HashMap<(String, String), Vec<Window>>,
    pickable: BTreeSet<i64>,
    pickups: BTreeSet<i64>,
}

#[derive(Clone, Copy)]
struct Window {
    from_us: i64,
    to_us: i64,
    joined: bool,
}

impl<'o> Plan<'o> {
    pub(super) fn new(office: &'o Office, options: &Options) -> Self {
        Self {
            office,
            kinds: kinds(&options.mix),
            random: Rng::with_seed(options.seed),
            seed: options.seed,
            cps: options.cps,
            wanted: options.calls,
            made: 0,
            arrival_us: 0,
            agenda: BinaryHeap::new(),
            follow_ups: HashMap::new(),
            next_follow_up: 0,
            pairs: HashMap::new(),
            pickable: BTreeSet::new(),
            pickups: BTreeSet::new(),
        }
    }

    /// No later call begins before this; none at all if there is none to come.
    pub(super) fn next_start(&self) -> Option<i64> {
        if self.made >= self.wanted {
            return None;
        }
        let follow_up = self.agenda.peek().map(|Reverse((at, _))| *at);
        Some(follow_up.map_or(self.arrival_us, |at| at.min(self.arrival_us)))
    }

    pub(super) fn next(&mut self) -> Option<Planned> {
        let now = self.next_start()?;
        self.forget(now);
        let number = self.made;
        self.made += 1;
        let follow_up = match self.agenda.peek() {
            Some(Reverse((at, key))) if *at <= now => {
                let key = *key;
                self.agenda.pop();
                self.follow_ups.remove(&key)
            }
            _ => {
                let gap_s = -(1.0 - self.random.f64()).ln() / self.cps;
                self.arrival_us += (gap_s * 1e6) as i64;
                None
            }
        };
        let redial = follow_up.and_then(|(pair, kind)| self.cast_once(kind, Some(pair), now));
        let (kind, start_us, written) = redial.unwrap_or_else(|| self.cast(now));
        self.enter(kind, start_us, &written);
        self.call_again(kind, start_us, &written);
        Some(Planned {
            number,
            start_us,
            written,
            salt: self.seed.wrapping_mul(0x9e37_79b9) << 32 | (number + 1),
        })
    }

    /// A call of any kind that stands well beside those that are on their way.
    fn cast(&mut self, now: i64) -> (&'static Kind, i64, Written) {
        loop {
            let kind = self.draw();
            for _ in 0..TRIES {
                if let Some(cast) = self.cast_once(kind, None, now) {
                    return cast;
                }
            }
        }
    }

    fn draw(&mut self) -> &'static Kind {
        let total: u32 = self.kinds.iter().map(|kind| kind.weight).sum();
        let mut drawn = self.random.u32(..total);
        for kind in &self.kinds {
            match drawn.checked_sub(kind.weight) {
                Some(rest) => drawn = rest,
                None => return kind,
            }
        }
        self.kinds[0]
    }

    fn cast_once(
        &mut self,
        kind: &'static Kind,
        pair: Option<Pair>,
        now: i64,
    ) -> Option<(&'static Kind, i64, Written)> {
        let mut scene = Scene::new(self.office, self.random.fork(), pair);
        (kind.write)(&mut scene);
        let written = scene.finish(kind.name);
        if !self.pairs_permit(kind, now, &written) {
            return None;
        }
        // A call may wait a little until no pickup would be ambiguous.
        let start_us = (0..50)
            .map(|wait| now + wait * 100 * MS)
            .find(|start_us| self.pickups_permit(*start_us, &written))?;
        Some((kind, start_us, written))
    }

    fn pairs_permit(&self, kind: &Kind, start_us: i64, written: &Written) -> bool {
        let joined = kind.nature == Nature::Joined;
        let from_us = start_us - JOINED_APART;
        // It may still be put off.
        let to_us = start_us + written.lasts_us + JOINED_APART + 5 * S;
        pairs_of(written).all(|pair| {
            let windows = self.pairs.get(&pair).map(Vec::as_slice).unwrap_or_default();
            windows
                .iter()
                .all(|window| window.to_us < from_us || window.from_us > to_us || !(joined || window.joined))
        })
    }

    fn pickups_permit(&self, start_us: i64, written: &Written) -> bool {
        let free = |taken: &BTreeSet<i64>, at_us: i64| {
            taken
                .range(at_us - PICKUP_APART..=at_us + PICKUP_APART)
                .next()
                .is_none()
        };
        let pickups = written.pickups.iter().map(|at_us| start_us + at_us);
        let pickable = written.pickable.iter().map(|at_us| start_us + at_us);
        pickups
            .clone()
            .chain(pickable)
            .all(|at_us| free(&self.pickups, at_us))
            && { pickups }.all(|at_us| free(&self.pickable, at_us))
    }

    fn enter(&mut self, kind: &Kind, start_us: i64, written: &Written) {
        let window = Window {
            from_us: start_us,
            to_us: start_us + written.lasts_us,
            joined: kind.nature == Nature::Joined,
        };
        for pair in pairs_of(written) {
            self.pairs.entry(pair).or_default().push(window);
        }
        self.pickable
            .extend(written.pickable.iter().map(|at_us| start_us + at_us));
        self.pickups
            .extend(written.pickups.iter().map(|at_us| start_us + at_us));
    }

    /// Whoever did not get through may call again, and somebody else from the same number meanwhile.
    fn call_again(&mut self, kind: &Kind, start_us: i64, written: &Written) {
        let [Missed { account: callee, .. }] = &written.missed[..] else {
            return;
        };
        if kind.nature != Nature::Redialled {
            return;
        }
        let lasts_us = written.lasts_us;
        let wait_us = match self.random.u32(..100) {
            0..25 => lasts_us + self.random.i64(2 * S..20 * S),
            25..30 if lasts_us > 4 * S => self.random.i64(S..lasts_us - 2 * S),
            _ => return,
        };
        let again = ["abandoned", "abandoned", "busy", "answered", "no-answer-as-timer"];
        let name = again[self.random.usize(..again.len())];
        let Some(kind) = self.kinds.iter().find(|kind| kind.name == name) else {
            return;
        };
        let pair = Pair {
            caller: written.caller.clone(),
            callee: callee.clone(),
            private: written.private,
        };
        self.next_follow_up += 1;
        self.agenda
            .push(Reverse((start_us + wait_us, self.next_follow_up)));
        self.follow_ups.insert(self.next_follow_up, (pair, kind));
    }

    fn forget(&mut self, now: i64) {
        let past = now - 60 * S;
        self.pickable = self.pickable.split_off(&past);
        self.pickups = self.pickups.split_off(&past);
        if self.made.is_multiple_of(4096) {
            self.pairs.retain(|_, windows| {
                windows.retain(|window| window.to_us > past);
                !windows.is_empty()
            });
        }
    }
}

fn pairs_of(written: &Written) -> impl Iterator<Item = (String, String)> {
    let caller = written.caller.clone();
    let others = written
        .case
        .legs
        .iter()
        .map(|leg| (leg.caller.clone(), leg.callee.clone()));
    let called = written
        .called
        .iter()
        .map(move |callee| (caller.clone(), callee.clone()));
    called.chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a pickup that could explain the end of another call.
    #[test]
    fn pickups_stand_alone() {
        let options = Options {
            calls: 400,
            users: 200,
            cps: 20.0,
            mix: ["pickup-code", "answered-unseen", "voicemail"]
                .map(str::to_owned)
                .to_vec(),
            ..Options::default()
        };
        let office = Office::new(options.users, 1);
        let mut plan = Plan::new(&office, &options);
        let (mut pickups, mut others) = (Vec::new(), Vec::new());
        while let Some(planned) = plan.next() {
            pickups.extend(planned.written.pickups.iter().map(|at| planned.start_us + at));
            others.extend(planned.written.pickable.iter().map(|at| planned.start_us + at));
        }
        assert!(pickups.len() > 10 && others.len() > 100);
        for (index, pickup) in pickups.iter().enumerate() {
            let mut near = others.iter().chain(&pickups[..index]);
            assert!(near.all(|other| (other - pickup).abs() > 200_000));
        }
    }
}

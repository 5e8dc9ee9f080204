//! What the settler has to know of a leg to find the legs it belongs to: hashes, roles and times.
//!
//! The table tells a sketch of each leg while that is open, whenever it has changed; of a closed leg the
//! settler makes it itself. A sketch is small and plain, so that whole groups can be weighed at once.

use ringtap_identity::{Identity, Segment};
use ringtap_record::Time;
use smallvec::SmallVec;

use super::shape::Shape;
use crate::facts::hop::Hop;
use crate::facts::ties::{TIES_MAX, Tie};
use crate::facts::{self, DIVERSIONS_MAX, IDENTITIES_MAX, IdentityIndex, LegFacts};
use crate::hash::HashKey;
use crate::nature::Nature;
use crate::rules::Rules;
use crate::tick::Tick;

/// What stands for every caller who asks for privacy.
const ANONYMOUS: u64 = 0x616e_6f6e_796d_6f75;

/// The segments on which a leg was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles(u8);

impl Roles {
    const ORIGINATING: u8 = Self::bit(Segment::Go) | Self::bit(Segment::Mo) | Self::bit(Segment::Gi);
    const TERMINATING: u8 = Self::bit(Segment::Mt) | Self::bit(Segment::Gt) | Self::bit(Segment::Gj);

    const fn bit(segment: Segment) -> u8 {
        match segment {
            Segment::Unknown => 0,
            known => 1 << (known as u8),
        }
    }

    pub(crate) const fn add(&mut self, segment: Segment) {
        self.0 |= Self::bit(segment);
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has_origin(self) -> bool {
        self.0 & Self::ORIGINATING != 0
    }

    pub(crate) const fn has_end(self) -> bool {
        self.0 & Self::TERMINATING != 0
    }

    /// §4.1a: both show the same originating role.
    pub(crate) const fn share_origin(self, other: Self) -> bool {
        self.0 & other.0 & Self::ORIGINATING != 0
    }

    pub(crate) const fn are_disjoint(self, other: Self) -> bool {
        self.0 & other.0 == 0
    }

    /// §4.2 rule 3: one shows only the caller's side, the other only the called one's.
    pub(crate) const fn complement(self, other: Self) -> bool {
        self.has_origin() && !self.has_end() && other.has_end() && !other.has_origin()
    }
}

/// A leg in brief. One is kept of every open leg, so it holds nothing twice that can be told otherwise.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// Call-ID and caller's tag, hashed.
    pub(crate) dialog: u64,
    /// The first octets of the leg's name: the same in every run, so they break ties.
    pub(crate) name: u64,
    /// First INVITE, else first sign.
    pub(crate) start: Time,
    /// Hash of the caller's identity, be it withheld or not; 0 if it is not known.
    pub(crate) caller: u64,
    /// Of what it was made.
    shape: Shape,
    words: Words,
}

/// With 8 octets a word where there are more than two. A leg of a network that keeps every key of §4.1 has some six.
const _: () = assert!(size_of::<Sketch>() <= 72);

/// What stands in the words, and what is either so or not.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// How many there are of each. Targets are the first of the callees.
    ties: u8,
    targets: u8,
    callees: u8,
    named: u8,
    roles: Roles,
    flags: u8,
}

impl Marks {
    /// The caller asked for privacy: other legs may show no identity.
    const ANONYMOUS: u8 = 1;
    /// No INVITE was captured. To is among the words.
    const PARTIAL: u8 = 1 << 1;
    /// D49: it asks for a colleague's call.
    const PICKUP: u8 = 1 << 2;
    /// K4: it takes a dialog over, whose two hashes are among the words.
    const TAKES_OVER: u8 = 1 << 3;
    /// The leg was closed, and when the attempt ended is among the words.
    const ENDED: u8 = 1 << 4;

    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    const fn mark(&mut self, flag: u8, is: bool) {
        if is {
            self.flags |= flag;
        }
    }
}

/// Ties, callees, named ones; the dialog that is taken over; To; the end of the attempt; then ends: two words each.
#[derive(Clone, Debug)]
enum Words {
    /// Just in place: what is not used is 0.
    Few(Marks, [u64; 2]),
    /// Just as many as there are.
    Many(Marks, Box<[u64]>),
}

impl Words {
    const fn marks(&self) -> Marks {
        match self {
            Self::Few(marks, _) | Self::Many(marks, _) => *marks,
        }
    }

    const fn all(&self) -> &[u64] {
        match self {
            Self::Few(_, words) => words,
            Self::Many(_, words) => words,
        }
    }
}

// How many of each set there are is told in an octet. The greatest: identities, and both sides of diversions.
const _: () = assert!(2 + IDENTITIES_MAX + 2 * DIVERSIONS_MAX <= u8::MAX as usize);
const _: () = assert!(TIES_MAX < 2 + IDENTITIES_MAX);

/// Sets of hashes while a sketch is made.
#[derive(Default)]
struct Sets {
    /// How many of the callees are targets: the first.
    targets: usize,
    callees: SmallVec<[u64; 4]>,
    named: SmallVec<[u64; 4]>,
    taken: Option<[u64; 2]>,
    to: u64,
    until: Option<Time>,
    ends: SmallVec<[(u64, Time); 2]>,
}

impl Sketch {
    /// The sketch of a leg as it is known now.
    pub(crate) fn of(leg: &LegFacts, dialog: u64, keys: &HashKey, rules: &Rules, is_open: bool) -> Self {
        let hash = |identity: &Identity| keys.identity(identity.as_str());
        // Each once: several hops lead to the same one.
        let mut hashes: SmallVec<[u64; 4]> = SmallVec::new();
        for identity in &*leg.identities {
            hashes.push(hash(identity));
        }
        let hash_at = |index: IdentityIndex| hashes.get(index.place()).copied();
        let at = |tick: Tick| tick.time(leg.base);
        let (mut sets, mut shape) = (Sets::default(), Shape::of(leg));
        let (mut roles, mut is_partial, mut start) = (Roles::default(), true, Time::MAX);
        // A queue's caller is there until the BYE; where none was seen, for as long as anybody may know.
        let mut last = leg.is_queue(rules).then(|| at(leg.bye()).unwrap_or(Time::MAX));
        for hop in leg.invite_hops() {
            roles.add(hop.segment);
            shape.add(hop);
            is_partial &= !hop.has(Hop::INVITE);
            if let Some(invite) = at(hop.invite) {
                start = start.min(invite);
            }
            let end = at(hop.end());
            last = last.max(end);
            if let Some(target) = hash_at(hop.target) {
                add(&mut sets.callees, target);
                if let Some(end) = end.filter(|_| !hop.segment.is_originating()) {
                    sets.ends.push((target, end));
                }
            }
        }
        if start == Time::MAX {
            start = leg.first_sign();
        }
        sets.targets = sets.callees.len();
        sets.add_to(hash_at(leg.to).unwrap_or(0), is_partial);
        for diversion in &leg.rare().diversions {
            add(&mut sets.named, hash(&diversion.from));
            add(&mut sets.callees, hash(&diversion.from));
            add(&mut sets.callees, hash(&diversion.to));
        }
        sets.until = (!is_open).then(|| last.unwrap_or(start));
        sets.taken = leg
            .rare()
            .replaced
            .as_ref()
            .map(|either| either.map(facts::dialog));
        let mut marks = Marks {
            roles,
            ..Marks::default()
        };
        marks.mark(Marks::ANONYMOUS, leg.is_withheld());
        marks.mark(Marks::PARTIAL, is_partial);
        marks.mark(Marks::PICKUP, leg.nature.has(Nature::PICKUP_CODE));
        Self {
            dialog,
            name: short_name(&leg.name),
            start,
            caller: leg.caller.identity.as_ref().map_or(0, hash),
            shape,
            words: sets.write(marks, leg.ties.keys()),
        }
    }

    const fn marks(&self) -> Marks {
        self.words.marks()
    }

    fn some(&self, from: usize, count: usize) -> &[u64] {
        self.words.all().get(from..from + count).unwrap_or_default()
    }

    /// Where the words begin that stand for no set.
    fn sets_end(&self) -> usize {
        let marks = self.marks();
        usize::from(marks.ties) + usize::from(marks.callees) + usize::from(marks.named)
    }

    fn to_at(&self) -> usize {
        self.sets_end() + 2 * usize::from(self.marks().has(Marks::TAKES_OVER))
    }

    fn until_at(&self) -> usize {
        self.to_at() + usize::from(self.is_partial())
    }

    fn tie_bits(&self) -> &[u64] {
        self.some(0, usize::from(self.marks().ties))
    }

    pub(crate) fn ties(&self) -> impl Iterator<Item = Tie> + Clone {
        self.tie_bits().iter().map(|bits| Tie::of_bits(*bits))
    }

    pub(crate) fn has_tie(&self, tie: Tie) -> bool {
        self.tie_bits().contains(&tie.bits())
    }

    /// Whom its branches are to reach, or the caller asked for.
    pub(crate) fn targets(&self) -> &[u64] {
        let marks = self.marks();
        self.some(usize::from(marks.ties), usize::from(marks.targets))
    }

    /// Everybody whom the leg names as called: targets, To, History-Info (§4.2 rule 1).
    pub(crate) fn callees(&self) -> &[u64] {
        let marks = self.marks();
        self.some(usize::from(marks.ties), usize::from(marks.callees))
    }

    /// Whom History-Info or Diversion names above the leg's own target (§4.4).
    pub(crate) fn named(&self) -> &[u64] {
        let marks = self.marks();
        let before = usize::from(marks.ties) + usize::from(marks.callees);
        self.some(before, usize::from(marks.named))
    }

    /// K4: the dialog it takes over, under either tag as the caller's; empty if it takes none.
    pub(crate) fn takes_over(&self) -> &[u64] {
        self.some(
            self.sets_end(),
            2 * usize::from(self.marks().has(Marks::TAKES_OVER)),
        )
    }

    /// To, if the leg is partial and it is known.
    pub(crate) fn to(&self) -> Option<u64> {
        let to = self.some(self.to_at(), usize::from(self.is_partial())).first();
        to.copied().filter(|to| *to != 0)
    }

    /// When branches towards a target ended.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (u64, Time)> {
        let from = self.until_at() + usize::from(self.marks().has(Marks::ENDED));
        let words = match &self.words {
            // Its target is among the callees, so an end is never one of so few.
            Words::Few(..) => &[],
            Words::Many(_, words) => words.get(from..).unwrap_or_default(),
        };
        let (ends, _) = words.as_chunks();
        ends.iter()
            .map(|[target, end]| (*target, Time::from_micros(end.cast_signed())))
    }

    /// End of the attempt, be it by an answer; [`Time::MAX`] while the leg is open.
    pub(crate) fn until(&self) -> Time {
        let until = self.some(self.until_at(), usize::from(self.marks().has(Marks::ENDED)));
        until
            .first()
            .map_or(Time::MAX, |until| Time::from_micros(until.cast_signed()))
    }

    /// The caller asked for privacy: other legs may show no identity.
    pub(crate) const fn is_anonymous(&self) -> bool {
        self.marks().has(Marks::ANONYMOUS)
    }

    /// No INVITE was captured.
    pub(crate) const fn is_partial(&self) -> bool {
        self.marks().has(Marks::PARTIAL)
    }

    /// D49: it asks for a colleague's call.
    pub(crate) const fn is_pickup(&self) -> bool {
        self.marks().has(Marks::PICKUP)
    }

    pub(crate) const fn roles(&self) -> Roles {
        self.marks().roles
    }

    /// Whether both are found by the same keys (`registry`), as far as is seen at once.
    pub(super) fn is_found_alike(&self, other: &Self) -> bool {
        (self.dialog, self.caller, self.is_anonymous()) == (other.dialog, other.caller, other.is_anonymous())
            && self.callees() == other.callees()
            && self.tie_bits() == other.tie_bits()
            && self.takes_over() == other.takes_over()
    }

    /// Whether a sketch that is made now of this leg says the same, apart from ends.
    pub(super) fn is_still_of(&self, leg: &LegFacts) -> bool {
        !leg.has_news && self.shape.is_still_of(self.start, leg)
    }

    /// Whether two sketches of one leg say the same, apart from ends.
    pub(super) fn is_same_but_for_ends(&self, other: &Self) -> bool {
        (self.name, self.start, self.roles(), self.to())
            == (other.name, other.start, other.roles(), other.to())
            && (self.is_partial(), self.is_pickup()) == (other.is_partial(), other.is_pickup())
            && self.is_found_alike(other)
            && (self.targets(), self.named()) == (other.targets(), other.named())
    }

    /// Whether the other leg was on its way at the same time, `slack_ms` granted.
    pub(crate) fn overlaps(&self, other: &Self, slack_ms: u64) -> bool {
        let slack_us = i64::try_from(slack_ms)
            .unwrap_or(i64::MAX / 1000)
            .saturating_mul(1000);
        self.start <= other.until().plus_us(slack_us) && other.start <= self.until().plus_us(slack_us)
    }

    /// Callers that are known and differ.
    pub(crate) fn is_other_caller(&self, other: &Self) -> bool {
        self.caller != 0 && other.caller != 0 && self.caller != other.caller
    }

    /// The same known caller; or both withheld, where only one leg or none says who it is.
    pub(crate) fn is_same_caller(&self, other: &Self) -> bool {
        let is_one_unknown = self.caller == 0 || other.caller == 0;
        (self.caller != 0 && self.caller == other.caller)
            || (self.is_anonymous() && other.is_anonymous() && is_one_unknown)
    }

    /// Under which hashes the caller may be looked for: the identity, and that of all who withhold it.
    pub(crate) fn callers(&self) -> impl Iterator<Item = u64> + Clone {
        let known = (self.caller != 0).then_some(self.caller);
        known.into_iter().chain(self.is_anonymous().then_some(ANONYMOUS))
    }

    pub(crate) fn order(&self) -> (Time, u64) {
        (self.start, self.name)
    }
}

impl Sets {
    /// Takes To in, which is 0 if it is not known.
    fn add_to(&mut self, to: u64, is_partial: bool) {
        self.to = to;
        if to == 0 {
            return;
        }
        add(&mut self.callees, to);
        if is_partial && self.targets == 0 {
            self.targets = 1;
        }
        // Without its INVITE, and with it History-Info, a leg to a phone whose owner was not dialled (told by a
        // registration, or by what the callee's side asserts) still says by To for whom the call was first: a
        // group's number, or who diverted.
        let mut targets = self.callees.iter().take(self.targets);
        if is_partial && targets.any(|target| *target != to) {
            add(&mut self.named, to);
        }
    }

    /// Writes what was gathered behind one another. `marks` tells whether To counts.
    fn write(&self, mut marks: Marks, ties: &[Tie]) -> Words {
        // Never more: see the assertion above.
        let count = |of: usize| u8::try_from(of).unwrap_or(u8::MAX);
        marks.ties = count(ties.len());
        marks.targets = count(self.targets);
        marks.callees = count(self.callees.len());
        marks.named = count(self.named.len());
        marks.mark(Marks::TAKES_OVER, self.taken.is_some());
        marks.mark(Marks::ENDED, self.until.is_some());
        let mut words: SmallVec<[u64; 16]> = SmallVec::new();
        words.extend(ties.iter().map(|tie| tie.bits()));
        words.extend_from_slice(&self.callees);
        words.extend_from_slice(&self.named);
        words.extend(self.taken.into_iter().flatten());
        words.extend(marks.has(Marks::PARTIAL).then_some(self.to));
        words.extend(self.until.map(bits));
        for (target, end) in &self.ends {
            words.extend([*target, bits(*end)]);
        }
        match *words {
            [] => Words::Few(marks, [0; 2]),
            [one] => Words::Few(marks, [one, 0]),
            [one, two] => Words::Few(marks, [one, two]),
            _ => Words::Many(marks, Box::from(&*words)),
        }
    }
}

const fn bits(time: Time) -> u64 {
    time.as_micros().cast_unsigned()
}

/// The first octets of a leg's name, in whose order names are as they are in their own.
pub(super) fn short_name(name: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *name;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn add(set: &mut SmallVec<[u64; 4]>, hash: u64) {
    if !set.contains(&hash) {
        set.push(hash);
    }
}

#[cfg(test)]
impl Sketch {
    /// As if it were of a leg that takes this dialog over, which is all that is known.
    pub(crate) fn taking(mut self, dialog: u64) -> Self {
        let sets = Sets {
            taken: Some([dialog, dialog + 1]),
            ..Sets::default()
        };
        self.words = sets.write(self.marks(), &[]);
        self
    }

    /// As if it were of a leg from this caller to this callee, who are all that is known.
    pub(crate) fn between(mut self, caller: u64, callee: u64) -> Self {
        self.caller = caller;
        let sets = Sets {
            callees: SmallVec::from_slice(&[callee]),
            ..Sets::default()
        };
        self.words = sets.write(self.marks(), &[]);
        self
    }
}

#[cfg(test)]
mod tests {
    use ringtap_config::Config;

    use super::*;

    /// Catches words read as those of another set, whichever sets are empty, and an end read as of another target.
    #[test]
    fn each_set_is_read_as_it_was_written() {
        let (keys, rules) = (HashKey::random(), Rules::new(&Config::default()));
        let mut few = 0;
        for seed in 0..1000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let leg = LegFacts::new([0; 32], Time::from_micros(1));
            let mut sketch = Sketch::of(&leg, 1, &keys, &rules, true);
            // Half of them have little of everything.
            let little = random.bool();
            let some = |random: &mut fastrand::Rng, most| -> SmallVec<[u64; 4]> {
                let most = if little { 1 } else { most };
                (0..random.usize(0..=most)).map(|_| random.u64(1..)).collect()
            };
            let ties: Vec<Tie> = some(&mut random, 16).into_iter().map(Tie::of_bits).collect();
            let callees = some(&mut random, 65);
            let ended: Vec<u64> = callees.iter().copied().filter(|_| random.u8(0..3) == 0).collect();
            let ends = ended.iter();
            let sets = Sets {
                ends: ends
                    .map(|target| (*target, Time::from_micros(random.i64(..))))
                    .collect(),
                targets: random.usize(0..=callees.len().min(33)),
                callees,
                named: some(&mut random, 17),
                taken: (random.u8(0..4) == 0).then(|| [random.u64(..), random.u64(..)]),
                to: random.u64(0..2),
                until: (random.u8(0..3) == 0).then(|| Time::from_micros(random.i64(..))),
            };
            let mut marks = Marks::default();
            marks.mark(Marks::PARTIAL, random.bool());
            sketch.words = sets.write(marks, &ties);
            few += usize::from(matches!(sketch.words, Words::Few(..)));
            assert!(sketch.ties().eq(ties.iter().copied()), "seed {seed}");
            assert!(ties.iter().all(|tie| sketch.has_tie(*tie)), "seed {seed}");
            assert!(!sketch.has_tie(Tie::of_bits(sets.to)), "seed {seed}");
            assert_eq!(sketch.targets(), &sets.callees[..sets.targets], "seed {seed}");
            assert_eq!(sketch.callees(), &*sets.callees, "seed {seed}");
            assert_eq!(sketch.named(), &*sets.named, "seed {seed}");
            let taken: Vec<u64> = sets.taken.into_iter().flatten().collect();
            assert_eq!(sketch.takes_over(), taken, "seed {seed}");
            assert!(sketch.ends().eq(sets.ends.iter().copied()), "seed {seed}");
            assert_eq!(sketch.until(), sets.until.unwrap_or(Time::MAX), "seed {seed}");
            assert_eq!(
                sketch.to(),
                (sketch.is_partial() && sets.to != 0).then_some(sets.to)
            );
        }
        assert!((100..900).contains(&few), "{few} of few words");
    }
}

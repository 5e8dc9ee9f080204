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
use crate::facts::{DIVERSIONS_MAX, IDENTITIES_MAX, IdentityIndex, LegFacts};
use crate::hash::{HashKey, LegKey};
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

/// What the table tells of an open leg, in a place of its own: it is sorted and handed on.
pub type OpenLeg = Box<Sketch>;

/// A leg in brief. One is kept of every open leg, so it holds nothing twice that can be told otherwise.
#[derive(Clone, Debug)]
pub struct Sketch {
    pub(crate) key: LegKey,
    /// The first octets of the leg's name: the same in every run, so they break ties.
    pub(crate) name: u64,
    /// First INVITE, else first sign.
    pub(crate) start: Time,
    /// End of the attempt, be it by an answer; [`Time::MAX`] while the leg is open.
    until: Time,
    /// Hash of the caller's identity, be it withheld or not; 0 if it is not known.
    pub(crate) caller: u64,
    /// K4: it takes a dialog over.
    pub(crate) takes_over: Option<Box<[LegKey; 2]>>,
    /// To, if the leg is partial; ties, targets, callees, named; then ends: two words each.
    words: Box<[u64]>,
    /// Of what it was made.
    shape: Shape,
    /// Where in `words` each of these is over.
    ties_end: u8,
    targets_end: u8,
    callees_end: u8,
    named_end: u8,
    /// The caller asked for privacy: other legs may show no identity.
    pub(crate) is_anonymous: bool,
    pub(crate) roles: Roles,
    /// No INVITE was captured.
    pub(crate) is_partial: bool,
    /// D49: it asks for a colleague's call.
    pub(crate) is_pickup: bool,
}

/// With 8 octets a word (three for a leg of one tie, six or seven for one of a network that keeps every key of §4.1).
const _: () = assert!(size_of::<Sketch>() <= 96);

// To, ties, targets, callees (identities, and both sides of diversions) and named ones: their places are told in an octet each.
const _: () = assert!(2 + TIES_MAX + 2 * IDENTITIES_MAX + 3 * DIVERSIONS_MAX <= u8::MAX as usize);

/// Sets of hashes while a sketch is made.
#[derive(Default)]
struct Sets {
    targets: SmallVec<[u64; 4]>,
    callees: SmallVec<[u64; 4]>,
    named: SmallVec<[u64; 4]>,
    ends: SmallVec<[(u64, Time); 2]>,
}

impl Sketch {
    /// The sketch of a leg as it is known now.
    pub(crate) fn of(leg: &LegFacts, keys: &HashKey, rules: &Rules, is_open: bool) -> Self {
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
                add(&mut sets.targets, target);
                add(&mut sets.callees, target);
                if let Some(end) = end.filter(|_| !hop.segment.is_originating()) {
                    sets.ends.push((target, end));
                }
            }
        }
        if start == Time::MAX {
            start = leg.first_sign();
        }
        let to = hash_at(leg.to).unwrap_or(0);
        sets.add_to(to, is_partial);
        for diversion in &leg.rare().diversions {
            add(&mut sets.named, hash(&diversion.from));
            add(&mut sets.callees, hash(&diversion.from));
            add(&mut sets.callees, hash(&diversion.to));
        }
        let until = if is_open { Time::MAX } else { last.unwrap_or(start) };
        let mut sketch = Self {
            key: leg.key,
            name: short_name(&leg.name),
            start,
            until,
            caller: leg.caller.identity.as_ref().map_or(0, hash),
            takes_over: leg.rare().replaced.clone(),
            words: Box::default(),
            shape,
            ties_end: 0,
            targets_end: 0,
            callees_end: 0,
            named_end: 0,
            is_anonymous: leg.caller.is_withheld(),
            roles,
            is_partial,
            is_pickup: leg.nature.has(Nature::PICKUP_CODE),
        };
        sketch.write(is_partial.then_some(to), leg.ties.keys(), &sets);
        sketch
    }

    fn write(&mut self, to: Option<u64>, ties: &[Tie], sets: &Sets) {
        let Sets {
            targets,
            callees,
            named,
            ends,
        } = sets;
        let sets = usize::from(to.is_some()) + ties.len() + targets.len() + callees.len() + named.len();
        // Exactly as many as there are.
        let mut words = Vec::with_capacity(sets + 2 * ends.len());
        // Never more: see the assertion below.
        let here = |words: &Vec<u64>| u8::try_from(words.len()).unwrap_or(u8::MAX);
        words.extend(to);
        words.extend(ties.iter().map(|tie| tie.bits()));
        self.ties_end = here(&words);
        words.extend_from_slice(targets);
        self.targets_end = here(&words);
        words.extend_from_slice(callees);
        self.callees_end = here(&words);
        words.extend_from_slice(named);
        self.named_end = here(&words);
        for (target, end) in ends {
            words.extend([*target, end.as_micros().cast_unsigned()]);
        }
        self.words = words.into_boxed_slice();
    }

    fn words(&self, from: u8, until: u8) -> &[u64] {
        self.words
            .get(usize::from(from)..usize::from(until))
            .unwrap_or_default()
    }

    fn tie_bits(&self) -> &[u64] {
        self.words(u8::from(self.is_partial), self.ties_end)
    }

    pub(crate) fn ties(&self) -> impl Iterator<Item = Tie> + Clone {
        self.tie_bits().iter().map(|bits| Tie::of_bits(*bits))
    }

    pub(crate) fn has_tie(&self, tie: Tie) -> bool {
        self.tie_bits().contains(&tie.bits())
    }

    /// Whom its branches are to reach, or the caller asked for.
    pub(crate) fn targets(&self) -> &[u64] {
        self.words(self.ties_end, self.targets_end)
    }

    /// Everybody whom the leg names as called: targets, To, History-Info (§4.2 rule 1).
    pub(crate) fn callees(&self) -> &[u64] {
        self.words(self.targets_end, self.callees_end)
    }

    /// Whom History-Info or Diversion names above the leg's own target (§4.4).
    pub(crate) fn named(&self) -> &[u64] {
        self.words(self.callees_end, self.named_end)
    }

    /// When branches towards a target ended.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (u64, Time)> {
        let words = self.words.get(usize::from(self.named_end)..).unwrap_or_default();
        let (ends, _) = words.as_chunks();
        ends.iter()
            .map(|[target, end]| (*target, Time::from_micros(end.cast_signed())))
    }

    /// To, if the leg is partial and it is known.
    pub(crate) fn to(&self) -> Option<u64> {
        let to = self.words.first().filter(|_| self.is_partial);
        to.copied().filter(|to| *to != 0)
    }

    /// Whether both are found by the same keys (`registry`), as far as is seen at once.
    pub(super) fn is_found_alike(&self, other: &Self) -> bool {
        (self.key, self.caller, self.is_anonymous) == (other.key, other.caller, other.is_anonymous)
            && self.callees() == other.callees()
            && self.tie_bits() == other.tie_bits()
            && self.takes_over == other.takes_over
    }

    /// Whether a sketch that is made now of this leg says the same, apart from ends.
    pub(super) fn is_still_of(&self, leg: &LegFacts) -> bool {
        !leg.has_news && self.shape.is_still_of(self.start, leg)
    }

    /// Whether two sketches of one leg say the same, apart from ends.
    pub(super) fn is_same_but_for_ends(&self, other: &Self) -> bool {
        (self.name, self.start, self.roles, self.to()) == (other.name, other.start, other.roles, other.to())
            && (self.is_partial, self.is_pickup) == (other.is_partial, other.is_pickup)
            && self.is_found_alike(other)
            && (self.targets(), self.named()) == (other.targets(), other.named())
    }

    /// Until when it was open, as far as is known.
    pub(crate) fn until(&self) -> Time {
        self.until
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
            || (self.is_anonymous && other.is_anonymous && is_one_unknown)
    }

    /// Under which hashes the caller may be looked for: the identity, and that of all who withhold it.
    pub(crate) fn callers(&self) -> impl Iterator<Item = u64> {
        let known = (self.caller != 0).then_some(self.caller);
        known.into_iter().chain(self.is_anonymous.then_some(ANONYMOUS))
    }

    pub(crate) fn order(&self) -> (Time, u64) {
        (self.start, self.name)
    }
}

impl Sets {
    /// Takes To in, which is 0 if it is not known.
    fn add_to(&mut self, to: u64, is_partial: bool) {
        if to == 0 {
            return;
        }
        add(&mut self.callees, to);
        if is_partial && self.targets.is_empty() {
            add(&mut self.targets, to);
        }
        // Without its INVITE, and with it History-Info, a leg to a phone whose owner was not dialled (told by a
        // registration, or by what the callee's side asserts) still says by To for whom the call was first: a
        // group's number, or who diverted.
        if is_partial && self.targets.iter().any(|target| *target != to) {
            add(&mut self.named, to);
        }
    }
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
    /// As if it were of a leg from this caller to this callee, who are all that is known.
    pub(crate) fn between(mut self, caller: u64, callee: u64) -> Self {
        self.caller = caller;
        let sets = Sets {
            callees: SmallVec::from_slice(&[callee]),
            ..Sets::default()
        };
        self.write(self.is_partial.then_some(0), &[], &sets);
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
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let leg = LegFacts::new([0; 32], keys.leg(b"a", b"1"), Time::from_micros(1));
            let mut sketch = Sketch::of(&leg, &keys, &rules, true);
            sketch.is_partial = random.bool();
            let to = random.u64(0..2);
            let some = |random: &mut fastrand::Rng, most| -> SmallVec<[u64; 4]> {
                (0..random.usize(0..=most)).map(|_| random.u64(..)).collect()
            };
            let ties: Vec<Tie> = some(&mut random, 16).into_iter().map(Tie::of_bits).collect();
            let ends = some(&mut random, 96).into_iter();
            let sets = Sets {
                targets: some(&mut random, 33),
                callees: some(&mut random, 65),
                named: some(&mut random, 17),
                ends: ends
                    .map(|target| (target, Time::from_micros(random.i64(..))))
                    .collect(),
            };
            sketch.write(sketch.is_partial.then_some(to), &ties, &sets);
            assert!(sketch.ties().eq(ties.iter().copied()), "seed {seed}");
            assert!(ties.iter().all(|tie| sketch.has_tie(*tie)), "seed {seed}");
            assert!(
                !sketch.is_partial || !sketch.has_tie(Tie::of_bits(to)),
                "seed {seed}"
            );
            assert_eq!(sketch.targets(), &*sets.targets, "seed {seed}");
            assert_eq!(sketch.callees(), &*sets.callees, "seed {seed}");
            assert_eq!(sketch.named(), &*sets.named, "seed {seed}");
            assert!(sketch.ends().eq(sets.ends.iter().copied()), "seed {seed}");
            assert_eq!(sketch.to(), (sketch.is_partial && to != 0).then_some(to));
        }
    }
}

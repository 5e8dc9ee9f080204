//! What the settler has to know of a leg to find the legs it belongs to: hashes, roles and times.
//!
//! The table tells a sketch of each leg while that is open, whenever it has changed; of a closed leg the
//! settler makes it itself. A sketch is small and plain, so that whole groups can be weighed at once.

use ringtap_identity::{Identity, Segment};
use ringtap_record::Time;
use smallvec::SmallVec;

use crate::facts::hop::Hop;
use crate::facts::ties::Tie;
use crate::facts::{IdentityIndex, LegFacts};
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

/// A leg in brief.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// The leg's name: the same in every run, so it breaks ties.
    pub(crate) name: [u8; 32],
    pub(crate) key: LegKey,
    /// First INVITE, else first sign.
    pub(crate) start: Time,
    /// End of the attempt, be it by an answer; `None` while the leg is open.
    pub(crate) end: Option<Time>,
    /// Hash of the caller's identity, be it withheld or not; 0 if it is not known.
    pub(crate) caller: u64,
    /// The caller asked for privacy: other legs may show no identity.
    pub(crate) is_anonymous: bool,
    pub(crate) roles: Roles,
    /// No INVITE was captured.
    pub(crate) is_partial: bool,
    /// K4: it takes a dialog over.
    pub(crate) takes_over: Option<[LegKey; 2]>,
    /// D49: it asks for a colleague's call.
    pub(crate) is_pickup: bool,
    pub(crate) ties: SmallVec<[Tie; 4]>,
    /// Whom its branches are to reach, or the caller asked for.
    pub(crate) targets: SmallVec<[u64; 2]>,
    /// Everybody whom the leg names as called: targets, To, History-Info (§4.2 rule 1).
    pub(crate) callees: SmallVec<[u64; 4]>,
    /// Whom History-Info or Diversion names above the leg's own target (§4.4).
    pub(crate) named: SmallVec<[u64; 2]>,
    /// To.
    pub(crate) to: u64,
    /// When branches towards a target ended.
    pub(crate) ends: SmallVec<[(u64, Time); 2]>,
}

impl Sketch {
    /// The sketch of a leg as it is known now.
    pub(crate) fn of(leg: &LegFacts, keys: &HashKey, rules: &Rules, is_open: bool) -> Self {
        let hash = |identity: &Identity| keys.short_text([identity.as_str().as_bytes()]);
        // Each once: several hops lead to the same one.
        let mut hashes: SmallVec<[u64; 4]> = SmallVec::new();
        for identity in &leg.identities {
            hashes.push(hash(identity));
        }
        let hash_at = |index: IdentityIndex| hashes.get(index.place()).copied();
        let at = |tick: Tick| tick.time(leg.base);
        let mut sketch = Self {
            name: leg.name,
            key: leg.key,
            start: Time::MAX,
            end: None,
            caller: leg.caller.identity.as_ref().map_or(0, hash),
            is_anonymous: leg.caller.is_withheld(),
            roles: Roles::default(),
            is_partial: true,
            takes_over: leg.ties.replaced.as_deref().copied(),
            is_pickup: leg.nature.has(Nature::PICKUP_CODE),
            ties: leg.ties.to_small_vec(),
            targets: SmallVec::new(),
            callees: SmallVec::new(),
            named: SmallVec::new(),
            to: hash_at(leg.to).unwrap_or(0),
            ends: SmallVec::new(),
        };
        // A queue's caller is there until the BYE; where none was seen, for as long as anybody may know.
        let mut last = leg
            .is_queue(rules)
            .then(|| at(leg.caller_bye.min(leg.callee_bye)).unwrap_or(Time::MAX));
        for hop in leg.invite_hops() {
            sketch.roles.add(hop.segment);
            sketch.is_partial &= !hop.has(Hop::INVITE);
            if let Some(invite) = at(hop.invite) {
                sketch.start = sketch.start.min(invite);
            }
            let end = at(hop.end());
            last = last.max(end);
            if let Some(target) = hash_at(hop.target) {
                add(&mut sketch.targets, target);
                add(&mut sketch.callees, target);
                if let Some(end) = end.filter(|_| !hop.segment.is_originating()) {
                    sketch.ends.push((target, end));
                }
            }
        }
        if sketch.start == Time::MAX {
            sketch.start = leg.first_sign();
        }
        sketch.end = (!is_open).then(|| last.unwrap_or(sketch.start));
        if sketch.to != 0 {
            add(&mut sketch.callees, sketch.to);
            if sketch.is_partial && sketch.targets.is_empty() {
                add(&mut sketch.targets, sketch.to);
            }
            // Without its INVITE, and with it History-Info, a leg to a phone whose owner was not dialled (told by a
            // registration, or by what the callee's side asserts) still says by To for whom the call was first: a
            // group's number, or who diverted.
            if sketch.is_partial && sketch.targets.iter().any(|target| *target != sketch.to) {
                add(&mut sketch.named, sketch.to);
            }
        }
        for diversion in &leg.diversions {
            add(&mut sketch.named, hash(&diversion.from));
            add(&mut sketch.callees, hash(&diversion.from));
            add(&mut sketch.callees, hash(&diversion.to));
        }
        sketch
    }

    /// Until when it was open, as far as is known.
    pub(crate) fn until(&self) -> Time {
        self.end.unwrap_or(Time::MAX)
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

    pub(crate) fn order(&self) -> (Time, [u8; 32]) {
        (self.start, self.name)
    }
}

fn add<const N: usize>(set: &mut SmallVec<[u64; N]>, hash: u64)
where
    [u64; N]: smallvec::Array<Item = u64>,
{
    if !set.contains(&hash) {
        set.push(hash);
    }
}

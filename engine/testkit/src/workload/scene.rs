//! One call being written: its people, legs and steps, and who must be told of it.
//!
//! A *chain* is the way of a call from the caller's side to a phone: one leg, or several that pass messages
//! on to each other, whether they share a Call-ID (`cid=`, a fork or a proxy-like application server) or not (a
//! back-to-back user agent). The recipes in `calls` say what happens on a chain, `acts` what that sends on every
//! leg of it; here are the people and the legs. Times are microseconds since the start of the call, and every
//! wait is drawn.

use fastrand::Rng;
use ringtap_record::Outcome;

use super::office::{Office, Person};
use crate::notation::{Leg, LegOptions, Segment, Step};
use crate::scenario::Case;

/// Index of a leg in the call.
pub(super) type LegIndex = usize;

pub(super) const MS: i64 = 1_000;
pub(super) const S: i64 = 1_000_000;

/// Who calls whom again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caller: String,
    pub(super) callee: String,
    pub(super) private: bool,
}

/// An account whose owners must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    /// The leg that names the call.
    pub(super) leg: LegIndex,
    pub(super) account: String,
    pub(super) outcome: Outcome,
}

/// A call that is being written.
pub(super) struct Scene<'o> {
    pub(super) office: &'o Office,
    pub(super) random: Rng,
    /// Who must play in it, if it is a redial.
    wanted: Option<Pair>,
    caller: String,
    private: bool,
    pub(super) legs: Vec<Leg>,
    pub(super) steps: Vec<Step>,
    /// Called accounts whose owners must be told.
    missed: Vec<Missed>,
    /// Every identity that was called.
    called: Vec<String>,
    /// When something happens that a pickup by feature code might explain (semantics.md D49).
    pub(super) pickable: Vec<i64>,
    /// When a pickup by feature code is answered.
    pub(super) pickups: Vec<i64>,
}

/// What a scene became.
pub(super) struct Written {
    pub(super) case: Case,
    pub(super) caller: String,
    pub(super) private: bool,
    pub(super) called: Vec<String>,
    pub(super) missed: Vec<Missed>,
    pub(super) pickable: Vec<i64>,
    pub(super) pickups: Vec<i64>,
    /// When the last step is.
    pub(super) lasts_us: i64,
}

/// Where a caller sits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Anywhere,
    Outside,
    Office,
}

impl<'o> Scene<'o> {
    pub(super) fn new(office: &'o Office, random: Rng, wanted: Option<Pair>) -> Self {
        Self {
            office,
            random,
            wanted,
            caller: String::new(),
            private: false,
            legs: Vec::new(),
            steps: Vec::new(),
            missed: Vec::new(),
            called: Vec::new(),
            pickable: Vec::new(),
            pickups: Vec::new(),
        }
    }

    pub(super) fn finish(mut self, name: &str) -> Written {
        self.steps.sort_by_key(|step| step.at_us);
        Written {
            lasts_us: self.steps.last().map_or(0, |step| step.at_us),
            case: Case {
                name: name.to_owned(),
                id: name.to_owned(),
                legs: self.legs,
                steps: self.steps,
                expected: Vec::new(),
                waits: None,
                waits_pcap: None,
            },
            caller: self.caller,
            private: self.private,
            called: self.called,
            missed: self.missed,
            pickable: self.pickable,
            pickups: self.pickups,
        }
    }

    // People.

    /// Casts the caller.
    pub(super) fn call_from(&mut self, from: From) -> String {
        if let Some(pair) = &self.wanted {
            self.caller = pair.caller.clone();
            self.private = pair.private;
            return self.caller.clone();
        }
        let outside = match from {
            From::Outside => true,
            From::Office => false,
            From::Anywhere => self.chance(60),
        };
        self.caller = if outside {
            self.outsider()
        } else {
            self.person().desk.clone()
        };
        self.caller.clone()
    }

    /// Lets a given number call.
    pub(super) fn call_as(&mut self, caller: &str) {
        self.caller = caller.to_owned();
    }

    /// One call in twelve keeps its number to itself.
    pub(super) fn perhaps_withheld(&mut self) {
        if self.wanted.is_none() {
            self.private = self.chance(8);
        }
    }

    pub(super) fn is_caller(&self, identity: &str) -> bool {
        self.caller == identity
    }

    pub(super) fn is_office_call(&self) -> bool {
        self.office.owners(&self.caller).next().is_some()
    }

    /// Casts who is called: a person's desk that is not the caller's own, nor in the call already.
    pub(super) fn callee(&mut self) -> String {
        match &self.wanted {
            Some(pair) => pair.callee.clone(),
            None => self.colleague().desk.clone(),
        }
    }

    /// A person who is not in the call yet.
    pub(super) fn colleague(&mut self) -> &'o Person {
        loop {
            let person = self.person();
            let is_in =
                |identity: &str| self.caller == identity || self.called.iter().any(|known| known == identity);
            if !person.accounts().any(is_in) {
                self.called.push(person.desk.clone());
                return person;
            }
        }
    }

    fn person(&mut self) -> &'o Person {
        let people = self.office.people();
        &people[self.random.usize(..people.len())]
    }

    /// A number outside the office. Some call much more often than others.
    pub(super) fn outsider(&mut self) -> String {
        let people = self.office.outside();
        let drawn = self.random.f64();
        let index = (drawn * drawn * people.len() as f64) as usize;
        people[index.min(people.len() - 1)].0.clone()
    }

    /// Owners of `account` must be told of `outcome`.
    pub(super) fn missed(&mut self, account: &str, outcome: Outcome) {
        self.missed_in(0, account, outcome);
    }

    /// The same, of a call that begins with another leg than the first: one that a service makes after it.
    pub(super) fn missed_in(&mut self, leg: LegIndex, account: &str, outcome: Outcome) {
        let account = account.to_owned();
        self.missed.push(Missed {
            leg,
            account,
            outcome,
        });
    }

    // Chance.

    /// True with `percent` in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    /// A wait between two times.
    pub(super) fn wait(&mut self, from_us: i64, to_us: i64) -> i64 {
        self.random.i64(from_us..=to_us)
    }

    /// How long somebody lets it ring: 3 to 40 s.
    pub(super) fn patience(&mut self) -> i64 {
        let most = self.one_of(&[8, 15, 25, 40]);
        self.wait(3 * S, most * S)
    }

    // Legs.

    fn leg(&mut self, segments: &[Segment], callee: &str, options: LegOptions) -> LegIndex {
        let name = char::from(b'a' + self.legs.len() as u8).to_string();
        let private = self.private && options.cid.is_none();
        self.legs.push(Leg {
            name,
            segments: segments.to_vec(),
            caller: self.caller.clone(),
            callee: callee.to_owned(),
            options: LegOptions { private, ..options },
        });
        if !self.called.iter().any(|known| known == callee) {
            self.called.push(callee.to_owned());
        }
        self.legs.len() - 1
    }

    fn caller_side(&self) -> &'static [Segment] {
        if self.is_office_call() {
            &[Segment::Go, Segment::Mo]
        } else {
            &[Segment::Gi]
        }
    }

    /// From the caller into the core.
    pub(super) fn upstream(&mut self, callee: &str) -> LegIndex {
        self.leg(self.caller_side(), callee, LegOptions::default())
    }

    /// From the caller to the phone, through proxies only.
    pub(super) fn whole(&mut self, callee: &str) -> LegIndex {
        let segments = [self.caller_side(), &[Segment::Mt, Segment::Gt]].concat();
        self.leg(&segments, callee, LegOptions::default())
    }

    /// From the caller over the given segments.
    pub(super) fn over(&mut self, segments: &[Segment], callee: &str) -> LegIndex {
        self.leg(segments, callee, LegOptions::default())
    }

    /// A branch of `parent`'s Call-ID to a phone.
    pub(super) fn branch(&mut self, parent: LegIndex, callee: &str) -> LegIndex {
        self.branch_over(parent, &[Segment::Mt, Segment::Gt], callee)
    }

    /// A branch of `parent`'s Call-ID over the given segments.
    pub(super) fn branch_over(&mut self, parent: LegIndex, segments: &[Segment], callee: &str) -> LegIndex {
        let options = LegOptions {
            cid: Some(self.legs[parent].name.clone()),
            ..LegOptions::default()
        };
        self.leg(segments, callee, options)
    }

    /// A leg that an application server opens, with a Call-ID of its own: to a phone, or outside.
    pub(super) fn served(&mut self, callee: &str) -> LegIndex {
        let inside = self
            .office
            .owners(callee)
            .any(|owner| owner.mobile.as_deref() != Some(callee));
        let segments: &[Segment] = if inside {
            &[Segment::Mt, Segment::Gt]
        } else {
            &[Segment::Gj]
        };
        self.leg(segments, callee, LegOptions::default())
    }

    pub(super) fn options(&mut self, leg: LegIndex) -> &mut LegOptions {
        &mut self.legs[leg].options
    }

    /// Tells the leg's history: `from` was called and sent the call on to the leg's callee.
    pub(super) fn sent_on_by(&mut self, leg: LegIndex, from: &str, cause: Option<u16>) {
        let callee = self.legs[leg].callee.clone();
        let options = self.options(leg);
        options.history = Some((from.to_owned(), callee, cause));
        if options.cid.is_none() {
            options.to = Some(from.to_owned());
        }
    }

    /// The leg has a charging id of its own, as calls of their own have.
    pub(super) fn own_icid(&mut self, leg: LegIndex) {
        let icid = format!("{:016x}", self.random.u64(..));
        self.legs[leg].options.icid = Some(icid);
    }

    pub(super) fn name(&self, leg: LegIndex) -> String {
        self.legs[leg].name.clone()
    }
}

//! One call being written: its people, legs and steps, and who must be told of it.
//!
//! A *chain* is the way of a call from the caller's side to a phone: one leg, or several that pass messages
//! on to each other, whether they share a Call-ID (`cid=`, a fork or a proxy-like application server) or not (a
//! back-to-back user agent). The recipes in `calls` say what happens on a chain; here is what each happening
//! sends on every leg of it. Times are microseconds since the start of the call, and every wait is drawn.

use fastrand::Rng;
use ringtap_record::Outcome;

use super::office::{self, Office, Person};
use crate::notation::{Direction, Leg, LegOptions, Message, Segment, Step, Verb};
use crate::scenario::Case;

/// Index of a leg in the call.
pub(super) type LegIndex = usize;

pub(super) const MS: i64 = 1_000;
pub(super) const S: i64 = 1_000_000;
/// A message needs this long from hop to hop.
const HOP: i64 = 10 * MS;

/// Who calls whom again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caller: String,
    pub(super) callee: String,
    pub(super) private: bool,
}

/// A call that is being written.
pub(super) struct Scene<'o> {
    pub(super) office: &'o Office,
    pub(super) random: Rng,
    /// Who must play in it, if it is a redial.
    wanted: Option<Pair>,
    caller: String,
    private: bool,
    legs: Vec<Leg>,
    steps: Vec<Step>,
    /// Called accounts whose owners must be told, and what.
    missed: Vec<(String, Outcome)>,
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
    pub(super) missed: Vec<(String, Outcome)>,
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
        self.missed.push((account.to_owned(), outcome));
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

    // What is sent.

    pub(super) fn say(
        &mut self,
        at_us: i64,
        leg: LegIndex,
        direction: Direction,
        message: Message,
    ) -> &mut Step {
        self.steps.push(Step {
            at_us,
            leg,
            direction,
            message,
            tag: None,
            segments: None,
            reasons: Vec::new(),
            asserted: None,
            contact: None,
            request_uri: None,
            hidden: false,
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    pub(super) fn request(&mut self, at_us: i64, leg: LegIndex, verb: Verb) -> &mut Step {
        self.say(at_us, leg, Direction::ToCallee, Message::Request(verb, None))
    }

    pub(super) fn response(&mut self, at_us: i64, leg: LegIndex, status: u16) -> &mut Step {
        self.say(
            at_us,
            leg,
            Direction::ToCaller,
            Message::Response(status, Verb::Invite),
        )
    }

    fn way(&self, leg: LegIndex) -> i64 {
        HOP * self.legs[leg].segments.len() as i64
    }

    /// How long a message needs from one end of a chain to the other.
    pub(super) fn chain_way(&self, chain: &[LegIndex]) -> i64 {
        chain.iter().map(|leg| self.way(*leg) + 5 * MS).sum()
    }

    /// INVITE on one leg, with a 100 on each hop, and now and then again as if the 100 were lost. Returns when
    /// the far end has it.
    pub(super) fn invite(&mut self, at_us: i64, leg: LegIndex, cseq: Option<u32>) -> i64 {
        let invite = Message::Request(Verb::Invite, cseq);
        self.say(at_us, leg, Direction::ToCallee, invite);
        for (hop, segment) in (0_i64..).zip(self.legs[leg].segments.clone()) {
            let after = self.wait(2 * MS, 8 * MS);
            self.response(at_us + hop * HOP + after, leg, 100).segments = Some(vec![segment]);
        }
        if self.chance(2) {
            let first = self.legs[leg].segments[0];
            self.say(at_us + 500 * MS, leg, Direction::ToCallee, invite)
                .segments = Some(vec![first]);
        }
        at_us + self.way(leg)
    }

    /// INVITE over a chain. An office phone is challenged now and then, and answers at once. Returns when the
    /// phone has it.
    pub(super) fn offer(&mut self, at_us: i64, chain: &[LegIndex]) -> i64 {
        let mut at_us = at_us;
        let first = chain[0];
        let mut cseq = None;
        if self.legs[first].segments[0] == Segment::Go
            && self.legs[first].options.cid.is_none()
            && self.chance(50)
        {
            at_us = self.challenge(at_us, first);
            cseq = Some(2);
        }
        for leg in chain {
            at_us = self.invite(at_us, *leg, cseq);
            cseq = None;
            at_us += self.wait(5 * MS, 40 * MS);
        }
        at_us
    }

    /// An INVITE that is challenged. Returns when the phone tries again.
    pub(super) fn challenge(&mut self, at_us: i64, leg: LegIndex) -> i64 {
        self.request(at_us, leg, Verb::Invite).segments = Some(vec![Segment::Go]);
        let status = self.one_of(&[401, 407, 407]);
        let answered = at_us + self.wait(12 * MS, 40 * MS);
        self.response(answered, leg, status).segments = Some(vec![Segment::Go]);
        answered + self.wait(30 * MS, 200 * MS)
    }

    /// A status from the phone up the chain. Returns when the caller has it.
    pub(super) fn answer_with(&mut self, at_us: i64, chain: &[LegIndex], status: u16) -> i64 {
        self.answer_because(at_us, chain, status, &[])
    }

    pub(super) fn answer_because(
        &mut self,
        at_us: i64,
        chain: &[LegIndex],
        status: u16,
        reasons: &[&str],
    ) -> i64 {
        let mut at_us = at_us;
        for leg in chain.iter().rev() {
            self.response(at_us, *leg, status).reasons =
                reasons.iter().map(|&text| text.to_owned()).collect();
            at_us += self.way(*leg) + self.wait(2 * MS, 8 * MS);
        }
        at_us
    }

    /// The phone rings: offer, perhaps an early session, 180. Returns when the caller hears it.
    pub(super) fn ring(&mut self, chain: &[LegIndex]) -> i64 {
        let offered = self.offer(0, chain);
        self.ring_from(offered, chain)
    }

    pub(super) fn ring_from(&mut self, offered_us: i64, chain: &[LegIndex]) -> i64 {
        let mut at_us = offered_us + self.wait(100 * MS, 900 * MS);
        if let [only] = chain[..]
            && self.chance(12)
        {
            at_us = self.negotiate(at_us, only);
        }
        self.answer_with(at_us, chain, 180)
    }

    /// 183, PRACK, UPDATE: preconditions are met before it rings (S34).
    fn negotiate(&mut self, at_us: i64, leg: LegIndex) -> i64 {
        self.response(at_us, leg, 183);
        let mut at_us = at_us + self.way(leg);
        for verb in [Verb::Prack, Verb::Update] {
            at_us += self.wait(10 * MS, 60 * MS);
            at_us = self.exchange(at_us, &[leg], verb, Direction::ToCallee, 200);
        }
        at_us + self.wait(50 * MS, 300 * MS)
    }

    /// The caller gives up. Returns when it is over.
    pub(super) fn hang_up(&mut self, at_us: i64, chain: &[LegIndex]) -> i64 {
        self.hang_up_all(at_us, chain[0], &[&chain[1..]])
    }

    /// The caller gives up a call that has several branches below `top`.
    pub(super) fn hang_up_all(&mut self, at_us: i64, top: LegIndex, branches: &[&[LegIndex]]) -> i64 {
        self.request(at_us, top, Verb::Cancel);
        let below = at_us + self.way(top) + self.wait(2 * MS, 15 * MS);
        let mut over = below;
        for branch in branches.iter().filter(|branch| !branch.is_empty()) {
            over = over.max(self.call_off(below, branch, &[]));
        }
        let over = over + self.wait(15 * MS, 40 * MS);
        self.response(over, top, 487);
        over + self.way(top)
    }

    /// CANCEL down a chain and 487 up again, from the network. Returns when it is over.
    pub(super) fn call_off(&mut self, at_us: i64, chain: &[LegIndex], reasons: &[&str]) -> i64 {
        let mut at_us = at_us;
        for leg in chain {
            self.request(at_us, *leg, Verb::Cancel).reasons =
                reasons.iter().map(|&text| text.to_owned()).collect();
            at_us += self.way(*leg) + self.wait(2 * MS, 15 * MS);
        }
        at_us += self.wait(10 * MS, 60 * MS);
        self.answer_with(at_us, chain, 487)
    }

    /// A request within the dialog and its answer, over a chain. Returns when the answer is there.
    pub(super) fn exchange(
        &mut self,
        at_us: i64,
        chain: &[LegIndex],
        verb: Verb,
        direction: Direction,
        status: u16,
    ) -> i64 {
        let (there, back) = match direction {
            Direction::ToCallee => (chain.to_vec(), Direction::ToCaller),
            Direction::ToCaller => (chain.iter().rev().copied().collect(), Direction::ToCallee),
        };
        let mut at_us = at_us;
        for leg in &there {
            self.say(at_us, *leg, direction, Message::Request(verb, None));
            at_us += self.way(*leg) + self.wait(MS, 5 * MS);
        }
        for leg in there.iter().rev() {
            self.say(at_us, *leg, back, Message::Response(status, verb));
            at_us += self.way(*leg) + self.wait(MS, 5 * MS);
        }
        at_us
    }

    /// Somebody takes the call and the two talk, with what long calls send meanwhile, until one hangs up.
    pub(super) fn talk(&mut self, at_us: i64, chain: &[LegIndex]) -> i64 {
        let answered = self.answer_with(at_us, chain, 200);
        self.talk_on(answered, chain)
    }

    pub(super) fn talk_on(&mut self, answered_us: i64, chain: &[LegIndex]) -> i64 {
        // Exponential with a mean of 75 s, cut at a quarter of an hour.
        let seconds = -75.0 * (1.0 - self.random.f64()).ln();
        let talk = ((seconds * 1e6) as i64).clamp(2 * S, 900 * S);
        let end = answered_us + talk;
        let mut at_us = answered_us + self.wait(20 * S, 120 * S);
        while at_us < end - 2 * S {
            let direction = self.one_of(&[Direction::ToCallee, Direction::ToCaller]);
            let (verb, status) = self.one_of(&[
                (Verb::Update, 200),
                (Verb::Update, 200),
                (Verb::Reinvite, 200),
                (Verb::Reinvite, 488),
                (Verb::Reinvite, 491),
            ]);
            self.exchange(at_us, chain, verb, direction, status);
            at_us += self.wait(30 * S, 240 * S);
        }
        let direction = self.one_of(&[Direction::ToCallee, Direction::ToCaller]);
        self.exchange(end, chain, Verb::Bye, direction, 200)
    }

    /// Voicemail takes the call: 200 with its number, and later the caller hangs up.
    pub(super) fn voicemail(&mut self, at_us: i64, leg: LegIndex) -> i64 {
        self.pickable.push(at_us);
        self.response(at_us, leg, 200).asserted = Some(office::VOICEMAIL.to_owned());
        let listens = self.wait(3 * S, 45 * S);
        self.exchange(at_us + listens, &[leg], Verb::Bye, Direction::ToCallee, 200)
    }
}

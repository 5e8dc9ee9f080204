//! What happens on a chain of legs: offers, answers, CANCEL, talk.
//!
//! Each act is sent on every leg of the chain, each leg at the time at which the one before has passed it on.

use super::office;
use super::scene::{LegIndex, MS, S, Scene};
use crate::notation::{Direction, Message, Segment, Step, Verb};

/// A message needs this long from hop to hop.
const HOP: i64 = 10 * MS;

impl Scene<'_> {
    pub(super) fn say(
        &mut self,
        at_us: i64,
        leg: LegIndex,
        direction: Direction,
        message: Message,
    ) -> &mut Step {
        self.steps.push(Step::plain(at_us, leg, direction, message));
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

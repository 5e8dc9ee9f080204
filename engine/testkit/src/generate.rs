//! The generator: from a case to every message on every hop, as semantics.md §8.2 lays down.
//!
//! It plays the timeline in order and keeps for each leg what a phone or proxy would keep: the requests
//! that are open, the answers given, the counters of CSeq. Header values come from `crate::header`, names
//! and ways from `crate::route`.

use std::borrow::Cow;
use std::collections::HashMap;

use ringtap_record::Time;

use crate::cast::{Cast, Fixtures};
use crate::compose::{Answer, Hop, Opening, Request};
use crate::fixtures::Node;
use crate::header;
use crate::notation::{Direction, Message, Step, Verb};
use crate::route::{Routes, Transaction};
use crate::scenario::Case;
use crate::wire::{Label, Wire};

/// The start of every case: 10:23:41 on a Monday morning in Shanghai, 2024-05-06T02:23:41Z.
pub const BASE: Time = Time::from_micros(1_714_962_221_000_000);

/// A message needs this long from one hop to the next.
const HOP_US: i64 = 10_000;
/// Automatic answers (200 of CANCEL, ACK of a failure) come after this time.
const HOP_ANSWER_US: i64 = 3_000;
/// The ACK of a 2xx comes this long after the 2xx has reached the caller's side.
const ACK_US: i64 = 40_000;
/// A leg passes up the tag of a child that sent the same status at most this long before.
const PASS_UP_US: i64 = 300_000;
/// The second copy of a frame comes after this time.
const COPY_US: i64 = 200;

/// The messages of a case that the mirror shows, ordered by time.
#[must_use]
pub fn messages(case: &Case) -> Vec<Wire> {
    messages_salted(case, 0)
}

/// As [`messages`], with Call-IDs, tags, branches and charging ids that no other salt gives.
#[must_use]
pub fn messages_salted(case: &Case, salt: u64) -> Vec<Wire> {
    let mut wires = transmitted(case, salt);
    wires.retain(|wire| wire.captured);
    wires
}

/// Everything that was sent, including what the mirror missed, ordered by time.
#[must_use]
pub fn transmitted(case: &Case, salt: u64) -> Vec<Wire> {
    let mut story = Story::new(Cow::Borrowed(case), salt, &Fixtures, BASE);
    let mut wires = Vec::new();
    while story.next_at().is_some() {
        story.play_next(&mut wires);
    }
    wires.sort_by_key(|wire| wire.time);
    wires
}

/// A case that is being played, step by step.
pub(crate) struct Story<'a> {
    routes: Routes<'a>,
    legs: Vec<LegState>,
    wires: Vec<Wire>,
    datagrams: u64,
    base: Time,
    played: usize,
}

#[derive(Default)]
struct LegState {
    /// The last request of each kind.
    requests: HashMap<Verb, Request>,
    /// When a request of each kind was last sent within the dialog, with its CSeq.
    sent: HashMap<(Verb, Direction), (i64, u32)>,
    /// What was answered to INVITEs, with step time, status and CSeq.
    answers: Vec<(i64, u16, u32, Answer)>,
    /// CSeq of the last INVITE that was answered with a 2xx: that of its ACK.
    accepted_cseq: Option<u32>,
    /// The status of a challenge that the caller has to answer.
    challenge: Option<u16>,
    /// CSeq counters; those of the root leg count.
    caller_cseq: u32,
    callee_cseq: u32,
}

/// Where a message is put on the wire.
struct Place<'s> {
    leg: usize,
    hop: usize,
    direction: Direction,
    at_us: i64,
    step: Option<&'s Step>,
}

impl<'a> Story<'a> {
    /// A case of `cast`'s people that begins at `base`.
    pub(crate) fn new(case: Cow<'a, Case>, salt: u64, cast: &'a dyn Cast, base: Time) -> Self {
        let legs = case.legs.iter().map(|_| LegState::default()).collect();
        Self {
            routes: Routes::new(case, salt, cast),
            legs,
            wires: Vec::new(),
            datagrams: 0,
            base,
            played: 0,
        }
    }

    /// When the next step is; it sends nothing before.
    pub(crate) fn next_at(&self) -> Option<Time> {
        let step = self.routes.case.steps.get(self.played)?;
        Some(self.base.plus_us(step.at_us))
    }

    /// Plays the next step and adds what it sends to `wires`, on each hop at its time.
    pub(crate) fn play_next(&mut self, wires: &mut Vec<Wire>) {
        if let Some(step) = self.routes.case.steps.get(self.played).cloned() {
            self.played += 1;
            self.play(&step);
            wires.append(&mut self.wires);
        }
    }

    /// Call-ID and caller's tag of each leg that has its own and sends anything, with the leg's index.
    pub(crate) fn dialogs(&self) -> Vec<(usize, String, String)> {
        let sends = |leg: usize| self.routes.case.steps.iter().any(|step| step.leg == leg);
        let roots = (0..self.legs.len()).filter(|leg| self.routes.parent(*leg).is_none() && sends(*leg));
        roots
            .map(|leg| (leg, self.routes.call_id(leg), self.routes.caller_tag(leg)))
            .collect()
    }

    fn play(&mut self, step: &Step) {
        match step.message {
            Message::Request(Verb::Invite, cseq) => self.play_invite(step, cseq),
            Message::Request(Verb::Cancel, cseq) => self.play_cancel(step, cseq),
            Message::Request(verb, _) => self.play_in_dialog(step, verb),
            Message::Response(status, verb) => self.play_response(step, status, verb),
        }
    }

    /// The hops a step crosses, in order of travel, with the time at which it enters each.
    fn hops(&self, step: &Step) -> Vec<(usize, i64)> {
        let segments = &self.routes.leg(step.leg).segments;
        let listed = |hop: &usize| {
            step.segments
                .as_ref()
                .is_none_or(|only| only.contains(&segments[*hop]))
        };
        let mut hops: Vec<usize> = (0..segments.len()).filter(listed).collect();
        if step.direction == Direction::ToCaller {
            hops.reverse();
        }
        hops.into_iter()
            .zip(0_i64..)
            .map(|(hop, passed)| (hop, step.at_us + passed * HOP_US))
            .collect()
    }

    fn invite_cseq(&self, leg: usize, given: Option<u32>) -> u32 {
        let last = |leg: usize| {
            self.legs[leg]
                .requests
                .get(&Verb::Invite)
                .map(|open| open.transaction.cseq)
        };
        given
            .or_else(|| last(leg))
            .or_else(|| self.routes.parent(leg).and_then(last))
            .unwrap_or(1)
    }

    fn invite_request(&self, leg: usize, cseq: u32) -> Request {
        Request {
            verb: Verb::Invite,
            transaction: Transaction {
                class: "INVITE",
                cseq,
                direction: Direction::ToCallee,
            },
            from: format!(
                "{};tag={}",
                header::from(&self.routes, leg),
                self.routes.caller_tag(leg)
            ),
            to: header::to(&self.routes, leg),
            dialog_tag: None,
        }
    }

    fn play_invite(&mut self, step: &Step, cseq: Option<u32>) {
        let request = self.invite_request(step.leg, self.invite_cseq(step.leg, cseq));
        let root = self.routes.root(step.leg);
        let counter = &mut self.legs[root].caller_cseq;
        *counter = (*counter).max(request.transaction.cseq);
        self.legs[step.leg].requests.insert(Verb::Invite, request.clone());
        let opening = Opening {
            replaces: self.replaced_dialog(step.leg),
            challenge: self.legs[step.leg].challenge,
        };
        for (hop, at_us) in self.hops(step) {
            let payload = self.hop(step.leg, hop).invite(step, &request, &opening);
            let place = Place {
                leg: step.leg,
                hop,
                direction: step.direction,
                at_us,
                step: Some(step),
            };
            self.put(&place, step.message, request.transaction.cseq, payload);
        }
    }

    /// The Replaces header of a leg that has one: its dialog is what is known of it by now.
    fn replaced_dialog(&self, leg: usize) -> Option<String> {
        let options = &self.routes.leg(leg).options;
        let name = options.replaces.as_ref()?;
        let replaced = self.routes.case.legs.iter().position(|leg| leg.name == *name)?;
        Some(header::replaces(
            &self.routes,
            replaced,
            &self.dialog(replaced).tag,
            options.confirmed,
        ))
    }

    fn hop(&self, leg: usize, hop: usize) -> Hop<'_, 'a> {
        Hop {
            routes: &self.routes,
            leg,
            hop,
        }
    }

    /// CANCEL goes hop by hop: one Via, that of the INVITE (RFC 3261 §9.1), and a 200 from the next node.
    fn play_cancel(&mut self, step: &Step, cseq: Option<u32>) {
        let invite = self.invite_request(step.leg, self.invite_cseq(step.leg, cseq));
        let cancel = Request {
            verb: Verb::Cancel,
            ..invite
        };
        for (hop, at_us) in self.hops(step) {
            let payload = self.hop(step.leg, hop).cancel(step, &cancel);
            let place = Place {
                leg: step.leg,
                hop,
                direction: step.direction,
                at_us,
                step: Some(step),
            };
            self.put(&place, step.message, cancel.transaction.cseq, payload);

            let payload = self.hop(step.leg, hop).cancel_answer(&cancel);
            let place = Place {
                leg: step.leg,
                hop,
                direction: Direction::ToCaller,
                at_us: at_us + HOP_ANSWER_US,
                step: None,
            };
            self.put(
                &place,
                Message::Response(200, Verb::Cancel),
                cancel.transaction.cseq,
                payload,
            );
        }
    }

    /// The dialog of a leg: of its last 2xx, else of its last 1xx; made up if the row starts within it.
    fn dialog(&self, leg: usize) -> Answer {
        let answers = &self.legs[leg].answers;
        let with_status = |wanted: std::ops::Range<u16>| {
            answers
                .iter()
                .rev()
                .find(move |(_, status, ..)| wanted.contains(status))
        };
        with_status(200..300)
            .or_else(|| with_status(101..200))
            .map_or_else(|| self.own_answer(leg, 1, None), |(.., answer)| answer.clone())
    }

    fn in_dialog_request(&mut self, step: &Step, verb: Verb) -> Request {
        let leg = step.leg;
        let root = self.routes.root(leg);
        let invited = self.invite_cseq(leg, None);
        let accepted = self.legs[leg].accepted_cseq;
        let passed_on = self.passed_on(step, verb);
        let state = &mut self.legs[root];
        let (class, cseq) = match (verb, step.direction) {
            (Verb::Ack, _) => ("ACK", accepted.unwrap_or(invited)),
            _ if passed_on.is_some() => (verb.method(), passed_on.unwrap_or_default()),
            (_, Direction::ToCallee) => {
                state.caller_cseq = state.caller_cseq.max(1) + 1;
                (verb.method(), state.caller_cseq)
            }
            (_, Direction::ToCaller) => {
                state.callee_cseq += 1;
                (verb.method(), state.callee_cseq)
            }
        };
        let dialog = self.dialog(leg);
        let to_tag = step
            .tag
            .map_or(dialog.tag, |number| self.routes.numbered_tag(leg, number));
        let caller = format!(
            "{};tag={}",
            header::from(&self.routes, leg),
            self.routes.caller_tag(leg)
        );
        let callee = format!("{};tag={to_tag}", header::to(&self.routes, leg));
        let (from, to) = match step.direction {
            Direction::ToCallee => (caller, callee),
            Direction::ToCaller => (callee, caller),
        };
        let transaction = Transaction {
            class,
            cseq,
            direction: step.direction,
        };
        Request {
            verb,
            transaction,
            from,
            to,
            dialog_tag: Some(to_tag),
        }
    }

    /// The CSeq of a request that comes from another leg of the same Call-ID: what a parent sends down its
    /// branch, or a branch up to its parent, is one request.
    fn passed_on(&self, step: &Step, verb: Verb) -> Option<u32> {
        let root = self.routes.root(step.leg);
        let others = (0..self.legs.len()).filter(|leg| *leg != step.leg && self.routes.root(*leg) == root);
        others
            .filter_map(|leg| self.legs[leg].sent.get(&(verb, step.direction)))
            .find(|(at_us, _)| (0..=PASS_UP_US).contains(&(step.at_us - at_us)))
            .map(|(_, cseq)| *cseq)
    }

    fn play_in_dialog(&mut self, step: &Step, verb: Verb) {
        let request = self.in_dialog_request(step, verb);
        let state = &mut self.legs[step.leg];
        state.requests.insert(verb, request.clone());
        state
            .sent
            .insert((verb, step.direction), (step.at_us, request.transaction.cseq));
        let dialog = self.dialog(step.leg);
        let invited = self.invite_cseq(step.leg, None);
        for (hop, at_us) in self.hops(step) {
            let payload = self
                .hop(step.leg, hop)
                .in_dialog(step, &request, &dialog, invited);
            let place = Place {
                leg: step.leg,
                hop,
                direction: step.direction,
                at_us,
                step: Some(step),
            };
            self.put(&place, step.message, request.transaction.cseq, payload);
        }
    }

    fn play_response(&mut self, step: &Step, status: u16, verb: Verb) {
        let leg = step.leg;
        let request = self.legs[leg].requests.get(&verb).cloned().unwrap_or_else(|| {
            assert_eq!(
                verb,
                Verb::Invite,
                "{}: response without a request",
                self.routes.case.name
            );
            self.invite_request(leg, self.invite_cseq(leg, None))
        });
        let answer = self.answer(step, status, &request);
        let hops = self.hops(step);
        for (hop, at_us) in hops.iter().copied() {
            let payload = self.hop(leg, hop).response(step, status, &request, &answer);
            let place = Place {
                leg,
                hop,
                direction: step.direction,
                at_us,
                step: Some(step),
            };
            self.put(&place, step.message, request.transaction.cseq, payload);
        }
        if request.verb.method() != "INVITE" {
            return;
        }
        let cseq = request.transaction.cseq;
        if verb == Verb::Invite && status > 100 {
            self.legs[leg]
                .answers
                .push((step.at_us, status, cseq, answer.clone()));
        }
        match status {
            300.. => self.acknowledge_failure(leg, &hops, &request, &answer),
            200..300 => {
                self.legs[leg].accepted_cseq = Some(cseq);
                self.acknowledge_answer(step, &hops);
            }
            _ => {}
        }
        if matches!(status, 401 | 407) {
            self.legs[leg].challenge = Some(status);
        }
    }

    /// Who answers, and with which To-tag: that of the notation, of the dialog, of a child that has just
    /// sent the same, or the responder's own.
    fn answer(&self, step: &Step, status: u16, request: &Request) -> Answer {
        let leg = step.leg;
        let cseq = request.transaction.cseq;
        let passed_up = self.passed_up(step, status, cseq);
        let mut answer = passed_up.unwrap_or_else(|| self.own_answer(leg, cseq, Some(step)));
        if let Some(tag) = request.dialog_tag.clone() {
            answer.tag = tag;
        }
        if let Some(number) = step.tag {
            answer.tag = self.routes.numbered_tag(leg, number);
        }
        if let Some(token) = &step.contact {
            answer.contact = format!("<{}>", header::sip_uri(self.routes.cast, token));
        }
        answer
    }

    fn passed_up(&self, step: &Step, status: u16, cseq: u32) -> Option<Answer> {
        let children = (0..self.legs.len()).filter(|child| self.routes.parent(*child) == Some(step.leg));
        children
            .flat_map(|child| &self.legs[child].answers)
            .filter(|(at, sent, number, _)| {
                *sent == status && *number == cseq && (0..=PASS_UP_US).contains(&(step.at_us - at))
            })
            .max_by_key(|(at, ..)| *at)
            .map(|(.., answer)| answer.clone())
    }

    fn own_answer(&self, leg: usize, cseq: u32, step: Option<&Step>) -> Answer {
        let routes = &self.routes;
        let last_hop = routes.leg(leg).segments.len() - 1;
        let hop = step
            .and_then(|step| self.hops(step).first().map(|(hop, _)| *hop))
            .unwrap_or(last_hop);
        let responder = routes.nodes(leg)[hop + 1];
        let party = matches!(responder, Node::Ue { .. }).then(|| routes.leg(leg).callee.clone());
        Answer {
            tag: routes.own_tag(leg, cseq, responder),
            contact: format!("<{}>", header::contact_uri(routes, leg, responder)),
            record_route: routes.record_route(leg, hop),
            party,
            responder,
        }
    }

    /// The ACK of a failure: by the next node, with the branch of the INVITE (RFC 3261 §17.1.1.3).
    fn acknowledge_failure(&mut self, leg: usize, hops: &[(usize, i64)], request: &Request, answer: &Answer) {
        let to = request.to_answered(&answer.tag);
        let ack = Request {
            verb: Verb::Ack,
            to,
            ..request.clone()
        };
        let given_uri = self.request_uri_of(leg, ack.transaction.cseq);
        for (hop, at_us) in hops.iter().copied() {
            let payload = self.hop(leg, hop).failure_ack(&ack, answer, given_uri.as_deref());
            let direction = request.transaction.direction;
            let place = Place {
                leg,
                hop,
                direction,
                at_us: at_us + HOP_ANSWER_US,
                step: None,
            };
            self.put(
                &place,
                Message::Request(Verb::Ack, None),
                ack.transaction.cseq,
                payload,
            );
        }
    }

    /// The Request-URI that the timeline gives to the INVITE with this CSeq (E07).
    fn request_uri_of(&self, leg: usize, cseq: u32) -> Option<String> {
        self.routes.case.steps.iter().find_map(|step| match step.message {
            Message::Request(Verb::Invite, number) if step.leg == leg && number.unwrap_or(1) == cseq => {
                step.request_uri.clone()
            }
            _ => None,
        })
    }

    /// The ACK of a 2xx: end to end, a request of its own, unless the timeline has one or the 2xx is hidden.
    fn acknowledge_answer(&mut self, step: &Step, hops: &[(usize, i64)]) {
        let acknowledged_by_hand =
            self.routes.case.steps.iter().any(|other| {
                other.leg == step.leg && matches!(other.message, Message::Request(Verb::Ack, _))
            });
        if step.hidden || acknowledged_by_hand {
            return;
        }
        let arrived_us = hops.last().map_or(step.at_us, |(_, at_us)| *at_us);
        let direction = match step.direction {
            Direction::ToCaller => Direction::ToCallee,
            Direction::ToCallee => Direction::ToCaller,
        };
        let message = Message::Request(Verb::Ack, None);
        let ack = Step {
            at_us: arrived_us + ACK_US,
            direction,
            message,
            ..blank(step)
        };
        self.play_in_dialog(&ack, Verb::Ack);
    }

    /// Puts one message on one hop, twice if the leg says so.
    fn put(&mut self, place: &Place<'_>, message: Message, cseq: u32, payload: Vec<u8>) {
        let leg = self.routes.leg(place.leg);
        let nodes = self.routes.nodes(place.leg);
        let (near, far) = (nodes[place.hop].address(), nodes[place.hop + 1].address());
        let (source, destination) = match place.direction {
            Direction::ToCallee => (near, far),
            Direction::ToCaller => (far, near),
        };
        self.datagrams += 1;
        let wire = Wire {
            time: self.base.plus_us(place.at_us),
            source,
            destination,
            payload,
            captured: !place.step.is_some_and(|step| step.hidden),
            link: leg.options.link,
            datagram: self.routes.hash(&["datagram", &self.datagrams.to_string()]),
            label: Label {
                case: self.routes.case.name.clone(),
                leg: leg.name.clone(),
                segment: leg.segments[place.hop],
                message: label(message, cseq),
            },
        };
        if leg.options.doubled {
            self.wires.push(Wire {
                time: wire.time.plus_us(COPY_US),
                ..wire.clone()
            });
        }
        self.wires.push(wire);
    }
}

/// A step of the same leg on the same segments, without any of the additions.
fn blank(step: &Step) -> Step {
    Step {
        tag: None,
        reasons: Vec::new(),
        asserted: None,
        contact: None,
        request_uri: None,
        hidden: false,
        ..step.clone()
    }
}

/// Method or status with method, and CSeq number.
fn label(message: Message, cseq: u32) -> String {
    match message {
        Message::Request(verb, _) => format!("{} {cseq}", verb.method()),
        Message::Response(status, verb) => format!("{status}/{} {cseq}", verb.method()),
    }
}

//! From a message to facts.

use std::net::IpAddr;

use ringtap_identity::{
    CalledSource, Contact, Named, Segment, called, callee, caller, caller_from, diversions, party,
};
use ringtap_record::Time;
use ringtap_sip::addr::name_addr;
use ringtap_sip::sdp;
use ringtap_sip::uri::{Uri, uri};
use ringtap_sip::{Global, Header, Message, Method, Start};

use super::hop::{Hop, ViaHash};
use super::{IdentityIndex, LegFacts, ties};
use crate::hash::HashKey;
use crate::nature::{Nature, tagged_contacts};
use crate::reason;
use crate::rules::Rules;
use crate::tick::Tick;

/// A message where and when it was seen.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// Capture time.
    pub time: Time,
    /// Sender's address.
    pub source: IpAddr,
    /// Receiver's address.
    pub destination: IpAddr,
    /// What was said.
    pub message: Message<'a>,
}

impl Observation<'_> {
    /// Whether the message can say anything about a call attempt. The rest (REGISTER, answers to PRACK,
    /// CANCEL or BYE, ...) proves nothing (semantics.md §2.2, D71) and never reaches the table.
    pub(crate) fn concerns_calls(&self) -> bool {
        match self.message.start() {
            Start::Request { method, .. } => matches!(
                method,
                Method::Invite | Method::Ack | Method::Bye | Method::Cancel | Method::Refer | Method::Info
            ),
            Start::Response { .. } => self.message.method() == Method::Invite,
        }
    }

    /// Whether a leg is made for this message if there is none: it tells of an INVITE (D80 to D84). An ACK
    /// or BYE of a dialog that began before the capture proves nothing that matters (D82, D87).
    pub(crate) fn makes_leg(&self) -> bool {
        match self.message.start() {
            Start::Request { method, .. } => matches!(method, Method::Invite | Method::Cancel),
            Start::Response { .. } => true,
        }
    }

    /// Whether this is an INVITE that begins a dialog.
    pub(crate) fn is_initial_invite(&self) -> bool {
        self.message.is_request()
            && self.message.method() == Method::Invite
            && self.message.to_tag().is_none()
    }
}

/// What is needed beside the message.
pub(crate) struct Context<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) keys: &'a HashKey,
}

impl LegFacts {
    /// Joins one message of this leg. `by_callee`: the tags stand the other way round, so the request (or
    /// the request which this response answers) was the callee's. True if the leg may have to be closed
    /// earlier than was known; what only prolongs it is seen when its time comes.
    pub(crate) fn observe(&mut self, seen: &Observation<'_>, by_callee: bool, context: &Context<'_>) -> bool {
        let at = Tick::of(seen.time, self.base);
        match seen.message.start() {
            Start::Request {
                method: Method::Invite,
                ..
            } if seen.message.to_tag().is_some() || by_callee => {
                self.observe_reinvite(seen, by_callee, at, context)
            }
            Start::Request {
                method: Method::Invite,
                ..
            } => self.observe_invite(seen, at, context),
            Start::Request {
                method: Method::Cancel,
                ..
            } => self.observe_cancel(seen, by_callee, at, context),
            Start::Request {
                method: Method::Ack, ..
            } => self.observe_ack(seen, by_callee, at, context),
            Start::Request {
                method: Method::Bye, ..
            } => self.observe_bye(seen, by_callee, at, context),
            Start::Request { .. } => {
                self.rare_mut().in_dialog.latest(at);
                false
            }
            Start::Response { .. } if by_callee => self.mark_in_dialog(seen, by_callee, context),
            Start::Response { status, .. } => self.observe_response(seen, status, at, context),
        }
    }

    /// D60: an INVITE within the dialog creates nothing; from the callee it proves the answer (A3).
    fn observe_reinvite(
        &mut self,
        seen: &Observation<'_>,
        by_callee: bool,
        at: Tick,
        context: &Context<'_>,
    ) -> bool {
        let mut new = self.mark_in_dialog(seen, by_callee, context);
        self.rare_mut().in_dialog.latest(at);
        if by_callee {
            new |= self.rare_mut().callee_request.earliest(at);
            self.join_callee_tag(seen, context);
        }
        new
    }

    fn mark_in_dialog(&mut self, seen: &Observation<'_>, by_callee: bool, context: &Context<'_>) -> bool {
        let via = via(seen, context);
        let Some(hop) = self.hop_mut(via, seen.message.cseq()) else {
            return false;
        };
        let new = hop.mark(Hop::IN_DIALOG);
        new | (!by_callee && hop.mark(Hop::CALLERS_REINVITE))
    }

    fn join_callee_tag(&mut self, seen: &Observation<'_>, context: &Context<'_>) {
        if let Some(tag) = seen.message.from_tag() {
            let tag = context.keys.short(tag);
            let known = &mut self.rare_mut().callee_tag;
            *known = if *known == 0 { tag } else { tag.min(*known) };
        }
    }

    fn observe_invite(&mut self, seen: &Observation<'_>, at: Tick, context: &Context<'_>) -> bool {
        let message = &seen.message;
        let via = via(seen, context);
        let Some(hop) = self.hop_mut(via, message.cseq()) else {
            return false;
        };
        hop.join_invite(at);
        if hop.mark(Hop::INVITE) {
            self.read_invite(seen, via, context);
        }
        false
    }

    /// Reads what only the INVITE says, once for each hop: whom it is for, who calls, what kind it is.
    fn read_invite(&mut self, seen: &Observation<'_>, via: ViaHash, context: &Context<'_>) {
        let (message, rules) = (&seen.message, context.rules);
        let segment = rules.segment(seen.source, seen.destination);
        let (target, source) = called(message, segment, &rules.plan)
            .map(|called| (called.identity, called.source))
            .unzip();
        let phone = phone(message, segment, source, context);
        // Where the end of the headers is cut off, Privacy may have stood there: From alone then (§3.4).
        let read_caller = if message.truncated() { caller_from } else { caller };
        let claim = read_caller(message, segment, &rules.plan);
        let offer = sdp::offer(message);
        // A plain number has no parameter but `user`.
        let request_uri = message
            .request_uri()
            .filter(|text| Global::of_uri(text).is_none())
            .and_then(uri);
        let nature = Nature::of(
            message,
            request_uri.as_ref(),
            offer.as_ref(),
            target.as_ref(),
            claim.identity.as_ref(),
            rules,
        );
        self.nature = self.nature.union(nature);
        self.join_caller(claim, segment);
        if message.header(Header::HistoryInfo).is_some() || message.header(Header::Diversion).is_some() {
            self.remember_diversions(diversions(message, &rules.plan, segment));
        }
        let target = target.map_or(IdentityIndex::NONE, |identity| self.remember(identity));
        self.read_to(message, segment, rules);
        self.ties.read(message, offer.as_ref(), segment, context);
        if let Some(dialog) = ties::replaced(message, context.keys) {
            self.rare_mut().replaced = Some(Box::new(dialog));
        }
        if self.rare().referred_by.is_none()
            && let Some(by) = message.header(Header::ReferredBy)
        {
            let by = self.remember_named(party(by, segment, &rules.plan));
            if !by.is_none() {
                self.rare_mut().referred_by = by;
            }
        }
        self.has_news = true;
        let mut vias = message.vias_below();
        let parent = vias
            .next()
            .map_or(ViaHash::NONE, |via| ViaHash::of(context.keys.hop(&via)));
        let below = if parent == ViaHash::NONE {
            1
        } else {
            2 + vias.count()
        };
        let Some(hop) = self.hop_mut(via, message.cseq()) else {
            return;
        };
        hop.segment = segment;
        hop.target = target;
        hop.source = source;
        hop.phone = phone;
        hop.parent = parent;
        hop.depth = u8::try_from(below).unwrap_or(u8::MAX);
        hop.contact = context.keys.short(message.request_uri().unwrap_or_default());
        if request_uri.is_some_and(|uri| is_voicemail(&uri)) {
            hop.mark(Hop::VOICEMAIL_URI);
        }
    }

    fn observe_cancel(
        &mut self,
        seen: &Observation<'_>,
        by_callee: bool,
        at: Tick,
        context: &Context<'_>,
    ) -> bool {
        let message = &seen.message;
        // The CANCEL of an INVITE that began a dialog has no To-tag (RFC 3261 §9.1); this one is a re-INVITE's.
        if message.to_tag().is_some() || by_callee {
            return self.mark_in_dialog(seen, by_callee, context);
        }
        let rules = context.rules;
        let segment = rules.segment(seen.source, seen.destination);
        let said = reason::read(message, rules.q850_13_elsewhere);
        let via = via(seen, context);
        self.read_partial(seen, via, segment, context);
        let without_invite = self
            .hop_mut(via, message.cseq())
            .is_some_and(|hop| !hop.has(Hop::INVITE) && hop.target.is_none());
        // D80: the CANCEL repeats the Request-URI of the INVITE.
        let (target, source) = if without_invite {
            called(message, segment, &rules.plan)
                .map(|called| (called.identity, called.source))
                .unzip()
        } else {
            (None, None)
        };
        let target = target.map_or(IdentityIndex::NONE, |identity| self.remember(identity));
        let Some(hop) = self.hop_mut(via, message.cseq()) else {
            return false;
        };
        if without_invite {
            hop.target = target;
            hop.source = source;
            hop.phone = phone(message, segment, source, context);
            hop.segment = segment;
        }
        let line = said.line < hop.line;
        hop.line = hop.line.min(said.line);
        let is_first = !hop.end().seen();
        let new = hop.cancel.earliest(at);
        self.has_news |= is_first && !segment.is_originating();
        new | line
    }

    /// From and To of a message on a hop whose INVITE has not been seen (D80, D81, D84). From is claimed for
    /// the hop it was seen on: what GT and MT show is what reaches the callee's phone (semantics.md §3.4).
    fn read_partial(
        &mut self,
        seen: &Observation<'_>,
        via: ViaHash,
        segment: Segment,
        context: &Context<'_>,
    ) {
        let Some(hop) = self.hop_mut(via, seen.message.cseq()) else {
            return;
        };
        if is_unread(hop) {
            self.read_from(seen, segment, context);
        }
    }

    fn read_from(&mut self, seen: &Observation<'_>, segment: Segment, context: &Context<'_>) {
        self.join_caller(caller_from(&seen.message, segment, &context.rules.plan), segment);
        self.has_news = true;
        self.read_to(&seen.message, segment, context.rules);
    }

    fn read_to(&mut self, message: &Message<'_>, segment: Segment, rules: &Rules) {
        if self.to.is_none() {
            self.to = self.remember_named(party(message.to(), segment, &rules.plan));
        }
    }

    /// The index of an identity that a message names, which is made and kept if it is new.
    fn remember_named(&mut self, named: Option<Named<'_>>) -> IdentityIndex {
        let Some(named) = named else {
            return IdentityIndex::NONE;
        };
        match self.identities.iter().position(|known| named.is(known)) {
            Some(at) => u8::try_from(at).map_or(IdentityIndex::NONE, IdentityIndex),
            None => named
                .into_identity()
                .map_or(IdentityIndex::NONE, |identity| self.remember(identity)),
        }
    }

    fn observe_ack(
        &mut self,
        seen: &Observation<'_>,
        by_callee: bool,
        at: Tick,
        context: &Context<'_>,
    ) -> bool {
        let cseq = seen.message.cseq();
        if by_callee || self.is_in_dialog(cseq) {
            return false;
        }
        let via = via(seen, context);
        let known = self.hops.iter().any(|hop| hop.via == via && hop.cseq == cseq);
        // Once a 2xx is known, its ACK adds nothing (A1 and A2 prove the same).
        if !known && self.hops.iter().any(Hop::is_answered) {
            return false;
        }
        let Some(hop) = self.hop_mut(via, cseq) else {
            return false;
        };
        if hop.segment == Segment::Unknown {
            hop.segment = context.rules.segment(seen.source, seen.destination);
        }
        let tag = seen.message.to_tag().map_or(0, |tag| context.keys.short(tag));
        hop.join_tag(tag, at);
        hop.ack.earliest(at)
    }

    fn observe_bye(
        &mut self,
        seen: &Observation<'_>,
        by_callee: bool,
        at: Tick,
        context: &Context<'_>,
    ) -> bool {
        let said = reason::read(&seen.message, context.rules.q850_13_elsewhere);
        if said.line < self.rare().bye_line {
            self.rare_mut().bye_line = said.line;
        }
        if by_callee {
            self.join_callee_tag(seen, context);
            self.rare_mut().callee_bye.earliest(at)
        } else {
            let tag = seen.message.to_tag().map_or(0, |tag| context.keys.short(tag));
            let rare = self.rare_mut();
            rare.caller_bye_tag = rare.caller_bye_tag.max(tag);
            rare.caller_bye.earliest(at)
        }
    }

    fn observe_response(
        &mut self,
        seen: &Observation<'_>,
        status: u16,
        at: Tick,
        context: &Context<'_>,
    ) -> bool {
        let message = &seen.message;
        let rules = context.rules;
        // A response travels against its request.
        let segment = rules.segment(seen.destination, seen.source);
        let tag = message.to_tag().map_or(0, |tag| context.keys.short(tag));
        let via = via(seen, context);
        let Some(mut hop) = self.hop_mut(via, message.cseq()) else {
            return matches!(status, 200..=299) && self.rare_mut().left_out_answer.earliest(at);
        };
        if is_unread(hop) {
            self.read_from(seen, segment, context);
            let Some(again) = self.hop_mut(via, message.cseq()) else {
                return false;
            };
            hop = again;
        }
        if hop.segment == Segment::Unknown {
            hop.segment = segment;
        }
        if status > 100 {
            hop.join_tag(tag, at);
        }
        if status < 200 {
            let alerts = status == 180 || (status == 183 && rules.alerts_by_183(seen.source));
            if status == 199 {
                // D35: that early dialog ended, which is no sign of life; the final is still to come.
                hop.first.earliest(at);
                return false;
            }
            let rings = hop.join_provisional(at, alerts);
            if status == 181 {
                hop.mark(Hop::FORWARDED);
            }
            if rings && segment == Segment::Mt {
                self.read_callee(seen, via, segment, rules);
            }
            return false;
        }
        let said = reason::read(message, rules.q850_13_elsewhere);
        // Pooling b takes the Reason of CANCEL, 487 and BYE; that of another final is its own (D15, MGCF caveat).
        if status == 487 {
            hop.line = hop.line.min(said.line);
        }
        let is_first = !hop.end().seen();
        if !hop.join_final(status, at, tag, said.q850) {
            return false;
        }
        // When a branch ended tells its successor (§4.4); the caller's side ends with the leg.
        self.has_news |= is_first && !segment.is_originating();
        self.read_final(seen, status, via, segment, rules);
        true
    }

    /// Whom the phone that rings belongs to, as the P-CSCF says it (semantics.md §3.2 rule 4). Only on MT: on GT
    /// the phone says it itself, on MO the network says whom the call was connected to in the end.
    fn read_callee(&mut self, seen: &Observation<'_>, via: ViaHash, segment: Segment, rules: &Rules) {
        let callee = self.remember_named(callee(&seen.message, segment, &rules.plan));
        if let Some(hop) = self.hop_mut(via, seen.message.cseq()) {
            hop.callee = callee;
        }
    }

    /// Who answered (2xx) or where the phone points to (3xx).
    fn read_final(
        &mut self,
        seen: &Observation<'_>,
        status: u16,
        via: ViaHash,
        segment: Segment,
        rules: &Rules,
    ) {
        let message = &seen.message;
        let (machine, other) = match status {
            200..=299 => (
                is_machine_answer(message, segment, rules),
                callee(message, segment, &rules.plan),
            ),
            300..=399 => (
                false,
                message
                    .values(Header::Contact)
                    .next()
                    .and_then(|value| party(value, segment, &rules.plan)),
            ),
            _ => return,
        };
        let other = self.remember_named(other);
        if let Some(hop) = self.hop_mut(via, message.cseq()) {
            hop.other = other;
            if machine {
                hop.mark(Hop::MACHINE);
            }
        }
    }
}

/// The hop transaction's own Via (RFC 3261 §17.1.3).
fn via(seen: &Observation<'_>, context: &Context<'_>) -> ViaHash {
    ViaHash::of(context.keys.hop(&seen.message.top_via()))
}

/// The key of the phone's contact on this hop: the caller's, from Contact, on GO; the callee's, from the
/// Request-URI, where the called person is not named by P-Called-Party-ID or a public Request-URI. On MT and GT
/// even a Request-URI within the home domain may be a contact (semantics.md §3.2 rule 2).
fn phone(
    message: &Message<'_>,
    segment: Segment,
    source: Option<CalledSource>,
    context: &Context<'_>,
) -> u64 {
    let contact = match (segment, source) {
        (Segment::Go, _) => message
            .values(Header::Contact)
            .next()
            .and_then(name_addr)
            .and_then(|address| Contact::of(address.uri)),
        (Segment::Mo | Segment::Gi | Segment::Gj, _) | (_, Some(CalledSource::CalledParty)) => None,
        (Segment::Unknown, Some(CalledSource::RequestUri)) => None,
        (Segment::Mt | Segment::Gt | Segment::Unknown, _) => message.request_uri().and_then(Contact::of),
    };
    contact.map_or(0, |contact| context.keys.contact(&contact))
}

/// Whether From is to be read off a message of this hop, because its INVITE has not been seen and no other was read.
const fn is_unread(hop: &mut Hop) -> bool {
    !hop.has(Hop::INVITE) && hop.mark(Hop::FROM_READ)
}

/// RFC 4458: a Request-URI with `target=` and `cause=` leads to voicemail.
fn is_voicemail(uri: &Uri<'_>) -> bool {
    uri.params.has(b"target") && uri.params.has(b"cause")
}

/// Semantics.md §2.6: P-Asserted-Identity or Contact of the 2xx is a machine's, or the Contact says so
/// by the feature tags of RFC 3840.
fn is_machine_answer(message: &Message<'_>, segment: Segment, rules: &Rules) -> bool {
    let named = rules.knows_machines()
        && [Header::PAssertedIdentity, Header::Contact]
            .into_iter()
            .any(|header| {
                message.values(header).any(|value| {
                    name_addr(value).is_some_and(|address| rules.is_machine(address.uri, segment))
                })
            });
    named
        || tagged_contacts(message).any(|address| {
            address.params.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case(b"automata")
                    || (name.eq_ignore_ascii_case(b"actor")
                        && value.is_some_and(|actor| actor.eq_ignore_ascii_case(b"msg-taker")))
            })
        })
}

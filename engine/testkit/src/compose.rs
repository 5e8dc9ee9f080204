//! The text of each kind of message on one hop.
//!
//! What a message says is decided by the story (`crate::generate`); here it gets its headers in order.

use crate::cast::Side;
use crate::fixtures::{HOME_DOMAIN, Node};
use crate::header;
use crate::message::Text;
use crate::notation::{Direction, Segment, Step, Verb};
use crate::route::{Routes, Transaction};

/// Size of the hostile INVITE without its body where it is to travel in fragments.
const PADDED_BYTES: usize = 3_000;
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, INFO, REFER, NOTIFY";

/// A request of a leg, the same on each hop but for its Via.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) transaction: Transaction,
    /// From and To with the tags that they have in the request.
    pub(crate) from: String,
    pub(crate) to: String,
    /// The callee's tag, in a request within a dialog.
    pub(crate) dialog_tag: Option<String>,
}

impl Request {
    /// The To header of a response, or of the ACK of a failure.
    pub(crate) fn to_answered(&self, tag: &str) -> String {
        match self.dialog_tag {
            Some(_) => self.to.clone(),
            None => format!("{};tag={tag}", self.to),
        }
    }
}

/// Who answered an INVITE, as the dialog remembers it.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) tag: String,
    pub(crate) contact: String,
    pub(crate) record_route: Vec<String>,
    /// The identity that answered, when it was a phone of ours.
    pub(crate) party: Option<String>,
    pub(crate) responder: Node,
}

/// What a dialog-creating INVITE may carry beside the ordinary.
pub(crate) struct Opening {
    /// Value of the Replaces header.
    pub(crate) replaces: Option<String>,
    /// Status of the challenge that it answers.
    pub(crate) challenge: Option<u16>,
}

/// One hop of one leg.
pub(crate) struct Hop<'r, 'a> {
    pub(crate) routes: &'r Routes<'a>,
    pub(crate) leg: usize,
    pub(crate) hop: usize,
}

impl Hop<'_, '_> {
    pub(crate) fn invite(&self, step: &Step, request: &Request, opening: &Opening) -> Vec<u8> {
        let routes = self.routes;
        let leg = routes.leg(self.leg);
        let uri = header::request_uri(routes, self.leg, self.hop, step.request_uri.as_deref());
        let mut text = Text::request("INVITE", &uri);
        text.headers("Via", routes.vias(self.leg, self.hop, &request.transaction))
            .header(
                "Max-Forwards",
                &routes.max_forwards(self.leg, self.hop).to_string(),
            )
            .headers("Route", routes.opening_route(self.leg, self.hop))
            .headers("Record-Route", routes.record_route(self.leg, self.hop));
        self.dialog_headers(request, &request.to, &mut text)
            .header("Contact", &header::caller_contact(routes, self.leg));
        for (name, value) in header::identity_headers(routes, self.leg, self.hop) {
            text.header(name, &value);
        }
        if let Some(token) = &leg.options.referred_by {
            let uri = header::sip_uri(routes.cast, token);
            text.header("Referred-By", &format!("<{uri}>"));
        }
        if let Some(replaces) = &opening.replaces {
            text.header("Replaces", replaces).header("Require", "replaces");
        }
        if let Some(status) = opening
            .challenge
            .filter(|_| leg.segments[self.hop] == Segment::Go)
        {
            let name = if status == 401 {
                "Authorization"
            } else {
                "Proxy-Authorization"
            };
            text.header(name, &self.credentials());
        }
        text.headers("Reason", &step.reasons)
            .header("Allow", ALLOW)
            .header("Supported", "100rel, timer, replaces, histinfo")
            .header("Session-Expires", "1800;refresher=uac")
            .header("Accept", "application/sdp");
        if leg.options.evil && leg.options.link.fragment_bytes.is_some() {
            text.pad_to(PADDED_BYTES);
        }
        text.with_sdp(&self.caller_sdp())
    }

    /// CANCEL has one Via, that of the INVITE on this hop (RFC 3261 §9.1).
    pub(crate) fn cancel(&self, step: &Step, cancel: &Request) -> Vec<u8> {
        let uri = header::request_uri(self.routes, self.leg, self.hop, step.request_uri.as_deref());
        self.hop_request(&uri, cancel)
            .headers("Reason", &step.reasons)
            .bare()
    }

    /// The 200 of a CANCEL comes from the next node, with the tag it would give the INVITE (§9.2).
    pub(crate) fn cancel_answer(&self, cancel: &Request) -> Vec<u8> {
        let responder = self.routes.nodes(self.leg)[self.hop + 1];
        let tag = self.routes.own_tag(self.leg, cancel.transaction.cseq, responder);
        let mut text = Text::response(200);
        text.header(
            "Via",
            &self.routes.top_via(self.leg, self.hop, &cancel.transaction),
        );
        self.dialog_headers(cancel, &cancel.to_answered(&tag), &mut text)
            .bare()
    }

    /// The ACK of a failure has one Via, that of the INVITE on this hop (§17.1.1.3).
    pub(crate) fn failure_ack(&self, ack: &Request, answer: &Answer, given_uri: Option<&str>) -> Vec<u8> {
        let uri = match ack.dialog_tag {
            Some(_) => uri_of(&answer.contact).to_owned(),
            None => header::request_uri(self.routes, self.leg, self.hop, given_uri),
        };
        self.hop_request(&uri, ack).bare()
    }

    pub(crate) fn in_dialog(&self, step: &Step, request: &Request, dialog: &Answer, invited: u32) -> Vec<u8> {
        let (routes, leg) = (self.routes, self.leg);
        let caller_contact = header::caller_contact(routes, leg);
        let (target, own_contact) = match step.direction {
            Direction::ToCallee => (uri_of(&dialog.contact), &caller_contact),
            Direction::ToCaller => (uri_of(&caller_contact), &dialog.contact),
        };
        let forwards_left = match step.direction {
            Direction::ToCallee => routes.max_forwards(leg, self.hop),
            Direction::ToCaller => 70 - (routes.nodes(leg).len() - 2 - self.hop),
        };
        let mut text = Text::request(request.verb.method(), target);
        text.headers("Via", routes.vias(leg, self.hop, &request.transaction))
            .header("Max-Forwards", &forwards_left.to_string())
            .headers("Route", routes.dialog_route(leg, self.hop, step.direction));
        self.dialog_headers(request, &request.to, &mut text)
            .headers("Reason", &step.reasons);
        match request.verb {
            Verb::Refer => {
                let target = step.contact.as_deref().unwrap_or_default();
                let target = header::sip_uri(self.routes.cast, target);
                text.header("Refer-To", &format!("<{target}>")).bare()
            }
            Verb::Notify => text
                .header("Event", "refer")
                .header("Subscription-State", "terminated;reason=noresource")
                .with_body("message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\n"),
            Verb::Prack => text.header("RAck", &format!("1 {invited} INVITE")).bare(),
            Verb::Reinvite | Verb::Update => text.header("Contact", own_contact).with_sdp(&self.caller_sdp()),
            _ => text.bare(),
        }
    }

    pub(crate) fn response(&self, step: &Step, status: u16, request: &Request, answer: &Answer) -> Vec<u8> {
        let (routes, leg) = (self.routes, self.leg);
        let to = if status == 100 {
            request.to.clone()
        } else {
            request.to_answered(&answer.tag)
        };
        let mut text = Text::response(status);
        text.headers("Via", routes.vias(leg, self.hop, &request.transaction));
        self.dialog_headers(request, &to, &mut text)
            .headers("Reason", &step.reasons);
        if request.verb.method() == "INVITE" && status > 100 {
            self.invite_answer_headers(step, status, answer, &mut text);
        }
        let offered = matches!(request.verb, Verb::Invite | Verb::Reinvite | Verb::Update);
        if offered && matches!(status, 183 | 200) {
            return text.with_sdp(&header::sdp(routes, leg, Side::Callee, answer.responder));
        }
        text.bare()
    }

    fn invite_answer_headers(&self, step: &Step, status: u16, answer: &Answer, text: &mut Text) {
        if status < 300 {
            text.headers("Record-Route", &answer.record_route);
        }
        if status < 400 {
            text.header("Contact", &answer.contact);
        }
        // The connected party of semantics.md §3.1: not on Gm, where phones say nothing, nor from the PSTN.
        let segment = self.routes.leg(self.leg).segments[self.hop];
        let vouched = matches!(segment, Segment::Mo | Segment::Mt | Segment::Gi);
        let party = answer.party.as_ref().filter(|_| vouched && status < 300);
        if let Some(party) = step.asserted.as_ref().or(party) {
            text.header(
                "P-Asserted-Identity",
                &format!("<{}>", header::tel_uri(self.routes.cast, party)),
            );
        }
        match status {
            183 => _ = text.header("Require", "100rel").header("RSeq", "1"),
            200 => {
                _ = text
                    .header("Allow", ALLOW)
                    .header("Supported", "100rel, timer, replaces")
            }
            401 => _ = text.header("WWW-Authenticate", &self.challenge()),
            407 => _ = text.header("Proxy-Authenticate", &self.challenge()),
            _ => {}
        }
    }

    /// The head of CANCEL and of the ACK of a failure: both repeat what the INVITE had on this hop.
    fn hop_request(&self, uri: &str, request: &Request) -> Text {
        let transaction = &request.transaction;
        let route = match request.dialog_tag {
            Some(_) => self
                .routes
                .dialog_route(self.leg, self.hop, transaction.direction),
            None => self.routes.opening_route(self.leg, self.hop),
        };
        let mut text = Text::request(request.verb.method(), uri);
        text.header("Via", &self.routes.top_via(self.leg, self.hop, transaction))
            .header("Max-Forwards", "70")
            .headers("Route", route);
        self.dialog_headers(request, &request.to, &mut text);
        text
    }

    fn dialog_headers<'t>(&self, request: &Request, to: &str, text: &'t mut Text) -> &'t mut Text {
        text.header("From", &request.from)
            .header("To", to)
            .header("Call-ID", &self.routes.call_id(self.leg))
            .header(
                "CSeq",
                &format!("{} {}", request.transaction.cseq, request.verb.method()),
            )
    }

    fn caller_sdp(&self) -> String {
        header::sdp(self.routes, self.leg, Side::Caller, self.routes.origin(self.leg))
    }

    fn challenge(&self) -> String {
        let nonce = self.routes.hash(&["nonce"]);
        format!("Digest realm=\"{HOME_DOMAIN}\", nonce=\"{nonce:016x}\", algorithm=MD5")
    }

    fn credentials(&self) -> String {
        let caller = self.routes.cast.identity(&self.routes.leg(self.leg).caller);
        format!(
            "Digest username=\"{caller}@{HOME_DOMAIN}\", realm=\"{HOME_DOMAIN}\", nonce=\"{:016x}\", \
             uri=\"sip:{HOME_DOMAIN}\", response=\"{:016x}{:016x}\", algorithm=MD5",
            self.routes.hash(&["nonce"]),
            self.routes.hash(&["response", "first half"]),
            self.routes.hash(&["response", "second half"]),
        )
    }
}

/// The URI between the angle brackets of a Contact.
fn uri_of(contact: &str) -> &str {
    contact
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap_or(contact)
}

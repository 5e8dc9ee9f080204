//! Who is called: the precedence of semantics.md §3.2, for one message on one segment.

use ringtap_sip::{Global, Header, Message};

use crate::diversion::last_called;
use crate::party::Party;
use crate::{Identity, Named, Plan, Segment};

/// A called identity and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The identity.
    pub identity: Identity,
    /// Where it was read.
    pub source: CalledSource,
}

/// Where a called identity was read; the greater is believed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CalledSource {
    /// Rule 6: To, which nobody rewrites: perhaps the number that was dialled before a diversion.
    To,
    /// Rule 5: the last History-Info entry that is not a contact.
    History,
    /// Rule 4: the callee's side asserted it in a response. Not in the message itself.
    Asserted,
    /// Rule 3: whose phone it is, as a registrar told it. Not in the message itself.
    Registered,
    /// Rule 2: a Request-URI that is no contact.
    RequestUri,
    /// Rule 1: P-Called-Party-ID.
    CalledParty,
}

/// The called identity of an INVITE or a CANCEL, for the branch that this message belongs to.
///
/// Not for responses: their called side is that of the request. Not for requests that the callee
/// sends: their From and To are swapped.
#[must_use]
pub fn called(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Called> {
    let found = |source| move |identity| Called { identity, source };
    // Rules 3 and 4, the learned binding of a contact and the callee's own P-Asserted-Identity, need
    // memory of other messages: who has it puts them before what comes from History-Info or To.
    called_party(msg, segment, plan)
        .map(found(CalledSource::CalledParty))
        .or_else(|| request_uri(msg, segment, plan).map(found(CalledSource::RequestUri)))
        .or_else(|| last_called(msg, segment, plan).map(found(CalledSource::History)))
        .or_else(|| to(msg, segment, plan).map(found(CalledSource::To)))
}

/// What the caller asked for: the Request-URI if it is no contact, else To.
#[must_use]
pub fn dialled(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    request_uri(msg, segment, plan).or_else(|| to(msg, segment, plan))
}

/// Rule 4: the callee's P-Asserted-Identity in a response, which the P-CSCF takes from the P-Called-Party-ID
/// of the request and the core from the callee's registration. Whether the response came from there is the
/// caller's to know.
#[must_use]
pub fn asserted_callee(response: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    callee(response, segment, plan)?.into_identity()
}

/// As [`asserted_callee`], not yet made an identity.
#[must_use]
pub fn callee<'a>(response: &Message<'a>, segment: Segment, plan: &Plan) -> Option<Named<'a>> {
    crate::caller::of_pair(response, Header::PAssertedIdentity, segment, plan).0
}

/// The core writes P-Called-Party-ID towards the callee; from elsewhere it is a claim.
pub(crate) fn called_party(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    if segment.is_originating() {
        return None;
    }
    party(msg.header(Header::PCalledPartyId)?, segment, plan)?.into_identity()
}

pub(crate) fn request_uri(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    let text = msg.request_uri()?;
    if let Some(global) = Global::of_uri(text) {
        let is_public = plan.is_public_global(&global);
        return plan
            .named_global(&global, segment)
            .filter(|_| is_public)?
            .into_identity();
    }
    let uri = ringtap_sip::uri::uri(text)?;
    plan.is_public_uri(&uri)
        .then(|| plan.identify_uri(&uri, segment))
        .flatten()
}

fn to(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    party(msg.to(), segment, plan)?.into_identity()
}

/// The identity in one value of a header field: To, Referred-By, ...
#[must_use]
pub fn party<'a>(value: &'a [u8], segment: Segment, plan: &Plan) -> Option<Named<'a>> {
    Party::of(value)?.named(segment, plan)
}

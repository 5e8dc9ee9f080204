//! Who registered where: 200 to REGISTER (RFC 3261 §10.3, RFC 7315 §4.1) and the reg-event NOTIFY (RFC 3680).
//!
//! One message is turned into what it says: addresses of record with their contacts, and which identities
//! were registered together. Whether its sender may be believed, and what earlier messages said, is for
//! `ringtap-calls`; the XML of NOTIFY is read in `reginfo`.

use ringtap_sip::addr::name_addr;
use ringtap_sip::uri::uri;
use ringtap_sip::{Header, Message, Method};

use crate::{Contact, Identity, Plan, Segment, reginfo};

/// Contacts read of one address of record.
pub const CONTACTS_MAX: usize = 16;

/// Members read of an implicit registration set. Real ones have two to four.
pub const SET_MEMBERS_MAX: usize = 64;

/// What one message says of registrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Addresses of record and their contacts.
    pub registered: Vec<Registered>,
    /// Identities that are registered together.
    pub sets: Vec<ImplicitSet>,
    /// Wildcarded identities, which were left out: they name a range of numbers, not a person.
    pub wildcards: u32,
}

/// An address of record and its contacts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// The identity; of a set the one that was registered itself, or the network's default if that one is
    /// barred.
    pub aor: Identity,
    /// It was named in a REGISTER, not only registered along with another.
    pub explicit: bool,
    /// All its contacts are listed: any other is gone.
    pub complete: bool,
    /// The contacts, at most [`CONTACTS_MAX`].
    pub contacts: Vec<RegisteredContact>,
}

/// A contact as a registrar tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisteredContact {
    /// Which.
    pub contact: Contact,
    /// Seconds for which it is registered from now; 0: it is no more.
    pub expires_s: u32,
}

/// Identities that one registration brought with it (TS 24.229 §5.4.1.2), sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImplicitSet {
    /// The identity under which the set is known: what was registered, or subscribed to.
    pub aor: Identity,
    /// All of them, at most [`SET_MEMBERS_MAX`]; a larger set is not told at all.
    pub members: Vec<Identity>,
}

/// A reg-event document that cannot be used: no XML, too large, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Whether a message is about registrations: cheap to say, as most are not.
#[must_use]
pub fn is_registration(msg: &Message<'_>) -> bool {
    match msg.method() {
        Method::Register => matches!(msg.status(), Some(200..=299)),
        Method::Notify => msg.is_request() && is_reg_event(msg),
        _ => false,
    }
}

/// What a message says of registrations; `None` for one that is not about them, or that one server sends
/// another on behalf of somebody.
pub fn registration(
    msg: &Message<'_>,
    segment: Segment,
    plan: &Plan,
) -> Option<Result<Registration, Unreadable>> {
    if !is_registration(msg) {
        None
    } else if msg.is_request() {
        Some(reginfo::read(msg, segment, plan))
    } else {
        of_register(msg, segment, plan).map(Ok)
    }
}

fn is_reg_event(msg: &Message<'_>) -> bool {
    let package = |value: &[u8]| {
        let package = value.split(|byte| *byte == b';').next().unwrap_or_default();
        package.trim_ascii().eq_ignore_ascii_case(b"reg")
    };
    msg.header(Header::Event).is_some_and(package)
}

/// The answer lists all contacts of To (RFC 3261 §10.3 step 8), and P-Associated-URI what was registered along
/// with it: the default identity first, barred ones left out (TS 24.229 §5.4.1.2.2).
fn of_register(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Registration> {
    let to = plan.identify(name_addr(msg.to())?.uri, segment)?;
    // Who registers for somebody else is a server that tells another one (RFC 3261 §10.2, TS 24.229
    // §5.4.1.7): the contact is the server's own.
    if plan.identify(name_addr(msg.from())?.uri, segment).as_ref() != Some(&to) {
        return None;
    }
    let default_s = msg.header(Header::Expires).and_then(seconds);
    let mut all = true;
    let mut contacts = Vec::new();
    for value in msg.values(Header::Contact) {
        let read = name_addr(value).and_then(|address| {
            let expires_s = address.params.get(b"expires").and_then(seconds);
            Some(RegisteredContact {
                contact: Contact::of(address.uri)?,
                expires_s: expires_s.or(default_s).unwrap_or(EXPIRES_S),
            })
        });
        match read {
            Some(contact) if contacts.len() < CONTACTS_MAX => contacts.push(contact),
            // Contacts of other schemes are none of a phone that is called here.
            None => {}
            Some(_) => all = false,
        }
    }
    let associated = associated(msg, segment, plan);
    let aor = match &associated.first {
        Some(first) if !associated.members.contains(&to) => first.clone(),
        _ => to.clone(),
    };
    let is_live = contacts.iter().any(|contact| contact.expires_s > 0);
    let tells_set = is_live && !associated.members.is_empty() && !associated.overflowed && !msg.truncated();
    let sets = tells_set.then(|| ImplicitSet {
        aor: aor.clone(),
        members: associated.members,
    });
    Some(Registration {
        registered: vec![Registered {
            aor,
            explicit: true,
            complete: all && !msg.truncated(),
            contacts,
        }],
        sets: sets.into_iter().collect(),
        wildcards: associated.wildcards,
    })
}

/// Where the registrar says nothing (RFC 3261 §10.2.1.1).
pub(crate) const EXPIRES_S: u32 = 3600;

/// Digits; more than fit are as good as for ever (RFC 3261 §20.19).
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(text).ok()?.parse().unwrap_or(u32::MAX))
}

#[derive(Default)]
struct Associated {
    first: Option<Identity>,
    members: Vec<Identity>,
    wildcards: u32,
    overflowed: bool,
}

fn associated(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Associated {
    let mut found = Associated::default();
    for value in msg.values(Header::PAssociatedUri) {
        let Some(address) = name_addr(value) else { continue };
        if is_wildcard(address.uri) {
            found.wildcards += 1;
            continue;
        }
        let Some(identity) = plan.identify(address.uri, segment) else {
            continue;
        };
        found.first.get_or_insert_with(|| identity.clone());
        if found.members.len() >= SET_MEMBERS_MAX {
            found.overflowed = true;
        } else if !found.members.contains(&identity) {
            found.members.push(identity);
        }
    }
    found.members.sort_unstable();
    found
}

/// A wildcarded identity has a regular expression between exclamation marks (TS 23.003 §13.5).
pub(crate) fn is_wildcard(uri_bytes: &[u8]) -> bool {
    uri(uri_bytes)
        .and_then(|uri| uri.user)
        .is_some_and(|user| user.iter().filter(|byte| **byte == b'!').count() >= 2)
}

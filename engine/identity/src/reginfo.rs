//! The reg-event document of RFC 3680, `application/reginfo+xml`.
//!
//! It is read as a stream in one pass: whoever writes the document decides neither how much memory nor how
//! much time it takes. (Trees with namespaces cost time with the square of a datagram and worse.) A DTD makes
//! it unreadable, so there are no entities to expand; names are taken without their prefix.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use ringtap_sip::addr::name_addr;
use ringtap_sip::{Header, Message};

use crate::registration::{EXPIRES_S, is_wildcard, seconds};
use crate::{
    CONTACTS_MAX, Contact, Identity, ImplicitSet, Plan, Registered, RegisteredContact, Registration,
    SET_MEMBERS_MAX, Segment, Unreadable,
};

/// Levels of elements; the format has four, its extensions one more.
const DEPTH_MAX: usize = 16;

/// Attributes looked at in one element.
const ATTRIBUTES_MAX: usize = 32;

/// Addresses of record read of one document.
const REGISTRATIONS_MAX: usize = SET_MEMBERS_MAX;

/// Longest URI kept; a longer one is none that is known.
const URI_BYTES_MAX: usize = 1024;

/// Reads the body of a reg-event NOTIFY. One without a body, as the first of a subscription that is not
/// allowed, says nothing.
pub(crate) fn read(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Result<Registration, Unreadable> {
    if msg.body().is_empty() && !msg.body_truncated() {
        return Ok(Registration::default());
    }
    if msg.body_truncated() || !is_reginfo(msg) {
        return Err(Unreadable);
    }
    let text = std::str::from_utf8(msg.body()).map_err(|_| Unreadable)?;
    let mut walk = Walk {
        plan,
        segment,
        open: 0,
        is_full: false,
        overflowed: false,
        said: Registration::default(),
        registration: None,
        is_active: false,
        contact: None,
        uri: None,
    };
    walk.document(text)?;
    let mut said = walk.said;
    if walk.is_full && !walk.overflowed {
        let subscribed = name_addr(msg.from()).and_then(|from| plan.identify(from.uri, segment));
        said.sets = sets(&said.registered, subscribed.as_ref());
    }
    Ok(said)
}

/// The type may be left out, since the event package has only one.
fn is_reginfo(msg: &Message<'_>) -> bool {
    msg.header(Header::ContentType).is_none_or(|value| {
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/reginfo+xml")
    })
}

/// The way through a document: what is open at present, and what was said so far.
struct Walk<'p> {
    plan: &'p Plan,
    segment: Segment,
    open: usize,
    is_full: bool,
    overflowed: bool,
    said: Registration,
    registration: Option<Registered>,
    /// Of an address of record that is not registered no contact is, whatever is listed (RFC 3680 §5.2).
    is_active: bool,
    contact: Option<OpenContact>,
    /// The text of a contact's `uri`, while that is open.
    uri: Option<String>,
}

struct OpenContact {
    expires_s: u32,
    contact: Option<Contact>,
}

impl Walk<'_> {
    fn document(&mut self, text: &str) -> Result<(), Unreadable> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut began = false;
        loop {
            match reader.read_event().map_err(|_| Unreadable)? {
                Event::Start(element) => {
                    let name = element.local_name();
                    let name: &str = name.as_ref();
                    if self.open == 0 && (began || name != "reginfo") {
                        return Err(Unreadable);
                    }
                    began = true;
                    self.start(name, &element);
                    self.open += 1;
                    if self.open > DEPTH_MAX {
                        return Err(Unreadable);
                    }
                }
                Event::End(_) => {
                    // The reader has checked that something is open.
                    self.open = self.open.saturating_sub(1);
                    self.end();
                }
                Event::Text(part) => self.text(&part.xml10_content()),
                Event::CData(part) => self.text(&part.xml10_content()),
                Event::GeneralRef(reference) => {
                    let text = match reference.resolve_char_ref().map_err(|_| Unreadable)? {
                        Some(character) => character.to_string(),
                        None => quick_xml::escape::resolve_predefined_entity(&reference.xml10_content())
                            .ok_or(Unreadable)?
                            .to_owned(),
                    };
                    self.text(&text);
                }
                Event::DocType(_) => return Err(Unreadable),
                Event::Eof if began && self.open == 0 => return Ok(()),
                Event::Eof => return Err(Unreadable),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn start(&mut self, name: &str, element: &BytesStart<'_>) {
        match (self.open, name) {
            (0, _) => self.is_full = attribute(element, "state").as_deref() == Some("full"),
            (1, "registration") => self.registration(element),
            (2, "contact") if self.registration.is_some() => {
                let is_live = attribute(element, "state").as_deref() == Some("active");
                let expires = attribute(element, "expires").and_then(|text| seconds(text.as_bytes()));
                self.contact = Some(OpenContact {
                    expires_s: if is_live { expires.unwrap_or(EXPIRES_S) } else { 0 },
                    contact: None,
                });
            }
            (3, "uri") if self.contact.is_some() => self.uri = Some(String::new()),
            _ => {}
        }
    }

    fn registration(&mut self, element: &BytesStart<'_>) {
        let Some(aor) = attribute(element, "aor") else {
            return;
        };
        if is_wildcard(aor.as_bytes()) {
            self.said.wildcards += 1;
            return;
        }
        let Some(aor) = self.plan.identify(aor.as_bytes(), self.segment) else {
            return;
        };
        if self.said.registered.len() >= REGISTRATIONS_MAX {
            self.overflowed = true;
            return;
        }
        self.is_active = attribute(element, "state").as_deref() == Some("active");
        self.registration = Some(Registered {
            aor,
            explicit: false,
            complete: self.is_full || !self.is_active,
            contacts: Vec::new(),
        });
    }

    fn end(&mut self) {
        match self.open {
            1 => self.said.registered.extend(self.registration.take()),
            2 => {
                let (Some(open), Some(registration)) = (self.contact.take(), &mut self.registration) else {
                    return;
                };
                let Some(contact) = open.contact else { return };
                if registration.contacts.len() >= CONTACTS_MAX {
                    registration.complete = false;
                    return;
                }
                registration.contacts.push(RegisteredContact {
                    contact,
                    expires_s: if self.is_active { open.expires_s } else { 0 },
                });
            }
            3 => {
                if let (Some(uri), Some(contact)) = (self.uri.take(), &mut self.contact)
                    && contact.contact.is_none()
                {
                    contact.contact = Contact::of(uri.trim().as_bytes());
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, part: &str) {
        if let Some(uri) = &mut self.uri
            && uri.len() + part.len() <= URI_BYTES_MAX
        {
            uri.push_str(part);
        }
    }
}

/// An attribute's value, references resolved. Checks for doubles are off: they compare each with each.
fn attribute(element: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let mut attributes = element.attributes();
    attributes
        .with_checks(false)
        .take(ATTRIBUTES_MAX)
        .flatten()
        .find(|attribute| AsRef::<str>::as_ref(&attribute.key) == wanted)
        .and_then(|attribute| {
            Some(
                attribute
                    .normalized_value(XmlVersion::Implicit1_0)
                    .ok()?
                    .into_owned(),
            )
        })
}

/// Those that share a contact are registered together. A person's other registrations may stand in the same
/// document without being of the set.
fn sets(registered: &[Registered], subscribed: Option<&Identity>) -> Vec<ImplicitSet> {
    let mut groups: Vec<(Vec<Contact>, Vec<Identity>)> = Vec::new();
    for one in registered {
        let live = one.contacts.iter().filter(|contact| contact.expires_s > 0);
        let mut contacts: Vec<Contact> = live.map(|contact| contact.contact).collect();
        if contacts.is_empty() {
            continue;
        }
        let mut members = vec![one.aor.clone()];
        let own = contacts.clone();
        for (of, with) in groups.extract_if(.., |(of, _)| of.iter().any(|contact| own.contains(contact))) {
            contacts.extend(of);
            // In the document's order.
            members.splice(0..0, with);
        }
        groups.push((contacts, members));
    }
    let set = |(_, mut members): (Vec<Contact>, Vec<Identity>)| {
        let aor = subscribed
            .filter(|subscribed| members.contains(subscribed))
            .or_else(|| members.first())
            .cloned()?;
        members.sort_unstable();
        members.dedup();
        Some(ImplicitSet { aor, members })
    };
    groups.into_iter().filter_map(set).collect()
}

//! Identities, contacts, names and registrations: what comes out can be printed, is bounded, and means the same when it
//! is read again.

use ringtap_identity::{
    CONTACT_BYTES_MAX, CONTACTS_MAX, Contact, IDENTITY_BYTES_MAX, Identity, Segment, asserted_callee, called,
    caller, caller_from, dialled, dialled_user, name, registration,
};
use ringtap_sip::{Message, parse};

use crate::office;

const SEGMENTS: [Segment; 4] = [Segment::Go, Segment::Mt, Segment::Gi, Segment::Unknown];

/// Header fields that the lines of the input are given to, in turn.
const FIELDS: [&str; 10] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "P-Called-Party-ID",
    "History-Info",
    "P-Served-User",
    "Privacy",
    "Contact",
    "P-Associated-URI",
    "Expires",
];

/// Text as it may stand for a URI, a number, a display name or, line by line, for the values of a message. What begins
/// with `<?xml` is the body of a NOTIFY as well.
pub fn run(data: &[u8]) {
    for line in data.split(|octet| *octet == b'\n').take(16) {
        uri(line);
        for quoted in [false, true] {
            clean(name::decode(line, quoted).as_deref());
        }
        if let Ok(text) = std::str::from_utf8(line) {
            clean(name::sanitise(text).as_deref());
            office::plan().identify_text(text).iter().for_each(printable);
        }
    }
    message(&invite(data));
    message(&registered(data));
    if data.starts_with(b"<?xml") {
        message(&notify(data));
    }
}

fn uri(text: &[u8]) {
    let plan = office::plan();
    for segment in SEGMENTS {
        let Some(identity) = plan.identify(text, segment) else {
            continue;
        };
        printable(&identity);
        // What people are shown must not panic either, whatever it is of.
        let _ = (
            plan.national(&identity),
            plan.international(&identity),
            plan.extension(&identity),
        );
    }
    let _ = (plan.is_public(text), dialled_user(text));
    if let Some(contact) = Contact::of(text) {
        assert!(contact.as_str().len() <= CONTACT_BYTES_MAX);
        assert!(contact.as_str().bytes().all(|octet| octet.is_ascii()));
    }
}

fn printable(identity: &Identity) {
    assert!(identity.as_str().len() <= IDENTITY_BYTES_MAX);
    assert!(identity.as_str().bytes().all(|octet| octet.is_ascii_graphic()));
    assert_eq!(
        Identity::from_canonical(identity.as_str()).as_ref(),
        Some(identity)
    );
}

fn clean(name: Option<&str>) {
    let Some(name) = name else { return };
    assert!(!name.is_empty() && name.chars().count() <= name::NAME_CODE_POINTS_MAX);
    assert!(!name.chars().any(char::is_control));
    assert!(!name.contains([
        '\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}', '\u{61c}'
    ]));
    assert!(!name.starts_with(' ') && !name.ends_with(' ') && !name.contains("  "));
    assert_eq!(name::sanitise(name).as_deref(), Some(name));
}

/// Everything that is asked of a message about people.
fn message(octets: &[u8]) {
    let Ok(message) = parse(octets) else { return };
    let plan = office::plan();
    for segment in SEGMENTS {
        for claim in [
            caller(&message, segment, plan),
            caller_from(&message, segment, plan),
        ] {
            claim.identity.iter().for_each(printable);
            clean(claim.name.as_deref());
            let _ = claim.is_withheld();
        }
        called(&message, segment, plan)
            .iter()
            .for_each(|called| printable(&called.identity));
        dialled(&message, segment, plan).iter().for_each(printable);
        asserted_callee(&message, segment, plan)
            .iter()
            .for_each(printable);
        registrations(&message, segment);
    }
}

fn registrations(message: &Message<'_>, segment: Segment) {
    let Some(Ok(found)) = registration(message, segment, office::plan()) else {
        return;
    };
    for told in &found.registered {
        printable(&told.aor);
        assert!(told.contacts.len() <= CONTACTS_MAX);
    }
    for set in &found.sets {
        printable(&set.aor);
        assert!(set.members.is_sorted());
        set.members.iter().for_each(printable);
    }
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|octet| *octet == b'\n')
}

/// Request-URI, From, To, then one line for each of the fields.
fn invite(data: &[u8]) -> Vec<u8> {
    let mut lines = lines(data);
    let mut next = || lines.next().unwrap_or(b"<tel:1001>");
    let mut text = Vec::new();
    text.extend(b"INVITE ");
    text.extend(next());
    text.extend(
        b" SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: fuzz\r\nCSeq: 1 INVITE\r\nFrom: ",
    );
    text.extend(next());
    text.extend(b"\r\nTo: ");
    text.extend(next());
    text.extend(b"\r\n");
    for field in FIELDS {
        text.extend(format!("{field}: ").bytes());
        text.extend(next());
        text.extend(b"\r\n");
    }
    text.extend(b"\r\n");
    text
}

/// The answer to a REGISTER of the first line: the other lines are contacts and associated identities.
fn registered(data: &[u8]) -> Vec<u8> {
    let mut lines = lines(data);
    let aor = lines.next().unwrap_or_default();
    let mut text =
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: fuzz\r\nCSeq: 1 REGISTER\r\n"
            .to_vec();
    for field in ["From: ", "To: "] {
        text.extend(field.bytes());
        text.extend(aor);
        text.extend(b"\r\n");
    }
    for (at, line) in lines.take(64).enumerate() {
        text.extend(if at % 2 == 0 {
            &b"Contact: "[..]
        } else {
            b"P-Associated-URI: "
        });
        text.extend(line);
        text.extend(b"\r\n");
    }
    text.extend(b"\r\n");
    text
}

fn notify(body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "NOTIFY sip:p SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: fuzz\r\nCSeq: 1 NOTIFY\r\n\
         From: <tel:+862583091001>;tag=1\r\nTo: <tel:+862583091001>;tag=2\r\nEvent: reg\r\n\
         Content-Type: application/reginfo+xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    text.extend(body);
    text
}

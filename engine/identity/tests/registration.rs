//! What one message tells of registrations: 200 to REGISTER and reg-event NOTIFY, honest and hostile.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test by panicking"
)]

use proptest::prelude::*;
use ringtap_identity::{
    CONTACTS_MAX, Numbering, Plan, Registration, SET_MEMBERS_MAX, Segment, Unreadable, registration,
};
use ringtap_sip::parse;

fn plan() -> Plan {
    let numbering: Numbering = toml::from_str("country = '86'\narea = '25'").unwrap();
    Plan::new(&numbering, &["ims.office.test".to_owned()], false).unwrap()
}

fn read(bytes: &[u8]) -> Option<Result<Registration, Unreadable>> {
    registration(&parse(bytes).unwrap(), Segment::Go, &plan())
}

const LIMING: &str = "<sip:liming@ims.office.test>";

/// A 200 to the REGISTER of `from` for `to`, with these further lines.
fn answer(from: &str, to: &str, lines: &[&str]) -> Vec<u8> {
    let mut text =
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.10.1.1;branch=z9hG4bKr\r\nCall-ID: r\r\nCSeq: 2 REGISTER\r\n"
            .to_owned();
    text += &format!("From: {from};tag=f\r\nTo: {to};tag=t\r\n");
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn of_answer(lines: &[&str]) -> Registration {
    read(&answer(LIMING, LIMING, lines)).unwrap().unwrap()
}

/// Everything in words: `aor! complete contact=seconds ...` (`!` if registered by name), sets as `{aor: members}`.
fn told(said: &Registration) -> Vec<String> {
    let registered = said.registered.iter().map(|one| {
        let mut words = vec![format!("{}{}", one.aor, if one.explicit { "!" } else { "" })];
        words.extend(one.complete.then(|| "complete".to_owned()));
        words.extend(
            one.contacts
                .iter()
                .map(|known| format!("{}={}", known.contact, known.expires_s)),
        );
        words.join(" ")
    });
    let sets = said.sets.iter().map(|set| {
        let members: Vec<_> = set.members.iter().map(ToString::to_string).collect();
        format!("{{{}: {}}}", set.aor, members.join(" "))
    });
    registered.chain(sets).collect()
}

/// Catches contacts, their lives and the list's completeness misread in any form that a registrar uses.
#[test]
fn contacts_of_an_answer() {
    let long: Vec<String> = (0..=CONTACTS_MAX)
        .map(|at| format!("<sip:l@10.0.0.{at}>;expires=9"))
        .collect();
    let too_many = format!("Contact: {}", long.join(", "));
    for (lines, wanted) in [
        (
            &["Contact: <sip:li@10.10.1.1:5070;ob>;q=0.5;expires=600"][..],
            "sip:liming@ims.office.test! complete li@10.10.1.1:5070=600",
        ),
        (
            &[
                "m: <sip:a@10.10.1.1>;expires=600, <sip:b@10.10.1.2>",
                "Expires: 30",
            ],
            "sip:liming@ims.office.test! complete a@10.10.1.1:5060=600 b@10.10.1.2:5060=30",
        ),
        (
            &["Contact: sip:a@10.10.1.1;expires=0"],
            "sip:liming@ims.office.test! complete a@10.10.1.1:5060=0",
        ),
        (
            &[
                "Contact: <sip:a@h>;expires=99999999999999",
                "Contact: <sip:b@h>;expires=soon",
            ],
            "sip:liming@ims.office.test! complete a@h:5060=4294967295 b@h:5060=3600",
        ),
        (&[], "sip:liming@ims.office.test! complete"),
        (&["Contact: <mailto:x@y>"], "sip:liming@ims.office.test! complete"),
    ] {
        assert_eq!(told(&of_answer(lines)), [wanted], "{lines:?}");
    }
    let cut = of_answer(&[&too_many]);
    assert_eq!(
        (cut.registered[0].complete, cut.registered[0].contacts.len()),
        (false, CONTACTS_MAX)
    );
    let whole = answer(LIMING, LIMING, &["Contact: <sip:a@h>"]);
    let truncated = read(&whole[..whole.len() - 2]).unwrap().unwrap();
    assert!(!truncated.registered[0].complete, "a list that may be cut off");
}

/// Catches the wrong identity for the registered one: a barred one that nobody can call, another default; and
/// sets that are none, or that name ranges of numbers.
#[test]
fn registered_together() {
    let contact = "Contact: <sip:li@10.10.1.1>;expires=600";
    let number = "P-Associated-URI: <tel:+862583091001>, \"Li\" <sip:liming@ims.office.test>";
    let set = "{sip:liming@ims.office.test: +862583091001 sip:liming@ims.office.test}";
    let said = of_answer(&[
        contact,
        number,
        "P-Associated-URI: <sip:+862583091001@ims.office.test;user=phone>",
    ]);
    assert_eq!(
        told(&said),
        ["sip:liming@ims.office.test! complete li@10.10.1.1:5060=600", set]
    );
    let barred = "<sip:001011234567895@ims.mnc001.mcc001.3gppnetwork.org>";
    let said = read(&answer(
        barred,
        barred,
        &[
            contact,
            "P-Associated-URI: <tel:+862583091001>, <sip:x@ims.office.test>",
        ],
    ))
    .unwrap()
    .unwrap();
    assert_eq!(
        told(&said),
        [
            "+862583091001! complete li@10.10.1.1:5060=600",
            "{+862583091001: +862583091001 sip:x@ims.office.test}"
        ]
    );
    // Nothing is registered any more, so nothing together.
    assert!(
        of_answer(&["Contact: <sip:li@10.10.1.1>;expires=0", number])
            .sets
            .is_empty()
    );
    let said = of_answer(&[
        contact,
        number,
        "P-Associated-URI: <sip:+86258309!.*!@ims.office.test>",
    ]);
    assert_eq!((said.wildcards, said.sets[0].members.len()), (1, 2));
    let many: Vec<String> = (0..=SET_MEMBERS_MAX).map(|at| format!("<sip:u{at}@h>")).collect();
    let said = of_answer(&[contact, &format!("P-Associated-URI: {}", many.join(","))]);
    assert!(said.sets.is_empty(), "a set that was not read to its end");
}

/// Catches a server's own contact learned as a subscriber's (third-party registration, TS 24.229 §5.4.1.7),
/// and other messages taken for registrations.
#[test]
fn what_tells_nothing() {
    let contact = "Contact: <sip:scscf.ims.office.test:6060>;expires=600";
    assert_eq!(
        read(&answer("<sip:scscf.ims.office.test>", LIMING, &[contact])),
        None
    );
    let honest = String::from_utf8(answer(LIMING, LIMING, &[contact])).unwrap();
    for (from, to) in [
        ("200 OK", "401 Unauthorized"),
        ("2 REGISTER", "2 INVITE"),
        ("2 REGISTER", "2 NOTIFY"),
        ("SIP/2.0 200 OK", "REGISTER sip:h SIP/2.0"),
    ] {
        assert_eq!(read(honest.replace(from, to).as_bytes()), None, "{to}");
    }
}

fn notify(lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text =
        "NOTIFY sip:li@10.10.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.1;branch=z9hG4bKn\r\nCall-ID: n\r\n\
        CSeq: 7 NOTIFY\r\nFrom: <tel:+862583091001>;tag=a\r\nTo: <tel:+862583091001>;tag=b\r\n"
            .to_owned();
    for line in lines {
        text += line;
        text += "\r\n";
    }
    text += &format!("Content-Length: {}\r\n\r\n", body.len());
    [text.as_bytes(), body].concat()
}

const REG: &[&str] = &["Event: reg", "Content-Type: application/reginfo+xml"];

fn of_document(body: &str) -> Result<Registration, Unreadable> {
    read(&notify(REG, body.as_bytes())).unwrap()
}

/// In the form that a widespread S-CSCF writes, with a second person's phone added.
const DOCUMENT: &str = r#"<?xml version="1.0"?>
<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="2" state="full">
	<registration aor="sip:liming@ims.office.test" id="0x7f45bcb229f8" state="active">
		<contact id="0x7f45bcb21ca8" state="active" event="registered" expires="600000" q="0.000">
			<uri>sip:10.10.1.1:5060;alias=10.10.1.1~5060~1</uri>
			<unknown-param name="+sip.instance">"&lt;urn:gsma:imei:86728703-952237-0&gt;"</unknown-param>
			<unknown-param name="video"></unknown-param>
		</contact>
	</registration>
	<registration aor="tel:+86-25-83091001" id="0x7f45bcb22f68" state="active">
		<contact id="0x7f45bcb21ca8" state="active" event="created" expires="600000">
			<uri> sip:10.10.1.1:5060;a=1&amp;b=&#50; </uri>
		</contact>
		<contact id="c" state="terminated" event="expired"><uri>sip:10.10.9.9</uri></contact>
	</registration>
	<r:registration xmlns:r="urn:ietf:params:xml:ns:reginfo" aor="sip:other@ims.office.test" state="active">
		<r:contact state="active"><r:uri>sip:o@10.10.2.2</r:uri></r:contact>
	</r:registration>
	<registration aor="sip:gone@ims.office.test" state="terminated">
		<contact state="active" expires="5"><uri>sip:10.10.1.1</uri></contact>
	</registration>
	<registration aor="sip:+86258309!.*!@ims.office.test" state="active"/>
</reginfo>
"#;

/// Catches any element, attribute or reference of a reg-event document misread, and identities taken for one
/// person's that only stand in one document.
#[test]
fn reg_event_document() {
    let said = of_document(DOCUMENT).unwrap();
    assert_eq!(
        told(&said),
        [
            "sip:liming@ims.office.test complete 10.10.1.1:5060=600000",
            "+862583091001 complete 10.10.1.1:5060=600000 10.10.9.9:5060=0",
            "sip:other@ims.office.test complete o@10.10.2.2:5060=3600",
            "sip:gone@ims.office.test complete 10.10.1.1:5060=0",
            "{+862583091001: +862583091001 sip:liming@ims.office.test}",
            "{sip:other@ims.office.test: sip:other@ims.office.test}",
        ]
    );
    assert_eq!(said.wildcards, 1);
    let partial = of_document(&DOCUMENT.replace(r#"state="full""#, r#"state="partial""#)).unwrap();
    assert!(
        partial.sets.is_empty(),
        "a document that leaves out what has not changed"
    );
    let complete = |said: &Registration| said.registered.iter().map(|one| one.complete).collect::<Vec<_>>();
    assert_eq!(complete(&partial), [false, false, false, true]);
    // Other event packages, and a subscription's first NOTIFY that has nothing to say.
    assert_eq!(read(&notify(&["Event: dialog"], DOCUMENT.as_bytes())), None);
    let empty = read(&notify(&["Event: reg;id=1"], b"")).unwrap().unwrap();
    assert_eq!(empty, Registration::default());
}

/// Catches a document that makes its reader work without bounds, or is half believed.
#[test]
fn hostile_documents() {
    let bomb = r#"<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>"#;
    let deep = format!("<reginfo>{}{}</reginfo>", "<a>".repeat(5000), "</a>".repeat(5000));
    for body in [
        format!("{bomb}{DOCUMENT}"),
        deep,
        DOCUMENT.replace("&amp;", "&b;"),
        DOCUMENT.replace("</reginfo>", ""),
        DOCUMENT
            .replace("<reginfo", "<html")
            .replace("</reginfo", "</html"),
        format!("{DOCUMENT}<reginfo/>"),
        "no xml".to_owned(),
        "<".to_owned(),
    ] {
        assert_eq!(
            of_document(&body),
            Err(Unreadable),
            "{}",
            &body[..body.len().min(90)]
        );
    }
    let whole = notify(REG, DOCUMENT.as_bytes());
    assert_eq!(read(&whole[..whole.len() - 40]), Some(Err(Unreadable)), "cut off");
    let text = notify(&["Event: reg", "Content-Type: text/plain"], DOCUMENT.as_bytes());
    assert_eq!(read(&text), Some(Err(Unreadable)));
    let latin = notify(REG, b"<reginfo>\xe9</reginfo>");
    assert_eq!(read(&latin), Some(Err(Unreadable)));
    // Thousands of attributes, and of registrations: read as far as the bounds go.
    let attributes: String = (0..6000).map(|at| format!(r#" a{at}="""#)).collect();
    assert!(
        of_document(&format!("<reginfo{attributes}/>"))
            .unwrap()
            .registered
            .is_empty()
    );
    let many: String = (0..900)
        .map(|at| {
            format!(r#"<registration aor="sip:u{at}@h" state="active"><contact state="active"><uri>sip:c@h</uri></contact></registration>"#)
        })
        .take(500)
        .collect();
    let said = of_document(&format!(r#"<reginfo state="full">{many}</reginfo>"#)).unwrap();
    assert_eq!((said.registered.len(), said.sets.len()), (SET_MEMBERS_MAX, 0));
}

proptest! {
    /// Catches a panic on any damage to a document or an answer.
    #[test]
    fn damaged_messages(
        cuts in prop::collection::vec((0..2000_usize, 0..40_usize, prop::collection::vec(any::<u8>(), 0..8)), 0..6),
        is_notify in any::<bool>(),
    ) {
        let mut bytes = if is_notify {
            DOCUMENT.as_bytes().to_vec()
        } else {
            b"Contact: <sip:li@10.10.1.1:5070;ob>;q=0.5;expires=600, <sip:b@[::1]>\r\nP-Associated-URI: <tel:+862583091001>, <sip:a!.*!b@h>".to_vec()
        };
        for (at, length, with) in cuts {
            let from = at.min(bytes.len());
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, with);
        }
        let message = if is_notify {
            notify(REG, &bytes)
        } else {
            let text = answer(LIMING, LIMING, &["X-Here: 1"]);
            [&text[..text.len() - 13], &bytes, b"\r\n\r\n"].concat()
        };
        if let Ok(message) = parse(&message) {
            let _said = registration(&message, Segment::Go, &plan());
        }
    }
}

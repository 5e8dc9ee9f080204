//! Whatever octets a caller writes into an INVITE, from the message to the mail.

use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringtap_notifier::decide::Missed;
use ringtap_notifier::deliver::Parcel;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::Locale;
use ringtap_testkit::{Wire, messages};

use crate::hostile::{LINK, octets};
use crate::{accounts, memory, mime, parcel, person, renderer};

const CASES: u32 = 120;

/// What a caller chooses.
#[derive(Clone, Debug)]
struct Chosen {
    name: Vec<u8>,
    user: Vec<u8>,
    host: Vec<u8>,
    subject: Vec<u8>,
    is_asserted: bool,
}

fn chosen() -> impl Strategy<Value = Chosen> {
    (octets(), octets(), octets(), octets(), any::<bool>()).prop_map(
        |(name, user, host, subject, is_asserted)| Chosen {
            name,
            user,
            host,
            subject,
            is_asserted,
        },
    )
}

/// The message with a From (and an asserted identity, if the network takes it over) and a Subject as chosen.
fn patched(payload: &[u8], chosen: &Chosen) -> Vec<u8> {
    let mut made = Vec::new();
    for (at, line) in payload.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let address = [
            b"\"",
            &chosen.name[..],
            b"\" <sip:",
            &chosen.user,
            b"@",
            &chosen.host,
            b">",
        ]
        .concat();
        if line.starts_with(b"From:") {
            let tag = line.windows(5).position(|part| part == b";tag=").unwrap();
            made.extend([b"From: ", &address[..], &line[tag..]].concat());
        } else if line.starts_with(b"P-Asserted-Identity:") {
            if chosen.is_asserted {
                made.extend([b"P-Asserted-Identity: ", &address[..], b"\r\n"].concat());
            }
        } else {
            made.extend(line);
        }
        if at == 0 {
            made.extend([b"Subject: ", &chosen.subject[..], b"\r\n"].concat());
        }
    }
    made
}

/// Catches what the tests of single names cannot: octets that make sense only together with the message around them.
#[test]
fn from_the_wire() {
    let config = memory::config(&[]);
    let plain = messages(&ringtap_testkit::scenario("S01").unwrap().cases()[0]);
    let renderer = renderer(Some(LINK));
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0_usize);
    let runner = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(runner).run(&(chosen(), any::<bool>()), |(chosen, is_en)| {
        let mut wires: Vec<Wire> = plain.clone();
        for wire in &mut wires {
            if wire.payload.starts_with(b"INVITE ") {
                wire.payload = patched(&wire.payload, &chosen);
            }
        }
        // What is no message is nobody's call.
        wires.retain(|wire| ringtap_sip::parse(&wire.payload).is_ok());
        let locale = if is_en { Locale::En } else { Locale::ZhCn };
        for record in memory::records(&wires, &config, 16) {
            if record.targets.is_empty() {
                continue;
            }
            let missed = Missed {
                reason: record.targets[0].outcome,
                target: 0,
                accounts: vec!["+862583091001".to_owned()],
                talk_ms: None,
            };
            let notice = Notice::new(&record, &missed, None);
            let parcel: Parcel = parcel(&person(locale), &accounts(locale), &notice);
            let mail = renderer.mail(&parcel).unwrap();
            prop_assert_eq!(mail.envelope().to(), std::slice::from_ref(&parcel.person.email));
            fs::write(
                folder.path().join(format!("{:05}.eml", count.get())),
                mail.formatted(),
            )
            .unwrap();
            count.set(count.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(count.get() > 50, "only {} mails", count.get());
    mime::check(folder.path(), count.get(), LINK, &["liming@office.test"]);
}

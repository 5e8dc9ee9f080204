//! Who sent the call on, why, and what is to be hidden: History-Info, Diversion, Reason, Privacy, Replaces.

use ringtap_identity::{ClaimSource, IDENTITY_BYTES_MAX};
use ringtap_identity::{HISTORY_ENTRIES_MAX, Privacy, Segment, diversions, history_targets, withheld};
use ringtap_sip::dialog::{replaces, target_dialog};
use ringtap_sip::reason::{reason, reasons};
use ringtap_sip::{Header, parse};

use crate::{assert_within, office};

const FIELDS: [&str; 4] = ["History-Info", "Diversion", "Reason", "Privacy"];

/// Lines, each of which is a value of every field in turn.
pub fn run(data: &[u8]) {
    for line in data.split(|octet| *octet == b'\n').take(16) {
        value(line);
    }
    for first in 0..FIELDS.len() {
        message(&invite(data, first));
    }
}

fn value(line: &[u8]) {
    if let Some(reason) = reason(line) {
        assert_within(line, reason.text);
    }
    for dialog in [replaces(line), target_dialog(line)].into_iter().flatten() {
        assert!(!dialog.call_id.is_empty());
        for part in [dialog.call_id, dialog.to_tag, dialog.from_tag] {
            assert_within(line, part);
        }
    }
    let privacy = Privacy::of(line);
    assert_eq!(privacy.union(privacy), privacy);
    if privacy.withholds() {
        for source in [ClaimSource::From, ClaimSource::Asserted] {
            assert!(
                withheld(privacy, source, false),
                "a privacy request wins over everything"
            );
        }
    }
}

/// The lines are given to the fields in turn, beginning with the `first`; the Request-URI is the last line.
fn invite(data: &[u8], first: usize) -> Vec<u8> {
    let uri = data.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
    let mut text = Vec::new();
    text.extend(b"INVITE ");
    text.extend(uri);
    text.extend(
        b" SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: fuzz\r\nCSeq: 1 INVITE\r\n\
          From: <tel:+862583091001>;tag=1\r\nTo: <tel:+862583091002>\r\n",
    );
    for (at, line) in data.split(|octet| *octet == b'\n').take(32).enumerate() {
        let field = FIELDS
            .get((at + first) % FIELDS.len())
            .copied()
            .unwrap_or_default();
        text.extend(format!("{field}: ").bytes());
        text.extend(line);
        text.extend(b"\r\n");
    }
    text.extend(b"\r\n");
    text
}

fn message(octets: &[u8]) {
    let Ok(message) = parse(octets) else { return };
    for reason in reasons(&message) {
        assert_within(octets, reason.text);
    }
    let all = message.lines(Header::Privacy).map(Privacy::of);
    assert_eq!(
        Privacy::read(&message),
        all.fold(Privacy::default(), Privacy::union)
    );
    for segment in [Segment::Go, Segment::Mt, Segment::Gj, Segment::Unknown] {
        let steps = diversions(&message, office::plan(), segment);
        assert!(steps.len() <= HISTORY_ENTRIES_MAX);
        for step in &steps {
            for identity in [&step.from, &step.to] {
                assert!(identity.as_str().len() <= IDENTITY_BYTES_MAX);
            }
            let _ = step.is_of_person();
        }
        let targets = history_targets(&message, office::plan(), segment);
        assert!(targets.len() <= 2 * HISTORY_ENTRIES_MAX);
        let mut distinct = targets.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), targets.len());
    }
}

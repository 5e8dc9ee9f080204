//! The flows of RFC 3665, message by message, with what has to come of each by semantics.md §2.4.
//!
//! The messages are read in place from `RINGTAP_DATA`, or from `../shared/data` beside the workspace; where they are absent
//! the tests say so and check nothing. The collection has no messages of flows 3.4, 3.7, 3.10 and 3.11.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod story;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringtap_config::Config;
use ringtap_record::Outcome::{self, Answered, Busy, CallerHungUp};
use ringtap_sip::uri::uri;
use ringtap_sip::{Header, Message, Method, parse};

use story::Story;

/// Who is who in the RFC (§1.2), and what answers for a domain.
const HOSTS: [(&str, &str); 10] = [
    ("client.atlanta.example.com", "192.0.2.101"),
    ("ss1.atlanta.example.com", "192.0.2.111"),
    ("ss2.biloxi.example.com", "192.0.2.222"),
    ("client.biloxi.example.com", "192.0.2.201"),
    ("ss3.chicago.example.com", "192.0.2.233"),
    ("client.chicago.example.com", "192.0.2.100"),
    ("alg1.atlanta.example.com", "192.0.2.128"),
    ("atlanta.example.com", "192.0.2.111"),
    ("biloxi.example.com", "192.0.2.222"),
    ("chicago.example.com", "192.0.2.233"),
];

const BOB: &str = "sip:bob@biloxi.example.com";

/// Each flow of a call, and what has to come of it for Bob, whom Alice calls.
const CALLS: [(&str, &str, Outcome); 7] = [
    ("3.1", "two phones, no proxy", Answered),
    // D06: the 407 is followed by an INVITE with a higher CSeq.
    ("3.2", "through two proxies, challenged once", Answered),
    ("3.3", "challenged by both proxies", Answered),
    ("3.5", "through an application level gateway", Answered),
    // D04: the INVITE follows the 302. The address it goes to is in no home domain and no network header names whom it
    // is for, so To does (§3.2 rule 6): Bob answered, elsewhere.
    ("3.6", "redirected", Answered),
    // D21: it rang, and every hop was cancelled.
    ("3.8", "given up while it rings", CallerHungUp),
    // D16: 486 without a 180.
    ("3.9", "busy", Busy),
];

/// Each flow of registrations, how many of its answers tell of one, and how many contacts are known then.
const REGISTRATIONS: [(&str, &str, u64, u64); 5] = [
    ("2.1", "challenged, then registered", 1, 1),
    ("2.2", "another contact added, which is a mailbox: no phone", 1, 1),
    ("2.3", "asked for", 1, 1),
    ("2.4", "cancelled: the answer lists none", 1, 0),
    ("2.5", "never accepted", 0, 0),
];

fn flows() -> Option<PathBuf> {
    let data = std::env::var_os("RINGTAP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("open/messages/rfc3665");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no messages in {} (set RINGTAP_DATA)", folder.display());
    None
}

/// The messages of one flow, F1 first.
fn flow(folder: &Path, number: &str) -> Vec<Vec<u8>> {
    (1..)
        .map_while(|at| fs::read(folder.join(format!("{number}_F{at}.sip"))).ok())
        .collect()
}

fn address(host: &[u8]) -> &'static str {
    let host = std::str::from_utf8(host).unwrap();
    let host = host.split(':').next().unwrap();
    let known = HOSTS
        .iter()
        .find(|(name, address)| *name == host || *address == host);
    known
        .unwrap_or_else(|| panic!("{host} is not in the RFC's network"))
        .1
}

/// Where a request goes: to its first Route, else to its Request-URI.
fn next_hop(request: &Message<'_>) -> &'static str {
    let route = request.values(Header::Route).next();
    let target = route.and_then(|value| ringtap_sip::addr::name_addr(value).map(|found| found.uri));
    let target = target.or_else(|| request.request_uri()).unwrap();
    address(uri(target).unwrap().host)
}

/// Plays a flow, 100 ms from message to message. A response comes from where its request went.
fn play(folder: &Path, number: &str, config: &Config) -> Story {
    let mut story = Story::new(config);
    let mut asked: HashMap<(Vec<u8>, Method), &str> = HashMap::new();
    for (at, bytes) in (0..).zip(flow(folder, number)) {
        let message = parse(&bytes).unwrap_or_else(|fault| panic!("{number}_F{}: {fault}", at + 1));
        let via = message.top_via();
        let hop = (via.branch.unwrap_or_default().to_vec(), message.method());
        let near = address(via.sent_by);
        let (source, destination) = if message.is_request() {
            let far = next_hop(&message);
            asked.insert(hop, far);
            (near, far)
        } else {
            let far = asked.get(&hop).copied();
            (
                far.unwrap_or_else(|| panic!("{number}_F{} answers nothing", at + 1)),
                near,
            )
        };
        story.raw(at * 100, source, destination, &bytes);
    }
    story
}

/// Nobody knows who is who; or the proxies are known to be the phones' first.
fn configs() -> [Config; 2] {
    let known = "[network]\npcscf = [\"192.0.2.111\", \"192.0.2.222\", \"192.0.2.233\"]\n\
                 ue = [\"192.0.2.100\", \"192.0.2.101\", \"192.0.2.201\"]\n";
    ["", known].map(|text| ringtap_config::from_toml(text, "rfc3665").unwrap())
}

/// Catches a verdict on the plainest calls there are that is not what semantics.md says, or more than one of a call.
#[test]
fn calls() {
    let Some(folder) = flows() else { return };
    for (number, name, wanted) in CALLS {
        for config in configs() {
            let records = play(&folder, number, &config).end();
            assert_eq!(records.len(), 1, "{number}, {name}: {records:#?}");
            let found: Vec<_> = records[0]
                .targets
                .iter()
                .map(|target| (target.identity.as_str(), target.outcome))
                .collect();
            assert_eq!(found, [(BOB, wanted)], "{number}, {name}: {records:#?}");
            assert_eq!(
                records[0].caller.identity.as_deref(),
                Some("sip:alice@atlanta.example.com"),
                "{number}"
            );
        }
    }
}

/// Catches a registration taken for a call, missed, or believed although it was refused.
#[test]
fn registrations() {
    let Some(folder) = flows() else { return };
    for (number, name, told, contacts) in REGISTRATIONS {
        let mut story = play(&folder, number, &configs()[0]);
        let harvest = ringtap_calls::Harvest {
            registrations: std::mem::take(&mut story.routing.registrations),
            ..ringtap_calls::Harvest::default()
        };
        story.settle(10_000, harvest);
        let counters = story.settler.learner.counters();
        assert_eq!(
            (counters.registrations, counters.bindings),
            (told, contacts),
            "{number}, {name}"
        );
        assert_eq!(story.end(), [], "{number}");
    }
}

/// Catches a flow that came later and that no row is about.
#[test]
fn every_flow_has_a_row() {
    let Some(folder) = flows() else { return };
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let number = file.split('_').next().unwrap();
        let known =
            CALLS.iter().any(|row| row.0 == number) || REGISTRATIONS.iter().any(|row| row.0 == number);
        assert!(known, "{file}");
    }
}

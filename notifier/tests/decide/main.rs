//! What one person is told of one call, row by row (semantics.md §2.4, §2.7, §2.8 steps 4 and 5).
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod codes;
mod diversion;
mod groups;
mod properties;
mod short;

use ringtap_config::Policy;
use ringtap_notifier::decide::{Interest, Silence, decide};
use ringtap_record::{CallRecord, Caller, Outcome, Target, Time};

/// Accounts of the person under test.
const DESK: &str = "+862583091001";
const MOBILE: &str = "+8613800001001";
/// Another name of the desk phone.
const ALIAS: &str = "sip:liming@ims.office.test";
/// Other people.
const OTHER: &str = "+862583091002";
const THIRD: &str = "+862583091003";
/// A group's own number.
const GROUP: &str = "+862583091000";

fn target(identity: &str, outcome: Outcome) -> Target {
    Target {
        identity: identity.into(),
        outcome,
        base: None,
        alerted: true,
        ring_ms: 10_000,
        diverted_to: None,
        group: None,
        started: Time::default(),
        ended: Time::default(),
    }
}

/// A target that the call left for `to`.
fn diverted(identity: &str, outcome: Outcome, to: &str, base: Option<Outcome>) -> Target {
    Target {
        diverted_to: Some(to.into()),
        base,
        ..target(identity, outcome)
    }
}

/// A member of the group.
fn member(identity: &str, outcome: Outcome, base: Option<Outcome>) -> Target {
    Target {
        group: Some(GROUP.into()),
        base,
        ..target(identity, outcome)
    }
}

fn record(targets: Vec<Target>) -> CallRecord {
    CallRecord {
        call: "c".to_owned(),
        started: Time::default(),
        ended: Time::default(),
        caller: Caller::default(),
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets,
        legs: 1,
        flags: Vec::new(),
    }
}

fn owner_of(own: &[(&str, &str)]) -> Interest {
    Interest {
        identities: own
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect(),
    }
}

/// A person who owns a desk phone (known by an alias too) and a mobile.
fn person() -> Interest {
    owner_of(&[(DESK, DESK), (MOBILE, MOBILE), (ALIAS, DESK)])
}

fn told(record: &CallRecord, policy: &Policy) -> Result<Outcome, Silence> {
    told_to(&person(), record, policy)
}

fn told_to(interest: &Interest, record: &CallRecord, policy: &Policy) -> Result<Outcome, Silence> {
    decide(record, interest, policy).map(|missed| missed.reason)
}

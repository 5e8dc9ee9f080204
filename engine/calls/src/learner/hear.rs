//! From a message to what it tells of registrations: the worker's part.
//!
//! Few messages come as far as here, but a mirror shows each several times and a registrar's clients
//! repeat themselves; what has just been told is not read again.

use std::net::IpAddr;

use hashbrown::HashTable;
use ringtap_identity::{Identity, ImplicitSet, RegisteredContact, is_registration, registration};
use ringtap_record::Time;
use ringtap_sip::Header;

use crate::facts::observe::{Context, Observation};

/// Times of registrations are cut to this grid of capture time: copies of a message within it say the same,
/// so that it does not matter which of them came first or was read at all. A registrar has a contact
/// before its answer is seen, so a call in the same instant may know of it.
const GRAIN_US: i64 = 128_000;

/// A registrar that promises more is taken to promise this.
const EXPIRES_MAX_S: u32 = 1_000_000;

/// Tellings remembered by a worker.
const HEARD_MAX: usize = 4096;

/// What one message tells of registrations, on its way from a worker to the learner. Its order is that of
/// time; what was told at the same time has an order that is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registration {
    pub(super) time: Time,
    /// Sender and receiver: who is told of all contacts is told so along one way.
    pub(super) route: Route,
    pub(super) told: Vec<Told>,
    pub(super) sets: Vec<ImplicitSet>,
    pub(super) wildcards: u32,
}

pub(super) type Route = (IpAddr, IpAddr);

/// One address of record and its contacts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) aor: Identity,
    pub(super) explicit: bool,
    pub(super) complete: bool,
    pub(super) contacts: Vec<ToldContact>,
}

/// The text comes before the key, which is another in every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ToldContact {
    pub(super) contact: RegisteredContact,
    pub(super) key: u64,
}

impl Told {
    /// Until when a contact is registered; the time of the telling itself if it is no more.
    pub(super) fn until(contact: &ToldContact, time: Time) -> Time {
        let seconds = contact.contact.expires_s.min(EXPIRES_MAX_S);
        time.plus_us(i64::from(seconds) * 1_000_000)
    }
}

/// What became of a message that is none of a call.
#[derive(Debug)]
pub(crate) enum Hearing {
    /// It is not about registrations.
    Other,
    /// It tells what was told a moment ago.
    Known,
    /// It tells something.
    New(Registration),
    /// It cannot be read, or is not to be believed.
    Refused,
}

/// Keyed hashes of what a worker heard lately.
#[derive(Debug, Default)]
pub(crate) struct Heard(HashTable<u64>);

impl Heard {
    fn knows(&self, hash: u64) -> bool {
        self.0.find(hash, |known| *known == hash).is_some()
    }

    /// A full memory is emptied: then something is read twice.
    fn keep(&mut self, hash: u64) {
        if self.0.len() >= HEARD_MAX {
            self.0.clear();
        }
        self.0.insert_unique(hash, hash, |known| *known);
    }
}

/// Listens to a message that is none of a call. What it costs most messages is a look at the method.
pub(crate) fn hear(seen: &Observation<'_>, context: &Context<'_>, heard: &mut Heard) -> Hearing {
    let (message, rules) = (&seen.message, context.rules);
    if !is_registration(message) {
        return Hearing::Other;
    }
    if !rules.is_registrar(seen.source) {
        return Hearing::Refused;
    }
    let time = cut(seen.time);
    let hash = hash(seen, time, context);
    if heard.knows(hash) {
        return Hearing::Known;
    }
    // A response travels against its request; of a NOTIFY nothing but the sender matters.
    let segment = rules.segment(seen.destination, seen.source);
    let Some(said) = registration(message, segment, &rules.plan) else {
        return Hearing::Other;
    };
    let Ok(said) = said else {
        return Hearing::Refused;
    };
    heard.keep(hash);
    let told = said.registered.into_iter().map(|one| Told {
        aor: one.aor,
        explicit: one.explicit,
        complete: one.complete,
        contacts: one
            .contacts
            .into_iter()
            .map(|contact| ToldContact {
                key: context.keys.contact(&contact.contact),
                contact,
            })
            .collect(),
    });
    Hearing::New(Registration {
        time,
        route: (seen.source, seen.destination),
        told: told.collect(),
        sets: if rules.learns_sets { said.sets } else { Vec::new() },
        wildcards: said.wildcards,
    })
}

fn cut(time: Time) -> Time {
    let us = time.as_micros();
    Time::from_micros(us - us.rem_euclid(GRAIN_US))
}

/// Over all that a telling is made of.
fn hash(seen: &Observation<'_>, time: Time, context: &Context<'_>) -> u64 {
    const READ: [Header; 5] = [
        Header::Contact,
        Header::PAssociatedUri,
        Header::Expires,
        Header::Event,
        Header::ContentType,
    ];
    let message = &seen.message;
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let around = [octets(seen.source), octets(seen.destination)];
    let time = time.as_micros().to_le_bytes();
    let method = [message.method() as u8];
    let lines = READ
        .into_iter()
        .flat_map(|name| message.lines(name).chain([&b""[..]]));
    let fixed = [
        &around[0][..],
        &around[1],
        &time,
        &method,
        message.from(),
        message.to(),
        message.body(),
    ];
    context.keys.text(fixed.into_iter().chain(lines))
}

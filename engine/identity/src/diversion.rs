//! Who sent the call on to whom: History-Info, Diversion, `target=` (semantics.md §2.5, sources 1 to 3).
//!
//! Retargeting without a cause is given too: it is how a group number names its members. Whether the
//! call was really diverted, and what follows for the diverting person, is decided in `ringtap-calls`.

use arrayvec::ArrayVec;
use ringtap_sip::addr::name_addr;
use ringtap_sip::reason::{Protocol, reason};
use ringtap_sip::uri::{Uri, uri};
use ringtap_sip::{Header, Message, Params, percent_decode};

use crate::called::{called_party, request_uri};
use crate::{Identity, Plan, Privacy, Segment};

/// Entries read of one message; an honest call collects fewer.
pub const HISTORY_ENTRIES_MAX: usize = 16;

/// Levels of a History-Info index.
const INDEX_LEVELS_MAX: usize = 10;

/// Octets of an escaped value within a URI.
const ESCAPED_BYTES_MAX: usize = 256;

/// The `cause` of a service number's translation (RFC 8119): nobody diverted anything.
const SERVICE_NUMBER_TRANSLATION: u16 = 380;

/// One step in which a call changed its called identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Whom the call was for.
    pub from: Identity,
    /// Whom it was for then.
    pub to: Identity,
    /// Redirecting reason in the form of RFC 4458 §2: 302, 404, 408, 480, 486, 487, 503; not a SIP status.
    pub cause: Option<u16>,
    /// A mapping to another user was recorded (`mp=`), which is a diversion even without a cause.
    pub mapped: bool,
    /// One of the two does not want to be shown (RFC 7044 §10.1, `privacy=` of RFC 5806).
    pub private: bool,
}

impl Diversion {
    /// Whether a person's call was diverted, rather than a group number or a service number resolved.
    #[must_use]
    pub fn is_of_person(&self) -> bool {
        match self.cause {
            Some(cause) => cause != SERVICE_NUMBER_TRANSLATION,
            None => self.mapped,
        }
    }
}

/// The steps a message tells of, oldest first, from the best source that has any: at most
/// [`HISTORY_ENTRIES_MAX`].
#[must_use]
pub fn diversions(msg: &Message<'_>, plan: &Plan, segment: Segment) -> Vec<Diversion> {
    let history = from_history(msg, plan, segment);
    if history.iter().any(|step| step.cause.is_some() || step.mapped) {
        return history;
    }
    let diversion = from_diversion(msg, plan, segment);
    if !diversion.is_empty() {
        return diversion;
    }
    match from_request_uri(msg, plan, segment) {
        Some(step) => vec![step],
        None => history,
    }
}

/// Every identity that History-Info or Diversion names, contacts of phones left out: what the call
/// was or is for. At most [`HISTORY_ENTRIES_MAX`] of each.
#[must_use]
pub fn history_targets(msg: &Message<'_>, plan: &Plan, segment: Segment) -> Vec<Identity> {
    let entries = entries(msg);
    let history = entries
        .iter()
        .filter(|entry| !entry.is_contact(plan))
        .map(|entry| entry.uri);
    let diverters = diverters(msg).into_iter().rev().map(|diverter| diverter.uri);
    let mut targets = Vec::new();
    for identity in history
        .chain(diverters)
        .filter_map(|uri| plan.identify_uri(&uri, segment))
    {
        if !targets.contains(&identity) {
            targets.push(identity);
        }
    }
    targets
}

/// The last History-Info entry that is no contact (semantics.md §3.2 rule 5).
pub(crate) fn last_called(msg: &Message<'_>, segment: Segment, plan: &Plan) -> Option<Identity> {
    let entries = entries(msg);
    let last = entries
        .iter()
        .rev()
        .find(|entry| !entry.is_contact(plan) && plan.is_public_uri(&entry.uri))?;
    plan.identify_uri(&last.uri, segment)
}

type Index = ArrayVec<u16, INDEX_LEVELS_MAX>;

/// One hi-entry (RFC 7044 §5).
struct Entry<'a> {
    index: Index,
    uri: Uri<'a>,
    /// Index of the address of record whose registered contact this entry is.
    rc: Option<Index>,
    /// Index of the entry that was mapped to this, another user.
    mp: Option<Index>,
    cause: Option<u16>,
    /// The cause that the escaped Reason gives for leaving this entry.
    left_for: Option<u16>,
    private: bool,
}

impl Entry<'_> {
    /// Without `rc` a contact shows by its host: an address that is not ours to name people with.
    fn is_contact(&self, plan: &Plan) -> bool {
        let is_address = |host: &[u8]| {
            host.starts_with(b"[") || host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        };
        self.rc.is_some() || (is_address(self.uri.host) && !plan.is_public_uri(&self.uri))
    }
}

/// The entries of a message in the order of their indices, whatever the order they stand in. An
/// entry without a valid index has no place in the history and is left out.
fn entries<'a>(msg: &Message<'a>) -> ArrayVec<Entry<'a>, HISTORY_ENTRIES_MAX> {
    let mut entries: ArrayVec<Entry<'a>, HISTORY_ENTRIES_MAX> = msg
        .values(Header::HistoryInfo)
        .filter_map(entry)
        .take(HISTORY_ENTRIES_MAX)
        .collect();
    entries.sort_by(|a, b| a.index.cmp(&b.index));
    entries
}

fn entry(value: &[u8]) -> Option<Entry<'_>> {
    let address = name_addr(value)?;
    let uri = uri(address.uri)?;
    let cause = uri.params.get(b"cause").or_else(|| address.params.get(b"cause"));
    Some(Entry {
        index: index(address.params.get(b"index")?)?,
        rc: address.params.get(b"rc").and_then(index),
        mp: address.params.get(b"mp").and_then(index),
        cause: cause.and_then(number),
        left_for: escaped_reason(&uri),
        private: escaped_privacy(&uri).contains(Privacy::HISTORY),
        uri,
    })
}

fn index(text: &[u8]) -> Option<Index> {
    let mut index = Index::new();
    for level in text.split(|byte| *byte == b'.') {
        index.try_push(number(level)?).ok()?;
    }
    Some(index)
}

/// Digits that fit 16 bits, and nothing else.
fn number(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

fn from_history(msg: &Message<'_>, plan: &Plan, segment: Segment) -> Vec<Diversion> {
    let entries = entries(msg);
    let all_private = Privacy::read(msg).contains(Privacy::HISTORY);
    let mut steps = Vec::new();
    for entry in entries.iter().filter(|entry| entry.rc.is_none()) {
        let Some(parent) = parent(&entries, entry) else {
            continue;
        };
        let step = Diversion {
            from: match plan.identify_uri(&parent.uri, segment) {
                Some(identity) => identity,
                None => continue,
            },
            to: match plan.identify_uri(&entry.uri, segment) {
                Some(identity) => identity,
                None => continue,
            },
            cause: entry.cause.or(parent.left_for),
            mapped: entry.mp.is_some(),
            private: all_private || entry.private || parent.private,
        };
        if step.from != step.to && !entry.is_contact(plan) {
            steps.push(step);
        }
    }
    steps
}

/// The entry that `entry` came from: the one `mp` names, else the one above it; where that is a
/// contact, the address of record that it belongs to.
fn parent<'e, 'a>(entries: &'e [Entry<'a>], entry: &Entry<'a>) -> Option<&'e Entry<'a>> {
    let at = |index: &[u16]| entries.iter().find(|other| other.index.as_slice() == index);
    let above = entry.index.split_last().map(|(_, above)| above);
    let mut parent = match entry.mp.as_deref().and_then(at) {
        Some(mapped) => mapped,
        None => at(above?)?,
    };
    // Each step leads to an older entry, or the message lies and the walk ends with the entries.
    for _ in 0..entries.len() {
        match parent.rc.as_deref().and_then(at) {
            Some(record) => parent = record,
            None => break,
        }
    }
    Some(parent)
}

/// One value of a Diversion header.
struct Diverter<'a> {
    uri: Uri<'a>,
    cause: u16,
    private: bool,
}

/// The diverters of a message, the latest first (RFC 5806 §5).
fn diverters<'a>(msg: &Message<'a>) -> ArrayVec<Diverter<'a>, HISTORY_ENTRIES_MAX> {
    msg.values(Header::Diversion)
        .filter_map(|value| {
            let address = name_addr(value)?;
            Some(Diverter {
                uri: uri(address.uri)?,
                cause: address.params.get(b"reason").map_or(404, cause_of_reason),
                private: address
                    .params
                    .get(b"privacy")
                    .is_some_and(|value| !value.eq_ignore_ascii_case(b"off")),
            })
        })
        .take(HISTORY_ENTRIES_MAX)
        .collect()
}

/// The reasons of RFC 5806 as causes of RFC 4458, as RFC 7544 maps them. What has no cause of its own
/// is "unknown", 404.
fn cause_of_reason(reason: &[u8]) -> u16 {
    const KNOWN: [(&str, u16); 5] = [
        ("unconditional", 302),
        ("no-answer", 408),
        ("user-busy", 486),
        ("deflection", 480),
        ("unavailable", 503),
    ];
    let known = KNOWN
        .into_iter()
        .find(|(name, _)| reason.eq_ignore_ascii_case(name.as_bytes()));
    known.map_or(404, |(_, cause)| cause)
}

/// Each diverter sent the call to the one written above it; the topmost to whom it is for now.
fn from_diversion(msg: &Message<'_>, plan: &Plan, segment: Segment) -> Vec<Diversion> {
    let mut target = called_party(msg, segment, plan).or_else(|| request_uri(msg, segment, plan));
    let mut steps = Vec::new();
    for diverter in diverters(msg) {
        let Some(from) = plan.identify_uri(&diverter.uri, segment) else {
            continue;
        };
        if let Some(to) = target.replace(from.clone()).filter(|to| *to != from) {
            let (cause, private) = (Some(diverter.cause), diverter.private);
            steps.push(Diversion {
                from,
                to,
                cause,
                mapped: false,
                private,
            });
        }
    }
    steps.reverse();
    steps
}

/// `sip:voicemail@host;target=sip:bob%40host;cause=408` (RFC 4458 §2).
fn from_request_uri(msg: &Message<'_>, plan: &Plan, segment: Segment) -> Option<Diversion> {
    let uri = uri(msg.request_uri()?)?;
    let target = escaped(uri.params.get(b"target")?)?;
    let from = plan.identify(&target, segment)?;
    let to = plan.identify_uri(&uri, segment)?;
    let cause = uri.params.get(b"cause").and_then(number);
    let private = Privacy::read(msg).contains(Privacy::HISTORY);
    (from != to).then_some(Diversion {
        from,
        to,
        cause,
        mapped: false,
        private,
    })
}

type Escaped = ArrayVec<u8, ESCAPED_BYTES_MAX>;

fn escaped(value: &[u8]) -> Option<Escaped> {
    let mut octets = Escaped::new();
    for octet in percent_decode(value) {
        octets.try_push(octet).ok()?;
    }
    Some(octets)
}

/// Values of one header field escaped into a URI (RFC 3261 §19.1.1).
fn escaped_headers<'a>(uri: &Uri<'a>, wanted: &'static str) -> impl Iterator<Item = Escaped> + use<'a> {
    uri.headers
        .split(|byte| *byte == b'&')
        .filter_map(|header| Params::new(header).iter().next())
        .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
        .filter_map(|(_, value)| escaped(value?))
}

/// Cause of the escaped SIP Reason. Q.850 values count otherwise and are no redirecting reasons.
fn escaped_reason(uri: &Uri<'_>) -> Option<u16> {
    escaped_headers(uri, "Reason").find_map(|value| {
        reason(&value)
            .filter(|reason| reason.protocol == Protocol::Sip)?
            .cause
    })
}

fn escaped_privacy(uri: &Uri<'_>) -> Privacy {
    escaped_headers(uri, "Privacy")
        .map(|value| Privacy::of(&value))
        .fold(Privacy::default(), Privacy::union)
}

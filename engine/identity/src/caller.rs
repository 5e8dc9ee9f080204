//! Who calls: the precedence of semantics.md §3.3, for one message on one segment.
//!
//! A claim is what one message says. Which claim of several segments counts is decided where the
//! segments meet, by [`ClaimSource`] and [`Segment::rank`]; whether it may be shown, by
//! [`withheld`](crate::withheld).

use compact_str::CompactString;
use ringtap_sip::addr::{NameAddr, name_addr};
use ringtap_sip::uri::{Scheme, Uri, uri};
use ringtap_sip::{Header, Message};

use crate::{Identity, Plan, Privacy, Segment, name};

/// What one request of the caller says about the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerClaim {
    /// The caller's identity, if it is known on this segment, be it withheld or not.
    pub identity: Option<Identity>,
    /// The caller's name, decoded and sanitised, be it withheld or not.
    pub name: Option<CompactString>,
    /// Where the identity was read.
    pub source: ClaimSource,
    /// Where the name was read.
    pub name_source: NameFrom,
    /// The message's `Privacy`.
    pub privacy: Privacy,
    /// From, or the Remote-Party-ID used, was made anonymous.
    pub from_anonymous: bool,
}

/// Where an identity was read; the greater is believed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimSource {
    /// From: whatever the caller wrote.
    #[default]
    From,
    /// P-Preferred-Identity, a claim too.
    Preferred,
    /// What the registrar knows of the phone that calls (rule 3): not in the message itself.
    Registered,
    /// Remote-Party-ID.
    RemoteParty,
    /// P-Asserted-Identity.
    Asserted,
}

/// Where a name was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameFrom {
    /// There is none.
    #[default]
    None,
    /// Supplied by the caller.
    From,
    /// From a header that the network vouches for.
    Asserted,
}

impl CallerClaim {
    /// Whether this claim alone is of a caller who withholds the number (semantics.md §3.4).
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        crate::withheld(self.privacy, self.source, self.from_anonymous)
    }

    /// Takes over what a header better than those before says.
    fn upgrade(&mut self, identity: Option<Identity>, source: ClaimSource) {
        if identity.is_some() && (self.identity.is_none() || source > self.source) {
            self.identity = identity;
            self.source = source;
        }
    }

    fn upgrade_name(&mut self, name: Option<CompactString>, source: NameFrom) {
        if name.is_some() && source >= self.name_source {
            self.name = name;
            self.name_source = source;
        }
    }
}

/// What a request of the caller says about the caller.
///
/// Never for a request that the callee sends in the dialog: its From is the callee.
#[must_use]
pub fn caller(msg: &Message<'_>, segment: Segment, plan: &Plan) -> CallerClaim {
    let mut claim = caller_from(msg, segment, plan);
    claim.privacy = Privacy::read(msg);
    if matches!(segment, Segment::Go | Segment::Unknown) {
        preferred(msg, segment, plan, &mut claim);
    }
    // On Gm the caller's phone could write these itself; the P-CSCF removes them (TS 24.229 §5.2.6.3).
    if segment != Segment::Go {
        remote_party(msg, segment, plan, &mut claim);
        asserted(msg, segment, plan, &mut claim);
    }
    claim
}

/// What From alone says of the caller: all there is in a response or a CANCEL, which is never enriched from
/// other headers (semantics.md §3.4; the P-Asserted-Identity of a response is the callee's).
#[must_use]
pub fn caller_from(msg: &Message<'_>, segment: Segment, plan: &Plan) -> CallerClaim {
    let mut claim = CallerClaim {
        identity: None,
        name: None,
        source: ClaimSource::From,
        name_source: NameFrom::None,
        privacy: Privacy::default(),
        from_anonymous: false,
    };
    let Some(address) = name_addr(msg.from()) else {
        return claim;
    };
    let Some(uri) = uri(address.uri) else { return claim };
    if is_anonymous(&uri) {
        claim.from_anonymous = true;
    } else {
        claim.upgrade(plan.identify_uri(&uri, segment), ClaimSource::From);
        claim.upgrade_name(display(&address), NameFrom::From);
    }
    claim
}

fn preferred(msg: &Message<'_>, segment: Segment, plan: &Plan, claim: &mut CallerClaim) {
    let (identity, name) = of_pair(msg, Header::PPreferredIdentity, segment, plan);
    claim.upgrade(identity, ClaimSource::Preferred);
    claim.upgrade_name(name, NameFrom::From);
}

fn asserted(msg: &Message<'_>, segment: Segment, plan: &Plan, claim: &mut CallerClaim) {
    let (identity, name) = of_pair(msg, Header::PAssertedIdentity, segment, plan);
    claim.upgrade(identity, ClaimSource::Asserted);
    claim.upgrade_name(name, NameFrom::Asserted);
}

/// The first `tel:` and the first `sip:` value of a header that may have one of each (RFC 3325
/// §9.1): the number of the `tel:` value, the name of whichever has one.
pub(crate) fn of_pair(
    msg: &Message<'_>,
    header: Header,
    segment: Segment,
    plan: &Plan,
) -> (Option<Identity>, Option<CompactString>) {
    // Most INVITEs have one of these headers or none.
    if msg.header(header).is_none() {
        return (None, None);
    }
    let (mut tel, mut sip) = (None, None);
    for address in msg.values(header).filter_map(name_addr) {
        let Some(uri) = uri(address.uri).filter(|uri| !is_anonymous(uri)) else {
            continue;
        };
        let place = match uri.scheme {
            Scheme::Tel => &mut tel,
            Scheme::Sip | Scheme::Sips => &mut sip,
            Scheme::Urn | Scheme::Other => continue,
        };
        place.get_or_insert((address, uri));
    }
    let both = [tel, sip];
    let identity = both
        .iter()
        .flatten()
        .find_map(|(_, uri)| plan.identify_uri(uri, segment));
    let name = both.iter().flatten().find_map(|(address, _)| display(address));
    (identity, name)
}

/// Remote-Party-ID of the calling party, a screened one before others (draft-ietf-sip-privacy-04 §4.2).
fn remote_party(msg: &Message<'_>, segment: Segment, plan: &Plan, claim: &mut CallerClaim) {
    let is = |address: &NameAddr<'_>, name: &[u8], wanted: &[u8]| {
        address
            .params
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    if msg.header(Header::RemotePartyId).is_none() {
        return;
    }
    let mut best: Option<NameAddr<'_>> = None;
    for address in msg.values(Header::RemotePartyId).filter_map(name_addr) {
        let calling = !address.params.has(b"party") || is(&address, b"party", b"calling");
        let better = best.is_none() || is(&address, b"screen", b"yes");
        if calling && better && !best.is_some_and(|best| is(&best, b"screen", b"yes")) {
            best = Some(address);
        }
    }
    let Some(address) = best else { return };
    let Some(uri) = uri(address.uri) else { return };
    let hides = |value: &[u8]| {
        value
            .split(|byte| matches!(byte, b'-' | b',' | b';'))
            .any(is_hiding)
    };
    if is_anonymous(&uri) || address.params.get(b"privacy").is_some_and(hides) {
        claim.from_anonymous = true;
    }
    if !is_anonymous(&uri) {
        claim.upgrade(plan.identify_uri(&uri, segment), ClaimSource::RemoteParty);
        claim.upgrade_name(display(&address), NameFrom::Asserted);
    }
}

/// `privacy=` values of Remote-Party-ID that hide something of the caller.
fn is_hiding(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    ["full", "name", "uri"]
        .iter()
        .any(|hiding| value.eq_ignore_ascii_case(hiding.as_bytes()))
}

/// The forms in which a URI says that it names nobody (RFC 3323 §4.1.1.3, TS 24.607).
fn is_anonymous(uri: &Uri<'_>) -> bool {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return false;
    }
    let user = uri.user.unwrap_or_default();
    let nobody = ["anonymous", "unavailable", "restricted"];
    let host = uri.host.strip_suffix(b".").unwrap_or(uri.host);
    let label = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    label.eq_ignore_ascii_case(b"invalid")
        || nobody
            .iter()
            .any(|name| user.eq_ignore_ascii_case(name.as_bytes()))
}

fn display(address: &NameAddr<'_>) -> Option<CompactString> {
    name::decode(address.display, address.quoted)
}

//! Who calls: the precedence of semantics.md §3.3, for one message on one segment.
//!
//! A claim is what one message says. Which claim of several segments counts is decided where the
//! segments meet, by [`ClaimSource`] and [`Segment::rank`]; whether it may be shown, by
//! [`withheld`](crate::withheld).

use compact_str::CompactString;
use ringtap_sip::addr::{NameAddr, name_addr};
use ringtap_sip::uri::{Scheme, uri};
use ringtap_sip::{Global, Header, Message};

use crate::party::{Party, is_anonymous, is_invalid};
use crate::{Identity, Named, Plan, Privacy, Segment, name};

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
}

/// A claim that is still being read.
#[derive(Default)]
struct Reading<'a> {
    identity: Option<Named<'a>>,
    name: Option<CompactString>,
    source: ClaimSource,
    name_source: NameFrom,
    privacy: Privacy,
    from_anonymous: bool,
}

impl<'a> Reading<'a> {
    /// Takes over what a header better than those before says.
    fn upgrade(&mut self, identity: Option<Named<'a>>, source: ClaimSource) {
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

    fn claim(self) -> CallerClaim {
        CallerClaim {
            identity: self.identity.and_then(Named::into_identity),
            name: self.name,
            source: self.source,
            name_source: self.name_source,
            privacy: self.privacy,
            from_anonymous: self.from_anonymous,
        }
    }
}

/// What a request of the caller says about the caller.
///
/// Never for a request that the callee sends in the dialog: its From is the callee.
#[must_use]
pub fn caller(msg: &Message<'_>, segment: Segment, plan: &Plan) -> CallerClaim {
    let mut claim = from(msg, segment, plan);
    claim.privacy = Privacy::read(msg);
    if matches!(segment, Segment::Go | Segment::Unknown) {
        preferred(msg, segment, plan, &mut claim);
    }
    // On Gm the caller's phone could write these itself; the P-CSCF removes them (TS 24.229 §5.2.6.3).
    if segment != Segment::Go {
        remote_party(msg, segment, plan, &mut claim);
        asserted(msg, segment, plan, &mut claim);
    }
    claim.claim()
}

/// What From alone says of the caller: all there is in a response or a CANCEL, which is never enriched from
/// other headers (semantics.md §3.4; the P-Asserted-Identity of a response is the callee's).
#[must_use]
pub fn caller_from(msg: &Message<'_>, segment: Segment, plan: &Plan) -> CallerClaim {
    from(msg, segment, plan).claim()
}

fn from<'a>(msg: &Message<'a>, segment: Segment, plan: &Plan) -> Reading<'a> {
    let mut claim = Reading::default();
    let Some(party) = Party::of(msg.from()) else {
        return claim;
    };
    if party.is_anonymous() {
        claim.from_anonymous = true;
    } else {
        claim.upgrade(party.named(segment, plan), ClaimSource::From);
        claim.upgrade_name(party.name(), NameFrom::From);
    }
    claim
}

fn preferred<'a>(msg: &Message<'a>, segment: Segment, plan: &Plan, claim: &mut Reading<'a>) {
    let (identity, name) = of_pair(msg, Header::PPreferredIdentity, segment, plan);
    claim.upgrade(identity, ClaimSource::Preferred);
    claim.upgrade_name(name, NameFrom::From);
}

fn asserted<'a>(msg: &Message<'a>, segment: Segment, plan: &Plan, claim: &mut Reading<'a>) {
    let (identity, name) = of_pair(msg, Header::PAssertedIdentity, segment, plan);
    claim.upgrade(identity, ClaimSource::Asserted);
    claim.upgrade_name(name, NameFrom::Asserted);
}

/// The first `tel:` and the first `sip:` value of a header that may have one of each (RFC 3325
/// §9.1): the number of the `tel:` value, the name of whichever has one.
pub(crate) fn of_pair<'a>(
    msg: &Message<'a>,
    header: Header,
    segment: Segment,
    plan: &Plan,
) -> (Option<Named<'a>>, Option<CompactString>) {
    if let Some(pair) = plain_pair(msg, header) {
        let named = |global: &Global<'a>| plan.named_global(global, segment);
        return (pair.iter().flatten().find_map(named), None);
    }
    let (mut tel, mut sip) = (None, None);
    for party in msg.values(header).filter_map(Party::of) {
        let place = match party.scheme() {
            Scheme::Tel => &mut tel,
            Scheme::Sip | Scheme::Sips => &mut sip,
            Scheme::Urn | Scheme::Other => continue,
        };
        if place.is_none() && !party.is_anonymous() {
            *place = Some(party);
        }
    }
    let both = [tel, sip];
    let identity = both.iter().flatten().find_map(|party| party.named(segment, plan));
    let name = both.iter().flatten().find_map(Party::name);
    (identity, name)
}

/// The first `tel:` and the first `sip:` value where every line is one plain number without a name, as nearly always; `None` where one is not.
fn plain_pair<'a>(msg: &Message<'a>, header: Header) -> Option<[Option<Global<'a>>; 2]> {
    let (mut tel, mut sip) = (None, None);
    for line in msg.lines(header) {
        let (global, behind) = Global::of_address(line)?;
        if !behind.is_empty() || is_invalid(global.host) {
            return None;
        }
        let place = if global.scheme == Scheme::Tel {
            &mut tel
        } else {
            &mut sip
        };
        place.get_or_insert(global);
    }
    Some([tel, sip])
}

/// Remote-Party-ID of the calling party, a screened one before others (draft-ietf-sip-privacy-04 §4.2).
fn remote_party<'a>(msg: &Message<'a>, segment: Segment, plan: &Plan, claim: &mut Reading<'a>) {
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
        let identity = plan.identify_uri(&uri, segment).map(Named::made);
        claim.upgrade(identity, ClaimSource::RemoteParty);
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

fn display(address: &NameAddr<'_>) -> Option<CompactString> {
    name::decode(address.display, address.quoted)
}

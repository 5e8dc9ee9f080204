//! URIs to canonical identities: the parsing order of semantics.md §3.5 and the dial plan behind it.
//!
//! The parts of a URI come from `ringtap-sip`, the operator's rules from `rules`, the public plan from
//! `tail`. How an identity is shown to people is in `display`.

use std::net::IpAddr;
use std::ops::Deref;

use arrayvec::{ArrayString, ArrayVec};
use compact_str::CompactString;
use ipnet::IpNet;
use ringtap_sip::uri::{Scheme, Uri, uri};
use ringtap_sip::{Global, percent_decode};

use crate::identity::IDENTITY_BYTES_MAX;
use crate::numbering::{Numbering, PlanError};
use crate::rules::{Ruled, Rules, Surroundings};
use crate::tail::{Habits, Meaning, PublicPlan};
use crate::{Identity, Named, Segment};

/// Longest number read, separators removed. E.164 has 15 digits, private and feature codes a few more.
const NUMBER_BYTES_MAX: usize = 64;

type Number = ArrayString<NUMBER_BYTES_MAX>;
type Text = ArrayString<IDENTITY_BYTES_MAX>;
type Octets = ArrayVec<u8, IDENTITY_BYTES_MAX>;

/// All that is known about the numbers and domains of this network.
///
/// A plain number of up to 23 digits that no rule concerns is identified without a heap allocation.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) rules: Rules,
    pub(crate) public: PublicPlan,
    home_domains: Vec<CompactString>,
    gateways: Vec<IpNet>,
    aor_case_insensitive: bool,
}

/// What a user part turned out to be.
enum Dialled {
    Identity(Identity),
    /// A feature code, or a number that must not be used.
    NotAnIdentity,
    /// Not a number: the URI is an address of record.
    NotANumber,
}

impl Plan {
    /// Compiles a numbering plan. `home_domains` are the hosts whose numeric users are numbers;
    /// `aor_case_insensitive` makes `sip:Bob@h` and `sip:bob@h` one identity (semantics.md §3.5 step 9).
    ///
    /// # Errors
    /// A rule that does not compile, by its name, or a prefix that is not digits.
    pub fn new(
        numbering: &Numbering,
        home_domains: &[String],
        aor_case_insensitive: bool,
    ) -> Result<Self, PlanError> {
        Ok(Self {
            rules: Rules::new(&numbering.rules)?,
            public: PublicPlan::new(numbering)?,
            home_domains: home_domains
                .iter()
                .map(|domain| CompactString::new(domain.trim_end_matches('.').to_ascii_lowercase()))
                .collect(),
            gateways: Vec::new(),
            aor_case_insensitive,
        })
    }

    /// Takes numeric users at these addresses for numbers too (semantics.md §3.5 step 4): trunks write
    /// their own address as host.
    #[must_use]
    pub fn with_gateways(mut self, gateways: &[IpNet]) -> Self {
        self.gateways.extend_from_slice(gateways);
        self
    }

    /// Takes these dialled digits for service codes, whatever the country (emergency numbers).
    #[must_use]
    pub fn with_services<'a>(mut self, codes: impl IntoIterator<Item = &'a str>) -> Self {
        self.public.add_services(codes.into_iter());
        self
    }

    /// The identity that a URI names on `segment`; `None` if it names none: a feature code, an
    /// unusable number, something that is too long, or no URI.
    #[must_use]
    pub fn identify(&self, uri_bytes: &[u8], segment: Segment) -> Option<Identity> {
        match Global::of_uri(uri_bytes) {
            Some(global) => self.named_global(&global, segment)?.into_identity(),
            None => self.identify_uri(&uri(uri_bytes)?, segment),
        }
    }

    /// The identity that a global number is.
    pub(crate) fn named_global<'a>(&self, global: &Global<'a>, segment: Segment) -> Option<Named<'a>> {
        self.canonical(global)
            .map(Named::as_is)
            .or_else(|| self.identify_uri(&uri(global.raw)?, segment).map(Named::made))
    }

    /// The part of a plain URI that is the identity's canonical form: the number if that is one here, else the address; `None` if some rule or
    /// bound may make another identity of it, or none.
    fn canonical<'a>(&self, global: &Global<'a>) -> Option<&'a [u8]> {
        if global.address().len() > IDENTITY_BYTES_MAX {
            return None;
        }
        if !self.is_public_global(global) {
            return (global.host.last() != Some(&b'.')).then_some(global.address());
        }
        let (_, digits) = global.number.split_first()?;
        let is_final = global.number.len() <= NUMBER_BYTES_MAX
            && !self.public.may_repair(digits)
            && !self.rules.concern_any(global.number);
        is_final.then_some(global.number)
    }

    /// As [`is_public_uri`](Self::is_public_uri), of a global number: whether it is a number of this network rather than an address.
    pub(crate) fn is_public_global(&self, global: &Global<'_>) -> bool {
        global.scheme == Scheme::Tel
            || global.says_phone
            || self.is_home(global.host)
            || (!self.gateways.is_empty() && host(global.host).is_some_and(|host| self.is_gateway(&host)))
    }

    pub(crate) fn identify_uri(&self, uri: &Uri<'_>, segment: Segment) -> Option<Identity> {
        match uri.scheme {
            Scheme::Tel => self.tel(uri, segment),
            Scheme::Sip | Scheme::Sips => self.sip(uri, segment),
            Scheme::Urn => lowercase(uri.raw).and_then(|text| Identity::from_canonical(&text)),
            Scheme::Other => opaque(uri),
        }
    }

    /// The identity that a person wrote into a list or a subscription: a number in any form, an
    /// extension, a `tel:` or `sip:` URI, `user@host`, or a canonical identity.
    ///
    /// Rules that are bound to segments hold here: what people write is what they dial.
    #[must_use]
    pub fn identify_text(&self, text: &str) -> Option<Identity> {
        let text = text.trim();
        if text.starts_with("svc:") {
            return Identity::from_canonical(text);
        }
        if let Some((scheme, _)) = text.split_once(':') {
            let known = ["tel", "sip", "sips", "urn"]
                .iter()
                .any(|name| scheme.eq_ignore_ascii_case(name));
            return known
                .then(|| self.identify(text.as_bytes(), Segment::Unknown))
                .flatten();
        }
        if text.contains('@') {
            let mut with_scheme = CompactString::const_new("sip:");
            with_scheme.push_str(text);
            return self.identify(with_scheme.as_bytes(), Segment::Unknown);
        }
        let around = Surroundings {
            segment: Segment::Unknown,
            host: None,
            phone_context: None,
        };
        match self.dialled(text.as_bytes(), &around) {
            Dialled::Identity(identity) => Some(identity),
            Dialled::NotAnIdentity | Dialled::NotANumber => None,
        }
    }

    /// Whether a Request-URI is a number or an address of record of this network rather than the
    /// contact of a phone (semantics.md §3.2 rule 2).
    #[must_use]
    pub fn is_public(&self, uri_bytes: &[u8]) -> bool {
        uri(uri_bytes).is_some_and(|uri| self.is_public_uri(&uri))
    }

    pub(crate) fn is_public_uri(&self, uri: &Uri<'_>) -> bool {
        match uri.scheme {
            Scheme::Tel | Scheme::Urn => true,
            Scheme::Sip | Scheme::Sips => {
                uri.user.is_some_and(|user| !user.is_empty())
                    && (says_phone(uri) || self.is_home(uri.host) || self.is_number_at_gateway(uri))
            }
            Scheme::Other => false,
        }
    }

    fn tel(&self, uri: &Uri<'_>, segment: Segment) -> Option<Identity> {
        let number = decoded(uri.user?)?;
        let phone_context = context(uri.params.get(b"phone-context"))?;
        // RFC 3966 §5.4: a mandatory parameter that is not understood forbids the use of the URI.
        let mandatory = uri.params.iter().any(|(name, _)| is_mandatory(name));
        if let Some(identity) = self.plain_global(&number) {
            return Some(identity).filter(|_| !mandatory);
        }
        let around = Surroundings {
            segment,
            host: None,
            phone_context: phone_context.as_deref(),
        };
        match self.dialled(&number, &around) {
            Dialled::Identity(identity) if !mandatory => Some(identity),
            _ => None,
        }
    }

    fn sip(&self, uri: &Uri<'_>, segment: Segment) -> Option<Identity> {
        let host = host(uri.host)?;
        let Some(user) = uri.user.filter(|user| !user.is_empty()) else {
            return self.address(&[], host.as_str());
        };
        let user = decoded(user)?;
        if says_phone(uri) || (is_numeric(&user) && (self.is_home(uri.host) || self.is_gateway(&host))) {
            // RFC 3261 §19.1.6 puts the number's parameters before the `@`; equipment also behind it.
            let phone_context = uri.user_params.get(b"phone-context");
            let phone_context = context(phone_context.or_else(|| uri.params.get(b"phone-context")))?;
            let mandatory = uri.user_params.iter().any(|(name, _)| is_mandatory(name));
            if let Some(identity) = self.plain_global(&user) {
                return Some(identity).filter(|_| !mandatory);
            }
            let around = Surroundings {
                segment,
                host: Some(host.as_str()),
                phone_context: phone_context.as_deref(),
            };
            match self.dialled(&user, &around) {
                Dialled::Identity(identity) => return Some(identity).filter(|_| !mandatory),
                Dialled::NotAnIdentity => return None,
                Dialled::NotANumber => {}
            }
        }
        self.address(&user, host.as_str())
    }

    /// The identity of `+` and digits that no rule concerns, which most numbers within a core are: nothing
    /// around it matters.
    fn plain_global(&self, octets: &[u8]) -> Option<Identity> {
        if octets.first() != Some(&b'+') {
            return None;
        }
        let number = plain_number(octets).filter(|number| !self.rules.concern(number))?;
        self.public.plain_global(number)
    }

    /// Rules, then the public plan, then a local number in its context (semantics.md §3.5 steps 5 to 8).
    fn dialled(&self, octets: &[u8], around: &Surroundings<'_>) -> Dialled {
        let cleaned;
        let number = match plain_number(octets) {
            Some(plain) => plain,
            None => {
                let Some(number) = without_separators(octets) else {
                    return Dialled::NotANumber;
                };
                cleaned = number;
                &cleaned
            }
        };
        let ruled = self.rules.apply(number, around);
        let number = match &ruled {
            Ruled::Final(identity) => return Dialled::Identity(identity.clone()),
            Ruled::Nothing => return Dialled::NotAnIdentity,
            Ruled::Dialled(number) => number.as_ref(),
        };
        // A global number needs no context (RFC 3966 §5.1.5); one that has a context anyway stays global.
        match self.public.meaning(number, self.habits(around)) {
            Meaning::Known(identity) => Dialled::Identity(identity),
            Meaning::NotAnIdentity => Dialled::NotAnIdentity,
            Meaning::Local => {
                let home = self.home_domains.first().map(CompactString::as_str);
                let context = around.phone_context.or(around.host).or(home);
                Identity::local(number, context).map_or(Dialled::NotAnIdentity, Dialled::Identity)
            }
        }
    }

    fn habits(&self, around: &Surroundings<'_>) -> Habits {
        match around.phone_context {
            None => self.habits_at(around.host),
            Some(context) => match context.strip_prefix('+') {
                Some(digits) => self.public.habits_of(digits),
                None if self.is_home(context.as_bytes()) => Habits::Home,
                None => Habits::Foreign,
            },
        }
    }

    /// A number without context at a host that is not ours was written in that domain's habits
    /// (RFC 3261 §19.1.6). Trunk prefixes are our country's at least; the area is not.
    fn habits_at(&self, host: Option<&str>) -> Habits {
        let Some(host) = host else { return Habits::Home };
        let within = |domain: &CompactString| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|label| label.is_empty() || label.ends_with('.'))
        };
        let ours =
            self.home_domains.is_empty() || self.home_domains.iter().any(within) || address(host).is_some();
        if ours { Habits::Home } else { Habits::Country }
    }

    /// `sip:user@host`, the user with only those octets escaped that would make the text ambiguous or
    /// unprintable.
    fn address(&self, user: &[u8], host: &str) -> Option<Identity> {
        let mut text = Text::new();
        text.try_push_str("sip:").ok()?;
        for octet in user {
            let octet = if self.aor_case_insensitive {
                octet.to_ascii_lowercase()
            } else {
                *octet
            };
            push_escaped(&mut text, octet)?;
        }
        if !user.is_empty() {
            text.try_push('@').ok()?;
        }
        text.try_push_str(host).ok()?;
        Identity::from_canonical(&text)
    }

    fn is_home(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        self.home_domains
            .iter()
            .any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
    }

    fn is_gateway(&self, host: &Host<'_>) -> bool {
        let among = |address| self.gateways.iter().any(|net| net.contains(&address));
        !self.gateways.is_empty() && address(host.as_str()).is_some_and(among)
    }

    fn is_number_at_gateway(&self, uri: &Uri<'_>) -> bool {
        let numeric = || uri.user.and_then(decoded).is_some_and(|user| is_numeric(&user));
        !self.gateways.is_empty() && numeric() && host(uri.host).is_some_and(|host| self.is_gateway(&host))
    }
}

/// The user part of a URI, percent-decoded, as the caller keyed it: what pickup codes and the like are
/// compared with (semantics.md §8.1). `None` if it is not printable ASCII.
#[must_use]
pub fn dialled_user(uri_bytes: &[u8]) -> Option<CompactString> {
    let user = decoded(uri(uri_bytes)?.user?)?;
    let text = std::str::from_utf8(&user).ok()?;
    let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    printable.then(|| CompactString::new(text))
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn says_phone(uri: &Uri<'_>) -> bool {
    let says = uri.params.get(b"user").or_else(|| uri.user_params.get(b"user"));
    says.is_some_and(|user| user.eq_ignore_ascii_case(b"phone") || user.eq_ignore_ascii_case(b"dialstring"))
}

fn is_mandatory(name: &[u8]) -> bool {
    matches!(name, [b'm' | b'M', b'-', ..])
}

/// A part of a URI, percent-decoded: itself, where nothing in it was escaped.
enum Decoded<'a> {
    AsIs(&'a [u8]),
    Octets(Octets),
}

impl Deref for Decoded<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::AsIs(part) => part,
            Self::Octets(octets) => octets,
        }
    }
}

/// `part` decoded; `None` if that is too long for any identity.
fn decoded(part: &[u8]) -> Option<Decoded<'_>> {
    if !part.contains(&b'%') {
        return (part.len() <= IDENTITY_BYTES_MAX).then_some(Decoded::AsIs(part));
    }
    let mut octets = Octets::new();
    for octet in percent_decode(part) {
        octets.try_push(octet).ok()?;
    }
    Some(Decoded::Octets(octets))
}

/// `[+]?[0-9*#().-]+` (semantics.md §3.5 step 4).
fn is_numeric(user: &[u8]) -> bool {
    let user = user.strip_prefix(b"+").unwrap_or(user);
    !user.is_empty()
        && user
            .iter()
            .all(|octet| octet.is_ascii_digit() || b"*#().-".contains(octet))
}

/// A number in which there is nothing to remove: digits, a `+` before them perhaps.
fn plain_number(octets: &[u8]) -> Option<&str> {
    let digits = octets.strip_prefix(b"+").unwrap_or(octets);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    (plain && octets.len() <= NUMBER_BYTES_MAX)
        .then(|| std::str::from_utf8(octets).ok())
        .flatten()
}

/// The number without visual separators (RFC 3966 §3) and spaces; `None` if it is none.
fn without_separators(octets: &[u8]) -> Option<Number> {
    let mut number = Number::new();
    for octet in octets {
        match octet {
            b'-' | b'.' | b'(' | b')' | b' ' => {}
            b'+' if number.is_empty() => number.try_push('+').ok()?,
            b'0'..=b'9' | b'*' | b'#' => number.try_push(char::from(*octet)).ok()?,
            b'a'..=b'd' | b'A'..=b'D' => number.try_push(char::from(octet.to_ascii_uppercase())).ok()?,
            _ => return None,
        }
    }
    // Letters alone are a word ("abba"), not a number.
    number
        .bytes()
        .any(|octet| !matches!(octet, b'A'..=b'D' | b'+'))
        .then_some(number)
}

/// A `phone-context`: absent, or a domain in lower case, or `+` and digits. The outer `None` is a
/// context that is neither; a number within it cannot be known.
fn context(value: Option<&[u8]>) -> Option<Option<Number>> {
    let Some(value) = value else { return Some(None) };
    let mut context = Number::new();
    let global = value.starts_with(b"+") || value.starts_with(b"%2B") || value.starts_with(b"%2b");
    for octet in percent_decode(value) {
        let octet = octet.to_ascii_lowercase();
        match octet {
            b'-' | b'.' | b'(' | b')' if global => {}
            b'+' if context.is_empty() => context.try_push('+').ok()?,
            b'0'..=b'9' => context.try_push(char::from(octet)).ok()?,
            b'a'..=b'z' | b'-' | b'.' | b'_' | b':' | b'[' | b']' if !global => {
                context.try_push(char::from(octet)).ok()?
            }
            _ => return None,
        }
    }
    (!context.is_empty()).then_some(Some(context))
}

/// A host in lower case: itself, where it was written so.
enum Host<'a> {
    /// Known to be ASCII. Text only when asked for, which a global number never does.
    AsIs(&'a [u8]),
    Lower(Text),
}

impl Host<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::AsIs(host) => std::str::from_utf8(host).unwrap_or_default(),
            Self::Lower(host) => host,
        }
    }
}

/// A host in lower case without the root's dot; `None` if it is none, or too long for any identity.
fn host(host: &[u8]) -> Option<Host<'_>> {
    let octets = host.strip_suffix(b".").unwrap_or(host);
    let classes = octets.iter().fold(0, |classes, octet| {
        classes
            | HOST_CLASSES
                .get(usize::from(*octet))
                .copied()
                .unwrap_or(NOT_IN_HOST)
    });
    if classes & NOT_IN_HOST != 0 || octets.is_empty() || octets.len() > IDENTITY_BYTES_MAX {
        return None;
    }
    if classes & CAPITAL == 0 {
        return Some(Host::AsIs(octets));
    }
    let mut lower = Text::from(std::str::from_utf8(octets).ok()?).ok()?;
    lower.make_ascii_lowercase();
    Some(Host::Lower(lower))
}

/// A letter that has to be put in lower case.
const CAPITAL: u8 = 1;
/// An octet that no host has.
const NOT_IN_HOST: u8 = 2;

/// What each octet means in a host: one look instead of half a dozen comparisons.
#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only: an index out of bounds does not build"
)]
static HOST_CLASSES: [u8; 256] = {
    let mut classes = [NOT_IN_HOST; 256];
    let mut octet = 0_u8;
    while octet < 0x80 {
        let class = match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' | b'[' | b']' => 0,
            b'A'..=b'Z' => CAPITAL,
            _ => NOT_IN_HOST,
        };
        classes[octet as usize] = class;
        octet += 1;
    }
    classes
};

fn push_escaped(text: &mut Text, octet: u8) -> Option<()> {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    // `unreserved` and `user-unreserved` of RFC 3261 §25.1, without `;`, which would open parameters.
    if octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,?/".contains(&octet) {
        return text.try_push(char::from(octet)).ok();
    }
    text.try_push('%').ok()?;
    text.try_push(*HEX.get(usize::from(octet >> 4))?).ok()?;
    text.try_push(*HEX.get(usize::from(octet & 15))?).ok()
}

fn lowercase(bytes: &[u8]) -> Option<Text> {
    let mut text = Text::new();
    for byte in bytes {
        text.try_push(char::from(byte.to_ascii_lowercase())).ok()?;
    }
    Some(text)
}

/// Another scheme: the text itself, only the scheme's case unified.
fn opaque(uri: &Uri<'_>) -> Option<Identity> {
    let text = std::str::from_utf8(uri.raw).ok()?;
    let (scheme, rest) = text.split_once(':')?;
    let mut canonical = lowercase(scheme.trim_end().as_bytes())?;
    canonical.try_push(':').ok()?;
    canonical.try_push_str(rest).ok()?;
    Identity::from_canonical(&canonical).filter(|identity| !identity.is_service())
}

#[cfg(test)]
mod tests;

//! Somebody whom a message names, and an identity as it stands there.
//!
//! Most of what a message names is known from another header or another message of the same call, and stands there in its canonical form. So an
//! identity is made of a text only where it is kept; until then it is the text itself.

use compact_str::CompactString;
use ringtap_sip::Global;
use ringtap_sip::addr::name_addr;
use ringtap_sip::uri::{Scheme, Uri, uri};

use crate::{Identity, Plan, Segment, name};

/// An identity that a message names.
#[derive(Clone, Debug)]
pub struct Named<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    /// It stands in the message in its canonical form, which is ASCII.
    AsIs(&'a [u8]),
    /// It had to be made.
    Made(Identity),
}

impl<'a> Named<'a> {
    /// The identity whose canonical form this is, which is for the caller to know.
    pub(crate) const fn as_is(canonical: &'a [u8]) -> Self {
        Self(Form::AsIs(canonical))
    }

    pub(crate) const fn made(identity: Identity) -> Self {
        Self(Form::Made(identity))
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, identity: &Identity) -> bool {
        match &self.0 {
            Form::AsIs(text) => identity.as_str().as_bytes() == *text,
            Form::Made(made) => made == identity,
        }
    }

    /// The identity itself, to be kept. Always `Some`: that a text is ASCII is seen again here.
    #[must_use]
    pub fn into_identity(self) -> Option<Identity> {
        match self.0 {
            Form::AsIs(text) => Identity::plain(text),
            Form::Made(identity) => Some(identity),
        }
    }
}

/// One address of a header field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party<'a> {
    display: &'a [u8],
    quoted: bool,
    uri: Written<'a>,
}

/// How its URI is written.
#[derive(Clone, Copy, Debug)]
enum Written<'a> {
    Plain(Global<'a>),
    Other(Uri<'a>),
}

impl<'a> Party<'a> {
    /// The party that one value of a header field names.
    pub(crate) fn of(value: &'a [u8]) -> Option<Self> {
        if let Some((global, _)) = Global::of_address(value) {
            return Some(Self::plain(global));
        }
        let address = name_addr(value)?;
        Some(Self {
            display: address.display,
            quoted: address.quoted,
            uri: Written::of(address.uri)?,
        })
    }

    /// One without a name.
    const fn plain(global: Global<'a>) -> Self {
        Self {
            display: &[],
            quoted: false,
            uri: Written::Plain(global),
        }
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        match &self.uri {
            Written::Plain(global) => global.scheme,
            Written::Other(uri) => uri.scheme,
        }
    }

    /// Whether it says that it is nobody.
    pub(crate) fn is_anonymous(&self) -> bool {
        match &self.uri {
            Written::Plain(global) => global.scheme != Scheme::Tel && is_invalid(global.host),
            Written::Other(uri) => is_anonymous(uri),
        }
    }

    /// Who it is.
    pub(crate) fn named(&self, segment: Segment, plan: &Plan) -> Option<Named<'a>> {
        match &self.uri {
            Written::Plain(global) => plan.named_global(global, segment),
            Written::Other(uri) => plan.identify_uri(uri, segment).map(Named::made),
        }
    }

    /// The name that stands before the address, decoded and sanitised.
    pub(crate) fn name(&self) -> Option<CompactString> {
        if self.display.is_empty() {
            return None;
        }
        name::decode(self.display, self.quoted)
    }
}

impl<'a> Written<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        match Global::of_uri(text) {
            Some(global) => Some(Self::Plain(global)),
            None => uri(text).map(Self::Other),
        }
    }
}

/// The forms in which a URI says that it names nobody (RFC 3323 §4.1.1.3, TS 24.607).
pub(crate) fn is_anonymous(uri: &Uri<'_>) -> bool {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return false;
    }
    let user = uri.user.unwrap_or_default();
    let nobody = ["anonymous", "unavailable", "restricted"];
    is_invalid(uri.host)
        || nobody
            .iter()
            .any(|name| user.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a host lies in the domain in which there is nobody (RFC 2606 §2).
pub(crate) fn is_invalid(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some((before, label)) = host.split_last_chunk::<7>() else {
        return false;
    };
    label.eq_ignore_ascii_case(b"invalid") && matches!(before.last(), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a domain taken for the one of nobody, and the other way round.
    #[test]
    fn nobodys_domain() {
        for (host, is) in [
            ("invalid", true),
            ("anonymous.invalid", true),
            ("anonymous.Invalid.", true),
            ("notinvalid", false),
            ("invalid.test", false),
            ("nvalid", false),
            ("a.example", false),
            ("example", false),
            ("", false),
        ] {
            assert_eq!(is_invalid(host.as_bytes()), is, "{host}");
        }
    }
}

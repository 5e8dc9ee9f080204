//! The canonical identity: the one text under which a caller or a callee is known everywhere.
//!
//! What a URI has to go through to become one is in `plan`; here is the form itself and how a
//! stored one is read back.

use std::fmt;

use arrayvec::ArrayString;
use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// No identity is longer; longer input is no identity.
pub const IDENTITY_BYTES_MAX: usize = 128;

/// A canonical identity (semantics.md §3.5): printable ASCII of at most [`IDENTITY_BYTES_MAX`] bytes.
///
/// | form | meaning |
/// |---|---|
/// | `+862583091001` | global number, private pseudo-global numbers included |
/// | `svc:95598` | service code |
/// | `tel:8001;phone-context=site` | local number that no rule resolves |
/// | `sip:user@host` | address of record |
/// | `urn:service:sos` | service URN |
/// | `scheme:...` | anything else; equal only to itself |
///
/// A number of up to 23 digits lives inside the value, without a heap allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(CompactString);

/// What an [`Identity`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `+` and digits.
    Number,
    /// `svc:`: emergency and service codes.
    Service,
    /// `tel:`: a local number with its context.
    Local,
    /// `sip:`: an address of record.
    Sip,
    /// `urn:`.
    Urn,
    /// Another scheme.
    Opaque,
}

impl Identity {
    /// Reads what [`Identity::as_str`] once gave. `None` for every other text.
    #[must_use]
    pub fn from_canonical(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || text.len() > IDENTITY_BYTES_MAX {
            return None;
        }
        if let Some(digits) = text.strip_prefix('+') {
            return Self::number(&[digits]);
        }
        // Most are addresses of record.
        let plausible = match text.strip_prefix("sip:") {
            Some(rest) => !rest.is_empty(),
            None => text
                .split_once(':')
                .is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()),
        };
        plausible.then(|| Self(CompactString::new(text)))
    }

    /// `+` and the digits of `parts`; `None` if there are none or something else is among them.
    pub(crate) fn number(parts: &[&str]) -> Option<Self> {
        let none = parts.iter().all(|part| part.is_empty());
        let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        if none || !parts.iter().all(digits) {
            return None;
        }
        Self::concat("+", parts)
    }

    /// `+` and digits, which is for the caller to know: most numbers within a core come as such.
    pub(crate) fn plain_number(number: &str) -> Self {
        debug_assert!(Self::from_canonical(number).is_some_and(|identity| identity.kind() == Kind::Number));
        Self(CompactString::new(number))
    }

    /// A text that is canonical, which is for the caller to know.
    pub(crate) fn plain(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        debug_assert!(Self::from_canonical(text).is_some());
        Some(Self(CompactString::new(text)))
    }

    /// `svc:` and the code.
    pub(crate) fn service(code: &str) -> Option<Self> {
        let printable = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then(|| Self::concat("svc:", &[code])).flatten()
    }

    /// `tel:` and a local number; without context if there is none to be had.
    pub(crate) fn local(digits: &str, context: Option<&str>) -> Option<Self> {
        match context {
            Some(context) => Self::concat("tel:", &[digits, ";phone-context=", context]),
            None => Self::concat("tel:", &[digits]),
        }
    }

    fn concat(prefix: &str, parts: &[&str]) -> Option<Self> {
        // Put together beside it: each push into the inline form of a compact string works out its length anew.
        let mut text = ArrayString::<IDENTITY_BYTES_MAX>::new();
        text.try_push_str(prefix).ok()?;
        for part in parts {
            text.try_push_str(part).ok()?;
        }
        Some(Self(CompactString::new(text)))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.split_once(':') {
            None => Kind::Number,
            Some(("svc", _)) => Kind::Service,
            Some(("tel", _)) => Kind::Local,
            Some(("sip", _)) => Kind::Sip,
            Some(("urn", _)) => Kind::Urn,
            Some(_) => Kind::Opaque,
        }
    }

    /// Whether this is a global number (private pseudo-global numbers included).
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.kind() == Kind::Number
    }

    /// Whether this is a service code.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.kind() == Kind::Service
    }

    /// Digits of a global number, without `+`.
    #[must_use]
    pub fn digits(&self) -> Option<&str> {
        self.0.strip_prefix('+')
    }
}

/// A scheme in lower case.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Identity {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Identity> for CompactString {
    fn from(identity: Identity) -> Self {
        identity.0
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_canonical(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("not a canonical identity: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a stored identity that reads back as another kind, or not at all.
    #[test]
    fn every_form_reads_back() {
        for (text, kind) in [
            ("+862583091001", Kind::Number),
            ("svc:95598", Kind::Service),
            ("tel:8001;phone-context=ims.office.test", Kind::Local),
            ("sip:liming@ims.office.test", Kind::Sip),
            ("urn:service:sos.fire", Kind::Urn),
            ("mailto:a@b", Kind::Opaque),
        ] {
            let identity = Identity::from_canonical(text).unwrap();
            assert_eq!((identity.as_str(), identity.kind()), (text, kind));
        }
    }

    /// Catches texts from a tampered store that would carry line ends, spaces or junk into a mail header.
    #[test]
    fn what_is_not_canonical_is_refused() {
        let long = format!("sip:{}@h", "a".repeat(IDENTITY_BYTES_MAX));
        for text in [
            "",
            "+",
            "+86 25",
            "86",
            "svc:",
            "sip:a\r\nBcc: b",
            "SIP:a@b",
            ":x",
            "sip:李@h",
            &long,
        ] {
            assert_eq!(Identity::from_canonical(text), None, "{text:?}");
        }
    }
}

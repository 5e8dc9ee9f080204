//! What a caller asked to be kept from the called person (semantics.md §3.4).

use ringtap_sip::{Header, Message};

use crate::caller::ClaimSource;

/// The set of `Privacy` values of a message or, united, of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Privacy(u8);

impl Privacy {
    /// RFC 3325 §9.3: the asserted identity.
    pub const ID: Self = Self(1);
    /// RFC 3323 §4.2: what the user agent itself inserted.
    pub const USER: Self = Self(1 << 1);
    /// RFC 3323 §4.2: headers that show routes.
    pub const HEADER: Self = Self(1 << 2);
    /// RFC 3323 §4.2: session descriptions.
    pub const SESSION: Self = Self(1 << 3);
    /// RFC 7044 §10.1: diverting parties.
    pub const HISTORY: Self = Self(1 << 4);
    /// RFC 3323 §4.2: the caller forbids anonymising.
    pub const NONE: Self = Self(1 << 5);
    /// RFC 3323 §4.2: fail rather than ignore; no effect of its own here.
    pub const CRITICAL: Self = Self(1 << 6);

    const NAMES: [(&'static str, Self); 7] = [
        ("id", Self::ID),
        ("user", Self::USER),
        ("header", Self::HEADER),
        ("session", Self::SESSION),
        ("history", Self::HISTORY),
        ("none", Self::NONE),
        ("critical", Self::CRITICAL),
    ];

    /// All `Privacy` lines of a message.
    #[must_use]
    pub fn read(msg: &Message<'_>) -> Self {
        msg.lines(Header::Privacy)
            .map(Self::of)
            .fold(Self::default(), Self::union)
    }

    /// One header value: tokens between semicolons, or commas, which equipment writes too.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        value
            .split(|byte| matches!(byte, b';' | b','))
            .flat_map(|token| {
                let token = token.trim_ascii();
                Self::NAMES
                    .into_iter()
                    .find(|(name, _)| token.eq_ignore_ascii_case(name.as_bytes()))
            })
            .fold(Self::default(), |sum, (_, value)| sum.union(value))
    }

    /// What either asks for.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is asked for.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the caller's identity must not be shown: any of `id`, `user`, `header`.
    #[must_use]
    pub const fn withholds(self) -> bool {
        self.0 & (Self::ID.0 | Self::USER.0 | Self::HEADER.0) != 0
    }
}

/// Whether a caller is to be shown as withheld, given all that was seen of the call: the united
/// `Privacy`, the best source of an identity, and whether a From or Remote-Party-ID was anonymous.
///
/// A privacy request wins over everything, `none` beside it included: showing a number that was to
/// be hidden is the worse error. An anonymous From alone hides nothing that the network asserted.
#[must_use]
pub const fn withheld(privacy: Privacy, best: ClaimSource, from_anonymous: bool) -> bool {
    if privacy.withholds() {
        return true;
    }
    from_anonymous && !privacy.contains(Privacy::NONE) && !matches!(best, ClaimSource::Asserted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a token that is missed because of its case, its separator or a neighbour nobody knows.
    #[test]
    fn tokens() {
        assert_eq!(Privacy::of(b"id"), Privacy::ID);
        assert_eq!(
            Privacy::of(b" ID ;\r\n critical"),
            Privacy::ID.union(Privacy::CRITICAL)
        );
        assert_eq!(Privacy::of(b"header, session;user"), {
            Privacy::HEADER.union(Privacy::SESSION).union(Privacy::USER)
        });
        assert_eq!(Privacy::of(b"identity;x;"), Privacy::default());
    }

    /// Catches every wrong cell of the table in semantics.md §3.4.
    #[test]
    fn withheld_or_not() {
        use ClaimSource::{Asserted, From, RemoteParty};
        let none = Privacy::default();
        for (privacy, best, anonymous, expected) in [
            (Privacy::ID, Asserted, false, true),
            (Privacy::USER, From, false, true),
            (Privacy::HEADER, RemoteParty, false, true),
            (Privacy::ID.union(Privacy::NONE), Asserted, false, true),
            (Privacy::SESSION, From, false, false),
            (Privacy::HISTORY, From, false, false),
            (Privacy::CRITICAL, From, false, false),
            (Privacy::NONE, Asserted, true, false),
            (Privacy::NONE, From, true, false),
            (none, Asserted, true, false),
            (none, RemoteParty, true, true),
            (none, From, true, true),
            (none, From, false, false),
        ] {
            assert_eq!(
                withheld(privacy, best, anonymous),
                expected,
                "{privacy:?} {best:?} {anonymous}"
            );
        }
    }
}

//! Names of the header fields that matter for calls.
//!
//! Everything else (Max-Forwards, Allow, ...) is passed over without being looked at.

use std::fmt;

/// Declares the headers once: variant, canonical name, compact form if there is one, source.
macro_rules! headers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $compact:literal)?,)*) => {
        /// A header field that matters for calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Header { $($(#[$doc])* $variant,)* }

        impl Header {
            /// Every header.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The field's canonical name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The field's compact form (RFC 3261 §7.3.3), if it has one.
            #[must_use]
            pub const fn compact(self) -> Option<&'static str> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    _ => None,
                }
            }
        }
    };
}

headers! {
    /// RFC 3261 §20.42.
    Via = "Via" | "v",
    /// RFC 3261 §20.20.
    From = "From" | "f",
    /// RFC 3261 §20.39.
    To = "To" | "t",
    /// RFC 3261 §20.8.
    CallId = "Call-ID" | "i",
    /// RFC 3261 §20.16.
    Cseq = "CSeq",
    /// RFC 3261 §20.10.
    Contact = "Contact" | "m",
    /// RFC 3326.
    Reason = "Reason",
    /// RFC 3325.
    PAssertedIdentity = "P-Asserted-Identity",
    /// RFC 3325.
    PPreferredIdentity = "P-Preferred-Identity",
    /// RFC 7315 §4.2.
    PCalledPartyId = "P-Called-Party-ID",
    /// RFC 7315 §4.6.
    PChargingVector = "P-Charging-Vector",
    /// RFC 7315 §4.1.
    PAssociatedUri = "P-Associated-URI",
    /// RFC 5502.
    PServedUser = "P-Served-User",
    /// draft-ietf-sip-privacy.
    RemotePartyId = "Remote-Party-ID",
    /// RFC 3323.
    Privacy = "Privacy",
    /// RFC 7044.
    HistoryInfo = "History-Info",
    /// RFC 5806.
    Diversion = "Diversion",
    /// RFC 3891.
    Replaces = "Replaces",
    /// RFC 3911.
    Join = "Join",
    /// RFC 4538.
    TargetDialog = "Target-Dialog",
    /// RFC 3515.
    ReferTo = "Refer-To" | "r",
    /// RFC 3892.
    ReferredBy = "Referred-By" | "b",
    /// RFC 7989.
    SessionId = "Session-ID",
    /// RFC 3261 §20.21.
    InReplyTo = "In-Reply-To",
    /// RFC 3261 §20.36.
    Subject = "Subject" | "s",
    /// RFC 3261 §20.15.
    ContentType = "Content-Type" | "c",
    /// RFC 3261 §20.14.
    ContentLength = "Content-Length" | "l",
    /// RFC 3261 §20.19.
    Expires = "Expires",
    /// RFC 6665 §8.2.1.
    Event = "Event" | "o",
    /// RFC 3261 §20.26.
    Priority = "Priority",
    /// RFC 3261 §20.33.
    RetryAfter = "Retry-After",
    /// RFC 3261 §20.9.
    CallInfo = "Call-Info",
    /// RFC 3261 §20.4.
    AlertInfo = "Alert-Info",
    /// RFC 5373.
    AnswerMode = "Answer-Mode",
    /// RFC 3841.
    AcceptContact = "Accept-Contact" | "a",
    /// RFC 3261 §20.32.
    Require = "Require",
    /// RFC 3261 §20.37.
    Supported = "Supported" | "k",
    /// RFC 3261 §20.41.
    UserAgent = "User-Agent",
    /// RFC 3261 §20.35.
    Server = "Server",
    /// RFC 3261 §20.34.
    Route = "Route",
    /// RFC 3261 §20.30.
    RecordRoute = "Record-Route",
}

impl Header {
    /// The header of a field name, in any case, long or compact.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        crate::name::whole(name)
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a header that the dispatch cannot reach by its name or compact form, in any case.
    #[test]
    fn every_name_is_recognised() {
        for header in Header::ALL.iter().copied() {
            for name in [Some(header.as_str()), header.compact()].into_iter().flatten() {
                for text in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                    assert_eq!(Header::of(text.as_bytes()), Some(header), "{text}");
                }
            }
        }
    }

    /// Catches a dispatch that looks at first letter and length only, and compact forms of headers that do
    /// not matter being taken for one that does.
    #[test]
    fn other_names_are_not() {
        for name in [
            "Vib",
            "Fram",
            "C%6Fntact",
            "Contacts",
            "P-Charging-Vectos",
            "Max-Forwards",
            "e",
            "u",
            "x",
            "j",
            "d",
            "y",
            "n",
            "",
            "\u{16}",
            "6",
        ] {
            assert_eq!(Header::of(name.as_bytes()), None, "{name}");
        }
    }
}

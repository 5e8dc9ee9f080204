//! Request methods (RFC 3261 §7.1 and its extensions).

use std::fmt;

/// Declares the methods once: variant, wire text and documentation stand in one line each.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A request method, of the Request-Line or of the CSeq.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// A method that plays no part in calls.
            Other,
        }

        impl Method {
            /// Every method.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)* Self::Other];

            /// The method as it stands on the wire; `other` for [`Method::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "other",
                }
            }

            /// The method of a token. Methods are case-sensitive (RFC 3261 §7.1).
            #[must_use]
            pub fn of(token: &[u8]) -> Self {
                $(
                    if token == $text.as_bytes() { return Self::$variant; }
                )*
                Self::Other
            }
        }
    };
}

methods! {
    /// RFC 3261.
    Invite = "INVITE",
    /// RFC 3261.
    Ack = "ACK",
    /// RFC 3261.
    Bye = "BYE",
    /// RFC 3261.
    Cancel = "CANCEL",
    /// RFC 3262.
    Prack = "PRACK",
    /// RFC 3311.
    Update = "UPDATE",
    /// RFC 6086.
    Info = "INFO",
    /// RFC 3515.
    Refer = "REFER",
    /// RFC 3261.
    Register = "REGISTER",
    /// RFC 3261.
    Options = "OPTIONS",
    /// RFC 6665.
    Subscribe = "SUBSCRIBE",
    /// RFC 6665.
    Notify = "NOTIFY",
    /// RFC 3428.
    Message = "MESSAGE",
    /// RFC 3903.
    Publish = "PUBLISH",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a method that is not read from its own text, or read in the wrong case.
    #[test]
    fn text_and_method_agree() {
        for method in Method::ALL
            .iter()
            .copied()
            .filter(|method| *method != Method::Other)
        {
            assert_eq!(Method::of(method.as_str().as_bytes()), method);
            assert_eq!(
                Method::of(method.as_str().to_lowercase().as_bytes()),
                Method::Other
            );
        }
    }
}

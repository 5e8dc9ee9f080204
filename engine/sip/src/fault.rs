//! Why a datagram is not a usable SIP message.
//!
//! Faults are facts about the traffic, to be counted by their [`Fault::index`], never errors of the program.

use std::fmt;

/// Declares the faults once: variant, text and documentation stand in one line each.
macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why a datagram is not a usable SIP message (semantics.md §6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            /// Every fault, in the order of [`Fault::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The fault's name in counters.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

faults! {
    /// A keep-alive of RFC 5626 or of habit: nothing, line ends only, zero octets, `jaK`, STUN.
    KeepAlive = "keep_alive",
    /// A SigComp message (RFC 3320 §7): compressed, hence opaque.
    SigComp = "sigcomp",
    /// Nothing in the first line says SIP.
    NotSip = "not_sip",
    /// The first line is neither a Request-Line nor a Status-Line (RFC 3261 §7.1, §7.2).
    BadStartLine = "bad_start_line",
    /// Another version than `SIP/2.0`.
    BadVersion = "bad_version",
    /// A response code outside 100 to 699.
    BadStatus = "bad_status",
    /// No Call-ID, or an empty one.
    MissingCallId = "missing_call_id",
    /// No From, or an empty one.
    MissingFrom = "missing_from",
    /// No To, or an empty one.
    MissingTo = "missing_to",
    /// No CSeq, or an empty one.
    MissingCseq = "missing_cseq",
    /// No Via, or only empty ones.
    MissingVia = "missing_via",
    /// Two From, To, Call-ID or CSeq: which one counts is a matter of taste, so somebody may be spoofing.
    Repeated = "repeated",
    /// A From in which the address cannot be told from the rest.
    BadFrom = "bad_from",
    /// A To in which the address cannot be told from the rest.
    BadTo = "bad_to",
    /// A CSeq that is not a number below 2^32 and a method.
    BadCseq = "bad_cseq",
    /// A topmost Via without sent-protocol or sent-by.
    BadVia = "bad_via",
    /// The request's method is not that of its CSeq.
    CseqMethodMismatch = "cseq_method_mismatch",
    /// More than [`limits::MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX).
    TooLong = "too_long",
    /// A line longer than [`limits::LINE_BYTES_MAX`](crate::limits::LINE_BYTES_MAX).
    LineTooLong = "line_too_long",
    /// More than [`limits::HEADERS_MAX`](crate::limits::HEADERS_MAX) header fields, or more than
    /// [`limits::KNOWN_HEADERS_MAX`](crate::limits::KNOWN_HEADERS_MAX) of those the parser keeps. Such a
    /// message is dropped whole: the field left out might be the Privacy that withholds the caller.
    TooManyHeaders = "too_many_headers",
    /// More than [`limits::VIAS_MAX`](crate::limits::VIAS_MAX) Via values.
    TooManyVias = "too_many_vias",
    /// The headers do not end within the frame, and the needed fields are not all there.
    Truncated = "truncated",
}

impl Fault {
    /// Position in [`Fault::ALL`], for arrays of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an index that does not lead back to its fault, or two faults with one counter name.
    #[test]
    fn index_and_name_are_unique() {
        for (at, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault.index(), at);
            let same_name = Fault::ALL.iter().filter(|other| other.as_str() == fault.as_str());
            assert_eq!(same_name.count(), 1, "{fault}");
        }
    }
}

//! Why a frame went where it went: the counters that kernel and host share.

/// Declares the reasons once: variant, name and documentation stand in one place, and the
/// documentation is also the help text of the metric.
macro_rules! reasons {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal,)*) => {
        /// What became of one frame. Each frame is counted under exactly one of these, so their sum is
        /// the number of frames. The order is the layout of the per-CPU counter array: append only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $doc] $variant,)* }

        impl Reason {
            /// Every reason, in the order of [`Reason::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name of the counter, as metrics and summaries print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for the operator.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// UDP datagram from or to a SIP port: handed on.
    Delivered = "delivered",
    /// Whole UDP datagram, neither port is a SIP port.
    NotSipPort = "not_sip_port",
    /// IP fragment.
    Fragment = "fragment",
    /// TCP segment.
    Tcp = "tcp",
    /// SCTP packet.
    Sctp = "sctp",
    /// Encapsulation: GRE, IP in IP, IPv6 in IP, MPLS or PPPoE.
    Tunnel = "tunnel",
    /// ESP packet: encrypted, or unreadable without knowing that it is not.
    Esp = "esp",
    /// ICMP or ICMPv6 message.
    Icmp = "icmp",
    /// IP packet of another protocol.
    OtherProtocol = "other_protocol",
    /// ARP frame.
    Arp = "arp",
    /// IEEE 802.3 frame with a length instead of a type (LLC: spanning tree, discovery protocols).
    Llc = "llc",
    /// Frame of another ethertype or address family.
    NotIp = "not_ip",
    /// The captured bytes end within the headers.
    TooShort = "too_short",
    /// A header contradicts itself: wrong IP version, impossible length.
    BadHeader = "bad_header",
    /// More VLAN tags than are followed.
    TooManyTags = "too_many_tags",
    /// More IPv6 extension headers than are followed.
    TooManyHeaders = "too_many_headers",
    /// Link type of the capture that is not understood.
    UnsupportedLink = "unsupported_link",
}

impl Reason {
    /// How many reasons there are: the length of a counter array.
    pub const COUNT: usize = Self::ALL.len();

    /// Place in a counter array.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    /// Catches two counters of one name, an index outside the array and a missing help text.
    #[test]
    fn layout_is_dense_and_named() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
            assert!(reason.description().ends_with('.'), "{reason:?}");
            let same_name = Reason::ALL
                .iter()
                .filter(|other| other.as_str() == reason.as_str());
            assert_eq!(same_name.count(), 1, "{reason:?}");
        }
        assert_eq!(Reason::COUNT, Reason::ALL.len());
    }
}

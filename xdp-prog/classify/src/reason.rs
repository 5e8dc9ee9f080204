//! Why a frame went where it went: the counters that kernel and host share.

/// Declares counters once: variant, name and documentation stand in one place, and the
/// documentation is also the help text of the metric.
macro_rules! counters {
    ($(#[doc = $of:literal])* $counters:ident { $(#[doc = $doc:literal] $variant:ident = $name:literal,)* }) => {
        $(#[doc = $of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $counters { $(#[doc = $doc] $variant,)* }

        impl $counters {
            /// All of them, in the order of [`index`](Self::index).
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// How many there are: the length of a counter array.
            pub const COUNT: usize = Self::ALL.len();

            /// Place in a counter array.
            #[inline(always)]
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

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

counters! {
    /// What one frame is. Each frame is counted under exactly one of these, so their sum is
    /// the number of frames. The order is the layout of the per-CPU counter array: append only.
    Reason {
        /// UDP datagram from or to a SIP port, or with what begins like SIP where any port is taken: handed on.
        Delivered = "delivered",
        /// Whole UDP datagram, neither port is a SIP port.
        NotSipPort = "not_sip_port",
        /// IP fragment.
        Fragment = "fragment",
        /// TCP segment.
        Tcp = "tcp",
        /// SCTP packet.
        Sctp = "sctp",
        /// Encapsulation that is not opened or holds no packet: GRE, IP in IP, IPv6 in IP, MPLS or PPPoE.
        Tunnel = "tunnel",
        /// ESP packet: encrypted, or unreadable without knowing that it is not.
        Esp = "esp",
        /// ICMP or ICMPv6 message.
        Icmp = "icmp",
        /// IP packet of another protocol.
        OtherProtocol = "other_protocol",
        /// ARP frame.
        Arp = "arp",
        /// IEEE 802.3 frame with a length instead of a type, that is not opened or holds no packet (LLC: spanning tree, discovery protocols).
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
        /// Encapsulation inside UDP, by its destination port, that is not opened or holds no packet: VXLAN, Geneve, GTP-U, HEP or TZSP.
        UdpTunnel = "udp_tunnel",
        /// TCP segment from or to 5061, which is not taken as a SIP port: SIP over TLS, which nobody can read.
        Tls = "tls",
        /// Encapsulations nested deeper than they are opened.
        TooDeep = "too_deep",
        /// Copy of a datagram that was captured a moment before: the mirror shows it twice.
        Duplicate = "duplicate",
    }
}

counters! {
    /// What the XDP program did with one frame. Each frame is counted under exactly one of these as well. The order
    /// is the layout of the per-CPU counter array: append only.
    Action {
        /// Frame handed to the socket of its queue.
        Taken = "taken",
        /// Frame left to the kernel: nothing that could carry SIP.
        Passed = "passed",
        /// Frame dropped: nothing that could carry SIP, on an interface that is there for the mirror alone.
        Dropped = "dropped",
        /// Frame that should have been taken, left to the kernel: its queue has no socket.
        NoSocket = "no_socket",
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Reason};

    /// Catches two counters of one name, an index outside the array and a missing help text.
    #[test]
    fn layout_is_dense_and_named() {
        let reasons = Reason::ALL
            .iter()
            .map(|reason| (reason.index(), reason.as_str(), reason.description()));
        let actions = Action::ALL
            .iter()
            .map(|action| (action.index(), action.as_str(), action.description()));
        let places = (0..Reason::COUNT).chain(0..Action::COUNT);
        let all = reasons.chain(actions).collect::<Vec<_>>();
        for (place, (index, name, description)) in places.zip(&all) {
            assert_eq!(*index, place, "{name}");
            assert!(description.ends_with('.'), "{name}");
            assert_eq!(
                all.iter().filter(|(_, other, _)| other == name).count(),
                1,
                "{name}"
            );
        }
    }
}

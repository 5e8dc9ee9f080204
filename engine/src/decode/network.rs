//! Which network a packet travels in. The same addresses may stand for other machines behind other VLAN tags or in another
//! tunnel, and what is put together of several packets must all come from one network.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;

use ringtap_classify::Vlans;

use crate::capture::Link;

/// Keyed, so that nobody can make two networks one who sends tunnels.
static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A network, by a keyed hash of 64 bits over link type, VLAN tags and tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(u64);

impl Network {
    /// The network of frames with these tags.
    #[must_use]
    pub fn of(link: Link, vlans: Vlans) -> Self {
        Self(STATE.hash_one((link, vlans)))
    }

    /// A network inside this one, told from others by `what`: a tunnel's ends and number, or VLAN tags in there.
    #[must_use]
    pub fn within(self, what: impl Hash) -> Self {
        Self(STATE.hash_one((self.0, what)))
    }
}

/// What is around a packet that did not come as a frame of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The network that it travels in; `None` for frames as they were captured, which say so themselves.
    pub network: Option<Network>,
    /// How many encapsulations were opened to get there.
    pub depth: u8,
}

impl Around {
    /// The network of a packet in here that has these tags itself.
    #[must_use]
    pub fn network_of(self, link: Link, vlans: Vlans) -> Network {
        match self.network {
            Some(network) if vlans == Vlans::default() => network,
            Some(network) => network.within(vlans),
            None => Network::of(link, vlans),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap_classify::{Walk, ethernet};

    /// VLAN tags as a frame with these ids has them.
    fn vlans(ids: &[u8]) -> Vlans {
        let mut frame = vec![0; 12];
        for id in ids {
            frame.extend([0x81, 0, 0, *id]);
        }
        frame.extend([0x08, 0x00, 0x45, 0, 0, 20, 0, 1, 0x20, 0, 64, 17, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        match ethernet(frame.as_slice()) {
            Walk::Fragment(fragment) => fragment.vlans,
            other => panic!("{other:?}"),
        }
    }

    /// Catches networks that are confused: what differs in link type, tags or tunnel is not one network.
    #[test]
    fn what_differs_is_another_network() {
        let plain = Network::of(Link::Ethernet, vlans(&[]));
        let all = [
            plain,
            Network::of(Link::LinuxSll, vlans(&[])),
            Network::of(Link::Ethernet, vlans(&[1])),
            Network::of(Link::Ethernet, vlans(&[1, 2])),
            Network::of(Link::Ethernet, vlans(&[2, 1])),
            plain.within(1),
            plain.within(2),
            plain.within(1).within(2),
        ];
        for (at, network) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == network), Some(at));
        }
    }

    /// Catches a packet that was put together of fragments and then taken for one of another network.
    #[test]
    fn what_was_put_together_stays_in_its_network() {
        let around = Around::default();
        let network = around.network_of(Link::Ethernet, vlans(&[7]));
        let together = Around {
            network: Some(network),
            ..around
        };
        assert_eq!(together.network_of(Link::RawIp, vlans(&[])), network);
        assert_ne!(together.network_of(Link::RawIp, vlans(&[7])), network);
    }
}

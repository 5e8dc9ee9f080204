//! What became of encapsulations, by kind. Frames are counted under one reason each beside that: the one of what was found inside.

use ringtap_classify::TunnelKind;

/// What became of one encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Opened: what is inside was looked at.
    Opened,
    /// Nothing inside: what the ends of the tunnel say to each other, or a protocol that leads nowhere.
    Empty,
    /// Compressed by the agent that sent it, which is not read.
    Compressed,
    /// A header that contradicts itself or was cut off, or of a version that is not read; ESP that is encrypted.
    Malformed,
    /// Sent by a phone (`network.ue`), and not opened: whoever writes tunnels writes the addresses in them.
    FromPhone,
}

/// How many kinds and outcomes there are.
const KINDS: usize = 11;
const OPENINGS: usize = 5;

/// Name of each counter: kinds one after the other, their outcomes in the order of [`Opening`].
const NAMES: [[&str; OPENINGS]; KINDS] = {
    macro_rules! names {
        ($($kind:literal)*) => {
            [$([
                concat!($kind, "_opened"),
                concat!($kind, "_empty"),
                concat!($kind, "_compressed"),
                concat!($kind, "_malformed"),
                concat!($kind, "_from_phone"),
            ],)*]
        };
    }
    names!("gre" "erspan" "vxlan" "geneve" "gtpu" "ipip" "mpls" "pppoe" "hep" "tzsp" "esp")
};

/// Encapsulations that are switched on, by kind and by what became of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters([[u64; OPENINGS]; KINDS]);

impl TunnelCounters {
    /// Those of one kind with one outcome.
    #[must_use]
    pub fn of(&self, kind: TunnelKind, opening: Opening) -> u64 {
        let of_kind = place(kind).and_then(|place| self.0.get(place));
        of_kind
            .and_then(|of_kind| of_kind.get(opening as usize))
            .copied()
            .unwrap_or_default()
    }

    /// Each counter's name and value, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = NAMES.iter().flatten().copied();
        names.zip(self.0.iter().flatten().copied())
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *mine += theirs;
        }
    }

    pub(in crate::decode) fn count(&mut self, kind: TunnelKind, opening: Opening) {
        let of_kind = place(kind).and_then(|place| self.0.get_mut(place));
        if let Some(counter) = of_kind.and_then(|of_kind| of_kind.get_mut(opening as usize)) {
            *counter += 1;
        }
    }
}

/// Place among the kinds, in the order of [`NAMES`]. SNAP is counted nowhere: it is a form of Ethernet.
const fn place(kind: TunnelKind) -> Option<usize> {
    Some(match kind {
        TunnelKind::Gre => 0,
        TunnelKind::Erspan => 1,
        TunnelKind::Vxlan => 2,
        TunnelKind::Geneve => 3,
        TunnelKind::GtpU => 4,
        TunnelKind::Ipv4 | TunnelKind::Ipv6 => 5,
        TunnelKind::Mpls => 6,
        TunnelKind::Pppoe => 7,
        TunnelKind::Hep => 8,
        TunnelKind::Tzsp => 9,
        TunnelKind::Esp => 10,
        TunnelKind::Snap => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a kind without a counter of its own, or under another one's name.
    #[test]
    fn each_under_its_name() {
        let mut counters = TunnelCounters::default();
        counters.count(TunnelKind::Esp, Opening::Malformed);
        counters.count(TunnelKind::Ipv4, Opening::Opened);
        counters.count(TunnelKind::Ipv6, Opening::Opened);
        counters.count(TunnelKind::Hep, Opening::Compressed);
        let mut sum = counters;
        sum.merge(&counters);
        let counted: Vec<_> = sum.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            counted,
            [("ipip_opened", 4), ("hep_compressed", 2), ("esp_malformed", 2)]
        );
        assert_eq!(sum.of(TunnelKind::Ipv6, Opening::Opened), 4);
    }
}

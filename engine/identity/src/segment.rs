//! The reference point a message was seen on (semantics.md §0).
//!
//! Which addresses mean which segment is the business of `ringtap-calls`; here is only what each
//! segment says about the identities in a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where, relative to the core, an INVITE was seen (semantics.md §0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Gm, originating: UE to P-CSCF. Nothing here is vouched for.
    Go,
    /// Mw, originating: P-CSCF to the core.
    Mo,
    /// Mg: MGCF to the core, a call from the PSTN.
    Gi,
    /// Mw, terminating: the core to the P-CSCF.
    Mt,
    /// Gm, terminating: P-CSCF to UE, nearest to the called person.
    Gt,
    /// Mj: the core to the MGCF, a call towards the PSTN.
    Gj,
    /// The addresses tell nothing.
    #[default]
    Unknown,
}

impl Segment {
    /// Every segment.
    pub const ALL: [Self; 7] = [
        Self::Go,
        Self::Mo,
        Self::Gi,
        Self::Mt,
        Self::Gt,
        Self::Gj,
        Self::Unknown,
    ];

    /// The name of semantics.md for it: `GO`, `MO`, ...
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::Mo => "MO",
            Self::Gi => "GI",
            Self::Mt => "MT",
            Self::Gt => "GT",
            Self::Gj => "GJ",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether the INVITE travels from the caller into the core here.
    #[must_use]
    pub const fn is_originating(self) -> bool {
        matches!(self, Self::Go | Self::Mo | Self::Gi)
    }

    /// Whether the INVITE travels from the core towards the callee here.
    #[must_use]
    pub const fn is_terminating(self) -> bool {
        matches!(self, Self::Mt | Self::Gt | Self::Gj)
    }

    /// Provenance rank, higher is believed first: GT > MT > GJ > GI > MO > GO (semantics.md §2.2).
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Gt => 6,
            Self::Mt => 5,
            Self::Gj => 4,
            Self::Gi => 3,
            Self::Mo => 2,
            Self::Go => 1,
            Self::Unknown => 0,
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no segment is called {0:?}; there are GO, MO, GI, MT, GT and GJ")]
pub struct UnknownSegment(pub String);

impl FromStr for Segment {
    type Err = UnknownSegment;

    fn from_str(text: &str) -> Result<Self, UnknownSegment> {
        Self::ALL
            .into_iter()
            .find(|segment| segment.as_str() == text)
            .ok_or_else(|| UnknownSegment(text.to_owned()))
    }
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a segment that is read back as another, or that is on both sides of the core.
    #[test]
    fn names_and_sides() {
        for segment in Segment::ALL {
            assert_eq!(segment.as_str().parse::<Segment>(), Ok(segment));
            assert!(!(segment.is_originating() && segment.is_terminating()));
        }
        assert!("gt".parse::<Segment>().is_err());
    }

    /// Catches a provenance order other than that of semantics.md §2.2.
    #[test]
    fn provenance_order() {
        use Segment::{Gi, Gj, Go, Gt, Mo, Mt, Unknown};
        let order = [Gt, Mt, Gj, Gi, Mo, Go, Unknown];
        assert!(order.windows(2).all(|pair| pair[0].rank() > pair[1].rank()));
    }
}

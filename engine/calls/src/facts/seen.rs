//! What the mirror showed of a leg's hops: for an operator who wants to know whether it shows everything. No verdict looks at it.

use ringtap_identity::Segment;
use ringtap_record::Time;

use super::LegFacts;

/// Which halves of one INVITE transaction on one hop were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopSeen {
    /// Where.
    pub segment: Segment,
    /// First sign of it.
    pub at: Time,
    /// The INVITE itself.
    pub request: bool,
    /// A response to it.
    pub response: bool,
}

impl LegFacts {
    /// The hops of the INVITEs that began the dialog: requests within it, and hops of which nothing but an ACK was seen, tell nothing.
    pub fn hops_seen(&self) -> impl Iterator<Item = HopSeen> {
        self.invite_hops().filter_map(|hop| {
            Some(HopSeen {
                segment: hop.segment,
                at: hop.started().time(self.base)?,
                request: hop.invite.seen(),
                response: hop.first.seen() || hop.final_at.seen(),
            })
        })
    }
}

//! What the mirror shows: on which segments INVITEs pass, and whether their responses do.
//!
//! A mirror port that is missing, or that loses frames without a word, changes these counts and nothing else that is counted (semantics.md §8.5).
//! Told of each leg once, by the settler's thread when it is closed.

use ringtap_calls::{HopSeen, LegFacts};
use ringtap_identity::Segment;
use ringtap_record::Time;

const SEGMENTS: usize = Segment::ALL.len();
/// A role that was not seen for so long counts as missing (semantics.md §8.5).
const MISSING_AFTER_US: i64 = 3_600_000_000;

/// INVITE transactions by hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// In the order of [`Segment::ALL`]: how many, and when the last one began.
    roles: [(u64, Option<Time>); SEGMENTS],
    /// Request and response.
    pub whole: u64,
    /// The request alone.
    pub request_only: u64,
    /// A response, and no request.
    pub response_only: u64,
    /// Neither: a CANCEL alone.
    pub neither: u64,
}

impl Shown {
    /// Counts the hops of a leg.
    pub fn count(&mut self, leg: &LegFacts) {
        leg.hops_seen().for_each(|hop| self.count_hop(hop));
    }

    fn count_hop(&mut self, hop: HopSeen) {
        match (hop.request, hop.response) {
            (true, true) => self.whole += 1,
            (true, false) => self.request_only += 1,
            (false, true) => self.response_only += 1,
            (false, false) => self.neither += 1,
        }
        let place = Segment::ALL.iter().position(|segment| *segment == hop.segment);
        if let Some((count, last)) = place.and_then(|place| self.roles.get_mut(place)) {
            *count += 1;
            *last = (*last).max(Some(hop.at));
        }
    }

    /// Each role, how often it was seen, and whether that was so within the last hour.
    pub fn roles(&self, now: Time) -> impl Iterator<Item = (&'static str, u64, bool)> {
        let names = Segment::ALL.iter().map(|segment| segment.as_str());
        names.zip(self.roles).map(move |(name, (count, last))| {
            let is_recent = last.is_some_and(|last| now - last < MISSING_AFTER_US);
            (name, count, is_recent)
        })
    }

    /// Each way in which a transaction was seen, and how often.
    pub fn halves(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("both", self.whole),
            ("request_only", self.request_only),
            ("response_only", self.response_only),
            ("neither", self.neither),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a role that counts as seen for ever, or not at all, and halves that are mixed up.
    #[test]
    fn a_role_is_forgotten_after_an_hour() {
        let mut shown = Shown::default();
        let at = |s: i64| Time::from_micros(s * 1_000_000);
        for (segment, at_s, request, response) in [
            (Segment::Mo, 100, true, true),
            (Segment::Mo, 50, false, true),
            (Segment::Mt, 3000, true, false),
        ] {
            shown.count_hop(HopSeen {
                segment,
                at: at(at_s),
                request,
                response,
            });
        }
        let seen = |now_s| -> Vec<_> {
            let roles = shown.roles(at(now_s)).filter(|(_, count, _)| *count > 0);
            roles.collect()
        };
        assert_eq!(seen(3600), [("MO", 2, true), ("MT", 1, true)]);
        assert_eq!(seen(3800), [("MO", 2, false), ("MT", 1, true)]);
        let halves: Vec<_> = shown.halves().map(|(_, count)| count).collect();
        assert_eq!(halves, [1, 1, 1, 0]);
    }
}

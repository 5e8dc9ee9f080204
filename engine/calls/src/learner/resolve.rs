//! What registrations mean for a leg: whom a phone's contact belongs to.

use ringtap_identity::{CalledSource, ClaimSource, Identity, Segment};
use ringtap_record::Time;

use super::Learner;
use super::bindings::Binding;
use crate::facts::LegFacts;
use crate::facts::hop::Hop;

/// What a contact's registration says.
enum Owner {
    /// Nobody is known to have it.
    Unknown,
    /// The identity that the message names already is the owner's, or one registered with it.
    AsNamed,
    Is(Identity),
    /// Several who do not belong together.
    Ambiguous,
}

impl Learner {
    /// Puts the identities into a leg that its own messages do not give: rules 3 and 4 of semantics.md §3.2, rule
    /// 3 of §3.3.
    pub(crate) fn resolve(&mut self, leg: &mut LegFacts) {
        for at in 0..leg.hops.len() {
            let Some(hop) = leg.hops.get(at) else { break };
            if hop.segment == Segment::Go {
                continue;
            }
            let Some((target, source)) = self.target(hop, leg) else {
                continue;
            };
            let index = leg.remember(target);
            // A leg of too many identities keeps what it had.
            if let Some(hop) = leg.hops.get_mut(at).filter(|_| !index.is_none()) {
                hop.target = index;
                hop.source = Some(source);
            }
        }
        self.caller(leg);
    }

    /// The called identity of one hop, if more than its own messages tell of it.
    fn target(&mut self, hop: &Hop, leg: &LegFacts) -> Option<(Identity, CalledSource)> {
        let named = leg.identity(hop.target);
        if hop.phone != 0 {
            match self.owner(hop.phone, time(hop, leg), named) {
                Owner::Unknown => {}
                Owner::AsNamed => {
                    self.counters.resolved += 1;
                    let source = hop.source.max(Some(CalledSource::Registered));
                    return Some((named?.clone(), source?));
                }
                Owner::Is(identity) => {
                    self.counters.resolved += 1;
                    return Some((identity, CalledSource::Registered));
                }
                Owner::Ambiguous => self.counters.ambiguous += 1,
            }
        }
        // What no INVITE was seen of has no rules 1 and 2 behind it; it takes its target from its branch.
        if !matches!(hop.source, Some(CalledSource::History | CalledSource::To)) {
            return None;
        }
        let asserted = self.asserted(hop, leg)?.clone();
        self.counters.asserted += 1;
        Some((asserted, CalledSource::Asserted))
    }

    /// Rule 4: of the first 180, else of the 2xx.
    fn asserted<'l>(&self, hop: &Hop, leg: &'l LegFacts) -> Option<&'l Identity> {
        let of_answer = (hop.segment == Segment::Mt && hop.is_answered()).then_some(hop.other);
        leg.identity(hop.callee).or_else(|| leg.identity(of_answer?))
    }

    /// Whose a contact was at that time, if `named` is the identity that the message itself gives.
    fn owner(&self, key: u64, at: Time, named: Option<&Identity>) -> Owner {
        let owners: Vec<&Binding> = self.bindings.at(key, at).collect();
        let has = |binding: &&Binding, identity: &Identity| {
            binding.aor == *identity || binding.set.as_ref().is_some_and(|set| set.contains(identity))
        };
        if owners.is_empty() {
            return Owner::Unknown;
        }
        if let Some(named) = named
            && owners.iter().any(|binding| has(binding, named))
        {
            return Owner::AsNamed;
        }
        // Who registered by name speaks for those who were registered along.
        let best = owners.iter().max_by(|a, b| {
            let named = |binding: &Binding| binding.explicit;
            named(a).cmp(&named(b)).then_with(|| b.aor.cmp(&a.aor))
        });
        match best {
            Some(best)
                if owners
                    .iter()
                    .all(|other| has(best, &other.aor) || has(other, &best.aor)) =>
            {
                Owner::Is(best.aor.clone())
            }
            _ => Owner::Ambiguous,
        }
    }

    /// A caller of whom only the phone itself has said who it is.
    fn caller(&mut self, leg: &mut LegFacts) {
        let claimed = leg.claim.source.map(|(source, _)| source);
        if !matches!(claimed, None | Some(ClaimSource::From | ClaimSource::Preferred)) {
            return;
        }
        let first = leg
            .hops
            .iter()
            .filter(|hop| hop.segment == Segment::Go && hop.phone != 0)
            .min_by_key(|hop| hop.started());
        let Some(hop) = first else { return };
        // P-Preferred-Identity stands if the phone has that identity, and so does From.
        let owner = self.owner(hop.phone, time(hop, leg), leg.caller.identity.as_ref());
        match owner {
            Owner::Unknown => return,
            Owner::Ambiguous => {
                self.counters.ambiguous += 1;
                return;
            }
            Owner::AsNamed => {}
            Owner::Is(identity) => leg.caller.identity = Some(identity),
        }
        self.counters.callers += 1;
        leg.claim.source = Some((ClaimSource::Registered, Segment::Go.rank()));
    }
}

/// When the hop was first seen.
fn time(hop: &Hop, leg: &LegFacts) -> Time {
    hop.started().time(leg.base).unwrap_or(leg.base)
}

//! Whose a contact is, and was: a table of fixed size.
//!
//! A contact keeps its last few owners with the times between which they had it, so that a call is judged by
//! what held when it came, however late that happens. All of it is a function of what was told and when;
//! nothing depends on hashes, which are others in every run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ringtap_identity::Identity;
use ringtap_record::Time;
use smallvec::SmallVec;

use super::hear::Route;

/// How long a contact stays good after it has expired: as long as its refresh may be on the way (64·T1, RFC
/// 3261 §17.1.2.2).
const SLACK_US: i64 = 32_000_000;

/// Owners remembered of one contact, present and past.
const OWNERS_MAX: usize = 8;

/// Contacts known of one address of record, for finding those that a list leaves out.
const CONTACTS_OF_AOR_MAX: usize = 32;

/// Identities that were registered together.
pub(super) type Set = Arc<[Identity]>;

/// One owner of a contact.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) aor: Identity,
    pub(super) from: Time,
    pub(super) until: Time,
    /// It ended because the registrar said so, at `until` exactly.
    pub(super) ended: bool,
    /// When it was told last.
    pub(super) told: Time,
    pub(super) route: Route,
    /// Named in a REGISTER itself.
    pub(super) explicit: bool,
    pub(super) set: Option<Set>,
}

impl Binding {
    fn holds(&self, at: Time) -> bool {
        let slack = if self.ended { -1 } else { SLACK_US };
        self.from <= at && at <= self.until.plus_us(slack)
    }
}

/// What is told of one binding at one time.
#[derive(Clone, Debug)]
pub(super) struct Telling<'a> {
    pub(super) key: u64,
    pub(super) aor: &'a Identity,
    pub(super) time: Time,
    pub(super) until: Time,
    pub(super) route: Route,
    pub(super) explicit: bool,
    pub(super) set: Option<&'a Set>,
}

#[derive(Debug, Default)]
pub(super) struct Bindings {
    contacts: HashMap<u64, Owned>,
    /// Which contact to give up next: the one that expires first. The number tells those apart that expire at
    /// the same time, in the order in which they were told.
    order: BTreeMap<(Time, u64), u64>,
    aors: HashMap<Identity, SmallVec<[u64; 2]>>,
    next: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Owned {
    place: (Time, u64),
    /// By `from`.
    owners: SmallVec<[Binding; 1]>,
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.contacts.len()
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether any contact of this address of record is known.
    pub(super) fn knows(&self, aor: &Identity) -> bool {
        self.aors.contains_key(aor)
    }

    /// The owners of a contact at that time.
    pub(super) fn at(&self, key: u64, at: Time) -> impl Iterator<Item = &Binding> {
        let owned = self.contacts.get(&key);
        owned
            .into_iter()
            .flat_map(|owned| &owned.owners)
            .filter(move |binding| binding.holds(at))
    }

    /// Notes what was told. Address of records whose last contact had to leave the table are added to `lost`.
    pub(super) fn tell(&mut self, telling: &Telling<'_>, contacts_max: usize, lost: &mut Vec<Identity>) {
        if telling.until <= telling.time {
            return self.end(telling.key, telling.aor, telling.time, None);
        }
        if !self.contacts.contains_key(&telling.key) {
            while self.contacts.len() >= contacts_max.max(1) {
                self.give_up(lost);
            }
        }
        let owned = self.contacts.entry(telling.key).or_insert_with(|| Owned {
            place: (telling.until, self.next),
            owners: SmallVec::new(),
        });
        self.order.remove(&owned.place);
        owned.tell(telling);
        owned.place = (owned.expires(), self.next);
        self.next += 1;
        self.order.insert(owned.place, telling.key);
        let keys = self.aors.entry(telling.aor.clone()).or_default();
        if !keys.contains(&telling.key) {
            if keys.len() >= CONTACTS_OF_AOR_MAX {
                keys.remove(0);
            }
            keys.push(telling.key);
        }
    }

    /// Ends all contacts of an address of record, told along the same way, that a complete list leaves out.
    pub(super) fn keep_only(&mut self, aor: &Identity, listed: &[u64], route: Route, time: Time) {
        let Some(keys) = self.aors.get(aor) else { return };
        let gone: SmallVec<[u64; 4]> = keys.iter().copied().filter(|key| !listed.contains(key)).collect();
        for key in gone {
            self.end(key, aor, time, Some(route));
        }
    }

    /// The contact is no more this address of record's; with a `route` only if it was told along that.
    fn end(&mut self, key: u64, aor: &Identity, time: Time, route: Option<Route>) {
        let Some(owned) = self.contacts.get_mut(&key) else {
            return;
        };
        let is_it = |binding: &&mut Binding| {
            binding.aor == *aor
                && binding.told < time
                && binding.until >= time
                && route.is_none_or(|route| route == binding.route)
        };
        for binding in owned.owners.iter_mut().filter(is_it) {
            binding.until = time;
            binding.ended = true;
        }
        self.order.remove(&owned.place);
        owned.place.0 = owned.expires();
        self.order.insert(owned.place, key);
    }

    /// Contacts with their owners, those that are given up first, first.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &[Binding])> {
        self.order.values().filter_map(|key| {
            let owned = self.contacts.get(key)?;
            Some((*key, owned.owners.as_slice()))
        })
    }

    /// A contact as it was known elsewhere, with its owners by `from`. One that is known already, or has none, is passed over.
    pub(super) fn restore(&mut self, key: u64, mut owners: SmallVec<[Binding; 1]>) {
        owners.truncate(OWNERS_MAX);
        if owners.is_empty() || self.contacts.contains_key(&key) {
            return;
        }
        owners.sort_by_key(|binding| binding.from);
        for binding in &owners {
            let keys = self.aors.entry(binding.aor.clone()).or_default();
            if !keys.contains(&key) && keys.len() < CONTACTS_OF_AOR_MAX {
                keys.push(key);
            }
        }
        let mut owned = Owned {
            place: (Time::MIN, self.next),
            owners,
        };
        owned.place.0 = owned.expires();
        self.next += 1;
        self.order.insert(owned.place, key);
        self.contacts.insert(key, owned);
    }

    fn give_up(&mut self, lost: &mut Vec<Identity>) {
        let Some((_, key)) = self.order.pop_first() else {
            return;
        };
        let Some(owned) = self.contacts.remove(&key) else {
            return;
        };
        self.evicted += 1;
        for binding in owned.owners {
            let Some(keys) = self.aors.get_mut(&binding.aor) else {
                continue;
            };
            keys.retain(|known| *known != key);
            if keys.is_empty() {
                self.aors.remove(&binding.aor);
                lost.push(binding.aor);
            }
        }
    }
}

impl Owned {
    fn expires(&self) -> Time {
        self.owners
            .iter()
            .map(|binding| binding.until)
            .max()
            .unwrap_or_default()
    }

    fn tell(&mut self, telling: &Telling<'_>) {
        let time = telling.time;
        let mut of_aor = self
            .owners
            .iter_mut()
            .filter(|binding| binding.aor == *telling.aor);
        if let Some(known) = of_aor.find(|binding| binding.holds(time) || binding.from == time) {
            if known.told > time {
                return;
            }
            // The same set, or one more word on the same registration that says nothing of a set.
            let same_set = telling.set.is_none() || known.set.as_ref() == telling.set;
            if same_set || known.from == time {
                known.until = telling.until;
                known.ended = false;
                known.told = time;
                known.route = telling.route;
                known.explicit |= telling.explicit;
                if let Some(set) = telling.set {
                    known.set = Some(Arc::clone(set));
                }
                return;
            }
            known.until = time;
            known.ended = true;
        }
        if self.owners.len() >= OWNERS_MAX {
            self.owners.remove(0);
        }
        let at = self.owners.partition_point(|binding| binding.from <= time);
        self.owners.insert(
            at,
            Binding {
                aor: telling.aor.clone(),
                from: time,
                until: telling.until,
                ended: false,
                told: time,
                route: telling.route,
                explicit: telling.explicit,
                set: telling.set.cloned(),
            },
        );
    }
}

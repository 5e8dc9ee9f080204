//! What was learned, to be told to another process.
//!
//! Who takes over from a running capture hears of calls as they come, but a phone registers once in an hour or a day: this is what cannot be heard
//! again. Contacts go by their hashes, so that it is of use only to who hashes alike ([`HASHES`](crate::HASHES)) with the same key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ringtap_identity::Identity;
use ringtap_record::Time;
use serde::{Deserialize, Serialize};

use super::bindings::{Binding, Set};
use super::{Known, Learner, RETELL_US};
use crate::rules::Rules;

/// Contacts and who has had them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    /// Those that are given up first, first.
    #[serde(default)]
    contacts: Vec<Contact>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contact {
    key: u64,
    owners: Vec<Owner>,
}

/// Times are in microseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    aor: Identity,
    from: i64,
    until: i64,
    #[serde(default)]
    ended: bool,
    told: i64,
    route: (IpAddr, IpAddr),
    #[serde(default)]
    explicit: bool,
    #[serde(default)]
    set: Option<Vec<Identity>>,
}

impl Knowledge {
    /// How many contacts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }
}

impl Learner {
    /// What this one knows now.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        let contacts = self.bindings.all().map(|(key, owners)| Contact {
            key,
            owners: owners.iter().map(Owner::of).collect(),
        });
        Knowledge {
            contacts: contacts.collect(),
        }
    }

    /// One that knows what another knew, as much of it as there is room for.
    #[must_use]
    pub fn knowing(knowledge: Knowledge, rules: &Rules) -> Self {
        let mut learner = Self::default();
        let mut shared: HashMap<Identity, Set> = HashMap::new();
        // Those that expire last are worth most.
        let too_many = knowledge.len().saturating_sub(rules.bindings_max.max(1));
        for contact in knowledge.contacts.into_iter().skip(too_many) {
            let owners = contact.owners.into_iter().map(|owner| {
                let binding = owner.binding(&mut shared);
                if let Some(set) = &binding.set {
                    let known = Known {
                        set: Arc::clone(set),
                        retell: binding.told.plus_us(RETELL_US),
                    };
                    learner.sets.entry(binding.aor.clone()).or_insert(known);
                }
                binding
            });
            let owners = owners.collect();
            learner.bindings.restore(contact.key, owners);
        }
        learner
    }
}

impl Owner {
    fn of(binding: &Binding) -> Self {
        Self {
            aor: binding.aor.clone(),
            from: binding.from.as_micros(),
            until: binding.until.as_micros(),
            ended: binding.ended,
            told: binding.told.as_micros(),
            route: binding.route,
            explicit: binding.explicit,
            set: binding.set.as_ref().map(|set| set.to_vec()),
        }
    }

    /// Equal sets of one address of record are one in memory.
    fn binding(self, shared: &mut HashMap<Identity, Set>) -> Binding {
        let set = self.set.map(|members| match shared.get(&self.aor) {
            Some(known) if **known == *members => Arc::clone(known),
            _ => {
                let set = Set::from(members);
                shared.insert(self.aor.clone(), Arc::clone(&set));
                set
            }
        });
        Binding {
            aor: self.aor,
            from: Time::from_micros(self.from),
            until: Time::from_micros(self.until),
            ended: self.ended,
            told: Time::from_micros(self.told),
            route: self.route,
            explicit: self.explicit,
            set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(aor: &str, from: i64, until: i64, set: &[&str]) -> Owner {
        let identity = |text: &&str| Identity::from_canonical(text).unwrap();
        Owner {
            aor: identity(&aor),
            from,
            until,
            ended: false,
            told: from,
            route: ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            explicit: true,
            set: (!set.is_empty()).then(|| set.iter().map(identity).collect()),
        }
    }

    /// Catches contacts, owners, times or sets that are lost or changed on their way, what one version more or less tells, and a memory that grows
    /// beyond its bounds.
    #[test]
    fn knowledge_survives_its_way() {
        let knowledge = Knowledge {
            contacts: (1..=3)
                .map(|key| Contact {
                    key,
                    owners: vec![
                        owner("+861", 5, 10, &["+861", "+862"]),
                        owner("sip:a@b", 20, 30 + i64::try_from(key).unwrap(), &[]),
                    ],
                })
                .collect(),
        };
        let mut rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
        let mut text = serde_json::to_value(&knowledge).unwrap();
        text["mood"] = "fine".into();
        text["contacts"][0]["owners"][0]["shoes"] = 7.into();
        let read: Knowledge = serde_json::from_value(text).unwrap();
        assert_eq!(read, knowledge);
        let learner = Learner::knowing(read, &rules);
        assert_eq!(learner.knowledge(), knowledge);
        let aor = Identity::from_canonical("+861").unwrap();
        assert!(learner.bindings.knows(&aor) && learner.sets.contains_key(&aor));
        assert_eq!(learner.bindings.at(2, Time::from_micros(7)).count(), 1);
        rules.bindings_max = 2;
        let few = Learner::knowing(knowledge, &rules).knowledge();
        let keys: Vec<u64> = few.contacts.iter().map(|contact| contact.key).collect();
        assert_eq!(keys, [2, 3], "those that expire last");
    }
}

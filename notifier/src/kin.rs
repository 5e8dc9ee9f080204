//! Identities that are registered together: what follows for who is told (semantics.md §3.6).
//!
//! The engine writes into the journal which identities a registrar named together. Mostly they are one
//! person's; sometimes they are not, and then a wrong conclusion mails one person's calls to another. So
//! only what is unambiguous counts by itself (`identities.learn = "auto"`), and everything can be shown to the
//! operator ([`suggestions`]). Both are functions of what is known; journal and database are asked by others.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use compact_str::CompactString;
use ringtap_config::Learn;
use ringtap_journal::{ImplicitSet, JournalError, Reader, Time};

use crate::store::{Intake, StoreError};

/// A set of more members is no single person's: a switchboard's, or a mistake.
pub const MEMBERS_MAX: usize = 16;

/// The account that `identity` counts as: it is registered together with identities of exactly one account, in
/// one set of a person's size, of which no member is in another set. `sets_of` gives the sets that an identity
/// is in, `account_of` the account that one is known as.
pub fn registered_with<E>(
    identity: &str,
    sets_of: impl Fn(&str) -> Result<Vec<ImplicitSet>, E>,
    account_of: impl Fn(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let Some(members) = only_set(sets_of(identity)?) else {
        return Ok(None);
    };
    let mut accounts = BTreeSet::new();
    for member in &members {
        if member != identity && only_set(sets_of(member)?).as_ref() != Some(&members) {
            return Ok(None);
        }
        accounts.extend(account_of(member)?);
    }
    let only = accounts.pop_first();
    Ok(only.filter(|_| accounts.is_empty()))
}

/// The members of the one set there is, be it told under several names.
fn only_set(sets: Vec<ImplicitSet>) -> Option<Vec<CompactString>> {
    let mut sets = sets.into_iter().map(|set| set.members);
    let first = sets.next()?;
    let is_one = (2..=MEMBERS_MAX).contains(&first.len()) && sets.all(|other| other == first);
    is_one.then_some(first)
}

/// Who owns a called identity, learned sets included if they count.
#[derive(Debug)]
pub(crate) struct Kin<'j> {
    journal: Option<&'j Reader>,
    /// What was found in this batch.
    found: RefCell<HashMap<String, Option<String>>>,
}

impl<'j> Kin<'j> {
    pub(crate) fn new(journal: &'j Reader, learn: Learn) -> Self {
        Self {
            journal: (learn == Learn::Auto).then_some(journal),
            found: RefCell::default(),
        }
    }

    /// The subscribed owners of `identity`, each with the account it counts as.
    pub(crate) fn owners_of(
        &self,
        identity: &str,
        intake: &Intake<'_>,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let owners = intake.owners_of(identity)?;
        let Some(journal) = self.journal.filter(|_| owners.is_empty()) else {
            return Ok(owners);
        };
        let known = self.found.borrow().get(identity).cloned();
        let account = match known {
            Some(known) => known,
            None => {
                let found = look_up(identity, journal, intake)?;
                self.found.borrow_mut().insert(identity.to_owned(), found.clone());
                found
            }
        };
        account.map_or(Ok(owners), |account| intake.owners_of(&account))
    }
}

/// A journal whose sets cannot be read must not keep mails back.
fn look_up(identity: &str, journal: &Reader, intake: &Intake<'_>) -> Result<Option<String>, StoreError> {
    enum Fault {
        Journal(JournalError),
        Store(StoreError),
    }
    // Known, though by nobody who wants mails.
    if intake.account_of(identity)?.is_some() {
        return Ok(None);
    }
    let found = registered_with(
        identity,
        |member| journal.sets_of(member).map_err(Fault::Journal),
        |member| intake.account_of(member).map_err(Fault::Store),
    );
    match found {
        Ok(account) => Ok(account),
        Err(Fault::Store(fault)) => Err(fault),
        Err(Fault::Journal(fault)) => {
            tracing::warn!(%fault, "what is registered together is left out");
            Ok(None)
        }
    }
}

/// An identity that is known: the account it belongs to, and that account's owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The account's canonical identity.
    pub account: String,
    /// Keys of its owners, sorted.
    pub users: Vec<String>,
}

/// Something for the operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What it is.
    pub kind: SuggestionKind,
    /// Keys of the people concerned.
    pub users: Vec<String>,
    /// Accounts concerned.
    pub accounts: Vec<String>,
    /// For an alias what no subscription names, for a conflict the whole set.
    pub identities: Vec<CompactString>,
    /// When the registrar said so last.
    pub seen: Time,
}

/// What a [`Suggestion`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuggestionKind {
    /// Identities that belong into the aliases of an account.
    Alias,
    /// Accounts of different people are registered together.
    DifferentPeople,
    /// Members of the set are registered with others too.
    SeveralSets,
    /// More than one person's identities.
    TooMany,
}

impl SuggestionKind {
    /// `alias` or `conflict`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::DifferentPeople | Self::SeveralSets | Self::TooMany => "conflict",
        }
    }
}

/// What to tell the operator about learned sets that concern known accounts.
#[must_use]
pub fn suggestions(sets: &[ImplicitSet], holders: &BTreeMap<String, Holder>) -> Vec<Suggestion> {
    let mut distinct: BTreeMap<&[CompactString], Time> = BTreeMap::new();
    for set in sets.iter().filter(|set| set.members.len() > 1) {
        let seen = distinct.entry(&set.members).or_insert(set.seen);
        *seen = (*seen).max(set.seen);
    }
    let mut in_sets: HashMap<&str, usize> = HashMap::new();
    for member in distinct.keys().copied().flatten() {
        *in_sets.entry(member).or_default() += 1;
    }
    let is_shared = |member: &CompactString| in_sets.get(member.as_str()).is_some_and(|count| *count > 1);
    let mut found: Vec<Suggestion> = distinct
        .iter()
        .filter_map(|(members, seen)| suggestion(members, *seen, members.iter().any(is_shared), holders))
        .collect();
    found.sort_by(|a, b| (&a.users, &a.accounts, a.kind).cmp(&(&b.users, &b.accounts, b.kind)));
    found
}

fn suggestion(
    members: &[CompactString],
    seen: Time,
    is_shared: bool,
    holders: &BTreeMap<String, Holder>,
) -> Option<Suggestion> {
    let known: Vec<&Holder> = members
        .iter()
        .filter_map(|member| holders.get(member.as_str()))
        .collect();
    let first = known.first()?;
    let unknown: Vec<CompactString> = members
        .iter()
        .filter(|member| !holders.contains_key(member.as_str()))
        .cloned()
        .collect();
    let kind = if known.iter().any(|holder| holder.users != first.users) {
        SuggestionKind::DifferentPeople
    } else if unknown.is_empty() {
        return None;
    } else if members.len() > MEMBERS_MAX {
        SuggestionKind::TooMany
    } else if is_shared {
        SuggestionKind::SeveralSets
    } else {
        SuggestionKind::Alias
    };
    let users: BTreeSet<&String> = known.iter().flat_map(|holder| &holder.users).collect();
    let accounts: BTreeSet<&String> = known.iter().map(|holder| &holder.account).collect();
    Some(Suggestion {
        kind,
        users: users.into_iter().cloned().collect(),
        accounts: accounts.into_iter().cloned().collect(),
        identities: if kind == SuggestionKind::Alias {
            unknown
        } else {
            members.to_vec()
        },
        seen,
    })
}

//! `ringtap-notifier account suggestions`.

use std::path::Path;

use ringtap_journal::Reader;

use super::{Failure, table};
use crate::kin::{self, Suggestion, SuggestionKind};
use crate::store::Store;

pub(super) fn list(journal: &Path, database: &Path) -> Result<(), Failure> {
    let sets = Reader::open(journal)
        .and_then(|journal| journal.sets())
        .map_err(Failure::work)?;
    let holders = Store::open_existing(database)
        .and_then(|store| store.holders())
        .map_err(Failure::work)?;
    table(kin::suggestions(&sets, &holders).into_iter().map(|suggestion| {
        let todo = todo(&suggestion);
        [
            suggestion.kind.as_str().to_owned(),
            suggestion.users.join(" "),
            suggestion.accounts.join(" "),
            suggestion.identities.join(" "),
            suggestion.seen.to_string(),
            todo,
        ]
    }))
}

/// What the operator may do about it, in the words of the subscription CSV.
fn todo(suggestion: &Suggestion) -> String {
    match suggestion.kind {
        SuggestionKind::Alias => {
            let account = suggestion.accounts.first().map_or("", String::as_str);
            let which = if suggestion.accounts.len() > 1 {
                "one of these accounts"
            } else {
                account
            };
            format!("if they are this person's: add them to `aliases` of {which}, and import")
        }
        SuggestionKind::DifferentPeople => {
            "registered together, but accounts of different people: find out whose they are".to_owned()
        }
        SuggestionKind::SeveralSets => {
            "some of them are registered with other identities too: find out whose they are".to_owned()
        }
        SuggestionKind::TooMany => "more than one person has: find out whose they are".to_owned(),
    }
}

//! Changes of subscribers, accounts and aliases: all of a change or nothing, told person by person, and written down.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::audit::Hand;
use super::people::everybody;
use super::{PeopleError, Store, opted_out};
use crate::changes::{self, Change, Field, What};
use crate::subscriptions::{Fault, Holding, Source, Subscription};

/// People to be taken in, all or none.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// What the audit log calls it.
    pub did: &'a str,
    /// The people, each with their source.
    pub people: &'a [Subscription],
    /// Removes whoever is of this source and not among them.
    pub replace: Option<Source>,
    /// Leaves everything as it was.
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// People who were not there before.
    pub added: usize,
    /// People who were there and have what the file says now.
    pub replaced: usize,
    /// People removed because the file does not name them.
    pub removed: usize,
    /// People of another source whom the file does not name: they stay.
    pub kept: usize,
    /// Accounts in the file.
    pub accounts: usize,
    /// Of those who were not there before: people who had opted out when they were removed, and still are.
    pub opted_out: usize,
    /// Keys that are another person's than before.
    pub others: usize,
    /// Who is otherwise than before, and how.
    pub changes: Vec<Change>,
}

/// What it means that name and mail address of a key are both new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heirs {
    /// A file's keys are of places as well (a desk), and it says nothing of who left: somebody else has come.
    Others,
    /// The operator has said which person is to be changed.
    Same,
}

/// What is to be told of some who were put, by key.
#[derive(Debug, Default)]
struct Arrived<'a> {
    /// New people who had opted out before.
    opted_out: HashSet<&'a str>,
    /// People whose key was another's.
    others: HashSet<&'a str>,
}

/// What is to be of some people.
#[derive(Clone, Debug, Default)]
pub struct Revision {
    /// They are as this says, accounts included.
    pub put: Vec<Subscription>,
    /// Keys of people who are to be gone.
    pub remove: Vec<String>,
    /// Keys of people whose own wish for no messages ends in the operator's name.
    pub lift_opt_out: Vec<String>,
}

impl Store {
    /// Takes all of `people` as a file's or nothing. A person who is there already gets what the file says, accounts
    /// included; others stay, unless `replace_all`: then those go whom an earlier file brought.
    pub fn import(&mut self, people: &[Subscription], replace_all: bool) -> Result<Imported, PeopleError> {
        self.take(&Import {
            did: "import",
            people,
            replace: replace_all.then_some(Source::File),
            dry_run: false,
        })
    }

    /// Takes people in. A dry run does so in a copy of the people, and keeps nobody from writing meanwhile.
    pub fn take(&mut self, import: &Import<'_>) -> Result<Imported, PeopleError> {
        if import.dry_run {
            return self.rehearsal()?.take_in(import);
        }
        self.take_in(import)
    }

    fn take_in(&mut self, import: &Import<'_>) -> Result<Imported, PeopleError> {
        let fault = self.fault("import subscriptions");
        self.atomically("import subscriptions", |sql| {
            let before = everybody(sql).map_err(&fault)?;
            let named: HashSet<&str> = import.people.iter().map(|person| person.user.as_str()).collect();
            let others = before
                .iter()
                .filter(|person| !named.contains(person.user.as_str()));
            let remove: Vec<String> = match import.replace {
                Some(source) => others
                    .filter(|person| person.source == source)
                    .map(|person| person.user.clone())
                    .collect(),
                None => Vec::new(),
            };
            let arrived = put(sql, import.people, &remove, Heirs::Others, &fault)?;
            let changes = told(sql, import.did, &before, &arrived, &fault)?;
            let known = before.len() - before.iter().filter(|p| !named.contains(p.user.as_str())).count();
            let imported = Imported {
                added: named.len() - known,
                replaced: known,
                removed: remove.len(),
                kept: match import.replace {
                    Some(_) => before.len() - known - remove.len(),
                    None => 0,
                },
                accounts: import.people.iter().map(|person| person.accounts.len()).sum(),
                opted_out: arrived.opted_out.len(),
                others: arrived.others.len(),
                changes,
            };
            let Imported {
                added,
                replaced,
                removed,
                ..
            } = imported;
            let detail = format!("{added} people added, {replaced} replaced, {removed} removed");
            Hand::new(sql, import.did).note("", &detail).map_err(&fault)?;
            Ok(imported)
        })
    }

    /// Changes people by what is made of them as they are, and gives who is otherwise then. `revise` refuses in words.
    pub fn revise(
        &mut self,
        did: &str,
        revise: impl FnOnce(&[Subscription]) -> Result<Revision, String>,
    ) -> Result<Vec<Change>, PeopleError> {
        let fault = self.fault("change subscriptions");
        self.atomically("change subscriptions", |sql| {
            let before = everybody(sql).map_err(&fault)?;
            let revision = revise(&before).map_err(PeopleError::Refused)?;
            for key in &revision.lift_opt_out {
                if !opted_out::lift(sql, did, key).map_err(&fault)? {
                    return Err(PeopleError::Refused(format!(
                        "{key}: has not opted out; nothing was changed"
                    )));
                }
            }
            let arrived = put(sql, &revision.put, &revision.remove, Heirs::Same, &fault)?;
            told(sql, did, &before, &arrived, &fault)
        })
    }
}

type FaultOf<'a> = &'a dyn Fn(rusqlite::Error) -> super::StoreError;

/// Makes people what is said of them, and lets go of others.
fn put<'a>(
    sql: &Connection,
    people: &'a [Subscription],
    remove: &[String],
    heirs: Heirs,
    fault: FaultOf<'_>,
) -> Result<Arrived<'a>, PeopleError> {
    let mut arrived = Arrived::default();
    for key in remove {
        let_go(sql, key).map_err(fault)?;
    }
    if heirs == Heirs::Others {
        for person in people {
            if is_another(sql, person).map_err(fault)? {
                let_go(sql, &person.user).map_err(fault)?;
                arrived.others.insert(person.user.as_str());
            }
        }
    }
    let words = opted_out::words(sql).map_err(fault)?;
    for person in people {
        let (id, is_out) = put_person(sql, person, &words).map_err(fault)?;
        if is_out {
            arrived.opted_out.insert(person.user.as_str());
        }
        for (rank, holding) in (0_i64..).zip(&person.accounts) {
            put_account(sql, id, rank, holding).map_err(fault)?;
        }
    }
    // Names are claimed last: one that left its account within this file is free by now.
    clear_names(sql, people).map_err(fault)?;
    for holding in people.iter().flat_map(|person| &person.accounts) {
        if let Some(what) = put_names(sql, holding).map_err(fault)? {
            return Err(PeopleError::Conflict(Fault {
                line: holding.line,
                what,
            }));
        }
    }
    Ok(arrived)
}

/// Removes a person with all that hangs on them, but for their wish for no messages.
fn let_go(sql: &Connection, key: &str) -> rusqlite::Result<()> {
    opted_out::keep(sql, key)?;
    sql.prepare_cached("DELETE FROM user WHERE key = ?1")?
        .execute([key])
        .map(drop)
}

/// Whether the person's key is now that of somebody with another name and another mail address.
fn is_another(sql: &Connection, person: &Subscription) -> rusqlite::Result<bool> {
    sql.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM user WHERE key = ?1 AND name != ?2 AND email != ?3 COLLATE NOCASE)",
    )?
    .query_row([&person.user, &person.name, &person.email], |row| row.get(0))
}

/// Finds out who is otherwise now, and writes it down.
fn told(
    sql: &Connection,
    did: &str,
    before: &[Subscription],
    arrived: &Arrived<'_>,
    fault: FaultOf<'_>,
) -> Result<Vec<Change>, PeopleError> {
    let mut changes = changes::between(before, &everybody(sql).map_err(fault)?);
    for change in &mut changes {
        let key = change.user.as_str();
        let has_opted_out = arrived.opted_out.contains(key);
        match &mut change.what {
            What::Added(all) if has_opted_out => {
                all.push_str("; has opted out before and gets no messages");
            }
            What::Changed(fields) if arrived.others.contains(key) => {
                let at = before.binary_search_by(|person| person.user.as_str().cmp(key));
                let was = at.ok().and_then(|at| before.get(at));
                let mut new =
                    "another: what the one before missed, chose and was still to be told is gone".to_owned();
                if has_opted_out {
                    new.push_str("; has opted out before and gets no messages");
                }
                let old = was.map(|was| format!("{} <{}>", was.name, was.email));
                let name = "person".to_owned();
                let old = old.unwrap_or_default();
                fields.insert(0, Field { name, old, new });
            }
            _ => {}
        }
    }
    let hand = Hand::new(sql, did);
    for change in &changes {
        let detail = format!("{}: {}", change.word(), change.lines().join("; "));
        hand.note(&change.user, detail.trim_end_matches(": "))
            .map_err(fault)?;
    }
    Ok(changes)
}

/// The person's row number, and whether the person is new and has opted out before.
fn put_person(
    sql: &Connection,
    person: &Subscription,
    words: &opted_out::Words,
) -> rusqlite::Result<(i64, bool)> {
    let is_known: bool = sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM user WHERE key = ?1)")?
        .query_row([&person.user], |row| row.get(0))?;
    // Who holds the old mailbox opened a session from there: it ends with the address.
    sql.prepare_cached(
        "DELETE FROM token WHERE user_id = (SELECT id FROM user WHERE key = ?1 AND email != ?2)",
    )?
    .execute([&person.user, &person.email])?;
    // Whoever had the row, the key and the address before had links as well: they have whole seconds, and those of this one are good.
    let id = sql
        .prepare_cached(
            "INSERT INTO user (key, name, email, locale, timezone, subscribed, source, links_from_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, unixepoch() * 1000 - 1) \
             ON CONFLICT (key) DO UPDATE SET name = ?2, email = ?3, locale = ?4, timezone = ?5, subscribed = ?6, \
             source = iif(source = 'hand', source, ?7) \
             RETURNING id",
        )?
        .query_row(
            params![
                person.user,
                person.name,
                person.email,
                person.locale.as_str(),
                person.timezone,
                person.subscribed,
                person.source.as_str()
            ],
            |row| row.get(0),
        )?;
    sql.prepare_cached("DELETE FROM owner WHERE user_id = ?1")?
        .execute([id])?;
    let is_out = !is_known && opted_out::honour(sql, id, &person.email, words)?;
    Ok((id, is_out))
}

fn put_account(sql: &Connection, user_id: i64, rank: i64, holding: &Holding) -> rusqlite::Result<()> {
    sql.prepare_cached("INSERT INTO account (identity) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([&holding.identity])?;
    sql.prepare_cached(
        "INSERT INTO owner (user_id, account_id, rank, label) \
         SELECT ?1, id, ?2, ?3 FROM account WHERE identity = ?4",
    )?
    .execute(params![user_id, rank, holding.label, holding.identity])?;
    Ok(())
}

/// Forgets accounts that nobody owns any more, and all names of the accounts in the file.
fn clear_names(sql: &Connection, people: &[Subscription]) -> rusqlite::Result<()> {
    sql.execute(
        "DELETE FROM account WHERE id NOT IN (SELECT account_id FROM owner)",
        (),
    )?;
    for holding in people.iter().flat_map(|person| &person.accounts) {
        for table in ["alias", "known_as"] {
            sql.prepare_cached(&format!(
                "DELETE FROM {table} WHERE account_id = (SELECT id FROM account WHERE identity = ?1)"
            ))?
            .execute([&holding.identity])?;
        }
    }
    Ok(())
}

/// Gives an account its names; says so if one of them is another account's.
fn put_names(sql: &Connection, holding: &Holding) -> rusqlite::Result<Option<String>> {
    let account: i64 = sql
        .prepare_cached("SELECT id FROM account WHERE identity = ?1")?
        .query_row([&holding.identity], |row| row.get(0))?;
    let own = (holding.identity.clone(), holding.identity.clone());
    for (text, identity) in holding.aliases.iter().chain([&own]) {
        sql.prepare_cached(
            "INSERT INTO known_as (identity, account_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![identity, account])?;
        let (holder, name): (i64, String) = sql
            .prepare_cached(
                "SELECT account.id, account.identity FROM known_as JOIN account ON account.id = account_id \
                 WHERE known_as.identity = ?1",
            )?
            .query_row([identity], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if holder != account {
            return Ok(Some(format!("{text} belongs to account {name} already")));
        }
    }
    for (rank, (text, _)) in (0_i64..).zip(&holding.aliases) {
        sql.prepare_cached(
            "INSERT INTO alias (account_id, rank, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![account, rank, text])?;
    }
    Ok(None)
}

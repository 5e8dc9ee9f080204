//! Subscribers, accounts and aliases in the database.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Store, StoreError};
use crate::people::{Account, Locale, Person, address, timezone};
use crate::subscriptions::{Fault, Holding, Subscription};

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportTotals {
    /// People who were not there before.
    pub added: usize,
    /// People who were there and have what the file says now.
    pub replaced: usize,
    /// People removed because the file does not name them.
    pub removed: usize,
    /// Accounts in the file.
    pub accounts: usize,
}

/// Why people could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line that is at odds with people who are not in the file.
    #[error("line {}: {}", .0.line, .0.what)]
    Conflict(Fault),
}

/// One ownership, for `account list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Canonical identity.
    pub identity: String,
    /// The owner.
    pub user: String,
    /// The owner's word for the account.
    pub label: String,
    /// Further names of the account.
    pub aliases: Vec<String>,
}

impl Store {
    /// Takes all of `people` or nothing. A person who is there already gets what the file says, accounts
    /// included; others stay, unless `replace_all`.
    pub fn import(
        &mut self,
        people: &[Subscription],
        replace_all: bool,
    ) -> Result<ImportTotals, PeopleError> {
        let fault = self.fault("import subscriptions");
        self.atomically("import subscriptions", |sql| {
            let mut totals = ImportTotals::default();
            if replace_all {
                totals.removed = remove_others(sql, people).map_err(&fault)?;
            }
            for person in people {
                let (id, is_new) = put_person(sql, person).map_err(&fault)?;
                totals.added += usize::from(is_new);
                totals.replaced += usize::from(!is_new);
                totals.accounts += person.accounts.len();
                for (rank, holding) in (0_i64..).zip(&person.accounts) {
                    put_account(sql, id, rank, holding).map_err(&fault)?;
                }
            }
            // Names are claimed last: one that left its account within this file is free by now.
            clear_names(sql, people).map_err(&fault)?;
            for holding in people.iter().flat_map(|person| &person.accounts) {
                if let Some(what) = put_names(sql, holding).map_err(&fault)? {
                    return Err(PeopleError::Conflict(Fault {
                        line: holding.line,
                        what,
                    }));
                }
            }
            Ok(totals)
        })
    }

    /// Whether there is nobody who wants to be told of anything.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM user WHERE subscribed)",
                (),
                |row| row.get(0),
            )
            .map_err(self.fault("read the subscriptions"))
    }

    /// Everybody, in the order of their keys, as `import` takes them.
    pub fn people(&self) -> Result<Vec<Subscription>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Subscription>> {
            let sql = &self.connection;
            let mut users = sql.prepare(
                "SELECT id, key, name, email, locale, timezone, subscribed FROM user ORDER BY key",
            )?;
            let users = users.query_map((), |row| Ok((row.get::<_, i64>(0)?, read_person(row)?)))?;
            users
                .map(|user| {
                    let (id, mut person) = user?;
                    person.accounts = holdings(sql, id)?;
                    Ok(person)
                })
                .collect()
        };
        read().map_err(self.fault("read subscriptions"))
    }

    /// Who owns what, for people to look at.
    pub fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let people = self.people()?;
        let mut rows: Vec<_> = people
            .into_iter()
            .flat_map(|person| {
                person.accounts.into_iter().map(move |holding| AccountRow {
                    identity: holding.identity,
                    user: person.user.clone(),
                    label: holding.label,
                    aliases: holding.aliases.into_iter().map(|(text, _)| text).collect(),
                })
            })
            .collect();
        rows.sort_by(|a, b| (&a.identity, &a.user).cmp(&(&b.identity, &b.user)));
        Ok(rows)
    }

    /// The person with this row number and their accounts, or `None` if gone or no longer readable as one
    /// (a time zone that has left the database, say).
    pub fn person(&self, user_id: i64) -> Result<Option<(Person, Vec<Account>)>, StoreError> {
        let read = || -> rusqlite::Result<Option<(Person, Vec<Account>)>> {
            let sql = &self.connection;
            let found = sql
                .prepare_cached(
                    "SELECT id, key, name, email, locale, timezone, subscribed FROM user WHERE id = ?1",
                )?
                .query_row([user_id], read_person)
                .optional()?;
            let Some(found) = found else { return Ok(None) };
            let (Ok(email), Ok(timezone)) = (address(&found.email), timezone(&found.timezone)) else {
                return Ok(None);
            };
            let mut accounts = sql.prepare_cached(
                "SELECT account.identity, owner.label FROM owner JOIN account ON account.id = account_id \
                 WHERE user_id = ?1 ORDER BY rank",
            )?;
            let accounts = accounts
                .query_map([user_id], |row| {
                    Ok(Account {
                        identity: row.get(0)?,
                        label: row.get(1)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let person = Person {
                key: found.user,
                name: found.name,
                email,
                locale: found.locale,
                timezone,
                subscribed: found.subscribed,
            };
            Ok(Some((person, accounts)))
        };
        read().map_err(self.fault("read a subscriber"))
    }
}

fn read_person(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        line: 0,
        user: row.get(1)?,
        name: row.get(2)?,
        email: row.get(3)?,
        locale: row.get::<_, String>(4)?.parse().unwrap_or(Locale::En),
        timezone: row.get(5)?,
        subscribed: row.get(6)?,
        accounts: Vec::new(),
    })
}

fn holdings(sql: &Connection, user_id: i64) -> rusqlite::Result<Vec<Holding>> {
    let mut accounts = sql.prepare_cached(
        "SELECT account.id, account.identity, owner.label FROM owner JOIN account ON account.id = account_id \
         WHERE user_id = ?1 ORDER BY rank",
    )?;
    let mut aliases =
        sql.prepare_cached("SELECT text FROM alias WHERE account_id = ?1 ORDER BY rank, text")?;
    let accounts = accounts.query_map([user_id], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    accounts
        .map(|account| {
            let (id, identity, label) = account?;
            let texts = aliases.query_map([id], |row| row.get::<_, String>(0))?;
            let aliases = texts.map(|text| text.map(|text| (text, String::new())));
            Ok(Holding {
                line: 0,
                identity,
                label,
                aliases: aliases.collect::<rusqlite::Result<_>>()?,
            })
        })
        .collect()
}

fn remove_others(sql: &Connection, people: &[Subscription]) -> rusqlite::Result<usize> {
    let keep: std::collections::HashSet<&str> = people.iter().map(|person| person.user.as_str()).collect();
    let mut users = sql.prepare("SELECT id, key FROM user")?;
    let users = users
        .query_map((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut removed = 0;
    for (id, _) in users.iter().filter(|(_, key)| !keep.contains(key.as_str())) {
        removed += sql.execute("DELETE FROM user WHERE id = ?1", [id])?;
    }
    Ok(removed)
}

fn put_person(sql: &Connection, person: &Subscription) -> rusqlite::Result<(i64, bool)> {
    let known: Option<i64> = sql
        .prepare_cached("SELECT id FROM user WHERE key = ?1")?
        .query_row([&person.user], |row| row.get(0))
        .optional()?;
    let id = sql
        .prepare_cached(
            "INSERT INTO user (key, name, email, locale, timezone, subscribed) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (key) DO UPDATE SET name = ?2, email = ?3, locale = ?4, timezone = ?5, subscribed = ?6 \
             RETURNING id",
        )?
        .query_row(
            params![
                person.user,
                person.name,
                person.email,
                person.locale.as_str(),
                person.timezone,
                person.subscribed
            ],
            |row| row.get(0),
        )?;
    sql.prepare_cached("DELETE FROM owner WHERE user_id = ?1")?
        .execute([id])?;
    Ok((id, known.is_none()))
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

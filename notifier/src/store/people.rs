//! Subscribers, accounts and aliases in the database.

use std::collections::HashMap;

use ringtap_record::Time;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::outbox::from_millis;
use super::{Store, StoreError};
use crate::people::{Account, Locale, Person, address, timezone};
use crate::subscriptions::{Fault, Holding, Source, Subscription};

/// Why people could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line that is at odds with people who are not in the file.
    #[error("line {}: {}", .0.line, .0.what)]
    Conflict(Fault),
    /// What is wanted of them cannot be.
    #[error("{0}")]
    Refused(String),
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

/// What a person has chosen, and what is kept about them beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnWord {
    /// The language that they chose.
    pub locale: Option<String>,
    /// Reasons of which they do not want to hear, as a JSON list.
    pub muted: Option<String>,
    /// When they asked for no mails any more.
    pub opted_out: Option<Time>,
    /// Messages that wait.
    pub pending: u64,
    /// Messages that were given up.
    pub dead: u64,
}

impl Store {
    /// What the person with this key has chosen; `None` if there is no such person.
    pub fn own_word(&self, user: &str) -> Result<Option<OwnWord>, StoreError> {
        let count = |row: &Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        self.connection
            .query_row(
                "SELECT own_locale, muted, opted_out_ms, \
                 (SELECT count(*) FROM outbox WHERE user_id = user.id AND state = 'pending'), \
                 (SELECT count(*) FROM outbox WHERE user_id = user.id AND state = 'dead') FROM user WHERE key = ?1",
                [user],
                |row| {
                    Ok(OwnWord {
                        locale: row.get(0)?,
                        muted: row.get(1)?,
                        opted_out: row.get::<_, Option<i64>>(2)?.map(from_millis),
                        pending: count(row, 3)?,
                        dead: count(row, 4)?,
                    })
                },
            )
            .optional()
            .map_err(self.fault("read a person's choices"))
    }

    /// Whether there is nobody who wants to be told of anything.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM user WHERE subscribed AND opted_out_ms IS NULL)",
                (),
                |row| row.get(0),
            )
            .map_err(self.fault("read the subscriptions"))
    }

    /// Everybody, in the order of their keys, as `import` takes them: with the operator's values, whatever a person has
    /// chosen instead.
    pub fn people(&self) -> Result<Vec<Subscription>, StoreError> {
        everybody(&self.connection).map_err(self.fault("read subscriptions"))
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
    /// (a time zone that has left the database, say). What the person has chosen stands above the operator's values.
    pub fn person(&self, user_id: i64) -> Result<Option<(Person, Vec<Account>)>, StoreError> {
        let read = || -> rusqlite::Result<Option<(Person, Vec<Account>)>> {
            let sql = &self.connection;
            let found = sql
                .prepare_cached(
                    "SELECT id, key, name, email, ifnull(own_locale, locale), timezone, \
                     subscribed AND opted_out_ms IS NULL FROM user WHERE id = ?1",
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

/// All people in the order of their keys: three passes, however many they are.
pub(super) fn everybody(sql: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    let mut aliases: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    let mut select =
        sql.prepare_cached("SELECT account_id, text FROM alias ORDER BY account_id, rank, text")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        aliases
            .entry(row.get(0)?)
            .or_default()
            .push((row.get(1)?, String::new()));
    }
    let mut holdings: HashMap<i64, Vec<Holding>> = HashMap::new();
    let mut select = sql.prepare_cached(
        "SELECT user_id, account.id, account.identity, label FROM owner JOIN account ON account.id = account_id \
         ORDER BY user_id, rank",
    )?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        holdings.entry(row.get(0)?).or_default().push(Holding {
            line: 0,
            identity: row.get(2)?,
            label: row.get(3)?,
            aliases: aliases.get(&row.get(1)?).cloned().unwrap_or_default(),
        });
    }
    // A database of before version 4, which is looked at and not brought up to date, has no sources.
    let has_source = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('user') WHERE name = 'source')";
    let source = match sql.query_row(has_source, (), |row| row.get(0))? {
        true => "source",
        false => "'file'",
    };
    let mut select = sql.prepare_cached(&format!(
        "SELECT id, key, name, email, locale, timezone, subscribed, {source} FROM user ORDER BY key"
    ))?;
    let people = select.query_map((), |row| {
        let source: String = row.get(7)?;
        Ok(Subscription {
            source: source.parse().unwrap_or_default(),
            accounts: holdings.remove(&row.get(0)?).unwrap_or_default(),
            ..read_person(row)?
        })
    })?;
    people.collect()
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
        source: Source::File,
        accounts: Vec::new(),
    })
}

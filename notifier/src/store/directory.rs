//! The caller directory in the database.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit::Hand;
use super::{Store, StoreError};
use crate::directory::{Difference, Directory, Entry, between};
use crate::subscriptions::Source;

/// Entries to be taken in, all or none.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// What the audit log calls it.
    pub did: &'a str,
    /// The entries.
    pub directory: &'a Directory,
    /// Where they come from.
    pub source: Source,
    /// Removes what is of this source and not among them.
    pub replace: bool,
    /// Leaves everything as it was.
    pub dry_run: bool,
}

impl Store {
    /// Takes entries in, and gives what is otherwise then. One that is there already, from wherever, is what this says.
    /// A dry run does so in a copy, and keeps nobody from writing meanwhile.
    pub fn take_directory(&mut self, listing: &Listing<'_>) -> Result<Vec<Difference>, StoreError> {
        if listing.dry_run {
            return self.rehearsal()?.take_entries(listing);
        }
        self.take_entries(listing)
    }

    fn take_entries(&mut self, listing: &Listing<'_>) -> Result<Vec<Difference>, StoreError> {
        let fault = self.fault("import the directory");
        self.atomically("import the directory", |sql| {
            let list = || -> rusqlite::Result<Vec<Difference>> {
                let before = all(sql)?;
                let mut taken = others(sql, listing)?;
                if listing.replace {
                    sql.execute("DELETE FROM directory WHERE source = ?1", [listing.source.as_str()])?;
                }
                for (identity, entry) in listing.directory {
                    sql.prepare_cached(
                        "INSERT INTO directory (identity, name, department, label, source) VALUES (?1, ?2, ?3, ?4, ?5) \
                         ON CONFLICT (identity) DO UPDATE SET name = ?2, department = ?3, label = ?4, source = ?5",
                    )?
                    .execute(params![
                        identity,
                        entry.name,
                        entry.department,
                        entry.label,
                        listing.source.as_str()
                    ])?;
                }
                let mut differences = between(&before, &all(sql)?);
                for difference in &mut differences {
                    if taken.remove(&difference.identity) {
                        difference.taken_by = Some(listing.source);
                    }
                }
                for identity in taken {
                    let entry = before.get(&identity).cloned();
                    differences.push(Difference {
                        identity,
                        old: entry.clone(),
                        new: entry,
                        taken_by: Some(listing.source),
                    });
                }
                differences.sort_by(|a, b| a.identity.cmp(&b.identity));
                let count = |word| differences.iter().filter(|one| one.words().0 == word).count();
                let mut detail = format!(
                    "{} entries added, {} changed, {} removed",
                    count("added"),
                    count("changed"),
                    count("removed")
                );
                let taken = differences.iter().filter(|one| one.taken_by.is_some()).count();
                if taken > 0 {
                    detail.push_str(&format!(", {taken} now {}", listing.source.owners()));
                }
                Hand::new(sql, listing.did).note("", &detail)?;
                Ok(differences)
            };
            list().map_err(&fault)
        })
    }

    /// The whole directory.
    pub fn directory(&self) -> Result<Directory, StoreError> {
        all(&self.connection).map_err(self.fault("read the directory"))
    }

    /// What is known of those of `identities` that are known at all. An alias is looked up as the account that it
    /// belongs to, if it has no entry of its own; and of whom the directory does not have, a subscriber who alone owns the account.
    pub fn entries<'a>(
        &self,
        identities: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Entry>, StoreError> {
        let mut known = BTreeMap::new();
        for identity in identities {
            let listed = listed(&self.connection, identity);
            let found = listed.and_then(|listed| match listed {
                Some(entry) => Ok(Some(entry)),
                None => subscriber(&self.connection, identity),
            });
            if let Some(entry) = found.map_err(self.fault("read the directory"))? {
                known.insert(identity.to_owned(), entry);
            }
        }
        Ok(known)
    }
}

/// Entries of other sources that the listing makes its own.
fn others(sql: &Connection, listing: &Listing<'_>) -> rusqlite::Result<BTreeSet<String>> {
    let mut select = sql.prepare("SELECT identity FROM directory WHERE source != ?1")?;
    let others = select.query_map([listing.source.as_str()], |row| row.get(0))?;
    let others: BTreeSet<String> = others.collect::<rusqlite::Result<_>>()?;
    Ok(others
        .into_iter()
        .filter(|identity| listing.directory.contains_key(identity))
        .collect())
}

fn all(sql: &Connection) -> rusqlite::Result<Directory> {
    sql.prepare("SELECT name, department, label, identity FROM directory")?
        .query_map((), |row| Ok((row.get(3)?, read(row)?)))?
        .collect()
}

fn listed(sql: &Connection, identity: &str) -> rusqlite::Result<Option<Entry>> {
    sql.prepare_cached(
        "SELECT name, department, label FROM directory WHERE identity = ?1 OR identity = \
         (SELECT account.identity FROM known_as JOIN account ON account.id = account_id \
         WHERE known_as.identity = ?1) ORDER BY identity != ?1 LIMIT 1",
    )?
    .query_row([identity], read)
    .optional()
}

/// Without the label: it is the person's own word, which nobody else is told.
fn subscriber(sql: &Connection, identity: &str) -> rusqlite::Result<Option<Entry>> {
    sql.prepare_cached(
        "SELECT user.name, '', '' FROM known_as JOIN owner USING (account_id) JOIN user ON user.id = user_id \
         WHERE known_as.identity = ?1 AND (SELECT count(*) FROM owner AS all_owners \
         WHERE all_owners.account_id = owner.account_id) = 1",
    )?
    .query_row([identity], read)
    .optional()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        name: row.get(0)?,
        department: row.get(1)?,
        label: row.get(2)?,
    })
}

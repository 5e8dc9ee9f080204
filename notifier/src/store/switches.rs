//! People's own switches in the database.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit::Hand;
use super::{Intake, Store, StoreError};
use crate::switches::Switches;

impl Store {
    /// The switches of the person with this key, and what of them cannot be used; `None` if there is no such
    /// person.
    pub fn switches(&self, user: &str) -> Result<Option<(Switches, Vec<String>)>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT policy FROM user WHERE key = ?1")
            .and_then(|mut select| {
                select
                    .query_row([user], |row| row.get::<_, Option<String>>(0))
                    .optional()
            })
            .map_err(self.fault("read a person's switches"))?;
        Ok(found.map(read))
    }

    /// Changes the switches of the person with this key, and gives what they are then; `None` if there is no
    /// such person. Two that change at once do so one after the other.
    pub fn change_switches(
        &mut self,
        user: &str,
        change: impl FnOnce(&mut Switches),
    ) -> Result<Option<Switches>, StoreError> {
        let fault = self.fault("change a person's switches");
        self.atomically("change a person's switches", |sql| {
            let found = sql
                .prepare_cached("SELECT policy FROM user WHERE key = ?1")
                .and_then(|mut select| {
                    select
                        .query_row([user], |row| row.get::<_, Option<String>>(0))
                        .optional()
                })
                .map_err(&fault)?;
            let Some((mut switches, _)) = found.map(read) else {
                return Ok(None);
            };
            change(&mut switches);
            sql.execute(
                "UPDATE user SET policy = ?2 WHERE key = ?1",
                params![user, switches.to_json()],
            )
            .map_err(&fault)?;
            let detail = switches.to_json().unwrap_or_else(|| "none".to_owned());
            Hand::new(sql, "user policy")
                .note(user, &detail)
                .map_err(&fault)?;
            Ok(Some(switches))
        })
    }
}

impl Intake<'_> {
    /// The switches of the person with this row number, and what of them cannot be used.
    pub fn switches(&self, user: i64) -> Result<(Switches, Vec<String>), StoreError> {
        switches_of(self.sql, user)
            .map(read)
            .map_err(|source| self.fault("read a person's switches", source))
    }
}

fn switches_of(sql: &Connection, user: i64) -> rusqlite::Result<Option<String>> {
    sql.prepare_cached("SELECT policy FROM user WHERE id = ?1")?
        .query_row([user], |row| row.get(0))
}

fn read(stored: Option<String>) -> (Switches, Vec<String>) {
    stored.as_deref().map(Switches::read).unwrap_or_default()
}

//! Which identities are known, as what, and by whom.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::{Store, StoreError};
use crate::kin::Holder;

impl Store {
    /// Every identity that a subscription names, aliases included.
    pub fn holders(&self) -> Result<BTreeMap<String, Holder>, StoreError> {
        let read = || -> rusqlite::Result<BTreeMap<String, Holder>> {
            let mut select = self.connection.prepare(
                "SELECT known_as.identity, account.identity, user.key FROM known_as \
                 JOIN account ON account.id = known_as.account_id \
                 JOIN owner ON owner.account_id = account.id \
                 JOIN user ON user.id = owner.user_id ORDER BY user.key",
            )?;
            let mut rows = select.query(())?;
            let mut holders: BTreeMap<String, Holder> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let account: String = row.get(1)?;
                let holder = holders.entry(row.get(0)?).or_insert_with(|| Holder {
                    account,
                    users: Vec::new(),
                });
                holder.users.push(row.get(2)?);
            }
            Ok(holders)
        };
        read().map_err(self.fault("read who owns what"))
    }
}

/// The account that an identity is known as, whoever owns it.
pub(super) fn account_of(connection: &Connection, identity: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT account.identity FROM known_as JOIN account ON account.id = known_as.account_id \
             WHERE known_as.identity = ?1",
        )?
        .query_row([identity], |row| row.get(0))
        .optional()
}

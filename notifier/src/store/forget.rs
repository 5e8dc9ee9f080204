//! All that is kept about one person, to be shown to them and to be forgotten.
//!
//! Both go by the tables themselves: whatever has a column `user_id` is a person's, so that a table which is added later is
//! neither held back nor left behind.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, ToSql};
use serde_json::{Map, Value};

use super::audit::{Hand, pseudonym};
use super::{Store, StoreError, opted_out};

/// What was forgotten: the table, or what else, and how many rows.
pub type Forgotten = Vec<(String, usize)>;

/// A person's own accounts, and not those of others as well.
const OWN_ACCOUNTS: &str =
    "SELECT account_id FROM owner WHERE user_id = ?1 EXCEPT SELECT account_id FROM owner WHERE user_id != ?1";

impl Store {
    /// All that is kept about the person with this key, and that somebody asked; `None` if nothing is. Of secrets only that
    /// there are some. Of a person who was removed the audit log is left, and nothing else.
    pub fn all_about(&mut self, user: &str) -> Result<Option<Value>, StoreError> {
        let fault = self.fault("read what is kept about a person");
        self.atomically("read what is kept about a person", |sql| {
            let all = all_of(sql, user).map_err(&fault)?;
            if all.is_some() {
                Hand::new(sql, "export").note(user, "").map_err(&fault)?;
            }
            Ok(all)
        })
    }

    /// Removes the person with this key and all that is kept about them, in the audit log also of one who was removed before;
    /// `None` if nothing is kept. What has been
    /// freed of the file is gone only when [`wipe`](Self::wipe) is done.
    pub fn forget(&mut self, user: &str) -> Result<Option<Forgotten>, StoreError> {
        let fault = self.fault("forget a person");
        self.atomically("forget a person", |sql| {
            let forget = || -> rusqlite::Result<Option<Forgotten>> {
                let mut gone = Forgotten::new();
                let id = id_of(sql, user)?;
                if let Some(id) = id {
                    for table in tables(sql)? {
                        let query = format!("SELECT count(*) FROM \"{table}\" WHERE user_id = ?1");
                        let count: i64 = sql.query_row(&query, [id], |row| row.get(0))?;
                        gone.push((table, usize::try_from(count).unwrap_or(0)));
                    }
                    let directory = format!(
                        "DELETE FROM directory WHERE identity IN \
                         (SELECT identity FROM known_as WHERE account_id IN ({OWN_ACCOUNTS}))"
                    );
                    gone.push(("directory".to_owned(), sql.execute(&directory, [id])?));
                    let accounts = format!("DELETE FROM account WHERE id IN ({OWN_ACCOUNTS})");
                    gone.push(("account".to_owned(), sql.execute(&accounts, [id])?));
                }
                let name = pseudonym(sql, user)?;
                let audit = "UPDATE audit SET whom = ?2, detail = '' WHERE whom = ?1";
                let rewritten = sql.execute(audit, [user, &name])?;
                if id.is_none() && rewritten == 0 {
                    return Ok(None);
                }
                gone.push(("audit".to_owned(), rewritten));
                opted_out::keep(sql, user)?;
                sql.execute("DELETE FROM user WHERE id = ?1", [id])?;
                Hand::new(sql, "forget").note(&name, "")?;
                Ok(Some(gone))
            };
            forget().map_err(&fault)
        })
    }

    /// Writes the file anew without what was freed in it, and empties the log beside it; false if another program was reading
    /// for so long that the log could not be emptied.
    pub fn wipe(&mut self) -> Result<bool, StoreError> {
        let wipe = || -> rusqlite::Result<bool> {
            self.connection.execute_batch("VACUUM")?;
            let busy: i64 = self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
            Ok(busy == 0)
        };
        wipe().map_err(self.fault("write the database anew"))
    }
}

fn all_of(sql: &Connection, user: &str) -> rusqlite::Result<Option<Value>> {
    let audit = "SELECT at_ms, who, did, whom, detail FROM audit WHERE whom = ?1 ORDER BY id";
    let audit = rows(sql, audit, &[&user])?;
    let Some(id) = id_of(sql, user)? else {
        return Ok((!audit.is_empty()).then(|| serde_json::json!({ "user": null, "audit": audit })));
    };
    let mut all = Map::new();
    let person = rows(sql, "SELECT * FROM user WHERE id = ?1", &[&id])?;
    all.insert("user".to_owned(), person.into_iter().next().unwrap_or_default());
    let accounts = "SELECT identity, label, rank, (SELECT json_group_array(text ORDER BY alias.rank, text) \
                    FROM alias WHERE alias.account_id = account.id) AS aliases \
                    FROM owner JOIN account ON account.id = account_id WHERE user_id = ?1 ORDER BY rank";
    all.insert("accounts".to_owned(), rows(sql, accounts, &[&id])?.into());
    let directory = format!(
        "SELECT directory.* FROM directory JOIN known_as USING (identity) WHERE account_id IN ({OWN_ACCOUNTS})"
    );
    all.insert("directory".to_owned(), rows(sql, &directory, &[&id])?.into());
    for table in tables(sql)?.into_iter().filter(|table| table != "owner") {
        let query = format!("SELECT * FROM \"{table}\" WHERE user_id = ?1");
        all.insert(table, rows(sql, &query, &[&id])?.into());
    }
    let gathered = "SELECT gathered.* FROM gathered JOIN outbox ON outbox.id = outbox_id WHERE user_id = ?1";
    all.insert("gathered".to_owned(), rows(sql, gathered, &[&id])?.into());
    all.insert("audit".to_owned(), audit.into());
    Ok(Some(Value::Object(all)))
}

fn id_of(sql: &Connection, user: &str) -> rusqlite::Result<Option<i64>> {
    sql.query_row("SELECT id FROM user WHERE key = ?1", [user], |row| row.get(0))
        .optional()
}

/// Tables of which each row is a person's.
fn tables(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    sql.prepare(
        "SELECT tables.name FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns \
         WHERE tables.type = 'table' AND columns.name = 'user_id' ORDER BY tables.name",
    )?
    .query_map((), |row| row.get(0))?
    .collect()
}

/// Rows as objects. Text that is JSON comes as what it says; octets are secrets and do not come at all.
fn rows(sql: &Connection, query: &str, params: &[&dyn ToSql]) -> rusqlite::Result<Vec<Value>> {
    let mut select = sql.prepare(query)?;
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let rows = select.query_map(params, |row| {
        let mut object = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => text_of(&String::from_utf8_lossy(text)),
                ValueRef::Blob(_) => continue,
            };
            object.insert(name.clone(), value);
        }
        Ok(Value::Object(object))
    })?;
    rows.collect()
}

fn text_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

//! The fixtures, and what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ringtap_journal::schema::{Schema, outline};
use rusqlite::Connection;
use rusqlite::types::Value;

/// Names of tables, and of their columns.
type Columns = BTreeMap<String, Vec<String>>;

/// A file of an earlier program.
pub struct Old {
    /// `journal/1.sql`
    pub name: String,
    sql: String,
    /// The same file in memory.
    pub connection: Connection,
}

/// A row of the outbox that every version has.
pub struct OldMail {
    pub id: i64,
    pub call: String,
    pub state: String,
}

impl Old {
    /// All of a kind, `journal` or `notifier`, the oldest first.
    pub fn all(kind: &str) -> Vec<Self> {
        let mut names: Vec<_> = fs::read_dir(folder().join(kind))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        assert!(!names.is_empty());
        names.iter().map(|name| Self::named(kind, name)).collect()
    }

    pub fn named(kind: &str, name: &str) -> Self {
        let name = format!("{kind}/{name}.sql");
        let sql = fs::read_to_string(folder().join(&name)).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&sql).unwrap();
        Self {
            name,
            sql,
            connection,
        }
    }

    /// Puts it into `folder` as `old.db`.
    pub fn put(&self, folder: &Path) -> PathBuf {
        let path = folder.join("old.db");
        // As every program of ours has made it: others may not read it.
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Connection::open(&path).unwrap().execute_batch(&self.sql).unwrap();
        path
    }

    pub fn version(&self) -> usize {
        version(&self.connection)
    }

    pub fn outline(&self) -> Vec<String> {
        outline(&self.connection).unwrap()
    }

    /// Whether it is what `schema` makes.
    pub fn is_of(&self, schema: &Schema) -> bool {
        let fresh = tempfile::tempdir().unwrap();
        let fresh = schema.open(&fresh.path().join("fresh.db")).unwrap();
        self.outline() == outline(&fresh).unwrap()
    }

    pub fn has(&self, table: &str) -> bool {
        self.columns().contains_key(table)
    }

    /// Its tables, those that SQLite keeps for itself not counted.
    pub fn columns(&self) -> Columns {
        let mut select = self
            .connection
            .prepare(
                "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
            )
            .unwrap();
        let mut columns = Columns::new();
        let pairs = select
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        for (table, column) in pairs.map(Result::unwrap) {
            columns.entry(table).or_default().push(column);
        }
        columns
    }

    pub fn rows(&self) -> Vec<String> {
        let rows = rows(&self.connection, &self.columns());
        assert!(
            rows.len() > 8,
            "{}: a fixture without rows shows nothing",
            self.name
        );
        rows
    }

    /// Its outbox.
    pub fn mails(&self) -> Vec<OldMail> {
        let mut select = self
            .connection
            .prepare("SELECT id, call, state FROM outbox")
            .unwrap();
        let mails = select.query_map((), |row| {
            Ok(OldMail {
                id: row.get(0)?,
                call: row.get(1)?,
                state: row.get(2)?,
            })
        });
        mails.unwrap().map(Result::unwrap).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations")
}

pub fn version(sql: &Connection) -> usize {
    let found: i64 = sql
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    usize::try_from(found).unwrap()
}

/// What stands in these columns, a line for each row, sorted.
pub fn rows(sql: &Connection, columns: &Columns) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in columns {
        let mut select = sql
            .prepare(&format!("SELECT {} FROM \"{table}\"", columns.join(", ")))
            .unwrap();
        let mut rows = select.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns.len()).map(|at| row.get(at).unwrap()).collect();
            all.push(format!("{table}: {values:?}"));
        }
    }
    all.sort();
    all
}

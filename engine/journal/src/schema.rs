//! A SQLite file that is ours, of a version we know: created private, recognised by its application id,
//! brought up to date by migrations, refused if it is foreign or newer.
//!
//! The journal and the notifier's database both open through here. What the tables hold is theirs.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

mod error;

pub use error::SchemaError;
pub(crate) use error::is_no_access;

/// How long a statement waits for another process's lock before it fails.
const BUSY: Duration = Duration::from_secs(5);

/// One kind of file. `PRAGMA application_id` says which kind, `PRAGMA user_version` how many of the
/// `migrations` it has seen.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What errors call the file.
    pub what: &'static str,
    /// The most that others may do with it: who else is to read it is of its group.
    pub mode_max: u32,
    /// The mark that tells our file from any other SQLite file.
    pub application_id: i32,
    /// The way from an empty file to the present schema; only ever appended to.
    pub migrations: &'static [&'static str],
    /// What bore one of these version numbers before the number's meaning was settled.
    pub drafts: &'static [Draft],
}

/// A schema that was made under a version's number and is not what the number means now.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// A query that gives 1 for a file made so.
    pub is: &'static str,
    /// What makes the file one of its version.
    pub mend: &'static str,
}

impl Schema {
    /// Opens `path` for writing: creates it (mode 0600) if it is missing and applies what migrations it
    /// lacks. WAL with `synchronous=NORMAL`: readers never wait for the writer, and a power cut may lose
    /// the last commits but never the file. Who cannot bear that sets FULL.
    pub fn open(&self, path: &Path) -> Result<Connection, SchemaError> {
        create_private(path).map_err(|source| SchemaError::Io {
            what: self.what,
            path: path.to_owned(),
            source,
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = connect(path, flags).map_err(|source| self.sqlite(path, source))?;
        let wants = match self.version(&connection, path) {
            Ok(_) => Wants::Nothing,
            Err(SchemaError::Empty { .. }) => Wants::Everything,
            Err(SchemaError::Older { .. } | SchemaError::Draft { .. }) => Wants::Migrations,
            Err(refused) => return Err(refused),
        };
        // Asked of a file that is ours: the mode of any other is none of our business.
        self.refuse_exposed(path)?;
        self.prepare(&mut connection, wants)
            .map_err(|source| self.sqlite(path, source))?;
        Ok(connection)
    }

    /// Opens `path` for reading only; it must be there, ours, and of the present version.
    pub fn open_read_only(&self, path: &Path) -> Result<Connection, SchemaError> {
        let connection = self.connect_read_only(path)?;
        self.version(&connection, path)?;
        self.refuse_exposed(path)?;
        Ok(connection)
    }

    /// Refuses a file that is open to more than it may be, and those beside it. One that is not there is told otherwise.
    fn refuse_exposed(&self, path: &Path) -> Result<(), SchemaError> {
        for ending in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            let path = PathBuf::from(name);
            let Ok(facts) = path.metadata() else { continue };
            let mode = facts.permissions().mode() & 0o777;
            if facts.is_file() && mode & !(self.mode_max | 0o700) != 0 {
                return Err(SchemaError::Exposed {
                    what: self.what,
                    path,
                    mode,
                    wanted: mode & self.mode_max,
                });
            }
        }
        Ok(())
    }

    /// As [`open_read_only`](Self::open_read_only), but older versions will do: to copy a file, or to look what is
    /// wrong with it. Gives the file's version beside it.
    pub fn open_as_it_is(&self, path: &Path) -> Result<(Connection, usize), SchemaError> {
        let connection = self.connect_read_only(path)?;
        match self.version(&connection, path) {
            Ok(found) | Err(SchemaError::Older { found, .. } | SchemaError::Draft { found, .. }) => {
                Ok((connection, found))
            }
            Err(refused) => Err(refused),
        }
    }

    fn connect_read_only(&self, path: &Path) -> Result<Connection, SchemaError> {
        match path.metadata() {
            Ok(found) if found.is_file() => {}
            Ok(_) => {
                return Err(SchemaError::Foreign {
                    what: self.what,
                    path: path.to_owned(),
                });
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(SchemaError::Missing {
                    what: self.what,
                    path: path.to_owned(),
                });
            }
            Err(source) => {
                return Err(SchemaError::Io {
                    what: self.what,
                    path: path.to_owned(),
                    source,
                });
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        connect(path, flags).map_err(|source| self.sqlite(path, source))
    }

    /// The present version, or why the file is not of it.
    fn version(&self, connection: &Connection, path: &Path) -> Result<usize, SchemaError> {
        let (what, path) = (self.what, path.to_owned());
        let (known, pragma) = (self.migrations.len(), |name| pragma(connection, name));
        let (id, found) = pragma("application_id")
            .and_then(|id| Ok((id, pragma("user_version")?)))
            .map_err(|source| self.sqlite(&path, source))?;
        let found = usize::try_from(found).unwrap_or(0);
        if id == 0 && found == 0 {
            let tables: u64 = connection
                .query_row("SELECT count(*) FROM sqlite_schema", (), |row| {
                    row.get::<_, i64>(0)
                })
                .map(i64::unsigned_abs)
                .map_err(|source| self.sqlite(&path, source))?;
            return match tables {
                0 => Err(SchemaError::Empty { what, path }),
                _ => Err(SchemaError::Foreign { what, path }),
            };
        }
        match found.cmp(&known) {
            _ if id != i64::from(self.application_id) => Err(SchemaError::Foreign { what, path }),
            std::cmp::Ordering::Greater => Err(SchemaError::Newer {
                what,
                path,
                found,
                known,
            }),
            std::cmp::Ordering::Less => Err(SchemaError::Older {
                what,
                path,
                found,
                known,
            }),
            std::cmp::Ordering::Equal => match self.drafts_in(connection) {
                Ok(drafts) if drafts.is_empty() => Ok(found),
                Ok(_) => Err(SchemaError::Draft { what, path, found }),
                Err(source) => Err(self.sqlite(&path, source)),
            },
        }
    }

    /// The drafts that this file is made by.
    fn drafts_in(&self, connection: &Connection) -> rusqlite::Result<Vec<&'static Draft>> {
        let mut found = Vec::new();
        for draft in self.drafts {
            if connection.query_row(draft.is, (), |row| row.get(0))? {
                found.push(draft);
            }
        }
        Ok(found)
    }

    /// Settings and migrations. A file that wants nothing is not written to.
    fn prepare(&self, connection: &mut Connection, wants: Wants) -> rusqlite::Result<()> {
        if wants == Wants::Everything {
            // Has to stand in the file before anything else does; see `give_back`.
            connection.pragma_update(None, "auto_vacuum", "incremental")?;
        }
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        if wants != Wants::Nothing {
            // A table that is made anew would take the rows with it that refer to the old one.
            connection.pragma_update(None, "foreign_keys", false)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.migrate(&transaction)?;
            transaction.commit()?;
        }
        connection.pragma_update(None, "foreign_keys", true)
    }

    /// What the file lacks. The version is read again, under the write lock: another process may be bringing
    /// the same file up at the same moment.
    fn migrate(&self, sql: &Connection) -> rusqlite::Result<()> {
        let done = usize::try_from(pragma(sql, "user_version")?).unwrap_or(0);
        if done > 0 {
            for draft in self.drafts_in(sql)? {
                sql.execute_batch(draft.mend)?;
            }
        }
        for migration in self.migrations.iter().skip(done) {
            sql.execute_batch(migration)?;
        }
        sql.pragma_update(None, "application_id", self.application_id)?;
        sql.pragma_update(None, "user_version", self.migrations.len().max(done).to_string())
    }

    /// The objects of a file that this program has just made, as [`outline`] tells them.
    pub(crate) fn outline(&self) -> rusqlite::Result<Vec<String>> {
        let fresh = Connection::open_in_memory()?;
        self.migrate(&fresh)?;
        outline(&fresh)
    }
}

/// What a file lacks when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Nothing,
    Migrations,
    Everything,
}

/// What a database is made of: its tables, indices, triggers and views, each as the statement that makes it,
/// spaces and quotes of names evened out. What SQLite keeps for itself is left out.
pub fn outline(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare(
        "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
    )?;
    let texts = select.query_map((), |row| row.get::<_, String>(0))?;
    texts
        .map(|text| {
            Ok(text?
                .replace('"', "")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "))
        })
        .collect()
}

/// Octets that are given back in one go, so that nobody waits long for the lock.
const GIVE_BACK_BYTES: i64 = 4_096_000;

/// Gives unused pages back to the file system, if there are many: more than an eighth of the file. Fewer are used
/// again soon, as what is swept out makes room for what comes. Gives how many went.
///
/// Files that were made before this program did so keep their pages (`PRAGMA auto_vacuum`).
pub fn give_back(connection: &Connection) -> rusqlite::Result<u64> {
    let some = GIVE_BACK_BYTES / pragma(connection, "page_size")?.max(1);
    let mut given = 0;
    loop {
        let (free, all) = (
            pragma(connection, "freelist_count")?,
            pragma(connection, "page_count")?,
        );
        if free < some || free < all / 8 {
            return Ok(given);
        }
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({some})"))?;
        let gone = all - pragma(connection, "page_count")?;
        if gone <= 0 {
            return Ok(given);
        }
        given += gone.unsigned_abs();
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // The bundled SQLite has STAT4 and would otherwise plan a statement anew for each bound value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

pub(crate) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Creates the file, readable by its owner alone, if it is not there; SQLite gives the files beside it
/// (`-wal`, `-shm`) the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Schema = Schema {
        what: "book",
        mode_max: 0o640,
        application_id: 7,
        migrations: &["CREATE TABLE a (x INTEGER);"],
        drafts: &[],
    };
    const TWO: Schema = Schema {
        migrations: &[
            "CREATE TABLE a (x INTEGER);",
            "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 3;",
        ],
        ..ONE
    };

    /// Catches a file that is used though others may read it, or one beside it, and a refusal that does not say how to mend that; and a
    /// group that is kept out though it may read.
    #[test]
    fn what_is_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        let open = ONE.open(&path).unwrap();
        open.execute("INSERT INTO a VALUES (1)", ()).unwrap();
        for (name, mode, chmod) in [
            ("b.db", 0o644, "chmod 640 "),
            ("b.db", 0o602, "chmod 600 "),
            ("b.db-wal", 0o644, "chmod 640 "),
            ("b.db-shm", 0o660, "chmod 640 "),
        ] {
            let beside = dir.path().join(name);
            let set =
                |mode| std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode)).unwrap();
            set(mode);
            for refused in [ONE.open(&path), ONE.open_read_only(&path)] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains(chmod) && refused.contains(name), "{refused}");
            }
            set(0o640);
            ONE.open_read_only(&path).unwrap();
            set(0o600);
        }
    }

    /// Catches a migration that is skipped, run twice, or loses rows, and a version that is not written.
    #[test]
    fn older_file_is_brought_up_and_newer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        ONE.open(&path)
            .unwrap()
            .execute("INSERT INTO a VALUES (1)", ())
            .unwrap();
        assert!(matches!(
            TWO.open_read_only(&path),
            Err(SchemaError::Older {
                found: 1,
                known: 2,
                ..
            })
        ));
        let y: i64 = TWO
            .open(&path)
            .unwrap()
            .query_row("SELECT y FROM a", (), |r| r.get(0))
            .unwrap();
        assert_eq!(y, 3);
        TWO.open(&path).unwrap();
        let refused = ONE.open(&path).unwrap_err().to_string();
        assert!(
            refused.contains("b.db") && refused.contains("version 2") && refused.contains("up to 1"),
            "{refused}"
        );
        assert!(matches!(
            ONE.open_read_only(&path),
            Err(SchemaError::Newer { .. })
        ));
    }

    /// Catches writing our tables into somebody else's file, and taking one for ours.
    #[test]
    fn foreign_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = dir.path().join("other.db");
        Connection::open(&sqlite)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (x)")
            .unwrap();
        let text = dir.path().join("notes.txt");
        std::fs::write(
            &text,
            "not a database at all, but longer than a header of one hundred bytes ".repeat(4),
        )
        .unwrap();
        for path in [&sqlite, &text] {
            let before = std::fs::read(path).unwrap();
            assert!(
                matches!(ONE.open(path), Err(SchemaError::Foreign { .. })),
                "{path:?}"
            );
            assert!(
                matches!(ONE.open_read_only(path), Err(SchemaError::Foreign { .. })),
                "{path:?}"
            );
            assert_eq!(before, std::fs::read(path).unwrap());
        }
        assert!(matches!(ONE.open(dir.path()), Err(SchemaError::Io { .. })));
        assert!(matches!(
            ONE.open_read_only(&dir.path().join("none")),
            Err(SchemaError::Missing { .. })
        ));
    }

    /// Catches a reader that blames the rights of its user for what a program has left that died as it made the file, and a
    /// writer that cannot go on from there.
    #[test]
    fn a_half_made_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        let dead = Connection::open(&path).unwrap();
        // The file as it is on the disk before the commit, and the rollback journal beside it.
        dead.execute_batch("CREATE TABLE a (x); PRAGMA cache_size = 1; BEGIN; CREATE TABLE b (x); INSERT INTO b VALUES (zeroblob(99999))")
            .unwrap();
        let left = dir.path().join("left.db");
        std::fs::copy(&path, &left).unwrap();
        std::fs::copy(
            dir.path().join("b.db-journal"),
            dir.path().join("left.db-journal"),
        )
        .unwrap();
        drop(dead);
        let fault = ONE.open_read_only(&left).unwrap_err();
        assert!(matches!(fault, SchemaError::HalfMade { .. }), "{fault}");
        assert!(
            matches!(ONE.open(&left), Err(SchemaError::Foreign { .. })),
            "table a is whole again"
        );
    }

    /// Catches a file that other users of the host can read.
    #[test]
    fn created_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db");
        let open = ONE.open(&path).unwrap();
        open.execute("INSERT INTO a VALUES (1)", ()).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{entry:?}"
            );
        }
    }
}

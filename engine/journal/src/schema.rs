//! A SQLite file that is ours, of a version we know: created private, recognised by its application id,
//! brought up to date by migrations, refused if it is foreign or newer.
//!
//! The journal and the notifier's database both open through here. What the tables hold is theirs.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// How long a statement waits for another process's lock before it fails.
const BUSY: Duration = Duration::from_secs(5);

/// One kind of file. `PRAGMA application_id` says which kind, `PRAGMA user_version` how many of the
/// `migrations` it has seen.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What errors call the file.
    pub what: &'static str,
    /// The mark that tells our file from any other SQLite file.
    pub application_id: i32,
    /// The way from an empty file to the present schema; only ever appended to.
    pub migrations: &'static [&'static str],
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Nothing at that path.
    #[error("{what} {path}: no such file", path = path.display())]
    Missing {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
    },
    /// The file is there but has no tables yet.
    #[error("{what} {path}: still empty", path = path.display())]
    Empty {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
    },
    /// Some other file.
    #[error("{what} {path}: not a Ringtap {what}; name another file", path = path.display())]
    Foreign {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
    },
    /// Written by a later program.
    #[error(
        "{what} {path}: has schema version {found}, this program knows up to {known}; upgrade this program",
        path = path.display()
    )]
    Newer {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// The file's version.
        found: usize,
        /// The newest version this program knows.
        known: usize,
    },
    /// Written by an earlier program and opened for reading only.
    #[error(
        "{what} {path}: has schema version {found}, this program wants {known}; \
         start the program that writes it once, it will bring it up to date",
        path = path.display()
    )]
    Older {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// The file's version.
        found: usize,
        /// The version that is wanted.
        known: usize,
    },
    /// The file system refused.
    #[error("{what} {path}: {source}", path = path.display())]
    Io {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The files that SQLite keeps beside it cannot be made or written, which takes even reading away.
    #[error(
        "{what} {path}: {source}: reading needs {path}-wal and {path}-shm as well, and this user may not make or \
         write them; give it write access to {folder} and to these files, or run both programs as the same user",
        path = path.display(),
        folder = folder(path)
    )]
    NoAccess {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// SQLite refused.
    #[error("{what} {path}: {source}", path = path.display())]
    Sqlite {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

impl Schema {
    /// Opens `path` for writing: creates it (mode 0600) if it is missing and applies what migrations it
    /// lacks. WAL with `synchronous=NORMAL`: readers never wait for the writer, and a power cut may lose
    /// the last commits but never the file.
    pub fn open(&self, path: &Path) -> Result<Connection, SchemaError> {
        create_private(path).map_err(|source| SchemaError::Io {
            what: self.what,
            path: path.to_owned(),
            source,
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = connect(path, flags).map_err(|source| self.sqlite(path, source))?;
        match self.version(&connection, path) {
            Ok(_) | Err(SchemaError::Empty { .. } | SchemaError::Older { .. }) => {}
            Err(refused) => return Err(refused),
        }
        self.prepare(&mut connection, path)?;
        Ok(connection)
    }

    /// Opens `path` for reading only; it must be there, ours, and of the present version.
    pub fn open_read_only(&self, path: &Path) -> Result<Connection, SchemaError> {
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
        let connection = connect(path, flags).map_err(|source| self.sqlite(path, source))?;
        self.version(&connection, path)?;
        Ok(connection)
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
            std::cmp::Ordering::Equal => Ok(found),
        }
    }

    /// Settings and migrations. The version is read again under the write lock: another process may be
    /// bringing the same file up at the same moment.
    fn prepare(&self, connection: &mut Connection, path: &Path) -> Result<(), SchemaError> {
        connection
            .pragma_update(None, "journal_mode", "wal")
            .and_then(|()| connection.pragma_update(None, "synchronous", "normal"))
            .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
            .and_then(|()| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = usize::try_from(pragma(&transaction, "user_version")?).unwrap_or(0);
                for migration in self.migrations.iter().skip(done) {
                    transaction.execute_batch(migration)?;
                }
                transaction.pragma_update(None, "application_id", self.application_id)?;
                transaction.pragma_update(
                    None,
                    "user_version",
                    self.migrations.len().max(done).to_string(),
                )?;
                transaction.commit()
            })
            .map_err(|source| self.sqlite(path, source))
    }

    fn sqlite(&self, path: &Path, source: rusqlite::Error) -> SchemaError {
        let (what, path) = (self.what, path.to_owned());
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => SchemaError::Foreign { what, path },
            _ if is_no_access(&source) => SchemaError::NoAccess { what, path, source },
            _ => SchemaError::Sqlite { what, path, source },
        }
    }
}

/// Whether SQLite lacks the right to use the file or what it keeps beside it.
pub(crate) fn is_no_access(fault: &rusqlite::Error) -> bool {
    matches!(
        fault.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

fn folder(path: &Path) -> String {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.display().to_string(),
        _ => "the current folder".to_owned(),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // The bundled SQLite has STAT4 and would otherwise plan a statement anew for each bound value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ONE: Schema = Schema {
        what: "book",
        application_id: 7,
        migrations: &["CREATE TABLE a (x INTEGER);"],
    };
    const TWO: Schema = Schema {
        migrations: &[
            "CREATE TABLE a (x INTEGER);",
            "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 3;",
        ],
        ..ONE
    };

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

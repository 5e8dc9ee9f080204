//! A copy of one of our SQLite files while programs work on it, by SQLite's backup interface.
//!
//! A copy is of one moment: in WAL mode whoever writes goes on meanwhile and is not seen. It grows under a name of
//! its own, is checked, and gets its name when it is whole; so nothing that has the name is half a backup.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::schema::{Schema, SchemaError};

/// Why there is no copy. None of these leaves anything behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What was to be copied.
    #[error(transparent)]
    Source(#[from] SchemaError),
    /// There is something of that name.
    #[error("{path}: is there already, and a backup overwrites nothing; name another file", path = path.display())]
    Exists {
        /// The copy's name.
        path: PathBuf,
    },
    /// The copy's place.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The copy's name, or its folder's.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// SQLite, while copying.
    #[error("{path}, copy of the {what}: {source}", path = path.display())]
    Sqlite {
        /// Kind of file.
        what: &'static str,
        /// The copy's name.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// What was copied is not sound, so the file that it comes from is not either.
    #[error(
        "{what} {from} is damaged: {fault}; nothing was kept of the copy, restore an earlier backup",
        from = from.display()
    )]
    Damaged {
        /// Kind of file.
        what: &'static str,
        /// What was copied.
        from: PathBuf,
        /// The first thing that is wrong.
        fault: String,
    },
}

/// A whole and checked copy that has not got its name yet. Dropped without [`keep`](Self::keep), it is gone.
#[derive(Debug)]
pub struct Copy {
    growing: PathBuf,
    name: PathBuf,
    bytes: u64,
}

impl Schema {
    /// Copies the file at `from`, of whatever version up to the present one, to be `name`. Readable by its owner alone,
    /// and one file: nothing lies beside it.
    pub fn backup(&self, from: &Path, name: &Path) -> Result<Copy, BackupError> {
        Copy::take(self, from, name)
    }
}

impl Copy {
    fn take(schema: &Schema, from: &Path, name: &Path) -> Result<Self, BackupError> {
        let (source, _) = schema.open_as_it_is(from)?;
        refuse_to_overwrite(name)?;
        let mut copy = Self {
            growing: beside(name)?,
            name: name.to_owned(),
            bytes: 0,
        };
        let at_place = |source| BackupError::Io {
            path: name.to_owned(),
            source,
        };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy.growing)
            .map_err(at_place)?;
        let failed = |fault| BackupError::Sqlite {
            what: schema.what,
            path: name.to_owned(),
            source: fault,
        };
        if let Some(fault) = fill(&source, &copy.growing).map_err(failed)? {
            return Err(BackupError::Damaged {
                what: schema.what,
                from: from.to_owned(),
                fault,
            });
        }
        let file = File::open(&copy.growing).map_err(at_place)?;
        file.sync_all().map_err(at_place)?;
        copy.bytes = file.metadata().map_err(at_place)?.len();
        Ok(copy)
    }

    /// Gives the copy its name, for good. Gives its size in octets.
    pub fn keep(self) -> Result<u64, BackupError> {
        refuse_to_overwrite(&self.name)?;
        let named =
            fs::rename(&self.growing, &self.name).and_then(|()| File::open(folder(&self.name))?.sync_all());
        named.map_err(|source| BackupError::Io {
            path: self.name.clone(),
            source,
        })?;
        Ok(self.bytes)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Absent once it has its name.
        for ending in ["", "-journal", "-wal", "-shm"] {
            let mut name = self.growing.clone().into_os_string();
            name.push(ending);
            let _absent = fs::remove_file(name);
        }
    }
}

/// Copies all pages and checks them; the first fault of the copy, if it has one.
fn fill(source: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    let mut copy = Connection::open(path)?;
    {
        let backup = Backup::new(source, &mut copy)?;
        // All at once: between steps a writer may commit, and everything would be copied again.
        while backup.step(-1)? != StepResult::Done {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    // The copy says of itself that it is in WAL mode: opened so, it would have files beside it.
    copy.pragma_update(None, "journal_mode", "delete")?;
    let said: String = copy.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    copy.close().map_err(|(_, fault)| fault)?;
    Ok((said != "ok").then_some(said))
}

fn refuse_to_overwrite(name: &Path) -> Result<(), BackupError> {
    match fs::symlink_metadata(name) {
        Ok(_) => Err(BackupError::Exists {
            path: name.to_owned(),
        }),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::Io {
            path: name.to_owned(),
            source,
        }),
    }
}

/// Where the copy grows: in the same folder, as only there it can be renamed.
fn beside(name: &Path) -> Result<PathBuf, BackupError> {
    let last = name.file_name().ok_or_else(|| BackupError::Io {
        path: name.to_owned(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    Ok(name.with_file_name(format!(".{}.{}.part", last.display(), std::process::id())))
}

fn folder(name: &Path) -> &Path {
    match name.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

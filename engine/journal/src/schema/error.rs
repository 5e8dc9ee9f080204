//! Why one of our SQLite files cannot be used, and how that is told from what SQLite says.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::Schema;

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
    /// Others may read or write it.
    #[error(
        "{what} {path}: others may read or write it (mode {mode:03o}); `chmod {wanted:03o} {path}`, and see who did while they could",
        path = path.display()
    )]
    Exposed {
        /// Kind of file.
        what: &'static str,
        /// The file: the database, or one of those beside it.
        path: PathBuf,
        /// What it has.
        mode: u32,
        /// What it may have.
        wanted: u32,
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
    /// Made by a program from before its version was settled, and opened for reading only.
    #[error(
        "{what} {path}: was made by an early build of schema version {found}; \
         start the program that writes it once, it will bring it up to date",
        path = path.display()
    )]
    Draft {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// The version that the file says it has.
        found: usize,
    },
    /// Whoever made it died in the midst of it, and opened for reading only: what is half done has to be undone first.
    #[error(
        "{what} {path}: the program that made it ended in the midst of that; start it again, it will begin anew",
        path = path.display()
    )]
    HalfMade {
        /// Kind of file.
        what: &'static str,
        /// The path asked for.
        path: PathBuf,
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
    pub(crate) fn sqlite(&self, path: &Path, source: rusqlite::Error) -> SchemaError {
        let (what, path) = (self.what, path.to_owned());
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => SchemaError::Foreign { what, path },
            _ if is_half_made(&source) => SchemaError::HalfMade { what, path },
            _ if is_no_access(&source) => SchemaError::NoAccess { what, path, source },
            _ => SchemaError::Sqlite { what, path, source },
        }
    }
}

/// Whether there is a rollback journal beside the file, which readers may not play back. Our files have one only until they
/// are in WAL mode, which is the first thing that is done to them.
fn is_half_made(fault: &rusqlite::Error) -> bool {
    let code = fault.sqlite_error().map(|fault| fault.extended_code);
    code == Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
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

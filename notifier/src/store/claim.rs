//! One worker per database. Two that send from one outbox would both find the same mail due and send it
//! twice; looking and changing the database beside a worker does no harm and needs no claim.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The right to work off a database, until dropped or until the process ends, however it ends: the system
/// holds the lock, not the file, which stays behind and means nothing.
#[derive(Debug)]
pub struct Claim {
    _locked: File,
}

impl Claim {
    /// Claims the existing database at `path`, under whatever name it was reached.
    ///
    /// The lock lies on a file of its own: closing a second descriptor of the database would take away the
    /// locks that SQLite holds there (POSIX).
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = lock_path(path);
        let fault = |source| StoreError::Claim {
            path: lock_path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _locked: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Claimed {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// Whether a worker has the database at `path`. Asking takes the lock for less than a microsecond, and makes no file.
    pub fn is_held(path: &Path) -> Result<bool, StoreError> {
        let lock_path = lock_path(path);
        let fault = |source| StoreError::Claim {
            path: lock_path.clone(),
            source,
        };
        let file = match File::open(&lock_path) {
            Ok(file) => file,
            Err(none) if none.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(fault(source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name: OsString = database
        .canonicalize()
        .unwrap_or_else(|_| database.to_owned())
        .into();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches two workers on one database, be it under two names, and a claim that outlives its holder.
    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("n.db"), dir.path().join("link.db"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let claim = Claim::take(&path).unwrap();
        let refused = Claim::take(&link).unwrap_err();
        assert!(matches!(refused, StoreError::Claimed { .. }), "{refused}");
        assert!(Claim::is_held(&link).unwrap());
        drop(claim);
        assert!(!Claim::is_held(&path).unwrap());
        Claim::take(&link).unwrap();
    }
}

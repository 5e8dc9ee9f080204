//! Which files a path named when a journal was opened there, to notice when it names others: whoever has a file open keeps
//! it, and would read or write there for ever.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// What SQLite keeps beside a database in WAL mode.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Device and inode.
type Id = (u64, u64);

/// A path, and the file that it named.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    file: Option<Id>,
    beside: [Option<Id>; BESIDE.len()],
}

impl Place {
    /// As it is now. Looked at before the file is opened, another one that takes its place in between is noticed.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: id_of(path),
            beside: BESIDE.map(|ending| id_of(&with_ending(path, ending))),
        }
    }

    /// Whether there was a file.
    pub(crate) const fn is_taken(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the file, what is kept beside it, and their folder may be written; else which may not. A link is followed, as SQLite does.
    pub(crate) fn look_whether_writable(&self) -> Result<(), (PathBuf, io::Error)> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let may = |place: &Path, how| access(place, how).map_err(|errno| (place.to_owned(), errno.into()));
        may(folder, Access::WRITE_OK | Access::EXEC_OK)?;
        let beside = BESIDE.map(|ending| with_ending(&path, ending));
        for file in beside.iter().chain([&path]) {
            match may(file, Access::READ_OK | Access::WRITE_OK) {
                Err((_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Looks again for the files beside it, which come with the first transaction.
    pub(crate) fn look_beside(&mut self) {
        self.beside = Self::of(&self.path).beside;
    }

    /// Whether the path still names that file, and its log is beside it. The log stays the same file as long as anybody has the
    /// journal open; whoever opened a new journal beside the old one's log, before that was cleared away, has to open it again.
    pub(crate) fn is_kept(&self) -> bool {
        let now = Self::of(&self.path);
        let [log, _] = self.beside;
        let [log_now, _] = now.beside;
        self.is_taken() && self.file == now.file && log == log_now
    }

    /// Removes those of the files beside the old one that were left behind when it went: SQLite would take them for the new
    /// one's, and read pages of another database.
    pub(crate) fn clear_leftovers(&self) -> io::Result<()> {
        for (ending, was) in BESIDE.iter().zip(self.beside) {
            let path = with_ending(&self.path, ending);
            if was.is_some() && was == id_of(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(ending);
    name.into()
}

fn id_of(path: &Path) -> Option<Id> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

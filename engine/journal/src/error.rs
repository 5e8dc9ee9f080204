//! What can go wrong with the journal, always with the file's name.

use std::path::{Path, PathBuf};

use crate::JOURNAL;
use crate::schema::{SchemaError, is_no_access};

/// A fault of the journal, never of a record.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot serve as a journal: missing, foreign, newer, or not to be opened.
    #[error(transparent)]
    File(#[from] SchemaError),
    /// SQLite refused while `doing`.
    #[error("journal {path}: {doing}: {source}", path = path.display())]
    Sqlite {
        /// The journal.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A row that this program could not have written.
    #[error("journal {path}: record {seq} is damaged: {what}", path = path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The record's cursor.
        seq: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The writer has stopped taking records; the reason comes from `Writer::finish`.
    #[error("journal {path}: not writable at present, {queued} records are waiting", path = path.display())]
    Stalled {
        /// The journal.
        path: PathBuf,
        /// Records in the queue.
        queued: usize,
    },
    /// It could be read and not written.
    #[error(
        "journal {path}: {place} may not be written by who runs this: {source}; give it to that user, or make the file system writable",
        path = path.display(),
        place = place.display()
    )]
    Shut {
        /// The journal.
        path: PathBuf,
        /// What may not be written: the journal, its folder, or what SQLite keeps beside it.
        place: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The writer's thread could not be started.
    #[error("journal {path}: the writer's thread did not start: {source}", path = path.display())]
    Thread {
        /// The journal.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl JournalError {
    /// Whether there is no journal yet but may be soon: followers wait on this.
    #[must_use]
    pub fn is_not_there_yet(&self) -> bool {
        matches!(
            self,
            Self::File(
                SchemaError::Missing { .. } | SchemaError::Empty { .. } | SchemaError::HalfMade { .. }
            )
        )
    }

    pub(crate) fn sqlite(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| match is_no_access(&source) {
            true => Self::File(SchemaError::NoAccess {
                what: JOURNAL.what,
                path: path.to_owned(),
                source,
            }),
            false => Self::Sqlite {
                path: path.to_owned(),
                doing,
                source,
            },
        }
    }
}

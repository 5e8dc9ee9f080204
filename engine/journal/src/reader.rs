//! Following the journal: read-only, with the caller's own cursor, from another process if need be.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_record::CallRecord;
use rusqlite::Connection;

use crate::error::JournalError;
use crate::{JOURNAL, row};

/// How often a waiting reader looks whether something was committed.
const POLL: Duration = Duration::from_millis(20);

/// A read-only view of a journal.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    id: String,
    seen: Option<i64>,
}

impl Reader {
    /// Opens the journal at `path`, which must exist and be of this program's version.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let connection = JOURNAL.open_read_only(path)?;
        let id = connection
            .query_row("SELECT id FROM journal", (), |row| row.get(0))
            .map_err(JournalError::sqlite(path, "read its name"))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            id,
            seen: None,
        })
    }

    /// The journal's own name, drawn when it was created: a cursor belongs to this name, not to the path,
    /// so that a journal put in place of another is read from its beginning.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The records after `seq` (0 = from the beginning), oldest first, at most `limit`, each with its cursor.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, CallRecord)>, JournalError> {
        row::after(&self.connection, &self.path, seq, limit)
    }

    /// The record named `call`.
    pub fn named(&self, call: &str) -> Result<Option<CallRecord>, JournalError> {
        row::named(&self.connection, &self.path, call)
    }

    /// Whether somebody has committed to the journal since this was last asked (true the first time).
    pub fn has_changed(&mut self) -> Result<bool, JournalError> {
        let version = self
            .connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(JournalError::sqlite(&self.path, "look for changes"))?;
        let changed = self.seen != Some(version);
        self.seen = Some(version);
        Ok(changed)
    }

    /// Waits until somebody commits, at most `timeout`; false if nobody did.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, JournalError> {
        let until = Instant::now() + timeout;
        loop {
            if self.has_changed()? {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            thread::sleep(left.min(POLL));
        }
    }
}

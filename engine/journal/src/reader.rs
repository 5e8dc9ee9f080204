//! Following the journal: read-only, with the caller's own cursor, from another process if need be.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_record::{CallRecord, Explanation, ImplicitSet};
use rusqlite::Connection;

use crate::error::JournalError;
use crate::place::Place;
use crate::{JOURNAL, row, sets};

/// How often a waiting reader looks whether something was committed.
const POLL: Duration = Duration::from_millis(20);

/// A read-only view of a journal.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    id: String,
    place: Place,
    seen: Option<i64>,
}

/// One record as found: its cursor, and what it says or why that cannot be read (always
/// [`JournalError::Damaged`]).
pub type Found = (u64, Result<CallRecord, JournalError>);

impl Reader {
    /// Opens the journal at `path`, which must exist and be of this program's version.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        // Looked at before it is opened: a file that takes its place in between is noticed as another one.
        let mut place = Place::of(path);
        let connection = JOURNAL.open_read_only(path)?;
        let id = connection
            .query_row("SELECT id FROM journal", (), |row| row.get(0))
            .map_err(JournalError::sqlite(path, "read its name"))?;
        place.look_beside();
        Ok(Self {
            path: path.to_owned(),
            connection,
            id,
            place,
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
    /// Fails at a damaged record.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, CallRecord)>, JournalError> {
        let found = self.each_after(seq, limit)?;
        found
            .into_iter()
            .map(|(seq, record)| Ok((seq, record?)))
            .collect()
    }

    /// As [`after`](Self::after), but a damaged record takes its place among the others, for followers that
    /// must get past it.
    pub fn each_after(&self, seq: u64, limit: usize) -> Result<Vec<Found>, JournalError> {
        row::after(&self.connection, &self.path, seq, limit)
    }

    /// The last cursor that this journal has given, whether its record is still there or not.
    pub fn last(&self) -> Result<u64, JournalError> {
        self.connection
            .query_row("SELECT seq_last FROM journal", (), |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(JournalError::sqlite(&self.path, "read its last cursor"))
    }

    /// The record named `call`.
    pub fn named(&self, call: &str) -> Result<Option<CallRecord>, JournalError> {
        row::named(&self.connection, &self.path, call)
    }

    /// The names that begin with `prefix`, at most `limit`.
    pub fn names(&self, prefix: &str, limit: usize) -> Result<Vec<String>, JournalError> {
        row::names(&self.connection, &self.path, prefix, limit)
    }

    /// How the record named `call` came about, if that was kept.
    pub fn story(&self, call: &str) -> Result<Option<Explanation>, JournalError> {
        row::story(&self.connection, &self.path, call)
    }

    /// Which identities are registered together, as was told last: all such sets.
    pub fn sets(&self) -> Result<Vec<ImplicitSet>, JournalError> {
        sets::all(&self.connection, &self.path)
    }

    /// The sets that an identity is a member of.
    pub fn sets_of(&self, member: &str) -> Result<Vec<ImplicitSet>, JournalError> {
        sets::of(&self.connection, &self.path, member)
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

    /// Whether the path still names the files that were opened. If not, the journal was removed or another was
    /// put in its place, and nothing more will be found here.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.place.is_kept()
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

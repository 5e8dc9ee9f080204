//! The journal opened for writing: at once, or when a writer that waits for its turn is let in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam::channel::Receiver;
use rusqlite::Connection;

use crate::JOURNAL;
use crate::error::JournalError;
use crate::place::Place;
use crate::schema::pragma;
use crate::state::{Entry, State};
use crate::work::{RETRY, Work};
use crate::writer::Options;

/// Call names are random, so every insert lands on another page of their index: the index must fit.
const CACHE_KIB: i64 = 65_536;
/// Octets of the log that are moved at once. A checkpoint moves each page once, however often it changed, and waits for the disk: rarely is cheap.
const CHECKPOINT_BYTES: i64 = 64 << 20;

/// What the thread has before the journal is open.
pub(crate) struct Wait {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) queue: Receiver<Entry>,
    pub(crate) state: Arc<State>,
}

impl Wait {
    /// Waits until the journal may be opened, and opens it, however often that takes; `None` if it is told to end before.
    pub(crate) fn work(self, opened: Option<(Connection, Place)>) -> Option<Work> {
        let (connection, place) = match opened {
            Some(opened) => opened,
            None => self.open_late()?,
        };
        let Self {
            path,
            options,
            queue,
            state,
        } = self;
        Some(Work {
            path,
            connection,
            place,
            options,
            queue,
            state,
            swept: None,
        })
    }

    fn open_late(&self) -> Option<(Connection, Place)> {
        let is_closing = || self.state.closing.load(Ordering::Acquire);
        while !self.state.begun.load(Ordering::Acquire) {
            if is_closing() {
                return None;
            }
            thread::park();
        }
        loop {
            match settle_in(&self.path) {
                Ok(opened) => {
                    self.state.recover(&self.path);
                    return Some(opened);
                }
                Err(fault) => self.state.stall(fault),
            }
            if is_closing() {
                let unsaved = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
                self.state.count_lost(unsaved);
                return None;
            }
            thread::sleep(RETRY);
        }
    }
}

/// Opens or makes the journal at `path`, and notes which file that is.
pub(crate) fn settle_in(path: &Path) -> Result<(Connection, Place), JournalError> {
    let before = Place::of(path);
    let connection = connect(path)?;
    // The log beside it is made when the file is first looked into, not when it is opened: one that came later would be taken for somebody's
    // doing. A backup has none.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))
        .map_err(JournalError::sqlite(path, "read it"))?;
    let mut place = if before.is_taken() {
        before
    } else {
        Place::of(path)
    };
    place.look_beside();
    Ok((connection, place))
}

/// The writer's connection. Each commit waits for the disk: readers go on from the number of the last record that they saw, so
/// a record that was seen and is gone after a power cut would leave its number to another call, which they would pass over.
/// Commits are batches, so this costs a millisecond or two each, and nothing beside the rest (docs/performance.md).
fn connect(path: &Path) -> Result<Connection, JournalError> {
    let connection = JOURNAL.open(path)?;
    connection.set_prepared_statement_cache_capacity(16);
    connection
        .pragma_update(None, "cache_size", -CACHE_KIB)
        .and_then(|()| pragma(&connection, "page_size"))
        .and_then(|page_bytes| {
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / page_bytes.max(1))
        })
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        // Asked for each row, and what is inserted refers to what was inserted just before. Whoever removes rows has it on.
        .and_then(|()| connection.pragma_update(None, "foreign_keys", false))
        .map_err(JournalError::sqlite(path, "set up its cache"))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches commits that a power cut may take back after readers have seen them: FULL is 2, NORMAL 1.
    #[test]
    fn commits_wait_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let connection = connect(&dir.path().join("j.db")).unwrap();
        let mode: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, 2);
    }
}

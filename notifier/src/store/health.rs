//! The database as it is found, to see how it stands. Nothing here changes it, nor brings it up to date.

use std::path::Path;

use ringtap_record::Time;

use super::outbox::millis;
use super::turns::{CalledUp, Clocks};
use super::{DATABASE, Store, StoreError};

/// How mail stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Mails that wait, be it for the server or for their caller.
    pub pending: u64,
    /// For how long the oldest of those waits whose time has come, in milliseconds.
    pub overdue_ms: i64,
    /// Dead letters.
    pub dead: u64,
}

impl Store {
    /// Opens the database at `path` for reading, whatever version up to the present one it has.
    pub fn open_as_it_is(path: &Path) -> Result<Self, StoreError> {
        let (connection, _) = DATABASE.open_as_it_is(path)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            // Nothing is queued through this.
            clocks: Clocks::default(),
            called: CalledUp::default(),
        })
    }

    /// How mail stands at `now`.
    pub fn backlog(&self, now: Time) -> Result<Backlog, StoreError> {
        self.connection
            .query_row(
                "SELECT ifnull(sum(state = 'pending'), 0), ifnull(sum(state = 'dead'), 0), \
                 min(CASE WHEN state = 'pending' AND next_attempt_ms <= ?1 THEN created_ms END) FROM outbox",
                [millis(now)],
                |row| {
                    let oldest: Option<i64> = row.get(2)?;
                    Ok(Backlog {
                        pending: row.get::<_, i64>(0)?.unsigned_abs(),
                        dead: row.get::<_, i64>(1)?.unsigned_abs(),
                        overdue_ms: oldest.map_or(0, |created| millis(now).saturating_sub(created).max(0)),
                    })
                },
            )
            .map_err(self.fault("count the outbox"))
    }
}

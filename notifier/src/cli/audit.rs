//! `audit`: who changed what.

use std::path::Path;

use clap::Subcommand;

use super::{Failure, table};
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Changes by administrators and by people themselves, newest first
    ///
    /// One line for each, tabs between: when, who did it (the user of the system and, if known, by whom that user was become; `(self)` is the person), the command, whom it was about, what is otherwise since.
    /// Kept for a year.
    List {
        /// Changes of this person only
        #[arg(long, value_name = "KEY")]
        user: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

pub(super) fn run(command: &AuditCommand, database: &Path) -> Result<(), Failure> {
    let AuditCommand::List { user, limit } = command;
    let rows = Store::open_existing(database)
        .and_then(|store| store.audit(user.as_deref(), *limit))
        .map_err(Failure::work)?;
    table(
        rows.into_iter()
            .map(|row| [row.at.to_string(), row.who, row.did, row.whom, row.detail]),
    )
}

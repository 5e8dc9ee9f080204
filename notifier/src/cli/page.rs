//! `page`: what the operator does about people's own page.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{Failure, no_such_user, say};
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum PageCommand {
    Revoke(RevokeArgs),
}

/// Sign out everywhere: sessions end, and links that were sent until now open the page no more
///
/// For a mailbox, a proxy's log or a backup that got into other hands. A running notifier obeys at once. Links to unsubscribe go on working: they can do nothing else.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Everybody
    #[arg(long, required_unless_present = "user")]
    all: bool,
    /// This person
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    user: Option<String>,
}

pub(super) fn run(command: &PageCommand, database: &Path) -> Result<(), Failure> {
    let PageCommand::Revoke(args) = command;
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let user = args.user.as_deref();
    let revoked = store
        .revoke_links(user, crate::page::now())
        .map_err(Failure::work)?;
    match user {
        Some(user) if revoked.people == 0 => Err(no_such_user(user)),
        _ => say(&revoked.to_string()),
    }
}

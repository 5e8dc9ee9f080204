//! `backup`: copies of the notifier's database and of the journal, while both programs work.

use std::path::{Path, PathBuf};

use clap::Args;
use ringtap_journal::{BackupError, Copy, JOURNAL};

use super::{Failure, say};
use crate::store::DATABASE;

/// Copy the notifier's database, and the journal if asked for, while both programs work
///
/// A copy is of one moment, readable by its owner alone, checked (PRAGMA integrity_check), and has its name only once it is
/// whole. Nothing is overwritten. Taken together, the two can be restored together: no call is passed over, and who was
/// mailed after the backup may be mailed again, under the same Message-ID.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier backup /backup/notifier-$(date +%F).db --journal-copy /backup/journal-$(date +%F).db")]
pub(super) struct BackupArgs {
    /// Name of the copy of the notifier's database
    file: PathBuf,
    /// Copy the journal too, to this name
    #[arg(long, value_name = "FILE")]
    journal_copy: Option<PathBuf>,
}

pub(super) fn run(args: &BackupArgs, journal: &Path, database: &Path) -> Result<(), Failure> {
    let failed = |fault: BackupError| match fault {
        BackupError::Exists { .. } => Failure::usage(fault),
        _ => Failure::work(fault),
    };
    if args.journal_copy.as_ref() == Some(&args.file) {
        return Err(Failure::usage(
            "--journal-copy: names the same file; the two copies are two files",
        ));
    }
    // The notifier's first. What is recorded between the two copies lies behind the copied cursor and will be read;
    // the other way round the cursor could be ahead of the copied journal, which would give the numbers between
    // to new calls, and those would be passed over.
    let ours = DATABASE.backup(database, &args.file).map_err(failed)?;
    let theirs = match &args.journal_copy {
        Some(name) => Some((name, JOURNAL.backup(journal, name).map_err(failed)?)),
        None => None,
    };
    // Both are whole: now they get their names.
    keep(ours, &args.file).map_err(failed)?;
    if let Some((name, copy)) = theirs
        && let Err(fault) = keep(copy, name)
    {
        return Err(failed(fault));
    }
    Ok(())
}

fn keep(copy: Copy, name: &Path) -> Result<(), BackupError> {
    let bytes = copy.keep()?;
    // What is copied stays copied, even if nobody reads this.
    let _ = say(&format!("{}: {bytes} octets", name.display()));
    Ok(())
}

//! `directory`: names for numbers that call.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ringtap_config::Config;

use super::import::{How, open, refuse_nothing, write};
use super::{Failure, say, table, warn};
use crate::directory::{self, Difference, Directory};
use crate::store::{Listing, Store};
use crate::subscriptions::Source;

#[derive(Debug, Subcommand)]
pub(super) enum DirectoryCommand {
    Import(ImportArgs),
    /// One line for each, tabs between: identity, name, department, label
    List,
    /// Write the directory as CSV to a file or, without one, to standard output
    Export {
        /// The file to write
        file: Option<PathBuf>,
    },
}

/// Take names for numbers from a CSV file: all of it or, if any line is wrong, nothing
///
/// Columns: number,name,department,label; of the last three one at least. Numbers are brought into canonical form by the
/// numbering plan, as callers' numbers are. Entries that are not in the file stay.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The CSV file, UTF-8 with a header line; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

pub(super) fn run(command: &DirectoryCommand, config: &Config, database: &Path) -> Result<(), Failure> {
    match command {
        DirectoryCommand::Import(args) => import(args, config, database),
        DirectoryCommand::List => {
            let entries = existing(database)?.into_iter();
            table(entries.map(|(identity, entry)| [identity, entry.name, entry.department, entry.label]))
        }
        DirectoryCommand::Export { file } => {
            let mut text = Vec::new();
            directory::write(&mut text, &existing(database)?).map_err(Failure::work)?;
            write(file.as_deref(), "number,name,", &text)
        }
    }
}

fn existing(database: &Path) -> Result<Directory, Failure> {
    Store::open_existing(database)
        .and_then(|store| store.directory())
        .map_err(Failure::work)
}

fn import(args: &ImportArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let (name, text) = open(&args.file)?;
    let directory = directory::read(&name, text, &config.plan).map_err(Failure::work)?;
    take_in(
        &name,
        "directory import",
        Source::File,
        &directory,
        &args.how,
        database,
    )
}

/// Takes entries in, and says what that came to.
pub(super) fn take_in(
    name: &Path,
    did: &str,
    source: Source,
    directory: &Directory,
    how: &How,
    database: &Path,
) -> Result<(), Failure> {
    refuse_nothing(name, directory.is_empty(), how, "all its entries")?;
    if how.dry_run && !database.exists() {
        return show(&directory::between(&Directory::new(), directory));
    }
    let mut store = Store::open(database).map_err(Failure::work)?;
    let differences = store
        .take_directory(&Listing {
            did,
            directory,
            source,
            replace: how.replace,
            dry_run: how.dry_run,
        })
        .map_err(Failure::work)?;
    if how.dry_run {
        return show(&differences);
    }
    let count = |word| differences.iter().filter(|one| one.words().0 == word).count();
    let mut text = format!(
        "{} entries: {} added, {} changed, {} removed",
        directory.len(),
        count("added"),
        count("changed"),
        count("removed")
    );
    let taken = differences.iter().filter(|one| one.taken_by.is_some()).count();
    if taken > 0 {
        text.push_str(&format!(
            "; {taken} came from elsewhere and are now {}: a later --replace without them removes them",
            source.owners()
        ));
    }
    say(&text)
}

fn show(differences: &[Difference]) -> Result<(), Failure> {
    table(differences.iter().map(|one| {
        let (word, text) = one.words();
        [word.to_owned(), one.identity.clone(), text]
    }))?;
    warn(&format!(
        "{} entries would be otherwise than before; nothing was written",
        differences.len()
    ));
    Ok(())
}

//! `import` and `export`: subscriptions from a file and to one, and all that is kept about one person.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use ringtap_config::Config;

use super::{Failure, no_such_user, say, table, warn, write_out};
use crate::changes::{self, Change};
use crate::store::{Import, Imported, PeopleError, Store};
use crate::subscriptions::{self, BadFile, Fault, Source, Subscription};

/// Take subscriptions from a CSV file: all of it or, if any line is wrong, nothing
///
/// Columns: user,name,email,locale,timezone,subscribed,account,label,aliases. One line per account;
/// lines of the same user must agree about the person. People who are not in the file stay. What people have chosen themselves
/// (language, no mails) stays as well. A user whose name and email are both new is another person: what the one before missed, chose and was still to be told goes, and --dry-run says so; `user change` first
/// if it is the same person.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The CSV file, UTF-8 with a header line; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    pub(super) how: How,
}

/// How anything is imported.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Remove what an earlier import from the same source brought and this one does not; what came from elsewhere or by hand stays. What an import names that came from elsewhere is its own from then on, and is told
    #[arg(long)]
    pub(super) replace: bool,
    /// Show what would be otherwise, and write nothing: one line for each value, tabs between
    #[arg(long)]
    pub(super) dry_run: bool,
    /// With --replace, take even an import of nothing, which removes all
    #[arg(long, requires = "replace")]
    pub(super) allow_empty: bool,
}

/// Write all subscriptions as CSV, or all that is kept about one person, to a file or, without one, to standard output
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write
    file: Option<PathBuf>,
    /// All that is kept about this person, as JSON: subscription, accounts, own choices, switches, missed calls, messages, changes
    #[arg(long, value_name = "KEY")]
    user: Option<String>,
}

pub(super) fn import(args: &ImportArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let (name, text) = open(&args.file)?;
    let people = subscriptions::read(&name, text, &config.plan).map_err(Failure::work)?;
    take_in(
        &Arrival {
            name: &name,
            did: "import",
            source: Source::File,
            people: &people,
            places: &[],
        },
        &args.how,
        database,
    )
}

/// The file, or standard input for `-`, and what faults call it.
pub(super) fn open(file: &Path) -> Result<(PathBuf, Box<dyn Read>), Failure> {
    let unreadable = |fault| Failure::work(format!("{}: {fault}", file.display()));
    if file == Path::new("-") {
        return Ok((PathBuf::from("standard input"), Box::new(io::stdin().lock())));
    }
    if file.is_dir() {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a directory",
        )));
    }
    let text = File::open(file).map_err(unreadable)?;
    Ok((file.to_owned(), Box::new(text)))
}

/// People who have come from somewhere.
pub(super) struct Arrival<'a> {
    /// What faults call where they came from.
    pub(super) name: &'a Path,
    /// What the audit log calls it.
    pub(super) did: &'a str,
    pub(super) source: Source,
    pub(super) people: &'a [Subscription],
    /// What has no lines: where each line's account came from.
    pub(super) places: &'a [String],
}

/// Takes them in, and says what that came to.
pub(super) fn take_in(arrival: &Arrival<'_>, how: &How, database: &Path) -> Result<(), Failure> {
    let Arrival {
        name,
        did,
        source,
        people,
        places,
    } = *arrival;
    refuse_nothing(name, people.is_empty(), how, "all its people")?;
    if how.dry_run && !database.exists() {
        // What would be made is not made to find out.
        let mut added = people.to_vec();
        added.sort_by(|a, b| a.user.cmp(&b.user));
        return show(&changes::between(&[], &added));
    }
    let mut store = Store::open(database).map_err(Failure::work)?;
    let imported = store
        .take(&Import {
            did,
            people,
            replace: how.replace.then_some(source),
            dry_run: how.dry_run,
        })
        .map_err(|fault| match fault {
            PeopleError::Conflict(fault) => Failure::work(BadFile {
                path: name.to_owned(),
                faults: vec![placed(fault, places)],
            }),
            fault => Failure::work(fault),
        })?;
    if how.dry_run {
        return show(&imported.changes);
    }
    let Imported {
        added,
        replaced,
        removed,
        kept,
        accounts,
        opted_out,
        others,
        changes,
    } = imported;
    let mut text = format!(
        "{added} people added, {replaced} replaced, {removed} removed; {accounts} account lines; {} people are otherwise than before",
        changes.len()
    );
    if opted_out > 0 {
        text.push_str(&format!(
            "; {opted_out} of those added had opted out before and get no messages"
        ));
    }
    if others > 0 {
        text.push_str(&format!(
            "; {others} keys are another person's now, by name and address: what those before missed, chose and were still to be told is gone"
        ));
    }
    let taken = changes.iter().filter(|change| change.names("source")).count();
    if taken > 0 {
        text.push_str(&format!(
            "; {taken} came from elsewhere and are now {}: a later --replace without them removes them",
            source.owners()
        ));
    }
    if kept > 0 {
        text.push_str(&format!(
            "; {kept} stay who are not in it, for they did not come from there (`user list` shows from where)"
        ));
    }
    say(&text)
}

/// Says where something is wrong in what has no lines.
pub(super) fn placed(fault: Fault, places: &[String]) -> Fault {
    let at = usize::try_from(fault.line.saturating_sub(1)).unwrap_or(usize::MAX);
    match places.get(at) {
        Some(place) => Fault {
            line: 0,
            what: format!("{place}: {}", fault.what),
        },
        None => fault,
    }
}

/// A file of nothing is more often a slip than meant.
pub(super) fn refuse_nothing(name: &Path, is_empty: bool, how: &How, all: &str) -> Result<(), Failure> {
    if is_empty && how.replace && !how.allow_empty {
        return Err(Failure::work(format!(
            "{}: there is nothing in it, and --replace would remove {all}; nothing was imported. If that is meant, add --allow-empty",
            name.display()
        )));
    }
    Ok(())
}

/// One line for each value that is otherwise: `added`, `changed` or `removed`, the person, what.
pub(super) fn show(changes: &[Change]) -> Result<(), Failure> {
    table(changes.iter().flat_map(|change| {
        let lines = change.lines().into_iter();
        lines.map(|line| [change.word().to_owned(), change.user.clone(), line])
    }))?;
    warn(&format!(
        "{} people would be otherwise than before; nothing was written",
        changes.len()
    ));
    Ok(())
}

pub(super) fn export(args: &ExportArgs, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    if let Some(user) = &args.user {
        let all = store.all_about(user).map_err(Failure::work)?;
        let all = all.ok_or_else(|| no_such_user(user))?;
        let text = format!("{all:#}\n");
        return write(args.file.as_deref(), "{", text.as_bytes());
    }
    let people = store.people().map_err(Failure::work)?;
    let mut text = Vec::new();
    subscriptions::write(&mut text, &people).map_err(Failure::work)?;
    write(args.file.as_deref(), "user,name,", &text)
}

/// Writes to a file that is not there, or holds what begins like this; without a file to standard output.
pub(super) fn write(file: Option<&Path>, head: &str, text: &[u8]) -> Result<(), Failure> {
    let Some(path) = file else {
        return write_out(text);
    };
    if holds_something_else(path, head.as_bytes()) {
        return Err(Failure::usage(format!(
            "{}: there is a file with other content: name another, or remove it",
            path.display()
        )));
    }
    // Names, addresses and numbers: for nobody else's eyes.
    let mode = 0o600;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            // One that was there keeps the mode that it had.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text)
        })
        .map_err(|fault| Failure::work(format!("{}: {fault}", path.display())))
}

/// Whether a file is there that no such command has written: a database, a journal, a configuration.
fn holds_something_else(path: &Path, head: &[u8]) -> bool {
    let there = std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > 0);
    let mut first = vec![0; head.len()];
    there && !File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok() && first == head)
}

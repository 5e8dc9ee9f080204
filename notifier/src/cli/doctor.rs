//! `doctor`: whether the notifier would work as configured, and how to mend what would keep it from that.
//!
//! Looks only: nothing is made, brought up to date or sent, and a notifier that works meanwhile is not disturbed.

mod page;

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use ringtap_config::{Config, SmtpConfig};
use ringtap_journal::schema::SchemaError;
use ringtap_journal::{Examined, JOURNAL, Reader};
use ringtap_record::Time;
use rustix::fs::{Access, access, statvfs};

use super::{Failure, table};
use crate::mailer::MailRoute;
use crate::people::{address, timezone};
use crate::render::Renderer;
use crate::store::{Claim, DATABASE, Store};
use crate::subscriptions::Subscription;
use crate::webhook::Webhook;

/// A log beside a database that is not written into it for so long: somebody holds it.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// Unused room in a file that is worth a word, if it is also half of the file.
const FREE_BYTES_MAX: u64 = 256 << 20;
/// Room on a file system below which writing is about to fail, and below which that is near.
const ROOM_BYTES: (u64, u64) = (16 << 20, 512 << 20);
/// A mail that waits for so long is no hiccup of the server.
const OVERDUE_MS: i64 = 3_600_000;
/// Longest wait for the mail server.
const SERVER: Duration = Duration::from_secs(10);
/// People named in one finding.
const NAMED: usize = 5;

/// Check configuration, files, subscribers and mail server, and say how to mend what is wrong
///
/// One line for each check, tabs between: ok, warn or FAIL, what was found, how to mend it. Exits with 1 if anything
/// says FAIL: mails would not leave. Run it as the user that the service runs as. Reads both files to their end.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not ask the mail server and the webhook's endpoint whether they are there
    #[arg(long)]
    no_network: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What the checks have found so far.
#[derive(Debug, Default)]
struct Findings(Vec<(Level, String, String)>);

impl Findings {
    fn ok(&mut self, what: impl Display) {
        self.0.push((Level::Ok, what.to_string(), String::new()));
    }

    fn warn(&mut self, what: impl Display, mend: impl Display) {
        self.0.push((Level::Warn, what.to_string(), mend.to_string()));
    }

    fn fail(&mut self, what: impl Display, mend: impl Display) {
        self.0.push((Level::Fail, what.to_string(), mend.to_string()));
    }
}

pub(super) fn run(
    args: &DoctorArgs,
    config: &Config,
    journal: &Path,
    database: &Path,
) -> Result<(), Failure> {
    let mut found = Findings::default();
    found.ok("configuration: can be used");
    our_file(database, &mut found);
    let store = Store::open_as_it_is(database).ok();
    their_file(journal, store.as_ref(), &mut found);
    if let Some(store) = &store {
        people(store, &mut found);
        outbox(store, database, &mut found);
    }
    page::look(config, database, &mut found);
    let route = way_out(config, &mut found);
    if !args.no_network
        && let Some(route) = &route
    {
        server(&config.notifier.smtp, route, &mut found);
    }
    if !args.no_network
        && let Ok(webhook) = Webhook::new(&config.notifier.webhook)
    {
        endpoint(&webhook, &mut found);
    }
    let failed = found.0.iter().filter(|(level, ..)| *level == Level::Fail).count();
    table(found.0.into_iter().map(|(level, what, mend)| {
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        [level.to_owned(), one_line(&what), one_line(&mend)]
    }))?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::work(format!("{failed} of the checks failed"))),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The notifier's own database.
fn our_file(path: &Path, found: &mut Findings) {
    let name = format!("notifier database {}", path.display());
    match DATABASE.examine(path) {
        Ok(examined) => {
            content(&name, path, &examined, "`ringtap-notifier run` or `once`", found);
        }
        Err(fault @ (SchemaError::Missing { .. } | SchemaError::Empty { .. })) => {
            found.fail(
                fault,
                "`ringtap-notifier import FILE.csv` makes it; or name another by notifier.database",
            );
            return room(path, found);
        }
        Err(fault) => {
            found.fail(
                fault,
                "see docs/operations.md, \"Back up and restore\", if there is no such file of yours any more",
            );
        }
    }
    if let Ok(there) = fs::metadata(path) {
        let mode = there.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            found.ok(format!("{name}: nobody else may read it"));
        } else {
            // It is refused so by whoever opens it.
            found.fail(
                format!("{name}: others may read who called whom (mode {mode:03o})"),
                format!("chmod 600 {}", path.display()),
            );
        }
        if rustix::process::geteuid().is_root() && there.uid() != 0 {
            found.warn(
                "this check runs as root, who may do everything",
                format!(
                    "run it as the user with the number {}, whose the database is",
                    there.uid()
                ),
            );
        }
    }
    let folder = folder(path);
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err()
        || access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err()
    {
        found.fail(
            format!("{name}: this user may not write it, or make files beside it"),
            format!(
                "give the file and {} to the user that the service runs as",
                folder.display()
            ),
        );
    } else {
        found.ok(format!("{name}: can be written, and its folder too"));
    }
    room(path, found);
}

/// The engine's journal, which is only read, and how far it has been.
fn their_file(path: &Path, store: Option<&Store>, found: &mut Findings) {
    let name = format!("journal {}", path.display());
    match JOURNAL.examine(path) {
        Ok(examined) => content(&name, path, &examined, "the engine", found),
        Err(fault @ (SchemaError::Missing { .. } | SchemaError::Empty { .. })) => {
            return found.warn(
                fault,
                "start the engine, which makes it; or name another by journal.path",
            );
        }
        Err(fault) => {
            return found.fail(
                fault,
                "see docs/operations.md, \"Back up and restore\", if it is damaged",
            );
        }
    }
    room(path, found);
    let Some(store) = store else { return };
    let progress = Reader::open(path).and_then(|reader| Ok((reader.last()?, reader.id().to_owned())));
    // A version that is too old has been told above.
    let Ok((last, id)) = progress else { return };
    match store.cursor(&id) {
        Ok(cursor) if cursor > last => found.warn(
            format!("{name}: ends at record {last}, but {cursor} were read: it is an earlier copy"),
            "nothing, if it was restored: start the notifier before the engine writes on, it will step back by itself",
        ),
        Ok(cursor) => found.ok(format!("{name}: read up to record {cursor} of {last}")),
        Err(fault) => found.fail(fault, "see above"),
    }
}

/// What a look through a whole file has shown.
fn content(name: &str, path: &Path, examined: &Examined, writer: &str, found: &mut Findings) {
    let (version, known) = examined.version;
    if !examined.faults.is_empty() {
        found.fail(
            format!("{name}: is damaged: {}", examined.faults.join("; ")),
            "stop both services and restore the last backup (docs/operations.md)",
        );
    } else if !examined.strays.is_empty() {
        found.fail(
            format!(
                "{name}: somebody has changed its tables: {}",
                examined.strays.join("; ")
            ),
            "undo that, or restore the last backup (docs/operations.md)",
        );
    } else if version < known {
        found.warn(
            format!("{name}: sound, of schema version {version}, this program works with {known}"),
            format!("start {writer}, which brings it up to date; take a backup first"),
        );
    } else {
        found.ok(format!(
            "{name}: sound, schema version {version}, {}",
            size(examined.bytes)
        ));
    }
    if examined.wal_bytes > WAL_BYTES_MAX {
        found.warn(
            format!(
                "{name}: {} lie in its log ({}-wal)",
                size(examined.wal_bytes),
                path.display()
            ),
            format!(
                "some program reads without end: `fuser {}` names all that have it open",
                path.display()
            ),
        );
    } else {
        found.ok(format!("{name}: {} in its log", size(examined.wal_bytes)));
    }
    if examined.free_bytes > FREE_BYTES_MAX && examined.free_bytes > examined.bytes / 2 {
        found.warn(
            format!("{name}: {} of it are not used", size(examined.free_bytes)),
            format!(
                "with both services stopped: sqlite3 {} 'PRAGMA auto_vacuum = incremental; VACUUM'",
                path.display()
            ),
        );
    }
}

/// Room on the file system of `path`.
fn room(path: &Path, found: &mut Findings) {
    let folder = folder(path);
    let (least, little) = ROOM_BYTES;
    match statvfs(folder) {
        Ok(there) => {
            let bytes = there.f_bavail.saturating_mul(there.f_frsize);
            let what = format!("{}: {} free", folder.display(), size(bytes));
            match bytes {
                _ if bytes < least => found.fail(what, "make room on that file system"),
                _ if bytes < little => found.warn(what, "make room on that file system soon"),
                _ => found.ok(what),
            }
        }
        Err(fault) => {
            let fault = io::Error::from(fault);
            found.fail(
                format!("{}: {fault}", folder.display()),
                "make that folder, for the user that the service runs as",
            );
        }
    }
}

/// Subscribers whom no mail would reach.
fn people(store: &Store, found: &mut Findings) {
    let everybody = match store.people() {
        Ok(everybody) => everybody,
        Err(fault) => return found.fail(fault, "restore the last backup (docs/operations.md)"),
    };
    let wanting = everybody.iter().filter(|person| person.subscribed).count();
    if wanting == 0 {
        found.warn(
            format!("{} people, none of them subscribed", everybody.len()),
            "`ringtap-notifier import FILE.csv`",
        );
    } else {
        found.ok(format!(
            "{} people, {wanting} of them subscribed",
            everybody.len()
        ));
    }
    let mut all_have = |what: &str, lack: &str, mend: &str, is_wrong: &dyn Fn(&Subscription) -> bool| {
        let wrong: Vec<&str> = everybody
            .iter()
            .filter(|person| person.subscribed && is_wrong(person))
            .map(|person| person.user.as_str())
            .collect();
        if wrong.is_empty() {
            return found.ok(format!("every subscriber has {what}"));
        }
        let named = wrong.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if wrong.len() > NAMED { ", …" } else { "" };
        found.warn(
            format!("{} subscribers have {lack}: {named}{more}", wrong.len()),
            mend,
        );
    };
    all_have(
        "an account",
        "no account",
        "nobody can call them: import them with an account, or as not subscribed",
        &|person| person.accounts.is_empty(),
    );
    all_have(
        "a known time zone",
        "an unknown time zone",
        "their mails are dropped: import them with a zone such as Asia/Shanghai",
        &|person| timezone(&person.timezone).is_err(),
    );
    all_have(
        "a usable mail address",
        "no usable mail address",
        "their mails are dropped: import them with another",
        &|person| address(&person.email).is_err(),
    );
}

/// What waits, what was given up, and whether anybody sends.
fn outbox(store: &Store, database: &Path, found: &mut Findings) {
    match Claim::is_held(database) {
        Ok(true) => found.ok("a notifier works on this database"),
        Ok(false) => found.ok("no notifier works on this database at present"),
        Err(fault) => found.fail(fault, "that file may be removed while no notifier works"),
    }
    let backlog = match store.backlog(now()) {
        Ok(backlog) => backlog,
        Err(fault) => return found.fail(fault, "restore the last backup (docs/operations.md)"),
    };
    let waits = format!("{} mails wait", backlog.pending);
    if backlog.overdue_ms > OVERDUE_MS {
        found.warn(
            format!(
                "{waits}, the oldest that is due for {} minutes",
                backlog.overdue_ms / 60_000
            ),
            "`ringtap-notifier outbox list` says why; start the notifier, if none works",
        );
    } else {
        found.ok(waits);
    }
    if backlog.dead > 0 {
        found.warn(
            format!("{} mails were given up", backlog.dead),
            "`ringtap-notifier outbox list` says why; retry or drop them",
        );
    } else {
        found.ok("no mail was given up");
    }
}

/// Sender, server's name, user and password, as far as they can be judged without the network; the way to the server if there is one.
fn way_out(config: &Config, found: &mut Findings) -> Option<MailRoute> {
    let smtp = &config.notifier.smtp;
    let renderer = match Renderer::new(
        config.plan.clone(),
        &smtp.from,
        config.notifier.settings_url.as_deref(),
    ) {
        Ok(renderer) => {
            found.ok(format!("mails come from {}", smtp.from));
            templates(config, renderer, found)
        }
        Err(fault) => {
            found.fail(fault, "change notifier.smtp.from");
            return None;
        }
    };
    let route = match MailRoute::new(smtp, Arc::new(renderer)) {
        Ok(route) => route,
        Err(fault) => {
            found.fail(fault, mend_of_route(smtp));
            return None;
        }
    };
    match &smtp.credentials_file {
        None => found.ok("mails are handed over without a user's name"),
        Some(file) if smtp.url.starts_with("smtp://") => found.warn(
            format!("user and password of {} travel unencrypted", file.display()),
            "smtps:// or smtp+starttls:// in notifier.smtp.url",
        ),
        Some(file) => found.ok(format!(
            "user and password in {}, which nobody else may read",
            file.display()
        )),
    }
    if config.notifier.webhook.url.is_some() {
        match Webhook::new(&config.notifier.webhook) {
            Ok(_) => found.ok("the webhook can be posted to, as far as files go"),
            Err(fault) => found.fail(fault, "as it says"),
        }
    }
    Some(route)
}

/// What helps where mails cannot be handed over: mostly the file with user and password.
fn mend_of_route(smtp: &SmtpConfig) -> String {
    smtp.credentials_file.as_deref().map_or_else(
        || "change [notifier.smtp]".to_owned(),
        |file| {
            let file = file.display();
            format!(
                "`install -m 600 -o ringtap /dev/null {file}`, for the user that runs the notifier, and two lines in it: user = \"…\" and password = \"…\""
            )
        },
    )
}

/// The operator's own templates, each tried on every mail that there can be.
fn templates(config: &Config, mut renderer: Renderer, found: &mut Findings) -> Renderer {
    let Some(folder) = &config.notifier.templates else {
        return renderer;
    };
    let faults = renderer.adopt(folder);
    if faults.is_empty() {
        found.ok(format!(
            "{}: every mail can be made with its templates",
            folder.display()
        ));
    }
    for fault in faults {
        found.warn(
            format!("{fault}; the built-in one is used"),
            "mend it, and look at it by `ringtap-notifier preview --out DIR`",
        );
    }
    renderer
}

/// Greets the mail server as a mail would, TLS, user and password included; no mail is handed over.
fn server(smtp: &SmtpConfig, route: &MailRoute, found: &mut Findings) {
    let name = format!("mail server {}", smtp.url);
    match route.greet(SERVER) {
        Ok(()) => found.ok(format!("{name}: answers")),
        Err(fault) => found.fail(
            format!("{name}: {fault}"),
            "start it, or change notifier.smtp.url; mails wait meanwhile",
        ),
    }
}

/// Looks whether there is anybody to post to; nothing is posted, for that would be a notification.
fn endpoint(webhook: &Webhook, found: &mut Findings) {
    match webhook.knock(SERVER) {
        Ok(()) => found.ok("webhook: something listens at its address"),
        Err(fault) => found.fail(
            format!("webhook: {fault}"),
            "start it, or change notifier.webhook.url; notifications wait meanwhile",
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} octets"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

//! `outbox`: queued messages, looked at and decided upon.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use ringtap_identity::mask;
use ringtap_record::Time;

use super::{Failure, say, table};
use crate::notice::Notice;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum OutboxCommand {
    /// Messages that wait or were given up, newest first
    ///
    /// One line for each, tabs between: number, state, channel, user, call, kind, attempts, when it is tried next, what the
    /// server said last.
    List {
        /// Sent and dropped messages too
        #[arg(long)]
        all: bool,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// All that is known of one message
    Show {
        /// Its number, as `list` shows it
        id: i64,
        /// Callers' numbers whole
        #[arg(long)]
        numbers: bool,
    },
    /// Try messages again now, also such as were given up
    ///
    /// They count as queued just now: they are tried for `giveup_h` anew. A running notifier sends them at once, unless the person's quiet hours
    /// hold, or the server is known to be gone.
    #[command(arg_required_else_help = true)]
    Retry {
        /// Their numbers
        ids: Vec<i64>,
        /// All that were given up
        #[arg(long, conflicts_with = "ids")]
        dead: bool,
    },
    /// Never send messages that wait or were given up
    #[command(arg_required_else_help = true)]
    Drop {
        /// Their numbers
        ids: Vec<i64>,
        /// All that were given up
        #[arg(long, conflicts_with = "ids")]
        dead: bool,
    },
}

pub(super) fn run(command: &OutboxCommand, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    match command {
        OutboxCommand::List { all, limit } => list(&store, *all, *limit),
        OutboxCommand::Show { id, numbers } => show(&store, *id, *numbers),
        OutboxCommand::Retry { ids, dead } => {
            each(&mut store, ids, *dead, "put back into the queue", |store, id| {
                store.retry(id, now())
            })
        }
        OutboxCommand::Drop { ids, dead } => each(&mut store, ids, *dead, "dropped", |store, id| {
            store.drop_message(id, now())
        }),
    }
}

fn list(store: &Store, all: bool, limit: u32) -> Result<(), Failure> {
    let rows = store.outbox(all, limit).map_err(Failure::work)?;
    table(rows.into_iter().map(|row| {
        let next = if row.state == "pending" {
            format!("next {}", row.next_attempt)
        } else {
            String::new()
        };
        [
            row.id.to_string(),
            row.state,
            row.channel,
            row.user,
            row.call.chars().take(12).collect(),
            row.kind,
            format!("{} attempts", row.attempts),
            next,
            row.last_error.unwrap_or_default(),
        ]
    }))
}

fn show(store: &Store, id: i64, numbers: bool) -> Result<(), Failure> {
    let Some((row, calls)) = store.outbox_row(id).map_err(Failure::work)? else {
        return Err(no_such(id));
    };
    let mut lines = vec![
        ["number".to_owned(), row.id.to_string()],
        ["user".to_owned(), row.user],
        ["channel".to_owned(), row.channel],
        ["kind".to_owned(), row.kind],
        ["state".to_owned(), row.state.clone()],
        ["attempts".to_owned(), row.attempts.to_string()],
        ["queued".to_owned(), row.created.to_string()],
    ];
    if row.state == "pending" {
        lines.push(["next".to_owned(), row.next_attempt.to_string()]);
    }
    if let Some(done) = row.done {
        lines.push(["done".to_owned(), done.to_string()]);
    }
    if let Some(error) = row.last_error {
        lines.push(["said".to_owned(), error]);
    }
    if calls.is_empty() {
        lines.push([
            "call".to_owned(),
            format!("{}: what it told is not kept", row.call),
        ]);
    }
    lines.extend(calls.iter().map(|call| ["call".to_owned(), line(call, numbers)]));
    table(lines.into_iter())
}

fn line(notice: &Notice, numbers: bool) -> String {
    let caller = match notice.caller.identity.as_deref() {
        Some(identity) if numbers => identity.to_owned(),
        Some(identity) => mask(identity),
        None if notice.caller.withheld => "withheld".to_owned(),
        None => "unavailable".to_owned(),
    };
    let (call, started, reason) = (&notice.call, notice.started, notice.reason);
    format!(
        "{call} {started} {caller} -> {} {reason}",
        notice.accounts.join(",")
    )
}

/// Does the same to each of the messages that are named, or to all dead letters.
fn each(
    store: &mut Store,
    ids: &[i64],
    dead: bool,
    done: &str,
    act: impl Fn(&mut Store, i64) -> Result<bool, crate::store::StoreError>,
) -> Result<(), Failure> {
    let ids = if dead {
        store.dead().map_err(Failure::work)?
    } else {
        ids.to_vec()
    };
    let (mut count, mut untouched) = (0_usize, Vec::new());
    for id in ids {
        if act(store, id).map_err(Failure::work)? {
            count += 1;
        } else {
            untouched.push(id.to_string());
        }
    }
    say(&format!("{count} messages {done}"))?;
    if untouched.is_empty() {
        return Ok(());
    }
    Err(Failure::work(format!(
        "{}: not there, sent or dropped already, or what they told is forgotten; `ringtap-notifier outbox list --all` shows all",
        untouched.join(", ")
    )))
}

fn no_such(id: i64) -> Failure {
    Failure::work(format!(
        "{id}: there is no such message; `ringtap-notifier outbox list --all` shows all"
    ))
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

//! `user`: people added, shown, changed, removed; and `forget`.

use std::path::Path;

use clap::{ArgGroup, Args};
use ringtap_config::Config;

use super::{Failure, facts, no_such_user, say, table};
use crate::people::Locale;
use crate::store::{PeopleError, Revision, Store};
use crate::subscriptions::{Holding, Source, Subscription, checked};

/// All that is known of one person: the operator's values, the person's own choices, accounts, switches, what waits
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The person's key
    user: String,
}

/// Add one person
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier user add anna --name 'Anna Berg' --email anna@office.test --account +862583091005 --label office\n  \
    ringtap-notifier user add li --name 李 --email li@office.test --locale zh-CN --timezone Asia/Shanghai --account 1007")]
pub(super) struct AddArgs {
    /// The operator's name for the person: one word
    user: String,
    /// Name for the salutation
    #[arg(long)]
    name: String,
    /// Where mails go
    #[arg(long)]
    email: String,
    /// zh-CN or en
    #[arg(long, default_value_t = Locale::En)]
    locale: Locale,
    /// A name of the time zone database
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// yes or no
    #[arg(long, default_value = "yes", value_parser = yes_or_no, value_name = "YES|NO")]
    subscribed: bool,
    /// The person's first account: number or SIP address; `account add` adds more
    #[arg(long, value_name = "NUMBER")]
    account: String,
    /// The person's word for it
    #[arg(long, default_value = "")]
    label: String,
    /// Another number or address of that account; may stand several times
    #[arg(long, value_name = "NUMBER")]
    alias: Vec<String>,
}

/// Change what the operator says of one person; what the person has chosen stays above it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier user change anna --email anna.berg@office.test\n  \
    ringtap-notifier user change anna --subscribed no")]
#[command(group = ArgGroup::new("value").required(true).multiple(true))]
pub(super) struct ChangeArgs {
    /// The person's key
    user: String,
    /// Name for the salutation
    #[arg(long, group = "value")]
    name: Option<String>,
    /// Where mails go
    #[arg(long, group = "value")]
    email: Option<String>,
    /// zh-CN or en
    #[arg(long, group = "value")]
    locale: Option<Locale>,
    /// A name of the time zone database
    #[arg(long, group = "value")]
    timezone: Option<String>,
    /// yes or no
    #[arg(long, group = "value", value_parser = yes_or_no, value_name = "YES|NO")]
    subscribed: Option<bool>,
    /// End the person's own wish for no messages, also the one kept from before a removal: for an address that is another's now
    #[arg(long, group = "value")]
    lift_opt_out: bool,
}

/// Remove one person, with what waits for them; accounts that nobody else owns go too
///
/// What was written down about the person meanwhile stays in the audit log, and freed room of the file keeps its octets until it is used again: see `forget`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The person's key
    user: String,
}

/// Remove one person and all that is kept about them in the notifier's database, so that nothing of it is left in the file
///
/// The audit log keeps that somebody was forgotten, not who. Calls of the person stay in the engine's journal for `journal.retention_days`, and
/// their number in what others are told of calls from it for as long; see docs/operations.md.
#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// The person's key
    #[arg(long, value_name = "KEY")]
    user: String,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("give yes or no".to_owned()),
    }
}

pub(super) fn list(database: &Path) -> Result<(), Failure> {
    let people = Store::open_existing(database)
        .and_then(|store| store.people())
        .map_err(Failure::work)?;
    table(people.iter().map(|person| {
        [
            person.user.clone(),
            person.name.clone(),
            person.email.clone(),
            person.locale.to_string(),
            person.timezone.clone(),
            if person.subscribed {
                "subscribed"
            } else {
                "not subscribed"
            }
            .to_owned(),
            format!("{} accounts", person.accounts.len()),
            person.source.as_str().to_owned(),
        ]
    }))
}

pub(super) fn show(args: &ShowArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let store = Store::open_existing(database).map_err(Failure::work)?;
    let people = store.people().map_err(Failure::work)?;
    let found = people.into_iter().find(|person| person.user == args.user);
    let own = store.own_word(&args.user).map_err(Failure::work)?;
    let (Some(person), Some(own)) = (found, own) else {
        return Err(no_such_user(&args.user));
    };
    let over = |own: Option<String>, operators: String| match own {
        Some(own) => format!("{own} (own; the operator's is {operators})"),
        None => operators,
    };
    let subscribed = if person.subscribed { "yes" } else { "no" };
    let opted_out = own.opted_out.map(|at| format!("no: opted out {at}"));
    let mut lines = vec![
        ["user".to_owned(), person.user.clone()],
        ["name".to_owned(), person.name],
        ["email".to_owned(), person.email],
        ["locale".to_owned(), over(own.locale, person.locale.to_string())],
        ["timezone".to_owned(), person.timezone],
        ["subscribed".to_owned(), over(opted_out, subscribed.to_owned())],
        ["source".to_owned(), person.source.as_str().to_owned()],
    ];
    for account in &person.accounts {
        let mut text = account.identity.clone();
        if !account.label.is_empty() {
            text.push_str(&format!(", {}", account.label));
        }
        for (alias, _) in &account.aliases {
            text.push_str(&format!(", also {alias}"));
        }
        lines.push(["account".to_owned(), text]);
    }
    let wishes = store.wishes(&args.user, ["channels", "quiet_hours"]);
    let [channels, quiet] = wishes.map_err(Failure::work)?.unwrap_or_default();
    let quiet_hours = config.notifier.delivery.quiet();
    let operators = quiet_hours.map_or_else(|| "off".to_owned(), |hours| hours.to_string());
    lines.push(["channels".to_owned(), over(channels, "mail".to_owned())]);
    lines.push(["quiet_hours".to_owned(), over(quiet, operators)]);
    lines.push(["muted".to_owned(), own.muted.unwrap_or_default()]);
    let switches = store.switches(&args.user).map_err(Failure::work)?;
    let (switches, _) = switches.unwrap_or_default();
    for switch in switches.effective(&config.policy) {
        if switch.is_own {
            lines.push(["policy".to_owned(), format!("{}={}", switch.key, switch.value)]);
        }
    }
    lines.push(["waiting".to_owned(), own.pending.to_string()]);
    lines.push(["given_up".to_owned(), own.dead.to_string()]);
    facts(lines)
}

pub(super) fn add(args: &AddArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let person = Subscription {
        line: 1,
        user: args.user.clone(),
        name: args.name.clone(),
        email: args.email.clone(),
        locale: args.locale,
        timezone: args.timezone.clone(),
        subscribed: args.subscribed,
        source: Source::Hand,
        accounts: vec![Holding {
            line: 1,
            identity: args.account.clone(),
            label: args.label.clone(),
            aliases: args
                .alias
                .iter()
                .map(|alias| (alias.clone(), String::new()))
                .collect(),
        }],
    };
    // Looked at before there is a database for it.
    checked_or_refused(std::slice::from_ref(&person), config).map_err(Failure::usage)?;
    let mut store = Store::open(database).map_err(Failure::work)?;
    let mut shared = Vec::new();
    revise(&mut store, "user add", |people| {
        if people.iter().any(|known| known.user == person.user) {
            return Err(format!(
                "{}: there is such a user already; `user change` and `account add` change who is there",
                person.user
            ));
        }
        let put = checked_or_refused(&[with_shared_aliases(person, people, config)], config)?;
        let accounts = put.iter().flat_map(|person| &person.accounts);
        let accounts: Vec<String> = accounts.map(|held| held.identity.clone()).collect();
        shared = shared_with(people, &accounts);
        Ok(Revision {
            put,
            ..Revision::default()
        })
    })?;
    warn_of_shared(&shared);
    Ok(())
}

pub(super) fn change(args: &ChangeArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    known(&store, &args.user)?;
    let mut source = Source::Hand;
    revise(&mut store, "user change", |people| {
        let mut person = person_of(people, &args.user)?.clone();
        source = person.source;
        if let Some(name) = &args.name {
            person.name.clone_from(name);
        }
        if let Some(email) = &args.email {
            person.email.clone_from(email);
        }
        if let Some(zone) = &args.timezone {
            person.timezone.clone_from(zone);
        }
        person.locale = args.locale.unwrap_or(person.locale);
        person.subscribed = args.subscribed.unwrap_or(person.subscribed);
        let lifted = args.lift_opt_out.then(|| args.user.clone());
        Ok(Revision {
            put: checked_or_refused(&[person], config)?,
            lift_opt_out: lifted.into_iter().collect(),
            ..Revision::default()
        })
    })?;
    warn_of(source, &args.user);
    Ok(())
}

pub(super) fn remove(args: &RemoveArgs, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    known(&store, &args.user)?;
    let mut source = Source::Hand;
    let mut nobodys = Vec::new();
    revise(&mut store, "user remove", |people| {
        let person = person_of(people, &args.user)?;
        source = person.source;
        let others = people.iter().filter(|other| other.user != person.user);
        let theirs: Vec<&str> = others
            .flat_map(|other| &other.accounts)
            .map(|held| held.identity.as_str())
            .collect();
        let own = person.accounts.iter().map(|held| held.identity.clone());
        nobodys = own
            .filter(|account| !theirs.contains(&account.as_str()))
            .collect();
        Ok(Revision {
            remove: vec![args.user.clone()],
            ..Revision::default()
        })
    })?;
    for account in &nobodys {
        super::warn(&format!(
            "{account} is nobody's any more: its calls are told to nobody"
        ));
    }
    warn_of(source, &args.user);
    Ok(())
}

pub(super) fn forget(args: &ForgetArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let gone = store.forget(&args.user).map_err(Failure::work)?;
    let gone = gone.ok_or_else(|| no_such_user(&args.user))?;
    let again = "nothing of the person is in it that could be asked for, but octets may be left in the file and its -wal; \
                 once no other program reads it, `ringtap-notifier forget` of anybody, or VACUUM, clears them";
    match store.wipe() {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::work(format!(
                "notifier database {}: is being read: {again}",
                database.display()
            )));
        }
        Err(fault) => return Err(Failure::work(format!("{fault}: {again}"))),
    }
    let counts: Vec<String> = gone
        .iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(what, rows)| format!("{rows} of {what}"))
        .collect();
    say(&format!(
        "forgotten, with {}; what the engine recorded of the person's calls stays in the journal for {} days from then",
        counts.join(", "),
        config.journal.retention_days
    ))
}

/// Changes people, and shows who is otherwise then.
pub(super) fn revise(
    store: &mut Store,
    did: &str,
    work: impl FnOnce(&[Subscription]) -> Result<Revision, String>,
) -> Result<(), Failure> {
    let changes = store.revise(did, work).map_err(|fault| match fault {
        PeopleError::Store(fault) => Failure::work(fault),
        PeopleError::Conflict(fault) => Failure::usage(format!("{}; nothing was changed", fault.what)),
        PeopleError::Refused(why) => Failure::usage(why),
    })?;
    table(changes.iter().flat_map(|change| {
        let lines = change.lines().into_iter();
        lines.map(|line| [change.word().to_owned(), change.user.clone(), line])
    }))
}

/// The same checks as of a file.
pub(super) fn checked_or_refused(
    people: &[Subscription],
    config: &Config,
) -> Result<Vec<Subscription>, String> {
    checked(people, &config.plan).map_err(|faults| {
        let faults: Vec<_> = faults.into_iter().map(|fault| fault.what).collect();
        format!("{}; nothing was changed", faults.join("; "))
    })
}

/// Whoever gets an account that others have knows it by the names that it has.
pub(super) fn with_shared_aliases(
    mut person: Subscription,
    people: &[Subscription],
    config: &Config,
) -> Subscription {
    for held in &mut person.accounts {
        let identity = config.plan.identify_text(&held.identity);
        let identity = identity
            .as_ref()
            .map_or(held.identity.as_str(), |identity| identity.as_str());
        let theirs = people.iter().flat_map(|other| &other.accounts);
        if let Some(shared) = theirs.into_iter().find(|other| other.identity == identity) {
            for alias in &shared.aliases {
                if !held.aliases.contains(alias) {
                    held.aliases.push(alias.clone());
                }
            }
        }
    }
    person
}

pub(super) fn person_of<'a>(people: &'a [Subscription], user: &str) -> Result<&'a Subscription, String> {
    people
        .iter()
        .find(|person| person.user == user)
        .ok_or_else(|| format!("{user}: there is no such user; `ringtap-notifier user list` shows all"))
}

/// Refuses a key that is nobody's before anything else is said.
fn known(store: &Store, user: &str) -> Result<(), Failure> {
    let own = store.own_word(user).map_err(Failure::work)?;
    own.map(drop).ok_or_else(|| no_such_user(user))
}

/// Which of these accounts others have too, and who they are.
pub(super) fn shared_with(people: &[Subscription], accounts: &[String]) -> Vec<(String, Vec<String>)> {
    let owners = |account: &String| {
        let owners: Vec<String> = people
            .iter()
            .filter(|person| person.accounts.iter().any(|held| held.identity == *account))
            .map(|person| person.user.clone())
            .collect();
        (account.clone(), owners)
    };
    let all = accounts.iter().map(owners);
    all.filter(|(_, owners)| !owners.is_empty()).collect()
}

/// An account may have several owners, and mostly a number was mistaken.
pub(super) fn warn_of_shared(shared: &[(String, Vec<String>)]) {
    for (account, owners) in shared {
        super::warn(&format!(
            "{account} is {}'s too: each of them is told of its missed calls",
            owners.join("'s and ")
        ));
    }
}

/// Who is imported is imported again.
pub(super) fn warn_of(source: Source, user: &str) {
    let (from, command) = match source {
        Source::Hand => return,
        Source::File => ("a file", "import"),
        Source::Ldap => ("the LDAP server", "ldap import"),
    };
    super::warn(&format!(
        "{user} came from {from}: the next `{command}` makes the person again what is said there"
    ));
}

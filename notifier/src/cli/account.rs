//! `account`: numbers and addresses, who owns them, what else they are called.

use std::path::Path;

use clap::{ArgGroup, Args, Subcommand};
use ringtap_config::Config;

use super::person::{
    checked_or_refused, person_of, revise, shared_with, warn_of, warn_of_shared, with_shared_aliases,
};
use super::{Failure, facts, suggestions, table};
use crate::store::{Revision, Store};
use crate::subscriptions::{Holding, Subscription};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// One line for each account and owner
    List,
    /// One account: its owners, and what else it is called
    Show {
        /// The account or one of its aliases, in any form that the numbering plan understands
        account: String,
    },
    Add(AddArgs),
    Change(ChangeArgs),
    /// Take an account away from its owner; without owners it is gone
    Remove {
        /// The account, in any form that the numbering plan understands
        account: String,
        /// From whom, if it has several owners
        #[arg(long, value_name = "KEY")]
        user: Option<String>,
    },
    /// Identities that are registered together with somebody's account but stand in no subscription, and
    /// accounts of different people that are registered together
    ///
    /// One line for each, tabs between: alias or conflict, users, accounts, identities, when it was seen last,
    /// what to do. Reads what the engine has learned from REGISTER and reg-event NOTIFY (`identities.learn`).
    Suggestions,
}

/// Give a person an account; one that others have is theirs together from then on
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The person's key
    user: String,
    /// Number or SIP address, in any form that the numbering plan understands
    account: String,
    /// The person's word for it
    #[arg(long, default_value = "")]
    label: String,
    /// Another number or address of the account; may stand several times
    #[arg(long, value_name = "NUMBER")]
    alias: Vec<String>,
}

/// Change what an account is called, or whose it is
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier account change +862583091001 --label office\n  \
    ringtap-notifier account change +862583091001 --add-alias 1001 --remove-alias 1009\n  \
    ringtap-notifier account change +862583091001 --move-to anna")]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(super) struct ChangeArgs {
    /// The account, in any form that the numbering plan understands
    account: String,
    /// Whose label is meant, or from whom it moves, if it has several owners
    #[arg(long, value_name = "KEY")]
    user: Option<String>,
    /// The owner's word for it; may be empty
    #[arg(long, group = "change")]
    label: Option<String>,
    /// Another number or address of the account; may stand several times
    #[arg(long, value_name = "NUMBER", group = "change")]
    add_alias: Vec<String>,
    /// A number or address that is not the account's any more; may stand several times
    #[arg(long, value_name = "NUMBER", group = "change")]
    remove_alias: Vec<String>,
    /// The person who owns it from now on
    #[arg(long, value_name = "KEY", group = "change")]
    move_to: Option<String>,
}

pub(super) fn run(
    command: &AccountCommand,
    config: &Config,
    journal: &Path,
    database: &Path,
) -> Result<(), Failure> {
    match command {
        AccountCommand::List => list(database),
        AccountCommand::Show { account } => show(account, config, database),
        AccountCommand::Add(args) => add(args, config, database),
        AccountCommand::Change(args) => change(args, config, database),
        AccountCommand::Remove { account, user } => remove(account, user.as_deref(), config, database),
        AccountCommand::Suggestions => suggestions::list(journal, database),
    }
}

fn list(database: &Path) -> Result<(), Failure> {
    let accounts = Store::open_existing(database)
        .and_then(|store| store.accounts())
        .map_err(Failure::work)?;
    table(
        accounts
            .into_iter()
            .map(|row| [row.identity, row.user, row.label, row.aliases.join(" ")]),
    )
}

fn show(account: &str, config: &Config, database: &Path) -> Result<(), Failure> {
    let wanted = identity(account, config).map_err(Failure::usage)?;
    let store = Store::open_existing(database).map_err(Failure::work)?;
    let known = store.holders().map_err(Failure::work)?;
    let holder = known
        .get(&wanted)
        .ok_or_else(|| Failure::usage(no_such(account)))?;
    let rows = store.accounts().map_err(Failure::work)?;
    let mut lines = vec![["account".to_owned(), holder.account.clone()]];
    let mut aliases = Vec::new();
    for row in rows.into_iter().filter(|row| row.identity == holder.account) {
        let owner = match row.label.as_str() {
            "" => row.user,
            label => format!("{}, {label}", row.user),
        };
        lines.push(["owner".to_owned(), owner]);
        aliases = row.aliases;
    }
    lines.extend(aliases.into_iter().map(|alias| ["alias".to_owned(), alias]));
    facts(lines)
}

fn add(args: &AddArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let (mut source, mut shared) = (None, Vec::new());
    revise(&mut store, "account add", |people| {
        let mut person = person_of(people, &args.user)?.clone();
        source = Some(person.source);
        let wanted = identity(&args.account, config)?;
        if person.accounts.iter().any(|held| held.identity == wanted) {
            return Err(format!(
                "{} has account {wanted} already: `account change` changes its label and its names",
                args.user
            ));
        }
        shared = shared_with(people, std::slice::from_ref(&wanted));
        person.accounts.push(Holding {
            line: 0,
            identity: args.account.clone(),
            label: args.label.clone(),
            aliases: named(&args.alias),
        });
        let person = with_shared_aliases(person, people, config);
        put(vec![person], config)
    })?;
    if let Some(source) = source {
        warn_of(source, &args.user);
    }
    warn_of_shared(&shared);
    Ok(())
}

fn change(args: &ChangeArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let mut touched = Vec::new();
    revise(&mut store, "account change", |people| {
        let wanted = identity(&args.account, config)?;
        let mut concerned: Vec<Subscription> = owners(people, &wanted, &args.account)?
            .into_iter()
            .cloned()
            .collect();
        // Its names are the account's, whoever owns it.
        for held in concerned.iter_mut().flat_map(|owner| held_mut(owner, &wanted)) {
            for gone in &args.remove_alias {
                let canonical = identity(gone, config)?;
                let before = held.aliases.len();
                held.aliases
                    .retain(|(text, _)| identity(text, config).as_ref() != Ok(&canonical));
                if held.aliases.len() == before {
                    return Err(format!(
                        "{gone}: is no alias of {wanted}; `account show {wanted}` shows them"
                    ));
                }
            }
            held.aliases.extend(named(&args.add_alias));
        }
        if let Some(label) = &args.label {
            let owner = the_one(&concerned, args.user.as_deref(), &wanted)?.to_owned();
            let owner = concerned.iter_mut().find(|person| person.user == owner);
            for held in owner.into_iter().flat_map(|owner| held_mut(owner, &wanted)) {
                held.label.clone_from(label);
            }
        }
        if let Some(to) = &args.move_to {
            let from = the_one(&concerned, args.user.as_deref(), &wanted)?.to_owned();
            hand_over(&mut concerned, people, &from, to, &wanted)?;
        }
        touched = concerned
            .iter()
            .map(|person| (person.source, person.user.clone()))
            .collect();
        put(concerned, config)
    })?;
    for (source, user) in touched {
        warn_of(source, &user);
    }
    Ok(())
}

/// Takes the account from one and gives it to another.
fn hand_over(
    concerned: &mut Vec<Subscription>,
    people: &[Subscription],
    from: &str,
    to: &str,
    account: &str,
) -> Result<(), String> {
    if from == to {
        return Err(format!("{account}: is {to}'s already; nothing was changed"));
    }
    let mut taken = None;
    if let Some(giver) = concerned.iter_mut().find(|person| person.user == from) {
        let at = giver.accounts.iter().position(|held| held.identity == account);
        taken = at.map(|at| giver.accounts.remove(at));
    }
    let mut taker = match concerned.iter().position(|person| person.user == to) {
        Some(at) => concerned.remove(at),
        None => person_of(people, to)?.clone(),
    };
    let has_it = taker.accounts.iter().any(|held| held.identity == account);
    taker.accounts.extend(taken.filter(|_| !has_it));
    concerned.push(taker);
    Ok(())
}

fn remove(account: &str, user: Option<&str>, config: &Config, database: &Path) -> Result<(), Failure> {
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let mut touched = None;
    revise(&mut store, "account remove", |people| {
        let wanted = identity(account, config)?;
        let owners: Vec<Subscription> = owners(people, &wanted, account)?.into_iter().cloned().collect();
        let owner = the_one(&owners, user, &wanted)?;
        let mut person = person_of(people, owner)?.clone();
        person.accounts.retain(|held| held.identity != wanted);
        touched = Some((person.source, person.user.clone()));
        put(vec![person], config)
    })?;
    if let Some((source, user)) = touched {
        warn_of(source, &user);
    }
    Ok(())
}

fn put(people: Vec<Subscription>, config: &Config) -> Result<Revision, String> {
    Ok(Revision {
        put: checked_or_refused(&people, config)?,
        ..Revision::default()
    })
}

fn named(aliases: &[String]) -> Vec<(String, String)> {
    let texts = aliases.iter();
    texts.map(|text| (text.clone(), String::new())).collect()
}

fn held_mut<'a>(person: &'a mut Subscription, account: &'a str) -> impl Iterator<Item = &'a mut Holding> {
    let accounts = person.accounts.iter_mut();
    accounts.filter(move |held| held.identity == account)
}

fn owners<'a>(
    people: &'a [Subscription],
    account: &str,
    written: &str,
) -> Result<Vec<&'a Subscription>, String> {
    let owns = |person: &&Subscription| person.accounts.iter().any(|held| held.identity == account);
    let owners: Vec<_> = people.iter().filter(owns).collect();
    if owners.is_empty() {
        return Err(no_such(written));
    }
    Ok(owners)
}

/// The owner who is meant.
fn the_one<'a>(owners: &'a [Subscription], user: Option<&str>, account: &str) -> Result<&'a str, String> {
    let names: Vec<&str> = owners.iter().map(|owner| owner.user.as_str()).collect();
    match (user, names.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "{account}: has several owners, {}; say by --user whose is meant",
            names.join(", ")
        )),
        (Some(user), _) => {
            let found = names.iter().find(|name| **name == user).copied();
            found.ok_or_else(|| format!("{account}: is not {user}'s; it is {}'s", names.join("'s and ")))
        }
    }
}

fn identity(text: &str, config: &Config) -> Result<String, String> {
    let identity = config.plan.identify_text(text);
    identity
        .map(|identity| identity.as_str().to_owned())
        .ok_or_else(|| format!("{text:?} is neither a number nor a SIP address"))
}

fn no_such(account: &str) -> String {
    format!("{account}: there is no such account; `ringtap-notifier account list` shows all")
}

//! `ldap`: people and callers' names from a server.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ringtap_config::Config;

use super::import::{Arrival, How, placed, take_in};
use super::{Failure, directory};
use crate::directory::Sheet;
use crate::ldap::{self, LdapError};
use crate::subscriptions::{BadFile, Fault, Source, checked};

#[derive(Debug, Subcommand)]
pub(super) enum LdapCommand {
    Import(ImportArgs),
    Directory(DirectoryArgs),
}

/// Take subscriptions from the LDAP server: all of them or, if one is wrong, nothing
///
/// [notifier.ldap.users] says which entries are people, and what their attributes mean. The same checks hold as for a file, and
/// what people have chosen themselves stays.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    how: How,
}

/// Take names for numbers from the LDAP server: all of them or, if one is wrong, nothing
///
/// [notifier.ldap.directory] says which entries are taken, and what their attributes mean.
#[derive(Debug, Args)]
pub(super) struct DirectoryArgs {
    #[command(flatten)]
    how: How,
}

pub(super) fn run(command: &LdapCommand, config: &Config, database: &Path) -> Result<(), Failure> {
    match command {
        LdapCommand::Import(args) => import(&args.how, config, database),
        LdapCommand::Directory(args) => callers(&args.how, config, database),
    }
}

fn import(how: &How, config: &Config, database: &Path) -> Result<(), Failure> {
    let ldap = &config.notifier.ldap;
    let entries = ldap::users(ldap).map_err(failed)?;
    let mut people = Vec::with_capacity(entries.len());
    // Whose account each of the lines is that are checked.
    let (mut places, mut faults) = (Vec::new(), Vec::new());
    for entry in &entries {
        let person = ldap::person(entry, &ldap.users, &config.plan);
        if person.accounts.is_empty() {
            faults.push(Fault {
                line: 0,
                what: format!(
                    "{}: has none of {}; let notifier.ldap.users.filter leave such entries out",
                    entry.dn,
                    ldap.users.accounts.join(", ")
                ),
            });
        }
        places.extend(std::iter::repeat_n(entry.dn.clone(), person.accounts.len()));
        people.push(person);
    }
    let name = PathBuf::from(ldap.url.clone().unwrap_or_default());
    let bad = |faults| {
        Failure::work(BadFile {
            path: name.clone(),
            faults,
        })
    };
    if !faults.is_empty() {
        return Err(bad(faults));
    }
    let people = checked(&people, &config.plan)
        .map_err(|faults| bad(faults.into_iter().map(|fault| placed(fault, &places)).collect()))?;
    take_in(
        &Arrival {
            name: &name,
            did: "ldap import",
            source: Source::Ldap,
            people: &people,
            places: &places,
        },
        how,
        database,
    )
}

fn callers(how: &How, config: &Config, database: &Path) -> Result<(), Failure> {
    let ldap = &config.notifier.ldap;
    let entries = ldap::callers(ldap).map_err(failed)?;
    let (mut sheet, mut places) = (Sheet::default(), Vec::new());
    let mut line = 0;
    for entry in &entries {
        for row in ldap::rows(entry, &ldap.directory) {
            line += 1;
            places.push(entry.dn.clone());
            sheet.take(row.each_ref().map(String::as_str), line, &config.plan);
        }
    }
    let name = PathBuf::from(ldap.url.clone().unwrap_or_default());
    let listed = sheet.finish(&name).map_err(|bad| {
        let faults = bad.faults.into_iter().map(|fault| placed(fault, &places));
        Failure::work(BadFile {
            path: bad.path,
            faults: faults.collect(),
        })
    })?;
    directory::take_in(&name, "ldap directory", Source::Ldap, &listed, how, database)
}

fn failed(fault: LdapError) -> Failure {
    if fault.is_configuration() {
        Failure::usage(fault)
    } else {
        Failure::work(fault)
    }
}

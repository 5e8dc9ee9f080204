//! `user delivery`: how one person is told, shown and changed.

use std::path::Path;

use clap::Args;
use ringtap_config::Config;

use super::{Failure, no_such_user, table};
use crate::quiet::Quiet;
use crate::store::{Channel, Store};

/// Show or change how one person is told
///
/// channels: mail, webhook, or both with a comma. quiet_hours: a part of the day like 22:00-07:00, by the clock of the person's time
/// zone, in which nothing is sent but the call-back of an emergency service; what was missed in it is told together at its end; or off. A running
/// notifier heeds a change from the next call on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier user delivery liming\n  \
    ringtap-notifier user delivery liming quiet_hours=22:00-07:00 channels=mail,webhook\n  \
    ringtap-notifier user delivery liming --unset quiet_hours")]
pub(super) struct DeliveryArgs {
    /// The person's key, as in the subscriptions
    user: String,
    /// What to set for this person
    #[arg(value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Give a key back to the operator; may stand several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

/// The keys, in the order in which they are shown.
const KEYS: [&str; 2] = ["channels", "quiet_hours"];

pub(super) fn run(args: &DeliveryArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    // All that is asked for is looked at before any of it is done.
    let mut changes: Vec<(&'static str, Option<String>)> = Vec::new();
    for text in &args.set {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{text:?} sets nothing; write KEY=VALUE")))?;
        changes.push((
            known(key.trim())?,
            Some(checked(key.trim(), value.trim(), config)?),
        ));
    }
    for key in &args.unset {
        changes.push((known(key)?, None));
    }
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    for (key, value) in &changes {
        store
            .set_wish(&args.user, key, value.as_deref())
            .map_err(Failure::work)?;
    }
    let Some(own) = store.wishes(&args.user, KEYS).map_err(Failure::work)? else {
        return Err(no_such_user(&args.user));
    };
    let operators = [
        "mail".to_owned(),
        config
            .notifier
            .delivery
            .quiet()
            .map_or_else(|| "off".to_owned(), |hours| hours.to_string()),
    ];
    table(
        KEYS.into_iter()
            .zip(own)
            .zip(operators)
            .map(|((key, own), operators)| {
                let whose = if own.is_some() { "own" } else { "operator" };
                [key.to_owned(), own.unwrap_or(operators), whose.to_owned()]
            }),
    )
}

fn known(key: &str) -> Result<&'static str, Failure> {
    KEYS.into_iter().find(|known| *known == key).ok_or_else(|| {
        Failure::usage(format!(
            "{key}: there is no such key; there are {}",
            KEYS.join(", ")
        ))
    })
}

/// The value as it is kept.
fn checked(key: &str, value: &str, config: &Config) -> Result<String, Failure> {
    let fault = |why: String| Failure::usage(format!("{key}: {why}"));
    if key == "quiet_hours" {
        return value.parse().map(|quiet: Quiet| quiet.to_string()).map_err(fault);
    }
    let mut channels: Vec<Channel> = value
        .split(',')
        .map(|word| word.trim().parse().map_err(fault))
        .collect::<Result<_, _>>()?;
    channels.sort_unstable();
    channels.dedup();
    if channels.contains(&Channel::Webhook) && config.notifier.webhook.url.is_none() {
        return Err(fault(
            "there is no webhook: set notifier.webhook.url first".to_owned(),
        ));
    }
    let words: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
    Ok(words.join(","))
}

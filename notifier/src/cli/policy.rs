//! `user policy`: one person's own switches, shown and changed.

use std::path::Path;

use clap::Args;
use ringtap_config::{Config, Policy};

use super::{Failure, no_such_user, table, warn};
use crate::store::Store;
use crate::switches::Switches;

/// Show or change one person's own switches
///
/// Lists the switches of [policy.notify] as they hold for the person: name, value, and whether the value is
/// the person's `own` or the `operator`'s. With KEY=VALUE, --unset or --unset-all they are changed first; a running
/// notifier heeds that from the next call on. media_required, treat_183_as_alerting and q850_13_elsewhere
/// cannot be one person's: the engine decides by them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap-notifier user policy liming\n  \
    ringtap-notifier user policy liming declined=true group_member=never\n  \
    ringtap-notifier user policy liming --unset declined")]
pub(super) struct PolicyArgs {
    /// The person's key, as in the subscriptions
    user: String,
    /// Switches to set for this person alone
    #[arg(value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Give a switch back to the operator; may stand several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Give all switches back to the operator, before any are set
    #[arg(long)]
    unset_all: bool,
}

pub(super) fn run(args: &PolicyArgs, config: &Config, database: &Path) -> Result<(), Failure> {
    // All that is asked for is looked at before any of it is done.
    let set: Vec<_> = args
        .set
        .iter()
        .map(|text| Switches::parse(text))
        .collect::<Result<_, _>>()
        .map_err(Failure::usage)?;
    for key in &args.unset {
        Switches::default().unset(key).map_err(Failure::usage)?;
    }
    let mut store = Store::open_existing(database).map_err(Failure::work)?;
    let is_change = args.unset_all || !set.is_empty() || !args.unset.is_empty();
    let found = if is_change {
        store.change_switches(&args.user, |switches| {
            if args.unset_all {
                *switches = Switches::default();
            }
            for key in &args.unset {
                // A key that is no switch has been refused above.
                let _ = switches.unset(key);
            }
            for switch in set {
                switches.set(switch);
            }
        })
    } else {
        store.switches(&args.user).map(|found| {
            found.map(|(switches, faults)| {
                for fault in faults {
                    warn(&format!("not used: {fault}"));
                }
                switches
            })
        })
    };
    let Some(switches) = found.map_err(Failure::work)? else {
        return Err(no_such_user(&args.user));
    };
    for warning in out_of_reach(&switches.over(&config.policy), config) {
        warn(&warning);
    }
    table(switches.effective(&config.policy).into_iter().map(|switch| {
        let whose = if switch.is_own { "own" } else { "operator" };
        [switch.key, switch.value, whose.to_owned()]
    }))
}

/// What the person asks for but the engine does not record.
fn out_of_reach(personal: &Policy, config: &Config) -> Vec<String> {
    let global = &config.policy;
    let mut warnings = Vec::new();
    if personal.short_answer_s > global.short_answer_s && !config.records_answered_calls() {
        warnings.push(format!(
            "short_answer_s = {} for this person, but the engine records answered calls of no more than {} s: \
             raise [policy.notify] short_answer_s, or set [journal] keep = \"all\"",
            personal.short_answer_s, global.short_answer_s
        ));
    }
    if personal.suppress_if_reached_within_s > 0 && !config.records_answered_calls() {
        warnings.push(format!(
            "suppress_if_reached_within_s = {} for this person delays mails but drops none, because the engine does \
             not record answered calls: set [policy.notify] suppress_if_reached_within_s, or [journal] keep = \"all\"",
            personal.suppress_if_reached_within_s
        ));
    }
    warnings
}

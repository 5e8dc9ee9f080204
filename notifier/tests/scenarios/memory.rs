//! The line from messages to decisions, in memory.

use ringtap_calls::table::Routing;
use ringtap_calls::{LegTable, Observation, Rules, Settler};
use ringtap_config::Config;
use ringtap_notifier::decide::{Interest, decide};
use ringtap_record::{CallRecord, Outcome, Time};
use ringtap_testkit::{Wire, fixtures};

/// Width of an epoch, as a replay has it.
const EPOCH_US: i64 = 128_000;

/// What one person is told: token, reason, caller as in `X-Ringtap-Caller`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) user: String,
    pub(crate) reason: Outcome,
    pub(crate) caller: String,
    pub(crate) accounts: usize,
}

/// The configuration of the fixtures with changed policy switches.
pub(crate) fn config(switches: &[(String, String)]) -> Config {
    let text = fixtures::config_toml_with("journal.db", "notifier.db", "smtp://127.0.0.1:25", switches);
    ringtap_config::from_toml(&text, "fixtures").expect("the fixtures are a valid configuration")
}

/// The records of these messages, applied in the given order, `batch` at a time within an epoch.
pub(crate) fn records(wires: &[Wire], config: &Config, batch: usize) -> Vec<CallRecord> {
    let rules = Rules::new(config);
    let table = LegTable::new(1 << 17, 1);
    let mut routing = Routing::default();
    let mut settler = Settler::new(&table);
    let mut records = Vec::new();
    let epoch = |wire: &Wire| wire.time.as_micros().div_euclid(EPOCH_US);
    for run in wires.chunk_by(|a, b| epoch(a) == epoch(b)) {
        let now = Time::from_micros(epoch(&run[0]) * EPOCH_US);
        let harvest = table.end_epoch(now, &rules, &mut routing);
        settler.settle(now, harvest, &rules, &mut records);
        for part in run.chunks(batch) {
            let seen: Vec<Observation<'_>> = part.iter().map(observation).collect();
            let waited = routing.early.len();
            let applied = table.apply(&seen, &rules, &mut routing);
            let waits = routing.early.len() - waited;
            let counted = applied.joined + applied.not_of_calls + applied.of_no_leg + waits;
            assert_eq!(counted, seen.len() as u64, "every message is counted once");
        }
    }
    let rest = table.end(&rules, &mut routing);
    settler.settle(Time::MAX, rest, &rules, &mut records);
    settler.finish(&rules, &mut records);
    let mut records: Vec<CallRecord> = records.into_iter().map(|judged| judged.record).collect();
    records.sort_by(|a, b| a.call.cmp(&b.call));
    records
}

fn observation(wire: &Wire) -> Observation<'_> {
    let message = ringtap_sip::parse(&wire.payload)
        .unwrap_or_else(|fault| panic!("{}: {}", wire.label, fault.as_str()));
    Observation {
        time: wire.time,
        source: wire.source.ip(),
        destination: wire.destination.ip(),
        message,
    }
}

/// What everybody is told of these records, sorted.
pub(crate) fn told(records: &[CallRecord], config: &Config) -> Vec<Told> {
    let mut all = Vec::new();
    for record in records {
        for user in fixtures::USERS.iter().filter(|user| user.subscribed) {
            let identities = user
                .accounts
                .iter()
                .map(|token| fixtures::identity(token).to_owned())
                .map(|key| (key.clone(), key));
            let interest = Interest {
                identities: identities.collect(),
            };
            if let Ok(missed) = decide(record, &interest, &config.policy) {
                all.push(Told {
                    user: user.token.to_owned(),
                    reason: missed.reason,
                    caller: caller(record),
                    accounts: missed.accounts.len(),
                });
            }
        }
    }
    all.sort();
    all
}

fn caller(record: &CallRecord) -> String {
    match &record.caller.identity {
        _ if record.caller.withheld => "withheld".to_owned(),
        Some(identity) => identity.to_string(),
        None => "unavailable".to_owned(),
    }
}

/// Messages to decisions with the default policy.
pub(crate) fn mails(wires: &[Wire], config: &Config) -> Vec<Told> {
    told(&records(wires, config, 16), config)
}

//! The quick ways of settling against the general one.

use ringtap_config::Config;
use ringtap_testkit::workload::{Options, Workload};
use ringtap_testkit::{Wire, fixtures};

use super::*;
use crate::table::{Observation, Routing};

/// How far epochs are apart.
const EPOCH_MS: i64 = 128;

/// What became of the messages, what the settler counted, and how many legs were not weighed.
fn settled(wires: &[Wire], rules: &Rules, is_always_weighed: bool) -> (Vec<Judged>, SettlerCounters, u64) {
    let table = LegTable::new(100_000, 1);
    let mut settler = Settler::new(&table);
    settler.is_always_weighed = is_always_weighed;
    let (mut routing, mut records) = (Routing::default(), Vec::new());
    let mut due = wires[0].time.plus_ms(EPOCH_MS);
    for wire in wires {
        while wire.time >= due {
            let harvest = table.end_epoch(due, rules, &mut routing);
            settler.settle(due, harvest, rules, &mut records);
            due = due.plus_ms(EPOCH_MS);
        }
        let Ok(message) = ringtap_sip::parse(&wire.payload) else {
            continue;
        };
        let seen = Observation {
            time: wire.time,
            source: wire.source.ip(),
            destination: wire.destination.ip(),
            message,
        };
        table.apply(&[seen], rules, &mut routing);
    }
    settler.settle(due, table.end(rules, &mut routing), rules, &mut records);
    settler.finish(rules, &mut records);
    (records, settler.counters(), settler.lone)
}

/// Catches a leg that is taken for a call of its own though others belong to it, one that is judged otherwise than it would be if it were
/// weighed, and (by an assertion in the registry) a sketch that is kept when its leg closes though it is not right any more: over calls of every
/// kind, crowded among few people, with and without losses, copies and wrong order, with known and unknown roles.
#[test]
fn lone_legs_are_judged_as_if_they_were_weighed() {
    let known = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
    let known = ringtap_config::from_toml(&known, "fixtures").unwrap();
    let mut joined = 0;
    for (seed, loss, config) in [
        (1, 0.0, &known),
        (2, 0.1, &known),
        (3, 0.02, &known),
        (4, 0.0, &Config::default()),
        (5, 0.1, &Config::default()),
    ] {
        let options = Options {
            calls: 150,
            cps: 8.0,
            users: 60,
            seed,
            loss,
            duplication: loss,
            reorder_ms: if loss > 0.0 { 400 } else { 0 },
            ..Options::default()
        };
        let (wires, _) = Workload::new(options).in_memory();
        let rules = Rules::new(config);
        let (quick, counted, lone) = settled(&wires, &rules, false);
        let (general, recounted, none) = settled(&wires, &rules, true);
        assert!(lone > 20 && none == 0, "seed {seed}: {lone} and {none} lone legs");
        assert_eq!(quick, general, "seed {seed}");
        assert_eq!(counted, recounted, "seed {seed}");
        assert!(quick.len() > 50, "seed {seed}: {} calls", quick.len());
        joined += counted.joined;
    }
    assert!(joined > 50, "only {joined} calls were joined");
}

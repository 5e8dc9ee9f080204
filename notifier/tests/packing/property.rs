//! Whatever happens, each call is told once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringtap_notifier::store::{Channel, Kind};
use ringtap_record::Caller;

use crate::world::{ANNA, BO, LIMING, WANG, World, ZHANG, missed, time};

/// Something happens some time after what was before.
#[derive(Clone, Debug)]
enum Step {
    /// Calls, each by one of three callers or a withheld one, to one of three people, begun so long ago.
    Calls(Vec<(usize, usize, i64)>),
    Restart,
    /// The server goes, or comes.
    Server(bool),
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let call = (0..4_usize, 0..3_usize, 0..90_i64);
    let step = prop_oneof![
        4 => prop::collection::vec(call, 1..12).prop_map(Step::Calls),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Server),
        2 => Just(Step::Nothing),
    ];
    prop::collection::vec((0..200_i64, step), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    /// Catches a call that is lost or told twice, on any channel, between a message of its own, a summary and a digest, over restarts,
    /// servers that go and messages that are put off.
    #[test]
    fn each_call_is_told_once(
        steps in steps(),
        window_s in prop_oneof![Just(0), Just(60), Just(120)],
        per_hour in prop_oneof![Just(0), Just(2), Just(5)],
        is_quiet in any::<bool>(),
        put_off_every in prop_oneof![Just(0_usize), Just(3)],
    ) {
        let quiet = if is_quiet { "quiet_hours = \"10:02-10:20\"" } else { "" };
        let mut world = World::new(&format!(
            "coalesce_window_s = {window_s}\nmails_per_hour_max = {per_hour}\n{quiet}"
        ));
        world.store.set_wish("bo", "channels", Some("mail,webhook")).unwrap();
        world.answers.lock().unwrap().put_off_every = put_off_every;
        let mut now = time("2024-05-06T02:00:00Z");
        let mut missed_by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut number = 0;
        for (passed_s, step) in steps {
            now = now.plus_ms(passed_s * 1000);
            match step {
                Step::Calls(calls) => {
                    let mut records = Vec::new();
                    for (caller, called, ago_s) in calls {
                        number += 1;
                        let name = format!("c{number}");
                        let (user, called) = [("liming", LIMING), ("anna", ANNA), ("bo", BO)][called];
                        let from = [ZHANG, WANG, "+861085091234", ZHANG][caller];
                        let mut record = missed(&name, now.plus_ms(-ago_s * 1000 - 10_000), from, called);
                        if caller == 3 {
                            record.caller = Caller { withheld: true, ..Caller::default() };
                        }
                        missed_by.entry(user).or_default().push(name);
                        records.push(record);
                    }
                    world.write(records);
                }
                Step::Restart => world = world.restart(),
                Step::Server(is_there) => world.answers.lock().unwrap().is_gone = !is_there,
                Step::Nothing => {}
            }
            world.at(now);
        }
        world.answers.lock().unwrap().is_gone = false;
        world = world.restart();
        for _ in 0..40 {
            now = now.plus_ms(3_600_000 / 4);
            world.at(now);
        }
        prop_assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state != 'sent'"), 0);
        let taken = world.taken.lock().unwrap();
        for (user, calls) in &missed_by {
            let channels: &[Channel] = if *user == "bo" { &Channel::ALL } else { &[Channel::Mail] };
            for channel in channels {
                let told: Vec<_> = taken.iter().filter(|one| one.user == *user && one.channel == *channel).collect();
                let more: u64 = told.iter().map(|one| one.more).sum();
                let mut listed: Vec<_> = told.iter().flat_map(|one| one.calls.clone()).collect();
                prop_assert_eq!(listed.len() as u64 + more, calls.len() as u64, "{} {}", user, channel);
                listed.sort_unstable();
                listed.dedup();
                prop_assert_eq!(listed.len() as u64 + more, calls.len() as u64, "{} {}: doubled", user, channel);
                let summaries = told.iter().filter(|one| one.kind == Kind::Summary).count();
                prop_assert!(window_s > 0 || summaries == 0);
                prop_assert!(per_hour > 0 || is_quiet || told.iter().all(|one| one.kind != Kind::Digest));
            }
        }
        let on_both = if missed_by.contains_key("bo") { 2 } else { 0 };
        let people: usize = missed_by.keys().filter(|user| **user != "bo").count();
        let ways: std::collections::BTreeSet<_> = taken.iter().map(|one| (one.user.clone(), one.channel)).collect();
        prop_assert_eq!(ways.len(), people + on_both, "nobody else was told");
    }
}

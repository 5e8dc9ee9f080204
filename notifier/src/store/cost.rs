//! What the hot path costs beside a large outbox, in steps of SQLite's machine: they are the same on any machine, as times are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringtap_config::Learn;
use ringtap_journal::{CallRecord, Options, Outcome, Reader, Target, Time, Writer};
use ringtap_record::Caller;

use super::{Channel, End, Rules, Store};
use crate::intake;
use crate::packing::Packing;
use crate::subscriptions;

const PEOPLE: &str = "user,name,email,locale,timezone,subscribed,account,label,aliases\n\
                      anna,Anna,anna@office.test,en,UTC,yes,+862583091005,,\n\
                      bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,\n\
                      liming,Li,liming@office.test,en,UTC,yes,+862583091001,,\n";

/// Beside so many rows that have a turn, as many that were sent, and as many gathered calls.
fn steps(rows: u32) -> Vec<(&'static str, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let (database, journal) = (dir.path().join("n.db"), dir.path().join("j.db"));
    let text =
        "[numbering]\ncountry = \"86\"\narea = \"25\"\n[policy.notify]\nsuppress_if_reached_within_s = 30";
    let config = ringtap_config::from_toml(text, "test").unwrap();
    let mut store = Store::open(&database).unwrap();
    let people = subscriptions::read("p".as_ref(), PEOPLE.as_bytes(), &config.plan).unwrap();
    store.import(&people, false).unwrap();
    store
        .connection
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, done_ms, channel, kind, caller, ended, turn)
             SELECT 1, 'p' || i, '{{}}', 'pending', 0, i, i, NULL, 'mail', 'call', 'c' || i, i, i FROM n
             UNION ALL SELECT 1 + i % 3, 's' || i, '{{}}', 'sent', 1, i, i, i, 'mail', 'call', 'c' || i, i, NULL FROM n
             UNION ALL SELECT 2, 'g' || i, '', 'pending', 0, i, 99999999999999, NULL, 'mail', 'digest', NULL, i, NULL FROM n;
             INSERT INTO gathered (outbox_id, call, notice, caller, held_caller, held_after, held_until)
             SELECT id, call, '', 'c', 'h' || id, 0, 1 FROM outbox WHERE kind = 'digest';
             INSERT INTO missed (user_id, call, notice, started, at_ms)
             SELECT 1 + id % 3, 'm' || id, '{{}}', id, id FROM outbox WHERE state = 'sent';
             ANALYZE"
        ))
        .unwrap();
    drop(store);
    let mut store = Store::open(&database).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    store
        .connection
        .progress_handler(
            1,
            Some(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                false
            }),
        )
        .unwrap();
    let delivery = &config.notifier.delivery;
    let rules = intake::Rules {
        policy: &config.policy,
        stale_after_h: 0,
        learn: Learn::Suggest,
        queue: Rules {
            packing: Packing::new(delivery),
            quiet: delivery.quiet(),
        },
    };
    let mut all = Vec::new();
    let mut measure = |what, work: &mut dyn FnMut()| {
        let before = count.load(Ordering::Relaxed);
        work();
        all.push((what, count.load(Ordering::Relaxed) - before));
    };
    let now: Time = "2024-05-06T02:00:00Z".parse().unwrap();
    let writer = Writer::spawn(&journal, Options::default()).unwrap();
    for call in ["a", "b"] {
        writer.send(missed(call, now)).unwrap();
    }
    writer.send(answered("c", now.plus_ms(12_000))).unwrap();
    writer.finish().unwrap();
    let reader = Reader::open(&journal).unwrap();
    measure("take records in", &mut || {
        let totals = rules
            .take_batch(&reader, "j", &mut store, now.plus_ms(20_000))
            .unwrap();
        assert_eq!(totals.unwrap().records, 3);
    });
    measure("call up", &mut || {
        store.call_up(now.plus_ms(60_000), 500).unwrap();
    });
    let behind = (i64::from(rows / 2), 0);
    measure("next turns", &mut || {
        assert_eq!(store.next_turns(Channel::Mail, behind, 64).unwrap().len(), 64);
    });
    let id = store.next_turns(Channel::Mail, behind, 1).unwrap()[0].id;
    for (what, end) in [
        ("put off", End::PutOff(String::new(), now.plus_ms(120_000))),
        ("sent", End::Sent),
    ] {
        measure(what, &mut || store.settle(&[(id, end.clone())], now).unwrap());
    }
    measure("missed calls", &mut || {
        assert!(!store.missed(3, 0, 25).unwrap().is_empty());
    });
    measure("is pending", &mut || assert!(store.is_pending(id + 1).unwrap()));
    all
}

fn missed(call: &str, began: Time) -> CallRecord {
    let ended = began.plus_ms(10_000);
    CallRecord {
        call: call.to_owned(),
        started: began,
        ended,
        caller: Caller {
            identity: Some("+8613912345678".into()),
            ..Caller::default()
        },
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: vec![Target {
            identity: "+862583091001".into(),
            outcome: Outcome::CallerHungUp,
            base: None,
            alerted: true,
            ring_ms: 10_000,
            diverted_to: None,
            group: None,
            started: began,
            ended,
        }],
        legs: 1,
        flags: Vec::new(),
    }
}

fn answered(call: &str, began: Time) -> CallRecord {
    let mut record = missed(call, began);
    record.answered_by = Some("+862583091001".into());
    record.targets[0].outcome = Outcome::Answered;
    record
}

/// Catches a statement of the hot path that reads a whole table or index: it would take a hundred times as many steps.
#[test]
fn no_step_costs_by_the_number_of_rows() {
    let (few, many) = (steps(200), steps(20_000));
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        assert!(
            few > 0 && many < few * 2,
            "{what}: {few} steps, {many} beside many rows"
        );
    }
}

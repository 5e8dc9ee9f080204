//! A large outbox.

use std::time::{Duration, Instant};

use ringtap_notifier::store::{Channel, End};
use ringtap_record::Time;

use crate::world::{LIMING, World, ZHANG, missed, time};

/// How long each of the hot path's steps takes, the best of some, beside so many rows that have a turn, as many that were sent, and as
/// many gathered calls.
fn steps(rows: u32) -> Vec<(&'static str, Duration)> {
    let world = World::with("suppress_if_reached_within_s = 30", "");
    world.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO outbox (user_id, call, notice, state, attempts, created_ms, next_attempt_ms, done_ms, channel, kind, caller, ended, turn)
         SELECT 1, 'p' || i, '{{}}', 'pending', 0, i, i, NULL, 'mail', 'call', 'c' || i, i, i FROM n
         UNION ALL SELECT 1 + i % 3, 's' || i, '{{}}', 'sent', 1, i, i, i, 'mail', 'call', 'c' || i, i, NULL FROM n
         UNION ALL SELECT 2, 'g' || i, '', 'pending', 0, i, 99999999999999, NULL, 'mail', 'digest', NULL, i, NULL FROM n;
         INSERT INTO gathered (outbox_id, call, notice, caller, held_caller, held_after, held_until)
         SELECT id, call, '', 'c', 'h' || id, 0, 1 FROM outbox WHERE kind = 'digest';
         ANALYZE"
    ));
    let mut world = world.restart();
    let begin = time("2024-05-06T02:00:00Z");
    let mut best: Vec<(&'static str, Duration)> = Vec::new();
    let mut measure = |what, work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        let took = began.elapsed();
        match best.iter_mut().find(|(name, _)| *name == what) {
            Some((_, least)) => *least = took.min(*least),
            None => best.push((what, took)),
        }
    };
    for n in 0..8_i64 {
        let now = begin.plus_ms(n * 40_000);
        world.write([
            missed(&format!("a{n}"), now, ZHANG, LIMING),
            missed(&format!("b{n}"), now, ZHANG, LIMING),
        ]);
        measure("take records in", &mut || {
            assert_eq!(world.take(now.plus_ms(12_000)).records, 2);
        });
        measure("call up", &mut || {
            world.store.call_up(now.plus_ms(60_000), 500).unwrap();
        });
        let behind = (i64::from(rows / 2), 0);
        measure("next turns", &mut || {
            assert_eq!(
                world.store.next_turns(Channel::Mail, behind, 64).unwrap().len(),
                64
            );
        });
        let id = world.store.next_turns(Channel::Mail, behind, 1).unwrap()[0].id;
        measure("settle", &mut || {
            world
                .store
                .settle(&[(id, End::Sent)], Time::from_micros(1))
                .unwrap();
        });
        measure("is pending", &mut || {
            assert!(world.store.is_pending(id + 1).unwrap());
        });
    }
    best
}

/// Catches a statement of the hot path that reads a whole table or index: it would take thousands of times as long.
#[test]
fn no_step_costs_by_the_number_of_rows() {
    let (few, many) = (steps(500), steps(100_000));
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        assert!(
            many < few * 20 + Duration::from_millis(2),
            "{what}: {few:?}, {many:?}"
        );
    }
}

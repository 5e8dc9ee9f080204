//! The leg table under pressure: eviction, redials, late answers, arbitrary input.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use ringtap_calls::table::{Routing, TableCounters};
use ringtap_calls::{Harvest, Judged, LegTable, Observation, Rules, Settler};
use ringtap_config::Config;
use ringtap_record::{CallRecord, Flag, Outcome, Time};
use ringtap_testkit::{Wire, fixtures, messages, mutate, scenario};

const START: Time = Time::from_micros(1_714_962_221_000_000);

fn rules() -> Rules {
    let text = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
    Rules::new(&ringtap_config::from_toml(&text, "fixtures").expect("the fixtures are valid"))
}

/// A table with everything around it.
struct Bench {
    table: LegTable,
    rules: Rules,
    routing: Routing,
    harvest: Harvest,
    settler: Settler,
    records: Vec<Judged>,
}

impl Bench {
    fn new(legs_max: usize) -> Self {
        let table = LegTable::new(legs_max, 1);
        Self {
            settler: Settler::new(&table),
            table,
            rules: rules(),
            routing: Routing::default(),
            harvest: Harvest::default(),
            records: Vec::new(),
        }
    }

    fn see(&mut self, at: Time, text: &[u8]) {
        let Ok(message) = ringtap_sip::parse(text) else {
            return;
        };
        let seen = Observation {
            time: at,
            source: "10.40.0.1".parse().unwrap(),
            destination: "10.30.0.1".parse().unwrap(),
            message,
        };
        self.table.apply(&[seen], &self.rules, &mut self.routing);
        self.harvest.closed.append(&mut self.routing.evicted);
    }

    fn tick(&mut self, now: Time) {
        let harvest = self.table.end_epoch(now, &self.rules, &mut self.routing);
        self.harvest.append(harvest);
        self.settle(now);
    }

    fn end(mut self) -> (Vec<CallRecord>, TableCounters) {
        let counters = self.table.counters();
        self.finish();
        let records = self.records.into_iter().map(|judged| judged.record);
        (records.collect(), counters)
    }

    fn settle(&mut self, now: Time) {
        let harvest = std::mem::take(&mut self.harvest);
        self.settler.settle(now, harvest, &self.rules, &mut self.records);
    }

    fn finish(&mut self) {
        let rest = self.table.end(&self.rules, &mut self.routing);
        self.harvest.append(rest);
        self.settle(Time::MAX);
        self.settler.finish(&self.rules, &mut self.records);
    }
}

fn message(start: &str, call: &str, cseq: &str, to_tag: &str, more: &str) -> Vec<u8> {
    let to_tag = if to_tag.is_empty() {
        String::new()
    } else {
        format!(";tag={to_tag}")
    };
    let number = cseq.split(' ').next().unwrap_or_default();
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.40.0.1:5060;branch=z9hG4bK{call}{number}\r\nFrom: <tel:+8613912345678>;tag=f{call}\r\n\
         To: <tel:+862583091001>{to_tag}\r\nCall-ID: {call}\r\nCSeq: {cseq}\r\n{more}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The same from the other side of the dialog.
fn turned(text: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(text).unwrap();
    let text = text.replace("From:", "Was:").replace("To:", "From:");
    text.replace("Was:", "To:").into_bytes()
}

fn invite(call: &str, cseq: u32) -> Vec<u8> {
    message(
        "INVITE tel:+862583091001 SIP/2.0",
        call,
        &format!("{cseq} INVITE"),
        "",
        "",
    )
}

fn response(status: u16, call: &str, cseq: u32) -> Vec<u8> {
    message(
        &format!("SIP/2.0 {status} X"),
        call,
        &format!("{cseq} INVITE"),
        "t",
        "",
    )
}

/// Catches an eviction that takes a leg in use while finished or idle ones are there, and one that is not
/// counted or loses the call.
#[test]
fn a_full_table_gives_up_finished_legs_first_then_idle_ones() {
    // 8 shards of 10 legs: whatever the hash, 8 legs fit.
    let mut bench = Bench::new(80);
    let finished = 8;
    for call in 0..finished {
        bench.see(START, &invite(&format!("busy{call}"), 1));
        bench.see(START.plus_ms(10), &response(486, &format!("busy{call}"), 1));
    }
    bench.tick(START.plus_ms(5_000));
    assert_eq!(bench.table.counters().legs_finished, finished);
    for call in 0..400 {
        bench.see(START.plus_ms(6_000 + call), &invite(&format!("open{call}"), 1));
        bench.see(
            START.plus_ms(6_000 + call),
            &response(183, &format!("open{call}"), 1),
        );
    }
    let (records, counters) = bench.end();
    assert!(counters.evicted_finished > 0, "{counters:?}");
    assert!(counters.evicted_open > 0, "{counters:?}");
    assert!(
        counters.legs_open + counters.legs_finished <= 80,
        "bounded: {counters:?}"
    );
    assert_eq!(counters.legs_made, 408);
    let evicted: Vec<_> = records
        .iter()
        .filter(|record| record.has(Flag::Evicted))
        .collect();
    assert_eq!(
        evicted.len() as u64,
        counters.evicted_open,
        "each evicted open leg still gives its record"
    );
    assert!(
        evicted
            .iter()
            .all(|record| record.targets[0].outcome == Outcome::Undetermined)
    );
    assert_eq!(records.len(), 408, "no call is lost");
}

/// Catches a flood of INVITEs, or of responses to nothing, that drives calls out of the table which ring, or of which it is known that
/// they are over: of idle legs those leave first which lack either.
#[test]
fn a_flood_of_one_side_spares_calls_that_ring() {
    // From somebody else each time: calls between the same two people at once may be one call.
    let from = |octets: Vec<u8>, prefix: &str, number: usize| {
        let text = String::from_utf8(octets).unwrap();
        text.replace("+8613912345678", &format!("{prefix}{number:07}"))
            .into_bytes()
    };
    for is_of_responses in [false, true] {
        // 8 shards of 200 legs: whatever the hash, the calls fit.
        let mut bench = Bench::new(1_600);
        let calls = 100;
        let see = |bench: &mut Bench, at_ms: i64, octets: Vec<u8>, call: usize| {
            bench.see(START.plus_ms(at_ms), &from(octets, "+861501", call));
        };
        for call in 0..calls {
            let (rings, over) = (format!("call{call}"), format!("over{call}"));
            see(&mut bench, 0, invite(&rings, 1), call);
            see(&mut bench, 10, response(180, &rings, 1), call);
            see(&mut bench, 0, invite(&over, 1), calls + call);
            see(&mut bench, 10, response(603, &over, 1), calls + call);
        }
        bench.tick(START.plus_ms(9_000));
        for flood in 0..10_000 {
            let name = format!("flood{flood}");
            let octets = if is_of_responses {
                response([180, 486, 200][flood % 3], &name, 1)
            } else {
                invite(&name, 1)
            };
            let at = START.plus_ms(10_000 + i64::try_from(flood).unwrap());
            bench.see(at, &from(octets, "+861391", flood));
            if flood % 1_000 == 999 {
                bench.tick(at);
            }
        }
        for call in 0..calls {
            see(&mut bench, 21_000, response(486, &format!("call{call}"), 1), call);
            if is_of_responses {
                see(
                    &mut bench,
                    21_000,
                    response(603, &format!("over{call}"), 1),
                    calls + call,
                );
            }
        }
        let (records, counters) = bench.end();
        assert!(
            counters.evicted_open + counters.evicted_finished > 8_000,
            "{counters:?}"
        );
        let is_real = |record: &&CallRecord| {
            let caller = record.caller.identity.as_deref();
            caller.is_some_and(|caller| caller.starts_with("+861501"))
        };
        let real = records.iter().filter(is_real);
        let (rang, over): (Vec<_>, Vec<_>) = real.partition(|record| record.targets[0].alerted);
        assert_eq!(
            (rang.len(), over.len()),
            (calls, calls),
            "responses: {is_of_responses}"
        );
        assert!(rang.iter().all(|record| !record.has(Flag::Evicted)));
        let declined = |record: &&&CallRecord| record.targets[0].outcome == Outcome::AutoRejected;
        assert_eq!(
            over.iter().filter(declined).count(),
            calls,
            "responses: {is_of_responses}"
        );
    }
}

/// D90. Catches a redial under the same Call-ID taken for a retransmission, or named as the first attempt.
#[test]
fn a_redial_that_reuses_the_call_id_is_a_new_attempt() {
    let mut bench = Bench::new(100);
    bench.see(START, &invite("again", 1));
    bench.see(START.plus_ms(300), &response(486, "again", 1));
    bench.tick(START.plus_ms(9_000));
    bench.see(START.plus_ms(9_100), &invite("again", 1)); // a late copy of the first
    bench.see(START.plus_ms(10_000), &invite("again", 2));
    bench.see(START.plus_ms(10_300), &response(603, "again", 2));
    let (records, counters) = bench.end();
    assert_eq!(records.len(), 2, "{records:#?}");
    assert_ne!(records[0].call, records[1].call);
    assert_eq!(records[0].targets[0].outcome, Outcome::Busy);
    assert_eq!(records[1].targets[0].outcome, Outcome::AutoRejected);
    assert_eq!(counters.further_attempts, 1);
}

/// D90. Catches messages of another attempt that one worker reads before another brings its INVITE, in the same epoch, and that are taken for
/// late ones of the attempt before.
#[test]
fn a_redials_messages_may_come_before_its_invite() {
    let bye = message("BYE sip:h SIP/2.0", "again", "3 BYE", "t", "");
    let trying = message("SIP/2.0 100 X", "again", "2 INVITE", "", "");
    let attempt = [
        (10_000, invite("again", 2)),
        (10_001, trying),
        (10_010, response(180, "again", 2)),
        (10_020, response(200, "again", 2)),
        (10_030, bye),
    ];
    let told = |order: &[usize]| {
        let mut bench = Bench::new(100);
        bench.see(START, &invite("again", 1));
        bench.see(START.plus_ms(300), &response(486, "again", 1));
        bench.tick(START.plus_ms(9_000));
        for at in order {
            let (ms, octets) = &attempt[*at];
            bench.see(START.plus_ms(*ms), octets);
        }
        let (records, counters) = bench.end();
        assert_eq!(counters.further_attempts, 1, "{order:?}");
        assert_eq!(counters.late_contradictions, 0, "{order:?}");
        records
    };
    let wanted = told(&[0, 1, 2, 3, 4]);
    assert_eq!(wanted.len(), 2, "{wanted:#?}");
    let answered = &wanted[1].targets[0];
    assert_eq!((answered.outcome, answered.alerted), (Outcome::Answered, true));
    for order in [[4, 3, 2, 1, 0], [1, 0, 2, 3, 4], [2, 1, 4, 0, 3], [3, 4, 0, 1, 2]] {
        assert_eq!(told(&order), wanted, "{order:?}");
    }
}

/// D90. Catches messages of the attempt before, in the epoch of the redial, that are taken for the redial's: a BYE of either side, a copy of the
/// answer, its ACK, a re-INVITE. Whatever is read first, it rang and was declined.
#[test]
fn a_redial_is_not_told_by_what_came_before_it() {
    let (bye, reinvite) = ("BYE sip:h SIP/2.0", "INVITE sip:h SIP/2.0");
    let before = [
        (10_010, message(bye, "again", "2 BYE", "t", "")),
        (10_010, turned(message(bye, "again", "77 BYE", "t", ""))),
        (10_010, response(200, "again", 1)),
        (10_010, message("ACK sip:h SIP/2.0", "again", "1 ACK", "t", "")),
        (10_010, message(reinvite, "again", "2 INVITE", "t", "")),
        (10_012, turned(message(reinvite, "again", "78 INVITE", "t", ""))),
        (10_014, invite("again", 1)),
        (10_050, turned(message(bye, "again", "77 BYE", "t", ""))),
        // Of a callee whose answer was not seen.
        (10_050, turned(message(bye, "again", "79 BYE", "x", ""))),
        // Again, behind the redial's INVITE.
        (10_055, turned(message(bye, "again", "77 BYE", "t", ""))),
        (10_061, turned(message(reinvite, "again", "78 INVITE", "t", ""))),
    ];
    // Of a dialog of its own.
    let tagged = |status: u16| message(&format!("SIP/2.0 {status} X"), "again", "3 INVITE", "u", "");
    let redial = [
        (10_050, invite("again", 3)),
        (10_051, message("SIP/2.0 100 X", "again", "3 INVITE", "", "")),
        (10_060, tagged(180)),
    ];
    for old in &before {
        let mut all = vec![old.clone()];
        all.extend_from_slice(&redial);
        let mut random = fastrand::Rng::with_seed(7);
        for trial in 0..40 {
            let mut bench = Bench::new(100);
            bench.see(START, &invite("again", 1));
            bench.see(START.plus_ms(300), &response(200, "again", 1));
            bench.tick(START.plus_ms(9_000));
            if trial > 0 {
                random.shuffle(&mut all);
            }
            for (ms, octets) in &all {
                bench.see(START.plus_ms(*ms), octets);
            }
            bench.tick(START.plus_ms(10_112));
            bench.tick(START.plus_ms(15_000));
            bench.see(START.plus_ms(20_000), &tagged(486));
            let (records, counters) = bench.end();
            let outcomes: Vec<_> = records.iter().map(|record| record.targets[0].outcome).collect();
            let told = String::from_utf8_lossy(&old.1);
            assert_eq!(outcomes, [Outcome::Answered, Outcome::Declined], "{told}{all:?}");
            assert_eq!((counters.further_attempts, counters.late_contradictions), (1, 0));
            assert_eq!(records[1].started, START.plus_ms(10_050), "{told}");
        }
    }
}

/// D90. Catches a redial that is taken for something of the attempt before because the callee numbered a re-INVITE higher, and a BYE of the callee's
/// that does not prove that the redial was answered (A3).
#[test]
fn a_callees_numbers_say_nothing_of_the_callers() {
    let mut bench = Bench::new(100);
    bench.see(START, &invite("again", 1));
    bench.see(START.plus_ms(300), &response(200, "again", 1));
    let reinvite = message("INVITE sip:h SIP/2.0", "again", "102 INVITE", "t", "");
    bench.see(START.plus_ms(310), &turned(reinvite));
    bench.tick(START.plus_ms(9_000));
    bench.see(START.plus_ms(10_000), &invite("again", 3));
    bench.see(
        START.plus_ms(10_010),
        &message("SIP/2.0 180 X", "again", "3 INVITE", "u", ""),
    );
    bench.tick(START.plus_ms(10_112));
    let bye = message("BYE sip:h SIP/2.0", "again", "103 BYE", "u", "");
    bench.see(START.plus_ms(20_000), &turned(bye));
    bench.tick(START.plus_ms(30_000));
    let (records, counters) = bench.end();
    assert_eq!(counters.further_attempts, 1);
    let outcomes: Vec<_> = records.iter().map(|record| record.targets[0].outcome).collect();
    assert_eq!(outcomes, [Outcome::Answered, Outcome::Answered]);
}

/// Catches a verdict without an INVITE (D81, D84) that hangs on which of several messages was seen or read first: an ACK or a callee's BYE before
/// the 180, by a little or not at all, proves the answer all the same (A2, A3).
#[test]
fn what_proves_an_answer_may_come_before_what_makes_the_leg() {
    let bye = turned(message("BYE sip:h SIP/2.0", "seen", "9 BYE", "t", ""));
    let bye = String::from_utf8(bye).unwrap();
    let reinvite = bye.replace("BYE", "INVITE");
    let ack = message("ACK sip:h SIP/2.0", "seen", "1 ACK", "t", "");
    let ack = String::from_utf8(ack)
        .unwrap()
        .replace("branch=z9hG4bK", "branch=z9hG4bKa");
    for proof in [bye, reinvite, ack] {
        for (ring_ms, proof_ms) in [(10, 9), (10, 10), (10, 11)] {
            let ringing = (ring_ms, response(180, "seen", 1));
            let proof = (proof_ms, proof.clone().into_bytes());
            let told = [[&ringing, &proof], [&proof, &ringing]].map(|order| {
                let mut bench = Bench::new(100);
                for (ms, octets) in order {
                    bench.see(START.plus_ms(*ms), octets);
                }
                bench.tick(START.plus_ms(128));
                let (records, _) = bench.end();
                let targets = records.iter().map(|record| record.targets[0].outcome);
                targets.collect::<Vec<_>>()
            });
            let text = String::from_utf8_lossy(&proof.1);
            // An INVITE that was seen before is believed to have begun the dialog.
            let is_proof = !(text.starts_with("INVITE") && proof_ms < ring_ms);
            assert_eq!(told[0], told[1], "{ring_ms}, {proof_ms}: {text}");
            assert!(
                !is_proof || told[0] == [Outcome::Answered],
                "{ring_ms}, {proof_ms}: {text}"
            );
        }
    }
}

/// §4.5 point 4. Catches an answer after the verdict that nobody counts, or that makes a second record.
#[test]
fn a_late_answer_is_counted() {
    let mut bench = Bench::new(100);
    bench.see(START, &invite("late", 1));
    bench.see(START.plus_ms(300), &response(480, "late", 1));
    bench.tick(START.plus_ms(4_000));
    bench.see(START.plus_ms(4_100), &response(200, "late", 1));
    let (records, counters) = bench.end();
    assert_eq!(records.len(), 1);
    assert_eq!(counters.late_contradictions, 1);
}

/// The call's name is what docs/architecture.md says: anyone can compute it from the message.
#[test]
fn the_name_is_a_hash_of_call_id_tag_and_attempt() {
    let mut bench = Bench::new(100);
    bench.see(START, &invite("named", 1));
    bench.see(START.plus_ms(300), &response(486, "named", 1));
    let (records, _) = bench.end();
    // printf 'named\nfnamed\n0' | sha256sum
    assert_eq!(
        records[0].call,
        "4bdb50b8854f2eb6f599c718b502d1b87613324e8c232279c6191838774a9eb0"
    );
}

/// T_noresp and T_ring_max: catches a silent call given up too early, too late, or with another code.
#[test]
fn silence_ends_a_leg() {
    let at = |seconds: i64| START.plus_ms(seconds * 1000);
    let open_after = |wires: &[(i64, Vec<u8>)], seconds: i64| {
        let mut bench = Bench::new(100);
        for (second, text) in wires {
            bench.see(at(*second), text);
        }
        bench.tick(at(seconds));
        bench.table.counters().legs_open
    };
    let invited = [(0, invite("silent", 1))];
    assert_eq!(
        (open_after(&invited, 39), open_after(&invited, 41)),
        (1, 0),
        "T_noresp is 40 s on GI"
    );
    let ringing = [(0, invite("rings", 1)), (2, response(180, "rings", 1))];
    assert_eq!(
        (open_after(&ringing, 201), open_after(&ringing, 203)),
        (1, 0),
        "T_ring_max is 200 s after the 180"
    );
    let refreshed = [
        (0, invite("queue", 1)),
        (2, response(180, "queue", 1)),
        (150, response(180, "queue", 1)),
    ];
    assert_eq!(
        (open_after(&refreshed, 349), open_after(&refreshed, 351)),
        (1, 0),
        "refreshed by the second 180"
    );
}

/// Catches a panic, a leg counted twice or lost, and growth beyond the limit, on arbitrary sequences of
/// real messages, ticks, losses and steps of the clock to and fro.
#[test]
fn arbitrary_sequences_conserve_legs() {
    let stories: Vec<Vec<Wire>> = ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .map(|case| messages(&case))
        .collect();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(16);
        let limit = 16 + bench.table.shards() as u64;
        let mut now = START;
        for _ in 0..random.usize(1..200) {
            let story = &stories[random.usize(0..stories.len())];
            let wire = &story[random.usize(0..story.len())];
            now = now.plus_ms(random.i64(-300..3_000));
            if random.u8(0..4) == 0 {
                bench.tick(now);
            }
            bench.see(now, &wire.payload);
            let counters = bench.table.counters();
            assert!(
                counters.legs_open + counters.legs_finished <= limit,
                "seed {seed}: {counters:?}"
            );
        }
        let attempts = bench.table.counters().legs_made + bench.table.counters().further_attempts;
        let open = bench.table.counters().legs_open;
        let closed = bench.settler.counters().legs + bench.harvest.closed.len() as u64;
        assert_eq!(
            attempts,
            open + closed,
            "seed {seed}: every attempt is open or was given out once"
        );
        bench.end();
    }
}

/// Catches state that survives a reset: the same capture twice gives the same records twice.
#[test]
fn a_reset_table_is_new() {
    let case = &scenario("S01").expect("a row").cases()[0];
    let wires = mutate::duplicated(&messages(case));
    let mut bench = Bench::new(100);
    for _ in 0..2 {
        for wire in &wires {
            bench.see(wire.time, &wire.payload);
        }
        bench.finish();
        bench.table.reset();
    }
    let (records, _) = bench.end();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0], records[1]);
}

/// Catches a configuration without roles that turns an answered call into a missed one: sides are told by
/// the Via chain then.
#[test]
fn without_roles_forks_and_answers_still_hold() {
    let rules = Rules::new(&Config::default());
    for (id, outcome) in [
        ("S01", Outcome::CallerHungUp),
        ("S02", Outcome::Answered),
        ("S03", Outcome::Busy),
    ] {
        for case in scenario(id).expect("a row").cases() {
            let table = LegTable::new(100, 1);
            let mut routing = Routing::default();
            let wires = messages(&case);
            for wire in &wires {
                let message = ringtap_sip::parse(&wire.payload).expect("generated");
                let seen = Observation {
                    time: wire.time,
                    source: wire.source.ip(),
                    destination: wire.destination.ip(),
                    message,
                };
                table.apply(&[seen], &rules, &mut routing);
            }
            let rest = table.end(&rules, &mut routing);
            let (mut settler, mut records) = (Settler::new(&table), Vec::new());
            settler.settle(Time::MAX, rest, &rules, &mut records);
            settler.finish(&rules, &mut records);
            let records: Vec<CallRecord> = records.into_iter().map(|judged| judged.record).collect();
            assert_eq!(records.len(), 1, "{}", case.name);
            assert!(
                records[0].targets.iter().any(|target| target.outcome == outcome),
                "{}: {:#?}",
                case.name,
                records[0]
            );
        }
    }
}

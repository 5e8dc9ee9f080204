//! What joins legs of several Call-IDs into one call, and what must not: the keys of semantics.md §4 one by
//! one, pickups, queues, and what comes too late.
//!
//! Stories are written in the notation of the acceptance corpus; a story may put further header lines into
//! the INVITEs of a leg.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use ringtap_calls::settler::SettlerCounters;
use ringtap_calls::table::Routing;
use ringtap_calls::{Harvest, LegTable, Observation, Rules, Settler};
use ringtap_config::Config;
use ringtap_record::{CallRecord, Outcome, Time};
use ringtap_testkit::{Wire, fixtures, messages};

/// Width of an epoch, as a replay has it.
const EPOCH_US: i64 = 128_000;

/// A story and what is special about it.
struct Story<'a> {
    legs: &'a str,
    timeline: &'a str,
    /// Header lines for the INVITEs of a leg.
    headers: &'a [(&'a str, &'a str)],
    config: Config,
}

fn config(more: &[(&str, &str)]) -> Config {
    let mut text = fixtures::config_toml("j.db", "n.db", "smtp://127.0.0.1:25");
    for (section, line) in more {
        text = text.replacen(section, &format!("{section}\n{line}"), 1);
    }
    ringtap_config::from_toml(&text, "story").expect("a valid configuration")
}

fn story<'a>(legs: &'a str, timeline: &'a str) -> Story<'a> {
    Story {
        legs,
        timeline,
        headers: &[],
        config: config(&[]),
    }
}

impl Story<'_> {
    fn wires(&self) -> Vec<Wire> {
        let text = format!(
            "id: T1\nname: a story\nlegs: {}\ntimeline: {}\nexpected: none BUSY\n",
            self.legs, self.timeline
        );
        let rows = ringtap_testkit::scenario::read("story", &text).unwrap_or_else(|fault| panic!("{fault}"));
        let mut wires = messages(&rows[0].cases()[0]);
        for wire in &mut wires {
            for (leg, line) in self.headers {
                if wire.label.leg == *leg && wire.payload.starts_with(b"INVITE") {
                    let end = wire.payload.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                    let line = format!("{line}\r\n").into_bytes();
                    wire.payload.splice(end..end, line);
                }
            }
        }
        wires
    }

    fn run(&self) -> (Vec<CallRecord>, SettlerCounters) {
        run(&self.wires(), &self.config)
    }

    /// Each call as its targets with their outcomes, sorted.
    fn told(&self) -> Vec<Vec<(String, Outcome)>> {
        let (records, _) = self.run();
        let mut calls: Vec<Vec<_>> = records
            .iter()
            .map(|record| {
                let targets = record.targets.iter();
                let mut told: Vec<_> = targets
                    .map(|target| (token(&target.identity).to_owned(), target.outcome))
                    .collect();
                told.sort();
                told
            })
            .collect();
        calls.sort();
        calls
    }
}

fn run(wires: &[Wire], config: &Config) -> (Vec<CallRecord>, SettlerCounters) {
    let rules = Rules::new(config);
    let table = LegTable::new(1000, 1);
    let (mut routing, mut settler, mut judged) = (Routing::default(), Settler::new(&table), Vec::new());
    let mut last = None;
    for wire in wires {
        let epoch = wire.time.as_micros().div_euclid(EPOCH_US);
        let from = last.unwrap_or(epoch);
        for tick in from..epoch {
            let now = Time::from_micros((tick + 1) * EPOCH_US);
            let mut harvest = Harvest::default();
            for shard in 0..table.shards() {
                table.expire(shard, now, &rules, &mut harvest);
            }
            settler.settle(now, harvest, &rules, &mut judged);
        }
        last = Some(epoch);
        let seen = Observation {
            time: wire.time,
            source: wire.source.ip(),
            destination: wire.destination.ip(),
            message: ringtap_sip::parse(&wire.payload).expect("well formed"),
        };
        table.apply(&[seen], &rules, &mut routing);
    }
    let mut rest = Harvest::default();
    table.close_all(&rules, &mut rest.closed);
    settler.settle(Time::MAX, rest, &rules, &mut judged);
    settler.finish(&rules, &mut judged);
    assert_eq!(settler.legs_known(), 0, "nothing stays behind");
    let records = judged.into_iter().map(|judged| judged.record).collect();
    (records, settler.counters())
}

fn token(identity: &str) -> &str {
    ["U1", "U1m", "U2", "U3", "U4", "U5", "G1", "D1", "X1", "X2", "VM"]
        .into_iter()
        .find(|token| fixtures::identity(token) == identity)
        .unwrap_or(identity)
}

fn one(targets: &[(&str, Outcome)]) -> Vec<Vec<(String, Outcome)>> {
    vec![of(targets)]
}

fn of(targets: &[(&str, Outcome)]) -> Vec<(String, Outcome)> {
    targets
        .iter()
        .map(|(token, outcome)| ((*token).to_owned(), *outcome))
        .collect()
}

use Outcome::{
    Answered, AnsweredElsewhere, CallerHungUp, DivertedUnseen, ForwardedUnanswered, GroupUnanswered,
    NoAnswer, NotACall, PickedUp,
};

/// A B2BUA's two legs; the callee's starts `late` after the caller's.
const B2BUA: &str =
    "0:a>INV; 3:b>INV; 3.5:b<180; 3.55:a<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487";

/// Catches a charging id that ties strangers: another caller, or a second origin (K2, §4.1a).
#[test]
fn a_charging_id_ties_one_call_only() {
    let same = "a: GO-MO U2→U1 [icid=k2k2k2k2] / b: MT-GT U2→U1 [icid=k2k2k2k2]";
    assert_eq!(story(same, B2BUA).told(), one(&[("U1", CallerHungUp)]));
    let stranger = "a: GO-MO U2→U1 [icid=k2k2k2k2] / b: MT-GT X1→U1 [icid=k2k2k2k2]";
    assert_eq!(story(stranger, B2BUA).told().len(), 2, "callers differ");
    let short = "a: GO-MO U2→U1 [icid=k2k2k2k] / b: MT-GT U2→U1 [icid=k2k2k2k]";
    assert_eq!(
        story(short, B2BUA).told().len(),
        2,
        "seven octets identify nothing"
    );
    let two = "a: GI-MT-GT X1→U1 [icid=k2k2k2k2] / b: GI-MT-GT X1→U2 [icid=k2k2k2k2]";
    assert_eq!(story(two, B2BUA).told().len(), 2, "two origins are two calls");
}

/// Catches a related-icid that is not followed.
#[test]
fn a_related_charging_id_leads_to_the_other() {
    let legs = "a: GO-MO U2→U1 [icid=k2aaaaaa] / b: MT-GT U2→U1 [icid=k2bbbbbb]";
    let related = Story {
        headers: &[(
            "b",
            "P-Charging-Vector: icid-value=k2cccccc;related-icid=\"k2rrrrrr\"",
        )],
        ..story(legs, B2BUA)
    };
    assert_eq!(related.told().len(), 2);
    let related = Story {
        headers: &[
            ("a", "P-Charging-Vector: icid-value=\"k2rrrrrr\""),
            (
                "b",
                "P-Charging-Vector: icid-value=k2cccccc;related-icid=\"k2rrrrrr\"",
            ),
        ],
        ..story(legs, B2BUA)
    };
    assert_eq!(related.told(), one(&[("U1", CallerHungUp)]));
}

const NO_KEY: &str = "a: GO-MO U2→U1 [icid=k7aaaaaa] / b: MT-GT U2→U1 [icid=k7bbbbbb]";
const SESSION: &str = "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000";
const OTHER: &str = "Session-ID: 47755a9de7794ba387653f2099600ef2;remote=00000000000000000000000000000000";
const NIL: &str = "Session-ID: 00000000000000000000000000000000;remote=47755a9de7794ba387653f2099600ef2";

/// Catches a Session-ID that does not join, one that joins by the nil UUID, and K7 against two that differ.
#[test]
fn a_session_id_joins_and_separates() {
    let with = |a: &'static str, b: &'static str, timeline: &'static str| {
        Story {
            headers: &[("a", a), ("b", b)],
            ..story(
                "a: GO-MO U2→U1 [icid=k7aaaaaa] / b: MT-GT U2→U1 [icid=k7bbbbbb]",
                timeline,
            )
        }
        .told()
        .len()
    };
    let near = "0:a>INV; 0.06:b>INV; 0.5:b<180; 0.55:a<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487";
    assert_eq!(with(SESSION, SESSION, B2BUA), 1);
    assert_eq!(with(NIL, NIL, B2BUA), 2);
    assert_eq!(with(SESSION, OTHER, near), 2, "K7 rule 5");
    assert_eq!(with(SESSION, NIL, near), 1, "the nil UUID contradicts nothing");
}

/// Catches a configured header that is not compared, or one that is compared without being configured.
#[test]
fn a_configured_header_joins() {
    let headers: &[(&str, &str)] = &[("a", "x-cid: 77@sbc"), ("b", "X-CID:77@sbc ")];
    let plain = Story {
        headers,
        ..story(NO_KEY, B2BUA)
    };
    assert_eq!(plain.told().len(), 2);
    let configured = Story {
        headers,
        config: config(&[("[network]", "correlation_headers = [\"X-CID\"]")]),
        ..story(NO_KEY, B2BUA)
    };
    assert_eq!(configured.told(), one(&[("U1", CallerHungUp)]));
}

/// Catches an offer that was carried through and does not join (K6); the leg may start later than T_leg.
#[test]
fn the_same_offer_joins() {
    let story = story(NO_KEY, B2BUA);
    let mut wires = story.wires();
    let offer = |wire: &Wire| {
        let text = String::from_utf8_lossy(&wire.payload).into_owned();
        text.split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap()
    };
    let first = offer(wires.iter().find(|wire| wire.label.leg == "a").unwrap());
    for wire in &mut wires {
        if wire.label.leg == "b" && wire.payload.starts_with(b"INVITE") {
            let own = offer(wire);
            let text = String::from_utf8_lossy(&wire.payload).replace(&own, &first);
            let length = format!("Content-Length: {}", first.len());
            let text = text.replace(&format!("Content-Length: {}", own.len()), &length);
            wire.payload = text.into_bytes();
        }
    }
    let (records, counters) = run(&wires, &story.config);
    assert_eq!((records.len(), counters.joined), (1, 1));
}

/// Catches K7 beyond T_leg, against the order of time, or for two people of one office who call alike.
#[test]
fn people_and_time_join_within_bounds() {
    let late = |ms: u32| {
        let timeline = format!(
            "0:a>INV; {:.3}:b>INV; 4:b<180; 4.05:a<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487",
            f64::from(ms) / 1000.0
        );
        story(NO_KEY, &timeline).told().len()
    };
    assert_eq!((late(60), late(1_900), late(2_100)), (1, 1, 2));
    // The callee's leg comes first by more than T_reorder: it cannot have been made of the other. But it is the
    // same story told from both sides of the core, and one mail is enough (the second net of §4.5).
    let before = "0:b>INV; 0.7:a>INV; 4:b<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487";
    let (records, counters) = story(NO_KEY, before).run();
    assert_eq!((records.len(), counters.joined, counters.swallowed), (1, 0, 1));
    // The caller's leg has ended: nothing is made of it any more.
    let ended = "0:a>INV; 0.1:a<480; 1.5:b>INV; 2:b<180; 18:b>CAN; 18.05:b<487";
    assert_eq!(story(NO_KEY, ended).told().len(), 2);
}

/// Catches a nearer pair that loses to one found first (§4.2 rule 4).
#[test]
fn the_nearest_in_time_wins() {
    let legs = "a: GO-MO U2→U1 [icid=k7aaaaaa] / b: MT-GT U2→U1 [icid=k7bbbbbb] / \
                c: GO-MO U2→U1 [icid=k7cccccc] / d: MT-GT U2→U1 [icid=k7dddddd]";
    // c and d are answered, a and b are not; all four start within T_leg.
    let timeline = "0:a>INV; 1:c>INV; 0.05:b>INV; 1.05:d>INV; 0.5:b<180; 0.6:a<180; 1.5:d<180; 1.6:c<180; \
                    5:d<200; 5.1:c<200; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487; 30:c>BYE; 30.1:c<200/BYE";
    assert_eq!(
        story(legs, timeline).told(),
        vec![of(&[("U1", CallerHungUp)]), of(&[("U1", Answered)])]
    );
}

/// Catches a chain of diversions that breaks at its second link.
#[test]
fn a_diverted_call_may_be_diverted_again() {
    let legs = "a: GI X1→U1 / b: MT-GT X1→U1 [cid=a] / c: MT-GT X1→U2 [to=U1 hi=U1>U2:408] / \
                d: MT-GT X1→U3 [to=U1 hi=U2>U3:408]";
    let timeline = "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 15:b>CAN; 15.05:b<487; 15.1:c>INV; 15.5:c<180; \
                    30:c>CAN; 30.05:c<487; 30.1:d>INV; 30.5:d<180; 45:a>CAN; 45.02:d>CAN; 45.05:d<487; 45.06:a<487";
    assert_eq!(
        story(legs, timeline).told(),
        one(&[
            ("U1", ForwardedUnanswered),
            ("U2", ForwardedUnanswered),
            ("U3", CallerHungUp)
        ])
    );
}

/// Catches a diversion without a visible origin that is not joined, so that the one who diverted an answered
/// call hears of a missed one.
#[test]
fn a_diversion_is_followed_without_its_origin() {
    let legs = "b: MT-GT X1→U1 / c: MT-GT X1→U2 [to=U1 hi=U1>U2:408]";
    let timeline = "0:b>INV; 0.4:b<180; 15:b>CAN; 15.05:b<487; 15.1:c>INV; 15.5:c<180; 20:c<200";
    assert_eq!(
        story(legs, timeline).told(),
        one(&[("U1", Outcome::DivertedAnswered), ("U2", Answered)])
    );
}

/// Catches two calls to one group, at the same time by the same caller, whose members get mixed up.
#[test]
fn members_go_with_their_own_call() {
    let legs = "a: GI X2→G1 [icid=kgaaaaaa] / b: MT-GT X2→U2 [to=G1 hi=G1>U2 icid=kgbbbbbb] / c: GI X2→G1 [icid=kgcccccc] / \
                d: MT-GT X2→U3 [to=G1 hi=G1>U3 icid=kgdddddd]";
    let timeline = "0:a>INV; 0.05:b>INV; 0.4:b<180; 0.42:a<180; 2:c>INV; 2.05:d>INV; 2.4:d<180; 2.42:c<180; \
                    9:d<200; 9.02:c<200; 20:a>CAN; 20.02:b>CAN; 20.05:b<487; 20.06:a<487";
    assert_eq!(
        story(legs, timeline).told(),
        vec![
            of(&[("G1", GroupUnanswered), ("U2", GroupUnanswered)]),
            of(&[("G1", AnsweredElsewhere), ("U3", Answered)])
        ]
    );
}

/// A call that something in the core answers, and somebody who dials the pickup code.
const PICKUP: &str = "a: GI X1→U2 / b: MT-GT X1→U2 [cid=a] / p: GO-MO U3→PK [icid=pppppppp]";

fn picked_up(answered: &str) -> String {
    format!(
        "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; {answered}:p>INV; {answered}:p<200; 8.12:a<200; \
         8.15:b>CAN; 8.2:b<487"
    )
}

/// Catches a code that explains a call it has nothing to do with, by time, by the caller's end, or by the
/// reason that the cancel gives (D49).
#[test]
fn a_pickup_code_explains_what_fits() {
    let u2 = |timeline: &str| {
        let calls = story(PICKUP, timeline).told();
        calls
            .into_iter()
            .flatten()
            .find(|(who, _)| who == "U2")
            .map(|(_, outcome)| outcome)
    };
    assert_eq!(u2(&picked_up("8.1")), Some(PickedUp));
    assert_eq!(u2(&picked_up("9.0")), Some(PickedUp), "answered a little later");
    assert_eq!(u2(&picked_up("9.2")), Some(DivertedUnseen), "more than a second");
    let hung_up = "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 8:p>INV; 8.1:p<200; 8.12:a>CAN; 8.13:b>CAN; \
                   8.2:b<487; 8.21:a<487";
    assert_eq!(u2(hung_up), Some(CallerHungUp), "never if the caller gave up");
    let elsewhere = picked_up("8.1").replace("b>CAN", "b>CAN[R=Q.850;cause=26]");
    assert_eq!(u2(&elsewhere), Some(AnsweredElsewhere), "the cancel says why");
}

/// Catches a pickup that is lost when the caller's side is not visible: the cancel stands for the answer.
#[test]
fn a_pickup_without_the_callers_side() {
    let legs = "b: MT-GT X1→U2 / p: GO-MO U3→PK [icid=pppppppp]";
    let timeline = "0:b>INV; 0.4:b<180; 8:p>INV; 8.1:p<200; 8.15:b>CAN; 8.2:b<487";
    assert!(story(legs, timeline).told().contains(&of(&[("U2", PickedUp)])));
}

/// Catches one code that explains two calls, and a guess between two that fit alike; a configured group
/// decides.
#[test]
fn one_code_picks_up_one_call() {
    let legs = "a: GI X1→U2 / b: MT-GT X1→U2 [cid=a] / c: GI X2→U5 / d: MT-GT X2→U5 [cid=c] / \
                p: GO-MO U3→PK [icid=pppppppp]";
    let two = |second: &str| {
        format!(
            "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 1:c>INV; 1.02:d>INV; 1.4:d<180; 1.42:c<180; 8:p>INV; \
             8.1:p<200; 8.12:a<200; 8.15:b>CAN; 8.2:b<487; {second}:c<200; {second}:d>CAN; {second}:d<487"
        )
    };
    let outcomes = |story: &Story<'_>| {
        let mut all: Vec<_> = story.told().into_iter().flatten().collect();
        all.retain(|(who, _)| who == "U2" || who == "U5");
        all.sort();
        all
    };
    let nearer = two("8.4");
    assert_eq!(
        outcomes(&story(legs, &nearer)),
        of(&[("U2", PickedUp), ("U5", DivertedUnseen)])
    );
    let alike = two("8.125");
    assert_eq!(
        outcomes(&story(legs, &alike)),
        of(&[("U2", DivertedUnseen), ("U5", DivertedUnseen)])
    );
    let group = "pickup_groups = [[\"+862583091003\", \"+862583091005\"]]";
    let decided = Story {
        config: config(&[("[identities]", group)]),
        ..story(legs, &alike)
    };
    assert_eq!(
        outcomes(&decided),
        of(&[("U2", DivertedUnseen), ("U5", PickedUp)])
    );
}

/// Catches a Replaces that is taken for a pickup although nobody answered it, or although the dialog was
/// confirmed long ago (D48, D50).
#[test]
fn a_takeover_has_to_be_answered() {
    let legs = "a: GI X1→U2 / b: MT-GT X1→U2 [cid=a] / p: GO-MO U3→U2 [replaces=b icid=pppppppp]";
    let refused = "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 8:p>INV; 8.1:p<481; 20:a>CAN; 20.02:b>CAN; \
                   20.05:b<487; 20.06:a<487";
    assert_eq!(story(legs, refused).told(), one(&[("U2", CallerHungUp)]));
    let confirmed = "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 2:b<200; 2.02:a<200; 30:p>INV; 30.1:p<481; \
                     40:a>BYE; 40.1:a<200/BYE";
    assert_eq!(
        story(legs, confirmed).told(),
        vec![of(&[("U2", Answered)]), of(&[("U2", NotACall)])]
    );
}

/// Catches a queue's answer taken for a person's, and agents of a queue that are forgotten (D52).
#[test]
fn a_queue_is_no_person() {
    let queue = || config(&[("[identities]", "machine_numbers = [\"+861085091234\"]")]);
    // X2 stands for the queue's number here.
    let legs = "a: GI X1→X2 / b: MT-GT X1→U2 [to=X2 hi=X2>U2] / c: MT-GT X1→U3 [to=X2 hi=X2>U3]";
    let nobody = "0:a>INV; 0.2:a<200; 10:b>INV; 10.4:b<180; 25:b>CAN; 25.05:b<487; 25.1:c>INV; 25.5:c<180; \
                  40:a>BYE; 40.05:a<200/BYE; 40.06:c>CAN; 40.1:c<487";
    let story_of = |timeline| Story {
        config: queue(),
        ..story(legs, timeline)
    };
    assert_eq!(
        story_of(nobody).told(),
        one(&[
            ("U2", GroupUnanswered),
            ("U3", GroupUnanswered),
            ("X2", GroupUnanswered)
        ])
    );
    let agent = "0:a>INV; 0.2:a<200; 10:b>INV; 10.4:b<180; 25:b>CAN; 25.05:b<487; 25.1:c>INV; 25.5:c<180; \
                 30:c<200; 60:a>BYE; 60.05:a<200/BYE; 60.06:c>BYE; 60.1:c<200/BYE";
    assert_eq!(
        story_of(agent).told(),
        one(&[
            ("U2", AnsweredElsewhere),
            ("U3", Answered),
            ("X2", AnsweredElsewhere)
        ])
    );
}

/// Catches a member that rang out whose own code is lost (D47: told with `group_member = "always"`).
#[test]
fn a_members_own_code_is_kept() {
    let legs = "a: GI X1→G1 / b: MT-GT X1→U2 [to=G1 hi=G1>U2] / c: MT-GT X1→U3 [to=G1 hi=G1>U3]";
    let timeline = "0:a>INV; 0.05:b>INV; 0.4:b<180; 0.42:a<180; 15:b>CAN; 15.05:b<487; 15.1:c>INV; 15.5:c<180; \
                    18:c<200; 18.05:a<200";
    let (records, _) = story(legs, timeline).run();
    let member = records[0]
        .targets
        .iter()
        .find(|target| token(&target.identity) == "U2")
        .expect("a member");
    assert_eq!((member.outcome, member.base), (AnsweredElsewhere, Some(NoAnswer)));
    assert_eq!(member.group.as_deref().map(token), Some("G1"));
}

/// Catches a short answer that is not told from others, or one that is measured wrongly (D01).
#[test]
fn a_short_answer_is_measured() {
    let timeline = "0:a>INV; 0.4:a<180; 6:a<200; 8.5:a>BYE; 8.6:a<200/BYE";
    let legs = "a: GI-MT-GT X1→U1";
    let (records, _) = story(legs, timeline).run();
    assert_eq!(records[0].talk_ms, None, "settled before the BYE");
    let measured = Story {
        config: config(&[("[policy.notify]", "short_answer_s = 4")]),
        ..story(legs, timeline)
    };
    let (records, _) = measured.run();
    let talk_ms = records[0].talk_ms.expect("both were seen");
    assert!((2_400..2_600).contains(&talk_ms), "{talk_ms}");
}

/// Catches a transfer that forgets who transferred (D51).
#[test]
fn a_transfer_names_the_one_who_transferred() {
    let transferred = Story {
        headers: &[("a", "Referred-By: <sip:+862583091002@ims.office.test;user=phone>")],
        ..story("a: GI-MT-GT X1→U1", "0:a>INV; 0.4:a<180; 9:a>CAN; 9.05:a<487")
    };
    let (records, _) = transferred.run();
    assert_eq!(records[0].referred_by.as_deref(), Some(fixtures::identity("U2")));
}

/// Catches a call whose name depends on which of its legs came first (§4.5).
#[test]
fn the_origin_names_the_call() {
    let alone = story("a: GO-MO U2→U1 [icid=k7aaaaaa]", "0:a>INV; 0.2:a<480")
        .run()
        .0;
    let swapped =
        "0.05:a>INV; 0.01:b>INV; 0.5:b<180; 0.55:a<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487";
    let both = story(NO_KEY, swapped).run().0;
    assert_eq!(both.len(), 1);
    assert_eq!(both[0].call, alone[0].call);
    assert_eq!(both[0].legs, 2);
}

/// Catches a leg that ends early and does not wait for its sibling: the record must not come before the
/// sibling's end, and it must come then.
#[test]
fn a_closed_leg_waits_for_its_sibling() {
    let timeline = "0:a>INV; 0.06:b>INV; 0.5:b<180; 0.55:a<180; 5:b<486; 60:a<486";
    assert_eq!(story(NO_KEY, timeline).told(), one(&[("U1", Outcome::Declined)]));
    let (_, counters) = story(NO_KEY, timeline).run();
    assert_eq!(
        (counters.legs, counters.calls, counters.heuristic_joins),
        (2, 1, 1)
    );
}

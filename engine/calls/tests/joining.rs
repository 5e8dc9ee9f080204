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
use ringtap_calls::{LegTable, Observation, Rules, Settler};
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
            let harvest = table.end_epoch(now, &rules, &mut routing);
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
    let rest = table.end(&rules, &mut routing);
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
    // As far apart on both sides: the first to be settled must not leave the code to the second.
    let around = two("8.6").replace(
        "8.12:a<200; 8.15:b>CAN; 8.2:b<487",
        "7.6:a<200; 7.6:b>CAN; 7.65:b<487",
    );
    assert_eq!(
        outcomes(&story(legs, &around)),
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

const QUEUE: &str = "a: GI X1→X2 / b: MT-GT X1→U2 [to=X2 hi=X2>U2] / c: MT-GT X1→U3 [to=X2 hi=X2>U3]";

fn queue() -> Config {
    config(&[("[identities]", "machine_numbers = [\"+861085091234\"]")])
}

/// Catches a queue whose caller is not seen to go: without the BYE its agents would be judged alone (D52).
#[test]
fn a_queue_without_its_bye_keeps_its_agents() {
    let timeline =
        "0:a>INV; 0.2:a<200; 10:b>INV; 10.4:b<180; 25:b>CAN; 25.05:b<487; 40:c>INV; 40.4:c<180; 46:c<200";
    let lost = Story {
        config: queue(),
        ..story(QUEUE, timeline)
    };
    let told = one(&[
        ("U2", AnsweredElsewhere),
        ("U3", Answered),
        ("X2", AnsweredElsewhere),
    ]);
    assert_eq!(lost.told(), told);
    // And so if the queue's INVITE was lost: To tells whom the 2xx speaks for.
    let mut wires = lost.wires();
    wires.retain(|wire| !(wire.label.leg == "a" && wire.payload.starts_with(b"INVITE")));
    let (records, _) = run(&wires, &lost.config);
    let missed = records.iter().flat_map(|record| &record.targets);
    assert_eq!(
        missed.filter(|target| target.outcome.is_missed()).count(),
        0,
        "{records:#?}"
    );
}

/// Catches a queue that rings so many agents so often that the first of them are forgotten.
#[test]
fn a_queue_may_ring_for_long() {
    let (mut legs, mut steps) = ("a: GI X1→X2".to_owned(), "0:a>INV; 0.2:a<200".to_owned());
    for round in 0..150 {
        let agent = if round % 2 == 0 { "U2" } else { "U3" };
        let start = 5 + round * 15;
        legs += &format!(" / b{round}: MT-GT X1→{agent} [to=X2 hi=X2>{agent}]");
        steps += &format!("; {start}:b{round}>INV; {start}.4:b{round}<180");
        steps += &if round == 149 {
            format!("; {}:b{round}<200", start + 3)
        } else {
            format!("; {}:b{round}>CAN; {}.05:b{round}<487", start + 14, start + 14)
        };
    }
    steps += "; 2300:a>BYE; 2300.1:a<200/BYE";
    let long = Story {
        config: queue(),
        ..story(&legs, &steps)
    };
    assert_eq!(
        long.told(),
        one(&[
            ("U2", AnsweredElsewhere),
            ("U3", Answered),
            ("X2", AnsweredElsewhere)
        ])
    );
}

/// Catches a diverted leg that, being named, pulls a second call of the same people into its own (§4.4).
#[test]
fn naming_joins_the_nearest_only() {
    let legs = "a: GI X2→U1 [icid=knaaaaaa] / b: MT-GT X2→U1 [icid=knbbbbbb] / \
                c: MT-GT X2→U2 [to=U1 hi=U1>U2:408 icid=kncccccc] / d: GI X2→U1 [icid=kndddddd] / \
                e: MT-GT X2→U1 [icid=kneeeeee]";
    let timeline = "0:a>INV; 0.05:b>INV; 0.4:b<180; 0.42:a<180; 5:d>INV; 5.05:e>INV; 5.4:e<180; 5.42:d<180; \
                    19:e<200; 19.05:d<200; 20:b>CAN; 20.05:b<487; 20.1:c>INV; 20.5:c<180; 40:a>CAN; 40.03:c>CAN; \
                    40.05:c<487; 40.06:a<487; 60:d>BYE; 60.1:d<200/BYE";
    assert_eq!(
        story(legs, timeline).told(),
        vec![
            of(&[("U1", ForwardedUnanswered), ("U2", CallerHungUp)]),
            of(&[("U1", Answered)])
        ]
    );
}

/// Catches a redial to a group that is taken for further members of the first attempt (§4.3).
#[test]
fn a_redial_to_a_group_is_a_call_of_its_own() {
    let legs = "b: MT-GT X1→U2 [to=G1 hi=G1>U2 icid=kraaaaaa] / c: MT-GT X1→U3 [to=G1 hi=G1>U3 icid=krbbbbbb] / \
                d: MT-GT X1→U2 [to=G1 hi=G1>U2 icid=krcccccc] / e: MT-GT X1→U3 [to=G1 hi=G1>U3 icid=krdddddd]";
    let timeline = "0:b>INV; 0:c>INV; 0.4:b<180; 0.4:c<180; 10:b>CAN; 10:c>CAN; 10.05:b<487; 10.05:c<487; \
                    11.95:d>INV; 11.95:e>INV; 12.4:d<180; 12.4:e<180; 20:d>CAN; 20:e>CAN; 20.05:d<487; 20.05:e<487";
    let twice = of(&[("U2", CallerHungUp), ("U3", CallerHungUp)]);
    assert_eq!(story(legs, timeline).told(), vec![twice.clone(), twice]);
}

/// Catches a Reason that explains another device's refusal and is taken for that of the cancel (§2.2 pooling b).
#[test]
fn a_refusals_reason_is_its_own() {
    let legs = "a: GI X1→U1 / b: MT-GT X1→U1 [cid=a] / c: MT-GT X1→U1 [cid=a dev=2]";
    let timeline = "0:a>INV; 0.02:b>INV; 0.02:c>INV; 0.3:c<480[R=Q.850;cause=21]; 0.4:b<180#1; 0.42:a<180#1; 20:a>CAN; \
                    20.01:b>CAN; 20.05:b<487#1; 20.08:a<487#1";
    assert_eq!(story(legs, timeline).told(), one(&[("U1", CallerHungUp)]));
}

/// Catches one device's reject that silences another which rang on for long.
#[test]
fn a_rejected_device_does_not_silence_the_others() {
    let legs = "a: GI X1→U1 / b: MT-GT X1→U1 [cid=a] / c: MT-GT X1→U1 [cid=a dev=2]";
    let timeline = "0:a>INV; 0.02:b>INV; 0.02:c>INV; 0.4:b<180#1; 0.42:a<180#1; 0.5:c<180#2; 9:c<486#2; 40:a>CAN; \
                    40.01:b>CAN; 40.05:b<487#1; 40.08:a<487#1";
    assert_eq!(story(legs, timeline).told(), one(&[("U1", CallerHungUp)]));
}

/// Catches a withheld caller whose second leg shows nobody, so that the two are not joined and told twice; and
/// one who shows as the transferring or picking party (§3.4).
#[test]
fn who_withholds_is_one_caller_and_nobody() {
    let legs = "a: GO-MO U2→U1 [icid=kpaaaaaa priv=id] / b: MT-GT U2→U1 [icid=kpbbbbbb priv=id]";
    let near = "0:a>INV; 0.06:b>INV; 0.5:b<180; 0.55:a<180; 18:a>CAN; 18.03:b>CAN; 18.05:b<487; 18.06:a<487";
    let hidden = Story {
        headers: &[("a", "Referred-By: <sip:+862583091002@ims.office.test;user=phone>")],
        ..story(legs, near)
    };
    let mut wires = hidden.wires();
    for wire in wires.iter_mut().filter(|wire| wire.label.leg == "b") {
        let text = String::from_utf8_lossy(&wire.payload).into_owned();
        let lines = text
            .split("\r\n")
            .filter(|line| !line.starts_with("P-Asserted-Identity"));
        let lines = lines.map(|line| {
            match line
                .strip_prefix("From:")
                .and_then(|from| from.split_once(";tag="))
            {
                Some((_, tag)) => format!("From: <sip:anonymous@anonymous.invalid>;tag={tag}"),
                None => line.to_owned(),
            }
        });
        wire.payload = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    }
    let (records, _) = run(&wires, &hidden.config);
    assert_eq!(records.len(), 1, "{records:#?}");
    assert!(records[0].caller.withheld && records[0].referred_by.is_none());

    let pickup = "a: GI X1→U2 / b: MT-GT X1→U2 [cid=a] / p: GO-MO U3→U2 [replaces=b priv=id icid=pppppppp]";
    let timeline =
        "0:a>INV; 0.02:b>INV; 0.4:b<180; 0.42:a<180; 8:p>INV; 8.1:p<200; 8.12:a<200; 8.15:b>CAN; 8.2:b<487";
    let (records, _) = story(pickup, timeline).run();
    assert_eq!(records[0].answered_by, None);
    assert_eq!(records[0].targets[0].outcome, PickedUp);
}

/// Catches offers that say nothing (no address yet, a constant origin) and tie strangers (K6).
#[test]
fn an_empty_offer_ties_nobody() {
    let legs = "a: GI X1→U1 [icid=koaaaaaa] / b: MT-GT X1→U1 [icid=kobbbbbb]";
    let timeline = "0:a>INV; 5:b>INV; 5.4:b<180; 9:a>CAN; 9.05:a<487; 12:b<200";
    let story = story(legs, timeline);
    let mut wires = story.wires();
    for wire in wires
        .iter_mut()
        .filter(|wire| wire.payload.starts_with(b"INVITE"))
    {
        let text = String::from_utf8_lossy(&wire.payload).into_owned();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let body = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
        let head = head
            .split("\r\n")
            .filter(|line| !line.starts_with("Content-Length"));
        let head = head.collect::<Vec<_>>().join("\r\n");
        wire.payload = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
    }
    let (records, _) = run(&wires, &story.config);
    assert_eq!(records.len(), 2, "{records:#?}");
}

/// Catches a constant charging id that costs every leg a look at all others, or joins what it must not.
#[test]
fn a_constant_charging_id_identifies_nothing() {
    let (mut legs, mut steps) = (Vec::new(), Vec::new());
    for call in 0..80 {
        let callee = ["U1", "U2", "U3", "U5"][call % 4];
        legs.push(format!("a{call}: GI X1→{callee} [icid=constant0]"));
        steps.push(format!("0.{call:02}:a{call}>INV; 2.{call:02}:a{call}<486"));
    }
    let (records, _) = story(&legs.join(" / "), &steps.join("; ")).run();
    assert_eq!(records.len(), 80);
}

/// Catches a mapping to another user that is only marked (`mp=`) and is no diversion then (§2.5 source 1).
#[test]
fn a_marked_mapping_is_a_diversion() {
    let legs = "a: GI X1→U1 / c: MT-GT X1→U2 [to=U1]";
    let timeline =
        "0:a>INV; 0.05:c>INV; 0.4:c<180; 0.42:a<180; 20:a>CAN; 20.02:c>CAN; 20.05:c<487; 20.06:a<487";
    let mapped = Story {
        headers: &[(
            "c",
            "History-Info: <sip:+862583091001@ims.office.test>;index=1, \
             <sip:+862583091002@ims.office.test>;index=1.1;mp=1",
        )],
        ..story(legs, timeline)
    };
    assert_eq!(
        mapped.told(),
        one(&[("U1", ForwardedUnanswered), ("U2", CallerHungUp)])
    );
}

/// Catches a call back that somebody made himself and that is taken for the recall of one (D66).
#[test]
fn a_completion_call_rings_for_its_target() {
    let recall = |legs: &'static str| {
        let headers: &[(&str, &str)] = &[("a", "Call-Info: <sip:m@ims.office.test>;purpose=call-completion")];
        Story {
            headers,
            ..story(legs, "0:a>INV; 0.4:a<180; 9:a>CAN; 9.05:a<487")
        }
        .told()
    };
    assert_eq!(recall("a: GO-MO-MT-GT U2→U1"), one(&[("U1", CallerHungUp)]));
    assert_eq!(recall("a: MT-GT U2→U1"), one(&[("U1", NotACall)]));
}

/// Catches paging that is silent whatever happens to it: only a refusal is not told (D69).
#[test]
fn paging_is_a_call_unless_refused() {
    let paging = |timeline: &'static str| {
        Story {
            config: config(&[("[identities]", "paging_numbers = [\"+862583091001\"]")]),
            ..story("a: GI-MT-GT X1→U1", timeline)
        }
        .told()
    };
    assert_eq!(
        paging("0:a>INV; 0.4:a<180; 9:a>CAN; 9.05:a<487"),
        one(&[("U1", CallerHungUp)])
    );
    assert_eq!(paging("0:a>INV; 0.3:a<486"), one(&[("U1", NotACall)]));
}

/// Catches a call's name, and an order of records, that hang on which hop's message a worker joined first.
#[test]
fn names_do_not_hang_on_the_order_of_arrival() {
    let legs =
        "b: MT-GT X1→U2 [to=G1 hi=G1>U2 icid=kqaaaaaa] / c: MT-GT X1→U3 [to=G1 hi=G1>U3 icid=kqbbbbbb]";
    let timeline = "0:b>INV; 0.005:c>INV; 0.4:b<180; 0.4:c<180; 9:b>CAN; 9:c>CAN; 9.05:b<487; 9.05:c<487";
    let story = story(legs, timeline);
    let wires = story.wires();
    let names = |wires: &[Wire]| -> Vec<String> {
        run(wires, &story.config)
            .0
            .into_iter()
            .map(|record| record.call)
            .collect()
    };
    let wanted = names(&wires);
    for seed in 0..20 {
        let mut shuffled = wires.clone();
        let epochs = shuffled.chunk_by_mut(|a, b| {
            a.time.as_micros().div_euclid(EPOCH_US) == b.time.as_micros().div_euclid(EPOCH_US)
        });
        let mut random = fastrand::Rng::with_seed(seed);
        epochs.for_each(|epoch| random.shuffle(epoch));
        assert_eq!(names(&shuffled), wanted, "seed {seed}");
    }
}

/// Catches a member of a group whose INVITE was lost on every hop and who hears of a call that a colleague took:
/// what the callee's side asserts says whose the phone is, and To for whom the call was first (§4.4).
#[test]
fn a_partial_member_is_of_the_groups_call() {
    let legs = "a: GI X1→G1 [icid=kuaaaaaa] / b: MT-GT X1→U2 [to=G1 hi=G1>U2 icid=kubbbbbb] / \
                c: MT-GT X1→U3 [to=G1 hi=G1>U3 icid=kucccccc]";
    let timeline = "0:a>INV; 0.05:b>INV; 0.05:c>INV; 0.4:b<180[PAI=U2]; 0.4:c<180; 0.42:a<180; 9:c<200; 9.02:a<200; \
                    9.03:b>CAN; 9.05:b<487";
    let story = story(legs, timeline);
    let mut wires = story.wires();
    wires.retain(|wire| !(wire.label.leg == "b" && wire.payload.starts_with(b"INVITE")));
    let (records, _) = run(&wires, &story.config);
    let targets = records.iter().flat_map(|record| &record.targets);
    let missed: Vec<_> = targets.filter(|target| target.outcome.is_missed()).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    assert_eq!(records.len(), 1);
}

/// Catches requests within the dialog, of either side, and what answers them, that another worker reads before the INVITE, in the same epoch, and
/// that are lost or make a leg of their own: whatever the order, the same record (A3, D01, D60).
#[test]
fn what_is_within_a_dialog_may_come_before_its_invite() {
    // The final is lost, so that all hangs on what follows; or it is there, and the talk ends at once.
    for (timeline, lost) in [
        ("0:a>INV; 0.01:a<180; 0.02:a<200; 0.03:a>BYE", ""),
        ("0:a>INV; 0.01:a<180; 0.02:a<200; 0.03:a<BYE", ""),
        ("0:a>INV; 0.01:a<180; 0.02:a<200; 0.03:a>BYE", "200"),
        ("0:a>INV; 0.01:a<180; 0.02:a<200; 0.03:a<BYE", "200"),
    ] {
        let story = story("a: GI X1→U1", timeline);
        let mut wires = story.wires();
        let reinvites = reinvites(&wires);
        for more in [Vec::new(), reinvites] {
            let is_lost = |wire: &Wire| {
                !lost.is_empty()
                    && (wire.payload.starts_with(b"SIP/2.0 200") || wire.payload.starts_with(b"ACK"))
            };
            wires.retain(|wire| !is_lost(wire));
            wires.extend(more);
            wires.sort_by_key(|wire| wire.time);
            let into_epoch = wires[0].time.as_micros().rem_euclid(EPOCH_US);
            wires
                .iter_mut()
                .for_each(|wire| wire.time = wire.time.plus_us(EPOCH_US - into_epoch));
            let epoch = wires[0].time.as_micros().div_euclid(EPOCH_US);
            assert!(
                wires
                    .iter()
                    .all(|wire| wire.time.as_micros().div_euclid(EPOCH_US) == epoch),
                "one epoch"
            );
            let (wanted, counters) = run(&wires, &story.config);
            assert_eq!((wanted.len(), counters.legs), (1, 1), "{timeline} without {lost}");
            let mut random = fastrand::Rng::with_seed(1);
            for _ in 0..200 {
                let mut shuffled = wires.clone();
                random.shuffle(&mut shuffled);
                let (got, counters) = run(&shuffled, &story.config);
                assert_eq!(got, wanted, "{timeline} without {lost}");
                assert_eq!(counters.legs, 1);
            }
        }
    }
}

/// A re-INVITE of each side with its 200, after the answer.
fn reinvites(wires: &[Wire]) -> Vec<Wire> {
    let text = |wire: &Wire| String::from_utf8(wire.payload.clone()).unwrap();
    let find = |word: &str| wires.iter().find(|wire| text(wire).starts_with(word)).unwrap();
    let answer = find("SIP/2.0 200");
    let value = |name: &str| {
        let text = text(answer);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].to_owned()
    };
    let (caller, callee) = (value("From:"), value("To:"));
    let made = |is_callers: bool, start: &str, after_ms: i64| {
        let (from, to) = if is_callers {
            (&caller, &callee)
        } else {
            (&callee, &caller)
        };
        let mut wire = find("INVITE").clone();
        if is_callers == start.starts_with("SIP") {
            std::mem::swap(&mut wire.source, &mut wire.destination);
        }
        wire.time = answer.time.plus_ms(after_ms);
        wire.payload = format!(
            "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{is_callers}\r\nFrom:{from}\r\nTo:{to}\r\nCall-ID:{}\r\n\
             CSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n",
            value("Call-ID:")
        )
        .into_bytes();
        wire
    };
    vec![
        made(true, "INVITE sip:h SIP/2.0", 2),
        made(true, "SIP/2.0 200 OK", 3),
        made(false, "INVITE sip:h SIP/2.0", 4),
        made(false, "SIP/2.0 200 OK", 5),
    ]
}

/// Catches an ACK that another worker reads before the INVITE, in the same epoch, and that is lost: where the final
/// was not captured it is all that tells of it (§2.2 pooling d).
#[test]
fn an_ack_may_come_before_its_invite() {
    let story = story("a: GI X1→U1", "0.3:a>INV; 0.35:a<404!");
    let wires = story.wires();
    assert_eq!(wires.len(), 2, "INVITE and ACK");
    let (wanted, _) = run(&wires, &story.config);
    assert_eq!(wanted[0].targets[0].outcome, Outcome::PossiblyMissed);
    let turned: Vec<Wire> = wires.into_iter().rev().collect();
    assert_eq!(run(&turned, &story.config).0, wanted);
}

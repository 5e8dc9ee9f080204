//! Identities that are registered together: when one counts as an account by itself, what the operator is shown,
//! and that mails follow.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::convert::Infallible;
use std::path::Path;

use ringtap_config::{Config, Learn};
use ringtap_journal::{ImplicitSet, Options, Reader, Writer};
use ringtap_notifier::intake::Rules;
use ringtap_notifier::kin::{self, SuggestionKind};
use ringtap_notifier::store::Store;
use ringtap_notifier::subscriptions;
use ringtap_record::{CallRecord, Caller, Outcome, Target, Time};

const LI: &str = "+862583091001";
const LI_MOBILE: &str = "+8613800001001";
const WANG: &str = "+862583091002";
const DESK: &str = "+862583091010";
const QUIET: &str = "+862583091004";
/// Nobody's.
const X: &str = "sip:x@ims.office.test";
const Y: &str = "sip:y@ims.office.test";

const PEOPLE: &str = "\
user,name,email,locale,timezone,subscribed,account,label,aliases
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,,sip:li@ims.office.test
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+8613800001001,,
wang,王芳,wang@office.test,en,Asia/Shanghai,yes,+862583091002,,
wang,王芳,wang@office.test,en,Asia/Shanghai,yes,+862583091010,,
sun,Sun Li,sun@office.test,en,Asia/Shanghai,yes,+862583091010,,
chen,陈洁,chen@office.test,zh-CN,Asia/Shanghai,no,+862583091004,,
";

fn config() -> Config {
    let text = "[numbering]\ncountry = \"86\"\narea = \"25\"\n[network]\npcscf = [\"10.20.0.1\"]\n[identities]\nlearn = \"auto\"\n";
    ringtap_config::from_toml(text, "test").unwrap()
}

fn store(path: &Path) -> Store {
    let mut store = Store::open(path).unwrap();
    let people = subscriptions::read(Path::new("p"), PEOPLE.as_bytes(), &config().plan).unwrap();
    store.import(&people, false).unwrap();
    store
}

fn set(aor: &str, members: &[&str]) -> ImplicitSet {
    let mut members: Vec<_> = members.iter().map(|member| (*member).into()).collect();
    members.sort_unstable();
    ImplicitSet {
        aor: aor.into(),
        members,
        seen: Time::from_micros(1_714_962_221_000_000),
    }
}

/// Seventeen identities.
fn crowd() -> Vec<String> {
    (0..16)
        .map(|at| format!("sip:c{at}@h"))
        .chain([X.to_owned()])
        .collect()
}

/// Catches a merge that is not certain, and one that is and is left out.
#[test]
fn what_counts_by_itself() {
    let account = |identity: &str| match identity {
        LI | "sip:li@ims.office.test" => Some(LI),
        LI_MOBILE => Some(LI_MOBILE),
        WANG => Some(WANG),
        _ => None,
    };
    let mut crowd: Vec<String> = crowd();
    crowd[0] = LI.to_owned();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    for (sets, wanted, why) in [
        (vec![set(LI, &[LI, X])], Some(LI), "one account"),
        (
            vec![set(X, &[LI, X, Y, "sip:li@ims.office.test"])],
            Some(LI),
            "one account, two names",
        ),
        (vec![set(LI, &[LI, X]), set(X, &[LI, X])], Some(LI), "told twice"),
        (vec![], None, "in no set"),
        (vec![set(X, &[X, Y])], None, "with nobody known"),
        (vec![set(X, &[X])], None, "alone"),
        (vec![set(LI, &[LI, WANG, X])], None, "two people"),
        (vec![set(LI, &[LI, LI_MOBILE, X])], None, "two accounts"),
        (
            vec![set(LI, &[LI, X]), set(WANG, &[WANG, X])],
            None,
            "shared by two",
        ),
        (
            vec![set(LI, &[LI, X]), set(WANG, &[LI, WANG])],
            None,
            "what it is with is shared",
        ),
        (vec![set(LI, &[LI, X]), set(X, &[X, Y])], None, "contradiction"),
        (vec![set(LI, &crowd)], None, "a crowd"),
    ] {
        let sets_of = |member: &str| {
            let with = |set: &&ImplicitSet| set.members.iter().any(|one| one == member);
            Ok::<_, Infallible>(sets.iter().filter(with).cloned().collect())
        };
        let found = kin::registered_with(X, sets_of, |identity| Ok(account(identity).map(str::to_owned)));
        assert_eq!(found.unwrap().as_deref(), wanted, "{why}");
    }
}

/// Catches suggestions that are wrong, missing, or not to be acted on; and conflicts that stay hidden.
#[test]
fn what_the_operator_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let holders = store(&folder.path().join("n.db")).holders().unwrap();
    let shown = |sets: &[ImplicitSet]| {
        kin::suggestions(sets, &holders)
            .into_iter()
            .map(|one| {
                format!(
                    "{:?} {} {} {}",
                    one.kind,
                    one.users.join("+"),
                    one.accounts.join("+"),
                    one.identities.join(" ")
                )
            })
            .collect::<Vec<_>>()
    };
    let mut crowd = crowd();
    crowd[0] = LI.to_owned();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    for (sets, wanted) in [
        (
            vec![set(LI, &[LI, X, Y]), set(X, &[LI, X, Y])],
            vec![format!("Alias liming {LI} {X} {Y}")],
        ),
        (
            vec![set(DESK, &[DESK, X])],
            vec![format!("Alias sun+wang {DESK} {X}")],
        ),
        (
            vec![set(LI, &[LI, LI_MOBILE, X])],
            vec![format!("Alias liming {LI_MOBILE}+{LI} {X}")],
        ),
        (
            vec![
                set(LI, &[LI, LI_MOBILE]),
                set(LI, &[LI, "sip:li@ims.office.test"]),
            ],
            vec![],
        ),
        (vec![set(X, &[X, Y]), set(LI, &[LI])], vec![]),
        (
            vec![set(LI, &[LI, WANG])],
            vec![format!("DifferentPeople liming+wang {LI}+{WANG} {LI} {WANG}")],
        ),
        (
            vec![set(WANG, &[DESK, WANG])],
            vec![format!("DifferentPeople sun+wang {WANG}+{DESK} {WANG} {DESK}")],
        ),
        (
            vec![set(LI, &[LI, X]), set(WANG, &[WANG, X])],
            vec![
                format!("SeveralSets liming {LI} {LI} {X}"),
                format!("SeveralSets wang {WANG} {WANG} {X}"),
            ],
        ),
        (
            vec![set(QUIET, &[QUIET, X])],
            vec![format!("Alias chen {QUIET} {X}")],
        ),
    ] {
        assert_eq!(shown(&sets), wanted);
    }
    let many = kin::suggestions(&[set(LI, &crowd)], &holders);
    assert_eq!((many.len(), many[0].kind), (1, SuggestionKind::TooMany));
}

fn missed(call: &str, identities: &[&str]) -> CallRecord {
    let at = Time::from_micros(1_714_962_221_000_000);
    CallRecord {
        call: call.to_owned(),
        started: at,
        ended: at,
        caller: Caller::default(),
        dialled: None,
        answered_by: None,
        machine: false,
        talk_ms: None,
        referred_by: None,
        targets: identities
            .iter()
            .map(|identity| Target {
                identity: (*identity).into(),
                outcome: Outcome::Busy,
                base: None,
                alerted: false,
                ring_ms: 0,
                diverted_to: None,
                group: None,
                started: at,
                ended: at,
            })
            .collect(),
        legs: 1,
        flags: Vec::new(),
    }
}

/// Catches mails to the wrong person, two to one, none in mode `auto`, and any by a learned set in the others.
#[test]
fn who_gets_a_mail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.db");
    let writer = Writer::spawn(&path, Options::default()).unwrap();
    for set in [
        set(LI, &[LI, X]),
        set(DESK, &[DESK, "sip:desk@h"]),
        set(QUIET, &[QUIET, "sip:quiet@h"]),
        set(WANG, &[WANG, LI_MOBILE, "sip:both@h"]),
    ] {
        writer.send_set(set).unwrap();
    }
    writer.send(missed("a", &[X])).unwrap();
    writer.send(missed("b", &[X, LI])).unwrap();
    writer.send(missed("c", &["sip:desk@h"])).unwrap();
    writer
        .send(missed("d", &["sip:quiet@h", "sip:both@h", Y]))
        .unwrap();
    writer.send(missed("e", &[QUIET])).unwrap();
    writer.finish().unwrap();
    let config = config();
    for (learn, wanted) in [
        (Learn::Auto, vec!["a liming", "b liming", "c sun", "c wang"]),
        (Learn::Suggest, vec!["b liming"]),
        (Learn::Off, vec!["b liming"]),
    ] {
        let mut store = store(&folder.path().join(format!("{learn:?}.db")));
        let rules = Rules {
            policy: &config.policy,
            stale_after_h: 0,
            learn,
            queue: ringtap_notifier::store::Rules {
                packing: ringtap_notifier::packing::Packing::new(&config.notifier.delivery),
                quiet: None,
            },
        };
        let journal = Reader::open(&path).unwrap();
        let now = Time::from_micros(1_714_962_300_000_000);
        rules.take_batch(&journal, "j", &mut store, now).unwrap().unwrap();
        let mut queued: Vec<_> = store
            .outbox(true, 100)
            .unwrap()
            .into_iter()
            .map(|row| format!("{} {}", row.call, row.user))
            .collect();
        queued.sort();
        assert_eq!(queued, wanted, "{learn:?}");
    }
}

/// Catches a command that shows nothing, or in a form that scripts do not expect.
#[test]
fn the_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = "[network]\npcscf = [\"10.20.0.1\"]\n";
    std::fs::write(path("r.toml"), text).unwrap();
    drop(store(&path("n.db")));
    let run = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_ringtap-notifier"))
            .args(["account", "suggestions", "--config"])
            .arg(path("r.toml"))
            .arg("--journal")
            .arg(path("j.db"))
            .arg("--database")
            .arg(path("n.db"))
            .output()
            .unwrap()
    };
    assert_eq!(run().status.code(), Some(1), "no journal");
    let writer = Writer::spawn(&path("j.db"), Options::default()).unwrap();
    writer.send_set(set(LI, &[LI, X])).unwrap();
    writer.finish().unwrap();
    let output = run();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!(
            "alias\tliming\t{LI}\t{X}\t2024-05-06T02:23:41.000000Z\tif they are this person's: add them to `aliases` of {LI}, \
             and import\n"
        )
    );
}

//! People's own switches: what they change, and the command that sets them.

use ringtap_record::Outcome;

use crate::{DESK, DUTY, Lab, PEOPLE, SUN, call, missed, wait_until};

/// Catches own switches that reach other people, other owners of a shared desk, or nobody.
#[test]
fn switches_are_ones_own() {
    let lab = Lab::new("busy = false");
    let call = |name| call(name, 0, &[(DUTY, Outcome::Busy), (DESK, Outcome::Busy)]);
    lab.write([call("a")]);
    lab.once();
    assert!(lab.told().is_empty());
    assert_eq!(lab.policy(&["zhao", "busy=true"]).0, 0);
    lab.write([call("b")]);
    lab.once();
    assert_eq!(lab.told(), ["zhao"]);
}

/// Catches switches that only a restart brings into effect.
#[test]
fn a_running_notifier_heeds_them() {
    let lab = Lab::new("");
    let running = lab.start();
    let wait = |count: usize| wait_until("a mail", || lab.sink.mails().len() >= count);
    lab.write([missed("a", 0, SUN)]);
    wait(1);
    assert_eq!(lab.policy(&["sun", "caller_hung_up=false"]).0, 0);
    // The other person's mail tells that the record of both was worked off.
    lab.write([call(
        "b",
        0,
        &[(SUN, Outcome::CallerHungUp), (DESK, Outcome::CallerHungUp)],
    )]);
    wait(2);
    assert_eq!(lab.policy(&["sun", "--unset", "caller_hung_up"]).0, 0);
    lab.write([missed("c", 0, SUN)]);
    wait(3);
    running.stop();
    assert_eq!(lab.told(), ["sun", "liming", "sun"]);
}

/// Catches a listing that does not say what holds and whose it is, changes that are half done, and switches
/// that cannot be given back.
#[test]
fn the_command_shows_sets_and_unsets() {
    let lab = Lab::new("busy = false");
    let line = |text: &str, key: &str| {
        let found = text.lines().find(|line| line.starts_with(&format!("{key}\t")));
        found
            .unwrap_or_else(|| panic!("{key} is not in {text}"))
            .to_owned()
    };
    let (status, shown, _) = lab.policy(&["liming"]);
    assert_eq!(
        (status, line(&shown, "busy")),
        (0, "busy\tfalse\toperator".to_owned())
    );
    assert_eq!(shown.lines().count(), 23, "{shown}");
    assert!(!shown.contains("media_required"));

    let (status, shown, _) = lab.policy(&["liming", "busy=true", "group_member=always", "min_ring_s=3"]);
    assert_eq!((status, line(&shown, "busy")), (0, "busy\ttrue\town".to_owned()));
    assert_eq!(line(&shown, "group_member"), "group_member\talways\town");
    assert_eq!(line(&shown, "min_ring_s"), "min_ring_s\t3\town");
    assert_eq!(line(&lab.policy(&["sun"]).1, "busy"), "busy\tfalse\toperator");

    // One bad word, and nothing of the command is done.
    for arguments in [
        &["liming", "busy=false", "bussy=true"][..],
        &["liming", "busy=false", "--unset", "media_required"],
    ] {
        assert_eq!(lab.policy(arguments).0, 2);
        assert_eq!(
            line(&lab.policy(&["liming"]).1, "busy"),
            "busy\ttrue\town",
            "{arguments:?}"
        );
    }
    let (_, shown, _) = lab.policy(&["liming", "--unset", "busy", "--unset", "min_ring_s"]);
    assert_eq!(line(&shown, "busy"), "busy\tfalse\toperator");
    assert_eq!(line(&shown, "min_ring_s"), "min_ring_s\t0\toperator");
    assert_eq!(line(&shown, "group_member"), "group_member\talways\town");
    let (_, shown, _) = lab.policy(&["liming", "--unset-all", "declined=true"]);
    assert_eq!(shown.matches("\town\n").count(), 1, "{shown}");
}

/// Catches errors that do not say what is wrong, and exit statuses other than promised.
#[test]
fn the_commands_errors() {
    let lab = Lab::new("");
    for (arguments, words) in [
        (
            &["liming", "bussy=true"][..],
            &["bussy", "busy", "group_member"][..],
        ),
        (&["liming", "busy=maybe"], &["busy", "maybe", "true or false"]),
        (
            &["liming", "group_member=all"],
            &["group_member", "`never`", "`always`"],
        ),
        (
            &["liming", "media_required=audio"],
            &["media_required", "engine", "[policy.notify]"],
        ),
        (&["liming", "busy"], &["busy", "KEY=VALUE"]),
        (&["nobody"], &["nobody", "user list"]),
        (&["nobody", "busy=true"], &["nobody", "user list"]),
    ] {
        let (status, _, said) = lab.policy(arguments);
        assert_eq!(status, 2, "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
    }
}

/// Catches an operator left to believe in a switch for which the engine records nothing.
#[test]
fn what_the_engine_does_not_record_is_said() {
    let (short, reached) = ("short_answer_s=5", "suppress_if_reached_within_s=60");
    for (global, pair, warns) in [
        ("", short, true),
        ("short_answer_s = 4", short, true),
        ("short_answer_s = 5", short, false),
        ("", reached, true),
        ("suppress_if_reached_within_s = 1", reached, false),
        ("suppress_if_reached_within_s = 1", short, false),
        ("", "busy=false", false),
    ] {
        let lab = Lab::new(global);
        let (status, shown, said) = lab.policy(&["liming", pair]);
        assert_eq!((status, !said.is_empty()), (0, warns), "{global}, {pair}: {said}");
        assert!(shown.contains(&pair.replace('=', "\t")));
        let key = pair.split('=').next().unwrap();
        assert!(
            !warns || (said.contains(key) && said.contains("keep = \"all\"")),
            "{said}"
        );
    }
}

/// Catches an import that takes people's switches away, or leaves those of people who are gone to their
/// successors.
#[test]
fn switches_outlive_an_import() {
    let lab = Lab::new("");
    lab.policy(&["liming", "busy=false"]);
    lab.policy(&["sun", "busy=false"]);
    let people = lab.path("people.csv");
    assert_eq!(
        lab.program(&["import", "--replace", people.to_str().unwrap()]).0,
        0
    );
    assert!(lab.policy(&["liming"]).1.contains("busy\tfalse\town"));
    let others: String = PEOPLE
        .lines()
        .filter(|line| !line.starts_with("sun,"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(lab.path("others.csv"), others).unwrap();
    assert_eq!(
        lab.program(&["import", "--replace", lab.path("others.csv").to_str().unwrap()])
            .0,
        0
    );
    assert_eq!(lab.program(&["import", people.to_str().unwrap()]).0, 0);
    assert!(lab.policy(&["liming"]).1.contains("busy\tfalse\town"));
    assert!(lab.policy(&["sun"]).1.contains("busy\ttrue\toperator"));
}

/// Catches one switch that cannot be read silencing a person, or making the intake fail.
#[test]
fn a_damaged_switch_harms_only_itself() {
    let lab = Lab::new("");
    let sql = rusqlite::Connection::open(lab.path("n.db")).unwrap();
    for (stored, told) in [
        ("not json", 1),
        (r#"{"busy":7,"chimes":true}"#, 1),
        (r#"{"caller_hung_up":false,"busy":7}"#, 0),
    ] {
        sql.execute("UPDATE user SET policy = ?1 WHERE key = 'liming'", [stored])
            .unwrap();
        let before = lab.told().len();
        lab.write([missed(stored, 0, DESK)]);
        lab.once();
        assert_eq!(lab.told().len() - before, told, "{stored}");
    }
    assert!(lab.policy(&["liming"]).2.contains("busy"));
}

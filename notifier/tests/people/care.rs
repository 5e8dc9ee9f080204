//! What is kept: shown to whom it is about, forgotten without a trace, and who did that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::house::{House, LIMING, ZHANG, octets};

const PEOPLE: &str = "\
bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,
liming,Li Minglong,minglong@office.test,zh-CN,UTC,yes,+862583091001,secretlabel,sip:aliasoflm@ims.office.test
liming,Li Minglong,minglong@office.test,zh-CN,UTC,yes,+862583091007,shared,
";

/// A person of whom something is kept in every table.
fn house() -> House {
    let house = House::new();
    house.import(PEOPLE, &[]);
    house.write(
        "d.csv",
        "number,name,department,label\n1001,Direntry,,\n1009,Other,,\n",
    );
    house.done(&["directory", "import", "d.csv"]);
    house.miss("0a", LIMING);
    house.done(&["once"]);
    house.done(&["user", "policy", "liming", "declined=true"]);
    house.done(&["user", "change", "liming", "--name", "Li Minglang"]);
    house
        .sql()
        .execute_batch(
            "UPDATE missed SET started = 1;
             INSERT INTO reached VALUES (2, '+8613912345678', 5, 6, 0);
             INSERT INTO token VALUES (x'0badcafe', 2, 'page', 7, 8);
             INSERT INTO gathered (outbox_id, call, notice) SELECT id, 'gath', '{\"caller\":\"+8613900000000\"}' FROM outbox;
             INSERT INTO audit (at_ms, who, did, whom, detail) SELECT at_ms, 'x', 'y', 'bo', 'of bo' FROM audit LIMIT 1",
        )
        .unwrap();
    house
}

/// Catches something that is kept about a person and not shown to them, something of another's that is, and a file of it that others may read.
#[test]
fn all_that_is_kept_is_shown() {
    let house = house();
    let all = house.done(&["export", "--user", "liming"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["user"]["email"], "minglong@office.test");
    assert_eq!(all["user"]["policy"]["declined"], true);
    assert_eq!(all["accounts"][0]["aliases"][0], "sip:aliasoflm@ims.office.test");
    assert_eq!(all["directory"][0]["name"], "Direntry");
    assert_eq!(all["notified"][0]["call"], "0a");
    assert_eq!(all["outbox"][0]["notice"]["caller"]["identity"], ZHANG);
    assert_eq!(all["missed"][0]["started"], 1);
    assert_eq!(all["reached"][0]["caller"], ZHANG);
    assert_eq!(all["token"][0]["purpose"], "page");
    assert_eq!(all["gathered"][0]["call"], "gath");
    let did: Vec<_> = all["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["did"].as_str())
        .collect();
    assert_eq!(did, [Some("import"), Some("user policy"), Some("user change")]);
    let text = all.to_string();
    assert!(
        !text.contains("of bo") && !text.contains("badcafe") && !text.contains("Other"),
        "{text}"
    );
    assert!(
        house
            .refused(2, &["export", "--user", "x"])
            .contains("no such user")
    );
    let mode = || fs::metadata(house.path("me.json")).unwrap().permissions().mode() & 0o777;
    house.done(&["export", "--user", "liming", "me.json"]);
    assert_eq!(mode(), 0o600);
    for there in ["", "{"] {
        house.write("me.json", there);
        fs::set_permissions(house.path("me.json"), fs::Permissions::from_mode(0o644)).unwrap();
        house.done(&["export", "--user", "liming", "me.json"]);
        assert_eq!(mode(), 0o600, "a file that was there: {there:?}");
    }
}

/// Catches octets of a person that are left in the file or in the log beside it, others who are forgotten with them, and an audit
/// log that forgets too little or that somebody was forgotten. A running notifier is no hindrance.
#[test]
fn what_is_forgotten_is_gone() {
    let house = house();
    let words = [
        "liming",
        "Minglong",
        "Minglang",
        "minglong",
        "862583091001",
        "secretlabel",
        "aliasoflm",
        "Direntry",
        "13912345678",
        "13900000000",
    ];
    let left = |words: &[&'static str]| -> Vec<&'static str> {
        let all = octets(&house.path("n.db"));
        let is_in = |word: &&&str| all.windows(word.len()).any(|found| found == word.as_bytes());
        words.iter().filter(is_in).copied().collect()
    };
    assert_eq!(left(&words), words);
    let running = house.run();
    let said = house.done(&["forget", "--user", "liming"]);
    for counted in [
        "1 of missed",
        "1 of outbox",
        "2 of owner",
        "1 of account",
        "3 of audit",
        "1 of directory",
        "30 days",
    ] {
        assert!(said.contains(counted), "{counted}: {said}");
    }
    assert_eq!(left(&words), [""; 0]);
    drop(running);
    assert_eq!(left(&words), [""; 0]);
    assert!(house.done(&["account", "list"]).contains("+862583091007\tbo"));
    assert!(house.done(&["directory", "list"]).contains("Other"));
    let audit = house.done(&["audit", "list"]);
    let first: Vec<&str> = audit.lines().next().unwrap().split('\t').collect();
    assert!(
        first[2] == "forget" && first[3].starts_with("forgotten:"),
        "{audit}"
    );
    assert!(
        audit.contains("of bo") && audit.matches(first[3]).count() == 4,
        "{audit}"
    );
    assert!(
        house
            .refused(2, &["forget", "--user", "liming"])
            .contains("no such user")
    );
}

/// Catches an administrator's command that leaves no line, a line without what it changed, and one for what did not happen.
#[test]
fn every_change_is_written_down() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    house.import(
        "bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,\n",
        &["--replace", "--dry-run"],
    );
    house.miss("0a", LIMING);
    house.sink.answer(&[crate::sink::Reply::Code(550)]);
    assert_eq!(house.program(&["once"]).0, 1);
    for arguments in [
        &["user", "delivery", "bo", "quiet_hours=off"][..],
        &["user", "policy", "bo", "busy=false"],
        &["outbox", "retry", "--dead"],
        &["outbox", "drop", "1"],
        &["account", "add", "bo", "1008"],
        &["account", "change", "1008", "--label", "x"],
        &["account", "remove", "1008"],
        &[
            "user",
            "add",
            "x",
            "--name",
            "X",
            "--email",
            "x@y.test",
            "--account",
            "1010",
        ],
        &["user", "remove", "x"],
    ] {
        house.done(arguments);
    }
    assert_eq!(house.program(&["outbox", "drop", "1"]).0, 1);
    house.write("d.csv", "number,name,department,label\n1001,Li,,\n");
    house.done(&["directory", "import", "d.csv"]);
    let audit = house.done(&["audit", "list"]);
    let me = nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap()
        .name;
    let lines: Vec<Vec<&str>> = audit.lines().map(|line| line.split('\t').collect()).collect();
    assert!(lines.iter().all(|line| line[1] == me), "{audit}");
    let told: Vec<[&str; 3]> = lines
        .iter()
        .rev()
        .map(|line| [line[2], line[3], line[4]])
        .collect();
    assert_eq!(
        told,
        [
            [
                "import",
                "bo",
                "added: Bo <bo@office.test>, en, UTC; +862583091007"
            ],
            [
                "import",
                "liming",
                "added: Li Minglong <minglong@office.test>, zh-CN, UTC; +862583091001 (secretlabel) \
                 (sip:aliasoflm@ims.office.test); +862583091007 (shared)"
            ],
            ["import", "", "2 people added, 0 replaced, 0 removed"],
            ["user delivery", "bo", "quiet_hours=off"],
            ["user policy", "bo", "{\"busy\":false}"],
            ["outbox retry", "liming", "message 1"],
            ["outbox drop", "liming", "message 1"],
            ["account add", "bo", "changed: account + +862583091008"],
            ["account change", "bo", "changed: label of +862583091008 + x"],
            ["account remove", "bo", "changed: account - +862583091008 (x)"],
            ["user add", "x", "added: X <x@y.test>, en, UTC; +862583091010"],
            ["user remove", "x", "removed"],
            ["directory import", "", "1 entries added, 0 changed, 0 removed"],
        ]
    );
    assert_eq!(house.done(&["audit", "list", "--user", "x"]).lines().count(), 2);
}

/// Catches numbers and mail addresses that stand whole in the log, of our own lines and of what a server says, and a log that hides
/// them from who wants them.
#[test]
fn logs_hide_numbers() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    // What is told of a switch that cannot be used repeats it.
    house
        .sql()
        .execute_batch(
            "UPDATE user SET policy = '{\"busy\":\"sip:minglong@office.test\",\"declined\":\"+862583091001 13912345678\"}'",
        )
        .unwrap();
    let log = |how: &[&str]| {
        house.miss(&format!("{}", house.sink.mails().len()), LIMING);
        let mut command = house.command(&[&["once"], how].concat());
        let done = command.env("RUST_LOG", "trace").output().unwrap();
        String::from_utf8(done.stderr).unwrap()
    };
    let full = log(&["--log-numbers", "full"]);
    assert!(
        full.contains("minglong@office.test") && full.contains("+862583091001 139"),
        "{full}"
    );
    for how in [&[][..], &["--log-numbers", "none"], &["--log-format", "json"]] {
        let said = log(how);
        assert!(
            said.contains("message sent") && said.contains("not used"),
            "{said}"
        );
        for word in ["minglong@", "862583091001", "13912345678"] {
            assert!(!said.contains(word), "{how:?}: {word}: {said}");
        }
    }
}

/// Catches a database that is used though others may read it, and one that is made so.
#[test]
fn a_database_that_others_may_read_is_refused() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    let path = house.path("n.db");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let said = house.refused(1, &["user", "list"]);
    assert!(said.contains("mode 640") && said.contains("chmod 600 "), "{said}");
}

/// Catches sessions that outlive the mail address which they were opened from, and an import that ends those of others.
#[test]
fn sessions_end_with_the_address() {
    let house = house();
    let sessions = || -> i64 {
        let count = "SELECT count(*) FROM token";
        house.sql().query_row(count, (), |row| row.get(0)).unwrap()
    };
    house.import(PEOPLE, &[]);
    assert_eq!(sessions(), 1);
    house.import(&PEOPLE.replace("minglong@", "other@"), &[]);
    assert_eq!(sessions(), 0);
}

/// Catches a removed person of whom the audit log cannot be shown or cleared, and an inquiry that leaves no line.
#[test]
fn who_was_removed_can_be_forgotten() {
    let house = house();
    // The directory is the operator's own list: whose number a name stands for is not known once the person is gone.
    house.write("d.csv", "number,name,department,label\n1009,Other,,\n");
    house.done(&["directory", "import", "--replace", "d.csv"]);
    house.done(&["user", "remove", "liming"]);
    let all: Value = serde_json::from_str(&house.done(&["export", "--user", "liming"])).unwrap();
    assert!(
        all["user"].is_null() && all["audit"].as_array().unwrap().len() == 4,
        "{all}"
    );
    assert!(
        house
            .done(&["audit", "list", "--user", "liming"])
            .contains("\texport\tliming\t")
    );
    let said = house.done(&["forget", "--user", "liming"]);
    assert!(said.contains("5 of audit"), "{said}");
    let all = octets(&house.path("n.db"));
    for word in ["liming", "minglong@", "862583091001", "aliasoflm"] {
        assert!(
            !all.windows(word.len()).any(|found| found == word.as_bytes()),
            "{word}"
        );
    }
    assert!(
        house
            .refused(2, &["forget", "--user", "liming"])
            .contains("no such user")
    );
}

/// Catches a person who opted out and is mailed after being removed and brought again, an address kept in words, and a word
/// that cannot be ended.
#[test]
fn an_opt_out_outlives_a_removal() {
    let house = house();
    house
        .sql()
        .execute_batch("UPDATE user SET opted_out_ms = 5 WHERE key = 'liming'")
        .unwrap();
    let renamed = PEOPLE
        .replace("liming,", "li.ming,")
        .replace("minglong@", "MingLong@");
    let said = house.import(&renamed, &["--replace", "--dry-run"]);
    assert!(said.contains("has opted out before"), "{said}");
    let said = house.import(&renamed, &["--replace"]);
    assert!(said.contains("1 of those added had opted out"), "{said}");
    assert!(house.done(&["user", "show", "li.ming"]).contains("no: opted out"));
    house.done(&["user", "change", "li.ming", "--lift-opt-out"]);
    assert!(
        house
            .done(&["user", "show", "li.ming"])
            .contains("subscribed\tyes\n")
    );
    house.done(&["user", "remove", "li.ming"]);
    let said = house.import(&renamed, &[]);
    assert!(!said.contains("opted out"), "{said}");
}

/// Catches a person who opted out and is mailed under another key that was brought before the old one went.
#[test]
fn an_opt_out_outlives_a_new_key() {
    let house = house();
    house
        .sql()
        .execute_batch("UPDATE user SET opted_out_ms = 5 WHERE key = 'liming'")
        .unwrap();
    let renamed = "li.ming,Li Minglong,MingLong@office.test,zh-CN,UTC,yes,+862583091001,,\n";
    let said = house.import(renamed, &["--dry-run"]);
    assert!(said.contains("has opted out before"), "{said}");
    let said = house.import(renamed, &[]);
    assert!(said.contains("1 of those added had opted out"), "{said}");
    house.done(&["user", "remove", "liming"]);
    assert!(house.done(&["user", "show", "li.ming"]).contains("no: opted out"));
    let mails = house.sink.mails().len();
    house.miss("0b", LIMING);
    house.done(&["once"]);
    assert_eq!(house.sink.mails().len(), mails);
}

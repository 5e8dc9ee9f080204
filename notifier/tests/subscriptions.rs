//! Subscriptions in and out: all of a file or nothing, errors by line, conflicts by name.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;

use ringtap_config::Config;
use ringtap_notifier::store::{PeopleError, Store};
use ringtap_notifier::subscriptions::{self, Subscription};

const HEADER: &str = "user,name,email,locale,timezone,subscribed,account,label,aliases\n";
const LIMING: &str = "\
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,办公电话,1001 sip:liming@ims.office.test
liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+8613800001001,手机,
";
const DESK: &str = "\
zhao,赵强,zhao@office.test,zh-CN,Asia/Shanghai,yes,+862583091010,值班,
sun,\"Sun, Li\",sun@office.test,en,Europe/Berlin,no,sip:+862583091010@ims.office.test,\"duty \"\"desk\"\"\",
";

fn config() -> Config {
    let text = r#"
        [network]
        home_domains = ["ims.office.test"]
        [numbering]
        country = "86"
        area = "25"
        [[numbering.rule]]
        name = "ext4"
        match = '^(1\d{3})$'
        to = "+86258309$1"
    "#;
    ringtap_config::from_toml(text, "test").unwrap()
}

fn read(rows: &str) -> Result<Vec<Subscription>, String> {
    subscriptions::read(
        Path::new("people.csv"),
        format!("{HEADER}{rows}").as_bytes(),
        &config().plan,
    )
    .map_err(|bad| bad.to_string())
}

fn export(store: &Store) -> String {
    let mut out = Vec::new();
    subscriptions::write(&mut out, &store.people().unwrap()).unwrap();
    String::from_utf8(out).unwrap()
}

/// Catches a fault that passes, that is told for another line, or without the file's name.
#[test]
fn faults_name_their_line() {
    let good = LIMING.lines().next().unwrap();
    let second = |row: &str| read(&format!("{good}\n{row}\n")).unwrap_err();
    for (row, what) in [
        ("x,X,x@y.test,en,UTC,yes,+862583091002,a", "has 8 fields"),
        (",X,x@y.test,en,UTC,yes,+862583091002,,", "user"),
        ("x,,x@y.test,en,UTC,yes,+862583091002,,", "name"),
        ("x,X,x at y,en,UTC,yes,+862583091002,,", "mail address"),
        (
            "x,X,\"x@y.test\r\nBcc: z@y.test\",en,UTC,yes,+862583091002,,",
            "email",
        ),
        ("x,X,x@y.test,fr,UTC,yes,+862583091002,,", "\"fr\""),
        ("x,X,x@y.test,en,Mars/Olympus,yes,+862583091002,,", "Mars/Olympus"),
        ("x,X,x@y.test,en,UTC,maybe,+862583091002,,", "maybe"),
        ("x,X,x@y.test,en,UTC,yes,,,", "account"),
        (
            "x,X,x@y.test,en,UTC,yes,+862583091002,,1001",
            "+862583091001 already (line 2)",
        ),
        (
            "x,X,x@y.test,en,UTC,yes,sip:liming@ims.office.test,,",
            "+862583091001 already (line 2)",
        ),
        (
            "liming,李明,other@office.test,zh-CN,Asia/Shanghai,yes,+8613800001001,,",
            "email of user liming",
        ),
        (
            "liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,02583091001,,",
            "line 2 already",
        ),
    ] {
        let told = second(row);
        assert!(
            told.contains("people.csv:3: ") && told.contains(what),
            "{row}: {told}"
        );
        assert!(told.contains("nothing was imported"));
    }
    let both = read("x\ny\n").unwrap_err();
    assert!(
        both.contains("people.csv:2:") && both.contains("people.csv:3:"),
        "{both}"
    );
    let header = subscriptions::read(Path::new("p.csv"), &b"user,name\n"[..], &config().plan).unwrap_err();
    assert!(
        header.to_string().contains("p.csv:1:") && header.to_string().contains("\"email\""),
        "{header}"
    );
    let latin = subscriptions::read(
        Path::new("p.csv"),
        [HEADER.as_bytes(), b"\xff,"].concat().as_slice(),
        &config().plan,
    );
    assert!(latin.unwrap_err().to_string().contains("p.csv:2: is not UTF-8"));
}

/// Catches an export that loses something, and an import of it that changes something.
#[test]
fn what_goes_out_comes_in_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("n.db")).unwrap();
    let marked = format!("\u{feff}{HEADER}{LIMING}{DESK}");
    let people = subscriptions::read(Path::new("people.csv"), marked.as_bytes(), &config().plan).unwrap();
    assert_eq!(store.import(&people, false).unwrap().added, 3);
    let first = export(&store);
    for line in LIMING.lines() {
        assert!(first.contains(line), "{first}");
    }
    assert!(first.contains(
        "sun,\"Sun, Li\",sun@office.test,en,Europe/Berlin,no,+862583091010,\"duty \"\"desk\"\"\","
    ));
    let again = subscriptions::read(Path::new("again.csv"), first.as_bytes(), &config().plan).unwrap();
    assert_eq!(store.import(&again, false).unwrap().replaced, 3);
    assert_eq!(export(&store), first);
}

/// Catches an import that is half done, a conflict with people outside the file that passes, and aliases
/// that cannot move between accounts within one file.
#[test]
fn all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("n.db")).unwrap();
    store
        .import(&read(&format!("{LIMING}{DESK}")).unwrap(), false)
        .unwrap();
    let before = export(&store);
    let rows = "new,N,n@y.test,en,UTC,yes,+862583091007,,\nwang,W,w@y.test,en,UTC,yes,+862583091002,,sip:liming@ims.office.test\n";
    let refused = store.import(&read(rows).unwrap(), false).unwrap_err();
    assert!(
        matches!(&refused, PeopleError::Conflict(fault) if fault.line == 3),
        "{refused}"
    );
    assert!(refused.to_string().contains("+862583091001"), "{refused}");
    assert_eq!(export(&store), before);

    let moved = "liming,李明,liming@office.test,zh-CN,Asia/Shanghai,yes,+862583091001,,\n\
                 wang,W,w@y.test,en,UTC,yes,+862583091002,,sip:liming@ims.office.test\n";
    let totals = store.import(&read(moved).unwrap(), true).unwrap();
    assert_eq!((totals.added, totals.replaced, totals.removed), (1, 1, 2));
    assert_eq!(store.accounts().unwrap().len(), 2);
    assert!(
        !export(&store).contains("13800001001"),
        "an account without owner must go"
    );
}

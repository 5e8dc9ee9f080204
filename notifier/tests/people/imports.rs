//! `import`: what it would do, what it must not, what it may touch.

use std::fmt::Write as _;
use std::fs;

use crate::house::{HEADER, House, LIMING, octets};

const ANNA: &str = "anna,Anna,anna@office.test,en,UTC,yes,+862583091005,desk,1006\n";
const BO: &str = "bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,\n";

/// Catches a dry run that writes, one that misses a change or tells one that is none, and one that passes what the import
/// would refuse.
#[test]
fn a_dry_run_tells_all_and_writes_nothing() {
    let house = House::new();
    house.write("people.csv", &format!("{HEADER}{ANNA}"));
    let said = house.done(&["import", "people.csv", "--dry-run"]);
    assert!(said.starts_with("added\tanna\tAnna <anna@office.test>"), "{said}");
    assert!(!house.path("n.db").exists());
    house.import(&format!("{ANNA}{BO}"), &[]);
    let before = octets(&house.path("n.db"));
    let rows = "anna,Anna B,anna@office.test,en,UTC,no,+862583091005,,1006 1009\n\
                anna,Anna B,anna@office.test,en,UTC,no,+862583091008,,\n\
                li,Li,li@office.test,en,UTC,yes,+862583091001,,\n";
    let told = house.import(rows, &["--dry-run", "--replace"]);
    assert_eq!(
        told,
        "changed\tanna\tname Anna → Anna B\n\
         changed\tanna\tsubscribed yes → no\n\
         changed\tanna\tlabel of +862583091005 - desk\n\
         changed\tanna\taliases of +862583091005 1006 → 1006 1009\n\
         changed\tanna\taccount + +862583091008\n\
         removed\tbo\t\n\
         added\tli\tLi <li@office.test>, en, UTC; +862583091001\n"
    );
    assert_eq!(octets(&house.path("n.db")), before);
    house.write(
        "bad.csv",
        &format!("{HEADER}li,Li,li@office.test,en,UTC,yes,+862583091001,,1007\n"),
    );
    let said = house.refused(1, &["import", "bad.csv", "--dry-run"]);
    assert!(
        said.contains("bad.csv:2: 1007 belongs to account +862583091007 already"),
        "{said}"
    );
    house.import(rows, &["--replace"]);
    assert_eq!(house.import(rows, &["--dry-run", "--replace"]), "");
}

/// Catches a dry run that keeps others from writing, or waits for them.
#[test]
fn a_dry_run_is_in_nobodys_way() {
    let house = House::new();
    house.import(ANNA, &[]);
    house.write("d.csv", "number,name,department,label\n1001,Li,,\n");
    let sql = house.sql();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = house.import(BO, &["--dry-run", "--replace"]);
    assert!(
        told.contains("added\tbo\t") && told.contains("removed\tanna\t"),
        "{told}"
    );
    let told = house.done(&["directory", "import", "d.csv", "--dry-run"]);
    assert!(told.starts_with("added\t+862583091001\t"), "{told}");
    sql.execute_batch("ROLLBACK").unwrap();
}

/// Catches calls, messages, choices and an opt-out of whoever held a key before that go to the one who has it now, an import that does not
/// tell of that beforehand, and a person who loses them though only the name or only the address is new.
#[test]
fn a_key_given_to_another_person() {
    let house = House::new();
    let desk = |name: &str, email: &str| {
        format!("desk1,{name},{email}@office.test,en,Asia/Shanghai,yes,+862583091001,,\n")
    };
    house.import(&desk("Anna", "anna"), &[]);
    house.miss("0a", LIMING);
    house.done(&["once"]);
    house
        .sql()
        .execute_batch(
            "INSERT INTO token VALUES (x'0badcafe', 1, 'session', 7, 8);
             UPDATE outbox SET state = 'pending', done_ms = NULL;
             UPDATE user SET opted_out_ms = 5, muted = '[\"BUSY\"]', policy = '{\"busy\":false}', channels = 'mail'",
        )
        .unwrap();
    let left = || -> (i64, i64, String) {
        let kept = "SELECT (SELECT count(*) FROM missed), (SELECT count(*) FROM outbox), \
                    ifnull(opted_out_ms, '-') || ifnull(muted, '-') || ifnull(policy, '-') || ifnull(channels, '-') FROM user";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        house.sql().query_row(kept, (), row).unwrap()
    };
    let kept = left();
    assert_eq!((kept.0, kept.1), (1, 1));
    house.import(&desk("Anna Berg", "anna"), &[]);
    house.import(&desk("Anna Berg", "anna.berg"), &[]);
    house.done(&[
        "user",
        "change",
        "desk1",
        "--name",
        "Anna",
        "--email",
        "anna@office.test",
    ]);
    assert_eq!(left(), kept, "the same person");
    let told = house.import(&desk("Bo", "bo"), &["--dry-run"]);
    assert!(
        told.contains("changed\tdesk1\tperson Anna <anna@office.test> → another: "),
        "{told}"
    );
    assert_eq!(left(), kept);
    let said = house.import(&desk("Bo", "bo"), &[]);
    assert!(said.contains("1 keys are another person's now"), "{said}");
    assert_eq!(left(), (0, 0, "----".to_owned()));
    assert!(house.done(&["audit", "list"]).contains("→ another: "));
    house.done(&["once"]);
    assert_eq!(house.sink.mails().len(), 1, "Anna's, and none to Bo");
    // The word of the one before holds for the address that it was about.
    let anna = desk("Anna", "anna").replace("desk1", "anna");
    let said = house.import(&anna, &[]);
    assert!(said.contains("1 of those added had opted out"), "{said}");
}

/// Catches an empty file that removes everybody, and a replacement that removes who came another way.
#[test]
fn a_replacement_touches_only_its_own() {
    let house = House::new();
    house.import(&format!("{ANNA}{BO}"), &[]);
    house.write("none.csv", HEADER);
    let said = house.refused(1, &["import", "none.csv", "--replace"]);
    assert!(
        said.contains("none.csv") && said.contains("--allow-empty"),
        "{said}"
    );
    assert_eq!(house.done(&["user", "list"]).lines().count(), 2);
    house.done(&[
        "user",
        "add",
        "li",
        "--name",
        "Li",
        "--email",
        "li@office.test",
        "--account",
        "1001",
    ]);
    house
        .sql()
        .execute_batch("UPDATE user SET source = 'ldap' WHERE key = 'bo'")
        .unwrap();
    let said = house.import(ANNA, &["--replace"]);
    assert!(said.contains("0 removed") && said.contains("2 stay"), "{said}");
    let said = house.done(&["import", "none.csv", "--replace", "--allow-empty"]);
    assert!(said.contains("1 removed"), "{said}");
    let left = house.done(&["user", "list"]);
    assert!(
        left.contains("bo\t") && left.contains("li\t") && left.lines().count() == 2,
        "{left}"
    );
    // Who stands in the file is the file's from then on.
    let told = house.import(BO, &["--dry-run"]);
    assert_eq!(told, "changed\tbo\tsource ldap → file\n");
}

/// Catches a file of the size of a large enterprise that is not taken whole, or is otherwise when it comes again.
#[test]
fn fifty_thousand_lines_are_taken() {
    let house = House::new();
    let mut rows = String::new();
    for n in 0..25_000 {
        for (at, label) in [(0, "office"), (1, "mobile")] {
            let _ = writeln!(
                rows,
                "u{n},Person {n},u{n}@office.test,zh-CN,Asia/Shanghai,yes,+86258{at}{n:06},{label},"
            );
        }
    }
    let began = std::time::Instant::now();
    let said = house.import(&rows, &[]);
    eprintln!("50,000 lines: {:?}", began.elapsed());
    assert!(
        said.starts_with("25000 people added, 0 replaced, 0 removed; 50000 account lines"),
        "{said}"
    );
    let began = std::time::Instant::now();
    let said = house.import(&rows, &["--replace"]);
    eprintln!("again: {:?}", began.elapsed());
    assert!(
        said.contains("25000 replaced") && said.contains("0 people are otherwise"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(house.path("people.csv"))
            .unwrap()
            .lines()
            .count(),
        50_001
    );
}

/// Catches a person added by hand whom a file takes over and later removes, and one of another source who is taken over unsaid.
#[test]
fn what_is_taken_over_is_told() {
    let house = House::new();
    house.import(&format!("{ANNA}{BO}"), &[]);
    house
        .sql()
        .execute_batch(
            "UPDATE user SET source = 'hand' WHERE key = 'anna'; UPDATE user SET source = 'ldap' WHERE key = 'bo'",
        )
        .unwrap();
    let said = house.import(&format!("{ANNA}{BO}"), &[]);
    assert!(
        said.contains("1 came from elsewhere and are now the file's"),
        "{said}"
    );
    house.import(BO, &["--replace"]);
    assert_eq!(house.done(&["user", "list"]).lines().count(), 2);
    house.write("d.csv", "number,name,department,label\n1001,Li,,\n1002,Bo,,\n");
    house.done(&["directory", "import", "d.csv"]);
    house
        .sql()
        .execute_batch("UPDATE directory SET source = 'ldap' WHERE name = 'Li'")
        .unwrap();
    let said = house.done(&["directory", "import", "d.csv", "--dry-run"]);
    assert_eq!(said, "changed\t+862583091001\tnow the file's\n");
    let said = house.done(&["directory", "import", "d.csv"]);
    assert!(
        said.contains("1 came from elsewhere and are now the file's"),
        "{said}"
    );
}

//! The directory of callers.

use ringtap_notifier::directory::Entry;
use ringtap_notifier::store::Store;

use crate::house::House;

const HEADER: &str = "number,name,department,label\n";

fn entry(name: &str, department: &str, label: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        department: department.to_owned(),
        label: label.to_owned(),
    }
}

/// Catches an entry under another name than the caller's, an import that is half done, one that says not where it fails, and one
/// that takes away what it does not name unless told to.
#[test]
fn entries_go_in_and_out() {
    let house = House::new();
    let rows = "1001,Li Ming,Sales,office\n+44 20 7946 0000,London,,\n";
    house.write("d.csv", &format!("{HEADER}{rows}"));
    let told = house.done(&["directory", "import", "d.csv", "--dry-run"]);
    assert_eq!(
        told,
        "added\t+442079460000\tLondon\nadded\t+862583091001\tLi Ming, Sales, office\n"
    );
    assert!(!house.path("n.db").exists());
    assert_eq!(
        house.done(&["directory", "import", "d.csv"]),
        "2 entries: 2 added, 0 changed, 0 removed\n"
    );
    let listed = "+442079460000\tLondon\t\t\n+862583091001\tLi Ming\tSales\toffice\n";
    assert_eq!(house.done(&["directory", "list"]), listed);
    let exported = house.done(&["directory", "export"]);
    assert_eq!(
        exported,
        "number,name,department,label\n+442079460000,London,,\n+862583091001,Li Ming,Sales,office\n"
    );
    house.write("again.csv", &exported);
    assert_eq!(
        house.done(&["directory", "import", "again.csv", "--replace", "--dry-run"]),
        ""
    );
    for (row, what) in [
        ("?,Li,,", "neither a number nor a SIP address"),
        ("1001,,,", "neither name, department nor label"),
        ("02583091002,B,,", "which stands in line 2 already"),
        ("1003,A\u{202e}B,,", "direction"),
        ("1003,A", "has 2 fields"),
    ] {
        house.write("bad.csv", &format!("{HEADER}1002,New,,\n{row}\n"));
        let said = house.refused(1, &["directory", "import", "bad.csv"]);
        assert!(
            said.contains("bad.csv:3: ") && said.contains(what),
            "{row}: {said}"
        );
        assert!(said.contains("nothing was imported"), "{said}");
    }
    house.write("bad.csv", "number,name\n");
    assert!(
        house
            .refused(1, &["directory", "import", "bad.csv"])
            .contains("\"department\"")
    );
    house.write("none.csv", HEADER);
    assert!(
        house
            .refused(1, &["directory", "import", "none.csv", "--replace"])
            .contains("--allow-empty")
    );
    assert_eq!(house.done(&["directory", "list"]), listed);
    house.write("d.csv", &format!("{HEADER}1001,Li,Sales,office\n"));
    let said = house.done(&["directory", "import", "d.csv", "--replace"]);
    assert_eq!(said, "1 entries: 0 added, 1 changed, 1 removed\n");
}

/// Catches a colleague who calls and stays a number, one who is called by another's name because a desk is shared, an entry
/// that the subscription overrules, and a person's own word for an account that others are told.
#[test]
fn subscribers_are_known_callers() {
    let house = House::new();
    house.import(
        "anna,Anna,anna@office.test,en,UTC,yes,+862583091005,\"private, do not give out\",1006\n\
         bo,Bo,bo@office.test,en,UTC,no,+862583091007,,\n\
         anna,Anna,anna@office.test,en,UTC,yes,+862583091007,,\n\
         bo,Bo,bo@office.test,en,UTC,no,+862583091008,,\n",
        &[],
    );
    house.write("d.csv", &format!("{HEADER}1008,Bo Li,Sales,\n"));
    house.done(&["directory", "import", "d.csv"]);
    let store = Store::open(&house.path("n.db")).unwrap();
    let known = store
        .entries([
            "+862583091005",
            "+862583091006",
            "+862583091007",
            "+862583091008",
            "+1",
        ])
        .unwrap();
    assert_eq!(
        known.into_iter().collect::<Vec<_>>(),
        [
            ("+862583091005".to_owned(), entry("Anna", "", "")),
            ("+862583091006".to_owned(), entry("Anna", "", "")),
            ("+862583091008".to_owned(), entry("Bo Li", "Sales", "")),
        ]
    );
}

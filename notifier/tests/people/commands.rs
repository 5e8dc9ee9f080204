//! `user` and `account`, through the program.

use crate::house::House;

const PEOPLE: &str = "\
anna,Anna,anna@office.test,en,UTC,yes,+862583091005,desk,1006
bo,Bo,bo@office.test,en,UTC,yes,+862583091005,,
bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,
";

/// Catches a value that cannot be set by hand, one that takes others with it, and one that is shown as it is not.
#[test]
fn people_are_added_changed_shown_and_removed() {
    let house = House::new();
    let add = [
        "user",
        "add",
        "liming",
        "--name",
        "李明",
        "--email",
        "li@office.test",
        "--locale",
        "zh-CN",
        "--account",
        "1001",
        "--label",
        "办公",
        "--alias",
        "sip:liming@ims.office.test",
    ];
    let said = house.done(&add);
    assert!(
        said.starts_with(
            "added\tliming\t李明 <li@office.test>, zh-CN, UTC; +862583091001 (办公) (sip:liming@"
        ),
        "{said}"
    );
    assert!(
        house
            .refused(2, &add)
            .contains("liming: there is such a user already")
    );
    let said = house.done(&["user", "change", "liming", "--email", "ming@office.test"]);
    assert_eq!(said, "changed\tliming\temail li@office.test → ming@office.test\n");
    house
        .sql()
        .execute_batch(
            "UPDATE user SET own_locale = 'en', opted_out_ms = 0, muted = '[\"BUSY\"]', quiet_hours = 'off'",
        )
        .unwrap();
    house.done(&["user", "policy", "liming", "declined=true"]);
    let shown = house.done(&["user", "show", "liming"]);
    for line in [
        "email\tming@office.test",
        "locale\ten (own; the operator's is zh-CN)",
        "subscribed\tno: opted out 1970-01-01T00:00:00.000000Z (own; the operator's is yes)",
        "source\thand",
        "account\t+862583091001, 办公, also sip:liming@ims.office.test",
        "quiet_hours\toff (own; the operator's is off)",
        "muted\t[\"BUSY\"]",
        "policy\tdeclined=true",
        "waiting\t0",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    assert_eq!(house.done(&["user", "remove", "liming"]), "removed\tliming\t\n");
    assert_eq!(house.done(&["account", "list"]), "");
}

/// Catches an account that is shared, left without an owner or added twice by mistake, and nobody hears of it.
#[test]
fn accounts_in_common_are_told() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    let said = |arguments: &[&str]| {
        let (status, _, said) = house.program(arguments);
        assert_eq!(status, 0, "{said}");
        said
    };
    let add = |user, account| {
        said(&[
            "user",
            "add",
            user,
            "--name",
            "X",
            "--email",
            "x@office.test",
            "--account",
            account,
        ])
    };
    // One of several owners' and another one's.
    let told = add("zoe", "1005");
    assert!(told.contains("+862583091005 is anna's and bo's too"), "{told}");
    assert_eq!(add("eve", "+862583097777"), "");
    let told = said(&["account", "add", "zoe", "+862583097777"]);
    assert!(told.contains("+862583097777 is eve's too"), "{told}");
    let told = house.refused(2, &["account", "add", "zoe", "+862583097777"]);
    assert!(
        told.contains("zoe has account +862583097777 already: `account change`"),
        "{told}"
    );
    assert_eq!(said(&["user", "remove", "eve"]), "");
    let told = said(&["user", "remove", "zoe"]);
    assert!(told.contains("+862583097777 is nobody's any more"), "{told}");
    assert!(!told.contains("+862583091005"), "{told}");
}

/// Catches an opt-out that is lifted by a command which says that nothing was changed, and one that is lifted for the new address alone.
#[test]
fn an_opt_out_is_lifted_with_the_rest_or_not_at_all() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    house
        .sql()
        .execute_batch("UPDATE user SET opted_out_ms = 5 WHERE key = 'anna'")
        .unwrap();
    let said = house.refused(2, &["user", "change", "anna", "--lift-opt-out", "--email", "x"]);
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(house.done(&["user", "show", "anna"]).contains("no: opted out"));
    let said = house.refused(2, &["user", "change", "bo", "--lift-opt-out", "--name", "B"]);
    assert!(
        said.contains("bo: has not opted out; nothing was changed"),
        "{said}"
    );
    assert!(house.done(&["user", "show", "bo"]).contains("name\tBo\n"));
    let said = house.done(&[
        "user",
        "change",
        "anna",
        "--lift-opt-out",
        "--email",
        "berg@office.test",
    ]);
    assert_eq!(said, "changed\tanna\temail anna@office.test → berg@office.test\n");
    assert!(
        house
            .done(&["user", "show", "anna"])
            .contains("subscribed\tyes\n")
    );
    let audit = house.done(&["audit", "list", "--user", "anna"]);
    assert!(
        audit.contains("\topt-out lifted") && audit.contains("berg@"),
        "{audit}"
    );
}

/// Catches a command that does what cannot be, or says neither what is at fault nor what to do.
#[test]
fn what_cannot_be_is_refused_in_words() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    let before = house.done(&["export"]);
    for (arguments, words) in [
        (
            &["user", "show", "x"][..],
            &["x: there is no such user", "user list"][..],
        ),
        (&["user", "change", "x", "--name", "X"], &["no such user"]),
        (&["user", "change", "anna"], &["required"]),
        (
            &["user", "change", "anna", "--email", "anna"],
            &["\"anna\"", "mail address"],
        ),
        (
            &["user", "change", "anna", "--timezone", "Mars"],
            &["Mars", "Asia/Shanghai"],
        ),
        (
            &["user", "change", "anna", "--name", "A\u{202e}b"],
            &["name", "direction"],
        ),
        (
            &["user", "change", "anna", "--subscribed", "maybe"],
            &["maybe", "yes or no"],
        ),
        (
            &[
                "user",
                "add",
                "x y",
                "--name",
                "X",
                "--email",
                "x@y.test",
                "--account",
                "1009",
            ],
            &["one word"],
        ),
        (
            &[
                "user",
                "add",
                "x",
                "--name",
                "X",
                "--email",
                "x@y.test",
                "--account",
                "1006",
            ],
            &["belongs to account +862583091005", "nothing was changed"],
        ),
        (&["user", "remove", "x"], &["no such user"]),
        (
            &["account", "add", "anna", "?"],
            &["neither a number nor a SIP address"],
        ),
        (&["account", "add", "x", "1008"], &["no such user"]),
        (
            &["account", "add", "bo", "1008", "--alias", "1006"],
            &["belongs to account +862583091005"],
        ),
        (
            &["account", "add", "anna", "1005"],
            &["anna has account +862583091005 already"],
        ),
        (&["account", "show", "1008"], &["no such account", "account list"]),
        (&["account", "change", "1005"], &["required"]),
        (
            &["account", "change", "1005", "--label", "x"],
            &["several owners, anna, bo", "--user"],
        ),
        (
            &["account", "change", "1005", "--label", "x", "--user", "li"],
            &["not li's"],
        ),
        (
            &["account", "change", "1007", "--remove-alias", "1001"],
            &["no alias of +862583091007"],
        ),
        (
            &["account", "change", "1007", "--move-to", "x"],
            &["no such user"],
        ),
        (
            &["account", "change", "1007", "--move-to", "bo"],
            &["bo's already"],
        ),
        (&["account", "remove", "1005"], &["several owners"]),
        (
            &["account", "remove", "1005", "--user", "anna"],
            &["anna would have no account left", "remove the person"],
        ),
    ] {
        let said = house.refused(2, arguments);
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {word}: {said}");
        }
    }
    assert_eq!(house.done(&["export"]), before);
}

/// Catches an account that moves without its names, that takes a co-owner with it, a label that is put on another's, and names
/// that only one of the owners has.
#[test]
fn accounts_are_added_renamed_moved_and_removed() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    let list = || house.done(&["account", "list"]);
    house.done(&["account", "change", "1005", "--user", "bo", "--label", "shared"]);
    house.done(&[
        "account",
        "change",
        "1005",
        "--add-alias",
        "sip:desk@ims.office.test",
        "--remove-alias",
        "1006",
    ]);
    assert_eq!(
        list(),
        "+862583091005\tanna\tdesk\tsip:desk@ims.office.test\n\
         +862583091005\tbo\tshared\tsip:desk@ims.office.test\n\
         +862583091007\tbo\t\t\n"
    );
    house.done(&["account", "change", "1007", "--add-alias", "1006"]);
    let said = house.done(&["account", "change", "1007", "--move-to", "anna"]);
    assert_eq!(
        said,
        "changed\tanna\taccount + +862583091007 (1006)\nchanged\tbo\taccount - +862583091007 (1006)\n"
    );
    let (status, out, error) = house.program(&["account", "add", "bo", "1007", "--label", "late"]);
    assert_eq!(status, 0, "{error}");
    assert!(out.contains("+862583091007 (late) (1006)"), "{out}");
    assert!(
        error.contains("bo came from a file: the next `import`"),
        "{error}"
    );
    assert_eq!(
        house.done(&["account", "show", "1006"]),
        "account\t+862583091007\nowner\tanna\nowner\tbo, late\nalias\t1006\n"
    );
    house.done(&["account", "remove", "1005", "--user", "bo"]);
    house.done(&["account", "remove", "1005"]);
    assert!(!list().contains("+862583091005"), "{}", list());
}

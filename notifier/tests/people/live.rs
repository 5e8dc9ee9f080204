//! A running notifier obeys what other processes change.

use crate::house::{House, LIMING, wait};

const PEOPLE: &str = "liming,Li,li@office.test,en,UTC,yes,+862583091001,,\n";

fn mails_to(house: &House, address: &str) -> usize {
    let mails = house.sink.mails();
    let is_to = |mail: &&String| {
        mail.lines()
            .any(|line| line.starts_with("To:") && line.contains(address))
    };
    mails.iter().filter(is_to).count()
}

/// Catches a change that a running notifier sees only after a restart: another address, an account more, a person gone, one who
/// comes back. Each missed call is written after the change was made, so that the first mail shows whether it is obeyed.
#[test]
fn changes_are_obeyed_without_a_restart() {
    let house = House::new();
    house.import(PEOPLE, &[]);
    let _running = house.run();
    house.miss("01", LIMING);
    wait("a mail", || mails_to(&house, "li@office.test") == 1);
    house.done(&["user", "change", "liming", "--email", "new@office.test"]);
    house.miss("02", LIMING);
    wait("a mail to the new address", || {
        mails_to(&house, "new@office.test") == 1
    });
    house.done(&["account", "add", "liming", "1002"]);
    house.miss("03", "+862583091002");
    wait("a mail about the new account", || {
        mails_to(&house, "new@office.test") == 2
    });
    house.done(&["user", "change", "liming", "--subscribed", "no"]);
    house.miss("04", LIMING);
    // Taken in while nobody is subscribed, not once somebody else is.
    wait("the fourth call to be read", || {
        let read = house
            .sql()
            .query_row("SELECT max(seq) FROM cursor", (), |row| row.get::<_, i64>(0));
        read == Ok(4)
    });
    house.import(
        "bo,Bo,bo@office.test,en,UTC,yes,+862583091001,,\n",
        &["--replace"],
    );
    house.miss("05", LIMING);
    wait("a mail to who was imported", || {
        mails_to(&house, "bo@office.test") == 1
    });
    assert_eq!(house.sink.mails().len(), 4);
}

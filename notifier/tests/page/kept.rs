//! A page that cannot be served, or not any more.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringtap_notifier::page::Keeper;
use ringtap_notifier::status::Status;

use crate::lab::{Lab, ask};

/// Catches a port that another program holds for a while and that ends the notifier or leaves it without a page for good; one of which
/// `/health` does not know.
#[test]
fn an_occupied_port() {
    let lab = Lab::new();
    let mut config = lab.config.clone();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    config.notifier.page.listen = address;
    let status = Arc::new(Status::default());
    let part = || {
        let parts = status.health().parts;
        let page = parts.into_iter().find(|part| part.name == "page");
        page.map(|page| page.state.is_ok())
    };
    let keeper = Keeper::start(&config, &lab.path("n.db"), Arc::clone(&status)).unwrap();
    assert!(keeper.is_some());
    assert_eq!(part(), Some(false));
    drop(holder);
    lab.wait_until(|| part() == Some(true));
    assert_eq!(ask(address, "GET", "/", &[], "").status, 200);
    drop(keeper);
    assert!(TcpListener::bind(address).is_ok(), "it has ended");
    config.notifier.public_url = None;
    let none = Keeper::start(&config, &lab.path("n.db"), status).unwrap();
    assert!(none.is_none(), "there is to be no page");
}

/// Catches an import that writes for long and stops people from looking meanwhile, by who waits for it to write something down; and a wish
/// (no mails any more, a link) that is lost over it though it was taken.
#[test]
fn beside_a_long_import() {
    let lab = Lab::new();
    let cookie = lab.sign_in("Wang@", "+862583091002");
    let leave = lab.mail("Wang@").link("/u/");
    let address = lab.page.address();
    let sql = lab.sql();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let wish = ask(address, "POST", "/", &form, "email=li%40office.test");
    assert_eq!(wish.status, 200);
    let leaving = thread::spawn(move || ask(address, "POST", &leave, &[], ""));
    // Longer than changes wait elsewhere in the program.
    for _ in 0..7 {
        thread::sleep(Duration::from_secs(1));
        assert_eq!(lab.get("/calls", &cookie).status, 200);
        assert!(!leaving.is_finished(), "who reads waits for who writes");
    }
    sql.execute_batch("ROLLBACK").unwrap();
    assert_eq!(leaving.join().unwrap().status, 200);
    assert_eq!(
        lab.value::<i64>("SELECT count(*) FROM user WHERE key = 'wang' AND opted_out_ms IS NOT NULL"),
        1
    );
    lab.wait_until(|| lab.value::<i64>("SELECT count(*) FROM outbox WHERE kind = 'link'") == 1);
}

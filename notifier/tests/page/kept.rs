//! A page that cannot be served, or not any more.

use std::net::TcpListener;
use std::sync::Arc;

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

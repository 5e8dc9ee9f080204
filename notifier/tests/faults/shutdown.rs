//! The end of the service, whatever the server does.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Lab, missed};
use crate::server::Server;

/// Catches a service that does not end while a server keeps it waiting, or forgets the mail in hand.
#[test]
fn while_the_server_stalls() {
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let writer = lab.writer();
    server.stall(true);
    let mut running = lab.run();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait("a is on its way", || server.connections() > 0);
    running.signal(Signal::TERM);
    let began = Instant::now();
    assert!(running.end().success(), "{}", running.log());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    running.wait_said(&["WARN", "unanswered=1"]);
    assert_eq!(lab.count("pending"), 1);

    // A second signal ends it at once.
    let mut running = lab.run();
    let before = server.connections();
    running.wait("a is on its way again", || server.connections() > before);
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::TERM);
    let began = Instant::now();
    assert_eq!(running.end().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(5));

    server.stall(false);
    let mut running = lab.run();
    running.wait("a has arrived", || lab.count("sent") == 1);
    let ids = server.taken().into_iter().map(|mail| mail.message_id);
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 1);

    // With nothing to do, and metrics served.
    assert_eq!(running.health().0, 200);
    running.signal(Signal::TERM);
    let began = Instant::now();
    assert!(running.end().success(), "{}", running.log());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(running.said(&["stopped"]), 1);
}

//! A disk that is full.

use std::thread;
use std::time::Duration;

use crate::lab::{Lab, SmallDisk, may_meddle, missed, wait};
use crate::server::Server;

/// Room for the files and a bit more.
const DISK_KIB: u32 = 2048;
/// Long enough for a fault that comes and goes in the log, once a second, to be seen.
const A_WHILE: Duration = Duration::from_secs(4);

/// Catches a service that dies of a full disk, is silent about it or says it again and again, sends what it cannot write down
/// again and again, or has to be started anew when there is room.
#[test]
fn under_the_notifiers_database() {
    if !may_meddle() {
        return;
    }
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let disk = SmallDisk::mount(&lab.path("data"), DISK_KIB);
    lab.import();
    let mut running = lab.run();
    running.wait_said(&["ready"]);
    let writer = lab.writer();

    // One is on its way while the disk fills, and cannot be written down when it has arrived; one comes then.
    server.stall(true);
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait("a is on its way", || server.connections() > 0);
    thread::sleep(Duration::from_millis(300));
    disk.fill();
    server.stall(false);
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_trouble("database", "full");
    writer.send(missed("b", &[&person.number])).unwrap();
    thread::sleep(A_WHILE);
    assert!(running.is_running());
    assert!(running.trouble("database").is_some());
    assert_eq!(running.metric("file_usable{file=\"database\"}"), Some(0.0));
    assert_eq!(server.taken().len(), 1, "{}", running.log());
    assert!(running.said(&["trying again"]) <= 2, "{}", running.log());
    assert_eq!(running.said(&["can be used again"]), 0, "{}", running.log());

    disk.make_room();
    running.wait("b has arrived", || server.taken().len() == 2);
    running.wait_well();
    running.wait_said(&["the database can be used again"]);
    assert_eq!(running.metric("file_usable{file=\"database\"}"), Some(1.0));
    running.wait("both are done with", || lab.count("sent") == 2);
}

/// Catches a service that says every second that its database can be used again, only because it had nothing to write but what
/// the journal brings.
#[test]
fn under_the_intake_alone() {
    if !may_meddle() {
        return;
    }
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let disk = SmallDisk::mount(&lab.path("data"), DISK_KIB);
    lab.import();
    let running = lab.run();
    running.wait_said(&["ready"]);
    let writer = lab.writer();
    running.wait_said(&["the journal can be read"]);
    disk.fill();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait_trouble("database", "full");
    thread::sleep(A_WHILE);
    assert_eq!(running.said(&["trying again"]), 1, "{}", running.log());
    assert_eq!(running.said(&["can be used again"]), 0, "{}", running.log());
    disk.make_room();
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_well();
}

/// Catches an engine that loses records to a full disk although there was room to keep them, or does not go on by itself.
#[test]
fn under_the_engines_journal() {
    if !may_meddle() {
        return;
    }
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let disk = SmallDisk::mount(&lab.path("journal"), DISK_KIB);
    let writer = lab.writer();
    let running = lab.run();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait("a has arrived", || server.taken().len() == 1);
    disk.fill();
    for n in 0..100 {
        writer.try_send(missed(&format!("b{n}"), &[&person.number]));
    }
    wait("the writer says so", || writer.is_stalled());
    thread::sleep(Duration::from_secs(1));
    assert!(writer.is_stalled());
    disk.make_room();
    wait("the writer goes on", || !writer.is_stalled());
    // Thirty at most in an hour: the others are told together.
    running.wait("they have arrived", || server.taken().len() >= 25);
    let totals = writer.finish().unwrap();
    assert_eq!((totals.written, totals.lost), (101, 0));
    running.wait_well();
}

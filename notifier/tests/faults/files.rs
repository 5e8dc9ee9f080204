//! Files that are locked, removed or replaced.

use std::fs;

use crate::lab::{Lab, missed};
use crate::server::Server;

/// Catches a service that gives up when another program holds the database for longer than it waits, or keeps quiet about it.
#[test]
fn a_locked_database() {
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let running = lab.run();
    running.wait_said(&["ready"]);
    let writer = lab.writer();
    running.wait_said(&["the journal can be read"]);
    let other = lab.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait_trouble("database", "locked");
    running.wait_said(&["ERROR", "locked", "trying again"]);
    assert_eq!(running.metric("file_usable{file=\"database\"}"), Some(0.0));
    assert_eq!(server.taken().len(), 0);
    other.execute_batch("COMMIT").unwrap();
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_well();
    running.wait_said(&["the database can be used again"]);
}

/// Catches a program that clings to a journal which was removed or replaced, while the engine writes another; and one that waits
/// for a journal without saying so.
#[test]
fn a_journal_removed_and_replaced() {
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let running = lab.run();
    running.wait_trouble("journal", "no such file");
    assert_eq!(running.metric("file_usable{file=\"journal\"}"), Some(0.0));
    running.wait_said(&["INFO", "no such file", "waiting for it"]);
    let writer = lab.writer();
    let number = person.number.as_str();
    writer.send(missed("a", &[number])).unwrap();
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_well();

    // Under both programs.
    fs::remove_file(lab.journal()).unwrap();
    writer.send(missed("b", &[number])).unwrap();
    running.wait("b has arrived", || server.taken().len() == 2);
    running.wait_said(&["WARN", "was removed or replaced"]);
    assert_eq!(writer.totals().moved, 1);
    let other = lab.path("other.db");
    let spare = ringtap_journal::Writer::spawn(&other, ringtap_journal::Options::default()).unwrap();
    spare.send(missed("c", &[number])).unwrap();
    spare.finish().unwrap();
    fs::rename(&other, lab.journal()).unwrap();
    running.wait("c has arrived", || server.taken().len() == 3);
    writer.send(missed("d", &[number])).unwrap();
    running.wait("d has arrived", || server.taken().len() == 4);
    writer.finish().unwrap();

    // While no engine is there to make it anew.
    fs::remove_file(lab.journal()).unwrap();
    running.wait_trouble("journal", "no such file");
    let writer = lab.writer();
    writer.send(missed("e", &[number])).unwrap();
    running.wait("e has arrived", || server.taken().len() == 5);
    running.wait_well();
    assert_eq!(running.metric("file_usable{file=\"journal\"}"), Some(1.0));
}

//! A server that talks, but not as one would like: it takes its time, or does not want our mails.

use crate::lab::{Lab, Person, missed};
use crate::server::Server;

/// Catches a mail that is given up to a server which takes half a minute over it, and takes it: it would come again and again.
#[test]
fn one_that_filters_for_long() {
    let server = Server::start(1);
    server.filter(33);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let writer = lab.writer();
    let running = lab.run();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait("a is sent", || lab.count("sent") == 1);
    assert_eq!((server.taken().len(), server.connections()), (1, 1));
}

/// Catches mails that are given up because the server has something against us, not against them; one that does not say so until it
/// knows the recipient, and of which nobody is told; and a connection for each mail that it does not want.
#[test]
fn one_that_does_not_want_our_mails() {
    let server = Server::start(1);
    let mut people: Vec<Person> = (0..6).map(|n| Person::new(n, "denied.test")).collect();
    people.push(Person::new(6, "refused.test"));
    people.push(Person::new(7, "office.test"));
    let url = format!("smtp://{}", server.address);
    let lab = Lab::new(&people, &url, "connections = 1", "coalesce_window_s = 0");
    let writer = lab.writer();
    let running = lab.run();
    let [denied @ .., refused, welcome] = people.as_slice() else {
        panic!("there are some")
    };
    // One alone says nothing of the server.
    writer.send(missed("a", &[&denied[0].number])).unwrap();
    running.wait_said(&["message put off", "5.7.1"]);
    assert_eq!(running.trouble("mail"), None);
    for person in &denied[1..] {
        writer
            .send(missed(&format!("b-{}", person.key), &[&person.number]))
            .unwrap();
    }
    running.wait_trouble("mail", "Client host rejected");
    running.wait_said(&["ERROR", "does not want our messages"]);
    // A refusal of another kind is no welcome.
    writer.send(missed("c", &[&refused.number])).unwrap();
    running.wait("c is given up", || lab.count("dead") == 1);
    assert!(running.trouble("mail").is_some());
    // What waits would be tried again meanwhile.
    lab.sql()
        .execute_batch("UPDATE outbox SET state = 'dropped' WHERE state = 'pending'")
        .unwrap();
    writer.send(missed("d", &[&welcome.number])).unwrap();
    running.wait("d is sent", || lab.count("sent") == 1);
    running.wait_well();
    assert_eq!(server.connections(), 1);
}

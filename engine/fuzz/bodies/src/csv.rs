//! The import of subscriptions: all of a file or nothing, and what was taken is what is written out again.

use std::path::Path;

use ringtap_notifier::subscriptions::{Subscription, read, write};

use crate::office;

/// A CSV file.
pub fn run(data: &[u8]) {
    let path = Path::new("fuzz.csv");
    let people = match read(path, data, office::plan()) {
        Ok(people) => people,
        Err(bad) => {
            assert!(!bad.faults.is_empty());
            let _ = bad.to_string();
            return;
        }
    };
    let mut out = Vec::new();
    assert!(write(&mut out, &people).is_ok());
    match read(path, out.as_slice(), office::plan()) {
        Ok(again) => assert_eq!(without_lines(again), without_lines(people)),
        Err(bad) => panic!("what was written is not read: {bad}"),
    }
}

/// The same people, wherever they stand in the file.
fn without_lines(mut people: Vec<Subscription>) -> Vec<Subscription> {
    for person in &mut people {
        person.line = 0;
        for account in &mut person.accounts {
            account.line = 0;
        }
    }
    people
}

//! A clock that is set while the service works, by libfaketime (Debian: `faketime`).

use std::fs;
use std::path::PathBuf;

use crate::lab::{Lab, Running, missed};
use crate::server::Server;

/// Catches a message that is given up because the clock leaps ahead, even while it is on its way, and one that waits until a
/// clock that was set back has caught up.
#[test]
fn set_ahead_and_back() {
    let Some(library) = library() else {
        let why = "takes libfaketime (Debian: `faketime`)";
        assert!(
            std::env::var_os("RINGTAP_LIVE").is_none_or(|live| live != "1"),
            "{why}, and RINGTAP_LIVE=1 wants it tested"
        );
        eprintln!("SKIPPED: {why}");
        return;
    };
    let server = Server::start(1);
    let (lab, person) = Lab::of_one(&format!("smtp://{}", server.address), "");
    let offset = lab.path("offset");
    // Written elsewhere first: half a line would be another time.
    let set = |by: &str| {
        fs::write(lab.path("offset.new"), by).unwrap();
        fs::rename(lab.path("offset.new"), &offset).unwrap();
    };
    set("+0");
    let mut command = lab.command();
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    let running = Running::start(command);
    running.wait_said(&["ready"]);

    let writer = lab.writer();
    server.stall(true);
    server.be_busy(true);
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait("a is on its way", || server.connections() > 0);
    // Farther than `giveup_h`.
    set("+5d");
    running.wait("the leap ahead is noticed", || {
        running.said(&["WARN", "the clock was set", "by_ms=43"]) == 1
    });
    server.stall(false);
    running.wait_said(&["message put off", "attempt=1"]);
    set("-5d");
    running.wait("the leap back is noticed", || {
        running.said(&["WARN", "the clock was set", "by_ms=-86"]) == 1
    });
    server.be_busy(false);
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait("it is done with", || lab.count("sent") == 1);
    assert_eq!(lab.count("dead"), 0);
    running.wait_well();
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists())
}

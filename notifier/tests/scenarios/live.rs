//! The scenarios as they happen: each capture goes down a veth pair in its own time, divided by a factor, `ringtap run`
//! listens at the other end with timers divided alike, and the mails are those that come of the file ([`crate::pcap`]).
//!
//! Needs root, network namespaces and the program `ringtap`, so the live test runs only when asked for:
//! `scripts/test.sh` does, or `cargo nextest run -p ringtap-notifier --test scenarios live --run-ignored all` after
//! `cargo build -p ringtap`. What live capture does beside calls is tested in `engine/tests/live`.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ringtap_testkit::lab::{self, Lab, MIRROR, Running};
use ringtap_testkit::play::{Options, Pace, Reel, Spread};
use ringtap_testkit::{Case, Expected, Format, capture, fixtures, messages, mutate};

use crate::green;
use crate::memory::{records, told};
use crate::pcap::{Mail, notify_once, received, wanted};
use crate::rows::expected;
use crate::sink::Sink;

/// How many times as fast as life. One after the other, all rows last 21 minutes in life; at this speed and in [`LABS`]
/// side by side it is less than a minute. 25 would still give the same mails in memory
/// ([`the_corpus_is_the_same_at_any_speed`]), but a machine that is late by some milliseconds is then late by a tenth of
/// a second of the story.
const FACTOR: u32 = 10;
/// Labs side by side: most of the time each waits for the next message.
const LABS: usize = 6;
/// From the last message until the tap is told to end: longer than the longest that a call of the corpus is held
/// after it, so that calls settle by the clock and not by the end. Rings that nobody ended still ring then, as they do
/// at the end of a file.
const AFTERWARDS: Duration = Duration::from_millis(1_000);

/// One row with one set of switches.
type Check = (Case, Expected);

fn checks() -> Vec<Check> {
    let cases = green().into_iter().filter(|case| case.waits_pcap.is_none());
    cases
        .flat_map(|case| {
            let expected = case.expected.clone();
            expected.into_iter().map(move |expected| (case.clone(), expected))
        })
        .collect()
}

fn config_text(wanted: &Expected, url: &str, factor: u32) -> String {
    let config = fixtures::config_toml_with("unused.db", "unused.db", url, &wanted.switches);
    // Many taps at once: a small ring each.
    config + "\n[capture]\nring_frames = 1024\n" + &fixtures::timers_toml(factor)
}

/// Catches a rule of the engine that counts in seconds which no timer shortens: then the live test would have to run at
/// the speed of life.
#[test]
fn the_corpus_is_the_same_at_any_speed() {
    for factor in [2, 5, FACTOR, 25] {
        for (case, wanted) in checks() {
            let text = config_text(&wanted, "smtp://127.0.0.1:25", factor);
            let config = ringtap_config::from_toml(&text, "fixtures").expect("valid");
            let wires = mutate::hastened(&messages(&case), factor);
            assert_eq!(
                told(&records(&wires, &config, 16), &config),
                expected(&wanted),
                "{} {:?}, {factor} times as fast",
                case.name,
                wanted.switches
            );
        }
    }
}

/// What came of one row, or how the tap failed.
fn mails(lab: &Lab, ringtap: &Path, case: &Case, wanted: &Expected) -> Result<Vec<Mail>, String> {
    let sink = Sink::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let text = config_text(wanted, &format!("smtp://{}", sink.address), FACTOR);
    let file = folder.path().join("ringtap.toml");
    std::fs::write(&file, &text).expect("written");
    let mut command = lab.command(ringtap);
    command
        .args([
            "run",
            "--user",
            "root",
            "--interface",
            MIRROR,
            "--cores",
            "0,1",
            "--config",
        ])
        .arg(&file)
        .arg("--journal")
        .arg(folder.path().join("journal.db"));
    let tap = Running::start(&mut command).expect("started");
    tap.wait_for("capturing", 1)?;
    let reel = Reel::read(&case.name, &capture(&messages(case), Format::Pcap)[..]).expect("a reel");
    let options = Options {
        pace: Pace::Speed(f64::from(FACTOR)),
        rounds: 1,
        spread: Spread::Queue,
    };
    lab.play(&reel, &options).map_err(|error| error.to_string())?;
    thread::sleep(AFTERWARDS);
    let (status, _) = tap.end().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("ended with {status}"));
    }
    notify_once(
        folder.path(),
        ringtap_config::from_toml(&text, "fixtures").expect("valid"),
    );
    Ok(received(&sink))
}

/// Catches anything that is lost, doubled or judged otherwise between the frames on a line and the mail server.
#[test]
#[ignore = "needs root and `ringtap run`; takes a minute"]
fn every_row_from_the_line_to_mail() {
    let ringtap = lab::built("ringtap").expect("the program: cargo build -p ringtap");
    let checks = checks();
    assert_eq!(checks.len(), 65);
    let left = Mutex::new(checks);
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..LABS {
            let (left, faults, ringtap) = (&left, &faults, &ringtap);
            scope.spawn(move || {
                let lab = Lab::up(&format!("row{number}"), 2).expect("a lab");
                loop {
                    let Some((case, expected)) = left.lock().expect("whole").pop() else {
                        break;
                    };
                    let got = mails(&lab, ringtap, &case, &expected);
                    let wanted = wanted(&expected);
                    if got.as_ref() != Ok(&wanted) {
                        let fault = format!("{} {:?}: {got:?}, not {wanted:?}", case.name, expected.switches);
                        faults.lock().expect("whole").push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("whole");
    assert!(
        faults.is_empty(),
        "{} of 65:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

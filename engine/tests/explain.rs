//! `ringtap explain`: the story of a verdict from a capture and from a journal.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use std::process::{Command, Output};

use ringtap_testkit::{Format, capture, fixtures, messages, scenario};

fn ringtap(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringtap"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn out(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The configuration of the fixtures and the capture of a row, in a folder.
fn lab(folder: &Path, row: &str) -> (String, String) {
    let config = folder.join("ringtap.toml");
    let pcap = folder.join("row.pcap");
    let text = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
    std::fs::write(&config, text).unwrap();
    let case = &scenario(row).unwrap().cases()[0];
    std::fs::write(&pcap, capture(&messages(case), Format::Pcap)).unwrap();
    (
        config.to_str().unwrap().to_owned(),
        pcap.to_str().unwrap().to_owned(),
    )
}

/// Catches a page that does not say which legs there were, what joined them, and which rule decided.
#[test]
fn a_diverted_call_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pcap) = lab(folder.path(), "S23");
    let page = out(&ringtap(&["explain", "--config", &config, "--pcap", &pcap]));
    for wanted in [
        "caller    +8613912345678 \"Zhang San\"",
        "dialled   +862583091001",
        "GI       +862583091001",
        "GJ       +861085091234",
        "legs 1 and 2 are one call by K2 icid-value",
        "+862583091001: FORWARDED_UNANSWERED",
        "rule      2.8 step f, D44: sent on, and not answered there",
        "by itself CALLER_HUNG_UP: D21",
        "sent on   to +861085091234",
        "policy    forwarded_unanswered = true",
    ] {
        assert!(page.contains(wanted), "{wanted:?} is missing in\n{page}");
    }
}

/// Catches a journal that does not keep the story, or tells another than the capture.
#[test]
fn the_journal_tells_what_the_capture_does() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pcap) = lab(folder.path(), "S26");
    let journal = folder.path().join("j.db");
    let journal = journal.to_str().unwrap();
    out(&ringtap(&[
        "replay",
        "--config",
        &config,
        "--journal",
        journal,
        &pcap,
    ]));
    let from_capture = out(&ringtap(&["explain", "--config", &config, "--pcap", &pcap]));
    let name = from_capture.split_whitespace().nth(1).unwrap();
    for beginning in [name, &name[..8]] {
        let from_journal = out(&ringtap(&[
            "explain",
            "--config",
            &config,
            "--journal",
            journal,
            "--call",
            beginning,
        ]));
        assert_eq!(from_journal, from_capture);
    }
}

/// Catches a withheld caller who shows in the story (§3.4).
#[test]
fn a_withheld_caller_stays_withheld() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pcap) = lab(folder.path(), "S32");
    for form in [&["--pcap", &pcap][..], &["--json", "--pcap", &pcap]] {
        let told = out(&ringtap(&[&["explain", "--config", &config], form].concat()));
        assert!(told.contains("withheld"), "{told}");
        assert!(!told.contains("13912345678") && !told.contains("Zhang"), "{told}");
    }
}

/// Catches a slip in the name that is not told from a call that is not there.
#[test]
fn wrong_names_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pcap) = lab(folder.path(), "S18");
    let explain = |name: &str| ringtap(&["explain", "--config", &config, "--pcap", &pcap, "--call", name]);
    assert_eq!(explain("no hex").status.code(), Some(2));
    assert_eq!(explain("").status.code(), Some(2));
    let nobody = explain("0123456789abcdef");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nobody.stderr)
            .contains("no call of these captures is named 0123456789abcdef")
    );
    // Of a name and a number one has to go.
    assert_eq!(
        ringtap(&["explain", "--call", "00", "--newest", "2"])
            .status
            .code(),
        Some(2)
    );
}

/// Catches `explain` that tells other calls than the last, or in another order.
#[test]
fn the_newest_calls_are_told_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("newest.db");
    let journal = journal.to_str().unwrap();
    let mut config = String::new();
    for row in ["S18", "S31"] {
        let (file, pcap) = lab(folder.path(), row);
        out(&ringtap(&[
            "replay",
            "--config",
            &file,
            "--journal",
            journal,
            &pcap,
        ]));
        config = file;
    }
    let told = |more: &[&str]| -> Vec<String> {
        let arguments = [&["explain", "--config", &config, "--journal", journal], more].concat();
        let lines = out(&ringtap(&arguments));
        let dialled = lines.lines().filter(|line| line.starts_with("  dialled"));
        dialled
            .map(|line| line.trim_start_matches("  dialled").trim().to_owned())
            .collect()
    };
    let (twice, desk) = ("+862583091001", "+862583091010");
    assert_eq!(told(&[]), [desk]);
    assert_eq!(told(&["--newest", "2"]), [twice, desk]);
    assert_eq!(told(&["--newest", "9"]), [twice, twice, desk]);
}

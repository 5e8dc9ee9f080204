//! Mails judged by a parser that is not ours: Python's, in its strict mode.

use std::path::Path;
use std::process::Command;

/// Faults that are shown.
const TOLD: usize = 5;

/// Reads every `.eml` in `folder`, `count` of them, and panics with what is wrong with them. Each must go to one of
/// `recipients` alone and hold no link but `link`.
///
/// Without Python nothing is checked, which is said; with `RINGTAP_LIVE=1` that is a failure.
#[allow(dead_code, reason = "each test program asks what it needs")]
pub(crate) fn check(folder: &Path, count: usize, link: &str, recipients: &[&str]) {
    let options = recipients.iter().map(|to| format!("--to={to}"));
    run(folder, count, options.chain([format!("--link={link}")]).collect());
}

/// As [`check`], for mails without any link, to whomever; none of `secrets` may be in any part or header.
#[allow(dead_code, reason = "each test program asks what it needs")]
pub(crate) fn check_without(folder: &Path, count: usize, secrets: &[&str]) {
    let options = secrets.iter().map(|secret| format!("--without={secret}"));
    run(folder, count, options.collect());
}

fn run(folder: &Path, count: usize, options: Vec<String>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mime/check.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(folder)
        .args(options)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let must_run = std::env::var_os("RINGTAP_LIVE").is_some_and(|value| value == "1");
            assert!(!must_run, "RINGTAP_LIVE=1, but python3 does not start: {error}");
            eprintln!("SKIPPED: no parser but ours has read these mails, as python3 does not start: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let faults: Vec<&str> = said.lines().take(TOLD).collect();
    assert_eq!(faults, [format!("{count} mails")], "{complaint}");
}

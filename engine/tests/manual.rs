//! The manual and the completions of `ringtap`.
#![allow(missing_docs, reason = "a test")]

use std::path::Path;

/// Catches a command without a page, a page that keeps an option back, and completions that bash does not understand.
#[test]
fn the_manual_says_what_help_says() {
    let pages = ringtap_testkit::manual::check(Path::new(env!("CARGO_BIN_EXE_ringtap")));
    assert!(pages >= 7, "{pages}");
}

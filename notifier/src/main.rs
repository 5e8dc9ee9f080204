//! `ringtap-notifier`: the notification service's command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ringtap_notifier::cli::main()
}

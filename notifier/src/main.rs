//! `ringtap-notifier`: the notification service's command line.
fn main() {}

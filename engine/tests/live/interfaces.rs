//! What `ringtap run` leaves on interfaces, and what it does when they come and go.

use std::thread;
use std::time::Duration;

use ringtap_testkit::lab::{MIRROR, MIRROR_2, SPAN, SPAN_2};

use crate::{Bench, capturing, is_flagged, short_call};

/// Whether `ip -d link show` says that of the mirror now or soon: the kernel takes away what hung on a process when the
/// last descriptor is closed, which a dying process does at leisure.
fn becomes(bench: &Bench, says: impl Fn(&str) -> bool) -> bool {
    (0..100).any(|_| {
        let is_so = says(&bench.lab.describe_mirror().expect("there"));
        if !is_so {
            thread::sleep(Duration::from_millis(20));
        }
        is_so
    })
}

/// Catches an XDP program that outlives the process which loaded it, even one that could not tidy up: the interface
/// would go on losing SIP to sockets that are gone.
#[test]
#[ignore = "needs root"]
fn a_killed_tap_leaves_no_program() {
    let bench = Bench::new("kill", 2);
    assert!(!bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    let tap = bench.tap("0");
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    tap.kill().expect("killed");
    let is_gone = becomes(&bench, |text| !text.contains("prog/xdp"));
    assert!(is_gone, "{:?}", bench.lab.describe_mirror());
}

/// Catches a tap that does not hear what is addressed to others, and an interface that stays promiscuous after it.
#[test]
#[ignore = "needs root"]
fn it_is_promiscuous_as_long_as_the_tap_runs() {
    let bench = Bench::new("promisc", 1);
    let has = |count| move |text: &str| text.contains(&format!("promiscuity {count} "));
    let is = |count| has(count)(&bench.lab.describe_mirror().expect("there"));
    assert!(is(0));
    let tap = bench.tap("0");
    assert!(is(1), "{:?}", bench.lab.describe_mirror());
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(is(0), "{:?}", bench.lab.describe_mirror());
    let tap = bench.tap("0");
    assert!(is(1), "{:?}", bench.lab.describe_mirror());
    tap.kill().expect("killed");
    assert!(becomes(&bench, has(0)), "{:?}", bench.lab.describe_mirror());
}

/// Catches a tap that stays deaf after its interface was down.
#[test]
#[ignore = "needs root"]
fn an_interface_that_was_down_is_heard_again() {
    let bench = Bench::new("down", 2);
    let tap = bench.tap("0,1");
    assert!(bench.hears_calls(SPAN, 1));
    bench.lab.set_mirror("down").expect("down");
    thread::sleep(Duration::from_secs(1));
    bench.lab.set_mirror("up").expect("up");
    assert!(bench.hears_calls(SPAN, 101), "{}", tap.said());
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
}

/// Catches an outage that calls do not know of: one that was ringing then may have ended unseen. And one that is never over.
#[test]
#[ignore = "needs root"]
fn a_call_across_an_outage_is_flagged() {
    let bench = Bench::new("outage", 2);
    let tap = bench.tap("0,1");
    let (across, after) = (short_call(1), short_call(2));
    bench.play(&across[..1]);
    thread::sleep(Duration::from_millis(300));
    bench.lab.remove_pair().expect("removed");
    thread::sleep(Duration::from_millis(500));
    bench.lab.up_again(2).expect("made anew");
    tap.wait_for("is back", 1).expect("it captures again");
    thread::sleep(Duration::from_millis(300));
    bench.play(&across[1..]);
    thread::sleep(Duration::from_secs(1));
    bench.play(&after);
    thread::sleep(Duration::from_secs(1));
    let records = bench.records();
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(is_flagged(&records, &across), "{records:#?}");
    assert!(!is_flagged(&records, &after), "{records:#?}");
}

/// Catches a tap that ends, or waits for ever, when its interface goes away and comes back.
#[test]
#[ignore = "needs root"]
fn an_interface_made_anew_is_heard_again() {
    let bench = Bench::new("anew", 2);
    let tap = bench.tap("0,1");
    assert!(bench.hears_calls(SPAN, 1));
    bench.lab.remove_pair().expect("removed");
    thread::sleep(Duration::from_secs(1));
    bench.lab.up_again(2).expect("made anew");
    assert!(bench.hears_calls(SPAN, 101), "{}", tap.said());
    let (status, _) = tap.end().expect("it ends");
    assert!(status.success(), "{status}");
}

/// Catches a tap of two interfaces that hears one of them only, that goes deaf on one when the other vanishes, or that
/// does not hear that one again when it has come back.
#[test]
#[ignore = "needs root"]
fn one_interface_vanishes_and_the_other_is_heard() {
    let bench = Bench::new("both", 2);
    bench.lab.add_pair(2).expect("a second pair");
    let tap = capturing(&mut bench.command(&format!("{MIRROR},{MIRROR_2}"), "0,1"));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    assert!(bench.hears_calls(SPAN_2, 101), "{}", tap.said());
    bench.lab.remove_pair().expect("removed");
    tap.wait_for("is gone", 1).expect("it says so");
    assert!(bench.hears_calls(SPAN_2, 201), "{}", tap.said());
    bench.lab.up_again(2).expect("made anew");
    assert!(bench.hears_calls(SPAN, 301), "{}", tap.said());
    assert!(bench.hears_calls(SPAN_2, 401), "{}", tap.said());
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

//! `ringtap run --metrics`: what it tells while it runs is what it says at its end, and its health follows what happens to it.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ringtap_testkit::lab::{MIRROR, Running};
use ringtap_testkit::{Wire, sample};

use crate::{Bench, FACTOR, capturing, count, short_call};

const PORT: u16 = 9464;
/// After this the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn telling(bench: &Bench) -> Running {
    bench.lab.set_loopback_up().expect("a loopback");
    let mut command = bench.command(MIRROR, "0,1");
    command.args(["--metrics", &format!("127.0.0.1:{PORT}")]);
    capturing(&mut command)
}

/// The value of each series.
fn metrics(bench: &Bench) -> BTreeMap<String, f64> {
    let (status, text) = bench.lab.get(PORT, "/metrics").expect("an answer");
    assert_eq!(status, 200);
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let values = series.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().expect("a number")))
    });
    values.collect()
}

/// The sum of the series that begin so.
fn sum(metrics: &BTreeMap<String, f64>, beginning: &str) -> u64 {
    let found = metrics.iter().filter(|(name, _)| name.starts_with(beginning));
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "counts")]
    let sum = found.map(|(_, value)| *value as u64).sum();
    sum
}

/// Waits until health has this status and its text all these words.
fn wait_for(bench: &Bench, status: u16, words: &[&str]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (found, text) = bench.lab.get(PORT, "/health").expect("an answer");
        if found == status && words.iter().all(|word| text.contains(word)) {
            return;
        }
        assert!(Instant::now() < until, "not {status} {words:?}: {found} {text}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until it is well, while calls are made again and again: a line that is silent is not.
fn wait_until_well(bench: &Bench, salt: u64) {
    let until = Instant::now() + PATIENCE;
    for attempt in 0.. {
        bench.play(&short_call(salt + attempt));
        let (status, text) = bench.lab.get(PORT, "/health").expect("an answer");
        if status == 200 {
            return;
        }
        assert!(Instant::now() < until, "{status} {text}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Catches counts that are told while it runs and are not those of the end, a reader or a queue that is left out, frames that
/// are told of nowhere, and an outcome, a record or a role that is not told.
#[test]
#[ignore = "needs root and network namespaces"]
fn what_is_told_is_what_was_counted() {
    let bench = Bench::new("told", 2);
    let tap = telling(&bench);
    let wires: Vec<Wire> = sample::messages();
    bench.play(&wires);
    let until = Instant::now() + PATIENCE;
    loop {
        let told = metrics(&bench);
        let is_done = told["ringtap_legs{state=\"open\"}"] == 0.0
            && sum(&told, "ringtap_xdp_frames_total") == wires.len() as u64
            && sum(&told, "ringtap_journal_records_total") >= 10;
        if is_done {
            break;
        }
        assert!(Instant::now() < until, "{told:#?}");
        thread::sleep(Duration::from_millis(200));
    }
    // Whatever is put up once a second has been by then.
    thread::sleep(Duration::from_millis(1_500));
    let told = metrics(&bench);
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
    let taken = sum(
        &told,
        "ringtap_xdp_actions_total{interface=\"mirror0\",action=\"taken\"}",
    );
    assert_eq!(taken, wires.len() as u64);
    assert_eq!(sum(&told, "ringtap_socket_frames_total"), taken);
    assert_eq!(sum(&told, "ringtap_frames_total"), taken);
    assert_eq!(sum(&told, "ringtap_batch_frames_sum"), taken);
    let messages = sum(&told, "ringtap_sip_requests_total") + sum(&told, "ringtap_sip_responses_total");
    assert_eq!(sum(&told, "ringtap_sip_messages_total"), messages);
    for (series, words) in [
        ("ringtap_frames_total{reason=\"delivered\"}", "frame delivered"),
        ("ringtap_frames_total{reason=\"duplicate\"}", "frame duplicate"),
        ("ringtap_sip_requests_total{method=\"INVITE\"}", "request INVITE"),
        ("ringtap_sip_responses_total{class=\"4xx\"}", "response 4xx"),
        (
            "ringtap_targets_total{outcome=\"CALLER_HUNG_UP\"}",
            "target CALLER_HUNG_UP",
        ),
        (
            "ringtap_journal_records_total{result=\"written\"}",
            "journal written",
        ),
    ] {
        assert_eq!(sum(&told, series), count(&said, words), "{series}: {said}");
        assert!(sum(&told, series) > 0, "{series}");
    }
    let calls = sum(&told, "ringtap_calls_total");
    assert!(calls > 0 && sum(&told, "ringtap_targets_total") >= calls);
    for role in ["GO", "MO", "GI", "MT", "GT"] {
        assert_eq!(
            sum(&told, &format!("ringtap_role_seen{{role=\"{role}\"}}")),
            1,
            "{role}"
        );
    }
    let written = sum(&told, "ringtap_journal_records_total{result=\"written\"}");
    for latency in ["call_end", "call_due"] {
        let counted = sum(&told, &format!("ringtap_{latency}_to_journal_seconds_count"));
        assert_eq!(counted, written, "{latency}");
    }
    // The last frame of a call comes at least the settling time before its record.
    let settling = f64::from(2_000 / FACTOR) / 1_000.0;
    #[expect(clippy::cast_precision_loss, reason = "a few records")]
    let least = written as f64 * settling * 0.9;
    assert!(
        told["ringtap_call_end_to_journal_seconds_sum"] > least,
        "{told:#?}"
    );
}

/// Catches a capture that is said to be well while it sees nothing or loses its records, and one that stays ill when all is well again.
#[test]
#[ignore = "needs root and network namespaces"]
fn health_follows_what_happens() {
    let bench = Bench::new("health", 1);
    bench.configure("[capture]\nsilence_s = 3\n");
    let folder = bench.folder.path().join("disk");
    fs::create_dir(&folder).expect("a folder");
    bench.lab.set_loopback_up().expect("a loopback");
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    command
        .args(["run", "--interface", MIRROR, "--metrics"])
        .arg(format!("127.0.0.1:{PORT}"))
        .arg("--config")
        .arg(bench.folder.path().join("ringtap.toml"))
        .arg("--journal")
        .arg(folder.join("journal.db"));
    let tap = capturing(&mut command);
    wait_for(&bench, 200, &["interface mirror0", "frames mirror0"]);
    wait_for(&bench, 503, &["no frame on mirror0 for "]);
    bench.lab.set_mirror("down").expect("down");
    wait_for(&bench, 503, &["mirror0 is down", "ip link set mirror0 up"]);
    bench.lab.set_mirror("up").expect("up");
    wait_until_well(&bench, 100);
    // The folder itself stays: one that is made anew is another to Landlock (docs/limits.md).
    for file in fs::read_dir(&folder).expect("a folder") {
        fs::remove_file(file.expect("a file").path()).expect("removed");
    }
    fs::create_dir(folder.join("journal.db")).expect("in the way");
    bench.play(&short_call(2));
    wait_for(&bench, 503, &["\"journal\",\"state\":\"failed\"", "journal.db"]);
    assert!(metrics(&bench)["ringtap_part_ok{part=\"journal\"}"] < 0.5);
    fs::remove_dir(folder.join("journal.db")).expect("removed");
    wait_until_well(&bench, 300);
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

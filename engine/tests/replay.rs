//! A replay as a whole: the same records whatever the speed, the cores and the container; bad files.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod corpus;
mod lab;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringtap_testkit::{Format, Wire, capture, messages, messages_salted, mutate, scenario};

use lab::{Lab, text};

fn ringtap(arguments: &[&str]) -> Output {
    lab::ringtap(|command| {
        command.args(arguments);
    })
}

/// All scenarios in one capture.
fn corpus(format: Format) -> Vec<u8> {
    capture(&corpus::wires(), format)
}

/// Catches records that depend on the number of cores, the pace or the capture format.
#[test]
fn the_same_records_from_every_run() {
    let lab = Lab::new();
    let capture = lab.write("corpus.pcap", &corpus(Format::Pcap));
    let wanted = lab.records(&capture, &[]);
    assert!(wanted.len() >= 55, "{} records", wanted.len());
    for run in 0..3 {
        assert_eq!(
            lab.records(&capture, &["--cores", "0,1"]),
            wanted,
            "two cores, run {run}"
        );
    }
    assert_eq!(lab.records(&capture, &["--speed", "200"]), wanted, "paced");
    for (name, format) in [
        ("ns.pcap", Format::PcapNanos),
        ("be.pcap", Format::PcapBigEndian),
        ("be-ns.pcap", Format::PcapNanosBigEndian),
        ("ng.pcapng", Format::PcapNg),
    ] {
        assert_eq!(
            lab.records(&lab.write(name, &corpus(format)), &[]),
            wanted,
            "{name}"
        );
    }
}

/// Catches copies that are dropped early or not by chance: which of two stays decides when a call was last heard of.
#[test]
fn copies_are_the_same_on_any_number_of_cores() {
    let lab = Lab::new();
    let copies = mutate::duplicated(&corpus::wires());
    let capture = lab.write("copies.pcap", &capture(&copies, Format::Pcap));
    let wanted = lab.records(&capture, &[]);
    let frames = |more: &[&str]| -> Vec<String> {
        let fixed = [
            "replay",
            "--stats",
            "--records",
            "/dev/null",
            capture.to_str().unwrap(),
        ];
        let output = ringtap(&[&fixed, more].concat());
        let lines = text(&output.stderr);
        let of_frames = lines.lines().filter(|line| line.starts_with("  frame"));
        of_frames.map(str::to_owned).collect()
    };
    let counted = frames(&[]);
    assert!(
        counted.iter().any(|line| line.contains("duplicate")),
        "{counted:?}"
    );
    for run in 0..3 {
        assert_eq!(lab.records(&capture, &["--cores", "0,1"]), wanted, "run {run}");
        assert_eq!(frames(&["--cores", "0,1"]), counted, "run {run}");
    }
}

/// Catches batches that leave messages out, or that are those of one worker only.
#[test]
fn stats_tell_how_long_batches_took() {
    let lab = Lab::new();
    let capture = lab.write("corpus.pcap", &corpus(Format::Pcap));
    for more in [&[][..], &["--cores", "0,1"]] {
        let fixed = [
            "replay",
            "--stats",
            "--records",
            "/dev/null",
            capture.to_str().unwrap(),
        ];
        let said = text(&ringtap(&[&fixed, more].concat()).stderr);
        let number = |line: &str, after: &str| -> f64 {
            let line = said.lines().find(|told| told.starts_with(line)).expect("told");
            let rest = line.split_once(after).expect("told").1;
            let end = rest
                .find(|c: char| c != '.' && !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().expect("a number")
        };
        let messages = number("sip messages", "sip messages    ");
        let in_batches = number("batches", "batches         ") * number("batches", "  (");
        // The mean is told to a tenth.
        assert!((in_batches / messages - 1.0).abs() < 0.05, "{said}");
        let times = ["p50 ", "p99 ", "p99.9 ", "longest "].map(|name| number("  batch ", name));
        assert!(times[0] > 0.0 && times.is_sorted(), "{said}");
    }
}

/// Catches a second replay that adds rows: the names of calls are the same each time.
#[test]
fn replaying_twice_into_a_journal_adds_nothing() {
    let lab = Lab::new();
    let capture = lab.write("corpus.pcap", &corpus(Format::Pcap));
    let journal = lab.path("journal.db");
    let config = lab.path("ringtap.toml");
    let arguments = [
        "replay",
        "--stats",
        "--config",
        config.to_str().unwrap(),
        "--journal",
        journal.to_str().unwrap(),
    ];
    let run = || {
        let output = ringtap(&[&arguments[..], &[capture.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let first = run();
    let written = first
        .lines()
        .find_map(|line| line.trim().strip_prefix("journal"))
        .expect("a journal line")
        .trim()
        .to_owned();
    let count = written
        .strip_prefix("written ")
        .expect("the first run writes")
        .to_owned();
    assert!(run().contains(&format!("already_there {count}")));
    let reader = ringtap_journal::Reader::open(&journal).expect("a journal");
    assert_eq!(
        reader.after(0, 10_000).expect("readable").len().to_string(),
        count
    );
}

/// Catches files that overlap in time and are taken for several captures without a word, those that follow one another called so, and an option
/// that changes nothing and does not say so.
#[test]
fn what_gives_less_than_was_meant_is_told() {
    let lab = Lab::new();
    let wires = messages(&scenario("S01").unwrap().cases()[0]);
    let later: Vec<Wire> = wires
        .iter()
        .cloned()
        .map(|mut wire| {
            wire.time = wire.time.plus_ms(600_000);
            wire
        })
        .collect();
    let [first, second] = [("first", &wires), ("second", &later)]
        .map(|(name, wires)| lab.write(name, &capture(wires, Format::Pcap)));
    let said = |arguments: &[&str]| {
        let output = ringtap(&[&["replay"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    assert_eq!(said(&[first, second]), "");
    let told = said(&[second, first]);
    assert!(told.contains("another capture") && told.contains(first), "{told}");
    let told = said(&["--records-all", first]);
    assert!(told.contains("--records-all changes nothing"), "{told}");
}

/// Catches a capture on standard input read otherwise than from a file, and a file cut off in its last
/// packet that is not tolerated or not told.
#[test]
fn standard_input_and_a_cut_file() {
    let lab = Lab::new();
    let bytes = corpus(Format::Pcap);
    let whole = lab.write("whole.pcap", &bytes);
    let output = Command::new("sh")
        .args([
            "-c",
            "cat \"$2\" | \"$0\" replay --config \"$1\" --records - --records-all -",
        ])
        .arg(env!("CARGO_BIN_EXE_ringtap"))
        .arg(lab.path("ringtap.toml"))
        .arg(&whole)
        .output()
        .expect("a shell");
    let mut piped: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    piped.sort();
    assert_eq!(piped, lab.records(&whole, &[]));
    let cut = lab.write("cut.pcap", &bytes[..bytes.len() - 7]);
    let output = ringtap(&["replay", cut.to_str().unwrap()]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("cut.pcap") && said.contains("cut off"), "{said}");
}

/// Catches bad input that is accepted, that is not named, or that leaves something half-written.
#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let lab = Lab::new();
    let journal = lab.path("journal.db");
    let cases = [
        (lab.write("empty.pcap", b""), "empty.pcap"),
        (
            lab.write("text.pcap", b"this is no capture at all, just text"),
            "text.pcap",
        ),
        (lab.path("absent.pcap"), "absent.pcap"),
        (
            lab.folder().to_owned(),
            lab.folder().file_name().unwrap().to_str().unwrap(),
        ),
    ];
    for (path, name) in &cases {
        let output = ringtap(&[
            "replay",
            "--journal",
            journal.to_str().unwrap(),
            path.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            text(&output.stderr).contains(name),
            "{name}: {}",
            text(&output.stderr)
        );
        assert!(!journal.exists(), "{name}: a journal was left behind");
    }
    let good = lab.write("corpus.pcap", &corpus(Format::Pcap));
    let (good, journal_name) = (good.to_str().unwrap(), journal.to_str().unwrap());
    for (more, status, name) in [
        (["--records", "/nowhere/at/all.jsonl"], 1, "/nowhere/at/all.jsonl"),
        (["--cores", "1023"], 2, "core 1023"),
        (["--cores", "4000"], 2, "core 4000"),
        (["--records", journal_name], 2, "is the journal"),
    ] {
        let output = ringtap(&[&["replay", "--journal", journal_name, good], &more[..]].concat());
        assert_eq!(output.status.code(), Some(status), "{name}");
        assert!(
            text(&output.stderr).contains(name),
            "{name}: {}",
            text(&output.stderr)
        );
        assert!(!journal.exists(), "{name}: a journal was left behind");
    }
    let records = lab.path("records.jsonl");
    let output = ringtap(&[
        "replay",
        "--records",
        records.to_str().unwrap(),
        "--journal",
        "/nowhere/at/all.db",
        good,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!records.exists(), "records without their journal");
    let config = lab.write("bad.toml", b"[capture]\nports = [5060]\nprots = [1]\n");
    let output = ringtap(&["replay", "--config", config.to_str().unwrap(), "x.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("bad.toml") && said.contains('3') && said.contains("prots"),
        "{said}"
    );
    assert_eq!(ringtap(&["replay"]).status.code(), Some(2), "wrong usage");
    assert_eq!(
        ringtap(&["replay", "--speed", "0", "x.pcap"]).status.code(),
        Some(2),
        "wrong usage"
    );
}

/// Catches junk on the SIP port that is not counted, or that ends the program.
#[test]
fn junk_on_the_port_is_counted() {
    let lab = Lab::new();
    let mut wires = messages_salted(&scenario("S01").unwrap().cases()[0], 0);
    let mut random = fastrand::Rng::with_seed(7);
    let count = wires.len();
    for wire in &mut wires {
        wire.payload = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
    }
    let junk = lab.write("junk.pcap", &capture(&wires, Format::Pcap));
    let output = ringtap(&["replay", "--stats", junk.to_str().unwrap()]);
    assert!(output.status.success());
    let counted: usize = text(&output.stderr)
        .lines()
        .filter(|line| line.trim_start().starts_with("no message"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(counted, count, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("no missed calls"));
}

/// `ringtap parse`: catches a message read otherwise than it is, and a refusal without its reason.
#[test]
fn parse_prints_what_it_sees() {
    let lab = Lab::new();
    let wire = &messages_salted(&scenario("S01").unwrap().cases()[0], 0)[0];
    let file = lab.write("invite.sip", &wire.payload);
    let config = lab.path("ringtap.toml");
    let output = ringtap(&[
        "parse",
        "--config",
        config.to_str().unwrap(),
        file.to_str().unwrap(),
    ]);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["start"]["method"], "INVITE");
    assert_eq!(seen["identities"]["caller"], "+8613912345678");
    assert_eq!(seen["identities"]["called"], "+862583091001");
    assert_eq!(seen["cseq"]["method"], "INVITE");
    let refused = lab.write("refused.sip", b"INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n");
    let output = ringtap(&["parse", refused.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("missing"),
        "{}",
        text(&output.stderr)
    );
}

/// Catches an output that is one of the inputs, by whatever name: it would be truncated before it was read.
#[test]
fn an_input_is_never_an_output() {
    let lab = Lab::new();
    let bytes = corpus(Format::Pcap);
    let capture = lab.write("corpus.pcap", &bytes);
    std::os::unix::fs::symlink("corpus.pcap", lab.path("soft")).unwrap();
    std::fs::hard_link(&capture, lab.path("hard")).unwrap();
    for option in ["--records", "--journal"] {
        for name in ["corpus.pcap", "soft", "hard"] {
            let output = ringtap(&[
                "replay",
                option,
                lab.path(name).to_str().unwrap(),
                capture.to_str().unwrap(),
            ]);
            assert_eq!(output.status.code(), Some(2), "{option} {name}");
            assert!(text(&output.stderr).contains(name), "{}", text(&output.stderr));
        }
        let output = Command::new(env!("CARGO_BIN_EXE_ringtap"))
            .args(["replay", option, lab.path("hard").to_str().unwrap(), "-"])
            .stdin(std::fs::File::open(&capture).unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{option} from standard input");
        assert!(text(&output.stderr).contains("standard input"));
    }
    assert_eq!(std::fs::read(&capture).unwrap(), bytes);
}

/// Catches an error, or a panic, because nobody reads standard output any more. The capture comes last, so that
/// the reader has gone by then for sure.
#[test]
fn a_reader_may_go() {
    let lab = Lab::new();
    let bytes = corpus(Format::Pcap);
    for more in [&["--records", "-", "--records-all"][..], &[]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringtap"))
            .args(["replay", "--config", lab.path("ringtap.toml").to_str().unwrap()])
            .args(more)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        // It may stop reading as soon as it has noticed.
        let _ended = child.stdin.take().unwrap().write_all(&bytes);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{more:?}");
        assert_eq!(text(&output.stderr), "", "{more:?}");
    }
}

/// Catches an error that calls standard output `-`, and a full disk that is not told.
#[test]
fn standard_output_is_named() {
    let lab = Lab::new();
    let capture = lab.write("corpus.pcap", &corpus(Format::Pcap));
    let output = Command::new(env!("CARGO_BIN_EXE_ringtap"))
        .args([
            "replay",
            "--records",
            "-",
            "--records-all",
            capture.to_str().unwrap(),
        ])
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("to standard output:"),
        "{}",
        text(&output.stderr)
    );
}

/// Catches an output that overwrites something which `--records` has not written, and the option before the
/// command refused.
#[test]
fn records_overwrite_only_records() {
    let lab = Lab::new();
    let capture = lab.write("corpus.pcap", &corpus(Format::Pcap));
    let config = lab.path("ringtap.toml");
    let run = |records: &Path| {
        ringtap(&[
            "--config",
            config.to_str().unwrap(),
            "replay",
            "--records",
            records.to_str().unwrap(),
            capture.to_str().unwrap(),
        ])
    };
    let before = std::fs::read(&config).unwrap();
    let other = lab.write("other.pcap", &corpus(Format::Pcap));
    for path in [&config, &other] {
        assert_eq!(run(path).status.code(), Some(2), "{}", path.display());
    }
    assert_eq!(std::fs::read(&config).unwrap(), before);
    let records = lab.path("records.json");
    assert_eq!(run(&records).status.code(), Some(0));
    assert_eq!(
        run(&records).status.code(),
        Some(0),
        "its own file may be written again"
    );
}

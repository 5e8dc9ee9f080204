//! What every workload must satisfy: order, names, truth. Messages are read with a few lines of text, not with
//! the product's parser.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a fault in what the generator wrote must stop the test"
)]

use std::collections::{BTreeSet, HashMap, HashSet};

use ringtap_record::Outcome;
use ringtap_testkit::workload::{CallTruth, Event, Options, Workload, read_truth};
use ringtap_testkit::{PcapWriter, Wire};

/// Enough calls for each kind to come.
fn small(seed: u64) -> Workload {
    Workload::new(Options {
        calls: 3_000,
        users: 400,
        seed,
        ..Options::default()
    })
}

fn call_id(wire: &Wire) -> String {
    let text = String::from_utf8_lossy(&wire.payload).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Call-ID: "));
    line.unwrap().to_owned()
}

/// Catches a kind of call that never comes, one that is told otherwise than its name says, a person who is told
/// without being in the office or against their will, a name that two calls share.
#[test]
fn every_kind_comes_and_its_truth_is_whole() {
    let workload = small(1);
    let (wires, calls) = workload.in_memory();
    let numbers: Vec<u64> = calls.iter().map(|call| call.number).collect();
    assert_eq!(numbers, (0..3_000).collect::<Vec<_>>());

    let seen: BTreeSet<&str> = calls.iter().map(|call| call.kind.as_str()).collect();
    let all: BTreeSet<&str> = Workload::kinds().into_iter().collect();
    assert_eq!(seen, all);

    let wanted: HashMap<&str, bool> = workload
        .office()
        .people()
        .iter()
        .map(|person| (person.email.as_str(), person.subscribed))
        .collect();
    let mut names = HashSet::new();
    for call in &calls {
        assert!(
            call.mails.iter().all(|mail| wanted[mail.recipient.as_str()]),
            "{call}"
        );
        assert!(call.names.iter().all(|name| names.insert(name.clone())), "{call}");
        let recipients: HashSet<&String> = call.mails.iter().map(|mail| &mail.recipient).collect();
        assert_eq!(recipients.len(), call.mails.len(), "{call}");
        let answered = call.kind.ends_with("-answered") || call.kind.starts_with("answered");
        let unseen = call.kind == "answered-unseen";
        assert!(!answered || unseen || call.mails.is_empty(), "{call}");
    }
    // Every Call-ID on the wire is that of a call, or of the noise.
    let known: HashSet<&String> = calls.iter().flat_map(|call| &call.call_ids).collect();
    for wire in &wires {
        assert!(
            wire.label.case == "noise" || known.contains(&call_id(wire)),
            "{}",
            wire.label
        );
    }
}

/// Catches truth that is not what the rows of the specification say.
#[test]
fn reasons_are_those_of_the_rows() {
    let (_, calls) = small(2).in_memory();
    let reasons = |kind: &str| -> BTreeSet<Outcome> {
        let of_kind = calls.iter().filter(|call| call.kind == kind);
        of_kind
            .flat_map(|call| call.mails.iter().map(|mail| mail.reason))
            .collect()
    };
    for (kind, reason) in [
        ("abandoned", Outcome::CallerHungUp),
        ("busy", Outcome::Busy),
        ("do-not-disturb", Outcome::AutoRejected),
        ("no-answer-as-timer", Outcome::NoAnswer),
        ("unreachable-dead", Outcome::Unreachable),
        ("voicemail-no-answer", Outcome::Voicemail),
        ("answered-unseen", Outcome::DivertedUnseen),
        ("forwarded-outside-unanswered", Outcome::ForwardedUnanswered),
        ("desk-then-mobile-unanswered", Outcome::NoAnswer),
        ("group-sequential-unanswered", Outcome::GroupUnanswered),
    ] {
        assert_eq!(reasons(kind), BTreeSet::from([reason]), "{kind}");
    }
    for kind in [
        "declined",
        "pickup-code",
        "click-to-dial-unanswered",
        "chat",
        "fork-declined",
    ] {
        assert!(reasons(kind).is_empty(), "{kind}");
    }
    // A shared desk has two owners, a call sent on two people; a person who does not want mails gets none.
    let most = |kind: &str| {
        calls
            .iter()
            .filter(|call| call.kind == kind)
            .map(|call| call.mails.len())
            .max()
    };
    assert_eq!(most("desk-unanswered"), Some(2));
    assert_eq!(most("cfnr-unanswered"), Some(2));
    assert_eq!(most("desk-and-mobile-unanswered"), Some(1));
    assert!(most("group-parallel-unanswered") >= Some(3));
}

/// Catches calls that do not overlap, redials that do not come, a caller who withholds and is named.
#[test]
fn people_call_again_and_at_the_same_time() {
    let workload = small(3);
    let mut stream = workload.stream();
    let (mut calls, mut open_most) = (Vec::new(), 0);
    while let Some(event) = stream.next() {
        open_most = open_most.max(stream.open_calls());
        if let Event::Ended(call) = event {
            calls.push(*call);
        }
    }
    assert!(open_most > 1_000, "{open_most}");
    calls.sort_by_key(|call| call.number);
    let mut last: HashMap<(&str, &str), &CallTruth> = HashMap::new();
    let mut again = 0;
    for call in calls.iter().filter(|call| call.caller != "withheld") {
        if let Some(before) = last.insert((&call.caller, &call.dialled), call) {
            again += u32::from(call.started - before.started < 30_000_000);
        }
    }
    assert!(again > 50, "{again}");
    assert!(
        calls
            .iter()
            .any(|call| call.caller == "withheld" && !call.mails.is_empty())
    );
}

/// Catches messages out of order, randomness that does not come from the seed, loss that changes the calls.
#[test]
fn the_same_seed_gives_the_same() {
    let options = Options {
        calls: 300,
        users: 100,
        duplication: 0.02,
        reorder_ms: 30,
        ..Options::default()
    };
    let make = |options: &Options| Workload::new(options.clone()).in_memory();
    let (wires, calls) = make(&options);
    assert_eq!((&wires, &calls), (&make(&options).0, &make(&options).1));
    assert!(wires.is_sorted_by_key(|wire| wire.time));

    let lossy = Options {
        loss: 0.05,
        ..options.clone()
    };
    let (fewer, with_loss) = make(&lossy);
    let lost = 1.0 - fewer.len() as f64 / wires.len() as f64;
    assert!((0.04..0.06).contains(&lost), "{lost}");
    let facts = |calls: &[CallTruth]| -> Vec<_> {
        calls
            .iter()
            .map(|call| (call.names.clone(), call.mails.clone(), call.started))
            .collect()
    };
    assert_eq!(facts(&calls), facts(&with_loss));
    let lost_by_calls: usize = with_loss.iter().map(|call| call.lost.len()).sum();
    assert!(lost_by_calls > 0);

    let other = make(&Options { seed: 2, ..options });
    assert_ne!(facts(&calls), facts(&other.1));
}

/// Catches a truth file that does not say what the calls are, or a pcap whose records do not fill it.
#[test]
fn files_hold_what_memory_has() {
    let workload = Workload::new(Options {
        calls: 200,
        users: 100,
        loss: 0.02,
        ..Options::default()
    });
    let (wires, calls) = workload.in_memory();
    let lines: String = calls.iter().map(CallTruth::lines).collect();
    let text = format!("{}{lines}", CallTruth::head());
    assert_eq!(read_truth(&text).unwrap(), calls);
    assert!(
        read_truth(&format!("{}x\n", CallTruth::head()))
            .unwrap_err()
            .to_string()
            .starts_with("line 2")
    );

    let mut file = Vec::new();
    let mut pcap = PcapWriter::new(&mut file).unwrap();
    for wire in &wires {
        pcap.write(wire).unwrap();
    }
    assert_eq!(pcap.finish().unwrap(), wires.len() as u64);
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut records, mut before) = (24, 0, (0, 0));
    while at < file.len() {
        let time = (word(at), word(at + 4));
        assert!(time >= before);
        before = time;
        at += 16 + word(at + 8) as usize;
        records += 1;
    }
    assert_eq!((at, records), (file.len(), wires.len()));
}

/// Catches a mix that is not the one asked for.
#[test]
fn a_mix_holds_only_its_kinds() {
    let workload = Workload::new(Options {
        calls: 100,
        users: 100,
        mix: vec!["busy".to_owned(), "voicemail".to_owned()],
        ..Options::default()
    });
    let (_, calls) = workload.in_memory();
    assert!(
        calls
            .iter()
            .all(|call| call.kind == "busy" || call.kind.starts_with("voicemail"))
    );
}

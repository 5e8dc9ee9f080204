//! Captures that nobody here made, through the whole pipeline in this process.
//!
//! They are read in place from `RINGTAP_DATA`, or from `../shared/data` beside the workspace; where they are
//! absent each test says so and checks nothing. What tshark counts in the same files stands beside ours in
//! docs/testing.md; `scripts/compare_tshark.py` makes that table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test's helper a panic is a failed test"
)]

#[path = "../src/capture/real.rs"]
mod real;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ringtap::capture::{CaptureFile, Chunk, Frame, Link};
use ringtap::decode::{Decoder, Reason};
use ringtap::replay::{self, Options, Speed};
use ringtap::sink::{RecordSink, SinkError};
use ringtap::worker::{Shared, Worker};
use ringtap_calls::{Harvest, Rules, Settler};
use ringtap_config::Config;
use ringtap_journal::Totals;
use ringtap_record::{CallRecord, Explanation, Flag, Outcome, Time};

/// How often each capture is damaged in another way.
const SEEDS: u64 = 20;
/// Far above the legs of any of these captures.
const LEGS_MAX: usize = 10_000;

/// Keeps the records of one replay.
struct Kept(Arc<Mutex<Vec<CallRecord>>>);

impl RecordSink for Kept {
    fn put(&mut self, record: &CallRecord, _: &Explanation) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(record.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        Ok(None)
    }
}

fn config() -> Config {
    ringtap_config::from_toml("", "defaults").unwrap()
}

fn options() -> Options {
    Options {
        speed: Speed::Max,
        cores: Vec::new(),
        legs_max: LEGS_MAX,
        keep_all: true,
        time_batches: false,
    }
}

fn decoder(ports: &[u16]) -> Decoder {
    Decoder::new(ports.iter().copied().collect())
}

fn shared() -> Shared {
    Shared {
        table: replay::table(&options()),
        rules: Rules::new(&config()),
    }
}

/// Replays one capture with the default configuration, but for the ports.
fn replay_one(capture: &Path, ports: &[u16]) -> (replay::Outcome, Vec<CallRecord>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sinks: Vec<Box<dyn RecordSink>> = vec![Box::new(Kept(Arc::clone(&kept)))];
    let inputs = replay::open(&[capture.to_path_buf()])
        .unwrap_or_else(|error| panic!("{}: {error}", capture.display()));
    let outcome = replay::replay(
        inputs,
        shared(),
        &decoder(ports),
        &options(),
        sinks,
        &mut |_, _| {},
    )
    .unwrap_or_else(|error| panic!("{}: {error}", capture.display()));
    let records = std::mem::take(&mut *kept.lock().unwrap());
    (outcome, records)
}

/// The index's captures with the number of their packets.
fn captures() -> Vec<(PathBuf, u64)> {
    let Some(folder) = real::real_captures() else {
        return Vec::new();
    };
    let captures: Vec<_> = real::index_rows(&folder)
        .into_iter()
        .map(|(path, columns)| (path, columns["packets"].parse().unwrap()))
        .collect();
    assert!(!captures.is_empty(), "{} lists no captures", folder.display());
    captures
}

/// Catches a panic on real traffic, and a frame, a datagram or a message that is lost without a counter.
#[test]
fn every_capture_is_accounted_for() {
    for (capture, packets) in captures() {
        let (outcome, records) = replay_one(&capture, &[5060]);
        let (seen, name) = (&outcome.seen, capture.display());
        assert_eq!(seen.frames.frames(), packets, "{name}: frames");
        assert_eq!(
            seen.frames.iter().map(|(_, frames)| frames).sum::<u64>(),
            packets,
            "{name}: reasons"
        );
        let faults: u64 = seen.faults.iter().sum();
        let (tcp, sctp) = (seen.frames.tcp(), seen.frames.sctp());
        assert_eq!(
            seen.frames.datagrams() + tcp.handed_on() + sctp.handed_on(),
            seen.messages() + faults,
            "{name}: datagrams, and messages of streams"
        );
        let segments = tcp.segments.iter().map(|(_, count, _)| count).sum::<u64>();
        assert!(segments <= seen.frames.of(Reason::Tcp), "{name}: segments");
        assert!(sctp.packets <= seen.frames.of(Reason::Sctp), "{name}: packets");
        let fragments = seen.frames.reassembly().fragments.iter();
        let in_fragments = seen.frames.put_together().find(|(name, _)| *name == "fragment");
        assert_eq!(
            seen.frames.of(Reason::Fragment) + in_fragments.map_or(0, |(_, count)| count),
            fragments.map(|(_, count, _)| count).sum::<u64>(),
            "{name}: fragments"
        );
        let applied = &seen.applied;
        assert_eq!(
            seen.messages(),
            applied.joined + applied.not_of_calls + applied.of_no_leg + applied.left_out,
            "{name}: messages"
        );
        let table = &outcome.table;
        let settled = &outcome.settled;
        assert_eq!(
            settled.counters.legs,
            table.legs_made + table.further_attempts,
            "{name}: legs"
        );
        assert_eq!(settled.records, settled.counters.calls, "{name}: records");
        assert_eq!(records.len() as u64, settled.records, "{name}: records kept");
        assert_eq!(
            (table.evicted_open, table.evicted_finished),
            (0, 0),
            "{name}: evicted"
        );
    }
}

/// A capture whose calls somebody has read message by message: its name, the ports taken as SIP, the
/// messages on them, and how many targets have which outcome.
type Known = (
    &'static str,
    &'static [u16],
    u64,
    &'static [(usize, &'static str)],
);

const KNOWN: &[Known] = &[
    // Challenged, rang, answered; re-INVITE and BYE of the callee's side.
    (
        "NormB_sipnab__Asterisk_ZFONE_XLITE.pcap",
        &[5060],
        27,
        &[(1, "ANSWERED")],
    ),
    // The phones talk on 5080 and 5082.
    ("NormB_sipnab__register-invite-reinvite-bye.pcap", &[5060], 0, &[]),
    (
        "NormB_sipnab__register-invite-reinvite-bye.pcap",
        &[5080],
        12,
        &[(1, "ANSWERED")],
    ),
    // One answered; one rings until the capture ends (D37).
    (
        "OISF_suricata-verify__public-cloudshark-sip-s0.pcap",
        &[5060],
        10,
        &[(1, "ANSWERED"), (1, "UNDETERMINED")],
    ),
    // Three times 480 at once from a registrar without a contact (D14), one answered.
    (
        "goffinet_sip_captures__private-test-sip.pcapng",
        &[5060],
        276,
        &[(1, "ANSWERED"), (3, "UNREACHABLE")],
    ),
    // A B2BUA: two Call-IDs, both answered.
    (
        "goffinet_sip_captures__sip-2phones-B2BUA-Asterisk.pcapng",
        &[5060],
        60,
        &[(2, "ANSWERED")],
    ),
    // A proxy and its two hops: one Call-ID, one call.
    (
        "goffinet_sip_captures__SIP-Call-with-Proxy-Server.pcap",
        &[5060],
        11,
        &[(1, "ANSWERED")],
    ),
    // Challenged, then 404 without alerting (D08).
    (
        "goffinet_sip_captures__sip-routing-error-wireshark.pcapng",
        &[5060],
        58,
        &[(2, "INVALID_NUMBER")],
    ),
    // A load generator.
    (
        "goffinet_sip_captures__uac-uas-scenario-sipp.pcapng",
        &[5060],
        4618,
        &[(771, "ANSWERED")],
    ),
    // Given up after half a minute without an answer (D23). Three challenges are taken up again only 17 to
    // 51 s later: abandoned attempts (D07) and new ones, ended by 403 (D31) and by 480 with Q.850 21 (D15).
    (
        "irontec_sngrep__aaa.pcap",
        &[5060],
        81,
        &[
            (3, "AUTH_FAILED"),
            (1, "AUTO_REJECTED"),
            (2, "BLOCKED"),
            (1, "CALLER_HUNG_UP"),
        ],
    ),
    ("josh-morin_wireshark__voip.pcap", &[5070], 11, &[(1, "ANSWERED")]),
    // Both calls answered; a re-INVITE for T.38 refused with 488 changes nothing (D60). 22 more messages are copies.
    (
        "ntop_nDPI__FAX-Call-t38-CA-TDM-SIP-FB-1.pcap",
        &[5060],
        70,
        &[(2, "ANSWERED")],
    ),
    // Three contacts do not answer: 408 each, none alerted (D12), whatever the core makes of it upstream (500).
    (
        "omarhrc_CN-Trace-Analyzer__volte_calls_2.pcapng",
        &[5060],
        12,
        &[(1, "UNREACHABLE")],
    ),
    (
        "omarhrc_CN-Trace-Analyzer__volte_calls_2.pcapng",
        &[4060, 5060, 6060],
        24,
        &[(1, "UNREACHABLE")],
    ),
    // In PPTP, one message in PPPoE besides: three given up, two answered, as tshark sees them.
    (
        "ntop_nDPI__gre.pcap",
        &[5060],
        36,
        &[(2, "ANSWERED"), (3, "CALLER_HUNG_UP")],
    ),
    // Mirrored through GRE; a challenge that is taken up under another From tag (D07).
    (
        "sipcapture_heplify__erspan_sip_ipv4_udp.pcapng",
        &[5060, 5260],
        140,
        &[(6, "ANSWERED"), (1, "AUTH_FAILED")],
    ),
    // VoLTE over several hops with preconditions (PRACK, UPDATE), answered; the same again in GTP-U. 11 more are copies.
    (
        "open5gs_open5gs__ipsec_to_ipsec_call.pcapng",
        &[5060, 5100, 6060],
        45,
        &[(1, "ANSWERED")],
    ),
    // One side of a call over TCP: invited, answered, over two connections of which one was open before; the same again in GTP-U,
    // copies left out.
    (
        "open5gs_open5gs__nonipsec_to_ipsec_call.pcapng",
        &[5060],
        53,
        &[(1, "ANSWERED")],
    ),
    ("open5gs_open5gs__volte.pcapng", &[5060], 33, &[(1, "ANSWERED")]),
    // A call over TCP from its SYN to its BYE.
    (
        "sipcapture_heplify__sip_ipv4_tcp.pcap",
        &[5060],
        7,
        &[(1, "ANSWERED")],
    ),
    // A REGISTER in two segments, and its answer.
    (
        "OISF_suricata-verify__sip-tcp-method__sip-tcp.pcap",
        &[5060],
        2,
        &[],
    ),
    // An INVITE with a body of 64 KiB, more than is read: its header is.
    (
        "OISF_suricata-verify__sip-body-large.pcap",
        &[5060],
        2,
        &[(1, "UNDETERMINED")],
    ),
    // HTTP on the SIP port.
    ("ntop_nDPI__http_on_sip_port.pcap", &[5060], 0, &[]),
    // The INVITE was not captured, its 180 and 200 were (D84).
    (
        "seladb_PcapPlusPlus__sip_resp.pcap",
        &[5060],
        6,
        &[(1, "ANSWERED")],
    ),
    // A B2BUA with PRACK: two calls answered; a probe with Max-Forwards 0 ends in 483 (D29).
    (
        "superfast1979_pcap2sipp__example.pcap",
        &[5060],
        41,
        &[(2, "ANSWERED"), (1, "NETWORK_FAILURE")],
    ),
];

/// Catches a verdict that changes on calls whose messages were read by people.
#[test]
fn well_understood_calls_have_their_outcomes() {
    let captures = captures();
    for (name, ports, messages, expected) in KNOWN {
        let Some((capture, _)) = captures.iter().find(|(path, _)| path.ends_with(name)) else {
            assert!(captures.is_empty(), "{name} is not in the index");
            continue;
        };
        let (outcome, records) = replay_one(capture, ports);
        assert_eq!(outcome.seen.messages(), *messages, "{name} {ports:?}");
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for target in records.iter().flat_map(|record| &record.targets) {
            *counted.entry(target.outcome.as_str()).or_default() += 1;
        }
        let expected: BTreeMap<&str, usize> = expected
            .iter()
            .map(|(count, outcome)| (*outcome, *count))
            .collect();
        assert_eq!(counted, expected, "{name} {ports:?}");
    }
}

/// Catches verdicts from stamps that are years apart: in these captures no two frames agree on the time, so that
/// nothing is known of how long anything rang.
#[test]
fn stamps_years_apart_judge_nobody() {
    for (capture, _) in captures() {
        let name = capture.to_string_lossy();
        if !(name.contains("seladb_PcapPlusPlus__sip_reqs") || name.contains("sip_ipv6_udp")) {
            continue;
        }
        let (outcome, records) = replay_one(&capture, &[5060]);
        assert!(outcome.clock.outliers > 0, "{name}: {:?}", outcome.clock);
        for record in records {
            let undetermined = record
                .targets
                .iter()
                .all(|target| target.outcome == Outcome::Undetermined);
            let answered = record.answered_by.is_some();
            // A CANCEL needs no time: it is seen alone, in a tunnel.
            let cancelled = record.flags.contains(&Flag::Partial)
                && record
                    .targets
                    .iter()
                    .all(|target| target.outcome == Outcome::CallerHungUp);
            assert!(undetermined || answered || cancelled, "{name}: {record:?}");
            assert!(
                answered || cancelled || record.flags.contains(&Flag::Loss),
                "{name}: {record:?}"
            );
        }
    }
}

/// Catches records that depend on what was replayed before: all captures in one run, each after the other,
/// give the calls they give alone. Captures whose clocks follow on one another within the memory of
/// finished legs are no exception, for their Call-IDs differ; the copies of one recording are left out.
#[test]
fn a_capture_does_not_change_the_next() {
    let copies = [
        "sipcapture_heplify__rtp_rtcp",
        "seladb_PcapPlusPlus__sip_re",
        "ntop_nDPI__fuzz",
        "ntop_nDPI__gre.pcapng",
    ];
    let files: Vec<_> = captures()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !copies.iter().any(|copy| path.to_string_lossy().contains(copy)))
        .collect();
    if files.is_empty() {
        return;
    }
    let mut alone: Vec<_> = files
        .iter()
        .flat_map(|capture| replay_one(capture, &[5060]).1)
        .map(verdict)
        .collect();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sinks: Vec<Box<dyn RecordSink>> = vec![Box::new(Kept(Arc::clone(&kept)))];
    replay::replay(
        replay::open(&files).unwrap(),
        shared(),
        &decoder(&[5060]),
        &options(),
        sinks,
        &mut |_, _| {},
    )
    .unwrap();
    let mut together: Vec<_> = std::mem::take(&mut *kept.lock().unwrap())
        .into_iter()
        .map(verdict)
        .collect();
    alone.sort();
    together.sort();
    assert_eq!(together, alone);
}

fn verdict(record: CallRecord) -> (String, Vec<(String, &'static str)>) {
    let targets = record
        .targets
        .iter()
        .map(|target| (target.identity.to_string(), target.outcome.as_str()));
    (record.call, targets.collect())
}

/// Frames of a capture with some octets changed or cut off.
struct Damaged {
    frames: Vec<(Time, Link, Vec<u8>)>,
}

impl Damaged {
    /// Every frame gets up to eight wrong octets, and one in sixteen loses its end. The headers up to UDP
    /// are hit as well, but less often than SIP is, being shorter.
    fn of(capture: &Path, seed: u64) -> Self {
        let mut file = CaptureFile::open(capture).unwrap();
        let (mut chunk, mut frames, mut state) = (Chunk::new(), Vec::new(), seed);
        while file.next_chunk(&mut chunk).unwrap() {
            for frame in chunk.frames() {
                let mut bytes = frame.bytes.to_vec();
                for _ in 0..random(&mut state, 9) {
                    if !bytes.is_empty() {
                        let at = random(&mut state, bytes.len());
                        bytes[at] = u8::try_from(random(&mut state, 256)).unwrap();
                    }
                }
                if random(&mut state, 16) == 0 {
                    bytes.truncate(random(&mut state, bytes.len() + 1));
                }
                frames.push((frame.time, frame.link, bytes));
            }
        }
        Self { frames }
    }

    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|(time, link, bytes)| Frame {
            time: *time,
            link: *link,
            bytes,
            wire_len: u32::try_from(bytes.len()).unwrap(),
        })
    }
}

/// A number below `below`, by splitmix64.
fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let below = u64::try_from(below).unwrap();
    usize::try_from((mixed ^ (mixed >> 31)) % below).unwrap()
}

/// Catches a panic, and a frame that vanishes, in traffic that is nearly SIP.
#[test]
fn damaged_captures_are_survived() {
    for (capture, packets) in captures() {
        for seed in 1..=SEEDS {
            let damaged = Damaged::of(&capture, seed);
            let shared = shared();
            let mut worker = Worker::new(decoder(&[5060, 5061, 5080, 6060]));
            worker.process(damaged.frames(), &shared);
            let (mut rest, mut settler) = (Harvest::default(), Settler::new(&shared.table));
            shared.table.close_all(&shared.rules, &mut rest.closed);
            let legs = rest.closed.len() as u64;
            settler.settle(Time::MAX, rest, &shared.rules, &mut Vec::new());
            settler.finish(&shared.rules, &mut Vec::new());
            let seen = worker.counters();
            let name = format!("{} with seed {seed}", capture.display());
            assert_eq!(seen.frames.frames(), packets, "{name}");
            assert_eq!(
                seen.frames.of(Reason::Delivered),
                seen.messages() + seen.faults.iter().sum::<u64>(),
                "{name}"
            );
            assert_eq!(settler.counters().legs, legs, "{name}");
        }
    }
}

//! Registrations through the whole pipeline: learned from a capture, used for its calls, kept in the journal; and
//! what real captures tell.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../src/capture/real.rs"]
#[allow(dead_code, reason = "this test names its captures itself")]
mod real;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringtap::capture::{CaptureFile, Chunk};
use ringtap::decode::{DecodeCounters, Decoder};
use ringtap_config::Config;
use ringtap_identity::{Segment, registration};
use ringtap_record::{CallRecord, Time};

use ringtap_testkit::{Format, Label, Link, Wire, capture, fixtures, notation};

const START: Time = Time::from_micros(1_714_962_221_000_000);

const CORE: &str = "10.30.0.1:5060";
const PCSCF: &str = "10.20.0.1:5060";

fn wire(ms: i64, source: &str, destination: &str, text: &str) -> Wire {
    Wire {
        time: START.plus_ms(ms),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        payload: text.as_bytes().to_vec(),
        captured: true,
        link: Link::default(),
        datagram: u64::try_from(ms).unwrap(),
        label: Label {
            case: String::new(),
            leg: String::new(),
            segment: notation::Segment::Mt,
            message: String::new(),
        },
    }
}

fn phone(at: usize) -> String {
    format!("10.10.1.{at}:5060")
}

/// Phone `at` registers number 86258309100`at` under a contact that says nothing of it, and may be called there
/// without P-Called-Party-ID: everybody's call was dialled to the same number before.
fn office() -> Vec<u8> {
    let mut wires = Vec::new();
    for at in 1..=6 {
        let ms = i64::try_from(at).unwrap() * 40;
        let contact = format!("sip:line-x@10.10.1.{at}:5060");
        let aor = format!("sip:u{at}@ims.office.test");
        let number = format!("+86258309100{at}");
        for copy in [0, 3] {
            wires.push(wire(
                ms + copy,
                PCSCF,
                &phone(at),
                &format!(
                    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.10.1.{at};branch=z9hG4bKr{at}\r\nCall-ID: r{at}\r\n\
                     CSeq: 2 REGISTER\r\nFrom: <{aor}>;tag=f\r\nTo: <{aor}>;tag=t\r\nContact: <{contact}>;expires=600\r\n\
                     P-Associated-URI: <tel:{number}>, <{aor}>\r\nContent-Length: 0\r\n\r\n"
                ),
            ));
        }
        for (after, start, source, destination, tag) in [
            (0, format!("INVITE {contact};ob SIP/2.0"), CORE, PCSCF, ""),
            (50, "SIP/2.0 180 Ringing".to_owned(), PCSCF, CORE, ";tag=c"),
            (8_000, "SIP/2.0 480 Gone".to_owned(), PCSCF, CORE, ";tag=c"),
        ] {
            wires.push(wire(
                1_000 + ms + after,
                source,
                destination,
                &format!(
                    "{start}\r\nVia: SIP/2.0/UDP 10.30.0.1;branch=z9hG4bKi{at}\r\nVia: SIP/2.0/UDP 10.30.0.9;branch=z9hG4bKj{at}\r\n\
                     Call-ID: i{at}\r\nCSeq: 1 INVITE\r\nFrom: <tel:+8613912345678>;tag=f\r\nTo: <tel:+862583091000>{tag}\r\n\
                     Content-Length: 0\r\n\r\n"
                ),
            ));
        }
    }
    wires.sort_by_key(|wire| wire.time);
    capture(&wires, Format::Pcap)
}

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(learn: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25");
        let config = config.replacen("[identities]", &format!("[identities]\nlearn = \"{learn}\""), 1);
        assert!(config.contains("learn = "), "the fixtures have no [identities]");
        std::fs::write(folder.path().join("ringtap.toml"), config).unwrap();
        std::fs::write(folder.path().join("office.pcap"), office()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Standard output and error of a replay.
    fn replay(&self, more: &[&str]) -> (String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_ringtap"))
            .arg("replay")
            .arg("--config")
            .arg(self.path("ringtap.toml"))
            .args(more)
            .arg(self.path("office.pcap"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{err}");
        (out, err)
    }
}

/// Catches registrations that do not reach the settler before the calls they matter for, or not on every number
/// of cores alike; and a summary that does not tell of them.
#[test]
fn the_right_person_on_any_number_of_cores() {
    let lab = Lab::new("suggest");
    let (text, said) = lab.replay(&["--records", "-", "--stats"]);
    let records: Vec<CallRecord> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let called: BTreeSet<_> = records
        .iter()
        .flat_map(|record| &record.targets)
        .map(|target| target.identity.as_str())
        .collect();
    let wanted: Vec<_> = (1..=6).map(|at| format!("sip:u{at}@ims.office.test")).collect();
    assert!(
        called.iter().copied().eq(wanted.iter().map(String::as_str)),
        "{called:?}"
    );
    for line in [
        "seen 12",
        "contacts_known 6",
        "sets_told 6",
        "called_by_contact 6",
    ] {
        assert!(
            said.contains(&format!("registration  {line}\n")),
            "{line}: {said}"
        );
    }
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for cores in ["0", "0,1", "0,1"] {
        let (again, _) = lab.replay(&["--records", "-", "--cores", cores]);
        assert_eq!(sorted(&again), sorted(&text), "cores {cores}");
    }
}

/// Catches sets that do not reach the journal, that grow with every reading, or that are kept though nobody
/// wants them; calls need the contacts all the same.
#[test]
fn sets_in_the_journal() {
    for (learn, wanted) in [("suggest", 6), ("auto", 6), ("off", 0)] {
        let lab = Lab::new(learn);
        let journal = lab.path("journal.db");
        for _ in 0..2 {
            let (_, said) = lab.replay(&["--stats", "--journal", journal.to_str().unwrap()]);
            assert!(said.contains("called_by_contact 6\n"), "{said}");
            let sets = ringtap_journal::Reader::open(&journal).unwrap().sets().unwrap();
            assert_eq!(sets.len(), wanted, "{learn}");
            for (at, set) in (1..).zip(&sets) {
                assert_eq!(
                    set.members,
                    [format!("+86258309100{at}"), format!("sip:u{at}@ims.office.test")]
                );
                // Times of registrations are cut to 128 ms.
                assert!(set.seen > START.plus_ms(-128) && set.seen < START.plus_ms(1_000));
            }
        }
    }
}

/// What a capture tells of registrations, each thing once: `aor contact=seconds ...` and `aor {members}`.
fn told(capture: &Path) -> BTreeSet<String> {
    let ports = [5060, 5061, 5080, 5082, 4060, 6060];
    let decoder = Decoder::new(ports.into_iter().collect());
    let (mut file, mut chunk) = (CaptureFile::open(capture).unwrap(), Chunk::new());
    let (mut counters, plan) = (DecodeCounters::new(), Config::default().plan);
    let mut told = BTreeSet::new();
    while file.next_chunk(&mut chunk).unwrap() {
        for frame in chunk.frames() {
            let Some(datagram) = decoder.decode(&frame, &mut counters) else {
                continue;
            };
            let Ok(message) = ringtap_sip::parse(datagram.octets) else {
                continue;
            };
            let Some(Ok(said)) = registration(&message, Segment::Unknown, &plan) else {
                continue;
            };
            for one in said.registered {
                let contacts = one
                    .contacts
                    .iter()
                    .map(|known| format!(" {}={}", known.contact, known.expires_s));
                told.insert(format!("{}{}", one.aor, contacts.collect::<String>()));
            }
            for set in said.sets {
                let members: Vec<_> = set.members.iter().map(ToString::to_string).collect();
                told.insert(format!("{} {{{}}}", set.aor, members.join(" ")));
            }
        }
    }
    told
}

/// Catches real registrars' answers misread: phones and their lives, a number told beside the name that
/// registered, an IMS network's barred identity, a phone that says good-bye.
#[test]
fn what_real_captures_tell() {
    let Some(folder) = real::real_captures() else {
        return;
    };
    for (capture, wanted) in [
        (
            "NormB_sipnab__register-invite-reinvite-bye.pcap",
            &["sip:alice@example.com alice@127.0.0.1:5080=3600"][..],
        ),
        (
            "NormB_sipnab__Asterisk_ZFONE_XLITE.pcap",
            &["sip:10009@192.168.10.2 10009@192.168.10.41:13434=3600"],
        ),
        (
            "goffinet_sip_captures__sip-cme-zoiper-register.pcapng",
            &[
                "sip:1111@192.168.0.102 1111@192.168.0.3:57879=0",
                "sip:1111@192.168.0.102 1111@192.168.0.3:57879=600",
            ],
        ),
        (
            "goffinet_sip_captures__sip-register-ok-unregister-2.pcapng",
            &[
                "sip:telephone1@172.16.98.101",
                "sip:telephone1@172.16.98.101 telephone1@172.16.98.1:42952=3600",
            ],
        ),
        (
            "goffinet_sip_captures__sip-2phones-B2BUA-Asterisk.pcapng",
            &[
                "sip:telephone1@172.16.98.101 telephone1@172.16.98.1:44285=3600",
                "sip:telephone2@172.16.98.101 telephone2@172.16.98.145:40216=3600",
            ],
        ),
        (
            "irontec_sngrep__aaa.pcap",
            &[
                "sip:35104723@sip.cybercity.dk 35104723@192.168.1.2:5060=1200",
                "sip:35104723@sip.cybercity.dk voi18062@192.168.1.2:5060=1200",
                "sip:35104723@sip.cybercity.dk {sip:35104723@sip.cybercity.dk}",
            ],
        ),
        (
            "open5gs_open5gs__nonipsec_reg.pcapng",
            &[
                "tel:0598765432100 192.168.101.2:5060=540000",
                "tel:0598765432100 {sip:0598765432100 tel:0598765432100}",
            ],
        ),
    ] {
        let path = folder.join("open/pcap").join(capture);
        let found = told(&path);
        let missing: Vec<_> = wanted.iter().filter(|one| !found.contains(**one)).collect();
        assert!(missing.is_empty(), "{capture}: {missing:?} not in {found:#?}");
        // With fragments put together the NOTIFYs of the last one tell more.
        assert!(found.len() <= wanted.len() + 4, "{capture}: {found:#?}");
    }
}

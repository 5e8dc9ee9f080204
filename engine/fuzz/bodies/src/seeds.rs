//! Seeds: what each body begins with, made from the testkit's scenarios, so that a machine without a collection of
//! messages has some too.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ringtap::capture::{CaptureFile, Chunk};
use ringtap_testkit::{Format, Wire, capture, fixtures, messages, scenario};

use crate::tracker::STEP_BYTES;
use crate::{frames, office};

/// Scenarios that together have all kinds of messages.
const SCENARIOS: [&str; 12] = [
    "S01", "S02", "S05", "S09", "S10", "S21", "S24", "S25", "S28", "S32", "S40", "E07",
];

/// Frames of one seed of a sequence.
const FRAMES: usize = 12;

/// The seeds of a target; none for one that is not known.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "classify" => shapes().into_iter().map(|frame| [&[0xff, 0x01], &frame[..]].concat()).collect(),
        "config" => vec![
            office::toml().into_bytes(),
            include_bytes!("../../../config/ringtap.example.toml").to_vec(),
            b"[capture]\nports = [5060, 5061]\n[limits]\ncalls_max = 1000\n".to_vec(),
        ],
        "csv" => vec![
            fixtures::subscribers_csv().into_bytes(),
            "user,name,email,locale,timezone,subscribed,account,label,aliases\nli,\"李, \"\"明\"\"\",li@office.test,en,UTC,no,1001,,1002 sip:li@ims.office.test\n"
                .as_bytes()
                .to_vec(),
        ],
        "decode" => sequences(),
        "history_reason" => texts(&["Reason", "History-Info", "Diversion", "Privacy", "Replaces"]),
        "identity" => texts(&["From", "To", "P-Asserted-Identity", "P-Called-Party-ID", "Contact"])
            .into_iter()
            .chain([REGINFO.to_vec()])
            .collect(),
        "pcap" => Format::ALL
            .iter()
            .map(|format| capture(wires("S01").get(..6).unwrap_or_default(), *format))
            .collect(),
        "sip" => SCENARIOS
            .iter()
            .flat_map(|id| wires(id).into_iter().map(|wire| wire.payload).take(8))
            .collect(),
        "streams" => streams(),
        "tracker" => STORIES.iter().map(|story| story.concat()).collect(),
        _ => Vec::new(),
    }
}

/// Octets of a seed out of a collection: longer ones slow the fuzzer down and say no more.
const SEED_BYTES_MAX: usize = 8 * 1024;
/// Seeds of one target out of one file.
const FROM_FILE_MAX: usize = 40;

/// Seeds of a target out of a collection of messages and captures.
///
/// # Errors
/// If the collection cannot be read. A capture that is damaged gives what is before the damage.
pub fn out_of(data: &Path, target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let people = ["From", "f", "To", "t", "P-Asserted-Identity", "Contact", "m"];
    let reasons = ["Reason", "History-Info", "Diversion", "Privacy", "Replaces"];
    for file in files(data)? {
        match target {
            "sip" if is_message(&file) => found.push(fs::read(&file)?),
            "identity" if is_message(&file) => found.push(values(&fs::read(&file)?, &people)),
            "history_reason" if is_message(&file) => found.push(values(&fs::read(&file)?, &reasons)),
            "pcap" if is_capture(&file) => found.push(fs::read(&file)?),
            "classify" if is_capture(&file) => {
                let frames = frames_of(&file).into_iter().take(FROM_FILE_MAX);
                found.extend(frames.map(|frame| [&[0xff, 0x01], &frame[..]].concat()));
            }
            "decode" | "streams" if is_capture(&file) => {
                let frames = frames_of(&file);
                let chunks = frames.chunks(FRAMES).take(FROM_FILE_MAX / FRAMES);
                let some = chunks.map(|some| frames::write(some.iter().map(Vec::as_slice)));
                let head: &[u8] = if target == "streams" { &[1] } else { &[] };
                found.extend(some.map(|frames| [head, &frames[..]].concat()));
            }
            _ => {}
        }
    }
    found.retain(|seed| !seed.is_empty() && seed.len() <= SEED_BYTES_MAX);
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_capture(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension == "pcap" || extension == "pcapng")
}

fn is_message(file: &Path) -> bool {
    !is_capture(file) && file.components().any(|part| part.as_os_str() == "messages")
}

/// Every file below a folder, in the same order each time.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The frames of a capture, as far as it can be read.
fn frames_of(file: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let (Ok(mut file), mut chunk) = (CaptureFile::open(file), Chunk::new()) else {
        return found;
    };
    while let Ok(true) = file.next_chunk(&mut chunk) {
        found.extend(chunk.frames().map(|frame| frame.bytes.to_vec()));
    }
    found
}

const REGINFO: &[u8] = b"<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
    <registration aor=\"tel:+862583091001\" id=\"a\" state=\"active\"><contact id=\"c\" state=\"active\" event=\"registered\" \
    expires=\"600\"><uri>sip:line@10.10.1.1:5060</uri></contact></registration></reginfo>";

/// Stories in the tracker's vocabulary: a call given up, one answered, a fork, a challenge, a registration.
const STORIES: [&[[u8; STEP_BYTES]]; 5] = [
    &[
        [0, 0x00, 5, 0, 0, 3, 1, 29],
        [3, 0x00, 2, 0, 0, 3, 3, 5],
        [6, 0x20, 2, 11, 0, 3, 0, 0],
        [1, 0x20, 5, 11, 0, 3, 0, 0],
        [11, 0x00, 5, 3, 0, 3, 0, 0],
        [1, 0x00, 2, 3, 0, 3, 14, 0],
        [4, 0x20, 2, 27, 0, 3, 0, 0],
        [1, 0x20, 5, 27, 0, 3, 0, 0],
        [13, 0x20, 5, 1, 0, 3, 0, 0],
    ],
    &[
        [0, 0x01, 5, 0, 0, 3, 1, 0],
        [6, 0x21, 5, 11, 0, 3, 0, 0],
        [9, 0x21, 5, 16, 0, 3, 0, 0],
        [4, 0x21, 13, 1, 0, 3, 0, 0],
        [11, 0x21, 21, 2, 1, 3, 0, 0],
        [4, 0x21, 21, 16, 9, 3, 0, 0],
        [0xee, 0x21, 5, 9, 0, 3, 0, 0],
    ],
    &[
        [0, 0x02, 5, 0, 0, 3, 1, 0],
        [3, 0x02, 2, 0, 0, 3, 3, 0],
        [0, 0x02, 10, 0, 0, 3, 3, 0],
        [6, 0x22, 2, 11, 0, 3, 0, 0],
        [0, 0x42, 10, 11, 0, 3, 0, 0],
        [9, 0x42, 10, 16, 0, 3, 0, 0],
        [2, 0x02, 2, 3, 0, 3, 11, 12],
        [3, 0x22, 2, 27, 0, 3, 0, 0],
        [0xee, 0x22, 5, 27, 0, 3, 0, 0],
    ],
    &[
        [0, 0x03, 0, 0, 0, 1, 0, 0],
        [4, 0x23, 0, 20, 0, 1, 0, 0],
        [2, 0x23, 0, 1, 0, 1, 0, 0],
        [5, 0x03, 8, 0, 1, 1, 0, 0],
        [6, 0x63, 8, 26, 1, 1, 0, 0],
        [13, 0x03, 8, 0, 2, 1, 20, 0],
    ],
    &[
        [0, 0x04, 0, 8, 0, 0, 16, 0],
        [4, 0x24, 0, 16, 12, 0, 16, 19],
        [9, 0x05, 3, 0, 0, 0xb8, 8, 29],
        [11, 0x05, 3, 3, 0, 0xb8, 13, 0],
    ],
];

fn wires(id: &str) -> Vec<Wire> {
    let cases = scenario(id).map(|scenario| scenario.cases()).unwrap_or_default();
    cases.first().map(messages).unwrap_or_default()
}

/// Frames of every shape that the walk knows.
fn shapes() -> Vec<Vec<u8>> {
    ringtap_classify::testing::verdicts()
        .into_iter()
        .map(|case| case.frame)
        .collect()
}

/// Short sequences of frames: those shapes, and fragments of one message.
fn sequences() -> Vec<Vec<u8>> {
    let shapes = shapes();
    let mut found: Vec<Vec<u8>> = shapes
        .chunks(FRAMES)
        .map(|some| frames::write(some.iter().map(Vec::as_slice)))
        .collect();
    let file = capture(wires("S40").get(..1).unwrap_or_default(), Format::Pcap);
    found.push(frames::write(packets(&file)));
    found
}

/// The messages of some scenarios as streams with their cuts, and all shapes of frames.
fn streams() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = SCENARIOS
        .iter()
        .map(|id| {
            let messages = wires(id).into_iter().take(4).map(|wire| wire.payload);
            [vec![0, 4, 10, 0, 255, 3], messages.collect::<Vec<_>>().concat()].concat()
        })
        .collect();
    found.extend(sequences().into_iter().map(|frames| [vec![1], frames].concat()));
    found
}

/// The packets of a pcap file of the little endian kind.
fn packets(file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some((&[_, _, _, _, _, _, _, _, len @ .., _, _, _, _], behind)) = rest.split_first_chunk::<16>()
    {
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        let Some((packet, behind)) = behind.split_at_checked(len) else {
            break;
        };
        found.push(packet);
        rest = behind;
    }
    found
}

/// The values of these fields in each message of the scenarios, one in a line.
fn texts(fields: &[&str]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = SCENARIOS
        .iter()
        .flat_map(|id| wires(id))
        .map(|wire| values(&wire.payload, fields))
        .filter(|text| !text.is_empty())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn values(message: &[u8], fields: &[&str]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let mut found = Vec::new();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if fields.iter().any(|field| name.trim().eq_ignore_ascii_case(field)) {
            found.push(value.trim());
        }
    }
    found.join("\n").into_bytes()
}

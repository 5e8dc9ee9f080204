//! The traffic that is measured: the generator's capture (`gen-ims-pcap`) when `RINGTAP_BENCH_PCAP` names it, else all
//! scenarios of the testkit.
//!
//! The scenarios are there so that a benchmark runs without a file of its own; figures in the documentation are of the generator's.

use std::io::Cursor;
use std::path::Path;

use ringtap::capture::Chunk;
use ringtap::capture::pcap::CaptureFile;
use ringtap::decode::{DecodeCounters, Decoder, PortSet};
use ringtap_testkit::{Format, Wire, capture, messages_salted};

/// Messages of the cold stream: more than fit into the caches.
pub const COLD_MESSAGES: usize = 200_000;

/// The workload's first frames, at least `frames_max` if there are so many: whole chunks.
///
/// # Panics
///
/// If the capture cannot be read.
#[must_use]
pub fn chunks(frames_max: usize) -> Vec<Chunk> {
    match std::env::var("RINGTAP_BENCH_PCAP") {
        Ok(path) => chunks_at(Path::new(&path), frames_max),
        Err(_) => chunks_in(capture(&scenarios(20), Format::Pcap)),
    }
}

/// The same of a capture file.
///
/// # Panics
///
/// If it cannot be read.
#[must_use]
pub fn chunks_at(path: &Path, frames_max: usize) -> Vec<Chunk> {
    chunks_of(CaptureFile::open(path).expect("a capture"), frames_max)
}

/// The frames of a capture that was made in memory.
///
/// # Panics
///
/// If it is no capture.
#[must_use]
pub fn chunks_in(pcap: Vec<u8>) -> Vec<Chunk> {
    let file = CaptureFile::from_reader("made", Box::new(Cursor::new(pcap)));
    chunks_of(file.expect("a capture"), usize::MAX)
}

fn chunks_of(mut file: CaptureFile, frames_max: usize) -> Vec<Chunk> {
    let (mut chunks, mut frames) = (Vec::new(), 0);
    while frames < frames_max {
        let mut chunk = Chunk::new();
        if !file.next_chunk(&mut chunk).expect("readable") {
            break;
        }
        frames += chunk.len();
        chunks.push(chunk);
    }
    chunks
}

/// All scenarios `rounds` times, each time with other names and tags, in the order of time. `RINGTAP_BENCH_SCENARIO_ROUNDS` in
/// the environment takes the place of that number: a smoke run wants one.
///
/// # Panics
///
/// If that is no number.
#[must_use]
pub fn scenarios(rounds: u64) -> Vec<Wire> {
    let rounds = match std::env::var("RINGTAP_BENCH_SCENARIO_ROUNDS") {
        Ok(text) => text.parse().expect("RINGTAP_BENCH_SCENARIO_ROUNDS: a number"),
        Err(_) => rounds,
    };
    let cases: Vec<_> = ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .collect();
    let mut wires: Vec<_> = (0..rounds)
        .flat_map(|round| cases.iter().flat_map(move |case| messages_salted(case, round)))
        .collect();
    wires.sort_by_key(|wire| wire.time);
    wires
}

/// The decoder of all benchmarks: UDP on the SIP port.
#[must_use]
pub fn decoder() -> Decoder {
    Decoder::new(PortSet::from_iter([5060]))
}

/// SIP messages one behind the other in memory, as they were captured, without the frames around them.
#[derive(Debug, Default)]
pub struct Messages {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// The first `messages_max` datagrams of these chunks. What the engine's parser refuses is left out: peers are to be
    /// given nothing that the one they are compared with does not read.
    #[must_use]
    pub fn of(chunks: &[Chunk], messages_max: usize) -> Self {
        let (decoder, mut counters) = (decoder(), DecodeCounters::new());
        let mut messages = Self::default();
        for frame in chunks.iter().flat_map(Chunk::frames) {
            if messages.ends.len() == messages_max {
                break;
            }
            if let Some(payload) = decoder.decode(&frame, &mut counters)
                && ringtap_sip::parse(payload.octets).is_ok()
            {
                messages.octets.extend_from_slice(payload.octets);
                messages.ends.push(messages.octets.len());
            }
        }
        messages
    }

    /// Each message.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins
            .zip(&self.ends)
            .map(|(begin, end)| self.octets.get(begin..*end).unwrap_or_default())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them without a boundary.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

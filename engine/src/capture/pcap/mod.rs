//! Capture files: pcap and pcapng of any size, streamed.
//!
//! [`CaptureFile`] reads one file or standard input chunk by chunk. The formats themselves are read by
//! the crate `pcap-parser`; here are the streaming around it, the bounds on what a file may claim, and
//! the errors with file name and offset. A last packet that was cut is tolerated and told
//! ([`CaptureFile::truncated_tail`]): that is how an interrupted capture ends.

mod classic;
mod error;
mod ng;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod written;

pub use error::{CaptureError, Damage};

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::Path;

use ringtap_record::Time;

use self::classic::Classic;
use self::error::open_error;
use self::ng::Section;
use super::chunk::{Chunk, Place};

/// Captured bytes that one packet may have: libpcap's own upper bound for a snap length. A file which
/// claims more is damaged, and to believe it would mean to allocate what an attacker names.
pub const PACKET_BYTES_MAX: usize = 256 * 1024;

/// Length that a pcapng block may have which has to be read whole: a packet with its comments.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Length that any other pcapng block may have; it is passed over without being held.
pub const SKIPPED_BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Interfaces that one pcapng section may describe.
pub const INTERFACES_MAX: usize = 4096;

/// Earliest time that a packet is given.
pub const TIME_MIN: Time = Time::from_micros(0);

/// Latest time that a packet is given: the year 2200. Stamps are whatever a file says, and with the offset of
/// a pcapng interface they may be anything; within 1970 and this, sums and products of times fit 64 bits.
pub const TIME_MAX: Time = Time::from_micros(7_258_118_400_000_000);

/// Bytes by which a format is told: the header of a pcap file, less than any pcapng section header.
const HEADER_LEN: usize = 24;

/// A capture file that is being read.
pub struct CaptureFile {
    name: String,
    source: Box<dyn Read + Send>,
    size: Option<u64>,
    format: Format,
    /// Offset in the file of the first byte that was not yet understood.
    offset: u64,
    /// Bytes of a block of no interest that still have to go by.
    skip: usize,
    /// What was read behind the last whole block of the last chunk.
    remainder: Vec<u8>,
    /// A fault behind frames that had to be handed out first.
    fault: Option<CaptureError>,
    ended: bool,
    truncated_tail: bool,
}

impl CaptureFile {
    /// Opens the capture file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// If it cannot be opened or is no capture file. Each error names the file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::standard_input();
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| open_error(&name, source))?;
        let metadata = file.metadata().map_err(|source| open_error(&name, source))?;
        if metadata.is_dir() {
            return Err(CaptureError::Directory { file: name });
        }
        let size = metadata.is_file().then_some(metadata.len());
        Self::begin(name, Box::new(file), size)
    }

    /// Reads a capture from anything, such as memory. `name` stands for it in errors.
    ///
    /// # Errors
    /// If it is no capture file.
    pub fn from_reader(name: &str, source: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        Self::begin(name.to_owned(), source, None)
    }

    fn standard_input() -> Result<Self, CaptureError> {
        let name = "standard input".to_owned();
        let input = io::stdin();
        if input.is_terminal() {
            return Err(CaptureError::Terminal);
        }
        // A descriptor of its own: `Stdin` would copy everything through its buffer.
        let descriptor = input
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| open_error(&name, source))?;
        Self::begin(name, Box::new(File::from(descriptor)), None)
    }

    fn begin(
        name: String,
        mut source: Box<dyn Read + Send>,
        size: Option<u64>,
    ) -> Result<Self, CaptureError> {
        let mut head = Vec::with_capacity(HEADER_LEN);
        source
            .by_ref()
            .take(HEADER_LEN as u64)
            .read_to_end(&mut head)
            .map_err(|source| CaptureError::Read {
                file: name.clone(),
                offset: 0,
                source,
            })?;
        let format = Format::recognise(&name, &head)?;
        let used = format.header_len().min(head.len());
        Ok(Self {
            name,
            source,
            size,
            format,
            offset: used as u64,
            skip: 0,
            remainder: head.split_off(used),
            fault: None,
            ended: false,
            truncated_tail: false,
        })
    }

    /// Reads the next frames into `chunk`, whose former content goes. `Ok(false)` is the end of the file,
    /// with nothing in `chunk`; `Ok(true)` comes with at least one frame.
    ///
    /// # Errors
    /// If reading fails or the file is damaged. The frames before the damage have been handed out by then;
    /// after an error the file is at its end.
    pub fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, CaptureError> {
        chunk.restart(&mut self.remainder);
        loop {
            if let Some(fault) = self.fault.take() {
                self.ended = true;
                return Err(fault);
            }
            if self.ended {
                return Ok(false);
            }
            let advance = self.advance(chunk);
            if !chunk.is_empty() {
                self.remainder
                    .extend_from_slice(chunk.filled().get(advance.used..).unwrap_or_default());
                return Ok(true);
            }
            if self.fault.is_none() {
                chunk.discard_front(advance.used);
                self.refill(chunk, advance.wanted);
            }
        }
    }

    /// Size of the file in bytes, if it is a regular one.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How many bytes of the file have been understood so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Whether the file ended within a packet, which was then left out. Known at the end of the file.
    #[must_use]
    pub fn truncated_tail(&self) -> bool {
        self.truncated_tail
    }

    /// The file's format, for people.
    #[must_use]
    pub fn format(&self) -> &'static str {
        match &self.format {
            Format::Classic(classic) => classic.name(),
            Format::Ng(_) => "pcapng",
        }
    }

    /// Finds frames in what was read until more is needed or something is wrong.
    fn advance(&mut self, chunk: &mut Chunk) -> Advance {
        let (bytes, places) = chunk.parts();
        let mut used = self.pass_over(bytes.len());
        loop {
            let input = bytes.get(used..).unwrap_or_default();
            let step = if self.skip == 0 {
                self.format.step(input)
            } else {
                Step::More(1)
            };
            match step {
                Step::Packet { block_len, at, place } => {
                    let at = u32::try_from(used + at).unwrap_or(u32::MAX);
                    let time = place.time.clamp(TIME_MIN, TIME_MAX);
                    places.push(Place { time, at, ..place });
                    used += block_len;
                    self.offset += block_len as u64;
                }
                Step::Skip(block_len) => {
                    self.skip = block_len;
                    used += self.pass_over(input.len());
                }
                Step::More(wanted) => return Advance { used, wanted },
                Step::Damaged(damage) => {
                    self.fault = Some(CaptureError::Damaged {
                        file: self.name.clone(),
                        offset: self.offset,
                        damage,
                    });
                    return Advance { used, wanted: 0 };
                }
            }
        }
    }

    /// How many of the `available` bytes belong to a block that is being skipped.
    fn pass_over(&mut self, available: usize) -> usize {
        let passed = self.skip.min(available);
        self.skip -= passed;
        self.offset += passed as u64;
        passed
    }

    /// Reads once behind the unfinished block at the front of `chunk`, which is `wanted` bytes long in all.
    fn refill(&mut self, chunk: &mut Chunk, wanted: usize) {
        chunk.make_room(wanted);
        match chunk.read_from(&mut *self.source) {
            Ok(0) => {
                self.ended = true;
                self.truncated_tail = self.skip > 0 || !chunk.filled().is_empty();
            }
            Ok(_) => {}
            Err(source) => {
                let offset = self.offset + chunk.filled().len() as u64;
                self.fault = Some(CaptureError::Read {
                    file: self.name.clone(),
                    offset,
                    source,
                });
            }
        }
    }
}

impl std::fmt::Debug for CaptureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureFile")
            .field("name", &self.name)
            .field("format", &self.format())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// How far into a chunk's bytes the frames go, and how long the block is that is not whole there.
struct Advance {
    used: usize,
    wanted: usize,
}

enum Format {
    Classic(Classic),
    Ng(Section),
}

impl Format {
    /// Tells the format by the file's first bytes.
    fn recognise(file: &str, head: &[u8]) -> Result<Self, CaptureError> {
        let file = || file.to_owned();
        if head.is_empty() {
            return Err(CaptureError::Empty { file: file() });
        }
        if let Some(compression) = compression(head) {
            return Err(CaptureError::Compressed {
                file: file(),
                compression,
            });
        }
        let Some(magic) = head.first_chunk::<4>() else {
            return Err(CaptureError::NotACapture { file: file() });
        };
        if !Section::is_magic(*magic) && !Classic::is_magic(*magic) {
            return Err(CaptureError::NotACapture { file: file() });
        }
        if head.len() < HEADER_LEN {
            return Err(CaptureError::CutHeader { file: file() });
        }
        if Section::is_magic(*magic) {
            return Ok(Self::Ng(Section::new()));
        }
        Classic::new(head)
            .map(Self::Classic)
            .ok_or_else(|| CaptureError::NotACapture { file: file() })
    }

    /// Bytes of the file's header that [`Format::step`] does not want to see again.
    fn header_len(&self) -> usize {
        match self {
            Self::Classic(_) => HEADER_LEN,
            Self::Ng(_) => 0,
        }
    }

    #[inline]
    fn step(&mut self, input: &[u8]) -> Step {
        match self {
            Self::Classic(classic) => classic.step(input),
            Self::Ng(section) => section.step(input),
        }
    }
}

/// What stands at the front of the bytes not yet understood.
enum Step {
    /// A packet in a block of `block_len` bytes, its data `at` from the block's begin (`place.at` is not
    /// yet set).
    Packet {
        block_len: usize,
        at: usize,
        place: Place,
    },
    /// A block of that length which holds no packet. It may reach beyond what was read.
    Skip(usize),
    /// A block of which at least that many bytes are needed.
    More(usize),
    /// Nonsense.
    Damaged(Damage),
}

/// Compressed captures are common; they get a better answer than "no capture".
fn compression(head: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 5] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0xfd, 0x37, 0x7a, 0x58, 0x5a], "xz"),
        (&[0x42, 0x5a, 0x68], "bzip2"),
        (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    ];
    MAGICS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, name)| *name)
}

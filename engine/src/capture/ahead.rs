//! A capture file chunk by chunk, read where it is worked on, or ahead of that in a thread of its own.
//!
//! A few chunks go round between the two: who has worked one off gives it back to be filled again.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::{CaptureError, CaptureFile, Chunk};
use crate::cores::Anywhere;

/// Chunks that may wait to be worked on. More would leave the caches before they are.
const AHEAD: usize = 2;
/// Those, the one that is being worked on, and the one that is being filled.
const CHUNKS: usize = AHEAD + 2;

/// Where a replay gets its chunks from.
pub(crate) enum Chunks {
    /// Read when they are asked for.
    Here {
        /// The file.
        file: CaptureFile,
        /// Worked off.
        spare: Vec<Arc<Chunk>>,
    },
    /// Read by a thread that is ahead.
    Ahead {
        /// The thread, until it has ended otherwise than with the file.
        thread: Option<thread::JoinHandle<()>>,
        /// What it has read.
        read: Receiver<Read>,
        /// Chunks worked off.
        spare: Sender<Arc<Chunk>>,
    },
}

/// What reading gave.
pub(crate) enum Read {
    /// Frames, and how far in the file they end, in octets.
    Frames(Arc<Chunk>, u64),
    /// There are no more.
    End {
        /// Whether the file ended within a packet.
        truncated_tail: bool,
    },
    /// The file cannot be read on.
    Failed(CaptureError),
}

impl Chunks {
    /// Reads when chunks are asked for.
    pub(crate) const fn here(file: CaptureFile) -> Self {
        Self::Here {
            file,
            spare: Vec::new(),
        }
    }

    /// Starts a thread that reads ahead, on any of these cores. It ends with the file, or when nobody asks for chunks any more.
    pub(crate) fn ahead(file: CaptureFile, cores: Anywhere) -> io::Result<Self> {
        let (filled, read) = bounded(AHEAD);
        let (spare, emptied) = bounded(CHUNKS);
        // Not waited for: who reads a pipe may wait for ever.
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(move || {
            cores.spread();
            read_all(file, &emptied, &filled);
        })?;
        Ok(Self::Ahead {
            thread: Some(thread),
            read,
            spare,
        })
    }

    /// The next chunk, or why there is none. Not to be asked again then.
    ///
    /// # Panics
    ///
    /// If the thread that reads ahead did.
    pub(crate) fn next(&mut self) -> Read {
        match self {
            Self::Here { file, spare } => fill(file, spare.pop().unwrap_or_default()),
            Self::Ahead { thread, read, .. } => read.recv().unwrap_or_else(|_| {
                // It has ended and said neither that the file has nor that it failed: half a file must not be taken for all of it.
                match thread.take().map(thread::JoinHandle::join) {
                    Some(Err(panic)) => std::panic::resume_unwind(panic),
                    _ => Read::End {
                        truncated_tail: false,
                    },
                }
            }),
        }
    }

    /// Takes back a chunk that has been worked off.
    pub(crate) fn give_back(&mut self, chunk: Arc<Chunk>) {
        match self {
            Self::Here { spare, .. } => spare.push(chunk),
            Self::Ahead { spare, .. } => {
                // The reader is at the end, or has enough.
                let _not_wanted = spare.try_send(chunk);
            }
        }
    }
}

fn read_all(mut file: CaptureFile, emptied: &Receiver<Arc<Chunk>>, filled: &Sender<Read>) {
    let mut made = 0;
    loop {
        let chunk = if made < CHUNKS {
            made += 1;
            Arc::default()
        } else if let Ok(chunk) = emptied.recv() {
            chunk
        } else {
            return;
        };
        let read = fill(&mut file, chunk);
        let is_last = !matches!(read, Read::Frames(..));
        if filled.send(read).is_err() || is_last {
            return;
        }
    }
}

fn fill(file: &mut CaptureFile, chunk: Arc<Chunk>) -> Read {
    // A new one if frames of it are held still.
    let mut chunk = Arc::try_unwrap(chunk).unwrap_or_default();
    match file.next_chunk(&mut chunk) {
        Ok(true) => Read::Frames(Arc::new(chunk), file.position()),
        Ok(false) => Read::End {
            truncated_tail: file.truncated_tail(),
        },
        Err(failed) => Read::Failed(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ringtap_testkit::{Format, capture, messages, scenario};

    use super::*;

    /// Some five chunks.
    fn octets() -> Vec<u8> {
        let few = messages(&scenario("S02").unwrap().cases()[0]);
        let wires: Vec<_> = few.iter().cycle().take(8_000).cloned().collect();
        capture(&wires, Format::Pcap)
    }

    fn file(octets: Vec<u8>) -> CaptureFile {
        CaptureFile::from_reader("made", Box::new(Cursor::new(octets))).unwrap()
    }

    fn ahead(file: CaptureFile) -> Chunks {
        Chunks::ahead(file, Anywhere::of_now()).unwrap()
    }

    /// All that is read: octets of the frames and where they end, and how it ends. Every third chunk is held for a while.
    fn all(mut chunks: Chunks) -> (Vec<(Vec<u8>, u64)>, String) {
        let (mut found, mut held) = (Vec::new(), Vec::new());
        loop {
            match chunks.next() {
                Read::Frames(chunk, position) => {
                    let octets = chunk.frames().flat_map(|frame| frame.bytes).copied().collect();
                    found.push((octets, position));
                    if found.len() % 3 == 0 {
                        held.push((Arc::clone(&chunk), found.len() - 1));
                    }
                    chunks.give_back(chunk);
                }
                Read::End { truncated_tail } => {
                    break held_still(&found, &held, format!("end {truncated_tail}"));
                }
                Read::Failed(error) => break held_still(&found, &held, error.to_string()),
            }
        }
    }

    /// What is held has not been filled again.
    fn held_still(
        found: &[(Vec<u8>, u64)],
        held: &[(Arc<Chunk>, usize)],
        end: String,
    ) -> (Vec<(Vec<u8>, u64)>, String) {
        for (chunk, at) in held {
            assert!(chunk.frames().flat_map(|frame| frame.bytes).eq(&found[*at].0));
        }
        (found.to_vec(), end)
    }

    /// Catches chunks that are lost, doubled, in another order or filled again while somebody looks at them, and an end that is told otherwise
    /// than by a file that is read where it is worked on: whole, cut off, or spoilt behind many frames.
    #[test]
    fn as_read_here() {
        let whole = octets();
        let mut spoilt = whole.clone();
        let at = spoilt.len() - 200_000;
        spoilt.truncate(at);
        spoilt.extend([0xff; 64]);
        let cut = whole[..whole.len() - 10].to_vec();
        for octets in [whole, cut, spoilt] {
            let here = all(Chunks::here(file(octets.clone())));
            assert!(here.0.len() > 3);
            assert_eq!(all(ahead(file(octets))), here);
        }
    }

    /// Catches a reader that nobody waits for and that waits for ever itself.
    #[test]
    fn who_stops_asking_stops_the_reader() {
        let mut chunks = ahead(file(octets()));
        assert!(matches!(chunks.next(), Read::Frames(..)));
        let Chunks::Ahead { thread, read, spare } = chunks else {
            panic!("ahead")
        };
        drop((read, spare));
        thread.unwrap().join().unwrap();
    }

    /// Catches half a file that is taken for all of it because its reader panicked.
    #[test]
    fn a_reader_that_panics_is_no_end() {
        struct Fault;
        impl io::Read for Fault {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                std::panic::resume_unwind(Box::new("a fault"))
            }
        }
        let good = Cursor::new(octets()[..3_000_000].to_vec());
        let file = CaptureFile::from_reader("made", Box::new(good.chain(Fault))).unwrap();
        let mut chunks = ahead(file);
        let reads = AssertUnwindSafe(|| while let Read::Frames(..) = chunks.next() {});
        assert!(catch_unwind(reads).is_err());
    }
}

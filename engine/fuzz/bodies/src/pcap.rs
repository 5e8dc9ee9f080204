//! The reader of capture files: no panic, no frame beyond the file, and the same frames whatever is read at a time.

use std::io::Cursor;

use ringtap::capture::{CaptureFile, Chunk};

/// Octets read at a time, in turn.
const ROOMS: [usize; 2] = [64, 64 * 1024];

/// The longest packet that a file may announce.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A capture file.
pub fn run(data: &[u8]) {
    let [small, large] = ROOMS.map(|room| read(data, room));
    assert_eq!(
        small, large,
        "what is read depends on how much of it is read at once"
    );
}

/// The sum of what was read: frames, octets, times and how it ended.
fn read(data: &[u8], room: usize) -> Option<(u64, u64, i64, String)> {
    let source = Box::new(Cursor::new(data.to_vec()));
    let mut file = CaptureFile::from_reader("fuzz", source).ok()?;
    let mut chunk = Chunk::with_room(room);
    let (mut frames, mut octets, mut times) = (0, 0, 0_i64);
    let end = loop {
        match file.next_chunk(&mut chunk) {
            Ok(true) => {
                assert!(!chunk.is_empty());
                for frame in chunk.frames() {
                    assert!(frame.bytes.len() <= data.len().min(FRAME_BYTES_MAX));
                    frames += 1;
                    octets += frame.bytes.len() as u64;
                    times = times.wrapping_mul(31).wrapping_add(frame.time.as_micros());
                }
            }
            Ok(false) => break format!("cut: {}", file.truncated_tail()),
            Err(error) => break error.to_string(),
        }
    };
    assert!(octets <= data.len() as u64 && file.position() <= data.len() as u64);
    assert!(matches!(file.next_chunk(&mut chunk), Ok(false)), "after its end");
    Some((frames, octets, times, end))
}

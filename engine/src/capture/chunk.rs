//! A run of bytes out of a capture file together with the frames found in it.
//!
//! Bytes come in with one read each and stay where they are: a frame is a position and a length.
//! Chunks are reused and travel between threads, so that reading and decoding can overlap.

use std::io::{self, Read};

use ringtap_record::Time;

use super::{Frame, Link};

/// Room for bytes at first: large enough that a system call costs nothing per frame, small enough
/// for the second-level cache.
const CHUNK_BYTES: usize = 1 << 20;

/// Owns about a mebibyte of a capture and the list of the frames in it; reusable.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    filled: usize,
    places: Vec<Place>,
}

/// One frame of a chunk. Positions fit 32 bits: a chunk grows to the largest block and no further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) time: Time,
    pub(super) link: Link,
    pub(super) at: u32,
    pub(super) len: u32,
    pub(super) wire_len: u32,
}

impl Chunk {
    /// An empty chunk of the usual size.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room(CHUNK_BYTES)
    }

    /// An empty chunk which reads `room_bytes` at a time. It grows for a larger frame.
    #[must_use]
    pub fn with_room(room_bytes: usize) -> Self {
        Self {
            bytes: vec![0; room_bytes],
            filled: 0,
            places: Vec::new(),
        }
    }

    /// How many frames are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no frame is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The `i`th frame, counted from 0 in the file's order.
    #[must_use]
    pub fn frame(&self, i: usize) -> Option<Frame<'_>> {
        self.places.get(i).and_then(|place| self.resolve(place))
    }

    /// The frames in the file's order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.places.iter().filter_map(|place| self.resolve(place))
    }

    /// Bytes it has room for without growing.
    #[cfg(test)]
    pub(super) fn room_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn resolve(&self, place: &Place) -> Option<Frame<'_>> {
        let at = place.at as usize;
        let bytes = self.bytes.get(at..at + place.len as usize)?;
        Some(Frame {
            time: place.time,
            link: place.link,
            bytes,
            wire_len: place.wire_len,
        })
    }

    /// Forgets everything and takes `remainder`, the bytes which the last chunk could not use.
    pub(super) fn restart(&mut self, remainder: &mut Vec<u8>) {
        self.places.clear();
        self.filled = 0;
        self.make_room(remainder.len());
        if let Some(front) = self.bytes.get_mut(..remainder.len()) {
            front.copy_from_slice(remainder);
            self.filled = remainder.len();
        }
        remainder.clear();
    }

    /// The bytes read so far.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// The bytes read so far, and the list to which frames found in them are added.
    pub(super) fn parts(&mut self) -> (&[u8], &mut Vec<Place>) {
        (
            self.bytes.get(..self.filled).unwrap_or_default(),
            &mut self.places,
        )
    }

    /// Drops the first `used` bytes, in which no frame was found.
    pub(super) fn discard_front(&mut self, used: usize) {
        assert!(
            self.places.is_empty(),
            "frames would move from under their places"
        );
        self.bytes.copy_within(used..self.filled, 0);
        self.filled -= used;
    }

    /// Grows so that `needed` bytes fit.
    pub(super) fn make_room(&mut self, needed: usize) {
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
    }

    /// One read behind what is there; the number of bytes that came.
    pub(super) fn read_from(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        loop {
            match source.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(n) => {
                    self.filled += n;
                    return Ok(n);
                }
            }
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

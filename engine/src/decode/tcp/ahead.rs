//! Segments that came before what belongs in front of them.

use ringtap_record::Time;

use super::tail::Spare;
use crate::decode::holes::{distance, is_ahead};

/// Octets that wait for those before them. No two of a stream overlap.
#[derive(Debug)]
pub(super) struct Piece {
    /// Sequence number of the first.
    pub(super) first: u32,
    /// When they were captured.
    pub(super) time: Time,
    pub(super) octets: Vec<u8>,
    /// How many follow that the capture cut off.
    pub(super) absent: usize,
}

impl Piece {
    /// How many octets it stands for.
    pub(super) const fn len(&self) -> usize {
        self.octets.len() + self.absent
    }
}

/// All that waits, in order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pieces: Vec<Piece>,
    bytes: usize,
}

/// What a piece costs beside its octets, in a list that has just grown.
const PIECE_BYTES: usize = 2 * size_of::<Piece>();

impl Ahead {
    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many pieces there are.
    pub(super) const fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Where the first piece begins.
    pub(super) fn first(&self) -> Option<u32> {
        self.pieces.first().map(|piece| piece.first)
    }

    /// When the first piece was captured.
    pub(super) fn first_time(&self) -> Option<Time> {
        self.pieces.first().map(|piece| piece.time)
    }

    /// Memory that is taken.
    pub(super) const fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps what is not there yet of `len` octets that begin at `first`, all of them ahead of `next`. `octets` are
    /// those that were captured. Whether anything was new.
    pub(super) fn put(
        &mut self,
        next: u32,
        (first, time): (u32, Time),
        octets: &[u8],
        len: usize,
        spare: &mut Spare,
    ) -> bool {
        // Places as distances from what the stream waits for: they do not wrap.
        let begin = distance(next, first);
        let end = begin + len;
        let (mut at, mut place, mut is_new) = (begin, 0, false);
        while at < end {
            let there = self
                .pieces
                .get(place)
                .map(|piece| (distance(next, piece.first), piece.len()));
            let until = there.map_or(end, |(from, _)| from.min(end));
            if at < until {
                let from = octets.get(at - begin..).unwrap_or_default();
                let there = from.get(..until - at).unwrap_or(from);
                let mut buffer = spare.take();
                buffer.extend_from_slice(there);
                self.bytes += buffer.capacity() + PIECE_BYTES;
                let piece = Piece {
                    first: first.wrapping_add(u32::try_from(at - begin).unwrap_or_default()),
                    time,
                    octets: buffer,
                    absent: until - at - there.len(),
                };
                self.pieces.insert(place, piece);
                is_new = true;
                place += 1;
            }
            let Some((from, len)) = there else { break };
            at = at.max(from + len);
            place += 1;
        }
        is_new
    }

    /// The first piece, if it begins no later than `next`.
    pub(super) fn pop(&mut self, next: u32) -> Option<Piece> {
        let first = self.first()?;
        // The very complement of what makes a hole: else a piece half the sequence space away is neither.
        if is_ahead(next, first) {
            return None;
        }
        let piece = self.pieces.remove(0);
        self.bytes -= piece.octets.capacity() + PIECE_BYTES;
        Some(piece)
    }

    /// Drops all.
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        for piece in self.pieces.drain(..) {
            spare.give(piece.octets);
        }
        self.bytes = 0;
    }
}

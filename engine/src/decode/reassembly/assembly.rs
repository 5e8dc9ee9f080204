//! The fragments of one datagram, as far as they have come.
//!
//! Whatever the order in which they come, and however often: octets that are there never change, a fragment
//! that contradicts them spoils the datagram, and it is whole once every octet up to the last fragment's end
//! is there.

use super::piece::Piece;

/// Most parts of one datagram. 64 KiB over the smallest link of IPv6 (1280 octets) are 54, 4 KiB over
/// that of IPv4 (68 octets) are 86.
const PARTS_MAX: usize = 128;
/// What an allocation costs beside what it holds.
const ALLOCATION_BYTES: usize = 16;

/// Parts of a datagram that do not overlap, by their place.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    parts: Vec<Part>,
    /// Octets of the datagram that the parts stand for.
    covered: usize,
    /// Octets that are held.
    octets: usize,
    /// The furthest end of a fragment behind which others follow.
    more_end: usize,
    /// Where the last fragment ends, once it has been seen.
    total: Option<usize>,
}

#[derive(Debug)]
struct Part {
    start: usize,
    bytes: Box<[u8]>,
    /// Octets behind `bytes` which the capture cut off.
    absent: usize,
}

impl Part {
    fn end(&self) -> usize {
        self.start + self.bytes.len() + self.absent
    }

    /// Octets `from..to` of `piece`, which hold both.
    fn of(piece: &Piece<'_>, from: usize, to: usize) -> Self {
        let start = usize::from(piece.offset);
        let there = piece.bytes.get(from - start..).unwrap_or_default();
        let there = there.get(..to - from).unwrap_or(there);
        Self {
            start: from,
            bytes: there.into(),
            absent: to - from - there.len(),
        }
    }

    /// Whether `piece` says the same wherever both say something.
    fn agrees(&self, piece: &Piece<'_>) -> bool {
        let start = usize::from(piece.offset);
        let from = self.start.max(start);
        let to = (self.start + self.bytes.len()).min(start + piece.bytes.len());
        from >= to
            || self.bytes.get(from - self.start..to - self.start) == piece.bytes.get(from - start..to - start)
    }
}

/// Why a datagram is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Overlap,
    Oversize,
    TooManyFragments,
}

impl Assembly {
    /// Takes a fragment that is not malformed; whether it brought anything new. What is refused changes nothing.
    pub(super) fn put(&mut self, piece: &Piece<'_>) -> Result<bool, Refusal> {
        let (start, end) = (usize::from(piece.offset), piece.end());
        if end > piece.key.content_bytes_max() {
            return Err(Refusal::Oversize);
        }
        let (more_end, total) = self.ends_with(end, piece.more)?;
        let first = self.parts.partition_point(|part| part.end() <= start);
        let touched = self.parts.iter().skip(first).take_while(|part| part.start < end);
        let (mut at, mut new) = (start, Vec::new());
        for part in touched {
            if !part.agrees(piece) {
                return Err(Refusal::Overlap);
            }
            if at < part.start {
                new.push(Part::of(piece, at, part.start));
            }
            at = part.end();
        }
        if at < end {
            new.push(Part::of(piece, at, end));
        }
        if self.parts.len() + new.len() > PARTS_MAX {
            return Err(Refusal::TooManyFragments);
        }
        (self.more_end, self.total) = (more_end, total);
        let is_new = !new.is_empty();
        for part in new {
            self.covered += part.end() - part.start;
            self.octets += part.bytes.len();
            let place = self.parts.partition_point(|other| other.start < part.start);
            self.parts.insert(place, part);
        }
        Ok(is_new)
    }

    /// The furthest end and where the datagram ends, with one more fragment; refuses fragments that disagree about it, in whatever
    /// order.
    fn ends_with(&self, end: usize, more: bool) -> Result<(usize, Option<usize>), Refusal> {
        let (more_end, total) = if more {
            (self.more_end.max(end), self.total)
        } else {
            (self.more_end, Some(self.total.unwrap_or(end)))
        };
        let contradicts = match total {
            Some(total) => (!more && total != end) || more_end >= total,
            None => false,
        };
        match contradicts {
            true => Err(Refusal::Overlap),
            false => Ok((more_end, total)),
        }
    }

    /// How long the datagram is, once all of it is there (but for what the capture cut off).
    pub(super) fn whole(&self) -> Option<usize> {
        self.total.filter(|total| self.covered == *total)
    }

    /// How long it is at least.
    pub(super) fn len_min(&self) -> usize {
        self.total.unwrap_or(self.more_end + 1)
    }

    /// Adds to `bytes` what there is from the beginning to the first gap.
    pub(super) fn copy_beginning(&self, bytes: &mut Vec<u8>) {
        let mut at = 0;
        for part in self.parts.iter().take_while(|part| {
            let joins = part.start == at;
            at = part.start + part.bytes.len();
            joins
        }) {
            bytes.extend_from_slice(&part.bytes);
        }
    }

    /// Memory that it takes. Never less than before.
    pub(super) const fn held_bytes(&self) -> usize {
        self.octets + self.parts.len() * ALLOCATION_BYTES + self.parts.capacity() * size_of::<Part>()
    }
}

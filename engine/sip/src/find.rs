//! Octets searched for sixteen at a time, in place.
//!
//! memchr is the better searcher of long text. Most of what is looked for within a header value lies less
//! than 40 octets away, where the call costs more than the search, and where these few instructions are
//! compiled in place. Where every line of a message ends is asked of 64 octets at a time, so that a line costs
//! no search of its own. `wide` compares with what every processor of the target has (SSE2, NEON), and octet by octet where there is nothing.

use wide::{u8x16, u8x32};

/// Octets compared at once.
const CHUNK: usize = 16;
/// Octets of which [`Positions`] knows at once: a bit of a word for each.
const BLOCK: usize = 64;

/// Position of the first `octet` in `text`.
#[inline]
pub(crate) fn find(octet: u8, text: &[u8]) -> Option<usize> {
    first(text, [octet])
}

/// Position of the first octet in `text` that is one of the two.
#[inline]
pub(crate) fn find2(one: u8, other: u8, text: &[u8]) -> Option<usize> {
    first(text, [one, other])
}

/// Position of the first `octet` in `text` from `from` up to `to`. Looks at 32 octets at a time, at what follows `to` too, so that nothing
/// is to be done for a last few.
#[inline(always)]
pub(crate) fn find_between(octet: u8, text: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut at = from;
    while at < to {
        let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) else {
            return find_in_last(octet, text, at, to);
        };
        let hits = hits_in_32(chunk, octet);
        if hits != 0 {
            let found = at + hits.trailing_zeros() as usize;
            return (found < to).then_some(found);
        }
        at += 32;
    }
    None
}

/// The same where the text has no 32 octets left.
#[cold]
fn find_in_last(octet: u8, text: &[u8], from: usize, to: usize) -> Option<usize> {
    Some(from + find(octet, text.get(from..to)?)?)
}

/// Octets of a line within which its end is looked for at once: few lines are longer, so that it is no question
/// where to look next.
pub(crate) const FRONT: usize = 96;

/// Position of the first `octet` in the front of a line.
#[inline(always)]
pub(crate) fn first_in_front(octet: u8, front: &[u8; FRONT]) -> Option<usize> {
    let [low, high, far] = front.as_chunks::<32>().0 else {
        return None;
    };
    let near = u64::from(hits_in_32(low, octet)) | u64::from(hits_in_32(high, octet)) << 32;
    let far = hits_in_32(far, octet).trailing_zeros() as usize;
    let at = match near.trailing_zeros() as usize {
        64 => 64 + far,
        at => at,
    };
    (at < FRONT).then_some(at)
}

/// Which of 32 octets are `octet`, the first in the lowest bit.
#[inline(always)]
pub(crate) fn hits_in_32(chunk: &[u8; 32], octet: u8) -> u32 {
    u8x32::new(*chunk).simd_eq(u8x32::splat(octet)).to_bitmask()
}

/// Which of 64 octets are `octet`, the first in the lowest bit.
#[inline(always)]
pub(crate) fn hits_in_64(block: &[u8; 64], octet: u8) -> u64 {
    match block.as_chunks::<32>().0 {
        [low, high] => u64::from(hits_in_32(low, octet)) | u64::from(hits_in_32(high, octet)) << 32,
        _ => 0,
    }
}

/// The positions of an octet in a text, in order.
#[derive(Clone, Debug)]
pub(crate) struct Positions<'a> {
    text: &'a [u8],
    octet: u8,
    /// Where the block begins that `hits` are of.
    begin: usize,
    /// A bit for each octet of the block that is one and was not given yet.
    hits: u64,
}

impl<'a> Positions<'a> {
    /// Those from `begin` on.
    #[inline]
    pub(crate) fn from(octet: u8, text: &'a [u8], begin: usize) -> Self {
        Self {
            text,
            octet,
            begin,
            hits: hits_in_block(text.get(begin..).unwrap_or_default(), octet),
        }
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.hits == 0 {
            self.begin += BLOCK;
            self.hits = hits_in_block(
                self.text.get(self.begin..).filter(|rest| !rest.is_empty())?,
                self.octet,
            );
        }
        let at = self.begin + self.hits.trailing_zeros() as usize;
        self.hits &= self.hits - 1;
        Some(at)
    }
}

/// Which of the first 64 octets are `octet`, the first in the lowest bit.
#[inline]
fn hits_in_block(text: &[u8], octet: u8) -> u64 {
    let padded;
    let block = match text.first_chunk::<BLOCK>() {
        Some(block) => block,
        None => {
            let mut last = [!octet; BLOCK];
            last.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            padded = last;
            &padded
        }
    };
    hits_in_64(block, octet)
}

/// Which octets of a chunk are one of those `wanted`, the first in the lowest bit.
#[inline(always)]
fn hits_in<const N: usize>(chunk: &[u8; CHUNK], wanted: [u8; N]) -> u32 {
    let chunk = u8x16::new(*chunk);
    let equal = wanted.map(|octet| chunk.simd_eq(u8x16::splat(octet)));
    equal
        .into_iter()
        .fold(u8x16::splat(0), |any, equal| any | equal)
        .to_bitmask()
}

/// The search itself. The last chunk overlaps the one before it, where nothing was found; only a text
/// shorter than a chunk is looked at in smaller pieces.
#[inline(always)]
fn first<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let hits = hits_in(chunk, wanted);
        if hits != 0 {
            return Some(text.len() - rest.len() + hits.trailing_zeros() as usize);
        }
        rest = behind;
    }
    if rest.is_empty() {
        return None;
    }
    match text.last_chunk() {
        Some(last) => match hits_in(last, wanted) {
            0 => None,
            hits => Some(text.len() - CHUNK + hits.trailing_zeros() as usize),
        },
        None => first_of_few(text, wanted),
    }
}

/// The search in a text shorter than a chunk: two words that overlap, or octet by octet.
#[inline(always)]
fn first_of_few<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    let (Some(front), Some(back)) = (text.first_chunk(), text.last_chunk()) else {
        return text.iter().position(|found| wanted.contains(found));
    };
    match hits_in_word(u64::from_le_bytes(*front), wanted) {
        0 => match hits_in_word(u64::from_le_bytes(*back), wanted) {
            0 => None,
            back => Some(text.len() - 8 + lowest_octet(back)),
        },
        front => Some(lowest_octet(front)),
    }
}

/// The octet that the lowest bit of `hits` stands in.
#[inline(always)]
const fn lowest_octet(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// The top bits of the `wanted` octets among the eight of a word in little-endian order: the classic test
/// for a zero octet, whose lowest hit is exact.
#[inline(always)]
fn hits_in_word<const N: usize>(word: u64, wanted: [u8; N]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    wanted.iter().fold(0, |hits, octet| {
        let differing = word ^ u64::from_le_bytes([*octet; 8]);
        hits | differing.wrapping_sub(ONES) & !differing & TOPS
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Catches a hit that is none, one missed, and a later one found first.
        #[test]
        fn same_as_looking_at_each(
            octet in any::<u8>(),
            second in any::<u8>(),
            text in prop::collection::vec(any::<u8>(), 0..200),
            bits in any::<u32>(),
            begin in 0..210usize,
        ) {
            // Octets that differ from the wanted one in one bit are what a trick could mistake.
            let near = |other: &u8| if other.is_multiple_of(3) { octet ^ 1 << (bits % 8) } else { *other };
            let near: Vec<_> = text.iter().map(near).collect();
            // Nothing but near misses, and hits at the very end.
            let rare = |other: &u8| if *other > 4 { octet ^ 1 << (bits % 8) } else { octet };
            let rare: Vec<_> = text.iter().map(rare).collect();
            for text in [text, near, rare] {
                let wanted = text.iter().position(|other| *other == octet);
                prop_assert_eq!(find(octet, &text), wanted);
                let each = (0..).zip(&text).filter(|(_, other)| **other == octet);
                prop_assert!(Positions::from(octet, &text, begin).eq(each.map(|(at, _)| at).filter(|at| *at >= begin)));
                let either = text.iter().position(|other| [octet, second].contains(other));
                prop_assert_eq!(find2(octet, second, &text), either);
                prop_assert_eq!(find2(second, octet, &text), either);
            }
        }
    }
}

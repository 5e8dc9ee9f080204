//! Octets searched for sixteen at a time, in place.
//!
//! memchr is the better searcher of long text. Most of what is looked for within a header value lies less
//! than 40 octets away, where the call costs more than the search, and where these few instructions are
//! compiled in place. On x86-64 sixteen octets are compared at once, as every processor of that kind can;
//! elsewhere two words of eight.

/// Octets compared at once.
const CHUNK: usize = 16;

/// Position of the first `octet` in `text`.
#[inline]
pub(crate) fn find(octet: u8, text: &[u8]) -> Option<usize> {
    first(text, |chunk| first_in(octet, chunk), |found| found == octet)
}

/// Position of the first octet in `text` that is one of the two.
#[inline]
pub(crate) fn find2(one: u8, other: u8, text: &[u8]) -> Option<usize> {
    first(
        text,
        |chunk| first_of_two_in(one, other, chunk),
        |found| found == one || found == other,
    )
}

/// The search itself. The last chunk overlaps the one before it, where nothing was found; only a text
/// shorter than a chunk is looked at octet by octet.
#[inline(always)]
fn first(
    text: &[u8],
    in_chunk: impl Fn(&[u8; CHUNK]) -> Option<usize>,
    is_wanted: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (chunks, tail) = text.as_chunks::<CHUNK>();
    for (at, chunk) in chunks.iter().enumerate() {
        if let Some(within) = in_chunk(chunk) {
            return Some(CHUNK * at + within);
        }
    }
    if tail.is_empty() {
        return None;
    }
    match text.last_chunk::<CHUNK>() {
        Some(last) => in_chunk(last).map(|within| text.len() - CHUNK + within),
        None => text.iter().position(|found| is_wanted(*found)),
    }
}

/// Position of the first `octet` in a chunk.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn first_in(octet: u8, chunk: &[u8; CHUNK]) -> Option<usize> {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};

    let hits = _mm_cmpeq_epi8(vector(chunk), _mm_set1_epi8(octet.cast_signed()));
    lowest(_mm_movemask_epi8(hits))
}

/// Position of the first octet in a chunk that is one of the two.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_of_two_in(one: u8, other: u8, chunk: &[u8; CHUNK]) -> Option<usize> {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};

    let octets = vector(chunk);
    let hits = _mm_or_si128(
        _mm_cmpeq_epi8(octets, _mm_set1_epi8(one.cast_signed())),
        _mm_cmpeq_epi8(octets, _mm_set1_epi8(other.cast_signed())),
    );
    lowest(_mm_movemask_epi8(hits))
}

/// Position of the lowest bit set.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
const fn lowest(mask: i32) -> Option<usize> {
    if mask == 0 {
        None
    } else {
        Some(mask.trailing_zeros() as usize)
    }
}

/// A chunk in a register: one load, once compiled.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn vector(chunk: &[u8; CHUNK]) -> std::arch::x86_64::__m128i {
    let [low, high] = halves(chunk);
    std::arch::x86_64::_mm_set_epi64x(high.cast_signed(), low.cast_signed())
}

/// Position of the first `octet` in a chunk.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn first_in(octet: u8, chunk: &[u8; CHUNK]) -> Option<usize> {
    let [low, high] = halves(chunk);
    octet_in(octet, low).or_else(|| octet_in(octet, high).map(|within| 8 + within))
}

/// Position of the first octet in a chunk that is one of the two.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn first_of_two_in(one: u8, other: u8, chunk: &[u8; CHUNK]) -> Option<usize> {
    match (first_in(one, chunk), first_in(other, chunk)) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Position of the first `octet` among the eight of a word in little-endian order: the classic test for a
/// zero octet, whose lowest hit is exact.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
const fn octet_in(octet: u8, word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let differing = word ^ u64::from_le_bytes([octet; 8]);
    let zero = differing.wrapping_sub(ONES) & !differing & TOPS;
    if zero == 0 {
        None
    } else {
        Some(zero.trailing_zeros() as usize / 8)
    }
}

/// A chunk as two words.
#[inline(always)]
fn halves(chunk: &[u8; CHUNK]) -> [u64; 2] {
    match chunk.as_chunks::<8>().0 {
        [low, high] => [u64::from_le_bytes(*low), u64::from_le_bytes(*high)],
        _ => [0; 2],
    }
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
            text in prop::collection::vec(any::<u8>(), 0..70),
            bits in any::<u32>(),
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
                let either = text.iter().position(|other| [octet, second].contains(other));
                prop_assert_eq!(find2(octet, second, &text), either);
                prop_assert_eq!(find2(second, octet, &text), either);
            }
        }
    }
}

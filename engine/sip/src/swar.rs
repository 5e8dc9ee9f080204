//! Octets searched for eight at a time, in plain words.
//!
//! memchr is the better searcher of long text. Most of what is looked for within a header value lies less
//! than 40 octets away, where the call costs more than the search, and where these few instructions are
//! compiled in place.

/// Position of the first `octet` in `text`.
#[inline]
pub(crate) fn find(octet: u8, text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        if let Some(within) = octet_in(octet, u64::from_le_bytes(*word)) {
            return Some(8 * at + within);
        }
    }
    tail.iter()
        .position(|found| *found == octet)
        .map(|within| text.len() - tail.len() + within)
}

/// Position of the first `octet` among the eight of a word in little-endian order: the classic test for a
/// zero octet, whose lowest hit is exact.
#[inline]
pub(crate) const fn octet_in(octet: u8, word: u64) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Catches a hit that is none, one missed, and a later one found first.
        #[test]
        fn same_as_looking_at_each(
            octet in any::<u8>(),
            text in prop::collection::vec(any::<u8>(), 0..40),
            bits in any::<u32>(),
        ) {
            // Octets that differ from the wanted one in one bit are what the trick could mistake.
            let near = |other: &u8| if other.is_multiple_of(3) { octet ^ 1 << (bits % 8) } else { *other };
            let near: Vec<_> = text.iter().map(near).collect();
            for text in [text, near] {
                prop_assert_eq!(find(octet, &text), text.iter().position(|other| *other == octet));
            }
        }
    }
}

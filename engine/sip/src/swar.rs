//! Octets searched for sixteen at a time, in place.
//!
//! memchr is the better searcher of long text. Most of what is looked for within a header value lies less
//! than 40 octets away, where the call costs more than the search, and where these few instructions are
//! compiled in place. Whether a chunk has the octet at all is asked in a form that compilers turn into one
//! vector comparison; where it stands is then told by words.

/// Octets compared at once.
const CHUNK: usize = 16;

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

/// Position of the first `octet` among the eight of a word in little-endian order.
#[inline(always)]
pub(crate) fn first_in_word(octet: u8, word: u64) -> Option<usize> {
    match hits(word, [octet]) {
        0 => None,
        hits => Some(lowest(hits)),
    }
}

/// Position of the first of the `wanted` octets in a chunk.
#[inline(always)]
fn first_in<const N: usize>(chunk: &[u8; CHUNK], wanted: [u8; N]) -> Option<usize> {
    let any = wanted.iter().fold(false, |any, octet| any | holds(chunk, *octet));
    if any { Some(position(chunk, wanted)) } else { None }
}

/// Whether `octet` is among those of a chunk. No early end, and one octet at a time: that is what makes it
/// one comparison of vectors.
#[inline(always)]
fn holds(chunk: &[u8; CHUNK], octet: u8) -> bool {
    chunk.iter().fold(false, |any, found| any | (*found == octet))
}

/// The search itself. The last chunk overlaps the one before it, where nothing was found; only a text
/// shorter than a chunk is looked at in smaller pieces.
#[inline(always)]
fn first<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        if let Some(within) = first_in(chunk, wanted) {
            return Some(text.len() - rest.len() + within);
        }
        rest = behind;
    }
    if rest.is_empty() {
        return None;
    }
    match text.last_chunk() {
        Some(last) => first_in(last, wanted).map(|within| text.len() - CHUNK + within),
        None => first_of_few(text, wanted),
    }
}

/// The search in a text shorter than a chunk: two words that overlap, or octet by octet.
#[inline(always)]
fn first_of_few<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    let (Some(front), Some(back)) = (text.first_chunk(), text.last_chunk()) else {
        return text.iter().position(|found| wanted.contains(found));
    };
    match hits(u64::from_le_bytes(*front), wanted) {
        0 => match hits(u64::from_le_bytes(*back), wanted) {
            0 => None,
            back => Some(text.len() - 8 + lowest(back)),
        },
        front => Some(lowest(front)),
    }
}

/// Position of the first of the `wanted` octets in a chunk that has one.
#[inline(always)]
fn position<const N: usize>(chunk: &[u8; CHUNK], wanted: [u8; N]) -> usize {
    let (words, _) = chunk.as_chunks::<8>();
    let [front, back] = words else { return 0 };
    match hits(u64::from_le_bytes(*front), wanted) {
        0 => 8 + lowest(hits(u64::from_le_bytes(*back), wanted)),
        front => lowest(front),
    }
}

/// The octet that the lowest bit of `hits` stands in.
#[inline(always)]
const fn lowest(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// The top bits of the `wanted` octets among the eight of a word in little-endian order: the classic test
/// for a zero octet, whose lowest hit is exact.
#[inline(always)]
fn hits<const N: usize>(word: u64, wanted: [u8; N]) -> u64 {
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

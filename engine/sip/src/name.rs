//! Which header a field name means: the dispatch that every header line goes through.
//!
//! A hand-made look-up instead of combinators. A name is taken as three words of eight octets, its letters
//! folded to one case at once; first letter and length lead to the one or two headers it can be, and words
//! are compared. A field that does not matter for calls costs a table entry and no comparison.

use crate::find::first_in_word;
use crate::header::Header;

/// Octets looked at: more than the longest name of interest, and whole words.
const HEAD: usize = 24;

/// A name folded to lower case and padded with zero octets, and its length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    words: [u64; HEAD / 8],
    len: usize,
}

/// The name at the start of `text`, if its colon directly follows it within [`HEAD`] octets: the header it
/// means, if any, and the colon's position. `None` if the name has to be looked for.
#[inline]
pub(crate) fn at_start(text: &[u8]) -> Option<(Option<Header>, usize)> {
    let words = match text.first_chunk() {
        Some(head) => words_of(head),
        None => words_of(&padded(text)),
    };
    let colon = colon(words)?;
    let header = header(words, colon);
    if header.is_none() && matches!(text.get(..colon), Some([.., b' ' | b'\t'])) {
        return None;
    }
    Some((header, colon))
}

/// Position of the first colon.
#[inline]
fn colon([a, b, c]: [u64; HEAD / 8]) -> Option<usize> {
    first_in_word(b':', a)
        .or_else(|| first_in_word(b':', b).map(|at| 8 + at))
        .or_else(|| first_in_word(b':', c).map(|at| 16 + at))
}

/// The octets of a text shorter than [`HEAD`], and zero octets behind it.
fn padded(text: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    head
}

/// The header of a whole name.
pub(crate) fn whole(name: &[u8]) -> Option<Header> {
    if name.len() > HEAD {
        return None;
    }
    header(words_of(&padded(name)), name.len())
}

/// Octets as words.
#[inline]
const fn words_of(head: &[u8; HEAD]) -> [u64; HEAD / 8] {
    match head.as_chunks::<8>().0 {
        [a, b, c] => [
            u64::from_le_bytes(*a),
            u64::from_le_bytes(*b),
            u64::from_le_bytes(*c),
        ],
        _ => [0; HEAD / 8],
    }
}

/// A word with its letters in lower case. Octets from 0x40 on get the bit that tells `a` from `A`; no other
/// octet becomes a letter or a hyphen by it.
const fn fold(word: u64) -> u64 {
    word | (word & u64::from_le_bytes([0x40; 8])) >> 1
}

/// The header whose name is the first `len` octets of `words`, not folded yet.
#[inline(always)]
fn header([a, b, c]: [u64; HEAD / 8], len: usize) -> Option<Header> {
    let a = fold(a);
    let first = a.to_le_bytes()[0];
    let mut next = *TABLE.slots.get(slot(first, len))?;
    while let Some(known) = TABLE.known.get(usize::from(next)) {
        let ([name_a, name_b, name_c], [mask_a, mask_b, mask_c]) = (known.name.words, known.masks);
        // Most names end within the first word.
        let same = a & mask_a == name_a
            && known.name.len == len
            && (len <= 8 || fold(b) & mask_b == name_b)
            && (len <= 16 || fold(c) & mask_c == name_c);
        if same {
            return Some(known.header);
        }
        next = known.next;
    }
    None
}

/// Where the table keeps the names of this first letter and length.
const fn slot(first: u8, len: usize) -> usize {
    (first as usize & 31) << 5 | len & 31
}

/// A name of interest, long or compact.
#[derive(Clone, Copy)]
struct Known {
    name: Folded,
    /// The octets of the words that are the name's.
    masks: [u64; HEAD / 8],
    header: Header,
    /// The next name in the same slot, [`END`] if there is none.
    next: u8,
}

/// The end of a slot's chain: no position in [`Table::known`].
const END: u8 = u8::MAX;

/// Names by slot.
struct Table {
    slots: [u8; 1024],
    known: [Known; NAMES],
}

/// How many names of interest there are.
#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only: an index out of bounds does not build"
)]
const NAMES: usize = {
    let mut count = Header::ALL.len();
    let mut at = 0;
    while at < Header::ALL.len() {
        if Header::ALL[at].compact().is_some() {
            count += 1;
        }
        at += 1;
    }
    count
};
const _: () = assert!(NAMES < END as usize);

static TABLE: Table = Table::build();

impl Table {
    /// Built by the compiler.
    #[allow(
        clippy::indexing_slicing,
        reason = "runs in the compiler only: an index out of bounds does not build"
    )]
    #[allow(clippy::cast_possible_truncation, reason = "positions are below END")]
    const fn build() -> Self {
        let none = Known {
            name: Folded {
                words: [0; 3],
                len: 0,
            },
            masks: [0; 3],
            header: Header::Via,
            next: END,
        };
        let mut table = Self {
            slots: [END; 1024],
            known: [none; NAMES],
        };
        let (mut at, mut count) = (0, 0);
        while at < 2 * Header::ALL.len() {
            let header = Header::ALL[at / 2];
            let name = if at % 2 == 0 {
                Some(header.as_str())
            } else {
                header.compact()
            };
            if let Some(name) = name {
                let name = folded_name(name.as_bytes());
                let slot = slot(name.words[0].to_le_bytes()[0], name.len);
                table.known[count] = Known {
                    name,
                    masks: masks(name.len),
                    header,
                    next: table.slots[slot],
                };
                table.slots[slot] = count as u8;
                count += 1;
            }
            at += 1;
        }
        table
    }
}

/// The masks of a name's length.
#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only: an index out of bounds does not build"
)]
const fn masks(len: usize) -> [u64; HEAD / 8] {
    let mut masks = [0; HEAD / 8];
    let mut at = 0;
    while at < len {
        masks[at / 8] |= 0xff << (8 * (at % 8));
        at += 1;
    }
    masks
}

/// A name of the table.
#[allow(
    clippy::indexing_slicing,
    reason = "runs in the compiler only: an index out of bounds does not build"
)]
const fn folded_name(name: &[u8]) -> Folded {
    let mut words = [0; HEAD / 8];
    let mut at = 0;
    while at < name.len() {
        words[at / 8] |= (name[at] as u64) << (8 * (at % 8));
        at += 1;
    }
    let [a, b, c] = words;
    Folded {
        words: [fold(a), fold(b), fold(c)],
        len: name.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The obvious way: compare with every name in turn.
    fn oracle(name: &[u8]) -> Option<Header> {
        Header::ALL.iter().copied().find(|header| {
            [Some(header.as_str()), header.compact()]
                .into_iter()
                .flatten()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        })
    }

    /// A name of interest with one octet changed, or any octets.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        let changed = (
            prop::sample::select(Header::ALL),
            any::<prop::sample::Index>(),
            any::<u8>(),
            any::<u8>(),
        );
        prop_oneof![
            changed.prop_map(|(header, at, octet, bits)| {
                let mut name = header.as_str().as_bytes().to_vec();
                let at = at.index(name.len());
                name[at] = if bits % 4 == 0 {
                    octet
                } else {
                    name[at] ^ 1 << (bits % 8)
                };
                name
            }),
            prop::collection::vec(any::<u8>(), 0..30),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Catches a word trick that takes one name for another.
        #[test]
        fn same_as_comparing_with_all(name in names()) {
            prop_assert_eq!(whole(&name), oracle(&name));
        }

        /// Catches a colon found in the wrong place, or octets behind it taking part in the comparison.
        #[test]
        fn same_within_a_line(name in names(), rest in prop::collection::vec(any::<u8>(), 0..30)) {
            let line = [&name[..], b":", &rest].concat();
            let colon = line.iter().position(|octet| *octet == b':').unwrap();
            let before = &line[..colon];
            if colon < HEAD && !before.ends_with(b" ") && !before.ends_with(b"\t") {
                prop_assert_eq!(at_start(&line), Some((oracle(before), colon)));
            } else {
                prop_assert_eq!(at_start(&line), None);
            }
        }
    }
}

//! Which header a field name means: the dispatch that every header line goes through.
//!
//! A hand-made look-up instead of combinators. First and last letter and length lead to the one header that a
//! name can be, and 32 octets are compared with it at once, the name's and its colon's octets counting: what it
//! costs does not depend on the name.

use wide::u8x32;

use crate::find::hits_in_32;
use crate::header::Header;

/// Octets looked at: more than the longest name of interest and its colon.
pub(crate) const HEAD: usize = 32;

/// Octets within which the colon stands of a field whose name has no white space around it.
const NEAR: usize = 24;

/// The name at the start of `text`, if its colon directly follows it within [`NEAR`] octets: the header it
/// means, if any, and the colon's position. `None` if the name has to be looked for.
#[inline]
pub(crate) fn at_start(text: &[u8]) -> Option<(Option<Header>, usize)> {
    let padded_head;
    let head = match text.first_chunk() {
        Some(head) => head,
        None => {
            padded_head = padded(text);
            &padded_head
        }
    };
    let colon = colon(head).filter(|colon| *colon < NEAR)?;
    let header = header(head, colon);
    if header.is_none() && matches!(head.get(..colon), Some([.., b' ' | b'\t'])) {
        return None;
    }
    Some((header, colon))
}

/// Position of the first colon.
#[inline(always)]
pub(crate) fn colon(head: &[u8; HEAD]) -> Option<usize> {
    let hits = hits_in_32(head, b':');
    (hits != 0).then_some(hits.trailing_zeros() as usize)
}

/// The octets of a text shorter than [`HEAD`], and zero octets behind it.
fn padded(text: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    head
}

/// The header of a whole name.
pub(crate) fn whole(name: &[u8]) -> Option<Header> {
    let mut head = padded(name);
    *head.get_mut(name.len())? = b':';
    if colon(&head)? != name.len() {
        return None;
    }
    header(&head, name.len())
}

/// The header whose name is the first octets of `head`, in any case, up to the first colon, which stands at
/// `colon`.
#[inline(always)]
pub(crate) fn header(head: &[u8; HEAD], colon: usize) -> Option<Header> {
    let [first, ..] = *head;
    // No name is empty, so what is taken for the last octet of an empty one does not matter.
    let last = *head.get(colon.wrapping_sub(1) % HEAD)?;
    let slot = slot(first, last, colon);
    let (name, bits) = (TABLE.names.get(slot)?, TABLE.bits.get(slot)?);
    let differing = (u8x32::new(*head) ^ u8x32::new(*name)) & u8x32::new(*bits);
    if differing.simd_eq(u8x32::splat(0)).to_bitmask() == u32::MAX {
        TABLE.headers.get(slot).copied()
    } else {
        None
    }
}

/// Where the table keeps the name of these letters, in any case, and this length. The factor is such that no
/// two names of interest share a slot.
#[inline(always)]
const fn slot(first: u8, last: u8, len: usize) -> usize {
    let letters = (first as usize | (last as usize) << 8) & 0x1f1f;
    (((letters * 69) >> 4) ^ len) % SLOTS
}

/// Places in the table: a power of two, few of them taken.
const SLOTS: usize = 512;

/// Names of interest by slot.
struct Table {
    /// The name, long or compact, in lower case, and its colon. A slot without one has a name that no name is.
    names: [[u8; HEAD]; SLOTS],
    /// The bits of the name's and the colon's octets that count: all but that which tells `a` from `A`.
    bits: [[u8; HEAD]; SLOTS],
    headers: [Header; SLOTS],
}

static TABLE: Table = Table::build();

impl Table {
    /// Built by the compiler.
    const fn build() -> Self {
        let mut table = Self {
            names: [[0; HEAD]; SLOTS],
            bits: [[u8::MAX; HEAD]; SLOTS],
            headers: [Header::Via; SLOTS],
        };
        let mut at = 0;
        while at < Header::ALL.len() {
            #[allow(
                clippy::indexing_slicing,
                reason = "runs in the compiler only: an index out of bounds does not build"
            )]
            let header = Header::ALL[at];
            table.put(header.as_str().as_bytes(), header);
            if let Some(compact) = header.compact() {
                table.put(compact.as_bytes(), header);
            }
            at += 1;
        }
        table
    }

    /// Puts a name into its slot.
    #[allow(
        clippy::indexing_slicing,
        reason = "runs in the compiler only: an index out of bounds does not build"
    )]
    const fn put(&mut self, name: &[u8], header: Header) {
        let slot = slot(name[0], name[name.len() - 1], name.len());
        assert!(self.names[slot][0] == 0, "two names share a slot");
        self.headers[slot] = header;
        self.bits[slot] = [0; HEAD];
        let mut at = 0;
        while at < name.len() {
            let octet = name[at].to_ascii_lowercase();
            self.names[slot][at] = octet;
            self.bits[slot][at] = if octet.is_ascii_lowercase() {
                !0x20
            } else {
                u8::MAX
            };
            at += 1;
        }
        self.names[slot][at] = b':';
        self.bits[slot][at] = u8::MAX;
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
            // What looks like a name and its colon, and goes on.
            (
                prop::sample::select(Header::ALL),
                prop::collection::vec(any::<u8>(), 0..24)
            )
                .prop_map(|(header, rest)| [header.as_str().as_bytes(), b":", &rest].concat()),
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
            if colon < NEAR && !before.ends_with(b" ") && !before.ends_with(b"\t") {
                prop_assert_eq!(at_start(&line), Some((oracle(before), colon)));
            } else {
                prop_assert_eq!(at_start(&line), None);
            }
        }
    }
}

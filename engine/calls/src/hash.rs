//! Keyed hashes of wire text: who cannot know the key cannot make two texts collide (HashDoS).

use std::hash::Hasher;

use arrayvec::ArrayVec;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use ringtap_identity::Contact;
use ringtap_sip::Via;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13Of128};

/// How contacts, keys of legs and ties are hashed; another word with any change of it. Hashes of two processes can be compared if they have this and the key in common.
pub const HASHES: &str = "siphash-1-3/1";

/// The secret of this process.
#[derive(Clone, Debug)]
pub(crate) struct HashKey {
    octets: [u8; 16],
    /// The same secret, for hashes that are compared within one call only.
    within_call: SharedSeed,
}

/// 128 bits of keyed hash over Call-ID and the caller's tag: a leg's identity. At 2⁶⁴ legs a collision
/// would be even odds; the table never holds 2³².
pub(crate) type LegKey = u128;

impl HashKey {
    /// A fresh secret from the standard library's randomly seeded hasher.
    pub(crate) fn random() -> Self {
        use std::hash::BuildHasher;
        let mut key = [0; 16];
        for (i, half) in key.chunks_exact_mut(8).enumerate() {
            half.copy_from_slice(&std::hash::RandomState::new().hash_one(i).to_le_bytes());
        }
        Self::of(key)
    }

    /// The secret of another process.
    pub(crate) const fn of(octets: [u8; 16]) -> Self {
        Self {
            octets,
            within_call: SharedSeed::from_u64(half(octets, 0)),
        }
    }

    /// For another process that is to hash alike.
    pub(crate) const fn octets(&self) -> [u8; 16] {
        self.octets
    }

    /// The key of the leg with this Call-ID and tag (semantics.md K1; compared byte by byte, RFC 3261 §8.1.1.4).
    pub(crate) fn leg(&self, call_id: &[u8], tag: &[u8]) -> LegKey {
        // 0xFF stands in no Call-ID that is text, so no other split gives the same bytes.
        let parts = [call_id, &[0xFF], tag];
        let mut text = Text::new();
        let hash = if gather(&mut text, parts) {
            SipHasher13Of128::new_with_key(&self.octets).hash(&text)
        } else {
            let mut hasher = SipHasher13Of128::new_with_key(&self.octets);
            parts.into_iter().for_each(|part| hasher.write(part));
            hasher.finish128()
        };
        hash.as_u128()
    }

    /// The hop transaction's key: top Via branch and sent-by (RFC 3261 §17.2.3). A branch without the
    /// magic cookie does not have to be unique, so there the whole value counts. Only compared within one call; never 0.
    pub(crate) fn hop(&self, via: &Via<'_>) -> u64 {
        let mut hasher = self.within_call();
        match via.branch {
            Some(branch) if via.has_cookie() => {
                hasher.write(branch);
                hasher.write(via.sent_by);
            }
            _ => hasher.write(via.value),
        }
        hasher.finish().max(1)
    }

    /// 64 bits of a contact; never 0.
    pub(crate) fn contact(&self, contact: &Contact) -> u64 {
        self.whole(contact.as_str().as_bytes()).max(1)
    }

    /// 64 bits of an identity, compared within this process only.
    pub(crate) fn identity(&self, identity: &str) -> u64 {
        self.whole(identity.as_bytes())
    }

    /// 64 bits of a text made of parts, told apart by their lengths.
    pub(crate) fn text<'t>(&self, parts: impl IntoIterator<Item = &'t [u8]>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.octets);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }

    /// As [`text`](Self::text), of a few short parts.
    pub(crate) fn short_text<const N: usize>(&self, parts: [&[u8]; N]) -> u64 {
        let lengths = parts.map(|part| part.len().to_le_bytes());
        let mut text = Text::new();
        let each = || {
            lengths
                .iter()
                .zip(parts)
                .flat_map(|(length, part)| [&length[..], part])
        };
        if each().all(|part| text.try_extend_from_slice(part).is_ok()) {
            return self.whole(&text);
        }
        self.text(parts)
    }

    /// 32 bits of a short text that is only compared within one call (To-tags, contacts); never 0.
    pub(crate) fn short(&self, text: &[u8]) -> u32 {
        let mut hasher = self.within_call();
        hasher.write(text);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }

    /// A hasher that takes a fifth of the time of SipHash. Who does not know its seed, and sees none of its hashes, finds no two texts that collide;
    /// should two do, the call of whoever wrote them all is misread.
    #[inline(always)]
    fn within_call(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(half(self.octets, 8), &self.within_call)
    }

    fn whole(&self, text: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.octets).hash(text)
    }
}

/// Eight octets as a number.
#[expect(clippy::cast_possible_truncation, reason = "the half is what is wanted")]
const fn half(octets: [u8; 16], from: u32) -> u64 {
    (u128::from_le_bytes(octets) >> (from * 8)) as u64
}

/// What is hashed at once. That takes fewer instructions than part by part, with the copy; longer texts are rare.
type Text = ArrayVec<u8, 192>;

/// Puts the parts together; false if there is no room for them.
#[inline(always)]
fn gather(text: &mut Text, parts: [&[u8]; 3]) -> bool {
    parts.iter().all(|part| text.try_extend_from_slice(part).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches hashes that another version of the same [`HASHES`] does not make, which hashes part by part.
    #[test]
    fn as_part_by_part() {
        let keys = HashKey::of([7; 16]);
        let half = |parts: &[&[u8]]| {
            let mut hasher = SipHasher13::new_with_key(&keys.octets);
            parts.iter().for_each(|part| hasher.write(part));
            hasher.finish()
        };
        for length in [0, 1, 7, 8, 9, 100, 174, 175, 176, 190, 191, 192, 193, 1000] {
            let (one, other) = (vec![b'a'; length], b"b");
            let mut whole = SipHasher13Of128::new_with_key(&keys.octets);
            whole.write(&one);
            whole.write(&[0xFF, b'b']);
            assert_eq!(keys.leg(&one, other), whole.finish128().as_u128());
            let counted = half(&[&length.to_le_bytes(), &one, &1_usize.to_le_bytes(), other]);
            assert_eq!(keys.text([&one[..], other]), counted);
            assert_eq!(keys.short_text([&one[..], other]), counted);
        }
        let contact = Contact::of(b"sip:a@10.0.0.1:5060").expect("a contact");
        assert_eq!(keys.contact(&contact), half(&[contact.as_str().as_bytes()]));
    }

    /// Catches a part of the key that does not count, one that counts and must not, and a secret that changes nothing.
    #[test]
    fn what_tells_hops_apart() {
        let via = |branch: &'static str, sent_by: &'static str, value: &'static str| Via {
            sent_by: sent_by.as_bytes(),
            branch: Some(branch.as_bytes()),
            value: value.as_bytes(),
        };
        let keys = HashKey::of([7; 16]);
        let one = keys.hop(&via("z9hG4bK1", "h:5060", "x"));
        assert_eq!(
            one,
            keys.hop(&via("z9hG4bK1", "h:5060", "y")),
            "received and the like do not count"
        );
        for other in [
            via("z9hG4bK2", "h:5060", "x"),
            via("z9hG4bK1", "h:5061", "x"),
            via("z9hG4bK1h", ":5060", "x"),
            via("1", "h:5060", "x"),
        ] {
            assert_ne!(one, keys.hop(&other), "{other:?}");
        }
        assert_ne!(
            keys.hop(&via("1", "h", "x")),
            keys.hop(&via("1", "h", "y")),
            "no cookie"
        );
        assert_eq!(
            keys.hop(&via("z9hG4bK", "h", "x")),
            keys.hop(&via("1", "i", "x")),
            "no cookie"
        );
        assert_ne!(keys.short(b"a"), keys.short(b"b"));
        for half in [0, 8] {
            let mut octets = [7; 16];
            octets[half] = 8;
            let others = HashKey::of(octets);
            assert_ne!(one, others.hop(&via("z9hG4bK1", "h:5060", "x")));
            assert_ne!(keys.short(b"a"), others.short(b"a"));
        }
    }
}

//! Keyed hashes of wire text: who cannot know the key cannot make two texts collide (HashDoS).

use std::hash::Hasher;

use arrayvec::ArrayVec;
use ringtap_identity::Contact;
use ringtap_sip::Via;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13Of128};

/// How texts are hashed; another word with any change of it. Hashes of two processes can be compared if they have this and the key in common.
pub const HASHES: &str = "siphash-1-3/1";

/// The secret of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey([u8; 16]);

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
        Self(key)
    }

    /// The secret of another process.
    pub(crate) const fn of(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// For another process that is to hash alike.
    pub(crate) const fn octets(&self) -> [u8; 16] {
        self.0
    }

    /// The key of the leg with this Call-ID and tag (semantics.md K1; compared byte by byte, RFC 3261 §8.1.1.4).
    pub(crate) fn leg(&self, call_id: &[u8], tag: &[u8]) -> LegKey {
        // 0xFF stands in no Call-ID that is text, so no other split gives the same bytes.
        let parts = [call_id, &[0xFF], tag];
        let mut text = Text::new();
        let hash = if gather(&mut text, parts) {
            SipHasher13Of128::new_with_key(&self.0).hash(&text)
        } else {
            let mut hasher = SipHasher13Of128::new_with_key(&self.0);
            parts.into_iter().for_each(|part| hasher.write(part));
            hasher.finish128()
        };
        hash.as_u128()
    }

    /// The hop transaction's key: top Via branch and sent-by (RFC 3261 §17.2.3). A branch without the
    /// magic cookie does not have to be unique, so there the whole value counts.
    pub(crate) fn hop(&self, via: &Via<'_>) -> u64 {
        let hash = match via.branch {
            Some(branch) if via.has_cookie() => self.parts([branch, &[0xFF], via.sent_by]),
            _ => self.whole(via.value),
        };
        hash.max(1)
    }

    /// 64 bits of a contact; never 0.
    pub(crate) fn contact(&self, contact: &Contact) -> u64 {
        self.whole(contact.as_str().as_bytes()).max(1)
    }

    /// 64 bits of a text made of parts, told apart by their lengths.
    pub(crate) fn text<'t>(&self, parts: impl IntoIterator<Item = &'t [u8]>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
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

    /// 32 bits of a short text that is only compared within one leg (To-tags, contacts); never 0.
    pub(crate) fn short(&self, text: &[u8]) -> u32 {
        let [a, b, c, d, ..] = self.whole(text).to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }

    fn parts(&self, parts: [&[u8]; 3]) -> u64 {
        let mut text = Text::new();
        if gather(&mut text, parts) {
            return self.whole(&text);
        }
        let mut hasher = SipHasher13::new_with_key(&self.0);
        parts.into_iter().for_each(|part| hasher.write(part));
        hasher.finish()
    }

    fn whole(&self, text: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.0).hash(text)
    }
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
            let mut hasher = SipHasher13::new_with_key(&keys.0);
            parts.iter().for_each(|part| hasher.write(part));
            hasher.finish()
        };
        for length in [0, 1, 7, 8, 9, 100, 174, 175, 176, 190, 191, 192, 193, 1000] {
            let (one, other) = (vec![b'a'; length], b"b");
            let mut whole = SipHasher13Of128::new_with_key(&keys.0);
            whole.write(&one);
            whole.write(&[0xFF, b'b']);
            assert_eq!(keys.leg(&one, other), whole.finish128().as_u128());
            let counted = half(&[&length.to_le_bytes(), &one, &1_usize.to_le_bytes(), other]);
            assert_eq!(keys.text([&one[..], other]), counted);
            assert_eq!(keys.short_text([&one[..], other]), counted);
            let [a, b, c, d, ..] = half(&[&one]).to_le_bytes();
            assert_eq!(keys.short(&one), u32::from_le_bytes([a, b, c, d]));
            let branch = [b"z9hG4bK", &one[..]].concat();
            let mut via = Via {
                sent_by: other,
                branch: Some(&branch),
                value: &one,
            };
            let is_unique = length > 0;
            assert_eq!(via.has_cookie(), is_unique);
            let unique = half(&[&branch, &[0xFF], other]);
            assert_eq!(keys.hop(&via), if is_unique { unique } else { half(&[&one]) });
            via.branch = Some(b"1");
            assert_eq!(keys.hop(&via), half(&[&one]));
        }
        let contact = Contact::of(b"sip:a@10.0.0.1:5060").expect("a contact");
        assert_eq!(keys.contact(&contact), half(&[contact.as_str().as_bytes()]));
    }
}

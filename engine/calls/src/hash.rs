//! Keyed hashes of wire text: who cannot know the key cannot make two texts collide (HashDoS).

use std::hash::Hasher;

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
        let mut hasher = SipHasher13Of128::new_with_key(&self.0);
        hasher.write(call_id);
        // 0xFF stands in no Call-ID that is text, so no other split gives the same bytes.
        hasher.write_u8(0xFF);
        hasher.write(tag);
        hasher.finish128().as_u128()
    }

    /// The hop transaction's key: top Via branch and sent-by (RFC 3261 §17.2.3). A branch without the
    /// magic cookie does not have to be unique, so there the whole value counts.
    pub(crate) fn hop(&self, via: &Via<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        match via.branch {
            Some(branch) if via.has_cookie() => {
                hasher.write(branch);
                hasher.write_u8(0xFF);
                hasher.write(via.sent_by);
            }
            _ => hasher.write(via.value),
        }
        hasher.finish().max(1)
    }

    /// 64 bits of a contact; never 0.
    pub(crate) fn contact(&self, contact: &Contact) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(contact.as_str().as_bytes());
        hasher.finish().max(1)
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

    /// 32 bits of a short text that is only compared within one leg (To-tags, contacts); never 0.
    pub(crate) fn short(&self, text: &[u8]) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(text);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }
}

//! How the walk reads a frame, whatever holds it.

/// Bytes of one frame. Every read is checked: `None` means that the frame ends before.
///
/// A header is read in one piece, as an array: the XDP program calls the kernel for each read, because without
/// CAP_PERFMON no program may read a packet at an offset that it computed.
pub trait Octets {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// The bytes from `at` on.
    fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// The byte at `at`.
    #[inline(always)]
    fn u8_at(&self, at: usize) -> Option<u8> {
        self.chunk(at).map(|[byte]| byte)
    }

    /// The two bytes at `at`, in network order.
    #[inline(always)]
    fn be16_at(&self, at: usize) -> Option<u16> {
        self.chunk(at).map(u16::from_be_bytes)
    }

    /// Whether there are at least `len` bytes, more than none. In the kernel that is cheaper than to ask how many.
    #[inline(always)]
    fn reaches(&self, len: usize) -> bool {
        self.u8_at(len - 1).is_some()
    }

    /// `position`, as it is. In the kernel, its verifier knows nothing of the result but that it is some position:
    /// ways through the headers which differ in nothing else are one way from there on. Else it would follow
    /// each of them to its end, and give up.
    #[inline(always)]
    fn position(&self, position: usize) -> usize {
        position
    }

    /// `then`, given this frame and what is `known` of it. In the kernel, its verifier knows nothing of either from here on:
    /// it follows what comes then once, and not once more for each way that leads to it.
    #[inline(always)]
    fn afresh<const N: usize, T>(&self, known: [usize; N], then: impl FnOnce(&Self, [usize; N]) -> T) -> T {
        then(self, known)
    }

    /// Whether there are none.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Octets for [u8] {
    #[inline(always)]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline(always)]
    fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Octets;

    /// Catches a read over the end and a wrong byte order.
    #[test]
    fn reads_stop_at_the_end() {
        let bytes: &[u8] = &[1, 2, 3, 4, 5];
        assert_eq!(bytes.u8_at(4), Some(5));
        assert_eq!(bytes.u8_at(5), None);
        assert_eq!(bytes.be16_at(3), Some(0x0405));
        assert_eq!(bytes.be16_at(4), None);
        assert_eq!(bytes.chunk(1), Some([2, 3, 4, 5]));
        assert_eq!(bytes.chunk::<4>(2), None);
        assert_eq!(bytes.chunk(5), Some([]));
        assert_eq!(bytes.be16_at(usize::MAX), None);
    }
}

//! How the walk reads a frame, whatever holds it.

/// Bytes of one frame. Every read is checked: `None` means that the frame ends before.
///
/// Implementations must be `#[inline(always)]` where an eBPF program uses them: the verifier has to
/// see the comparison with the end of the packet beside the load.
pub trait Octets {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// The byte at `at`.
    fn u8_at(&self, at: usize) -> Option<u8>;

    /// The two bytes at `at`, in network order.
    fn be16_at(&self, at: usize) -> Option<u16>;

    /// The four bytes at `at`, in network order.
    fn be32_at(&self, at: usize) -> Option<u32>;

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
    fn u8_at(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }

    #[inline(always)]
    fn be16_at(&self, at: usize) -> Option<u16> {
        self.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    #[inline(always)]
    fn be32_at(&self, at: usize) -> Option<u32> {
        self.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
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
        assert_eq!(bytes.be32_at(1), Some(0x0203_0405));
        assert_eq!(bytes.be32_at(2), None);
        assert_eq!(bytes.be16_at(usize::MAX), None);
    }
}

//! Short numbers read at once.

/// A number of one to seven digits at the start of a word, and how many digits it has; `None` if it has none, or
/// more.
#[inline(always)]
pub(crate) const fn number_in_word(octets: [u8; 8]) -> Option<(u32, usize)> {
    const LOWS: u64 = 0x0000_00ff_0000_00ff;
    // Each digit's value in its octet; in those of no digit ten or more, which the addition brings to the top bit.
    let values = u64::from_le_bytes(octets) ^ u64::from_le_bytes([b'0'; 8]);
    let others =
        (values.wrapping_add(u64::from_le_bytes([0x76; 8])) | values) & u64::from_le_bytes([0x80; 8]);
    let bits = others.trailing_zeros() & !7;
    if bits == 0 || bits == 64 {
        return None;
    }
    // Zeros before the digits, as if there were eight; then pairs of digits, then all four pairs, the last in the top octet.
    let values = values << (64 - bits);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let even = (pairs & LOWS).wrapping_mul(100 + (1_000_000 << 32));
    let odd = (pairs >> 16 & LOWS).wrapping_mul(1 + (10_000 << 32));
    let [_, _, _, _, number @ ..] = even.wrapping_add(odd).to_le_bytes();
    Some((u32::from_le_bytes(number), bits as usize / 8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Catches digits read in the wrong place, and octets near the digits taken for some.
        #[test]
        fn same_as_the_library(
            number in 0..100_000_000u32,
            zeros in 0..3usize,
            end in prop_oneof![Just(b' '), Just(b'/'), Just(b':'), any::<u8>()],
            rest in any::<[u8; 8]>(),
        ) {
            prop_assume!(!end.is_ascii_digit());
            let digits = format!("{}{number}", "0".repeat(zeros));
            let text = [digits.as_bytes(), &[end], &rest].concat();
            let wanted = (digits.len() < 8).then_some((number, digits.len()));
            prop_assert_eq!(number_in_word(*text.first_chunk().unwrap()), wanted);
            prop_assert_eq!(number_in_word([end, b'1', b'2', b' ', b'3', b'4', b'5', b'6']), None);
        }
    }
}

//! The set of ports that are taken as SIP.

const WORD_BITS: usize = 64;
const WORDS: usize = 65536 / WORD_BITS;

/// Set of transport ports: one bit each, 8 KiB in all, so that a lookup is one load whatever the set.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    words: [u64; WORDS],
}

impl PortSet {
    /// How many words of 64 bits hold it.
    pub const WORDS: usize = WORDS;

    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// Adds `port`.
    pub fn insert(&mut self, port: u16) {
        let (word, bit) = Self::place(port);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    /// Takes `port` out.
    pub fn remove(&mut self, port: u16) {
        let (word, bit) = Self::place(port);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether `port` is in the set.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let (word, bit) = Self::place(port);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether no port is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Where a port stands in [`words`](Self::words): which word, and which bit of it.
    #[inline(always)]
    #[must_use]
    pub const fn place(port: u16) -> (usize, u64) {
        let port = port as usize;
        (port / WORD_BITS, 1 << (port % WORD_BITS))
    }

    /// The bitmap as a BPF array map holds it: bit `port % 64` of word `port / 64`.
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<u16> for PortSet {
    fn extend<I: IntoIterator<Item = u16>>(&mut self, ports: I) {
        for port in ports {
            self.insert(port);
        }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut set = Self::new();
        set.extend(ports);
        set
    }
}

impl core::fmt::Debug for PortSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set()
            .entries((0..=u16::MAX).filter(|port| self.contains(*port)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::PortSet;

    /// Catches a wrong word or bit: for each port alone, only that port is in.
    #[test]
    fn holds_exactly_what_was_put_in() {
        let mut set = PortSet::new();
        for port in [0, 1, 63, 64, 5060, 32768, 65534, 65535] {
            set.insert(port);
            for other in 0..=u16::MAX {
                assert_eq!(set.contains(other), other == port, "{other} after {port}");
            }
            set.remove(port);
            assert!(set.is_empty());
        }
        let set: PortSet = [5060, 5062].into_iter().collect();
        assert!(set.contains(5060) && set.contains(5062) && !set.contains(5061));
    }
}

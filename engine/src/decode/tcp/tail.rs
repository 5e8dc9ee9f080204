//! The unfinished end of what came of a stream, and buffers that are used again.

use ringtap_record::Time;

/// Buffers that nobody uses at the moment, so that a stream in its steady state allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// Most memory in buffers that nobody uses.
const SPARE_BYTES_MAX: usize = 256 * 1024;
/// A larger one is not worth keeping: few messages need it.
const BUFFER_BYTES_MAX: usize = 8 * 1024;
/// And most of them.
const SPARE_MAX: usize = 64;

impl Spare {
    /// An empty buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// A buffer is not needed any more.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = self.bytes + buffer.capacity();
        if (1..=BUFFER_BYTES_MAX).contains(&buffer.capacity())
            && bytes <= SPARE_BYTES_MAX
            && self.buffers.len() < SPARE_MAX
        {
            buffer.clear();
            self.bytes = bytes;
            self.buffers.push(buffer);
        }
    }

    /// Memory that they take.
    pub(super) const fn held_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Octets of a stream that were copied because they do not make sense yet.
#[derive(Debug)]
pub(super) struct Tail {
    octets: Vec<u8>,
    /// Those before this are dealt with.
    from: usize,
    /// When the first of them was captured.
    time: Time,
    #[cfg(test)]
    pub(super) moved_bytes: usize,
}

impl Tail {
    pub(super) const fn new() -> Self {
        Self {
            octets: Vec::new(),
            from: 0,
            time: Time::MIN,
            #[cfg(test)]
            moved_bytes: 0,
        }
    }

    /// When its beginning was captured.
    pub(super) const fn time(&self) -> Time {
        self.time
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(self.from..).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.octets.len() - self.from
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it takes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.octets.capacity()
    }

    /// Begins anew.
    pub(super) fn begin(&mut self, octets: &[u8], time: Time, spare: &mut Spare) {
        if self.octets.capacity() == 0 {
            self.octets = spare.take();
        }
        self.octets.clear();
        self.octets.extend_from_slice(octets);
        self.from = 0;
        self.time = time;
    }

    /// Adds octets of another segment.
    pub(super) fn extend(&mut self, octets: &[u8]) {
        if self.from > 0 && !octets.is_empty() {
            #[cfg(test)]
            {
                self.moved_bytes += self.len();
            }
            self.octets.drain(..self.from);
            self.from = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// Drops octets from the beginning, but not all.
    pub(super) fn drop_first(&mut self, octets: usize) {
        self.from = (self.from + octets).min(self.octets.len());
    }

    /// Drops all.
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        spare.give(std::mem::take(&mut self.octets));
        self.from = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a pool in which a few large buffers take all the room, and one that keeps none.
    #[test]
    fn large_buffers_are_not_kept() {
        let mut spare = Spare::default();
        spare.give(Vec::with_capacity(BUFFER_BYTES_MAX + 1));
        assert_eq!(spare.held_bytes(), 0);
        spare.give(Vec::with_capacity(BUFFER_BYTES_MAX));
        assert_eq!(spare.take().capacity(), BUFFER_BYTES_MAX);
    }
}

//! Things at numbered places that they keep. It grows by blocks: nothing is ever moved, and no more than a block stands empty that was
//! never used.

/// A number of a place.
pub(super) type Slot = u32;

/// Octets of a block: hardly less than 64 KiB, of which allocators have blocks of just this size.
const BLOCK_OCTETS: usize = 65_536 - 16;

/// Numbered places.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    blocks: Vec<Vec<Option<T>>>,
    free: Vec<Slot>,
    /// The first number that was never given.
    next: Slot,
}

impl<T> Blocks<T> {
    /// Places of a block.
    const BLOCK: usize = BLOCK_OCTETS / size_of::<Option<T>>();

    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// How many places are taken, those counted that are given and empty.
    pub(super) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::len);
        let before = self.blocks.len().saturating_sub(1) * Self::BLOCK;
        before + last - self.free.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        let (block, at) = Self::place_of(slot)?;
        self.blocks.get(block)?.get(at)?.as_ref()
    }

    /// The place with this number, whatever stands there.
    pub(super) fn place(&mut self, slot: Slot) -> Option<&mut Option<T>> {
        let (block, at) = Self::place_of(slot)?;
        self.blocks.get_mut(block)?.get_mut(at)
    }

    /// Gives a place, which is empty.
    pub(super) fn give(&mut self) -> Slot {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        match self.blocks.last_mut() {
            Some(last) if last.len() < Self::BLOCK => last.push(None),
            _ => {
                let mut block = Vec::with_capacity(Self::BLOCK);
                block.push(None);
                self.blocks.push(block);
            }
        }
        let slot = self.next;
        self.next += 1;
        slot
    }

    /// Takes a place back, which is empty.
    pub(super) fn take_back(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// All things with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let places = self.blocks.iter().flatten();
        (0..)
            .zip(places)
            .filter_map(|(slot, thing)| Some((slot, thing.as_ref()?)))
    }

    fn place_of(slot: Slot) -> Option<(usize, usize)> {
        let slot = usize::try_from(slot).ok()?;
        Some((slot / Self::BLOCK, slot % Self::BLOCK))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Catches a place given twice, a thing lost where a block ends, and a wrong count, against a sorted map.
    #[test]
    fn as_a_map_by_number() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut blocks, mut map) = (Blocks::new(), BTreeMap::new());
        for step in 0..20_000_u64 {
            if random.u8(0..3) == 0 && !map.is_empty() {
                let nth = random.usize(0..map.len());
                let (slot, thing) = map.iter().nth(nth).map(|(slot, thing)| (*slot, *thing)).unwrap();
                assert_eq!(blocks.place(slot).and_then(Option::take), Some(thing));
                blocks.take_back(slot);
                map.remove(&slot);
            } else {
                let slot = blocks.give();
                *blocks.place(slot).unwrap() = Some(step);
                assert_eq!(map.insert(slot, step), None, "given twice");
            }
        }
        assert!(map.len() > Blocks::<u64>::BLOCK);
        assert_eq!(blocks.len(), map.len());
        assert!(blocks.iter().map(|(slot, thing)| (slot, *thing)).eq(map.clone()));
        assert!(map.iter().all(|(slot, thing)| blocks.get(*slot) == Some(thing)));
    }
}

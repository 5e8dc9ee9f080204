//! Holes that were given up, for what belongs there may come after all: late, or because whatever was ahead of it had
//! nothing to do with the stream (one damaged or forged segment).

use super::ahead::distance;

/// How many are remembered: of more the shortest is forgotten, for it hides the least.
const HOLES_MAX: usize = 8;

/// Sequence numbers of which nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: u32,
    /// The first behind it.
    pub(super) to: u32,
}

impl Hole {
    const fn len(self) -> u32 {
        self.to.wrapping_sub(self.from)
    }

    const fn contains(self, at: u32) -> bool {
        at.wrapping_sub(self.from) < self.len()
    }
}

/// The holes of one stream.
#[derive(Debug, Default)]
pub(super) struct Holes {
    list: Vec<Hole>,
}

impl Holes {
    /// Memory that is taken.
    pub(super) const fn held_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Hole>()
    }

    /// Nothing has come of these.
    pub(super) fn add(&mut self, hole: Hole) {
        if hole.len() == 0 {
            return;
        }
        if self.list.len() >= HOLES_MAX {
            let lens = self.list.iter().map(|hole| hole.len()).enumerate();
            if let Some((shortest, _)) = lens.min_by_key(|(_, len)| *len) {
                self.list.remove(shortest);
            }
        }
        if self.list.capacity() == 0 {
            self.list.reserve_exact(HOLES_MAX);
        }
        self.list.push(hole);
    }

    /// The hole that this lies in.
    pub(super) fn find(&self, at: u32) -> Option<Hole> {
        self.list.iter().copied().find(|hole| hole.contains(at))
    }

    /// What lies between these is not missing any more.
    pub(super) fn fill(&mut self, hole: Hole, from: u32, to: u32) {
        self.list.retain(|other| *other != hole);
        self.add(Hole {
            from: hole.from,
            to: from,
        });
        self.add(Hole {
            from: to,
            to: hole.to,
        });
    }

    /// The stream goes on at `next`. What is further than `window` from there is forgotten, before sequence numbers come
    /// round to it.
    pub(super) fn note_in_order(&mut self, next: u32, window: usize) {
        self.list
            .retain(|hole| distance(next, hole.to) <= window || distance(hole.to, next) <= window);
    }
}

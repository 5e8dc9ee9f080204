//! Holes in a run of numbers that were given up, for what belongs there may come after all: late, or because whatever was
//! ahead of it had nothing to do with the rest (one damaged or forged number).
//!
//! Numbers wrap: sequence numbers of TCP (RFC 9293 §3.4) and TSNs of SCTP (RFC 9260 §1.6). The holes are in order and do not touch.

/// How many are remembered: of more the shortest is forgotten, for it hides the least.
const HOLES_MAX: usize = 32;

/// Numbers of which nothing came.
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
}

/// Those of one stream, in order.
#[derive(Debug, Default)]
pub(super) struct Holes {
    list: Vec<Hole>,
}

impl Holes {
    /// Memory that is taken.
    pub(super) const fn held_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Hole>()
    }

    /// Nothing has come of these, which are behind all others.
    pub(super) fn add(&mut self, hole: Hole) {
        match self.list.last_mut() {
            _ if hole.len() == 0 => {}
            Some(last) if last.to == hole.from => last.to = hole.to,
            _ => self.insert(self.list.len(), hole),
        }
    }

    /// Nothing has come of these, which are before all others.
    pub(super) fn add_before(&mut self, hole: Hole) {
        match self.list.first_mut() {
            Some(first) if first.from == hole.to => first.from = hole.from,
            _ => self.insert(0, hole),
        }
    }

    /// The first part of a hole that lies between these, and whether that hole ends with it. It is not missing any more.
    pub(super) fn take(&mut self, from: u32, to: u32) -> Option<(Hole, bool)> {
        for at in 0..self.list.len() {
            let hole = *self.list.get(at)?;
            let part = Hole {
                from: later(hole.from, from),
                to: earlier(hole.to, to),
            };
            if is_ahead(part.from, part.to) {
                self.list.remove(at);
                let before = Hole {
                    to: part.from,
                    ..hole
                };
                let behind = Hole {
                    from: part.to,
                    ..hole
                };
                for rest in [behind, before] {
                    if rest.len() > 0 {
                        self.insert(at, rest);
                    }
                }
                return Some((part, behind.len() == 0));
            }
        }
        None
    }

    /// The last of them.
    pub(super) fn last(&self) -> Option<Hole> {
        self.list.last().copied()
    }

    /// Nothing from `end` on is missing any more, for it is still to come.
    pub(super) fn cut_off(&mut self, end: u32) {
        self.list.retain(|hole| is_ahead(hole.from, end));
        if let Some(last) = self.list.last_mut() {
            last.to = earlier(last.to, end);
        }
    }

    /// What is further than `window` before `next` is forgotten, before numbers come round to it.
    pub(super) fn forget(&mut self, next: u32, window: usize) {
        self.list.retain(|hole| distance(hole.to, next) <= window);
    }

    /// All of them.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Hole> {
        self.list.iter().copied()
    }

    fn insert(&mut self, at: usize, hole: Hole) {
        self.list.insert(at, hole);
        if self.list.len() > HOLES_MAX {
            let lens = self.list.iter().map(|hole| hole.len()).enumerate();
            if let Some((shortest, _)) = lens.min_by_key(|(_, len)| *len) {
                self.list.remove(shortest);
            }
        }
    }
}

/// Whether `at` is behind `from`: half of all numbers are.
pub(super) const fn is_ahead(from: u32, at: u32) -> bool {
    let distance = at.wrapping_sub(from);
    distance > 0 && distance <= u32::MAX / 2
}

/// How far `at` is behind `from`.
pub(super) fn distance(from: u32, at: u32) -> usize {
    usize::try_from(at.wrapping_sub(from)).unwrap_or(usize::MAX)
}

/// The later of two.
pub(super) const fn later(one: u32, other: u32) -> u32 {
    if is_ahead(one, other) { other } else { one }
}

/// The earlier of two.
pub(super) const fn earlier(one: u32, other: u32) -> u32 {
    if is_ahead(one, other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a number that is forgotten or found twice, holes out of order or that touch, and more than are remembered: against a
    /// set of all numbers, over the wrap.
    #[test]
    fn every_number_once() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (base, mut next) = (u32::MAX - 500, 0_u32);
            let place = |at: u32| base.wrapping_add(at);
            let mut holes = Holes::default();
            let mut missing = std::collections::BTreeSet::new();
            for _ in 0..60 {
                match random.u8(0..4) {
                    0 if holes.list.len() < HOLES_MAX - 1 => {
                        let to = next + random.u32(0..60);
                        holes.add(Hole {
                            from: place(next),
                            to: place(to),
                        });
                        missing.extend(next..to);
                        next = to;
                    }
                    1 if random.u8(0..5) == 0 => {
                        next -= random.u32(0..=next.min(50));
                        holes.cut_off(place(next));
                        missing.retain(|at| *at < next);
                    }
                    1 => next += random.u32(0..30),
                    _ if holes.list.len() < HOLES_MAX => {
                        let from = random.u32(0..=next);
                        let to = random.u32(from..=next);
                        let found = holes.take(place(from), place(to)).map(|(part, _)| part);
                        let first = missing.range(from..to).next().copied();
                        assert_eq!(found.map(|part| part.from), first.map(place), "seed {seed}");
                        for at in found.map_or(0..0, |part| 0..part.len()) {
                            assert!(missing.remove(&(first.unwrap() + at)), "seed {seed}");
                        }
                    }
                    _ => {}
                }
                let listed = holes
                    .iter()
                    .flat_map(|hole| (0..hole.len()).map(move |at| (hole, at)));
                let listed = listed.map(|(hole, at)| hole.from.wrapping_add(at));
                assert!(listed.eq(missing.iter().map(|at| place(*at))), "seed {seed}");
                assert!(
                    holes
                        .list
                        .windows(2)
                        .all(|pair| is_ahead(pair[0].to, pair[1].from))
                );
            }
        }
    }

    /// Catches a long hole that is forgotten for short ones, and more memory than for a few.
    #[test]
    fn the_longest_are_remembered() {
        let mut holes = Holes::default();
        holes.add(Hole { from: 0, to: 1000 });
        for at in 1..100 {
            let from = 1000 + 10 * at;
            holes.add(Hole { from, to: from + 1 });
        }
        assert!(holes.take(400, 401).is_some());
        assert_eq!(holes.iter().next(), Some(Hole { from: 0, to: 400 }));
        assert_eq!(holes.list.len(), HOLES_MAX);
        assert!(holes.list.capacity() <= 2 * HOLES_MAX);
    }
}

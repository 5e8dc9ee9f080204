//! Hashes to numbers, several under one hash, in eight octets each.
//!
//! Of every open leg there are some three entries, so their size and the lines of the cache that a search touches decide. Entries stand in
//! the order of their tags, each at its home or as near behind it as there is room (linear probing in order: Amble and Knuth,
//! "Ordered hash tables", 1974): those of one hash are neighbours, a search ends where a greater tag stands, nothing is marked
//! as gone, and a table that grows is copied from front to back, by a quarter instead of to its double. There are several
//! parts, so that a growing one keeps nobody waiting for long. `hashbrown` would take 9 octets an entry, stand half empty after
//! each growth, and hold no hash twice.

use std::ops::Range;

/// Parts of a map; a power of two.
const PARTS: usize = 64;
/// A part grows when more than so many of its homes are taken, by one in so many.
const FULL: (usize, usize) = (5, 6);
const GROWTH: usize = 4;
/// All parts together take half a MiB before they grow: what thousands of calls need, at a load at which hardly anything has to make room. Tests
/// are to see them grow.
const HOMES_MIN: usize = if cfg!(test) { 16 } else { 1024 };
/// Cells behind the last home, for whom there is no room before; as many more once they are taken.
const BEHIND: usize = 32;

/// An entry: bits of a hash, and what stands under it. Two hashes of 38 equal bits are one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    tag: u32,
    number: u32,
}

impl Cell {
    /// Its tag is none below another, so that a search ends here.
    const FREE: Self = Self {
        tag: u32::MAX,
        number: NUMBERS,
    };

    pub(super) const fn number(self) -> u32 {
        self.number
    }

    const fn is_free(self) -> bool {
        self.number == NUMBERS
    }
}

/// Numbers are below this one.
pub(super) const NUMBERS: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
struct Part {
    /// As many as there are homes, and some behind.
    cells: Vec<Cell>,
    homes: usize,
    taken: usize,
}

/// Where the entries of a hash stand, or would.
#[derive(Clone, Debug)]
pub(super) struct Run {
    part: usize,
    tag: u32,
    cells: Range<usize>,
}

/// The map.
#[derive(Debug)]
pub(super) struct Multimap {
    parts: Box<[Part; PARTS]>,
}

impl Multimap {
    pub(super) fn new() -> Self {
        Self {
            parts: Box::new(std::array::from_fn(|_| Part::default())),
        }
    }

    pub(super) fn clear(&mut self) {
        self.parts.fill(Part::default());
    }

    /// Looks up a hash. What it gives holds until something is put in or taken out.
    pub(super) fn find(&self, hash: u64) -> Run {
        let (part, tag) = place(hash);
        let cells = self.parts.get(part).map_or(0..0, |of| of.find(tag));
        Run { part, tag, cells }
    }

    /// Adds a number if none stands under this hash yet, as is so nearly always.
    #[inline]
    pub(super) fn push_first(&mut self, hash: u64, number: u32) -> bool {
        let (part, tag) = place(hash);
        let part = self.parts.get_mut(part);
        part.is_some_and(|part| part.push_first(tag, number))
    }

    /// Takes out what stands under this hash if that is this number and no other; whether it was so. Nothing is what stands there where
    /// nothing does.
    #[inline]
    pub(super) fn remove_only(&mut self, hash: u64, number: u32) -> bool {
        let (part, tag) = place(hash);
        let part = self.parts.get_mut(part);
        part.is_some_and(|part| part.remove_only(tag, number))
    }

    /// The entries of a run, the latest last.
    pub(super) fn cells(&self, run: &Run) -> &[Cell] {
        let part = self.parts.get(run.part);
        let cells = part.and_then(|part| part.cells.get(run.cells.clone()));
        cells.unwrap_or_default()
    }

    /// Adds a number to a run.
    pub(super) fn push(&mut self, run: &Run, number: u32) {
        if let Some(part) = self.parts.get_mut(run.part) {
            part.insert(run.tag, run.cells.end, number);
        }
    }

    /// Takes the number at a place of a run out.
    pub(super) fn remove(&mut self, run: &Run, at: usize) {
        let at = run.cells.start + at;
        if let Some(part) = self.parts.get_mut(run.part)
            && run.cells.contains(&at)
        {
            part.remove(at);
        }
    }

    /// Has one number stand for all of a run, which is not empty.
    pub(super) fn replace(&mut self, run: &Run, number: u32) {
        let Some(part) = self.parts.get_mut(run.part) else {
            return;
        };
        for at in run.cells.clone().skip(1).rev() {
            part.remove(at);
        }
        if let Some(cell) = part.cells.get_mut(run.cells.start) {
            cell.number = number;
        }
    }
}

/// In which part a hash stands, and its tag.
const fn place(hash: u64) -> (usize, u32) {
    // All bits take part, wherever those stand that differ.
    let spread = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let [a, b, c, d, e, ..] = spread.to_be_bytes();
    (a as usize % PARTS, u32::from_be_bytes([b, c, d, e]))
}

/// Where a tag belongs among so many homes: in the order of tags.
const fn home(tag: u32, homes: usize) -> usize {
    ((tag as u64 * homes as u64) >> 32) as usize
}

impl Part {
    /// Where the first entry stands that is none of a smaller tag, or would.
    #[inline]
    fn first(&self, tag: u32) -> usize {
        let mut at = home(tag, self.homes);
        while self.cells.get(at).is_some_and(|cell| cell.tag < tag) {
            at += 1;
        }
        at
    }

    fn has(&self, tag: u32, at: usize) -> bool {
        let cell = self.cells.get(at);
        cell.is_some_and(|cell| cell.tag == tag && !cell.is_free())
    }

    fn find(&self, tag: u32) -> Range<usize> {
        let first = self.first(tag);
        let mut end = first;
        while self.has(tag, end) {
            end += 1;
        }
        first..end
    }

    fn push_first(&mut self, tag: u32, number: u32) -> bool {
        let at = self.first(tag);
        if self.has(tag, at) {
            return false;
        }
        self.insert(tag, at, number);
        true
    }

    fn remove_only(&mut self, tag: u32, number: u32) -> bool {
        let at = self.first(tag);
        if !self.has(tag, at) {
            return true;
        }
        let is_it = self.cells.get(at).is_some_and(|cell| cell.number == number);
        let is_only = is_it && !self.has(tag, at + 1);
        if is_only {
            self.remove(at);
        }
        is_only
    }

    /// Puts an entry before whatever stands at `at`, where its run ends.
    fn insert(&mut self, tag: u32, mut at: usize, number: u32) {
        if (self.taken + 1) * FULL.1 > self.homes * FULL.0 {
            self.grow();
            at = self.find(tag).end;
        }
        self.taken += 1;
        match self.cells.get_mut(at) {
            Some(cell) if cell.is_free() => *cell = Cell { tag, number },
            _ => self.insert_between(tag, at, number),
        }
    }

    fn insert_between(&mut self, tag: u32, at: usize, number: u32) {
        let behind = self.cells.get(at..).unwrap_or_default();
        let gap = match behind.iter().position(|cell| cell.is_free()) {
            Some(gap) => at + gap,
            None => {
                let end = self.cells.len();
                self.cells.reserve_exact(BEHIND);
                self.cells.resize(end + BEHIND, Cell::FREE);
                end
            }
        };
        self.cells.copy_within(at..gap, at + 1);
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = Cell { tag, number };
        }
    }

    /// Takes an entry out; those behind it that are not at home move up.
    fn remove(&mut self, at: usize) {
        let mut end = at + 1;
        while let Some(cell) = self.cells.get(end)
            && !cell.is_free()
            && home(cell.tag, self.homes) != end
        {
            end += 1;
        }
        if end > at + 1 {
            self.cells.copy_within(at + 1..end, at);
        }
        if let Some(cell) = self.cells.get_mut(end - 1) {
            *cell = Cell::FREE;
            self.taken -= 1;
        }
    }

    /// Puts all entries among more homes, in order.
    fn grow(&mut self) {
        let homes = (self.homes + self.homes / GROWTH).max(HOMES_MIN);
        let mut cells = vec![Cell::FREE; homes + BEHIND];
        let mut next = 0;
        for cell in self.cells.iter().filter(|cell| !cell.is_free()) {
            let at = home(cell.tag, homes).max(next);
            next = at + 1;
            match cells.get_mut(at) {
                Some(place) => *place = *cell,
                // One behind another, so it is the next.
                None => {
                    if cells.len() == cells.capacity() {
                        cells.reserve_exact(BEHIND);
                    }
                    cells.push(*cell);
                }
            }
        }
        (self.cells, self.homes) = (cells, homes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Part {
        /// In order, and each at its home or with no gap between.
        fn assert_sound(&self) {
            let mut last = None;
            for (at, cell) in self.cells.iter().enumerate().filter(|(_, cell)| !cell.is_free()) {
                assert!(last <= Some(cell.tag));
                last = Some(cell.tag);
                let from_home = &self.cells[home(cell.tag, self.homes)..=at];
                assert!(from_home.iter().all(|cell| !cell.is_free()));
            }
        }
    }

    fn numbers(map: &Multimap, hash: u64) -> impl Iterator<Item = u32> {
        map.cells(&map.find(hash)).iter().map(|cell| cell.number)
    }

    /// Catches numbers lost, doubled, out of order or under another hash, over growth and removal, against a sorted map of lists; and entries
    /// that a search would not come to. Hashes are few, many, or crowd at the end of their parts.
    #[test]
    fn as_a_map_of_lists() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut map, mut lists) = (Multimap::new(), BTreeMap::<u64, Vec<u32>>::new());
            let hashes: Vec<u64> = (0..random.usize(1..6000)).map(|_| random.u64(..)).collect();
            // The inverse of what hashes are spread by: these have the greatest tags of one part.
            let last = |n: u64| {
                let product = (u64::MAX - (n << 24)).wrapping_mul(0xF1DE_83E1_9937_733D);
                product ^ product >> 32
            };
            for step in 0..12_000_u32 {
                let hash = match random.u8(0..8) {
                    0 => last(random.u64(0..40)),
                    _ => hashes[random.usize(0..hashes.len())],
                };
                let list = lists.entry(hash).or_default();
                let run = map.find(hash);
                assert!(numbers(&map, hash).eq(list.iter().copied()), "seed {seed}");
                match random.u8(0..10) {
                    0 if list.len() > 1 => {
                        map.replace(&run, step);
                        *list = vec![step];
                    }
                    1 => {
                        let only = list.first().copied().unwrap_or(7);
                        // Another's number first: it takes nothing out.
                        assert_eq!(
                            map.remove_only(hash, u32::MAX - 1),
                            list.is_empty(),
                            "seed {seed}"
                        );
                        assert_eq!(map.remove_only(hash, only), list.len() < 2, "seed {seed}");
                        if list.len() == 1 {
                            list.clear();
                        }
                    }
                    2 => {
                        assert_eq!(map.push_first(hash, step), list.is_empty(), "seed {seed}");
                        if list.is_empty() {
                            list.push(step);
                        }
                    }
                    3..5 if !list.is_empty() => {
                        let at = random.usize(0..list.len());
                        map.remove(&run, at);
                        list.remove(at);
                    }
                    _ if list.len() < 12 => {
                        map.push(&run, step);
                        list.push(step);
                    }
                    _ => {}
                }
            }
            map.parts.iter().for_each(Part::assert_sound);
            let taken: usize = map.parts.iter().map(|part| part.taken).sum();
            assert_eq!(taken, lists.values().map(Vec::len).sum::<usize>(), "seed {seed}");
            for (hash, list) in &lists {
                assert!(numbers(&map, *hash).eq(list.iter().copied()), "seed {seed}");
            }
            map.clear();
            assert_eq!(numbers(&map, hashes[0]).count(), 0);
        }
    }

    /// Catches a map that takes more memory than it says.
    #[test]
    fn eight_octets_an_entry_and_a_half_more_at_most() {
        let (mut map, mut random) = (Multimap::new(), fastrand::Rng::with_seed(1));
        let mut hash = 0;
        for step in 0..300_000 {
            // As many under one hash as there ever are: there is seldom room for all at home.
            if step % 8 == 0 {
                hash = random.u64(..);
            }
            map.push(&map.find(hash), step);
            if step > 100_000 && step % 10_000 == 0 {
                let cells: usize = map.parts.iter().map(|part| part.cells.capacity()).sum();
                assert!(
                    cells * 2 <= usize::try_from(step).unwrap() * 3,
                    "{cells} cells for {step}"
                );
            }
        }
    }
}

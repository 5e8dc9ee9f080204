//! A list that mostly holds one: that one in place, more of them on the heap.

use std::ops::{Deref, DerefMut};

/// Some things in order. As large as one of them, as far as that has values to spare.
#[derive(Clone, Debug)]
pub(crate) enum Few<T> {
    None,
    One(T),
    /// Just as many as there are.
    Many(Box<[T]>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(item),
            Self::One(first) => Self::Many(Box::new([first, item])),
            Self::Many(items) => {
                let mut items = items.into_vec();
                items.reserve_exact(1);
                items.push(item);
                Self::Many(items.into_boxed_slice())
            }
        }
    }

    /// Leaves those out of which `keep` does not hold.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        match self {
            Self::None => {}
            Self::One(item) if keep(item) => {}
            Self::One(_) => *self = Self::None,
            Self::Many(items) => {
                let mut left = std::mem::take(items).into_vec();
                left.retain(keep);
                *items = left.into_boxed_slice();
            }
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(item) => std::slice::from_mut(item),
            Self::Many(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an item lost, doubled or out of order between one and many, against a plain list.
    #[test]
    fn holds_what_a_list_does() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut few, mut list) = (Few::None, Vec::new());
            for _ in 0..20 {
                if random.u8(0..3) == 0 {
                    let least = random.u8(..);
                    few.retain(|item| *item >= least);
                    list.retain(|item| *item >= least);
                } else {
                    let item = random.u8(..);
                    few.push(item);
                    list.push(item);
                }
                if let (Some(item), Some(same)) = (few.last_mut(), list.last_mut()) {
                    (*item, *same) = (item.wrapping_add(1), same.wrapping_add(1));
                }
                assert_eq!(*few, *list, "seed {seed}");
            }
        }
    }
}

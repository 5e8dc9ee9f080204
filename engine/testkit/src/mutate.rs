//! Disturbances for the invariance tests of semantics.md §8.5: copies, jitter, loss, two stories at once.
//!
//! Each takes messages and gives new ones, ordered by time; what is random comes from a seed that the
//! test prints when it fails.

use fastrand::Rng;

use crate::wire::Wire;

/// The second copy of a frame comes after this time, in microseconds.
const COPY_US: i64 = 200;

/// Every frame twice.
#[must_use]
pub fn duplicated(wires: &[Wire]) -> Vec<Wire> {
    let copy = |wire: &Wire| Wire {
        time: wire.time.plus_us(COPY_US),
        ..wire.clone()
    };
    ordered(wires.iter().flat_map(|wire| [wire.clone(), copy(wire)]).collect())
}

/// Each frame later by 0 to `max_us`, which also changes their order.
#[must_use]
pub fn jittered(wires: &[Wire], seed: u64, max_us: u32) -> Vec<Wire> {
    let mut random = Rng::with_seed(seed);
    let mut late = |wire: &Wire| Wire {
        time: wire.time.plus_us(i64::from(random.u32(0..=max_us))),
        ..wire.clone()
    };
    ordered(wires.iter().map(&mut late).collect())
}

/// Without the frame number `lost`.
#[must_use]
pub fn without(wires: &[Wire], lost: usize) -> Vec<Wire> {
    let kept = wires.iter().enumerate().filter(|(index, _)| *index != lost);
    kept.map(|(_, wire)| wire.clone()).collect()
}

/// Each frame is lost with probability `p`, independently of the others.
#[must_use]
pub fn random_loss(wires: &[Wire], seed: u64, p: f64) -> Vec<Wire> {
    let mut random = Rng::with_seed(seed);
    wires.iter().filter(|_| random.f64() >= p).cloned().collect()
}

/// Two stories in one capture, the second later by `offset_us`. Make the second with another salt
/// ([`crate::messages_salted`]), or the two share Call-IDs where they are the same case.
#[must_use]
pub fn interleaved(first: &[Wire], second: &[Wire], offset_us: i64) -> Vec<Wire> {
    let later = second.iter().map(|wire| Wire {
        time: wire.time.plus_us(offset_us),
        ..wire.clone()
    });
    ordered(first.iter().cloned().chain(later).collect())
}

/// The whole story `factor` times as fast, counted from its first message. With the timers shortened alike
/// ([`crate::fixtures::timers_toml`]) it means the same.
#[must_use]
pub fn hastened(wires: &[Wire], factor: u32) -> Vec<Wire> {
    let Some(start) = wires.first().map(|wire| wire.time) else {
        return Vec::new();
    };
    let sooner = |wire: &Wire| Wire {
        time: start.plus_us((wire.time - start) / i64::from(factor)),
        ..wire.clone()
    };
    wires.iter().map(sooner).collect()
}

fn ordered(mut wires: Vec<Wire>) -> Vec<Wire> {
    wires.sort_by_key(|wire| wire.time);
    wires
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wires(id: &str) -> Vec<Wire> {
        crate::messages(&crate::scenario(id).unwrap().cases()[0])
    }

    /// Catches a disturbance that does nothing, loses the order of time or is not repeatable.
    #[test]
    fn each_does_what_it_says() {
        let calm = wires("S01");
        let sorted = |wires: &[Wire]| wires.is_sorted_by_key(|wire| wire.time);

        let twice = duplicated(&calm);
        assert_eq!(twice.len(), 2 * calm.len());
        assert!(sorted(&twice));

        let jumbled = jittered(&calm, 7, 50_000);
        assert_eq!(jumbled, jittered(&calm, 7, 50_000));
        assert_ne!(jumbled, jittered(&calm, 8, 50_000));
        assert!(sorted(&jumbled) && jumbled.len() == calm.len());
        let labels = |wires: &[Wire]| wires.iter().map(|wire| wire.label.clone()).collect::<Vec<_>>();
        assert_ne!(labels(&jumbled), labels(&calm));

        assert_eq!(without(&calm, 3).len(), calm.len() - 1);
        assert!(!without(&calm, 3).contains(&calm[3]));
        assert_eq!(random_loss(&calm, 1, 0.0), calm);
        assert!(random_loss(&calm, 1, 1.0).is_empty());

        let both = interleaved(&calm, &wires("S02"), 1_300_000);
        assert!(sorted(&both));
        assert_eq!(both.len(), calm.len() + wires("S02").len());
    }
}

//! What forged numbers, and leaps that are real, do to a live association: they deafen and repeat nothing.

use super::*;

/// Catches an association that one TSN far ahead makes deaf, whether it is that of data or of FORWARD-TSN; and copies that
/// are read twice afterwards.
#[test]
fn a_tsn_far_ahead_does_not_deafen() {
    for far in [100, 127, 128, 129, 1_000, 65_000, 70_000] {
        for is_forward in [false, true] {
            let list: Vec<_> = (0..20_u32)
                .map(|n| {
                    data(
                        BEGINS | ENDS,
                        10 + n,
                        0,
                        &message(usize::try_from(n).unwrap(), ""),
                    )
                })
                .collect();
            let mut ear = Ear::new();
            ear.advance(0);
            for (at, chunk) in list.iter().enumerate() {
                if at % 5 == 3 {
                    let tsn = 10 + u32::try_from(at).unwrap() + far;
                    ear.put_chunks(&if is_forward {
                        self::chunk(192, 0, &tsn.to_be_bytes())
                    } else {
                        data(BEGINS | ENDS, tsn, 0, b"x")
                    });
                    ear.advance(i64::try_from(at).unwrap() * 2 * AGE_MS);
                }
                ear.put_chunks(chunk);
                if far < 60_000 {
                    ear.put_chunks(chunk);
                }
            }
            let whole = ear.whole().into_iter().filter(|octets| octets.len() > 1);
            assert_eq!(whole.count(), 20, "{far}, forward: {is_forward}");
        }
    }
}

/// Catches data behind a real leap that is read twice because something from before it came late; and what lay between and is
/// taken for copies when the leap was not real.
#[test]
fn both_ends_of_a_leap_are_known() {
    let mut ear = Ear::new();
    let before = 10..20_u32;
    let behind = 500..520_u32;
    for tsn in before.clone().chain(behind.clone()) {
        ear.put_chunks(&one(tsn));
        // Repeated by a sender that was not answered, after a leap: 500 after 19, 19 after 500, 501 after 19.
        ear.put_chunks(&one(tsn.min(19)));
        ear.put_chunks(&one(tsn));
    }
    assert_eq!(ear.whole().len(), 30);
    ear.put_chunks(&one(20));
    ear.put_chunks(&one(520));
    assert_eq!(ear.whole().len(), 32);

    let mut ear = Ear::new();
    for tsn in [10, 11, 5_000, 300, 301, 6_000, 302] {
        ear.put_chunks(&one(tsn));
    }
    assert_eq!(ear.whole().len(), 7);
}

/// Catches a chunk that is read twice, and all that was seen lately being forgotten, because a copy from behind a real leap is taken for
/// what lay before it.
#[test]
fn a_copy_from_behind_a_leap_is_one() {
    let mut ear = Ear::new();
    ear.advance(0);
    for tsn in (10..=19).chain(300..=1300) {
        ear.put_chunks(&one(tsn));
    }
    assert_eq!(ear.whole().len(), 10 + 1001);
    ear.associations.take_missed();
    for tsn in [500, 1290, 300, 19, 1301, 1290, 500, 172, 1300] {
        ear.put_chunks(&one(tsn));
    }
    ear.advance(3 * AGE_MS);
    assert_eq!(ear.whole().len(), 10 + 1001 + 1 + 1);
    assert_eq!(ear.associations.take_missed(), []);
    assert_eq!(ear.associations.counters().associations.holes, 1);
}

/// Catches an association that one forged packet makes deaf, however many chunks it bundles and however far they are.
#[test]
fn a_bundle_far_ahead_does_not_deafen() {
    let x = |tsn: u32| data(BEGINS | ENDS, tsn, 0, b"x");
    let after = 30_000;
    for count in [1, 7, 8, 9, 40, 130] {
        for last in [60_000, 65_500, 90_000, 2_000_000] {
            let mut ear = Ear::new();
            for tsn in 1..20 {
                ear.put_chunks(&one(tsn));
            }
            let bundle: Vec<_> = (0..count).flat_map(|at| x(20 + after + at)).collect();
            ear.put_chunks(&[bundle, x(20 + last)].concat());
            for tsn in 20..400 {
                ear.put_chunks(&one(tsn));
                ear.put_chunks(&one(tsn));
                ear.put_chunks(&one(tsn - 10));
            }
            let real = ear.whole().into_iter().filter(|octets| octets.len() > 1);
            assert_eq!(real.count(), 399, "{count} and {last}");
        }
    }
}

/// Catches an association of which a lie was seen first, and that is deaf until it has come there.
#[test]
fn a_lie_may_come_first() {
    for far in [127, 128, 129, 300, 60_000, 70_000] {
        let mut ear = Ear::new();
        ear.put_chunks(&data(BEGINS | ENDS, 1 + far, 0, b"x"));
        for tsn in 1..100 {
            ear.put_chunks(&one(tsn));
            ear.put_chunks(&one(tsn));
        }
        assert_eq!(ear.whole().len(), 100, "{far}");
    }
}

/// Catches a hole that nobody is told of because a forged TSN led away from it.
#[test]
fn a_hole_before_a_leap_is_told() {
    let mut ear = Ear::new();
    ear.advance(0);
    for tsn in [1, 2, 4, 5] {
        ear.put_chunks(&one(tsn));
    }
    ear.put_chunks(&data(BEGINS | ENDS, 50_000, 0, b"x"));
    ear.put_chunks(&one(6));
    ear.advance(2 * AGE_MS);
    assert!(!ear.associations.take_missed().is_empty());
    // And on the way back from another end.
    let mut ear = Ear::new();
    ear.advance(0);
    for tsn in [1, 2, 50_000, 50_002, 3] {
        ear.put_chunks(&one(tsn));
    }
    ear.associations.take_missed();
    ear.advance(2 * AGE_MS);
    assert_eq!(ear.associations.take_missed().len(), 1, "50,001");
}

/// Catches data that is lost or read twice, against a sender whose packets are copied, come in any order and late, beside forged
/// numbers that are anywhere.
#[test]
fn oracle_of_forged_numbers() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let first = [1, u32::MAX - 50, random.u32(..)][random.usize(0..3)];
        let far_max = [300, 3_000, 60_000, u32::MAX / 2][random.usize(0..4)];
        let mut ear = Ear::new();
        ear.advance(0);
        let mut log = Vec::new();
        let (mut order, mut now): (Vec<u32>, _) = ((0..400).collect(), 0);
        for at in 1..order.len() {
            if random.u8(0..4) == 0 {
                order.swap(at, at.saturating_sub(random.usize(1..20)).max(1));
            }
        }
        let mut forged = std::collections::BTreeSet::new();
        for (at, number) in order.iter().enumerate() {
            // Further away than an association reaches, where it was is remembered for one lie.
            let lies_max = if far_max > 60_000 { 1 } else { 5 };
            if log.len() < lies_max && random.u8(0..60) == 0 {
                let from = number + random.u32(20..far_max);
                let count = random.u32(1..20);
                log.push((at, from, count));
                let bundle: Vec<_> = (from..from + count)
                    .flat_map(|number| data(BEGINS | ENDS, first.wrapping_add(number), 0, b"x"))
                    .collect();
                forged.extend(from..from + count);
                ear.put_chunks(&bundle);
            }
            let octets = message(usize::try_from(*number).unwrap(), "");
            let chunk = data(BEGINS | ENDS, first.wrapping_add(*number), 0, &octets);
            ear.put_chunks(&chunk);
            let back = u32::try_from(at.saturating_sub(random.usize(0..300))).unwrap();
            let again = order[usize::try_from(back).unwrap()];
            for number in [*number, again] {
                let octets = message(usize::try_from(number).unwrap(), "");
                ear.put_chunks(&data(BEGINS | ENDS, first.wrapping_add(number), 0, &octets));
            }
            now += random.i64(0..100);
            ear.advance(now);
        }
        let whole = ear.whole();
        for number in (0..400).filter(|number| !forged.contains(number)) {
            let octets = message(usize::try_from(number).unwrap(), "");
            let count = whole.iter().filter(|other| **other == octets).count();
            assert_eq!(count, 1, "seed {seed}: {number} after {log:?}");
        }
    }
}

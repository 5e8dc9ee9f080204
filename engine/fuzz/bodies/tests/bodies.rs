//! Every body over its seeds and over changed seeds: what the fuzzer does with more time, on every machine and the same
//! each time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use ringtap_fuzz_bodies::{BODIES, Body, seeds};

/// Changed inputs tried of each body.
const CHANGED: usize = 400;

/// Pieces that mean something to one body or another.
const PIECES: [&[u8]; 12] = [
    b"\r\n",
    b"\n",
    b"\"",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b"@",
    b"%00",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
];

fn body(name: &str) -> Body {
    BODIES.iter().find(|(other, _)| *other == name).unwrap().1
}

/// Catches a body without seeds: it would be tried with noise alone, which goes no deeper than the first check.
#[test]
fn every_body_has_seeds() {
    for (name, run) in BODIES {
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name}");
        for seed in seeds {
            run(&seed);
        }
        run(b"");
    }
}

/// Catches seeds that are not what they are for, so that changing them finds nothing.
#[test]
fn seeds_are_what_they_are_for() {
    for seed in seeds::of("sip") {
        assert!(ringtap_sip::parse(&seed).is_ok());
    }
    for seed in seeds::of("config") {
        let text = String::from_utf8(seed).unwrap();
        assert!(ringtap_config::from_toml(&text, "seed").is_ok());
    }
}

/// The seeds of a body, each changed in a few places or joined with another.
fn changed(name: &str) {
    let (run, seeds) = (body(name), seeds::of(name));
    let mut dice = fastrand::Rng::with_seed(4711);
    for _ in 0..CHANGED {
        let mut data = dice.choice(&seeds).unwrap().clone();
        for _ in 0..dice.usize(1..6) {
            let from = dice.usize(0..=data.len());
            let to = (from + dice.usize(0..12)).min(data.len());
            match dice.u8(0..5) {
                0 => drop(data.splice(from..to, dice.choice(PIECES).unwrap().to_vec())),
                1 => drop(data.splice(from..to, [dice.u8(..)])),
                2 => data.truncate(to),
                3 => data[from..to]
                    .iter_mut()
                    .for_each(|octet| *octet ^= 1 << dice.u8(0..8)),
                _ => {
                    let other = dice.choice(&seeds).unwrap();
                    let at = dice.usize(0..=other.len());
                    data.truncate(from);
                    data.extend(&other[at..]);
                }
            }
        }
        run(&data);
    }
}

/// Each catches what its body promises not to happen, on inputs near those that are usual.
macro_rules! changed_seeds {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                changed(stringify!($name));
            }
        )*

        /// Catches a body that has no test here.
        #[test]
        fn every_body_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert!(BODIES.iter().all(|(name, _)| tried.contains(name)) && tried.len() == BODIES.len());
        }
    };
}

changed_seeds!(classify config csv decode history_reason identity pcap sip streams tracker);

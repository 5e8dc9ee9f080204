//! A million frames that nobody thought of, through the program and through `judge`.
//!
//! `RINGTAP_FRAMES` sets another number of frames, `RINGTAP_SEED` another seed.

use std::os::fd::AsFd;

use fastrand::Rng;
use ringtap_classify::testing::verdicts;
use ringtap_xdp::{Action, PortSet, Program, Reason, Settings, Take, Verdict, judge};

use crate::setting::{load, settings, xdp_socket};

/// Frames between two looks at the counters.
const CHUNK: usize = 1000;
/// Programs with settings of their own that share the frames.
const SETTINGS: usize = 8;
/// Frames that are long take the kernel long: only some are.
const SHORT: usize = 600;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Catches a frame that kernel and host judge differently, and one that is counted twice or not at all.
#[test]
fn kernel_and_host_agree_on_a_million_frames() {
    let seed = number("RINGTAP_SEED", 20_260_729);
    let frames = usize::try_from(number("RINGTAP_FRAMES", 1_000_000)).unwrap();
    eprintln!("RINGTAP_SEED={seed} RINGTAP_FRAMES={frames}");
    let mut random = Rng::with_seed(seed);
    let pool = verdicts().into_iter().map(|case| case.frame);
    let (short, long): (Vec<_>, Vec<_>) = pool.partition(|frame| frame.len() <= SHORT);
    let mut seen = [0_u64; Reason::COUNT];
    for _ in 0..SETTINGS {
        let ports: PortSet = [5060, 0xaaaa, random.u16(..)].into_iter().collect();
        let settings = Settings {
            ports,
            take: Take::from_bits(random.u32(..)),
            dedicated: random.bool(),
            ..settings()
        };
        let Some(mut program) = load(&settings) else {
            return;
        };
        let socket = xdp_socket();
        program.set_socket(0, socket.as_fd()).unwrap();
        for _ in 0..frames / SETTINGS / CHUNK {
            let chunk = (0..CHUNK).map(|_| {
                let pool = if random.u8(..) == 0 { &long } else { &short };
                noise(&mut random, pool)
            });
            compare(&program, &settings, &chunk.collect::<Vec<_>>());
        }
        let counters = program.counters().unwrap();
        let by_action = Action::ALL.iter().map(|action| counters.action(*action));
        assert_eq!(counters.frames(), (frames / SETTINGS / CHUNK * CHUNK) as u64);
        assert_eq!(counters.frames(), by_action.sum::<u64>());
        for (seen, reason) in seen.iter_mut().zip(Reason::ALL) {
            *seen += counters.of(*reason);
        }
    }
    for (reason, seen) in Reason::ALL.iter().zip(seen) {
        // Noise that leaves out a kind of frame compares nothing there.
        let later = [Reason::UnsupportedLink, Reason::TooDeep, Reason::Duplicate];
        assert!(
            seen > 100 || later.contains(reason) || frames < 1_000_000,
            "{reason:?}: {seen}"
        );
    }
}

/// A frame of some shape with some octets changed and its end cut off, or nothing but noise.
fn noise(random: &mut Rng, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = random.choice(pool).expect("frames").clone();
    if random.u8(..) < 8 {
        let kinds = [0x0800_u16, 0x86dd, 0x8100, random.u16(..)];
        frame.truncate(random.usize(14..200));
        random.fill(&mut frame);
        frame[12..14].copy_from_slice(&random.choice(kinds).expect("kinds").to_be_bytes());
    }
    for _ in 0..random.usize(0..5) {
        // Headers stand in front.
        let last = random.usize(0..frame.len());
        let octet = &mut frame[random.usize(0..=last)];
        *octet = match random.u8(0..4) {
            0 => *octet ^ (1 << random.u8(0..8)),
            1 => octet.wrapping_add(1),
            2 => *random
                .choice(&[0, 4, 6, 17, 41, 43, 44, 47, 51, 60, 132, 135, 255])
                .expect("values"),
            _ => random.u8(..),
        };
    }
    if random.u8(..) < 64 {
        frame.truncate(random.usize(14..=frame.len()));
    }
    frame
}

/// Runs the frames through both sides. Counters are compared for all of them; if they differ, frame by frame.
fn compare(program: &Program, settings: &Settings, frames: &[Vec<u8>]) {
    let before = program.counters().unwrap();
    let mut expected = [0_u64; Reason::COUNT];
    for frame in frames {
        let judgement = judge(&frame[..], |port| settings.ports.contains(port), settings.take);
        let verdict = match (judgement.takes, settings.dedicated) {
            (true, _) => Verdict::Redirect,
            (false, true) => Verdict::Drop,
            (false, false) => Verdict::Pass,
        };
        let said = program.test_run(frame, 1).unwrap().verdict;
        assert_eq!(
            said, verdict,
            "{judgement:?} by the host, {settings:?}: {frame:02x?}"
        );
        expected[judgement.reason.index()] += 1;
    }
    let after = program.counters().unwrap();
    let counted = Reason::ALL
        .iter()
        .map(|reason| after.of(*reason) - before.of(*reason));
    if !counted.eq(expected) {
        assert!(
            frames.len() > 1,
            "the host counted {expected:?}: {settings:?} {:02x?}",
            frames[0]
        );
        frames
            .chunks(1)
            .for_each(|frame| compare(program, settings, frame));
        panic!("counters differ for all frames together, for none alone");
    }
}

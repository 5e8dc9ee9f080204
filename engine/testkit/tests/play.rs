//! The sender on a real line: frames go in at one end of a veth pair and are read at the other.
//!
//! Needs root and network namespaces, so it runs only when asked for: `scripts/test.sh` does, or
//! `cargo nextest run -p ringtap-testkit --test play --run-ignored only`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use ringtap_testkit::lab::{Lab, MIRROR};
use ringtap_testkit::play::{Line, Options, Pace, Played, Reel, Spread};
use ringtap_testkit::{Format, capture, sample};

/// What arrives at the mirror while `reel` is played: every frame whole, in the order of arrival.
fn heard(lab: &Lab, reel: &Reel, options: &Options) -> (Played, Vec<Vec<u8>>) {
    let wanted = reel.len() * options.rounds;
    let (ready, is_ready) = mpsc::channel();
    thread::scope(|scope| {
        let ear = scope.spawn(move || {
            lab.in_tap(|| {
                let line = Line::hearing(MIRROR).expect("a line to hear on");
                ready.send(()).expect("somebody waits");
                let mut room = vec![0; 1 << 16];
                let mut frames = Vec::new();
                while frames.len() < wanted {
                    let bytes = line.hear(&mut room).expect("a frame");
                    frames.push(room[..bytes].to_vec());
                }
                frames
            })
            .expect("the tap's namespace")
        });
        is_ready.recv().expect("the ear is there");
        let played = lab.play(reel, options).expect("played");
        (played, ear.join().expect("heard"))
    })
}

/// The sample without VLAN tags, of which a packet socket hears the inner ones only.
fn sample_reel() -> Reel {
    let mut wires = sample::messages();
    for wire in &mut wires {
        wire.link.vlan = None;
    }
    Reel::read("sample", &capture(&wires, Format::Pcap)[..]).expect("a reel")
}

fn frames(reel: &Reel) -> Vec<Vec<u8>> {
    (0..reel.len()).map(|at| reel.frame(at).to_vec()).collect()
}

/// Frames by the node that sent them, in order.
fn by_sender(frames: &[Vec<u8>]) -> HashMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut senders: HashMap<_, Vec<_>> = HashMap::new();
    for frame in frames {
        senders
            .entry(frame[26..30].to_vec())
            .or_default()
            .push(frame.clone());
    }
    senders
}

/// Catches a frame that is lost, changed, sent twice or out of order, at a pace and at full speed, from one CPU.
#[test]
#[ignore = "needs root"]
fn one_cpu_sends_every_frame_in_order() {
    let lab = Lab::up("one", 2).expect("a lab");
    let reel = sample_reel();
    for (pace, rounds) in [(Pace::Speed(100.0), 1), (Pace::Max, 3), (Pace::Rate(5_000.0), 1)] {
        let options = Options {
            pace,
            rounds,
            spread: Spread::One,
        };
        let (played, heard) = heard(&lab, &reel, &options);
        let wanted = vec![frames(&reel); rounds].concat();
        assert_eq!(played.frames, wanted.len() as u64);
        assert_eq!(
            played.octets,
            wanted.iter().map(|frame| frame.len() as u64).sum::<u64>()
        );
        assert_eq!((played.no_room, played.too_long), (0, 0));
        assert!(heard == wanted, "{pace:?}: not the frames that were sent");
    }
}

/// Catches CPUs that both send a frame or neither does, and a node whose frames overtake each other.
#[test]
#[ignore = "needs root"]
fn several_cpus_keep_each_senders_order() {
    let lab = Lab::up("many", 2).expect("a lab");
    let reel = sample_reel();
    for pace in [Pace::Speed(100.0), Pace::Max] {
        let options = Options {
            pace,
            rounds: 1,
            spread: Spread::Queue,
        };
        let (played, heard) = heard(&lab, &reel, &options);
        assert_eq!(played.frames, reel.len() as u64);
        assert!(by_sender(&heard) == by_sender(&frames(&reel)), "{pace:?}");
    }
}

/// Catches a frame that is longer than the line takes and stops everything, or is not counted.
#[test]
#[ignore = "needs root"]
fn what_is_too_long_is_left_out_and_counted() {
    let lab = Lab::up("long", 1).expect("a lab");
    let mut wires = sample::messages();
    wires.truncate(3);
    wires[1].payload.resize(3_000, b' ');
    let reel = Reel::read("long", &capture(&wires, Format::Pcap)[..]).expect("a reel");
    let options = Options {
        pace: Pace::Max,
        rounds: 1,
        spread: Spread::One,
    };
    let played = lab.play(&reel, &options).expect("played");
    assert_eq!((played.frames, played.too_long), (2, 1));
}

/// Catches an interface that is not there and is not named, and a line that is down and taken for a good one.
#[test]
#[ignore = "needs root"]
fn a_line_that_cannot_carry_is_told() {
    let lab = Lab::up("down", 1).expect("a lab");
    let options = Options {
        pace: Pace::Max,
        rounds: 1,
        spread: Spread::One,
    };
    lab.set_mirror("down").expect("down");
    let down = lab.in_tap(|| ringtap_testkit::play::play(MIRROR, &sample_reel(), &options));
    let told = down.expect("the namespace").expect_err("it is down").to_string();
    assert!(told.contains(MIRROR), "{told}");
    lab.remove_pair().expect("removed");
    let told = lab
        .play(&sample_reel(), &options)
        .expect_err("it is gone")
        .to_string();
    assert!(told.contains("span0"), "{told}");
}

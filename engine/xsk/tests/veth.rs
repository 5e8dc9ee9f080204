//! Queues on a real interface: a veth pair in namespaces of its own. Without root these tests say that they are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringtap_testkit::lab::{Lab, MIRROR, SPAN};
use ringtap_testkit::play::{Options, Pace, Reel, Spread};
use ringtap_xdp::{Mode, PortSet, Program, Settings, Take};
use ringtap_xsk::{Interface, Queue, QueueOptions, Statistics, Wakeup, XskError, ZeroCopy};

const HEADERS: usize = 14 + 20 + 8;
const PATIENCE: Duration = Duration::from_secs(20);

fn lab(label: &str) -> Option<Lab> {
    match Lab::up(label, 2) {
        Ok(lab) => Some(lab),
        Err(error) => {
            eprintln!("SKIPPED, no lab can be made: {error}");
            None
        }
    }
}

/// A SIP datagram as a frame of `len` octets that says which it is.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let total = u16::try_from(len - 14).unwrap();
    frame.extend([0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    for field in [5060, 5060, total - 20, 0] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend(number.to_be_bytes());
    let filler = number.to_le_bytes();
    while frame.len() < len {
        frame.push(filler[frame.len() % 4] ^ u8::try_from(frame.len() % 251).unwrap());
    }
    frame
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[HEADERS..HEADERS + 4].try_into().unwrap())
}

fn reel(frames: &[Vec<u8>]) -> Reel {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    Reel::read("made", Cursor::new(file)).unwrap()
}

const FAST: Options = Options {
    pace: Pace::Max,
    rounds: 1,
    spread: Spread::Queue,
};

fn options(ring_frames: u32) -> QueueOptions {
    QueueOptions {
        ring_frames,
        frame_bytes: None,
        zero_copy: ZeroCopy::Auto,
        wakeup: Wakeup::Poll,
    }
}

/// The mirror's queues with a program that sends SIP there. To be called in the tap's namespace.
fn open(options: &QueueOptions) -> (Program, Vec<Queue>) {
    let interface = Interface::find(MIRROR).unwrap();
    let settings = Settings {
        ports: PortSet::from_iter([5060]),
        take: Take::NOTHING,
        dedicated: false,
        queues: interface.queues().unwrap(),
    };
    let mut program = Program::load(&settings).unwrap();
    let queues: Vec<Queue> = (0..interface.queues().unwrap())
        .map(|number| Queue::open(&interface, number, options, Duration::ZERO).unwrap())
        .collect();
    for queue in &queues {
        program.set_socket(queue.number(), queue.fd()).unwrap();
    }
    program.attach(MIRROR, Mode::Native).unwrap();
    (program, queues)
}

/// Checks that no frame of a queue's memory is anywhere else than it may be.
fn check_account(queue: &Queue) {
    let account = queue.account();
    assert_eq!(account.frames, account.free + account.kernel + account.held);
    assert_eq!(account.held, 0, "between batches");
}

fn statistics(queues: &[Queue]) -> Statistics {
    let mut sum = Statistics::default();
    for queue in queues {
        sum.add(queue.statistics().unwrap());
    }
    sum
}

/// When the reader reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All the time; so many frames at once are sent, and the next when those are read.
    Along(usize),
    /// Once all is sent.
    Afterwards,
}

/// Plays frames into the lab and reads until what was sent is read or counted as lost. The packets, and the counts.
fn through(
    lab: &Lab,
    frames: &[Vec<u8>],
    options: &QueueOptions,
    reading: Reading,
) -> (Vec<Vec<u8>>, Statistics) {
    let (is_open, sent, counted) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let round = match reading {
        Reading::Along(round) => round,
        Reading::Afterwards => frames.len(),
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            lab.in_tap(|| {
                let (program, mut queues) = open(options);
                is_open.store(true, Ordering::Release);
                let mut packets = Vec::new();
                let began = Instant::now();
                while counted.load(Ordering::Acquire) < frames.len() && began.elapsed() < PATIENCE {
                    if reading == Reading::Afterwards && sent.load(Ordering::Acquire) < frames.len() {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    for queue in &mut queues {
                        let batch = queue.receive();
                        packets.extend(batch.packets().map(<[u8]>::to_vec));
                        drop(batch);
                        check_account(queue);
                    }
                    let lost = usize::try_from(statistics(&queues).lost()).unwrap();
                    counted.store(packets.len() + lost, Ordering::Release);
                }
                assert_eq!(program.counters().unwrap().frames(), frames.len() as u64);
                (packets, statistics(&queues))
            })
            .unwrap()
        });
        while !is_open.load(Ordering::Acquire) && !reader.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        for part in frames.chunks(round) {
            let played = lab.play(&reel(part), &FAST).unwrap();
            assert_eq!(played.frames, part.len() as u64);
            let sent_now = sent.fetch_add(part.len(), Ordering::AcqRel) + part.len();
            while counted.load(Ordering::Acquire) < sent_now && !reader.is_finished() {
                thread::sleep(Duration::from_micros(200));
            }
        }
        reader.join().unwrap()
    })
}

fn check_packets(packets: &[Vec<u8>], frames: &[Vec<u8>]) {
    let mut seen = BTreeSet::new();
    for packet in packets {
        let number = number(packet);
        assert!(seen.insert(number), "packet {number} comes twice");
        assert_eq!(
            packet, &frames[number as usize],
            "packet {number} is not what was sent"
        );
    }
}

/// Catches a frame that is lost, comes twice, is read while the kernel writes it, or leaks: many times as many frames as
/// the memory holds, over two queues, never more at once than fit.
#[test]
fn every_frame_comes_out_whole() {
    let Some(lab) = lab("every") else { return };
    let frames: Vec<Vec<u8>> = (0..40_000)
        .map(|number| frame(number, 60 + number as usize % 1400))
        .collect();
    let (packets, counted) = through(&lab, &frames, &options(512), Reading::Along(500));
    check_packets(&packets, &frames);
    assert_eq!(packets.len(), frames.len());
    assert_eq!((counted.received, counted.lost()), (frames.len() as u64, 0));
}

/// Catches an overrun that is not counted, and a ring that does not recover from one: nobody reads until all is sent.
#[test]
fn an_overrun_is_counted_to_the_frame() {
    let Some(lab) = lab("overrun") else { return };
    let frames: Vec<Vec<u8>> = (0..5000).map(|number| frame(number, 300)).collect();
    let (packets, counted) = through(&lab, &frames, &options(64), Reading::Afterwards);
    check_packets(&packets, &frames);
    assert!(packets.len() <= 2 * 64, "two queues of 64 frames");
    assert_eq!(packets.len() as u64 + counted.lost(), 5000);
}

/// Catches long packets that are dropped, cut or mixed up: they come in several frames each.
#[test]
fn long_packets_come_out_whole() {
    let Some(lab) = lab("long") else { return };
    for (namespace, interface) in [(lab.tap(), MIRROR), (lab.net(), SPAN)] {
        let status = Command::new("ip")
            .args(["-n", &namespace, "link", "set", "dev", interface, "mtu", "9000"])
            .status();
        assert!(status.unwrap().success());
    }
    let frames: Vec<Vec<u8>> = (0..2000)
        .map(|number| frame(number, 60 + (number as usize * 37) % 8900))
        .collect();
    let (packets, counted) = through(&lab, &frames, &options(16_384), Reading::Along(2000));
    check_packets(&packets, &frames);
    assert_eq!((packets.len(), counted.lost()), (2000, 0));
    assert!(packets.iter().any(|packet| packet.len() > 8000));
}

/// Catches refusals that are told as something else than they are.
#[test]
fn refusals() {
    let Some(lab) = lab("refusals") else { return };
    lab.in_tap(|| {
        let interface = Interface::find(MIRROR).unwrap();
        let first = Queue::open(&interface, 0, &options(64), Duration::ZERO).unwrap();
        assert!(!first.in_force().zero_copy, "veth copies");
        let second = Queue::open(&interface, 0, &options(64), Duration::ZERO).unwrap_err();
        assert!(matches!(second, XskError::QueueBusy { queue: 0, .. }), "{second}");
        drop(first);
        Queue::open(&interface, 0, &options(64), PATIENCE).expect("free again");
        let none = Queue::open(&interface, 7, &options(64), Duration::ZERO).unwrap_err();
        assert!(matches!(none, XskError::NoQueue { queue: 7, .. }), "{none}");
        let required = QueueOptions {
            zero_copy: ZeroCopy::Require,
            ..options(64)
        };
        let refused = Queue::open(&interface, 1, &required, Duration::ZERO).unwrap_err();
        assert!(
            matches!(refused, XskError::NoZeroCopy { queue: 1, .. }),
            "{refused}"
        );
    })
    .unwrap();
}

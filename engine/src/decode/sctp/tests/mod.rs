//! Tests of associations: whole messages, pieces in any order, copies, holes, ends, limits, hostile chunks. Forged numbers are in [`forged`].

mod forged;

use ringtap_classify::Vlans;
use ringtap_record::Time;

use super::{AGE_MS, Associations, ENTRY_BYTES, IDLE_MS, Limits, Packet};
use crate::capture::Link;
use crate::decode::Network;

const BEGIN: Time = Time::from_micros(1_700_000_000_000_000);

/// A whole request of that number, with this body.
fn message(number: usize, body: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/SCTP h;branch=z9hG4bK{number}\r\nFrom: <sip:x@y>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: {number}\r\nCSeq: {number} OPTIONS\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = vec![kind, flags];
    bytes.extend(len.to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

const BEGINS: u8 = 2;
const ENDS: u8 = 1;
const UNORDERED: u8 = 4;

/// A `DATA` chunk of stream 3.
fn data(flags: u8, tsn: u32, number: u16, octets: &[u8]) -> Vec<u8> {
    data_of(0, flags, tsn, number, octets)
}

fn data_of(protocol: u32, flags: u8, tsn: u32, number: u16, octets: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend([0, 3]);
    value.extend(number.to_be_bytes());
    value.extend(protocol.to_be_bytes());
    value.extend(octets);
    chunk(0, flags, &value)
}

/// An `I-DATA` chunk of stream 3.
fn interleaved(flags: u8, tsn: u32, number: u32, fragment: u32, octets: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend([0, 3, 0, 0]);
    value.extend(number.to_be_bytes());
    value.extend(fragment.to_be_bytes());
    value.extend(octets);
    chunk(64, flags, &value)
}

/// A message as chunks of `size` octets, TSNs from `tsn` on.
fn pieces(tsn: u32, number: u16, message: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = message.len().div_ceil(size);
    let piece = |(at, octets): (usize, &[u8])| {
        let begin = if at == 0 { BEGINS } else { 0 };
        let end = if at + 1 == count { ENDS } else { 0 };
        data(
            begin | end,
            tsn.wrapping_add(u32::try_from(at).unwrap()),
            number,
            octets,
        )
    };
    message.chunks(size).enumerate().map(piece).collect()
}

/// One whole message of that TSN.
fn one(tsn: u32) -> Vec<u8> {
    data(BEGINS | ENDS, tsn, 0, &message(usize::try_from(tsn).unwrap(), ""))
}

fn packet(chunks: &[u8]) -> Packet<'_> {
    Packet {
        time: BEGIN,
        source: "10.20.0.1:5060".parse().unwrap(),
        destination: "10.30.0.2:5060".parse().unwrap(),
        network: Network::of(Link::Ethernet, Vlans::default()),
        tag: 77,
        chunks,
        cut: false,
    }
}

/// Associations and what they have handed on: octets, whether truncated.
struct Ear {
    associations: Associations,
    got: Vec<(Vec<u8>, bool)>,
    times: Vec<i64>,
}

impl Ear {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            associations: Associations::new(limits),
            got: Vec::new(),
            times: Vec::new(),
        }
    }

    fn put(&mut self, packet: Packet<'_>) {
        let Self {
            associations,
            got,
            times,
        } = self;
        associations.put(&packet, &mut |payload| {
            got.push((payload.octets.to_vec(), payload.truncated));
            times.push(payload.time - BEGIN);
        });
    }

    fn put_chunks(&mut self, chunks: &[u8]) {
        self.put(packet(chunks));
    }

    fn advance(&mut self, ms: i64) {
        let got = &mut self.got;
        self.associations.advance(BEGIN.plus_ms(ms), &mut |payload| {
            got.push((payload.octets.to_vec(), payload.truncated));
        });
    }

    fn clear(&mut self) {
        let got = &mut self.got;
        self.associations.clear(&mut |payload| {
            got.push((payload.octets.to_vec(), payload.truncated));
        });
        assert_eq!(self.associations.held_bytes(), 0);
        assert!(self.associations.waiting.is_empty());
    }

    fn whole(&self) -> Vec<&[u8]> {
        let whole = self.got.iter().filter(|(_, truncated)| !truncated);
        whole.map(|(octets, _)| octets.as_slice()).collect()
    }

    /// Whole, piece, copy, other protocol, malformed.
    fn chunks(&self) -> [u64; 5] {
        let mut counts = self
            .associations
            .counters()
            .chunks
            .iter()
            .map(|(_, count, _)| count);
        std::array::from_fn(|_| counts.next().unwrap())
    }
}

/// Catches messages that are missed among other chunks, padding that shifts what follows, and copies that are read twice.
#[test]
fn whole_messages() {
    let (one, two, three) = (message(1, "a"), message(2, "bc"), message(3, "def"));
    let sack = chunk(3, 0, &[0; 12]);
    let bundle = [
        sack.clone(),
        data(BEGINS | ENDS, u32::MAX, 0, &one),
        data(BEGINS | ENDS | UNORDERED, 0, 9, &two),
        interleaved(BEGINS | ENDS, 1, 0, 0, &three),
        sack,
    ]
    .concat();
    let mut ear = Ear::new();
    ear.put_chunks(&bundle);
    // By another path.
    ear.put(Packet {
        source: "10.20.0.9:5060".parse().unwrap(),
        ..packet(&bundle)
    });
    assert_eq!(ear.whole(), [&one, &two, &three]);
    assert_eq!(ear.chunks(), [3, 0, 3, 0, 0]);
    assert_eq!(ear.associations.counters().associations.begun, 1);
    // Another association.
    ear.put(Packet {
        tag: 78,
        ..packet(&bundle)
    });
    assert_eq!(ear.whole().len(), 6);
}

/// Catches what another protocol says and is taken for SIP, and SIP that is not read because of an odd identifier.
#[test]
fn protocol_identifiers() {
    let one = message(1, "");
    let mut ear = Ear::new();
    ear.put_chunks(&data_of(3, BEGINS | ENDS, 1, 0, b"\x01\x02"));
    ear.put_chunks(&data_of(3, BEGINS | ENDS, 2, 0, &one));
    ear.put_chunks(&data_of(0, BEGINS | ENDS, 3, 0, b"\x01\x02"));
    assert_eq!(ear.whole(), [&one[..], b"\x01\x02"]);
    assert_eq!(ear.chunks(), [2, 0, 0, 1, 0]);
    let of_other = [data_of(3, BEGINS, 4, 1, b"xx"), data_of(3, ENDS, 5, 1, b"yy")].concat();
    ear.put_chunks(&of_other);
    assert_eq!(ear.got.len(), 2);
    assert!(!ear.associations.states.is_empty() && ear.associations.held_bytes == 0);
}

/// Catches pieces that are not put together in whatever order they come, over the wrap of TSNs, with others between; a message
/// made of pieces of two; and the wrong time: that of the first piece counts.
#[test]
fn pieces_in_any_order() {
    let (one, two) = (message(1, &"a".repeat(300)), message(2, &"b".repeat(300)));
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let tsn = u32::MAX - 3;
        let mut list = pieces(tsn, 0, &one, 100);
        let count = u32::try_from(list.len()).unwrap();
        list.extend(pieces(tsn.wrapping_add(count), 1, &two, 150));
        list.extend(list.clone());
        let first = list[0].clone();
        random.shuffle(&mut list);
        let mut ear = Ear::new();
        for (at, chunk) in list.iter().enumerate() {
            let time = if *chunk == first { BEGIN.plus_us(5) } else { BEGIN };
            ear.put(Packet {
                time,
                ..packet(chunk)
            });
            assert!(ear.got.len() < 2 || at >= 7);
        }
        let mut whole = ear.whole();
        whole.sort_unstable();
        assert_eq!(whole, [&one, &two], "round {round}");
        let mut times = ear.times.clone();
        times.sort_unstable();
        assert_eq!(times, [0, 5]);
        let [_, piece, copy, ..] = ear.chunks();
        assert_eq!(piece, copy);
        ear.advance(0);
        ear.advance(AGE_MS + 1);
        assert_eq!(ear.associations.take_missed(), []);
        assert_eq!(ear.associations.counters().associations.given_up, 0);
        assert_eq!(ear.associations.held_bytes, 0);
    }
}

/// Catches interleaved messages (RFC 8260) that are mixed up.
#[test]
fn interleaved_messages() {
    let (one, two) = (message(1, &"a".repeat(100)), message(2, &"b".repeat(100)));
    let (one_a, one_b) = one.split_at(100);
    let (two_a, two_b) = two.split_at(90);
    let mut ear = Ear::new();
    ear.put_chunks(&interleaved(0, 12, 0, 1, &one_b[..10]));
    ear.put_chunks(&interleaved(BEGINS, 11, 1, 0, two_a));
    ear.put_chunks(&interleaved(ENDS, 13, 1, 1, two_b));
    ear.put_chunks(&interleaved(BEGINS, 10, 0, 0, one_a));
    ear.put_chunks(&interleaved(ENDS, 14, 0, 2, &one_b[10..]));
    assert_eq!(ear.whole(), [&two, &one]);
}

/// Catches pieces of two messages that are joined because a number is used again, or because E and B meet.
#[test]
fn no_message_is_made_of_two() {
    let (one, two) = (message(1, &"a".repeat(100)), message(2, &"b".repeat(100)));
    let [one, two] = [pieces(10, 0, &one, 100), pieces(13, 0, &two, 100)];
    let mut ear = Ear::new();
    // The last piece of the first and the first of the second are lost.
    for chunk in one[..2].iter().chain(&two[1..]) {
        ear.put_chunks(chunk);
    }
    ear.put_chunks(&pieces(12, 7, b"xy", 1)[1]);
    assert_eq!(ear.got, []);
    ear.advance(0);
    ear.advance(AGE_MS + 1);
    let [(octets, truncated)] = &ear.got[..] else {
        panic!("{:?}", ear.got.len())
    };
    assert!(*truncated && octets.len() == 200 && octets.starts_with(b"OPTIONS"));
}

/// Catches unordered messages, which share what names them, that are taken for one: first and last piece meet.
#[test]
fn first_and_last_pieces_part_messages() {
    let (one, two) = (message(1, &"a".repeat(100)), message(2, &"b".repeat(100)));
    let mut ear = Ear::new();
    let piece = |flags, tsn, octets| data(flags | UNORDERED, tsn, 0, octets);
    // The middle ones come before their first and last.
    ear.put_chunks(&piece(ENDS, 11, &one[100..]));
    ear.put_chunks(&piece(BEGINS, 12, &two[..100]));
    assert_eq!(ear.got, []);
    ear.put_chunks(&piece(BEGINS, 10, &one[..100]));
    ear.put_chunks(&piece(ENDS, 13, &two[100..]));
    assert_eq!(ear.whole(), [&one, &two]);
}

/// Catches a loss that is not told, or told too early, or though nothing is missing.
#[test]
fn what_is_missing_is_a_known_gap() {
    let list: Vec<_> = (0..4)
        .map(|n| data(BEGINS | ENDS, 10 + n, 0, &message(1, "")))
        .collect();
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put_chunks(&list[0]);
    ear.put_chunks(&list[2]);
    ear.advance(AGE_MS);
    assert_eq!(ear.associations.take_missed(), []);
    ear.advance(AGE_MS + 1);
    assert_eq!(ear.associations.take_missed(), [BEGIN]);
    // It comes after all.
    ear.put_chunks(&list[1]);
    ear.put_chunks(&list[3]);
    assert_eq!(ear.whole().len(), 4);
    ear.advance(3 * AGE_MS);
    assert_eq!(ear.associations.take_missed(), []);
    assert_eq!(ear.associations.counters().associations.holes, 1);
    // Given up by the sender itself.
    ear.put_chunks(&data(BEGINS | ENDS, 20, 0, b"x"));
    ear.put_chunks(&chunk(192, 0, &19_u32.to_be_bytes()));
    ear.advance(5 * AGE_MS);
    assert_eq!(ear.associations.take_missed(), []);
    // So far behind that it is not known any more.
    ear.put_chunks(&data(BEGINS | ENDS, 22, 0, b"x"));
    for n in 23..160 {
        ear.put_chunks(&data(BEGINS | ENDS, n, 0, b"x"));
    }
    assert_eq!(ear.associations.take_missed().len(), 1);
    // Another association has the tag now.
    ear.put_chunks(&data(BEGINS | ENDS, 1_000_000, 0, &message(9, "")));
    assert_eq!(ear.associations.take_missed(), []);
    assert_eq!(ear.associations.counters().associations.begun, 2);
}

/// Catches one hole that is told of many times while it falls out of sight.
#[test]
fn a_hole_is_told_once() {
    let mut ear = Ear::new();
    ear.put_chunks(&data(BEGINS | ENDS, 1, 0, &message(1, "")));
    for n in 50..400 {
        ear.put_chunks(&data(BEGINS | ENDS, n, 0, b"x"));
    }
    assert_eq!(ear.associations.counters().associations.holes, 1);
    assert_eq!(ear.associations.take_missed().len(), 1);
}

/// Catches an end that keeps pieces, and the end of a capture that tells gaps.
#[test]
fn ends() {
    let list = pieces(10, 0, &message(1, &"a".repeat(100)), 100);
    for end in [6, 7, 8, 14] {
        let mut ear = Ear::new();
        ear.put_chunks(&list[0]);
        ear.put_chunks(&chunk(end, 0, &[0; 4]));
        assert_eq!(ear.got.len(), 1, "chunk {end}");
        assert!(ear.got[0].1);
        assert!(ear.associations.waiting.is_empty());
        ear.put_chunks(&list[0]);
        assert_eq!(ear.got.len(), 1, "a copy");
    }
    let mut ear = Ear::new();
    ear.put_chunks(&data(BEGINS | ENDS, 9, 0, &message(1, "")));
    ear.put_chunks(&list[1]);
    ear.clear();
    assert_eq!(ear.associations.take_missed(), []);
    assert_eq!(ear.associations.counters().associations.given_up, 1);
}

/// Catches chunks that a cut packet holds in part and that are not read as far as they go, and a length that is believed
/// though the packet contradicts it.
#[test]
fn cut_packets() {
    let one = message(1, &"a".repeat(100));
    let whole = data(BEGINS | ENDS, 10, 0, &one);
    let mut ear = Ear::new();
    let cut = Packet {
        cut: true,
        ..packet(&whole[..200])
    };
    ear.put(cut);
    assert_eq!(ear.got, [(one[..184].to_vec(), true)]);
    let list = pieces(11, 1, &one, 100);
    ear.put(Packet {
        cut: true,
        ..packet(&list[0][..66])
    });
    list[1..].iter().for_each(|chunk| ear.put_chunks(chunk));
    assert_eq!(ear.got[1..], [(one[..50].to_vec(), true)]);
    assert_eq!(ear.chunks(), [1, 3, 0, 0, 0]);
    for bad in [
        &whole[..200],
        &whole[..14],
        &[0, 3, 0, 3][..],
        &[0, 3, 0, 16, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        ear.put_chunks(bad);
    }
    assert_eq!(ear.chunks(), [1, 3, 0, 0, 4]);
    assert_eq!(ear.got.len(), 2);
}

/// Catches memory beyond its bounds, counts that do not add up, and a message that nobody sent, whatever comes.
#[test]
fn hostile_packets() {
    let limits = Limits {
        bytes_max: 40 * ENTRY_BYTES,
    };
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ear = Ear::with(limits);
        let (mut chunks, mut now) = (0, 0);
        for _ in 0..3000 {
            let octets = vec![random.u8(..); random.usize(1..300)];
            let tsn = random.u32(..) >> random.u32(20..32);
            let mut bytes = if random.bool() {
                data(random.u8(0..8), tsn, random.u16(0..3), &octets)
            } else {
                interleaved(random.u8(0..8), tsn, random.u32(0..3), random.u32(0..5), &octets)
            };
            chunks += 1;
            match random.u8(0..20) {
                0 => bytes = chunk(192, 0, &tsn.to_be_bytes()),
                1 => bytes.truncate(random.usize(4..bytes.len())),
                2 => bytes = chunk(6, 0, &[]),
                _ => {}
            }
            chunks -= u64::from(!matches!(bytes[0], 0 | 64));
            ear.put(Packet {
                tag: random.u32(0..30),
                cut: random.bool(),
                ..packet(&bytes)
            });
            assert!(ear.associations.held_bytes() <= limits.bytes_max, "seed {seed}");
            now += random.i64(0..200);
            if random.u8(0..4) == 0 {
                ear.advance(now);
            }
        }
        let counters = *ear.associations.counters();
        assert_eq!(ear.chunks().iter().sum::<u64>(), chunks, "seed {seed}");
        assert_eq!(counters.handed_on(), ear.got.len() as u64, "seed {seed}");
        assert!(counters.associations.evicted > 0, "seed {seed}");
        ear.clear();
    }
}

/// Catches pieces of one association beyond its own bound.
#[test]
fn pieces_are_bounded() {
    let mut ear = Ear::new();
    for at in 0..2000 {
        ear.put_chunks(&data(0, 2 * at, 0, &[b'x'; 10]));
        assert!(ear.associations.held_bytes < 400 * 1024);
    }
    assert!(ear.associations.counters().associations.given_up > 1700);
    let mut ear = Ear::new();
    for at in 0..40 {
        ear.put_chunks(&data(0, 2 * at, 0, &[b'x'; 60_000]));
        assert!(ear.associations.held_bytes < 400 * 1024);
    }
}

/// Catches idle associations that are kept for good, or forgotten while they speak.
#[test]
fn idle_associations_are_forgotten() {
    let mut ear = Ear::new();
    ear.put_chunks(&data(BEGINS | ENDS, 1, 0, b"x"));
    ear.put(Packet {
        tag: 5,
        ..packet(&data(BEGINS | ENDS, 1, 0, b"x"))
    });
    ear.advance(1_000_000_000);
    ear.advance(1_000_000_000 + IDLE_MS);
    assert_eq!(ear.associations.states.len(), 2);
    ear.put_chunks(&data(BEGINS | ENDS, 2, 0, b"x"));
    ear.advance(1_000_000_001 + IDLE_MS);
    assert_eq!(ear.associations.states.len(), 1);
    assert_eq!(ear.associations.counters().associations.forgotten, 1);
}

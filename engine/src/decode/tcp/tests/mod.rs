//! Tests of streams: order, copies, holes, ends, limits. Random traffic is in [`oracle`] and [`liars`].

mod forged;
mod late;
mod liars;
mod oracle;

use ringtap_classify::Vlans;
use ringtap_record::Time;

use super::{ENTRY_BYTES, Flow, HOLE_MS, IDLE_MS, Limits, Segment, Streams};
use crate::capture::Link;
use crate::decode::Network;

const BEGIN: Time = Time::from_micros(1_700_000_000_000_000);
const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn flow(port: u16) -> Flow {
    Flow {
        source: format!("10.20.0.1:{port}").parse().unwrap(),
        destination: "10.30.0.2:5060".parse().unwrap(),
        network: Network::of(Link::Ethernet, Vlans::default()),
    }
}

/// A whole request of that number, with this body.
fn message(number: usize, body: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{number}\r\nFrom: <sip:x@y>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: {number}\r\nCSeq: {number} OPTIONS\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Octets from the sequence number `first` on.
fn segment(first: u32, octets: &[u8]) -> Segment<'_> {
    Segment {
        time: BEGIN,
        flow: flow(5060),
        sequence: first,
        flags: ACK,
        len: octets.len(),
        octets,
    }
}

fn flagged(sequence: u32, flags: u8) -> Segment<'static> {
    Segment {
        flags,
        ..segment(sequence, b"")
    }
}

/// What was handed on: when, which octets, whether truncated.
type Got = (i64, Vec<u8>, bool);

/// Streams and what they have handed on.
struct Ear {
    streams: Streams,
    got: Vec<Got>,
}

impl Ear {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            streams: Streams::new(limits),
            got: Vec::new(),
        }
    }

    fn put(&mut self, segment: Segment<'_>) {
        let got = &mut self.got;
        self.streams.put(&segment, &mut |payload| {
            got.push((payload.time - BEGIN, payload.octets.to_vec(), payload.truncated));
        });
    }

    fn advance(&mut self, ms: i64) {
        let got = &mut self.got;
        self.streams.advance(BEGIN.plus_ms(ms), &mut |payload| {
            got.push((payload.time - BEGIN, payload.octets.to_vec(), payload.truncated));
        });
    }

    fn clear(&mut self) {
        let got = &mut self.got;
        self.streams.clear(&mut |payload| {
            got.push((payload.time - BEGIN, payload.octets.to_vec(), payload.truncated));
        });
        assert_eq!(self.streams.streams.len(), 0);
        assert_eq!(self.streams.held_bytes, 0);
        assert!(self.streams.waiting.is_empty());
    }

    /// The whole messages that were handed on.
    fn whole(&self) -> Vec<&[u8]> {
        let whole = self.got.iter().filter(|(_, _, truncated)| !truncated);
        whole.map(|(_, octets, _)| octets.as_slice()).collect()
    }

    fn segments(&self) -> [u64; 6] {
        let counts = self.streams.counters().segments.iter();
        let mut counts = counts
            .filter(|(name, ..)| *name != "late")
            .map(|(_, count, _)| count);
        std::array::from_fn(|_| counts.next().unwrap())
    }
}

/// Catches messages of one stream that are not cut apart, or not put together, over segments in order; and the wrong
/// time: a message is as old as its first octet.
#[test]
fn in_order() {
    let list: Vec<_> = (1..=6).map(|n| message(n, "v=0\r\n")).collect();
    let stream = list.concat();
    for size in [1, 7, 100, list[0].len(), 400, stream.len()] {
        let mut ear = Ear::new();
        ear.put(flagged(u32::MAX - 700, SYN));
        let mut first = u32::MAX - 699;
        for (at, octets) in stream.chunks(size).enumerate() {
            let time = BEGIN.plus_us(i64::try_from(at).unwrap());
            ear.put(Segment {
                time,
                ..segment(first, octets)
            });
            first = first.wrapping_add(u32::try_from(octets.len()).unwrap());
        }
        let wanted: Vec<Got> = list
            .iter()
            .scan(0, |at, message| {
                let begin = *at;
                *at += message.len();
                Some((i64::try_from(begin / size).unwrap(), message.clone(), false))
            })
            .collect();
        assert_eq!(ear.got, wanted, "in pieces of {size}");
        let counters = ear.streams.counters();
        assert_eq!(counters.handed_on(), 6);
        if size == list[0].len() || size == stream.len() {
            assert_eq!(counters.messages.in_place, 6, "in pieces of {size}");
            assert_eq!(ear.streams.held_bytes, 0);
        }
        assert_eq!(ear.segments()[1], stream.chunks(size).count() as u64);
    }
}

/// Catches octets that are read twice, or replaced by what comes later: copies, overlaps on both sides, keep-alives of one
/// octet and of none.
#[test]
fn what_is_there_never_changes() {
    let (one, two) = (message(1, "v=0\r\n"), message(2, "v=1\r\n"));
    let stream = [one.clone(), two.clone()].concat();
    let mut ear = Ear::new();
    ear.put(segment(1000, &stream[..50]));
    ear.put(segment(1000, &stream[..50]));
    // Other octets in what is known already.
    let mut liar = stream[..80].to_vec();
    liar[..50].fill(b'#');
    ear.put(segment(1000, &liar));
    ear.put(segment(1079, b"x"));
    ear.put(segment(1079, b""));
    ear.put(segment(1040, &stream[40..]));
    ear.put(segment(1000, &stream));
    assert_eq!(ear.whole(), [&one[..], &two[..]]);
    assert_eq!(ear.segments(), [1, 3, 0, 3, 0, 0]);
}

/// Catches segments that are lost because they came too early, and of two that came too early and contradict each other the
/// second one that is believed.
#[test]
fn out_of_order() {
    let list: Vec<_> = (1..=3).map(|n| message(n, "v=0\r\n")).collect();
    let stream = list.concat();
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(segment(1200, &stream[200..300]));
    let mut liar = stream[150..].to_vec();
    liar[50..150].fill(b'#');
    ear.put(segment(1150, &liar));
    assert_eq!(ear.got, []);
    assert_eq!(ear.streams.waiting.len(), 1);
    ear.put(segment(1220, &stream[220..280]));
    ear.put(segment(1000, &stream[..170]));
    assert_eq!(ear.whole(), list);
    assert_eq!(ear.segments(), [1, 1, 2, 1, 0, 0]);
    assert!(ear.streams.waiting.is_empty());
    assert_eq!(ear.streams.take_missed(), []);
}

/// Catches a hole that is waited for longer than a second or not as long, one that is not told, and messages behind it that
/// are not read.
#[test]
fn a_hole_is_given_up() {
    let list: Vec<_> = (1..=4).map(|n| message(n, "v=0\r\n")).collect();
    let size = u32::try_from(list[0].len()).unwrap();
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(segment(1000, &list[0]));
    let late = BEGIN.plus_ms(5);
    // The second is lost, as a whole.
    ear.put(Segment {
        time: late,
        ..segment(1000 + 2 * size, &list[2])
    });
    ear.advance(HOLE_MS);
    assert_eq!(ear.whole(), [&list[0]]);
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.whole(), [&list[0], &list[2]]);
    assert_eq!(ear.streams.take_missed(), [late]);
    // It comes after all.
    ear.put(segment(1000 + size, &list[1]));
    ear.put(segment(1000 + size, &list[1]));
    ear.put(segment(1000 + 3 * size, &list[3]));
    assert_eq!(ear.whole(), [&list[0], &list[2], &list[1], &list[3]]);
    assert_eq!(ear.streams.counters().segments.late, 1);
    assert_eq!(ear.streams.take_missed(), []);
    let streams = ear.streams.counters().streams;
    assert_eq!((streams.holes, streams.hole_octets), (1, u64::from(size)));
    assert_eq!(streams.out_of_step, 1);
}

/// Catches a message whose end was lost and that is not read by its headers, or is joined with what follows; and a hole in a body
/// that costs the step, though its length is known.
#[test]
fn a_hole_in_a_message() {
    let long = "a=".to_owned() + &"x".repeat(500) + "\r\n";
    let (one, two, three) = (message(1, &long), message(2, &long), message(3, ""));
    let stream = [&one[..], &two, &three].concat();
    let head = one.len() - long.len();
    let place = |at: usize| 1000 + u32::try_from(at).unwrap();
    // In the body of the first: both others are read, nothing else is missed.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(segment(1000, &stream[..head + 100]));
    ear.put(segment(place(head + 300), &stream[head + 300..]));
    ear.advance(0);
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.got[0], (0, stream[..head + 100].to_vec(), true));
    assert_eq!(ear.whole(), [&two, &three]);
    assert_eq!(ear.streams.take_missed(), []);
    // From the body of the first to the header of the second: the third is read.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(segment(1000, &stream[..head + 100]));
    ear.put(segment(place(one.len() + 20), &stream[one.len() + 20..]));
    ear.advance(0);
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.got[0], (0, stream[..head + 100].to_vec(), true));
    assert_eq!(ear.whole(), [&three]);
    assert_eq!(ear.streams.take_missed().len(), 1);
    // In the header of the first.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(segment(1000, &stream[..100]));
    ear.put(segment(place(120), &stream[120..]));
    ear.advance(0);
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.got[0], (0, stream[..100].to_vec(), true));
    assert_eq!(ear.whole(), [&two, &three]);
}

/// Catches segments that the capture cut and that are waited for, or after which the stream is out of step though it is
/// known how long the body is.
#[test]
fn cut_segments() {
    let body = "v=0\r\n".repeat(30);
    let list: Vec<_> = (1..=3).map(|n| message(n, &body)).collect();
    let head = list[0].len() - body.len();
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    let mut first = 1000;
    for message in &list {
        let mut cut = segment(first, message);
        cut.octets = &message[..head + 5];
        ear.put(cut);
        first += u32::try_from(message.len()).unwrap();
    }
    let wanted: Vec<Got> = list
        .iter()
        .map(|message| (0, message[..head + 5].to_vec(), true))
        .collect();
    assert_eq!(ear.got, wanted);
    let streams = ear.streams.counters().streams;
    assert_eq!((streams.out_of_step, streams.holes), (0, 3));
    // Within the header, that is as far as it goes; a segment that begins a message is read all the same.
    let mut cut = segment(first, &list[0]);
    cut.octets = &list[0][..60];
    ear.put(cut);
    assert_eq!(ear.got[3], (0, list[0][..60].to_vec(), true));
    first += u32::try_from(list[0].len()).unwrap();
    ear.put(segment(first, &list[1]));
    assert_eq!(ear.whole(), [&list[1]]);
}

/// Catches a stream that is picked up in its middle and not read, or read wrongly: within a header, a body, at a segment.
#[test]
fn picked_up_in_the_middle() {
    let body = "v=0\r\n".repeat(2000);
    let (one, two, three) = (message(1, &body), message(2, "x"), message(3, ""));
    let stream = [&one[..], &two, &three].concat();
    for (from, found) in [
        (0, 3),
        (30, 2),
        (one.len() - 1000, 2),
        (one.len(), 2),
        (one.len() + 10, 1),
    ] {
        let mut ear = Ear::new();
        let mut first = 77;
        for octets in stream[from..].chunks(1000) {
            ear.put(segment(first, octets));
            first += u32::try_from(octets.len()).unwrap();
        }
        let wanted = [&one, &two, &three];
        assert_eq!(ear.whole(), wanted[3 - found..], "from {from}");
        assert_eq!(ear.streams.counters().streams.picked_up, 1);
    }
}

/// Catches an end that does not end: what is unfinished is handed on once, and what comes on the same ports is another
/// stream.
#[test]
fn opened_and_ended() {
    let body = "v=0\r\n".repeat(20);
    let (one, two) = (message(1, &body), message(2, &body));
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(flagged(999, SYN));
    ear.put(segment(1000, &one));
    ear.put(segment(1000 + 128, b""));
    let behind = 1000 + u32::try_from(one.len()).unwrap();
    ear.put(segment(behind, &two[..200]));
    ear.put(flagged(behind + 200, FIN));
    ear.put(flagged(behind + 200, FIN));
    // A copy of what it said before.
    ear.put(segment(1000, &one));
    ear.put(flagged(behind + 201, RST));
    assert_eq!(ear.got, [(0, one.clone(), false), (0, two[..200].to_vec(), true)]);
    assert_eq!(ear.streams.counters().streams.begun, 1);
    // The ports again.
    ear.put(flagged(5_000_000, SYN));
    ear.put(segment(5_000_001, &two[..100]));
    ear.put(flagged(7_000_000, SYN));
    assert_eq!(ear.got[2..], [(0, two[..100].to_vec(), true)]);
    ear.put(segment(7_000_001, &two));
    assert_eq!(ear.got.len(), 4);
    // And once more, without its SYN.
    ear.put(segment(90_000_000, &one));
    assert_eq!(ear.got.len(), 5);
    assert_eq!(ear.streams.counters().streams.begun, 4);
    assert_eq!(ear.streams.take_missed(), []);
    // An end far from everything is none.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    for far in [200_000, 900_000_000, 4_000_000_000] {
        ear.put(flagged(far, FIN));
    }
    ear.put(segment(1000, &one[..50]));
    ear.advance(0);
    ear.advance(HOLE_MS + 1);
    ear.put(segment(1050, &one[50..]));
    assert_eq!(ear.whole(), [&one]);
    let streams = ear.streams.counters().streams;
    assert_eq!((streams.holes, streams.begun), (0, 1));
    // The FIN came before what it ends.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(flagged(behind, FIN));
    ear.put(segment(1000, &one));
    assert_eq!(ear.whole(), [&one]);
    assert!(ear.streams.waiting.is_empty());
}

/// Catches a lost last segment that nobody notices: an acknowledgement of the same side shows that it was sent.
#[test]
fn an_acknowledgement_shows_a_hole() {
    let one = message(1, &"v=0\r\n".repeat(50));
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(segment(1000, &one));
    let behind = 1000 + u32::try_from(one.len()).unwrap();
    ear.put(segment(behind, &one[..100]));
    ear.put(segment(behind + 300, b""));
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.got[1..], [(0, one[..100].to_vec(), true)]);
    assert_eq!(ear.streams.take_missed().len(), 1);
}

/// Catches encrypted streams and other protocols that are kept, or looked at again and again; and one that speaks SIP all
/// the same and is not heard.
#[test]
fn other_protocols() {
    let record = [&[0x16, 3, 1, 0, 200][..], &[7; 200]].concat();
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    for at in 0..4 {
        ear.put(segment(1000 + at * 205, &record));
    }
    assert_eq!(ear.segments(), [1, 0, 0, 0, 4, 0]);
    // Nor what comes late of it.
    ear.put(segment(1000 + 5 * 205, &record));
    ear.put(segment(1000 + 4 * 205, &record));
    assert_eq!(ear.segments(), [1, 0, 0, 1, 5, 0]);
    assert_eq!(ear.streams.counters().segments.late, 0);
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let size = u32::try_from(http.len()).unwrap();
    for at in 0..4 {
        ear.put(segment(1000 + at * size, http));
    }
    assert_eq!(ear.segments(), [1, 1, 0, 0, 0, 3]);
    assert_eq!(ear.streams.held_bytes, 0);
    let one = message(1, "");
    ear.put(segment(1000 + 4 * size, &one));
    assert_eq!(ear.whole(), [&one]);
    // Picked up: it may be a body.
    let mut ear = Ear::new();
    let mut first = 1000;
    for _ in 0..150 {
        ear.put(segment(first, &[b'x'; 1000]));
        first += 1000;
    }
    let streams = ear.streams.counters().streams;
    assert_eq!((streams.foreign, ear.segments()[1]), (1, 132));
}

/// Catches a message that is longer than can be read, and that costs the step or is kept.
#[test]
fn an_overlong_body_is_passed_over() {
    let (long, next) = (message(1, &"x".repeat(100_000)), message(2, ""));
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    let mut first = 1000;
    for octets in [&long[..], &next].concat().chunks(1400) {
        ear.put(segment(first, octets));
        first += u32::try_from(octets.len()).unwrap();
        assert!(ear.streams.held_bytes < 8_000);
    }
    let (_, octets, truncated) = &ear.got[0];
    assert!(*truncated && long.starts_with(octets) && octets.ends_with(b"\r\n\r\n"));
    assert_eq!(ear.whole(), [&next]);
}

/// Catches work out of proportion: a header that turns out to be none when as much is held as a message may have, in a
/// segment that goes on behind it.
#[test]
fn what_is_held_is_not_moved_again_and_again() {
    let bomb = b"INVITE sip:a@b SIP/2.0\r\n".iter().chain(b"a\n".iter().cycle());
    let stream: Vec<u8> = bomb.copied().take(300_000).collect();
    let one = message(1, "");
    for size in [700, 1400, 60_000] {
        let mut ear = Ear::new();
        ear.put(flagged(999, SYN));
        let mut first = 1000;
        for octets in [&one[..]].into_iter().chain(stream.chunks(size)) {
            ear.put(segment(first, octets));
            first += u32::try_from(octets.len()).unwrap();
        }
        let moved = ear.streams.streams[&flow(5060)].moved_bytes();
        assert!(moved <= stream.len(), "{moved} in pieces of {size}");
        ear.put(segment(first, &one));
        assert_eq!(ear.whole(), [&one, &one]);
    }
}

/// Catches known gaps that anybody can make: with a stream in which no message could be read.
#[test]
fn only_streams_of_use_have_gaps() {
    let useful = message(1, "");
    let useless = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (octets, gaps) in [(useful, 1), (useless, 0)] {
        let mut ear = Ear::new();
        ear.advance(0);
        ear.put(flagged(999, SYN));
        ear.put(segment(1000, &octets));
        ear.put(segment(9000, &octets));
        ear.advance(HOLE_MS + 1);
        assert_eq!(ear.streams.counters().streams.holes, 1);
        assert_eq!(ear.streams.take_missed().len(), gaps);
    }
}

/// Catches what waits behind a hole and is kept beyond the bound of one stream.
#[test]
fn what_waits_is_bounded() {
    let filler = message(1, &"x".repeat(60_000));
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    let mut first = 2000;
    for octets in filler.repeat(8).chunks(1400) {
        ear.put(segment(first, octets));
        first += u32::try_from(octets.len()).unwrap();
        assert!(ear.streams.held_bytes <= super::stream::STREAM_BYTES_MAX + 2_000);
    }
    assert_eq!(ear.whole().len(), 8);
    // Small ones.
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    for at in 0..1000 {
        ear.put(segment(2000 + 2 * at, b"x"));
        assert!(ear.streams.held_bytes <= super::stream::STREAM_BYTES_MAX);
    }
    assert!(ear.streams.counters().streams.holes > 700);
}

/// Catches a stream that takes more memory than docs/limits.md says, where all that it can hold is there at once.
#[test]
fn all_that_a_stream_can_hold() {
    let long = message(1, &"x".repeat(60_000));
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(flagged(999, SYN));
    // One message under way that comes late, one in order.
    ear.put(segment(101_000, &long[..200]));
    ear.advance(HOLE_MS + 1);
    for at in 0..50 {
        let octets = &long[1000 * at..1000 * (at + 1)];
        ear.put(segment(2000 + 1000 * u32::try_from(at).unwrap(), octets));
    }
    ear.put(segment(101_200, &long[200..50_000]));
    // And what waits, with all gaps filled by one segment, in large buffers.
    for at in 0..255 {
        ear.put(segment(160_000 + 200 * at, b"#"));
    }
    for _ in 0..100 {
        ear.streams.spare.give(Vec::with_capacity(8 * 1024));
    }
    ear.put(segment(160_000, &[b'#'; 51_000]));
    assert_eq!(ear.streams.counters().streams.holes, 1);
    assert!(ear.streams.streams[&flow(5060)].holes().0.len() > 1);
    let held = ear.streams.held_bytes;
    assert!((400 * 1024..1024 * 1024).contains(&held), "{held}");
}

/// Catches memory beyond the limit, a stream that is evicted though others are older, and one that is not told.
#[test]
fn memory_is_bounded() {
    let limits = Limits {
        bytes_max: 20 * ENTRY_BYTES,
    };
    let mut ear = Ear::with(limits);
    let one = message(1, "v=0\r\n");
    for port in 1..100 {
        let on = |segment| Segment {
            flow: flow(port),
            ..segment
        };
        ear.put(on(segment(1000, &one)));
        ear.put(on(segment(1000 + u32::try_from(one.len()).unwrap(), &one[..150])));
        assert!(ear.streams.held_bytes() <= limits.bytes_max);
    }
    let streams = ear.streams.counters().streams;
    assert_eq!(streams.begun - streams.evicted, ear.streams.streams.len() as u64);
    assert!(ear.streams.streams.len() > 5, "{}", ear.streams.streams.len());
    assert!(ear.streams.streams.contains_key(&flow(99)));
    assert!(!ear.streams.streams.contains_key(&flow(1)));
    // Each was read as far as it had come.
    let truncated = ear.got.iter().filter(|(_, _, truncated)| *truncated).count();
    assert_eq!(truncated as u64, streams.evicted);
    ear.clear();
    let truncated = ear.got.iter().filter(|(_, _, truncated)| *truncated).count();
    assert_eq!(truncated, 99);
}

/// Catches idle streams that are kept for good, or forgotten while they speak.
#[test]
fn idle_streams_are_forgotten() {
    let one = message(1, "");
    let mut ear = Ear::new();
    ear.put(segment(1000, &one));
    ear.put(Segment {
        flow: flow(5061),
        ..segment(1000, &one)
    });
    // Stamps are not the clock.
    ear.advance(1_000_000_000);
    ear.advance(1_000_000_000 + IDLE_MS);
    assert_eq!(ear.streams.streams.len(), 2);
    ear.put(segment(1000 + u32::try_from(one.len()).unwrap(), b"\r\n\r\n"));
    ear.advance(1_000_000_001 + IDLE_MS);
    assert_eq!(ear.streams.streams.len(), 1);
    assert!(ear.streams.streams.contains_key(&flow(5060)));
    assert_eq!(ear.streams.counters().streams.forgotten, 1);
    assert_eq!(ear.streams.counters().messages.keep_alives, 1);
}

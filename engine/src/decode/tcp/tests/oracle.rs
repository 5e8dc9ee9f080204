//! Random traffic against what was sent: every message once and in order where nothing is lost, none that was not sent
//! where something is, and bounds under segments that make no sense.

use proptest::prelude::*;

use super::*;
use crate::decode::holes::{Hole, is_ahead};
use crate::decode::tcp::stream::Stream;

/// What a sender says: messages, and keep-alives between.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) stream: Vec<u8>,
    /// From where to where each message goes, and what it is.
    pub(super) messages: Vec<(usize, usize, Vec<u8>)>,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.stream))
    }
}

/// Bodies, among them those that quote SIP: a status line, a part of a message, a whole message (RFC 3420, RFC 3261 §23).
fn body(kind: u8, number: usize) -> String {
    match kind {
        0 => String::new(),
        1 => "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\n".to_owned(),
        2 => "SIP/2.0 200 OK\r\n".to_owned(),
        3 => "SIP/2.0 200 OK\r\n\r\n".to_owned(),
        4 => "SIP/2.0 486 Busy\r\nFrom: <sip:x@y>;tag=1\r\nContent-Length: 0\r\n\r\n".to_owned(),
        5 => format!(
            "--b\r\nContent-Type: message/sipfrag\r\nContent-Length: 9\r\n\r\nBYE sip:{number}@b SIP/2.0\r\n--b--\r\n"
        ),
        6 => String::from_utf8(message(1000 + number, "x")).unwrap(),
        _ => "no line end".repeat(usize::from(kind)),
    }
}

pub(super) fn said() -> impl Strategy<Value = Said> {
    prop::collection::vec((0_u8..14, 0_u8..6), 1..25).prop_map(|list| {
        let (mut stream, mut messages) = (Vec::new(), Vec::new());
        for (number, (kind, keep_alive)) in list.into_iter().enumerate() {
            let octets = message(number, &body(kind, number));
            let from = stream.len();
            stream.extend(&octets);
            messages.push((from, stream.len(), octets));
            stream.extend(match keep_alive {
                0 => &b"\r\n\r\n"[..],
                1 => b"\r\n",
                _ => b"",
            });
        }
        Said { stream, messages }
    })
}

/// Where the stream is cut into segments.
pub(super) fn cut(random: &mut fastrand::Rng, len: usize, size_max: usize) -> Vec<(usize, usize)> {
    let (mut from, mut pieces) = (0, Vec::new());
    while from < len {
        let to = (from + random.usize(1..=size_max)).min(len);
        pieces.push((from, to));
        from = to;
    }
    pieces
}

/// The first hole that reaches beyond what its stream waits for, or is not behind the one before it.
pub(super) fn disorder(ear: &Ear) -> Option<Hole> {
    let streams = ear.streams.streams.values();
    streams.map(Stream::holes).find_map(|(holes, next)| {
        let ends = holes.iter().skip(1).map(|hole| hole.from).chain([next]);
        let pairs = holes.iter().zip(ends);
        let ordered = |(hole, end): &(&Hole, u32)| {
            is_ahead(hole.from, hole.to) && !is_ahead(*end, hole.to) && (*end == next || hole.to != *end)
        };
        pairs
            .into_iter()
            .find(|pair| !ordered(pair))
            .map(|(hole, _)| *hole)
    })
}

proptest! {
    /// Catches a message that is lost, doubled, cut wrongly or handed on out of order, however the stream is cut, with copies,
    /// overlaps, and segments that overtake one another; and segments that are not counted.
    #[test]
    fn nothing_lost(said in said(), seed in any::<u64>(), size_max in 1_usize..1500, first in any::<u32>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let len = said.stream.len();
        let mut pieces = Vec::new();
        for (from, to) in cut(&mut random, len, size_max) {
            pieces.push((from, to));
            if random.u8(0..4) == 0 {
                pieces.push((from, to));
            }
            if random.u8(0..4) == 0 {
                pieces.push((from.saturating_sub(random.usize(0..600)), (to + random.usize(0..600)).min(len)));
            }
        }
        for at in 1..pieces.len() {
            if random.u8(0..3) == 0 {
                let other = at.saturating_sub(random.usize(1..20));
                pieces.swap(at, other);
            }
        }
        let mut ear = Ear::new();
        ear.advance(0);
        ear.put(flagged(first.wrapping_sub(1), SYN));
        for (from, to) in &pieces {
            ear.put(segment(first.wrapping_add(u32::try_from(*from).unwrap()), &said.stream[*from..*to]));
            ear.advance(HOLE_MS);
        }
        let wanted: Vec<_> = said.messages.iter().map(|(_, _, octets)| octets.as_slice()).collect();
        prop_assert_eq!(ear.whole(), wanted);
        prop_assert_eq!(ear.got.len(), said.messages.len());
        prop_assert_eq!(ear.streams.take_missed(), vec![]);
        let [empty, in_order, ahead, copy, tls, foreign] = ear.segments();
        prop_assert_eq!(empty + in_order + ahead + copy, 1 + pieces.len() as u64);
        prop_assert_eq!(tls + foreign, 0);
        prop_assert_eq!(ear.streams.counters().handed_on(), said.messages.len() as u64);
        ear.clear();
    }

    /// Catches a message made of two, or of what a body quotes, where segments are lost, cut, or the beginning was not seen;
    /// and messages that are not found again: all that neither lost anything nor follow one that did.
    #[test]
    fn losses_forge_nothing(
        said in said(),
        seed in any::<u64>(),
        size_max in 1_usize..1500,
        first in any::<u32>(),
        one_in in 2_u32..30,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let len = said.stream.len();
        let mut ear = Ear::new();
        ear.advance(0);
        let is_opened = random.bool();
        if is_opened {
            ear.put(flagged(first.wrapping_sub(1), SYN));
        }
        // What was there of each octet; and where segments begin.
        let mut is_there = vec![false; len];
        let mut begins = vec![false; len];
        let mut log = Vec::new();
        for (at, (from, to)) in cut(&mut random, len, size_max).into_iter().enumerate() {
            if random.u32(0..one_in) == 0 {
                continue;
            }
            let mut segment = segment(first.wrapping_add(u32::try_from(from).unwrap()), &said.stream[from..to]);
            if random.u32(0..one_in) == 0 {
                segment.octets = &segment.octets[..random.usize(0..to - from)];
            }
            is_there[from..from + segment.octets.len()].fill(true);
            begins[from] = true;
            log.push((from, segment.octets.len(), to - from));
            ear.put(segment);
            // Each hole is given up before the next one.
            ear.advance(i64::try_from(at + 1).unwrap() * 3 * HOLE_MS);
        }
        ear.advance(i64::try_from(len + 5).unwrap() * 3 * HOLE_MS);
        ear.clear();
        let sent = |octets: &[u8]| said.messages.iter().any(|(_, _, message)| message == octets);
        // A whole message that a body quotes is one, if a segment begins with it: nothing tells it from others.
        let quoted = |octets: &[u8]| {
            let quotes = said.messages.iter().filter_map(|(from, to, message)| {
                let body = message.len() - message.strip_suffix(octets).map_or(0, <[u8]>::len);
                (message.ends_with(octets) && body > 0).then(|| to - octets.len()).filter(|at| at > from)
            });
            quotes.into_iter().any(|at| begins[at])
        };
        for (_, octets, truncated) in &ear.got {
            if *truncated {
                let beginning = |(_, _, message): &(usize, usize, Vec<u8>)| message.starts_with(octets);
                prop_assert!(said.messages.iter().any(beginning), "forged: {:?}", String::from_utf8_lossy(octets));
            } else {
                prop_assert!(
                    sent(octets) || quoted(octets),
                    "forged: {:?} of {log:?}", String::from_utf8_lossy(octets)
                );
            }
        }
        let untouched = |at: usize| {
            let (from, to, _) = &said.messages[at];
            // With what is between it and the one before.
            let from = if at == 0 { *from } else { said.messages[at - 1].1 };
            is_there[from..*to].iter().all(|there| *there)
        };
        let whole = ear.whole();
        let mut calm = 0;
        for (at, (_, _, message)) in said.messages.iter().enumerate() {
            calm = if untouched(at) { calm + 1 } else { 0 };
            let from_the_beginning = calm == at + 1 && is_opened;
            if from_the_beginning || calm > 2 {
                let count = whole.iter().filter(|octets| octets == &message).count();
                prop_assert_eq!(count, 1, "message {} after {} calm ones", at, calm);
            }
        }
    }

    /// Catches memory beyond its bounds, a count that does not add up and a panic, under segments that make no sense.
    #[test]
    fn hostile_segments(seed in any::<u64>(), entries in 2_usize..40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = Limits { bytes_max: entries * ENTRY_BYTES + 100_000 };
        let mut ear = Ear::with(limits);
        let said = [message(1, "v=0\r\n"), b"\r\n\r\n".to_vec(), message(2, &"x".repeat(3000))].concat();
        let (mut count, mut now) = (0, 0);
        for _ in 0..400 {
            let from = random.usize(0..said.len());
            let to = random.usize(from..=said.len());
            let mut octets = said[from..to].to_vec();
            if random.u8(0..3) == 0 {
                octets.fill_with(|| random.u8(..));
            }
            let place = [0, u32::MAX - 20, random.u32(..)][random.usize(0..3)];
            let mut segment = segment(place.wrapping_add(u32::try_from(random.usize(0..2 * said.len())).unwrap()), &octets);
            segment.flow = flow(random.u16(0..60));
            segment.flags = [ACK, ACK, ACK, ACK, SYN, FIN, RST, 0xff][random.usize(0..8)];
            segment.octets = &segment.octets[..random.usize(0..=octets.len())];
            ear.put(segment);
            count += 1;
            prop_assert!(ear.streams.held_bytes() <= limits.bytes_max);
            prop_assert_eq!(disorder(&ear), None);
            now += random.i64(0..300);
            if random.u8(0..4) == 0 {
                ear.advance(now);
            }
        }
        prop_assert_eq!(disorder(&ear), None);
        let held: usize = ear.streams.streams.values().map(Stream::held_bytes).sum();
        prop_assert_eq!(held, ear.streams.held_bytes);
        let segments = ear.streams.counters().segments;
        prop_assert_eq!(segments.iter().map(|(_, count, _)| count).sum::<u64>(), count);
        prop_assert_eq!(ear.streams.counters().handed_on(), ear.got.len() as u64);
        ear.clear();
    }
}

//! Random liars against a live stream: segments ahead of it that it never said, which it may reach, and everything it says
//! twice.

use proptest::prelude::*;

use super::oracle::{Said, cut, disorder, said};
use super::*;

/// How many, so that no hole has to be forgotten.
const LIARS_MAX: usize = 5;

/// What a liar says.
fn lie(random: &mut fastrand::Rng, number: usize) -> Vec<u8> {
    match random.u8(0..7) {
        0 => Vec::new(),
        1 => b"#".to_vec(),
        2 => b"\r\n".to_vec(),
        3 => vec![b'#'; random.usize(2..700)],
        4 => message(number, "v=0\r\n"),
        5 => [&[0x16, 3, 1, 0, 200][..], &[7; 200]].concat(),
        _ => [&[0x17, 3, 3, 0, 5][..], &[7; 5]].concat(),
    }
}

/// What became of each message of a sender.
struct Peace {
    /// From where to where each goes, with what follows it.
    places: Vec<(usize, usize)>,
    is_disturbed: Vec<bool>,
}

impl Peace {
    fn of(said: &Said) -> Self {
        let begins = said.messages.iter().map(|(from, ..)| *from);
        let ends = begins.clone().skip(1).chain([said.stream.len()]);
        Self {
            places: begins.zip(ends).collect(),
            is_disturbed: vec![false; said.messages.len()],
        }
    }

    /// Something else was said in place of these, or it was said that something begins or ends there.
    fn touch(&mut self, from: usize, to: usize) {
        for (place, is_disturbed) in self.places.iter().zip(&mut self.is_disturbed) {
            *is_disturbed |= place.0 < to && from < place.1;
        }
    }

    /// Something happened when all before this was said.
    fn pause(&mut self, at: usize) {
        for (place, is_disturbed) in self.places.iter().zip(&mut self.is_disturbed) {
            *is_disturbed |= (place.0..=place.1).contains(&at);
        }
    }

    /// Those in peace after `calm` in peace.
    fn after(&self, calm: usize) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(move |at| {
            let before = at.saturating_sub(calm)..=*at;
            *at >= calm && !self.is_disturbed[before].contains(&true)
        })
    }
}

proptest! {
    /// Catches a stream that segments ahead of it make deaf; and messages that are handed on twice. Those that are a segment each are
    /// all read, but where a liar was put into one or the one before; others once three of their kind have gone before in peace.
    #[test]
    fn oracle_of_liars(
        said in said(),
        seed in any::<u64>(),
        size_max in 1_usize..1500,
        first in any::<u32>(),
        is_whole in any::<bool>(),
        is_silent in any::<bool>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ear = Ear::new();
        ear.advance(0);
        if random.bool() {
            ear.put(flagged(first.wrapping_sub(1), SYN));
        }
        let place = |at: usize| first.wrapping_add(u32::try_from(at).unwrap());
        let mut peace = Peace::of(&said);
        let pieces = if is_whole { peace.places.clone() } else { cut(&mut random, said.stream.len(), size_max) };
        let (mut now, mut log, mut lies) = (0, Vec::new(), Vec::new());
        // What begins with something else is listened to where a segment begins with a message.
        let begin = if is_whole { 0 } else { said.messages[0].1 };
        for (from, to) in pieces.iter().copied().chain([(said.stream.len(), said.stream.len())]) {
            if from >= begin && lies.len() < LIARS_MAX && random.u8(0..5) == 0 {
                let lie = if is_silent { Vec::new() } else { lie(&mut random, 9000 + lies.len()) };
                let far = match random.u8(0..3) {
                    0 => random.usize(0..900_000),
                    1 => random.usize(0..20_000),
                    _ => random.usize(0..1_000),
                };
                let flags = [ACK, ACK, ACK, FIN, RST, SYN][random.usize(0..6)];
                let at = from + far;
                log.push((from, at, flags, lie.len()));
                // SYN counts as one before what it carries.
                let sequence = place(at).wrapping_sub(u32::from(flags == SYN));
                for _ in 0..random.usize(1..3) {
                    ear.put(Segment { flags, ..segment(sequence, &lie) });
                }
                peace.touch(at, at + lie.len());
                if !is_whole {
                    peace.pause(from);
                }
                lies.push((at, lie));
            }
            if random.u8(0..3) == 0 {
                now += random.i64(1..3 * HOLE_MS);
                ear.advance(now);
                if !(is_whole || lies.is_empty()) {
                    peace.pause(from);
                }
            }
            ear.put(segment(place(from), &said.stream[from..to]));
            prop_assert_eq!(disorder(&ear), None);
            // Again: alone, with what was before it, or something from before.
            let again = match random.u8(0..4) {
                0 => (from, to),
                1 => (from.saturating_sub(random.usize(0..2000)), to),
                2 => (random.usize(0..=to), to),
                _ => continue,
            };
            ear.put(segment(place(again.0), &said.stream[again.0..again.1]));
            prop_assert_eq!(disorder(&ear), None);
        }
        ear.advance(now + 3 * HOLE_MS);
        ear.clear();
        let whole = ear.whole();
        let count = |octets: &[u8]| whole.iter().filter(|other| **other == octets).count();
        for at in peace.after(if is_whole { 1 } else { 3 }) {
            prop_assert_eq!(count(&said.messages[at].2), 1, "message {} after {:?}", at, log);
        }
        for (at, (_, _, octets)) in said.messages.iter().enumerate() {
            // Its first line that is its own.
            let begins = |other: &&Got| other.1.starts_with(&octets[..octets.len().min(90)]);
            let count = ear.got.iter().filter(begins).count();
            prop_assert!(count <= 1, "message {} {} times after {:?}", at, count, log);
        }
        let is_begun = |at: usize| pieces.iter().any(|(from, _)| *from == at) || lies.iter().any(|(from, _)| *from == at);
        for octets in whole.iter().filter(|_| is_silent) {
            let is_quoted = |(from, to, message): &(usize, usize, Vec<u8>)| {
                message.ends_with(octets) && *from + octets.len() < *to && is_begun(to - octets.len())
            };
            let is_sent = said.messages.iter().any(|one| one.2 == *octets || is_quoted(one));
            prop_assert!(is_sent, "forged: {:?} after {log:?}", String::from_utf8_lossy(octets));
        }
    }
}

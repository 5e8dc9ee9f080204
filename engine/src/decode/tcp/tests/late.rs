//! What comes out of holes that were given up, and what is far ahead of a stream.

use super::*;
use crate::decode::holes::is_ahead;
use crate::decode::tcp::ahead::Ahead;
use crate::decode::tcp::tail::Spare;

/// Catches octets that come after their hole was given up, in segments that hold no whole message, and are not read; and
/// a stream that then does not go on behind what it has read already.
#[test]
fn what_comes_late_is_put_together() {
    let list: Vec<_> = (1..=4).map(|n| message(n, &"v=0\r\n".repeat(80))).collect();
    let size = u32::try_from(list[0].len()).unwrap();
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(segment(1000, &list[0]));
    ear.put(segment(1000 + 2 * size, &list[2]));
    ear.advance(HOLE_MS + 1);
    let place = |at: usize| 1000 + size + u32::try_from(at).unwrap();
    ear.put(segment(place(0), &list[1][..200]));
    ear.put(segment(place(200), &list[1][200..]));
    ear.put(segment(1000 + 3 * size, &list[3]));
    assert_eq!(ear.whole(), [&list[0], &list[2], &list[1], &list[3]]);
    assert_eq!(ear.streams.counters().streams.holes, 1);
    assert!(ear.streams.waiting.is_empty());
}

/// Catches the beginning of a message that comes late, of whose rest nothing comes, and that the end of the capture loses.
#[test]
fn the_end_hands_on_what_came_late() {
    let list: Vec<_> = (1..=3).map(|n| message(n, &"v=0\r\n".repeat(80))).collect();
    let size = u32::try_from(list[0].len()).unwrap();
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(segment(1000, &list[0]));
    ear.put(segment(1000 + 2 * size, &list[2]));
    ear.advance(HOLE_MS + 1);
    let beginning = &list[1][..400];
    ear.put(segment(1000 + size, beginning));
    ear.clear();
    assert_eq!(ear.got.last(), Some(&(0, beginning.to_vec(), true)));
    assert_eq!(ear.streams.held_bytes, 0);
}

/// Catches a message that is read twice: what was read while something before it was missing comes again with that, in one
/// segment or alone, after more has been lost or not.
#[test]
fn what_was_read_is_not_read_again() {
    let list: Vec<_> = (1..=4).map(|n| message(n, &"v=0\r\n".repeat(80))).collect();
    let size = u32::try_from(list[0].len()).unwrap();
    let half = list[1].len() / 2;
    let middle = 1000 + size + u32::try_from(half).unwrap();
    for is_more_lost in [false, true] {
        let mut ear = Ear::new();
        ear.advance(0);
        ear.put(segment(1000, &list[0]));
        ear.put(segment(1000 + 2 * size, &list[2]));
        ear.advance(HOLE_MS + 1);
        ear.put(segment(1000 + size, &list[1][..half]));
        if is_more_lost {
            ear.put(segment(1000 + 4 * size, &list[0]));
            ear.advance(3 * HOLE_MS);
        }
        // The second half and what is behind it, as a sender that repeats puts them together.
        ear.put(segment(middle, &[&list[1][half..], &list[2]].concat()));
        ear.put(segment(1000 + 2 * size, &list[2]));
        ear.put(segment(1000 + 3 * size, &list[3]));
        ear.advance(9 * HOLE_MS);
        let again = is_more_lost.then_some(&list[0]);
        let wanted: Vec<_> = [&list[0], &list[2]]
            .into_iter()
            .chain(again)
            .chain([&list[1], &list[3]])
            .collect();
        assert_eq!(ear.whole(), wanted, "more lost: {is_more_lost}");
    }
}

/// Catches a piece that is half of all sequence numbers away, and so neither behind a hole nor popped: giving the hole up would
/// never end.
#[test]
fn half_of_all_numbers_ahead() {
    let (mut ahead, mut spare) = (Ahead::default(), Spare::default());
    assert!(ahead.put(0, (1 << 31, BEGIN), b"x", 1, &mut spare));
    assert!(is_ahead(0, (1 << 31) - 1) && !is_ahead(0, 1 << 31));
    assert!(ahead.pop(0).is_some() && ahead.is_empty());
}

/// Catches a stream that goes back through what it has missed, step by step, until what waits is half of all numbers away.
#[test]
fn steps_backwards_end() {
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(segment(1000, &message(1, "v=0\r\n")));
    let far = 1000 + 0x7fff_ffff;
    ear.put(segment(far, &[b'x'; 22]));
    ear.put(segment(far + 1_023, &[b'x'; 22]));
    for step in 1..=2_200_u32 {
        ear.put(segment(
            far.wrapping_sub(step * 1_000_000),
            b"INVITE sip:a SIP/2.0\r\n",
        ));
    }
    ear.advance(2 * HOLE_MS);
    ear.put(flagged(far, RST));
    ear.clear();
    // That it comes here is what counts; and that nothing was passed over or is left.
    let segments: u64 = ear.segments().iter().sum();
    assert_eq!(segments + ear.streams.counters().segments.late, 2_204);
    assert_eq!(ear.streams.held_bytes, 0);
}

/// Catches a stream that one segment far ahead of it makes deaf, whatever that segment is: data, an end, an
/// acknowledgement, a record of TLS; and however the messages are cut, before the stream has come there and behind. And one that reads
/// what it knows again.
#[test]
fn a_segment_far_ahead_does_not_deafen() {
    let list: Vec<_> = (1..=40).map(|n| message(n, &"v=0\r\n".repeat(80))).collect();
    let stream = list.concat();
    let (len, record) = (list[0].len(), [&[0x16, 3, 1, 0, 200][..], &[7; 200]].concat());
    for far in [100, 333, 5_000, 20_000, 30_000, 60_000, 900_000] {
        for flags in [ACK, ACK | FIN, RST, SYN] {
            for liar in [&b""[..], b"#", &message(99, ""), &record] {
                for size in [len, 333] {
                    let mut ear = Ear::new();
                    ear.advance(0);
                    ear.put(flagged(999, SYN));
                    ear.put(segment(1000, &list[0]));
                    let first = 1000 + u32::try_from(len).unwrap();
                    ear.put(Segment {
                        flags,
                        ..segment(first + far - u32::from(flags == SYN), liar)
                    });
                    ear.advance(HOLE_MS + 1);
                    for (at, octets) in stream[len..].chunks(size).enumerate() {
                        let first = first + u32::try_from(at * size).unwrap();
                        ear.put(segment(first, octets));
                        ear.put(segment(first, octets));
                    }
                    let whole = ear.whole();
                    let count = |one: &Vec<u8>| whole.iter().filter(|octets| *octets == one).count();
                    assert!(list.iter().all(|one| count(one) <= 1));
                    let missing = list.iter().filter(|one| count(one) == 0).count();
                    let is_reached = usize::try_from(far).unwrap() < stream.len() - len;
                    let missing_max = match (is_reached, size == len) {
                        (false, _) => 0,
                        (true, true) => 1,
                        (true, false) => 3,
                    };
                    assert!(
                        missing <= missing_max,
                        "{missing}: {far} {flags:#x} {} octets, in pieces of {size}",
                        liar.len()
                    );
                }
            }
        }
    }
}

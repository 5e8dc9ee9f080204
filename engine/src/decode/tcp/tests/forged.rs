//! What one forged segment does to a live stream: it costs the message that it is put into, and deafens or repeats nothing.

use super::*;

/// A record as TLS has them.
fn tls_record() -> Vec<u8> {
    [&[0x16, 3, 1, 0, 200][..], &[7; 200]].concat()
}

/// Messages of one length, of several lines of body, and that length.
fn messages(count: usize) -> (Vec<Vec<u8>>, u32) {
    let list: Vec<_> = (1..=count)
        .map(|n| message(10 + n, &"v=0\r\n".repeat(30)))
        .collect();
    let size = u32::try_from(list[0].len()).unwrap();
    (list, size)
}

/// Which of these were read, by their places, in the order in which they were.
fn read(ear: &Ear, list: &[Vec<u8>]) -> Vec<usize> {
    let place = |octets: &[u8]| list.iter().position(|message| message == octets);
    ear.whole()
        .into_iter()
        .map(|octets| place(octets).unwrap_or(usize::MAX))
        .collect()
}

/// A stream that was seen to open, and of which the first message was read; where it goes on.
fn live(list: &[Vec<u8>]) -> (Ear, u32) {
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(flagged(999, SYN));
    ear.put(segment(1000, &list[0]));
    (ear, 1000 + u32::try_from(list[0].len()).unwrap())
}

/// Catches a live stream that one segment like TLS makes deaf for good: with SYN, after an RST, or before its first message.
#[test]
fn a_record_of_tls_does_not_deafen() {
    let (list, size) = messages(12);
    let record = tls_record();
    for case in 0..4 {
        let (mut ear, next) = live(&list);
        let liar = segment(next, &record);
        match case {
            0 => ear.put(Segment {
                sequence: next - 1,
                flags: SYN,
                ..liar
            }),
            1 => {
                ear.put(flagged(next + 5000, RST));
                ear.put(liar);
            }
            2 => {
                ear = Ear::new();
                ear.put(flagged(next - 1, SYN));
                ear.put(liar);
            }
            _ => {
                ear = Ear::new();
                ear.put(liar);
            }
        }
        let mut first = next;
        for message in &list[1..] {
            ear.put(segment(first, message));
            first += size;
        }
        let whole = ear.whole();
        for message in &list[2..] {
            assert!(whole.contains(&message.as_slice()), "case {case}");
        }
    }
}

/// Catches a stream that is not listened to any more though it speaks SIP, as what comes late shows; and a body that is read like a
/// message because a SYN was put into it.
#[test]
fn a_forged_opening_is_doubted() {
    let (list, size) = messages(8);
    let mut ear = Ear::new();
    ear.put(flagged(999, SYN));
    ear.put(Segment {
        flags: SYN,
        ..segment(999 + 2 * size, &tls_record())
    });
    let mut first = 1000;
    for octets in list.concat().chunks(90) {
        ear.put(segment(first, octets));
        first += 90;
    }
    let read = read(&ear, &list);
    assert!([0, 1, 5, 6, 7].iter().all(|at| read.contains(at)), "{read:?}");
    let body = "OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n";
    let quote = message(1, &format!("no line end{body}"));
    let (mut ear, next) = live(&list);
    let at = quote.len() - body.len() - 2;
    ear.put(flagged(next + u32::try_from(at).unwrap() - 1, SYN));
    ear.put(segment(next, &quote[..at]));
    ear.put(segment(next + u32::try_from(at).unwrap(), &quote[at..]));
    assert_eq!(ear.whole(), [&list[0], &quote]);
    // As the first that is seen, into a body without line ends.
    let mut ear = Ear::new();
    let at = u32::try_from(at).unwrap() - 2;
    ear.put(flagged(next + at - 1, SYN));
    ear.put(segment(next - size, &list[0]));
    ear.put(segment(next, &quote));
    assert_eq!(ear.whole(), [&list[0], &quote]);
}

/// Catches a message that is read twice after the stream went back over a hole that was given up, by a leap or by a SYN.
#[test]
fn a_way_back_over_a_hole_repeats_nothing() {
    let (list, size) = messages(3);
    for flags in [ACK, SYN] {
        let (mut ear, next) = live(&list);
        ear.put(segment(next + 900_000, b"#"));
        ear.advance(HOLE_MS + 1);
        ear.put(segment(next + 1_900_001, b"#"));
        ear.advance(3 * HOLE_MS);
        if flags == SYN {
            ear.put(flagged(next - 1, SYN));
        }
        for _ in 0..2 {
            ear.put(segment(next, &list[1]));
            ear.put(segment(next + size, &list[2]));
        }
        assert_eq!(read(&ear, &list), [0, 1, 2], "{flags:#x}");
    }
}

/// Catches an end that takes a stream back behind what it has read, which is then read twice; and one that costs the message
/// that goes on beyond it.
#[test]
fn an_end_within_what_was_said_is_none() {
    let (list, size) = messages(4);
    let joined = list[1..3].concat();
    for is_one in [false, true] {
        let (mut ear, next) = live(&list);
        ear.put(flagged(next + 100, FIN));
        if is_one {
            ear.put(segment(next, &joined));
        } else {
            ear.put(segment(next + size, &list[2]));
            ear.put(segment(next, &list[1]));
        }
        ear.put(segment(next + size, &list[2]));
        ear.put(segment(next, &list[1]));
        ear.put(segment(next + 2 * size, &list[3]));
        ear.put(segment(next + size, &list[2]));
        ear.put(segment(next, &joined));
        assert_eq!(read(&ear, &list), [0, 1, 2, 3], "in one: {is_one}");
        assert_eq!(ear.streams.counters().streams.begun, 1);
    }
    // Where the stream waits.
    let (mut ear, next) = live(&list);
    ear.put(flagged(next, FIN));
    for at in 1..4 {
        ear.put(segment(next + (at - 1) * size, &list[at as usize]));
    }
    assert_eq!(read(&ear, &list), [0, 1, 2, 3]);
}

/// Catches octets out of a hole that are not read because their segment begins before it, or reaches over what came meanwhile.
#[test]
fn late_octets_are_read_wherever_their_segment_begins() {
    let (list, size) = messages(5);
    let (mut ear, next) = live(&list);
    ear.put(segment(next + size, &list[2]));
    ear.advance(HOLE_MS + 1);
    ear.put(segment(1000, &list[..3].concat()));
    assert_eq!(read(&ear, &list), [0, 2, 1]);
    assert_eq!(ear.streams.counters().segments.late, 1);
    // Packed anew: the first half of what lies there is known.
    let (mut ear, next) = live(&list);
    ear.put(segment(next + 900_000, b"#"));
    ear.advance(HOLE_MS + 1);
    ear.put(segment(next, &list[1]));
    let from = next + size / 2;
    ear.put(segment(from, &list[1..4].concat()[list[1].len() / 2..]));
    assert_eq!(read(&ear, &list), [0, 1, 2, 3]);
    // Two holes in one segment.
    let (mut ear, next) = live(&list);
    for at in [1, 3] {
        ear.put(segment(next + at * size, &list[at as usize + 1]));
        ear.advance(i64::from(at) * 2 * HOLE_MS);
    }
    ear.put(segment(next, &list[1..].concat()));
    assert_eq!(read(&ear, &list), [0, 2, 4, 1, 3]);
}

/// Catches octets that a stream which is over swallows: of a segment that begins before its end and goes on behind it.
#[test]
fn what_goes_on_behind_an_end_is_read() {
    let (list, size) = messages(5);
    let (mut ear, next) = live(&list);
    ear.put(flagged(next, RST));
    ear.put(segment(1000, &list[..2].concat()));
    ear.put(segment(next, &list[1]));
    ear.put(segment(next + size, &list[2]));
    assert_eq!(read(&ear, &list), [0, 1, 2]);
    // The end lies ahead, and what is missing before it is given up.
    let (mut ear, next) = live(&list);
    ear.put(flagged(next + 100, FIN));
    ear.advance(HOLE_MS + 1);
    ear.put(segment(next, &list[1..4].concat()));
    ear.put(segment(next, &list[1..4].concat()));
    ear.put(segment(next + 3 * size, &list[4]));
    assert_eq!(read(&ear, &list), [0, 1, 2, 3, 4]);
    // As above, by an acknowledgement.
    let (mut ear, next) = live(&list);
    ear.put(segment(next + 100, b""));
    ear.advance(HOLE_MS + 1);
    ear.put(segment(next, &list[1..4].concat()));
    ear.put(segment(next, &list[1..4].concat()));
    ear.put(segment(next + 3 * size, &list[4]));
    assert_eq!(read(&ear, &list), [0, 1, 2, 3, 4]);
}

/// Catches a stream that is over because there was no room, and swallows the segment that needed it.
#[test]
fn an_end_for_want_of_room_swallows_nothing() {
    let (list, _) = messages(2);
    let (mut ear, next) = live(&list);
    ear.put(Segment {
        flags: FIN,
        ..segment(next + 10, b"#")
    });
    for at in 0..255 {
        ear.put(segment(next + 20 + 2 * at, b"#"));
    }
    assert_eq!(read(&ear, &list), [0]);
    ear.put(segment(next + 60_000, &list[1]));
    assert_eq!(read(&ear, &list), [0, 1]);
}

/// Catches a gap before a stream of another protocol that begins to speak SIP, and out of which nothing is read.
#[test]
fn late_in_a_stream_that_was_foreign() {
    let (list, size) = messages(3);
    for octets in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), tls_record()] {
        let mut ear = Ear::new();
        ear.put(flagged(999, SYN));
        ear.put(segment(1000, &octets));
        let next = 1000 + u32::try_from(octets.len()).unwrap();
        ear.put(segment(next + size, &list[1]));
        ear.put(segment(next, &list[0]));
        ear.put(segment(next + size, &list[1]));
        ear.put(segment(next + 2 * size, &list[2]));
        assert_eq!(read(&ear, &list), [1, 0, 2]);
    }
}

/// Catches an acknowledgement that was overtaken long ago and is believed again when sequence numbers have come round to it.
#[test]
fn what_was_told_is_forgotten() {
    let (list, size) = messages(1);
    let mut ear = Ear::new();
    ear.advance(0);
    ear.put(flagged(u32::MAX, SYN));
    ear.put(segment(50, b""));
    ear.put(segment(0, &list[0]));
    let stream = ear.streams.streams.get_mut(&flow(5060)).unwrap();
    stream.wind_on(u32::MAX / 2 + 100_000);
    let next = u32::MAX / 2 + 100_000;
    ear.put(segment(next, &list[0]));
    assert!(ear.streams.waiting.is_empty());
    ear.put(segment(next + size + 300, b""));
    assert!(!ear.streams.waiting.is_empty(), "a new one is believed");
    ear.advance(HOLE_MS + 1);
    assert_eq!(ear.streams.counters().streams.hole_octets, 300);
}

/// Catches the beginning of a message that came late and that waits for its rest when the connection has ended.
#[test]
fn an_end_hands_on_what_came_late() {
    let (list, size) = messages(3);
    let beginning = &list[1][..300];
    for flags in [FIN, RST, SYN] {
        let (mut ear, next) = live(&list);
        ear.put(segment(next + size, &list[2]));
        ear.advance(HOLE_MS + 1);
        ear.put(segment(next, beginning));
        ear.put(flagged(next + 2 * size, flags));
        assert_eq!(ear.got.last(), Some(&(0, beginning.to_vec(), true)), "{flags:#x}");
        assert_eq!(
            ear.streams.held_bytes,
            ear.streams.streams[&flow(5060)].held_bytes()
        );
        ear.clear();
        assert_eq!(ear.got.len(), 3);
    }
}

/// Catches octets that count as lost twice: when their hole is given up, and when they come late in a segment that was cut.
#[test]
fn a_late_segment_that_was_cut_counts_once() {
    let (list, size) = messages(4);
    let (mut ear, next) = live(&list);
    ear.put(segment(next + 2 * size, &list[3]));
    ear.advance(HOLE_MS + 1);
    ear.streams.take_missed();
    let head = list[1].len() - 100;
    let mut cut = segment(next, &list[1]);
    cut.octets = &list[1][..head];
    ear.put(cut);
    ear.put(segment(next + size, &list[2]));
    let got: Vec<_> = ear.got[2..]
        .iter()
        .map(|(_, octets, cut)| (&octets[..], *cut))
        .collect();
    assert_eq!(got, [(&list[1][..head], true), (&list[2][..], false)]);
    let streams = ear.streams.counters().streams;
    assert_eq!((streams.holes, streams.hole_octets), (1, u64::from(2 * size)));
    assert_eq!(ear.streams.take_missed(), []);
}

/// Catches a stream that leaves what it was told lies before it to the reader of what comes late, and takes over in the middle of a
/// message: when the hole began in a body.
#[test]
fn back_into_a_hole_behind_a_body() {
    let (list, size) = messages(6);
    for flags in [ACK, FIN] {
        let (mut ear, next) = live(&list);
        let at = usize::try_from(size).unwrap() - 50;
        ear.put(segment(next, &list[1][..at]));
        let mut first = next + size - 50;
        ear.put(flagged(first + 9000, flags));
        ear.advance(HOLE_MS + 1);
        for octets in list[1..].concat()[at..].chunks(500) {
            ear.put(segment(first, octets));
            first += 500;
        }
        assert_eq!(read(&ear, &list), [0, 2, 3, 4, 5], "{flags:#x}");
    }
}

/// Catches a stream of which a lie was seen first, and that is deaf until it has come there.
#[test]
fn a_lie_may_come_first() {
    let (list, size) = messages(12);
    for flags in [ACK, SYN] {
        for far in [5 * size + 7, 900_000] {
            let mut ear = Ear::new();
            let mut first = 1000;
            ear.put(Segment {
                flags,
                ..segment(first + far, b"#")
            });
            for message in &list {
                ear.put(segment(first, message));
                ear.put(segment(first, message));
                first += size;
            }
            let mut wanted: Vec<_> = (0..12).collect();
            wanted.retain(|at| far > 12 * size || *at != 5);
            assert_eq!(read(&ear, &list), wanted, "{flags:#x} {far}");
        }
    }
}

//! Tests of framing: where messages end, keep-alives, refusals, the search for a beginning, work done.

use proptest::prelude::*;

use super::{Extent, Framer, Step};
use crate::limits::{LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::message::ContentLength;
use crate::parse;

/// A request with these lines before the empty one.
fn request(lines: &str) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:x@y>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n{lines}\r\n"
    )
}

/// A request with this body.
fn with_body(body: &str) -> String {
    request(&format!("Content-Length: {}\r\n", body.len())) + body
}

/// All that is found in `octets` when they come in pieces of `size`: messages, and what else was said. Catches on its way work out
/// of proportion: octets that are looked at again and again because others come one by one.
fn all(mut framer: Framer, octets: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<Step>) {
    let (mut held, mut pass) = (Vec::new(), 0);
    let (mut found, mut other) = (Vec::new(), Vec::new());
    let mut looked_at = 0;
    for piece in octets.chunks(size) {
        held.extend(piece);
        loop {
            let passed = held.len().min(pass);
            held.drain(..passed);
            pass -= passed;
            if pass > 0 {
                break;
            }
            if framer.extent().is_none() {
                looked_at += held.len() - framer.seen;
            }
            match framer.look(&held) {
                Step::More => break,
                Step::Message(extent) if extent.len > held.len() => break,
                Step::Message(extent) => {
                    found.push(held.drain(..extent.len).collect());
                    framer.next();
                }
                step @ Step::KeepAlive(octets) => {
                    other.push(step);
                    held.drain(..octets);
                }
                Step::Pass(octets) => pass = octets,
                Step::Lost => other.push(Step::Lost),
            }
        }
    }
    if size < 4 {
        assert!(
            looked_at <= 4 * octets.len() + 100,
            "{looked_at} of {}",
            octets.len()
        );
    }
    (found, other)
}

/// Messages out of a stream whose beginning was seen, or not, however it is cut.
fn messages(framer: Framer, stream: &str) -> Vec<String> {
    let whole = all(framer, stream.as_bytes(), stream.len().max(1)).0;
    for size in [1, 2, 3, 7, 100] {
        let (pieces, _) = all(framer, stream.as_bytes(), size);
        assert_eq!(pieces, whole, "in pieces of {size}: {stream}");
    }
    whole
        .into_iter()
        .map(|octets| String::from_utf8(octets).unwrap())
        .collect()
}

/// Catches messages that are cut at the wrong place: with bodies, without, with line ends between them, with LF alone,
/// with the compact name, with folds and odd white space in it.
#[test]
fn messages_in_step() {
    let list = [
        with_body("v=0\r\n"),
        with_body(""),
        request("l: 3\r\n") + "abc",
        request("Content-Length :\r\n  2\r\n") + "ab",
        request("cOnTeNt-LeNgTh:0003\r\nX: y\r\n") + "\r\n\r",
        request("Content-Length: 1\r\nl: 1\r\n") + "x",
        request("Content-Length: 4\r\n").replace("\r\n", "\n") + "\n\n\n\n",
        request("X: a\r\n \r\n b\r\nContent-Length: 1\r\n") + "x",
        with_body(&with_body("quoted")),
        with_body("SIP/2.0 200 OK\r\n\r\n"),
        // White space before the first name, more of it than the parser's quick look at names reaches over.
        request("").replacen("Via", &format!("{}l: 3\r\nVia", " ".repeat(30)), 1) + "abc",
    ];
    let stream = list.join("\r\n\r\n");
    assert_eq!(messages(Framer::in_step(), &stream), list);
    let (_, other) = all(Framer::in_step(), stream.as_bytes(), stream.len());
    assert_eq!(other, vec![Step::KeepAlive(4); list.len() - 1]);
}

/// Catches a line that came in part, is looked at again behind the line ends in front of it, and of which then the beginning
/// is passed over.
#[test]
fn line_ends_before_a_line_that_came_in_part() {
    let next = with_body("");
    let line = format!("\r\r\r{}", &next[..10]);
    let mut framer = Framer::in_step();
    assert_eq!(framer.look(b"#\r\nabc\r\n"), Step::Lost);
    assert_eq!(framer.look(b"#\r\n"), Step::Pass(3));
    assert_eq!(framer.look(line.as_bytes()), Step::More);
    let line = format!("\r\r\r{next}");
    assert_eq!(framer.look(line.as_bytes()), Step::KeepAlive(3));
    assert_eq!(framer.seen, 10);
    assert!(matches!(framer.look(next.as_bytes()), Step::Message(extent) if extent.len == next.len()));
}

/// Catches a Content-Length that is believed though it says nothing: different ones, none, words, negative ones, one that is
/// larger than anything; and a stream that does not find its step again behind it.
#[test]
fn lengths_that_say_nothing() {
    let next = with_body("next");
    let after = with_body("after");
    for lines in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: many\r\n",
        "Content-Length: 4294967296\r\n",
        "Content-Length: 1048577\r\n",
        "",
    ] {
        let first = request(lines);
        // Nobody knows where that body ends but for the start line behind it.
        let stream = format!("{first}v=0\r\no=x\r\n{next}{after}");
        assert_eq!(
            messages(Framer::in_step(), &stream),
            [first.clone(), next.clone(), after.clone()],
            "{lines}"
        );
    }
    // Absent and no body: in step all the time.
    let bare = request("");
    let stream = format!("{bare}{bare}{after}");
    assert_eq!(messages(Framer::in_step(), &stream), [bare.clone(), bare, after]);
}

/// Catches a start in the middle that misses the first whole message, or takes what a body quotes for one.
#[test]
fn messages_out_of_step() {
    let (one, two) = (with_body("v=0\r\n"), with_body("v=1\r\n"));
    let quoted = with_body("SIP/2.0 200 OK\r\n");
    let forged = with_body(&with_body("forged"));
    for (before, found) in [
        // Behind a body's line.
        ("a=x\r\n", true),
        // Behind a header whose Content-Length is in sight.
        ("x\r\nContent-Length: 3\r\n\r\nabc", true),
        ("x\r\nl: 0\r\n\r\n", true),
        // Behind an empty line a body may begin: the one after is believed.
        ("x\r\n\r\n", false),
        ("\r\n", false),
        // Who knows of which line this is the end.
        ("x", false),
    ] {
        let stream = format!("{before}{one}{two}");
        let wanted = if found {
            vec![one.clone(), two.clone()]
        } else {
            vec![two.clone()]
        };
        assert_eq!(messages(Framer::out_of_step(), &stream), wanted, "{before:?}");
    }
    for (middle, name) in [(&quoted, "a status line"), (&forged, "a message")] {
        // From within its header on: in sight of the Content-Length, or not.
        for from in [30, middle.find("\r\n\r\n").unwrap() + 2] {
            let stream = format!("{}{one}{two}", &middle[from..]);
            let found = messages(Framer::out_of_step(), &stream);
            assert!(
                found.ends_with(std::slice::from_ref(&two)),
                "{name} from {from}: {found:?}"
            );
            let sent = |message: &String| [&one, &two].contains(&message);
            assert!(found.iter().all(sent), "{name} from {from}: {found:?}");
        }
    }
}

/// Catches a start line in some text that is taken for a message though no header follows it.
#[test]
fn a_message_has_a_header() {
    let one = with_body("");
    let stream = format!("x\r\nthey sent\r\nBYE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nl: 0\r\n\r\n{one}");
    assert_eq!(messages(Framer::out_of_step(), &stream), [one]);
}

/// Catches a segment that begins like a message and is not looked at, and one taken for a message that is none.
#[test]
fn segments_that_begin_a_message() {
    let one = with_body("v=0\r\n");
    let mut framer = Framer::out_of_step();
    assert!(!framer.begins(b"v=0\r\n"));
    assert!(!framer.begins(format!("\r\n\r\n{one}").as_bytes()));
    assert!(framer.begins(one.as_bytes()));
    assert_eq!(messages(framer, &one), std::slice::from_ref(&one));
    let mut in_step = Framer::in_step();
    assert!(!in_step.begins(one.as_bytes()), "it knows already");
    // What sipfrag quotes lacks what a message has; the message behind it is found.
    let stream = format!("SIP/2.0 200 OK\r\n{one}");
    let mut framer = Framer::out_of_step();
    assert!(framer.begins(stream.as_bytes()));
    assert_eq!(messages(framer, &stream), [one]);
}

/// Catches other protocols that are waited for, and a first line or header without end that is kept.
#[test]
fn what_is_no_message() {
    for (octets, step) in [
        (&b"GET / HTTP/1.1\r\n"[..], Step::Lost),
        (b"v=0\r\n", Step::Lost),
        (b"\x16\x03\x01", Step::Lost),
        (b"\x00", Step::Lost),
        (b"INVITE", Step::More),
        (b"INVITE sip:a@b SIP/7.0\r\n", Step::More),
    ] {
        assert_eq!(Framer::in_step().look(octets), step, "{octets:?}");
    }
    let line = vec![b'A'; LINE_BYTES_MAX];
    assert_eq!(Framer::in_step().look(&line), Step::More);
    assert_eq!(Framer::in_step().look(&[&line[..], b"A"].concat()), Step::Lost);
    let mut header = request("").into_bytes();
    header.truncate(header.len() - 2);
    while header.len() < MESSAGE_BYTES_MAX {
        assert_eq!(Framer::in_step().look(&header), Step::More);
        header.extend(b"X: 0123456789\r\n");
    }
    header.truncate(MESSAGE_BYTES_MAX);
    assert_eq!(Framer::in_step().look(&header), Step::More);
    header.push(b'x');
    assert_eq!(Framer::in_step().look(&header), Step::Lost);
}

/// Catches a long line of a header that breaks the step: the parser refuses the message, the next one is read.
#[test]
fn long_lines_keep_the_step() {
    let long = request(&format!("X: {}\r\nl: 2\r\n", "x".repeat(LINE_BYTES_MAX))) + "ab";
    let next = with_body("");
    assert_eq!(
        all(Framer::in_step(), format!("{long}{next}").as_bytes(), 1000).0,
        [long.as_bytes(), next.as_bytes()]
    );
}

/// Catches a search that keeps a line without end.
#[test]
fn endless_lines_are_dropped_in_the_search() {
    let mut framer = Framer::out_of_step();
    let line = vec![b'x'; LINE_BYTES_MAX + 1];
    assert_eq!(framer.look(&line[1..]), Step::More);
    assert_eq!(framer.look(&line), Step::Pass(line.len()));
    assert_eq!(framer.look(b"x"), Step::Pass(1));
    assert_eq!(framer.look(b"x\r\n"), Step::Pass(3));
    let one = with_body("");
    assert_eq!(messages(framer, &one), [one]);
}

/// Where the framer says that the message in `octets` ends, given that it is whole.
fn extent(octets: &[u8]) -> Option<Extent> {
    let mut framer = Framer::in_step();
    match framer.look(octets) {
        Step::Message(extent) => Some(extent),
        _ => None,
    }
}

/// Lines of a header as they may come: good ones, and all that could be taken for an end or a length.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 7\n",
        "l:5\r\n",
        "L : 5\r\n",
        "Content-Length\r\n : 5\r\n",
        "\rl: 5\r\n",
        "Content-Length:\r\n\t5\r\n",
        "Content-Length: 5 \r\n \r\n",
        "Content-Length 5\r\n",
        "X: Content-Length: 9\r\n",
        " folded: 1\r\n",
        " \r\n",
        "\t\n",
        "\r\r\n",
        "no colon\r\n",
        "Subject: \r\n",
        "Lx: 1\r\n",
        "c: application/sdp\r\n",
    ])
}

proptest! {
    /// Catches framing that disagrees with the parser about where headers end, or about the body's length.
    #[test]
    fn agrees_with_the_parser(lines in prop::collection::vec(line(), 0..6), body in "[a-z\r\n]{0,12}") {
        let octets = request(&lines.concat()) + &body;
        let octets = octets.as_bytes();
        let Some(extent) = extent(octets) else {
            prop_assert!(parse(octets).is_err() || parse(octets).unwrap().truncated());
            return Ok(());
        };
        let Ok(message) = parse(octets) else { return Ok(()) };
        prop_assert!(!message.truncated());
        let body_len = match message.content_length() {
            ContentLength::Octets(len) => usize::try_from(len).unwrap(),
            ContentLength::Absent | ContentLength::Ambiguous => 0,
        };
        prop_assert_eq!(extent.len, extent.head + body_len);
        // One octet less is no whole header to the parser.
        prop_assert!(!parse(&octets[..extent.head]).unwrap().truncated());
        prop_assert!(parse(&octets[..extent.head - 1]).map_or(true, |message| message.truncated()));
    }

    /// Catches answers that depend on how a stream is cut into pieces.
    #[test]
    fn pieces_change_nothing(
        parts in prop::collection::vec(prop_oneof![
            Just(with_body("v=0\r\n")),
            Just(with_body("SIP/2.0 200 OK\r\n")),
            Just(request("")),
            Just(request("l: x\r\n")),
            Just("\r\n\r\n".to_owned()),
            Just("a=b\r\n".to_owned()),
            Just("INVITE sip:a@b SIP/2.0\r\n".to_owned()),
            Just("Content-Length: 9\r\n\r\n".to_owned()),
        ], 0..8),
        size in 1_usize..200,
        in_step in any::<bool>(),
    ) {
        let stream = parts.concat();
        let framer = if in_step { Framer::in_step() } else { Framer::out_of_step() };
        let whole = all(framer, stream.as_bytes(), stream.len().max(1)).0;
        prop_assert_eq!(all(framer, stream.as_bytes(), size).0, whole);
    }
}

//! What makes octets a message or none: start line, essential fields, lengths, limits, line ends, cuts.

use ringtap_sip::{ContentLength, Fault, Header, Method, Start, limits, parse};

use crate::{FIELDS, fault, invite, message, read};

/// Catches a hot field read wrong in a plain message: without this the other tests mean little.
#[test]
fn plain_request_and_response() {
    let text = message("INVITE sip:li@ims.test SIP/2.0", &["Content-Length: 4"], "v=0\n");
    let request = read(&text);
    assert_eq!(
        request.start(),
        Start::Request {
            method: Method::Invite,
            uri: b"sip:li@ims.test"
        }
    );
    assert!(request.is_request());
    assert_eq!(
        (request.method(), request.cseq(), request.status()),
        (Method::Invite, 7, None)
    );
    assert_eq!(request.call_id(), b"call-1@192.0.2.1");
    assert_eq!((request.from_tag(), request.to_tag()), (Some(&b"f1"[..]), None));
    assert_eq!(request.from(), b"\"Zhang\" <sip:zhang@ims.test>;tag=f1");
    assert_eq!(request.to(), b"<sip:li@ims.test>");
    assert_eq!(request.top_via().sent_by, b"192.0.2.1:5060");
    assert_eq!(request.top_via().branch, Some(&b"z9hG4bKa1"[..]));
    assert_eq!(
        request.top_via().key_bytes(),
        [&b"z9hG4bKa1"[..], b"192.0.2.1:5060"]
    );
    assert_eq!(
        (request.body(), request.body_truncated(), request.truncated()),
        (&b"v=0\n"[..], false, false)
    );
    assert_eq!(request.header(Header::CallId), Some(&b"call-1@192.0.2.1"[..]));
    assert_eq!(request.header(Header::Subject), None);

    let text = message("SIP/2.0 180 Ringing", &["To: <sip:li@ims.test>;tag=t1"], "");
    let response = read(&text);
    assert_eq!(
        response.start(),
        Start::Response {
            status: 180,
            reason: b"Ringing"
        }
    );
    assert_eq!((response.status(), response.request_uri()), (Some(180), None));
    assert_eq!(response.to_tag(), Some(&b"t1"[..]));
}

/// Rows "response code > 699", "`SIP/7.0`" and what else makes a start line unusable.
#[test]
fn start_lines() {
    let cases = [
        ("SIP/2.0 4294967301 better not", Fault::BadStatus),
        ("SIP/2.0 700 no class", Fault::BadStatus),
        ("OPTIONS sip:b SIP/7.0", Fault::BadVersion),
        ("INVITE sip:b", Fault::BadStartLine),
        ("GET / HTTP/1.1", Fault::NotSip),
    ];
    for (start, wanted) in cases {
        assert_eq!(fault(&message(start, &[], "")), wanted, "{start}");
    }
    assert_eq!(read(&message("SIP/2.0 699 x", &[], "")).status(), Some(699));
}

/// Rows "multiple values in single-value fields" and "missing To/From/Call-ID/CSeq/Via": the fault names
/// which.
#[test]
fn essential_fields() {
    let missing = [
        Fault::MissingVia,
        Fault::MissingFrom,
        Fault::MissingTo,
        Fault::MissingCallId,
        Fault::MissingCseq,
    ];
    for (field, wanted) in FIELDS.iter().zip(missing) {
        let whole = invite(&[]);
        assert_eq!(fault(&whole.replace(&format!("{field}\r\n"), "")), wanted);
        let name = field.split(':').next().unwrap();
        assert_eq!(fault(&whole.replace(field, &format!("{name}: "))), wanted);
        let twice = fault_or_none(&whole.replace(field, &format!("{field}\r\n{field}")));
        assert_eq!(twice, (name != "Via").then_some(Fault::Repeated), "{name}");
    }
    assert_eq!(fault(&invite(&["Via: 192.0.2.1"])), Fault::BadVia);
}

fn fault_or_none(text: &str) -> Option<Fault> {
    parse(text.as_bytes()).err()
}

/// Rows "leading zeros", "CSeq method ≠ request method", "200 confusion" and the overlarge scalars.
#[test]
fn cseq() {
    assert_eq!(read(&invite(&["CSeq: 0009 INVITE"])).cseq(), 9);
    assert_eq!(
        read(&invite(&["CSeq: 2147483647   INVITE "])).cseq(),
        2_147_483_647
    );
    for cseq in [
        "36893488147419103232 INVITE",
        "-1 INVITE",
        "INVITE",
        "7",
        "7 INVITE x",
        "7INVITE",
    ] {
        assert_eq!(
            fault(&invite(&[&format!("CSeq: {cseq}")])),
            Fault::BadCseq,
            "{cseq}"
        );
    }
    assert_eq!(fault(&invite(&["CSeq: 7 BYE"])), Fault::CseqMethodMismatch);
    assert_eq!(fault(&invite(&["CSeq: 7 invite"])), Fault::CseqMethodMismatch);
    let odd = message("NEWMETHOD sip:b SIP/2.0", &["CSeq: 7 OLDMETHOD"], "");
    assert_eq!(fault(&odd), Fault::CseqMethodMismatch);
    let cancelled = message("SIP/2.0 200 OK", &["CSeq: 7 CANCEL"], "");
    assert_eq!(read(&cancelled).method(), Method::Cancel);
    let odd = message("NEWMETHOD sip:b SIP/2.0", &["CSeq: 7 NEWMETHOD"], "");
    assert_eq!(
        (read(&odd).method(), read(&odd).method_token()),
        (Method::Other, &b"NEWMETHOD"[..])
    );
}

/// Rows "extra octets after body" and "Content-Length ...": the headers are used whatever the length says.
#[test]
fn content_lengths() {
    let second = "v=0\nBYE sip:li@ims.test SIP/2.0\r\nCall-ID: other\r\n\r\n";
    let cases: &[(&[&str], &str, ContentLength, &str, bool)] = &[
        (
            &["Content-Length: 4"],
            second,
            ContentLength::Octets(4),
            "v=0\n",
            false,
        ),
        (&["l: 0004"], second, ContentLength::Octets(4), "v=0\n", false),
        (&[], "v=0\n", ContentLength::Absent, "v=0\n", false),
        (&["Content-Length: 0"], "", ContentLength::Octets(0), "", false),
        (
            &["Content-Length: 9999"],
            "v=0\n",
            ContentLength::Octets(9999),
            "",
            true,
        ),
        (
            &["Content-Length: 99999999999"],
            "v=0\n",
            ContentLength::Octets(u32::MAX),
            "",
            true,
        ),
        (
            &["Content-Length: -999"],
            "v=0\n",
            ContentLength::Ambiguous,
            "",
            false,
        ),
        (&["Content-Length:"], "v=0\n", ContentLength::Ambiguous, "", false),
        (
            &["Content-Length: 4", "l:4"],
            "v=0\n",
            ContentLength::Octets(4),
            "v=0\n",
            false,
        ),
        (
            &["Content-Length: 4", "l:3"],
            "v=0\n",
            ContentLength::Ambiguous,
            "",
            false,
        ),
        (
            &["Content-Length: 4", "l:3", "l:3"],
            "v=0\n",
            ContentLength::Ambiguous,
            "",
            false,
        ),
    ];
    for (lines, rest, length, body, cut) in cases {
        let text = message("INVITE sip:li@ims.test SIP/2.0", lines, rest);
        let message = read(&text);
        assert_eq!(message.call_id(), b"call-1@192.0.2.1");
        assert_eq!(message.content_length(), *length, "{lines:?}");
        assert_eq!(message.body(), body.as_bytes(), "{lines:?}");
        assert_eq!(message.body_truncated(), *cut, "{lines:?}");
    }
}

/// Row "very long values": each limit is met and passed by one.
#[test]
fn limits_hold() {
    let long = |bytes: usize| format!("Subject: {}", "x".repeat(bytes - "Subject: \r\n".len()));
    read(&invite(&[&long(limits::LINE_BYTES_MAX)]));
    assert_eq!(
        fault(&invite(&[&long(limits::LINE_BYTES_MAX + 1)])),
        Fault::LineTooLong
    );
    assert_eq!(
        fault(&message(
            &format!("INVITE sip:{} SIP/2.0", "x".repeat(limits::LINE_BYTES_MAX)),
            &[],
            ""
        )),
        Fault::LineTooLong
    );

    let headers = |count: usize| invite(&vec!["X-Other: y"; count - FIELDS.len()]);
    read(&headers(limits::HEADERS_MAX));
    assert_eq!(fault(&headers(limits::HEADERS_MAX + 1)), Fault::TooManyHeaders);

    let known = |count: usize| invite(&vec!["Route: <sip:r>"; count - FIELDS.len()]);
    read(&known(limits::KNOWN_HEADERS_MAX));
    assert_eq!(
        fault(&known(limits::KNOWN_HEADERS_MAX + 1)),
        Fault::TooManyHeaders
    );

    let via = "Via: SIP/2.0/UDP a";
    assert_eq!(
        read(&invite(&vec![via; limits::VIAS_MAX])).vias().count(),
        limits::VIAS_MAX
    );
    assert_eq!(
        fault(&invite(&vec![via; limits::VIAS_MAX + 1])),
        Fault::TooManyVias
    );
    let list = vec!["SIP/2.0/UDP a"; limits::VIAS_MAX + 1].join(",");
    assert_eq!(fault(&invite(&[&format!("Via: {list}")])), Fault::TooManyVias);

    let whole = invite(&[]);
    let filled = |bytes: usize| whole.clone() + &"x".repeat(bytes - whole.len());
    assert_eq!(
        read(&filled(limits::MESSAGE_BYTES_MAX)).body().len(),
        limits::MESSAGE_BYTES_MAX - whole.len()
    );
    assert_eq!(fault(&filled(limits::MESSAGE_BYTES_MAX + 1)), Fault::TooLong);
}

/// Row "bare LF or bare CR line ends".
#[test]
fn line_ends() {
    let text = invite(&["Subject: a\rb"]).replace("\r\n", "\n");
    let message = read(&text);
    assert_eq!(message.header(Header::Subject), Some(&b"a\rb"[..]));
    assert_eq!((message.cseq(), message.truncated()), (7, false));
    let led = format!("\r\n\r\n{}", invite(&[]));
    assert_eq!(read(&led).call_id(), b"call-1@192.0.2.1");
    let lone = invite(&["Subject: a\rTo: <sip:x@y>"]);
    assert_eq!(read(&lone).to(), b"<sip:li@ims.test>", "a lone CR ends no line");
}

/// Row "UTF-8/GBK bytes ≥ 0x80 anywhere": octets come out as they went in.
#[test]
fn octets_are_data() {
    let mut frame = invite(&["Subject: GBK"]).into_bytes();
    let at = frame.windows(3).position(|window| window == b"GBK").unwrap();
    let gbk = [0xc0, 0xee, 0xc3, 0xf7, 0x00, 0xff];
    frame.splice(at..at + 3, gbk);
    let message = parse(&frame).unwrap();
    assert_eq!(message.header(Header::Subject), Some(&gbk[..]));
}

/// A frame cut by the mirror (semantics.md §5 "Sliced frames"): what is whole is used, what may be cut is
/// not.
#[test]
fn cut_frames() {
    let whole = invite(&["Subject: hello", "Content-Length: 10"]);
    let end_of = |line: &str| whole.find(line).unwrap() + line.len();
    let cut = read(&whole[..end_of("Subject: hel")]);
    assert!(cut.truncated());
    assert_eq!((cut.header(Header::Subject), cut.cseq()), (None, 7));
    assert_eq!(fault(&whole[..end_of("CSeq: 7 INV")]), Fault::Truncated);
    assert_eq!(fault(&whole[..end_of("Call-ID: call-1")]), Fault::Truncated);
    assert_eq!(
        fault(&whole[..end_of("INVITE sip:li@ims.test SIP/2.0")]),
        Fault::Truncated
    );
    let unended = read(&whole[..whole.len() - 2]);
    assert!(unended.truncated() && unended.body().is_empty());
    let cut = read(&whole[..whole.len() - 1]);
    assert!(cut.truncated() && cut.body_truncated() && cut.body().is_empty());
    // Found by `cuts_agree`: the frame ends with a line, and its fold is cut off.
    let folded = invite(&["From: <sip:a@b>\r\n ;tag=f1", "CSeq: 7\r\n INVITE"]);
    for line in ["CSeq: 7\r\n", "From: <sip:a@b>\r\n"] {
        assert_eq!(
            fault(&folded[..folded.find(line).unwrap() + line.len()]),
            Fault::Truncated
        );
    }
}

/// Keep-alives reach [`parse`] on SIP ports and are no damage.
#[test]
fn keep_alives() {
    for bytes in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"jaK"] {
        assert_eq!(parse(bytes).map(|_| ()), Err(Fault::KeepAlive), "{bytes:?}");
    }
}

/// RFC 4475 §3.1.1.13, noreason: catches a response refused because its phrase is empty, with and without the space before
/// it.
#[test]
fn no_reason_phrase() {
    for start in ["SIP/2.0 100 ", "SIP/2.0 100"] {
        let text = message(start, &["CSeq: 35 INVITE"], "");
        assert_eq!((read(&text).status(), read(&text).cseq()), (Some(100), 35));
    }
}

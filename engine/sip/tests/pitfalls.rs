//! Every row of the parsing pitfalls (semantics.md §6), each with a message of our own that is as bad as the
//! one of RFC 4475 that the row names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helper a panic is a failed test"
)]

use ringtap_sip::addr::name_addr;
use ringtap_sip::reason::{Protocol, reasons};
use ringtap_sip::uri::{Scheme, uri};
use ringtap_sip::{ContentLength, Fault, Header, Message, Method, Start, limits, parse, percent_decode, sdp};

/// The fields without which nothing is believed, each a line.
const FIELDS: [&str; 5] = [
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1",
    "From: \"Zhang\" <sip:zhang@ims.test>;tag=f1",
    "To: <sip:li@ims.test>",
    "Call-ID: call-1@192.0.2.1",
    "CSeq: 7 INVITE",
];

/// A message of a start line, [`FIELDS`] with those of the same name as in `lines` replaced, `lines`, and a
/// body.
fn message(start: &str, lines: &[&str], body: &str) -> String {
    let name = |line: &str| line.split(':').next().unwrap().trim().to_lowercase();
    let mut text = format!("{start}\r\n");
    for field in FIELDS
        .iter()
        .filter(|field| !lines.iter().any(|line| name(line) == name(field)))
    {
        text += &format!("{field}\r\n");
    }
    for line in lines {
        text += &format!("{line}\r\n");
    }
    text + "\r\n" + body
}

/// An INVITE with these lines and no body.
fn invite(lines: &[&str]) -> String {
    message("INVITE sip:li@ims.test SIP/2.0", lines, "")
}

fn read(text: &str) -> Message<'_> {
    parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

fn fault(text: &str) -> Fault {
    parse(text.as_bytes()).map(|_| ()).expect_err(text)
}

/// Values as text.
fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
    values.map(|value| std::str::from_utf8(value).unwrap()).collect()
}

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

/// Row "header folding", with white space before the colon and inside every value that is read during the
/// pass.
#[test]
fn folding() {
    let text = invite(&[
        "TO :\r\n sip:li@ims.test ;   tag    = t77",
        "from   : \"J \\\\\\\"\"       <sip:j@ims.test>\r\n  ;\r\n\ttag = f98",
        "CSeq : 0009\r\n  INVITE",
        "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=\r\n z9hG4bKq",
        "Subject: one\r\n two",
    ]);
    let message = read(&text);
    assert_eq!(message.to_tag(), Some(&b"t77"[..]));
    assert_eq!(message.from_tag(), Some(&b"f98"[..]));
    assert_eq!((message.cseq(), message.method()), (9, Method::Invite));
    assert_eq!(message.top_via().sent_by, b"192.0.2.2");
    assert_eq!(message.top_via().branch, Some(&b"z9hG4bKq"[..]));
    assert_eq!(message.header(Header::Subject), Some(&b"one\r\n two"[..]));
    let from = name_addr(message.from()).unwrap();
    assert_eq!(
        (from.display, from.uri),
        (&br#"J \\\""#[..], &b"sip:j@ims.test"[..])
    );
}

/// Rows "compact forms" and "names case-insensitive ... empty values": both forms mixed in one message.
#[test]
fn compact_forms_and_case() {
    let text = "OPTIONS sip:b SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK9\r\nVIA: SIP/2.0/UDP 192.0.2.8\r\n\
        f:<sip:a@b>;TAG=x\r\nT : <sip:c@d>\r\nI:id\r\ncSEQ:1 OPTIONS\r\ns :\r\nm: <sip:m@n>\r\nContact: <sip:o@p>\r\n\
        r: <sip:r>\r\nb: <sip:b>\r\no: reg\r\nk: timer\r\na: *\r\nx: 90\r\ny: z\r\nc: text/plain\r\nl:2\r\n\r\nhi";
    let message = read(text);
    assert_eq!(message.from_tag(), Some(&b"x"[..]));
    assert_eq!(message.vias().count(), 2);
    assert_eq!(message.header(Header::Subject), Some(&b""[..]));
    assert_eq!(texts(message.values(Header::Contact)), ["<sip:m@n>", "<sip:o@p>"]);
    assert_eq!(message.header(Header::ReferTo), Some(&b"<sip:r>"[..]));
    assert_eq!(message.header(Header::ReferredBy), Some(&b"<sip:b>"[..]));
    assert_eq!(message.header(Header::Event), Some(&b"reg"[..]));
    assert_eq!(message.header(Header::Supported), Some(&b"timer"[..]));
    assert_eq!(message.header(Header::AcceptContact), Some(&b"*"[..]));
    assert_eq!(message.header(Header::ContentType), Some(&b"text/plain"[..]));
    assert_eq!(message.body(), b"hi");
}

/// Row "comma lists vs. several lines": commas in quotes and `<>` separate nothing, and both forms mean the
/// same.
#[test]
fn lists_and_lines() {
    let one = invite(&["P-Asserted-Identity: \"Li, Ming\" <sip:li,x@ims.test>, <tel:+861>"]);
    let two = invite(&[
        "P-Asserted-Identity: \"Li, Ming\" <sip:li,x@ims.test>",
        "p-asserted-identity:<tel:+861>",
    ]);
    for text in [one, two] {
        let message = read(&text);
        let values = texts(message.values(Header::PAssertedIdentity));
        assert_eq!(values, ["\"Li, Ming\" <sip:li,x@ims.test>", "<tel:+861>"]);
    }
    let text = invite(&[
        "Via: ,",
        "v: SIP/2.0/TCP a;branch=z9hG4bK1 ,\r\n SIP / 2.0 / UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP c;received=192.0.2.7;;,;,,",
    ]);
    let message = read(&text);
    assert_eq!(texts(message.vias().map(|via| via.sent_by)), ["a", "b", "c"]);
    assert_eq!(message.top_via().branch, Some(&b"z9hG4bK1"[..]));
}

/// Rows "semicolons in user part", "percent signs", "`<>` around Request-URI, embedded or trailing spaces",
/// "unknown schemes": the message is used, and its Request-URI comes apart.
#[test]
fn request_uris() {
    let cases: &[(&str, Scheme, Option<&str>, &str)] = &[
        (
            "sip:user;par=u%40x@ims.test",
            Scheme::Sip,
            Some("user"),
            "ims.test",
        ),
        ("sip:a?b,c@ims.test", Scheme::Sip, Some("a?b,c"), "ims.test"),
        (
            "sip:null-%00-null@ims.test",
            Scheme::Sip,
            Some("null-%00-null"),
            "ims.test",
        ),
        (
            "sip:li@ims.test?Route=%3Csip:b%3E",
            Scheme::Sip,
            Some("li"),
            "ims.test",
        ),
        ("<sip:li@ims.test>", Scheme::Sip, Some("li"), "ims.test"),
        ("sip:li@ims.test; lr", Scheme::Sip, Some("li"), "ims.test"),
        (" sip:li@ims.test ", Scheme::Sip, Some("li"), "ims.test"),
        ("tel:+86-25-8309-1001", Scheme::Tel, Some("+86-25-8309-1001"), ""),
        ("nobodyKnowsThisScheme:opaque", Scheme::Other, Some("opaque"), ""),
        (
            "soap.beep://192.0.2.103:3002",
            Scheme::Other,
            Some("//192.0.2.103:3002"),
            "",
        ),
    ];
    for (text, scheme, user, host) in cases {
        let frame = message(&format!("INVITE {text} SIP/2.0  "), &[], "");
        let found = uri(read(&frame).request_uri().unwrap()).unwrap();
        assert_eq!(found.scheme, *scheme, "{text}");
        assert_eq!(found.user, user.map(str::as_bytes), "{text}");
        assert_eq!(found.host, host.as_bytes(), "{text}");
    }
    assert!(percent_decode(b"null-%00-%zz").eq(*b"null-\0-%zz"));
}

/// Rows "no space before `<`; non-token characters" and "unterminated quote": the tag is still found.
#[test]
fn addresses() {
    for from in [
        "caller<sip:a@b>;tag=f9",
        "Bell, Alexander <sip:a@b>;tag=f9",
        "\"Mr. J. User <sip:a@b>;tag=f9",
        "sip:a@b;tag=f9",
        "\"x;tag=no\" <sip:a@b;tag=no>;tag=f9",
    ] {
        let text = invite(&[&format!("From: {from}")]);
        let message = read(&text);
        assert_eq!(message.from_tag(), Some(&b"f9"[..]), "{from}");
        assert_eq!(
            name_addr(message.from()).unwrap().uri.get(..7),
            Some(&b"sip:a@b"[..]),
            "{from}"
        );
    }
    assert_eq!(fault(&invite(&["From: \"a\" <sip:a@b;tag=f9"])), Fault::BadFrom);
    assert_eq!(fault(&invite(&["To: ;tag=t"])), Fault::BadTo);
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

/// Row "RFC 2543 style": no cookie and no From tag are no fault.
#[test]
fn rfc_2543() {
    let text = invite(&[
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK",
        "From: <sip:a@b>",
        "To: <sip:c@d>;tag=",
    ]);
    let message = read(&text);
    assert!(!message.top_via().has_cookie());
    assert_eq!((message.from_tag(), message.to_tag()), (None, None));
}

/// Row "multipart bodies": the SDP part is found behind others, with a quoted boundary, nested, or cut at its
/// end; header lines in a body are no header fields.
#[test]
fn multipart() {
    let sdp_part =
        "Content-Type: application/sdp\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n";
    let isup = "Call-ID: not-mine\r\nContent-Type: application/isup;version=x\r\n\r\n\x01\x02m=message 1\r\n";
    let cases = [
        (
            "multipart/mixed;boundary=b1",
            format!("--b1\r\n{isup}--b1\r\n{sdp_part}--b1--\r\n"),
        ),
        (
            "multipart/mixed ; boundary=\"b 1;\"",
            format!("preamble\r\n--b 1;\r\n{isup}--b 1; \r\n{sdp_part}--b 1;--"),
        ),
        (
            "Multipart/Related;boundary=b1",
            format!("--b1\r\n{isup}--b1\r\n{sdp_part}"),
        ),
        (
            "multipart/mixed;boundary=b1",
            format!(
                "--b1\r\nc: multipart/alternative;boundary=b2\r\n\r\n--b2\r\n{sdp_part}--b2--\r\n--b1--\r\n"
            ),
        ),
        (
            "application/SDP",
            "v=0\r\nm=audio 4000 RTP/AVP 0\r\nm=viDeo 9 RTP/AVP 31\r\n".to_owned(),
        ),
    ];
    for (content_type, body) in cases {
        let text = message(
            "INVITE sip:b SIP/2.0",
            &[&format!("Content-Type: {content_type}")],
            &body,
        );
        let message = read(&text);
        let wanted = sdp::Media {
            audio: true,
            // A stream with port 0 is still an offer of its kind.
            video: true,
            message: false,
            any: true,
        };
        assert_eq!(sdp::media(&message), Some(wanted), "{content_type}");
        assert_eq!(message.call_id(), b"call-1@192.0.2.1");
    }
    for (content_type, body) in [
        (
            "multipart/mixed;boundary=b1",
            format!("--b1\r\n{isup}--b1--\r\n{sdp_part}"),
        ),
        ("multipart/mixed", format!("--b1\r\n{sdp_part}--b1--\r\n")),
        ("text/plain", "v=0\r\nm=audio 1 RTP/AVP 0\r\n".to_owned()),
        ("application/sdp", String::new()),
    ] {
        let text = message(
            "INVITE sip:b SIP/2.0",
            &[&format!("Content-Type: {content_type}")],
            &body,
        );
        assert_eq!(sdp::media(&read(&text)), None, "{content_type}");
    }
    let chat = message(
        "INVITE sip:b SIP/2.0",
        &["c: application/sdp"],
        "v=0\nm=message 7 TCP/MSRP *\n",
    );
    let wanted = sdp::Media {
        message: true,
        any: true,
        ..sdp::Media::default()
    };
    assert_eq!(sdp::media(&read(&chat)), Some(wanted));
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

/// Rows "History-Info" and "Privacy": escaped headers stay inside the URI, parameters outside; semicolons
/// split nothing.
#[test]
fn history_and_privacy() {
    let text = invite(&[
        "History-Info: <sip:li@ims.test?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1.2;mp=1, <sip:x@y>;index=1",
        "Privacy: id;user",
        "Privacy: critical",
    ]);
    let message = read(&text);
    let entries: Vec<_> = message
        .values(Header::HistoryInfo)
        .map(|value| name_addr(value).unwrap())
        .collect();
    assert_eq!(entries[0].params.get(b"index"), Some(&b"1.2"[..]));
    assert_eq!(entries[0].params.get(b"mp"), Some(&b"1"[..]));
    assert_eq!(entries[1].params.get(b"index"), Some(&b"1"[..]));
    let escaped = uri(entries[0].uri).unwrap().headers;
    assert!(percent_decode(escaped).eq(*b"Reason=SIP;cause=302&Privacy=history"));
    assert_eq!(texts(message.lines(Header::Privacy)), ["id;user", "critical"]);
}

/// Row "Reason": several lines and a list, quoted text with semicolons and commas.
#[test]
fn reason_values() {
    let text = message(
        "CANCEL sip:li@ims.test SIP/2.0",
        &[
            "CSeq: 7 CANCEL",
            "Reason: SIP ;cause = 200 ;text=\"Call completed, elsewhere;cause=16\", Q.850;cause=26",
            "reason:X;cause=1",
        ],
        "",
    );
    let found: Vec<_> = reasons(&read(&text))
        .map(|reason| (reason.protocol, reason.cause))
        .collect();
    assert_eq!(
        found,
        [
            (Protocol::Sip, Some(200)),
            (Protocol::Q850, Some(26)),
            (Protocol::Other, Some(1))
        ]
    );
}

/// Row "Via branch compare": case matters, `received` and `rport` do not.
#[test]
fn via_keys() {
    let key = |via: &str| {
        let text = invite(&[&format!("Via: {via}")]);
        read(&text).top_via().key_bytes().map(<[u8]>::to_vec)
    };
    let plain = key("SIP/2.0/UDP h:5060;branch=z9hG4bKAb");
    assert_eq!(
        plain,
        key("SIP/2.0/UDP h:5060;rport=9;received=192.0.2.3;branch=z9hG4bKAb")
    );
    assert_ne!(plain, key("SIP/2.0/UDP h:5060;branch=z9hG4bKaB"));
    assert_ne!(plain, key("SIP/2.0/UDP i:5060;branch=z9hG4bKAb"));
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

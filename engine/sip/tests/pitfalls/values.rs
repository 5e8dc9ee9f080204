//! Values, and the many ways to write one: folds, compact names, lists, URIs, addresses, Vias, bodies.

use ringtap_sip::addr::name_addr;
use ringtap_sip::reason::{Protocol, reasons};
use ringtap_sip::uri::{Scheme, uri};
use ringtap_sip::{Fault, Header, Method, percent_decode, sdp};

use crate::{fault, invite, message, read, texts};

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

/// RFC 4475 §3.1.1.3, esc01: catches an escape that is decoded before the URI is taken apart, so that an escaped `@` or
/// `;` splits it.
#[test]
fn escapes_are_decoded_late() {
    let text = message(
        "INVITE sip:sips%3Auser%40ims.test@far.test SIP/2.0",
        &[
            "To: sip:%75se%72@ims.test",
            "Contact: <sip:%6Cee@192.0.2.2;%6C%72;a%3B=%25%34>",
        ],
        "",
    );
    let message = read(&text);
    let request = uri(message.request_uri().unwrap()).unwrap();
    assert_eq!(
        (request.user, request.host),
        (Some(&b"sips%3Auser%40ims.test"[..]), &b"far.test"[..])
    );
    let to = uri(name_addr(message.to()).unwrap().uri).unwrap();
    assert!(percent_decode(to.user.unwrap()).eq(*b"user"));
    let contact = name_addr(message.header(Header::Contact).unwrap()).unwrap();
    let contact = uri(contact.uri).unwrap();
    assert_eq!(contact.host, b"192.0.2.2");
    assert!(contact.params.has(b"%6C%72") && !contact.params.has(b"lr"));
}

/// RFC 4475 §3.3.2 to §3.3.4, unkscm, novelsc, unksm2: catches a message refused for a scheme that nobody knows, in To
/// and From too, or the opaque part read as an address.
#[test]
fn unknown_schemes() {
    let text = message(
        "OPTIONS isbn:2983792873 SIP/2.0",
        &[
            "To: <http://x@y.test/z>;tag=t",
            "From: name:John;tag=f2",
            "CSeq: 7 OPTIONS",
        ],
        "",
    );
    let message = read(&text);
    assert_eq!(
        (message.from_tag(), message.to_tag()),
        (Some(&b"f2"[..]), Some(&b"t"[..]))
    );
    for value in [message.from(), message.to()] {
        let found = uri(name_addr(value).unwrap().uri).unwrap();
        assert_eq!((found.scheme, found.host), (Scheme::Other, &b""[..]));
    }
}

/// RFC 4475 §3.3.13 and §3.3.14, cparam01 and cparam02: without `<>` a parameter is the field's, within them the URI's.
#[test]
fn whose_parameter() {
    let text = invite(&["Contact: sip:+19725552222@gw1.test;p=1, <sip:+19725552222@gw1.test;p=2>"]);
    let message = read(&text);
    let contacts: Vec<_> = message
        .values(Header::Contact)
        .map(|value| name_addr(value).unwrap())
        .collect();
    assert_eq!(contacts[0].params.get(b"p"), Some(&b"1"[..]));
    assert!(!uri(contacts[0].uri).unwrap().params.has(b"p"));
    assert!(!contacts[1].params.has(b"p"));
    assert_eq!(uri(contacts[1].uri).unwrap().params.get(b"p"), Some(&b"2"[..]));
}

/// RFC 5118 §4.1 to §4.10: addresses of IPv6 in brackets with and without a port, a mapped IPv4 address, `received` with
/// and without brackets; what is written without brackets, or cannot be an address, spoils nothing but itself.
#[test]
fn ipv6_addresses() {
    let cases: &[(&str, &str, Option<u16>)] = &[
        ("sip:[2001:db8::10]", "[2001:db8::10]", None),
        ("sip:[2001:db8::10]:5070", "[2001:db8::10]", Some(5070)),
        // Ambiguous in the RFC's sense: the port is within the brackets, hence none.
        ("sip:[2001:db8::10:5070]", "[2001:db8::10:5070]", None),
        (
            "sip:user@[::ffff:192.0.2.10]:5062;lr",
            "[::ffff:192.0.2.10]",
            Some(5062),
        ),
        ("sip:user@[2001:db8:::192.0.2.1]", "[2001:db8:::192.0.2.1]", None),
    ];
    for (text, host, port) in cases {
        let frame = message(&format!("INVITE {text} SIP/2.0"), &[], "");
        let found = uri(read(&frame).request_uri().unwrap()).unwrap();
        assert_eq!((found.host, found.port), (host.as_bytes(), *port), "{text}");
    }
    let bare = message("INVITE sip:2001:db8::10 SIP/2.0", &[], "");
    assert_eq!(read(&bare).call_id(), b"call-1@192.0.2.1");
    for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
        let text = invite(&[&format!(
            "Via: SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3"
        )]);
        let via = read(&text).top_via();
        assert_eq!(
            (via.sent_by, via.branch),
            (&b"[2001:db8::9:1]"[..], Some(&b"z9hG4bKas3"[..]))
        );
    }
}

//! Messages that nobody here wrote, each with its expected reading: those of RFC 4475, RFC 5118 and RFC 3665, and other
//! people's test suites and fuzz seeds.
//!
//! `torture/FOLDER.tsv` has one row for each message of a folder: how semantics.md §6 wants it read ("liberal in reading,
//! strict in believing"), or for which fault it is refused. The messages are read in place from `RINGTAP_DATA`, or from
//! `../shared/data` beside the workspace; where they are absent the tests say so and check nothing. What of the RFCs is
//! not among them stands in `pitfalls.rs`, in words of our own.

#![allow(clippy::unwrap_used, reason = "in a test's helper a panic is a failed test")]

mod collection;
mod everything;

use std::collections::BTreeMap;
use std::path::Path;

use ringtap_sip::addr::name_addr;
use ringtap_sip::uri::{Scheme, uri};
use ringtap_sip::{ContentLength, Header, Message, Start, parse, percent_decode, sdp};

use collection::{Sample, samples};

/// The columns of a row. A refused message has the first and the fault.
const HEAD: &str =
    "message\tstart\tCall-ID\tCSeq\tFrom\ttag\tTo\ttag\tRequest-URI\tsent-by\tbranch\tVias\tbody";

/// The expected readings of one folder by message. A line that begins with `#` is a remark.
fn rows(folder: &str) -> BTreeMap<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/torture/{folder}.tsv"));
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    if let Some(head) = lines.next() {
        assert_eq!(head, HEAD, "{}", file.display());
    }
    let mut rows = BTreeMap::new();
    for line in lines {
        let (message, reading) = line.split_once('\t').unwrap();
        let before = rows.insert(message.to_owned(), reading.to_owned());
        assert_eq!(before, None, "{message} has two rows");
    }
    rows
}

/// How the parser reads a message, in the columns of a row.
fn reading(bytes: &[u8]) -> String {
    let message = match parse(bytes) {
        Ok(message) => message,
        Err(fault) => return format!("refused\t{fault}"),
    };
    let method = text(message.method_token());
    let (start, request_uri) = match message.start() {
        Start::Request { uri, .. } => (method, address(uri)),
        Start::Response { status, .. } => (format!("{status}/{method}"), "-".to_owned()),
    };
    let uri_of = |value| name_addr(value).map_or("-".to_owned(), |found| address(found.uri));
    let via = message.top_via();
    [
        start,
        text(message.call_id()),
        message.cseq().to_string(),
        uri_of(message.from()),
        optional(message.from_tag()),
        uri_of(message.to()),
        optional(message.to_tag()),
        request_uri,
        text(via.sent_by),
        optional(via.branch),
        message.vias().count().to_string(),
        body(&message),
    ]
    .join("\t")
}

/// `user@host`, with the scheme unless it is `sip`; what is no SIP URI as it stands there.
fn address(bytes: &[u8]) -> String {
    let Some(uri) = uri(bytes) else {
        return "-".to_owned();
    };
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {
            let scheme = if uri.scheme == Scheme::Sips { "sips:" } else { "" };
            let user = uri.user.map_or(String::new(), |user| format!("{}@", text(user)));
            format!("{scheme}{user}{}", text(uri.host))
        }
        Scheme::Tel => format!("tel:{}", text(uri.user.unwrap_or_default())),
        Scheme::Urn | Scheme::Other => text(uri.raw),
    }
}

/// Octets of the body; or that it, its length or the header is not what was announced.
fn body(message: &Message<'_>) -> String {
    if message.truncated() {
        "headers cut".to_owned()
    } else if message.body_truncated() {
        "cut".to_owned()
    } else if message.content_length() == ContentLength::Ambiguous {
        "ambiguous".to_owned()
    } else {
        message.body().len().to_string()
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn optional(bytes: Option<&[u8]>) -> String {
    bytes.map_or("-".to_owned(), text)
}

/// Each message of a folder has exactly one row, and is read as that says.
fn reads_as_expected(folder: &str) {
    let Some(samples) = samples(folder) else { return };
    assert!(!samples.is_empty(), "{folder} is empty");
    let mut rows = rows(folder);
    let mut wrong = Vec::new();
    for Sample { name, bytes } in samples {
        let read = reading(&bytes);
        match rows.remove(&name) {
            Some(wanted) if wanted == read => {}
            Some(wanted) => wrong.push(format!("{name}\n  wanted {wanted}\n  read   {read}")),
            None => wrong.push(format!("{name} has no row; it is read as\n  {read}")),
        }
    }
    wrong.extend(
        rows.keys()
            .map(|name| format!("{name} has a row and is not there")),
    );
    assert!(wrong.is_empty(), "{folder}:\n{}", wrong.join("\n"));
}

/// Each catches a message of its folder that is read otherwise than its row says, or refused for another reason; and a
/// message without a row.
macro_rules! folders {
    ($($test:ident = $folder:literal,)*) => {
        $(
            #[test]
            fn $test() {
                reads_as_expected($folder);
            }
        )*

        /// Catches a folder of messages that came later and has no rows.
        #[test]
        fn every_folder_has_rows() {
            let Some(found) = collection::folders() else { return };
            for folder in found {
                assert!([$($folder),*].contains(&folder.as_str()), "no test reads {folder}");
            }
        }
    };
}

folders! {
    aflnet = "aflnet",
    kamailio = "kamailio-test-misc-sip",
    pjsip = "pjsip-fuzz-seeds",
    resiprocate = "resiprocate",
    rfc_3665 = "rfc3665",
    rfc_4475 = "rfc4475",
    rfc_5118 = "rfc5118",
    sip3 = "sip3",
}

/// Catches panics and stray slices on real messages, whole and cut at every octet.
#[test]
fn every_cut() {
    let folders = collection::folders().unwrap_or_default();
    for sample in folders.iter().filter_map(|folder| samples(folder)).flatten() {
        let bytes = &sample.bytes;
        for end in (0..=bytes.len().min(4096)).chain([bytes.len()]) {
            let frame = &bytes[..end];
            let Ok(message) = parse(frame) else { continue };
            let range = frame.as_ptr_range();
            everything::slices(&message, &mut |slice| {
                let part = slice.as_ptr_range();
                let inside = slice.is_empty() || range.start <= part.start && part.end <= range.end;
                assert!(inside, "{}", sample.name);
            });
        }
    }
}

/// Catches what no column shows read wrong: the other Vias of a list over folded lines, media, a NUL that is escaped.
#[test]
fn what_no_column_shows() {
    let Some(samples) = samples("rfc4475") else { return };
    let file = |name: &str| &samples.iter().find(|sample| sample.name == name).unwrap().bytes;

    let wsinv = parse(file("wsinv.dat")).unwrap();
    let branches: Vec<_> = wsinv.vias().map(|via| via.branch.unwrap()).collect();
    assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
    let media = sdp::media(&wsinv).unwrap();
    assert!(media.audio && media.video && !media.message);

    let escnull = parse(file("escnull.dat")).unwrap();
    let contact = name_addr(escnull.header(Header::Contact).unwrap()).unwrap();
    assert!(percent_decode(uri(contact.uri).unwrap().user.unwrap()).eq([0]));

    let badbranch = parse(file("badbranch.dat")).unwrap();
    assert!(!badbranch.top_via().has_cookie());
}

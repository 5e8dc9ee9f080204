//! Messages that nobody here wrote: those of RFC 4475 and other people's test suites and fuzz seeds.
//!
//! They are read in place from `RINGTAP_DATA`, or from `../shared/data` beside the workspace. Where they are
//! absent the tests say so and check nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helper a panic is a failed test"
)]

mod everything;

use std::fs;
use std::path::{Path, PathBuf};

use ringtap_sip::uri::{Scheme, uri};
use ringtap_sip::{ContentLength, Fault, Method, parse, percent_decode, sdp};

/// The folder of messages, if it is there.
fn messages() -> Option<PathBuf> {
    let data = std::env::var_os("RINGTAP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("open/messages");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no messages in {} (set RINGTAP_DATA)", folder.display());
    None
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found.sort();
    found
}

/// Catches panics and stray slices on real messages, whole and cut at every octet, and a parser that refuses
/// what it should read: of these files most are good SIP.
#[test]
fn every_file() {
    let Some(folder) = messages() else { return };
    let (mut parsed, mut read) = (0, 0);
    for path in files(&folder) {
        let bytes = fs::read(&path).unwrap();
        read += 1;
        match parse(&bytes) {
            Ok(_) => parsed += 1,
            Err(fault) => eprintln!("{}: {fault}", path.display()),
        }
        for end in (0..=bytes.len().min(4096)).chain([bytes.len()]) {
            let frame = &bytes[..end];
            let Ok(message) = parse(frame) else { continue };
            let range = frame.as_ptr_range();
            everything::slices(&message, &mut |slice| {
                let part = slice.as_ptr_range();
                assert!(
                    slice.is_empty() || range.start <= part.start && part.end <= range.end,
                    "{}",
                    path.display()
                );
            });
        }
    }
    eprintln!("{parsed} of {read} files parsed");
    assert!(parsed * 4 > read * 3, "{parsed} of {read} files parsed");
}

/// Catches a torture message judged otherwise than semantics.md §6 says.
#[test]
fn rfc_4475_verdicts() {
    let Some(folder) = messages() else { return };
    let faults = [
        ("bigcode", Fault::BadStatus),
        ("mismatch01", Fault::CseqMethodMismatch),
        ("mismatch02", Fault::CseqMethodMismatch),
        ("multi01", Fault::Repeated),
        ("scalar02", Fault::BadCseq),
        ("scalarlg", Fault::BadCseq),
        ("test", Fault::BadStartLine),
    ];
    for path in files(&folder.join("rfc4475")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let wanted = faults
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, fault)| *fault);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(parse(&bytes).err(), wanted, "{name}");
    }
}

/// Catches values of the torture messages read wrong.
#[test]
fn rfc_4475_values() {
    let Some(folder) = messages() else { return };
    let file = |name: &str| fs::read(folder.join("rfc4475").join(name).with_extension("dat")).unwrap();

    let bytes = file("wsinv");
    let wsinv = parse(&bytes).unwrap();
    assert_eq!((wsinv.method(), wsinv.cseq()), (Method::Invite, 9));
    assert_eq!(
        (wsinv.from_tag(), wsinv.to_tag()),
        (Some(&b"98asjd8"[..]), Some(&b"1918181833n"[..]))
    );
    let branches: Vec<_> = wsinv.vias().map(|via| via.branch.unwrap()).collect();
    assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
    assert_eq!(wsinv.body().len(), 150);
    let media = sdp::media(&wsinv).unwrap();
    assert!(media.audio && media.video && !media.message);

    let bytes = file("intmeth");
    let intmeth = parse(&bytes).unwrap();
    assert_eq!(
        intmeth.method_token(),
        b"!interesting-Method0123456789_*+`.%indeed'~"
    );
    assert_eq!(intmeth.from_tag(), Some(&b"_token~1'+`*%!-."[..]));
    assert_eq!(uri(intmeth.request_uri().unwrap()).unwrap().host, b"example.com");

    let bytes = file("escnull");
    let escnull = parse(&bytes).unwrap();
    let contact =
        ringtap_sip::addr::name_addr(escnull.header(ringtap_sip::Header::Contact).unwrap()).unwrap();
    assert!(percent_decode(uri(contact.uri).unwrap().user.unwrap()).eq([0]));

    let bytes = file("longreq");
    assert_eq!(parse(&bytes).unwrap().vias().count(), 34);

    let bytes = file("unreason");
    assert_eq!(parse(&bytes).unwrap().status(), Some(200));

    let bytes = file("novelsc");
    assert_eq!(
        uri(parse(&bytes).unwrap().request_uri().unwrap()).unwrap().scheme,
        Scheme::Other
    );

    let bytes = file("mcl01");
    assert_eq!(parse(&bytes).unwrap().content_length(), ContentLength::Ambiguous);

    let bytes = file("clerr");
    assert!(parse(&bytes).unwrap().body_truncated());

    let bytes = file("dblreq");
    assert_eq!(parse(&bytes).unwrap().method(), Method::Register);

    let bytes = file("badinv01");
    assert_eq!(parse(&bytes).unwrap().vias().count(), 1);

    let bytes = file("badbranch");
    assert!(!parse(&bytes).unwrap().top_via().has_cookie());
}

//! Whatever octets a caller chooses: one mail, one recipient, nothing that hides, links, or looks like the directory's word
//! (semantics.md §7.4).

use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringtap_notifier::deliver::Parcel;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::Locale;
use ringtap_notifier::store::{Kind, Told, ToldCall};
use ringtap_record::{Caller, NameSource};
use unicode_width::UnicodeWidthStr as _;

use crate::read::read;
use crate::{accounts, mime, notice, parcel, person, renderer};

pub(crate) const LINK: &str = "https://calls.office.test/me";
const CASES: u32 = 200;

/// Octets at random, and pieces that have done harm somewhere.
pub(crate) fn octets() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "\r\nBcc: victim@evil.test\r\n",
        "\r\n\r\n.\r\n",
        "<a href='http://evil.test'>x</a>",
        "<script>alert(1)</script>",
        "</td></tr></table>",
        "<!--[if mso]>",
        "\" style=\"x",
        "{{ 7*7 }}{% include 'en.txt' %}",
        "=?utf-8?B?DQpCY2M6IHhAeS50ZXN0?=",
        "http://evil.test/x",
        "www.evil.test",
        "javascript:alert(1)",
        "evil\u{3002}test",
        "evil\u{ff0e}test",
        "a@evil.test",
        "\\\\evil\\share",
        "\u{202e}321",
        "\u{2066}\u{200b}\u{feff}",
        "\u{2028}\u{85}\0\u{1b}[31m",
        "\u{e0041}\u{e007f}",
        "--ringtap-",
        "+8613800000000",
        "总经理",
        "\u{5d0}\u{5d1}\u{5d2}",
        "(网络提供)",
        "&lt;b&gt;",
        "x",
        " ",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..96),
        prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn caller() -> impl Strategy<Value = Caller> {
    let source = prop::sample::select(vec![NameSource::From, NameSource::Asserted, NameSource::None]);
    let name = (octets(), any::<bool>()).prop_map(|(octets, is_read)| match is_read {
        // As the engine reads it; or as a damaged row might have it.
        true => ringtap_identity::name::decode(&octets, true),
        false => Some(text(&octets).into()),
    });
    let identity = (octets(), octets(), 0..4).prop_map(|(user, host, form)| match form {
        0 => Some("+8613912345678".into()),
        1 => None,
        _ => Some(format!("sip:{}@{}", text(&user), text(&host)).into()),
    });
    (name, identity, source).prop_map(|(name, identity, name_source)| Caller {
        identity,
        name,
        name_source,
        withheld: false,
    })
}

/// A message of this kind about calls of this caller.
fn message(kind: Kind, locale: Locale, caller: &Caller) -> Parcel {
    let notice = Notice {
        caller: caller.clone(),
        ..notice()
    };
    let call = ToldCall {
        notice: notice.clone(),
        reached: None,
    };
    let calls = match kind {
        Kind::Call | Kind::Link => vec![call],
        Kind::Summary | Kind::Digest => vec![call.clone(), call],
    };
    Parcel {
        kind,
        told: Told {
            calls,
            more: 0,
            first: (kind == Kind::Summary).then(|| notice.clone()),
        },
        ..parcel(&person(locale), &accounts(locale), &notice)
    }
}

/// Catches a mail that a caller could send to somebody else, break, lengthen by a header, link from, hide something in, or
/// sign with a name as the directory has it.
#[test]
fn whatever_the_caller_says() {
    let renderer = renderer(Some(LINK));
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0_usize);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(caller(), any::<bool>()), |(caller, is_en)| {
        let locale = if is_en { Locale::En } else { Locale::ZhCn };
        for kind in [Kind::Call, Kind::Summary, Kind::Digest] {
            let parcel = message(kind, locale, &caller);
            let mail = renderer.mail(&parcel).unwrap();
            prop_assert_eq!(mail.envelope().to(), std::slice::from_ref(&parcel.person.email));
            let read = read(&mail);
            prop_assert!(read.subject.width() <= 60, "{}", read.subject);
            let name = caller.name.as_deref().and_then(ringtap_identity::name::sanitise);
            let mark = match (locale, caller.name_source) {
                (Locale::ZhCn, NameSource::Asserted) => "(网络提供)",
                (Locale::En, NameSource::Asserted) => "(from the network)",
                (Locale::ZhCn, _) => "(来电方自报)",
                (Locale::En, _) => "(caller-supplied)",
            };
            if name.is_some() {
                prop_assert!(
                    read.text.contains(mark) && read.html.contains(mark),
                    "{}",
                    read.text
                );
            }
            prop_assert!(!read.html.contains("<strong>"), "{}", read.html);
            fs::write(
                folder.path().join(format!("{:05}.eml", count.get())),
                mail.formatted(),
            )
            .unwrap();
            count.set(count.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    mime::check(folder.path(), count.get(), LINK, &["liming@office.test"]);
}

/// Catches what the random tests have found once: an address whose line ends, once taken out, made a link of it; and an
/// encoded-word in an address, which whoever reads the header decodes to a line end.
#[test]
fn found_before() {
    for identity in [
        "sip:\r\nBcc: victim@evil.test@\r\nBcc: victim@evil.test",
        "sip:=?utf-8?B?DQpCY2M6IHhAeS50ZXN0?=@evil.test",
    ] {
        let caller = Caller {
            identity: Some(identity.into()),
            ..Caller::default()
        };
        let mail = renderer(Some(LINK))
            .mail(&message(Kind::Call, Locale::En, &caller))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.eml"), mail.formatted()).unwrap();
        mime::check(folder.path(), 1, LINK, &["liming@office.test"]);
    }
}

/// Catches a subject or an address that is cut off right behind a colon, where the sign of the cut makes a link of it again; found once by
/// the random tests.
#[test]
fn cut_behind_a_colon() {
    let folder = tempfile::tempdir().unwrap();
    let renderer = renderer(Some(LINK));
    let mut count = 0;
    for before in 0..60 {
        let text = format!("{}javascript:alert(1){}", "x ".repeat(before), "x".repeat(200));
        let caller = Caller {
            identity: Some(format!("sip:{text}@evil").into()),
            name: Some(text.into()),
            ..Caller::default()
        };
        for (kind, locale) in [(Kind::Call, Locale::En), (Kind::Summary, Locale::ZhCn)] {
            let mail = renderer.mail(&message(kind, locale, &caller)).unwrap();
            fs::write(folder.path().join(format!("{count:05}.eml")), mail.formatted()).unwrap();
            count += 1;
        }
    }
    mime::check(folder.path(), count, LINK, &["liming@office.test"]);
}

/// Catches a parser that finds fault with nothing, or with mails that are as they should be.
#[test]
fn the_other_parser_sees_what_is_wrong() {
    let mail = renderer(Some(LINK))
        .mail(&parcel(&person(Locale::En), &accounts(Locale::En), &notice()))
        .unwrap();
    let good = String::from_utf8(mail.formatted()).unwrap();
    for (from, to) in [
        ("Auto-Submitted:", "Bcc: x@evil.test\r\nAuto-Submitted:"),
        ("liming@office.test", "x@evil.test"),
        ("MIME-Version", "Mime"),
        ("text/plain", "text/markdown"),
        ("--\r\n", "\r\n"),
    ] {
        assert!(good.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.eml"), good.replace(from, to)).unwrap();
        let judged = std::panic::catch_unwind(|| {
            mime::check(folder.path(), 1, LINK, &["liming@office.test"]);
        });
        assert!(judged.is_err(), "{from} replaced by {to:?} is found good");
    }
}

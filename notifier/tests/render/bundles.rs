//! Summaries and digests: their words, and what hostile callers can do to them.

use std::time::{Duration, UNIX_EPOCH};

use ringtap_notifier::deliver::Parcel;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::Locale;
use ringtap_notifier::render::sample;
use ringtap_notifier::store::{Kind, Reached, Told, ToldCall};
use ringtap_record::{Caller, NameSource, Outcome, Time};
use unicode_width::UnicodeWidthStr as _;

use super::read::read;
use super::{accounts, known, notice, person, renderer};

fn bundle(locale: Locale, kind: Kind, calls: Vec<ToldCall>, more: u64) -> Parcel {
    Parcel {
        id: 1,
        kind,
        call: "9f2c".to_owned(),
        person: person(locale),
        accounts: accounts(locale),
        told: Told {
            first: (kind == Kind::Summary).then(notice),
            calls,
            more,
        },
        known: known(locale),
        links: None,
    }
}

fn at(time: &str, call: &str) -> ToldCall {
    ToldCall {
        notice: Notice {
            call: call.to_owned(),
            started: time.parse::<Time>().unwrap(),
            ..notice()
        },
        reached: None,
    }
}

/// Three calls of one caller, of which the second was to the mobile, and he got through after the third.
fn of_one() -> Vec<ToldCall> {
    let mut calls = vec![
        at("2024-05-06T02:24:01Z", "a"),
        at("2024-05-06T02:24:31Z", "b"),
        at("2024-05-06T02:25:09Z", "c"),
    ];
    calls[1].notice.account = "+8613800001001".to_owned();
    calls[1].notice.reason = Outcome::NoAnswer;
    calls[2].reached = Some(Reached {
        at: "2024-05-06T02:25:30Z".parse().unwrap(),
        back: false,
    });
    calls
}

/// Calls of several callers, one of whom names himself, one withheld; the last was called back.
fn of_several(locale: Locale) -> Vec<ToldCall> {
    let mut calls = of_one();
    let name = if locale == Locale::En {
        "Zhang San"
    } else {
        "张三"
    };
    for call in &mut calls {
        // Whom the directory does not have.
        call.notice.caller.identity = Some("+8613912345679".into());
        call.notice.caller.name = Some(name.into());
    }
    calls[0].notice.caller.name_source = NameSource::From;
    calls[1].notice.caller = Caller {
        withheld: true,
        ..Caller::default()
    };
    calls[2].notice.caller.name = None;
    calls[2].reached = calls[2].reached.map(|reached| Reached {
        back: true,
        ..reached
    });
    calls
}

/// Catches any drift from what was found to read well.
#[test]
fn what_they_say() {
    let cases = [
        (
            bundle(Locale::ZhCn, Kind::Summary, of_one(), 0),
            "另有 3 次未接来电:张三(139 1234 5678)",
            "\
李明,您好:
张三 139 1234 5678 另有 3 次来电,您未接听:
  05-06(周一)10:24:01  办公电话 1001:响铃 25 秒后对方挂断
  05-06(周一)10:24:31  手机 138 0000 1001:响铃 25 秒,无人接听
  05-06(周一)10:25:09  办公电话 1001:响铃 25 秒后对方挂断
    对方之后于 05-06(周一)10:25:30 再次来电,已接通
以上时间为 UTC+8
——
本邮件由未接来电提醒系统自动发出,请勿直接回复。",
        ),
        (
            bundle(Locale::En, Kind::Summary, of_one(), 0),
            "3 more missed calls: Zhang San, +86 139 1234 5678",
            "\
Hello Li Ming,
you missed 3 more calls from Zhang San, +86 139 1234 5678:
  Mon 6 May, 10:24:01  office phone 1001: the caller hung up after 25 seconds of ringing
  Mon 6 May, 10:24:31  mobile 138 0000 1001: rang for 25 s, not answered
  Mon 6 May, 10:25:09  office phone 1001: the caller hung up after 25 seconds of ringing
    has reached you since (Mon 6 May, 10:25:30)
Times are UTC+8.
--
Sent automatically by the missed-call service; replies are not read.",
        ),
        (
            bundle(Locale::ZhCn, Kind::Digest, of_several(Locale::ZhCn), 7),
            "未接来电汇总:10 次",
            "\
李明,您好:
您有 10 个未接来电:
  05-06(周一)10:24:01  张三(来电方自报)  139 1234 5679
    办公电话 1001:响铃 25 秒后对方挂断
  05-06(周一)10:24:31  对方设置了号码保密
    手机 138 0000 1001:响铃 25 秒,无人接听
  05-06(周一)10:25:09  139 1234 5679
    办公电话 1001:响铃 25 秒后对方挂断
    您之后于 05-06(周一)10:25:30 回拨,已接通
  另有 7 次来电未列出
以上时间为 UTC+8
——
本邮件由未接来电提醒系统自动发出,请勿直接回复。",
        ),
        (
            bundle(Locale::En, Kind::Digest, of_several(Locale::En), 7),
            "10 missed calls",
            "\
Hello Li Ming,
you missed 10 calls:
  Mon 6 May, 10:24:01  Zhang San (caller-supplied), +86 139 1234 5679
    office phone 1001: the caller hung up after 25 seconds of ringing
  Mon 6 May, 10:24:31  number withheld
    mobile 138 0000 1001: rang for 25 s, not answered
  Mon 6 May, 10:25:09  +86 139 1234 5679
    office phone 1001: the caller hung up after 25 seconds of ringing
    you have called back since (Mon 6 May, 10:25:30)
  and 7 more, not listed
Times are UTC+8.
--
Sent automatically by the missed-call service; replies are not read.",
        ),
        (
            bundle(Locale::En, Kind::Digest, Vec::new(), 3),
            "3 missed calls",
            "\
Hello Li Ming,
you missed 3 calls:
  and 3 more, not listed
--
Sent automatically by the missed-call service; replies are not read.",
        ),
    ];
    for (parcel, subject, text) in cases {
        let read = read(&renderer(None).mail_of(&parcel, sample::sent()).unwrap());
        assert_eq!(read.subject, subject);
        assert_eq!(read.text.trim_end(), text);
        assert!(read.html.contains("<table") && !read.html.contains("href"));
        for line in text.lines().filter(|line| line.contains("25 ")) {
            let outcome = line.rsplit(':').next().unwrap().trim();
            assert!(read.html.contains(outcome), "{outcome}\n{}", read.html);
        }
    }
}

/// Catches times without a year in a mail that is sent in another one than all its calls began in, by the reader's clock.
#[test]
fn calls_of_another_year() {
    let sent = |at: &str| {
        let at: Time = at.parse().unwrap();
        UNIX_EPOCH + Duration::from_micros(at.as_micros().unsigned_abs())
    };
    for (locale, year, none) in [
        (
            Locale::ZhCn,
            "  2024-05-06(周一)10:24:01",
            "  05-06(周一)10:24:01",
        ),
        (Locale::En, "  Mon 6 May 2024, 10:24:01", "  Mon 6 May, 10:24:01"),
    ] {
        let parcel = bundle(locale, Kind::Digest, of_several(locale), 0);
        // A second before the year ends in Shanghai, and its end.
        for (at, shown) in [("2024-12-31T15:59:59Z", none), ("2024-12-31T16:00:00Z", year)] {
            let read = read(&renderer(None).mail_of(&parcel, sent(at)).unwrap());
            assert!(read.text.contains(shown), "{at}: {}", read.text);
        }
    }
}

/// Catches a summary or digest through which a caller's words become markup, a link, a header or an unmarked name.
#[test]
fn hostile_callers_in_company() {
    for name in [
        "<b>总经理</b>\"\\, http://evil.test/ \u{202e}321",
        "x\r\nBcc: victim@office.test\r\n\r\nhello",
        "\u{2066}\u{200b}\0\u{85}\u{2028}www.evil.test{{ 7*7 }}",
        &"总".repeat(500),
    ] {
        let mut calls = of_one();
        for call in &mut calls {
            call.notice.caller.identity = Some("+8613912345679".into());
            call.notice.caller.name = Some(name.into());
            call.notice.caller.name_source = NameSource::From;
        }
        calls[1].notice.caller.identity = Some("sip:a\r\nBcc:z@y".into());
        calls[2].notice.caller.identity = Some(format!("sip:{}@evil.test", "x".repeat(90)).into());
        for (locale, mark) in [(Locale::ZhCn, "(来电方自报)"), (Locale::En, "(caller-supplied)")] {
            for kind in [Kind::Summary, Kind::Digest] {
                let mail = renderer(None)
                    .mail(&bundle(locale, kind, calls.clone(), 5))
                    .unwrap();
                assert_eq!(mail.envelope().to().len(), 1);
                let read = read(&mail);
                assert!(read.subject.width() <= 60, "{}", read.subject);
                let head = read.raw.split("\r\n\r\n").next().unwrap();
                assert!(!head.contains("\r\nBcc"));
                assert!(read.text.contains(mark) && read.html.contains(mark));
                assert!(
                    read.html.contains("<bdi>") && !read.html.contains("<b>") && !read.html.contains("href")
                );
                for shown in [&read.subject, &read.text, &read.html] {
                    for evil in ["://", "www.evil", "49"] {
                        assert!(!shown.contains(evil), "{evil}: {shown}");
                    }
                    let hidden = |c: char| {
                        (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{2028}".contains(c)
                    };
                    assert!(!shown.contains(hidden), "{shown:?}");
                }
            }
        }
    }
}

/// Catches a header line that is longer than servers take (RFC 5322 §2.1.1), and calls that are missing in it.
#[test]
fn fifty_calls_fit_into_the_head() {
    let calls: Vec<_> = (0..50)
        .map(|n| at("2024-05-06T02:24:01Z", &format!("{n:064x}")))
        .collect();
    let raw = read(
        &renderer(None)
            .mail(&bundle(Locale::En, Kind::Digest, calls, 0))
            .unwrap(),
    )
    .raw;
    assert!(raw.split("\r\n").all(|line| line.len() <= 998), "{raw}");
    let unfolded = raw.replace("\r\n ", " ");
    for n in 0..50 {
        assert!(unfolded.contains(&format!("{n:064x}")), "{n}");
    }
}

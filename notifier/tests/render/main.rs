//! The mails' words and headers, in both languages, for every reason; and what hostile callers can do to them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod bundles;
mod golden;
mod hostile;
mod looks;
#[path = "../scenarios/memory.rs"]
#[allow(
    dead_code,
    clippy::expect_used,
    reason = "the scenarios' way from messages to records; what is told is tried there"
)]
mod memory;
#[path = "../mime/mod.rs"]
mod mime;
mod names;
mod read;
mod templates;
mod wire;
mod words;

use std::collections::BTreeMap;

use lettre::Message;
use ringtap_notifier::deliver::Parcel;
use ringtap_notifier::directory::Entry;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::{Account, Locale, Person, address, timezone};
use ringtap_notifier::render::Renderer;
use ringtap_notifier::store::{Kind, Told, ToldCall};
use ringtap_record::{Caller, NameSource, Outcome, Time};
use unicode_width::UnicodeWidthStr as _;

use read::read;

fn renderer(settings: Option<&str>) -> Renderer {
    let text = r#"
        [numbering]
        country = "86"
        area = "25"
        [[numbering.rule]]
        name = "ext4"
        match = '^(1\d{3})$'
        to = "+86258309$1"
    "#;
    let config = ringtap_config::from_toml(text, "test").unwrap();
    Renderer::new(config.plan, "Missed calls <no-reply@office.test>", settings).unwrap()
}

fn person(locale: Locale) -> Person {
    Person {
        key: "liming".to_owned(),
        name: if locale == Locale::En { "Li Ming" } else { "李明" }.to_owned(),
        email: address("liming@office.test").unwrap(),
        locale,
        timezone: timezone("Asia/Shanghai").unwrap(),
        subscribed: true,
    }
}

fn accounts(locale: Locale) -> Vec<Account> {
    let labels = if locale == Locale::En {
        ["office phone", "mobile"]
    } else {
        ["办公电话", "手机"]
    };
    ["+862583091001", "+8613800001001"]
        .into_iter()
        .zip(labels)
        .map(|(identity, label)| Account {
            identity: identity.to_owned(),
            label: label.to_owned(),
        })
        .collect()
}

fn notice() -> Notice {
    Notice {
        call: "9f2c".to_owned(),
        reason: Outcome::CallerHungUp,
        started: "2024-05-06T02:23:41.000000Z".parse().unwrap(),
        alerted: true,
        ring_ms: 24_600,
        talk_ms: None,
        caller: Caller {
            identity: Some("+8613912345678".into()),
            name: Some("张三".into()),
            name_source: NameSource::Asserted,
            withheld: false,
        },
        account: "+862583091001".to_owned(),
        accounts: vec!["+862583091001".to_owned()],
        forwarded_to: None,
        group: None,
        via: None,
        partial: false,
        conference: false,
        psap: false,
    }
}

/// The caller of [`notice`], by the directory.
fn known(locale: Locale) -> BTreeMap<String, Entry> {
    let name = if locale == Locale::En {
        "Zhang San"
    } else {
        "张三"
    };
    let entry = Entry {
        name: name.to_owned(),
        ..Entry::default()
    };
    BTreeMap::from([("+8613912345678".to_owned(), entry)])
}

fn parcel(person: &Person, accounts: &[Account], notice: &Notice) -> Parcel {
    Parcel {
        id: 1,
        kind: Kind::Call,
        call: notice.call.clone(),
        person: person.clone(),
        accounts: accounts.to_vec(),
        told: Told {
            calls: vec![ToldCall {
                notice: notice.clone(),
                reached: None,
            }],
            more: 0,
            first: None,
        },
        known: BTreeMap::new(),
        links: None,
    }
}

fn mail(locale: Locale, notice: &Notice) -> Message {
    renderer(None)
        .mail(&parcel(&person(locale), &accounts(locale), notice))
        .unwrap()
}

/// Catches any drift from the Chinese sample of semantics.md §7.2.
#[test]
fn the_chinese_sample() {
    let renderer = renderer(Some("https://calls.office.test/me"));
    let read = read(
        &renderer
            .mail(&Parcel {
                known: known(Locale::ZhCn),
                ..parcel(&person(Locale::ZhCn), &accounts(Locale::ZhCn), &notice())
            })
            .unwrap(),
    );
    assert_eq!(read.subject, "未接来电:张三(139 1234 5678),10:23");
    let expected = "\
李明,您好:
您的办公电话 1001(025-8309 1001)有一个未接来电。
  来电人:张三  139 1234 5678
  时  间:2024-05-06(周一)10:23:41(UTC+8)
  情  况:响铃 25 秒后对方挂断
回拨:0-139 1234 5678(外线)
——
本邮件由未接来电提醒系统自动发出,请勿直接回复。退订或修改设置:https://calls.office.test/me";
    assert_eq!(read.text.trim_end(), expected);
    assert!(
        read.raw
            .contains("List-Unsubscribe: <https://calls.office.test/me>")
    );
    assert!(
        read.html.contains("<bdi>张三</bdi>")
            && read.html.contains("href=\"https:&#x2f;&#x2f;calls.office.test")
    );
}

/// Catches any drift from the English sample.
#[test]
fn the_english_sample() {
    let parcel = Parcel {
        known: known(Locale::En),
        ..parcel(&person(Locale::En), &accounts(Locale::En), &notice())
    };
    let read = read(&renderer(None).mail(&parcel).unwrap());
    assert_eq!(read.subject, "Missed call: Zhang San, +86 139 1234 5678 at 10:23");
    let expected = "\
Hello Li Ming,
you missed a call on your office phone 1001 (025-8309 1001).
  Caller:  Zhang San, +86 139 1234 5678
  Time:    Monday 6 May 2024, 10:23:41 (UTC+8)
  Outcome: the caller hung up after 25 seconds of ringing
Call back: dial 0 139 1234 5678
--
Sent automatically by the missed-call service; replies are not read.";
    assert_eq!(read.text.trim_end(), expected);
    assert!(!read.raw.contains("List-Unsubscribe") && !read.html.contains("href"));
}

/// Catches an outbox row of the program before this one that can no longer be read.
#[test]
fn notices_of_earlier_programs_are_read() {
    let mut json = serde_json::to_value(notice()).unwrap();
    let keys = json.as_object_mut().unwrap();
    assert!(keys.remove("via").is_some() && keys.remove("talk_ms").is_some());
    assert_eq!(serde_json::from_value::<Notice>(json).unwrap(), notice());
}

/// Catches a header that is missing, doubled, or has drifted, and a Message-ID that is not the same on
/// sending again or not its own per person and call.
#[test]
fn headers() {
    let two = Notice {
        accounts: vec!["+862583091001".to_owned(), "+8613800001001".to_owned()],
        ..notice()
    };
    let read_two = read(&mail(Locale::ZhCn, &two));
    for header in [
        "From: \"Missed calls\" <no-reply@office.test>",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "Precedence: bulk",
        "Content-Language: zh-CN",
        "X-Ringtap-Reason: CALLER_HUNG_UP",
        "X-Ringtap-Caller: +8613912345678",
        "X-Ringtap-Account: +862583091001, +8613800001001",
        "X-Ringtap-Call: 9f2c",
        "MIME-Version: 1.0",
    ] {
        assert_eq!(
            read_two.raw.matches(&format!("{header}\r\n")).count(),
            1,
            "{header}\n{}",
            read_two.raw
        );
    }
    assert!(
        read_two
            .text
            .contains("同时振铃:办公电话 1001、手机 138 0000 1001,均未接听\n"),
        "{}",
        read_two.text
    );
    let id = |notice: &Notice, key: &str| {
        let person = Person {
            key: key.to_owned(),
            ..person(Locale::En)
        };
        let raw = read(&renderer(None).mail(&parcel(&person, &[], notice)).unwrap()).raw;
        let line = |name: &str| {
            raw.lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        (line("Message-ID: <"), line("References: <"))
    };
    assert_eq!(id(&notice(), "a"), id(&notice(), "a"));
    assert!(id(&notice(), "a").0.ends_with("@office.test>"));
    assert_ne!(id(&notice(), "a"), id(&notice(), "b"));
    let later = Notice {
        call: "77".to_owned(),
        started: notice().started.plus_ms(3_600_000),
        ..notice()
    };
    assert_ne!(id(&notice(), "a").0, id(&later, "a").0);
    assert_eq!(
        id(&notice(), "a").1,
        id(&later, "a").1,
        "same caller, same day: one thread"
    );
    let next_day = Notice {
        started: notice().started.plus_ms(86_400_000),
        ..notice()
    };
    assert_ne!(id(&notice(), "a").1, id(&next_day, "a").1);
}

/// Catches a withheld number or name anywhere in the mail, even if a record should carry one, and the two
/// kinds of unknown callers being told in the same words.
#[test]
fn withheld_and_unavailable() {
    let secret = Notice {
        caller: Caller {
            withheld: true,
            ..notice().caller
        },
        ..notice()
    };
    let read_secret = read(&mail(Locale::ZhCn, &secret));
    assert_eq!(read_secret.subject, "未接来电:号码保密,10:23");
    assert!(read_secret.text.contains("  来电人:对方设置了号码保密\n") && !read_secret.text.contains("回拨"));
    for shown in [&read_secret.raw, &read_secret.text, &read_secret.html] {
        assert!(!shown.contains("13912345678") && !shown.contains("1234 5678") && !shown.contains("张三"));
    }
    assert!(read_secret.raw.contains("X-Ringtap-Caller: withheld\r\n"));
    let english = read(&mail(Locale::En, &secret));
    assert_eq!(english.subject, "Missed call: number withheld at 10:23");
    let unknown = read(&mail(
        Locale::En,
        &Notice {
            caller: Caller::default(),
            ..notice()
        },
    ));
    assert_eq!(unknown.subject, "Missed call: number unavailable at 10:23");
    assert!(unknown.raw.contains("X-Ringtap-Caller: unavailable\r\n"));
    assert!(
        read(&mail(
            Locale::ZhCn,
            &Notice {
                caller: Caller::default(),
                ..notice()
            }
        ))
        .subject
        .contains("号码未知")
    );
}

/// Catches a caller's own words taken for the network's, links made of them, and anything in a name or an
/// address that adds a header, a recipient, markup or a hidden character (semantics.md §7.4, S40).
#[test]
fn hostile_callers() {
    for name in [
        "<b>总经理</b>\"\\, http://evil.test/ \u{202e}321",
        "x\r\nBcc: victim@office.test\r\n\r\nhello",
        "=?utf-8?B?DQpCY2M6IHhAeS50ZXN0?=",
        "a@evil.test, b@evil.test",
        "\u{2066}\u{200b}\0\u{85}\u{2028}www.evil.test{{ 7*7 }}{% raw %}",
        &"总".repeat(500),
    ] {
        for identity in [
            "+8613912345678",
            "sip:a\r\nBcc:z@y",
            &format!("sip:{}@evil.test", "x".repeat(90)),
        ] {
            let caller = Caller {
                identity: Some(identity.into()),
                name: Some(name.into()),
                name_source: NameSource::From,
                withheld: false,
            };
            for (locale, mark) in [(Locale::ZhCn, "(来电方自报)"), (Locale::En, " (caller-supplied)")] {
                let mail = mail(
                    locale,
                    &Notice {
                        caller: caller.clone(),
                        ..notice()
                    },
                );
                assert_eq!(mail.envelope().to().len(), 1);
                let read = read(&mail);
                let head = read.raw.split("\r\n\r\n").next().unwrap();
                let names: Vec<_> = head
                    .split("\r\n")
                    .filter(|line| !line.starts_with([' ', '\t']))
                    .map(|line| line.split(':').next().unwrap())
                    .collect();
                assert_eq!(names.len(), 16, "{names:?}");
                assert!(!names.contains(&"Bcc"));
                assert!(
                    read.subject.width() <= 60,
                    "{} {}",
                    read.subject.width(),
                    read.subject
                );
                assert!(read.text.contains(mark) && read.html.contains(mark.trim()));
                assert!(
                    !read.html.contains("<b>") && !read.html.contains("href"),
                    "{}",
                    read.html
                );
                for shown in [&read.subject, &read.text, &read.html] {
                    assert!(
                        !shown.contains("://") && !shown.contains("www.evil") && !shown.contains("=?"),
                        "{shown}"
                    );
                    assert!(!shown.contains("a@evil") && !shown.contains("49"), "{shown}");
                    let hidden = |c: char| {
                        (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{2028}".contains(c)
                    };
                    assert!(!shown.contains(hidden), "{shown:?}");
                }
            }
        }
    }
}

/// Catches times shown in the server's zone, a weekday of another zone, and odd offsets.
#[test]
fn times_are_the_readers() {
    for (zone, at, shown) in [
        (
            "Asia/Kolkata",
            "2024-05-06T20:00:00Z",
            "Tuesday 7 May 2024, 01:30:00 (UTC+5:30)",
        ),
        (
            "America/St_Johns",
            "2024-01-01T00:00:00Z",
            "Sunday 31 December 2023, 20:30:00 (UTC-3:30)",
        ),
        (
            "Europe/London",
            "2024-01-01T12:00:00Z",
            "Monday 1 January 2024, 12:00:00 (UTC)",
        ),
        (
            "Europe/Berlin",
            "2024-07-01T12:00:00Z",
            "Monday 1 July 2024, 14:00:00 (UTC+2)",
        ),
    ] {
        let person = Person {
            timezone: timezone(zone).unwrap(),
            ..person(Locale::En)
        };
        let notice = Notice {
            started: at.parse::<Time>().unwrap(),
            ..notice()
        };
        let read = read(&renderer(None).mail(&parcel(&person, &[], &notice)).unwrap());
        assert!(read.text.contains(shown), "{}", read.text);
    }
}

/// Catches a call-back hint that cannot be dialled, and a caller inside shown as one outside.
#[test]
fn call_back_hints() {
    for (identity, zh, en) in [
        ("+862583091002", "回拨:1002(内线)", "Call back: dial 1002\n"),
        (
            "+861085091234",
            "回拨:0-010-8509 1234(外线)",
            "Call back: dial 0 010-8509 1234\n",
        ),
        ("svc:95598", "回拨:0-95598(外线)", "Call back: dial 0 95598\n"),
    ] {
        let caller = Caller {
            identity: Some(identity.into()),
            name: None,
            ..Caller::default()
        };
        let notice = Notice { caller, ..notice() };
        assert!(read(&mail(Locale::ZhCn, &notice)).text.contains(zh));
        assert!(read(&mail(Locale::En, &notice)).text.contains(en));
    }
    for identity in ["sip:bob@example.test", "+442079460000"] {
        let caller = Caller {
            identity: Some(identity.into()),
            ..Caller::default()
        };
        assert!(
            !read(&mail(Locale::En, &Notice { caller, ..notice() }))
                .text
                .contains("Call back")
        );
    }
}

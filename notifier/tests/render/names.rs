//! Whose word a name is: the directory's, the network's, the caller's.

use std::collections::BTreeMap;

use ringtap_notifier::deliver::Parcel;
use ringtap_notifier::directory::Entry;
use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::Locale;
use ringtap_record::{Caller, NameSource, Outcome};

use crate::read::{Read, read};
use crate::{accounts, notice, parcel, person, renderer};

fn entry(name: &str, department: &str, label: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        department: department.to_owned(),
        label: label.to_owned(),
    }
}

fn told(locale: Locale, notice: &Notice, known: &[(&str, Entry)]) -> Read {
    let parcel = Parcel {
        known: known
            .iter()
            .map(|(identity, entry)| ((*identity).to_owned(), entry.clone()))
            .collect::<BTreeMap<_, _>>(),
        ..parcel(&person(locale), &accounts(locale), notice)
    };
    read(&renderer(None).mail(&parcel).unwrap())
}

fn named(name: Option<&str>, name_source: NameSource) -> Notice {
    Notice {
        caller: Caller {
            name: name.map(Into::into),
            name_source,
            ..notice().caller
        },
        ..notice()
    }
}

/// Catches a name of the caller's or the network's that looks as if the directory had it, takes the directory's place, or
/// hides the number (semantics.md §7.4).
#[test]
fn each_name_says_whose_word_it_is() {
    let manager = || entry("李总", "总经理", "手机");
    for (source, known, line) in [
        (NameSource::From, None, "总经理(来电方自报)  139 1234 5678"),
        (NameSource::None, None, "总经理(来电方自报)  139 1234 5678"),
        (NameSource::Asserted, None, "总经理(网络提供)  139 1234 5678"),
        (
            NameSource::From,
            Some(manager()),
            "李总(总经理)  手机 139 1234 5678",
        ),
        (
            NameSource::Asserted,
            Some(manager()),
            "李总(总经理)  手机 139 1234 5678",
        ),
        (
            NameSource::From,
            Some(entry("李总", "", "")),
            "李总  139 1234 5678",
        ),
        (
            NameSource::From,
            Some(entry("", "远方公司", "")),
            "远方公司  139 1234 5678",
        ),
        // A word for the number alone names nobody.
        (
            NameSource::From,
            Some(entry("", "", "总机")),
            "总经理(来电方自报)  总机 139 1234 5678",
        ),
    ] {
        let is_known = known
            .as_ref()
            .is_some_and(|known| *known != entry("", "", "总机"));
        let known: Vec<_> = known.map(|known| ("+8613912345678", known)).into_iter().collect();
        let read = told(Locale::ZhCn, &named(Some("总经理"), source), &known);
        assert!(
            read.text.contains(&format!("  来电人:{line}\n")),
            "{line}: {}",
            read.text
        );
        assert_eq!(read.html.contains("<strong>"), is_known, "{line}: {}", read.html);
        assert!(read.subject.contains("139 1234 5678"), "{}", read.subject);
        assert_eq!(
            read.subject.contains("(来电方自报)"),
            line.contains("自报"),
            "{}",
            read.subject
        );
        assert_eq!(
            read.subject.contains("(网络)"),
            line.contains("网络"),
            "{}",
            read.subject
        );
    }
}

/// Catches the directory naming a caller who asked not to be named.
#[test]
fn the_directory_does_not_name_the_withheld() {
    let withheld = Notice {
        caller: Caller {
            withheld: true,
            ..notice().caller
        },
        ..notice()
    };
    for locale in Locale::ALL {
        let known = [("+8613912345678", entry("李总", "总经理", "手机"))];
        let read = told(locale, &withheld, &known);
        for shown in [&read.subject, &read.raw, &read.text, &read.html] {
            for secret in ["李总", "总经理", "1234"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
    }
}

/// Catches people and groups named in passing who are known and are told as numbers.
#[test]
fn whom_a_mail_names_besides() {
    let known = [
        ("+862583091002", entry("王芳", "财务部", "")),
        ("+862583091000", entry("前台组", "", "")),
    ];
    for (notice, line) in [
        (
            Notice {
                reason: Outcome::ForwardedUnanswered,
                forwarded_to: Some("+862583091002".to_owned()),
                ..notice()
            },
            "已前转至 王芳 1002,对方未接",
        ),
        (
            Notice {
                reason: Outcome::GroupUnanswered,
                group: Some("+862583091000".to_owned()),
                ..notice()
            },
            "前台组 无人接听",
        ),
        (
            Notice {
                via: Some("+862583091002".to_owned()),
                ..notice()
            },
            "经 王芳 1002 转接",
        ),
    ] {
        let read = told(Locale::ZhCn, &notice, &known);
        assert!(
            read.text.contains(line) && read.html.contains(line),
            "{}",
            read.text
        );
    }
}

/// Catches how long it rang left out where the outcome does not say it, said twice, or said of a phone that did not ring.
#[test]
fn ring_time() {
    for (reason, ring_ms, alerted, line) in [
        (Outcome::Voicemail, 20_400, true, Some("  Rang:    20 s\n")),
        (Outcome::Voicemail, 20_400, false, None),
        (Outcome::Busy, 0, true, None),
        (Outcome::NoAnswer, 20_400, true, None),
    ] {
        let notice = Notice {
            reason,
            ring_ms,
            alerted,
            ..notice()
        };
        let read = told(Locale::En, &notice, &[]);
        let row = read.text.lines().find(|line| line.contains("Rang:"));
        assert_eq!(
            row.map(|row| format!("{row}\n")).as_deref(),
            line,
            "{}",
            read.text
        );
        assert_eq!(read.html.contains(">Rang<"), line.is_some());
    }
}

/// Catches a call-back hint by another network's habits.
#[test]
fn the_outside_line_is_configured() {
    for (prefix, zh, en) in [
        (
            "9",
            "回拨:9-139 1234 5678(外线)",
            "Call back: dial 9 139 1234 5678\n",
        ),
        ("", "回拨:139 1234 5678(外线)", "Call back: dial 139 1234 5678\n"),
    ] {
        let text = format!("[numbering]\ncountry = \"86\"\noutside_prefix = \"{prefix}\"\n");
        let plan = ringtap_config::from_toml(&text, "test").unwrap().plan;
        let renderer =
            ringtap_notifier::render::Renderer::new(plan, "Missed calls <a@office.test>", None).unwrap();
        for (locale, line) in [(Locale::ZhCn, zh), (Locale::En, en)] {
            let text = renderer.text(&parcel(&person(locale), &[], &notice())).unwrap();
            assert!(text.contains(line), "{text}");
        }
    }
}

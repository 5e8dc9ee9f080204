//! What came of a call, in both languages.

use ringtap_notifier::notice::Notice;
use ringtap_notifier::people::Locale;
use ringtap_record::Outcome;

use crate::read::read;
use crate::{mail, notice};

/// Catches a reason told in other words than semantics.md §7.2 has, in text or HTML.
#[test]
fn every_reason_in_words() {
    for (reason, zh, en) in [
        (
            Outcome::CallerHungUp,
            "响铃 25 秒后对方挂断",
            "the caller hung up after 25 seconds of ringing",
        ),
        (
            Outcome::NoAnswer,
            "响铃 25 秒,无人接听",
            "rang for 25 s, not answered",
        ),
        (Outcome::Busy, "您的电话正忙", "your line was busy"),
        (
            Outcome::Unreachable,
            "您的话机当时离线",
            "your phone could not be reached",
        ),
        (Outcome::AutoRejected, "来电被自动拒接", "rejected automatically"),
        (
            Outcome::NetworkFailure,
            "网络原因未接通",
            "the call could not be connected",
        ),
        (Outcome::Voicemail, "已转入语音信箱", "the call went to voicemail"),
        (
            Outcome::DivertedUnseen,
            "由语音信箱或其他号码应答",
            "taken by voicemail or another number",
        ),
        (
            Outcome::ForwardedUnanswered,
            "已前转至 1002,对方未接",
            "forwarded to 1002, not answered",
        ),
        (
            Outcome::GroupUnanswered,
            "1000 无人接听",
            "nobody in 1000 answered",
        ),
        (Outcome::Declined, "已拒接", "declined"),
        (
            Outcome::DivertedAnswered,
            "已前转,由对方接听",
            "forwarded, and answered there",
        ),
        (Outcome::PickedUp, "已由同事代接", "picked up by a colleague"),
        (Outcome::Blocked, "来电被限制", "barred"),
        (Outcome::InvalidNumber, "所拨号码无效", "the number was not valid"),
        (
            Outcome::Incompatible,
            "双方设备不兼容",
            "the devices were not compatible",
        ),
        (
            Outcome::PossiblyMissed,
            "可能未接(未观测到通话结果)",
            "possibly missed (the end of the call was not observed)",
        ),
    ] {
        let notice = Notice {
            reason,
            forwarded_to: Some("+862583091002".to_owned()),
            group: Some("+862583091000".to_owned()),
            ..notice()
        };
        for (locale, words, label) in [(Locale::ZhCn, zh, "情  况:"), (Locale::En, en, "Outcome: ")] {
            let read = read(&mail(locale, &notice));
            assert!(
                read.text.contains(&format!("  {label}{words}\n")),
                "{reason}: {}",
                read.text
            );
            assert!(read.html.contains(words), "{reason}: {}", read.html);
            assert!(read.raw.contains(&format!("X-Ringtap-Reason: {reason}\r\n")));
        }
    }
}

/// Catches a short answer told as none at all, or of accounts that nobody answered beside it (D01).
#[test]
fn a_short_answer_in_words() {
    for (talk_ms, zh, en) in [
        (0, "接通后 1 秒内即挂断", "answered, but over within 1 s"),
        (2_000, "接通后 2 秒内即挂断", "answered, but over within 2 s"),
        (2_001, "接通后 3 秒内即挂断", "answered, but over within 3 s"),
    ] {
        let notice = Notice {
            reason: Outcome::NoAnswer,
            talk_ms: Some(talk_ms),
            accounts: vec!["+862583091001".to_owned(), "+8613800001001".to_owned()],
            ..notice()
        };
        for (locale, words, tried) in [(Locale::ZhCn, zh, "均未接听"), (Locale::En, en, "none answered")]
        {
            let read = read(&mail(locale, &notice));
            assert!(
                read.text.contains(words) && read.html.contains(words),
                "{}",
                read.text
            );
            assert!(
                !read.text.contains(tried) && !read.html.contains(tried),
                "{}",
                read.text
            );
        }
    }
}

/// Catches a transferred call that does not say by whom (D51), in either language.
#[test]
fn who_transferred() {
    let notice = Notice {
        via: Some("+862583091002".to_owned()),
        partial: true,
        ..notice()
    };
    for (locale, label, words) in [
        (Locale::ZhCn, "备  注:", "经 1002 转接"),
        (Locale::En, "Note:    ", "via 1002"),
    ] {
        let read = read(&mail(locale, &notice));
        assert!(
            read.text.contains(&format!("  {label}{words}\n")),
            "{}",
            read.text
        );
        assert!(read.html.contains(words), "{}", read.html);
        assert_eq!(read.text.matches(label).count(), 2, "{}", read.text);
    }
}

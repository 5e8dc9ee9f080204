//! The words of the mails, in both languages (semantics.md §2.3, §7.2).

use ringtap_record::Outcome;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::number::Numbers;
use crate::notice::Notice;
use crate::people::Locale;

/// Widest subject, in display columns (semantics.md §7.1).
const SUBJECT_COLUMNS_MAX: usize = 60;

/// The subject line. The name gives way to the number: a name can lie, and the number calls back.
pub(super) fn subject(locale: Locale, name: &str, mark: &str, number: &str, clock: &str) -> String {
    let line = |who: &str| match locale {
        Locale::ZhCn => format!("未接来电:{who},{clock}"),
        Locale::En => format!("Missed call: {who} at {clock}"),
    };
    let named = |name: &str| match locale {
        Locale::ZhCn => line(&format!("{name}{mark}({number})")),
        Locale::En => line(&format!("{name}{mark}, {number}")),
    };
    let room = SUBJECT_COLUMNS_MAX.saturating_sub(named("").width());
    match fitted(name, room) {
        Some(name) if !name.is_empty() => named(&name),
        _ => {
            let room = SUBJECT_COLUMNS_MAX.saturating_sub(line("").width());
            line(&fitted(number, room).unwrap_or_default())
        }
    }
}

/// The subject of a mail that tells several calls; of `who`, further ones: name, mark and number.
pub(super) fn bundle_subject(locale: Locale, count: u64, who: Option<(&str, &str, &str)>) -> String {
    let Some((name, mark, number)) = who else {
        return match locale {
            Locale::ZhCn => format!("未接来电汇总:{count} 次"),
            Locale::En if count == 1 => "1 missed call".to_owned(),
            Locale::En => format!("{count} missed calls"),
        };
    };
    let line = |who: &str| match locale {
        Locale::ZhCn => format!("另有 {count} 次未接来电:{who}"),
        Locale::En if count == 1 => format!("1 more missed call: {who}"),
        Locale::En => format!("{count} more missed calls: {who}"),
    };
    let named = |name: &str| match locale {
        Locale::ZhCn => line(&format!("{name}{mark}({number})")),
        Locale::En => line(&format!("{name}{mark}, {number}")),
    };
    let room = SUBJECT_COLUMNS_MAX.saturating_sub(named("").width());
    match fitted(name, room) {
        Some(name) if !name.is_empty() => named(&name),
        _ => {
            let room = SUBJECT_COLUMNS_MAX.saturating_sub(line("").width());
            line(&fitted(number, room).unwrap_or_default())
        }
    }
}

/// The first sentence of such a mail: what stands before the caller and what behind, or the whole if it names none.
pub(super) fn bundle_lead(locale: Locale, count: u64, is_of_one: bool) -> (String, String) {
    let (before, after) = match (locale, is_of_one) {
        (Locale::ZhCn, true) => return (String::new(), format!("另有 {count} 次来电,您未接听:")),
        (Locale::ZhCn, false) => return (format!("您有 {count} 个未接来电:"), String::new()),
        (Locale::En, true) if count == 1 => ("you missed one more call from ".to_owned(), ":"),
        (Locale::En, true) => (format!("you missed {count} more calls from "), ":"),
        (Locale::En, false) if count == 1 => ("you missed one call:".to_owned(), ""),
        (Locale::En, false) => (format!("you missed {count} calls:"), ""),
    };
    (before, after.to_owned())
}

/// The subject of the mail with a link that was asked for.
pub(super) const fn invitation_subject(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "查看您的未接来电",
        Locale::En => "Your missed calls: the link to your page",
    }
}

/// How many are not listed.
pub(super) fn more(locale: Locale, count: u64) -> String {
    match locale {
        Locale::ZhCn => format!("另有 {count} 次来电未列出"),
        Locale::En => format!("and {count} more, not listed"),
    }
}

/// By which clock the times are, if it is one.
pub(super) fn times_in(locale: Locale, zone: &str) -> String {
    match locale {
        Locale::ZhCn => format!("以上时间为 {zone}"),
        Locale::En => format!("Times are {zone}."),
    }
}

/// That the two have talked since.
pub(super) fn reached(locale: Locale, back: bool, at: &str) -> String {
    match (locale, back) {
        (Locale::ZhCn, false) => format!("对方之后于 {at} 再次来电,已接通"),
        (Locale::ZhCn, true) => format!("您之后于 {at} 回拨,已接通"),
        (Locale::En, false) => format!("has reached you since ({at})"),
        (Locale::En, true) => format!("you have called back since ({at})"),
    }
}

/// `text` within `columns`, its end cut off with a sign of it; nothing if not even that fits.
fn fitted(text: &str, columns: usize) -> Option<String> {
    if text.width() <= columns {
        return Some(text.to_owned());
    }
    let mut room = columns.checked_sub(3)?;
    let mut kept = String::new();
    for c in text.chars() {
        let Some(left) = room.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        room = left;
        kept.push(c);
    }
    let kept = before_a_cut(&kept);
    (!kept.is_empty()).then(|| format!("{kept}…"))
}

/// What stays of a text whose end is cut off there: without a colon at its own end, which with the sign of the cut would be taken for a
/// link again (`javascript:…`), since the space that [`unlinked`] put behind it may have been cut off.
pub(super) fn before_a_cut(kept: &str) -> &str {
    kept.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '\u{ff1a}' | '\u{fe55}'))
}

/// How long it rang, if that was long enough to say.
fn rang_s(notice: &Notice) -> Option<u64> {
    let seconds = notice.ring_ms.saturating_add(500) / 1000;
    (notice.alerted && seconds > 0).then_some(seconds)
}

/// How long it rang, where the outcome does not say it.
pub(super) fn rang(locale: Locale, notice: &Notice) -> Option<String> {
    let is_said = matches!(notice.reason, Outcome::CallerHungUp | Outcome::NoAnswer);
    if is_said && notice.talk_ms.is_none() {
        return None;
    }
    rang_s(notice).map(|seconds| match locale {
        Locale::ZhCn => format!("{seconds} 秒"),
        Locale::En => format!("{seconds} s"),
    })
}

/// What came of the call, as half a sentence, with how long it rang.
pub(super) fn outcome_and_ring(locale: Locale, notice: &Notice, numbers: Numbers<'_>) -> String {
    let outcome = outcome(locale, notice, numbers);
    match (rang(locale, notice), locale) {
        (None, _) => outcome,
        (Some(rang), Locale::ZhCn) => format!("{outcome}(响铃 {rang})"),
        (Some(rang), Locale::En) => format!("{outcome} (rang for {rang})"),
    }
}

/// What came of the call, as half a sentence.
pub(super) fn outcome(locale: Locale, notice: &Notice, numbers: Numbers<'_>) -> String {
    let rang = rang_s(notice);
    let forwarded = notice.forwarded_to.as_deref().map(|to| numbers.party(to));
    let group = notice.group.as_deref().map(|group| numbers.group(group));
    if let Some(talk_ms) = notice.talk_ms {
        let seconds = talk_ms.div_ceil(1000).max(1);
        return match locale {
            Locale::ZhCn => format!("接通后 {seconds} 秒内即挂断"),
            Locale::En => format!("answered, but over within {seconds} s"),
        };
    }
    match locale {
        Locale::ZhCn => outcome_zh(notice.reason, rang, forwarded, group),
        Locale::En => outcome_en(notice.reason, rang, forwarded, group),
    }
}

fn outcome_zh(
    reason: Outcome,
    rang: Option<u64>,
    forwarded: Option<String>,
    group: Option<String>,
) -> String {
    let text = match reason {
        Outcome::CallerHungUp => match rang {
            Some(seconds) => return format!("响铃 {seconds} 秒后对方挂断"),
            None => "对方已挂断",
        },
        Outcome::NoAnswer => match rang {
            Some(seconds) => return format!("响铃 {seconds} 秒,无人接听"),
            None => "无人接听",
        },
        Outcome::Busy => "您的电话正忙",
        Outcome::Unreachable => "您的话机当时离线",
        Outcome::AutoRejected => "来电被自动拒接",
        Outcome::NetworkFailure => "网络原因未接通",
        Outcome::Voicemail => "已转入语音信箱",
        Outcome::DivertedUnseen => "由语音信箱或其他号码应答",
        Outcome::ForwardedUnanswered => match forwarded {
            Some(to) => return format!("已前转至 {to},对方未接"),
            None => "已前转,无人接听",
        },
        Outcome::GroupUnanswered => match group {
            Some(group) => return format!("{group} 无人接听"),
            None => "组内无人接听",
        },
        Outcome::Declined => "已拒接",
        Outcome::DivertedAnswered => "已前转,由对方接听",
        Outcome::PickedUp => "已由同事代接",
        Outcome::Blocked => "来电被限制",
        Outcome::InvalidNumber => "所拨号码无效",
        Outcome::Incompatible => "双方设备不兼容",
        Outcome::PossiblyMissed
        | Outcome::Answered
        | Outcome::AnsweredElsewhere
        | Outcome::AuthFailed
        | Outcome::InDialog
        | Outcome::NotACall
        | Outcome::Undetermined => "可能未接(未观测到通话结果)",
    };
    text.to_owned()
}

fn outcome_en(
    reason: Outcome,
    rang: Option<u64>,
    forwarded: Option<String>,
    group: Option<String>,
) -> String {
    let text = match reason {
        Outcome::CallerHungUp => match rang {
            Some(1) => "the caller hung up after 1 second of ringing",
            Some(seconds) => return format!("the caller hung up after {seconds} seconds of ringing"),
            None => "the caller hung up",
        },
        Outcome::NoAnswer => match rang {
            Some(seconds) => return format!("rang for {seconds} s, not answered"),
            None => "not answered",
        },
        Outcome::Busy => "your line was busy",
        Outcome::Unreachable => "your phone could not be reached",
        Outcome::AutoRejected => "rejected automatically",
        Outcome::NetworkFailure => "the call could not be connected",
        Outcome::Voicemail => "the call went to voicemail",
        Outcome::DivertedUnseen => "taken by voicemail or another number",
        Outcome::ForwardedUnanswered => match forwarded {
            Some(to) => return format!("forwarded to {to}, not answered"),
            None => "forwarded, not answered",
        },
        Outcome::GroupUnanswered => match group {
            Some(group) => return format!("nobody in {group} answered"),
            None => "nobody in the group answered",
        },
        Outcome::Declined => "declined",
        Outcome::DivertedAnswered => "forwarded, and answered there",
        Outcome::PickedUp => "picked up by a colleague",
        Outcome::Blocked => "barred",
        Outcome::InvalidNumber => "the number was not valid",
        Outcome::Incompatible => "the devices were not compatible",
        Outcome::PossiblyMissed
        | Outcome::Answered
        | Outcome::AnsweredElsewhere
        | Outcome::AuthFailed
        | Outcome::InDialog
        | Outcome::NotACall
        | Outcome::Undetermined => "possibly missed (the end of the call was not observed)",
    };
    text.to_owned()
}

/// Further lines that the evidence asks for.
pub(super) fn notes(locale: Locale, notice: &Notice, numbers: Numbers<'_>) -> Vec<String> {
    let (conference, partial) = match locale {
        Locale::ZhCn => ("会议邀请", "部分信令未捕获,以上内容可能不完整"),
        Locale::En => (
            "conference invitation",
            "part of the signalling was not seen, details may be incomplete",
        ),
    };
    let via = notice.via.as_deref().map(|via| {
        let via = numbers.party(via);
        match locale {
            Locale::ZhCn => format!("经 {via} 转接"),
            Locale::En => format!("via {via}"),
        }
    });
    let said = [(notice.conference, conference), (notice.partial, partial)];
    let said = said.into_iter().filter(|(holds, _)| *holds);
    via.into_iter()
        .chain(said.map(|(_, note)| note.to_owned()))
        .collect()
}

/// Stands between two facts on one line.
pub(super) const fn between(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => ",",
        Locale::En => ", ",
    }
}

pub(super) fn list(locale: Locale, items: impl Iterator<Item = String>) -> String {
    let between = match locale {
        Locale::ZhCn => "、",
        Locale::En => ", ",
    };
    items.collect::<Vec<_>>().join(between)
}

pub(super) const fn withheld(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "号码保密",
        Locale::En => "number withheld",
    }
}

pub(super) const fn withheld_in_body(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "对方设置了号码保密",
        Locale::En => "number withheld",
    }
}

pub(super) const fn unavailable(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "号码未知",
        Locale::En => "number unavailable",
    }
}

/// Stands behind a name that the network gives.
pub(super) const fn of_the_network(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "(网络提供)",
        Locale::En => " (from the network)",
    }
}

/// The same in a subject, which has little room.
pub(super) const fn of_the_network_in_subject(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "(网络)",
        Locale::En => " (network)",
    }
}

/// Stands behind a name that the network does not vouch for.
pub(super) const fn caller_supplied(locale: Locale) -> &'static str {
    match locale {
        Locale::ZhCn => "(来电方自报)",
        Locale::En => " (caller-supplied)",
    }
}

pub(super) const fn weekday_zh(from_monday: i8) -> &'static str {
    match from_monday {
        0 => "周一",
        1 => "周二",
        2 => "周三",
        3 => "周四",
        4 => "周五",
        5 => "周六",
        _ => "周日",
    }
}

/// `UTC+8`, `UTC-3:30`, `UTC`.
pub(super) fn zone(offset_s: i32) -> String {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.unsigned_abs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// A name in which no mail reader finds a link, markup or an encoded word (semantics.md §7.4): a space goes where
/// a URL, a host name, an address or `=?` would be recognised, and angle brackets become quotation marks of that shape.
pub(super) fn unlinked(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        text.push(match c {
            '<' => '\u{2039}',
            '>' => '\u{203a}',
            other => other,
        });
        let is_within = !before.is_whitespace() && !next.is_whitespace();
        let breaks = match c {
            // Host names are found behind the wide dots and signs of Chinese fonts too (UTS #46).
            '.' | '@' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{ff20}' | '\u{fe52}' | '\u{fe6b}'
            | '\u{2024}' => is_within,
            ':' | '\u{ff1a}' | '\u{fe55}' => !next.is_whitespace(),
            '/' | '\\' | '\u{ff0f}' | '\u{ff3c}' => matches!(next, '/' | '\\' | '\u{ff0f}' | '\u{ff3c}'),
            '=' => next == '?',
            _ => false,
        };
        if breaks {
            text.push(' ');
        }
        before = c;
    }
    text
}

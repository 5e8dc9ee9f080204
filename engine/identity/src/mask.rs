//! Numbers and addresses as logs show them (semantics.md §7.4): whole, with their middle hidden, or not at all.
//!
//! Log lines are looked through as they are written, whoever wrote them: a server's last words hold a mail address as easily as
//! our own messages hold a number. What is taken for one: a `+` (or `%2B`) with five digits or more, eight digits or more by
//! themselves, in either with `-`, `.` or single spaces between them and a `*` before; fewer where the line says that they are one
//! (`tel:1001`, `caller=83091`); and what stands before an `@`. What is not: names of calls, dates and times, addresses of hosts,
//! paths, numbers of JSON, and counts that a line gives by a name of counts (`rows=…`, `…_ms=…`).

use std::borrow::Cow;

/// How logs show numbers and addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogNumbers {
    /// As they are.
    Full,
    /// With their middle hidden.
    #[default]
    Masked,
    /// Not at all.
    None,
}

/// Digits of a number that has a `+`; fewer are no one's.
const DIGITS_MIN: usize = 5;
/// Digits of a number that has none; fewer may be a count.
const PLAIN_DIGITS_MIN: usize = 8;
/// Digits of a number that a line says is one.
const NAMED_DIGITS_MIN: usize = 3;
/// Most digits of a number (E.164), with a prefix to dial it.
const DIGITS_MAX: usize = 20;
/// Names of what is a number, however short.
const NUMBER_NAMES: [&str; 13] = [
    "tel", "sip", "sips", "number", "identity", "account", "caller", "callee", "called", "dialled", "from",
    "to", "via",
];
/// Names of what is counted or measured, and their endings.
const COUNT_NAMES: [&str; 12] = [
    "n", "id", "seq", "count", "rows", "frames", "packets", "octets", "bytes", "calls", "records", "pid",
];
const COUNT_ENDINGS: [&str; 14] = [
    "_ns", "_us", "_ms", "_s", "_bytes", "_octets", "_max", "_min", "_count", "_total", "_id", "_seq",
    "_rows", "_frames",
];

/// An identity with its middle hidden: `+86********678`.
#[must_use]
pub fn mask(identity: &str) -> String {
    let len = identity.chars().count();
    let hidden = |at: usize| at >= 3.min(len / 3) && at + 3.min(len / 3) < len;
    identity
        .chars()
        .enumerate()
        .map(|(at, c)| if len > 4 && hidden(at) { '*' } else { c })
        .collect()
}

impl LogNumbers {
    /// A line of a log as it is to be written.
    #[must_use]
    pub fn shown(self, text: &str) -> Cow<'_, str> {
        if self == Self::Full {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut before = Before::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(colour) = colour_len(rest) {
                let (colour, behind) = rest.split_at_checked(colour).unwrap_or((rest, ""));
                shown.push_str(colour);
                rest = behind;
                continue;
            }
            let len = match grouped_len(rest) {
                Some(len) if !before.names_a_count() && before.last != Some('/') => {
                    let (number, behind) = rest.split_at_checked(len).unwrap_or((rest, ""));
                    self.push_number(&mut shown, number);
                    before.note(number);
                    rest = behind;
                    continue;
                }
                _ => rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len()),
            };
            let (word, behind) = rest
                .split_at_checked(len.max(first.len_utf8()))
                .unwrap_or((rest, ""));
            match len {
                0 => shown.push_str(word),
                _ => self.push_word(&mut shown, word, before),
            }
            before.note(word);
            rest = behind;
        }
        match shown == text {
            true => Cow::Borrowed(text),
            false => Cow::Owned(shown),
        }
    }

    fn push_number(self, shown: &mut String, number: &str) {
        match self {
            Self::Full => shown.push_str(number),
            Self::Masked => shown.push_str(&mask(number)),
            Self::None => shown.push_str("[number]"),
        }
    }

    fn push_word(self, shown: &mut String, word: &str, before: Before<'_>) {
        let stem = word.trim_end_matches(['.', '-']);
        let (_, end) = word.split_at_checked(stem.len()).unwrap_or((word, ""));
        match (what(stem, before), self) {
            (Kind::Plain, _) | (_, Self::Full) => shown.push_str(stem),
            (Kind::Number, _) => self.push_number(shown, stem),
            (Kind::Address, Self::Masked) => {
                let (local, host) = stem.rsplit_once('@').unwrap_or((stem, ""));
                if local.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit()) {
                    shown.push_str(&mask(local));
                } else {
                    shown.extend(local.chars().take(1));
                    shown.push_str("***");
                }
                shown.push('@');
                shown.push_str(host);
            }
            (Kind::Address, Self::None) => shown.push_str("[address]"),
        }
        shown.push_str(end);
    }
}

/// What stands before a word.
#[derive(Clone, Copy, Default)]
struct Before<'a> {
    last: Option<char>,
    last_but_one: Option<char>,
    /// The last word, with nothing behind it but what leads on to its value.
    name: &'a str,
}

impl<'a> Before<'a> {
    fn note(&mut self, text: &'a str) {
        match text {
            "=" | ":" | "\"" => {}
            word if word.starts_with(is_of_word) => self.name = word,
            _ => self.name = "",
        }
        for c in text.chars() {
            self.last_but_one = self.last.replace(c);
        }
    }

    /// A name of counts, to which the word is the value: `rows=` in lines; in JSON any name, for numbers are strings there.
    fn names_a_count(self) -> bool {
        let is_count = || {
            COUNT_NAMES.contains(&self.name) || COUNT_ENDINGS.iter().any(|ending| self.name.ends_with(ending))
        };
        match (self.last_but_one, self.last) {
            (Some('"'), Some(':')) => true,
            (_, Some('=')) => is_count(),
            _ => false,
        }
    }

    /// A name of numbers, to which the word is the value: `tel:`, `caller=`, `"caller":"`.
    fn names_a_number(self) -> bool {
        matches!(self.last, Some('=' | ':' | '"')) && NUMBER_NAMES.contains(&self.name)
    }
}

enum Kind {
    Plain,
    Number,
    Address,
}

fn what(word: &str, before: Before<'_>) -> Kind {
    if let Some((local, host)) = word.rsplit_once('@') {
        return match local.is_empty() || host.is_empty() {
            true => Kind::Plain,
            false => Kind::Address,
        };
    }
    let dialled = word.trim_start_matches('*');
    let plus = ["+", "%2B", "%2b"]
        .iter()
        .find_map(|plus| dialled.strip_prefix(plus));
    let digits = plus.unwrap_or(dialled);
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let is_only_digits = digits.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b));
    let least = match plus {
        Some(_) => DIGITS_MIN,
        None if before.names_a_number() => NAMED_DIGITS_MIN,
        None => PLAIN_DIGITS_MIN,
    };
    let is_other = || {
        plus.is_none()
            && (before.last == Some('/')
                || before.names_a_count()
                || digits.starts_with('-')
                || is_date(digits)
                || is_host_or_fraction(digits))
    };
    match is_only_digits && count >= least && !is_other() {
        true => Kind::Number,
        false => Kind::Plain,
    }
}

/// `2026-11-26`.
fn is_date(word: &str) -> bool {
    let lens = word.split('-').map(str::len);
    lens.eq([4, 2, 2]) && (word.starts_with("19") || word.starts_with("20"))
}

/// `192.168.100.200`, `1764150853.123456`.
fn is_host_or_fraction(word: &str) -> bool {
    word.parse::<std::net::Ipv4Addr>().is_ok() || (!word.contains('-') && word.matches('.').count() == 1)
}

/// The length of a number in groups at the beginning of `text`, as people and our mails write it: `+86 139 1234 5678`, `025-8309 1001`.
fn grouped_len(text: &str) -> Option<usize> {
    let (mut len, mut digits, mut groups) = (0, 0, 0);
    let plus = usize::from(text.starts_with('+'));
    loop {
        let rest = text.get(len..)?;
        let gap = if groups == 0 {
            plus
        } else {
            usize::from(rest.starts_with(' '))
        };
        let group = rest.get(gap..).unwrap_or_default();
        let group = group.split(|c: char| !is_of_word(c)).next().unwrap_or_default();
        let stem = group.trim_end_matches('.');
        let runs = || stem.split('-');
        let is_group =
            runs().all(|run| (1..=4).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_digit()));
        let further = stem.bytes().filter(u8::is_ascii_digit).count();
        let is_first = groups == 0;
        if (!is_first && gap == 0)
            || !is_group
            || is_date(stem)
            || (!is_first && further < 2)
            || digits + further > DIGITS_MAX
        {
            break;
        }
        len += gap + stem.len();
        digits += further;
        groups += 1;
        if stem.len() < group.len() {
            break;
        }
    }
    let least = if plus == 1 { DIGITS_MIN } else { PLAIN_DIGITS_MIN };
    (groups > 1 && digits >= least).then_some(len)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+@._-%~*!$&".contains(c)
}

/// The length of a terminal's colour sequence at the beginning of `text`.
fn colour_len(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
    Some("\u{1b}[".len() + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches whole numbers in logs.
    #[test]
    fn masks_hide_the_middle() {
        assert_eq!(mask("+8613912345678"), "+86********678");
        assert_eq!(mask("12345"), "1***5");
        assert_eq!(mask("110"), "110");
    }

    /// Catches a number or an address that gets past, in whatever form a line gives it, and one that takes with it what a line is about.
    #[test]
    fn lines_are_looked_through() {
        let hash = "9f2c0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab";
        for (line, masked, none) in [
            ("from +8613912345678.", "from +86********678.", "from [number]."),
            ("sip:liming@ims.test;x", "sip:l***@ims.test;x", "sip:[address];x"),
            (
                "sip:+8613912345678@ims.test",
                "sip:+86********678@ims.test",
                "sip:[address]",
            ),
            ("tel:02583091001", "tel:025*****001", "tel:[number]"),
            (
                "550 <li.ming+x@office.test>: unknown",
                "550 <l***@office.test>: unknown",
                "550 <[address]>: unknown",
            ),
            (
                "{\"caller\":\"02583091001\",\"wait_ms\":14400000}",
                "{\"caller\":\"025*****001\",\"wait_ms\":14400000}",
                "{\"caller\":\"[number]\",\"wait_ms\":14400000}",
            ),
            (
                "\u{1b}[3mcaller\u{1b}[0m\u{1b}[2m=\u{1b}[0m+8613912345678 \u{1b}[2mn=\u{1b}[0m14400000",
                "\u{1b}[3mcaller\u{1b}[0m\u{1b}[2m=\u{1b}[0m+86********678 \u{1b}[2mn=\u{1b}[0m14400000",
                "\u{1b}[3mcaller\u{1b}[0m\u{1b}[2m=\u{1b}[0m[number] \u{1b}[2mn=\u{1b}[0m14400000",
            ),
            ("李+8613912345678明", "李+86********678明", "李[number]明"),
            ("to 139-1234-5678.", "to 139*******678.", "to [number]."),
            (
                "025-83091001, 139.1234.5678",
                "025******001, 139*******678",
                "[number], [number]",
            ),
            ("*8613912345678", "*86********678", "[number]"),
            (
                "sip:%2B8613912345678;x",
                "sip:%2B**********678;x",
                "sip:[number];x",
            ),
            (
                "for +86 139 1234 5678, 3 s",
                "for +86***********678, 3 s",
                "for [number], 3 s",
            ),
            ("(025-8309 1001)", "(025*******001)", "([number])"),
            (
                "tel:83091;phone-context=x",
                "tel:8***1;phone-context=x",
                "tel:[number];phone-context=x",
            ),
            (
                "{\"caller\":\"83091\"}",
                "{\"caller\":\"8***1\"}",
                "{\"caller\":\"[number]\"}",
            ),
            (
                "asked=02583091001 rows=14400000",
                "asked=025*****001 rows=14400000",
                "asked=[number] rows=14400000",
            ),
        ] {
            assert_eq!(LogNumbers::Masked.shown(line), masked);
            assert_eq!(LogNumbers::None.shown(line), none);
            assert_eq!(LogNumbers::Full.shown(line), line);
        }
        for line in [
            "2026-11-26T09:54:13.123456Z  INFO ready",
            &format!("call={hash} user=\"liming\" rows=123456789"),
            "192.168.100.200:5060 [2001:db8::1]:25 /tmp/12345678/n.db",
            "1234567 frames lost; 110",
            "2026-11-26 09:54:13 1764150853.123456 -12345678 12 of 3400",
            "a @ b, @x, +123",
            "",
        ] {
            assert_eq!(LogNumbers::Masked.shown(line), line);
        }
    }
}

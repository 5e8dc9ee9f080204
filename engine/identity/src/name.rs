//! Display names: from what stands on the wire to text that may be shown (semantics.md §3.7, §7.4).
//!
//! A name is whatever its sender wishes. What leaves here cannot break a mail header, turn the
//! direction of text or hide characters; that it may still lie is for the mail to say.

use compact_str::CompactString;
use encoding_rs::{Encoding, GB18030, WINDOWS_1252};
use unicode_normalization::UnicodeNormalization;

/// Longest name, in code points.
pub const NAME_CODE_POINTS_MAX: usize = 64;

/// Octets of a name that are looked at; an encoded name of 64 code points takes less.
const NAME_OCTETS_MAX: usize = 1024;

/// The name in a display-name as it stands in the message, its outer quotes taken off; `quoted` if it
/// had them, so that backslashes in it escape. `None` if nothing that can be shown is left.
#[must_use]
pub fn decode(raw: &[u8], quoted: bool) -> Option<CompactString> {
    if let Some(text) = plain(raw) {
        return (!text.is_empty()).then(|| CompactString::new(text));
    }
    let text = charset(bounded(raw));
    let text = if quoted { unescape(&text) } else { text };
    match encoded_words(&text) {
        Some(decoded) => sanitise(&decoded),
        None => sanitise(&text),
    }
}

/// A name in which there is nothing to decode or to clean, which most are: printable ASCII without escapes and
/// encoded-words, its words a single space apart. Composing Unicode took most of the time of a claim.
fn plain(raw: &[u8]) -> Option<&str> {
    let mut before = b' ';
    for octet in raw {
        let odd = !matches!(octet, b' '..=b'~') || matches!(octet, b'=' | b'\\');
        if odd || (*octet == b' ' && before == b' ') {
            return None;
        }
        before = *octet;
    }
    let whole = raw.len() <= NAME_CODE_POINTS_MAX && (raw.is_empty() || before != b' ');
    whole.then(|| std::str::from_utf8(raw).ok()).flatten()
}

/// Text safe to be shown and put into a mail: no controls, no bidi or invisible characters, composed
/// (NFC), single spaces, at most [`NAME_CODE_POINTS_MAX`] code points.
#[must_use]
pub fn sanitise(text: &str) -> Option<CompactString> {
    let mut clean = CompactString::default();
    let mut code_points = 0;
    let mut space = false;
    let visible = text
        .chars()
        .map(|c| if is_break(c) { ' ' } else { c })
        .filter(|c| !is_unwanted(*c));
    for c in visible.nfc() {
        if c.is_whitespace() {
            space = !clean.is_empty();
            continue;
        }
        code_points += 1 + usize::from(space);
        if code_points > NAME_CODE_POINTS_MAX {
            break;
        }
        if std::mem::take(&mut space) {
            clean.push(' ');
        }
        clean.push(c);
    }
    (!clean.is_empty()).then_some(clean)
}

/// The octets looked at, not cut within a UTF-8 character.
fn bounded(raw: &[u8]) -> &[u8] {
    let Some(head) = raw.get(..NAME_OCTETS_MAX) else {
        return raw;
    };
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => head.get(..error.valid_up_to()).unwrap_or(head),
        _ => head,
    }
}

/// UTF-8 (RFC 3261 §7), or GB18030 where that is plausible, or Latin-1, read as its superset
/// windows-1252 because that is what is meant by it.
fn charset(raw: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(raw) {
        return text.to_owned();
    }
    if is_plausible_gb(raw)
        && let Some(text) = GB18030.decode_without_bom_handling_and_without_replacement(raw)
    {
        return text.into_owned();
    }
    WINDOWS_1252.decode_without_bom_handling(raw).0.into_owned()
}

/// Whether octets beyond ASCII look like Chinese rather than like accented letters: they come in
/// pairs, and at least half of the pairs lie in GB 2312, whose both octets are beyond ASCII. A lone
/// accented letter before an ASCII one is a pair only of the rarer GBK.
fn is_plausible_gb(raw: &[u8]) -> bool {
    let (mut common, mut rare) = (0_usize, 0_usize);
    let mut rest = raw;
    loop {
        rest = match rest {
            [] => return common > 0 && common >= rare,
            [0x00..=0x7f, rest @ ..] => rest,
            [0xb0..=0xf7, 0xa1..=0xfe, rest @ ..] | [0xa1..=0xa9, 0xa1..=0xfe, rest @ ..] => {
                common += 1;
                rest
            }
            [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, rest @ ..] => {
                rare += 1;
                rest
            }
            [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, rest @ ..] => {
                rare += 1;
                rest
            }
            _ => return false,
        };
    }
}

/// quoted-pair (RFC 3261 §25.1). After the charset: trail octets of GBK may be backslashes.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// The text behind RFC 2047 encoded-words, if the whole name is made of them. Not legal here, but sent.
fn encoded_words(text: &str) -> Option<String> {
    let mut decoded = String::new();
    // A multibyte character may be split between two words, against the RFC: words of one charset in
    // a row are decoded together.
    let mut pending: Option<(&'static Encoding, Vec<u8>)> = None;
    for word in text.split_ascii_whitespace() {
        let (encoding, octets) = encoded_word(word)?;
        match &mut pending {
            Some((same, sofar)) if *same == encoding => sofar.extend_from_slice(&octets),
            _ => {
                flush(pending.replace((encoding, octets)), &mut decoded);
            }
        }
    }
    let any = pending.is_some();
    flush(pending, &mut decoded);
    any.then_some(decoded)
}

fn flush(word: Option<(&'static Encoding, Vec<u8>)>, decoded: &mut String) {
    if let Some((encoding, octets)) = word {
        decoded.push_str(&encoding.decode_without_bom_handling(&octets).0);
    }
}

/// `=?charset?B|Q?text?=`, a language behind the charset passed over (RFC 2231 §5).
fn encoded_word(word: &str) -> Option<(&'static Encoding, Vec<u8>)> {
    let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let charset = charset.split('*').next().unwrap_or(charset);
    let octets = match encoding {
        "B" | "b" => base64(text)?,
        "Q" | "q" => quoted_printable(text),
        _ => return None,
    };
    Some((Encoding::for_label(charset.as_bytes())?, octets))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(text).ok()
}

/// The Q encoding (RFC 2047 §4.2): `_` is a space, `=HH` an octet; anything else is itself.
fn quoted_printable(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (octet, after) = match (first, after) {
            (b'=', [high, low, after @ ..]) => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => (high << 4 | low, after),
                None => (b'=', rest.get(1..).unwrap_or_default()),
            },
            (b'_', after) => (b' ', after),
            (other, after) => (*other, after),
        };
        octets.push(octet);
        rest = after;
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Line and paragraph ends of every kind, and tabs: they separate words.
fn is_break(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that are not seen or that change how others are seen (semantics.md §7.4): controls,
/// bidi controls, zero-width and filler characters, tags, noncharacters.
fn is_unwanted(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(raw: &[u8]) -> Option<String> {
        decode(raw, true).map(String::from)
    }

    /// Catches wrong unescaping: of what is escaped, and of what stood without quotes.
    #[test]
    fn quoted_pairs() {
        assert_eq!(
            quoted(br#"Zhang \"San\" \\"#).as_deref(),
            Some(r#"Zhang "San" \"#)
        );
        assert_eq!(quoted(br"Zhang\").as_deref(), Some("Zhang"));
        assert_eq!(decode(br"Zhang\San", false).as_deref(), Some(r"Zhang\San"));
        assert_eq!(decode(b"Zhang\r\n  San\t", false).as_deref(), Some("Zhang San"));
        assert_eq!(quoted(b"100%25 sure").as_deref(), Some("100%25 sure"));
    }

    /// Catches a charset taken for another: Chinese phones send GBK, gateways Latin-1.
    #[test]
    fn charsets() {
        for (raw, expected) in [
            ("李明".as_bytes(), "李明"),
            (b"\xc0\xee\xc3\xf7", "李明"),
            (b"\xd6\xec\xe9\x46\xbb\xf9", "朱镕基"),
            (b"Wang \xcd\xf5\xb7\xbc", "Wang 王芳"),
            (b"M\xfcller", "Müller"),
            (b"Ren\xe9", "René"),
            (b"Fran\xe7ois Ren\xe9e", "François Renée"),
            (b"\x80 \x93x\x94", "€ “x”"),
        ] {
            assert_eq!(quoted(raw).as_deref(), Some(expected), "{raw:x?}");
        }
        // A GBK trail octet may be a backslash; it escapes nothing.
        let (gbk, _, _) = encoding_rs::GBK.encode("张誠明");
        assert!(gbk.contains(&b'\\'));
        assert_eq!(quoted(&gbk).as_deref(), Some("张誠明"));
    }

    /// Catches encoded-words not decoded, decoded in part, or decoded where they are only a part.
    #[test]
    fn encoded_words_make_the_whole_name() {
        for (raw, expected) in [
            ("=?utf-8?B?5p2O5piO?=", "李明"),
            (
                "=?UTF-8?b?5p2O5piO?= =?utf-8*zh?Q?=E7=8E=8B_Fang?=",
                "李明王 Fang",
            ),
            ("=?utf-8?B?5p2?= =?utf-8?B?jg==?=", "李"),
            ("=?utf-8?Q?=E6=9D?= =?utf-8?Q?=8E?=", "李"),
            ("=?gb2312?B?wO7D9w?=", "李明"),
            ("=?iso-8859-1?Q?M=FCller?=", "Müller"),
            ("Li =?utf-8?B?5piO?=", "Li =?utf-8?B?5piO?="),
            ("=?nocharset?B?5piO?=", "=?nocharset?B?5piO?="),
            ("=?utf-8?B?!!!?=", "=?utf-8?B?!!!?="),
            ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        ] {
            assert_eq!(quoted(raw.as_bytes()).as_deref(), Some(expected), "{raw}");
        }
    }

    /// Catches hostile names (semantics.md §7.4 and the `evil` name of §8.3) that get through.
    #[test]
    fn hostile_names() {
        let evil = "<b>总经理</b>\\\"\\, http://evil.test/ \u{202e}321";
        assert_eq!(
            quoted(evil.as_bytes()).as_deref(),
            Some("<b>总经理</b>\", http://evil.test/ 321")
        );
        for (raw, expected) in [
            ("a\u{0}b\u{7f}\u{9b}c", Some("abc")),
            ("a\r\nBcc: x", Some("a Bcc: x")),
            ("a\u{2028}b\u{85}c", Some("a b c")),
            ("\u{200b}\u{feff}\u{2060}", None),
            ("a\u{e0041}\u{e007f}b", Some("ab")),
            ("\u{2066}x\u{2069}\u{61c}\u{200e}", Some("x")),
            ("e\u{301}", Some("\u{e9}")),
            ("e\u{200d}\u{301}", Some("\u{e9}")),
            ("  a \u{3000} b  ", Some("a b")),
            ("   ", None),
            ("", None),
        ] {
            assert_eq!(quoted(raw.as_bytes()).as_deref(), expected, "{raw:?}");
        }
    }

    /// Catches a name without bound, and one cut within a character.
    #[test]
    fn long_names() {
        let name = quoted("明".repeat(5000).as_bytes()).unwrap();
        assert_eq!(name, "明".repeat(NAME_CODE_POINTS_MAX));
        let spaced = quoted("a ".repeat(100).as_bytes()).unwrap();
        assert_eq!(spaced.chars().count(), NAME_CODE_POINTS_MAX - 1);
    }
}

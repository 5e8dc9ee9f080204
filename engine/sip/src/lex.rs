//! The lexical pieces that all header values share (RFC 3261 §25.1): white space, tokens, quoted strings,
//! comma lists, numbers, percent escapes.
//!
//! Values may still hold folds: within a value CR and LF are white space like SP and HT (RFC 3261 §7.3.1).

use memchr::{memchr, memchr2, memchr3};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{take_while, take_while1};
use nom::combinator::map_opt;
use nom::sequence::preceded;

/// A parser's result over octets.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T>;

/// White space within a value, folds included.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Octets of a `token`, and all that are not ASCII: method and tag are compared, never interpreted.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Optional white space.
pub(crate) fn lws(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_lws).parse(input)
}

/// A `token`, white space before it skipped.
pub(crate) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    preceded(lws, take_while1(is_token)).parse(input)
}

/// A number of any length, leading zeros included, that fits `u32` (RFC 4475 §3.1.1.1, §3.1.2.4).
pub(crate) fn number(input: &[u8]) -> Parsed<'_, u32> {
    map_opt(
        take_while1(|byte: u8| byte.is_ascii_digit()),
        |digits: &[u8]| {
            digits.iter().try_fold(0u32, |value, digit| {
                value.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
            })
        },
    )
    .parse(input)
}

/// `value` without white space at both ends.
///
/// Two loops instead of a combinator: every header line comes through here.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let mut value = trim_start(value);
    while let [rest @ .., last] = value
        && is_lws(*last)
    {
        value = rest;
    }
    value
}

/// `value` without white space before it.
pub(crate) fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_lws(*first)
    {
        value = rest;
    }
    value
}

/// The text before and after the octet at `at`, which belongs to neither.
pub(crate) fn split_around(text: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (before, from) = text.split_at_checked(at).unwrap_or((text, &[]));
    (before, from.get(1..).unwrap_or_default())
}

/// Length of a quoted string at the start of `input`, quotes included; `None` if it does not end.
///
/// A hand scan: quoted strings stand inside list splitting, where every octet counts.
pub(crate) fn quoted_len(input: &[u8]) -> Option<usize> {
    if input.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        let rest = input.get(at..)?;
        let stop = memchr2(b'"', b'\\', rest)?;
        if rest.get(stop) == Some(&b'"') {
            return Some(at + stop + 1);
        }
        // quoted-pair = "\" and any octet (RFC 3261 §25.1)
        at += stop + 2;
    }
}

/// A `quoted-string`, white space before it skipped: what stands between the quotes, escapes still in.
pub(crate) fn quoted_string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, _) = lws(input)?;
    let len = quoted_len(input).ok_or_else(|| fail(input))?;
    let (quoted, rest) = input.split_at_checked(len).ok_or_else(|| fail(input))?;
    Ok((rest, quoted.get(1..len - 1).unwrap_or_default()))
}

/// A recoverable error at `input`, for pieces that are scanned by hand.
pub(crate) fn fail(input: &[u8]) -> nom::Err<nom::error::Error<&[u8]>> {
    nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Verify))
}

/// Position of the first `wanted` octet outside quoted strings. A quote that never closes is an octet like
/// others (RFC 4475 §3.1.2.6).
pub(crate) fn find_unquoted(wanted: u8, text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let stop = memchr2(wanted, b'"', rest)?;
        if rest.get(stop) == Some(&wanted) {
            return Some(at + stop);
        }
        match quoted_len(rest.get(stop..)?) {
            Some(len) => at += stop + len,
            // Nothing closes this quote, so nothing closes a later one: one scan to the end, not one for
            // each.
            None => return Some(at + stop + memchr(wanted, rest.get(stop..)?)?),
        }
    }
}

/// The values of a comma list, trimmed; empty ones are left out (RFC 3261 §7.3.1; RFC 4475 §3.1.2.1).
///
/// Commas count outside quoted strings and `<>` only. A quote or `<` that never closes is an octet like
/// others.
#[derive(Clone, Debug)]
pub(crate) struct CommaList<'a> {
    rest: &'a [u8],
    quotes_close: bool,
    angles_close: bool,
}

impl<'a> CommaList<'a> {
    pub(crate) const fn new(list: &'a [u8]) -> Self {
        Self {
            rest: list,
            quotes_close: true,
            angles_close: true,
        }
    }

    /// Position of the next comma that separates values. Once a quote or `<` was found not to close, later
    /// ones are not tried again: the work stays linear in the line's length whatever it holds.
    fn separator(&mut self) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = self.rest.get(at..)?;
            let stop = memchr3(b',', b'"', b'<', rest)?;
            let from = rest.get(stop..)?;
            at += stop;
            at += match from.first()? {
                b',' => return Some(at),
                b'"' if self.quotes_close => quoted_len(from).unwrap_or_else(|| {
                    self.quotes_close = false;
                    1
                }),
                b'<' if self.angles_close => memchr(b'>', from).unwrap_or_else(|| {
                    self.angles_close = false;
                    1
                }),
                _ => 1,
            };
        }
    }
}

impl<'a> Iterator for CommaList<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (value, rest) = match self.separator() {
                Some(at) => split_around(self.rest, at),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            let value = trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// The octets of `bytes` with valid `%HH` escapes decoded. A percent sign that is none stays what it is, and
/// `%00` is an octet like others (RFC 4475 §3.1.1.3 to §3.1.1.5).
pub fn percent_decode(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (octet, after) = match rest {
            // "%" HEXDIG HEXDIG (RFC 3261 §25.1)
            [b'%', high, low, after @ ..] => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => (high << 4 | low, after),
                None => (b'%', rest.get(1..)?),
            },
            [octet, after @ ..] => (*octet, after),
            [] => return None,
        };
        rest = after;
        Some(octet)
    })
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches commas that separate inside quotes or `<>`, empty values kept, and open quotes that eat the
    /// list.
    #[test]
    fn comma_lists() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" , ,", &[]),
            ("a", &["a"]),
            ("a,b , c", &["a", "b", "c"]),
            (
                "\"x,y\" <sip:a,b@c>;p=1 , <d>",
                &["\"x,y\" <sip:a,b@c>;p=1", "<d>"],
            ),
            (r#""a\",b",c"#, &[r#""a\",b""#, "c"]),
            ("\"open, <a,b>", &["\"open", "<a,b>"]),
            ("a<b,c", &["a<b", "c"]),
            ("a\r\n ,\r\n b", &["a", "b"]),
            (r#""\"#, &[r#""\"#]),
        ];
        for (list, values) in cases {
            let found: Vec<_> = CommaList::new(list.as_bytes()).collect();
            let wanted: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, wanted, "{list}");
        }
    }

    /// Catches a search that stops inside quotes, or that an open quote blinds.
    #[test]
    fn find_outside_quotes() {
        let cases = [
            ("a<b", Some(1)),
            ("\"<\"<", Some(3)),
            (r#""\"<"<"#, Some(5)),
            ("\"<", Some(1)),
            ("\"\"", None),
            ("", None),
        ];
        for (text, at) in cases {
            assert_eq!(find_unquoted(b'<', text.as_bytes()), at, "{text}");
        }
    }

    /// Catches escapes decoded that are none, escapes left that are some, and NUL as a terminator.
    #[test]
    fn percent_escapes() {
        let cases: &[(&str, &[u8])] = &[
            ("", b""),
            ("%2B86", b"+86"),
            ("a%00b", b"a\0b"),
            ("%Z%45", b"%ZE"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%%41", b"%A"),
            ("%e6%9D%8e", "李".as_bytes()),
            ("%+1", b"%+1"),
        ];
        for (text, octets) in cases {
            assert_eq!(
                percent_decode(text.as_bytes()).collect::<Vec<_>>(),
                *octets,
                "{text}"
            );
        }
    }

    /// Catches numbers that wrap, and leading zeros taken for something else.
    #[test]
    fn numbers() {
        assert_eq!(number(b"0009 x"), Ok((&b" x"[..], 9)));
        assert_eq!(number(b"4294967295"), Ok((&b""[..], u32::MAX)));
        assert!(number(b"4294967296").is_err());
        assert!(number(b"-1").is_err());
        assert!(number(b"").is_err());
    }
}

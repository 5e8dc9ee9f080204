//! `;name=value` parameters, of header fields and of URIs alike.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_till;
use nom::combinator::map;

use crate::find::{find, find2};
use crate::lex::{Parsed, is_lws, quoted_string, trim, trim_start};

/// Parameters as they stand in the frame: `;a=b;c="q;r"`, the first semicolon optional, white space
/// tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    text: &'a [u8],
}

impl<'a> Params<'a> {
    /// The parameters in `text`.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The parameters in order. A value in quotes comes without them, escapes still in.
    #[must_use]
    pub const fn iter(&self) -> ParamIter<'a> {
        ParamIter { rest: self.text }
    }

    /// The value of the first parameter of that name, in any case; empty if it has none.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.text;
        while !rest.is_empty() {
            rest = match step(rest, name) {
                Step::Is(value) => return Some(value),
                Step::Next(rest) => rest,
            };
        }
        None
    }

    /// Whether there is a parameter of that name, in any case.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// The parameters as they stand in the frame.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.text
    }
}

/// What a look-up learns of one parameter.
enum Step<'a> {
    /// It is the wanted one, of this value.
    Is(&'a [u8]),
    /// It is another; what follows it.
    Next(&'a [u8]),
}

/// Looks at the first parameter of `rest`. Most that are not wanted differ in their first octet already, and
/// without a quote they end at the next semicolon: nothing else of them is taken apart. The wanted one mostly
/// stands there without white space.
#[inline]
fn step<'a>(rest: &'a [u8], wanted: &[u8]) -> Step<'a> {
    if let [b';', behind @ ..] = rest {
        return Step::Next(behind);
    }
    if let Some((name, [b'=', text @ ..])) = rest.split_at_checked(wanted.len())
        && (name == wanted || name.eq_ignore_ascii_case(wanted))
        && let Ok((_, value)) = value(text)
    {
        return Step::Is(value);
    }
    if let ([first, ..], [letter, ..]) = (rest, wanted)
        && !first.eq_ignore_ascii_case(letter)
        && !is_lws(*first)
    {
        match find2(b';', b'"', rest) {
            None => return Step::Next(&[]),
            Some(end) => match rest.get(end..) {
                Some([b';', behind @ ..]) => return Step::Next(behind),
                // Within this parameter only: each of thousands would look through all that follow.
                Some(quoted)
                    if rest
                        .get(..end)
                        .and_then(|name| find(b'=', name))
                        .is_some_and(|equals| equals + 1 == end) =>
                {
                    if let Some((_, behind)) = usual_quoted(quoted) {
                        return Step::Next(behind.get(1..).unwrap_or_default());
                    }
                }
                _ => {}
            },
        }
    }
    let Ok((behind, (name, value))) = param(rest) else {
        return Step::Next(&[]);
    };
    if name.eq_ignore_ascii_case(wanted) && (!name.is_empty() || value.is_some()) {
        Step::Is(value.unwrap_or_default())
    } else {
        Step::Next(behind.get(1..).unwrap_or_default())
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Params`]: name and, if there is an equals sign, value.
#[derive(Clone, Debug)]
pub struct ParamIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (rest, (name, value)) = param(self.rest).ok()?;
            self.rest = rest.get(1..).unwrap_or_default();
            if !name.is_empty() || value.is_some() {
                return Some((name, value));
            }
        }
        None
    }
}

/// `generic-param` (RFC 3261 §25.1), up to the semicolon that ends it.
fn param(input: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    let (rest, name) = name(input)?;
    match rest {
        [b'=', text @ ..] => value(text).map(|(rest, value)| (rest, (name, Some(value)))),
        _ => Ok((rest, (name, None))),
    }
}

/// A value in either form. A quoted string that never closes is none: then the value ends at the semicolon.
fn value(input: &[u8]) -> Parsed<'_, &[u8]> {
    match trim_start(input) {
        text @ [b'"', ..] => match usual_quoted(text) {
            Some((value, rest)) => Ok((rest, value)),
            None => alt((quoted_value, plain_value)).parse(input),
        },
        _ => plain_value(input),
    }
}

/// A quoted string without escapes, which most are, behind which the next parameter begins or nothing stands: what is between the quotes, and the
/// rest from the semicolon on.
#[inline]
fn usual_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let (value, rest) = inner.split_at_checked(find2(b'"', b'\\', inner)?)?;
    let rest = rest.strip_prefix(b"\"")?;
    matches!(rest, [] | [b';', ..]).then_some((value, rest))
}

/// What stands before `=` or `;`.
fn name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let end = find2(b'=', b';', input).unwrap_or(input.len());
    let (name, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
    Ok((rest, trim(name)))
}

/// A quoted string; what stands behind it before the semicolon is passed over.
fn quoted_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    map((quoted_string, take_till(|byte| byte == b';')), |(value, _)| {
        value
    })
    .parse(input)
}

/// What stands before `;`. A word-wise search instead of a combinator: tags and branches come through here.
fn plain_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    let end = find(b';', input).unwrap_or(input.len());
    let (value, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
    Ok((rest, trim(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Names = &'static [(&'static str, Option<&'static str>)];

    /// Catches wrong delimiting: white space, folds, quoted semicolons, empty values, bare names.
    #[test]
    fn delimiting() {
        let cases: &[(&str, Names)] = &[
            ("", &[]),
            (";;;", &[]),
            (";a=b;c", &[("a", Some("b")), ("c", None)]),
            (
                "a=b ; c = d\r\n ;e\t=",
                &[("a", Some("b")), ("c", Some("d")), ("e", Some(""))],
            ),
            (
                r#";text="x;cause=16";cause=200"#,
                &[("text", Some("x;cause=16")), ("cause", Some("200"))],
            ),
            (
                r#";t="a\"b;" junk;u=1"#,
                &[("t", Some(r#"a\"b;"#)), ("u", Some("1"))],
            ),
            (";t=\"open;u=1", &[("t", Some("\"open")), ("u", Some("1"))]),
            (";a=b=c", &[("a", Some("b=c"))]),
            (";=x;y", &[("", Some("x")), ("y", None)]),
        ];
        for (text, wanted) in cases {
            let found: Vec<_> = Params::new(text.as_bytes()).iter().collect();
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(n, v)| (n.as_bytes(), v.map(str::as_bytes)))
                .collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    /// Catches names compared by case, the last of two winning, and a bare name that is not found.
    #[test]
    fn lookup() {
        let params = Params::new(b";TAG=1;tag=2;lr");
        assert_eq!(params.get(b"Tag"), Some(&b"1"[..]));
        assert_eq!(params.get(b"lr"), Some(&b""[..]));
        assert!(params.has(b"LR"));
        assert_eq!(params.get(b"ta"), None);
    }

    proptest! {
        /// Catches a look-up that passes over what the iterator finds, or the other way round: semicolons in
        /// quotes, white space around names, quotes that never close.
        #[test]
        fn lookup_agrees_with_iterator(
            text in prop::collection::vec(prop::sample::select(&b"ab;;==\"\" \t\\"[..]), 0..40),
        ) {
            let params = Params::new(&text);
            for name in [&b"a"[..], b"B", b"ab", b""] {
                let found = params.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
                prop_assert_eq!(params.get(name), found.map(|(_, value)| value.unwrap_or_default()));
            }
        }
    }
}

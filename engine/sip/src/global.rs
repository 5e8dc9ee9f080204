//! A global number in the one form in which nearly every URI and address of a core writes it.
//!
//! A call names its two parties a dozen times, nearly always as `sip:+digits@host;user=phone` or `tel:+digits` in `<>`. Such a text is
//! recognised here in one pass, sixteen octets at a time; whatever deviates from it is none of these, and is left to [`crate::addr`] and
//! [`crate::uri`], which understand these too.

use wide::u8x16;

use crate::uri::Scheme;

/// Octets looked at at once.
const CHUNK: usize = 16;

/// The URI `tel:+digits`, or `sip:+digits@host` with a port perhaps and `user=phone` perhaps, all but the digits in lower case, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global<'a> {
    /// [`Scheme::Tel`] or [`Scheme::Sip`].
    pub scheme: Scheme,
    /// Whether `user=phone` stands there.
    pub says_phone: bool,
    /// `+` and at least one digit.
    pub number: &'a [u8],
    /// Lower case letters, digits, `-` and `.`, the first of them no sign; empty for `tel:`.
    pub host: &'a [u8],
    /// The whole URI.
    pub raw: &'a [u8],
}

impl<'a> Global<'a> {
    /// The global number that a URI is.
    #[must_use]
    pub fn of_uri(uri: &'a [u8]) -> Option<Self> {
        let (global, end) = first(uri, 0)?;
        (end == uri.len()).then_some(global)
    }

    /// The global number in `<>` that an address of a header field is, and what stands behind it: the field's parameters, or further addresses.
    #[must_use]
    pub fn of_address(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        if value.first() != Some(&b'<') {
            return None;
        }
        let (global, end) = first(value, 1)?;
        match value.get(end..)? {
            [b'>', behind @ ..] => Some((global, behind)),
            _ => None,
        }
    }

    /// The URI up to the end of its host.
    #[must_use]
    pub fn address(&self) -> &'a [u8] {
        let user = SCHEME_BYTES + self.number.len();
        let end = match self.scheme {
            Scheme::Tel => user,
            _ => user + 1 + self.host.len(),
        };
        self.raw.get(..end).unwrap_or_default()
    }
}

/// `sip:` and `tel:`.
const SCHEME_BYTES: usize = 4;

/// The global number that stands at `begin`, and where it ends.
#[inline(always)]
fn first(text: &[u8], begin: usize) -> Option<(Global<'_>, usize)> {
    let scheme = match text.get(begin..)?.first_chunk()? {
        b"sip:+" => Scheme::Sip,
        b"tel:+" => Scheme::Tel,
        _ => return None,
    };
    let user = begin + SCHEME_BYTES;
    let number_ends = run(text, user + 1, |chunk| within(chunk, b'0', b'9'));
    let number = text.get(user..number_ends).filter(|number| number.len() > 1)?;
    let (mut host, mut says_phone, mut end) = (&[][..], false, number_ends);
    if scheme == Scheme::Sip {
        if text.get(end) != Some(&b'@') {
            return None;
        }
        let host_ends = host_ends(text, end + 1)?;
        host = text.get(end + 1..host_ends)?;
        end = port_ends(text, host_ends);
        says_phone = text.get(end..)?.first_chunk() == Some(b";user=phone");
        if says_phone {
            end += b";user=phone".len();
        }
    }
    let raw = text.get(begin..end)?;
    let global = Global {
        scheme,
        says_phone,
        number,
        host,
        raw,
    };
    Some((global, end))
}

/// Where the host ends that begins at `begin`. It may end in the root's dot.
#[inline(always)]
fn host_ends(text: &[u8], begin: usize) -> Option<usize> {
    if !matches!(text.get(begin), Some(b'a'..=b'z' | b'0'..=b'9')) {
        return None;
    }
    let is_of_host =
        |chunk| within(chunk, b'a', b'z') | within(chunk, b'0', b'9') | within(chunk, b'-', b'.');
    Some(run(text, begin, is_of_host))
}

/// Where the port ends that may begin at `begin`. A colon alone is passed over too, as [`crate::uri`] does.
#[inline(always)]
fn port_ends(text: &[u8], begin: usize) -> usize {
    match text.get(begin..) {
        Some([b':', port @ ..]) => begin + 1 + port.iter().take_while(|octet| octet.is_ascii_digit()).count(),
        _ => begin,
    }
}

/// Which octets lie between `low` and `high`: all bits of them.
#[inline(always)]
fn within(chunk: u8x16, low: u8, high: u8) -> u8x16 {
    let above = chunk - u8x16::splat(low);
    above.min(u8x16::splat(high - low)).simd_eq(above)
}

/// Where the octets end, from `begin` on, that are of a class. NUL is of none. The last chunk overlaps what was seen of the text before.
#[inline(always)]
fn run(text: &[u8], begin: usize, class: impl Fn(u8x16) -> u8x16) -> usize {
    let bits = |chunk: &[u8; CHUNK]| class(u8x16::new(*chunk)).to_bitmask();
    let mut at = begin;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let of_class = bits(chunk).trailing_ones() as usize;
        if of_class < CHUNK {
            return at + of_class;
        }
        at += CHUNK;
    }
    let rest = text.get(at..).unwrap_or_default();
    let of_class = match text.last_chunk() {
        Some(last) => bits(last) >> (CHUNK - rest.len()),
        None => {
            let mut padded = [0; CHUNK];
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            bits(&padded)
        }
    };
    at + of_class.trailing_ones() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::addr::name_addr;
    use crate::uri::uri;

    /// Texts that are such a URI, and some put together of parts that are not all of its kind.
    fn nearly() -> impl Strategy<Value = String> {
        let usual =
            r"tel:\+[0-9]{1,40}|sip:\+[0-9]{1,40}@[a-z0-9][-.a-z0-9]{0,40}(:[0-9]{0,6})?(;user=phone)?";
        let scheme = prop::sample::select(vec!["sip:", "tel:", "tel:", "sips:", "Sip:", "sip", ""]);
        let number = "[+]?[0-9]{0,40}[-a]?";
        let host = r"(@|@[.a-z0-9][-.a-z0-9_A\[\]]{0,3}[-.a-z0-9]{0,40})?";
        let port = "(:|:[0-9]{1,6}|:5060x)?";
        let tail = r"(;user=phone|;user=phone|;user=phones|;user=Phone|;lr|;user=phone;lr|\?x=y|@b| |>)?";
        let mixed = (scheme, number, host, port, tail).prop_map(|parts| {
            let (scheme, number, host, port, tail) = parts;
            [scheme, &number, &host, &port, &tail].concat()
        });
        prop_oneof![usual, mixed]
    }

    /// Whether the text is what [`Global`] says that it is.
    fn is_one(text: &str) -> bool {
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        let is_of_host = |octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        if let Some(digits) = text.strip_prefix("tel:+") {
            return is_number(digits);
        }
        let Some((digits, behind)) = text.strip_prefix("sip:+").and_then(|text| text.split_once('@')) else {
            return false;
        };
        let place = behind.strip_suffix(";user=phone").unwrap_or(behind);
        let (host, port) = place.split_once(':').unwrap_or((place, ""));
        is_number(digits)
            && !host.is_empty()
            && !host.starts_with(['-', '.'])
            && host.bytes().all(is_of_host)
            && port.bytes().all(|octet| octet.is_ascii_digit())
    }

    proptest! {
        /// Catches a part that is cut otherwise than the general way cuts it, and more taken for a plain URI than is one.
        #[test]
        fn as_the_general_way(text in nearly(), behind in "(|;tag=1|, <sip:x>| )") {
            let octets = text.as_bytes();
            prop_assert_eq!(Global::of_uri(octets).is_some(), is_one(&text), "{}", text);
            if let Some(global) = Global::of_uri(octets) {
                let uri = uri(octets).expect("a URI");
                prop_assert_eq!(uri.scheme, global.scheme);
                prop_assert_eq!(uri.user, Some(global.number));
                prop_assert_eq!(uri.host, global.host);
                prop_assert_eq!(uri.raw, global.raw);
                prop_assert!(uri.user_params.raw().is_empty() && uri.headers.is_empty());
                let params: &[u8] = if global.says_phone { b"user=phone" } else { b"" };
                prop_assert_eq!(uri.params.raw(), params);
                let address = [if global.host.is_empty() { &b"tel:"[..] } else { b"sip:" }, global.number];
                let address = if global.host.is_empty() { address.concat() } else {
                    [&address.concat()[..], b"@", global.host].concat()
                };
                prop_assert_eq!(global.address(), address);
            }
            let value = format!("<{text}>{behind}");
            let found = Global::of_address(value.as_bytes());
            let is_whole = !text.contains('>');
            prop_assert_eq!(found.is_some_and(|_| is_whole), Global::of_uri(octets).is_some_and(|_| is_whole), "{}", text);
            if let Some((global, params)) = found {
                let address = name_addr(value.as_bytes()).expect("an address");
                prop_assert_eq!(address.uri, global.raw);
                prop_assert!(address.display.is_empty() && !address.quoted);
                let (_, behind) = value.split_once('>').expect("an end");
                prop_assert_eq!(params, behind.as_bytes());
            }
        }

        /// Catches a run that ends too soon or too late, wherever the chunks begin.
        #[test]
        fn a_run_is_what_is_counted(text in prop::collection::vec(prop::sample::select(&b"0159/:\0a"[..]), 0..60), ones in 0_usize..60) {
            let text = [&vec![b'7'; ones][..], &text].concat();
            for begin in 0..=text.len() {
                let counted = text[begin..].iter().take_while(|octet| octet.is_ascii_digit()).count();
                prop_assert_eq!(run(&text, begin, |chunk| within(chunk, b'0', b'9')), begin + counted);
            }
        }
    }

    /// Catches an octet too many or too few in one of the classes, and a part that may be empty or must not.
    #[test]
    fn one_octet_away() {
        for usual in ["tel:+1", "tel:+12", "sip:+1@h", "sip:+12@h1:5;user=phone"] {
            for at in 0..usual.len() {
                let (before, behind) = usual.split_at(at);
                let others = (0..=0x7F_u8).map(|octet| char::from(octet).to_string());
                for other in others.chain([String::new()]) {
                    for text in [
                        [before, &other, behind].concat(),
                        [before, &other, &behind[1..]].concat(),
                        [usual, &other].concat(),
                    ] {
                        let is = Global::of_uri(text.as_bytes()).is_some();
                        assert_eq!(is, is_one(&text), "{}", text.escape_debug());
                    }
                }
            }
        }
    }

    /// Catches a usual form that is not recognised, which no result would show.
    #[test]
    fn usual_forms() {
        let plain = |value: &'static str| {
            Global::of_address(value.as_bytes())
                .map(|(global, behind)| (global.number, global.says_phone, behind))
        };
        let number = &b"+8613912345678"[..];
        for (value, wanted) in [
            ("<tel:+8613912345678>", Some((number, false, &b""[..]))),
            (
                "<sip:+8613912345678@h.test;user=phone>;tag=1",
                Some((number, true, &b";tag=1"[..])),
            ),
            (
                "<sip:+8613912345678@10.0.0.1:5060>",
                Some((number, false, &b""[..])),
            ),
            ("<sip:+8613912345678@h;user=phone;x>", None),
            ("<tel:8613912345678>", None),
            ("<tel:+>", None),
            ("tel:+8613912345678", None),
            ("_tel:+8613912345678>", None),
        ] {
            assert_eq!(plain(value), wanted, "{value}");
        }
    }
}

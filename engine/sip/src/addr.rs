//! `name-addr` and `addr-spec` (RFC 3261 §20.10): display name, URI and header parameters told apart.
//!
//! Display names are delimited here, not decoded: quoted pairs and character sets (semantics.md §3.7) belong
//! to `ringtap-identity`. The URI is left to [`crate::uri`].

use memchr::memrchr;

use crate::find::{find, find2};
use crate::lex::{find_unquoted, quoted_string, split_around, trim};
use crate::params::Params;

/// One address of a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name, without the quotes around it, escapes still in. Empty if there is none.
    pub display: &'a [u8],
    /// The display name stood in quotes, so quoted pairs in it are escapes.
    pub quoted: bool,
    /// The URI, without `<>`.
    pub uri: &'a [u8],
    /// The header field's parameters (`tag`, `index`, ...), never the URI's.
    pub params: Params<'a>,
}

/// The address in one value of a list, or in a header field of one value.
///
/// Without `<>` all parameters are the header field's (RFC 3261 §20). Whatever stands before `<` is the
/// display name, token or not (RFC 4475 §3.1.2.15); a quote that never closes leaves the last `<...>` as the
/// address (§3.1.2.6). `None` if there is no URI, or a `<` is not closed.
#[must_use]
pub fn name_addr(value: &[u8]) -> Option<NameAddr<'_>> {
    let value = trim(value);
    let address = match open_angle(value) {
        Some(open) => in_angles(value, open)?,
        None => bare(value),
    };
    (!address.uri.is_empty()).then_some(address)
}

/// Whether a list holds one URI in `<>` and nothing else, neither a name nor parameters, as most Contacts do.
#[must_use]
pub fn is_only_uri(list: &[u8]) -> bool {
    list.first() == Some(&b'<') && find(b'>', list).is_some_and(|at| at + 1 == list.len())
}

/// Where the address's `<` stands. Quotes are looked at only if some stand before it.
fn open_angle(value: &[u8]) -> Option<usize> {
    if value.first() == Some(&b'<') {
        return Some(0);
    }
    let first = find2(b'<', b'"', value)?;
    if value.get(first) == Some(&b'<') {
        return Some(first);
    }
    let quote = first;
    let closes = crate::lex::quoted_len(value.get(quote..)?).is_some();
    if closes {
        find_unquoted(b'<', value)
    } else {
        memrchr(b'<', value)
    }
}

/// `[ display-name ] "<" addr-spec ">" *( ";" param )`.
fn in_angles(value: &[u8], open: usize) -> Option<NameAddr<'_>> {
    let (name, rest) = split_around(value, open);
    let (uri, params) = split_around(rest, find(b'>', rest)?);
    let (display, quoted) = match name {
        // Most addresses have no name.
        [] => (name, false),
        name => match quoted_string(name) {
            Ok((_, display)) => (display, true),
            Err(_) => (trim(name), false),
        },
    };
    Some(NameAddr {
        display,
        quoted,
        uri: trim(uri),
        params: Params::new(params),
    })
}

/// `addr-spec *( ";" param )`. A quoted name without `<>` behind it is against the grammar but unambiguous.
fn bare(value: &[u8]) -> NameAddr<'_> {
    let (value, display, quoted) = match quoted_string(value) {
        Ok((rest, display)) => (rest, display, true),
        Err(_) => (value, &[][..], false),
    };
    let end = find(b';', value).unwrap_or(value.len());
    let (uri, params) = split_around(value, end);
    NameAddr {
        display,
        quoted,
        uri: trim(uri),
        params: Params::new(params),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches any confusion of name, URI and parameters: every form of semantics.md §6 that concerns
    /// addresses.
    #[test]
    fn forms() {
        // value, display, quoted, uri, tag
        let cases = [
            ("<sip:a@b>;tag=1", "", false, "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", "", false, "sip:a@b", Some("1")),
            ("sip:a@b ;\r\n tag = 1", "", false, "sip:a@b", Some("1")),
            ("<sip:a@b;tag=no>", "", false, "sip:a@b;tag=no", None),
            (
                "\"A <x>;tag=9\" <sip:a@b>;tag=1",
                "A <x>;tag=9",
                true,
                "sip:a@b",
                Some("1"),
            ),
            (
                r#""J \\\""  <sip:a@b> ; tag=1"#,
                r#"J \\\""#,
                true,
                "sip:a@b",
                Some("1"),
            ),
            ("caller<sip:a@b>;tag=323", "caller", false, "sip:a@b", Some("323")),
            (
                "Bell, Alexander <sip:a@b>;tag=4",
                "Bell, Alexander",
                false,
                "sip:a@b",
                Some("4"),
            ),
            (
                "t1~` t2'+_ t3*%!.- <sip:a@b>",
                "t1~` t2'+_ t3*%!.-",
                false,
                "sip:a@b",
                None,
            ),
            (
                "\"Mr. J. User <sip:j@b>;tag=5",
                "\"Mr. J. User",
                false,
                "sip:j@b",
                Some("5"),
            ),
            ("\"Mr <x <sip:j@b>;tag=5", "\"Mr <x", false, "sip:j@b", Some("5")),
            ("\"W, T\" < sip:t@b >", "W, T", true, "sip:t@b", None),
            ("\"\" <tel:+86258309>;tag=6", "", true, "tel:+86258309", Some("6")),
            ("\"A\" sip:a@b;tag=7", "A", true, "sip:a@b", Some("7")),
            ("sip:a@b;x=\"<y>\";tag=8", "", false, "sip:a@b", Some("8")),
            ("李明 <sip:a@b>", "李明", false, "sip:a@b", None),
            ("*", "", false, "*", None),
        ];
        for (value, display, quoted, uri, tag) in cases {
            let found = name_addr(value.as_bytes()).unwrap_or_else(|| panic!("{value} is an address"));
            assert_eq!(found.display, display.as_bytes(), "{value}");
            assert_eq!(found.quoted, quoted, "{value}");
            assert_eq!(found.uri, uri.as_bytes(), "{value}");
            assert_eq!(found.params.get(b"tag"), tag.map(str::as_bytes), "{value}");
        }
    }

    /// Catches an address made up where none can be told.
    #[test]
    fn no_address() {
        for value in ["", " ", "<>", "\"A\"", "<sip:a@b;tag=1", ";tag=1"] {
            assert_eq!(name_addr(value.as_bytes()), None, "{value}");
        }
    }
}

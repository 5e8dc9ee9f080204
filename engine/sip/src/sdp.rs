//! What a message's SDP offers (semantics.md D61, D70), and what tells it from others (K6): the `m=`, `o=` and `c=` lines and nothing else.
//!
//! The SDP may be a part of a multipart body beside ISUP, PIDF-LO or XML (RFC 5621). Bodies are never looked
//! through for SIP header fields.

use memchr::memchr;

use crate::find::{Positions, find as find_octet};
use crate::header::Header;
use crate::lex::{split_around, trim};
use crate::message::Message;
use crate::params::Params;

/// How deep multipart bodies may nest.
const DEPTH_MAX: usize = 3;

/// The kinds of media that a session description names. A stream with port 0 counts too: an offer that
/// begins on hold or with nothing usable is still an offer of that kind (semantics.md D61 asks for the kind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `m=audio`
    pub audio: bool,
    /// `m=video`
    pub video: bool,
    /// `m=message` (MSRP)
    pub message: bool,
    /// Any `m=` line, whatever its kind.
    pub any: bool,
}

/// What tells one session description from others: who made it and where its first stream goes
/// (semantics.md K6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `o=` without its version: user name, session id and address (RFC 8866 §5.2). `None` if a part is
    /// missing.
    pub session: Option<[&'a [u8]; 3]>,
    /// Address and port of the first stream that has one.
    pub stream: Option<(&'a [u8], &'a [u8])>,
}

/// A session description, as far as it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Its `m=` lines.
    pub media: Media,
    /// Its `o=` line, and the address and port of its first stream.
    pub origin: Origin<'a>,
}

/// What the message's session description says; `None` if it has none.
#[must_use]
pub fn offer<'a>(message: &Message<'a>) -> Option<Offer<'a>> {
    session_description(message).map(read)
}

/// The media of the message's session description; `None` if it has none.
#[must_use]
pub fn media(message: &Message<'_>) -> Option<Media> {
    offer(message).map(|offer| offer.media)
}

/// Reads a session description in one pass.
fn read(description: &[u8]) -> Offer<'_> {
    let mut found = Offer::default();
    let (mut address, mut port): (&[u8], Option<&[u8]>) = (b"", None);
    let mut is_of_first_stream = true;
    let mut line_ends = Positions::from(b'\n', description, 0);
    let mut begin = 0;
    while begin < description.len() {
        let end = line_ends.next().unwrap_or(description.len());
        let line = description.get(begin..end).unwrap_or_default();
        begin = end + 1;
        match line.first_chunk() {
            Some(b"o=") if is_of_first_stream => found.origin.session = session_of(Words::of(line)),
            Some(b"c=") if is_of_first_stream => address = Words::of(line).nth(2).unwrap_or_default(),
            Some(b"m=") => {
                let mut words = Words::of(line);
                is_of_first_stream &= port.is_none();
                found.media.add(words.next().unwrap_or_default());
                if is_of_first_stream {
                    port = words.next().filter(|port| *port != b"0");
                }
            }
            _ => {}
        }
    }
    found.origin.stream = port.filter(|_| !address.is_empty()).map(|port| (address, port));
    found
}

impl Media {
    /// Adds a stream: `m=<media> ...` (RFC 8866 §5.14). Liberal in reading: the names are lower case by RFC 8866, but equipment errs.
    fn add(&mut self, kind: &[u8]) {
        self.any = true;
        self.audio |= kind.eq_ignore_ascii_case(b"audio");
        self.video |= kind.eq_ignore_ascii_case(b"video");
        self.message |= kind.eq_ignore_ascii_case(b"message");
    }
}

/// The words of a line's value, spaces between them, its end left out.
struct Words<'a> {
    value: &'a [u8],
    begin: usize,
    spaces: Positions<'a>,
}

impl<'a> Words<'a> {
    fn of(line: &'a [u8]) -> Self {
        let value = line.get(2..).unwrap_or_default();
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        Self {
            value,
            begin: 0,
            spaces: Positions::from(b' ', value, 0),
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.begin < self.value.len() {
            let end = self.spaces.next().unwrap_or(self.value.len());
            let word = self.value.get(self.begin..end)?;
            self.begin = end + 1;
            if !word.is_empty() {
                return Some(word);
            }
        }
        None
    }
}

/// `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`.
fn session_of<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<[&'a [u8]; 3]> {
    let (user, id) = (words.next()?, words.next()?);
    Some([user, id, words.nth(3)?])
}

/// The message's session description: the body, or the first part of that type in a multipart body.
#[must_use]
pub fn session_description<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let content_type = message.header(Header::ContentType)?;
    let body = message.body();
    if body.is_empty() {
        return None;
    }
    find(content_type, body, DEPTH_MAX)
}

/// The session description in a body of that type.
fn find<'a>(content_type: &[u8], body: &'a [u8], depth: usize) -> Option<&'a [u8]> {
    // So it is written by nearly all.
    if content_type == b"application/sdp" {
        return Some(body);
    }
    let (media_type, params) = split_around(
        content_type,
        memchr(b';', content_type).unwrap_or(content_type.len()),
    );
    let media_type = trim(media_type);
    if media_type.eq_ignore_ascii_case(b"application/sdp") {
        return Some(body);
    }
    let multipart = media_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    if !multipart || depth == 0 {
        return None;
    }
    let boundary = Params::new(params)
        .get(b"boundary")
        .filter(|boundary| !boundary.is_empty())?;
    Parts {
        rest: body,
        boundary,
        inside: false,
    }
    .find_map(|part| {
        let (content_type, content) = part_content(part);
        find(content_type, content, depth - 1)
    })
}

/// The parts of a multipart body, each from behind its delimiter line up to the next (RFC 2046 §5.1.1).
struct Parts<'a, 'b> {
    rest: &'a [u8],
    boundary: &'b [u8],
    inside: bool,
}

impl<'a> Iterator for Parts<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = self.rest;
        while !self.rest.is_empty() {
            let here = self.rest;
            let (line, behind) = line(here);
            self.rest = behind;
            let Some(delimiter) = delimiter(line, self.boundary) else {
                continue;
            };
            let part = start.get(..start.len() - here.len());
            start = behind;
            // What stands before the first delimiter and behind the last one is no part.
            if std::mem::replace(&mut self.inside, delimiter == Delimiter::Next) {
                return part;
            }
        }
        // A last part without its closing delimiter: what there is of it.
        std::mem::take(&mut self.inside).then_some(start)
    }
}

/// What a delimiter line opens.
#[derive(PartialEq, Eq)]
enum Delimiter {
    Next,
    End,
}

/// `"--" boundary [ "--" ]`, white space behind it allowed.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    match trim(line.strip_prefix(b"--")?.strip_prefix(boundary)?) {
        b"" => Some(Delimiter::Next),
        b"--" => Some(Delimiter::End),
        _ => None,
    }
}

/// Content type and content of a part: its own header lines end at an empty line.
fn part_content(part: &[u8]) -> (&[u8], &[u8]) {
    let mut content_type: &[u8] = b"";
    let mut rest = part;
    while !rest.is_empty() {
        let (field, behind) = line(rest);
        rest = behind;
        if field.is_empty() {
            break;
        }
        let (name, value) = split_around(field, memchr(b':', field).unwrap_or(field.len()));
        if Header::of(trim(name)) == Some(Header::ContentType) {
            content_type = trim(value);
        }
    }
    (content_type, rest)
}

/// The first line of `text` without its end, and what follows.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = split_around(text, find_octet(b'\n', text).unwrap_or(text.len()));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Line by line and word by word, as RFC 8866 has it.
    fn slowly(description: &[u8]) -> Offer<'_> {
        let mut found = Offer::default();
        let (mut address, mut port): (&[u8], Option<&[u8]>) = (b"", None);
        let mut is_of_first_stream = true;
        let mut rest = description;
        while !rest.is_empty() {
            let (field, behind) = line(rest);
            rest = behind;
            let Some((kind, value)) = field.split_first_chunk() else {
                continue;
            };
            let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            match kind {
                b"o=" if is_of_first_stream => found.origin.session = session_of(words),
                b"c=" if is_of_first_stream => address = words.nth(2).unwrap_or_default(),
                b"m=" => {
                    is_of_first_stream &= port.is_none();
                    found.media.add(words.next().unwrap_or_default());
                    if is_of_first_stream {
                        port = words.next().filter(|port| *port != b"0");
                    }
                }
                _ => {}
            }
        }
        found.origin.stream = port.filter(|_| !address.is_empty()).map(|port| (address, port));
        found
    }

    proptest! {
        /// Catches lines and words that are cut otherwise: line ends of either kind or none, empty lines, spaces in a row.
        #[test]
        fn as_read_slowly(lines in prop::collection::vec("(o=|c=|m=|m=audio |m=video 0|a=|v|)[-ab0 ]{0,20}(\r\n|\r\n|\n|\r| |)", 0..12)) {
            let text = lines.concat();
            prop_assert_eq!(read(text.as_bytes()), slowly(text.as_bytes()), "{}", text.escape_debug());
        }
    }

    /// Catches a version taken into the key, an address of another stream, and half an origin believed.
    #[test]
    fn origins() {
        let offer = b"v=0\r\no=alice 2890844526 7 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
            m=audio 49170 RTP/AVP 0\r\nc=IN IP4 10.0.0.2\r\nm=video 51372 RTP/AVP 31\r\nc=IN IP4 10.0.0.3\r\n";
        let found = read(offer).origin;
        assert_eq!(
            found.session,
            Some([&b"alice"[..], &b"2890844526"[..], &b"10.0.0.1"[..]])
        );
        assert_eq!(found.stream, Some((&b"10.0.0.2"[..], &b"49170"[..])));
        // What stands behind the second stream, and a first stream that is refused.
        let offer = b"o=- 1234567 1 IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.9\r\nm=audio 0 RTP/AVP 0\r\nm=video 4000 RTP/AVP 31\r\n\
            m=message 9 TCP/MSRP *\r\nc=IN IP4 10.0.0.3\r\no=bob 7654321 1 IN IP4 10.0.0.4\r\n";
        let wanted = Offer {
            media: Media {
                audio: true,
                video: true,
                message: true,
                any: true,
            },
            origin: Origin {
                session: Some([b"-", b"1234567", b"10.0.0.1"]),
                stream: Some((b"10.0.0.9", b"4000")),
            },
        };
        assert_eq!(read(offer), wanted);
        for nothing in [
            &b"o=- 1\r\nm=audio 0 RTP/AVP 0\r\n"[..],
            b"",
            b"m=\r\no=\r\nc=\r\n",
        ] {
            assert_eq!(
                read(nothing).origin,
                Origin::default(),
                "{}",
                nothing.escape_ascii()
            );
        }
    }
}

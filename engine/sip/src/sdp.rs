//! Which media a message's SDP offers (semantics.md D61, D70): the `m=` lines and nothing else.
//!
//! The SDP may be a part of a multipart body beside ISUP, PIDF-LO or XML (RFC 5621). Bodies are never looked
//! through for SIP header fields.

use memchr::memchr;

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

/// The media of the message's session description; `None` if it has none.
#[must_use]
pub fn media(message: &Message<'_>) -> Option<Media> {
    session_description(message).map(media_of)
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

/// Reads a session description's origin.
#[must_use]
pub fn origin(description: &[u8]) -> Origin<'_> {
    let mut found = Origin::default();
    let (mut address, mut port): (&[u8], Option<&[u8]>) = (b"", None);
    let mut rest = description;
    while !rest.is_empty() {
        let (field, behind) = line(rest);
        rest = behind;
        let mut words = field
            .get(2..)
            .unwrap_or_default()
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        match field.get(..2) {
            Some(b"o=") => found.session = session_of(words),
            Some(b"c=") => address = words.nth(2).unwrap_or_default(),
            Some(b"m=") if port.is_some() => break,
            Some(b"m=") => port = words.nth(1).filter(|port| *port != b"0"),
            _ => {}
        }
    }
    found.stream = port.filter(|_| !address.is_empty()).map(|port| (address, port));
    found
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
    let (line, rest) = split_around(text, memchr(b'\n', text).unwrap_or(text.len()));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// The media of a session description: `m=<media> ...` (RFC 8866 §5.14).
fn media_of(description: &[u8]) -> Media {
    let mut media = Media::default();
    let mut rest = description;
    while !rest.is_empty() {
        let (field, behind) = line(rest);
        rest = behind;
        let Some(value) = field.strip_prefix(b"m=") else {
            continue;
        };
        media.any = true;
        let kind = value
            .split(|byte| *byte == b' ')
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        // Liberal in reading: the names are lower case by RFC 8866, but equipment errs.
        media.audio |= kind.eq_ignore_ascii_case(b"audio");
        media.video |= kind.eq_ignore_ascii_case(b"video");
        media.message |= kind.eq_ignore_ascii_case(b"message");
    }
    media
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a version taken into the key, an address of another stream, and half an origin believed.
    #[test]
    fn origins() {
        let offer = b"v=0\r\no=alice 2890844526 7 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
            m=audio 49170 RTP/AVP 0\r\nc=IN IP4 10.0.0.2\r\nm=video 51372 RTP/AVP 31\r\nc=IN IP4 10.0.0.3\r\n";
        let found = origin(offer);
        assert_eq!(
            found.session,
            Some([&b"alice"[..], &b"2890844526"[..], &b"10.0.0.1"[..]])
        );
        assert_eq!(found.stream, Some((&b"10.0.0.2"[..], &b"49170"[..])));
        for nothing in [
            &b"o=- 1\r\nm=audio 0 RTP/AVP 0\r\n"[..],
            b"",
            b"m=\r\no=\r\nc=\r\n",
        ] {
            assert_eq!(origin(nothing), Origin::default(), "{}", nothing.escape_ascii());
        }
    }
}

//! The one pass over a message: start line, header lines, where the body begins.
//!
//! Line ends and names are found sixteen octets at a time instead of by combinators: every octet of the
//! mirror comes through here. Values that every message needs are tried in the form that everybody sends
//! first; combinators read the other forms of their grammar.

use memchr::memchr;
use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::combinator::all_consuming;
use nom::sequence::separated_pair;

use crate::addr::name_addr;
use crate::fault::Fault;
use crate::find::{Positions, find};
use crate::header::Header;
use crate::lex::{CommaList, Parsed, is_lws, number, split_around, token, trim};
use crate::limits::{HEADERS_MAX, KNOWN_HEADERS_MAX, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, VIAS_MAX};
use crate::message::{ContentLength, Line, Lines, Message, Start, StartSpan};
use crate::method::Method;
use crate::name;
use crate::recognise::{other_than_sip, without_line_ends};
use crate::span::Span;
use crate::start::start_line;
use crate::via::Via;

const _: () = assert!(
    MESSAGE_BYTES_MAX <= u16::MAX as usize,
    "spans hold 16-bit offsets"
);
const _: () = assert!(LINE_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(VIAS_MAX < KNOWN_HEADERS_MAX && KNOWN_HEADERS_MAX <= HEADERS_MAX);

/// Parses one message: one UDP payload, or one message cut out of a stream. Line ends before it are skipped,
/// what follows its body is ignored.
///
/// # Errors
///
/// A [`Fault`] if it is no SIP message, or one whose essential fields are missing or ambiguous (semantics.md
/// §6).
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Fault> {
    let frame = without_line_ends(bytes);
    if let Some(fault) = other_than_sip(frame) {
        return Err(fault);
    }
    if frame.len() > MESSAGE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let mut ends = Positions::of(b'\n', frame);
    let (line, fields_at) = first_line(frame, &mut ends)?;
    let (start, request_method) = start_line(line)?;
    let mut lines = Lines::default();
    let essentials = Essentials::collect(frame, fields_at, &mut ends, &mut lines)?;
    essentials.message(frame, start, request_method, lines)
}

/// The start line, trimmed, and where the next one begins.
fn first_line<'a>(frame: &'a [u8], ends: &mut Positions<'_>) -> Result<(&'a [u8], usize), Fault> {
    let Some(end) = ends.next() else {
        // Half a start line: of SIP, if what is there says so.
        let sip = crate::is_sip_start(frame) || frame.starts_with(b"SIP/2.0");
        return Err(if sip { Fault::Truncated } else { Fault::NotSip });
    };
    if end > LINE_BYTES_MAX {
        return Err(Fault::LineTooLong);
    }
    Ok((trim(frame.get(..end).unwrap_or_default()), end + 1))
}

/// What every message must have, as the pass finds it.
#[derive(Default)]
struct Essentials<'a> {
    /// From, To, Call-ID and CSeq, in the order of [`Header`].
    singles: [Option<Span>; 4],
    top_via: Option<&'a [u8]>,
    vias: usize,
    content_length: Option<ContentLength>,
    /// What follows the empty line; `None` if there is no such line.
    rest: Option<&'a [u8]>,
}

const _: () = assert!(
    Header::To as usize == Header::From as usize + 1
        && Header::CallId as usize == Header::From as usize + 2
        && Header::Cseq as usize == Header::From as usize + 3,
    "they stand together"
);

impl<'a> Essentials<'a> {
    /// The pass, from where the first field begins; `ends` gives the line ends from there on. A last field that does not end within the
    /// frame is not believed: its value may be cut.
    fn collect(
        frame: &'a [u8],
        fields_at: usize,
        ends: &mut Positions<'a>,
        lines: &mut Lines,
    ) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut next = fields_at;
        let mut count = 0;
        loop {
            let at = next;
            let rest = frame.get(at..).unwrap_or_default();
            if let [b'\n', body @ ..] | [b'\r', b'\n', body @ ..] = rest {
                found.rest = Some(body);
                return Ok(found);
            }
            let Some(end) = field_end(frame, ends) else {
                return Ok(found);
            };
            if end - at >= LINE_BYTES_MAX {
                return Err(Fault::LineTooLong);
            }
            count += 1;
            if count > HEADERS_MAX {
                return Err(Fault::TooManyHeaders);
            }
            next = end + 1;
            let (name, colon) = match name::at_start(rest) {
                Some((Some(name), colon)) => (name, at + colon),
                Some((None, _)) => continue,
                None => match unusual_name(frame.get(at..end).unwrap_or_default()) {
                    Some((name, colon)) => (name, at + colon),
                    None => continue,
                },
            };
            let Some(value) = frame.get(colon + 1..end) else {
                continue;
            };
            let value = trim_line(value);
            let line = Line {
                name,
                value: Span::within(frame, value),
            };
            if !lines.push(line) {
                return Err(Fault::TooManyHeaders);
            }
            found.note(line, value)?;
        }
    }

    /// Takes down a field that every message must have.
    #[inline(always)]
    fn note(&mut self, line: Line, value: &'a [u8]) -> Result<(), Fault> {
        let place = (line.name as usize).wrapping_sub(Header::From as usize);
        if let Some(single) = self.singles.get_mut(place) {
            // Even two equal ones: no honest element sends them (RFC 4475 §3.3.8).
            return match single.replace(line.value) {
                Some(_) => Err(Fault::Repeated),
                None => Ok(()),
            };
        }
        match line.name {
            Header::Via => self.note_via(value),
            Header::ContentLength => {
                self.note_content_length(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts the values of a Via line, and takes down the first of the first.
    #[inline(always)]
    fn note_via(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        if find(b',', line).is_some() {
            return self.note_vias(line);
        }
        if !line.is_empty() {
            self.vias += 1;
            self.top_via.get_or_insert(line);
        }
        self.vias_fit()
    }

    #[cold]
    fn note_vias(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        for value in CommaList::new(line) {
            self.vias += 1;
            self.top_via.get_or_insert(value);
        }
        self.vias_fit()
    }

    const fn vias_fit(&self) -> Result<(), Fault> {
        if self.vias > VIAS_MAX {
            Err(Fault::TooManyVias)
        } else {
            Ok(())
        }
    }

    /// Several equal Content-Length are one; different ones are none (semantics.md §6).
    fn note_content_length(&mut self, value: &[u8]) {
        self.content_length = Some(content_length(value).and(self.content_length));
    }

    /// Reads what the pass found. In a frame that was cut a missing field is the cut's fault.
    fn message(
        self,
        frame: &'a [u8],
        start: Start<'a>,
        request_method: &[u8],
        lines: Lines,
    ) -> Result<Message<'a>, Fault> {
        let truncated = self.rest.is_none();
        let needed = |field: Option<&'a [u8]>, fault| {
            let missing = if truncated { Fault::Truncated } else { fault };
            field.filter(|value| !value.is_empty()).ok_or(missing)
        };
        let [from, to, call_id, cseq] = self.singles.map(|single| single.map(|span| span.of(frame)));
        let call_id = needed(call_id, Fault::MissingCallId)?;
        let from = needed(from, Fault::MissingFrom)?;
        let to = needed(to, Fault::MissingTo)?;
        let cseq = needed(cseq, Fault::MissingCseq)?;
        let via = needed(self.top_via, Fault::MissingVia)?;

        let (cseq, method_token) = cseq_value(cseq)
            .map(|(_, parts)| parts)
            .map_err(|_| Fault::BadCseq)?;
        if matches!(start, Start::Request { .. }) && method_token != request_method {
            return Err(Fault::CseqMethodMismatch);
        }
        let span = |part: &[u8]| Span::within(frame, part);
        let via = Via::of(via).ok_or(Fault::BadVia)?;
        let from_tag = tag(from).ok_or(Fault::BadFrom)?.map(span);
        let to_tag = tag(to).ok_or(Fault::BadTo)?.map(span);
        let content_length = self.content_length.unwrap_or(ContentLength::Absent);
        let (body, body_truncated) = body(self.rest, content_length);
        Ok(Message {
            frame,
            start: match start {
                Start::Request { method, uri } => StartSpan::Request {
                    method,
                    uri: span(uri),
                },
                Start::Response { status, reason } => StartSpan::Response {
                    status,
                    reason: span(reason),
                },
            },
            call_id: span(call_id),
            from: span(from),
            to: span(to),
            from_tag,
            to_tag,
            cseq,
            method: Method::of(method_token),
            method_token: span(method_token),
            via_value: span(via.value),
            via_sent_by: span(via.sent_by),
            via_branch: via.branch.map(span),
            content_length,
            body: span(body),
            body_truncated,
            truncated,
            lines,
        })
    }
}

/// Where the next header field ends, its folds included; `None` if it does not end. Where the frame ends with the line, a fold may have
/// been cut off: `CSeq: 1` without its method, a From without its tag.
#[inline(always)]
fn field_end(frame: &[u8], ends: &mut Positions<'_>) -> Option<usize> {
    loop {
        let end = ends.next()?;
        // A line that begins with white space continues the field (RFC 3261 §7.3.1).
        if !matches!(frame.get(end + 1)?, b' ' | b'\t') {
            return Some(end);
        }
    }
}

/// A field's value without white space at both ends: ` value CR`, or in the general way.
#[inline]
fn trim_line(value: &[u8]) -> &[u8] {
    match value {
        [b' ', usual @ .., b'\r'] => match usual {
            [first, .., last] if !is_lws(*first) && !is_lws(*last) => usual,
            _ => trim(usual),
        },
        _ => trim(value),
    }
}

/// The header of interest that a field is, and where its colon stands, with white space before that, folds too (RFC 3261 §7.3.1), or a
/// very long name.
#[cold]
fn unusual_name(field: &[u8]) -> Option<(Header, usize)> {
    let colon = memchr(b':', field)?;
    let name = Header::of(trim(field.get(..colon)?))?;
    Some((name, colon))
}

/// `CSeq = 1*DIGIT LWS Method`.
fn cseq_value(input: &[u8]) -> Parsed<'_, (u32, &[u8])> {
    match usual_cseq(input) {
        Some(parts) => Ok((&[], parts)),
        None => all_consuming(separated_pair(number, take_while1(is_lws), token)).parse(input),
    }
}

/// At most nine digits, one space, and a method that is known, hence a token.
fn usual_cseq(input: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut rest = input;
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        if input.len() - rest.len() == 9 {
            return None;
        }
        number = number * 10 + u32::from(digit - b'0');
        rest = behind;
    }
    let method = rest.strip_prefix(b" ").filter(|_| rest.len() < input.len())?;
    (Method::of(method) != Method::Other).then_some((number, method))
}

/// The tag of a From or To value, if it has one that is not empty; `None` outside if the value is no address.
fn tag(value: &[u8]) -> Option<Option<&[u8]>> {
    if let Some(found) = usual_tag(value) {
        return Some(found);
    }
    Some(name_addr(value)?.params.get(b"tag").filter(|tag| !tag.is_empty()))
}

/// The tag of `<uri>`, `<uri>;tag=value` or `<uri>;tag=value;...` without white space and quotes, a quoted name without escapes before
/// it or none, which is what nearly every message has. Every message has two of them: the general way cost a fifth of the parse.
#[inline]
fn usual_tag(value: &[u8]) -> Option<Option<&[u8]>> {
    let uri = match value {
        [b'<', uri @ ..] => uri,
        [b'"', name @ ..] => {
            let (name, behind) = split_around(name, find(b'"', name)?);
            if find(b'\\', name).is_some() {
                return None;
            }
            match behind {
                [b'<', uri @ ..] | [b' ', b'<', uri @ ..] => uri,
                _ => return None,
            }
        }
        _ => return None,
    };
    let (uri, params) = split_around(uri, find(b'>', uri)?);
    if is_lws(*uri.first()?) {
        return None;
    }
    let text = match params {
        [] => return Some(None),
        [b';', b't', b'a', b'g', b'=', text @ ..] => text,
        _ => return None,
    };
    let end = find(b';', text).unwrap_or(text.len());
    let tag = text.get(..end)?;
    let plain = !is_lws(*tag.last()?) && !is_lws(*tag.first()?) && tag.first() != Some(&b'"');
    plain.then_some(Some(tag))
}

/// What [`parse`] reads as Content-Length in a whole header, start line and empty line included.
pub(crate) fn content_length_within(header: &[u8]) -> ContentLength {
    let mut found = None;
    let mut ends = Positions::of(b'\n', header);
    let mut next = ends.next().map_or(header.len(), |end| end + 1);
    while let Some(rest) = header.get(next..)
        && !matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..])
        && let Some(end) = field_end(header, &mut ends)
    {
        if let Some(said) = length_field(header.get(next..end).unwrap_or_default(), rest) {
            found = Some(said.and(found));
        }
        next = end + 1;
    }
    found.unwrap_or(ContentLength::Absent)
}

/// What a line says of the body's length, if it is a whole Content-Length.
pub(crate) fn content_length_of(line: &[u8]) -> Option<ContentLength> {
    length_field(line.strip_suffix(b"\n").unwrap_or(line), line)
}

/// What a field without its line end says of the body's length, if it is a Content-Length; `rest` is the text from the field on. Most fields
/// are told by their first octet.
fn length_field(field: &[u8], rest: &[u8]) -> Option<ContentLength> {
    let first = *field.first()?;
    if !(matches!(first, b'c' | b'C' | b'l' | b'L') || is_lws(first)) {
        return None;
    }
    let (name, colon) = match name::at_start(rest) {
        Some((name, colon)) => (name?, colon),
        None => unusual_name(field)?,
    };
    let value = field.get(colon + 1..)?;
    (name == Header::ContentLength).then(|| content_length(trim_line(value)))
}

/// What one Content-Length says. What does not fit is larger than any frame, whatever it is (RFC 4475
/// §3.1.2.4).
fn content_length(value: &[u8]) -> ContentLength {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return ContentLength::Ambiguous;
    }
    ContentLength::Octets(number(value).map_or(u32::MAX, |(_, octets)| octets))
}

/// The body within what follows the headers, and whether a body was announced that is not all there.
fn body(rest: Option<&[u8]>, content_length: ContentLength) -> (&[u8], bool) {
    let octets = match content_length {
        ContentLength::Absent => return (rest.unwrap_or_default(), false),
        ContentLength::Ambiguous => return (&[], false),
        ContentLength::Octets(octets) => usize::try_from(octets).unwrap_or(usize::MAX),
    };
    match rest.unwrap_or_default().get(..octets) {
        Some(body) => (body, false),
        None => (&[], true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Catches a tag that is read otherwise in the usual way than in the general one: behind names, quotes, escapes and angles.
        #[test]
        fn the_usual_way_is_no_other(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "\"\\\"", "\"", "\\", " <sip:a@b>", "<sip:a>", "<", ">", ";tag=1", ";tag=", ";", "x", " ",
            ]), 0..8),
        ) {
            let value = pieces.concat();
            let value = trim(value.as_bytes());
            if let Some(tag) = usual_tag(value) {
                let general = name_addr(value).map(|address| address.params.get(b"tag").filter(|tag| !tag.is_empty()));
                prop_assert_eq!(Some(tag.filter(|tag| !tag.is_empty())), general, "{}", value.escape_ascii());
            }
        }
    }
}

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
use crate::header::Header;
use crate::lex::{CommaList, Parsed, is_lws, number, split_around, token, trim};
use crate::limits::{HEADERS_MAX, KNOWN_HEADERS_MAX, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, VIAS_MAX};
use crate::message::{ContentLength, Line, Lines, Message, Start, StartSpan};
use crate::method::Method;
use crate::name;
use crate::recognise::{other_than_sip, without_line_ends};
use crate::span::Span;
use crate::start::start_line;
use crate::swar::find;
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
    let (line, fields) = first_line(frame)?;
    let (start, request_method) = start_line(line)?;
    let mut lines = Lines::default();
    let essentials = Essentials::collect(frame, fields, &mut lines)?;
    essentials.message(frame, start, request_method, lines)
}

/// The start line, trimmed, and what follows it.
fn first_line(frame: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let Some(end) = find(b'\n', frame) else {
        // Half a start line: of SIP, if what is there says so.
        let sip = crate::is_sip_start(frame) || frame.starts_with(b"SIP/2.0");
        return Err(if sip { Fault::Truncated } else { Fault::NotSip });
    };
    if end > LINE_BYTES_MAX {
        return Err(Fault::LineTooLong);
    }
    let (line, rest) = split_around(frame, end);
    Ok((trim(line), rest))
}

/// What every message must have, as the pass finds it.
#[derive(Default)]
struct Essentials<'a> {
    call_id: Option<&'a [u8]>,
    from: Option<&'a [u8]>,
    to: Option<&'a [u8]>,
    cseq: Option<&'a [u8]>,
    top_via: Option<&'a [u8]>,
    vias: usize,
    content_length: Option<ContentLength>,
    /// What follows the empty line; `None` if there is no such line.
    rest: Option<&'a [u8]>,
}

impl<'a> Essentials<'a> {
    /// The pass. A last field that does not end within the frame is not believed: its value may be cut.
    fn collect(frame: &'a [u8], fields: &'a [u8], lines: &mut Lines) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut rest = fields;
        let mut count = 0;
        loop {
            if let [b'\n', body @ ..] | [b'\r', b'\n', body @ ..] = rest {
                found.rest = Some(body);
                return Ok(found);
            }
            let Some((field, behind)) = field(rest) else {
                return Ok(found);
            };
            if field.len() > LINE_BYTES_MAX {
                return Err(Fault::LineTooLong);
            }
            count += 1;
            if count > HEADERS_MAX {
                return Err(Fault::TooManyHeaders);
            }
            let named = name_and_value(field, rest);
            rest = behind;
            let Some((Some(name), value)) = named else {
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
            found.note(name, value)?;
        }
    }

    /// Takes down a field that every message must have.
    fn note(&mut self, name: Header, value: &'a [u8]) -> Result<(), Fault> {
        let single = match name {
            Header::CallId => &mut self.call_id,
            Header::From => &mut self.from,
            Header::To => &mut self.to,
            Header::Cseq => &mut self.cseq,
            Header::Via => return self.note_via(value),
            Header::ContentLength => {
                self.note_content_length(value);
                return Ok(());
            }
            _ => return Ok(()),
        };
        // Even two equal ones: no honest element sends them (RFC 4475 §3.3.8).
        if single.replace(value).is_some() {
            Err(Fault::Repeated)
        } else {
            Ok(())
        }
    }

    /// Counts the values of a Via line, and takes down the first of the first.
    fn note_via(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        // A whole line is searched in vain, mostly: that is where memchr is the better one.
        if memchr(b',', line).is_none() {
            if !line.is_empty() {
                self.vias += 1;
                self.top_via.get_or_insert(line);
            }
        } else {
            for value in CommaList::new(line) {
                self.vias += 1;
                self.top_via.get_or_insert(value);
            }
        }
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
        let call_id = needed(self.call_id, Fault::MissingCallId)?;
        let from = needed(self.from, Fault::MissingFrom)?;
        let to = needed(self.to, Fault::MissingTo)?;
        let cseq = needed(self.cseq, Fault::MissingCseq)?;
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

/// The next header field with its folds and its line end, and what follows; `None` if it does not end. Where
/// the frame ends with the line, a fold may have been cut off: `CSeq: 1` without its method, a From without
/// its tag.
// Always, for framing reads fields too, and a call for each field of each message is 3 % of all that is done.
#[inline(always)]
fn field(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = find(b'\n', rest)?;
    // A line that begins with white space continues the field (RFC 3261 §7.3.1).
    while let b' ' | b'\t' = rest.get(end + 1)? {
        end += 1 + find(b'\n', rest.get(end + 1..)?)?;
    }
    rest.split_at_checked(end + 1)
}

/// A field's value without white space at both ends: ` value CR LF`, or in the general way.
#[inline]
fn trim_line(value: &[u8]) -> &[u8] {
    match value {
        [b' ', usual @ .., b'\r', b'\n'] => match usual {
            [first, .., last] if !is_lws(*first) && !is_lws(*last) => usual,
            _ => trim(usual),
        },
        _ => trim(value),
    }
}

/// The header that a field is, if it is one of interest, and its value; `None` if there is no colon. `rest`
/// is the frame from the field on: the look-up reads whole words, wherever the field ends.
#[inline(always)]
fn name_and_value<'a>(field: &'a [u8], rest: &[u8]) -> Option<(Option<Header>, &'a [u8])> {
    if let Some((name, colon)) = name::at_start(rest) {
        return Some((name, field.get(colon + 1..)?));
    }
    // White space before the colon, folds too (RFC 3261 §7.3.1), or a very long name.
    let (name, value) = split_around(field, memchr(b':', field)?);
    Some((Header::of(trim(name)), value))
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

/// The tag of `<uri>`, `<uri>;tag=value` or `<uri>;tag=value;...` without white space and quotes, which is
/// what nearly every message has. Every message has two of them: the general way cost a fifth of the parse.
#[inline]
fn usual_tag(value: &[u8]) -> Option<Option<&[u8]>> {
    let [b'<', uri @ ..] = value else { return None };
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
    let mut rest = find(b'\n', header)
        .and_then(|end| header.get(end + 1..))
        .unwrap_or_default();
    while !matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
        let Some((field, behind)) = field(rest) else { break };
        if let Some(said) = length_field(field, rest) {
            found = Some(said.and(found));
        }
        rest = behind;
    }
    found.unwrap_or(ContentLength::Absent)
}

/// What a line says of the body's length, if it is a whole Content-Length.
pub(crate) fn content_length_of(line: &[u8]) -> Option<ContentLength> {
    length_field(line, line)
}

/// What a field says of the body's length, if it is a Content-Length. Most fields are told by their first octet.
fn length_field(field: &[u8], rest: &[u8]) -> Option<ContentLength> {
    let first = *field.first()?;
    if !(matches!(first, b'c' | b'C' | b'l' | b'L') || is_lws(first)) {
        return None;
    }
    let (name, value) = name_and_value(field, rest)?;
    (name == Some(Header::ContentLength)).then(|| content_length(trim_line(value)))
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

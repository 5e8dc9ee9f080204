//! The pass over a message in every form that it may have: start line, header lines, where the body begins.
//!
//! What nearly every message looks like is read by [`usual`]; this way reads all, is what the other must agree
//! with, and alone says what is wrong with a message.

use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::combinator::all_consuming;
use nom::sequence::separated_pair;

use crate::addr::name_addr;
use crate::fault::Fault;
use crate::fields::{Fields, Step, known};
use crate::find::find;
use crate::header::Header;
use crate::lex::{CommaList, Parsed, is_lws, number, token, trim};
use crate::limits::{HEADERS_MAX, KNOWN_HEADERS_MAX, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, VIAS_MAX};
use crate::lines::Lines;
use crate::message::{ContentLength, Message, Start, StartSpan};
use crate::method::Method;
use crate::recognise::{other_than_sip, without_line_ends};
use crate::span::Span;
use crate::start::start_line;
use crate::usual;
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
    match usual::parse(bytes) {
        Some(message) => Ok(message),
        None => in_general(bytes),
    }
}

/// The same, whatever the message looks like.
#[cold]
#[inline(never)]
pub(crate) fn in_general(bytes: &[u8]) -> Result<Message<'_>, Fault> {
    let frame = without_line_ends(bytes);
    if let Some(fault) = other_than_sip(frame) {
        return Err(fault);
    }
    if frame.len() > MESSAGE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let (line, fields_at) = first_line(frame)?;
    let (start, request_method) = start_line(line)?;
    let mut lines = Lines::default();
    let essentials = Essentials::collect(frame, fields_at, &mut lines)?;
    essentials.message(frame, start, request_method, lines)
}

/// The start line, trimmed, and where the next one begins.
fn first_line(frame: &[u8]) -> Result<(&[u8], usize), Fault> {
    let Some(end) = find(b'\n', frame) else {
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
    /// The pass, from where the first field begins.
    fn collect(frame: &'a [u8], fields_at: usize, lines: &mut Lines) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut fields = Fields::from(frame, fields_at);
        let (mut count, mut known_count) = (0, 0);
        loop {
            let (at, end) = match fields.step() {
                Step::Field { at, end } => (at, end),
                Step::Body(rest) => {
                    found.rest = Some(rest);
                    return Ok(found);
                }
                Step::Cut => return Ok(found),
            };
            if end - at >= LINE_BYTES_MAX {
                return Err(Fault::LineTooLong);
            }
            count += 1;
            if count > HEADERS_MAX {
                return Err(Fault::TooManyHeaders);
            }
            let Some((name, value_at)) = known(frame, at, end) else {
                continue;
            };
            let value = Span::between(value_at, end);
            if known_count == KNOWN_HEADERS_MAX {
                return Err(Fault::TooManyHeaders);
            }
            if lines.put(known_count, name, value).is_none() {
                lines.leave(name, at);
            }
            known_count += 1;
            found.note(name, value.trimmed(frame), frame)?;
        }
    }

    /// Takes down a field that every message must have.
    fn note(&mut self, name: Header, value: Span, frame: &'a [u8]) -> Result<(), Fault> {
        let place = (name as usize).wrapping_sub(Header::From as usize);
        if let Some(single) = self.singles.get_mut(place) {
            // Even two equal ones: no honest element sends them (RFC 4475 §3.3.8).
            return match single.replace(value) {
                Some(_) => Err(Fault::Repeated),
                None => Ok(()),
            };
        }
        match name {
            Header::Via => self.note_via(value.of(frame)),
            Header::ContentLength => {
                self.note_content_length(value.of(frame));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts the values of a Via line, and takes down the first of the first.
    fn note_via(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        for value in CommaList::new(line) {
            self.vias += 1;
            self.top_via.get_or_insert(value);
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
        let from_tag = tag(from).ok_or(Fault::BadFrom)?;
        let to_tag = tag(to).ok_or(Fault::BadTo)?;
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
            from_tag: from_tag.map_or(Span::NOWHERE, span),
            to_tag: to_tag.map_or(Span::NOWHERE, span),
            cseq,
            method: Method::of(method_token),
            method_token: span(method_token),
            via_value: span(via.value),
            via_sent_by: span(via.sent_by),
            via_branch: via.branch.map_or(Span::NOWHERE, span),
            content_length,
            body: span(body),
            body_truncated,
            truncated,
            lines,
        })
    }
}

/// `CSeq = 1*DIGIT LWS Method`.
fn cseq_value(input: &[u8]) -> Parsed<'_, (u32, &[u8])> {
    all_consuming(separated_pair(number, take_while1(is_lws), token)).parse(input)
}

/// The tag of a From or To value, if it has one that is not empty; `None` outside if the value is no address.
pub(crate) fn tag(value: &[u8]) -> Option<Option<&[u8]>> {
    Some(name_addr(value)?.params.get(b"tag").filter(|tag| !tag.is_empty()))
}

/// What [`parse`] reads as Content-Length in a whole header, start line and empty line included.
pub(crate) fn content_length_within(header: &[u8]) -> ContentLength {
    let mut found = None;
    let mut fields = Fields::from(header, find(b'\n', header).map_or(header.len(), |end| end + 1));
    while let Step::Field { at, end } = fields.step() {
        if let Some(said) = length_field(header, at, end) {
            found = Some(said.and(found));
        }
    }
    found.unwrap_or(ContentLength::Absent)
}

/// What a line says of the body's length, if it is a whole Content-Length.
pub(crate) fn content_length_of(line: &[u8]) -> Option<ContentLength> {
    length_field(line, 0, line.strip_suffix(b"\n").unwrap_or(line).len())
}

/// What the field from `at` to its line end says of the body's length, if it is a Content-Length. Most fields
/// are told by their first octet.
fn length_field(header: &[u8], at: usize, end: usize) -> Option<ContentLength> {
    let first = *header.get(at..end)?.first()?;
    if !(matches!(first, b'c' | b'C' | b'l' | b'L') || is_lws(first)) {
        return None;
    }
    let (name, value_at) = known(header, at, end)?;
    let value = header.get(value_at..end)?;
    (name == Header::ContentLength).then(|| content_length(trim(value)))
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

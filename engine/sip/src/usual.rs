//! The message as nearly everybody sends it, read at a fraction of the general way's cost: each line ends with
//! CR LF and is one field, the start line has single spaces, Content-Length is there once or not at all, the top
//! Via stands alone in its line, addresses stand in `<>`.
//!
//! Whatever is otherwise, or wrong, is left to [`in_general`](crate::scan::in_general): no fault is found here.
//! What is found here must be what is found there.

use crate::digits::number_in_word;
use crate::find::{FRONT, find_between, first_in_front, hits_in_32, hits_in_64};
use crate::header::Header;
use crate::lex::trim;
use crate::limits::{HEADERS_MAX, LINE_BYTES_MAX, VIAS_MAX};
use crate::lines::{KEPT_MAX, Lines};
use crate::message::{ContentLength, Message, StartSpan};
use crate::method::Method;
use crate::name::{self, HEAD};
use crate::params::Params;
use crate::span::Span;
use crate::via::Via;

/// No frame that is read here is long enough for a line that is too long.
const FRAME_BYTES_MAX: usize = LINE_BYTES_MAX;
const _: () = assert!(KEPT_MAX <= VIAS_MAX, "nor is there room for too many Via lines");

/// The message, unless there is anything unusual about it.
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Option<Message<'_>> {
    // No keep-alive and no SigComp begins with such a letter.
    if frame.len() > FRAME_BYTES_MAX || !frame.first()?.is_ascii_uppercase() {
        return None;
    }
    let start_end = first_in_front(b'\n', frame.first_chunk()?)?;
    let (start, request_method) = start_line(frame, start_end)?;
    let mut lines = Lines::default();
    let rest_at = fields(frame, start_end + 1, &mut lines)?;

    let value = |name| Some(lines.only(name)?.trimmed(frame)).filter(|value| !value.is_empty());
    let call_id = value(Header::CallId)?;
    let from = value(Header::From)?;
    let to = value(Header::To)?;
    let (cseq, method, method_token) = cseq(frame, value(Header::Cseq)?)?;
    if request_method.is_some_and(|request_method| request_method != method) {
        return None;
    }
    let via = top_via(frame, &lines)?;
    let (content_length, body, body_truncated) = body(frame, rest_at, &lines)?;
    Some(Message {
        frame,
        start,
        call_id,
        from,
        to,
        from_tag: tag(frame, from).or_else(|| any_tag(frame, from))?,
        to_tag: tag(frame, to).or_else(|| any_tag(frame, to))?,
        cseq,
        method,
        method_token,
        via_value: via.value,
        via_sent_by: via.sent_by,
        via_branch: via.branch,
        content_length,
        body,
        body_truncated,
        truncated: false,
        lines,
    })
}

/// A start line whose line end stands at `end`, and a request's method, which is one that is known, hence the
/// same as that of the CSeq only if both are spelled the same.
#[inline(always)]
fn start_line(frame: &[u8], end: usize) -> Option<(StartSpan, Option<Method>)> {
    let head: &[u8; HEAD] = frame.first_chunk()?;
    if let Some(
        [
            class @ b'1'..=b'6',
            tens @ b'0'..=b'9',
            ones @ b'0'..=b'9',
            b' ',
            ..,
        ],
    ) = head.strip_prefix(b"SIP/2.0 ")
    {
        let digit = |octet: &u8| u16::from(octet - b'0');
        let status = digit(class) * 100 + digit(tens) * 10 + digit(ones);
        let reason = plain(frame, b"SIP/2.0 200 ".len(), end.checked_sub(1)?)?;
        let is_whole = frame.get(reason.end()) == Some(&b'\r');
        return is_whole.then_some((StartSpan::Response { status, reason }, None));
    }
    let space = hits_in_32(head, b' ').trailing_zeros() as usize;
    let method = Method::of(head.get(..space)?);
    let uri_end = end.checked_sub(b" SIP/2.0\r".len())?;
    if method == Method::Other || frame.get(uri_end..)?.first_chunk() != Some(b" SIP/2.0\r") {
        return None;
    }
    let uri = plain(frame, space + 1, uri_end)?;
    Some((StartSpan::Request { method, uri }, Some(method)))
}

/// The part of a frame from `start` to `end`, if it has no white space at its ends and is not empty.
#[inline(always)]
fn plain(frame: &[u8], start: usize, end: usize) -> Option<Span> {
    let part = frame.get(start..end)?;
    let ([first, ..], [.., last]) = (part, part) else {
        return None;
    };
    (*first > b' ' && *last > b' ').then_some(Span::between(start, end))
}

/// Takes down the fields of interest, of which the first begins at `at`: where what follows the empty line
/// begins. The last lines are read in a copy with room behind it, so that no line has to be asked whether there
/// are enough octets to compare.
#[inline(always)]
fn fields(frame: &[u8], at: usize, lines: &mut Lines) -> Option<usize> {
    let mut last = [0; 2 * FRONT];
    *last.first_chunk_mut()? = *frame.last_chunk::<FRONT>()?;
    match walk(frame, at, 0, 0, lines)? {
        Walk::Over(rest_at) => Some(rest_at),
        Walk::NoRoom(at, count) => {
            let cut = frame.len() - FRONT;
            match walk(&last, at.checked_sub(cut)?, cut, count, lines)? {
                Walk::Over(rest_at) => Some(rest_at + cut),
                Walk::NoRoom(..) => None,
            }
        }
    }
}

/// Where a walk over the fields ends.
enum Walk {
    /// Behind the empty line.
    Over(usize),
    /// At a line with less than [`FRONT`] octets from its first on, after so many fields of interest.
    NoRoom(usize, usize),
}

/// The fields from the one that begins at `at`. `text` is the frame without its first `cut` octets.
#[inline(always)]
fn walk(text: &[u8], mut at: usize, cut: usize, mut count: usize, lines: &mut Lines) -> Option<Walk> {
    let last = text.len().checked_sub(FRONT)?;
    for _ in 0..HEADERS_MAX / 2 {
        if at > last {
            return Some(Walk::NoRoom(at, count));
        }
        let front = text.get(at..)?.first_chunk::<FRONT>()?;
        let [first, second, ..] = *front;
        // White space continues the field before it (RFC 3261 §7.3.1), and a line end is the empty line.
        if first <= b' ' {
            return (first == b'\r' && second == b'\n').then_some(Walk::Over(at + 2));
        }
        let end = match first_in_front(b'\n', front) {
            Some(end) => at + end,
            None => find_between(b'\n', text, at + FRONT, text.len())?,
        };
        let head = front.first_chunk::<HEAD>()?;
        if let Some(colon) = name::colon(head) {
            match name::header(head, colon) {
                Some(name) => {
                    lines.put(count, name, Span::between(cut + at + colon + 1, cut + end))?;
                    count += 1;
                }
                // Maybe a name of interest, with white space behind it.
                None if *head.get(colon.wrapping_sub(1) % HEAD)? <= b' ' => return None,
                None => {}
            }
        } else if !is_long_name(head) {
            return None;
        }
        at = end + 1;
    }
    None
}

/// Whether a line without a colon in its head begins with a name that is longer than any of interest.
#[cold]
fn is_long_name(head: &[u8; HEAD]) -> bool {
    head.iter().all(|octet| *octet > b' ')
}

/// `CSeq = 1*DIGIT LWS Method`: less than eight digits, one space, and a method that is known, hence a token.
#[inline(always)]
fn cseq(frame: &[u8], value: Span) -> Option<(u32, Method, Span)> {
    let (number, digits) = number_in_word(*frame.get(value.start()..)?.first_chunk()?)?;
    let token = Span::between(value.start() + digits + 1, value.end());
    let method = match frame.get(value.start() + digits..value.end())? {
        [b' ', method @ ..] => Method::of(method),
        _ => return None,
    };
    (method != Method::Other).then_some((number, method, token))
}

/// The tag of `<uri>`, `<uri>;tag=value` or `<uri>;tag=value;...` without white space and quotes, a quoted name without escapes before
/// it or none; the empty span if there is no tag.
#[inline(always)]
fn tag(frame: &[u8], value: Span) -> Option<Span> {
    let (start, end) = (value.start(), value.end());
    let uri_at = match frame.get(start)? {
        b'<' => start + 1,
        b'"' => behind_name(frame, start + 1, end)?,
        _ => return None,
    };
    let close = find_between(b'>', frame, uri_at, end)?;
    if close == uri_at || *frame.get(uri_at)? <= b' ' {
        return None;
    }
    if close + 1 == end {
        return Some(Span::NOWHERE);
    }
    frame.get(close + 1..end)?.strip_prefix(b";tag=")?;
    parameter(frame, close + 1 + b";tag=".len(), end)
}

/// The tag of an address of any form.
#[cold]
fn any_tag(frame: &[u8], value: Span) -> Option<Span> {
    let tag = crate::scan::tag(value.of(frame))?;
    Some(tag.map_or(Span::NOWHERE, |tag| Span::within(frame, tag)))
}

/// Where the URI begins behind a quoted name without escapes, which begins at `at`.
#[inline]
fn behind_name(frame: &[u8], at: usize, end: usize) -> Option<usize> {
    let quote = find_between(b'"', frame, at, end)?;
    if find_between(b'\\', frame, at, quote).is_some() {
        return None;
    }
    match frame.get(quote + 1..end)? {
        [b'<', ..] => Some(quote + 2),
        [b' ', b'<', ..] => Some(quote + 3),
        _ => None,
    }
}

/// A parameter's value without white space and quotes, up to the next semicolon or the end.
#[inline(always)]
fn parameter(frame: &[u8], at: usize, end: usize) -> Option<Span> {
    let found = plain(frame, at, find_between(b';', frame, at, end).unwrap_or(end))?;
    (frame.get(at) != Some(&b'"')).then_some(found)
}

/// What a transaction is told by.
struct TopVia {
    value: Span,
    sent_by: Span,
    branch: Span,
}

/// The first Via, alone in its line, if there are few enough others.
#[inline(always)]
fn top_via(frame: &[u8], lines: &Lines) -> Option<TopVia> {
    let mut vias = lines.named(Header::Via);
    let value = vias.next_kept()?.trimmed(frame);
    // A value in a comma list takes two octets at least, but for the last.
    let mut most = 1;
    while let Some(other) = vias.next_kept() {
        most += (other.end() - other.start()).div_ceil(2);
    }
    if most > VIAS_MAX {
        no_lists(frame, lines)?;
    }
    usual_via(frame, value).or_else(|| any_via(frame, value))
}

/// A Via of three letters' transport, mostly with the branch as its first parameter.
#[inline(always)]
fn usual_via(frame: &[u8], value: Span) -> Option<TopVia> {
    let (start, end) = (value.start(), value.end());
    let behind = frame.get(start..)?.strip_prefix(b"SIP/2.0/")?;
    if !matches!(behind.first_chunk()?, b"UDP " | b"TCP " | b"TLS ") {
        return None;
    }
    let sent_at = start + b"SIP/2.0/UDP ".len();
    let (sent_end, next) = semicolons(frame, sent_at, end)?;
    let params = frame.get(sent_end..end)?;
    let branch = match params.strip_prefix(b";branch=") {
        Some([first, ..]) if *first != b'"' => plain(frame, sent_end + b";branch=".len(), next)?,
        _ => Params::new(params)
            .get(b"branch")
            .map_or(Span::NOWHERE, |branch| Span::within(frame, branch)),
    };
    Some(TopVia {
        value,
        sent_by: plain(frame, sent_at, sent_end)?,
        branch,
    })
}

/// A Via of any form, if it stands alone.
#[cold]
fn any_via(frame: &[u8], value: Span) -> Option<TopVia> {
    if find_between(b',', frame, value.start(), value.end()).is_some() {
        return None;
    }
    let via = Via::of(value.of(frame))?;
    Some(TopVia {
        value,
        sent_by: Span::within(frame, via.sent_by),
        branch: via
            .branch
            .map_or(Span::NOWHERE, |branch| Span::within(frame, branch)),
    })
}

/// Where the first two semicolons stand from `at` to `end`, or the end; `None` if there is a comma.
#[inline(always)]
fn semicolons(frame: &[u8], at: usize, end: usize) -> Option<(usize, usize)> {
    let len = end.checked_sub(at).filter(|len| *len > 0)?;
    if len > 64 {
        return semicolons_of_many(frame, at, end);
    }
    let block = frame.get(at..)?.first_chunk()?;
    let within = u64::MAX >> (64 - len);
    if hits_in_64(block, b',') & within != 0 {
        return None;
    }
    let first = hits_in_64(block, b';') & within;
    let second = first & first.wrapping_sub(1);
    let place = |hits: u64| at + len.min(hits.trailing_zeros() as usize);
    Some((place(first), place(second)))
}

/// The same in more than a block.
#[inline(never)]
fn semicolons_of_many(frame: &[u8], at: usize, end: usize) -> Option<(usize, usize)> {
    if find_between(b',', frame, at, end).is_some() {
        return None;
    }
    let first = find_between(b';', frame, at, end).unwrap_or(end);
    Some((first, find_between(b';', frame, first + 1, end).unwrap_or(end)))
}

/// Whether no Via line holds a list: the values are no more than the lines, hence not too many.
#[inline(never)]
fn no_lists(frame: &[u8], lines: &Lines) -> Option<()> {
    let mut vias = lines.named(Header::Via);
    while let Some(via) = vias.next_kept() {
        if find_between(b',', frame, via.start(), via.end()).is_some() {
            return None;
        }
    }
    Some(())
}

/// What Content-Length says, the body, and whether a body was announced that is not all there.
#[inline(always)]
fn body(frame: &[u8], at: usize, lines: &Lines) -> Option<(ContentLength, Span, bool)> {
    let mut lengths = lines.named(Header::ContentLength);
    let Some(length) = lengths.next_kept() else {
        return Some((ContentLength::Absent, Span::between(at, frame.len()), false));
    };
    let octets = match length.of(frame) {
        [b' ', digits @ .., b'\r'] => number(digits)?,
        other => number(trim(other))?,
    };
    if lengths.next_kept().is_some() {
        return None;
    }
    let end = at + usize::try_from(octets).ok()?;
    let is_whole = end <= frame.len();
    let body = if is_whole {
        Span::between(at, end)
    } else {
        Span::NOWHERE
    };
    Some((ContentLength::Octets(octets), body, !is_whole))
}

/// A number of at most nine digits.
#[inline(always)]
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, digit| match digit.wrapping_sub(b'0') {
            digit @ 0..10 => Some(number * 10 + u32::from(digit)),
            _ => None,
        })
}

#[cfg(test)]
mod tests;

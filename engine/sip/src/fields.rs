//! Header fields one after the other, in every form that they may have: folded, with white space before the
//! colon, with any line end.

use memchr::memchr;

use crate::find::Positions;
use crate::header::Header;
use crate::lex::trim;
use crate::name;
use crate::span::Span;

/// A walk over the header fields of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    frame: &'a [u8],
    ends: Positions<'a>,
    next: usize,
}

/// What a walk comes upon.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A field, from its first octet up to its line end.
    Field {
        /// Its first octet's place.
        at: usize,
        /// Its line end's.
        end: usize,
    },
    /// The empty line, and what follows it.
    Body(&'a [u8]),
    /// The end of the frame. A last field that does not end within it is not believed: its value may be cut.
    Cut,
}

impl<'a> Fields<'a> {
    /// The fields from the one that begins at `at`.
    pub(crate) fn from(frame: &'a [u8], at: usize) -> Self {
        Self {
            frame,
            ends: Positions::from(b'\n', frame, at),
            next: at,
        }
    }

    /// Where the next field begins.
    pub(crate) const fn at(&self) -> usize {
        self.next
    }

    /// The next step.
    #[inline]
    pub(crate) fn step(&mut self) -> Step<'a> {
        let at = self.next;
        if let Some([b'\n', body @ ..] | [b'\r', b'\n', body @ ..]) = self.frame.get(at..) {
            return Step::Body(body);
        }
        let Some(end) = self.end() else {
            return Step::Cut;
        };
        self.next = end + 1;
        Step::Field { at, end }
    }

    /// Where the next field ends, its folds included; `None` if it does not end. Where the frame ends with the line, a fold may have
    /// been cut off: `CSeq: 1` without its method, a From without its tag.
    #[inline(always)]
    fn end(&mut self) -> Option<usize> {
        loop {
            let end = self.ends.next()?;
            // A line that begins with white space continues the field (RFC 3261 §7.3.1).
            if !matches!(self.frame.get(end + 1)?, b' ' | b'\t') {
                return Some(end);
            }
        }
    }

    /// The next field of interest: name and trimmed value.
    pub(crate) fn next_known(&mut self) -> Option<(Header, Span)> {
        while let Step::Field { at, end } = self.step() {
            if let Some((name, value_at)) = known(self.frame, at, end) {
                return Some((name, Span::between(value_at, end).trimmed(self.frame)));
            }
        }
        None
    }
}

/// The name of the field from `at` to its line end, if it is one of interest, and where the value begins, white
/// space before it included.
#[inline]
pub(crate) fn known(frame: &[u8], at: usize, end: usize) -> Option<(Header, usize)> {
    let (name, colon) = match name::at_start(frame.get(at..)?) {
        Some((name, colon)) => (name?, colon),
        None => unusual_name(frame.get(at..end)?)?,
    };
    Some((name, at + colon + 1))
}

/// The header of interest that a field is, and where its colon stands, with white space before that, folds too (RFC 3261 §7.3.1), or a
/// very long name.
#[cold]
fn unusual_name(field: &[u8]) -> Option<(Header, usize)> {
    let colon = memchr(b':', field)?;
    let name = Header::of(trim(field.get(..colon)?))?;
    Some((name, colon))
}

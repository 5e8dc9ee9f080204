//! Places in a frame, small enough to keep many of them.

use crate::lex::trim;

/// A place in a frame of at most [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX) octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The empty span, which stands for a part that is not there.
    pub(crate) const NOWHERE: Self = Self { start: 0, end: 0 };

    /// From `start` up to `end`, both within a frame, hence of 16 bits.
    #[inline(always)]
    pub(crate) const fn between(start: usize, end: usize) -> Self {
        Self {
            start: low_bits(start),
            end: low_bits(end),
        }
    }

    /// Where `part` lies in `frame`; the empty span if it is no part of it.
    pub(crate) fn within(frame: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end => Self { start, end },
            _ => Self::NOWHERE,
        }
    }

    /// The octets of the span in the frame it was made for.
    #[inline]
    pub(crate) fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.start()..self.end()).unwrap_or_default()
    }

    /// The octets of the span, if there are any.
    #[inline]
    pub(crate) fn some_of(self, frame: &[u8]) -> Option<&[u8]> {
        Some(self.of(frame)).filter(|part| !part.is_empty())
    }

    /// The span without white space at both ends: ` value CR`, as nearly every line has it, or in the general way.
    #[inline(always)]
    pub(crate) fn trimmed(self, frame: &[u8]) -> Self {
        let value = self.of(frame);
        match value {
            [b' ', first, .., last, b'\r'] if *first > b' ' && *last > b' ' => Self {
                start: self.start.wrapping_add(1),
                end: self.end.wrapping_sub(1),
            },
            _ => Self::trimmed_in_general(frame, value),
        }
    }

    #[inline(never)]
    fn trimmed_in_general(frame: &[u8], value: &[u8]) -> Self {
        Self::within(frame, trim(value))
    }

    #[inline(always)]
    pub(crate) fn start(self) -> usize {
        usize::from(self.start)
    }

    #[inline(always)]
    pub(crate) fn end(self) -> usize {
        usize::from(self.end)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// An offset within a frame, which fits 16 bits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "no frame is longer than MESSAGE_BYTES_MAX, which fits; a check for each offset would cost more than the offset"
)]
#[inline(always)]
pub(crate) const fn low_bits(offset: usize) -> u16 {
    offset as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a span that does not lead back to its octets.
    #[test]
    fn leads_back() {
        let frame = b"INVITE sip:a@b SIP/2.0";
        for (from, to) in [
            (0, 0),
            (0, 6),
            (7, 14),
            (0, frame.len()),
            (frame.len(), frame.len()),
        ] {
            let part = &frame[from..to];
            for span in [Span::within(frame, part), Span::between(from, to)] {
                let found = span.of(frame);
                assert_eq!((found.as_ptr(), found.len()), (part.as_ptr(), part.len()));
            }
        }
    }

    /// Catches white space left at either end, and octets lost with it.
    #[test]
    fn trimmed() {
        for value in [
            "",
            " ",
            "\r",
            " \r",
            "x",
            " x\r",
            " x y\r",
            "  x\r",
            " x \r",
            "\tx\r",
            "x\r",
            " x",
            " \r\n x\r",
        ] {
            let frame = format!("To:{value}\n");
            let frame = frame.as_bytes();
            let span = Span::between(3, 3 + value.len()).trimmed(frame);
            assert_eq!(span.of(frame), trim(value.as_bytes()), "{value:?}");
        }
    }
}

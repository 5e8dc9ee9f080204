//! Places in a frame, small enough to keep many of them.

/// A place in a frame of at most [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX) octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// The empty span.
    pub(crate) const NOWHERE: Self = Self { start: 0, len: 0 };

    /// Where `part` lies in `frame`; the empty span if it is no part of it.
    pub(crate) fn within(frame: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
        match (u16::try_from(start), u16::try_from(part.len())) {
            (Ok(start), Ok(len)) => Self { start, len },
            _ => Self::NOWHERE,
        }
    }

    /// The octets of the span in the frame it was made for.
    pub(crate) fn of(self, frame: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        frame
            .get(start..start + usize::from(self.len))
            .unwrap_or_default()
    }
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
            let found = Span::within(frame, part).of(frame);
            assert_eq!((found.as_ptr(), found.len()), (part.as_ptr(), part.len()));
        }
    }
}

//! What comes late: segments out of a hole that was given up. Nobody has read them, and a number far ahead, forged or
//! damaged, must not make a stream deaf to all that its sender really says.
//!
//! They are read beside the stream, which stays where it is, by a stream of their own that ends where the hole does. What was
//! read leaves the hole, so nothing is read twice.

use ringtap_record::Time;

use super::{Desk, State, Stream, is_ahead};
use crate::decode::Payload;
use crate::decode::tcp::ahead::distance;
use crate::decode::tcp::segment::Segment;

/// Reads segments that come late, as long as they continue one another.
#[derive(Debug)]
pub(super) struct LateReader {
    stream: Stream,
}

impl LateReader {
    /// Begins in the middle of what nobody has read.
    fn new(first: u32, used: Time) -> Self {
        let mut stream = Stream::at(first, used);
        // That there was SIP is known: it is searched for as long as it takes.
        stream.is_sip = true;
        Self { stream }
    }

    /// Memory that it takes beside itself.
    pub(super) const fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.stream.held_bytes()
    }

    /// What is unfinished ends here.
    fn end<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        self.stream.hand_on_beginning(desk);
        self.stream.tail.clear(desk.spare);
    }
}

impl Stream {
    /// It is forgotten: what is there of a message that comes late is handed on.
    pub(in crate::decode::tcp) fn end_late<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        if let Some(mut reader) = self.late.take() {
            reader.end(desk);
        }
    }

    /// Reads a segment as far as it lies in a hole that was given up. Whether it does.
    pub(super) fn take_late<S: FnMut(&Payload<'_>)>(
        &mut self,
        segment: &Segment<'_>,
        desk: &mut Desk<'_, S>,
    ) -> bool {
        let first = segment.first();
        if segment.len == 0 || !is_ahead(first, self.next) || self.state == State::Tls {
            return false;
        }
        let Some(hole) = self.holes.find(first) else {
            return false;
        };
        let len = segment.len.min(distance(first, hole.to));
        let behind = first.wrapping_add(u32::try_from(len).unwrap_or_default());
        self.holes.fill(hole, first, behind);
        let mut reader = match self.late.take() {
            Some(reader) if reader.stream.next == first => reader,
            other => {
                if let Some(mut before) = other {
                    before.end(desk);
                }
                Box::new(LateReader::new(first, self.used))
            }
        };
        let octets = segment.octets.get(..len).unwrap_or(segment.octets);
        reader.stream.take(segment.time, octets, len - octets.len(), desk);
        self.is_usable |= reader.stream.is_usable;
        self.is_sip |= reader.stream.is_usable;
        if behind == hole.to {
            reader.end(desk);
        } else {
            self.late = Some(reader);
        }
        true
    }
}

//! What comes late: segments out of a hole that was given up. Nobody has read them, and a number far ahead, forged or
//! damaged, must not make a stream deaf to all that its sender really says.
//!
//! They are read beside the stream, which stays where it is, by a stream of their own, as long as they continue one another
//! and their hole. What was read leaves the hole, so nothing is read twice.

use ringtap_sip::is_sip_start;

use super::{Desk, State, Stream};
use crate::decode::Payload;
use crate::decode::holes::{Hole, distance, is_ahead};
use crate::decode::tcp::segment::Segment;

impl Stream {
    /// What is there of a message that comes late is handed on.
    pub(super) fn end_late<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        if let Some(mut reader) = self.late.take() {
            reader.hand_on_beginning(desk);
            reader.tail.clear(desk.spare);
        }
    }

    /// Reads a segment as far as it lies in holes that were given up. Whether it does. What the capture cut off is as good as
    /// not sent.
    pub(super) fn take_late<S: FnMut(&Payload<'_>)>(
        &mut self,
        segment: &Segment<'_>,
        desk: &mut Desk<'_, S>,
    ) -> bool {
        let first = segment.first();
        if !is_ahead(first, self.next) {
            return false;
        }
        // Of what speaks something else only that which does not.
        let is_silent = matches!(self.state, State::Tls | State::Foreign) && self.late.is_none();
        if is_silent && !is_sip_start(segment.octets) {
            return false;
        }
        let mut is_late = false;
        while let Some((part, is_last)) = self.holes.take(first, segment.behind_octets()) {
            is_late = true;
            self.read_late(segment, part, desk);
            if is_last {
                self.end_late(desk);
            }
        }
        is_late
    }

    /// Reads a part of a segment.
    fn read_late<S: FnMut(&Payload<'_>)>(
        &mut self,
        segment: &Segment<'_>,
        part: Hole,
        desk: &mut Desk<'_, S>,
    ) {
        if self.late.as_ref().is_some_and(|reader| reader.next != part.from) {
            self.end_late(desk);
        }
        let reader = self.late.get_or_insert_with(|| {
            Box::new(Self {
                // That there was SIP is known: it is searched for as long as it takes.
                is_sip: true,
                ..Self::at(part.from, self.used)
            })
        });
        let from = distance(segment.first(), part.from);
        let to = distance(segment.first(), part.to);
        let octets = segment.octets.get(from..to).unwrap_or_default();
        reader.take(segment.time, octets, 0, desk);
        if reader.is_usable {
            self.is_usable = true;
            self.is_sip = true;
            if matches!(self.state, State::Tls | State::Foreign) {
                self.state = State::Open;
            }
        }
    }
}

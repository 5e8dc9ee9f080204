//! What comes late: segments out of a hole that was given up. Nobody has read them, and a number far ahead, forged or
//! damaged, must not make a stream deaf to all that its sender really says.

use ringtap_record::Time;
use ringtap_sip::framing::{Framer, Step};
use ringtap_sip::limits::MESSAGE_BYTES_MAX;

use super::{Desk, State, Stream, is_ahead};
use crate::decode::Payload;
use crate::decode::tcp::ahead::distance;
use crate::decode::tcp::holes::Hole;
use crate::decode::tcp::segment::Segment;

impl Stream {
    /// Reads a segment out of a hole that was given up: messages that begin with it where they are whole. What does not
    /// end in it, or continues another one from there, takes the stream back to where it is. Whether anything was read.
    pub(super) fn take_late<S: FnMut(&Payload<'_>)>(
        &mut self,
        segment: &Segment<'_>,
        desk: &mut Desk<'_, S>,
    ) -> bool {
        let first = segment.first();
        if !is_ahead(first, self.next) || self.state == State::Tls {
            return false;
        }
        let Some(hole) = self.holes.find(first) else {
            return false;
        };
        let len = segment.len.min(distance(first, hole.to));
        let at = |octets: usize| first.wrapping_add(u32::try_from(octets).unwrap_or_default());
        let octets = segment.octets.get(..len).unwrap_or(segment.octets);
        let continues = self.holes.note_late(first, at(len)) && self.state != State::Foreign;
        let (done, is_unfinished) = self.read_whole(segment.time, octets, desk);
        if is_unfinished || (done == 0 && continues) {
            self.go_back(at(done), hole, desk);
            self.holes.fill(hole, first, hole.to);
        } else if done > 0 {
            self.holes.fill(hole, first, at(done));
        }
        done > 0
    }

    /// Reads the whole messages that octets begin with, apart from the stream; how many octets they are, and whether
    /// another one begins behind them.
    fn read_whole<S: FnMut(&Payload<'_>)>(
        &mut self,
        time: Time,
        octets: &[u8],
        desk: &mut Desk<'_, S>,
    ) -> (usize, bool) {
        let (mut framer, mut done) = (Framer::out_of_step(), 0);
        if !framer.begins(octets) {
            return (0, false);
        }
        loop {
            let rest = octets.get(done..).unwrap_or_default();
            match framer.look(rest) {
                Step::Message(extent) => {
                    let message = rest.get(..extent.len);
                    let Some(message) = message.filter(|_| extent.len <= MESSAGE_BYTES_MAX) else {
                        return (done, true);
                    };
                    desk.counters.messages.in_place += 1;
                    // Whatever is found out of step could be read.
                    (self.is_sip, self.is_usable) = (true, true);
                    desk.hand_on(time, message, false);
                    framer.next();
                    done += extent.len;
                }
                Step::KeepAlive(octets) => {
                    desk.counters.messages.keep_alives += 1;
                    done += octets;
                }
                Step::More => return (done, !rest.is_empty()),
                Step::Pass(_) | Step::Lost => return (done, false),
            }
        }
    }

    /// Goes on within a hole that was given up.
    fn go_back<S: FnMut(&Payload<'_>)>(&mut self, at: u32, hole: Hole, desk: &mut Desk<'_, S>) {
        self.hand_on_beginning(desk);
        self.tail.clear(desk.spare);
        self.resume = Some(Hole {
            from: hole.to,
            to: self.next,
        });
        self.state = State::Open;
        self.framer = Framer::out_of_step();
        self.pass = 0;
        self.is_unbroken = false;
        self.fin = None;
        self.next = at;
        self.told = at;
    }

    /// What it waits for: behind what it had read before it went back, once it has come up to that.
    pub(super) fn resumed<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) -> u32 {
        if let Some(read) = self.resume
            && !is_ahead(self.next, read.from)
        {
            self.resume = None;
            if is_ahead(self.next, read.to) {
                self.hand_on_beginning(desk);
                self.tail.clear(desk.spare);
                self.framer = Framer::out_of_step();
                self.pass = 0;
                self.next = read.to;
            }
        }
        self.next
    }
}

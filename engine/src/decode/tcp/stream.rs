//! One direction of a connection: sequence numbers, what waits for what, where it opens and ends. Octets in order are
//! [`read`]'s, what comes out of a hole that was given up is [`late`]'s.
//!
//! Everything before the number that it waits for was read, or lies in a hole.

mod late;
mod read;

use ringtap_record::Time;
use ringtap_sip::framing::Framer;

use super::ahead::{Ahead, Piece};
use super::counters::TcpCounters;
use super::segment::{Flow, Segment};
use super::tail::{Spare, Tail};
use crate::decode::Payload;
use crate::decode::holes::{Hole, Holes, distance, is_ahead, later};

/// Nothing more waits in a stream that holds so much (semantics.md §5). What waits may still be cut into twice as many pieces by one
/// segment that fills the gaps, and messages under way grow as far as messages may.
pub(super) const STREAM_BYTES_MAX: usize = 256 * 1024;
/// Most pieces that wait: what keeps their order is made for few.
const PIECES_MAX: usize = 256;
/// What is further away than this from what a stream waits for belongs to another connection on the same ports. More than
/// signalling has under way, and little enough for a new connection to be told by chance in all but one case of two thousand.
const WINDOW: usize = 1024 * 1024;
/// An empty segment, which shows that octets were sent, is believed that far ahead: it costs nobody more than its header.
const TOLD_MAX: usize = 64 * 1024;
/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    state: State,
    /// The sequence number that it waits for.
    next: u32,
    /// The sequence number of its first octet, if it was seen to open.
    opened: Option<u32>,
    /// The first that was seen of it, as long as nothing came from before that.
    begun: Option<u32>,
    /// The sequence number behind its last octet, if its end was seen, until that is reached.
    fin: Option<u32>,
    /// The furthest sequence number that an acknowledgement has shown to be sent, until that is reached.
    told: Option<u32>,
    framer: Framer,
    /// Octets still to come that are of no use.
    pass: usize,
    /// What came and does not make sense yet.
    tail: Tail,
    ahead: Ahead,
    /// What was given up.
    holes: Holes,
    /// Reads what comes out of a hole that was given up.
    late: Option<Box<Self>>,
    /// It was seen to open, and nothing is missing since.
    is_unbroken: bool,
    /// A message was found in it.
    is_sip: bool,
    /// One of them could be read.
    is_usable: bool,
    /// Octets since the last message.
    silence: usize,
    /// Its place among those that wait, and for what they wait.
    pub(super) waits: Option<(Wait, u32)>,
    /// When it was last heard of.
    pub(super) used: Time,
}

/// A place among those that wait: since when, and a number of its own.
pub(super) type Wait = (Time, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Encrypted.
    Tls,
    /// Another protocol.
    Foreign,
    /// Over. Copies of what it said are known.
    Ended,
}

/// What a stream works with that is not its own.
pub(super) struct Desk<'a, S> {
    pub(super) flow: Flow,
    pub(super) counters: &'a mut TcpCounters,
    pub(super) spare: &'a mut Spare,
    pub(super) missed: &'a mut Vec<Time>,
    pub(super) sink: &'a mut S,
}

impl<S: FnMut(&Payload<'_>)> Desk<'_, S> {
    fn hand_on(&mut self, time: Time, octets: &[u8], truncated: bool) {
        (self.sink)(&Payload {
            time,
            source: self.flow.source,
            destination: self.flow.destination,
            octets,
            truncated,
        });
    }
}

impl Stream {
    /// One whose first octet, or the first that is seen of it, has that sequence number.
    pub(super) fn begin(first: u32, is_opened: bool, used: Time, counters: &mut TcpCounters) -> Self {
        counters.streams.begun += 1;
        counters.streams.picked_up += u64::from(!is_opened);
        Self {
            framer: if is_opened {
                Framer::in_step()
            } else {
                Framer::out_of_step()
            },
            opened: is_opened.then_some(first),
            begun: Some(first),
            is_unbroken: is_opened,
            ..Self::at(first, used)
        }
    }

    /// One of which nothing is known but where it goes on.
    fn at(first: u32, used: Time) -> Self {
        Self {
            state: State::Open,
            next: first,
            opened: None,
            begun: None,
            fin: None,
            told: None,
            framer: Framer::out_of_step(),
            pass: 0,
            tail: Tail::new(),
            ahead: Ahead::default(),
            holes: Holes::default(),
            late: None,
            is_unbroken: false,
            is_sip: false,
            is_usable: false,
            silence: 0,
            waits: None,
            used,
        }
    }

    /// Memory that it takes beside itself.
    pub(super) const fn held_bytes(&self) -> usize {
        let late = match &self.late {
            Some(late) => size_of::<Self>() + late.held_bytes(),
            None => 0,
        };
        self.tail.held_bytes() + self.ahead.held_bytes() + self.holes.held_bytes() + late
    }

    /// How many octets were moved within its memory.
    #[cfg(test)]
    pub(super) const fn moved_bytes(&self) -> usize {
        self.tail.moved_bytes
    }

    /// As if it had gone on to there in order.
    #[cfg(test)]
    pub(super) const fn wind_on(&mut self, next: u32) {
        self.next = next;
    }

    /// The holes that it remembers, and the number that it waits for.
    #[cfg(test)]
    pub(super) fn holes(&self) -> (Vec<Hole>, u32) {
        (self.holes.iter().collect(), self.next)
    }

    /// The sequence number where a hole begins, if there is one.
    pub(super) fn hole(&self) -> Option<u32> {
        (!self.ahead.is_empty() || self.told.is_some()).then_some(self.next)
    }

    /// Takes a segment.
    pub(super) fn put<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        let first = segment.first();
        if segment.is_syn() && self.opened != Some(first) {
            self.restart(first, true, desk);
        }
        if segment.is_rst() {
            desk.counters.segments.empty += 1;
            if self.is_near(first) {
                self.end(desk);
            }
            return;
        }
        if segment.len > 0 {
            self.data(segment, desk);
        } else {
            desk.counters.segments.empty += 1;
            self.tell(first);
        }
        let behind = segment.behind();
        // One behind what is read ends nothing.
        if segment.is_fin() && self.state == State::Open && distance(self.next, behind) <= TOLD_MAX {
            self.fin = Some(behind);
            self.tell(behind);
        }
        self.settle(desk);
    }

    /// A segment shows that everything before `behind` was sent.
    fn tell(&mut self, behind: u32) {
        let is_plausible = is_ahead(self.next, behind) && distance(self.next, behind) <= TOLD_MAX;
        if self.state == State::Open && is_plausible {
            self.told = Some(self.told.map_or(behind, |told| later(told, behind)));
        }
    }

    /// Gives up what is missing before what waits.
    pub(super) fn give_up_hole<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        let behind = self.ahead.first().or(self.told);
        let time = self.ahead.first_time().unwrap_or(self.used);
        if let Some(behind) = behind.filter(|behind| is_ahead(self.next, *behind)) {
            self.lose(distance(self.next, behind), time, desk);
        }
        self.drain(desk);
        self.settle(desk);
    }

    /// Forgets what was said of numbers that are reached, and ends where FIN is. Octets that go on beyond a FIN show that it was
    /// none.
    fn settle<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        self.told = self.told.filter(|told| is_ahead(self.next, *told));
        if self.fin == Some(self.next) {
            self.end(desk);
        }
        self.fin = self.fin.filter(|fin| is_ahead(self.next, *fin));
    }

    /// Nothing more will come of it. What is there of messages is handed on.
    pub(super) fn end<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        // First: what waits may reach it, and would end the stream in turn.
        self.fin = None;
        while !self.ahead.is_empty() {
            self.give_up_hole(desk);
        }
        self.hand_on_beginning(desk);
        self.tail.clear(desk.spare);
        self.end_late(desk);
        self.pass = 0;
        self.told = None;
        self.state = State::Ended;
    }

    /// Ends, and begins anew. It may be the old one that goes on: what is missing of it still is, and what it speaks is known.
    fn restart<S: FnMut(&Payload<'_>)>(&mut self, first: u32, is_opened: bool, desk: &mut Desk<'_, S>) {
        self.end(desk);
        // An opening in the middle of another connection may be a lie: whether a message begins there has to show.
        let is_doubtful = self.is_near(first);
        if distance(self.next, first) <= WINDOW {
            self.skip_to(first);
        }
        self.holes.cut_off(first);
        self.holes.forget(first, WINDOW);
        *self = Self {
            waits: self.waits.take(),
            holes: std::mem::take(&mut self.holes),
            is_sip: self.is_sip,
            begun: None,
            ..Self::begin(first, is_opened, self.used, desk.counters)
        };
        if is_doubtful {
            self.doubt_opening();
        }
    }

    /// Whether a message begins where it was said to open has to show.
    fn doubt_opening(&mut self) {
        self.framer = Framer::out_of_step();
        self.is_unbroken = false;
    }

    /// Whether a sequence number is one that this connection may have now.
    fn is_near(&self, first: u32) -> bool {
        distance(self.next, first) <= WINDOW || distance(first, self.next) <= WINDOW
    }

    /// Leaves a hole up to `to`, if that is ahead.
    fn skip_to(&mut self, to: u32) {
        if is_ahead(self.next, to) {
            self.holes.add(Hole { from: self.next, to });
            self.next = to;
        }
    }

    /// What was sent before anything was seen of it is missing: what was seen first may have been a lie.
    fn note_past(&mut self, first: u32) {
        if let Some(begun) = self.begun.filter(|begun| is_ahead(first, *begun)) {
            self.begun = None;
            if distance(begun, self.next) <= WINDOW {
                let window = u32::try_from(WINDOW).unwrap_or_default();
                self.holes.add_before(Hole {
                    from: begun.wrapping_sub(window),
                    to: begun,
                });
            }
            if self.next == begun {
                self.doubt_opening();
            }
        }
    }

    /// Back into a hole that a segment reaches, if nothing was read behind it: what said that there is more told a lie, or too
    /// early.
    fn go_back(&mut self, segment: &Segment<'_>) {
        let is_idle = self.state != State::Open || self.framer.is_out_of_step();
        if let Some(hole) = self.holes.last().filter(|hole| is_idle && hole.to == self.next) {
            let (first, there) = (segment.first(), segment.behind_octets());
            if is_ahead(first, hole.to) && is_ahead(hole.from, there) {
                self.next = later(hole.from, first);
                self.holes.cut_off(self.next);
            }
        }
    }

    /// Takes what a segment carries.
    fn data<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        let (first, behind) = (segment.first(), segment.behind());
        if !self.is_near(first) {
            self.restart(first, false, desk);
        }
        self.note_past(first);
        self.go_back(segment);
        let is_late = self.take_late(segment, desk);
        self.make_room(segment, desk);
        if !is_ahead(self.next, behind) {
            let segments = &mut desk.counters.segments;
            *(if is_late {
                &mut segments.late
            } else {
                &mut segments.copy
            }) += 1;
            return;
        }
        if self.state == State::Ended {
            self.restart(later(first, self.next), false, desk);
        }
        if self.state != State::Open && !self.may_speak_sip(segment, desk) {
            return;
        }
        if is_ahead(self.next, first) {
            let place = (first, segment.time);
            let is_new = self
                .ahead
                .put(self.next, place, segment.octets, segment.len, desk.spare);
            let segments = &mut desk.counters.segments;
            *(if is_new {
                &mut segments.ahead
            } else {
                &mut segments.copy
            }) += 1;
            return;
        }
        // Octets that are there never change: what is new of it counts.
        let known = distance(first, self.next);
        let octets = segment.octets.get(known..).unwrap_or_default();
        if is_tls(octets) && self.may_be_tls() {
            desk.counters.streams.tls += 1;
            desk.counters.segments.tls += 1;
            self.stop_listening(State::Tls, desk);
            self.next = behind;
            return;
        }
        desk.counters.segments.in_order += 1;
        self.holes.forget(self.next, WINDOW);
        let absent = (segment.len - known).min(segment.len - segment.octets.len());
        self.take(segment.time, octets, absent, desk);
        self.drain(desk);
    }

    /// Whether a segment of a stream that is not listened to begins with SIP all the same, and with nothing known before that.
    /// Then it is listened to, else passed over.
    fn may_speak_sip<S>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) -> bool {
        self.holes.forget(self.next, WINDOW);
        let is_new = !is_ahead(segment.first(), self.next);
        self.skip_to(segment.first());
        if is_new && self.framer.begins(segment.octets) {
            self.state = State::Open;
            self.is_unbroken = false;
            return true;
        }
        let segments = &mut desk.counters.segments;
        *(if self.state == State::Tls {
            &mut segments.tls
        } else {
            &mut segments.foreign
        }) += 1;
        self.next = segment.behind();
        false
    }

    /// It says nothing that can be read. Nothing is kept of it.
    fn stop_listening<S>(&mut self, state: State, desk: &mut Desk<'_, S>) {
        self.state = state;
        self.framer = Framer::out_of_step();
        self.tail.clear(desk.spare);
        self.ahead.clear(desk.spare);
        self.pass = 0;
    }

    /// Gives up holes until what is ahead of the first of them may be held.
    fn make_room<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        let first = segment.first();
        while is_ahead(self.next, first) && !self.has_room(segment) {
            if self.ahead.is_empty() {
                self.lose(distance(self.next, first), segment.time, desk);
            } else {
                self.give_up_hole(desk);
            }
        }
    }

    /// Whether a segment may be held.
    fn has_room(&self, segment: &Segment<'_>) -> bool {
        self.ahead.count() < PIECES_MAX && self.held_bytes() + segment.octets.len() <= STREAM_BYTES_MAX
    }

    /// Whether nothing speaks against it.
    const fn may_be_tls(&self) -> bool {
        let is_between = self.tail.is_empty() && self.pass == 0;
        !self.is_sip && (is_between || self.framer.is_out_of_step())
    }

    /// Takes what has waited for what is there now.
    fn drain<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        loop {
            let Some(piece) = self.ahead.pop(self.next) else {
                return;
            };
            let Piece {
                first,
                time,
                octets,
                absent,
            } = piece;
            let known = distance(first, self.next);
            if known < octets.len() + absent {
                let rest = octets.get(known..).unwrap_or_default();
                let absent = absent.min(octets.len() + absent - known);
                self.take(time, rest, absent, desk);
            }
            desk.spare.give(octets);
        }
    }
}

/// Whether octets begin with the header of a TLS record (RFC 8446 §5.1): type, version 3.0 to 3.4, and a length that may be.
fn is_tls(octets: &[u8]) -> bool {
    match octets {
        [0x14..=0x17, 3, 0..=4, high, low, ..] => {
            (1..=(1 << 14) + 2048).contains(&u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

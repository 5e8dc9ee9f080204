//! One direction of a connection: sequence numbers, holes, and what the framer says of the octets. What comes out of a hole
//! that was given up is [`late`]'s.

mod late;

use ringtap_record::Time;
use ringtap_sip::framing::{Framer, Step};
use ringtap_sip::limits::MESSAGE_BYTES_MAX;
use ringtap_sip::parse;

use late::LateReader;

use super::ahead::{Ahead, Piece, distance};
use super::counters::TcpCounters;
use super::holes::{Hole, Holes};
use super::segment::{Flow, Segment};
use super::tail::{Spare, Tail};
use crate::decode::Payload;

/// Most memory for one stream (semantics.md §5).
pub(super) const STREAM_BYTES_MAX: usize = 256 * 1024;
/// Most pieces that wait: what keeps their order is made for few.
const PIECES_MAX: usize = 256;
/// What is further away than this from what a stream waits for belongs to another connection on the same ports. More than
/// signalling has under way, and little enough for a new connection to be told by chance in all but one case of two thousand.
const WINDOW: usize = 1024 * 1024;
/// An empty segment, which shows that octets were sent, is believed that far ahead: it costs nobody more than its header.
const TOLD_MAX: usize = 64 * 1024;
/// A stream without SIP in so many octets speaks something else: it may have been picked up within a body, but not
/// within one that long.
const FOREIGN_BYTES: usize = 2 * MESSAGE_BYTES_MAX;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    state: State,
    /// The sequence number that it waits for.
    next: u32,
    /// The sequence number of its first octet, if it was seen to open.
    opened: Option<u32>,
    /// The sequence number behind its last octet, if its end was seen.
    fin: Option<u32>,
    /// The furthest sequence number that an acknowledgement has shown to be sent.
    told: u32,
    framer: Framer,
    /// Octets still to come that are of no use.
    pass: usize,
    /// What came and does not make sense yet.
    tail: Tail,
    ahead: Ahead,
    /// What was given up.
    holes: Holes,
    /// Reads what comes out of a hole that was given up.
    late: Option<Box<LateReader>>,
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
    /// The stream that `segment` opens, or is the first to be seen of.
    pub(super) fn begin(segment: &Segment<'_>, used: Time, counters: &mut TcpCounters) -> Self {
        let first = segment.first();
        let opened = segment.is_syn().then_some(first);
        counters.streams.begun += 1;
        counters.streams.picked_up += u64::from(opened.is_none());
        Self {
            framer: if opened.is_some() {
                Framer::in_step()
            } else {
                Framer::out_of_step()
            },
            opened,
            is_unbroken: opened.is_some(),
            ..Self::at(first, used)
        }
    }

    /// One of which nothing is known but where it goes on.
    fn at(first: u32, used: Time) -> Self {
        Self {
            state: State::Open,
            next: first,
            opened: None,
            fin: None,
            told: first,
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
            Some(late) => late.held_bytes(),
            None => 0,
        };
        self.tail.held_bytes() + self.ahead.held_bytes() + self.holes.held_bytes() + late
    }

    /// How many octets were moved within its memory.
    #[cfg(test)]
    pub(super) const fn moved_bytes(&self) -> usize {
        self.tail.moved_bytes
    }

    /// The sequence number where a hole begins, if there is one.
    pub(super) fn hole(&self) -> Option<u32> {
        let is_told = is_ahead(self.next, self.told);
        (!self.ahead.is_empty() || is_told).then_some(self.next)
    }

    /// Takes a segment.
    pub(super) fn put<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        let first = segment.first();
        if segment.is_syn() && self.opened != Some(first) {
            self.restart(segment, desk);
        }
        if segment.is_rst() {
            desk.counters.segments.empty += 1;
            if self.is_near(first) {
                self.end(desk);
            }
            return;
        }
        if segment.len > 0 {
            if !self.is_near(first) || (self.state == State::Ended && !is_ahead(first, self.next)) {
                self.restart(segment, desk);
            }
            self.data(segment, desk);
        } else {
            desk.counters.segments.empty += 1;
            self.tell(first);
        }
        let behind = first.wrapping_add(u32::try_from(segment.len).unwrap_or_default());
        // One behind what is read ends nothing.
        if segment.is_fin() && self.state == State::Open && distance(self.next, behind) <= TOLD_MAX {
            self.fin = Some(behind);
            self.tell(behind);
        }
        self.end_if_over(desk);
    }

    /// A segment shows that everything before `behind` was sent.
    fn tell(&mut self, behind: u32) {
        let is_plausible = distance(self.next, behind) <= TOLD_MAX;
        if self.state == State::Open && is_plausible && is_ahead(self.told, behind) {
            self.told = behind;
        }
    }

    /// Gives up what is missing before what waits.
    pub(super) fn give_up_hole<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        let behind = self.ahead.first().unwrap_or(self.told);
        let time = self.ahead.first_time().unwrap_or(self.used);
        if is_ahead(self.next, behind) {
            self.lose(distance(self.next, behind), time, desk);
        }
        self.drain(desk);
        self.end_if_over(desk);
    }

    /// Nothing more will come of it. What is there of a message is handed on.
    pub(super) fn end<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        // Taken first: what waits may reach it, and would end the stream in turn.
        let fin = self.fin.take();
        while !self.ahead.is_empty() {
            self.give_up_hole(desk);
        }
        self.hand_on_beginning(desk);
        self.tail.clear(desk.spare);
        self.pass = 0;
        if let Some(fin) = fin {
            if is_ahead(self.next, fin) {
                self.holes.add(Hole {
                    from: self.next,
                    to: fin,
                });
            }
            // FIN counts as one octet (RFC 9293 §3.4).
            self.next = fin.wrapping_add(1);
        }
        self.told = self.next;
        self.state = State::Ended;
    }

    /// Ends, and begins anew with `segment`.
    fn restart<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        if self.state != State::Ended {
            self.end(desk);
        }
        let waits = self.waits.take();
        // It may be the old one that goes on.
        let mut holes = std::mem::take(&mut self.holes);
        let len = distance(self.next, segment.first());
        if len <= WINDOW {
            holes.add(Hole {
                from: self.next,
                to: segment.first(),
            });
        }
        holes.note_in_order(segment.first(), WINDOW);
        let late = self.late.take();
        *self = Self {
            waits,
            holes,
            late,
            ..Self::begin(segment, self.used, desk.counters)
        };
    }

    fn end_if_over<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        let is_over = self.fin.is_some_and(|fin| !is_ahead(self.next, fin));
        if is_over && self.state != State::Ended {
            self.end(desk);
        }
    }

    /// Whether a sequence number is one that this connection may have now.
    fn is_near(&self, first: u32) -> bool {
        distance(self.next, first) <= WINDOW || distance(first, self.next) <= WINDOW
    }

    /// Takes what a segment carries.
    fn data<S: FnMut(&Payload<'_>)>(&mut self, segment: &Segment<'_>, desk: &mut Desk<'_, S>) {
        let (first, len) = (segment.first(), segment.len);
        let behind = first.wrapping_add(u32::try_from(len).unwrap_or_default());
        let is_late = self.take_late(segment, desk);
        if !is_ahead(self.next, behind) {
            let segments = &mut desk.counters.segments;
            *(if is_late {
                &mut segments.late
            } else {
                &mut segments.copy
            }) += 1;
            return;
        }
        match self.state {
            State::Foreign if !is_ahead(first, self.next) && self.framer.begins(segment.octets) => {
                self.state = State::Open;
                self.is_unbroken = false;
                self.next = first;
                self.told = first;
            }
            State::Foreign | State::Tls => {
                *(if self.state == State::Tls {
                    &mut desk.counters.segments.tls
                } else {
                    &mut desk.counters.segments.foreign
                }) += 1;
                if is_ahead(self.next, first) {
                    self.holes.add(Hole {
                        from: self.next,
                        to: first,
                    });
                }
                self.next = behind;
                self.told = behind;
                return;
            }
            State::Open | State::Ended => {}
        }
        while is_ahead(self.next, first) && !self.has_room(segment) {
            if self.ahead.is_empty() {
                self.lose(distance(self.next, first), segment.time, desk);
            } else {
                self.give_up_hole(desk);
            }
        }
        if !is_ahead(self.next, behind) {
            // What had waited held all of it.
            desk.counters.segments.copy += 1;
            return;
        }
        if is_ahead(self.next, first) {
            let place = (first, segment.time);
            let is_new = self.ahead.put(self.next, place, segment.octets, len, desk.spare);
            let segments = &mut desk.counters.segments;
            *(if is_new {
                &mut segments.ahead
            } else {
                &mut segments.copy
            }) += 1;
            return;
        }
        if self.state == State::Open && is_tls(segment.octets) && self.may_be_tls() {
            self.state = State::Tls;
            desk.counters.streams.tls += 1;
            desk.counters.segments.tls += 1;
            self.tail.clear(desk.spare);
            self.ahead.clear(desk.spare);
            self.next = behind;
            self.told = behind;
            return;
        }
        desk.counters.segments.in_order += 1;
        self.holes.note_in_order(self.next, WINDOW);
        let known = distance(first, self.next);
        self.take(
            segment.time,
            segment.octets.get(known..).unwrap_or_default(),
            (len - known).min(len - segment.octets.len()),
            desk,
        );
        self.drain(desk);
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

    /// Takes octets that come next, and as many behind them that the capture cut off.
    fn take<S: FnMut(&Payload<'_>)>(
        &mut self,
        time: Time,
        octets: &[u8],
        absent: usize,
        desk: &mut Desk<'_, S>,
    ) {
        self.next = self
            .next
            .wrapping_add(u32::try_from(octets.len()).unwrap_or_default());
        if self.state == State::Open {
            if self.pass == 0 && self.framer.begins(octets) {
                self.tail.clear(desk.spare);
            }
            self.read(time, octets, desk);
        }
        if absent > 0 {
            self.lose(absent, time, desk);
        }
    }

    /// Reads messages: out of the frame where they are whole there, else out of the tail.
    fn read<S: FnMut(&Payload<'_>)>(&mut self, time: Time, mut octets: &[u8], desk: &mut Desk<'_, S>) {
        self.silence = self.silence.saturating_add(octets.len());
        // How many of them are in the tail as well: it grows only when what it holds says nothing more, for whatever is
        // added to it moves the rest.
        let mut copied = 0;
        while !(octets.is_empty() && self.tail.is_empty()) {
            if self.pass > 0 {
                // Nothing is kept of what is passed over.
                let passed = self.pass.min(octets.len());
                self.pass -= passed;
                octets = octets.get(passed..).unwrap_or_default();
                if octets.is_empty() {
                    return;
                }
                continue;
            }
            let held = self.tail.len();
            let (view, time_of_view) = match held {
                0 => (octets, time),
                _ => (self.tail.octets(), self.tail.time()),
            };
            let messages = &mut desk.counters.messages;
            let is_known = self.framer.extent().is_some();
            let done = match self.framer.look(view) {
                Step::More => None,
                Step::Message(extent) => {
                    self.is_sip = true;
                    self.silence = 0;
                    if !(self.is_usable || is_known) {
                        self.is_usable = parse(view.get(..extent.head).unwrap_or(view)).is_ok();
                    }
                    if extent.len > MESSAGE_BYTES_MAX {
                        messages.truncated += 1;
                        desk.hand_on(time_of_view, view.get(..extent.head).unwrap_or(view), true);
                        self.framer.next();
                        let there = extent.len.min(view.len());
                        self.pass = extent.len - there;
                        Some(there)
                    } else if let Some(message) = view.get(..extent.len) {
                        *(if held == 0 {
                            &mut messages.in_place
                        } else {
                            &mut messages.joined
                        }) += 1;
                        desk.hand_on(time_of_view, message, false);
                        self.framer.next();
                        Some(extent.len)
                    } else {
                        None
                    }
                }
                Step::KeepAlive(octets) => {
                    messages.keep_alives += 1;
                    Some(octets)
                }
                Step::Pass(octets) => {
                    let there = octets.min(view.len());
                    self.pass = octets - there;
                    Some(there)
                }
                Step::Lost => {
                    desk.counters.streams.out_of_step += 1;
                    Some(0)
                }
            };
            let Some(done) = done else {
                if held == 0 {
                    self.tail.begin(octets, time, desk.spare);
                    return;
                }
                octets = octets.get(copied..).unwrap_or_default();
                let wanted = match self.framer.extent() {
                    Some(extent) => extent.len.saturating_sub(held),
                    // One more than a message may have shows that it is none.
                    None => (MESSAGE_BYTES_MAX + 1).saturating_sub(held),
                };
                copied = wanted.min(octets.len());
                if copied == 0 {
                    return;
                }
                self.tail.extend(octets.get(..copied).unwrap_or_default());
                continue;
            };
            let own = held.saturating_sub(copied);
            if done >= own {
                self.tail.clear(desk.spare);
                octets = octets.get(done - own..).unwrap_or_default();
                copied = 0;
            } else {
                self.tail.drop_first(done);
            }
            if self.framer.is_out_of_step() && self.is_foreign() {
                self.state = State::Foreign;
                desk.counters.streams.foreign += 1;
                self.tail.clear(desk.spare);
                self.ahead.clear(desk.spare);
                self.pass = 0;
                return;
            }
        }
    }

    /// Whether a stream in which no message begins where one should speaks another protocol: one seen from its beginning
    /// on at once, another once it cannot be the body that it was picked up in.
    const fn is_foreign(&self) -> bool {
        !self.is_sip && (self.is_unbroken || self.silence > FOREIGN_BYTES)
    }

    /// So many octets of what comes next are lost; `time` is that of what follows.
    fn lose<S: FnMut(&Payload<'_>)>(&mut self, len: usize, time: Time, desk: &mut Desk<'_, S>) {
        let from = self.next;
        self.next = self.next.wrapping_add(u32::try_from(len).unwrap_or_default());
        if self.state != State::Open {
            self.holes.add(Hole { from, to: self.next });
            return;
        }
        self.is_unbroken = false;
        desk.counters.streams.holes += 1;
        desk.counters.streams.hole_octets += len as u64;
        if let Some(extent) = self.framer.extent() {
            // Where the next message begins is known though the body is lost.
            self.pass = extent.len.saturating_sub(self.tail.len());
            self.hand_on_beginning(desk);
            self.framer.next();
        } else {
            self.hand_on_beginning(desk);
        }
        self.tail.clear(desk.spare);
        // What belongs to a body is none of its own, though it may read like a message.
        let of_body = u32::try_from(self.pass.min(len)).unwrap_or(u32::MAX);
        self.holes.add(Hole {
            from: from.wrapping_add(of_body),
            to: self.next,
        });
        if len <= self.pass {
            self.pass -= len;
            return;
        }
        self.pass = 0;
        if !self.framer.is_out_of_step() {
            desk.counters.streams.out_of_step += 1;
        }
        self.framer = Framer::out_of_step();
        if self.is_usable {
            desk.missed.push(time);
        }
    }

    /// Hands on the beginning of a message whose rest does not come.
    fn hand_on_beginning<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        if self.state == State::Open && self.framer.is_within_message() && !self.tail.is_empty() {
            desk.counters.messages.truncated += 1;
            desk.hand_on(self.tail.time(), self.tail.octets(), true);
        }
    }
}

/// Whether `at` is behind `from` in the stream: half of all sequence numbers are (RFC 9293 §3.4).
pub(super) const fn is_ahead(from: u32, at: u32) -> bool {
    let distance = at.wrapping_sub(from);
    distance > 0 && distance <= u32::MAX / 2
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

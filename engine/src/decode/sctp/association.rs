//! One direction of an association: what is waited for, and pieces of messages that are not whole yet.

use std::net::SocketAddr;

use ringtap_record::Time;
use ringtap_sip::{is_sip_start, parse};

use super::counters::SctpCounters;
use super::packet::{Data, MessageKey, Packet};
use super::seen::Seen;
use crate::decode::Payload;

/// Most memory for pieces of one association, and most pieces.
const BYTES_MAX: usize = 256 * 1024;
const PIECES_MAX: usize = 256;
/// What a piece costs beside its octets, in a list that has just grown.
const PIECE_BYTES: usize = 2 * size_of::<Piece>();
/// How long pieces and holes are waited for. SCTP repeats what was lost after one second, then after two (RFC 9260 §6.3).
pub(super) const AGE_MS: i64 = 4_000;

/// One direction of an association.
#[derive(Debug)]
pub(super) struct State {
    seen: Seen,
    /// What was seen before the last leap, for that may be a lie.
    former: Option<Seen>,
    /// The oldest TSN that is waited for: the one behind the newest if none is missing.
    next: u64,
    /// Since when it has been missing.
    hole_since: Option<Time>,
    /// By message and place.
    pieces: Vec<Piece>,
    bytes: usize,
    /// One of its messages could be read.
    is_usable: bool,
    /// Its place among those that wait.
    pub(super) waits: Option<(Time, u64)>,
    /// When data was last seen.
    pub(super) used: Time,
}

#[derive(Debug)]
struct Piece {
    message: MessageKey,
    /// Those of one message follow on one another.
    place: u64,
    is_begin: bool,
    is_end: bool,
    is_cut: bool,
    /// When it was captured, and by the clock.
    time: Time,
    since: Time,
    /// For the first piece: who sent it to whom, and whether it is wanted.
    ends: (SocketAddr, SocketAddr),
    is_wanted: bool,
    octets: Box<[u8]>,
}

/// What an association works with that is not its own.
pub(super) struct Desk<'a, S> {
    pub(super) now: Time,
    pub(super) counters: &'a mut SctpCounters,
    /// Where pieces are put together.
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) missed: &'a mut Vec<Time>,
    pub(super) sink: &'a mut S,
}

impl State {
    /// An association whose first data that was seen has that TSN.
    pub(super) fn begin(tsn: u32, now: Time) -> Self {
        let seen = Seen::begin(tsn);
        Self {
            next: seen.newest() + 1,
            seen,
            former: None,
            hole_since: None,
            pieces: Vec::new(),
            bytes: 0,
            is_usable: false,
            waits: None,
            used: now,
        }
    }

    /// Memory that it takes beside itself.
    pub(super) const fn held_bytes(&self) -> usize {
        let former = match &self.former {
            Some(former) => former.held_bytes(),
            None => 0,
        };
        self.bytes + self.seen.held_bytes() + former
    }

    /// Since when it has waited for something.
    pub(super) fn waits_since(&self) -> Option<Time> {
        let pieces = self.pieces.iter().map(|piece| piece.since);
        pieces.chain(self.hole_since).min()
    }

    /// Whether it waits for something.
    pub(super) const fn is_waiting(&self) -> bool {
        self.hole_since.is_some() || !self.pieces.is_empty()
    }

    /// Stamps are not the clock, whose first time this is.
    pub(super) fn begin_time(&mut self, now: Time) {
        self.used = now;
        for piece in &mut self.pieces {
            piece.since = now;
        }
        self.hole_since = self.hole_since.map(|_| now);
    }

    /// Takes data.
    pub(super) fn put<S: FnMut(&Payload<'_>)>(
        &mut self,
        packet: &Packet<'_>,
        data: &Data<'_>,
        desk: &mut Desk<'_, S>,
    ) {
        let tsn = match self.seen.count_on(data.tsn) {
            Some(tsn) => tsn,
            None => self.leap(data.tsn, desk),
        };
        if !self.see(tsn, packet.time, desk) {
            desk.counters.chunks.copy += 1;
            return;
        }
        let is_wanted = !data.is_begin || data.protocol == 0 || is_sip_start(data.octets);
        if data.is_begin && data.is_end {
            if !is_wanted {
                desk.counters.chunks.other_protocol += 1;
                return;
            }
            desk.counters.chunks.whole += 1;
            let messages = &mut desk.counters.messages;
            *(if data.is_cut {
                &mut messages.truncated
            } else {
                &mut messages.in_place
            }) += 1;
            self.is_usable = self.is_usable || parse(data.octets).is_ok();
            (desk.sink)(&Payload {
                time: packet.time,
                source: packet.source,
                destination: packet.destination,
                octets: data.octets,
                truncated: data.is_cut,
            });
            return;
        }
        desk.counters.chunks.piece += 1;
        while self.pieces.len() >= PIECES_MAX
            || (!self.pieces.is_empty() && self.bytes + data.octets.len() > BYTES_MAX)
        {
            self.give_up_oldest(desk);
        }
        let piece = Piece {
            message: data.message,
            place: data.fragment.map_or(tsn, u64::from),
            is_begin: data.is_begin,
            is_end: data.is_end,
            is_cut: data.is_cut,
            time: packet.time,
            since: desk.now,
            ends: (packet.source, packet.destination),
            is_wanted,
            octets: data.octets.into(),
        };
        let order = (piece.message, piece.place);
        let at = self
            .pieces
            .partition_point(|other| (other.message, other.place) < order);
        self.bytes += piece.octets.len() + PIECE_BYTES;
        self.pieces.insert(at, piece);
        let (from, to) = self.run(at);
        let run = self.pieces.get(from..to).unwrap_or_default();
        if let ([first, ..], [.., last]) = (run, run)
            && first.is_begin
            && last.is_end
        {
            self.hand_on(from, to, false, desk);
        }
    }

    /// The sender has given up what it has sent up to this TSN: nothing of it is waited for.
    pub(super) fn forward(&mut self, tsn: u32, desk: &Desk<'_, impl Sized>) {
        if let Some(tsn) = self.seen.count_on(tsn).filter(|tsn| *tsn >= self.next) {
            self.seen.reach(tsn);
            self.next = tsn + 1;
            self.follow(desk.now);
        }
    }

    /// Gives up what has been missing for too long.
    pub(super) fn give_up_old<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        let is_old = |since: Time| since.plus_ms(AGE_MS) < desk.now;
        if self.hole_since.is_some_and(is_old) {
            self.give_up_hole(desk.now, desk);
        }
        while let Some(oldest) = self.pieces.iter().map(|piece| piece.since).min()
            && oldest.plus_ms(AGE_MS) < desk.now
        {
            self.give_up_oldest(desk);
        }
    }

    /// Nothing more will come.
    pub(super) fn end<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        while !self.pieces.is_empty() {
            self.give_up_oldest(desk);
        }
        while self.hole_since.is_some() {
            self.give_up_hole(desk.now, desk);
        }
    }

    /// Another association has the tag now, or one TSN is a lie. Back to where it was before the last leap, if this one belongs
    /// there. It is returned counted on.
    fn leap<S: FnMut(&Payload<'_>)>(&mut self, tsn: u32, desk: &mut Desk<'_, S>) -> u64 {
        self.end(desk);
        let former = self.former.take().filter(|former| former.count_on(tsn).is_some());
        let seen = former.unwrap_or_else(|| {
            desk.counters.associations.begun += 1;
            Seen::begin(tsn)
        });
        self.next = seen.newest() + 1;
        self.former = Some(std::mem::replace(&mut self.seen, seen));
        self.seen.count_on(tsn).unwrap_or(self.next)
    }

    /// Notes that a TSN was seen; whether it is new.
    fn see<S>(&mut self, tsn: u64, time: Time, desk: &mut Desk<'_, S>) -> bool {
        if !self.seen.note(tsn) {
            return false;
        }
        if self.next < self.seen.oldest() {
            // Too far behind to know more of it: one hole, up to what is there again.
            self.next = self.seen.oldest();
            self.skip_hole();
            self.count_hole(time, desk);
        }
        self.follow(desk.now);
        true
    }

    /// Finds the oldest that is missing.
    fn follow(&mut self, now: Time) {
        let before = self.next;
        while self.next <= self.seen.newest() && self.seen.is_seen(self.next) {
            self.next += 1;
        }
        if self.next > self.seen.newest() {
            self.hole_since = None;
        } else if self.next != before {
            self.hole_since = Some(now);
        } else {
            self.hole_since.get_or_insert(now);
        }
    }

    /// Nothing of the oldest that is missing will come.
    fn give_up_hole<S>(&mut self, time: Time, desk: &mut Desk<'_, S>) {
        self.skip_hole();
        self.count_hole(time, desk);
        self.follow(desk.now);
    }

    /// Up to what was seen behind the oldest that is missing.
    fn skip_hole(&mut self) {
        while self.next <= self.seen.newest() && !self.seen.is_seen(self.next) {
            self.next += 1;
        }
    }

    fn count_hole<S>(&self, time: Time, desk: &mut Desk<'_, S>) {
        desk.counters.associations.holes += 1;
        if self.is_usable {
            desk.missed.push(self.hole_since.unwrap_or(time));
        }
    }

    /// From where to where the pieces follow on one another that this one is among.
    fn run(&self, at: usize) -> (usize, usize) {
        let follows = |one: &Piece, other: &Piece| {
            one.message == other.message && one.place + 1 == other.place && !one.is_end && !other.is_begin
        };
        let pair = |at: usize| Some((self.pieces.get(at)?, self.pieces.get(at + 1)?));
        let (mut from, mut to) = (at, at + 1);
        while from > 0 && pair(from - 1).is_some_and(|(one, other)| follows(one, other)) {
            from -= 1;
        }
        while pair(to - 1).is_some_and(|(one, other)| follows(one, other)) {
            to += 1;
        }
        (from, to)
    }

    /// Gives up the message of the piece that has waited longest, and hands on its beginning, if that is there.
    fn give_up_oldest<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        let oldest = self
            .pieces
            .iter()
            .enumerate()
            .min_by_key(|(_, piece)| piece.since);
        let Some((at, _)) = oldest else { return };
        let (from, to) = self.run(at);
        desk.counters.associations.given_up += 1;
        self.hand_on(from, to, true, desk);
    }

    /// Takes out pieces that follow on one another and hands on what they begin with.
    fn hand_on<S: FnMut(&Payload<'_>)>(
        &mut self,
        from: usize,
        to: usize,
        is_unfinished: bool,
        desk: &mut Desk<'_, S>,
    ) {
        desk.scratch.clear();
        let (mut head, mut is_cut) = (None, false);
        for piece in self.pieces.drain(from..to) {
            self.bytes -= piece.octets.len() + PIECE_BYTES;
            if piece.is_begin {
                head = Some((piece.time, piece.ends, piece.is_wanted));
            }
            // Behind a cut nothing fits on.
            if !is_cut {
                desk.scratch.extend_from_slice(&piece.octets);
            }
            is_cut |= piece.is_cut;
        }
        let truncated = is_unfinished || is_cut;
        match head {
            Some((time, (source, destination), true)) => {
                self.is_usable = self.is_usable || parse(desk.scratch).is_ok();
                let messages = &mut desk.counters.messages;
                *(if truncated {
                    &mut messages.truncated
                } else {
                    &mut messages.joined
                }) += 1;
                (desk.sink)(&Payload {
                    time,
                    source,
                    destination,
                    octets: desk.scratch,
                    truncated,
                });
            }
            Some(_) => {}
            None => {
                if self.is_usable {
                    desk.missed.push(desk.now);
                }
            }
        }
    }
}

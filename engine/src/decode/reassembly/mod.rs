//! IP packets out of their fragments, of both versions (semantics.md §5).
//!
//! Owns the datagrams that are not complete yet, in buffers of its own, and the memory of those that were dealt
//! with a moment ago. It knows nothing of files and reads no clock: whoever feeds it says what time it is. What
//! it gives back are IP packets for [`Decoder`], which decides what is in them; here what it says of
//! a first fragment only saves the memory for packets that nobody wants.
//!
//! What comes out depends on the order in which fragments are put in only where somebody sends fragments that
//! contradict each other, so a replay feeds one reassembler in the order of the frames.

mod assembly;
mod counters;
mod piece;
#[cfg(test)]
mod tests;

pub use counters::{DatagramCounters, FragmentCounters, ReassemblyCounters};
pub use piece::{Key, Packet, Piece};

use std::collections::{BTreeMap, HashMap};

use ringtap_record::Time;

use super::Decoder;
use assembly::{Assembly, Refusal};

/// How long fragments are waited for, and datagrams remembered that were dealt with.
const AGE_MAX_MS: i64 = 10_000;
/// Fragments of a complete datagram are copies within this time (semantics.md §5, "Duplicates"), those of a refused one are refused;
/// later ones begin another datagram under the same identification.
const COPY_US: i64 = 100_000;
/// What a datagram costs beside its octets, in the two places that know its key. A table that has just grown is less
/// than half full, and the one before it is there for a moment still.
const ENTRY_BYTES: usize = 3 * size_of::<(Key, Entry)>() + 2 * size_of::<(u64, Key)>();

/// How much may be kept, and what is done with what stays incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for fragments; one more than fits is there for a moment.
    pub bytes_max: usize,
    /// Hand on the beginning of a datagram that stays incomplete.
    pub salvage: bool,
}

impl Default for Limits {
    /// As in a configuration that says nothing of it.
    fn default() -> Self {
        Self {
            bytes_max: 64 * 1024 * 1024,
            salvage: true,
        }
    }
}

/// Puts fragments together. Every packet that leaves it holds something that its decoder looks for, as far as the first
/// fragment shows.
#[derive(Debug)]
pub struct Reassembler {
    wanted: Decoder,
    limits: Limits,
    entries: HashMap<Key, Entry>,
    /// The keys of all entries, oldest first.
    order: BTreeMap<u64, Key>,
    begun: u64,
    /// The last time it was told.
    now: Option<Time>,
    held_bytes: usize,
    /// When datagrams were sent that were given up, and may have told something of a call.
    missed: Vec<Time>,
    counters: ReassemblyCounters,
}

/// A datagram of which at least one fragment came.
#[derive(Debug)]
struct Entry {
    /// Its place in the order.
    place: u64,
    /// Since when it has been here.
    since: Time,
    state: State,
}

#[derive(Debug)]
enum State {
    Open(Open),
    /// Complete since a fragment of this time.
    Done(Time),
    /// The first fragment showed ports that are nobody's, or what else is not wanted.
    OtherPorts,
    /// Discarded at this time, with what may still come of it, "including those not yet received" (RFC 5722 §4).
    Refused(Time),
}

#[derive(Debug)]
struct Open {
    /// When the first fragment that came was captured.
    time: Time,
    /// When the latest one was.
    latest: Time,
    /// How many encapsulations are around it.
    depth: u8,
    /// What the first fragment of the datagram says is in it; that one has been seen, and is wanted.
    protocol: Option<u8>,
    assembly: Assembly,
}

impl Reassembler {
    /// One which hands on what `wanted` looks for.
    #[must_use]
    pub fn new(wanted: Decoder, limits: Limits) -> Self {
        Self {
            wanted,
            limits,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            begun: 0,
            now: None,
            held_bytes: 0,
            missed: Vec::new(),
            counters: ReassemblyCounters::default(),
        }
    }

    /// Takes a fragment. What became complete by it, or had to leave because of it, is added to `out`.
    pub fn put(&mut self, piece: &Piece<'_>, out: &mut Vec<Packet>) {
        let fragments = &mut self.counters.fragments;
        if piece.is_malformed() {
            fragments.malformed += 1;
            return;
        }
        if !piece.may_be_wanted(self.wanted.take) {
            fragments.other_protocol += 1;
            return;
        }
        match self.entries.get(&piece.key).map(|entry| &entry.state) {
            Some(State::Open(_)) => {}
            Some(State::Refused(at)) if (piece.time - *at).abs() <= COPY_US => {
                fragments.refused += 1;
                return;
            }
            Some(State::Done(at)) if (piece.time - *at).abs() <= COPY_US => {
                fragments.copy += 1;
                return;
            }
            Some(State::OtherPorts) if piece.offset > 0 || !self.is_wanted(piece) => {
                self.counters.fragments.other_ports += 1;
                return;
            }
            // The identification is used again.
            Some(State::Done(_) | State::Refused(_) | State::OtherPorts) | None => self.begin(piece),
        }
        self.add(piece, out);
        self.make_room(out);
    }

    /// Time goes on: gives up what has been incomplete for 10 seconds, and adds what is left of it to `out`.
    /// `now` is capture time and never goes back, except after [`clear`](Self::clear).
    pub fn advance(&mut self, now: Time, out: &mut Vec<Packet>) {
        if self.now.replace(now).is_none() {
            // Stamps are not the clock, whose first time this is.
            for entry in self.entries.values_mut() {
                entry.since = now;
            }
        }
        while let Some((_, key)) = self.order.first_key_value() {
            let is_old = self
                .entries
                .get(key)
                .is_none_or(|entry| entry.since.plus_ms(AGE_MAX_MS) < now);
            if !is_old {
                break;
            }
            if let Some(open) = self.remove_oldest() {
                self.expire(&open, out);
            }
        }
    }

    /// The end, or a gap: gives up everything, adds what is left of it to `out` and forgets the time.
    pub fn clear(&mut self, out: &mut Vec<Packet>) {
        while !self.order.is_empty() {
            if let Some(open) = self.remove_oldest() {
                self.counters.datagrams.unfinished += 1;
                self.salvage(&open, out);
            }
        }
        self.now = None;
    }

    /// The times of datagrams that were given up since this was asked last, though they may have told something of
    /// a call: known gaps (semantics.md D37). Not of those whose beginning was handed on, nor of those which the end
    /// of the capture leaves incomplete, which is a gap of its own. Never more than there were fragments.
    pub fn take_missed(&mut self) -> Vec<Time> {
        std::mem::take(&mut self.missed)
    }

    /// What became of the fragments.
    #[must_use]
    pub const fn counters(&self) -> &ReassemblyCounters {
        &self.counters
    }

    /// Memory that is taken.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Makes an entry for the datagram of `piece`, in place of the one that has its key.
    fn begin(&mut self, piece: &Piece<'_>) {
        self.counters.datagrams.begun += 1;
        self.begun += 1;
        let open = Open {
            time: piece.time,
            latest: piece.time,
            depth: piece.depth,
            protocol: None,
            assembly: Assembly::default(),
        };
        let entry = Entry {
            place: self.begun,
            since: self.now.unwrap_or(piece.time),
            state: State::Open(open),
        };
        self.order.insert(self.begun, piece.key);
        self.held_bytes += ENTRY_BYTES;
        if let Some(before) = self.entries.insert(piece.key, entry) {
            self.order.remove(&before.place);
            self.held_bytes -= ENTRY_BYTES;
        }
    }

    /// Puts a fragment into its datagram, which is open.
    fn add(&mut self, piece: &Piece<'_>, out: &mut Vec<Packet>) {
        let is_wanted = piece.offset == 0 && self.is_wanted(piece);
        let Some(entry) = self.entries.get_mut(&piece.key) else {
            return;
        };
        let State::Open(open) = &mut entry.state else {
            return;
        };
        let (fragments, datagrams) = (&mut self.counters.fragments, &mut self.counters.datagrams);
        let before = open.assembly.held_bytes();
        let put = open.assembly.put(piece);
        self.held_bytes += open.assembly.held_bytes() - before;
        let next = match put {
            // What comes that late is no fragment of it that was forged or damaged: the identification is used again. Ends of tunnels
            // come round to it within half a second.
            Err(Refusal::Overlap) if piece.time - open.latest > COPY_US => {
                self.give_up(&piece.key, out);
                self.begin(piece);
                return self.add(piece, out);
            }
            Err(refusal) => {
                fragments.refused += 1;
                *match refusal {
                    Refusal::Overlap => &mut datagrams.overlap,
                    Refusal::Oversize => &mut datagrams.oversize,
                    Refusal::TooManyFragments => &mut datagrams.too_many_fragments,
                } += 1;
                State::Refused(piece.time)
            }
            Ok(_) if piece.offset == 0 && open.protocol.is_none() && !is_wanted => {
                fragments.other_ports += 1;
                datagrams.other_ports += 1;
                State::OtherPorts
            }
            Ok(is_new) => {
                open.latest = open.latest.max(piece.time);
                *(if is_new {
                    &mut fragments.taken
                } else {
                    &mut fragments.copy
                }) += 1;
                if is_wanted {
                    open.protocol.get_or_insert(piece.protocol);
                }
                let (Some(protocol), Some(len)) = (open.protocol, open.assembly.whole()) else {
                    return;
                };
                datagrams.reassembled += 1;
                out.push(Packet::new(
                    open.time,
                    &piece.key,
                    open.depth,
                    protocol,
                    len,
                    |bytes| {
                        open.assembly.copy_beginning(bytes);
                    },
                ));
                State::Done(piece.time)
            }
        };
        self.held_bytes -= open.assembly.held_bytes();
        entry.state = next;
    }

    /// Takes out the datagram of `key`, in whose place another one begins.
    fn give_up(&mut self, key: &Key, out: &mut Vec<Packet>) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.order.remove(&entry.place);
        self.held_bytes -= ENTRY_BYTES;
        if let State::Open(open) = entry.state {
            self.held_bytes -= open.assembly.held_bytes();
            self.expire(&(*key, open), out);
        }
    }

    /// Counts a datagram whose other fragments will not come, and adds what is left of it to `out`.
    fn expire(&mut self, open: &(Key, Open), out: &mut Vec<Packet>) {
        self.counters.datagrams.expired += 1;
        // Fragments without their first one are mostly not SIP's: captures are filtered by port, and let
        // every other fragment through, whosever it is.
        if !self.salvage(open, out) && open.1.protocol.is_some() {
            self.missed.push(open.1.time);
        }
    }

    /// Whether a first fragment shows something that is wanted.
    fn is_wanted(&self, piece: &Piece<'_>) -> bool {
        let packet = Packet::new(
            piece.time,
            &piece.key,
            piece.depth,
            piece.protocol,
            piece.len,
            |bytes| {
                bytes.extend_from_slice(piece.bytes);
            },
        );
        self.wanted.wants(&packet.frame(), packet.around)
    }

    /// Drops the oldest until memory suffices.
    fn make_room(&mut self, out: &mut Vec<Packet>) {
        while self.held_bytes > self.limits.bytes_max && !self.order.is_empty() {
            if let Some(open) = self.remove_oldest() {
                self.counters.datagrams.evicted += 1;
                if !self.salvage(&open, out) {
                    self.missed.push(open.1.time);
                }
            }
        }
    }

    /// Hands on the beginning of a datagram, if it is there and wanted.
    fn salvage(&mut self, (key, open): &(Key, Open), out: &mut Vec<Packet>) -> bool {
        let Some(protocol) = open.protocol.filter(|_| self.limits.salvage) else {
            return false;
        };
        self.counters.datagrams.salvaged += 1;
        out.push(Packet::new(
            open.time,
            key,
            open.depth,
            protocol,
            open.assembly.len_min(),
            |bytes| {
                open.assembly.copy_beginning(bytes);
            },
        ));
        true
    }

    /// Takes out the oldest; it itself if it was not dealt with yet.
    fn remove_oldest(&mut self) -> Option<(Key, Open)> {
        let (_, key) = self.order.pop_first()?;
        let entry = self.entries.remove(&key)?;
        self.held_bytes -= ENTRY_BYTES;
        let State::Open(open) = entry.state else {
            return None;
        };
        self.held_bytes -= open.assembly.held_bytes();
        Some((key, open))
    }
}

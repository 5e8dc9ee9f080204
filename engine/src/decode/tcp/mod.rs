//! SIP messages out of TCP segments (semantics.md §5 "TCP").
//!
//! Each direction of a connection is a stream of its own: often only one is mirrored. Owns the streams, in a bounded memory:
//! `stream` follows one of them, `ahead` holds what came too early, `tail` what is not finished. Where a message begins and ends is
//! [`ringtap_sip::framing`]'s to say. It reads no clock: whoever feeds it says what time it is.
//!
//! Segments that come in order and hold whole messages are read in place: nothing is copied, nothing allocated. The crates that put
//! streams together for passive capture (flowscope, stackforge-core among them) copy every segment into buffers of their own and do not know of segments that
//! the capture cut, whose holes have a length but never fill; so this one is made here.

mod ahead;
mod counters;
mod segment;
mod stream;
mod tail;
#[cfg(test)]
mod tests;

pub use counters::{MessageCounters, SegmentCounters, StreamCounters, TcpCounters};
pub use segment::{Flow, Segment};

use std::collections::BTreeMap;

use hashlink::LinkedHashMap;
use ringtap_record::Time;

use super::Payload;
use stream::{Desk, Stream, Wait};
use tail::Spare;

/// How long a hole may stay. A sender repeats what was lost on its way after 0.2 to 1 s (RFC 6298); what the mirror alone has lost never comes.
const HOLE_MS: i64 = 1_000;
/// How long a stream is remembered that says nothing. Trunks keep alive every two minutes or so (RFC 5626 §4.4.1), and some not at all;
/// one that was forgotten costs a search for its next message, no more.
const IDLE_MS: i64 = 3_600_000;
/// What a stream costs beside its octets: in the table, which may just have grown, and among those that wait.
const ENTRY_BYTES: usize = 2 * size_of::<(Flow, Stream)>() + 2 * size_of::<(Wait, Flow)>() + 64;

const _: () = assert!(ENTRY_BYTES < 1024, "docs/limits.md says so");

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for all streams together; one segment more than fits is there for a moment.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// As in a configuration that says nothing of it.
    fn default() -> Self {
        Self {
            bytes_max: 48 * 1024 * 1024,
        }
    }
}

/// All streams.
#[derive(Debug)]
pub struct Streams {
    limits: Limits,
    /// The one least recently heard of first.
    streams: LinkedHashMap<Flow, Stream>,
    /// Those with a hole, by since when.
    waiting: BTreeMap<Wait, Flow>,
    waits: u64,
    /// The last time it was told.
    now: Option<Time>,
    /// Memory for octets.
    held_bytes: usize,
    spare: Spare,
    missed: Vec<Time>,
    counters: TcpCounters,
}

impl Streams {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            streams: LinkedHashMap::new(),
            waiting: BTreeMap::new(),
            waits: 0,
            now: None,
            held_bytes: 0,
            spare: Spare::default(),
            missed: Vec::new(),
            counters: TcpCounters::default(),
        }
    }

    /// These, none of which has begun, as `shards` parts that share the memory allowed.
    #[must_use]
    pub fn into_shards(self, shards: usize) -> Vec<Self> {
        let bytes_max = self.limits.bytes_max / shards.max(1);
        (0..shards).map(|_| Self::new(Limits { bytes_max })).collect()
    }

    /// Takes a segment. Each message that became whole by it is given to `sink`.
    pub fn put(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(&Payload<'_>)) {
        let used = self.now.unwrap_or(segment.time);
        let put = |stream: &mut Stream, desk: &mut Desk<'_, _>| {
            stream.used = used;
            stream.put(segment, desk);
        };
        if !self.on(segment.flow, sink, put) {
            // Acknowledgements and ends of what was not seen tell nothing.
            if segment.len == 0 && !segment.is_syn() {
                self.counters.segments.empty += 1;
                return;
            }
            let stream = Stream::begin(segment.first(), segment.is_syn(), used, &mut self.counters);
            self.streams.insert(segment.flow, stream);
            self.on(segment.flow, sink, put);
        }
        self.make_room(sink);
    }

    /// Time goes on: gives up what has been missing for too long. `now` is capture time and never goes back, except
    /// after [`clear`](Self::clear).
    pub fn advance(&mut self, now: Time, sink: &mut impl FnMut(&Payload<'_>)) {
        if self.now.replace(now).is_none() {
            self.begin_time(now);
        }
        while let Some((wait, flow)) = self.waiting.first_key_value()
            && wait.0.plus_ms(HOLE_MS) < now
        {
            let (wait, flow) = (*wait, *flow);
            if !self.on(flow, sink, |stream, desk| stream.give_up_hole(desk)) {
                self.waiting.remove(&wait);
            }
        }
        while let Some((_, stream)) = self.streams.front()
            && stream.used.plus_ms(IDLE_MS) < now
        {
            self.counters.streams.forgotten += 1;
            self.remove_oldest(sink);
        }
    }

    /// The end, or a gap: gives up everything and forgets the time.
    pub fn clear(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        let before = self.missed.len();
        while !self.streams.is_empty() {
            self.remove_oldest(sink);
        }
        // That the end leaves something unfinished is a gap of its own.
        self.missed.truncate(before);
        self.now = None;
    }

    /// When something was given up since this was asked last that may have told something of a call (semantics.md D37). Not of
    /// what the end of the capture leaves incomplete, which is a gap of its own. Never more than there were segments.
    pub fn take_missed(&mut self) -> Vec<Time> {
        std::mem::take(&mut self.missed)
    }

    /// What became of the segments.
    #[must_use]
    pub const fn counters(&self) -> &TcpCounters {
        &self.counters
    }

    /// Memory that is taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.streams.len() * ENTRY_BYTES + self.held_bytes + self.spare.held_bytes()
    }

    /// Stamps are not the clock, whose first time this is.
    fn begin_time(&mut self, now: Time) {
        for stream in self.streams.values_mut() {
            stream.used = now;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for ((_, number), flow) in waiting {
            let wait = (now, number);
            if let Some((place, _)) = self
                .streams
                .get_mut(&flow)
                .and_then(|stream| stream.waits.as_mut())
            {
                *place = wait;
                self.waiting.insert(wait, flow);
            }
        }
    }

    /// Does something with a stream, which counts as hearing of it, and keeps account of what that changed; false if there is no
    /// such stream.
    fn on<S: FnMut(&Payload<'_>)>(
        &mut self,
        flow: Flow,
        sink: &mut S,
        work: impl FnOnce(&mut Stream, &mut Desk<'_, S>),
    ) -> bool {
        let Some(stream) = self.streams.to_back(&flow) else {
            return false;
        };
        let before = stream.held_bytes();
        work(
            stream,
            &mut Desk {
                flow,
                counters: &mut self.counters,
                spare: &mut self.spare,
                missed: &mut self.missed,
                sink,
            },
        );
        self.held_bytes = self.held_bytes + stream.held_bytes() - before;
        let hole = stream.hole();
        if stream.waits.map(|(_, at)| at) == hole {
            return true;
        }
        if let Some((wait, _)) = stream.waits.take() {
            self.waiting.remove(&wait);
        }
        if let Some(at) = hole {
            self.waits += 1;
            let wait = (self.now.unwrap_or(stream.used), self.waits);
            stream.waits = Some((wait, at));
            self.waiting.insert(wait, flow);
        }
        true
    }

    /// Drops what was least recently used until memory suffices.
    fn make_room(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        if self.held_bytes() > self.limits.bytes_max {
            self.spare.clear();
        }
        while self.held_bytes() > self.limits.bytes_max && !self.streams.is_empty() {
            self.counters.streams.evicted += 1;
            self.remove_oldest(sink);
            self.spare.clear();
        }
    }

    /// Takes out the stream least recently heard of, and hands on what is there.
    fn remove_oldest(&mut self, sink: &mut impl FnMut(&Payload<'_>)) {
        let Some(flow) = self.streams.front().map(|(flow, _)| *flow) else {
            return;
        };
        self.on(flow, sink, Stream::end);
        if let Some(stream) = self.streams.remove(&flow) {
            self.held_bytes -= stream.held_bytes();
            if let Some((wait, _)) = stream.waits {
                self.waiting.remove(&wait);
            }
        }
    }
}

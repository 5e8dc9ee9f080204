//! Messages that were read before what makes their leg.

use std::net::IpAddr;

use ringtap_record::Time;

use super::Observation;
use crate::hash::LegKey;

/// Messages kept of either kind for each worker.
const MESSAGES_MAX: usize = 1 << 13;
/// And their octets.
const OCTETS_MAX: usize = 4 << 20;
/// Room that is not given back after a flood.
const OCTETS_KEPT: usize = 1 << 20;

/// Messages that found no leg, or one of another attempt: another worker may be about to bring the INVITE. They wait until every worker has joined the
/// messages of the epoch; then whoever gathers them hands them to [`LegTable::join_early`](super::LegTable::join_early), before the first shard is
/// expired. Their text is copied, for their frames are not kept for so long. Bounded, whatever the traffic.
#[derive(Debug, Default)]
pub struct Early {
    /// Those that make their leg if there is none.
    makers: Store,
    /// The others: nearly all are of dialogs that the table has forgotten. They have room of their own, so as to take none from the makers.
    others: Store,
    /// Those for which there was no room.
    left_out: u64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    time: Time,
    source: IpAddr,
    destination: IpAddr,
    /// Under which its leg stands if its sender made it.
    pub(super) key: LegKey,
    /// And if the other side did; the same if the message names no other.
    pub(super) turned: LegKey,
    pub(super) makes_leg: bool,
    is_request: bool,
    from: usize,
    until: usize,
}

#[derive(Debug, Default)]
struct Store {
    messages: Vec<Kept>,
    text: Vec<u8>,
}

impl Early {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are, those that were left out with them.
    #[must_use]
    pub const fn len(&self) -> u64 {
        (self.makers.messages.len() + self.others.messages.len()) as u64 + self.left_out
    }

    /// Whether all of `other` can be kept too.
    #[must_use]
    pub const fn has_room_for(&self, other: &Self) -> bool {
        self.makers.has_room_for(&other.makers) && self.others.has_room_for(&other.others)
    }

    /// Takes those of another worker over.
    pub fn append(&mut self, other: &mut Self) {
        self.append_one_of(other, 1);
    }

    /// The same for whoever gathers those of so many workers: none of them can take the others' room.
    pub fn append_one_of(&mut self, other: &mut Self, workers: usize) {
        self.left_out += std::mem::take(&mut other.left_out);
        self.left_out += self.makers.append(&mut other.makers, workers);
        self.left_out += self.others.append(&mut other.others, workers);
    }

    pub(super) fn push(&mut self, seen: &Observation<'_>, key: LegKey, turned: LegKey) {
        let kept = Kept {
            time: seen.time,
            source: seen.source,
            destination: seen.destination,
            key,
            turned,
            makes_leg: seen.makes_leg(),
            is_request: seen.message.is_request(),
            from: 0,
            until: 0,
        };
        let store = if kept.makes_leg {
            &mut self.makers
        } else {
            &mut self.others
        };
        self.left_out += u64::from(!store.keep(kept, seen.message.text(), 1));
    }

    /// All of them, with their room, if there are any.
    #[must_use]
    pub fn take(&mut self) -> Self {
        if self.is_empty() {
            Self::default()
        } else {
            std::mem::take(self)
        }
    }

    /// How many there was no room for; they count no more then.
    pub const fn take_left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.left_out, 0)
    }

    /// Calls for all that were seen before `before`, and keeps the others: first those that make legs, so that the rest finds them, whichever was seen
    /// first. Of each kind in the order of time, and what was seen at once by what it says: what is made of a dialog that began before the capture
    /// depends on it, and not on who read what.
    pub(super) fn drain(&mut self, before: Time, mut call: impl FnMut(&Kept, &[u8])) {
        for store in [&mut self.makers, &mut self.others] {
            store.drain(before, &mut call);
        }
    }
}

impl Store {
    const fn has_room_for(&self, other: &Self) -> bool {
        self.messages.len() + other.messages.len() <= MESSAGES_MAX
            && self.text.len() + other.text.len() <= OCTETS_MAX
    }

    /// How many were left out.
    fn append(&mut self, other: &mut Self, workers: usize) -> u64 {
        if self.messages.is_empty() {
            std::mem::swap(self, other);
            return 0;
        }
        let messages = other.messages.iter();
        let left_out = messages.filter(|kept| !self.keep(**kept, other.text_of(kept), workers));
        let left_out = left_out.count() as u64;
        other.clear();
        left_out
    }

    /// Whether there was room.
    fn keep(&mut self, mut kept: Kept, text: &[u8], workers: usize) -> bool {
        if self.messages.len() >= MESSAGES_MAX * workers
            || self.text.len() + text.len() > OCTETS_MAX * workers
        {
            return false;
        }
        kept.from = self.text.len();
        self.text.extend_from_slice(text);
        kept.until = self.text.len();
        self.messages.push(kept);
        true
    }

    fn text_of(&self, kept: &Kept) -> &[u8] {
        self.text.get(kept.from..kept.until).unwrap_or_default()
    }

    fn drain(&mut self, before: Time, call: &mut impl FnMut(&Kept, &[u8])) {
        let Self { messages, text } = self;
        let text_of = |kept: &Kept| text.get(kept.from..kept.until);
        // Answers before requests: a dialog is named by who began it, and an answer to that is likelier than a request of the other side.
        messages.sort_by(|a, b| {
            let rank = |kept: &Kept| (kept.time, kept.is_request);
            rank(a).cmp(&rank(b)).then_with(|| text_of(a).cmp(&text_of(b)))
        });
        let ripe = messages.partition_point(|kept| kept.time < before);
        for kept in messages.iter().take(ripe) {
            call(kept, text_of(kept).unwrap_or_default());
        }
        if ripe == messages.len() {
            return self.clear();
        }
        let mut rest = Self::default();
        for kept in self.messages.iter().skip(ripe) {
            rest.keep(*kept, self.text_of(kept), usize::MAX / OCTETS_MAX);
        }
        *self = rest;
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.text.clear();
        if self.text.capacity() > OCTETS_KEPT {
            *self = Self::default();
        }
    }
}

impl Kept {
    /// The message again. It could be read before.
    pub(super) fn read<'a>(&self, text: &'a [u8]) -> Option<Observation<'a>> {
        Some(Observation {
            time: self.time,
            source: self.source,
            destination: self.destination,
            message: ringtap_sip::parse(text).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(text: &str, at: i64) -> Observation<'_> {
        let anywhere = IpAddr::from([192, 0, 2, 1]);
        Observation {
            time: Time::from_micros(at),
            source: anywhere,
            destination: anywhere,
            message: ringtap_sip::parse(text.as_bytes()).expect(text),
        }
    }

    /// One that makes no leg, and one that does, with so many octets more.
    fn message(makes_leg: bool, octets: usize) -> String {
        let (start, method) = if makes_leg {
            ("SIP/2.0 180 Ringing", "INVITE")
        } else {
            ("BYE sip:h SIP/2.0", "BYE")
        };
        let mut text = format!(
            "{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=a\r\n\
             To: <sip:b@h>;tag=b\r\nCall-ID: c\r\nCSeq: 2 {method}\r\n\r\n"
        );
        text.extend(std::iter::repeat_n('x', octets));
        text
    }

    fn drained(early: &mut Early, before: i64) -> Vec<(bool, i64, usize)> {
        let mut all = Vec::new();
        early.drain(Time::from_micros(before), |kept, text| {
            let seen = kept.read(text).unwrap();
            let body = seen.message.body().len();
            all.push((kept.makes_leg, kept.time.as_micros(), body));
        });
        all
    }

    /// Catches memory without bounds, by number or by octets, what there is no room for going uncounted, and messages of dialogs that nobody
    /// knows taking the room of those that make legs.
    #[test]
    fn it_is_bounded() {
        for (octets, most) in [(1, MESSAGES_MAX), (60_000, OCTETS_MAX / 60_000)] {
            let (idle, maker) = (message(false, octets), message(true, octets));
            let mut early = Early::default();
            for key in 0..20_000 {
                early.push(&observation(&idle, 7), key, 0);
            }
            assert_eq!(early.len(), 20_000);
            assert!((most - 2..=most).contains(&early.others.messages.len()));
            let mut other = Early::default();
            other.push(&observation(&maker, 7), 1, 0);
            assert!(early.has_room_for(&other));
            other.push(&observation(&idle, 7), 1, 0);
            assert!(!early.has_room_for(&other));
            early.append(&mut other);
            assert_eq!((early.len(), other.len()), (20_002, 0));
            assert_eq!(early.makers.messages.len(), 1);
            let kept = drained(&mut early, 8).len() as u64;
            assert_eq!(kept + early.take_left_out(), 20_002);
            assert!(early.is_empty() && early.others.text.capacity() <= OCTETS_KEPT);
        }
    }

    /// Catches one worker's flood that takes the room of the others' messages.
    #[test]
    fn each_worker_has_room() {
        let (text, mut sum) = (message(false, 1), Early::default());
        for worker in 0..3 {
            let mut early = Early::default();
            let flood = if worker == 0 { 20_000 } else { 100 };
            for key in 0..flood {
                early.push(&observation(&text, 7), key, 0);
            }
            sum.append_one_of(&mut early, 3);
        }
        assert_eq!(sum.others.messages.len(), MESSAGES_MAX + 200);
    }

    /// Catches messages that are told apart no more, are lost, come in another order than that of kind and time, or too soon.
    #[test]
    fn several_come_together() {
        let texts: Vec<String> = (0..6).map(|n| message(n % 2 == 0, n)).collect();
        let times = [30, 20, 10, 10, 40, 50];
        let mut sum = Early::default();
        for (at, (text, time)) in texts.iter().zip(times).enumerate() {
            let mut early = Early::default();
            early.push(&observation(text, time), at as u128, 9);
            sum.append(&mut early);
            assert!(early.is_empty());
        }
        assert_eq!(
            drained(&mut sum, 40),
            [(true, 10, 2), (true, 30, 0), (false, 10, 3), (false, 20, 1)]
        );
        assert_eq!(drained(&mut sum, 41), [(true, 40, 4)]);
        assert_eq!(sum.len(), 1);
        assert_eq!(drained(&mut sum, 51), [(false, 50, 5)]);
        assert!(sum.is_empty());
    }

    /// Catches an order of what was seen at once that depends on who brought what first.
    #[test]
    fn what_was_seen_at_once_has_an_order() {
        let texts: Vec<String> = (0..5).map(|n| message(true, n)).collect();
        let order = |places: [usize; 5]| {
            let mut early = Early::default();
            for at in places {
                early.push(&observation(&texts[at], 7), at as u128, 9);
            }
            drained(&mut early, 8)
        };
        assert_eq!(order([0, 1, 2, 3, 4]), order([3, 1, 4, 0, 2]));
    }
}

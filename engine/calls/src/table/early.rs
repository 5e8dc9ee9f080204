//! Messages that were read before what makes their leg.

use std::net::IpAddr;

use ringtap_record::Time;

use super::Observation;
use crate::hash::LegKey;

/// Messages kept until the end of the epoch. Nearly all are of dialogs that the table has forgotten.
const MESSAGES_MAX: usize = 1 << 14;
/// And their octets.
const OCTETS_MAX: usize = 8 << 20;

/// Messages that found no leg, or one that is over: another worker may be about to bring the INVITE. They wait until every worker has joined the
/// messages of the epoch; then whoever gathers them hands them to [`LegTable::join_early`](super::LegTable::join_early), before the first shard is
/// expired. Their text is copied, for their frames are not kept for so long. Bounded, whatever the traffic.
#[derive(Debug, Default)]
pub struct Early {
    messages: Vec<Kept>,
    text: Vec<u8>,
    /// Those for which there was no room.
    left_out: u64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) time: Time,
    source: IpAddr,
    destination: IpAddr,
    /// Under which its leg stands if its sender made it.
    pub(super) key: LegKey,
    /// And if the other side did; the same if the message names no other.
    pub(super) turned: LegKey,
    pub(super) makes_leg: bool,
    from: usize,
    until: usize,
}

impl Early {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.left_out == 0
    }

    /// How many there are, those that were left out with them.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.messages.len() as u64 + self.left_out
    }

    /// Whether all of `other` can be kept too.
    #[must_use]
    pub const fn has_room_for(&self, other: &Self) -> bool {
        self.messages.len() + other.messages.len() <= MESSAGES_MAX
            && self.text.len() + other.text.len() <= OCTETS_MAX
    }

    /// Takes those of another worker over, who keeps the room that they had, but if there is none here.
    pub fn append(&mut self, other: &mut Self) {
        if self.messages.capacity() == 0 {
            std::mem::swap(self, other);
            return;
        }
        self.left_out += other.left_out;
        for kept in &other.messages {
            self.keep(*kept, other.text_of(kept));
        }
        other.clear();
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

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.text.clear();
        self.left_out = 0;
    }

    pub(super) fn push(&mut self, seen: &Observation<'_>, key: LegKey, turned: LegKey) {
        let kept = Kept {
            time: seen.time,
            source: seen.source,
            destination: seen.destination,
            key,
            turned,
            makes_leg: seen.makes_leg(),
            from: 0,
            until: 0,
        };
        self.keep(kept, seen.message.text());
    }

    fn keep(&mut self, mut kept: Kept, text: &[u8]) {
        if self.messages.len() >= MESSAGES_MAX || self.text.len() + text.len() > OCTETS_MAX {
            self.left_out += 1;
            return;
        }
        kept.from = self.text.len();
        self.text.extend_from_slice(text);
        kept.until = self.text.len();
        self.messages.push(kept);
    }

    /// In the order in which they were seen: what is made of a dialog that began before the capture depends on it, and not on who read them.
    pub(super) fn sort(&mut self) {
        self.messages.sort_by_key(|kept| (kept.time, kept.key));
    }

    pub(super) fn messages(&self) -> &[Kept] {
        &self.messages
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    fn text_of(&self, kept: &Kept) -> &[u8] {
        self.text.get(kept.from..kept.until).unwrap_or_default()
    }

    /// The message again. It could be read before.
    pub(super) fn read(&self, kept: &Kept) -> Option<Observation<'_>> {
        Some(Observation {
            time: kept.time,
            source: kept.source,
            destination: kept.destination,
            message: ringtap_sip::parse(self.text_of(kept)).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(text: &str) -> Observation<'_> {
        let anywhere = IpAddr::from([192, 0, 2, 1]);
        Observation {
            time: Time::from_micros(7),
            source: anywhere,
            destination: anywhere,
            message: ringtap_sip::parse(text.as_bytes()).expect(text),
        }
    }

    fn bye(octets: usize) -> String {
        let mut text = "BYE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=a\r\n\
                        To: <sip:b@h>;tag=b\r\nCall-ID: c\r\nCSeq: 2 BYE\r\n\r\n"
            .to_owned();
        text.extend(std::iter::repeat_n('x', octets));
        text
    }

    /// Catches memory without bounds, by number or by octets, and what there is no room for going uncounted.
    #[test]
    fn it_is_bounded() {
        for (octets, most) in [(1, MESSAGES_MAX), (60_000, OCTETS_MAX / 60_000)] {
            let text = bye(octets);
            let (seen, mut early) = (observation(&text), Early::default());
            for key in 0..20_000 {
                early.push(&seen, key, 0);
            }
            assert!(early.messages.len() <= most && early.text.len() <= OCTETS_MAX);
            assert!(
                early.messages.len() > most - 2,
                "{octets}: {}",
                early.messages.len()
            );
            assert_eq!(early.len(), 20_000);
            let mut other = Early::default();
            other.push(&seen, 1, 0);
            assert!(!early.has_room_for(&other));
            early.append(&mut other);
            assert_eq!((early.len(), other.len()), (20_001, 0));
        }
    }

    /// Catches messages that are told apart no more, or are lost, when several workers' come together.
    #[test]
    fn several_come_together() {
        let texts: Vec<String> = (0..6).map(bye).collect();
        let mut sum = Early::default();
        for (pair, key) in texts.chunks(2).zip(0..) {
            let mut early = Early::default();
            for text in pair {
                early.push(&observation(text), key, 9);
            }
            sum.append(&mut early);
            assert!(early.is_empty());
        }
        sum.sort();
        let read: Vec<_> = sum
            .messages()
            .iter()
            .map(|kept| sum.read(kept).unwrap())
            .collect();
        assert!(
            read.iter()
                .zip(&texts)
                .all(|(seen, text)| seen.message.text() == text.as_bytes())
        );
        assert_eq!(read.len(), texts.len());
    }
}

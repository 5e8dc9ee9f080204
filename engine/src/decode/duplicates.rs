//! Copies of a datagram that a mirror shows twice, found before anything is parsed (semantics.md §5, "Duplicates" (a) and (b)).
//!
//! A copy has the same addresses, ports, IP identification and content, and comes within a few milliseconds; TTL, MAC addresses, tags,
//! tunnels and the UDP checksum, which offload leaves open, may differ. Nobody sends a message again so soon, nor under
//! the same identification: what is dropped here has told nothing new. What is not noticed does no harm, for facts are joined
//! (`ringtap-calls`), so this may forget. Fragments and streams see to copies of their own.
//!
//! Traffic without copies pays for one look at a small table. Only when a datagram looks like a copy by its headers, the contents of
//! those that follow are kept, for a while, and compared to the octet: the first copies slip through.

use std::net::SocketAddr;

use super::Payload;

/// Datagrams whose headers are remembered. Some 1000 come within the usual time at 200,000 a second.
const SLOTS: usize = 2048;
/// Octets of contents that are kept: as many datagrams of usual length.
const KEPT_BYTES: usize = 1 << 20;
/// Datagrams of which the contents are kept after one that looked like a copy.
const ALERT_DATAGRAMS: u32 = 65_536;
/// What is compared of the headers.
const HEAD_BYTES: usize = 16;

const _: () = assert!(SLOTS.is_power_of_two());

/// The datagrams that one worker saw last. Of fixed size.
#[derive(Debug)]
pub struct Duplicates {
    time_us: u64,
    slots: Box<[Slot]>,
    kept: Kept,
    /// Datagrams whose contents are still to be kept.
    alert: u32,
}

/// A datagram by its headers.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    mark: u64,
    time_us: i64,
    /// Where its content is, if it was kept.
    kept_at: Option<u64>,
}

impl Duplicates {
    /// What remembers datagrams for `time_ms`; 0: nothing at all.
    #[must_use]
    pub fn new(time_ms: u32) -> Self {
        let is_on = time_ms > 0;
        Self {
            time_us: u64::from(time_ms) * 1000,
            slots: vec![Slot::default(); if is_on { SLOTS } else { 0 }].into(),
            kept: Kept {
                octets: vec![0; if is_on { KEPT_BYTES } else { 0 }].into(),
                written: 0,
            },
            alert: 0,
        }
    }

    /// Whether anything is remembered.
    pub(crate) fn is_on(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether a datagram with this IP identification, which is not 0, is a copy of one that came a moment before or
    /// after it by its stamp. If it is none, it is remembered.
    #[inline]
    pub fn is_copy(&mut self, id: u16, payload: &Payload<'_>) -> bool {
        // What was cut cannot be compared.
        let (false, Some(head)) = (payload.truncated, head(id, payload)) else {
            return false;
        };
        let mark = mark(head);
        let Some(slot) = usize::try_from(mark % SLOTS as u64)
            .ok()
            .and_then(|place| self.slots.get_mut(place))
        else {
            return false;
        };
        let time_us = payload.time.as_micros();
        if slot.mark == mark && slot.time_us.abs_diff(time_us) <= self.time_us {
            if slot
                .kept_at
                .is_some_and(|at| self.kept.holds(at, head, payload.octets))
            {
                return true;
            }
            self.alert = ALERT_DATAGRAMS;
        }
        let kept_at = self.alert.checked_sub(1).and_then(|left| {
            self.alert = left;
            self.kept.keep(head, payload.octets)
        });
        *slot = Slot {
            mark,
            time_us,
            kept_at,
        };
        false
    }
}

/// Identification, addresses, ports and length, in one number. IPv6 has no identification.
#[inline]
fn head(id: u16, payload: &Payload<'_>) -> Option<u128> {
    let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (payload.source, payload.destination) else {
        return None;
    };
    let addresses = u64::from(source.ip().to_bits()) << 32 | u64::from(destination.ip().to_bits());
    let len = u16::try_from(payload.octets.len()).ok()?;
    let others = [id, source.port(), destination.port(), len];
    let others = others
        .into_iter()
        .fold(0, |all, field| all << 16 | u64::from(field));
    Some(u128::from(addresses) << 64 | u128::from(others))
}

/// Spreads heads over the slots, and tells most of them apart. Whoever aims at one slot only has its own copies overlooked.
#[inline]
fn mark(head: u128) -> u64 {
    const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let high = (head.wrapping_mul(FACTOR) >> 64) as u64;
    high ^ high >> 32
}

/// The contents of the last datagrams, in a ring.
#[derive(Debug)]
struct Kept {
    octets: Box<[u8]>,
    /// Octets that were written in all.
    written: u64,
}

impl Kept {
    /// Where it is now. The oldest are overwritten.
    fn keep(&mut self, head: u128, content: &[u8]) -> Option<u64> {
        let len = HEAD_BYTES + content.len();
        let mut at = place(self.written)?;
        if at + len > KEPT_BYTES {
            // None lies across the end.
            self.written += (KEPT_BYTES - at) as u64;
            at = 0;
        }
        let (into_head, into_content) = self.octets.get_mut(at..at + len)?.split_at_mut(HEAD_BYTES);
        into_head.copy_from_slice(&head.to_le_bytes());
        into_content.copy_from_slice(content);
        let begin = self.written;
        self.written += len as u64;
        Some(begin)
    }

    /// Whether the same is still there.
    fn holds(&self, at: u64, head: u128, content: &[u8]) -> bool {
        let is_there = at + KEPT_BYTES as u64 >= self.written;
        let kept = place(at).and_then(|at| self.octets.get(at..at + HEAD_BYTES + content.len()));
        is_there
            && kept
                .and_then(|kept| kept.split_at_checked(HEAD_BYTES))
                .is_some_and(|(kept_head, kept_content)| {
                    kept_head == head.to_le_bytes() && kept_content == content
                })
    }
}

/// Where in the ring that is.
fn place(written: u64) -> Option<usize> {
    usize::try_from(written % KEPT_BYTES as u64).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use ringtap_record::Time;

    use super::*;

    /// A datagram: time in microseconds, identification, last octet of its source, ports, content.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Sent {
        time_us: i64,
        id: u16,
        source: u8,
        port: u16,
        content: Vec<u8>,
    }

    impl Sent {
        fn payload(&self) -> Payload<'_> {
            Payload {
                time: Time::from_micros(self.time_us),
                source: SocketAddr::from(([10, 0, 0, self.source], self.port)),
                destination: SocketAddr::from(([10, 0, 0, 1], 5060)),
                octets: &self.content,
                truncated: false,
            }
        }

        fn is_copy(&self, duplicates: &mut Duplicates) -> bool {
            duplicates.is_copy(self.id, &self.payload())
        }

        /// All but the time.
        fn without_time(&self) -> Self {
            Self {
                time_us: 0,
                ..self.clone()
            }
        }
    }

    fn sent(id: u16, time_us: i64) -> Sent {
        Sent {
            time_us,
            id,
            source: 7,
            port: 5060,
            content: b"OPTIONS sip:a SIP/2.0\r\n\r\n".to_vec(),
        }
    }

    /// One that keeps contents already.
    fn alert(time_ms: u32) -> Duplicates {
        let mut duplicates = Duplicates::new(time_ms);
        duplicates.alert = ALERT_DATAGRAMS;
        duplicates
    }

    /// Catches a copy that is kept once copies come, one that is dropped before its original could be compared, and one that is
    /// dropped although it came too late, in whatever direction time runs.
    #[test]
    fn copies_within_the_time() {
        let mut duplicates = Duplicates::new(5);
        let copies = |duplicates: &mut Duplicates, id, times: &[i64]| -> Vec<bool> {
            times
                .iter()
                .map(|time_us| sent(id, *time_us).is_copy(duplicates))
                .collect()
        };
        // The second is the first that looks like a copy: nobody kept the content of the first.
        assert_eq!(copies(&mut duplicates, 1, &[0, 10, 20]), [false, false, true]);
        assert_eq!(copies(&mut duplicates, 2, &[100, 110]), [false, true]);
        assert_eq!(
            copies(&mut duplicates, 3, &[10_000, 15_000, 15_001]),
            [false, true, false]
        );
        assert_eq!(
            copies(&mut duplicates, 4, &[30_000, 25_000, 24_999]),
            [false, true, false]
        );
        assert_eq!(
            copies(&mut alert(100), 5, &[0, 100_000, 100_001]),
            [false, true, false]
        );
    }

    /// Catches copies that are dropped though that is switched off.
    #[test]
    fn switched_off() {
        let mut duplicates = alert(0);
        assert!((0..10).all(|_| !sent(1, 0).is_copy(&mut duplicates)));
    }

    /// Catches a datagram whose end was cut being taken for a copy: nobody knows how it ended.
    #[test]
    fn what_was_cut_is_no_copy() {
        let mut duplicates = alert(5);
        let whole = sent(1, 0);
        let cut = Payload {
            truncated: true,
            ..whole.payload()
        };
        assert!(!whole.is_copy(&mut duplicates));
        assert!(!duplicates.is_copy(1, &cut));
        assert!(whole.is_copy(&mut duplicates));
    }

    /// Catches contents compared with what has been written over them.
    #[test]
    fn the_oldest_are_forgotten() {
        let mut duplicates = alert(100);
        let first = sent(1, 0);
        assert!(!first.is_copy(&mut duplicates));
        let large = |id| Sent {
            content: vec![b'x'; 60_000],
            ..sent(id, 0)
        };
        for id in 2..=40 {
            assert!(!large(id).is_copy(&mut duplicates));
        }
        assert!(large(40).is_copy(&mut duplicates) && large(30).is_copy(&mut duplicates));
        assert!(!first.is_copy(&mut duplicates));
        assert!(first.is_copy(&mut duplicates));
    }

    /// A datagram out of few, so that copies and near-copies are frequent.
    fn any_sent() -> impl Strategy<Value = Sent> {
        let content = prop::sample::select(vec![&b"OPTIONS"[..], b"OPTIONs", b"OPTIONS "]);
        (0..3_i64, 0..8_000_i64, 1..4_u16, 7..9_u8, 5060..5062_u16, content).prop_map(
            |(step, jitter_us, id, source, port, content)| Sent {
                time_us: step * 20_000 + jitter_us,
                id,
                source,
                port,
                content: content.to_vec(),
            },
        )
    }

    proptest! {
        /// Catches anything dropped but a copy, to the octet, of a datagram within the time that was not dropped itself.
        #[test]
        fn nothing_else_is_dropped(
            stream in prop::collection::vec(any_sent(), 1..200),
            is_alert in any::<bool>(),
        ) {
            let mut duplicates = if is_alert { alert(5) } else { Duplicates::new(5) };
            let mut passed: HashMap<Sent, Vec<i64>> = HashMap::new();
            for one in &stream {
                let before = passed.entry(one.without_time()).or_default();
                if one.is_copy(&mut duplicates) {
                    prop_assert!(before.iter().any(|time_us| time_us.abs_diff(one.time_us) <= 5_000), "{one:?}");
                } else {
                    before.push(one.time_us);
                }
            }
            // Some copies are overlooked where headers share a slot or time runs back; with one datagram none is.
            let only: Vec<_> = stream.iter().map(|one| Sent { time_us: one.time_us, ..sent(1, 0) }).collect();
            let mut duplicates = alert(100);
            let kept = only.iter().filter(|one| !one.is_copy(&mut duplicates)).count();
            prop_assert_eq!(kept, 1);
        }
    }
}

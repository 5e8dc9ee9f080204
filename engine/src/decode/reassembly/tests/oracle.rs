//! Random traffic against a reassembler that is slow and obvious: a map of octets for each datagram.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    BEGIN, Key, Limits, Packet, Piece, V4, V6, datagram, decoder, frame, key, put, read, reassembler, settle,
};
use crate::capture::Link;

/// What one datagram's fragments say, octet by octet.
#[derive(Default)]
struct Oracle {
    octets: BTreeMap<usize, u8>,
    /// Ends of fragments, and whether more follow behind each.
    ends: Vec<(usize, bool)>,
    spoilt: bool,
    done: bool,
}

impl Oracle {
    /// Takes a fragment; the datagram's octets, if that completes it.
    fn put(&mut self, piece: &Piece<'_>) -> Option<Vec<u8>> {
        if self.done || self.spoilt {
            return None;
        }
        self.ends.push((piece.end(), piece.more));
        for (at, octet) in (usize::from(piece.offset)..).zip(piece.bytes) {
            self.spoilt |= *self.octets.entry(at).or_insert(*octet) != *octet;
        }
        let lasts: Vec<usize> = self.ends.iter().filter(|end| !end.1).map(|end| end.0).collect();
        let total = *lasts.first()?;
        self.spoilt |= lasts.iter().any(|last| *last != total);
        self.spoilt |= self.ends.iter().any(|(end, more)| *more && *end >= total);
        if self.spoilt || (0..total).any(|at| !self.octets.contains_key(&at)) {
            return None;
        }
        self.done = true;
        Some(self.octets.values().copied().collect())
    }
}

/// What is done to the fragments of one datagram.
#[derive(Clone, Debug)]
struct Treatment {
    version: bool,
    payload_len: usize,
    /// Sizes of fragments, in units of 8 octets; taken in turn.
    sizes: Vec<usize>,
    /// A second fragmentation of the same octets.
    again: Option<Vec<usize>>,
    lost: Option<prop::sample::Index>,
    copied: Vec<prop::sample::Index>,
    /// A fragment of which one octet is changed and which is sent as well.
    damaged: Option<(prop::sample::Index, prop::sample::Index)>,
}

fn treatment() -> impl Strategy<Value = Treatment> {
    let sizes = || prop::collection::vec(1..40_usize, 1..6);
    (
        any::<bool>(),
        1..1_000_usize,
        sizes(),
        prop::option::weighted(0.2, sizes()),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
        prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    )
        .prop_map(
            |(version, payload_len, sizes, again, lost, copied, damaged)| Treatment {
                version,
                payload_len,
                sizes,
                again,
                lost,
                copied,
                damaged,
            },
        )
}

/// A fragment with octets of its own.
#[derive(Clone, Debug)]
struct Sent {
    key: Key,
    offset: u16,
    more: bool,
    bytes: Vec<u8>,
}

impl Sent {
    fn piece(&self) -> Piece<'_> {
        Piece {
            time: BEGIN,
            key: self.key,
            depth: 0,
            protocol: 17,
            offset: self.offset,
            more: self.more,
            len: self.bytes.len(),
            bytes: &self.bytes,
        }
    }
}

impl Treatment {
    fn fragments(&self, id: u32) -> Vec<Sent> {
        let key = key(if self.version { V6 } else { V4 }, id);
        let whole = datagram([5060, 5060], self.payload_len);
        let cut = |sizes: &[usize]| {
            let (mut at, mut sent) = (0, Vec::new());
            for size in sizes.iter().cycle() {
                let end = (at + size * 8).min(whole.len());
                sent.push(Sent {
                    key,
                    offset: u16::try_from(at).unwrap(),
                    more: end < whole.len(),
                    bytes: whole[at..end].to_vec(),
                });
                at = end;
                if at == whole.len() {
                    break;
                }
            }
            sent
        };
        let mut sent = cut(&self.sizes);
        if let Some(again) = &self.again {
            sent.extend(cut(again));
        }
        if let Some((which, octet)) = &self.damaged {
            let mut damaged = which.get(&sent).clone();
            let octet = octet.index(damaged.bytes.len());
            // The UDP header stays: ports are looked at by themselves.
            if usize::from(damaged.offset) + octet >= 8 {
                damaged.bytes[octet] ^= 0x20;
                sent.push(damaged);
            }
        }
        let copies: Vec<Sent> = self.copied.iter().map(|at| at.get(&sent).clone()).collect();
        if let Some(lost) = &self.lost {
            sent.remove(lost.index(sent.len()));
        }
        sent.extend(copies);
        sent
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Catches any datagram that is put together though it should not be, is not though it should be, or holds
    /// other octets than were sent: random fragmentations, orders, copies, losses and damage.
    #[test]
    fn agrees_with_the_oracle(
        (sent, treatments) in prop::collection::vec(treatment(), 1..4).prop_flat_map(|treatments| {
            let sent: Vec<Sent> = treatments.iter().zip(0..).flat_map(|(one, id)| one.fragments(id)).collect();
            (Just(sent).prop_shuffle(), Just(treatments))
        }),
    ) {
        let mut oracles: BTreeMap<u32, Oracle> = BTreeMap::new();
        let mut reassembler = reassembler(Limits { salvage: false, ..Limits::default() });
        for sent in &sent {
            let piece = sent.piece();
            let out = put(&mut reassembler, &[piece]);
            let wanted = oracles.entry(piece.key.id).or_default().put(&piece);
            let got = out.first().map(|packet: &Packet| read(packet).1);
            prop_assert_eq!(got, wanted.map(|octets| octets[8..].to_vec()));
        }
        let spoilt = oracles.values().filter(|oracle| oracle.spoilt).count() as u64;
        let done = oracles.values().filter(|oracle| oracle.done).count() as u64;
        let counters = *settle(reassembler, sent.len()).counters();
        prop_assert_eq!(counters.datagrams.overlap, spoilt);
        prop_assert_eq!(counters.datagrams.reassembled, done);
        prop_assert_eq!(counters.datagrams.begun, oracles.len() as u64);
        prop_assert!(oracles.len() <= treatments.len());
    }

    /// Catches a panic, memory beyond the limit, a counter that is missing and a packet that is not SIP's, whatever
    /// the fragments say: teardrop, tiny, empty, cut, beyond 64 KiB.
    #[test]
    fn anything_is_survived(
        fragments in prop::collection::vec(
            (0..3_u32, any::<bool>(), 0..=8191_u16, any::<bool>(), 0..3_usize, 0..200_usize, 0..200_usize), 0..200,
        ),
        near in any::<bool>(),
        steps in prop::collection::vec(0..200_usize, 0..4),
    ) {
        const BYTES_MAX: usize = 4_000;
        let content = datagram([5060, 5060], 300);
        let mut reassembler = reassembler(Limits { bytes_max: BYTES_MAX, salvage: true });
        let (mut out, mut now) = (Vec::new(), BEGIN);
        for (count, (id, v6, place, more, odd, len, there)) in fragments.iter().enumerate() {
            let place = if near { place % 32 } else { *place };
            let len = if *odd == 0 { *len } else { len & !7 };
            let piece = Piece {
                time: now,
                key: key(if *v6 { V6 } else { V4 }, *id),
                depth: 0,
                protocol: 17,
                offset: place * 8,
                more: *more,
                len,
                bytes: &content[..len.min(if *odd == 1 { *there } else { len })],
            };
            reassembler.put(&piece, &mut out);
            prop_assert!(reassembler.held_bytes() <= BYTES_MAX);
            if steps.contains(&count) {
                now = now.plus_ms(7_000);
                reassembler.advance(now, &mut out);
            }
        }
        reassembler.clear(&mut out);
        for packet in &out {
            let _is_sip = read(packet);
        }
        let handed_on = reassembler.counters().handed_on();
        prop_assert_eq!(handed_on, out.len() as u64);
        settle(reassembler, fragments.len());
    }

    /// Catches a panic on frames that are nearly fragments, and what one side takes for a fragment and the other
    /// does not.
    #[test]
    fn damaged_frames_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        v6 in any::<bool>(),
        offset in 0..40_usize,
        more in any::<bool>(),
    ) {
        let content = datagram([5060, 5060], 120);
        let mut bytes = if v6 {
            super::ipv6_fragment(17, &content, offset * 8, more)
        } else {
            super::ipv4_fragment(&content, offset * 8, more)
        };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - end.index(bytes.len()) / 2);
        let frame = frame(Link::RawIp, &bytes);
        let piece = super::found(&frame);
        let mut counters = crate::decode::DecodeCounters::new();
        let _decoded = decoder().sort(&frame, &mut counters);
        prop_assert_eq!(u64::from(piece.is_some()), counters.of(ringtap_classify::Reason::Fragment));
        if let Some(piece) = piece {
            let mut reassembler = reassembler(Limits::default());
            let _packets = put(&mut reassembler, &[piece, piece]);
            settle(reassembler, 2);
        }
    }
}

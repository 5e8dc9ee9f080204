//! Tests of reassembly: orders, copies, contradictions, limits, both versions. Random traffic is in [`oracle`].

mod oracle;

use std::net::IpAddr;

use ringtap_classify::Vlans;
use ringtap_record::Time;
use ringtap_testkit::wrap::Wrap;

use super::{AGE_MAX_MS, COPY_US, Key, Limits, Packet, Piece, Reassembler};
use crate::capture::{Frame, Link};
use crate::decode::{Around, DecodeCounters, Decoded, Decoder, Network};

const BEGIN: Time = Time::from_micros(1_700_000_000_000_000);
const UDP: u8 = 17;
const V4: [&str; 2] = ["10.20.0.1", "10.30.0.2"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

fn key(addresses: [&str; 2], id: u32) -> Key {
    let [source, destination] = addresses.map(|address| address.parse::<IpAddr>().unwrap());
    Key {
        source,
        destination,
        protocol: if source.is_ipv4() { UDP } else { 0 },
        id,
        network: Network::of(Link::Ethernet, Vlans::default()),
    }
}

/// The fragment in `frame`; `None` if it holds something else.
fn found<'a>(frame: &Frame<'a>) -> Option<Piece<'a>> {
    match decoder().look(frame, Around::default()).0 {
        Decoded::Fragment(piece) => Some(piece),
        _ => None,
    }
}

/// A UDP datagram whose payload tells each place in it.
fn datagram(ports: [u16; 2], payload_len: usize) -> Vec<u8> {
    let len = u16::try_from(8 + payload_len).unwrap_or(0);
    let header = [ports[0], ports[1], len, 0xbad].map(u16::to_be_bytes).concat();
    header.into_iter().chain(payload(payload_len)).collect()
}

fn payload(len: usize) -> impl Iterator<Item = u8> {
    (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap())
}

/// Octets `from..to` of a datagram as a fragment of it, captured at `BEGIN`.
fn piece(key: Key, datagram: &[u8], from: usize, to: usize) -> Piece<'_> {
    Piece {
        time: BEGIN,
        key,
        depth: 0,
        protocol: UDP,
        offset: u16::try_from(from).unwrap(),
        more: to < datagram.len(),
        len: to - from,
        bytes: &datagram[from..to],
    }
}

/// A datagram in fragments of `size` octets.
fn pieces(key: Key, datagram: &[u8], size: usize) -> Vec<Piece<'_>> {
    let starts = (0..datagram.len()).step_by(size);
    starts
        .map(|from| piece(key, datagram, from, (from + size).min(datagram.len())))
        .collect()
}

fn reassembler(limits: Limits) -> Reassembler {
    decoder().with_reassembly(limits).reassembler()
}

fn decoder() -> Decoder {
    Decoder::new([5060].into_iter().collect())
}

fn put<'a>(reassembler: &mut Reassembler, pieces: impl IntoIterator<Item = &'a Piece<'a>>) -> Vec<Packet> {
    let mut out = Vec::new();
    for piece in pieces {
        reassembler.put(piece, &mut out);
    }
    out
}

/// What a packet carries to a SIP port: source, payload, whether it is truncated.
fn read(packet: &Packet) -> (String, Vec<u8>, bool) {
    let frame = packet.frame();
    let datagram = decoder()
        .decode(&frame, &mut DecodeCounters::new())
        .expect("a datagram");
    assert_eq!(datagram.time, packet.time);
    (
        datagram.source.to_string(),
        datagram.octets.to_vec(),
        datagram.truncated,
    )
}

/// All counts add up, and nothing is left over.
fn settle(mut reassembler: Reassembler, given: usize) -> Reassembler {
    let mut out = Vec::new();
    reassembler.clear(&mut out);
    assert_eq!(reassembler.held_bytes(), 0);
    let fragments: u64 = reassembler.counters().fragments.iter().map(|(_, n, _)| n).sum();
    assert_eq!(fragments, given as u64, "{:?}", reassembler.counters());
    let counted = reassembler.counters().datagrams;
    let ends: u64 = counted
        .iter()
        .filter(|(name, ..)| !["begun", "salvaged"].contains(name))
        .map(|(_, n, _)| n)
        .sum();
    assert_eq!(ends, counted.begun, "{counted:?}");
    reassembler
}

/// Every order of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    let with = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, n - 1);
        order
    };
    shorter
        .iter()
        .flat_map(|order| (0..n).map(move |at| with(order, at)))
        .collect()
}

/// Catches a datagram that is put together wrongly, too early or not at all in some order of its fragments, and
/// one whose time is not that of the fragment which came first.
#[test]
fn every_order_gives_the_datagram() {
    for (addresses, source) in [(V4, "10.20.0.1:5060"), (V6, "[2001:db8::1]:5060")] {
        let whole = datagram([5060, 6060], 5_000);
        let pieces = pieces(key(addresses, 7), &whole, 1_400);
        assert_eq!(pieces.len(), 4);
        for order in orders(4) {
            let mut reassembler = reassembler(Limits::default());
            let sent: Vec<Piece<'_>> = order
                .iter()
                .zip(1..)
                .map(|(at, us)| Piece {
                    time: BEGIN.plus_us(us),
                    ..pieces[*at]
                })
                .collect();
            assert_eq!(put(&mut reassembler, &sent[..3]), [], "{order:?}");
            let out = put(&mut reassembler, &sent[3..]);
            assert_eq!(out.len(), 1, "{order:?}");
            assert_eq!(out[0].time, BEGIN.plus_us(1));
            assert_eq!(
                read(&out[0]),
                (source.to_owned(), payload(5_000).collect(), false),
                "{order:?}"
            );
            let counters = *settle(reassembler, 4).counters();
            assert_eq!((counters.fragments.taken, counters.datagrams.reassembled), (4, 1));
        }
    }
}

/// Catches frame copies that spoil a datagram, give it twice or begin another, wherever they fall.
#[test]
fn copies_change_nothing() {
    let whole = datagram([40_000, 5060], 3_000);
    let pieces = pieces(key(V4, 7), &whole, 1_400);
    for order in orders(3) {
        for mirror in [[0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 1, 0, 2, 1, 2]] {
            let mut reassembler = reassembler(Limits::default());
            let sent = mirror.map(|at| pieces[order[at]]);
            let out = put(&mut reassembler, &sent);
            assert_eq!(out.len(), 1, "{order:?} {mirror:?}");
            assert_eq!(read(&out[0]).1, payload(3_000).collect::<Vec<_>>());
            let counters = *settle(reassembler, 6).counters();
            assert_eq!((counters.fragments.taken, counters.fragments.copy), (3, 3));
            assert_eq!(counters.datagrams.begun, 1);
        }
    }
}

/// Catches an identification that cannot be used again once its datagram is complete.
#[test]
fn an_identification_is_used_again() {
    let (first, second) = (datagram([5060, 5060], 2_000), datagram([5060, 5060], 2_500));
    let mut reassembler = reassembler(Limits::default());
    assert_eq!(put(&mut reassembler, &pieces(key(V4, 7), &first, 1_400)).len(), 1);
    let later = pieces(key(V4, 7), &second, 1_400).into_iter().map(|piece| Piece {
        time: BEGIN.plus_us(COPY_US + 1),
        ..piece
    });
    let out = put(&mut reassembler, &later.collect::<Vec<_>>());
    assert_eq!(read(&out[0]).1, payload(2_500).collect::<Vec<_>>());
    assert_eq!(settle(reassembler, 4).counters().datagrams.reassembled, 2);
}

/// Catches a datagram that is taken for as old as the one before it that had the same identification.
#[test]
fn an_identification_used_again_is_as_young_as_its_datagram() {
    let (other, sip) = (datagram([4000, 4002], 2_000), datagram([5060, 5060], 2_000));
    let first = |id: u32, datagram| piece(key(V4, id), datagram, 0, 1_400);
    let begin = [first(0, &other), first(1, &sip), first(0, &sip)];
    let mut roomy = reassembler(Limits::default());
    assert_eq!(put(&mut roomy, &begin), []);
    let mut full = reassembler(Limits {
        bytes_max: roomy.held_bytes(),
        salvage: false,
    });
    assert_eq!(put(&mut full, &begin), []);
    assert_eq!(put(&mut full, &[first(2, &sip)]), []);
    assert_eq!(full.counters().datagrams.evicted, 1);
    let rest = [0, 1].map(|id| piece(key(V4, id), &sip, 1_400, 2_008));
    let out = put(&mut full, &rest[..1]);
    assert_eq!(out.len(), 1, "the one that was begun anew is there still");
    assert_eq!(put(&mut full, &rest[1..]), [], "the oldest is gone");
    settle(full, 6);
}

/// Catches datagrams of different senders, networks or identifications that are mixed up.
#[test]
fn what_does_not_belong_together_stays_apart() {
    let whole = datagram([5060, 5060], 2_000);
    let one = key(V4, 7);
    let tagged = ethernet_frame(&[0x81, 0, 0, 100, 8, 0], &ipv4_fragment(&whole[..1_400], 0, true));
    let network = found(&frame(Link::Ethernet, &tagged)).unwrap().key.network;
    assert_ne!(network, one.network);
    for other in [
        Key { id: 8, ..one },
        Key {
            source: V4[1].parse().unwrap(),
            ..one
        },
        Key {
            destination: V4[0].parse().unwrap(),
            ..one
        },
        Key {
            network: Network::of(Link::LinuxSll, Vlans::default()),
            ..one
        },
        Key { network, ..one },
    ] {
        let mut reassembler = reassembler(Limits::default());
        let sent = [piece(one, &whole, 0, 1_400), piece(other, &whole, 1_400, 2_008)];
        assert_eq!(put(&mut reassembler, &sent), [], "{other:?}");
        assert_eq!(settle(reassembler, 2).counters().datagrams.begun, 2);
    }
}

/// Catches an overlap with other content that is believed, whoever comes first, and a datagram that revives by
/// fragments behind the refusal. The teardrop attack is the third: a fragment inside another.
#[test]
fn contradictions_are_refused() {
    let whole = datagram([5060, 5060], 3_000);
    let mut other = whole.clone();
    other[1_399] ^= 1;
    let one = key(V4, 7);
    let shorter = |end: usize, more: bool| Piece {
        more,
        ..piece(one, &whole[..end], 1_400, end)
    };
    for (what, contradicting) in [
        ("its first octets", piece(one, &other, 1_392, 2_800)),
        ("its last octet", piece(one, &other, 8, 1_400)),
        ("inside", piece(one, &other, 1_384, 1_400)),
        ("around", piece(one, &other, 8, 2_800)),
        ("another end", shorter(2_792, false)),
        (
            "more behind the end",
            Piece {
                more: true,
                ..piece(one, &whole, 2_800, 3_008)
            },
        ),
    ] {
        let rest = pieces(one, &whole, 1_400);
        // The contradiction has to come before the datagram is whole.
        for order in orders(4).iter().filter(|order| order[3] == 0) {
            let mut reassembler = reassembler(Limits::default());
            let sent: Vec<_> = order
                .iter()
                .map(|at| *rest.get(*at).unwrap_or(&contradicting))
                .collect();
            assert_eq!(put(&mut reassembler, &sent), [], "{what} {order:?}");
            let at = |late_us| {
                rest.iter().map(move |piece| Piece {
                    time: BEGIN.plus_us(late_us),
                    ..*piece
                })
            };
            let again: Vec<_> = at(COPY_US).collect();
            assert_eq!(put(&mut reassembler, &again), [], "{what} {order:?}: refused");
            let later: Vec<_> = at(COPY_US + 1).collect();
            assert_eq!(
                put(&mut reassembler, &later).len(),
                1,
                "{what} {order:?}: the next datagram"
            );
            let counters = *settle(reassembler, 10).counters();
            assert_eq!(
                (counters.datagrams.overlap, counters.datagrams.begun),
                (1, 2),
                "{what} {order:?}"
            );
        }
    }
}

/// Catches a lost fragment that costs the next datagrams of the same identification, too: ends of tunnels count theirs round within half a
/// second.
#[test]
fn a_late_contradiction_is_another_datagram() {
    let (first, second) = (datagram([5060, 5060], 400), datagram([5060, 5062], 500));
    for (late_us, is_read) in [(COPY_US, false), (COPY_US + 1, true)] {
        for salvage in [true, false] {
            let mut reassembler = reassembler(Limits {
                salvage,
                ..Limits::default()
            });
            let key = key(V4, 7);
            assert!(put(&mut reassembler, &pieces(key, &first, 200)[..2]).is_empty());
            let mut later = pieces(key, &second, 200);
            for piece in &mut later {
                piece.time = Time::from_micros(BEGIN.as_micros() + late_us);
            }
            let out = put(&mut reassembler, &later);
            let got: Vec<_> = out
                .iter()
                .map(|packet| (read(packet).1.len(), read(packet).2))
                .collect();
            let beginning = (salvage && is_read).then_some((392, true));
            let whole = is_read.then_some((500, false));
            assert_eq!(
                got,
                beginning.into_iter().chain(whole).collect::<Vec<_>>(),
                "{late_us}"
            );
            assert_eq!(reassembler.take_missed().len(), usize::from(is_read && !salvage));
            let counted = reassembler.counters().datagrams;
            let (expired, overlap) = (u64::from(is_read), u64::from(!is_read));
            assert_eq!((counted.expired, counted.overlap), (expired, overlap));
            settle(reassembler, 2 + later.len());
        }
    }
}

/// Catches overlaps of the same content that are refused: a datagram fragmented anew on its way.
#[test]
fn overlaps_that_agree_are_taken() {
    let whole = datagram([5060, 5060], 3_000);
    let one = key(V4, 7);
    let mut sent = pieces(one, &whole, 1_400);
    sent.remove(1);
    sent.extend(pieces(one, &whole, 552));
    for order in [false, true] {
        if order {
            sent.reverse();
        }
        let mut reassembler = reassembler(Limits::default());
        let out = put(&mut reassembler, &sent);
        assert_eq!(out.len(), 1);
        assert_eq!(read(&out[0]).1, payload(3_000).collect::<Vec<_>>());
        assert_eq!(settle(reassembler, sent.len()).counters().datagrams.begun, 1);
    }
}

/// Catches datagrams on other ports that are kept, forgotten at once, or that block their identification for SIP.
#[test]
fn other_ports_are_dropped_and_remembered() {
    let (other, sip) = (datagram([4000, 4002], 4_000), datagram([4000, 5060], 4_000));
    let one = key(V4, 7);
    let mut sent = pieces(one, &other, 1_400);
    sent.reverse();
    let mut reassembler = reassembler(Limits::default());
    assert_eq!(put(&mut reassembler, &sent[..2]), []);
    let waiting = reassembler.held_bytes();
    assert!(waiting > 2_000);
    assert_eq!(put(&mut reassembler, &sent[2..]), []);
    let known = reassembler.held_bytes();
    assert!(known < waiting - 2_000, "{known} of {waiting} octets are kept");
    assert_eq!(put(&mut reassembler, &pieces(one, &other, 1_400)), []);
    assert_eq!(reassembler.held_bytes(), known);
    assert_eq!(reassembler.counters().datagrams.begun, 1);
    let out = put(&mut reassembler, &pieces(one, &sip, 1_400));
    assert_eq!(read(&out[0]).1, payload(4_000).collect::<Vec<_>>());
    settle(reassembler, 9);
}

/// Catches memory taken by protocols that nobody reads.
#[test]
fn other_protocols_are_not_kept() {
    let whole = datagram([5060, 5060], 2_000);
    let of = |protocol| {
        let mut piece = piece(key(V4, 7), &whole, 0, 1_400);
        (piece.protocol, piece.key.protocol) = (protocol, protocol);
        piece
    };
    let mut reassembler = reassembler(Limits::default());
    // ICMP, OSPF, and ESP, which nobody wants to try.
    assert_eq!(put(&mut reassembler, &[of(1), of(89), of(50)]), []);
    assert_eq!(reassembler.held_bytes(), 0);
    assert_eq!(settle(reassembler, 3).counters().fragments.other_protocol, 3);
}

/// Catches fragments of tunnels that fill the memory though their first one shows that nothing in there is SIP; and of such that
/// may be, which are dropped: SIP inside, or the beginning of a header that the next fragment goes on with.
#[test]
fn the_inside_of_a_tunnel_decides() {
    let inner = |ports| Wrap::GtpU.around(&Wrap::Vxlan.around(&ethernet(&datagram(ports, 2_000)), 1), 2);
    let short = |bytes: &[u8], to: usize| {
        let packet = &bytes[14 + 20..];
        let mut piece = piece(key(V4, 7), packet, 0, to);
        piece.more = true;
        let mut reassembler = reassembler(Limits::default());
        let mut out = Vec::new();
        reassembler.put(&piece, &mut out);
        reassembler.counters().datagrams.other_ports == 0
    };
    let (sip, other) = (inner([5060, 5060]), inner([5004, 5006]));
    assert!(short(&sip, 1_400) && !short(&other, 1_400));
    // GTP-U and what carries VXLAN, but not yet its ports.
    assert!(short(&sip, 32) && short(&other, 32));
    assert!(
        !short(&datagram_in_gtp(6, [443, 5000]), 1_400) && short(&datagram_in_gtp(6, [5060, 443]), 1_400)
    );
}

/// A frame with a packet of IPv4.
fn ethernet(datagram: &[u8]) -> Vec<u8> {
    frame_of(17, datagram)
}

fn frame_of(protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
    let header = [
        0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    [&[2; 12][..], &[8, 0], &header, content].concat()
}

fn datagram_in_gtp(protocol: u8, ports: [u16; 2]) -> Vec<u8> {
    Wrap::GtpU.around(&frame_of(protocol, &datagram(ports, 2_000)), 1)
}

/// Catches an age that is judged too early, too late or by the fragments' own stamps, and a beginning that is not
/// handed on, or handed on against the configuration.
#[test]
fn what_stays_incomplete_is_given_up() {
    let whole = datagram([5060, 5060], 4_000);
    assert_given_up(&whole);
    // A length of 0 promises nothing (RFC 2675 §4): that something is missing is known all the same.
    let mut silent = whole;
    silent[4..6].fill(0);
    assert_given_up(&silent);
}

/// What is left of this datagram once one of its fragments or another is missing for too long.
fn assert_given_up(whole: &[u8]) {
    let all = pieces(key(V4, 7), whole, 1_400);
    for (there, salvage, beginning) in [
        (vec![0, 1], true, Some(2_792)),
        (vec![1, 0], true, Some(2_792)),
        (vec![0, 2], true, Some(1_392)),
        (vec![1, 2], true, None),
        (vec![0, 1], false, None),
    ] {
        let mut reassembler = reassembler(Limits {
            salvage,
            ..Limits::default()
        });
        let mut out = Vec::new();
        // A stamp far from the clock, as a damaged capture has it.
        let sent = there.iter().map(|at| Piece {
            time: Time::from_micros(5),
            ..all[*at]
        });
        assert_eq!(put(&mut reassembler, &sent.collect::<Vec<_>>()), []);
        reassembler.advance(BEGIN, &mut out);
        reassembler.advance(BEGIN.plus_ms(AGE_MAX_MS), &mut out);
        assert_eq!(out, []);
        reassembler.advance(BEGIN.plus_ms(AGE_MAX_MS).plus_us(1), &mut out);
        assert_eq!(reassembler.counters().datagrams.expired, 1);
        assert_eq!(reassembler.held_bytes(), 0);
        let seen = out.first().map(read);
        let wanted = beginning.map(|len| {
            (
                "10.20.0.1:5060".to_owned(),
                payload(4_000).take(len).collect(),
                true,
            )
        });
        assert_eq!(seen, wanted, "{there:?}");
        let counters = *settle(reassembler, 2).counters();
        assert_eq!(counters.datagrams.salvaged, u64::from(beginning.is_some()));
    }
}

/// Catches a datagram that was given up and is no known gap though it may have been a message; and one that is a gap
/// though its beginning was read, though it ended in another way, or though it is most likely nobody's.
#[test]
fn what_is_given_up_unread_is_a_gap() {
    let whole = datagram([5060, 5060], 4_000);
    let other = datagram([4000, 4000], 4_000);
    let small = 20_000;
    for (of, there, salvage, bytes_max, missed) in [
        (&whole, vec![0, 1], true, usize::MAX, false),
        (&whole, vec![0, 1], false, usize::MAX, true),
        (&whole, vec![1, 2], true, usize::MAX, false),
        (&whole, vec![0, 1, 2], false, usize::MAX, false),
        (&other, vec![0, 1], false, usize::MAX, false),
        (&whole, vec![0, 1], true, small, false),
        (&whole, vec![0, 1], false, small, true),
        (&whole, vec![1, 2], true, small, true),
        (&other, vec![0, 1], false, small, false),
    ] {
        let mut reassembler = reassembler(Limits { bytes_max, salvage });
        let mut out = Vec::new();
        reassembler.advance(BEGIN, &mut out);
        let sent = BEGIN.plus_us(77);
        for at in &there {
            let one = Piece {
                time: sent,
                ..pieces(key(V4, 7), of, 1_400)[*at]
            };
            reassembler.put(&one, &mut out);
        }
        let wanted = if missed { vec![sent] } else { Vec::new() };
        if bytes_max == small {
            // Others, of which nothing is missing but time, take its place.
            for id in 100..140 {
                let one = Piece {
                    time: BEGIN.plus_us(500),
                    ..piece(key(V4, id), &whole, 0, 1_400)
                };
                reassembler.put(&one, &mut out);
            }
            assert!(reassembler.counters().datagrams.evicted > 1 || salvage);
        } else {
            reassembler.advance(BEGIN.plus_ms(AGE_MAX_MS + 1), &mut out);
        }
        let mut told = reassembler.take_missed();
        told.retain(|at| *at == sent);
        assert_eq!(told, wanted, "{there:?}, salvage {salvage}, {bytes_max}");
        assert_eq!(reassembler.take_missed(), []);
    }
    // The end of a capture is a gap anyway.
    let mut reassembler = reassembler(Limits {
        salvage: false,
        ..Limits::default()
    });
    put(&mut reassembler, &pieces(key(V4, 7), &whole, 1_400)[..2]);
    reassembler.clear(&mut Vec::new());
    assert_eq!(reassembler.take_missed(), []);
}

/// Catches the memory limit passed, another than the oldest evicted, and a datagram lost that had room.
#[test]
fn the_oldest_leaves_a_full_memory() {
    let whole = datagram([5060, 5060], 2_800);
    let limits = Limits {
        bytes_max: 40_000,
        salvage: true,
    };
    let mut reassembler = reassembler(limits);
    let mut given_up = Vec::new();
    for id in 0..100 {
        let first = Piece {
            time: BEGIN.plus_us(id),
            ..piece(key(V4, u32::try_from(id).unwrap()), &whole, 0, 1_400)
        };
        reassembler.put(&first, &mut given_up);
        assert!(reassembler.held_bytes() <= limits.bytes_max);
    }
    let evicted = reassembler.counters().datagrams.evicted;
    assert!((70..90).contains(&evicted), "{evicted} evicted");
    let times: Vec<Time> = given_up.iter().map(|packet| packet.time).collect();
    let oldest = (0..i64::try_from(evicted).unwrap()).map(|us| BEGIN.plus_us(us));
    assert_eq!(times, oldest.collect::<Vec<_>>());
    assert!(read(&given_up[0]).2);
    let rest: Vec<Piece<'_>> = (90..100)
        .map(|id| piece(key(V4, id), &whole, 1_400, 2_808))
        .collect();
    assert_eq!(put(&mut reassembler, &rest).len(), 10);
    settle(reassembler, 110);
}

/// Catches a datagram beyond 64 KiB, or of countless fragments, that is kept, and one just inside the limit that is
/// not read.
#[test]
fn size_is_limited() {
    for (addresses, content_max) in [(V4, 65_515), (V6, 65_535)] {
        let whole = datagram([5060, 5060], content_max - 8);
        let mut reassembler = reassembler(Limits::default());
        let sent = pieces(key(addresses, 7), &whole, 1_400);
        let out = put(&mut reassembler, sent.iter().rev());
        assert_eq!(read(&out[0]).1.len(), content_max - 8);
        // The ping of death: one octet more.
        let last = sent.last().unwrap();
        let octets = [last.bytes, &[0]].concat();
        let beyond = Piece {
            len: octets.len(),
            bytes: &octets,
            key: key(addresses, 8),
            ..*last
        };
        let others: Vec<_> = sent[..46]
            .iter()
            .map(|piece| Piece {
                key: beyond.key,
                ..*piece
            })
            .collect();
        assert_eq!(put(&mut reassembler, others.iter().chain([&beyond])), []);
        assert_eq!(reassembler.counters().datagrams.oversize, 1);
        let far = Piece {
            offset: 65_528,
            more: true,
            key: key(addresses, 9),
            ..sent[1]
        };
        assert_eq!(put(&mut reassembler, &[far]), []);
        assert_eq!(reassembler.counters().datagrams.oversize, 2);
        let tiny = pieces(key(addresses, 10), &whole, 8);
        assert_eq!(put(&mut reassembler, &tiny[..200]), []);
        assert_eq!(reassembler.counters().datagrams.too_many_fragments, 1);
        settle(reassembler, sent.len() + others.len() + 2 + 200);
    }
}

/// Catches fragments that say nothing, or could not have been sent, taken for something.
#[test]
fn malformed_fragments_are_left_out() {
    let whole = datagram([5060, 5060], 2_000);
    let one = key(V4, 7);
    let good = pieces(one, &whole, 1_400);
    for bad in [
        Piece {
            len: 0,
            bytes: &[],
            ..good[0]
        },
        Piece {
            len: 0,
            bytes: &[],
            ..good[1]
        },
        Piece {
            len: 0,
            bytes: &[],
            more: true,
            ..good[1]
        },
        piece(one, &whole, 0, 1_399),
    ] {
        let mut reassembler = reassembler(Limits::default());
        assert_eq!(put(&mut reassembler, &[bad, good[0], bad]), []);
        assert_eq!(put(&mut reassembler, &good[1..]).len(), 1);
        assert_eq!(settle(reassembler, 4).counters().fragments.malformed, 2);
    }
}

/// Catches a datagram of which the capture has only the beginnings of the frames (a snap length): read across the
/// gap, given up, or not told to be truncated.
#[test]
fn cut_fragments_give_a_truncated_datagram() {
    let whole = datagram([5060, 5060], 4_000);
    let all = pieces(key(V4, 7), &whole, 1_400);
    let cut = |piece: Piece<'static>, to: usize| Piece {
        bytes: &piece.bytes[..to],
        ..piece
    };
    let all: Vec<Piece<'static>> = all
        .into_iter()
        .map(|piece| Piece {
            bytes: piece.bytes.to_vec().leak(),
            ..piece
        })
        .collect();
    for (sent, seen) in [
        ([cut(all[0], 100), cut(all[1], 100), cut(all[2], 100)], 92),
        ([all[0], cut(all[1], 100), all[2]], 1_492),
        ([all[0], all[1], cut(all[2], 100)], 2_892),
    ] {
        for order in orders(3) {
            let mut reassembler = reassembler(Limits::default());
            let out = put(&mut reassembler, order.iter().map(|at| &sent[*at]));
            assert_eq!(out.len(), 1);
            let (_, octets, truncated) = read(&out[0]);
            assert_eq!(octets, payload(4_000).take(seen).collect::<Vec<_>>());
            assert!(truncated);
            settle(reassembler, 3);
        }
    }
    let mut reassembler = reassembler(Limits::default());
    assert_eq!(put(&mut reassembler, &[cut(all[0], 7), all[1], all[2]]), []);
    assert_eq!(settle(reassembler, 3).counters().datagrams.other_ports, 1);
}

fn frame(link: Link, bytes: &[u8]) -> Frame<'_> {
    Frame {
        time: BEGIN,
        link,
        bytes,
        wire_len: u32::try_from(bytes.len()).unwrap(),
    }
}

fn ethernet_frame(type_and_tags: &[u8], packet: &[u8]) -> Vec<u8> {
    [&[2; 12], type_and_tags, packet].concat()
}

fn ipv4_fragment(content: &[u8], offset: usize, more: bool) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
    let place = u16::try_from(offset / 8).unwrap() | (u16::from(more) << 13);
    let [high, low] = place.to_be_bytes();
    let header = [
        0x45, 0, len[0], len[1], 0, 7, high, low, 64, UDP, 0, 0, 10, 20, 0, 1, 10, 30, 0, 2,
    ];
    [&header, content].concat()
}

/// An IPv6 packet: hop-by-hop options, the fragment header, then `content`, which begins with the header `next`.
fn ipv6_fragment(next: u8, content: &[u8], offset: usize, more: bool) -> Vec<u8> {
    let len = u16::try_from(16 + content.len()).unwrap().to_be_bytes();
    let [high, low] = (u16::try_from(offset).unwrap() | u16::from(more)).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], 0, 64];
    for address in V6 {
        packet.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    packet.extend([44, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([next, 0, high, low, 0xde, 0xad, 0xbe, 0xef]);
    packet.extend(content);
    packet
}

/// Catches an IPv6 chain that is not followed on both sides of the fragment header, and a later fragment's next
/// header that is believed (RFC 8200 §4.5).
#[test]
fn ipv6_chains() {
    const DESTINATION_OPTIONS: u8 = 60;
    let content = [&[UDP, 0, 1, 4, 0, 0, 0, 0], &datagram([5060, 5060], 2_000)[..]].concat();
    let frames = [
        ipv6_fragment(DESTINATION_OPTIONS, &content[..1_400], 0, true),
        ipv6_fragment(6, &content[1_400..], 1_400, false),
    ];
    for order in orders(2) {
        let mut reassembler = reassembler(Limits::default());
        let sent: Vec<_> = order
            .iter()
            .map(|at| ethernet_frame(&[0x86, 0xdd], &frames[*at]))
            .collect();
        let read_in: Vec<_> = sent
            .iter()
            .map(|bytes| found(&frame(Link::Ethernet, bytes)).expect("a fragment"))
            .collect();
        assert_eq!(read_in[0].key.id, 0xdead_beef);
        let out = put(&mut reassembler, &read_in);
        assert_eq!(read(&out[0]).1, payload(2_000).collect::<Vec<_>>(), "{order:?}");
        settle(reassembler, 2);
    }
}

/// Catches an atomic fragment that waits for others, or is mixed with those of the same identification
/// (RFC 6946 §4).
#[test]
fn atomic_fragments_are_whole() {
    let whole = datagram([5060, 5060], 300);
    let bytes = ipv6_fragment(UDP, &whole, 0, false);
    let frame = frame(Link::RawIp, &bytes);
    assert_eq!(found(&frame), None);
    let Decoded::Payload(datagram) = decoder().sort(&frame, &mut DecodeCounters::new()) else {
        panic!("not a datagram")
    };
    assert_eq!(datagram.octets, payload(300).collect::<Vec<_>>());
}

/// Catches a fragment read at the wrong place of its frame: both versions, tags, padding, a cut.
#[test]
fn fragments_in_frames() {
    let whole = datagram([5060, 5060], 2_000);
    let v4 = ipv4_fragment(&whole[1_400..], 1_400, false);
    let v6 = ipv6_fragment(UDP, &whole[1_400..], 1_400, false);
    for (link, bytes, addresses) in [
        (
            Link::Ethernet,
            [&ethernet_frame(&[8, 0], &v4)[..], &[0xee; 6]].concat(),
            V4,
        ),
        (
            Link::Ethernet,
            ethernet_frame(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0], &v4),
            V4,
        ),
        (Link::Ethernet, ethernet_frame(&[0x86, 0xdd], &v6), V6),
        (Link::RawIpv4, v4.clone(), V4),
        (Link::RawIp, v6.clone(), V6),
    ] {
        let piece = found(&frame(link, &bytes)).unwrap();
        assert_eq!((piece.offset, piece.more, piece.len), (1_400, false, 608));
        assert_eq!(piece.bytes, &whole[1_400..]);
        let named = addresses.map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!([piece.key.source, piece.key.destination], named);
        assert_eq!(piece.protocol, UDP);
    }
    let cut = found(&frame(Link::RawIp, &v4[..120])).map(|piece| (piece.len, piece.bytes.len()));
    assert_eq!(cut, Some((608, 100)));
    let other = ipv4_fragment(&whole, 0, false);
    assert_eq!(found(&frame(Link::RawIp, &other)), None, "a whole datagram");
}

//! Tests of decoding: link types, lengths, counters, and real captures. The walk itself is tested with
//! `ringtap-classify`, encapsulations in [`tunnels`].

mod tunnels;

use proptest::prelude::*;
use ringtap_record::Time;

use super::{Around, DecodeCounters, Decoded, Decoder, Payload, PortSet, Reason};
use crate::capture::real::{index_rows, real_captures};
use crate::capture::{CaptureFile, Chunk, Frame, Link};

const V4_ADDRESSES: [u8; 8] = [10, 20, 0, 1, 10, 30, 0, 2];
const V6_ADDRESSES: [[u8; 16]; 2] = [
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
];
const SLL: [u8; 14] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
const SLL2: [u8; 18] = [0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
const PAYLOAD: &[u8] = b"OPTIONS sip:core SIP/2.0\r\n\r\n";

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let header = [ports.0, ports.1, len, 0xbad].map(u16::to_be_bytes).concat();
    [&header, payload].concat()
}

fn ipv4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
    [
        &[0x45, 0, len[0], len[1], 0, 1, 0, 0, 64, protocol, 0xba, 0xd0],
        &V4_ADDRESSES[..],
        content,
    ]
    .concat()
}

fn ipv6(next: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [
        &[0x60, 0, 0, 0, len[0], len[1], next, 64],
        &V6_ADDRESSES.concat()[..],
        content,
    ]
    .concat()
}

fn ethernet(ethertype: u16, content: &[u8]) -> Vec<u8> {
    [&[2; 12], &ethertype.to_be_bytes()[..], content].concat()
}

fn frame(link: Link, bytes: &[u8]) -> Frame<'_> {
    Frame {
        time: Time::from_micros(42),
        link,
        bytes,
        wire_len: u32::try_from(bytes.len()).unwrap(),
    }
}

/// A decoder for port 5060.
fn decoder() -> Decoder {
    Decoder::new([5060].into_iter().collect())
}

/// Decodes one frame; also checks that it was counted once, and as delivered only if it was.
fn decode<'a>(frame: &Frame<'a>) -> (Option<Payload<'a>>, Reason) {
    let mut counters = DecodeCounters::new();
    let datagram = decoder().decode(frame, &mut counters);
    assert_eq!(counters.frames(), 1);
    let reason = *Reason::ALL
        .iter()
        .find(|reason| counters.of(**reason) == 1)
        .unwrap();
    assert_eq!(datagram.is_some(), reason == Reason::Delivered);
    assert_eq!(
        counters.truncated(),
        u64::from(datagram.is_some_and(|datagram| datagram.truncated))
    );
    (datagram, reason)
}

/// Catches a link header of the wrong length or with its protocol in the wrong place, and addresses or
/// ports the wrong way round.
#[test]
fn every_link_type() {
    let v4 = ipv4(17, &udp((5060, 6060), PAYLOAD));
    let v6 = ipv6(17, &udp((5060, 6060), PAYLOAD));
    let with = |header: &[u8], packet: &[u8]| [header, packet].concat();
    let sll2 = |protocol: [u8; 2]| with(&protocol, &SLL2);
    let vlan = |packet: &[u8]| ethernet(0x8100, &[&[0, 7, 8, 0], packet].concat());
    let (v4_names, v6_names) = (
        ("10.20.0.1:5060", "10.30.0.2:6060"),
        ("[fe80::1]:5060", "[fe80::2]:6060"),
    );
    for (link, bytes, (source, destination)) in [
        (Link::Ethernet, ethernet(0x0800, &v4), v4_names),
        (Link::Ethernet, ethernet(0x86dd, &v6), v6_names),
        (Link::Ethernet, vlan(&v4), v4_names),
        (Link::LinuxSll, with(&[&SLL[..], &[8, 0]].concat(), &v4), v4_names),
        (
            Link::LinuxSll,
            with(&[&SLL[..], &[0x86, 0xdd]].concat(), &v6),
            v6_names,
        ),
        (
            Link::LinuxSll,
            with(&[&SLL[..], &[0x81, 0, 0, 7, 8, 0]].concat(), &v4),
            v4_names,
        ),
        (Link::LinuxSll2, with(&sll2([8, 0]), &v4), v4_names),
        (Link::LinuxSll2, with(&sll2([0x86, 0xdd]), &v6), v6_names),
        (Link::RawIp, v4.clone(), v4_names),
        (Link::RawIp, v6.clone(), v6_names),
        (Link::RawIpv4, v4.clone(), v4_names),
        (Link::RawIpv6, v6.clone(), v6_names),
        (Link::Null, with(&[2, 0, 0, 0], &v4), v4_names),
        (Link::Null, with(&[0, 0, 0, 2], &v4), v4_names),
        (Link::Null, with(&[30, 0, 0, 0], &v6), v6_names),
        (Link::Null, with(&[0, 0, 0, 24], &v6), v6_names),
        (Link::Loop, with(&[0, 0, 0, 2], &v4), v4_names),
        (Link::Loop, with(&[0, 0, 0, 28], &v6), v6_names),
    ] {
        let (datagram, _) = decode(&frame(link, &bytes));
        let datagram = datagram.unwrap_or_else(|| panic!("{link:?}"));
        assert_eq!(datagram.octets, PAYLOAD, "{link:?}");
        assert_eq!(datagram.source.to_string(), source, "{link:?}");
        assert_eq!(datagram.destination.to_string(), destination, "{link:?}");
        assert_eq!(datagram.time, Time::from_micros(42));
        assert!(!datagram.truncated);
    }
}

/// Catches a frame under the wrong counter, or delivered though it holds no SIP port's datagram.
#[test]
fn everything_else_is_counted() {
    let sip = udp((5060, 5060), PAYLOAD);
    let mut fragment = ipv4(17, &sip);
    fragment[6] = 0x20;
    for (link, bytes, expected) in [
        (
            Link::Ethernet,
            ethernet(0x0800, &ipv4(17, &udp((5061, 5059), PAYLOAD))),
            Reason::NotSipPort,
        ),
        (Link::Ethernet, ethernet(0x0800, &fragment), Reason::Fragment),
        // What cannot be a header of TCP, on a SIP port and on another, where nobody looks.
        (
            Link::Ethernet,
            ethernet(0x0800, &ipv4(6, &sip)),
            Reason::BadHeader,
        ),
        (
            Link::Ethernet,
            ethernet(0x0800, &ipv4(6, &udp((6000, 6001), PAYLOAD))),
            Reason::Tcp,
        ),
        (Link::Ethernet, ethernet(0x86dd, &ipv6(132, &sip)), Reason::Sctp),
        (Link::Ethernet, ethernet(0x0800, &ipv4(47, &sip)), Reason::Tunnel),
        (Link::Ethernet, ethernet(0x0806, &[0; 28]), Reason::Arp),
        (Link::Ethernet, ethernet(0x88cc, &[0; 28]), Reason::NotIp),
        (Link::Ethernet, ethernet(0x0026, &[0; 38]), Reason::Llc),
        (Link::Ethernet, vec![2; 13], Reason::TooShort),
        (Link::LinuxSll, vec![0; 15], Reason::TooShort),
        (Link::LinuxSll2, vec![8], Reason::TooShort),
        (Link::Null, vec![2, 0, 0], Reason::TooShort),
        (
            Link::Null,
            [&[7, 0, 0, 0], &ipv4(17, &sip)[..]].concat(),
            Reason::NotIp,
        ),
        (Link::RawIpv4, ipv6(17, &sip), Reason::BadHeader),
        (Link::RawIp, Vec::new(), Reason::TooShort),
        (
            Link::Other(127),
            ethernet(0x0800, &ipv4(17, &sip)),
            Reason::UnsupportedLink,
        ),
    ] {
        assert_eq!(decode(&frame(link, &bytes)).1, expected, "{link:?} {bytes:?}");
    }
}

/// Catches Ethernet padding that is taken for payload, and a cut payload that is not told.
#[test]
fn padding_and_cuts() {
    let whole = ethernet(0x0800, &ipv4(17, &udp((5060, 5060), b"tiny")));
    let padded = [&whole[..], &[0xee; 14]].concat();
    let (datagram, _) = decode(&frame(Link::Ethernet, &padded));
    assert_eq!(
        datagram.map(|datagram| (datagram.octets, datagram.truncated)),
        Some((&b"tiny"[..], false))
    );

    let mut cut = frame(Link::Ethernet, &whole[..whole.len() - 3]);
    cut.wire_len = u32::try_from(padded.len()).unwrap();
    let (datagram, _) = decode(&cut);
    assert_eq!(
        datagram.map(|datagram| (datagram.octets, datagram.truncated)),
        Some((&b"t"[..], true))
    );

    // Only padding or the check sequence was cut: the payload is whole.
    let mut padding_cut = frame(Link::Ethernet, &whole);
    padding_cut.wire_len = u32::try_from(padded.len()).unwrap();
    let (datagram, _) = decode(&padding_cut);
    assert_eq!(datagram.map(|datagram| datagram.truncated), Some(false));
}

fn any_link() -> impl Strategy<Value = Link> {
    prop_oneof![
        2 => any::<u16>().prop_map(Link::from_linktype),
        8 => prop::sample::select(vec![0, 1, 101, 108, 113, 228, 229, 276]).prop_map(Link::from_linktype),
    ]
}

/// A good frame of some link type, with a few bytes overwritten and its end cut.
fn mangled() -> impl Strategy<Value = (Link, Vec<u8>)> {
    let v4 = ipv4(17, &udp((5060, 5060), PAYLOAD));
    let v6 = ipv6(17, &udp((5060, 5060), PAYLOAD));
    let good = prop::sample::select(vec![
        (Link::Ethernet, ethernet(0x0800, &v4)),
        (Link::Ethernet, ethernet(0x86dd, &v6)),
        (Link::LinuxSll, [&SLL[..], &[8, 0], &v4].concat()),
        (Link::LinuxSll2, [&[0x86, 0xdd], &SLL2[..], &v6].concat()),
        (Link::Null, [&[2, 0, 0, 0], &v4[..]].concat()),
        (Link::RawIp, v6),
    ]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    (good, changes, any::<prop::sample::Index>()).prop_map(|((link, mut bytes), changes, end)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - end.index(bytes.len()) / 2);
        (link, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Catches a panic, a payload from outside the frame, and a frame counted twice or not at all.
    #[test]
    fn any_frame_is_counted_once(
        (link, bytes) in prop_oneof![mangled(), (any_link(), prop::collection::vec(any::<u8>(), 0..200))],
    ) {
        if let (Some(datagram), _) = decode(&frame(link, &bytes)) {
            let inside = bytes.as_ptr_range();
            let payload = datagram.octets.as_ptr_range();
            prop_assert!(inside.start <= payload.start && payload.end <= inside.end);
            prop_assert!(datagram.source.port() == 5060 || datagram.destination.port() == 5060);
        }
    }
}

/// Whether the payload's first line is one of SIP's.
fn looks_like_sip(payload: &[u8]) -> bool {
    let line = payload
        .split(|byte| *byte == b'\r' || *byte == b'\n')
        .next()
        .unwrap_or_default();
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}

/// Catches SIP that is not found, or found where others saw none, in captures of real networks, fragments
/// included. What comes in tunnels is not expected here: it must not be counted as anything else.
#[test]
fn real_captures_give_the_sip_that_others_saw() {
    let Some(folder) = real_captures() else { return };
    let mut all = DecodeCounters::new();
    let mut compared = 0;
    for (path, row) in index_rows(&folder) {
        let number = |column: &str| row[column].parse::<u64>().unwrap();
        let ports: PortSet = row["dst_ports"]
            .split(',')
            .map(|port| port.split(':').next().unwrap().parse().unwrap())
            .collect();
        let decoder = Decoder::new(ports);
        let mut counters = DecodeCounters::new();
        let (mut reassembler, mut packets) = (decoder.reassembler(), Vec::new());
        let mut sip = 0;
        let mut file = CaptureFile::open(&path).unwrap();
        let mut chunk = Chunk::new();
        while file.next_chunk(&mut chunk).unwrap() {
            for frame in chunk.frames() {
                let datagram = decoder.decode(&frame, &mut counters);
                sip += u64::from(datagram.is_some_and(|datagram| looks_like_sip(datagram.octets)));
                if let (Decoded::Fragment(piece), _) = decoder.look(&frame, Around::default()) {
                    reassembler.put(&piece, &mut packets);
                }
            }
        }
        for packet in &packets {
            let datagram = decoder.decode(&packet.frame(), &mut DecodeCounters::new());
            sip += u64::from(datagram.is_some_and(|datagram| looks_like_sip(datagram.octets)));
        }
        assert_eq!(counters.frames(), number("packets"), "{}", path.display());
        all.merge(&counters);
        let plain = ["null", "sll"];
        let wrapped = row["encaps"]
            .split([',', ':'])
            .step_by(2)
            .any(|kind| !plain.contains(&kind));
        // A fuzzer's: what tshark calls SIP in there is a matter of taste.
        let damaged = path.to_string_lossy().contains("fuzz");
        if (row["encaps"].is_empty() || !wrapped) && !damaged {
            assert_eq!(sip, number("sip_udp"), "{}: {counters:?}", path.display());
            compared += 1;
        } else {
            println!(
                "{}: {sip} of {} SIP/UDP, {counters:?}",
                path.display(),
                number("sip_udp")
            );
        }
    }
    assert!(compared > 20, "only {compared} captures compared");
    assert_eq!(all.of(Reason::UnsupportedLink), 0);
}

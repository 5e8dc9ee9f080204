//! Every frame shape that the walk knows, and frames of noise.
//!
//! The XDP program is held to the same table of verdicts: same frame, same answer.

use crate::testing::{
    Case, IPV4, IPV6, Taken, UDP, ethernet_frame, extension, fragment_header, ipv4, ipv4_fragment, ipv6,
    shapes, tagged, udp, verdicts,
};
use crate::{
    IpVersion, MAX_EXTENSION_HEADERS, PortSet, Reason, Span, Take, TunnelKind, Vlans, Walk, ethernet, ip,
    judge, network,
};
use proptest::prelude::*;

/// Walks `frame` and returns the payload with ports and addresses, all cut out of the frame.
fn found(frame: &[u8]) -> (u16, u16, Vec<u8>, Vec<u8>, Vec<u8>, bool) {
    match ethernet(frame) {
        Walk::Udp(udp) => {
            let width = if udp.ip.version == IpVersion::V4 { 4 } else { 16 };
            let cut_out = |at: usize, len: usize| frame[at..at + len].to_vec();
            (
                udp.source_port,
                udp.destination_port,
                cut_out(udp.ip.source_at, width),
                cut_out(udp.ip.destination_at, width),
                cut_out(udp.payload.at, udp.payload.len),
                udp.payload.cut,
            )
        }
        other => panic!("{other:?} instead of UDP"),
    }
}

/// Catches a frame that is counted or taken otherwise than it should be, under every setting; and a kind of frame
/// that the table forgets.
#[test]
fn verdicts_hold_under_every_setting() {
    let table = verdicts();
    // Each kind alone, all but each, and a great many mixtures.
    let kinds = (0..Take::ALL.bits().count_ones()).map(|bit| Take::from_bits(1 << bit));
    let each = kinds.flat_map(|kind| [kind, Take::ALL.without(kind)]);
    let mixtures = (0..=Take::ALL.bits()).step_by(41).map(Take::from_bits);
    for take in each.chain(mixtures) {
        for case in &table {
            assert_eq!(
                judge(&case.frame[..], Case::is_sip, take),
                case.judgement(take),
                "{}, {take:?}",
                case.name
            );
        }
    }
    for reason in Reason::ALL {
        let found = table.iter().any(|case| case.reason == *reason);
        // What shows only on the host.
        let later = [Reason::UnsupportedLink, Reason::TooDeep, Reason::Duplicate];
        assert_eq!(found, !later.contains(reason), "{reason:?}");
    }
    for bit in (0..Take::ALL.bits().count_ones()).map(|bit| Take::from_bits(1 << bit)) {
        let found = table.iter().any(|case| match bit {
            Take::CONTENT => case.is_sip_by_content,
            _ => case.taken == Taken::If(bit),
        });
        assert!(found, "{bit:?}");
    }
}

/// Catches a header that is stepped over by the wrong length, with none to four VLAN tags before it and
/// Ethernet padding behind it.
#[test]
fn udp_in_every_shape() {
    let datagram = udp(5060, 5062, b"INVITE");
    let tags = [(0x88a8, 100), (0x8100, 200), (0x9100, 4095), (0x8100, 1)];
    for (name, packet, ethertype, (source, destination)) in shapes(&datagram) {
        for depth in 0..=tags.len() {
            for padding in [0, 18] {
                let mut frame = ethernet_frame(&tagged(&tags[..depth], ethertype, &packet));
                frame.resize(frame.len() + padding, 0xee);
                let expected = (
                    5060,
                    5062,
                    source.to_vec(),
                    destination.to_vec(),
                    b"INVITE".to_vec(),
                    false,
                );
                assert_eq!(
                    found(&frame),
                    expected,
                    "{name}, {depth} tags, {padding} bytes of padding"
                );
            }
        }
    }
}

/// Catches a read beyond the captured bytes and a payload that is not told to be cut: every frame is cut at
/// every length. Within the headers it is too short; behind them, what is there comes out.
#[test]
fn cut_frames() {
    let payload = b"SIP/2.0 180 Ringing";
    for (name, packet, ethertype, _) in shapes(&udp(1, 2, payload)) {
        let frame = ethernet_frame(&tagged(&[(0x8100, 7)], ethertype, &packet));
        let headers_len = frame.len() - payload.len();
        for len in 0..frame.len() {
            let walk = ethernet(&frame[..len]);
            if len < headers_len {
                assert_eq!(walk, Walk::Other(Reason::TooShort), "{name} cut to {len}");
            } else {
                let Walk::Udp(udp) = walk else {
                    panic!("{name} cut to {len}: {walk:?}")
                };
                assert_eq!(
                    udp.payload,
                    Span {
                        at: headers_len,
                        len: len - headers_len,
                        cut: true
                    }
                );
            }
        }
    }
}

/// Catches VLAN contexts that are confused with each other: they keep fragments of different VLANs apart.
#[test]
fn vlan_keys_differ() {
    let key_of = |tags: &[(u16, u16)]| {
        let frame = ethernet_frame(&tagged(tags, IPV4, &ipv4(UDP, &udp(1, 2, b"x"))));
        let Walk::Udp(udp) = ethernet(&frame[..]) else {
            panic!("{tags:?}")
        };
        assert_eq!(udp.vlans.count(), tags.len() as u64);
        udp.vlans.key()
    };
    let mut keys: Vec<u64> = [
        &[][..],
        &[(0x8100, 0)],
        &[(0x8100, 1)],
        &[(0x8100, 0), (0x8100, 1)],
        &[(0x8100, 1), (0x8100, 0)],
        &[(0x8100, 0), (0x8100, 0), (0x8100, 0), (0x8100, 1)],
        &[(0x8100, 4095); 4],
    ]
    .into_iter()
    .map(key_of)
    .collect();
    assert_eq!(keys[0], Vlans::default().key());
    // Priority bits are no part of the id.
    assert_eq!(key_of(&[(0x8100, 0xf001)]), keys[2]);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 7);
}

/// Catches a fragment that passes as a whole datagram, or whose place in it is misread.
#[test]
fn fragments() {
    let piece = [9_u8; 24];
    for (offset, more) in [(0, true), (1480, true), (65_528, false)] {
        let v4 = ethernet_frame(&tagged(
            &[],
            IPV4,
            &ipv4_fragment(UDP, 0xbeef, offset, more, &piece),
        ));
        let content = [&fragment_header(UDP, offset, more, 0xdead_beef)[..], &piece].concat();
        let v6 = ethernet_frame(&tagged(&[], IPV6, &ipv6(44, &content)));
        for (frame, id) in [(v4, 0xbeef), (v6, 0xdead_beef)] {
            let Walk::Fragment(fragment) = ethernet(&frame[..]) else {
                panic!("offset {offset}")
            };
            assert_eq!((fragment.offset, fragment.more, fragment.id), (offset, more, id));
            assert_eq!(fragment.protocol, UDP);
            assert_eq!(fragment.is_first(), offset == 0);
            assert!(!fragment.piece.cut);
            assert_eq!(fragment.piece_len, piece.len());
            assert_eq!(
                &frame[fragment.piece.at..fragment.piece.at + fragment.piece.len],
                piece
            );
            let Walk::Fragment(cut) = ethernet(&frame[..frame.len() - 5]) else {
                panic!("offset {offset}, cut")
            };
            assert_eq!((cut.piece.len, cut.piece.cut, cut.piece_len), (19, true, 24));
        }
    }
}

/// Catches transports and encapsulations that are taken for something else; their own issues open them.
#[test]
fn other_transports_and_tunnels() {
    let content = udp(5060, 5070, b"inner");
    for (ethertype, protocol, expected) in [
        (IPV4, 6, Reason::Tcp),
        (IPV6, 6, Reason::Tcp),
        (IPV4, 132, Reason::Sctp),
        (IPV4, 47, Reason::Tunnel),
        (IPV6, 47, Reason::Tunnel),
        (IPV4, 4, Reason::Tunnel),
        (IPV4, 41, Reason::Tunnel),
        (IPV4, 50, Reason::Esp),
        (IPV6, 50, Reason::Esp),
        (IPV4, 1, Reason::Icmp),
        (IPV6, 58, Reason::Icmp),
        (IPV4, 89, Reason::OtherProtocol),
        (IPV6, 59, Reason::OtherProtocol),
    ] {
        let packet = if ethertype == IPV4 {
            ipv4(protocol, &content)
        } else {
            ipv6(protocol, &content)
        };
        let mut frame = ethernet_frame(&tagged(&[], ethertype, &packet));
        frame.extend([0; 9]);
        let walk = ethernet(&frame[..]);
        assert_eq!(walk.reason(|_| true), expected, "protocol {protocol}");
        let span = match walk {
            Walk::Tcp(segment) | Walk::Sctp(segment) => {
                assert_eq!((segment.source_port, segment.destination_port), (5060, 5070));
                segment.segment
            }
            Walk::Tunnel(tunnel) => {
                let kind = match protocol {
                    47 => TunnelKind::Gre,
                    4 => TunnelKind::Ipv4,
                    50 => TunnelKind::Esp,
                    _ => TunnelKind::Ipv6,
                };
                assert_eq!(tunnel.kind, kind);
                assert!(tunnel.ip.is_some());
                tunnel.inner
            }
            _ => continue,
        };
        assert_eq!(
            &frame[span.at..span.at + span.len],
            content,
            "protocol {protocol}"
        );
    }
}

/// Catches an ethertype that goes under the wrong counter.
#[test]
fn link_layer_kinds() {
    for (ethertype, expected) in [
        (0x0806, Reason::Arp),
        (0x8847, Reason::Tunnel),
        (0x8848, Reason::Tunnel),
        (0x8864, Reason::Tunnel),
        (0x8863, Reason::NotIp),
        (0x88cc, Reason::NotIp),
        (0x88e5, Reason::NotIp),
        (0x05dc, Reason::Llc),
        (0x0000, Reason::Llc),
        (0x0600, Reason::NotIp),
    ] {
        let frame = ethernet_frame(&tagged(&[(0x8100, 1)], ethertype, &[0; 50]));
        assert_eq!(
            ethernet(&frame[..]).reason(|_| true),
            expected,
            "{ethertype:#06x}"
        );
    }
    let five = [(0x8100, 1); 5];
    let frame = ethernet_frame(&tagged(&five, IPV4, &ipv4(UDP, &udp(1, 2, b"x"))));
    assert_eq!(ethernet(&frame[..]), Walk::Other(Reason::TooManyTags));
    let Walk::Tunnel(tunnel) = network(&[0; 10][..], 0x8847, 4) else {
        panic!("no MPLS")
    };
    assert_eq!((tunnel.kind, tunnel.ip), (TunnelKind::Mpls, None));
    assert_eq!(
        tunnel.inner,
        Span {
            at: 4,
            len: 6,
            cut: false
        }
    );
}

/// Catches a header that contradicts itself and is believed.
#[test]
fn headers_that_contradict_themselves() {
    let good = ipv4(UDP, &udp(1, 2, b"payload"));
    let changed = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    for (name, packet) in [
        ("version 5", changed(0, 0x55)),
        ("version 6 under the ethertype of 4", changed(0, 0x65)),
        ("header of 16 bytes", changed(0, 0x44)),
        ("shorter than its header", changed(3, 19)),
        ("no room for UDP", changed(3, 27)),
        ("UDP shorter than its header", changed(25, 7)),
    ] {
        assert_eq!(
            network(&packet[..], IPV4, 0),
            Walk::Other(Reason::BadHeader),
            "{name}"
        );
    }
    let extension_too_long = ipv6(0, &extension(UDP, 0)[..4]);
    let padded = [&extension_too_long[..], &[0; 40]].concat();
    assert_eq!(network(&padded[..], IPV6, 0), Walk::Other(Reason::BadHeader));
    let chain = vec![extension(60, 0); MAX_EXTENSION_HEADERS + 1].concat();
    let endless = ipv6(60, &chain);
    assert_eq!(
        network(&endless[..], IPV6, 0),
        Walk::Other(Reason::TooManyHeaders)
    );
    assert_eq!(ip(&[0x50; 40][..], 0), Walk::Other(Reason::BadHeader));
    assert_eq!(ip(&[][..], 0), Walk::Other(Reason::TooShort));
}

/// Catches frames that offload has touched being refused: a length of 0 means all that was captured; a UDP
/// length beyond the packet's means a payload that is cut at the packet's end, not at the frame's.
#[test]
fn lengths_that_offload_leaves_open() {
    let payload = b"payload";
    let mut v4 = ipv4(UDP, &udp(1, 2, payload));
    (v4[2], v4[3]) = (0, 0);
    let mut v6 = ipv6(UDP, &udp(1, 2, payload));
    (v6[4], v6[5]) = (0, 0);
    let mut no_udp_len = ipv4(UDP, &udp(1, 2, payload));
    (no_udp_len[24], no_udp_len[25]) = (0, 0);
    let mut long_udp_len = ipv4(UDP, &udp(1, 2, payload));
    long_udp_len[25] = 200;
    long_udp_len.extend([0xee; 30]);
    let mut bad_checksum = ipv4(UDP, &udp(1, 2, payload));
    (bad_checksum[10], bad_checksum[26]) = (0xde, 0xad);
    for (name, packet, cut) in [
        ("IPv4", v4, false),
        ("IPv6", v6, false),
        ("no UDP length", no_udp_len, false),
        ("UDP length beyond the packet", long_udp_len, true),
        ("wrong checksums", bad_checksum, false),
    ] {
        let Walk::Udp(udp) = ip(&packet[..], 0) else {
            panic!("{name}: {:?}", ip(&packet[..], 0))
        };
        assert_eq!(
            &packet[udp.payload.at..udp.payload.at + udp.payload.len],
            payload,
            "{name}"
        );
        assert_eq!(udp.payload.cut, cut, "{name}");
    }
}

/// Catches a datagram that is chosen by one of its ports only.
#[test]
fn either_port_makes_it_sip() {
    let ports: PortSet = [5060].into_iter().collect();
    for (source, destination, expected) in [
        (5060, 40_000, Reason::Delivered),
        (40_000, 5060, Reason::Delivered),
        (5060, 5060, Reason::Delivered),
        (5061, 5059, Reason::NotSipPort),
    ] {
        let packet = ipv4(UDP, &udp(source, destination, b""));
        assert_eq!(ip(&packet[..], 0).reason(|port| ports.contains(port)), expected);
    }
}

/// All spans and addresses that a walk reports.
fn spans(walk: &Walk) -> Vec<(usize, usize)> {
    let (ip, span) = match walk {
        Walk::Udp(udp) => (Some(udp.ip), udp.payload),
        Walk::Tcp(segment) | Walk::Sctp(segment) => (Some(segment.ip), segment.segment),
        Walk::Fragment(fragment) => (Some(fragment.ip), fragment.piece),
        Walk::Tunnel(tunnel) => (tunnel.ip, tunnel.inner),
        Walk::Other(_) => return Vec::new(),
    };
    let width = if ip.is_some_and(|ip| ip.version == IpVersion::V6) {
        16
    } else {
        4
    };
    let addresses = ip
        .into_iter()
        .flat_map(|ip| [(ip.source_at, width), (ip.destination_at, width)]);
    addresses.chain([(span.at, span.len)]).collect()
}

/// A well-formed frame of some shape with a few bytes overwritten: gets deeper than noise does.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(
        (
            prop::sample::select(vec![0x8100_u16, 0x88a8, 0x9100]),
            0..4096_u16,
        ),
        0..5,
    );
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    (
        any::<prop::sample::Index>(),
        tags,
        payload,
        changes,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(shape, tags, payload, changes, end)| {
            let shapes = shapes(&udp(5060, 5060, &payload));
            let (_, packet, ethertype, _) = shape.get(&shapes);
            let mut frame = ethernet_frame(&tagged(&tags, *ethertype, packet));
            for (place, byte) in changes {
                let place = place.index(frame.len());
                frame[place] = byte;
            }
            frame.truncate(frame.len() - end.index(frame.len()) / 2);
            frame
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Catches a panic and a span that leaves the frame, from every entry point.
    #[test]
    fn any_frame_keeps_its_spans_inside(
        frame in prop_oneof![mangled(), prop::collection::vec(any::<u8>(), 0..200)],
        ethertype in prop_oneof![Just(IPV4), Just(IPV6), Just(0x8100_u16), Just(0x8847_u16), any::<u16>()],
        at in 0_usize..250,
    ) {
        for walk in [ethernet(&frame[..]), ip(&frame[..], at), network(&frame[..], ethertype, at)] {
            for (at, len) in spans(&walk) {
                prop_assert!(frame.get(at..at + len).is_some(), "{at}+{len} of {}: {walk:?}", frame.len());
            }
            let reason = walk.reason(|_| true);
            prop_assert!(Reason::ALL.contains(&reason) && reason != Reason::UnsupportedLink);
        }
    }
}

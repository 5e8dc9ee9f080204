//! Encapsulations: what is refused, what is kept apart, and what is cut. That each is opened is tested with the corpus
//! (`tests/tunnels.rs`).

use proptest::prelude::*;
use ringtap_testkit::wrap::{Wrap, hep, wrapped};
use ringtap_testkit::{Format, Wire, capture, messages, scenario};

use super::super::tunnel::Opening;
use super::*;
use crate::decode::{Take, TunnelKind};

/// A decoder that looks for everything.
fn curious() -> Decoder {
    decoder().with_take(Take::ALL)
}

/// An Ethernet frame with a datagram to `port`.
fn to_port(port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp((40_000, port), payload)))
}

/// A generic chunk of HEP.
fn chunk(kind: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len() + 6).unwrap();
    [&[0, 0, 0, kind, 0, len], content].concat()
}

fn hep_packet(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    let len = u16::try_from(chunks.len() + 6).unwrap().to_be_bytes();
    [b"HEP3", &len[..], &chunks].concat()
}

/// Frames out of a capture that the testkit wrote.
fn frames_of(pcap: Vec<u8>) -> Vec<Vec<u8>> {
    let mut file = CaptureFile::from_reader("made", Box::new(std::io::Cursor::new(pcap))).unwrap();
    let mut chunk = Chunk::new();
    let mut frames = Vec::new();
    while file.next_chunk(&mut chunk).unwrap() {
        frames.extend(chunk.frames().map(|frame| frame.bytes.to_vec()));
    }
    frames
}

fn wires() -> Vec<Wire> {
    messages(&scenario("S01").unwrap().cases()[0])
}

/// Catches a phone that writes in the network's own name, by a tunnel; and one of a switch among the phones, or ESP, which phones
/// do send, that is refused for that.
#[test]
fn tunnels_of_phones_stay_closed() {
    let inside = ipv4(17, &udp((5060, 5060), PAYLOAD));
    let network = |ue: &str, core: &str| ringtap_config::Network {
        ue: vec![ue.parse().unwrap()],
        core: vec![core.parse().unwrap()],
        ..ringtap_config::Network::default()
    };
    let frame = ethernet(0x0800, &ipv4(4, &inside));
    for (ue, core, is_open) in [
        ("10.10.0.0/16", "10.30.0.0/16", true),
        ("10.20.0.0/16", "10.30.0.0/16", false),
        ("10.20.0.0/16", "10.20.0.1/32", true),
    ] {
        let decoder = decoder().with_network(network(ue, core));
        let mut counters = DecodeCounters::new();
        let bytes = super::frame(Link::Ethernet, &frame);
        assert_eq!(
            decoder.decode(&bytes, &mut counters).is_some(),
            is_open,
            "{ue} {core}"
        );
        let closed = counters.tunnels().of(TunnelKind::Ipv4, Opening::FromPhone);
        assert_eq!(closed, u64::from(!is_open), "{ue} {core}");
        assert_eq!(counters.frames(), 1);
    }
}

/// Catches a header that contradicts itself and is believed, what tunnels say of themselves being taken for a packet, and a frame
/// that is counted twice or under another reason than the one of what was found.
#[test]
fn what_cannot_be_opened() {
    use Opening::{Compressed, Empty, Malformed};
    let gre = |content: &[u8]| ethernet(0x0800, &ipv4(47, &[content, &[0; 60]].concat()));
    let labels =
        |count: usize, rest: &[u8]| ethernet(0x8847, &[&[0, 0, 0x10, 64].repeat(count), rest].concat());
    let pppoe = |version, protocol: [u8; 2]| {
        ethernet(
            0x8864,
            &[&[version, 0, 0, 1, 0, 6][..], &protocol, &[0; 4]].concat(),
        )
    };
    let addresses = [chunk(3, &[10, 0, 0, 1]), chunk(4, &[10, 0, 0, 2])].concat();
    let from_agent = |kind: u8, payload: Vec<u8>| {
        to_port(
            9060,
            &hep_packet(&[addresses.clone(), chunk(11, &[kind]), payload]),
        )
    };
    let sip = || chunk(15, PAYLOAD);
    for (name, bytes, kind, opening) in [
        (
            "GRE version 2",
            gre(&[0x20, 2, 0x08, 0x00]),
            TunnelKind::Gre,
            Malformed,
        ),
        (
            "PPTP of something else",
            gre(&[0x30, 1, 0x08, 0x00]),
            TunnelKind::Gre,
            Malformed,
        ),
        (
            "PPTP, an acknowledgement",
            gre(&[0x20, 0x81, 0x88, 0x0b, 0, 0]),
            TunnelKind::Gre,
            Empty,
        ),
        (
            "PPTP of PPP's own",
            gre(&[0x30, 1, 0x88, 0x0b, 0, 9, 0, 7, 0, 0, 0, 1, 0xc0, 0x21]),
            TunnelKind::Gre,
            Empty,
        ),
        (
            "GRE source route",
            gre(&[0x40, 0, 8, 0]),
            TunnelKind::Gre,
            Malformed,
        ),
        ("GRE keep-alive", gre(&[0, 0, 0, 0]), TunnelKind::Gre, Empty),
        (
            "ERSPAN II of version 7",
            gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x70]),
            TunnelKind::Erspan,
            Malformed,
        ),
        (
            "ERSPAN III of version 1",
            gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x10]),
            TunnelKind::Erspan,
            Malformed,
        ),
        (
            "VXLAN without a network",
            to_port(4789, &[0; 60]),
            TunnelKind::Vxlan,
            Malformed,
        ),
        (
            "VXLAN cut",
            to_port(4789, &[8, 0, 0, 0]),
            TunnelKind::Vxlan,
            Malformed,
        ),
        (
            "Geneve of version 1",
            to_port(6081, &[0x40; 60]),
            TunnelKind::Geneve,
            Malformed,
        ),
        (
            "Geneve control",
            to_port(6081, &[0, 0x80, 0x65, 0x58, 0, 0, 0, 0]),
            TunnelKind::Geneve,
            Empty,
        ),
        (
            "GTP echo",
            to_port(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0]),
            TunnelKind::GtpU,
            Empty,
        ),
        (
            "GTP of version 2",
            to_port(2152, &[0x48, 255, 0, 4, 0, 0, 0, 0]),
            TunnelKind::GtpU,
            Malformed,
        ),
        (
            "GTP extension without length",
            to_port(2152, &[0x34, 255, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0]),
            TunnelKind::GtpU,
            Malformed,
        ),
        (
            "GTP extension beyond the end",
            to_port(2152, &[0x34, 255, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x85, 9, 0, 0, 0]),
            TunnelKind::GtpU,
            Malformed,
        ),
        (
            "GTP with nothing",
            to_port(2152, &[0x30, 255, 0, 0, 0, 0, 0, 1]),
            TunnelKind::GtpU,
            Malformed,
        ),
        (
            "TZSP keep-alive",
            to_port(37_008, &[1, 4, 0, 0, 1]),
            TunnelKind::Tzsp,
            Empty,
        ),
        (
            "TZSP of 802.11",
            to_port(37_008, &[1, 0, 0, 18, 1, 0]),
            TunnelKind::Tzsp,
            Empty,
        ),
        (
            "TZSP of version 2",
            to_port(37_008, &[2, 0, 0, 1, 1]),
            TunnelKind::Tzsp,
            Malformed,
        ),
        (
            "TZSP without end",
            to_port(37_008, &[1, 0, 0, 1, 0, 0]),
            TunnelKind::Tzsp,
            Malformed,
        ),
        (
            "TZSP of padding",
            to_port(37_008, &[&[1, 0, 0, 1][..], &[0; 100]].concat()),
            TunnelKind::Tzsp,
            Malformed,
        ),
        (
            "HEP 2",
            to_port(9060, &[2, 28, 2, 17, 0, 0]),
            TunnelKind::Hep,
            Malformed,
        ),
        ("HEP of RTCP", from_agent(5, sip()), TunnelKind::Hep, Empty),
        (
            "HEP compressed",
            from_agent(1, chunk(16, &[0x78, 0x9c])),
            TunnelKind::Hep,
            Compressed,
        ),
        (
            "HEP without payload",
            from_agent(1, Vec::new()),
            TunnelKind::Hep,
            Malformed,
        ),
        (
            "HEP without addresses",
            to_port(9060, &hep_packet(&[chunk(11, &[1]), sip()])),
            TunnelKind::Hep,
            Malformed,
        ),
        (
            "HEP chunk shorter than its header",
            from_agent(1, vec![0, 0, 0, 15, 0, 5, 0, 0]),
            TunnelKind::Hep,
            Malformed,
        ),
        (
            "HEP address of 3 octets",
            from_agent(1, [chunk(3, &[1; 3]), sip()].concat()),
            TunnelKind::Hep,
            Malformed,
        ),
        (
            "17 labels",
            [labels(17, &[]), vec![0x45; 40]].concat(),
            TunnelKind::Mpls,
            Malformed,
        ),
        ("labels to the end", labels(3, &[]), TunnelKind::Mpls, Malformed),
        (
            "a pseudowire's own channel",
            labels(0, &[&[0, 0, 0x11, 1, 0x10, 0, 0, 7][..], &[0; 40]].concat()),
            TunnelKind::Mpls,
            Empty,
        ),
        (
            "PPPoE of version 2",
            pppoe(0x21, [0, 0x21]),
            TunnelKind::Pppoe,
            Malformed,
        ),
        ("PPP's own", pppoe(0x11, [0xc0, 0x21]), TunnelKind::Pppoe, Empty),
    ] {
        let mut counters = DecodeCounters::new();
        let decoded = curious().sort(&frame(Link::Ethernet, &bytes), &mut counters);
        assert_eq!(decoded, Decoded::Nothing, "{name}");
        let counted: Vec<_> = counters
            .tunnels()
            .iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(counters.tunnels().of(kind, opening), 1, "{name}: {counted:?}");
        assert_eq!(counted.len(), 1, "{name}: {counted:?}");
        let reasons = counters.of(Reason::Tunnel) + counters.of(Reason::UdpTunnel);
        assert_eq!((counters.frames(), reasons), (1, 1), "{name}");
    }
}

/// Catches a message from an agent with addresses, ports or time of the agent's instead of its own, of either version.
#[test]
fn what_an_agent_tells() {
    let v6 = |last| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
    for (addresses, ends) in [
        (
            [chunk(3, &[10, 0, 0, 1]), chunk(4, &[10, 0, 0, 2])],
            ["10.0.0.1:5070", "10.0.0.2:5080"],
        ),
        (
            [chunk(5, &v6(1)), chunk(6, &v6(2))],
            ["[2001:db8::1]:5070", "[2001:db8::2]:5080"],
        ),
    ] {
        let packet = hep_packet(&[
            chunk(11, &[1]),
            addresses.concat(),
            chunk(7, &5070_u16.to_be_bytes()),
            chunk(8, &5080_u16.to_be_bytes()),
            chunk(9, &[0, 0, 0, 1]),
            chunk(15, PAYLOAD),
        ]);
        let bytes = to_port(9060, &packet);
        let (decoded, reason) = curious().look(&frame(Link::Ethernet, &bytes), Around::default());
        let Decoded::Payload(payload) = decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!(
            [payload.source.to_string(), payload.destination.to_string()],
            ends
        );
        assert_eq!(
            (payload.octets, payload.truncated, payload.time),
            (PAYLOAD, false, Time::from_micros(42))
        );
        assert_eq!(reason, Reason::Delivered);
        let cut = &bytes[..bytes.len() - 5];
        let (decoded, _) = curious().look(&frame(Link::Ethernet, cut), Around::default());
        let Decoded::Payload(payload) = decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!(
            (payload.octets, payload.truncated),
            (&PAYLOAD[..PAYLOAD.len() - 5], true)
        );
    }
}

/// Catches messages that a mirror cut inside a tunnel and that are taken for whole ones: the inner lengths say so.
#[test]
fn what_a_mirror_cut_inside_is_truncated() {
    for wrap in Wrap::ALL {
        if matches!(
            wrap,
            Wrap::EspNull | Wrap::EspNullTunnel | Wrap::GtpU | Wrap::GtpUExtended
        ) {
            continue;
        }
        // The mirror sends the first octets of a frame, in an outer packet that is whole.
        let inner = ethernet(0x0800, &ipv4(17, &udp((5060, 5060), PAYLOAD)));
        let bytes = wrap.around(&inner[..inner.len() - 9], 1);
        let (decoded, _) = curious().look(&frame(Link::Ethernet, &bytes), Around::default());
        let Decoded::Payload(payload) = decoded else {
            panic!("{wrap:?}: {decoded:?}")
        };
        assert!(payload.truncated, "{wrap:?}");
        assert_eq!(payload.octets, &PAYLOAD[..PAYLOAD.len() - 9], "{wrap:?}");
    }
}

/// Catches fragments of different tunnels that are put together, and such of one tunnel that are not: the same addresses may
/// stand for other machines in each.
#[test]
fn tunnels_are_networks_of_their_own() {
    let mut fragment = ipv4(17, &udp((5060, 5060), PAYLOAD));
    fragment[6] = 0x20;
    let inner = ethernet(0x0800, &fragment);
    let vxlan = |network: u8, source: u8| {
        let mut bytes = to_port(4789, &[&[8, 0, 0, 0, 0, 0, network, 0][..], &inner].concat());
        bytes[29] = source;
        bytes
    };
    let key = |bytes: &[u8]| match curious().look(&frame(Link::Ethernet, bytes), Around::default()).0 {
        Decoded::Fragment(piece) => (piece.key, piece.depth),
        other => panic!("{other:?}"),
    };
    assert_eq!(key(&vxlan(1, 1)), key(&vxlan(1, 1)));
    let gre = |key: u8| {
        ethernet(
            0x0800,
            &ipv4(47, &[&[0x20, 0, 8, 0, 0, 0, 0, key][..], &fragment].concat()),
        )
    };
    let all = [
        key(&inner),
        key(&vxlan(1, 1)),
        key(&vxlan(2, 1)),
        key(&vxlan(1, 2)),
        key(&gre(1)),
        key(&gre(2)),
        key(&Wrap::GtpU.around(&vxlan(1, 1), 1)),
    ];
    for (at, one) in all.iter().enumerate() {
        assert_eq!(all.iter().position(|other| other.0 == one.0), Some(at), "{at}");
    }
    assert_eq!(all.map(|(_, depth)| depth), [0, 1, 1, 1, 1, 1, 2]);
    // SNAP is Ethernet in another form.
    assert_eq!(key(&Wrap::Snap.around(&inner, 1)).0, all[0].0);
}

/// Catches tags before SNAP headers that are forgotten: fragments of two VLANs would be put together.
#[test]
fn tags_before_snap_tell_networks_apart() {
    let mut fragment = ipv4(17, &udp((5060, 5060), PAYLOAD));
    fragment[6] = 0x20;
    let key = |vlan: u8, rest: &[u8]| {
        let bytes = ethernet(0x8100, &[&[0, vlan][..], rest, &fragment].concat());
        match curious()
            .look(&frame(Link::Ethernet, &bytes), Around::default())
            .0
        {
            Decoded::Fragment(piece) => piece.key,
            other => panic!("{other:?}"),
        }
    };
    let snap = [0, 64, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    assert_ne!(key(10, &snap), key(20, &snap));
    assert_eq!(key(10, &snap), key(10, &[8, 0]));
    // ESP keeps the tags of its packet, and is no network of its own.
    let esp = |vlan: u8| {
        let segment = [
            &5060_u16.to_be_bytes()[..],
            &[0; 10],
            &[0x50, 0x10],
            &[0; 6],
            b"tiny",
        ]
        .concat();
        let inner = Wrap::EspNull.around(&ethernet(0x0800, &ipv4(6, &segment)), 1);
        let bytes = ethernet(0x8100, &[&[0, vlan, 8, 0][..], &inner[14..]].concat());
        match curious()
            .look(&frame(Link::Ethernet, &bytes), Around::default())
            .0
        {
            Decoded::Tcp(segment) => (segment.flow.network, segment.len, segment.octets.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(esp(10).0, esp(20).0);
    assert_eq!(
        (esp(10).0, esp(10).1, esp(10).2),
        (key(10, &[8, 0]).network, 4, 4)
    );
}

/// Catches labels of a service that differ for each flow: fragments of one datagram would not be put together.
#[test]
fn entropy_labels_are_no_networks() {
    let mut fragment = ipv4(17, &udp((5060, 5060), PAYLOAD));
    fragment[6] = 0x20;
    let network = |labels: &[u32]| {
        let mut stack = Vec::new();
        for (at, label) in labels.iter().enumerate() {
            let bottom = u32::from(at + 1 == labels.len());
            stack.extend((label << 12 | bottom << 8 | 64).to_be_bytes());
        }
        let bytes = ethernet(0x8847, &[stack, fragment.clone()].concat());
        match curious()
            .look(&frame(Link::Ethernet, &bytes), Around::default())
            .0
        {
            Decoded::Fragment(piece) => piece.key.network,
            other => panic!("{other:?}"),
        }
    };
    for entropy in [16, 70_000, 0xf_ffff] {
        assert_eq!(network(&[500, 18, 7, entropy]), network(&[18]));
        assert_eq!(network(&[500, 7, entropy, 18]), network(&[18]));
    }
    assert_ne!(network(&[18, 7, 70_000]), network(&[19, 7, 70_000]));
    assert_ne!(network(&[18]), network(&[18 + 16]));
}

/// Catches packets behind labels that are taken for frames because their addresses look like an ethertype, whole, padded, cut, and
/// the other way round.
#[test]
fn addresses_like_ethertypes_behind_labels() {
    let labelled = |content: &[u8]| ethernet(0x8847, &[&[0, 1, 0x21, 64][..], content].concat());
    let read = |bytes: &[u8]| match curious().look(&frame(Link::Ethernet, bytes), Around::default()) {
        (Decoded::Payload(payload), Reason::Delivered) => Some((payload.source.ip(), payload.octets.len())),
        _ => None,
    };
    let v4 = [
        [129, 0, 1, 1],
        [145, 0, 8, 0],
        [136, 168, 3, 4],
        [136, 71, 1, 1],
        [8, 0, 64, 1],
        [8, 0, 69, 0],
        [8, 0, 79, 9],
        [134, 221, 96, 1],
    ];
    for source in v4 {
        for payload in [PAYLOAD, b"tiny"] {
            let mut packet = ipv4(17, &udp((5060, 5060), payload));
            packet[12..16].copy_from_slice(&source);
            let wanted = Some((source.into(), payload.len()));
            let whole = labelled(&packet);
            assert_eq!(read(&whole), wanted, "{source:?}");
            let mut padded = whole.clone();
            padded.resize(whole.len().max(64), 0);
            assert_eq!(read(&padded), wanted, "{source:?}, padded");
            // Where the length does not help, the checksum does.
            packet[10..12].fill(0);
            let sum: u32 = packet[..20]
                .chunks(2)
                .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
                .sum();
            let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            packet[10..12].copy_from_slice(&(!folded).to_be_bytes());
            let cut = labelled(&packet[..packet.len() - 3]);
            assert_eq!(
                read(&cut),
                Some((source.into(), payload.len() - 3)),
                "{source:?}, cut"
            );
        }
    }
    let mut packet = ipv6(17, &udp((5060, 5060), PAYLOAD));
    for group in [[0x81, 0], [0x88, 0xa8], [0x91, 0], [0x88, 0x47]] {
        packet[8..14].copy_from_slice(&[&[0x20, 1, 0xd, 0xb8], &group[..]].concat());
        assert!(read(&labelled(&packet)).is_some(), "{group:?}");
        assert!(
            read(&labelled(&packet[..packet.len() - 3])).is_some(),
            "{group:?}, cut"
        );
    }
    for first in [0x02, 0x46, 0x4e, 0x60, 0x6c] {
        let mut inner = ethernet(0x0800, &ipv4(17, &udp((5060, 5060), PAYLOAD)));
        inner[0] = first;
        assert!(read(&labelled(&inner)).is_some(), "frame to {first:02x}");
        let mut tagged = ethernet(0x8100, &[&[0, 7], &inner[12..]].concat());
        tagged[0] = first;
        assert!(read(&labelled(&tagged)).is_some(), "tagged frame to {first:02x}");
    }
}

/// Catches encrypted packets that are taken for readable ones: noise of many lengths, under both wrappings.
#[test]
fn encrypted_packets_are_not_read() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut counters = DecodeCounters::new();
    for _ in 0..30_000 {
        let mut noise = vec![0; random.usize(8..400)];
        random.fill(&mut noise);
        let bytes = match random.bool() {
            true => ethernet(0x0800, &ipv4(50, &noise)),
            false => to_port(4500, &noise),
        };
        curious().sort(&frame(Link::Ethernet, &bytes), &mut counters);
    }
    assert_eq!(counters.of(Reason::Esp), 30_000);
    assert_eq!(counters.tunnels().of(TunnelKind::Esp, Opening::Malformed), 30_000);
}

/// A frame in up to nine wraps, with a few octets changed and its end cut.
fn mangled_tunnels() -> impl Strategy<Value = Vec<u8>> {
    let good = frames_of(capture(&wires(), Format::Pcap))
        .into_iter()
        .chain(frames_of(capture(&hep(&wires()), Format::Pcap)))
        .chain(frames_of(wrapped(&wires(), &[], Some(600))));
    let wraps: Vec<_> = Wrap::ALL
        .into_iter()
        .filter(|wrap| !matches!(wrap, Wrap::EspNull))
        .collect();
    let ip_wraps = vec![
        Wrap::GreEthernet,
        Wrap::Vxlan,
        Wrap::ErspanII,
        Wrap::GtpU,
        Wrap::InIpv4,
        Wrap::Tzsp,
    ];
    (
        prop::sample::select(good.collect::<Vec<_>>()),
        prop::sample::select(wraps),
        prop::collection::vec(prop::sample::select(ip_wraps), 0..9),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(good, outermost, inner, changes, end)| {
            let inside = inner.iter().fold(good, |bytes, wrap| wrap.around(&bytes, 1));
            let mut bytes = outermost.around(&inside, 2);
            for (place, octet) in changes {
                // Headers stand in front.
                let place = place.index(bytes.len().min(400));
                bytes[place] = octet;
            }
            bytes.truncate(bytes.len() - end.index(bytes.len()) / 2);
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Catches a panic, a payload from outside the frame, a frame counted twice or not at all, and encapsulations opened deeper than the
    /// limit.
    #[test]
    fn any_tunnel_is_counted_once(bytes in mangled_tunnels()) {
        let mut counters = DecodeCounters::new();
        let decoded = curious().sort(&frame(Link::Ethernet, &bytes), &mut counters);
        prop_assert_eq!(counters.frames(), 1);
        let opened: u64 = counters.tunnels().iter().filter(|(name, _)| name.ends_with("opened")).map(|(_, n)| n).sum();
        prop_assert!(opened <= 8);
        if let Decoded::Payload(payload) = decoded {
            let (inside, octets) = (bytes.as_ptr_range(), payload.octets.as_ptr_range());
            prop_assert!(inside.start <= octets.start && octets.end <= inside.end);
            prop_assert_eq!(counters.of(Reason::Delivered), 1);
        }
    }
}

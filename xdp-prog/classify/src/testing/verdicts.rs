//! The verdict on every shape of frame.

use super::{
    IPV4, IPV6, UDP, ethernet_frame, extension, fragment_header, ipv4, ipv4_fragment, ipv6, shapes, tagged,
    udp,
};
use crate::{Judgement, MAX_EXTENSION_HEADERS, MAX_VLAN_TAGS, Reason, Take};

const IPIP: u8 = 4;
const TCP: u8 = 6;
const IPV6_IN_IP: u8 = 41;
const FRAGMENT: u8 = 44;
const GRE: u8 = 47;
const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;

/// The only SIP port of the table.
const SIP: u16 = 5060;
const NO_SIP: u16 = 5059;

/// A frame and what is to become of it where 5060 is the only SIP port.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is.
    pub name: String,
    /// The frame, at least as long as an Ethernet header.
    pub frame: Vec<u8>,
    /// What it is counted as.
    pub reason: Reason,
    /// When it is taken.
    pub taken: Taken,
    /// It begins like SIP: where that counts, it is SIP.
    pub is_sip_by_content: bool,
}

/// When a frame is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Whatever the settings are.
    Always,
    /// If any of these is wanted.
    If(Take),
    /// Whatever the settings are, it is not.
    Never,
}

impl Case {
    /// The ports under which the table holds.
    #[must_use]
    pub const fn is_sip(port: u16) -> bool {
        port == SIP
    }

    /// What `judge` is to say.
    #[must_use]
    pub const fn judgement(&self, take: Take) -> Judgement {
        if self.is_sip_by_content && take.any_of(Take::CONTENT) {
            return Judgement {
                reason: Reason::Delivered,
                takes: true,
            };
        }
        Judgement {
            reason: self.reason,
            takes: match self.taken {
                Taken::Always => true,
                Taken::If(any) => take.any_of(any),
                Taken::Never => false,
            },
        }
    }
}

/// Every shape of frame.
#[must_use]
pub fn verdicts() -> Vec<Case> {
    [
        whole_datagrams(),
        segments(),
        fragments(),
        tunnels(),
        esp(),
        snap(),
        content(),
        others(),
        unreadable(),
    ]
    .concat()
}

fn case(name: impl Into<String>, frame: Vec<u8>, reason: Reason, taken: Taken) -> Case {
    Case {
        name: name.into(),
        frame,
        reason,
        taken,
        is_sip_by_content: false,
    }
}

/// An untagged frame of an IPv4 or IPv6 packet with one header.
fn packet(ethertype: u16, protocol: u8, content: &[u8]) -> Vec<u8> {
    let packet = match ethertype {
        IPV4 => ipv4(protocol, content),
        _ => ipv6(protocol, content),
    };
    ethernet_frame(&tagged(&[], ethertype, &packet))
}

fn whole_datagrams() -> Vec<Case> {
    let mut cases = Vec::new();
    let tags = [(0x88a8, 100), (0x8100, 200), (0x9100, 4095), (0x8100, 1)];
    for (source, destination, reason, taken) in [
        (SIP, SIP, Reason::Delivered, Taken::Always),
        (NO_SIP, SIP, Reason::Delivered, Taken::Always),
        (SIP, NO_SIP, Reason::Delivered, Taken::Always),
        // A tunnel's port with a SIP port is SIP's.
        (SIP, 2152, Reason::Delivered, Taken::Always),
        (NO_SIP, 53, Reason::NotSipPort, Taken::Never),
        // Swapped octets of 5060.
        (0xc413, 0xc413, Reason::NotSipPort, Taken::Never),
        // Ports that agree with 5060 in all bits of the word, or of the bit.
        (5060 + 64, 5061, Reason::NotSipPort, Taken::Never),
    ] {
        let datagram = udp(source, destination, b"INVITE sip:");
        for (name, content, ethertype, _) in shapes(&datagram) {
            for depth in 0..=MAX_VLAN_TAGS {
                let mut frame = ethernet_frame(&tagged(&tags[..depth], ethertype, &content));
                cases.push(case(
                    format!("{name}, {depth} tags, {source} to {destination}"),
                    frame.clone(),
                    reason,
                    taken,
                ));
                frame.resize(frame.len() + 18, 0xee);
                cases.push(case(
                    format!("{name}, {depth} tags, padded"),
                    frame,
                    reason,
                    taken,
                ));
            }
        }
        let large = udp(source, destination, &[b'a'; 8000]);
        for ethertype in [IPV4, IPV6] {
            cases.push(case("jumbo frame", packet(ethertype, UDP, &large), reason, taken));
        }
        // The ports stand behind 16 KiB: no kernel holds that in one buffer.
        let mut chain = vec![extension(DESTINATION_OPTIONS, 255); MAX_EXTENSION_HEADERS - 1];
        chain.extend([extension(UDP, 255), datagram]);
        let far = packet(IPV6, DESTINATION_OPTIONS, &chain.concat());
        cases.push(case("ports behind 16 KiB of headers", far, reason, taken));
    }
    cases
}

fn segments() -> Vec<Case> {
    let mut cases = Vec::new();
    for (protocol, reason, take) in [(TCP, Reason::Tcp, Take::TCP), (SCTP, Reason::Sctp, Take::SCTP)] {
        for ethertype in [IPV4, IPV6] {
            for (source, destination) in [(5061, 40_000), (40_000, 5061)] {
                let reason = if protocol == TCP { Reason::Tls } else { reason };
                let frame = packet(ethertype, protocol, &udp(source, destination, &[0; 12]));
                cases.push(case("TLS", frame, reason, Taken::Never));
            }
            let frame = packet(ethertype, protocol, &udp(5061, SIP, &[0; 12]));
            cases.push(case("5061 to a SIP port", frame, reason, Taken::If(take)));
            for (source, destination, taken) in [
                (SIP, 40_000, Taken::If(take)),
                (40_000, SIP, Taken::If(take)),
                (40_000, 22, Taken::Never),
                // No tunnel but over UDP.
                (40_000, 4789, Taken::Never),
            ] {
                let content = udp(source, destination, &[0; 12]);
                cases.push(case(
                    format!("protocol {protocol}, {source} to {destination}"),
                    packet(ethertype, protocol, &content),
                    reason,
                    taken,
                ));
            }
        }
    }
    cases
}

fn fragments() -> Vec<Case> {
    let mut cases = Vec::new();
    // The first says other ports, which counts for nothing: the host drops what is not SIP's.
    let piece = udp(53, 53, &[0; 16]);
    for (offset, more) in [(0, true), (1480, true), (65_528, false)] {
        for (protocol, taken) in [
            (UDP, Taken::Always),
            (TCP, Taken::If(Take::TCP)),
            (SCTP, Taken::If(Take::SCTP)),
            (GRE, Taken::If(Take::GRE | Take::ERSPAN)),
            (IPIP, Taken::If(Take::IPIP)),
            (IPV6_IN_IP, Taken::If(Take::IPIP)),
            (1, Taken::Never),
            (50, Taken::If(Take::ESP)),
        ] {
            let fragment = ipv4_fragment(protocol, 7, offset, more, &piece);
            let frame = ethernet_frame(&tagged(&[(0x8100, 5)], IPV4, &fragment));
            cases.push(case(
                format!("fragment at {offset} of protocol {protocol}"),
                frame,
                Reason::Fragment,
                taken,
            ));
            // In IPv6 the protocol of a fragment says nothing (RFC 8200 §4.5).
            let content = [&fragment_header(protocol, offset, more, 7)[..], &piece].concat();
            cases.push(case(
                format!("IPv6 fragment at {offset} of protocol {protocol}"),
                packet(IPV6, FRAGMENT, &content),
                Reason::Fragment,
                Taken::Always,
            ));
        }
    }
    cases
}

fn tunnels() -> Vec<Case> {
    let inner = ethernet_frame(&tagged(&[], IPV4, &ipv4(UDP, &udp(SIP, SIP, b"OPTIONS sip:"))));
    let gre = |kind: u16| [&[0x10, 0][..], &kind.to_be_bytes(), &[0; 4], &inner].concat();
    let mut cases = Vec::new();
    for ethertype in [IPV4, IPV6] {
        for (name, protocol, content, take) in [
            ("GRE of Ethernet", GRE, gre(0x6558), Take::GRE),
            ("GRE of IPv4", GRE, gre(0x0800), Take::GRE),
            ("ERSPAN I or II", GRE, gre(0x88be), Take::ERSPAN),
            ("ERSPAN III", GRE, gre(0x22eb), Take::ERSPAN),
            // What follows the packet is padding, whatever it says.
            ("GRE of 3 octets", GRE, vec![0x10, 0, 0x88], Take::GRE),
            ("IPv4 in IP", IPIP, inner[14..].to_vec(), Take::IPIP),
            (
                "IPv6 in IP",
                IPV6_IN_IP,
                ipv6(UDP, &udp(SIP, SIP, b"")),
                Take::IPIP,
            ),
        ] {
            let mut frame = packet(ethertype, protocol, &content);
            if content.len() < 4 {
                frame.extend([0xbe, 0, 0, 0]);
            }
            cases.push(case(name, frame, Reason::Tunnel, Taken::If(take)));
        }
        for (name, port, take) in [
            ("VXLAN", 4789, Take::VXLAN),
            ("VXLAN on its old port", 8472, Take::VXLAN),
            ("Geneve", 6081, Take::GENEVE),
            ("GTP-U", 2152, Take::GTPU),
            ("HEP", 9060, Take::HEP),
            ("TZSP", 37_008, Take::TZSP),
        ] {
            let to = |source, destination| udp(source, destination, &[&[0; 8][..], &inner].concat());
            cases.push(case(
                name,
                packet(ethertype, UDP, &to(40_000, port)),
                Reason::UdpTunnel,
                Taken::If(take),
            ));
            cases.push(case(
                format!("{name}, source port alone"),
                packet(ethertype, UDP, &to(port, 40_000)),
                Reason::NotSipPort,
                Taken::Never,
            ));
            // Behind a translator, or by the hash that spreads flows. It begins like ESP.
            cases.push(case(
                format!("{name}, from ESP's port"),
                packet(ethertype, UDP, &udp(4500, port, &[&[8; 8][..], &inner].concat())),
                Reason::UdpTunnel,
                Taken::If(take),
            ));
        }
    }
    for (name, ethertype, take) in [
        ("MPLS", 0x8847, Take::MPLS),
        ("MPLS multicast", 0x8848, Take::MPLS),
        ("PPPoE session", 0x8864, Take::PPPOE),
    ] {
        for tags in [&[][..], &[(0x8100, 3)]] {
            let frame = ethernet_frame(&tagged(tags, ethertype, &inner));
            cases.push(case(name, frame, Reason::Tunnel, Taken::If(take)));
        }
    }
    cases
}

fn esp() -> Vec<Case> {
    let mut cases = Vec::new();
    for ethertype in [IPV4, IPV6] {
        let frame = packet(ethertype, 50, &udp(SIP, SIP, b"inner"));
        cases.push(case("ESP", frame, Reason::Esp, Taken::If(Take::ESP)));
        for (source, destination) in [(4500, 40_000), (40_000, 4500)] {
            for (name, content, reason, taken) in [
                (
                    "ESP in UDP",
                    &[0, 0, 0, 1, 9, 9, 9, 9][..],
                    Reason::Esp,
                    Taken::If(Take::ESP),
                ),
                (
                    "key exchange",
                    &[0, 0, 0, 0, 9, 9, 9, 9],
                    Reason::NotSipPort,
                    Taken::Never,
                ),
                ("keep-alive", &[0xff], Reason::NotSipPort, Taken::Never),
            ] {
                let frame = packet(ethertype, UDP, &udp(source, destination, content));
                cases.push(case(name, frame, reason, taken));
            }
        }
        let frame = packet(ethertype, UDP, &udp(4500, SIP, &[1; 8]));
        cases.push(case("SIP from 4500", frame, Reason::Delivered, Taken::Always));
    }
    cases
}

fn snap() -> Vec<Case> {
    let ip = ipv4(UDP, &udp(SIP, SIP, b"inner"));
    let frame = |length: u16, header: [u8; 8]| {
        let content = [&header[..], &ip].concat();
        ethernet_frame(&tagged(&[(0x8100, 1)], length, &content))
    };
    vec![
        case(
            "SNAP",
            frame(60, [0xaa, 0xaa, 3, 0, 0, 0, 8, 0]),
            Reason::Llc,
            Taken::Always,
        ),
        case(
            "SNAP of Cisco's",
            frame(60, [0xaa, 0xaa, 3, 0, 0, 12, 8, 0]),
            Reason::Llc,
            Taken::Never,
        ),
        case(
            "spanning tree",
            frame(38, [0x42, 0x42, 3, 0, 0, 0, 0, 0]),
            Reason::Llc,
            Taken::Never,
        ),
    ]
}

/// Datagrams on ports that nobody named.
fn content() -> Vec<Case> {
    let via = "\r\nVia: SIP/2.0/UDP 10.20.0.1:6060";
    let mut cases = Vec::new();
    let ports = [
        (6060, 40_000, Reason::NotSipPort),
        (40_000, 4789, Reason::UdpTunnel),
    ];
    for (source, destination, reason) in ports {
        let taken = match reason {
            Reason::UdpTunnel => Taken::If(Take::VXLAN),
            _ => Taken::Never,
        };
        for (text, is_sip_by_content) in [
            ("INVITE sip:+862583091001@ims.office.test SIP/2.0", true),
            ("SUBSCRIBE SIPS:a@ims.office.test SIP/2.0", true),
            ("ACK tel:110 SIP/2.0", true),
            ("\r\n\r\nINVITE urn:service:sos SIP/2.0", true),
            ("ABCDEFGHIJKLMNOP sip:a SIP/2.0", true),
            ("\r\nSIP/2.0 180 Ringing", true),
            ("ABCDEFGHIJKLMNOPQ sip:a SIP/2.0", false),
            ("NO sip:a SIP/2.0", false),
            ("SIP/2.0 none", false),
            ("NOTIFY * HTTP/1.1", false),
            ("M-SEARCH * HTTP/1.1", false),
            ("OPTIONS rtsp://a.test/live RTSP/1.0", false),
            ("GET http://a.test/ HTTP/1.1", false),
            ("INVITE sipx:a SIP/2.0", false),
        ] {
            let datagram = udp(source, destination, &[text, via].concat().into_bytes());
            for (name, content, ethertype, _) in shapes(&datagram) {
                cases.push(Case {
                    is_sip_by_content,
                    ..case(
                        format!("{text:?} to {destination}, {name}"),
                        ethernet_frame(&tagged(&[], ethertype, &content)),
                        reason,
                        taken,
                    )
                });
            }
        }
        // Less than any message has.
        let short = udp(source, destination, b"INVITE sip:a@b SIP/2.0");
        cases.push(case(
            "a start line alone",
            packet(IPV4, UDP, &short),
            reason,
            taken,
        ));
        let rtp = udp(
            source,
            destination,
            &[&[0x80, 8, 0, 1][..], &[0xd5; 168]].concat(),
        );
        cases.push(case("RTP", packet(IPV4, UDP, &rtp), reason, taken));
    }
    cases
}

fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    let content = udp(SIP, SIP, b"inner");
    for (name, ethertype, protocol, reason) in [
        ("ICMP", IPV4, 1, Reason::Icmp),
        ("ICMPv6", IPV6, 58, Reason::Icmp),
        ("OSPF", IPV4, 89, Reason::OtherProtocol),
        ("no next header", IPV6, 59, Reason::OtherProtocol),
    ] {
        cases.push(case(
            name,
            packet(ethertype, protocol, &content),
            reason,
            Taken::Never,
        ));
    }
    for (name, ethertype, reason) in [
        ("ARP", 0x0806, Reason::Arp),
        ("PPPoE discovery", 0x8863, Reason::NotIp),
        ("LLDP", 0x88cc, Reason::NotIp),
        ("MACsec", 0x88e5, Reason::NotIp),
        ("longest 802.3 length", 0x05ff, Reason::Llc),
        ("empty 802.3 frame", 0x0000, Reason::Llc),
        ("first ethertype", 0x0600, Reason::NotIp),
    ] {
        let frame = ethernet_frame(&tagged(&[(0x8100, 1)], ethertype, &[0; 50]));
        cases.push(case(name, frame, reason, Taken::Never));
    }
    cases
}

fn unreadable() -> Vec<Case> {
    let mut cases = Vec::new();
    let good = ipv4(UDP, &udp(SIP, SIP, b"payload"));
    let mut push = |name: String, tags: &[(u16, u16)], ethertype, packet: &[u8], reason| {
        let frame = ethernet_frame(&tagged(tags, ethertype, packet));
        cases.push(case(name, frame, reason, Taken::Never));
    };
    for (name, at, value) in [
        ("version 5", 0, 0x55),
        ("version 6 under the ethertype of 4", 0, 0x65),
        ("header of 16 octets", 0, 0x44),
        ("shorter than its header", 3, 19),
        ("no room for UDP", 3, 27),
        ("UDP shorter than its header", 25, 7),
    ] {
        let mut packet = good.clone();
        packet[at] = value;
        push(name.to_owned(), &[], IPV4, &packet, Reason::BadHeader);
    }
    push(
        "version 4 under the ethertype of 6".into(),
        &[],
        IPV6,
        &[0x45; 60],
        Reason::BadHeader,
    );
    let too_long = [&ipv6(0, &extension(UDP, 0)[..4])[..], &[0; 40]].concat();
    push(
        "extension header longer than its packet".into(),
        &[],
        IPV6,
        &too_long,
        Reason::BadHeader,
    );
    let chain = vec![extension(DESTINATION_OPTIONS, 0); MAX_EXTENSION_HEADERS + 1].concat();
    push(
        "too many extension headers".into(),
        &[],
        IPV6,
        &ipv6(DESTINATION_OPTIONS, &chain),
        Reason::TooManyHeaders,
    );
    push(
        "too many tags".into(),
        &[(0x8100, 1); MAX_VLAN_TAGS + 1],
        IPV4,
        &good,
        Reason::TooManyTags,
    );
    // Cut at every place within the headers.
    let datagram = udp(SIP, SIP, b"");
    for (name, packet, ethertype, _) in shapes(&datagram) {
        let content = tagged(&[(0x8100, 7)], ethertype, &packet);
        for len in (2..content.len()).filter(|len| *len < 80 || len % 16 == 0) {
            cases.push(case(
                format!("{name}, cut after {} octets", 12 + len),
                ethernet_frame(&content[..len]),
                Reason::TooShort,
                Taken::Never,
            ));
        }
    }
    cases
}

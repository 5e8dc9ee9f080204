//! The octets of each kind of attack. Checksums are left out: a mirror's are often wrong, and nobody looks at them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use fastrand::Rng;

use super::Kind;
use crate::fixtures::{HOME_DOMAIN, Node};
use crate::workload::Office;

const SIP: u16 = 5060;
const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_GRE: u8 = 47;
const PROTOCOL_SCTP: u8 = 132;
/// TCP connections that are slow at the same time.
const CONNECTIONS: u64 = 20_000;
/// Connections that are out to do harm at the same time.
const FEW: u64 = 100;
/// What one segment carries.
const SEGMENT_BYTES: usize = 1_400;
/// The most that one UDP datagram over IPv4 carries.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Makes frames, each in the memory of the one before.
#[derive(Debug)]
pub(super) struct Octets<'o> {
    kind: Kind,
    office: &'o Office,
    random: Rng,
    text: String,
    frame: Vec<u8>,
}

impl<'o> Octets<'o> {
    pub(super) fn new(kind: Kind, office: &'o Office, random: Rng) -> Self {
        Self {
            kind,
            office,
            random,
            text: String::new(),
            frame: Vec::new(),
        }
    }

    /// The frame with this number.
    pub(super) fn frame(&mut self, number: u64) -> &[u8] {
        self.text.clear();
        self.frame.clear();
        match self.kind {
            Kind::Invites => {
                let call_id = format!("{:032x}", self.random.u128(..));
                self.invite(&call_id, number, "");
                self.datagram();
            }
            Kind::Collisions => {
                // Java's hash, and any other that multiplies by 31, is the same for both halves; so is the sum of octets.
                let call_id: String = (0..32)
                    .map(|bit| if number >> bit & 1 == 0 { "Aa" } else { "BB" })
                    .collect();
                self.invite(&call_id, 7, "");
                self.datagram();
            }
            Kind::Responses => {
                self.response(number);
                self.datagram();
            }
            Kind::Branches => {
                let diversion = format!(
                    "History-Info: <sip:+8625{number:08}@{HOME_DOMAIN}?Reason=SIP%3Bcause%3D302>;index=1.{number}\r\n"
                );
                self.invite("one-call", 7, &diversion);
                self.datagram();
            }
            Kind::Registrations => {
                self.registration(number);
                let pcscf = SocketAddrV4::new(node(Node::Pcscf), SIP);
                let phone = SocketAddrV4::new(self.stranger(), SIP);
                udp(&mut self.frame, pcscf, phone, self.text.as_bytes());
            }
            Kind::Fragments => self.fragment(number),
            Kind::SlowTcp => self.slow_segment(number),
            Kind::Holes => {
                self.options(number);
                let text = std::mem::take(&mut self.text);
                let (connection, turn) = (number % FEW, (number / FEW) as u32);
                // Nothing of what lies between is ever sent.
                self.segment(connection, turn * 2 * text.len() as u32, text.as_bytes());
                self.text = text;
            }
            Kind::LongHeaders => {
                let (connection, turn) = (number % FEW, (number / FEW) as u32);
                if turn % 50 == 0 {
                    self.options(number);
                    self.text.push_str("INVITE sip:a@b SIP/2.0\r\n");
                }
                while self.text.len() < SEGMENT_BYTES {
                    let _ = writeln!(self.text, "{}", number % 10);
                }
                self.text.truncate(SEGMENT_BYTES);
                let text = std::mem::take(&mut self.text);
                self.segment(connection, turn * SEGMENT_BYTES as u32, text.as_bytes());
                self.text = text;
            }
            Kind::FarAhead => {
                self.options(number);
                let text = std::mem::take(&mut self.text);
                let (connection, turn) = (number % FEW, (number / FEW) as u32);
                let far = if turn % 4 == 3 {
                    self.random.u32(200..60_000)
                } else {
                    0
                };
                if connection % 2 == 0 {
                    self.segment(connection, turn * 400 + 16 * far, text.as_bytes());
                } else {
                    // DATA, B and E set (RFC 9260 §3.3.1).
                    self.chunk(connection as u32 + 1, turn + far, 3, text.as_bytes());
                }
                self.text = text;
            }
            Kind::SlowSctp => self.open_chunk(number),
            Kind::HeaderBombs => {
                self.bomb(number);
                self.text.truncate(DATAGRAM_BYTES_MAX);
                self.datagram();
            }
            Kind::Tiny => {
                let tiny: [&str; 10] = [
                    "",
                    "\r\n\r\n",
                    "\0\0\0\0",
                    "jaK",
                    "A",
                    "SIP/2.0 200",
                    "SIP/2.0 200 OK\r\n\r\n",
                    "INVITE sip:a SIP/2.0\r\n",
                    "i:1\r\n",
                    "\u{0}\u{1}\u{0}\u{0}!\u{12}",
                ];
                self.text.push_str(tiny[number as usize % tiny.len()]);
                self.datagram();
            }
            Kind::Tunnels => self.nested(number),
        }
        &self.frame
    }

    /// Somebody in the access network.
    fn stranger(&mut self) -> Ipv4Addr {
        Ipv4Addr::new(10, 10, self.random.u8(100..), self.random.u8(1..255))
    }

    /// The text as a datagram from a stranger to the P-CSCF.
    fn datagram(&mut self) {
        let source = SocketAddrV4::new(self.stranger(), self.random.u16(1_024..));
        let destination = SocketAddrV4::new(node(Node::Pcscf), SIP);
        udp(&mut self.frame, source, destination, self.text.as_bytes());
    }

    fn invite(&mut self, call_id: &str, tag: u64, more: &str) {
        let people = self.office.people();
        let called = &people[self.random.usize(..people.len())].desk;
        let (branch, caller) = (self.random.u64(..), self.random.u32(..));
        let sdp = "v=0\r\no=- 1 1 IN IP4 10.10.200.1\r\ns=-\r\nc=IN IP4 10.10.200.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 8\r\n";
        let _ = write!(
            self.text,
            "INVITE sip:{called}@{HOME_DOMAIN};user=phone SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.10.200.1:5060;branch=z9hG4bK{branch:016x}\r\n\
             From: <sip:{caller}@{HOME_DOMAIN}>;tag={tag}\r\n\
             To: <sip:{called}@{HOME_DOMAIN};user=phone>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{more}\
             Contact: <sip:{caller}@10.10.200.1>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len(),
        );
    }

    fn response(&mut self, number: u64) {
        let status =
            ["180 Ringing", "200 OK", "486 Busy Here", "487 Request Terminated"][number as usize % 4];
        let (branch, call_id) = (self.random.u64(..), self.random.u128(..));
        let _ = write!(
            self.text,
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 10.20.0.1:5060;branch=z9hG4bK{branch:016x}\r\n\
             From: <sip:1@{HOME_DOMAIN}>;tag={number}\r\nTo: <sip:2@{HOME_DOMAIN}>;tag={number}\r\n\
             Call-ID: {call_id:032x}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        );
    }

    fn registration(&mut self, number: u64) {
        let contact = self.stranger();
        let _ = write!(
            self.text,
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {contact}:5060;branch=z9hG4bK{number:016x}\r\n\
             From: <sip:{number}@{HOME_DOMAIN}>;tag=1\r\nTo: <sip:{number}@{HOME_DOMAIN}>;tag=2\r\n\
             Call-ID: r{number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:c{number}@{contact}>;expires=7200\r\n\
             P-Associated-URI: <sip:{number}@{HOME_DOMAIN}>, <tel:+8610{number:010}>\r\nContent-Length: 0\r\n\r\n",
        );
    }

    /// A fragment whose neighbours do not come: a first, a middle or a last one.
    fn fragment(&mut self, number: u64) {
        let call_id = format!("{:032x}", self.random.u128(..));
        self.invite(&call_id, number, "");
        while self.text.len() < 1_400 {
            self.text.push_str("a=sendrecv\r\n");
        }
        self.text.truncate(1_392);
        let source = SocketAddrV4::new(self.stranger(), SIP);
        let (offset_units, more) = [(0, true), (175, true), (350, false), (0, true)][number as usize % 4];
        let flags = offset_units | if more { 0x2000 } else { 0 };
        let destination = node(Node::Pcscf);
        let id = self.random.u16(1..);
        ipv4(
            &mut self.frame,
            *source.ip(),
            destination,
            PROTOCOL_UDP,
            (id, flags),
            |frame| {
                frame.extend([SIP, SIP, 4_000, 0].map(u16::to_be_bytes).as_flattened());
                frame.extend(self.text.as_bytes());
            },
        );
    }

    /// The next octet of a connection's INVITE; of every eighth a piece of a header without end; of some others a piece
    /// with a hole before it.
    fn slow_segment(&mut self, number: u64) {
        let (connection, turn) = (number % CONNECTIONS, (number / CONNECTIONS) as u32);
        let head = format!("INVITE sip:1@{HOME_DOMAIN} SIP/2.0\r\nX-Slow: {connection:08}");
        let (sequence, octets) = match connection % 8 {
            0 => (turn * 1_400, vec![b'a'; 1_400]),
            1 => (
                turn * 2_800,
                [b"INVITE sip:1@a SIP/2.0\r\n", &[b'b'; 1_300][..]].concat(),
            ),
            _ => (turn, vec![*head.as_bytes().get(turn as usize).unwrap_or(&b'c')]),
        };
        self.segment(connection, sequence, &octets);
    }

    /// A request that is no call's.
    fn options(&mut self, number: u64) {
        let _ = write!(
            self.text,
            "OPTIONS sip:a@{HOME_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP 10.10.200.1;branch=z9hG4bK{number:016x}\r\n\
             From: <sip:x@{HOME_DOMAIN}>;tag=1\r\nTo: <sip:a@{HOME_DOMAIN}>\r\nCall-ID: {number:016x}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        );
    }

    /// A TCP segment of a connection from the access network.
    fn segment(&mut self, connection: u64, sequence: u32, octets: &[u8]) {
        let source = Ipv4Addr::new(10, 10, 100 + (connection >> 8) as u8 % 150, connection as u8);
        let port = 10_000 + (connection >> 8) as u16;
        ipv4(
            &mut self.frame,
            source,
            node(Node::Pcscf),
            PROTOCOL_TCP,
            (0, 0),
            |frame| {
                frame.extend([port, SIP].map(u16::to_be_bytes).as_flattened());
                frame.extend(sequence.to_be_bytes());
                frame.extend([0; 4]);
                // Five words of header; PSH and ACK.
                frame.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
                frame.extend(octets);
            },
        );
    }

    /// A DATA chunk that begins a message; nothing follows.
    fn open_chunk(&mut self, number: u64) {
        let tag = self.random.u32(1..);
        let call_id = format!("{number:032x}");
        self.invite(&call_id, number, "");
        let text = std::mem::take(&mut self.text);
        // DATA, B set and E not (RFC 9260 §3.3.1).
        self.chunk(tag, number as u32, 2, text.as_bytes());
        self.text = text;
    }

    /// A DATA chunk in a packet of its own.
    fn chunk(&mut self, tag: u32, tsn: u32, flags: u8, octets: &[u8]) {
        let source = self.stranger();
        ipv4(
            &mut self.frame,
            source,
            node(Node::Pcscf),
            PROTOCOL_SCTP,
            (0, 0),
            |frame| {
                frame.extend([SIP, SIP].map(u16::to_be_bytes).as_flattened());
                frame.extend(tag.to_be_bytes());
                frame.extend([0; 4]);
                frame.extend([0, flags]);
                frame.extend((16 + octets.len() as u16).to_be_bytes());
                frame.extend(tsn.to_be_bytes());
                frame.extend([0; 8]);
                frame.extend(octets);
                frame.resize(frame.len().next_multiple_of(4), 0);
            },
        );
    }

    /// An INVITE with too much of something, as long as a datagram can be.
    fn bomb(&mut self, number: u64) {
        let more = |line: &str| line.repeat(60_000 / line.len());
        let values = |name: &str, value: &str| format!("{name}: {}x\r\n", more(value));
        let header = match number % 8 {
            0 => more("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb\r\n"),
            1 => values("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb, "),
            2 => more("X-Nothing: 1\r\n"),
            3 => values("P-Asserted-Identity", "<sip:1@a>, "),
            4 => values("History-Info", "<sip:1@a?Reason=SIP%3Bcause%3D302>;index=1.1, "),
            5 => values("Contact", "\"\\\"<\\\"<"),
            6 => format!("Subject: {}x\r\n", more("a\r\n ")),
            _ => values("Reason", "SIP;cause=200;text=\"Call completed elsewhere\", "),
        };
        let call_id = format!("bomb-{number}");
        self.invite(&call_id, number, &header);
    }

    /// IPv4 in IPv4 and in GRE, as deep as a frame is long.
    fn nested(&mut self, number: u64) {
        let call_id = format!("nested-{number}");
        self.invite(&call_id, number, "");
        let (source, destination) = (self.stranger(), node(Node::Pcscf));
        let mut packet = Vec::new();
        udp(
            &mut packet,
            SocketAddrV4::new(source, SIP),
            SocketAddrV4::new(destination, SIP),
            self.text.as_bytes(),
        );
        let mut packet = packet.split_off(ETHERNET_BYTES);
        let depth = 1 + number as usize % 40;
        for level in 0..depth {
            let protocol = [PROTOCOL_IPV4, PROTOCOL_GRE][level % 2];
            let mut outer = Vec::new();
            ipv4(&mut outer, source, destination, protocol, (0, 0), |frame| {
                if protocol == PROTOCOL_GRE {
                    frame.extend([0, 0, 8, 0]);
                }
                frame.extend(&packet);
            });
            if level + 1 == depth {
                self.frame = outer;
                return;
            }
            packet = outer.split_off(ETHERNET_BYTES);
        }
    }
}

const ETHERNET_BYTES: usize = 14;

fn node(node: Node) -> Ipv4Addr {
    match node.address().ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(address) => panic!("the fixtures have no IPv6 node: {address}"),
    }
}

/// Ethernet and IPv4 around what `content` adds. `fragment` is identification, and flags with the offset.
fn ipv4(
    frame: &mut Vec<u8>,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    (identification, flags): (u16, u16),
    content: impl FnOnce(&mut Vec<u8>),
) {
    frame.extend([2, 0, 10, 20, 0, 1, 2, 0, 10, 10, 0, 1, 8, 0]);
    frame.extend([0x45, 0, 0, 0]);
    frame.extend(identification.to_be_bytes());
    frame.extend(flags.to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    content(frame);
    let len = u16::try_from(frame.len() - ETHERNET_BYTES).expect("a datagram fits into IPv4");
    frame[ETHERNET_BYTES + 2..ETHERNET_BYTES + 4].copy_from_slice(&len.to_be_bytes());
}

fn udp(frame: &mut Vec<u8>, source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) {
    let len = u16::try_from(8 + payload.len()).expect("a datagram fits into UDP");
    ipv4(
        frame,
        *source.ip(),
        *destination.ip(),
        PROTOCOL_UDP,
        (0, 0),
        |frame| {
            let header = [source.port(), destination.port(), len, 0];
            frame.extend(header.map(u16::to_be_bytes).as_flattened());
            frame.extend(payload);
        },
    );
}

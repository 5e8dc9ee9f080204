//! What is said in the stories of the tracker: a step of a few octets chooses each part of a message from a short list.

use std::net::{IpAddr, Ipv4Addr};

use arbitrary::{Arbitrary, Unstructured};
use ringtap_record::Time;

/// A message where and when it is seen.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) time: Time,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) octets: Vec<u8>,
}

/// One step as the fuzzer sees it: an octet for each choice.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Step {
    pause: u8,
    dialog: u8,
    hop: u8,
    verb: u8,
    sequence: u8,
    people: u8,
    first: u8,
    second: u8,
}

/// Octets of a step.
pub(crate) const STEP_BYTES: usize = 8;

const PAUSES_MS: [i64; 16] = [
    0, 1, 5, 20, 60, 130, 400, 600, 1_000, 3_000, 5_100, 6_000, 45, 300, 2_000, 2_100,
];
/// Up to beyond every timer. Rare, because the table walks its wheel through them.
const LONG_PAUSES_MS: [i64; 4] = [45_000, 140_000, 201_000, 400_000];
/// Bits of the octet that make a pause long.
const LONG: u8 = 0xec;
/// A story is no longer than this.
const STORY_MS: i64 = 900_000;

const PHONE: [u8; 4] = [10, 10, 1, 1];
const OTHER_PHONE: [u8; 4] = [10, 10, 2, 1];
const PCSCF: [u8; 4] = [10, 20, 0, 1];
const CORE: [u8; 4] = [10, 30, 0, 1];
const MGCF: [u8; 4] = [10, 40, 0, 1];
const STRANGER: [u8; 4] = [192, 0, 2, 1];

/// Sender and receiver of a request, and how many Vias it has there.
const HOPS: [([u8; 4], [u8; 4], usize); 8] = [
    (PHONE, PCSCF, 1),
    (PCSCF, CORE, 2),
    (CORE, PCSCF, 3),
    (PCSCF, OTHER_PHONE, 4),
    (PCSCF, PHONE, 4),
    (MGCF, CORE, 1),
    (CORE, MGCF, 3),
    (STRANGER, CORE, 1),
];

/// Methods of requests, then statuses of responses.
const VERBS: [&str; 32] = [
    "INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "REGISTER", "NOTIFY", "100", "180",
    "181", "182", "183", "199", "200", "202", "302", "404", "407", "408", "480", "481", "482", "484", "486",
    "487", "488", "503", "600", "603",
];

/// What a response answers.
const ANSWERED: [&str; 4] = ["INVITE", "CANCEL", "BYE", "REGISTER"];

const PEOPLE: [&str; 8] = [
    "tel:+862583091001",
    "sip:+862583091002@ims.office.test;user=phone",
    "tel:+862583091003",
    "tel:+8613912345678",
    "tel:+862583091100",
    "sip:anonymous@anonymous.invalid",
    "tel:*8",
    "sip:line@10.10.2.1:5060",
];

/// Header fields and bodies. Each step takes two.
const MORE: [&str; 32] = [
    "",
    "P-Asserted-Identity: <tel:+8613912345678>\r\n",
    "P-Asserted-Identity: \"A\" <tel:+862583091001>\r\nPrivacy: id\r\n",
    "P-Called-Party-ID: <tel:+862583091001>\r\n",
    "P-Called-Party-ID: <tel:+862583091003>\r\n",
    "P-Charging-Vector: icid-value=k16abcdef01\r\n",
    "P-Charging-Vector: icid-value=0\r\n",
    "Session-ID: 0123456789abcdef0123456789abcdef;remote=00000000000000000000000000000000\r\n",
    "History-Info: <tel:+862583091001>;index=1,<tel:+862583091002;cause=408>;index=1.1;mp=1\r\n",
    "History-Info: <tel:+862583091100>;index=1,<tel:+862583091003>;index=1.1\r\n",
    "Diversion: <tel:+862583091001>;reason=no-answer\r\n",
    "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
    "Reason: Q.850;cause=26\r\n",
    "Reason: SIP;cause=603, Q.850;cause=21\r\n",
    "Reason: SIP;cause=408\r\n",
    "Reason: SIP;cause=302\r\n",
    "Contact: <sip:line@10.10.2.1:5060>;expires=600\r\n",
    "Contact: <tel:+862583091002>\r\n",
    "Contact: <sip:focus@10.30.0.1>;isfocus\r\n",
    "P-Associated-URI: <tel:+862583091001>, <tel:+862583091002>\r\n",
    "Replaces: call0;to-tag=t1;from-tag=f0;early-only\r\n",
    "Replaces: call1;to-tag=t2;from-tag=f1\r\n",
    "Join: call0;to-tag=t1;from-tag=f0\r\n",
    "Referred-By: <tel:+862583091003>\r\n",
    "Refer-To: <tel:+862583091002?Replaces=call0%3Bto-tag%3Dt1%3Bfrom-tag%3Df0>\r\n",
    "Retry-After: 3\r\n",
    "Priority: psap-callback\r\n",
    "Target-Dialog: call0;local-tag=t1;remote-tag=f0\r\n",
    "Event: reg\r\n",
    "Content-Type: application/sdp\r\n\r\nv=0\r\no=- 17 1 IN IP4 10.10.1.1\r\nc=IN IP4 10.10.1.1\r\nm=audio 4000 RTP/AVP 0\r\n",
    "Content-Type: application/sdp\r\n\r\nv=0\r\no=- 18 1 IN IP4 10.10.2.1\r\nc=IN IP4 10.10.2.1\r\nm=message 9 TCP/MSRP *\r\n",
    "Content-Type: message/cpim\r\n\r\nx",
];

/// The story that the octets stand for.
pub(crate) fn story(data: &[u8], steps_max: usize) -> Vec<Said> {
    let mut octets = Unstructured::new(data);
    let start = Time::from_micros(1_714_962_221_000_000);
    let mut time = start;
    let mut story = Vec::new();
    while octets.len() >= STEP_BYTES && story.len() < steps_max {
        let Ok(step) = Step::arbitrary(&mut octets) else {
            break;
        };
        let pause_ms = match step.pause & LONG {
            LONG => of(&LONG_PAUSES_MS, step.pause),
            _ => of(&PAUSES_MS, step.pause),
        };
        time = time.plus_ms(pause_ms).min(start.plus_ms(STORY_MS));
        story.push(step.said(time));
    }
    story
}

/// One of the list: the octet's lowest bits say which.
fn of<T: Copy + Default>(list: &[T], octet: u8) -> T {
    list.get(usize::from(octet) % list.len())
        .copied()
        .unwrap_or_default()
}

impl Step {
    fn said(self, time: Time) -> Said {
        let verb = of(&VERBS, self.verb);
        let is_response = verb.starts_with(|first: char| first.is_ascii_digit());
        let method = if is_response {
            of(&ANSWERED, self.sequence >> 2)
        } else {
            verb
        };
        // Pause's upper bits: a request of the callee, a message that travels against the hop.
        let by_callee = self.pause & 0x10 != 0;
        let (from, to, vias) = HOPS
            .get(usize::from(self.hop) % HOPS.len())
            .copied()
            .unwrap_or((PHONE, PCSCF, 1));
        let upstream = is_response != by_callee;
        let (source, destination) = if upstream { (to, from) } else { (from, to) };
        Said {
            time,
            source: IpAddr::V4(Ipv4Addr::from(source)),
            destination: IpAddr::V4(Ipv4Addr::from(destination)),
            octets: self.octets(verb, method, is_response, by_callee, vias),
        }
    }

    fn octets(self, verb: &str, method: &str, is_response: bool, by_callee: bool, vias: usize) -> Vec<u8> {
        let (caller, callee) = (of(&PEOPLE, self.people), of(&PEOPLE, self.people >> 3));
        let start = if is_response {
            format!("SIP/2.0 {verb} x\r\n")
        } else {
            format!(
                "{verb} {} SIP/2.0\r\n",
                of(
                    &[callee, "tel:1001", "sip:line@10.10.2.1:5060", caller],
                    self.people >> 6
                )
            )
        };
        let branch = self.hop >> 3 & 7;
        let vias: String = (0..vias)
            .map(|depth| match depth {
                0 => format!("Via: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\n"),
                _ => format!(
                    "Via: SIP/2.0/UDP h{depth};branch=z9hG4bKd{depth}{}\r\n",
                    self.hop >> 6
                ),
            })
            .collect();
        let from_tag = format!(";tag=f{}", self.dialog >> 3 & 3);
        let to_tag = match self.dialog >> 5 {
            0 | 4 => String::new(),
            tag => format!(";tag=t{tag}"),
        };
        let (from, to) = match by_callee {
            true => (format!("<{callee}>{to_tag}"), format!("<{caller}>{from_tag}")),
            false => (format!("<{caller}>{from_tag}"), format!("<{callee}>{to_tag}")),
        };
        let (mut first, mut second) = (of(&MORE, self.first), of(&MORE, self.second));
        // A body ends the header.
        if first.contains("\r\n\r\n") {
            (first, second) = (second, first);
        }
        let first = if first.contains("\r\n\r\n") { "" } else { first };
        let end = if second.contains("\r\n\r\n") { "" } else { "\r\n" };
        format!(
            "{start}{vias}From: {from}\r\nTo: {to}\r\nCall-ID: call{}\r\nCSeq: {} {method}\r\n{first}{second}{end}",
            self.dialog & 7,
            1 + (self.sequence & 3),
        )
        .into_bytes()
    }
}

//! Deterministic IMS-like call generator: classic pcap (µs, little-endian, Ethernet) and a CSV with the truth.
//!
//! This is the benchmark's workload: calls as they pass one hop between two groups of nodes, four vendors'
//! header styles, 60 % answered, 20 % cancelled, the rest busy, unavailable or declined. The same arguments
//! give the same file.
//!
//! `gen-ims-pcap --calls 100000 --seed 1 --cps 500 --out ims.pcap --csv truth.csv`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a generator of test data: an error ends it"
)]
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{BufWriter, Write};

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }
    fn f(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn pct(&mut self, p: f64) -> bool {
        self.f() * 100.0 < p
    }
    fn exp(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.f()).ln()
    }
}
fn hex(r: &mut Rng, n: usize) -> String {
    let mut s = String::new();
    while s.len() < n {
        let _ = write!(s, "{:016x}", r.next());
    }
    s.truncate(n);
    s
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Out {
    Answered,
    Cancelled,
    Busy,
    Unavail,
    Declined,
}
#[derive(Clone, Copy, PartialEq, Debug)]
enum M {
    Invite,
    Trying,
    Progress,
    Prack,
    PrackOk,
    Ringing,
    Ok,
    Ack,
    Bye,
    ByeOk,
    Cancel,
    CancelOk,
    Final,
    AckF,
    Opt,
    OptOk,
}

struct Call {
    prof: u8,
    a: u8,
    b: u8,
    cid: String,
    ftag: String,
    ttag: String,
    branch: String,
    caller: u64,
    called: u64,
    out: Out,
    elsewhere: bool,
    privacy: bool,
    prack: bool,
    bye_b: bool,
    display: bool,
    telfrom: bool,
    cseq: u32,
    icid: String,
    npkt: u32,
    t0: u64,
    tend: u64,
    cell: u32,
    extra: bool,
}
const AREA: [u64; 12] = [138, 139, 136, 137, 158, 188, 130, 131, 185, 186, 189, 133];
const UA: [&str; 4] = [
    "Huawei-ATS9900/V500R020C10",
    "ZTE-IMS/ZXUN-CSCF 5.21.30",
    "Ericsson MTAS - CXP2010134/1 R70A",
    "IM-client/OMA1.0 HW-Rto/V1.0",
];
fn dom(p: u8) -> &'static str {
    [
        "ims.mnc000.mcc460.3gppnetwork.org",
        "ims.mnc001.mcc460.3gppnetwork.org",
        "ims.mnc011.mcc460.3gppnetwork.org",
        "zj.ims.chinamobile.com",
    ][p as usize]
}
fn ipa(n: u8) -> [u8; 4] {
    [10, 187, 16, 10 + n]
}
fn ipb(n: u8) -> [u8; 4] {
    [10, 187, 32, 10 + n]
}
fn ips(i: [u8; 4]) -> String {
    format!("{}.{}.{}.{}", i[0], i[1], i[2], i[3])
}

fn sdp(c: &Call, answer: bool) -> String {
    let ip = if answer {
        format!("10.188.{}.{}", c.b, 20 + c.prof)
    } else {
        format!("10.189.{}.{}", c.a, 20 + c.prof)
    };
    let port = 20000 + (c.called % 20000) as u32 * 2 % 40000;
    let mut s = format!(
        "v=0\r\no=- {} {} IN IP4 {}\r\ns=-\r\nc=IN IP4 {}\r\nt=0 0\r\n",
        c.caller % 1000000007,
        1 + answer as u32,
        ip,
        ip
    );
    if answer {
        let _ = write!(
            s,
            "m=audio {} RTP/AVP 104 110\r\na=rtpmap:104 AMR-WB/16000\r\na=rtpmap:110 telephone-event/16000\r\na=sendrecv\r\na=ptime:20\r\n",
            port
        );
    } else {
        let _ = write!(
            s,
            "m=audio {} RTP/AVP 104 8 110\r\na=rtpmap:104 AMR-WB/16000\r\na=rtpmap:110 telephone-event/16000\r\na=ptime:20\r\n",
            port
        );
    }
    s
}
fn from(c: &Call) -> String {
    let d = dom(c.prof);
    if c.privacy {
        return format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={}", c.ftag);
    }
    if c.telfrom {
        return format!("<tel:+86{}>;tag={}", c.caller, c.ftag);
    }
    if c.display {
        format!(
            "\"+86{}\" <sip:+86{}@{};user=phone>;tag={}",
            c.caller, c.caller, d, c.ftag
        )
    } else {
        format!("<sip:+86{}@{};user=phone>;tag={}", c.caller, d, c.ftag)
    }
}
fn to(c: &Call, tag: bool) -> String {
    let d = dom(c.prof);
    let mut s = if c.telfrom {
        format!("<tel:+86{}>", c.called)
    } else {
        format!("<sip:+86{}@{};user=phone>", c.called, d)
    };
    if tag {
        s.push_str(";tag=");
        s.push_str(&c.ttag);
    }
    s
}
fn vias(s: &mut String, c: &Call, br: &str, from_b: bool, n: usize) {
    let top = if from_b { ips(ipb(c.b)) } else { ips(ipa(c.a)) };
    let _ = write!(
        s,
        "Via: SIP/2.0/UDP {}:5060;branch=z9hG4bK{}{}\r\n",
        top, br, c.branch
    );
    if n > 1 {
        let _ = write!(
            s,
            "Via: SIP/2.0/UDP 10.187.48.{}:5060;received=10.187.48.{};branch=z9hG4bKp{}{}\r\n",
            3 + c.a,
            3 + c.a,
            br,
            &c.branch[..12]
        );
    }
    if n > 2 {
        let _ = write!(
            s,
            "Via: SIP/2.0/UDP [2409:8807:8000:{:x}::{:x}]:5060;branch=z9hG4bK{}{};rport\r\n",
            c.cell & 0xffff,
            c.a,
            br,
            &c.branch[4..20]
        );
    }
}
fn rr(s: &mut String, c: &Call) {
    let _ = write!(
        s,
        "Record-Route: <sip:{}:5060;lr;Hpt=8f{:02x}_16>\r\n",
        ips(ipa(c.a)),
        c.b
    );
    if c.prof == 0 {
        let _ = write!(
            s,
            "Record-Route: <sip:10.187.48.{}:5060;lr;transport=udp>\r\n",
            3 + c.a
        );
    }
}
fn idline(s: &mut String, c: &Call, tag: bool, method: &str, n: u32) {
    let f = from(c);
    let t = to(c, tag);
    match c.prof {
        0 => {
            let _ = write!(
                s,
                "Call-ID: {}\r\nFrom: {}\r\nTo: {}\r\nCSeq: {} {}\r\n",
                c.cid, f, t, n, method
            );
        }
        1 => {
            let _ = write!(
                s,
                "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
                f, t, c.cid, n, method
            );
        }
        2 => {
            let _ = write!(
                s,
                "To: {}\r\nFrom: {}\r\nCSeq: {} {}\r\nCall-ID: {}\r\n",
                t, f, n, method, c.cid
            );
        }
        _ => {
            let _ = write!(
                s,
                "CSeq: {} {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n",
                n, method, f, t, c.cid
            );
        }
    }
}
// returns (payload, from_b)
fn render(c: &Call, m: M) -> (String, bool) {
    let d = dom(c.prof);
    let mut s = String::with_capacity(1500);
    let body;
    let mut from_b = false;
    let ruri = format!("sip:+86{}@10.187.64.{}:5060;user=phone", c.called, 2 + c.b);
    let q = c.cseq;
    match m {
        M::Invite => {
            body = sdp(c, false);
            let _ = write!(s, "INVITE {} SIP/2.0\r\n", ruri);
            vias(&mut s, c, "i", false, 2);
            rr(&mut s, c);
            idline(&mut s, c, false, "INVITE", q);
            let _ = write!(s, "Route: <sip:{}:5060;lr>\r\n", ips(ipb(c.b)));
            let _ = write!(
                s,
                "Contact: <sip:+86{}@10.187.48.{}:5060;Hpt=8f{:02x}_16>\r\n",
                c.caller,
                3 + c.a,
                c.b
            );
            let _ = write!(s, "Max-Forwards: {}\r\n", 63 + c.prof);
            let _ = write!(
                s,
                "P-Asserted-Identity: <sip:+86{}@{};user=phone>\r\n",
                c.caller, d
            );
            if c.extra && c.prof != 0 {
                let _ = write!(s, "P-Asserted-Identity: <tel:+86{}>\r\n", c.caller);
            }
            let _ = write!(s, "P-Called-Party-ID: <sip:+86{}@{}>\r\n", c.called, d);
            let _ = write!(
                s,
                "P-Charging-Vector: icid-value=\"{}\";orig-ioi={}\r\n",
                c.icid, d
            );
            if c.privacy {
                s.push_str("Privacy: id\r\n");
            }
            if c.prof & 1 == 1 {
                let _ = write!(
                    s,
                    "P-Access-Network-Info: 3GPP-E-UTRAN-TDD;utran-cell-id-3gpp=46000{:x}\r\n",
                    c.cell
                );
            }
            let _ = write!(s, "User-Agent: {}\r\n", UA[c.prof as usize]);
            s.push_str("Supported: timer,100rel,histinfo\r\n");
            if c.extra && c.prof != 1 {
                s.push_str("Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n");
            }
            s.push_str("Allow: INVITE,ACK,BYE,CANCEL,PRACK,UPDATE,INFO,OPTIONS\r\n");
        }
        M::Trying => {
            body = String::new();
            from_b = true;
            s.push_str("SIP/2.0 100 Trying\r\n");
            vias(&mut s, c, "i", false, 2);
            idline(&mut s, c, false, "INVITE", q);
        }
        M::Progress | M::Ringing => {
            from_b = true;
            body = if m == M::Progress {
                sdp(c, true)
            } else {
                String::new()
            };
            s.push_str(if m == M::Progress {
                "SIP/2.0 183 Session Progress\r\n"
            } else {
                "SIP/2.0 180 Ringing\r\n"
            });
            vias(&mut s, c, "i", false, 2);
            rr(&mut s, c);
            idline(&mut s, c, true, "INVITE", q);
            let _ = write!(s, "Contact: <sip:+86{}@10.187.64.{}:5060>\r\n", c.called, 2 + c.b);
            if m == M::Progress {
                let _ = write!(s, "Require: 100rel\r\nRSeq: {}\r\n", 1 + c.cell % 9999);
            }
            let _ = write!(s, "P-Charging-Vector: icid-value=\"{}\"\r\n", c.icid);
            if c.prof != 3 {
                let _ = write!(
                    s,
                    "P-Asserted-Identity: <sip:+86{}@{};user=phone>\r\n",
                    c.called, d
                );
            }
            s.push_str("Allow: INVITE,ACK,BYE,CANCEL,PRACK,UPDATE,INFO,OPTIONS\r\n");
        }
        M::Prack => {
            body = String::new();
            let _ = write!(
                s,
                "PRACK sip:+86{}@10.187.64.{}:5060 SIP/2.0\r\n",
                c.called,
                2 + c.b
            );
            vias(&mut s, c, "r", false, 2);
            idline(&mut s, c, true, "PRACK", q + 1);
            let _ = write!(
                s,
                "Route: <sip:{}:5060;lr>\r\nRAck: {} {} INVITE\r\nMax-Forwards: 66\r\n",
                ips(ipb(c.b)),
                1 + c.cell % 9999,
                q
            );
        }
        M::PrackOk => {
            body = String::new();
            from_b = true;
            s.push_str("SIP/2.0 200 OK\r\n");
            vias(&mut s, c, "r", false, 2);
            idline(&mut s, c, true, "PRACK", q + 1);
        }
        M::Ok => {
            body = sdp(c, true);
            from_b = true;
            s.push_str("SIP/2.0 200 OK\r\n");
            vias(&mut s, c, "i", false, 2);
            rr(&mut s, c);
            idline(&mut s, c, true, "INVITE", q);
            let _ = write!(
                s,
                "Contact: <sip:+86{}@10.187.64.{}:5060>\r\nP-Asserted-Identity: <sip:+86{}@{};user=phone>\r\nServer: {}\r\n",
                c.called,
                2 + c.b,
                c.called,
                d,
                UA[(c.prof as usize + 1) % 4]
            );
            s.push_str("Allow: INVITE,ACK,BYE,CANCEL,PRACK,UPDATE,INFO,OPTIONS\r\nSupported: timer,100rel\r\nSession-Expires: 1800;refresher=uas\r\n");
        }
        M::Ack => {
            body = String::new();
            let _ = write!(
                s,
                "ACK sip:+86{}@10.187.64.{}:5060 SIP/2.0\r\n",
                c.called,
                2 + c.b
            );
            vias(&mut s, c, "a", false, 2);
            idline(&mut s, c, true, "ACK", q);
            let _ = write!(
                s,
                "Route: <sip:{}:5060;lr>\r\nMax-Forwards: 66\r\n",
                ips(ipb(c.b))
            );
        }
        M::Bye => {
            body = String::new();
            from_b = c.bye_b;
            if from_b {
                let _ = write!(
                    s,
                    "BYE sip:+86{}@10.187.48.{}:5060 SIP/2.0\r\n",
                    c.caller,
                    3 + c.a
                );
            } else {
                let _ = write!(
                    s,
                    "BYE sip:+86{}@10.187.64.{}:5060 SIP/2.0\r\n",
                    c.called,
                    2 + c.b
                );
            }
            vias(&mut s, c, "b", from_b, 2);
            let mut ids = String::new();
            idline(&mut ids, c, true, "BYE", q + 2);
            if from_b {
                // tags swap with the direction
                ids = ids
                    .replace("From: ", "\u{1}")
                    .replace("To: ", "From: ")
                    .replace('\u{1}', "To: ");
            }
            s.push_str(&ids);
            s.push_str("Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\nMax-Forwards: 66\r\n");
            let _ = write!(s, "P-Charging-Vector: icid-value=\"{}\"\r\n", c.icid);
        }
        M::ByeOk => {
            body = String::new();
            from_b = !c.bye_b;
            s.push_str("SIP/2.0 200 OK\r\n");
            vias(&mut s, c, "b", c.bye_b, 2);
            let mut ids = String::new();
            idline(&mut ids, c, true, "BYE", q + 2);
            if c.bye_b {
                ids = ids
                    .replace("From: ", "\u{1}")
                    .replace("To: ", "From: ")
                    .replace('\u{1}', "To: ");
            }
            s.push_str(&ids);
        }
        M::Cancel => {
            body = String::new();
            let _ = write!(s, "CANCEL {} SIP/2.0\r\n", ruri);
            vias(&mut s, c, "i", false, 1);
            idline(&mut s, c, false, "CANCEL", q);
            let _ = write!(
                s,
                "Route: <sip:{}:5060;lr>\r\nMax-Forwards: 66\r\n",
                ips(ipb(c.b))
            );
            s.push_str(if c.elsewhere {
                "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"
            } else {
                "Reason: Q.850;cause=16;text=\"Terminated\"\r\n"
            });
        }
        M::CancelOk => {
            body = String::new();
            from_b = true;
            s.push_str("SIP/2.0 200 OK\r\n");
            vias(&mut s, c, "i", false, 1);
            idline(&mut s, c, true, "CANCEL", q);
        }
        M::Final => {
            body = String::new();
            from_b = true;
            let (l, r) = match c.out {
                Out::Cancelled => ("487 Request Terminated", ""),
                Out::Busy => ("486 Busy Here", "Reason: Q.850;cause=17;text=\"User busy\"\r\n"),
                Out::Unavail => (
                    "480 Temporarily Unavailable",
                    "Reason: Q.850;cause=20;text=\"Subscriber absent\"\r\n",
                ),
                _ => ("603 Decline", "Reason: Q.850;cause=21;text=\"Call rejected\"\r\n"),
            };
            let _ = write!(s, "SIP/2.0 {}\r\n", l);
            vias(&mut s, c, "i", false, 2);
            idline(&mut s, c, true, "INVITE", q);
            s.push_str(r);
            let _ = write!(
                s,
                "P-Charging-Vector: icid-value=\"{}\"\r\nServer: {}\r\n",
                c.icid,
                UA[(c.prof as usize + 1) % 4]
            );
        }
        M::AckF => {
            body = String::new();
            let _ = write!(s, "ACK {} SIP/2.0\r\n", ruri);
            vias(&mut s, c, "i", false, 1);
            idline(&mut s, c, true, "ACK", q);
            let _ = write!(
                s,
                "Route: <sip:{}:5060;lr>\r\nMax-Forwards: 66\r\n",
                ips(ipb(c.b))
            );
        }
        M::Opt => {
            body = String::new();
            let _ = write!(
                s,
                "OPTIONS sip:{}:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {}:5060;branch=z9hG4bK{}\r\nMax-Forwards: 0\r\nFrom: <sip:{}>;tag={}\r\nTo: <sip:{}>\r\nCall-ID: {}\r\nCSeq: {} OPTIONS\r\n",
                ips(ipb(c.b)),
                ips(ipa(c.a)),
                c.branch,
                ips(ipa(c.a)),
                c.ftag,
                ips(ipb(c.b)),
                c.cid,
                q
            );
        }
        M::OptOk => {
            body = String::new();
            from_b = true;
            let _ = write!(
                s,
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {}:5060;branch=z9hG4bK{}\r\nFrom: <sip:{}>;tag={}\r\nTo: <sip:{}>;tag={}\r\nCall-ID: {}\r\nCSeq: {} OPTIONS\r\n",
                ips(ipa(c.a)),
                c.branch,
                ips(ipa(c.a)),
                c.ftag,
                ips(ipb(c.b)),
                c.ttag,
                c.cid,
                q
            );
        }
    }
    if !body.is_empty() {
        s.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(s, "Content-Length: {}\r\n\r\n", body.len());
    s.push_str(&body);
    (s, from_b)
}
fn csum(mut acc: u32, b: &[u8]) -> u32 {
    let mut it = b.chunks_exact(2);
    for w in &mut it {
        acc += u16::from_be_bytes([w[0], w[1]]) as u32;
    }
    if let [x] = it.remainder() {
        acc += (*x as u32) << 8;
    }
    acc
}
fn fold(mut a: u32) -> u16 {
    while a >> 16 != 0 {
        a = (a & 0xffff) + (a >> 16);
    }
    !(a as u16)
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| {
        a.iter()
            .position(|x| x == k)
            .map(|i| a[i + 1].clone())
            .unwrap_or(d.to_string())
    };
    let n: usize = get("--calls", "100000").parse().unwrap();
    let seed: u64 = get("--seed", "1").parse().unwrap();
    let cps: f64 = get("--cps", "500").parse().unwrap();
    let (out, csv) = (get("--out", "ims.pcap"), get("--csv", "truth.csv"));
    let mut r = Rng(seed);
    let mut calls: Vec<Call> = Vec::with_capacity(n + n / 10);
    let mut ev: Vec<(u64, u32, u8, M)> = Vec::with_capacity(n * 9);
    const BASE: u64 = 1_750_000_000_000_000; // us
    let us = |x: f64| (x * 1e6) as u64;
    let mut t = 0f64;
    for i in 0..n {
        t += r.exp(1.0 / cps);
        let x = r.f();
        let o = if x < 0.60 {
            Out::Answered
        } else if x < 0.80 {
            Out::Cancelled
        } else if x < 0.88 {
            Out::Busy
        } else if x < 0.95 {
            Out::Unavail
        } else {
            Out::Declined
        };
        let prof = r.below(4) as u8;
        let (aa, bb) = (r.below(8) as u8, r.below(8) as u8);
        let cid = match prof {
            0 => format!("asbc{}{}@10.187.48.{}", hex(&mut r, 24), i, 3 + aa),
            1 => format!("{}-{}-{}@{}", hex(&mut r, 8), hex(&mut r, 8), i, dom(1)),
            2 => format!(
                "{}-{}-4{}-{}-{}{:x}",
                hex(&mut r, 8),
                hex(&mut r, 4),
                hex(&mut r, 3),
                hex(&mut r, 4),
                hex(&mut r, 12),
                i
            ),
            _ => format!(
                "LU-{}{}-{}@ims.srv{}",
                1_750_000_000 + t as u64,
                r.below(1_000_000),
                i,
                aa
            ),
        };
        let area = |r: &mut Rng| AREA[r.below(12) as usize] * 100_000_000 + r.below(100_000_000);
        let (caller, called) = (area(&mut r), area(&mut r));
        let mut c = Call {
            prof,
            a: aa,
            b: bb,
            cid,
            ftag: hex(&mut r, 10 + prof as usize * 3),
            ttag: hex(&mut r, 12 + prof as usize * 2),
            branch: hex(&mut r, 22),
            caller,
            called,
            out: o,
            elsewhere: o == Out::Cancelled && r.pct(8.0),
            privacy: r.pct(3.0),
            prack: r.pct(45.0),
            bye_b: r.pct(35.0),
            display: r.pct(25.0),
            telfrom: r.pct(10.0),
            cseq: 1 + r.below(9000) as u32,
            icid: format!("{}.{}", hex(&mut r, 20), i),
            npkt: 0,
            t0: 0,
            tend: 0,
            cell: r.next() as u32 & 0xfffffff,
            extra: r.pct(50.0),
        };
        let id = i as u32;
        let mut k = 0u8;
        let mut e = |c: &mut Call, t: f64, m: M| {
            ev.push((BASE + us(t), id, k, m));
            k += 1;
            c.npkt += 1;
        };
        let mut now = t;
        c.t0 = BASE + us(now);
        e(&mut c, now, M::Invite);
        let dup = r.pct(0.5);
        if dup {
            now += 0.5;
            e(&mut c, now, M::Invite);
        }
        now += 0.001 + r.f() * 0.01;
        e(&mut c, now, M::Trying);
        if c.prack {
            now += 0.05 + r.f() * 0.4;
            e(&mut c, now, M::Progress);
            now += 0.02 + r.f() * 0.05;
            e(&mut c, now, M::Prack);
            now += 0.005 + r.f() * 0.02;
            e(&mut c, now, M::PrackOk);
        }
        now += 0.2 + r.f() * 1.5;
        e(&mut c, now, M::Ringing);
        match o {
            Out::Answered => {
                now += 1.0 + r.exp(5.0).min(40.0);
                e(&mut c, now, M::Ok);
                now += 0.02 + r.f() * 0.08;
                e(&mut c, now, M::Ack);
                now += 1.0 + r.exp(18.0).min(120.0);
                e(&mut c, now, M::Bye);
                now += 0.005 + r.f() * 0.03;
                e(&mut c, now, M::ByeOk);
            }
            Out::Cancelled => {
                now += 2.0 + r.exp(8.0).min(55.0);
                e(&mut c, now, M::Cancel);
                now += 0.003 + r.f() * 0.01;
                e(&mut c, now, M::CancelOk);
                now += 0.003 + r.f() * 0.02;
                e(&mut c, now, M::Final);
                c.tend = BASE + us(now);
                now += 0.003 + r.f() * 0.01;
                e(&mut c, now, M::AckF);
            }
            _ => {
                now += if o == Out::Unavail {
                    5.0 + r.f() * 25.0
                } else {
                    0.5 + r.exp(4.0).min(30.0)
                };
                e(&mut c, now, M::Final);
                c.tend = BASE + us(now);
                now += 0.003 + r.f() * 0.01;
                e(&mut c, now, M::AckF);
            }
        }
        if o == Out::Answered {
            c.tend = BASE + us(now);
        }
        calls.push(c);
    }
    let ncalls = calls.len();
    let dur = t; // OPTIONS keep-alives between peers, 50 per second
    for j in 0..(dur * 50.0) as usize {
        let tt = j as f64 / 50.0;
        let id = calls.len() as u32;
        let mut c = Call {
            prof: 0,
            a: r.below(8) as u8,
            b: r.below(8) as u8,
            cid: format!("ka{}@hb", hex(&mut r, 16)),
            ftag: hex(&mut r, 8),
            ttag: hex(&mut r, 8),
            branch: hex(&mut r, 22),
            caller: 0,
            called: 0,
            out: Out::Answered,
            elsewhere: false,
            privacy: false,
            prack: false,
            bye_b: false,
            display: false,
            telfrom: false,
            cseq: 1,
            icid: String::new(),
            npkt: 2,
            t0: 0,
            tend: 0,
            cell: 0,
            extra: false,
        };
        c.t0 = BASE + us(tt);
        ev.push((BASE + us(tt), id, 0, M::Opt));
        ev.push((BASE + us(tt + 0.002), id, 1, M::OptOk));
        calls.push(c);
    }
    ev.sort_unstable_by_key(|x| (x.0, x.1, x.2));
    let mut w = BufWriter::with_capacity(1 << 20, std::fs::File::create(&out).unwrap());
    w.write_all(&0xa1b2c3d4u32.to_le_bytes()).unwrap();
    w.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])
        .unwrap();
    let (mut bytes, mut invb, mut invn, mut invmin, mut invmax, mut hdrs) =
        (0u64, 0u64, 0u64, usize::MAX, 0usize, 0u64);
    let mut ipid = 0u16;
    let mut pkt: Vec<u8> = Vec::with_capacity(2048);
    for &(ts, id, _, m) in &ev {
        let c = &calls[id as usize];
        let (p, fb) = render(c, m);
        bytes += p.len() as u64;
        if m == M::Invite {
            invb += p.len() as u64;
            invn += 1;
            invmin = invmin.min(p.len());
            invmax = invmax.max(p.len());
            hdrs += p.split("\r\n\r\n").next().unwrap().matches("\r\n").count() as u64;
        }
        let (src, dst) = if fb {
            (ipb(c.b), ipa(c.a))
        } else {
            (ipa(c.a), ipb(c.b))
        };
        pkt.clear();
        pkt.extend_from_slice(&[2, 0, 10, 187, dst[2], dst[3], 2, 0, 10, 187, src[2], src[3], 8, 0]);
        let ul = 8 + p.len() as u16;
        ipid = ipid.wrapping_add(1);
        let mut ip = [
            0x45, 0x68, 0, 0, 0, 0, 0x40, 0, 62, 17, 0, 0, src[0], src[1], src[2], src[3], dst[0], dst[1],
            dst[2], dst[3],
        ];
        ip[2..4].copy_from_slice(&(20 + ul).to_be_bytes());
        ip[4..6].copy_from_slice(&ipid.to_be_bytes());
        let s = fold(csum(0, &ip));
        ip[10..12].copy_from_slice(&s.to_be_bytes());
        pkt.extend_from_slice(&ip);
        let mut ud = [0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0];
        ud[4..6].copy_from_slice(&ul.to_be_bytes());
        let mut acc = csum(0, &ip[12..20]);
        acc += 17 + ul as u32;
        acc = csum(acc, &ud);
        acc = csum(acc, p.as_bytes());
        let mut s = fold(acc);
        if s == 0 {
            s = 0xffff;
        }
        ud[6..8].copy_from_slice(&s.to_be_bytes());
        pkt.extend_from_slice(&ud);
        pkt.extend_from_slice(p.as_bytes());
        for v in [
            (ts / 1_000_000) as u32,
            (ts % 1_000_000) as u32,
            pkt.len() as u32,
            pkt.len() as u32,
        ] {
            w.write_all(&v.to_le_bytes()).unwrap();
        }
        w.write_all(&pkt).unwrap();
    }
    w.flush().unwrap();
    let mut f = BufWriter::new(std::fs::File::create(&csv).unwrap());
    writeln!(
        f,
        "call_id,caller,called,invite_us,end_us,outcome,final_status,elsewhere,privacy,missed,packets"
    )
    .unwrap();
    let mut missed = 0;
    for c in &calls[..ncalls] {
        let st = match c.out {
            Out::Answered => 200,
            Out::Cancelled => 487,
            Out::Busy => 486,
            Out::Unavail => 480,
            Out::Declined => 603,
        };
        let ms = c.out != Out::Answered && !c.elsewhere;
        missed += ms as u32;
        writeln!(
            f,
            "{},+86{},+86{},{},{},{:?},{},{},{},{},{}",
            c.cid,
            c.caller,
            c.called,
            c.t0,
            c.tend,
            c.out,
            st,
            c.elsewhere as u8,
            c.privacy as u8,
            ms as u8,
            c.npkt
        )
        .unwrap();
    }
    // peak concurrency
    let mut pts: Vec<(u64, i32)> = calls[..ncalls]
        .iter()
        .flat_map(|c| [(c.t0, 1), (c.tend, -1)])
        .collect();
    pts.sort();
    let (mut cur, mut peak) = (0, 0);
    for p in pts {
        cur += p.1;
        peak = peak.max(cur);
    }
    eprintln!(
        "packets={} calls={} missed={} payload_bytes={} mean_payload={:.0} invite mean/min/max={:.0}/{}/{} invite_lines={:.1} peak_concurrent={} span_s={:.0}",
        ev.len(),
        ncalls,
        missed,
        bytes,
        bytes as f64 / ev.len() as f64,
        invb as f64 / invn as f64,
        invmin,
        invmax,
        hdrs as f64 / invn as f64,
        peak,
        (ev.last().unwrap().0 - ev[0].0) as f64 / 1e6
    );
}

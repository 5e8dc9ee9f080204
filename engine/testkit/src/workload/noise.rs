//! What is on the mirrored ports beside calls: phones that register, nodes that ask each other whether they
//! live (semantics.md D71). None of it may lead to a record.

use fastrand::Rng;
use ringtap_record::Time;

use super::Options;
use super::office::Office;
use super::scene::MS;
use crate::cast::Cast as _;
use crate::fixtures::{HOME_DOMAIN, Node};
use crate::generate::BASE;
use crate::message::Text;
use crate::notation::Segment;
use crate::wire::{Label, Link, Wire};

/// Makes the noise.
pub(super) struct Noise<'o> {
    office: &'o Office,
    random: Rng,
    /// How much in a second.
    per_s: f64,
    next_us: i64,
}

/// One request, from a node to the next, and what it carries.
struct Asked<'a> {
    method: &'a str,
    uri: String,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    via: Vec<String>,
    extra: Vec<(&'a str, String)>,
}

impl<'o> Noise<'o> {
    pub(super) fn new(office: &'o Office, options: &Options) -> Self {
        Self {
            office,
            random: Rng::with_seed(options.seed ^ 0x006e_6f69_7365),
            per_s: options.cps * options.noise,
            next_us: 0,
        }
    }

    /// When the next exchange begins.
    pub(super) fn next_start(&self) -> Option<i64> {
        (self.per_s > 0.0).then_some(self.next_us)
    }

    /// Adds the messages of the next exchange.
    pub(super) fn next(&mut self, wires: &mut Vec<Wire>) {
        let at = BASE.plus_us(self.next_us);
        if self.random.bool() {
            self.register(at, wires);
        } else {
            self.ping(at, wires);
        }
        let gap_s = -(1.0 - self.random.f64()).ln() / self.per_s;
        self.next_us += (gap_s * 1e6) as i64;
    }

    /// A phone registers: challenged, then accepted.
    fn register(&mut self, at: Time, wires: &mut Vec<Wire>) {
        let people = self.office.people();
        let desk = &people[self.random.usize(..people.len())].desk;
        let phone = self.office.phone(desk, 1);
        let account = format!("sip:{desk}@{HOME_DOMAIN}");
        let (call_id, tag) = (format!("r{:016x}", self.random.u64(..)), self.random.u32(..));
        for (cseq, status) in [(1, 401), (2, 200)] {
            let at = at.plus_us(i64::from(cseq - 1) * 150 * MS);
            let branches = [(); 2].map(|()| format!("z9hG4bK{:016x}", self.random.u64(..)));
            let via = |node: Node, branch: &str| format!("SIP/2.0/UDP {};branch={branch}", node.address());
            let near = vec![via(phone, &branches[0])];
            let far = vec![via(Node::Pcscf, &branches[1]), near[0].clone()];
            let mut extra = vec![
                ("Contact", format!("<sip:line@{}>", phone.address())),
                ("Expires", "3600".to_owned()),
            ];
            if cseq == 2 {
                let credentials =
                    format!("Digest username=\"{desk}\", realm=\"{HOME_DOMAIN}\", nonce=\"{tag:08x}\"");
                extra.push(("Authorization", credentials));
            }
            let answer = match status {
                401 => (
                    "WWW-Authenticate",
                    format!("Digest realm=\"{HOME_DOMAIN}\", nonce=\"{tag:08x}\""),
                ),
                _ => (
                    "P-Associated-URI",
                    format!("<{account};user=phone>, <tel:{desk}>"),
                ),
            };
            for (hop, (nodes, via, segment)) in (0_i64..).zip([
                ((phone, Node::Pcscf), near, Segment::Go),
                ((Node::Pcscf, Node::Core), far, Segment::Mo),
            ]) {
                let asked = Asked {
                    method: "REGISTER",
                    uri: format!("sip:{HOME_DOMAIN}"),
                    from: format!("<{account}>;tag={tag:08x}"),
                    to: format!("<{account}>"),
                    call_id: call_id.clone(),
                    cseq,
                    via,
                    extra: extra.clone(),
                };
                let there = at.plus_us(hop * 10 * MS);
                let back = at.plus_us((60 - hop * 10) * MS);
                self.exchange(&asked, nodes, segment, (there, back), (status, &answer), wires);
            }
        }
    }

    /// A node asks its neighbour whether it lives.
    fn ping(&mut self, at: Time, wires: &mut Vec<Wire>) {
        let pairs = [
            (Node::Core, Node::Mgcf, Segment::Gj),
            (Node::Mgcf, Node::Core, Segment::Gi),
            (Node::Pcscf, Node::Core, Segment::Mo),
            (Node::Core, Node::Pcscf, Segment::Mt),
        ];
        let (from, to, segment) = pairs[self.random.usize(..pairs.len())];
        let branch = self.random.u64(..);
        let asked = Asked {
            method: "OPTIONS",
            uri: format!("sip:{}", to.address()),
            from: format!("<sip:ping@{}>;tag={:08x}", from.address(), self.random.u32(..)),
            to: format!("<sip:{}>", to.address()),
            call_id: format!("p{:016x}", self.random.u64(..)),
            cseq: 1,
            via: vec![format!(
                "SIP/2.0/UDP {};branch=z9hG4bK{branch:016x}",
                from.address()
            )],
            extra: Vec::new(),
        };
        let allow = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS".to_owned());
        self.exchange(
            &asked,
            (from, to),
            segment,
            (at, at.plus_us(5 * MS)),
            (200, &allow),
            wires,
        );
    }

    fn exchange(
        &mut self,
        asked: &Asked<'_>,
        (near, far): (Node, Node),
        segment: Segment,
        (there, back): (Time, Time),
        (status, answer): (u16, &(&str, String)),
        wires: &mut Vec<Wire>,
    ) {
        let mut request = Text::request(asked.method, &asked.uri);
        asked.common(&mut request, &asked.to).header("Max-Forwards", "70");
        for (name, value) in &asked.extra {
            request.header(name, value);
        }
        let mut response = Text::response(status);
        let to = format!("{};tag={:08x}", asked.to, self.random.u32(..));
        asked.common(&mut response, &to).header(answer.0, &answer.1);
        let mut put = |time, source: Node, destination: Node, payload, message| {
            wires.push(Wire {
                time,
                source: source.address(),
                destination: destination.address(),
                payload,
                captured: true,
                link: Link::default(),
                datagram: self.random.u64(..),
                label: Label {
                    case: "noise".to_owned(),
                    leg: "-".to_owned(),
                    segment,
                    message,
                },
            });
        };
        put(
            there,
            near,
            far,
            request.bare(),
            format!("{} {}", asked.method, asked.cseq),
        );
        let label = format!("{status}/{} {}", asked.method, asked.cseq);
        put(back, far, near, response.bare(), label);
    }
}

impl Asked<'_> {
    fn common<'t>(&self, text: &'t mut Text, to: &str) -> &'t mut Text {
        text.headers("Via", &self.via)
            .header("From", &self.from)
            .header("To", to)
            .header("Call-ID", &self.call_id)
            .header("CSeq", &format!("{} {}", self.cseq, self.method))
    }
}

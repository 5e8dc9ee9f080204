//! The way of a leg through the network and everything that is named along it: nodes, Call-ID, tags,
//! branches, Via and Record-Route.
//!
//! Names come from a hash of the case, a salt and the place in the story, so that a retransmission repeats
//! its branch by itself and a case generated under another salt shares nothing with the first.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::cast::{Cast, MediaPlace, Side};
use crate::fixtures::Node;
use crate::notation::{Direction, Leg, Segment};
use crate::scenario::Case;

/// A transaction of a leg; its hops differ by branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// CANCEL and the ACK of a failure belong to their INVITE, the ACK of a 2xx is `ACK`.
    pub(crate) class: &'static str,
    pub(crate) cseq: u32,
    pub(crate) direction: Direction,
}

/// The way of one leg: `nodes[i]` sends over segment `i` towards the callee, `nodes[i + 1]` receives.
pub(crate) struct Path {
    pub(crate) nodes: Vec<Node>,
    origin: Origin,
}

enum Origin {
    /// Starts at a node that is visible.
    Visible,
    /// Starts at an application server, whose own hop is not mirrored.
    As,
    /// Continues the hop of another leg (`cid=`).
    Hop { leg: usize, hop: usize },
}

/// Every leg's path, and the names along it.
pub(crate) struct Routes<'a> {
    pub(crate) case: Cow<'a, Case>,
    pub(crate) cast: &'a dyn Cast,
    paths: Vec<Path>,
    salt: u64,
}

impl<'a> Routes<'a> {
    pub(crate) fn new(case: Cow<'a, Case>, salt: u64, cast: &'a dyn Cast) -> Self {
        let mut routes = Self {
            case,
            cast,
            paths: Vec::new(),
            salt,
        };
        for leg in 0..routes.case.legs.len() {
            let path = routes.path_of(routes.leg(leg));
            routes.paths.push(path);
        }
        routes
    }

    fn path_of(&self, leg: &Leg) -> Path {
        let first = self.start(leg.segments[0], leg);
        let nodes: Vec<Node> = std::iter::once(first)
            .chain(leg.segments.iter().map(|segment| self.end(*segment, leg)))
            .collect();
        for pair in leg.segments.windows(2) {
            assert_eq!(
                self.end(pair[0], leg),
                self.start(pair[1], leg),
                "{}: broken path",
                self.case.name
            );
        }
        let origin = match &leg.options.cid {
            Some(parent) => {
                let parent = self.case.legs.iter().position(|leg| leg.name == *parent).unwrap();
                let ends = &self.paths[parent].nodes[1..];
                let hop = ends.iter().rposition(|node| *node == first);
                Origin::Hop {
                    leg: parent,
                    hop: hop.expect("a cid= leg starts where a hop of its parent ends"),
                }
            }
            None if first == Node::Core => Origin::As,
            None => Origin::Visible,
        };
        Path { nodes, origin }
    }

    pub(crate) fn leg(&self, leg: usize) -> &Leg {
        &self.case.legs[leg]
    }

    fn start(&self, segment: Segment, leg: &Leg) -> Node {
        match segment {
            Segment::Go => self.cast.phone(&leg.caller, 1),
            Segment::Mo | Segment::Gt => Node::Pcscf,
            Segment::Mt | Segment::Gj => Node::Core,
            Segment::Gi => Node::Mgcf,
        }
    }

    fn end(&self, segment: Segment, leg: &Leg) -> Node {
        match segment {
            Segment::Go | Segment::Mt => Node::Pcscf,
            Segment::Mo | Segment::Gi => Node::Core,
            Segment::Gt => self.phone(leg),
            Segment::Gj => Node::Mgcf,
        }
    }

    /// The callee's phone.
    pub(crate) fn phone(&self, leg: &Leg) -> Node {
        self.cast
            .phone(&leg.callee, if leg.options.second_device { 2 } else { 1 })
    }

    pub(crate) fn nodes(&self, leg: usize) -> &[Node] {
        &self.paths[leg].nodes
    }

    pub(crate) fn parent(&self, leg: usize) -> Option<usize> {
        match self.paths[leg].origin {
            Origin::Hop { leg, .. } => Some(leg),
            _ => None,
        }
    }

    /// The leg whose Call-ID, From and To this one carries.
    pub(crate) fn root(&self, leg: usize) -> usize {
        self.parent(leg).map_or(leg, |parent| self.root(parent))
    }

    /// The node that created the Call-ID of the leg.
    pub(crate) fn origin(&self, leg: usize) -> Node {
        let root = &self.paths[self.root(leg)];
        if matches!(root.origin, Origin::As) {
            Node::As
        } else {
            root.nodes[0]
        }
    }

    /// Address and port of the media of one side of a leg's session.
    pub(crate) fn media(&self, leg: usize, side: Side, owner: Node, session: u64) -> SocketAddr {
        let place = MediaPlace {
            salt: self.salt,
            leg: self.root(leg),
            side,
        };
        self.cast.media(owner, session, place)
    }

    /// A number that belongs to this case, this salt and `parts`.
    pub(crate) fn hash(&self, parts: &[&str]) -> u64 {
        let salt = self.salt.to_le_bytes();
        let texts = [self.case.name.as_str()].into_iter().chain(parts.iter().copied());
        // FNV-1a, with a separator after each part, and the finisher of SplitMix64 to spread the bits.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        salt.into_iter().for_each(&mut eat);
        for text in texts {
            text.bytes().chain([0xff]).for_each(&mut eat);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    pub(crate) fn call_id(&self, leg: usize) -> String {
        let root = self.root(leg);
        let local = self.hash(&["call-id", &self.leg(root).name]);
        format!("{local:016x}@{}", self.origin(leg).address().ip())
    }

    pub(crate) fn caller_tag(&self, leg: usize) -> String {
        format!(
            "{:08x}",
            self.hash(&["from-tag", &self.leg(self.root(leg)).name]) as u32
        )
    }

    /// The To-tag `#number` of the notation.
    pub(crate) fn numbered_tag(&self, leg: usize, number: u32) -> String {
        let name = &self.leg(self.root(leg)).name;
        format!("{:08x}", self.hash(&["to-tag", name, &number.to_string()]) as u32)
    }

    /// The To-tag of `responder` for an INVITE of the leg.
    pub(crate) fn own_tag(&self, leg: usize, cseq: u32, responder: Node) -> String {
        let parts = [
            "to-tag-of",
            &self.leg(leg).name,
            &cseq.to_string(),
            &responder.address().to_string(),
        ];
        format!("{:08x}", self.hash(&parts) as u32)
    }

    /// The `icid-value`: one per row unless the leg says otherwise. A salt changes it too, but not a
    /// degenerate one (S20), whose point is to be the same everywhere.
    pub(crate) fn icid(&self, leg: usize) -> String {
        match &self.leg(leg).options.icid {
            Some(icid) if self.salt == 0 || icid.len() < 8 => icid.clone(),
            Some(icid) => format!("{icid}-{:08x}", self.hash(&["icid"]) as u32),
            None => format!("{:016x}", self.hash(&["icid"])),
        }
    }

    pub(crate) fn branch(&self, leg: usize, hop: usize, transaction: &Transaction) -> String {
        let place = [
            "branch",
            &self.leg(leg).name,
            &hop.to_string(),
            transaction.class,
            &transaction.cseq.to_string(),
            if transaction.direction == Direction::ToCallee {
                ">"
            } else {
                "<"
            },
        ];
        format!("z9hG4bK{:016x}", self.hash(&place))
    }

    /// The top Via of a request on a hop.
    pub(crate) fn top_via(&self, leg: usize, hop: usize, transaction: &Transaction) -> String {
        let nodes = self.nodes(leg);
        let sender = match transaction.direction {
            Direction::ToCallee => nodes[hop],
            Direction::ToCaller => nodes[hop + 1],
        };
        via(sender, &self.branch(leg, hop, transaction))
    }

    /// The whole Via stack of a request on a hop, topmost first.
    pub(crate) fn vias(&self, leg: usize, hop: usize, transaction: &Transaction) -> Vec<String> {
        let top_via = |hop| self.top_via(leg, hop, transaction);
        if transaction.direction == Direction::ToCaller {
            return (hop..self.nodes(leg).len() - 1).map(top_via).collect();
        }
        let mut vias: Vec<String> = (0..=hop).rev().map(top_via).collect();
        match self.paths[leg].origin {
            Origin::Visible => {}
            Origin::As => vias.push(via(Node::As, &self.branch(leg, usize::MAX, transaction))),
            Origin::Hop { leg: parent, hop } => vias.extend(self.vias(parent, hop, transaction)),
        }
        vias
    }

    /// Max-Forwards left when a request to the callee crosses a hop.
    pub(crate) fn max_forwards(&self, leg: usize, hop: usize) -> usize {
        match self.paths[leg].origin {
            Origin::Visible => 70 - hop,
            Origin::As => 69 - hop,
            Origin::Hop {
                leg: parent,
                hop: before,
            } => self.max_forwards(parent, before) - 1 - hop,
        }
    }

    /// The Record-Route entries of the dialog-creating INVITE on a hop, topmost first.
    pub(crate) fn record_route(&self, leg: usize, hop: usize) -> Vec<String> {
        let passed = self.nodes(leg)[..=hop]
            .iter()
            .rev()
            .filter(|node| node.is_proxy());
        let mut entries: Vec<String> = passed.map(|node| route_entry(*node)).collect();
        if let Origin::Hop { leg: parent, hop } = self.paths[leg].origin {
            entries.extend(self.record_route(parent, hop));
        }
        entries
    }

    /// The Route entries of a dialog-creating INVITE on a hop: as far as the core, which finds the rest.
    pub(crate) fn opening_route(&self, leg: usize, hop: usize) -> Vec<String> {
        let ahead = &self.nodes(leg)[hop + 1..];
        let known = ahead
            .iter()
            .position(|node| *node == Node::Core)
            .map_or(ahead.len(), |core| core + 1);
        ahead[..known]
            .iter()
            .filter(|node| node.is_proxy())
            .map(|node| route_entry(*node))
            .collect()
    }

    /// The Route entries of a request within a dialog on a hop: every proxy that is still to come.
    pub(crate) fn dialog_route(&self, leg: usize, hop: usize, direction: Direction) -> Vec<String> {
        let nodes = self.nodes(leg);
        let ahead: Vec<Node> = match direction {
            Direction::ToCallee => nodes[hop + 1..].to_vec(),
            Direction::ToCaller => nodes[..=hop].iter().rev().copied().collect(),
        };
        ahead
            .into_iter()
            .filter(|node| node.is_proxy())
            .map(route_entry)
            .collect()
    }
}

fn via(sender: Node, branch: &str) -> String {
    format!("SIP/2.0/UDP {};branch={branch}", sender.address())
}

fn route_entry(node: Node) -> String {
    format!("<sip:{};lr>", node.address())
}

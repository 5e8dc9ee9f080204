//! What the operator configured, ready for use per message: who is who on the network, which numbers
//! are special, how long to wait.

use std::net::IpAddr;

use compact_str::CompactString;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::IpNet;
use ringtap_config::{Config, Learn, MediaRequired, Timers};
use ringtap_identity::{Identity, Plan, Segment};
use ringtap_sip::percent_decode;
use ringtap_sip::uri::uri;

/// Identities that the operator listed: nobody else chooses what is in it, so that it needs no secret.
type Identities = HashSet<Identity, FixedState>;

/// A party of the mirrored network (semantics.md §0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A P-CSCF.
    Pcscf,
    /// An MGCF.
    Mgcf,
    /// An I-CSCF, S-CSCF, BGCF or application server.
    Core,
    /// A phone.
    Ue,
}

/// Who is at which addresses, ready for two questions a message: a mask and a comparison for each prefix.
#[derive(Debug)]
struct Nodes {
    v4: Vec<(u32, u32, Node)>,
    v6: Vec<(u128, u128, Node)>,
}

impl Nodes {
    /// Of two prefixes that hold an address, the one named first decides.
    fn of(nodes: &[(IpNet, Node)]) -> Self {
        let mut found = Self {
            v4: Vec::new(),
            v6: Vec::new(),
        };
        for (net, node) in nodes {
            match net {
                IpNet::V4(net) => found
                    .v4
                    .push((net.network().to_bits(), net.netmask().to_bits(), *node)),
                IpNet::V6(net) => found
                    .v6
                    .push((net.network().to_bits(), net.netmask().to_bits(), *node)),
            }
        }
        found
    }

    const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn at(&self, address: IpAddr) -> Option<Node> {
        match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let holds = |(net, mask, _): &&(u32, u32, Node)| bits & mask == *net;
                self.v4.iter().find(holds).map(|(_, _, node)| *node)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let holds = |(net, mask, _): &&(u128, u128, Node)| bits & mask == *net;
                self.v6.iter().find(holds).map(|(_, _, node)| *node)
            }
        }
    }
}

/// Everything that the tracker must know beside the messages.
#[derive(Debug)]
pub struct Rules {
    /// The numbering plan and home domains.
    pub plan: Plan,
    /// Timers of semantics.md §2.1, in milliseconds.
    pub timers: Timers,
    /// D01: an answer shorter than this is to be told from others; 0 is off.
    pub short_answer_ms: u64,
    nodes: Nodes,
    service_callers: Identities,
    voicemail_numbers: Identities,
    machine_numbers: Identities,
    voicemail_hosts: HashSet<CompactString, FixedState>,
    emergency_numbers: Identities,
    paging_numbers: Identities,
    group_numbers: Identities,
    pickup_codes: Vec<String>,
    pickup_groups: Vec<Vec<Identity>>,
    correlation_headers: Vec<String>,
    alerting_183: Vec<IpNet>,
    pub(crate) q850_13_elsewhere: bool,
    pub(crate) media_required: MediaRequired,
    /// Whether implicit registration sets are learned.
    pub(crate) learns_sets: bool,
    /// Contacts that are remembered.
    pub(crate) bindings_max: usize,
}

impl Rules {
    /// Takes from the configuration what concerns calls.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let network = &config.network;
        let of = |nets: &[IpNet], node| nets.iter().map(move |net| (*net, node)).collect::<Vec<_>>();
        let mut nodes = [
            of(&network.pcscf, Node::Pcscf),
            of(&network.mgcf, Node::Mgcf),
            of(&network.core, Node::Core),
            of(&network.ue, Node::Ue),
        ]
        .concat();
        // The most specific prefix decides: a P-CSCF may stand inside the phones' prefix.
        nodes.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        let set = |list: &[Identity]| list.iter().cloned().collect();
        let identities = &config.identities;
        Self {
            plan: config.plan.clone(),
            timers: config.timers.clone(),
            short_answer_ms: u64::from(config.policy.short_answer_s) * 1000,
            nodes: Nodes::of(&nodes),
            service_callers: set(&identities.service_callers),
            voicemail_numbers: set(&identities.voicemail_numbers),
            machine_numbers: set(&identities.machine_numbers),
            voicemail_hosts: identities
                .voicemail_hosts
                .iter()
                .map(|host| host.to_lowercase().into())
                .collect(),
            emergency_numbers: set(&identities.emergency_numbers),
            paging_numbers: set(&identities.paging_numbers),
            group_numbers: set(&identities.group_numbers),
            pickup_codes: identities.pickup_codes.clone(),
            pickup_groups: identities.pickup_groups.clone(),
            correlation_headers: network.correlation_headers.clone(),
            alerting_183: config.policy.treat_183_as_alerting.clone(),
            q850_13_elsewhere: config.policy.q850_13_elsewhere,
            media_required: config.policy.media_required,
            learns_sets: config.identities.learn != Learn::Off,
            bindings_max: config.limits.bindings_max,
        }
    }

    /// The segment on which a dialog-creating request from `source` to `destination` travels
    /// (semantics.md §0). For a response swap the addresses.
    #[must_use]
    pub fn segment(&self, source: IpAddr, destination: IpAddr) -> Segment {
        if self.nodes.is_empty() {
            return Segment::Unknown;
        }
        match (self.nodes.at(source), self.nodes.at(destination)) {
            (Some(Node::Ue), Some(Node::Pcscf)) => Segment::Go,
            (Some(Node::Pcscf), Some(Node::Core)) => Segment::Mo,
            (Some(Node::Core), Some(Node::Pcscf)) => Segment::Mt,
            (Some(Node::Pcscf), Some(Node::Ue)) => Segment::Gt,
            (Some(Node::Mgcf), Some(Node::Core)) => Segment::Gi,
            (Some(Node::Core), Some(Node::Mgcf)) => Segment::Gj,
            _ => Segment::Unknown,
        }
    }

    /// Whether what this node says of registrations is believed: only the network's own nodes are, once any
    /// of them is known. A phone could claim anybody's number otherwise.
    pub(crate) fn is_registrar(&self, source: IpAddr) -> bool {
        self.nodes.is_empty() || matches!(self.nodes.at(source), Some(Node::Pcscf | Node::Core))
    }

    /// Whether an identity is a group's, a machine's or a service's rather than a person's.
    pub(crate) fn is_nobodys(&self, identity: &Identity) -> bool {
        self.is_group(identity)
            || self.is_machine_identity(identity)
            || self.is_service_caller(identity)
            || self.is_paging(identity)
            || self.is_emergency(identity)
    }

    /// Whether a 183 from this address means ringing (a gateway that never sends 180).
    pub(crate) fn alerts_by_183(&self, source: IpAddr) -> bool {
        self.alerting_183.iter().any(|net| net.contains(&source))
    }

    /// D65: the controller of click-to-dial calls.
    pub(crate) fn is_service_caller(&self, caller: &Identity) -> bool {
        self.service_callers.contains(caller)
    }

    /// D63: an emergency number or service.
    pub(crate) fn is_emergency(&self, called: &Identity) -> bool {
        self.emergency_numbers.contains(called) || called.as_str().starts_with("urn:service:sos")
    }

    /// D69: paging, whose failures are not reported.
    pub(crate) fn is_paging(&self, called: &Identity) -> bool {
        self.paging_numbers.contains(called)
    }

    /// D45, D46: the pilot number of a group.
    pub(crate) fn is_group(&self, called: &Identity) -> bool {
        self.group_numbers.contains(called)
    }

    /// K5: headers whose equal value means the same call.
    pub(crate) fn correlation_headers(&self) -> &[String] {
        &self.correlation_headers
    }

    /// D49: whether a Request-URI is the code that picks up a colleague's call. The user part is compared
    /// as it was keyed.
    pub(crate) fn is_pickup_code(&self, request_uri: &[u8]) -> bool {
        !self.pickup_codes.is_empty()
            && uri(request_uri).and_then(|uri| uri.user).is_some_and(|user| {
                self.pickup_codes
                    .iter()
                    .any(|code| percent_decode(user).eq(code.bytes()))
            })
    }

    /// D49: whether `picker` may have picked up a call to `called`: `Some` only if a configured group
    /// decides.
    pub(crate) fn may_pick_up(&self, picker: &Identity, called: &Identity) -> Option<bool> {
        let has = |member: &Identity| self.pickup_groups.iter().any(|group| group.contains(member));
        let both = |group: &Vec<Identity>| group.contains(picker) && group.contains(called);
        (has(picker) || has(called)).then(|| self.pickup_groups.iter().any(both))
    }

    /// Whether any rule of semantics.md §2.6 needs to look at identities of an answer.
    pub(crate) fn knows_machines(&self) -> bool {
        !(self.voicemail_numbers.is_empty()
            && self.machine_numbers.is_empty()
            && self.voicemail_hosts.is_empty())
    }

    /// Whether a URI names a machine (semantics.md §2.6): by its number or by its host.
    pub(crate) fn is_machine(&self, uri_bytes: &[u8], segment: Segment) -> bool {
        let by_host = uri(uri_bytes).is_some_and(|parsed| {
            std::str::from_utf8(parsed.host)
                .is_ok_and(|host| self.voicemail_hosts.contains(host.to_lowercase().as_str()))
        });
        by_host
            || self
                .plan
                .identify(uri_bytes, segment)
                .is_some_and(|identity| self.is_machine_identity(&identity))
    }

    pub(crate) fn has_queues(&self) -> bool {
        !self.machine_numbers.is_empty()
    }

    /// How long after its end a leg may stay open at most, in milliseconds, timers for missing ends left out.
    pub(crate) fn closes_within_ms(&self) -> u64 {
        let timers = &self.timers;
        let short_ms = self.short_answer_ms.saturating_add(timers.reorder_ms);
        let waits = [timers.settle_ms, timers.successor_ms, timers.retry_ms, short_ms];
        waits.into_iter().max().unwrap_or_default()
    }

    /// How long who takes over from a running capture has to listen beside it before it knows all that matters, in milliseconds.
    ///
    /// What it hears is whole from its first moment on, but for calls that had begun by then. Of those that are open it hears the rest; when none of
    /// them is left, it knows of every call what the other knows, which the other tells. This is about those that had *ended* by then: of them it
    /// may hear late copies and retransmissions, which the other swallows for T_tombstone, and which are the beginning of a leg to who does not know
    /// that there was one. Such a leg is the other's affair. It is closed when the longest of the timers that stand in for a missing end has
    /// passed, and judged after the waits for copies, retries and successors, with legs that began T_leg apart.
    #[must_use]
    pub fn warm_up_ms(&self) -> u64 {
        let timers = &self.timers;
        let unseen_end_ms = [timers.ring_max_ms, timers.noresp_ms, timers.noresp_gm_ms]
            .into_iter()
            .max()
            .unwrap_or_default();
        [
            timers.tombstone_ms,
            unseen_end_ms,
            self.closes_within_ms(),
            timers.leg_ms,
            timers.reorder_ms,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// D52: a queue or an announcement, behind which people may be tried.
    pub(crate) fn is_queue(&self, identity: &Identity) -> bool {
        self.machine_numbers.contains(identity)
    }

    /// Whether an identity is a machine's.
    pub(crate) fn is_machine_identity(&self, identity: &Identity) -> bool {
        self.voicemail_numbers.contains(identity) || self.machine_numbers.contains(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a prefix that holds an address too many or too few, and the wrong one of two that hold it.
    #[test]
    fn nodes_as_prefixes_have_them() {
        let nets = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "10.1.2.3/24",
            "2001:db8::/32",
            "2001:db8::1/64",
            "2001:db8::1/128",
            "::/0",
        ];
        let kinds = [Node::Pcscf, Node::Mgcf, Node::Core, Node::Ue];
        let addresses = [
            "10.1.2.3",
            "10.1.2.4",
            "10.1.3.4",
            "10.2.0.1",
            "11.0.0.1",
            "0.0.0.0",
            "2001:db8::1",
            "2001:db8::2",
            "2001:db9::",
            "::1",
        ];
        for _ in 0..200 {
            let nodes: Vec<(IpNet, Node)> = (0..fastrand::usize(0..5))
                .filter_map(|_| Some((fastrand::choice(nets)?.parse().ok()?, fastrand::choice(kinds)?)))
                .collect();
            let quick = Nodes::of(&nodes);
            assert_eq!(quick.is_empty(), nodes.is_empty());
            for address in addresses {
                let address: IpAddr = address.parse().expect("an address");
                let wanted = nodes
                    .iter()
                    .find(|(net, _)| net.contains(&address))
                    .map(|(_, node)| *node);
                assert_eq!(quick.at(address), wanted, "{address} {nodes:?}");
            }
        }
    }
}

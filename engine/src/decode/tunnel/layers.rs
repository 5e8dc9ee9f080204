//! The encapsulations around what is being looked at, from the outside in.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use ringtap_classify::{IpSpan, IpVersion, TunnelKind, Vlans};

use super::Capsule;
use crate::capture::Frame;
use crate::decode::Around;

/// How many encapsulations are opened, one within the other (semantics.md §5, "Remote mirrors").
const DEPTH_MAX: usize = 8;

/// One encapsulation that was opened.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Layer {
    kind: TunnelKind,
    ip: Option<IpSpan>,
    vlans: Vlans,
    /// Tells tunnels between the same ends apart; `None` if what is inside belongs to the network around it.
    id: Option<u32>,
}

impl Layer {
    pub(in crate::decode) const fn new(capsule: &Capsule, id: Option<u32>) -> Self {
        Self {
            kind: capsule.kind,
            ip: capsule.ip,
            vlans: capsule.vlans,
            id,
        }
    }
}

/// All that were opened in one frame.
#[derive(Debug)]
pub(in crate::decode) struct Layers {
    outside: Around,
    opened: ArrayVec<Layer, DEPTH_MAX>,
}

impl Layers {
    /// None yet.
    pub(in crate::decode) fn new(outside: Around) -> Self {
        Self {
            outside,
            opened: ArrayVec::new(),
        }
    }

    /// Whether no further one may be opened.
    pub(in crate::decode) fn is_deepest(&self) -> bool {
        usize::from(self.outside.depth) + self.opened.len() >= DEPTH_MAX
    }

    /// One more was opened.
    pub(in crate::decode) fn push(&mut self, layer: Layer) {
        // There is room: nobody opens more than that.
        let _full = self.opened.try_push(layer);
    }

    /// What is around a packet in the innermost one. Only what is put together of several packets asks for that: it costs a hash
    /// for each layer.
    pub(in crate::decode) fn around(&self, frame: &Frame<'_>) -> Around {
        let within = |around: Around, layer: &Layer| {
            let depth = around.depth.saturating_add(1);
            let outside = || around.network_of(frame.link, layer.vlans);
            let network = match (layer.id, layer.kind) {
                (Some(id), kind) => {
                    let ends = layer.ip.map(|ip| ends(frame.bytes, ip));
                    Some(outside().within((kind as u8, ends, id)))
                }
                // The walk begins anew behind it, and knows no tag that stood before.
                (None, TunnelKind::Snap) => Some(outside()),
                // What ESP protects has the tags of its packet.
                (None, _) => around.network,
            };
            Around { network, depth }
        };
        self.opened.iter().fold(self.outside, within)
    }
}

/// Source and destination of the packet that a tunnel travels in.
fn ends(bytes: &[u8], ip: IpSpan) -> [Option<IpAddr>; 2] {
    [ip.source_at, ip.destination_at].map(|at| {
        let octets = bytes.get(at..)?;
        Some(match ip.version {
            IpVersion::V4 => IpAddr::from(*octets.first_chunk::<4>()?),
            IpVersion::V6 => IpAddr::from(*octets.first_chunk::<16>()?),
        })
    })
}

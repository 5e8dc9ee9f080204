//! `[capture]`: which packets are SIP.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Most ports that can be listed, so that who filters packets may hold them in a fixed table.
pub const PORTS_MAX: usize = 32;

/// Frames that may wait for the program, for each queue: bounds of `ring_frames`, which is a power of two.
pub const RING_FRAMES_MIN: u32 = 64;
/// See [`RING_FRAMES_MIN`].
pub const RING_FRAMES_MAX: u32 = 131_072;

/// Most that `silence_s` can be: a mirror that shows nothing for a day is none.
pub const SILENCE_S_MAX: u32 = 86_400;

/// Most that `duplicate_ms` can be: nobody sends a message again within that time (semantics.md §5).
pub const DUPLICATE_MS_MAX: u32 = 100;

/// `[capture]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// UDP, TCP and SCTP ports taken as SIP.
    pub ports: PortList,
    /// Tunnels that are opened, and taken off a live interface.
    pub tunnels: Vec<Tunnel>,
    /// ESP is read where it turns out to be unencrypted (RFC 2410).
    pub esp_null: bool,
    /// Copies of a datagram are dropped within this time; 0 keeps them all.
    pub duplicate_ms: u32,
    /// The beginning of a fragmented datagram is read when the rest of it does not come.
    pub fragment_salvage: bool,
    /// Frames that may wait for the program, for each queue of an interface.
    pub ring_frames: u32,
    /// Octets of memory for each of them.
    pub frame_bytes: FrameBytes,
    /// After so many seconds without a frame an interface is reported as silent; 0 never does.
    pub silence_s: u32,
}

/// Octets of memory for each frame. The kernel keeps 256 of them free, and what does not fit into one frame comes in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FrameBytesText")]
pub enum FrameBytes {
    /// What fits the interface's MTU.
    #[default]
    Auto,
    /// 2048.
    Small,
    /// 4096.
    Large,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum FrameBytesText {
    Number(u32),
    Word(String),
}

impl TryFrom<FrameBytesText> for FrameBytes {
    type Error = &'static str;

    fn try_from(text: FrameBytesText) -> Result<Self, Self::Error> {
        match text {
            FrameBytesText::Number(2048) => Ok(Self::Small),
            FrameBytesText::Number(4096) => Ok(Self::Large),
            FrameBytesText::Word(word) if word == "auto" => Ok(Self::Auto),
            _ => Err("wants \"auto\", 2048 or 4096"),
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            ports: PortList::default(),
            tunnels: Tunnel::ALL.to_vec(),
            esp_null: false,
            duplicate_ms: 5,
            fragment_salvage: true,
            ring_frames: 16_384,
            frame_bytes: FrameBytes::Auto,
            silence_s: 300,
        }
    }
}

/// Ports in ascending order, each once; at least one, at most [`PORTS_MAX`]. Or any port: then these are the ones on which
/// everything is SIP, and on others what begins like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList {
    ports: Vec<u16>,
    any: bool,
}

impl Default for PortList {
    /// 5060 (RFC 3261 §19.1.2).
    fn default() -> Self {
        Self {
            ports: vec![5060],
            any: false,
        }
    }
}

impl PortList {
    /// Ports in any order; `None` if there are none, too many, or port 0 is among them.
    #[must_use]
    pub fn new(ports: &[u16]) -> Option<Self> {
        let mut ports = ports.to_vec();
        ports.sort_unstable();
        ports.dedup();
        let usable = !ports.is_empty() && ports.len() <= PORTS_MAX && !ports.contains(&0);
        usable.then_some(Self { ports, any: false })
    }

    /// UDP on any port, where it begins like SIP.
    #[must_use]
    pub fn any() -> Self {
        Self {
            any: true,
            ..Self::default()
        }
    }

    /// Whether datagrams on other ports are looked at.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// The ports.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.ports
    }
}

impl<'de> Deserialize<'de> for PortList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortListVisitor)
    }
}

/// Takes a list or a word. Not an untagged choice: an error in a list is to name the entry.
struct PortListVisitor;

impl<'de> Visitor<'de> for PortListVisitor {
    type Value = PortList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of ports with or without \"any\", or \"any\"")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<PortList, E> {
        match word {
            "any" => Ok(PortList::any()),
            _ => Err(E::invalid_type(Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, ports: A) -> Result<PortList, A::Error> {
        let entries = Vec::<PortEntry>::deserialize(SeqAccessDeserializer::new(ports))?;
        let any = entries.contains(&PortEntry::Any);
        let listed = entries.iter().map(|entry| match entry {
            PortEntry::Port(port) => [*port].to_vec(),
            // The word means the same beside others: what it stands for is one of the ports.
            PortEntry::Any => PortList::any().ports,
        });
        let listed: Vec<u16> = listed.flatten().collect();
        PortList::new(&listed)
            .map(|list| PortList { any, ..list })
            .ok_or_else(|| de::Error::custom(format!("wants 1 to {PORTS_MAX} ports, none of them 0")))
    }
}

/// One entry of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PortEntry {
    Port(u16),
    Any,
}

impl<'de> Deserialize<'de> for PortEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortEntryVisitor)
    }
}

struct PortEntryVisitor;

impl Visitor<'_> for PortEntryVisitor {
    type Value = PortEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port, or \"any\"")
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<PortEntry, E> {
        let port = u16::try_from(port).map_err(|_| E::invalid_value(Unexpected::Signed(port), &self))?;
        Ok(PortEntry::Port(port))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<PortEntry, E> {
        match word {
            "any" => Ok(PortEntry::Any),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }
}

/// An encapsulation that may carry mirrored traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// RFC 2784, RFC 2890.
    Gre,
    /// Mirrored traffic in GRE, types I to III.
    Erspan,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// 3GPP TS 29.281.
    Gtpu,
    /// IP in IP: RFC 2003, RFC 2473, RFC 4213.
    Ipip,
    /// RFC 3032.
    Mpls,
    /// RFC 2516.
    Pppoe,
    /// What agents of Homer send, version 3.
    Hep,
    /// What access points and routers send.
    Tzsp,
}

impl Tunnel {
    /// Every tunnel.
    pub const ALL: [Self; 10] = [
        Self::Gre,
        Self::Erspan,
        Self::Vxlan,
        Self::Geneve,
        Self::Gtpu,
        Self::Ipip,
        Self::Mpls,
        Self::Pppoe,
        Self::Hep,
        Self::Tzsp,
    ];
}

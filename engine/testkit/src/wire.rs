//! One SIP message on one hop, as a capture would show it.

use std::fmt;
use std::net::SocketAddr;

use ringtap_record::Time;

use crate::notation::Segment;
use crate::workload::truth;

/// One SIP message on one hop: what the engine's tracker takes, and enough to make frames of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Capture time.
    pub time: Time,
    /// Sending node.
    pub source: SocketAddr,
    /// Receiving node.
    pub destination: SocketAddr,
    /// The SIP message, whole.
    pub payload: Vec<u8>,
    /// `false` for a message that was sent but that the mirror missed (`!` in the notation).
    pub captured: bool,
    /// How the datagram travels below UDP.
    pub link: Link,
    /// Names the datagram: frame copies of one datagram share it, a SIP retransmission has its own.
    pub datagram: u64,
    /// Where the message comes from, for messages of failed tests.
    pub label: Label,
}

impl Wire {
    /// The name of the record that the call of this INVITE gets (docs/architecture.md, "Names").
    ///
    /// # Panics
    /// If the message has no Call-ID or From tag, which none of the generator's lacks.
    #[must_use]
    pub fn call_name(&self) -> String {
        let text = std::str::from_utf8(&self.payload).unwrap();
        let header = |names: [&str; 2]| {
            text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
                let (name, value) = line.split_once(':')?;
                names
                    .iter()
                    .any(|known| name.trim().eq_ignore_ascii_case(known))
                    .then(|| value.trim())
            })
        };
        let from = header(["From", "f"]).unwrap();
        let (_, tag) = from.rsplit_once(";tag=").unwrap();
        let tag = tag.split(';').next().unwrap_or(tag);
        truth::name(header(["Call-ID", "i"]).unwrap(), tag)
    }
}

/// How a datagram travels below UDP. The default is one untagged frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Outer and inner VLAN (QinQ).
    pub vlan: Option<(u16, u16)>,
    /// Bytes of IP payload in one fragment.
    pub fragment_bytes: Option<u16>,
    /// Fragments travel last first.
    pub reversed: bool,
}

/// Leg, segment and message in the words of the notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Case name, e.g. `S03/600`.
    pub case: String,
    /// Leg name.
    pub leg: String,
    /// Segment on which the message was seen.
    pub segment: Segment,
    /// Method or status with method, and CSeq number: `INVITE 1`, `180/INVITE 1`.
    pub message: String,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{} {}", self.case, self.leg, self.segment, self.message)
    }
}

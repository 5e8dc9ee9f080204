//! Who plays in a story: what the generator must know of people, their numbers, phones and media.
//!
//! The scenarios of the corpus are played by the fourteen identities of `fixtures`; a workload has an office
//! of its own. The generator itself knows only the tokens that the legs name.

use std::net::SocketAddr;

use crate::fixtures::{self, Node};

/// The people of a story, by the tokens that its legs name.
pub trait Cast: Sync {
    /// The canonical identity of `token`: `+862583091001`, `sip:conf-77@ims.office.test`.
    fn identity<'c>(&'c self, token: &'c str) -> &'c str;

    /// The display name under which `token` calls; empty if it has none.
    fn calling_name(&self, token: &str) -> &str;

    /// The extension of an office number: `1001` for `+862583091001`; none for other identities.
    fn extension<'i>(&self, identity: &'i str) -> Option<&'i str>;

    /// The phone of `token`; devices count from 1.
    fn phone(&self, token: &str, device: u8) -> Node;

    /// Where `owner` takes the media of a session, which has a number of its own. Sessions at the same
    /// time must not share a port: that would be evidence that they are one call (semantics.md §4.1, K6).
    fn media(&self, owner: Node, session: u64, place: MediaPlace) -> SocketAddr;
}

/// Whose media it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPlace {
    /// The salt of the story.
    pub salt: u64,
    /// Index of the leg that the Call-ID belongs to.
    pub leg: usize,
    /// Which end of the session.
    pub side: Side,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that sent the INVITE.
    Caller,
    /// The end that answered it.
    Callee,
}

impl Side {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// The people of the acceptance corpus.
#[derive(Clone, Copy, Debug)]
pub struct Fixtures;

impl Cast for Fixtures {
    fn identity<'c>(&'c self, token: &'c str) -> &'c str {
        fixtures::identity(token)
    }

    fn calling_name(&self, token: &str) -> &str {
        fixtures::calling_name(token)
    }

    fn extension<'i>(&self, identity: &'i str) -> Option<&'i str> {
        fixtures::extension(identity)
    }

    fn phone(&self, token: &str, device: u8) -> Node {
        Node::phone(token, device)
    }

    fn media(&self, owner: Node, session: u64, _: MediaPlace) -> SocketAddr {
        let port = u16::try_from(16_384 + (session % 16_000) * 2).expect("within the range of ports");
        SocketAddr::new(owner.address().ip(), port)
    }
}

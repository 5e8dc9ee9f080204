//! Hostile traffic beside a workload: what a sender may put on the mirrored wire to fill memory, to burn time, or to make
//! Ringtap tell people of calls that never were.
//!
//! An [`Attack`] is a stream of frames at a steady rate, mixed by whoever writes the capture with the frames of real
//! calls. None of it is a call that anybody must be told of. What limits there are to hold is left to
//! `scripts/hostile.py`; the octets of each kind are in `octets`.

mod octets;

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;
use ringtap_record::Time;

use crate::generate::BASE;
use crate::workload::Office;
use octets::Octets;

/// Kinds of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INVITEs to people of the office, each a call of its own, from all over the access network; nobody answers.
    Invites,
    /// The same with Call-IDs that collide under hashes without a key.
    Collisions,
    /// Answers to calls that do not exist.
    Responses,
    /// One call with a new branch, target and diversion in each INVITE.
    Branches,
    /// Answers to REGISTER that bind ever more contacts.
    Registrations,
    /// First, middle and last fragments of datagrams that never become whole.
    Fragments,
    /// Tens of thousands of TCP connections that send an octet at a time, headers without end, and holes.
    SlowTcp,
    /// TCP connections of which each sends one request and then leaves something out again and again.
    Holes,
    /// TCP connections with headers that turn out to be none when they are as long as a message may be, in lines of two octets.
    LongHeaders,
    /// TCP segments and SCTP chunks far ahead of others of the same connection.
    FarAhead,
    /// SCTP chunks that begin messages and never end them.
    SlowSctp,
    /// Datagrams of 64 KiB: header lines, Via values, folds and quotes without end.
    HeaderBombs,
    /// Payloads of no or a few octets.
    Tiny,
    /// Tunnels in tunnels in tunnels.
    Tunnels,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Invites,
        Self::Collisions,
        Self::Responses,
        Self::Branches,
        Self::Registrations,
        Self::Fragments,
        Self::SlowTcp,
        Self::Holes,
        Self::LongHeaders,
        Self::FarAhead,
        Self::SlowSctp,
        Self::HeaderBombs,
        Self::Tiny,
        Self::Tunnels,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invites => "invites",
            Self::Collisions => "collisions",
            Self::Responses => "responses",
            Self::Branches => "branches",
            Self::Registrations => "registrations",
            Self::Fragments => "fragments",
            Self::SlowTcp => "slow-tcp",
            Self::Holes => "holes",
            Self::LongHeaders => "long-headers",
            Self::FarAhead => "far-ahead",
            Self::SlowSctp => "slow-sctp",
            Self::HeaderBombs => "header-bombs",
            Self::Tiny => "tiny",
            Self::Tunnels => "tunnels",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No attack is called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no attack is called {0:?}; there are: {all}", all = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Frames of one kind of attack, in order of time. The same seed gives the same frames.
#[derive(Debug)]
pub struct Attack<'o> {
    octets: Octets<'o>,
    every_us: f64,
    sent: u64,
    frames_max: u64,
}

impl<'o> Attack<'o> {
    /// An attack on an office, so many frames in a second of capture time, and so many in all.
    #[must_use]
    pub fn new(kind: Kind, office: &'o Office, per_s: f64, frames_max: u64, seed: u64) -> Self {
        Self {
            octets: Octets::new(kind, office, Rng::with_seed(seed ^ 0x0000_6174_7461_636b)),
            every_us: 1e6 / per_s,
            sent: 0,
            frames_max,
        }
    }

    /// Gives each frame that is sent before `until` to `emit`.
    ///
    /// # Errors
    /// What `emit` gives.
    pub fn until<E>(
        &mut self,
        until: Time,
        mut emit: impl FnMut(Time, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.sent < self.frames_max {
            let at = BASE.plus_us((self.sent as f64 * self.every_us) as i64);
            if at >= until {
                break;
            }
            emit(at, self.octets.frame(self.sent))?;
            self.sent += 1;
        }
        Ok(())
    }

    /// How many frames were sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an attack that cannot be named, a frame that is no IP packet with right lengths, and an attack that
    /// repeats itself where each frame has to be new.
    #[test]
    fn every_kind_makes_frames() {
        let office = Office::new(60, 1);
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let frames = |seed| {
                let mut attack = Attack::new(kind, &office, 1e6, 400, seed);
                let mut frames = Vec::new();
                attack
                    .until::<()>(BASE.plus_ms(1_000), |at, bytes| {
                        frames.push((at, bytes.to_vec()));
                        Ok(())
                    })
                    .unwrap();
                frames
            };
            let sent = frames(1);
            assert_eq!(sent.len(), 400, "{kind}");
            assert!(sent.is_sorted_by_key(|(at, _)| *at), "{kind}");
            for (_, frame) in &sent {
                assert_eq!(frame[12..15], [8, 0, 0x45], "{kind}");
                let len = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                assert_eq!(frame.len(), 14 + len, "{kind}");
            }
            assert_eq!(sent, frames(1), "{kind}");
            let distinct: std::collections::HashSet<_> = sent.iter().map(|(_, frame)| frame).collect();
            assert!(distinct.len() > 350, "{kind}: {}", distinct.len());
        }
        assert!("sip".parse::<Kind>().is_err());
    }
}

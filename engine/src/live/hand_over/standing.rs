//! How a hand-over stands, for whoever asks (metrics, health): both as its predecessor and as its heir.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// Written by those who hand over and take over, each its own; read by anybody.
#[derive(Debug, Default)]
pub(in crate::live) struct Standing {
    phase: AtomicU8,
    left_ms: AtomicI64,
    fed: AtomicU64,
    not_fed: AtomicU64,
    heard: AtomicU64,
    bridged: AtomicU64,
    lost: AtomicU64,
    restarts: AtomicU64,
}

/// What a capture is doing about another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It captures alone.
    #[default]
    Alone,
    /// It captures and feeds an heir.
    Feeding,
    /// It listens to what its predecessor captures.
    WarmingUp,
    /// Queues go from one to the other.
    Changing,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Alone, Self::Feeding, Self::WarmingUp, Self::Changing];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Feeding => "feeding",
            Self::WarmingUp => "warming_up",
            Self::Changing => "changing",
        }
    }
}

/// How a hand-over stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandOverLook {
    /// What the capture is doing.
    pub phase: Phase,
    /// How long an heir will listen at least before it takes over, in milliseconds.
    pub left_ms: u64,
    /// Frames that were fed to heirs.
    pub fed: u64,
    /// Frames that did not fit: heirs have begun anew.
    pub not_fed: u64,
    /// Frames that this one heard as an heir.
    pub heard: u64,
    /// Frames that came over the bridge while queues changed hands.
    pub bridged: u64,
    /// Frames that were lost meanwhile.
    pub lost: u64,
    /// How often this one began anew to listen.
    pub restarts: u64,
}

impl Standing {
    pub(in crate::live) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(in crate::live) fn left(&self, ms: i64) {
        self.left_ms.store(ms.max(0), Ordering::Relaxed);
    }

    pub(in crate::live) fn fed(&self, fed: u64, not_fed: u64) {
        self.fed.fetch_add(fed, Ordering::Relaxed);
        self.not_fed.fetch_add(not_fed, Ordering::Relaxed);
    }

    pub(super) fn heard(&self, frames: u64) {
        self.heard.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn bridged(&self, frames: u64) {
        self.bridged.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, frames: u64) {
        self.lost.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// As it is now.
    pub(in crate::live) fn look(&self) -> HandOverLook {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        HandOverLook {
            phase: Phase::ALL.get(phase).copied().unwrap_or_default(),
            left_ms: u64::try_from(self.left_ms.load(Ordering::Relaxed)).unwrap_or(0),
            fed: of(&self.fed),
            not_fed: of(&self.not_fed),
            heard: of(&self.heard),
            bridged: of(&self.bridged),
            lost: of(&self.lost),
            restarts: of(&self.restarts),
        }
    }
}

//! The facts of one hop transaction: one INVITE on one hop, with its answers, CANCEL and ACK.

use ringtap_identity::{CalledSource, Segment};

use super::IdentityIndex;
use crate::reason::ReasonLine;
use crate::tick::Tick;

/// Copies of an INVITE nearer together than this are mirror copies, not retransmissions (T1 is 500 ms).
const COPY_MS: i64 = 100;

/// A top Via, by its keyed hash: whole, for hops of a leg that are taken for one another mix their facts. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViaHash(u64);

impl ViaHash {
    pub(crate) const NONE: Self = Self(0);

    /// Of a Via with this hash; never none.
    pub(crate) fn of(hash: u64) -> Self {
        Self(hash.max(1))
    }
}

/// The hops of a leg that has two or more stand beside it; an only one is a third of what the leg takes.
const _: () = assert!(size_of::<Hop>() <= 88);

/// One hop transaction (RFC 3261 §17.1.3): top Via branch, sent-by and CSeq.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Keyed hash of the top Via.
    pub(crate) via: ViaHash,
    /// Keyed hash of the Via below it: the hop before, if that is visible.
    pub(crate) parent: ViaHash,
    /// Key of a phone's contact, by which its registration is found: on GO the caller's own, elsewhere the
    /// one in the Request-URI, where that does not name the called person itself. 0 if there is none.
    pub(crate) phone: u64,
    pub(crate) cseq: u32,
    /// Keyed hash of the Request-URI, the contact of the phone on MT and GT. 0 if unknown.
    pub(crate) contact: u32,
    /// To-tag of the first response that had one, and of the final response. 0 if none.
    pub(crate) tag: u32,
    pub(crate) final_tag: u32,
    tag_at: Tick,
    /// INVITE: first and latest transmission.
    pub(crate) invite: Tick,
    pub(crate) invite_last: Tick,
    /// Any provisional response: first and latest.
    pub(crate) first: Tick,
    pub(crate) last: Tick,
    /// First 180 (or configured 183).
    pub(crate) alert: Tick,
    pub(crate) cancel: Tick,
    pub(crate) final_at: Tick,
    pub(crate) ack: Tick,
    /// Status of the final response, 0 if none was seen.
    pub(crate) status: u16,
    flags: u8,
    /// Q.850 cause of the final response, 0 if none.
    pub(crate) q850: u8,
    /// Reason of CANCEL and final response.
    pub(crate) line: ReasonLine,
    pub(crate) segment: Segment,
    /// How many Vias the INVITE had. 0 if the INVITE was not seen.
    pub(crate) depth: u8,
    /// Transmissions of the INVITE, mirror copies not counted.
    pub(crate) sent: u8,
    /// Whom this hop is to reach.
    pub(crate) target: IdentityIndex,
    /// Where `target` was read; `None` if the INVITE was not seen, nor a CANCEL that stood in for it.
    pub(crate) source: Option<CalledSource>,
    /// Whom the first 180 on MT asserts to be ringing (semantics.md §3.2 rule 4).
    pub(crate) callee: IdentityIndex,
    /// Who answered (2xx) or where a 3xx points.
    pub(crate) other: IdentityIndex,
}

impl Hop {
    /// The dialog-creating INVITE itself was captured.
    pub(crate) const INVITE: u8 = 1;
    /// A request within a dialog (D60), whoever sent it.
    pub(crate) const IN_DIALOG: u8 = 1 << 1;
    /// One that the caller sent: its CSeq is none of an INVITE that began the dialog. The callee counts
    /// for itself.
    pub(crate) const CALLERS_REINVITE: u8 = 1 << 5;
    /// Responses under different To-tags came this way.
    pub(crate) const SEVERAL_TAGS: u8 = 1 << 6;
    /// From has been read off another message, the INVITE itself not being seen.
    pub(crate) const FROM_READ: u8 = 1 << 7;
    /// The 2xx is a machine's (semantics.md §2.6).
    pub(crate) const MACHINE: u8 = 1 << 2;
    /// The Request-URI is a voicemail URI with `target=` and `cause=` (RFC 4458).
    pub(crate) const VOICEMAIL_URI: u8 = 1 << 3;
    /// A 181 was seen: being forwarded.
    pub(crate) const FORWARDED: u8 = 1 << 4;

    pub(crate) const fn new(via: ViaHash, cseq: u32) -> Self {
        Self {
            via,
            parent: ViaHash::NONE,
            phone: 0,
            cseq,
            contact: 0,
            tag: 0,
            final_tag: 0,
            tag_at: Tick::NEVER,
            invite: Tick::NEVER,
            invite_last: Tick::NEVER,
            first: Tick::NEVER,
            last: Tick::NEVER,
            alert: Tick::NEVER,
            cancel: Tick::NEVER,
            final_at: Tick::NEVER,
            ack: Tick::NEVER,
            status: 0,
            flags: 0,
            q850: 0,
            line: ReasonLine::Plain,
            segment: Segment::Unknown,
            depth: 0,
            sent: 0,
            target: IdentityIndex::NONE,
            source: None,
            callee: IdentityIndex::NONE,
            other: IdentityIndex::NONE,
        }
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Joins a flag; true if it is new.
    pub(crate) const fn mark(&mut self, flag: u8) -> bool {
        let new = !self.has(flag);
        self.flags |= flag;
        new
    }

    /// Only an ACK was seen under this branch: an ACK to a 2xx, or one whose whole transaction was lost.
    pub(crate) const fn is_bare_ack(&self) -> bool {
        self.ack.seen()
            && !(self.invite.seen() || self.first.seen() || self.final_at.seen() || self.cancel.seen())
    }

    /// A1.
    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// A non-2xx final was seen.
    pub(crate) const fn is_refused(&self) -> bool {
        self.status >= 300
    }

    /// When this hop's INVITE ended, as far as was seen: final response; else, since the ACK of a non-2xx
    /// shares the INVITE's branch, the ACK (semantics.md §2.2 pooling d); else the CANCEL.
    pub(crate) fn end(&self) -> Tick {
        if self.final_at.seen() {
            self.final_at
        } else if self.ack.seen() {
            self.ack
        } else {
            self.cancel
        }
    }

    /// First sign of the hop.
    pub(crate) fn started(&self) -> Tick {
        self.invite
            .min(self.first)
            .min(self.cancel)
            .min(self.final_at)
            .min(self.ack)
    }

    /// When this side was cancelled: by CANCEL or by 487 (pooling c).
    pub(crate) fn cancelled(&self) -> Tick {
        if self.status == 487 {
            self.cancel.min(self.final_at)
        } else {
            self.cancel
        }
    }

    /// Joins one transmission of the INVITE.
    pub(crate) fn join_invite(&mut self, at: Tick) {
        if !self.invite_last.seen() || at.since_ms(self.invite_last) >= COPY_MS {
            self.sent = self.sent.saturating_add(1);
        }
        self.invite_last.latest(at);
        self.invite.earliest(at);
    }

    /// Joins the To-tag of a response; the earliest one names the hop.
    pub(crate) fn join_tag(&mut self, tag: u32, at: Tick) {
        if tag == 0 {
            return;
        }
        if self.tag != 0 && self.tag != tag {
            self.mark(Self::SEVERAL_TAGS);
        }
        if self.tag == 0 || (at, tag) < (self.tag_at, self.tag) {
            self.tag = tag;
            self.tag_at = at;
        }
    }

    /// Joins a provisional response. True if it is the first so far that says the phone rings.
    pub(crate) fn join_provisional(&mut self, at: Tick, alerts: bool) -> bool {
        self.first.earliest(at);
        self.last.latest(at);
        alerts && self.alert.earliest(at)
    }

    /// Joins a final response: a 2xx beats all others (answer beats everything), else the earliest counts.
    /// True if this one is now the hop's final.
    pub(crate) fn join_final(&mut self, status: u16, at: Tick, tag: u32, q850: u8) -> bool {
        let key = |status: u16, at: Tick| (!matches!(status, 200..=299), at, status);
        if self.status != 0 && key(status, at) >= key(self.status, self.final_at) {
            return false;
        }
        self.status = status;
        self.final_at = at;
        self.final_tag = tag;
        self.q850 = q850;
        true
    }
}

//! The hops of a call, gathered into branches: the way to one device of one target.

use ringtap_identity::Identity;
use ringtap_record::Time;
use smallvec::SmallVec;

use super::codes;
use crate::facts::LegFacts;
use crate::facts::hop::Hop;
use crate::reason::ReasonLine;
use crate::settler::Call;
use crate::tick::Tick;

/// A hop with the leg it belongs to, so that its times can be told in capture time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) leg: &'a LegFacts,
    pub(super) hop: &'a Hop,
}

impl<'a> Seen<'a> {
    /// Capture time of an event; [`Time::MAX`] if it was not seen.
    pub(super) fn at(&self, tick: Tick) -> Time {
        tick.time(self.leg.base).unwrap_or(Time::MAX)
    }

    pub(super) fn target(&self) -> Option<&'a Identity> {
        self.leg.identity(self.hop.target)
    }

    fn is_same_leg(&self, other: &Self) -> bool {
        std::ptr::eq(self.leg, other.leg)
    }

    /// First sign of the hop.
    pub(super) fn started(&self) -> Time {
        self.at(self.hop.started())
    }
}

/// The hops of a call's current attempt, in one row: the caller's side, nearest to the caller first; branch by branch,
/// nearest to the callee first; and the caller's side the other way round. [`Paths`] are parts of it.
#[derive(Debug)]
pub(super) struct Row<'a> {
    hops: SmallVec<[Seen<'a>; 8]>,
    /// How many hops the caller's side has, and each branch.
    lengths: SmallVec<[usize; 4]>,
}

/// Hops of one side or branch.
type Hops<'a> = SmallVec<[Seen<'a>; 4]>;

impl<'a> Row<'a> {
    /// Sorts the hops. Attempts that a challenge or an incomplete number ended count no more once a higher
    /// CSeq was seen (D06, D09).
    pub(super) fn of(call: &'a Call) -> Self {
        let (mut upstream, mut ends) = (Hops::new(), Hops::new());
        for leg in &call.legs {
            let leg: &LegFacts = leg;
            let Some(cseq) = leg.last_cseq() else { continue };
            let sides = leg.sides();
            for hop in leg.invite_hops() {
                let is_upstream = leg.is_upstream(hop, sides);
                if hop.cseq == cseq {
                    let side = if is_upstream { &mut upstream } else { &mut ends };
                    side.push(Seen { leg, hop });
                } else if !is_upstream && hop.is_refused() && !codes::is_superseded(hop.status) {
                    // The phone's own final stands, though the caller's side tried again elsewhere (D44).
                    ends.push(Seen { leg, hop });
                }
            }
        }
        if upstream.len() > 1 {
            upstream.sort_by_key(|seen| (seen.hop.segment.rank(), seen.hop.depth, seen.started()));
        }
        let mut row = Self {
            hops: SmallVec::new(),
            lengths: SmallVec::new(),
        };
        row.add(&upstream);
        if ends.len() > 1 {
            for branch in gather(ends) {
                row.add(&branch);
            }
        } else if !ends.is_empty() {
            row.add(&ends);
        }
        for seen in upstream.iter().rev() {
            row.hops.push(*seen);
        }
        row
    }

    fn add(&mut self, hops: &[Seen<'a>]) {
        self.lengths.push(hops.len());
        for seen in hops {
            self.hops.push(*seen);
        }
    }
}

/// The hops over which one INVITE reached (or was to reach) one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch<'a> {
    /// Nearest to the callee first.
    pub(super) hops: &'a [Seen<'a>],
    pub(super) target: Option<&'a Identity>,
}

/// All hops of a call's current attempt, sorted into the caller's side and branches.
#[derive(Debug)]
pub(super) struct Paths<'a> {
    /// Every hop, the caller's side first.
    pub(super) hops: &'a [Seen<'a>],
    /// Nearest to the caller first.
    pub(super) upstream: &'a [Seen<'a>],
    pub(super) branches: SmallVec<[Branch<'a>; 2]>,
    /// The caller's side as one branch: the best there is for a target of which no branch was seen.
    pub(super) upstream_branch: Branch<'a>,
}

impl<'a> Paths<'a> {
    pub(super) fn of(row: &'a Row<'_>) -> Self {
        let mut lengths = row.lengths.iter();
        let of_upstream = lengths.next().copied().unwrap_or_default();
        let (upstream, mut rest) = split(&row.hops, of_upstream);
        let mut branches = SmallVec::new();
        for length in lengths {
            let (hops, beyond) = split(rest, *length);
            branches.push(Branch {
                hops,
                target: target_of(hops),
            });
            rest = beyond;
        }
        let upstream_branch = Branch {
            hops: rest,
            target: upstream.iter().find_map(Seen::target),
        };
        let (hops, _) = split(&row.hops, row.hops.len() - rest.len());
        Self {
            hops,
            upstream,
            branches,
            upstream_branch,
        }
    }

    /// Whether no hop towards a called phone or trunk was seen at all.
    pub(super) fn is_originating_view(&self) -> bool {
        self.branches.is_empty()
    }
}

fn split<'s, 'a>(hops: &'s [Seen<'a>], at: usize) -> (&'s [Seen<'a>], &'s [Seen<'a>]) {
    hops.split_at_checked(at).unwrap_or((hops, &[]))
}

/// Pooling (a): a hop whose INVITE was not captured takes the target of the hop with its To-tag. Of several the best
/// source counts (§3.2), then the hop nearest to the callee.
fn target_of<'a>(hops: &[Seen<'a>]) -> Option<&'a Identity> {
    if let [lone] = hops {
        return lone.target();
    }
    hops.iter()
        .rev()
        .filter(|seen| seen.target().is_some())
        .max_by_key(|seen| (seen.hop.has(Hop::INVITE), seen.hop.source))
        .and_then(Seen::target)
}

/// Puts hops of the same branch together; each hop may join several groups into one. The branch that began first comes
/// first.
fn gather(hops: Hops<'_>) -> Vec<Hops<'_>> {
    let mut groups: Vec<Hops<'_>> = Vec::new();
    for seen in hops {
        let belongs = |group: &Hops<'_>| {
            group
                .iter()
                .any(|other| seen.is_same_leg(other) && seen.leg.is_same_branch(seen.hop, other.hop))
        };
        let mut joined = Hops::new();
        joined.push(seen);
        for group in groups.extract_if(.., |group| belongs(group)) {
            joined.extend(group);
        }
        groups.push(joined);
    }
    for group in &mut groups {
        group.sort_by_key(|seen| std::cmp::Reverse((seen.hop.segment.rank(), seen.hop.depth)));
    }
    groups.sort_by_key(|group| started(group));
    groups
}

/// When the branch of these hops began.
fn started(hops: &[Seen<'_>]) -> Time {
    let invited = hops.iter().map(|seen| seen.at(seen.hop.invite)).min();
    invited
        .filter(|invite| *invite < Time::MAX)
        .or_else(|| hops.iter().map(Seen::started).min())
        .unwrap_or(Time::MAX)
}

impl<'a> Branch<'a> {
    /// Provenance rank of the hop nearest to the callee (§2.2).
    pub(super) fn rank(&self) -> u8 {
        self.hops
            .iter()
            .map(|seen| seen.hop.segment.rank())
            .max()
            .unwrap_or(0)
    }

    /// Whether the branch is one of this leg.
    pub(super) fn is_of(&self, leg: &LegFacts) -> bool {
        self.hops.iter().any(|seen| std::ptr::eq(seen.leg, leg))
    }

    fn earliest(&self, of: impl Fn(&Hop) -> Tick) -> Time {
        self.hops
            .iter()
            .map(|seen| seen.at(of(seen.hop)))
            .min()
            .unwrap_or(Time::MAX)
    }

    pub(super) fn started(&self) -> Time {
        started(self.hops)
    }

    pub(super) fn is_alerted(&self) -> bool {
        self.hops.iter().any(|seen| seen.hop.alert.seen())
    }

    /// A1 on one of the branch's own hops.
    pub(super) fn is_answered(&self) -> bool {
        self.hops.iter().any(|seen| seen.hop.is_answered())
    }

    /// Whether the branch's phone (or what stands for it) spoke under this To-tag.
    pub(super) fn has_tag(&self, tag: u32) -> bool {
        tag != 0
            && self
                .hops
                .iter()
                .any(|seen| seen.hop.tag == tag || seen.hop.final_tag == tag)
    }

    /// The final response that counts: of the hop nearest to the callee, 487 only if there is no other.
    pub(super) fn refusal(&self) -> Option<&Seen<'a>> {
        let refused = || self.hops.iter().filter(|seen| seen.hop.is_refused());
        refused()
            .find(|seen| seen.hop.status != 487)
            .or_else(|| refused().next())
    }

    /// When this branch was cancelled, by CANCEL or 487 (pooling c).
    pub(super) fn cancelled(&self) -> Option<Time> {
        let cancel = self.earliest(|hop| hop.cancel);
        let at = if cancel < Time::MAX {
            cancel
        } else {
            self.earliest(Hop::cancelled)
        };
        (at < Time::MAX).then_some(at)
    }

    /// The first matching Reason line over all hops (pooling b).
    pub(super) fn line(&self) -> ReasonLine {
        self.hops
            .iter()
            .map(|seen| seen.hop.line)
            .min()
            .unwrap_or(ReasonLine::Plain)
    }

    pub(super) fn has_flag(&self, flag: u8) -> bool {
        self.hops.iter().any(|seen| seen.hop.has(flag))
    }

    /// Whether anything at all says that the branch ended.
    pub(super) fn has_ended(&self) -> bool {
        self.hops.iter().any(|seen| seen.hop.end().seen())
    }

    /// A non-2xx final passed although none was captured (pooling d).
    pub(super) fn is_acknowledged(&self) -> bool {
        self.hops.iter().any(|seen| seen.hop.ack.seen())
    }

    pub(super) fn has_response(&self) -> bool {
        self.hops
            .iter()
            .any(|seen| seen.hop.first.seen() || seen.hop.final_at.seen())
    }

    /// The first 180 as seen nearest to the callee.
    pub(super) fn alerted_at(&self) -> Option<Time> {
        self.hops
            .iter()
            .find(|seen| seen.hop.alert.seen())
            .map(|seen| seen.at(seen.hop.alert))
    }

    /// When the branch ended, nearest to the callee: the final response, else what stands for it.
    pub(super) fn ended(&self) -> Option<Time> {
        let on = |of: fn(&Hop) -> Tick| {
            self.hops
                .iter()
                .find(|seen| of(seen.hop).seen())
                .map(|seen| seen.at(of(seen.hop)))
        };
        on(|hop| hop.final_at)
            .or_else(|| on(|hop| hop.cancel))
            .or_else(|| on(|hop| hop.ack))
    }

    /// Milliseconds from the first 180 to the end of ringing (CANCEL, else final), both on the segment
    /// nearest to the callee that shows them; `end` stands in where the branch shows no end.
    pub(super) fn ring_ms(&self, end: Option<Time>) -> u64 {
        let stop = |hop: &Hop| if hop.cancel.seen() { hop.cancel } else { hop.end() };
        let both = self
            .hops
            .iter()
            .find(|seen| seen.hop.alert.seen() && stop(seen.hop).seen());
        let us = match (both, self.alerted_at()) {
            (Some(seen), _) => seen.at(stop(seen.hop)) - seen.at(seen.hop.alert),
            (None, Some(alerted)) => {
                let own = self
                    .hops
                    .iter()
                    .find(|seen| stop(seen.hop).seen())
                    .map(|seen| seen.at(stop(seen.hop)));
                own.or(end).map_or(0, |end| end - alerted)
            }
            (None, None) => 0,
        };
        u64::try_from(us / 1000).unwrap_or(0)
    }
}

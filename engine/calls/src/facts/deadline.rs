//! Until when a leg stays open: the timers of semantics.md §2.1 over the facts so far.

use ringtap_config::Timers;
use ringtap_identity::Segment;
use ringtap_record::Time;

use super::LegFacts;
use super::hop::Hop;
use crate::rules::Rules;
use crate::tick::Tick;

/// Longest wait of a caller in a queue.
const QUEUE_MS: i64 = 3_600_000;

/// When a leg is to be closed, and whether its end was seen by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: Time,
    /// False if a timer has to stand in for an end that was not seen.
    pub(crate) complete: bool,
}

impl LegFacts {
    /// The leg's deadline. It is a function of the facts alone, so the order of the messages that proved
    /// them does not matter.
    pub(crate) fn deadline(&self, rules: &Rules) -> Deadline {
        let timers = &rules.timers;
        let after = |tick: Tick, ms: u64| {
            tick.time(self.base)
                .unwrap_or(self.base)
                .plus_ms(i64::try_from(ms).unwrap_or(i64::MAX))
        };
        let answered = self.answered_at();
        if answered.seen() {
            // A queue whose caller was not seen to go has no end.
            let is_seen = self.bye().seen() || !self.is_queue(rules);
            return Deadline {
                at: self.settled_after_answer(answered, rules),
                complete: is_seen,
            };
        }
        let Some(cseq) = self.last_cseq() else {
            // Nothing but requests within a dialog: nothing to wait for (D60, D87).
            return Deadline {
                at: self
                    .base
                    .plus_ms(i64::try_from(timers.settle_ms).unwrap_or(i64::MAX)),
                complete: true,
            };
        };
        if let Some((end, wait_ms)) = self.end(cseq, timers) {
            return Deadline {
                at: after(end, wait_ms),
                complete: true,
            };
        }
        let silent = self
            .current(cseq)
            .filter(|hop| !hop.end().seen())
            .map(|hop| silence(hop, timers, &after));
        let ended = self.last_end(cseq).map(|end| after(end, timers.settle_ms));
        let at = silent.chain(ended).max().unwrap_or(self.base);
        Deadline { at, complete: false }
    }

    /// Until when an answered leg is kept. What a queue took is no answer by a person: agents are tried
    /// until the caller goes (D52). A short answer needs its BYE (D01).
    fn settled_after_answer(&self, answered: Tick, rules: &Rules) -> Time {
        let bye = self.bye();
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let at = |tick: Tick| tick.time(self.base).unwrap_or(self.base);
        let settled = at(answered).plus_ms(ms(rules.timers.settle_ms));
        if self.is_queue(rules) {
            return if bye.seen() {
                settled.max(at(bye).plus_ms(ms(rules.timers.settle_ms)))
            } else {
                at(answered).plus_ms(QUEUE_MS)
            };
        }
        let short = at(answered).plus_ms(ms(rules.short_answer_ms.saturating_add(rules.timers.reorder_ms)));
        if rules.short_answer_ms > 0 {
            settled.max(short)
        } else {
            settled
        }
    }

    fn last_end(&self, cseq: u32) -> Option<Tick> {
        self.current(cseq).map(Hop::end).filter(|end| end.seen()).max()
    }

    fn current(&self, cseq: u32) -> impl Iterator<Item = &Hop> + Clone {
        self.invite_hops().filter(move |hop| hop.cseq == cseq)
    }

    /// When the whole leg had ended, and how long to wait then for copies, retries and successors.
    ///
    /// The caller's side decides: as long as one of its first hops is open, something may still be tried
    /// (a proxy's next choice, D30; the next phone of a sequence, §2.5). Only where none of it is visible
    /// do the branches decide.
    fn end(&self, cseq: u32, timers: &Timers) -> Option<(Tick, u64)> {
        let last = self.last_end(cseq);
        // D38, D39.
        if self.ends_by_bye() {
            let bye = self.rare().caller_bye;
            return Some((last.map_or(bye, |last| last.max(bye)), timers.settle_ms));
        }
        let sides = self.sides();
        let upstream = || self.current(cseq).filter(|hop| self.is_upstream(hop, sides));
        let firsts = || upstream().filter(|hop| !upstream().any(|other| hop.parent == other.via));
        let decide_by_branches = upstream().next().is_none();
        let by_branches = || {
            self.current(cseq)
                .all(|hop| hop.end().seen() || self.ended_on_another_hop(hop))
        };
        let ended = if decide_by_branches {
            by_branches()
        } else {
            // Told by depth alone, the caller's side may be one branch of a fork: then all have to end.
            let is_known = firsts().all(|hop| hop.segment.is_originating());
            firsts().all(|hop| hop.end().seen()) && (is_known || by_branches())
        };
        if !ended {
            return None;
        }
        let is_deciding = |hop: &Hop| decide_by_branches || firsts().any(|first| first.via == hop.via);
        let mut heard = self
            .current(cseq)
            .filter(|hop| hop.cancel.seen() || is_deciding(hop));
        let wait_ms = if !heard.any(|hop| hop.is_refused() || hop.ack.seen()) {
            // A CANCEL that nothing has answered yet may still lose against a 2xx on its way (RFC 3261 §9.1).
            timers.successor_ms.max(timers.settle_ms)
        } else {
            let waits = self
                .current(cseq)
                .filter(|hop| is_deciding(hop))
                .map(|hop| wait_after(hop.status, timers));
            waits.max().unwrap_or(timers.settle_ms)
        };
        // An end that is only inferred from another hop of the branch may be one try of several.
        let is_inferred = decide_by_branches && self.current(cseq).any(|hop| !hop.end().seen());
        Some((
            last?,
            if is_inferred {
                wait_ms.max(timers.successor_ms)
            } else {
                wait_ms
            },
        ))
    }

    /// Whether a hop without an end belongs to a branch which ended on another hop: one frame of it was
    /// lost. That a hop ended does not say so of the one before it, which may try elsewhere, unless it is
    /// known to be a branch of one phone.
    fn ended_on_another_hop(&self, hop: &Hop) -> bool {
        self.invite_hops().any(|other| {
            other.via != hop.via
                && other.cseq == hop.cseq
                && other.end().seen()
                && (other.parent != hop.via || hop.segment.is_terminating())
                && self.is_same_branch(hop, other)
        })
    }
}

/// How long to wait after a final response: for copies, for a retry (T_retry), or for a successor.
fn wait_after(status: u16, timers: &Timers) -> u64 {
    match status {
        401 | 407 | 413 | 415 | 416 | 420 | 421 | 422 | 425 | 428 | 484 | 488 | 491 | 494 | 500 | 503 => {
            timers.retry_ms.max(timers.settle_ms)
        }
        300..=399 => timers.successor_ms.max(timers.settle_ms),
        _ => timers.settle_ms,
    }
}

/// When an open hop has been silent for too long: T_ring_max after its last provisional response,
/// T_noresp after an INVITE without any.
fn silence(hop: &Hop, timers: &Timers, after: &impl Fn(Tick, u64) -> Time) -> Time {
    if hop.last.seen() {
        after(hop.last, timers.ring_max_ms)
    } else {
        // T1 is 2 s on Gm (TS 24.229 §7.7), so Timer B is four times as long there.
        let on_gm = matches!(hop.segment, Segment::Go | Segment::Gt);
        after(
            hop.invite,
            if on_gm {
                timers.noresp_gm_ms
            } else {
                timers.noresp_ms
            },
        )
    }
}

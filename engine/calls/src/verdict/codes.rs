//! The rows of the decision table that look at one branch alone: final status, alerting, cause.

use ringtap_identity::Segment;
use ringtap_record::Outcome;

use crate::reason::ReasonLine;

/// A non-2xx final response as it reached a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Q.850 cause of its Reason, 0 without one.
    pub(super) q850: u8,
    pub(super) segment: Segment,
    /// From the first 180 of the branch to this final; `None` if the branch was not alerted.
    pub(super) alerted_ms: Option<i64>,
}

/// A verdict and the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) outcome: Outcome,
    /// Row of the decision table, or step of §2.8: what `explain` shows.
    pub(super) row: &'static str,
}

pub(super) const fn by(row: &'static str, outcome: Outcome) -> Ruling {
    Ruling { outcome, row }
}

/// D05 to D19 and D26 to D34: what a final response other than 487 means for the target.
pub(super) fn refused(refusal: Refusal, reject_min_ms: i64) -> Ruling {
    use Outcome::{
        AuthFailed, AutoRejected, Blocked, Busy, CallerHungUp, Declined, ForwardedUnanswered, Incompatible,
        InvalidNumber, NetworkFailure, NoAnswer, Unreachable,
    };
    let alerted = refusal.alerted_ms.is_some();
    if let Some(ruling) = translated_cause(refusal) {
        return ruling;
    }
    match refusal.status {
        300..=399 => by("D05", ForwardedUnanswered),
        401 | 407 => by("D07", AuthFailed),
        433 | 607 | 608 => by("D32", Blocked),
        603 if alerted => by("D18", Declined),
        486 | 600 | 403 if refusal.alerted_ms.is_some_and(|ms| ms >= reject_min_ms) => by("D17", Declined),
        408 if alerted => by("D11", NoAnswer),
        480 if alerted => by("D13", NoAnswer),
        _ if alerted => by("D28", NoAnswer),
        404 | 410 | 414 | 416 | 485 | 604 => by("D08", InvalidNumber),
        484 => by("D10", InvalidNumber),
        408 => by("D12", Unreachable),
        480 if refusal.q850 == 21 => by("D15", AutoRejected),
        480 => by("D14", Unreachable),
        486 | 600 => by("D16", Busy),
        603 => by("D19", AutoRejected),
        403 => by("D31", Blocked),
        487 => by("D24", CallerHungUp),
        488 | 606 | 415 | 493 | 580 => by("D27", Incompatible),
        420 | 421 | 422 | 425 | 428 | 436..=440 | 469 | 470 | 494 => by("D33", Incompatible),
        491 => by("D34", NetworkFailure),
        // An unknown code is the x00 of its class (RFC 3261 §8.1.3.2).
        601..=699 => by("D16", Busy),
        _ => by("D29", NetworkFailure),
    }
}

/// The MGCF caveat: behind a gateway these codes are translations of an ISUP cause, so the cause itself
/// counts if it is given. It never overrides 2xx, 486, 600 and 603.
fn translated_cause(refusal: Refusal) -> Option<Ruling> {
    let translated = matches!(refusal.status, 480 | 404 | 403 | 408 | 500..=599);
    if refusal.segment != Segment::Gj || !translated {
        return None;
    }
    let alerted = refusal.alerted_ms.is_some();
    let unless_alerted = |outcome| if alerted { Outcome::NoAnswer } else { outcome };
    let outcome = match refusal.q850 {
        1 | 22 | 28 => unless_alerted(Outcome::InvalidNumber),
        17 => unless_alerted(Outcome::Busy),
        18 | 19 | 20 | 27 | 102 => unless_alerted(Outcome::Unreachable),
        21 if alerted => Outcome::Declined,
        21 => Outcome::AutoRejected,
        34 | 38 | 41 | 42 | 44 | 47 => unless_alerted(Outcome::NetworkFailure),
        _ => return None,
    };
    Some(by("2.4 MGCF caveat", outcome))
}

/// D20: what the Reason of a cancelled branch means; `None` for a plain cancel (line 9: D21 to D24).
pub(super) fn cancelled(line: ReasonLine, alerted: bool) -> Option<Ruling> {
    use ReasonLine::{
        Busy, CallRejected, CompletedElsewhere, DeclinedElsewhere, Failed, NonSelectedUser, Plain,
        Redirected, TimedOut,
    };
    Some(match line {
        CompletedElsewhere => by("D20, Reason line 1", Outcome::AnsweredElsewhere),
        NonSelectedUser => by("D20, Reason line 2", Outcome::AnsweredElsewhere),
        DeclinedElsewhere => by("D20, Reason line 3", Outcome::Declined),
        CallRejected => by("D20, Reason line 4", Outcome::Declined),
        Redirected => by("D20, Reason line 5", Outcome::ForwardedUnanswered),
        TimedOut if alerted => by("D20, Reason line 6", Outcome::NoAnswer),
        Busy if alerted => by("D20, Reason line 7", Outcome::NoAnswer),
        Failed if alerted => by("D20, Reason line 8", Outcome::NoAnswer),
        TimedOut => by("D20, Reason line 6", Outcome::Unreachable),
        Busy => by("D20, Reason line 7", Outcome::Busy),
        Failed => by("D20, Reason line 8", Outcome::NetworkFailure),
        Plain => return None,
    })
}

/// Whether the Reason says that somebody else took the call (§2.2 lines 1 and 2).
pub(super) const fn says_elsewhere(line: ReasonLine) -> bool {
    matches!(line, ReasonLine::CompletedElsewhere | ReasonLine::NonSelectedUser)
}

/// Whether a final invites another try, so that a final which does not is better evidence (§2.8 step 4f).
pub(super) const fn invites_retry(status: u16) -> bool {
    matches!(status, 401 | 407 | 408 | 430 | 484 | 491 | 500 | 503)
}

/// Finals with which a re-INVITE fails; a lone one says nothing of a call attempt. 486, 600, 603 and 480
/// are what people and phones answer to a new call.
pub(super) const fn fails_within_dialogs(status: u16) -> bool {
    !matches!(status, 300..=399 | 480 | 486 | 487 | 600..=699)
}

/// Whether a final under a lower CSeq means nothing once a higher one was seen: the client was asked to
/// try again (T_retry's list; D06, D09), or the attempt was given up for the next.
pub(super) const fn is_superseded(status: u16) -> bool {
    invites_retry(status)
        || matches!(
            status,
            413 | 415 | 416 | 420 | 421 | 422 | 425 | 428 | 487 | 488 | 494
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16, alerted_ms: Option<i64>, q850: u8, segment: Segment) -> Outcome {
        refused(
            Refusal {
                status,
                q850,
                segment,
                alerted_ms,
            },
            300,
        )
        .outcome
    }

    /// Catches a row of D05 to D34 with another code, alerted and not.
    #[test]
    fn every_final_of_the_table() {
        use Outcome::*;
        for (status, not_alerted, alerted) in [
            (302, ForwardedUnanswered, ForwardedUnanswered),
            (407, AuthFailed, AuthFailed),
            (404, InvalidNumber, NoAnswer),
            (410, InvalidNumber, NoAnswer),
            (414, InvalidNumber, NoAnswer),
            (485, InvalidNumber, NoAnswer),
            (604, InvalidNumber, NoAnswer),
            (484, InvalidNumber, NoAnswer),
            (408, Unreachable, NoAnswer),
            (480, Unreachable, NoAnswer),
            (486, Busy, Declined),
            (600, Busy, Declined),
            (403, Blocked, Declined),
            (603, AutoRejected, Declined),
            (488, Incompatible, NoAnswer),
            (606, Incompatible, NoAnswer),
            (503, NetworkFailure, NoAnswer),
            (500, NetworkFailure, NoAnswer),
            (513, NetworkFailure, NoAnswer),
            (491, NetworkFailure, NoAnswer),
            (433, Blocked, Blocked),
            (607, Blocked, Blocked),
            (608, Blocked, Blocked),
            (421, Incompatible, NoAnswer),
            (499, NetworkFailure, NoAnswer),
        ] {
            assert_eq!(code(status, None, 0, Segment::Gt), not_alerted, "{status}");
            assert_eq!(
                code(status, Some(5000), 0, Segment::Gt),
                alerted,
                "{status} alerted"
            );
        }
        assert_eq!(
            code(486, Some(299), 0, Segment::Gt),
            NoAnswer,
            "D17 needs reject_min_ms"
        );
        assert_eq!(code(480, None, 21, Segment::Gt), AutoRejected, "D15");
    }

    /// Catches a translated code believed over its cause behind a gateway, and the reverse elsewhere.
    #[test]
    fn the_cause_counts_behind_a_gateway() {
        assert_eq!(code(480, None, 17, Segment::Gj), Outcome::Busy);
        assert_eq!(code(480, None, 17, Segment::Gt), Outcome::Unreachable);
        assert_eq!(code(486, None, 1, Segment::Gj), Outcome::Busy);
        assert_eq!(code(404, Some(4000), 19, Segment::Gj), Outcome::NoAnswer);
        assert_eq!(code(503, None, 16, Segment::Gj), Outcome::NetworkFailure);
    }
}

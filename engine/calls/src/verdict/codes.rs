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

/// D05 to D19 and D26 to D34: what a final response other than 487 means for the target.
pub(super) fn refused(refusal: Refusal, reject_min_ms: i64) -> Outcome {
    use Outcome::{
        AuthFailed, AutoRejected, Blocked, Busy, CallerHungUp, Declined, ForwardedUnanswered, Incompatible,
        InvalidNumber, NetworkFailure, NoAnswer, Unreachable,
    };
    let alerted = refusal.alerted_ms.is_some();
    if let Some(outcome) = translated_cause(refusal) {
        return outcome;
    }
    match refusal.status {
        300..=399 => ForwardedUnanswered, // D05
        401 | 407 => AuthFailed,          // D07
        433 | 607 | 608 => Blocked,       // D32
        603 if alerted => Declined,       // D18
        486 | 600 | 403 if refusal.alerted_ms.is_some_and(|ms| ms >= reject_min_ms) => Declined, // D17
        _ if alerted => NoAnswer,         // D11, D13, D28
        404 | 410 | 414 | 416 | 484 | 485 | 604 => InvalidNumber, // D08, D10
        408 => Unreachable,               // D12
        480 if refusal.q850 == 21 => AutoRejected, // D15
        480 => Unreachable,               // D14
        486 | 600 => Busy,                // D16
        603 => AutoRejected,              // D19
        403 => Blocked,                   // D31
        487 => CallerHungUp,              // D24
        488 | 606 | 415 | 493 | 580 => Incompatible, // D27
        420 | 421 | 422 | 425 | 428 | 436..=440 | 469 | 470 | 494 => Incompatible, // D33
        // D29, D34; an unknown code is the x00 of its class (RFC 3261 §8.1.3.2).
        601..=699 => Busy,
        _ => NetworkFailure,
    }
}

/// The MGCF caveat: behind a gateway these codes are translations of an ISUP cause, so the cause itself
/// counts if it is given. It never overrides 2xx, 486, 600 and 603.
fn translated_cause(refusal: Refusal) -> Option<Outcome> {
    let translated = matches!(refusal.status, 480 | 404 | 403 | 408 | 500..=599);
    if refusal.segment != Segment::Gj || !translated {
        return None;
    }
    let alerted = refusal.alerted_ms.is_some();
    let unless_alerted = |outcome| Some(if alerted { Outcome::NoAnswer } else { outcome });
    match refusal.q850 {
        1 | 22 | 28 => unless_alerted(Outcome::InvalidNumber),
        17 => unless_alerted(Outcome::Busy),
        18 | 19 | 20 | 27 | 102 => unless_alerted(Outcome::Unreachable),
        21 => Some(if alerted {
            Outcome::Declined
        } else {
            Outcome::AutoRejected
        }),
        34 | 38 | 41 | 42 | 44 | 47 => unless_alerted(Outcome::NetworkFailure),
        _ => None,
    }
}

/// D20: what the Reason of a cancelled branch means; `None` for a plain cancel (line 9: D21 to D24).
pub(super) const fn cancelled(line: ReasonLine, alerted: bool) -> Option<Outcome> {
    use ReasonLine::{
        Busy, CallRejected, CompletedElsewhere, DeclinedElsewhere, Failed, NonSelectedUser, Plain,
        Redirected, TimedOut,
    };
    match line {
        CompletedElsewhere | NonSelectedUser => Some(Outcome::AnsweredElsewhere),
        DeclinedElsewhere | CallRejected => Some(Outcome::Declined),
        Redirected => Some(Outcome::ForwardedUnanswered),
        TimedOut | Busy | Failed if alerted => Some(Outcome::NoAnswer),
        TimedOut => Some(Outcome::Unreachable),
        Busy => Some(Outcome::Busy),
        Failed => Some(Outcome::NetworkFailure),
        Plain => None,
    }
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

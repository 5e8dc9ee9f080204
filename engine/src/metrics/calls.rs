//! What comes of it: legs, calls, records, and how long that takes.

use std::fmt;
use std::time::Duration;

use ringtap_journal::{Durations, Watch};
use ringtap_record::{Outcome, Time};

use super::told::{Distribution, Telling, float, one, truth};
use crate::live::Look;
use crate::settle::Settled;

/// Seconds from the last frame of a call to its record: most of it is `timers.settle_ms`, on purpose.
const FROM_END_MS: [u64; 13] = [
    100, 500, 1_000, 2_000, 2_250, 2_500, 3_000, 5_000, 10_000, 20_000, 45_000, 150_000, 300_000,
];
/// Seconds from when the verdict was due: what the program itself needs.
const FROM_DUE_MS: [u64; 13] = [
    5, 10, 25, 50, 75, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000,
];

/// The leg table.
pub(super) fn legs(to: &mut Telling<'_>, look: &Look, legs_max: usize) -> fmt::Result {
    let table = &look.table;
    to.gauges(
        "ringtap_legs",
        "Legs in the table: open ones, and finished ones that are remembered",
        ["state"],
        [
            (["open"], float(table.legs_open)),
            (["finished"], float(table.legs_finished)),
        ],
    )?;
    to.gauge(
        "ringtap_legs_max",
        "Legs that the table holds at most",
        float(legs_max as u64),
    )?;
    to.counter("ringtap_legs_made", "Legs that were begun", table.legs_made)?;
    to.counters(
        "ringtap_legs_evicted",
        "Legs that had to leave a full table",
        ["state"],
        one([("open", table.evicted_open), ("finished", table.evicted_finished)]),
    )?;
    to.counter(
        "ringtap_legs_overflowed",
        "Legs of more hops than are kept",
        table.legs_overflowed,
    )?;
    to.counter(
        "ringtap_further_attempts",
        "Attempts under the Call-ID and tag of a leg that had ended",
        table.further_attempts,
    )?;
    to.counters(
        "ringtap_late_contradictions",
        "Proofs of an answer that came after the verdict",
        ["found_by"],
        one([
            ("table", table.late_contradictions),
            ("settler", look.settled.counters.late_contradictions),
        ]),
    )
}

/// What the settler made of legs.
pub(super) fn calls(to: &mut Telling<'_>, settled: &Settled) -> fmt::Result {
    let counters = &settled.counters;
    to.counter("ringtap_calls", "Calls that were judged", counters.calls)?;
    to.counters(
        "ringtap_calls_noted",
        "Calls of which something is noteworthy",
        ["note"],
        one([
            ("answered", counters.answered),
            ("several_legs", counters.joined),
            ("gap", counters.gapped),
        ]),
    )?;
    to.counter(
        "ringtap_heuristic_joins",
        "Legs joined by people and time alone",
        counters.heuristic_joins,
    )?;
    to.counter(
        "ringtap_targets_swallowed",
        "Targets left out because another call had told of the same attempt",
        counters.swallowed,
    )?;
    to.counter(
        "ringtap_legs_hurried",
        "Legs judged without waiting for an open one, because too many waited",
        counters.hurried,
    )?;
    to.counter(
        "ringtap_gaps",
        "Known gaps in the capture, of whatever kind",
        counters.gaps,
    )?;
    let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    to.counters(
        "ringtap_targets",
        "Called identities by outcome of the call",
        ["outcome"],
        one(outcomes.zip(settled.outcomes)),
    )?;
    to.counter("ringtap_records", "Records given to the journal", settled.records)?;
    let learned = &settled.learned;
    to.gauge(
        "ringtap_contacts",
        "Contacts whose owner is known from registrations",
        float(learned.bindings),
    )?;
    to.counter(
        "ringtap_contacts_evicted",
        "Contacts that had to be forgotten for want of room",
        learned.bindings_evicted,
    )
}

/// What the mirror shows.
pub(super) fn mirror(to: &mut Telling<'_>, settled: &Settled, now: Option<Time>) -> fmt::Result {
    let shown = &settled.shown;
    let roles = || shown.roles(now.unwrap_or(Time::MIN));
    to.counters(
        "ringtap_role_hops",
        "INVITE transactions by the segment on which they were seen",
        ["role"],
        one(roles().map(|(role, count, _)| (role, count))),
    )?;
    to.gauges(
        "ringtap_role_seen",
        "Whether a segment showed a transaction within the last hour",
        ["role"],
        roles().map(|(role, _, is_recent)| ([role], truth(is_recent))),
    )?;
    to.counters(
        "ringtap_hops",
        "INVITE transactions on a hop by which of their halves were seen",
        ["seen"],
        one(shown.halves()),
    )
}

/// Whether the settler keeps up.
pub(super) fn progress(to: &mut Telling<'_>, look: &Look) -> fmt::Result {
    to.gauge(
        "ringtap_settler_lag_seconds",
        "How far behind the present calls are settled",
        look.lag().as_secs_f64(),
    )?;
    to.gauge(
        "ringtap_settler_waiting",
        "Ticks whose legs wait for the settler",
        float(look.lots_waiting as u64),
    )?;
    to.counter(
        "ringtap_given_up",
        "Legs and registrations lost because the settler hung",
        look.given_up,
    )
}

/// The journal's writer.
pub(super) fn journal(to: &mut Telling<'_>, journal: &Watch) -> fmt::Result {
    let totals = journal.totals();
    to.counters(
        "ringtap_journal_records",
        "Records by whether the journal has them",
        ["result"],
        one([
            ("written", totals.written),
            ("already_there", totals.already_there),
            ("lost", totals.lost),
        ]),
    )?;
    to.counter(
        "ringtap_journal_moved",
        "How often the file was removed or replaced while it was written",
        totals.moved,
    )?;
    to.gauge(
        "ringtap_journal_queued",
        "Records that wait for the writer",
        float(journal.queued() as u64),
    )?;
    to.gauge(
        "ringtap_journal_queue_max",
        "Records that may wait before the oldest are lost",
        float(journal.queue_max() as u64),
    )?;
    to.gauge(
        "ringtap_journal_lag_seconds",
        "How long the oldest record has waited that the writer has in hand",
        journal.unsaved().as_secs_f64(),
    )?;
    to.gauge(
        "ringtap_journal_usable",
        "Whether the last write succeeded",
        truth(journal.fault().is_none()),
    )?;
    let (from_end, from_due) = journal.latency(|latency| {
        (
            timed(&latency.from_end, &FROM_END_MS),
            timed(&latency.from_due, &FROM_DUE_MS),
        )
    });
    to.histogram(
        "ringtap_call_end_to_journal_seconds",
        "From the last frame of a call until its record was committed",
        &from_end,
    )?;
    to.histogram(
        "ringtap_call_due_to_journal_seconds",
        "From when the verdict on a call was due until its record was committed",
        &from_due,
    )
}
/// Times by these bounds, in seconds.
fn timed(durations: &Durations, bounds_ms: &[u64]) -> Distribution {
    let mut below = 0;
    let bucket = |bound_ms: &u64| {
        let bound = Duration::from_millis(*bound_ms);
        let within = durations.within(bound).max(below);
        let count = within - below;
        below = within;
        (bound.as_secs_f64(), count)
    };
    let buckets = bounds_ms.iter().map(bucket).collect();
    Distribution {
        buckets,
        above: durations.count().saturating_sub(below),
        sum: durations.sum().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ringtap_journal::{Moments, Options, Writer};
    use ringtap_record::{CallRecord, Caller, Explanation};

    use super::*;

    /// Catches a time in a bucket that is too small or too large for it, in several, or in none.
    #[test]
    fn times_fall_into_their_buckets() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::spawn(&folder.path().join("journal.db"), Options::default()).unwrap();
        let watch = writer.watch();
        let ago = |s| Instant::now().checked_sub(Duration::from_secs(s)).unwrap();
        for (number, ended_s, due_s) in [(1, 50, 7), (2, 51, 7), (3, 400, 90)] {
            let at = Time::from_micros(1_700_000_000_000_000);
            let record: CallRecord = serde_json::from_value(serde_json::json!({
                "call": format!("{number:064x}"), "started": at, "ended": at, "caller": Caller::default(),
                "dialled": null, "answered_by": null, "machine": false, "targets": [], "legs": 1, "flags": [],
            }))
            .unwrap();
            let moments = Moments {
                ended: ago(ended_s),
                due: ago(due_s),
            };
            writer
                .send_timed(record, Explanation::default(), moments)
                .unwrap();
        }
        writer.finish().unwrap();
        let filled = |of: &Distribution| -> Vec<(f64, u64)> {
            let buckets = of.buckets.iter().copied();
            buckets.filter(|(_, count)| *count > 0).collect()
        };
        let from_end = watch.latency(|latency| timed(&latency.from_end, &FROM_END_MS));
        assert_eq!((filled(&from_end), from_end.above), (vec![(150.0, 2)], 1));
        let from_due = watch.latency(|latency| timed(&latency.from_due, &FROM_DUE_MS));
        assert_eq!((filled(&from_due), from_due.above), (vec![(10.0, 2)], 1));
        assert!(from_due.sum >= 104.0);
    }
}

//! The summary of `--stats`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use ringtap_calls::table::TableCounters;
use ringtap_record::{Outcome, Time};
use ringtap_sip::{Fault, Method};
use ringtap_xdp::Action;
use ringtap_xsk::Statistics;

use crate::batches::BatchTimes;
use crate::clock::ClockCounters;
use crate::live::{self, PortReport};
use crate::replay;
use crate::settle::Settled;
use crate::worker::WorkerCounters;

/// Writes the counts of a replay or a live capture for people, one fact a line.
#[derive(Debug)]
pub struct Summary<'a> {
    elapsed: Duration,
    seen: &'a WorkerCounters,
    table: &'a TableCounters,
    settled: &'a Settled,
    /// Of a replay: first and last stamp.
    span: Option<(Time, Time)>,
    /// Of a replay.
    clock: ClockCounters,
    /// Of a replay.
    batches: Option<&'a BatchTimes>,
    /// Of a live capture.
    ports: &'a [PortReport],
    given_up: u64,
}

impl<'a> From<&'a replay::Outcome> for Summary<'a> {
    fn from(outcome: &'a replay::Outcome) -> Self {
        Self {
            elapsed: outcome.elapsed,
            seen: &outcome.seen,
            table: &outcome.table,
            settled: &outcome.settled,
            span: outcome.span,
            clock: outcome.clock,
            batches: outcome.batches.as_ref(),
            ports: &[],
            given_up: 0,
        }
    }
}

impl<'a> From<&'a live::Outcome> for Summary<'a> {
    fn from(outcome: &'a live::Outcome) -> Self {
        Self {
            elapsed: outcome.elapsed,
            seen: &outcome.seen,
            table: &outcome.table,
            settled: &outcome.settled,
            span: None,
            clock: ClockCounters::default(),
            batches: None,
            ports: &outcome.ports,
            given_up: outcome.given_up,
        }
    }
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self;
        let frames = outcome.seen.frames.frames();
        let seconds = outcome.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = |count: u64| count as f64 / seconds.max(1e-9);
        writeln!(f, "elapsed         {seconds:.3} s")?;
        writeln!(f, "frames          {frames}  ({:.0}/s)", rate(frames))?;
        writeln!(
            f,
            "bytes           {}  ({:.1} MB/s)",
            outcome.seen.bytes,
            rate(outcome.seen.bytes) / 1e6
        )?;
        if let Some((first, last)) = outcome.span {
            #[expect(clippy::cast_precision_loss, reason = "a span for people")]
            let span = (last - first) as f64 / 1e6;
            writeln!(f, "capture time    {first} to {last}  ({span:.3} s)")?;
        }
        self.ports(f)?;
        self.counts(f, "  outbox", [("given_up", outcome.given_up)])?;
        self.counts(f, "  clock", outcome.clock.iter())?;
        self.counts(f, "  frame", outcome.seen.frames.iter())?;
        self.counts(f, "  tunnel", outcome.seen.frames.tunnels().iter())?;
        let reassembly = outcome.seen.frames.reassembly();
        let fragments = reassembly.fragments.iter();
        self.counts(f, "  fragment", fragments.map(|(name, count, _)| (name, count)))?;
        let datagrams = reassembly.datagrams.iter();
        self.counts(f, "  datagram", datagrams.map(|(name, count, _)| (name, count)))?;
        self.counts(f, "  put together", outcome.seen.frames.put_together())?;
        self.streams(f)?;
        writeln!(
            f,
            "sip messages    {}  ({:.0}/s)",
            outcome.seen.messages(),
            rate(outcome.seen.messages())
        )?;
        let requests = Method::ALL
            .iter()
            .map(|method| method.as_str())
            .zip(outcome.seen.requests.iter().copied());
        self.counts(f, "  request", requests)?;
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"]
            .into_iter()
            .zip(outcome.seen.responses);
        self.counts(f, "  response", classes)?;
        let faults = Fault::ALL
            .iter()
            .map(|fault| fault.as_str())
            .zip(outcome.seen.faults.iter().copied());
        self.counts(f, "  no message", faults)?;
        self.batches(f)?;
        let table = outcome.table;
        writeln!(f, "legs            {}", table.legs_made)?;
        self.counts(
            f,
            "  leg",
            [
                ("further_attempts", table.further_attempts),
                ("evicted_finished", table.evicted_finished),
                ("evicted_open", table.evicted_open),
                ("late_contradictions", table.late_contradictions),
                ("messages_of_no_leg", outcome.seen.applied.of_no_leg),
                ("messages_left_out", outcome.seen.applied.left_out),
            ],
        )?;
        let settled = outcome.settled;
        let learned = &settled.learned;
        self.counts(
            f,
            "  registration",
            [
                ("seen", outcome.seen.applied.registrations),
                ("refused", outcome.seen.applied.registrations_refused),
                ("learned", learned.registrations),
                ("contacts_known", learned.bindings),
                ("contacts_evicted", learned.bindings_evicted),
                ("sets_told", learned.sets),
                ("wildcards_left_out", learned.wildcards),
                ("called_by_contact", learned.resolved),
                ("called_as_asserted", learned.asserted),
                ("contact_of_several", learned.ambiguous),
                ("caller_by_contact", learned.callers),
            ],
        )?;
        writeln!(
            f,
            "calls           {}  ({:.0}/s)",
            settled.counters.calls,
            rate(settled.counters.calls)
        )?;
        let counters = &settled.counters;
        self.counts(
            f,
            "  call",
            [
                ("joined", counters.joined),
                ("heuristic_joins", counters.heuristic_joins),
                ("swallowed", counters.swallowed),
                ("late_contradictions", counters.late_contradictions),
                ("hurried", counters.hurried),
                ("gapped", counters.gapped),
            ],
        )?;
        let outcomes = Outcome::ALL
            .iter()
            .map(|code| code.as_str())
            .zip(settled.outcomes.iter().copied());
        self.counts(f, "  target", outcomes)?;
        writeln!(
            f,
            "records         {}  ({:.0}/s)",
            settled.records,
            rate(settled.records)
        )?;
        if let Some(journal) = &settled.journal {
            self.counts(
                f,
                "  journal",
                [
                    ("written", journal.written),
                    ("already_there", journal.already_there),
                    ("lost", journal.lost),
                    ("moved", journal.moved),
                ],
            )?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    /// For each interface what its program saw and did, and what its sockets and its NIC counted.
    fn ports(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for port in self.ports {
            writeln!(f, "interface       {}", port.interface)?;
            writeln!(f, "  xdp           frames {}", port.program.frames())?;
            self.counts(f, "  xdp", port.program.actions())?;
            self.counts(f, "  xdp frame", port.program.iter())?;
            let mut sum = Statistics::default();
            port.sockets.values().for_each(|queue| sum.add(*queue));
            self.counts(f, "  socket", sum.iter())?;
            for (number, queue) in &port.sockets {
                self.counts(f, &format!("  queue {number}"), queue.iter())?;
            }
            // Taken, and neither received nor lost: by a redirect that failed within the kernel.
            let accounted = sum.received + sum.lost();
            let missing = port.program.action(Action::Taken).saturating_sub(accounted);
            self.counts(f, "  socket", [("unaccounted", missing)])?;
            self.counts(f, "  nic", [("lost", port.nic_lost)])?;
        }
        Ok(())
    }

    /// How long a worker took for messages that it read and joined at once.
    fn batches(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(batches) = self.batches.filter(|batches| batches.count() > 0) else {
            return Ok(());
        };
        let (count, messages) = (batches.count(), batches.messages());
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let mean = messages as f64 / count as f64;
        let us = |took: Duration| took.as_secs_f64() * 1e6;
        writeln!(f, "batches         {count}  ({mean:.1} messages each)")?;
        let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| us(batches.percentile(percent)));
        writeln!(
            f,
            "  batch         p50 {p50:.1} us, p99 {p99:.1} us, p99.9 {p999:.1} us, longest {:.1} us",
            us(batches.longest())
        )
    }

    /// What became of TCP segments and SCTP packets on SIP ports.
    fn streams(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tcp = self.seen.frames.tcp();
        let segments = tcp.segments.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  tcp segment", segments)?;
        let streams = tcp.streams.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  tcp stream", streams)?;
        let messages = tcp.messages.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  tcp message", messages)?;
        let sctp = self.seen.frames.sctp();
        self.counts(f, "  sctp", [("packets", sctp.packets)])?;
        let chunks = sctp.chunks.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  sctp data", chunks)?;
        let associations = sctp.associations.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  sctp association", associations)?;
        let messages = sctp.messages.iter().map(|(name, count, _)| (name, count));
        self.counts(f, "  sctp message", messages)
    }

    /// The counts that are not zero, a line each.
    fn counts<'n>(
        &self,
        f: &mut Formatter<'_>,
        of: &str,
        counts: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> fmt::Result {
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{of:<14}  {name} {count}")?;
        }
        Ok(())
    }
}

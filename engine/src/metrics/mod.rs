//! What a capture tells of itself while it runs: metrics for Prometheus and health (docs/metrics.md), of what stands on its [`Board`].
//!
//! Everything is read when somebody asks, in the thread of the server. What is counted, and where, is the affair of those who count; here it
//! gets its names: in `traffic` what comes in, in `calls` what comes of it. When a part of the program is all right is decided in `health`.

mod calls;
mod hand_over;
mod health;
mod told;
mod traffic;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringtap_journal::Watch;
use ringtap_telemetry::Health;
use ringtap_telemetry::prometheus_client::collector::Collector;
use ringtap_telemetry::prometheus_client::encoding::DescriptorEncoder;

use crate::live::Board;
use health::Parts;
use told::{Telling, truth};

/// A capture, and the journal that it writes, as seen from outside.
#[derive(Debug)]
pub struct Metrics {
    board: Arc<Board>,
    journal: Watch,
    legs_max: usize,
    parts: Parts,
}

impl Metrics {
    /// Of a capture on this board with a table for so many legs. An interface is reported if no frame comes for `silence`; never, if
    /// that is zero.
    #[must_use]
    pub fn new(board: Arc<Board>, journal: Watch, legs_max: usize, silence: Duration) -> Self {
        Self {
            board,
            journal,
            legs_max,
            parts: Parts::new(silence),
        }
    }

    /// How the program is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.parts.look(&self.board.look(), &self.journal)
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let look = self.board.look();
        let mut telling = Telling(encoder);
        let to = &mut telling;
        traffic::interfaces(to, &look)?;
        traffic::frames(to, &look.seen)?;
        traffic::streams(to, &look.seen)?;
        traffic::sip(to, &look.seen)?;
        calls::legs(to, &look, self.legs_max)?;
        calls::calls(to, &look.settled)?;
        calls::mirror(to, &look.settled, look.now)?;
        calls::progress(to, &look)?;
        calls::journal(to, &self.journal)?;
        hand_over::hand_over(to, &look.hand_over)?;
        let health = self.parts.look(&look, &self.journal);
        to.gauges(
            "ringtap_part_ok",
            "Whether a part is all right, as /health says",
            ["part"],
            health
                .parts
                .iter()
                .map(|part| ([&part.name], truth(part.state.is_ok()))),
        )
    }
}

#[cfg(test)]
mod tests {
    use ringtap_journal::{Options, Writer};
    use ringtap_telemetry::prometheus_client::encoding::prometheus_text;
    use ringtap_testkit::exposition::{Families, documented, told};

    use super::*;

    fn told_by(board: Board) -> String {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::spawn(&folder.path().join("journal.db"), Options::default()).unwrap();
        let metrics = Metrics::new(Arc::new(board), writer.watch(), 100, Duration::from_secs(60));
        let mut registry = ringtap_telemetry::registry("1");
        registry.register_collector(Box::new(metrics));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Catches a metric, a kind or a label that is told and not documented, or the other way round.
    #[test]
    fn the_document_has_what_is_told() {
        let document = include_str!("../../../docs/metrics.md");
        let mut wanted: Families = documented(document, "## Of both programs");
        wanted.append(&mut documented(document, "## Of `ringtap run`"));
        let mut found = told(&told_by(Board::example(Ok(()))));
        // The system may know no such limit.
        for families in [&mut wanted, &mut found] {
            families.remove("process_max_fds");
        }
        assert_eq!(found, wanted);
    }

    /// Catches series that come into being only when something happens, so that a rate over them misses the first time.
    #[test]
    fn every_series_is_there_from_the_start() {
        let text = told_by(Board::example(Ok(())));
        for series in [
            "ringtap_sip_requests_total{method=\"INVITE\"} 0",
            "ringtap_sip_responses_total{class=\"6xx\"} 0",
            "ringtap_xdp_actions_total{interface=\"mirror0\",action=\"no_socket\"} 0",
            "ringtap_socket_frames_total{interface=\"mirror0\",queue=\"0\",result=\"ring_full\"} 0",
            "ringtap_journal_records_total{result=\"lost\"} 0",
            "ringtap_role_seen{role=\"MT\"} 0.0",
            "ringtap_targets_total{outcome=\"CALLER_HUNG_UP\"} 0",
            "ringtap_hand_over_phase{phase=\"alone\"} 1.0",
            "ringtap_hand_over_frames_total{way=\"bridged\"} 0",
            "ringtap_call_due_to_journal_seconds_bucket{le=\"+Inf\"} 0",
        ] {
            assert!(text.lines().any(|line| line == series), "{series}\n{text}");
        }
    }
}

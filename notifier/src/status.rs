//! How the service is doing: what Prometheus counts, and what `/health` says.

use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use ringtap_identity::LogNumbers;
use ringtap_record::Outcome;
use ringtap_telemetry::{Health, Part};

use crate::decide::Silence;
use crate::intake::MUTED;
use crate::page;
use crate::store::{Channel, Depth};

/// Seconds from the end of a call until the server has taken the mail: a live one is to be told within a few, one that was put off
/// may take days.
const LATENCY_S: [f64; 14] = [
    0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 172_800.0,
];

/// What a message was tried on, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Tried {
    channel: Word,
    result: Word,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OnChannel {
    channel: Word,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfFile {
    file: Word,
}

/// A request of the page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Requested {
    route: Word,
    status: Word,
}

/// What became of the wish for a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Wished {
    result: Word,
}

/// Why something is so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct For {
    reason: Word,
}

/// One of few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// What can be wrong, and has to be for `/health` to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The engine's journal.
    Journal,
    /// The notifier's own database.
    Database,
    /// The mail server.
    Mail,
    /// The operator's endpoint.
    Webhook,
    /// People's page.
    Page,
}

impl Concern {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Database => "database",
            Self::Mail => "mail",
            Self::Webhook => "webhook",
            Self::Page => "page",
        }
    }
}

impl From<Channel> for Concern {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Mail => Self::Mail,
            Channel::Webhook => Self::Webhook,
        }
    }
}

/// All of it. Shared by the service, which writes, and the server of `/metrics` and `/health`, which reads.
#[derive(Debug)]
pub struct Status {
    pending: Gauge,
    held: Gauge,
    dead: Gauge,
    oldest: Gauge<f64, std::sync::atomic::AtomicU64>,
    lag: Gauge,
    tried: Family<Tried, Counter>,
    records: Counter,
    damaged: Counter,
    queued: Counter,
    gathered: Counter,
    silences: Family<For, Counter>,
    latency: Histogram,
    requests: Family<Requested, Counter>,
    refused: Family<For, Counter>,
    wishes: Family<Wished, Counter>,
    sessions: Counter,
    is_up: Family<OnChannel, Gauge<i64, AtomicI64>>,
    is_usable: Family<OfFile, Gauge<i64, AtomicI64>>,
    parts: Mutex<Vec<Part>>,
}

/// What becomes of a message that is tried (docs/metrics.md).
const RESULTS: [&str; 7] = [
    "sent",
    "put_off",
    "interrupted",
    "no_server",
    "refused",
    "given_up",
    "dropped",
];
/// Why a person is not told of a call.
const REASONS: [&str; 12] = [
    "repeated",
    "stale",
    "reached",
    MUTED,
    Silence::Answered.word(),
    Silence::AnsweredElsewhere.word(),
    Silence::NotCalled.word(),
    Silence::OwnCall.word(),
    Silence::SwitchedOff(Outcome::NoAnswer).word(),
    Silence::TooShort.word(),
    Silence::Partial.word(),
    Silence::Gap.word(),
];

/// Why the page does not do what is asked.
const REFUSALS: [&str; 6] = [
    "signed_out",
    "foreign_form",
    "bad_link",
    "too_often",
    "too_large",
    "too_slow",
];
/// What becomes of the wish for a link.
const WISHES: [&str; 4] = ["queued", "unknown", "too_often", "failed"];
/// Answers of the page, by the first digit of their status.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Default for Status {
    fn default() -> Self {
        let status = Self::empty();
        // So that they are 0 from the start, and a rate does not miss the first time.
        for channel in Channel::ALL {
            for result in RESULTS {
                let _at_zero = status.tried.get_or_create(&Tried {
                    channel: Word(channel.as_str()),
                    result: Word(result),
                });
            }
        }
        for reason in REASONS {
            let _at_zero = status.silences.get_or_create(&For { reason: Word(reason) });
        }
        for reason in REFUSALS {
            let _at_zero = status.refused.get_or_create(&For { reason: Word(reason) });
        }
        for result in WISHES {
            let _at_zero = status.wishes.get_or_create(&Wished { result: Word(result) });
        }
        for (route, class) in page::ROUTES
            .into_iter()
            .flat_map(|route| CLASSES.map(|class| (route, class)))
        {
            let _at_zero = status.requests.get_or_create(&Requested {
                route: Word(route),
                status: Word(class),
            });
        }
        status
    }
}

impl Status {
    fn empty() -> Self {
        Self {
            pending: Gauge::default(),
            held: Gauge::default(),
            dead: Gauge::default(),
            oldest: Gauge::default(),
            lag: Gauge::default(),
            tried: Family::default(),
            records: Counter::default(),
            damaged: Counter::default(),
            queued: Counter::default(),
            gathered: Counter::default(),
            silences: Family::default(),
            latency: Histogram::new(LATENCY_S),
            requests: Family::default(),
            refused: Family::default(),
            wishes: Family::default(),
            sessions: Counter::default(),
            is_up: Family::default(),
            is_usable: Family::default(),
            parts: Mutex::default(),
        }
    }
}

impl Status {
    /// Names everything for Prometheus (docs/metrics.md).
    pub fn register(&self, registry: &mut Registry) {
        let all = registry.sub_registry_with_prefix("ringtap_notifier");
        all.register(
            "outbox_pending",
            "Messages still to be sent",
            self.pending.clone(),
        );
        all.register(
            "outbox_held",
            "Messages held back or still gathering calls",
            self.held.clone(),
        );
        all.register("outbox_dead", "Messages given up and kept", self.dead.clone());
        all.register_with_unit(
            "outbox_oldest",
            "Age of the oldest message still to be sent",
            Unit::Seconds,
            self.oldest.clone(),
        );
        all.register(
            "journal_lag_records",
            "Records of the journal not taken in yet",
            self.lag.clone(),
        );
        all.register(
            "deliveries",
            "Attempts to hand a message over, by channel and result",
            self.tried.clone(),
        );
        all.register(
            "records",
            "Records taken in from the journal",
            self.records.clone(),
        );
        all.register(
            "records_damaged",
            "Records that could not be read and were passed over",
            self.damaged.clone(),
        );
        all.register(
            "queued",
            "Missed calls that got a message of their own",
            self.queued.clone(),
        );
        all.register(
            "coalesced",
            "Missed calls gathered into a summary or digest",
            self.gathered.clone(),
        );
        all.register(
            "suppressed",
            "Calls of which a person was not told, by reason",
            self.silences.clone(),
        );
        all.register_with_unit(
            "call_end_to_accepted",
            "From the end of a missed call until the server took its first message",
            Unit::Seconds,
            self.latency.clone(),
        );
        all.register(
            "page_requests",
            "Requests of the page, by route and class of the answer's status",
            self.requests.clone(),
        );
        all.register(
            "page_refused",
            "Requests of the page that were refused, by reason",
            self.refused.clone(),
        );
        all.register(
            "page_links",
            "Links to the page that were asked for by mail address, by result",
            self.wishes.clone(),
        );
        all.register(
            "page_sessions",
            "Sessions that links have begun",
            self.sessions.clone(),
        );
        all.register(
            "server_up",
            "Whether the channel's server is believed to answer",
            self.is_up.clone(),
        );
        all.register(
            "file_usable",
            "Whether the journal can be read, and the notifier's database be used",
            self.is_usable.clone(),
        );
    }

    pub(crate) fn depth(&self, depth: &Depth, now_us: i64) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.pending.set(gauge(depth.pending));
        self.held.set(gauge(depth.held));
        self.dead.set(gauge(depth.dead));
        let age_us = depth
            .oldest
            .map_or(0, |oldest| now_us.saturating_sub(oldest.as_micros()).max(0));
        self.oldest
            .set(Duration::from_micros(age_us.unsigned_abs()).as_secs_f64());
    }

    pub(crate) fn lag(&self, records: u64) {
        self.lag.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    pub(crate) fn tried(&self, channel: Channel, result: &'static str) {
        self.tried
            .get_or_create(&Tried {
                channel: Word(channel.as_str()),
                result: Word(result),
            })
            .inc();
    }

    pub(crate) fn taken(&self, records: u64, damaged: u64, queued: u64, gathered: u64) {
        self.records.inc_by(records);
        self.damaged.inc_by(damaged);
        self.queued.inc_by(queued);
        self.gathered.inc_by(gathered);
    }

    pub(crate) fn silenced(&self, reason: &'static str, count: u64) {
        self.silences
            .get_or_create(&For { reason: Word(reason) })
            .inc_by(count);
    }

    pub(crate) fn page_answered(&self, route: &'static str, status: u16) {
        let class = match status {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests
            .get_or_create(&Requested {
                route: Word(route),
                status: Word(class),
            })
            .inc();
    }

    pub(crate) fn page_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&For { reason: Word(reason) }).inc();
    }

    pub(crate) fn page_link(&self, result: &'static str) {
        self.wishes.get_or_create(&Wished { result: Word(result) }).inc();
    }

    pub(crate) fn page_session(&self) {
        self.sessions.inc();
    }

    pub(crate) fn accepted_after(&self, us: i64) {
        let us = u64::try_from(us).unwrap_or(0);
        self.latency.observe(Duration::from_micros(us).as_secs_f64());
    }

    /// Something is wrong, or is not any more. Whether that is news.
    pub(crate) fn trouble(&self, concern: Concern, why: Option<&str>) -> bool {
        let (word, is_well) = (Word(concern.as_str()), i64::from(why.is_none()));
        match concern {
            Concern::Mail | Concern::Webhook => {
                self.is_up
                    .get_or_create(&OnChannel { channel: word })
                    .set(is_well);
            }
            // Its metrics are its requests.
            Concern::Page => {}
            Concern::Journal | Concern::Database => {
                self.is_usable.get_or_create(&OfFile { file: word }).set(is_well);
            }
        }
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever can reach the address may ask; a server's words may hold somebody's.
        let state = why.map_or(Ok(()), |why| Err(LogNumbers::Masked.shown(why).into_owned()));
        let Some(part) = parts.iter_mut().find(|part| part.name == concern.as_str()) else {
            let is_news = state.is_err();
            parts.push(Part {
                name: concern.as_str().into(),
                state,
                since: SystemTime::now(),
            });
            return is_news;
        };
        if part.state.is_ok() != state.is_ok() {
            part.since = SystemTime::now();
        }
        let is_news = part.state != state;
        part.state = state;
        is_news
    }

    /// What `/health` says: how each part is that was heard of.
    #[must_use]
    pub fn health(&self) -> Health {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        Health { parts: parts.clone() }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use ringtap_testkit::exposition::{documented, told};

    use super::*;

    fn text(status: &Status) -> String {
        let mut registry = ringtap_telemetry::registry("1");
        status.register(&mut registry);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Catches a metric, a kind or a label that is told and not documented, or the other way round.
    #[test]
    fn the_document_has_what_is_told() {
        let document = include_str!("../../docs/metrics.md");
        let mut wanted = documented(document, "## Of both programs");
        wanted.append(&mut documented(document, "## Of `ringtap-notifier run`"));
        let status = Status::default();
        for concern in [Concern::Mail, Concern::Journal] {
            status.trouble(concern, None);
        }
        let mut found = told(&text(&status));
        // The system may know no such limit.
        for families in [&mut wanted, &mut found] {
            families.remove("process_max_fds");
        }
        assert_eq!(found, wanted);
    }

    /// Catches results and reasons that come into being only when they occur, so that a rate misses the first one, and words that the
    /// document does not have.
    #[test]
    fn every_result_and_reason_is_there_from_the_start() {
        let text = text(&Status::default());
        let document = include_str!("../../docs/metrics.md");
        for (label, words) in [("result", &RESULTS[..]), ("reason", &REASONS)] {
            for word in words {
                assert!(document.contains(&format!("`{word}`")), "{word}");
                let series = format!("{label}=\"{word}\"}} 0");
                assert!(text.contains(&series), "{series}\n{text}");
            }
        }
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        let results = series("ringtap_notifier_deliveries_total{");
        assert_eq!(results, RESULTS.len() * Channel::ALL.len());
        assert_eq!(series("ringtap_notifier_suppressed_total{"), REASONS.len());
    }
}

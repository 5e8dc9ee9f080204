//! The two texts in which metrics can be had, and which of them a client wants.

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// A text form of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4: what everything reads.
    Plain,
}

impl Format {
    /// The form that an Accept header asks for (RFC 9110 §12.5.1). OpenMetrics has to be asked for by its
    /// name; a client that accepts neither gets the plain one all the same, which that section permits.
    pub(crate) fn accepted(accept: &str) -> Self {
        let (mut open, mut plain) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match (kind.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => open = open.max(weight),
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => plain = plain.max(weight),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Plain
        }
    }

    /// The Content-Type of this form.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => prometheus_text::CONTENT_TYPE,
        }
    }

    /// All metrics of `registry`.
    pub(crate) fn write(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut metrics = String::new();
        match self {
            Self::OpenMetrics => text::encode(&mut metrics, registry)?,
            Self::Plain => prometheus_text::encode(&mut metrics, registry)?,
        }
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a client that gets a form that it cannot read.
    #[test]
    fn clients_get_what_they_ask_for() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Plain),
            ("*/*", Format::Plain),
            ("text/html, */*;q=0.8", Format::Plain),
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text; version=0.0.1", Format::Plain),
            ("application/openmetrics-text; q=0", Format::Plain),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.5",
                Format::Plain,
            ),
            ("application/openmetrics-text;q=nonsense", Format::Plain),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
                Format::Plain,
            ),
            (";;==,,q=1", Format::Plain),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}

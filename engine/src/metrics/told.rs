//! Writes metrics whose values are known already, in the library's words.

use std::fmt;

use ringtap_telemetry::prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use ringtap_telemetry::prometheus_client::metrics::MetricType;

/// One scrape.
pub(super) struct Telling<'a>(pub(super) DescriptorEncoder<'a>);

/// A distribution.
pub(super) struct Distribution {
    /// Upper bounds, ascending, each with what lies up to it and above the one before.
    pub(super) buckets: Vec<(f64, u64)>,
    /// What lies above them all.
    pub(super) above: u64,
    pub(super) sum: f64,
}

impl Telling<'_> {
    /// A counter. The name is told with `_total` behind it.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        count(&mut self.describe(name, help, MetricType::Counter)?, value)
    }

    /// A counter for each of some labels. The name is told with `_total` behind it.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        series: impl IntoIterator<Item = ([impl AsRef<str>; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.describe(name, help, MetricType::Counter)?;
        for (values, value) in series {
            let pairs: [(&str, &str); N] = std::array::from_fn(|at| pair(&labels, &values, at));
            count(&mut metric.encode_family(&pairs)?, value)?;
        }
        Ok(())
    }

    /// A gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.describe(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A gauge for each of some labels.
    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        series: impl IntoIterator<Item = ([impl AsRef<str>; N], f64)>,
    ) -> fmt::Result {
        let mut metric = self.describe(name, help, MetricType::Gauge)?;
        for (values, value) in series {
            let pairs: [(&str, &str); N] = std::array::from_fn(|at| pair(&labels, &values, at));
            metric.encode_family(&pairs)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str, of: &Distribution) -> fmt::Result {
        let mut buckets = of.buckets.clone();
        buckets.push((f64::INFINITY, of.above));
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.describe(name, help, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(of.sum, count, &buckets, None)
    }

    fn describe<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, &format!("{help}."), None, kind)
    }
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

fn pair<'s>(labels: &[&'s str], values: &'s [impl AsRef<str>], at: usize) -> (&'s str, &'s str) {
    let label = labels.get(at).copied().unwrap_or_default();
    (label, values.get(at).map_or("", AsRef::as_ref))
}

/// Series of one label.
pub(super) fn one<'s>(
    counts: impl IntoIterator<Item = (&'s str, u64)>,
) -> impl Iterator<Item = ([&'s str; 1], u64)> {
    counts.into_iter().map(|(name, count)| ([name], count))
}

/// Likewise, of counters that have a sentence for people.
pub(super) fn three<'s>(
    counts: impl IntoIterator<Item = (&'s str, u64, &'s str)>,
) -> impl Iterator<Item = ([&'s str; 1], u64)> {
    counts.into_iter().map(|(name, count, _)| ([name], count))
}

pub(super) const fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are such numbers")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

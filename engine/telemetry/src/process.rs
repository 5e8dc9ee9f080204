//! What any process can tell of itself, under the names that all of Prometheus' libraries give it.

use std::fmt;
use std::time::Duration;

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI as _, KernelStats, ProcResult};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// A registry with what both programs tell: `ringtap_build_info`, `process_start_time_seconds`,
/// `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`,
/// `process_open_fds`, `process_max_fds` and `process_threads`. What the kernel does not say is left out.
#[must_use]
pub fn registry(version: &str) -> Registry {
    let mut registry = Registry::default();
    let labels = vec![("version".to_owned(), version.to_owned())];
    registry.register("ringtap_build", "Version that is running", Info::new(labels));
    registry.register_collector(Box::new(ThisProcess {
        started_s: started_s().ok(),
    }));
    registry
}

/// Read from /proc when it is asked for.
#[derive(Debug)]
struct ThisProcess {
    /// Read once: the kernel's boot time, which it is reckoned from, moves when the wall clock is set.
    started_s: Option<f64>,
}

impl Collector for ThisProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = |name, help, metric: &dyn Told| metric.tell(&mut encoder, name, help);
        if let Some(started_s) = self.started_s {
            let metric = ConstGauge::new(started_s);
            tell(
                "process_start_time_seconds",
                "Start, in seconds since 1970",
                &metric,
            )?;
        }
        let Ok(now) = Usage::read() else {
            return Ok(());
        };
        // The library adds `_total`.
        tell(
            "process_cpu_seconds",
            "Time on a processor",
            &ConstCounter::new(now.cpu_s),
        )?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                Some(now.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                Some(now.virtual_bytes),
            ),
            ("process_threads", "Threads", Some(now.threads)),
            ("process_open_fds", "Open file descriptors", now.open_fds),
            ("process_max_fds", "Open file descriptors at most", now.max_fds),
        ] {
            if let Some(value) = value {
                tell(name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

/// A metric whose value is known, so that each kind can be told alike.
trait Told {
    fn tell(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<M: EncodeMetric> Told for M {
    fn tell(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        // What comes over Registry::register gets its full stop there.
        let metric = encoder.encode_descriptor(name, &format!("{help}."), None, self.metric_type())?;
        self.encode(metric)
    }
}

/// What the process uses now.
struct Usage {
    cpu_s: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl Usage {
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let max_fds = process
            .limits()
            .ok()
            .map(|limits| limits.max_open_files.soft_limit);
        Ok(Self {
            cpu_s: seconds(stat.utime + stat.stime),
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            open_fds: process
                .fd_count()
                .ok()
                .and_then(|count| u64::try_from(count).ok()),
            max_fds: max_fds.and_then(|limit| match limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            }),
        })
    }
}

/// When this process began, in seconds since 1970.
fn started_s() -> ProcResult<f64> {
    let stat = Process::myself()?.stat()?;
    Ok(Duration::from_secs(KernelStats::current()?.btime).as_secs_f64() + seconds(stat.starttime))
}

/// Clock ticks of /proc as seconds.
fn seconds(ticks: u64) -> f64 {
    let ticks_ms = ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1);
    Duration::from_millis(ticks_ms).as_secs_f64()
}

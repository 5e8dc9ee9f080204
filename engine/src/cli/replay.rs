//! `ringtap replay`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ringtap_calls::Rules;
use ringtap_config::Config;

use super::core_list::CoreList;
use super::outputs::{Outputs, display};
use super::run::take;
use super::{Common, Failure, say};
use crate::decode::{Decoder, PortSet, reassembly, sctp, tcp};
use crate::replay::{self, Options, Speed};
use crate::stats::Summary;
use crate::worker::Shared;

/// Files of this size and more get a progress bar.
const PROGRESS_FROM_BYTES: u64 = 8 << 20;

/// Run capture files (pcap or pcapng, `-` for standard input) through the whole pipeline, then exit
///
/// Without --journal and --records the missed calls are printed as a table, declined ones left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap replay monday.pcap\n  \
    ringtap replay --journal journal.db --stats monday-1.pcapng monday-2.pcapng\n  \
    mergecap -w - tap1.pcapng tap2.pcapng | ringtap replay --journal journal.db -\n  \
    zcat old.pcap.gz | ringtap replay --records - -")]
pub(super) struct Replay {
    /// Capture files, in the order of their time; captures of several taps that overlap in time have to be merged first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write call records into this journal (`journal.path` of the configuration is for live capture and
    /// the notifier)
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write call records as JSON lines to this file (`-`: standard output)
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Record answered calls too, in --journal and --records
    #[arg(long)]
    records_all: bool,
    /// max, or how many times as fast as captured (1 = as captured)
    #[arg(long, default_value = "max", value_name = "max|1|N")]
    speed: SpeedArgument,
    /// Print a summary with throughput and counts on standard error
    #[arg(long)]
    stats: bool,
    /// Cores to work on, one pinned worker each: `2,3` or `2-5`; without it one worker, not pinned
    #[arg(long, value_name = "LIST")]
    cores: Option<CoreList>,
}

#[derive(Clone, Copy, Debug)]
struct SpeedArgument(Speed);

impl FromStr for SpeedArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self(Speed::Max)),
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self(Speed::Times(times))),
            _ => Err("expected `max` or a number above 0".to_owned()),
        }
    }
}

impl Replay {
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        let config = common.start()?;
        if self.records_all && self.journal.is_none() && self.records.is_none() {
            tracing::warn!(
                "--records-all changes nothing without --journal or --records: the table tells of missed calls only"
            );
        }
        let options = Options {
            speed: self.speed.0,
            cores: self.cores.clone().map(|list| list.0).unwrap_or_default(),
            legs_max: config.limits.calls_max,
            keep_all: self.records_all || config.records_answered_calls(),
            time_batches: self.stats,
        };
        let outputs = Outputs {
            journal: self.journal.as_deref(),
            records: self.records.as_deref(),
        };
        // Before anything is created: what is wrong here leaves nothing half-written.
        outputs.check(&self.files)?;
        replay::check(&options).map_err(Failure::usage)?;
        let inputs = replay::open(&self.files).map_err(Failure::work)?;
        let sinks = outputs.open(&config)?;
        let shared = Shared {
            table: replay::table(&options),
            rules: Rules::new(&config),
        };
        let decoder = decoder(&config);
        let bar = Bar::new(&self.files);
        let outcome = replay::replay(inputs, shared, &decoder, &options, sinks, &mut |file, at| {
            bar.at(file, at)
        })
        .map_err(Failure::work)?;
        bar.done();
        for file in &outcome.truncated {
            say(format_args!(
                "ringtap: {}: the last packet is cut off; everything before it was read\n",
                display(file)
            ));
        }
        if let (Some(path), Some(journal)) = (&self.journal, &outcome.settled.journal) {
            say(format_args!(
                "ringtap: {}: {} records added, {} were there already\n",
                path.display(),
                journal.written,
                journal.already_there
            ));
        }
        if self.stats {
            say(format_args!("{}", Summary::from(&outcome)));
        }
        Ok(())
    }
}

/// What finds SIP in frames, as the configuration wants it.
pub(super) fn decoder(config: &Config) -> Decoder {
    let reassembly = reassembly::Limits {
        bytes_max: config.limits.reassembly_bytes_max,
        salvage: config.capture.fragment_salvage,
    };
    let (tcp, sctp) = streams(config.limits.stream_bytes_max);
    Decoder::new(ports(config))
        .with_reassembly(reassembly)
        .with_tcp(tcp)
        .with_sctp(sctp)
        .with_take(take(&config.capture))
        .with_network(config.network.clone())
        .with_duplicates(config.capture.duplicate_ms)
}

/// The memory for streams, three quarters of it for TCP: SCTP holds pieces of messages only.
const fn streams(bytes_max: usize) -> (tcp::Limits, sctp::Limits) {
    let quarter = bytes_max / 4;
    (
        tcp::Limits {
            bytes_max: bytes_max - quarter,
        },
        sctp::Limits { bytes_max: quarter },
    )
}

pub(super) fn ports(config: &Config) -> PortSet {
    let mut ports = PortSet::new();
    for port in config.capture.ports.as_slice() {
        ports.insert(*port);
    }
    ports
}

/// A progress bar on standard error, if a terminal watches and the work is long.
struct Bar {
    bar: ProgressBar,
    /// Octets of the files before each file.
    before: Vec<(PathBuf, u64)>,
}

impl Bar {
    fn new(files: &[PathBuf]) -> Self {
        let mut total = 0;
        let before = files
            .iter()
            .map(|file| {
                let start = total;
                total += std::fs::metadata(file).map_or(0, |data| data.len());
                (file.clone(), start)
            })
            .collect();
        let bar = if total >= PROGRESS_FROM_BYTES && std::io::stderr().is_terminal() {
            let style =
                ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        Self { bar, before }
    }

    fn at(&self, file: &Path, position: u64) {
        let start = self
            .before
            .iter()
            .find(|(name, _)| name == file)
            .map_or(0, |(_, start)| *start);
        self.bar.set_position(start + position);
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a speed that would stall or divide by zero.
    #[test]
    fn speeds() {
        assert!(matches!(
            "max".parse::<SpeedArgument>(),
            Ok(SpeedArgument(Speed::Max))
        ));
        assert!(matches!(
            "1".parse::<SpeedArgument>(),
            Ok(SpeedArgument(Speed::Times(_)))
        ));
        for text in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(text.parse::<SpeedArgument>().is_err(), "{text}");
        }
    }
}

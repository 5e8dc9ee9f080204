//! `ringtap-testkit`: writes captures of the acceptance corpus, the demo capture, the fixtures, and workloads with
//! what must come of them. Puts captures on a line.

#![forbid(unsafe_code)]

mod load;
mod player;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use ringtap_testkit::{Format, capture, fixtures, messages, sample, scenario};

/// Captures and fixtures for trying Ringtap out. The same call gives the same bytes each time.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the capture of one scenario
    Scenario {
        /// Row of the corpus, with its alternative if it has several: S01, S03/600
        name: String,
        /// Capture file to write
        #[arg(short, long)]
        output: PathBuf,
        /// Kind of capture file
        #[arg(long, value_enum, default_value_t)]
        format: Kind,
    },
    /// Write a capture for each case of the corpus
    All {
        /// Folder for the captures; made if absent
        #[arg(short, long)]
        output: PathBuf,
        /// Kind of capture file
        #[arg(long, value_enum, default_value_t)]
        format: Kind,
    },
    /// Write the demo capture: a dozen calls of all kinds in two minutes
    Sample {
        /// Capture file to write
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Write ringtap.toml and subscribers.csv that go with the captures
    Fixtures {
        /// Folder for the two files; made if absent
        #[arg(short, long)]
        output: PathBuf,
        /// SMTP server for the configuration
        #[arg(long, default_value = "smtp://127.0.0.1:2525")]
        smtp_url: String,
        /// Timers for captures that are played N times as fast
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=25))]
        speed: u32,
    },
    /// Send the frames of captures out of an interface, in the time in which they were captured or another
    Play(player::PlayArguments),
    /// Write a capture of many calls at once, and who must be told of them
    Workload(load::WorkloadArguments),
    /// Take mails on a free loopback port and write a line for each, until the parent process ends
    Sink(load::SinkArguments),
    /// Compare mails with the truth of a workload
    Score(load::ScoreArguments),
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Kind {
    #[default]
    Pcap,
    PcapNanos,
    PcapBigEndian,
    PcapNanosBigEndian,
    Pcapng,
}

impl From<Kind> for Format {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Pcap => Self::Pcap,
            Kind::PcapNanos => Self::PcapNanos,
            Kind::PcapBigEndian => Self::PcapBigEndian,
            Kind::PcapNanosBigEndian => Self::PcapNanosBigEndian,
            Kind::Pcapng => Self::PcapNg,
        }
    }
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Workload(arguments) => load::workload(&arguments)?,
        Command::Sink(arguments) => load::sink(&arguments)?,
        Command::Score(arguments) => return load::score(&arguments),
        Command::Play(arguments) => player::play(&arguments)?,
        Command::Scenario { name, output, format } => {
            let case = sample::find(&name).with_context(|| format!("no scenario {name:?} in the corpus"))?;
            write(&output, &capture(&messages(&case), format.into()))?;
        }
        Command::All { output, format } => {
            make_folder(&output)?;
            let extension = if matches!(format, Kind::Pcapng) {
                "pcapng"
            } else {
                "pcap"
            };
            for case in scenario::all().iter().flat_map(scenario::Scenario::cases) {
                let file = format!("{}.{extension}", case.name.replace('/', "-"));
                write(&output.join(file), &capture(&messages(&case), format.into()))?;
            }
        }
        Command::Sample { output } => write(&output, &capture(&sample::messages(), Format::Pcap))?,
        Command::Fixtures {
            output,
            smtp_url,
            speed,
        } => {
            make_folder(&output)?;
            let journal = output.join("journal.db");
            let notifier = output.join("notifier.db");
            let mut config =
                fixtures::config_toml(&journal.to_string_lossy(), &notifier.to_string_lossy(), &smtp_url);
            if speed > 1 {
                config.push_str(&fixtures::timers_toml(speed));
            }
            write(&output.join("ringtap.toml"), config.as_bytes())?;
            write(
                &output.join("subscribers.csv"),
                fixtures::subscribers_csv().as_bytes(),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make folder {}", path.display()))
}

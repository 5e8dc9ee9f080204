//! The command line of `ringtap` (interfaces: docs/interfaces.md).
//!
//! Exit status: 0 done, 1 failed while working, 2 wrong usage or configuration. Errors go to standard
//! error and name the file, line, key or interface that is at fault.

mod core_list;
mod doctor;
mod explain;
mod outputs;
mod parse;
mod replay;
mod run;

use std::fmt::{self, Display};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ringtap_config::Config;
use ringtap_identity::LogNumbers;
use ringtap_manual::Manual;
use ringtap_telemetry::Rewritten;

/// What the manual says besides.
const MORE: &str = "\
Exit status: 0 done, 1 failed while working, 2 wrong usage or configuration.

Files: /etc/ringtap/ringtap.toml, which ringtap-notifier reads too; /var/lib/ringtap/journal.db, the call records.

See also: ringtap-notifier(1), which tells people of the calls that ringtap records.";

/// Understands every call attempt on a mirrored SIP network, and records those that were missed.
#[derive(Debug, Parser)]
#[command(name = "ringtap", version, propagate_version = true, after_long_help = MORE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Replay(replay::Replay),
    Explain(explain::Explain),
    Parse(parse::Parse),
    Doctor(doctor::Doctor),
    #[command(flatten)]
    Manual(Manual),
}

/// Options that every command takes.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file; a default file that is absent means defaults
    #[arg(long, value_name = "FILE", global = true, help_heading = "Common options")]
    config: Option<PathBuf>,
    /// How log lines look on standard error; RUST_LOG sets how much is said
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "Common options"
    )]
    log_format: LogFormat,
    /// How the log shows numbers and SIP addresses
    #[arg(
        long,
        value_name = "HOW",
        default_value = "masked",
        global = true,
        help_heading = "Common options"
    )]
    log_numbers: Numbers,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    /// As they are
    Full,
    /// Their middle hidden
    Masked,
    /// Not at all
    None,
}

impl From<Numbers> for LogNumbers {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Full => Self::Full,
            Numbers::Masked => Self::Masked,
            Numbers::None => Self::None,
        }
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
enum Failure {
    /// Exit status 2.
    Usage(String),
    /// Exit status 1.
    Work(String),
}

impl Failure {
    fn usage(error: impl Display) -> Self {
        Self::Usage(error.to_string())
    }

    fn work(error: impl Display) -> Self {
        Self::Work(error.to_string())
    }
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, common } = Cli::parse();
    let result = match command {
        Command::Run(run) => run.run(&common),
        Command::Replay(replay) => replay.run(&common),
        Command::Explain(explain) => explain.run(&common),
        Command::Parse(parse) => parse.run(&common),
        Command::Doctor(doctor) => doctor.run(&common),
        Command::Manual(manual) => manual.run(Cli::command()).map_err(Failure::work),
    };
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Work(message)) => (1, message),
        Err(Failure::Usage(message)) => (2, message),
    };
    say(format_args!("ringtap: {message}\n"));
    ExitCode::from(code)
}

/// Writes to standard error. Nobody may be there to read it, which is no reason to panic.
fn say(text: fmt::Arguments<'_>) {
    let _nobody_reads = std::io::stderr().write_fmt(text);
}

impl Common {
    /// Sets up logging and reads the configuration.
    fn start(&self) -> Result<Config, Failure> {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        let numbers = LogNumbers::from(self.log_numbers);
        let log = tracing_subscriber::fmt()
            .with_writer(move || Rewritten::new(std::io::stderr(), move |line: &str| numbers.shown(line)))
            .with_ansi(std::io::stderr().is_terminal())
            .with_env_filter(filter);
        // Already set when two commands run in one process, as tests do.
        let _already_set = match self.log_format {
            LogFormat::Text => log.with_target(false).try_init(),
            LogFormat::Json => log.json().try_init(),
        };
        ringtap_config::load(self.config.as_deref()).map_err(Failure::usage)
    }
}

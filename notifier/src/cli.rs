//! The command line: what was asked for, done, and said with the right exit status (0 done, 1 failed while
//! working, 2 wrong usage or configuration).

mod account;
mod audit;
mod backup;
mod delivery;
mod directory;
mod doctor;
mod import;
mod ldap;
mod outbox;
mod page;
mod person;
mod policy;
mod preview;
mod suggestions;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ringtap_identity::LogNumbers;
use ringtap_manual::Manual;
use ringtap_telemetry::{Rewritten, Telemetry};
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::EnvFilter;

use crate::page::{Keeper, PageError};
use crate::service::{Service, ServiceError};

/// What the manual says besides.
const MORE: &str = "\
Exit status: 0 done, 1 failed while working, 2 wrong usage or configuration.

Files: /etc/ringtap/ringtap.toml, which ringtap reads too; /var/lib/ringtap/journal.db, the call records; \
/var/lib/ringtap/notifier.db, subscriptions and outbox.

See also: ringtap(1), which records the calls.";

/// Mails the called person the moment a call was missed.
///
/// Reads the journal that `ringtap` writes, finds out whose number was called, and mails those who
/// subscribed. One person gets one mail per missed call, whatever number or device rang.
#[derive(Debug, Parser)]
#[command(name = "ringtap-notifier", version, propagate_version = true, max_term_width = 100, after_long_help = MORE)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    chosen: Chosen,
}

#[derive(Debug, Subcommand)]
enum Chosen {
    #[command(flatten)]
    Command(Command),
    #[command(flatten)]
    Manual(Manual),
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Configuration; if not named, /etc/ringtap/ringtap.toml where it exists, else defaults
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The engine's journal, instead of `journal.path` of the configuration
    #[arg(long, value_name = "FILE", global = true)]
    journal: Option<PathBuf>,
    /// Subscriptions and outbox, instead of `notifier.database` of the configuration
    #[arg(long, value_name = "FILE", global = true)]
    database: Option<PathBuf>,
    /// Serve Prometheus metrics at /metrics and the state of the service at /health of this address; `run` only
    #[arg(long, value_name = "ADDR", global = true)]
    metrics: Option<SocketAddr>,
    /// Form of the log on standard error; RUST_LOG sets how much is said
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,
    /// How the log shows numbers, SIP and mail addresses
    #[arg(long, value_enum, default_value_t = Numbers::Masked, global = true)]
    log_numbers: Numbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the journal and send messages until SIGINT or SIGTERM; serve people's own page if `notifier.public_url` is set
    Run,
    /// Read the journal to its end, try each message that is due once, and exit; for cron and tests. Stops
    /// early if the server cannot be reached, and exits with 1 as long as messages wait
    Once,
    Import(import::ImportArgs),
    Export(import::ExportArgs),
    /// Add, show, change and remove subscribers, and what each of them wants to hear of
    #[command(subcommand)]
    User(UserCommand),
    /// Add, show, change and remove accounts: who owns them, and what else they are called
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Names for numbers that call
    #[command(subcommand)]
    Directory(directory::DirectoryCommand),
    /// People and callers' names from the LDAP server of `[notifier.ldap]`, which is only read
    #[command(subcommand)]
    Ldap(ldap::LdapCommand),
    Forget(person::ForgetArgs),
    /// Who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// People's own page: void what opens it
    #[command(subcommand)]
    Page(page::PageCommand),
    /// Look at queued messages, try them again, or drop them
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    Backup(backup::BackupArgs),
    Doctor(doctor::DoctorArgs),
    Preview(preview::PreviewArgs),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// One line for each
    List,
    Show(person::ShowArgs),
    Add(person::AddArgs),
    Change(person::ChangeArgs),
    Remove(person::RemoveArgs),
    Policy(policy::PolicyArgs),
    Delivery(delivery::DeliveryArgs),
}

/// A failure, and whether usage or configuration is to blame.
struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    fn work(fault: impl std::fmt::Display) -> Self {
        Self {
            text: fault.to_string(),
            status: 1,
        }
    }

    fn usage(fault: impl std::fmt::Display) -> Self {
        Self {
            text: fault.to_string(),
            status: 2,
        }
    }
}

impl From<PageError> for Failure {
    fn from(fault: PageError) -> Self {
        if fault.is_configuration() {
            Self::usage(fault)
        } else {
            Self::work(fault)
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(fault: ServiceError) -> Self {
        if fault.is_configuration() {
            Self::usage(fault)
        } else {
            Self::work(fault)
        }
    }
}

/// Runs the program on the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.common.log_format, cli.common.log_numbers.into());
    let done = match &cli.chosen {
        Chosen::Manual(manual) => manual.run(Cli::command()).map_err(Failure::work),
        Chosen::Command(command) => dispatch(command, &cli.common),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "ringtap-notifier: {}", failure.text);
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(command: &Command, common: &Common) -> Result<(), Failure> {
    let config = ringtap_config::load(common.config.as_deref()).map_err(Failure::usage)?;
    let standard = Path::new(ringtap_config::DEFAULT_PATH);
    let named = common
        .config
        .as_deref()
        .or_else(|| standard.exists().then_some(standard));
    let database = common
        .database
        .clone()
        .unwrap_or_else(|| config.notifier.database.clone());
    let journal = common
        .journal
        .clone()
        .unwrap_or_else(|| config.journal.path.clone());
    if common.metrics.is_some() && !matches!(command, Command::Run) {
        tracing::warn!("--metrics is for `run`: nothing is served");
    }
    match command {
        Command::Run => {
            let smtp = config.notifier.smtp.url.clone();
            let service = Service::new(config.clone(), &journal, &database)?;
            let _page = Keeper::start(&config, &database, service.status())?;
            tracing::info!(
                config = %named.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string()),
                journal = %journal.display(),
                database = %database.display(),
                smtp,
                "working with"
            );
            run(service, common.metrics)
        }
        Command::Once => once(Service::new(config, &journal, &database)?),
        Command::Import(args) => import::import(args, &config, &database),
        Command::Export(args) => import::export(args, &database),
        Command::User(UserCommand::List) => person::list(&database),
        Command::User(UserCommand::Show(args)) => person::show(args, &config, &database),
        Command::User(UserCommand::Add(args)) => person::add(args, &config, &database),
        Command::User(UserCommand::Change(args)) => person::change(args, &config, &database),
        Command::User(UserCommand::Remove(args)) => person::remove(args, &database),
        Command::User(UserCommand::Policy(args)) => policy::run(args, &config, &database),
        Command::User(UserCommand::Delivery(args)) => delivery::run(args, &config, &database),
        Command::Account(command) => account::run(command, &config, &journal, &database),
        Command::Directory(command) => directory::run(command, &config, &database),
        Command::Ldap(command) => ldap::run(command, &config, &database),
        Command::Forget(args) => person::forget(args, &config, &database),
        Command::Audit(command) => audit::run(command, &database),
        Command::Outbox(command) => outbox::run(command, &database),
        Command::Page(command) => page::run(command, &database),
        Command::Backup(args) => backup::run(args, &journal, &database),
        Command::Doctor(args) => doctor::run(args, &config, &journal, &database),
        Command::Preview(args) => preview::run(args, &config),
    }
}

fn run(mut service: Service, metrics: Option<SocketAddr>) -> Result<(), Failure> {
    let status = service.status();
    let telemetry = match metrics {
        None => None,
        Some(address) => {
            let mut registry = ringtap_telemetry::registry(env!("CARGO_PKG_VERSION"));
            status.register(&mut registry);
            let health = move || status.health();
            Some(Telemetry::serve(address, registry, health).map_err(Failure::usage)?)
        }
    };
    if let Some(telemetry) = &telemetry {
        tracing::info!(address = %telemetry.address(), "metrics and health are served");
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second signal ends the process at once, should a server keep it waiting.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .map_err(Failure::work)?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::work)?;
    }
    tracing::info!("ready");
    service.run(&stop);
    tracing::info!("stopped");
    Ok(())
}

fn once(mut service: Service) -> Result<(), Failure> {
    let (taken, sent) = service.once()?;
    let depth = service.store().depth().map_err(Failure::work)?;
    let mut text = format!(
        "{} records read, {} messages queued, {} sent",
        taken.records, taken.queued, sent.sent
    );
    if taken.gathered > 0 {
        let _ = write!(text, ", {} calls gathered to be told together", taken.gathered);
    }
    if depth.held > 0 {
        let _ = write!(
            text,
            ", {} held back for more to be told or the caller to get through",
            depth.held
        );
    }
    if taken.suppressed > 0 {
        let _ = write!(text, ", {} dropped as the caller got through", taken.suppressed);
    }
    let all_sent = depth.pending == 0 && sent.dead == 0;
    if !all_sent {
        let _ = write!(
            text,
            "; {} not sent yet, {} given up now (`ringtap-notifier outbox list` says why)",
            depth.pending, sent.dead
        );
    }
    if taken.damaged > 0 {
        let _ = write!(text, "; {} damaged records passed over", taken.damaged);
    }
    if all_sent && taken.damaged == 0 {
        say(&text)
    } else {
        Err(Failure::work(text))
    }
}

/// Lines of fields with tabs between, as other programs read them.
fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> Result<(), Failure> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    write_out(text.as_bytes())
}

/// Names and values, one a line, tabs between.
fn facts(lines: Vec<[String; 2]>) -> Result<(), Failure> {
    table(lines.into_iter())
}

/// Said of a key that is nobody's.
fn no_such_user(user: &str) -> Failure {
    Failure::usage(format!(
        "{user}: there is no such user; `ringtap-notifier user list` shows all"
    ))
}

fn say(text: &str) -> Result<(), Failure> {
    write_out(format!("{text}\n").as_bytes())
}

/// Said beside what was done.
fn warn(text: &str) {
    let _nobody_reads = writeln!(io::stderr(), "ringtap-notifier: {text}");
}

/// A reader that has gone away (`| head`) is no failure.
fn write_out(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(Failure::work(fault)),
        _ => Ok(()),
    }
}

fn log_to_stderr(format: LogFormat, numbers: LogNumbers) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Rewritten::new(io::stderr(), move |line: &str| numbers.shown(line)));
    match format {
        LogFormat::Text => log
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => log.json().init(),
    }
}

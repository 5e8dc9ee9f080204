//! The command line: what was asked for, done, and said with the right exit status (0 done, 1 failed while
//! working, 2 wrong usage or configuration).

mod backup;
mod delivery;
mod doctor;
mod outbox;
mod policy;
mod suggestions;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringtap_config::Config;
use ringtap_telemetry::Telemetry;
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::EnvFilter;

use crate::service::{Service, ServiceError};
use crate::store::{PeopleError, Store};
use crate::subscriptions::{self, BadFile};

/// Mails the called person the moment a call was missed.
///
/// Reads the journal that `ringtap` writes, finds out whose number was called, and mails those who
/// subscribed. One person gets one mail per missed call, whatever number or device rang.
#[derive(Debug, Parser)]
#[command(name = "ringtap-notifier", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the journal and send messages until SIGINT or SIGTERM
    Run,
    /// Read the journal to its end, try each message that is due once, and exit; for cron and tests. Stops
    /// early if the server cannot be reached, and exits with 1 as long as messages wait
    Once,
    /// Take subscriptions from a CSV file: all of it or, if any line is wrong, nothing
    ///
    /// Columns: user,name,email,locale,timezone,subscribed,account,label,aliases. One line per account;
    /// lines of the same user must agree about the person. People who are not in the file stay.
    Import {
        /// The CSV file, UTF-8 with a header line; `-` reads standard input
        file: PathBuf,
        /// Remove people who are not in the file
        #[arg(long)]
        replace: bool,
    },
    /// Write all subscriptions as CSV to a file or, without one, to standard output
    Export {
        /// The file to write
        file: Option<PathBuf>,
    },
    /// Look at subscribers, and at what each of them wants to hear of
    #[command(subcommand)]
    User(UserCommand),
    /// Look at accounts and who owns them
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look at queued messages, try them again, or drop them
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    Backup(backup::BackupArgs),
    Doctor(doctor::DoctorArgs),
}

#[derive(Debug, Subcommand)]
enum List {
    /// One line for each
    List,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// One line for each
    List,
    Policy(policy::PolicyArgs),
    Delivery(delivery::DeliveryArgs),
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// One line for each
    List,
    /// Identities that are registered together with somebody's account but stand in no subscription, and
    /// accounts of different people that are registered together
    ///
    /// One line for each, tabs between: alias or conflict, users, accounts, identities, when it was seen last,
    /// what to do. Reads what the engine has learned from REGISTER and reg-event NOTIFY (`identities.learn`).
    Suggestions,
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
    log_to_stderr(cli.common.log_format);
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "ringtap-notifier: {}", failure.text);
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let config = ringtap_config::load(cli.common.config.as_deref()).map_err(Failure::usage)?;
    let standard = Path::new(ringtap_config::DEFAULT_PATH);
    let named = cli
        .common
        .config
        .as_deref()
        .or_else(|| standard.exists().then_some(standard));
    let database = cli
        .common
        .database
        .clone()
        .unwrap_or_else(|| config.notifier.database.clone());
    let journal = cli
        .common
        .journal
        .clone()
        .unwrap_or_else(|| config.journal.path.clone());
    if cli.common.metrics.is_some() && !matches!(cli.command, Command::Run) {
        tracing::warn!("--metrics is for `run`: nothing is served");
    }
    match &cli.command {
        Command::Run => {
            let smtp = config.notifier.smtp.url.clone();
            let service = Service::new(config, &journal, &database)?;
            tracing::info!(
                config = %named.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string()),
                journal = %journal.display(),
                database = %database.display(),
                smtp,
                "working with"
            );
            run(service, cli.common.metrics)
        }
        Command::Once => once(Service::new(config, &journal, &database)?),
        Command::Import { file, replace } => import(file, *replace, &config, &database),
        Command::Export { file } => export(file.as_deref(), &database),
        Command::User(UserCommand::List) => list_users(&database),
        Command::User(UserCommand::Policy(args)) => policy::run(args, &config, &database),
        Command::Account(AccountCommand::List) => list_accounts(&database),
        Command::Account(AccountCommand::Suggestions) => suggestions::list(&journal, &database),
        Command::User(UserCommand::Delivery(args)) => delivery::run(args, &config, &database),
        Command::Outbox(command) => outbox::run(command, &database),
        Command::Backup(args) => backup::run(args, &journal, &database),
        Command::Doctor(args) => doctor::run(args, &config, &journal, &database),
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

fn import(file: &Path, replace: bool, config: &Config, database: &Path) -> Result<(), Failure> {
    let unreadable = |fault| Failure::work(format!("{}: {fault}", file.display()));
    let people = if file == Path::new("-") {
        subscriptions::read(Path::new("standard input"), io::stdin().lock(), &config.plan)
    } else {
        if file.is_dir() {
            return Err(unreadable(io::Error::new(
                io::ErrorKind::IsADirectory,
                "is a directory",
            )));
        }
        subscriptions::read(file, File::open(file).map_err(unreadable)?, &config.plan)
    }
    .map_err(Failure::work)?;
    let mut store = Store::open(database).map_err(Failure::work)?;
    let totals = store.import(&people, replace).map_err(|fault| match fault {
        PeopleError::Conflict(fault) => Failure::work(BadFile {
            path: file.to_owned(),
            faults: vec![fault],
        }),
        PeopleError::Store(fault) => Failure::work(fault),
    })?;
    say(&format!(
        "{} people added, {} replaced, {} removed; {} account lines",
        totals.added, totals.replaced, totals.removed, totals.accounts
    ))
}

fn export(file: Option<&Path>, database: &Path) -> Result<(), Failure> {
    let people = Store::open_existing(database)
        .and_then(|store| store.people())
        .map_err(Failure::work)?;
    match file {
        Some(path) => {
            if holds_something_else(path) {
                let text = format!(
                    "{}: there is a file with other content: name another, or remove it",
                    path.display()
                );
                return Err(Failure::usage(text));
            }
            let fault = |fault: csv::Error| Failure::work(format!("{}: {fault}", path.display()));
            // Names, addresses and numbers: for nobody else's eyes.
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path);
            subscriptions::write(file.map_err(|error| fault(error.into()))?, &people).map_err(fault)
        }
        None => subscriptions::write(io::stdout().lock(), &people).map_err(Failure::work),
    }
}

/// Whether a file is there that no `export` has written: a database, a journal, a configuration.
fn holds_something_else(path: &Path) -> bool {
    const HEAD: &[u8] = b"user,name,";
    let there = std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > 0);
    let mut first = [0; HEAD.len()];
    there && !File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok() && first == HEAD)
}

fn list_users(database: &Path) -> Result<(), Failure> {
    let people = Store::open_existing(database)
        .and_then(|store| store.people())
        .map_err(Failure::work)?;
    let lines = people.iter().map(|person| {
        [
            person.user.clone(),
            person.name.clone(),
            person.email.clone(),
            person.locale.to_string(),
            person.timezone.clone(),
            if person.subscribed {
                "subscribed"
            } else {
                "not subscribed"
            }
            .to_owned(),
            format!("{} accounts", person.accounts.len()),
        ]
    });
    table(lines)
}

fn list_accounts(database: &Path) -> Result<(), Failure> {
    let accounts = Store::open_existing(database)
        .and_then(|store| store.accounts())
        .map_err(Failure::work)?;
    table(
        accounts
            .into_iter()
            .map(|row| [row.identity, row.user, row.label, row.aliases.join(" ")]),
    )
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

fn say(text: &str) -> Result<(), Failure> {
    write_out(format!("{text}\n").as_bytes())
}

/// A reader that has gone away (`| head`) is no failure.
fn write_out(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(Failure::work(fault)),
        _ => Ok(()),
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => log
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => log.json().init(),
    }
}

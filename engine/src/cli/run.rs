//! `ringtap run`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use ringtap_calls::Rules;
use ringtap_config::{Capture, Config, FrameBytes, Tunnel};
use ringtap_journal::{Watch, Writer};
use ringtap_telemetry::{Telemetry, TelemetryError};
use ringtap_xdp::{Mode, Settings, Take};
use ringtap_xsk::{QueueOptions, Wakeup, ZeroCopy};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::core_list::CoreList;
use super::replay::{decoder, ports};
use super::{Common, Failure, say};
use crate::confine::{self, Account, ConfineError};
use crate::live::{self, Board, HandOver, LiveError, Options, PortOptions};
use crate::metrics::Metrics;
use crate::replay;
use crate::sink::{JournalSink, RecordSink, SinkError};
use crate::stats::Summary;
use crate::worker::Shared;

/// How often an heir tries to serve metrics where its predecessor does.
const METRICS_RETRY: Duration = Duration::from_millis(250);

const _: () = assert!(ringtap_config::RING_FRAMES_MIN == ringtap_xsk::RING_FRAMES_MIN);
const _: () = assert!(ringtap_config::RING_FRAMES_MAX == ringtap_xsk::RING_FRAMES_MAX);

/// Capture from network interfaces (XDP, AF_XDP) until SIGINT or SIGTERM, and record missed calls in the journal
///
/// Every queue of an interface is read; queues are dealt out to the cores in turn. Interfaces are made promiscuous
/// as long as this runs. SIP over UDP, TCP and SCTP is taken off the interface, and what may carry it: IP fragments,
/// the tunnels in capture.tunnels, and ESP if capture.esp_null is set. The rest passes to the kernel untouched, unless --dedicated says
/// otherwise. A second SIGINT or SIGTERM ends it at once, with status 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap run --interface ens2f0 --cores 2,3\n  \
    ringtap run --interface ens2f0,ens2f1 --cores 2-5 --dedicated --wakeup busy\n  \
    ringtap run --interface veth0 --cores 1 --stop-after 10m --stats")]
pub(super) struct Run {
    /// Interfaces that mirrors end at
    #[arg(long, value_name = "IF[,IF…]", required = true, value_delimiter = ',')]
    interface: Vec<String>,
    /// Cores to work on, one pinned reader each: `2,3` or `2-5`; without it one reader, not pinned
    #[arg(long, value_name = "LIST")]
    cores: Option<CoreList>,
    /// Write call records into this journal, instead of `journal.path` of the configuration
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Where the XDP program runs: in the driver (native) or before the network stack (generic); auto takes
    /// native if the driver has it
    #[arg(long, value_enum, default_value = "auto", value_name = "MODE")]
    xdp_mode: XdpMode,
    /// Whether the NIC writes into the program's memory itself
    #[arg(long, value_enum, default_value = "auto", value_name = "WHETHER")]
    zero_copy: ZeroCopyArgument,
    /// What wakes a reader: interrupts (poll), or nothing, for it never sleeps (busy)
    #[arg(long, value_enum, default_value = "poll", value_name = "HOW")]
    wakeup: WakeupArgument,
    /// The interfaces carry nothing but mirrors: what is not taken is dropped at once instead of passed to the kernel
    #[arg(long)]
    dedicated: bool,
    /// End after this time: `90s`, `10m`, `2h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stop_after: Option<Duration>,
    /// Take over from the `ringtap run` that captures these interfaces now, if there is one: listen to it until all calls are known, then
    /// take its queues; it ends by itself. No call is lost or told twice
    #[arg(long)]
    take_over: bool,
    /// How long to listen before taking over, instead of what follows from the timers (about six and a half minutes by default)
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "take_over")]
    take_over_after: Option<Duration>,
    /// The folder of the socket over which a new process can take over from this one, or `off`
    #[arg(long, value_name = "DIR", default_value = "/run/ringtap")]
    hand_over: PathBuf,
    /// At the end, print a summary with counts on standard error
    #[arg(long)]
    stats: bool,
    /// Serve Prometheus metrics at /metrics and the state of the capture at /health of this address, as `127.0.0.1:9464`
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Run as this user once interfaces are open; without it, root becomes `ringtap`, if there is such a user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Keep user, capabilities, files and system calls as they are: to look for a fault
    #[arg(long, conflicts_with = "user")]
    no_sandbox: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum XdpMode {
    Auto,
    Native,
    Generic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ZeroCopyArgument {
    Auto,
    Require,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WakeupArgument {
    Poll,
    Busy,
}

/// A time like `90s`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time like 90s, 10m or 2h".to_owned();
    let time = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => {
            let time: SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(time).map_err(|_| wrong())?
        }
    };
    if time.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(time)
}

impl Run {
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        let config = common.start()?;
        let mut options = self.options(&config)?;
        let failed = |error: LiveError| match error {
            LiveError::Core(_) | LiveError::Telemetry(_) => Failure::usage(error),
            LiveError::Confine(ConfineError::NoUser(_) | ConfineError::NotRoot(_)) => Failure::usage(error),
            _ => Failure::work(error),
        };
        // Before the journal is made.
        live::check(&options).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal ends the process at once, should a disk keep it waiting.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
                .map_err(Failure::work)?;
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::work)?;
        }
        let path = self.journal.as_ref().unwrap_or(&config.journal.path);
        if !self.no_sandbox {
            options.confine = Some(confine::Settings {
                account: Account::choose(self.user.as_deref()).map_err(Failure::usage)?,
                journal: path.clone(),
            });
        }
        let journal = ringtap_journal::Options {
            retention_days: config.journal.retention_days,
            ..ringtap_journal::Options::default()
        };
        let board = Arc::new(Board::new(options.readers()));
        let mut telemetry = Served::Not;
        // Once privileges are dropped: the journal belongs to the user that writes it, and no thread keeps more than it needs.
        let begin =
            |are_held_back, has_ended: &Arc<AtomicBool>| -> Result<Vec<Box<dyn RecordSink>>, LiveError> {
                let writer = if are_held_back {
                    Writer::spawn_waiting(path, journal)
                } else {
                    Writer::spawn(path, journal)
                };
                let writer = writer.map_err(SinkError::from)?;
                telemetry = self.serve(&config, Arc::clone(&board), writer.watch(), &stop)?;
                Ok(vec![Box::new(JournalSink::live(writer, Arc::clone(has_ended)))])
            };
        let shared = Shared {
            table: replay::table_for(config.limits.calls_max, options.cores.len()),
            rules: Rules::new(&config),
        };
        let outcome = live::run(shared, &decoder(&config), &options, begin, &board, &stop).map_err(failed)?;
        if let Served::Later(thread) = telemetry {
            // It has nothing to serve any more; a panic of it has been told.
            let _served = thread.join();
        }
        tracing::info!("stopped");
        if self.stats {
            say(format_args!("{}", Summary::from(&outcome)));
        }
        match &outcome.settled.journal {
            Some(journal) if journal.lost > 0 => Err(Failure::work(format!(
                "{}: {} records could not be written in time and are lost",
                path.display(),
                journal.lost
            ))),
            _ => Ok(()),
        }
    }

    /// Serves metrics and health, if they are asked for: where a predecessor serves its own, as soon as that has ended.
    fn serve(
        &self,
        config: &Config,
        board: Arc<Board>,
        journal: Watch,
        stop: &Arc<AtomicBool>,
    ) -> Result<Served, LiveError> {
        let Some(address) = self.metrics else {
            return Ok(Served::Not);
        };
        let silence = Duration::from_secs(config.capture.silence_s.into());
        let metrics = Arc::new(Metrics::new(board, journal, config.limits.calls_max, silence));
        let serve = move || -> Result<Telemetry, TelemetryError> {
            let mut registry = ringtap_telemetry::registry(env!("CARGO_PKG_VERSION"));
            registry.register_collector(Box::new(Arc::clone(&metrics)));
            let metrics = Arc::clone(&metrics);
            let served = Telemetry::serve(address, registry, move || metrics.health())?;
            tracing::info!(address = %served.address(), "metrics and health are served");
            Ok(served)
        };
        match serve() {
            Ok(served) => Ok(Served::At { _telemetry: served }),
            Err(error) if self.take_over && is_taken(&error) => {
                tracing::info!(
                    "{address} is taken: metrics and health are served there once the one before has ended"
                );
                let stop = Arc::clone(stop);
                let wait = move || {
                    while !stop.load(Ordering::Relaxed) {
                        thread::sleep(METRICS_RETRY);
                        match serve() {
                            Ok(served) => return Some(served),
                            Err(error) if is_taken(&error) => {}
                            Err(error) => {
                                tracing::error!("{error}");
                                return None;
                            }
                        }
                    }
                    None
                };
                let thread = thread::Builder::new().name("metrics".to_owned()).spawn(wait)?;
                Ok(Served::Later(thread))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn options(&self, config: &Config) -> Result<Options, Failure> {
        let interfaces: Vec<String> = self.interface.iter().map(|name| name.trim().to_owned()).collect();
        let mut names = interfaces.clone();
        names.sort();
        names.dedup();
        if names.len() < interfaces.len() {
            return Err(Failure::usage("--interface: one is named twice"));
        }
        if interfaces.iter().any(String::is_empty) {
            return Err(Failure::usage("--interface: a name is empty"));
        }
        if self.take_over && self.hand_over.as_os_str() == "off" {
            return Err(Failure::usage(
                "--take-over: with --hand-over off there is no way to the running process: name its folder",
            ));
        }
        if matches!(
            (self.zero_copy, self.xdp_mode),
            (ZeroCopyArgument::Require, XdpMode::Generic)
        ) {
            return Err(Failure::usage(
                "--zero-copy require wants the XDP program in the driver: leave --xdp-mode generic out",
            ));
        }
        Ok(Options {
            interfaces,
            cores: self.cores.clone().map(|list| list.0).unwrap_or_default(),
            port: PortOptions {
                program: Settings {
                    ports: ports(config),
                    take: take(&config.capture),
                    dedicated: self.dedicated,
                    queues: 1,
                },
                mode: match self.xdp_mode {
                    XdpMode::Auto => Mode::Auto,
                    XdpMode::Native => Mode::Native,
                    XdpMode::Generic => Mode::Generic,
                },
                queue: QueueOptions {
                    ring_frames: config.capture.ring_frames,
                    frame_bytes: match config.capture.frame_bytes {
                        FrameBytes::Auto => None,
                        FrameBytes::Small => Some(2048),
                        FrameBytes::Large => Some(4096),
                    },
                    zero_copy: match self.zero_copy {
                        ZeroCopyArgument::Auto => ZeroCopy::Auto,
                        ZeroCopyArgument::Require => ZeroCopy::Require,
                        ZeroCopyArgument::Off => ZeroCopy::Off,
                    },
                    wakeup: match self.wakeup {
                        WakeupArgument::Poll => Wakeup::Poll,
                        WakeupArgument::Busy => Wakeup::Busy,
                    },
                },
            },
            confine: None,
            keep_all: config.records_answered_calls(),
            stop_after: self.stop_after,
            hand_over: HandOver {
                folder: (self.hand_over.as_os_str() != "off").then(|| self.hand_over.clone()),
                takes_over: self.take_over,
                after: self.take_over_after,
            },
        })
    }
}

/// Where metrics and health are served.
enum Served {
    Not,
    /// Until this is dropped.
    At {
        _telemetry: Telemetry,
    },
    /// Where this thread will.
    Later(thread::JoinHandle<Option<Telemetry>>),
}

fn is_taken(error: &TelemetryError) -> bool {
    matches!(error, TelemetryError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
}

/// What is looked for beside UDP on SIP ports, by the XDP program and by the decoder.
pub(super) fn take(capture: &Capture) -> Take {
    let mut take = Take::TCP | Take::SCTP;
    if capture.esp_null {
        take = take | Take::ESP;
    }
    if capture.ports.is_any() {
        take = take | Take::CONTENT;
    }
    capture.tunnels.iter().fold(take, |take, tunnel| {
        take | match tunnel {
            Tunnel::Gre => Take::GRE,
            Tunnel::Erspan => Take::ERSPAN,
            Tunnel::Vxlan => Take::VXLAN,
            Tunnel::Geneve => Take::GENEVE,
            Tunnel::Gtpu => Take::GTPU,
            Tunnel::Ipip => Take::IPIP,
            Tunnel::Mpls => Take::MPLS,
            Tunnel::Pppoe => Take::PPPOE,
            Tunnel::Hep => Take::HEP,
            Tunnel::Tzsp => Take::TZSP,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches times read other than documented, and a capture that would end at once.
    #[test]
    fn times() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7200), ("7", 7), ("1m 30s", 90)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "soon", "-5s", "0", "0s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    /// Catches a tunnel that is switched off and taken all the same, or the other way round.
    #[test]
    fn tunnels_are_switched() {
        let config = |text: &str| ringtap_config::from_toml(text, "test").unwrap().capture;
        let by_default = Take::ALL.without(Take::ESP | Take::CONTENT);
        assert_eq!(take(&config("")), by_default);
        let all = config("[capture]\nports = \"any\"\nesp_null = true");
        assert_eq!(take(&all), Take::ALL);
        for (name, kind) in [
            ("gre", Take::GRE),
            ("erspan", Take::ERSPAN),
            ("vxlan", Take::VXLAN),
            ("geneve", Take::GENEVE),
            ("gtpu", Take::GTPU),
            ("ipip", Take::IPIP),
            ("mpls", Take::MPLS),
            ("pppoe", Take::PPPOE),
            ("hep", Take::HEP),
            ("tzsp", Take::TZSP),
        ] {
            let one = config(&format!("[capture]\ntunnels = [\"{name}\"]"));
            assert_eq!(take(&one), Take::TCP | Take::SCTP | kind, "{name}");
        }
    }
}

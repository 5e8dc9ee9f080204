//! `ringtap doctor`: what the checks found, as a table or as JSON.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ringtap_config::FrameBytes;
use ringtap_xsk::{Interface, QueueOptions, Wakeup, XskError, ZeroCopy};

use super::core_list::CoreList;
use super::{Common, Failure};
use crate::confine::Account;
use crate::doctor::{self, Finding, Options, Report, State, Trial};

/// Check host, interfaces and privileges for live capture, and say how to mend what is wrong
///
/// Run it as the user, and with the capabilities, that the service has. Each check says ok, warn, FAIL or unknown, what was seen, what that means
/// and the command that mends it. Exits with 1 if anything says FAIL: capture would not work. XDP and zero-copy
/// are tried for a moment with a program that passes everything on, unless another program is attached or the host itself speaks over the
/// interface. Nothing is changed without --fix.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ringtap doctor --interface ens2f0 --cores 2,3\n  \
    ringtap doctor --interface ens2f0 --fix\n  \
    ringtap doctor --interface ens2f0 --json | jq '.findings[] | select(.state == \"fail\")'")]
pub(super) struct Doctor {
    /// Interfaces that mirrors end at
    #[arg(long, value_name = "IF[,IF…]", required = true, value_delimiter = ',')]
    interface: Vec<String>,
    /// Cores that readers are to have: `2,3` or `2-5`
    #[arg(long, value_name = "LIST")]
    cores: Option<CoreList>,
    /// The journal that would be written, instead of `journal.path` of the configuration
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Who would write the journal; without it, root stands for `ringtap`, if that user exists, and others for themselves
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Whether XDP and zero-copy are tried: auto leaves interfaces alone that the host speaks over
    #[arg(long, value_enum, default_value = "auto", value_name = "WHETHER")]
    trial: TrialArgument,
    /// Mend what is safe: switches off what merges frames, widens rings, sets the named cores' governor to performance
    #[arg(long)]
    fix: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TrialArgument {
    Auto,
    Always,
    Never,
}

impl Doctor {
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        let config = common.start()?;
        let user = match self.user {
            // Need not be there, which is a finding.
            Some(name) => name,
            None => Account::choose(None).map_err(Failure::usage)?.name().to_owned(),
        };
        let options = Options {
            interfaces: self.interface.iter().map(|name| name.trim().to_owned()).collect(),
            cores: self.cores.map(|list| list.0).unwrap_or_default(),
            queue: QueueOptions {
                ring_frames: config.capture.ring_frames,
                frame_bytes: match config.capture.frame_bytes {
                    FrameBytes::Auto => None,
                    FrameBytes::Small => Some(2048),
                    FrameBytes::Large => Some(4096),
                },
                zero_copy: ZeroCopy::Auto,
                wakeup: Wakeup::Poll,
            },
            journal: self.journal.unwrap_or(config.journal.path),
            user: Some(user),
            trial: match self.trial {
                TrialArgument::Auto => Trial::Auto,
                TrialArgument::Always => Trial::Always,
                TrialArgument::Never => Trial::Never,
            },
            fix: self.fix,
        };
        let report = doctor::examine(&options).map_err(absent)?;
        let text = if self.json {
            serde_json::to_string_pretty(&report).map_err(Failure::work)? + "\n"
        } else {
            table(&report)
        };
        match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(Failure::work(format!("standard output: {error}")));
            }
            _ => {}
        }
        let failed = report.findings.iter().filter(|found| found.state == State::Fail);
        match failed.count() {
            0 => Ok(()),
            1 => Err(Failure::work("1 check failed: capture would not work")),
            failed => Err(Failure::work(format!(
                "{failed} checks failed: capture would not work"
            ))),
        }
    }
}

/// Which there are instead.
fn absent(error: XskError) -> Failure {
    match error {
        XskError::NoInterface { interface } => Failure::work(format!(
            "interface {interface}: there is none of that name; there are {}",
            Interface::names().join(", ")
        )),
        error => Failure::work(error),
    }
}

/// A line for each finding, then, indented, what it means and what mends it.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for fixed in &report.fixed {
        let _is_memory = match &fixed.error {
            None => writeln!(text, "fixed    {}: {}", fixed.subject, fixed.did),
            Some(error) if fixed.did == "nothing" => writeln!(text, "fixed    {}: {error}", fixed.subject),
            Some(error) => writeln!(text, "NOT DONE {}: {}: {error}", fixed.subject, fixed.did),
        };
    }
    let label = |found: &Finding| match &found.subject {
        Some(subject) => format!("{} {subject}", found.check),
        None => found.check.to_owned(),
    };
    let width = report.findings.iter().map(|found| label(found).chars().count());
    let width = width.max().unwrap_or(0);
    for found in &report.findings {
        let state = match found.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
            State::Unknown => "unknown",
        };
        let _is_memory = writeln!(text, "{state:<7}  {:<width$}  {}", label(found), found.saw);
        for (word, what) in [("means", &found.means), ("mend", &found.mend)] {
            if let Some(what) = what {
                let _is_memory = writeln!(text, "{:<7}  {:<width$}  {word}: {what}", "", "");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Fixed;

    /// Catches a table and a JSON that do not say the same, and names in the JSON other than those of docs/interfaces.md.
    #[test]
    fn two_views() {
        let report = Report {
            would_capture: false,
            findings: vec![Finding {
                check: "link",
                subject: Some("tap0".to_owned()),
                state: State::Fail,
                saw: "down".to_owned(),
                means: Some("nothing comes".to_owned()),
                mend: Some("ip link set tap0 up".to_owned()),
            }],
            fixed: vec![Fixed {
                subject: "tap0".to_owned(),
                did: "ethtool -K tap0 gro off".to_owned(),
                error: None,
            }],
        };
        assert_eq!(
            table(&report),
            "fixed    tap0: ethtool -K tap0 gro off\n\
             FAIL     link tap0  down\n\
             \u{20}                   means: nothing comes\n\
             \u{20}                   mend: ip link set tap0 up\n"
        );
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "would_capture": false,
                "findings": [{"check": "link", "subject": "tap0", "state": "fail", "saw": "down",
                              "means": "nothing comes", "mend": "ip link set tap0 up"}],
                "fixed": [{"subject": "tap0", "did": "ethtool -K tap0 gro off", "error": null}]
            })
        );
    }
}

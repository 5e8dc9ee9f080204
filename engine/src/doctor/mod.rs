//! `ringtap doctor`: whether this host, its interfaces and this process can capture, and how to mend what keeps them from it.
//!
//! Findings are data ([`Finding`]); the table and the JSON are two views of them. Facts come from where the kernel tells them:
//! `host` and `cores` read `/proc` and `/sys`, `nic` asks the driver, `disk` looks at the journal's place. What no file tells
//! is tried: `trial` attaches the program and opens a socket, for a moment, and never where a capture runs.
//! Nothing is changed but by `fix`, and that only when asked.

mod cores;
mod disk;
mod fix;
mod host;
mod nic;
mod trial;

use std::path::PathBuf;

use ringtap_xsk::{Interface, QueueOptions, XskError};
use serde::Serialize;

pub(crate) use host::version as kernel_version;
pub use trial::Trial;

use host::Files;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Capture works, but loses frames sooner or costs more than it need.
    Warn,
    /// Capture would not work.
    Fail,
    /// Nobody tells, and it was not tried.
    Unknown,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name. Fixed: docs/interfaces.md.
    pub check: &'static str,
    /// The interface, core or file that it is about; `None`: the host, or this process.
    pub subject: Option<String>,
    /// How it came out.
    pub state: State,
    /// What was seen.
    pub saw: String,
    /// What that means for a capture, where it is not plain.
    pub means: Option<String>,
    /// The command, or else the words, that mend it.
    pub mend: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, saw: impl Into<String>) -> Self {
        Self {
            check,
            subject: None,
            state,
            saw: saw.into(),
            means: None,
            mend: None,
        }
    }

    fn ok(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, State::Ok, saw)
    }

    fn warn(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, State::Warn, saw)
    }

    fn fail(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, State::Fail, saw)
    }

    fn unknown(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, State::Unknown, saw)
    }

    fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    fn means(mut self, means: impl Into<String>) -> Self {
        self.means = Some(means.into());
        self
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// Something that `--fix` did, or could not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fixed {
    /// The interface or core.
    pub subject: String,
    /// What was done, as the command that would do the same.
    pub did: String,
    /// Why it could not be done.
    pub error: Option<String>,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No check failed.
    pub would_capture: bool,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// What `--fix` did; findings are from after it.
    pub fixed: Vec<Fixed>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Interfaces, by name.
    pub interfaces: Vec<String>,
    /// Cores that readers are to have; empty: none was named.
    pub cores: Vec<usize>,
    /// How queues would be opened.
    pub queue: QueueOptions,
    /// The journal that would be written.
    pub journal: PathBuf,
    /// The user who would write it; `None`: whoever runs this.
    pub user: Option<String>,
    /// Whether the program and a socket are tried.
    pub trial: Trial,
    /// Mend what is safe to mend.
    pub fix: bool,
}

/// Looks at everything.
///
/// # Errors
/// If one of the interfaces is not there.
pub fn examine(options: &Options) -> Result<Report, XskError> {
    let interfaces = options
        .interfaces
        .iter()
        .map(|name| Interface::find(name))
        .collect::<Result<Vec<_>, _>>()?;
    let files = Files::of_this_host();
    let fixed = if options.fix {
        fix::all(&interfaces, &options.cores, &files, options.trial)
    } else {
        Vec::new()
    };
    let mut findings = host::process();
    findings.extend(host::kernel(&files));
    findings.extend(host::memory(&files, &interfaces, options.queue));
    findings.extend(host::clock(&files));
    let mut queues = 0;
    for interface in &interfaces {
        queues += interface.queues().unwrap_or(1);
        findings.extend(nic::all(interface, options.cores.len()));
        findings.extend(trial::all(interface, options));
    }
    findings.extend(cores::all(&files, &options.cores, queues));
    findings.extend(disk::all(&options.journal, options.user.as_deref()));
    Ok(Report {
        would_capture: findings.iter().all(|finding| finding.state != State::Fail),
        findings,
        fixed,
    })
}

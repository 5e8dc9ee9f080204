//! What the engine may still do once a capture is set up: read the frames it has sockets for, and write its journal.
//!
//! Whoever sends the mirrored traffic writes what the parsers read. Should one of them have a fault after all, what it can be made to
//! do is bounded here: no capabilities (`begin`, `Rest::finish`), no files but the journal's folder and what the kernel tells of
//! itself (`files`), no system calls but those that are used (`calls`), no other user's rights (`account`).
//!
//! All of these but the user are a thread's own and are inherited by those it starts. So this is done while there is one thread, and
//! every other is started afterwards, but for the *keeper* (`Keeper`): an interface that has gone and come back takes a new socket and a
//! new program, for which the kernel asks privileges. That thread has them, reads no frame, and waits for nothing else.

mod account;
mod calls;
mod files;
mod keeper;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use landlock::RulesetStatus;
use thiserror::Error;

pub use account::Account;
pub(crate) use keeper::Keeper;

/// What opening an interface takes: the keeper's.
const TO_OPEN: [Capability; 4] = [
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_BPF,
    // Where the limit of locked memory could not be lifted.
    Capability::CAP_IPC_LOCK,
];
/// Readers' precedence over other threads, which they inherit: needed until they are started.
const TO_START: Capability = Capability::CAP_SYS_NICE;
/// Kernels before this ask CAP_BPF of who reads a table's counters.
const COUNTERS_ARE_FREE: (u32, u32) = (5, 19);

/// How the process is confined.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user to become.
    pub account: Account,
    /// The journal that is written.
    pub journal: PathBuf,
}

/// The process could not be confined. It must not go on then.
#[derive(Debug, Error)]
pub enum ConfineError {
    /// There is no such user.
    #[error(
        "user {0}: there is none of that name: `useradd --system --shell /usr/sbin/nologin {0}` makes it, --user names another"
    )]
    NoUser(String),
    /// Only root can become somebody else.
    #[error("user {0}: only root can become another user: leave --user out, or start as root")]
    NotRoot(String),
    /// The journal's folder cannot be written.
    #[error("{}: user {user} may not make files in {}: `chown {user} {}`, or --user root", .journal.display(), .folder.display(), .folder.display())]
    Folder {
        /// The journal.
        journal: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// Who would write.
        user: String,
    },
    /// A link leads to what the user may not write. Who made the link is not known, so nothing is given away by it, and no command is named
    /// that would.
    #[error("{}: is a link to {}, where user {user} may not write; nothing is given away through a link: `--journal {}` if that is the journal, else `rm {}`", .journal.display(), .target.display(), .target.display(), .journal.display())]
    Link {
        /// The journal.
        journal: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Who would write.
        user: String,
    },
    /// The journal is somebody else's.
    #[error("{}: cannot be given to user {user}: {source}: `chown -h {user} {}`", .path.display(), .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who would write.
        user: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot {operation}: {source}; --no-sandbox leaves all privileges as they are")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Of capabilities.
    #[error("cannot drop capabilities: {0}; --no-sandbox leaves all privileges as they are")]
    Capabilities(#[from] CapsError),
    /// Of files.
    #[error("cannot limit files: {0}; --no-sandbox leaves all privileges as they are")]
    Files(#[from] landlock::RulesetError),
    /// Of system calls.
    #[error("cannot limit system calls: {0}; --no-sandbox leaves all privileges as they are")]
    Calls(#[from] seccompiler::Error),
}

impl ConfineError {
    fn system(operation: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::System { operation, source }
    }
}

/// What is left to do once nothing takes privileges any more.
#[derive(Debug)]
#[must_use = "without it this thread keeps its capabilities"]
pub(crate) struct Rest {
    filter: seccompiler::BpfProgram,
}

/// Becomes the user, limits files, and starts the keeper. This thread keeps what readers' precedence takes.
///
/// # Errors
/// If anything of that cannot be done. The process must not go on then.
///
/// # Panics
/// If there is another thread: it would keep all privileges.
pub(crate) fn begin(settings: &Settings) -> Result<(Keeper, Rest), ConfineError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert!(
        threads <= 1,
        "{threads} threads were started before privileges are dropped"
    );
    // rustix, with which the metrics read /proc, asks the kernel once for these, in ways that are shut afterwards.
    let _known = (
        rustix::param::page_size(),
        rustix::param::clock_ticks_per_second(),
    );
    let permitted = caps::read(None, CapSet::Permitted)?;
    let for_opening: CapsHashSet = TO_OPEN
        .into_iter()
        .filter(|capability| permitted.contains(capability))
        .collect();
    let mut for_starting = for_opening.clone();
    if permitted.contains(&TO_START) {
        for_starting.insert(TO_START);
    }
    // To take capabilities out of the bounding set is itself a capability.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding)?;
    }
    let target = led_to(&settings.journal);
    settings.account.enter(&settings.journal, &target)?;
    // The memory of all threads is the keeper's too: no other process of this user may reach it. Whoever changes the user has it so.
    nix::sys::prctl::set_dumpable(false)
        .map_err(|errno| ConfineError::system("shut this process's memory", errno))?;
    caps::clear(None, CapSet::Ambient)?;
    hold(&for_starting)?;
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| ConfineError::system("give up new privileges", errno))?;
    match files::limit(&target)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            tracing::info!("files are limited as far as this kernel's Landlock goes");
        }
        RulesetStatus::NotEnforced => {
            tracing::warn!(
                "files are not limited: this kernel has no Landlock, or it is off (CONFIG_SECURITY_LANDLOCK, lsm=landlock)"
            );
        }
    }
    // Made now: this reads nothing, but it may fail.
    let filter = calls::of_readers()?;
    let keeper = Keeper::start(&for_opening, calls::of_keeper()?)?;
    Ok((keeper, Rest { filter }))
}

impl Rest {
    /// Drops all capabilities of this thread and limits its system calls: threads that are started from now on have no more.
    pub(crate) fn finish(self) -> Result<(), ConfineError> {
        hold(&to_go_on())?;
        seccompiler::apply_filter(&self.filter)?;
        Ok(())
    }
}

/// The file that the path leads to now, also if it is not there yet: a journal may be a link to another disk.
fn led_to(journal: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(journal) {
        return path;
    }
    match (fs::read_link(journal), journal.parent()) {
        (Ok(target), Some(folder)) => folder.join(target),
        _ => journal.to_owned(),
    }
}

/// None, on every kernel that allows it.
fn to_go_on() -> CapsHashSet {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let is_old = crate::doctor::kernel_version(&release).is_some_and(|version| version < COUNTERS_ARE_FREE);
    if is_old {
        tracing::warn!(
            "Linux before 5.19: CAP_BPF is kept, without which the XDP program's counters cannot be read"
        );
        return CapsHashSet::from([Capability::CAP_BPF]);
    }
    CapsHashSet::new()
}

/// Has this thread have these capabilities and no others.
fn hold(wanted: &CapsHashSet) -> Result<(), ConfineError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let wanted: CapsHashSet = wanted.intersection(&permitted).copied().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &wanted)?;
    caps::set(None, CapSet::Permitted, &wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Catches a journal on another disk, behind a link, whose folder is not the one that is left open.
    #[test]
    fn links_are_followed() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (journal, target) = (folder.path().join("journal.db"), disk.path().join("j.db"));
        assert_eq!(led_to(&journal), journal);
        symlink(&target, &journal).unwrap();
        assert_eq!(led_to(&journal), target);
        fs::write(&target, "").unwrap();
        assert_eq!(led_to(&journal), fs::canonicalize(&target).unwrap());
    }
}

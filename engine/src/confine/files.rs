//! Files: the journal's folder, what the kernel tells of itself, and nothing else (Landlock, which limits signals likewise).
//!
//! The folder is the one that is there at the start: one that is made anew at its place is another, and wants a restart.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// What is asked of the kernel; older ones do what they can of it.
const KNOWN: ABI = ABI::V6;
/// Only read: queues, links and counters of interfaces, threads, cores. SQLite wants random numbers.
const READ: [&str; 3] = ["/proc", "/sys", "/dev/urandom"];

/// Limits this thread, and those it starts, to these files. Files that are open stay open.
pub(super) fn limit(journal: &Path) -> Result<RulesetStatus, RulesetError> {
    let folder = match journal.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        // Nothing is ever asked of another host.
        .handle_access(AccessNet::ConnectTcp)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(
            READ,
            AccessFs::from_read(KNOWN) & !AccessFs::Execute,
        ))?
        .add_rules(path_beneath_rules([folder], for_the_journal()))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// SQLite makes and removes files beside it; backups and rotation are other programs'.
fn for_the_journal() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::process::Command;
    use std::thread;

    use rustix::process::{Pid, getpid, test_kill_process};

    use super::*;

    /// Catches files that can be read or made beside the journal's folder, other processes that can be sent signals, and what is needed and
    /// cannot: in a thread of its own, whose
    /// limits these are.
    #[test]
    fn only_the_journals_folder() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = other.path().join("secret");
        fs::write(&secret, "word").unwrap();
        let mut other_process = Command::new("sleep").arg("600").spawn().unwrap();
        let limited = thread::scope(|scope| {
            let hand = scope.spawn(|| {
                let status = limit(&own.path().join("journal.db")).unwrap();
                if status == RulesetStatus::NotEnforced {
                    return false;
                }
                let log = own.path().join("journal.db-wal");
                fs::write(&log, "pages").unwrap();
                fs::write(&log, "fewer").unwrap();
                assert_eq!(fs::read(&log).unwrap(), b"fewer");
                fs::remove_file(&log).unwrap();
                fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                fs::read_dir("/sys/class/net").unwrap().count();
                let refused = [
                    fs::read("/etc/passwd").map(drop),
                    fs::read(&secret).map(drop),
                    fs::write(other.path().join("new"), ""),
                    fs::remove_file(&secret),
                    fs::write("/proc/self/comm", "another"),
                ];
                for result in refused {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
                }
                // Where Landlock has signals (Linux 6.12), they stay here.
                if status == RulesetStatus::FullyEnforced {
                    test_kill_process(getpid()).unwrap();
                    let signalled = test_kill_process(Pid::from_child(&other_process));
                    assert_eq!(signalled, Err(rustix::io::Errno::PERM));
                }
                true
            });
            hand.join()
        });
        other_process.kill().unwrap();
        other_process.wait().unwrap();
        let limited = limited.unwrap();
        assert!(fs::read(&secret).is_ok(), "other threads are not limited");
        let must_run = std::env::var_os("RINGTAP_LIVE").is_some_and(|value| value == "1");
        assert!(
            limited || !must_run,
            "RINGTAP_LIVE=1, but this kernel has no Landlock"
        );
        if !limited {
            eprintln!("not tested: this kernel has no Landlock");
        }
    }
}

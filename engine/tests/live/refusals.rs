//! Who may capture, and what `ringtap run` says to the others.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringtap_testkit::lab::{MIRROR, SPAN, finish};

use crate::{Bench, capturing};

/// It failed as a program does that cannot do its work, and said what is at fault, and one of the words of the remedy.
fn refused(output: &Output, fault: &str, remedies: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}: {said}",
        output.status
    );
    assert!(said.contains(fault), "{said}");
    let has_remedy = remedies.iter().any(|word| said.contains(word));
    assert!(has_remedy, "none of {remedies:?}: {said}");
}

/// Catches two taps that take each other's frames.
#[test]
#[ignore = "needs root"]
fn a_second_tap_is_refused() {
    let bench = Bench::new("second", 2);
    let tap = bench.tap("0");
    let other = Bench::new("other", 1);
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    other.arguments(&mut command, MIRROR, "1");
    refused(
        &finish(&mut command).expect("it ends"),
        MIRROR,
        &["another", "already", "busy", "in use"],
    );
    // The first one goes on.
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    assert!(bench.hears_calls(SPAN, 1));
    tap.end().expect("it ends");
}

/// Nobody in particular.
const USER: &str = "65534";
/// What a capture takes (docs/operations.md), but for CAP_IPC_LOCK.
const CAPABILITIES: &str = "+net_raw,+net_admin,+bpf";

/// A copy of the program that any user may run, in a folder in which any user may write.
pub(crate) fn open_to_all(bench: &Bench) -> PathBuf {
    let program = bench.folder.path().join("ringtap");
    std::fs::copy(env!("CARGO_BIN_EXE_ringtap"), &program).expect("copied");
    for path in [bench.folder.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("set");
    }
    program
}

/// `ringtap run` as an ordinary user: after this command of the shell, and with these options of setpriv. The program is
/// copied to where that user may run it.
pub(crate) fn as_user(bench: &Bench, before: &str, options: &[&str]) -> Command {
    let program = open_to_all(bench);
    let mut command = bench.lab.command("sh");
    command
        .args(["-c", &format!("{before} && exec setpriv \"$@\""), "sh"])
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .args(options)
        .arg(program);
    bench.arguments(&mut command, MIRROR, "0");
    command
}

/// Catches a message that leaves the operator guessing what is not allowed, and where.
#[test]
#[ignore = "needs root"]
fn nobody_may_not_capture() {
    let bench = Bench::new("nobody", 2);
    let output = finish(&mut as_user(&bench, "true", &[])).expect("it ends");
    refused(&output, MIRROR, &["run as root", "CAP_NET_ADMIN"]);
    refused(&output, "permitted", &["run as root", "CAP_NET_ADMIN"]);
}

/// Catches a capture that takes more than the documented capabilities, or in which it is not seen that memory is what is
/// missing: as an ordinary user, with a little locked memory, and with enough.
#[test]
#[ignore = "needs root"]
fn an_ordinary_user_needs_capabilities_and_memory() {
    let bench = Bench::new("user", 2);
    // Little enough for the limit that a fresh Debian sets, 8 MiB.
    bench.configure("[capture]\nring_frames = 512\n");
    let options = ["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES];
    let output = finish(&mut as_user(&bench, "ulimit -l 64", &options)).expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    refused(&output, MIRROR, &["ulimit -l", "LimitMEMLOCK"]);
    let tap = capturing(&mut as_user(&bench, "true", &options));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    let owner = std::fs::metadata(bench.journal()).expect("a journal").uid();
    assert_eq!(owner.to_string(), USER, "it ran as somebody else");
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// Catches an interface that is not there and is waited for in silence, or whose name is not told.
#[test]
#[ignore = "needs root"]
fn an_absent_interface_is_named() {
    let bench = Bench::new("absent", 1);
    refused(
        &finish(&mut bench.command("nosuch0", "0")).expect("it ends"),
        "nosuch0",
        &[
            "ip link",
            "no such",
            "not there",
            "does not exist",
            "No such",
            "no interface",
        ],
    );
    assert!(!Path::new("/sys/class/net/nosuch0").exists());
}

/// Catches an engine that cuts its host off: of what comes over a dedicated interface, only SIP is not dropped. Nor may it
/// leave a journal behind.
#[test]
#[ignore = "needs root"]
fn an_interface_of_the_hosts_is_not_dedicated() {
    let bench = Bench::new("dedicated", 1);
    let added = Command::new("ip")
        .args([
            "-n",
            &bench.lab.tap(),
            "addr",
            "add",
            "192.0.2.1/24",
            "dev",
            MIRROR,
        ])
        .status();
    assert!(added.expect("started").success());
    let mut command = bench.command(MIRROR, "0");
    command.arg("--dedicated");
    refused(&finish(&mut command).expect("it ends"), MIRROR, &["addr flush"]);
    assert!(!bench.journal().exists());
}

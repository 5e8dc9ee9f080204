//! What a capture may still do: the rights of every thread, and files that are not its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use ringtap_journal::{Reader, Writer};
use ringtap_testkit::lab::{MIRROR, Running, SPAN, finish};

use crate::refusals::open_to_all;
use crate::{Bench, capturing, count};

/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK and CAP_BPF, as `/proc/PID/status` has them.
const TO_OPEN: u64 = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 39;
/// Nobody in particular.
const USER: (&str, u32) = ("nobody", 65534);
const PORT: u16 = 9464;

/// What `/proc/PID/task/TID/status` says of one thread.
struct Task {
    name: String,
    status: String,
}

impl Task {
    fn all(tap: &Running) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", tap.id())).expect("it runs");
        tasks
            .map(|task| {
                let status = fs::read_to_string(task.expect("a thread").path().join("status"));
                let status = status.expect("it runs");
                let name = status.lines().next().expect("a name");
                Self {
                    name: name.trim_start_matches("Name:").trim().to_owned(),
                    status,
                }
            })
            .collect()
    }

    fn line(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is told").trim_start_matches(':').trim()
    }

    fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(self.line(set), 16).expect("a set")
    }
}

/// No thread has more than it needs: one keeps what it takes to open an interface again, the others nothing.
///
/// Who is not root and was not given CAP_SETPCAP has a bounding set that stays as it was, which is nothing to have.
fn assert_confined(tap: &Running, uid: u32, bounding: Option<u64>) {
    let expected = ["keeper", "reader 0", "journal", "settler"];
    let are_named = |tasks: &[Task]| {
        let times = |name: &&str| tasks.iter().filter(|task| task.name == **name).count();
        expected.iter().all(|name| times(name) == 1)
    };
    let mut tasks = Task::all(tap);
    // A thread gives itself its name, which may take it a moment.
    for _ in 0..250 {
        if are_named(&tasks) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
        tasks = Task::all(tap);
    }
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert!(are_named(&tasks), "{names:?}");
    for task in &tasks {
        let kept = if task.name == "keeper" { TO_OPEN } else { 0 };
        for (set, expected) in [("CapInh", 0), ("CapPrm", kept), ("CapEff", kept), ("CapAmb", 0)] {
            assert_eq!(task.capabilities(set), expected, "{set} of {}", task.name);
        }
        if let Some(bounding) = bounding {
            assert_eq!(task.capabilities("CapBnd"), bounding, "{}", task.name);
        }
        let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
        assert_eq!(task.line("Uid"), ids, "{}", task.name);
        assert_eq!(task.line("NoNewPrivs"), "1", "{}", task.name);
        assert_eq!(task.line("Seccomp"), "2", "{}", task.name);
    }
}

/// No other process of this user can reach the memory of any thread: `keeper`, which has privileges, shares it with the others.
fn assert_shut(tap: &Running) {
    let tasks = fs::read_dir(format!("/proc/{}/task", tap.id())).expect("it runs");
    let memories: Vec<PathBuf> = tasks
        .map(|task| task.expect("a thread").path().join("mem"))
        .collect();
    assert!(memories.len() > 1, "{memories:?}");
    for memory in memories {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args(["sh", "-c", ": < \"$1\"", "sh"]);
        let output = command.arg(&memory).output().expect("setpriv");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("Permission denied"),
            "{}: {said}",
            memory.display()
        );
    }
}

fn as_user(bench: &Bench, user: &str) -> Command {
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    bench.arguments(&mut command, MIRROR, "0");
    command.args(["--user", user]);
    command
}

/// Catches a thread that was started too early and keeps root's rights, a capability that is left, and one that is missing where an
/// interface is made anew: it is heard again, by a user who could not open it.
#[test]
#[ignore = "needs root"]
fn every_thread_is_confined_and_interfaces_come_back() {
    let bench = Bench::new("confined", 2);
    let _program = open_to_all(&bench);
    let tap = capturing(&mut as_user(&bench, USER.0));
    assert_confined(&tap, USER.1, Some(0));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    bench.lab.remove_pair().expect("removed");
    tap.wait_for("is gone", 1).expect("it says so");
    bench.lab.up_again(2).expect("made anew");
    assert!(bench.hears_calls(SPAN, 101), "{}", tap.said());
    assert_confined(&tap, USER.1, Some(0));
    assert_eq!(fs::metadata(bench.journal()).expect("a journal").uid(), USER.1);
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
    // Without privileges the counters can be read still.
    assert!(count(&said, "xdp frames") > 0, "{said}");
}

/// Catches a start without root that takes more than the documented capabilities, or keeps them: as docs/ops/ringtap.service has it.
#[test]
#[ignore = "needs root"]
fn five_capabilities_do() {
    let bench = Bench::new("ambient", 2);
    let capabilities = "+net_raw,+net_admin,+bpf,+ipc_lock,+sys_nice";
    let options = ["--inh-caps", capabilities, "--ambient-caps", capabilities];
    // Memory for frames is had by CAP_IPC_LOCK, at first and again.
    let tap = capturing(&mut crate::refusals::as_user(&bench, "ulimit -l 64", &options));
    assert_confined(&tap, USER.1, None);
    assert_shut(&tap);
    assert!(!tap.said().contains("no precedence"), "{}", tap.said());
    bench.lab.remove_pair().expect("removed");
    tap.wait_for("is gone", 1).expect("it says so");
    bench.lab.up_again(2).expect("made anew");
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    assert_confined(&tap, USER.1, None);
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// Catches root that keeps its rights where nobody else is named.
#[test]
#[ignore = "needs root"]
fn root_itself_has_no_capabilities() {
    let bench = Bench::new("rootless", 1);
    let tap = capturing(&mut as_user(&bench, "root"));
    assert_confined(&tap, 0, Some(0));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    tap.end().expect("it ends");
}

/// Catches files that can be reached beside the journal. The journal is replaced by a link out of its folder, where root might write:
/// the running engine opens what it names anew, and may not.
#[test]
#[ignore = "needs root"]
fn the_journal_does_not_lead_out_of_its_folder() {
    let bench = Bench::new("link", 1);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("journal.db");
    let tap = capturing(&mut as_user(&bench, "root"));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    for beside in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{beside}", bench.journal().display())).expect("removed");
    }
    symlink(&target, bench.journal()).expect("a link");
    bench.play(&crate::short_call(77));
    tap.wait_for("cannot", 1).expect("it says so");
    assert!(!target.exists(), "{}", tap.said());
    // Put right, all is written.
    fs::remove_file(bench.journal()).expect("removed");
    let is_written = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        // It may be in the making.
        let found = Reader::open(&bench.journal()).and_then(|reader| reader.after(0, 1));
        found.is_ok_and(|found| !found.is_empty())
    });
    assert!(is_written, "{}", tap.said());
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// Catches a journal of root's that the user cannot write, so that every record is lost.
#[test]
#[ignore = "needs root"]
fn a_journal_that_root_made_is_given_to_the_user() {
    let bench = Bench::new("given", 1);
    let _program = open_to_all(&bench);
    let writer = Writer::spawn(&bench.journal(), ringtap_journal::Options::default()).expect("a journal");
    drop(writer.finish());
    assert_eq!(fs::metadata(bench.journal()).expect("a journal").uid(), 0);
    let tap = capturing(&mut as_user(&bench, USER.0));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    assert_eq!(fs::metadata(bench.journal()).expect("a journal").uid(), USER.1);
    tap.end().expect("it ends");
}

/// Catches a file of root's that is given to the user because somebody has made the journal's path lead there, by a link of either
/// kind, and a command in the message by which root would do so by hand.
#[test]
#[ignore = "needs root"]
fn nothing_is_given_through_links() {
    let bench = Bench::new("links", 1);
    let _program = open_to_all(&bench);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "word").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
    // Whether the user could make files beside it or not.
    for mode in [0o700, 0o777] {
        fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(mode)).expect("set");
        symlink(&secret, bench.journal()).expect("a link");
        let output = finish(&mut as_user(&bench, USER.0)).expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(fs::metadata(&secret).expect("there").uid(), 0, "{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        let command = format!("--journal {}", secret.display());
        assert!(said.contains(&command) && !said.contains("chown"), "{said}");
        fs::remove_file(bench.journal()).expect("removed");
    }
    fs::hard_link(&secret, bench.journal()).expect("a link");
    let output = finish(&mut as_user(&bench, USER.0)).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(fs::metadata(&secret).expect("there").uid(), 0, "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

/// Catches metrics that only root can read of itself: a process that has changed its user may not read all that /proc tells of it.
#[test]
#[ignore = "needs root"]
fn metrics_are_told_by_whoever_it_became() {
    let bench = Bench::new("metrics", 1);
    let _program = open_to_all(&bench);
    bench.lab.set_loopback_up().expect("a loopback");
    let address = format!("127.0.0.1:{PORT}");
    let tap = capturing(as_user(&bench, USER.0).args(["--metrics", &address]));
    for _ in 0..2 {
        let (status, text) = bench.lab.get(PORT, "/metrics").expect("an answer");
        assert_eq!(status, 200, "{}", tap.said());
        for name in [
            "cpu_seconds_total",
            "resident_memory_bytes",
            "open_fds",
            "max_fds",
            "start_time_seconds",
        ] {
            let line = format!("\nprocess_{name} ");
            assert!(text.contains(&line), "{name}: {text}");
        }
    }
    let (status, said) = tap.end_and_tell().expect("it ends");
    assert!(status.success(), "{said}");
}

/// Catches an operator who is not told why the journal cannot be written, or by which command it can.
#[test]
#[ignore = "needs root"]
fn a_folder_of_roots_is_refused() {
    let bench = Bench::new("folder", 1);
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let output = finish(&mut as_user(&bench, USER.0)).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let command = format!("chown {} {}", USER.0, bench.folder.path().display());
    assert!(said.contains(&command), "{said}");
    assert!(!Path::new(&bench.journal()).exists());
    // Nor is a journal given to who may not have it there.
    fs::write(bench.journal(), "").expect("written");
    let output = finish(&mut as_user(&bench, USER.0)).expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::metadata(bench.journal()).expect("a journal").uid(), 0);
}

/// Catches users who are not there, or whom this user cannot become, and a fault that is not told as one of usage.
#[test]
#[ignore = "needs root"]
fn users_who_cannot_be_become() {
    let bench = Bench::new("users", 1);
    let program = open_to_all(&bench);
    let output = finish(&mut as_user(&bench, "no-such-user")).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no-such-user") && said.contains("useradd"),
        "{said}"
    );
    let mut command = bench.lab.command("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program);
    bench.arguments(&mut command, MIRROR, "0");
    let output = finish(command.args(["--user", "root"])).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("only root"), "{said}");
}

/// Catches a switch that does nothing: whoever looks for a fault wants to rule these limits out.
#[test]
#[ignore = "needs root"]
fn without_a_sandbox_all_is_as_it_was() {
    let bench = Bench::new("open", 1);
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    bench.arguments(&mut command, MIRROR, "0");
    let tap = capturing(command.arg("--no-sandbox"));
    for task in Task::all(&tap) {
        assert_ne!(task.capabilities("CapEff"), 0, "{}", task.name);
        assert_eq!(task.line("Seccomp"), "0", "{}", task.name);
    }
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    tap.end().expect("it ends");
}

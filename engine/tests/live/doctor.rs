//! `ringtap doctor` on interfaces as they should be, and as they should not.

use std::process::{Command, Output};

use ringtap_testkit::lab::{MIRROR, SPAN, finish};
use ringtap_xsk::Interface;
use serde_json::Value;

use crate::Bench;

impl Bench {
    fn doctor(&self, options: &[&str]) -> Command {
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_ringtap"));
        command
            .args(["doctor", "--json", "--interface", MIRROR, "--user", "root"])
            .args(["--config"])
            .arg(self.folder.path().join("ringtap.toml"))
            .arg("--journal")
            .arg(self.journal())
            .args(options);
        command
    }

    fn examined(&self, options: &[&str]) -> Examined {
        Examined::read(finish(&mut self.doctor(options)).expect("it ends"))
    }

    fn ip(&self, arguments: &[&str]) {
        let status = Command::new("ip")
            .args(["-n", &self.lab.tap()])
            .args(arguments)
            .status();
        assert!(status.expect("started").success(), "{arguments:?}");
    }

    /// Has the kernel merge frames.
    fn merge(&self) {
        let switched = self.lab.in_tap(|| {
            let interface = Interface::find(MIRROR).expect("there");
            let features = interface.features().expect("told");
            let gro = features.iter().find(|feature| feature.name == "rx-gro");
            interface.switch(&[gro.expect("veth has it")], true)
        });
        switched.expect("in the namespace").expect("switched");
    }
}

struct Examined {
    report: Value,
    status: Option<i32>,
}

impl Examined {
    fn read(output: Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self {
            report,
            status: output.status.code(),
        }
    }

    fn finding(&self, check: &str) -> &Value {
        let findings = self.report["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {:#}", self.report))
    }

    /// The check came out so.
    fn says(&self, check: &str, state: &str) {
        assert_eq!(self.finding(check)["state"], state, "{check}: {:#}", self.report);
    }

    fn fixed(&self) -> Vec<&str> {
        let fixed = self.report["fixed"].as_array().expect("what was done");
        fixed
            .iter()
            .map(|fixed| fixed["did"].as_str().expect("a command"))
            .collect()
    }
}

/// Catches a host that can capture and is refused, zero-copy that is taken for granted, a trial that leaves something on the
/// interface, and one that takes frames away.
#[test]
#[ignore = "needs root"]
fn a_veth_captures_by_copying() {
    let bench = Bench::new("well", 2);
    let examined = bench.examined(&["--cores", "0,1"]);
    for check in [
        "capabilities",
        "kernel",
        "link",
        "xdp",
        "socket",
        "promiscuous",
        "mtu",
        "journal",
        "cores",
    ] {
        examined.says(check, "ok");
    }
    examined.says("zero_copy", "warn");
    assert_eq!(examined.status, Some(0), "{:#}", examined.report);
    assert_eq!(examined.report["would_capture"], true);
    let after = bench.lab.describe_mirror().expect("there");
    assert!(
        !after.contains("prog/xdp") && after.contains("promiscuity 0 "),
        "{after}"
    );
}

/// Catches an interface from which nothing can come and that passes.
#[test]
#[ignore = "needs root"]
fn an_interface_that_is_down_fails() {
    let bench = Bench::new("doctor-down", 1);
    bench.lab.set_mirror("down").expect("down");
    let examined = bench.examined(&[]);
    examined.says("link", "fail");
    examined.says("xdp", "unknown");
    let mend = examined.finding("link")["mend"].as_str().expect("a command");
    assert_eq!(mend, format!("ip link set {MIRROR} up"));
    assert_eq!(examined.status, Some(1));
}

/// Catches a process without privileges that is told it can capture.
#[test]
#[ignore = "needs root"]
fn nobody_is_told_what_is_missing() {
    let bench = Bench::new("doctor-nobody", 1);
    let program = crate::refusals::open_to_all(&bench);
    let mut command = bench.lab.command("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["doctor", "--json", "--interface", MIRROR, "--journal"])
        .arg(bench.journal());
    let examined = Examined::read(finish(&mut command).expect("it ends"));
    for check in ["capabilities", "promiscuous", "xdp"] {
        examined.says(check, "fail");
    }
    examined.says("journal", "ok");
    assert_eq!(examined.status, Some(1));
    assert_eq!(examined.report["would_capture"], false);
}

/// Catches a trial that disturbs a capture, and one that does not say why it learned nothing.
#[test]
#[ignore = "needs root"]
fn a_capture_is_left_alone() {
    let bench = Bench::new("doctor-busy", 2);
    let tap = bench.tap("0");
    let examined = bench.examined(&["--fix"]);
    examined.says("xdp", "fail");
    examined.says("zero_copy", "unknown");
    assert_eq!(examined.fixed(), ["nothing"], "{:#}", examined.report);
    assert_eq!(examined.status, Some(1));
    assert!(bench.lab.describe_mirror().expect("there").contains("prog/xdp"));
    assert!(bench.hears_calls(SPAN, 1), "{}", tap.said());
    tap.end().expect("it ends");
}

/// Catches packets that fit no frame and of which nothing is said.
#[test]
#[ignore = "needs root"]
fn long_packets_are_told() {
    let bench = Bench::new("doctor-mtu", 1);
    bench.ip(&["link", "set", "dev", MIRROR, "mtu", "9000"]);
    let examined = bench.examined(&[]);
    let mtu = examined.finding("mtu");
    let saw = mtu["saw"].as_str().expect("text");
    assert!(saw.starts_with("9000"), "{mtu:#}");
    match mtu["state"].as_str() {
        Some("ok") => assert!(saw.contains("several"), "{mtu:#}"),
        // Kernels before 6.6.
        Some("warn") => assert!(mtu["means"].as_str().expect("text").contains("lost"), "{mtu:#}"),
        _ => panic!("{mtu:#}"),
    }
}

/// Catches merged frames that are not told, a --fix that does not mend them or says otherwise than it did, and one that does it
/// again and again.
#[test]
#[ignore = "needs root"]
fn what_merges_frames_is_mended_once() {
    let bench = Bench::new("doctor-gro", 1);
    bench.merge();
    bench.examined(&[]).says("offloads", "warn");
    let first = bench.examined(&["--fix"]);
    assert_eq!(
        first.fixed(),
        [format!("ethtool -K {MIRROR} gro off")],
        "{:#}",
        first.report
    );
    assert!(first.report["fixed"][0]["error"].is_null());
    first.says("offloads", "ok");
    let second = bench.examined(&["--fix"]);
    assert!(second.fixed().is_empty(), "{:#}", second.report);
}

/// Catches a --fix or a trial on the interface by which its operator came in.
#[test]
#[ignore = "needs root"]
fn an_interface_of_the_hosts_is_left_alone() {
    let bench = Bench::new("doctor-host", 1);
    bench.merge();
    bench.ip(&["addr", "add", "192.0.2.1/24", "dev", MIRROR]);
    let examined = bench.examined(&["--fix"]);
    assert_eq!(examined.fixed(), ["nothing"]);
    examined.says("offloads", "warn");
    examined.says("host_use", "warn");
    examined.says("xdp", "unknown");
    bench.examined(&["--trial", "always"]).says("xdp", "ok");
}

/// Catches a name that is not there and an operator who is not told which are.
#[test]
#[ignore = "needs root"]
fn an_absent_interface_is_told_with_those_that_are_there() {
    let bench = Bench::new("doctor-none", 1);
    let mut command = bench.lab.command(env!("CARGO_BIN_EXE_ringtap"));
    let output = finish(command.args(["doctor", "--interface", "nosuch0"])).expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nosuch0") && said.contains(MIRROR), "{said}");
}

/// Catches an interface over which the host speaks and that is taken for a mirror's: by another name, an address that has only a label, or a
/// bridge that stands on it.
#[test]
#[ignore = "needs root"]
fn what_the_host_uses_is_left_alone() {
    for (what, is_seen_from_sysfs, steps) in [
        (
            "altname",
            false,
            vec![
                vec!["link", "property", "add", "dev", MIRROR, "altname", "mirror"],
                vec!["address", "add", "10.9.9.1/24", "dev", MIRROR],
            ],
        ),
        (
            "label",
            false,
            vec![vec![
                "address",
                "add",
                "10.9.9.1/24",
                "dev",
                MIRROR,
                "label",
                "mirror0:1",
            ]],
        ),
        (
            "bridge",
            true,
            vec![
                vec!["link", "add", "br0", "type", "bridge"],
                vec!["link", "set", MIRROR, "master", "br0"],
            ],
        ),
    ] {
        let bench = Bench::new(what, 1);
        for step in steps {
            bench.ip(&step);
        }
        let mut asked = bench.doctor(&["--fix"]);
        if what == "altname" {
            asked.args(["--interface", "mirror"]);
        }
        if is_seen_from_sysfs {
            // With the namespace's own /sys.
            let mut whole = Command::new("ip");
            whole.args(["netns", "exec", &bench.lab.tap()]);
            whole.arg(asked.get_program()).args(asked.get_args());
            asked = whole;
        }
        let examined = Examined::read(finish(&mut asked).expect("it ends"));
        let all = examined.report["findings"].as_array().expect("findings");
        let mut about = all.iter().filter(|finding| finding["check"] == "host_use");
        assert!(
            about.all(|finding| finding["state"] == "warn"),
            "{what}: {:#}",
            examined.report
        );
        assert!(examined.fixed().iter().all(|did| *did == "nothing"), "{what}");
    }
}

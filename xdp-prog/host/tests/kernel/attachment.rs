//! Attaching and what ends it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use ringtap_xdp::{Action, Attached, Mode, Reason, Settings, XdpError};

use crate::setting::{Network, ip, load, settings, udp_socket, xdp_mode};

/// Catches a mode that is reported otherwise than the kernel has it, and an attachment that outlives its program.
#[test]
fn the_mode_is_what_the_kernel_took() {
    let Some(mut program) = load(&settings()) else {
        return;
    };
    let Some(_network) = Network::enter("mode") else {
        return;
    };
    for (interface, mode, attached, told) in [
        ("left", Mode::Native, Attached::Native, "xdp"),
        ("left", Mode::Generic, Attached::Generic, "xdpgeneric"),
        ("left", Mode::Auto, Attached::Native, "xdp"),
        ("lo", Mode::Auto, Attached::Generic, "xdpgeneric"),
    ] {
        let in_force = program.attach(interface, mode).unwrap();
        assert_eq!(in_force.attached, attached, "{interface}, {mode:?}");
        assert_eq!(in_force.native_refused.is_some(), interface == "lo");
        assert_eq!(xdp_mode(interface), Some(told), "{interface}, {mode:?}");
    }
    assert_eq!(xdp_mode("left"), None, "the next attachment ends the one before");
    drop(program);
    assert_eq!(xdp_mode("lo"), None);
}

/// Catches a refusal that does not tell the operator what to do.
#[test]
fn refusals_name_the_interface_and_the_remedy() {
    let (Some(mut program), Some(mut other)) = (load(&settings()), load(&settings())) else {
        return;
    };
    let Some(_network) = Network::enter("refusals") else {
        return;
    };
    let mut refused = |interface: &str, mode| other.attach(interface, mode).unwrap_err();

    for name in ["absent", "", "far-too-long-for-an-interface", "nul\0"] {
        let error = refused(name, Mode::Auto);
        assert!(matches!(error, XdpError::NoSuchInterface { .. }), "{error}");
        assert!(error.to_string().contains("no such interface"), "{error}");
    }

    let error = refused("lo", Mode::Native);
    assert!(matches!(error, XdpError::Unsupported { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("lo:") && message.contains("--xdp-mode generic"),
        "{message}"
    );

    for taken in [Mode::Native, Mode::Generic] {
        program.attach("left", taken).unwrap();
        for wanted in [Mode::Auto, Mode::Native, Mode::Generic] {
            let error = refused("left", wanted);
            assert!(
                matches!(error, XdpError::Occupied { .. }),
                "{taken:?}, {wanted:?}: {error:?}"
            );
            let message = error.to_string();
            assert!(message.contains("ip link show dev left"), "{message}");
        }
    }
    drop(program);
    other.attach("left", Mode::Native).unwrap();
}

/// Catches a large MTU that keeps the program away where it need not, and one that does and is not told.
#[test]
fn jumbo_frames() {
    let Some(mut program) = load(&settings()) else {
        return;
    };
    let Some(_network) = Network::enter("jumbo") else {
        return;
    };
    for end in ["left", "right"] {
        assert!(ip(&["link", "set", "dev", end, "mtu", "9000"]));
    }
    assert_eq!(
        program.attach("left", Mode::Native).unwrap().attached,
        Attached::Native
    );
}

/// Catches frames of the wire that are counted otherwise than those of a test run, or that do not reach the kernel
/// although no socket takes them.
#[test]
fn frames_off_an_interface() {
    let Some(mut program) = load(&Settings {
        dedicated: true,
        ..settings()
    }) else {
        return;
    };
    let Some(_network) = Network::enter("frames") else {
        return;
    };
    program.attach("lo", Mode::Generic).unwrap();
    let (sip, other, sender) = (udp_socket(5060), udp_socket(5059), udp_socket(0));
    let before = program.counters().unwrap();
    sender
        .send_to(b"to the kernel, for want of a socket", sip.local_addr().unwrap())
        .unwrap();
    sender.send_to(b"away", other.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    let (len, _) = sip.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"to the kernel, for want of a socket");
    other.set_nonblocking(true).unwrap();
    assert!(other.recv_from(&mut buffer).is_err());
    let after = program.counters().unwrap();
    assert_eq!(after.of(Reason::Delivered) - before.of(Reason::Delivered), 1);
    assert_eq!(
        after.action(Action::NoSocket) - before.action(Action::NoSocket),
        1
    );
    assert_eq!(after.of(Reason::NotSipPort) - before.of(Reason::NotSipPort), 1);
}

/// What `an_attachment_ends_with_its_process` runs as a process of its own: attaches and waits to be killed.
const CHILD: &str = "RINGTAP_ATTACH_AND_WAIT";

/// Catches an attachment that stays when its process is killed: nobody would get the frames.
#[test]
fn an_attachment_ends_with_its_process() {
    if std::env::var_os(CHILD).is_some() {
        let mut program = load(&settings()).expect("loaded before");
        program.attach("left", Mode::Native).unwrap();
        eprintln!("attached");
        loop {
            std::thread::park();
        }
    }
    if load(&settings()).is_none() {
        return;
    }
    let Some(_network) = Network::enter("killed") else {
        return;
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "attachment::an_attachment_ends_with_its_process",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "attached"));
    assert_eq!(xdp_mode("left"), Some("xdp"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(xdp_mode("left"), None);
}

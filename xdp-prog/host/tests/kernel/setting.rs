//! What the tests stand on: a loaded program or the news that there is none, sockets, a network of their own.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, id};
use std::time::Duration;

use ringtap_xdp::{PortSet, Program, Settings, Take, XdpError};
use rustix::net::{AddressFamily, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Settings of a program that takes everything on port 5060.
pub(crate) fn settings() -> Settings {
    Settings {
        ports: [5060].into_iter().collect::<PortSet>(),
        take: Take::ALL,
        dedicated: false,
        queues: 4,
    }
}

/// The program, or another build of it that `RINGTAP_BPF_OBJECT` names.
pub(crate) fn try_load(settings: &Settings) -> Result<Program, XdpError> {
    match std::env::var_os("RINGTAP_BPF_OBJECT") {
        Some(path) => Program::load_object(&std::fs::read(path).expect("read the object"), settings),
        None => Program::load(settings),
    }
}

/// The program, or `None` where no program can be loaded, which is told.
pub(crate) fn load(settings: &Settings) -> Option<Program> {
    match try_load(settings) {
        Ok(program) => Some(program),
        Err(error @ (XdpError::NotPermitted(_) | XdpError::Kernel { .. })) => skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

/// Says that a test cannot run. With `RINGTAP_LIVE=1` that is a failure: whoever sets it has found that this machine can.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    let must_run = std::env::var_os("RINGTAP_LIVE").is_some_and(|value| value == "1");
    assert!(!must_run, "RINGTAP_LIVE=1, but nothing can be tested: {why}");
    eprintln!("SKIPPED, nothing was tested: {why}");
    None
}

/// A socket that a program can redirect to in test runs; it is bound to no queue.
pub(crate) fn xdp_socket() -> OwnedFd {
    rustix::net::socket(AddressFamily::XDP, SocketType::RAW, None).expect("kernel with AF_XDP")
}

/// A network namespace with a pair of interfaces, `left` and `right`, and its own loopback. The thread that makes
/// it moves into it.
pub(crate) struct Network {
    name: String,
}

impl Network {
    /// `None` where none can be made, which is told. `test` makes the name its own.
    pub(crate) fn enter(test: &str) -> Option<Self> {
        let name = format!("ringtap-{test}-{}", id());
        if !ip(&["netns", "add", &name]) {
            return skip("no network namespace can be made");
        }
        let network = Self { name };
        let file = File::open(format!("/run/netns/{}", network.name)).expect("namespace just made");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("enter namespace");
        assert!(ip(&["link", "set", "lo", "up"]));
        assert!(ip(&[
            "link", "add", "left", "type", "veth", "peer", "name", "right"
        ]));
        Some(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
    }
}

/// Runs `ip`; whether it succeeded.
pub(crate) fn ip(arguments: &[&str]) -> bool {
    Command::new("ip")
        .args(arguments)
        .status()
        .is_ok_and(|status| status.success())
}

/// What `ip link` says of XDP on an interface: nothing, or the mode.
pub(crate) fn xdp_mode(interface: &str) -> Option<&'static str> {
    let output = Command::new("ip")
        .args(["link", "show", "dev", interface])
        .output()
        .expect("run ip");
    let text = String::from_utf8(output.stdout).expect("text");
    // Before "xdp": both contain that.
    ["xdpgeneric", "xdp"].into_iter().find(|mode| text.contains(mode))
}

/// A socket on a port of the loopback interface. Who waits in vain on it fails instead of hanging.
pub(crate) fn udp_socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("bind on loopback");
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).expect("set a timeout");
    socket
}

//! What no file tells: whether the driver takes the program, and whether a queue does zero-copy. It is tried, for a moment.
//!
//! The program has no sockets then and passes everything on. It is attached first: where another program is, that is refused and
//! nothing has happened yet. Only then a socket is opened, on the last queue.

use std::time::Duration;

use ringtap_xdp::{Attached, Mode, PortSet, Program, Settings, Take, XdpError};
use ringtap_xsk::{InForce, Interface, Link, Queue, QueueOptions, Wakeup, XskError, ZeroCopy};

use super::{Finding, Options};

/// Frames of the socket that is tried.
const FRAMES: u32 = ringtap_xsk::RING_FRAMES_MIN;
/// For a queue that a trial before closed a moment ago.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whether the program and a socket are tried. Drivers may stop for a moment when a program comes or goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trial {
    /// Unless the host itself speaks over the interface.
    #[default]
    Auto,
    /// Even then.
    Always,
    /// Never.
    Never,
}

pub(super) fn all(interface: &Interface, options: &Options) -> Vec<Finding> {
    let found = match untried(interface, options.trial) {
        Some(why) => vec![
            Finding::unknown("xdp", format!("not tried: {why}")),
            Finding::unknown("zero_copy", format!("not tried: {why}")),
        ],
        None => attach(interface, options.queue),
    };
    found
        .into_iter()
        .map(|finding| finding.of(interface.name()))
        .collect()
}

fn untried(interface: &Interface, trial: Trial) -> Option<&'static str> {
    match trial {
        Trial::Always => None,
        Trial::Never => Some("--trial never"),
        Trial::Auto if interface.is_used_by_host() => {
            Some("the host speaks over it, and may be cut off for a moment; --trial always does it")
        }
        // A socket cannot be bound, so that nothing would be learned.
        Trial::Auto if !matches!(interface.link(), Ok(Link::Running | Link::NoCarrier)) => Some("it is down"),
        Trial::Auto => None,
    }
}

/// Why an interface is not to be changed: another program is attached, whoever's it is, for to attach one beside it is refused; or that
/// cannot be told.
pub(super) fn is_occupied(interface: &Interface) -> Option<&'static str> {
    let attached =
        Program::load(&passing(1)).and_then(|mut program| program.attach(interface.name(), Mode::Generic));
    match attached {
        Ok(_) => None,
        Err(XdpError::Occupied { .. }) => Some("a program is attached: somebody captures there"),
        Err(_) => {
            Some("whether somebody captures there cannot be told: that takes CAP_BPF and CAP_NET_ADMIN")
        }
    }
}

/// A program that takes nothing, for it has no sockets.
fn passing(queues: u32) -> Settings {
    Settings {
        ports: PortSet::default(),
        take: Take::NOTHING,
        dedicated: false,
        queues,
    }
}

fn attach(interface: &Interface, queue: QueueOptions) -> Vec<Finding> {
    let settings = passing(interface.queues().unwrap_or(1));
    let attached = Program::load(&settings).and_then(|mut program| {
        let in_force = program.attach(interface.name(), Mode::Auto)?;
        Ok((program, in_force))
    });
    let (_detached_at_the_end, in_force) = match attached {
        Ok(attached) => attached,
        Err(error) => return not_attached(&error),
    };
    let program = match (in_force.attached, &in_force.native_refused) {
        (Attached::Native, _) => Finding::ok("xdp", "native: the driver runs the program"),
        (Attached::Generic, refused) => {
            Finding::warn("xdp", "generic only: the driver does not take the program")
                .means("the program runs before the network stack, at several times the cost")
                .mend(refused.as_ref().map_or_else(
                    || "a NIC whose driver has native XDP".to_owned(),
                    |refused| format!("the driver said: {refused}"),
                ))
        }
    };
    let mut findings = vec![program];
    findings.extend(open(interface, settings.queues - 1, queue));
    findings
}

fn not_attached(error: &XdpError) -> Vec<Finding> {
    let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(" ({source})"));
    let program = match error {
        XdpError::Occupied { .. } => Finding::fail("xdp", "another program is attached, and was left alone")
            .means("if it is a Ringtap's, that captures already; a second one is refused")
            .mend("end what captures there; `ip link show dev IF` and `bpftool net` tell what it is"),
        error => Finding::fail("xdp", format!("{error}{source}")),
    };
    vec![
        program,
        Finding::unknown("zero_copy", "not tried, for the program could not be attached"),
    ]
}

/// Opens a socket with zero-copy, else without, and tells what packets it takes.
fn open(interface: &Interface, number: u32, queue: QueueOptions) -> Vec<Finding> {
    let try_with = |zero_copy| {
        let options = QueueOptions {
            ring_frames: FRAMES,
            zero_copy,
            wakeup: Wakeup::Poll,
            ..queue
        };
        Queue::open(interface, number, &options, PATIENCE).map(|queue| queue.in_force())
    };
    let (copying, in_force) = match try_with(ZeroCopy::Require) {
        Ok(in_force) => (
            Finding::ok("zero_copy", format!("queue {number} does it")),
            Ok(in_force),
        ),
        Err(refused) => (
            Finding::warn(
                "zero_copy",
                format!("queue {number} does not: {}", reason(&refused)),
            )
            .means("the kernel copies each frame once")
            .mend("nothing to mend if the driver cannot: it works, at a higher cost"),
            try_with(ZeroCopy::Off),
        ),
    };
    match in_force {
        Ok(in_force) => vec![copying, socket(number), packets(interface, in_force)],
        Err(error) => vec![
            copying,
            Finding::fail("socket", error.to_string()),
            Finding::unknown("mtu", "not tried, for no socket could be opened"),
        ],
    }
}

fn reason(error: &XskError) -> String {
    match error {
        XskError::NoZeroCopy { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn socket(number: u32) -> Finding {
    Finding::ok("socket", format!("AF_XDP works on queue {number}"))
}

fn packets(interface: &Interface, in_force: InForce) -> Finding {
    let mtu = interface.mtu().unwrap_or(0);
    let room = in_force.frame_bytes - ringtap_xsk::HEADROOM_BYTES;
    let saw = format!("{mtu}, in frames with room for {room}");
    if in_force.is_cut {
        return Finding::warn("mtu", saw)
            .means(format!("packets of more than {room} octets are lost"))
            .mend(format!(
                "Linux 6.6 or newer with a driver that takes packets in parts, or ip link set {} mtu {}",
                interface.name(),
                ringtap_xsk::MTU_MAX_OF_A_FRAME
            ));
    }
    if in_force.several_frames {
        return Finding::ok("mtu", format!("{saw}; longer packets come in several"));
    }
    Finding::ok("mtu", saw)
}

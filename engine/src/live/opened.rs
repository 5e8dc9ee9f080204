//! How an interface is opened.
//!
//! Order of set-up: the kernel gets its free frames, the sockets go into the program's map, and the program is attached
//! last, so that from the first frame it takes there is a socket for it. Drivers that can do zero-copy only behind a program
//! get it first. All that takes privileges is here.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use ringtap_xdp::{Attached, Mode, Program, Settings, XdpError};
use ringtap_xsk::{
    HEADROOM_BYTES, InForce, Interface, Link, Promiscuous, Queue, XskError, ZeroCopy, detach_link,
    replace_program,
};

use super::port::{PortError, PortOptions};

/// Drivers whose queues do zero-copy only while a program is attached.
const PROGRAM_FIRST: [&str; 1] = ["virtio_net"];

/// An interface that is captured from now on.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) program: Program,
    pub(super) promiscuous: Promiscuous,
    pub(super) interface: Interface,
    pub(super) link: Link,
    /// How many queues it has.
    pub(super) count: u32,
    pub(super) queues: Vec<Queue>,
    pub(super) attached: Attached,
    /// Frames that the NIC had missed before its queues were opened, where it tells.
    pub(super) nic_missed: Option<u64>,
}

/// A program that is loaded and not attached yet: the kernel takes seconds to see that it is harmless, if it has other things to do.
#[derive(Debug)]
pub(super) struct Prepared {
    program: Program,
    settings: Settings,
}

/// The attachment of a predecessor's program.
#[derive(Debug)]
pub(super) struct Inherited {
    pub(super) link: OwnedFd,
    pub(super) attached: Attached,
}

impl Opened {
    /// Opens it. Queues that are taken are waited for as long as `patience` goes.
    pub(super) fn new(name: &str, options: &PortOptions, patience: Duration) -> Result<Self, PortError> {
        let interface = Interface::find(name)?;
        options.check(&interface)?;
        if interface.is_used_by_host() {
            tracing::warn!(
                "{}: the host uses it, and SIP, fragments of UDP and tunnels are taken away from it: a mirror wants an \
                 interface of its own",
                name
            );
        }
        let count = interface.queues().unwrap_or(1);
        let xdp = |source| PortError::Xdp {
            interface: interface.name().to_owned(),
            source,
        };
        let settings = Settings {
            queues: count,
            ..options.program.clone()
        };
        let open_queues = || -> Result<Vec<Queue>, XskError> {
            let open = |number| Queue::open(&interface, number, &options.queue, patience);
            (0..count).map(open).collect()
        };
        let needs_program_first = options.queue.zero_copy == ZeroCopy::Require
            || (options.queue.zero_copy == ZeroCopy::Auto
                && interface
                    .driver()
                    .is_some_and(|driver| PROGRAM_FIRST.contains(&driver.as_str())));
        let (mut program, queues, mut attached);
        if needs_program_first {
            program = Program::load(&settings).map_err(xdp)?;
            attached = Some(program.attach(name, options.mode).map_err(xdp)?);
            queues = open_queues()?;
        } else {
            // A queue that is taken is found before the program is made, which costs a moment.
            queues = open_queues()?;
            program = Program::load(&settings).map_err(xdp)?;
            attached = None;
        }
        for queue in &queues {
            program.set_socket(queue.number(), queue.fd()).map_err(xdp)?;
        }
        let promiscuous = interface.promiscuous()?;
        let attached = match attached.take() {
            Some(attached) => attached,
            None => program.attach(name, options.mode).map_err(xdp)?,
        };
        if let Some(refused) = &attached.native_refused {
            tracing::warn!(
                "{}: the driver does not take the program ({}): it runs before the network stack, which is slower",
                name,
                reason(refused)
            );
        }
        for queue in &queues {
            say_what_is_in_force(name, queue, attached.attached);
        }
        Ok(Self {
            link: interface.link()?,
            nic_missed: interface.missed_frames(),
            program,
            promiscuous,
            interface,
            count,
            queues,
            attached: attached.attached,
        })
    }

    /// Opens one that a predecessor has let go, in the other order: the program first, in the place of the predecessor's, then the queues. No
    /// socket is in the program's map when this returns: frames pass to the stack, where a bridge hears them, until somebody reads the queues.
    pub(super) fn after(
        name: &str,
        options: &PortOptions,
        prepared: Option<Prepared>,
        inherited: Option<Inherited>,
        until: Instant,
    ) -> Result<Self, PortError> {
        let interface = Interface::find(name)?;
        options.check(&interface)?;
        let count = interface.queues().unwrap_or(1);
        let xdp = |source| PortError::Xdp {
            interface: interface.name().to_owned(),
            source,
        };
        let settings = Settings {
            queues: count,
            ..options.program.clone()
        };
        let promiscuous = interface.promiscuous()?;
        let mut program = match prepared {
            Some(prepared) if prepared.settings == settings => prepared.program,
            _ => Program::load(&settings).map_err(xdp)?,
        };
        let adopted = match inherited {
            Some(inherited) => adopt(name, options.mode, &mut program, inherited)?,
            None => None,
        };
        let attached = match adopted {
            Some(attached) => attached,
            None => program.attach(name, options.mode).map_err(xdp)?.attached,
        };
        // A driver that sets its rings up anew for a socket may miss frames by that.
        let nic_missed = interface.missed_frames();
        let open = |number| {
            let patience = until.saturating_duration_since(Instant::now());
            Queue::open(&interface, number, &options.queue, patience)
        };
        let queues = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
        for queue in &queues {
            say_what_is_in_force(name, queue, attached);
        }
        Ok(Self {
            link: interface.link()?,
            program,
            promiscuous,
            interface,
            count,
            queues,
            attached,
            nic_missed,
        })
    }
}

/// Puts this program in the place of the predecessor's, in one step; `None`, which is told, if that cannot be: the predecessor's is off then.
///
/// # Errors
/// If the link is dead: the predecessor has taken the interface back.
fn adopt(
    name: &str,
    mode: Mode,
    program: &mut Program,
    inherited: Inherited,
) -> Result<Option<Attached>, PortError> {
    let Inherited { link, attached } = inherited;
    let adopted = link.try_clone().and_then(|link| {
        if !fits(mode, attached) {
            return Err(io::Error::other("--xdp-mode wants another place for it"));
        }
        program.adopt(link, replace_program)
    });
    let failed = |source| PortError::Link {
        interface: name.to_owned(),
        source,
    };
    match adopted {
        Ok(()) => Ok(Some(attached)),
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Err(failed(error)),
        Err(error) => {
            tracing::warn!(
                "{name}: the program of the one before cannot be replaced ({error}): it is taken off, and this one's put on"
            );
            // Two programs have no place on one interface.
            detach_link(link.as_fd()).map_err(failed)?;
            Ok(None)
        }
    }
}

impl Prepared {
    pub(super) fn new(name: &str, options: &PortOptions) -> Result<Self, PortError> {
        let interface = Interface::find(name)?;
        let settings = Settings {
            queues: interface.queues().unwrap_or(1),
            ..options.program.clone()
        };
        let program = Program::load(&settings).map_err(|source| PortError::Xdp {
            interface: interface.name().to_owned(),
            source,
        })?;
        Ok(Self { program, settings })
    }
}

const fn fits(mode: Mode, attached: Attached) -> bool {
    match mode {
        Mode::Auto => true,
        Mode::Native => matches!(attached, Attached::Native),
        Mode::Generic => matches!(attached, Attached::Generic),
    }
}

/// The driver's own words of why it does not take the program.
fn reason(error: &XdpError) -> String {
    match (error, std::error::Error::source(error)) {
        (XdpError::Refused { reason, .. }, _) => {
            format!("{reason}; often the MTU is too large, LRO is on, or there are too few queues")
        }
        (_, Some(source)) => source.to_string(),
        (error, None) => error.to_string(),
    }
}

fn say_what_is_in_force(interface: &str, queue: &Queue, attached: Attached) {
    let InForce {
        zero_copy,
        huge_pages,
        busy_poll,
        several_frames,
        is_cut,
        ring_frames,
        frame_bytes,
    } = queue.in_force();
    let program = match attached {
        Attached::Native => "native XDP",
        Attached::Generic => "generic XDP",
    };
    let or = |holds, yes: &'static str, no: &'static str| if holds { yes } else { no };
    tracing::info!(
        "{interface} queue {}: {program}, {}, {}, {ring_frames} frames of {frame_bytes} octets{}{}",
        queue.number(),
        or(zero_copy, "zero-copy", "copy"),
        or(busy_poll, "busy polling", "need_wakeup"),
        or(huge_pages, " in huge pages", ""),
        or(several_frames, ", long packets in several", ""),
    );
    if is_cut {
        tracing::warn!(
            "{interface} queue {}: packets of more than {} octets are lost: Linux before 6.6 cannot hand them over",
            queue.number(),
            frame_bytes - HEADROOM_BYTES
        );
    }
}

//! What can go wrong, told so that an operator can mend it.

use std::fmt::{self, Display, Formatter};
use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::util::KernelVersion;

use rustix::io::Errno;

use crate::Attached;

/// Lines of a verifier's log that are told.
const LOG_LINES: usize = 8;

/// The oldest Linux that has all the program uses: `bpf_xdp_get_buff_len` and programs for frames in several
/// buffers came with 5.18.
const OLDEST_KERNEL: (u8, u8, u16) = (5, 18, 0);

/// An attachment that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The interface's name.
    pub interface: String,
    /// Where the program was to run.
    pub attached: Attached,
}

impl Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mode = match self.attached {
            Attached::Native => "native",
            Attached::Generic => "generic",
        };
        write!(f, "{}: XDP in {mode} mode", self.interface)
    }
}

/// Why the XDP program cannot be loaded, attached or spoken with.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// EPERM or EACCES while loading.
    #[error(
        "loading the XDP program is not permitted: run as root, or with the capabilities CAP_BPF and CAP_NET_ADMIN; \
         in a container they must be granted to it, and seccomp must allow bpf(2)"
    )]
    NotPermitted(#[source] io::Error),
    /// EPERM or EACCES while attaching.
    #[error("{attempt} is not permitted: CAP_NET_ADMIN is missing in the network namespace of the interface")]
    AttachNotPermitted {
        /// What was tried.
        attempt: Attempt,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no `bpf(2)`, or is older than what the program uses.
    #[error(
        "Linux {found} cannot run the XDP program: 5.18 or later with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS is needed"
    )]
    Kernel {
        /// The kernel's version.
        found: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// ENOMEM, or a limit on locked memory, while loading.
    #[error(
        "the kernel has no memory for the XDP program's tables: raise the memory limit of the service (MemoryMax=), or free some"
    )]
    Memory(#[source] io::Error),
    /// The kernel's verifier does not accept the program.
    #[error(
        "the kernel's verifier rejects the XDP program. With CAP_PERFMON, or as root, it has less to prove: try that; and \
         please report it with this: {log}"
    )]
    Rejected {
        /// The verifier's last words.
        log: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// ENODEV, or a name that no interface has.
    #[error("{}: there is no such interface; `ip link` lists them", .0.interface)]
    NoSuchInterface(Attempt),
    /// EBUSY or EEXIST: another program is there.
    #[error(
        "{attempt} is taken by another program: is another Ringtap running? `ip link show dev {}` and `bpftool net` tell which it \
         is; `ip link set dev {} xdp off` removes one that nobody owns", .attempt.interface, .attempt.interface
    )]
    Occupied {
        /// What was tried.
        attempt: Attempt,
        /// What the kernel said.
        source: io::Error,
    },
    /// EOPNOTSUPP: the driver cannot do that, or not as it is set up.
    #[error("{attempt} is not supported by the driver as the interface is set up: {}", remedy(.attempt))]
    Unsupported {
        /// What was tried.
        attempt: Attempt,
        /// What the kernel said.
        source: io::Error,
    },
    /// Any other refusal: EINVAL and ERANGE of drivers that cannot take frames so long, ENOMEM and ENOSPC of those that
    /// lack queues.
    #[error(
        "{attempt} is refused by the driver ({reason}): often the MTU is too large (`ip link set dev {} mtu 1500`), LRO is on \
         (`ethtool -K {} lro off`) or there are too few queues; {}",
        .attempt.interface, .attempt.interface, remedy(.attempt)
    )]
    Refused {
        /// What was tried.
        attempt: Attempt,
        /// What the driver said, if it said more than a number.
        reason: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The attachment would not end with the process. It was made by a kernel without links, which are needed.
    #[error("{attempt} was attached without a link, which no known kernel does; `ip link set dev {} xdp off` removes it", .attempt.interface)]
    Unlinked {
        /// What was tried.
        attempt: Attempt,
    },
    /// A queue beyond those of the settings.
    #[error("queue {queue} is not among the {queues} queues that the XDP program was loaded for")]
    NoSuchQueue {
        /// The queue.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// One of the program's tables cannot be read or written.
    #[error("table {map} of the XDP program cannot be used")]
    Map {
        /// The table.
        map: &'static str,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// A test run was refused.
    #[error("the XDP program could not be run over a test frame")]
    TestRun(#[source] Box<ProgramError>),
    /// The embedded object is not the program that this code was written for.
    #[error("the embedded XDP program has no {0}: rebuild it with scripts/ebpf.sh")]
    Object(&'static str),
    /// The embedded object cannot be read.
    #[error("the embedded XDP program cannot be read: rebuild it with scripts/ebpf.sh")]
    Unreadable(#[source] Box<EbpfError>),
}

impl XdpError {
    /// Whether the driver's refusal leaves it to the network stack to run the program.
    pub(crate) const fn generic_may_do(&self) -> bool {
        matches!(self, Self::Unsupported { .. } | Self::Refused { .. })
    }
}

/// What is left to do if not this mode.
fn remedy(attempt: &Attempt) -> &'static str {
    match attempt.attached {
        Attached::Native => "or use --xdp-mode generic",
        Attached::Generic => "or use another interface",
    }
}

/// Sorts a refusal to load.
pub(crate) fn load(error: EbpfError) -> XdpError {
    match error {
        EbpfError::ProgramError(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => not_loaded(io_error, &verifier_log.to_string()),
        EbpfError::ProgramError(ProgramError::SyscallError(source)) => refused_to_load(source.io_error),
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => refused_to_load(io_error),
        EbpfError::MapError(MapError::SyscallError(source)) => refused_to_load(source.io_error),
        other => XdpError::Unreadable(Box::new(other)),
    }
}

/// A refusal with what the verifier wrote, if it came to that: EACCES then says that the program does what it may not.
fn not_loaded(source: io::Error, log: &str) -> XdpError {
    if log.trim().is_empty() {
        return refused_to_load(source);
    }
    XdpError::Rejected {
        log: last_lines(log),
        source,
    }
}

fn refused_to_load(source: io::Error) -> XdpError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => XdpError::NotPermitted(source),
        io::ErrorKind::OutOfMemory => XdpError::Memory(source),
        _ => {
            let (major, minor, patch) = OLDEST_KERNEL;
            match KernelVersion::current() {
                Ok(found)
                    if found < KernelVersion::new(major, minor, patch)
                        || source.kind() == io::ErrorKind::Unsupported =>
                {
                    XdpError::Kernel {
                        found: found.to_string(),
                        source,
                    }
                }
                _ => XdpError::Rejected {
                    log: "no reason was given".to_owned(),
                    source,
                },
            }
        }
    }
}

/// The end of a verifier's log, where it says why.
fn last_lines(log: &str) -> String {
    let from = log.trim_end().rmatch_indices('\n').nth(LOG_LINES - 1);
    log.get(from.map_or(0, |(at, _)| at + 1)..)
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Sorts a refusal to attach.
pub(crate) fn attach(attempt: Attempt, error: ProgramError) -> XdpError {
    let (source, reason) = match error {
        ProgramError::UnknownInterface { .. } => return XdpError::NoSuchInterface(attempt),
        ProgramError::SyscallError(source) => {
            let reason = source.io_error.to_string();
            (source.io_error, reason)
        }
        ProgramError::XdpError(aya::programs::XdpError::NetlinkError(source)) => {
            let errno = source
                .raw_os_error()
                .map_or_else(|| io::Error::other("netlink"), io::Error::from_raw_os_error);
            (errno, source.to_string())
        }
        other => (io::Error::other(other.to_string()), other.to_string()),
    };
    match source.kind() {
        io::ErrorKind::PermissionDenied => XdpError::AttachNotPermitted { attempt, source },
        io::ErrorKind::ResourceBusy | io::ErrorKind::AlreadyExists => XdpError::Occupied { attempt, source },
        io::ErrorKind::Unsupported => XdpError::Unsupported { attempt, source },
        _ if source.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => XdpError::NoSuchInterface(attempt),
        _ => XdpError::Refused {
            attempt,
            reason,
            source,
        },
    }
}

/// For `map_err`: names the map.
pub(crate) fn map(map: &'static str) -> impl Fn(MapError) -> XdpError {
    move |source| XdpError::Map {
        map,
        source: Box::new(source),
    }
}

/// A socket that could not be set or taken away.
pub(crate) fn socket(queue: u32, error: MapError) -> XdpError {
    match error {
        MapError::OutOfBounds { max_entries, .. } => XdpError::NoSuchQueue {
            queue,
            queues: max_entries,
        },
        other => map("SOCKETS")(other),
    }
}

/// A test run that was refused.
pub(crate) fn test_run(source: ProgramError) -> XdpError {
    XdpError::TestRun(Box::new(source))
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::EbpfError;
    use aya::maps::MapError;
    use aya::programs::ProgramError;
    use aya::sys::SyscallError;
    use rustix::io::Errno;

    use super::{Attempt, XdpError, attach, last_lines, load, not_loaded};
    use crate::Attached;

    fn io_error(errno: Errno) -> io::Error {
        errno.into()
    }

    fn attach_refused(errno: Errno, attached: Attached) -> XdpError {
        let attempt = Attempt {
            interface: "eth7".to_owned(),
            attached,
        };
        let source = SyscallError {
            call: "bpf_link_create",
            io_error: io_error(errno),
        };
        attach(attempt, ProgramError::SyscallError(source))
    }

    /// Catches an errno that sends the operator the wrong way, an interface or a remedy that is not named, and a
    /// refusal of the driver that keeps `Auto` from trying the other mode, or one of the kernel that does not.
    #[test]
    fn refusals_to_attach() {
        use Attached::{Generic, Native};
        for (errno, attached, words, generic_may_do) in [
            (Errno::PERM, Native, &["CAP_NET_ADMIN"][..], false),
            (Errno::ACCESS, Generic, &["CAP_NET_ADMIN"], false),
            (
                Errno::BUSY,
                Native,
                &["another Ringtap", "ip link show dev eth7", "bpftool net"],
                false,
            ),
            (
                Errno::EXIST,
                Generic,
                &["another Ringtap", "ip link set dev eth7 xdp off"],
                false,
            ),
            (
                Errno::OPNOTSUPP,
                Native,
                &["not supported", "--xdp-mode generic"],
                true,
            ),
            (
                Errno::OPNOTSUPP,
                Generic,
                &["not supported", "another interface"],
                true,
            ),
            (Errno::NODEV, Native, &["no such interface", "ip link"], false),
            (
                Errno::INVAL,
                Native,
                &["mtu 1500", "lro off", "--xdp-mode generic"],
                true,
            ),
            (Errno::RANGE, Native, &["mtu 1500", "--xdp-mode generic"], true),
            (Errno::NOSPC, Native, &["queues", "--xdp-mode generic"], true),
        ] {
            let error = attach_refused(errno, attached);
            let message = error.to_string();
            assert_eq!(error.generic_may_do(), generic_may_do, "{errno:?}: {message}");
            for word in words.iter().chain(&["eth7"]) {
                assert!(message.contains(word), "{errno:?}: {message}");
            }
        }
    }

    /// Catches an errno that sends the operator the wrong way.
    #[test]
    fn refusals_to_load() {
        let no_map = |errno| {
            EbpfError::MapError(MapError::CreateError {
                name: "PORTS".to_owned(),
                io_error: io_error(errno),
            })
        };
        for (error, words) in [
            (load(no_map(Errno::PERM)), &["CAP_BPF", "CAP_NET_ADMIN"][..]),
            (load(no_map(Errno::NOMEM)), &["MemoryMax"]),
            (load(no_map(Errno::NOSYS)), &["5.18", "CONFIG_BPF_SYSCALL"]),
            (load(EbpfError::NoBTF), &["scripts/ebpf.sh"]),
            (
                not_loaded(io_error(Errno::PERM), ""),
                &["CAP_BPF", "CAP_NET_ADMIN"],
            ),
            (
                not_loaded(io_error(Errno::ACCESS), "R1 invalid mem access"),
                &["CAP_PERFMON", "R1 invalid"],
            ),
            (
                not_loaded(io_error(Errno::TOOBIG), "BPF program is too large"),
                &["CAP_PERFMON", "too large"],
            ),
        ] {
            let message = error.to_string();
            for word in words {
                assert!(message.contains(word), "{error:?}: {message}");
            }
        }
    }

    /// Catches a log that is cut at the wrong end: the verifier says at last why.
    #[test]
    fn the_end_of_a_log() {
        let lines = (1..=20).map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(
            last_lines(&format!("{}\n", lines.join("\n"))),
            lines[12..].join("\n")
        );
        assert_eq!(last_lines("one\ntwo"), "one\ntwo");
        assert_eq!(last_lines(""), "");
    }
}

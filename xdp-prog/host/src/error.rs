//! What can go wrong, told so that an operator can mend it.

use std::fmt::{self, Display, Formatter};
use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::util::KernelVersion;

use crate::Attached;

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
        "loading the XDP program is not permitted: run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON; in a container they must be granted to it, and seccomp must allow bpf(2)"
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
        "the kernel rejects the XDP program, which is a fault of Ringtap or of this kernel; please report it with this: {log}"
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
        }) => {
            // The verifier answers EACCES where the program does what it may not, and says so.
            let log = verifier_log.to_string();
            if log.trim().is_empty() {
                refused_to_load(io_error, log)
            } else {
                let log = log.lines().rev().take(8).collect::<Vec<_>>();
                let log = log.into_iter().rev().collect::<Vec<_>>().join("\n");
                XdpError::Rejected {
                    log,
                    source: io_error,
                }
            }
        }
        EbpfError::ProgramError(ProgramError::SyscallError(source)) => {
            refused_to_load(source.io_error, String::new())
        }
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => {
            refused_to_load(io_error, String::new())
        }
        EbpfError::MapError(MapError::SyscallError(source)) => {
            refused_to_load(source.io_error, String::new())
        }
        other => XdpError::Unreadable(Box::new(other)),
    }
}

fn refused_to_load(source: io::Error, log: String) -> XdpError {
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
                _ => XdpError::Rejected { log, source },
            }
        }
    }
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
        _ if source.raw_os_error() == Some(ENODEV) => XdpError::NoSuchInterface(attempt),
        _ => XdpError::Refused {
            attempt,
            reason,
            source,
        },
    }
}

const ENODEV: i32 = 19;

/// Whether there was nothing at that place of a map.
pub(crate) fn is_absent(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(22)
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

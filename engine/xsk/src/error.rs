//! Why an interface or one of its queues cannot be used, and what to do about it.

use std::io;

/// An operation on an interface or on one of its queues failed. Each message names the interface and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// There is no interface of that name in this network namespace.
    #[error("interface {interface}: there is none of that name; `ip link` lists them")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The system did not tell, or do, something about an interface.
    #[error("interface {interface}: cannot {operation}: {source}")]
    Interface {
        /// Its name.
        interface: String,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The interface has no such queue.
    #[error(
        "interface {interface}: cannot open queue {queue}: there is none, or it takes no AF_XDP socket; `ethtool -l {interface}` shows its queues"
    )]
    NoQueue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// Somebody else has the queue.
    #[error(
        "interface {interface}: queue {queue} is taken: another program, or another ringtap, captures there; end that first (`ip link show dev {interface}` and `bpftool net` tell what is there)"
    )]
    QueueBusy {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// Zero-copy was required.
    #[error(
        "interface {interface}: queue {queue} cannot do zero-copy ({source}): the driver lacks it; use --zero-copy auto"
    )]
    NoZeroCopy {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the system said.
        source: io::Error,
    },
    /// AF_XDP is not there at all.
    #[error(
        "interface {interface}: the kernel has no AF_XDP sockets ({source}): it must be 5.18 or newer, with CONFIG_XDP_SOCKETS"
    )]
    NoAfXdp {
        /// The interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// The process may not do that.
    #[error(
        "interface {interface}: cannot {operation}: not permitted; start as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"
    )]
    NotPermitted {
        /// The interface.
        interface: String,
        /// What was tried.
        operation: &'static str,
    },
    /// Memory for frames could not be had or locked.
    #[error(
        "interface {interface}: queue {queue}: cannot get {mib} MiB of memory for frames ({source}): raise the limit of locked memory (`ulimit -l unlimited`, LimitMEMLOCK=infinity), or lower capture.ring_frames"
    )]
    Memory {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// How much.
        mib: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Another failure on a queue.
    #[error("interface {interface}: queue {queue}: cannot {operation}: {source}")]
    Queue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl XskError {
    /// Whether the interface is not there, or not usable for the moment: it may come back.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::NoInterface { .. } => true,
            Self::Interface { source, .. } | Self::Queue { source, .. } => {
                matches!(
                    source.raw_os_error(),
                    Some(libc::ENODEV | libc::ENXIO | libc::ENETDOWN)
                )
            }
            _ => false,
        }
    }

    pub(crate) fn interface(interface: &str, operation: &'static str, source: io::Error) -> Self {
        let interface = interface.to_owned();
        match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => Self::NoInterface { interface },
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { interface, operation },
            _ => Self::Interface {
                interface,
                operation,
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an interface that went away and is taken for a fault that will not pass, or the other way round.
    #[test]
    fn what_may_come_back() {
        let of = |errno| XskError::interface("tap0", "read its flags", io::Error::from_raw_os_error(errno));
        assert!(of(libc::ENODEV).is_gone());
        assert!(of(libc::ENETDOWN).is_gone());
        assert!(!of(libc::EPERM).is_gone());
        assert!(!of(libc::EIO).is_gone());
        assert!(of(libc::EPERM).to_string().contains("CAP_NET_ADMIN"));
    }
}

//! A network interface as a whole.

use std::fs;
use std::os::fd::OwnedFd;

use crate::error::XskError;
use crate::sys::{self, Control};

/// A network interface of this namespace, as it was when it was looked up: one that is made anew under the same
/// name has another index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: u32,
}

/// Whether an interface can receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is up, and something is at the other end.
    Running,
    /// It is up, but nothing is at the other end.
    NoCarrier,
    /// It is switched off.
    Down,
    /// It is there no more, or another has its name.
    Gone,
}

/// Keeps an interface promiscuous: mirrored frames carry other machines' addresses. It ends when this is dropped,
/// or with the process.
#[derive(Debug)]
pub struct Promiscuous {
    _socket: OwnedFd,
}

impl Interface {
    /// Looks it up, by its name or another that it has (`altname`).
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn find(name: &str) -> Result<Self, XskError> {
        let look = || {
            let control = Control::open()?;
            let index = control.index(name)?;
            // The one that everything else goes by.
            let name = control.name(index)?;
            Ok(Self { name, index })
        };
        look().map_err(|source| XskError::interface(name, "look it up", source))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of all interfaces of this namespace, in the kernel's order.
    #[must_use]
    pub fn names() -> Vec<String> {
        let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        // Two lines of headings.
        let lines = text.lines().skip(2);
        lines
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
            .collect()
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its state.
    ///
    /// # Errors
    /// If the system does not tell, other than because it is gone.
    pub fn link(&self) -> Result<Link, XskError> {
        let look = || {
            let control = Control::open()?;
            let index = control.index(&self.name)?;
            Ok((index, control.flags(&self.name)?))
        };
        match look().map_err(|source| XskError::interface(&self.name, "read its state", source)) {
            Err(error) if error.is_gone() => Ok(Link::Gone),
            Err(error) => Err(error),
            Ok((index, _)) if index != self.index => Ok(Link::Gone),
            Ok((_, flags)) if flags & libc::IFF_UP == 0 => Ok(Link::Down),
            Ok((_, flags)) if flags & libc::IFF_RUNNING == 0 => Ok(Link::NoCarrier),
            Ok(_) => Ok(Link::Running),
        }
    }

    /// The longest packet that it takes, in octets, without the Ethernet header.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn mtu(&self) -> Result<u32, XskError> {
        Control::open()
            .and_then(|control| control.mtu(&self.name))
            .map_err(|source| XskError::interface(&self.name, "read its MTU", source))
    }

    /// How many receive queues it has in use, if its driver tells.
    #[must_use]
    pub fn queues(&self) -> Option<u32> {
        let control = Control::open().ok()?;
        let channels = control.channels(&self.name).ok()?;
        let queues = channels.rx_count + channels.combined_count;
        (queues > 0).then_some(queues)
    }

    /// How many receive queues its driver can have, if it tells.
    #[must_use]
    pub fn queues_max(&self) -> Option<u32> {
        let channels = Control::open().ok()?.channels(&self.name).ok()?;
        let queues = channels.max_rx.max(channels.max_combined);
        (queues > 0).then_some(queues)
    }

    /// Whether the host itself speaks over it: it is the loopback interface, has an address of its own other than the one that IPv6
    /// gives to each, or carries another interface (a bridge, a bond, a VLAN). Where that is not told, it is taken to be so.
    #[must_use]
    pub fn is_used_by_host(&self) -> bool {
        let look = || {
            let is_loopback = Control::open()?.flags(&self.name)? & libc::IFF_LOOPBACK != 0;
            Ok::<_, std::io::Error>(is_loopback || self.has_address()? || self.carries_another())
        };
        look().unwrap_or(true)
    }

    /// By ioctl and /proc, for netlink is shut to a capture that goes on.
    fn has_address(&self) -> std::io::Result<bool> {
        let names = Control::open()?.names_of_addresses()?;
        let mut names = names.iter().filter_map(|name| name.split(':').next());
        Ok(names.any(|name| name == self.name) || self.has_ipv6_address())
    }

    /// Lines of that file: address, index, prefix length, scope, flags, name. Scope 20 is the link's own.
    fn has_ipv6_address(&self) -> bool {
        let Ok(text) = fs::read_to_string("/proc/thread-self/net/if_inet6") else {
            return false;
        };
        text.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            matches!(fields.as_slice(), [_, _, _, scope, _, name] if *name == self.name && *scope != "20")
        })
    }

    /// By the links that sysfs has to what it is a part of, and to what stands on it.
    fn carries_another(&self) -> bool {
        // The folder is that of the namespace in which sysfs was mounted, which need not be ours.
        if self.statistic("ifindex") != Some(u64::from(self.index)) {
            return false;
        }
        let Ok(entries) = fs::read_dir(format!("/sys/class/net/{}", self.name)) else {
            return false;
        };
        let mut names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        names.any(|name| {
            let name = name.to_string_lossy();
            name == "master" || name.starts_with("upper_")
        })
    }

    /// Its driver's name, if that tells it.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        Control::open()
            .and_then(|control| control.driver(&self.name))
            .ok()
    }

    /// Makes it promiscuous.
    ///
    /// # Errors
    /// If this process may not.
    pub fn promiscuous(&self) -> Result<Promiscuous, XskError> {
        match sys::promiscuous(self.index) {
            Ok(socket) => Ok(Promiscuous { _socket: socket }),
            Err(source) => Err(XskError::interface(&self.name, "make it promiscuous", source)),
        }
    }

    /// Frames that the NIC itself lost for want of room, since it came up. `None` if nobody tells.
    #[must_use]
    pub fn missed_frames(&self) -> Option<u64> {
        // The folder is that of the namespace in which sysfs was mounted, which need not be ours.
        if self.statistic("ifindex")? != u64::from(self.index) {
            return None;
        }
        // Drivers differ in which they count, and some count a frame under several.
        let lost = ["rx_missed_errors", "rx_fifo_errors", "rx_over_errors"];
        lost.iter()
            .filter_map(|name| self.statistic(&format!("statistics/{name}")))
            .max()
    }

    fn statistic(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/sys/class/net/{}/{name}", self.name)).ok()?;
        text.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an interface that is not told from one that is there, and fields read from the wrong place.
    #[test]
    fn loopback_and_none() {
        let loopback = Interface::find("lo").unwrap();
        assert_eq!(loopback.link().unwrap(), Link::Running);
        assert!(loopback.mtu().unwrap() >= 1280);
        assert_eq!(loopback.queues(), None);
        assert!(Interface::names().contains(&"lo".to_owned()));
        assert!(loopback.is_used_by_host());
        let other = Interface {
            index: 4_000_000,
            ..loopback
        };
        assert_eq!(other.link().unwrap(), Link::Gone);
        for absent in ["nosuch0", "", "a name that is far too long", "lo\0"] {
            assert!(Interface::find(absent).unwrap_err().is_gone(), "{absent}");
        }
    }
}

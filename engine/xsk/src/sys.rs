//! System calls that no kept crate offers, each behind a safe function: ioctls of network interfaces, options of
//! AF_XDP sockets, promiscuous mode, `poll`, the state of the clock, whose network a socket is of.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Channels {
    cmd: u32,
    pub(crate) max_rx: u32,
    max_tx: u32,
    max_other: u32,
    pub(crate) max_combined: u32,
    pub(crate) rx_count: u32,
    tx_count: u32,
    other_count: u32,
    pub(crate) combined_count: u32,
}

/// `struct ethtool_drvinfo` of linux/ethtool.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    version: [u8; 32],
    fw_version: [u8; 32],
    bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved2: [u8; 12],
    counts: [u32; 5],
}

const ETHTOOL_GDRVINFO: u32 = 0x0000_0003;
const ETHTOOL_GCHANNELS: u32 = 0x0000_003c;
/// Flag of `XDP_OPTIONS`: the socket is in zero-copy mode (linux/if_xdp.h).
const XDP_OPTIONS_ZEROCOPY: u32 = 1;
/// Options of `SOL_SOCKET` (asm-generic/socket.h).
const SO_BUSY_POLL: libc::c_int = 46;
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;
const SO_NETNS_COOKIE: libc::c_int = 71;

/// IPv4 addresses that a host may have; with more, nothing is told of them.
const ADDRESSES_MAX: usize = 1024;

/// A socket for ioctls; it carries no traffic.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

impl Control {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        owned(fd).map(Self)
    }

    pub(crate) fn index(&self, name: &str) -> io::Result<u32> {
        let mut request = request(name)?;
        self.ioctl(libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: SIOCGIFINDEX fills this member; any bits are a valid c_int.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        u32::try_from(index).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// `IFF_` flags.
    pub(crate) fn flags(&self, name: &str) -> io::Result<libc::c_int> {
        let mut request = request(name)?;
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS fills this member; any bits are a valid c_short.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags.cast_unsigned()))
    }

    pub(crate) fn mtu(&self, name: &str) -> io::Result<u32> {
        let mut request = request(name)?;
        self.ioctl(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: SIOCGIFMTU fills this member; any bits are a valid c_int.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The kernel's own name of the interface with this number.
    pub(crate) fn name(&self, index: u32) -> io::Result<String> {
        // Whatever it says, the kernel writes over it.
        let mut request = request("-")?;
        request.ifr_ifru.ifru_ifindex = index.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        self.ioctl(libc::SIOCGIFNAME, &mut request)?;
        Ok(name_in(&request))
    }

    /// Of each IPv4 address of this namespace the name: an interface's, or a label, which is that with something behind a colon.
    pub(crate) fn names_of_addresses(&self) -> io::Result<Vec<String>> {
        // SAFETY: an ifreq is plain data, for which all zeros are valid.
        let mut requests = vec![unsafe { mem::zeroed::<libc::ifreq>() }; ADDRESSES_MAX];
        let room = mem::size_of_val(requests.as_slice());
        // SAFETY: an ifconf is plain data, for which all zeros are valid.
        let mut all: libc::ifconf = unsafe { mem::zeroed() };
        all.ifc_len = room.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        all.ifc_ifcu.ifcu_req = requests.as_mut_ptr();
        // SAFETY: `all` is a valid ifconf for the whole call, which refers to `requests` and says how long they are.
        done(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCGIFCONF, &raw mut all) })?;
        let filled = usize::try_from(all.ifc_len).unwrap_or(0) / mem::size_of::<libc::ifreq>();
        if filled >= ADDRESSES_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(requests.iter().take(filled).map(name_in).collect())
    }

    pub(crate) fn channels(&self, name: &str) -> io::Result<Channels> {
        let mut channels = Channels {
            cmd: ETHTOOL_GCHANNELS,
            ..Channels::default()
        };
        let mut request = request(name)?;
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)?;
        Ok(channels)
    }

    /// The driver's name.
    pub(crate) fn driver(&self, name: &str) -> io::Result<String> {
        let mut info = DriverInfo {
            cmd: ETHTOOL_GDRVINFO,
            driver: [0; 32],
            version: [0; 32],
            fw_version: [0; 32],
            bus_info: [0; 32],
            erom_version: [0; 32],
            reserved2: [0; 12],
            counts: [0; 5],
        };
        let mut request = request(name)?;
        request.ifr_ifru.ifru_data = (&raw mut info).cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)?;
        let name = info.driver.split(|octet| *octet == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// One command of ethtool, in and out: `words` is its structure of linux/ethtool.h, with room for all that its count says.
    pub(crate) fn ethtool(&self, name: &str, words: &mut [u32]) -> io::Result<()> {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)
    }

    fn ioctl(&self, operation: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: `request` is a valid ifreq for the whole call, and so is what its data pointer, if the operation
        // uses one, refers to: callers keep that on their stack.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), operation, &raw mut *request) };
        done(result)
    }
}

/// The name that the kernel has written.
fn name_in(request: &libc::ifreq) -> String {
    let name = request.ifr_name.map(libc::c_char::cast_unsigned);
    let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq is plain data, for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The name ends with a zero.
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}

/// Puts an interface into promiscuous mode for as long as the socket is there. The kernel counts who wants it, so it
/// ends with the last one, also if that was killed.
pub(crate) fn promiscuous(index: u32) -> io::Result<OwnedFd> {
    // Protocol 0: no frame is ever delivered to this socket.
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    let fd = owned(fd)?;
    let membership = libc::packet_mreq {
        mr_ifindex: libc::c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?,
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).map_err(|_| io::ErrorKind::InvalidInput)?,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(
        fd.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_ADD_MEMBERSHIP,
        &membership,
    )?;
    Ok(fd)
}

/// Whether an AF_XDP socket is in zero-copy mode.
pub(crate) fn is_zero_copy(socket: RawFd) -> io::Result<bool> {
    let mut flags = 0_u32;
    let mut len = socklen::<u32>();
    // SAFETY: both pointers are valid for the call, and `len` is the size of what the first refers to.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_XDP,
            libc::XDP_OPTIONS,
            (&raw mut flags).cast(),
            &raw mut len,
        )
    };
    done(result)?;
    Ok(flags & XDP_OPTIONS_ZEROCOPY != 0)
}

/// Preferred busy polling (Documentation/networking/napi.rst): the driver's queue is worked on by who asks for
/// frames, not by an interrupt.
pub(crate) fn prefer_busy_poll(socket: RawFd, poll_us: u32, budget: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, &1_u32)?;
    set_option(socket, libc::SOL_SOCKET, SO_BUSY_POLL, &poll_us)?;
    set_option(socket, libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget)
}

/// Whether preferred busy polling is in force. Kernels before 5.11 do not have it.
pub(crate) fn is_busy_poll_preferred(socket: RawFd) -> bool {
    let mut preferred = 0_u32;
    let mut len = socklen::<u32>();
    // SAFETY: both pointers are valid for the call, and `len` is the size of what the first refers to.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            SO_PREFER_BUSY_POLL,
            (&raw mut preferred).cast(),
            &raw mut len,
        )
    };
    result == 0 && preferred != 0
}

/// Has the kernel work on a socket's queue now, without waiting.
pub(crate) fn kick(socket: RawFd) {
    // SAFETY: a null buffer of length 0 is never written to.
    let _nothing_there = unsafe {
        libc::recvfrom(
            socket,
            std::ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
}

/// What [`wait`] found of one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Something can be read.
    pub readable: bool,
    /// The descriptor is of no more use: its interface is gone.
    pub failed: bool,
}

/// Waits until one of the descriptors has something, or time is up. A signal ends the wait early.
///
/// # Errors
/// What `poll` says, other than that a signal came.
pub fn wait(descriptors: &[BorrowedFd<'_>], timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let timeout_ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: the pointer is to `count` valid pollfds.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) };
    ready.clear();
    if let Err(error) = done(result)
        && error.kind() != io::ErrorKind::Interrupted
    {
        return Err(error);
    }
    ready.extend(polled.iter().map(|fd| Ready {
        readable: fd.revents & libc::POLLIN != 0,
        failed: fd.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0,
    }));
    Ok(())
}

/// Lifts the limit of locked memory as far as this process may. Kernels before 5.11 count maps and programs under
/// it, all kernels the memory for frames of a process without CAP_IPC_LOCK.
pub fn raise_memlock() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return;
    }
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) } != 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is valid for the call.
        let _as_it_was = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    }
}

/// The network namespace in which this socket was made: a number that no other one gets.
///
/// # Errors
/// What is no socket; and Linux before 5.14, which does not tell (`ENOPROTOOPT`).
pub fn network_namespace(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(0);
    // SAFETY: both pointers are valid for the call, and `len` is the size of what the first refers to, any bits of which are a number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// Whether something keeps the system's clock right (NTP, PTP).
///
/// # Errors
/// What the system says.
pub fn clock_is_kept() -> io::Result<bool> {
    // SAFETY: a timex is plain data, for which all zeros are valid; mode 0 asks and sets nothing.
    let mut time: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: the pointer is valid for the call.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    done(state)?;
    Ok(state != libc::TIME_ERROR && time.status & libc::STA_UNSYNC == 0)
}

fn set_option<T>(socket: RawFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a valid T, whose size is the length.
    let result =
        unsafe { libc::setsockopt(socket, level, option, (&raw const *value).cast(), socklen::<T>()) };
    done(result)
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    done(fd)?;
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

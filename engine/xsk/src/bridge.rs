//! The bridge: what comes in on an interface while no AF_XDP socket of ours takes it (AF_PACKET).
//!
//! An XDP program without a socket for a queue passes its frames on to the network stack, where a packet socket sees
//! them: so between the sockets of one process and those of the next no frame need be missed. The socket is opened before
//! the old sockets go, hears nothing as long as they take everything, and never sends.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::error::XskError;
use crate::interface::Interface;

/// Room for the longest frame that a packet socket gives: 64 KiB of packet, its link header, and a tag that is put back.
pub const BRIDGE_FRAME_BYTES_MAX: usize = 65_536 + 64;
/// Room for frames that wait, by the kernel's own reckoning, which counts a small frame as two KiB or so.
const ROOM_BYTES: libc::c_int = 128 << 20;
/// Options of `SOL_PACKET` (linux/if_packet.h).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// Where a VLAN tag stands: behind both addresses.
const TAG_AT: usize = 12;
const TAG_BYTES: usize = 4;
const TPID_USUAL: u16 = 0x8100;

/// An open bridge.
#[derive(Debug)]
pub struct Bridge {
    socket: OwnedFd,
    dropped: u64,
}

impl Bridge {
    /// Hears what the stack of this interface gets from now on. Takes CAP_NET_RAW; with CAP_NET_ADMIN it has more room.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn open(interface: &Interface) -> Result<Self, XskError> {
        let open = || {
            // Protocol 0: nothing is delivered before all is set up.
            let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: no pointers are passed.
            let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
            done(fd)?;
            // SAFETY: the descriptor was just made, and nobody else has it.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            let room = ROOM_BYTES;
            if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &room).is_err() {
                set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &room)?;
            }
            set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
            // Before Linux 4.20 nobody knows it; nothing of ours goes out there anyway.
            let _unknown = set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32);
            bind(&socket, interface.index())?;
            Ok(Self { socket, dropped: 0 })
        };
        open().map_err(|source: io::Error| {
            XskError::interface(interface.name(), "open a packet socket on it", source)
        })
    }

    /// Takes one frame into `room`, as it was on the wire: a VLAN tag that the kernel has taken off is put back. How many octets
    /// it has; `None` if nothing waits.
    ///
    /// # Errors
    /// What the system says: that the interface went down, for one.
    pub fn receive(&self, room: &mut [u8; BRIDGE_FRAME_BYTES_MAX]) -> io::Result<Option<usize>> {
        let (len, tag) = match self.take(room) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(match tag {
            Some(tag) => put_back(room, len, tag),
            None => len,
        }))
    }

    /// Frames that were lost for want of room, since it was opened.
    pub fn dropped(&mut self) -> u64 {
        // SAFETY: a tpacket_stats is plain data, for which all zeros are valid.
        let mut counted: libc::tpacket_stats = unsafe { mem::zeroed() };
        let mut len = socklen::<libc::tpacket_stats>();
        // SAFETY: both pointers are valid for the call, and `len` is the size of what the first refers to.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counted).cast(),
                &raw mut len,
            )
        };
        if result == 0 {
            // The kernel begins anew with each look.
            self.dropped += u64::from(counted.tp_drops);
        }
        self.dropped
    }

    /// One frame, and the tag that was taken off it: protocol and control information.
    fn take(&self, room: &mut [u8; BRIDGE_FRAME_BYTES_MAX]) -> io::Result<(usize, Option<(u16, u16)>)> {
        let mut part = libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            // A tag may have to find room.
            iov_len: room.len() - TAG_BYTES,
        };
        let mut told = Told([0; 8]);
        // SAFETY: a msghdr is plain data, for which all zeros are valid.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut told).cast();
        message.msg_controllen = size_of::<Told>() as _;
        // SAFETY: the message refers to `part`, that to `room`, and to `told`, with their sizes; all outlive the call.
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the message is as the kernel has filled it.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        if first.is_null() {
            return Ok((len, None));
        }
        // SAFETY: not null, so it lies within `told`, which is aligned for it.
        let header = unsafe { first.read() };
        if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            return Ok((len, None));
        }
        // SAFETY: its data stands behind the header, within `told`.
        let data = unsafe { libc::CMSG_DATA(first) };
        // SAFETY: the kernel has written a whole tpacket_auxdata there; it is plain data.
        let auxiliary = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
        let has = |flag: libc::__u32| auxiliary.tp_status & flag != 0;
        let tag = has(libc::TP_STATUS_VLAN_VALID).then(|| {
            let tpid = if has(libc::TP_STATUS_VLAN_TPID_VALID) {
                auxiliary.tp_vlan_tpid
            } else {
                TPID_USUAL
            };
            (tpid, auxiliary.tp_vlan_tci)
        });
        Ok((len, tag))
    }
}

impl AsFd for Bridge {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for one control message with a `tpacket_auxdata`, aligned for its header.
#[repr(C)]
struct Told([u64; 8]);

/// Puts a tag back to where it was.
fn put_back(room: &mut [u8; BRIDGE_FRAME_BYTES_MAX], len: usize, (tpid, tci): (u16, u16)) -> usize {
    if len < TAG_AT || len + TAG_BYTES > room.len() {
        return len;
    }
    room.copy_within(TAG_AT..len, TAG_AT + TAG_BYTES);
    let tag = u32::from(tpid) << 16 | u32::from(tci);
    if let Some(place) = room.get_mut(TAG_AT..TAG_AT + TAG_BYTES) {
        place.copy_from_slice(&tag.to_be_bytes());
    }
    len + TAG_BYTES
}

fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let all = u16::try_from(libc::ETH_P_ALL).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: a sockaddr_ll is plain data, for which all zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(|_| io::ErrorKind::InvalidInput)?;
    address.sll_protocol = all.to_be();
    address.sll_ifindex = libc::c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer is to a valid sockaddr_ll, whose size is the length.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    };
    done(result)
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a valid T, whose size is the length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const *value).cast(),
            socklen::<T>(),
        )
    };
    done(result)
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a tag at another place than the wire had it, or octets behind it that are lost.
    #[test]
    fn a_tag_is_put_back() {
        let mut room = [0; BRIDGE_FRAME_BYTES_MAX];
        for (at, octet) in room.iter_mut().take(20).enumerate() {
            *octet = u8::try_from(at).unwrap();
        }
        assert_eq!(put_back(&mut room, 20, (0x88a8, 0x1234)), 24);
        assert_eq!(
            room[..24],
            [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x88, 0xa8, 0x12, 0x34, 12, 13, 14, 15, 16, 17, 18, 19
            ]
        );
        assert_eq!(
            put_back(&mut room, 11, (0x8100, 1)),
            11,
            "no room for a tag there"
        );
    }
}

//! The one place that talks to the kernel by hand: a packet socket on one interface.
//!
//! A frame leaves as it is, past the queueing discipline (`PACKET_QDISC_BYPASS`): on a veth pair it then arrives on
//! the queue with the number of the CPU that sent it. What is sent when is for [`super`]; the calls that `rustix`
//! has safe forms of are made with those.

#![allow(
    unsafe_code,
    reason = "a link-layer address and a packet option have no safe call; both are fenced here"
)]

use std::ffi::c_int;
use std::io::{self, IoSlice};
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv,
    sendmmsg, socket_with,
};

/// Frames given to the kernel in one call.
pub(super) const BATCH_MAX: usize = 64;

/// What may wait on a line to be heard: far more than a test sends at once.
const HEARD_BYTES_MAX: usize = 64 << 20;
/// After so long nobody is going to send any more.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A packet socket that is bound to an interface.
#[derive(Debug)]
pub struct Line {
    socket: OwnedFd,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many frames from the beginning are out, one at least.
    Frames(usize),
    /// The first one found no room; nothing is out.
    NoRoom,
    /// The first one is longer than the interface takes; nothing is out.
    TooLong,
}

impl Line {
    /// A line to send on. What arrives on the interface does not come here.
    ///
    /// # Errors
    /// If the interface is not there, or the process may not open packet sockets.
    pub fn sending(interface: &str) -> io::Result<Self> {
        let line = Self::open(interface, 0)?;
        line.bypass_queueing()?;
        Ok(line)
    }

    /// A line to hear every frame on that arrives at the interface.
    ///
    /// # Errors
    /// As [`Line::sending`].
    pub fn hearing(interface: &str) -> io::Result<Self> {
        let line = Self::open(interface, libc::ETH_P_ALL)?;
        set_socket_recv_buffer_size_force(&line.socket, HEARD_BYTES_MAX)?;
        set_socket_timeout(&line.socket, Timeout::Recv, Some(SILENCE_MAX))?;
        Ok(line)
    }

    /// Takes the next frame into `room`; gives its length.
    ///
    /// # Errors
    /// What the system call gives; also if nothing came for some seconds.
    pub fn hear(&self, room: &mut [u8]) -> io::Result<usize> {
        let (bytes, _) = recv(&self.socket, room, RecvFlags::empty())?;
        Ok(bytes)
    }

    /// Gives up to [`BATCH_MAX`] frames to the kernel, in one call.
    pub(super) fn send(&self, frames: &[&[u8]]) -> io::Result<Sent> {
        let slices: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            frames.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut headers: Vec<MMsgHdr<'_>> = slices
            .iter()
            .zip(&mut nothing)
            .map(|(slice, nothing)| MMsgHdr::new(slice, nothing))
            .collect();
        // An error is told only if it meets the first frame of the batch; sendmmsg(2).
        match sendmmsg(&self.socket, &mut headers, SendFlags::empty()) {
            Ok(frames) => Ok(Sent::Frames(frames)),
            Err(Errno::NOBUFS | Errno::AGAIN) => Ok(Sent::NoRoom),
            Err(Errno::MSGSIZE) => Ok(Sent::TooLong),
            Err(error) => Err(error.into()),
        }
    }

    fn open(interface: &str, protocol: c_int) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let index = name_to_index(socket.as_fd(), interface)?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (protocol as u16).to_be(),
            sll_ifindex: c_int::try_from(index).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the pointer and the length are those of `address`, which outlives the call and is the kind of
        // address that this family takes; the descriptor is open.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket })
    }

    fn bypass_queueing(&self) -> io::Result<()> {
        let on: c_int = 1;
        // SAFETY: the pointer and the length are those of `on`, an int as the option wants it, which outlives the
        // call; the descriptor is open.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_QDISC_BYPASS,
                (&raw const on).cast(),
                size_of::<c_int>() as libc::socklen_t,
            )
        };
        if set == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

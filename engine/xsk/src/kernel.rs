//! The rings and the UMEM of one queue, by `xsk-rs`: the place where frames change hands with the kernel.

use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::{error::Error, io};

use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::socket::XdpStatistics;
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use crate::pool::{Exchange, Segment};

/// Descriptors of the rings that are there only because a socket has them: nothing is ever sent.
const UNUSED_RING: u32 = 64;
/// The usual size of huge pages on machines that have several.
const HUGE_PAGE_BYTES: u64 = 2 << 20;

/// The memory for frames, not yet bound to a queue.
#[derive(Debug)]
pub(crate) struct Memory {
    umem: Umem,
    frames: Vec<FrameDesc>,
    is_huge: bool,
}

/// A socket on a queue with its memory.
#[derive(Debug)]
pub(crate) struct Kernel {
    rx: RxQueue,
    fill: FillQueue,
    umem: Umem,
    _tx: TxQueue,
    _completion: CompQueue,
}

impl Memory {
    /// `frames` frames of `frame_bytes` each, in huge pages if there are any.
    pub(crate) fn new(frames: u32, frame_bytes: u32) -> io::Result<Self> {
        let size = |size| QueueSize::new(size).map_err(io::Error::other);
        let config = UmemConfig::builder()
            .frame_size(FrameSize::new(frame_bytes).map_err(io::Error::other)?)
            .fill_queue_size(size(frames)?)
            .comp_queue_size(size(UNUSED_RING)?)
            .build()
            .map_err(io::Error::other)?;
        let count = NonZeroU32::new(frames).ok_or(io::ErrorKind::InvalidInput)?;
        let make = |is_huge| {
            Umem::new(config, count, is_huge)
                .map(|(umem, frames)| Self {
                    umem,
                    frames,
                    is_huge,
                })
                .map_err(|error| cause(&error))
        };
        // A mapping of huge pages has to be whole ones, or it cannot be given back.
        let fills_pages = (u64::from(frames) * u64::from(frame_bytes)).is_multiple_of(HUGE_PAGE_BYTES);
        if fills_pages && let Ok(memory) = make(true) {
            return Ok(memory);
        }
        make(false)
    }

    pub(crate) const fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// Binds it to a queue. Gives back the socket and the frames, all of which are ours still.
    pub(crate) fn bind(
        &self,
        interface: &str,
        queue: u32,
        rx_ring: u32,
        flags: BindFlags,
    ) -> io::Result<(Kernel, Vec<FrameDesc>)> {
        let size = |size| QueueSize::new(size).map_err(io::Error::other);
        let config = SocketConfig::builder()
            .rx_queue_size(size(rx_ring)?)
            .tx_queue_size(size(UNUSED_RING)?)
            // The program is loaded and attached by another crate, not by libxdp.
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let interface: Interface = interface.parse().map_err(io::Error::other)?;
        // SAFETY: nothing is ever put into the tx ring, so the kernel sends no frame of the UMEM; and the fill ring of
        // this socket, the only one of its UMEM, is handed out once, here.
        let made = unsafe { Socket::new(config, &self.umem, &interface, queue) };
        let (tx, rx, rings) = made.map_err(|error| cause(&error))?;
        let (fill, completion) =
            rings.ok_or_else(|| io::Error::other("another socket has this memory's rings"))?;
        let kernel = Kernel {
            rx,
            fill,
            umem: self.umem.clone(),
            _tx: tx,
            _completion: completion,
        };
        Ok((kernel, self.frames.clone()))
    }
}

/// What the system said, below what the library says of it.
fn cause(error: &dyn Error) -> io::Error {
    let system = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match system.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    }
}

impl Kernel {
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is closed when `self.rx` is dropped, which the borrow outlasts.
        unsafe { BorrowedFd::borrow_raw(self.raw_fd()) }
    }

    pub(crate) fn statistics(&self) -> io::Result<XdpStatistics> {
        self.rx.fd().xdp_statistics()
    }

    /// Frames in the rx ring that nobody has taken yet.
    pub(crate) fn waiting(&mut self) -> u32 {
        self.rx.nb_avail_exact()
    }

    /// Whether the driver waits for us to tell it that the fill ring has frames again.
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }
}

// SAFETY: `consume` gives back what the rx ring holds, which the kernel put there once for each time the frame was in the fill
// ring; and the kernel leaves a frame alone from then until it is in the fill ring again.
unsafe impl Exchange for Kernel {
    type Frame = FrameDesc;

    fn consume(&mut self, out: &mut [FrameDesc]) -> usize {
        // SAFETY: what is taken describes frames of our UMEM, for no other ring of ours is bound to this queue.
        unsafe { self.rx.consume(out) }
    }

    unsafe fn produce(&mut self, frames: &[FrameDesc]) -> usize {
        // SAFETY: the caller says that nobody holds them any more; they come from this UMEM.
        unsafe { self.fill.produce(frames) }
    }

    unsafe fn segment(&self, frame: &FrameDesc) -> Segment<'_> {
        // SAFETY: the caller holds the frame, so the kernel does not write to it while the borrow lasts.
        let data = unsafe { self.umem.data(frame) };
        Segment {
            bytes: data.contents(),
            continues: frame.has_more_frames(),
        }
    }
}

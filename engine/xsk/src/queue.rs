//! One receive queue of an interface: its socket, its memory and its rings, set up and read.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use xsk_rs::config::BindFlags;

use crate::error::XskError;
use crate::interface::Interface;
use crate::kernel::{Kernel, Memory};
use crate::pool::{self, Account, Pool};
use crate::sys;

/// Fewest frames of a queue: a burst of one batch must fit.
pub const RING_FRAMES_MIN: u32 = 64;
/// Most frames of a queue: 512 MiB of the larger frames.
pub const RING_FRAMES_MAX: u32 = 131_072;

/// Octets that the kernel keeps free in a frame before a packet (XDP_PACKET_HEADROOM).
pub const HEADROOM_BYTES: u32 = 256;
/// What an Ethernet frame has beside its packet: two addresses, a type, and up to four VLAN tags.
const LINK_BYTES: u32 = 14 + 4 * 4;
/// The largest MTU whose packets fit into one frame.
pub const MTU_MAX_OF_A_FRAME: u32 = 4096 - HEADROOM_BYTES - LINK_BYTES;
/// Frames may be half a page or a page.
const FRAME_BYTES: [u32; 2] = [2048, 4096];
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// As Documentation/networking/af_xdp.rst advises.
const BUSY_POLL_US: u32 = 20;
const BUSY_POLL_BUDGET: u32 = 64;

/// Whether the NIC writes into our memory itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// If the driver can; else the kernel copies.
    #[default]
    Auto,
    /// It must.
    Require,
    /// The kernel copies.
    Off,
}

/// What makes the driver work on the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wakeup {
    /// Interrupts; who reads sleeps when nothing comes.
    #[default]
    Poll,
    /// Who reads asks again and again (preferred busy polling): a core for a few microseconds less.
    Busy,
}

/// How a queue is set up.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Frames that can wait for us: a power of two from [`RING_FRAMES_MIN`] to [`RING_FRAMES_MAX`].
    pub ring_frames: u32,
    /// Octets of a frame, 2048 or 4096; `None`: what fits the interface's MTU.
    pub frame_bytes: Option<u32>,
    /// Zero-copy.
    pub zero_copy: ZeroCopy,
    /// Wakeup.
    pub wakeup: Wakeup,
}

/// What a queue got, read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The NIC writes into our memory itself; else the kernel copies.
    pub zero_copy: bool,
    /// The memory is in huge pages.
    pub huge_pages: bool,
    /// Preferred busy polling. Only if it was asked for.
    pub busy_poll: bool,
    /// Packets longer than a frame come in several.
    pub several_frames: bool,
    /// The interface takes longer packets than fit a frame, and the kernel drops them.
    pub is_cut: bool,
    /// Frames.
    pub ring_frames: u32,
    /// Octets of each, with what the kernel keeps free before a packet.
    pub frame_bytes: u32,
}

/// What a queue's socket counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets that came to us whole.
    pub received: u64,
    /// Packets lost because no free one was in the fill ring, or for another reason before the rx ring.
    pub dropped: u64,
    /// Packets lost because the rx ring was full.
    pub ring_full: u64,
    /// Packets lost because they were longer than an IP packet can be.
    pub oversize: u64,
    /// How often the fill ring was found empty; packets that were lost by that are counted above or, with
    /// zero-copy, by the NIC.
    pub fill_empty: u64,
}

impl Statistics {
    /// Frames lost between the XDP program and us.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.dropped + self.ring_full + self.oversize
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("received", self.received),
            ("dropped", self.dropped),
            ("ring_full", self.ring_full),
            ("oversize", self.oversize),
            ("fill_empty", self.fill_empty),
        ]
        .into_iter()
    }

    /// Adds another queue's counts.
    pub const fn add(&mut self, other: Self) {
        self.received += other.received;
        self.dropped += other.dropped;
        self.ring_full += other.ring_full;
        self.oversize += other.oversize;
        self.fill_empty += other.fill_empty;
    }
}

/// The socket of one receive queue. Closing it is dropping it.
#[derive(Debug)]
pub struct Queue {
    pool: Pool<Kernel>,
    interface: String,
    number: u32,
    in_force: InForce,
    is_kicked: bool,
}

/// Packets that came over a queue, readable in place; their frames go back to the kernel when this is dropped.
#[derive(Debug)]
pub struct Batch<'q>(pool::Batch<'q, Kernel>);

impl Batch<'_> {
    /// How many frames it holds; a packet longer than a frame takes several.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing had come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// The packets, as they came from the wire.
    #[inline]
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.0.packets()
    }
}

impl Queue {
    /// Opens a queue. The kernel has its free frames when this returns: an XDP program may send frames here at once. A
    /// queue that is taken, as one is for a while that was closed a moment ago, is tried again for as long as `patience` goes.
    ///
    /// # Errors
    /// If the queue does not exist, is taken, or does not do what is required, and if memory is short.
    pub fn open(
        interface: &Interface,
        number: u32,
        options: &QueueOptions,
        patience: Duration,
    ) -> Result<Self, XskError> {
        let name = interface.name();
        let frame_bytes = match options.frame_bytes {
            Some(frame_bytes) => frame_bytes,
            None => fitting(interface.mtu()?),
        };
        let longest = interface.mtu()? + LINK_BYTES;
        let mut several_frames = longest > frame_bytes - HEADROOM_BYTES;
        let memory =
            Memory::new(options.ring_frames, frame_bytes).map_err(|source| match source.raw_os_error() {
                Some(libc::ENOBUFS | libc::ENOMEM) => XskError::Memory {
                    interface: name.to_owned(),
                    queue: number,
                    mib: (u64::from(options.ring_frames) * u64::from(frame_bytes)).div_ceil(1 << 20),
                    source,
                },
                Some(libc::EPERM | libc::EACCES) => XskError::NotPermitted {
                    interface: name.to_owned(),
                    operation: "open an AF_XDP socket",
                },
                Some(libc::EAFNOSUPPORT | libc::ESOCKTNOSUPPORT) => XskError::NoAfXdp {
                    interface: name.to_owned(),
                    source,
                },
                _ => queue_error(name, number, "set up its memory", source),
            })?;
        let mut flags = BindFlags::XDP_USE_NEED_WAKEUP;
        match options.zero_copy {
            ZeroCopy::Auto => {}
            ZeroCopy::Require => flags |= BindFlags::XDP_ZEROCOPY,
            ZeroCopy::Off => flags |= BindFlags::XDP_COPY,
        }
        if several_frames {
            flags |= BindFlags::XDP_USE_SG;
        }
        let bound = match bind(&memory, name, number, options, flags, patience) {
            // Linux before 6.6 knows nothing of packets in several frames, nor do some drivers with zero-copy.
            Err(XskError::NoQueue { .. } | XskError::NoZeroCopy { .. }) if several_frames => {
                several_frames = false;
                bind(
                    &memory,
                    name,
                    number,
                    options,
                    flags - BindFlags::XDP_USE_SG,
                    patience,
                )
            }
            bound => bound,
        };
        let (kernel, frames) = bound?;
        let failed = |operation| move |source| queue_error(name, number, operation, source);
        let zero_copy = sys::is_zero_copy(kernel.raw_fd()).map_err(failed("ask for its mode"))?;
        if options.wakeup == Wakeup::Busy {
            sys::prefer_busy_poll(kernel.raw_fd(), BUSY_POLL_US, BUSY_POLL_BUDGET)
                .map_err(failed("set preferred busy polling (kernel 5.11 or newer)"))?;
        }
        let busy_poll = sys::is_busy_poll_preferred(kernel.raw_fd());
        let mut pool = Pool::new(kernel, frames);
        pool.refill();
        Ok(Self {
            pool,
            interface: name.to_owned(),
            number,
            in_force: InForce {
                zero_copy,
                huge_pages: memory.is_huge(),
                busy_poll,
                several_frames,
                is_cut: longest > frame_bytes - HEADROOM_BYTES && !several_frames,
                ring_frames: options.ring_frames,
                frame_bytes,
            },
            is_kicked: options.wakeup == Wakeup::Busy,
        })
    }

    /// The name of its interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What it got.
    #[must_use]
    pub const fn in_force(&self) -> InForce {
        self.in_force
    }

    /// Its socket, to wait for and to put into an XSKMAP.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pool.exchange().fd()
    }

    /// Takes what has come, at most 64 frames.
    #[inline]
    pub fn receive(&mut self) -> Batch<'_> {
        if self.is_kicked || self.pool.exchange().needs_wakeup() {
            sys::kick(self.pool.exchange().raw_fd());
        }
        Batch(self.pool.receive())
    }

    /// What its socket counted.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let kernel = self.pool.exchange().statistics()?;
        Ok(Statistics {
            received: self.pool.packets(),
            dropped: kernel.rx_dropped(),
            ring_full: kernel.rx_ring_full(),
            oversize: self.pool.oversize(),
            fill_empty: kernel.rx_fill_ring_empty_descs(),
        })
    }

    /// Frames in its ring that have come and were not received yet.
    pub fn waiting(&mut self) -> u32 {
        self.pool.exchange_mut().waiting()
    }

    /// Where its frames are.
    #[must_use]
    pub fn account(&self) -> Account {
        self.pool.account()
    }
}

/// Octets of a frame that fits an interface's packets, unless they are longer than any frame.
#[must_use]
pub fn frame_bytes_for(mtu: u32) -> u32 {
    fitting(mtu)
}

/// The smaller frame, if an interface's packets fit.
fn fitting(mtu: u32) -> u32 {
    let [small, large] = FRAME_BYTES;
    if mtu + LINK_BYTES <= small - HEADROOM_BYTES {
        small
    } else {
        large
    }
}

fn bind(
    memory: &Memory,
    interface: &str,
    queue: u32,
    options: &QueueOptions,
    flags: BindFlags,
    patience: Duration,
) -> Result<(Kernel, Vec<xsk_rs::FrameDesc>), XskError> {
    let began = Instant::now();
    loop {
        // Every frame fits into the rx ring, so none is ever lost for want of room there.
        let source = match memory.bind(interface, queue, options.ring_frames, flags) {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        let interface = interface.to_owned();
        return Err(match source.raw_os_error() {
            Some(libc::EBUSY) if began.elapsed() < patience => {
                thread::sleep(BUSY_PAUSE);
                continue;
            }
            Some(libc::EBUSY) => XskError::QueueBusy { interface, queue },
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOTSUP)
                if options.zero_copy == ZeroCopy::Require =>
            {
                XskError::NoZeroCopy {
                    interface,
                    queue,
                    source,
                }
            }
            Some(libc::EINVAL) => XskError::NoQueue { interface, queue },
            Some(libc::EPERM | libc::EACCES) => XskError::NotPermitted {
                interface,
                operation: "bind an AF_XDP socket",
            },
            Some(libc::ENODEV) => XskError::NoInterface { interface },
            _ => queue_error(&interface, queue, "bind a socket to it", source),
        });
    }
}

fn queue_error(interface: &str, queue: u32, operation: &'static str, source: io::Error) -> XskError {
    XskError::Queue {
        interface: interface.to_owned(),
        queue,
        operation,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a frame that is too small for the longest packet although a larger one is to be had.
    #[test]
    fn frames_fit_the_mtu() {
        assert_eq!(fitting(1500), 2048);
        assert_eq!(fitting(1762), 2048);
        assert_eq!(fitting(1763), 4096);
        assert_eq!(fitting(9000), 4096);
        assert_eq!(MTU_MAX_OF_A_FRAME, 3810);
    }
}

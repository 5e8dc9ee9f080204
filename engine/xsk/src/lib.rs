//! Frames straight from a network interface's queues: AF_XDP sockets, their rings and their memory.
//!
//! Owns what one queue needs ([`Queue`]: a UMEM, a fill ring, an rx ring) and what has to be known and done about
//! an [`Interface`] as a whole: its index, its MTU, its number of queues, promiscuous mode, offloads and ring sizes. It knows nothing of what is
//! in a frame. Which frames come here at all is decided by an XDP program, which is another crate's.
//!
//! All `unsafe` of the packet path stands here: in `kernel` (rings and UMEM, by `xsk-rs`), in `pool`, which upholds what `kernel`
//! asks for (a frame is held by the kernel or by us, never by both), and in `sys`, `bridge` and `attachment` (system calls that
//! no kept crate offers).

#[expect(unsafe_code, reason = "system calls that no kept crate offers")]
mod attachment;
#[expect(unsafe_code, reason = "system calls that no kept crate offers")]
mod bridge;
mod error;
mod ethtool;
mod interface;
#[expect(unsafe_code, reason = "rings and UMEM are shared with the kernel")]
mod kernel;
#[expect(unsafe_code, reason = "keeps the rings' contract: each frame has one holder")]
mod pool;
mod queue;
#[expect(unsafe_code, reason = "system calls that no kept crate offers")]
mod sys;

pub use attachment::{detach_link, frames_have_landed, link_descriptor, replace_program};
pub use bridge::{BRIDGE_FRAME_BYTES_MAX, Bridge};
pub use error::XskError;
pub use ethtool::{Feature, Rings, Spread};
pub use interface::{Interface, Link, Promiscuous};
pub use pool::Account;
pub use queue::{
    Batch, HEADROOM_BYTES, InForce, MTU_MAX_OF_A_FRAME, Queue, QueueOptions, RING_FRAMES_MAX,
    RING_FRAMES_MIN, Statistics, Wakeup, ZeroCopy, frame_bytes_for,
};
pub use sys::{Ready, clock_is_kept, network_namespace, raise_memlock, wait};

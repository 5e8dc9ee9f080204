//! The XDP program: frames that may carry SIP go to the `AF_XDP` socket of the queue that they came in on, all
//! others on to the kernel, or away on an interface that is there for the mirror alone.
//!
//! What is taken is decided by `ringtap-classify`, as on the host; how the frame is read is in [`kernel`]. This file
//! owns the tables that the host fills and reads (`xdp-prog/host`), and says what becomes of a frame.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![deny(unsafe_code)]
#![warn(unreachable_pub, rust_2018_idioms)]

#[allow(
    unsafe_code,
    reason = "the packet and the tables are memory of the kernel's; its verifier checks each access"
)]
mod kernel;

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, PerCpuArray, XskMap};
use aya_ebpf::programs::XdpContext;
use kernel::{Head, Packet};
use ringtap_classify::{Action, Judgement, PortSet, Reason, Take, judge};

/// The socket of each queue. The host sets how many queues there are.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);

/// The set of SIP ports, as [`PortSet::words`] has it.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(PortSet::WORDS as u32, 0);

/// Frames by [`Reason`].
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);

/// Frames by [`Action`].
#[map]
static ACTIONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Action::COUNT as u32, 0);

/// Where the beginning of the frame in hand is kept.
#[map]
static HEADS: PerCpuArray<Head> = PerCpuArray::with_max_entries(1, 0);

/// The bits of what is taken, set when the program is loaded.
#[allow(unsafe_code, reason = "the host finds it by its name")]
#[unsafe(no_mangle)]
static TAKE: Global<u32> = Global::new(0);

/// Not 0 if the interface carries nothing but the mirror, set when the program is loaded.
#[allow(unsafe_code, reason = "the host finds it by its name")]
#[unsafe(no_mangle)]
static DEDICATED: Global<u8> = Global::new(0);

/// Runs for each frame. With `frags`, interfaces with jumbo frames, which come in several buffers, take it too.
#[xdp(frags)]
fn ringtap(context: XdpContext) -> u32 {
    let Some(packet) = Packet::new(&context, &HEADS) else {
        // A table of one entry has that entry. The verifier does not know.
        return XDP_PASS;
    };
    let Judgement { reason, takes } = judge(&packet, is_sip, Take::from_bits(TAKE.load()));
    let (action, verdict) = if takes {
        // Without a socket there, the verdict is the one given here.
        match SOCKETS.redirect(context.rx_queue_index(), u64::from(XDP_PASS)) {
            Ok(redirect) => (Action::Taken, redirect),
            Err(_) => (Action::NoSocket, XDP_PASS),
        }
    } else if DEDICATED.load() != 0 {
        (Action::Dropped, XDP_DROP)
    } else {
        (Action::Passed, XDP_PASS)
    };
    kernel::count(&REASONS, reason.index());
    kernel::count(&ACTIONS, action.index());
    verdict
}

#[inline(always)]
fn is_sip(port: u16) -> bool {
    let (word, bit) = PortSet::place(port);
    PORTS.get(word as u32).is_some_and(|word| word & bit != 0)
}

/// Nothing here panics, and the linker would say so: the verifier takes no endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel asks every program. No helper that wants the GPL is used.
#[allow(unsafe_code, reason = "the kernel finds it by its section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 18] = *b"MIT OR Apache-2.0\0";

//! The XDP program.
#![no_std]
#![no_main]
mod packet;
use aya_ebpf::{
    Global,
    bindings::xdp_action,
    macros::{map, xdp},
    maps::{Array, PerCpuArray, XskMap},
    programs::XdpContext,
};
use ringtap_classify::{Action, Reason, Take, judge};
use packet::Packet;

#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);
#[map]
static PORTS: Array<u64> = Array::with_max_entries(1024, 0);
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);
#[map]
static ACTIONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Action::COUNT as u32, 0);
#[unsafe(no_mangle)]
static TAKE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static DEDICATED: Global<u8> = Global::new(0);

#[xdp(frags)]
pub fn ringtap(context: XdpContext) -> u32 {
    let judgement = judge(&Packet::new(&context), is_sip, Take::from_bits(TAKE.load()));
    let (action, verdict) = if judgement.takes {
        match SOCKETS.redirect(context.rx_queue_index(), u64::from(xdp_action::XDP_PASS)) {
            Ok(v) => (Action::Taken, v),
            Err(_) => (Action::NoSocket, xdp_action::XDP_PASS),
        }
    } else if DEDICATED.load() != 0 {
        (Action::Dropped, xdp_action::XDP_DROP)
    } else {
        (Action::Passed, xdp_action::XDP_PASS)
    };
    count(&REASONS, judgement.reason.index());
    count(&ACTIONS, action.index());
    verdict
}

#[inline(always)]
fn is_sip(port: u16) -> bool {
    PORTS.get(u32::from(port >> 6)).is_some_and(|word| (word >> (port & 63)) & 1 != 0)
}

#[inline(always)]
fn count(counters: &PerCpuArray<u64>, index: usize) {
    if let Some(c) = counters.get_ptr_mut(index as u32) {
        unsafe { *c += 1 };
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

//! A frame as the kernel lends it: reads between the pointers `data` and `data_end`.

use aya_ebpf::programs::XdpContext;
use ringtap_classify::Octets;

pub(crate) struct Packet<'a> {
    context: &'a XdpContext,
}

impl<'a> Packet<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &'a XdpContext) -> Self { Self { context } }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > 0x7fff { return None; }
        let start = self.context.data() + at;
        let mut end = start;
        // An end that LLVM sees through becomes `start >= data_end` for one octet, from which the verifier learns nothing.
        unsafe { core::arch::asm!("{end} += {width}", end = inout(reg) end, width = const N, options(pure, nomem, nostack)) };
        if end > self.context.data_end() {
            return None;
        }
        Some(unsafe { core::ptr::read_unaligned(start as *const [u8; N]) })
    }
}

impl Octets for Packet<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        unsafe { aya_ebpf::helpers::generated::bpf_xdp_get_buff_len(self.context.ctx) as usize }
    }
    #[inline(always)]
    fn u8_at(&self, at: usize) -> Option<u8> { self.read::<1>(at).map(|[octet]| octet) }
    #[inline(always)]
    fn be16_at(&self, at: usize) -> Option<u16> { self.read(at).map(u16::from_be_bytes) }
    #[inline(always)]
    fn be32_at(&self, at: usize) -> Option<u32> { self.read(at).map(u32::from_be_bytes) }
}

//! A frame as the kernel lends it.
use aya_ebpf::helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use ringtap_classify::Octets;
use core::mem::MaybeUninit;

pub(crate) struct Packet<'a> {
    context: &'a XdpContext,
}

impl<'a> Packet<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &'a XdpContext) -> Self { Self { context } }
}

impl Octets for Packet<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        unsafe { bpf_xdp_get_buff_len(self.context.ctx) as usize }
    }
    #[inline(always)]
    fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut octets = MaybeUninit::<[u8; N]>::uninit();
        let status = unsafe { bpf_xdp_load_bytes(self.context.ctx, at as u32, octets.as_mut_ptr().cast(), N as u32) };
        (status == 0).then(|| unsafe { octets.assume_init() })
    }
}

//! What the kernel lends the program: the frame, and entries of its tables. All `unsafe` of the program is here.
//!
//! The program is to be loaded with CAP_BPF and CAP_NET_ADMIN only. Without CAP_PERFMON the kernel's verifier
//! refuses packet pointers with an offset that is computed, and differences of pointers. An entry of a table may
//! be read at a computed offset. So the beginning of the frame is copied into a table, by reads at offsets that stand in the
//! code, and what the walk reads behind that comes through a helper. The helper costs some 20 ns a call; it also
//! reads frames that lie in several buffers.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::XdpContext;
use ringtap_classify::Octets;

/// Octets of a frame that are copied: enough for all VLAN tags, IPv6, some extension headers and ports. A power
/// of 2: positions are masked with it.
const HEAD_BYTES: usize = 128;
/// Longest piece that is read at once.
const CHUNK_BYTES_MAX: usize = 64;
/// Octets that are copied at once.
const BLOCK_BYTES: usize = 16;
/// All positions that the walk can come to, and ends of packets, are less.
const POSITION_MASK: usize = 0x1_ffff;

/// Most numbers that are forgotten at once.
const KEPT_MAX: usize = 4;

const _: () = assert!(HEAD_BYTES.is_power_of_two());

/// The beginning of a frame. Only this program uses it.
#[repr(C)]
pub(crate) struct Head {
    /// What is copied, and room behind it: a piece that begins within the first part ends within the whole.
    octets: [u8; HEAD_BYTES + CHUNK_BYTES_MAX],
    /// How many octets are copied.
    len: usize,
    /// Always 0, which nobody knows who sees the program only.
    zero: usize,
    /// What is to be forgotten, while it is.
    kept: [usize; KEPT_MAX],
}

/// The frame in hand.
pub(crate) struct Packet {
    context: *mut xdp_md,
    head: *mut Head,
    head_len: usize,
    zero: usize,
}

impl Packet {
    /// Copies the beginning of the frame into the entry of `heads`. No other program runs on this CPU meanwhile.
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext, heads: &PerCpuArray<Head>) -> Option<Self> {
        let head = heads.get_ptr_mut(0)?;
        let copied = copy_head(context.data(), context.data_end(), head);
        // SAFETY: the entry is there as long as the program runs, and this CPU's alone.
        let len = unsafe { &raw mut (*head).len };
        // SAFETY: as above. Written and read again, so that neither compiler nor verifier follows one way
        // through the walk for each length.
        unsafe { len.write_volatile(copied) };
        Some(Self::read(context.ctx, head))
    }

    /// The frame whose beginning has been copied. Of its length and of `zero` nobody knows anything who sees the program only.
    #[inline(always)]
    fn read(context: *mut xdp_md, head: *mut Head) -> Self {
        // SAFETY: the entry is there as long as the program runs, and this CPU's alone.
        let len = unsafe { &raw const (*head).len };
        // SAFETY: as above.
        let head_len = unsafe { len.read_volatile() };
        // SAFETY: as above.
        let zero = unsafe { &raw const (*head).zero };
        // SAFETY: as above.
        let zero = unsafe { zero.read_volatile() };
        Self {
            context,
            head,
            head_len,
            zero,
        }
    }
}

/// Copies whole blocks as long as there are any; tells how many octets that were.
#[inline(always)]
fn copy_head(data: usize, data_end: usize, head: *mut Head) -> usize {
    /// In a loop the offsets would be computed.
    macro_rules! blocks {
        ($($at:literal)*) => {
            $(if !copy_block::<$at>(data, data_end, head) {
                return $at;
            })*
        };
    }
    blocks!(0 16 32 48 64 80 96 112);
    const { assert!(112 + BLOCK_BYTES == HEAD_BYTES) };
    HEAD_BYTES
}

/// Copies one block, if it is there.
#[inline(always)]
fn copy_block<const AT: usize>(data: usize, data_end: usize, head: *mut Head) -> bool {
    if data + (AT + BLOCK_BYTES) > data_end {
        return false;
    }
    // In Rust, a load that may be unaligned becomes one load for each octet.
    // SAFETY: the block ends before `data_end`, and AT is less than HEAD_BYTES, which `octets` are long at least.
    unsafe {
        asm!(
            "{word} = *(u64 *)({data} + {first})",
            "*(u64 *)({head} + {first}) = {word}",
            "{word} = *(u64 *)({data} + {second})",
            "*(u64 *)({head} + {second}) = {word}",
            word = out(reg) _,
            data = in(reg) data,
            head = in(reg) head,
            first = const AT,
            second = const AT + BLOCK_BYTES / 2,
            options(nostack),
        );
    }
    true
}

impl Octets for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        let len: usize;
        // The library's binding would call the kernel for lengths that nobody looks at in the end: this can be left out.
        // SAFETY: helper 188, `bpf_xdp_get_buff_len`, takes the context and changes nothing but the registers named.
        unsafe {
            asm!(
                "call 188",
                in("r1") self.context,
                lateout("r0") len,
                lateout("r1") _,
                lateout("r2") _,
                lateout("r3") _,
                lateout("r4") _,
                lateout("r5") _,
                options(pure, nomem, nostack),
            );
        }
        len
    }

    #[inline(always)]
    fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        const { assert!(N <= CHUNK_BYTES_MAX) };
        if at + N <= self.head_len {
            // The mask changes nothing, but the verifier does not know that the length is HEAD_BYTES at most. Nor must it
            // know the position on one way and not on another: without CAP_PERFMON it refuses that.
            let at = (at + self.zero) & (HEAD_BYTES - 1);
            // SAFETY: `octets` begin where `head` does, and are longer than the mask and N together.
            let chunk = unsafe { self.head.byte_add(at) }.cast::<[u8; N]>();
            // SAFETY: as above; octets have no alignment.
            return Some(unsafe { chunk.read() });
        }
        let mut octets = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes N octets or says that it did not.
        let status =
            unsafe { bpf_xdp_load_bytes(self.context, at as u32, octets.as_mut_ptr().cast(), N as u32) };
        // SAFETY: it did.
        (status == 0).then(|| unsafe { octets.assume_init() })
    }

    #[inline(always)]
    fn afresh<const N: usize, T>(&self, known: [usize; N], then: impl FnOnce(&Self, [usize; N]) -> T) -> T {
        const { assert!(N <= KEPT_MAX) };
        // SAFETY: the entry is there as long as the program runs, and this CPU's alone.
        let kept = unsafe { &raw mut (*self.head).kept }.cast::<[usize; N]>();
        // SAFETY: N numbers have room in `kept`, and are aligned like those in there.
        unsafe { kept.write_volatile(known) };
        // SAFETY: as above.
        let known = unsafe { kept.read_volatile() };
        then(&Self::read(self.context, self.head), known)
    }

    #[inline(always)]
    fn position(&self, position: usize) -> usize {
        (position + self.zero) & POSITION_MASK
    }
}

/// Counts one frame. Counters are this CPU's alone, and the program is not interrupted by itself.
#[inline(always)]
pub(crate) fn count(counters: &PerCpuArray<u64>, index: usize) {
    if let Some(counter) = counters.get_ptr_mut(index as u32) {
        // SAFETY: the entry is there as long as the program runs, and this CPU's alone.
        unsafe { *counter += 1 };
    }
}

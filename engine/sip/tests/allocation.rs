//! Parsing a message and asking it for everything allocates nothing (design.md decision 2).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test's helper a panic is a failed test"
)]

mod everything;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use ringtap_sip::parse;

thread_local! {
    /// Allocations of this thread: other threads of the harness allocate as they like.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[allow(
    unsafe_code,
    reason = "the trait is unsafe; this is a test of its own, and the crate itself forbids unsafe code"
)]
// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller upholds what `GlobalAlloc::alloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds what `GlobalAlloc::dealloc` asks of it; the memory came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// Good messages and bad ones: faults must cost no allocation either.
const FRAMES: [&str; 6] = [
    "INVITE sip:+8613800001001@ims.test;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1, \
     SIP / 2.0 / UDP h;branch=z9hG4bK0\r\nFrom: \"Zhang, San\" <sip:+8613912345678@ims.test>;tag=f1\r\n\
     To: <tel:+8613800001001>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <tel:+861>, \"x\" <sip:y@z>\r\n\
     Subject: folded\r\n here\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\nc: application/sdp\r\n\r\n\
     v=0\r\nm=audio 9 RTP/AVP 0\r\n--b--\r\n",
    "SIP/2.0 487 Request Terminated\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\n\
     i: c1\r\nCSeq: 1 INVITE\r\nReason: SIP;cause=200;text=\"elsewhere\",Q.850;cause=26\r\nl: 0\r\n\r\n",
    "INVITE sip:a@b SIP/2.0\r\nCall-ID: c1\r\nCall-ID: c2\r\n\r\n",
    "INVITE sip:a@b SIP/2.0\r\nFrom: \"x <sip:a@b>;ta",
    "\r\n\r\n",
    "not SIP at all\r\n",
];

/// Catches an allocation anywhere in the parser or its accessors, and a counter that counts nothing.
#[test]
fn none_at_all() {
    assert!(
        allocations(|| drop(black_box(vec![0u8; 64]))) > 0,
        "the counter counts"
    );
    let mut octets = 0;
    let counted = allocations(|| {
        for frame in FRAMES {
            if let Ok(message) = parse(black_box(frame.as_bytes())) {
                everything::slices(&message, &mut |slice| octets += slice.len());
            }
        }
    });
    assert_eq!(counted, 0);
    assert!(octets > 1000, "the messages were read");
}

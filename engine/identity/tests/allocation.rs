//! Identifying a plain number costs no heap allocation: it happens for every leg.
#![allow(unsafe_code, reason = "a counting allocator has to implement GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringtap_identity::{Numbering, Plan, Segment};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; counting touches only a thread-local
// cell that needs neither allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System.alloc` with this `layout`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl Fn()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// Catches a `String`, a set of regex matches or a spilled identity on the way of a number that no
/// rule concerns.
#[test]
fn plain_numbers_cost_no_allocation() {
    let numbering: Numbering = toml::from_str(
        r#"
        country = "86"
        area = "25"
        [[rule]]
        name = "ext4"
        match = '^(1\d{3})$'
        to = "+86258309$1"
        "#,
    )
    .unwrap();
    let plan = Plan::new(&numbering, &["ims.office.test".to_owned()], false).unwrap();
    let uris = [
        "tel:+8613912345678",
        "tel:+86-25-8309-1001;npdi",
        "tel:025-83091001;phone-context=+86",
        "sip:+862583091001@ims.office.test;user=phone",
        "sip:83091001@ims.office.test",
        "tel:+12345678901234567890123",
        "tel:95598",
    ];
    let identify_all = || {
        for uri in uris {
            assert!(plan.identify(uri.as_bytes(), Segment::Gi).is_some(), "{uri}");
        }
    };
    // The regex engine fills its caches once per thread.
    identify_all();
    assert_eq!(allocations(identify_all), 0);
    let by_rule = allocations(|| assert!(plan.identify(b"tel:1001", Segment::Mo).is_some()));
    assert!(by_rule > 0, "the allocator does not count");
}

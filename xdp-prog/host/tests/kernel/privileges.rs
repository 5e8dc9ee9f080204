//! What the program may be loaded with, and what is said where that is missing.

use std::thread;

use ringtap_xdp::{Mode, XdpError};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::setting::{Network, load, settings, try_load};

/// Leaves this thread nothing but `capabilities`.
fn keep_only(capabilities: CapabilitySet) {
    let sets = CapabilitySets {
        effective: capabilities,
        permitted: capabilities,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).unwrap();
}

/// Catches a program that the verifier accepts for root only: without CAP_PERFMON it takes no computed pointers.
#[test]
fn two_capabilities_are_enough() {
    if load(&settings()).is_none() {
        return;
    }
    let Some(_network) = Network::enter("enough") else {
        return;
    };
    // Capabilities are a thread's own, and a new one is in the namespace of the one that made it.
    let with_two = thread::spawn(|| {
        keep_only(CapabilitySet::BPF | CapabilitySet::NET_ADMIN);
        let mut program = try_load(&settings()).unwrap();
        program.attach("left", Mode::Native).unwrap();
        program.test_run(&[0; 64], 1).unwrap();
        program.counters().unwrap().frames()
    });
    assert_eq!(with_two.join().unwrap(), 1);
}

/// Catches a missing privilege that is told as something else.
#[test]
fn missing_capabilities_are_named() {
    if load(&settings()).is_none() {
        return;
    }
    for kept in [
        CapabilitySet::empty(),
        CapabilitySet::BPF,
        CapabilitySet::NET_ADMIN,
    ] {
        let error = thread::spawn(move || {
            keep_only(kept);
            try_load(&settings()).unwrap_err()
        });
        let error = error.join().unwrap();
        assert!(matches!(error, XdpError::NotPermitted(_)), "{kept:?}: {error:?}");
        let message = error.to_string();
        assert!(
            message.contains("CAP_BPF") && message.contains("CAP_NET_ADMIN"),
            "{message}"
        );
    }
}

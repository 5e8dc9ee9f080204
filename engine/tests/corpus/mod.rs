//! The scenarios of the corpus as one stretch of traffic.

use ringtap_testkit::{Wire, messages_salted, mutate};

/// All scenarios, each a few seconds after the one before.
pub(crate) fn wires() -> Vec<Wire> {
    let mut all = Vec::new();
    for (at, case) in ringtap_testkit::all()
        .iter()
        .flat_map(|row| row.cases())
        .enumerate()
    {
        let offset_us = i64::try_from(at).unwrap() * 3_700_000;
        all = mutate::interleaved(&all, &messages_salted(&case, at as u64), offset_us);
    }
    all
}

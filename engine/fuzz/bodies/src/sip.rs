//! The parser: whatever is asked of a message is answered from within its octets, and a cut message either is a fault
//! or says nothing else than the whole one.

use ringtap_sip::{is_sip_start, parse};

use crate::assert_within;

#[path = "../../../sip/tests/everything/mod.rs"]
mod everything;

/// Cuts of a message that are tried; all of them would cost more than they find.
const CUTS: usize = 5;

/// One datagram.
pub fn run(data: &[u8]) {
    let _ = is_sip_start(data);
    check(data);
    let whole = parse(data);
    for cut in 1..=CUTS {
        let Some(part) = data.get(..data.len() * cut / (CUTS + 1)) else {
            continue;
        };
        check(part);
        if let (Ok(whole), Ok(part)) = (&whole, parse(part)) {
            everything::agree(&part, whole);
        }
    }
}

fn check(data: &[u8]) {
    let Ok(message) = parse(data) else { return };
    everything::slices(&message, &mut |slice| assert_within(data, slice));
    assert!(!message.call_id().is_empty() && !message.top_via().sent_by.is_empty());
    assert!(
        message
            .status()
            .is_none_or(|status| (100..=699).contains(&status))
    );
    if let Some(value) = message.field(b"X-Anything") {
        assert_within(data, value);
    }
    assert_eq!(format!("{message:?}"), format!("{:?}", message.clone()));
}

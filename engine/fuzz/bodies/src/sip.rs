//! The parser: whatever is asked of a message is answered from within its octets, a cut message either is a fault
//! or says nothing else than the whole one, and the way in which usual messages are read finds what the general one finds.

use ringtap_sip::{Message, is_sip_start, parse};

use crate::assert_within;

#[path = "../../../sip/tests/everything/mod.rs"]
mod everything;

/// Cuts of a message that are tried; all of them would cost more than they find.
const CUTS: usize = 5;

/// One datagram.
pub fn run(data: &[u8]) {
    let _ = is_sip_start(data);
    check(data);
    in_both_ways(data);
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

/// A line end before a message means nothing (RFC 3261 §7.5), but is not usual: what follows it is read in the general way.
fn in_both_ways(data: &[u8]) {
    if !data.first().is_some_and(u8::is_ascii_uppercase) {
        return;
    }
    let behind_line_end = [b"\r\n", data].concat();
    match (parse(data), parse(&behind_line_end)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(said(&one), said(&other));
            everything::agree(&one, &other);
            assert!(one.headers().eq(other.headers()));
            assert_eq!(
                (one.content_length(), one.body_truncated(), one.truncated()),
                (other.content_length(), other.body_truncated(), other.truncated())
            );
        }
        (one, other) => assert_eq!(one.err(), other.err()),
    }
}

/// Every text that is read of a message.
fn said<'a>(message: &Message<'a>) -> Vec<&'a [u8]> {
    let mut texts = Vec::new();
    everything::slices(message, &mut |text| texts.push(text));
    texts
}

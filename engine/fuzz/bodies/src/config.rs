//! `ringtap.toml`: checked, or an error that names what is wrong; and what was checked can be worked with.

use ringtap_calls::Rules;
use ringtap_config::{PORTS_MAX, RING_FRAMES_MAX, RING_FRAMES_MIN, from_toml};
use ringtap_identity::Segment;

/// A configuration file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let config = match from_toml(text, "fuzz.toml") {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((1..=PORTS_MAX).contains(&config.capture.ports.as_slice().len()));
    assert!((RING_FRAMES_MIN..=RING_FRAMES_MAX).contains(&config.capture.ring_frames));
    let _ = config.records_answered_calls();
    let rules = Rules::new(&config);
    for uri in [
        "tel:1001",
        "tel:+862583091001",
        "sip:13912345678@ims.office.test;user=phone",
    ] {
        let _ = rules.plan.identify(uri.as_bytes(), Segment::Go);
    }
}

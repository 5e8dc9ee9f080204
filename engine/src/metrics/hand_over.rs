//! How a hand-over stands.

use std::fmt;

use super::told::{Telling, float, one, truth};
use crate::live::{HandOverLook, Phase};

pub(super) fn hand_over(to: &mut Telling<'_>, look: &HandOverLook) -> fmt::Result {
    to.gauges(
        "ringtap_hand_over_phase",
        "What the capture is doing about another process that hands over or takes over",
        ["phase"],
        Phase::ALL.map(|phase| ([phase.as_str()], truth(phase == look.phase))),
    )?;
    to.gauge(
        "ringtap_hand_over_left_seconds",
        "How long this process listens at least before it takes over",
        float(look.left_ms) / 1000.0,
    )?;
    to.counters(
        "ringtap_hand_over_frames",
        "Frames that came another way than from a queue of one's own, or left",
        ["way"],
        one([
            ("fed", look.fed),
            ("not_fed", look.not_fed),
            ("heard", look.heard),
            ("bridged", look.bridged),
            ("lost", look.lost),
        ]),
    )?;
    to.counter(
        "ringtap_hand_over_restarts",
        "How often this process began anew to listen, for frames came faster than it heard them",
        look.restarts,
    )
}

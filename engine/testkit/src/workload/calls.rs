//! The kinds of calls: what happens in each, how often it comes, and who must be told of it.
//!
//! Each recipe follows a row of the acceptance corpus (semantics.md §8.3) or of the decision table (§2.4), named
//! beside it. Who must be told is said from those rows alone.

mod direct;
mod diverted;
mod groups;
mod services;

use super::scene::Scene;

/// A kind of call.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Share of the mix, in thousandths or so.
    pub(super) weight: u32,
    pub(super) write: fn(&mut Scene<'_>),
    pub(super) nature: Nature,
}

/// How a kind may stand beside other calls of the same two people.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// One Call-ID from end to end: nothing else can be taken for a part of it.
    Plain,
    /// As plain; and whoever did not get through may call again, or a second person from the same number meanwhile.
    Redialled,
    /// Legs of several Call-IDs, which another call of the same two people at the same time might be taken for.
    Joined,
}

const fn plain(name: &'static str, weight: u32, write: fn(&mut Scene<'_>)) -> Kind {
    kind(name, weight, write, Nature::Plain)
}

const fn redialled(name: &'static str, weight: u32, write: fn(&mut Scene<'_>)) -> Kind {
    kind(name, weight, write, Nature::Redialled)
}

const fn joined(name: &'static str, weight: u32, write: fn(&mut Scene<'_>)) -> Kind {
    kind(name, weight, write, Nature::Joined)
}

const fn kind(name: &'static str, weight: u32, write: fn(&mut Scene<'_>), nature: Nature) -> Kind {
    Kind {
        name,
        weight,
        write,
        nature,
    }
}

/// Every kind.
pub(super) const KINDS: &[Kind] = &[
    plain("answered", 300, direct::answered),
    plain("answered-out", 130, direct::answered_outside),
    plain("answered-fork", 30, direct::fork_answered),
    plain("answered-crossing-cancel", 3, direct::answered_while_cancelled),
    plain("answered-desk", 15, direct::shared_desk_answered),
    plain("out-unanswered", 30, direct::unanswered_outside),
    redialled("abandoned", 110, direct::abandoned),
    redialled("abandoned-before-ring", 10, direct::abandoned_before_ring),
    plain("abandoned-early-bye", 3, direct::early_bye),
    redialled("busy", 40, direct::busy),
    plain("declined", 20, direct::declined),
    plain("do-not-disturb", 12, direct::do_not_disturb),
    redialled("no-answer-as-timer", 20, direct::as_timer),
    plain("no-answer-pstn-timer", 5, direct::pstn_timer),
    plain("unreachable-unregistered", 10, direct::unregistered),
    plain("unreachable-phone", 5, direct::phone_gone),
    plain("unreachable-dead", 5, direct::phone_dead),
    plain("network-failure", 5, direct::network_failure),
    plain("wrong-number", 8, direct::wrong_number),
    plain("barred", 3, direct::barred),
    plain("incompatible", 2, direct::incompatible),
    plain("challenge-given-up", 5, direct::challenge_given_up),
    plain("overlap-dialling", 2, direct::overlap),
    plain("chat", 3, direct::chat),
    plain("emergency", 1, direct::emergency),
    plain("fork-unanswered", 15, direct::fork_unanswered),
    plain("fork-declined", 7, direct::fork_declined),
    plain("fork-one-off", 5, direct::fork_one_off),
    plain("fail-over", 2, direct::fail_over),
    plain("desk-unanswered", 15, direct::shared_desk_unanswered),
    joined("b2bua-icid-answered", 30, direct::b2bua_answered),
    joined("b2bua-icid-unanswered", 15, direct::b2bua_unanswered),
    joined("b2bua-bare-answered", 15, direct::bare_b2bua_answered),
    joined("b2bua-bare-unanswered", 8, direct::bare_b2bua_unanswered),
    joined("voicemail-no-answer", 30, diverted::voicemail_no_answer),
    joined("voicemail-busy", 10, diverted::voicemail_busy),
    joined("voicemail-always", 5, diverted::voicemail_always),
    joined("answered-unseen", 3, diverted::unseen),
    joined("cfu-answered", 8, diverted::unconditional_answered),
    joined("cfu-unanswered", 5, diverted::unconditional_unanswered),
    joined("cfnr-answered", 10, diverted::no_reply_answered),
    joined("cfnr-unanswered", 7, diverted::no_reply_unanswered),
    joined("cfb-answered", 5, diverted::busy_answered),
    joined("cfb-unanswered", 4, diverted::busy_unanswered),
    joined("deflected-answered", 5, diverted::deflected_answered),
    joined("deflected-unanswered", 4, diverted::deflected_unanswered),
    joined("forwarded-outside-answered", 6, diverted::outside_answered),
    joined("forwarded-outside-unanswered", 6, diverted::outside_unanswered),
    joined(
        "desk-then-mobile-answered",
        10,
        diverted::mobile_after_desk_answered,
    ),
    joined(
        "desk-then-mobile-unanswered",
        8,
        diverted::mobile_after_desk_unanswered,
    ),
    joined(
        "desk-and-mobile-answered",
        8,
        diverted::mobile_beside_desk_answered,
    ),
    joined(
        "desk-and-mobile-unanswered",
        8,
        diverted::mobile_beside_desk_unanswered,
    ),
    joined("group-parallel-answered", 20, groups::parallel_answered),
    joined("group-parallel-unanswered", 15, groups::parallel_unanswered),
    joined("group-sequential-answered", 15, groups::sequential_answered),
    joined("group-sequential-unanswered", 10, groups::sequential_unanswered),
    joined("pickup-replaces", 8, services::pickup_by_replaces),
    joined("pickup-code", 3, services::pickup_by_code),
    joined("click-to-dial-unanswered", 4, services::click_to_dial_unanswered),
    joined(
        "click-to-dial-callee-unanswered",
        3,
        services::click_to_dial_callee_unanswered,
    ),
    joined("click-to-dial-answered", 4, services::click_to_dial_answered),
    joined("conference-unanswered", 3, services::conference_unanswered),
    joined("conference-answered", 3, services::conference_answered),
    joined("transfer-answered", 5, services::transfer_answered),
    joined("transfer-unanswered", 4, services::transfer_unanswered),
    joined("transfer-attended", 3, services::transfer_attended),
];

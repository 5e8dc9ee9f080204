//! Sequences that the acceptance corpus does not have, each of which once gave a wrong verdict or could:
//! fail-over, forks without roles, early dialogs, oversized forks, lone finals, late CANCELs.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod story;

use ringtap_config::Config;
use ringtap_record::{Flag, Outcome};

use story::{CORE, Hop, MGCF, PCSCF, PHONE, PHONE_2, Story, U1, branch, fixtures_config, gi, hop, text};

/// The fixtures' numbering, but nobody knows who is who.
fn no_roles() -> Config {
    let mut config = fixtures_config();
    config.network = ringtap_config::Network::default();
    config
}

/// The fixtures without their P-CSCF.
fn no_pcscf() -> Config {
    let mut config = fixtures_config();
    config.network.pcscf.clear();
    config
}

/// RFC 3263 fail-over: catches a first try's 503 or 408 that closes the call while the second try rings.
#[test]
fn a_second_try_of_the_callers_side_counts() {
    for status in ["503#x", "408#x"] {
        for config in [fixtures_config(), no_roles()] {
            let mut story = Story::new(&config);
            let (first, second) = (gi("try1"), gi("try2"));
            story.see(0, &first, "INVITE");
            story.see(200, &first, status);
            story.see(203, &first, "ACK#x");
            story.see(400, &second, "INVITE");
            story.see(900, &second, "180#t");
            story.see(12_000, &second, "200#t");
            assert_eq!(story.outcome(), Outcome::Answered, "{status}");
        }
    }
}

/// Catches one fork's 480 that closes the call while the other rings, where no role or no root is visible.
#[test]
fn a_fork_whose_root_is_not_visible() {
    for config in [no_roles(), fixtures_config()] {
        let mut story = Story::new(&config);
        let ((mt1, gt1), (mt2, gt2)) = (branch("1", PHONE, "x"), branch("2", PHONE_2, "x"));
        for (ms, hop, word) in [
            (0, &mt1, "INVITE"),
            (5, &mt2, "INVITE"),
            (10, &gt1, "INVITE"),
            (15, &gt2, "INVITE"),
            (300, &gt1, "480#a"),
            (310, &mt1, "480#a"),
            (500, &gt2, "180#b"),
            (510, &mt2, "180#b"),
            (9_000, &gt2, "200#b"),
            (9_010, &mt2, "200#b"),
        ] {
            story.see(ms, hop, word);
        }
        assert_eq!(story.outcome(), Outcome::Answered);
    }
}

/// Catches a hop of unknown role taken for the call's origin although the gateway's hop is visible.
#[test]
fn an_unknown_node_is_not_the_origin() {
    let mut story = Story::new(&no_pcscf());
    let (mt1, gt1) = branch("1", PHONE, "gi");
    let (mt2, gt2) = branch("2", PHONE_2, "gi");
    for (ms, hop, word) in [
        (0, &gi("gi"), "INVITE"),
        (10, &mt1, "INVITE"),
        (15, &mt2, "INVITE"),
        (20, &gt1, "INVITE"),
        (25, &gt2, "INVITE"),
        (300, &gt1, "480#a"),
        (310, &mt1, "480#a"),
        (500, &mt2, "180#b"),
        (510, &gi("gi"), "180#b"),
        (9_000, &mt2, "200#b"),
        (9_010, &gi("gi"), "200#b"),
    ] {
        story.see(ms, hop, word);
    }
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// Catches a call given up between two phones of a sequence: the caller still waits.
#[test]
fn an_open_caller_keeps_the_call_open() {
    let mut story = Story::new(&no_roles());
    let (mt1, _) = branch("1", PHONE, "gi");
    let (mt2, _) = branch("2", PHONE_2, "gi");
    for (ms, hop, word) in [
        (0, &gi("gi"), "INVITE"),
        (20, &mt1, "INVITE"),
        (400, &mt1, "180#a"),
        (420, &gi("gi"), "180#a"),
        (15_000, &mt1, "CANCEL"),
        (15_050, &mt1, "487#a"),
        (19_000, &mt2, "INVITE"),
        (19_500, &mt2, "180#b"),
        (25_000, &mt2, "200#b"),
        (25_020, &gi("gi"), "200#b"),
    ] {
        story.see(ms, hop, word);
    }
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// RFC 3261 §15: catches a BYE for one early dialog that ends a call which rings on under another tag.
#[test]
fn a_bye_ends_one_early_dialog() {
    let mut story = Story::new(&fixtures_config());
    let gi = gi("gi");
    for (ms, word) in [(0, "INVITE"), (300, "180#tb"), (500, "180#tc"), (9_000, "200#tc")] {
        if ms == 9_000 {
            story.see_more(
                2_000,
                &Hop {
                    vias: vec!["bye".to_owned()],
                    ..gi.clone()
                },
                "BYE#tb",
                2,
                "",
            );
        }
        story.see(ms, &gi, word);
    }
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// Catches mails for an answered call of which too many hops were seen to know who answered.
#[test]
fn a_fork_beyond_the_limit_is_judged_with_care() {
    let mut story = Story::new(&fixtures_config());
    let gi = gi("gi");
    story.see(0, &gi, "INVITE");
    let names: Vec<String> = (0..120).map(|at| at.to_string()).collect();
    let phones: Vec<Hop> = names.iter().map(|name| branch(name, PHONE, "gi").0).collect();
    for (at, phone) in phones.iter().enumerate() {
        let distinct = Hop {
            uri: format!("sip:line{at}@10.10.1.1"),
            ..phone.clone()
        };
        story.see(20, &distinct, "INVITE");
        story.see(400, &distinct, &format!("180#t{at}"));
    }
    story.see(9_000, phones.last().unwrap(), "200#t119");
    story.see(9_010, &gi, "200#t119");
    for (at, phone) in phones.iter().enumerate().take(119) {
        story.see(9_020, phone, "CANCEL");
        story.see(9_050, phone, &format!("487#t{at}"));
    }
    let counters = story.table.counters();
    let outcome = story.outcome();
    assert!(
        matches!(outcome, Outcome::Answered | Outcome::AnsweredElsewhere),
        "{outcome}"
    );
    assert_eq!(counters.legs_overflowed, 0, "counted when the leg closes");
}

/// Catches a failed re-INVITE whose request was lost taken for a missed call.
#[test]
fn a_lone_final_of_a_dialog_is_no_call() {
    for (status, wanted) in [
        ("481#x", Outcome::Undetermined),
        ("491#x", Outcome::Undetermined),
        ("500#x", Outcome::Undetermined),
        ("488#x", Outcome::Undetermined),
        ("486#x", Outcome::Busy),
        ("603#x", Outcome::AutoRejected),
    ] {
        let mut story = Story::new(&fixtures_config());
        story.see_more(0, &gi("re"), status, 2, "");
        let records = story.end();
        assert_eq!(records[0].targets[0].outcome, wanted, "{status}");
        assert_eq!(
            records[0].has(Flag::Loss),
            wanted == Outcome::Undetermined,
            "{status}: no mail in auto"
        );
        assert!(records[0].has(Flag::Partial));
    }
}

/// Catches a target made of To because a response was captured before its INVITE.
#[test]
fn to_is_no_target_once_the_invite_is_seen() {
    let called = Hop {
        called: Some("sip:+862583091005@ims.office.test"),
        ..branch("1", PHONE, "x").0
    };
    let run = |order: [&str; 2]| {
        let mut story = Story::new(&fixtures_config());
        for (ms, word) in order.into_iter().enumerate() {
            story.see(i64::try_from(ms).unwrap(), &called, word);
        }
        story.see(500, &called, "486#t");
        let records = story.end();
        records[0]
            .targets
            .iter()
            .map(|target| target.identity.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(["100", "INVITE"]), ["+862583091005"]);
    assert_eq!(run(["INVITE", "100"]), ["+862583091005"]);
}

/// §3.4 (MUST): catches a number shown from a partial attempt whose last hop is anonymous.
#[test]
fn a_partial_attempt_believes_the_segment_nearest_to_the_callee() {
    let (mt, _) = branch("1", PHONE, "gi");
    for order in [[0, 1], [1, 0]] {
        let mut story = Story::new(&fixtures_config());
        let plain = text(&gi("gi"), "CANCEL", 1, "").0;
        let hidden = String::from_utf8(text(&mt, "CANCEL", 1, "").0).unwrap();
        let hidden = hidden
            .replace("<tel:+8613912345678>", "<sip:anonymous@anonymous.invalid>")
            .into_bytes();
        for which in order {
            match which {
                0 => story.raw(0, MGCF, CORE, &plain),
                _ => story.raw(5, CORE, PCSCF, &hidden),
            }
        }
        let records = story.end();
        assert!(records[0].caller.withheld, "{order:?}: {:?}", records[0].caller);
        assert_eq!(records[0].caller.identity, None);
    }
}

/// §3.4 (MUST): catches an asserted identity shown from an INVITE that is cut off before its Privacy header.
#[test]
fn a_cut_invite_shows_only_its_from() {
    let (bytes, _) = text(
        &gi("gi"),
        "INVITE",
        1,
        "P-Asserted-Identity: \"Boss\" <tel:+8613900000001>\r\nPrivacy: id\r\n",
    );
    let whole = String::from_utf8(bytes)
        .unwrap()
        .replace("<tel:+8613912345678>", "<sip:anonymous@anonymous.invalid>");
    let cut = &whole.as_bytes()[..whole.find("Privacy").unwrap()];
    for bytes in [whole.as_bytes(), cut] {
        let mut story = Story::new(&fixtures_config());
        story.raw(0, MGCF, CORE, bytes);
        story.see(300, &gi("gi"), "486#t");
        let records = story.end();
        assert!(records[0].caller.withheld, "{:?}", records[0].caller);
    }
}

/// D44: catches a phone's redirection forgotten because the gateway tried the new number itself.
#[test]
fn a_redirection_survives_the_next_cseq() {
    let mut story = Story::new(&fixtures_config());
    let (mt, gt) = branch("1", PHONE, "gi");
    for (ms, hop, word) in [(0, &gi("gi"), "INVITE"), (10, &mt, "INVITE"), (20, &gt, "INVITE")] {
        story.see(ms, hop, word);
    }
    let contact = "Contact: <sip:+862583091003@ims.office.test>\r\n";
    story.see_more(300, &gt, "302#a", 1, contact);
    story.see_more(310, &mt, "302#a", 1, contact);
    story.see_more(320, &gi("gi"), "302#a", 1, contact);
    let again = Hop {
        uri: "tel:+862583091003".to_owned(),
        ..gi("gi2")
    };
    story.see_more(400, &again, "INVITE", 2, "");
    story.see_more(900, &again, "180#b", 2, "");
    story.see_more(20_000, &again, "CANCEL", 2, "");
    story.see_more(20_050, &again, "487#b", 2, "");
    let records = story.end();
    let outcome = |identity: &str| {
        records[0]
            .targets
            .iter()
            .find(|t| t.identity == identity)
            .map(|t| t.outcome)
    };
    assert_eq!(
        outcome("+862583091003"),
        Some(Outcome::CallerHungUp),
        "{records:#?}"
    );
    assert_eq!(
        outcome("+862583091001"),
        Some(Outcome::ForwardedUnanswered),
        "{records:#?}"
    );
}

/// Catches "no answer" mailed to somebody who pressed reject on one of two phones.
#[test]
fn one_declined_device_declines_for_all() {
    for first_rings in [1, 2] {
        let mut story = Story::new(&fixtures_config());
        let ((mt1, _), (mt2, _)) = (branch("1", PHONE, "gi"), branch("2", PHONE_2, "gi"));
        story.see(0, &gi("gi"), "INVITE");
        story.see(10, &mt1, "INVITE");
        story.see(10, &mt2, "INVITE");
        story.see(if first_rings == 1 { 400 } else { 500 }, &mt1, "180#a");
        story.see(if first_rings == 1 { 500 } else { 400 }, &mt2, "180#b");
        story.see(9_000, &mt2, "603#b");
        story.see(9_010, &mt1, "CANCEL");
        story.see(9_050, &mt1, "487#a");
        story.see(9_060, &gi("gi"), "603#b");
        assert_eq!(story.outcome(), Outcome::Declined, "{first_rings}");
    }
}

/// Catches a phone that rang on unheard after another one was busy or refused, and a verdict that depends on which of them was called a
/// thousandth of a second earlier.
#[test]
fn a_phone_that_rings_on_tells_how_it_ended() {
    for refused_first in [true, false] {
        let mut story = Story::new(&fixtures_config());
        let ((mt1, _), (mt2, _)) = (branch("1", PHONE, "gi"), branch("2", PHONE_2, "gi"));
        story.see(0, &gi("gi"), "INVITE");
        story.see(if refused_first { 10 } else { 11 }, &mt1, "INVITE");
        story.see(if refused_first { 11 } else { 10 }, &mt2, "INVITE");
        story.see(400, &mt1, "180#a");
        story.see(400, &mt2, "180#b");
        story.see(1_400, &mt1, "486#a");
        story.see(30_000, &mt2, "CANCEL");
        story.see(30_050, &mt2, "487#b");
        story.see(30_060, &gi("gi"), "408");
        assert_eq!(
            story.outcome(),
            Outcome::NoAnswer,
            "refused first: {refused_first}"
        );
    }
}

/// D60 with each side counting its own CSeq: catches the callee's first re-INVITE marking the caller's INVITE.
#[test]
fn the_callees_requests_have_numbers_of_their_own() {
    let mut story = Story::new(&fixtures_config());
    let gi = gi("gi");
    story.see(0, &gi, "INVITE");
    story.see(300, &gi, "180#t");
    story.see(5_000, &gi, "200#t");
    let (bytes, _) = text(
        &Hop {
            vias: vec!["re".to_owned()],
            ..gi
        },
        "INVITE#caller",
        1,
        "",
    );
    let turned = String::from_utf8(bytes).unwrap().replace(
        "From: <tel:+8613912345678>;tag=caller",
        "From: <tel:+862583091001>;tag=t",
    );
    story.raw(6_000, CORE, MGCF, turned.as_bytes());
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// RFC 3261 §9.1: catches a CANCEL that waited for the phone's first response taken for the network's.
#[test]
fn a_cancel_that_was_held_back_is_the_callers() {
    let mut story = Story::new(&fixtures_config());
    let (mt, gt) = branch("1", PHONE, "gi");
    for (ms, hop, word) in [
        (0, &gi("gi"), "INVITE"),
        (10, &mt, "INVITE"),
        (20, &gt, "INVITE"),
        (1_000, &gi("gi"), "CANCEL"),
        (1_010, &gi("gi"), "487#x"),
        (2_900, &gt, "180#a"),
        (2_910, &mt, "CANCEL"),
        (2_920, &gt, "CANCEL"),
        (2_950, &gt, "487#a"),
        (2_960, &mt, "487#a"),
    ] {
        story.see(ms, hop, word);
    }
    assert_eq!(story.outcome(), Outcome::CallerHungUp);
}

/// Catches a second flow to the same contact taken for the first one, whose refusal then closes the call.
#[test]
fn flows_with_one_contact_are_branches_of_their_own() {
    for (status, parallel) in [("503#a", false), ("408#a", false), ("480#a", true)] {
        let mut story = Story::new(&fixtures_config());
        let ((mt1, gt1), (mt2, gt2)) = (branch("1", PHONE, "x"), branch("2", PHONE, "x"));
        let second = if parallel { 5 } else { 400 };
        story.see(0, &mt1, "INVITE");
        if parallel {
            story.see(second, &mt2, "INVITE");
        }
        story.see(10, &gt1, "INVITE");
        story.see(300, &gt1, status);
        story.see(310, &mt1, status);
        if !parallel {
            story.see(second, &mt2, "INVITE");
        }
        story.see(second + 10, &gt2, "INVITE");
        story.see(900, &gt2, "180#b");
        story.see(910, &mt2, "180#b");
        story.see(12_000, &gt2, "200#b");
        story.see(12_010, &mt2, "200#b");
        assert_eq!(
            story.outcome(),
            Outcome::Answered,
            "{status}, parallel {parallel}"
        );
    }
}

/// Catches an answer on one of too many branches that is forgotten, so that all others were "cancelled".
#[test]
fn the_answer_of_a_branch_left_out_is_kept() {
    let mut story = Story::new(&fixtures_config());
    let names: Vec<String> = (0..100).map(|at| at.to_string()).collect();
    let phones: Vec<Hop> = names.iter().map(|name| branch(name, PHONE, "x").0).collect();
    for phone in &phones {
        story.see(20, phone, "INVITE");
    }
    story.see(9_000, &phones[99], "200#t99");
    for (at, phone) in phones.iter().enumerate().take(90) {
        story.see(9_020, phone, "CANCEL");
        story.see(9_050, phone, &format!("487#t{at}"));
    }
    let outcome = story.outcome();
    assert!(
        matches!(outcome, Outcome::Answered | Outcome::AnsweredElsewhere),
        "{outcome}"
    );
}

/// Catches one branch of a fork taken for the caller's side because the other's INVITE was lost.
#[test]
fn a_lost_invite_does_not_make_its_sibling_the_root() {
    let mut story = Story::new(&no_roles());
    let ((mt1, gt1), (mt2, gt2)) = (branch("1", PHONE, "x"), branch("2", PHONE_2, "x"));
    for (ms, hop, word) in [
        (0, &mt1, "INVITE"),
        (10, &gt1, "INVITE"),
        (15, &gt2, "INVITE"),
        (300, &gt1, "480#a"),
        (310, &mt1, "480#a"),
        (500, &gt2, "180#b"),
        (510, &mt2, "180#b"),
        (9_000, &gt2, "200#b"),
        (9_010, &mt2, "200#b"),
    ] {
        story.see(ms, hop, word);
    }
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// Catches a BYE to one early dialog that ends the call before another phone has said anything.
#[test]
fn a_bye_does_not_end_a_phone_that_is_still_silent() {
    let mut story = Story::new(&fixtures_config());
    let ((mt1, _), (mt2, _)) = (branch("1", PHONE, "gi"), branch("2", PHONE_2, "gi"));
    story.see(0, &mt1, "INVITE");
    story.see(0, &mt2, "INVITE");
    story.see(300, &mt1, "180#tb");
    story.see_more(
        2_000,
        &Hop {
            vias: vec!["bye".to_owned()],
            ..mt1
        },
        "BYE#tb",
        2,
        "",
    );
    story.see(6_000, &mt2, "180#tc");
    story.see(9_000, &mt2, "200#tc");
    assert_eq!(story.outcome(), Outcome::Answered);
}

/// D60: catches the CANCEL of a re-INVITE that was lost taken for a call given up.
#[test]
fn a_cancelled_reinvite_is_no_call() {
    let mut story = Story::new(&fixtures_config());
    story.see_more(0, &gi("re"), "CANCEL#x", 2, "");
    story.see_more(50, &gi("re"), "487#x", 2, "");
    assert_eq!(story.end(), []);
}

/// D35: catches a 199 taken for a sign of life, or for an end: the final still decides.
#[test]
fn a_199_neither_ends_nor_prolongs() {
    let run = |last: &str, at: i64| {
        let mut story = Story::new(&fixtures_config());
        story.see(0, &gi("gi"), "INVITE");
        story.see(300, &gi("gi"), "180#a");
        story.see(100_000, &gi("gi"), "199#a");
        story.see(at, &gi("gi"), last);
        story.outcome()
    };
    assert_eq!(run("200#b", 150_000), Outcome::Answered);
    // 200 s after the 180 the leg is closed; what comes then is late.
    assert_eq!(run("480#a", 205_000), Outcome::Undetermined);
}

/// Pooling b: catches the Reason of a BYE that ended an early dialog left unread.
#[test]
fn the_reason_of_an_early_bye_counts() {
    for (reason, wanted) in [
        (
            "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
            Outcome::AnsweredElsewhere,
        ),
        ("Reason: Q.850;cause=16\r\n", Outcome::CallerHungUp),
    ] {
        let mut story = Story::new(&fixtures_config());
        let (mt, _) = branch("1", PHONE, "x");
        story.see(0, &mt, "INVITE");
        story.see(300, &mt, "180#a");
        let bye = Hop {
            vias: vec!["bye".to_owned()],
            ..mt.clone()
        };
        story.see_more(1_000, &bye, "BYE#a", 2, reason);
        assert_eq!(story.outcome(), wanted, "{reason}");
    }
}

/// Found by fuzzing. Catches a call that ends before it began: of two queues the one that brings the answer may be
/// ahead of the one that brings the INVITE.
#[test]
fn an_answer_stamped_before_its_invite() {
    let mut story = Story::new(&fixtures_config());
    story.see(0, &gi("gi"), "200#t");
    story.see(135, &gi("gi"), "INVITE");
    let records = story.end();
    assert!(records[0].started <= records[0].ended, "{records:?}");
    assert_eq!(records[0].targets[0].outcome, Outcome::Answered);
}

/// Catches a mail to everybody whom a flood of INVITEs from the access network names: nothing shows that the network took
/// them in, and `undetermined = "auto"` is silent about them. An INVITE that the P-CSCF passed on is another matter.
#[test]
fn an_invite_that_nobody_took_in_is_no_evidence() {
    let go = hop(PHONE, PCSCF, &["go"], U1);
    let mo = hop(PCSCF, CORE, &["mo", "go"], U1);
    for (hops, is_silent) in [(vec![&go], true), (vec![&go, &mo], false)] {
        let mut story = Story::new(&fixtures_config());
        for (at, hop) in (0..).zip(&hops) {
            story.see(at, hop, "INVITE");
        }
        story.tick(300_000);
        let records = story.end();
        assert_eq!(records[0].targets[0].outcome, Outcome::Undetermined);
        assert_eq!(records[0].flags.contains(&Flag::Loss), is_silent, "{records:?}");
    }
}

//! Calls to one number: answered, abandoned, refused, failed; over proxies, forks and back-to-back user agents.

use ringtap_record::Outcome;

use super::super::office::{self, Office};
use super::super::scene::{From, LegIndex, MS, S, Scene};
use crate::notation::{Direction, Segment, Verb};

/// A call from anywhere to somebody's desk, over proxies only.
fn simple(scene: &mut Scene<'_>) -> (LegIndex, String) {
    scene.call_from(From::Anywhere);
    scene.perhaps_withheld();
    let callee = scene.callee();
    (scene.whole(&callee), callee)
}

/// The same, with an application server between the caller's side and the phone.
fn served(scene: &mut Scene<'_>) -> ([LegIndex; 2], String) {
    scene.call_from(From::Anywhere);
    scene.perhaps_withheld();
    let callee = scene.callee();
    let top = scene.upstream(&callee);
    ([top, scene.branch(top, &callee)], callee)
}

/// S02.
pub(super) fn answered(scene: &mut Scene<'_>) {
    let (leg, _) = simple(scene);
    talk_after_ringing(scene, &[leg]);
}

fn talk_after_ringing(scene: &mut Scene<'_>, chain: &[LegIndex]) {
    let rings = scene.ring(chain);
    let picked_up = rings + scene.wait(S, 20 * S);
    scene.talk(picked_up, chain);
}

/// A call out of the office: nobody there is called (E01).
pub(super) fn answered_outside(scene: &mut Scene<'_>) {
    let leg = outward(scene);
    talk_after_ringing(scene, &[leg]);
}

fn outward(scene: &mut Scene<'_>) -> LegIndex {
    scene.call_from(From::Office);
    let callee = scene.outsider();
    scene.over(&[Segment::Go, Segment::Mo, Segment::Gj], &callee)
}

/// E01.
pub(super) fn unanswered_outside(scene: &mut Scene<'_>) {
    let leg = outward(scene);
    if scene.chance(30) {
        let offered = scene.offer(0, &[leg]);
        let (status, reason) = scene.one_of(&[
            (486, "Q.850;cause=17"),
            (480, "Q.850;cause=18"),
            (404, "Q.850;cause=1"),
        ]);
        let refused = offered + scene.wait(300 * MS, 3 * S);
        scene.answer_because(refused, &[leg], status, &[reason]);
        return;
    }
    let rings = scene.ring(&[leg]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[leg]);
}

/// E02: CANCEL crosses the 200; the caller hangs up with BYE.
pub(super) fn answered_while_cancelled(scene: &mut Scene<'_>) {
    let (leg, _) = simple(scene);
    let rings = scene.ring(&[leg]);
    let cancelled = rings + scene.patience();
    scene.request(cancelled, leg, Verb::Cancel);
    scene.response(cancelled + 5 * MS, leg, 200);
    let bye = cancelled + 300 * MS;
    scene.exchange(bye, &[leg], Verb::Bye, Direction::ToCallee, 200);
}

/// S01, S15, S32.
pub(super) fn abandoned(scene: &mut Scene<'_>) {
    let (leg, callee) = simple(scene);
    let rings = scene.ring(&[leg]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[leg]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// D23: given up before it rang.
pub(super) fn abandoned_before_ring(scene: &mut Scene<'_>) {
    let (leg, callee) = simple(scene);
    let offered = scene.offer(0, &[leg]);
    let over = offered + scene.wait(50 * MS, 1500 * MS);
    scene.hang_up(over, &[leg]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// E03: BYE in the early dialog, and 487.
pub(super) fn early_bye(scene: &mut Scene<'_>) {
    let (leg, callee) = simple(scene);
    let rings = scene.ring(&[leg]);
    let over = rings + scene.patience();
    scene.exchange(over, &[leg], Verb::Bye, Direction::ToCallee, 200);
    let ended = over + scene.chain_way(&[leg]) + 10 * MS;
    scene.response(ended, leg, 487);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// S03: the line is busy (D16).
pub(super) fn busy(scene: &mut Scene<'_>) {
    let status = scene.one_of(&[486, 486, 486, 600]);
    refused(scene, status, Outcome::Busy);
}

/// S08: rejected before it rang (D19).
pub(super) fn do_not_disturb(scene: &mut Scene<'_>) {
    refused(scene, 603, Outcome::AutoRejected);
}

/// D14: the phone has no registered user or does not want to say why.
pub(super) fn phone_gone(scene: &mut Scene<'_>) {
    refused(scene, 480, Outcome::Unreachable);
}

/// D29: nobody tries again.
pub(super) fn network_failure(scene: &mut Scene<'_>) {
    let status = scene.one_of(&[500, 503]);
    refused(scene, status, Outcome::NetworkFailure);
}

fn refused(scene: &mut Scene<'_>, status: u16, outcome: Outcome) {
    let callee = refuse(scene, status);
    scene.missed(&callee, outcome);
}

/// A final before it rang. Returns who was called.
fn refuse(scene: &mut Scene<'_>, status: u16) -> String {
    let (leg, callee) = simple(scene);
    let offered = scene.offer(0, &[leg]);
    let refused = offered + scene.wait(50 * MS, 600 * MS);
    scene.answer_with(refused, &[leg], status);
    callee
}

/// D31: nobody is told.
pub(super) fn barred(scene: &mut Scene<'_>) {
    refuse(scene, 403);
}

/// D27: nobody is told.
pub(super) fn incompatible(scene: &mut Scene<'_>) {
    refuse(scene, 488);
}

/// S06: rejected while it rang; whoever did that knows (D17, D18).
pub(super) fn declined(scene: &mut Scene<'_>) {
    let (leg, _) = simple(scene);
    let rings = scene.ring(&[leg]);
    let rejected = rings + scene.wait(1500 * MS, 12 * S);
    let status = scene.one_of(&[603, 486, 403]);
    scene.answer_with(rejected, &[leg], status);
}

/// S04: the application server ends the ringing.
pub(super) fn as_timer(scene: &mut Scene<'_>) {
    let ([top, branch], callee) = served(scene);
    let rings = scene.ring(&[top, branch]);
    let over = rings + scene.wait(20 * S, 45 * S);
    let reasons: &[&str] = if scene.chance(60) { &["SIP;cause=408"] } else { &[] };
    let over = scene.call_off(over, &[branch], reasons);
    let reasons: &[&str] = if scene.chance(60) {
        &["Q.850;cause=19"]
    } else {
        &[]
    };
    scene.answer_because(over, &[top], 480, reasons);
    scene.missed(&callee, Outcome::NoAnswer);
}

/// S05: the exchange of the caller ends the ringing.
pub(super) fn pstn_timer(scene: &mut Scene<'_>) {
    scene.call_from(From::Outside);
    let callee = scene.callee();
    let leg = scene.whole(&callee);
    let rings = scene.ring(&[leg]);
    let over = rings + scene.wait(60 * S, 90 * S);
    let reason = scene.one_of(&["Q.850;cause=19", "Q.850;cause=102"]);
    scene.call_off(over, &[leg], &[reason]);
    scene.missed(&callee, Outcome::NoAnswer);
}

/// S39: no phone is registered.
pub(super) fn unregistered(scene: &mut Scene<'_>) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let leg = scene.upstream(&callee);
    let offered = scene.offer(0, &[leg]);
    let refused = offered + scene.wait(20 * MS, 200 * MS);
    scene.answer_with(refused, &[leg], 480);
    scene.missed(&callee, Outcome::Unreachable);
}

/// S38: the phone is gone; the P-CSCF tries until Timer B.
pub(super) fn phone_dead(scene: &mut Scene<'_>) {
    scene.call_from(From::Outside);
    let callee = scene.callee();
    let top = scene.over(&[Segment::Gi, Segment::Mt], &callee);
    let last = scene.branch_over(top, &[Segment::Gt], &callee);
    let offered = scene.invite(0, top, None);
    for after_ms in [0, 500, 1_500, 3_500, 7_500, 15_500] {
        scene.request(offered + after_ms * MS, last, Verb::Invite);
    }
    scene.answer_with(offered + 32 * S + 80 * MS, &[top], 408);
    scene.missed(&callee, Outcome::Unreachable);
}

/// D08: a number that nobody has.
pub(super) fn wrong_number(scene: &mut Scene<'_>) {
    scene.call_from(From::Anywhere);
    let callee = Office::nobody(&mut scene.random);
    let leg = scene.upstream(&callee);
    let offered = scene.offer(0, &[leg]);
    let refused = offered + scene.wait(20 * MS, 200 * MS);
    scene.answer_with(refused, &[leg], 404);
}

/// S14: the call was never offered (D07).
pub(super) fn challenge_given_up(scene: &mut Scene<'_>) {
    scene.call_from(From::Office);
    let callee = scene.callee();
    let leg = scene.whole(&callee);
    scene.challenge(0, leg);
}

/// E07: the number comes in pieces.
pub(super) fn overlap(scene: &mut Scene<'_>) {
    scene.call_from(From::Office);
    let callee = scene.callee();
    let leg = scene.whole(&callee);
    let outset = vec![Segment::Go, Segment::Mo];
    let invite = scene.request(0, leg, Verb::Invite);
    invite.segments = Some(outset.clone());
    invite.request_uri = Some(format!("tel:{}", &callee[..callee.len() - 2]));
    let refused = scene.wait(50 * MS, 120 * MS);
    scene.response(refused, leg, 484).segments = Some(outset);
    let again = refused + scene.wait(600 * MS, 2 * S);
    let offered = scene.invite(again, leg, Some(2));
    let rings = scene.ring_from(offered, &[leg]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[leg]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// E08: a chat session is no call (D61).
pub(super) fn chat(scene: &mut Scene<'_>) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let leg = scene.over(&[Segment::Mt, Segment::Gt], &callee);
    scene.options(leg).msrp = true;
    let offered = scene.offer(0, &[leg]);
    let answered = offered + scene.wait(100 * MS, 2 * S);
    if scene.chance(50) {
        scene.answer_with(answered, &[leg], 480);
    } else {
        scene.talk(answered, &[leg]);
    }
}

/// D63.
pub(super) fn emergency(scene: &mut Scene<'_>) {
    scene.call_from(From::Office);
    let leg = scene.over(&[Segment::Go, Segment::Mo], office::EMERGENCY);
    if scene.chance(50) {
        talk_after_ringing(scene, &[leg]);
    } else {
        let rings = scene.ring(&[leg]);
        scene.hang_up(rings + 2 * S, &[leg]);
    }
}

/// A person with a desk phone and a second device: `[caller's side, first phone, second phone]`.
fn fork(scene: &mut Scene<'_>) -> ([LegIndex; 3], String) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let top = scene.upstream(&callee);
    let first = scene.branch(top, &callee);
    let second = scene.branch(top, &callee);
    scene.options(second).second_device = true;
    ([top, first, second], callee)
}

/// Both phones ring; returns when the caller hears it.
fn fork_rings(scene: &mut Scene<'_>, [top, first, second]: [LegIndex; 3]) -> i64 {
    let offered = scene.offer(0, &[top]);
    let (one, other) = (
        scene.invite(offered, first, None),
        scene.invite(offered, second, None),
    );
    let rings = scene.ring_from(one, &[top, first]);
    let later = (other + scene.wait(100 * MS, 900 * MS)).max(rings + 300 * MS);
    scene.answer_with(later, &[second], 180)
}

/// S10: the other phone is told so in various ways, or not at all.
pub(super) fn fork_answered(scene: &mut Scene<'_>) {
    let (legs, _) = fork(scene);
    let [top, first, second] = legs;
    let rings = fork_rings(scene, legs);
    let picked_up = rings + scene.wait(2 * S, 20 * S);
    scene.talk(picked_up, &[top, second]);
    let reasons: &[&str] = scene.one_of(&[
        &[],
        &["SIP;cause=200;text=\"Call completed elsewhere\""],
        &[
            "Q.850;cause=26",
            "SIP;cause=200;text=\"Call completed elsewhere\"",
        ],
    ]);
    scene.call_off(picked_up + 40 * MS, &[first], reasons);
}

/// S11.
pub(super) fn fork_unanswered(scene: &mut Scene<'_>) {
    let (legs, callee) = fork(scene);
    let [top, first, second] = legs;
    let rings = fork_rings(scene, legs);
    let over = rings + scene.patience();
    scene.hang_up_all(over, top, &[&[first], &[second]]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// S12: the owner rejects the call on one phone.
pub(super) fn fork_declined(scene: &mut Scene<'_>) {
    let (legs, _) = fork(scene);
    let [top, first, second] = legs;
    let rings = fork_rings(scene, legs);
    let rejected = rings + scene.wait(1500 * MS, 12 * S);
    scene.answer_with(rejected, &[second], 603);
    let reason = scene.one_of(&["SIP;cause=600", "SIP;cause=603"]);
    let over = scene.call_off(rejected + 30 * MS, &[first], &[reason]);
    scene.answer_with(over.max(rejected + 60 * MS), &[top], 603);
}

/// One phone is off, the other rings unheard: what rang says how it was (§2.8 step 4f).
pub(super) fn fork_one_off(scene: &mut Scene<'_>) {
    let ([top, first, second], callee) = fork(scene);
    let offered = scene.offer(0, &[top]);
    let (one, other) = (
        scene.invite(offered, first, None),
        scene.invite(offered, second, None),
    );
    let refused = other + scene.wait(20 * MS, 80 * MS);
    scene.answer_with(refused, &[second], 480);
    let rings = scene.ring_from(one, &[top, first]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[top, first]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

/// E09: the first way is broken, the second rings.
pub(super) fn fail_over(scene: &mut Scene<'_>) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let top = scene.upstream(&callee);
    let broken = scene.branch_over(top, &[Segment::Mt], &callee);
    let good = scene.branch(top, &callee);
    scene.options(good).second_device = true;
    let offered = scene.offer(0, &[top]);
    scene.request(offered, broken, Verb::Invite);
    let refused = offered + scene.wait(20 * MS, 80 * MS);
    scene.response(refused, broken, 503);
    let again = refused + scene.wait(20 * MS, 60 * MS);
    let offered = scene.invite(again, good, None);
    let rings = scene.ring_from(offered, &[top, good]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[top, good]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

fn shared_desk(scene: &mut Scene<'_>) -> (LegIndex, String) {
    scene.call_from(From::Outside);
    let desks = scene.office.desks();
    let desk = &desks[scene.random.usize(..desks.len())];
    (scene.whole(desk), desk.clone())
}

/// Two people share a phone, one of them takes the call.
pub(super) fn shared_desk_answered(scene: &mut Scene<'_>) {
    let (leg, _) = shared_desk(scene);
    talk_after_ringing(scene, &[leg]);
}

/// S31: both owners are told.
pub(super) fn shared_desk_unanswered(scene: &mut Scene<'_>) {
    let (leg, desk) = shared_desk(scene);
    let rings = scene.ring(&[leg]);
    let over = rings + scene.patience();
    scene.hang_up(over, &[leg]);
    scene.missed(&desk, Outcome::CallerHungUp);
}

/// A back-to-back user agent which keeps the charging id.
fn b2bua(scene: &mut Scene<'_>) -> ([LegIndex; 2], String) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let top = scene.upstream(&callee);
    ([top, scene.served(&callee)], callee)
}

/// A back-to-back user agent after which nothing is as before (S17).
fn bare_b2bua(scene: &mut Scene<'_>) -> ([LegIndex; 2], String) {
    let (legs, callee) = b2bua(scene);
    for leg in legs {
        scene.own_icid(leg);
    }
    (legs, callee)
}

pub(super) fn b2bua_answered(scene: &mut Scene<'_>) {
    let (legs, _) = b2bua(scene);
    talk_after_ringing(scene, &legs);
}

/// S16.
pub(super) fn b2bua_unanswered(scene: &mut Scene<'_>) {
    let (legs, callee) = b2bua(scene);
    abandoned_on(scene, &legs, &callee);
}

pub(super) fn bare_b2bua_answered(scene: &mut Scene<'_>) {
    let (legs, _) = bare_b2bua(scene);
    talk_after_ringing(scene, &legs);
}

/// S17.
pub(super) fn bare_b2bua_unanswered(scene: &mut Scene<'_>) {
    let (legs, callee) = bare_b2bua(scene);
    abandoned_on(scene, &legs, &callee);
}

fn abandoned_on(scene: &mut Scene<'_>, chain: &[LegIndex], callee: &str) {
    let rings = scene.ring(chain);
    let over = rings + scene.patience();
    scene.hang_up(over, chain);
    scene.missed(callee, Outcome::CallerHungUp);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation::Message;

    /// Catches a shortened INVITE that is the whole number, and a CANCEL of the wrong one.
    #[test]
    fn overlap_dialling_ends_with_the_second_invite() {
        let office = Office::new(60, 1);
        let mut scene = Scene::new(&office, fastrand::Rng::with_seed(4), None);
        overlap(&mut scene);
        let written = scene.finish("overlap");
        let invites: Vec<_> = written
            .case
            .steps
            .iter()
            .filter(|step| matches!(step.message, Message::Request(Verb::Invite, _)))
            .collect();
        assert_eq!(
            invites[0].request_uri.as_ref().map(String::len),
            Some("tel:+862583020000".len() - 2)
        );
        assert_eq!(invites[1].message, Message::Request(Verb::Invite, Some(2)));
    }
}

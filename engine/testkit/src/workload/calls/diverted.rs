//! Calls that are sent on: to voicemail, to a colleague, outside, to the owner's own mobile.

use ringtap_record::Outcome;

use super::super::scene::{From, LegIndex, MS, S, Scene};
use crate::notation::Segment;

/// A call to a phone whose number an application server serves.
struct Served {
    top: LegIndex,
    desk: LegIndex,
    callee: String,
}

fn served(scene: &mut Scene<'_>) -> Served {
    let (top, callee) = dialled(scene);
    let desk = scene.branch(top, &callee);
    Served { top, desk, callee }
}

fn dialled(scene: &mut Scene<'_>) -> (LegIndex, String) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    (scene.upstream(&callee), callee)
}

impl Served {
    /// The phone rings out: the server calls it off. Returns when.
    fn rings_out(&self, scene: &mut Scene<'_>) -> i64 {
        let rings = scene.ring(&[self.top, self.desk]);
        let out = rings + scene.wait(12 * S, 25 * S);
        scene.call_off(out, &[self.desk], &[])
    }

    /// The phone answers with a final before it rang. Returns when the server has it.
    fn refuses(&self, scene: &mut Scene<'_>, status: u16) -> i64 {
        let offered = scene.offer(0, &[self.top, self.desk]);
        let refused = offered + scene.wait(50 * MS, 500 * MS);
        scene.answer_with(refused, &[self.desk], status)
    }
}

/// The server tells the caller that the call is being sent on, or does not.
fn announce(scene: &mut Scene<'_>, at_us: i64, top: LegIndex) {
    if scene.chance(70) {
        scene.response(at_us + 10 * MS, top, 181);
    }
}

/// S22.
pub(super) fn voicemail_no_answer(scene: &mut Scene<'_>) {
    let call = served(scene);
    let out = call.rings_out(scene);
    to_voicemail(scene, out, call.top, &call.callee);
}

/// The line is busy and voicemail takes the call (D42).
pub(super) fn voicemail_busy(scene: &mut Scene<'_>) {
    let call = served(scene);
    let out = call.refuses(scene, 486);
    to_voicemail(scene, out, call.top, &call.callee);
}

/// Voicemail takes every call: no phone is tried.
pub(super) fn voicemail_always(scene: &mut Scene<'_>) {
    let (top, callee) = dialled(scene);
    let offered = scene.offer(0, &[top]);
    to_voicemail(scene, offered, top, &callee);
}

fn to_voicemail(scene: &mut Scene<'_>, at_us: i64, top: LegIndex, callee: &str) {
    announce(scene, at_us, top);
    let picked_up = at_us + scene.wait(100 * MS, 900 * MS);
    scene.voicemail(picked_up, top);
    scene.missed(callee, Outcome::Voicemail);
}

/// E05: something in the core takes the call and does not say what it is.
pub(super) fn unseen(scene: &mut Scene<'_>) {
    let call = served(scene);
    let out = call.rings_out(scene);
    let picked_up = out + scene.wait(200 * MS, 800 * MS);
    scene.pickable.push(picked_up);
    scene.response(picked_up, call.top, 200);
    scene.talk_on(picked_up, &[call.top]);
    scene.missed(&call.callee, Outcome::DivertedUnseen);
}

/// The server opens a leg to `next` and tells of `from`, who was called. Returns it.
fn send_on(scene: &mut Scene<'_>, top: LegIndex, next: &str, from: &str, cause: u16) -> LegIndex {
    let leg = scene.served(next);
    scene.sent_on_by(leg, from, Some(cause));
    debug_assert_ne!(leg, top);
    leg
}

/// The next phone rings and its owner takes the call (D40).
fn taken(scene: &mut Scene<'_>, at_us: i64, top: LegIndex, next: LegIndex) {
    announce(scene, at_us, top);
    let rings = next_rings(scene, at_us, top, next);
    let picked_up = rings + scene.wait(S, 15 * S);
    scene.talk(picked_up, &[top, next]);
}

fn next_rings(scene: &mut Scene<'_>, at_us: i64, top: LegIndex, next: LegIndex) -> i64 {
    let sent = at_us + scene.wait(20 * MS, 150 * MS);
    let offered = scene.invite(sent, next, None);
    scene.ring_from(offered, &[top, next])
}

/// How a call ends that was sent on and not taken, as the next one's owner is told (D44).
fn not_taken(scene: &mut Scene<'_>, at_us: i64, top: LegIndex, next: LegIndex) -> Outcome {
    announce(scene, at_us, top);
    match scene.random.u8(..10) {
        0 => {
            let sent = at_us + scene.wait(20 * MS, 150 * MS);
            let offered = scene.invite(sent, next, None);
            let refused = offered + scene.wait(50 * MS, 500 * MS);
            let over = scene.answer_with(refused, &[next], 486);
            scene.answer_with(over, &[top], 486);
            Outcome::Busy
        }
        1..4 => {
            let rings = next_rings(scene, at_us, top, next);
            let over = rings + scene.wait(15 * S, 30 * S);
            let over = scene.call_off(over, &[next], &[]);
            scene.answer_with(over + 10 * MS, &[top], 480);
            Outcome::NoAnswer
        }
        _ => {
            let rings = next_rings(scene, at_us, top, next);
            let over = rings + scene.patience();
            scene.hang_up(over, &[top, next]);
            Outcome::CallerHungUp
        }
    }
}

/// D44: who sent the call on is told so, and the colleague of what happened there.
fn both_told(scene: &mut Scene<'_>, from: &str, next: &str, outcome: Outcome) {
    scene.missed(from, Outcome::ForwardedUnanswered);
    scene.missed(next, outcome);
}

fn colleague(scene: &mut Scene<'_>) -> String {
    scene.colleague().desk.clone()
}

/// All calls go to a colleague, who answers.
pub(super) fn unconditional_answered(scene: &mut Scene<'_>) {
    let (top, callee) = dialled(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, top, &colleague, &callee, 302);
    let offered = scene.offer(0, &[top]);
    taken(scene, offered, top, next);
}

/// S23 with a colleague.
pub(super) fn unconditional_unanswered(scene: &mut Scene<'_>) {
    let (top, callee) = dialled(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, top, &colleague, &callee, 302);
    let offered = scene.offer(0, &[top]);
    let outcome = not_taken(scene, offered, top, next);
    both_told(scene, &callee, &colleague, outcome);
}

/// S21.
pub(super) fn no_reply_answered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, call.top, &colleague, &call.callee, 408);
    let out = call.rings_out(scene);
    taken(scene, out, call.top, next);
}

/// S21, and the colleague does not answer either.
pub(super) fn no_reply_unanswered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, call.top, &colleague, &call.callee, 408);
    let out = call.rings_out(scene);
    let outcome = not_taken(scene, out, call.top, next);
    both_told(scene, &call.callee, &colleague, outcome);
}

/// Busy, so a colleague gets the call.
pub(super) fn busy_answered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, call.top, &colleague, &call.callee, 486);
    let out = call.refuses(scene, 486);
    taken(scene, out, call.top, next);
}

pub(super) fn busy_unanswered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let next = send_on(scene, call.top, &colleague, &call.callee, 486);
    let out = call.refuses(scene, 486);
    let outcome = not_taken(scene, out, call.top, next);
    both_told(scene, &call.callee, &colleague, outcome);
}

/// S24: the phone itself sends the call on, and the proxy follows.
fn deflected(scene: &mut Scene<'_>, next: &str, call: &Served, segments: &[Segment]) -> (LegIndex, i64) {
    let offered = scene.offer(0, &[call.top, call.desk]);
    let moved = offered + scene.wait(50 * MS, 300 * MS);
    scene.response(moved, call.desk, 302).contact = Some(next.to_owned());
    let leg = scene.branch_over(call.top, segments, next);
    scene.sent_on_by(leg, &call.callee, Some(302));
    (leg, moved + scene.chain_way(&[call.desk]))
}

const TO_PHONE: [Segment; 2] = [Segment::Mt, Segment::Gt];

pub(super) fn deflected_answered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let (next, at_us) = deflected(scene, &colleague, &call, &TO_PHONE);
    taken(scene, at_us, call.top, next);
}

/// S24.
pub(super) fn deflected_unanswered(scene: &mut Scene<'_>) {
    let call = served(scene);
    let colleague = colleague(scene);
    let (next, at_us) = deflected(scene, &colleague, &call, &TO_PHONE);
    let outcome = not_taken(scene, at_us, call.top, next);
    both_told(scene, &call.callee, &colleague, outcome);
}

/// The call goes outside: by the server at once or after the phone rang out, or by the phone's 302.
fn outside(scene: &mut Scene<'_>) -> (Served, LegIndex, i64) {
    let call = served(scene);
    let mut number = scene.outsider();
    while scene.is_caller(&number) {
        number = scene.outsider();
    }
    if scene.chance(30) {
        let (next, at_us) = deflected(scene, &number, &call, &[Segment::Gj]);
        return (call, next, at_us);
    }
    let next = send_on(scene, call.top, &number, &call.callee, 408);
    let at_us = call.rings_out(scene);
    (call, next, at_us)
}

pub(super) fn outside_answered(scene: &mut Scene<'_>) {
    let (call, next, at_us) = outside(scene);
    taken(scene, at_us, call.top, next);
}

/// S23; who is called outside is nobody here.
pub(super) fn outside_unanswered(scene: &mut Scene<'_>) {
    let (call, next, at_us) = outside(scene);
    not_taken(scene, at_us, call.top, next);
    scene.missed(&call.callee, Outcome::ForwardedUnanswered);
}

/// A person who has a mobile as second account.
fn with_mobile(scene: &mut Scene<'_>) -> (Served, LegIndex, String) {
    scene.call_from(From::Anywhere);
    let (desk, mobile) = loop {
        let person = scene.colleague();
        if let Some(mobile) = &person.mobile {
            break (person.desk.clone(), mobile.clone());
        }
    };
    let top = scene.upstream(&desk);
    let branch = scene.branch(top, &desk);
    let call = Served {
        top,
        desk: branch,
        callee: desk,
    };
    let next = scene.served(&mobile);
    (call, next, mobile)
}

fn desk_then_mobile(scene: &mut Scene<'_>) -> (Served, LegIndex, i64) {
    let (call, next, _) = with_mobile(scene);
    scene.sent_on_by(next, &call.callee, Some(408));
    let out = call.rings_out(scene);
    (call, next, out)
}

/// S29.
pub(super) fn mobile_after_desk_answered(scene: &mut Scene<'_>) {
    let (call, next, out) = desk_then_mobile(scene);
    taken(scene, out, call.top, next);
}

/// One mail: the desk phone rang until the server called it off, and it is nearer than the mobile (D22, D41).
pub(super) fn mobile_after_desk_unanswered(scene: &mut Scene<'_>) {
    let (call, next, out) = desk_then_mobile(scene);
    not_taken(scene, out, call.top, next);
    scene.missed(&call.callee, Outcome::NoAnswer);
}

/// Desk phone and mobile ring together. Returns when both do.
fn desk_and_mobile(scene: &mut Scene<'_>) -> (Served, LegIndex, i64) {
    let (call, next, _) = with_mobile(scene);
    let callee = call.callee.clone();
    scene.sent_on_by(next, &callee, None);
    let offered = scene.offer(0, &[call.top]);
    let at_desk = scene.invite(offered, call.desk, None);
    let at_mobile = scene.invite(offered + 10 * MS, next, None);
    let rings = scene.ring_from(at_desk, &[call.top, call.desk]);
    let later = at_mobile + scene.wait(S, 3 * S);
    let later = scene.answer_with(later, &[next], 180);
    (call, next, rings.max(later))
}

pub(super) fn mobile_beside_desk_answered(scene: &mut Scene<'_>) {
    let (call, next, rings) = desk_and_mobile(scene);
    let picked_up = rings + scene.wait(S, 15 * S);
    let (winner, loser) = if scene.chance(50) {
        (next, call.desk)
    } else {
        (call.desk, next)
    };
    scene.talk(picked_up, &[call.top, winner]);
    let reasons: &[&str] = scene.one_of(&[&[], &["SIP;cause=200;text=\"Call completed elsewhere\""]]);
    scene.call_off(picked_up + 60 * MS, &[loser], reasons);
}

/// S30, and the same when the caller gives up: one mail.
pub(super) fn mobile_beside_desk_unanswered(scene: &mut Scene<'_>) {
    let (call, next, rings) = desk_and_mobile(scene);
    if scene.chance(50) {
        let over = rings + scene.patience();
        scene.hang_up_all(over, call.top, &[&[call.desk], &[next]]);
        scene.missed(&call.callee, Outcome::CallerHungUp);
        return;
    }
    let over = rings + scene.wait(15 * S, 30 * S);
    let ends = [call.desk, next].map(|leg| scene.call_off(over, &[leg], &[]));
    scene.answer_with(ends[0].max(ends[1]) + 20 * MS, &[call.top], 480);
    scene.missed(&call.callee, Outcome::NoAnswer);
}

//! Calls that a service changes or makes: pickup, click-to-dial, conferences, transfers.

use ringtap_record::Outcome;

use super::super::office::{self, CLICK_TO_DIAL, PICKUP_CODE};
use super::super::scene::{From, LegIndex, MS, S, Scene};
use crate::notation::{Direction, Message, Segment, Verb};

/// Somebody's phone rings, served by an application server; a colleague will pick the call up.
fn rings_at_a_colleague(scene: &mut Scene<'_>) -> ([LegIndex; 2], String, String, i64) {
    let caller = scene.call_from(From::Outside);
    let callee = scene.callee();
    let top = scene.upstream(&callee);
    let branch = scene.branch(top, &callee);
    let rings = scene.ring(&[top, branch]);
    let colleague = scene.colleague().desk.clone();
    let hurries = rings + scene.wait(2 * S, 12 * S);
    scene.call_as(&colleague);
    debug_assert_ne!(caller, colleague);
    ([top, branch], callee, caller, hurries)
}

/// The pickup's own leg is answered, then the caller's, then the phone is called off.
fn picked_up(scene: &mut Scene<'_>, [top, branch]: [LegIndex; 2], pickup: LegIndex, at_us: i64) {
    let asked = scene.offer(at_us, &[pickup]);
    let answered = asked + scene.wait(30 * MS, 100 * MS);
    scene.pickups.push(answered);
    scene.response(answered, pickup, 200);
    let through = answered + scene.wait(10 * MS, 25 * MS);
    scene.response(through, top, 200);
    let called_off = through + scene.wait(10 * MS, 40 * MS);
    scene.call_off(called_off, &[branch], &[]);
    let talk = scene.wait(5 * S, 90 * S);
    scene.exchange(through + talk, &[top], Verb::Bye, Direction::ToCallee, 200);
    scene.exchange(
        through + talk + 30 * MS,
        &[pickup],
        Verb::Bye,
        Direction::ToCaller,
        200,
    );
}

/// S28.
pub(super) fn pickup_by_replaces(scene: &mut Scene<'_>) {
    let (legs, callee, caller, at_us) = rings_at_a_colleague(scene);
    let pickup = scene.over(&[Segment::Go, Segment::Mo], &callee);
    let replaced = scene.name(legs[1]);
    scene.options(pickup).replaces = Some(replaced);
    scene.own_icid(pickup);
    picked_up(scene, legs, pickup, at_us);
    scene.call_as(&caller);
}

/// E06.
pub(super) fn pickup_by_code(scene: &mut Scene<'_>) {
    let (legs, _, caller, at_us) = rings_at_a_colleague(scene);
    let pickup = scene.over(&[Segment::Go, Segment::Mo], PICKUP_CODE);
    scene.own_icid(pickup);
    picked_up(scene, legs, pickup, at_us);
    scene.call_as(&caller);
}

/// The controller rings the person who clicked. Returns the leg, who that is, and when it rings.
fn clicked(scene: &mut Scene<'_>) -> (LegIndex, String, i64) {
    scene.call_as(CLICK_TO_DIAL);
    let person = scene.callee();
    let leg = scene.served(&person);
    scene.own_icid(leg);
    let rings = scene.ring(&[leg]);
    (leg, person, rings)
}

/// S07: whoever clicked is not called by anybody (D65).
pub(super) fn click_to_dial_unanswered(scene: &mut Scene<'_>) {
    let (leg, _, rings) = clicked(scene);
    scene.hang_up(rings + 25 * S, &[leg]);
}

/// The second leg, to a colleague, in the name of the person who clicked.
fn connected(scene: &mut Scene<'_>) -> (LegIndex, LegIndex, String, i64) {
    let (first, person, rings) = clicked(scene);
    let answered = scene.answer_with(rings + 2 * S, &[first], 200);
    scene.call_as(&person);
    let callee = scene.colleague().desk.clone();
    let second = scene.served(&callee);
    scene.own_icid(second);
    let sent = answered + scene.wait(10 * MS, 40 * MS);
    let offered = scene.offer(sent, &[second]);
    let rings = scene.ring_from(offered, &[second]);
    (first, second, callee, rings)
}

pub(super) fn click_to_dial_answered(scene: &mut Scene<'_>) {
    let (first, second, _, rings) = connected(scene);
    let picked_up = rings + scene.wait(S, 10 * S);
    let over = scene.talk(picked_up, &[second]);
    scene.exchange(over, &[first], Verb::Bye, Direction::ToCallee, 200);
}

/// The person whom the click was to reach does not answer: a call like any other.
pub(super) fn click_to_dial_callee_unanswered(scene: &mut Scene<'_>) {
    let (first, second, callee, rings) = connected(scene);
    let over = rings + scene.patience();
    scene.exchange(over, &[first], Verb::Bye, Direction::ToCaller, 200);
    scene.pickable.push(over + 60 * MS);
    scene.hang_up(over + 60 * MS, &[second]);
    scene.missed_in(second, &callee, Outcome::CallerHungUp);
}

/// A conference calls somebody in (S37, D67).
fn invited(scene: &mut Scene<'_>) -> (LegIndex, String, i64) {
    let conference = office::conference(&mut scene.random);
    scene.call_as(&conference);
    let callee = scene.callee();
    let leg = scene.served(&callee);
    scene.options(leg).is_focus = true;
    let rings = scene.ring(&[leg]);
    (leg, callee, rings)
}

/// S37.
pub(super) fn conference_unanswered(scene: &mut Scene<'_>) {
    let (leg, callee, rings) = invited(scene);
    let over = rings + scene.patience();
    scene.pickable.push(over);
    scene.hang_up(over, &[leg]);
    scene.missed(&callee, Outcome::CallerHungUp);
}

pub(super) fn conference_answered(scene: &mut Scene<'_>) {
    let (leg, _, rings) = invited(scene);
    let picked_up = rings + scene.wait(S, 10 * S);
    scene.talk(picked_up, &[leg]);
}

/// Somebody takes a call and transfers the caller to a colleague (D51). Returns the first leg, the colleague,
/// the colleague's leg and when it is offered there.
fn transferred(scene: &mut Scene<'_>) -> (LegIndex, String, LegIndex, i64) {
    scene.call_from(From::Anywhere);
    let callee = scene.callee();
    let first = scene.whole(&callee);
    let rings = scene.ring(&[first]);
    let answered = scene.answer_with(rings + 2 * S, &[first], 200);
    let colleague = scene.colleague().desk.clone();
    let asked = answered + scene.wait(4 * S, 20 * S);
    let accepted = refer(scene, asked, first, &colleague);
    let second = scene.served(&colleague);
    scene.options(second).referred_by = Some(callee);
    scene.own_icid(second);
    let sent = accepted + scene.wait(10 * MS, 40 * MS);
    let offered = scene.invite(sent, second, None);
    (first, colleague, second, offered)
}

/// REFER from the phone as far as the core, which acts on it. Returns when it is accepted.
fn refer(scene: &mut Scene<'_>, at_us: i64, leg: LegIndex, target: &str) -> i64 {
    let near = vec![Segment::Mt, Segment::Gt];
    let step = scene.say(
        at_us,
        leg,
        Direction::ToCaller,
        Message::Request(Verb::Refer, None),
    );
    step.segments = Some(near.clone());
    step.contact = Some(target.to_owned());
    let accepted = at_us + 25 * MS;
    let answer = Message::Response(202, Verb::Refer);
    scene.say(accepted, leg, Direction::ToCallee, answer).segments = Some(near);
    accepted + 20 * MS
}

/// The core tells the phone how it went, and the phone leaves.
fn leave(scene: &mut Scene<'_>, at_us: i64, leg: LegIndex) {
    let near = vec![Segment::Mt, Segment::Gt];
    let notify = Message::Request(Verb::Notify, None);
    scene.say(at_us, leg, Direction::ToCallee, notify).segments = Some(near.clone());
    let answer = Message::Response(200, Verb::Notify);
    scene
        .say(at_us + 25 * MS, leg, Direction::ToCaller, answer)
        .segments = Some(near);
    scene.exchange(at_us + 100 * MS, &[leg], Verb::Bye, Direction::ToCaller, 200);
}

pub(super) fn transfer_answered(scene: &mut Scene<'_>) {
    let (first, _, second, offered) = transferred(scene);
    let rings = scene.ring_from(offered, &[second]);
    leave(scene, rings + 50 * MS, first);
    let picked_up = rings + scene.wait(S, 10 * S);
    scene.talk(picked_up, &[second]);
}

/// D51: the colleague is told, with the caller's number; whoever transferred did answer.
pub(super) fn transfer_unanswered(scene: &mut Scene<'_>) {
    let (first, colleague, second, offered) = transferred(scene);
    let rings = scene.ring_from(offered, &[second]);
    leave(scene, rings + 50 * MS, first);
    let over = rings + scene.patience();
    scene.pickable.push(over);
    scene.hang_up(over, &[second]);
    scene.missed_in(second, &colleague, Outcome::CallerHungUp);
}

/// D50: the transfer follows a call between the two colleagues, whose dialog the new INVITE replaces.
pub(super) fn transfer_attended(scene: &mut Scene<'_>) {
    let caller = scene.call_from(From::Outside);
    let callee = scene.callee();
    let first = scene.whole(&callee);
    let rings = scene.ring(&[first]);
    let answered = scene.answer_with(rings + 2 * S, &[first], 200);

    scene.call_as(&callee);
    let colleague = scene.colleague().desk.clone();
    let consulted = scene.whole(&colleague);
    scene.own_icid(consulted);
    let asks = answered + scene.wait(4 * S, 15 * S);
    let offered = scene.offer(asks, &[consulted]);
    let rings = scene.ring_from(offered, &[consulted]);
    let agreed = scene.answer_with(rings + 3 * S, &[consulted], 200) + scene.wait(3 * S, 20 * S);

    let accepted = refer(scene, agreed, first, &colleague);
    scene.call_as(&caller);
    let second = scene.served(&colleague);
    let replaced = scene.name(consulted);
    let options = scene.options(second);
    options.replaces = Some(replaced);
    options.confirmed = true;
    options.referred_by = Some(callee);
    scene.own_icid(second);
    let sent = accepted + scene.wait(10 * MS, 40 * MS);
    let offered = scene.invite(sent, second, None);
    scene.exchange(
        offered + 300 * MS,
        &[consulted],
        Verb::Bye,
        Direction::ToCaller,
        200,
    );
    leave(scene, offered + 400 * MS, first);
    scene.talk(offered + 20 * MS, &[second]);
}

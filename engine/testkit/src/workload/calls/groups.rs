//! Hunt groups (semantics.md D45 to D47, rows S25 to S27).

use ringtap_record::Outcome;

use super::super::scene::{From, LegIndex, MS, S, Scene};

/// A call to a group: the caller's side, and a leg of the application server's to each member.
struct Hunt {
    top: LegIndex,
    members: Vec<(LegIndex, String)>,
}

fn hunt(scene: &mut Scene<'_>) -> Hunt {
    let office = scene.office;
    let groups = office.groups();
    let group = &groups[scene.random.usize(..groups.len())];
    let numbers: Vec<String> = group
        .members
        .iter()
        .map(|member| office.people()[*member].desk.clone())
        .collect();
    while numbers.contains(&scene.call_from(From::Anywhere)) {}
    let top = scene.upstream(&group.number);
    let members = numbers
        .into_iter()
        .map(|number| {
            let leg = scene.served(&number);
            scene.sent_on_by(leg, &group.number, None);
            (leg, number)
        })
        .collect();
    Hunt { top, members }
}

/// All phones ring. Returns those that do, and when the caller hears it; a member that is busy keeps that
/// (D46).
fn all_ring(scene: &mut Scene<'_>, hunt: &Hunt) -> (Vec<(LegIndex, String)>, Vec<String>, i64) {
    let offered = scene.offer(0, &[hunt.top]);
    let busy_one = scene.chance(25);
    let mut ringing = Vec::new();
    let mut busy = Vec::new();
    let mut heard = offered;
    for (leg, number) in &hunt.members {
        let sent = offered + scene.wait(5 * MS, 20 * MS);
        let there = scene.invite(sent, *leg, None);
        if busy_one && busy.is_empty() {
            let refused = there + scene.wait(50 * MS, 300 * MS);
            scene.answer_with(refused, &[*leg], 486);
            busy.push(number.clone());
            continue;
        }
        let rings = scene.ring_from(there, &[*leg]);
        heard = heard.max(rings);
        ringing.push((*leg, number.clone()));
    }
    let heard = scene.answer_with(heard, &[hunt.top], 180);
    (ringing, busy, heard)
}

/// S25.
pub(super) fn parallel_answered(scene: &mut Scene<'_>) {
    let hunt = hunt(scene);
    let (ringing, _, heard) = all_ring(scene, &hunt);
    let picked_up = heard + scene.wait(S, 20 * S);
    let winner = scene.random.usize(..ringing.len());
    for (index, (leg, _)) in ringing.iter().enumerate() {
        if index != winner {
            let reasons: &[&str] = scene.one_of(&[
                &["SIP;cause=200"],
                &["SIP;cause=200;text=\"Call completed elsewhere\""],
                &["Q.850;cause=26"],
                &[],
            ]);
            scene.call_off(picked_up + 40 * MS, &[*leg], reasons);
        }
    }
    scene.talk(picked_up, &[hunt.top, ringing[winner].0]);
}

/// S26, and the same when the caller gives up.
pub(super) fn parallel_unanswered(scene: &mut Scene<'_>) {
    let hunt = hunt(scene);
    let (ringing, busy, heard) = all_ring(scene, &hunt);
    let legs: Vec<[LegIndex; 1]> = ringing.iter().map(|(leg, _)| [*leg]).collect();
    if scene.chance(50) {
        let over = heard + scene.patience();
        let branches: Vec<&[LegIndex]> = legs.iter().map(|leg| &leg[..]).collect();
        scene.hang_up_all(over, hunt.top, &branches);
    } else {
        let over = heard + scene.wait(20 * S, 40 * S);
        let ends: Vec<i64> = legs.iter().map(|leg| scene.call_off(over, leg, &[])).collect();
        let last = ends.into_iter().max().unwrap_or(over);
        scene.answer_with(last + 10 * MS, &[hunt.top], 480);
    }
    for (_, number) in &ringing {
        scene.missed(number, Outcome::GroupUnanswered);
    }
    for number in &busy {
        scene.missed(number, Outcome::Busy);
    }
}

/// S27: members before the one who answers hear nothing of it.
pub(super) fn sequential_answered(scene: &mut Scene<'_>) {
    let hunt = hunt(scene);
    let winner = scene.random.usize(..hunt.members.len());
    let mut at_us = scene.offer(0, &[hunt.top]);
    for (index, (leg, _)) in hunt.members.iter().enumerate().take(winner + 1) {
        let rings = one_rings(scene, &hunt, at_us, *leg, index == 0);
        if index == winner {
            let picked_up = rings + scene.wait(S, 8 * S);
            scene.talk(picked_up, &[hunt.top, *leg]);
            return;
        }
        at_us = next_turn(scene, rings, *leg);
    }
}

/// Nobody of a sequential group answers: the server gives up after the last, or the caller before.
pub(super) fn sequential_unanswered(scene: &mut Scene<'_>) {
    let hunt = hunt(scene);
    let gives_up_at = scene.random.usize(..hunt.members.len() * 2);
    let mut at_us = scene.offer(0, &[hunt.top]);
    for (index, (leg, number)) in hunt.members.iter().enumerate() {
        let rings = one_rings(scene, &hunt, at_us, *leg, index == 0);
        scene.missed(number, Outcome::GroupUnanswered);
        if index == gives_up_at {
            let over = rings + scene.wait(2 * S, 8 * S);
            scene.hang_up_all(over, hunt.top, &[&[*leg]]);
            return;
        }
        at_us = next_turn(scene, rings, *leg);
    }
    scene.answer_with(at_us, &[hunt.top], 480);
}

fn one_rings(scene: &mut Scene<'_>, hunt: &Hunt, at_us: i64, leg: LegIndex, first: bool) -> i64 {
    let offered = scene.invite(at_us, leg, None);
    let chain = [hunt.top, leg];
    scene.ring_from(offered, if first { &chain } else { &chain[1..] })
}

/// The member's phone rang out; returns when the next one's turn is.
fn next_turn(scene: &mut Scene<'_>, rings: i64, leg: LegIndex) -> i64 {
    let out = rings + scene.wait(10 * S, 20 * S);
    scene.call_off(out, &[leg], &[]) + scene.wait(20 * MS, 100 * MS)
}

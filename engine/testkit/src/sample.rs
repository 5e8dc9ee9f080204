//! The demo capture: a dozen calls of all kinds in two minutes of a working morning.

use crate::scenario::{self, Case};
use crate::wire::Wire;
use crate::{generate, mutate};

/// One call of the morning.
struct Entry {
    at_ms: i64,
    /// The case whose story it follows.
    case: &'static str,
    /// Who plays in it instead of the case's own people.
    parts: &'static [(&'static str, &'static str)],
}

const fn entry(at_ms: i64, case: &'static str, parts: &'static [(&'static str, &'static str)]) -> Entry {
    Entry { at_ms, case, parts }
}

const MORNING: [Entry; 13] = [
    entry(0, "S01", &[]),
    entry(3_200, "S02", &[("X1", "X2"), ("U1", "U2")]),
    entry(9_700, "S03/486", &[("U2", "U3")]),
    entry(14_100, "S32", &[("U1", "U5")]),
    entry(20_500, "S31", &[("X1", "X2")]),
    entry(27_300, "S22", &[("X1", "X2")]),
    entry(33_900, "S10", &[("U1", "U3")]),
    entry(41_600, "S06/603", &[]),
    entry(50_200, "S13/407", &[]),
    entry(58_800, "S08", &[]),
    entry(66_400, "S38", &[("U1", "U5")]),
    entry(79_000, "S15", &[("U2", "U3")]),
    entry(93_500, "S40", &[("U1", "U2")]),
];

/// The messages of the demo capture, ordered by time.
#[must_use]
pub fn messages() -> Vec<Wire> {
    let mut wires = Vec::new();
    for (call, salt) in MORNING.iter().zip(1..) {
        let case = whole_frames(&case(call.case).recast(call.parts));
        wires = mutate::interleaved(
            &wires,
            &generate::messages_salted(&case, salt),
            call.at_ms * 1_000,
        );
    }
    wires
}

/// The case with this name, as the binary and the sample name it: `S01`, `S03/600`; a row with
/// alternatives may be named without one and then means the first.
#[must_use]
pub fn find(name: &str) -> Option<Case> {
    let cases: Vec<Case> = scenario::all()
        .iter()
        .flat_map(scenario::Scenario::cases)
        .collect();
    cases
        .iter()
        .find(|case| case.name == name)
        .or_else(|| cases.iter().find(|case| case.id == name))
        .cloned()
}

fn case(name: &str) -> Case {
    find(name).unwrap_or_else(|| panic!("no case {name:?} in the corpus"))
}

/// The demo shows the hostile name, not the fragments that carry it in the corpus.
fn whole_frames(case: &Case) -> Case {
    let mut case = case.clone();
    for leg in &mut case.legs {
        leg.options.link = crate::Link {
            vlan: leg.options.link.vlan,
            ..crate::Link::default()
        };
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a morning that is not one: out of order, too long, with packets that need fragments.
    #[test]
    fn the_morning_is_two_minutes_of_whole_frames() {
        let wires = messages();
        assert!(wires.is_sorted_by_key(|wire| wire.time));
        let span_us = wires.last().unwrap().time - wires[0].time;
        assert!((60_000_000..125_000_000).contains(&span_us), "{span_us}");
        for wire in &wires {
            assert!(
                wire.payload.len() <= 1_472,
                "{}: {} bytes",
                wire.label,
                wire.payload.len()
            );
        }
        assert_eq!(wires, messages());
    }

    /// Catches two calls that share a Call-ID and would be taken for one.
    #[test]
    fn every_call_has_its_own_names() {
        let mut calls: Vec<String> = messages()
            .iter()
            .map(|wire| {
                let text = String::from_utf8_lossy(&wire.payload).into_owned();
                text.lines()
                    .find(|line| line.starts_with("Call-ID: "))
                    .unwrap()
                    .to_owned()
            })
            .collect();
        calls.sort();
        calls.dedup();
        assert_eq!(calls.len(), MORNING.len());
    }
}

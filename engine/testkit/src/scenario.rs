//! The scenario files: blocks of `key: value` lines, one block per row of the corpus.
//!
//! Keys are `id`, `name`, `legs`, `timeline`, `expected`, and optionally `waits` (why the row does not run
//! yet) and `waits-pcap` (why it does not run through a capture file yet). `#` starts a comment line.

use crate::expected::{self, Expected};
use crate::notation::{self, Leg, Step};

const FILES: [(&str, &str); 2] = [
    ("scenarios/core.scn", include_str!("../scenarios/core.scn")),
    ("scenarios/extra.scn", include_str!("../scenarios/extra.scn")),
];

/// One row of the corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// `S01` … `E10`.
    pub id: String,
    /// What happens, in words.
    pub name: String,
    /// The legs.
    pub legs: Vec<Leg>,
    /// The timeline as written, alternatives included.
    pub timeline: String,
    /// What must come out: with the default policy first, then for each changed switch.
    pub expected: Vec<Expected>,
    /// Why the row does not run yet.
    pub waits: Option<String>,
    /// Why the row does not run through a capture file yet.
    pub waits_pcap: Option<String>,
    cases: Vec<Case>,
}

impl Scenario {
    /// The row with each of its alternatives chosen in turn; a row without any is one case.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        self.cases.clone()
    }
}

/// A row with its alternatives resolved: what the generator takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `S01`, or `S03/600` for one alternative of a row. The empty alternative is called `plain`,
    /// the alternative `!` (not captured) is called `hidden`.
    pub name: String,
    /// The row's id.
    pub id: String,
    /// The legs.
    pub legs: Vec<Leg>,
    /// The steps, ordered by time.
    pub steps: Vec<Step>,
    /// What must come out: with the default policy first, then for each changed switch.
    pub expected: Vec<Expected>,
    /// Why the row does not run yet.
    pub waits: Option<String>,
    /// Why the row does not run through a capture file yet.
    pub waits_pcap: Option<String>,
}

impl Case {
    /// The same story with other people in it: each token is replaced as the pairs say. What is
    /// expected stays that of the row.
    #[must_use]
    pub fn recast(&self, parts: &[(&str, &str)]) -> Self {
        let replace = |token: &mut String| {
            if let Some((_, other)) = parts.iter().find(|(from, _)| from == token) {
                (*other).clone_into(token);
            }
        };
        let mut case = self.clone();
        for leg in &mut case.legs {
            replace(&mut leg.caller);
            replace(&mut leg.callee);
            leg.options.to.iter_mut().for_each(replace);
            if let Some((from, to, _)) = &mut leg.options.history {
                replace(from);
                replace(to);
            }
        }
        for step in &mut case.steps {
            step.asserted
                .iter_mut()
                .chain(&mut step.contact)
                .for_each(replace);
        }
        case
    }
}

/// A fault in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ScenarioError {
    /// The file.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Every row of the corpus, in its order.
///
/// # Panics
/// If a scenario file of this crate is faulty.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let read_one = |(file, text)| read(file, text).unwrap_or_else(|fault| panic!("{fault}"));
    FILES.into_iter().flat_map(read_one).collect()
}

/// The row called `id`.
#[must_use]
pub fn scenario(id: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.id == id)
}

/// Reads the text of a scenario file; `file` is its name for errors.
///
/// # Errors
/// The first fault, with file and line.
pub fn read(file: &str, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let fault = |line, problem| ScenarioError {
        file: file.to_owned(),
        line,
        problem,
    };
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut block: Vec<Entry<'_>> = Vec::new();
    for (index, line) in text.lines().chain([""]).enumerate() {
        let line_number = index + 1;
        if line.starts_with('#') {
            continue;
        }
        if !line.trim().is_empty() {
            let (key, value) = line
                .split_once(": ")
                .ok_or_else(|| fault(line_number, "no `key: value`".into()))?;
            block.push(Entry {
                line: line_number,
                key,
                value: value.trim(),
            });
            continue;
        }
        if let Some(first) = block.first() {
            let first_line = first.line;
            let scenario = read_block(&block).map_err(|(line, problem)| fault(line, problem))?;
            if scenarios.iter().any(|before| before.id == scenario.id) {
                return Err(fault(first_line, format!("{} stands there twice", scenario.id)));
            }
            scenarios.push(scenario);
            block.clear();
        }
    }
    Ok(scenarios)
}

struct Entry<'a> {
    line: usize,
    key: &'a str,
    value: &'a str,
}

const KEYS: [&str; 7] = [
    "id",
    "name",
    "legs",
    "timeline",
    "expected",
    "waits",
    "waits-pcap",
];

fn read_block(block: &[Entry<'_>]) -> Result<Scenario, (usize, String)> {
    if let Some(stranger) = block.iter().find(|entry| !KEYS.contains(&entry.key)) {
        return Err((stranger.line, format!("unknown key {:?}", stranger.key)));
    }
    let optional = |key: &str| block.iter().find(|entry| entry.key == key);
    let required = |key: &str| optional(key).ok_or_else(|| (block[0].line, format!("no `{key}`")));
    let text = |key: &str| optional(key).map(|entry| entry.value.to_owned());

    let id = required("id")?.value.to_owned();
    let legs_entry = required("legs")?;
    let legs = notation::read_legs(legs_entry.value).map_err(|fault| (legs_entry.line, fault))?;
    let expected_entry = required("expected")?;
    let expected = expected::read(expected_entry.value).map_err(|fault| (expected_entry.line, fault))?;
    let timeline = required("timeline")?;
    let mut scenario = Scenario {
        id: id.clone(),
        name: required("name")?.value.to_owned(),
        legs: legs.clone(),
        timeline: timeline.value.to_owned(),
        expected: expected.clone(),
        waits: text("waits"),
        waits_pcap: text("waits-pcap"),
        cases: Vec::new(),
    };
    for (alternative, line) in alternatives(timeline.value) {
        scenario.cases.push(Case {
            name: alternative.map_or_else(|| id.clone(), |alternative| format!("{id}/{alternative}")),
            id: id.clone(),
            legs: legs.clone(),
            steps: notation::read_timeline(&line, &legs).map_err(|fault| (timeline.line, fault))?,
            expected: expected.clone(),
            waits: scenario.waits.clone(),
            waits_pcap: scenario.waits_pcap.clone(),
        });
    }
    Ok(scenario)
}

/// Resolves `{a,b}`: the name of each alternative and the text with it in place.
fn alternatives(text: &str) -> Vec<(Option<String>, String)> {
    let braces = text
        .find('{')
        .zip(text.find('}'))
        .filter(|(open, close)| open < close);
    let Some((open, close)) = braces else {
        return vec![(None, text.to_owned())];
    };
    let resolve = |choice: &str| {
        let name = match choice {
            "" => "plain",
            "!" => "hidden",
            other => other,
        };
        (
            Some(name.to_owned()),
            format!("{}{choice}{}", &text[..open], &text[close + 1..]),
        )
    };
    text[open + 1..close].split(',').map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a row that was lost, an alternative that was not expanded, a row that runs although the
    /// engine cannot judge it yet. 59 cases and 65 checks are the counts of semantics.md §8.5.
    #[test]
    fn the_corpus_is_whole() {
        let scenarios = all();
        let ids: Vec<String> = scenarios.iter().map(|scenario| scenario.id.clone()).collect();
        let wanted: Vec<String> = (1..=40)
            .map(|n| format!("S{n:02}"))
            .chain((1..=10).map(|n| format!("E{n:02}")))
            .collect();
        assert_eq!(ids, wanted);

        let cases: Vec<Case> = scenarios.iter().flat_map(Scenario::cases).collect();
        assert_eq!(cases.len(), 59);
        assert_eq!(cases.iter().map(|case| case.expected.len()).sum::<usize>(), 65);
        assert_eq!(
            scenarios
                .iter()
                .filter(|scenario| scenario.waits.is_some())
                .count(),
            0
        );
        let waiting_pcap: Vec<&str> = scenarios
            .iter()
            .filter(|s| s.waits_pcap.is_some())
            .map(|s| s.id.as_str())
            .collect();
        assert_eq!(waiting_pcap, [""; 0]);
    }

    /// Catches braces resolved in the wrong place.
    #[test]
    fn alternatives_become_cases() {
        let names = |id: &str| {
            scenario(id)
                .unwrap()
                .cases()
                .iter()
                .map(|case| case.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("S33"), ["S33/488", "S33/408", "S33/481"]);
        assert_eq!(names("S36"), ["S36/plain", "S36/hidden"]);
        assert_eq!(names("S01"), ["S01"]);
        let hidden = &scenario("S36").unwrap().cases()[1];
        assert_eq!(hidden.steps.iter().filter(|step| step.hidden).count(), 2);
    }

    /// Catches an error that does not lead to its line.
    #[test]
    fn errors_name_file_and_line() {
        let text = "# head\n\nid: T1\nname: n\nlegs: a: GI X1→U1\ntimeline: 0:a>INF\nexpected: none BUSY\n";
        let fault = read("t.scn", text).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "t.scn:6: step \"0:a>INF\": unknown request \"INF\""
        );
        assert_eq!(read("t.scn", "id: T1\nname: n\n").unwrap_err().line, 1);
        assert_eq!(read("t.scn", "\nid: T1\ncolour: red\n").unwrap_err().line, 3);
    }
}

//! The cores that readers are to have: whether they are theirs alone, and run at full speed.

use super::Finding;
use super::host::Files;

/// Each of the cores, and whether their number goes with that of the queues.
pub(super) fn all(files: &Files, cores: &[usize], queues: u32) -> Vec<Finding> {
    if cores.is_empty() {
        return vec![
            Finding::unknown("cores", "none was named")
                .means("one reader works on whichever core is free")
                .mend("--cores LIST names those that are looked at, here as for `ringtap run`"),
        ];
    }
    let mut findings = vec![dealt(cores.len(), queues)];
    let set = |name: &str| Set::read(&files.read(name).unwrap_or_default());
    let (isolated, tickless) = (
        set("sys/devices/system/cpu/isolated"),
        set("sys/devices/system/cpu/nohz_full"),
    );
    let online = files
        .read("sys/devices/system/cpu/online")
        .map(|text| Set::read(&text));
    for core in cores {
        let subject = format!("core {core}");
        if online.as_ref().is_some_and(|online| !online.holds(*core)) {
            findings.push(
                Finding::fail("core", "is not there, or not online")
                    .of(subject)
                    .mend("another --cores; `lscpu -e` lists them"),
            );
            continue;
        }
        findings.push(isolation(isolated.holds(*core), tickless.holds(*core)).of(&subject));
        let governor = files.read(&governor_file(*core));
        findings.push(speed(*core, governor.as_deref()).of(&subject));
    }
    findings
}

pub(super) fn governor_file(core: usize) -> String {
    format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")
}

fn dealt(cores: usize, queues: u32) -> Finding {
    let saw = format!("{cores} for {queues} receive queues");
    match u32::try_from(cores).unwrap_or(u32::MAX) {
        cores if cores > queues => Finding::warn("cores", saw)
            .means("cores without a queue stay idle")
            .mend("more queues (`ethtool -L IF combined N`), or fewer cores"),
        cores if !queues.is_multiple_of(cores) => Finding::warn("cores", saw)
            .means("one core has more queues than another")
            .mend("as many queues as cores, or a multiple (`ethtool -L IF combined N`)"),
        _ => Finding::ok("cores", saw),
    }
}

fn isolation(isolated: bool, tickless: bool) -> Finding {
    match (isolated, tickless) {
        (true, true) => Finding::ok("core_isolation", "isolated, without the scheduler's tick"),
        (true, false) => Finding::ok("core_isolation", "isolated; the scheduler's tick goes on")
            .mend("nohz_full=LIST on the kernel's command line ends that too"),
        (false, _) => Finding::warn("core_isolation", "not isolated")
            .means("other threads may work on it, and frames wait meanwhile")
            .mend("isolcpus=LIST nohz_full=LIST on the kernel's command line, or CPUAffinity= in the other services"),
    }
}

fn speed(core: usize, governor: Option<&str>) -> Finding {
    match governor {
        Some("performance") => Finding::ok("core_governor", "performance"),
        Some(other) => Finding::warn("core_governor", other)
            .means("the core slows down between frames and is late for the next burst")
            .mend(format!("echo performance > /{}", governor_file(core))),
        // Virtual machines mostly.
        None => Finding::unknown("core_governor", "the kernel does not govern its speed"),
    }
}

/// A set as the kernel writes it: `0-3,6`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Set(Vec<(usize, usize)>);

impl Set {
    fn read(text: &str) -> Self {
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
        };
        Self(text.split(',').filter_map(range).collect())
    }

    fn holds(&self, core: usize) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&core))
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::fs;

    /// Catches a core of which is told what holds for another, and one that does not exist and is not told.
    #[test]
    fn each_core_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/isolated", "2-3\n"),
            ("sys/devices/system/cpu/nohz_full", "3\n"),
            (&governor_file(1), "powersave\n"),
            (&governor_file(3), "performance\n"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = all(&Files::below(folder.path()), &[1, 2, 3, 9], 4);
        let states: Vec<_> = found
            .iter()
            .map(|finding| {
                (
                    finding.check,
                    finding.subject.as_deref().unwrap_or(""),
                    finding.state,
                )
            })
            .collect();
        assert_eq!(
            states,
            [
                ("cores", "", State::Ok),
                ("core_isolation", "core 1", State::Warn),
                ("core_governor", "core 1", State::Warn),
                ("core_isolation", "core 2", State::Ok),
                ("core_governor", "core 2", State::Unknown),
                ("core_isolation", "core 3", State::Ok),
                ("core_governor", "core 3", State::Ok),
                ("core", "core 9", State::Fail),
            ]
        );
    }

    /// Catches queues that are dealt out unevenly, or cores without one, and not told.
    #[test]
    fn cores_and_queues() {
        for (cores, queues, expected) in [
            (2, 2, State::Ok),
            (2, 4, State::Ok),
            (2, 3, State::Warn),
            (3, 2, State::Warn),
        ] {
            assert_eq!(dealt(cores, queues).state, expected, "{cores} for {queues}");
        }
    }
}

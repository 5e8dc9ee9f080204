//! The host and this process: kernel, capabilities, memory, clock.

use std::fs;
use std::path::PathBuf;

use caps::{CapSet, Capability};
use ringtap_xsk::{Interface, QueueOptions};
use rustix::process::{Resource, getrlimit};

use super::Finding;

/// What a capture takes (docs/operations.md).
const NEEDED: [(Capability, &str); 3] = [
    (Capability::CAP_NET_RAW, "CAP_NET_RAW"),
    (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    (Capability::CAP_BPF, "CAP_BPF"),
];
/// The oldest Linux that has what the XDP program uses, and the one from which its counters can be read without privileges.
const OLDEST: (u32, u32) = (5, 18);
const FRAMES_IN_PARTS: (u32, u32) = (6, 6);
/// What an engine takes beside its frames with the usual table, roughly.
const ENGINE_BYTES: u64 = 1 << 30;

/// Files in which the kernel tells of itself: all of them below one root, so that tests can have their own.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    pub(super) fn of_this_host() -> Self {
        Self { root: "/".into() }
    }

    #[cfg(test)]
    pub(super) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What stands in one, without the space around it; `None` if it is not there, or is not for us.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(name)).ok()?;
        Some(text.trim().to_owned())
    }
}

/// Whether this process may.
pub(super) fn process() -> Vec<Finding> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(capability, _)| !has(*capability))
        .map(|(_, name)| *name)
        .collect();
    let nice = if has(Capability::CAP_SYS_NICE) {
        Finding::ok("precedence", "CAP_SYS_NICE is there")
    } else {
        Finding::warn("precedence", "CAP_SYS_NICE is missing")
            .means("readers take no precedence over other threads of their cores")
            .mend("AmbientCapabilities=CAP_SYS_NICE beside the others, or cores that nothing else works on")
    };
    let needed = if missing.is_empty() {
        Finding::ok("capabilities", "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF are there")
    } else {
        Finding::fail("capabilities", format!("missing: {}", missing.join(", ")))
            .means("interfaces cannot be captured by this process")
            .mend(
                "start as root, by a service with AmbientCapabilities=, or: setcap \
                 cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock,cap_sys_nice+ep /usr/local/bin/ringtap",
            )
    };
    vec![needed, nice]
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Version and switches of the kernel.
pub(super) fn kernel(files: &Files) -> Vec<Finding> {
    let release = files.read("proc/sys/kernel/osrelease").unwrap_or_default();
    let version = match version(&release) {
        None => Finding::unknown("kernel", format!("`{release}` is no version that is understood")),
        Some(version) if version < OLDEST => Finding::fail("kernel", format!("Linux {release}"))
            .means("the XDP program does not load")
            .mend("Linux 5.18 or newer"),
        Some(version) if version < FRAMES_IN_PARTS => Finding::ok("kernel", format!("Linux {release}"))
            .means("packets longer than a frame are lost; Linux 6.6 hands them over in parts"),
        Some(_) => Finding::ok("kernel", format!("Linux {release}")),
    };
    let jit = match files.read("proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Finding::warn("bpf_jit", "off")
            .means("the XDP program is interpreted, several times as slow")
            .mend("sysctl -w net.core.bpf_jit_enable=1"),
        Some(_) => Finding::ok("bpf_jit", "on"),
        // Kernels that always compile have no such switch, and others root alone may read it.
        None => Finding::unknown("bpf_jit", "the kernel does not tell"),
    };
    vec![version, jit]
}

/// `6.1.0-18-amd64` → 6, 1.
pub(crate) fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest.get(..end)?.parse().ok()?))
}

/// Memory for frames: whether it is there, may be locked, and in which pages.
pub(super) fn memory(files: &Files, interfaces: &[Interface], queue: QueueOptions) -> Vec<Finding> {
    let needed: u64 = interfaces
        .iter()
        .map(|interface| {
            let frame_bytes = queue.frame_bytes.unwrap_or_else(|| {
                let mtu = interface.mtu().unwrap_or(1500);
                ringtap_xsk::frame_bytes_for(mtu)
            });
            u64::from(interface.queues().unwrap_or(1)) * u64::from(frame_bytes) * u64::from(queue.ring_frames)
        })
        .sum();
    let limit = getrlimit(Resource::Memlock);
    let may_raise = has(Capability::CAP_IPC_LOCK) || has(Capability::CAP_SYS_RESOURCE);
    let mut findings = vec![memlock(needed, limit.maximum, may_raise)];
    let facts = files
        .read("proc/meminfo")
        .map(|text| Meminfo::read(&text))
        .unwrap_or_default();
    findings.push(facts.huge_pages(needed));
    findings.push(facts.available(needed));
    findings
}

fn memlock(needed: u64, limit: Option<u64>, may_raise: bool) -> Finding {
    let needed_mib = mib(needed);
    match limit {
        _ if may_raise => Finding::ok("memlock", format!("{needed_mib} MiB for frames may be locked")),
        None => Finding::ok("memlock", "not limited"),
        Some(limit) if limit >= needed => Finding::ok(
            "memlock",
            format!(
                "{} MiB may be locked, and {needed_mib} MiB are needed for frames",
                mib(limit)
            ),
        ),
        Some(limit) => Finding::fail(
            "memlock",
            format!(
                "{} KiB may be locked, and {needed_mib} MiB are needed for frames",
                limit >> 10
            ),
        )
        .mend(
            "LimitMEMLOCK=infinity in the service, `ulimit -l unlimited`, or a smaller capture.ring_frames",
        ),
    }
}

const fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// What of /proc/meminfo matters, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meminfo {
    available: Option<u64>,
    huge_free: Option<u64>,
    huge_bytes: Option<u64>,
}

impl Meminfo {
    fn read(text: &str) -> Self {
        let number = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(':')?.split_whitespace().next()?.parse().ok()
        };
        Self {
            available: number("MemAvailable").map(|kib| kib << 10),
            huge_free: number("HugePages_Free"),
            huge_bytes: number("Hugepagesize").map(|kib| kib << 10),
        }
    }

    fn huge_pages(self, needed: u64) -> Finding {
        let (Some(free), Some(bytes)) = (self.huge_free, self.huge_bytes.filter(|bytes| *bytes > 0)) else {
            return Finding::unknown("huge_pages", "the kernel does not tell, or has none");
        };
        let pages = needed.div_ceil(bytes);
        let saw = format!(
            "{free} free of {} KiB, and {pages} would hold all frames",
            bytes >> 10
        );
        if free >= pages {
            return Finding::ok("huge_pages", saw);
        }
        Finding::warn("huge_pages", saw)
            .means("frames lie in small pages, which costs a little time for each")
            .mend(format!(
                "sysctl -w vm.nr_hugepages=N, with N {} more than now",
                pages - free
            ))
    }

    fn available(self, needed: u64) -> Finding {
        let Some(available) = self.available else {
            return Finding::unknown("memory", "the kernel does not tell how much is free");
        };
        let saw = format!(
            "{} MiB available; frames take {} MiB",
            mib(available),
            mib(needed)
        );
        if available < needed {
            return Finding::fail("memory", saw).mend("more memory, or a smaller capture.ring_frames");
        }
        if available < needed + ENGINE_BYTES {
            return Finding::warn("memory", saw)
                .means("the call tables take up to 1 GiB more with the usual limits")
                .mend("more memory, or smaller limits.calls_max and limits.reassembly_bytes_max");
        }
        Finding::ok("memory", saw)
    }
}

/// Whether calls will be dated rightly, and how much it costs to look at the time.
pub(super) fn clock(files: &Files) -> Vec<Finding> {
    let kept = match ringtap_xsk::clock_is_kept() {
        Ok(true) => Finding::ok("clock", "kept right by NTP or PTP"),
        Ok(false) => Finding::warn("clock", "nothing keeps it right")
            .means("calls are dated by a clock that drifts")
            .mend("timedatectl set-ntp true, or install chrony"),
        Err(error) => Finding::unknown("clock", format!("the kernel does not tell: {error}")),
    };
    let source = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = match files.read(source) {
        // Read by user space itself; others take a system call for each look.
        Some(name) if ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"].contains(&name.as_str()) => {
            Finding::ok("clock_source", name)
        }
        Some(name) => Finding::warn("clock_source", name)
            .means("each look at the time is a system call, and there is one for each batch of frames")
            .mend("cat /sys/devices/system/clocksource/clocksource0/available_clocksource shows others; BIOS and hypervisor decide"),
        None => Finding::unknown("clock_source", "the kernel does not tell"),
    };
    vec![kept, source]
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    /// Catches a kernel taken for older or newer than it is: 5.4 and 5.18 are not told apart as decimal fractions.
    #[test]
    fn versions() {
        for (release, expected) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.18.0", Some((5, 18))),
            ("5.4.0-150-generic", Some((5, 4))),
            ("7.0-rc1", Some((7, 0))),
            ("six", None),
            ("6", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (release, jit, expected) in [
            ("5.15.0-91-generic\n", "1\n", [State::Fail, State::Ok]),
            ("6.8.12\n", "0\n", [State::Ok, State::Warn]),
        ] {
            write("proc/sys/kernel/osrelease", release);
            write("proc/sys/net/core/bpf_jit_enable", jit);
            let states: Vec<State> = kernel(&Files::below(folder.path()))
                .iter()
                .map(|found| found.state)
                .collect();
            assert_eq!(states, expected, "{release}");
        }
    }

    /// Catches pages and kibibytes taken for each other, and memory that is short and not told.
    #[test]
    fn what_meminfo_says() {
        let text = "MemTotal:       16316412 kB\nMemAvailable:    4194304 kB\nHugePages_Total:      64\nHugePages_Free:       32\n\
                    HugePages_Rsvd:        0\nHugepagesize:       2048 kB\n";
        let facts = Meminfo::read(text);
        assert_eq!(facts.available, Some(4 << 30));
        assert_eq!((facts.huge_free, facts.huge_bytes), (Some(32), Some(2 << 20)));
        assert_eq!(facts.huge_pages(64 << 20).state, State::Ok);
        let short = facts.huge_pages(65 << 20);
        assert_eq!(short.state, State::Warn);
        assert!(short.mend.unwrap().contains("N 1 more"));
        assert_eq!(facts.available(1 << 30).state, State::Ok);
        assert_eq!(facts.available(7 << 29).state, State::Warn);
        assert_eq!(facts.available(5 << 30).state, State::Fail);
        assert_eq!(Meminfo::read("nothing").huge_pages(1).state, State::Unknown);
    }

    /// Catches a limit that is enough and told, or too small and not told.
    #[test]
    fn limits_of_locked_memory() {
        assert_eq!(memlock(64 << 20, Some(8 << 20), false).state, State::Fail);
        assert_eq!(memlock(64 << 20, Some(8 << 20), true).state, State::Ok);
        assert_eq!(memlock(64 << 20, Some(64 << 20), false).state, State::Ok);
        assert_eq!(memlock(64 << 20, None, false).state, State::Ok);
    }
}

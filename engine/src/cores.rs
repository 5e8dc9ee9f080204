//! Cores that threads are pinned to.

use std::io;

use rustix::thread::CpuSet;
use thiserror::Error;

/// As nice(1) counts: nine parts in ten of the core, where another thread wants it too.
const URGENT: i32 = -10;
const MOST_URGENT: i32 = -20;

/// A core that does not exist, or that this process may not use.
#[derive(Debug, Error)]
#[error("cannot use core {core}: {source} (--cores)")]
pub struct CoreError {
    /// Its number.
    pub core: usize,
    /// What the system said.
    pub source: io::Error,
}

/// Whether this process may use each of these cores.
///
/// # Errors
/// The first that it may not.
pub(crate) fn check(cores: &[usize]) -> Result<(), CoreError> {
    let Some(first) = cores.first() else { return Ok(()) };
    let usable = rustix::thread::sched_getaffinity(None).map_err(|errno| CoreError {
        core: *first,
        source: errno.into(),
    })?;
    match cores
        .iter()
        .find(|core| **core >= CpuSet::MAX_CPU || !usable.is_set(**core))
    {
        None => Ok(()),
        Some(core) => Err(CoreError {
            core: *core,
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("this process may use {}", ranges(&usable)),
            ),
        }),
    }
}

/// Cores for people: `0-3, 6`.
fn ranges(set: &CpuSet) -> String {
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
    let runs = cores.chunk_by(|a, b| a + 1 == *b).filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        Some(if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        })
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// Pins this thread to one core.
pub(crate) fn pin(core: usize) -> Result<(), CoreError> {
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|errno| CoreError {
        core,
        source: errno.into(),
    })
}

/// The cores that a thread may use before it is pinned, for threads that it starts afterwards and that are not bound to its one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anywhere(Option<CpuSet>);

impl Anywhere {
    /// Those of this thread.
    pub(crate) fn of_now() -> Self {
        Self(rustix::thread::sched_getaffinity(None).ok())
    }

    /// How many they are.
    pub(crate) fn cores(&self) -> u32 {
        self.0.as_ref().map_or(1, CpuSet::count)
    }

    /// Which they are.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let set = self.0.as_ref();
        (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_some_and(|set| set.is_set(*core)))
            .collect()
    }

    /// All but this one, if there are others.
    pub(crate) fn without(mut self, core: usize) -> Self {
        if let Some(set) = self.0.as_mut().filter(|set| set.count() > 1) {
            set.unset(core);
        }
        self
    }

    /// Starts threads that may use them, wherever this one may run: threads begin where their starter is.
    pub(crate) fn start<T>(&self, start: impl FnOnce() -> T) -> T {
        let own = Self::of_now();
        self.spread();
        let started = start();
        own.spread();
        started
    }

    /// Lets this thread use them.
    pub(crate) fn spread(&self) {
        if let Some(set) = &self.0 {
            // Where it fails the thread stays where it is: slower, but right.
            let _stays = rustix::thread::sched_setaffinity(None, set);
        }
    }
}

/// Gives this thread, and those it starts meanwhile, precedence over others of their cores, the program's own above all, until this is
/// dropped: a ring that is read too late loses frames, while all other work can wait for a moment.
#[derive(Debug)]
pub(crate) struct Precedence {
    before: Option<i32>,
}

impl Precedence {
    /// Takes it where this process may (CAP_SYS_NICE), and says so where it may not.
    pub(crate) fn take() -> Self {
        // Threads inherit it, so it says how urgent the whole program is.
        let before = rustix::process::getpriority_process(None).unwrap_or(0);
        let wanted = (before + URGENT).clamp(MOST_URGENT, URGENT);
        let is_taken = rustix::process::setpriority_process(None, wanted).is_ok();
        if !is_taken {
            tracing::info!(
                "readers have no precedence over other threads of their cores, for want of CAP_SYS_NICE"
            );
        }
        Self {
            before: is_taken.then_some(before),
        }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // To have less is always allowed.
            let _as_it_was = rustix::process::setpriority_process(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches threads that are left the first worker's core, or no core at all.
    #[test]
    fn all_cores_but_one() {
        let mut set = CpuSet::new();
        set.set(3);
        let only = Anywhere(Some(set));
        assert_eq!(only.without(3).numbers(), [3]);
        set.set(5);
        let two = Anywhere(Some(set));
        assert_eq!((two.cores(), two.without(3).numbers()), (2, vec![5]));
        assert_eq!(two.without(4).numbers(), [3, 5]);
    }

    /// Catches cores told otherwise than they are.
    #[test]
    fn cores_for_people() {
        let mut set = CpuSet::new();
        for core in [0, 1, 2, 6, 8, 9] {
            set.set(core);
        }
        assert_eq!(ranges(&set), "0-2, 6, 8-9");
    }
}

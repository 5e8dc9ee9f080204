//! The one thread that keeps privileges: it opens interfaces that have gone and come back.

use std::thread;

use caps::CapsHashSet;
use crossbeam::channel::{Sender, bounded, unbounded};
use seccompiler::BpfProgram;

use super::{ConfineError, hold};

type Job = Box<dyn FnOnce() + Send>;

/// A handle of it. The thread ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(Sender<Job>);

impl Keeper {
    /// Starts it, with these capabilities and system calls.
    pub(super) fn start(capabilities: &CapsHashSet, filter: BpfProgram) -> Result<Self, ConfineError> {
        let (jobs, inbox) = unbounded::<Job>();
        let (confined, is_confined) = bounded(1);
        let capabilities = capabilities.clone();
        thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                let result = hold(&capabilities).and_then(|()| Ok(seccompiler::apply_filter(&filter)?));
                let is_fit = result.is_ok();
                let _starter_gone = confined.send(result);
                if is_fit {
                    for job in inbox {
                        job();
                    }
                }
            })
            .map_err(|source| ConfineError::system("start a thread", source))?;
        match is_confined.recv() {
            Ok(Err(error)) => Err(error),
            _ => Ok(Self(jobs)),
        }
    }

    /// Has it do that, and waits for what comes of it. `None`: it is gone, by a fault of the program.
    pub(crate) fn have<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = bounded(1);
        let job = move || {
            let _nobody_waits = answer.send(work());
        };
        self.0.send(Box::new(job)).ok()?;
        answered.recv().ok()
    }
}

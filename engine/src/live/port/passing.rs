//! How an interface passes from one process to the next: let go, taken after that, and taken back where that fails.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use ringtap_calls::Gap;
use ringtap_record::Time;
use ringtap_xdp::{Action, LinkPlace};
use ringtap_xsk::{Bridge, Interface, Link, Queue, detach_link, link_descriptor};
use rustix::process::Pid;

use super::{Holder, Open, Port, PortError, PortOptions, tell_down};
use crate::live::opened::{Inherited, Opened, Prepared};
use crate::live::time::WallClock;

/// How long it takes a frame at most that an XDP program has judged to be where it was sent to, where the kernel does not tell; and how long it
/// may take to tell.
const LANDING: Duration = Duration::from_millis(100);
const LANDING_MAX: Duration = Duration::from_secs(1);

impl Port {
    /// One that a predecessor captures still.
    pub(in crate::live) fn awaiting(name: &str, options: &PortOptions) -> Self {
        Self {
            holder: Holder::Predecessor,
            ..Self::new(name, options)
        }
    }

    /// Its name.
    pub(in crate::live) fn name(&self) -> &str {
        &self.name
    }

    /// Does what takes long of [`Port::open_after`], before the predecessor lets it go.
    pub(in crate::live) fn prepare(&mut self) -> Result<(), PortError> {
        let (name, options) = (self.name.clone(), self.options.clone());
        self.prepared = Some(self.privileged(move || Prepared::new(&name, &options))?);
        Ok(())
    }

    /// Hears what the program lets pass from now on.
    pub(in crate::live) fn bridge(&self) -> Result<Bridge, PortError> {
        let name = self.name.clone();
        self.privileged(move || Ok(Bridge::open(&Interface::find(&name)?)?))
    }

    /// Opens it after a predecessor has let it go. Queues that are taken are waited for until then. The queues are to be read, and then put into the map by [`Port::receive_by`].
    pub(in crate::live) fn open_after(
        &mut self,
        inherited: Option<Inherited>,
        clock: &WallClock,
        until: Instant,
    ) -> Result<Vec<Queue>, PortError> {
        let (name, options) = (self.name.clone(), self.options.clone());
        let prepared = self.prepared.take();
        let before = clock.now();
        let opened = self.privileged(move || Opened::after(&name, &options, prepared, inherited, until))?;
        Ok(self.begin(opened, before))
    }

    /// Has the program give the frames of these queues to their sockets.
    pub(in crate::live) fn receive_by(&mut self, sockets: &[(u32, OwnedFd)]) -> Result<(), PortError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        for (queue, socket) in sockets {
            let set = open.program.set_socket(*queue, socket.as_fd());
            set.map_err(|source| PortError::Xdp {
                interface: self.name.clone(),
                source,
            })?;
        }
        // What found no socket before found a bridge.
        await_landing();
        if let Ok(counters) = open.program.counters() {
            open.unserved = counters.action(Action::NoSocket);
        }
        Ok(())
    }

    /// Has the program let frames pass to the network stack, where an heir hears them. Everything but its queues stays open.
    /// What was lost by now is told.
    pub(in crate::live) fn let_go(&mut self, now: Time, gaps: &mut Vec<Gap>) -> Result<(), PortError> {
        self.holder = Holder::Heir;
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.link == Link::Running {
            self.well_at = Some(now);
        }
        // Before frames find no socket on purpose.
        open.look_at = Instant::now();
        let _queues_may_have_changed = open.look(now, gaps, &mut self.nic_lost);
        for queue in 0..open.queues {
            let cleared = open.program.clear_socket(queue);
            cleared.map_err(|source| PortError::Xdp {
                interface: self.name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// The attachment, for an heir; `None` if it is not open.
    pub(in crate::live) fn inheritance(&self) -> io::Result<Option<Inherited>> {
        self.open.as_ref().map_or(Ok(None), inheritance)
    }

    /// Takes the program off, for an heir that attaches its own.
    pub(in crate::live) fn make_way(&mut self) {
        if let Some(open) = &mut self.open {
            open.program.detach();
        }
    }

    /// Opens it again at the next look, for the heir is gone, or stands still: nothing has come since it was let go.
    /// Whether it had been let go: then what is left of its queues is to be closed.
    ///
    /// A queue that the heir has bound stays taken for as long as that process lives.
    pub(in crate::live) fn take_back(&mut self, heir: Pid, now: Time, gaps: &mut Vec<Gap>) -> bool {
        if self.holder != Holder::Heir {
            return false;
        }
        self.heir = Some(heir);
        if let Some(mut open) = self.open.take() {
            self.keep_counts(&open);
            // An heir that stands still has the link too, perhaps with its own program, and would keep the place.
            if let Ok(Some(Inherited { link, .. })) = inheritance(&open) {
                let detached = self.privileged(move || Ok(detach_link(link.as_fd())));
                tracing::debug!(?detached, "the link is dead");
            }
            open.program.detach();
            self.down_since.get_or_insert(self.well_at.unwrap_or(open.looked));
        }
        self.holder = Holder::Us;
        self.try_at = Instant::now();
        // Before the next tick judges what was not heard.
        if let Some(since) = self.down_since {
            tell_down(gaps, since, now);
        }
        true
    }

    /// Opens it at the next look, for the predecessor is gone without a word: nothing has come since then.
    pub(in crate::live) fn seize(&mut self, since: Time, now: Time, gaps: &mut Vec<Gap>) {
        self.holder = Holder::Us;
        let since = *self.down_since.get_or_insert(since);
        self.try_at = Instant::now();
        self.is_untried = true;
        tell_down(gaps, since, now);
    }

    /// Whether it is captured.
    pub(in crate::live) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it could not be opened so far, though it is there.
    pub(in crate::live) const fn is_refused(&self) -> bool {
        self.open.is_none() && (self.is_untried || self.complaint.is_some())
    }
}

/// Waits until frames that a program has judged by what its map held are where they were sent to. A frame is on its way for microseconds; on a busy
/// machine the kernel may take half a minute to be certain of that, for it waits for every task that it has interrupted. So not that long.
pub(in crate::live) fn await_landing() {
    let began = Instant::now();
    let (landed, has_landed) = bounded(1);
    let look = move || landed.send(ringtap_xsk::frames_have_landed());
    let asked = thread::Builder::new().name("landing".to_owned()).spawn(look);
    let is_certain = asked.is_ok() && has_landed.recv_timeout(LANDING_MAX) == Ok(true);
    if !is_certain {
        thread::sleep(LANDING.saturating_sub(began.elapsed()));
    }
}

fn inheritance(open: &Open) -> io::Result<Option<Inherited>> {
    let link = match open.program.link() {
        None => return Ok(None),
        Some(LinkPlace::Number(number)) => link_descriptor(number)?,
        Some(LinkPlace::Descriptor(link)) => link.try_clone_to_owned()?,
    };
    Ok(Some(Inherited {
        link,
        attached: open.attached,
    }))
}

//! Who answers at the door: a thread that speaks with heirs, one at a time, for the process that captures.
//!
//! What concerns readers, interfaces and legs it asks the thread that ticks for ([`Request`]); what takes privileges, the keeper. Of who only
//! knocks little is believed and little held: an heir is who may capture itself (`licence`).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};
use parking_lot::Mutex;
use ringtap_calls::{Gap, GapKind, HASHES};
use rustix::net::UCred;
use rustix::net::sockopt::socket_peercred;
use rustix::process::Pid;

use super::feed;
use super::licence::is_licence;
use super::predecessor::{Estate, Gone, Legacy, Request};
use super::standing::Phase;
use super::wire::{Connection, Hello, LinkOf, Message, PROTOCOL, Received, Talker, Welcome};
use crate::live::reader::Common;

/// Visitors that are spoken with at one time.
const VISITORS_MAX: usize = 4;
/// How long an heir may take to say what it wants.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// How often an heir is told how the predecessor stands.
const STATE: Duration = Duration::from_millis(200);
/// How long is waited for what another thread does.
pub(super) const WORK_PATIENCE: Duration = Duration::from_secs(30);
/// How long an heir may take from being given the queues until it captures: more than it needs for all that it may wait for.
pub(super) const CHANGE_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to hear that it is to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the thread that answers knows.
pub(super) struct Host {
    common: Arc<Common>,
    legacy: Arc<Legacy>,
    estate: Estate,
    door: UnixListener,
    requests: Sender<Request>,
    is_taken: Mutex<()>,
    /// An heir captures: whoever knocks is to be answered by that.
    has_handed_over: AtomicBool,
    visitors: AtomicUsize,
}

/// One visitor's place, free again when this is dropped.
struct Visit(Arc<Host>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.visitors.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Host {
    pub(super) fn new(
        door: UnixListener,
        estate: Estate,
        common: &Arc<Common>,
        legacy: &Arc<Legacy>,
        requests: Sender<Request>,
    ) -> Arc<Self> {
        Arc::new(Self {
            common: Arc::clone(common),
            legacy: Arc::clone(legacy),
            estate,
            door,
            requests,
            is_taken: Mutex::new(()),
            has_handed_over: AtomicBool::new(false),
            visitors: AtomicUsize::new(0),
        })
    }

    /// Answers whoever knocks, until the process ends.
    pub(super) fn answer(self: Arc<Self>) {
        loop {
            let stream = match self.door.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!(%error, "nobody can knock");
                    thread::sleep(STATE);
                    continue;
                }
            };
            if self.visitors.load(Ordering::Relaxed) >= VISITORS_MAX {
                tracing::debug!("too many want to take over at one time");
                continue;
            }
            self.visitors.fetch_add(1, Ordering::Relaxed);
            let visit = Visit(Arc::clone(&self));
            let answer = move || {
                if let Err(error) = visit.0.receive(stream) {
                    tracing::debug!(%error, "a visitor who wanted nothing");
                }
            };
            if let Err(error) = thread::Builder::new().name("hand-over".to_owned()).spawn(answer) {
                tracing::warn!(%error, "no thread to answer who wants to take over");
            }
        }
    }

    /// One visitor.
    fn receive(&self, stream: UnixStream) -> io::Result<()> {
        let peer = socket_peercred(&stream)?;
        let mut connection = Connection::with_visitor(stream)?;
        let talker = connection.sender()?;
        let refuse = |why: String| {
            tracing::warn!("refused to hand over to process {}: {why}", peer.pid);
            talker.send(&Message::Refused { why })
        };
        // First: who is refused before it has spoken does not hear why.
        let Some(Received::Message(Message::Hello(hello))) = connection.receive(HELLO_PATIENCE)? else {
            return refuse("it does not say what it wants".to_owned());
        };
        let shown = connection.take_descriptors(1).ok();
        let is_fit = self.check(&hello).and_then(|()| self.admit(&peer, shown));
        if let Err(why) = is_fit {
            return refuse(why);
        }
        let Some(_taken) = self.is_taken.try_lock() else {
            return refuse("another process is taking over already".to_owned());
        };
        if self.has_handed_over.load(Ordering::Relaxed) {
            return refuse("another process has just taken over: try again".to_owned());
        }
        let (talker, feeds) = self.welcome(talker)?;
        tracing::info!(
            "process {} (version {}) listens, to take over",
            peer.pid,
            hello.version
        );
        self.legacy.is_wanted(true);
        self.common.board.hand_over.enter(Phase::Feeding);
        let ended = self.serve(&mut connection, talker, feeds);
        if let Err(error) = &ended {
            self.part(&mut connection, peer.pid, error);
        }
        self.legacy.is_wanted(false);
        Ok(())
    }

    /// The heir has not taken over: either it is to end, or it is left alone.
    fn part(&self, connection: &mut Connection, heir: Pid, error: &io::Error) {
        let is_leaving = self.legacy.is_leaving();
        let farewell = if is_leaving {
            Message::Leaving
        } else {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it is gone".to_owned(),
                io::ErrorKind::WouldBlock => {
                    "it stands still, and takes nothing of what is said to it".to_owned()
                }
                _ => error.to_string(),
            };
            tracing::warn!("process {heir} does not take over: {why}");
            Message::Farewell { why }
        };
        // Or else it takes the end of the connection for this process's.
        let is_brief = connection.stream().set_write_timeout(Some(FAREWELL)).is_ok();
        if let (true, Ok(talker)) = (is_brief, connection.sender()) {
            let _may_be_gone = talker.send(&farewell);
        }
        if is_leaving {
            // The connection ends with the process, when the journal is written, or with the heir.
            while connection.receive(CHANGE_PATIENCE).is_ok() {}
            return;
        }
        let _ended = self.requests.send(Request::Abandoned(heir));
        self.common.board.hand_over.enter(Phase::Alone);
    }

    /// Whether that process may capture here; else why not.
    fn admit(&self, peer: &UCred, shown: Option<Vec<OwnedFd>>) -> Result<(), String> {
        let own = rustix::process::geteuid();
        if !(peer.uid.is_root() || peer.uid == own) {
            return Err(format!(
                "it runs as user {}: only root and user {} may take over",
                peer.uid.as_raw(),
                own.as_raw()
            ));
        }
        let shown = shown.and_then(|shown| shown.into_iter().next());
        match shown.map(|shown| is_licence(shown, &self.door)) {
            Some(Ok(true)) => Ok(()),
            // Before Linux 5.14, where a socket does not tell of which network it is.
            Some(Err(error)) if peer.uid.is_root() && error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
            _ => Err(
                "it does not prove that it may capture here: start it with the capabilities that the first one had (CAP_NET_RAW and \
                 the others; before Linux 5.14 as root)"
                    .to_owned(),
            ),
        }
    }

    /// Whether it is an heir of this capture; else why not.
    fn check(&self, hello: &Hello) -> Result<(), String> {
        if hello.protocol != PROTOCOL {
            return Err(format!(
                "it speaks protocol {}, and this one, version {}, speaks {PROTOCOL}: stop this one and start that one instead",
                hello.protocol,
                env!("CARGO_PKG_VERSION")
            ));
        }
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        if sorted(&hello.interfaces) != sorted(&self.estate.interfaces) {
            return Err(format!(
                "its --interface is {}, and this one's {}: they must be the same",
                hello.interfaces.join(","),
                self.estate.interfaces.join(",")
            ));
        }
        if hello.takes != self.estate.takes {
            return Err(
                "its capture.ports, capture.tunnels or capture.esp_null are not this one's, so it would not hear all that it wants: take over \
                 with the same ones, or stop this one and start that one instead"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Makes the feeds, and gives the heir its ends of them and the door.
    fn welcome(&self, talker: Talker) -> io::Result<(Talker, Vec<OwnedFd>)> {
        let readers = self.estate.readers;
        let message = Message::Welcome(Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            readers,
            clock: self.common.clock.reading(),
            key: hexadecimal(&self.common.shared.table.secret()),
            hashes: HASHES.to_owned(),
        });
        let door = self.door.as_fd().try_clone_to_owned()?;
        self.privileged(move || {
            let pairs = (0..readers)
                .map(|_| feed::pair())
                .collect::<io::Result<Vec<_>>>()?;
            let (into, mut theirs): (Vec<OwnedFd>, Vec<OwnedFd>) = pairs.into_iter().unzip();
            theirs.push(door);
            pass_on(&talker, &message, &theirs)?;
            Ok((talker, into))
        })?
    }

    /// Speaks with an heir until it has taken over, or is gone.
    fn serve(&self, connection: &mut Connection, talker: Talker, feeds: Vec<OwnedFd>) -> io::Result<()> {
        self.ask(|done| Request::Feed(feeds, done))?;
        let knowledge = self.legacy.knowledge(WORK_PATIENCE);
        let knowledge = knowledge.ok_or_else(|| io::Error::other("the settler hangs"))?;
        talker.send_knowledge(&serde_json::to_vec(&knowledge)?)?;
        drop(knowledge);
        let mut talker = talker;
        let mut gone_at: Option<Instant> = None;
        loop {
            // First the flag: what was missed until then is there when it is set.
            let is_leaving = self.legacy.is_leaving();
            self.tell_gaps(&talker)?;
            if is_leaving {
                return Err(leaving());
            }
            // One that has the queues needs to know no more; should it stand still, a farewell has to find room.
            if gone_at.is_none() {
                talker.send(&Message::State {
                    oldest_us: self.legacy.oldest_us(),
                    is_ending: self.legacy.is_ending(),
                })?;
            }
            match connection.receive(STATE)? {
                Some(Received::Message(Message::LetGo)) if gone_at.is_none() => {
                    talker = self.let_go(talker)?;
                    gone_at = Some(Instant::now());
                }
                Some(Received::Message(Message::Done)) if gone_at.is_some() => {
                    self.has_handed_over.store(true, Ordering::Relaxed);
                    let _ended = self.requests.send(Request::Done(talker));
                    return Ok(());
                }
                Some(_) => {}
                // Only when all is read that it has said: this process may have stood still itself.
                None if gone_at.is_some_and(|at| at.elapsed() > CHANGE_PATIENCE) => {
                    return Err(io::Error::other("it was given the queues and does not capture"));
                }
                None => {}
            }
        }
    }

    /// Has queues let go, and passes on what the heir needs.
    fn let_go(&self, talker: Talker) -> io::Result<Talker> {
        let gone = self.ask(Request::LetGo)?.map_err(io::Error::other)?;
        self.tell_gaps(&talker)?;
        let Gone { links, settled } = gone;
        let (links, descriptors): (Vec<LinkOf>, Vec<OwnedFd>) = links.into_iter().unzip();
        let message = Message::Gone {
            links,
            settled_us: settled.as_micros(),
        };
        let sent = self.privileged(move || {
            pass_on(&talker, &message, &descriptors)?;
            Ok(talker)
        })?;
        tracing::info!("the queues are let go: the other process is to take them");
        sent
    }

    fn tell_gaps(&self, talker: &Talker) -> io::Result<()> {
        for Gap { from, until, kind } in self.legacy.gaps() {
            talker.send(&Message::Gap {
                from_us: from.as_micros(),
                until_us: until.as_micros(),
                is_down: kind == GapKind::InterfaceDown,
            })?;
        }
        Ok(())
    }

    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> io::Result<T> {
        let (answer, answered) = bounded(1);
        self.requests.send(request(answer)).map_err(|_| leaving())?;
        answered.recv_timeout(WORK_PATIENCE).map_err(|_| leaving())
    }

    /// Has the keeper do it, if there is one: the other threads may neither make such sockets nor pass descriptors on.
    fn privileged<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match &self.estate.keeper {
            None => Ok(work()),
            Some(keeper) => keeper
                .have(work)
                .ok_or_else(|| io::Error::other("the thread that keeps privileges is gone")),
        }
    }
}

fn pass_on(talker: &Talker, message: &Message, descriptors: &[OwnedFd]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
    talker.send_with(message, &descriptors)
}

fn leaving() -> io::Error {
    io::Error::other("this process is ending")
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use crossbeam::channel::unbounded;
    use ringtap_calls::{LegTable, Rules};

    use super::*;
    use crate::live::board::Board;
    use crate::live::hand_over::{Predecessor, Takes};
    use crate::live::marks::Marks;
    use crate::live::time::WallClock;
    use crate::worker::Shared;

    fn takes() -> Takes {
        Takes {
            ports: vec![(5060, 5060)],
            kinds: 0,
        }
    }

    fn host(folder: &std::path::Path) -> Arc<Host> {
        let rules = Rules::new(&ringtap_config::from_toml("", "defaults").unwrap());
        let table = LegTable::new(100, 1);
        let common = Arc::new(Common {
            shared: Arc::new(Shared { table, rules }),
            clock: WallClock::new(),
            marks: Marks::new(1),
            stop: AtomicBool::new(false),
            board: Arc::new(Board::new(1)),
        });
        let estate = Estate {
            interfaces: vec!["a0".to_owned()],
            takes: takes(),
            readers: 1,
            keeper: None,
        };
        let door = UnixListener::bind(folder.join("door.sock")).unwrap();
        let legacy = super::super::Predecessor::legacy();
        Host::new(door, estate, &common, &legacy, unbounded().0)
    }

    /// What a visitor hears who says that, and shows that.
    fn answer(host: &Host, message: &Message, shown: &[BorrowedFd<'_>]) -> Message {
        let (one, other) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(one).unwrap();
        connection.sender().unwrap().send_with(message, shown).unwrap();
        host.receive(other).unwrap();
        match connection.receive(HELLO_PATIENCE).unwrap() {
            Some(Received::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Catches an heir that goes on listening, or ends, although the process that captured does so no more and only writes its journal; and a connection that
    /// ends before that is written.
    #[test]
    fn who_leaves_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let (one, other) = UnixStream::pair().unwrap();
        let mut heir = Connection::new(one).unwrap();
        let mut connection = Connection::new(other).unwrap();
        let mut predecessor =
            Predecessor::start(None, host.estate.clone(), &host.common, &host.legacy).unwrap();
        predecessor.leave(&host.legacy);
        let talker = connection.sender().unwrap();
        let ended = host.serve(&mut connection, talker, Vec::new()).unwrap_err();
        thread::scope(|scope| {
            let part = scope.spawn(|| host.part(&mut connection, Pid::INIT, &ended));
            let said = heir.receive(HELLO_PATIENCE).unwrap();
            assert_eq!(said, Some(Received::Message(Message::Leaving)));
            assert_eq!(heir.receive(STATE).unwrap(), None, "it lives still");
            assert!(!part.is_finished());
            drop(heir);
        });
    }

    /// Catches an heir that is given frames and queues although it proves nothing, or wants something else; and one that does not hear why not.
    #[test]
    fn who_is_no_heir_hears_why() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let hello = |protocol, interface: &str| {
            Message::Hello(Hello {
                protocol,
                version: "1".to_owned(),
                interfaces: vec![interface.to_owned()],
                takes: takes(),
            })
        };
        let (own, _) = UnixStream::pair().unwrap();
        for (message, shown, why) in [
            (hello(PROTOCOL, "a0"), &[][..], "does not prove"),
            (hello(PROTOCOL, "a0"), &[own.as_fd()], "does not prove"),
            (hello(PROTOCOL + 1, "a0"), &[], "speaks protocol"),
            (hello(PROTOCOL, "b0"), &[], "--interface"),
            (Message::LetGo, &[], "does not say"),
        ] {
            let answered = answer(&host, &message, shown);
            assert!(
                matches!(&answered, Message::Refused { why: told } if told.contains(why)),
                "{message:?}: {answered:?}"
            );
        }
    }
}

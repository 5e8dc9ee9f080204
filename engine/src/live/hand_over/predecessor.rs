//! Handing over: the side of the process that captures.
//!
//! A thread answers heirs that knock at a Unix socket and speaks with one at a time; what concerns readers, interfaces and legs is done by the
//! thread that ticks, which is asked for it ([`Request`]) and heeds that between two ticks ([`Predecessor`]).

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use ringtap_calls::{Gap, GapKind, HASHES, Knowledge, Settler};
use ringtap_record::Time;
use ringtap_xdp::Attached;
use rustix::net::sockopt::socket_peercred;

use super::standing::Phase;
use super::wire::{Connection, Hello, LinkOf, Message, PROTOCOL, Received, Takes, Talker, Welcome};
use crate::confine::Keeper;
use crate::live::Hands;
use crate::live::opened::Inherited;
use crate::live::port::Port;
use crate::live::reader::Common;
use crate::live::ticker::Ticker;

/// How long an heir may take to say what it wants.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// How often an heir is told how the predecessor stands.
const STATE: Duration = Duration::from_millis(200);
/// How long is waited for what another thread does.
const WORK_PATIENCE: Duration = Duration::from_secs(30);
/// How long it takes a frame at most that an XDP program has judged to be where it was sent to, where the kernel does not tell.
const LANDING: Duration = Duration::from_millis(100);
/// Gaps that wait to be told.
const GAPS_MAX: usize = 1024;
const NONE_OPEN: i64 = i64::MAX;

/// What other threads leave for an heir. Costs them a look at a flag as long as there is none.
#[derive(Debug)]
pub(in crate::live) struct Legacy {
    is_wanted: AtomicBool,
    wants_knowledge: AtomicBool,
    oldest_us: AtomicI64,
    knowledge: (Sender<Knowledge>, Receiver<Knowledge>),
    gaps: (Sender<Gap>, Receiver<Gap>),
}

impl Legacy {
    fn new() -> Self {
        Self {
            is_wanted: AtomicBool::new(false),
            wants_knowledge: AtomicBool::new(false),
            oldest_us: AtomicI64::new(NONE_OPEN),
            knowledge: bounded(1),
            gaps: bounded(GAPS_MAX),
        }
    }

    /// The ticker's: what was missed. What streams and fragments lack, an heir finds by itself.
    pub(in crate::live) fn tell_gaps(&self, gaps: &[Gap]) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let missed = gaps
            .iter()
            .filter(|gap| matches!(gap.kind, GapKind::FramesLost | GapKind::InterfaceDown));
        for gap in missed {
            if self.gaps.0.try_send(*gap).is_err() {
                tracing::warn!("the heir does not take what is told to it");
            }
        }
    }

    /// The settler's, after each lot.
    pub(in crate::live) fn tell_state(&self, settler: &Settler) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let oldest = settler.earliest().map_or(NONE_OPEN, Time::as_micros);
        self.oldest_us.store(oldest, Ordering::Relaxed);
        if self.wants_knowledge.swap(false, Ordering::AcqRel) {
            let _nobody_waits = self.knowledge.0.try_send(settler.learner.knowledge());
        }
    }

    fn oldest_us(&self) -> Option<i64> {
        let oldest = self.oldest_us.load(Ordering::Relaxed);
        (oldest != NONE_OPEN).then_some(oldest)
    }
}

/// What the ticking thread is asked for. Whoever asks waits for the answer.
enum Request {
    /// Have readers feed these, one each.
    Feed(Vec<OwnedFd>, Sender<()>),
    /// Take no more frames.
    LetGo(Sender<Result<Gone, String>>),
    /// Take the program off this interface.
    MakeWay(String, Sender<()>),
    /// The heir is gone.
    Abandoned,
    /// The heir captures; its connection ends with the process.
    Done(Talker),
}

struct Gone {
    links: Vec<(LinkOf, OwnedFd)>,
    settled: Time,
}

/// The place where heirs knock, not yet open.
#[derive(Debug)]
pub(in crate::live) struct Door(UnixListener);

impl Door {
    /// Makes the socket. To be done before privileges are dropped. `None`, which is told, where it cannot be: nobody can take over then, and
    /// nothing else is amiss.
    pub(in crate::live) fn make(path: &Path) -> Option<Self> {
        match Self::bind(path) {
            Ok(listener) => Some(Self(listener)),
            Err(error) => {
                tracing::info!(
                    "{}: cannot be made ({error}): no new process can take over from this one; `mkdir` the folder, or name another by \
                     --hand-over",
                    path.display()
                );
                None
            }
        }
    }

    fn bind(path: &Path) -> io::Result<UnixListener> {
        // A socket that its process has left behind is in the way; one that somebody answers at is not.
        match UnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process answers there",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// One that a predecessor has left.
    pub(super) fn left_by_another(socket: OwnedFd) -> Self {
        Self(UnixListener::from(socket))
    }
}

/// What the thread that answers knows.
struct Host {
    common: Arc<Common>,
    legacy: Arc<Legacy>,
    interfaces: Vec<String>,
    takes: Takes,
    readers: usize,
    keeper: Option<Keeper>,
    door: UnixListener,
    requests: Sender<Request>,
    is_taken: Mutex<()>,
}

/// What a capture is, to somebody who wants to take over.
pub(in crate::live) struct Estate {
    pub(in crate::live) interfaces: Vec<String>,
    pub(in crate::live) takes: Takes,
    pub(in crate::live) readers: usize,
    pub(in crate::live) keeper: Option<Keeper>,
}

/// The ticking thread's part.
pub(in crate::live) struct Predecessor {
    requests: Receiver<Request>,
    /// Queues are let go: nothing is heard, and nothing may be judged.
    has_let_go: bool,
    /// Ends with the process: by that the heir knows that the journal is written.
    heir: Option<Talker>,
}

impl Predecessor {
    /// Begins to answer at the door; without one, nobody comes.
    pub(in crate::live) fn start(
        door: Option<Door>,
        estate: Estate,
        common: &Arc<Common>,
        legacy: &Arc<Legacy>,
    ) -> io::Result<Self> {
        let (requests, inbox) = unbounded();
        if let Some(Door(door)) = door {
            let host = Arc::new(Host {
                common: Arc::clone(common),
                legacy: Arc::clone(legacy),
                interfaces: estate.interfaces,
                takes: estate.takes,
                readers: estate.readers,
                keeper: estate.keeper,
                door,
                requests,
                is_taken: Mutex::new(()),
            });
            thread::Builder::new()
                .name("hand-over".to_owned())
                .spawn(move || host.answer())?;
        }
        Ok(Self {
            requests: inbox,
            has_let_go: false,
            heir: None,
        })
    }

    pub(in crate::live) fn legacy() -> Arc<Legacy> {
        Arc::new(Legacy::new())
    }

    /// Whether queues are let go: nothing may be judged then.
    pub(in crate::live) const fn has_let_go(&self) -> bool {
        self.has_let_go
    }

    /// Does what it is asked for. Whether an heir captures now: then this process is to end.
    pub(in crate::live) fn heed(
        &mut self,
        ports: &mut [Port],
        hands: &mut Hands,
        ticker: &mut Ticker,
        common: &Common,
    ) -> bool {
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Feed(sockets, done) => {
                    hands.feed(sockets);
                    let _nobody_waits = done.send(());
                }
                Request::LetGo(done) => {
                    common.board.hand_over.enter(Phase::Changing);
                    self.has_let_go = true;
                    let gone = let_go(ports, hands, ticker, common);
                    let _nobody_waits = done.send(gone.map_err(|error| error.to_string()));
                }
                Request::MakeWay(interface, done) => {
                    let named = ports.iter_mut().filter(|port| port.name() == interface);
                    named.for_each(Port::make_way);
                    let _nobody_waits = done.send(());
                }
                Request::Abandoned => {
                    hands.unfeed();
                    if self.has_let_go {
                        self.has_let_go = false;
                        tracing::warn!("the one that was to take over is gone: taking the queues back");
                        ports.iter_mut().for_each(Port::take_back);
                    }
                }
                Request::Done(talker) => {
                    self.heir = Some(talker);
                    return true;
                }
            }
        }
        false
    }
}

/// Lets the queues go: what comes from now on passes to the network stack. All that came before is joined, and what was due is settled.
fn let_go(
    ports: &mut [Port],
    hands: &mut Hands,
    ticker: &mut Ticker,
    common: &Common,
) -> Result<Gone, crate::live::PortError> {
    let now = common.clock.now();
    for port in &mut *ports {
        port.let_go(now)?;
    }
    if !ringtap_xsk::frames_have_landed() {
        thread::sleep(LANDING);
    }
    hands.let_go();
    let began = Instant::now();
    let last = common.clock.now();
    while ticker.settled().plus_ms(64) < last && began.elapsed() < WORK_PATIENCE {
        ticker.sleep();
        ticker.tick(hands.outboxes());
    }
    let mut links = Vec::new();
    for port in ports {
        match port.inheritance() {
            Ok(Some(Inherited { link, attached })) => links.push((
                LinkOf {
                    interface: port.name().to_owned(),
                    is_native: attached == Attached::Native,
                },
                link,
            )),
            Ok(None) => {}
            // The heir attaches its own program then.
            Err(error) => tracing::warn!("{}: its program cannot be passed on: {error}", port.name()),
        }
    }
    Ok(Gone {
        links,
        settled: ticker.settled(),
    })
}

impl Host {
    /// Answers whoever knocks, until the process ends.
    fn answer(self: Arc<Self>) {
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
            let host = Arc::clone(&self);
            let answer = move || {
                if let Err(error) = host.receive(stream) {
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
        let own = rustix::process::geteuid();
        let mut connection = Connection::new(stream)?;
        let talker = connection.sender()?;
        let refuse = |why: String| {
            tracing::warn!("refused to hand over to process {}: {why}", peer.pid);
            talker.send(&Message::Refused { why })
        };
        // First: who is refused before it has spoken does not hear why.
        let Some(Received::Message(Message::Hello(hello))) = connection.receive(HELLO_PATIENCE)? else {
            return refuse("it does not say what it wants".to_owned());
        };
        if !(peer.uid.is_root() || peer.uid == own) {
            return refuse(format!(
                "it runs as user {}: only root and user {} may take over",
                peer.uid.as_raw(),
                own.as_raw()
            ));
        }
        if let Err(why) = self.check(&hello) {
            return refuse(why);
        }
        let Some(_taken) = self.is_taken.try_lock() else {
            return refuse("another process is taking over already".to_owned());
        };
        talker.send(&Message::Welcome(Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            readers: self.readers,
            clock: self.common.clock.reading(),
            key: hexadecimal(&self.common.shared.table.secret()),
            hashes: HASHES.to_owned(),
        }))?;
        let Some(Received::Message(Message::Feed)) = connection.receive(WORK_PATIENCE)? else {
            return Ok(());
        };
        let sockets = connection.take_descriptors(self.readers)?;
        tracing::info!(
            "process {} (version {}) listens, to take over",
            peer.pid,
            hello.version
        );
        self.legacy.is_wanted.store(true, Ordering::Relaxed);
        self.common.board.hand_over.enter(Phase::Feeding);
        let ended = self.serve(&mut connection, talker, sockets);
        if let Err(error) = &ended {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it is gone".to_owned(),
                _ => error.to_string(),
            };
            tracing::warn!("process {} does not take over: {why}", peer.pid);
            let _ended = self.requests.send(Request::Abandoned);
            self.common.board.hand_over.enter(Phase::Alone);
        }
        self.legacy.is_wanted.store(false, Ordering::Relaxed);
        while self.legacy.gaps.1.try_recv().is_ok() {}
        Ok(())
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
        if sorted(&hello.interfaces) != sorted(&self.interfaces) {
            return Err(format!(
                "its --interface is {}, and this one's {}: they must be the same",
                hello.interfaces.join(","),
                self.interfaces.join(",")
            ));
        }
        if hello.takes != self.takes {
            return Err(
                "its capture.ports, capture.tunnels or capture.esp_null are not this one's, so it would not hear all that it wants: take over \
                 with the same ones, or stop this one and start that one instead"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> io::Result<T> {
        let gone = || io::Error::other("this process is ending");
        let (answer, answered) = bounded(1);
        self.requests.send(request(answer)).map_err(|_| gone())?;
        answered.recv_timeout(WORK_PATIENCE).map_err(|_| gone())
    }

    /// Speaks with an heir until it has taken over, or is gone.
    fn serve(&self, connection: &mut Connection, talker: Talker, sockets: Vec<OwnedFd>) -> io::Result<()> {
        self.ask(|done| Request::Feed(sockets, done))?;
        while self.legacy.knowledge.1.try_recv().is_ok() {}
        self.legacy.wants_knowledge.store(true, Ordering::Release);
        let knowledge = self.legacy.knowledge.1.recv_timeout(WORK_PATIENCE);
        let knowledge = knowledge.map_err(|_| io::Error::other("the settler hangs"))?;
        talker.send_knowledge(&serde_json::to_vec(&knowledge)?)?;
        drop(knowledge);
        let mut talker = talker;
        loop {
            for gap in self.legacy.gaps.1.try_iter() {
                talker.send(&Message::Gap {
                    from_us: gap.from.as_micros(),
                    until_us: gap.until.as_micros(),
                    is_down: gap.kind == GapKind::InterfaceDown,
                })?;
            }
            talker.send(&Message::State {
                oldest_us: self.legacy.oldest_us(),
            })?;
            match connection.receive(STATE)? {
                Some(Received::Message(Message::LetGo)) => talker = self.let_go(talker)?,
                Some(Received::Message(Message::Detach { interface })) => {
                    self.ask(|done| Request::MakeWay(interface, done))?;
                    talker.send(&Message::Detached)?;
                }
                Some(Received::Message(Message::Done)) => {
                    let _ended = self.requests.send(Request::Done(talker));
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Has queues let go, and passes on what the heir needs.
    fn let_go(&self, talker: Talker) -> io::Result<Talker> {
        let gone = self.ask(Request::LetGo)?.map_err(io::Error::other)?;
        for gap in self.legacy.gaps.1.try_iter() {
            talker.send(&Message::Gap {
                from_us: gap.from.as_micros(),
                until_us: gap.until.as_micros(),
                is_down: gap.kind == GapKind::InterfaceDown,
            })?;
        }
        let (links, mut descriptors): (Vec<LinkOf>, Vec<OwnedFd>) = gone.links.into_iter().unzip();
        descriptors.push(self.door.as_fd().try_clone_to_owned()?);
        let message = Message::Gone {
            links,
            door: true,
            settled_us: gone.settled.as_micros(),
        };
        let send = move || {
            let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
            (talker.send_with(&message, &descriptors), talker)
        };
        // The others may not pass descriptors on.
        let sent = match &self.keeper {
            None => Some(send()),
            Some(keeper) => keeper.have(send),
        };
        let (sent, talker) =
            sent.ok_or_else(|| io::Error::other("the thread that keeps privileges is gone"))?;
        sent?;
        Ok(talker)
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The socket of a capture of these interfaces.
pub(in crate::live) fn socket_path(folder: &Path, interfaces: &[String]) -> PathBuf {
    let mut names = interfaces.to_vec();
    names.sort();
    folder.join(format!("{}.sock", names.join("+")))
}

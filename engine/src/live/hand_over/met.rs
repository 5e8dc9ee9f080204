//! The talk with the predecessor, from the heir's side: meeting it, before privileges are dropped ([`Met`]), and hearing what it says while
//! both work ([`Line`]).

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, unbounded};
use ringtap_calls::{HASHES, Knowledge, Learner, Rules};
use ringtap_record::Time;
use rustix::net::sockopt::socket_peercred;
use thiserror::Error;

use super::ClockReading;
use super::door::Door;
use super::intake::Heard;
use super::licence::licence;
use super::wire::{Connection, Hello, Message, PROTOCOL, Received, Takes, Talker, Welcome};

/// How long a predecessor may take to answer.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a look at what it says takes at most.
const SLICE: Duration = Duration::from_millis(500);

/// A new process cannot take over.
#[derive(Debug, Error)]
pub enum HandOverError {
    /// The running one says no.
    #[error("the running process does not hand over: {0}")]
    Refused(String),
    /// It cannot be spoken with.
    #[error("{}: cannot speak with the running process: {source}", .path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Who answers is nobody to learn from.
    #[error(
        "{}: is the socket of user {user}, who is neither root nor the engine's user: if that is the user of the one that runs, give --user, \
         else see who may write into that folder",
        .path.display()
    )]
    Stranger {
        /// Its socket.
        path: PathBuf,
        /// Who made it.
        user: u32,
    },
    /// It said something that makes no sense, or not what was due. It goes on.
    #[error("the running process goes on, and this one ends: {0}")]
    Broken(String),
}

/// A predecessor that was met.
pub(in crate::live) struct Met {
    path: PathBuf,
    connection: Connection,
    talker: Talker,
    welcome: Welcome,
    feeds: Vec<OwnedFd>,
    door: Door,
}

impl Met {
    /// Knocks at the socket of a running capture, which root or one of `users` has made. `None`, which is told, if there is none: then there
    /// is nothing to take over.
    pub(in crate::live) fn at(
        path: &Path,
        users: &[u32],
        interfaces: &[String],
        takes: Takes,
    ) -> Result<Option<Self>, HandOverError> {
        let silent = |source| HandOverError::Silent {
            path: path.to_owned(),
            source,
        };
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                tracing::info!("{}: nobody to take over from: starting afresh", path.display());
                return Ok(None);
            }
            Err(error) => return Err(silent(error)),
        };
        let maker = socket_peercred(&stream)
            .map_err(|errno| silent(errno.into()))?
            .uid;
        if !(maker.is_root() || users.contains(&maker.as_raw())) {
            return Err(HandOverError::Stranger {
                path: path.to_owned(),
                user: maker.as_raw(),
            });
        }
        let mut connection = Connection::new(stream).map_err(silent)?;
        let talker = connection.sender().map_err(silent)?;
        let hello = Message::Hello(Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            interfaces: interfaces.to_vec(),
            takes,
        });
        // Without one it hears why it is refused.
        let licence = licence().ok();
        let shown: Vec<_> = licence.iter().map(OwnedFd::as_fd).collect();
        talker.send_with(&hello, &shown).map_err(silent)?;
        let welcome = match connection.receive(ANSWER_PATIENCE).map_err(silent)? {
            Some(Received::Message(Message::Welcome(welcome))) => welcome,
            Some(Received::Message(Message::Refused { why })) => return Err(HandOverError::Refused(why)),
            _ => return Err(HandOverError::Refused("it does not answer".to_owned())),
        };
        if welcome.protocol != PROTOCOL {
            return Err(HandOverError::Refused(format!(
                "it speaks protocol {}, and this one {PROTOCOL}",
                welcome.protocol
            )));
        }
        let mut feeds = connection
            .take_descriptors(welcome.readers.saturating_add(1))
            .map_err(silent)?;
        let Some(door) = feeds.pop() else {
            return Err(HandOverError::Refused("it passes nothing on".to_owned()));
        };
        tracing::info!(
            "taking over from process {} (version {}): listening to what it captures",
            welcome.process,
            welcome.version
        );
        Ok(Some(Self {
            path: path.to_owned(),
            connection,
            talker,
            welcome,
            feeds,
            door: Door::left_by_another(door),
        }))
    }

    /// Its clock.
    pub(in crate::live) const fn clock(&self) -> &ClockReading {
        &self.welcome.clock
    }

    /// What it hashes with, if both hash alike.
    pub(in crate::live) fn secret(&self) -> Option<[u8; 16]> {
        let key = &self.welcome.key;
        if self.welcome.hashes != HASHES || key.len() != 32 {
            return None;
        }
        let mut secret = [0; 16];
        for (at, octet) in secret.iter_mut().enumerate() {
            *octet = u8::from_str_radix(key.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(secret)
    }

    /// The feeds, for the intake.
    pub(in crate::live) fn take_feeds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.feeds)
    }

    /// Waits for what it has learned of registrations, which it tells first.
    pub(in crate::live) fn learned(&mut self, rules: &Rules) -> Result<Learner, HandOverError> {
        let is_alike = self.secret().is_some();
        let until = Instant::now() + 2 * ANSWER_PATIENCE;
        while Instant::now() < until {
            match self.connection.receive(SLICE) {
                Ok(Some(Received::Knowledge(octets))) => {
                    let knowledge = serde_json::from_slice::<Knowledge>(&octets);
                    return Ok(match knowledge {
                        Ok(knowledge) if is_alike => {
                            tracing::info!("{} contacts are known from it", knowledge.len());
                            Learner::knowing(knowledge, rules)
                        }
                        _ => {
                            tracing::warn!(
                                "what it has learned of registrations cannot be used: phones that are called by their contacts are not known until \
                                 they register again"
                            );
                            Learner::default()
                        }
                    });
                }
                Ok(_) => {}
                Err(source) => {
                    return Err(HandOverError::Silent {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        Err(HandOverError::Broken("it does not tell what it knows".to_owned()))
    }

    /// Waits until all of its readers feed; since when they do.
    pub(in crate::live) fn since(&self, heard: &Heard) -> Result<Time, HandOverError> {
        let until = Instant::now() + ANSWER_PATIENCE;
        while Instant::now() < until {
            if let Some(since) = heard.since() {
                return Ok(since);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(HandOverError::Broken("not all of its readers feed".to_owned()))
    }

    /// What it says from now on, and its door.
    pub(super) fn listen(self) -> io::Result<(Line, Door)> {
        let Self {
            mut connection,
            talker,
            door,
            ..
        } = self;
        let stream = connection.stream().try_clone()?;
        let (said, events) = unbounded();
        thread::Builder::new()
            .name("predecessor".to_owned())
            .spawn(move || {
                loop {
                    let event = match connection.receive(SLICE) {
                        Ok(Some(Received::Message(message))) => with_descriptors(&mut connection, message),
                        Ok(_) => continue,
                        Err(error) => Event::Ended(error),
                    };
                    let is_end = matches!(event, Event::Ended(_));
                    if said.send(event).is_err() || is_end {
                        return;
                    }
                }
            })?;
        let line = Line {
            events,
            talker,
            stream,
        };
        Ok((line, door))
    }
}

fn with_descriptors(connection: &mut Connection, message: Message) -> Event {
    let count = match &message {
        Message::Gone { links, .. } => links.len(),
        _ => 0,
    };
    match connection.take_descriptors(count) {
        Ok(descriptors) => Event::Message(message, descriptors),
        Err(error) => Event::Ended(error),
    }
}

/// What the predecessor said, or that it is gone.
pub(super) enum Event {
    Message(Message, Vec<OwnedFd>),
    Ended(io::Error),
}

/// The line to a predecessor while both work: a thread reads it.
pub(super) struct Line {
    events: Receiver<Event>,
    talker: Talker,
    stream: UnixStream,
}

impl Line {
    /// What it has said since the last look.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Why this process is to end, if it says so within a moment.
    pub(super) fn farewell(&self) -> Option<String> {
        let until = Instant::now() + SLICE;
        loop {
            match self.events.recv_deadline(until) {
                Ok(Event::Message(Message::Farewell { why }, _)) => return Some(why),
                Ok(Event::Message(..)) => {}
                Ok(Event::Ended(_)) | Err(_) => return None,
            }
        }
    }

    /// Whether it could be told; not if it is gone, of which an event tells, or has told already.
    ///
    /// # Errors
    /// If it is there and takes nothing.
    pub(super) fn say(&self, message: &Message) -> io::Result<bool> {
        match self.talker.send(message) {
            Ok(()) => Ok(true),
            Err(error) if is_end(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The thread that reads has the connection too.
        let _may_be_gone = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Whether the other end of a connection is gone: one that ends with something unread resets it.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
    )
}

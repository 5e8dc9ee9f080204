//! What predecessor and heir say to each other: messages with a length before each, over a Unix socket, some with descriptors.
//!
//! Messages are JSON, so that one version understands another as far as they have words in common: unknown fields and messages are passed
//! over. What must not be misunderstood is in [`PROTOCOL`], which is compared first. What was learned of registrations comes as
//! octets of its own: it may be large, and is nobody's business here.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt,
};
use serde::{Deserialize, Serialize};

/// Counts changes after which two versions would misunderstand each other.
pub(super) const PROTOCOL: u32 = 1;

/// Length and kind.
const HEAD_BYTES: usize = 5;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Contacts of millions.
const KNOWLEDGE_BYTES_MAX: usize = 1 << 30;
const KIND_MESSAGE: u8 = 0;
const KIND_KNOWLEDGE: u8 = 1;
const READ_BYTES: usize = 64 << 10;
/// Descriptors of one message at most, as the kernel has it (SCM_MAX_FD).
pub(super) const DESCRIPTORS_MAX: usize = 253;
/// Who does not take what is said to it for so long is gone.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

/// Room for what waits to be taken, which the kernel doubles: about a minute of what is said now and then, whatever the machine is set to.
const SEND_ROOM_BYTES: usize = 104 << 10;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    /// The heir's first. What proves that it may capture comes with this (`licence`).
    Hello(Hello),
    /// The predecessor's answer. One feed for each of its readers comes with this, then the socket that heirs knock at.
    Welcome(Welcome),
    /// Its other answer.
    Refused {
        /// For people.
        why: String,
    },
    /// The predecessor's, now and then.
    State {
        /// When the oldest call began that it has not judged, in microseconds of the common clock.
        oldest_us: Option<i64>,
        /// It was told to end: the heir is to ask for the queues at once.
        #[serde(default)]
        is_ending: bool,
    },
    /// The predecessor's: something was missed. A kind that the heir does not know counts as frames lost.
    Gap {
        /// Both ends, in microseconds.
        from_us: i64,
        /// As above.
        until_us: i64,
        /// The interface was down; else frames were lost.
        is_down: bool,
    },
    /// The heir's: take no more frames.
    LetGo,
    /// The predecessor's: it takes no more. One link for each of `links` comes with this. On other interfaces it has no program any more.
    Gone {
        /// Interfaces whose programs' links come, in that order.
        links: Vec<LinkOf>,
        /// Up to when it has judged calls, in microseconds.
        settled_us: i64,
    },
    /// The heir's: it captures.
    Done,
    /// The predecessor's, after that: its journal is written, and it ends.
    Written,
    /// The predecessor's: it captures no more, though nothing was handed over. Its connection ends when its journal is written.
    Leaving,
    /// The predecessor's: it goes on, and the heir is to end.
    Farewell {
        /// For people.
        why: String,
    },
    /// What another version says.
    #[serde(other)]
    Unknown,
}

/// Who the heir is, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Of the program.
    pub(super) version: String,
    /// Interfaces.
    pub(super) interfaces: Vec<String>,
    /// What it takes off them.
    pub(super) takes: Takes,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Of the program.
    pub(super) version: String,
    /// Its process.
    pub(super) process: u32,
    /// How many readers will feed.
    pub(super) readers: usize,
    /// Its clock.
    pub(super) clock: ClockReading,
    /// What hashes are made with, as hexadecimal digits, and how.
    pub(super) key: String,
    /// See [`ringtap_calls::HASHES`].
    pub(super) hashes: String,
}

/// What an XDP program takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::live) struct Takes {
    /// SIP ports, as ranges.
    pub(super) ports: Vec<(u16, u16)>,
    /// Bits of `ringtap_classify::Take`.
    pub(super) kinds: u32,
}

/// A capture's clock at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::live) struct ClockReading {
    /// What `CLOCK_MONOTONIC` said, in microseconds.
    pub(in crate::live) monotonic_us: i64,
    /// What it said, in microseconds since the epoch.
    pub(in crate::live) time_us: i64,
    /// Since when the wall clock was ahead of it by how much, in microseconds.
    #[serde(default)]
    pub(in crate::live) steps: Vec<(i64, i64)>,
}

/// Whose link comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkOf {
    /// The interface.
    pub(super) interface: String,
    /// The program runs in the driver; else before the network stack.
    pub(super) is_native: bool,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Message(Message),
    /// What was learned of registrations.
    Knowledge(Vec<u8>),
}

/// One end.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    descriptors_max: usize,
    knowledge_bytes_max: usize,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(SEND_PATIENCE))?;
        sockopt::set_socket_send_buffer_size(&stream, SEND_ROOM_BYTES)?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            descriptors: VecDeque::new(),
            descriptors_max: DESCRIPTORS_MAX,
            knowledge_bytes_max: KNOWLEDGE_BYTES_MAX,
        })
    }

    /// One with a visitor, who has one thing to show and nothing to teach: no more of what it sends is held.
    pub(super) fn with_visitor(stream: UnixStream) -> io::Result<Self> {
        Ok(Self {
            descriptors_max: 1,
            knowledge_bytes_max: 0,
            ..Self::new(stream)?
        })
    }

    /// Another handle for sending.
    pub(super) fn sender(&self) -> io::Result<Talker> {
        Ok(Talker(self.stream.try_clone()?))
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The next that comes; `None` if nothing does for so long, and nothing waits: who stands still itself wakes up after its time, with all that was said
    /// meanwhile unread.
    ///
    /// # Errors
    /// At its end, if the other is gone (`UnexpectedEof`), and if what comes cannot be understood (`InvalidData`).
    pub(super) fn receive(&mut self, patience: Duration) -> io::Result<Option<Received>> {
        let until = Instant::now() + patience;
        loop {
            if let Some(received) = self.whole()? {
                return Ok(Some(received));
            }
            let left = until.saturating_duration_since(Instant::now());
            let flags = if left.is_zero() {
                RecvFlags::DONTWAIT
            } else {
                self.stream.set_read_timeout(Some(left))?;
                RecvFlags::empty()
            };
            match self.read(flags) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // As after a signal to stop and one to go on, whatever lies there.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// So many of the descriptors that have come.
    ///
    /// # Errors
    /// If there are not so many.
    pub(super) fn take_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        if count > self.descriptors.len() {
            return Err(fault("descriptors are missing"));
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    /// The first message in the inbox, if that has come whole.
    fn whole(&mut self) -> io::Result<Option<Received>> {
        let Some((head, rest)) = self.inbox.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *head;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let most = match kind {
            KIND_MESSAGE => MESSAGE_BYTES_MAX,
            KIND_KNOWLEDGE => self.knowledge_bytes_max,
            _ => return Err(fault("what comes is of no kind that is known")),
        };
        if len > most {
            return Err(fault("a message is too long"));
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let received = if kind == KIND_MESSAGE {
            Received::Message(serde_json::from_slice(body).map_err(io::Error::from)?)
        } else {
            Received::Knowledge(body.to_vec())
        };
        self.inbox.drain(..HEAD_BYTES + len);
        Ok(Some(received))
    }

    fn read(&mut self, flags: RecvFlags) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        // What does not fit the kernel closes.
        let space = rustix::cmsg_space!(ScmRights(self.descriptors_max));
        let mut ancillary = RecvAncillaryBuffer::new(room.get_mut(..space).unwrap_or_default());
        let began = self.inbox.len();
        self.inbox.resize(began + READ_BYTES, 0);
        let part = self.inbox.get_mut(began..).unwrap_or_default();
        let read = recvmsg(
            &self.stream,
            &mut [IoSliceMut::new(part)],
            &mut ancillary,
            flags | RecvFlags::CMSG_CLOEXEC,
        );
        self.inbox
            .truncate(began + read.as_ref().map_or(0, |read| read.bytes));
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if self.descriptors.len() > self.descriptors_max {
            return Err(fault("too many descriptors"));
        }
        Ok(read?.bytes)
    }
}

/// What sends over a connection.
#[derive(Debug)]
pub(super) struct Talker(UnixStream);

impl Talker {
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        // In one piece: one that is not taken leaves no half behind.
        let octets = [&head(KIND_MESSAGE, body.len())?[..], &body].concat();
        (&self.0).write_all(&octets)
    }

    pub(super) fn send_knowledge(&self, octets: &[u8]) -> io::Result<()> {
        (&self.0).write_all(&head(KIND_KNOWLEDGE, octets.len())?)?;
        (&self.0).write_all(octets)
    }

    /// Sends a message with descriptors. In a confined process only the keeper may.
    pub(super) fn send_with(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        let head = head(KIND_MESSAGE, body.len())?;
        let octets = [&head[..], &body].concat();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(fault("too many descriptors"));
        }
        let sent = sendmsg(
            &self.0,
            &[IoSlice::new(&octets)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        let rest = octets.get(sent..).unwrap_or_default();
        (&self.0).write_all(rest)
    }
}

fn head(kind: u8, len: usize) -> io::Result<[u8; HEAD_BYTES]> {
    let len = u32::try_from(len).map_err(|_| fault("a message is too long"))?;
    let [a, b, c, d] = len.to_le_bytes();
    Ok([a, b, c, d, kind])
}

fn fault(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    fn pair() -> (Talker, Connection) {
        let (one, other) = UnixStream::pair().unwrap();
        (
            Connection::new(one).unwrap().sender().unwrap(),
            Connection::new(other).unwrap(),
        )
    }

    /// Catches messages that are joined or cut, descriptors that are lost or given to another message, an end that goes unnoticed, and a
    /// wait without one.
    #[test]
    fn messages_come_as_they_were_sent() {
        let (talker, mut connection) = pair();
        assert_eq!(connection.receive(PATIENCE).unwrap(), None);
        let file = tempfile::tempfile().unwrap();
        let gone = Message::Gone {
            links: Vec::new(),
            settled_us: 7,
        };
        talker.send(&Message::LetGo).unwrap();
        talker.send_with(&gone, &[file.as_fd()]).unwrap();
        talker.send_knowledge(b"all of it").unwrap();
        let mut next = || connection.receive(PATIENCE).unwrap().unwrap();
        assert_eq!(next(), Received::Message(Message::LetGo));
        assert_eq!(next(), Received::Message(gone));
        assert_eq!(next(), Received::Knowledge(b"all of it".to_vec()));
        assert_eq!(connection.take_descriptors(1).unwrap().len(), 1);
        assert!(connection.take_descriptors(1).is_err());
        drop(talker);
        let end = connection.receive(PATIENCE).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Catches a process that stood still, finds its time over, and leaves unread what was said to it meanwhile: it would take the queues back from an
    /// heir that captures.
    #[test]
    fn what_lies_there_is_read_when_the_time_is_over() {
        let (talker, mut connection) = pair();
        talker.send(&Message::Done).unwrap();
        let received = connection.receive(Duration::ZERO).unwrap();
        assert_eq!(received, Some(Received::Message(Message::Done)));
        assert_eq!(connection.receive(Duration::ZERO).unwrap(), None);
    }

    /// Catches another version that is not understood although it says something known, or ends the conversation by something new.
    #[test]
    fn what_is_new_is_passed_over() {
        let (talker, mut connection) = pair();
        for text in [
            r#"{"type":"state","oldest_us":3,"mood":"fine"}"#,
            r#"{"type":"sing","what":"song"}"#,
        ] {
            let head = head(KIND_MESSAGE, text.len()).unwrap();
            (&talker.0).write_all(&head).unwrap();
            (&talker.0).write_all(text.as_bytes()).unwrap();
        }
        let mut next = || connection.receive(PATIENCE).unwrap().unwrap();
        let state = Message::State {
            oldest_us: Some(3),
            is_ending: false,
        };
        assert_eq!(next(), Received::Message(state));
        assert_eq!(next(), Received::Message(Message::Unknown));
    }

    /// Catches a visitor who has a gigabyte held for it by announcing knowledge, or descriptors up to the limit of the process.
    #[test]
    fn of_a_visitor_little_is_held() {
        let (one, other) = UnixStream::pair().unwrap();
        let talker = Connection::new(one).unwrap().sender().unwrap();
        let mut connection = Connection::with_visitor(other).unwrap();
        talker.send(&Message::LetGo).unwrap();
        talker.send_knowledge(b"a").unwrap();
        let first = connection.receive(PATIENCE).unwrap();
        assert_eq!(first, Some(Received::Message(Message::LetGo)));
        let error = connection.receive(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        let (one, other) = UnixStream::pair().unwrap();
        let talker = Connection::new(one).unwrap().sender().unwrap();
        let mut connection = Connection::with_visitor(other).unwrap();
        let file = tempfile::tempfile().unwrap();
        for _ in 0..2 {
            talker.send_with(&Message::LetGo, &[file.as_fd()]).unwrap();
        }
        let received: Vec<_> = (0..2).map(|_| connection.receive(PATIENCE)).collect();
        assert!(received.iter().any(Result::is_err), "{received:?}");
    }

    /// Catches a stranger who has memory reserved at will, or is waited for in vain: lengths beyond all bounds, kinds that are none, and what
    /// is no JSON, whole or octet by octet.
    #[test]
    fn nonsense_is_refused() {
        let long = u32::MAX.to_le_bytes();
        for octets in [
            &[long[0], long[1], long[2], long[3], KIND_MESSAGE][..],
            &[1, 0, 0, 0, 9, 0],
            &[3, 0, 0, 0, KIND_MESSAGE, b'{', b'}', b'}'],
            &[0, 0, 0, 0, KIND_MESSAGE],
        ] {
            let (talker, mut connection) = pair();
            for octet in octets {
                (&talker.0).write_all(&[*octet]).unwrap();
            }
            let error = connection.receive(PATIENCE).unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ),
                "{octets:?}: {error}"
            );
        }
    }
}

//! The feed: a copy of each frame that a predecessor's reader takes, on its way to the heir.
//!
//! One socket for each reader, in which messages keep their bounds (`SOCK_SEQPACKET`): a piece of a batch is one write, which never waits. What
//! does not fit is counted, and the next message that fits tells of it. Frames keep the time at which they were read.
//!
//! | octets | what |
//! |---|---|
//! | 1 | kind: frames, mark, end |
//! | 1 | 0 |
//! | 2 | how many frames |
//! | 8 | their time, microseconds since the epoch |
//! | 8 | frames that did not fit, since the beginning |
//! | 4 each | their lengths |
//! | | the frames |
//!
//! Numbers are in the machine's own order: both ends are on one machine.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use ringtap_record::Time;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

const HEAD_BYTES: usize = 20;
const LEN_BYTES: usize = 4;
/// Frames of one message.
const FRAMES_MAX: usize = 64;
/// Octets of the frames of one message, unless it has but one: below what a socket takes whose room cannot be raised.
const PIECE_BYTES_MAX: usize = 96 << 10;
/// Room for any message: the longest frame is an IP packet's.
pub(super) const MESSAGE_BYTES_MAX: usize =
    HEAD_BYTES + FRAMES_MAX * LEN_BYTES + PIECE_BYTES_MAX + (64 << 10) + 512;
/// Room for what waits. The kernel doubles it, for what it needs besides.
const ROOM_BYTES: usize = 32 << 20;

const FRAMES: u8 = 1;
const MARK: u8 = 2;
const END: u8 = 3;

/// A feed's ends: the reader's, and the heir's. To be made with privileges, for it needs more room than everybody may have.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (into, from) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    if sockopt::set_socket_send_buffer_size_force(&into, ROOM_BYTES).is_err() {
        sockopt::set_socket_send_buffer_size(&into, ROOM_BYTES)?;
    }
    Ok((into, from))
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Feed {
    socket: OwnedFd,
    fed: u64,
    not_fed: u64,
}

/// The heir is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deserted;

impl Feed {
    /// Begins: all that is read from now on comes.
    pub(crate) fn begin(socket: OwnedFd, now: Time) -> Result<Self, Deserted> {
        let mut feed = Self {
            socket,
            fed: 0,
            not_fed: 0,
        };
        feed.mark(now)?;
        Ok(feed)
    }

    /// Frames that were fed, and that did not fit.
    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.fed, self.not_fed)
    }

    /// Feeds a batch that was read at that time.
    pub(crate) fn frames<'f>(
        &mut self,
        time: Time,
        frames: impl Iterator<Item = &'f [u8]>,
    ) -> Result<(), Deserted> {
        let mut piece: ArrayVec<&[u8], FRAMES_MAX> = ArrayVec::new();
        let mut bytes = 0;
        for frame in frames {
            if piece.is_full() || (bytes + frame.len() > PIECE_BYTES_MAX && !piece.is_empty()) {
                self.piece(time, &piece)?;
                piece.clear();
                bytes = 0;
            }
            bytes += frame.len();
            piece.push(frame);
        }
        if piece.is_empty() {
            return Ok(());
        }
        self.piece(time, &piece)
    }

    /// Tells how far the reader is.
    pub(crate) fn mark(&mut self, now: Time) -> Result<(), Deserted> {
        // One that does not fit is followed by others.
        self.write(MARK, now, &[]).map(drop)
    }

    /// Nothing comes any more. Whether that could be told: only if there is room.
    pub(crate) fn end(&mut self, now: Time) -> Result<bool, Deserted> {
        self.write(END, now, &[])
    }

    fn piece(&mut self, time: Time, frames: &[&[u8]]) -> Result<(), Deserted> {
        let count = frames.len() as u64;
        if self.write(FRAMES, time, frames)? {
            self.fed += count;
        } else {
            self.not_fed += count;
        }
        Ok(())
    }

    /// Whether it fitted.
    fn write(&self, kind: u8, time: Time, frames: &[&[u8]]) -> Result<bool, Deserted> {
        let mut head: ArrayVec<u8, { HEAD_BYTES + FRAMES_MAX * LEN_BYTES }> = ArrayVec::new();
        let count = u16::try_from(frames.len()).unwrap_or(u16::MAX);
        head.extend([kind, 0]);
        head.extend(count.to_ne_bytes());
        head.extend(time.as_micros().to_ne_bytes());
        head.extend(self.not_fed.to_ne_bytes());
        for frame in frames {
            head.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_ne_bytes());
        }
        let mut parts: ArrayVec<IoSlice<'_>, { FRAMES_MAX + 1 }> = ArrayVec::new();
        parts.push(IoSlice::new(&head));
        parts.extend(frames.iter().map(|frame| IoSlice::new(frame)));
        loop {
            return match rustix::io::writev(&self.socket, &parts) {
                Ok(_) => Ok(true),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::MSGSIZE) => Ok(false),
                Err(_) => Err(Deserted),
            };
        }
    }
}

/// What came over a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fed<'m> {
    pub(super) time: Time,
    /// Frames that did not fit, since the beginning.
    pub(super) not_fed: u64,
    pub(super) is_end: bool,
    lens: &'m [u8],
    octets: &'m [u8],
}

/// It is no message of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'m> Fed<'m> {
    /// Reads a message. All of its frames are there then.
    pub(super) fn parse(message: &'m [u8]) -> Result<Self, Malformed> {
        let (head, rest) = message.split_first_chunk::<HEAD_BYTES>().ok_or(Malformed)?;
        let [
            kind,
            zero,
            count @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] = *head;
        let mut numbers = head.iter().skip(4).copied();
        let mut number = || {
            let mut octets = [0; 8];
            octets
                .iter_mut()
                .zip(&mut numbers)
                .for_each(|(to, from)| *to = from);
            octets
        };
        let (time, not_fed) = (i64::from_ne_bytes(number()), u64::from_ne_bytes(number()));
        let count = usize::from(u16::from_ne_bytes(count));
        if zero != 0 || !matches!(kind, FRAMES | MARK | END) || count > FRAMES_MAX {
            return Err(Malformed);
        }
        let (lens, octets) = rest.split_at_checked(count * LEN_BYTES).ok_or(Malformed)?;
        let fed = Self {
            time: Time::from_micros(time),
            not_fed,
            is_end: kind == END,
            lens,
            octets,
        };
        let sum = fed.lens().try_fold(0_usize, usize::checked_add);
        if sum != Some(octets.len()) {
            return Err(Malformed);
        }
        Ok(fed)
    }

    /// Its frames.
    pub(super) fn frames(&self) -> impl Iterator<Item = &'m [u8]> + Clone {
        let mut rest = self.octets;
        self.lens().map_while(move |len| {
            let (frame, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(frame)
        })
    }

    fn lens(&self) -> impl Iterator<Item = usize> + Clone + use<'m> {
        let chunks = self.lens.as_chunks::<LEN_BYTES>().0.iter();
        chunks.map(|octets| usize::try_from(u32::from_ne_bytes(*octets)).unwrap_or(usize::MAX))
    }
}

/// The next message of a feed; `None` if nothing waits.
///
/// # Errors
/// At its end (`UnexpectedEof`), and what the system says.
pub(super) fn receive<'r>(socket: BorrowedFd<'_>, room: &'r mut [u8]) -> io::Result<Option<&'r [u8]>> {
    loop {
        return match rustix::io::read(socket.as_fd(), &mut *room) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => Ok(room.get(..len)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: i64) -> Time {
        Time::from_micros(us)
    }

    /// What was fed, message by message.
    fn drain(from: &OwnedFd) -> Vec<(Time, u64, bool, Vec<Vec<u8>>)> {
        let mut room = vec![0; MESSAGE_BYTES_MAX];
        let mut all = Vec::new();
        while let Ok(Some(message)) = receive(from.as_fd(), &mut room) {
            let fed = Fed::parse(message).unwrap();
            let frames = fed.frames().map(<[u8]>::to_vec).collect();
            all.push((fed.time, fed.not_fed, fed.is_end, frames));
        }
        all
    }

    /// Catches frames that are lost, cut or changed, however long they are and however many come at once.
    #[test]
    fn frames_arrive_as_they_were_read() {
        let (into, from) = pair().unwrap();
        let mut feed = Feed::begin(into, at(1)).unwrap();
        let frames: Vec<Vec<u8>> = (0..200_usize)
            .map(|n| vec![u8::try_from(n).unwrap(); [60, 1514, 4000, 65_535][n % 4]])
            .collect();
        feed.frames(at(2), frames.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(feed.end(at(3)), Ok(true));
        let all = drain(&from);
        assert_eq!(all[0], (at(1), 0, false, Vec::new()));
        assert_eq!(all[all.len() - 1], (at(3), 0, true, Vec::new()));
        let came: Vec<Vec<u8>> = all.into_iter().flat_map(|(_, _, _, frames)| frames).collect();
        assert_eq!(came, frames);
        assert_eq!(feed.counts(), (200, 0));
    }

    /// Catches frames that do not fit and are not told of, a reader that waits for them, and an heir's end that goes unnoticed.
    #[test]
    fn what_does_not_fit_is_told() {
        let (into, from) = pair().unwrap();
        let mut feed = Feed::begin(into, at(1)).unwrap();
        let frame = vec![7; 1514];
        while feed.counts().1 == 0 {
            feed.frames(at(2), std::iter::repeat_n(frame.as_slice(), 64))
                .unwrap();
        }
        let (fed, not_fed) = feed.counts();
        let came: usize = drain(&from).iter().map(|(_, _, _, frames)| frames.len()).sum();
        assert_eq!(came as u64, fed);
        feed.mark(at(3)).unwrap();
        assert_eq!(drain(&from), [(at(3), not_fed, false, Vec::new())]);
        drop(from);
        assert_eq!(feed.mark(at(4)), Err(Deserted));
    }

    proptest! {
        /// Catches a panic, and frames that reach beyond their message, whatever comes.
        #[test]
        fn nonsense_is_refused(octets in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..5, count in 0_u8..6) {
            let mut message = octets;
            for (place, octet) in [(0, kind), (1, 0), (2, count), (3, 0)] {
                if let Some(at) = message.get_mut(place) {
                    *at = octet;
                }
            }
            if let Ok(fed) = Fed::parse(&message) {
                let bytes: usize = fed.frames().map(<[u8]>::len).sum();
                prop_assert_eq!(fed.frames().count(), usize::from(count));
                prop_assert_eq!(HEAD_BYTES + usize::from(count) * LEN_BYTES + bytes, message.len());
            }
        }
    }
}

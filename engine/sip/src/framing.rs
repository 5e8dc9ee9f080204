//! Where messages begin and end in a stream (RFC 3261 §18.3, semantics.md §5 "TCP").
//!
//! A [`Framer`] is shown what a stream holds and says what to do with its beginning. It owns no octets and copies none:
//! whoever keeps the stream keeps them, drops what a [`Step`] is done with, and shows the rest again together with what came. How far it has looked
//! it remembers, so all calls together look at each octet a bounded number of times, however small the pieces are. Where headers
//! end and what Content-Length says is read by the parser's own code. Sequence numbers, holes and time are the keeper's.
//!
//! **In step**, a message begins where the one before it ended, and its first line only has to pass for SIP. **Out of step**,
//! in the middle of something unknown, bodies are the danger: they may quote SIP (RFC 3420). A message is then believed to begin
//!
//! - where the keeper says that a segment begins ([`Framer::begins`]), for senders write whole messages;
//! - behind a line that is not empty, for a body is quoted behind an empty one;
//! - behind the body that the Content-Length of a header block announced whose end was seen;
//!
//! and only if its start line is a strict one, no other start line stands in its header, and the header parses.

use memchr::memchr;

use crate::lex::is_token;
use crate::limits::{LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::message::ContentLength;
use crate::recognise::is_sip_start;
use crate::scan::{content_length_of, content_length_within, parse};
use crate::start::is_start_line;

/// A longer body is not believed: no element sends one, and a damaged number would make a stream deaf.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// One message of a stream: what [`parse`] is to be given, and where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Octets up to the body, the empty line included.
    pub head: usize,
    /// Octets with the body. May be more than [`MESSAGE_BYTES_MAX`], beyond which a body cannot be read.
    pub len: usize,
}

/// What to do with what a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more octets.
    More,
    /// A message is there, or its header is: once `len` octets are there, or known to be lost, drop them and call [`Framer::next`].
    Message(Extent),
    /// Drop so many octets: line ends that kept the connection alive (RFC 5626 §3.5.1).
    KeepAlive(usize),
    /// Drop so many octets, which may be more than there are yet.
    Pass(usize),
    /// No message begins here. Nothing is to be dropped: what follows is the search for one.
    Lost,
}

/// Finds the messages of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Framer {
    state: State,
    /// Octets that need not be looked at again.
    seen: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A message should begin with the first octet shown.
    Begin(Trust),
    /// One does, and its header is not over. A line of it begins here.
    Header(Trust, usize),
    /// Its header is over.
    Found(Extent, Next),
    /// A line begins with the first octet shown, or is in the middle there.
    Seek(Seek),
}

/// Whether it is certain that a message begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Firm,
    Tried,
}

/// What comes behind a message.
#[derive(Clone, Copy, Debug)]
enum Next {
    Message(Trust),
    Unknown,
}

/// The search, line by line.
#[derive(Clone, Copy, Debug, Default)]
struct Seek {
    before: Before,
    /// What the Content-Length of this block of lines said.
    block: Option<ContentLength>,
    /// The line is longer than any that matters, and its beginning has been dropped.
    is_overlong: bool,
}

/// What stands before the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// Not even whether it is the beginning of a line.
    #[default]
    Unknown,
    /// A line that is not empty.
    Line,
    /// A line that is empty.
    Empty,
}

impl Framer {
    /// At the beginning of a connection, where a message begins.
    #[must_use]
    pub const fn in_step() -> Self {
        Self::at(State::Begin(Trust::Firm))
    }

    /// In the middle of something unknown.
    #[must_use]
    pub fn out_of_step() -> Self {
        Self::at(State::Seek(Seek::default()))
    }

    const fn at(state: State) -> Self {
        Self { state, seen: 0 }
    }

    /// Whether it does not know where a message begins.
    #[must_use]
    pub const fn is_out_of_step(&self) -> bool {
        matches!(self.state, State::Seek(_))
    }

    /// Whether the octets shown are certain to begin with a message.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        matches!(self.state, State::Header(Trust::Firm, _) | State::Found(..))
    }

    /// The message that the octets shown begin with, once its header is over.
    #[must_use]
    pub const fn extent(&self) -> Option<Extent> {
        match self.state {
            State::Found(extent, _) => Some(extent),
            _ => None,
        }
    }

    /// Tells, out of step, that a segment begins with `octets`; whether a message may begin with it. Then what was held before
    /// is of no use.
    pub fn begins(&mut self, octets: &[u8]) -> bool {
        // Line ends in front may be those of a header, and a body behind them.
        let is_start = || !matches!(octets, [b'\r' | b'\n', ..]) && is_sip_start(octets);
        let may_begin = self.is_out_of_step() && is_start();
        if may_begin {
            *self = Self::at(State::Begin(Trust::Tried));
        }
        may_begin
    }

    /// Behind the message that was found.
    pub fn next(&mut self) {
        *self = match self.state {
            State::Found(_, Next::Message(trust)) => Self::at(State::Begin(trust)),
            _ => Self::at(State::Seek(Seek {
                before: Before::Empty,
                ..Seek::default()
            })),
        };
    }

    /// What to do with `octets`: all that follows what earlier steps are done with.
    pub fn look(&mut self, octets: &[u8]) -> Step {
        match self.state {
            State::Begin(trust) => self.begin(octets, trust),
            State::Header(trust, line) => self.header(octets, trust, line),
            State::Found(extent, _) => Step::Message(extent),
            State::Seek(seek) => self.seek(octets, seek),
        }
    }

    /// The first line, and line ends before it (RFC 3261 §7.5).
    fn begin(&mut self, octets: &[u8], trust: Trust) -> Step {
        let line_ends = octets
            .iter()
            .take_while(|octet| matches!(octet, b'\r' | b'\n'))
            .count();
        if line_ends > 0 {
            // The search may have come here with a line that it had looked at in part.
            self.seen = self.seen.saturating_sub(line_ends);
            return Step::KeepAlive(line_ends);
        }
        let Some(first) = octets.first() else {
            return Step::More;
        };
        let Some(end) = self.line_end(octets) else {
            return if is_token(*first) && octets.len() <= LINE_BYTES_MAX {
                Step::More
            } else {
                self.lose()
            };
        };
        let line = octets.get(..=end).unwrap_or_default();
        let is_sip = match trust {
            Trust::Firm => is_start_line(line),
            Trust::Tried => is_sip_start(line),
        };
        if !is_sip {
            return self.lose();
        }
        self.seen = end + 1;
        self.header(octets, trust, end + 1)
    }

    /// The header, up to the empty line. Longer lines than the parser reads are left to it to refuse: that keeps the stream in
    /// step.
    fn header(&mut self, octets: &[u8], trust: Trust, mut line_at: usize) -> Step {
        while let Some(end) = self.line_end(octets) {
            let line = octets.get(line_at..=end).unwrap_or_default();
            if is_empty(line) {
                return self.found(octets, end + 1, trust);
            }
            if trust == Trust::Tried && is_sip_start(line) {
                *self = Self::at(State::Begin(trust));
                return Step::Pass(line_at);
            }
            line_at = end + 1;
            self.seen = line_at;
        }
        if octets.len() > MESSAGE_BYTES_MAX {
            return self.lose();
        }
        self.state = State::Header(trust, line_at);
        Step::More
    }

    /// The header is over.
    fn found(&mut self, octets: &[u8], head: usize, trust: Trust) -> Step {
        let header = octets.get(..head).unwrap_or_default();
        if head > MESSAGE_BYTES_MAX || (trust == Trust::Tried && parse(header).is_err()) {
            return self.lose();
        }
        let body_bytes_max = match trust {
            Trust::Firm => BODY_BYTES_MAX,
            Trust::Tried => MESSAGE_BYTES_MAX,
        };
        let (len, next) = match content_length_within(header) {
            ContentLength::Octets(octets) => match usize::try_from(octets) {
                Ok(octets) if octets <= body_bytes_max => (head + octets, Next::Message(Trust::Firm)),
                _ => (head, Next::Unknown),
            },
            // RFC 3261 §20.14 demands it in streams. Without it there may be a body, and in that anything.
            ContentLength::Absent => (head, Next::Message(Trust::Tried)),
            ContentLength::Ambiguous => (head, Next::Unknown),
        };
        let extent = Extent { head, len };
        self.state = State::Found(extent, next);
        Step::Message(extent)
    }

    /// No message begins with what was shown: it is searched for in there.
    fn lose(&mut self) -> Step {
        *self = Self::out_of_step();
        Step::Lost
    }

    /// Line by line. Each whole line is dropped once it has said what it can say.
    fn seek(&mut self, octets: &[u8], seek: Seek) -> Step {
        let Some(end) = self.line_end(octets) else {
            return self.unended(octets, seek);
        };
        let line = octets.get(..=end).unwrap_or_default();
        if seek.before == Before::Line && !seek.is_overlong && is_sip_start(line) {
            self.state = State::Begin(Trust::Tried);
            return self.begin(octets, Trust::Tried);
        }
        let is_known = seek.before != Before::Unknown && !seek.is_overlong;
        if is_known && is_empty(line) {
            if let Some(ContentLength::Octets(body)) = seek.block
                && let Ok(body) = usize::try_from(body)
                && body <= MESSAGE_BYTES_MAX
            {
                *self = Self::at(State::Begin(Trust::Tried));
                return Step::Pass(line.len() + body);
            }
            *self = Self::at(State::Seek(Seek {
                before: Before::Empty,
                ..Seek::default()
            }));
            return Step::Pass(line.len());
        }
        let said = content_length_of(line).filter(|_| is_known);
        *self = Self::at(State::Seek(Seek {
            before: match seek.before {
                // It may be the end of any line.
                Before::Unknown if is_empty(line) && !seek.is_overlong => Before::Unknown,
                _ => Before::Line,
            },
            block: said.map_or(seek.block, |said| Some(said.and(seek.block))),
            is_overlong: false,
        }));
        Step::Pass(line.len())
    }

    /// A line that does not end here.
    fn unended(&mut self, octets: &[u8], mut seek: Seek) -> Step {
        if octets.is_empty() || (octets.len() <= LINE_BYTES_MAX && !seek.is_overlong) {
            return Step::More;
        }
        seek.is_overlong = true;
        *self = Self::at(State::Seek(seek));
        Step::Pass(octets.len())
    }

    /// Where the next line ends, among what was not looked at yet.
    fn line_end(&mut self, octets: &[u8]) -> Option<usize> {
        let from = self.seen;
        match memchr(b'\n', octets.get(from..).unwrap_or_default()) {
            Some(at) => Some(from + at),
            None => {
                self.seen = octets.len();
                None
            }
        }
    }
}

/// Whether a line, with its end, is empty. One of white space continues the field before it (RFC 3261 §7.3.1).
const fn is_empty(line: &[u8]) -> bool {
    matches!(line, [b'\n'] | [b'\r', b'\n'])
}

#[cfg(test)]
mod tests;
